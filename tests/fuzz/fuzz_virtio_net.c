/*
 * fuzz_virtio_net.c - a driver and another end of the wire that do anything to
 * the network card.
 *
 * The input is a list of operations, a byte each and its operands: features and
 * queues anew, buffers to receive into, frames with any header, commands, rings
 * against the rules, plugs and resets; on the wire frames, parts of frames, and
 * silence. Whatever happens, what goes out are frames, what comes in has a
 * header that says how many buffers it takes, and nothing is left open.
 */
#include "devices/netlink.h"
#include "devices/registry.h"
#include "devices/unixsock.h"
#include "devices/virtio_conf.h"
#include "fake/virtio_driver.h"
#include "fuzz/input.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RX, TX, CONTROL, QUEUES, HDR = 12 };
enum { OPERATIONS_MAX = 200, BUFFERS_MAX = 600, ARENA = 70000 };
enum {
    RESTART,
    POST,
    SEND,
    SEGMENTS,
    COMMAND,
    STRAY,
    PEER_SENDS,
    PEER_BABBLES,
    PEER_READS,
    PEER_LEAVES,
    PLUG,
    RESET,
    OPERATIONS,
};

struct world {
    struct ax_driver d;
    char dir[32], path[48];
    struct ax_net_conf conf;
    int listener, peer; /* peer -1: not connected */
    ax_gpa arena, ack;
    unsigned buffers;
    bool running;
    bool strayed; /* from the rules of the rings */
    uint8_t wire[300000];
    size_t waiting; /* bytes in it */
};

/* ---- the wire ---- */

static void peer_accept(struct world *w)
{
    if (w->peer < 0)
        w->peer =
            accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void peer_write(const struct world *w, const void *bytes, size_t len)
{
    if (w->peer >= 0)
        require(send(w->peer, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) <=
                (ssize_t)len);
}

static void peer_sends(struct world *w, struct input *in)
{
    static uint8_t frame[AX_NETLINK_FRAME_MAX];
    uint32_t len = (uint32_t)input_take(in, 2);
    const uint8_t to = (uint8_t)input_take(in, 1);
    uint32_t be;

    len = len > 0xff00 ? AX_NETLINK_FRAME_MAX - (len & 3) : len;
    be = htonl(len);
    memset(frame, to, 6);
    peer_write(w, &be, sizeof(be));
    peer_write(w, frame, len);
}

static void peer_babbles(struct world *w, struct input *in)
{
    uint8_t bytes[16];
    const size_t len = input_take(in, 1) % sizeof(bytes);

    input_fill(in, bytes, len);
    peer_write(w, bytes, len);
}

/* What it has read are whole frames, and perhaps the beginning of one more. */
static void peer_parse(struct world *w)
{
    size_t at = 0;

    while (w->waiting - at >= 4) {
        uint32_t len;

        memcpy(&len, w->wire + at, 4);
        len = ntohl(len);
        require(len >= AX_NETLINK_FRAME_MIN && len <= AX_NETLINK_FRAME_MAX);
        if (w->waiting - at - 4 < len)
            break;
        at += 4 + len;
    }
    w->waiting -= at;
    memmove(w->wire, w->wire + at, w->waiting);
}

static void peer_reads(struct world *w)
{
    const ssize_t got = w->peer < 0 ? 0
                                    : read(w->peer, w->wire + w->waiting,
                                           sizeof(w->wire) - w->waiting);

    if (got <= 0)
        return;
    w->waiting += (size_t)got;
    peer_parse(w);
}

static void peer_leaves(struct world *w)
{
    if (w->peer >= 0)
        close(w->peer);
    w->peer = -1;
    w->waiting = 0;
}

/* ---- the driver ---- */

static void restart(struct world *w, struct input *in)
{
    const uint64_t features = input_take(in, 4);
    const uint64_t rings = input_take(in, 1);
    const unsigned size = 1U << input_take(in, 1) % 9;

    w->strayed = false;
    w->running = ax_driver_start(
        &w->d, features | (rings & 1) << 34 | (rings >> 1) << 28, size);
}

static void post(struct world *w, struct input *in)
{
    unsigned count = (unsigned)input_take(in, 1) % 16;
    const uint32_t size = (uint32_t)input_take(in, 2) % 5000;

    for (; count && w->buffers < BUFFERS_MAX; count--, w->buffers++) {
        const struct ax_driver_buf buf = {
            ax_driver_alloc(&w->d, size ? size : 1), size, true};

        if (ax_driver_add(&w->d, RX, &buf, 1) < 0)
            break;
    }
    ax_driver_notify(&w->d, RX);
}

static void take_header(struct world *w, struct input *in, uint32_t len)
{
    const struct virtio_net_hdr_v1 hdr = {
        .flags = (uint8_t)input_take(in, 1),
        .gso_type = (uint8_t)input_take(in, 1),
        .gso_size = (uint16_t)input_take(in, 2),
        .csum_start = (uint16_t)input_take(in, 2),
        .csum_offset = (uint16_t)input_take(in, 2),
    };

    memcpy(ax_driver_at(&w->d, w->arena, HDR), &hdr, sizeof(hdr));
    memset(ax_driver_at(&w->d, w->arena + HDR, len + 1), 0, len + 1);
}

/* In one buffer, or in as many as the queue takes. */
static void send_arena(struct world *w, struct input *in, uint32_t len)
{
    struct ax_driver_buf bufs[8];
    const unsigned parts = (unsigned)input_take(in, 1) % 8 + 1;
    const uint32_t each = (HDR + len) / parts;
    uint32_t at = 0;

    for (unsigned i = 0; i < parts; i++) {
        const uint32_t count = i + 1 < parts ? each : HDR + len - at;

        bufs[i] = (struct ax_driver_buf){w->arena + at, count, false};
        at += count;
    }
    ax_driver_add(&w->d, TX, bufs, parts);
    ax_driver_notify(&w->d, TX);
    ax_driver_settle(&w->d);
}

static void send_any(struct world *w, struct input *in)
{
    uint32_t len = (uint32_t)input_take(in, 2);
    uint8_t *bytes;

    len += input_take(in, 1) % 64;
    take_header(w, in, len);
    bytes = ax_driver_at(&w->d, w->arena + HDR, len + 1);
    input_fill(in, bytes, len < 80 ? len : 80);
    send_arena(w, in, len);
}

/* Near to what is right, so that segments are cut. */
static void send_segments(struct world *w, struct input *in)
{
    const bool v6 = input_take(in, 1) & 1;
    const uint32_t len = 60 + (uint32_t)input_take(in, 2) % 65000;
    uint8_t *bytes;

    take_header(w, in, len);
    bytes = ax_driver_at(&w->d, w->arena + HDR, len + 1);
    bytes[12] = v6 ? 0x86 : 0x08;
    bytes[13] = v6 ? 0xdd : 0x00;
    bytes[14] = v6 ? 0x60 : (uint8_t)(0x40 | (5 + input_take(in, 1) % 11));
    bytes[v6 ? 20 : 23] = 6;
    bytes[(v6 ? 54 : 14 + (bytes[14] & 15) * 4) + 12] =
        (uint8_t)(input_take(in, 1) << 4);
    send_arena(w, in, len);
}

static void command(struct world *w, struct input *in)
{
    const uint32_t len = 2 + (uint32_t)input_take(in, 1);
    uint8_t *bytes = ax_driver_at(&w->d, w->arena, 300);
    const struct ax_driver_buf bufs[] = {{w->arena, len, false},
                                         {w->ack, 1, true}};

    input_fill(in, bytes, len);
    ax_driver_add(&w->d, CONTROL, bufs, 2);
    ax_driver_notify(&w->d, CONTROL);
    ax_driver_settle(&w->d);
}

static void stray(struct world *w, struct input *in)
{
    const unsigned queue = (unsigned)input_take(in, 1) % QUEUES;
    const struct ax_driver_queue *q = &w->d.queues[queue];
    struct stray_desc desc;
    uint16_t index;

    if (q->layout.packed || !q->layout.size)
        return;
    index = (uint16_t)(input_take(in, 1) % q->layout.size);
    w->strayed = true;
    desc = take_desc(in, 3);
    ax_driver_raw_desc(&w->d, queue, index, desc.addr, desc.len, desc.flags % 8,
                       desc.next);
    ax_driver_raw_avail(&w->d, queue, index);
    ax_driver_notify(&w->d, queue);
}

/* What is done, of all queues. */
static void reap(struct world *w)
{
    unsigned id;
    uint32_t len;

    for (unsigned queue = 0; queue < QUEUES && !w->strayed; queue++) {
        while (ax_driver_take(&w->d, queue, &id, &len))
            require(queue != TX || !len);
    }
}

static void operate(struct world *w, struct input *in)
{
    const unsigned what = (unsigned)input_take(in, 1) % OPERATIONS;
    const bool ready = w->running && !w->strayed;

    if (what == RESTART)
        restart(w, in);
    else if (what == POST && ready)
        post(w, in);
    else if (what == SEND && ready)
        send_any(w, in);
    else if (what == SEGMENTS && ready)
        send_segments(w, in);
    else if (what == COMMAND && ready)
        command(w, in);
    else if (what == STRAY && w->running)
        stray(w, in);
    else if (what == PEER_SENDS)
        peer_sends(w, in);
    else if (what == PEER_BABBLES)
        peer_babbles(w, in);
    else if (what == PEER_READS)
        peer_reads(w);
    else if (what == PEER_LEAVES)
        peer_leaves(w);
    else if (what == PLUG)
        ax_device_plug(w->d.dev, input_take(in, 1) & 1);
    else if (what == RESET)
        restart(w, in);
    ax_driver_settle(&w->d);
    peer_accept(w);
    if (w->running)
        reap(w);
}

static void world_begin(struct world *w)
{
    char why[AX_UNIX_WHY];

    snprintf(w->dir, sizeof(w->dir), "/tmp/axfuzzXXXXXX");
    require(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/net", w->dir);
    require(!ax_unix_listen(w->path, 1, &w->listener, why));
    w->peer = -1;
    w->conf = (struct ax_net_conf){
        .mode = AX_NET_SOCKET,
        .path = w->path,
        .offload = true,
    };
    require(!ax_driver_init(&w->d, &ax_virtio_net, &w->conf, NULL, NULL));
    w->arena = ax_driver_alloc(&w->d, ARENA);
    w->ack = ax_driver_alloc(&w->d, 1);
    peer_accept(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct world *w = calloc(1, sizeof(*w));

    require(w);
    world_begin(w);
    for (unsigned i = 0; i < OPERATIONS_MAX && in.size; i++)
        operate(w, &in);
    ax_driver_fini(&w->d);
    peer_leaves(w);
    ax_unix_unlisten(w->listener, w->path);
    rmdir(w->dir);
    free(w);
    return 0;
}
