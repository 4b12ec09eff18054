/*
 * config.c - a guest file, overrides and host defaults into a struct ax_config.
 *
 * The order: overrides are parsed, the file is read but for what they replace,
 * then they are read, then everything is checked together. Nothing stops at
 * the first problem but a file that is no TOML at all.
 */
#include "conf/hostconf.h"
#include "vmm/config_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, TEXT_MAX = 128 };

/* ---- the file ---- */

static int read_failed(struct conf_load *load, int err, const char *what)
{
    char text[TEXT_MAX];

    snprintf(text, sizeof(text), "%s%s%s", what, err ? ": " : "",
             err ? strerror(err) : "");
    ax_config_say_file(load, text);
    return err ? -err : -EINVAL;
}

static int read_all(struct conf_load *load, int fd, char *buf, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, buf + done, size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return read_failed(load, errno, "cannot read");
        if (!n)
            break;
        done += (size_t)n;
    }
    load->size = done;
    return 0;
}

static int read_open_file(struct conf_load *load, int fd, char **text)
{
    struct stat st;

    if (fstat(fd, &st))
        return read_failed(load, errno, "cannot read");
    if (S_ISDIR(st.st_mode))
        return read_failed(load, EISDIR, "cannot read");
    if (!S_ISREG(st.st_mode))
        return read_failed(load, 0, "not a regular file");
    if (st.st_size > FILE_MAX)
        return read_failed(load, EFBIG, "larger than 1 MiB");
    *text = malloc((size_t)st.st_size + 1);
    if (!*text)
        return -ENOMEM;
    load->text = *text;
    return read_all(load, fd, *text, (size_t)st.st_size);
}

/* *text: what to free. Opening must not wait, not even for a FIFO's writer. */
static int read_file(struct conf_load *load, char **text)
{
    int fd, err;

    if (load->src->text) {
        load->text = load->src->text;
        load->size = load->src->size;
        return load->size > FILE_MAX
                   ? read_failed(load, EFBIG, "larger than 1 MiB")
                   : 0;
    }
    fd = open(load->src->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return read_failed(load, errno, "cannot open");
    err = read_open_file(load, fd, text);
    close(fd);
    return err;
}

/* ---- the tree ---- */

void ax_config_read_keys(struct conf_load *load, const char *name,
                         const struct ax_toml *table,
                         const struct ax_toml *done)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct ax_toml *item = &table->items[i];
        struct ax_pos at = {item->key_line, item->key_column};
        enum conf_key_id id = ax_config_find_key(name, item->key);

        if (done && done == item)
            continue;
        if (id == CONF_KEYS)
            ax_config_say_unknown_key(load, at, name, item->key);
        else if (!load->won[id])
            ax_config_read_value(load, id, item);
    }
}

static void say_shape(struct conf_load *load, const struct ax_toml *item,
                      bool table, const struct conf_rows *rows)
{
    struct ax_pos at = {item->key_line, item->key_column};
    char expected[64] = "a table";

    if (rows)
        snprintf(expected, sizeof(expected), "%s[%s], a table for each",
                 table ? "a table, or " : "", rows->table);
    ax_config_say(
        load, AX_SEVERITY_ERROR, at, &(struct conf_hint){.expected = expected},
        "'%s' has the wrong type: found %s", item->key, ax_config_found(item));
}

static void walk_file(struct conf_load *load, const struct ax_toml *root)
{
    for (size_t i = 0; i < root->count; i++) {
        const struct ax_toml *item = &root->items[i];
        const struct conf_rows *rows = ax_config_find_rows(item->key);
        struct ax_pos at = {item->key_line, item->key_column};
        bool table = ax_config_is_table(item->key);

        if (item->type == AX_TOML_TABLE && table) {
            if (!strcmp(item->key, "kernel"))
                load->kernel = at;
            ax_config_read_keys(load, item->key, item, NULL);
        } else if (item->type == AX_TOML_ARRAY && rows) {
            ax_config_read_rows(load, rows, item);
        } else if (table || rows) {
            say_shape(load, item, table, rows);
        } else if (item->type == AX_TOML_TABLE) {
            ax_config_say_unknown_table(load, at, item->key);
        } else {
            ax_config_say_stray_key(load, at, item->key);
        }
    }
}

static int parse_file(struct conf_load *load, struct ax_toml **root)
{
    struct ax_toml_error error;
    int err = ax_toml_parse(load->text, load->size, root, &error);

    if (err == -EINVAL)
        ax_config_say(load, AX_SEVERITY_ERROR,
                      (struct ax_pos){error.line, error.column}, NULL,
                      "invalid TOML: %s", error.text);
    return err;
}

static int read_values(struct conf_load *load, struct conf_set *sets,
                       unsigned count)
{
    struct ax_toml *root = NULL;
    int err;

    for (unsigned i = 0; i < count; i++) {
        load->set = i + 1;
        ax_config_parse_set(load, load->src->sets[i], &sets[i]);
        load->won[sets[i].id] = i + 1;
    }
    load->set = 0;
    err = parse_file(load, &root);
    if (!err)
        walk_file(load, root);
    ax_toml_destroy(root);
    for (unsigned i = 0; !err && !load->err && i < count; i++) {
        load->set = i + 1;
        load->set_column = sets[i].column;
        if (sets[i].tree && load->won[sets[i].id] == i + 1)
            ax_config_read_value(load, sets[i].id, &sets[i].tree->items[0]);
    }
    load->set = 0;
    return err;
}

static int read_everything(struct conf_load *load)
{
    struct conf_set *sets;
    unsigned count = 0;
    int err;

    while (load->src->sets && load->src->sets[count])
        count++;
    sets = calloc(count + 1, sizeof(*sets));
    if (!sets)
        return -ENOMEM;
    err = read_values(load, sets, count);
    for (unsigned i = 0; i < count; i++)
        ax_toml_destroy(sets[i].tree);
    free(sets);
    return err;
}

/* ---- positions in overrides mean nothing once their text is gone ---- */

static void forget_set(struct ax_pos *at)
{
    if (at->line & CONF_SET)
        *at = (struct ax_pos){0, 0};
}

static void forget_sets(struct ax_config *conf)
{
    struct ax_pos *const all[] = {
        &conf->arch_pos,        &conf->kernel.pos,      &conf->initrd.pos,
        &conf->dtb.pos,         &conf->bios.pos,        &conf->entry.pos,
        &conf->kernel_load.pos, &conf->initrd_load.pos, &conf->dtb_load.pos,
        &conf->bios_load.pos,
    };

    for (unsigned i = 0; i < AX_ARRAY_LEN(all); i++)
        forget_set(all[i]);
    for (unsigned i = 0; i < conf->region_count; i++)
        forget_set(&conf->regions[i].pos);
    for (unsigned i = 0; i < conf->emu_count; i++)
        forget_set(&conf->emu[i].pos);
    for (unsigned i = 0; i < conf->passthrough_count; i++)
        forget_set(&conf->passthrough[i].pos);
    for (unsigned i = 0; i < conf->window_count; i++)
        forget_set(&conf->windows[i].pos);
    for (unsigned i = 0; i < conf->port_count; i++)
        forget_set(&conf->ports[i].pos);
    for (unsigned i = 0; i < conf->disk_count; i++)
        forget_set(&conf->disks[i].pos); /* AxVisor's disk_path is a key */
}

/* ---- the door ---- */

static struct ax_config *config_new(const char *file)
{
    struct ax_config *conf = calloc(1, sizeof(*conf));

    if (!conf)
        return NULL;
    conf->file = strdup(file);
    conf->cpu_hide = calloc(1, sizeof(*conf->cpu_hide));
    conf->cpu_expose = calloc(1, sizeof(*conf->cpu_expose));
    conf->excluded = calloc(1, sizeof(*conf->excluded));
    if (!conf->file || !conf->cpu_hide || !conf->cpu_expose ||
        !conf->excluded) {
        ax_config_destroy(conf);
        return NULL;
    }
    conf->vm_type = 1;
    conf->cpu_num = 1;
    conf->stop_timeout_ns = 10000000000ULL;
    conf->escapes = true;
    conf->debug_exit = true;
    conf->debug_port = true;
    conf->balloon.deflate_on_oom = true;
    conf->balloon.free_page_reporting = true;
    conf->rng = true;
    return conf;
}

int ax_config_load(const struct ax_config_source *src, struct ax_config **out)
{
    struct conf_load load = {.src = src, .conf = config_new(src->file)};
    char *text = NULL;
    int err = load.conf ? 0 : -ENOMEM;

    *out = NULL;
    if (!err)
        err = read_file(&load, &text);
    if (!err)
        err = read_everything(&load);
    if (!err && !load.err)
        ax_config_check(&load);
    if (!err)
        err = load.err;
    if (!err && load.errors)
        err = -EINVAL;
    ax_config_say_rest(&load);
    free(text);
    free(load.extra.uefi_firmware.path);
    free(load.extra.initrd.path);
    free(load.extra.disk.path);
    if (err) {
        ax_config_destroy(load.conf);
        return err;
    }
    forget_sets(load.conf);
    *out = load.conf;
    return 0;
}

static void strings_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void ax_config_destroy(struct ax_config *conf)
{
    if (!conf)
        return;
    ax_config_free_lists(conf);
    ax_config_free_rows(conf);
    strings_free(conf->cpu_hide);
    strings_free(conf->cpu_expose);
    strings_free(conf->excluded);
    free(conf->kernel.path);
    free(conf->initrd.path);
    free(conf->dtb.path);
    free(conf->bios.path);
    free(conf->vsock.uds);
    free(conf->cmdline);
    free(conf->console);
    free(conf->gdb);
    free(conf->arch);
    free(conf->name);
    free(conf->file);
    free(conf);
}
