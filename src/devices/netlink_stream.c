/*
 * netlink_stream.c - frames over a Unix stream socket, each behind its length
 * in four bytes, the highest first: between two VMs, to passt, to QEMU's
 * "-netdev stream". Complete frames alone: what a card leaves undone is done
 * here.
 *
 * Between VMs, the first that comes listens and the other connects; when it
 * goes, the one that stays listens. passt listens always. The peer is another
 * program: it may send anything, and nothing at all.
 */
#include "devices/netlink_parts.h"

#include "devices/loop.h"
#include "devices/unixsock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LENGTH_BYTES = 4,
    BUFFER_BYTES = 256 * 1024, /* more than any frame, in whatever segments */
    READS = 4,                 /* ... of a buffer, before others have a turn */
};

/* Two that come at once may both listen, and only one of them at the path: a
 * look a little later shows which. */
#define LOOK_NS        UINT64_C(200000000)
#define RETRY_FIRST_NS UINT64_C(100000000)
#define RETRY_MOST_NS  UINT64_C(5000000000)

/* Bytes [at, end) of data. */
struct fifo {
    uint8_t *data;
    size_t at, end;
};

struct stream {
    struct ax_netlink link;
    const char *path;
    bool only_connects; /* passt */
    int fd, listener;
    ino_t file; /* of the listener */
    struct ax_watch *watch, *doorbell;
    struct ax_timer *retry;
    uint64_t retry_ns;
    bool stalled; /* the guest has no room; the next frame waits in rx */
    bool blocked; /* a send waits */
    bool told;    /* of a third one */
    struct fifo rx, tx;
    uint8_t *whole; /* a frame before its segmentation */
};

static struct stream *to_stream(struct ax_netlink *link)
{
    return ax_container_of(link, struct stream, link);
}

static const char *stream_mode(const struct stream *s)
{
    return s->only_connects ? "passt" : "socket";
}

static void stream_say(const struct stream *s, const char *what)
{
    ax_log_guest(s->link.env.log, AX_LOG_INFO, "net: %s %s: %s", stream_mode(s),
                 s->path, what);
}

static void stream_set_watch(struct stream *s)
{
    const unsigned in = s->stalled ? 0 : AX_LOOP_READ;
    const unsigned out = s->tx.at < s->tx.end ? AX_LOOP_WRITE : 0;

    if (s->watch)
        ax_watch_set(s->watch, in | out);
}

/* ---- connections ---- */

static void stream_disconnect(struct stream *s)
{
    ax_watch_destroy(s->watch);
    s->watch = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->rx.at = s->rx.end = s->tx.at = s->tx.end = 0;
    s->stalled = s->told = false;
}

static void stream_retry_later(struct stream *s)
{
    ax_timer_arm(s->retry, s->retry_ns, 0);
    s->retry_ns *= 2;
    if (s->retry_ns > RETRY_MOST_NS)
        s->retry_ns = RETRY_MOST_NS;
}

/* What waits to be sent is lost, as on a wire that is cut. */
static void stream_lost(struct stream *s, const char *why)
{
    const bool was_blocked = s->blocked;

    stream_disconnect(s);
    stream_say(s, why);
    s->blocked = false;
    ax_netlink_set_up(&s->link, false);
    if (s->listener < 0)
        stream_retry_later(s);
    if (was_blocked)
        s->link.env.writable(s->link.env.ctx, 0);
}

static void stream_ready(void *ctx, unsigned events);

/* fd is s's from now on. */
static int stream_attach(struct stream *s, int fd)
{
    int err;

    s->fd = fd;
    err = ax_watch_create(s->link.env.loop, fd, AX_LOOP_READ, stream_ready, s,
                          &s->watch);
    if (err)
        stream_disconnect(s);
    return err;
}

static int stream_connect(struct stream *s)
{
    int fd = ax_unix_connect(s->path);

    return fd < 0 ? fd : stream_attach(s, fd);
}

static void stream_accepted(struct ax_netlink *link)
{
    struct stream *s = to_stream(link);
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (s->fd >= 0) {
        close(fd);
        if (!s->told)
            stream_say(s, "a third one wants to connect, and may not");
        s->told = true;
    } else if (!stream_attach(s, fd)) {
        stream_say(s, "connected");
        ax_netlink_set_up(link, true);
    }
}

static void stream_knocked(void *ctx, unsigned events)
{
    struct stream *s = ctx;

    ax_netlink_enter(&s->link, stream_accepted);
}

static ino_t file_at(const char *path)
{
    struct stat st;

    return lstat(path, &st) ? 0 : st.st_ino;
}

static int stream_listen(struct stream *s, char why[AX_UNIX_WHY])
{
    int err = ax_unix_listen(s->path, 1, &s->listener, why);

    if (err)
        return err;
    s->file = file_at(s->path);
    ax_timer_arm(s->retry, LOOK_NS, 0);
    return ax_watch_create(s->link.env.loop, s->listener, AX_LOOP_READ,
                           stream_knocked, s, &s->doorbell);
}

static void stream_unlisten(struct stream *s)
{
    ax_watch_destroy(s->doorbell);
    s->doorbell = NULL;
    ax_unix_unlisten(s->listener, s->path);
    s->listener = -1;
}

/* Connects, or listens. 0 also when a later try will tell: another end has just
 * come to listen, or is busy. */
static int stream_begin(struct stream *s, char why[AX_UNIX_WHY])
{
    int err = stream_connect(s);

    snprintf(why, AX_UNIX_WHY, "%s", strerror(-err));
    if (!s->only_connects && (err == -ENOENT || err == -ECONNREFUSED))
        err = stream_listen(s, why);
    if (err != -EADDRINUSE && err != -EAGAIN)
        return err;
    stream_retry_later(s);
    return 0;
}

static void stream_retry(struct ax_netlink *link)
{
    struct stream *s = to_stream(link);
    char why[AX_UNIX_WHY];

    if (s->fd >= 0 || (s->listener >= 0 && file_at(s->path) == s->file))
        return;
    stream_unlisten(s);
    if (stream_begin(s, why))
        stream_retry_later(s);
    if (s->fd < 0)
        return;
    stream_say(s, "connected");
    ax_netlink_set_up(link, true);
}

static void stream_retry_due(void *ctx, uint64_t count)
{
    struct stream *s = ctx;

    ax_netlink_enter(&s->link, stream_retry);
}

/* ---- to the guest ---- */

/* A frame lies at rx->data + at; iovec has no place for what is const. */
static bool stream_deliver(struct stream *s, void *frame, size_t len)
{
    const struct iovec iov = {.iov_base = frame, .iov_len = len};
    const struct ax_netlink_frame out = {
        .hdr.flags =
            s->link.gives & AX_NETLINK_CSUM ? VIRTIO_NET_HDR_F_DATA_VALID : 0,
        .iov = &iov,
        .count = 1,
        .len = len,
    };

    return len < AX_NETLINK_FRAME_MIN ||
           s->link.env.deliver(s->link.env.ctx, 0, &out);
}

/* The frames that are there. False: the peer does not keep to the protocol. */
static bool stream_parse(struct stream *s)
{
    struct fifo *rx = &s->rx;

    while (!s->stalled && rx->end - rx->at >= LENGTH_BYTES) {
        uint32_t len;

        memcpy(&len, rx->data + rx->at, sizeof(len));
        len = ntohl(len);
        if (len > AX_NETLINK_FRAME_MAX)
            return false;
        if (rx->end - rx->at - LENGTH_BYTES < len)
            break;
        if (stream_deliver(s, rx->data + rx->at + LENGTH_BYTES, len))
            rx->at += LENGTH_BYTES + len;
        else
            s->stalled = true;
    }
    return true;
}

/* Room for the rest of what has begun, at least. */
static void fifo_compact(struct fifo *f)
{
    memmove(f->data, f->data + f->at, f->end - f->at);
    f->end -= f->at;
    f->at = 0;
}

/* False: there is no more for now, or no connection any more. */
static bool stream_read(struct stream *s)
{
    struct fifo *rx = &s->rx;
    ssize_t got;

    fifo_compact(rx);
    got = recv(s->fd, rx->data + rx->end, BUFFER_BYTES - rx->end, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        stream_lost(s, "the other end is gone");
        return false;
    }
    rx->end += (size_t)got;
    if (!stream_parse(s)) {
        stream_lost(s, "the other end sends a frame that is too large");
        return false;
    }
    s->retry_ns = RETRY_FIRST_NS; /* it is worth the trouble */
    return rx->end == BUFFER_BYTES;
}

static void stream_resume(struct ax_netlink *link, unsigned queue)
{
    struct stream *s = to_stream(link);

    if (!s->stalled)
        return;
    s->stalled = false;
    if (stream_parse(s))
        stream_set_watch(s);
    else
        stream_lost(s, "the other end sends a frame that is too large");
}

/* ---- from the guest ---- */

/* True: all is out. */
static bool stream_write(struct stream *s)
{
    struct fifo *tx = &s->tx;
    ssize_t put;

    if (s->fd < 0 || tx->at == tx->end)
        return true;
    put = send(s->fd, tx->data + tx->at, tx->end - tx->at, MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN && errno != EINTR) {
        /* The other half of the socket says so, too: what it holds is read. */
        tx->at = tx->end;
        return true;
    }
    tx->at += put > 0 ? (size_t)put : 0;
    if (tx->at == tx->end)
        tx->at = tx->end = 0;
    return !tx->end;
}

static void stream_flush(struct ax_netlink *link)
{
    struct stream *s = to_stream(link);

    stream_write(s);
    stream_set_watch(s);
}

static void stream_served(struct ax_netlink *link)
{
    struct stream *s = to_stream(link);

    if (s->tx.at < s->tx.end && stream_write(s) && s->blocked) {
        s->blocked = false;
        link->env.writable(link->env.ctx, 0);
    }
    for (unsigned i = 0; i < READS && !s->stalled && s->fd >= 0; i++) {
        if (!stream_read(s))
            break;
    }
    stream_set_watch(s);
}

static void stream_ready(void *ctx, unsigned events)
{
    struct stream *s = ctx;

    ax_netlink_enter(&s->link, stream_served);
}

static void gather(const struct ax_netlink_frame *frame, uint8_t *to)
{
    for (unsigned i = 0; i < frame->count; i++) {
        memcpy(to, frame->iov[i].iov_base, frame->iov[i].iov_len);
        to += frame->iov[i].iov_len;
    }
}

static uint8_t *stream_put_length(struct stream *s, size_t len)
{
    const uint32_t be = htonl((uint32_t)len);
    uint8_t *at = s->tx.data + s->tx.end;

    memcpy(at, &be, sizeof(be));
    s->tx.end += LENGTH_BYTES + len;
    return at + LENGTH_BYTES;
}

/* -EAGAIN: there is no room for so many bytes. */
static int stream_reserve(struct stream *s, size_t bytes)
{
    if (BUFFER_BYTES - s->tx.end >= bytes)
        return 0;
    stream_write(s);
    fifo_compact(&s->tx);
    if (BUFFER_BYTES - s->tx.end >= bytes)
        return 0;
    s->blocked = true;
    return -EAGAIN;
}

static int stream_send_whole(struct stream *s,
                             const struct ax_netlink_frame *frame)
{
    int err = stream_reserve(s, LENGTH_BYTES + frame->len);
    uint8_t *at;

    if (err)
        return err;
    at = stream_put_length(s, frame->len);
    gather(frame, at);
    ax_netlink_finish(&frame->hdr, at, frame->len);
    return 0;
}

static int stream_send_segments(struct stream *s,
                                const struct ax_netlink_frame *frame)
{
    const unsigned size = frame->hdr.gso_size;
    struct ax_netlink_tcp tcp;
    struct iovec payload;
    unsigned count;
    size_t bytes;
    int err;

    gather(frame, s->whole);
    if (!ax_netlink_find_tcp(s->whole, frame->len, &tcp))
        return 0; /* it is not what its header says */
    count = ax_netlink_segments(frame->len, &tcp, size);
    bytes = frame->len + (size_t)count * (LENGTH_BYTES + tcp.payload);
    if (bytes > BUFFER_BYTES)
        return 0;
    err = stream_reserve(s, bytes);
    for (unsigned i = 0; !err && i < count; i++) {
        const size_t left = frame->len - tcp.payload - (size_t)i * size;
        uint8_t *at =
            stream_put_length(s, tcp.payload + (left < size ? left : size));

        ax_netlink_segment(s->whole, frame->len, &tcp, size, i, at, &payload);
        memcpy(at + tcp.payload, payload.iov_base, payload.iov_len);
    }
    return err;
}

static int stream_send(struct ax_netlink *link, unsigned queue,
                       const struct ax_netlink_frame *frame)
{
    struct stream *s = to_stream(link);

    return frame->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE
               ? stream_send_whole(s, frame)
               : stream_send_segments(s, frame);
}

/* ---- life ---- */

static int stream_no_end(const struct stream *s, int err, const char *why)
{
    struct ax_log *log = s->link.env.log;

    if (s->only_connects && (err == -ENOENT || err == -ECONNREFUSED))
        ax_log(log, AX_LOG_ERROR,
               "net: no passt listens at %s: start it first: passt --socket %s",
               s->path, s->path);
    else
        ax_log(log, AX_LOG_ERROR, "net: %s %s: %s", stream_mode(s), s->path,
               why);
    return err;
}

static int stream_allocate(struct stream *s)
{
    s->rx.data = malloc(BUFFER_BYTES);
    s->tx.data = malloc(BUFFER_BYTES);
    s->whole = malloc(AX_NETLINK_FRAME_MAX);
    if (!s->rx.data || !s->tx.data || !s->whole)
        return -ENOMEM;
    return ax_timer_create(s->link.env.loop, stream_retry_due, s, &s->retry);
}

static int stream_open(struct ax_netlink *link, bool only_connects)
{
    struct stream *s = to_stream(link);
    char why[AX_UNIX_WHY];
    int err;

    s->fd = s->listener = -1;
    s->path = link->env.conf->path ? link->env.conf->path : "";
    s->only_connects = only_connects;
    s->retry_ns = RETRY_FIRST_NS;
    link->caps = (struct ax_netlink_caps){
        .mode = stream_mode(s),
        .queues = 1,
        .takes = AX_NETLINK_CSUM | AX_NETLINK_TSO4 | AX_NETLINK_TSO6 |
                 AX_NETLINK_ECN,
        /* passt's checksums are right; a VM may have forwarded what is not. */
        .gives = only_connects ? AX_NETLINK_CSUM : 0,
    };
    err = stream_allocate(s);
    if (err)
        return err;
    err = stream_begin(s, why);
    link->up = s->fd >= 0;
    return err ? stream_no_end(s, err, why) : 0;
}

static int socket_open(struct ax_netlink *link)
{
    return stream_open(link, false);
}

static int passt_open(struct ax_netlink *link)
{
    return stream_open(link, true);
}

static void stream_close(struct ax_netlink *link)
{
    struct stream *s = to_stream(link);

    stream_disconnect(s);
    stream_unlisten(s);
    ax_timer_destroy(s->retry);
    free(s->rx.data);
    free(s->tx.data);
    free(s->whole);
}

#define STREAM_OPS                                                             \
    .state = sizeof(struct stream), .close = stream_close,                     \
    .send = stream_send, .flush = stream_flush, .resume = stream_resume

const struct ax_netlink_ops ax_netlink_socket_ops = {
    STREAM_OPS,
    .open = socket_open,
};

const struct ax_netlink_ops ax_netlink_passt_ops = {
    STREAM_OPS,
    .open = passt_open,
};
