/* vsock_guest.c - see vsock_guest.h. */
#include "fake/vsock_guest.h"

#include "devices/registry.h"
#include "devices/virtio_conf.h"

#include <endian.h>
#include <err.h>
#include <linux/virtio_ring.h>
#include <string.h>

enum { RX, TX };
enum { HEADER = AX_VSOCK_HEADER, TX_SIZE = HEADER + VSOCK_GUEST_PAYLOAD };

static void need(bool good, const char *what)
{
    if (!good)
        errx(1, "vsock_guest: %s", what);
}

/* Tells the device, unless it has said that it looks by itself. */
static void notify(struct vsock_guest *g, unsigned queue)
{
    const struct ax_virtq_layout *layout = &g->d.queues[queue].layout;
    const uint16_t *flags =
        ax_driver_at(&g->d, layout->device + (layout->packed ? 2 : 0), 2);
    const uint16_t quiet = layout->packed ? VRING_PACKED_EVENT_FLAG_DISABLE
                                          : VRING_USED_F_NO_NOTIFY;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(flags, __ATOMIC_RELAXED) != quiet)
        ax_driver_notify(&g->d, queue);
}

static void use_loop(struct ax_device_env *env, void *ctx)
{
    if (ctx)
        env->loop = ctx;
}

static void create(struct vsock_guest *g, struct ax_loop *loop,
                   const char *path, unsigned rx_size)
{
    char copy[512];
    const struct ax_vsock_conf conf = {.cid = VSOCK_GUEST_CID, .uds = copy};

    strncpy(copy, path, sizeof(copy) - 1);
    copy[sizeof(copy) - 1] = '\0';
    memset(g, 0, sizeof(*g));
    need(!ax_driver_init(&g->d, &ax_virtio_vsock, &conf, use_loop, loop),
         "the device");
    g->rx_size = rx_size;
    g->tx_first = ax_driver_alloc(&g->d, VSOCK_GUEST_TX * (size_t)TX_SIZE);
}

void vsock_guest_init(struct vsock_guest *g, const char *path,
                      uint64_t features, unsigned rx_count, unsigned rx_size)
{
    create(g, NULL, path, rx_size);
    vsock_guest_start(g, features, rx_count);
}

void vsock_guest_init_on(struct vsock_guest *g, struct ax_loop *loop,
                         const char *path, unsigned rx_count, unsigned rx_size)
{
    create(g, loop, path, rx_size);
    vsock_guest_start(g, 0, rx_count);
}

void vsock_guest_fini(struct vsock_guest *g)
{
    ax_driver_fini(&g->d);
}

void vsock_guest_refill(struct vsock_guest *g)
{
    struct ax_driver_buf buf = {
        .gpa = ax_driver_alloc(&g->d, g->rx_size),
        .len = g->rx_size,
        .in = true,
    };
    const int id = ax_driver_add(&g->d, RX, &buf, 1);

    need(id >= 0, "room for a buffer");
    g->rx[id] = buf.gpa;
}

void vsock_guest_start(struct vsock_guest *g, uint64_t features,
                       unsigned rx_count)
{
    need(ax_driver_start(&g->d, features, AX_VIRTQ_SIZE), "a start");
    for (unsigned i = 0; i < rx_count; i++)
        vsock_guest_refill(g);
    ax_driver_notify(&g->d, RX);
    for (g->tx_count = 0; g->tx_count < VSOCK_GUEST_TX; g->tx_count++)
        g->tx[g->tx_count] = g->tx_first + g->tx_count * (ax_gpa)TX_SIZE;
}

struct vsock_packet vsock_guest_packet(uint32_t guest_port, uint32_t host_port,
                                       uint16_t op)
{
    return (struct vsock_packet){
        .src_cid = VSOCK_GUEST_CID,
        .dst_cid = AX_VSOCK_HOST,
        .src_port = guest_port,
        .dst_port = host_port,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = op,
        .room = VSOCK_GUEST_ROOM,
    };
}

static void tx_reclaim(struct vsock_guest *g)
{
    uint32_t len;
    unsigned id;

    while (ax_driver_take(&g->d, TX, &id, &len))
        g->tx[g->tx_count++] = g->tx_used[id];
}

static void put_header(struct vsock_guest *g, ax_gpa gpa,
                       const struct vsock_packet *p)
{
    const struct virtio_vsock_hdr hdr = {
        .src_cid = htole64(p->src_cid),
        .dst_cid = htole64(p->dst_cid),
        .src_port = htole32(p->src_port),
        .dst_port = htole32(p->dst_port),
        .len = htole32(p->len),
        .type = htole16(p->type),
        .op = htole16(p->op),
        .flags = htole32(p->flags),
        .buf_alloc = htole32(p->room),
        .fwd_cnt = htole32(p->took),
    };

    memcpy(ax_driver_at(&g->d, gpa, HEADER), &hdr, HEADER);
}

/* Header and payload are two buffers, as older drivers have them. */
bool vsock_guest_try_send(struct vsock_guest *g, const struct vsock_packet *p,
                          uint32_t there)
{
    struct ax_driver_buf bufs[2] = {{.len = HEADER}, {.len = there}};
    int id;

    tx_reclaim(g);
    if (!g->tx_count)
        return false;
    bufs[0].gpa = g->tx[g->tx_count - 1];
    bufs[1].gpa = bufs[0].gpa + HEADER;
    put_header(g, bufs[0].gpa, p);
    if (p->bytes && there)
        memcpy(ax_driver_at(&g->d, bufs[1].gpa, there), p->bytes, there);
    id = ax_driver_add(&g->d, TX, bufs, there ? 2 : 1);
    if (id < 0)
        return false;
    g->tx_used[id] = g->tx[--g->tx_count];
    notify(g, TX);
    return true;
}

struct wait {
    struct vsock_guest *g;
    const struct vsock_packet *send;
    struct vsock_packet *take;
    uint32_t there;
};

static bool is_sent(void *ctx)
{
    const struct wait *w = ctx;

    return vsock_guest_try_send(w->g, w->send, w->there);
}

bool vsock_guest_send_lie(struct vsock_guest *g, const struct vsock_packet *p,
                          uint32_t there)
{
    struct wait w = {.g = g, .send = p, .there = there};

    return is_sent(&w) || ax_driver_run(&g->d, is_sent, &w);
}

bool vsock_guest_send(struct vsock_guest *g, const struct vsock_packet *p)
{
    return vsock_guest_send_lie(g, p, p->bytes ? p->len : 0);
}

bool vsock_guest_keep(struct vsock_guest *g, struct vsock_packet *p)
{
    struct virtio_vsock_hdr hdr;
    unsigned id;
    uint32_t len;

    if (!ax_driver_take(&g->d, RX, &id, &len))
        return false;
    need(len >= HEADER, "a packet without a header");
    memcpy(&hdr, ax_driver_at(&g->d, g->rx[id], HEADER), HEADER);
    *p = (struct vsock_packet){
        .src_cid = le64toh(hdr.src_cid),
        .dst_cid = le64toh(hdr.dst_cid),
        .src_port = le32toh(hdr.src_port),
        .dst_port = le32toh(hdr.dst_port),
        .len = le32toh(hdr.len),
        .type = le16toh(hdr.type),
        .op = le16toh(hdr.op),
        .flags = le32toh(hdr.flags),
        .room = le32toh(hdr.buf_alloc),
        .took = le32toh(hdr.fwd_cnt),
        .bytes = ax_driver_at(&g->d, g->rx[id] + HEADER, 1),
    };
    need(len == HEADER + p->len, "a used length that is not the packet's");
    return true;
}

bool vsock_guest_take(struct vsock_guest *g, struct vsock_packet *p)
{
    struct ax_driver_buf buf = {.len = g->rx_size, .in = true};
    int id;

    if (!vsock_guest_keep(g, p))
        return false;
    buf.gpa =
        (ax_gpa)(p->bytes - (uint8_t *)ax_driver_at(&g->d, 0, 1)) - HEADER;
    id = ax_driver_add(&g->d, RX, &buf, 1);
    need(id >= 0, "room for the buffer");
    g->rx[id] = buf.gpa;
    notify(g, RX);
    return true;
}

static bool has_come(void *ctx)
{
    const struct wait *w = ctx;

    return vsock_guest_take(w->g, w->take);
}

bool vsock_guest_wait(struct vsock_guest *g, struct vsock_packet *p)
{
    struct wait w = {.g = g, .take = p};

    return has_come(&w) || ax_driver_run(&g->d, has_come, &w);
}
