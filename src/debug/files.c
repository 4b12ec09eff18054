/*
 * files.c - Host I/O: GDB manual, appendix E.7, with the numbers and the struct
 * stat of the File-I/O protocol (appendix E.10).
 */
#include "debug/files.h"
#include "debug/packet.h"
#include "vmm/image.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* struct stat of the protocol: big-endian, these offsets. */
enum {
    STAT_MODE = 8,
    STAT_LINKS = 12,
    STAT_SIZE = 28,
    STAT_BLOCK_SIZE = 36,
    STAT_BLOCKS = 44,
    STAT_MTIME = 56,
    STAT_BYTES = 64,
};

enum { REGULAR = 0100000, READABLE = 0444 }; /* st_mode */

enum { BLOCK_SIZE = 4096, STAT_BLOCK = 512 };

/* Of an answer: "F", a result, ";". */
enum { ANSWER_HEAD = 1 + 16 + 1 };

struct handle {
    bool used;
    struct ax_source source;
};

struct ax_files {
    const struct ax_files_text *texts;
    unsigned count;
    char *exec; /* NULL: none */
    struct handle handles[AX_FILES_OPEN];
    uint8_t buf[AX_PACKET_MAX];
};

/* What an operation leaves beside its result. */
struct attachment {
    const uint8_t *data; /* NULL: nothing */
    size_t size;
};

/* ---- what there is ---- */

/* -EACCES: it is no ELF file, or none at all. */
static int open_elf(const char *path, struct ax_source *out)
{
    static const uint8_t magic[] = {0x7f, 'E', 'L', 'F'};
    uint8_t head[sizeof(magic)];
    int err = ax_source_open(path, out);

    if (err == -EISDIR || err == -ESPIPE || err == -ENODATA)
        return -EACCES;
    if (err)
        return err;
    if (ax_source_read(out, 0, head, sizeof(head)) ||
        memcmp(head, magic, sizeof(magic)) != 0) {
        ax_source_close(out);
        return -EACCES;
    }
    return 0;
}

static const struct ax_files_text *find_text(const struct ax_files *files,
                                             const char *name)
{
    for (unsigned i = 0; i < files->count; i++) {
        if (!strcmp(files->texts[i].name, name))
            return &files->texts[i];
    }
    return NULL;
}

static bool is_exec(const struct ax_files *files, const char *name)
{
    return files->exec && !strcmp(files->exec, name);
}

static int open_name(const struct ax_files *files, const char *name,
                     struct ax_source *out)
{
    const struct ax_files_text *text = find_text(files, name);

    if (text) {
        ax_source_memory(text->name, text->text, strlen(text->text), out);
        return 0;
    }
    return is_exec(files, name) ? open_elf(files->exec, out) : -ENOENT;
}

/* ---- arguments ---- */

static bool take_end(const struct ax_packet_scan *args)
{
    return args->at == args->end;
}

static int take_name(struct ax_packet_scan *args, char name[PATH_MAX])
{
    if (ax_packet_digits(args) / 2 >= PATH_MAX)
        return -ENAMETOOLONG;
    return ax_packet_take_text(args, name, PATH_MAX) ? 0 : -EINVAL;
}

/* NULL: there is none such; nothing else is looked at. */
static struct handle *take_handle(struct ax_files *files,
                                  struct ax_packet_scan *args)
{
    uint64_t fd;

    if (!ax_packet_take_number(args, &fd) || fd >= AX_FILES_OPEN ||
        !files->handles[fd].used)
        return NULL;
    return &files->handles[fd];
}

/* ---- operations: a result, or -errno ---- */

static void close_handle(struct handle *handle)
{
    if (handle->used)
        ax_source_close(&handle->source);
    handle->used = false;
}

static int files_open(struct ax_files *files, struct ax_packet_scan *args,
                      struct attachment *attachment)
{
    char name[PATH_MAX];
    uint64_t flags, mode;
    int err = take_name(args, name);

    if (err)
        return err;
    if (!ax_packet_take_char(args, ',') ||
        !ax_packet_take_number(args, &flags) ||
        !ax_packet_take_char(args, ',') ||
        !ax_packet_take_number(args, &mode) || !take_end(args))
        return -EINVAL;
    if (flags) /* all but O_RDONLY write or create */
        return -EROFS;
    for (int fd = 0; fd < AX_FILES_OPEN; fd++) {
        struct handle *handle = &files->handles[fd];

        if (handle->used)
            continue;
        err = open_name(files, name, &handle->source);
        handle->used = !err;
        return err ? err : fd;
    }
    return -EMFILE;
}

static int files_close(struct ax_files *files, struct ax_packet_scan *args,
                       struct attachment *attachment)
{
    struct handle *handle = take_handle(files, args);

    if (!handle)
        return -EBADF;
    if (!take_end(args))
        return -EINVAL;
    close_handle(handle);
    return 0;
}

static int files_pread(struct ax_files *files, struct ax_packet_scan *args,
                       struct attachment *attachment)
{
    const struct handle *handle = take_handle(files, args);
    uint64_t count, off;
    int err;

    if (!handle)
        return -EBADF;
    if (!ax_packet_take_char(args, ',') ||
        !ax_packet_take_number(args, &count) ||
        !ax_packet_take_char(args, ',') || !ax_packet_take_number(args, &off) ||
        !take_end(args))
        return -EINVAL;
    if (off > handle->source.size)
        off = handle->source.size;
    if (count > handle->source.size - off)
        count = handle->source.size - off;
    if (count > sizeof(files->buf))
        count = sizeof(files->buf);
    err = ax_source_read(&handle->source, off, files->buf, count);
    *attachment = (struct attachment){files->buf, count};
    return err;
}

static void put_be(uint8_t *to, unsigned width, uint64_t val)
{
    while (width) {
        to[--width] = (uint8_t)val;
        val >>= 8;
    }
}

/* gdb asks in order to know whether it has the same file already. */
static uint64_t modified(const struct ax_source *source)
{
    struct stat st;

    return source->fd >= 0 && !fstat(source->fd, &st) ? (uint64_t)st.st_mtime
                                                      : 0;
}

static int files_fstat(struct ax_files *files, struct ax_packet_scan *args,
                       struct attachment *attachment)
{
    const struct handle *handle = take_handle(files, args);
    uint8_t *st = files->buf;
    uint64_t size;

    if (!handle)
        return -EBADF;
    if (!take_end(args))
        return -EINVAL;
    size = handle->source.size;
    memset(st, 0, STAT_BYTES);
    put_be(st + STAT_MODE, 4, REGULAR | READABLE);
    put_be(st + STAT_LINKS, 4, 1);
    put_be(st + STAT_SIZE, 8, size);
    put_be(st + STAT_BLOCK_SIZE, 8, BLOCK_SIZE);
    put_be(st + STAT_BLOCKS, 8, ax_align_up(size, STAT_BLOCK) / STAT_BLOCK);
    put_be(st + STAT_MTIME, 4, modified(&handle->source));
    *attachment = (struct attachment){st, STAT_BYTES};
    return 0;
}

/* None of the files is a link. */
static int files_readlink(struct ax_files *files, struct ax_packet_scan *args,
                          struct attachment *attachment)
{
    char name[PATH_MAX];
    int err = take_name(args, name);

    if (err)
        return err;
    if (!take_end(args))
        return -EINVAL;
    return find_text(files, name) || is_exec(files, name) ? -EINVAL : -ENOENT;
}

/* As which process: all see the same. */
static int files_setfs(struct ax_files *files, struct ax_packet_scan *args,
                       struct attachment *attachment)
{
    uint64_t pid;

    return ax_packet_take_number(args, &pid) && take_end(args) ? 0 : -EINVAL;
}

static int files_write(struct ax_files *files, struct ax_packet_scan *args,
                       struct attachment *attachment)
{
    return -EROFS;
}

static const struct {
    const char *name;
    int (*run)(struct ax_files *files, struct ax_packet_scan *args,
               struct attachment *attachment);
} operations[] = {
    {"open:", files_open},         {"close:", files_close},
    {"pread:", files_pread},       {"fstat:", files_fstat},
    {"readlink:", files_readlink}, {"setfs:", files_setfs},
    {"pwrite:", files_write},      {"unlink:", files_write},
};

/* ---- answers ---- */

/* "Errno Values"; the rest is EUNKNOWN. */
static unsigned errno_value(int err)
{
    static const struct {
        int err;
        unsigned value;
    } values[] = {
        {EPERM, 1},   {ENOENT, 2},  {EINTR, 4},    {EBADF, 9},
        {EACCES, 13}, {EISDIR, 21}, {EINVAL, 22},  {ENFILE, 23},
        {EMFILE, 24}, {EROFS, 30},  {ENOTDIR, 20}, {ENAMETOOLONG, 91},
    };

    for (size_t i = 0; i < AX_ARRAY_LEN(values); i++) {
        if (values[i].err == err)
            return values[i].value;
    }
    return 9999;
}

static void answer(int result, const struct attachment *attachment,
                   struct ax_packet *packet)
{
    size_t fits;

    if (result < 0) {
        ax_packet_format(packet, "F-1,%x", errno_value(-result));
    } else if (!attachment->data) {
        ax_packet_format(packet, "F%x", (unsigned)result);
    } else {
        fits = ax_packet_fits(packet, attachment->data, attachment->size,
                              ANSWER_HEAD);
        ax_packet_format(packet, "F%zx;", fits);
        ax_packet_binary(packet, attachment->data, fits);
    }
}

void ax_files_answer(struct ax_files *files, struct ax_packet_scan *request,
                     struct ax_packet *packet)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(operations); i++) {
        struct attachment attachment = {NULL, 0};

        if (ax_packet_take(request, operations[i].name)) {
            const int result = operations[i].run(files, request, &attachment);

            answer(result, &attachment, packet);
            return;
        }
    }
}

/* ---- life ---- */

/* The kernel's path, from the root; NULL: it is no ELF file. */
static char *find_exec(const char *path)
{
    char *real = path ? realpath(path, NULL) : NULL;
    struct ax_source source;

    if (real && open_elf(real, &source)) {
        free(real);
        return NULL;
    }
    if (real)
        ax_source_close(&source);
    return real;
}

int ax_files_create(const struct ax_files_env *env, struct ax_files **out)
{
    struct ax_files *files = calloc(1, sizeof(*files));

    if (!files)
        return -ENOMEM;
    files->texts = env->texts;
    files->count = env->count;
    files->exec = find_exec(env->exec);
    *out = files;
    return 0;
}

void ax_files_destroy(struct ax_files *files)
{
    if (!files)
        return;
    ax_files_reset(files);
    free(files->exec);
    free(files);
}

const char *ax_files_exec(const struct ax_files *files)
{
    return files->exec;
}

void ax_files_reset(struct ax_files *files)
{
    for (unsigned i = 0; i < AX_FILES_OPEN; i++)
        close_handle(&files->handles[i]);
}
