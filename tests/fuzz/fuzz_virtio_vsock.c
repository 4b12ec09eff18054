/*
 * fuzz_virtio_vsock.c - a guest and host programs that do anything to vsock.
 *
 * The input is a list of operations, one byte each and its operands: packets
 * with fields of any value, though mostly such as connections have; buffers;
 * rings against the rules; resets; and on the host's side programs that
 * connect, greet, send, read and leave. Whatever happens, what comes to the
 * guest is a packet, and nothing is left open or allocated.
 */
#include "devices/unixsock.h"
#include "fake/vsock_guest.h"
#include "fuzz/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_PORT = 52, PROGRAMS = 8, OPERATIONS_MAX = 300, REFILLS_MAX = 200 };

struct world {
    struct vsock_guest guest;
    char dir[64], path[96];
    int listener;
    int programs[PROGRAMS]; /* -1: none */
    uint32_t asked;         /* the port of the last REQUEST to the guest */
    unsigned refills;
    bool strayed; /* from the rules: nothing can be expected of the rings */
    bool packed;
};

/* ---- the guest ---- */

/* Mostly one of the ports that mean something. */
static uint32_t take_host_port(struct world *w, struct input *in)
{
    const uint32_t kind = input_take(in, 1) % 4;

    if (kind == 3)
        return input_take(in, 4);
    return kind == 2 ? w->asked : HOST_PORT + kind;
}

static void guest_send(struct world *w, struct input *in)
{
    static const uint8_t bytes[VSOCK_GUEST_PAYLOAD];
    const uint16_t op = (uint16_t)(input_take(in, 1) % 9);
    const uint32_t guest_port = input_take(in, 1) % 4;
    struct vsock_packet p =
        vsock_guest_packet(guest_port, take_host_port(w, in), op);
    const uint32_t odd = input_take(in, 1);
    uint32_t there = 0;

    if (op == VIRTIO_VSOCK_OP_RW)
        p.len = there = input_take(in, 2);
    if (op == VIRTIO_VSOCK_OP_SHUTDOWN)
        p.flags = input_take(in, 1);
    if (odd & 1)
        p.len = input_take(in, 4);
    if (odd & 2)
        p.room = input_take(in, 4);
    if (odd & 4)
        p.took = input_take(in, 4);
    if ((odd & 24) == 24)
        p.type = (uint16_t)input_take(in, 2);
    if ((odd & 96) == 96)
        p.src_cid = input_take(in, 1);
    if ((odd & 160) == 160)
        p.dst_cid = input_take(in, 1);
    p.bytes = bytes;
    if (!w->strayed)
        vsock_guest_try_send(&w->guest, &p, there);
}

static void guest_refill(struct world *w, struct input *in)
{
    for (unsigned n = input_take(in, 1) % 8 + 1; n; n--) {
        if (w->strayed || w->refills++ >= REFILLS_MAX)
            return;
        vsock_guest_refill(&w->guest);
    }
    ax_driver_notify(&w->guest.d, 0);
}

static void guest_take(struct world *w)
{
    struct vsock_packet p;

    while (!w->strayed && vsock_guest_take(&w->guest, &p)) {
        require(p.dst_cid == VSOCK_GUEST_CID);
        require(p.op >= VIRTIO_VSOCK_OP_REQUEST &&
                p.op <= VIRTIO_VSOCK_OP_CREDIT_REQUEST);
        if (p.op == VIRTIO_VSOCK_OP_REQUEST)
            w->asked = p.src_port;
    }
}

static void guest_restart(struct world *w, struct input *in)
{
    const uint64_t features = (uint64_t)input_take(in, 1) << 28;
    const unsigned rx = input_take(in, 1) % 16;

    if (w->refills + rx > REFILLS_MAX)
        return;
    w->refills += rx;
    w->strayed = false;
    vsock_guest_start(&w->guest, features | (features & 1ULL << 32) << 2, rx);
    w->packed = w->guest.d.queues[0].layout.packed;
}

static void guest_stray(struct world *w, struct input *in)
{
    const unsigned queue = input_take(in, 1) % 3;
    const uint16_t index = (uint16_t)(input_take(in, 1) % AX_VIRTQ_SIZE);
    struct stray_desc desc;

    if (w->packed)
        return;
    w->strayed = true;
    desc = take_desc(in, 2);
    ax_driver_raw_desc(&w->guest.d, queue, index, desc.addr, desc.len,
                       desc.flags % 8, desc.next);
    ax_driver_raw_avail(&w->guest.d, queue, index);
    ax_driver_notify(&w->guest.d, queue);
}

/* ---- the host ---- */

static int *free_program(struct world *w)
{
    for (unsigned i = 0; i < PROGRAMS; i++) {
        if (w->programs[i] < 0)
            return &w->programs[i];
    }
    return NULL;
}

static void host_connect(struct world *w, struct input *in)
{
    int *fd = free_program(w);
    char line[64];

    if (!fd)
        return;
    *fd = ax_unix_connect(w->path);
    require(*fd >= 0);
    snprintf(line, sizeof(line), "CONNECT %u\n",
             (unsigned)input_take(in, 1) % 4);
    (void)!send(*fd, line, strlen(line), MSG_NOSIGNAL);
}

static void host_accept(struct world *w)
{
    int *fd = free_program(w);

    if (fd)
        *fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void host_send(struct world *w, struct input *in)
{
    static const uint8_t zeroes[65536];
    const int fd = w->programs[input_take(in, 1) % PROGRAMS];
    const size_t len = input_take(in, 2);

    (void)!send(fd, zeroes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Bytes of the input's: a line, or what is none. */
static void host_say(struct world *w, struct input *in)
{
    int *fd = free_program(w);
    size_t len = input_take(in, 1) % 48;

    len = len < in->size ? len : in->size;
    if (fd) {
        *fd = ax_unix_connect(w->path);
        (void)!send(*fd, in->data, len, MSG_NOSIGNAL);
    }
    in->data += len;
    in->size -= len;
}

static void host_read(struct world *w, struct input *in)
{
    static uint8_t sink[300000];
    const int fd = w->programs[input_take(in, 1) % PROGRAMS];

    (void)!recv(fd, sink, sizeof(sink), MSG_DONTWAIT);
}

static void host_leave(struct world *w, struct input *in)
{
    const uint32_t which = input_take(in, 1);
    int *fd = &w->programs[which % PROGRAMS];

    if (*fd < 0)
        return;
    if (which & 0x80) {
        shutdown(*fd, which & 0x40 ? SHUT_RD : SHUT_WR);
        return;
    }
    close(*fd);
    *fd = -1;
}

/* ---- both ---- */

static void world_operate(struct world *w, struct input *in)
{
    switch (input_take(in, 1) % 12) {
    case 0:
        guest_refill(w, in);
        break;
    case 1:
        guest_take(w);
        break;
    case 2:
        guest_restart(w, in);
        break;
    case 3:
        guest_stray(w, in);
        break;
    case 4:
        host_connect(w, in);
        break;
    case 5:
        host_accept(w);
        break;
    case 6:
        host_send(w, in);
        break;
    case 7:
        host_say(w, in);
        break;
    case 8:
        host_read(w, in);
        break;
    case 9:
        host_leave(w, in);
        break;
    case 10:
        ax_driver_settle(&w->guest.d);
        break;
    default:
        guest_send(w, in);
        break;
    }
}

static void world_init(struct world *w)
{
    char at[128], why[AX_UNIX_WHY];

    strcpy(w->dir, "/tmp/axvm-fuzz-XXXXXX");
    require(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/v", w->dir);
    snprintf(at, sizeof(at), "%s_%d", w->path, HOST_PORT);
    require(!ax_unix_listen(at, 64, &w->listener, why));
    for (unsigned i = 0; i < PROGRAMS; i++)
        w->programs[i] = -1;
    vsock_guest_init(&w->guest, w->path, 0, 4, 1000);
}

static void world_fini(struct world *w)
{
    char at[128];

    vsock_guest_fini(&w->guest);
    for (unsigned i = 0; i < PROGRAMS; i++) {
        if (w->programs[i] >= 0)
            close(w->programs[i]);
    }
    snprintf(at, sizeof(at), "%s_%d", w->path, HOST_PORT);
    ax_unix_unlisten(w->listener, at);
    require(!rmdir(w->dir)); /* the device's own is gone */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct world *w = calloc(1, sizeof(*w));

    require(w);
    world_init(w);
    for (unsigned n = 0; in.size && n < OPERATIONS_MAX; n++)
        world_operate(w, &in);
    ax_driver_settle(&w->guest.d);
    world_fini(w);
    free(w);
    return 0;
}
