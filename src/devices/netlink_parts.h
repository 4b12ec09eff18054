/*
 * netlink_parts.h - what the host ends share: their vtable, and the work on
 * frames that a card leaves to its host. Private to netlink*.c.
 */
#ifndef AX_DEVICES_NETLINK_PARTS_H
#define AX_DEVICES_NETLINK_PARTS_H

#include "devices/netlink.h"
#include "devices/virtio_conf.h"
#include "log.h"

#include <sys/socket.h>

struct ax_netlink_ops {
    size_t state; /* struct ax_netlink is first in it */

    /* Fills link->caps, sets link->up. close accepts what a failed open left.
     */
    int (*open)(struct ax_netlink *link);
    void (*close)(struct ax_netlink *link);

    /* The rest as in netlink.h; each may be NULL. Without send all is lost. */
    int (*start)(struct ax_netlink *link);
    int (*send)(struct ax_netlink *link, unsigned queue,
                const struct ax_netlink_frame *frame);
    void (*flush)(struct ax_netlink *link);
    void (*resume)(struct ax_netlink *link, unsigned queue);
    int (*tap)(const struct ax_netlink *link, unsigned queue);
};

struct ax_netlink {
    const struct ax_netlink_ops *ops;
    struct ax_netlink_env env;
    struct ax_netlink_caps caps;
    bool up;
    unsigned pairs, gives; /* of ax_netlink_start, as is lent */
    bool lent;
};

extern const struct ax_netlink_ops ax_netlink_user_ops, ax_netlink_tap_ops,
    ax_netlink_socket_ops, ax_netlink_passt_ops;

/* For the callbacks of watches and timers. */
static inline void ax_netlink_enter(struct ax_netlink *link,
                                    void (*fn)(struct ax_netlink *link))
{
    link->env.enter(link->env.ctx, fn, link);
}

void ax_netlink_set_up(struct ax_netlink *link, bool up);

/* ---- netlink_offload.c: frames in one piece; pure ---- */

/* A TCP segment, where its parts begin. */
struct ax_netlink_tcp {
    size_t ip, tcp, payload; /* bytes from the frame's first */
    bool v6;
};

/* False: it is no TCP over IPv4 or IPv6, or not well formed. Fragments and
 * IPv6 extension headers are none either. */
bool ax_netlink_find_tcp(const uint8_t *frame, size_t len,
                         struct ax_netlink_tcp *out);

/* The checksum that hdr (checked against len) asks for. */
void ax_netlink_finish(const struct virtio_net_hdr_v1 *hdr, uint8_t *frame,
                       size_t len);

/* Lengths and checksums of a TCP segment, as large as it is. */
void ax_netlink_complete(uint8_t *frame, size_t len,
                         const struct ax_netlink_tcp *tcp);

/* In place of the TCP checksum, the sum of the pseudo header alone: what a
 * frame has that leaves it undone. head: at least up to tcp->payload. */
void ax_netlink_uncomplete(uint8_t *head, size_t len,
                           const struct ax_netlink_tcp *tcp);

/* How many segments of gso_size are in it: at least 1. */
unsigned ax_netlink_segments(size_t len, const struct ax_netlink_tcp *tcp,
                             unsigned gso_size);

/* Writes the headers of segment n, tcp->payload bytes, complete but for the
 * part in *payload, whose sum is in. */
void ax_netlink_segment(const uint8_t *frame, size_t len,
                        const struct ax_netlink_tcp *tcp, unsigned gso_size,
                        unsigned n, uint8_t *head, struct iovec *payload);

/* Raises the MSS option of a SYN, to mss; its checksum is complete before and
 * after. False: it is no SYN, or has no such option. */
bool ax_netlink_raise_mss(uint8_t *frame, size_t len,
                          const struct ax_netlink_tcp *tcp, unsigned mss);

/*
 * Part n of an IPv4 packet that is larger than mtu: writes its Ethernet and IP
 * headers, returns their size and what follows in *payload. 0: there is no such
 * part, or it cannot be cut.
 */
size_t ax_netlink_fragment(const uint8_t *frame, size_t len, unsigned mtu,
                           unsigned n, uint8_t head[14 + 60],
                           struct iovec *payload);

/* ---- netlink_forward.c: ports of the host that lead to the guest ---- */

struct ax_netlink_forward {
    bool udp;
    socklen_t len; /* of either address, which are of one family */
    struct sockaddr_storage host, guest;
};

/*
 * "tcp:[HOST]:PORT-GUESTPORT", or udp; without HOST it is 127.0.0.1. NULL, or
 * what is wrong with spec: static text.
 */
const char *ax_netlink_parse_forward(const char *spec, const uint8_t mac[6],
                                     struct ax_netlink_forward *out);

/* Says why spec cannot be had; returns err. */
int ax_netlink_forward_failed(struct ax_log *log, const char *spec,
                              const struct ax_netlink_forward *f, int err);

struct in6_addr;

/* An address in the guest's IPv6 network, by its lower half. */
void ax_netlink_guest_net6(uint64_t host, struct in6_addr *out);

#endif
