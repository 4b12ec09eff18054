/*
 * vsock_host.c - the socket at which host programs ask for a port of the
 * guest's, and their asking.
 */
#include "devices/vsock_parts.h"

#include "devices/clock.h"
#include "devices/loop.h"
#include "devices/unixsock.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 128,
    PORTS = 1 << 30, /* ours begin here: what a guest may know is below */
};

/* A guest accepts at once, unless it is slow, or stands still. */
#define PATIENCE_NS UINT64_C(10000000000)
/* Without descriptors: until the next try. */
#define PAUSE_NS UINT64_C(500000000)

/* ---- time ---- */

static void host_arm(struct ax_vsock *table, uint64_t at_ns, uint64_t now_ns)
{
    if (table->timer_ns && table->timer_ns <= at_ns)
        return;
    table->timer_ns = at_ns;
    ax_timer_arm(table->timer, at_ns > now_ns ? at_ns - now_ns : 1, 0);
}

static void host_expire(struct ax_vsock *table)
{
    const uint64_t now_ns = ax_clock_now_ns();

    table->timer_ns = 0;
    if (table->pause_ns && table->pause_ns <= now_ns)
        table->pause_ns = 0;
    if (table->pause_ns)
        host_arm(table, table->pause_ns, now_ns);
    vsock_host_rearm(table);
    for (unsigned i = 0; i < AX_VSOCK_CONNECTIONS; i++) {
        struct vsock_conn *c = &table->conns[i];

        if (c->state == VSOCK_REQUESTED && c->deadline_ns <= now_ns)
            vsock_conn_end(c, true);
        else if (c->state == VSOCK_REQUESTED)
            host_arm(table, c->deadline_ns, now_ns);
    }
}

static void host_timer(void *ctx, uint64_t count)
{
    vsock_notify(ctx, host_expire);
}

/* ---- clients ---- */

void vsock_host_rearm(struct ax_vsock *table)
{
    const bool takes =
        table->running && !table->pause_ns && !LIST_EMPTY(&table->free);

    if (table->watch)
        ax_watch_set(table->watch, takes ? AX_LOOP_READ : 0);
}

static void host_pause(struct ax_vsock *table, int err)
{
    const uint64_t now_ns = ax_clock_now_ns();

    ax_log(table->env.log, AX_LOG_WARN, "vsock: cannot take a client: %s",
           strerror(-err));
    table->pause_ns = now_ns + PAUSE_NS;
    host_arm(table, table->pause_ns, now_ns);
}

static void host_accept(struct ax_vsock *table)
{
    int fd;

    if (!table->running || LIST_EMPTY(&table->free))
        return;
    fd = accept4(table->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        vsock_conn_create(table, VSOCK_GREETING, fd);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
             errno == ENOBUFS)
        host_pause(table, -errno);
    vsock_host_rearm(table);
}

static void host_ready(void *ctx, unsigned events)
{
    vsock_notify(ctx, host_accept);
}

/* ---- what they ask for ---- */

/* "CONNECT PORT". */
static bool parse_line(const char *line, uint32_t *port)
{
    static const char word[] = "CONNECT ";
    uint64_t number = 0;
    const char *c = line + strlen(word);

    if (strncmp(line, word, strlen(word)) || !*c)
        return false;
    for (; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        number = number * 10 + (unsigned)(*c - '0');
        if (number >= UINT32_MAX) /* VMADDR_PORT_ANY is none */
            return false;
    }
    *port = (uint32_t)number;
    return true;
}

static uint32_t host_port_for(struct ax_vsock *table, uint32_t guest_port)
{
    uint32_t port;

    do
        port = PORTS + table->next_port++ % PORTS;
    while (vsock_find(table, guest_port, port));
    return port;
}

static void host_request(struct vsock_conn *c, uint32_t port)
{
    struct ax_vsock *table = c->table;
    const uint64_t now_ns = ax_clock_now_ns();

    vsock_conn_name(c, port, host_port_for(table, port));
    c->state = VSOCK_REQUESTED;
    c->deadline_ns = now_ns + (table->env.patience_ns ? table->env.patience_ns
                                                      : PATIENCE_NS);
    host_arm(table, c->deadline_ns, now_ns);
    c->flags |= VSOCK_SEND_REQUEST;
    vsock_conn_rearm(c);
    vsock_conn_schedule(c);
}

/*
 * Takes what belongs to the line, and not what follows it: 1: it is complete,
 * 0: not yet, or -errno.
 */
static int greet_read(struct vsock_conn *c)
{
    char *to = c->line + c->line_used;
    const size_t space = sizeof(c->line) - 1 - c->line_used;
    ssize_t n = recv(c->fd, to, space, MSG_PEEK);
    const char *end;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (!n)
        return -EPIPE; /* also where the line is too long: no space */
    end = memchr(to, '\n', (size_t)n);
    if (end)
        n = end - to + 1;
    if (recv(c->fd, to, (size_t)n, 0) != n)
        return -EIO;
    c->line_used += (unsigned)n;
    if (!end)
        return 0;
    c->line[c->line_used - 1] = '\0';
    return 1;
}

void vsock_host_greet(struct vsock_conn *c)
{
    uint32_t port;
    const int done = greet_read(c);

    if (!done)
        return;
    if (done > 0 && parse_line(c->line, &port)) {
        host_request(c, port);
        return;
    }
    if (c->line_used)
        ax_log(c->table->env.log, AX_LOG_WARN,
               "vsock: a client of %s did not begin with a line CONNECT PORT, "
               "PORT being the guest's: it was sent away",
               c->table->path);
    vsock_conn_end(c, false);
}

void vsock_host_accepted(struct vsock_conn *c)
{
    char line[VSOCK_LINE];
    const int n =
        snprintf(line, sizeof(line), "OK %" PRIu32 "\n", c->host_port);

    /* The socket is empty so far: it takes all, or its reader is gone. */
    if (send(c->fd, line, (size_t)n, MSG_NOSIGNAL) != n) {
        vsock_conn_abort(c);
        return;
    }
    c->state = VSOCK_OPEN;
    vsock_conn_rearm(c);
    vsock_conn_schedule(c);
}

/* ---- life ---- */

int vsock_host_open(struct ax_vsock *table)
{
    char why[AX_UNIX_WHY];
    int err = ax_unix_listen(table->path, BACKLOG, &table->listener, why);

    if (err) {
        ax_log(table->env.log, AX_LOG_ERROR, "vsock: %s", why);
        return err;
    }
    err = ax_timer_create(table->env.loop, host_timer, table, &table->timer);
    if (!err)
        err = ax_watch_create(table->env.loop, table->listener, 0, host_ready,
                              table, &table->watch);
    return err;
}

void vsock_host_close(struct ax_vsock *table)
{
    ax_watch_destroy(table->watch);
    table->watch = NULL;
    ax_timer_destroy(table->timer);
    ax_unix_unlisten(table->listener, table->path);
}
