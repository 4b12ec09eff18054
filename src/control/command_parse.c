/*
 * command_parse.c - a line to words; words to a command, its options and its
 * arguments.
 */
#include "control/command_parts.h"

#include "debug/listen.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* PATH_MAX; keeps a request far below a line's limit. */
enum { WORD_MAX = 4096 };

int ax_command_fail(const struct parse *parse, const char *format, ...)
{
    char what[AX_COMMAND_ERROR];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    /* What to type matters most: a long complaint is cut short. */
    snprintf(parse->error, AX_COMMAND_ERROR, "%s: %.150s (usage: %s)",
             parse->command->name, what, parse->command->synopsis);
    return -EINVAL;
}

static const char *close_name(const char *word)
{
    struct ax_command_guess guess = {.word = word};

    for (const struct ax_command *c = ax_commands(); c->name; c++)
        ax_command_offer(&guess, c->name);
    return guess.found;
}

static int unknown_command(const char *word, char error[AX_COMMAND_ERROR])
{
    const char *near = close_name(word);

    if (near)
        snprintf(error, AX_COMMAND_ERROR,
                 "Unknown command '%s': did you mean '%s'?", word, near);
    else
        snprintf(error, AX_COMMAND_ERROR, "Unknown command '%.200s'", word);
    return -EINVAL;
}

/* One line, whatever the words hold. */
static void blank_controls(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

/* word is "--name", "--name=value" or "-n". */
static const struct ax_command_option *
option_find(const struct ax_command *command, const char *word)
{
    const size_t len = word[1] == '-' ? strcspn(word + 2, "=") : 0;

    for (const struct ax_command_option *o = command->options; o->name; o++) {
        if (len ? strlen(o->name) == len && !strncmp(o->name, word + 2, len)
                : o->letter == word[1] && !word[2])
            return o;
    }
    return NULL;
}

static json_t *seconds_value(const char *text)
{
    char *end;
    double number;

    number = strtod(text, &end);
    if (end == text || *end || !isfinite(number) || number < 0 || number > 1e9)
        return NULL;
    return number == floor(number) ? json_integer((json_int_t)number)
                                   : json_real(number);
}

/* The process has a working directory of its own. */
static json_t *listen_value(const char *cwd, const char *spec)
{
    const char *path = strncmp(spec, "unix:", 5) ? NULL : spec + 5;

    if (!path || *path == '/')
        return json_string(spec);
    return json_sprintf("unix:%s/%s", strcmp(cwd, "/") ? cwd : "", path);
}

static json_t *option_value(const struct parse *parse,
                            const struct ax_command_option *option,
                            const char *text)
{
    if (!option->arg)
        return json_true();
    if (option->arg == ax_command_seconds)
        return seconds_value(text);
    if (option->arg == ax_command_spec)
        return listen_value(parse->cwd, text);
    return json_string(text);
}

/* words[at] begins with a dash; its value may be the next word. */
static int parse_option(struct parse *parse)
{
    const char *word = parse->words[parse->at];
    const struct ax_command_option *option = option_find(parse->command, word);
    const char *value = word[1] == '-' ? strchr(word, '=') : NULL;
    json_t *json;

    if (!option)
        return ax_command_fail(parse, "unknown option '%s'", word);
    if (value)
        value++;
    else if (option->arg && parse->at + 1 < parse->count)
        value = parse->words[++parse->at];
    if (option->arg && !value)
        return ax_command_fail(parse, "--%s needs %s", option->name,
                               option->arg);
    if (!option->arg && value)
        return ax_command_fail(parse, "--%s takes no value", option->name);
    if (option->arg == ax_command_spec && ax_listen_check(value))
        return ax_command_fail(parse, "--%s: '%.40s': %s", option->name, value,
                               ax_listen_check(value));
    json = option_value(parse, option, value);
    if (!json)
        return ax_command_fail(
            parse, "--%s: '%s' is not %s", option->name, value,
            option->arg == ax_command_seconds ? "a number of seconds"
                                              : "text in UTF-8");
    if (json_object_set(parse->options, option->name, json) ||
        (option->request &&
         json_object_set(parse->request, option->name, json))) {
        json_decref(json);
        return ax_command_fail(parse, "%s", strerror(ENOMEM));
    }
    json_decref(json);
    return 0;
}

static int parse_words(struct parse *parse)
{
    bool only_args = false;
    int err = 0;

    for (parse->at = 1; parse->at < parse->count && !err; parse->at++) {
        const char *word = parse->words[parse->at];

        if (strlen(word) >= WORD_MAX)
            return ax_command_fail(parse, "'%.20s...' is too long", word);
        if (!only_args && !strcmp(word, "--"))
            only_args = true;
        else if (!only_args && word[0] == '-' && word[1])
            err = parse_option(parse);
        else
            parse->args[parse->arg_count++] = word;
    }
    return err;
}

static int check_args(const struct parse *parse)
{
    static const struct {
        unsigned least, most;
        const char *missing;
    } expected[] = {
        [AX_ARGS_NONE] = {0, 0, ""},
        [AX_ARGS_VM] = {1, 1, "name a VM"},
        [AX_ARGS_VMS] = {1, UINT32_MAX, "name a VM"},
        [AX_ARGS_FILES] = {1, UINT32_MAX, "name a file"},
        [AX_ARGS_VM_FILE] = {2, 2, "name a VM and a file"},
        [AX_ARGS_VM_EXEC] = {1, 2, "name a VM"},
        [AX_ARGS_VM_PORT] = {1, 2, "name a VM"},
        [AX_ARGS_VM_SIZE] = {1, 2, "name a VM"},
        [AX_ARGS_NET] = {1, 3, "name a VM"},
        [AX_ARGS_DISK] = {3, 4, "say resize, then name a VM and a disk"},
    };
    const enum ax_command_args args = parse->command->args;

    if (parse->arg_count < expected[args].least)
        return ax_command_fail(parse, "%s", expected[args].missing);
    if (parse->arg_count > expected[args].most)
        return ax_command_fail(parse, "'%s' is too much",
                               parse->args[expected[args].most]);
    for (unsigned i = 0; i < parse->arg_count; i++) {
        if (!*parse->args[i])
            return ax_command_fail(parse, "%s, not ''", expected[args].missing);
    }
    return 0;
}

static int parse_call(struct parse *parse, struct ax_command_call *out)
{
    int err;

    out->command = parse->command;
    out->options = parse->options = json_object();
    out->requests = json_array();
    parse->request = json_object();
    parse->args = calloc((size_t)parse->count + 1, sizeof(*parse->args));
    if (!parse->args || !parse->options || !parse->request || !out->requests)
        err = ax_command_fail(parse, "%s", strerror(ENOMEM));
    else if (!(err = parse_words(parse)) && !(err = check_args(parse)))
        err = ax_command_requests(parse, out->requests);
    free(parse->args);
    json_decref(parse->request);
    return err;
}

int ax_command_parse(unsigned count, const char *const *words, const char *cwd,
                     struct ax_command_call *out, char error[AX_COMMAND_ERROR])
{
    const char *name = count ? words[0] : "";
    struct parse parse = {
        .command = ax_command_find(name),
        .cwd = cwd,
        .error = error,
        .count = count,
        .words = words,
    };
    int err;

    memset(out, 0, sizeof(*out));
    err =
        parse.command ? parse_call(&parse, out) : unknown_command(name, error);
    if (err) {
        blank_controls(error);
        ax_command_fini(out);
    }
    return err;
}

void ax_command_fini(struct ax_command_call *call)
{
    json_decref(call->requests);
    json_decref(call->options);
    memset(call, 0, sizeof(*call));
}

/* ---- a line to words ---- */

/* Unquotes the word at *from to *to, which is never ahead; both move on. */
static int split_word(char **from, char **to)
{
    bool quoted = false;

    for (; **from && (quoted || (**from != ' ' && **from != '\t')); ++*from) {
        if (**from == '"') {
            quoted = !quoted;
            continue;
        }
        if (**from == '\\' && !*++*from)
            return -EINVAL;
        *(*to)++ = **from;
    }
    return quoted ? -EINVAL : 0;
}

int ax_command_split(char *line, const char **words, unsigned max)
{
    char *from = line, *to = line;
    unsigned count = 0;

    for (;;) {
        bool last;
        int err;

        from += strspn(from, " \t");
        if (!*from)
            return (int)count;
        if (count == max)
            return -E2BIG;
        words[count++] = to;
        err = split_word(&from, &to);
        if (err)
            return err;
        /* to may have come to where from is: look before it ends there. */
        last = !*from;
        *to++ = '\0';
        if (last)
            return (int)count;
        from++;
    }
}
