/*
 * netlink.h - the host's end of a network card's cable: user mode (libslirp), a
 * tap, a Unix socket, passt, or nothing. Moves Ethernet frames with their
 * virtio_net_hdr (VIRTIO 1.2, 5.1.6); knows no queue and no driver.
 *
 * Everything runs under the card's lock: its owner calls with it held, and what
 * happens on the loop comes in by env.enter, which takes it.
 */
#ifndef AX_DEVICES_NETLINK_H
#define AX_DEVICES_NETLINK_H

#include "base.h"

#include <linux/virtio_net.h>
#include <sys/uio.h>

struct ax_log;
struct ax_loop;
struct ax_net_conf;
struct ax_netlink;

enum {
    AX_NETLINK_QUEUES = 7,        /* pairs */
    AX_NETLINK_FRAME_MIN = 14,    /* an Ethernet header */
    AX_NETLINK_FRAME_MAX = 65557, /* the largest packet, its header, 2 VLANs */
    AX_NETLINK_GSO_SIZE_MIN = 48, /* Linux has no smaller ones either */
    AX_NETLINK_HDR_BYTES = 12,    /* sizeof(struct virtio_net_hdr_v1) */
    AX_NETLINK_IOV = 256,         /* parts of a frame, at most */
};

/* What may be left undone in a frame, a set. ECN goes with TSO4 and TSO6, and
 * these with CSUM. */
enum {
    AX_NETLINK_CSUM = 1,
    AX_NETLINK_TSO4 = 2,
    AX_NETLINK_TSO6 = 4,
    AX_NETLINK_ECN = 8,
};

struct ax_netlink_frame {
    struct virtio_net_hdr_v1 hdr; /* num_buffers is not used */
    const struct iovec *iov;
    unsigned count;
    size_t len; /* of all of iov; from FRAME_MIN to FRAME_MAX */
};

/* The card, as its cable sees it. */
struct ax_netlink_env {
    struct ax_loop *loop;
    struct ax_log *log;
    const struct ax_net_conf *conf;
    uint8_t mac[6];

    /* Calls fn(link) with the card's lock held. */
    void (*enter)(void *ctx, void (*fn)(struct ax_netlink *link),
                  struct ax_netlink *link);

    /*
     * A frame for the guest. False: there is no room. It is kept, and no
     * further one read, until ax_netlink_resume.
     */
    bool (*deliver)(void *ctx, unsigned queue,
                    const struct ax_netlink_frame *frame);

    /* After a send that gave -EAGAIN: try again. */
    void (*writable)(void *ctx, unsigned queue);

    /* ax_netlink_is_up is new. */
    void (*changed)(void *ctx);
    void *ctx;
};

struct ax_netlink_caps {
    const char *mode; /* "user", "tap" ... */
    unsigned queues;  /* pairs, from 1 to AX_NETLINK_QUEUES */
    unsigned takes;   /* AX_NETLINK_* of frames from the guest */
    unsigned gives;   /* ... and to it, where it has said that it takes them */
};

/*
 * Opens what conf asks for; env is copied. 0, or -errno after one message that
 * says what to do. Loop thread, before the loop runs.
 */
int ax_netlink_create(const struct ax_netlink_env *env,
                      struct ax_netlink **out);
void ax_netlink_destroy(struct ax_netlink *link); /* accepts NULL */

const struct ax_netlink_caps *ax_netlink_caps(const struct ax_netlink *link);
bool ax_netlink_is_up(const struct ax_netlink *link);

/*
 * Frames for the guest from now on: pairs queues, which leave no more undone
 * than gives says; lent: somebody else moves them (vhost). With pairs 0 the
 * guest takes none. Any thread; ax_netlink_resume of every queue, on the loop,
 * has to follow.
 */
int ax_netlink_start(struct ax_netlink *link, unsigned pairs, unsigned gives,
                     bool lent);

/*
 * A frame of the guest's; its header has passed ax_netlink_check. 0: sent, or
 * lost as on a wire; -EAGAIN: not now, env.writable will be called.
 */
int ax_netlink_send(struct ax_netlink *link, unsigned queue,
                    const struct ax_netlink_frame *frame);

/* The last of several sends was made. */
void ax_netlink_flush(struct ax_netlink *link);

/* There is room again, after deliver gave false. */
void ax_netlink_resume(struct ax_netlink *link, unsigned queue);

/* A tap for vhost, -1: this is none. */
int ax_netlink_tap(const struct ax_netlink *link, unsigned queue);

/* May a frame of len bytes have this header, and leave undone what it says? */
bool ax_netlink_check(const struct virtio_net_hdr_v1 *hdr, size_t len,
                      unsigned allowed);

/* The address of a VM's card that was given none: always the same one, locally
 * administered. */
void ax_netlink_mac(const char *vm, unsigned card, uint8_t mac[6]);

/* "52:54:00:12:34:56": 0, or -EINVAL also for a group address or zero. */
int ax_netlink_parse_mac(const char *text, uint8_t mac[6]);

#endif
