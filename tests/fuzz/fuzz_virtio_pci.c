/*
 * fuzz_virtio_pci.c - a guest that does anything to a PCI bus with two virtio
 * devices on it.
 *
 * The input is a list of operations: a byte each, then its operands. The guest
 * goes through the bridge's ports and windows, as a CPU does, and through a
 * driver that keeps to the rules, so that there are queues to be disturbed.
 * Whatever happens, reads fit their width, no event is turned into a message
 * twice or after its function has gone, and nothing is left allocated.
 */
#include "devices/bus.h"
#include "devices/pci.h"
#include "devices/registry.h"
#include "devices/virtio.h"
#include "fake/virtio_driver.h"
#include "fuzz/input.h"

#include <string.h>

enum { FUNCTIONS = 2, OPERATIONS_MAX = 300, EVENTS = 64, BUFFER = 64 };
enum { MEM = 0xfd000000, IO = 0x1000, HOST = 0xcf8, WINDOWS = 3 };
enum {
    START,
    ASK,
    CONFIG_READ,
    CONFIG_WRITE,
    MEMORY_READ,
    MEMORY_WRITE,
    PORT_READ,
    PORT_WRITE,
    DEVICE_WRITE,
    EVENT, /* somebody else wants to interrupt for a queue */
    RESET,
    OPERATIONS,
};

struct world {
    struct ax_driver d[FUNCTIONS];
    struct ax_pci pci;
    struct ax_bus mmio, ports;
    struct ax_device *windows[WINDOWS];
    int events[EVENTS]; /* descriptors that are messages now */
    unsigned event_count;
};

static struct world w;

/* ---- the engine ---- */

static void on_send(void *ctx, uint64_t address, uint32_t data)
{
    require(!(address & 3));
}

static int on_doorbell(void *ctx, const struct ax_bell *bell, int fd, bool on)
{
    require(bell->space == AX_SPACE_PORT && bell->width == 2);
    return 0;
}

static int on_msi_event(void *ctx, uint64_t address, uint32_t data, int fd,
                        bool on)
{
    unsigned i = 0;

    while (i < w.event_count && w.events[i] != fd)
        i++;
    require((i == w.event_count) == on);
    require(w.event_count < EVENTS);
    if (on)
        w.events[w.event_count++] = fd;
    else
        w.events[i] = w.events[--w.event_count];
    return 0;
}

static void prepare(struct ax_device_env *env, void *ctx)
{
    const unsigned *index = ctx;

    env->irq.set = NULL;
    env->apic.send = on_send;
    env->fast.doorbell = on_doorbell;
    env->fast.msi_event = on_msi_event;
    env->pci = &w.pci;
    env->slot = *index + 1;
}

/* ---- the guest ---- */

static void start(struct input *in)
{
    struct ax_driver *d = &w.d[input_take(in, 1) % FUNCTIONS];
    const uint64_t rings = input_take(in, 1);

    d->allocated = 4096;
    ax_driver_start(d, (rings & 1) << 34 | (rings >> 1) << 28,
                    1U << input_take(in, 1) % 8);
}

static void ask(struct input *in)
{
    struct ax_driver *d = &w.d[input_take(in, 1) % FUNCTIONS];
    const unsigned queue = (unsigned)input_take(in, 1) % 4;
    const struct ax_driver_buf buf = {
        .gpa = 0x200000,
        .len = BUFFER,
        .in = true,
    };

    if (!d->queues[queue].layout.size)
        return;
    ax_driver_add(d, queue, &buf, 1);
    ax_driver_notify(d, queue);
}

static void reach(struct ax_bus *bus, uint64_t addr, bool write,
                  struct input *in)
{
    const unsigned width = 1U << input_take(in, 1) % 4;
    uint64_t data = write ? input_take(in, width) : 0;

    ax_bus_access(bus, write, addr, width, &data);
    require(width == 8 || !(data >> 8 * width));
}

static void configure(bool write, struct input *in)
{
    uint64_t address = 0x80000000 | input_take(in, 2);

    ax_bus_access(&w.ports, true, HOST, 4, &address);
    reach(&w.ports, HOST + 4 + input_take(in, 1) % 4, write, in);
}

/* Mostly where a function is. */
static uint64_t take_slot(struct input *in, unsigned size)
{
    const unsigned slot = (unsigned)input_take(in, 1);

    return (uint64_t)(slot < 0xf0 ? 1 + slot % FUNCTIONS : slot % 32) * size;
}

static void device_write(struct input *in)
{
    struct ax_driver *d = &w.d[input_take(in, 1) % FUNCTIONS];

    reach(&w.mmio, d->dev->base + input_take(in, 2) % AX_DEVICE_PAGE, true, in);
}

static void event(struct input *in)
{
    struct ax_device *dev = w.d[input_take(in, 1) % FUNCTIONS].dev;
    struct ax_virtio *v = ax_container_of(dev, struct ax_virtio, dev);

    pthread_mutex_lock(&dev->lock);
    ax_virtio_irq_event(v, (unsigned)input_take(in, 1) % v->queue_count);
    pthread_mutex_unlock(&dev->lock);
}

static void operate(struct input *in)
{
    const unsigned what = (unsigned)input_take(in, 1) % OPERATIONS;

    switch (what) {
    case START:
        start(in);
        break;
    case ASK:
        ask(in);
        break;
    case CONFIG_READ:
    case CONFIG_WRITE:
        configure(what == CONFIG_WRITE, in);
        break;
    case MEMORY_READ:
    case MEMORY_WRITE: {
        const uint64_t page = MEM + take_slot(in, AX_PCI_PAGE);

        reach(&w.mmio, page + input_take(in, 2) % AX_PCI_PAGE,
              what == MEMORY_WRITE, in);
        break;
    }
    case PORT_READ:
    case PORT_WRITE: {
        const uint64_t ports = IO + take_slot(in, AX_PCI_PORTS);

        reach(&w.ports, ports + input_take(in, 1) % AX_PCI_PORTS,
              what == PORT_WRITE, in);
        break;
    }
    case DEVICE_WRITE:
        device_write(in);
        break;
    case EVENT:
        event(in);
        break;
    default:
        ax_device_reset(w.d[input_take(in, 1) % FUNCTIONS].dev);
        break;
    }
    for (unsigned i = 0; i < FUNCTIONS; i++)
        ax_driver_settle(&w.d[i]);
}

/* ---- the machine ---- */

static void build(void)
{
    static const struct ax_device_ops *const functions[FUNCTIONS] = {
        &ax_virtio_rng, &ax_virtio_balloon};
    static const struct ax_device_ops *const windows[WINDOWS] = {
        &ax_pci_host, &ax_pci_io, &ax_pci_mem};
    static const uint64_t bases[WINDOWS] = {HOST, IO, MEM};
    const struct ax_device_env env = {.pci = &w.pci};

    w.pci = (struct ax_pci){.mem = MEM, .io = IO};
    ax_bus_init(&w.mmio, AX_SPACE_MMIO);
    ax_bus_init(&w.ports, AX_SPACE_PORT);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        require(!ax_driver_init(&w.d[i], functions[i], NULL, prepare, &i));
        w.d[i].dev->base += (uint64_t)i * AX_DEVICE_PAGE;
        require(!ax_bus_attach(&w.mmio, w.d[i].dev));
    }
    for (unsigned i = 0; i < WINDOWS; i++) {
        const bool mem = bases[i] == MEM;

        require(!ax_device_create(windows[i],
                                  mem ? AX_SPACE_MMIO : AX_SPACE_PORT, bases[i],
                                  &env, &w.windows[i]));
        require(!ax_bus_attach(mem ? &w.mmio : &w.ports, w.windows[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};

    memset(&w, 0, sizeof(w));
    build();
    for (unsigned i = 0; in.size && i < OPERATIONS_MAX; i++)
        operate(&in);
    for (unsigned i = 0; i < WINDOWS; i++)
        ax_device_destroy(w.windows[i]);
    for (unsigned i = 0; i < FUNCTIONS; i++)
        ax_driver_fini(&w.d[i]);
    require(!w.event_count);
    return 0;
}
