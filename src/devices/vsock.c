/*
 * vsock.c - the table of connections: how one begins, is found, and ends.
 *
 * Sockets and watches are made, changed and closed on the loop alone. A reset,
 * which may come on a vCPU's thread, only marks what has to go and cuts it off;
 * the loop does the rest.
 */
#include "devices/vsock_parts.h"

#include "devices/clock.h"
#include "devices/loop.h"
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LAST_WORDS_NS = 1000000000, STALL_MS = 100 }; /* at the end */

_Static_assert(sizeof(struct virtio_vsock_hdr) == AX_VSOCK_HEADER, "5.10.6");

/* ---- by name ---- */

/* The guest may choose ports that all meet in one bucket; it has 1023. */
static struct vsock_list *vsock_bucket(struct ax_vsock *table,
                                       uint32_t guest_port, uint32_t host_port)
{
    const uint32_t mixed = (guest_port ^ host_port * 31) * UINT32_C(0x9e3779b1);

    return &table->buckets[(mixed >> 16) % VSOCK_BUCKETS];
}

struct vsock_conn *vsock_find(struct ax_vsock *table, uint32_t guest_port,
                              uint32_t host_port)
{
    struct vsock_conn *c =
        LIST_FIRST(vsock_bucket(table, guest_port, host_port));

    while (c && (c->guest_port != guest_port || c->host_port != host_port))
        c = LIST_NEXT(c, in_list);
    return c;
}

void vsock_conn_name(struct vsock_conn *c, uint32_t guest_port,
                     uint32_t host_port)
{
    c->guest_port = guest_port;
    c->host_port = host_port;
    LIST_INSERT_HEAD(vsock_bucket(c->table, guest_port, host_port), c, in_list);
    c->hashed = true;
}

static void conn_forget_name(struct vsock_conn *c)
{
    if (c->hashed)
        LIST_REMOVE(c, in_list);
    c->hashed = false;
}

/* ---- what waits ---- */

static bool conn_has_bytes(const struct vsock_conn *c)
{
    return c->state == VSOCK_OPEN && c->readable;
}

static void conn_unqueue(struct vsock_conn *c)
{
    if (c->queued)
        TAILQ_REMOVE(&c->table->queue, c, in_queue);
    c->queued = false;
}

void vsock_conn_schedule(struct vsock_conn *c)
{
    const bool credit = vsock_conn_credit(c);

    if (credit) {
        c->asked = false;
    } else if (conn_has_bytes(c) && !c->asked) {
        c->asked = true;
        c->flags |= VSOCK_SEND_ASK;
    }
    if (!c->flags && !(conn_has_bytes(c) && credit)) {
        conn_unqueue(c);
    } else if (!c->queued) {
        TAILQ_INSERT_TAIL(&c->table->queue, c, in_queue);
        c->queued = true;
    }
}

/* Does it matter what the host sends? */
static bool conn_listens(const struct vsock_conn *c)
{
    if (c->state == VSOCK_OPEN)
        return !c->host_ended && !(c->guest_ended & VIRTIO_VSOCK_SHUTDOWN_RCV);
    return c->state == VSOCK_GREETING;
}

void vsock_conn_rearm(struct vsock_conn *c)
{
    unsigned events = c->buf_used ? AX_LOOP_WRITE : 0;

    if (conn_listens(c) && !c->deaf)
        events |= AX_LOOP_READ;
    if (c->watch)
        ax_watch_set(c->watch, events);
}

/* ---- life of a connection ---- */

static void conn_work(struct ax_vsock *table)
{
    struct vsock_conn *c = table->about;

    if (c->state == VSOCK_GREETING)
        vsock_host_greet(c);
    else if ((table->events & AX_LOOP_WRITE) && c->buf_used)
        vsock_conn_flush(c);
    if (c->state != VSOCK_OPEN || !(table->events & AX_LOOP_READ))
        return;
    /* Once more, and nobody has come for it: then it need not be said again. */
    if (c->readable) {
        c->deaf = true;
        vsock_conn_rearm(c);
    } else if (conn_listens(c)) {
        c->readable = true;
        vsock_conn_schedule(c);
    }
}

static void conn_ready(void *ctx, unsigned events)
{
    struct vsock_conn *c = ctx;

    c->table->about = c;
    c->table->events = events;
    vsock_notify(c->table, conn_work);
}

struct vsock_conn *vsock_conn_create(struct ax_vsock *table,
                                     enum vsock_state state, int fd)
{
    struct vsock_conn *c = LIST_FIRST(&table->free);
    struct ax_watch *watch = NULL;

    if (!c || ax_watch_create(table->env.loop, fd, 0, conn_ready, c, &watch)) {
        close(fd);
        return NULL;
    }
    LIST_REMOVE(c, in_list);
    *c = (struct vsock_conn){
        .table = table,
        .state = state,
        .fd = fd,
        .watch = watch,
        .burst = 1,
    };
    vsock_conn_rearm(c);
    return c;
}

static void conn_close(struct vsock_conn *c)
{
    ax_watch_destroy(c->watch);
    c->watch = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    free(c->buf);
    c->buf = NULL;
    c->buf_used = 0;
}

static void conn_free(struct vsock_conn *c)
{
    struct ax_vsock *table = c->table;

    conn_close(c);
    conn_unqueue(c);
    conn_forget_name(c);
    c->state = VSOCK_FREE;
    LIST_INSERT_HEAD(&table->free, c, in_list);
}

void vsock_conn_reap(struct vsock_conn *c)
{
    if (c->state != VSOCK_GONE)
        return;
    if (c->buf_used)
        vsock_conn_rearm(c);
    else
        conn_close(c);
    if (c->flags)
        return;
    conn_forget_name(c);
    if (c->fd >= 0)
        return;
    conn_free(c);
    vsock_host_rearm(c->table);
}

void vsock_conn_end(struct vsock_conn *c, bool tell)
{
    /* Of a request that was not sent there is nothing to take back. */
    if (!c->hashed || (c->flags & VSOCK_SEND_REQUEST))
        tell = false;
    c->state = VSOCK_GONE;
    c->flags = tell ? VSOCK_SEND_RST : 0;
    c->readable = false;
    if (c->buf_used)
        shutdown(c->fd, SHUT_RD);
    vsock_conn_schedule(c);
    vsock_conn_reap(c);
}

void vsock_conn_abort(struct vsock_conn *c)
{
    const bool known = c->state != VSOCK_GONE;

    conn_close(c);
    if (known)
        vsock_conn_end(c, true);
    else
        vsock_conn_reap(c);
}

/* ---- life of the table ---- */

void vsock_notify(struct ax_vsock *table, void (*todo)(struct ax_vsock *table))
{
    table->todo = todo;
    table->env.ready(table->env.ctx);
}

void ax_vsock_work(struct ax_vsock *table)
{
    void (*todo)(struct ax_vsock * table) = table->todo;

    table->todo = NULL;
    if (todo)
        todo(table);
}

/* After a start or a reset. */
static void vsock_tidy(struct ax_vsock *table)
{
    for (unsigned i = 0; i < AX_VSOCK_CONNECTIONS; i++)
        vsock_conn_reap(&table->conns[i]);
    vsock_host_rearm(table);
}

static void vsock_woken(void *ctx)
{
    vsock_notify(ctx, vsock_tidy);
}

void ax_vsock_start(struct ax_vsock *table)
{
    table->running = true;
    ax_loop_wake(table->wake);
}

static void conn_cut(struct vsock_conn *c)
{
    c->flags = 0;
    conn_unqueue(c);
    conn_forget_name(c);
    if (c->state == VSOCK_GONE)
        return;
    c->state = VSOCK_GONE;
    c->readable = false;
    shutdown(c->fd, c->buf_used ? SHUT_RD : SHUT_RDWR);
}

void ax_vsock_reset(struct ax_vsock *table)
{
    if (!table->running)
        return;
    table->running = false;
    table->answer_count = 0;
    for (unsigned i = 0; i < AX_VSOCK_CONNECTIONS; i++) {
        if (table->conns[i].state != VSOCK_FREE)
            conn_cut(&table->conns[i]);
    }
    ax_loop_wake(table->wake);
}

static void vsock_init(struct ax_vsock *table, const struct ax_vsock_env *env)
{
    table->env = *env;
    memcpy(table->path, env->path, strlen(env->path)); /* see the caller */
    table->env.path = table->path;
    table->listener = -1;
    TAILQ_INIT(&table->queue);
    LIST_INIT(&table->free);
    for (unsigned i = 0; i < VSOCK_BUCKETS; i++)
        LIST_INIT(&table->buckets[i]);
    for (unsigned i = AX_VSOCK_CONNECTIONS; i-- > 0;) {
        table->conns[i].table = table;
        table->conns[i].fd = -1;
        LIST_INSERT_HEAD(&table->free, &table->conns[i], in_list);
    }
}

int ax_vsock_create(const struct ax_vsock_env *env, struct ax_vsock **out)
{
    struct ax_vsock *table;
    int err;

    *out = NULL;
    if (strlen(env->path) > AX_VSOCK_PATH) {
        ax_log(env->log, AX_LOG_ERROR,
               "vsock: the path of the socket is too long, as _PORT has to fit "
               "behind it: choose one of at most %d bytes: %s",
               AX_VSOCK_PATH, env->path);
        return -ENAMETOOLONG;
    }
    table = calloc(1, sizeof(*table));
    if (!table)
        return -ENOMEM;
    vsock_init(table, env);
    err = ax_wake_create(env->loop, vsock_woken, table, &table->wake);
    if (!err)
        err = vsock_host_open(table);
    if (err) {
        ax_vsock_destroy(table);
        return err;
    }
    *out = table;
    return 0;
}

/*
 * Last words: to a host program that reads them, but for no longer than until,
 * and only while it does.
 */
static void conn_drain(struct vsock_conn *c, uint64_t until_ns)
{
    while (c->buf_used && ax_clock_now_ns() < until_ns) {
        struct pollfd ready = {.fd = c->fd, .events = POLLOUT};

        if (poll(&ready, 1, STALL_MS) <= 0)
            break;
        vsock_conn_flush(c);
    }
    conn_close(c);
}

void ax_vsock_destroy(struct ax_vsock *table)
{
    uint64_t until_ns;

    if (!table)
        return;
    until_ns = ax_clock_now_ns() + LAST_WORDS_NS;
    table->running = false;
    vsock_host_close(table);
    for (unsigned i = 0; i < AX_VSOCK_CONNECTIONS; i++)
        conn_drain(&table->conns[i], until_ns);
    ax_wake_destroy(table->wake);
    free(table);
}
