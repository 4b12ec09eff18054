/*
 * share_tree.c - names that come, go and change. Each is one name in a
 * directory that is held by a descriptor; no call here follows a link.
 */
#include "devices/share_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- coming ---- */

/* What is asked of a directory: its fid, then a name. */
struct place {
    struct ax_share_fid *fid;
    char name[AX_SHARE_NAME];
};

static void get_place(struct ax_share *s, struct ax_share_reader *r,
                      struct place *p)
{
    p->fid = ax_share_get_fid(s, r);
    ax_share_get_name(r, p->name);
}

/* The directory's descriptor, once all of the message was read. */
static int place_fd(struct ax_share *s, const struct ax_share_reader *r,
                    const struct place *p)
{
    return r->err ? r->err : ax_share_fid_fd(s, p->fid);
}

/* The name was made: gives it the rights that it shall have, and answers. */
static int place_made(struct ax_share *s, struct ax_share_request *rq,
                      const struct place *p, int dir, uint32_t mode,
                      uint32_t gid)
{
    struct ax_share_node *node;
    int err = ax_share_node_open(s, dir, p->name, &node);

    if (err)
        return err;
    ax_share_settle(s, p->fid, node, mode, gid);
    ax_share_put_qid(&rq->out, node->qid);
    ax_share_node_unref(s, node);
    return 0;
}

int ax_share_mkdir(struct ax_share *s, struct ax_share_request *rq)
{
    struct place p;
    uint32_t mode, gid;
    int dir;

    get_place(s, &rq->in, &p);
    mode = ax_share_get32(&rq->in);
    gid = ax_share_get32(&rq->in);
    dir = place_fd(s, &rq->in, &p);
    if (dir < 0)
        return dir;
    if (mkdirat(dir, p.name, mode & 07777))
        return -errno;
    return place_made(s, rq, &p, dir, mode, gid);
}

int ax_share_symlink(struct ax_share *s, struct ax_share_request *rq)
{
    char target[PATH_MAX];
    struct place p;
    uint32_t gid;
    int dir;

    get_place(s, &rq->in, &p);
    ax_share_get_string(&rq->in, target, sizeof(target));
    gid = ax_share_get32(&rq->in);
    dir = place_fd(s, &rq->in, &p);
    if (dir < 0)
        return dir;
    if (symlinkat(target, dir, p.name))
        return -errno;
    return place_made(s, rq, &p, dir, 0777, gid);
}

/* Fifos and sockets are names to the server: who opens them is the guest's
 * kernel, on its own. A device would be one of the host's, too. */
static int mknod_kind(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case 0:
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFCHR:
    case S_IFBLK:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

int ax_share_mknod(struct ax_share *s, struct ax_share_request *rq)
{
    struct place p;
    uint32_t mode, gid;
    int dir, err;

    get_place(s, &rq->in, &p);
    mode = ax_share_get32(&rq->in);
    ax_share_get(&rq->in, 8); /* major, minor */
    gid = ax_share_get32(&rq->in);
    err = mknod_kind(mode);
    dir = place_fd(s, &rq->in, &p);
    if (dir < 0 || err)
        return dir < 0 ? dir : err;
    if (mknodat(dir, p.name, mode & (S_IFMT | 07777), 0))
        return -errno;
    return place_made(s, rq, &p, dir, mode, gid);
}

int ax_share_link(struct ax_share *s, struct ax_share_request *rq)
{
    char fd_name[AX_SHARE_FD_TEXT];
    struct ax_share_fid *file;
    struct place p;
    int fd, dir;

    p.fid = ax_share_get_fid(s, &rq->in);
    file = ax_share_get_fid(s, &rq->in);
    ax_share_get_name(&rq->in, p.name);
    dir = place_fd(s, &rq->in, &p);
    if (dir < 0)
        return dir;
    fd = ax_share_fid_fd(s, file);
    if (fd < 0)
        return fd;
    /* AT_EMPTY_PATH needs a capability; this follows /proc's link alone. */
    return linkat(s->proc, ax_share_fd_name(fd, fd_name), dir, p.name,
                  AT_SYMLINK_FOLLOW)
               ? -errno
               : 0;
}

/* ---- changing ---- */

/* The path of a name that is about to change; false: it has none. */
static bool path_of(struct ax_share *s, int dir, const char *name,
                    char path[PATH_MAX])
{
    const size_t name_len = strlen(name);
    size_t len;

    if (ax_share_path(s, dir, path))
        return false;
    len = strlen(path);
    if (len + 1 + name_len >= PATH_MAX)
        return false;
    if (len)
        path[len++] = '/';
    memcpy(path + len, name, name_len + 1);
    return true;
}

static int share_move(struct ax_share *s, int from_dir, const char *from,
                      int to_dir, const char *to)
{
    char before[PATH_MAX], after[PATH_MAX];
    bool known = !TAILQ_EMPTY(&s->parked) &&
                 path_of(s, from_dir, from, before) &&
                 path_of(s, to_dir, to, after);

    if (renameat(from_dir, from, to_dir, to))
        return -errno;
    if (known)
        ax_share_moved(s, before, after);
    return 0;
}

int ax_share_renameat(struct ax_share *s, struct ax_share_request *rq)
{
    struct place from, to;
    int from_dir, to_dir;

    get_place(s, &rq->in, &from);
    get_place(s, &rq->in, &to);
    from_dir = place_fd(s, &rq->in, &from);
    if (from_dir < 0)
        return from_dir;
    to_dir = place_fd(s, &rq->in, &to);
    if (to_dir < 0)
        return to_dir;
    return share_move(s, from_dir, from.name, to_dir, to.name);
}

/*
 * Trename and Tremove name a file by its fid: where is it now? Its directory,
 * as a descriptor, and its name there, if that is still the same inode.
 */
static int share_locate(struct ax_share *s, struct ax_share_fid *fid,
                        char name[AX_SHARE_NAME])
{
    char path[PATH_MAX];
    struct ax_share_node *there;
    char *slash;
    int fd = ax_share_fid_fd(s, fid);
    int err = fd < 0 ? fd : ax_share_path(s, fd, path);
    int dir;

    if (err)
        return err;
    if (!path[0])
        return -EBUSY;
    slash = strrchr(path, '/');
    snprintf(name, AX_SHARE_NAME, "%.*s", NAME_MAX, slash ? slash + 1 : path);
    if (slash)
        *slash = '\0';
    dir = ax_share_openat(s->root->fd, slash ? path : ".", O_PATH | O_DIRECTORY,
                          0);
    if (dir < 0)
        return dir;
    err = ax_share_node_open(s, dir, name, &there);
    if (err) {
        close(dir);
        return err;
    }
    if (!ax_share_qid_equal(there->qid, fid->node->qid))
        err = -ESTALE;
    ax_share_node_unref(s, there);
    if (!err)
        return dir;
    close(dir);
    return err;
}

int ax_share_rename(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    char name[AX_SHARE_NAME];
    struct place to;
    int from_dir, to_dir, err;

    get_place(s, &rq->in, &to);
    if (rq->in.err)
        return rq->in.err;
    from_dir = share_locate(s, fid, name);
    if (from_dir < 0)
        return from_dir;
    to_dir = ax_share_fid_fd(s, to.fid);
    err = to_dir < 0 ? to_dir : share_move(s, from_dir, name, to_dir, to.name);
    close(from_dir);
    return err;
}

/* ---- going ---- */

int ax_share_unlinkat(struct ax_share *s, struct ax_share_request *rq)
{
    struct place p;
    uint32_t flags;
    int dir;

    get_place(s, &rq->in, &p);
    flags = ax_share_get32(&rq->in);
    dir = place_fd(s, &rq->in, &p);
    if (dir < 0)
        return dir;
    if (flags & ~(uint32_t)AX_9P_REMOVEDIR)
        return -EINVAL;
    return unlinkat(dir, p.name, flags ? AT_REMOVEDIR : 0) ? -errno : 0;
}

static int share_remove_file(struct ax_share *s, struct ax_share_fid *fid)
{
    char name[AX_SHARE_NAME];
    int dir, err;

    if (s->readonly)
        return -EROFS;
    dir = share_locate(s, fid, name);
    if (dir < 0)
        return dir;
    err = unlinkat(dir, name, S_ISDIR(fid->node->mode) ? AT_REMOVEDIR : 0)
              ? -errno
              : 0;
    close(dir);
    return err;
}

/* The fid goes, whether or not the file does. */
int ax_share_remove(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    int err;

    if (!fid)
        return rq->in.err;
    err = share_remove_file(s, fid);
    ax_share_fid_drop(s, fid);
    return err;
}
