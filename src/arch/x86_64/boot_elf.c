/*
 * boot_elf.c - ELF kernels at their entry point: by the PVH note, or as Linux's
 * vmlinux is entered.
 *
 * Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h.
 */
#include "arch/x86_64/blob.h"
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"

#include <errno.h>
#include <inttypes.h>

enum { CMDLINE_MAX = 0xffff };

static int elf_claim(struct boot *b)
{
    int err = ax_x86_boot_claim_kernel(b, 0);

    if (!err)
        err = ax_x86_boot_tables(b, NULL);
    if (!err)
        err = ax_x86_boot_initrd(b, AX_X86_HOLE_END);
    return err;
}

static const struct {
    const char *name;
    int (*enter)(struct boot *b, ax_gpa entry);
} modes[] = {
    [AX_ENTRY_PROTECTED] = {"32-bit", ax_x86_boot_protected},
    [AX_ENTRY_LONG] = {"64-bit", ax_x86_boot_long},
};

/*
 * As Linux's entries: RSI = boot_params, and RDI, where a C function of a
 * 64-bit guest has its first argument.
 */
int ax_x86_boot_elf(struct boot *b)
{
    const bool wide = b->image.kind == AX_IMAGE_ELF64;
    enum ax_entry_mode mode = b->conf->entry_mode;
    ax_gpa params = AX_X86_BOOT_PARAMS_ADDR, cmdline = AX_X86_CMDLINE_ADDR;
    uint8_t *p;
    int err;

    if (mode == AX_ENTRY_AUTO)
        mode = wide ? AX_ENTRY_LONG : AX_ENTRY_PROTECTED;
    if (mode == AX_ENTRY_REAL)
        return ax_x86_boot_fail(b, b->conf->kernel.pos, -ENOEXEC,
                                "kernel %s is an ELF file: real mode is for "
                                "flat binaries",
                                b->kernel.name);
    ax_x86_boot_say(b, "%s, %s entry at %#" PRIx64,
                    ax_image_kind_name(b->image.kind), modes[mode].name,
                    b->image.entry);
    err = elf_claim(b);
    if (!err)
        err = ax_x86_boot_cmdline(b, wide ? ax_x86_linux_cmdline : "",
                                  CMDLINE_MAX, &cmdline);
    if (!err)
        err = ax_x86_boot_params(b, cmdline, &params, &p);
    if (!err)
        err = modes[mode].enter(b, b->image.entry);
    if (!err)
        err = ax_x86_boot_load_kernel(b, 0);
    if (err)
        return err;
    ax_x86_boot_reg(b, AX_X86_RSI, params);
    ax_x86_boot_reg(b, AX_X86_RDI, mode == AX_ENTRY_LONG ? params : 0);
    return 0;
}

/* struct hvm_start_info, version 1, and the arrays that we put behind it. */
enum {
    PVH_MAGIC = 0x336ec578,
    PVH_VERSION = 4,
    PVH_MODULE_COUNT = 12,
    PVH_MODULES = 16,
    PVH_CMDLINE = 24,
    PVH_RSDP = 32,
    PVH_MEMMAP = 40,
    PVH_MEMMAP_COUNT = 48,
    PVH_MODULE_AT = 0x40, /* one: address, size, command line, reserved */
    PVH_MEMMAP_AT = 0x60,
    PVH_MEMMAP_ENTRY = 24,
};

_Static_assert(PVH_MEMMAP_AT + AX_E820_MAX * PVH_MEMMAP_ENTRY <=
                   AX_X86_INFO_SIZE,
               "the map fits behind the start info");

static void pvh_write(const struct boot *b, uint8_t *p, ax_gpa gpa,
                      ax_gpa cmdline)
{
    put_le(p, PVH_MAGIC, 4);
    put_le(p + PVH_VERSION, 1, 4);
    put_le(p + PVH_CMDLINE, cmdline, 8);
    put_le(p + PVH_RSDP, b->rsdp, 8);
    if (b->initrd.size) {
        put_le(p + PVH_MODULE_COUNT, 1, 4);
        put_le(p + PVH_MODULES, gpa + PVH_MODULE_AT, 8);
        put_le(p + PVH_MODULE_AT, b->initrd_gpa, 8);
        put_le(p + PVH_MODULE_AT + 8, b->initrd.size, 8);
    }
    put_le(p + PVH_MEMMAP, gpa + PVH_MEMMAP_AT, 8);
    put_le(p + PVH_MEMMAP_COUNT, b->map.count, 4);
    p += PVH_MEMMAP_AT;
    for (unsigned i = 0; i < b->map.count; i++, p += PVH_MEMMAP_ENTRY) {
        put_le(p, b->map.entries[i].addr, 8);
        put_le(p + 8, b->map.entries[i].size, 8);
        put_le(p + 16, b->map.entries[i].type, 4);
    }
}

int ax_x86_boot_pvh(struct boot *b)
{
    ax_gpa info = AX_X86_INFO_ADDR, cmdline = AX_X86_CMDLINE_ADDR;
    uint8_t *p;
    int err;

    ax_x86_boot_say(b, "%s, PVH entry at %#" PRIx64,
                    ax_image_kind_name(b->image.kind), b->image.pvh_entry);
    err = elf_claim(b);
    if (!err)
        err =
            ax_x86_boot_cmdline(b, ax_x86_linux_cmdline, CMDLINE_MAX, &cmdline);
    if (!err)
        err =
            ax_x86_boot_data(b, &info, AX_X86_INFO_SIZE, "PVH start info", &p);
    if (!err)
        err = ax_x86_boot_protected(b, b->image.pvh_entry);
    if (!err)
        err = ax_x86_boot_load_kernel(b, 0);
    if (err)
        return err;
    pvh_write(b, p, info, cmdline);
    ax_x86_boot_reg(b, AX_X86_RBX, info);
    return 0;
}
