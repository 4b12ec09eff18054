/*
 * disk_ring.c - requests in flight, by io_uring. The only file that includes
 * liburing.h.
 *
 * Whoever waits for news watches the ring's own descriptor, which is readable
 * as long as there is something to take: that costs no call per completion.
 */
#include "devices/disk_parts.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

struct disk_ring {
    struct io_uring uring;
    unsigned count;   /* in flight, not yet taken by ring_harvest */
    unsigned waiting; /* of these, to be submitted */
    struct ax_disk_io *ended, **ended_end;
};

struct disk_ring *ax_disk_ring_create(void)
{
    struct disk_ring *ring = calloc(1, sizeof(*ring));

    /* Kernels before 5.19 do not know the flag, which saves interrupts. */
    if (ring &&
        io_uring_queue_init(AX_DISK_DEPTH, &ring->uring,
                            IORING_SETUP_COOP_TASKRUN) &&
        io_uring_queue_init(AX_DISK_DEPTH, &ring->uring, 0)) {
        free(ring);
        return NULL;
    }
    if (ring)
        ring->ended_end = &ring->ended;
    return ring;
}

void ax_disk_ring_destroy(struct disk_ring *ring)
{
    if (!ring)
        return;
    ax_disk_ring_drain(ring);
    io_uring_queue_exit(&ring->uring);
    free(ring);
}

int ax_disk_ring_fd(const struct disk_ring *ring)
{
    return ring->uring.ring_fd;
}

unsigned ax_disk_ring_count(const struct disk_ring *ring)
{
    return ring->count;
}

/* ---- into it ---- */

static void ring_prepare(struct io_uring_sqe *sqe, const struct ax_disk_io *io,
                         int mode)
{
    const uint64_t off = io->off + io->done;

    switch (io->op) {
    case AX_DISK_READ:
        io_uring_prep_readv(sqe, io->fd, io->iov, io->count, off);
        break;
    case AX_DISK_WRITE:
        io_uring_prep_writev2(sqe, io->fd, io->iov, io->count, off,
                              io->lasting ? RWF_DSYNC : 0);
        break;
    case AX_DISK_FLUSH:
        io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
        break;
    default:
        io_uring_prep_fallocate(sqe, io->fd, mode, (off_t)io->off,
                                (off_t)io->bytes);
        break;
    }
}

bool ax_disk_ring_add(struct disk_ring *ring, struct ax_disk_io *io, int mode)
{
    struct io_uring_sqe *sqe;

    if (ring->count == AX_DISK_DEPTH)
        return false;
    sqe = io_uring_get_sqe(&ring->uring);
    if (!sqe) {
        ax_disk_ring_submit(ring);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    if (!sqe)
        return false;
    ring_prepare(sqe, io, mode);
    io_uring_sqe_set_data(sqe, io);
    ring->count++;
    ring->waiting++;
    return true;
}

/* ---- out of it ---- */

static void ring_harvest(struct disk_ring *ring)
{
    struct io_uring_cqe *cqe;

    while (!io_uring_peek_cqe(&ring->uring, &cqe)) {
        struct ax_disk_io *io = io_uring_cqe_get_data(cqe);

        io->result = cqe->res;
        io->next = NULL;
        *ring->ended_end = io;
        ring->ended_end = &io->next;
        ring->count--;
        io_uring_cqe_seen(&ring->uring, cqe);
    }
}

/* For one at least, if any has been submitted. */
static void ring_wait(struct disk_ring *ring)
{
    struct io_uring_cqe *cqe;

    if (ring->count > ring->waiting)
        io_uring_wait_cqe(&ring->uring, &cqe);
    ring_harvest(ring);
}

void ax_disk_ring_submit(struct disk_ring *ring)
{
    while (ring->waiting) {
        const int n = io_uring_submit(&ring->uring);

        if (n > 0)
            ring->waiting -= (unsigned)n;
        else /* the kernel is short of something: what ends gives it back */
            ring_wait(ring);
    }
}

struct ax_disk_io *ax_disk_ring_take(struct disk_ring *ring, bool wait,
                                     int *res)
{
    struct ax_disk_io *io;

    if (!ring->ended)
        ring_harvest(ring);
    while (!ring->ended && wait && ring->count) {
        ax_disk_ring_submit(ring);
        ring_wait(ring);
    }
    io = ring->ended;
    if (!io)
        return NULL;
    ring->ended = io->next;
    if (!ring->ended)
        ring->ended_end = &ring->ended;
    *res = io->result;
    return io;
}

void ax_disk_ring_drain(struct disk_ring *ring)
{
    while (ring->count) {
        ax_disk_ring_submit(ring);
        ring_wait(ring);
    }
}
