/*
 * console.c - the two rings, and the descriptor that the loop moves them to.
 *
 * One host end is a pair of descriptors (in, out), which are the same for a pty
 * or a socket. Sockets have a listener besides; pty and socket may be without a
 * peer, and the output ring then keeps the newest bytes. The rings have a lock
 * of their own, a leaf: nothing else is called while it is held.
 */
#include "devices/console.h"

#include "devices/loop.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    OUT_BYTES = 65536,
    OUT_HIGH = OUT_BYTES - 4096, /* producers pause: 64 vCPUs x 64 bytes left */
    OUT_LOW = OUT_BYTES / 2,     /* ... until it has drained to here */
    QUIET_NS = 100000,           /* see console_linger */
    LINGER_NS = 1000000,
    IN_BYTES = 4096,
    CTRL_A = 1,
};

struct ring {
    uint8_t *bytes;
    unsigned size;          /* a power of two */
    atomic_uint head, tail; /* free running; head == tail: empty */
};

enum kind { KIND_STDIO, KIND_PTY, KIND_UNIX, KIND_FILE, KIND_NONE };

struct ax_console {
    enum kind kind;
    struct ax_loop *loop;
    struct ax_log *log;
    struct ax_console_events events;

    int in, out;  /* -1: none (any more) */
    int listener; /* unix only */
    char *path;   /* of the socket that we bound, to unlink */
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

static uint64_t console_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
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
        atomic_store(&console->first_ns, console_now_ns());
    if (console->kind == KIND_NONE) {
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
    console->in = -1;
}

/* The peer went away: keep listening, keep the newest bytes for the next. */
static void console_hang_up(struct ax_console *console)
{
    ax_watch_destroy(console->out_watch);
    console->out_watch = NULL;
    ax_watch_destroy(console->in_watch);
    console->in_watch = NULL;
    if (console->kind == KIND_UNIX) {
        close(console->out);
        console->in = console->out = -1;
        ax_watch_set(console->listen_watch, AX_LOOP_READ);
    } else if (console->kind == KIND_PTY) {
        ax_timer_arm(console->hung_up, 100000000, 100000000);
    } else {
        if (console->out > STDERR_FILENO)
            close(console->out);
        console->out = -1;
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
        n = write(console->out, bytes, count);
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

    if (console->out < 0 || !console->connected)
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
    uint64_t now = console_now_ns();
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
        now = console_now_ns();
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
    n = read(console->in, bytes, room < sizeof(bytes) ? room : sizeof(bytes));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        if (console->kind == KIND_STDIO)
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

    if (console->in >= 0)
        err = ax_watch_create(console->loop, console->in, AX_LOOP_READ,
                              console_input, console, &console->in_watch);
    if (!err && console->kind != KIND_FILE)
        err = ax_watch_create(console->loop, console->out, 0, console_output,
                              console, &console->out_watch);
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
    int fd =
        accept4(console->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    /* One peer at a time: the next one waits in the backlog. */
    ax_watch_set(console->listen_watch, 0);
    console->in = console->out = fd;
    if (console_connect(console))
        console_hang_up(console);
}

/* A pty master polls as hung up until somebody opens the other end. */
static void console_look(void *ctx, uint64_t count)
{
    struct ax_console *console = ctx;
    struct pollfd pfd = {.fd = console->out, .events = POLLOUT};

    if (poll(&pfd, 1, 0) == 1 && !(pfd.revents & POLLHUP)) {
        ax_timer_arm(console->hung_up, 0, 0);
        if (console_connect(console))
            console_hang_up(console);
    }
}

/* ---- host ends ---- */

/*
 * Non-blocking mode belongs to the open file, which standard output shares with
 * the shell and with other programs: so ours is opened anew. A socket cannot
 * be; a file need not be.
 */
static int console_reopen_output(void)
{
    struct stat st;
    int fd = STDOUT_FILENO;

    if (fstat(fd, &st))
        return -1; /* closed: a guest without a reader */
    if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
        fd = open("/proc/self/fd/1",
                  O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? STDOUT_FILENO : fd;
}

static int console_open_stdio(struct ax_console *console, const char *arg)
{
    console->in = fcntl(STDIN_FILENO, F_GETFD) < 0 ? -1 : STDIN_FILENO;
    console->out = console_reopen_output();
    return 0;
}

static int console_open_pty(struct ax_console *console, const char *arg)
{
    struct termios raw;
    char name[128];
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    int err;

    if (fd < 0)
        return -errno;
    console->in = console->out = fd;
    if (grantpt(fd) || unlockpt(fd))
        return -errno;
    err = ptsname_r(fd, name, sizeof(name));
    if (err)
        return -err;
    if (!tcgetattr(fd, &raw)) {
        cfmakeraw(&raw);
        tcsetattr(fd, TCSANOW, &raw);
    }
    /* Opening and closing the other end once makes poll report the hang-up. */
    err = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (err >= 0)
        close(err);
    ax_log(console->log, AX_LOG_INFO, "console: %s", name);
    err = ax_timer_create(console->loop, console_look, console,
                          &console->hung_up);
    if (!err)
        ax_timer_arm(console->hung_up, 1000000, 100000000);
    return err;
}

static int console_open_unix(struct ax_console *console, const char *arg)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat st;

    if (strlen(arg) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, arg, strlen(arg) + 1);
    console->listener =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (console->listener < 0)
        return -errno;
    /* A socket that nobody listens on is left from a dead process. */
    if (!lstat(arg, &st) && S_ISSOCK(st.st_mode)) {
        int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (probe >= 0) {
            if (connect(probe, (struct sockaddr *)&addr, sizeof(addr)) &&
                errno == ECONNREFUSED)
                unlink(arg);
            close(probe);
        }
    }
    if (bind(console->listener, (struct sockaddr *)&addr, sizeof(addr)))
        return -errno;
    console->path = strdup(arg);
    if (!console->path || chmod(arg, 0600) || listen(console->listener, 1))
        return console->path ? -errno : -ENOMEM;
    return ax_watch_create(console->loop, console->listener, AX_LOOP_READ,
                           console_accept, console, &console->listen_watch);
}

static int console_open_file(struct ax_console *console, const char *arg)
{
    console->out = open(arg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return console->out < 0 ? -errno : 0;
}

static int console_open_none(struct ax_console *console, const char *arg)
{
    return 0;
}

static const struct {
    const char *word;
    enum kind kind;
    bool arg; /* takes ":PATH" */
    int (*open)(struct ax_console *console, const char *arg);
} host_ends[] = {
    {"stdio", KIND_STDIO, false, console_open_stdio},
    {"pty", KIND_PTY, false, console_open_pty},
    {"unix", KIND_UNIX, true, console_open_unix},
    {"file", KIND_FILE, true, console_open_file},
    {"none", KIND_NONE, false, console_open_none},
};

/* The entry that spec names, -1 if none; *arg: what follows the colon. */
static int console_parse_spec(const char *spec, const char **arg)
{
    for (unsigned i = 0; i < AX_ARRAY_LEN(host_ends); i++) {
        size_t len = strlen(host_ends[i].word);

        if (strncmp(spec, host_ends[i].word, len))
            continue;
        *arg = spec + len + 1;
        if (host_ends[i].arg ? spec[len] == ':' && **arg : !spec[len])
            return (int)i;
    }
    return -1;
}

const char *ax_console_check_spec(const char *spec)
{
    const char *arg;
    int i = console_parse_spec(spec, &arg);

    if (i < 0)
        return "expected stdio, pty, unix:PATH, file:PATH or none";
    if (host_ends[i].kind == KIND_UNIX &&
        strlen(arg) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return "the socket path is longer than the system allows (107 bytes)";
    return NULL;
}

int ax_console_create(struct ax_loop *loop, struct ax_log *log,
                      const char *spec, bool escapes, struct ax_console **out)
{
    struct ax_console *console = calloc(1, sizeof(*console));
    const char *arg = NULL;
    int i = console_parse_spec(spec, &arg);
    int err = i < 0 ? -EINVAL : 0;

    *out = NULL;
    if (!console)
        return -ENOMEM;
    console->loop = loop;
    console->log = log;
    console->in = console->out = console->listener = -1;
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
    if (!err) {
        console->kind = host_ends[i].kind;
        console->escapes = escapes && console->kind == KIND_STDIO;
        err = host_ends[i].open(console, arg);
    }
    if (!err && console->out >= 0 && console->kind != KIND_PTY)
        err = console_connect(console);
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
    ax_watch_destroy(console->in_watch);
    ax_watch_destroy(console->out_watch);
    ax_watch_destroy(console->listen_watch);
    ax_timer_destroy(console->hung_up);
    ax_wake_destroy(console->news);
    if (console->out > STDERR_FILENO)
        close(console->out);
    if (console->listener >= 0)
        close(console->listener);
    if (console->path)
        unlink(console->path);
    free(console->path);
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
    uint64_t end = console_now_ns() + (uint64_t)timeout_ms * 1000000;
    struct pollfd pfd = {.events = POLLOUT};
    uint64_t now;

    while (console->out >= 0 && console->connected) {
        if (!console_flush(console))
            return false;
        if (!ring_used(&console->tx))
            return true;
        now = console_now_ns();
        if (now >= end)
            return false;
        pfd.fd = console->out;
        poll(&pfd, 1, (int)((end - now) / 1000000) + 1);
    }
    return true; /* nobody is there to miss anything */
}
