/*
 * run.c - one command: its requests, one after the other, and their answers.
 */
#include "client/client.h"

#include "client/connection.h"
#include "client/console.h"
#include "client/gdb.h"
#include "client/processes.h"
#include "control/command.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One request on its way. */
struct run {
    const struct client *client;
    const struct ax_command_call *call;
    json_t *request;
    const char *vm;   /* of request, or NULL */
    const char *what; /* "stop linux", for messages */
    struct connection *connection;
};

void client_say(const struct client *client, const char *format, ...)
{
    char text[65536]; /* an error message is part of a line of the protocol */
    va_list args;

    if (!client->prefix)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", client->prefix, text);
}

void client_note(const struct client *client, const char *format, ...)
{
    va_list args;

    if (!client->prefix)
        return;
    fflush(stdout);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static int failed(const struct run *run, int err)
{
    switch (err) {
    case -EINTR:
        return STATUS_INTERRUPTED;
    case -EPIPE:
        return STATUS_DONE; /* who read has seen enough */
    default:
        client_say(run->client, "%s: %s", run->what, connection_error(err));
        return STATUS_FAILED;
    }
}

static int refused(const struct run *run, const json_t *error)
{
    static const struct {
        const char *code;
        int status;
    } statuses[] = {
        {"bad-request", STATUS_USAGE},     {"too-large", STATUS_USAGE},
        {"unknown-command", STATUS_USAGE}, {"bad-config", STATUS_USAGE},
        {"unknown-vm", STATUS_ABSENT},     {"refused", STATUS_REFUSED},
        {"busy", STATUS_REFUSED},          {"timeout", STATUS_TIMEOUT},
    };
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *text = json_string_value(json_object_get(error, "message"));
    size_t len;

    text = text ? text : "refused without a reason";
    len = strlen(text);
    while (len && text[len - 1] == '\n')
        len--;
    /* The problems of a file are a line each. */
    client_say(run->client, "%s:%c%.*s", run->what,
               memchr(text, '\n', len) ? '\n' : ' ',
               (int)(len < INT_MAX ? len : INT_MAX), text);
    for (size_t i = 0; code && i < AX_ARRAY_LEN(statuses); i++) {
        if (!strcmp(code, statuses[i].code))
            return statuses[i].status;
    }
    return STATUS_FAILED;
}

static int print(const struct run *run, const json_t *result)
{
    errno = 0;
    ax_command_print(run->call, result, stdout);
    if (!fflush(stdout) && !ferror(stdout))
        return STATUS_DONE;
    if (errno == EPIPE)
        return STATUS_DONE;
    client_say(run->client, "cannot write: %s", strerror(errno ? errno : EIO));
    return STATUS_FAILED;
}

/* A status; *answer holds *result, where it is STATUS_DONE. */
static int ask(const struct run *run, json_t **answer, json_t **result)
{
    int status, err = connection_ask(run->connection, run->request, -1, answer);

    if (err)
        return failed(run, err);
    *result = json_object_get(*answer, "result");
    if (json_is_object(*result)) {
        if (run->vm && !json_object_get(*result, "vm"))
            json_object_set_new(*result, "vm", json_string(run->vm));
        return STATUS_DONE;
    }
    status = refused(run, json_object_get(*answer, "error"));
    json_decref(*answer);
    return status;
}

/* Events come until the process ends, the reader goes, or a signal comes. */
static int run_events(const struct run *run)
{
    json_t *event;
    int status = STATUS_DONE, err = 0;

    connection_follow(run->connection);
    while (!status && !err && !ferror(stdout)) {
        err = connection_receive(run->connection, -1, &event);
        if (err)
            break;
        if (json_object_get(event, "event"))
            status = print(run, event);
        json_decref(event);
    }
    if (err && err != -ENODATA)
        status = failed(run, err);
    return status;
}

static void add_rates(json_t *result, json_t *before, double seconds)
{
    json_t *rates = json_object(), *count;
    const char *name;

    json_object_foreach(json_object_get(result, "exits"), name, count)
    {
        double more = json_number_value(count) -
                      json_number_value(json_object_get(before, name));

        json_object_set_new(rates, name, json_real(more / seconds));
    }
    json_object_set_new(result, "exits_per_s", rates);
}

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* As long as nothing but the time passes. */
static int watch_pause(const struct run *run, double until)
{
    int err = 0;

    while (!err) {
        double left = until - now_seconds();
        json_t *message = NULL;

        if (left <= 0)
            return 0;
        err = connection_receive(run->connection,
                                 left < 1e6 ? (int)(left * 1e3) + 1 : INT_MAX,
                                 &message);
        json_decref(message);
    }
    return err == -ETIMEDOUT ? 0 : err;
}

/* before: the exits of the last time, or NULL; replaced by those of now. */
static int watch_once(const struct run *run, json_t **before, double *last)
{
    json_t *answer = NULL, *result = NULL, *exits;
    int status = ask(run, &answer, &result);
    const double now = now_seconds();

    if (status)
        return status;
    exits = json_incref(json_object_get(result, "exits"));
    if (*before)
        add_rates(result, *before, now - *last);
    status = print(run, result);
    json_decref(*before);
    json_decref(answer);
    *before = exits;
    *last = now;
    return status;
}

static int run_watch(const struct run *run, double seconds)
{
    json_t *before = NULL;
    double last = 0;
    int status, err = 0;

    connection_follow(run->connection);
    if (isatty(STDOUT_FILENO) && !json_object_get(run->call->options, "json"))
        client_note(run->client, "%s: until Ctrl-C", run->what);
    for (;;) {
        status = watch_once(run, &before, &last);
        if (status || ferror(stdout))
            break;
        err = watch_pause(run, last + (seconds > 0.1 ? seconds : 0.1));
        if (err) {
            status = failed(run, err);
            break;
        }
    }
    json_decref(before);
    return status;
}

static int run_gdb(const struct run *run, const json_t *result)
{
    const json_t *exec = json_object_get(run->call->options, "exec");
    const char *address = json_string_value(json_object_get(result, "address"));

    if (!exec)
        return print(run, result);
    if (address)
        return gdb_run(run->client, run->what, json_string_value(exec),
                       address);
    client_say(run->client, "%s: %s", run->what, connection_error(-EPROTO));
    return STATUS_FAILED;
}

static int run_connected(const struct run *run)
{
    const char *command = run->call->command->name;
    const json_t *watch = json_object_get(run->call->options, "watch");
    json_t *answer = NULL, *result = NULL;
    int status;

    if (watch)
        return run_watch(run, json_number_value(watch));
    if (!strcmp(command, "console"))
        console_add_size(run->client, run->request);
    status = ask(run, &answer, &result);
    if (status)
        return status;
    if (!strcmp(command, "events"))
        status = run_events(run);
    else if (!strcmp(command, "console"))
        status = console_run(
            run->client, run->connection, run->vm,
            json_string_value(json_object_get(run->request, "port")));
    else if (!strcmp(command, "gdb"))
        status = run_gdb(run, result);
    else
        status = print(run, result);
    json_decref(answer);
    return status;
}

static int run_request(const struct client *client,
                       const struct ax_command_call *call, json_t *request)
{
    const char *vm = json_string_value(json_object_get(request, "vm"));
    const char *file = json_string_value(json_object_get(request, "file"));
    struct run run = {
        .client = client, .call = call, .request = request, .vm = vm};
    char *what;
    int status;

    if (!vm && !file)
        what = strdup(call->command->name);
    else if (asprintf(&what, "%s %s", call->command->name, vm ? vm : file) < 0)
        what = NULL;
    if (!what)
        return STATUS_FAILED;
    run.what = what;
    status = processes_connect(client, what, vm, &run.connection);
    if (!status)
        status = run_connected(&run);
    connection_close(run.connection);
    free(what);
    return status;
}

static int run_list(const struct client *client,
                    const struct ax_command_call *call)
{
    const struct run run = {.client = client, .call = call, .what = "list"};
    const bool all = json_object_get(call->options, "all");
    json_t *result;
    int printed, status = processes_list(client, all, &result);

    printed = status == STATUS_INTERRUPTED ? status : print(&run, result);
    json_decref(result);
    return status ? status : printed;
}

/* The first status that is bad counts; the others are tried all the same. */
static int run_call(const struct client *client,
                    const struct ax_command_call *call)
{
    int first = STATUS_DONE;
    json_t *request;
    size_t at;

    if (!strcmp(call->command->name, "list"))
        return run_list(client, call);
    json_array_foreach(call->requests, at, request)
    {
        int status = run_request(client, call, request);

        first = first ? first : status;
        if (status == STATUS_INTERRUPTED || ferror(stdout))
            break;
    }
    return first;
}

static bool wants_help(unsigned count, const char *const *words)
{
    for (unsigned i = 1; i < count && strcmp(words[i], "--"); i++) {
        if (!strcmp(words[i], "--help"))
            return true;
    }
    return false;
}

int client_run(const struct client *client, unsigned count,
               const char *const *words)
{
    char error[AX_COMMAND_ERROR];
    struct ax_command_call call;
    char *cwd;
    int status;

    if (!strcmp(words[0], "help"))
        return client_help(client, count > 1 ? words[1] : NULL);
    if (wants_help(count, words))
        return client_help(client, words[0]);
    cwd = get_current_dir_name();
    status = ax_command_parse(count, words, cwd ? cwd : "", &call, error);
    free(cwd);
    if (status) {
        client_say(client, "%s", error);
        return STATUS_USAGE;
    }
    status = run_call(client, &call);
    ax_command_fini(&call);
    return status;
}
