/*
 * fuzz_virtio_blk.c - a guest that does anything to a disk, and a host that
 * changes the size of its image.
 *
 * The input says what the disk is, then it is a list of operations, one byte
 * each and its operands: requests, good, bad and in odd pieces; rings against
 * the rules; registers; resets. Whatever happens, a request that is answered
 * has a status, an image that is not to be written stays as it is, and no write
 * makes one larger.
 */
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/virtio_driver.h"
#include "fuzz/input.h"

#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, SECTORS = 256, SIZE = SECTORS * SECTOR };
enum { OPERATIONS_MAX = 256, PIECES = 6, RINGS = 0x4000, NO_STATUS = 0xee };
enum {
    REQUEST,
    SETTLE,
    STRAY,
    SCRIBBLE,
    RESTART,
    REGISTER,
    RESIZE,
    CUT,
    KINDS
};

struct world {
    struct ax_driver d;
    struct ax_disk_conf conf;
    char path[32];
    int fd;
    bool kept; /* the image is not to be written */
    bool strayed;
    uint64_t largest;
    ax_gpa status[AX_VIRTQ_SIZE]; /* of requests on queue 0, by id; 0: none */
};

/* ---- requests ---- */

static uint32_t take_type(struct input *in)
{
    static const uint32_t types[] = {
        VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,          VIRTIO_BLK_T_FLUSH,
        VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_GET_ID,
    };
    const unsigned kind = (unsigned)input_take(in, 1) % 8;

    return kind < AX_ARRAY_LEN(types) ? types[kind]
                                      : (uint32_t)input_take(in, 4);
}

/* Mostly one that exists. */
static uint64_t take_sector(struct input *in)
{
    const unsigned kind = (unsigned)input_take(in, 1);

    return kind == 0xff ? input_take(in, 8)
                        : input_take(in, 1) + (kind == 0xfe);
}

/* Data of a request in pieces; returns how many. */
static unsigned take_data(struct world *w, struct input *in, bool to_guest,
                          struct ax_driver_buf *bufs)
{
    const unsigned count = (unsigned)input_take(in, 1) % PIECES;
    const unsigned odd = (unsigned)input_take(in, 1);

    for (unsigned i = 0; i < count; i++) {
        uint32_t len = (uint32_t)(input_take(in, 1) % 16 + 1) * SECTOR;

        if (odd >> i & 1)
            len = (uint32_t)input_take(in, 2) % 8192 + 1;
        bufs[i] =
            (struct ax_driver_buf){ax_driver_alloc(&w->d, len), len, to_guest};
    }
    return count;
}

/* Ranges of a discard: what is in the input. */
static unsigned take_ranges(struct world *w, struct input *in,
                            struct ax_driver_buf *buf)
{
    struct virtio_blk_discard_write_zeroes ranges[20] = {{0}};
    const unsigned count = (unsigned)input_take(in, 1) % 20;

    for (unsigned i = 0; i < count; i++) {
        ranges[i].sector = take_sector(in);
        ranges[i].num_sectors = (uint32_t)input_take(in, 1);
        ranges[i].flags = (uint32_t)input_take(in, 1) % 3;
    }
    if (!count)
        return 0;
    *buf = (struct ax_driver_buf){
        ax_driver_put(&w->d, ranges, count * sizeof(*ranges)),
        (uint32_t)(count * sizeof(*ranges)), false};
    return 1;
}

static void guest_request(struct world *w, struct input *in)
{
    struct virtio_blk_outhdr header = {.type = take_type(in)};
    const unsigned queue = (unsigned)input_take(in, 1) % w->conf.queues;
    const unsigned odd = (unsigned)input_take(in, 1);
    const uint8_t none = NO_STATUS;
    const ax_gpa status = ax_driver_put(&w->d, &none, 1);
    struct ax_driver_buf bufs[PIECES + 2];
    unsigned count = 0;
    int id;

    if (w->strayed)
        return;
    header.sector = take_sector(in);
    if (odd != 1)
        bufs[count++] = (struct ax_driver_buf){
            ax_driver_put(&w->d, &header, sizeof(header)),
            odd == 2 ? 15 : sizeof(header), false};
    if (header.type == VIRTIO_BLK_T_DISCARD ||
        header.type == VIRTIO_BLK_T_WRITE_ZEROES)
        count += take_ranges(w, in, bufs + count);
    else
        count += take_data(w, in, header.type != VIRTIO_BLK_T_OUT && odd != 3,
                           bufs + count);
    if (odd != 4)
        bufs[count++] = (struct ax_driver_buf){status, 1, true};
    if (!count)
        return;
    id = ax_driver_add(&w->d, queue, bufs, count);
    if (id >= 0 && !queue)
        w->status[id] = odd == 4 ? 0 : status;
    if (odd & 0x80)
        ax_driver_notify(&w->d, queue);
}

static void guest_settle(struct world *w)
{
    unsigned id;
    uint32_t len;

    for (unsigned i = 0; i < w->conf.queues; i++)
        ax_driver_notify(&w->d, i);
    ax_driver_settle(&w->d);
    while (!w->strayed && ax_driver_take(&w->d, 0, &id, &len)) {
        if (w->status[id])
            require(*(uint8_t *)ax_driver_at(&w->d, w->status[id], 1) <=
                        VIRTIO_BLK_S_UNSUPP &&
                    len);
    }
}

/* ---- against the rules ---- */

static void guest_stray(struct world *w, struct input *in)
{
    const unsigned queue = (unsigned)input_take(in, 1) % w->conf.queues;
    const unsigned index = (unsigned)input_take(in, 1) % 16;
    struct stray_desc desc;

    if (!w->d.queues[queue].layout.size || w->d.queues[queue].layout.packed)
        return;
    w->strayed = true;
    desc = take_desc(in, 3);
    ax_driver_raw_desc(&w->d, queue, index, desc.addr, desc.len, desc.flags % 8,
                       desc.next % 17);
    ax_driver_raw_avail(&w->d, queue, (uint16_t)index);
    ax_driver_notify(&w->d, queue);
}

/* Anywhere in the first pages, where rings and headers are. */
static void guest_scribble(struct world *w, struct input *in)
{
    const ax_gpa gpa = 4096 + input_take(in, 2) % RINGS;

    w->strayed = true;
    *(uint8_t *)ax_driver_at(&w->d, gpa, 1) = (uint8_t)input_take(in, 1);
}

static void guest_restart(struct world *w, struct input *in)
{
    uint64_t features = input_take(in, 2);

    features |= input_take(in, 1) << 28;
    memset(w->status, 0, sizeof(w->status));
    ax_driver_start(&w->d, features | (features & 1ULL << 32) << 2, 16);
    w->d.indirect = input_take(in, 1) & 1;
    w->strayed = false;
}

static void guest_register(struct world *w, struct input *in)
{
    const unsigned off = (unsigned)input_take(in, 2) % (0x200 - 8);

    w->strayed = true;
    ax_driver_set(&w->d, off, 4, input_take(in, 4));
    ax_driver_set(&w->d, off, 1, input_take(in, 1));
}

/* ---- the host ---- */

static void host_resize(struct world *w, struct input *in)
{
    uint64_t size = input_take(in, 2) * SECTOR;

    if (!ax_device_resize(w->d.dev, true, &size) && size > w->largest)
        w->largest = size;
}

static void host_cut(struct world *w, struct input *in)
{
    (void)!ftruncate(w->fd, (off_t)input_take(in, 3) % SIZE);
}

static void operate(struct world *w, struct input *in)
{
    switch (input_take(in, 1) % KINDS) {
    case REQUEST:
        guest_request(w, in);
        break;
    case STRAY:
        guest_stray(w, in);
        break;
    case SCRIBBLE:
        guest_scribble(w, in);
        break;
    case RESTART:
        guest_restart(w, in);
        break;
    case REGISTER:
        guest_register(w, in);
        break;
    case RESIZE:
        host_resize(w, in);
        break;
    case CUT:
        if (!w->kept)
            host_cut(w, in);
        break;
    default:
        guest_settle(w);
        break;
    }
}

/* ---- one run ---- */

static void begin(struct world *w, struct input *in)
{
    static const uint8_t bytes[SECTOR] = {1, 2, 3};
    const unsigned what = (unsigned)input_take(in, 1);

    w->fd = memfd_create("disk", MFD_CLOEXEC);
    require(w->fd >= 0 && !ftruncate(w->fd, SIZE));
    require(pwrite(w->fd, bytes, SECTOR, SIZE - SECTOR) == SECTOR);
    snprintf(w->path, sizeof(w->path), "/proc/self/fd/%d", w->fd);
    w->largest = SIZE;
    w->kept = what & 3;
    w->conf = (struct ax_disk_conf){
        .path = w->path,
        .format = AX_DISK_RAW,
        .readonly = what & 1,
        .overlay = what & 2,
        .cache = (what >> 2 & 3) == AX_DISK_DIRECT ? AX_DISK_WRITEBACK
                                                   : what >> 2 & 3,
        .queues = (what >> 4 & 3) + 1,
        .block_size = what & 0x40 ? 4096 : 512,
        .iops_max = what & 0x80 ? 1000000000 : 0,
    };
    require(!ax_driver_init(&w->d, &ax_virtio_blk, &w->conf, NULL, NULL));
    guest_restart(w, in);
}

static void end(struct world *w)
{
    uint8_t byte[2] = {0};
    struct stat st;

    ax_driver_fini(&w->d);
    require(!fstat(w->fd, &st) && (uint64_t)st.st_size <= w->largest);
    if (w->kept)
        require(st.st_size == SIZE &&
                pread(w->fd, byte, 2, SIZE - SECTOR) == 2 && byte[0] == 1 &&
                byte[1] == 2);
    close(w->fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct world *w = calloc(1, sizeof(*w));

    require(w);
    begin(w, &in);
    for (unsigned n = 0; in.size && n < OPERATIONS_MAX; n++)
        operate(w, &in);
    guest_settle(w);
    end(w);
    free(w);
    return 0;
}
