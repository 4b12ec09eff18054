/*
 * test_virtio_9p.c - the 9P transport: its tag, messages through its queue, and
 * what becomes of a session. The file server is test_share*.c's.
 */
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/p9_client.h"
#include "fake/virtio_driver.h"
#include "unit/share_fixture.h"

#include <linux/virtio_9p.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#define BIT(n) (1ULL << (n))
#define RING_BITS                                                              \
    (BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

enum { CONFIG = 0x100, PAGE = 4096, BOUNCE = P9_MSIZE };

static struct ax_driver d;
static char tag[] = "work";
static struct ax_share_conf conf = {.tag = tag, .path = inside};
static ax_gpa question, answer;

/* As Linux does it: a descriptor for each page of either. */
static unsigned add_pages(struct ax_driver_buf *bufs, ax_gpa gpa, size_t size,
                          bool in)
{
    unsigned count = 0;

    for (size_t off = 0; off < size; off += PAGE) {
        size_t len = size - off < PAGE ? size - off : PAGE;

        bufs[count++] = (struct ax_driver_buf){gpa + off, (uint32_t)len, in};
    }
    return count;
}

static size_t carry_by_queue(void *ctx, const void *msg, size_t len, void *back,
                             size_t room)
{
    struct ax_driver_buf bufs[2 * P9_MSIZE / PAGE];
    unsigned count = add_pages(bufs, question, len, false);
    int64_t used;

    memcpy(ax_driver_at(&d, question, len), msg, len);
    count += add_pages(bufs + count, answer, room, true);
    used = ax_driver_ask(&d, 0, bufs, count);
    if (used < 0)
        return 0;
    memcpy(back, ax_driver_at(&d, answer, (size_t)used), (size_t)used);
    return (size_t)used;
}

static void setup(void)
{
    share_setup();
    cr_assert_eq(ax_driver_init(&d, &ax_virtio_9p, &conf, NULL, NULL), 0);
    question = ax_driver_alloc(&d, BOUNCE);
    answer = ax_driver_alloc(&d, BOUNCE);
    client.carry = carry_by_queue;
    client.room = 64 * PAGE;
}

static void teardown(void)
{
    ax_driver_fini(&d);
    share_teardown();
}

TestSuite(virtio_9p, .init = setup, .fini = teardown, .timeout = 60);

static void start(uint64_t features)
{
    d.indirect = features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
    cr_assert(ax_driver_start(&d, features, 128));
    cr_assert_eq(p9_start(c, 60 * PAGE, 0), 0);
}

Test(virtio_9p, tells_its_tag)
{
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_DEVICE_ID, 4), 9);
    cr_expect(ax_driver_offered(&d) & BIT(VIRTIO_9P_MOUNT_TAG));
    cr_expect_eq(ax_driver_get(&d, CONFIG, 2), 4);
    for (unsigned i = 0; i < 4; i++)
        cr_expect_eq(ax_driver_get(&d, CONFIG + 2 + i, 1), tag[i]);
    ax_driver_set(&d, CONFIG, 2, 99);
    cr_expect_eq(ax_driver_get(&d, CONFIG, 2), 4, "read only");
}

/* A file there and back, with messages of many descriptors. */
static void copy_a_file(uint64_t features)
{
    static char big[200000], back[sizeof(big)];

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 31 + i / 4096);
    start(features);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, ""), 0);
    cr_assert_eq(p9_create(c, 1, "file", O_RDWR, 0644), 0);
    cr_assert_eq(p9_write(c, 1, 0, big, sizeof(big)), sizeof(big));
    cr_assert_eq(p9_read(c, 1, 0, back, sizeof(back)), sizeof(back));
    cr_expect_eq(memcmp(big, back, sizeof(big)), 0);
    cr_expect_gt(d.interrupts, 0);
    cr_expect_eq(p9_walk(c, P9_ROOT, 2, "none"), -ENOENT);
}

Test(virtio_9p, carries_messages)
{
    copy_a_file(0);
}

Test(virtio_9p, carries_messages_indirectly)
{
    copy_a_file(RING_BITS);
}

Test(virtio_9p, carries_messages_in_a_packed_ring)
{
    copy_a_file(RING_BITS | BIT(VIRTIO_F_RING_PACKED));
}

Test(virtio_9p, many_at_once)
{
    static const uint8_t flush[] = {9, 0, 0, 0, P9_FLUSH, 1, 0, 0, 0};
    struct ax_driver_buf bufs[2];
    unsigned id;
    uint32_t len;

    start(0);
    memcpy(ax_driver_at(&d, question, sizeof(flush)), flush, sizeof(flush));
    bufs[0] = (struct ax_driver_buf){question, sizeof(flush), false};
    bufs[1] = (struct ax_driver_buf){answer, 64, true};
    for (unsigned i = 0; i < 64; i++)
        cr_assert_geq(ax_driver_add(&d, 0, bufs, 2), 0);
    ax_driver_notify(&d, 0);
    for (unsigned i = 0; i < 64; i++) {
        cr_assert(ax_driver_wait(&d, 0, &id, &len));
        cr_expect_eq(len, P9_FRAME);
    }
}

Test(virtio_9p, a_reset_ends_the_session)
{
    char link[64], fd[32];
    unsigned open = 0;

    start(0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, ""), 0);
    cr_assert_eq(p9_create(c, 1, "file", O_RDWR, 0644), 0);
    ax_driver_reset(&d);
    for (int i = 0; i < 256; i++) {
        ssize_t len;

        snprintf(fd, sizeof(fd), "/proc/self/fd/%d", i);
        len = readlink(fd, link, sizeof(link) - 1);
        link[len > 0 ? len : 0] = '\0';
        open += !!strstr(link, "/in/file");
    }
    cr_expect_eq(open, 0);
    cr_assert(ax_driver_start(&d, 0, 128));
    cr_expect_eq(p9_clunk(c, P9_ROOT), -EPROTO);
    cr_expect_eq(p9_start(c, PAGE, 0), 0);
}

Test(virtio_9p, a_request_without_a_message_is_given_back)
{
    struct ax_driver_buf in = {answer, 64, true}, out = {question, 64, false};

    start(0);
    cr_expect_eq(ax_driver_ask(&d, 0, &in, 1), 0);
    cr_expect_eq(ax_driver_ask(&d, 0, &out, 1), 0);
    cr_expect_eq(p9_walk(c, P9_ROOT, 1, ""), 0, "and it goes on");
}

Test(virtio_9p, a_broken_queue_waits_for_a_reset)
{
    start(0);
    ax_driver_raw_avail(&d, 0, 999);
    ax_driver_notify(&d, 0);
    ax_driver_settle(&d);
    cr_expect(ax_driver_needs_reset(&d));
    start(0);
}

/* ---- what it is made of ---- */

static int create(char *with_tag, char *path)
{
    struct ax_share_conf other = {.tag = with_tag, .path = path};
    struct ax_driver none;
    int err = ax_driver_init(&none, &ax_virtio_9p, &other, NULL, NULL);

    ax_driver_fini(&none);
    return err;
}

Test(virtio_9p, needs_a_tag_and_a_directory)
{
    char long_tag[300], nowhere[] = "/nowhere/at/all", none[] = "";

    memset(long_tag, 't', sizeof(long_tag));
    long_tag[255] = '\0';
    cr_expect_eq(create(long_tag, inside), -EINVAL);
    long_tag[254] = '\0';
    cr_expect_eq(create(long_tag, inside), 0);
    cr_expect_eq(create(none, inside), -EINVAL);
    cr_expect_eq(create(NULL, inside), -EINVAL);
    cr_expect_eq(create(tag, nowhere), -ENOENT);
}
