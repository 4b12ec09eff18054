/*
 * netlink_user.c - user mode: libslirp, a network stack in this process, that
 * makes of a guest's connections such of ours. Needs no rights. The guest is in
 * 10.0.2.0/24 and fec0::/64, with the host at 2 and a name server at 3.
 *
 * The library is opened when a card wants it, so that others need not have it.
 * It takes segments of any size whose checksums are right, so that a guest may
 * leave segmentation undone. The other way, it sends segments as large as the
 * guest's MSS: that option is raised in the guest's SYN where the guest takes
 * such segments from its card.
 */
#include "devices/netlink_user_parts.h"

#include <errno.h>

#ifdef AX_USER_SLIRP
#include "devices/clock.h"
#include "devices/loop.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MTU_DEFAULT = 1500,
    MTU_MOST = 65521, /* of libslirp */
    IP4_TCP_BYTES = 40,
    IP6_TCP_BYTES = 60,
    SYN_BYTES = 256,             /* more than any SYN has */
    BACKLOG_BYTES = 1024 * 1024, /* that the guest has no room for */
};

/* A frame that waits until the guest has room. */
struct ax_user_backlog {
    struct ax_user_backlog *next;
    size_t len;
    uint8_t bytes[];
};

/* ---- to the guest ---- */

static bool user_deliver(struct ax_user *u, const struct virtio_net_hdr_v1 *hdr,
                         const struct iovec *iov, unsigned count)
{
    struct ax_netlink_frame frame = {.hdr = *hdr, .iov = iov, .count = count};

    for (unsigned i = 0; i < count; i++)
        frame.len += iov[i].iov_len;
    return u->link.env.deliver(u->link.env.ctx, 0, &frame);
}

/* More than one segment of the guest's: as one that is yet to be cut. */
static bool user_deliver_large(struct ax_user *u, const uint8_t *bytes,
                               size_t len, const struct ax_netlink_tcp *tcp)
{
    const unsigned headers = tcp->v6 ? IP6_TCP_BYTES : IP4_TCP_BYTES;
    struct virtio_net_hdr_v1 hdr = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type =
            tcp->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
        .hdr_len = (uint16_t)tcp->payload,
        .gso_size = (uint16_t)(u->mtu - headers),
        .csum_start = (uint16_t)tcp->tcp,
        .csum_offset = 16,
    };
    uint8_t head[256];
    const struct iovec iov[] = {
        {head, tcp->payload},
        {(void *)(uintptr_t)(bytes + tcp->payload), len - tcp->payload},
    };

    if (!(u->link.gives & (tcp->v6 ? AX_NETLINK_TSO6 : AX_NETLINK_TSO4)))
        return true; /* the guest has changed its mind since its SYN */
    memcpy(head, bytes, tcp->payload);
    ax_netlink_uncomplete(head, len, tcp);
    return user_deliver(u, &hdr, iov, 2);
}

static uint8_t user_flags(const struct ax_user *u)
{
    return u->link.gives & AX_NETLINK_CSUM ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
}

/* Lost where the guest has no room for all parts of it. */
static void user_deliver_parts(struct ax_user *u, const uint8_t *bytes,
                               size_t len)
{
    const struct virtio_net_hdr_v1 hdr = {0};
    uint8_t head[ETH_HLEN + 60];
    struct iovec iov[2] = {{head, 0}};

    for (unsigned n = 0;; n++) {
        iov[0].iov_len =
            ax_netlink_fragment(bytes, len, (unsigned)u->mtu, n, head, &iov[1]);
        if (!iov[0].iov_len || !user_deliver(u, &hdr, iov, 2))
            break;
    }
}

/* False: the guest has no room. */
static bool user_receive(struct ax_user *u, const uint8_t *bytes, size_t len)
{
    const struct iovec iov = {(void *)(uintptr_t)bytes, len};
    const struct virtio_net_hdr_v1 hdr = {.flags = user_flags(u)};
    struct ax_netlink_tcp tcp;

    if (len <= ETH_HLEN + u->mtu)
        return user_deliver(u, &hdr, &iov, 1);
    if (ax_netlink_find_tcp(bytes, len, &tcp))
        return user_deliver_large(u, bytes, len, &tcp);
    user_deliver_parts(u, bytes, len);
    return true;
}

static void user_keep(struct ax_user *u, const void *bytes, size_t len)
{
    struct ax_user_backlog *b;

    if (u->waiting + len > BACKLOG_BYTES || !(b = malloc(sizeof(*b) + len)))
        return; /* lost, as on a wire: TCP sends again */
    b->next = NULL;
    b->len = len;
    memcpy(b->bytes, bytes, len);
    u->waiting += len;
    *u->last = b;
    u->last = &b->next;
}

static void user_drop_first(struct ax_user *u)
{
    struct ax_user_backlog *b = u->first;

    u->first = b->next;
    if (!u->first)
        u->last = &u->first;
    u->waiting -= b->len;
    free(b);
}

ssize_t ax_user_packet(const void *bytes, size_t len, void *opaque)
{
    struct ax_user *u = opaque;

    if (len < AX_NETLINK_FRAME_MIN || len > AX_NETLINK_FRAME_MAX)
        return (ssize_t)len;
    if (u->stalled || !user_receive(u, bytes, len)) {
        u->stalled = true;
        user_keep(u, bytes, len);
    }
    return (ssize_t)len;
}

/* ---- from the guest ---- */

static void gather(const struct ax_netlink_frame *frame, uint8_t *to)
{
    for (unsigned i = 0; i < frame->count; i++) {
        memcpy(to, frame->iov[i].iov_base, frame->iov[i].iov_len);
        to += frame->iov[i].iov_len;
    }
}

static void user_raise_mss(const struct ax_user *u, size_t len)
{
    struct ax_netlink_tcp tcp;

    if (!ax_netlink_find_tcp(u->frame, len, &tcp) ||
        !(u->link.gives & (tcp.v6 ? AX_NETLINK_TSO6 : AX_NETLINK_TSO4)))
        return;
    ax_netlink_raise_mss(u->frame, len, &tcp,
                         MTU_MOST - (tcp.v6 ? IP6_TCP_BYTES : IP4_TCP_BYTES));
}

static int user_send(struct ax_netlink *link, unsigned queue,
                     const struct ax_netlink_frame *frame)
{
    struct ax_user *u = ax_user_of(link);
    struct ax_netlink_tcp tcp;

    gather(frame, u->frame);
    if (frame->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        ax_netlink_finish(&frame->hdr, u->frame, frame->len);
        if (frame->len < SYN_BYTES)
            user_raise_mss(u, frame->len);
    } else if (ax_netlink_find_tcp(u->frame, frame->len, &tcp)) {
        ax_netlink_complete(u->frame, frame->len, &tcp);
    } else {
        return 0; /* it is not what its header says */
    }
    u->lib.input(u->slirp, u->frame, (int)frame->len);
    return 0;
}

static void user_flush(struct ax_netlink *link)
{
    struct ax_user *u = ax_user_of(link);

    u->sent_ns = ax_clock_now_ns();
    ax_user_fill(u);
}

static void user_resume(struct ax_netlink *link, unsigned queue)
{
    struct ax_user *u = ax_user_of(link);

    while (u->first) {
        if (!user_receive(u, u->first->bytes, u->first->len))
            return;
        user_drop_first(u);
    }
    if (u->stalled) {
        u->stalled = false;
        ax_user_fill(u);
    }
}

/* What was for the guest before is lost; if the library waits for it, resume
 * lets it go on. */
static int user_start(struct ax_netlink *link)
{
    struct ax_user *u = ax_user_of(link);

    while (u->first)
        user_drop_first(u);
    return 0;
}

/* ---- life ---- */

static int library_open(struct ax_user_library *lib, struct ax_log *log)
{
    lib->handle =
        dlopen("libslirp.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (lib->handle) {
        *(void **)&lib->create = dlsym(lib->handle, "slirp_new");
        *(void **)&lib->destroy = dlsym(lib->handle, "slirp_cleanup");
        *(void **)&lib->fill = dlsym(lib->handle, "slirp_pollfds_fill");
        *(void **)&lib->poll = dlsym(lib->handle, "slirp_pollfds_poll");
        *(void **)&lib->input = dlsym(lib->handle, "slirp_input");
        *(void **)&lib->forward = dlsym(lib->handle, "slirp_add_hostxfwd");
    }
    if (lib->create && lib->destroy && lib->fill && lib->poll && lib->input &&
        lib->forward)
        return 0;
    ax_log(log, AX_LOG_ERROR,
           "net: user mode needs libslirp, 4.6 or later: as root: apt-get "
           "install libslirp0 (modes tap and passt do without)");
    return -ENOPKG;
}

static int user_forward(struct ax_user *u, const char *spec)
{
    struct ax_netlink_forward f;
    const char *why = ax_netlink_parse_forward(spec, u->link.env.mac, &f);
    const int flags = f.udp ? SLIRP_HOSTFWD_UDP : 0;

    if (why) {
        ax_log(u->link.env.log, AX_LOG_ERROR, "net: hostfwd %s: %s", spec, why);
        return -EINVAL;
    }
    if (!u->lib.forward(u->slirp, (struct sockaddr *)&f.host, f.len,
                        (struct sockaddr *)&f.guest, f.len, flags))
        return 0;
    return ax_netlink_forward_failed(u->link.env.log, spec, &f, -errno);
}

static int user_forward_all(struct ax_user *u)
{
    char **spec = u->link.env.conf->hostfwd;
    int err = 0;

    for (; spec && *spec && !err; spec++)
        err = user_forward(u, *spec);
    return err;
}

static int user_create(struct ax_user *u)
{
    const size_t mtu = u->link.env.conf->offload ? MTU_MOST : u->mtu;
    SlirpConfig conf = {
        .version = 1,
        .in_enabled = true,
        .vnetwork.s_addr = htonl(0x0a000200),
        .vnetmask.s_addr = htonl(0xffffff00),
        .vhost.s_addr = htonl(0x0a000202),
        .vdhcp_start.s_addr = htonl(0x0a00020f),
        .vnameserver.s_addr = htonl(0x0a000203),
        .in6_enabled = true,
        .vprefix_len = 64,
        .if_mtu = mtu,
        .if_mru = mtu,
    };

    ax_netlink_guest_net6(0, &conf.vprefix_addr6);
    ax_netlink_guest_net6(2, &conf.vhost6);
    ax_netlink_guest_net6(3, &conf.vnameserver6);
    u->slirp = u->lib.create(&conf, &ax_user_callbacks, u);
    return u->slirp ? 0 : -ENOMEM;
}

static int user_open(struct ax_netlink *link)
{
    const struct ax_net_conf *conf = link->env.conf;
    const unsigned all = AX_NETLINK_CSUM | AX_NETLINK_TSO4 | AX_NETLINK_TSO6;
    struct ax_user *u = ax_user_of(link);
    int err;

    u->last = &u->first;
    u->mtu = conf->mtu ? conf->mtu : MTU_DEFAULT;
    u->mtu = u->mtu < MTU_MOST ? u->mtu : MTU_MOST;
    u->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (u->epoll < 0)
        return -errno;
    u->frame = malloc(AX_NETLINK_FRAME_MAX);
    if (!u->frame)
        return -ENOMEM;
    link->caps = (struct ax_netlink_caps){
        .mode = "user",
        .queues = 1,
        .takes = all | AX_NETLINK_ECN,
        .gives = all,
    };
    link->up = true;
    err = library_open(&u->lib, link->env.log);
    if (!err)
        err = ax_user_watch(u);
    if (!err)
        err = user_create(u);
    if (!err)
        err = user_forward_all(u);
    if (!err)
        ax_user_fill(u);
    return err;
}

static void user_close(struct ax_netlink *link)
{
    struct ax_user *u = ax_user_of(link);

    if (u->slirp)
        u->lib.destroy(u->slirp);
    while (u->first)
        user_drop_first(u);
    ax_watch_destroy(u->watch);
    ax_timer_destroy(u->timer);
    if (u->lib.handle)
        dlclose(u->lib.handle);
    if (u->epoll >= 0)
        close(u->epoll);
    free(u->sources);
    free(u->frame);
}

const struct ax_netlink_ops ax_netlink_user_ops = {
    .state = sizeof(struct ax_user),
    .open = user_open,
    .close = user_close,
    .start = user_start,
    .send = user_send,
    .flush = user_flush,
    .resume = user_resume,
};

#else

static int user_open(struct ax_netlink *link)
{
    ax_log(link->env.log, AX_LOG_ERROR,
           "net: this program was built without user mode, as every static "
           "one: use another build, or mode tap or passt");
    return -EOPNOTSUPP;
}

static void user_close(struct ax_netlink *link)
{
}

const struct ax_netlink_ops ax_netlink_user_ops = {
    .state = sizeof(struct ax_netlink),
    .open = user_open,
    .close = user_close,
};

#endif
