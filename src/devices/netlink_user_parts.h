/*
 * netlink_user_parts.h - user mode's two halves: frames and life
 * (netlink_user.c), and the library on a loop (netlink_user_loop.c). Private to
 * them. Nothing is in it where the library is not.
 */
#ifndef AX_DEVICES_NETLINK_USER_PARTS_H
#define AX_DEVICES_NETLINK_USER_PARTS_H

#include "devices/netlink_parts.h"

#if !defined(AX_STATIC) && defined(__has_include)
#if __has_include(<slirp/libslirp.h>)
#define AX_USER_SLIRP 1
#include <slirp/libslirp.h>

/* What we use of the library. */
struct ax_user_library {
    void *handle;
    __typeof__(&slirp_new) create;
    __typeof__(&slirp_cleanup) destroy;
    __typeof__(&slirp_pollfds_fill) fill;
    __typeof__(&slirp_pollfds_poll) poll;
    __typeof__(&slirp_input) input;
    __typeof__(&slirp_add_hostxfwd) forward;
};

enum ax_user_kind {
    AX_USER_UNKNOWN,
    AX_USER_LISTENER,
    AX_USER_STREAM,
    AX_USER_DATAGRAM,
};

/* A descriptor of the library's, by its number. */
struct ax_user_source {
    bool open;
    enum ax_user_kind kind;
    uint32_t known;  /* what epoll looks for; 0: it is not in the set */
    uint32_t wanted; /* ... and the library, if turn is the user's */
    unsigned turn;
    uint32_t ready;
};

struct ax_user_backlog;
struct ax_user_timer;

struct ax_user {
    struct ax_netlink link;
    struct ax_user_library lib;
    Slirp *slirp;
    int epoll;
    struct ax_watch *watch;
    struct ax_timer *timer;
    uint64_t timer_ns; /* when it fires, 0: never */
    struct ax_user_timer *due;
    unsigned turn; /* fills so far */
    int room;      /* of sources */
    struct ax_user_source *sources;
    bool stalled; /* the guest has no room */
    struct ax_user_backlog *first, **last;
    size_t waiting;   /* bytes in it */
    uint64_t sent_ns; /* the guest's last frame */
    size_t mtu;       /* of the guest */
    uint8_t *frame;   /* of the guest, in one piece */
};

static inline struct ax_user *ax_user_of(struct ax_netlink *link)
{
    return ax_container_of(link, struct ax_user, link);
}

/* ---- netlink_user.c ---- */

/* SlirpCb's send_packet. */
ssize_t ax_user_packet(const void *bytes, size_t len, void *opaque);

/* ---- netlink_user_loop.c ---- */

extern const SlirpCb ax_user_callbacks;

/* The watch and the timer of u, whose epoll is there. 0 or -errno. */
int ax_user_watch(struct ax_user *u);

/* After every way into the library: what it wants to be woken for. */
void ax_user_fill(struct ax_user *u);

#endif
#endif
#endif
