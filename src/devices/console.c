/*
 * console.c - the two rings, and the descriptor that the loop moves them to.
 *
 * A pty or a socket may be without a peer, and the output ring then keeps the
 * newest bytes. The rings have a lock of their own, a leaf: nothing else is
 * called while it is held. hostend.c opens the descriptors.
 */
#include "devices/console.h"

#include "devices/clock.h"
#include "devices/hostend.h"
#include "devices/loop.h"
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OUT_BYTES = 65536,
    OUT_HIGH = OUT_BYTES - 4096, /* producers pause: 64 vCPUs x 64 bytes left */
    OUT_LOW = OUT_BYTES / 2,     /* ... until it has drained to here */
    QUIET_NS = 100000,           /* see console_linger */
    LINGER_NS = 1000000,
    LOOK_NS = 100000000, /* how often a pty without a reader is looked at */
    IN_BYTES = 4096,
    CTRL_A = 1,
};

struct ring {
    uint8_t *bytes;
    unsigned size;          /* a power of two */
    atomic_uint head, tail; /* free running; head == tail: empty */
};

struct ax_console {
    struct ax_hostend end;
    struct ax_loop *loop;
    struct ax_log *log;
    struct ax_console_events events;

    struct ax_watch *in_watch, *out_watch, *listen_watch;
    struct ax_wake *news;     /* a model put a byte while the loop slept */
    struct ax_timer *hung_up; /* pty without a reader: look again later */
    bool escapes, escaped;    /* the last byte was the prefix */

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t room;
    struct ring tx, rx;
    bool connected; /* somebody reads what we write */
    bool told;      /* the loop knows, or nobody reads: no wake is needed */
    unsigned kicks;
    atomic_bool congested;
    atomic_ullong first_ns;
};

/*
 * Rings change under the console's lock alone, so plain loads and stores make
 * one; they are atomic for the looks from outside it.
 */
static unsigned ring_head(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed);
}

static unsigned ring_tail(const struct ring *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

static unsigned ring_used(const struct ring *ring)
{
    return ring_head(ring) - ring_tail(ring);
}

static void ring_put(struct ring *ring, uint8_t byte)
{
    unsigned head = ring_head(ring);

    ring->bytes[head & (ring->size - 1)] = byte;
    atomic_store_explicit(&ring->head, head + 1, memory_order_relaxed);
}

static void ring_drop(struct ring *ring, unsigned count)
{
    atomic_store_explicit(&ring->tail, ring_tail(ring) + count,
                          memory_order_relaxed);
}

/* The bytes at the tail that lie in one piece. */
static unsigned ring_peek(const struct ring *ring, const uint8_t **bytes)
{
    unsigned at = ring_tail(ring) & (ring->size - 1);
    unsigned used = ring_used(ring);

    *bytes = ring->bytes + at;
    return used < ring->size - at ? used : ring->size - at;
}

/* ---- model side ---- */

bool ax_console_ready(const struct ax_console *console)
{
    return console && ring_used(&console->rx);
}

uint8_t ax_console_get(struct ax_console *console)
{
    uint8_t byte = 0;

    if (!ax_console_ready(console))
        return 0;
    pthread_mutex_lock(&console->lock);
    if (ring_used(&console->rx)) {
        byte = console->rx.bytes[ring_tail(&console->rx) & (IN_BYTES - 1)];
        ring_drop(&console->rx, 1);
        /* The loop stopped reading when the ring was full. */
        if (ring_used(&console->rx) == IN_BYTES / 2)
            ax_loop_wake(console->news);
    }
    pthread_mutex_unlock(&console->lock);
    return byte;
}

void ax_console_put(struct ax_console *console, uint8_t byte)
{
    bool wake;

    if (!console)
        return;
    pthread_mutex_lock(&console->lock);
    if (!atomic_load_explicit(&console->first_ns, memory_order_relaxed))
        atomic_store(&console->first_ns, ax_clock_now_ns());
    if (console->end.kind == AX_HOSTEND_NONE) {
        pthread_mutex_unlock(&console->lock);
        return;
    }
    /*
     * Full although producers pause earlier: with a reader, whose piece the
     * loop may be writing, this byte goes; without one, the oldest does.
     */
    if (ring_used(&console->tx) == OUT_BYTES && !console->connected)
        ring_drop(&console->tx, 1);
    if (ring_used(&console->tx) < OUT_BYTES)
        ring_put(&console->tx, byte);
    if (console->connected && ring_used(&console->tx) >= OUT_HIGH)
        atomic_store(&console->congested, true);
    wake = !console->told;
    console->told = true;
    pthread_mutex_unlock(&console->lock);
    if (wake)
        ax_loop_wake(console->news);
}

bool ax_console_congested(const struct ax_console *console)
{
    return console &&
           atomic_load_explicit(&console->congested, memory_order_relaxed);
}

void ax_console_wait(struct ax_console *console, bool (*cancelled)(void *ctx),
                     void *ctx)
{
    pthread_mutex_lock(&console->lock);
    while (atomic_load(&console->congested)) {
        unsigned kicks = console->kicks;

        pthread_mutex_unlock(&console->lock);
        if (cancelled(ctx))
            return;
        pthread_mutex_lock(&console->lock);
        if (kicks == console->kicks && atomic_load(&console->congested))
            pthread_cond_wait(&console->room, &console->lock);
    }
    pthread_mutex_unlock(&console->lock);
}

void ax_console_kick(struct ax_console *console)
{
    pthread_mutex_lock(&console->lock);
    console->kicks++;
    pthread_cond_broadcast(&console->room);
    pthread_mutex_unlock(&console->lock);
}

uint64_t ax_console_first_byte_ns(const struct ax_console *console)
{
    return atomic_load(&console->first_ns);
}

/* ---- loop side ---- */

/* Called with the lock held whenever bytes left or the reader did. */
static void console_relieve(struct ax_console *console)
{
    if (atomic_load(&console->congested) &&
        (!console->connected || ring_used(&console->tx) <= OUT_LOW)) {
        atomic_store(&console->congested, false);
        pthread_cond_broadcast(&console->room);
    }
}

static void console_watch_input(struct ax_console *console)
{
    bool room;

    if (!console->in_watch)
        return;
    pthread_mutex_lock(&console->lock);
    room = ring_used(&console->rx) < IN_BYTES;
    pthread_mutex_unlock(&console->lock);
    ax_watch_set(console->in_watch, room ? AX_LOOP_READ : 0);
}

static void console_close_input(struct ax_console *console)
{
    ax_watch_destroy(console->in_watch);
    console->in_watch = NULL;
    console->end.in = -1;
}

/* The peer went away: keep listening, keep the newest bytes for the next. */
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
        console->end.out = -1;
    }
    pthread_mutex_lock(&console->lock);
    console->connected = false;
    console->told = true;
    console_relieve(console);
    pthread_mutex_unlock(&console->lock);
}

/* Writes what the host takes now. False when the reader is gone. */
static bool console_flush(struct ax_console *console)
{
    for (;;) {
        const uint8_t *bytes;
        unsigned count;
        ssize_t n;

        pthread_mutex_lock(&console->lock);
        count = ring_peek(&console->tx, &bytes);
        pthread_mutex_unlock(&console->lock);
        if (!count)
            return true;
        /*
         * Only this thread moves the tail while a reader is connected, so the
         * piece stays ours without the lock.
         */
        n = write(console->end.out, bytes, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        pthread_mutex_lock(&console->lock);
        ring_drop(&console->tx, (unsigned)n);
        console_relieve(console);
        pthread_mutex_unlock(&console->lock);
    }
}

/* Anything left to write? If not, the next byte wakes the loop again. */
static bool console_more(struct ax_console *console)
{
    bool more;

    pthread_mutex_lock(&console->lock);
    more = ring_used(&console->tx);
    console->told = more;
    pthread_mutex_unlock(&console->lock);
    return more;
}

static void console_output(void *ctx, unsigned events)
{
    struct ax_console *console = ctx;
    bool more;

    if (console->end.out < 0 || !console->connected)
        return;
    if (!console_flush(console)) {
        ax_log(console->log, AX_LOG_WARN, "console: cannot write: %s",
               strerror(errno));
        console_hang_up(console);
        return;
    }
    more = console_more(console);
    if (console->out_watch)
        ax_watch_set(console->out_watch, more ? AX_LOOP_WRITE : 0);
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

    while (now < quiet && now < end && console->connected) {
        if (!ring_used(&console->tx)) {
            sched_yield();
        } else if (!console_flush(console) || ring_used(&console->tx)) {
            return; /* told stays set: console_output goes on */
        } else {
            quiet = now + QUIET_NS;
        }
        now = ax_clock_now_ns();
    }
}

static void console_news(void *ctx)
{
    struct ax_console *console = ctx;

    if (console->connected) {
        console_linger(console);
        console_output(console, 0);
    }
    console_watch_input(console);
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
    uint8_t bytes[512];
    unsigned room;
    ssize_t n;

    pthread_mutex_lock(&console->lock);
    room = IN_BYTES - ring_used(&console->rx);
    pthread_mutex_unlock(&console->lock);
    if (!room) {
        console_watch_input(console);
        return;
    }
    n = read(console->end.in, bytes,
             room < sizeof(bytes) ? room : sizeof(bytes));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        if (console->end.kind == AX_HOSTEND_STDIO)
            console_close_input(console); /* the guest goes on without */
        else
            console_hang_up(console);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (!console_pass(console, bytes[i]))
            continue;
        pthread_mutex_lock(&console->lock);
        ring_put(&console->rx, bytes[i]);
        pthread_mutex_unlock(&console->lock);
    }
    if (console->events.input)
        console->events.input(console->events.ctx);
}

/* A peer is there: move bytes both ways from now on. */
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
    console_output(console, 0);
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

static int console_open(struct ax_console *console, const char *spec)
{
    int err = ax_hostend_open(spec, &console->end);

    if (err)
        return err;
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

const char *ax_console_check_spec(const char *spec)
{
    return ax_hostend_check(spec);
}

int ax_console_create(struct ax_loop *loop, struct ax_log *log,
                      const char *spec, bool escapes, struct ax_console **out)
{
    struct ax_console *console = calloc(1, sizeof(*console));
    int err = 0;

    *out = NULL;
    if (!console)
        return -ENOMEM;
    console->loop = loop;
    console->log = log;
    console->end =
        (struct ax_hostend){.in = -1, .out = -1, .listener = -1, .flags = -1};
    pthread_mutex_init(&console->lock, NULL);
    pthread_cond_init(&console->room, NULL);
    console->tx.size = OUT_BYTES;
    console->tx.bytes = malloc(OUT_BYTES);
    console->rx.size = IN_BYTES;
    console->rx.bytes = malloc(IN_BYTES);
    if (!console->tx.bytes || !console->rx.bytes)
        err = -ENOMEM;
    if (!err)
        err = ax_wake_create(loop, console_news, console, &console->news);
    if (!err)
        err = console_open(console, spec);
    if (err) {
        ax_log(log, AX_LOG_ERROR, "console '%s': %s", spec, strerror(-err));
        ax_console_destroy(console);
        return err;
    }
    console->escapes = escapes && console->end.kind == AX_HOSTEND_STDIO;
    *out = console;
    return 0;
}

void ax_console_destroy(struct ax_console *console)
{
    if (!console)
        return;
    ax_watch_destroy(console->in_watch);
    ax_watch_destroy(console->out_watch);
    ax_watch_destroy(console->listen_watch);
    ax_timer_destroy(console->hung_up);
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

bool ax_console_drain(struct ax_console *console, unsigned timeout_ms)
{
    uint64_t end = ax_clock_now_ns() + (uint64_t)timeout_ms * 1000000;
    struct pollfd pfd = {.events = POLLOUT};
    uint64_t now;

    while (console->end.out >= 0 && console->connected) {
        if (!console_flush(console))
            return false;
        if (!ring_used(&console->tx))
            return true;
        now = ax_clock_now_ns();
        if (now >= end)
            return false;
        pfd.fd = console->end.out;
        poll(&pfd, 1, (int)((end - now) / 1000000) + 1);
    }
    return true; /* nobody is there to miss anything */
}
