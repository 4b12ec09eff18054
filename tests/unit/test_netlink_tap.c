/*
 * test_netlink_tap.c - a tap in a network of its own: the kernel at one end, a
 * driver at the other. Needs root and /dev/net/tun.
 */
#include "devices/netlink.h"
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/virtio_driver.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RX, TX, HDR = 12, BUFFER = 2048, PORT = 4000, L4 = 34 };

#define BIT(feature) (1ULL << (feature))
#define FEATURES                                                               \
    (BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) |                    \
     BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |              \
     BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ))

static const uint8_t mac[6] = {0x52, 0x54, 0, 9, 9, 9};
static char mac_text[] = "52:54:00:09:09:09", name[] = "axtest0";
static struct ax_net_conf conf;
static struct ax_driver d;

static bool possible(void)
{
    return !access("/dev/net/tun", R_OK | W_OK) && !unshare(CLONE_NEWNET);
}

#define NEEDS_A_TAP()                                                          \
    do {                                                                       \
        if (!possible())                                                       \
            cr_skip_test("needs root and /dev/net/tun");                       \
    } while (0)

static int open_card(unsigned queues)
{
    conf = (struct ax_net_conf){
        .mode = AX_NET_TAP,
        .mac = mac_text,
        .ifname = name,
        .queues = queues,
        .offload = true,
        .vhost = AX_VHOST_OFF,
    };
    return ax_driver_init(&d, &ax_virtio_net, &conf, NULL, NULL);
}

/* 10.9.0.1/24, up. Returns a UDP socket at PORT there. */
static int bring_up(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    struct ifreq req = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    sin.sin_addr.s_addr = htonl(0x0a090001);
    memcpy(req.ifr_name, name, sizeof(name));
    memcpy(&req.ifr_addr, &sin, sizeof(sin));
    cr_assert_eq(ioctl(fd, SIOCSIFADDR, &req), 0);
    sin.sin_addr.s_addr = htonl(0xffffff00);
    memcpy(&req.ifr_netmask, &sin, sizeof(sin));
    cr_assert_eq(ioctl(fd, SIOCSIFNETMASK, &req), 0);
    req.ifr_flags = IFF_UP | IFF_RUNNING;
    cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &req), 0);
    sin.sin_addr.s_addr = htonl(0x0a090001);
    sin.sin_port = htons(PORT);
    cr_assert_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

static ax_gpa post(unsigned queue)
{
    const struct ax_driver_buf buf = {ax_driver_alloc(&d, BUFFER), BUFFER,
                                      true};

    cr_assert_geq(ax_driver_add(&d, queue, &buf, 1), 0);
    return buf.gpa;
}

static void transmit(unsigned queue, const struct virtio_net_hdr_v1 *hdr,
                     const void *bytes, size_t len)
{
    const struct ax_driver_buf bufs[] = {
        {ax_driver_put(&d, hdr, HDR), HDR, false},
        {ax_driver_put(&d, bytes, len), (uint32_t)len, false},
    };

    cr_assert_eq(ax_driver_ask(&d, queue, bufs, 2), 0);
}

/* The next frame of this type. */
static uint8_t *receive(unsigned queue, unsigned type,
                        struct virtio_net_hdr_v1 *hdr, uint32_t *len)
{
    for (;;) {
        const ax_gpa gpa = post(queue);
        uint8_t *bytes;
        unsigned id;

        ax_driver_notify(&d, queue);
        cr_assert(ax_driver_wait(&d, queue, &id, len));
        bytes = ax_driver_at(&d, gpa, BUFFER);
        memcpy(hdr, bytes, HDR);
        if (bytes[HDR + 12] << 8 == (int)(type & 0xff00) &&
            bytes[HDR + 13] == (type & 0xff))
            return bytes + HDR;
    }
}

static void answer_arp(void)
{
    const struct virtio_net_hdr_v1 none = {0};
    struct virtio_net_hdr_v1 hdr;
    uint8_t reply[60] = {0}, *ask;
    uint32_t len;

    ask = receive(RX, 0x0806, &hdr, &len);
    memcpy(reply, ask + 6, 6);
    memcpy(reply + 6, mac, 6);
    memcpy(reply + 12, ask + 12, 8);
    reply[21] = 2;
    memcpy(reply + 22, mac, 6);
    memcpy(reply + 28, ask + 38, 4);
    memcpy(reply + 32, ask + 22, 10);
    transmit(TX, &none, reply, sizeof(reply));
}

static void say(int fd, const char *text)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(7)};

    sin.sin_addr.s_addr = htonl(0x0a090002);
    cr_assert_eq(
        sendto(fd, text, strlen(text), 0, (struct sockaddr *)&sin, sizeof(sin)),
        strlen(text));
}

/* As a guest answers that leaves the checksum to its card. */
static void echo(unsigned queue, const uint8_t *in, uint32_t bytes)
{
    const struct virtio_net_hdr_v1 hdr = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = L4,
        .csum_offset = 6,
        .hdr_len = 0xffff,
    };
    const unsigned udp = bytes - L4;
    unsigned sum = 17 + udp;
    uint8_t out[256];

    memcpy(out, in, bytes);
    memcpy(out, in + 6, 6);
    memcpy(out + 6, in, 6);
    memcpy(out + 26, in + 30, 4);
    memcpy(out + 30, in + 26, 4);
    memcpy(out + L4, in + L4 + 2, 2);
    memcpy(out + L4 + 2, in + L4, 2);
    for (unsigned i = 26; i < L4; i += 2)
        sum += (unsigned)out[i] << 8 | out[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    out[L4 + 6] = (uint8_t)(sum >> 8);
    out[L4 + 7] = (uint8_t)sum;
    transmit(queue, &hdr, out, bytes);
}

static uint8_t *receive_udp(unsigned queue, struct virtio_net_hdr_v1 *hdr,
                            uint32_t *len)
{
    uint8_t *bytes;

    do
        bytes = receive(queue, 0x0800, hdr, len);
    while (bytes[23] != 17);
    cr_assert_arr_eq(bytes + L4 + 8, "hello", 5);
    cr_assert_eq(hdr->num_buffers, 1);
    return bytes;
}

static void expect_echo(int fd, unsigned queue, const uint8_t *bytes,
                        uint32_t len)
{
    char text[16] = "";

    echo(queue, bytes, len - HDR);
    cr_assert_eq(recv(fd, text, sizeof(text), 0), 5, "with a right checksum");
    cr_assert_str_eq(text, "hello");
}

/* Over a pair of queues. */
static void exchange(int fd, unsigned pair, bool first)
{
    struct virtio_net_hdr_v1 hdr;
    uint8_t *bytes;
    uint32_t len;

    say(fd, "hello");
    if (first)
        answer_arp();
    bytes = receive_udp(2 * pair, &hdr, &len);
    expect_echo(fd, 2 * pair + 1, bytes, len);
}

Test(netlink_tap, talks_with_the_kernel)
{
    int fd;

    NEEDS_A_TAP();
    cr_assert_eq(open_card(1), 0);
    fd = bring_up();
    cr_assert(ax_driver_start(&d, FEATURES, 64));
    exchange(fd, 0, true);
    exchange(fd, 0, false);
    cr_assert(ax_driver_start(&d, FEATURES, 64), "again");
    exchange(fd, 0, false);
    ax_driver_fini(&d);
    close(fd);
}

Test(netlink_tap, kernel_leaves_checksums_to_who_takes_them)
{
    struct virtio_net_hdr_v1 hdr;
    uint32_t len;
    int fd;

    NEEDS_A_TAP();
    cr_assert_eq(open_card(1), 0);
    fd = bring_up();
    for (unsigned takes = 2; takes-- > 0;) {
        cr_assert(ax_driver_start(
            &d, takes ? FEATURES : BIT(VIRTIO_NET_F_MRG_RXBUF), 64));
        say(fd, "hello");
        if (takes)
            answer_arp();
        receive_udp(RX, &hdr, &len);
        cr_assert_eq(hdr.flags, takes ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
    }
    ax_driver_fini(&d);
    close(fd);
}

Test(netlink_tap, has_several_queues)
{
    static const uint8_t two[] = {4, 0, 2, 0}, none[] = {4, 0, 0, 0};
    struct ax_driver_buf bufs[2] = {{0, 4, false}, {0, 1, true}};
    struct virtio_net_hdr_v1 hdr;
    uint8_t *bytes;
    uint32_t len;
    int fd;

    NEEDS_A_TAP();
    cr_assert_eq(open_card(2), 0);
    fd = bring_up();
    cr_assert(ax_driver_offered(&d) & BIT(VIRTIO_NET_F_MQ));
    cr_assert(ax_driver_start(&d, FEATURES, 64));
    say(fd, "hello");
    answer_arp();
    bytes = receive_udp(RX, &hdr, &len);
    bufs[1].gpa = ax_driver_put(&d, "\x55", 1);
    bufs[0].gpa = ax_driver_put(&d, none, 4);
    cr_assert_eq(ax_driver_ask(&d, 4, bufs, 2), 1);
    cr_assert_eq(*(char *)ax_driver_at(&d, bufs[1].gpa, 1), VIRTIO_NET_ERR);
    bufs[0].gpa = ax_driver_put(&d, two, 4);
    cr_assert_eq(ax_driver_ask(&d, 4, bufs, 2), 1);
    cr_assert_eq(*(char *)ax_driver_at(&d, bufs[1].gpa, 1), VIRTIO_NET_OK);
    expect_echo(fd, 3, bytes, len); /* the kernel answers where it was asked */
    exchange(fd, 1, false);
    ax_driver_fini(&d);
    close(fd);
}

static int make_tap(short flags)
{
    struct ifreq req = {.ifr_flags = flags};
    int fd = open("/dev/net/tun", O_RDWR);

    memcpy(req.ifr_name, name, sizeof(name));
    cr_assert_eq(ioctl(fd, TUNSETIFF, &req), 0);
    return fd;
}

Test(netlink_tap, takes_an_inherited_one)
{
    static const short flags[] = {IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
                                  IFF_TAP | IFF_NO_PI};

    NEEDS_A_TAP();
    for (size_t i = 0; i < AX_ARRAY_LEN(flags); i++) {
        int tap = make_tap(flags[i]), fd;

        conf = (struct ax_net_conf){
            .mode = AX_NET_TAP,
            .mac = mac_text,
            .fd = (unsigned)tap,
            .offload = true,
            .vhost = AX_VHOST_OFF,
        };
        cr_assert_eq(ax_driver_init(&d, &ax_virtio_net, &conf, NULL, NULL), 0);
        cr_assert_eq(!(ax_driver_offered(&d) & BIT(VIRTIO_NET_F_CSUM)), i == 1);
        fd = bring_up();
        cr_assert(ax_driver_start(&d, FEATURES, 64));
        say(fd, "hello");
        answer_arp();
        ax_driver_fini(&d);
        cr_assert_eq(fcntl(tap, F_GETFD), 0, "it is not ours to close");
        close(fd);
        close(tap);
    }
}

Test(netlink_tap, says_what_is_in_the_way)
{
    int tap;

    NEEDS_A_TAP();
    tap = make_tap(IFF_TAP | IFF_NO_PI);
    cr_assert_eq(open_card(1), -EBUSY);
    ax_driver_fini(&d);
    close(tap);
    tap = make_tap(IFF_TUN | IFF_NO_PI);
    cr_assert_eq(open_card(1), -EINVAL, "no tap");
    ax_driver_fini(&d);
    close(tap);
    conf.fd = (unsigned)open("/dev/null", O_RDWR);
    cr_assert_eq(ax_driver_init(&d, &ax_virtio_net, &conf, NULL, NULL),
                 -EINVAL);
    ax_driver_fini(&d);
    close((int)conf.fd);
    cr_assert_eq(ax_driver_init(&d, &ax_virtio_net, &conf, NULL, NULL), -EBADF);
    ax_driver_fini(&d);
    conf.vhost = AX_VHOST_ON;
    conf.fd = 0;
    if (access("/dev/vhost-net", F_OK))
        cr_assert_neq(ax_driver_init(&d, &ax_virtio_net, &conf, NULL, NULL), 0);
}
