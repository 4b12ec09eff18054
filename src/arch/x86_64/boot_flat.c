/*
 * boot_flat.c - files that are taken as they are: flat binaries, and firmware
 * with or without a kernel beside it.
 *
 * A flat binary goes to kernel_load_addr, else to entry_point, else to 1 MiB;
 * it starts at entry_point, else at its first byte; below 64 KiB in real mode,
 * above in 32-bit mode, if entry_mode does not say. Without an address, real
 * mode means 0x7c00, and so does a file that is one boot sector.
 */
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { CMDLINE_MAX = 0xffff, REAL_MODE_END = 0x10000, SECTOR = 512 };

int ax_x86_boot_claim_raw(struct boot *b, ax_gpa gpa)
{
    return ax_x86_boot_claim(b, b->conf->kernel.pos, gpa, b->kernel.size,
                             "kernel");
}

static int flat_load(struct boot *b, const struct ax_source *src,
                     const struct ax_config_path *path, const char *what,
                     ax_gpa gpa)
{
    int err = ax_source_copy(src, 0, b->mem, gpa, src->size, &b->watch);

    return err ? ax_x86_boot_fail(b, path->pos, err, "%s %s %s", what,
                                  src->name, ax_source_strerror(err))
               : 0;
}

int ax_x86_boot_load_raw(struct boot *b, ax_gpa gpa)
{
    return flat_load(b, &b->kernel, &b->conf->kernel, "kernel", gpa);
}

static bool flat_is_boot_sector(const struct boot *b)
{
    uint8_t end[2];

    return b->kernel.size == SECTOR &&
           !ax_source_read(&b->kernel, SECTOR - 2, end, 2) &&
           !memcmp(end, "\x55\xaa", 2);
}

static ax_gpa flat_address(const struct boot *b)
{
    const struct ax_config *conf = b->conf;

    if (conf->kernel_load.given)
        return conf->kernel_load.val;
    if (conf->entry.given)
        return conf->entry.val;
    if (conf->entry_mode == AX_ENTRY_REAL ||
        (conf->entry_mode == AX_ENTRY_AUTO && flat_is_boot_sector(b)))
        return AX_X86_BOOT_SECTOR_ADDR;
    return AX_X86_FLAT_ADDR;
}

static enum ax_entry_mode flat_mode(const struct boot *b, ax_gpa entry)
{
    if (b->conf->entry_mode != AX_ENTRY_AUTO)
        return b->conf->entry_mode;
    return entry < REAL_MODE_END ? AX_ENTRY_REAL : AX_ENTRY_PROTECTED;
}

static int flat_check_entry(const struct boot *b, ax_gpa entry)
{
    if (entry >= AX_X86_HOLE_END || !ax_memory_at_load(b->mem, entry, 1))
        return ax_x86_boot_fail(b, b->conf->entry.pos, -ENOSPC,
                                "entry point %#" PRIx64
                                " does not lie in guest memory below 4 GiB",
                                entry);
    return 0;
}

/* Real mode has no use for boot_params, nor a register to pass them in. */
static int flat_enter(struct boot *b, enum ax_entry_mode mode, ax_gpa entry)
{
    ax_gpa params = AX_X86_BOOT_PARAMS_ADDR, cmdline = AX_X86_CMDLINE_ADDR;
    uint8_t *p;
    int err;

    if (mode == AX_ENTRY_REAL) {
        ax_x86_boot_real(b, entry);
        return 0;
    }
    err = ax_x86_boot_cmdline(b, "", CMDLINE_MAX, &cmdline);
    if (!err)
        err = ax_x86_boot_params(b, cmdline, &params, &p);
    if (!err)
        err = mode == AX_ENTRY_LONG ? ax_x86_boot_long(b, entry)
                                    : ax_x86_boot_protected(b, entry);
    ax_x86_boot_reg(b, AX_X86_RSI, params);
    ax_x86_boot_reg(b, AX_X86_RDI, mode == AX_ENTRY_LONG ? params : 0);
    return err;
}

static const char *const mode_names[] = {
    [AX_ENTRY_REAL] = "real mode",
    [AX_ENTRY_PROTECTED] = "32-bit",
    [AX_ENTRY_LONG] = "64-bit",
};

int ax_x86_boot_flat(struct boot *b)
{
    const ax_gpa load = flat_address(b);
    const ax_gpa entry = b->conf->entry.given ? b->conf->entry.val : load;
    const enum ax_entry_mode mode = flat_mode(b, entry);
    int err = ax_x86_boot_claim_raw(b, load);

    ax_x86_boot_say(b, "flat binary at %#" PRIx64 ", %s entry at %#" PRIx64,
                    load, mode_names[mode], entry);
    if (!err)
        err = flat_check_entry(b, entry);
    if (!err)
        err = ax_x86_boot_tables(b, NULL);
    if (!err)
        err = ax_x86_boot_initrd(b, AX_X86_HOLE_END);
    if (!err)
        err = flat_enter(b, mode, entry);
    return err ? err : ax_x86_boot_load_raw(b, load);
}

/* Where the CPU starts in firmware, unless entry_point says. */
static ax_gpa firmware_entry(const struct boot *b)
{
    const ax_gpa at = b->conf->bios_load.val;

    if (b->conf->entry.given)
        return b->conf->entry.val;
    return ax_range_within(AX_X86_RESET_ADDR, 1, at, b->bios.size)
               ? AX_X86_RESET_ADDR
               : at;
}

/* A kernel beside firmware is copied, whatever it is: the firmware's affair. */
static int firmware_kernel(struct boot *b)
{
    const ax_gpa load = b->conf->kernel_load.given ? b->conf->kernel_load.val
                                                   : AX_X86_KERNEL_ADDR;
    int err;

    if (!b->kernel.size)
        return 0;
    err = ax_x86_boot_claim_raw(b, load);
    if (!err)
        err = ax_x86_boot_load_raw(b, load);
    ax_x86_boot_say(b, ", kernel file as it is at %#" PRIx64, load);
    return err;
}

int ax_x86_boot_firmware(struct boot *b)
{
    const struct ax_config *conf = b->conf;
    const ax_gpa at = conf->bios_load.val, entry = firmware_entry(b);
    char size[BOOT_SIZE_TEXT];
    int err;

    if (!conf->bios_load.given)
        return ax_x86_boot_fail(b, conf->bios.pos, -EINVAL,
                                "firmware %s needs bios_load_addr",
                                b->bios.name);
    ax_x86_boot_say(
        b, "firmware of %s at %#" PRIx64 ", real-mode entry at %#" PRIx64,
        ax_x86_boot_size(b->bios.size, size), at, entry);
    err = ax_x86_boot_claim(b, conf->bios.pos, at, b->bios.size, "firmware");
    if (!err)
        err = flat_check_entry(b, entry);
    if (!err)
        err = flat_load(b, &b->bios, &conf->bios, "firmware", at);
    if (!err)
        err = firmware_kernel(b);
    if (!err && conf->protocol != AX_BOOT_UEFI)
        err = ax_x86_boot_multiboot_info(b);
    else if (!err)
        err = ax_x86_boot_tables(b, NULL);
    if (!err)
        ax_x86_boot_real(b, entry);
    return err;
}
