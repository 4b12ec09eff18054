/*
 * hostconf.c - axvm.conf through inih: a const table of the few keys there are.
 *
 * The only file that includes ini.h. inih is used as Debian builds it: it cuts
 * lines of 200 bytes and takes indented lines as continuations, so our reader
 * looks at every line first and reports what inih would swallow.
 */
#include "conf/hostconf.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_LIMIT = 1 << 16,
    TEXT_MAX = 512,
};

/* Why a value will not do, or NULL. */
typedef const char *check_value(const char *value);

static const char *check_level(const char *value)
{
    enum ax_log_level level;

    return ax_log_parse_level(value, &level)
               ? "expected off, error, warn, info or debug"
               : NULL;
}

static const char *check_text(const char *value)
{
    return *value ? NULL : "the value is empty";
}

static const struct entry {
    const char *section, *key;
    size_t off;
    check_value *check;
} entries[] = {
    {"log", "level", offsetof(struct ax_hostconf, log_level), check_level},
    {"log", "file", offsetof(struct ax_hostconf, log_file), check_text},
    {"console", "mode", offsetof(struct ax_hostconf, console), check_text},
    {"network", "mode", offsetof(struct ax_hostconf, network_mode), check_text},
};

/* One file being read. */
struct reading {
    struct ax_hostconf *conf;
    const char *path;
    FILE *file;
    unsigned line;
    unsigned set[AX_ARRAY_LEN(entries)]; /* the line that set it, 0: none */
    bool lost; /* in a section that was reported: its pairs mean nothing */
    int err;
    ax_hostconf_report *report;
    void *ctx;
};

static void say(struct reading *in, const char *text)
{
    char whole[TEXT_MAX];

    snprintf(whole, sizeof(whole), "%s:%u: %s", in->path, in->line, text);
    if (in->report)
        in->report(in->ctx, whole);
    if (!in->err)
        in->err = -EINVAL;
}

/* Bytes that a terminal would act upon have no place in this file. */
static bool is_plain(const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
            return false;
    }
    return true;
}

/* fgets that drops what does not fit, and says so. */
static bool get_line(FILE *file, char *buf, size_t room, bool *cut)
{
    size_t len = 0;
    int c = fgetc(file);

    *cut = false;
    if (c == EOF)
        return false;
    for (; c != EOF && c != '\n'; c = fgetc(file)) {
        if (len + 1 < room)
            buf[len++] = (char)c;
        else
            *cut = true;
        *cut |= !c; /* a NUL would hide what follows it */
    }
    buf[len] = '\0';
    return true;
}

/* inih skips a UTF-8 byte order mark; so must whoever looks before it. */
static size_t bom_bytes(const char *line)
{
    return strncmp(line, "\xef\xbb\xbf", 3) ? 0 : 3;
}

static bool is_section(const char *name, size_t len)
{
    for (unsigned i = 0; i < AX_ARRAY_LEN(entries); i++) {
        if (!strncmp(entries[i].section, name, len) && !entries[i].section[len])
            return true;
    }
    return false;
}

/* What is wrong with a line before inih sees it, or NULL. */
static const char *check_line(const char *line, bool cut)
{
    const char *start = line + strspn(line, " \t\r");
    size_t len;

    if (cut)
        return "the line is longer than 199 bytes or contains a NUL";
    if (!is_plain(line))
        return "the line contains control characters";
    if (!*start || *start == ';' || *start == '#')
        return NULL;
    if (start != line)
        return "the line is indented; a value cannot be continued";
    if (*line == '[') {
        len = strcspn(line + 1, "]");
        if (!line[1 + len])
            return "the section has no ']'";
        return is_section(line + 1, len)
                   ? NULL
                   : "unknown section; there are [log], [console], [network]";
    }
    return strpbrk(line, "=:") ? NULL : "expected KEY = VALUE";
}

/* inih's fgets. A line that it must not see becomes an empty one. */
static char *read_line(char *buf, int size, void *stream)
{
    struct reading *in = stream;
    const char *line, *problem;
    bool cut;

    if (!get_line(in->file, buf, (size_t)size, &cut))
        return NULL;
    in->line++;
    line = buf + (in->line == 1 ? bom_bytes(buf) : 0);
    problem = check_line(line, cut);
    if (*line == '[')
        in->lost = problem;
    if (!problem)
        return buf;
    say(in, problem);
    *buf = '\0';
    return buf;
}

static void set_value(struct reading *in, unsigned i, const char *value)
{
    char **field = (char **)(void *)((char *)in->conf + entries[i].off);
    const char *problem = entries[i].check(value);
    char text[TEXT_MAX], *copy;

    if (in->set[i]) {
        snprintf(text, sizeof(text), "'%s' was set in line %u already",
                 entries[i].key, in->set[i]);
        say(in, text);
        return;
    }
    in->set[i] = in->line;
    if (problem) {
        snprintf(text, sizeof(text), "'%s' cannot be '%s': %s", entries[i].key,
                 value, problem);
        say(in, text);
        return;
    }
    copy = strdup(value);
    if (!copy) {
        in->err = -ENOMEM;
        return;
    }
    free(*field);
    *field = copy;
}

/* Which keys a section has: "'level' or 'file'". */
static void list_keys(const char *section, char *buf, size_t size)
{
    size_t n = 0;

    for (unsigned i = 0; i < AX_ARRAY_LEN(entries) && n < size; i++) {
        if (!strcmp(entries[i].section, section))
            n += (size_t)snprintf(buf + n, size - n, "%s'%s'", n ? " or " : "",
                                  entries[i].key);
    }
}

/* inih's handler; 1: go on. */
static int take_pair(void *ctx, const char *section, const char *key,
                     const char *value)
{
    struct reading *in = ctx;
    char keys[64] = "", text[TEXT_MAX];

    if (in->lost)
        return 1;
    for (unsigned i = 0; i < AX_ARRAY_LEN(entries); i++) {
        if (!strcmp(entries[i].section, section) &&
            !strcmp(entries[i].key, key)) {
            set_value(in, i, value);
            return 1;
        }
    }
    list_keys(section, keys, sizeof(keys));
    snprintf(text, sizeof(text), "unknown key '%s'; [%s] has %s", key, section,
             keys);
    say(in, *section ? text : "the key stands before any section");
    return 1;
}

/* An open regular file of a sane size, or -errno. */
static int open_file(const char *path, FILE **out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    int err = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st))
        err = -errno;
    else if (!S_ISREG(st.st_mode))
        err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    else if (st.st_size > FILE_LIMIT)
        err = -EFBIG;
    *out = err ? NULL : fdopen(fd, "r");
    if (!err && !*out)
        err = -errno;
    if (err)
        close(fd);
    return err;
}

int ax_hostconf_read(struct ax_hostconf *out, const char *path,
                     ax_hostconf_report *report, void *ctx)
{
    struct reading in = {
        .conf = out, .path = path, .report = report, .ctx = ctx};
    int err = open_file(path, &in.file), line;

    if (err)
        return err;
    line = ini_parse_stream(read_line, &in, take_pair, &in);
    fclose(in.file);
    if (line < 0)
        return -ENOMEM;
    if (line && !in.err) { /* our own look at the lines let something pass */
        in.line = (unsigned)line;
        say(&in, "expected KEY = VALUE");
    }
    return in.err;
}

/* Reads a file that may well not be there. */
static int read_optional(struct ax_hostconf *out, const char *path,
                         ax_hostconf_report *report, void *ctx)
{
    int err = ax_hostconf_read(out, path, report, ctx);
    char text[TEXT_MAX];

    if (err == -ENOENT || err == -ENOTDIR)
        return 0;
    if (err && err != -EINVAL && err != -ENOMEM && report) {
        snprintf(text, sizeof(text), "%s: cannot read: %s", path,
                 strerror(-err));
        report(ctx, text);
        err = -EINVAL;
    }
    return err;
}

/* XDG Base Directory Specification: relative values are to be ignored. */
static char *user_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *path;
    int len = -1;

    if (config && *config == '/')
        len = asprintf(&path, "%s/axvm/axvm.conf", config);
    else if (home && *home == '/')
        len = asprintf(&path, "%s/.config/axvm/axvm.conf", home);
    return len < 0 ? NULL : path;
}

int ax_hostconf_load(struct ax_hostconf *out, ax_hostconf_report *report,
                     void *ctx)
{
    char *user = user_path();
    int err, user_err;

    *out = (struct ax_hostconf){0};
    err = read_optional(out, AX_SYSCONFDIR "/axvm/axvm.conf", report, ctx);
    user_err = user ? read_optional(out, user, report, ctx) : 0;
    free(user);
    return err ? err : user_err;
}

void ax_hostconf_fini(struct ax_hostconf *conf)
{
    free(conf->log_level);
    free(conf->log_file);
    free(conf->console);
    free(conf->network_mode);
    *conf = (struct ax_hostconf){0};
}
