/*
 * boot_multiboot.c - multiboot 1: by the header of an ELF or flat image, and
 * AxVisor's protocol of the same name, which copies a file to its load address
 * and enters there, header or not.
 *
 * Multiboot Specification 0.6.96, chapter 3.
 */
#include "arch/x86_64/boot.h"
#include "arch/x86_64/blob.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"

#include <errno.h>
#include <inttypes.h>

enum {
    MB_BOOT_MAGIC = 0x2badb002,
    MB_CMDLINE_MAX = 0xffff,
    MB_WANT_VIDEO = 0x0004,
    MB_WANT_UNKNOWN = 0xfff8, /* of what must be honoured: bits 0 to 15 */
};

/* Offsets in the information, and the flags that say what is there. */
enum {
    MB_MEM_LOWER = 4,
    MB_MEM_UPPER = 8,
    MB_CMDLINE = 16,
    MB_MODS_COUNT = 20,
    MB_MODS_ADDR = 24,
    MB_MMAP_LENGTH = 44,
    MB_MMAP_ADDR = 48,
    MB_LOADER_NAME = 64,
    MB_HAS_MEMORY = 0x001,
    MB_HAS_CMDLINE = 0x004,
    MB_HAS_MODS = 0x008,
    MB_HAS_MMAP = 0x040,
    MB_HAS_LOADER_NAME = 0x200,
};

/* What follows the information in its page. */
enum {
    MB_AXVISOR_MMAP_AT = 0x40, /* where others have the loader's name */
    MB_MMAP_AT = 0x80,
    MB_MMAP_ENTRY = 24,
    MB_MODULE_AT = 0xf00,
    MB_NAME_AT = 0xf20,
};

_Static_assert(MB_MMAP_AT + AX_E820_MAX * MB_MMAP_ENTRY <= MB_MODULE_AT,
               "the map fits behind the information");

static const char loader_name[] = "axvm-run";

static uint32_t multiboot_mmap(const struct ax_e820 *map, uint8_t *p)
{
    for (unsigned i = 0; i < map->count; i++, p += MB_MMAP_ENTRY) {
        put_le(p, MB_MMAP_ENTRY - 4, 4); /* size: of what follows */
        put_le(p + 4, map->entries[i].addr, 8);
        put_le(p + 12, map->entries[i].size, 8);
        put_le(p + 20, map->entries[i].type, 4);
    }
    return map->count * MB_MMAP_ENTRY;
}

static void multiboot_write(const struct boot *b, uint8_t *p, ax_gpa gpa,
                            ax_gpa cmdline, bool axvisor)
{
    const uint32_t mmap_at = axvisor ? MB_AXVISOR_MMAP_AT : MB_MMAP_AT;
    uint32_t flags = MB_HAS_MEMORY | MB_HAS_MMAP;

    put_le(p + MB_MEM_LOWER, ax_e820_ram_from(&b->map, 0) / 1024, 4);
    put_le(p + MB_MEM_UPPER,
           ax_e820_ram_from(&b->map, AX_X86_HIGH_RAM_ADDR) / 1024, 4);
    put_le(p + MB_MMAP_ADDR, gpa + mmap_at, 4);
    put_le(p + MB_MMAP_LENGTH, multiboot_mmap(&b->map, p + mmap_at), 4);
    if (cmdline) {
        flags |= MB_HAS_CMDLINE;
        put_le(p + MB_CMDLINE, cmdline, 4);
    }
    if (b->initrd.size) {
        flags |= MB_HAS_MODS;
        put_le(p + MB_MODS_COUNT, 1, 4);
        put_le(p + MB_MODS_ADDR, gpa + MB_MODULE_AT, 4);
        put_le(p + MB_MODULE_AT, b->initrd_gpa, 4);
        put_le(p + MB_MODULE_AT + 4, b->initrd_gpa + b->initrd.size, 4);
        /* Its string is empty: the name's terminator. */
        put_le(p + MB_MODULE_AT + 8, gpa + MB_NAME_AT + sizeof(loader_name) - 1,
               4);
    }
    memcpy(p + MB_NAME_AT, loader_name, sizeof(loader_name));
    if (!axvisor) {
        flags |= MB_HAS_LOADER_NAME;
        put_le(p + MB_LOADER_NAME, gpa + MB_NAME_AT, 4);
    }
    put_le(p, flags, 4);
}

/* Everything but kernel and registers; *gpa is where the information lies. */
static int multiboot_data(struct boot *b, bool axvisor, ax_gpa *gpa)
{
    const bool has_words = b->conf->cmdline || b->conf->virtio_cmdline;
    ax_gpa cmdline = AX_X86_CMDLINE_ADDR;
    uint8_t *p;
    int err = ax_x86_boot_tables(b, NULL);

    *gpa = AX_X86_INFO_ADDR;
    if (!err)
        err = ax_x86_boot_initrd(b, AX_X86_HOLE_END);
    if (!err && has_words)
        err = ax_x86_boot_cmdline(b, "", MB_CMDLINE_MAX, &cmdline);
    if (!err)
        err = ax_x86_boot_data(b, gpa, AX_X86_INFO_SIZE,
                               "multiboot information", &p);
    if (!err)
        multiboot_write(b, p, *gpa, has_words ? cmdline : 0, axvisor);
    return err;
}

static int multiboot_enter(struct boot *b, ax_gpa entry, ax_gpa info)
{
    int err = ax_x86_boot_protected(b, entry);

    ax_x86_boot_reg(b, AX_X86_RAX, MB_BOOT_MAGIC);
    ax_x86_boot_reg(b, AX_X86_RBX, info);
    return err;
}

static int multiboot_check(const struct boot *b)
{
    const uint32_t flags = b->image.multiboot_flags;
    const struct ax_pos pos = b->conf->kernel.pos;

    if (flags & MB_WANT_UNKNOWN)
        return ax_x86_boot_fail(b, pos, -ENOEXEC,
                                "kernel %s: its multiboot header demands "
                                "features %#x, which are not known",
                                b->kernel.name, flags & MB_WANT_UNKNOWN);
    if (flags & MB_WANT_VIDEO)
        ax_x86_boot_warn(b, pos,
                         "kernel %s asks for a video mode: this machine has "
                         "no display, its console is COM1",
                         b->kernel.name);
    return 0;
}

int ax_x86_boot_multiboot(struct boot *b)
{
    const ax_gpa entry =
        b->image.multiboot ? b->image.multiboot_entry : b->image.entry;
    ax_gpa info;
    int err = multiboot_check(b);

    ax_x86_boot_say(b, "%s, multiboot entry at %#" PRIx64,
                    ax_image_kind_name(b->image.kind), entry);
    if (!err)
        err = ax_x86_boot_claim_kernel(b, 0);
    if (!err)
        err = multiboot_data(b, false, &info);
    if (!err)
        err = multiboot_enter(b, entry, info);
    return err ? err : ax_x86_boot_load_kernel(b, 0);
}

int ax_x86_boot_multiboot_raw(struct boot *b)
{
    const ax_gpa load = b->conf->kernel_load.given ? b->conf->kernel_load.val
                                                   : AX_X86_KERNEL_ADDR;
    ax_gpa info;
    int err;

    ax_x86_boot_say(b,
                    "flat binary, AxVisor's multiboot boot: 32-bit entry "
                    "at %#" PRIx64,
                    load);
    err = ax_x86_boot_claim_raw(b, load);
    if (!err)
        err = multiboot_data(b, true, &info);
    if (!err)
        err = multiboot_enter(b, load, info);
    return err ? err : ax_x86_boot_load_raw(b, load);
}

int ax_x86_boot_multiboot_info(struct boot *b)
{
    ax_gpa info;

    return multiboot_data(b, true, &info);
}
