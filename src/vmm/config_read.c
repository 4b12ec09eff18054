/*
 * config_read.c - one TOML value into one field, by the kind of its key.
 *
 * Types, ranges and words are checked here; nothing that depends on a second
 * key. A value that was reported leaves the field's default alone. Called by
 * config.c for every key that a file or an override gives.
 */
#include "debug/listen.h"
#include "devices/console.h"
#include "vmm/config_impl.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { NS_PER_MS = 1000000, EXPECT_MAX = 256 };

struct ax_pos ax_config_at(const struct conf_load *load, unsigned line,
                           unsigned column)
{
    struct ax_pos at = {line, column};

    if (!load->set)
        return at;
    /* The value's text was parsed behind "v=": see config.c. */
    if (line == 1 && column > 2)
        at.column = column - 2 + load->set_column;
    else
        at.column = load->set_column + 1;
    at.line = CONF_SET | load->set;
    return at;
}

static struct ax_pos value_at(const struct conf_load *load,
                              const struct ax_toml *val)
{
    return ax_config_at(load, val->line, val->column);
}

static void say_type(struct conf_load *load, const struct conf_key *key,
                     const struct ax_toml *val)
{
    char expected[EXPECT_MAX];

    ax_config_expect(key, expected, sizeof(expected));
    ax_config_say(load, AX_SEVERITY_ERROR, value_at(load, val),
                  &(struct conf_hint){.expected = expected},
                  "'%s' has the wrong type: found %s", key->name,
                  ax_config_found(val));
}

static void say_value(struct conf_load *load, const struct conf_key *key,
                      const struct ax_toml *val, const char *what)
{
    char expected[EXPECT_MAX];

    ax_config_expect(key, expected, sizeof(expected));
    ax_config_say(load, AX_SEVERITY_ERROR, value_at(load, val),
                  &(struct conf_hint){.expected = expected}, "'%s' %s",
                  key->name, what);
}

/* A number in quotes is the likeliest of all type mistakes. */
static bool is_quoted_number(const struct ax_toml *val)
{
    return val->type == AX_TOML_STRING && *val->string &&
           !val->string[strspn(val->string, "0123456789abcdefABCDEFxXoO_")] &&
           strchr("0123456789", *val->string);
}

bool ax_config_int(struct conf_load *load, const struct ax_toml *val,
                   const char *what, uint64_t min, uint64_t max, uint64_t *out)
{
    struct conf_hint hint = {0};
    char expected[EXPECT_MAX];

    ax_config_expect_range(expected, sizeof(expected), min, max);
    hint.expected = expected;
    if (val->type != AX_TOML_INT) {
        if (is_quoted_number(val))
            hint.help = "write the number without quotes";
        ax_config_say(load, AX_SEVERITY_ERROR, value_at(load, val), &hint,
                      "'%s' has the wrong type: found %s", what,
                      ax_config_found(val));
        return false;
    }
    if (val->integer < 0 || (uint64_t)val->integer < min ||
        (uint64_t)val->integer > max) {
        ax_config_say(load, AX_SEVERITY_ERROR, value_at(load, val), &hint,
                      val->integer > 0xfff ? "'%s' is out of range: %#llx"
                                           : "'%s' is out of range: %lld",
                      what, (long long)val->integer);
        return false;
    }
    *out = (uint64_t)val->integer;
    return true;
}

/* ---- kinds; false: reported, or out of memory ---- */

typedef bool read_kind(struct conf_load *load, const struct conf_key *key,
                       const struct ax_toml *val, void *to);

static bool read_int(struct conf_load *load, const struct conf_key *key,
                     const struct ax_toml *val, void *to)
{
    uint64_t number;

    if (!ax_config_int(load, val, key->name, key->min, key->max, &number))
        return false;
    if (key->size == sizeof(unsigned))
        *(unsigned *)to = (unsigned)number;
    else
        *(uint64_t *)to = number;
    return true;
}

static bool read_addr(struct conf_load *load, const struct conf_key *key,
                      const struct ax_toml *val, void *to)
{
    struct ax_config_addr *addr = to;

    addr->given =
        ax_config_int(load, val, key->name, key->min, key->max, &addr->val);
    addr->pos = value_at(load, val);
    return addr->given;
}

static bool read_bool(struct conf_load *load, const struct conf_key *key,
                      const struct ax_toml *val, void *to)
{
    if (val->type != AX_TOML_BOOL) {
        say_type(load, key, val);
        return false;
    }
    *(bool *)to = val->boolean;
    return true;
}

/* What names something in the guest is short and can be printed. */
static bool check_name(struct conf_load *load, const struct conf_key *key,
                       const struct ax_toml *val)
{
    char what[EXPECT_MAX];

    if (key->max && strlen(val->string) > key->max) {
        snprintf(what, sizeof(what), "is longer than %llu bytes",
                 (unsigned long long)key->max);
        say_value(load, key, val, what);
    } else if (key->max && !ax_config_is_clean(val->string)) {
        say_value(load, key, val, "contains a control character");
    } else {
        return true;
    }
    return false;
}

static char *copy_string(struct conf_load *load, const char *from)
{
    char *copy = strdup(from);

    if (!copy)
        load->err = -ENOMEM;
    return copy;
}

static void say_word(struct conf_load *load, const struct conf_key *key,
                     const struct ax_toml *val, const char *word)
{
    struct conf_nearest near = {.word = word};
    char expected[EXPECT_MAX], help[80];

    for (const struct conf_word *each = key->words; each->word; each++)
        ax_config_nearest(&near, each->word);
    if (near.best)
        snprintf(help, sizeof(help), "did you mean \"%s\"?", near.best);
    ax_config_expect(key, expected, sizeof(expected));
    ax_config_say(load, AX_SEVERITY_ERROR, value_at(load, val),
                  &(struct conf_hint){.expected = expected,
                                      .help = near.best ? help : NULL},
                  "'%s' cannot be \"%.64s\"", key->name, word);
}

static const struct conf_word *find_word(const struct conf_key *key,
                                         const struct ax_toml *val)
{
    const char *text = val->type == AX_TOML_BOOL
                           ? (val->boolean ? "true" : "false")
                           : val->string;

    for (const struct conf_word *word = key->words; word->word; word++) {
        if (!strcmp(word->word, text))
            return word;
    }
    return NULL;
}

static bool read_word(struct conf_load *load, const struct conf_key *key,
                      const struct ax_toml *val, void *to)
{
    const struct conf_word *word = NULL;

    if (val->type == AX_TOML_STRING || val->type == AX_TOML_BOOL)
        word = find_word(key, val);
    if (word)
        *(unsigned *)to = word->val;
    else if (val->type == AX_TOML_STRING)
        say_word(load, key, val, val->string);
    else
        say_type(load, key, val);
    return word;
}

static bool read_string(struct conf_load *load, const struct conf_key *key,
                        const struct ax_toml *val, void *to)
{
    char *copy;

    if (val->type != AX_TOML_STRING) {
        say_type(load, key, val);
        return false;
    }
    if (key->words && !find_word(key, val)) {
        say_word(load, key, val, val->string);
        return false;
    }
    if (key->min && !*val->string) {
        say_value(load, key, val, "must not be empty");
        return false;
    }
    if (!check_name(load, key, val))
        return false;
    copy = copy_string(load, val->string);
    if (!copy)
        return false;
    free(*(char **)to);
    *(char **)to = copy;
    return true;
}

/*
 * A path as seen from the directory of the file; one on a command line is seen
 * from where the command is run. NULL: no memory.
 */
static char *join_path(struct conf_load *load, const char *path)
{
    const char *file = load->src->file, *slash = strrchr(file, '/');
    char *joined;

    if (load->set || *path == '/' || !slash)
        joined = strdup(path);
    else if (asprintf(&joined, "%.*s/%s", (int)(slash - file), file, path) < 0)
        joined = NULL;
    if (!joined)
        load->err = -ENOMEM;
    return joined;
}

/* "unix:PATH" and "file:PATH" are paths, whatever else a spec may be. */
static char *join_spec(struct conf_load *load, const char *spec)
{
    char *path, *whole;

    if ((strncmp(spec, "unix:", 5) && strncmp(spec, "file:", 5)) || !spec[5])
        return copy_string(load, spec);
    path = join_path(load, spec + 5);
    if (!path || asprintf(&whole, "%.5s%s", spec, path) < 0) {
        load->err = -ENOMEM;
        whole = NULL;
    }
    free(path);
    return whole;
}

/* what: the spec's name in messages; check: its first problem, or NULL. */
static bool read_spec(struct conf_load *load, const struct ax_toml *val,
                      const char *text, const char *what,
                      const char *(*check)(const char *spec), char **to)
{
    char *spec = join_spec(load, text);
    const char *problem = spec ? check(spec) : NULL;

    if (problem)
        ax_config_say(load, AX_SEVERITY_ERROR, value_at(load, val), NULL,
                      "%s \"%.64s\": %s", what, spec, problem);
    if (!spec || problem) {
        free(spec);
        return false;
    }
    free(*to);
    *to = spec;
    return true;
}

static bool read_console(struct conf_load *load, const struct conf_key *key,
                         const struct ax_toml *val, void *to)
{
    if (val->type != AX_TOML_STRING) {
        say_type(load, key, val);
        return false;
    }
    return read_spec(load, val, val->string, "console", ax_console_check_spec,
                     to);
}

/* A port may be written as the number that it is. */
static bool read_listen(struct conf_load *load, const struct conf_key *key,
                        const struct ax_toml *val, void *to)
{
    char number[24];

    if (val->type != AX_TOML_STRING && val->type != AX_TOML_INT) {
        say_type(load, key, val);
        return false;
    }
    snprintf(number, sizeof(number), "%lld", (long long)val->integer);
    return read_spec(load, val, val->type == AX_TOML_INT ? number : val->string,
                     key->name, ax_listen_check, to);
}

static bool read_file(struct conf_load *load, const struct conf_key *key,
                      const struct ax_toml *val, void *to)
{
    char *joined;

    if (val->type != AX_TOML_STRING) {
        say_type(load, key, val);
        return false;
    }
    if (!*val->string) {
        ax_config_say(load, AX_SEVERITY_ERROR, value_at(load, val),
                      &(struct conf_hint){.help = "leave the key out if there "
                                                  "is no such file"},
                      "'%s' must not be empty", key->name);
        return false;
    }
    joined = join_path(load, val->string);
    if (!joined)
        return false;
    free(*(char **)to);
    *(char **)to = joined;
    return true;
}

static bool read_path(struct conf_load *load, const struct conf_key *key,
                      const struct ax_toml *val, void *to)
{
    struct ax_config_path *path = to;

    if (!read_file(load, key, val, &path->path))
        return false;
    path->pos = value_at(load, val);
    return true;
}

bool ax_config_parse_size(const char *text, uint64_t *out)
{
    static const char suffixes[] = "KMGT";
    const char *suffix;
    unsigned shift = 0;
    uint64_t val = 0;

    if (*text < '0' || *text > '9')
        return false;
    for (; (*text >= '0' && *text <= '9') || *text == '_'; text++) {
        if (*text == '_')
            continue;
        if (__builtin_mul_overflow(val, 10, &val) ||
            __builtin_add_overflow(val, (uint64_t)(*text - '0'), &val))
            return false;
    }
    suffix = *text ? strchr(suffixes, *text & ~0x20) : NULL;
    if (suffix) {
        shift = 10 * (unsigned)(suffix - suffixes + 1);
        text++;
        text += !strcmp(text, "iB") ? 2 : !strcmp(text, "B");
    }
    if (*text || val > UINT64_MAX >> shift)
        return false;
    *out = val << shift;
    return true;
}

/* In the largest unit that leaves nothing over. */
static void print_size(char *buf, size_t size, uint64_t bytes)
{
    static const char units[][2] = {"", "K", "M", "G", "T"};
    unsigned unit = 0;

    for (; bytes && unit < AX_ARRAY_LEN(units) - 1 && !(bytes & 1023); unit++)
        bytes >>= 10;
    snprintf(buf, size, "%llu%s", (unsigned long long)bytes, units[unit]);
}

static void say_size_range(struct conf_load *load, const struct conf_key *key,
                           const struct ax_toml *val)
{
    char min[24], max[24], expected[EXPECT_MAX];

    print_size(min, sizeof(min), key->min);
    print_size(max, sizeof(max), key->max);
    snprintf(expected, sizeof(expected), "%s to %s", min, max);
    ax_config_say(load, AX_SEVERITY_ERROR, value_at(load, val),
                  &(struct conf_hint){.expected = expected},
                  "'%s' is out of range", key->name);
}

static bool read_size(struct conf_load *load, const struct conf_key *key,
                      const struct ax_toml *val, void *to)
{
    uint64_t bytes = 0;

    if (val->type != AX_TOML_STRING && val->type != AX_TOML_INT) {
        say_type(load, key, val);
        return false;
    }
    if (val->type == AX_TOML_STRING &&
        !ax_config_parse_size(val->string, &bytes)) {
        say_value(load, key, val, "is not a size");
        return false;
    }
    if (val->type == AX_TOML_INT && val->integer > 0)
        bytes = (uint64_t)val->integer;
    if (bytes < key->min || bytes > key->max ||
        (val->type == AX_TOML_INT && val->integer < 0)) {
        say_size_range(load, key, val);
        return false;
    }
    *(uint64_t *)to = bytes;
    return true;
}

/* To the millisecond, but never so small that it would mean "never". */
static bool read_seconds(struct conf_load *load, const struct conf_key *key,
                         const struct ax_toml *val, void *to)
{
    double seconds = val->type == AX_TOML_INT ? (double)val->integer : -1;
    uint64_t ms;

    if (val->type != AX_TOML_INT && val->type != AX_TOML_FLOAT) {
        say_type(load, key, val);
        return false;
    }
    if (val->type == AX_TOML_FLOAT)
        seconds = val->real;
    if (!(seconds >= 0 && seconds <= (double)key->max)) { /* NaN as well */
        ax_config_say(
            load, AX_SEVERITY_ERROR, value_at(load, val),
            &(struct conf_hint){.expected = "0 to 1000000000 seconds"},
            "'%s' is out of range", key->name);
        return false;
    }
    ms = (uint64_t)(seconds * 1000 + 0.5);
    if (seconds > 0 && !ms)
        ms = 1;
    *(uint64_t *)to = ms * NS_PER_MS;
    return true;
}

/* ---- arrays ---- */

static bool check_array(struct conf_load *load, const struct conf_key *key,
                        const struct ax_toml *val)
{
    if (val->type != AX_TOML_ARRAY) {
        say_type(load, key, val);
        return false;
    }
    if (val->count > CONF_LIST_MAX) {
        ax_config_say(load, AX_SEVERITY_ERROR, value_at(load, val), NULL,
                      "'%s' has %zu entries; at most %u are accepted",
                      key->name, val->count, CONF_LIST_MAX);
        return false;
    }
    return true;
}

static bool read_ints(struct conf_load *load, const struct conf_key *key,
                      const struct ax_toml *val, void *to)
{
    uint64_t *numbers = to;
    bool good = true;

    if (!check_array(load, key, val))
        return false;
    load->given[key - ax_config_keys].count = val->count;
    for (size_t i = 0; i < val->count && i < AX_CPUS_MAX; i++)
        good &= ax_config_int(load, &val->items[i], key->name, 0, key->max,
                              &numbers[i]);
    return good;
}

static bool read_flags(struct conf_load *load, const struct conf_key *key,
                       const struct ax_toml *val, void *to)
{
    unsigned flags = 0;
    bool good = true;

    if (!check_array(load, key, val))
        return false;
    for (size_t i = 0; i < val->count; i++) {
        const struct ax_toml *item = &val->items[i];
        unsigned flag = 0;

        good &= read_word(load, key, item, &flag);
        flags |= flag;
    }
    if (good)
        *(unsigned *)to = flags;
    return good;
}

/* Appends the strings of an array to a list that has room for them. */
static bool add_strings(struct conf_load *load, const struct conf_key *key,
                        const struct ax_toml *val, char **list, size_t *count)
{
    bool good = true;

    for (size_t i = 0; i < val->count; i++) {
        const struct ax_toml *item = &val->items[i];

        if (item->type != AX_TOML_STRING) {
            say_type(load, key, item);
            good = false;
        } else if (!*item->string) {
            say_value(load, key, item, "must not contain an empty string");
            good = false;
        } else {
            list[*count] = copy_string(load, item->string);
            *count += list[*count] != NULL;
        }
    }
    return good;
}

static void free_strings(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

/* Replaces *to, a NULL-terminated list, with the strings of the arrays. */
static bool replace_strings(struct conf_load *load, const struct conf_key *key,
                            const struct ax_toml *arrays, size_t count,
                            char ***to)
{
    size_t room = 1, used = 0;
    bool good = true;
    char **list;

    for (size_t i = 0; i < count; i++)
        room += arrays[i].count;
    list = calloc(room, sizeof(*list));
    if (!list) {
        load->err = -ENOMEM;
        return false;
    }
    for (size_t i = 0; i < count; i++)
        good &= add_strings(load, key, &arrays[i], list, &used);
    free_strings(*to);
    *to = list;
    return good;
}

static bool read_strings(struct conf_load *load, const struct conf_key *key,
                         const struct ax_toml *val, void *to)
{
    return check_array(load, key, val) &&
           replace_strings(load, key, val, 1, to);
}

/* A list of lists of paths; a plain list of paths is taken as well. */
static bool read_excluded(struct conf_load *load, const struct conf_key *key,
                          const struct ax_toml *val, void *to)
{
    if (!check_array(load, key, val))
        return false;
    if (val->count && val->items[0].type == AX_TOML_STRING)
        return replace_strings(load, key, val, 1, to);
    for (size_t i = 0; i < val->count; i++) {
        if (!check_array(load, key, &val->items[i]))
            return false;
    }
    return replace_strings(load, key, val->items, val->count, to);
}

static bool read_list(struct conf_load *load, const struct conf_key *key,
                      const struct ax_toml *val, void *to)
{
    unsigned errors = load->errors;

    if (check_array(load, key, val))
        ax_config_read_list(load, key, val);
    return load->errors == errors && !load->err;
}

static read_kind *const readers[CONF_KINDS] = {
    [KIND_INT] = read_int,         [KIND_ADDR] = read_addr,
    [KIND_BOOL] = read_bool,       [KIND_STRING] = read_string,
    [KIND_PATH] = read_path,       [KIND_FILE] = read_file,
    [KIND_CONSOLE] = read_console, [KIND_WORD] = read_word,
    [KIND_SIZE] = read_size,       [KIND_SECONDS] = read_seconds,
    [KIND_LISTEN] = read_listen,   [KIND_FLAGS] = read_flags,
    [KIND_STRINGS] = read_strings, [KIND_EXCLUDED] = read_excluded,
    [KIND_INTS] = read_ints,       [KIND_LIST] = read_list,
};

void ax_config_read_value(struct conf_load *load, enum conf_key_id id,
                          const struct ax_toml *val)
{
    const struct conf_key *key = &ax_config_keys[id];
    struct conf_given *given = &load->given[id];
    char *const bases[] = {
        [HOME_CONFIG] = (char *)load->conf,
        [HOME_EXTRA] = (char *)&load->extra,
        [HOME_ROW] = load->row,
    };

    given->given = true;
    given->val = value_at(load, val);
    given->bad =
        !readers[key->kind](load, key, val, bases[key->home] + key->off);
}
