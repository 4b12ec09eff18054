/*
 * vsock_guest.c - what a packet of the guest's does. Whatever it is, the worst
 * is that a connection ends.
 */
#include "devices/vsock_parts.h"

#include "devices/unixsock.h"
#include "log.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct packet {
    uint64_t guest_cid, host_cid;
    uint32_t guest_port, host_port, len, flags;
    uint32_t room, took; /* the guest's buf_alloc and fwd_cnt */
    uint16_t type, op;
    const struct iovec *iov;
    unsigned count;
};

static struct packet packet_parse(const struct virtio_vsock_hdr *hdr,
                                  const struct iovec *iov, unsigned count)
{
    return (struct packet){
        .guest_cid = le64toh(hdr->src_cid),
        .host_cid = le64toh(hdr->dst_cid),
        .guest_port = le32toh(hdr->src_port),
        .host_port = le32toh(hdr->dst_port),
        .len = le32toh(hdr->len),
        .flags = le32toh(hdr->flags),
        .room = le32toh(hdr->buf_alloc),
        .took = le32toh(hdr->fwd_cnt),
        .type = le16toh(hdr->type),
        .op = le16toh(hdr->op),
        .iov = iov,
        .count = count,
    };
}

/* Nobody is there. */
static void guest_refuse(struct ax_vsock *table, const struct packet *p)
{
    if (p->op == VIRTIO_VSOCK_OP_RST || table->answer_count == VSOCK_RESETS)
        return; /* the latter cannot be: ax_vsock_receive has looked */
    table->answers[table->answer_count++] = (struct vsock_answer){
        .host_cid = p->host_cid,
        .guest_port = p->guest_port,
        .host_port = p->host_port,
        .type = p->type,
    };
}

static void conn_note_room(struct vsock_conn *c, const struct packet *p)
{
    c->guest_room = p->room;
    c->guest_took = p->took;
}

/* ---- a new one ---- */

static int guest_dial(struct ax_vsock *table, uint32_t port)
{
    char path[AX_UNIX_PATH + 1];
    int fd;

    /* It fits: see ax_vsock_create. */
    snprintf(path, sizeof(path), "%s_%" PRIu32, table->path, port);
    fd = ax_unix_connect(path);
    if (fd < 0)
        ax_log_guest(table->env.log, AX_LOG_DEBUG,
                     "vsock: the guest connects to port %" PRIu32 ", %s: %s",
                     port, path, strerror(-fd));
    return fd;
}

static void guest_connect(struct ax_vsock *table, const struct packet *p)
{
    struct vsock_conn *c = NULL;
    int fd = -1;

    if (!LIST_EMPTY(&table->free))
        fd = guest_dial(table, p->host_port);
    if (fd >= 0)
        c = vsock_conn_create(table, VSOCK_OPEN, fd);
    if (!c) {
        guest_refuse(table, p);
        return;
    }
    vsock_conn_name(c, p->guest_port, p->host_port);
    conn_note_room(c, p);
    c->flags = VSOCK_SEND_RESPONSE;
    vsock_conn_schedule(c);
    vsock_host_rearm(table);
}

/* ---- one that there is: true if the packet may be ---- */

static bool guest_data(struct vsock_conn *c, const struct packet *p)
{
    size_t there = 0;

    for (unsigned i = 0; i < p->count; i++)
        there += p->iov[i].iov_len;
    if (there != p->len || p->len > AX_VSOCK_CREDIT - c->buf_used ||
        (c->guest_ended & VIRTIO_VSOCK_SHUTDOWN_SEND))
        return false;
    if (p->len)
        vsock_conn_give(c, p->iov, p->count, p->len);
    return true;
}

static bool guest_shutdown(struct vsock_conn *c, const struct packet *p)
{
    const unsigned both =
        VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
    const unsigned before = c->guest_ended;

    c->guest_ended |= p->flags & both;
    if (c->guest_ended == both) {
        vsock_conn_end(c, true); /* the RST that the guest waits for */
        return true;
    }
    if (c->guest_ended & ~before & VIRTIO_VSOCK_SHUTDOWN_RCV) {
        shutdown(c->fd, SHUT_RD);
        c->readable = false;
        vsock_conn_rearm(c);
        vsock_conn_schedule(c);
    }
    vsock_conn_pass_end(c);
    return true;
}

static bool open_receive(struct vsock_conn *c, const struct packet *p)
{
    switch (p->op) {
    case VIRTIO_VSOCK_OP_RW:
        return guest_data(c, p);
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        return guest_shutdown(c, p);
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        return true;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        c->flags |= VSOCK_SEND_CREDIT;
        vsock_conn_schedule(c);
        return true;
    default:
        return false;
    }
}

static void conn_receive(struct vsock_conn *c, const struct packet *p)
{
    bool good;

    if (c->state == VSOCK_GONE) {
        if (p->op != VIRTIO_VSOCK_OP_RST)
            return; /* it is told so already */
        c->flags = 0;
        vsock_conn_schedule(c);
        vsock_conn_reap(c);
        return;
    }
    if (p->op == VIRTIO_VSOCK_OP_RST) {
        vsock_conn_end(c, false);
        return;
    }
    conn_note_room(c, p);
    if (c->state == VSOCK_OPEN) {
        vsock_conn_schedule(c);
        good = open_receive(c, p);
    } else {
        good = p->op == VIRTIO_VSOCK_OP_RESPONSE &&
               !(c->flags & VSOCK_SEND_REQUEST);
        if (good)
            vsock_host_accepted(c);
    }
    if (!good)
        vsock_conn_end(c, true);
}

/* ---- the door ---- */

bool ax_vsock_receive(struct ax_vsock *table,
                      const struct virtio_vsock_hdr *hdr,
                      const struct iovec *iov, unsigned count)
{
    const struct packet p = packet_parse(hdr, iov, count);
    struct vsock_conn *c;

    if (table->answer_count == VSOCK_RESETS)
        return false;
    if (p.guest_cid != table->env.cid) {
        ax_log_guest(table->env.log, AX_LOG_WARN,
                     "vsock: the guest sends as CID %" PRIu64
                     ", which it is not: its packet is lost",
                     p.guest_cid);
        return true;
    }
    if (p.host_cid != AX_VSOCK_HOST || p.type != VIRTIO_VSOCK_TYPE_STREAM) {
        guest_refuse(table, &p);
        return true;
    }
    c = vsock_find(table, p.guest_port, p.host_port);
    if (c)
        conn_receive(c, &p);
    else if (p.op == VIRTIO_VSOCK_OP_REQUEST)
        guest_connect(table, &p);
    else
        guest_refuse(table, &p);
    return true;
}
