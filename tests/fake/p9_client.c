/* p9_client.c - see p9_client.h. */
#include "fake/p9_client.h"

#include "devices/share.h"
#include "devices/virtqueue.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { RLERROR = 7, NO_FID = 0xffffffff, WALK_MAX = 16 };

/* ---- the way to the server ---- */

/* Splits bytes into pieces of growing size; returns how many. */
static unsigned split(struct iovec *iov, uint8_t *bytes, size_t size)
{
    unsigned count = 0;
    size_t piece = 5;

    while (size) {
        if (piece > size)
            piece = size;
        iov[count++] = (struct iovec){bytes, piece};
        bytes += piece;
        size -= piece;
        piece *= 3;
    }
    return count;
}

size_t p9_carry_to_share(void *ctx, const void *msg, size_t len, void *answer,
                         size_t room)
{
    struct ax_virtq_chain chain = {.out_bytes = len, .in_bytes = room};
    uint8_t copy[P9_MSIZE];

    memcpy(copy, msg, len);
    chain.out = split(chain.iov, copy, len);
    chain.in = split(chain.iov + chain.out, answer, room);
    return ax_share_serve(ctx, &chain);
}

/* ---- messages ---- */

static void put(struct p9_client *c, uint64_t val, unsigned bytes)
{
    for (unsigned i = 0; i < bytes && c->len < sizeof(c->msg); i++)
        c->msg[c->len++] = (uint8_t)(val >> 8 * i);
}

static void put_bytes(struct p9_client *c, const void *bytes, size_t count)
{
    if (count > sizeof(c->msg) - c->len)
        return;
    memcpy(c->msg + c->len, bytes, count);
    c->len += count;
}

static void put_string(struct p9_client *c, const char *s)
{
    put(c, strlen(s), 2);
    put_bytes(c, s, strlen(s));
}

static void begin(struct p9_client *c, unsigned type)
{
    c->len = 0;
    put(c, 0, 4);
    put(c, type, 1);
    put(c, ++c->tag, 2);
}

/* The size in front, off to the server, and what comes back. */
static int finish(struct p9_client *c)
{
    size_t len = c->len;

    c->len = 0;
    put(c, len, 4);
    return p9_ask_raw(c, c->msg, len);
}

uint64_t p9_take(struct p9_client *c, unsigned bytes)
{
    uint64_t val = 0;

    if (bytes > c->len - c->at)
        return 0;
    for (unsigned i = 0; i < bytes; i++)
        val |= (uint64_t)c->answer[c->at++] << 8 * i;
    return val;
}

void p9_take_string(struct p9_client *c, char *buf, size_t size)
{
    size_t len = p9_take(c, 2);

    if (len > c->len - c->at || len >= size)
        len = 0;
    memcpy(buf, c->answer + c->at, len);
    buf[len] = '\0';
    c->at += len;
}

struct p9_qid p9_take_qid(struct p9_client *c)
{
    struct p9_qid qid;

    qid.type = (uint8_t)p9_take(c, 1);
    qid.version = (uint32_t)p9_take(c, 4);
    qid.path = p9_take(c, 8);
    return qid;
}

int p9_ask_raw(struct p9_client *c, const void *msg, size_t len)
{
    const uint8_t *head = msg;
    unsigned type;
    int err;

    c->at = 0;
    c->len = c->carry(c->ctx, msg, len, c->answer, c->room);
    if (c->len < P9_FRAME || p9_take(c, 4) != c->len)
        return -EPROTO;
    type = (unsigned)p9_take(c, 1);
    if (p9_take(c, 2) != (unsigned)(head[5] | head[6] << 8))
        return -EPROTO;
    if (type != RLERROR)
        return type == head[4] + 1U ? 0 : -EPROTO;
    err = (int)p9_take(c, 4);
    return err > 0 && c->at == c->len ? -err : -EPROTO;
}

static void put_args(struct p9_client *c, const char *format, va_list args)
{
    for (; *format; format++) {
        switch (*format) {
        case 'b':
            put(c, va_arg(args, unsigned), 1);
            break;
        case 'w':
            put(c, va_arg(args, unsigned), 2);
            break;
        case 'd':
            put(c, va_arg(args, unsigned), 4);
            break;
        case 'q':
            put(c, va_arg(args, uint64_t), 8);
            break;
        default:
            put_string(c, va_arg(args, const char *));
            break;
        }
    }
}

int p9_ask(struct p9_client *c, unsigned type, const char *format, ...)
{
    va_list args;

    begin(c, type);
    va_start(args, format);
    put_args(c, format, args);
    va_end(args);
    return finish(c);
}

/* ---- what is asked most ---- */

int p9_start(struct p9_client *c, unsigned msize, unsigned uid)
{
    int err;

    if (!c->room)
        c->room = P9_MSIZE;
    err = p9_ask(c, P9_VERSION, "ds", msize, "9P2000.L");
    if (err)
        return err;
    return p9_ask(c, P9_ATTACH, "ddssd", P9_ROOT, NO_FID, "", "", uid);
}

int p9_walk(struct p9_client *c, unsigned fid, unsigned newfid,
            const char *path)
{
    unsigned count = 0;
    size_t len, at;
    int err;

    begin(c, P9_WALK);
    put(c, fid, 4);
    put(c, newfid, 4);
    at = c->len;
    put(c, 0, 2);
    for (; *path && count < WALK_MAX; path += len + (path[len] == '/')) {
        len = strcspn(path, "/");
        put(c, len, 2);
        put_bytes(c, path, len);
        count++;
    }
    c->msg[at] = (uint8_t)count;
    err = finish(c);
    if (err)
        return err;
    return p9_take(c, 2) == count ? 0 : -ENOENT;
}

int p9_open(struct p9_client *c, unsigned fid, unsigned flags)
{
    return p9_ask(c, P9_LOPEN, "dd", fid, flags);
}

int p9_create(struct p9_client *c, unsigned fid, const char *name,
              unsigned flags, unsigned mode)
{
    return p9_ask(c, P9_LCREATE, "dsddd", fid, name, flags, mode, 0);
}

int p9_clunk(struct p9_client *c, unsigned fid)
{
    return p9_ask(c, P9_CLUNK, "d", fid);
}

int p9_getattr(struct p9_client *c, unsigned fid, struct p9_attr *attr)
{
    int err = p9_ask(c, P9_GETATTR, "dq", fid, UINT64_C(0x7ff));

    if (err)
        return err;
    attr->valid = p9_take(c, 8);
    attr->qid = p9_take_qid(c);
    attr->mode = (uint32_t)p9_take(c, 4);
    attr->uid = (uint32_t)p9_take(c, 4);
    attr->gid = (uint32_t)p9_take(c, 4);
    attr->nlink = p9_take(c, 8);
    attr->rdev = p9_take(c, 8);
    attr->size = p9_take(c, 8);
    attr->blksize = p9_take(c, 8);
    attr->blocks = p9_take(c, 8);
    attr->atime = p9_take(c, 8);
    attr->atime_nsec = p9_take(c, 8);
    attr->mtime = p9_take(c, 8);
    attr->mtime_nsec = p9_take(c, 8);
    attr->ctime = p9_take(c, 8);
    attr->ctime_nsec = p9_take(c, 8);
    return c->len == 160 ? 0 : -EPROTO;
}

int p9_setattr(struct p9_client *c, unsigned fid, unsigned valid,
               const struct p9_attr *attr)
{
    return p9_ask(c, P9_SETATTR, "dddddqqqqq", fid, valid, attr->mode,
                  attr->uid, attr->gid, attr->size, attr->atime,
                  attr->atime_nsec, attr->mtime, attr->mtime_nsec);
}

int64_t p9_read(struct p9_client *c, unsigned fid, uint64_t off, void *buf,
                size_t count)
{
    int err = p9_ask(c, P9_READ, "dqd", fid, off, (unsigned)count);
    size_t got;

    if (err)
        return err;
    got = p9_take(c, 4);
    if (got > count || got != c->len - P9_DATA)
        return -EPROTO;
    memcpy(buf, c->answer + P9_DATA, got);
    return (int64_t)got;
}

int64_t p9_write(struct p9_client *c, unsigned fid, uint64_t off,
                 const void *bytes, size_t count)
{
    int err;

    begin(c, P9_WRITE);
    put(c, fid, 4);
    put(c, off, 8);
    put(c, count, 4);
    put_bytes(c, bytes, count);
    err = finish(c);
    return err ? err : (int64_t)p9_take(c, 4);
}

int p9_mkdir(struct p9_client *c, unsigned fid, const char *name, unsigned mode)
{
    return p9_ask(c, P9_MKDIR, "dsdd", fid, name, mode, 0);
}

int p9_unlink(struct p9_client *c, unsigned fid, const char *name,
              unsigned flags)
{
    return p9_ask(c, P9_UNLINKAT, "dsd", fid, name, flags);
}

int p9_rename(struct p9_client *c, unsigned from, const char *name, unsigned to,
              const char *new_name)
{
    return p9_ask(c, P9_RENAMEAT, "dsds", from, name, to, new_name);
}
