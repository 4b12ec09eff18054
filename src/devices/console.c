/*
 * console.c - the two rings, and the descriptors that the loop moves them to.
 *
 * The host end is the reader that counts: the tail of the output ring is what
 * it has got, and producers wait for it. It may be absent (none, or a pty or
 * socket that nobody opened), and the ring then keeps the newest bytes. Peers
 * look on: each has its own place in the ring, which producers know nothing of
 * and overwrite. The rings have a lock of their own, a leaf: nothing else is
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
#include <sys/ioctl.h>
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
    PIECE_BYTES = 4096, /* what a peer gets at once */
    CTRL_A = 1,
};

struct ring {
    uint8_t *bytes;
    unsigned size;                   /* a power of two */
    atomic_uint_fast64_t head, tail; /* all there ever were; equal: empty */
};

/* Somebody besides the host end; the loop thread's alone. */
struct peer {
    struct ax_console *console;
    struct ax_watch *watch;
    int fd;
    bool stuck;    /* takes nothing until the loop says so */
    uint64_t next; /* its place in the output ring */
    /* Input that came with it and that the ring had no room for yet. */
    uint8_t *early;
    size_t early_at, early_count;
};

/* Who waits for the last output. */
struct drain {
    void (*done)(void *ctx, bool all); /* NULL: nobody */
    void *ctx;
    bool cut; /* the reader left before it had everything */
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
    bool held;                /* the terminal is somebody else's for now */
    uint64_t seen;            /* the output that the loop has dealt with */
    struct peer *peers[AX_CONSOLE_PEERS];
    unsigned peer_count;
    struct ax_timer *patience; /* of drain */
    struct drain drain;

    pthread_mutex_t lock; /* everything below; first what each byte needs */
    struct ring tx;
    bool connected; /* the host end has a reader */
    bool told;      /* the loop knows, or nobody reads: no wake is needed */
    bool relieved;  /* no longer congested, and events.room does not know */
    struct ax_console_size size;
    atomic_bool congested;
    atomic_ullong first_ns;
    struct ring rx;
    pthread_cond_t room;
    unsigned kicks;
};

/*
 * Rings change under the console's lock alone, so plain loads and stores make
 * one; they are atomic for the looks from outside it.
 */
static uint64_t ring_head(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed);
}

static uint64_t ring_tail(const struct ring *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

static unsigned ring_used(const struct ring *ring)
{
    return (unsigned)(ring_head(ring) - ring_tail(ring));
}

static void ring_put(struct ring *ring, uint8_t byte)
{
    uint64_t head = ring_head(ring);

    ring->bytes[head & (ring->size - 1)] = byte;
    atomic_store_explicit(&ring->head, head + 1, memory_order_relaxed);
}

/* There is room for all of it. */
static void ring_put_all(struct ring *ring, const uint8_t *bytes, size_t count)
{
    uint64_t head = ring_head(ring);
    size_t at = head & (ring->size - 1);
    size_t first = count < ring->size - at ? count : ring->size - at;

    memcpy(ring->bytes + at, bytes, first);
    memcpy(ring->bytes, bytes + first, count - first);
    atomic_store_explicit(&ring->head, head + count, memory_order_relaxed);
}

static void ring_drop(struct ring *ring, unsigned count)
{
    atomic_store_explicit(&ring->tail, ring_tail(ring) + count,
                          memory_order_relaxed);
}

/* The bytes from place on, up to the head, that lie in one piece. */
static unsigned ring_peek(const struct ring *ring, uint64_t place,
                          const uint8_t **bytes)
{
    unsigned at = (unsigned)(place & (ring->size - 1));
    uint64_t left = ring_head(ring) - place;

    *bytes = ring->bytes + at;
    return left < ring->size - at ? (unsigned)left : ring->size - at;
}

/* The place of the oldest byte that was not overwritten, read or not. */
static uint64_t ring_oldest(const struct ring *ring)
{
    uint64_t head = ring_head(ring);

    return head > ring->size ? head - ring->size : 0;
}

/* ---- model side ---- */

bool ax_console_ready(const struct ax_console *console)
{
    return console && ring_used(&console->rx);
}

size_t ax_console_read(struct ax_console *console, void *bytes, size_t count)
{
    uint8_t *to = bytes;
    unsigned before;
    size_t done = 0;

    if (!ax_console_ready(console))
        return 0;
    pthread_mutex_lock(&console->lock);
    before = ring_used(&console->rx);
    while (done < count && ring_used(&console->rx)) {
        const uint8_t *from;
        size_t piece = ring_peek(&console->rx, ring_tail(&console->rx), &from);

        if (piece > count - done)
            piece = count - done;
        memcpy(to + done, from, piece);
        ring_drop(&console->rx, (unsigned)piece);
        done += piece;
    }
    /* The loop stopped reading when the ring was full. */
    if (before > IN_BYTES / 2 && before - done <= IN_BYTES / 2)
        ax_loop_wake(console->news);
    pthread_mutex_unlock(&console->lock);
    return done;
}

uint8_t ax_console_get(struct ax_console *console)
{
    uint8_t byte = 0;

    ax_console_read(console, &byte, 1);
    return byte;
}

/* Called with the lock held, before output comes. */
static void console_note_first(struct ax_console *console)
{
    if (!atomic_load_explicit(&console->first_ns, memory_order_relaxed))
        atomic_store(&console->first_ns, ax_clock_now_ns());
}

/* Room for count bytes, where nobody reads by dropping the oldest. */
static size_t console_make_room(struct ax_console *console, size_t count)
{
    unsigned used = ring_used(&console->tx);

    if (console->connected) {
        size_t room = used < OUT_HIGH ? OUT_HIGH - used : 0;

        if (count >= room)
            atomic_store(&console->congested, true);
        return count < room ? count : room;
    }
    if (count > OUT_BYTES)
        count = OUT_BYTES;
    if (count > OUT_BYTES - used)
        ring_drop(&console->tx, (unsigned)(count - (OUT_BYTES - used)));
    return count;
}

size_t ax_console_write(struct ax_console *console, const void *bytes,
                        size_t count)
{
    const uint8_t *from = bytes;
    size_t room, skipped;
    bool wake;

    if (!console || !count)
        return count;
    pthread_mutex_lock(&console->lock);
    console_note_first(console);
    room = console_make_room(console, count);
    skipped = console->connected ? 0 : count - room;
    ring_put_all(&console->tx, from + skipped, room);
    wake = room && !console->told;
    console->told |= wake;
    pthread_mutex_unlock(&console->lock);
    if (wake)
        ax_loop_wake(console->news);
    return room + skipped;
}

void ax_console_put(struct ax_console *console, uint8_t byte)
{
    unsigned used;
    bool wake;

    if (!console)
        return;
    pthread_mutex_lock(&console->lock);
    console_note_first(console);
    used = ring_used(&console->tx);
    /*
     * Full although producers pause earlier: with a reader, whose piece the
     * loop may be writing, this byte goes; without one, the oldest does.
     */
    if (used == OUT_BYTES && !console->connected) {
        ring_drop(&console->tx, 1);
        used--;
    }
    if (used < OUT_BYTES)
        ring_put(&console->tx, byte);
    if (used >= OUT_HIGH && console->connected)
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

struct ax_console_size ax_console_size(struct ax_console *console)
{
    struct ax_console_size size = {0};

    if (!console)
        return size;
    pthread_mutex_lock(&console->lock);
    size = console->size;
    pthread_mutex_unlock(&console->lock);
    return size;
}

uint64_t ax_console_first_byte_ns(const struct ax_console *console)
{
    return atomic_load(&console->first_ns);
}

/* ---- loop side: peers ---- */

static void peer_leave(struct peer *peer)
{
    struct ax_console *console = peer->console;
    unsigned i = 0;

    while (console->peers[i] != peer)
        i++;
    console->peers[i] = console->peers[--console->peer_count];
    ax_watch_destroy(peer->watch);
    close(peer->fd);
    free(peer->early);
    free(peer);
}

/* Copies what comes next to the peer, for producers may overwrite it. */
static unsigned peer_fetch(struct peer *peer, uint8_t out[PIECE_BYTES])
{
    struct ax_console *console = peer->console;
    const uint8_t *bytes;
    unsigned count;

    pthread_mutex_lock(&console->lock);
    if (peer->next < ring_oldest(&console->tx))
        peer->next = ring_oldest(&console->tx); /* it was too slow */
    count = ring_peek(&console->tx, peer->next, &bytes);
    if (count > PIECE_BYTES)
        count = PIECE_BYTES;
    memcpy(out, bytes, count);
    pthread_mutex_unlock(&console->lock);
    return count;
}

/*
 * Sends what the peer takes now of what the loop has seen: no more than that,
 * lest a guest that never stops keeps the loop here. False when it is gone.
 */
static bool peer_send(struct peer *peer)
{
    while (!peer->stuck && peer->next < peer->console->seen) {
        uint8_t bytes[PIECE_BYTES];
        unsigned count = peer_fetch(peer, bytes);
        ssize_t n = send(peer->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        peer->stuck = n < 0;
        peer->next += n < 0 ? 0 : (uint64_t)n;
    }
    return true;
}

static void peers_send(struct ax_console *console)
{
    /* Backwards: who leaves is replaced by the last one. */
    for (unsigned i = console->peer_count; i-- > 0;) {
        if (!peer_send(console->peers[i]))
            peer_leave(console->peers[i]);
    }
}

/* ---- loop side: input ---- */

static unsigned console_room(struct ax_console *console)
{
    unsigned room;

    pthread_mutex_lock(&console->lock);
    room = IN_BYTES - ring_used(&console->rx);
    pthread_mutex_unlock(&console->lock);
    return room;
}

/* There is room for all of it, and the model hears of it. */
static void console_type(struct ax_console *console, const uint8_t *bytes,
                         size_t count)
{
    pthread_mutex_lock(&console->lock);
    for (size_t i = 0; i < count; i++)
        ring_put(&console->rx, bytes[i]);
    pthread_mutex_unlock(&console->lock);
    if (console->events.input)
        console->events.input(console->events.ctx);
}

static void peer_type_early(struct peer *peer)
{
    size_t left = peer->early_count - peer->early_at;
    unsigned room = left ? console_room(peer->console) : 0;

    if (!room)
        return;
    if (left > room)
        left = room;
    peer->early_at += left;
    console_type(peer->console, peer->early + peer->early_at - left, left);
}

/* False when the peer is gone. */
static bool peer_read(struct peer *peer)
{
    uint8_t bytes[512];
    unsigned room = console_room(peer->console);
    ssize_t n;

    if (!room || peer->early_at < peer->early_count)
        return true;
    n = recv(peer->fd, bytes, room < sizeof(bytes) ? room : sizeof(bytes),
             MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n > 0)
        console_type(peer->console, bytes, (size_t)n);
    return n > 0;
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
        peers_send(console);
    return err;
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

static void console_rearm(struct ax_console *console)
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

/* The last act of what the loop calls: the console may be gone afterwards. */
static void console_settle(struct ax_console *console)
{
    console_tell_room(console);
    console_rearm(console);
    console_end_drain(console, false);
}

/* ---- loop side: what it calls ---- */

static void console_output(void *ctx, unsigned events)
{
    struct ax_console *console = ctx;

    console_move(console);
    console_settle(console);
}

static void console_news(void *ctx)
{
    struct ax_console *console = ctx;

    console_linger(console);
    console_move(console);
    for (unsigned i = 0; i < console->peer_count; i++)
        peer_type_early(console->peers[i]);
    console_settle(console);
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
    unsigned room = console_room(console);
    uint8_t bytes[512];
    ssize_t n;

    if (!room) {
        console_settle(console);
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
            console_type(console, bytes, (size_t)n);
        return;
    }
    if (console->end.kind == AX_HOSTEND_STDIO)
        console_close_input(console); /* the guest goes on without */
    else
        console_hang_up(console);
    console_settle(console);
}

static void peer_ready(void *ctx, unsigned events)
{
    struct peer *peer = ctx;
    struct ax_console *console = peer->console;
    bool here = true;

    if (events & AX_LOOP_WRITE) {
        peer->stuck = false;
        console->seen = ring_head(&console->tx);
        here = peer_send(peer);
    }
    if (here && (events & AX_LOOP_READ))
        here = peer_read(peer);
    if (!here)
        peer_leave(peer);
    console_settle(console);
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
    console_settle(console);
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
        console_settle(console);
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
        console_rearm(console);
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
    while (console->peer_count)
        peer_leave(console->peers[0]);
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

static int peer_create(struct ax_console *console, int fd, const uint8_t *input,
                       size_t count)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    int err = -ENOMEM;

    if (peer && (!count || (peer->early = malloc(count))))
        err = ax_watch_create(console->loop, fd, 0, peer_ready, peer,
                              &peer->watch);
    if (err) {
        free(peer ? peer->early : NULL);
        free(peer);
        return err;
    }
    if (count)
        memcpy(peer->early, input, count);
    peer->early_count = count;
    peer->console = console;
    peer->fd = fd;
    console->peers[console->peer_count++] = peer;
    return 0;
}

int ax_console_attach(struct ax_console *console, int fd, const uint8_t *input,
                      size_t count)
{
    struct peer *peer;
    int err = -EBUSY;

    if (console->peer_count < AX_CONSOLE_PEERS)
        err = peer_create(console, fd, input, count);
    if (err) {
        close(fd);
        return err;
    }
    peer = console->peers[console->peer_count - 1];
    pthread_mutex_lock(&console->lock);
    peer->next = ring_oldest(&console->tx);
    pthread_mutex_unlock(&console->lock);
    console->seen = ring_head(&console->tx);
    peer_type_early(peer);
    if (!peer_send(peer))
        peer_leave(peer);
    console_rearm(console);
    return 0;
}

void ax_console_hold(struct ax_console *console, bool held)
{
    if (console->end.kind != AX_HOSTEND_STDIO)
        return;
    console->held = held;
    console_rearm(console);
}

void ax_console_drain(struct ax_console *console, unsigned timeout_ms,
                      void (*done)(void *ctx, bool all), void *ctx)
{
    console->drain = (struct drain){.done = done, .ctx = ctx};
    console_move(console);
    console_tell_room(console);
    console_rearm(console);
    ax_timer_arm(console->patience, (uint64_t)timeout_ms * 1000000, 0);
    console_end_drain(console, !timeout_ms);
}
