/*
 * config_names.c - looking up tables and keys, saying what an unknown one was
 * probably meant to be, and what a key takes. Called by the readers.
 */
#include "vmm/config_impl.h"

#include <string.h>

enum { HELP_MAX = 128, SHAPE_MAX = 128 };

enum conf_key_id ax_config_find_key(const char *table, const char *name)
{
    unsigned id = 0;

    while (id < CONF_KEYS && (strcmp(ax_config_keys[id].table, table) ||
                              strcmp(ax_config_keys[id].name, name)))
        id++;
    return (enum conf_key_id)id;
}

bool ax_config_is_table(const char *name)
{
    for (unsigned id = 0; id < CONF_KEYS; id++) {
        if (!strcmp(ax_config_keys[id].table, name))
            return true;
    }
    return false;
}

static enum ax_severity unknown_severity(const struct conf_load *load)
{
    return load->src->lenient ? AX_SEVERITY_WARNING : AX_SEVERITY_ERROR;
}

/*
 * What the name was meant to be: a key of this table, the very name in another
 * table, or something like it there. table NULL: the name stood outside any.
 */
static void guess_key(const char *table, const char *name, char *help)
{
    struct conf_nearest here = {.word = name}, there = {.word = name};
    const char *home = NULL, *neighbour = NULL;

    for (unsigned id = 0; id < CONF_KEYS; id++) {
        const struct conf_key *key = &ax_config_keys[id];
        const char *before = there.best;

        if (table && !strcmp(key->table, table)) {
            ax_config_nearest(&here, key->name);
            continue;
        }
        if (!home && !strcmp(key->name, name))
            home = key->table;
        ax_config_nearest(&there, key->name);
        if (there.best != before)
            neighbour = key->table;
    }
    *help = '\0';
    if (home)
        snprintf(help, HELP_MAX, "%s belongs to [%s]", name, home);
    else if (here.best && (!there.best || here.distance <= there.distance))
        snprintf(help, HELP_MAX, "did you mean '%s'?", here.best);
    else if (there.best)
        snprintf(help, HELP_MAX, "did you mean '%s' of [%s]?", there.best,
                 neighbour);
}

void ax_config_say_unknown_key(struct conf_load *load, struct ax_pos at,
                               const char *table, const char *name)
{
    char help[HELP_MAX];

    guess_key(table, name, help);
    ax_config_say(load, unknown_severity(load), at,
                  &(struct conf_hint){.help = help},
                  "unknown key '%.64s' in [%s]", name, table);
}

static const char *guess_table(const char *name)
{
    struct conf_nearest near = {.word = name};

    for (unsigned id = 0; id < CONF_KEYS; id++)
        ax_config_nearest(&near, ax_config_keys[id].table);
    return near.best;
}

void ax_config_say_unknown_table(struct conf_load *load, struct ax_pos at,
                                 const char *name)
{
    const char *guess = guess_table(name);
    struct conf_hint hint = {0};
    char help[HELP_MAX];

    if (guess) {
        snprintf(help, sizeof(help), "did you mean [%s]?", guess);
        hint.help = help;
    } else {
        hint.expected = "one of [base], [kernel], [memory], [cpu], [devices], "
                        "[console], [debug]";
    }
    ax_config_say(load, unknown_severity(load), at, &hint,
                  "unknown table [%.64s]", name);
}

void ax_config_say_stray_key(struct conf_load *load, struct ax_pos at,
                             const char *name)
{
    char help[HELP_MAX];

    guess_key(NULL, name, help);
    ax_config_say(load, unknown_severity(load), at,
                  &(struct conf_hint){.help = help},
                  "key '%.64s' stands outside any table", name);
}

const char *ax_config_found(const struct ax_toml *val)
{
    static const char *const names[] = {
        [AX_TOML_TABLE] = "a table",         [AX_TOML_ARRAY] = "an array",
        [AX_TOML_STRING] = "a string",       [AX_TOML_INT] = "an integer",
        [AX_TOML_FLOAT] = "a float",         [AX_TOML_BOOL] = "a boolean",
        [AX_TOML_DATE] = "a date or a time",
    };

    return names[val->type];
}

void ax_config_expect_range(char *buf, size_t size, uint64_t min, uint64_t max)
{
    if (max == INT64_MAX)
        snprintf(buf, size, "an integer, %llu or greater",
                 (unsigned long long)min);
    else if (max > 0xfff)
        snprintf(buf, size, "an integer from %#llx to %#llx",
                 (unsigned long long)min, (unsigned long long)max);
    else
        snprintf(buf, size, "an integer from %llu to %llu",
                 (unsigned long long)min, (unsigned long long)max);
}

/* Each value once, by its first word. */
static void expect_words(char *buf, size_t size, const struct conf_word *words)
{
    size_t n = (size_t)snprintf(buf, size, "one of");

    for (const struct conf_word *word = words; word->word; word++) {
        const struct conf_word *first = words;

        while (first->val != word->val)
            first++;
        if (first == word && n < size)
            n += (size_t)snprintf(buf + n, size - n, "%s \"%s\"",
                                  word == words ? "" : ",", word->word);
    }
}

void ax_config_expect(const struct conf_key *key, char *buf, size_t size)
{
    static const char *const fixed[CONF_KINDS] = {
        [KIND_BOOL] = "true or false",
        [KIND_STRING] = "a string",
        [KIND_PATH] = "a path, as a string",
        [KIND_SIZE] = "a size such as \"512M\" or \"4G\", or an integer of "
                      "bytes",
        [KIND_SECONDS] = "seconds, as an integer or a float",
        [KIND_STRINGS] = "an array of strings",
        [KIND_EXCLUDED] = "an array of arrays of paths, such as "
                          "[[\"/gic-v3\"]]",
        [KIND_INTS] = "an array of integers, one per vCPU",
    };
    char shape[SHAPE_MAX];

    if (key->words) {
        expect_words(buf, size, key->words);
    } else if (key->list) {
        ax_config_shape(key->list, shape, sizeof(shape));
        snprintf(buf, size, "an array of %s", shape);
    } else if (fixed[key->kind]) {
        snprintf(buf, size, "%s", fixed[key->kind]);
    } else {
        ax_config_expect_range(buf, size, key->min, key->max);
    }
}
