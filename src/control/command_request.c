/*
 * command_request.c - a command's arguments to requests, which have the options
 * already.
 */
#include "control/command_parts.h"

#include "vmm/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static json_t *file_value(const char *cwd, const char *file)
{
    if (file[0] == '/')
        return json_string(file);
    return json_sprintf("%s/%s", strcmp(cwd, "/") ? cwd : "", file);
}

/* Adds a request; vm and file may be NULL. */
static int request_add(const struct parse *parse, const char *command,
                       const char *vm, const char *file, json_t *requests)
{
    json_t *request = json_copy(parse->request);

    if (!request ||
        json_object_set_new(request, "command", json_string(command)))
        goto fail;
    if (vm && json_object_set_new(request, "vm", json_string(vm))) {
        json_decref(request);
        return ax_command_fail(parse, "'%s' is not text in UTF-8", vm);
    }
    if (file &&
        json_object_set_new(request, "file", file_value(parse->cwd, file))) {
        json_decref(request);
        return ax_command_fail(parse, "'%s' is not text in UTF-8", file);
    }
    if (!json_array_append_new(requests, request))
        return 0;
    request = NULL;
fail:
    json_decref(request);
    return ax_command_fail(parse, "%s", strerror(ENOMEM));
}

/* show takes its statistics from the command that has them. */
static int requests_show(const struct parse *parse, json_t *requests)
{
    const bool full = json_object_get(parse->options, "full");
    const bool config = json_object_get(parse->options, "config");
    const bool stats = json_object_get(parse->options, "stats");
    const bool json = json_object_get(parse->options, "json");
    int err = 0;

    if (full + config + stats > 1)
        return ax_command_fail(parse, "one of --full, --config and --stats");
    if (!stats)
        err = request_add(parse, "show", parse->args[0], NULL, requests);
    if (!err && (stats || (full && !json)))
        err = request_add(parse, "stats", parse->args[0], NULL, requests);
    return err;
}

/* The file is the caller's, who starts the program. */
static int requests_exec(const struct parse *parse, json_t *requests)
{
    const char *file = parse->arg_count > 1 ? parse->args[1] : NULL;
    const json_t *exec = json_object_get(parse->options, "exec");
    const json_t *off = json_object_get(parse->options, "off");

    if (off && (exec || json_object_get(parse->options, "listen")))
        return ax_command_fail(parse, "--off stands alone");
    if (file && !exec)
        return ax_command_fail(parse, "'%s' is for --exec", file);
    if (file && json_object_set_new(parse->options, "exec", json_string(file)))
        return ax_command_fail(parse, "'%s' is not text in UTF-8", file);
    return request_add(parse, parse->command->name, parse->args[0], NULL,
                       requests);
}

static int request_size(const struct parse *parse, const char *text)
{
    uint64_t size;

    if (!ax_config_parse_size(text, &size) || !size || size > INT64_MAX)
        return ax_command_fail(parse, "'%s' is not a size such as 20G", text);
    if (json_object_set_new(parse->request, "size",
                            json_integer((json_int_t)size)))
        return ax_command_fail(parse, "%s", strerror(ENOMEM));
    return 0;
}

static int requests_port(const struct parse *parse, json_t *requests)
{
    const char *port = parse->arg_count > 1 ? parse->args[1] : NULL;

    if (port && json_object_set_new(parse->request, "port", json_string(port)))
        return ax_command_fail(parse, "'%s' is not text in UTF-8", port);
    return request_add(parse, parse->command->name, parse->args[0], NULL,
                       requests);
}

static int requests_size(const struct parse *parse, json_t *requests)
{
    int err = parse->arg_count > 1 ? request_size(parse, parse->args[1]) : 0;

    return err ? err
               : request_add(parse, parse->command->name, parse->args[0], NULL,
                             requests);
}

/* "resize", and what it is about: a disk by its number or serial. */
static int requests_disk(const struct parse *parse, json_t *requests)
{
    const char *what = parse->args[0], *disk = parse->args[2];
    int err = 0;

    if (what && strcmp(what, "resize"))
        return ax_command_fail(parse, "'%s' is nothing to do with a disk",
                               what);
    if (json_object_set_new(parse->request, "disk", json_string(disk)))
        return ax_command_fail(parse, "'%s' is not text in UTF-8", disk);
    if (parse->arg_count > 3)
        err = request_size(parse, parse->args[3]);
    return err ? err
               : request_add(parse, "disk", parse->args[1], NULL, requests);
}

/* Digits of a number that fits; -1: it is not that. */
static int card_number(const char *text)
{
    const size_t len = strlen(text);

    return len && len <= 4 && strspn(text, "0123456789") == len
               ? (int)strtol(text, NULL, 10)
               : -1;
}

static int requests_net(const struct parse *parse, json_t *requests)
{
    const char *last =
        parse->arg_count ? parse->args[parse->arg_count - 1] : NULL;
    const bool given = last != NULL;
    const bool up = given && !strcmp(last, "up");
    const bool down = given && !strcmp(last, "down");
    const bool plugs = parse->arg_count > 1 && (up || down);
    const char *card = parse->arg_count == 3 ? parse->args[1] : last;
    const int number = card ? card_number(card) : -1;

    if (parse->arg_count == 3 && !plugs)
        return ax_command_fail(parse, "'%s' is neither up nor down", last);
    if (parse->arg_count > 1 + (plugs ? 1U : 0U)) {
        if (number < 0)
            return ax_command_fail(parse, "'%s' is no number of a card", card);
        if (json_object_set_new(parse->request, "card", json_integer(number)))
            return ax_command_fail(parse, "%s", strerror(ENOMEM));
    }
    if (plugs && json_object_set_new(parse->request, "up", json_boolean(up)))
        return ax_command_fail(parse, "%s", strerror(ENOMEM));
    return request_add(parse, "net", parse->args[0], NULL, requests);
}

int ax_command_requests(const struct parse *parse, json_t *requests)
{
    const char *name = parse->command->name;
    int err = 0;

    if (!strcmp(name, "show"))
        return requests_show(parse, requests);
    switch (parse->command->args) {
    case AX_ARGS_NONE:
        return request_add(parse, name, NULL, NULL, requests);
    case AX_ARGS_VM_FILE:
        return request_add(parse, name, parse->args[0], parse->args[1],
                           requests);
    case AX_ARGS_VM_EXEC:
        return requests_exec(parse, requests);
    case AX_ARGS_VM_PORT:
        return requests_port(parse, requests);
    case AX_ARGS_VM_SIZE:
        return requests_size(parse, requests);
    case AX_ARGS_DISK:
        return requests_disk(parse, requests);
    case AX_ARGS_NET:
        return requests_net(parse, requests);
    case AX_ARGS_FILES:
        for (unsigned i = 0; i < parse->arg_count && !err; i++)
            err = request_add(parse, name, NULL, parse->args[i], requests);
        return err;
    default:
        for (unsigned i = 0; i < parse->arg_count && !err; i++)
            err = request_add(parse, name, parse->args[i], NULL, requests);
        return err;
    }
}
