/*
 * boot_cpu.c - the boot CPU at its first instruction, in each of three modes.
 *
 * Registers that are not set here stay as a reset leaves them. Interrupts are
 * off and the descriptor table is in guest memory, so that a guest may reload
 * its segments before it has a table of its own.
 */
#include "arch/x86_64/blob.h"
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"

#include <errno.h>
#include <inttypes.h>

/* Access rights in the VMX format, as in regs.h: flat 4 GiB. */
enum {
    AR_CODE_REAL = 0x009b,
    AR_CODE32 = 0xc09b,
    AR_CODE64 = 0xa09b,
    AR_DATA = 0xc093,
    AR_DATA_REAL = 0x0093,
};

/* Linux's selectors; slots 0 and 1 of the table are empty. */
enum { SEL_CODE = 0x10, SEL_DATA = 0x18, GDT_SIZE = 32 };

enum { RFLAGS_RESERVED = 0x2 };

void ax_x86_boot_reg(struct boot *b, unsigned reg, uint64_t val)
{
    struct ax_start *start = b->start;

    if (start->count < AX_START_REGS) {
        start->regs[start->count].reg = reg;
        start->regs[start->count].val = val;
        start->count++;
    }
}

static void boot_segment(struct boot *b, unsigned reg, uint64_t selector,
                         uint64_t base, uint64_t limit, uint64_t rights)
{
    ax_x86_boot_reg(b, reg + AX_X86_SEG_SELECTOR, selector);
    ax_x86_boot_reg(b, reg + AX_X86_SEG_BASE, base);
    ax_x86_boot_reg(b, reg + AX_X86_SEG_LIMIT, limit);
    ax_x86_boot_reg(b, reg + AX_X86_SEG_AR, rights);
}

static const unsigned data_segments[] = {AX_X86_ES, AX_X86_SS, AX_X86_DS,
                                         AX_X86_FS, AX_X86_GS};

void ax_x86_boot_real(struct boot *b, ax_gpa entry)
{
    /* Above 1 MiB no selector gives the base: as after a reset, F000. */
    const ax_gpa base = ax_align_down(entry, 0x10000);
    const uint64_t selector = base < AX_MIB(1) ? base >> 4 : 0xf000;

    boot_segment(b, AX_X86_CS, selector, base, 0xffff, AR_CODE_REAL);
    for (size_t i = 0; i < AX_ARRAY_LEN(data_segments); i++)
        boot_segment(b, data_segments[i], 0, 0, 0xffff, AR_DATA_REAL);
    ax_x86_boot_reg(b, AX_X86_RIP, entry - base);
    ax_x86_boot_reg(b, AX_X86_RFLAGS, RFLAGS_RESERVED);
}

/* A descriptor with base 0 and limit 4 GiB from VMX access rights. */
static uint64_t boot_descriptor(uint64_t rights)
{
    return 0x000f00000000ffffULL | rights << 40;
}

static int boot_flat_segments(struct boot *b, uint64_t code)
{
    ax_gpa gdt = AX_X86_GDT_ADDR;
    uint8_t *p;
    int err = ax_x86_boot_data(b, &gdt, GDT_SIZE, "descriptor table", &p);

    if (err)
        return err;
    put_le(p + SEL_CODE, boot_descriptor(code), 8);
    put_le(p + SEL_DATA, boot_descriptor(AR_DATA), 8);
    ax_x86_boot_reg(b, AX_X86_GDT_BASE, gdt);
    ax_x86_boot_reg(b, AX_X86_GDT_LIMIT, GDT_SIZE - 1);
    boot_segment(b, AX_X86_CS, SEL_CODE, 0, UINT32_MAX, code);
    for (size_t i = 0; i < AX_ARRAY_LEN(data_segments); i++)
        boot_segment(b, data_segments[i], SEL_DATA, 0, UINT32_MAX, AR_DATA);
    return 0;
}

/* A courtesy that no protocol asks for; none if the image has the place. */
static void boot_stack(struct boot *b)
{
    if (ax_x86_boot_free(b, AX_X86_STACK_ADDR, AX_X86_STACK_SIZE))
        ax_x86_boot_reg(b, AX_X86_RSP, AX_X86_STACK_ADDR + AX_X86_STACK_SIZE);
}

static int boot_check_entry(const struct boot *b, ax_gpa entry)
{
    if (entry >= AX_X86_HOLE_END)
        return ax_x86_boot_fail(b, b->conf->kernel.pos, -ENOEXEC,
                                "kernel %s: its entry %#" PRIx64
                                " is above 4 GiB",
                                b->kernel.name, entry);
    return 0;
}

int ax_x86_boot_protected(struct boot *b, ax_gpa entry)
{
    int err = boot_check_entry(b, entry);

    if (!err)
        err = boot_flat_segments(b, AR_CODE32);
    if (err)
        return err;
    ax_x86_boot_reg(b, AX_X86_CR0, AX_X86_CR0_PE | AX_X86_CR0_ET);
    ax_x86_boot_reg(b, AX_X86_RIP, entry);
    ax_x86_boot_reg(b, AX_X86_RFLAGS, RFLAGS_RESERVED);
    boot_stack(b);
    return 0;
}

enum {
    PTE_PRESENT_RW = 0x3,
    PTE_LARGE = 0x80,
    PAGE = 0x1000,
    PAGE_ENTRIES = 512,
    DIRECTORIES = 4,
};

/*
 * PML4, PDPT, four directories of 2 MiB pages: 1 GiB pages would save five
 * tables, but not every CPU has them.
 */
static int boot_identity_map(struct boot *b, ax_gpa *pml4)
{
    const uint64_t large = AX_MIB(2);
    uint8_t *p;
    int err;

    *pml4 = AX_X86_PAGES_ADDR;
    err = ax_x86_boot_data(b, pml4, AX_X86_PAGES_SIZE, "page tables", &p);
    if (err)
        return err;
    put_le(p, (*pml4 + PAGE) | PTE_PRESENT_RW, 8);
    for (unsigned i = 0; i < DIRECTORIES; i++)
        put_le(p + PAGE + 8 * (size_t)i,
               (*pml4 + (2 + (uint64_t)i) * PAGE) | PTE_PRESENT_RW, 8);
    p += 2 * (size_t)PAGE;
    for (unsigned i = 0; i < DIRECTORIES * PAGE_ENTRIES; i++)
        put_le(p + 8 * (size_t)i, i * large | PTE_LARGE | PTE_PRESENT_RW, 8);
    return 0;
}

int ax_x86_boot_long(struct boot *b, ax_gpa entry)
{
    ax_gpa pml4;
    int err = boot_check_entry(b, entry);

    if (!err)
        err = boot_flat_segments(b, AR_CODE64);
    if (!err)
        err = boot_identity_map(b, &pml4);
    if (err)
        return err;
    ax_x86_boot_reg(b, AX_X86_CR3, pml4);
    ax_x86_boot_reg(b, AX_X86_CR4, AX_X86_CR4_PAE);
    ax_x86_boot_reg(b, AX_X86_EFER, AX_X86_EFER_LME | AX_X86_EFER_LMA);
    ax_x86_boot_reg(b, AX_X86_CR0,
                    AX_X86_CR0_PE | AX_X86_CR0_ET | AX_X86_CR0_PG);
    ax_x86_boot_reg(b, AX_X86_RIP, entry);
    ax_x86_boot_reg(b, AX_X86_RFLAGS, RFLAGS_RESERVED);
    boot_stack(b);
    return 0;
}
