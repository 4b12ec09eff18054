/*
 * share_attr.c - what a file is, and what of that can be changed.
 */
#include "devices/share_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void put_time(struct ax_share_writer *w, struct statx_timestamp t)
{
    ax_share_put(w, (uint64_t)t.tv_sec, 8);
    ax_share_put(w, t.tv_nsec, 8);
}

/* Everything of stat(2), whatever part was asked for. */
int ax_share_getattr(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    struct ax_share_writer *w = &rq->out;
    struct statx st;
    int fd, err;

    ax_share_get(&rq->in, 8);
    if (rq->in.err)
        return rq->in.err;
    fd = ax_share_fid_look(s, fid);
    err = fd < 0 ? fd : ax_share_statx(fd, &st);
    if (err)
        return err;
    ax_share_put(w, AX_9P_GETATTR_BASIC, 8);
    ax_share_put_qid(w, fid->node->qid);
    ax_share_put(w, st.stx_mode, 4);
    ax_share_put(w, st.stx_uid, 4);
    ax_share_put(w, st.stx_gid, 4);
    ax_share_put(w, st.stx_nlink, 8);
    ax_share_put(w, makedev(st.stx_rdev_major, st.stx_rdev_minor), 8);
    ax_share_put(w, st.stx_size, 8);
    ax_share_put(w, st.stx_blksize, 8);
    ax_share_put(w, st.stx_blocks, 8);
    put_time(w, st.stx_atime);
    put_time(w, st.stx_mtime);
    put_time(w, st.stx_ctime);
    put_time(w, st.stx_btime);
    ax_share_put(w, 0, 8); /* generation, data version: not told */
    ax_share_put(w, 0, 8);
    return 0;
}

/* ---- changes ---- */

struct change {
    uint32_t valid, mode, uid, gid;
    uint64_t size;
    struct timespec times[2]; /* accessed, modified */
};

static struct timespec get_time(struct ax_share_reader *r)
{
    struct timespec t;

    t.tv_sec = (time_t)ax_share_get(r, 8);
    t.tv_nsec = (long)ax_share_get(r, 8);
    return t;
}

static void get_change(struct ax_share_reader *r, struct change *c)
{
    c->valid = ax_share_get32(r);
    c->mode = ax_share_get32(r);
    c->uid = ax_share_get32(r);
    c->gid = ax_share_get32(r);
    c->size = ax_share_get(r, 8);
    c->times[0] = get_time(r);
    c->times[1] = get_time(r);
}

static int change_size(struct ax_share *s, const struct ax_share_fid *fid,
                       int path, uint64_t size)
{
    char name[AX_SHARE_FD_TEXT];
    int fd = fid->fd, err;

    if (!S_ISREG(fid->node->mode))
        return S_ISDIR(fid->node->mode) ? -EISDIR : -EINVAL;
    if (!fid->writable)
        fd = openat(s->proc, ax_share_fd_name(path, name),
                    O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    err = ftruncate(fd, (off_t)size) ? -errno : 0;
    if (fd != fid->fd)
        close(fd);
    return err;
}

static int change_owner(int fd, uint32_t uid, uint32_t gid)
{
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)
               ? -errno
               : 0;
}

/* A link has no rights of its own. */
static int change_mode(const struct ax_share *s, int fd, uint32_t kind,
                       uint32_t mode)
{
    char name[AX_SHARE_FD_TEXT];

    if (S_ISLNK(kind))
        return -EOPNOTSUPP;
    return fchmodat(s->proc, ax_share_fd_name(fd, name), mode & 07777, 0)
               ? -errno
               : 0;
}

static struct timespec change_time(uint32_t valid, uint32_t set, uint32_t to,
                                   struct timespec t)
{
    if (!(valid & set))
        return (struct timespec){.tv_nsec = UTIME_OMIT};
    return valid & to ? t : (struct timespec){.tv_nsec = UTIME_NOW};
}

static int change_times(const struct ax_share *s, int fd,
                        const struct change *c)
{
    const struct timespec times[2] = {
        change_time(c->valid, AX_9P_SET_ATIME, AX_9P_SET_ATIME_TO, c->times[0]),
        change_time(c->valid, AX_9P_SET_MTIME, AX_9P_SET_MTIME_TO, c->times[1]),
    };
    char name[AX_SHARE_FD_TEXT];

    /* The way through /proc ends at the inode itself, be it a link. */
    return utimensat(s->proc, ax_share_fd_name(fd, name), times, 0) ? -errno
                                                                    : 0;
}

/* In an order in which none undoes another: a new size or owner takes set-id
 * bits away, and a new size is a modification. */
static int change_all(struct ax_share *s, const struct ax_share_fid *fid,
                      int fd, const struct change *c)
{
    int err = 0;

    if (c->valid & AX_9P_SET_SIZE)
        err = change_size(s, fid, fd, c->size);
    if (!err && c->valid & (AX_9P_SET_UID | AX_9P_SET_GID))
        err = change_owner(
            fd, c->valid & AX_9P_SET_UID ? c->uid : (uint32_t)AX_9P_NO_ID,
            c->valid & AX_9P_SET_GID ? c->gid : (uint32_t)AX_9P_NO_ID);
    if (!err && c->valid & AX_9P_SET_MODE)
        err = change_mode(s, fd, fid->node->mode, c->mode);
    if (!err && c->valid & (AX_9P_SET_ATIME | AX_9P_SET_MTIME))
        err = change_times(s, fd, c);
    return err;
}

int ax_share_setattr(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    struct change c;
    int fd;

    get_change(&rq->in, &c);
    if (rq->in.err)
        return rq->in.err;
    fd = ax_share_fid_fd(s, fid);
    return fd < 0 ? fd : change_all(s, fid, fd, &c);
}

void ax_share_settle(struct ax_share *s, const struct ax_share_fid *maker,
                     struct ax_share_node *node, uint32_t mode, uint32_t gid)
{
    /* Only root can give it away; where even root cannot, it stays ours. */
    bool changed = s->privileged && !change_owner(node->fd, maker->uid, gid);

    if (S_ISLNK(node->mode) || (!changed && !((node->mode ^ mode) & 07777)))
        return;
    change_mode(s, node->fd, node->mode, mode);
}

/* ---- others ---- */

int ax_share_statfs(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    struct statfs fs;
    int fd = fid ? ax_share_fid_look(s, fid) : rq->in.err;

    if (fd < 0)
        return fd;
    if (fstatfs(fd, &fs))
        return -errno;
    ax_share_put(&rq->out, AX_9P_MAGIC, 4);
    ax_share_put(&rq->out, (uint64_t)fs.f_bsize, 4);
    ax_share_put(&rq->out, fs.f_blocks, 8);
    ax_share_put(&rq->out, fs.f_bfree, 8);
    ax_share_put(&rq->out, fs.f_bavail, 8);
    ax_share_put(&rq->out, fs.f_files, 8);
    ax_share_put(&rq->out, fs.f_ffree, 8);
    ax_share_put(&rq->out,
                 (uint64_t)(uint32_t)fs.f_fsid.__val[1] << 32 |
                     (uint32_t)fs.f_fsid.__val[0],
                 8);
    ax_share_put(&rq->out, NAME_MAX, 4);
    return 0;
}

/* As it is: whoever follows it is the guest, in its own tree. */
int ax_share_readlink(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    char target[PATH_MAX];
    ssize_t len;
    int fd;

    if (!fid)
        return rq->in.err;
    if (!S_ISLNK(fid->node->mode))
        return -EINVAL;
    fd = ax_share_fid_fd(s, fid);
    if (fd < 0)
        return fd;
    len = readlinkat(fd, "", target, sizeof(target));
    if (len < 0)
        return -errno;
    ax_share_put_string(&rq->out, target, (size_t)len);
    return 0;
}
