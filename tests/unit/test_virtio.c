/*
 * test_virtio.c - registers, life and queues of a virtio device, by a device
 * that gives back what it is given. VIRTIO 1.2, sections 2 to 4.2.
 */
#include "devices/virtio.h"
#include "fake/virtio_driver.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { QUEUES = 2, ID = 42, FEATURE = 3, CONFIG = 16 };

#define BIT(n) (1ULL << (n))
#define RING_BITS                                                              \
    (BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_RING_F_EVENT_IDX) |                \
     BIT(VIRTIO_RING_F_INDIRECT_DESC))

/* ---- the device ---- */

struct echo {
    struct ax_virtio v;
    unsigned starts, stops, kicks, popped;
    int start_result;
    bool hold; /* pops nothing */
};

static void echo_kick(struct ax_virtio *v, unsigned queue)
{
    struct echo *e = ax_container_of(v, struct echo, v);
    struct ax_virtq *q = &v->queues[queue];
    static struct ax_virtq_chain chain;
    uint8_t bytes[8192];
    size_t count;

    e->kicks++;
    while (!e->hold && ax_virtq_pop(q, &chain)) {
        e->popped++;
        count = ax_virtq_read(&chain, 0, bytes, sizeof(bytes));
        ax_virtq_push(q, &chain, ax_virtq_write(&chain, 0, bytes, count));
    }
    ax_virtio_done(v, q);
}

static void echo_configure(struct ax_virtio *v, unsigned off, unsigned width,
                           uint64_t val)
{
    memcpy((uint8_t *)ax_virtio_config(v) + off, &val, width);
}

static int echo_start(struct ax_virtio *v)
{
    struct echo *e = ax_container_of(v, struct echo, v);

    e->starts++;
    return e->start_result;
}

static void echo_stop(struct ax_virtio *v)
{
    ax_container_of(v, struct echo, v)->stops++;
}

static const struct ax_virtio_ops echo_ops = {
    .id = ID,
    .config = CONFIG,
    .configure = echo_configure,
    .start = echo_start,
    .kick = echo_kick,
    .stop = echo_stop,
};

static int echo_init(struct ax_device *dev)
{
    struct echo *e = ax_container_of(dev, struct echo, v.dev);

    return ax_virtio_init(&e->v, &echo_ops, BIT(FEATURE), QUEUES, 64);
}

static void echo_fini(struct ax_device *dev)
{
    ax_virtio_fini(&ax_container_of(dev, struct echo, v.dev)->v);
}

static const struct ax_device_ops echo_device = {
    .type = "virtio_echo",
    .state = sizeof(struct echo),
    .init = echo_init,
    .fini = echo_fini,
    AX_VIRTIO_DEVICE_OPS,
};

static struct ax_driver d;

static struct echo *echo(void)
{
    return ax_container_of(d.dev, struct echo, v.dev);
}

static void init(void)
{
    cr_assert_eq(ax_driver_init(&d, &echo_device, NULL, NULL, NULL), 0);
}

static void fini(void)
{
    ax_driver_fini(&d);
}

TestSuite(virtio, .init = init, .fini = fini, .timeout = 60);

/* ---- registers ---- */

Test(virtio, says_what_it_is)
{
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_MAGIC_VALUE, 4), 0x74726976);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_VERSION, 4), 2);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_DEVICE_ID, 4), ID);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_STATUS, 4), 0);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_SHM_LEN_LOW, 4), 0xffffffff);
    cr_expect_eq(ax_driver_offered(&d),
                 BIT(FEATURE) | BIT(VIRTIO_F_VERSION_1) | RING_BITS);
    ax_driver_set(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, 2);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_DEVICE_FEATURES, 4), 0);
    ax_driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, 4, QUEUES - 1);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_QUEUE_NUM_MAX, 4), 64);
    for (uint32_t none = QUEUES; none; none = none * 3) {
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, 4, none);
        cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_QUEUE_NUM_MAX, 4), 0);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_READY, 4, 1);
        if (none > UINT32_MAX / 3)
            break;
    }
}

Test(virtio, takes_no_feature_that_it_does_not_offer)
{
    ax_driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, 1);
    ax_driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 4, 1);
    ax_driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, 0);
    ax_driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 4, 1U << 7);
    ax_driver_set(&d, VIRTIO_MMIO_STATUS, 4, 0xf);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_STATUS, 4), 3);
    cr_expect_eq(echo()->starts, 0);
    /* ... and none at all but of version 1 */
    ax_driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 4, 0);
    ax_driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, 1);
    ax_driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 4, 0);
    ax_driver_set(&d, VIRTIO_MMIO_STATUS, 4, 0xb);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_STATUS, 4), 3);
}

Test(virtio, freezes_features_when_they_are_agreed)
{
    cr_assert(ax_driver_negotiate(&d, BIT(FEATURE)));
    ax_driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, 0);
    ax_driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 4, 0);
    cr_expect(ax_virtio_has(&echo()->v, FEATURE));
    ax_driver_ok(&d);
    cr_expect(ax_virtio_has(&echo()->v, FEATURE));
}

Test(virtio, freezes_queues_when_the_driver_is_ok)
{
    const struct ax_virtq *q = &echo()->v.queues[0];
    struct ax_virtq_layout layout;

    cr_assert(ax_driver_start(&d, 0, 16));
    layout = q->layout;
    ax_driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, 4, 0);
    for (unsigned off = VIRTIO_MMIO_QUEUE_NUM;
         off <= VIRTIO_MMIO_QUEUE_USED_HIGH; off += 4) {
        if (off != VIRTIO_MMIO_QUEUE_NOTIFY && off != VIRTIO_MMIO_STATUS &&
            off != VIRTIO_MMIO_INTERRUPT_ACK)
            ax_driver_set(&d, off, 4, 0);
    }
    cr_expect_arr_eq(&q->layout, &layout, sizeof(layout));
    cr_expect(q->enabled);
}

Test(virtio, refuses_queues_that_cannot_be)
{
    static const struct {
        unsigned size;
        ax_gpa desc, driver, device;
    } bad[] = {
        {0, 0x1000, 0x2000, 0x3000},
        {3, 0x1000, 0x2000, 0x3000},
        {128, 0x1000, 0x2000, 0x3000}, /* more than it has */
        {0x10010, 0x1000, 0x2000, 0x3000},
        {16, 0x1008, 0x2000, 0x3000}, /* not aligned */
        {16, 0x1000, 0x2001, 0x3000},
        {16, 0x1000, 0x2000, 0x3002},
        {16, AX_DRIVER_MEMORY - 16, 0x2000, 0x3000}, /* not in memory */
        {16, 0x1000, AX_DRIVER_MEMORY - 2, 0x3000},
        {16, 0x1000, 0x2000, AX_DRIVER_MEMORY},
        {16, UINT64_MAX - 15, 0x2000, 0x3000},
    };

    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++) {
        ax_driver_reset(&d);
        cr_assert(ax_driver_negotiate(&d, 0));
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, 4, 0);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_NUM, 4, bad[i].size);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_DESC_LOW, 4, (uint32_t)bad[i].desc);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_DESC_HIGH, 4, bad[i].desc >> 32);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, 4,
                      (uint32_t)bad[i].driver);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_USED_LOW, 4,
                      (uint32_t)bad[i].device);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_READY, 4, 1);
        cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_QUEUE_READY, 4), 0, "%zu",
                     i);
    }
}

Test(virtio, takes_registers_whole_or_not_at_all)
{
    ax_driver_set(&d, VIRTIO_MMIO_STATUS, 1, 1);
    ax_driver_set(&d, VIRTIO_MMIO_STATUS, 2, 1);
    ax_driver_set(&d, VIRTIO_MMIO_STATUS, 8, 1);
    ax_driver_set(&d, VIRTIO_MMIO_STATUS + 2, 4, 1);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_STATUS, 4), 0);
    ax_driver_set(&d, VIRTIO_MMIO_MAGIC_VALUE, 4, 1);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_MAGIC_VALUE, 4), 0x74726976);
}

Test(virtio, has_a_configuration_space)
{
    const uint64_t val = 0x1122334455667788;
    uint32_t generation;

    ax_driver_set(&d, VIRTIO_MMIO_CONFIG + 8, 8, val);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_CONFIG + 8, 8), val);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_CONFIG + 11, 1), 0x55);
    ax_driver_set(&d, VIRTIO_MMIO_CONFIG + CONFIG - 4, 8, 0);
    ax_driver_set(&d, VIRTIO_MMIO_CONFIG + CONFIG, 1, 1);
    ax_driver_set(&d, AX_DEVICE_PAGE - 8, 8, val);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_CONFIG + 8, 8), val);
    cr_expect_eq(ax_driver_get(&d, AX_DEVICE_PAGE - 8, 8), 0);

    cr_assert(ax_driver_start(&d, 0, 16));
    generation = (uint32_t)ax_driver_get(&d, VIRTIO_MMIO_CONFIG_GENERATION, 4);
    ax_virtio_reconfigure(&echo()->v, 0, &val, sizeof(val));
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_CONFIG, 8), val);
    cr_expect_neq(ax_driver_get(&d, VIRTIO_MMIO_CONFIG_GENERATION, 4),
                  generation);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4),
                 VIRTIO_MMIO_INT_CONFIG);
    cr_expect_eq(d.interrupts, 1);
    ax_driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, 4, VIRTIO_MMIO_INT_CONFIG);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 0);
}

/* ---- life ---- */

Test(virtio, stops_when_it_is_reset_and_starts_anew)
{
    unsigned stops;

    cr_assert(ax_driver_start(&d, 0, 16));
    cr_expect_eq(echo()->starts, 1);
    stops = echo()->stops;
    ax_driver_reset(&d);
    cr_expect_eq(echo()->stops, stops + 1);
    cr_expect_not(echo()->v.queues[0].enabled);
    cr_assert(ax_driver_start(&d, 0, 16));
    cr_expect_eq(echo()->starts, 2);
}

Test(virtio, asks_for_a_reset_when_it_cannot_start)
{
    echo()->start_result = -EIO;
    cr_expect_not(ax_driver_start(&d, 0, 16));
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4),
                 VIRTIO_MMIO_INT_CONFIG);
    cr_expect_not(echo()->v.running);
    echo()->start_result = 0;
    cr_expect(ax_driver_start(&d, 0, 16));
}

Test(virtio, does_nothing_before_the_driver_is_ok)
{
    const struct ax_driver_buf buf = {ax_driver_alloc(&d, 16), 16, true};

    cr_assert(ax_driver_negotiate(&d, 0));
    ax_driver_set_up_queue(&d, 0, 16);
    ax_driver_add(&d, 0, &buf, 1);
    ax_driver_notify(&d, 0);
    ax_driver_settle(&d);
    cr_expect_eq(echo()->kicks, 0);
    ax_driver_ok(&d);
    ax_driver_settle(&d);
    cr_expect_eq(echo()->popped, 1); /* what was there already, too */
}

/* ---- queues: both formats, with and without every feature ---- */

struct shape {
    uint64_t features;
    bool indirect;
    unsigned size;
};

ParameterizedTestParameters(virtio, gives_back_what_it_gets)
{
    static struct shape shapes[32];
    size_t count = 0;

    for (unsigned bits = 0; bits < 8; bits++) {
        const uint64_t features =
            (bits & 1 ? BIT(VIRTIO_F_RING_PACKED) : 0) |
            (bits & 2 ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0) |
            (bits & 4 ? BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0);

        shapes[count++] = (struct shape){features, false, 16};
        shapes[count++] = (struct shape){features, bits & 4, 8};
        if (bits & 1) /* a packed ring may have any size */
            shapes[count++] = (struct shape){features, bits & 4, 7};
    }
    return cr_make_param_array(struct shape, shapes, count);
}

static void ask_echo(unsigned round)
{
    const unsigned outs = 1 + round % 3, ins = 1 + round % 2;
    struct ax_driver_buf bufs[5];
    uint8_t bytes[3][64], *back;
    int64_t len;

    for (unsigned i = 0; i < outs; i++) {
        memset(bytes[i], (int)(round + i), sizeof(bytes[i]));
        bufs[i] = (struct ax_driver_buf){
            ax_driver_put(&d, bytes[i], sizeof(bytes[i])), 64, false};
    }
    for (unsigned i = 0; i < ins; i++)
        bufs[outs + i] =
            (struct ax_driver_buf){ax_driver_alloc(&d, 96), 96, true};
    len = ax_driver_ask(&d, 0, bufs, outs + ins);
    cr_assert_eq(len, 64 * outs < 96 * ins ? 64 * outs : 96 * ins,
                 "round %u: %d", round, (int)len);
    for (unsigned i = 0; i < (unsigned)len; i++) {
        back = ax_driver_at(&d, bufs[outs + i / 96].gpa + i % 96, 1);
        cr_assert_eq(*back, (uint8_t)(round + i / 64));
    }
}

ParameterizedTest(struct shape *shape, virtio, gives_back_what_it_gets)
{
    init();
    cr_assert(ax_driver_start(&d, shape->features, shape->size));
    d.indirect = shape->indirect;
    for (unsigned round = 0; round < 300; round++)
        ask_echo(round);
    cr_expect_eq(echo()->popped, 300);
    cr_expect_eq(d.interrupts, 300); /* none is lost and none is for nothing */
    fini();
}

ParameterizedTestParameters(virtio, interrupts_once_for_many)
{
    static struct shape shapes[] = {
        {BIT(VIRTIO_RING_F_EVENT_IDX), false, 16},
        {BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_RING_PACKED), false, 16},
        {0, false, 16},
        {BIT(VIRTIO_F_RING_PACKED), false, 16},
    };

    return cr_make_param_array(struct shape, shapes, AX_ARRAY_LEN(shapes));
}

ParameterizedTest(struct shape *shape, virtio, interrupts_once_for_many)
{
    struct ax_driver_buf buf;
    unsigned id, taken = 0;
    uint32_t len;

    init();
    cr_assert(ax_driver_start(&d, shape->features, shape->size));
    buf = (struct ax_driver_buf){ax_driver_alloc(&d, 16), 16, true};
    for (unsigned i = 0; i < shape->size; i++)
        cr_assert_geq(ax_driver_add(&d, 0, &buf, 1), 0);
    cr_expect_eq(ax_driver_add(&d, 0, &buf, 1), -1);
    ax_driver_notify(&d, 0);
    while (taken < shape->size && ax_driver_wait(&d, 0, &id, &len))
        taken++;
    cr_expect_eq(taken, shape->size);
    cr_expect_eq(d.interrupts, 1);
    fini();
}

Test(virtio, takes_back_what_was_popped_too_soon)
{
    static struct ax_virtq_chain first, again;
    struct ax_virtq *q = &echo()->v.queues[0];
    struct ax_driver_buf bufs[3];

    for (unsigned packed = 0; packed < 2; packed++) {
        echo()->hold = true;
        cr_assert(ax_driver_start(&d, packed ? BIT(VIRTIO_F_RING_PACKED) : 0,
                                  packed ? 5 : 4));
        for (unsigned i = 0; i < 3; i++)
            bufs[i] = (struct ax_driver_buf){ax_driver_alloc(&d, 16), 16, true};
        for (unsigned round = 0; round < 20; round++) {
            unsigned id;
            uint32_t len;

            cr_assert_geq(ax_driver_add(&d, 0, bufs, 3), 0);
            cr_assert(ax_virtq_pop(q, &first));
            ax_virtq_unpop(q, &first);
            cr_assert(ax_virtq_pop(q, &again));
            cr_assert_eq(first.id, again.id);
            cr_assert_not(ax_virtq_pop(q, &first));
            ax_virtq_push(q, &again, 0);
            cr_assert(ax_driver_take(&d, 0, &id, &len));
        }
    }
}

Test(virtio, is_notified_of_what_comes_behind_a_quiet_time)
{
    const struct ax_driver_buf buf = {ax_driver_alloc(&d, 16), 16, true};
    struct ax_virtq *q = &echo()->v.queues[0];
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t event;

    echo()->hold = true;
    cr_assert(ax_driver_start(&d, BIT(VIRTIO_RING_F_EVENT_IDX), 4));
    avail = ax_driver_at(&d, q->layout.driver, 14);
    used = ax_driver_at(&d, q->layout.device, 38);
    ax_virtq_quiet(q, true);
    ax_driver_add(&d, 0, &buf, 1);
    ax_driver_add(&d, 0, &buf, 1);
    cr_expect(ax_virtq_pending(q));
    ax_virtq_quiet(q, false);
    memcpy(&event, ax_driver_at(&d, q->layout.device + 36, 2), sizeof(event));
    cr_expect_eq(event, 0); /* notify of the next one */
    cr_expect_eq(avail->idx, 2);

    cr_assert(ax_driver_start(&d, 0, 4));
    used = ax_driver_at(&d, q->layout.device, 38);
    ax_virtq_quiet(q, true);
    cr_expect_eq(used->flags, VRING_USED_F_NO_NOTIFY);
    ax_virtq_quiet(q, false);
    cr_expect_eq(used->flags, 0);
}

/* ---- a driver that does not keep to the rules ---- */

struct crime {
    const char *what;
    void (*commit)(void);
};

static void loop_of_descriptors(void)
{
    for (unsigned i = 0; i < 4; i++)
        ax_driver_raw_desc(&d, 0, i, 0x1000, 16, VRING_DESC_F_NEXT,
                           (uint16_t)((i + 1) % 4));
    ax_driver_raw_avail(&d, 0, 0);
}

static void head_outside(void)
{
    ax_driver_raw_avail(&d, 0, 16);
}

static void next_outside(void)
{
    ax_driver_raw_desc(&d, 0, 0, 0x1000, 16, VRING_DESC_F_NEXT, 0xffff);
    ax_driver_raw_avail(&d, 0, 0);
}

static void buffer_outside(void)
{
    ax_driver_raw_desc(&d, 0, 0, AX_DRIVER_MEMORY - 8, 16, VRING_DESC_F_WRITE,
                       0);
    ax_driver_raw_avail(&d, 0, 0);
}

static void buffer_wraps(void)
{
    ax_driver_raw_desc(&d, 0, 0, UINT64_MAX - 7, 16, 0, 0);
    ax_driver_raw_avail(&d, 0, 0);
}

static void buffer_of_4g(void)
{
    ax_driver_raw_desc(&d, 0, 0, 0, UINT32_MAX, VRING_DESC_F_WRITE, 0);
    ax_driver_raw_avail(&d, 0, 0);
}

static void index_jumps(void)
{
    ax_driver_raw_avail_idx(&d, 0, 17);
}

static void read_behind_write(void)
{
    ax_driver_raw_desc(&d, 0, 0, 0x1000, 16,
                       VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
    ax_driver_raw_desc(&d, 0, 1, 0x1000, 16, 0, 0);
    ax_driver_raw_avail(&d, 0, 0);
}

static void table(uint32_t len, uint16_t flags)
{
    const ax_gpa gpa = ax_driver_alloc(&d, 64);

    ax_driver_raw_desc(&d, 0, 0, gpa, len,
                       (uint16_t)(VRING_DESC_F_INDIRECT | flags), 1);
    ax_driver_raw_desc(&d, 0, 1, 0x1000, 16, 0, 0);
    ax_driver_raw_avail(&d, 0, 0);
}

static void table_of_odd_size(void)
{
    table(17, 0);
}

static void table_of_nothing(void)
{
    table(0, 0);
}

static void table_that_goes_on(void)
{
    table(16, VRING_DESC_F_NEXT);
}

static void table_outside(void)
{
    ax_driver_raw_desc(&d, 0, 0, AX_DRIVER_MEMORY, 16, VRING_DESC_F_INDIRECT,
                       0);
    ax_driver_raw_avail(&d, 0, 0);
}

static void table_of_too_many(void)
{
    table(16 * (AX_VIRTQ_SIZE + 1), 0);
}

static void fill_table(uint16_t flags, uint16_t next)
{
    const struct vring_desc entry = {
        .addr = 0x1000, .len = 16, .flags = flags, .next = next};
    struct vring_desc entries[2] = {entry, entry};

    ax_driver_raw_desc(&d, 0, 0, ax_driver_put(&d, entries, sizeof(entries)),
                       sizeof(entries), VRING_DESC_F_INDIRECT, 0);
    ax_driver_raw_avail(&d, 0, 0);
}

static void table_in_a_table(void)
{
    fill_table(VRING_DESC_F_INDIRECT, 0);
}

static void loop_in_a_table(void)
{
    fill_table(VRING_DESC_F_NEXT, 0);
}

static void next_outside_of_a_table(void)
{
    fill_table(VRING_DESC_F_NEXT, 2);
}

static const struct crime crimes[] = {
    {"loop of descriptors", loop_of_descriptors},
    {"head outside", head_outside},
    {"next outside", next_outside},
    {"buffer outside", buffer_outside},
    {"buffer wraps", buffer_wraps},
    {"buffer of 4 GiB", buffer_of_4g},
    {"index jumps", index_jumps},
    {"read behind write", read_behind_write},
    {"table of odd size", table_of_odd_size},
    {"table of nothing", table_of_nothing},
    {"table that goes on", table_that_goes_on},
    {"table outside", table_outside},
    {"table of too many", table_of_too_many},
    {"table in a table", table_in_a_table},
    {"loop in a table", loop_in_a_table},
    {"next outside of a table", next_outside_of_a_table},
};

Test(virtio, wants_a_reset_when_a_ring_breaks_the_rules)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(crimes); i++) {
        const unsigned popped = echo()->popped;

        cr_assert(ax_driver_start(&d, BIT(VIRTIO_RING_F_INDIRECT_DESC), 16));
        crimes[i].commit();
        ax_driver_notify(&d, 0);
        ax_driver_settle(&d);
        cr_expect(ax_driver_needs_reset(&d), "%s", crimes[i].what);
        cr_expect_eq(echo()->popped, popped, "%s", crimes[i].what);
        /* It stays so, whatever else is asked, and is well after a reset. */
        ax_driver_notify(&d, 0);
        ax_driver_settle(&d);
        cr_expect_eq(echo()->popped, popped, "%s", crimes[i].what);
        cr_assert(ax_driver_start(&d, 0, 16));
        ask_echo(1);
    }
}

Test(virtio, wants_no_table_that_was_not_agreed_on)
{
    cr_assert(ax_driver_start(&d, 0, 16));
    fill_table(0, 0);
    ax_driver_notify(&d, 0);
    ax_driver_settle(&d);
    cr_expect(ax_driver_needs_reset(&d));
}

Test(virtio, takes_no_harm_from_a_packed_ring_that_does_not_end)
{
    struct vring_packed_desc *ring;

    cr_assert(ax_driver_start(&d, BIT(VIRTIO_F_RING_PACKED), 16));
    ring = ax_driver_at(&d, d.queues[0].layout.desc, 16 * sizeof(*ring));
    for (unsigned i = 0; i < 16; i++)
        ring[i] = (struct vring_packed_desc){
            .addr = 0x1000,
            .len = 16,
            .flags = VRING_DESC_F_NEXT | 1U << VRING_PACKED_DESC_F_AVAIL};
    ax_driver_notify(&d, 0);
    ax_driver_settle(&d);
    cr_expect(ax_driver_needs_reset(&d));
}

/* kvmtool's CVE-2021-45464: an index that the driver chose, used unchecked. */
Test(virtio, an_index_beyond_its_queues_reaches_none)
{
    static const uint32_t beyond[] = {QUEUES, AX_DRIVER_QUEUES, 0x7fffffff,
                                      0x80000000, UINT32_MAX};
    struct ax_virtq_layout layouts[QUEUES];
    unsigned kicks;

    cr_assert(ax_driver_negotiate(&d, 0));
    for (unsigned i = 0; i < QUEUES; i++)
        layouts[i] = echo()->v.queues[i].layout;
    for (size_t i = 0; i < AX_ARRAY_LEN(beyond); i++) {
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, 4, beyond[i]);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_NUM, 4, 16);
        for (unsigned off = VIRTIO_MMIO_QUEUE_DESC_LOW;
             off <= VIRTIO_MMIO_QUEUE_USED_HIGH; off += 4)
            ax_driver_set(&d, off, 4, 0x1000);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_READY, 4, 1);
        cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_QUEUE_READY, 4), 0);
        cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_QUEUE_NUM_MAX, 4), 0);
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 4, beyond[i]);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        cr_expect_arr_eq(&echo()->v.queues[i].layout, &layouts[i],
                         sizeof(layouts[i]));
    cr_assert(ax_driver_start(&d, 0, 16));
    ax_driver_settle(&d);
    kicks = echo()->kicks;
    for (size_t i = 0; i < AX_ARRAY_LEN(beyond); i++)
        ax_driver_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, 4, beyond[i]);
    ax_driver_settle(&d);
    cr_expect_eq(echo()->kicks, kicks);
    ask_echo(1);
}

Test(virtio, takes_no_harm_from_a_flood_of_notifications)
{
    cr_assert(ax_driver_start(&d, 0, 16));
    for (unsigned i = 0; i < 100000; i++)
        ax_driver_notify(&d, i % 5);
    ax_driver_settle(&d);
    cr_expect_leq(echo()->kicks, 8); /* they merge */
}

/* ---- short ways of an engine ---- */

struct ways {
    int bell, irq, deaf;
    int64_t value;
    unsigned bells;
};

static int ways_doorbell(void *ctx, const struct ax_bell *bell, int fd, bool on)
{
    const uint64_t reg = bell->addr % AX_DEVICE_PAGE;
    struct ways *w = ctx;

    if (bell->space != AX_SPACE_MMIO || bell->width != 4)
        return -EINVAL;
    if (reg == VIRTIO_MMIO_INTERRUPT_ACK) {
        w->deaf = on ? fd : -1;
        return bell->value == VIRTIO_MMIO_INT_VRING ? 0 : -EINVAL;
    }
    w->bell = on ? fd : -1;
    w->value = bell->value;
    w->bells += on;
    return reg == VIRTIO_MMIO_QUEUE_NOTIFY ? 0 : -EINVAL;
}

static int ways_irq(void *ctx, unsigned line, int fd, bool on)
{
    struct ways *w = ctx;

    w->irq = on ? fd : -1;
    return line == AX_DRIVER_LINE ? 0 : -EINVAL;
}

static void take_ways(struct ax_device_env *env, void *ctx)
{
    env->fast = (struct ax_fast){
        .doorbell = ways_doorbell, .irq_event = ways_irq, .ctx = ctx};
}

Test(virtio_fast, goes_the_short_ways_of_an_engine)
{
    struct ways w = {.bell = -1, .irq = -1};
    struct ax_driver_buf buf;
    eventfd_t count;
    unsigned id;
    uint32_t len;

    cr_assert_eq(ax_driver_init(&d, &echo_device, NULL, take_ways, &w), 0);
    cr_assert(w.bell >= 0 && w.irq >= 0);
    cr_expect_eq(w.value, AX_BELL_ANY);
    cr_assert(ax_driver_start(&d, 0, 16));
    ax_driver_settle(&d);
    buf = (struct ax_driver_buf){ax_driver_alloc(&d, 16), 16, true};
    ax_driver_add(&d, 0, &buf, 1);
    cr_assert_eq(eventfd_write(w.bell, 1), 0);
    cr_expect(ax_driver_wait(&d, 0, &id, &len));
    cr_expect_eq(d.interrupts, 0);
    cr_expect_eq(eventfd_read(w.irq, &count), 0);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4),
                 VIRTIO_MMIO_INT_VRING);
    ax_driver_fini(&d);
    cr_expect(w.bell == -1 && w.irq == -1);
}

static void take_late_ways(struct ax_device_env *env, void *ctx)
{
    take_ways(env, ctx);
    env->fast.irq_event_late = true;
}

Test(virtio_fast, takes_the_line_where_the_event_is_late)
{
    struct ways w = {.bell = -1, .irq = -1};
    struct ax_driver_buf buf;
    eventfd_t count;
    unsigned id;
    uint32_t len;

    cr_assert_eq(ax_driver_init(&d, &echo_device, NULL, take_late_ways, &w), 0);
    cr_assert(ax_driver_start(&d, 0, 16));
    ax_driver_settle(&d);
    buf = (struct ax_driver_buf){ax_driver_alloc(&d, 16), 16, true};
    ax_driver_add(&d, 0, &buf, 1);
    cr_assert_eq(eventfd_write(w.bell, 1), 0);
    cr_expect(ax_driver_wait(&d, 0, &id, &len));
    ax_driver_settle(&d);
    cr_expect_eq(d.interrupts, 1);
    cr_expect_eq(eventfd_read(w.irq, &count), -1);
    ax_driver_fini(&d);
}

/* The driver's acknowledgement goes to the eventfd: the bit stays for the next
 * interrupt. One of a change of the configuration comes, and is heard. */
Test(virtio_fast, acknowledgements_do_not_come)
{
    struct ways w = {.bell = -1, .irq = -1, .deaf = -1};
    const uint32_t both = VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG;
    struct ax_driver_buf buf;
    unsigned id;
    uint32_t len;

    cr_assert_eq(ax_driver_init(&d, &echo_device, NULL, take_ways, &w), 0);
    cr_assert(w.deaf >= 0);
    cr_assert(ax_driver_start(&d, 0, 16));
    ax_driver_settle(&d);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 0);
    buf = (struct ax_driver_buf){ax_driver_alloc(&d, 16), 16, true};
    ax_driver_add(&d, 0, &buf, 1);
    cr_assert_eq(eventfd_write(w.bell, 1), 0);
    cr_expect(ax_driver_wait(&d, 0, &id, &len));
    ax_virtio_reconfigure(&echo()->v, 0, "x", 1);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4), both);
    ax_driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, 4, both);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4),
                 VIRTIO_MMIO_INT_VRING);
    ax_driver_set(&d, VIRTIO_MMIO_STATUS, 4, 0);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 0);
    ax_driver_fini(&d);
    cr_expect_eq(w.deaf, -1);
}

Test(virtio_fast, lends_queues_to_who_works_on_them)
{
    struct ways w = {.bell = -1, .irq = -1};
    const int fd = eventfd(0, EFD_NONBLOCK);
    int own;

    cr_assert_eq(ax_driver_init(&d, &echo_device, NULL, take_ways, &w), 0);
    own = w.bell;
    cr_assert(ax_driver_start(&d, 0, 16));
    cr_expect_eq(ax_virtio_lend_queue(&echo()->v, 1, fd, true), 0);
    cr_expect_eq(w.bell, fd);
    cr_expect_eq(w.value, 1);
    ax_driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, 4, 3);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4),
                 VIRTIO_MMIO_INT_VRING);
    cr_expect_eq(ax_virtio_lend_queue(&echo()->v, 1, fd, false), 0);
    cr_expect_eq(w.bell, own);
    ax_driver_fini(&d);
    close(fd);
}
