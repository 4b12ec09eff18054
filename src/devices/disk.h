/*
 * disk.h - what is behind a disk: an image file or a block device, as it is or
 * below an overlay, raw or qcow2. Knows no guest and no queue.
 *
 * Requests are whole: they end when all bytes are done or with an error, which
 * is logged once per burst. One thread at a time, which need not be the same.
 */
#ifndef AX_DEVICES_DISK_H
#define AX_DEVICES_DISK_H

#include "base.h"

#include <sys/uio.h>

struct ax_disk;
struct ax_disk_conf;
struct ax_log;

enum ax_disk_op {
    AX_DISK_READ,
    AX_DISK_WRITE,
    AX_DISK_FLUSH,   /* what was written before lasts */
    AX_DISK_DISCARD, /* content is of no use any more: a hint */
    AX_DISK_ZERO,    /* reads as zeroes from now on */
    AX_DISK_OPS,
};

/*
 * One request, the caller's until it is done. iov is changed on the way.
 * [off, off + bytes) lies within the disk; the caller has checked that.
 */
struct ax_disk_io {
    enum ax_disk_op op;
    bool lasting; /* WRITE, DISCARD, ZERO: with a flush of it */
    bool unmap;   /* ZERO: may give the space back */
    uint64_t off, bytes;
    struct iovec *iov; /* READ, WRITE: bytes in sum */
    unsigned count;
    int result; /* 0 or -errno, when it is done */

    /* disk*.c's own */
    int fd;
    uint64_t done; /* bytes that iov has no more */
    struct ax_disk_io *next;
};

/* Requests in flight at most. */
enum { AX_DISK_DEPTH = 256 };

/*
 * Opens and locks what conf says; conf outlives the disk. 0 or -errno, logged
 * with the cure.
 */
int ax_disk_open(const struct ax_disk_conf *conf, struct ax_log *log,
                 struct ax_disk **out);

/* Accepts NULL. Waits for what is in flight. */
void ax_disk_close(struct ax_disk *disk);

struct ax_disk_traits {
    uint64_t size;           /* bytes, a multiple of 512 */
    unsigned physical_block; /* what is written fastest; a power of two */
    bool readonly;
    bool
        lasting; /* a write has to be flushed at once, whatever a driver says */
    bool discards;
};
struct ax_disk_traits ax_disk_traits(const struct ax_disk *disk);

/*
 * True: it is done, io->result says how. False: it is in flight and will come
 * from ax_disk_reap; at most AX_DISK_DEPTH are. alone: nobody waits for
 * anything else, so that waiting for the host is the shortest way.
 */
bool ax_disk_start(struct ax_disk *disk, struct ax_disk_io *io, bool alone);

/* After a batch of starts: now they begin. */
void ax_disk_submit(struct ax_disk *disk);

/* One that was in flight and is done, or NULL. Does not wait. */
struct ax_disk_io *ax_disk_reap(struct ax_disk *disk);

/* The same, and waits for one; NULL: none is in flight. */
struct ax_disk_io *ax_disk_await(struct ax_disk *disk);

/* A descriptor that is readable while there is something to reap; -1: nothing
 * is ever in flight. */
int ax_disk_fd(const struct ax_disk *disk);

/*
 * *size 0: takes over the size that the image has now; otherwise gives it that
 * one, a multiple of 512. *size is what it is then. -EOPNOTSUPP: this disk
 * cannot; -EROFS; -EINVAL: no such size; or the host's -errno. Nothing may be
 * in flight.
 */
int ax_disk_resize(struct ax_disk *disk, uint64_t *size);

#endif
