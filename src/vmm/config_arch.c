/*
 * config_arch.c - for which architecture is a guest file that does not say?
 *
 * AxVisor's files never say: there, the build decides. So the kernel image is
 * asked first, then whatever in the file exists on one architecture only.
 * Called once by config_check.c.
 */
#include "arch/arch.h"
#include "vmm/config_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_BYTES = 0x210 };

static const char x86_64[] = "x86_64";
static const char aarch64[] = "aarch64";
static const char riscv64[] = "riscv64";

/* ---- the kernel image ---- */

/* The first bytes of a regular file; anything else has none. */
static size_t read_header(const char *path, unsigned char *buf)
{
    struct stat st;
    ssize_t n;
    int fd;

    if (stat(path, &st) || !S_ISREG(st.st_mode))
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return 0;
    n = read(fd, buf, HEADER_BYTES);
    close(fd);
    return n < 0 ? 0 : (size_t)n;
}

/* ELF e_machine, gABI chapter 4; only 64-bit guests but for i386. */
static const char *elf_arch(const unsigned char *buf)
{
    enum { EM_386 = 3, EM_X86_64 = 62, EM_AARCH64 = 183, EM_RISCV = 243 };

    switch (buf[18] | buf[19] << 8) {
    case EM_386:
    case EM_X86_64:
        return x86_64;
    case EM_AARCH64:
        return aarch64;
    case EM_RISCV:
        return riscv64;
    default:
        return NULL;
    }
}

static const char *image_arch(const char *path)
{
    static const struct {
        unsigned off;
        const char *magic;
        const char *arch;
    } magics[] = {
        {0x202, "HdrS", x86_64},  /* Documentation/arch/x86/boot */
        {56, "ARM\x64", aarch64}, /* Documentation/arch/arm64/booting */
        {48, "RISCV", riscv64},   /* Documentation/arch/riscv/boot-image... */
    };
    unsigned char buf[HEADER_BYTES];
    size_t size = path ? read_header(path, buf) : 0;

    if (size > 20 && !memcmp(buf,
                             "\x7f"
                             "ELF",
                             4))
        return elf_arch(buf);
    for (unsigned i = 0; i < AX_ARRAY_LEN(magics); i++) {
        size_t len = strlen(magics[i].magic);

        if (size >= magics[i].off + len &&
            !memcmp(buf + magics[i].off, magics[i].magic, len))
            return magics[i].arch;
    }
    return NULL;
}

/* ---- the file itself ---- */

static const char *devices_arch(const struct ax_config *conf)
{
    for (unsigned i = 0; i < conf->emu_count; i++) {
        switch (conf->emu[i].type) {
        case AX_EMU_GPPT_REDISTRIBUTOR:
        case AX_EMU_GPPT_DISTRIBUTOR:
        case AX_EMU_GPPT_ITS:
            return aarch64;
        case AX_EMU_PPPT_GLOBAL:
            return riscv64;
        case AX_EMU_X86_IOAPIC:
        case AX_EMU_X86_PIT:
            return x86_64;
        default:
            break;
        }
    }
    return NULL;
}

static bool covers_zero(const struct ax_config *conf)
{
    for (unsigned i = 0; i < conf->region_count; i++) {
        if (!conf->regions[i].gpa && conf->regions[i].size)
            return true;
    }
    return false;
}

/* Only last components count: whole paths say where somebody works. */
static bool says_riscv(const struct ax_config *conf)
{
    const char *const texts[] = {conf->file, conf->kernel.path, conf->dtb.path,
                                 conf->initrd.path};

    for (unsigned i = 0; i < AX_ARRAY_LEN(texts); i++) {
        const char *slash = texts[i] ? strrchr(texts[i], '/') : NULL;

        if (texts[i] && strcasestr(slash ? slash : texts[i], "riscv"))
            return true;
    }
    return conf->cmdline && strcasestr(conf->cmdline, "riscv");
}

static const char *infer(const struct conf_load *load, const char **why)
{
    const struct ax_config *conf = load->conf;
    const char *arch =
        load->src->builtin ? NULL : image_arch(conf->kernel.path);

    *why = "the kernel image";
    if (arch)
        return arch;
    *why = "an emulated device that only it has";
    arch = devices_arch(conf);
    if (arch)
        return arch;
    *why = "a boot protocol that only it has";
    if (conf->protocol == AX_BOOT_MULTIBOOT || conf->protocol == AX_BOOT_UEFI ||
        load->extra.enable_bios)
        return x86_64;
    *why = "guest memory at address 0";
    if (covers_zero(conf))
        return x86_64;
    if (conf->region_count && (conf->dtb.path || conf->dtb_load.given)) {
        *why = "a device tree, and a name that says riscv";
        if (says_riscv(conf))
            return riscv64;
        *why = "a device tree, and no name that says riscv";
        return aarch64;
    }
    *why = "this host, for want of any hint";
    return ax_arch_host();
}

void ax_config_infer_arch(struct conf_load *load)
{
    struct ax_config *conf = load->conf;

    if (conf_has(load, KEY_ARCH)) {
        conf->arch_pos = load->given[KEY_ARCH].val;
        conf->arch_why = "base.arch says so";
        return;
    }
    conf->arch = strdup(infer(load, &conf->arch_why));
    if (!conf->arch)
        load->err = -ENOMEM;
}
