/*
 * virtio_9p.c - the 9P transport (VIRTIO 1.2, section 5, has its number alone;
 * the rest is <linux/virtio_9p.h>): one queue whose requests are a message and
 * room for its answer. What is asked is share.c's. env.conf is a struct
 * ax_share_conf.
 *
 * Requests are answered on the device's own thread, one after the other, in the
 * kick: one may wait for the host's disk, and a vCPU only rings.
 */
#include "devices/loop.h"
#include "devices/registry.h"
#include "devices/share.h"
#include "devices/virtio.h"
#include "devices/virtio_conf.h"
#include "log.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_9p.h>
#include <linux/virtio_ids.h>
#include <string.h>

enum {
    QUEUE = 0,
    QUEUE_SIZE = 128, /* Linux uses so many descriptors for one message */
    TURN = 32,        /* requests before others get the device's lock */
    TAG_MAX = AX_VIRTIO_CONFIG - sizeof(uint16_t),
};

struct p9 {
    struct ax_virtio v;
    struct ax_share *share;
    struct ax_wake *again; /* there is more than one turn of work */
    struct ax_virtq_chain chain;
};

static struct p9 *to_p9(struct ax_device *dev)
{
    return ax_container_of(dev, struct p9, v.dev);
}

static void p9_kick(struct ax_virtio *v, unsigned queue)
{
    struct p9 *p = ax_container_of(v, struct p9, v);
    struct ax_virtq *q = &v->queues[QUEUE];

    for (unsigned i = 0; i < TURN; i++) {
        if (!ax_virtq_pop(q, &p->chain))
            return;
        ax_virtq_push(q, &p->chain, ax_share_serve(p->share, &p->chain));
        ax_virtio_done(v, q);
    }
    ax_loop_wake(p->again);
}

static void p9_go_on(struct ax_device *dev)
{
    struct p9 *p = to_p9(dev);

    if (!p->v.running)
        return;
    p9_kick(&p->v, QUEUE);
    if (p->v.queues[QUEUE].broken)
        ax_virtio_fail(&p->v, p->v.queues[QUEUE].why);
}

static void p9_again(void *ctx)
{
    struct p9 *p = ctx;

    ax_device_call(&p->v.dev, p9_go_on);
}

/* The driver's session ends with it. */
static void p9_stop(struct ax_virtio *v)
{
    struct p9 *p = ax_container_of(v, struct p9, v);

    if (p->share)
        ax_share_reset(p->share);
}

static const struct ax_virtio_ops p9_ops = {
    .id = VIRTIO_ID_9P,
    .config = AX_VIRTIO_CONFIG,
    .kick = p9_kick,
    .stop = p9_stop,
};

static int p9_set_tag(struct p9 *p, const char *tag)
{
    struct virtio_9p_config *config = ax_virtio_config(&p->v);
    const size_t len = tag ? strlen(tag) : 0;

    if (!len || len > TAG_MAX) {
        ax_log(p->v.dev.env.log, AX_LOG_ERROR,
               "virtio_9p: a share needs a tag of 1 to %d bytes, by which the "
               "guest mounts it",
               (int)TAG_MAX);
        return -EINVAL;
    }
    config->tag_len = htole16((uint16_t)len);
    memcpy(config->tag, tag, len);
    return 0;
}

static int p9_init(struct ax_device *dev)
{
    struct p9 *p = to_p9(dev);
    const struct ax_share_conf *conf = dev->env.conf;
    int err = ax_virtio_init(&p->v, &p9_ops, 1ULL << VIRTIO_9P_MOUNT_TAG, 1,
                             QUEUE_SIZE);

    if (!err && !conf)
        err = -EINVAL;
    if (!err)
        err = p9_set_tag(p, conf->tag);
    if (!err)
        err = ax_wake_create(dev->env.loop, p9_again, p, &p->again);
    if (!err)
        err = ax_share_create(conf->path, conf->readonly, NULL, dev->env.log,
                              &p->share);
    return err;
}

static void p9_fini(struct ax_device *dev)
{
    struct p9 *p = to_p9(dev);

    ax_virtio_fini(&p->v);
    ax_wake_destroy(p->again);
    ax_share_destroy(p->share);
}

const struct ax_device_ops ax_virtio_9p = {
    .type = "virtio_9p",
    .state = sizeof(struct p9),
    .threaded = true,
    .paged = true,
    .init = p9_init,
    .fini = p9_fini,
    AX_VIRTIO_DEVICE_OPS,
};
