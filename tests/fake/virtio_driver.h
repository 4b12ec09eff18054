/*
 * virtio_driver.h - a guest's virtio driver, for tests of devices: one that
 * keeps to VIRTIO 1.2, and the means for one that does not.
 *
 * Everything on one thread: the device works when the driver runs its loop. A
 * mistake of the test itself ends it. Guest memory is AX_DRIVER_MEMORY bytes
 * at 0; allocations are never freed but by ax_driver_fini.
 */
#ifndef AX_TESTS_FAKE_VIRTIO_DRIVER_H
#define AX_TESTS_FAKE_VIRTIO_DRIVER_H

#include "devices/device.h"
#include "devices/virtqueue.h"
#include "memory/memory.h"

#define AX_DRIVER_MEMORY AX_MIB(64)

enum { AX_DRIVER_QUEUES = 16, AX_DRIVER_LINE = 5 };

/* The driver's half of a queue. */
struct ax_driver_queue {
    struct ax_virtq_layout layout; /* of split and packed rings alike */
    uint16_t next, used;           /* slots; split: free running */
    bool next_wrap, used_wrap;
    uint16_t free;                 /* descriptors */
    uint16_t slots[AX_VIRTQ_SIZE]; /* by id: descriptors in use; 0: none */
    uint16_t link[AX_VIRTQ_SIZE];  /* split: free list */
    uint16_t first_free;
};

struct ax_driver {
    struct ax_memory mem;
    struct ax_loop *loop;
    struct ax_log *log; /* /dev/null */
    struct ax_device *dev;
    unsigned interrupts; /* rising edges */
    uint64_t features;   /* as negotiated */
    bool indirect;       /* use tables of descriptors, where negotiated */
    ax_gpa allocated;
    struct ax_driver_queue queues[AX_DRIVER_QUEUES];
};

/* One buffer of a request. */
struct ax_driver_buf {
    ax_gpa gpa;
    uint32_t len;
    bool in; /* the device writes it */
};

/*
 * A device of this model, with conf as its env.conf. prepare (may be NULL)
 * changes the rest of env before the device is created: with a slot of a bus it
 * is a PCI function, and everything below goes over PCI. 0 or the model's
 * error; ax_driver_fini accepts both.
 */
int ax_driver_init(struct ax_driver *d, const struct ax_device_ops *ops,
                   const void *conf,
                   void (*prepare)(struct ax_device_env *env, void *ctx),
                   void *ctx);
void ax_driver_fini(struct ax_driver *d);

/* A register of virtio-mmio's, or what PCI has in its place; or a field of
 * configuration space, off from 0x100 on. */
uint64_t ax_driver_get(struct ax_driver *d, unsigned off, unsigned width);
void ax_driver_set(struct ax_driver *d, unsigned off, unsigned width,
                   uint64_t val);

/* The features that the device offers. */
uint64_t ax_driver_offered(struct ax_driver *d);

/*
 * Reset, features (the offered ones of wanted, and VERSION_1), all queues with
 * size descriptors each (or what the device has, if that is less), DRIVER_OK.
 * False: the device did not take it. The steps one by one are below.
 */
bool ax_driver_start(struct ax_driver *d, uint64_t wanted, unsigned size);
void ax_driver_reset(struct ax_driver *d);
bool ax_driver_negotiate(struct ax_driver *d, uint64_t wanted);
void ax_driver_set_up_queue(struct ax_driver *d, unsigned queue, unsigned size);
void ax_driver_ok(struct ax_driver *d);

/* Does it want a reset? */
bool ax_driver_needs_reset(struct ax_driver *d);

/* Guest memory: zeroed, aligned to 16; and a pointer to it. */
ax_gpa ax_driver_alloc(struct ax_driver *d, size_t size);
void *ax_driver_at(struct ax_driver *d, ax_gpa gpa, size_t size);
ax_gpa ax_driver_put(struct ax_driver *d, const void *bytes, size_t size);

/*
 * Makes a request available, buffers to be read first. Returns its id, or -1 if
 * the queue has no room. Does not notify.
 */
int ax_driver_add(struct ax_driver *d, unsigned queue,
                  const struct ax_driver_buf *bufs, unsigned count);
void ax_driver_notify(struct ax_driver *d, unsigned queue);

/* Takes a request that is done; false: there is none yet. */
bool ax_driver_take(struct ax_driver *d, unsigned queue, unsigned *id,
                    uint32_t *len);

/* Runs the loop until one is done, 20 seconds at most; false then. */
bool ax_driver_wait(struct ax_driver *d, unsigned queue, unsigned *id,
                    uint32_t *len);

/* All of it: add, notify, wait. Returns the used length, or -1. */
int64_t ax_driver_ask(struct ax_driver *d, unsigned queue,
                      const struct ax_driver_buf *bufs, unsigned count);

/* Runs the loop until done(ctx) says so, 20 seconds at most; false then. */
bool ax_driver_run(struct ax_driver *d, bool (*done)(void *ctx), void *ctx);

/* Runs the loop until what was ready when it was called has been served. */
void ax_driver_settle(struct ax_driver *d);

/* ---- for one that does not keep to the rules: split rings ---- */

/* A descriptor as it is, and a head made available. */
void ax_driver_raw_desc(struct ax_driver *d, unsigned queue, unsigned index,
                        ax_gpa addr, uint32_t len, uint16_t flags,
                        uint16_t next);
void ax_driver_raw_avail(struct ax_driver *d, unsigned queue, uint16_t head);
void ax_driver_raw_avail_idx(struct ax_driver *d, unsigned queue, uint16_t idx);

#endif
