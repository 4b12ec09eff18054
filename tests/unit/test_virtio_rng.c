/*
 * test_virtio_rng.c - entropy, in pages and turns. VIRTIO 1.2, 5.4.
 */
#include "devices/registry.h"
#include "fake/virtio_driver.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum { PAGE = 4096, SIZE = 64 };

#define ALL UINT64_MAX

static struct ax_driver d;

static void init(void)
{
    cr_assert_eq(ax_driver_init(&d, &ax_virtio_rng, NULL, NULL, NULL), 0);
}

static void fini(void)
{
    ax_driver_fini(&d);
}

TestSuite(virtio_rng, .init = init, .fini = fini, .timeout = 60);

static unsigned different_bytes(ax_gpa gpa, size_t size)
{
    const uint8_t *bytes = ax_driver_at(&d, gpa, size);
    bool seen[256] = {false};
    unsigned n = 0;

    for (size_t i = 0; i < size; i++) {
        n += !seen[bytes[i]];
        seen[bytes[i]] = true;
    }
    return n;
}

static const uint64_t rings[] = {0, 1ULL << VIRTIO_F_RING_PACKED, ALL};

ParameterizedTestParameters(virtio_rng, fills_what_it_is_given)
{
    return cr_make_param_array(const uint64_t, rings, AX_ARRAY_LEN(rings));
}

ParameterizedTest(const uint64_t *features, virtio_rng, fills_what_it_is_given)
{
    const ax_gpa gpa = ax_driver_alloc(&d, PAGE);
    const struct ax_driver_buf bufs[] = {
        {.gpa = gpa, .len = 64, .in = true},
        {.gpa = gpa + 64, .len = 1984, .in = true},
    };

    cr_assert_eq(ax_driver_get(&d, VIRTIO_MMIO_DEVICE_ID, 4), VIRTIO_ID_RNG);
    cr_assert(ax_driver_start(&d, *features, SIZE));
    cr_assert_eq(ax_driver_ask(&d, 0, bufs, 1), 64);
    cr_assert_eq(ax_driver_ask(&d, 0, bufs, 2), 2048);
    cr_assert_gt(different_bytes(gpa, 2048), 200);
    cr_assert_eq(different_bytes(gpa + 2048, PAGE - 2048), 1); /* zeros */
}

Test(virtio_rng, gives_a_page_at_most)
{
    const struct ax_driver_buf buf = {
        .gpa = ax_driver_alloc(&d, AX_MIB(8)),
        .len = AX_MIB(8),
        .in = true,
    };

    cr_assert(ax_driver_start(&d, ALL, SIZE));
    cr_assert_eq(ax_driver_ask(&d, 0, &buf, 1), PAGE);
    cr_assert_eq(different_bytes(buf.gpa + PAGE, AX_MIB(1)), 1);
}

Test(virtio_rng, writes_only_where_it_may)
{
    const ax_gpa gpa = ax_driver_alloc(&d, PAGE);
    const struct ax_driver_buf bufs[] = {
        {.gpa = gpa, .len = 64},
        {.gpa = gpa + 64, .len = 32, .in = true},
    };

    cr_assert(ax_driver_start(&d, ALL, SIZE));
    cr_assert_eq(ax_driver_ask(&d, 0, bufs, 1), 0);
    cr_assert_eq(ax_driver_ask(&d, 0, bufs, 2), 32);
    cr_assert_eq(different_bytes(gpa, 64), 1);
}

/* More than a turn serves: the rest comes without another notification. */
Test(virtio_rng, many_requests_are_served_in_turns)
{
    struct ax_driver_buf buf = {.len = PAGE, .in = true};
    unsigned id, turns = 0, done = 0;
    uint32_t len;

    cr_assert(ax_driver_start(&d, ALL, SIZE));
    ax_driver_settle(&d);
    buf.gpa = ax_driver_alloc(&d, PAGE);
    for (unsigned i = 0; i < SIZE; i++)
        cr_assert_geq(ax_driver_add(&d, 0, &buf, 1), 0);
    ax_driver_notify(&d, 0);
    while (done < SIZE) {
        cr_assert(ax_driver_wait(&d, 0, &id, &len));
        for (done++; ax_driver_take(&d, 0, &id, &len);)
            done++;
        turns++;
    }
    cr_assert_geq(turns, 2);
}

Test(virtio_rng, a_reset_in_between_ends_it)
{
    struct ax_driver_buf buf = {.len = PAGE, .in = true};

    for (unsigned round = 0; round < 100; round++) {
        cr_assert(ax_driver_start(&d, ALL, SIZE));
        buf.gpa = AX_MIB(32);
        for (unsigned i = 0; i < SIZE; i++)
            cr_assert_geq(ax_driver_add(&d, 0, &buf, 1), 0);
        ax_driver_notify(&d, 0);
        if (round & 1)
            ax_driver_settle(&d);
        ax_driver_reset(&d);
        memset(ax_driver_at(&d, buf.gpa, PAGE), 0, PAGE);
        ax_driver_settle(&d);
        cr_assert_eq(different_bytes(buf.gpa, PAGE), 1);
    }
}

Test(virtio_rng, a_broken_queue_asks_for_a_reset)
{
    cr_assert(ax_driver_start(&d, 0, SIZE));
    ax_driver_raw_desc(&d, 0, 0, AX_DRIVER_MEMORY - 1, 2, VRING_DESC_F_WRITE,
                       0);
    ax_driver_raw_avail(&d, 0, 0);
    ax_driver_notify(&d, 0);
    ax_driver_settle(&d);
    cr_assert(ax_driver_needs_reset(&d));
}
