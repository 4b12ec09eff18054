/*
 * sparse.h - writes a long stream to a descriptor, zero pages as holes where it
 * is a file, and gives up at once when told so.
 *
 * A regular file's bytes from its offset on are replaced. To anything else, and
 * to a file opened for appending, zeros are written. On a thread of its own
 * with SIGPIPE and SIGXFSZ blocked: only a pipe, a socket or a terminal are
 * waited for in a way that can be cancelled; a file's disk is not.
 */
#ifndef AX_VMM_SPARSE_H
#define AX_VMM_SPARSE_H

#include "base.h"

#include <stdatomic.h>

/* How a writer is told to give up: set the flag, then write to the eventfd. */
struct ax_cancel {
    atomic_bool asked;
    int fd;
};

struct ax_sparse {
    int fd;
    bool file; /* has holes and a length */
    const struct ax_cancel *cancel;
    uint64_t bytes; /* written so far, holes included */
    uint64_t hole;  /* at the end of them, not made yet */
    uint64_t start; /* in the file */
};

/* 0 or -errno. fd stays the caller's. */
int ax_sparse_begin(struct ax_sparse *to, int fd,
                    const struct ax_cancel *cancel);

/* All of it; 0, -ECANCELED, or -errno of write(2). */
int ax_sparse_write(struct ax_sparse *to, const void *data, uint64_t size);

/* As a write of so many zeros. */
int ax_sparse_skip(struct ax_sparse *to, uint64_t size);

/* After the last write: the file gets its length. 0 or -errno. */
int ax_sparse_end(struct ax_sparse *to);

#endif
