/*
 * test_virtio_net.c - the network card between a driver and a link whose other
 * end is the test: a Unix socket.
 */
#include "devices/netlink.h"
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/virtio_driver.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RX, TX, CONTROL, HDR = 12, CONFIG = 0x100, STATUS = CONFIG + 6 };
enum { LARGE = 65550 };

#define BIT(feature) (1ULL << (feature))
#define PACKED       BIT(VIRTIO_F_RING_PACKED)
#define EVENTS       BIT(VIRTIO_RING_F_EVENT_IDX)
#define MERGE        BIT(VIRTIO_NET_F_MRG_RXBUF)
#define OFFLOADS                                                               \
    (BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |                    \
     BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN))
#define CONTROLS                                                               \
    (BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) |                   \
     BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_STATUS) |              \
     BIT(VIRTIO_NET_F_GUEST_ANNOUNCE))

static char dir[] = "/tmp/axnetXXXXXX";
static char path[64];
static struct ax_net_conf conf;
static struct ax_driver d;
static int listener = -1, peer = -1;

static const uint64_t rings[] = {0, EVENTS, PACKED, PACKED | EVENTS};

static void peer_listen(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    memcpy(addr.sun_path, path, sizeof(path));
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    unlink(path);
    cr_assert_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(listen(listener, 1), 0);
}

static void peer_accept(void)
{
    peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    cr_assert_geq(peer, 0);
}

static void setup(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/link", dir);
    conf = (struct ax_net_conf){
        .mode = AX_NET_SOCKET,
        .path = path,
        .offload = true,
        .queues = 1,
    };
    peer_listen();
    cr_assert_eq(ax_driver_init(&d, &ax_virtio_net, &conf, NULL, NULL), 0);
    peer_accept();
}

static void teardown(void)
{
    ax_driver_fini(&d);
    close(peer);
    close(listener);
    unlink(path);
    rmdir(dir);
}

TestSuite(virtio_net, .init = setup, .fini = teardown);

/* ---- the other end ---- */

struct frame {
    size_t len;
    uint8_t bytes[LARGE];
};

static void frame_make(struct frame *f, size_t len, uint8_t seed)
{
    memset(f->bytes, 0xff, 6); /* to everybody */
    for (size_t i = 6; i < len; i++)
        f->bytes[i] = (uint8_t)(seed + i * 7);
    f->len = len;
}

static void peer_send(const struct frame *f)
{
    const uint32_t len = htonl((uint32_t)f->len);

    cr_assert_eq(write(peer, &len, sizeof(len)), sizeof(len));
    cr_assert_eq(write(peer, f->bytes, f->len), f->len);
}

/* Bytes as they come, which need not be in one piece. */
static bool peer_read(void *to, size_t count)
{
    for (size_t done = 0; done < count;) {
        const ssize_t n = read(peer, (char *)to + done, count - done);

        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno == EAGAIN && done)
            ax_driver_settle(&d);
        else
            return false;
    }
    return true;
}

static bool peer_receive(struct frame *f)
{
    uint32_t len;

    if (!peer_read(&len, sizeof(len)))
        return false;
    f->len = ntohl(len);
    cr_assert_leq(f->len, sizeof(f->bytes));
    return peer_read(f->bytes, f->len);
}

/* ---- the driver ---- */

static void start(uint64_t features)
{
    cr_assert(ax_driver_start(&d, features, 256));
    ax_driver_settle(&d);
}

static ax_gpa post(uint32_t size)
{
    const struct ax_driver_buf buf = {ax_driver_alloc(&d, size), size, true};

    cr_assert_geq(ax_driver_add(&d, RX, &buf, 1), 0);
    return buf.gpa;
}

static bool send_raw(const struct virtio_net_hdr_v1 *hdr, const void *bytes,
                     size_t len)
{
    const struct ax_driver_buf bufs[] = {
        {ax_driver_put(&d, hdr, sizeof(*hdr)), HDR, false},
        {ax_driver_put(&d, bytes, len ? len : 1), (uint32_t)len, false},
    };

    return ax_driver_ask(&d, TX, bufs, len ? 2 : 1) == 0;
}

static bool send_frame(const struct frame *f)
{
    const struct virtio_net_hdr_v1 hdr = {0};

    return send_raw(&hdr, f->bytes, f->len);
}

static unsigned num_buffers(ax_gpa gpa)
{
    struct virtio_net_hdr_v1 hdr;

    memcpy(&hdr, ax_driver_at(&d, gpa, HDR), HDR);
    return hdr.num_buffers;
}

/* ---- what it is ---- */

Test(virtio_net, offers_what_its_link_can_do)
{
    const uint64_t offered = ax_driver_offered(&d);

    cr_assert_eq(offered & (OFFLOADS | CONTROLS | MERGE),
                 OFFLOADS | CONTROLS | MERGE);
    cr_assert(offered & BIT(VIRTIO_NET_F_MAC));
    cr_assert_not(offered & BIT(VIRTIO_NET_F_GUEST_TSO4));
    cr_assert_not(offered & BIT(VIRTIO_NET_F_MTU));
    cr_assert_not(offered & BIT(VIRTIO_NET_F_MQ));
    cr_assert_eq(ax_driver_get(&d, STATUS, 2), VIRTIO_NET_S_LINK_UP);
    cr_assert_eq(ax_driver_get(&d, CONFIG, 1), 0x52);
    cr_assert_eq(ax_driver_get(&d, CONFIG + 1, 1), 0x54);
    cr_assert_eq(ax_driver_get(&d, CONFIG + 2, 1), 0x00);
}

Test(virtio_net, address_follows_from_the_name)
{
    uint8_t one[6], again[6], next[6], other[6];

    ax_netlink_mac("linux", 0, one);
    ax_netlink_mac("linux", 0, again);
    ax_netlink_mac("linux", 1, next);
    ax_netlink_mac("linuy", 0, other);
    cr_assert_arr_eq(one, again, 6);
    cr_assert_arr_neq(one, next, 6);
    cr_assert_arr_neq(one, other, 6);
    cr_assert_eq(one[0] & 3, 2, "locally administered, of one card");
}

Test(virtio_net, addresses_are_read_with_care)
{
    static const char *const bad[] = {
        "",
        "52:54:00:12:34",
        "52:54:00:12:34:56:78",
        "52:54:00:12:34:5",
        "52-54-00-12-34-56",
        "53:54:00:12:34:56",
        "00:00:00:00:00:00",
        "5g:54:00:12:34:56",
        "\x15\x12:54:00:12:34:56",
    };
    uint8_t mac[6];

    cr_assert_eq(ax_netlink_parse_mac("52:54:00:aB:Cd:0f", mac), 0);
    cr_assert_arr_eq(mac, "\x52\x54\x00\xab\xcd\x0f", 6);
    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++)
        cr_assert_eq(ax_netlink_parse_mac(bad[i], mac), -EINVAL, "%s", bad[i]);
}

/* ---- frames ---- */

Test(virtio_net, sends)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(rings); i++) {
        struct frame out, in;

        start(rings[i]);
        for (uint8_t seed = 0; seed < 5; seed++) {
            frame_make(&out, 60 + 300 * seed, seed);
            cr_assert(send_frame(&out));
            cr_assert(peer_receive(&in));
            cr_assert_eq(in.len, out.len);
            cr_assert_arr_eq(in.bytes, out.bytes, out.len);
        }
    }
}

Test(virtio_net, receives)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(rings); i++) {
        struct frame f;

        start(rings[i]);
        for (uint8_t seed = 0; seed < 5; seed++) {
            const ax_gpa gpa = post(2048);
            unsigned id;
            uint32_t len;

            frame_make(&f, 60 + 300 * seed, seed);
            peer_send(&f);
            cr_assert(ax_driver_wait(&d, RX, &id, &len));
            cr_assert_eq(len, HDR + f.len);
            cr_assert_eq(num_buffers(gpa), 1);
            cr_assert_arr_eq(ax_driver_at(&d, gpa + HDR, f.len), f.bytes,
                             f.len);
        }
    }
}

Test(virtio_net, merges_buffers)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(rings); i++) {
        const uint32_t sizes[] = {1000, 2000, 500, 4000};
        ax_gpa at[4];
        struct frame f;
        size_t done = 0;

        start(MERGE | rings[i]);
        for (unsigned n = 0; n < 4; n++)
            at[n] = post(sizes[n]);
        frame_make(&f, 5000, 3);
        peer_send(&f);
        for (unsigned n = 0; n < 4; n++) {
            const size_t header = n ? 0 : HDR;
            unsigned id;
            uint32_t len;

            cr_assert(ax_driver_wait(&d, RX, &id, &len));
            cr_assert_eq(len, n < 3 ? sizes[n] : HDR + 5000 - 3500);
            cr_assert_arr_eq(ax_driver_at(&d, at[n] + header, len - header),
                             f.bytes + done, len - header);
            done += len - header;
        }
        cr_assert_eq(done, 5000);
        cr_assert_eq(num_buffers(at[0]), 4);
    }
}

Test(virtio_net, without_merging_a_buffer_holds_all_or_nothing)
{
    struct frame f;
    unsigned id;
    uint32_t len;

    start(0);
    post(1000);
    post(2000);
    frame_make(&f, 1500, 1);
    peer_send(&f);
    frame_make(&f, 900, 2);
    peer_send(&f);
    cr_assert(ax_driver_wait(&d, RX, &id, &len));
    cr_assert_eq(len, HDR + 900, "the large one is lost");
    cr_assert_not(ax_driver_take(&d, RX, &id, &len));
}

Test(virtio_net, waits_for_buffers_and_goes_on)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(rings); i++) {
        struct frame f;

        start(MERGE | rings[i]);
        for (uint8_t n = 0; n < 20; n++) {
            frame_make(&f, 100 + n, n);
            peer_send(&f);
        }
        ax_driver_settle(&d);
        for (uint8_t n = 0; n < 20; n++) {
            const ax_gpa gpa = post(200);
            unsigned id;
            uint32_t len;

            ax_driver_notify(&d, RX);
            cr_assert(ax_driver_wait(&d, RX, &id, &len), "frame %u", n);
            cr_assert_eq(len, HDR + 100 + n);
            frame_make(&f, 100 + n, n);
            cr_assert_arr_eq(ax_driver_at(&d, gpa + HDR, f.len), f.bytes,
                             f.len);
        }
    }
}

/* With a part of the room there: the notification comes for what is missing,
 * not for what was there already (CVE-2020-16843 is of this kind). */
Test(virtio_net, waits_for_the_rest_of_the_room)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(rings); i++) {
        struct frame f;
        unsigned id;
        uint32_t len;

        start(MERGE | rings[i]);
        for (unsigned n = 0; n < 3; n++)
            post(1000);
        frame_make(&f, 5000, 1);
        peer_send(&f);
        ax_driver_settle(&d);
        cr_assert_not(ax_driver_take(&d, RX, &id, &len));
        for (unsigned n = 0; n < 2; n++) {
            post(1000);
            ax_driver_notify(&d, RX);
            ax_driver_settle(&d);
            cr_assert_not(ax_driver_take(&d, RX, &id, &len));
        }
        post(1000);
        ax_driver_notify(&d, RX);
        for (unsigned n = 0; n < 6; n++)
            cr_assert(ax_driver_wait(&d, RX, &id, &len));
    }
}

Test(virtio_net, drops_what_no_queue_can_hold)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(rings); i++) {
        struct frame f;
        unsigned id;
        uint32_t len;

        cr_assert(ax_driver_start(&d, MERGE | rings[i], 4));
        for (unsigned n = 0; n < 4; n++)
            post(100);
        frame_make(&f, 1500, 1);
        peer_send(&f);
        frame_make(&f, 80, 2);
        peer_send(&f);
        cr_assert(ax_driver_wait(&d, RX, &id, &len));
        cr_assert_eq(len, HDR + 80);
    }
}

Test(virtio_net, one_interrupt_for_a_batch)
{
    struct frame f;
    unsigned before, id;
    uint32_t len;

    start(MERGE);
    for (unsigned n = 0; n < 100; n++)
        post(200);
    before = d.interrupts;
    frame_make(&f, 100, 1);
    for (unsigned n = 0; n < 100; n++)
        peer_send(&f);
    for (unsigned n = 0; n < 100; n++)
        cr_assert(ax_driver_wait(&d, RX, &id, &len));
    cr_assert_eq(d.interrupts - before, 1);
}

Test(virtio_net, sends_on_when_the_link_has_room_again)
{
    const struct virtio_net_hdr_v1 hdr = {0};
    enum { COUNT = 3000, LEN = 1500 };
    unsigned added = 0, done = 0, got = 0, id;
    struct frame f;
    uint32_t len;
    ax_gpa gpa[2];

    start(0);
    frame_make(&f, LEN, 1);
    gpa[0] = ax_driver_put(&d, &hdr, HDR);
    gpa[1] = ax_driver_put(&d, f.bytes, LEN);
    while (got < COUNT) {
        const struct ax_driver_buf bufs[] = {{gpa[0], HDR, false},
                                             {gpa[1], LEN, false}};

        while (added < COUNT && ax_driver_add(&d, TX, bufs, 2) >= 0)
            added++;
        ax_driver_notify(&d, TX);
        ax_driver_settle(&d);
        while (ax_driver_take(&d, TX, &id, &len))
            done++;
        if (done < added || added == COUNT) { /* full, or all under way */
            cr_assert(peer_receive(&f));
            cr_assert_eq(f.len, LEN);
            got++;
        }
    }
    cr_assert_eq(done, COUNT);
}

/* ---- offloads ---- */

static unsigned sum16(const uint8_t *at, size_t len, unsigned sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? at[i] : (unsigned)at[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* Ethernet, IPv4, TCP, and this much payload; the sum of the pseudo header
 * stands where the checksum goes, as drivers have it. */
static void tcp_make(struct frame *f, size_t payload, uint8_t flags)
{
    static const uint8_t headers[54] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,    0,    0,    0, 0,  1,
        0x08, 0x00, 0x45, 0,    0,    0,    0x12, 0x34, 0x40, 0, 64, 6,
        0,    0,    10,   0,    2,    15,   10,   0,    2,    2, /* addresses */
        0x30, 0x39, 0x00, 0x50, 0xff, 0xff, 0xff, 0, /* ports, sequence */
        0,    0,    0,    1,    0x50, 0,    0x20, 0,    0,    0, 0,  0,
    };
    const size_t tcp = 20 + payload;
    unsigned sum;

    frame_make(f, 54 + payload, 9);
    memcpy(f->bytes, headers, sizeof(headers));
    f->bytes[16] = (uint8_t)((20 + tcp) >> 8);
    f->bytes[17] = (uint8_t)(20 + tcp);
    f->bytes[47] = flags;
    sum = ~sum16(f->bytes + 14, 20, 0);
    f->bytes[24] = (uint8_t)(sum >> 8);
    f->bytes[25] = (uint8_t)sum;
    sum = sum16(f->bytes + 26, 8, 6 + (unsigned)tcp);
    f->bytes[50] = (uint8_t)(sum >> 8);
    f->bytes[51] = (uint8_t)sum;
}

static void expect_sums(const struct frame *f)
{
    const unsigned tcp = (unsigned)f->len - 34;

    cr_assert_eq(f->bytes[16] << 8 | f->bytes[17], tcp + 20);
    cr_assert_eq(sum16(f->bytes + 14, 20, 0), 0xffff);
    cr_assert_eq(sum16(f->bytes + 34, tcp, sum16(f->bytes + 26, 8, 6 + tcp)),
                 0xffff);
}

static const struct virtio_net_hdr_v1 partial = {
    .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
    .csum_start = 34,
    .csum_offset = 16,
};

Test(virtio_net, finishes_checksums)
{
    struct frame out, in;

    start(OFFLOADS);
    for (size_t payload = 0; payload < 70; payload++) {
        tcp_make(&out, payload, 0x10);
        cr_assert(send_raw(&partial, out.bytes, out.len));
        cr_assert(peer_receive(&in));
        cr_assert_eq(in.len, out.len);
        expect_sums(&in);
    }
}

Test(virtio_net, cuts_segments)
{
    static const uint8_t flags[] = {0x90, 0x10, 0x10, 0x19};
    struct virtio_net_hdr_v1 hdr = partial;
    struct frame out, in;

    start(OFFLOADS);
    tcp_make(&out, 3500, 0x99); /* CWR, ACK, PSH, FIN */
    hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN;
    hdr.gso_size = 1000;
    cr_assert(send_raw(&hdr, out.bytes, out.len));
    for (unsigned n = 0; n < 4; n++) {
        const size_t bytes = n < 3 ? 1000 : 500;
        const uint32_t seq = 0xffffff00 + 1000 * n;

        cr_assert(peer_receive(&in));
        cr_assert_eq(in.len, 54 + bytes);
        expect_sums(&in);
        cr_assert_eq(in.bytes[18] << 8 | in.bytes[19], 0x1234 + n);
        cr_assert_eq((uint32_t)in.bytes[38] << 24 | in.bytes[39] << 16 |
                         in.bytes[40] << 8 | in.bytes[41],
                     seq);
        cr_assert_eq(in.bytes[47], flags[n]);
        cr_assert_arr_eq(in.bytes + 54, out.bytes + 54 + 1000 * (size_t)n,
                         bytes);
    }
    cr_assert_not(peer_receive(&in));
}

/* ---- what a driver may not do ---- */

static const struct {
    struct virtio_net_hdr_v1 hdr;
    size_t len;
    const char *what;
} hostile[] = {
    {{0}, 0, "no frame"},
    {{0}, 13, "half a header"},
    {{0}, 65558, "more than a frame"},
    {{.flags = 1, .csum_start = 59, .csum_offset = 0}, 60, "a sum at the end"},
    {{.flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff}, 60, "beyond"},
    {{.flags = 1, .csum_start = 61, .csum_offset = 0}, 60, "a start beyond"},
    {{.gso_type = 1, .gso_size = 100}, 1000, "segments without checksum"},
    {{.flags = 1, .gso_type = 1, .gso_size = 0}, 1000, "segments of nothing"},
    {{.flags = 1, .gso_type = 1, .gso_size = 1}, 1000, "of next to nothing"},
    {{.flags = 1, .gso_type = 1, .gso_size = 100}, 1000, "no TCP"},
    {{.flags = 1, .gso_type = 3, .gso_size = 100}, 1000, "UFO"},
    {{.flags = 1, .gso_type = 0x80, .gso_size = 100}, 1000, "ECN of nothing"},
    {{.flags = 1, .gso_type = 0x7f, .gso_size = 100}, 1000, "no such type"},
};

Test(virtio_net, drops_frames_that_cannot_be)
{
    struct frame f, good;

    start(OFFLOADS);
    for (size_t i = 0; i < AX_ARRAY_LEN(hostile); i++) {
        static uint8_t bytes[70000];

        cr_assert(send_raw(&hostile[i].hdr, bytes, hostile[i].len),
                  "it is used all the same");
        frame_make(&good, 100, (uint8_t)i);
        cr_assert(send_frame(&good));
        cr_assert(peer_receive(&f));
        cr_assert_eq(f.len, 100, "%s", hostile[i].what);
    }
    cr_assert_not(ax_driver_needs_reset(&d));
}

Test(virtio_net, offloads_are_for_who_has_accepted_them)
{
    struct frame out, in;

    start(BIT(VIRTIO_NET_F_HOST_TSO4)); /* without CSUM */
    tcp_make(&out, 100, 0x10);
    cr_assert(send_raw(&partial, out.bytes, out.len));
    cr_assert_not(peer_receive(&in));
}

Test(virtio_net, a_buffer_without_room_ends_it)
{
    struct frame f;

    start(MERGE);
    post(HDR);
    frame_make(&f, 100, 1);
    peer_send(&f);
    ax_driver_settle(&d);
    cr_assert(ax_driver_needs_reset(&d));
    start(MERGE);
    cr_assert_not(ax_driver_needs_reset(&d));
}

Test(virtio_net, a_buffer_outside_memory_ends_it)
{
    struct frame f;

    start(MERGE);
    ax_driver_raw_desc(&d, RX, 0, AX_DRIVER_MEMORY - 8, 100, VRING_DESC_F_WRITE,
                       0);
    ax_driver_raw_avail(&d, RX, 0);
    frame_make(&f, 100, 1);
    peer_send(&f);
    ax_driver_settle(&d);
    cr_assert(ax_driver_needs_reset(&d));
}

Test(virtio_net, reset_in_the_middle)
{
    for (unsigned round = 0; round < 3; round++) {
        struct frame f;
        unsigned id;
        uint32_t len;

        start(MERGE);
        for (uint8_t n = 0; n < 10; n++) { /* wait for buffers */
            frame_make(&f, 100, n);
            peer_send(&f);
        }
        ax_driver_settle(&d);
        ax_driver_reset(&d);
        ax_driver_settle(&d); /* what was for the old driver is lost */
        start(MERGE);
        post(2000);
        ax_driver_notify(&d, RX);
        frame_make(&f, 500, 1);
        peer_send(&f);
        cr_assert(ax_driver_wait(&d, RX, &id, &len));
        cr_assert_eq(len, HDR + 500);
    }
}

/* ---- control ---- */

static unsigned control(uint8_t class, uint8_t command, const void *data,
                        size_t len)
{
    const uint8_t head[2] = {class, command};
    const ax_gpa ack = ax_driver_put(&d, "\x55", 1);
    const struct ax_driver_buf bufs[] = {
        {ax_driver_put(&d, head, 2), 2, false},
        {ax_driver_put(&d, data, len ? len : 1), (uint32_t)len, false},
        {ack, 1, true},
    };

    cr_assert_eq(ax_driver_ask(&d, CONTROL, bufs, 3), 1);
    return *(uint8_t *)ax_driver_at(&d, ack, 1);
}

static void expect_passes(const uint8_t to[6], bool passes)
{
    struct frame f;
    unsigned id;
    uint32_t len;

    post(200);
    frame_make(&f, 100, 0);
    memcpy(f.bytes, to, 6);
    peer_send(&f);
    frame_make(&f, 99, 0); /* to everybody */
    peer_send(&f);
    cr_assert(ax_driver_wait(&d, RX, &id, &len));
    cr_assert_eq(len, HDR + (passes ? 100 : 99));
    if (passes) {
        post(200);
        ax_driver_notify(&d, RX);
        cr_assert(ax_driver_wait(&d, RX, &id, &len));
    }
}

Test(virtio_net, filters_as_it_is_told)
{
    static const uint8_t one[6] = {2, 0, 0, 0, 0, 1}, two[6] = {2, 0, 0, 0, 0};
    static const uint8_t group[6] = {1, 0, 0x5e, 0, 0, 1};
    static const uint8_t table[] = {1, 0, 0, 0, 2, 0, 0,    0, 0, 1,
                                    1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1};
    static const uint8_t none[8];

    start(MERGE | CONTROLS);
    expect_passes(one, true);
    cr_assert_eq(control(0, 0, "\0", 1), VIRTIO_NET_OK); /* promiscuous off */
    expect_passes(one, false);
    expect_passes(group, false);
    cr_assert_eq(control(0, 1, "\1", 1), VIRTIO_NET_OK); /* all multicast */
    expect_passes(group, true);
    cr_assert_eq(control(0, 1, "\0", 1), VIRTIO_NET_OK);
    cr_assert_eq(control(1, 0, table, sizeof(table)), VIRTIO_NET_OK);
    expect_passes(one, true);
    expect_passes(group, true);
    expect_passes(two, false);
    cr_assert_eq(control(1, 0, none, sizeof(none)), VIRTIO_NET_OK);
    expect_passes(one, false);
    cr_assert_eq(control(1, 1, one, 6), VIRTIO_NET_OK); /* its own */
    expect_passes(one, true);
    cr_assert_eq(ax_driver_get(&d, CONFIG + 5, 1), 1);
    ax_driver_reset(&d);
    cr_assert_eq(ax_driver_get(&d, CONFIG, 1), 0x52);
}

Test(virtio_net, a_crowded_filter_lets_all_pass)
{
    static const uint8_t one[6] = {2, 0, 0, 0, 0, 1};
    uint8_t table[8 + 65 * 6] = {65};

    start(MERGE | CONTROLS);
    cr_assert_eq(control(0, 0, "\0", 1), VIRTIO_NET_OK);
    cr_assert_eq(control(1, 0, table, sizeof(table)), VIRTIO_NET_OK);
    expect_passes(one, true);
}

Test(virtio_net, refuses_commands)
{
    static const uint8_t endless[12] = {0xff, 0xff, 0xff, 0xff};
    static const uint8_t half[12] = {1};

    start(CONTROLS);
    cr_assert_eq(control(0, 0, "", 0), VIRTIO_NET_ERR, "no value");
    cr_assert_eq(control(0, 9, "\0", 1), VIRTIO_NET_ERR, "no command");
    cr_assert_eq(control(9, 0, "\0", 1), VIRTIO_NET_ERR, "no class");
    cr_assert_eq(control(1, 0, endless, sizeof(endless)), VIRTIO_NET_ERR);
    cr_assert_eq(control(1, 0, half, sizeof(half)), VIRTIO_NET_ERR);
    cr_assert_eq(control(1, 0, half, 2), VIRTIO_NET_ERR);
    cr_assert_eq(control(1, 1, half, 5), VIRTIO_NET_ERR);
    cr_assert_eq(control(4, 0, "\1\0", 2), VIRTIO_NET_ERR, "no more queues");
    start(BIT(VIRTIO_NET_F_CTRL_VQ));
    cr_assert_eq(control(0, 0, "\0", 1), VIRTIO_NET_ERR, "not negotiated");
}

/* ---- the cable ---- */

static bool is_down(void *ctx)
{
    return !ax_driver_get(&d, STATUS, 2);
}

static bool is_up(void *ctx)
{
    return ax_driver_get(&d, STATUS, 2) & VIRTIO_NET_S_LINK_UP;
}

Test(virtio_net, link_follows_the_other_end)
{
    struct frame f;
    unsigned before;

    start(CONTROLS);
    before = d.interrupts;
    close(peer);
    close(listener);
    cr_assert(ax_driver_run(&d, is_down, NULL));
    cr_assert_gt(d.interrupts, before);
    frame_make(&f, 100, 1);
    cr_assert(send_frame(&f), "it is lost, as on any wire");
    peer_listen();
    cr_assert(ax_driver_run(&d, is_up, NULL));
    peer_accept();
    cr_assert(ax_driver_get(&d, STATUS, 2) & VIRTIO_NET_S_ANNOUNCE);
    cr_assert_eq(control(3, 0, "", 0), VIRTIO_NET_OK);
    cr_assert_eq(ax_driver_get(&d, STATUS, 2), VIRTIO_NET_S_LINK_UP);
    cr_assert(send_frame(&f));
    cr_assert(peer_receive(&f));
}

Test(virtio_net, a_peer_without_manners_is_left)
{
    const uint32_t huge = htonl(0x10000000);

    start(0);
    cr_assert_eq(write(peer, &huge, 4), 4);
    cr_assert(ax_driver_run(&d, is_down, NULL));
}

Test(virtio_net, is_plugged_in_and_out)
{
    struct ax_card card;
    struct frame f;
    unsigned id;
    uint32_t len;

    start(MERGE | CONTROLS);
    frame_make(&f, 100, 1);
    cr_assert(send_frame(&f));
    cr_assert(peer_receive(&f));
    cr_assert(ax_device_plug(d.dev, false));
    cr_assert(is_down(NULL));
    cr_assert(send_frame(&f));
    post(200);
    peer_send(&f);
    ax_driver_settle(&d);
    cr_assert_not(peer_receive(&f));
    cr_assert(ax_device_card(d.dev, &card));
    cr_assert_str_eq(card.mode, "socket");
    cr_assert_not(card.link);
    cr_assert_eq(card.tx_frames, 1);
    cr_assert_eq(card.tx_bytes, 100);
    cr_assert_eq(card.tx_lost, 1);
    cr_assert_eq(card.rx_lost, 1);
    cr_assert(ax_device_plug(d.dev, true));
    cr_assert(is_up(NULL));
    frame_make(&f, 120, 1);
    peer_send(&f);
    cr_assert(ax_driver_wait(&d, RX, &id, &len));
    cr_assert_eq(len, HDR + 120);
}
