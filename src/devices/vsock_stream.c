/*
 * vsock_stream.c - what moves between a socket and the guest's buffers, and how
 * much of it may (VIRTIO 1.2, 5.10.6.3).
 *
 * Bytes go from the socket into the guest's buffers and from those into the
 * socket at once. Only what the socket did not take is copied and kept.
 */
#include "devices/vsock_parts.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
    const uint32_t ahead = c->sent - c->guest_took;

    /* Less than nothing: the guest has taken room back, or lies. */
    return ahead < c->guest_room ? c->guest_room - ahead : 0;
}

/* ---- guest to host ---- */

/* Bytes taken, or -errno. */
static ssize_t stream_send(int fd, const struct iovec *iov, unsigned count)
{
    struct msghdr msg = {.msg_iovlen = count};
    ssize_t n;

    memcpy(&msg.msg_iov, &iov, sizeof(iov)); /* which sendmsg only reads */
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
}

/* The host has taken bytes: the guest must hear of it before it runs dry. */
static void stream_took(struct vsock_conn *c, size_t n)
{
    c->took += (uint32_t)n;
    if (c->state != VSOCK_OPEN || c->took - c->took_told < AX_VSOCK_CREDIT / 2)
        return;
    c->flags |= VSOCK_SEND_CREDIT;
    vsock_conn_schedule(c);
}

static void buffer_add(struct vsock_conn *c, const uint8_t *bytes, size_t len)
{
    const size_t at = (c->buf_start + c->buf_used) % AX_VSOCK_CREDIT;
    const size_t first =
        len < AX_VSOCK_CREDIT - at ? len : AX_VSOCK_CREDIT - at;

    memcpy(c->buf + at, bytes, first);
    memcpy(c->buf, bytes + first, len - first);
    c->buf_used += len;
}

/* Keeps what follows the first skip bytes. False: no memory. */
static bool buffer_keep(struct vsock_conn *c, const struct iovec *iov,
                        unsigned count, size_t skip)
{
    if (!c->buf)
        c->buf = malloc(AX_VSOCK_CREDIT);
    if (!c->buf)
        return false;
    for (unsigned i = 0; i < count; i++) {
        const size_t len = iov[i].iov_len;
        const size_t off = skip < len ? skip : len;

        buffer_add(c, (const uint8_t *)iov[i].iov_base + off, len - off);
        skip -= off;
    }
    return true;
}

void vsock_conn_give(struct vsock_conn *c, const struct iovec *iov,
                     unsigned count, size_t len)
{
    ssize_t n = c->buf_used ? 0 : stream_send(c->fd, iov, count);

    if (n < 0 || ((size_t)n < len && !buffer_keep(c, iov, count, (size_t)n))) {
        vsock_conn_abort(c);
        return;
    }
    vsock_conn_rearm(c);
    stream_took(c, (size_t)n);
}

static ssize_t buffer_send(struct vsock_conn *c)
{
    const size_t behind = AX_VSOCK_CREDIT - c->buf_start;
    const size_t first = c->buf_used < behind ? c->buf_used : behind;
    const struct iovec iov[2] = {
        {.iov_base = c->buf + c->buf_start, .iov_len = first},
        {.iov_base = c->buf, .iov_len = c->buf_used - first},
    };
    const ssize_t n = stream_send(c->fd, iov, 2);

    if (n > 0) {
        c->buf_start = (c->buf_start + (size_t)n) % AX_VSOCK_CREDIT;
        c->buf_used -= (size_t)n;
    }
    return n;
}

void vsock_conn_flush(struct vsock_conn *c)
{
    const ssize_t n = buffer_send(c);

    if (n < 0) {
        vsock_conn_abort(c);
        return;
    }
    stream_took(c, (size_t)n);
    if (c->buf_used)
        return;
    free(c->buf);
    c->buf = NULL;
    c->buf_start = 0;
    vsock_conn_pass_end(c);
    vsock_conn_rearm(c);
    vsock_conn_reap(c);
}

void vsock_conn_pass_end(struct vsock_conn *c)
{
    if (c->state == VSOCK_OPEN && !c->buf_used &&
        (c->guest_ended & VIRTIO_VSOCK_SHUTDOWN_SEND))
        shutdown(c->fd, SHUT_WR);
}

/* ---- packets to the guest ---- */

static struct virtio_vsock_hdr packet_header(struct vsock_conn *c, uint16_t op,
                                             size_t len)
{
    c->took_told = c->took;
    c->flags &= ~(unsigned)VSOCK_SEND_CREDIT;
    return (struct virtio_vsock_hdr){
        .src_cid = htole64(AX_VSOCK_HOST),
        .dst_cid = htole64(c->table->env.cid),
        .src_port = htole32(c->host_port),
        .dst_port = htole32(c->guest_port),
        .len = htole32((uint32_t)len),
        .type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
        .op = htole16(op),
        .buf_alloc = htole32(AX_VSOCK_CREDIT),
        .fwd_cnt = htole32(c->took),
    };
}

static unsigned fill_answer(struct ax_vsock *table, struct ax_vsock_rx *rx)
{
    const struct vsock_answer *a = &table->answers[--table->answer_count];

    rx->hdr[0] = (struct virtio_vsock_hdr){
        .src_cid = htole64(a->host_cid),
        .dst_cid = htole64(table->env.cid),
        .src_port = htole32(a->host_port),
        .dst_port = htole32(a->guest_port),
        .type = htole16(a->type),
        .op = htole16(VIRTIO_VSOCK_OP_RST),
    };
    return 1;
}

static unsigned fill_control(struct vsock_conn *c, struct ax_vsock_rx *rx)
{
    static const uint16_t ops[] = {
        VIRTIO_VSOCK_OP_RST,
        VIRTIO_VSOCK_OP_REQUEST,
        VIRTIO_VSOCK_OP_RESPONSE,
        VIRTIO_VSOCK_OP_SHUTDOWN,
        VIRTIO_VSOCK_OP_CREDIT_REQUEST,
        VIRTIO_VSOCK_OP_CREDIT_UPDATE,
    };
    const unsigned first = (unsigned)__builtin_ctz(c->flags);

    c->flags &= ~(1U << first);
    rx->hdr[0] = packet_header(c, ops[first], 0);
    if (ops[first] == VIRTIO_VSOCK_OP_SHUTDOWN)
        rx->hdr[0].flags = htole32(VIRTIO_VSOCK_SHUTDOWN_SEND);
    vsock_conn_schedule(c);
    vsock_conn_reap(c);
    return 1;
}

/* The host's bytes, or its end, or nothing yet: -errno of readv. */
static ssize_t stream_read(struct vsock_conn *c, struct ax_vsock_rx *rx,
                           size_t *limit)
{
    size_t left = vsock_conn_credit(c);
    unsigned used = 0;
    ssize_t n;

    *limit = 0;
    for (; used < rx->iov_count && left; used++) {
        if (rx->iov[used].iov_len > left)
            rx->iov[used].iov_len = left;
        left -= rx->iov[used].iov_len;
        *limit += rx->iov[used].iov_len;
    }
    do
        n = readv(c->fd, rx->iov, (int)used);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* The socket is empty: it will say when it is not any more. */
static void stream_ran_dry(struct vsock_conn *c)
{
    c->readable = c->deaf = false;
    c->burst = 1;
    vsock_conn_rearm(c);
}

static unsigned packets_of(struct vsock_conn *c, struct ax_vsock_rx *rx,
                           size_t left)
{
    unsigned used = 0;

    c->sent += (uint32_t)left;
    while (left) {
        const size_t len = left < rx->room[used] ? left : rx->room[used];

        rx->hdr[used++] = packet_header(c, VIRTIO_VSOCK_OP_RW, len);
        left -= len;
    }
    return used;
}

static unsigned fill_data(struct vsock_conn *c, struct ax_vsock_rx *rx)
{
    size_t limit;
    const ssize_t n = stream_read(c, rx, &limit);
    unsigned used = 0;

    if (n < 0 && n != -EAGAIN) {
        vsock_conn_abort(c);
        return 0;
    }
    if (n > 0)
        used = packets_of(c, rx, (size_t)n);
    if (!n) {
        c->host_ended = true;
        c->flags |= VSOCK_SEND_SHUTDOWN;
    }
    if (n < (ssize_t)limit)
        stream_ran_dry(c);
    else if (c->burst < AX_VSOCK_BATCH)
        c->burst *= 2;
    /* Others have their turn. */
    TAILQ_REMOVE(&c->table->queue, c, in_queue);
    c->queued = false;
    vsock_conn_schedule(c);
    return used;
}

unsigned ax_vsock_wants(const struct ax_vsock *table)
{
    const struct vsock_conn *c = TAILQ_FIRST(&table->queue);

    if (table->answer_count || (c && c->flags))
        return 1;
    return c ? c->burst : 0;
}

unsigned ax_vsock_fill(struct ax_vsock *table, struct ax_vsock_rx *rx)
{
    struct vsock_conn *c = TAILQ_FIRST(&table->queue);

    if (!rx->count)
        return 0;
    if (table->answer_count)
        return fill_answer(table, rx);
    if (!c)
        return 0;
    return c->flags ? fill_control(c, rx) : fill_data(c, rx);
}
