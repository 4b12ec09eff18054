/*
 * virtio_blk.c - a disk (VIRTIO 1.2, 5.2). What is behind it is disk.c's.
 *
 * A queue is emptied in one pass, in which the driver is asked to be quiet, and
 * its driver is interrupted once for what that gave. A request that is there
 * alone is done on the spot; others are in flight together. A pass ends early,
 * and goes on later, where the guest has had its share: of requests in flight,
 * of the thread's time, of what its limits allow.
 */
#include "devices/clock.h"
#include "devices/disk.h"
#include "devices/loop.h"
#include "devices/registry.h"
#include "devices/virtio.h"
#include "devices/virtio_conf.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECTOR = 512,
    QUEUE_SIZE = AX_VIRTQ_SIZE,
    SEGMENTS = QUEUE_SIZE - 2, /* header and status have one each */
    SEGMENT_BYTES = 1 << 20,
    RANGES = 16, /* of a discard or a write of zeroes */
    DISCARD_SECTORS = 1 << 21,
    ZERO_SECTORS = 1 << 15, /* few enough to be written, if need be */
    TELL_BYTES = 1 << 20,   /* the driver hears of what is done by then */
    TURN_BYTES = 16 << 20,  /* ... and others get the thread and the lock */
    REQUEST_BYTES = 4096,   /* a request without data takes as long */
    BURST_NS = 100000000,   /* of what a limit allows */
    UNANSWERED = 0xff,      /* no status yet */
};

struct blk_request {
    struct ax_disk_io io;
    struct blk_request *next; /* free ones */
    uint16_t id, slots;
    unsigned queue;
    uint8_t *status; /* in guest memory */
    size_t written;
    unsigned range, ranges; /* the next one, and all */
    union {
        struct iovec iov[AX_VIRTQ_SIZE];
        struct virtio_blk_discard_write_zeroes range[RANGES];
    } what;
};

/* When the next request may begin: the price of each is time. */
struct blk_limit {
    uint64_t rate, next_ns;
};

struct blk {
    struct ax_virtio v;
    struct ax_disk *disk;
    struct ax_watch *news;   /* of what is in flight */
    struct ax_timer *refill; /* a limit allows more; NULL: there is none */
    struct ax_wake *again;   /* the next turn */
    struct blk_limit requests_limit, bytes_limit;
    struct blk_request *requests, *free;
    unsigned in_flight;
    unsigned stalled; /* queues to look at again, a bit each */
    unsigned pushed;  /* queues whose driver has not been told yet */
    uint64_t told_bytes, turn_bytes;
    bool lasting; /* every write is flushed */
    struct ax_virtq_chain chain;
};

static struct blk *to_blk(struct ax_virtio *v)
{
    return ax_container_of(v, struct blk, v);
}

static const struct ax_disk_conf *blk_conf(const struct blk *b)
{
    return b->v.dev.env.conf;
}

/* ---- limits ---- */

static void limit_charge(struct blk_limit *limit, uint64_t now, uint64_t count)
{
    const uint64_t since = now > BURST_NS ? now - BURST_NS : 0;

    if (!limit->rate)
        return;
    if (limit->next_ns < since)
        limit->next_ns = since;
    limit->next_ns += count * UINT64_C(1000000000) / limit->rate;
}

static void blk_charge(struct blk *b, uint64_t bytes)
{
    uint64_t now;

    b->told_bytes += bytes;
    b->turn_bytes += bytes + REQUEST_BYTES;
    if (!b->refill)
        return;
    now = ax_clock_now_ns();
    limit_charge(&b->requests_limit, now, 1);
    limit_charge(&b->bytes_limit, now, bytes);
}

/* How long the limits want nothing to begin. */
static uint64_t blk_wait_ns(const struct blk *b)
{
    const uint64_t now = ax_clock_now_ns();
    uint64_t next = b->requests_limit.next_ns;

    if (next < b->bytes_limit.next_ns)
        next = b->bytes_limit.next_ns;
    return next > now ? next - now : 0;
}

/* ---- answers ---- */

static void blk_answer(struct blk *b, struct blk_request *r, uint8_t status)
{
    if (r->status)
        *r->status = status;
    ax_virtq_push_id(&b->v.queues[r->queue], r->id, r->slots, r->written);
    b->pushed |= 1U << r->queue;
    r->next = b->free;
    b->free = r;
}

static void blk_tell(struct blk *b)
{
    unsigned queues = b->pushed;

    b->pushed = 0;
    b->told_bytes = 0;
    for (unsigned i = 0; queues; i++, queues >>= 1) {
        if (queues & 1)
            ax_virtio_done(&b->v, &b->v.queues[i]);
    }
}

/* ---- one request ---- */

static void blk_next_range(const struct blk *b, struct blk_request *r)
{
    const struct virtio_blk_discard_write_zeroes *range =
        &r->what.range[r->range++];

    r->io.off = le64toh(range->sector) * SECTOR;
    r->io.bytes = (uint64_t)le32toh(range->num_sectors) * SECTOR;
    r->io.unmap = le32toh(range->flags) & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    r->io.lasting = b->lasting;
}

static uint8_t blk_status(const struct blk_request *r)
{
    return r->io.result ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* Begins it, and what follows as long as that is done at once. */
static void blk_begin(struct blk *b, struct blk_request *r, bool alone)
{
    do {
        if (r->range < r->ranges)
            blk_next_range(b, r);
        if (!ax_disk_start(b->disk, &r->io, alone)) {
            b->in_flight++;
            return;
        }
    } while (!r->io.result && r->range < r->ranges);
    blk_answer(b, r, blk_status(r));
}

static void blk_ended(struct blk *b, struct ax_disk_io *io)
{
    struct blk_request *r = ax_container_of(io, struct blk_request, io);

    b->in_flight--;
    if (!io->result && r->range < r->ranges)
        blk_begin(b, r, false);
    else
        blk_answer(b, r, blk_status(r));
}

/* ---- what a request is ---- */

static bool blk_has(const struct blk *b, uint64_t sector, uint64_t bytes)
{
    const uint64_t size = ax_disk_traits(b->disk).size;

    return sector <= size / SECTOR && bytes <= size - sector * SECTOR;
}

/* In, out: the data's bytes are known to lie within the chain. */
static uint8_t blk_take_rw(struct blk *b, struct blk_request *r, bool write,
                           uint64_t sector)
{
    struct ax_disk_io *io = &r->io;
    const size_t bytes =
        write ? b->chain.out_bytes - sizeof(struct virtio_blk_outhdr)
              : b->chain.in_bytes - 1;

    if (bytes % SECTOR || bytes > (uint64_t)SEGMENTS * SEGMENT_BYTES ||
        !blk_has(b, sector, bytes) ||
        (write && ax_disk_traits(b->disk).readonly))
        return VIRTIO_BLK_S_IOERR;
    if (!bytes)
        return VIRTIO_BLK_S_OK;
    io->op = write ? AX_DISK_WRITE : AX_DISK_READ;
    io->lasting = b->lasting;
    io->off = sector * SECTOR;
    io->bytes = bytes;
    io->iov = r->what.iov;
    io->count =
        write ? ax_virtq_slice_out(&b->chain, sizeof(struct virtio_blk_outhdr),
                                   bytes, io->iov)
              : ax_virtq_slice_in(&b->chain, 0, bytes, io->iov);
    return UNANSWERED;
}

/* Not what it is called by: at most 20 bytes, without an end if it is as long.
 */
static uint8_t blk_take_id(const struct blk *b)
{
    char id[VIRTIO_BLK_ID_BYTES] = {0};
    const char *serial = blk_conf(b)->serial;
    size_t room = b->chain.in_bytes - 1;

    if (serial)
        memcpy(id, serial, strnlen(serial, sizeof(id)));
    ax_virtq_write(&b->chain, 0, id, room < sizeof(id) ? room : sizeof(id));
    return VIRTIO_BLK_S_OK;
}

static uint8_t
blk_check_range(const struct blk *b, bool zero,
                const struct virtio_blk_discard_write_zeroes *range)
{
    const uint32_t flags = le32toh(range->flags);
    const uint32_t sectors = le32toh(range->num_sectors);

    if (flags & ~(zero ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0U))
        return VIRTIO_BLK_S_UNSUPP;
    if (sectors > (zero ? ZERO_SECTORS : DISCARD_SECTORS) ||
        !blk_has(b, le64toh(range->sector), (uint64_t)sectors * SECTOR))
        return VIRTIO_BLK_S_IOERR;
    return UNANSWERED;
}

static uint8_t blk_take_ranges(struct blk *b, struct blk_request *r, bool zero)
{
    const size_t off = sizeof(struct virtio_blk_outhdr);
    const size_t bytes = b->chain.out_bytes - off;
    uint8_t status = UNANSWERED;

    if (!bytes || bytes % sizeof(r->what.range[0]) ||
        bytes > sizeof(r->what.range) || ax_disk_traits(b->disk).readonly)
        return VIRTIO_BLK_S_IOERR;
    ax_virtq_read(&b->chain, off, r->what.range, bytes);
    r->ranges = (unsigned)(bytes / sizeof(r->what.range[0]));
    for (unsigned i = 0; i < r->ranges && status == UNANSWERED; i++)
        status = blk_check_range(b, zero, &r->what.range[i]);
    for (unsigned i = 0; i < r->ranges && zero; i++)
        r->io.bytes += (uint64_t)le32toh(r->what.range[i].num_sectors) * SECTOR;
    r->io.op = zero ? AX_DISK_ZERO : AX_DISK_DISCARD;
    return status;
}

static uint8_t blk_take(struct blk *b, struct blk_request *r)
{
    struct virtio_blk_outhdr header;

    if (ax_virtq_read(&b->chain, 0, &header, sizeof(header)) < sizeof(header))
        return VIRTIO_BLK_S_IOERR;
    switch (le32toh(header.type)) {
    case VIRTIO_BLK_T_IN:
        return blk_take_rw(b, r, false, le64toh(header.sector));
    case VIRTIO_BLK_T_OUT:
        return blk_take_rw(b, r, true, le64toh(header.sector));
    case VIRTIO_BLK_T_FLUSH:
        r->io.op = AX_DISK_FLUSH;
        return UNANSWERED;
    case VIRTIO_BLK_T_GET_ID:
        return blk_take_id(b);
    case VIRTIO_BLK_T_DISCARD:
        return blk_take_ranges(b, r, false);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return blk_take_ranges(b, r, true);
    default:
        return VIRTIO_BLK_S_UNSUPP;
    }
}

static struct blk_request *blk_request(struct blk *b, unsigned queue)
{
    const struct ax_virtq_chain *chain = &b->chain;
    struct blk_request *r = b->free;

    b->free = r->next;
    r->id = chain->id;
    r->slots = chain->slots;
    r->queue = queue;
    r->range = r->ranges = 0;
    r->written = chain->in_bytes;
    r->status = NULL;
    r->io.bytes = r->io.off = 0;
    r->io.unmap = r->io.lasting = false;
    if (chain->in) { /* no buffer is empty */
        const struct iovec *last = &chain->iov[chain->out + chain->in - 1];

        r->status = (uint8_t *)last->iov_base + last->iov_len - 1;
    }
    return r;
}

static void blk_pop(struct blk *b, struct ax_virtq *q, unsigned queue)
{
    struct blk_request *r = blk_request(b, queue);
    uint8_t status = VIRTIO_BLK_S_IOERR;

    if (r->status)
        status = blk_take(b, r);
    blk_charge(b, r->io.bytes);
    if (status == UNANSWERED)
        blk_begin(b, r, !b->in_flight && !ax_virtq_pending(q));
    else
        blk_answer(b, r, status);
}

/* ---- passes ---- */

/* May another request begin? If not, something will look at the queue again:
 * what is in flight when it ends, the next turn, or the timer. */
static bool blk_may_pop(struct blk *b, unsigned queue)
{
    const uint64_t wait_ns = b->refill ? blk_wait_ns(b) : 0;
    const bool turn_over = b->turn_bytes >= TURN_BYTES;

    b->stalled &= ~(1U << queue);
    if (b->free && !turn_over && !wait_ns)
        return true;
    b->stalled |= 1U << queue;
    if (turn_over)
        ax_loop_wake(b->again);
    if (wait_ns)
        ax_timer_arm(b->refill, wait_ns, 0);
    return false;
}

/* What has been begun is on its way when this returns. */
static void blk_reap(struct blk *b)
{
    struct ax_disk_io *io;

    if (!b->in_flight)
        return;
    ax_disk_submit(b->disk);
    while ((io = ax_disk_reap(b->disk)))
        blk_ended(b, io);
    ax_disk_submit(b->disk); /* further ranges */
}

/* Empties a queue as far as it may. The driver stays quiet about one that is
 * looked at again anyway. */
static void blk_empty(struct blk *b, unsigned queue)
{
    struct ax_virtq *q = &b->v.queues[queue];
    bool more;

    ax_virtq_quiet(q, true);
    do {
        while (blk_may_pop(b, queue) && ax_virtq_pop(q, &b->chain)) {
            blk_pop(b, q, queue);
            if (b->told_bytes >= TELL_BYTES)
                blk_tell(b);
        }
        blk_reap(b);
        blk_tell(b);
        more = blk_may_pop(b, queue);
        if (more)
            ax_virtq_quiet(q, false);
    } while (more && ax_virtq_pending(q));
}

static void blk_kick(struct ax_virtio *v, unsigned queue)
{
    struct blk *b = to_blk(v);

    /* A turn that has ended is not begun anew by ringing. */
    if (b->turn_bytes < TURN_BYTES)
        b->turn_bytes = 0;
    blk_empty(b, queue);
}

static void blk_go_on(struct ax_device *dev)
{
    struct blk *b = to_blk(ax_container_of(dev, struct ax_virtio, dev));
    unsigned queues;

    if (!b->v.running)
        return;
    blk_reap(b);
    queues = b->stalled;
    for (unsigned i = 0; i < b->v.queue_count; i++) {
        if (!(queues >> i & 1) || b->v.failed)
            continue;
        blk_empty(b, i);
        if (b->v.queues[i].broken)
            ax_virtio_fail(&b->v, b->v.queues[i].why);
    }
    blk_tell(b);
}

static void blk_news(void *ctx, unsigned events)
{
    ax_device_call(ctx, blk_go_on);
}

static void blk_refilled(void *ctx, uint64_t count)
{
    ax_device_call(ctx, blk_go_on);
}

static void blk_next_turn(struct ax_device *dev)
{
    to_blk(ax_container_of(dev, struct ax_virtio, dev))->turn_bytes = 0;
    blk_go_on(dev);
}

static void blk_again(void *ctx)
{
    ax_device_call(ctx, blk_next_turn);
}

/* ---- size ---- */

/* All that has been begun is within the old size. */
static int blk_resize(struct ax_device *dev, bool shrink, uint64_t *size)
{
    struct blk *b = to_blk(ax_container_of(dev, struct ax_virtio, dev));
    const uint64_t before = ax_disk_traits(b->disk).size;
    struct ax_disk_io *io;
    uint64_t capacity;
    int err;

    if (*size && *size < before && !shrink)
        return -ERANGE;
    while ((io = ax_disk_await(b->disk)))
        blk_ended(b, io);
    blk_tell(b);
    ax_loop_wake(b->again); /* there may be queues that wait for these */
    err = ax_disk_resize(b->disk, size);
    capacity = htole64(*size / SECTOR);
    if (!err && *size != before)
        ax_virtio_reconfigure(&b->v,
                              offsetof(struct virtio_blk_config, capacity),
                              &capacity, sizeof(capacity));
    return err;
}

/* ---- the driver's side ---- */

static struct virtio_blk_config *blk_config(struct blk *b)
{
    return ax_virtio_config(&b->v);
}

/* 5.2.5, 5.2.6.2: who does not know of caches is not lied to. */
static void blk_choose_cache(struct blk *b)
{
    const bool cache = ax_virtio_has(&b->v, VIRTIO_BLK_F_CONFIG_WCE)
                           ? blk_config(b)->wce
                           : ax_virtio_has(&b->v, VIRTIO_BLK_F_FLUSH);

    b->lasting = ax_disk_traits(b->disk).lasting || !cache;
}

static void blk_configure(struct ax_virtio *v, unsigned off, unsigned width,
                          uint64_t val)
{
    struct blk *b = to_blk(v);

    if (off != offsetof(struct virtio_blk_config, wce) || width != 1 ||
        !ax_virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE))
        return;
    blk_config(b)->wce = val & 1;
    if (v->running)
        blk_choose_cache(b);
}

static int blk_start(struct ax_virtio *v)
{
    blk_choose_cache(to_blk(v));
    return 0;
}

static void blk_free_all(struct blk *b)
{
    b->free = NULL;
    for (unsigned i = AX_DISK_DEPTH; i-- > 0;) {
        b->requests[i].next = b->free;
        b->free = &b->requests[i];
    }
}

/* What is in flight may still write to the guest's memory: it has to end. */
static void blk_stop(struct ax_virtio *v)
{
    struct blk *b = to_blk(v);

    if (!b->requests)
        return;
    while (ax_disk_await(b->disk))
        ;
    if (b->refill)
        ax_timer_arm(b->refill, 0, 0);
    b->in_flight = b->stalled = b->pushed = 0;
    b->told_bytes = b->turn_bytes = 0;
    blk_free_all(b);
    blk_config(b)->wce = 1;
}

static const struct ax_virtio_ops blk_ops = {
    .id = VIRTIO_ID_BLOCK,
    .config = offsetof(struct virtio_blk_config, max_secure_erase_sectors),
    .configure = blk_configure,
    .start = blk_start,
    .kick = blk_kick,
    .stop = blk_stop,
};

/* ---- life ---- */

static uint64_t bit(unsigned feature)
{
    return UINT64_C(1) << feature;
}

static uint64_t blk_features(const struct blk *b)
{
    const struct ax_disk_traits traits = ax_disk_traits(b->disk);
    uint64_t features = bit(VIRTIO_BLK_F_SIZE_MAX) | bit(VIRTIO_BLK_F_SEG_MAX) |
                        bit(VIRTIO_BLK_F_BLK_SIZE) | bit(VIRTIO_BLK_F_TOPOLOGY);

    if (blk_conf(b)->queues > 1)
        features |= bit(VIRTIO_BLK_F_MQ);
    if (traits.readonly)
        return features | bit(VIRTIO_BLK_F_RO);
    if (!traits.lasting)
        features |= bit(VIRTIO_BLK_F_FLUSH) | bit(VIRTIO_BLK_F_CONFIG_WCE);
    return features | bit(VIRTIO_BLK_F_DISCARD) |
           bit(VIRTIO_BLK_F_WRITE_ZEROES);
}

static void blk_fill_config(struct blk *b)
{
    const struct ax_disk_traits traits = ax_disk_traits(b->disk);
    const unsigned block =
        blk_conf(b)->block_size ? blk_conf(b)->block_size : SECTOR;
    struct virtio_blk_config *c = blk_config(b);

    c->capacity = htole64(traits.size / SECTOR);
    c->size_max = htole32(SEGMENT_BYTES);
    c->seg_max = htole32(SEGMENTS);
    c->blk_size = htole32(block);
    while (block << c->physical_block_exp < traits.physical_block)
        c->physical_block_exp++;
    c->min_io_size = htole16((uint16_t)(1U << c->physical_block_exp));
    c->wce = 1;
    c->num_queues = htole16((uint16_t)b->v.queue_count);
    c->max_discard_sectors = htole32(DISCARD_SECTORS);
    c->max_discard_seg = htole32(RANGES);
    c->discard_sector_alignment = htole32(traits.physical_block / SECTOR);
    c->max_write_zeroes_sectors = htole32(ZERO_SECTORS);
    c->max_write_zeroes_seg = htole32(RANGES);
    c->write_zeroes_may_unmap = 1;
}

static int blk_init_sources(struct blk *b)
{
    struct ax_loop *loop = b->v.dev.env.loop;
    const int fd = ax_disk_fd(b->disk);
    int err = ax_wake_create(loop, blk_again, &b->v.dev, &b->again);

    b->requests_limit.rate = blk_conf(b)->iops_max;
    b->bytes_limit.rate = blk_conf(b)->bytes_max;
    if (!err && (b->requests_limit.rate || b->bytes_limit.rate))
        err = ax_timer_create(loop, blk_refilled, &b->v.dev, &b->refill);
    if (!err && fd >= 0)
        err = ax_watch_create(loop, fd, AX_LOOP_READ, blk_news, &b->v.dev,
                              &b->news);
    return err;
}

static int blk_init(struct ax_device *dev)
{
    struct blk *b = to_blk(ax_container_of(dev, struct ax_virtio, dev));
    const struct ax_disk_conf *conf = dev->env.conf;
    int err = conf ? ax_disk_open(conf, dev->env.log, &b->disk) : -EINVAL;

    if (!err)
        err = ax_virtio_init(&b->v, &blk_ops, blk_features(b),
                             conf->queues ? conf->queues : 1, QUEUE_SIZE);
    if (!err)
        err = blk_init_sources(b);
    if (err)
        return err;
    b->requests = calloc(AX_DISK_DEPTH, sizeof(*b->requests));
    if (!b->requests)
        return -ENOMEM;
    blk_free_all(b);
    blk_fill_config(b);
    return 0;
}

static void blk_fini(struct ax_device *dev)
{
    struct blk *b = to_blk(ax_container_of(dev, struct ax_virtio, dev));

    if (b->v.ops) /* else init has not come so far */
        ax_virtio_fini(&b->v);
    ax_watch_destroy(b->news);
    ax_timer_destroy(b->refill);
    ax_wake_destroy(b->again);
    ax_disk_close(b->disk);
    free(b->requests);
}

const struct ax_device_ops ax_virtio_blk = {
    .type = "virtio_blk",
    .state = sizeof(struct blk),
    .threaded = true,
    .paged = true,
    .init = blk_init,
    .fini = blk_fini,
    .resize = blk_resize,
    AX_VIRTIO_DEVICE_OPS,
};
