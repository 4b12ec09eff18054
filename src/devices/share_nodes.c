/*
 * share_nodes.c - the host's inodes as the server knows them: found by one name
 * beneath a directory, told apart, and parked when there are too many.
 */
#include "devices/share_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* So few of AX_SHARE_LIVE_MIN that what is in use is not among them. */
enum { PARK_TRIES = 8 };

/* Not every <linux/magic.h> has these. */
enum {
    CONFIGFS = 0x62656570,
    FUSECTL = 0x65735543,
    MQUEUE = 0x19800202,
    RPC_PIPEFS = 0x67596969,
    NFSD = 0x6e667364,
};

const char *ax_share_fd_name(int fd, char buf[AX_SHARE_FD_TEXT])
{
    snprintf(buf, AX_SHARE_FD_TEXT, "%d", fd);
    return buf;
}

int ax_share_openat(int dir, const char *path, int flags, unsigned mode)
{
    const struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
        .mode = mode,
        .resolve =
            RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

    return fd < 0 ? -errno : (int)fd;
}

int ax_share_statx(int fd, struct statx *st)
{
    return statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW,
                 STATX_BASIC_STATS | STATX_BTIME, st)
               ? -errno
               : 0;
}

/* ---- what an inode is ---- */

/*
 * File systems that are the kernel's own or this process's: reading there may
 * wait for ever, or show the memory of the host.
 */
static bool fs_is_sealed(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs))
        return true;
    switch ((unsigned long)fs.f_type) {
    case AUTOFS_SUPER_MAGIC:
    case BINFMTFS_MAGIC:
    case BPF_FS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case CONFIGFS:
    case DEBUGFS_MAGIC:
    case DEVPTS_SUPER_MAGIC:
    case EFIVARFS_MAGIC:
    case FUSECTL:
    case MQUEUE:
    case NFSD:
    case NSFS_MAGIC:
    case PROC_SUPER_MAGIC:
    case PSTOREFS_MAGIC:
    case RDTGROUP_SUPER_MAGIC:
    case RPC_PIPEFS:
    case SECURITYFS_MAGIC:
    case SELINUX_MAGIC:
    case SMACK_MAGIC:
    case SYSFS_MAGIC:
    case TRACEFS_MAGIC:
    case XENFS_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

/* Spreads a number over 64 bits, no two to the same one. */
static uint64_t spread(uint64_t val)
{
    val = (val ^ val >> 32) * 0x9e3779b97f4a7c15;
    val = (val ^ val >> 29) * 0xd1b54a32d192ed03;
    return val ^ val >> 32;
}

/*
 * Linux takes files with the same qid for the same file, so a path has to tell
 * apart also those of mounts beneath the root. The version comes from when the
 * inode was made: it tells one from the next that gets its number, and does not
 * change while the client writes, or Linux would take it for another.
 */
static struct ax_share_qid qid_of(const struct ax_share *s,
                                  const struct statx *st)
{
    const uint64_t dev = makedev(st->stx_dev_major, st->stx_dev_minor);
    struct ax_share_qid qid = {.path = st->stx_ino, .version = 1};

    if (dev != s->root_dev)
        qid.path = spread(spread(dev) ^ st->stx_ino);
    if (st->stx_mask & STATX_BTIME) /* 0 would mean: do not cache */
        qid.version |= (uint32_t)spread((uint64_t)st->stx_btime.tv_sec << 30 ^
                                        st->stx_btime.tv_nsec);
    if (S_ISDIR(st->stx_mode))
        qid.type = AX_9P_QID_DIR;
    else if (S_ISLNK(st->stx_mode))
        qid.type = AX_9P_QID_SYMLINK;
    return qid;
}

bool ax_share_qid_equal(struct ax_share_qid a, struct ax_share_qid b)
{
    return a.type == b.type && a.version == b.version && a.path == b.path;
}

static int node_identify(const struct ax_share *s, int fd,
                         struct ax_share_node *node)
{
    struct statx st;
    int err = ax_share_statx(fd, &st);

    if (err)
        return err;
    node->qid = qid_of(s, &st);
    node->mode = st.stx_mode;
    node->sealed = makedev(st.stx_dev_major, st.stx_dev_minor) != s->root_dev &&
                   fs_is_sealed(fd);
    return 0;
}

/* ---- live and parked ---- */

static void node_set_live(struct ax_share *s, struct ax_share_node *node,
                          int fd)
{
    node->fd = fd;
    TAILQ_INSERT_TAIL(&s->live, node, link);
    s->live_count++;
}

static void node_close(struct ax_share *s, struct ax_share_node *node)
{
    close(node->fd);
    node->fd = -1;
    TAILQ_REMOVE(&s->live, node, link);
    s->live_count--;
}

static void node_unpark(struct ax_share *s, struct ax_share_node *node)
{
    TAILQ_REMOVE(&s->parked, node, link);
    s->parked_bytes -= strlen(node->path) + 1;
    free(node->path);
    node->path = NULL;
}

static int node_park(struct ax_share *s, struct ax_share_node *node)
{
    char path[PATH_MAX];
    int err = ax_share_path(s, node->fd, path);
    size_t bytes;

    if (err)
        return err;
    bytes = strlen(path) + 1;
    if (bytes > s->limits.parked_bytes - s->parked_bytes)
        return -EMFILE;
    node->path = strdup(path);
    if (!node->path)
        return -ENOMEM;
    s->parked_bytes += bytes;
    node_close(s, node);
    TAILQ_INSERT_TAIL(&s->parked, node, link);
    return 0;
}

/*
 * Room for one more live node. What has no path any more cannot be parked: it
 * is passed over, and if that is all there is, the client has too much.
 */
static int share_make_room(struct ax_share *s)
{
    struct ax_share_node *node;

    if (s->live_count < s->limits.live)
        return 0;
    for (unsigned i = 0; i < PARK_TRIES; i++) {
        node = TAILQ_FIRST(&s->live);
        if (!node_park(s, node))
            return 0;
        TAILQ_REMOVE(&s->live, node, link);
        TAILQ_INSERT_TAIL(&s->live, node, link);
    }
    return -EMFILE;
}

static int node_restore(struct ax_share *s, struct ax_share_node *node)
{
    struct ax_share_node now = {.fd = -1};
    int err = share_make_room(s);
    int fd;

    if (err)
        return err;
    fd = ax_share_openat(s->root->fd, node->path, O_PATH, 0);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return -ESTALE;
    if (fd < 0)
        return fd;
    err = node_identify(s, fd, &now);
    if (!err && !ax_share_qid_equal(now.qid, node->qid))
        err = -ESTALE;
    if (err) {
        close(fd);
        return err;
    }
    node_unpark(s, node);
    node_set_live(s, node, fd);
    return 0;
}

int ax_share_node_fd(struct ax_share *s, struct ax_share_node *node)
{
    int err;

    if (node == s->root)
        return node->fd;
    if (node->fd < 0) {
        err = node_restore(s, node);
        return err ? err : node->fd;
    }
    TAILQ_REMOVE(&s->live, node, link);
    TAILQ_INSERT_TAIL(&s->live, node, link);
    return node->fd;
}

/* ---- life ---- */

/* Takes fd, also when it fails. */
static int node_create(struct ax_share *s, int fd, struct ax_share_node **out)
{
    struct ax_share_node *node = calloc(1, sizeof(*node));
    int err = node ? node_identify(s, fd, node) : -ENOMEM;

    if (err) {
        free(node);
        close(fd);
        return err;
    }
    node->refs = 1;
    node->fd = fd;
    *out = node;
    return 0;
}

int ax_share_node_root(struct ax_share *s, int fd)
{
    struct statx st;
    int err = ax_share_statx(fd, &st);

    if (err) {
        close(fd);
        return err;
    }
    s->root_dev = makedev(st.stx_dev_major, st.stx_dev_minor);
    err = node_create(s, fd, &s->root);
    if (!err)
        s->root->sealed = fs_is_sealed(fd);
    return err;
}

static int node_create_live(struct ax_share *s, int fd,
                            struct ax_share_node **out)
{
    int err = node_create(s, fd, out);

    if (!err)
        node_set_live(s, *out, fd);
    return err;
}

int ax_share_node_open(struct ax_share *s, int dir, const char *name,
                       struct ax_share_node **out)
{
    int err = share_make_room(s);
    int fd;

    if (err)
        return err;
    fd = ax_share_openat(dir, name, O_PATH, 0);
    return fd < 0 ? fd : node_create_live(s, fd, out);
}

int ax_share_node_of(struct ax_share *s, int fd, struct ax_share_node **out)
{
    char name[AX_SHARE_FD_TEXT];
    int err = share_make_room(s);
    int path;

    if (err)
        return err;
    path = openat(s->proc, ax_share_fd_name(fd, name), O_PATH | O_CLOEXEC);
    return path < 0 ? -errno : node_create_live(s, path, out);
}

struct ax_share_node *ax_share_node_ref(struct ax_share_node *node)
{
    node->refs++;
    return node;
}

void ax_share_node_unref(struct ax_share *s, struct ax_share_node *node)
{
    if (--node->refs)
        return;
    if (node == s->root)
        close(node->fd);
    else if (node->fd >= 0)
        node_close(s, node);
    else
        node_unpark(s, node);
    free(node);
}

/* ---- paths ---- */

static int share_path_of_fd(const struct ax_share *s, int fd,
                            char path[PATH_MAX])
{
    static const char gone[] = " (deleted)";
    const size_t tail = sizeof(gone) - 1;
    char name[AX_SHARE_FD_TEXT];
    ssize_t len =
        readlinkat(s->proc, ax_share_fd_name(fd, name), path, PATH_MAX);

    if (len < 0)
        return -errno;
    if (len == PATH_MAX)
        return -ENAMETOOLONG;
    path[len] = '\0';
    if (path[0] != '/' ||
        ((size_t)len > tail && !strcmp(path + len - tail, gone)))
        return -ESTALE;
    return 0;
}

int ax_share_path(struct ax_share *s, int fd, char path[PATH_MAX])
{
    char root[PATH_MAX];
    size_t len;
    int err = share_path_of_fd(s, s->root->fd, root);

    if (!err)
        err = share_path_of_fd(s, fd, path);
    if (err)
        return err;
    len = strcmp(root, "/") ? strlen(root) : 0;
    if (strncmp(path, root, len) || (path[len] && path[len] != '/'))
        return -ESTALE;
    len += path[len] == '/';
    memmove(path, path + len, strlen(path + len) + 1);
    return 0;
}

/* What is too long, or finds no memory, keeps its path and is stale then. */
static void node_moved(struct ax_share *s, struct ax_share_node *node,
                       size_t from_len, const char *to)
{
    const size_t before = strlen(node->path) + 1, to_len = strlen(to);
    const size_t after = to_len + before - from_len;
    char *path;

    if (after > PATH_MAX ||
        after > s->limits.parked_bytes - (s->parked_bytes - before))
        return;
    path = malloc(after);
    if (!path)
        return;
    memcpy(path, to, to_len);
    memcpy(path + to_len, node->path + from_len, after - to_len);
    free(node->path);
    node->path = path;
    s->parked_bytes += after - before;
}

void ax_share_moved(struct ax_share *s, const char *from, const char *to)
{
    const size_t len = strlen(from);
    struct ax_share_node *node;

    for (node = TAILQ_FIRST(&s->parked); node; node = TAILQ_NEXT(node, link)) {
        if (!strncmp(node->path, from, len) &&
            (!node->path[len] || node->path[len] == '/'))
            node_moved(s, node, len, to);
    }
}
