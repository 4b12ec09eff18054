/*
 * fuzz_virtio_minor.c - a driver and a host that do anything to the devices of
 * entropy, consoles and memory.
 *
 * The first byte says which device, the rest is a list of operations: a byte
 * each, then its operands. Rings may be anything, page numbers and messages
 * too; the host types, reads slowly, changes sizes and targets. Whatever
 * happens, nothing leaves guest memory, no turn of the loop is endless, and
 * what the balloon says of itself makes sense.
 */
#include "devices/balloon.h"
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/console.h"
#include "fake/virtio_driver.h"
#include "fuzz/input.h"

#include <linux/virtio_mmio.h>
#include <string.h>

enum { PORTS = 3, QUEUES = 8, OPERATIONS_MAX = 200, BUFFERS = 4 };
enum { ARENA = 0x200000, ARENA_BYTES = 64, ALLOCATED = 4096 };
enum {
    RESTART,
    OFFER, /* buffers of anything */
    TELL,  /* ... of bytes of the input */
    RAW,
    RAW_INDEX,
    NOTIFY,
    WRITE,
    TYPE,
    TAKE,
    RESIZE,
    AIM,
    LOOK,
    RESET,
    OPERATIONS,
};

struct world {
    struct ax_driver d;
    struct ax_console *consoles[PORTS];
    unsigned count; /* of consoles that the device has */
    struct ax_vconsole_conf confs[PORTS];
    char name[8]; /* of the last one */
    unsigned queues;
};

/* Mostly in memory, at times around its end, or far beyond it. */
static ax_gpa take_address(struct input *in)
{
    const ax_gpa gpa = input_take(in, 4);

    switch (gpa >> 30) {
    case 0:
        return AX_DRIVER_MEMORY - 4096 + (gpa & 0x1fff);
    case 1:
        return gpa << 32 | gpa;
    default:
        return gpa % AX_DRIVER_MEMORY;
    }
}

static unsigned take_queue(const struct world *w, struct input *in)
{
    return (unsigned)input_take(in, 1) % w->queues;
}

/* ---- the driver ---- */

static void restart(struct world *w, struct input *in)
{
    const uint64_t features = input_take(in, 1);
    const uint64_t rings = input_take(in, 1);
    const unsigned size = 1U << input_take(in, 1) % 8;

    w->d.allocated = ALLOCATED;
    ax_driver_start(&w->d, features | (rings & 1) << 34 | (rings >> 1) << 28,
                    size);
    w->d.indirect = rings & 0x80;
}

static void add(struct world *w, unsigned queue,
                const struct ax_driver_buf *bufs, unsigned count)
{
    if (w->d.queues[queue].layout.size)
        ax_driver_add(&w->d, queue, bufs, count);
}

static void offer(struct world *w, struct input *in)
{
    const unsigned queue = take_queue(w, in);
    const unsigned shape = (unsigned)input_take(in, 1);
    const unsigned count = 1 + shape % BUFFERS;
    struct ax_driver_buf bufs[BUFFERS];

    for (unsigned i = 0; i < count; i++) {
        bufs[i].gpa = take_address(in);
        bufs[i].len = (uint32_t)input_take(in, 3);
        bufs[i].in = shape >> (2 + i) & 1;
    }
    add(w, queue, bufs, count);
}

static void tell(struct world *w, struct input *in)
{
    const unsigned queue = take_queue(w, in);
    const uint32_t len = (uint32_t)input_take(in, 1) % ARENA_BYTES;
    const struct ax_driver_buf buf = {.gpa = ARENA, .len = len};
    uint8_t *bytes = ax_driver_at(&w->d, ARENA, ARENA_BYTES);

    input_fill(in, bytes, len);
    add(w, queue, &buf, 1);
    ax_driver_notify(&w->d, queue);
}

/* Descriptors of split rings, also where the driver has chosen packed ones. */
static void raw(struct world *w, struct input *in, bool index)
{
    const unsigned queue = take_queue(w, in);
    const struct ax_virtq_layout *layout = &w->d.queues[queue].layout;
    const uint16_t what = (uint16_t)input_take(in, 2);
    ax_gpa addr;
    uint32_t len;
    uint16_t flags;

    if (!layout->size || layout->packed)
        return;
    if (index) {
        ax_driver_raw_avail_idx(&w->d, queue, what);
        return;
    }
    addr = take_address(in);
    len = (uint32_t)input_take(in, 2);
    flags = (uint16_t)input_take(in, 1);
    ax_driver_raw_desc(&w->d, queue, what % layout->size, addr, len, flags,
                       (uint16_t)input_take(in, 1));
    ax_driver_raw_avail(&w->d, queue, (uint16_t)input_take(in, 1));
}

/* Any register and any field, but for the place and size of queues, which the
 * library has to know. */
static void write_anywhere(struct world *w, struct input *in)
{
    const unsigned off = (unsigned)input_take(in, 2) % AX_DEVICE_PAGE;
    const unsigned width = 1U << input_take(in, 1) % 4;
    const uint64_t val = input_take(in, width);

    if (off + width > AX_DEVICE_PAGE || off == VIRTIO_MMIO_QUEUE_SEL ||
        (off >= VIRTIO_MMIO_QUEUE_NUM && off <= VIRTIO_MMIO_QUEUE_READY) ||
        (off >= VIRTIO_MMIO_QUEUE_DESC_LOW &&
         off <= VIRTIO_MMIO_QUEUE_USED_HIGH))
        return;
    ax_driver_set(&w->d, off, width, val);
}

/* ---- the host ---- */

static struct ax_console *take_console(const struct world *w, struct input *in)
{
    return w->consoles[input_take(in, 1) % PORTS];
}

static void type(struct world *w, struct input *in)
{
    struct ax_console *console = take_console(w, in);
    char text[8] = "";
    const unsigned len = (unsigned)input_take(in, 1) % sizeof(text);

    input_fill(in, text, len);
    fake_console_type(console, text);
    ax_device_poll(w->d.dev);
}

static void resize(struct world *w, struct input *in)
{
    struct ax_console *console = take_console(w, in);
    const struct ax_console_size size = {
        .cols = (uint16_t)input_take(in, 2),
        .rows = (uint16_t)input_take(in, 2),
    };

    fake_console_resize(console, size);
    ax_device_poll(w->d.dev);
}

static void take(struct world *w, struct input *in)
{
    struct ax_console *console = take_console(w, in);
    const size_t count = input_take(in, 1);

    fake_console_take(console, count == 0xff ? SIZE_MAX : count);
    ax_device_poll(w->d.dev);
}

static void look(struct world *w, bool ask)
{
    struct ax_balloon b;

    if (ax_device_balloon(w->d.dev, ask, &b))
        return;
    require(b.most == AX_DRIVER_MEMORY);
    require(b.target <= b.most && b.actual <= b.most);
    require(b.driven || !b.counts);
}

static void operate(struct world *w, struct input *in)
{
    switch (input_take(in, 1) % OPERATIONS) {
    case RESTART:
        restart(w, in);
        break;
    case OFFER:
        offer(w, in);
        break;
    case TELL:
        tell(w, in);
        break;
    case RAW:
        raw(w, in, false);
        break;
    case RAW_INDEX:
        raw(w, in, true);
        break;
    case NOTIFY:
        ax_driver_notify(&w->d, (unsigned)input_take(in, 1));
        break;
    case WRITE:
        write_anywhere(w, in);
        break;
    case TYPE:
        type(w, in);
        break;
    case TAKE:
        take(w, in);
        break;
    case RESIZE:
        resize(w, in);
        break;
    case AIM:
        ax_device_aim(w->d.dev, input_take(in, 4));
        break;
    case LOOK:
        look(w, input_take(in, 1) & 1);
        break;
    default:
        ax_driver_reset(&w->d);
        break;
    }
    ax_driver_settle(&w->d);
    look(w, false);
}

static void wire(struct ax_device_env *env, void *ctx)
{
    const struct world *w = ctx;

    env->consoles = w->consoles;
    env->console_count = w->count;
}

static void create(struct world *w, unsigned which)
{
    static const struct ax_device_ops *const models[] = {
        &ax_virtio_rng, &ax_virtio_balloon, &ax_virtio_console,
        &ax_virtio_console};
    const struct ax_device_ops *ops = models[which % AX_ARRAY_LEN(models)];

    for (unsigned i = 0; i < PORTS; i++)
        w->consoles[i] = fake_console_create();
    strcpy(w->name, "agent");
    w->confs[PORTS - 1].name = w->name;
    w->queues = QUEUES;
    w->count = which % AX_ARRAY_LEN(models) == 2 ? 1 : PORTS;
    require(!ax_driver_init(
        &w->d, ops, ops == &ax_virtio_console ? w->confs : NULL, wire, w));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct input in = {data, size};

    memset(&w, 0, sizeof(w));
    create(&w, (unsigned)input_take(&in, 1));
    for (unsigned i = 0; in.size && i < OPERATIONS_MAX; i++)
        operate(&w, &in);
    ax_driver_fini(&w.d);
    for (unsigned i = 0; i < PORTS; i++)
        fake_console_destroy(w.consoles[i]);
    return 0;
}
