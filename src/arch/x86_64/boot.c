/*
 * boot.c - chooses the boot protocol from configuration and image, and runs
 * it. What each protocol does is in the boot_*.c beside this file.
 */
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/machine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BOOT_TEXT = 512 };

__attribute__((format(printf, 4, 0))) static void
boot_log(const struct boot *b, enum ax_log_level level, struct ax_pos pos,
         const char *fmt, va_list args)
{
    char text[BOOT_TEXT];

    vsnprintf(text, sizeof(text), fmt, args);
    if (pos.line)
        ax_log(b->log, level, "%s:%u:%u: %s", b->conf->file, pos.line,
               pos.column, text);
    else
        ax_log(b->log, level, "%s", text);
}

int ax_x86_boot_fail(const struct boot *b, struct ax_pos pos, int err,
                     const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    boot_log(b, AX_LOG_ERROR, pos, fmt, args);
    va_end(args);
    return err;
}

void ax_x86_boot_warn(const struct boot *b, struct ax_pos pos, const char *fmt,
                      ...)
{
    va_list args;

    va_start(args, fmt);
    boot_log(b, AX_LOG_WARN, pos, fmt, args);
    va_end(args);
}

void ax_x86_boot_say(const struct boot *b, const char *fmt, ...)
{
    char *what = b->start->what;
    const size_t len = strlen(what);
    va_list args;

    va_start(args, fmt);
    vsnprintf(what + len, sizeof(b->start->what) - len, fmt, args);
    va_end(args);
}

const char *ax_x86_boot_size(uint64_t bytes, char buf[BOOT_SIZE_TEXT])
{
    if (bytes >= AX_MIB(1))
        snprintf(buf, BOOT_SIZE_TEXT, "%.1f MiB", (double)bytes / AX_MIB(1));
    else if (bytes >= AX_KIB(1))
        snprintf(buf, BOOT_SIZE_TEXT, "%.1f KiB", (double)bytes / AX_KIB(1));
    else
        snprintf(buf, BOOT_SIZE_TEXT, "%u bytes", (unsigned)bytes);
    return buf;
}

static int boot_open(const struct boot *b, const struct ax_config_path *path,
                     const char *what, struct ax_source *out)
{
    int err;

    if (!path->path)
        return 0;
    err = ax_source_open(path->path, out);
    if (err)
        return ax_x86_boot_fail(b, path->pos, err, "%s %s: %s", what,
                                path->path, ax_source_strerror(err));
    return 0;
}

static int boot_open_all(struct boot *b)
{
    const struct ax_config *conf = b->conf;
    int err = 0;

    if (b->plan->kernel_override) {
        b->kernel = *b->plan->kernel_override;
        b->kernel_borrowed = true;
    } else {
        err = boot_open(b, &conf->kernel, "kernel", &b->kernel);
    }
    if (!err && ax_x86_has_firmware(conf))
        err = boot_open(b, &conf->bios, "firmware", &b->bios);
    if (!err)
        err = boot_open(b, &conf->initrd, "initrd", &b->initrd);
    return err;
}

static void boot_close_all(struct boot *b)
{
    if (!b->kernel_borrowed)
        ax_source_close(&b->kernel);
    ax_source_close(&b->bios);
    ax_source_close(&b->initrd);
}

static int boot_probe(struct boot *b)
{
    const struct ax_pos pos = b->conf->kernel.pos;
    const char *name = b->kernel.name;
    char why[256];
    int err = ax_image_probe(&b->kernel, &b->image, why, sizeof(why));

    if (err == -ENOEXEC)
        return ax_x86_boot_fail(b, pos, err, "kernel %s: %s", name, why);
    if (err)
        return ax_x86_boot_fail(b, pos, err, "kernel %s: %s", name,
                                ax_source_strerror(err));
    if (b->image.kind == AX_IMAGE_GZIP)
        return ax_x86_boot_fail(
            b, pos, -ENOEXEC,
            "kernel %s is gzip-compressed: unpack it with gunzip first", name);
    if (b->image.arch && strcmp(b->image.arch, ax_arch_x86_64.name) != 0)
        return ax_x86_boot_fail(
            b, pos, -ENOEXEC,
            "kernel %s is an %s for %s; this guest's architecture is %s", name,
            ax_image_kind_name(b->image.kind), b->image.arch,
            ax_arch_x86_64.name);
    return 0;
}

/* AxVisor's direct protocol starts at its stub; any other entry is not it. */
static int boot_bzimage(struct boot *b)
{
    const struct ax_config *conf = b->conf;

    if (conf->protocol == AX_BOOT_MULTIBOOT)
        return ax_x86_boot_fail(
            b, conf->kernel.pos, -ENOEXEC,
            "kernel %s is a Linux bzImage, which boot_protocol \"multiboot\" "
            "cannot start: use \"direct\"",
            b->kernel.name);
    if (!conf->axvisor || conf->protocol != AX_BOOT_DIRECT)
        return ax_x86_boot_bzimage(b);
    if (!conf->entry.given || conf->entry.val == AX_X86_STUB_ADDR)
        return ax_x86_boot_direct(b);
    ax_x86_boot_warn(b, conf->entry.pos,
                     "entry_point %#llx is not AxVisor's boot stub at %#x: "
                     "the bzImage is started by Linux's own boot protocol",
                     (unsigned long long)conf->entry.val, AX_X86_STUB_ADDR);
    return ax_x86_boot_bzimage(b);
}

static int boot_elf(struct boot *b)
{
    const struct ax_config *conf = b->conf;
    const struct ax_image *image = &b->image;

    if (conf->entry.given || conf->kernel_load.given)
        ax_x86_boot_warn(
            b, conf->entry.given ? conf->entry.pos : conf->kernel_load.pos,
            "the kernel is an ELF file, which names its own addresses: "
            "entry_point and kernel_load_addr are not used");
    if (conf->protocol == AX_BOOT_MULTIBOOT)
        return ax_x86_boot_multiboot(b);
    if (conf->entry_mode != AX_ENTRY_AUTO)
        return ax_x86_boot_elf(b);
    if (image->pvh)
        return ax_x86_boot_pvh(b);
    return image->multiboot ? ax_x86_boot_multiboot(b) : ax_x86_boot_elf(b);
}

static int boot_flat(struct boot *b)
{
    const struct ax_config *conf = b->conf;
    const bool direct = conf->axvisor && conf->protocol == AX_BOOT_DIRECT;

    if (b->image.multiboot && !direct && conf->entry_mode == AX_ENTRY_AUTO)
        return ax_x86_boot_multiboot(b);
    return conf->protocol == AX_BOOT_MULTIBOOT ? ax_x86_boot_multiboot_raw(b)
                                               : ax_x86_boot_flat(b);
}

static int boot_dispatch(struct boot *b)
{
    int err;

    if (b->bios.size)
        return ax_x86_boot_firmware(b);
    if (!b->kernel.size)
        return ax_x86_boot_fail(b, b->conf->kernel.pos, -EINVAL,
                                "no kernel is configured");
    err = boot_probe(b);
    if (err)
        return err;
    switch (b->image.kind) {
    case AX_IMAGE_BZIMAGE:
        return boot_bzimage(b);
    case AX_IMAGE_ELF32:
    case AX_IMAGE_ELF64:
        return boot_elf(b);
    default:
        return boot_flat(b);
    }
}

int ax_x86_boot(const struct ax_plan *plan, struct ax_log *log,
                struct ax_memory *mem, struct ax_start *start,
                void (*progress)(void *ctx, const char *what, uint64_t done,
                                 uint64_t total),
                void *progress_ctx)
{
    struct boot b = {
        .plan = plan,
        .conf = plan->conf,
        .log = log,
        .mem = mem,
        .start = start,
        .watch = {.fn = progress, .ctx = progress_ctx},
        .kernel.fd = -1,
        .bios.fd = -1,
        .initrd.fd = -1,
    };
    int err;

    start->count = 0;
    start->what[0] = '\0';
    err = boot_open_all(&b);
    if (!err)
        err = boot_dispatch(&b);
    boot_close_all(&b);
    return err;
}
