/*
 * test_virtio_blk.c - requests of a disk, good and bad, over each kind of back
 * end. VIRTIO 1.2, 5.2.
 */
#include "devices/loop.h"
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/virtio_driver.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, SECTORS = 4096, SIZE = SECTORS * SECTOR, QUEUES = 4 };
enum { NO_STATUS = 0xee };

#define BIT(n) (1ULL << (n))
#define ALL    (~0ULL)

static struct ax_driver d;
static char path[256];
static struct ax_disk_conf conf;

/* ---- an image ---- */

static uint8_t pattern(uint64_t sector)
{
    return (uint8_t)(sector * 7 + 1);
}

static void make_image(const char *dir, unsigned sectors)
{
    uint8_t bytes[SECTOR];
    int fd;

    snprintf(path, sizeof(path), "%s/disk-XXXXXX", dir);
    fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    for (unsigned i = 0; i < sectors; i++) {
        memset(bytes, pattern(i), sizeof(bytes));
        cr_assert_eq(write(fd, bytes, sizeof(bytes)), SECTOR);
    }
    close(fd);
    conf.path = path;
    conf.format = AX_DISK_RAW;
    conf.block_size = SECTOR;
    conf.queues = conf.queues ? conf.queues : 1;
}

static uint8_t image_byte(uint64_t off)
{
    const int fd = open(path, O_RDONLY);
    uint8_t byte = 0;

    cr_assert_eq(pread(fd, &byte, 1, (off_t)off), 1);
    close(fd);
    return byte;
}

static void fini(void)
{
    ax_driver_fini(&d);
    if (*path)
        unlink(path);
    *path = '\0';
}

/* ---- requests ---- */

static void begin(uint64_t features)
{
    cr_assert_eq(ax_driver_init(&d, &ax_virtio_blk, &conf, NULL, NULL), 0);
    cr_assert(ax_driver_start(&d, features, 64));
}

static void plain(void)
{
    make_image("/dev/shm", SECTORS);
    begin(ALL);
}

struct sent {
    ax_gpa status;
    int id;
};

/* data.in: the device's; a length of 0 is left out. */
static struct sent send(unsigned queue, uint32_t type, uint64_t sector,
                        struct ax_driver_buf data)
{
    const struct virtio_blk_outhdr header = {.type = type, .sector = sector};
    const uint8_t none = NO_STATUS;
    struct sent sent = {.status = ax_driver_put(&d, &none, 1)};
    struct ax_driver_buf bufs[3] = {
        {ax_driver_put(&d, &header, sizeof(header)), sizeof(header), false}};
    unsigned count = 1;

    if (data.len)
        bufs[count++] = data;
    bufs[count++] = (struct ax_driver_buf){sent.status, 1, true};
    sent.id = ax_driver_add(&d, queue, bufs, count);
    cr_assert_geq(sent.id, 0);
    return sent;
}

static uint8_t status_of(struct sent sent)
{
    return *(uint8_t *)ax_driver_at(&d, sent.status, 1);
}

/* The status, and *len of the used ring. */
static uint8_t ask_len(uint32_t type, uint64_t sector,
                       struct ax_driver_buf data, uint32_t *len)
{
    const struct sent sent = send(0, type, sector, data);
    unsigned id;

    ax_driver_notify(&d, 0);
    cr_assert(ax_driver_wait(&d, 0, &id, len));
    cr_assert_eq(id, (unsigned)sent.id);
    return status_of(sent);
}

static uint8_t ask(uint32_t type, uint64_t sector, struct ax_driver_buf data)
{
    uint32_t len;

    return ask_len(type, sector, data, &len);
}

static struct ax_driver_buf nothing(void)
{
    return (struct ax_driver_buf){0};
}

static struct ax_driver_buf buffer(size_t bytes, bool in)
{
    /* aligned to its size, for O_DIRECT */
    d.allocated = ax_align_up(d.allocated, 4096);
    return (struct ax_driver_buf){ax_driver_alloc(&d, bytes), (uint32_t)bytes,
                                  in};
}

static uint8_t *at(struct ax_driver_buf buf)
{
    return ax_driver_at(&d, buf.gpa, buf.len);
}

static struct ax_driver_buf filled(size_t bytes, uint8_t with)
{
    const struct ax_driver_buf buf = buffer(bytes, false);

    memset(at(buf), with, bytes);
    return buf;
}

static bool is_all(struct ax_driver_buf buf, uint8_t byte)
{
    const uint8_t *bytes = at(buf);

    return bytes[0] == byte && !memcmp(bytes, bytes + 1, buf.len - 1);
}

/* What the disk has at sector: all bytes of it, or the test fails. */
static uint8_t disk_byte(uint64_t sector)
{
    const struct ax_driver_buf buf = buffer(SECTOR, true);

    cr_assert_eq(ask(VIRTIO_BLK_T_IN, sector, buf), VIRTIO_BLK_S_OK);
    cr_assert(is_all(buf, *at(buf)), "sector %llu", (unsigned long long)sector);
    return *at(buf);
}

static uint64_t config(unsigned off, unsigned width)
{
    return ax_driver_get(&d, VIRTIO_MMIO_CONFIG + off, width);
}

#define CONFIG(field)                                                          \
    config(offsetof(struct virtio_blk_config, field),                          \
           sizeof(((struct virtio_blk_config *)0)->field))

/* ---- every kind of back end ---- */

static const struct kind {
    char name[16];
    bool memory; /* on tmpfs */
    bool overlay;
    enum ax_disk_cache cache;
    uint64_t features; /* of the ring */
} kinds[] = {
    {"memory", true, false, AX_DISK_WRITEBACK, ALL},
    {"split", true, false, AX_DISK_WRITEBACK, ~BIT(VIRTIO_F_RING_PACKED)},
    {"bare", true, false, AX_DISK_WRITEBACK, 0},
    {"writeback", false, false, AX_DISK_WRITEBACK, ALL},
    {"writethrough", false, false, AX_DISK_WRITETHROUGH, ALL},
    {"direct", false, false, AX_DISK_DIRECT, ALL},
    {"unsafe", false, false, AX_DISK_UNSAFE, ALL},
    {"overlay", false, true, AX_DISK_WRITEBACK, ALL},
};

static void begin_kind(const struct kind *kind)
{
    conf.overlay = kind->overlay;
    conf.cache = kind->cache;
    make_image(kind->memory ? "/dev/shm" : AX_BINARY_DIR, SECTORS);
    begin(kind->features);
}

#define EACH_KIND(name)                                                        \
    ParameterizedTestParameters(virtio_blk, name)                              \
    {                                                                          \
        return cr_make_param_array(const struct kind, kinds,                   \
                                   AX_ARRAY_LEN(kinds));                       \
    }                                                                          \
    ParameterizedTest(const struct kind *kind, virtio_blk, name)

TestSuite(virtio_blk, .fini = fini, .timeout = 60);

EACH_KIND(reads_and_writes)
{
    struct ax_driver_buf out, in;
    uint32_t len;

    begin_kind(kind);
    in = buffer(4096, true);
    cr_expect_eq(ask_len(VIRTIO_BLK_T_IN, 8, in, &len), VIRTIO_BLK_S_OK);
    cr_expect_eq(len, 4097);
    for (unsigned i = 0; i < 8; i++)
        cr_expect_eq(at(in)[i * SECTOR + 511], pattern(8 + i));
    out = filled(4096, 0xa5);
    cr_expect_eq(ask_len(VIRTIO_BLK_T_OUT, 8, out, &len), VIRTIO_BLK_S_OK);
    cr_expect_eq(len, 1);
    cr_expect_eq(ask(VIRTIO_BLK_T_FLUSH, 0, nothing()), VIRTIO_BLK_S_OK);
    cr_expect_eq(disk_byte(7), pattern(7));
    cr_expect_eq(disk_byte(8), 0xa5);
    cr_expect_eq(disk_byte(15), 0xa5);
    cr_expect_eq(disk_byte(16), pattern(16));
    cr_expect_eq(image_byte(8 * SECTOR), kind->overlay ? pattern(8) : 0xa5);
    cr_expect_eq(disk_byte(SECTORS - 1), pattern(SECTORS - 1));
}

/* A megabyte of many pieces of odd sizes, none of them aligned. */
EACH_KIND(takes_memory_as_it_comes)
{
    enum { PIECES = 40, BYTES = 128 * SECTOR };
    const struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_IN,
                                             .sector = 100};
    struct ax_driver_buf bufs[PIECES + 2], whole;
    uint64_t left = BYTES, off = 0;

    begin_kind(kind);
    whole = buffer(BYTES + 16, true);
    bufs[0] = (struct ax_driver_buf){ax_driver_put(&d, &header, sizeof(header)),
                                     sizeof(header), false};
    for (unsigned i = 1; i <= PIECES; i++) {
        const uint64_t n = i == PIECES ? left : i * 37;

        bufs[i] =
            (struct ax_driver_buf){whole.gpa + 3 + off, (uint32_t)n, true};
        off += n;
        left -= n;
    }
    bufs[PIECES + 1] = (struct ax_driver_buf){ax_driver_alloc(&d, 1), 1, true};
    cr_assert_eq(ax_driver_ask(&d, 0, bufs, PIECES + 2), BYTES + 1);
    for (unsigned i = 0; i < BYTES; i += 100)
        cr_expect_eq(at(whole)[3 + i], pattern(100 + i / SECTOR));
    /* ... and back to elsewhere */
    ((struct virtio_blk_outhdr *)ax_driver_at(&d, bufs[0].gpa, 16))->type = 1;
    ((struct virtio_blk_outhdr *)ax_driver_at(&d, bufs[0].gpa, 16))->sector =
        1001;
    for (unsigned i = 1; i <= PIECES; i++)
        bufs[i].in = false;
    cr_assert_eq(ax_driver_ask(&d, 0, bufs, PIECES + 2), 1);
    cr_expect_eq(*(uint8_t *)ax_driver_at(&d, bufs[PIECES + 1].gpa, 1), 0);
    for (unsigned i = 0; i < 128; i++)
        cr_expect_eq(disk_byte(1001 + i), pattern(100 + i));
    cr_expect_eq(disk_byte(1000), pattern(1000));
    cr_expect_eq(disk_byte(1129), pattern(1129));
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t count,
                     uint32_t flags)
{
    const struct virtio_blk_discard_write_zeroes what = {
        .sector = sector, .num_sectors = count, .flags = flags};

    return ask(type, 0,
               (struct ax_driver_buf){ax_driver_put(&d, &what, sizeof(what)),
                                      sizeof(what), false});
}

EACH_KIND(zeroes_and_discards)
{
    begin_kind(kind);
    cr_expect_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 3, 21, 0), VIRTIO_BLK_S_OK);
    cr_expect_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 40, 16, 1), VIRTIO_BLK_S_OK);
    cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, 64, 64, 0), VIRTIO_BLK_S_OK);
    cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, 0, 0, 0), VIRTIO_BLK_S_OK);
    cr_expect_eq(disk_byte(2), pattern(2));
    cr_expect_eq(disk_byte(3), 0);
    cr_expect_eq(disk_byte(23), 0);
    cr_expect_eq(disk_byte(24), pattern(24));
    cr_expect_eq(disk_byte(40), 0);
    cr_expect_eq(disk_byte(55), 0);
    cr_expect_eq(disk_byte(56), pattern(56));
    cr_expect_eq(disk_byte(63), pattern(63));
    cr_expect_eq(disk_byte(128), pattern(128));
    cr_expect_eq(ask(VIRTIO_BLK_T_FLUSH, 0, nothing()), VIRTIO_BLK_S_OK);
}

EACH_KIND(takes_many_ranges_at_once)
{
    struct virtio_blk_discard_write_zeroes what[17] = {{0}};
    ax_gpa gpa;

    begin_kind(kind);
    for (unsigned i = 0; i < 17; i++)
        what[i] = (struct virtio_blk_discard_write_zeroes){
            .sector = i * 4, .num_sectors = 1, .flags = i & 1};
    gpa = ax_driver_put(&d, what, sizeof(what));
    cr_expect_eq(ask(VIRTIO_BLK_T_WRITE_ZEROES, 0,
                     (struct ax_driver_buf){gpa, 16 * sizeof(*what), false}),
                 VIRTIO_BLK_S_OK);
    cr_expect_eq(ask(VIRTIO_BLK_T_WRITE_ZEROES, 0,
                     (struct ax_driver_buf){gpa, 17 * sizeof(*what), false}),
                 VIRTIO_BLK_S_IOERR, "more than it says it takes");
    for (unsigned i = 0; i < 16; i++) {
        cr_expect_eq(disk_byte(i * 4), 0);
        cr_expect_eq(disk_byte(i * 4 + 1), pattern(i * 4 + 1));
    }
    cr_expect_eq(disk_byte(64), pattern(64));
}

/* Writes, each followed by a read of the same place once all are done; more
 * than the ring of a small queue has room for at a time. */
EACH_KIND(works_on_batches)
{
    enum { ROUNDS = 6, BATCH = 12 };
    struct ax_driver_buf bufs[BATCH];
    struct sent sent[BATCH];
    unsigned id;
    uint32_t len;

    begin_kind(kind);
    d.indirect = true;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const bool write = round % 2 == 0;

        for (unsigned i = 0; i < BATCH; i++) {
            bufs[i] = write ? filled(8192, (uint8_t)(round * BATCH + i))
                            : buffer(8192, true);
            sent[i] = send(0, write, i * 16, bufs[i]);
        }
        ax_driver_notify(&d, 0);
        for (unsigned i = 0; i < BATCH; i++)
            cr_assert(ax_driver_wait(&d, 0, &id, &len));
        for (unsigned i = 0; i < BATCH; i++) {
            cr_expect_eq(status_of(sent[i]), VIRTIO_BLK_S_OK);
            cr_expect(write ||
                      is_all(bufs[i], (uint8_t)((round - 1) * BATCH + i)));
        }
    }
}

EACH_KIND(flushes_together_with_writes)
{
    struct sent sent[20];
    unsigned id;
    uint32_t len;

    begin_kind(kind);
    d.indirect = true;
    for (unsigned i = 0; i < 20; i++)
        sent[i] = i % 2 ? send(0, VIRTIO_BLK_T_FLUSH, 0, nothing())
                        : send(0, VIRTIO_BLK_T_OUT, i, filled(SECTOR, 0x11));
    ax_driver_notify(&d, 0);
    for (unsigned i = 0; i < 20; i++)
        cr_assert(ax_driver_wait(&d, 0, &id, &len));
    for (unsigned i = 0; i < 20; i++)
        cr_expect_eq(status_of(sent[i]), VIRTIO_BLK_S_OK);
}

/* Whatever is in flight has ended when the register is written. */
EACH_KIND(is_reset_while_it_works)
{
    enum { BATCH = 16 };
    struct ax_driver_buf bufs[BATCH];

    begin_kind(kind);
    d.indirect = true;
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < BATCH; i++) {
            bufs[i] = buffer(16384, true);
            send(0, VIRTIO_BLK_T_IN, i * 32, bufs[i]);
            if (i % 5 == 4)
                send(0, VIRTIO_BLK_T_FLUSH, 0, nothing());
        }
        ax_driver_notify(&d, 0);
        if (round & 1)
            ax_driver_settle(&d);
        ax_driver_reset(&d);
        for (unsigned i = 0; i < BATCH; i++)
            memset(at(bufs[i]), 0x77, 16384);
        cr_assert(ax_driver_start(&d, kind->features, 64));
        ax_driver_settle(&d);
        for (unsigned i = 0; i < BATCH; i++)
            cr_expect(is_all(bufs[i], 0x77));
    }
    cr_expect_eq(disk_byte(5), pattern(5));
}

/* ---- what the driver is told ---- */

Test(virtio_blk, says_what_it_is)
{
    char serial[] = "SN-0123456789abcdefgh";
    struct ax_driver_buf id;
    uint32_t len;

    conf.serial = serial;
    conf.queues = QUEUES;
    plain();
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_DEVICE_ID, 4), 2);
    cr_expect_eq(CONFIG(capacity), SECTORS);
    cr_expect_eq(CONFIG(seg_max), 254);
    cr_expect_eq(CONFIG(blk_size), 512);
    cr_expect_eq(CONFIG(physical_block_exp), 3);
    cr_expect_eq(CONFIG(num_queues), QUEUES);
    cr_expect_eq(CONFIG(wce), 1);
    cr_expect_eq(CONFIG(max_discard_seg), 16);
    cr_expect_eq(d.features & (BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_MQ)),
                 BIT(VIRTIO_BLK_F_MQ));
    id = buffer(20, true);
    cr_expect_eq(ask_len(VIRTIO_BLK_T_GET_ID, 0, id, &len), VIRTIO_BLK_S_OK);
    cr_expect_eq(len, 21);
    cr_expect_arr_eq(at(id), serial, 20);
    id = filled(8, 0x55);
    id.in = true;
    cr_expect_eq(ask(VIRTIO_BLK_T_GET_ID, 0, id), VIRTIO_BLK_S_OK);
    cr_expect_arr_eq(at(id), serial, 8);
}

Test(virtio_blk, works_on_several_queues)
{
    struct sent sent[QUEUES];
    struct ax_driver_buf bufs[QUEUES];
    unsigned id;
    uint32_t len;

    conf.queues = QUEUES;
    plain();
    for (unsigned i = 0; i < QUEUES; i++) {
        bufs[i] = buffer(SECTOR, true);
        sent[i] = send(i, VIRTIO_BLK_T_IN, i * 9, bufs[i]);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        ax_driver_notify(&d, i);
    for (unsigned i = 0; i < QUEUES; i++) {
        cr_assert(ax_driver_wait(&d, i, &id, &len));
        cr_expect_eq(status_of(sent[i]), VIRTIO_BLK_S_OK);
        cr_expect(is_all(bufs[i], pattern(i * 9)));
    }
}

Test(virtio_blk, interrupts_once_for_a_batch)
{
    struct sent sent[8];
    unsigned id, before;
    uint32_t len;

    plain();
    before = d.interrupts;
    for (unsigned i = 0; i < 8; i++)
        sent[i] = send(0, VIRTIO_BLK_T_IN, i, buffer(SECTOR, true));
    ax_driver_notify(&d, 0);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert(ax_driver_wait(&d, 0, &id, &len));
        cr_expect_eq(status_of(sent[i]), VIRTIO_BLK_S_OK);
    }
    cr_expect_eq(d.interrupts, before + 1);
}

Test(virtio_blk, a_driver_without_caches_gets_none)
{
    make_image(AX_BINARY_DIR, SECTORS);
    begin(0);
    cr_expect_eq(ask(VIRTIO_BLK_T_OUT, 1, filled(SECTOR, 9)), VIRTIO_BLK_S_OK);
    cr_expect_eq(image_byte(SECTOR), 9);
    /* ... and one that asks for none */
    cr_assert(ax_driver_start(&d, ALL, 16));
    ax_driver_set(&d, VIRTIO_MMIO_CONFIG + 32, 1, 0);
    cr_expect_eq(CONFIG(wce), 0);
    cr_expect_eq(ask(VIRTIO_BLK_T_OUT, 1, filled(SECTOR, 8)), VIRTIO_BLK_S_OK);
    cr_expect_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 2, 1, 0), VIRTIO_BLK_S_OK);
    ax_driver_set(&d, VIRTIO_MMIO_CONFIG, 1, 0); /* nothing else changes */
    cr_expect_eq(CONFIG(capacity), SECTORS);
    ax_driver_reset(&d);
    cr_expect_eq(CONFIG(wce), 1);
}

/* ---- what is not right ---- */

Test(virtio_blk, a_read_only_disk_stays_as_it_is)
{
    conf.readonly = true;
    plain();
    cr_expect(d.features & BIT(VIRTIO_BLK_F_RO));
    cr_expect_not(d.features & BIT(VIRTIO_BLK_F_DISCARD));
    cr_expect_eq(disk_byte(1), pattern(1));
    cr_expect_eq(ask(VIRTIO_BLK_T_OUT, 1, filled(SECTOR, 9)),
                 VIRTIO_BLK_S_IOERR);
    cr_expect_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 1, 1, 0), VIRTIO_BLK_S_IOERR);
    cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, 1, 1, 0), VIRTIO_BLK_S_IOERR);
    cr_expect_eq(ask(VIRTIO_BLK_T_FLUSH, 0, nothing()), VIRTIO_BLK_S_OK);
    cr_expect_eq(disk_byte(1), pattern(1));
}

Test(virtio_blk, refuses_what_lies_beyond_the_end)
{
    static const struct {
        uint64_t sector;
        uint32_t bytes;
    } bad[] = {
        {SECTORS, SECTOR},
        {SECTORS - 1, 2 * SECTOR},
        {SECTORS + 1, SECTOR},
        {UINT64_MAX, SECTOR},
        {UINT64_MAX / SECTOR + 1, SECTOR}, /* 0 if it wraps */
        {UINT64_MAX / SECTOR, 4096},
        {1, SECTOR - 1},
        {1, SECTOR + 1},
        {1, 1},
    };

    plain();
    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++) {
        cr_expect_eq(
            ask(VIRTIO_BLK_T_IN, bad[i].sector, buffer(bad[i].bytes, true)),
            VIRTIO_BLK_S_IOERR, "read %zu", i);
        cr_expect_eq(
            ask(VIRTIO_BLK_T_OUT, bad[i].sector, filled(bad[i].bytes, 1)),
            VIRTIO_BLK_S_IOERR, "write %zu", i);
        cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, bad[i].sector,
                           bad[i].bytes / SECTOR + 8, 0),
                     bad[i].bytes % SECTOR ? VIRTIO_BLK_S_OK
                                           : VIRTIO_BLK_S_IOERR,
                     "discard %zu", i);
    }
    cr_expect_eq(ask(VIRTIO_BLK_T_IN, 1, nothing()), VIRTIO_BLK_S_OK);
    cr_expect_eq(disk_byte(SECTORS - 1), pattern(SECTORS - 1));
}

/* 4 GiB and a sector, which is a sector where a length has 32 bits. */
Test(virtio_blk, refuses_lengths_that_add_up_past_32_bits)
{
    enum { PARTS = 128, PART = 32 << 20 };
    const struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_IN};
    struct ax_driver_buf bufs[PARTS + 3];
    const uint8_t none = NO_STATUS;

    plain();
    d.indirect = true;
    bufs[0] = (struct ax_driver_buf){ax_driver_put(&d, &header, 16), 16, false};
    for (unsigned i = 1; i <= PARTS; i++)
        bufs[i] = (struct ax_driver_buf){AX_DRIVER_MEMORY - PART, PART, true};
    bufs[PARTS + 1] = buffer(SECTOR, true);
    bufs[PARTS + 2] =
        (struct ax_driver_buf){ax_driver_put(&d, &none, 1), 1, true};
    cr_expect_geq(ax_driver_ask(&d, 0, bufs, AX_ARRAY_LEN(bufs)), 0);
    cr_expect_eq(*at(bufs[PARTS + 2]), VIRTIO_BLK_S_IOERR);
    cr_expect_not(ax_driver_needs_reset(&d));
}

Test(virtio_blk, refuses_ranges_that_it_did_not_offer)
{
    struct ax_driver_buf odd;

    plain();
    cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, 0, 1, 1), VIRTIO_BLK_S_UNSUPP);
    cr_expect_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2),
                 VIRTIO_BLK_S_UNSUPP);
    cr_expect_eq(range(VIRTIO_BLK_T_DISCARD, 0, UINT32_MAX, 0),
                 VIRTIO_BLK_S_IOERR);
    cr_expect_eq(ask(VIRTIO_BLK_T_DISCARD, 0, nothing()), VIRTIO_BLK_S_IOERR);
    odd = filled(17, 0);
    cr_expect_eq(ask(VIRTIO_BLK_T_DISCARD, 0, odd), VIRTIO_BLK_S_IOERR);
    for (uint32_t type = 2; type < 32; type++) {
        if (type != VIRTIO_BLK_T_FLUSH && type != VIRTIO_BLK_T_GET_ID &&
            type != VIRTIO_BLK_T_DISCARD && type != VIRTIO_BLK_T_WRITE_ZEROES)
            cr_expect_eq(ask(type, 0, nothing()), VIRTIO_BLK_S_UNSUPP);
    }
    cr_expect_eq(ask(0x80000001, 0, nothing()), VIRTIO_BLK_S_UNSUPP);
    cr_expect_not(ax_driver_needs_reset(&d));
}

Test(virtio_blk, requests_without_a_status_or_a_header)
{
    const struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_OUT};
    struct ax_driver_buf bufs[2];
    const uint8_t none = NO_STATUS;

    plain();
    bufs[0] = (struct ax_driver_buf){ax_driver_put(&d, &header, 16), 16, false};
    bufs[1] = filled(SECTOR, 3);
    cr_expect_eq(ax_driver_ask(&d, 0, bufs, 1), 0);
    cr_expect_eq(ax_driver_ask(&d, 0, bufs, 2), 0);
    cr_expect_eq(disk_byte(0), pattern(0), "not written");
    /* a header that is cut, or none */
    bufs[0].len = 15;
    bufs[1] = (struct ax_driver_buf){ax_driver_put(&d, &none, 1), 1, true};
    cr_expect_eq(ax_driver_ask(&d, 0, bufs, 2), 1);
    cr_expect_eq(*at(bufs[1]), VIRTIO_BLK_S_IOERR);
    *at(bufs[1]) = NO_STATUS;
    cr_expect_eq(ax_driver_ask(&d, 0, bufs + 1, 1), 1);
    cr_expect_eq(*at(bufs[1]), VIRTIO_BLK_S_IOERR);
    cr_expect_not(ax_driver_needs_reset(&d));
}

Test(virtio_blk, a_queue_that_breaks_needs_a_reset)
{
    make_image("/dev/shm", SECTORS);
    begin(0);
    ax_driver_raw_desc(&d, 0, 0, AX_DRIVER_MEMORY, 16, 0, 0);
    ax_driver_raw_avail(&d, 0, 0);
    ax_driver_notify(&d, 0);
    ax_driver_settle(&d);
    cr_expect(ax_driver_needs_reset(&d));
    cr_assert(ax_driver_start(&d, 0, 16));
    cr_expect_eq(disk_byte(1), pattern(1));
}

/* ---- the host has no luck ---- */

EACH_KIND(an_image_that_shrinks_gives_errors)
{
    begin_kind(kind);
    cr_assert_eq(truncate(path, SIZE / 2), 0);
    cr_expect_eq(ask(VIRTIO_BLK_T_IN, SECTORS - 8, buffer(4096, true)),
                 VIRTIO_BLK_S_IOERR);
    cr_expect_eq(ask(VIRTIO_BLK_T_IN, SECTORS / 2 - 1, buffer(4096, true)),
                 VIRTIO_BLK_S_IOERR);
    for (unsigned i = 0; i < 4; i++)
        send(0, VIRTIO_BLK_T_IN, SECTORS / 2 + i, buffer(SECTOR, true));
    ax_driver_notify(&d, 0);
    for (unsigned i = 0; i < 4; i++) {
        unsigned id;
        uint32_t len;

        cr_assert(ax_driver_wait(&d, 0, &id, &len));
    }
    cr_expect_eq(disk_byte(1), pattern(1));
    cr_expect_not(ax_driver_needs_reset(&d));
}

Test(virtio_blk, a_full_disk_is_an_error_and_no_end)
{
    const struct rlimit limit = {SIZE / 2, SIZE / 2};

    signal(SIGXFSZ, SIG_IGN);
    make_image(AX_BINARY_DIR, SECTORS);
    cr_assert_eq(truncate(path, SIZE / 2), 0);
    cr_assert_eq(truncate(path, SIZE), 0);
    begin(ALL);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(ask(VIRTIO_BLK_T_OUT, SECTORS - 8, filled(4096, 1)),
                 VIRTIO_BLK_S_IOERR);
    /* half of it fits */
    cr_expect_eq(ask(VIRTIO_BLK_T_OUT, SECTORS / 2 - 1, filled(4096, 1)),
                 VIRTIO_BLK_S_IOERR);
    cr_expect_eq(ask(VIRTIO_BLK_T_OUT, 1, filled(4096, 1)), VIRTIO_BLK_S_OK);
    cr_expect_eq(disk_byte(1), 1);
}

/* ---- size ---- */

Test(virtio_blk, changes_its_size)
{
    uint64_t size = SIZE * 2;
    unsigned generation, before;

    plain();
    generation = (unsigned)ax_driver_get(&d, VIRTIO_MMIO_CONFIG_GENERATION, 4);
    before = d.interrupts;
    cr_assert_eq(ax_device_resize(d.dev, false, &size), 0);
    cr_expect_eq(CONFIG(capacity), SECTORS * 2);
    cr_expect_eq(d.interrupts, before + 1);
    cr_expect_neq(ax_driver_get(&d, VIRTIO_MMIO_CONFIG_GENERATION, 4),
                  generation);
    cr_expect_eq(disk_byte(SECTORS * 2 - 1), 0);
    /* of its own */
    cr_assert_eq(truncate(path, SIZE * 3), 0);
    size = 0;
    cr_assert_eq(ax_device_resize(d.dev, false, &size), 0);
    cr_expect_eq(size, SIZE * 3);
    cr_expect_eq(CONFIG(capacity), SECTORS * 3);
    size = SIZE;
    cr_expect_eq(ax_device_resize(d.dev, false, &size), -ERANGE);
    cr_assert_eq(ax_device_resize(d.dev, true, &size), 0);
    cr_expect_eq(CONFIG(capacity), SECTORS);
    cr_expect_eq(ask(VIRTIO_BLK_T_IN, SECTORS, buffer(SECTOR, true)),
                 VIRTIO_BLK_S_IOERR);
    size = SIZE + 1;
    cr_expect_eq(ax_device_resize(d.dev, true, &size), -EINVAL);
    cr_expect_eq(disk_byte(1), pattern(1));
}

Test(virtio_blk, changes_its_size_while_it_works)
{
    struct sent sent[16];
    uint64_t size = SIZE * 2;
    unsigned id;
    uint32_t len;

    make_image(AX_BINARY_DIR, SECTORS);
    begin(ALL);
    d.indirect = true;
    for (unsigned i = 0; i < 16; i++)
        sent[i] = i % 2 ? send(0, VIRTIO_BLK_T_FLUSH, 0, nothing())
                        : send(0, VIRTIO_BLK_T_IN, i, buffer(SECTOR, true));
    ax_driver_notify(&d, 0);
    ax_driver_settle(&d);
    cr_assert_eq(ax_device_resize(d.dev, false, &size), 0);
    for (unsigned i = 0; i < 16; i++)
        cr_assert(ax_driver_take(&d, 0, &id, &len));
    for (unsigned i = 0; i < 16; i++)
        cr_expect_eq(status_of(sent[i]), VIRTIO_BLK_S_OK);
}

Test(virtio_blk, some_keep_their_size)
{
    uint64_t size = SIZE * 2;

    conf.overlay = true;
    plain();
    cr_expect_eq(ax_device_resize(d.dev, false, &size), -EOPNOTSUPP);
    ax_driver_fini(&d);
    conf.overlay = false;
    conf.readonly = true;
    begin(ALL);
    cr_expect_eq(ax_device_resize(d.dev, false, &size), -EROFS);
    cr_assert_eq(truncate(path, SIZE * 2), 0);
    size = 0;
    cr_expect_eq(ax_device_resize(d.dev, false, &size), 0);
    cr_expect_eq(size, SIZE * 2);
}

/* ---- limits ---- */

Test(virtio_blk, keeps_to_its_limits)
{
    enum { COUNT = 30 };
    struct timespec from, to;
    unsigned id;
    uint32_t len;
    double seconds;

    conf.iops_max = 100;
    plain();
    clock_gettime(CLOCK_MONOTONIC, &from);
    d.indirect = true;
    for (unsigned i = 0; i < COUNT; i++)
        send(0, VIRTIO_BLK_T_IN, i, buffer(SECTOR, true));
    ax_driver_notify(&d, 0);
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert(ax_driver_wait(&d, 0, &id, &len));
    clock_gettime(CLOCK_MONOTONIC, &to);
    seconds = (double)(to.tv_sec - from.tv_sec) +
              (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    /* A tenth of a second is for nothing. */
    cr_expect_geq(seconds, 0.15);
}
