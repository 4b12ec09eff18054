/*
 * fuzz_netlink_stream.c - a peer that sends anything over a network's socket,
 * to a card whose guest has room or has none, and sends itself.
 *
 * The input is a list of operations, a byte each and its operands. Whatever
 * comes, what is delivered is a frame, and none is lost or comes twice for
 * lack of room.
 */
#include "devices/loop.h"
#include "devices/netlink_parts.h"
#include "devices/unixsock.h"
#include "fuzz/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPERATIONS_MAX = 300 };
enum { BYTES, FRAMES, ROOM, SEND, LARGE, READ, LEAVE, OPERATIONS };

struct world {
    struct ax_loop *loop;
    struct ax_wake *wake;
    struct ax_netlink *link;
    struct ax_net_conf conf;
    char dir[32], path[48];
    int listener, peer;
    unsigned room;
    bool refused;
};

/* ---- the card ---- */

static void on_enter(void *ctx, void (*fn)(struct ax_netlink *link),
                     struct ax_netlink *link)
{
    fn(link);
}

static bool on_deliver(void *ctx, unsigned queue,
                       const struct ax_netlink_frame *frame)
{
    struct world *w = ctx;

    require(!queue && frame->count == 1);
    require(frame->len >= AX_NETLINK_FRAME_MIN &&
            frame->len <= AX_NETLINK_FRAME_MAX);
    require(!w->refused);
    w->refused = !w->room;
    if (w->room)
        w->room--;
    return !w->refused;
}

static void on_writable(void *ctx, unsigned queue)
{
}

static void on_changed(void *ctx)
{
    struct world *w = ctx;

    w->refused = false;
}

/* ---- the loop, as long as there is something to do ---- */

static void on_wake(void *ctx)
{
    ax_loop_stop(ctx);
}

static void settle(struct world *w)
{
    for (unsigned i = 0; i < 4; i++) {
        ax_loop_wake(w->wake);
        ax_loop_run(w->loop);
    }
    if (w->peer < 0)
        w->peer =
            accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* ---- operations ---- */

static void peer_write(const struct world *w, const void *bytes, size_t len)
{
    if (w->peer >= 0)
        require(send(w->peer, bytes, len, MSG_NOSIGNAL) <= (ssize_t)len);
}

static void do_bytes(struct world *w, struct input *in)
{
    uint8_t bytes[256];
    const size_t len = input_take(in, 1);

    input_fill(in, bytes, len);
    peer_write(w, bytes, len);
}

static void do_frames(struct world *w, struct input *in)
{
    static const uint8_t zero[65535];
    unsigned count = (unsigned)input_take(in, 1) % 32;
    const unsigned len = (unsigned)input_take(in, 2);

    for (; count; count--) {
        const uint8_t head[4] = {0, 0, (uint8_t)(len >> 8), (uint8_t)len};

        peer_write(w, head, sizeof(head));
        peer_write(w, zero, len);
    }
}

static void do_room(struct world *w, struct input *in)
{
    w->room = (unsigned)input_take(in, 1);
    w->refused = false;
    ax_netlink_resume(w->link, 0);
}

static void send_one(struct world *w, struct input *in, bool large)
{
    static uint8_t bytes[AX_NETLINK_FRAME_MAX];
    const size_t len = AX_NETLINK_FRAME_MIN + input_take(in, 2) % 65000;
    const struct iovec iov[] = {{bytes, 14}, {bytes + 14, len - 14}};
    struct ax_netlink_frame frame = {
        .hdr.flags = (uint8_t)input_take(in, 1),
        .hdr.csum_start = (uint16_t)input_take(in, 2),
        .hdr.csum_offset = (uint16_t)input_take(in, 2),
        .hdr.gso_type = large ? (uint8_t)input_take(in, 1) : 0,
        .hdr.gso_size = (uint16_t)input_take(in, 2),
        .iov = iov,
        .count = 2,
        .len = len,
    };

    memset(bytes, 0, sizeof(bytes));
    input_fill(in, bytes + 12, 52);
    if (ax_netlink_check(&frame.hdr, len, ax_netlink_caps(w->link)->takes))
        ax_netlink_send(w->link, 0, &frame);
    ax_netlink_flush(w->link);
}

static void do_read(const struct world *w)
{
    static uint8_t bytes[300000];

    if (w->peer >= 0)
        require(read(w->peer, bytes, sizeof(bytes)) <= (ssize_t)sizeof(bytes));
}

static void operate(struct world *w, struct input *in)
{
    switch (input_take(in, 1) % OPERATIONS) {
    case BYTES:
        do_bytes(w, in);
        break;
    case FRAMES:
        do_frames(w, in);
        break;
    case ROOM:
        do_room(w, in);
        break;
    case SEND:
        send_one(w, in, false);
        break;
    case LARGE:
        send_one(w, in, true);
        break;
    case READ:
        do_read(w);
        break;
    default:
        if (w->peer >= 0)
            close(w->peer);
        w->peer = -1;
        break;
    }
    settle(w);
}

static void world_begin(struct world *w)
{
    struct ax_netlink_env env = {
        .conf = &w->conf,
        .enter = on_enter,
        .deliver = on_deliver,
        .writable = on_writable,
        .changed = on_changed,
        .ctx = w,
    };
    char why[AX_UNIX_WHY];

    snprintf(w->dir, sizeof(w->dir), "/tmp/axfuzzXXXXXX");
    require(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/net", w->dir);
    require(!ax_unix_listen(w->path, 1, &w->listener, why));
    require(!ax_loop_create(&w->loop));
    require(!ax_wake_create(w->loop, on_wake, w->loop, &w->wake));
    w->peer = -1;
    w->conf = (struct ax_net_conf){.mode = AX_NET_SOCKET, .path = w->path};
    env.loop = w->loop;
    require(!ax_netlink_create(&env, &w->link));
    require(!ax_netlink_start(w->link, 1, 0, false));
    settle(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct world w = {0};

    world_begin(&w);
    for (unsigned i = 0; i < OPERATIONS_MAX && in.size; i++)
        operate(&w, &in);
    ax_netlink_destroy(w.link);
    ax_wake_destroy(w.wake);
    ax_loop_destroy(w.loop);
    if (w.peer >= 0)
        close(w.peer);
    ax_unix_unlisten(w.listener, w.path);
    rmdir(w.dir);
    return 0;
}
