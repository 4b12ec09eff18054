/*
 * virtqueue.h - the device's side of a virtqueue, split or packed (VIRTIO 1.2,
 * 2.7 and 2.8).
 *
 * Rings and descriptors are the guest's and may change at any time: every
 * value is read once, checked, and used as read. A queue that breaks a rule is
 * broken until it is enabled anew: it gives nothing more, and its device asks
 * for a reset. Used under the device's lock.
 */
#ifndef AX_DEVICES_VIRTQUEUE_H
#define AX_DEVICES_VIRTQUEUE_H

#include "base.h"

#include <sys/uio.h>

struct ax_memory;

enum { AX_VIRTQ_SIZE = 256 }; /* descriptors at most */

/* As the driver has set it up. */
struct ax_virtq_layout {
    uint16_t size; /* descriptors; a power of two for a split ring */
    bool packed, event_idx, indirect;
    /* Split: descriptor table, available ring, used ring. Packed: descriptor
     * ring, driver's and device's event suppression. */
    ax_gpa desc, driver, device;
};

/*
 * One request: what the device reads (out) and, behind it in iov, what it
 * writes (in). Pointers are into guest memory, checked, and valid until the
 * queue is disabled; what they point to may change at any time.
 */
struct ax_virtq_chain {
    uint16_t id;    /* the ring's name of it, for ax_virtq_push */
    uint16_t slots; /* of a packed ring */
    unsigned out, in;
    size_t out_bytes, in_bytes;
    struct iovec iov[AX_VIRTQ_SIZE];
};

struct ax_virtq {
    const struct ax_memory *mem;
    bool enabled, broken;
    const char *why; /* it is broken; static text */
    struct ax_virtq_layout layout;
    void *desc, *driver, *device; /* layout's, in our memory */
    uint16_t avail, used;         /* next slots; free running if split */
    bool avail_wrap, used_wrap;   /* packed */
    bool quiet;                   /* the driver was asked not to notify */
    unsigned since;               /* slots pushed since it was last told */
};

void ax_virtq_init(struct ax_virtq *q, const struct ax_memory *mem);

/* -EINVAL: no such size, a ring outside RAM, or not aligned. */
int ax_virtq_enable(struct ax_virtq *q, const struct ax_virtq_layout *layout);

/* Forgets everything: as after init. */
void ax_virtq_disable(struct ax_virtq *q);

/* The next request. False: none is there, or the queue is not enabled or
 * broken. */
bool ax_virtq_pop(struct ax_virtq *q, struct ax_virtq_chain *chain);

/* Is there something to pop? */
bool ax_virtq_pending(struct ax_virtq *q);

/* The last one popped was not: the next pop gives it again. */
void ax_virtq_unpop(struct ax_virtq *q, const struct ax_virtq_chain *chain);

/* The request is done; written: bytes, from the first of in. In any order. */
void ax_virtq_push(struct ax_virtq *q, const struct ax_virtq_chain *chain,
                   size_t written);

/* The same by what a device has kept of a chain. */
void ax_virtq_push_id(struct ax_virtq *q, uint16_t id, uint16_t slots,
                      size_t written);

/* What a device has kept of a chain, and done with it. */
struct ax_virtq_used {
    uint16_t id, slots;
    uint32_t written;
};

/* Several as one: the driver sees none of them before it sees all. */
void ax_virtq_push_all(struct ax_virtq *q, const struct ax_virtq_used *used,
                       unsigned count);

/*
 * Does the driver want to hear of what was pushed since this was asked last?
 * Full barrier.
 */
bool ax_virtq_wants_interrupt(struct ax_virtq *q);

/*
 * Asks the driver not to notify of what it makes available, or to do so again:
 * the caller then has to look at the queue once more. While it is not quiet, a
 * pop that finds nothing is followed by a notification, whenever there is more.
 */
void ax_virtq_quiet(struct ax_virtq *q, bool quiet);

/*
 * Copies from what the device reads, or into what it writes, from byte off on;
 * returns how many bytes there were, at most count.
 */
size_t ax_virtq_read(const struct ax_virtq_chain *chain, size_t off, void *buf,
                     size_t count);
size_t ax_virtq_write(const struct ax_virtq_chain *chain, size_t off,
                      const void *buf, size_t count);

/*
 * The part [off, off + count) of either as iovec into out, which has
 * AX_VIRTQ_SIZE entries. Returns how many were used; they hold less than count
 * bytes where the chain does.
 */
unsigned ax_virtq_slice_out(const struct ax_virtq_chain *chain, size_t off,
                            size_t count, struct iovec *out);
unsigned ax_virtq_slice_in(const struct ax_virtq_chain *chain, size_t off,
                           size_t count, struct iovec *out);

#endif
