/*
 * test_virtio_balloon.c - pages that come and go, reports, statistics, and page
 * numbers of a guest that lies. VIRTIO 1.2, 5.5.
 */
#include "devices/balloon.h"
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/virtio_driver.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum { INFLATE, DEFLATE, STATS, REPORT_COUNTED, REPORT };
enum { PAGE = 4096, SIZE = 64, CONFIG = VIRTIO_MMIO_CONFIG };

#define BIT(n) (1ULL << (n))
#define ALL    UINT64_MAX
#define HOLE   AX_MIB(512) /* what is above AX_DRIVER_MEMORY */

static struct ax_driver d;
static unsigned news;

static void on_news(void *ctx)
{
    news++;
}

static void wire(struct ax_device_env *env, void *ctx)
{
    env->news.tell = on_news;
}

static void create(const struct ax_balloon_conf *conf)
{
    cr_assert_eq(ax_driver_init(&d, &ax_virtio_balloon, conf, wire, NULL), 0);
}

static void init(void)
{
    create(NULL);
}

static void fini(void)
{
    ax_driver_fini(&d);
}

TestSuite(virtio_balloon, .init = init, .fini = fini, .timeout = 60);

static struct ax_balloon look(bool ask)
{
    struct ax_balloon b;

    cr_assert_eq(ax_device_balloon(d.dev, ask, &b), 0);
    return b;
}

static void fill(ax_gpa gpa, size_t size)
{
    memset(ax_driver_at(&d, gpa, size), 0xa5, size);
}

/* Pages of [gpa, gpa + size) that were given back: 0, 1, ... all. */
static unsigned gone(ax_gpa gpa, size_t size)
{
    const uint8_t *bytes = ax_driver_at(&d, gpa, size);
    unsigned n = 0;

    for (size_t at = 0; at < size; at += PAGE)
        n += !bytes[at];
    return n;
}

static int64_t give(unsigned queue, const uint32_t *pfns, size_t count)
{
    const struct ax_driver_buf buf = {
        .gpa = ax_driver_put(&d, pfns, count * sizeof(*pfns)),
        .len = (uint32_t)(count * sizeof(*pfns)),
    };

    return ax_driver_ask(&d, queue, &buf, 1);
}

/* ---- inflation and deflation ---- */

static const uint64_t rings[] = {0, BIT(VIRTIO_F_RING_PACKED), ALL};

ParameterizedTestParameters(virtio_balloon, takes_pages_and_leaves_the_others)
{
    return cr_make_param_array(const uint64_t, rings, AX_ARRAY_LEN(rings));
}

ParameterizedTest(const uint64_t *features, virtio_balloon,
                  takes_pages_and_leaves_the_others)
{
    const ax_gpa at = AX_MIB(32);
    /* Up, down, alone. */
    const uint32_t pfns[] = {0x2000, 0x2001, 0x2002, 0x200a,
                             0x2009, 0x2008, 0x2010};

    cr_assert(ax_driver_start(&d, *features, SIZE));
    fill(at, AX_MIB(1));
    cr_assert_eq(give(INFLATE, pfns, AX_ARRAY_LEN(pfns)), 0);
    cr_assert_eq(gone(at, AX_MIB(1)), AX_ARRAY_LEN(pfns));
    cr_assert_eq(gone(at, 3 * PAGE), 3);
    cr_assert_eq(gone(at + 8 * PAGE, 3 * PAGE), 3);
    cr_assert_eq(gone(at + 16 * PAGE, PAGE), 1);
    cr_assert_eq(give(DEFLATE, pfns, AX_ARRAY_LEN(pfns)), 0);
    fill(at, AX_MIB(1));
    cr_assert_eq(gone(at, AX_MIB(1)), 0);
}

Test(virtio_balloon, a_long_request_is_worked_off_in_turns)
{
    static uint32_t pfns[8192];

    for (unsigned i = 0; i < 8192; i++) /* no two in a row */
        pfns[i] = 0x2000 + (i * 2) % 8192 + i / 4096;
    cr_assert(ax_driver_start(&d, ALL, SIZE));
    fill(AX_MIB(32), AX_MIB(32));
    cr_assert_eq(give(INFLATE, pfns, AX_ARRAY_LEN(pfns)), 0);
    cr_assert_eq(gone(AX_MIB(32), AX_MIB(32)), 8192);
}

Test(virtio_balloon, what_the_driver_says_it_has_given)
{
    struct ax_balloon b = look(false);

    cr_assert_eq(b.most, AX_DRIVER_MEMORY);
    cr_assert_eq(b.target, b.most);
    cr_assert_eq(b.actual, b.most);
    cr_assert_not(b.driven);
    cr_assert(ax_driver_start(&d, ALL, SIZE));
    ax_driver_set(&d, CONFIG + 4, 4, 256);
    ax_driver_set(&d, CONFIG, 4, 7);     /* read-only */
    ax_driver_set(&d, CONFIG + 5, 2, 7); /* no field */
    b = look(false);
    cr_assert(b.driven && b.counts);
    cr_assert_eq(b.actual, b.most - AX_MIB(1));
    cr_assert_eq(b.target, b.most);
    cr_assert_eq(ax_driver_get(&d, CONFIG, 4), 0);
    ax_driver_set(&d, CONFIG + 4, 4, UINT32_MAX);
    cr_assert_eq(look(false).actual, 0);
    ax_driver_reset(&d);
    b = look(false);
    cr_assert_eq(b.actual, b.most);
    cr_assert_eq(ax_driver_get(&d, CONFIG + 4, 4), 0);
}

Test(virtio_balloon, the_target_is_told_and_stays)
{
    unsigned before;

    cr_assert(ax_driver_start(&d, ALL, SIZE));
    before = d.interrupts;
    cr_assert_eq(ax_device_aim(d.dev, AX_MIB(48)), 0);
    cr_assert_eq(d.interrupts, before + 1);
    cr_assert_eq(ax_driver_get(&d, CONFIG, 4), AX_MIB(16) / PAGE);
    cr_assert_eq(look(false).target, AX_MIB(48));
    ax_driver_reset(&d);
    cr_assert_eq(ax_driver_get(&d, CONFIG, 4), AX_MIB(16) / PAGE);
    cr_assert_eq(ax_device_aim(d.dev, AX_DRIVER_MEMORY + 1), -ERANGE);
    cr_assert_eq(look(false).target, AX_MIB(48));
    cr_assert_eq(ax_device_aim(d.dev, AX_MIB(48) + 1), 0); /* up */
    cr_assert_eq(look(false).target, AX_MIB(48) + PAGE);
    cr_assert_eq(ax_device_aim(d.dev, AX_DRIVER_MEMORY), 0);
    cr_assert_eq(ax_driver_get(&d, CONFIG, 4), 0);
}

/* ---- page numbers that are no pages ---- */

Test(virtio_balloon, a_page_number_cannot_leave_memory)
{
    const uint32_t last = AX_DRIVER_MEMORY / PAGE - 1;
    /* Shifted in 32 bits, the second would be the first page of all. */
    const uint32_t pfns[] = {UINT32_MAX, 1U << 20, last + 1, last,
                             last + 1,   last - 1, 0x80000,  0xfee00};

    cr_assert(ax_driver_start(&d, ALL, SIZE));
    fill(0, PAGE);
    fill(AX_DRIVER_MEMORY - 4 * PAGE, 4 * PAGE);
    cr_assert_eq(give(INFLATE, pfns, AX_ARRAY_LEN(pfns)), 0);
    cr_assert_eq(gone(0, PAGE), 0);
    cr_assert_eq(gone(AX_DRIVER_MEMORY - 4 * PAGE, 4 * PAGE), 2);
    cr_assert_not(ax_driver_needs_reset(&d));
}

Test(virtio_balloon, rom_is_no_page_to_give)
{
    const uint32_t pfns[] = {HOLE / PAGE, HOLE / PAGE + 1};
    uint8_t *rom;

    cr_assert_eq(ax_memory_add(&d.mem, HOLE, 2 * PAGE, AX_REGION_ROM), 0);
    rom = ax_memory_at_load(&d.mem, HOLE, 2 * PAGE);
    memset(rom, 0xa5, 2 * PAGE);
    cr_assert(ax_driver_start(&d, ALL, SIZE));
    cr_assert_eq(give(INFLATE, pfns, 2), 0);
    cr_assert(rom[0] && rom[PAGE]);
}

Test(virtio_balloon, odd_requests)
{
    const uint32_t pfns[] = {0x2000, 0x2001};
    struct ax_driver_buf bufs[3];

    cr_assert(ax_driver_start(&d, ALL, SIZE));
    fill(AX_MIB(32), 2 * PAGE);
    /* A number and a half, in pieces; then nothing to read at all. */
    bufs[0].gpa = ax_driver_put(&d, pfns, sizeof(pfns));
    bufs[0] = (struct ax_driver_buf){.gpa = bufs[0].gpa, .len = 1};
    bufs[1] = (struct ax_driver_buf){.gpa = bufs[0].gpa + 1, .len = 2};
    bufs[2] = (struct ax_driver_buf){.gpa = bufs[0].gpa + 3, .len = 3};
    cr_assert_eq(ax_driver_ask(&d, INFLATE, bufs, 3), 0);
    cr_assert_eq(gone(AX_MIB(32), 2 * PAGE), 1);
    bufs[0].in = true;
    cr_assert_eq(ax_driver_ask(&d, INFLATE, bufs, 1), 0);
    cr_assert_eq(ax_driver_ask(&d, DEFLATE, bufs, 1), 0);
    cr_assert_not(ax_driver_needs_reset(&d));
}

Test(virtio_balloon, a_reset_in_the_middle_ends_it)
{
    static uint32_t pfns[16384];

    for (unsigned i = 0; i < AX_ARRAY_LEN(pfns); i++)
        pfns[i] = 0x2000 + (i * 2) % 8192;
    for (unsigned round = 0; round < 50; round++) {
        struct ax_driver_buf buf = {.len = sizeof(pfns)};

        d.allocated = PAGE; /* all anew */
        buf.gpa = ax_driver_put(&d, pfns, sizeof(pfns));
        cr_assert(ax_driver_start(&d, ALL, SIZE));
        cr_assert_geq(ax_driver_add(&d, INFLATE, &buf, 1), 0);
        ax_driver_notify(&d, INFLATE);
        if (round & 1)
            ax_driver_settle(&d);
        ax_driver_reset(&d);
        fill(AX_MIB(32), AX_MIB(32));
        ax_driver_settle(&d);
        cr_assert_eq(gone(AX_MIB(32), AX_MIB(32)), 0);
    }
}

/* ---- reports ---- */

static void report_on(unsigned queue, uint64_t features)
{
    const ax_gpa at = AX_MIB(32);
    const struct ax_driver_buf bufs[] = {
        {.gpa = at, .len = AX_MIB(4), .in = true},
        {.gpa = at + AX_MIB(8), .len = AX_MIB(4), .in = true},
        /* Only the pages that are whole. */
        {.gpa = at + AX_MIB(16) + 1, .len = 3 * PAGE, .in = true},
        {.gpa = at + AX_MIB(17) + 1, .len = PAGE, .in = true},
    };

    cr_assert(ax_driver_start(&d, features, SIZE));
    fill(at, AX_MIB(32));
    cr_assert_eq(ax_driver_ask(&d, queue, bufs, AX_ARRAY_LEN(bufs)), 0);
    cr_assert_eq(gone(at, AX_MIB(32)), 2 * 1024 + 2);
    cr_assert_eq(gone(at + AX_MIB(16) + PAGE, 2 * PAGE), 2);
}

Test(virtio_balloon, takes_what_is_reported_free)
{
    report_on(REPORT, ALL);
}

Test(virtio_balloon, takes_it_where_linux_has_the_queue)
{
    report_on(REPORT_COUNTED, ALL);
}

Test(virtio_balloon, takes_it_also_from_who_counts_nothing)
{
    report_on(STATS, BIT(VIRTIO_BALLOON_F_REPORTING));
}

Test(virtio_balloon, takes_no_report_that_was_not_agreed_on)
{
    const struct ax_driver_buf buf = {
        .gpa = AX_MIB(32), .len = AX_MIB(4), .in = true};

    cr_assert(ax_driver_start(&d, 0, SIZE));
    fill(AX_MIB(32), AX_MIB(4));
    cr_assert_geq(ax_driver_add(&d, REPORT, &buf, 1), 0);
    ax_driver_notify(&d, REPORT);
    ax_driver_settle(&d);
    cr_assert_eq(gone(AX_MIB(32), AX_MIB(4)), 0);
}

Test(virtio_balloon, offers_what_is_configured)
{
    const uint64_t mine =
        BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) | BIT(VIRTIO_BALLOON_F_REPORTING) |
        BIT(VIRTIO_BALLOON_F_STATS_VQ) | BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT) |
        BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST);

    fini();
    create(&(struct ax_balloon_conf){.enabled = true});
    cr_assert_eq(ax_driver_offered(&d) & mine, BIT(VIRTIO_BALLOON_F_STATS_VQ));
    fini();
    create(&(struct ax_balloon_conf){
        .enabled = true, .deflate_on_oom = true, .free_page_reporting = true});
    cr_assert_eq(ax_driver_offered(&d) & mine,
                 BIT(VIRTIO_BALLOON_F_STATS_VQ) |
                     BIT(VIRTIO_BALLOON_F_REPORTING) |
                     BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM));
}

/* ---- statistics ---- */

static ax_gpa stats_buf;

static void bring(uint64_t available)
{
    const struct virtio_balloon_stat stats[] = {
        {VIRTIO_BALLOON_S_AVAIL, available},
        {VIRTIO_BALLOON_S_MEMFREE, 12345},
        {999, 1},
    };
    const struct ax_driver_buf buf = {.gpa = stats_buf, .len = sizeof(stats)};

    memcpy(ax_driver_at(&d, stats_buf, sizeof(stats)), stats, sizeof(stats));
    cr_assert_geq(ax_driver_add(&d, STATS, &buf, 1), 0);
    ax_driver_notify(&d, STATS);
    ax_driver_settle(&d);
}

static bool was_asked(void)
{
    unsigned id;
    uint32_t len;

    ax_driver_settle(&d);
    return ax_driver_take(&d, STATS, &id, &len);
}

static void start_stats(void)
{
    cr_assert(ax_driver_start(&d, ALL, SIZE));
    stats_buf = ax_driver_alloc(&d, PAGE);
    news = 0;
    bring(1000);
}

Test(virtio_balloon, asks_only_when_somebody_asks)
{
    struct ax_balloon b;

    cr_assert_eq(look(false).stats[AX_BALLOON_AVAILABLE], AX_BALLOON_UNKNOWN);
    start_stats();
    cr_assert_not(was_asked());
    cr_assert_eq(news, 0);
    b = look(false);
    cr_assert_eq(b.stats[AX_BALLOON_AVAILABLE], 1000);
    cr_assert_eq(b.stats[AX_BALLOON_FREE], 12345);
    cr_assert_eq(b.stats[AX_BALLOON_TOTAL], AX_BALLOON_UNKNOWN);
    cr_assert_not(was_asked());
    cr_assert_eq(look(true).answers, 0);
    look(true); /* one request is in flight: no more */
    cr_assert(was_asked());
    cr_assert_not(was_asked());
    bring(2000);
    cr_assert_eq(news, 1);
    b = look(false);
    cr_assert_eq(b.answers, 1);
    cr_assert_eq(b.stats[AX_BALLOON_AVAILABLE], 2000);
    cr_assert_not(was_asked());
}

Test(virtio_balloon, a_driver_that_resets_does_not_answer)
{
    start_stats();
    look(true);
    ax_driver_reset(&d);
    cr_assert_eq(news, 1);
    cr_assert_not(look(true).driven);
    cr_assert_eq(look(false).answers, 0);
    cr_assert_eq(look(false).stats[AX_BALLOON_FREE], AX_BALLOON_UNKNOWN);
    start_stats();
    cr_assert_not(was_asked());
}

Test(virtio_balloon, a_driver_may_answer_before_it_was_asked)
{
    cr_assert(ax_driver_start(&d, ALL, SIZE));
    stats_buf = ax_driver_alloc(&d, PAGE);
    news = 0;
    look(true); /* it has given no buffer yet */
    bring(3000);
    cr_assert_eq(news, 1);
    cr_assert_eq(look(false).answers, 1);
    cr_assert_not(was_asked());
}

Test(virtio_balloon, a_flood_of_statistics_waits_in_the_queue)
{
    start_stats();
    for (unsigned i = 0; i < SIZE - 2; i++)
        bring(i);
    cr_assert_not(was_asked());
    cr_assert_eq(look(false).stats[AX_BALLOON_AVAILABLE], 1000);
    cr_assert_eq(news, 0);
    cr_assert_eq(look(true).answers, 0);
    ax_driver_settle(&d);
    cr_assert_eq(look(false).answers, 1);
    cr_assert_not(ax_driver_needs_reset(&d));
}

Test(virtio_balloon, statistics_of_odd_sizes)
{
    struct ax_driver_buf buf = {.len = AX_MIB(1)};
    struct ax_driver_buf none = {.len = 16, .in = true};

    cr_assert(ax_driver_start(&d, ALL, SIZE));
    buf.gpa = ax_driver_alloc(&d, AX_MIB(1));
    memset(ax_driver_at(&d, buf.gpa, AX_MIB(1)), 0x05, AX_MIB(1));
    cr_assert_geq(ax_driver_add(&d, STATS, &buf, 1), 0);
    ax_driver_notify(&d, STATS);
    ax_driver_settle(&d);
    cr_assert_eq(look(true).stats[AX_BALLOON_TOTAL], AX_BALLOON_UNKNOWN);
    cr_assert(was_asked());
    none.gpa = buf.gpa;
    cr_assert_geq(ax_driver_add(&d, STATS, &none, 1), 0);
    ax_driver_notify(&d, STATS);
    ax_driver_settle(&d);
    cr_assert_eq(look(false).answers, 1);
}

/* ---- against the rules ---- */

Test(virtio_balloon, empty_requests_do_not_hold_the_loop)
{
    cr_assert(ax_driver_start(&d, BIT(VIRTIO_BALLOON_F_REPORTING), SIZE));
    for (unsigned queue = INFLATE; queue <= REPORT; queue++)
        ax_driver_raw_desc(&d, queue, 0, 0, 0, 0, 0);
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned queue = INFLATE; queue <= REPORT; queue++) {
            for (unsigned i = 0; i < SIZE / 2; i++)
                ax_driver_raw_avail(&d, queue, 0);
            ax_driver_notify(&d, queue);
        }
        for (unsigned i = 0; i < 4; i++)
            ax_driver_settle(&d);
    }
    cr_assert_not(ax_driver_needs_reset(&d));
}

Test(virtio_balloon, a_broken_queue_asks_for_a_reset)
{
    cr_assert(ax_driver_start(&d, 0, SIZE));
    ax_driver_raw_desc(&d, INFLATE, 0, AX_DRIVER_MEMORY - 1, 2, 0, 0);
    ax_driver_raw_avail(&d, INFLATE, 0);
    ax_driver_notify(&d, INFLATE);
    ax_driver_settle(&d);
    cr_assert(ax_driver_needs_reset(&d));
}

Test(virtio_balloon, other_devices_have_none)
{
    struct ax_balloon b;

    fini();
    cr_assert_eq(ax_driver_init(&d, &ax_virtio_rng, NULL, NULL, NULL), 0);
    cr_assert_eq(ax_device_aim(d.dev, AX_MIB(1)), -EOPNOTSUPP);
    cr_assert_eq(ax_device_balloon(d.dev, true, &b), -EOPNOTSUPP);
}
