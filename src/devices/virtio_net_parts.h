/*
 * virtio_net_parts.h - what the files of the network card share: its life
 * (virtio_net.c), its frames (virtio_net_frames.c), and what its driver asks
 * through the control queue (virtio_net_control.c). Private to them.
 */
#ifndef AX_DEVICES_VIRTIO_NET_PARTS_H
#define AX_DEVICES_VIRTIO_NET_PARTS_H

#include "devices/netlink.h"
#include "devices/virtio.h"

enum { AX_NET_FILTER = 64 /* addresses of either kind */ };

/* Which frames the driver wants: 5.1.6.5.1, 5.1.6.5.2. */
struct ax_net_filter {
    bool promiscuous, all_multicast;
    bool crowded; /* it named more addresses than there is room for */
    unsigned count;
    uint8_t addresses[AX_NET_FILTER][6];
};

struct ax_net_pair {
    bool starved; /* the link waits for buffers */
    bool blocked; /* a frame waits for the link */
    bool dirty;   /* buffers were used since the driver was told */
};

struct ax_net_counts {
    uint64_t frames, bytes, lost;
};

struct ax_vhost;

struct ax_net {
    struct ax_virtio v; /* first */
    struct ax_netlink *link;
    struct ax_wake *more; /* work that goes on after others had a turn */
    unsigned pairs_most;  /* queues that there are */
    unsigned pairs;       /* ... that the driver uses; 0: it does not run */
    unsigned takes, gives;
    bool unplugged; /* from outside */
    uint8_t own_mac[6], mac[6];
    struct ax_net_filter filter;
    struct ax_net_pair pair[AX_NETLINK_QUEUES];
    struct ax_net_counts in, out; /* of the guest */
    struct ax_vhost *vhost[AX_NETLINK_QUEUES];
    bool lent; /* to vhost */

    /* What a callback of the link is about, on the loop. */
    void (*entered)(struct ax_netlink *link);

    /* Too large for a stack, and of use only within one call. Sending may
     * deliver, so each way has its own. */
    struct ax_virtq_chain out_chain, in_chain;
    struct iovec out_iov[AX_VIRTQ_SIZE], in_iov[AX_VIRTQ_SIZE];
    unsigned in_count; /* of in_iov */
    struct ax_virtq_used used[AX_VIRTQ_SIZE];
};

/* ---- virtio_net_frames.c ---- */

/* struct ax_netlink_env's deliver. */
bool ax_net_deliver(void *ctx, unsigned queue,
                    const struct ax_netlink_frame *frame);

/* The driver has made buffers available. */
void ax_net_refilled(struct ax_net *net, unsigned pair);
void ax_net_transmit(struct ax_net *net, unsigned pair);

/* Interrupts for what was received since the last one. */
void ax_net_tell(struct ax_net *net);

/* ---- virtio_net_control.c ---- */

void ax_net_control(struct ax_net *net, struct ax_virtq *q);
void ax_net_filter_reset(struct ax_net *net);
bool ax_net_filter_passes(const struct ax_net *net, const uint8_t *to);

/* ---- virtio_net.c ---- */

unsigned ax_net_control_queue(const struct ax_net *net);

/* The driver uses as many pairs of queues from now on. 0 or -errno. */
int ax_net_use_pairs(struct ax_net *net, unsigned pairs);
void ax_net_set_mac(struct ax_net *net, const uint8_t mac[6]);

/* The driver has announced the guest. */
void ax_net_announced(struct ax_net *net);

#endif
