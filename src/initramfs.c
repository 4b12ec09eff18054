/*
 * initramfs.c - cpio entries into a memfd, as they come.
 */
#include "initramfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGN = 4, CHUNK = 1 << 16, DIRS_MAX = 64 };

struct ax_initramfs {
    int fd;
    uint64_t size;
    unsigned inode;
    unsigned dir_count;
    char *dirs[DIRS_MAX]; /* that are in it */
};

struct entry {
    const char *name; /* without the leading slash */
    unsigned mode, major, minor;
    uint64_t size;
};

int ax_initramfs_create(struct ax_initramfs **out)
{
    struct ax_initramfs *fs = calloc(1, sizeof(*fs));
    int err;

    *out = NULL;
    if (!fs)
        return -ENOMEM;
    fs->fd = memfd_create("initramfs", MFD_CLOEXEC);
    if (fs->fd < 0) {
        err = -errno;
        free(fs);
        return err;
    }
    *out = fs;
    return 0;
}

void ax_initramfs_destroy(struct ax_initramfs *fs)
{
    if (!fs)
        return;
    for (unsigned i = 0; i < fs->dir_count; i++)
        free(fs->dirs[i]);
    if (fs->fd >= 0)
        close(fs->fd);
    free(fs);
}

static int put(struct ax_initramfs *fs, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size) {
        const ssize_t n = write(fs->fd, at, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        size -= (size_t)n;
        fs->size += (uint64_t)n;
    }
    return 0;
}

static int pad(struct ax_initramfs *fs)
{
    static const char zeroes[ALIGN];

    return put(fs, zeroes, (ALIGN - fs->size % ALIGN) % ALIGN);
}

/* Thirteen fields of eight hexadecimal digits, the name, its end. */
static int put_head(struct ax_initramfs *fs, const struct entry *e)
{
    char head[128];
    const size_t name = strlen(e->name) + 1;
    int err, len;

    if (e->size > UINT32_MAX)
        return -EFBIG;
    len = snprintf(head, sizeof(head),
                   "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
                   ++fs->inode, e->mode, 0, 0, 1, 0, (unsigned)e->size, 0, 0,
                   e->major, e->minor, (unsigned)name, 0);
    err = put(fs, head, (size_t)len);
    if (!err)
        err = put(fs, e->name, name);
    return err ? err : pad(fs);
}

static bool has_dir(const struct ax_initramfs *fs, const char *name, size_t len)
{
    for (unsigned i = 0; i < fs->dir_count; i++) {
        if (strlen(fs->dirs[i]) == len && !memcmp(fs->dirs[i], name, len))
            return true;
    }
    return false;
}

/* Every directory above name, outermost first. */
static int put_dirs(struct ax_initramfs *fs, const char *name)
{
    for (const char *slash = strchr(name, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        struct entry e = {.mode = S_IFDIR | 0755};
        int err;

        if (has_dir(fs, name, (size_t)(slash - name)))
            continue;
        if (fs->dir_count == DIRS_MAX)
            return -ENOSPC;
        e.name = fs->dirs[fs->dir_count] =
            strndup(name, (size_t)(slash - name));
        if (!e.name)
            return -ENOMEM;
        fs->dir_count++;
        err = put_head(fs, &e);
        if (err)
            return err;
    }
    return 0;
}

static int begin(struct ax_initramfs *fs, const struct entry *e)
{
    int err = put_dirs(fs, e->name);

    return err ? err : put_head(fs, e);
}

int ax_initramfs_add(struct ax_initramfs *fs, const char *path, unsigned mode,
                     const void *bytes, size_t size)
{
    const struct entry e = {
        .name = path + 1, .mode = S_IFREG | mode, .size = size};
    int err = begin(fs, &e);

    if (!err)
        err = put(fs, bytes, size);
    return err ? err : pad(fs);
}

/* Exactly size bytes, or the archive would be torn: a file that shrinks
 * meanwhile is an error. */
static int put_from(struct ax_initramfs *fs, int from, uint64_t size)
{
    char bytes[CHUNK];
    int err = 0;

    while (size && !err) {
        const ssize_t n =
            read(from, bytes, size < CHUNK ? (size_t)size : CHUNK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        err = put(fs, bytes, (size_t)n);
        size -= (uint64_t)n;
    }
    return err;
}

int ax_initramfs_add_file(struct ax_initramfs *fs, const char *path,
                          unsigned mode, const char *from)
{
    struct entry e = {.name = path + 1, .mode = S_IFREG | mode};
    const int fd = open(from, O_RDONLY | O_CLOEXEC);
    struct stat st;
    int err = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st))
        err = -errno;
    else if (!S_ISREG(st.st_mode))
        err = -EINVAL;
    if (!err) {
        e.size = (uint64_t)st.st_size;
        err = begin(fs, &e);
    }
    if (!err)
        err = put_from(fs, fd, e.size);
    close(fd);
    return err ? err : pad(fs);
}

int ax_initramfs_add_device(struct ax_initramfs *fs, const char *path,
                            unsigned mode, unsigned major, unsigned minor)
{
    const struct entry e = {.name = path + 1,
                            .mode = S_IFCHR | mode,
                            .major = major,
                            .minor = minor};

    return begin(fs, &e);
}

int ax_initramfs_finish(struct ax_initramfs *fs, int *fd)
{
    const struct entry end = {.name = "TRAILER!!!"};
    const int err = put_head(fs, &end);

    *fd = -1;
    if (err)
        return err;
    *fd = fs->fd;
    fs->fd = -1;
    return 0;
}
