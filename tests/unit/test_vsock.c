/*
 * test_vsock.c - what is not meant to happen to vsock: credit that runs out,
 * guests that lie and flood, hosts that do not read, the limits of the table.
 */
#include "devices/loop.h"
#include "fake/vsock_guest.h"
#include "vsock_fixture.h"

#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>

TestSuite(vsock, .init = set_up, .fini = tear_down, .timeout = 100);
TestSuite(vsock_start, .init = make_dir, .fini = remove_dir, .timeout = 100);

enum { CREDIT = AX_VSOCK_CREDIT, CHUNK = 32 << 10 };

static uint8_t chunk[CHUNK];

/* ---- credit: guest to host ---- */

/* Sends until the host's side has taken all that it takes unread, and credit is
 * gone. Returns the bytes. */
static uint32_t fill_up(void)
{
    uint32_t sent = 0, took = 0;
    struct vsock_packet p;

    while (sent - took < CREDIT) {
        guest_sends(GUEST_PORT, HOST_PORT, chunk, CHUNK);
        sent += CHUNK;
        ax_driver_settle(&guest.d);
        while (vsock_guest_take(&guest, &p)) {
            cr_assert_eq(p.op, OP_CREDIT_UPDATE);
            took = p.took;
        }
    }
    return sent;
}

static void host_read_all(int fd, size_t len)
{
    static uint8_t sink[CHUNK];

    for (; len; len -= len < CHUNK ? len : CHUNK)
        host_read(fd, sink, len < CHUNK ? len : CHUNK);
}

Test(vsock, a_host_that_does_not_read_holds_the_guest)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);
    struct vsock_packet p;
    uint32_t sent;

    fill_up();
    guest_gets_nothing();
    /* What is free by the host's count is not by ours, but a little is. */
    guest_says(GUEST_PORT, HOST_PORT, OP_CREDIT_REQUEST);
    p = guest_gets(OP_CREDIT_UPDATE);
    sent = p.took + CREDIT;
    cr_assert_eq(p.room, CREDIT);
    host_read_all(fd, sent / 2);
    cr_assert_gt(guest_gets(OP_CREDIT_UPDATE).took, p.took, "room again");
}

Test(vsock, more_than_the_credit_is_the_end)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);
    uint32_t sent = fill_up();
    struct vsock_packet p;
    static uint8_t sink[CHUNK];
    ssize_t n;
    uint64_t got = 0;

    do { /* until what the socket took at last is used up as well */
        guest_sends(GUEST_PORT, HOST_PORT, chunk, CHUNK);
        sent += CHUNK;
        ax_driver_settle(&guest.d);
    } while (!vsock_guest_take(&guest, &p) || p.op == OP_CREDIT_UPDATE);
    cr_assert_eq(p.op, OP_RST);
    /* All that was within it arrives. */
    for (int turns = 0; turns < 1000; turns++) {
        while ((n = recv(fd, sink, sizeof(sink), MSG_DONTWAIT)) > 0)
            got += (uint64_t)n;
        if (!n)
            break;
        ax_driver_settle(&guest.d);
    }
    cr_assert_eq(n, 0);
    cr_assert_eq(got, sent - CHUNK);
}

Test(vsock, what_the_guest_has_sent_survives_its_end)
{
    const int listener = host_listen(HOST_PORT);
    const int one = open_to_host(listener, HOST_PORT);
    const uint32_t sent = fill_up();

    guest_shuts(GUEST_PORT, HOST_PORT, 3);
    guest_gets(OP_RST);
    ax_driver_reset(&guest.d);
    ax_driver_settle(&guest.d);
    cr_assert_eq(send(one, "x", 1, MSG_NOSIGNAL), -1, "nobody reads that");
    host_read_all(one, sent);
    cr_assert_eq(host_reads_end(one), 1);
}

Test(vsock, and_a_reset)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);
    const uint32_t sent = fill_up();

    ax_driver_reset(&guest.d);
    ax_driver_settle(&guest.d);
    host_read_all(fd, sent);
    cr_assert_eq(host_reads_end(fd), 1);
}

/* ---- credit: host to guest ---- */

static void guest_gives(uint32_t room, uint32_t took, uint32_t port)
{
    struct vsock_packet p =
        vsock_guest_packet(GUEST_PORT, port, OP_CREDIT_UPDATE);

    p.room = room;
    p.took = took;
    cr_assert(vsock_guest_send(&guest, &p));
}

/* So many bytes have to come, in any packets. */
static void guest_gets_bytes(uint32_t len)
{
    while (len) {
        const struct vsock_packet p = guest_gets(OP_RW);

        cr_assert_leq(p.len, len);
        len -= p.len;
    }
}

Test(vsock, the_guest_gets_what_it_has_room_for)
{
    uint32_t port;
    const int fd = open_to_guest(&port);

    guest_gives(10000, 0, port);
    ax_driver_settle(&guest.d);
    host_send(fd, chunk, 25000);
    guest_gets_bytes(10000);
    guest_gets(OP_CREDIT_REQUEST);
    guest_gets_nothing();
    guest_gives(10000, 0, port);
    guest_gets_nothing();
    guest_gives(10000, 4000, port);
    guest_gets_bytes(4000);
    guest_gets(OP_CREDIT_REQUEST);
    guest_gives(10000, 14000, port);
    guest_gets_bytes(10000);
    guest_gets(OP_CREDIT_REQUEST);
    guest_gives(10000, 24000, port);
    guest_gets_bytes(1000);
    guest_gets_nothing();
    close(fd);
    guest_gets(OP_SHUTDOWN);
}

Test(vsock, a_guest_that_lies_about_its_room_gets_nothing)
{
    uint32_t port;
    const int fd = open_to_guest(&port);

    guest_gives(0, 0, port);
    host_say(fd, "bytes");
    guest_gets(OP_CREDIT_REQUEST);
    guest_gives(100, 1, port); /* it has taken what was never sent */
    guest_gives(0, UINT32_MAX, port);
    guest_gets_nothing();
    guest_gives(UINT32_MAX, 0, port);
    guest_reads("bytes");
}

Test(vsock_start, a_guest_without_buffers_is_waited_for)
{
    struct vsock_packet p;
    int listener, fd;

    vsock_guest_init(&guest, path, 1ULL << VIRTIO_RING_F_EVENT_IDX, 1, RX_SIZE);
    listener = host_listen(HOST_PORT);
    fd = open_to_host(listener, HOST_PORT);
    host_say(fd, "first");
    ax_driver_settle(&guest.d);
    cr_assert(vsock_guest_keep(&guest, &p));
    host_say(fd, "second");
    guest_says(GUEST_PORT, HOST_PORT, OP_CREDIT_REQUEST);
    ax_driver_settle(&guest.d);
    cr_assert_not(vsock_guest_keep(&guest, &p));
    vsock_guest_refill(&guest);
    vsock_guest_refill(&guest);
    ax_driver_notify(&guest.d, 0);
    guest_gets(OP_CREDIT_UPDATE);
    guest_reads("second");
    vsock_guest_fini(&guest);
}

/* ---- packets that lie ---- */

Test(vsock, what_belongs_to_nobody_is_answered_with_rst)
{
    struct vsock_packet p = vsock_guest_packet(GUEST_PORT, 99, OP_RW);

    for (uint16_t op = 0; op < 12; op++) {
        p.op = op;
        cr_assert(vsock_guest_send(&guest, &p));
        if (op == OP_RST)
            guest_gets_nothing();
        else
            guest_gets(OP_RST);
    }
}

Test(vsock, there_is_no_other_host)
{
    const int listener = host_listen(HOST_PORT);
    struct vsock_packet p =
        vsock_guest_packet(GUEST_PORT, HOST_PORT, OP_REQUEST);
    struct vsock_packet answer;

    p.dst_cid = 4;
    cr_assert(vsock_guest_send(&guest, &p));
    answer = guest_gets(OP_RST);
    cr_assert_eq(answer.src_cid, 4);
    cr_assert_eq(answer.dst_cid, VSOCK_GUEST_CID);
    p.dst_cid = AX_VSOCK_HOST;
    p.src_cid = 4;
    cr_assert(vsock_guest_send(&guest, &p));
    guest_gets_nothing();
    close(listener);
}

Test(vsock, there_are_streams_alone)
{
    const int listener = host_listen(HOST_PORT);
    struct vsock_packet p =
        vsock_guest_packet(GUEST_PORT, HOST_PORT, OP_REQUEST);
    struct vsock_packet answer;

    p.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
    cr_assert(vsock_guest_send(&guest, &p));
    answer = guest_gets(OP_RST);
    cr_assert_eq(answer.type, VIRTIO_VSOCK_TYPE_SEQPACKET);
    close(listener);
}

Test(vsock, a_length_beyond_the_buffers_is_the_end)
{
    static const uint32_t lengths[] = {5, CREDIT + 1, UINT32_MAX};
    const int listener = host_listen(HOST_PORT);

    for (size_t i = 0; i < AX_ARRAY_LEN(lengths); i++) {
        const int fd = open_to_host(listener, HOST_PORT);
        struct vsock_packet p =
            vsock_guest_packet(GUEST_PORT, HOST_PORT, OP_RW);

        p.len = lengths[i];
        cr_assert(vsock_guest_send_lie(&guest, &p, 4));
        guest_gets(OP_RST);
        cr_assert_eq(host_reads_end(fd), 1);
        close(fd);
    }
}

Test(vsock, more_than_its_length_is_not_read)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);
    struct vsock_packet p = vsock_guest_packet(GUEST_PORT, HOST_PORT, OP_RW);

    p.bytes = (const uint8_t *)"yesno";
    p.len = 3;
    cr_assert(vsock_guest_send_lie(&guest, &p, 5));
    p.len = 0;
    cr_assert(vsock_guest_send_lie(&guest, &p, 5));
    guest_sends(GUEST_PORT, HOST_PORT, "!", 1);
    host_reads(fd, "yes!");
}

Test(vsock, packets_out_of_turn_are_the_end)
{
    static const uint16_t ops[] = {0, OP_REQUEST, OP_RESPONSE, 8, 0xffff};
    const int listener = host_listen(HOST_PORT);

    for (size_t i = 0; i < AX_ARRAY_LEN(ops); i++) {
        const int fd = open_to_host(listener, HOST_PORT);

        guest_says(GUEST_PORT, HOST_PORT, ops[i]);
        guest_gets(OP_RST);
        cr_assert_eq(host_reads_end(fd), 1);
        close(fd);
    }
}

Test(vsock, answers_to_a_request_that_are_none_are_the_end)
{
    static const uint16_t ops[] = {OP_REQUEST, OP_RW, OP_SHUTDOWN,
                                   OP_CREDIT_UPDATE};

    for (size_t i = 0; i < AX_ARRAY_LEN(ops); i++) {
        const int fd = host_dial();
        struct vsock_packet p;

        host_say(fd, "CONNECT 1234\n");
        p = guest_gets(OP_REQUEST);
        guest_says(GUEST_PORT, p.src_port, ops[i]);
        guest_gets(OP_RST);
        cr_assert_eq(host_reads_end(fd), 1);
        close(fd);
    }
}

Test(vsock, bytes_behind_the_end_are_the_end)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);

    guest_shuts(GUEST_PORT, HOST_PORT, VIRTIO_VSOCK_SHUTDOWN_SEND);
    guest_sends(GUEST_PORT, HOST_PORT, "x", 1);
    guest_gets(OP_RST);
    cr_assert_eq(host_reads_end(fd), 1);
}

Test(vsock, a_packet_without_a_header_is_lost)
{
    const struct ax_driver_buf buf = {.gpa = ax_driver_alloc(&guest.d, 64),
                                      .len = 43};
    int fd;

    cr_assert_eq(ax_driver_ask(&guest.d, 1, &buf, 1), 0);
    cr_assert_not(ax_driver_needs_reset(&guest.d));
    fd = host_listen(HOST_PORT);
    close(open_to_host(fd, HOST_PORT));
}

Test(vsock_start, a_buffer_too_small_for_a_packet_breaks_the_device)
{
    vsock_guest_init(&guest, path, 0, 4, AX_VSOCK_HEADER);
    guest_says(1, 2, OP_REQUEST);
    ax_driver_settle(&guest.d);
    cr_assert(ax_driver_needs_reset(&guest.d));
    /* The host still comes and goes, and a reset heals. */
    close(host_dial());
    ax_driver_settle(&guest.d);
    guest.rx_size = RX_SIZE;
    vsock_guest_start(&guest, 0, 4);
    guest_says(1, 2, OP_REQUEST);
    guest_gets(OP_RST);
    vsock_guest_fini(&guest);
}

Test(vsock, a_broken_ring_breaks_the_device)
{
    const int listener = host_listen(HOST_PORT);
    const int fd = open_to_host(listener, HOST_PORT);

    ax_driver_raw_avail_idx(&guest.d, 0, 0x4000);
    host_say(fd, "bytes");
    ax_driver_settle(&guest.d);
    cr_assert(ax_driver_needs_reset(&guest.d));
    ax_driver_reset(&guest.d);
    host_reads_end(fd);
}

/* ---- floods ---- */

static void raise_limit(void)
{
    struct rlimit limit;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 1400)
        cr_skip_test("1400 descriptors are needed");
}

Test(vsock, there_are_so_many_connections_and_no_more)
{
    const uint32_t more = 100;
    uint32_t opened = 0, refused = 0;
    int listener, client;

    raise_limit();
    listener = host_listen(HOST_PORT);
    for (uint32_t i = 0; i < AX_VSOCK_CONNECTIONS + more; i++) {
        struct vsock_packet p;

        guest_says(i, HOST_PORT, OP_REQUEST);
        cr_assert(vsock_guest_wait(&guest, &p));
        opened += p.op == OP_RESPONSE;
        refused += p.op == OP_RST;
    }
    cr_assert_eq(opened, AX_VSOCK_CONNECTIONS);
    cr_assert_eq(refused, more);
    /* A client of the host's waits until one ends. */
    client = host_dial();
    host_say(client, "CONNECT 5\n");
    guest_gets_nothing();
    guest_says(0, HOST_PORT, OP_RST);
    cr_assert_eq(guest_gets(OP_REQUEST).dst_port, 5);
    close(client);
    close(listener);
}

Test(vsock, without_descriptors_the_guest_is_refused_and_clients_wait)
{
    struct rlimit before, limit;
    int client = host_dial();

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    host_say(client, "CONNECT 5\n");
    guest_says(1, HOST_PORT, OP_REQUEST);
    guest_gets(OP_RST);
    guest_gets_nothing();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(guest_gets(OP_REQUEST).dst_port, 5, "at the next try");
    close(client);
}

/* A guest that sends, and gives no buffer for answers. */
Test(vsock_start, a_guest_that_takes_no_answers_is_not_listened_to)
{
    const struct vsock_packet p = vsock_guest_packet(1, 2, OP_REQUEST);
    struct vsock_packet answer;
    unsigned sent = 0, got = 0;

    vsock_guest_init(&guest, path, 0, 0, RX_SIZE);
    while (sent < 1000 && vsock_guest_try_send(&guest, &p, 0)) {
        sent++;
        ax_driver_settle(&guest.d);
    }
    cr_assert_lt(sent, 200, "the rest waits in the guest's own memory");
    for (unsigned i = 0; i < 4; i++)
        vsock_guest_refill(&guest);
    ax_driver_notify(&guest.d, 0);
    for (; got < sent && vsock_guest_wait(&guest, &answer); got++)
        cr_assert_eq(answer.op, OP_RST);
    cr_assert_eq(got, sent, "none is lost");
    guest_gets_nothing();
    vsock_guest_fini(&guest);
}

Test(vsock_start, connections_that_wait_for_buffers_all_get_theirs)
{
    enum { MANY = 40 };
    struct vsock_packet p;
    int fds[MANY], listener;
    unsigned answers = 0, bytes = 0;

    vsock_guest_init(&guest, path, 0, 0, RX_SIZE);
    listener = host_listen(HOST_PORT);
    for (uint32_t i = 0; i < MANY; i++) {
        guest_says(i, HOST_PORT, OP_REQUEST);
        ax_driver_settle(&guest.d);
        fds[i] = host_accept(listener);
        host_say(fds[i], "xy");
    }
    ax_driver_settle(&guest.d);
    vsock_guest_refill(&guest);
    ax_driver_notify(&guest.d, 0);
    while (answers + bytes / 2 < 2 * MANY && vsock_guest_wait(&guest, &p)) {
        answers += p.op == OP_RESPONSE;
        bytes += p.len;
    }
    cr_assert_eq(answers, MANY);
    cr_assert_eq(bytes, 2 * MANY);
    vsock_guest_fini(&guest);
}

/* ---- the table by itself ---- */

struct alone {
    struct ax_loop *loop;
    struct ax_vsock *table;
    struct ax_vsock_rx rx;
    int client;
    unsigned requests, resets;
};

/* Takes a request, does not answer, and waits for it to be taken back. */
static void alone_ready(void *ctx)
{
    struct alone *a = ctx;
    char byte;

    ax_vsock_work(a->table);
    while (ax_vsock_wants(a->table)) {
        uint8_t bytes[64];

        a->rx.count = a->rx.iov_count = 1;
        a->rx.room[0] = sizeof(bytes);
        a->rx.iov[0] = (struct iovec){bytes, sizeof(bytes)};
        if (!ax_vsock_fill(a->table, &a->rx))
            continue;
        a->requests += a->rx.hdr[0].op == OP_REQUEST;
        a->resets += a->rx.hdr[0].op == OP_RST;
    }
    if (a->resets && !recv(a->client, &byte, 1, MSG_DONTWAIT))
        ax_loop_stop(a->loop);
}

Test(vsock_start, a_guest_that_does_not_answer_is_given_up)
{
    struct alone a = {0};
    struct ax_vsock_env env = {
        .cid = 3,
        .path = path,
        .patience_ns = 1000000,
        .ready = alone_ready,
        .ctx = &a,
    };

    cr_assert_eq(ax_loop_create(&a.loop), 0);
    env.loop = a.loop;
    cr_assert_eq(ax_vsock_create(&env, &a.table), 0);
    ax_vsock_start(a.table);
    a.client = host_dial();
    host_say(a.client, "CONNECT 1234\n");
    ax_loop_run(a.loop);
    cr_assert_eq(a.requests, 1);
    cr_assert_eq(a.resets, 1);
    ax_vsock_destroy(a.table);
    ax_loop_destroy(a.loop);
}

/* ---- the end of the VM ---- */

struct reader {
    int fd;
    atomic_ulong got;
};

static void *reader_main(void *arg)
{
    static uint8_t sink[100]; /* slowly */
    struct reader *r = arg;
    ssize_t n;

    fcntl(r->fd, F_SETFL, 0);
    while ((n = recv(r->fd, sink, sizeof(sink), 0)) > 0)
        atomic_fetch_add(&r->got, (unsigned long)n);
    return NULL;
}

Test(vsock_start, last_words_are_heard)
{
    struct reader r = {0};
    pthread_t thread;
    uint32_t sent;
    int listener;

    vsock_guest_init(&guest, path, 0, RX_BUFFERS, RX_SIZE);
    listener = host_listen(HOST_PORT);
    r.fd = open_to_host(listener, HOST_PORT);
    sent = fill_up();
    cr_assert_eq(pthread_create(&thread, NULL, reader_main, &r), 0);
    while (!atomic_load(&r.got))
        sched_yield();
    vsock_guest_fini(&guest);
    pthread_join(thread, NULL);
    cr_assert_eq(atomic_load(&r.got), sent);
}

Test(vsock_start, what_is_in_the_ring_at_the_end_is_sent)
{
    int listener, fd;
    char got[6] = "";

    vsock_guest_init(&guest, path, 0, RX_BUFFERS, RX_SIZE);
    listener = host_listen(HOST_PORT);
    fd = open_to_host(listener, HOST_PORT);
    guest_sends(GUEST_PORT, HOST_PORT, "last", 4);
    vsock_guest_fini(&guest);
    cr_assert_eq(recv(fd, got, sizeof(got), 0), 4);
    cr_assert_str_eq(got, "last");
    cr_assert_eq(recv(fd, got, sizeof(got), 0), 0);
}

/* Nobody waits for one that does not read. */
Test(vsock_start, who_does_not_listen_misses_them)
{
    int listener;

    vsock_guest_init(&guest, path, 0, RX_BUFFERS, RX_SIZE);
    listener = host_listen(HOST_PORT);
    open_to_host(listener, HOST_PORT);
    fill_up();
    vsock_guest_fini(&guest);
    close(listener);
}
