/*
 * netlink_tap.c - a tap of the host, by name or as an inherited descriptor: an
 * interface of its own network stack, with virtio_net_hdr before each frame,
 * so that what a card leaves undone is left to the kernel.
 *
 * The kernel is trusted with what it gives; what the guest gives has passed
 * ax_netlink_check, and the kernel checks it again.
 */
#include "devices/netlink_parts.h"

#include "devices/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char tun_path[] = "/dev/net/tun";

enum { BURST = 64 /* frames, before others have a turn */ };

struct tap;

struct queue {
    struct tap *tap;
    int fd;
    bool attached;
    bool stalled; /* the guest has no room; the frame of held bytes waits */
    bool blocked; /* a send waits */
    size_t held;  /* of header and frame */
    struct ax_watch *watch;
    uint8_t *buf; /* a header and a frame */
};

struct tap {
    struct ax_netlink link;
    char name[IFNAMSIZ];
    bool bare; /* an inherited one that has no virtio_net_hdr */
    unsigned count;
    struct queue *ready; /* of the watch that came */
    struct queue queues[AX_NETLINK_QUEUES];
};

static struct tap *to_tap(struct ax_netlink *link)
{
    return ax_container_of(link, struct tap, link);
}

/* ---- to the guest ---- */

static bool tap_deliver(struct queue *q)
{
    const struct tap *t = q->tap;
    const size_t header = t->bare ? 0 : AX_NETLINK_HDR_BYTES;
    const struct iovec iov = {q->buf + header, q->held - header};
    struct ax_netlink_frame frame = {
        .iov = &iov,
        .count = 1,
        .len = iov.iov_len,
    };

    memcpy(&frame.hdr, q->buf, header);
    q->stalled = !t->link.env.deliver(t->link.env.ctx,
                                      (unsigned)(q - t->queues), &frame);
    return !q->stalled;
}

static bool queue_reads(const struct queue *q)
{
    const struct ax_netlink *link = &q->tap->link;

    return !q->stalled && !link->lent &&
           (unsigned)(q - q->tap->queues) < link->pairs;
}

static void queue_set_watch(const struct queue *q)
{
    if (q->watch)
        ax_watch_set(q->watch, (queue_reads(q) ? AX_LOOP_READ : 0U) |
                                   (q->blocked ? AX_LOOP_WRITE : 0U));
}

static void queue_read(struct queue *q)
{
    const size_t least =
        AX_NETLINK_FRAME_MIN + (q->tap->bare ? 0U : AX_NETLINK_HDR_BYTES);

    for (unsigned i = 0; i < BURST && !q->stalled; i++) {
        const ssize_t got =
            read(q->fd, q->buf, AX_NETLINK_HDR_BYTES + AX_NETLINK_FRAME_MAX);

        if (got < 0)
            return;
        q->held = (size_t)got;
        if (q->held >= least)
            tap_deliver(q);
    }
}

static void tap_served(struct ax_netlink *link)
{
    const struct tap *t = to_tap(link);
    struct queue *q = t->ready;

    if (q->blocked) {
        q->blocked = false;
        link->env.writable(link->env.ctx, (unsigned)(q - t->queues));
    }
    if (queue_reads(q))
        queue_read(q);
    queue_set_watch(q);
}

static void tap_ready(void *ctx, unsigned events)
{
    struct queue *q = ctx;

    q->tap->ready = q;
    ax_netlink_enter(&q->tap->link, tap_served);
}

static void tap_resume(struct ax_netlink *link, unsigned queue)
{
    struct queue *q = &to_tap(link)->queues[queue];

    if (q->stalled)
        tap_deliver(q);
    queue_set_watch(q);
}

/* ---- from the guest ---- */

static int tap_send(struct ax_netlink *link, unsigned queue,
                    const struct ax_netlink_frame *frame)
{
    struct tap *t = to_tap(link);
    struct queue *q = &t->queues[queue];
    struct virtio_net_hdr_v1 hdr = frame->hdr;
    struct iovec iov[AX_NETLINK_IOV + 1];
    const unsigned first = t->bare ? 0 : 1;

    if (!q->attached)
        return 0;
    /* A hint, of which the kernel makes a demand. */
    if (hdr.hdr_len > frame->len)
        hdr.hdr_len = (uint16_t)frame->len;
    iov[0] = (struct iovec){&hdr, AX_NETLINK_HDR_BYTES};
    memcpy(iov + first, frame->iov, frame->count * sizeof(*iov));
    if (writev(q->fd, iov, (int)(frame->count + first)) >= 0 || errno != EAGAIN)
        return 0;
    q->blocked = true;
    queue_set_watch(q);
    return -EAGAIN;
}

/* ---- start ---- */

static int queue_attach(struct queue *q, bool on)
{
    struct ifreq req = {.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

    if (q->attached == on)
        return 0;
    if (q->tap->count > 1 && ioctl(q->fd, TUNSETQUEUE, &req))
        return -errno;
    q->attached = on;
    return 0;
}

static unsigned tap_offloads(unsigned gives)
{
    return (gives & AX_NETLINK_CSUM ? TUN_F_CSUM : 0U) |
           (gives & AX_NETLINK_TSO4 ? TUN_F_TSO4 : 0U) |
           (gives & AX_NETLINK_TSO6 ? TUN_F_TSO6 : 0U) |
           (gives & AX_NETLINK_ECN ? TUN_F_TSO_ECN : 0U);
}

/* The first queue stays, without it there would be no interface. Watches follow
 * with the next resume, or when they are found to be of no use. */
static int tap_start(struct ax_netlink *link)
{
    struct tap *t = to_tap(link);
    int err = 0;

    if (!t->bare &&
        ioctl(t->queues[0].fd, TUNSETOFFLOAD, tap_offloads(link->gives)))
        return -errno;
    for (unsigned i = 0; !err && i < t->count; i++) {
        struct queue *q = &t->queues[i];

        q->stalled = q->blocked = false;
        err = queue_attach(q, !i || i < link->pairs);
    }
    return err;
}

static int tap_tap(const struct ax_netlink *link, unsigned queue)
{
    const struct tap *t =
        ax_container_of((struct ax_netlink *)(uintptr_t)link, struct tap, link);

    return t->bare ? -1 : t->queues[queue].fd;
}

/* ---- life ---- */

static int tap_fail(const struct tap *t, int err, const char *cure)
{
    ax_log(t->link.env.log, AX_LOG_ERROR, "net: tap %s: %s%s%s", t->name,
           strerror(-err), cure ? ": " : "", cure ? cure : "");
    return err;
}

static int tap_fail_open(const struct tap *t, int err)
{
    return tap_fail(t, err,
                    err == -ENOENT || err == -ENODEV
                        ? "/dev/net/tun is not there: as root: modprobe tun"
                    : err == -EACCES
                        ? "/dev/net/tun may not be opened: as root: chmod "
                          "0666 /dev/net/tun, which is its usual mode"
                        : "/dev/net/tun");
}

static int tap_fail_attach(const struct tap *t, int err)
{
    const char *multi = t->count > 1 ? " multi_queue" : "";

    if (err == -EPERM)
        ax_log(t->link.env.log, AX_LOG_ERROR,
               "net: tap %s: it is not yours to use: as root, once: ip tuntap "
               "add dev %s mode tap%s user $USER && ip link set %s up",
               t->name, *t->name ? t->name : "axtap0", multi,
               *t->name ? t->name : "axtap0");
    else if (err == -EINVAL)
        ax_log(t->link.env.log, AX_LOG_ERROR,
               "net: tap %s: it is no tap, or not for %u queues: as root: ip "
               "tuntap add dev %s mode tap%s",
               t->name, t->count, t->name, multi);
    else
        return tap_fail(
            t, err, err == -EBUSY ? "another program has it already" : NULL);
    return err;
}

static int tap_open_queue(struct tap *t, struct queue *q)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    const int size = AX_NETLINK_HDR_BYTES;

    if (t->count > 1)
        req.ifr_flags |= IFF_MULTI_QUEUE;
    memcpy(req.ifr_name, t->name, sizeof(t->name));
    q->fd = open(tun_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (q->fd < 0)
        return tap_fail_open(t, -errno);
    if (ioctl(q->fd, TUNSETIFF, &req))
        return tap_fail_attach(t, -errno);
    memcpy(t->name, req.ifr_name, sizeof(t->name) - 1);
    if (ioctl(q->fd, TUNSETVNETHDRSZ, &size))
        return tap_fail(t, -errno, NULL);
    return 0;
}

/* What was inherited is not close-on-exec, all else that is open here is. */
static bool is_inherited(unsigned number)
{
    const int flags = number > INT_MAX ? -1 : fcntl((int)number, F_GETFD);

    return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* It stays with whoever gave it to us, for the next start. */
static int tap_open_inherited(struct tap *t, struct queue *q, unsigned number)
{
    struct ifreq req = {0};
    const int size = AX_NETLINK_HDR_BYTES;
    int flags;

    snprintf(t->name, sizeof(t->name), "fd %u", number);
    if (!is_inherited(number))
        return tap_fail(t, -EBADF, "no such descriptor was inherited");
    q->fd = fcntl((int)number, F_DUPFD_CLOEXEC, 0);
    flags = q->fd < 0 ? -1 : fcntl(q->fd, F_GETFL);
    if (flags < 0 || fcntl(q->fd, F_SETFL, flags | O_NONBLOCK))
        return tap_fail(t, -errno, NULL);
    if (ioctl(q->fd, TUNGETIFF, &req) || !(req.ifr_flags & IFF_TAP) ||
        !(req.ifr_flags & IFF_NO_PI))
        return tap_fail(t, -EINVAL, "it is no tap with IFF_NO_PI");
    t->bare = !(req.ifr_flags & IFF_VNET_HDR);
    if (!t->bare && ioctl(q->fd, TUNSETVNETHDRSZ, &size))
        return tap_fail(t, -errno, NULL);
    return 0;
}

/* Nothing is wrong with that, but nothing would work either. */
static void tap_look_whether_up(const struct tap *t)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq req = {0};

    if (fd < 0)
        return;
    memcpy(req.ifr_name, t->name, sizeof(t->name));
    if (!ioctl(fd, SIOCGIFFLAGS, &req) && !(req.ifr_flags & IFF_UP))
        ax_log(t->link.env.log, AX_LOG_WARN,
               "net: tap %s is down: as root: ip link set %s up", t->name,
               t->name);
    close(fd);
}

static int queue_init(struct queue *q)
{
    q->attached = true;
    q->buf = malloc(AX_NETLINK_HDR_BYTES + AX_NETLINK_FRAME_MAX);
    if (!q->buf)
        return -ENOMEM;
    return ax_watch_create(q->tap->link.env.loop, q->fd, 0, tap_ready, q,
                           &q->watch);
}

static int tap_open_all(struct tap *t)
{
    const unsigned number = t->link.env.conf->fd;
    int err = 0;

    for (unsigned i = 0; !err && i < t->count; i++) {
        struct queue *q = &t->queues[i];

        err = number ? tap_open_inherited(t, q, number) : tap_open_queue(t, q);
        if (!err)
            err = queue_init(q);
    }
    return err;
}

static int tap_open(struct ax_netlink *link)
{
    const struct ax_net_conf *conf = link->env.conf;
    const unsigned all =
        AX_NETLINK_CSUM | AX_NETLINK_TSO4 | AX_NETLINK_TSO6 | AX_NETLINK_ECN;
    struct tap *t = to_tap(link);
    int err;

    for (unsigned i = 0; i < AX_NETLINK_QUEUES; i++)
        t->queues[i] = (struct queue){.tap = t, .fd = -1};
    t->count = conf->fd || !conf->queues          ? 1
               : conf->queues < AX_NETLINK_QUEUES ? conf->queues
                                                  : AX_NETLINK_QUEUES;
    if (conf->ifname && strlen(conf->ifname) >= sizeof(t->name)) {
        ax_log(link->env.log, AX_LOG_ERROR,
               "net: tap %s: the name is longer than %zu characters",
               conf->ifname, sizeof(t->name) - 1);
        return -EINVAL;
    }
    if (conf->ifname)
        memcpy(t->name, conf->ifname, strlen(conf->ifname));
    err = tap_open_all(t);
    if (err)
        return err;
    link->caps = (struct ax_netlink_caps){
        .mode = "tap",
        .queues = t->count,
        .takes = t->bare ? 0 : all,
        .gives = t->bare ? 0 : all,
    };
    link->up = true;
    if (!conf->fd)
        tap_look_whether_up(t);
    return tap_start(link);
}

static void tap_close(struct ax_netlink *link)
{
    struct tap *t = to_tap(link);

    for (unsigned i = 0; i < AX_NETLINK_QUEUES; i++) {
        struct queue *q = &t->queues[i];

        ax_watch_destroy(q->watch);
        if (q->fd >= 0)
            close(q->fd);
        free(q->buf);
    }
}

const struct ax_netlink_ops ax_netlink_tap_ops = {
    .state = sizeof(struct tap),
    .open = tap_open,
    .close = tap_close,
    .start = tap_start,
    .send = tap_send,
    .resume = tap_resume,
    .tap = tap_tap,
};
