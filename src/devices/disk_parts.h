/*
 * disk_parts.h - what disk.c (life, which way a request goes) shares with
 *
 *   disk_image.c    opening: path, size, lock, format
 *   disk_raw.c      reads, writes, holes of a file, waiting for the host
 *   disk_direct.c   the same with O_DIRECT and what is not aligned for it
 *   disk_ring.c     requests in flight, by io_uring
 *   disk_overlay.c  writes beside an image that stays as it is
 *   disk_qcow2.c    qcow2, by a qemu-nbd of its own
 *   disk_nbd.c      requests in flight there
 *
 * Private to them.
 */
#ifndef AX_DEVICES_DISK_PARTS_H
#define AX_DEVICES_DISK_PARTS_H

#include "devices/disk.h"
#include "devices/virtio_conf.h"

struct disk_nbd;
struct disk_overlay;
struct disk_ring;
struct disk_server;

enum { DISK_SECTOR = 512, DISK_ALIGN_MAX = 4096 };

struct ax_disk {
    const struct ax_disk_conf *conf;
    struct ax_log *log;
    int fd;        /* the image; -1: not open */
    uint64_t size; /* a multiple of DISK_SECTOR */
    bool qcow2, block_device;
    bool in_memory; /* tmpfs: nothing to wait for, nothing to flush */
    bool readonly;  /* for the guest */
    bool direct;    /* fd is O_DIRECT */
    unsigned align; /* of offsets and memory with direct, else 1 */
    unsigned physical_block;
    bool no_nowait;        /* RWF_NOWAIT is not known here */
    bool no_hole, no_zero; /* nor these of fallocate */
    bool lost;             /* a flush has failed: none succeeds any more */
    unsigned failing;      /* operations whose last one failed, a bit each */
    struct ax_disk_io *flushing;      /* in the ring ... */
    struct ax_disk_io *flush_sharing; /* ... and for these, too */
    struct ax_disk_io *flush_waiting; /* for the next flush */
    struct ax_disk_io *finished;      /* to be reaped, with results */
    struct disk_ring *ring;           /* NULL: every request is waited for */
    struct disk_overlay *overlay;     /* NULL: none */
    struct disk_nbd *nbd;             /* NULL: fd has the data itself */
    struct disk_server *server;       /* ... of nbd */
};

/* ---- disk_image.c ---- */

/* fd, size, lock and what else the image decides. 0 or -errno, logged. */
int ax_disk_image_open(struct ax_disk *disk);

/* What size is it now? 0 or -errno. */
int ax_disk_image_size(const struct ax_disk *disk, uint64_t *size);

/* ---- disk_raw.c: on io->fd, until all is done; 0 or -errno ---- */

int ax_disk_raw_rw(struct ax_disk_io *io);
int ax_disk_raw_discard(struct ax_disk *disk, const struct ax_disk_io *io);
int ax_disk_raw_zero(struct ax_disk *disk, const struct ax_disk_io *io);

/* fallocate's mode for an operation that has one; 0: none, or not here. */
int ax_disk_raw_mode(const struct ax_disk *disk, const struct ax_disk_io *io);

/* fallocate does not know it here: mode is not to be tried again. */
void ax_disk_raw_forget_mode(struct ax_disk *disk, int mode);

/* Takes what a call has done off the front of io->iov. */
void ax_disk_io_advance(struct ax_disk_io *io, size_t done);

/* The front of io->iov, of bytes; out has room for all. Returns the count. */
unsigned ax_disk_io_slice(const struct ax_disk_io *io, uint64_t bytes,
                          struct iovec *out);

/* Whatever the page cache has of a read, at once. True: all of it. */
bool ax_disk_raw_cached(struct ax_disk *disk, struct ax_disk_io *io);

/* ---- disk_direct.c ---- */

/* The alignment that fd, which is O_DIRECT, needs; found by reading. */
unsigned ax_disk_direct_align(int fd);

/* Can O_DIRECT take memory, and offset and length of io as they are? */
bool ax_disk_direct_fits(const struct ax_disk *disk,
                         const struct ax_disk_io *io);
bool ax_disk_direct_fits_range(const struct ax_disk *disk,
                               const struct ax_disk_io *io);

/* A read or write through a buffer that is aligned. A write that does not fit
 * the range reads what is around it: nothing else may be in flight then. */
int ax_disk_direct_rw(const struct ax_disk *disk, struct ax_disk_io *io);

/* ---- disk_ring.c ---- */

/* NULL where the host has no io_uring for us. */
struct disk_ring *ax_disk_ring_create(void);
void ax_disk_ring_destroy(struct disk_ring *ring); /* accepts NULL */
int ax_disk_ring_fd(const struct disk_ring *ring);
unsigned ax_disk_ring_count(const struct disk_ring *ring); /* in flight */

/* mode: fallocate's. False: it cannot take it now. */
bool ax_disk_ring_add(struct disk_ring *ring, struct ax_disk_io *io, int mode);
void ax_disk_ring_submit(struct disk_ring *ring);

/* One that has ended, with the kernel's result; NULL: none. */
struct ax_disk_io *ax_disk_ring_take(struct disk_ring *ring, bool wait,
                                     int *res);

/* Waits until none is in flight; what has ended is there to be taken. */
void ax_disk_ring_drain(struct disk_ring *ring);

/* ---- disk_overlay.c ---- */

int ax_disk_overlay_create(struct ax_disk *disk);
void ax_disk_overlay_destroy(struct ax_disk *disk);

/* The one descriptor that has all of it; -1: parts are in both. */
int ax_disk_overlay_route(const struct ax_disk *disk,
                          const struct ax_disk_io *io);

/* A write, discard or zeroing has been done. */
void ax_disk_overlay_done(struct ax_disk *disk, const struct ax_disk_io *io);

/* Reads what is in both. */
int ax_disk_overlay_read(struct ax_disk *disk, struct ax_disk_io *io);
int ax_disk_overlay_fd(const struct ax_disk *disk); /* the upper one */

/* ---- disk_qcow2.c ---- */

/* Is it one that may be opened? Has it served, and sets size. 0 or -errno,
 * logged. */
int ax_disk_qcow2_open(struct ax_disk *disk);
void ax_disk_qcow2_close(struct ax_disk *disk);

/* ---- disk_nbd.c ---- */

/* On a connected socket, which it takes over. 0 or -errno. */
int ax_disk_nbd_create(int sock, struct disk_nbd **out);
void ax_disk_nbd_destroy(struct disk_nbd *nbd); /* accepts NULL */
uint64_t ax_disk_nbd_size(const struct disk_nbd *nbd);
int ax_disk_nbd_fd(const struct disk_nbd *nbd);

/* It is in flight, or has ended: it comes from take. */
void ax_disk_nbd_start(struct disk_nbd *nbd, struct ax_disk_io *io);

/* One that has ended, with its result; NULL: none, or with wait: none is in
 * flight. */
struct ax_disk_io *ax_disk_nbd_take(struct disk_nbd *nbd, bool wait);

/* Starts io and waits for it; nothing else is in flight. 0 or -errno. */
int ax_disk_nbd_run(struct disk_nbd *nbd, struct ax_disk_io *io);

#endif
