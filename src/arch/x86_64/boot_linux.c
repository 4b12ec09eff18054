/*
 * boot_linux.c - a bzImage by Linux's own protocol: 64-bit entry where the
 * kernel has one, else 32-bit.
 *
 * Linux, Documentation/arch/x86/boot.rst.
 */
#include "arch/x86_64/blob.h"
#include "arch/x86_64/boot.h"
#include "arch/x86_64/boot_params.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"

#include <errno.h>
#include <inttypes.h>

enum { ENTRY64_OFF = 0x200 }; /* of the 64-bit entry behind the 32-bit one */

/*
 * The preferred address, or for a relocatable kernel the next above it that
 * has room: one that is loaded lower moves itself up to it all the same.
 */
static int linux_locate(const struct boot *b, ax_gpa *load)
{
    const ax_gpa pref = b->image.bz.pref_address;
    const uint64_t need = b->image.bz.init_size;
    char text[BOOT_SIZE_TEXT], total[BOOT_SIZE_TEXT];

    *load = pref;
    if (ax_x86_boot_free(b, pref, need))
        return 0;
    for (unsigned i = 0; b->image.bz.relocatable && i < b->mem->count; i++) {
        const ax_gpa low = b->mem->regions[i].gpa;

        *load = ax_align_up(low > pref ? low : pref, b->image.bz.alignment);
        if (ax_x86_boot_free(b, *load, need))
            return 0;
    }
    return ax_x86_boot_fail(b, b->conf->kernel.pos, -ENOSPC,
                            "kernel %s needs %s from %#" PRIx64
                            " on: they do not lie in the guest's %s of memory",
                            b->kernel.name, ax_x86_boot_size(need, text), pref,
                            ax_x86_boot_size(ax_memory_size(b->mem), total));
}

int ax_x86_boot_bzimage(struct boot *b)
{
    const bool wide = b->image.bz.entry64;
    ax_gpa load, params = AX_X86_BOOT_PARAMS_ADDR, entry,
                 cmdline = AX_X86_CMDLINE_ADDR;
    uint8_t *p;
    int err = linux_locate(b, &load);

    if (err)
        return err;
    entry = load + (wide ? ENTRY64_OFF : 0);
    ax_x86_boot_say(b, "bzImage %u.%02u, %s-bit entry at %#" PRIx64,
                    b->image.bz.version >> 8, b->image.bz.version & 0xff,
                    wide ? "64" : "32", entry);
    err = ax_x86_boot_claim(b, b->conf->kernel.pos, load, b->image.bz.init_size,
                            "kernel");
    if (!err)
        err = ax_x86_boot_tables(b, NULL);
    if (!err)
        err = ax_x86_boot_initrd(b, b->image.bz.initrd_max + 1);
    if (!err)
        err = ax_x86_boot_cmdline(b, ax_x86_linux_cmdline,
                                  b->image.bz.cmdline_size, &cmdline);
    if (!err)
        err = ax_x86_boot_params(b, cmdline, &params, &p);
    if (!err)
        err =
            wide ? ax_x86_boot_long(b, entry) : ax_x86_boot_protected(b, entry);
    if (!err)
        err = ax_x86_boot_load_kernel(b, load);
    if (err)
        return err;
    put_le(p + BP_CODE32_START, load, 4);
    ax_x86_boot_reg(b, AX_X86_RSI, params);
    ax_x86_boot_reg(b, AX_X86_RBP, 0);
    ax_x86_boot_reg(b, AX_X86_RDI, 0);
    ax_x86_boot_reg(b, AX_X86_RBX, 0);
    return 0;
}
