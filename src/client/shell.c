/*
 * shell.c - commands from a terminal, with editing, history and completion by
 * libedit, or without a terminal line by line.
 *
 * On a terminal signals are blocked and come through a signalfd: SIGINT ends
 * the line that is typed or the command that runs, the others end the shell.
 */
#include "client/client.h"

#include "client/connection.h"
#include "client/processes.h"
#include "control/command.h"

#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

enum { WORDS = 64, HISTORY = 100, TYPED_MAX = 4096 };

/* What ended the reading of a line before its end. */
enum stop { GO_ON, CLEAR_LINE, LEAVE };

struct shell {
    struct client client;
    EditLine *edit;
    History *history;
    char *history_file; /* NULL: nowhere to keep it */
    int resized;        /* signalfd of SIGWINCH */
    /*
     * With --socket we serve one process, which may be the one that started us:
     * as it ends, so do we.
     */
    struct connection *leash;
    enum stop stop;
    char prompt[8];
};

/* ---- completion ---- */

/* Offers prefix and text, if word begins so. */
static void offer(json_t *offers, const char *word, const char *prefix,
                  const char *text)
{
    json_t *whole = json_sprintf("%s%s", prefix, text);

    if (whole && !strncmp(json_string_value(whole), word, strlen(word)))
        json_array_append(offers, whole);
    json_decref(whole);
}

static void offer_commands(json_t *offers, const char *word)
{
    for (const struct ax_command *c = ax_commands(); c->name; c++)
        offer(offers, word, "", c->name);
    offer(offers, word, "", "help");
    offer(offers, word, "", "exit");
}

static void offer_options(json_t *offers, const char *word,
                          const struct ax_command *command)
{
    for (const struct ax_command_option *o = command->options; o->name; o++)
        offer(offers, word, "--", o->name);
}

static void offer_vms(json_t *offers, const char *word,
                      const struct client *client)
{
    struct client quiet = *client;
    json_t *list, *vm;
    size_t at;

    quiet.prefix = NULL;
    processes_list(&quiet, false, &list);
    json_array_foreach(json_object_get(list, "vms"), at, vm)
    {
        const char *name = json_string_value(json_object_get(vm, "name"));

        if (name)
            offer(offers, word, "", name);
    }
    json_decref(list);
}

/* What may follow words? True if it is a file. */
static bool offer_word(struct shell *shell, json_t *offers, unsigned count,
                       const char **words, const char *word)
{
    const struct ax_command *command;
    unsigned args = 0;

    if (!count || !strcmp(words[0], "help")) {
        offer_commands(offers, word);
        return false;
    }
    command = ax_command_find(words[0]);
    if (!command || command->args == AX_ARGS_NONE || word[0] == '-') {
        if (command)
            offer_options(offers, word, command);
        return false;
    }
    for (unsigned i = 1; i < count; i++)
        args += words[i][0] != '-';
    if (command->args == AX_ARGS_FILES || ((command->args == AX_ARGS_VM_FILE ||
                                            command->args == AX_ARGS_VM_EXEC) &&
                                           args))
        return true;
    if (command->args == AX_ARGS_DISK && !args)
        offer(offers, word, "", "resize");
    else if (command->args == AX_ARGS_VMS ||
             args == (command->args == AX_ARGS_DISK))
        offer_vms(offers, word, &shell->client);
    return false;
}

/* How much of the offers is the same. */
static size_t common_length(const json_t *offers)
{
    const char *first = json_string_value(json_array_get(offers, 0));
    size_t length = strlen(first), at;
    json_t *one;

    json_array_foreach(offers, at, one)
    {
        const char *text = json_string_value(one);
        size_t same = 0;

        while (same < length && text[same] == first[same])
            same++;
        length = same;
    }
    return length;
}

static unsigned char take_offers(EditLine *edit, const json_t *offers,
                                 size_t typed)
{
    const size_t common = common_length(offers);
    char *more = strdup(json_string_value(json_array_get(offers, 0)) + typed);
    json_t *one;
    size_t at;

    if (more && common > typed) {
        more[common - typed] = '\0';
        el_insertstr(edit, more);
    }
    free(more);
    if (json_array_size(offers) == 1) {
        el_insertstr(edit, " ");
        return CC_REFRESH;
    }
    if (common > typed)
        return CC_REFRESH;
    json_array_foreach(offers, at, one)
    {
        printf("%s%s", at ? "  " : "\n", json_string_value(one));
    }
    putchar('\n');
    return CC_REDISPLAY;
}

static unsigned char complete(EditLine *edit, int key)
{
    const LineInfo *line = el_line(edit);
    const size_t size = (size_t)(line->cursor - line->buffer);
    char before[TYPED_MAX], word[TYPED_MAX];
    const char *words[WORDS];
    unsigned char result = CC_REFRESH_BEEP;
    struct shell *shell;
    size_t start = size;
    json_t *offers;
    int count;

    if (size >= TYPED_MAX || el_get(edit, EL_CLIENTDATA, &shell))
        return CC_ERROR;
    while (start && line->buffer[start - 1] != ' ')
        start--;
    memcpy(before, line->buffer, start);
    before[start] = '\0';
    memcpy(word, line->buffer + start, size - start);
    word[size - start] = '\0';
    count = ax_command_split(before, words, WORDS);
    offers = json_array();
    if (count >= 0 && offer_word(shell, offers, (unsigned)count, words, word))
        result = _el_fn_complete(edit, key);
    else if (json_array_size(offers))
        result = take_offers(edit, offers, size - start);
    json_decref(offers);
    return result;
}

/* ---- a line ---- */

/* Executes a line, which it overwrites: a status. */
static int shell_line(struct shell *shell, char *line)
{
    const char *words[WORDS];
    int count;

    line[strcspn(line, "\n")] = '\0';
    count = ax_command_split(line, words, WORDS);
    if (count < 0) {
        client_say(&shell->client,
                   count == -E2BIG ? "Too many words" : "A quote does not end");
        return STATUS_USAGE;
    }
    if (!count || words[0][0] == '#')
        return STATUS_DONE;
    if (!strcmp(words[0], "exit")) {
        shell->stop = LEAVE;
        return STATUS_DONE;
    }
    return client_run(&shell->client, (unsigned)count, words);
}

static int shell_script(struct shell *shell)
{
    char *line = NULL;
    size_t space = 0;
    int status = STATUS_DONE;

    shell->client.input = -1; /* what follows is commands */
    while (shell->stop != LEAVE && !ferror(stdout) &&
           getline(&line, &space, stdin) >= 0) {
        int failed = shell_line(shell, line);

        status = failed ? failed : status;
    }
    free(line);
    return status;
}

/* ---- the terminal ---- */

/* A signal has come: what now? */
static enum stop shell_signal(struct shell *shell)
{
    struct signalfd_siginfo info;

    if (read(shell->client.signals, &info, sizeof(info)) != sizeof(info))
        return GO_ON;
    return info.ssi_signo == SIGINT ? CLEAR_LINE : LEAVE;
}

static enum stop shell_leash(struct shell *shell)
{
    json_t *message;
    int err = connection_receive(shell->leash, 0, &message);

    json_decref(message);
    if (!err || err == -ETIMEDOUT)
        return GO_ON;
    fputc('\n', stderr);
    client_say(&shell->client, "%s", connection_error(err));
    return LEAVE;
}

/* Until a key is pressed, or there is a reason to stop. */
static enum stop await_key(struct shell *shell)
{
    struct pollfd fds[] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = shell->client.signals, .events = POLLIN},
        {.fd = shell->resized, .events = POLLIN},
        {.fd = shell->leash ? connection_fd(shell->leash) : -1,
         .events = POLLIN},
    };
    enum stop stop = GO_ON;

    while (!stop) {
        struct signalfd_siginfo info;

        if (poll(fds, AX_ARRAY_LEN(fds), -1) < 0)
            continue; /* EINTR: stopped and continued */
        if (fds[1].revents)
            stop = shell_signal(shell);
        else if (fds[2].revents &&
                 read(shell->resized, &info, sizeof(info)) == sizeof(info))
            el_resize(shell->edit);
        else if (fds[0].revents)
            return GO_ON;
        else if (fds[3].revents)
            stop = shell_leash(shell);
    }
    return stop;
}

/* Reads a character for libedit: 1, or -1 with shell->stop. */
static int next_character(EditLine *edit, wchar_t *out)
{
    struct shell *shell;
    mbstate_t state = {0};

    if (el_get(edit, EL_CLIENTDATA, &shell))
        return -1;
    for (;;) {
        ssize_t n;
        char byte;

        shell->stop = await_key(shell);
        if (shell->stop)
            return -1;
        n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            shell->stop = LEAVE;
            return -1;
        }
        switch (mbrtowc(out, &byte, 1, &state)) {
        case (size_t)-2:
            break; /* there is more of it */
        case (size_t)-1:
            memset(&state, 0, sizeof(state)); /* none: it is dropped */
            break;
        default:
            return 1;
        }
    }
}

static char *prompt(EditLine *edit)
{
    struct shell *shell;

    return el_get(edit, EL_CLIENTDATA, &shell) ? NULL : shell->prompt;
}

static void shell_enter(struct shell *shell, const char *typed)
{
    char *line = strdup(typed);
    HistEvent event;

    if (!line)
        return;
    line[strcspn(line, "\n")] = '\0';
    if (line[strspn(line, " \t")]) {
        history(shell->history, &event, H_ENTER, line);
        if (shell_line(shell, line) == STATUS_INTERRUPTED) {
            shell->stop = shell_signal(shell);
            putchar('\n');
        }
    }
    free(line);
}

static void shell_interact(struct shell *shell)
{
    while (shell->stop != LEAVE && !ferror(stdout)) {
        const char *typed;
        int size;

        shell->stop = GO_ON;
        typed = el_gets(shell->edit, &size);
        if (shell->stop == CLEAR_LINE) {
            el_reset(shell->edit);
            puts("^C");
        } else if (shell->stop == GO_ON && typed && size > 0) {
            shell_enter(shell, typed);
        } else {
            shell->stop = LEAVE;
            putchar('\n');
        }
    }
}

/* ---- history ---- */

static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int n = -1;

    if (state && state[0] == '/')
        n = asprintf(&path, "%s/axvm/history", state);
    else if (home && home[0] == '/')
        n = asprintf(&path, "%s/.local/state/axvm/history", home);
    return n < 0 ? NULL : path;
}

/* A history that cannot be kept is no reason to complain. */
static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, S_IRWXU);
        *slash = '/';
    }
}

/* ---- begin and end ---- */

static int shell_take_signals(struct shell *shell)
{
    sigset_t ends, resized;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigemptyset(&resized);
    sigaddset(&resized, SIGWINCH);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    sigprocmask(SIG_BLOCK, &resized, NULL);
    /* Whoever started us may be no shell that could continue us. */
    signal(SIGTSTP, SIG_IGN);
    shell->client.signals = signalfd(-1, &ends, SFD_CLOEXEC);
    shell->resized = signalfd(-1, &resized, SFD_CLOEXEC);
    return shell->client.signals < 0 || shell->resized < 0 ? -errno : 0;
}

static int shell_edit(struct shell *shell)
{
    HistEvent event;

    shell->edit = el_init("axvm", stdin, stdout, stderr);
    shell->history = history_init();
    if (!shell->edit || !shell->history)
        return -ENOMEM;
    history(shell->history, &event, H_SETSIZE, HISTORY);
    history(shell->history, &event, H_SETUNIQUE, 1);
    shell->history_file = history_path();
    if (shell->history_file)
        history(shell->history, &event, H_LOAD, shell->history_file);
    el_set(shell->edit, EL_CLIENTDATA, shell);
    el_set(shell->edit, EL_PROMPT, prompt);
    el_set(shell->edit, EL_EDITOR, "emacs");
    el_set(shell->edit, EL_HIST, history, shell->history);
    el_set(shell->edit, EL_GETCFN, next_character);
    /* Wide, for copies that el_set() makes are never freed. */
    el_wset(shell->edit, EL_ADDFN, L"axvm-complete", L"Complete a word",
            complete);
    el_set(shell->edit, EL_BIND, "^I", "axvm-complete", NULL);
    el_source(shell->edit, NULL);
    return 0;
}

static void shell_end(struct shell *shell)
{
    HistEvent event;

    if (shell->history_file) {
        make_parents(shell->history_file);
        history(shell->history, &event, H_SAVE, shell->history_file);
    }
    free(shell->history_file);
    if (shell->edit)
        el_end(shell->edit);
    if (shell->history)
        history_end(shell->history);
    connection_close(shell->leash);
    if (shell->resized >= 0)
        close(shell->resized);
    if (shell->client.signals >= 0)
        close(shell->client.signals);
}

int client_shell(const struct client *client)
{
    struct shell shell = {.client = *client, .resized = -1, .prompt = "axvm> "};
    int err;

    shell.client.prefix = "Error";
    shell.client.shell = true;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return shell_script(&shell);
    err = shell_take_signals(&shell);
    if (!err)
        err = shell_edit(&shell);
    if (!err && client->socket)
        err =
            connection_open(client->socket, shell.client.signals, &shell.leash);
    if (err)
        client_say(client, "shell: %s", connection_error(err));
    else
        shell_interact(&shell);
    shell_end(&shell);
    return err ? STATUS_ABSENT : STATUS_DONE;
}
