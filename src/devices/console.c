/*
 * console.c - what the loop does for a console: bytes between the rings and the
 * host end, what to wait for, and its life.
 */
#include "devices/console_parts.h"

#include "devices/clock.h"
#include "devices/loop.h"
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    QUIET_NS = 100000, /* see console_linger */
    LINGER_NS = 1000000,
    LOOK_NS = 100000000, /* how often a pty without a reader is looked at */
    CTRL_A = 1,
};

/* ---- loop side: input ---- */

unsigned ax_console_input_room(struct ax_console *console)
{
    unsigned room;

    pthread_mutex_lock(&console->lock);
    room = IN_BYTES - ring_used(&console->rx);
    pthread_mutex_unlock(&console->lock);
    return room;
}

void ax_console_type(struct ax_console *console, const uint8_t *bytes,
                     size_t count)
{
    pthread_mutex_lock(&console->lock);
    for (size_t i = 0; i < count; i++)
        ring_put(&console->rx, bytes[i]);
    pthread_mutex_unlock(&console->lock);
    if (console->events.input)
        console->events.input(console->events.ctx);
}

static void console_close_input(struct ax_console *console)
{
    ax_watch_destroy(console->in_watch);
    console->in_watch = NULL;
    console->end.in = -1;
}

/* ---- loop side: output ---- */

/* Is somebody there whom the tail of the output ring follows, and now? */
static bool console_writes(const struct ax_console *console)
{
    return console->connected && !console->held;
}

/* Called with the lock held whenever bytes left or the reader did. */
static void console_relieve(struct ax_console *console)
{
    if (atomic_load(&console->congested) &&
        (!console->connected || ring_used(&console->tx) <= OUT_LOW)) {
        atomic_store(&console->congested, false);
        console->relieved = true;
        pthread_cond_broadcast(&console->room);
    }
}

/* The host end went away: keep listening, and the newest bytes for the next. */
static void console_hang_up(struct ax_console *console)
{
    ax_watch_destroy(console->out_watch);
    console->out_watch = NULL;
    ax_watch_destroy(console->in_watch);
    console->in_watch = NULL;
    if (console->end.kind == AX_HOSTEND_UNIX) {
        close(console->end.out);
        console->end.in = console->end.out = -1;
        ax_watch_set(console->listen_watch, AX_LOOP_READ);
    } else if (console->end.kind == AX_HOSTEND_PTY) {
        ax_timer_arm(console->hung_up, LOOK_NS, LOOK_NS);
    } else {
        if (console->end.out > STDERR_FILENO)
            close(console->end.out);
        console->end.in = console->end.out = -1;
    }
    pthread_mutex_lock(&console->lock);
    console->connected = false;
    console_relieve(console);
    console->drain.cut = ring_used(&console->tx);
    pthread_mutex_unlock(&console->lock);
}

/*
 * Writes what the host end takes now of what the loop has seen. 0 for all of
 * it, -EAGAIN, or what is wrong with the reader.
 */
static int console_flush(struct ax_console *console)
{
    while (ring_tail(&console->tx) < console->seen) {
        const uint8_t *bytes;
        unsigned count;
        ssize_t n;

        pthread_mutex_lock(&console->lock);
        count = ring_peek(&console->tx, ring_tail(&console->tx), &bytes);
        pthread_mutex_unlock(&console->lock);
        /*
         * Only this thread moves the tail while a reader is connected, so the
         * piece stays ours without the lock.
         */
        n = write(console->end.out, bytes, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        pthread_mutex_lock(&console->lock);
        ring_drop(&console->tx, (unsigned)n);
        console_relieve(console);
        pthread_mutex_unlock(&console->lock);
    }
    return 0;
}

/* Brings every reader as far as it goes. 0 or why the host end is behind. */
static int console_move(struct ax_console *console)
{
    int err = 0;

    console->seen = ring_head(&console->tx);
    if (console_writes(console))
        err = console_flush(console);
    if (err && err != -EAGAIN) {
        ax_log(console->log, AX_LOG_WARN, "console: cannot write: %s",
               strerror(-err));
        console_hang_up(console);
    }
    if (console->peer_count)
        ax_console_peers_send(console);
    return err;
}

/* Does output come byte by byte? What comes in pieces is not waited for. */
static bool console_trickles(struct ax_console *console)
{
    bool trickles;

    pthread_mutex_lock(&console->lock);
    trickles = console->trickles;
    console->trickles = false;
    pthread_mutex_unlock(&console->lock);
    return trickles;
}

/*
 * A guest that writes one byte mostly writes another: stay awake a little, and
 * those cost their vCPU no wake-up. Nothing waits for that: each byte goes out
 * as soon as it is seen. On a busy CPU the vCPU gets it by the yield.
 */
static void console_linger(struct ax_console *console)
{
    uint64_t now = ax_clock_now_ns();
    const uint64_t end = now + LINGER_NS;
    uint64_t quiet = now + QUIET_NS;

    while (now < quiet && now < end &&
           (console_writes(console) || console->peer_count)) {
        if (ring_head(&console->tx) == console->seen)
            sched_yield();
        else if (console_move(console))
            return;
        else
            quiet = now + QUIET_NS;
        now = ax_clock_now_ns();
    }
}

/* ---- loop side: what to wait for ---- */

/* What is to be watched, of one moment. */
struct outlook {
    bool room;                     /* in the input ring */
    bool more;                     /* output for the host end */
    bool behind[AX_CONSOLE_PEERS]; /* output for a peer */
};

/*
 * Where some reader has got everything, the next byte must wake the loop; the
 * others wait for their descriptors.
 */
static void console_look_out(struct ax_console *console, struct outlook *out)
{
    bool told = true;
    uint64_t head;

    pthread_mutex_lock(&console->lock);
    head = ring_head(&console->tx);
    out->room = ring_used(&console->rx) < IN_BYTES;
    out->more = console_writes(console) && ring_used(&console->tx);
    if (console_writes(console))
        told = out->more;
    for (unsigned i = 0; i < console->peer_count; i++) {
        out->behind[i] = console->peers[i]->next != head;
        told = told && out->behind[i];
    }
    console->told = told;
    pthread_mutex_unlock(&console->lock);
}

void ax_console_rearm(struct ax_console *console)
{
    struct outlook now = {0};

    console_look_out(console, &now);
    if (console->in_watch)
        ax_watch_set(console->in_watch,
                     now.room && !console->held ? AX_LOOP_READ : 0);
    if (console->out_watch)
        ax_watch_set(console->out_watch, now.more ? AX_LOOP_WRITE : 0);
    else if (now.more)
        ax_loop_wake(console->news); /* a file is always ready */
    for (unsigned i = 0; i < console->peer_count; i++) {
        struct peer *peer = console->peers[i];
        bool hears = now.room && peer->early_at == peer->early_count;

        ax_watch_set(peer->watch, (hears ? AX_LOOP_READ : 0U) |
                                      (now.behind[i] ? AX_LOOP_WRITE : 0U));
    }
}

/* If the draining is over, tells so: the console may be gone afterwards. */
static void console_end_drain(struct ax_console *console, bool give_up)
{
    struct drain drain = console->drain;
    bool all = console->connected ? !ring_used(&console->tx) : !drain.cut;

    if (!drain.done || (console->connected && !all && !give_up))
        return;
    console->drain.done = NULL;
    ax_timer_arm(console->patience, 0, 0);
    drain.done(drain.ctx, all);
}

/* Whoever could not write may do so now, and mostly does at once. */
static void console_tell_room(struct ax_console *console)
{
    bool relieved;

    pthread_mutex_lock(&console->lock);
    relieved = console->relieved;
    console->relieved = false;
    pthread_mutex_unlock(&console->lock);
    if (relieved && console->events.room)
        console->events.room(console->events.ctx);
}

void ax_console_settle(struct ax_console *console)
{
    console_tell_room(console);
    ax_console_rearm(console);
    console_end_drain(console, false);
}

/* ---- loop side: what it calls ---- */

static void console_output(void *ctx, unsigned events)
{
    struct ax_console *console = ctx;

    console_move(console);
    ax_console_settle(console);
}

static void console_news(void *ctx)
{
    struct ax_console *console = ctx;

    if (console_trickles(console))
        console_linger(console);
    console_move(console);
    ax_console_peers_type(console);
    ax_console_settle(console);
}

/* One byte from the host; false if it was (part of) an escape. */
static bool console_pass(struct ax_console *console, uint8_t byte)
{
    if (!console->escapes)
        return true;
    if (console->escaped) {
        console->escaped = false;
        if (byte == CTRL_A)
            return true;
        if (console->events.escape)
            console->events.escape(console->events.ctx, byte);
        return false;
    }
    console->escaped = byte == CTRL_A;
    return !console->escaped;
}

static void console_input(void *ctx, unsigned events)
{
    struct ax_console *console = ctx;
    unsigned room = ax_console_input_room(console);
    uint8_t bytes[512];
    ssize_t n;

    if (!room) {
        ax_console_settle(console);
        return;
    }
    /* One by one: what follows an escape may be for somebody else. */
    if (console->escapes)
        room = 1;
    n = read(console->end.in, bytes,
             room < sizeof(bytes) ? room : sizeof(bytes));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        if (console_pass(console, bytes[0]))
            ax_console_type(console, bytes, (size_t)n);
        return;
    }
    if (console->end.kind == AX_HOSTEND_STDIO)
        console_close_input(console); /* the guest goes on without */
    else
        console_hang_up(console);
    ax_console_settle(console);
}

/* A reader is there: move bytes both ways from now on. */
static int console_connect(struct ax_console *console)
{
    int err = 0;

    if (console->end.in >= 0)
        err = ax_watch_create(console->loop, console->end.in, AX_LOOP_READ,
                              console_input, console, &console->in_watch);
    if (!err && console->end.kind != AX_HOSTEND_FILE)
        err = ax_watch_create(console->loop, console->end.out, 0,
                              console_output, console, &console->out_watch);
    if (err)
        return err;
    pthread_mutex_lock(&console->lock);
    console->connected = true;
    pthread_mutex_unlock(&console->lock);
    console_move(console);
    return 0;
}

static void console_accept(void *ctx, unsigned events)
{
    struct ax_console *console = ctx;
    int fd = accept4(console->end.listener, NULL, NULL,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    /* One peer at a time: the next one waits in the backlog. */
    ax_watch_set(console->listen_watch, 0);
    console->end.in = console->end.out = fd;
    if (console_connect(console))
        console_hang_up(console);
    ax_console_settle(console);
}

/* A pty master polls as hung up until somebody opens the other end. */
static void console_look(void *ctx, uint64_t count)
{
    struct ax_console *console = ctx;
    struct pollfd pfd = {.fd = console->end.out, .events = POLLOUT};

    if (poll(&pfd, 1, 0) == 1 && !(pfd.revents & POLLHUP)) {
        ax_timer_arm(console->hung_up, 0, 0);
        if (console_connect(console))
            console_hang_up(console);
        ax_console_settle(console);
    }
}

/* A pty and a socket wait for whoever opens them. */
static int console_await(struct ax_console *console)
{
    int err;

    if (console->end.kind == AX_HOSTEND_UNIX)
        return ax_watch_create(console->loop, console->end.listener,
                               AX_LOOP_READ, console_accept, console,
                               &console->listen_watch);
    ax_log(console->log, AX_LOG_INFO, "console: %s", console->end.path);
    err = ax_timer_create(console->loop, console_look, console,
                          &console->hung_up);
    if (!err)
        ax_timer_arm(console->hung_up, 1000000, LOOK_NS);
    return err;
}

void ax_console_resize(struct ax_console *console, struct ax_console_size size)
{
    bool news;

    pthread_mutex_lock(&console->lock);
    news = size.cols != console->size.cols || size.rows != console->size.rows;
    console->size = size;
    pthread_mutex_unlock(&console->lock);
    if (news && console->events.resized)
        console->events.resized(console->events.ctx);
}

void ax_console_look_at_terminal(struct ax_console *console)
{
    struct winsize size;

    if (console->end.kind == AX_HOSTEND_STDIO && console->end.out >= 0 &&
        !ioctl(console->end.out, TIOCGWINSZ, &size))
        ax_console_resize(console, (struct ax_console_size){
                                       .cols = size.ws_col,
                                       .rows = size.ws_row,
                                   });
}

/* Follows the opening of the host end. */
static int console_begin(struct ax_console *console)
{
    switch (console->end.kind) {
    case AX_HOSTEND_PTY:
    case AX_HOSTEND_UNIX:
        return console_await(console);
    case AX_HOSTEND_NONE:
        return 0;
    default:
        return console->end.out >= 0 ? console_connect(console) : 0;
    }
}

static void console_out_of_patience(void *ctx, uint64_t count)
{
    console_end_drain(ctx, true);
}

static int console_init(struct ax_console *console)
{
    int err;

    console->tx.size = OUT_BYTES;
    console->tx.bytes = malloc(OUT_BYTES);
    console->rx.size = IN_BYTES;
    console->rx.bytes = malloc(IN_BYTES);
    if (!console->tx.bytes || !console->rx.bytes)
        return -ENOMEM;
    err = ax_wake_create(console->loop, console_news, console, &console->news);
    if (!err)
        err = ax_timer_create(console->loop, console_out_of_patience, console,
                              &console->patience);
    if (!err)
        err = console_begin(console);
    if (!err) {
        ax_console_look_at_terminal(console);
        ax_console_rearm(console);
    }
    return err;
}

const char *ax_console_check_spec(const char *spec)
{
    return ax_hostend_check(spec);
}

int ax_console_create(struct ax_loop *loop, struct ax_log *log,
                      const char *spec, bool escapes, struct ax_console **out)
{
    struct ax_console *console = calloc(1, sizeof(*console));
    struct ax_hostend end;
    int err =
        ax_hostend_open(spec, &end); /* first: it takes what it is given */

    *out = NULL;
    if (!err && !console)
        err = -ENOMEM;
    if (console) {
        console->end = end;
        console->loop = loop;
        console->log = log;
        console->escapes = escapes && end.kind == AX_HOSTEND_STDIO;
        pthread_mutex_init(&console->lock, NULL);
        pthread_cond_init(&console->room, NULL);
    } else {
        ax_hostend_close(&end);
    }
    if (!err)
        err = console_init(console);
    if (err) {
        ax_log(log, AX_LOG_ERROR, "console '%s': %s", spec, strerror(-err));
        ax_console_destroy(console);
        return err;
    }
    *out = console;
    return 0;
}

void ax_console_destroy(struct ax_console *console)
{
    if (!console)
        return;
    ax_console_peers_leave(console);
    ax_watch_destroy(console->in_watch);
    ax_watch_destroy(console->out_watch);
    ax_watch_destroy(console->listen_watch);
    ax_timer_destroy(console->hung_up);
    ax_timer_destroy(console->patience);
    ax_wake_destroy(console->news);
    ax_hostend_close(&console->end);
    free(console->tx.bytes);
    free(console->rx.bytes);
    pthread_cond_destroy(&console->room);
    pthread_mutex_destroy(&console->lock);
    free(console);
}

void ax_console_listen(struct ax_console *console,
                       const struct ax_console_events *events)
{
    console->events = *events;
}

void ax_console_hold(struct ax_console *console, bool held)
{
    if (console->end.kind != AX_HOSTEND_STDIO)
        return;
    console->held = held;
    ax_console_rearm(console);
}

void ax_console_drain(struct ax_console *console, unsigned timeout_ms,
                      void (*done)(void *ctx, bool all), void *ctx)
{
    console->drain = (struct drain){.done = done, .ctx = ctx};
    console_move(console);
    console_tell_room(console);
    ax_console_rearm(console);
    ax_timer_arm(console->patience, (uint64_t)timeout_ms * 1000000, 0);
    console_end_drain(console, !timeout_ms);
}
