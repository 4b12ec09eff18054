/*
 * disk_overlay.c - writes go to a file without a name, which ends with the
 * process, and the image stays as it is. A bit per sector says which of the two
 * has it, so that no write ever has to read first.
 */
#include "devices/disk_parts.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORD_BITS = 64 };

struct disk_overlay {
    int fd;
    uint64_t *bits; /* mapped: only what is touched takes memory */
    size_t mapped;
};

int ax_disk_overlay_fd(const struct ax_disk *disk)
{
    return disk->overlay->fd;
}

/* ---- life ---- */

static int overlay_file(struct ax_disk *disk)
{
    const char *chosen = secure_getenv("TMPDIR");
    const char *const dirs[] = {chosen ? chosen : "/var/tmp", "/var/tmp",
                                "/tmp"};

    for (unsigned i = 0; i < AX_ARRAY_LEN(dirs); i++) {
        const int fd = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd >= 0)
            return fd;
    }
    ax_log(disk->log, AX_LOG_ERROR,
           "disk %s: no file for its overlay: neither $TMPDIR nor /var/tmp nor "
           "/tmp takes one (O_TMPFILE): %s",
           disk->conf->path, strerror(errno));
    return -EIO;
}

int ax_disk_overlay_create(struct ax_disk *disk)
{
    struct disk_overlay *o = calloc(1, sizeof(*o));
    const uint64_t words = disk->size / DISK_SECTOR / WORD_BITS + 1;

    if (!o)
        return -ENOMEM;
    disk->overlay = o;
    o->fd = overlay_file(disk);
    if (o->fd < 0)
        return o->fd;
    o->mapped = words * sizeof(uint64_t);
    o->bits = mmap(NULL, o->mapped, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (o->bits == MAP_FAILED)
        o->bits = NULL;
    if (!o->bits || ftruncate(o->fd, (off_t)disk->size)) {
        ax_log(disk->log, AX_LOG_ERROR,
               "disk %s: an overlay of its %llu bytes cannot be made: %s",
               disk->conf->path, (unsigned long long)disk->size,
               strerror(errno));
        return -EFBIG;
    }
    return 0;
}

void ax_disk_overlay_destroy(struct ax_disk *disk)
{
    struct disk_overlay *o = disk->overlay;

    if (!o)
        return;
    if (o->bits)
        munmap(o->bits, o->mapped);
    if (o->fd >= 0)
        close(o->fd);
    free(o);
    disk->overlay = NULL;
}

/* ---- which of the two ---- */

static bool overlay_has(const struct disk_overlay *o, uint64_t sector)
{
    return o->bits[sector / WORD_BITS] >> sector % WORD_BITS & 1;
}

/* The first sector of [from, end) that is elsewhere than from, or end. */
static uint64_t overlay_run(const struct disk_overlay *o, uint64_t from,
                            uint64_t end)
{
    const bool upper = overlay_has(o, from);
    const uint64_t same = upper ? UINT64_MAX : 0;
    uint64_t at = from + 1;

    while (at < end) {
        if (at % WORD_BITS == 0 && o->bits[at / WORD_BITS] == same)
            at += WORD_BITS;
        else if (overlay_has(o, at) == upper)
            at++;
        else
            return at;
    }
    return end;
}

int ax_disk_overlay_route(const struct ax_disk *disk,
                          const struct ax_disk_io *io)
{
    const struct disk_overlay *o = disk->overlay;
    const uint64_t from = io->off / DISK_SECTOR;
    const uint64_t end = from + io->bytes / DISK_SECTOR;

    if (io->op != AX_DISK_READ)
        return o->fd;
    if (overlay_run(o, from, end) < end)
        return -1;
    if (overlay_has(o, from))
        return o->fd;
    return disk->nbd ? -1 : disk->fd;
}

void ax_disk_overlay_done(struct ax_disk *disk, const struct ax_disk_io *io)
{
    uint64_t at = io->off / DISK_SECTOR;
    const uint64_t end = at + io->bytes / DISK_SECTOR;

    while (at < end) {
        if (at % WORD_BITS == 0 && end - at >= WORD_BITS) {
            disk->overlay->bits[at / WORD_BITS] = UINT64_MAX;
            at += WORD_BITS;
        } else {
            disk->overlay->bits[at / WORD_BITS] |= UINT64_C(1)
                                                   << at % WORD_BITS;
            at++;
        }
    }
}

/* ---- reading both ---- */

int ax_disk_overlay_read(struct ax_disk *disk, struct ax_disk_io *io)
{
    const struct disk_overlay *o = disk->overlay;
    struct iovec *iov = calloc(io->count, sizeof(*iov));
    int err = iov ? 0 : -ENOMEM;

    while (!err && io->done < io->bytes) {
        const uint64_t from = (io->off + io->done) / DISK_SECTOR;
        const uint64_t end =
            overlay_run(o, from, (io->off + io->bytes) / DISK_SECTOR);
        const bool upper = overlay_has(o, from);
        struct ax_disk_io part = {
            .op = AX_DISK_READ,
            .fd = upper ? o->fd : disk->fd,
            .off = from * DISK_SECTOR,
            .bytes = (end - from) * DISK_SECTOR,
            .iov = iov,
        };

        part.count = ax_disk_io_slice(io, part.bytes, iov);
        ax_disk_io_advance(io, part.bytes);
        err = !upper && disk->nbd ? ax_disk_nbd_run(disk->nbd, &part)
                                  : ax_disk_raw_rw(&part);
    }
    free(iov);
    return err;
}
