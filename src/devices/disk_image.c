/*
 * disk_image.c - opens an image: which kind of file it is, its size, its lock,
 * and the format that it is said to have.
 *
 * What is in an image is the guest's, or a stranger's. So the format is never
 * guessed from it: a raw image into which a guest has written the header of
 * another format would become one that names files of the host.
 */
#include "devices/disk_parts.h"
#include "log.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { QCOW_MAGIC = 0x514649fb, PAGE = 4096 };

__attribute__((format(printf, 3, 4))) static int
image_fail(const struct ax_disk *disk, int err, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    ax_log(disk->log, AX_LOG_ERROR, "disk %s: %s", disk->conf->path, text);
    return err;
}

/* ---- open ---- */

static bool image_only_read(const struct ax_disk *disk)
{
    return disk->conf->readonly || disk->conf->overlay;
}

static int open_fail(const struct ax_disk *disk, int err, bool direct)
{
    const bool write = !image_only_read(disk);
    const char *cure = "";

    if (err == -ENOENT)
        cure = ": make one with truncate -s 10G FILE";
    else if (err == -EISDIR || err == -ENXIO)
        cure = ": it has to be a file or a block device";
    else if (write && (err == -EACCES || err == -EPERM || err == -EROFS))
        cure = ": allow writing, or use readonly = true or overlay = true";
    else if (err == -EINVAL && direct)
        cure = ": its file system has no O_DIRECT: use cache = \"writeback\"";
    return image_fail(disk, err, "%s%s", strerror(-err), cure);
}

/* Not blocking: a FIFO would wait here for its other end. */
static int image_open(struct ax_disk *disk)
{
    const bool direct = disk->conf->cache == AX_DISK_DIRECT &&
                        !disk->conf->overlay && !disk->qcow2;
    const int flags =
        (image_only_read(disk) ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0);
    struct stat st;

    disk->fd =
        open(disk->conf->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (disk->fd < 0 || fstat(disk->fd, &st))
        return open_fail(disk, -errno, direct);
    if (S_ISDIR(st.st_mode))
        return open_fail(disk, -EISDIR, direct);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return open_fail(disk, -ENXIO, direct);
    if (fcntl(disk->fd, F_SETFL, flags))
        return open_fail(disk, -errno, direct);
    disk->block_device = S_ISBLK(st.st_mode);
    disk->direct = direct;
    disk->align = direct ? ax_disk_direct_align(disk->fd) : 1;
    return 0;
}

/* ---- lock ---- */

/*
 * On the open file, so that it lasts as long as this one descriptor. qemu-nbd
 * takes locks of its own on bytes 100 and up: what it serves is locked below.
 */
static int image_lock(const struct ax_disk *disk)
{
    const bool read = image_only_read(disk);
    struct flock lock = {
        .l_type = read ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
        .l_len = disk->qcow2 ? 64 : 0,
    };

    if (!fcntl(disk->fd, F_OFD_SETLK, &lock))
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return image_fail(
            disk, -EBUSY,
            read ? "another disk, VM or program writes to it: stop that one"
                 : "another disk, VM or program uses it: stop that one, or use "
                   "readonly = true or overlay = true for all of them");
    ax_log(disk->log, AX_LOG_WARN,
           "disk %s: cannot be locked (%s): two writers would go unnoticed",
           disk->conf->path, strerror(errno));
    return 0;
}

/* ---- format ---- */

static bool has_qcow2_name(const char *path)
{
    const size_t len = strlen(path);

    return len > 6 && !strcmp(path + len - 6, ".qcow2");
}

static bool has_qcow2_magic(const struct ax_disk *disk)
{
    _Alignas(PAGE) uint8_t block[PAGE]; /* for O_DIRECT */
    uint32_t magic;

    if (pread(disk->fd, block, sizeof(block), 0) < (ssize_t)sizeof(magic))
        return false;
    memcpy(&magic, block, sizeof(magic));
    return be32toh(magic) == QCOW_MAGIC;
}

static int image_check_format(const struct ax_disk *disk)
{
    const bool magic = has_qcow2_magic(disk);

    if (disk->qcow2 && !magic)
        return image_fail(disk, -EINVAL,
                          "this is not qcow2: say format = \"raw\"");
    if (!disk->qcow2 && magic && disk->conf->format == AX_DISK_AUTO)
        return image_fail(disk, -EINVAL,
                          "it looks like qcow2, but a guest can have written "
                          "that: say format = \"qcow2\" or \"raw\"");
    return 0;
}

/* ---- size ---- */

int ax_disk_image_size(const struct ax_disk *disk, uint64_t *size)
{
    struct stat st;
    uint64_t bytes;

    if (disk->block_device) {
        if (ioctl(disk->fd, BLKGETSIZE64, &bytes))
            return -errno;
    } else {
        if (fstat(disk->fd, &st))
            return -errno;
        bytes = (uint64_t)st.st_size;
    }
    /* What is behind the last whole block cannot be reached. */
    *size = ax_align_down(bytes, disk->align > DISK_SECTOR ? disk->align
                                                           : DISK_SECTOR);
    return 0;
}

static int image_measure(struct ax_disk *disk)
{
    struct stat st;
    int err = ax_disk_image_size(disk, &disk->size);

    if (err)
        return image_fail(disk, err, "no size: %s", strerror(-err));
    if (!disk->size)
        return image_fail(disk, -EINVAL,
                          "it is empty: give it a size with truncate -s 10G");
    if (!disk->block_device && !fstat(disk->fd, &st) &&
        (uint64_t)st.st_size != disk->size)
        ax_log(disk->log, AX_LOG_WARN,
               "disk %s: its last %llu bytes are no whole block: the guest "
               "does not see them",
               disk->conf->path,
               (unsigned long long)((uint64_t)st.st_size - disk->size));
    return 0;
}

static void image_look(struct ax_disk *disk)
{
    struct statfs fs;
    unsigned block = PAGE;

    if (disk->block_device && ioctl(disk->fd, BLKPBSZGET, &block))
        block = PAGE;
    if (block < DISK_SECTOR || block & (block - 1))
        block = PAGE;
    disk->physical_block = block;
    disk->in_memory = !disk->block_device && !disk->qcow2 &&
                      !fstatfs(disk->fd, &fs) &&
                      (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* The file's name is the user's word; content is not. */
static bool image_is_qcow2(const struct ax_disk_conf *conf)
{
    return conf->format == AX_DISK_QCOW2 ||
           (conf->format == AX_DISK_AUTO && has_qcow2_name(conf->path));
}

int ax_disk_image_open(struct ax_disk *disk)
{
    int err;

    disk->qcow2 = image_is_qcow2(disk->conf);
    err = image_open(disk);
    if (!err)
        err = image_lock(disk);
    if (!err)
        err = image_check_format(disk);
    if (err)
        return err;
    image_look(disk);
    return disk->qcow2 ? ax_disk_qcow2_open(disk) : image_measure(disk);
}
