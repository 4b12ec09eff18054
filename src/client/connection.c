/*
 * connection.c - lines through a socket that does not block.
 */
#include "client/connection.h"

#include "control/place.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 16 << 20,
    CHUNK = 16384,
    GREETING_MS = 5000, /* a process that is stopped must not stop us */
};

struct connection {
    int fd, signals;
    bool follow;
    pid_t pid;
    json_int_t last_id;
    char *bytes;              /* what was received: */
    size_t start, end, space; /* [start, end) is not yet used */
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* Until the socket is ready; until: of now_ms(), < 0: for ever. */
static int await(const struct connection *c, short events, int64_t until)
{
    struct pollfd fds[] = {
        {.fd = c->fd, .events = events},
        {.fd = c->signals, .events = POLLIN},
        {.fd = c->follow ? STDOUT_FILENO : -1}, /* POLLERR always counts */
    };

    for (;;) {
        int64_t left = until < 0 ? -1 : until - now_ms();
        int n = poll(fds, AX_ARRAY_LEN(fds),
                     until < 0 ? -1 : (int)(left > 0 ? left : 0));

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -ETIMEDOUT;
        if (n < 0)
            continue;
        if (fds[1].revents)
            return -EINTR;
        if (fds[2].revents)
            return -EPIPE;
        return 0;
    }
}

static int make_room(struct connection *c)
{
    size_t space = c->space ? 2 * c->space : CHUNK;
    char *bytes;

    if (c->start) {
        memmove(c->bytes, c->bytes + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (c->end < c->space)
        return 0;
    if (space > ANSWER_MAX)
        return -EMSGSIZE;
    bytes = realloc(c->bytes, space);
    if (!bytes)
        return -ENOMEM;
    c->bytes = bytes;
    c->space = space;
    return 0;
}

static int fill(struct connection *c, int64_t until)
{
    int err = make_room(c);

    while (!err) {
        ssize_t n;

        err = await(c, POLLIN, until);
        if (err)
            break;
        n = recv(c->fd, c->bytes + c->end, c->space - c->end, 0);
        if (n > 0) {
            c->end += (size_t)n;
            return 0;
        }
        if (n == 0)
            return c->start == c->end ? -ENODATA : -ECONNRESET;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return err;
}

int connection_receive(struct connection *c, int timeout_ms, json_t **out)
{
    const int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    size_t seen = 0;
    char *line, *end;
    int err;

    *out = NULL;
    for (;;) {
        line = c->bytes + c->start;
        end = c->end - c->start > seen
                  ? memchr(line + seen, '\n', c->end - c->start - seen)
                  : NULL;
        if (end)
            break;
        seen = c->end - c->start;
        err = fill(c, until);
        if (err)
            return err;
    }
    c->start += (size_t)(end - line) + 1;
    *out = json_loadb(line, (size_t)(end - line), 0, NULL);
    if (json_is_object(*out))
        return 0;
    json_decref(*out);
    *out = NULL;
    return -EPROTO;
}

static int send_all(struct connection *c, const char *bytes, size_t size)
{
    while (size) {
        ssize_t n = send(c->fd, bytes, size, MSG_NOSIGNAL);
        int err = 0;

        if (n >= 0) {
            bytes += n;
            size -= (size_t)n;
        } else if (errno == EAGAIN) {
            err = await(c, POLLOUT, -1);
        } else if (errno != EINTR) {
            err = errno == EPIPE ? -ECONNRESET : -errno;
        }
        if (err)
            return err;
    }
    return 0;
}

/* request gets an id of its own on the way. */
static int send_request(struct connection *c, json_t *request)
{
    json_t *message = json_copy(request);
    char *line = NULL;
    size_t size;
    int err = -ENOMEM;

    if (message &&
        !json_object_set_new(message, "id", json_integer(++c->last_id)))
        line = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (line) {
        size = strlen(line);
        line[size] = '\n'; /* the end of the text is no longer needed */
        err = send_all(c, line, size + 1);
    }
    free(line);
    return err;
}

/* A server that could not read a request does not know its id. */
static bool answers(const json_t *message, json_int_t id)
{
    const json_t *its = json_object_get(message, "id");

    return its ? json_integer_value(its) == id
               : json_object_get(message, "error") != NULL;
}

int connection_ask(struct connection *c, json_t *request, int timeout_ms,
                   json_t **out)
{
    const int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    int err = send_request(c, request);

    *out = NULL;
    while (!err) {
        int64_t left = until < 0 ? -1 : until - now_ms();

        err = connection_receive(c, until < 0 ? -1 : (int)(left > 0 ? left : 0),
                                 out);
        if (err)
            break;
        if (answers(*out, c->last_id))
            return 0;
        json_decref(*out); /* an event, or the answer to something given up */
        *out = NULL;
    }
    return err == -ENODATA ? -ECONNRESET : err;
}

static int greet(struct connection *c)
{
    json_t *greeting;
    int err = connection_receive(c, GREETING_MS, &greeting);

    if (err)
        return err;
    if (json_object_get(greeting, "error"))
        err = -EAGAIN; /* too many connections: the only one that comes here */
    else if (json_integer_value(json_object_get(greeting, "axvm")) !=
             AX_CONTROL_VERSION)
        err = -EPROTO;
    c->pid = (pid_t)json_integer_value(json_object_get(greeting, "pid"));
    json_decref(greeting);
    return err;
}

int connection_open(const char *path, int signals, struct connection **out)
{
    struct connection *c = calloc(1, sizeof(*c));
    int err;

    *out = NULL;
    if (!c)
        return -ENOMEM;
    c->signals = signals;
    c->fd = ax_control_connect(path);
    err = c->fd < 0 ? c->fd : make_room(c);
    if (!err)
        err = greet(c);
    if (err)
        connection_close(c);
    else
        *out = c;
    return err;
}

void connection_close(struct connection *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c->bytes);
    free(c);
}

int connection_fd(const struct connection *c)
{
    return c->fd;
}

pid_t connection_pid(const struct connection *c)
{
    return c->pid;
}

void connection_follow(struct connection *c)
{
    c->follow = true;
}

const char *connection_rest(const struct connection *c, size_t *size)
{
    *size = c->end - c->start;
    return c->bytes + c->start;
}

const char *connection_error(int err)
{
    switch (err) {
    case -ENODATA:
    case -ECONNRESET:
        return "the process has gone away";
    case -EPROTO:
        return "the process speaks another protocol";
    case -EMSGSIZE:
        return "the process sends too much";
    case -ETIMEDOUT:
        return "the process does not answer";
    case -EAGAIN:
        return "the process is too busy to answer";
    default:
        return strerror(-err);
    }
}
