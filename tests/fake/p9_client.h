/*
 * p9_client.h - a 9P2000.L client, for tests of the file server: one question,
 * one answer. It knows nothing of the server's own code, and checks the frame
 * of every answer.
 */
#ifndef AX_TESTS_FAKE_P9_CLIENT_H
#define AX_TESTS_FAKE_P9_CLIENT_H

#include "base.h"

struct ax_share;

enum {
    P9_ROOT = 0, /* the fid of p9_start */
    P9_MSIZE = 512 << 10,
    P9_FRAME = 7,
    P9_DATA = 11, /* where the data of an answer begins */
};

enum {
    P9_STATFS = 8,
    P9_LOPEN = 12,
    P9_LCREATE = 14,
    P9_SYMLINK = 16,
    P9_MKNOD = 18,
    P9_RENAME = 20,
    P9_READLINK = 22,
    P9_GETATTR = 24,
    P9_SETATTR = 26,
    P9_XATTRWALK = 30,
    P9_READDIR = 40,
    P9_FSYNC = 50,
    P9_LOCK = 52,
    P9_GETLOCK = 54,
    P9_LINK = 70,
    P9_MKDIR = 72,
    P9_RENAMEAT = 74,
    P9_UNLINKAT = 76,
    P9_VERSION = 100,
    P9_AUTH = 102,
    P9_ATTACH = 104,
    P9_FLUSH = 108,
    P9_WALK = 110,
    P9_READ = 116,
    P9_WRITE = 118,
    P9_CLUNK = 120,
    P9_REMOVE = 122,
};

struct p9_qid {
    uint8_t type;
    uint32_t version;
    uint64_t path;
};

struct p9_attr {
    uint64_t valid;
    struct p9_qid qid;
    uint32_t mode, uid, gid;
    uint64_t nlink, rdev, size, blksize, blocks;
    uint64_t atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec;
};

struct p9_client {
    /* Gives len bytes to the server, and up to room bytes of its answer. */
    size_t (*carry)(void *ctx, const void *msg, size_t len, void *answer,
                    size_t room);
    void *ctx;
    size_t room; /* for an answer; at first P9_MSIZE */
    uint16_t tag;
    size_t len, at; /* of the answer, and of what is taken of it */
    uint8_t msg[P9_MSIZE], answer[P9_MSIZE];
};

/* For carry, with a share as ctx: no device between. Messages and answers are
 * in several pieces each. */
size_t p9_carry_to_share(void *ctx, const void *msg, size_t len, void *answer,
                         size_t room);

/*
 * Asks and waits. format: one letter for each argument: b, w, d, q: a number of
 * 1, 2, 4 or 8 bytes (q as uint64_t, the others as unsigned); s: a string. 0 or
 * the negative errno of the answer; -EPROTO where it is not an answer to that.
 */
int p9_ask(struct p9_client *c, unsigned type, const char *format, ...);

/* The same with bytes behind it, or of a message that is complete. */
int p9_ask_raw(struct p9_client *c, const void *msg, size_t len);

/* The next of the answer; a test's own mistake gives 0 and "". */
uint64_t p9_take(struct p9_client *c, unsigned bytes);
void p9_take_string(struct p9_client *c, char *buf, size_t size);
struct p9_qid p9_take_qid(struct p9_client *c);

/* Version and attach, as the client's user uid. */
int p9_start(struct p9_client *c, unsigned msize, unsigned uid);

/* path: names with slashes between; "" gives another fid for the same. -ENOENT
 * also where only some of it is there. */
int p9_walk(struct p9_client *c, unsigned fid, unsigned newfid,
            const char *path);
int p9_open(struct p9_client *c, unsigned fid, unsigned flags);
int p9_create(struct p9_client *c, unsigned fid, const char *name,
              unsigned flags, unsigned mode);
int p9_clunk(struct p9_client *c, unsigned fid);
int p9_getattr(struct p9_client *c, unsigned fid, struct p9_attr *attr);
int p9_setattr(struct p9_client *c, unsigned fid, unsigned valid,
               const struct p9_attr *attr);
int64_t p9_read(struct p9_client *c, unsigned fid, uint64_t off, void *buf,
                size_t count);
int64_t p9_write(struct p9_client *c, unsigned fid, uint64_t off,
                 const void *bytes, size_t count);
int p9_mkdir(struct p9_client *c, unsigned fid, const char *name,
             unsigned mode);
int p9_unlink(struct p9_client *c, unsigned fid, const char *name,
              unsigned flags);
int p9_rename(struct p9_client *c, unsigned from, const char *name, unsigned to,
              const char *new_name);

#endif
