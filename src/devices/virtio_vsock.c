/*
 * virtio_vsock.c - the socket device (VIRTIO 1.2, 5.10): three queues around
 * the table of vsock.h, or around the kernel's vhost-vsock where no socket path
 * is configured.
 *
 * conf: struct ax_vsock_conf. Streams alone are offered. The event queue is
 * never used: its one event is for guests that have moved to another host.
 */
#include "devices/registry.h"
#include "devices/vhost.h"
#include "devices/virtio.h"
#include "devices/virtio_conf.h"
#include "devices/vsock.h"
#include "log.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_ids.h>
#include <string.h>

enum { RX, TX, EVENT, QUEUES };

enum {
    QUEUE_SIZE = 256,
    BUDGET = 512, /* packets before others may have the lock */
    CID_FIRST = 3,
};

#define VHOST_PATH "/dev/vhost-vsock"
#define CID_LAST   UINT64_C(0xfffffffe) /* then: any */

struct vsock {
    struct ax_virtio virtio;
    struct ax_vsock *table; /* NULL: the kernel's */
    struct ax_vhost *vhost;
    bool stuck; /* the guest has to take answers before it is listened to */
    struct ax_virtq_chain chains[AX_VSOCK_BATCH];
    struct ax_vsock_rx rx;
};

static struct vsock *to_vsock(struct ax_virtio *v)
{
    return ax_container_of(v, struct vsock, virtio);
}

/* ---- to the guest ---- */

static bool rx_add(struct vsock *s, const struct ax_virtq_chain *chain)
{
    struct ax_vsock_rx *rx = &s->rx;
    size_t room;

    if (chain->in_bytes <= AX_VSOCK_HEADER) {
        ax_virtio_fail(&s->virtio, "a receive buffer has no room for a packet");
        return false;
    }
    room = chain->in_bytes - AX_VSOCK_HEADER;
    if (room > AX_VSOCK_CREDIT)
        room = AX_VSOCK_CREDIT;
    rx->room[rx->count++] = room;
    rx->iov_count += ax_virtq_slice_in(chain, AX_VSOCK_HEADER, room,
                                       rx->iov + rx->iov_count);
    return true;
}

/* False: there is no buffer. */
static bool rx_collect(struct vsock *s, unsigned wanted)
{
    struct ax_virtq *q = &s->virtio.queues[RX];
    struct ax_vsock_rx *rx = &s->rx;

    rx->count = rx->iov_count = 0;
    while (rx->count < wanted &&
           rx->iov_count + AX_VIRTQ_SIZE <= AX_ARRAY_LEN(rx->iov) &&
           ax_virtq_pop(q, &s->chains[rx->count])) {
        if (!rx_add(s, &s->chains[rx->count]))
            return false;
    }
    return rx->count;
}

static void rx_give_back(struct vsock *s, unsigned filled)
{
    struct ax_virtq *q = &s->virtio.queues[RX];

    for (unsigned i = 0; i < filled; i++) {
        const struct virtio_vsock_hdr *hdr = &s->rx.hdr[i];

        ax_virtq_write(&s->chains[i], 0, hdr, AX_VSOCK_HEADER);
        ax_virtq_push(q, &s->chains[i],
                      AX_VSOCK_HEADER + (size_t)le32toh(hdr->len));
    }
    for (unsigned i = s->rx.count; i-- > filled;)
        ax_virtq_unpop(q, &s->chains[i]);
}

/* Has the driver added to it since? If not, it tells us when it does. */
static bool queue_goes_on(struct ax_virtq *q)
{
    ax_virtq_quiet(q, false);
    if (!ax_virtq_pending(q))
        return false;
    ax_virtq_quiet(q, true);
    return true;
}

/* False: there is more to send, and there may be buffers for it. */
static bool rx_fill(struct vsock *s)
{
    struct ax_virtq *q = &s->virtio.queues[RX];
    unsigned budget = BUDGET, wanted;

    ax_virtq_quiet(q, true);
    while (budget && (wanted = ax_vsock_wants(s->table))) {
        budget--;
        if (rx_collect(s, wanted))
            rx_give_back(s, ax_vsock_fill(s->table, &s->rx));
        else if (s->virtio.failed || !queue_goes_on(q))
            break;
    }
    ax_virtio_done(&s->virtio, q);
    return budget;
}

/* ---- from the guest ---- */

/* False: not now. */
static bool tx_packet(struct vsock *s, const struct ax_virtq_chain *chain)
{
    struct virtio_vsock_hdr hdr;
    struct iovec iov[AX_VIRTQ_SIZE];
    unsigned count;

    if (ax_virtq_read(chain, 0, &hdr, sizeof(hdr)) < sizeof(hdr))
        return true; /* nobody knows whose it is */
    count = ax_virtq_slice_out(chain, sizeof(hdr), le32toh(hdr.len), iov);
    return ax_vsock_receive(s->table, &hdr, iov, count);
}

/* False: there is more. */
static bool tx_drain(struct vsock *s)
{
    struct ax_virtq *q = &s->virtio.queues[TX];
    struct ax_virtq_chain *chain = &s->chains[0];
    unsigned budget = BUDGET;

    s->stuck = false;
    ax_virtq_quiet(q, true);
    for (; budget && !s->stuck; budget--) {
        if (!ax_virtq_pop(q, chain)) {
            if (!queue_goes_on(q))
                break;
        } else if (tx_packet(s, chain)) {
            ax_virtq_push(q, chain, 0);
        } else {
            ax_virtq_unpop(q, chain);
            s->stuck = true;
        }
    }
    ax_virtio_done(&s->virtio, q);
    return budget;
}

/*
 * What the guest has sent, what it is to get. Where it has buffers for answers,
 * this goes on until nothing is left; where not, they are what wakes us.
 */
static void vsock_kick(struct ax_virtio *v, unsigned queue)
{
    struct vsock *s = to_vsock(v);
    bool more = false;

    if (queue == EVENT)
        return;
    if (queue == TX || s->stuck)
        more = !tx_drain(s);
    if (!rx_fill(s) || (s->stuck && !ax_vsock_wants(s->table)))
        more = true;
    if (more || v->queues[RX].broken) /* who kicks it looks at that */
        ax_virtio_kick_soon(v, 1U << RX | 1U << TX);
}

/* The host's side has news. */
static void vsock_news(struct ax_device *dev)
{
    struct vsock *s = ax_container_of(dev, struct vsock, virtio.dev);

    ax_vsock_work(s->table);
    ax_virtio_kick(&s->virtio, 1U << RX);
}

static void vsock_ready(void *ctx)
{
    ax_device_call(ctx, vsock_news);
}

/* ---- life ---- */

static int vsock_start(struct ax_virtio *v)
{
    struct vsock *s = to_vsock(v);
    int err;

    s->stuck = false;
    if (!s->vhost) {
        ax_vsock_start(s->table);
        return 0;
    }
    err = ax_vhost_start(s->vhost, RX, TX + 1, v->accepted);
    if (!err)
        err = ax_vhost_vsock_run(s->vhost);
    if (err)
        ax_log_guest(v->dev.env.log, AX_LOG_WARN, "vsock: " VHOST_PATH ": %s",
                     strerror(-err));
    return err;
}

static void vsock_stop(struct ax_virtio *v)
{
    struct vsock *s = to_vsock(v);

    if (s->vhost)
        ax_vhost_stop(s->vhost);
    if (s->table)
        ax_vsock_reset(s->table);
}

static const struct ax_virtio_ops vsock_ops = {
    .id = VIRTIO_ID_VSOCK,
    .config = sizeof(struct virtio_vsock_config),
    .start = vsock_start,
    .kick = vsock_kick,
    .stop = vsock_stop,
};

static int vsock_open_table(struct vsock *s, const struct ax_vsock_conf *conf)
{
    struct ax_device *dev = &s->virtio.dev;
    const struct ax_vsock_env env = {
        .loop = dev->env.loop,
        .log = dev->env.log,
        .cid = conf->cid,
        .path = conf->uds,
        .ready = vsock_ready,
        .ctx = dev,
    };

    return ax_vsock_create(&env, &s->table);
}

static int vsock_say(struct vsock *s, int err, const char *cure)
{
    ax_log(s->virtio.dev.env.log, AX_LOG_ERROR, "vsock: " VHOST_PATH ": %s: %s",
           strerror(-err), cure);
    return err;
}

static const char *vhost_cure(int err)
{
    switch (err) {
    case -EACCES:
    case -EPERM:
        return "set vsock.uds to the path of a socket instead, or give this "
               "user the right to open it (group kvm)";
    case -EOPNOTSUPP:
        return "this engine has no eventfds for it: set vsock.uds to the path "
               "of a socket instead";
    default:
        return "set vsock.uds to the path of a socket, which needs no module, "
               "or load this one: modprobe vhost_vsock";
    }
}

static int vsock_open_vhost(struct vsock *s, const struct ax_vsock_conf *conf)
{
    int err = ax_vhost_create(&s->virtio, VHOST_PATH, &s->vhost);

    if (err)
        return vsock_say(s, err, vhost_cure(err));
    s->virtio.offered &=
        ax_vhost_features(s->vhost) & ~(1ULL << VIRTIO_F_RING_PACKED);
    s->virtio.offered |= 1ULL << VIRTIO_F_VERSION_1;
    err = ax_vhost_vsock_set_cid(s->vhost, conf->cid);
    if (err)
        return vsock_say(s, err,
                         "is another guest running with this vsock.cid? "
                         "Choose another, or set vsock.uds");
    return 0;
}

/* Whose forwarding it is: a path, or a word, decides. */
static int vsock_open(struct vsock *s, const struct ax_vsock_conf *conf)
{
    const bool kernel = conf->vhost == AX_VHOST_ON ||
                        (!conf->uds && conf->vhost == AX_VHOST_AUTO);
    const char *problem = NULL;

    if (kernel && conf->uds)
        problem = "vsock.uds has no use with vsock.vhost = \"on\": leave one "
                  "of them out";
    else if (!kernel && !conf->uds)
        problem = "set vsock.uds to the path of a socket, as vsock.vhost is "
                  "\"off\"";
    if (problem) {
        ax_log(s->virtio.dev.env.log, AX_LOG_ERROR, "vsock: %s", problem);
        return -EINVAL;
    }
    return kernel ? vsock_open_vhost(s, conf) : vsock_open_table(s, conf);
}

static int vsock_init(struct ax_device *dev)
{
    struct vsock *s = ax_container_of(dev, struct vsock, virtio.dev);
    const struct ax_vsock_conf *conf = dev->env.conf;
    struct virtio_vsock_config *config;
    int err = ax_virtio_init(&s->virtio, &vsock_ops, 0, QUEUES, QUEUE_SIZE);

    if (err || !conf)
        return err ? err : -EINVAL;
    if (conf->cid < CID_FIRST || conf->cid > CID_LAST) {
        ax_log(dev->env.log, AX_LOG_ERROR,
               "vsock: %" PRIu64 " is no CID of a guest's: choose a vsock.cid "
               "from 3 to 4294967294",
               conf->cid);
        return -EINVAL;
    }
    config = ax_virtio_config(&s->virtio);
    config->guest_cid = htole64(conf->cid);
    return vsock_open(s, conf);
}

static void vsock_fini(struct ax_device *dev)
{
    struct vsock *s = ax_container_of(dev, struct vsock, virtio.dev);

    if (s->table)
        ax_virtio_kick(
            &s->virtio,
            1U << TX); /* a guest that went off at once after its last words */
    ax_vhost_destroy(s->vhost);
    s->vhost = NULL;
    ax_virtio_fini(&s->virtio);
    ax_vsock_destroy(s->table);
}

const struct ax_device_ops ax_virtio_vsock = {
    .type = "virtio_vsock",
    .state = sizeof(struct vsock),
    .threaded = true,
    .paged = true,
    .init = vsock_init,
    .fini = vsock_fini,
    AX_VIRTIO_DEVICE_OPS,
};
