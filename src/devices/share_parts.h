/*
 * share_parts.h - what the files of the 9P server share; private to share*.c.
 *
 * A fid is the client's handle. It has a node, which is one inode of the host,
 * and perhaps an open file. A node is live (an O_PATH descriptor) or parked (a
 * path beneath the root, and what the inode was): there are more fids than a
 * process has descriptors, as Linux keeps one for every name in its cache. A
 * parked node is looked up again when it is used, and has to be the same inode.
 */
#ifndef AX_DEVICES_SHARE_PARTS_H
#define AX_DEVICES_SHARE_PARTS_H

#include "devices/share.h"
#include "devices/virtqueue.h"

#include <limits.h>
#include <stdint.h>
#include <sys/queue.h>

struct statx;

/* Messages; an answer's type is one more than its question's. */
enum {
    AX_9P_RLERROR = 7,
    AX_9P_TSTATFS = 8,
    AX_9P_TLOPEN = 12,
    AX_9P_TLCREATE = 14,
    AX_9P_TSYMLINK = 16,
    AX_9P_TMKNOD = 18,
    AX_9P_TRENAME = 20,
    AX_9P_TREADLINK = 22,
    AX_9P_TGETATTR = 24,
    AX_9P_TSETATTR = 26,
    AX_9P_TXATTRWALK = 30,
    AX_9P_TXATTRCREATE = 32,
    AX_9P_TREADDIR = 40,
    AX_9P_TFSYNC = 50,
    AX_9P_TLOCK = 52,
    AX_9P_TGETLOCK = 54,
    AX_9P_TLINK = 70,
    AX_9P_TMKDIR = 72,
    AX_9P_TRENAMEAT = 74,
    AX_9P_TUNLINKAT = 76,
    AX_9P_TVERSION = 100,
    AX_9P_TAUTH = 102,
    AX_9P_TATTACH = 104,
    AX_9P_TFLUSH = 108,
    AX_9P_TWALK = 110,
    AX_9P_TREAD = 116,
    AX_9P_TWRITE = 118,
    AX_9P_TCLUNK = 120,
    AX_9P_TREMOVE = 122,
    AX_9P_TYPES = 128,
};

/* Flags of Tlopen and Tlcreate: Linux's numbers, on every architecture. */
enum {
    AX_9P_ACCESS = 3, /* O_ACCMODE */
    AX_9P_EXCL = 0200,
    AX_9P_TRUNC = 01000,
    AX_9P_DSYNC = 010000,
    AX_9P_DIRECTORY = 0200000,
    AX_9P_SYNC = 04000000,
};

/* What of Tsetattr is meant. */
enum {
    AX_9P_SET_MODE = 0x001,
    AX_9P_SET_UID = 0x002,
    AX_9P_SET_GID = 0x004,
    AX_9P_SET_SIZE = 0x008,
    AX_9P_SET_ATIME = 0x010,
    AX_9P_SET_MTIME = 0x020,
    AX_9P_SET_CTIME = 0x040,
    AX_9P_SET_ATIME_TO = 0x080, /* to the time given, not to now */
    AX_9P_SET_MTIME_TO = 0x100,
};

enum {
    AX_9P_QID_DIR = 0x80,
    AX_9P_QID_SYMLINK = 0x02,
    AX_9P_GETATTR_BASIC = 0x7ff, /* all of stat(2) */
    AX_9P_REMOVEDIR = 0x200,
    AX_9P_UNLOCK = 2,
    AX_9P_LOCK_SUCCESS = 0,
    AX_9P_MAGIC = 0x01021997, /* statfs(2): the type */
    AX_9P_NO_ID = -1,         /* of a fid, a user, a group */
    AX_9P_WALK_MAX = 16,      /* names of one Twalk */
    AX_9P_MSIZE_MIN = 4096,
};

enum {
    AX_9P_HEADER = 7,              /* size[4] type[1] tag[2] */
    AX_9P_DATA = AX_9P_HEADER + 4, /* where an answer's payload begins */
    AX_SHARE_NAME = NAME_MAX + 1,
    AX_SHARE_MESSAGE = 8 << 10, /* of a question but Twrite's payload */
    AX_SHARE_ANSWER = 64 << 10, /* of an answer but Tread's payload */
};

/* ---- share_codec.c: the bytes of one message ---- */

/* err: the first thing that was wrong; then everything reads as 0 and "". */
struct ax_share_reader {
    const uint8_t *at;
    size_t left;
    int err;
};

/* full: something did not fit, and nothing was written since. */
struct ax_share_writer {
    uint8_t *buf;
    size_t len, size;
    bool full;
};

struct ax_share_qid {
    uint8_t type;
    uint32_t version;
    uint64_t path;
};

void ax_share_fail(struct ax_share_reader *r, int err);
uint64_t ax_share_get(struct ax_share_reader *r, unsigned bytes);
uint32_t ax_share_get32(struct ax_share_reader *r);
/* With its terminator into size bytes: -ENAMETOOLONG. NUL inside: -EINVAL. */
void ax_share_get_string(struct ax_share_reader *r, char *buf, size_t size);
/* One name of a directory: not empty, "." or "..", and without a slash. */
void ax_share_get_name(struct ax_share_reader *r, char name[AX_SHARE_NAME]);

void ax_share_put(struct ax_share_writer *w, uint64_t val, unsigned bytes);
void ax_share_put_string(struct ax_share_writer *w, const char *s, size_t len);
void ax_share_put_qid(struct ax_share_writer *w, struct ax_share_qid qid);

/* ---- the server ---- */

struct ax_share_node {
    TAILQ_ENTRY(ax_share_node)
    link; /* of live or parked; the root is in none */
    unsigned refs;
    int fd;     /* -1: parked */
    char *path; /* beneath the root, where it is parked */
    struct ax_share_qid qid;
    uint32_t mode; /* its kind is final, its rights are those of the look-up */
    bool sealed;   /* of a file system of the kernel's own: nothing to see */
};
TAILQ_HEAD(ax_share_nodes, ax_share_node);

struct ax_share_fid {
    struct ax_share_fid *next; /* in its bucket */
    uint32_t id;
    uint32_t uid; /* the guest's user, AX_9P_NO_ID: not told */
    struct ax_share_node *node;
    int fd; /* open file or directory, or -1 */
    bool writable;
};

struct ax_share {
    struct ax_log *log;
    bool readonly;
    bool privileged; /* may give files away */
    struct ax_share_limits limits;
    uint32_t msize;             /* as agreed; 0: no session */
    struct ax_share_node *root; /* always live */
    uint64_t root_dev;
    int proc; /* /proc/self/fd: the way from O_PATH to an open file */

    struct ax_share_nodes live, parked; /* least recently used first */
    unsigned live_count;
    size_t parked_bytes;

    struct ax_share_fid **buckets;
    unsigned bucket_count; /* a power of two */
    unsigned fid_count, open_count;

    uint8_t in[AX_SHARE_MESSAGE];
    uint8_t out[AX_SHARE_ANSWER];
};

/* One question and its answer. */
struct ax_share_request {
    struct ax_share_reader in;
    struct ax_share_writer out;
    const struct ax_virtq_chain *chain;
    size_t limit;   /* bytes of the answer at most, AX_9P_DATA at least */
    size_t payload; /* bytes behind out, which are in place already */
};

/* ---- share_nodes.c: inodes of the host ---- */

enum {
    AX_SHARE_FD_TEXT = 12,
    AX_SHARE_LIVE_MIN = 32, /* of limits.live */
};

/* The name of fd in s->proc. */
const char *ax_share_fd_name(int fd, char buf[AX_SHARE_FD_TEXT]);

/*
 * openat2, beneath dir, through no link; flags get O_CLOEXEC and O_NOFOLLOW.
 * A descriptor or -errno.
 */
int ax_share_openat(int dir, const char *path, int flags, unsigned mode);

/* Takes fd, an O_PATH one, as the root's. */
int ax_share_node_root(struct ax_share *s, int fd);

/* The inode called name in the directory dir, with one reference. */
int ax_share_node_open(struct ax_share *s, int dir, const char *name,
                       struct ax_share_node **out);

/* The inode of an open file. */
int ax_share_node_of(struct ax_share *s, int fd, struct ax_share_node **out);

struct ax_share_node *ax_share_node_ref(struct ax_share_node *node);
void ax_share_node_unref(struct ax_share *s, struct ax_share_node *node);

/*
 * Its O_PATH descriptor, or -errno: -ESTALE if it is not there any more. It may
 * be parked again once AX_SHARE_LIVE_MIN nodes were asked for after it; no
 * operation asks for more than three.
 */
int ax_share_node_fd(struct ax_share *s, struct ax_share_node *node);

/* Where fd is now, beneath the root, "" for the root; -ESTALE: nowhere. */
int ax_share_path(struct ax_share *s, int fd, char path[PATH_MAX]);

/* A name has changed: what is parked there, or below, moves along. */
void ax_share_moved(struct ax_share *s, const char *from, const char *to);

int ax_share_statx(int fd, struct statx *st);

bool ax_share_qid_equal(struct ax_share_qid a, struct ax_share_qid b);

/* ---- share_fids.c: the client's handles ---- */

struct ax_share_fid *ax_share_fid_find(const struct ax_share *s, uint32_t id);

/* Takes the caller's reference of node, also when it fails: -EBADF (it is in
 * use), -ENFILE, -ENOMEM. */
int ax_share_fid_add(struct ax_share *s, uint32_t id, uint32_t uid,
                     struct ax_share_node *node);
void ax_share_fid_drop(struct ax_share *s, struct ax_share_fid *fid);
void ax_share_fid_drop_all(struct ax_share *s);

/* The next field as a fid that is there; NULL: r->err says why. */
struct ax_share_fid *ax_share_get_fid(struct ax_share *s,
                                      struct ax_share_reader *r);

/* A descriptor of it, open or O_PATH, or -errno. _look: also of a sealed one,
 * to ask what it is. */
int ax_share_fid_fd(struct ax_share *s, struct ax_share_fid *fid);
int ax_share_fid_look(struct ax_share *s, struct ax_share_fid *fid);

/* ---- what is asked for: 0, with the answer in rq, or -errno ---- */

/* share_walk.c */
int ax_share_attach(struct ax_share *s, struct ax_share_request *rq);
int ax_share_walk(struct ax_share *s, struct ax_share_request *rq);
int ax_share_clunk(struct ax_share *s, struct ax_share_request *rq);

/* share_file.c */
int ax_share_lopen(struct ax_share *s, struct ax_share_request *rq);
int ax_share_lcreate(struct ax_share *s, struct ax_share_request *rq);
int ax_share_read(struct ax_share *s, struct ax_share_request *rq);
int ax_share_write(struct ax_share *s, struct ax_share_request *rq);
int ax_share_fsync(struct ax_share *s, struct ax_share_request *rq);
int ax_share_readdir(struct ax_share *s, struct ax_share_request *rq);
int ax_share_lock(struct ax_share *s, struct ax_share_request *rq);
int ax_share_getlock(struct ax_share *s, struct ax_share_request *rq);

/* share_attr.c */
int ax_share_getattr(struct ax_share *s, struct ax_share_request *rq);
int ax_share_setattr(struct ax_share *s, struct ax_share_request *rq);
int ax_share_statfs(struct ax_share *s, struct ax_share_request *rq);
int ax_share_readlink(struct ax_share *s, struct ax_share_request *rq);

/* share_tree.c */
int ax_share_symlink(struct ax_share *s, struct ax_share_request *rq);
int ax_share_mknod(struct ax_share *s, struct ax_share_request *rq);
int ax_share_mkdir(struct ax_share *s, struct ax_share_request *rq);
int ax_share_link(struct ax_share *s, struct ax_share_request *rq);
int ax_share_rename(struct ax_share *s, struct ax_share_request *rq);
int ax_share_renameat(struct ax_share *s, struct ax_share_request *rq);
int ax_share_unlinkat(struct ax_share *s, struct ax_share_request *rq);
int ax_share_remove(struct ax_share *s, struct ax_share_request *rq);

/*
 * What was made just now, as the guest wants it: its owner where that can be
 * changed, and exactly these rights, whatever the process's umask is.
 */
void ax_share_settle(struct ax_share *s, const struct ax_share_fid *maker,
                     struct ax_share_node *node, uint32_t mode, uint32_t gid);

#endif
