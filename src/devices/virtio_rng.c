/*
 * virtio_rng.c - entropy for the guest (VIRTIO 1.2, 5.4), from getrandom.
 *
 * A request gets a page at most, whatever its length, and one turn of the loop
 * serves so many: a guest that asks without end waits for its next turn, and
 * the loop for nothing.
 */
#include "devices/loop.h"
#include "devices/registry.h"
#include "devices/virtio.h"

#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/random.h>

enum {
    QUEUE_SIZE = 64,
    REQUEST_BYTES = 4096,
    TURN = 16, /* requests */
    RETRY_NS = 100000000,
};

struct rng {
    struct ax_virtio v;
    struct ax_timer *retry;
    struct ax_virtq_chain chain;
};

/* False: the host itself has no entropy yet. */
static bool rng_fill(const struct ax_virtq_chain *chain, size_t *written)
{
    uint8_t bytes[REQUEST_BYTES];
    const size_t size =
        chain->in_bytes < sizeof(bytes) ? chain->in_bytes : sizeof(bytes);
    const ssize_t n = getrandom(bytes, size, GRND_NONBLOCK);

    if (n < 0)
        return false;
    *written = ax_virtq_write(chain, 0, bytes, (size_t)n);
    explicit_bzero(bytes, sizeof(bytes));
    return true;
}

static void rng_kick(struct ax_virtio *v, unsigned queue)
{
    struct rng *rng = ax_container_of(v, struct rng, v);
    struct ax_virtq *q = &v->queues[queue];
    unsigned served = 0;

    while (served < TURN && ax_virtq_pop(q, &rng->chain)) {
        size_t written = 0;

        if (!rng_fill(&rng->chain, &written)) {
            ax_virtq_unpop(q, &rng->chain);
            ax_timer_arm(rng->retry, RETRY_NS, 0);
            break;
        }
        ax_virtq_push(q, &rng->chain, written);
        served++;
    }
    if (served)
        ax_virtio_done(v, q);
    if (served == TURN)
        ax_virtio_kick_soon(v, 1U << queue);
}

static void rng_retry(void *ctx, uint64_t count)
{
    struct rng *rng = ctx;

    ax_virtio_kick_soon(&rng->v, 1);
}

static const struct ax_virtio_ops rng_ops = {
    .id = VIRTIO_ID_RNG,
    .bell_is_slow = true,
    .kick = rng_kick,
};

static int rng_init(struct ax_device *dev)
{
    struct rng *rng = ax_container_of(dev, struct rng, v.dev);
    int err = ax_virtio_init(&rng->v, &rng_ops, 0, 1, QUEUE_SIZE);

    if (!err)
        err = ax_timer_create(dev->env.loop, rng_retry, rng, &rng->retry);
    return err;
}

static void rng_fini(struct ax_device *dev)
{
    struct rng *rng = ax_container_of(dev, struct rng, v.dev);

    ax_timer_destroy(rng->retry);
    ax_virtio_fini(&rng->v);
}

const struct ax_device_ops ax_virtio_rng = {
    .type = "virtio_rng",
    .state = sizeof(struct rng),
    AX_VIRTIO_DEVICE_OPS,
    .init = rng_init,
    .fini = rng_fini,
};
