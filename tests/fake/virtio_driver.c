/* virtio_driver.c - see virtio_driver.h. */
#include "fake/virtio_driver.h"

#include "devices/clock.h"
#include "devices/loop.h"
#include "devices/pci.h"
#include "log.h"

#include <err.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum { BASE = 0xd0000000, ALIGN = 16, LIMIT_S = 20 };

static void driver_line(void *ctx, unsigned line, bool level)
{
    struct ax_driver *d = ctx;

    if (line == AX_DRIVER_LINE && level)
        __atomic_fetch_add(&d->interrupts, 1, __ATOMIC_SEQ_CST);
}

static void need(bool good, const char *what)
{
    if (!good)
        errx(1, "virtio_driver: %s", what);
}

int ax_driver_init(struct ax_driver *d, const struct ax_device_ops *ops,
                   const void *conf,
                   void (*prepare)(struct ax_device_env *env, void *ctx),
                   void *ctx)
{
    struct ax_device_env env = {
        .irq = {.set = driver_line, .ctx = d, .line = AX_DRIVER_LINE},
        .mem = &d->mem,
        .conf = conf,
    };

    memset(d, 0, sizeof(*d));
    need(!ax_loop_create(&d->loop), "a loop");
    need(!ax_log_create("/dev/null", AX_LOG_OFF, &d->log), "a log");
    ax_memory_init(&d->mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    need(!ax_memory_add(&d->mem, 0, AX_DRIVER_MEMORY, AX_REGION_RAM), "memory");
    env.loop = d->loop;
    env.log = d->log;
    if (prepare)
        prepare(&env, ctx);
    d->allocated = 4096; /* 0 is where mistakes point to */
    return ax_device_create(ops, AX_SPACE_MMIO, BASE, &env, &d->dev);
}

void ax_driver_fini(struct ax_driver *d)
{
    ax_device_destroy(d->dev);
    ax_memory_fini(&d->mem);
    ax_loop_destroy(d->loop);
    ax_log_destroy(d->log);
    memset(d, 0, sizeof(*d));
}

/* ---- registers ---- */

/* Where PCI has what virtio-mmio has at a register (VIRTIO 1.2, 4.1.4.3). */
static const struct common_field {
    uint16_t reg;
    uint8_t off, width;
} common_fields[] = {
    {VIRTIO_MMIO_DEVICE_FEATURES_SEL, VIRTIO_PCI_COMMON_DFSELECT, 4},
    {VIRTIO_MMIO_DEVICE_FEATURES, VIRTIO_PCI_COMMON_DF, 4},
    {VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_PCI_COMMON_GFSELECT, 4},
    {VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_PCI_COMMON_GF, 4},
    {VIRTIO_MMIO_STATUS, VIRTIO_PCI_COMMON_STATUS, 1},
    {VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_PCI_COMMON_CFGGENERATION, 1},
    {VIRTIO_MMIO_QUEUE_SEL, VIRTIO_PCI_COMMON_Q_SELECT, 2},
    {VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_PCI_COMMON_Q_SIZE, 2},
    {VIRTIO_MMIO_QUEUE_NUM, VIRTIO_PCI_COMMON_Q_SIZE, 2},
    {VIRTIO_MMIO_QUEUE_READY, VIRTIO_PCI_COMMON_Q_ENABLE, 2},
    {VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_PCI_COMMON_Q_DESCLO, 4},
    {VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_PCI_COMMON_Q_DESCHI, 4},
    {VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_PCI_COMMON_Q_AVAILLO, 4},
    {VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_PCI_COMMON_Q_AVAILHI, 4},
    {VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_PCI_COMMON_Q_USEDLO, 4},
    {VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_PCI_COMMON_Q_USEDHI, 4},
};

static struct ax_pci_function *function_of(const struct ax_driver *d)
{
    const struct ax_device_env *env = &d->dev->env;

    return env->slot ? env->pci->slots[env->slot] : NULL;
}

static const struct common_field *find_common(unsigned reg)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(common_fields); i++) {
        if (common_fields[i].reg == reg)
            return &common_fields[i];
    }
    return NULL;
}

uint64_t ax_driver_get(struct ax_driver *d, unsigned off, unsigned width)
{
    struct ax_pci_function *f = function_of(d);
    const struct common_field *common = f ? find_common(off) : NULL;
    uint64_t val;

    pthread_mutex_lock(&d->dev->lock);
    val = common ? f->ops->read(f, common->off, common->width)
                 : d->dev->ops->read(d->dev, off, width);
    pthread_mutex_unlock(&d->dev->lock);
    return val;
}

void ax_driver_set(struct ax_driver *d, unsigned off, unsigned width,
                   uint64_t val)
{
    struct ax_pci_function *f = function_of(d);
    const struct common_field *common = f ? find_common(off) : NULL;

    pthread_mutex_lock(&d->dev->lock);
    if (common)
        f->ops->write(f, common->off, common->width, val);
    else if (f && off == VIRTIO_MMIO_QUEUE_NOTIFY)
        f->ops->out(f, 0, 2, val);
    else
        d->dev->ops->write(d->dev, off, width, val);
    pthread_mutex_unlock(&d->dev->lock);
}

static uint32_t get(struct ax_driver *d, unsigned off)
{
    return (uint32_t)ax_driver_get(d, off, 4);
}

static void set(struct ax_driver *d, unsigned off, uint32_t val)
{
    ax_driver_set(d, off, 4, val);
}

static void add_status(struct ax_driver *d, uint32_t bits)
{
    set(d, VIRTIO_MMIO_STATUS, get(d, VIRTIO_MMIO_STATUS) | bits);
}

uint64_t ax_driver_offered(struct ax_driver *d)
{
    uint64_t low, high;

    set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    low = get(d, VIRTIO_MMIO_DEVICE_FEATURES);
    set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    high = get(d, VIRTIO_MMIO_DEVICE_FEATURES);
    return high << 32 | low;
}

void ax_driver_reset(struct ax_driver *d)
{
    set(d, VIRTIO_MMIO_STATUS, 0);
    need(!get(d, VIRTIO_MMIO_STATUS), "a reset that does not end");
    memset(d->queues, 0, sizeof(d->queues));
}

bool ax_driver_negotiate(struct ax_driver *d, uint64_t wanted)
{
    d->features = ax_driver_offered(d) & (wanted | 1ULL << VIRTIO_F_VERSION_1);
    add_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    add_status(d, VIRTIO_CONFIG_S_DRIVER);
    set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)d->features);
    set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(d->features >> 32));
    add_status(d, VIRTIO_CONFIG_S_FEATURES_OK);
    return get(d, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static bool has(const struct ax_driver *d, unsigned feature)
{
    return d->features >> feature & 1;
}

static void set_address(struct ax_driver *d, unsigned off, ax_gpa gpa)
{
    set(d, off, (uint32_t)gpa);
    set(d, off + 4, (uint32_t)(gpa >> 32));
}

void ax_driver_set_up_queue(struct ax_driver *d, unsigned queue, unsigned size)
{
    struct ax_driver_queue *q = &d->queues[queue];
    unsigned max;

    set(d, VIRTIO_MMIO_QUEUE_SEL, queue);
    max = get(d, VIRTIO_MMIO_QUEUE_NUM_MAX);
    size = size < max ? size : max;
    if (!size)
        return;
    q->layout = (struct ax_virtq_layout){
        .size = (uint16_t)size,
        .packed = has(d, VIRTIO_F_RING_PACKED),
        .event_idx = has(d, VIRTIO_RING_F_EVENT_IDX),
        .indirect = has(d, VIRTIO_RING_F_INDIRECT_DESC),
        .desc = ax_driver_alloc(d, 16 * (size_t)size),
        .driver = ax_driver_alloc(d, 6 + 2 * (size_t)size),
        .device = ax_driver_alloc(d, 6 + 8 * (size_t)size),
    };
    q->next_wrap = q->used_wrap = true;
    q->free = (uint16_t)size;
    for (unsigned i = 0; i < size; i++)
        q->link[i] = (uint16_t)(i + 1);
    set(d, VIRTIO_MMIO_QUEUE_NUM, size);
    set_address(d, VIRTIO_MMIO_QUEUE_DESC_LOW, q->layout.desc);
    set_address(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, q->layout.driver);
    set_address(d, VIRTIO_MMIO_QUEUE_USED_LOW, q->layout.device);
    set(d, VIRTIO_MMIO_QUEUE_READY, 1);
    need(get(d, VIRTIO_MMIO_QUEUE_READY) == 1, "a queue that is refused");
}

void ax_driver_ok(struct ax_driver *d)
{
    add_status(d, VIRTIO_CONFIG_S_DRIVER_OK);
}

bool ax_driver_start(struct ax_driver *d, uint64_t wanted, unsigned size)
{
    ax_driver_reset(d);
    if (!ax_driver_negotiate(d, wanted))
        return false;
    for (unsigned i = 0; i < AX_DRIVER_QUEUES; i++)
        ax_driver_set_up_queue(d, i, size);
    ax_driver_ok(d);
    return !ax_driver_needs_reset(d);
}

bool ax_driver_needs_reset(struct ax_driver *d)
{
    return get(d, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* ---- memory ---- */

ax_gpa ax_driver_alloc(struct ax_driver *d, size_t size)
{
    const ax_gpa gpa = ax_align_up(d->allocated, ALIGN);

    d->allocated = gpa + size;
    need(d->allocated <= AX_DRIVER_MEMORY, "guest memory is full");
    return gpa;
}

void *ax_driver_at(struct ax_driver *d, ax_gpa gpa, size_t size)
{
    void *at = ax_memory_at(&d->mem, gpa, size, AX_PROT_WRITE);

    need(at, "an address outside guest memory");
    return at;
}

ax_gpa ax_driver_put(struct ax_driver *d, const void *bytes, size_t size)
{
    const ax_gpa gpa = ax_driver_alloc(d, size);

    memcpy(ax_driver_at(d, gpa, size), bytes, size);
    return gpa;
}

/* ---- rings ---- */

static struct vring_desc *
split_desc(struct ax_driver *d, const struct ax_driver_queue *q, unsigned index)
{
    return ax_driver_at(d, q->layout.desc + 16 * (ax_gpa)index, 16);
}

static uint16_t *word(struct ax_driver *d, ax_gpa gpa)
{
    return ax_driver_at(d, gpa, 2);
}

static uint16_t flags_of(const struct ax_driver_buf *buf, bool last)
{
    return (uint16_t)((buf->in ? VRING_DESC_F_WRITE : 0) |
                      (last ? 0 : VRING_DESC_F_NEXT));
}

static void split_publish(struct ax_driver *d, struct ax_driver_queue *q,
                          uint16_t head)
{
    *word(d, q->layout.driver + 4 + 2 * (ax_gpa)(q->next % q->layout.size)) =
        head;
    q->next++;
    __atomic_store_n(word(d, q->layout.driver + 2), q->next, __ATOMIC_RELEASE);
}

/* A table with the buffers, as both formats have it. */
static struct ax_driver_buf make_table(struct ax_driver *d,
                                       const struct ax_driver_queue *q,
                                       const struct ax_driver_buf *bufs,
                                       unsigned count)
{
    const ax_gpa gpa = ax_driver_alloc(d, 16 * (size_t)count);

    for (unsigned i = 0; i < count; i++) {
        const uint16_t flags = flags_of(&bufs[i], i + 1 == count);
        uint8_t *at = ax_driver_at(d, gpa + 16 * (ax_gpa)i, 16);
        const uint16_t words[2] = {
            q->layout.packed ? (uint16_t)0 : flags,
            q->layout.packed ? (uint16_t)(flags & VRING_DESC_F_WRITE)
                             : (uint16_t)(i + 1),
        };

        memcpy(at, &bufs[i].gpa, 8);
        memcpy(at + 8, &bufs[i].len, 4);
        memcpy(at + 12, words, 4);
    }
    return (struct ax_driver_buf){.gpa = gpa, .len = 16 * count};
}

static int split_add(struct ax_driver *d, struct ax_driver_queue *q,
                     const struct ax_driver_buf *bufs, unsigned count,
                     uint16_t extra)
{
    const uint16_t head = q->first_free;
    uint16_t at = head;

    for (unsigned i = 0; i < count; i++) {
        struct vring_desc *desc = split_desc(d, q, at);

        *desc = (struct vring_desc){
            .addr = bufs[i].gpa,
            .len = bufs[i].len,
            .flags = (uint16_t)(flags_of(&bufs[i], i + 1 == count) | extra),
            .next = q->link[at],
        };
        at = q->link[at];
    }
    q->first_free = at;
    q->slots[head] = (uint16_t)count;
    split_publish(d, q, head);
    return head;
}

static int packed_add(struct ax_driver *d, struct ax_driver_queue *q,
                      const struct ax_driver_buf *bufs, unsigned count,
                      uint16_t extra)
{
    struct vring_packed_desc *first = NULL;
    uint16_t first_flags = 0;
    unsigned id = 0;

    while (q->slots[id])
        id++;
    for (unsigned i = 0; i < count; i++) {
        struct vring_packed_desc *desc =
            ax_driver_at(d, q->layout.desc + 16 * (ax_gpa)q->next, 16);
        const uint16_t flags =
            (uint16_t)(flags_of(&bufs[i], i + 1 == count) | extra |
                       (q->next_wrap ? 1U << VRING_PACKED_DESC_F_AVAIL
                                     : 1U << VRING_PACKED_DESC_F_USED));

        desc->addr = bufs[i].gpa;
        desc->len = bufs[i].len;
        desc->id = (uint16_t)id;
        if (i)
            desc->flags = flags;
        else
            first = desc, first_flags = flags;
        if (++q->next == q->layout.size) {
            q->next = 0;
            q->next_wrap = !q->next_wrap;
        }
    }
    q->slots[id] = (uint16_t)count;
    __atomic_store_n(&first->flags, first_flags, __ATOMIC_RELEASE);
    return (int)id;
}

int ax_driver_add(struct ax_driver *d, unsigned queue,
                  const struct ax_driver_buf *bufs, unsigned count)
{
    struct ax_driver_queue *q = &d->queues[queue];
    const bool table = d->indirect && q->layout.indirect && count > 1;
    const unsigned slots = table ? 1 : count;
    struct ax_driver_buf whole;

    if (slots > q->free)
        return -1;
    q->free = (uint16_t)(q->free - slots);
    if (table) {
        whole = make_table(d, q, bufs, count);
        bufs = &whole;
    }
    return (q->layout.packed ? packed_add : split_add)(
        d, q, bufs, slots, table ? VRING_DESC_F_INDIRECT : 0);
}

void ax_driver_notify(struct ax_driver *d, unsigned queue)
{
    set(d, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

static bool split_take(struct ax_driver *d, struct ax_driver_queue *q,
                       unsigned *id, uint32_t *len)
{
    const struct vring_used_elem *e;
    uint16_t at;

    if (__atomic_load_n(word(d, q->layout.device + 2), __ATOMIC_ACQUIRE) ==
        q->used)
        return false;
    e = ax_driver_at(
        d, q->layout.device + 4 + 8 * (ax_gpa)(q->used % q->layout.size), 8);
    *id = e->id;
    *len = e->len;
    need(*id < q->layout.size && q->slots[*id], "a used id that is not in use");
    q->used++;
    for (at = (uint16_t)*id; split_desc(d, q, at)->flags & VRING_DESC_F_NEXT;)
        at = split_desc(d, q, at)->next;
    q->link[at] = q->first_free;
    q->first_free = (uint16_t)*id;
    if (q->layout.event_idx)
        *word(d, q->layout.driver + 4 + 2 * (ax_gpa)q->layout.size) = q->used;
    return true;
}

static bool packed_take(struct ax_driver *d, struct ax_driver_queue *q,
                        unsigned *id, uint32_t *len)
{
    const struct vring_packed_desc *desc =
        ax_driver_at(d, q->layout.desc + 16 * (ax_gpa)q->used, 16);
    const uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);
    const bool avail = flags >> VRING_PACKED_DESC_F_AVAIL & 1;
    const bool used = flags >> VRING_PACKED_DESC_F_USED & 1;

    if (avail != used || used != q->used_wrap)
        return false;
    *id = desc->id;
    *len = desc->len;
    need(*id < AX_VIRTQ_SIZE && q->slots[*id], "a used id that is not in use");
    q->used = (uint16_t)(q->used + q->slots[*id]);
    if (q->used >= q->layout.size) {
        q->used = (uint16_t)(q->used - q->layout.size);
        q->used_wrap = !q->used_wrap;
    }
    return true;
}

bool ax_driver_take(struct ax_driver *d, unsigned queue, unsigned *id,
                    uint32_t *len)
{
    struct ax_driver_queue *q = &d->queues[queue];

    if (!(q->layout.packed ? packed_take : split_take)(d, q, id, len))
        return false;
    q->free = (uint16_t)(q->free + q->slots[*id]);
    q->slots[*id] = 0;
    return true;
}

/* ---- waiting ---- */

struct run {
    struct ax_driver *d;
    bool (*done)(void *ctx);
    void *ctx;
    struct ax_wake *again;
    uint64_t end_ns;
    bool met;
};

/* Looks at the condition once in every turn of the loop. */
static void run_turn(void *ctx)
{
    struct run *run = ctx;

    run->met = run->done(run->ctx);
    if (run->met || ax_clock_now_ns() > run->end_ns)
        ax_loop_stop(run->d->loop);
    else
        ax_loop_wake(run->again);
}

bool ax_driver_run(struct ax_driver *d, bool (*done)(void *ctx), void *ctx)
{
    struct run run = {.d = d, .done = done, .ctx = ctx};

    run.end_ns = ax_clock_now_ns() + LIMIT_S * UINT64_C(1000000000);
    need(!ax_wake_create(d->loop, run_turn, &run, &run.again), "a wake");
    ax_loop_wake(run.again);
    ax_loop_run(d->loop);
    ax_wake_destroy(run.again);
    return run.met;
}

static bool turns_over(void *ctx)
{
    unsigned *turns = ctx;

    return (*turns)-- == 0;
}

void ax_driver_settle(struct ax_driver *d)
{
    unsigned turns = 4; /* a wake, what it wakes, and what that makes ready */

    ax_driver_run(d, turns_over, &turns);
}

struct wait {
    struct ax_driver *d;
    unsigned queue, *id;
    uint32_t *len;
};

static bool is_used(void *ctx)
{
    const struct wait *w = ctx;

    return ax_driver_take(w->d, w->queue, w->id, w->len);
}

bool ax_driver_wait(struct ax_driver *d, unsigned queue, unsigned *id,
                    uint32_t *len)
{
    struct wait w = {.d = d, .queue = queue, .id = id, .len = len};

    return ax_driver_run(d, is_used, &w);
}

int64_t ax_driver_ask(struct ax_driver *d, unsigned queue,
                      const struct ax_driver_buf *bufs, unsigned count)
{
    const int asked = ax_driver_add(d, queue, bufs, count);
    unsigned id;
    uint32_t len;

    if (asked < 0)
        return -1;
    ax_driver_notify(d, queue);
    if (!ax_driver_wait(d, queue, &id, &len) || id != (unsigned)asked)
        return -1;
    return len;
}

/* ---- against the rules ---- */

void ax_driver_raw_desc(struct ax_driver *d, unsigned queue, unsigned index,
                        ax_gpa addr, uint32_t len, uint16_t flags,
                        uint16_t next)
{
    *split_desc(d, &d->queues[queue], index) = (struct vring_desc){
        .addr = addr, .len = len, .flags = flags, .next = next};
}

void ax_driver_raw_avail(struct ax_driver *d, unsigned queue, uint16_t head)
{
    split_publish(d, &d->queues[queue], head);
}

void ax_driver_raw_avail_idx(struct ax_driver *d, unsigned queue, uint16_t idx)
{
    __atomic_store_n(word(d, d->queues[queue].layout.driver + 2), idx,
                     __ATOMIC_RELEASE);
}
