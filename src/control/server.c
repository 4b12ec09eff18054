/*
 * server.c - the control socket: listens, moves lines to execute.c and answers
 * back. What an answer says is not its business.
 *
 * A client is closed at once, but freed by a wake: it may be deep in a call on
 * its own behalf.
 */
#include "control/server.h"

#include "control/execute.h"
#include "control/place.h"
#include "devices/clock.h"
#include "devices/console.h"
#include "devices/loop.h"
#include "log.h"
#include "vmm/fleet.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CLIENTS = 64,
    BACKLOG = CLIENTS, /* may come while the loop is busy */
    CHUNK = 4096,      /* read from one client before others have their turn */
    OUT_FIRST = 4096,  /* of the buffer of answers, which doubles up to */
    OUT_MAX = 1 << 20, /* ... this */
    FLUSH_MS = 100,    /* for answers at the end */
    AGAIN_NS = 500000000 /* without descriptors: until the next try */
};

struct client {
    struct ax_control *control;
    struct ax_asker asker;
    struct ax_watch *watch;
    int fd;             /* -1: closed, soon freed */
    struct ax_vm *goes; /* to a console of it, once all answers are sent */
    struct ax_console *console; /* ... which is this one */
    char *out;
    size_t out_start, out_end, out_space;
    size_t used; /* of line */
    struct client *next;
    char line[AX_CONTROL_LINE_MAX];
};

struct ax_control {
    struct ax_control_env env;
    struct ax_execute *exec;
    struct ax_fleet_listener listener;
    struct client *clients;
    unsigned count; /* of clients that are not closed */
    struct ax_wake *reap;
    struct ax_timer *again;
    struct ax_watch *watch;
    int fd;
    char *path;
    bool wanted;      /* the path was given, and is no default */
    struct stat file; /* the socket, to remove no other; st_ino 0: none yet */
};

/* ---- clients: the end ---- */

static void client_let_go(struct client *c)
{
    if (c->fd < 0)
        return;
    ax_watch_destroy(c->watch);
    c->watch = NULL;
    c->fd = -1;
    c->goes = NULL;
    c->control->count--;
    ax_loop_wake(c->control->reap);
}

static void client_close(struct client *c)
{
    const int fd = c->fd;

    if (fd < 0)
        return;
    client_let_go(c);
    close(fd);
}

static void client_free(struct client *c)
{
    free(c->out);
    free(c);
}

static void control_reap(void *ctx)
{
    struct ax_control *control = ctx;
    struct client **at = &control->clients;

    while (*at) {
        struct client *c = *at;

        if (c->fd >= 0) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        ax_execute_forget(control->exec, &c->asker);
        client_free(c);
    }
}

/* ---- clients: answers ---- */

/* Sends what it can; false: the client is gone. */
static bool client_send(struct client *c)
{
    while (c->out_start < c->out_end) {
        ssize_t n = send(c->fd, c->out + c->out_start,
                         c->out_end - c->out_start, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0) {
            client_close(c);
            return false;
        }
        c->out_start += (size_t)n;
    }
    c->out_start = c->out_end = 0;
    return true;
}

static bool client_make_room(struct client *c, size_t count)
{
    const size_t waits = c->out_end - c->out_start;
    size_t space = c->out_space ? c->out_space : OUT_FIRST;
    char *out;

    if (count > OUT_MAX || waits + count > OUT_MAX)
        return false;
    if (c->out_start) {
        memmove(c->out, c->out + c->out_start, waits);
        c->out_start = 0;
        c->out_end = waits;
    }
    while (space < waits + count)
        space *= 2;
    if (space == c->out_space)
        return true;
    out = realloc(c->out, space);
    if (!out)
        return false;
    c->out = out;
    c->out_space = space;
    return true;
}

static void client_watch(struct client *c)
{
    ax_watch_set(c->watch, (c->goes ? 0U : AX_LOOP_READ) |
                               (c->out_end ? AX_LOOP_WRITE : 0U));
}

/* text is one line without its end. */
static void client_put(struct client *c, const char *text, size_t len)
{
    if (c->fd < 0)
        return;
    if (c->out_space - c->out_end < len + 1 && !client_make_room(c, len + 1)) {
        ax_log(c->control->env.log, AX_LOG_WARN,
               "control: a client that does not read is disconnected");
        client_close(c);
        return;
    }
    memcpy(c->out + c->out_end, text, len);
    c->out_end += len;
    c->out[c->out_end++] = '\n';
    if (client_send(c))
        client_watch(c);
}

static void client_answer(void *ctx, const json_t *message)
{
    struct client *c = ctx;
    char *text = c->fd >= 0 ? json_dumps(message, 0) : NULL;

    if (text)
        client_put(c, text, strlen(text));
    else
        client_close(c);
    free(text);
}

/* ---- clients: consoles ---- */

/* Its console takes over what was read behind the request as well. */
static void client_go(struct client *c)
{
    const int fd = c->fd;
    int err;

    if (fd < 0 || !c->goes || c->out_end)
        return;
    client_let_go(c);
    err = ax_console_attach(c->console, fd, (const uint8_t *)c->line, c->used);
    if (err)
        ax_log(c->control->env.log, AX_LOG_WARN,
               "control: a client cannot have the console: %s", strerror(-err));
}

static void client_attach(void *ctx, struct ax_vm *vm,
                          struct ax_console *console)
{
    struct client *c = ctx;

    if (c->fd < 0)
        return;
    c->goes = vm;
    c->console = console;
    client_watch(c);
}

static void control_heard(void *ctx, enum ax_fleet_event_kind kind,
                          struct ax_vm *vm)
{
    struct ax_control *control = ctx;

    for (struct client *c = control->clients; c; c = c->next) {
        if (kind == AX_FLEET_DELETED && c->goes == vm)
            client_close(c);
    }
}

/* ---- clients: requests ---- */

static void client_line(struct client *c, const char *line, size_t len)
{
    json_error_t error;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);

    if (request)
        ax_execute(c->control->exec, &c->asker, request);
    else
        ax_execute_complain(&c->asker, AX_EXECUTE_BAD_REQUEST, error.text);
    json_decref(request);
}

/* seen: bytes of line in which no line ends. */
static void client_lines(struct client *c, size_t seen)
{
    size_t start = 0;

    while (c->fd >= 0 && !c->goes) {
        char *end = memchr(c->line + seen, '\n', c->used - seen);

        if (!end)
            break;
        seen = (size_t)(end - c->line) + 1;
        client_line(c, c->line + start, seen - 1 - start);
        start = seen;
    }
    c->used -= start;
    memmove(c->line, c->line + start, c->used);
    if (c->used < sizeof(c->line) || c->fd < 0 || c->goes)
        return;
    ax_execute_complain(&c->asker, AX_EXECUTE_TOO_LARGE,
                        "a line has at most 65536 bytes");
    client_close(c);
}

static void client_receive(struct client *c)
{
    const size_t room = sizeof(c->line) - c->used, seen = c->used;
    ssize_t n = recv(c->fd, c->line + c->used, room < CHUNK ? room : CHUNK, 0);

    if (n > 0) {
        c->used += (size_t)n;
        client_lines(c, seen);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        client_close(c);
    }
}

static void client_ready(void *ctx, unsigned events)
{
    struct client *c = ctx;

    if (events & AX_LOOP_WRITE && client_send(c))
        client_watch(c);
    if (c->fd >= 0 && events & AX_LOOP_READ && !c->goes)
        client_receive(c);
    client_go(c);
}

/* ---- clients: the beginning ---- */

static void client_greet(struct client *c)
{
    json_t *greeting =
        json_pack("{s:i, s:s, s:i}", "axvm", (int)AX_CONTROL_VERSION, "version",
                  AX_VERSION, "pid", (int)getpid());

    if (greeting)
        client_answer(c, greeting);
    else
        client_close(c);
    json_decref(greeting);
}

/* fd is the client's from now on. */
static int client_create(struct ax_control *control, int fd)
{
    struct client *c = malloc(sizeof(*c)); /* line is not read before written */
    int err;

    if (!c) {
        close(fd);
        return -ENOMEM;
    }
    memset(c, 0, offsetof(struct client, line));
    c->control = control;
    c->asker.answer = client_answer;
    c->asker.attach = client_attach;
    c->asker.ctx = c;
    c->fd = fd;
    err = ax_watch_create(control->env.loop, fd, AX_LOOP_READ, client_ready, c,
                          &c->watch);
    if (err) {
        close(fd);
        free(c);
        return err;
    }
    c->next = control->clients;
    control->clients = c;
    control->count++;
    if (control->count <= CLIENTS) {
        client_greet(c);
        return 0;
    }
    ax_execute_complain(&c->asker, AX_EXECUTE_BUSY,
                        "64 clients are connected already");
    client_close(c);
    return 0;
}

static void control_accept(void *ctx, unsigned events)
{
    struct ax_control *control = ctx;
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int err = fd < 0 ? -errno : client_create(control, fd);

    if (err != -EMFILE && err != -ENFILE && err != -ENOMEM && err != -ENOBUFS)
        return; /* fine, or the client's own affair */
    ax_log(control->env.log, AX_LOG_WARN, "control: cannot take a client: %s",
           strerror(-err));
    ax_watch_set(control->watch, 0);
    ax_timer_arm(control->again, AGAIN_NS, 0);
}

static void control_again(void *ctx, uint64_t count)
{
    struct ax_control *control = ctx;

    ax_watch_set(control->watch, AX_LOOP_READ);
}

/* ---- the socket ---- */

static int control_say(const struct ax_control *control, int err,
                       const char *why)
{
    ax_log(control->env.log, control->wanted ? AX_LOG_ERROR : AX_LOG_WARN,
           "control socket %s: %s%s", control->path, why,
           control->wanted ? "" : ": axvm cannot reach this process");
    return err;
}

static int control_default_path(struct ax_control *control)
{
    struct sockaddr_un addr;
    char dir[sizeof(addr.sun_path)];
    int err = ax_control_dir(dir, sizeof(dir));

    if (err) {
        ax_log(control->env.log, AX_LOG_WARN,
               "control socket: the path of its directory is too long, set "
               "another XDG_RUNTIME_DIR or use --control");
        return err;
    }
    err = ax_control_make_dir(dir);
    if (err) {
        ax_log(control->env.log, AX_LOG_WARN,
               "control socket: %s: %s: axvm cannot reach this process", dir,
               err == -EPERM ? "the directory is not ours alone"
                             : strerror(-err));
        return err;
    }
    return asprintf(&control->path, "%s/%d.sock", dir, (int)getpid()) < 0
               ? -ENOMEM
               : 0;
}

/* May path be taken: nothing there, or a socket nobody listens on? */
static int control_check_path(const struct ax_control *control)
{
    struct stat st;
    int fd;

    if (lstat(control->path, &st))
        return errno == ENOENT ? 0
                               : control_say(control, -errno, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return control_say(control, -EEXIST, "something else is there");
    fd = ax_control_connect(control->path);
    if (fd == -ECONNREFUSED || fd == -ENOENT)
        return 0;
    if (fd < 0 && fd != -EAGAIN)
        return control_say(control, fd, strerror(-fd));
    if (fd >= 0)
        close(fd);
    return control_say(control, -EADDRINUSE, "another process listens there");
}

/*
 * The name under which the socket is made, in the same directory. It gets its
 * own when it listens: before, it would look stale.
 */
static int control_first_name(const struct ax_control *control,
                              struct sockaddr_un *addr)
{
    const char *slash = strrchr(control->path, '/');
    const int dir = slash ? (int)(slash - control->path) + 1 : 0;
    const size_t most = sizeof(addr->sun_path) - 1;
    const size_t last = strlen(control->path);
    const int first = snprintf(addr->sun_path, sizeof(addr->sun_path),
                               "%.*s.%d", dir, control->path, (int)getpid());
    const size_t more =
        first > 0 && (size_t)first > last ? (size_t)first - last : 0;

    if (last + more <= most)
        return 0;
    ax_log(control->env.log, AX_LOG_ERROR,
           "control socket %s: the path is too long, a socket's has at most "
           "%zu bytes",
           control->path, most - more);
    return -ENAMETOOLONG;
}

/* Where another process connects from now on. */
static int control_open(struct ax_control *control)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int err = control_first_name(control, &addr);

    if (err)
        return err;
    err = control_check_path(control);
    if (err)
        return err;
    control->fd =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0)
        return control_say(control, -errno, strerror(errno));
    if (!lstat(addr.sun_path, &control->file) &&
        S_ISSOCK(control->file.st_mode))
        unlink(addr.sun_path); /* of a process that had our id */
    control->file.st_ino = 0;
    /* The mode of the descriptor is the one that bind gives to the file. */
    if (fchmod(control->fd, S_IRUSR | S_IWUSR) ||
        bind(control->fd, (struct sockaddr *)&addr, sizeof(addr)))
        return control_say(control, -errno, strerror(errno));
    if (listen(control->fd, BACKLOG) || lstat(addr.sun_path, &control->file) ||
        rename(addr.sun_path, control->path)) {
        err = -errno;
        unlink(addr.sun_path);
        control->file.st_ino = 0;
        return control_say(control, err, strerror(-err));
    }
    return 0;
}

static int control_start(struct ax_control *control)
{
    struct ax_loop *loop = control->env.loop;
    int err = ax_wake_create(loop, control_reap, control, &control->reap);

    if (!err)
        err = ax_timer_create(loop, control_again, control, &control->again);
    if (!err)
        err = ax_execute_create(&control->env, &control->exec);
    if (!err)
        err = ax_watch_create(loop, control->fd, AX_LOOP_READ, control_accept,
                              control, &control->watch);
    if (err)
        return control_say(control, err, strerror(-err));
    control->listener.heard = control_heard;
    control->listener.ctx = control;
    ax_fleet_listen(control->env.fleet, &control->listener);
    return 0;
}

int ax_control_create(const struct ax_control_env *env, const char *path,
                      struct ax_control **out)
{
    struct ax_control *control = calloc(1, sizeof(*control));
    int err = 0;

    *out = NULL;
    if (!control)
        return -ENOMEM;
    control->env = *env;
    control->fd = -1;
    control->wanted = path;
    if (path)
        err = (control->path = strdup(path)) ? 0 : -ENOMEM;
    else
        err = control_default_path(control);
    if (!err)
        err = control_open(control);
    if (!err)
        err = control_start(control);
    if (err) {
        ax_control_destroy(control);
        return err;
    }
    *out = control;
    return 0;
}

/* ---- the end ---- */

static void client_flush(struct client *c, uint64_t until_ns)
{
    struct pollfd poll_fd = {.fd = c->fd, .events = POLLOUT};

    while (client_send(c) && c->out_end) {
        const uint64_t now_ns = ax_clock_now_ns();

        if (now_ns >= until_ns)
            return;
        poll(&poll_fd, 1, (int)((until_ns - now_ns) / 1000000) + 1);
    }
}

static void control_remove_socket(const struct ax_control *control)
{
    struct stat st;

    if (control->file.st_ino && !lstat(control->path, &st) &&
        st.st_ino == control->file.st_ino && st.st_dev == control->file.st_dev)
        unlink(control->path);
}

void ax_control_destroy(struct ax_control *control)
{
    const uint64_t until_ns = ax_clock_now_ns() + FLUSH_MS * UINT64_C(1000000);

    if (!control)
        return;
    control_remove_socket(control);
    ax_watch_destroy(control->watch);
    if (control->fd >= 0)
        close(control->fd);
    ax_execute_destroy(control->exec);
    ax_fleet_unlisten(control->env.fleet, &control->listener);
    while (control->clients) {
        struct client *c = control->clients;

        control->clients = c->next;
        client_flush(c, until_ns);
        client_close(c);
        client_free(c);
    }
    ax_timer_destroy(control->again);
    ax_wake_destroy(control->reap);
    free(control->path);
    free(control);
}

const char *ax_control_path(const struct ax_control *control)
{
    return control->path;
}
