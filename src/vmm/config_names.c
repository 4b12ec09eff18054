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
    if (*name == '[') /* in quotes: not the array that we call so */
        return false;
    for (unsigned id = 0; id < CONF_KEYS; id++) {
        if (!strcmp(ax_config_keys[id].table, name))
            return true;
    }
    return false;
}

enum ax_severity ax_config_unknown(const struct conf_load *load)
{
    return load->src->lenient ? AX_SEVERITY_WARNING : AX_SEVERITY_ERROR;
}

/*
 * What the name was meant to be: the very name in another table, a key of this
 * table, or something like it elsewhere. table NULL: it stood outside any.
 */
static enum conf_key_id guess_key(const char *table, const char *name)
{
    struct conf_nearest near = {.word = name};
    enum conf_key_id guess = CONF_KEYS;

    for (unsigned id = 0; id < CONF_KEYS; id++) {
        const struct conf_key *key = &ax_config_keys[id];

        /* "path" and the like say little: not those of rows. */
        if (key->home != HOME_ROW && !strcmp(key->name, name))
            return (enum conf_key_id)id;
    }
    for (int elsewhere = 0; elsewhere <= 1; elsewhere++) {
        for (unsigned id = 0; id < CONF_KEYS; id++) {
            const struct conf_key *key = &ax_config_keys[id];

            if (elsewhere && guess != CONF_KEYS && key->home == HOME_ROW)
                continue; /* the one of this table is likelier */
            if ((!table || strcmp(key->table, table)) == elsewhere &&
                ax_config_nearest(&near, key->name))
                guess = (enum conf_key_id)id;
        }
    }
    return guess;
}

/*
 * What was probably meant counts as given and wrong, so that nothing complains
 * about its absence: one mistake, one message.
 */
static void say_guess(struct conf_load *load, struct ax_pos at,
                      const char *table, const char *name, const char *text)
{
    enum conf_key_id id = guess_key(table, name);
    const struct conf_key *key = &ax_config_keys[id];
    char help[HELP_MAX] = "";

    if (id != CONF_KEYS && !strcmp(key->name, name))
        snprintf(help, sizeof(help), "%s belongs to [%s]", name, key->table);
    else if (id != CONF_KEYS && table && !strcmp(key->table, table))
        snprintf(help, sizeof(help), "did you mean '%s'?", key->name);
    else if (id != CONF_KEYS)
        snprintf(help, sizeof(help), "did you mean '%s' of [%s]?", key->name,
                 key->table);
    if (id != CONF_KEYS && !load->src->lenient && !load->given[id].given)
        load->given[id].given = load->given[id].bad = true;
    ax_config_say(load, ax_config_unknown(load), at,
                  &(struct conf_hint){.help = help}, "%s", text);
}

void ax_config_say_unknown_key(struct conf_load *load, struct ax_pos at,
                               const char *table, const char *name)
{
    char text[HELP_MAX];

    snprintf(text, sizeof(text), "unknown key '%.64s' in [%s]", name, table);
    say_guess(load, at, table, name, text);
}

void ax_config_say_stray_key(struct conf_load *load, struct ax_pos at,
                             const char *name)
{
    char text[HELP_MAX];

    snprintf(text, sizeof(text), "key '%.64s' stands outside any table", name);
    say_guess(load, at, NULL, name, text);
}

/* As struct conf_key has it; NULL: nothing is like it. */
static const char *guess_table(const char *name)
{
    struct conf_nearest near = {.word = name};
    const char *guess = NULL;

    for (unsigned id = 0; id < CONF_KEYS; id++) {
        const char *table = ax_config_keys[id].table;
        char bare[HELP_MAX];

        snprintf(bare, sizeof(bare), "%s", table + (*table == '['));
        bare[strcspn(bare, "]")] = '\0';
        if (!strcmp(bare, name))
            return table;
        if (ax_config_nearest(&near, bare))
            guess = table;
    }
    return guess;
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
                        "[[disk]], [[net]], [console], [[console]], "
                        "[[share]], [vsock], [balloon], [rng], [virtio], "
                        "[debug]";
    }
    ax_config_say(load, ax_config_unknown(load), at, &hint,
                  "unknown table [%.64s]", name);
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
        [KIND_FILE] = "a path, as a string",
        [KIND_CONSOLE] = "stdio, pty, unix:PATH, file:PATH or none, as a "
                         "string",
        [KIND_SIZE] = "a size such as \"512M\" or \"4G\", or an integer of "
                      "bytes",
        [KIND_SECONDS] = "seconds, as an integer or a float",
        [KIND_LISTEN] = "a port, \"HOST:PORT\" or \"unix:PATH\"",
        [KIND_STRINGS] = "an array of strings",
        [KIND_EXCLUDED] = "an array of arrays of paths, such as "
                          "[[\"/gic-v3\"]]",
        [KIND_INTS] = "an array of integers, one per vCPU",
    };
    char shape[SHAPE_MAX];

    if (key->kind == KIND_FLAGS) {
        snprintf(buf, size, "an array, each ");
        expect_words(buf + strlen(buf), size - strlen(buf), key->words);
    } else if (key->words) {
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
