/*
 * boot_direct.c - AxVisor's protocol "direct" for a bzImage: its addresses, a
 * stub that enters the 32-bit kernel from real mode, a mandatory command line.
 * ACPI tables come on top; a command line with acpi=off ignores them.
 */
#include "arch/x86_64/blob.h"
#include "arch/x86_64/boot.h"
#include "arch/x86_64/boot_params.h"
#include "arch/x86_64/layout.h"

#include <errno.h>
#include <inttypes.h>

#define LE16(val) (val) & 0xff, (val) >> 8 & 0xff
#define LE32(val) LE16(val), LE16((val) >> 16)

enum {
    STUB_PROTECTED = 0x1d,
    STUB_ENTRY = 0x3c,
    STUB_GDTR = 0x42,
    STUB_GDT = 0x48,
    STUB_GDT_SIZE = 32,
};

/*
 * Linux's 32-bit protocol: flat segments 0x10 and 0x18, esi = boot_params,
 * ebp = edi = ebx = 0, interrupts off.
 */
/* clang-format off */
static const uint8_t stub[] = {
    /* 16-bit code at 0000:8000 */
    0xfa,                                         /* 00 cli */
    0xfc,                                         /* 01 cld */
    0x31, 0xc0,                                   /* 02 xor ax, ax */
    0x8e, 0xd8,                                   /* 04 mov ds, ax */
    0x0f, 0x01, 0x16,
        LE16(AX_X86_STUB_ADDR + STUB_GDTR),       /* 06 lgdt [gdtr] */
    0x0f, 0x20, 0xc0,                             /* 0b mov eax, cr0 */
    0x66, 0x83, 0xc8, 0x01,                       /* 0e or eax, 1 */
    0x0f, 0x22, 0xc0,                             /* 12 mov cr0, eax */
    0x66, 0xea,
        LE32(AX_X86_STUB_ADDR + STUB_PROTECTED),
        LE16(0x10),                               /* 15 jmp 10:protected */
    /* 32-bit code */
    0x66, 0xb8, LE16(0x18),                       /* 1d mov ax, 0x18 */
    0x8e, 0xd8,                                   /* 21 mov ds, ax */
    0x8e, 0xc0,                                   /* 23 mov es, ax */
    0x8e, 0xe0,                                   /* 25 mov fs, ax */
    0x8e, 0xe8,                                   /* 27 mov gs, ax */
    0x8e, 0xd0,                                   /* 29 mov ss, ax */
    0xbc, LE32(AX_X86_BOOT_PARAMS_ADDR),          /* 2b mov esp, 0x7000 */
    0xbe, LE32(AX_X86_BOOT_PARAMS_ADDR),          /* 30 mov esi, 0x7000 */
    0x31, 0xed,                                   /* 35 xor ebp, ebp */
    0x31, 0xff,                                   /* 37 xor edi, edi */
    0x31, 0xdb,                                   /* 39 xor ebx, ebx */
    0xb8, LE32(0),                                /* 3b mov eax, kernel */
    0xff, 0xe0,                                   /* 40 jmp eax */
    /* gdtr */
    LE16(STUB_GDT_SIZE - 1),                      /* 42 limit */
    LE32(AX_X86_STUB_ADDR + STUB_GDT),            /* 44 base */
    /* descriptors */
    0, 0, 0, 0, 0, 0, 0, 0,                       /* 48 null */
    0, 0, 0, 0, 0, 0, 0, 0,                       /* 50 not used */
    0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0,           /* 58 code, 4 GiB */
    0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0,           /* 60 data, 4 GiB */
};
/* clang-format on */

_Static_assert(sizeof(stub) == STUB_GDT + STUB_GDT_SIZE, "offsets above");

static int direct_exactly(const struct boot *b, ax_gpa want, ax_gpa got)
{
    const struct ax_pos nowhere = {0, 0};

    return want == got
               ? 0
               : ax_x86_boot_fail(b, nowhere, -ENOSPC,
                                  "AxVisor's direct boot needs free memory at "
                                  "%#" PRIx64,
                                  want);
}

static int direct_stub(struct boot *b, ax_gpa load)
{
    ax_gpa at = AX_X86_STUB_ADDR;
    uint8_t *p;
    int err = ax_x86_boot_data(b, &at, AX_X86_STUB_SIZE, "boot stub", &p);

    if (!err)
        err = direct_exactly(b, AX_X86_STUB_ADDR, at);
    if (err)
        return err;
    memcpy(p, stub, sizeof(stub));
    put_le(p + STUB_ENTRY, load, 4);
    return 0;
}

/* Zero page and command line, in one page. */
static int direct_params(struct boot *b, ax_gpa load)
{
    ax_gpa at = AX_X86_BOOT_PARAMS_ADDR;
    uint8_t *p;
    int err = ax_x86_boot_params(b, at + AX_X86_DIRECT_CMDLINE_OFF, &at, &p);

    if (!err)
        err = direct_exactly(b, AX_X86_BOOT_PARAMS_ADDR, at);
    if (err)
        return err;
    p[BP_LOADFLAGS] |= BP_USE_HEAP;
    put_le(p + BP_CODE32_START, load, 4);
    memcpy(p + AX_X86_DIRECT_CMDLINE_OFF, b->conf->cmdline,
           strlen(b->conf->cmdline) + 1);
    return 0;
}

static int direct_check_cmdline(const struct boot *b)
{
    const struct ax_pos pos = b->conf->kernel.pos;
    const uint32_t page = AX_X86_DIRECT_CMDLINE_SIZE - 1;
    const uint32_t max =
        b->image.bz.cmdline_size < page ? b->image.bz.cmdline_size : page;
    size_t len;

    if (!b->conf->cmdline)
        return ax_x86_boot_fail(b, pos, -EINVAL,
                                "AxVisor's direct boot of a bzImage needs a "
                                "cmdline, for example \"%s\"",
                                ax_x86_linux_cmdline);
    if (b->conf->virtio_cmdline)
        return ax_x86_boot_fail(b, pos, -EINVAL,
                                "AxVisor's direct boot announces no virtio "
                                "devices on the command line: leave out "
                                "virtio_cmdline, or kernel_load_addr and "
                                "entry_point");
    len = strlen(b->conf->cmdline);
    if (len > max)
        return ax_x86_boot_fail(b, pos, -EFBIG,
                                "the command line has %zu bytes, AxVisor's "
                                "direct boot of this kernel takes %u",
                                len, max);
    return 0;
}

/* From where the file goes to the end of what the kernel needs to unpack. */
static int direct_claim(struct boot *b, ax_gpa load)
{
    const ax_gpa pref = b->image.bz.pref_address;
    const uint64_t payload = b->image.bz.payload_size;
    ax_gpa run = pref, end;

    if (b->image.bz.relocatable)
        run = ax_align_up(load > pref ? load : pref, b->image.bz.alignment);
    else if (load != pref)
        return ax_x86_boot_fail(
            b, b->conf->kernel_load.pos, -ENOSPC,
            "kernel %s is not relocatable: kernel_load_addr must be %#" PRIx64,
            b->kernel.name, pref);
    if (run > AX_X86_HOLE_END || load > AX_X86_HOLE_END)
        return ax_x86_boot_fail(b, b->conf->kernel_load.pos, -ENOSPC,
                                "kernel %s: kernel_load_addr %#" PRIx64
                                " is above 4 GiB",
                                b->kernel.name, load);
    end = run + b->image.bz.init_size;
    if (end < load + payload)
        end = load + payload;
    return ax_x86_boot_claim(b, b->conf->kernel.pos, load, end - load,
                             "kernel");
}

int ax_x86_boot_direct(struct boot *b)
{
    /* boot_params and stub are neighbours. */
    const struct ax_e820_range ours = {
        AX_X86_BOOT_PARAMS_ADDR,
        AX_X86_BOOT_PARAMS_SIZE + AX_X86_STUB_SIZE,
    };
    const ax_gpa load = b->conf->kernel_load.given ? b->conf->kernel_load.val
                                                   : AX_X86_KERNEL_ADDR;
    int err = direct_check_cmdline(b);

    ax_x86_boot_say(b,
                    "bzImage %u.%02u, AxVisor's direct boot: stub at %#x, "
                    "32-bit entry at %#" PRIx64,
                    b->image.bz.version >> 8, b->image.bz.version & 0xff,
                    AX_X86_STUB_ADDR, load);
    if (!err)
        err = direct_claim(b, load);
    if (!err)
        err = ax_x86_boot_tables(b, &ours);
    if (!err)
        err = ax_x86_boot_initrd(b, b->image.bz.initrd_max + 1);
    if (!err)
        err = direct_params(b, load);
    if (!err)
        err = direct_stub(b, load);
    if (!err)
        err = ax_x86_boot_load_kernel(b, load);
    if (!err)
        ax_x86_boot_real(b, AX_X86_STUB_ADDR);
    return err;
}
