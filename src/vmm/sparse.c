/*
 * sparse.c - runs of zero pages and of others; a wait that can be cancelled.
 */
#include "vmm/sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE_BYTES = 4096,
    CHUNK_BYTES = 1 << 20, /* written at once, and looked at at once */
};

int ax_sparse_begin(struct ax_sparse *to, int fd,
                    const struct ax_cancel *cancel)
{
    const int flags = fcntl(fd, F_GETFL);
    struct stat st;
    off_t at;

    *to = (struct ax_sparse){.fd = fd, .cancel = cancel};
    if (flags < 0 || fstat(fd, &st))
        return -errno;
    if ((flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (!S_ISREG(st.st_mode) || flags & O_APPEND)
        return 0;
    /* Old bytes must not shine through the holes. */
    at = lseek(fd, 0, SEEK_CUR);
    if (at < 0 || ftruncate(fd, at))
        return -errno;
    to->file = true;
    to->start = (uint64_t)at;
    return 0;
}

/* Until fd takes bytes; what cannot be polled (a file) always does. */
static int sparse_wait(const struct ax_sparse *to)
{
    struct pollfd fds[] = {
        {.fd = to->fd, .events = POLLOUT},
        {.fd = to->cancel->fd, .events = POLLIN},
    };

    while (!atomic_load(&to->cancel->asked)) {
        if (poll(fds, AX_ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
            return -errno;
        if (fds[0].revents)
            return 0;
    }
    return -ECANCELED;
}

/*
 * Past the holes. A write of PIPE_BUF bytes does not block where poll says that
 * there is room (pipe(7)), so that the descriptor may stay as it is.
 */
static int sparse_put(struct ax_sparse *to, const char *data, uint64_t size)
{
    const uint64_t most = to->file ? CHUNK_BYTES : PIPE_BUF;

    while (size) {
        int err = to->file ? 0 : sparse_wait(to);
        ssize_t n;

        if (err)
            return err;
        if (atomic_load(&to->cancel->asked))
            return -ECANCELED;
        n = write(to->fd, data, size < most ? size : most);
        if (!n)
            return -EIO;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (uint64_t)n;
            to->bytes += (uint64_t)n;
        }
    }
    return 0;
}

static int sparse_fill(struct ax_sparse *to)
{
    static const char zeros[PAGE_BYTES];
    int err = 0;

    if (to->file && to->hole) {
        if (lseek(to->fd, (off_t)to->hole, SEEK_CUR) < 0)
            return -errno;
        to->bytes += to->hole;
        to->hole = 0;
    }
    while (!err && to->hole) {
        const uint64_t n = to->hole < PAGE_BYTES ? to->hole : PAGE_BYTES;

        err = sparse_put(to, zeros, n);
        to->hole -= n;
    }
    return err;
}

static bool is_zero(const char *data, uint64_t size)
{
    return !data[0] && !memcmp(data, data + 1, size - 1);
}

/* How many bytes from data on are all in zero pages, or all in others. */
static uint64_t sparse_run(const char *data, uint64_t size, bool *zero)
{
    uint64_t run = 0;

    while (run < size && run < CHUNK_BYTES) {
        const uint64_t left = size - run;
        const uint64_t n = left < PAGE_BYTES ? left : PAGE_BYTES;
        const bool here = is_zero(data + run, n);

        if (run && here != *zero)
            break;
        *zero = here;
        run += n;
    }
    return run;
}

int ax_sparse_write(struct ax_sparse *to, const void *data, uint64_t size)
{
    const char *at = data;
    int err = 0;

    while (!err && size) {
        bool zero = false;
        const uint64_t run = sparse_run(at, size, &zero);

        if (zero) {
            err = ax_sparse_skip(to, run);
        } else {
            err = sparse_fill(to);
            if (!err)
                err = sparse_put(to, at, run);
        }
        at += run;
        size -= run;
    }
    return err;
}

int ax_sparse_skip(struct ax_sparse *to, uint64_t size)
{
    to->hole += size;
    return atomic_load(&to->cancel->asked) ? -ECANCELED : 0;
}

int ax_sparse_end(struct ax_sparse *to)
{
    int err = sparse_fill(to);

    if (!err && to->file && ftruncate(to->fd, (off_t)(to->start + to->bytes)))
        err = -errno;
    return err;
}
