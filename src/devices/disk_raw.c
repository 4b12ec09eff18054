/*
 * disk_raw.c - reads, writes and holes of a file or block device. Every
 * function waits for the host.
 */
#include "devices/disk_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

enum { ZEROES = 64 * 1024, ZERO_PIECES = 16 };

void ax_disk_io_advance(struct ax_disk_io *io, size_t done)
{
    io->done += done;
    while (io->count && done >= io->iov->iov_len) {
        done -= io->iov->iov_len;
        io->iov++;
        io->count--;
    }
    if (io->count) {
        io->iov->iov_base = (char *)io->iov->iov_base + done;
        io->iov->iov_len -= done;
    }
}

unsigned ax_disk_io_slice(const struct ax_disk_io *io, uint64_t bytes,
                          struct iovec *out)
{
    unsigned count = 0;

    for (; bytes; count++) {
        out[count] = io->iov[count];
        if (out[count].iov_len > bytes)
            out[count].iov_len = bytes;
        bytes -= out[count].iov_len;
    }
    return count;
}

static ssize_t raw_once(const struct ax_disk_io *io, int flags)
{
    const off_t off = (off_t)(io->off + io->done);

    if (io->op == AX_DISK_READ)
        return preadv2(io->fd, io->iov, (int)io->count, off, flags);
    return pwritev2(io->fd, io->iov, (int)io->count, off,
                    flags | (io->lasting ? RWF_DSYNC : 0));
}

int ax_disk_raw_rw(struct ax_disk_io *io)
{
    ssize_t n;

    while (io->done < io->bytes) {
        n = raw_once(io, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n) /* the file ends before the disk does */
            return -EIO;
        ax_disk_io_advance(io, (size_t)n);
    }
    return 0;
}

bool ax_disk_raw_cached(struct ax_disk *disk, struct ax_disk_io *io)
{
    ssize_t n;

    if (disk->no_nowait)
        return false;
    n = raw_once(io, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP)
        disk->no_nowait = true;
    if (n > 0)
        ax_disk_io_advance(io, (size_t)n);
    return io->done == io->bytes;
}

/* ---- holes ---- */

int ax_disk_raw_mode(const struct ax_disk *disk, const struct ax_disk_io *io)
{
    const bool zero = io->op == AX_DISK_ZERO;

    if (io->op == AX_DISK_DISCARD && disk->block_device && !disk->overlay)
        return 0; /* there it would have to read as zeroes */
    if ((io->op == AX_DISK_DISCARD || (zero && io->unmap)) && !disk->no_hole)
        return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return zero && !disk->no_zero ? FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE
                                  : 0;
}

void ax_disk_raw_forget_mode(struct ax_disk *disk, int mode)
{
    if (mode & FALLOC_FL_PUNCH_HOLE)
        disk->no_hole = true;
    else
        disk->no_zero = true;
}

/* -EOPNOTSUPP: not here. */
static int raw_allocate(struct ax_disk *disk, const struct ax_disk_io *io)
{
    int mode, err = -EOPNOTSUPP;

    while (err == -EOPNOTSUPP && (mode = ax_disk_raw_mode(disk, io))) {
        do {
            err = fallocate(io->fd, mode, (off_t)io->off, (off_t)io->bytes)
                      ? -errno
                      : 0;
        } while (err == -EINTR);
        if (err == -EOPNOTSUPP)
            ax_disk_raw_forget_mode(disk, mode);
    }
    return err;
}

int ax_disk_raw_discard(struct ax_disk *disk, const struct ax_disk_io *io)
{
    const uint64_t range[2] = {io->off, io->bytes};
    int err;

    if (disk->block_device && !disk->overlay)
        err = ioctl(io->fd, BLKDISCARD, range) ? -errno : 0;
    else
        err = raw_allocate(disk, io);
    return err == -EOPNOTSUPP ? 0 : err; /* it was a hint */
}

/* The next write of io's zeroes, the ones in iov. */
static void zero_piece(const struct ax_disk_io *io, struct iovec *iov,
                       void *zeroes, struct ax_disk_io *piece)
{
    const uint64_t most = ZERO_PIECES * ZEROES;
    uint64_t left = io->off + io->bytes - piece->off;

    if (left > most)
        left = most;
    piece->bytes = left;
    piece->done = 0;
    piece->iov = iov;
    for (piece->count = 0; left; piece->count++) {
        iov[piece->count] =
            (struct iovec){zeroes, left < ZEROES ? left : ZEROES};
        left -= iov[piece->count].iov_len;
    }
}

/* In pieces, so that a large range takes little memory. */
static int zero_write(const struct ax_disk *disk, const struct ax_disk_io *io)
{
    struct ax_disk_io piece = {
        .op = AX_DISK_WRITE, .fd = io->fd, .off = io->off};
    struct iovec iov[ZERO_PIECES];
    void *zeroes = aligned_alloc(DISK_ALIGN_MAX, ZEROES);
    int err = 0;

    if (!zeroes)
        return -ENOMEM;
    memset(zeroes, 0, ZEROES);
    for (; !err && piece.off < io->off + io->bytes; piece.off += piece.bytes) {
        zero_piece(io, iov, zeroes, &piece);
        err = disk->direct && !ax_disk_direct_fits(disk, &piece)
                  ? ax_disk_direct_rw(disk, &piece)
                  : ax_disk_raw_rw(&piece);
    }
    free(zeroes);
    return err;
}

int ax_disk_raw_zero(struct ax_disk *disk, const struct ax_disk_io *io)
{
    int err = raw_allocate(disk, io);

    return err == -EOPNOTSUPP ? zero_write(disk, io) : err;
}
