/*
 * config_set.c - overrides from the command line: "TABLE.KEY=VALUE", where the
 * value is TOML or, if it is none, a string without quotes.
 */
#include "vmm/config_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void say_set(struct conf_load *load, const char *text)
{
    ax_config_say(
        load, AX_SEVERITY_ERROR, (struct ax_pos){CONF_SET | load->set, 1},
        &(struct conf_hint){.expected = "TABLE.KEY=VALUE"}, "%s", text);
}

/* Characters, not bytes, as toml++ counts columns. */
static unsigned count_chars(const char *s, size_t len)
{
    unsigned count = 0;

    for (size_t i = 0; i < len; i++)
        count += (s[i] & 0xc0) != 0x80;
    return count;
}

/* A lone string: what a shell user writes without the quotes of TOML. */
static int bare_string(const char *value, struct ax_toml **out)
{
    struct ax_toml *root = calloc(1, sizeof(*root));

    *out = root;
    if (!root)
        return -ENOMEM;
    root->items = calloc(1, sizeof(*root->items));
    if (!root->items)
        return -ENOMEM;
    root->count = 1;
    root->items[0] = (struct ax_toml){
        .type = AX_TOML_STRING,
        .line = 1,
        .column = 3,
        .string = strdup(value),
    };
    return root->items[0].string ? 0 : -ENOMEM;
}

static int parse_value(const char *value, struct ax_toml **out)
{
    struct ax_toml_error ignored;
    char *text;
    int err;

    if (asprintf(&text, "v=%s", value) < 0)
        return -ENOMEM;
    err = ax_toml_parse(text, strlen(text), out, &ignored);
    free(text);
    if (!err && (*out)->count == 1 && !strcmp((*out)->items[0].key, "v"))
        return 0;
    if (err == -ENOMEM)
        return err;
    ax_toml_destroy(*out);
    *out = NULL;
    return bare_string(value, out);
}

/* Splits "TABLE.KEY" and looks it up. */
static enum conf_key_id find_target(struct conf_load *load, const char *text,
                                    size_t len)
{
    const char *dot = memchr(text, '.', len);
    struct ax_pos at = {CONF_SET | load->set, 1};
    enum conf_key_id id = CONF_KEYS;
    char *table, *name;

    if (!dot) {
        say_set(load, "an override needs a table and a key");
        return CONF_KEYS;
    }
    table = strndup(text, (size_t)(dot - text));
    name = strndup(dot + 1, (size_t)(text + len - dot - 1));
    if (!table || !name) {
        load->err = -ENOMEM;
    } else if (!ax_config_is_table(table) && ax_config_find_rows(table)) {
        ax_config_say(load, AX_SEVERITY_ERROR, at, NULL,
                      "[[%s]] cannot be overridden: there may be several",
                      table);
    } else if (!ax_config_is_table(table)) {
        ax_config_say_unknown_table(load, at, table);
    } else {
        id = ax_config_find_key(table, name);
        at.column += count_chars(text, (size_t)(dot + 1 - text));
        if (id == CONF_KEYS)
            ax_config_say_unknown_key(load, at, table, name);
    }
    free(table);
    free(name);
    return id;
}

void ax_config_parse_set(struct conf_load *load, const char *text,
                         struct conf_set *out)
{
    const char *equals = strchr(text, '=');
    int err;

    *out = (struct conf_set){.id = CONF_KEYS};
    if (!ax_config_is_clean(text)) {
        say_set(load, "an override must be one line of UTF-8 text");
        return;
    }
    if (!equals) {
        say_set(load, "an override needs a '='");
        return;
    }
    out->id = find_target(load, text, (size_t)(equals - text));
    if (out->id == CONF_KEYS)
        return;
    out->column = count_chars(text, (size_t)(equals + 1 - text));
    err = parse_value(equals + 1, &out->tree);
    if (err)
        load->err = err;
}
