/*
 * gdb.c - the listening socket of a stub, and the connection of its debugger.
 */
#include "debug/gdb.h"

#include "control/server.h"
#include "debug/listen.h"
#include "debug/packet.h"
#include "debug/session.h"
#include "debug/target.h"
#include "devices/loop.h"
#include "log.h"
#include "vmm/vm.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CHUNK = 65536,
    OUT_MAX = 1 << 20, /* a debugger that does not read is disconnected */
    FLUSH_MS = 100,
    REFUSED = 4, /* that are told so at a time */
};

/* One that came too late: it is told so when it asks something. */
struct refused {
    int fd; /* -1: there is none */
    struct ax_watch *watch;
};

/* The one debugger. */
struct peer {
    int fd;
    struct ax_watch *watch;
    struct ax_session *session;
    char *out;
    size_t out_start, out_end, out_room;
    bool over; /* to be closed when the output is out */
};

struct ax_gdb {
    struct ax_gdb_env env;
    struct ax_control_env control;
    struct ax_target *target;
    int fd;
    struct ax_watch *watch;
    struct ax_wake *reap; /* the peer is over */
    const struct ax_gdb_ops *ops;
    struct peer *peer; /* NULL: nobody is connected */
    struct refused refused[REFUSED];
    char address[AX_LISTEN_ADDRESS];
};

static struct ax_log *gdb_log(const struct ax_gdb *gdb)
{
    return ax_vm_log(gdb->env.vm);
}

/* ---- the debugger ---- */

static void peer_over(void *ctx)
{
    struct ax_gdb *gdb = ctx;

    gdb->peer->over = true;
    ax_loop_wake(gdb->reap);
}

/* False: it cannot be sent to any more. */
static bool peer_flush(struct peer *peer)
{
    while (peer->out_start < peer->out_end) {
        const ssize_t n = send(peer->fd, peer->out + peer->out_start,
                               peer->out_end - peer->out_start, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        peer->out_start += (size_t)n;
    }
    peer->out_start = peer->out_end = 0;
    return true;
}

static bool peer_keep(struct peer *peer, const char *bytes, size_t count)
{
    size_t room = peer->out_room ? peer->out_room : CHUNK;
    char *out;

    if (count > OUT_MAX - peer->out_end)
        return false;
    while (room < peer->out_end + count)
        room *= 2;
    if (room > peer->out_room) {
        out = realloc(peer->out, room);
        if (!out)
            return false;
        peer->out = out;
        peer->out_room = room;
    }
    memcpy(peer->out + peer->out_end, bytes, count);
    peer->out_end += count;
    return true;
}

static void peer_send(void *ctx, const char *bytes, size_t count)
{
    struct ax_gdb *gdb = ctx;
    struct peer *peer = gdb->peer;
    ssize_t n = 0;

    if (peer->out_end == peer->out_start)
        n = send(peer->fd, bytes, count, MSG_NOSIGNAL);
    if (n < 0)
        n = 0; /* the next attempt finds out why */
    if ((size_t)n == count)
        return;
    if (!peer_keep(peer, bytes + n, count - (size_t)n)) {
        ax_log(gdb_log(gdb), AX_LOG_WARN,
               "gdb: a debugger that does not read is disconnected");
        peer->out_start = peer->out_end = 0;
        peer_over(gdb);
        return;
    }
    ax_watch_set(peer->watch, AX_LOOP_READ | AX_LOOP_WRITE);
}

/* The VM goes on, if the session has not seen to that yet. */
static void peer_close(struct ax_gdb *gdb)
{
    struct peer *peer = gdb->peer;

    if (!peer)
        return;
    ax_session_destroy(peer->session);
    gdb->peer = NULL;
    ax_watch_destroy(peer->watch);
    close(peer->fd);
    free(peer->out);
    free(peer);
}

static void gdb_reap(void *ctx)
{
    struct ax_gdb *gdb = ctx;
    struct peer *peer = gdb->peer;

    if (!peer || !peer->over)
        return;
    if (!peer_flush(peer) || peer->out_end == 0) {
        ax_log(gdb_log(gdb), AX_LOG_INFO, "gdb: disconnected");
        peer_close(gdb);
    }
}

static void peer_ready(void *ctx, unsigned events)
{
    struct ax_gdb *gdb = ctx;
    struct peer *peer = gdb->peer;
    uint8_t bytes[CHUNK];
    ssize_t n;

    if (events & AX_LOOP_WRITE) {
        if (!peer_flush(peer))
            peer_over(gdb);
        else if (peer->out_end == 0)
            ax_watch_set(peer->watch, AX_LOOP_READ);
        if (peer->over)
            ax_loop_wake(gdb->reap);
    }
    if (!(events & AX_LOOP_READ) || peer->over)
        return;
    n = recv(peer->fd, bytes, sizeof(bytes), 0);
    if (n > 0)
        ax_session_receive(peer->session, bytes, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        peer_over(gdb);
}

/* ---- connections ---- */

static int peer_create(struct ax_gdb *gdb, int fd)
{
    struct ax_session_env env = {
        .target = gdb->target,
        .control = &gdb->control,
        .ops = &gdb->ops,
        .send = peer_send,
        .over = peer_over,
        .ctx = gdb,
    };
    struct peer *peer = calloc(1, sizeof(*peer));
    int err;

    if (!peer) {
        close(fd);
        return -ENOMEM;
    }
    peer->fd = fd;
    gdb->peer = peer;
    err = ax_session_create(&env, &peer->session);
    if (!err)
        err = ax_watch_create(gdb->control.loop, fd, AX_LOOP_READ, peer_ready,
                              gdb, &peer->watch);
    if (err)
        peer_close(gdb);
    return err;
}

static void refused_close(struct refused *refused)
{
    if (refused->fd < 0)
        return;
    ax_watch_destroy(refused->watch);
    close(refused->fd);
    refused->fd = -1;
}

/*
 * In place of every answer, until it goes: a debugger that finds its connection
 * closed says only that.
 */
static void refused_ready(void *ctx, unsigned events)
{
    struct refused *refused = ctx;
    struct ax_packet packet;
    char asked[CHUNK];
    const ssize_t n = recv(refused->fd, asked, sizeof(asked), 0);

    if (n <= 0) {
        refused_close(refused);
        return;
    }
    if (!memchr(asked, '#', (size_t)n))
        return;
    ax_packet_begin(&packet);
    ax_packet_text(&packet, "E.another debugger is connected");
    ax_packet_end(&packet, false);
    (void)!send(refused->fd, "+", 1, MSG_NOSIGNAL);
    (void)!send(refused->fd, packet.bytes, packet.len, MSG_NOSIGNAL);
}

static void gdb_refuse(struct ax_gdb *gdb, int fd)
{
    ax_log_guest(gdb_log(gdb), AX_LOG_WARN,
                 "gdb: another debugger is refused, one is connected");
    for (unsigned i = 0; i < REFUSED; i++) {
        struct refused *refused = &gdb->refused[i];

        if (refused->fd >= 0 ||
            ax_watch_create(gdb->control.loop, fd, AX_LOOP_READ, refused_ready,
                            refused, &refused->watch))
            continue;
        refused->fd = fd;
        return;
    }
    close(fd);
}

/* One that has gone may be heard of after the next has come. */
static bool peer_has_gone(const struct peer *peer)
{
    char byte;

    return peer->over || recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void gdb_accept(void *ctx, unsigned events)
{
    struct ax_gdb *gdb = ctx;
    const int one = 1;
    int err, fd = accept4(gdb->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (gdb->peer && peer_has_gone(gdb->peer)) {
        ax_log(gdb_log(gdb), AX_LOG_INFO, "gdb: disconnected");
        peer_close(gdb);
    }
    if (gdb->peer) {
        gdb_refuse(gdb, fd);
        return;
    }
    /* Every answer is waited for; on a socket file this fails. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    err = peer_create(gdb, fd);
    if (err)
        ax_log(gdb_log(gdb), AX_LOG_WARN, "gdb: cannot take a debugger: %s",
               strerror(-err));
    else
        ax_log(gdb_log(gdb), AX_LOG_INFO, "gdb: connected");
}

/* ---- the stub ---- */

static int gdb_open(struct ax_gdb *gdb, const char *spec, char *why,
                    size_t why_size)
{
    char text[AX_LISTEN_WHY] = "";
    int err = ax_target_create(gdb->env.vm, &gdb->target);

    if (err) {
        snprintf(why, why_size, "%s",
                 err == -EOPNOTSUPP ? "the engine cannot debug guests"
                                    : strerror(-err));
        return err;
    }
    ax_target_catch(gdb->target, gdb->env.catches);
    err = ax_listen_open(spec, &gdb->fd, gdb->address, text);
    if (!err)
        err = ax_wake_create(gdb->control.loop, gdb_reap, gdb, &gdb->reap);
    if (!err)
        err = ax_watch_create(gdb->control.loop, gdb->fd, AX_LOOP_READ,
                              gdb_accept, gdb, &gdb->watch);
    if (err)
        snprintf(why, why_size, "%s", *text ? text : strerror(-err));
    else if (gdb->env.wait)
        ax_target_wait(gdb->target);
    return err;
}

int ax_gdb_create(const struct ax_gdb_env *env, const char *spec,
                  struct ax_gdb **out, char *why, size_t why_size)
{
    struct ax_gdb *gdb = calloc(1, sizeof(*gdb));
    int err;

    *out = NULL;
    if (!gdb) {
        snprintf(why, why_size, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    gdb->env = *env;
    gdb->control = *env->control;
    gdb->fd = -1;
    for (unsigned i = 0; i < REFUSED; i++)
        gdb->refused[i].fd = -1;
    err = gdb_open(gdb, spec, why, why_size);
    if (err) {
        ax_gdb_destroy(gdb);
        return err;
    }
    *out = gdb;
    return 0;
}

void ax_gdb_destroy(struct ax_gdb *gdb)
{
    if (!gdb)
        return;
    if (gdb->peer) /* the process may end as soon as its last VM has */
        ax_target_tell_end(gdb->target);
    if (gdb->peer && gdb->peer->out_end) {
        struct pollfd out = {.fd = gdb->peer->fd, .events = POLLOUT};

        if (poll(&out, 1, FLUSH_MS) > 0)
            peer_flush(gdb->peer);
    }
    peer_close(gdb);
    for (unsigned i = 0; i < REFUSED; i++)
        refused_close(&gdb->refused[i]);
    ax_target_destroy(gdb->target);
    ax_watch_destroy(gdb->watch);
    ax_wake_destroy(gdb->reap);
    if (gdb->fd >= 0)
        ax_listen_close(gdb->fd, gdb->address);
    free(gdb);
}

const char *ax_gdb_address(const struct ax_gdb *gdb)
{
    return gdb->address;
}

struct ax_vm *ax_gdb_vm(const struct ax_gdb *gdb)
{
    return gdb->env.vm;
}

bool ax_gdb_busy(const struct ax_gdb *gdb)
{
    return gdb->peer != NULL;
}
