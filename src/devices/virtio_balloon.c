/*
 * virtio_balloon.c - memory that a guest gives back, and takes again (VIRTIO
 * 1.2, 5.5).
 *
 * Pages that come (inflation, reports of free ones) go back to the host; pages
 * that leave are there when the guest touches them. Page numbers are the
 * guest's word: each is checked by ax_memory_discard_range, and a request of
 * any length is worked off in pieces, some in one turn of the loop.
 *
 * The queue of reports is the fifth by the specification; Linux counts only
 * queues that are in use, and there it comes right after the others. Free page
 * hinting, whose queue lies between them, is not offered, so that both places
 * can be its own.
 */
#include "devices/balloon.h"
#include "devices/registry.h"
#include "devices/virtio.h"
#include "devices/virtio_conf.h"
#include "log.h"
#include "memory/memory.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>

enum {
    INFLATE, /* queues */
    DEFLATE,
    STATISTICS, /* or reports, where the driver counts nothing */
    QUEUES = 5,
    QUEUE_SIZE = 128,
    PAGE = 1U << VIRTIO_BALLOON_PFN_SHIFT,
    TURN = 8, /* pieces in one turn of the loop */
    PIECE_PAGES = 256,
    CONFIG_TARGET = offsetof(struct virtio_balloon_config, num_pages),
    CONFIG_ACTUAL = offsetof(struct virtio_balloon_config, actual),
};

#define PIECE_BYTES AX_MIB(64) /* of a report */

/* A request that is worked off. */
struct work {
    struct ax_virtq_chain chain;
    size_t at; /* bytes of it that are done */
    bool begun;
};

struct balloon {
    struct ax_virtio v;
    struct work works[QUEUES];
    uint64_t ram;
    uint32_t pages;  /* that the guest shall give */
    bool complained; /* that the host takes no page back */

    /* The driver's buffer waits here until somebody asks for statistics. */
    bool held, asked;
    uint16_t held_id, held_slots;
    uint64_t answers;
    uint64_t stats[AX_BALLOON_STATS];
};

/* A run of pages. */
struct range {
    ax_gpa gpa;
    uint64_t size;
};

static struct balloon *to_balloon(struct ax_virtio *v)
{
    return ax_container_of(v, struct balloon, v);
}

/* ---- pages ---- */

static void complain(struct balloon *b, int err)
{
    if (err == -EINVAL) {
        ax_log_guest(b->v.dev.env.log, AX_LOG_WARN,
                     "virtio_balloon: the guest gives a page that is not RAM");
        return;
    }
    if (!b->complained)
        ax_log(b->v.dev.env.log, AX_LOG_WARN,
               "virtio_balloon: the host does not take pages back: %s",
               err == -EOPNOTSUPP ? "memory.hugepages makes them too large"
                                  : strerror(-err));
    b->complained = true;
}

static void discard(struct balloon *b, struct range range)
{
    const struct ax_memory *mem = b->v.dev.env.mem;
    int err = 0;

    if (range.size)
        err = ax_memory_discard_range(mem, range.gpa, range.size);
    /* Some of them may be good. */
    for (; err == -EINVAL && range.size > PAGE; range.size -= PAGE) {
        ax_memory_discard_range(mem, range.gpa, PAGE);
        range.gpa += PAGE;
    }
    if (err)
        complain(b, err);
}

/* Pages mostly come in order, up or down: one call for many. */
static void gather(struct balloon *b, struct range *range, ax_gpa page)
{
    if (range->size && page == range->gpa + range->size) {
        range->size += PAGE;
    } else if (range->size && page + PAGE == range->gpa) {
        range->gpa = page;
        range->size += PAGE;
    } else {
        discard(b, *range);
        *range = (struct range){.gpa = page, .size = PAGE};
    }
}

/* ---- pieces of a request: each returns how many bytes it has dealt with ----
 */

static size_t inflate(struct balloon *b, const struct ax_virtq_chain *chain,
                      size_t at)
{
    uint32_t pfns[PIECE_PAGES];
    const size_t got = ax_virtq_read(chain, at, pfns, sizeof(pfns));
    struct range range = {0};

    for (size_t i = 0; i < got / sizeof(pfns[0]); i++)
        gather(b, &range, (ax_gpa)le32toh(pfns[i]) << VIRTIO_BALLOON_PFN_SHIFT);
    discard(b, range);
    return got;
}

static size_t deflate(struct balloon *b, const struct ax_virtq_chain *chain,
                      size_t at)
{
    return chain->out_bytes - at;
}

/* The whole pages of what the driver has nothing in. */
static size_t report(struct balloon *b, const struct ax_virtq_chain *chain,
                     size_t at)
{
    struct iovec parts[AX_VIRTQ_SIZE];
    const unsigned count = ax_virtq_slice_in(chain, at, PIECE_BYTES, parts);
    size_t bytes = 0;

    for (unsigned i = 0; i < count; i++) {
        ax_gpa gpa, first, end;

        bytes += parts[i].iov_len;
        if (!ax_memory_gpa(b->v.dev.env.mem, parts[i].iov_base, &gpa))
            continue;
        first = ax_align_up(gpa, PAGE);
        end = ax_align_down(gpa + parts[i].iov_len, PAGE);
        if (first < end)
            discard(b, (struct range){.gpa = first, .size = end - first});
    }
    return bytes;
}

static bool work_begin(struct work *work, struct ax_virtq *q)
{
    if (!work->begun) {
        work->begun = ax_virtq_pop(q, &work->chain);
        work->at = 0;
    }
    return work->begun;
}

static void balloon_work(struct balloon *b, unsigned queue,
                         size_t (*piece)(struct balloon *b,
                                         const struct ax_virtq_chain *chain,
                                         size_t at))
{
    struct work *work = &b->works[queue];
    struct ax_virtq *q = &b->v.queues[queue];
    unsigned pieces = 0, done = 0;

    for (; pieces < TURN && work_begin(work, q); pieces++) {
        const size_t all =
            piece == report ? work->chain.in_bytes : work->chain.out_bytes;

        work->at += piece(b, &work->chain, work->at);
        if (work->at < all)
            continue;
        ax_virtq_push(q, &work->chain, 0);
        work->begun = false;
        done++;
    }
    if (done)
        ax_virtio_done(&b->v, q);
    if (pieces == TURN)
        ax_virtio_kick_soon(&b->v, 1U << queue);
}

/* ---- statistics ---- */

static void forget_statistics(struct balloon *b)
{
    for (unsigned i = 0; i < AX_BALLOON_STATS; i++)
        b->stats[i] = AX_BALLOON_UNKNOWN;
}

static void take_statistics(struct balloon *b,
                            const struct ax_virtq_chain *chain)
{
    struct virtio_balloon_stat stats[4 * AX_BALLOON_STATS];
    const size_t got = ax_virtq_read(chain, 0, stats, sizeof(stats));

    forget_statistics(b);
    for (size_t i = 0; i < got / sizeof(stats[0]); i++) {
        const uint16_t tag = le16toh(stats[i].tag);

        if (tag < AX_BALLOON_STATS)
            b->stats[tag] = le64toh(stats[i].val);
    }
}

/* 5.5.6.3: the driver gives its one buffer filled; it has it back when somebody
 * asks, and fills it anew. What comes besides waits in the queue. */
static void hold_statistics(struct balloon *b)
{
    struct ax_virtq_chain *chain = &b->works[STATISTICS].chain;

    if (b->held || !ax_virtq_pop(&b->v.queues[STATISTICS], chain))
        return;
    take_statistics(b, chain);
    b->held = true;
    b->held_id = chain->id;
    b->held_slots = chain->slots;
    if (!b->asked)
        return;
    b->asked = false;
    b->answers++;
    ax_news_tell(&b->v.dev.env.news);
}

static void ask_for_statistics(struct balloon *b)
{
    struct ax_virtq *q = &b->v.queues[STATISTICS];

    if (b->asked || !q->enabled)
        return;
    b->asked = true;
    if (!b->held)
        return; /* what the driver is about to bring is the answer */
    b->held = false;
    ax_virtq_push_id(q, b->held_id, b->held_slots, 0);
    ax_virtio_done(&b->v, q);
    ax_virtio_kick_soon(&b->v, 1U << STATISTICS);
}

/* ---- what the core calls ---- */

static void balloon_kick(struct ax_virtio *v, unsigned queue)
{
    struct balloon *b = to_balloon(v);

    if (queue == INFLATE)
        balloon_work(b, queue, inflate);
    else if (queue == DEFLATE)
        balloon_work(b, queue, deflate);
    else if (queue == STATISTICS && ax_virtio_has(v, VIRTIO_BALLOON_F_STATS_VQ))
        hold_statistics(b);
    else if (ax_virtio_has(v, VIRTIO_BALLOON_F_REPORTING))
        balloon_work(b, queue, report);
}

static void set_actual(struct ax_virtio *v, uint32_t pages)
{
    const uint32_t le = htole32(pages);

    memcpy((char *)ax_virtio_config(v) + CONFIG_ACTUAL, &le, sizeof(le));
}

static uint32_t get_actual(struct ax_virtio *v)
{
    uint32_t le;

    memcpy(&le, (char *)ax_virtio_config(v) + CONFIG_ACTUAL, sizeof(le));
    return le32toh(le);
}

static void balloon_configure(struct ax_virtio *v, unsigned off, unsigned width,
                              uint64_t val)
{
    if (off == CONFIG_ACTUAL && width == sizeof(uint32_t))
        set_actual(v, (uint32_t)val);
}

/* Whoever waits for statistics waits in vain. A guest that is reset has all of
 * its memory back, and is asked for it again. */
static void balloon_stop(struct ax_virtio *v)
{
    struct balloon *b = to_balloon(v);

    for (unsigned i = 0; i < QUEUES; i++)
        b->works[i].begun = false;
    b->held = b->asked = false;
    forget_statistics(b);
    set_actual(v, 0);
    ax_news_tell(&v->dev.env.news);
}

static const struct ax_virtio_ops balloon_ops = {
    .id = VIRTIO_ID_BALLOON,
    .config = CONFIG_ACTUAL + sizeof(uint32_t),
    .bell_is_slow = true,
    .configure = balloon_configure,
    .kick = balloon_kick,
    .stop = balloon_stop,
};

/* ---- what the VM calls ---- */

static int balloon_aim(struct ax_device *dev, uint64_t bytes)
{
    struct balloon *b = ax_container_of(dev, struct balloon, v.dev);
    uint32_t le;

    if (bytes > b->ram || (b->ram - bytes) / PAGE > UINT32_MAX)
        return -ERANGE;
    b->pages = (uint32_t)((b->ram - bytes) / PAGE);
    le = htole32(b->pages);
    ax_virtio_reconfigure(&b->v, CONFIG_TARGET, &le, sizeof(le));
    return 0;
}

static void balloon_look(struct ax_device *dev, bool ask,
                         struct ax_balloon *out)
{
    struct balloon *b = ax_container_of(dev, struct balloon, v.dev);
    const uint64_t given = (uint64_t)get_actual(&b->v) * PAGE;

    *out = (struct ax_balloon){
        .most = b->ram,
        .target = b->ram - (uint64_t)b->pages * PAGE,
        .actual = given < b->ram ? b->ram - given : 0,
        .driven = b->v.running,
        .answers = b->answers,
    };
    out->counts =
        out->driven && ax_virtio_has(&b->v, VIRTIO_BALLOON_F_STATS_VQ);
    memcpy(out->stats, b->stats, sizeof(out->stats));
    if (ask && out->counts)
        ask_for_statistics(b);
}

static int balloon_init(struct ax_device *dev)
{
    struct balloon *b = ax_container_of(dev, struct balloon, v.dev);
    const struct ax_balloon_conf *conf = dev->env.conf;
    uint64_t features = 1U << VIRTIO_BALLOON_F_STATS_VQ;

    if (!conf || conf->deflate_on_oom)
        features |= 1U << VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
    if (!conf || conf->free_page_reporting)
        features |= 1U << VIRTIO_BALLOON_F_REPORTING;
    if (dev->env.mem)
        b->ram = ax_align_down(ax_memory_ram(dev->env.mem), PAGE);
    forget_statistics(b);
    return ax_virtio_init(&b->v, &balloon_ops, features, QUEUES, QUEUE_SIZE);
}

static void balloon_fini(struct ax_device *dev)
{
    struct balloon *b = ax_container_of(dev, struct balloon, v.dev);

    ax_virtio_fini(&b->v);
}

const struct ax_device_ops ax_virtio_balloon = {
    .type = "virtio_balloon",
    .threaded = true,
    .state = sizeof(struct balloon),
    AX_VIRTIO_DEVICE_OPS,
    .init = balloon_init,
    .fini = balloon_fini,
    .aim = balloon_aim,
    .balloon = balloon_look,
};
