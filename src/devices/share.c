/*
 * share.c - the life of a share, and of one message: its frame, its session,
 * and the table of what can be asked. See share.h.
 */
#include "devices/share.h"

#include "base.h"
#include "devices/share_parts.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FIDS = 256 << 10,
    PARKED_BYTES = 32 << 20,
    LIVE_MAX = 1024,
    DESCRIPTORS = 65536, /* of the process, where the host lets us */
    WRITE_HEADER = AX_9P_HEADER + 16, /* what stands before Twrite's payload */
};

/* ---- limits ---- */

/*
 * Guests keep a file open for every library that a process of theirs has
 * mapped. The soft limit of 1024 is for programs that use select(); whoever
 * starts us bounds us by the hard one.
 */
static unsigned share_descriptors(void)
{
    struct rlimit limit;
    rlim_t want;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 1024;
    want = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    if (limit.rlim_cur < want) {
        const rlim_t before = limit.rlim_cur;

        limit.rlim_cur = want;
        if (setrlimit(RLIMIT_NOFILE, &limit))
            limit.rlim_cur = before;
    }
    return limit.rlim_cur < DESCRIPTORS ? (unsigned)limit.rlim_cur
                                        : DESCRIPTORS;
}

static void share_set_limits(struct ax_share *s,
                             const struct ax_share_limits *limits)
{
    const unsigned descriptors = share_descriptors();

    if (limits)
        s->limits = *limits;
    if (!s->limits.fids)
        s->limits.fids = FIDS;
    if (!s->limits.open)
        s->limits.open = descriptors / 8;
    if (!s->limits.live)
        s->limits.live = descriptors / 32;
    if (s->limits.live < AX_SHARE_LIVE_MIN)
        s->limits.live = AX_SHARE_LIVE_MIN;
    if (s->limits.live > LIVE_MAX)
        s->limits.live = LIVE_MAX;
    if (!s->limits.parked_bytes)
        s->limits.parked_bytes = PARKED_BYTES;
}

/* ---- life ---- */

static int share_refuse(const struct ax_share *s, const char *path,
                        const char *what, int err)
{
    ax_log(s->log, AX_LOG_ERROR, "share %s: %s: %s", path, what,
           strerror(-err));
    return err;
}

static int share_check_root(const struct ax_share *s, const char *path)
{
    int fd = ax_share_openat(s->root->fd, ".", O_PATH | O_DIRECTORY, 0);

    if (fd < 0)
        return share_refuse(s, path,
                            "openat2 does not work, which keeps the guest "
                            "within the directory; it needs Linux 5.6 or newer",
                            fd);
    close(fd);
    if (s->root->sealed)
        return share_refuse(s, path,
                            "it is a file system of the kernel's own, which "
                            "is no business of a guest's",
                            -EPERM);
    return 0;
}

static int share_open(struct ax_share *s, const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int err;

    if (fd < 0)
        return share_refuse(s, path, "it cannot be opened", -errno);
    err = ax_share_node_root(s, fd);
    if (err)
        return share_refuse(s, path, "it cannot be looked at", err);
    s->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->proc < 0)
        return share_refuse(s, path, "files are opened through /proc/self/fd",
                            -errno);
    return share_check_root(s, path);
}

int ax_share_create(const char *path, bool readonly,
                    const struct ax_share_limits *limits, struct ax_log *log,
                    struct ax_share **out)
{
    struct ax_share *s = calloc(1, sizeof(*s));
    int err;

    *out = NULL;
    if (!s)
        return -ENOMEM;
    s->log = log;
    s->readonly = readonly;
    s->privileged = geteuid() == 0;
    s->proc = -1;
    TAILQ_INIT(&s->live);
    TAILQ_INIT(&s->parked);
    share_set_limits(s, limits);
    err = share_open(s, path);
    if (err) {
        ax_share_destroy(s);
        return err;
    }
    *out = s;
    return 0;
}

void ax_share_destroy(struct ax_share *s)
{
    if (!s)
        return;
    ax_share_reset(s);
    if (s->root)
        ax_share_node_unref(s, s->root);
    if (s->proc >= 0)
        close(s->proc);
    free(s->buckets);
    free(s);
}

void ax_share_reset(struct ax_share *s)
{
    ax_share_fid_drop_all(s);
    s->msize = 0;
}

/* ---- the session ---- */

/* A new one ends the one before. */
static int share_version(struct ax_share *s, struct ax_share_request *rq)
{
    static const char ours[] = "9P2000.L", unknown[] = "unknown";
    const uint32_t wanted = ax_share_get32(&rq->in);
    char version[32];
    bool known;

    ax_share_get_string(&rq->in, version, sizeof(version));
    if (rq->in.err)
        return rq->in.err;
    if (wanted < AX_9P_MSIZE_MIN)
        return -EMSGSIZE;
    ax_share_reset(s);
    known = !strcmp(version, ours);
    if (known)
        s->msize = wanted < AX_SHARE_MSIZE ? wanted : AX_SHARE_MSIZE;
    ax_share_put(&rq->out, known ? s->msize : wanted, 4);
    ax_share_put_string(&rq->out, known ? ours : unknown,
                        strlen(known ? ours : unknown));
    return 0;
}

/* What it asks to give up has been answered: messages are one at a time. */
static int share_flush(struct ax_share *s, struct ax_share_request *rq)
{
    ax_share_get(&rq->in, 2);
    return rq->in.err;
}

/* ---- one message ---- */

struct operation {
    int (*ask)(struct ax_share *s, struct ax_share_request *rq);
    bool changes; /* refused where the share is read-only */
};

/* What is not here is not supported, as Linux knows from the answer: xattrs
 * and authentication among it. */
static const struct operation operations[AX_9P_TYPES] = {
    [AX_9P_TSTATFS] = {ax_share_statfs, false},
    [AX_9P_TLOPEN] = {ax_share_lopen, false}, /* looks itself */
    [AX_9P_TLCREATE] = {ax_share_lcreate, true},
    [AX_9P_TSYMLINK] = {ax_share_symlink, true},
    [AX_9P_TMKNOD] = {ax_share_mknod, true},
    [AX_9P_TRENAME] = {ax_share_rename, true},
    [AX_9P_TREADLINK] = {ax_share_readlink, false},
    [AX_9P_TGETATTR] = {ax_share_getattr, false},
    [AX_9P_TSETATTR] = {ax_share_setattr, true},
    [AX_9P_TREADDIR] = {ax_share_readdir, false},
    [AX_9P_TFSYNC] = {ax_share_fsync, false},
    [AX_9P_TLOCK] = {ax_share_lock, false},
    [AX_9P_TGETLOCK] = {ax_share_getlock, false},
    [AX_9P_TLINK] = {ax_share_link, true},
    [AX_9P_TMKDIR] = {ax_share_mkdir, true},
    [AX_9P_TRENAMEAT] = {ax_share_renameat, true},
    [AX_9P_TUNLINKAT] = {ax_share_unlinkat, true},
    [AX_9P_TVERSION] = {share_version, false},
    [AX_9P_TATTACH] = {ax_share_attach, false},
    [AX_9P_TFLUSH] = {share_flush, false},
    [AX_9P_TWALK] = {ax_share_walk, false},
    [AX_9P_TREAD] = {ax_share_read, false},
    [AX_9P_TWRITE] = {ax_share_write, true},
    [AX_9P_TCLUNK] = {ax_share_clunk, false},
    [AX_9P_TREMOVE] = {ax_share_remove, false}, /* clunks in any case */
};

static int share_ask(struct ax_share *s, unsigned type,
                     struct ax_share_request *rq)
{
    const struct operation *op =
        &operations[type < AX_9P_TYPES ? type : 0]; /* 0 is none */
    int err;

    if (!op->ask)
        return -EOPNOTSUPP;
    if (!s->msize && type != AX_9P_TVERSION)
        return -EPROTO;
    if (op->changes && s->readonly)
        return -EROFS;
    err = op->ask(s, rq);
    if (!err && rq->out.full)
        err = -EMSGSIZE;
    return err;
}

/*
 * Copies what stands behind the header, once; the payload of Twrite stays where
 * it is. The size that the message claims is checked against what there is.
 * Linux before 4.19 does not count Twrite's payload in it.
 */
static void share_take(struct ax_share *s, struct ax_share_request *rq,
                       unsigned type, size_t size)
{
    const size_t most = s->msize ? s->msize : AX_SHARE_MESSAGE;
    size_t body = size - AX_9P_HEADER;

    if (size < AX_9P_HEADER || size > rq->chain->out_bytes || size > most) {
        ax_share_fail(&rq->in, -EMSGSIZE);
        return;
    }
    if (type == AX_9P_TWRITE && size > WRITE_HEADER)
        body = WRITE_HEADER - AX_9P_HEADER;
    if (body > sizeof(s->in)) {
        ax_share_fail(&rq->in, -ENAMETOOLONG);
        return;
    }
    rq->in.at = s->in;
    rq->in.left = ax_virtq_read(rq->chain, AX_9P_HEADER, s->in, body);
}

static size_t share_answer(struct ax_share *s, struct ax_share_request *rq,
                           unsigned type, uint16_t tag, int err)
{
    struct ax_share_writer head = {.buf = s->out, .size = AX_9P_HEADER};

    if (err) {
        rq->out.len = AX_9P_HEADER;
        rq->out.full = false;
        rq->payload = 0;
        ax_share_put(&rq->out, (uint64_t)-err, 4);
    }
    ax_share_put(&head, rq->out.len + rq->payload, 4);
    ax_share_put(&head, err ? AX_9P_RLERROR : type + 1, 1);
    ax_share_put(&head, tag, 2);
    return ax_virtq_write(rq->chain, 0, s->out, rq->out.len) + rq->payload;
}

size_t ax_share_serve(struct ax_share *s, const struct ax_virtq_chain *chain)
{
    const size_t most = s->msize ? s->msize : AX_9P_MSIZE_MIN;
    struct ax_share_request rq = {
        .chain = chain,
        .limit = chain->in_bytes < most ? chain->in_bytes : most,
    };
    uint8_t header[AX_9P_HEADER];
    struct ax_share_reader head = {.at = header, .left = sizeof(header)};
    size_t size;
    unsigned type;
    uint16_t tag;
    int err;

    if (ax_virtq_read(chain, 0, header, sizeof(header)) < sizeof(header) ||
        rq.limit < AX_9P_DATA)
        return 0;
    size = (size_t)ax_share_get(&head, 4);
    type = (unsigned)ax_share_get(&head, 1);
    tag = (uint16_t)ax_share_get(&head, 2);
    rq.out = (struct ax_share_writer){
        .buf = s->out,
        .len = AX_9P_HEADER,
        .size = rq.limit < sizeof(s->out) ? rq.limit : sizeof(s->out),
    };
    share_take(s, &rq, type, size);
    err = rq.in.err ? rq.in.err : share_ask(s, type, &rq);
    return share_answer(s, &rq, type, tag, err);
}
