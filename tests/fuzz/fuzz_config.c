/*
 * fuzz_config.c - guest files: any bytes load or are refused in words, and what
 * loads dumps to a text that loads and dumps to the same.
 *
 * A NUL byte, which TOML does not know, ends the file; what follows is one
 * override ("base.id=1").
 */
#include "fuzz/input.h"
#include "vmm/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message is one or more whole lines without control characters. */
static void report(void *ctx, enum ax_severity severity, const char *text)
{
    size_t len = strlen(text);

    if (!len || text[len - 1] != '\n' || severity >= AX_SEVERITIES)
        abort();
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            abort();
    }
    *(unsigned *)ctx += severity == AX_SEVERITY_ERROR;
}

static struct ax_config *load(const char *text, size_t size, const char *set)
{
    const char *sets[] = {set, NULL};
    unsigned errors = 0;
    struct ax_config_source src = {
        .file = "guest.toml",
        .text = text,
        .size = size,
        .sets = sets,
        .notes = true,
        .report = report,
        .ctx = &errors,
    };
    struct ax_config *conf;
    int err = ax_config_load(&src, &conf);

    if (!err != !errors || !err != !!conf)
        abort();
    return conf;
}

static char *dump(const struct ax_config *conf, size_t *size)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, size);

    if (!f)
        abort();
    ax_config_dump(conf, f);
    if (fclose(f))
        abort();
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1), *set, *first, *second;
    struct ax_config *conf;
    size_t len, first_size, second_size;

    if (!copy)
        return 0;
    memcpy(copy, data, size);
    copy[size] = '\0';
    len = strlen(copy);
    set = len < size ? copy + len + 1 : NULL;
    conf = load(copy, len, set);
    free(copy);
    if (!conf)
        return 0;
    first = dump(conf, &first_size);
    ax_config_destroy(conf);
    conf = load(first, first_size, NULL);
    if (!conf)
        abort(); /* the dump must load */
    second = dump(conf, &second_size);
    ax_config_destroy(conf);
    if (first_size != second_size || memcmp(first, second, first_size))
        abort();
    free(first);
    free(second);
    return 0;
}
