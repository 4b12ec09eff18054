/*
 * console.c - bytes between the user and a console's connection.
 *
 * On a terminal Ctrl-a introduces a key of ours; a pipe may carry any bytes. At
 * the end of a pipe the console goes on until the server closes it.
 */
#include "client/console.h"

#include "client/processes.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CTRL_A = 1, PIECE = 4096, PATIENCE_MS = 1000 };

struct console {
    const struct client *client;
    int socket, input;
    const char *vm, *port;
    pid_t pid;
    struct connection *side; /* for requests meanwhile; NULL: not needed yet */
    int ends, news; /* signalfds: those that end us, SIGCONT and SIGWINCH */
    bool terminal, escaped;
    bool done;      /* detached, or nobody reads any more */
    bool closed;    /* by the server: print what has come */
    char up[PIECE]; /* to the server */
    size_t up_size;
    char down[PIECE];
    const char *out; /* to the user: in down, or the connection's rest */
    size_t out_size;
};

enum { SOCKET, INPUT, OUTPUT, ENDS, NEWS, FDS };

static void console_key(struct console *console, char key)
{
    switch (key) {
    case 'd':
        console->done = true;
        break;
    case 'h':
        client_note(console->client, "Ctrl-a d detaches, Ctrl-a Ctrl-a sends "
                                     "one Ctrl-a, Ctrl-a h prints this");
        break;
    }
}

/* Takes keys of ours out of what was typed: the size of what is left. */
static size_t console_filter(struct console *console, char *bytes, size_t size)
{
    size_t kept = 0;

    for (size_t i = 0; i < size && !console->done; i++) {
        if (!console->escaped && bytes[i] == CTRL_A) {
            console->escaped = true;
        } else if (console->escaped && bytes[i] != CTRL_A) {
            console->escaped = false;
            console_key(console, bytes[i]);
        } else {
            console->escaped = false;
            bytes[kept++] = bytes[i];
        }
    }
    return kept;
}

/*
 * A pipe is read when there is room for all. A terminal always is, for our keys
 * must work also where the guest does not read.
 */
static void console_read_input(struct console *console)
{
    char bytes[PIECE];
    const size_t room = PIECE - console->up_size;
    ssize_t n = read(console->input, bytes, PIECE);
    size_t size;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        console->input = -1;
        console->done = console->terminal; /* it has hung up */
        return;
    }
    size = (size_t)n;
    if (console->terminal)
        size = console_filter(console, bytes, size);
    if (size > room)
        size = room;
    memcpy(console->up + console->up_size, bytes, size);
    console->up_size += size;
}

static void console_write_socket(struct console *console)
{
    ssize_t n =
        send(console->socket, console->up, console->up_size, MSG_NOSIGNAL);

    if (n >= 0) {
        console->up_size -= (size_t)n;
        memmove(console->up, console->up + n, console->up_size);
    } else if (errno != EINTR && errno != EAGAIN) {
        console->up_size = 0; /* reading tells that it has closed */
        console->input = -1;
    }
}

static void console_read_socket(struct console *console)
{
    ssize_t n = recv(console->socket, console->down, PIECE, 0);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    console->closed = n <= 0;
    console->out = console->down;
    console->out_size = n > 0 ? (size_t)n : 0;
}

static void console_write_output(struct console *console)
{
    /* Not more at once than a pipe that polls as writable takes. */
    size_t size = console->out_size < PIECE ? console->out_size : PIECE;
    ssize_t n = write(STDOUT_FILENO, console->out, size);

    if (n >= 0) {
        console->out += n;
        console->out_size -= (size_t)n;
    } else if (errno != EINTR && errno != EAGAIN) {
        console->done = true;
    }
}

void console_add_size(const struct client *client, json_t *request)
{
    struct winsize size;

    if (client->input < 0 || ioctl(client->input, TIOCGWINSZ, &size) ||
        !size.ws_col || !size.ws_row)
        return;
    json_object_set_new(request, "cols", json_integer(size.ws_col));
    json_object_set_new(request, "rows", json_integer(size.ws_row));
}

static json_t *console_size_request(const struct console *console)
{
    json_t *request =
        json_pack("{s:s, s:s, s:s*, s:b}", "command", "console", "vm",
                  console->vm, "port", console->port, "attach", false);

    if (request)
        console_add_size(console->client, request);
    return request;
}

/* Whatever goes wrong, the console goes on with the size that it had. */
static void console_tell_size(struct console *console)
{
    /* The same process, without a word. */
    const struct client quiet = {
        .pid = console->pid, .signals = console->client->signals, .input = -1};
    json_t *request = console_size_request(console), *answer = NULL;

    if (!request)
        return;
    if ((console->side ||
         !processes_connect(&quiet, "console", console->vm, &console->side)) &&
        connection_ask(console->side, request, PATIENCE_MS, &answer)) {
        connection_close(console->side);
        console->side = NULL;
    }
    json_decref(answer);
    json_decref(request);
}

static void console_hear(struct console *console)
{
    struct signalfd_siginfo info;

    if (read(console->news, &info, sizeof(info)) != sizeof(info) ||
        !console->terminal)
        return;
    if (info.ssi_signo == SIGWINCH)
        console_tell_size(console);
    else
        client_terminal_raw(); /* a shell has changed it meanwhile */
}

static void console_serve(struct console *console, const struct pollfd *fds)
{
    if (fds[NEWS].revents)
        console_hear(console);
    if (fds[SOCKET].revents & POLLOUT && console->up_size)
        console_write_socket(console);
    if (fds[SOCKET].revents & ~POLLOUT && !console->out_size)
        console_read_socket(console);
    if (fds[INPUT].revents)
        console_read_input(console);
    if (fds[OUTPUT].revents & POLLOUT)
        console_write_output(console);
    else if (fds[OUTPUT].revents)
        console->done = true;
}

/* Until it is done: 0, or -errno; -EINTR: a signal ends it. */
static int console_pump(struct console *console)
{
    while (!console->done && !(console->closed && !console->out_size)) {
        const short in = console->out_size ? 0 : POLLIN;
        const short up = console->up_size ? POLLOUT : 0;
        struct pollfd fds[FDS] = {
            /* A socket that has closed wakes us also when not asked to. */
            [SOCKET] = {.fd = in | up ? console->socket : -1,
                        .events = (short)(in | up)},
            [INPUT] = {.fd = up && !console->terminal ? -1 : console->input,
                       .events = POLLIN},
            [OUTPUT] = {.fd = STDOUT_FILENO, .events = in ? 0 : POLLOUT},
            [ENDS] = {.fd = console->ends, .events = POLLIN},
            [NEWS] = {.fd = console->news, .events = POLLIN},
        };

        if (poll(fds, FDS, -1) < 0) {
            if (errno != EINTR)
                return -errno;
            continue;
        }
        if (fds[ENDS].revents)
            return -EINTR;
        console_serve(console, fds);
    }
    return 0;
}

/* While the console is attached these signals wait for us; 0 or -errno. */
static int console_take_signals(struct console *console, sigset_t *before)
{
    sigset_t ends, news;
    int err;

    sigemptyset(&news);
    sigaddset(&news, SIGCONT);
    sigaddset(&news, SIGWINCH);
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &news, before);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    console->news = signalfd(-1, &news, SFD_CLOEXEC);
    err = console->news < 0 ? -errno : 0;
    console->ends = signalfd(-1, &ends, SFD_CLOEXEC);
    return console->ends < 0 ? -errno : err;
}

/* One that has come and that nobody else blocks ends the process here. */
static void console_release_signals(struct console *console,
                                    const sigset_t *before)
{
    if (console->news >= 0)
        close(console->news);
    if (console->ends >= 0)
        close(console->ends);
    sigprocmask(SIG_SETMASK, before, NULL);
}

int console_run(const struct client *client, struct connection *connection,
                const char *vm, const char *port)
{
    struct console console = {
        .client = client,
        .vm = vm,
        .port = port,
        .pid = connection_pid(connection),
        .socket = connection_fd(connection),
        .input = client->input,
    };
    sigset_t before;
    int err = console_take_signals(&console, &before);

    console.out = connection_rest(connection, &console.out_size);
    console.terminal = console.input >= 0 && client_terminal_raw();
    if (console.terminal)
        client_note(client, "console of %s, Ctrl-a d detaches", vm);
    if (!err)
        err = console_pump(&console);
    if (console.terminal) {
        client_terminal_restore();
        fputc('\n', stderr);
        client_note(client, "console of %s: %s", vm,
                    console.closed ? "closed" : "detached");
    }
    connection_close(console.side);
    console_release_signals(&console, &before);
    if (err == -EINTR)
        return STATUS_INTERRUPTED;
    if (err)
        client_say(client, "console %s: %s", vm, strerror(-err));
    return err ? STATUS_FAILED : STATUS_DONE;
}
