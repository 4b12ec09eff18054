/*
 * monitor.c - from a line to a command and to its end; help; axvm's commands,
 * which go the way of a control client's (control/execute.h).
 */
#include "debug/monitor_parts.h"

#include "devices/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = 64 };

/* ---- what is said ---- */

int ax_monitor_fail(struct ax_monitor *m, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(m->out, fmt, args);
    va_end(args);
    fputc('\n', m->out);
    return -EINVAL;
}

static const struct monitor_command *own_find(const char *name)
{
    const struct monitor_command *c = ax_monitor_commands;

    while (c->name && strcmp(c->name, name))
        c++;
    return c->name ? c : NULL;
}

int ax_monitor_misused(struct ax_monitor *m, const char *name, const char *fmt,
                       ...)
{
    va_list args;

    fprintf(m->out, "%s: ", name);
    va_start(args, fmt);
    vfprintf(m->out, fmt, args);
    va_end(args);
    fprintf(m->out, " (usage: %s)\n", own_find(name)->synopsis);
    return -EINVAL;
}

/* Whole lines, where they are not too long for that. */
static size_t piece_of(const char *text, size_t size)
{
    const char *end;

    if (size <= AX_MONITOR_TEXT)
        return size;
    end = memrchr(text, '\n', AX_MONITOR_TEXT);
    return end ? (size_t)(end + 1 - text) : AX_MONITOR_TEXT;
}

static void say_all(struct ax_monitor *m)
{
    char piece[AX_MONITOR_TEXT + 1];

    for (size_t at = 0, len; at < m->size; at += len) {
        len = piece_of(m->text + at, m->size - at);
        memcpy(piece, m->text + at, len);
        piece[len] = '\0';
        m->env.say(m->env.ctx, piece);
    }
}

static int out_open(struct ax_monitor *m)
{
    m->text = NULL;
    m->size = 0;
    m->out = open_memstream(&m->text, &m->size);
    return m->out ? 0 : -ENOMEM;
}

/* say: false where nobody listens any more. */
static void out_close(struct ax_monitor *m, bool say)
{
    const int err = fclose(m->out);

    m->out = NULL;
    if (say && !err)
        say_all(m);
    else if (say)
        m->env.say(m->env.ctx, "there is no memory for the answer\n");
    free(m->text);
}

/* ---- help ---- */

/* axvm's commands that are nothing for here, and one of its shell's words. */
static const char *not_here(const char *name)
{
    static const struct {
        const char *name, *why;
    } others[] = {
        {"console", "gdb cannot be a console: run 'axvm console VM'"},
        {"events", "gdb cannot wait for them: run 'axvm events'"},
        {"shell", "every command of it is here: 'monitor COMMAND'"},
    };

    for (size_t i = 0; i < AX_ARRAY_LEN(others); i++) {
        if (!strcmp(others[i].name, name))
            return others[i].why;
    }
    return NULL;
}

static void help_line(struct ax_monitor *m, const char *synopsis,
                      const char *help)
{
    fprintf(m->out, "  %-47s %s\n", synopsis, help);
}

static void help_all(struct ax_monitor *m)
{
    fputs("Of the guest, as the selected thread has it:\n", m->out);
    for (const struct monitor_command *c = ax_monitor_commands; c->name; c++)
        help_line(m, c->synopsis, c->help);
    help_line(m, "help [COMMAND]", "Print this, or what a command does");
    fputs("Those of axvm(1); VM may be left out, then it is this one:\n",
          m->out);
    for (const struct ax_command *c = ax_commands(); c->name; c++) {
        if (!not_here(c->name))
            help_line(m, c->synopsis, c->help);
    }
    fputs("Files that are not named by their whole path are seen from the "
          "directory of the\nprocess that runs the VM.\n",
          m->out);
}

static int unknown(struct ax_monitor *m, const char *word)
{
    struct ax_command_guess guess = {.word = word};

    for (const struct ax_command *c = ax_commands(); c->name; c++)
        ax_command_offer(&guess, c->name);
    for (const struct monitor_command *c = ax_monitor_commands; c->name; c++)
        ax_command_offer(&guess, c->name);
    ax_command_offer(&guess, "help");
    if (guess.found)
        return ax_monitor_fail(m,
                               "there is no command '%s', did you mean '%s'?",
                               word, guess.found);
    return ax_monitor_fail(m, "there is no command '%.64s', try 'monitor help'",
                           word);
}

static int help_own(struct ax_monitor *m, const struct monitor_command *command)
{
    fprintf(m->out, "Usage: %s\n\n%s.\n%s", command->synopsis, command->help,
            command->more ? command->more : "");
    return 0;
}

static int help_axvm(struct ax_monitor *m, const struct ax_command *command)
{
    const char *why = not_here(command->name);

    if (why)
        return ax_monitor_fail(m, "%s: %s", command->name, why);
    ax_command_help(command, m->out);
    if (command->args == AX_ARGS_FILES || command->args == AX_ARGS_VM_FILE)
        fputs("\nFILE is seen from the directory of the process that runs the "
              "VM.\n",
              m->out);
    if (!strcmp(command->name, "reset"))
        fputs("\nThe VM then runs; 'reset halt' halts it at its first "
              "instruction.\n",
              m->out);
    return 0;
}

static int help(struct ax_monitor *m, unsigned count, const char *const *words)
{
    const struct ax_command *axvm;
    const struct monitor_command *own;

    if (count == 1 || !strcmp(words[1], "help")) {
        help_all(m);
        return 0;
    }
    if (count == 3 && !strcmp(words[1], "reset") && !strcmp(words[2], "halt"))
        return help_own(m, own_find("reset halt"));
    if (count > 2)
        return ax_monitor_fail(m, "help: one command at a time");
    own = own_find(words[1]);
    axvm = ax_command_find(words[1]);
    return own    ? help_own(m, own)
           : axvm ? help_axvm(m, axvm)
                  : unknown(m, words[1]);
}

/* ---- axvm's commands: words to requests ---- */

/* No name can be mistaken for another VM's id, nor for an option. */
static int name_this_vm(struct ax_monitor *m, json_t *requests)
{
    const struct ax_config *conf = ax_vm_config(ax_target_vm(m->env.target));
    json_t *request;
    size_t at;

    json_array_foreach(requests, at, request)
    {
        if (json_object_set_new(request, "vm",
                                json_integer((json_int_t)conf->id)))
            return -ENOMEM;
    }
    return 0;
}

/* As if the VM had been named; what is wrong otherwise was said before. */
static int parse_unnamed(struct ax_monitor *m, unsigned count,
                         const char *const *words, const char *cwd)
{
    const char *named[WORDS + 1] = {words[0], "VM"};
    char error[AX_COMMAND_ERROR];

    memcpy(named + 2, words + 1, (count - 1) * sizeof(*words));
    if (ax_command_parse(count + 1, named, cwd, &m->call, error))
        return -EINVAL;
    return name_this_vm(m, m->call.requests);
}

static int parse(struct ax_monitor *m, unsigned count, const char *const *words)
{
    const struct ax_command *command = ax_command_find(words[0]);
    const bool has_vm =
        command->args != AX_ARGS_NONE && command->args != AX_ARGS_FILES;
    char error[AX_COMMAND_ERROR];
    char *cwd = get_current_dir_name();
    int err;

    err = ax_command_parse(count, words, cwd ? cwd : "", &m->call, error);
    if (err && has_vm)
        err = parse_unnamed(m, count, words, cwd ? cwd : "");
    free(cwd);
    return err ? ax_monitor_fail(m, "%s", error) : 0;
}

static int run_axvm(struct ax_monitor *m, unsigned count,
                    const char *const *words)
{
    /* Options that a client obeys by itself, with its terminal. */
    static const char *const clients[] = {"watch", "exec"};
    const char *why = not_here(words[0]);
    int err;

    if (why)
        return ax_monitor_fail(m, "%s: %s", words[0], why);
    err = parse(m, count, words);
    if (err)
        return err;
    for (size_t i = 0; i < AX_ARRAY_LEN(clients); i++) {
        if (!json_object_get(m->call.options, clients[i]))
            continue;
        ax_command_fini(&m->call);
        return ax_monitor_fail(m, "%s: not from within gdb, leave out --%s",
                               words[0], clients[i]);
    }
    m->at = 0;
    m->asked = m->failed = false;
    m->waits = WAITS_FOR_ANSWERS;
    ax_loop_wake(m->wake);
    return -EINPROGRESS;
}

/* ---- axvm's commands: answers ---- */

static void print_error(struct ax_monitor *m, const json_t *error)
{
    const char *text = json_string_value(json_object_get(error, "message"));
    size_t len;

    text = text ? text : "refused without a reason";
    len = strlen(text);
    while (len && text[len - 1] == '\n')
        len--;
    /* The problems of a file are a line each. */
    fprintf(m->out, "%s:%c%.*s\n", m->call.command->name,
            memchr(text, '\n', len) ? '\n' : ' ', (int)len, text);
}

/* Adds what a client knows and the result does not say; see command.h. */
static void complete(struct ax_monitor *m, json_t *result)
{
    json_t *vm = json_object_get(json_array_get(m->call.requests, m->at), "vm");
    json_t *vms = json_object_get(result, "vms"), *each;
    size_t at;

    if (json_is_integer(vm))
        json_object_set_new(
            result, "vm",
            json_string(ax_vm_config(ax_target_vm(m->env.target))->name));
    else if (vm && !json_object_get(result, "vm"))
        json_object_set(result, "vm", vm);
    if (!json_object_get(m->call.options, "all"))
        return;
    json_array_foreach(vms, at, each)
    {
        json_object_set_new(each, "pid", json_integer(getpid()));
    }
}

/* From the executor's stack: only prints. */
static void on_answer(void *ctx, const json_t *message)
{
    struct ax_monitor *m = ctx;
    json_t *result;

    if (m->gone || m->cancelled)
        return; /* the VM may be no more */
    result = json_deep_copy(json_object_get(message, "result"));
    m->answered = true;
    if (result) {
        complete(m, result);
        ax_command_print(&m->call, result, m->out);
    } else {
        m->failed = true;
        print_error(m, json_object_get(message, "error"));
    }
    json_decref(result);
    ax_loop_wake(m->wake);
}

/* Asks what is to be asked next. As ax_monitor_run. */
static int proceed(struct ax_monitor *m)
{
    while (!m->gone && !m->cancelled) {
        if (m->asked && !m->answered)
            return -EINPROGRESS;
        m->at += m->asked;
        m->asked = false;
        if (m->at == json_array_size(m->call.requests))
            return m->failed ? -EINVAL : 0;
        m->asked = true;
        m->answered = false;
        ax_execute(m->exec, &m->asker, json_array_get(m->call.requests, m->at));
    }
    return -EINPROGRESS;
}

/* ---- a command's end ---- */

static void finish(struct ax_monitor *m, int err)
{
    m->waits = WAITS_FOR_NOTHING;
    ax_command_fini(&m->call);
    out_close(m, true);
    m->env.done(m->env.ctx, !err); /* m may be gone */
}

static void on_wake(void *ctx)
{
    struct ax_monitor *m = ctx;
    int err;

    if (m->waits != WAITS_FOR_ANSWERS)
        return; /* it was cancelled */
    m->busy = true;
    err = proceed(m);
    m->busy = false;
    if (m->gone)
        ax_monitor_destroy(m);
    else if (m->cancelled)
        ax_monitor_cancel(m);
    else if (err != -EINPROGRESS)
        finish(m, err);
}

void ax_monitor_cancel(struct ax_monitor *m)
{
    if (m->busy) {
        m->cancelled = true;
        return;
    }
    m->cancelled = false;
    if (m->waits == WAITS_FOR_NOTHING)
        return;
    m->waits = WAITS_FOR_NOTHING;
    ax_execute_forget(m->exec, &m->asker);
    ax_command_fini(&m->call);
    out_close(m, false);
}

/* "Starts again" is not halted yet. */
void ax_monitor_stopped(struct ax_monitor *m)
{
    struct ax_target *target = m->env.target;

    if (m->waits != WAITS_FOR_RESET)
        return;
    if (ax_target_halted(target)) {
        fputs("The VM has been reset and is halted at its first instruction. "
              "gdb does not know:\ntype 'maintenance flush register-cache'.\n",
              m->out);
        finish(m, 0);
    } else if (ax_vm_state(ax_target_vm(target)) == AX_VM_STOPPED) {
        finish(m,
               ax_monitor_fail(m, "VM has stopped and did not start again (see "
                                  "the log)"));
    }
}

/* ---- commands ---- */

static int run_words(struct ax_monitor *m, unsigned count,
                     const char *const *words)
{
    const struct monitor_command *own = own_find(words[0]);

    if (own)
        return own->run(m, count, words);
    if (!strcmp(words[0], "help"))
        return help(m, count, words);
    if (count == 2 && !strcmp(words[0], "reset") && !strcmp(words[1], "halt"))
        return own_find("reset halt")->run(m, count, words);
    if (ax_command_find(words[0]) || not_here(words[0]))
        return run_axvm(m, count, words);
    return unknown(m, words[0]);
}

static int run_line(struct ax_monitor *m, char *line)
{
    const char *words[WORDS];
    int count;

    /* A line with its end is fine, and nothing else may disturb a terminal. */
    for (char *c = line; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    count = ax_command_split(line, words, WORDS);
    if (count == -E2BIG)
        return ax_monitor_fail(m, "a command has at most %d words", WORDS);
    if (count < 0)
        return ax_monitor_fail(m, "a quote does not end");
    if (!count || !*words[0])
        return ax_monitor_fail(m, "a command is missing, try 'monitor help'");
    return run_words(m, (unsigned)count, words);
}

int ax_monitor_run(struct ax_monitor *m, unsigned vcpu, const char *command)
{
    char *line = strdup(command);
    int err = line ? out_open(m) : -ENOMEM;

    assert(m->waits == WAITS_FOR_NOTHING);
    if (err) {
        free(line);
        m->env.say(m->env.ctx, "there is no memory for the command\n");
        return -EINVAL;
    }
    m->vcpu = vcpu;
    err = run_line(m, line);
    free(line);
    if (err != -EINPROGRESS)
        out_close(m, true);
    return err;
}

/* ---- the monitor ---- */

int ax_monitor_create(const struct ax_monitor_env *env, struct ax_monitor **out)
{
    struct ax_monitor *m = calloc(1, sizeof(*m));
    int err;

    *out = m;
    if (!m)
        return -ENOMEM;
    m->env = *env;
    m->control = *env->control;
    m->env.control = &m->control;
    m->asker.answer = on_answer;
    m->asker.ctx = m;
    err = ax_execute_create(&m->control, &m->exec);
    if (!err)
        err = ax_wake_create(m->control.loop, on_wake, m, &m->wake);
    if (err) {
        ax_monitor_destroy(m);
        *out = NULL;
    }
    return err;
}

void ax_monitor_destroy(struct ax_monitor *m)
{
    if (!m)
        return;
    if (m->busy) { /* what runs has ended the VM, and with it the debugger */
        m->gone = true;
        return;
    }
    ax_monitor_cancel(m);
    ax_execute_destroy(m->exec);
    ax_wake_destroy(m->wake);
    free(m);
}
