/*
 * onecommand.c - finds the modules that the kernel needs for a shared root and
 * a console, and packs them.
 */
#include "onecommand.h"

#include "cli.h"
#include "initramfs.h"
#include "kmodules.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RELEASE_MAX = 128, MODULE_MAX = 64 << 20 };

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...)
{
    va_list args;

    fputs("axvm-run: --run: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return AX_STATUS_USAGE;
}

/* ---- modules ---- */

/* The program that unpacks a module of that name; NULL: it is not packed. */
static const char *unpacker(const char *path)
{
    static const char *const programs[][2] = {
        {".xz", "xz"}, {".zst", "zstd"}, {".gz", "gzip"}};
    const size_t len = strlen(path);

    for (size_t i = 0; i < AX_ARRAY_LEN(programs); i++) {
        const size_t n = strlen(programs[i][0]);

        if (len > n && !strcmp(path + len - n, programs[i][0]))
            return programs[i][1];
    }
    return NULL;
}

/* All that fd gives, up to MODULE_MAX; *bytes is to be freed. */
static int read_all(int fd, char **bytes, size_t *size)
{
    size_t room = 1 << 16, used = 0;
    char *all = malloc(room), *grown;
    ssize_t n = 1;

    if (!all)
        return -ENOMEM;
    while (n > 0 && used < MODULE_MAX) {
        if (used == room) {
            grown = realloc(all, room *= 2);
            if (!grown)
                break;
            all = grown;
        }
        n = read(fd, all + used, room - used);
        used += n > 0 ? (size_t)n : 0;
    }
    *bytes = all;
    *size = used;
    return n ? -EIO : 0;
}

static int spawn(const char *program, const char *path, int out, pid_t *pid)
{
    char dc[] = "-dc", end[] = "--";
    char *name = strdup(program), *file = strdup(path);
    char *argv[] = {name, dc, end, file, NULL};
    posix_spawn_file_actions_t actions;
    int err;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    err = name && file
              ? posix_spawnp(pid, program, &actions, NULL, argv, environ)
              : ENOMEM;
    posix_spawn_file_actions_destroy(&actions);
    free(name);
    free(file);
    return -err;
}

static int add_packed(struct ax_initramfs *fs, const char *name,
                      const char *path, const char *program)
{
    char *bytes = NULL;
    size_t size = 0;
    int fds[2], status = 0, err;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC))
        return -errno;
    err = spawn(program, path, fds[1], &pid);
    close(fds[1]);
    if (!err) {
        err = read_all(fds[0], &bytes, &size);
        waitpid(pid, &status, 0);
        if (!err && status)
            err = -EIO;
    }
    close(fds[0]);
    if (!err)
        err = ax_initramfs_add(fs, name, 0644, bytes, size);
    free(bytes);
    return err;
}

static int add_modules(struct ax_initramfs *fs,
                       const struct ax_kmodules *modules)
{
    char name[32], *list = NULL;
    size_t size;
    FILE *to = open_memstream(&list, &size);
    int status = to ? 0 : AX_STATUS_FAILURE;

    for (unsigned i = 0; !status && i < modules->count; i++) {
        const char *path = modules->paths[i], *program = unpacker(path);
        int err;

        snprintf(name, sizeof(name), "/ax/%u.ko", i);
        fprintf(to, "%s\n", name);
        err = program ? add_packed(fs, name, path, program)
                      : ax_initramfs_add_file(fs, name, 0644, path);
        if (err)
            status =
                fail("cannot read the module %s: %s", path, strerror(-err));
    }
    if (to && fclose(to))
        status = AX_STATUS_FAILURE;
    if (!status && ax_initramfs_add(fs, "/ax/modules", 0644, list, size))
        status = AX_STATUS_FAILURE;
    free(list);
    return status;
}

static int find_features(const char *dir, bool pci, struct ax_kmodules *out)
{
    /* What mounts a root by virtio, and talks on a console. */
    const char *const features[] = {
        pci ? "virtio_pci" : "virtio_mmio",
        "virtio_console",
        "9pnet_virtio",
        "9p",
        "overlay",
        NULL,
    };
    const char *missing;
    const int err = ax_kmodules_find(dir, features, out, &missing);

    if (err == -ENOENT && !missing)
        return fail("%s holds no modules: install those of this kernel, or "
                    "name their directory with --modules",
                    dir);
    if (err == -ENOENT && missing == features[0])
        return fail("this kernel has no %s, neither as a module in %s nor "
                    "built in: use another one, or --virtio %s",
                    missing, dir, pci ? "mmio" : "pci");
    if (err == -ENOENT)
        return fail("this kernel has no %s, neither as a module in %s nor "
                    "built in: use another one (Debian's cloud kernel has no "
                    "9p, its generic one has)",
                    missing, dir);
    return err ? AX_STATUS_FAILURE : 0;
}

static int find_modules(const struct ax_oneliner *line, struct ax_kmodules *out)
{
    char release[RELEASE_MAX] = "", dir[PATH_MAX];
    int err = 0;

    if (line->modules) {
        snprintf(dir, sizeof(dir), "%s", line->modules);
    } else {
        err = ax_kmodules_release(line->kernel, release, sizeof(release));
        snprintf(dir, sizeof(dir), "/lib/modules/%s", release);
    }
    if (err == -ENOEXEC)
        return fail("%s does not say which modules are its own: name their "
                    "directory with --modules",
                    line->kernel);
    if (err)
        return fail("cannot read the kernel %s: %s", line->kernel,
                    strerror(-err));
    return find_features(dir, ax_oneliner_has_pci(line), out);
}

/* ---- the rest of it ---- */

static int add_text(struct ax_initramfs *fs, const char *name, const char *text)
{
    return ax_initramfs_add(fs, name, 0644, text, strlen(text));
}

static int add_env(struct ax_initramfs *fs)
{
    const char *term = getenv("TERM");
    char *text;
    int err;

    if (asprintf(&text,
                 "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
                 "/bin\nHOME=/root\nTERM=%s\n",
                 term && !strpbrk(term, "\n") ? term : "dumb") < 0)
        return -ENOMEM;
    err = add_text(fs, "/ax/env", text);
    free(text);
    return err;
}

/* Where we are, as seen from the guest's root; "" where it does not see it. */
static const char *guest_cwd(const struct ax_oneliner *line, char cwd[PATH_MAX])
{
    if (!getcwd(cwd, PATH_MAX) || (line->root && strcmp(line->root, "/") != 0))
        return "";
    return cwd;
}

static int add_rest(struct ax_initramfs *fs, const struct ax_oneliner *line)
{
    char cwd[PATH_MAX];
    int err =
        ax_initramfs_add(fs, "/init", 0755, ax_guest_init, ax_guest_init_size);

    if (!err)
        err = ax_initramfs_add_device(fs, "/dev/console", 0600, 5, 1);
    if (!err)
        err = add_text(fs, "/ax/command", line->run);
    if (!err)
        err = add_text(fs, "/ax/cwd", guest_cwd(line, cwd));
    if (!err && !isatty(STDOUT_FILENO))
        err = add_text(fs, "/ax/plain", "");
    return err ? err : add_env(fs);
}

int ax_onecommand_prepare(struct ax_oneliner *line, struct ax_onecommand *out)
{
    struct ax_kmodules modules = {0};
    struct ax_initramfs *fs = NULL;
    int status = find_modules(line, &modules);

    out->fd = -1;
    if (!status && ax_initramfs_create(&fs))
        status = AX_STATUS_FAILURE;
    if (!status)
        status = add_modules(fs, &modules);
    if (!status && (add_rest(fs, line) || ax_initramfs_finish(fs, &out->fd)))
        status = AX_STATUS_FAILURE;
    ax_initramfs_destroy(fs);
    ax_kmodules_fini(&modules);
    if (status)
        return status;
    snprintf(out->initrd, sizeof(out->initrd), "/proc/self/fd/%d", out->fd);
    snprintf(out->append, sizeof(out->append),
             "console=ttyS0 quiet panic=-1 rdinit=/init %s",
             line->append ? line->append : "");
    line->initrd = out->initrd;
    line->append = out->append;
    return 0;
}

void ax_onecommand_fini(struct ax_onecommand *command)
{
    if (command->fd >= 0)
        close(command->fd);
    command->fd = -1;
}
