/*
 * test_virtqueue.c - what a queue makes of numbers that are as large as they
 * can be, and of memory that changes while it is read. What rings look like to
 * a device is in test_virtio.c; anything at all is in fuzz_virtqueue.c.
 */
#include "devices/virtqueue.h"
#include "memory/memory.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { SIZE = 16, DESC = 0x1000, DRIVER = 0x2000, DEVICE = 0x3000 };
enum { TABLE = 0x4000, INSIDE = 0x8000, BYTES = 64, TRIES = 200000 };

#define MEMORY AX_MIB(32)

static struct ax_memory mem;
static struct ax_virtq q;
static struct ax_virtq_chain chain;

static void *at(ax_gpa gpa, uint64_t len)
{
    void *hva = ax_memory_at(&mem, gpa, len, AX_PROT_READ);

    cr_assert(hva);
    return hva;
}

static void enable(bool packed)
{
    const struct ax_virtq_layout layout = {
        .size = SIZE,
        .packed = packed,
        .indirect = true,
        .desc = DESC,
        .driver = DRIVER,
        .device = DEVICE,
    };

    memset(at(DESC, 0x3000), 0, 0x3000);
    cr_assert_eq(ax_virtq_enable(&q, &layout), 0);
}

static void init(void)
{
    ax_memory_init(&mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&mem, 0, MEMORY, AX_REGION_RAM), 0);
    ax_virtq_init(&q, &mem);
}

static void fini(void)
{
    ax_memory_fini(&mem);
}

TestSuite(virtqueue, .init = init, .fini = fini);

/* The first descriptor, made available in either format. */
static void offer(ax_gpa addr, uint32_t len, uint16_t flags)
{
    if (q.layout.packed) {
        *(struct vring_packed_desc *)at(DESC, 16) = (struct vring_packed_desc){
            .addr = addr,
            .len = len,
            .flags = flags | 1U << VRING_PACKED_DESC_F_AVAIL,
        };
    } else {
        *(struct vring_desc *)at(DESC, 16) =
            (struct vring_desc){.addr = addr, .len = len, .flags = flags};
        *(uint16_t *)at(DRIVER + 2, 2) = 1;
    }
}

/* count buffers, each of all memory. */
static void offer_table(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        void *entry = at(TABLE + 16 * i, 16);
        const bool last = i == count - 1;

        if (q.layout.packed)
            *(struct vring_packed_desc *)entry =
                (struct vring_packed_desc){.len = MEMORY};
        else
            *(struct vring_desc *)entry = (struct vring_desc){
                .len = MEMORY,
                .flags = last ? 0 : VRING_DESC_F_NEXT,
                .next = (uint16_t)(i + 1),
            };
    }
    offer(TABLE, 16 * count, VRING_DESC_F_INDIRECT);
}

Test(virtqueue, lengths_add_up_past_32_bits)
{
    for (int packed = 0; packed < 2; packed++) {
        enable(packed);
        offer_table(AX_VIRTQ_SIZE);
        cr_assert(ax_virtq_pop(&q, &chain));
        cr_expect_eq(chain.out, AX_VIRTQ_SIZE);
        cr_expect_eq(chain.out_bytes, AX_VIRTQ_SIZE * MEMORY);
        cr_expect_gt(chain.out_bytes, UINT32_MAX);
    }
}

Test(virtqueue, a_table_is_no_longer_than_the_longest_queue)
{
    for (int packed = 0; packed < 2; packed++) {
        enable(packed);
        offer_table(AX_VIRTQ_SIZE + 1);
        cr_expect_not(ax_virtq_pop(&q, &chain));
        cr_expect(q.broken && q.why);
    }
}

Test(virtqueue, addresses_do_not_wrap)
{
    static const struct {
        ax_gpa addr;
        uint32_t len;
    } bad[] = {
        {UINT64_MAX, 1},     {UINT64_MAX, 2},
        {UINT64_MAX - 1, 2}, {UINT64_MAX - 0xfff, 0x1000},
        {0, UINT32_MAX},     {MEMORY, 1},
        {MEMORY - 1, 2},     {MEMORY - 1, UINT32_MAX},
        {1ULL << 32, 1},     {1ULL << 63, 1},
    };

    for (int packed = 0; packed < 2; packed++) {
        for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++) {
            for (int in = 0; in < 2; in++) {
                enable(packed);
                offer(bad[i].addr, bad[i].len, in ? VRING_DESC_F_WRITE : 0);
                cr_expect_not(ax_virtq_pop(&q, &chain), "%zu", i);
                cr_expect(q.broken, "%zu", i);
                enable(packed); /* the same for the place of a table */
                offer(bad[i].addr, bad[i].len & ~15U, VRING_DESC_F_INDIRECT);
                cr_expect_not(ax_virtq_pop(&q, &chain), "%zu", i);
                cr_expect(q.broken, "%zu", i);
            }
        }
    }
}

Test(virtqueue, says_no_more_than_32_bits_were_written)
{
    enable(false);
    offer(INSIDE, BYTES, VRING_DESC_F_WRITE);
    cr_assert(ax_virtq_pop(&q, &chain));
    ax_virtq_push(&q, &chain, (size_t)UINT32_MAX + 2);
    cr_expect_eq(*(uint32_t *)at(DEVICE + 8, 4), UINT32_MAX);
}

/* ---- memory that changes ---- */

static atomic_bool enough;

/* A descriptor that is good at one moment, and not at the next. */
static void *flip(void *arg)
{
    _Atomic uint64_t *addr = arg;
    _Atomic uint32_t *len = (_Atomic uint32_t *)(addr + 1);

    while (!atomic_load(&enough)) {
        atomic_store(addr, INSIDE);
        atomic_store(len, BYTES);
        atomic_store(addr, MEMORY - BYTES);
        atomic_store(len, UINT32_MAX);
        atomic_store(addr, UINT64_MAX);
    }
    return NULL;
}

/* Whatever was read is what was checked, and nothing else is used. */
Test(virtqueue, uses_what_it_has_checked, .timeout = 60)
{
    unsigned good = 0, bad = 0;
    pthread_t thread;
    ax_gpa gpa;

    enable(false);
    offer(INSIDE, BYTES, 0);
    atomic_init(&enough, false);
    cr_assert_eq(pthread_create(&thread, NULL, flip, at(DESC, 12)), 0);
    for (unsigned i = 0; i < TRIES || !good || !bad; i++) {
        q.avail = 0; /* again */
        q.broken = false;
        if (!ax_virtq_pop(&q, &chain)) {
            bad++;
            continue;
        }
        good++;
        cr_assert_eq(chain.out, 1);
        cr_assert_eq(chain.iov[0].iov_len, BYTES);
        cr_assert(ax_memory_gpa(&mem, chain.iov[0].iov_base, &gpa));
        cr_assert(gpa == INSIDE || gpa == MEMORY - BYTES);
    }
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
}
