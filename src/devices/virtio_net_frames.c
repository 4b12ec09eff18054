/*
 * virtio_net_frames.c - frames between the queues of the network card and its
 * link (VIRTIO 1.2, 5.1.6.2 to 5.1.6.4).
 *
 * Both ways in batches with one interrupt each, and the driver is asked for
 * notifications only when there is nothing to do: of sending, when its queue is
 * empty; of receiving, when a frame finds no room, which the link then keeps.
 */
#include "devices/virtio_net_parts.h"

#include "devices/loop.h"

#include <endian.h>
#include <string.h>

enum {
    BURST = 128, /* frames, before others have a turn */
};

static struct ax_virtq *receive_queue(struct ax_net *net, unsigned pair)
{
    return &net->v.queues[2 * pair];
}

static struct ax_virtq *transmit_queue(struct ax_net *net, unsigned pair)
{
    return &net->v.queues[2 * pair + 1];
}

/* ---- to the guest ---- */

/* Bytes that are still to be copied, over several pieces. */
struct source {
    const struct iovec *iov;
    size_t off; /* into the first of iov */
    size_t left;
};

static size_t source_copy(struct source *from, void *to, size_t bytes)
{
    size_t done = 0;

    bytes = bytes < from->left ? bytes : from->left;
    while (done < bytes) {
        const size_t here = from->iov->iov_len - from->off;
        const size_t count = bytes - done < here ? bytes - done : here;

        memcpy((char *)to + done, (const char *)from->iov->iov_base + from->off,
               count);
        done += count;
        from->off += count;
        if (from->off == from->iov->iov_len) {
            from->iov++;
            from->off = 0;
        }
    }
    from->left -= done;
    return done;
}

/* As much of the frame as the buffers of one chain take, from byte off on. */
static size_t chain_fill(const struct ax_virtq_chain *chain, size_t off,
                         struct source *from)
{
    const struct iovec *iov = chain->iov + chain->out;
    size_t done = 0;

    for (unsigned i = 0; i < chain->in && from->left; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        done += source_copy(from, (char *)iov[i].iov_base + off,
                            iov[i].iov_len - off);
        off = 0;
    }
    return done;
}

/* How a frame fares. */
enum fate { DONE, NO_ROOM, LOST };

static void receive_undo(struct ax_virtq *q, const struct ax_virtq_used *used,
                         unsigned count)
{
    while (count-- > 0) {
        const struct ax_virtq_chain chain = {
            .id = used[count].id,
            .slots = used[count].slots,
        };

        ax_virtq_unpop(q, &chain);
    }
}

/*
 * The next chain. Where there is none, the driver is asked to notify of the
 * next one at this very place in the ring, and that before the last look: what
 * it adds afterwards it tells, however many wait there already.
 */
static bool receive_pop(struct ax_virtq *q, struct ax_virtq_chain *chain)
{
    if (ax_virtq_pop(q, chain))
        return true;
    if (!q->quiet)
        return false;
    ax_virtq_quiet(q, false);
    return ax_virtq_pop(q, chain);
}

static enum fate receive_bad(struct ax_net *net, const char *why)
{
    ax_virtio_fail(&net->v, why);
    return LOST;
}

/* All that there is did not hold the frame. If it is as much as the queue can
 * have, nothing ever will. */
static enum fate receive_empty(struct ax_net *net, const struct ax_virtq *q,
                               unsigned descriptors)
{
    if (q->broken)
        return receive_bad(net, q->why);
    return descriptors >= q->layout.size ? LOST : NO_ROOM;
}

/* Into as many chains as it takes, if they may be merged. */
static enum fate receive_fill(struct ax_net *net, struct ax_virtq *q,
                              struct source *from, unsigned *count)
{
    struct ax_virtq_chain *chain = &net->in_chain;
    const bool merge = ax_virtio_has(&net->v, VIRTIO_NET_F_MRG_RXBUF);
    unsigned descriptors = 0;

    for (*count = 0; from->left; ++*count) {
        const size_t header = *count ? 0 : AX_NETLINK_HDR_BYTES;
        size_t bytes;

        if (*count && !merge)
            return LOST;
        if (*count == AX_VIRTQ_SIZE)
            return LOST;
        if (!receive_pop(q, chain))
            return receive_empty(net, q, descriptors);
        net->used[*count] =
            (struct ax_virtq_used){.id = chain->id, .slots = chain->slots};
        descriptors += chain->in + chain->out;
        if (chain->in_bytes <= header) {
            ++*count;
            return receive_bad(net, "a buffer has no room to receive");
        }
        bytes = chain_fill(chain, header, from);
        net->used[*count].written = (uint32_t)(header + bytes);
        /* The first one's header waits for the number of buffers. */
        if (!*count)
            net->in_count =
                ax_virtq_slice_in(chain, 0, AX_NETLINK_HDR_BYTES, net->in_iov);
    }
    return DONE;
}

static void receive_header(const struct ax_net *net,
                           const struct ax_netlink_frame *frame,
                           unsigned buffers)
{
    struct virtio_net_hdr_v1 hdr = frame->hdr;
    const struct iovec part = {&hdr, sizeof(hdr)};
    struct source from = {.iov = &part, .left = sizeof(hdr)};

    hdr.num_buffers = htole16((uint16_t)buffers);
    for (unsigned i = 0; i < net->in_count; i++)
        source_copy(&from, net->in_iov[i].iov_base, net->in_iov[i].iov_len);
}

static enum fate receive(struct ax_net *net, unsigned pair,
                         const struct ax_netlink_frame *frame)
{
    struct ax_virtq *q = receive_queue(net, pair);
    struct source from = {.iov = frame->iov, .left = frame->len};
    unsigned count;
    const enum fate fate = receive_fill(net, q, &from, &count);

    if (fate != DONE) {
        receive_undo(q, net->used, count);
        return fate;
    }
    receive_header(net, frame, count);
    ax_virtq_push_all(q, net->used, count);
    net->pair[pair].dirty = true;
    return DONE;
}

bool ax_net_deliver(void *ctx, unsigned queue,
                    const struct ax_netlink_frame *frame)
{
    struct ax_net *net = ctx;
    enum fate fate = LOST;

    if (queue < net->pairs && !net->unplugged && !net->lent &&
        receive_queue(net, queue)->enabled) {
        if (!ax_net_filter_passes(net, frame->iov[0].iov_base))
            return true;
        fate = receive(net, queue, frame);
    }
    if (fate == NO_ROOM) {
        net->pair[queue].starved = true;
        return false;
    }
    if (fate == DONE) {
        net->in.frames++;
        net->in.bytes += frame->len;
    } else {
        net->in.lost++;
    }
    return true;
}

void ax_net_refilled(struct ax_net *net, unsigned pair)
{
    ax_virtq_quiet(receive_queue(net, pair), true);
    if (!net->pair[pair].starved)
        return;
    net->pair[pair].starved = false;
    ax_netlink_resume(net->link, pair);
}

void ax_net_tell(struct ax_net *net)
{
    for (unsigned i = 0; i < net->pairs_most; i++) {
        if (!net->pair[i].dirty)
            continue;
        net->pair[i].dirty = false;
        ax_virtio_done(&net->v, receive_queue(net, i));
    }
}

/* ---- from the guest ---- */

/* False: the chain holds no frame that may be sent. */
static bool transmit_frame(struct ax_net *net,
                           const struct ax_virtq_chain *chain,
                           struct ax_netlink_frame *frame)
{
    if (chain->out_bytes < AX_NETLINK_HDR_BYTES + AX_NETLINK_FRAME_MIN ||
        chain->out_bytes > AX_NETLINK_HDR_BYTES + AX_NETLINK_FRAME_MAX)
        return false;
    frame->len = chain->out_bytes - AX_NETLINK_HDR_BYTES;
    ax_virtq_read(chain, 0, &frame->hdr, sizeof(frame->hdr));
    frame->hdr.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    frame->iov = net->out_iov;
    frame->count = ax_virtq_slice_out(chain, AX_NETLINK_HDR_BYTES, frame->len,
                                      net->out_iov);
    return ax_netlink_check(&frame->hdr, frame->len, net->takes);
}

/* False: the link takes it later. */
static bool transmit_one(struct ax_net *net, unsigned pair,
                         const struct ax_virtq_chain *chain)
{
    struct ax_netlink_frame frame;

    if (net->unplugged || !transmit_frame(net, chain, &frame)) {
        net->out.lost++;
        return true;
    }
    if (ax_netlink_send(net->link, pair, &frame))
        return false;
    net->out.frames++;
    net->out.bytes += frame.len;
    return true;
}

/* What is there, BURST at most. Returns how many more may follow. */
static unsigned transmit_some(struct ax_net *net, unsigned pair,
                              unsigned budget)
{
    struct ax_virtq *q = transmit_queue(net, pair);
    struct ax_virtq_chain *chain = &net->out_chain;

    while (budget && ax_virtq_pop(q, chain)) {
        budget--;
        if (!transmit_one(net, pair, chain)) {
            ax_virtq_unpop(q, chain);
            net->pair[pair].blocked = true;
            break;
        }
        ax_virtq_push(q, chain, 0);
    }
    return budget;
}

void ax_net_transmit(struct ax_net *net, unsigned pair)
{
    struct ax_virtq *q = transmit_queue(net, pair);
    unsigned budget = BURST;

    if (net->pair[pair].blocked || !ax_virtq_pending(q))
        return;
    do {
        ax_virtq_quiet(q, true);
        budget = transmit_some(net, pair, budget);
        if (!budget || net->pair[pair].blocked)
            break;
        ax_virtq_quiet(q, false);
    } while (ax_virtq_pending(q));
    ax_netlink_flush(net->link);
    ax_virtio_done(&net->v, q);
    if (q->broken)
        ax_virtio_fail(&net->v, q->why);
    else if (!budget)
        ax_loop_wake(net->more);
}
