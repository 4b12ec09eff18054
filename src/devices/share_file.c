/*
 * share_file.c - open files and directories.
 *
 * A file is opened through its O_PATH descriptor: what was looked at is what is
 * opened, whatever its name stands for by now, and nothing is opened whose kind
 * was not looked at before. A fifo, a socket or a device never is.
 */
#include "devices/share_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ENTRIES = 8192 }; /* bytes of directory that are read at once */

/* ---- opening ---- */

/*
 * The guest's flags as the host's. Left out: O_APPEND, as the guest says where
 * it writes, and its cache may write an old page behind; O_DIRECT, as nobody
 * aligned these buffers; and what is the guest's own affair.
 */
static int open_flags(uint32_t flags)
{
    static const int access[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR};

    return access[flags & AX_9P_ACCESS] | (flags & AX_9P_TRUNC ? O_TRUNC : 0) |
           (flags & AX_9P_DSYNC ? O_DSYNC : 0) |
           (flags & AX_9P_SYNC ? O_SYNC : 0) |
           (flags & AX_9P_DIRECTORY ? O_DIRECTORY : 0) | O_CLOEXEC | O_NOCTTY |
           O_NONBLOCK;
}

static bool flags_write(uint32_t flags)
{
    return (flags & AX_9P_ACCESS) || (flags & AX_9P_TRUNC);
}

static int mode_may_open(uint32_t mode)
{
    if (S_ISREG(mode) || S_ISDIR(mode))
        return 0;
    return S_ISLNK(mode) ? -ELOOP : -EPERM;
}

static int node_reopen(struct ax_share *s, const struct ax_share_node *node,
                       int path, int flags)
{
    char name[AX_SHARE_FD_TEXT];
    struct stat st;
    int err = node->sealed ? -EACCES : mode_may_open(node->mode);
    int fd;

    if (err)
        return err;
    fd = openat(s->proc, ax_share_fd_name(path, name), flags);
    if (fd < 0)
        return -errno;
    err = fstat(fd, &st) ? -errno : mode_may_open(st.st_mode);
    if (!err)
        return fd;
    close(fd);
    return err;
}

static int node_open_file(struct ax_share *s, struct ax_share_node *node,
                          int flags)
{
    int path = ax_share_node_fd(s, node);

    return path < 0 ? path : node_reopen(s, node, path, flags);
}

static int share_may_open(const struct ax_share *s,
                          const struct ax_share_fid *fid)
{
    if (fid->fd >= 0)
        return -EBADF;
    return s->open_count < s->limits.open ? 0 : -EMFILE;
}

static void fid_opened(struct ax_share *s, struct ax_share_request *rq,
                       struct ax_share_fid *fid, int fd, uint32_t flags)
{
    fid->fd = fd;
    fid->writable = flags & AX_9P_ACCESS;
    s->open_count++;
    ax_share_put_qid(&rq->out, fid->node->qid);
    ax_share_put(&rq->out, 0, 4); /* iounit: as much as a message takes */
}

int ax_share_lopen(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    const uint32_t flags = ax_share_get32(&rq->in);
    int err, fd;

    if (rq->in.err)
        return rq->in.err;
    if (s->readonly && flags_write(flags))
        return -EROFS;
    err = share_may_open(s, fid);
    if (err)
        return err;
    fd = node_open_file(s, fid->node, open_flags(flags));
    if (fd < 0)
        return fd;
    fid_opened(s, rq, fid, fd, flags);
    return 0;
}

/* ---- creating ---- */

struct creation {
    char name[AX_SHARE_NAME];
    uint32_t flags, mode, gid;
};

/* A new file, open. -EEXIST leaves what is there alone. */
static int create_new(struct ax_share *s, const struct ax_share_fid *maker,
                      int dir, const struct creation *c,
                      struct ax_share_node **node)
{
    const int flags = open_flags(c->flags) & ~(O_DIRECTORY | O_TRUNC);
    int fd = ax_share_openat(dir, c->name, flags | O_CREAT | O_EXCL,
                             c->mode & 07777);
    int err;

    if (fd < 0)
        return fd;
    err = ax_share_node_of(s, fd, node);
    if (err) {
        close(fd);
        return err;
    }
    ax_share_settle(s, maker, *node, c->mode, c->gid);
    return fd;
}

/* It is there already: looked at first, as it may be anything. */
static int create_existing(struct ax_share *s, int dir,
                           const struct creation *c,
                           struct ax_share_node **node)
{
    int err = ax_share_node_open(s, dir, c->name, node);
    int fd;

    if (err)
        return err;
    fd = node_open_file(s, *node, open_flags(c->flags));
    if (fd < 0)
        ax_share_node_unref(s, *node);
    return fd;
}

/* The directory's fid becomes the file's. */
int ax_share_lcreate(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    struct ax_share_node *node;
    struct creation c;
    int err, dir, fd;

    ax_share_get_name(&rq->in, c.name);
    c.flags = ax_share_get32(&rq->in);
    c.mode = ax_share_get32(&rq->in);
    c.gid = ax_share_get32(&rq->in);
    if (rq->in.err)
        return rq->in.err;
    err = share_may_open(s, fid);
    if (err)
        return err;
    dir = ax_share_fid_fd(s, fid);
    if (dir < 0)
        return dir;
    fd = create_new(s, fid, dir, &c, &node);
    if (fd == -EEXIST && !(c.flags & AX_9P_EXCL))
        fd = create_existing(s, dir, &c, &node);
    if (fd < 0)
        return fd;
    ax_share_node_unref(s, fid->node);
    fid->node = node;
    fid_opened(s, rq, fid, fd, c.flags);
    return 0;
}

/* ---- data ---- */

/* An open file's descriptor, or what r->err says. */
static int file_fd(struct ax_share_reader *r, const struct ax_share_fid *fid)
{
    if (r->err)
        return r->err;
    return fid->fd < 0 ? -EBADF : fid->fd;
}

/* Straight into the guest's memory, behind the answer's header. */
int ax_share_read(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    const uint64_t off = ax_share_get(&rq->in, 8);
    size_t count = ax_share_get32(&rq->in);
    struct iovec iov[AX_VIRTQ_SIZE];
    int fd = file_fd(&rq->in, fid);
    unsigned used;
    ssize_t got;

    if (fd < 0)
        return fd;
    if (count > rq->limit - AX_9P_DATA)
        count = rq->limit - AX_9P_DATA;
    used = ax_virtq_slice_in(rq->chain, AX_9P_DATA, count, iov);
    got = preadv(fd, iov, (int)used, (off_t)off);
    if (got < 0)
        return -errno;
    rq->payload = (size_t)got;
    ax_share_put(&rq->out, (uint64_t)got, 4);
    return 0;
}

int ax_share_write(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    const uint64_t off = ax_share_get(&rq->in, 8);
    const size_t count = ax_share_get32(&rq->in);
    const size_t head = AX_9P_HEADER + 4 + 8 + 4;
    struct iovec iov[AX_VIRTQ_SIZE];
    int fd = file_fd(&rq->in, fid);
    unsigned used;
    ssize_t put;

    if (fd < 0)
        return fd;
    if (count > s->msize || count > rq->chain->out_bytes - head)
        return -EINVAL;
    used = ax_virtq_slice_out(rq->chain, head, count, iov);
    put = pwritev(fd, iov, (int)used, (off_t)off);
    if (put < 0)
        return -errno;
    ax_share_put(&rq->out, (uint64_t)put, 4);
    return 0;
}

int ax_share_fsync(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    const bool data = rq->in.left && ax_share_get32(&rq->in);
    int fd = file_fd(&rq->in, fid);

    if (fd < 0)
        return fd;
    return (data ? fdatasync(fd) : fsync(fd)) ? -errno : 0;
}

/* ---- directories ---- */

static bool entry_fits(const struct ax_share_writer *w, size_t room,
                       size_t name_len)
{
    return w->len + 13 + 8 + 1 + 2 + name_len <= room;
}

/* What leads upwards is told as the directory itself. */
static struct ax_share_qid entry_qid(const struct ax_share_fid *dir,
                                     const struct dirent64 *entry)
{
    struct ax_share_qid qid = {.path = entry->d_ino};

    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
        return dir->node->qid;
    if (entry->d_type == DT_DIR)
        qid.type = AX_9P_QID_DIR;
    else if (entry->d_type == DT_LNK)
        qid.type = AX_9P_QID_SYMLINK;
    return qid;
}

/* The entries of buf; false: room ends before they do. */
static bool put_entries(struct ax_share_request *rq, size_t room,
                        const struct ax_share_fid *dir, const char *buf,
                        size_t bytes)
{
    const struct dirent64 *entry;
    size_t len;

    for (size_t at = 0; at < bytes; at += entry->d_reclen) {
        entry = (const struct dirent64 *)(const void *)(buf + at);
        len = strlen(entry->d_name);
        if (!entry_fits(&rq->out, room, len))
            return false;
        ax_share_put_qid(&rq->out, entry_qid(dir, entry));
        ax_share_put(&rq->out, (uint64_t)entry->d_off, 8);
        ax_share_put(&rq->out, entry->d_type, 1);
        ax_share_put_string(&rq->out, entry->d_name, len);
    }
    return true;
}

/* Until the answer has room bytes: 0, also at the directory's end. */
static int read_entries(struct ax_share_request *rq, size_t room,
                        const struct ax_share_fid *dir)
{
    char buf[ENTRIES] __attribute__((aligned(8)));
    ssize_t got;

    do {
        got = getdents64(dir->fd, buf, sizeof(buf));
        if (got < 0)
            return -errno;
    } while (got && put_entries(rq, room, dir, buf, (size_t)got));
    return got && rq->out.len == AX_9P_DATA ? -EINVAL : 0;
}

/* The place of an entry is what the host calls it, so that a directory that
 * changes meanwhile is read as on the host. */
int ax_share_readdir(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    const uint64_t off = ax_share_get(&rq->in, 8);
    const size_t count = ax_share_get32(&rq->in);
    int fd = file_fd(&rq->in, fid);
    size_t room = rq->out.size;
    struct ax_share_writer head = rq->out;
    int err;

    if (fd < 0)
        return fd;
    if (!S_ISDIR(fid->node->mode))
        return -ENOTDIR;
    if (count < room - AX_9P_DATA)
        room = AX_9P_DATA + count;
    if (lseek(fd, (off_t)off, SEEK_SET) < 0)
        return -errno;
    ax_share_put(&rq->out, 0, 4);
    err = read_entries(rq, room, fid);
    if (!err)
        ax_share_put(&head, rq->out.len - AX_9P_DATA, 4);
    return err;
}

/* ---- locks ---- */

/*
 * The guest's kernel has decided among its own processes before it asks. So a
 * lock holds within a guest; the host, and other guests, do not see it. One of
 * the host's would be the open file's, where the guest's are a process's: a
 * process that opens a file twice would wait for itself.
 */
int ax_share_lock(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    int fd = file_fd(&rq->in, fid);

    if (fd < 0)
        return fd;
    ax_share_put(&rq->out, AX_9P_LOCK_SUCCESS, 1);
    return 0;
}

int ax_share_getlock(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    char client[AX_SHARE_NAME];
    uint64_t start, length;
    uint32_t process;
    int fd;

    ax_share_get(&rq->in, 1);
    start = ax_share_get(&rq->in, 8);
    length = ax_share_get(&rq->in, 8);
    process = ax_share_get32(&rq->in);
    ax_share_get_string(&rq->in, client, sizeof(client));
    fd = file_fd(&rq->in, fid);
    if (fd < 0)
        return fd;
    ax_share_put(&rq->out, AX_9P_UNLOCK, 1);
    ax_share_put(&rq->out, start, 8);
    ax_share_put(&rq->out, length, 8);
    ax_share_put(&rq->out, process, 4);
    ax_share_put_string(&rq->out, client, strlen(client));
    return 0;
}
