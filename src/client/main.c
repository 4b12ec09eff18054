/*
 * main.c - argv of axvm, and the terminal. The only file of the client with
 * state of its own: the terminal's settings, which a fatal signal must be able
 * to restore.
 */
#include "client/client.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* ---- the terminal ---- */

static struct termios terminal_saved;
static volatile sig_atomic_t terminal_is_raw;

void client_terminal_restore(void)
{
    if (!terminal_is_raw)
        return;
    terminal_is_raw = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal_saved);
}

static void terminal_fatal(int signal)
{
    client_terminal_restore();
    raise(signal); /* the default action again, thanks to SA_RESETHAND */
}

static bool terminal_take(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS,  SIGILL, SIGFPE,
                                SIGABRT, SIGQUIT, SIGSYS};
    struct sigaction action = {.sa_handler = terminal_fatal,
                               .sa_flags = (int)SA_RESETHAND};

    if (tcgetattr(STDIN_FILENO, &terminal_saved))
        return false;
    for (size_t i = 0; i < AX_ARRAY_LEN(fatal); i++)
        sigaction(fatal[i], &action, NULL);
    return true;
}

/* Input raw, output as it was: a guest may end its lines with a bare LF. */
bool client_terminal_raw(void)
{
    pid_t front = tcgetpgrp(STDIN_FILENO); /* -1: not our controlling one */
    struct termios raw;

    if (front >= 0 && front != getpgrp())
        return false;
    if (!terminal_is_raw && !terminal_take())
        return false;
    raw = terminal_saved;
    cfmakeraw(&raw);
    raw.c_oflag = terminal_saved.c_oflag;
    terminal_is_raw = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    return true;
}

/* ---- argv ---- */

enum { KEY_PID = 0x100, KEY_SOCKET, KEY_HELP, KEY_VERSION };

struct options {
    struct client *client;
    unsigned count; /* the command and its words */
    const char **words;
    bool help, version;
};

/* Unsaid to argp: help.c describes them beside the commands. */
static const struct argp_option options_table[] = {
    {"pid", KEY_PID, "PID", 0, NULL, 0},
    {"socket", KEY_SOCKET, "PATH", 0, NULL, 0},
    {"help", KEY_HELP, NULL, 0, NULL, 0},
    {"usage", KEY_HELP, NULL, 0, NULL, 0},
    {"version", KEY_VERSION, NULL, 0, NULL, 0},
    {0},
};

static int set_pid(struct client *client, const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);

    if (end == text || *end || pid <= 0 || pid > INT_MAX)
        return -EINVAL;
    client->pid = (pid_t)pid;
    return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case KEY_PID:
        if (set_pid(options->client, arg))
            argp_error(state, "--pid: '%s' is not a process id", arg);
        break;
    case KEY_SOCKET:
        options->client->socket = arg;
        break;
    case KEY_HELP:
        options->help = true;
        break;
    case KEY_VERSION:
        options->version = true;
        break;
    case ARGP_KEY_ARG: /* the command: the rest is its own */
        while (state->next <= state->argc)
            options->words[options->count++] = state->argv[state->next++ - 1];
        state->next = state->argc;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* Is words[*at] option name? With its value, to which *at moves. */
static bool is_global(const struct options *options, unsigned *at,
                      const char *name, const char **value)
{
    const char *word = options->words[*at];
    const size_t len = strlen(name);

    if (strncmp(word, name, len) || (word[len] && word[len] != '='))
        return false;
    if (word[len])
        *value = word + len + 1;
    else
        *value = ++*at < options->count ? options->words[*at] : "";
    return true;
}

/* --pid and --socket may also follow the command. 0 or -EINVAL. */
static int take_globals(struct options *options)
{
    const char *value;
    unsigned at, kept = 0;

    for (at = 0; at < options->count && strcmp(options->words[at], "--");
         at++) {
        if (is_global(options, &at, "--socket", &value)) {
            options->client->socket = value;
        } else if (is_global(options, &at, "--pid", &value)) {
            if (set_pid(options->client, value)) {
                client_say(options->client, "--pid: '%s' is not a process id",
                           value);
                return -EINVAL;
            }
        } else {
            options->words[kept++] = options->words[at];
        }
    }
    while (at < options->count)
        options->words[kept++] = options->words[at++];
    options->count = kept;
    return 0;
}

static int act(const struct options *options)
{
    const struct client *client = options->client;

    if (options->version) {
        puts("axvm " AX_VERSION);
        return STATUS_DONE;
    }
    if (options->help)
        return client_help(client, NULL);
    if (!options->count) {
        client_say(client, "no command: 'axvm help' lists them");
        return STATUS_USAGE;
    }
    if (options->count == 1 && !strcmp(options->words[0], "shell"))
        return client_shell(client);
    return client_run(client, options->count, options->words);
}

/* A closed standard descriptor would become some socket's number. */
static int open_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* What was printed must have arrived. */
static int finish(const struct client *client, int status)
{
    if (!fflush(stdout) || errno == EPIPE || status)
        return status;
    client_say(client, "cannot write: %s", strerror(errno));
    return STATUS_FAILED;
}

int main(int argc, char **argv)
{
    const struct argp argp = {.options = options_table, .parser = parse_option};
    struct client client = {
        .prefix = "axvm", .signals = -1, .input = STDIN_FILENO};
    struct options options = {
        .client = &client, .words = calloc((size_t)argc + 1, sizeof(char *))};
    int status = STATUS_USAGE;

    if (!options.words)
        return STATUS_FAILED;
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN); /* who no longer reads has seen enough */
    argp_err_exit_status = STATUS_USAGE;
    if (open_descriptors())
        status = STATUS_FAILED;
    else if (!argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_HELP, NULL,
                         &options) &&
             !take_globals(&options))
        status = finish(&client, act(&options));
    free(options.words);
    return status;
}
