/*
 * config_rows.c - arrays of tables ([[disk]]): each is a row, and its keys are
 * read as those of a table are, into the row.
 *
 * Works from struct conf_rows and the key table, and knows what a row means
 * only where [[console]] may be the serial line. Called by the config*.c.
 */
#include "vmm/config_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Pointers of any type live in these fields; memcpy has no opinion on that. */
static void *get_pointer(const char *from)
{
    void *pointer;

    memcpy(&pointer, from, sizeof(pointer));
    return pointer;
}

const struct conf_rows *ax_config_find_rows(const char *name)
{
    const size_t len = strlen(name);

    for (unsigned i = 0; i < CONF_ROWS; i++) {
        const struct conf_rows *rows = &ax_config_rows[i];

        if (!strncmp(rows->table + 1, name, len) &&
            !strcmp(rows->table + 1 + len, "]"))
            return rows;
    }
    return NULL;
}

unsigned ax_config_row_count(const struct ax_config *conf,
                             const struct conf_rows *rows)
{
    const void *count = (const char *)conf + rows->count_off;

    return *(const unsigned *)count;
}

char *ax_config_row(const struct ax_config *conf, const struct conf_rows *rows,
                    unsigned index)
{
    return (char *)get_pointer((const char *)conf + rows->off) +
           (size_t)index * rows->size;
}

void *ax_config_add_row(struct conf_load *load, const struct conf_rows *rows,
                        struct ax_pos pos)
{
    const unsigned count = ax_config_row_count(load->conf, rows);
    char *base = (char *)load->conf, *all, *row;

    all = reallocarray(get_pointer(base + rows->off), count + 1UL, rows->size);
    if (!all) {
        load->err = -ENOMEM;
        return NULL;
    }
    memcpy(base + rows->off, &all, sizeof(all));
    *(unsigned *)(void *)(base + rows->count_off) = count + 1;
    row = all + (size_t)count * rows->size;
    memcpy(row, rows->defaults, rows->size);
    *(struct ax_pos *)(void *)(row + rows->pos_off) = pos;
    return row;
}

/* ---- reading ---- */

static struct ax_pos at(const struct conf_load *load, const struct ax_toml *val)
{
    return ax_config_at(load, val->line, val->column);
}

/* Nothing is known of the keys of the row that comes. */
static void forget_keys(struct conf_load *load, const char *table)
{
    for (unsigned id = 0; id < CONF_KEYS; id++) {
        if (!strcmp(ax_config_keys[id].table, table))
            load->given[id] = (struct conf_given){0};
    }
}

/* [[console]] device = "serial": the keys of [console], in an array of it. */
static void read_serial(struct conf_load *load, const struct ax_toml *val,
                        const struct ax_toml *device)
{
    if (load->serial.line) {
        ax_config_say(load, AX_SEVERITY_ERROR, at(load, val), NULL,
                      "the serial line has a [[console]] already, in line %u",
                      load->serial.line);
        return;
    }
    load->serial = at(load, val);
    ax_config_read_keys(load, "console", val, device);
}

/* Is it the serial line? That, or a mistake, is the end of the row. */
static bool read_device(struct conf_load *load, const struct ax_toml *val,
                        const struct ax_toml *device)
{
    load->extra.console_device = CONSOLE_VIRTIO;
    if (!device)
        return false;
    ax_config_read_value(load, KEY_VCONSOLE_DEVICE, device);
    if (load->extra.console_device == CONSOLE_SERIAL)
        read_serial(load, val, device);
    return load->given[KEY_VCONSOLE_DEVICE].bad ||
           load->extra.console_device == CONSOLE_SERIAL;
}

static void read_row(struct conf_load *load, const struct conf_rows *rows,
                     const struct ax_toml *val)
{
    const struct ax_toml *device = NULL;

    forget_keys(load, rows->table);
    if (rows == &ax_config_rows[ROWS_VCONSOLE]) {
        device = ax_toml_get(val, "device");
        if (read_device(load, val, device))
            return;
    }
    load->row = ax_config_add_row(load, rows, at(load, val));
    if (!load->row)
        return;
    ax_config_read_keys(load, rows->table, val, device);
    rows->check(load, load->row);
    load->row = NULL;
}

void ax_config_read_rows(struct conf_load *load, const struct conf_rows *rows,
                         const struct ax_toml *val)
{
    if (val->count > CONF_LIST_MAX) {
        ax_config_say(load, AX_SEVERITY_ERROR, at(load, val), NULL,
                      "%zu tables [%s]; at most %u are accepted", val->count,
                      rows->table, CONF_LIST_MAX);
        return;
    }
    for (size_t i = 0; !load->err && i < val->count; i++) {
        const struct ax_toml *item = &val->items[i];

        if (item->type == AX_TOML_TABLE)
            read_row(load, rows, item);
        else
            ax_config_say(load, AX_SEVERITY_ERROR, at(load, item), NULL,
                          "[%s] must be a table: found %s", rows->table,
                          ax_config_found(item));
    }
}

/* ---- the end ---- */

static void free_strings(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static void free_field(const struct conf_key *key, const char *row)
{
    switch (key->kind) {
    case KIND_STRING:
    case KIND_FILE:
    case KIND_CONSOLE:
        free(get_pointer(row + key->off));
        break;
    case KIND_STRINGS:
        free_strings(get_pointer(row + key->off));
        break;
    default:
        break;
    }
}

static void free_row(const struct conf_rows *rows, const char *row)
{
    for (unsigned id = 0; id < CONF_KEYS; id++) {
        const struct conf_key *key = &ax_config_keys[id];

        if (key->home == HOME_ROW && !strcmp(key->table, rows->table))
            free_field(key, row);
    }
}

void ax_config_free_rows(struct ax_config *conf)
{
    for (unsigned i = 0; i < CONF_ROWS; i++) {
        const struct conf_rows *rows = &ax_config_rows[i];

        for (unsigned n = 0; n < ax_config_row_count(conf, rows); n++)
            free_row(rows, ax_config_row(conf, rows, n));
        free(get_pointer((const char *)conf + rows->off));
    }
}
