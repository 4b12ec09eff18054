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

enum { FILE_MAX = 1 << 20, HELP_MAX = 128, MEMORY_DEFAULT_MIB = 256 };

/* One --set: its tree is the table {v = VALUE}. */
struct override {
    enum conf_key_id id; /* CONF_KEYS: reported already */
    unsigned column;     /* characters before the value */
    struct ax_toml *tree;
};

/* ---- the file ---- */

static int read_failed(struct conf_load *load, int err, const char *what)
{
    char text[HELP_MAX];

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

/* ---- names ---- */

static enum conf_key_id find_key(const char *table, const char *name)
{
    unsigned id = 0;

    while (id < CONF_KEYS && (strcmp(ax_config_keys[id].table, table) ||
                              strcmp(ax_config_keys[id].name, name)))
        id++;
    return (enum conf_key_id)id;
}

static bool is_table(const char *name)
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

static void say_unknown_key(struct conf_load *load, struct ax_pos at,
                            const char *table, const char *name)
{
    char help[HELP_MAX];

    guess_key(table, name, help);
    ax_config_say(load, unknown_severity(load), at,
                  &(struct conf_hint){.help = help},
                  "unknown key '%.64s' in [%s]", name, table);
}

static void say_unknown_table(struct conf_load *load, struct ax_pos at,
                              const char *name, bool is_value)
{
    struct conf_nearest near = {.word = name};
    char help[HELP_MAX] = "";

    for (unsigned id = 0; id < CONF_KEYS; id++)
        ax_config_nearest(&near, ax_config_keys[id].table);
    if (is_value)
        guess_key(NULL, name, help);
    if (!*help && near.best)
        snprintf(help, sizeof(help), "did you mean [%s]?", near.best);
    ax_config_say(load, unknown_severity(load), at,
                  &(struct conf_hint){
                      .expected = *help ? NULL
                                        : "one of [base], [kernel], [memory], "
                                          "[cpu], [devices], [console], "
                                          "[debug]",
                      .help = help},
                  is_value ? "key '%.64s' stands outside any table"
                           : "unknown table [%.64s]",
                  name);
}

/* ---- overrides ---- */

static void say_set(struct conf_load *load, unsigned column, const char *text)
{
    ax_config_say(load, AX_SEVERITY_ERROR,
                  (struct ax_pos){CONF_SET | load->set, column},
                  &(struct conf_hint){.expected = "TABLE.KEY=VALUE"}, "%s",
                  text);
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

/* A string of TOML is UTF-8; an argument of a command may be anything. */
static bool is_utf8(const char *text)
{
    struct ax_toml_error ignored;
    struct ax_toml *tree = NULL;
    char *comment;
    bool good;

    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 && *c != '\t' && *c != '\n')
            return false;
    }
    if (asprintf(&comment, "v='''%s'''", text) < 0)
        return false;
    good = strstr(text, "'''") ||
           !ax_toml_parse(comment, strlen(comment), &tree, &ignored);
    ax_toml_destroy(tree);
    free(comment);
    return good;
}

static void parse_override(struct conf_load *load, const char *text,
                           struct override *out)
{
    const char *equals = strchr(text, '='), *dot;
    char *table, *name;

    out->id = CONF_KEYS;
    if (!equals) {
        say_set(load, 1, "an override needs a '='");
        return;
    }
    dot = memchr(text, '.', (size_t)(equals - text));
    if (!dot) {
        say_set(load, 1, "an override needs a table and a key");
        return;
    }
    table = strndup(text, (size_t)(dot - text));
    name = strndup(dot + 1, (size_t)(equals - dot - 1));
    if (!table || !name) {
        load->err = -ENOMEM;
    } else if (!is_table(table)) {
        say_unknown_table(load, (struct ax_pos){CONF_SET | load->set, 1}, table,
                          false);
    } else {
        out->id = find_key(table, name);
        if (out->id == CONF_KEYS)
            say_unknown_key(
                load,
                (struct ax_pos){CONF_SET | load->set,
                                count_chars(text, (size_t)(dot + 1 - text)) + 1},
                table, name);
    }
    free(table);
    free(name);
    if (out->id == CONF_KEYS)
        return;
    out->column = count_chars(text, (size_t)(equals + 1 - text));
    load->err = parse_value(equals + 1, &out->tree);
}
