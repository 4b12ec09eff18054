/*
 * disk.c - life of a disk, and which way each request goes: at once, where that
 * is a copy from or to the host's memory or where nobody has anything better to
 * do than wait; into the ring where the host's disk has to work.
 */
#include "devices/disk_parts.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- life ---- */

int ax_disk_open(const struct ax_disk_conf *conf, struct ax_log *log,
                 struct ax_disk **out)
{
    struct ax_disk *disk = calloc(1, sizeof(*disk));
    int err;

    *out = NULL;
    if (!disk)
        return -ENOMEM;
    disk->conf = conf;
    disk->log = log;
    disk->fd = -1;
    disk->readonly = conf->readonly;
    err = ax_disk_image_open(disk);
    if (!err && conf->overlay && !conf->readonly)
        err = ax_disk_overlay_create(disk);
    if (err) {
        ax_disk_close(disk);
        return err;
    }
    if (!disk->in_memory && !disk->nbd)
        disk->ring = ax_disk_ring_create();
    *out = disk;
    return 0;
}

void ax_disk_close(struct ax_disk *disk)
{
    if (!disk)
        return;
    ax_disk_ring_destroy(disk->ring);
    ax_disk_qcow2_close(disk);
    ax_disk_overlay_destroy(disk);
    if (disk->fd >= 0)
        close(disk->fd);
    free(disk);
}

struct ax_disk_traits ax_disk_traits(const struct ax_disk *disk)
{
    return (struct ax_disk_traits){
        .size = disk->size,
        .physical_block = disk->physical_block,
        .readonly = disk->readonly,
        .lasting = disk->conf->cache == AX_DISK_WRITETHROUGH,
        .discards = !disk->readonly,
    };
}

/* Do requests go there and nowhere else? */
static bool disk_in_nbd(const struct ax_disk *disk)
{
    return disk->nbd && !disk->overlay;
}

int ax_disk_fd(const struct ax_disk *disk)
{
    if (disk_in_nbd(disk))
        return ax_disk_nbd_fd(disk->nbd);
    return disk->ring ? ax_disk_ring_fd(disk->ring) : -1;
}

/* ---- the end of a request ---- */

static void disk_complain(const struct ax_disk *disk,
                          const struct ax_disk_io *io)
{
    static const char *const names[AX_DISK_OPS] = {
        [AX_DISK_READ] = "read",       [AX_DISK_WRITE] = "write",
        [AX_DISK_FLUSH] = "flush",     [AX_DISK_DISCARD] = "discard",
        [AX_DISK_ZERO] = "write of 0",
    };

    if (disk->lost && io->op == AX_DISK_FLUSH)
        ax_log_guest(disk->log, AX_LOG_WARN,
                     "disk %s: a flush has failed, data of the guest may be "
                     "lost: no flush succeeds any more until the VM starts "
                     "again",
                     disk->conf->path);
    else
        ax_log_guest(disk->log, AX_LOG_WARN,
                     "disk %s: %s of %llu bytes at %llu: %s: the guest gets an "
                     "I/O error",
                     disk->conf->path, names[io->op],
                     (unsigned long long)io->bytes, (unsigned long long)io->off,
                     strerror(-io->result));
}

/* Errors are told when a kind of request begins to fail, not for each. */
static void disk_end(struct ax_disk *disk, struct ax_disk_io *io, int result)
{
    const unsigned bit = 1U << io->op;

    io->result = result;
    if (result) {
        /* What could not be written is gone from the host's memory, and the
         * kernel tells that once: to one of several flushes perhaps. */
        if (io->op == AX_DISK_FLUSH)
            disk->lost = true;
        if (!(disk->failing & bit))
            disk_complain(disk, io);
        disk->failing |= bit;
        return;
    }
    disk->failing &= ~bit;
    if (disk->overlay && io->op != AX_DISK_READ && io->op != AX_DISK_FLUSH)
        ax_disk_overlay_done(disk, io);
}

/* ---- at once ---- */

static int disk_flush_now(struct ax_disk *disk)
{
    int err;

    do {
        err = fdatasync(disk->fd) ? -errno : 0;
    } while (err == -EINTR);
    return err;
}

static int disk_rw_now(struct ax_disk *disk, struct ax_disk_io *io)
{
    if (io->fd < 0)
        return ax_disk_overlay_read(disk, io);
    if (!disk->direct || ax_disk_direct_fits(disk, io))
        return ax_disk_raw_rw(io);
    /* It reads what is around it and writes that back. */
    if (disk->ring && io->op == AX_DISK_WRITE &&
        !ax_disk_direct_fits_range(disk, io))
        ax_disk_ring_drain(disk->ring);
    return ax_disk_direct_rw(disk, io);
}

static int disk_now(struct ax_disk *disk, struct ax_disk_io *io)
{
    int err;

    switch (io->op) {
    case AX_DISK_FLUSH:
        return disk_flush_now(disk);
    case AX_DISK_DISCARD:
        err = ax_disk_raw_discard(disk, io);
        break;
    case AX_DISK_ZERO:
        err = ax_disk_raw_zero(disk, io);
        break;
    default:
        return disk_rw_now(disk, io);
    }
    return !err && io->lasting ? disk_flush_now(disk) : err;
}

/* ---- in flight ---- */

static void disk_queue(struct ax_disk_io **list, struct ax_disk_io *io)
{
    while (*list)
        list = &(*list)->next;
    io->next = NULL;
    *list = io;
}

static bool disk_start_flush(struct ax_disk *disk, struct ax_disk_io *io)
{
    if (disk->flushing) {
        disk_queue(&disk->flush_waiting, io);
        return true;
    }
    if (!ax_disk_ring_add(disk->ring, io, 0))
        return false;
    disk->flushing = io;
    return true;
}

/* Does the host's disk have to work for it, and can the ring tell when? */
static bool disk_start_in_ring(struct ax_disk *disk, struct ax_disk_io *io,
                               bool alone)
{
    int mode;

    if (disk_in_nbd(disk)) {
        ax_disk_nbd_start(disk->nbd, io);
        return true;
    }
    if (!disk->ring)
        return false;
    switch (io->op) {
    case AX_DISK_FLUSH:
        return disk_start_flush(disk, io);
    case AX_DISK_READ:
    case AX_DISK_WRITE:
        if (alone || io->fd < 0)
            return false;
        if (disk->direct)
            return ax_disk_direct_fits(disk, io) &&
                   ax_disk_ring_add(disk->ring, io, 0);
        if (io->op == AX_DISK_WRITE)
            return io->lasting && ax_disk_ring_add(disk->ring, io, 0);
        return !ax_disk_raw_cached(disk, io) &&
               ax_disk_ring_add(disk->ring, io, 0);
    default:
        mode = ax_disk_raw_mode(disk, io);
        return mode && !io->lasting && ax_disk_ring_add(disk->ring, io, mode);
    }
}

/* Overlays, and what is in memory anyway, have nothing to flush to. */
static bool disk_flushes(const struct ax_disk *disk)
{
    return !disk->overlay && !disk->in_memory && !disk->readonly &&
           disk->conf->cache != AX_DISK_UNSAFE;
}

bool ax_disk_start(struct ax_disk *disk, struct ax_disk_io *io, bool alone)
{
    const bool flush = io->op == AX_DISK_FLUSH;

    io->done = 0;
    io->lasting &= disk_flushes(disk);
    io->fd =
        disk->overlay && io->bytes ? ax_disk_overlay_route(disk, io) : disk->fd;
    if (flush ? !disk_flushes(disk) : !io->bytes)
        disk_end(disk, io, 0);
    else if (flush && disk->lost)
        disk_end(disk, io, -EIO);
    else if (disk_start_in_ring(disk, io, alone))
        return false;
    else
        disk_end(disk, io, disk_now(disk, io));
    return true;
}

void ax_disk_submit(struct ax_disk *disk)
{
    if (disk->ring)
        ax_disk_ring_submit(disk->ring);
}

/* ---- out of flight ---- */

static void disk_end_all(struct ax_disk *disk, struct ax_disk_io *list,
                         int result)
{
    while (list) {
        struct ax_disk_io *io = list;

        list = io->next;
        disk_end(disk, io, result);
        disk_queue(&disk->finished, io);
    }
}

/*
 * A flush has ended, and with it those that it was for. What came while it was
 * in flight shares the next one: of two at the same time only one is told of an
 * error.
 */
static void disk_flushed(struct ax_disk *disk, int result)
{
    struct ax_disk_io *next = disk->flush_waiting;

    disk_end_all(disk, disk->flush_sharing, result);
    disk->flushing = disk->flush_waiting = disk->flush_sharing = NULL;
    if (!next)
        return;
    disk->flush_sharing = next->next;
    next->next = NULL;
    if (!result && ax_disk_ring_add(disk->ring, next, 0)) {
        disk->flushing = next;
        ax_disk_ring_submit(disk->ring);
        return;
    }
    if (!result)
        result = disk_flush_now(disk);
    disk_end_all(disk, next, result);
    disk_end_all(disk, disk->flush_sharing, result);
    disk->flush_sharing = NULL;
}

/* Does at once what the kernel has left of it. */
static int disk_complete(struct ax_disk *disk, struct ax_disk_io *io, int res)
{
    const bool again = res == -EINTR || res == -EAGAIN || res == -EOPNOTSUPP;

    if (again)
        return disk_now(disk, io);
    if (res < 0 || (io->op != AX_DISK_READ && io->op != AX_DISK_WRITE))
        return res;
    ax_disk_io_advance(io, (size_t)res);
    return io->done < io->bytes ? disk_now(disk, io) : 0;
}

static struct ax_disk_io *disk_reap(struct ax_disk *disk, bool wait)
{
    struct ax_disk_io *io = disk->finished;
    int res;

    if (io) {
        disk->finished = io->next;
        return io;
    }
    if (disk_in_nbd(disk)) {
        io = ax_disk_nbd_take(disk->nbd, wait);
        if (io)
            disk_end(disk, io, io->result);
        return io;
    }
    io = disk->ring ? ax_disk_ring_take(disk->ring, wait, &res) : NULL;
    if (!io)
        return NULL;
    disk_end(disk, io, disk_complete(disk, io, res));
    if (io == disk->flushing)
        disk_flushed(disk, io->result);
    return io;
}

struct ax_disk_io *ax_disk_reap(struct ax_disk *disk)
{
    return disk_reap(disk, false);
}

struct ax_disk_io *ax_disk_await(struct ax_disk *disk)
{
    return disk_reap(disk, true);
}

/* ---- size ---- */

static int disk_set_size(struct ax_disk *disk, uint64_t size)
{
    if (disk->readonly)
        return -EROFS;
    if (disk->block_device)
        return -EOPNOTSUPP;
    if (!size || size > INT64_MAX || size % disk->align || size % DISK_SECTOR)
        return -EINVAL;
    return ftruncate(disk->fd, (off_t)size) ? -errno : 0;
}

int ax_disk_resize(struct ax_disk *disk, uint64_t *size)
{
    int err = disk->overlay || disk->nbd ? -EOPNOTSUPP : 0;

    if (!err && *size)
        err = disk_set_size(disk, *size);
    if (!err)
        err = ax_disk_image_size(disk, size);
    if (!err)
        disk->size = *size;
    return err;
}
