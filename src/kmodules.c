/*
 * kmodules.c - modules.dep and modules.builtin, line by line.
 */
#include "kmodules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Linux boot protocol (Documentation/arch/x86/boot.rst): the setup header. */
enum {
    HEADER_MAGIC = 0x202,
    HEADER_VERSION_AT = 0x20e, /* offset of the text, less 0x200 */
    HEADER_SIZE = 0x210,
    SECTOR = 0x200,
};

int ax_kmodules_release(const char *path, char *release, size_t size)
{
    uint8_t head[HEADER_SIZE];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    off_t at;

    if (fd < 0)
        return -errno;
    n = pread(fd, head, sizeof(head), 0);
    if (n != sizeof(head) || memcmp(head + HEADER_MAGIC, "HdrS", 4)) {
        close(fd);
        return n < 0 ? -EIO : -ENOEXEC;
    }
    at = (off_t)(head[HEADER_VERSION_AT] | head[HEADER_VERSION_AT + 1] << 8) +
         SECTOR;
    n = pread(fd, release, size - 1, at);
    close(fd);
    if (n <= 0 || at == SECTOR)
        return -ENOEXEC;
    release[n] = '\0';
    if (strcspn(release, " ") == (size_t)n)
        return -ENAMETOOLONG;
    release[strcspn(release, " ")] = '\0';
    return strchr(release, '/') || !*release ? -ENOEXEC : 0;
}

/* ---- names ---- */

static char plain(char c)
{
    return (char)(c == '-' ? '_' : c);
}

/* Is this path, of len characters, the module of that name? */
static bool is_module(const char *path, size_t len, const char *name)
{
    size_t start = len, n = 0;

    while (start && path[start - 1] != '/')
        start--;
    for (; start < len && name[n] && plain(path[start]) == plain(name[n]);
         start++)
        n++;
    return !name[n] && len - start >= 3 && !memcmp(path + start, ".ko", 3);
}

static int list_add(struct ax_kmodules *list, const char *dir, const char *path,
                    size_t len)
{
    char **grown, *whole;

    if (asprintf(&whole, "%s/%.*s", dir, (int)len, path) < 0)
        return -ENOMEM;
    for (unsigned i = 0; i < list->count; i++) {
        if (!strcmp(list->paths[i], whole)) {
            free(whole);
            return 0;
        }
    }
    grown = realloc(list->paths, (list->count + 1) * sizeof(*grown));
    if (!grown) {
        free(whole);
        return -ENOMEM;
    }
    list->paths = grown;
    list->paths[list->count++] = whole;
    return 0;
}

/*
 * "kernel/a.ko: kernel/b.ko kernel/c.ko": all that a needs, each before what it
 * needs itself; so they are taken from the end.
 */
static int take_line(struct ax_kmodules *list, const char *dir, char *line,
                     size_t name_len)
{
    char *deps = line + name_len + 1, *at = deps + strlen(deps);
    int err = 0;

    while (at > deps && !err) {
        char *end = at;

        while (end > deps && strchr(" \n", end[-1]))
            end--;
        for (at = end; at > deps && at[-1] != ' ';)
            at--;
        if (end > at)
            err = list_add(list, dir, at, (size_t)(end - at));
    }
    return err ? err : list_add(list, dir, line, name_len);
}

static FILE *open_index(const char *dir, const char *name)
{
    char *path;
    FILE *file;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return NULL;
    file = fopen(path, "re");
    free(path);
    return file;
}

static int find_file(struct ax_kmodules *list, const char *dir,
                     const char *name)
{
    FILE *file = open_index(dir, "modules.dep");
    char *line = NULL;
    size_t room = 0;
    int err = -ENOENT;

    if (!file)
        return -ENOTDIR;
    while (err == -ENOENT && getline(&line, &room, file) > 0) {
        const size_t len = strcspn(line, ":");

        if (line[len] && is_module(line, len, name))
            err = take_line(list, dir, line, len);
    }
    free(line);
    fclose(file);
    return err;
}

static bool is_built_in(const char *dir, const char *name)
{
    FILE *file = open_index(dir, "modules.builtin");
    char *line = NULL;
    size_t room = 0;
    bool found = false;

    if (!file)
        return false;
    while (!found && getline(&line, &room, file) > 0)
        found = is_module(line, strcspn(line, "\n"), name);
    free(line);
    fclose(file);
    return found;
}

int ax_kmodules_find(const char *dir, const char *const *names,
                     struct ax_kmodules *out, const char **missing)
{
    int err = 0;

    *out = (struct ax_kmodules){0};
    *missing = NULL;
    for (; *names && !err; names++) {
        err = find_file(out, dir, *names);
        if (err == -ENOENT && is_built_in(dir, *names))
            err = 0;
        if (err == -ENOENT)
            *missing = *names;
    }
    if (err)
        ax_kmodules_fini(out);
    return err == -ENOTDIR ? -ENOENT : err;
}

void ax_kmodules_fini(struct ax_kmodules *modules)
{
    for (unsigned i = 0; i < modules->count; i++)
        free(modules->paths[i]);
    free(modules->paths);
    *modules = (struct ax_kmodules){0};
}
