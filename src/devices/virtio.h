/*
 * virtio.h - what every virtio device shares: registers, features, status and
 * queues (VIRTIO 1.2, sections 2 and 3), over virtio-mmio version 2 (4.2), or
 * over PCI (4.1) where the board has given it a slot.
 *
 * A device type is one file, virtio_<type>.c: an ax_device_ops with
 * AX_VIRTIO_DEVICE_OPS, whose state begins with struct ax_virtio, and an
 * ax_virtio_ops. All of its functions run with the device's lock held, and all
 * work is done on env.loop's thread: a vCPU only rings.
 *
 * Everything the driver can read lies in one page, which the engine may show to
 * the guest as memory: reading registers then costs no exit. So nothing here
 * has side effects on reading, as the specification has it for all registers.
 */
#ifndef AX_DEVICES_VIRTIO_H
#define AX_DEVICES_VIRTIO_H

#include "devices/device.h"
#include "devices/virtqueue.h"

#include <stdatomic.h>

struct ax_virtio;
struct ax_virtio_pci;
struct ax_wake;
struct ax_watch;

enum {
    AX_VIRTIO_QUEUES = 16,
    AX_VIRTIO_CONFIG = 256, /* bytes of configuration space at most */
};

struct ax_virtio_ops {
    uint32_t id;       /* device type: VIRTIO 1.2, section 5 */
    unsigned config;   /* bytes of configuration space */
    bool bell_is_slow; /* rarely notified: no doorbell of the engine's */

    /*
     * The driver writes its configuration space; off + width <= config. The
     * bytes change only if this changes them. NULL: it is read-only.
     */
    void (*configure)(struct ax_virtio *v, unsigned off, unsigned width,
                      uint64_t val);

    /* DRIVER_OK: v->accepted and the queues are final. Not 0: the device wants
     * a reset, which it has logged. On the vCPU's thread. */
    int (*start)(struct ax_virtio *v);

    /* On the loop: the driver has made buffers available in this queue, or may
     * have. Also once for every queue after start. */
    void (*kick)(struct ax_virtio *v, unsigned queue);

    /*
     * Reset, or the end: no byte of guest memory is touched any more when this
     * returns; what was begun has ended or is abandoned. Also without a start.
     * On any thread. May be NULL.
     */
    void (*stop)(struct ax_virtio *v);
};

struct ax_virtio {
    struct ax_device dev; /* first */
    const struct ax_virtio_ops *ops;
    uint64_t offered;  /* feature bits; a model may drop some in its init */
    uint64_t accepted; /* ... of the driver, final with running */
    bool running;      /* between start and stop */
    unsigned queue_count, queue_size;
    struct ax_virtq queues[AX_VIRTIO_QUEUES];

    /* virtio.c's own */
    uint8_t *page; /* registers and configuration space */
    bool page_owned;
    struct ax_virtio_pci *pci; /* NULL: it is a device of virtio-mmio */
    bool failed;               /* it waits for its reset */
    uint32_t queue_select;
    uint64_t chosen; /* what the driver writes before FEATURES_OK */
    uint32_t driver_select;
    struct ax_virtq_layout layouts[AX_VIRTIO_QUEUES];
    int doorbell, irq_event; /* eventfds, -1: not the engine's way */
    int deaf;                /* where acknowledgements end, -1: they come */
    bool doorbell_armed, irq_armed;
    unsigned lent; /* queues, a bit each */
    struct ax_watch *bell;
    struct ax_wake *wake;
    atomic_uint rung; /* queues, a bit each, to be kicked on the loop */
};

/* For the ax_device_ops of a device type. */
#define AX_VIRTIO_DEVICE_OPS                                                   \
    .compatible = "virtio,mmio", .size = AX_DEVICE_PAGE,                       \
    .widths = AX_WIDTH_1 | AX_WIDTH_2 | AX_WIDTH_4 | AX_WIDTH_8,               \
    .read = ax_virtio_read, .write = ax_virtio_write, .reset = ax_virtio_reset
uint64_t ax_virtio_read(struct ax_device *dev, uint64_t off, unsigned width);
void ax_virtio_write(struct ax_device *dev, uint64_t off, unsigned width,
                     uint64_t val);
void ax_virtio_reset(struct ax_device *dev);

/*
 * From the model's init. features: the type's own bits; those of the ring and
 * the transport are added. queue_size: a power of two, at most AX_VIRTQ_SIZE.
 * 0 or -errno; fini accepts what init left.
 */
int ax_virtio_init(struct ax_virtio *v, const struct ax_virtio_ops *ops,
                   uint64_t features, unsigned queue_count,
                   unsigned queue_size);
void ax_virtio_fini(struct ax_virtio *v);

/* Did driver and device agree on this feature (a number, not a mask)? */
bool ax_virtio_has(const struct ax_virtio *v, unsigned feature);

/* The configuration space, as the driver reads it. Writable before the guest
 * runs; afterwards by ax_virtio_reconfigure and in ops->configure. */
void *ax_virtio_config(struct ax_virtio *v);

/* Changes a part of it, with the generation, and interrupts the driver. */
void ax_virtio_reconfigure(struct ax_virtio *v, unsigned off, const void *bytes,
                           unsigned count);

/* After pushes to a queue: interrupts the driver if it wants to hear of them.
 */
void ax_virtio_done(struct ax_virtio *v, struct ax_virtq *q);

/*
 * Queues, a bit each, have work that nobody notifies of: kick does it now, on
 * the loop, or soon, from any thread. Soon is for what is more than one turn of
 * the loop shall take.
 */
void ax_virtio_kick(struct ax_virtio *v, unsigned queues);
void ax_virtio_kick_soon(struct ax_virtio *v, unsigned queues);

/*
 * The device cannot go on: DEVICE_NEEDS_RESET, logged once per start. why:
 * static text. A queue that broke does this by itself after each kick.
 */
void ax_virtio_fail(struct ax_virtio *v, const char *why);

/*
 * For queues whose work somebody else does (vhost): the doorbell signals fd
 * instead of leading to a kick, and its work is done by signalling the event,
 * which is -EINVAL if the driver wants none, or another -errno. -EOPNOTSUPP: it
 * cannot. Taken back in stop at the latest. Split rings only: vhost knows no
 * others.
 */
int ax_virtio_lend_queue(struct ax_virtio *v, unsigned queue, int fd, bool on);
int ax_virtio_irq_event(struct ax_virtio *v, unsigned queue);

/* Can queues be lent at all? */
bool ax_virtio_lends(const struct ax_virtio *v);

#endif
