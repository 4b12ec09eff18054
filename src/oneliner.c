/*
 * oneliner.c - options to TOML: a table for what there is one of, a row of an
 * array of tables for each disk, card and share.
 */
#include "oneliner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which TOML a value becomes; a string is the rule. */
enum form { FORM_STRING, FORM_BARE, FORM_LIST };

static const struct {
    const char *key;
    enum form form;
} forms[] = {
    {"readonly", FORM_BARE}, {"overlay", FORM_BARE},    {"queues", FORM_BARE},
    {"iops", FORM_BARE},     {"fd", FORM_BARE},         {"mtu", FORM_BARE},
    {"offloads", FORM_BARE}, {"block_size", FORM_BARE}, {"cid", FORM_BARE},
    {"hostfwd", FORM_LIST},
};

bool ax_oneliner_given(const struct ax_oneliner *line)
{
    return line->kernel || line->initrd || line->append || line->name ||
           line->cpus || line->memory || line->vsock || line->virtio ||
           line->run || line->root || line->modules ||
           (line->disks && *line->disks) || (line->nets && *line->nets) ||
           (line->shares && *line->shares);
}

bool ax_oneliner_has_pci(const struct ax_oneliner *line)
{
    return line->virtio && !strcmp(line->virtio, "pci");
}

/* A TOML basic string; a comma that stood twice in a list of options is one. */
static void put_quoted(FILE *to, const char *s, size_t len, bool option)
{
    fputc('"', to);
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)s[i];

        if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(to, "\\u%04X", c);
        else
            fputc(c, to);
        i += option && c == ',' && i + 1 < len;
    }
    fputc('"', to);
}

static void put_string(FILE *to, const char *key, const char *val)
{
    if (!val)
        return;
    fprintf(to, "%s = ", key);
    put_quoted(to, val, strlen(val), false);
    fputc('\n', to);
}

/* A number or a boolean as it is; anything else in quotes, for the reader of
 * the configuration to say what was expected. */
static void put_bare(FILE *to, const char *val, size_t len)
{
    const size_t digits = strspn(val, "0123456789");
    const bool word = (len == 4 && !memcmp(val, "true", 4)) ||
                      (len == 5 && !memcmp(val, "false", 5));

    if (len && (digits >= len || word))
        fprintf(to, "%.*s", (int)len, val);
    else
        put_quoted(to, val, len, true);
}

/* The end of an option: a comma that does not stand twice, or the end. */
static const char *option_end(const char *at)
{
    while (*at && (*at != ',' || at[1] == ','))
        at += *at == ',' ? 2 : 1;
    return at;
}

static enum form form_of(const char *key, size_t len)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(forms); i++) {
        if (strlen(forms[i].key) == len && !memcmp(forms[i].key, key, len))
            return forms[i].form;
    }
    return FORM_STRING;
}

/* Keys are written bare where TOML lets them be, so that a wrong one is told
 * by its own name. */
static void put_key(FILE *to, const char *key, size_t len)
{
    if (len &&
        strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                    "0123456789_-") >= len)
        fprintf(to, "%.*s = ", (int)len, key);
    else
        put_quoted(to, key, len, true), fputs(" = ", to);
}

/* KEY=VALUE, KEY alone for a truth, "ro" for readonly. */
static void put_option(FILE *to, const char *at, const char *end)
{
    const char *equals = memchr(at, '=', (size_t)(end - at));
    const size_t len = (size_t)((equals ? equals : end) - at);

    if (equals && form_of(at, len) == FORM_LIST)
        return; /* together, at the end */
    if (len == 2 && !memcmp(at, "ro", 2) && !equals) {
        fputs("readonly = true\n", to);
        return;
    }
    put_key(to, at, len);
    if (!equals)
        fputs("true", to);
    else if (form_of(at, len) == FORM_BARE)
        put_bare(to, equals + 1, (size_t)(end - equals - 1));
    else
        put_quoted(to, equals + 1, (size_t)(end - equals - 1), true);
    fputc('\n', to);
}

/* What follows a comma, NULL: nothing. */
static const char *option_next(const char *end)
{
    return *end ? end + 1 : NULL;
}

/* hostfwd=A,hostfwd=B: one list. */
static void put_list(FILE *to, const char *options, const char *key)
{
    const size_t len = strlen(key);
    unsigned count = 0;

    for (const char *at = options, *end; at; at = option_next(end)) {
        end = option_end(at);
        if (strncmp(at, key, len) || at[len] != '=')
            continue;
        fprintf(to, count++ ? ", " : "%s = [", key);
        put_quoted(to, at + len + 1, (size_t)(end - at) - len - 1, true);
    }
    if (count)
        fputs("]\n", to);
}

/* first: the key of what comes first, without its name. No mode has a '=', so
 * that a card may go without one. */
static void put_row(FILE *to, const char *header, const char *first,
                    const char *spec)
{
    const char *end = option_end(spec), *options = option_next(end);
    const size_t len = (size_t)(end - spec);

    fprintf(to, "\n%s\n", header);
    if (!strcmp(first, "mode") && memchr(spec, '=', len)) {
        options = spec;
    } else {
        fprintf(to, "%s = ", first);
        if (form_of(first, strlen(first)) == FORM_BARE)
            put_bare(to, spec, len);
        else
            put_quoted(to, spec, len, true);
        fputc('\n', to);
    }
    for (const char *at = options; at; at = option_next(end)) {
        end = option_end(at);
        put_option(to, at, end);
    }
    put_list(to, options, "hostfwd");
}

static void put_rows(FILE *to, const char *header, const char *first,
                     const char *const *specs)
{
    for (; specs && *specs; specs++)
        put_row(to, header, first, *specs);
}

/* "DIR" alone has a tag all the same: share0, share1... */
static void put_shares(FILE *to, const char *const *specs)
{
    for (unsigned n = 0; specs && *specs; specs++, n++) {
        put_row(to, "[[share]]", "path", *specs);
        if (!strstr(*specs, ",tag="))
            fprintf(to, "tag = \"share%u\"\n", n);
    }
}

/* A guest that runs one command: its root, and a console for it alone. */
static void put_run(FILE *to, const struct ax_oneliner *line)
{
    fputs("\n[[console]]\ndevice = \"serial\"\nmode = \"none\"\n"
          "\n[[console]]\nmode = \"stdio\"\n"
          "\n[[share]]\ntag = \"axroot\"\nreadonly = true\n",
          to);
    put_string(to, "path", line->root ? line->root : "/");
}

static void put_base(FILE *to, const struct ax_oneliner *line)
{
    fputs("[base]\n", to);
    put_string(to, "name",
               line->name  ? line->name
               : line->run ? "run"
                           : "guest");
    if (line->cpus) {
        fputs("cpu_num = ", to);
        put_bare(to, line->cpus, strlen(line->cpus));
        fputc('\n', to);
    }
    put_string(to, "memory", line->memory ? line->memory : "512M");
}

char *ax_oneliner_text(const struct ax_oneliner *line)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return NULL;
    put_base(to, line);
    fputs("\n[kernel]\n", to);
    put_string(to, "kernel_path", line->kernel);
    put_string(to, "ramdisk_path", line->initrd);
    put_string(to, "cmdline", line->append);
    if (line->virtio) {
        fputs("\n[virtio]\n", to);
        put_string(to, "transport", line->virtio);
    }
    put_rows(to, "[[disk]]", "path", line->disks);
    put_rows(to, "[[net]]", "mode", line->nets);
    put_shares(to, line->shares);
    if (line->vsock)
        put_row(to, "[vsock]", "cid", line->vsock);
    if (line->run)
        put_run(to, line);
    if (fclose(to)) {
        free(text);
        return NULL;
    }
    return text;
}
