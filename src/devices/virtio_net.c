/*
 * virtio_net.c - network card (VIRTIO 1.2, 5.1): features, configuration, and
 * who moves its frames: virtio_net_frames.c between the queues and a link
 * (netlink.h), or the host's kernel (vhost.h) where that is a tap.
 *
 * What is offered is what the link can do. A driver that takes offloads without
 * what they rest on (5.1.3.1) gets none of them.
 */
#include "devices/virtio_net_parts.h"

#include "devices/loop.h"
#include "devices/registry.h"
#include "devices/vhost.h"
#include "devices/virtio_conf.h"
#include "log.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <string.h>

static const char vhost_path[] = "/dev/vhost-net";

enum { QUEUE_SIZE = 256, MAC_BYTES = 6 };

#define BIT(feature) (1ULL << (feature))

static struct ax_net *to_net(struct ax_device *dev)
{
    return ax_container_of(dev, struct ax_net, v.dev);
}

static struct ax_net *of_virtio(struct ax_virtio *v)
{
    return ax_container_of(v, struct ax_net, v);
}

unsigned ax_net_control_queue(const struct ax_net *net)
{
    return 2 * net->pairs_most;
}

/* ---- configuration space: struct virtio_net_config ---- */

static void set_config16(struct ax_net *net, unsigned off, uint16_t val)
{
    const uint16_t le = htole16(val);
    const char *space = ax_virtio_config(&net->v);

    if (memcmp(space + off, &le, sizeof(le)))
        ax_virtio_reconfigure(&net->v, off, &le, sizeof(le));
}

static bool link_is_up(const struct ax_net *net)
{
    return !net->unplugged && ax_netlink_is_up(net->link);
}

static uint16_t status_get(struct ax_net *net)
{
    uint16_t le;

    memcpy(&le,
           (const char *)ax_virtio_config(&net->v) +
               offsetof(struct virtio_net_config, status),
           sizeof(le));
    return le16toh(le);
}

static void status_set(struct ax_net *net, uint16_t status)
{
    set_config16(net, offsetof(struct virtio_net_config, status), status);
}

/* A cable that is plugged in may lead somewhere else: its new neighbours want
 * to be told who is here. */
static void net_show_link(struct ax_net *net)
{
    const uint16_t before = status_get(net);
    uint16_t now = 0;

    if (link_is_up(net)) {
        now = before | VIRTIO_NET_S_LINK_UP;
        if (net->pairs && !(before & VIRTIO_NET_S_LINK_UP) &&
            ax_virtio_has(&net->v, VIRTIO_NET_F_GUEST_ANNOUNCE))
            now |= VIRTIO_NET_S_ANNOUNCE;
    }
    status_set(net, now);
}

void ax_net_announced(struct ax_net *net)
{
    status_set(net, status_get(net) & (uint16_t)~VIRTIO_NET_S_ANNOUNCE);
}

void ax_net_set_mac(struct ax_net *net, const uint8_t mac[6])
{
    if (!memcmp(net->mac, mac, MAC_BYTES))
        return;
    memcpy(net->mac, mac, MAC_BYTES);
    ax_virtio_reconfigure(&net->v, offsetof(struct virtio_net_config, mac), mac,
                          MAC_BYTES);
}

static void net_fill_config(struct ax_net *net, const struct ax_net_conf *conf)
{
    const struct virtio_net_config config = {
        .status = htole16(link_is_up(net) ? VIRTIO_NET_S_LINK_UP : 0),
        .max_virtqueue_pairs = htole16((uint16_t)net->pairs_most),
        .mtu = htole16((uint16_t)conf->mtu),
    };

    memcpy(ax_virtio_config(&net->v), &config, sizeof(config));
    memcpy(ax_virtio_config(&net->v), net->own_mac, MAC_BYTES);
    memcpy(net->mac, net->own_mac, MAC_BYTES);
}

/* ---- features ---- */

static const struct {
    unsigned able;         /* AX_NETLINK_* */
    unsigned taken, given; /* VIRTIO_NET_F_* */
} offloads[] = {
    {AX_NETLINK_CSUM, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM},
    {AX_NETLINK_TSO4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4},
    {AX_NETLINK_TSO6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6},
    {AX_NETLINK_ECN, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN},
};

static uint64_t net_features(const struct ax_net *net,
                             const struct ax_net_conf *conf)
{
    const struct ax_netlink_caps *caps = ax_netlink_caps(net->link);
    uint64_t features = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) |
                        BIT(VIRTIO_NET_F_MRG_RXBUF) |
                        BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) |
                        BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
                        BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);

    for (size_t i = 0; conf->offload && i < AX_ARRAY_LEN(offloads); i++) {
        if (caps->takes & offloads[i].able)
            features |= BIT(offloads[i].taken);
        if (caps->gives & offloads[i].able)
            features |= BIT(offloads[i].given);
    }
    if (conf->mtu)
        features |= BIT(VIRTIO_NET_F_MTU);
    if (net->pairs_most > 1)
        features |= BIT(VIRTIO_NET_F_MQ);
    return features;
}

static unsigned with_foundation(unsigned set)
{
    if (!(set & AX_NETLINK_CSUM))
        return 0;
    return set & (AX_NETLINK_TSO4 | AX_NETLINK_TSO6)
               ? set
               : set & ~(unsigned)AX_NETLINK_ECN;
}

static void net_take_features(struct ax_net *net)
{
    unsigned takes = 0, gives = 0;

    for (size_t i = 0; i < AX_ARRAY_LEN(offloads); i++) {
        if (ax_virtio_has(&net->v, offloads[i].taken))
            takes |= offloads[i].able;
        if (ax_virtio_has(&net->v, offloads[i].given))
            gives |= offloads[i].able;
    }
    net->takes = with_foundation(takes);
    net->gives = with_foundation(gives);
}

/* ---- vhost ---- */

static void vhost_close(struct ax_net *net)
{
    for (unsigned i = 0; i < AX_NETLINK_QUEUES; i++) {
        ax_vhost_destroy(net->vhost[i]);
        net->vhost[i] = NULL;
    }
}

static int vhost_open(struct ax_net *net)
{
    int err = ax_netlink_tap(net->link, 0) < 0 ? -EOPNOTSUPP : 0;

    for (unsigned i = 0; !err && i < net->pairs_most; i++)
        err = ax_vhost_create(&net->v, vhost_path, &net->vhost[i]);
    if (!err &&
        !(ax_vhost_features(net->vhost[0]) & BIT(VIRTIO_NET_F_MRG_RXBUF)))
        err = -EOPNOTSUPP;
    if (err)
        vhost_close(net);
    return err;
}

/* Where it cannot be had, this process moves the frames. */
static int net_want_vhost(struct ax_net *net, const struct ax_net_conf *conf)
{
    const bool must = conf->vhost == AX_VHOST_ON;
    int err;

    if (conf->mode != AX_NET_TAP || conf->vhost == AX_VHOST_OFF)
        return 0;
    err = vhost_open(net);
    if (!err) {
        net->v.offered &= ~BIT(VIRTIO_F_RING_PACKED);
        return 0;
    }
    ax_log(net->v.dev.env.log, must ? AX_LOG_ERROR : AX_LOG_INFO,
           "net: %s: %s%s", vhost_path, strerror(-err),
           must ? ": as root: modprobe vhost_net, and chmod or a group for it"
                : ", frames are moved without it");
    return must ? err : 0;
}

static void vhost_stop(struct ax_net *net)
{
    for (unsigned i = 0; i < net->pairs_most; i++) {
        if (net->vhost[i])
            ax_vhost_stop(net->vhost[i]);
    }
    net->lent = false;
}

static int vhost_start(struct ax_net *net)
{
    int err = 0;

    for (unsigned i = 0; !err && i < net->pairs; i++) {
        err = ax_vhost_start(net->vhost[i], 2 * i, 2, net->v.accepted);
        if (!err)
            err = ax_vhost_net_attach(net->vhost[i],
                                      ax_netlink_tap(net->link, i));
    }
    net->lent = !err;
    if (err)
        vhost_stop(net);
    return err;
}

/* ---- who moves the frames ---- */

/* As net->pairs and net->unplugged say. Any thread. */
static int net_set_moving(struct ax_net *net)
{
    const bool lend = net->vhost[0] && net->pairs && !net->unplugged;
    int err;

    vhost_stop(net);
    err = ax_netlink_start(net->link, net->pairs, net->gives, lend);
    if (!err && lend && vhost_start(net)) {
        ax_log_guest(net->v.dev.env.log, AX_LOG_INFO,
                     "net: vhost does not take the queues, frames are moved "
                     "without it");
        err = ax_netlink_start(net->link, net->pairs, net->gives, false);
    }
    /* What the link has kept for the guest, and its watches, are the loop's. */
    for (unsigned i = 0; i < net->pairs_most; i++)
        net->pair[i] = (struct ax_net_pair){.starved = true};
    ax_loop_wake(net->more);
    return err;
}

int ax_net_use_pairs(struct ax_net *net, unsigned pairs)
{
    net->pairs = pairs;
    return net_set_moving(net);
}

static int net_start(struct ax_virtio *v)
{
    struct ax_net *net = of_virtio(v);
    int err;

    net_take_features(net);
    ax_net_filter_reset(net);
    err = ax_net_use_pairs(net, 1);
    if (err)
        ax_log(v->dev.env.log, AX_LOG_ERROR, "net: %s: %s",
               ax_netlink_caps(net->link)->mode, strerror(-err));
    return err;
}

static void net_stop(struct ax_virtio *v)
{
    struct ax_net *net = of_virtio(v);

    if (!net->link)
        return;
    net->gives = 0;
    ax_net_use_pairs(net, 0);
    ax_net_announced(net);
    ax_net_set_mac(net, net->own_mac);
}

static void net_kick(struct ax_virtio *v, unsigned queue)
{
    struct ax_net *net = of_virtio(v);

    if (queue == ax_net_control_queue(net))
        ax_net_control(net, &v->queues[queue]);
    else if (queue % 2)
        ax_net_transmit(net, queue / 2);
    else
        ax_net_refilled(net, queue / 2);
    ax_net_tell(net);
}

static const struct ax_virtio_ops net_ops = {
    .id = VIRTIO_ID_NET,
    .config = offsetof(struct virtio_net_config, speed),
    .start = net_start,
    .kick = net_kick,
    .stop = net_stop,
};

/* ---- the loop's side ---- */

static bool is_mine(const struct ax_net *net, unsigned queue)
{
    return net->v.running && net->v.queues[queue].enabled && !net->lent;
}

static void net_go_on(struct ax_device *dev)
{
    struct ax_net *net = to_net(dev);
    const unsigned control = ax_net_control_queue(net);

    for (unsigned i = 0; i < net->pairs_most; i++) {
        if (!net->lent)
            ax_net_refilled(net, i);
        if (is_mine(net, 2 * i + 1))
            ax_net_transmit(net, i);
    }
    if (net->v.running && net->v.queues[control].enabled)
        ax_net_control(net, &net->v.queues[control]);
    ax_net_tell(net);
}

static void net_more(void *ctx)
{
    struct ax_net *net = ctx;

    ax_device_call(&net->v.dev, net_go_on);
}

static void link_entered(struct ax_device *dev)
{
    struct ax_net *net = to_net(dev);

    net->entered(net->link);
    ax_net_tell(net);
}

/* Only the loop's thread comes here, so what it is about is not mixed up. */
static void link_enter(void *ctx, void (*fn)(struct ax_netlink *link),
                       struct ax_netlink *link)
{
    struct ax_net *net = ctx;

    net->entered = fn;
    ax_device_call(&net->v.dev, link_entered);
}

static void link_writable(void *ctx, unsigned queue)
{
    struct ax_net *net = ctx;

    net->pair[queue].blocked = false;
    if (is_mine(net, 2 * queue + 1))
        ax_net_transmit(net, queue);
}

static void link_changed(void *ctx)
{
    net_show_link(ctx);
}

/* ---- life ---- */

static int net_set_address(struct ax_net *net, const struct ax_net_conf *conf)
{
    const struct ax_device_env *env = &net->v.dev.env;

    if (!conf->mac) {
        ax_netlink_mac(env->vm ? env->vm : "", env->index, net->own_mac);
        return 0;
    }
    if (!ax_netlink_parse_mac(conf->mac, net->own_mac))
        return 0;
    ax_log(env->log, AX_LOG_ERROR,
           "net: mac \"%.32s\" is no address of a card, as 52:54:00:12:34:56 "
           "is one",
           conf->mac);
    return -EINVAL;
}

static int net_open_link(struct ax_net *net, const struct ax_net_conf *conf)
{
    struct ax_netlink_env env = {
        .loop = net->v.dev.env.loop,
        .log = net->v.dev.env.log,
        .conf = conf,
        .enter = link_enter,
        .deliver = ax_net_deliver,
        .writable = link_writable,
        .changed = link_changed,
        .ctx = net,
    };

    memcpy(env.mac, net->own_mac, sizeof(env.mac));
    return ax_netlink_create(&env, &net->link);
}

static int net_init(struct ax_device *dev)
{
    static const struct ax_net_conf nothing = {.mode = AX_NET_NONE};
    const struct ax_net_conf *conf = dev->env.conf ? dev->env.conf : &nothing;
    struct ax_net *net = to_net(dev);
    int err;

    net->pairs_most = 1;
    if (conf->mode == AX_NET_TAP && !conf->fd && conf->queues > 1)
        net->pairs_most =
            conf->queues < AX_NETLINK_QUEUES ? conf->queues : AX_NETLINK_QUEUES;
    err = ax_virtio_init(&net->v, &net_ops, 0, 2 * net->pairs_most + 1,
                         QUEUE_SIZE);
    if (!err)
        err = ax_wake_create(dev->env.loop, net_more, net, &net->more);
    if (!err)
        err = net_set_address(net, conf);
    if (!err)
        err = net_open_link(net, conf);
    if (err)
        return err;
    net->v.offered |= net_features(net, conf);
    net_fill_config(net, conf);
    return net_want_vhost(net, conf);
}

static void net_fini(struct ax_device *dev)
{
    struct ax_net *net = to_net(dev);

    vhost_close(net);
    ax_virtio_fini(&net->v);
    ax_netlink_destroy(net->link);
    ax_wake_destroy(net->more);
}

/* ---- from outside ---- */

static void net_plug(struct ax_device *dev, bool in)
{
    struct ax_net *net = to_net(dev);

    if (net->unplugged == !in)
        return;
    net->unplugged = !in;
    net_set_moving(net);
    net_show_link(net);
}

static void net_card(struct ax_device *dev, struct ax_card *out)
{
    const struct ax_net *net = to_net(dev);

    *out = (struct ax_card){
        .mode = ax_netlink_caps(net->link)->mode,
        .plugged = !net->unplugged,
        .link = link_is_up(net),
        .vhost = net->vhost[0],
        .rx_frames = net->in.frames,
        .rx_bytes = net->in.bytes,
        .rx_lost = net->in.lost,
        .tx_frames = net->out.frames,
        .tx_bytes = net->out.bytes,
        .tx_lost = net->out.lost,
    };
    memcpy(out->mac, net->mac, sizeof(out->mac));
}

const struct ax_device_ops ax_virtio_net = {
    .type = "virtio_net",
    AX_VIRTIO_DEVICE_OPS,
    .state = sizeof(struct ax_net),
    .threaded = true,
    .paged = true,
    .init = net_init,
    .fini = net_fini,
    .card = net_card,
    .plug = net_plug,
};
