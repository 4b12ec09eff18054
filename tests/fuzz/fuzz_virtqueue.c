/*
 * fuzz_virtqueue.c - both ring formats alone, in a memory whose every byte is
 * the driver's at any time.
 *
 * The first bytes say how the queue is laid out, the rest is a list of
 * operations: a byte each, then its operands. Whatever the rings hold, a
 * request is of guest memory that allows what it is for, is no longer than a
 * queue, and adds up; the device's side writes nowhere but in its own half of
 * the rings and where it was asked to; a broken queue stays silent.
 */
#include "devices/virtqueue.h"

#include "fuzz/input.h"
#include "memory/memory.h"

#include <linux/virtio_ring.h>
#include <string.h>

/* Two regions of RAM that touch, a gap, and one that cannot be written. */
enum { RAM = 0x4000, MORE = 0x1000, ROM = 0x8000, ROM_BYTES = 0x1000 };
enum { RAM_BYTES = RAM + MORE };
/* Where a driver that keeps to the rules has its rings, tables and buffers. */
enum { DESC = 0x0, DRIVER = 0x1000, DEVICE = 0x1400, TABLE = 0x2000 };
enum { BUFFERS = 0x3000 };
enum { OPERATIONS_MAX = 300, HELD = 8, COPIED = 600, DESC_BYTES = 16 };
enum {
    ENABLE,
    POKE,   /* any bytes, anywhere */
    BUFFER, /* a descriptor that may be one of a driver */
    OFFER,  /* heads made available */
    POP,
    UNPOP, /* one, and again */
    PUSH,
    PUSH_ALL,
    COPY,
    ASK,
    QUIET,
    DISABLE,
    OPERATIONS,
};

struct world {
    struct ax_memory mem;
    struct ax_virtq q;
    struct ax_virtq_layout layout;
    uint16_t avail; /* split: the driver's index */
    unsigned count; /* of held */
    struct ax_virtq_chain held[HELD];
    uint8_t before[RAM_BYTES];
};

/* ---- memory ---- */

static uint8_t *ram(const struct world *w, ax_gpa gpa)
{
    const unsigned region = gpa >= RAM;

    return (uint8_t *)w->mem.regions[region].hva + (gpa - (region ? RAM : 0));
}

static void poke(struct world *w, ax_gpa gpa, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size && gpa + i < RAM_BYTES; i++)
        *ram(w, gpa + i) = ((const uint8_t *)bytes)[i];
}

static void poke_number(struct world *w, ax_gpa gpa, uint64_t val,
                        unsigned bytes)
{
    uint8_t le[8];

    for (unsigned i = 0; i < bytes; i++)
        le[i] = (uint8_t)(val >> 8 * i);
    poke(w, gpa, le, bytes);
}

static void remember(struct world *w)
{
    memcpy(w->before, ram(w, 0), RAM);
    memcpy(w->before + RAM, ram(w, RAM), MORE);
}

/* What the device's side may write from now on is not compared. */
static void forgive(struct world *w, ax_gpa gpa, size_t size)
{
    for (size_t i = 0; i < size && gpa + i < RAM_BYTES; i++)
        w->before[gpa + i] = *ram(w, gpa + i);
}

static bool nothing_changed(const struct world *w)
{
    return !memcmp(w->before, ram(w, 0), RAM) &&
           !memcmp(w->before + RAM, ram(w, RAM), MORE);
}

/* The device's half of the rings. */
static void forgive_rings(struct world *w)
{
    const struct ax_virtq_layout *l = &w->q.layout;

    if (l->packed) {
        forgive(w, l->desc, DESC_BYTES * (size_t)l->size);
        forgive(w, l->device, 4);
    } else {
        forgive(w, l->device, 6 + 8 * (size_t)l->size);
    }
}

/* Mostly in memory, at times at an edge of it, in the ROM, or far beyond. */
static ax_gpa take_address(struct input *in)
{
    const ax_gpa val = input_take(in, 3);

    switch (val >> 20) {
    case 0:
        return val << 44 | val;
    case 1:
        return ROM - 0x20 + (val & 0x3f);
    case 2:
        return RAM - 0x20 + (val & 0x3f);
    case 3:
        return RAM_BYTES - 0x20 + (val & 0x3f);
    default:
        return val % RAM_BYTES;
    }
}

/* ---- the driver ---- */

static ax_gpa take_ring(struct input *in, unsigned elsewhere, ax_gpa usual)
{
    return elsewhere & 1 ? take_address(in) : usual;
}

static void enable(struct world *w, struct input *in)
{
    const unsigned shape = (unsigned)input_take(in, 1);
    const unsigned size = (unsigned)input_take(in, 1);
    const unsigned elsewhere = (unsigned)input_take(in, 1);
    struct ax_virtq_layout *l = &w->layout;

    l->packed = shape & 1;
    l->event_idx = shape & 2;
    l->indirect = shape & 4;
    l->size = shape & 8 ? (uint16_t)(size << 2 | size >> 6)
                        : (uint16_t)(1U << size % 9);
    l->desc = take_ring(in, elsewhere, DESC);
    l->driver = take_ring(in, elsewhere >> 1, DRIVER);
    l->device = take_ring(in, elsewhere >> 2, DEVICE);
    w->avail = 0;
    w->count = 0;
    if (ax_virtq_enable(&w->q, l))
        require(!w->q.enabled);
    else
        require(w->q.enabled && l->size && l->size <= AX_VIRTQ_SIZE);
}

static void poke_any(struct world *w, struct input *in)
{
    const ax_gpa gpa = take_address(in);
    uint8_t bytes[16];
    const unsigned count = (unsigned)input_take(in, 1) % sizeof(bytes);

    input_fill(in, bytes, count);
    if (gpa < RAM_BYTES)
        poke(w, gpa, bytes, count);
}

/* In the ring or, for an indirect one, in the table. */
static void buffer(struct world *w, struct input *in)
{
    const unsigned where = (unsigned)input_take(in, 1);
    const unsigned index = where & 0x7f;
    const ax_gpa at =
        (where & 0x80 ? (ax_gpa)TABLE : w->layout.desc) + DESC_BYTES * index;
    const unsigned kind = (unsigned)input_take(in, 1);
    const bool far = kind & 0x40;
    const bool table = kind & VRING_DESC_F_INDIRECT;
    const uint64_t flags =
        (kind & 7) | (uint64_t)(kind & 8) << 4 | (uint64_t)(kind & 16) << 11;
    const uint64_t rest = input_take(in, 1);
    const uint64_t addr = far     ? take_address(in)
                          : table ? TABLE
                                  : BUFFERS + 0x10 * (uint64_t)index;
    const uint64_t len = input_take(in, far ? 4 : 1);

    if (at >= RAM_BYTES)
        return;
    poke_number(w, at, addr, 8);
    poke_number(w, at + 8, table && !far ? len % 20 * DESC_BYTES : len, 4);
    poke_number(w, at + 12, w->layout.packed ? rest : flags, 2);
    poke_number(w, at + 14, w->layout.packed ? flags : rest, 2);
}

static void offer(struct world *w, struct input *in)
{
    const uint64_t head = input_take(in, 1);
    const unsigned more = (unsigned)input_take(in, 1);
    const struct ax_virtq_layout *l = &w->layout;

    if (l->packed || !l->size || l->driver >= RAM_BYTES)
        return; /* the flags of a packed ring's descriptors say it */
    poke_number(w, l->driver + 4 + 2 * (size_t)(w->avail % l->size), head, 2);
    w->avail = (uint16_t)(w->avail + (more & 0x80 ? more : 1));
    poke_number(w, l->driver + 2, w->avail, 2);
}

/* ---- what a request is ---- */

static void check_part(const struct world *w, const struct iovec *iov,
                       unsigned prot)
{
    ax_gpa gpa;

    require(iov->iov_len);
    require(ax_memory_gpa(&w->mem, iov->iov_base, &gpa));
    require(ax_memory_at(&w->mem, gpa, iov->iov_len, prot) == iov->iov_base);
}

static void check_chain(const struct world *w, const struct ax_virtq_chain *c)
{
    size_t out = 0, in = 0;

    require(c->out + c->in <= AX_VIRTQ_SIZE);
    for (unsigned i = 0; i < c->out; i++) {
        check_part(w, &c->iov[i], AX_PROT_READ);
        out += c->iov[i].iov_len;
    }
    for (unsigned i = c->out; i < c->out + c->in; i++) {
        check_part(w, &c->iov[i], AX_PROT_WRITE);
        in += c->iov[i].iov_len;
    }
    require(out == c->out_bytes && in == c->in_bytes);
    require(c->slots && c->slots <= w->q.layout.size);
    require(w->q.layout.packed || c->id < w->q.layout.size);
}

static void pop(struct world *w)
{
    struct ax_virtq_chain *c = &w->held[w->count];
    const bool pending = ax_virtq_pending(&w->q);

    if (w->count == HELD)
        return;
    if (ax_virtq_pop(&w->q, c)) {
        require(pending);
        check_chain(w, c);
        w->count++;
    } else {
        require(!pending || (w->q.broken && w->q.why));
    }
}

/* What was not done comes again as it was, as nobody changes it meanwhile. */
static void unpop(struct world *w)
{
    struct ax_virtq_chain *c = &w->held[w->count];
    static struct ax_virtq_chain first;

    if (w->count == HELD || !ax_virtq_pop(&w->q, &first))
        return;
    ax_virtq_unpop(&w->q, &first);
    require(ax_virtq_pop(&w->q, c));
    check_chain(w, c);
    require(c->id == first.id && c->slots == first.slots);
    require(c->out == first.out && c->in == first.in);
    w->count++;
}

/* ---- what the device does with it ---- */

static void push(struct world *w, struct input *in)
{
    const unsigned which = (unsigned)input_take(in, 1);
    const size_t written = input_take(in, 5);

    if (!w->count)
        return;
    ax_virtq_push(&w->q, &w->held[which % w->count], written);
    w->held[which % w->count] = w->held[w->count - 1];
    w->count--;
}

static void push_all(struct world *w)
{
    struct ax_virtq_used used[HELD];

    for (unsigned i = 0; i < w->count; i++) {
        used[i] = (struct ax_virtq_used){
            .id = w->held[i].id,
            .slots = w->held[i].slots,
            .written = (uint32_t)w->held[i].in_bytes,
        };
    }
    ax_virtq_push_all(&w->q, used, w->count);
    w->count = 0;
}

static size_t bytes_behind(size_t all, size_t off, size_t count)
{
    const size_t left = off < all ? all - off : 0;

    return left < count ? left : count;
}

/* Into a request and out of it; nothing else changes. */
static void copy(struct world *w, struct input *in)
{
    const unsigned which = (unsigned)input_take(in, 1);
    const size_t off = input_take(in, 2);
    const size_t count = input_take(in, 2) % COPIED;
    uint8_t bytes[COPIED] = {0x55};
    struct iovec parts[AX_VIRTQ_SIZE];
    const struct ax_virtq_chain *c;
    unsigned used;

    if (!w->count)
        return;
    c = &w->held[which % w->count];
    require(ax_virtq_read(c, off, bytes, count) ==
            bytes_behind(c->out_bytes, off, count));
    used = ax_virtq_slice_in(c, off, count, parts);
    require(used <= c->in);
    for (unsigned i = 0; i < used; i++)
        check_part(w, &parts[i], AX_PROT_WRITE);
    require(ax_virtq_write(c, off, bytes, count) ==
            bytes_behind(c->in_bytes, off, count));
}

static void disable(struct world *w)
{
    ax_virtq_disable(&w->q);
    w->count = 0;
    require(!w->q.enabled && !ax_virtq_pending(&w->q));
}

/* Those that write nothing but the device's half of the rings. */
static bool operate_device(struct world *w, unsigned what, struct input *in)
{
    switch (what) {
    case POP:
        pop(w);
        return true;
    case UNPOP:
        unpop(w);
        return true;
    case PUSH:
        push(w, in);
        return true;
    case PUSH_ALL:
        push_all(w);
        return true;
    case ASK:
        ax_virtq_wants_interrupt(&w->q);
        require(!ax_virtq_wants_interrupt(&w->q)); /* nothing new */
        return true;
    case QUIET:
        ax_virtq_quiet(&w->q, input_take(in, 1) & 1);
        return true;
    default:
        return false;
    }
}

static void operate_driver(struct world *w, unsigned what, struct input *in)
{
    switch (what) {
    case ENABLE:
        enable(w, in);
        break;
    case POKE:
        poke_any(w, in);
        break;
    case BUFFER:
        buffer(w, in);
        break;
    case OFFER:
        offer(w, in);
        break;
    case COPY:
        copy(w, in);
        break;
    default:
        disable(w);
        break;
    }
}

static void operate(struct world *w, struct input *in)
{
    const unsigned what = (unsigned)input_take(in, 1) % OPERATIONS;
    const bool silent = w->q.broken || !w->q.enabled;

    remember(w);
    if (!operate_device(w, what, in)) {
        operate_driver(w, what, in);
        return;
    }
    if (!silent)
        forgive_rings(w);
    require(nothing_changed(w));
    require(!silent || !ax_virtq_pending(&w->q));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct input in = {data, size};

    memset(&w, 0, sizeof(w));
    ax_memory_init(&w.mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    require(!ax_memory_add(&w.mem, 0, RAM, AX_REGION_RAM) &&
            !ax_memory_add(&w.mem, RAM, MORE, AX_REGION_RAM) &&
            !ax_memory_add(&w.mem, ROM, ROM_BYTES, AX_REGION_ROM));
    ax_virtq_init(&w.q, &w.mem);
    enable(&w, &in);
    for (unsigned i = 0; in.size && i < OPERATIONS_MAX; i++)
        operate(&w, &in);
    ax_memory_fini(&w.mem);
    return 0;
}
