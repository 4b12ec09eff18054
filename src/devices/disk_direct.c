/*
 * disk_direct.c - reads and writes that O_DIRECT does not take as they are: the
 * guest's memory, or the range on the disk, is not aligned as the host's disk
 * wants it. They go through a buffer that is.
 */
#include "devices/disk_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 1024 * 1024 };

/* ---- alignment ---- */

unsigned ax_disk_direct_align(int fd)
{
    unsigned align = DISK_SECTOR;
    char *buffer = aligned_alloc(DISK_ALIGN_MAX, 2 * DISK_ALIGN_MAX);

    /* An offset and a buffer that fit just this and nothing larger. */
    while (buffer && align < DISK_ALIGN_MAX &&
           pread(fd, buffer + align, align, align) < 0 && errno == EINVAL)
        align *= 2;
    free(buffer);
    return buffer ? align : DISK_ALIGN_MAX;
}

bool ax_disk_direct_fits_range(const struct ax_disk *disk,
                               const struct ax_disk_io *io)
{
    return !((io->off | io->bytes) & (disk->align - 1));
}

bool ax_disk_direct_fits(const struct ax_disk *disk,
                         const struct ax_disk_io *io)
{
    uintptr_t all = 0;

    for (unsigned i = 0; i < io->count; i++)
        all |= (uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len;
    return ax_disk_direct_fits_range(disk, io) && !(all & (disk->align - 1));
}

/* ---- the buffer ---- */

/* What of the request is in the buffer, which holds [off, off + bytes). */
struct piece {
    uint64_t off;
    size_t bytes;
    size_t from, count; /* of it, the request's */
};

static struct piece piece_at(const struct ax_disk *disk, uint64_t at,
                             uint64_t end)
{
    struct piece p = {.off = ax_align_down(at, disk->align)};

    p.bytes = (size_t)(ax_align_up(end, disk->align) - p.off);
    if (p.bytes > BUFFER)
        p.bytes = BUFFER;
    p.from = (size_t)(at - p.off);
    p.count = p.bytes - p.from;
    if (p.count > end - at)
        p.count = (size_t)(end - at);
    return p;
}

static int buffer_rw(int fd, bool write, char *buffer, const struct piece *p)
{
    size_t done = 0;
    ssize_t n;

    while (done < p->bytes) {
        const off_t off = (off_t)(p->off + done);

        n = write ? pwrite(fd, buffer + done, p->bytes - done, off)
                  : pread(fd, buffer + done, p->bytes - done, off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            return -EIO;
        done += (size_t)n;
    }
    return 0;
}

/* Between the buffer and the front of io's memory, which moves on. */
static void buffer_copy(struct ax_disk_io *io, char *at, size_t count)
{
    while (count) {
        const size_t n = count < io->iov->iov_len ? count : io->iov->iov_len;

        if (io->op == AX_DISK_WRITE)
            memcpy(at, io->iov->iov_base, n);
        else
            memcpy(io->iov->iov_base, at, n);
        ax_disk_io_advance(io, n);
        at += n;
        count -= n;
    }
}

static int direct_piece(const struct ax_disk *disk, struct ax_disk_io *io,
                        char *buffer)
{
    const bool write = io->op == AX_DISK_WRITE;
    const struct piece p =
        piece_at(disk, io->off + io->done, io->off + io->bytes);
    int err = 0;

    if (!write || p.count < p.bytes)
        err = buffer_rw(io->fd, false, buffer, &p);
    if (err)
        return err;
    buffer_copy(io, buffer + p.from, p.count);
    return write ? buffer_rw(io->fd, true, buffer, &p) : 0;
}

int ax_disk_direct_rw(const struct ax_disk *disk, struct ax_disk_io *io)
{
    char *buffer = aligned_alloc(DISK_ALIGN_MAX, BUFFER);
    int err = buffer ? 0 : -ENOMEM;

    while (!err && io->done < io->bytes)
        err = direct_piece(disk, io, buffer);
    free(buffer);
    if (!err && io->op == AX_DISK_WRITE && io->lasting && fdatasync(io->fd))
        err = -errno;
    return err;
}
