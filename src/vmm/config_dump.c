/*
 * config_dump.c - a configuration as TOML that loads again to the same one.
 *
 * Goes by the key table like reading does: every key with its effective value,
 * defaults included; what is absent stands as a comment. Called by main.c and
 * by tests.
 */
#include "vmm/config_impl.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NS_PER_MS = 1000000, MS_PER_S = 1000 };

static unsigned long long ull(uint64_t val)
{
    return val;
}

/* A TOML basic string, section "String" of the TOML 1.0 specification. */
static void print_quoted(FILE *to, const char *s)
{
    fputc('"', to);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", to);
        else if (c == '\t')
            fputs("\\t", to);
        else if (c < 0x20 || c == 0x7f)
            fprintf(to, "\\u%04X", c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}

/* The dump may be read from another directory than the file was. */
static void print_path(FILE *to, const char *prefix, const char *path)
{
    char cwd[PATH_MAX], *whole = NULL;
    bool absolute = *path == '/' || !getcwd(cwd, sizeof(cwd));

    if (asprintf(&whole, "%s%s%s%s", prefix, absolute ? "" : cwd,
                 absolute ? "" : "/", path) < 0)
        whole = NULL;
    print_quoted(to, whole ? whole : path);
    free(whole);
}

static void print_strings(FILE *to, char *const *list, const char *open,
                          const char *close)
{
    fputc('[', to);
    for (size_t i = 0; list[i]; i++) {
        fputs(i ? ", " : "", to);
        fputs(open, to);
        print_quoted(to, list[i]);
        fputs(close, to);
    }
    fputc(']', to);
}

static void print_size(FILE *to, uint64_t bytes)
{
    static const char units[] = "KMGT";
    int unit = -1;

    for (; bytes && unit < 3 && !(bytes & 1023); unit++)
        bytes >>= 10;
    if (unit < 0)
        fprintf(to, "%llu", ull(bytes));
    else
        fprintf(to, "\"%llu%c\"", ull(bytes), units[unit]);
}

static void print_seconds(FILE *to, uint64_t ns)
{
    uint64_t ms = ns / NS_PER_MS, rest = ms % MS_PER_S;
    int digits = 3;

    fprintf(to, "%llu", ull(ms / MS_PER_S));
    for (; rest && !(rest % 10); rest /= 10)
        digits--;
    if (rest)
        fprintf(to, ".%0*llu", digits, ull(rest));
}

static const char *word_of(const struct conf_key *key, unsigned val)
{
    const struct conf_word *word = key->words;

    while (word->word && word->val != val)
        word++;
    return word->word ? word->word : key->words->word;
}

static void print_flags(FILE *to, const struct conf_word *word, unsigned flags)
{
    const char *separator = "";

    fputc('[', to);
    for (; word->word; word++) {
        if (!(flags & word->val))
            continue;
        fputs(separator, to);
        print_quoted(to, word->word);
        separator = ", ";
    }
    fputc(']', to);
}

/* Where a console or a debugger is: a path, or anything else. */
static void print_spec(FILE *to, const char *spec)
{
    if (!strncmp(spec, "unix:", 5))
        print_path(to, "unix:", spec + 5);
    else if (!strncmp(spec, "file:", 5))
        print_path(to, "file:", spec + 5);
    else
        print_quoted(to, spec);
}

/* ---- rows ---- */

static uint64_t get_number(const void *from, unsigned size)
{
    return size == sizeof(unsigned) ? *(const unsigned *)from
                                    : *(const uint64_t *)from;
}

static void print_numbers(FILE *to, const uint64_t *numbers, unsigned count)
{
    fputc('[', to);
    for (unsigned i = 0; i < count; i++)
        fprintf(to, "%s0x%llx", i ? ", " : "", ull(numbers[i]));
    fputc(']', to);
}

static void print_cell(FILE *to, const struct conf_field *field,
                       const char *row)
{
    const void *from = row + field->off;

    switch (field->cell) {
    case CELL_NAME:
        print_quoted(to, *(char *const *)from);
        break;
    case CELL_INT:
        fprintf(to, "%llu", ull(get_number(from, field->size)));
        break;
    case CELL_HEX:
        fprintf(to, "0x%llx", ull(get_number(from, field->size)));
        break;
    case CELL_INTS:
        print_numbers(
            to, *(uint64_t *const *)from,
            *(const unsigned *)(const void *)(row + field->count_off));
        break;
    }
}

static void print_rows(FILE *to, const struct conf_list *list, const char *rows,
                       unsigned count)
{
    if (!count) {
        fputs("[]", to);
        return;
    }
    fputs("[\n", to);
    for (unsigned i = 0; i < count; i++) {
        fputs("    [", to);
        for (unsigned f = 0; f < list->field_count; f++) {
            fputs(f ? ", " : "", to);
            print_cell(to, &list->fields[f], rows + (size_t)i * list->size);
        }
        fputs("],\n", to);
    }
    fputs("]", to);
}

static void print_value(FILE *to, const struct conf_key *key, const char *base,
                        const struct ax_config *conf)
{
    const void *from = base + key->off;
    const char *rows;

    switch (key->kind) {
    case KIND_INT:
        fprintf(to, "%llu", ull(get_number(from, key->size)));
        break;
    case KIND_ADDR:
        fprintf(to, "0x%llx", ull(((const struct ax_config_addr *)from)->val));
        break;
    case KIND_BOOL:
        fputs(*(const bool *)from ? "true" : "false", to);
        break;
    case KIND_STRING:
        print_quoted(to, *(char *const *)from);
        break;
    case KIND_FILE:
        print_path(to, "", *(char *const *)from);
        break;
    case KIND_PATH:
        print_path(to, "", ((const struct ax_config_path *)from)->path);
        break;
    case KIND_WORD:
        print_quoted(to, word_of(key, *(const unsigned *)from));
        break;
    case KIND_SIZE:
        print_size(to, *(const uint64_t *)from);
        break;
    case KIND_SECONDS:
        print_seconds(to, *(const uint64_t *)from);
        break;
    case KIND_CONSOLE:
    case KIND_LISTEN:
        print_spec(to, *(char *const *)from);
        break;
    case KIND_FLAGS:
        print_flags(to, key->words, *(const unsigned *)from);
        break;
    case KIND_STRINGS:
        if (*(char **const *)from)
            print_strings(to, *(char **const *)from, "", "");
        else
            fputs("[]", to);
        break;
    case KIND_EXCLUDED:
        print_strings(to, *(char **const *)from, "[", "]");
        break;
    case KIND_INTS:
        print_numbers(to, from, conf->cpu_num);
        break;
    case KIND_LIST:
        memcpy(&rows, from, sizeof(rows));
        print_rows(to, key->list, rows,
                   *(const unsigned *)(const void *)((const char *)conf +
                                                     key->list->count_off));
        break;
    case CONF_KINDS:
        break;
    }
}

/* Is there a value, and would the file still load with it? */
static bool is_present(enum conf_key_id id, const struct ax_config *conf,
                       const char *base)
{
    const struct conf_key *key = &ax_config_keys[id];
    const void *from = base + key->off;

    switch (id) {
    case KEY_MEMORY:
        return !conf->region_count;
    case KEY_MEMORY_REGIONS:
        return conf->region_count;
    case KEY_ENABLE_BIOS:
        return conf->protocol != AX_BOOT_AUTO;
    case KEY_NET_FD:
    case KEY_NET_MTU:
        return *(const unsigned *)from;
    case KEY_NET_HOSTFWD:
        return *(char **const *)from;
    case KEY_NET_VHOST:
        return ((const struct ax_config_net *)(const void *)base)->conf.mode ==
               AX_NET_TAP;
    case KEY_VSOCK_CID:
    case KEY_VSOCK_VHOST:
        return conf->vsock.cid;
    default:
        break;
    }
    switch (key->kind) {
    case KIND_ADDR:
        return ((const struct ax_config_addr *)from)->given;
    case KIND_PATH:
        return ((const struct ax_config_path *)from)->path;
    case KIND_STRING:
    case KIND_FILE:
    case KIND_CONSOLE:
    case KIND_LISTEN:
        return *(char *const *)from;
    default:
        return true;
    }
}

static void print_key(FILE *to, enum conf_key_id id,
                      const struct ax_config *conf,
                      const struct conf_extra *extra, const char *row)
{
    const struct conf_key *key = &ax_config_keys[id];
    const char *const bases[] = {
        [HOME_CONFIG] = (const char *)conf,
        [HOME_EXTRA] = (const char *)extra,
        [HOME_ROW] = row,
    };
    const char *base = bases[key->home];

    fprintf(to, "# %s\n", key->doc);
    if (!is_present(id, conf, base)) {
        fprintf(to, "# %s: not given\n", key->name);
        return;
    }
    fprintf(to, "%s = ", key->name);
    print_value(to, key, base, conf);
    fputc('\n', to);
}

/* All keys of a table; row: of an array of tables. */
static void print_keys(FILE *to, const char *table,
                       const struct ax_config *conf,
                       const struct conf_extra *extra, const char *row)
{
    for (unsigned id = 0; id < CONF_KEYS; id++) {
        /* Other names of keys that are printed already. */
        if (!strcmp(ax_config_keys[id].table, table) && id != KEY_INITRD &&
            id != KEY_UEFI_FIRMWARE_PATH)
            print_key(to, (enum conf_key_id)id, conf, extra, row);
    }
}

static void print_array(FILE *to, const char *table,
                        const struct ax_config *conf,
                        const struct conf_extra *extra)
{
    const struct conf_rows *rows = ax_config_rows;

    while (strcmp(rows->table, table) != 0)
        rows++;
    if (!ax_config_row_count(conf, rows))
        fprintf(to, "\n# [%s]: none\n", table);
    for (unsigned i = 0; i < ax_config_row_count(conf, rows); i++) {
        fprintf(to, "\n[%s]\n", table);
        print_keys(to, table, conf, extra, ax_config_row(conf, rows, i));
    }
}

void ax_config_dump(const struct ax_config *conf, FILE *to)
{
    struct conf_extra extra = {
        .enable_bios = conf->protocol == AX_BOOT_MULTIBOOT ||
                       conf->protocol == AX_BOOT_UEFI,
        .console_device = CONSOLE_VIRTIO,
    };
    const char *table = "";

    fprintf(to, "# The effective configuration, defaults included.\n");
    for (unsigned id = 0; id < CONF_KEYS; id++) {
        if (!strcmp(table, ax_config_keys[id].table))
            continue;
        table = ax_config_keys[id].table;
        if (*table == '[') {
            print_array(to, table, conf, &extra);
            continue;
        }
        /* TOML has no table and array of one name: the array takes it along. */
        if (!strcmp(table, "console") && conf->vconsole_count)
            fprintf(to, "\n[[%s]]\ndevice = \"serial\"\n", table);
        else
            fprintf(to, "\n[%s]\n", table);
        print_keys(to, table, conf, &extra, NULL);
    }
}
