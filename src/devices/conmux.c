/*
 * conmux.c - a socket pair per console, a line buffer per guest, and one queue
 * to the terminal.
 *
 * Whole lines go out as they come. An unfinished one waits a moment for its
 * end, lest guests that boot side by side cut each other's lines up, and is
 * then shown as it is; from then on its guest writes on directly, until another
 * one needs the terminal. Where the queue is full nothing is read, so that the
 * sockets and then the consoles fill up and hold their guests back.
 */
#include "devices/conmux.h"

#include "devices/clock.h"
#include "devices/hostend.h"
#include "devices/loop.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OUT_BYTES = 65536, /* a power of two */
    LINE_BYTES = 4096,
    NAME_BYTES = 256,      /* a longer name is cut */
    PROMPT_NS = 100000000, /* how long an unfinished line waits */
    LAST_NS = 1000000000,  /* see ax_conmux_destroy */
    CTRL_A = 1,
};

struct guest {
    struct ax_conmux *mux;
    struct guest *next;
    const void *tag;
    char *name;
    size_t name_len;
    int fd;
    struct ax_watch *watch;
    int theirs;  /* the other end: until a console takes it ... */
    ino_t inode; /* ... this is what is open there */

    uint8_t line[LINE_BYTES]; /* read but not shown */
    unsigned count;
    uint64_t since; /* when the first of them came */
    bool cr;        /* a CR was read, and not yet what follows */
    bool broken;    /* another's output has ended its line */
    bool removed;   /* has no tag any more */
    bool rests;     /* does not run */
    bool ended;     /* nothing more to read */
};

struct ax_conmux {
    struct ax_loop *loop;
    struct ax_log *log;
    struct ax_hostend end;
    struct ax_watch *in_watch, *out_watch;
    struct ax_timer *timer; /* unfinished lines become due */
    uint64_t deadline;      /* what it is armed for */
    bool escapes, escaped;  /* the last byte was the prefix */
    bool held, closing;
    bool announce; /* it is to be told who is in front */
    void (*escape)(void *ctx, const void *tag, int key);
    void *ctx;

    struct guest *guests; /* in the order of their coming */
    struct guest *front;  /* gets what is typed; NULL: nobody does */
    struct guest *owner;  /* whose line on the terminal is unfinished */

    uint8_t typed[512]; /* for the one in front */
    size_t typed_at, typed_count;
    uint8_t out[OUT_BYTES];
    uint64_t head, tail;
};

/* ---- the queue to the terminal ---- */

static size_t mux_used(const struct ax_conmux *mux)
{
    return (size_t)(mux->head - mux->tail);
}

static size_t mux_room(const struct ax_conmux *mux)
{
    return OUT_BYTES - mux_used(mux);
}

static void mux_push(struct ax_conmux *mux, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mux->out[mux->head++ & (OUT_BYTES - 1)] = (uint8_t)bytes[i];
}

/* The reader is gone: the guests go on without. */
static void mux_close_output(struct ax_conmux *mux)
{
    ax_log(mux->log, AX_LOG_WARN, "console: cannot write: %s", strerror(errno));
    ax_watch_destroy(mux->out_watch);
    mux->out_watch = NULL;
    if (mux->end.out > STDERR_FILENO)
        close(mux->end.out);
    mux->end.out = -1;
}

/* Writes what the terminal takes now. */
static void mux_flush(struct ax_conmux *mux)
{
    while (mux_used(mux) && !mux->held && mux->end.out >= 0) {
        size_t at = mux->tail & (OUT_BYTES - 1);
        size_t count = mux_used(mux);
        ssize_t n;

        if (count > OUT_BYTES - at)
            count = OUT_BYTES - at;
        n = write(mux->end.out, mux->out + at, count);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno != EINTR)
            mux_close_output(mux);
        mux->tail += n < 0 ? 0 : (uint64_t)n;
    }
    if (mux->end.out < 0)
        mux->tail = mux->head;
}

/* ---- lines ---- */

/* Ends the line that somebody has left unfinished. */
static void mux_end_line(struct ax_conmux *mux)
{
    if (!mux->owner)
        return;
    mux->owner->broken = true;
    mux->owner = NULL;
    mux_push(mux, "\n", 1);
}

static void guest_push_prefix(const struct guest *guest)
{
    mux_push(guest->mux, guest->name, guest->name_len);
    mux_push(guest->mux, "| ", 2);
}

/* Makes the terminal's line this guest's. */
static void guest_begin(struct guest *guest)
{
    struct ax_conmux *mux = guest->mux;

    if (mux->owner == guest) {
        if (!guest->cr)
            return;
        mux_push(mux, "\r", 1); /* it writes its line anew */
    } else {
        mux_end_line(mux);
    }
    guest_push_prefix(guest);
    mux->owner = guest;
}

static void guest_end_line(struct guest *guest)
{
    struct ax_conmux *mux = guest->mux;
    bool cr = guest->cr;

    guest->cr = false;
    if (guest->broken) { /* the line was ended already */
        guest->broken = false;
        return;
    }
    guest_begin(guest);
    if (cr)
        mux_push(mux, "\r", 1);
    mux_push(mux, "\n", 1);
    mux->owner = NULL;
}

/* Of several CRs one counts, and none at the beginning of a line. */
static void guest_emit(struct guest *guest, uint8_t byte)
{
    const char text = (char)byte;

    if (text == '\r') {
        guest->cr = true;
    } else if (text == '\n') {
        guest_end_line(guest);
    } else {
        guest_begin(guest);
        guest->cr = guest->broken = false;
        mux_push(guest->mux, &text, 1);
    }
}

/* How many of the bytes that were read are to be shown now. */
static unsigned guest_ripe(const struct guest *guest, uint64_t now)
{
    const struct ax_conmux *mux = guest->mux;
    const uint8_t *lf;

    if (!guest->count)
        return 0;
    if (guest->ended || mux->closing || guest->count == LINE_BYTES ||
        now - guest->since >= PROMPT_NS)
        return guest->count;
    lf = memrchr(guest->line, '\n', guest->count);
    if (lf)
        return (unsigned)(lf - guest->line) + 1;
    return mux->owner == guest ? guest->count : 0;
}

/* Returns how many bytes it has shown: the queue may have room for no more. */
static unsigned guest_show(struct guest *guest, uint64_t now)
{
    const unsigned ripe = guest_ripe(guest, now);
    /* The worst: another's line is ended, a prefix, a byte or CR LF. */
    const size_t most = 1 + guest->name_len + 2 + 2;
    unsigned i = 0;

    while (i < ripe && mux_room(guest->mux) >= most)
        guest_emit(guest, guest->line[i++]);
    if (!i)
        return 0;
    guest->count -= i;
    guest->since = now;
    memmove(guest->line, guest->line + i, guest->count);
    return i;
}

/* ---- guests ---- */

/* True if something came. */
static bool guest_read(struct guest *guest)
{
    ssize_t n;

    if (guest->ended || guest->count == LINE_BYTES)
        return false;
    n = read(guest->fd, guest->line + guest->count, LINE_BYTES - guest->count);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        guest->ended = true;
        return false;
    }
    if (!guest->count)
        guest->since = ax_clock_now_ns();
    guest->count += (unsigned)n;
    return true;
}

static bool guest_listens(const struct guest *guest)
{
    return !guest->removed && !guest->rests && !guest->ended;
}

/* The next one that listens, in a circle; NULL if none does. */
static struct guest *mux_next(const struct ax_conmux *mux)
{
    struct guest *guest;

    for (guest = mux->front ? mux->front->next : NULL; guest;
         guest = guest->next) {
        if (guest_listens(guest))
            return guest;
    }
    for (guest = mux->guests; guest; guest = guest->next) {
        if (guest_listens(guest))
            return guest;
    }
    return NULL;
}

/* Who hears nothing more leaves the front. */
static void mux_choose_front(struct ax_conmux *mux)
{
    if (mux->front && guest_listens(mux->front))
        return;
    if (mux->front) {
        mux->typed_at = mux->typed_count = 0;
        mux->announce = mux->escapes && !mux->closing && mux_next(mux);
    }
    mux->front = mux_next(mux);
}

/*
 * Closes the descriptor that was given away if nobody has taken it: who does
 * makes it close-on-exec (see hostend.c).
 */
static void guest_take_back(struct guest *guest)
{
    int flags = fcntl(guest->theirs, F_GETFD);
    struct stat st;

    if (flags >= 0 && !(flags & FD_CLOEXEC) && !fstat(guest->theirs, &st) &&
        S_ISSOCK(st.st_mode) && st.st_ino == guest->inode)
        close(guest->theirs);
}

static void guest_free(struct guest *guest)
{
    ax_watch_destroy(guest->watch);
    if (guest->fd >= 0)
        close(guest->fd);
    free(guest->name);
    free(guest);
}

/* Lets the guests go whose last byte was shown. True if there was one. */
static bool mux_bury(struct ax_conmux *mux)
{
    struct guest **link = &mux->guests;
    bool any = false;

    while (*link) {
        struct guest *guest = *link;

        if (!guest->ended || guest->count || !mux_room(mux)) {
            link = &guest->next;
            continue;
        }
        if (mux->owner == guest)
            mux_end_line(mux);
        *link = guest->next;
        guest_free(guest);
        any = true;
    }
    return any;
}

/* ---- what moves it all ---- */

/* True if it was said. */
static bool mux_announce(struct ax_conmux *mux)
{
    static const char before[] = "-- input goes to ", nobody[] = "nobody";
    static const char after[] = " --\n";
    const char *name = mux->front ? mux->front->name : nobody;

    if (!mux->announce ||
        mux_room(mux) < sizeof(before) + NAME_BYTES + sizeof(after))
        return false;
    mux->announce = false;
    mux_end_line(mux);
    mux_push(mux, before, sizeof(before) - 1);
    mux_push(mux, name, strlen(name));
    mux_push(mux, after, sizeof(after) - 1);
    return true;
}

/* When the first of the unfinished lines is due, 0 if there is none. */
static uint64_t mux_deadline(const struct ax_conmux *mux)
{
    uint64_t first = 0;

    for (struct guest *g = mux->guests; g; g = g->next) {
        if (g->count && (!first || g->since + PROMPT_NS < first))
            first = g->since + PROMPT_NS;
    }
    return first;
}

static void mux_arm(struct ax_conmux *mux, uint64_t now)
{
    uint64_t due = mux_deadline(mux);

    if (!due || due == mux->deadline)
        return;
    /* What is overdue waits for the terminal, not for the time. */
    mux->deadline = due;
    if (due > now)
        ax_timer_arm(mux->timer, due - now, 0);
}

static void mux_watch(struct ax_conmux *mux, uint64_t now)
{
    bool typed = mux->typed_at < mux->typed_count;
    /* Without a guest a terminal is heard for its escapes. */
    bool hears = !mux->held && !typed && (mux->front || mux->escapes);

    if (mux->in_watch)
        ax_watch_set(mux->in_watch, hears ? AX_LOOP_READ : 0);
    if (mux->out_watch)
        ax_watch_set(mux->out_watch,
                     mux_used(mux) && !mux->held ? AX_LOOP_WRITE : 0);
    for (struct guest *g = mux->guests; g; g = g->next) {
        bool reads = !g->ended && g->count < LINE_BYTES;
        bool writes = typed && g == mux->front;

        ax_watch_set(g->watch, (reads ? AX_LOOP_READ : 0U) |
                                   (writes ? AX_LOOP_WRITE : 0U));
    }
    mux_arm(mux, now);
}

/* Follows every change: shows what is ripe, writes it, watches what is left. */
static void mux_run(struct ax_conmux *mux)
{
    const uint64_t now = ax_clock_now_ns();
    bool more;

    do {
        mux_flush(mux);
        mux_choose_front(mux);
        more = mux_announce(mux);
        for (struct guest *g = mux->guests; g; g = g->next)
            more = guest_show(g, now) || more;
        more = mux_bury(mux) || more;
    } while (more);
    mux_watch(mux, now);
}

/* Gives what was typed to the guest in front. */
static void mux_send(struct ax_conmux *mux)
{
    while (mux->front && mux->typed_at < mux->typed_count) {
        ssize_t n =
            send(mux->front->fd, mux->typed + mux->typed_at,
                 mux->typed_count - mux->typed_at, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break; /* its console is closed: the watch tells */
        mux->typed_at += (size_t)n;
    }
    mux->typed_at = mux->typed_count = 0;
}

static void guest_ready(void *ctx, unsigned events)
{
    struct guest *guest = ctx;
    struct ax_conmux *mux = guest->mux;

    if (events & AX_LOOP_READ)
        guest_read(guest);
    if (events & AX_LOOP_WRITE)
        mux_send(mux);
    mux_run(mux);
}

static void mux_output(void *ctx, unsigned events)
{
    mux_run(ctx);
}

static void mux_due(void *ctx, uint64_t count)
{
    mux_run(ctx);
}

/* What follows Ctrl-a. The multiplexer may be gone afterwards. */
static void mux_command(struct ax_conmux *mux, int key)
{
    if (key == 'n') {
        mux->front = mux_next(mux);
        mux->announce = true;
        mux_run(mux);
    } else if (mux->escape) {
        mux->escape(mux->ctx, mux->front ? mux->front->tag : NULL, key);
    }
}

static void mux_input(void *ctx, unsigned events)
{
    struct ax_conmux *mux = ctx;
    /* One by one: what follows an escape may be for somebody else. */
    ssize_t n =
        read(mux->end.in, mux->typed, mux->escapes ? 1 : sizeof(mux->typed));
    bool command = mux->escaped;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* the guests go on without */
        ax_watch_destroy(mux->in_watch);
        mux->in_watch = NULL;
        return;
    }
    mux->escaped = mux->escapes && !command && mux->typed[0] == CTRL_A;
    if (mux->escaped)
        return;
    if (command && mux->typed[0] != CTRL_A) {
        mux_command(mux, mux->typed[0]);
        return;
    }
    mux->typed_at = 0;
    mux->typed_count = (size_t)n;
    mux_send(mux);
    mux_run(mux);
}

/* ---- life ---- */

static int mux_open(struct ax_conmux *mux)
{
    int err = ax_hostend_open("stdio", &mux->end);

    if (!err)
        err = ax_timer_create(mux->loop, mux_due, mux, &mux->timer);
    if (!err && mux->end.in >= 0)
        err = ax_watch_create(mux->loop, mux->end.in, 0, mux_input, mux,
                              &mux->in_watch);
    if (!err && mux->end.out >= 0)
        err = ax_watch_create(mux->loop, mux->end.out, 0, mux_output, mux,
                              &mux->out_watch);
    return err;
}

int ax_conmux_create(struct ax_loop *loop, struct ax_log *log, bool escapes,
                     void (*escape)(void *ctx, const void *tag, int key),
                     void *ctx, struct ax_conmux **out)
{
    struct ax_conmux *mux = calloc(1, sizeof(*mux));
    int err;

    *out = NULL;
    if (!mux)
        return -ENOMEM;
    mux->loop = loop;
    mux->log = log;
    mux->escapes = escapes;
    mux->escape = escape;
    mux->ctx = ctx;
    err = mux_open(mux);
    if (err) {
        ax_log(log, AX_LOG_ERROR, "console: %s", strerror(-err));
        ax_conmux_destroy(mux);
        return err;
    }
    mux_watch(mux, 0);
    *out = mux;
    return 0;
}

/* What is still in the sockets and the queue, while the terminal takes it. */
static void mux_finish(struct ax_conmux *mux)
{
    const uint64_t end = ax_clock_now_ns() + LAST_NS;
    uint64_t now;
    bool more;

    mux->closing = true;
    mux->held = false;
    do {
        struct pollfd pfd = {.fd = mux->end.out, .events = POLLOUT};

        more = false;
        for (struct guest *g = mux->guests; g; g = g->next)
            more = guest_read(g) || more;
        mux_run(mux);
        now = ax_clock_now_ns();
        if (mux_used(mux) && now < end)
            poll(&pfd, 1, (int)((end - now) / 1000000) + 1);
    } while ((more || mux_used(mux)) && now < end);
    if (mux_room(mux))
        mux_end_line(mux);
    mux_flush(mux);
}

void ax_conmux_destroy(struct ax_conmux *mux)
{
    if (!mux)
        return;
    mux_finish(mux);
    while (mux->guests) {
        struct guest *guest = mux->guests;

        mux->guests = guest->next;
        guest_take_back(guest);
        guest_free(guest);
    }
    ax_timer_destroy(mux->timer);
    ax_watch_destroy(mux->in_watch);
    ax_watch_destroy(mux->out_watch);
    ax_hostend_close(&mux->end);
    free(mux);
}

/* The pair of sockets: ours belongs to guest, theirs is to be given away. */
static int guest_open(struct guest *guest)
{
    struct stat st;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds))
        return -errno;
    guest->fd = fds[0];
    guest->theirs = fds[1];
    /* Like an inherited one, which is what an "fd:N" console expects. */
    if (fstat(fds[1], &st) || fcntl(fds[1], F_SETFD, 0)) {
        int err = -errno;

        close(fds[1]);
        return err;
    }
    guest->inode = st.st_ino;
    return 0;
}

static int guest_create(struct ax_conmux *mux, const char *name,
                        const void *tag, struct guest **out)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    int err = -ENOMEM;

    if (!guest)
        return err;
    guest->mux = mux;
    guest->tag = tag;
    guest->fd = -1;
    guest->name = strndup(name, NAME_BYTES);
    guest->name_len = guest->name ? strlen(guest->name) : 0;
    if (guest->name)
        err = guest_open(guest);
    if (!err) {
        err = ax_watch_create(mux->loop, guest->fd, AX_LOOP_READ, guest_ready,
                              guest, &guest->watch);
        if (err)
            close(guest->theirs);
    }
    if (err) {
        guest_free(guest);
        return err;
    }
    *out = guest;
    return 0;
}

int ax_conmux_add(struct ax_conmux *mux, const char *name, const void *tag)
{
    struct guest **link = &mux->guests;
    int err, fd;

    while (*link)
        link = &(*link)->next;
    err = guest_create(mux, name, tag, link);
    if (err)
        return err;
    fd = (*link)->theirs;
    mux_run(mux); /* which may let another one go, and link with it */
    return fd;
}

void ax_conmux_remove(struct ax_conmux *mux, const void *tag)
{
    for (struct guest *g = mux ? mux->guests : NULL; g; g = g->next) {
        if (g->tag != tag || g->removed)
            continue;
        g->removed = true;
        g->tag = NULL;
        guest_take_back(g);
        mux_run(mux);
        return;
    }
}

void ax_conmux_rest(struct ax_conmux *mux, const void *tag, bool rests)
{
    for (struct guest *g = mux ? mux->guests : NULL; g; g = g->next) {
        if (g->tag != tag || g->removed || g->rests == rests)
            continue;
        g->rests = rests;
        mux_run(mux);
        return;
    }
}

void ax_conmux_hold(struct ax_conmux *mux, bool held)
{
    if (!mux || held == mux->held)
        return;
    mux->held = held;
    if (!held && mux->owner) {
        mux->owner->broken = true; /* others have written since */
        mux->owner = NULL;
    }
    mux_run(mux);
}
