/*
 * netlink_user_loop.c - libslirp on a loop: its descriptors in an epoll set of
 * ours, so that one watch and one look find all that is ready, and its timers.
 * Its clock runs only while there is something that it could time out.
 */
#include "devices/netlink_user_parts.h"

#ifdef AX_USER_SLIRP
#include "devices/clock.h"
#include "devices/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    EVENTS = 64,
    SLOW_MS = 499,   /* libslirp's slow timer, if it wants one */
    IDLE_MS = 30000, /* ... and ours, for datagrams' ends to be let go */
};

/* How long fragments may wait for their rest: after that, nothing can. */
#define LINGER_NS UINT64_C(40000000000)

/* A timer of the library's: the router advertisement's. */
struct ax_user_timer {
    struct ax_user *user;
    struct ax_timer *timer;
    SlirpTimerCb fn;
    void *ctx;
};

/* ---- what the library asks of its host ---- */

static void on_guest_error(const char *text, void *opaque)
{
    const struct ax_user *u = opaque;

    ax_log_guest(u->link.env.log, AX_LOG_WARN, "net: user: %s", text);
}

static int64_t on_clock(void *opaque)
{
    return (int64_t)ax_clock_now_ns();
}

static void user_timer_fire(struct ax_netlink *link)
{
    struct ax_user *u = ax_user_of(link);

    u->due->fn(u->due->ctx);
    ax_user_fill(u);
}

static void user_timer_due(void *ctx, uint64_t count)
{
    struct ax_user_timer *t = ctx;

    t->user->due = t;
    ax_netlink_enter(&t->user->link, user_timer_fire);
}

static void *on_timer_new(SlirpTimerCb fn, void *ctx, void *opaque)
{
    struct ax_user_timer *t = calloc(1, sizeof(*t));
    struct ax_user *u = opaque;

    if (!t)
        return NULL;
    t->user = u;
    t->fn = fn;
    t->ctx = ctx;
    if (ax_timer_create(u->link.env.loop, user_timer_due, t, &t->timer)) {
        free(t);
        return NULL;
    }
    return t;
}

static void on_timer_free(void *timer, void *opaque)
{
    struct ax_user_timer *t = timer;

    if (!t)
        return;
    ax_timer_destroy(t->timer);
    free(t);
}

static void on_timer_mod(void *timer, int64_t when_ms, void *opaque)
{
    const struct ax_user_timer *t = timer;
    const int64_t now = (int64_t)ax_clock_now_ns();
    const int64_t when = when_ms * 1000000;

    if (t)
        ax_timer_arm(t->timer, when > now ? (uint64_t)(when - now) : 1, 0);
}

static void on_notify(void *opaque)
{
    /* Every way into the library ends in a fill, which is what this asks. */
}

/* ---- descriptors ---- */

static void user_look_for(struct ax_user *u, int fd, uint32_t events)
{
    struct ax_user_source *source = &u->sources[fd];
    struct epoll_event event = {.events = events, .data.fd = fd};
    const int op = !events         ? EPOLL_CTL_DEL
                   : source->known ? EPOLL_CTL_MOD
                                   : EPOLL_CTL_ADD;

    if (events == source->known)
        return;
    source->known = events;
    if (epoll_ctl(u->epoll, op, fd, &event) && events &&
        epoll_ctl(u->epoll, errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
                  &event))
        source->known = 0;
}

/* NULL: there is no memory. */
static struct ax_user_source *user_source(struct ax_user *u, int fd)
{
    int room = u->room ? u->room : 64;
    struct ax_user_source *more;

    if (fd < u->room)
        return &u->sources[fd];
    while (room <= fd)
        room *= 2;
    more = realloc(u->sources, (size_t)room * sizeof(*more));
    if (!more)
        return NULL;
    memset(more + u->room, 0, (size_t)(room - u->room) * sizeof(*more));
    u->sources = more;
    u->room = room;
    return &more[fd];
}

static void on_closed(int fd, void *opaque)
{
    struct ax_user *u = opaque;

    if (fd < 0 || fd >= u->room)
        return;
    user_look_for(u, fd, 0);
    u->sources[fd] = (struct ax_user_source){0};
}

static void on_opened(int fd, void *opaque)
{
    struct ax_user *u = opaque;
    struct ax_user_source *source = fd < 0 ? NULL : user_source(u, fd);

    on_closed(fd, opaque); /* should that have gone unsaid */
    if (source)
        source->open = true;
}

static int on_add_poll(int fd, int events, void *opaque)
{
    struct ax_user *u = opaque;
    struct ax_user_source *source = user_source(u, fd);

    if (!source)
        return -1;
    source->open = true;
    source->turn = u->turn;
    source->wanted = EPOLLERR | EPOLLHUP |
                     (events & SLIRP_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                     (events & SLIRP_POLL_OUT ? (uint32_t)EPOLLOUT : 0) |
                     (events & SLIRP_POLL_PRI ? (uint32_t)EPOLLPRI : 0);
    if (source->wanted & ~source->known)
        user_look_for(u, fd, source->wanted);
    return fd;
}

static int on_get_ready(int fd, void *opaque)
{
    const struct ax_user *u = opaque;
    const uint32_t ready = fd < 0 || fd >= u->room ? 0 : u->sources[fd].ready;

    return (ready & EPOLLIN ? SLIRP_POLL_IN : 0) |
           (ready & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
           (ready & EPOLLPRI ? SLIRP_POLL_PRI : 0) |
           (ready & EPOLLERR ? SLIRP_POLL_ERR : 0) |
           (ready & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

/* ---- time ---- */

static enum ax_user_kind kind_of(int fd)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
        return AX_USER_DATAGRAM;
    len = sizeof(listens);
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len);
    return listens ? AX_USER_LISTENER : AX_USER_STREAM;
}

/*
 * The library wants its slow timer also for sockets that only listen, and twice
 * a second for datagrams' ends that live for minutes: an idle guest would wake
 * the host for nothing.
 */
static uint32_t user_slow_timeout(struct ax_user *u)
{
    uint32_t timeout = 0;

    if (ax_clock_now_ns() - u->sent_ns < LINGER_NS)
        return SLOW_MS;
    for (int fd = 0; fd < u->room; fd++) {
        struct ax_user_source *source = &u->sources[fd];

        if (source->open && !source->kind)
            source->kind = kind_of(fd);
        if (source->kind == AX_USER_STREAM)
            return SLOW_MS;
        if (source->kind == AX_USER_DATAGRAM)
            timeout = IDLE_MS;
    }
    return timeout;
}

/* Firing too early does no harm, and setting it is a system call: so it stays
 * where it is unless that is too late. */
static void user_set_timer(struct ax_user *u, uint32_t timeout_ms)
{
    const uint64_t delay_ns = timeout_ms * UINT64_C(1000000);
    const uint64_t when_ns = ax_clock_now_ns() + delay_ns;

    if (!timeout_ms || (u->timer_ns && u->timer_ns <= when_ns))
        return;
    u->timer_ns = when_ns;
    ax_timer_arm(u->timer, delay_ns, 0);
}

/* What the library wants to be woken for, from now on. */
void ax_user_fill(struct ax_user *u)
{
    uint32_t timeout = UINT32_MAX;

    u->turn++;
    if (u->stalled)
        return;
    u->lib.fill(u->slirp, &timeout, on_add_poll, u);
    if (timeout == SLOW_MS)
        timeout = user_slow_timeout(u);
    else if (timeout > SLOW_MS)
        timeout = 0; /* once a second, whatever it does: for nothing */
    user_set_timer(u, timeout);
}

/* ---- the loop's side ---- */

static void user_note(struct ax_user *u, const struct epoll_event *event)
{
    const int fd = event->data.fd;
    struct ax_user_source *source = &u->sources[fd];
    const uint32_t wanted = source->turn == u->turn ? source->wanted : 0;

    source->ready = event->events & wanted;
    if (event->events & ~wanted)
        user_look_for(u, fd, wanted);
}

static void user_poll(struct ax_user *u)
{
    struct epoll_event events[EVENTS];
    const int count = epoll_wait(u->epoll, events, EVENTS, 0);

    for (int i = 0; i < count; i++)
        user_note(u, &events[i]);
    if (u->stalled)
        return;
    u->lib.poll(u->slirp, 0, on_get_ready, u);
    for (int i = 0; i < count; i++)
        u->sources[events[i].data.fd].ready = 0;
    ax_user_fill(u);
}

static void user_served(struct ax_netlink *link)
{
    user_poll(ax_user_of(link));
}

static void user_ready(void *ctx, unsigned events)
{
    struct ax_user *u = ctx;

    ax_netlink_enter(&u->link, user_served);
}

static void user_expired(struct ax_netlink *link)
{
    struct ax_user *u = ax_user_of(link);

    u->timer_ns = 0;
    user_poll(u);
}

static void user_timed(void *ctx, uint64_t count)
{
    struct ax_user *u = ctx;

    ax_netlink_enter(&u->link, user_expired);
}

int ax_user_watch(struct ax_user *u)
{
    int err = ax_timer_create(u->link.env.loop, user_timed, u, &u->timer);

    if (err)
        return err;
    return ax_watch_create(u->link.env.loop, u->epoll, AX_LOOP_READ, user_ready,
                           u, &u->watch);
}

const SlirpCb ax_user_callbacks = {
    .send_packet = ax_user_packet,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock,
    .timer_new = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_mod,
    .register_poll_fd = on_opened,
    .unregister_poll_fd = on_closed,
    .notify = on_notify,
};

#endif
