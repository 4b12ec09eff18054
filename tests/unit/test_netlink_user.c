/*
 * test_netlink_user.c - user mode with the real libslirp, behind the card: the
 * test is the guest, down to its TCP.
 */
#include "devices/netlink_parts.h"
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/virtio_driver.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RX, TX, HDR = 12, POSTED = 64, BUFFER = 2048 };
enum { ETH = 14, IP = ETH, L4 = ETH + 20, MOST = 66000 };

#define BIT(feature) (1ULL << (feature))
#define FEATURES                                                               \
    (BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) |                    \
     BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_GUEST_CSUM) |              \
     BIT(VIRTIO_NET_F_GUEST_TSO4))

static struct ax_driver d;
static ax_gpa at[AX_VIRTQ_SIZE]; /* buffers by id */

struct packet {
    struct virtio_net_hdr_v1 hdr;
    size_t len;
    uint8_t bytes[MOST];
};

static const uint8_t guest_ip[4] = {10, 0, 2, 15}, host_ip[4] = {10, 0, 2, 2};
static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};
static const uint8_t host_mac[6] = {0x52, 0x55, 10, 0, 2, 2};

static bool has_slirp(void)
{
    void *lib = dlopen("libslirp.so.0", RTLD_NOW | RTLD_NODELETE);

    return lib && !dlclose(lib);
}

static void post(void)
{
    const struct ax_driver_buf buf = {ax_driver_alloc(&d, BUFFER), BUFFER,
                                      true};
    const int id = ax_driver_add(&d, RX, &buf, 1);

    cr_assert_geq(id, 0);
    at[id] = buf.gpa;
}

static int open_card(char **hostfwd)
{
    static char own[] = "52:54:00:01:02:03";
    static struct ax_net_conf conf;

    conf = (struct ax_net_conf){
        .mode = AX_NET_USER,
        .mac = own,
        .hostfwd = hostfwd,
        .offload = true,
    };
    return ax_driver_init(&d, &ax_virtio_net, &conf, NULL, NULL);
}

static void begin(char **hostfwd, uint64_t features)
{
    if (!has_slirp())
        cr_skip_test("libslirp.so.0 is not there");
    cr_assert_eq(open_card(hostfwd), 0);
    cr_assert(ax_driver_start(&d, features, 256));
    for (unsigned i = 0; i < POSTED; i++)
        post();
    ax_driver_notify(&d, RX);
}

static void teardown(void)
{
    ax_driver_fini(&d);
}

TestSuite(netlink_user, .fini = teardown);

/* ---- frames ---- */

static void put16(uint8_t *to, unsigned val)
{
    to[0] = (uint8_t)(val >> 8);
    to[1] = (uint8_t)val;
}

static unsigned get16(const uint8_t *from)
{
    return (unsigned)from[0] << 8 | from[1];
}

static unsigned sum16(const uint8_t *from, size_t len, unsigned sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? from[i] : (unsigned)from[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void receive(struct packet *p)
{
    unsigned left = 1, id;
    uint32_t used;

    p->len = 0;
    while (left--) {
        cr_assert(ax_driver_wait(&d, RX, &id, &used));
        if (!p->len) {
            memcpy(&p->hdr, ax_driver_at(&d, at[id], HDR), HDR);
            left = p->hdr.num_buffers - 1U;
            memcpy(p->bytes, ax_driver_at(&d, at[id] + HDR, used - HDR),
                   used - HDR);
            p->len = used - HDR;
        } else {
            memcpy(p->bytes + p->len, ax_driver_at(&d, at[id], used), used);
            p->len += used;
        }
        post();
    }
    ax_driver_notify(&d, RX);
}

static void transmit(const struct virtio_net_hdr_v1 *hdr,
                     const struct packet *p)
{
    const struct virtio_net_hdr_v1 none = {0};
    const struct ax_driver_buf bufs[] = {
        {ax_driver_put(&d, hdr ? hdr : &none, HDR), HDR, false},
        {ax_driver_put(&d, p->bytes, p->len), (uint32_t)p->len, false},
    };

    cr_assert_eq(ax_driver_ask(&d, TX, bufs, 2), 0);
}

static void arp(struct packet *p, unsigned what, const uint8_t ip[4])
{
    static const uint8_t head[] = {0, 1, 8, 0, 6, 4};

    memset(p, 0, sizeof(*p));
    p->len = 60;
    memset(p->bytes, 0xff, 6);
    memcpy(p->bytes + 6, mac, 6);
    put16(p->bytes + 12, 0x0806);
    memcpy(p->bytes + 14, head, sizeof(head));
    put16(p->bytes + 20, what);
    memcpy(p->bytes + 22, mac, 6);
    memcpy(p->bytes + 28, guest_ip, 4);
    memcpy(p->bytes + 38, ip, 4);
}

/* The next one that is no question about the guest or the routers. */
static void receive_ip(struct packet *p, unsigned protocol)
{
    struct packet *answer = malloc(sizeof(*answer));

    do {
        receive(p);
        if (get16(p->bytes + 12) == 0x0806 && p->bytes[21] == 1) {
            arp(answer, 2, host_ip);
            memcpy(answer->bytes, host_mac, 6);
            transmit(NULL, answer);
        }
    } while (get16(p->bytes + 12) != 0x0800 || p->bytes[IP + 9] != protocol);
    free(answer);
}

static void ip_header(struct packet *p, unsigned protocol, size_t len)
{
    memset(p, 0, sizeof(*p));
    p->len = L4 + len;
    memcpy(p->bytes, host_mac, 6);
    memcpy(p->bytes + 6, mac, 6);
    put16(p->bytes + 12, 0x0800);
    p->bytes[IP] = 0x45;
    put16(p->bytes + IP + 2, 20 + (unsigned)len);
    p->bytes[IP + 8] = 64;
    p->bytes[IP + 9] = (uint8_t)protocol;
    memcpy(p->bytes + IP + 12, guest_ip, 4);
    memcpy(p->bytes + IP + 16, host_ip, 4);
    put16(p->bytes + IP + 10, ~sum16(p->bytes + IP, 20, 0));
}

/* ---- what a guest does first ---- */

Test(netlink_user, leases_an_address)
{
    static const uint8_t cookie[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};
    struct packet p;

    begin(NULL, FEATURES);
    ip_header(&p, IPPROTO_UDP, 8 + 240 + 60);
    memset(p.bytes, 0xff, 6);
    memset(p.bytes + IP + 12, 0, 4);
    memset(p.bytes + IP + 16, 0xff, 4);
    put16(p.bytes + IP + 10, 0);
    put16(p.bytes + IP + 10, ~sum16(p.bytes + IP, 20, 0));
    put16(p.bytes + L4, 68);
    put16(p.bytes + L4 + 2, 67);
    put16(p.bytes + L4 + 4, 8 + 240 + 60);
    memcpy(p.bytes + L4 + 8, "\1\1\6\0\1\2\3\4", 8);
    memcpy(p.bytes + L4 + 8 + 28, mac, 6);
    memcpy(p.bytes + L4 + 8 + 236, cookie, sizeof(cookie));
    transmit(NULL, &p);
    receive_ip(&p, IPPROTO_UDP);
    cr_assert_eq(get16(p.bytes + L4), 67);
    cr_assert_eq(p.bytes[L4 + 8], 2, "a reply");
    cr_assert_arr_eq(p.bytes + L4 + 8 + 16, guest_ip, 4);
    cr_assert_eq(p.hdr.flags, VIRTIO_NET_HDR_F_DATA_VALID);
    cr_assert_eq(p.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
}

Test(netlink_user, host_answers_arp_and_ping)
{
    struct packet p;

    begin(NULL, BIT(VIRTIO_NET_F_MRG_RXBUF));
    arp(&p, 1, host_ip);
    transmit(NULL, &p);
    do
        receive(&p);
    while (get16(p.bytes + 12) != 0x0806);
    cr_assert_eq(p.bytes[21], 2);
    cr_assert_arr_eq(p.bytes + 22, host_mac, 6);
    ip_header(&p, IPPROTO_ICMP, 64);
    p.bytes[L4] = 8;
    put16(p.bytes + L4 + 2, ~sum16(p.bytes + L4, 64, 0));
    transmit(NULL, &p);
    receive_ip(&p, IPPROTO_ICMP);
    cr_assert_eq(p.bytes[L4], 0, "an answer");
    cr_assert_eq(sum16(p.bytes + L4, 64, 0), 0xffff);
    cr_assert_eq(p.hdr.flags, 0, "nobody asked to be spared checksums");
}

/* ---- TCP ---- */

struct tcp {
    uint16_t port, peer;
    uint32_t seq, ack;
};

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)get16(from) << 16 | get16(from + 2);
}

static void put32(uint8_t *to, uint32_t val)
{
    put16(to, val >> 16);
    put16(to + 2, val & 0xffff);
}

/* With MSS if it is a SYN; its checksum is the card's to make. */
static void tcp_send(struct tcp *t, unsigned flags, size_t len,
                     unsigned gso_size)
{
    static struct packet p;
    const unsigned head = flags & 2 ? 24 : 20;
    struct virtio_net_hdr_v1 hdr = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = gso_size ? VIRTIO_NET_HDR_GSO_TCPV4 : 0,
        .gso_size = (uint16_t)gso_size,
        .csum_start = L4,
        .csum_offset = 16,
    };

    ip_header(&p, IPPROTO_TCP, head + len);
    put16(p.bytes + L4, t->port);
    put16(p.bytes + L4 + 2, t->peer);
    put32(p.bytes + L4 + 4, t->seq);
    put32(p.bytes + L4 + 8, t->ack);
    p.bytes[L4 + 12] = (uint8_t)(head / 4 << 4);
    p.bytes[L4 + 13] = (uint8_t)flags;
    put16(p.bytes + L4 + 14, 0xffff);
    if (flags & 2)
        memcpy(p.bytes + L4 + 20, "\2\4\5\xb4", 4); /* 1460 */
    for (size_t i = 0; i < len; i++)
        p.bytes[L4 + head + i] = (uint8_t)(i * 3);
    put16(p.bytes + L4 + 16,
          sum16(p.bytes + IP + 12, 8, 6 + head + (unsigned)len));
    transmit(&hdr, &p);
    t->seq += (uint32_t)len + (flags & 3 ? 1 : 0);
}

/* The next segment that holds something; acknowledges it. */
static size_t tcp_receive(struct tcp *t, struct packet *p)
{
    size_t head;

    do {
        receive_ip(p, IPPROTO_TCP);
        head = (p->bytes[L4 + 12] >> 4) * 4U;
    } while (!(p->bytes[L4 + 13] & 3) && p->len == L4 + head);
    t->port = (uint16_t)get16(p->bytes + L4 + 2);
    t->peer = (uint16_t)get16(p->bytes + L4);
    t->ack = get32(p->bytes + L4 + 4) + (uint32_t)(p->len - L4 - head) +
             (p->bytes[L4 + 13] & 3 ? 1 : 0);
    return p->len - L4 - head;
}

static unsigned free_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&sin, len), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    close(fd);
    return ntohs(sin.sin_port);
}

/* A connection from the host's side, through a forwarded port. */
static int connect_in(struct tcp *t, uint64_t features)
{
    static char spec[64];
    static char *specs[] = {spec, NULL};
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct packet p;
    int fd;

    sin.sin_port = htons((uint16_t)free_port());
    snprintf(spec, sizeof(spec), "tcp::%u-80", ntohs(sin.sin_port));
    begin(specs, features);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, (struct sockaddr *)&sin, sizeof(sin));
    *t = (struct tcp){.seq = 1000};
    tcp_receive(t, &p);
    cr_assert_eq(p.bytes[L4 + 13], 0x02, "SYN");
    cr_assert_eq(t->port, 80);
    tcp_send(t, 0x12, 0, 0);
    return fd;
}

static void expect_stream(struct tcp *t, size_t total, bool large)
{
    struct packet p;
    bool was_large = false;

    for (size_t done = 0; done < total;) {
        const size_t got = tcp_receive(t, &p);

        for (size_t i = 0; i < got; i++)
            cr_assert_eq(p.bytes[L4 + 20 + i], (uint8_t)(done + i), "%zu",
                         done + i);
        if (got > 1460) {
            was_large = true;
            cr_assert_eq(p.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
            cr_assert_eq(p.hdr.gso_size, 1460);
            cr_assert_eq(p.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
            cr_assert_eq(p.hdr.csum_start, L4);
            cr_assert_eq(get16(p.bytes + L4 + 16),
                         sum16(p.bytes + IP + 12, 8, 6 + (unsigned)p.len - L4));
        }
        done += got;
        tcp_send(t, 0x10, 0, 0);
    }
    cr_assert_eq(was_large, large);
}

Test(netlink_user, forwards_a_port)
{
    struct tcp t;
    int fd = connect_in(&t, FEATURES);
    struct packet p;

    cr_assert_eq(write(fd, "hello", 5), 5);
    cr_assert_eq(tcp_receive(&t, &p), 5);
    cr_assert_arr_eq(p.bytes + L4 + 20, "hello", 5);
    close(fd);
}

static void pour(bool large)
{
    static uint8_t bytes[20000];
    struct tcp t;
    int fd = connect_in(&t, large ? FEATURES
                                  : FEATURES & ~BIT(VIRTIO_NET_F_GUEST_TSO4));

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    cr_assert_eq(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    expect_stream(&t, sizeof(bytes), large);
    close(fd);
}

Test(netlink_user, gives_large_segments_to_who_takes_them)
{
    pour(true);
}

Test(netlink_user, gives_small_ones_to_others)
{
    pour(false);
}

struct read_all {
    int fd;
    size_t done, total;
};

static bool has_read_all(void *ctx)
{
    struct read_all *r = ctx;
    uint8_t bytes[4096];
    ssize_t got;

    while ((got = read(r->fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < got; i++)
            cr_assert_eq(bytes[i], (uint8_t)((r->done + (size_t)i) * 3));
        r->done += (size_t)got;
    }
    return r->done == r->total;
}

Test(netlink_user, takes_large_segments)
{
    struct tcp t;
    struct read_all all = {connect_in(&t, FEATURES), 0, 30000};

    cr_assert_eq(write(all.fd, "x", 1), 1);
    tcp_receive(&t, &(struct packet){0});
    tcp_send(&t, 0x18, 30000, 1460);
    cr_assert(ax_driver_run(&d, has_read_all, &all));
    close(all.fd);
}

/* ---- ports that cannot be had ---- */

Test(netlink_user, says_which_port_is_busy)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    char spec[64], *specs[] = {spec, NULL};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (!has_slirp())
        cr_skip_test("libslirp.so.0 is not there");
    cr_assert_eq(bind(fd, (struct sockaddr *)&sin, len), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    snprintf(spec, sizeof(spec), "tcp::%u-80", ntohs(sin.sin_port));
    cr_assert_eq(open_card(specs), -EADDRINUSE);
    close(fd);
}

Test(netlink_user, reads_what_is_to_be_forwarded)
{
    static const struct {
        const char *spec;
        bool udp, v6;
    } good[] = {
        {"tcp::8080-80", false, false},
        {"tcp:8080-80", false, false},
        {"udp:0.0.0.0:53-5353", true, false},
        {"tcp:[::1]:1-65535", false, true},
    };
    static const char *const bad[] = {
        "tcp:[::1:1-2",   "tcp:::1:1-2",
        "sctp::1-2",      "tcp::0-80",
        "tcp::80-0",      "tcp::65536-80",
        "tcp::80",        "tcp::80-",
        "tcp::-80",       "tcp::80-80x",
        "tcp:host:80-80", "tcp:1.2.3.4.5:1-1",
        "tcp:",           "",
        "tcp:[]:1-1",
    };
    struct ax_netlink_forward f;

    for (size_t i = 0; i < AX_ARRAY_LEN(good); i++) {
        cr_assert_null(ax_netlink_parse_forward(good[i].spec, mac, &f));
        cr_assert_eq(f.udp, good[i].udp);
        cr_assert_eq(f.host.ss_family, good[i].v6 ? AF_INET6 : AF_INET);
        cr_assert_eq(f.guest.ss_family, f.host.ss_family);
    }
    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++)
        cr_assert_not_null(ax_netlink_parse_forward(bad[i], mac, &f), "%s",
                           bad[i]);
}
