/*
 * config_list.c - lists of structures, which AxVisor lets people write as
 * positional arrays or as inline tables with field names, row by row.
 *
 * Works from struct conf_list alone and does not know what a row means.
 */
#include "vmm/config_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WHAT_MAX = 96, SHAPE_MAX = 128 };

void ax_config_shape(const struct conf_list *list, char *buf, size_t size)
{
    size_t n = 0;

    for (unsigned i = 0; i < list->field_count && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? ", " : "[",
                              list->fields[i].name);
    if (n < size)
        snprintf(buf + n, size - n, "]");
}

static void say_row(struct conf_load *load, const struct conf_list *list,
                    enum ax_severity severity, struct ax_pos at,
                    const char *help, const char *text)
{
    char shape[SHAPE_MAX];

    ax_config_shape(list, shape, sizeof(shape));
    ax_config_say(load, severity, at,
                  &(struct conf_hint){.expected = shape, .help = help}, "%s %s",
                  list->noun, text);
}

static struct ax_pos at(const struct conf_load *load, const struct ax_toml *val)
{
    return ax_config_at(load, val->line, val->column);
}

static void say_type(struct conf_load *load, const struct ax_toml *val,
                     const char *what, const char *expected)
{
    ax_config_say(load, AX_SEVERITY_ERROR, at(load, val),
                  &(struct conf_hint){.expected = expected},
                  "'%s' has the wrong type: found %s", what,
                  ax_config_found(val));
}

/* Pointers of any type live in these fields; memcpy has no opinion on that. */
static void *get_pointer(const char *from)
{
    void *pointer;

    memcpy(&pointer, from, sizeof(pointer));
    return pointer;
}

static void set_pointer(char *to, void *pointer)
{
    memcpy(to, &pointer, sizeof(pointer));
}

static void read_numbers(struct conf_load *load, const struct conf_field *field,
                         const struct ax_toml *val, const char *what, char *row)
{
    uint64_t *numbers;

    if (val->type != AX_TOML_ARRAY) {
        say_type(load, val, what, "an array of integers");
        return;
    }
    if (val->count > CONF_LIST_MAX) {
        ax_config_say(load, AX_SEVERITY_ERROR, at(load, val), NULL,
                      "'%s' has %zu entries; at most %u are accepted", what,
                      val->count, CONF_LIST_MAX);
        return;
    }
    numbers = calloc(val->count + 1, sizeof(*numbers));
    if (!numbers) {
        load->err = -ENOMEM;
        return;
    }
    set_pointer(row + field->off, numbers);
    *(unsigned *)(void *)(row + field->count_off) = (unsigned)val->count;
    for (size_t i = 0; i < val->count; i++)
        ax_config_int(load, &val->items[i], what, 0, field->max, &numbers[i]);
}

static void read_cell(struct conf_load *load, const struct conf_list *list,
                      const struct conf_field *field, const struct ax_toml *val,
                      char *row)
{
    void *to = row + field->off;
    char what[WHAT_MAX];
    uint64_t number;

    snprintf(what, sizeof(what), "%s of %s", field->name, list->noun);
    if (field->cell == CELL_INTS) {
        read_numbers(load, field, val, what, row);
    } else if (field->cell == CELL_NAME) {
        if (val->type != AX_TOML_STRING) {
            say_type(load, val, what, "a string");
            return;
        }
        *(char **)to = strdup(val->string);
        if (!*(char **)to)
            load->err = -ENOMEM;
    } else if (ax_config_int(load, val, what, 0, field->max, &number)) {
        if (field->size == sizeof(unsigned))
            *(unsigned *)to = (unsigned)number;
        else
            *(uint64_t *)to = number;
    }
}

/* seen: a bit per field that is there. */
static void check_missing(struct conf_load *load, const struct conf_list *list,
                          const struct ax_toml *val, unsigned seen)
{
    char text[SHAPE_MAX] = "has no";
    size_t n = strlen(text), start = n;

    for (unsigned f = 0; f < list->field_count && n < sizeof(text); f++) {
        if (list->fields[f].required && !(seen >> f & 1))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s '%s'",
                                  n > start ? "," : "", list->fields[f].name);
    }
    if (n > start)
        say_row(load, list, AX_SEVERITY_ERROR, at(load, val), NULL, text);
}

static void read_positional(struct conf_load *load,
                            const struct conf_list *list,
                            const struct ax_toml *val, char *row)
{
    char text[WHAT_MAX];

    if (val->count > list->field_count) {
        snprintf(text, sizeof(text), "has %zu fields, not %u", val->count,
                 list->field_count);
        say_row(load, list, AX_SEVERITY_ERROR,
                at(load, &val->items[list->field_count]), NULL, text);
        return;
    }
    for (unsigned i = 0; i < val->count; i++)
        read_cell(load, list, &list->fields[i], &val->items[i], row);
    check_missing(load, list, val, (1U << val->count) - 1);
}

/* The field that was probably meant, as a bit: it does not count as missing. */
static unsigned say_unknown_field(struct conf_load *load,
                                  const struct conf_list *list,
                                  const struct ax_toml *item)
{
    struct conf_nearest near = {.word = item->key};
    char text[WHAT_MAX], help[WHAT_MAX] = "";
    unsigned guess = 0;

    for (unsigned f = 0; f < list->field_count; f++) {
        if (ax_config_nearest(&near, list->fields[f].name))
            guess = 1U << f;
    }
    if (near.best)
        snprintf(help, sizeof(help), "did you mean '%s'?", near.best);
    snprintf(text, sizeof(text), "has no field '%.48s'", item->key);
    say_row(load, list, ax_config_unknown(load),
            ax_config_at(load, item->key_line, item->key_column), help, text);
    return load->src->lenient ? 0 : guess;
}

static void read_named(struct conf_load *load, const struct conf_list *list,
                       const struct ax_toml *val, char *row)
{
    unsigned seen = 0;

    for (size_t i = 0; i < val->count; i++) {
        unsigned f = 0;

        while (f < list->field_count &&
               strcmp(list->fields[f].name, val->items[i].key))
            f++;
        if (f == list->field_count) {
            seen |= say_unknown_field(load, list, &val->items[i]);
            continue;
        }
        seen |= 1U << f;
        read_cell(load, list, &list->fields[f], &val->items[i], row);
    }
    check_missing(load, list, val, seen);
}

static void free_rows(const struct conf_list *list, char *rows, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char *row = rows + (size_t)i * list->size;

        for (unsigned f = 0; f < list->field_count; f++) {
            const struct conf_field *field = &list->fields[f];

            if (field->cell == CELL_NAME || field->cell == CELL_INTS)
                free(get_pointer(row + field->off));
        }
    }
    free(rows);
}

void ax_config_free_lists(struct ax_config *conf)
{
    for (unsigned i = 0; i < CONF_KEYS; i++) {
        const struct conf_key *key = &ax_config_keys[i];
        char *base = (char *)conf;

        if (key->kind == KIND_LIST)
            free_rows(key->list, get_pointer(base + key->off),
                      *(unsigned *)(void *)(base + key->list->count_off));
    }
}

void ax_config_read_list(struct conf_load *load, const struct conf_key *key,
                         const struct ax_toml *val)
{
    const struct conf_list *list = key->list;
    char *base = (char *)load->conf;
    char *rows = calloc(val->count + 1, list->size);

    if (!rows) {
        load->err = -ENOMEM;
        return;
    }
    set_pointer(base + key->off, rows);
    *(unsigned *)(void *)(base + list->count_off) = (unsigned)val->count;
    load->given[key - ax_config_keys].count = val->count;
    for (size_t i = 0; i < val->count; i++) {
        const struct ax_toml *item = &val->items[i];
        char *row = rows + i * list->size;

        *(struct ax_pos *)(void *)(row + list->pos_off) = at(load, item);
        if (item->type == AX_TOML_ARRAY)
            read_positional(load, list, item, row);
        else if (item->type == AX_TOML_TABLE)
            read_named(load, list, item, row);
        else
            say_row(load, list, AX_SEVERITY_ERROR, at(load, item), NULL,
                    "must be an array or an inline table");
    }
}
