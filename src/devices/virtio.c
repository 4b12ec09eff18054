/*
 * virtio.c - the registers of virtio-mmio and the life of a device between
 * reset and DRIVER_OK. What a device does is in virtio_<type>.c; over PCI the
 * registers are the same, and virtio_pci.c leads to them.
 *
 * Registers that can be read are words of v->page, kept up to date as they
 * change: the guest may be reading them at any moment.
 */
#include "devices/virtio_parts.h"

#include "devices/loop.h"
#include "log.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    MAGIC = 0x74726976, /* "virt" */
    VERSION = 2,
    VENDOR = 0x4d565841,    /* "AXVM" */
    STATUS_LEGAL = 0x8f,    /* what a driver may set */
    NO_REGION = 0xffffffff, /* shared memory: there is none */
    SHM_END = VIRTIO_MMIO_SHM_BASE_HIGH,
};

#define RING_FEATURES                                                          \
    (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_RING_PACKED |               \
     1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_RING_F_EVENT_IDX)

static struct ax_virtio *to_virtio(struct ax_device *dev)
{
    return ax_container_of(dev, struct ax_virtio, dev);
}

static uint32_t *reg(const struct ax_virtio *v, unsigned off)
{
    return (uint32_t *)(void *)(v->page + off);
}

static uint32_t reg_get(const struct ax_virtio *v, unsigned off)
{
    return __atomic_load_n(reg(v, off), __ATOMIC_RELAXED);
}

static void reg_set(struct ax_virtio *v, unsigned off, uint32_t val)
{
    __atomic_store_n(reg(v, off), val, __ATOMIC_RELEASE);
}

static bool has_bit(uint64_t bits, unsigned bit)
{
    return bits >> bit & 1;
}

bool ax_virtio_has(const struct ax_virtio *v, unsigned feature)
{
    return has_bit(v->accepted, feature);
}

void *ax_virtio_config(struct ax_virtio *v)
{
    return v->page + VIRTIO_MMIO_CONFIG;
}

/* ---- interrupts ---- */

/* For a queue, or AX_VIRTIO_PCI_CONFIG. */
static void virtio_raise(struct ax_virtio *v, int queue)
{
    const uint32_t why =
        queue < 0 ? VIRTIO_MMIO_INT_CONFIG : VIRTIO_MMIO_INT_VRING;

    if (v->pci && ax_virtio_pci_raise(v, queue))
        return;
    __atomic_fetch_or(reg(v, VIRTIO_MMIO_INTERRUPT_STATUS), why,
                      __ATOMIC_RELEASE);
    if (v->irq_armed && !v->dev.env.fast.irq_event_late)
        eventfd_write(v->irq_event, 1);
    else
        ax_irq_pulse(&v->dev.env.irq);
}

static void virtio_acknowledge(struct ax_virtio *v, uint32_t what)
{
    /* Whoever works on a lent queue interrupts without telling us, and what
     * deaf_arm keeps from us cannot be taken back. */
    if (v->lent || v->deaf >= 0)
        what &= ~(uint32_t)VIRTIO_MMIO_INT_VRING;
    __atomic_fetch_and(reg(v, VIRTIO_MMIO_INTERRUPT_STATUS), ~what,
                       __ATOMIC_RELEASE);
}

void ax_virtio_done(struct ax_virtio *v, struct ax_virtq *q)
{
    if (v->running && ax_virtq_wants_interrupt(q))
        virtio_raise(v, (int)(q - v->queues));
}

/* A field of the usual sizes changes at once for whoever is reading it. */
static void config_copy(uint8_t *to, const void *bytes, unsigned count)
{
    uint64_t val = 0;

    if (count == 8 && !((uintptr_t)to % 8)) {
        memcpy(&val, bytes, 8);
        __atomic_store_n((uint64_t *)(void *)to, val, __ATOMIC_RELEASE);
    } else if (count == 4 && !((uintptr_t)to % 4)) {
        memcpy(&val, bytes, 4);
        __atomic_store_n((uint32_t *)(void *)to, (uint32_t)val,
                         __ATOMIC_RELEASE);
    } else {
        memcpy(to, bytes, count);
    }
}

static void config_next_generation(struct ax_virtio *v)
{
    reg_set(v, VIRTIO_MMIO_CONFIG_GENERATION,
            reg_get(v, VIRTIO_MMIO_CONFIG_GENERATION) + 1);
}

void ax_virtio_reconfigure(struct ax_virtio *v, unsigned off, const void *bytes,
                           unsigned count)
{
    /* On both sides of the change, as the driver reads it on both, too. */
    config_next_generation(v);
    config_copy(v->page + VIRTIO_MMIO_CONFIG + off, bytes, count);
    config_next_generation(v);
    if (v->running)
        virtio_raise(v, AX_VIRTIO_PCI_CONFIG);
}

void ax_virtio_fail(struct ax_virtio *v, const char *why)
{
    if (v->failed)
        return;
    v->failed = true;
    ax_log_guest(v->dev.env.log, AX_LOG_WARN,
                 "%s at %#llx: %s: it waits for a reset", v->dev.ops->type,
                 (unsigned long long)v->dev.base, why);
    reg_set(v, VIRTIO_MMIO_STATUS,
            reg_get(v, VIRTIO_MMIO_STATUS) | VIRTIO_CONFIG_S_NEEDS_RESET);
    virtio_raise(v, AX_VIRTIO_PCI_CONFIG);
}

/* ---- the loop's side ---- */

void ax_virtio_kick(struct ax_virtio *v, unsigned queues)
{
    for (unsigned i = 0; i < v->queue_count; i++) {
        if (!(queues >> i & 1) || !v->running || v->failed ||
            !v->queues[i].enabled || v->lent >> i & 1)
            continue;
        v->ops->kick(v, i);
        if (v->queues[i].broken)
            ax_virtio_fail(v, v->queues[i].why);
    }
}

static void virtio_kick_rung(struct ax_device *dev)
{
    struct ax_virtio *v = to_virtio(dev);

    ax_virtio_kick(v, atomic_exchange(&v->rung, 0));
}

static void virtio_woken(void *ctx)
{
    struct ax_virtio *v = ctx;

    ax_device_call(&v->dev, virtio_kick_rung);
}

/* The engine's doorbell is one for all queues: each may have been meant. */
static void virtio_belled(void *ctx, unsigned events)
{
    struct ax_virtio *v = ctx;
    eventfd_t count;

    if (eventfd_read(v->doorbell, &count))
        return;
    atomic_store(&v->rung, (1U << v->queue_count) - 1);
    ax_device_call(&v->dev, virtio_kick_rung);
}

void ax_virtio_kick_soon(struct ax_virtio *v, unsigned queues)
{
    atomic_fetch_or(&v->rung, queues);
    ax_loop_wake(v->wake);
}

/* ---- doorbells ---- */

/* Where the driver notifies of this queue, or of AX_BELL_ANY. */
static struct ax_bell bell_of(const struct ax_virtio *v, int64_t queue)
{
    if (v->pci)
        return ax_virtio_pci_bell(v, queue);
    return (struct ax_bell){AX_SPACE_MMIO,
                            v->dev.base + VIRTIO_MMIO_QUEUE_NOTIFY, 4, queue};
}

static void bell_arm(struct ax_virtio *v, bool on)
{
    const struct ax_bell bell = bell_of(v, AX_BELL_ANY);

    if (v->doorbell < 0 || v->doorbell_armed == on)
        return;
    if (!ax_fast_doorbell(&v->dev.env.fast, &bell, v->doorbell, on))
        v->doorbell_armed = on;
}

int ax_virtio_lend_queue(struct ax_virtio *v, unsigned queue, int fd, bool on)
{
    const struct ax_bell bell = bell_of(v, queue);
    int err;

    if (!ax_virtio_lends(v))
        return -EOPNOTSUPP;
    if (on)
        bell_arm(v, false); /* one address, one doorbell for all or many */
    err = ax_fast_doorbell(&v->dev.env.fast, &bell, fd, on);
    if (err)
        return err;
    if (on)
        v->lent |= 1U << queue;
    else
        v->lent &= ~(1U << queue);
    if (on)
        reg_set(v, VIRTIO_MMIO_INTERRUPT_STATUS,
                reg_get(v, VIRTIO_MMIO_INTERRUPT_STATUS) |
                    VIRTIO_MMIO_INT_VRING);
    if (!v->lent)
        bell_arm(v, true);
    return 0;
}

int ax_virtio_irq_event(struct ax_virtio *v, unsigned queue)
{
    return v->pci ? ax_virtio_pci_event(v, queue) : v->irq_event;
}

bool ax_virtio_lends(const struct ax_virtio *v)
{
    const bool interrupts =
        v->pci ? v->dev.env.fast.msi_event != NULL : v->irq_event >= 0;

    return v->doorbell >= 0 && interrupts;
}

/*
 * A driver acknowledges each interrupt, which nobody waits for: interrupts are
 * edges, and a driver looks into its queues whenever the bit is set. So the
 * bit stays once it was set, and the usual acknowledgement, of that bit alone,
 * ends in an eventfd that nobody reads, without coming to this process.
 */
static struct ax_bell deaf_bell(const struct ax_virtio *v)
{
    return (struct ax_bell){AX_SPACE_MMIO,
                            v->dev.base + VIRTIO_MMIO_INTERRUPT_ACK, 4,
                            VIRTIO_MMIO_INT_VRING};
}

static void deaf_arm(struct ax_virtio *v)
{
    const struct ax_bell bell = deaf_bell(v);

    v->deaf = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (v->deaf >= 0 &&
        ax_fast_doorbell(&v->dev.env.fast, &bell, v->deaf, true)) {
        close(v->deaf);
        v->deaf = -1;
    }
}

static void deaf_disarm(struct ax_virtio *v)
{
    const struct ax_bell bell = deaf_bell(v);

    if (v->deaf < 0)
        return;
    ax_fast_doorbell(&v->dev.env.fast, &bell, v->deaf, false);
    close(v->deaf);
    v->deaf = -1;
}

/* What the engine does not have, or the host refuses, goes the slow way. */
static void virtio_open_short_ways(struct ax_virtio *v)
{
    const struct ax_device_env *env = &v->dev.env;

    if (v->ops->bell_is_slow || !env->fast.doorbell)
        return;
    v->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (v->doorbell >= 0 &&
        ax_watch_create(env->loop, v->doorbell, AX_LOOP_READ, virtio_belled, v,
                        &v->bell)) {
        close(v->doorbell);
        v->doorbell = -1;
    }
    bell_arm(v, true);
    if (v->pci)
        return; /* messages are acknowledged to the local APIC alone */
    deaf_arm(v);
    v->irq_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    v->irq_armed =
        v->irq_event >= 0 && env->irq.set &&
        !ax_fast_irq_event(&env->fast, env->irq.line, v->irq_event, true);
    if (!v->irq_armed && v->irq_event >= 0) {
        close(v->irq_event);
        v->irq_event = -1;
    }
}

static void virtio_close_short_ways(struct ax_virtio *v)
{
    bell_arm(v, false);
    deaf_disarm(v);
    if (v->irq_armed)
        ax_fast_irq_event(&v->dev.env.fast, v->dev.env.irq.line, v->irq_event,
                          false);
    v->irq_armed = false;
    ax_watch_destroy(v->bell);
    v->bell = NULL;
    if (v->doorbell >= 0)
        close(v->doorbell);
    if (v->irq_event >= 0)
        close(v->irq_event);
    v->doorbell = v->irq_event = -1;
}

/* ---- life ---- */

int ax_virtio_init(struct ax_virtio *v, const struct ax_virtio_ops *ops,
                   uint64_t features, unsigned queue_count, unsigned queue_size)
{
    int err = 0;

    v->ops = ops;
    v->offered = features | RING_FEATURES;
    v->queue_count =
        queue_count < AX_VIRTIO_QUEUES ? queue_count : AX_VIRTIO_QUEUES;
    v->queue_size = queue_size;
    v->doorbell = v->irq_event = v->deaf = -1;
    v->page = v->dev.env.page;
    v->page_owned = !v->page;
    if (v->page_owned)
        v->page = aligned_alloc(AX_DEVICE_PAGE, AX_DEVICE_PAGE);
    if (!v->page)
        return -ENOMEM;
    memset(v->page, 0, AX_DEVICE_PAGE);
    for (unsigned i = 0; i < v->queue_count; i++)
        ax_virtq_init(&v->queues[i], v->dev.env.mem);
    if (v->dev.env.slot)
        err = ax_virtio_pci_create(v);
    if (err)
        return err;
    virtio_open_short_ways(v);
    return ax_wake_create(v->dev.env.loop, virtio_woken, v, &v->wake);
}

static void virtio_stop(struct ax_virtio *v)
{
    if (v->ops->stop)
        v->ops->stop(v);
    v->running = false;
    for (unsigned i = 0; i < v->queue_count; i++)
        ax_virtq_disable(&v->queues[i]);
}

void ax_virtio_fini(struct ax_virtio *v)
{
    if (v->page)
        virtio_stop(v);
    virtio_close_short_ways(v);
    ax_virtio_pci_destroy(v);
    ax_wake_destroy(v->wake);
    v->wake = NULL;
    if (v->page_owned)
        free(v->page);
    v->page = NULL;
}

static void show_features(struct ax_virtio *v, uint32_t select)
{
    reg_set(v, VIRTIO_MMIO_DEVICE_FEATURES,
            select > 1 ? 0 : (uint32_t)(v->offered >> 32 * select));
}

static void show_queue(struct ax_virtio *v)
{
    const bool exists = v->queue_select < v->queue_count;

    reg_set(v, VIRTIO_MMIO_QUEUE_NUM_MAX, exists ? v->queue_size : 0);
    reg_set(v, VIRTIO_MMIO_QUEUE_READY,
            exists && v->queues[v->queue_select].enabled);
}

static void virtio_reset(struct ax_virtio *v)
{
    virtio_stop(v);
    v->failed = false;
    v->accepted = v->chosen = 0;
    v->queue_select = v->driver_select = 0;
    memset(v->layouts, 0, sizeof(v->layouts));
    atomic_store(&v->rung, 0);
    ax_irq_set(&v->dev.env.irq, false);
    reg_set(v, VIRTIO_MMIO_MAGIC_VALUE, MAGIC);
    reg_set(v, VIRTIO_MMIO_VERSION, VERSION);
    reg_set(v, VIRTIO_MMIO_DEVICE_ID, v->ops->id);
    reg_set(v, VIRTIO_MMIO_VENDOR_ID, VENDOR);
    for (unsigned off = VIRTIO_MMIO_SHM_LEN_LOW; off <= SHM_END; off += 4)
        reg_set(v, off, NO_REGION);
    reg_set(v, VIRTIO_MMIO_INTERRUPT_STATUS, 0);
    show_features(v, 0);
    show_queue(v);
    reg_set(v, VIRTIO_MMIO_STATUS, 0); /* last: the driver may wait for it */
}

void ax_virtio_reset(struct ax_device *dev)
{
    struct ax_virtio *v = to_virtio(dev);

    virtio_reset(v);
    if (v->pci)
        ax_virtio_pci_reset(v, true);
}

/* ---- what the driver writes ---- */

static void virtio_refuse(const struct ax_virtio *v, const char *what)
{
    ax_log_guest(v->dev.env.log, AX_LOG_WARN, "%s at %#llx: the driver %s",
                 v->dev.ops->type, (unsigned long long)v->dev.base, what);
}

static bool has_status(const struct ax_virtio *v, uint32_t bits)
{
    return (reg_get(v, VIRTIO_MMIO_STATUS) & bits) == bits;
}

static bool take_features(struct ax_virtio *v)
{
    if (v->chosen & ~v->offered || !has_bit(v->chosen, VIRTIO_F_VERSION_1)) {
        virtio_refuse(v, "chose features that are not offered, or none of "
                         "version 1");
        return false;
    }
    v->accepted = v->chosen;
    return true;
}

static void virtio_start(struct ax_virtio *v)
{
    v->running = true;
    if (!v->ops->start || !v->ops->start(v)) {
        ax_virtio_kick_soon(v, (1U << v->queue_count) - 1);
        return;
    }
    virtio_stop(v);
    ax_virtio_fail(v, "it cannot start");
}

static void write_status(struct ax_virtio *v, uint32_t val)
{
    const uint32_t before = reg_get(v, VIRTIO_MMIO_STATUS);
    uint32_t after = before | (val & STATUS_LEGAL);

    if (!val) {
        virtio_reset(v);
        if (v->pci)
            ax_virtio_pci_reset(v, false);
        return;
    }
    if (after & ~before & VIRTIO_CONFIG_S_FEATURES_OK && !take_features(v))
        after &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
    if (!(after & VIRTIO_CONFIG_S_FEATURES_OK))
        after &= ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK;
    reg_set(v, VIRTIO_MMIO_STATUS, after);
    if (after & ~before & VIRTIO_CONFIG_S_DRIVER_OK && !v->failed)
        virtio_start(v);
}

static void write_ready(struct ax_virtio *v, struct ax_virtq *q, bool ready)
{
    struct ax_virtq_layout *layout = &v->layouts[v->queue_select];

    layout->packed = ax_virtio_has(v, VIRTIO_F_RING_PACKED);
    layout->event_idx = ax_virtio_has(v, VIRTIO_RING_F_EVENT_IDX);
    layout->indirect = ax_virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC);
    if (!ready)
        ax_virtq_disable(q);
    else if (layout->size > v->queue_size || ax_virtq_enable(q, layout))
        virtio_refuse(v, "has a queue of no possible size or place");
    show_queue(v);
}

static void set_half(ax_gpa *gpa, bool high, uint32_t val)
{
    const unsigned shift = high ? 32 : 0;

    *gpa = (*gpa & ~(0xffffffffULL << shift)) | (uint64_t)val << shift;
}

/* Only between FEATURES_OK and DRIVER_OK, and then not while it is ready: what
 * was checked stays as it was checked. */
static void write_queue(struct ax_virtio *v, unsigned off, uint32_t val)
{
    struct ax_virtq_layout *layout = &v->layouts[v->queue_select];
    struct ax_virtq *q = &v->queues[v->queue_select];

    if (v->queue_select >= v->queue_count)
        return;
    if (!has_status(v, VIRTIO_CONFIG_S_FEATURES_OK) ||
        has_status(v, VIRTIO_CONFIG_S_DRIVER_OK) ||
        (q->enabled && off != VIRTIO_MMIO_QUEUE_READY)) {
        virtio_refuse(v, "sets up a queue when it may not");
        return;
    }
    switch (off) {
    case VIRTIO_MMIO_QUEUE_NUM: /* too large for us: no size at all */
        layout->size = (uint16_t)(val > AX_VIRTQ_SIZE ? 0 : val);
        break;
    case VIRTIO_MMIO_QUEUE_READY:
        write_ready(v, q, val & 1);
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        set_half(&layout->desc, off & 4, val);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        set_half(&layout->driver, off & 4, val);
        break;
    default:
        set_half(&layout->device, off & 4, val);
        break;
    }
}

static void write_features(struct ax_virtio *v, uint32_t val)
{
    if (has_status(v, VIRTIO_CONFIG_S_FEATURES_OK))
        virtio_refuse(v, "changes features behind FEATURES_OK");
    else if (v->driver_select < 2)
        set_half(&v->chosen, v->driver_select, val);
}

static void write_notify(struct ax_virtio *v, uint32_t queue)
{
    if (queue < v->queue_count && v->running)
        ax_virtio_kick_soon(v, 1U << queue);
}

uint32_t ax_virtio_register(const struct ax_virtio *v, unsigned off)
{
    return reg_get(v, off);
}

uint32_t ax_virtio_take_status(struct ax_virtio *v)
{
    return __atomic_exchange_n(reg(v, VIRTIO_MMIO_INTERRUPT_STATUS), 0,
                               __ATOMIC_ACQ_REL);
}

void ax_virtio_set_register(struct ax_virtio *v, unsigned off, uint32_t val)
{
    switch (off) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        show_features(v, val);
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        v->driver_select = val;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        write_features(v, val);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        v->queue_select = val < v->queue_count ? val : AX_VIRTIO_QUEUES;
        show_queue(v);
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        write_notify(v, val);
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        virtio_acknowledge(v, val);
        break;
    case VIRTIO_MMIO_STATUS:
        write_status(v, val);
        break;
    case VIRTIO_MMIO_QUEUE_NUM:
    case VIRTIO_MMIO_QUEUE_READY:
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        write_queue(v, off, val);
        break;
    default: /* read-only, or none */
        break;
    }
}

void ax_virtio_write(struct ax_device *dev, uint64_t off, unsigned width,
                     uint64_t val)
{
    struct ax_virtio *v = to_virtio(dev);
    const uint64_t in_config = off - VIRTIO_MMIO_CONFIG;

    if (off < VIRTIO_MMIO_CONFIG) {
        /* 4.2.2.2: nothing else is allowed, and over PCI nothing at all. */
        if (width == 4 && !(off & 3) && !v->pci)
            ax_virtio_set_register(v, (unsigned)off, (uint32_t)val);
    } else if (v->ops->configure &&
               ax_range_within(in_config, width, 0, v->ops->config)) {
        v->ops->configure(v, (unsigned)in_config, width, val);
    }
}

uint64_t ax_virtio_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    const struct ax_virtio *v = to_virtio(dev);
    uint64_t val = 0;

    memcpy(&val, v->page + off, width);
    return val;
}
