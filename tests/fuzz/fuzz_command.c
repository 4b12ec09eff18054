/*
 * fuzz_command.c - any line splits and parses or is refused in words, and any
 * answer prints.
 *
 * The input is a line and, after an LF, an answer as JSON.
 */
#include "control/command.h"
#include "fuzz/input.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS = 64, REQUEST_MAX = 65536 - 64 };

/* One line without control characters. */
static void check_error(const char *error)
{
    size_t len = strnlen(error, AX_COMMAND_ERROR);

    if (!len || len == AX_COMMAND_ERROR)
        abort();
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)error[i] < 0x20 || error[i] == 0x7f)
            abort();
    }
}

/* Each can be sent, and names its command. */
static void check_requests(const struct ax_command_call *call)
{
    json_t *request;
    size_t at;

    if (!json_array_size(call->requests))
        abort();
    json_array_foreach(call->requests, at, request)
    {
        char *text = json_dumps(request, JSON_COMPACT);

        if (!text || strlen(text) > REQUEST_MAX ||
            !json_is_string(json_object_get(request, "command")))
            abort();
        free(text);
    }
}

static void print(const struct ax_command_call *call, const char *answer)
{
    json_t *result = answer ? json_loads(answer, JSON_DECODE_ANY, NULL) : NULL;
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        abort();
    if (result)
        ax_command_print(call, result, to);
    if (fclose(to))
        abort();
    free(text);
    json_decref(result);
}

static void run(unsigned count, const char **words, const char *answer)
{
    char error[AX_COMMAND_ERROR];
    struct ax_command_call call;

    if (ax_command_parse(count, words, "/cwd", &call, error)) {
        check_error(error);
        if (call.requests || call.options)
            abort();
        return;
    }
    check_requests(&call);
    print(&call, answer);
    ax_command_fini(&call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = malloc(size + 1), *answer;
    const char *words[WORDS];
    int count;

    if (!line)
        return 0;
    memcpy(line, data, size);
    line[size] = '\0';
    answer = strchr(line, '\n');
    if (answer)
        *answer++ = '\0';
    count = ax_command_split(line, words, WORDS);
    if (count > 0)
        run((unsigned)count, words, answer);
    free(line);
    return 0;
}
