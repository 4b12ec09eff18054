/*
 * virtio_net_control.c - the control queue of the network card and the filter
 * that it sets (VIRTIO 1.2, 5.1.6.5).
 */
#include "devices/virtio_net_parts.h"

#include "devices/loop.h"

#include <endian.h>
#include <string.h>

void ax_net_filter_reset(struct ax_net *net)
{
    memset(&net->filter, 0, sizeof(net->filter));
    net->filter.promiscuous = true;
}

/*
 * A filter that is too small lets everything pass, as does that of a driver
 * which cannot set one.
 */
bool ax_net_filter_passes(const struct ax_net *net, const uint8_t *to)
{
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    const struct ax_net_filter *f = &net->filter;

    if (f->promiscuous || f->crowded || !memcmp(to, net->mac, 6) ||
        ((to[0] & 1) && f->all_multicast) || !memcmp(to, broadcast, 6))
        return true;
    for (unsigned i = 0; i < f->count; i++) {
        if (!memcmp(to, f->addresses[i], 6))
            return true;
    }
    return false;
}

/* ---- commands: false is what the driver is told, too ---- */

static bool take_switch(const struct ax_virtq_chain *chain, size_t off,
                        bool *out)
{
    uint8_t on;

    if (ax_virtq_read(chain, off, &on, 1) != 1)
        return false;
    *out = on;
    return true;
}

static bool do_promiscuous(struct ax_net *net,
                           const struct ax_virtq_chain *chain, size_t off)
{
    return take_switch(chain, off, &net->filter.promiscuous);
}

static bool do_all_multicast(struct ax_net *net,
                             const struct ax_virtq_chain *chain, size_t off)
{
    return take_switch(chain, off, &net->filter.all_multicast);
}

/* One of the two lists of addresses, at *off, which moves behind it. */
static bool filter_add(struct ax_net_filter *f,
                       const struct ax_virtq_chain *chain, size_t *off)
{
    uint32_t count;
    size_t bytes;

    if (ax_virtq_read(chain, *off, &count, sizeof(count)) != sizeof(count))
        return false;
    count = le32toh(count);
    bytes = (size_t)count * 6;
    *off += sizeof(count);
    if (*off > chain->out_bytes || bytes > chain->out_bytes - *off)
        return false;
    if (count > AX_NET_FILTER - f->count) {
        f->crowded = true;
    } else {
        ax_virtq_read(chain, *off, f->addresses[f->count], bytes);
        f->count += count;
    }
    *off += bytes;
    return true;
}

static bool do_table(struct ax_net *net, const struct ax_virtq_chain *chain,
                     size_t off)
{
    struct ax_net_filter f = {
        .promiscuous = net->filter.promiscuous,
        .all_multicast = net->filter.all_multicast,
    };

    /* Two lists, one behind the other: single addresses, groups (5.1.6.5.2). */
    for (unsigned list = 0; list < 2; list++) {
        if (!filter_add(&f, chain, &off))
            return false;
    }
    net->filter = f;
    return true;
}

static bool do_address(struct ax_net *net, const struct ax_virtq_chain *chain,
                       size_t off)
{
    uint8_t mac[6];

    if (ax_virtq_read(chain, off, mac, sizeof(mac)) != sizeof(mac))
        return false;
    ax_net_set_mac(net, mac);
    return true;
}

static bool do_announced(struct ax_net *net, const struct ax_virtq_chain *chain,
                         size_t off)
{
    ax_net_announced(net);
    return true;
}

static bool do_pairs(struct ax_net *net, const struct ax_virtq_chain *chain,
                     size_t off)
{
    uint16_t pairs;

    if (ax_virtq_read(chain, off, &pairs, sizeof(pairs)) != sizeof(pairs))
        return false;
    pairs = le16toh(pairs);
    return pairs && pairs <= net->pairs_most && !ax_net_use_pairs(net, pairs);
}

static const struct {
    uint8_t class, command;
    unsigned feature;
    bool (*run)(struct ax_net *net, const struct ax_virtq_chain *chain,
                size_t off);
} commands[] = {
    {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX,
     do_promiscuous},
    {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_F_CTRL_RX,
     do_all_multicast},
    {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_F_CTRL_RX,
     do_table},
    {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET,
     VIRTIO_NET_F_CTRL_MAC_ADDR, do_address},
    {VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK,
     VIRTIO_NET_F_GUEST_ANNOUNCE, do_announced},
    {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_F_MQ,
     do_pairs},
};

static bool control_run(struct ax_net *net, const struct ax_virtq_chain *chain)
{
    struct virtio_net_ctrl_hdr hdr;

    if (ax_virtq_read(chain, 0, &hdr, sizeof(hdr)) != sizeof(hdr))
        return false;
    for (size_t i = 0; i < AX_ARRAY_LEN(commands); i++) {
        if (commands[i].class == hdr.class && commands[i].command == hdr.cmd)
            return ax_virtio_has(&net->v, commands[i].feature) &&
                   commands[i].run(net, chain, sizeof(hdr));
    }
    return false;
}

/* No more at a time than the queue holds: who asks on has to wait its turn. */
void ax_net_control(struct ax_net *net, struct ax_virtq *q)
{
    struct ax_virtq_chain *chain = &net->out_chain;

    for (unsigned i = 0; i < AX_VIRTQ_SIZE && ax_virtq_pop(q, chain); i++) {
        const uint8_t ack =
            control_run(net, chain) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;

        ax_virtq_push(q, chain, ax_virtq_write(chain, 0, &ack, 1));
    }
    ax_virtio_done(&net->v, q);
    if (ax_virtq_pending(q))
        ax_loop_wake(net->more);
}
