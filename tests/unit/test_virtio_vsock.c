/*
 * test_virtio_vsock.c - streams between a guest and host programs, through the
 * device and real sockets: how they begin, what they carry, how they end.
 */
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/vsock_guest.h"
#include "vsock_fixture.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sys/un.h>

TestSuite(virtio_vsock, .init = set_up, .fini = tear_down, .timeout = 100);
TestSuite(virtio_vsock_start, .init = make_dir, .fini = remove_dir,
          .timeout = 100);

/* ---- the device ---- */

Test(virtio_vsock, is_a_socket_device_with_its_cid)
{
    const uint64_t ring =
        1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_RING_PACKED |
        1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_RING_F_EVENT_IDX;

    cr_assert_eq(ax_driver_get(&guest.d, VIRTIO_MMIO_DEVICE_ID, 4),
                 VIRTIO_ID_VSOCK);
    cr_assert_eq(ax_driver_get(&guest.d, VIRTIO_MMIO_CONFIG, 8),
                 VSOCK_GUEST_CID);
    cr_assert_eq(ax_driver_offered(&guest.d), ring, "streams alone");
}

static int start_with(const struct ax_vsock_conf *conf)
{
    int err = ax_driver_init(&guest.d, &ax_virtio_vsock, conf, NULL, NULL);

    ax_driver_fini(&guest.d);
    return err;
}

Test(virtio_vsock_start, refuses_what_cannot_be)
{
    char too_long[AX_VSOCK_PATH + 2] = "/";
    struct stat st;

    memset(too_long, 'x', AX_VSOCK_PATH + 1);
    cr_assert_eq(start_with(&(struct ax_vsock_conf){.cid = 2, .uds = path}),
                 -EINVAL);
    cr_assert_eq(
        start_with(&(struct ax_vsock_conf){.cid = UINT32_MAX, .uds = path}),
        -EINVAL);
    cr_assert_eq(start_with(&(struct ax_vsock_conf){.cid = 3, .uds = too_long}),
                 -ENAMETOOLONG);
    cr_assert_eq(start_with(&(struct ax_vsock_conf){
                     .cid = 3, .uds = path, .vhost = AX_VHOST_ON}),
                 -EINVAL);
    cr_assert_eq(
        start_with(&(struct ax_vsock_conf){.cid = 3, .vhost = AX_VHOST_OFF}),
        -EINVAL);
    /* The driver library has no eventfds, so neither has vhost. */
    cr_assert_eq(start_with(&(struct ax_vsock_conf){.cid = 3}), -EOPNOTSUPP);
    cr_assert_eq(lstat(path, &st), -1);
    cr_assert_eq(start_with(&(struct ax_vsock_conf){.cid = 3, .uds = path}), 0);
    cr_assert_eq(lstat(path, &st), -1, "the socket is removed at the end");
}

Test(virtio_vsock_start, takes_a_socket_from_nobody)
{
    const struct ax_vsock_conf conf = {.cid = 3, .uds = path};
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(addr.sun_path, path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(start_with(&conf), -EADDRINUSE);
    cr_assert_eq(lstat(path, &st), 0, "it is somebody's");
    close(fd);
    cr_assert_eq(start_with(&conf), 0, "that one is dead");
    fd = creat(path, 0600);
    close(fd);
    cr_assert_eq(start_with(&conf), -EEXIST, "a file");
}

/* ---- how streams begin ---- */

Test(virtio_vsock, the_guest_connects)
{
    const int listener = host_listen(HOST_PORT);
    struct vsock_packet p;
    int fd;

    guest_says(GUEST_PORT, HOST_PORT, OP_REQUEST);
    p = guest_gets(OP_RESPONSE);
    cr_assert_eq(p.src_cid, AX_VSOCK_HOST);
    cr_assert_eq(p.dst_cid, VSOCK_GUEST_CID);
    cr_assert_eq(p.src_port, HOST_PORT);
    cr_assert_eq(p.dst_port, GUEST_PORT);
    cr_assert_eq(p.type, VIRTIO_VSOCK_TYPE_STREAM);
    cr_assert_eq(p.room, AX_VSOCK_CREDIT);
    fd = host_accept(listener);
    guest_sends(GUEST_PORT, HOST_PORT, "ping", 4);
    host_reads(fd, "ping");
    host_say(fd, "pong");
    guest_reads("pong");
    guest_gets_nothing();
}

Test(virtio_vsock, nobody_listens)
{
    const struct vsock_packet p = vsock_guest_packet(7, 8, OP_REQUEST);
    struct vsock_packet answer;

    cr_assert(vsock_guest_send(&guest, &p));
    answer = guest_gets(OP_RST);
    cr_assert_eq(answer.src_cid, AX_VSOCK_HOST);
    cr_assert_eq(answer.src_port, 8);
    cr_assert_eq(answer.dst_port, 7);
}

Test(virtio_vsock, a_host_program_connects)
{
    uint32_t port;
    const int fd = open_to_guest(&port);

    host_say(fd, "hello");
    guest_reads("hello");
    guest_sends(GUEST_PORT, port, "welcome", 7);
    host_reads(fd, "welcome");
}

Test(virtio_vsock, two_of_them_have_two_ports)
{
    uint32_t first, second;
    const int one = open_to_guest(&first), two = open_to_guest(&second);

    cr_assert_neq(first, second);
    guest_sends(GUEST_PORT, second, "two", 3);
    host_reads(two, "two");
    guest_sends(GUEST_PORT, first, "one", 3);
    host_reads(one, "one");
}

Test(virtio_vsock, a_line_comes_in_pieces_and_with_what_follows)
{
    const int fd = host_dial();
    struct vsock_packet p;

    host_say(fd, "CONN");
    guest_gets_nothing();
    host_say(fd, "ECT 12");
    guest_gets_nothing();
    host_say(fd, "34\nearly");
    p = guest_gets(OP_REQUEST);
    cr_assert_eq(p.dst_port, GUEST_PORT);
    guest_gets_nothing();
    guest_says(GUEST_PORT, p.src_port, OP_RESPONSE);
    guest_reads("early");
    host_reads(fd, "OK 1073741824\n");
}

Test(virtio_vsock, the_guest_refuses)
{
    const int fd = host_dial();
    struct vsock_packet p;

    host_say(fd, "CONNECT 1234\n");
    p = guest_gets(OP_REQUEST);
    guest_says(GUEST_PORT, p.src_port, OP_RST);
    cr_assert_eq(host_reads_end(fd), 1);
    guest_gets_nothing();
}

Test(virtio_vsock, who_does_not_greet_is_sent_away)
{
    static const char *const lines[] = {
        "GET / HTTP/1.0\n",
        "CONNECT\n",
        "CONNECT \n",
        "CONNECT x\n",
        "CONNECT 4294967295\n",
        "CONNECT 99999999999999\n",
        "CONNECT 12 34\n",
        "CONNECT -1\n",
        "connect 12\n",
        "CONNECT 00000000000000000000000000000000000000000000000000012\n",
    };

    for (size_t i = 0; i < AX_ARRAY_LEN(lines); i++) {
        const int fd = host_dial();

        host_say(fd, lines[i]);
        host_reads_end(fd);
        close(fd);
    }
    guest_gets_nothing();
}

/* ---- how they end ---- */

Test(virtio_vsock, the_guest_closes)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);

    guest_sends(GUEST_PORT, HOST_PORT, "bye", 3);
    guest_shuts(GUEST_PORT, HOST_PORT, 3);
    guest_gets(OP_RST);
    host_reads(fd, "bye");
    cr_assert_eq(host_reads_end(fd), 1);
    /* The port is free again. */
    guest_says(GUEST_PORT, HOST_PORT, OP_REQUEST);
    guest_gets(OP_RESPONSE);
}

Test(virtio_vsock, the_host_closes)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);
    struct vsock_packet p;

    host_say(fd, "last");
    close(fd);
    guest_reads("last");
    p = guest_gets(OP_SHUTDOWN);
    cr_assert_eq(p.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    guest_gets_nothing();
    guest_shuts(GUEST_PORT, HOST_PORT, 3);
    guest_gets(OP_RST);
    guest_gets_nothing();
}

Test(virtio_vsock, the_host_sends_no_more_and_still_reads)
{
    uint32_t port;
    const int fd = open_to_guest(&port);

    host_say(fd, "question");
    shutdown(fd, SHUT_WR);
    guest_reads("question");
    guest_gets(OP_SHUTDOWN);
    guest_sends(GUEST_PORT, port, "answer", 6);
    host_reads(fd, "answer");
    guest_shuts(GUEST_PORT, port, 3);
    guest_gets(OP_RST);
    cr_assert_eq(host_reads_end(fd), 1);
}

Test(virtio_vsock, the_guest_sends_no_more_and_still_reads)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);

    guest_sends(GUEST_PORT, HOST_PORT, "question", 8);
    guest_shuts(GUEST_PORT, HOST_PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    host_reads(fd, "question");
    cr_assert_eq(host_reads_end(fd), 1);
    host_say(fd, "answer");
    guest_reads("answer");
    close(fd);
    guest_gets(OP_SHUTDOWN);
    guest_shuts(GUEST_PORT, HOST_PORT, VIRTIO_VSOCK_SHUTDOWN_RCV);
    guest_gets(OP_RST);
}

Test(virtio_vsock, the_guest_reads_no_more_and_still_sends)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);

    guest_shuts(GUEST_PORT, HOST_PORT, VIRTIO_VSOCK_SHUTDOWN_RCV);
    guest_sends(GUEST_PORT, HOST_PORT, "x", 1);
    host_reads(fd, "x");
    cr_assert_eq(send(fd, "y", 1, MSG_NOSIGNAL), -1);
    cr_assert_eq(errno, EPIPE);
    guest_gets_nothing();
}

Test(virtio_vsock, the_host_vanishes)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);

    /* With bytes that it has not read: no ordinary end. */
    guest_sends(GUEST_PORT, HOST_PORT, "unread", 6);
    ax_driver_settle(&guest.d);
    close(fd);
    guest_gets(OP_RST);
    guest_sends(GUEST_PORT, HOST_PORT, "more", 4);
    guest_gets(OP_RST);
    guest_gets_nothing();
}

Test(virtio_vsock, the_guest_writes_to_one_that_has_gone)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);

    close(fd);
    guest_gets(OP_SHUTDOWN);
    guest_sends(GUEST_PORT, HOST_PORT, "more", 4);
    guest_gets(OP_RST);
    guest_gets_nothing();
}

Test(virtio_vsock, an_rst_of_the_guest_ends_it_at_once)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);

    guest_says(GUEST_PORT, HOST_PORT, OP_RST);
    cr_assert_eq(host_reads_end(fd), 1);
    guest_gets_nothing();
}

/* ---- resets ---- */

Test(virtio_vsock, a_reset_ends_all_and_the_door_stays)
{
    const int listener = host_listen(HOST_PORT);
    const int one = open_to_host(listener, HOST_PORT);
    const int greeting = host_dial(), asking = host_dial();
    uint32_t port;
    const int two = open_to_guest(&port);
    int fd;

    host_say(greeting, "CONN");
    host_say(asking, "CONNECT 99\n");
    guest_gets(OP_REQUEST);
    ax_driver_reset(&guest.d);
    cr_assert_eq(host_reads_end(one), 1);
    cr_assert_eq(host_reads_end(two), 1);
    cr_assert_neq(host_reads_end(greeting), 0);
    cr_assert_eq(host_reads_end(asking), 1);
    /* Who comes now waits for the next driver. */
    fd = host_dial();
    host_say(fd, "CONNECT 1234\n");
    ax_driver_settle(&guest.d);
    vsock_guest_start(&guest, 0, RX_BUFFERS);
    cr_assert_eq(guest_gets(OP_REQUEST).dst_port, GUEST_PORT);
    guest_says(GUEST_PORT, HOST_PORT, OP_REQUEST);
    guest_gets(OP_RESPONSE);
}

/* Of the test's guest: what a reset found on its way is not written over. */
Test(virtio_vsock, a_guest_that_starts_again_has_all_its_buffers)
{
    enum { ANSWERS = 64 }; /* that the device keeps without a buffer for them */
    struct vsock_packet p = vsock_guest_packet(1, 2, OP_REQUEST);

    vsock_guest_start(&guest, 0, 0);
    for (unsigned i = 0; i < ANSWERS - 1; i++)
        cr_assert(vsock_guest_send(&guest, &p));
    ax_driver_settle(&guest.d);
    cr_assert(vsock_guest_try_send(&guest, &p, 0), "it is taken");
    cr_assert(vsock_guest_try_send(&guest, &p, 0), "it stays");
    ax_driver_settle(&guest.d);
    cr_assert(vsock_guest_try_send(&guest, &p, 0), "where the first was");
    vsock_guest_start(&guest, 0, RX_BUFFERS);
    for (p.src_port = 10; p.src_port < 12; p.src_port++)
        cr_assert(vsock_guest_try_send(&guest, &p, 0));
    /* In whatever order. */
    p.src_port = guest_gets(OP_RST).dst_port;
    cr_assert_eq(p.src_port + guest_gets(OP_RST).dst_port, 10 + 11);
}

Test(virtio_vsock_start, another_start_listens_at_the_same_place)
{
    for (unsigned i = 0; i < 3; i++) {
        uint32_t port;
        int fd;

        vsock_guest_init(&guest, path, 0, RX_BUFFERS, RX_SIZE);
        fd = open_to_guest(&port);
        vsock_guest_fini(&guest);
        cr_assert_eq(recv(fd, &port, 1, 0), 0, "the end");
        close(fd);
    }
}

/* ---- many bytes ---- */

enum { ECHO_CHUNK = 61 * 1024 };

/* A program that sends back what it gets, on a thread of its own. */
static void *echo_main(void *arg)
{
    static char bytes[ECHO_CHUNK];
    const int fd = accept4(*(int *)arg, NULL, NULL, SOCK_CLOEXEC);

    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

        if (n <= 0 || send(fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
            break;
    }
    close(fd);
    return NULL;
}

/* A guest that sends and receives as its credit allows. */
struct transfer {
    uint64_t total, sent, got;
    uint64_t sum_sent, sum_got; /* FNV-1a */
    uint32_t host_room, host_took;
    uint32_t took_told;
    uint8_t next;
    bool ended;
};

#define FNV_START UINT64_C(0xcbf29ce484222325)

static uint64_t fnv(uint64_t sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static void transfer_send(struct transfer *t)
{
    static uint8_t bytes[VSOCK_GUEST_PAYLOAD];
    struct vsock_packet p = vsock_guest_packet(GUEST_PORT, HOST_PORT, OP_RW);
    const uint32_t ahead = (uint32_t)t->sent - t->host_took;
    uint64_t len = t->total - t->sent;

    if (len > t->host_room - ahead)
        len = t->host_room - ahead;
    if (len > sizeof(bytes))
        len = sizeof(bytes);
    if (!len)
        return;
    p.len = (uint32_t)len;
    p.bytes = bytes;
    p.took = (uint32_t)t->got;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(t->next + i * 7 + (i >> 8));
    if (!vsock_guest_try_send(&guest, &p, p.len))
        return;
    t->next++;
    t->took_told = p.took;
    t->sent += len;
    t->sum_sent = fnv(t->sum_sent, bytes, len);
}

static bool transfer_turn(void *ctx)
{
    struct transfer *t = ctx;
    struct vsock_packet p;

    while (vsock_guest_take(&guest, &p)) {
        t->host_room = p.room;
        t->host_took = p.took;
        if (p.op == OP_RW) {
            t->sum_got = fnv(t->sum_got, p.bytes, p.len);
            t->got += p.len;
        } else if (p.op == OP_SHUTDOWN || p.op == OP_RST) {
            t->ended = true;
        }
    }
    transfer_send(t);
    if ((uint32_t)t->got - t->took_told >= VSOCK_GUEST_ROOM / 2) {
        p = vsock_guest_packet(GUEST_PORT, HOST_PORT, OP_CREDIT_UPDATE);
        p.took = t->took_told = (uint32_t)t->got;
        vsock_guest_try_send(&guest, &p, 0);
    }
    return t->ended || t->got == t->total;
}

static void echo(uint64_t total)
{
    int listener = host_listen(HOST_PORT);
    struct transfer t = {
        .total = total, .sum_sent = FNV_START, .sum_got = FNV_START};
    struct vsock_packet p;
    pthread_t thread;

    fcntl(listener, F_SETFL, 0);
    cr_assert_eq(pthread_create(&thread, NULL, echo_main, &listener), 0);
    guest_says(GUEST_PORT, HOST_PORT, OP_REQUEST);
    p = guest_gets(OP_RESPONSE);
    t.host_room = p.room;
    t.host_took = p.took;
    while (!t.ended && t.got < t.total) {
        const uint64_t before = t.got;

        if (!ax_driver_run(&guest.d, transfer_turn, &t))
            cr_assert_gt(t.got, before, "it stands still");
    }
    cr_assert_eq(t.got, total);
    cr_assert_eq(t.sum_got, t.sum_sent);
    guest_shuts(GUEST_PORT, HOST_PORT, 3);
    do { /* the last bytes may have talk of credit behind them */
        cr_assert(vsock_guest_wait(&guest, &p));
    } while (p.op == OP_CREDIT_UPDATE || p.op == OP_CREDIT_REQUEST);
    cr_assert_eq(p.op, OP_RST, "%u came", p.op);
    pthread_join(thread, NULL);
}

Test(virtio_vsock, echoes_a_hundred_megabytes)
{
    echo(100 << 20);
}

Test(virtio_vsock_start, echoes_by_every_kind_of_ring)
{
    static const unsigned bits[] = {VIRTIO_F_RING_PACKED,
                                    VIRTIO_RING_F_EVENT_IDX,
                                    VIRTIO_RING_F_INDIRECT_DESC};

    for (unsigned set = 0; set < 1U << AX_ARRAY_LEN(bits); set++) {
        char old[128];
        uint64_t features = 0;

        for (unsigned i = 0; i < AX_ARRAY_LEN(bits); i++)
            features |= set >> i & 1 ? 1ULL << bits[i] : 0;
        vsock_guest_init(&guest, path, features, RX_BUFFERS, RX_SIZE);
        echo(3 << 20);
        vsock_guest_fini(&guest);
        snprintf(old, sizeof(old), "%s_%u", path, HOST_PORT);
        unlink(old);
    }
}

Test(virtio_vsock_start, echoes_through_buffers_of_odd_sizes)
{
    vsock_guest_init(&guest, path, 1ULL << VIRTIO_F_RING_PACKED, 3, 45);
    echo(5000);
    vsock_guest_fini(&guest);
    remove_dir();
    make_dir();
    vsock_guest_init(&guest, path, 0, 5, 100001);
    echo(10 << 20);
    vsock_guest_fini(&guest);
}
