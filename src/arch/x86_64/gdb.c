/*
 * gdb.c - an x86 CPU as gdb sees it: as x86-64, or as i386 for guests that
 * never leave 32 bits, for which gdb will not disassemble or unwind otherwise.
 *
 * A register is read and written by itself, and a write that would leave the
 * CPU in a state that it cannot be in is refused: an engine would notice only
 * when it enters the guest, too late to say which register it was. So a
 * debugger takes no guest into or out of long mode. Writing what is there
 * already is no write.
 *
 * A segment has a hidden part that a debugger does not see. In real and virtual
 * 8086 mode it follows from the selector, and setting that sets both; elsewhere
 * it is in a descriptor table, from which only the guest can load it, and a
 * selector is refused. Bases can be set in any mode.
 */
#include "arch/x86_64/gdb.h"

#include "arch/x86_64/gdb_fpu.h"
#include "arch/x86_64/gdb_regs.h"
#include "arch/x86_64/machine.h"
#include "arch/x86_64/mode.h"
#include "arch/x86_64/regs.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum reg_kind {
    KIND_PLAIN, /* the engine's register arg, as far as size goes */
    KIND_FLAGS,
    KIND_SELECTOR, /* of the segment arg */
    KIND_FIXED,    /* as PLAIN, but cannot be set */
    KIND_XSAVE,    /* arg: enum ax_x86_fpu */
};

struct reg {
    const char *name;
    uint8_t size;
    uint8_t kind;
    unsigned arg;
};

#define REG_ROW(name, bits, type, more, kind, arg)                             \
    {#name, (bits) / 8, KIND_##kind, arg},
#define REG_ONE(name, bits, type, more, kind, arg) +1
#define REG_64(name, bits, type, more, kind, arg)  REG_64_##name,
#define REG_32(name, bits, type, more, kind, arg)  REG_32_##name,

static const struct reg regs_64[] = {GDB_ALL_64(REG_ROW)};
static const struct reg regs_32[] = {GDB_ALL_32(REG_ROW)};

enum { GDB_ALL_64(REG_64) REG_64_COUNT };
enum { GDB_ALL_32(REG_32) REG_32_COUNT };

enum { REG_BYTES = 16 }; /* the largest register's */

/* ---- reading ---- */

struct cpu {
    const struct ax_backend_ops *ops;
    struct ax_engine_vcpu *vcpu;
};

static void put(uint8_t *buf, uint64_t val, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        buf[i] = (uint8_t)(val >> 8 * i);
}

static uint64_t get(const uint8_t *buf, unsigned size)
{
    uint64_t val = 0;

    for (unsigned i = size; i-- > 0;)
        val = val << 8 | buf[i];
    return val;
}

static int xsave_get(const struct cpu *cpu, struct ax_x86_xsave *area)
{
    if (!cpu->ops->state_get)
        return -EINVAL;
    return cpu->ops->state_get(cpu->vcpu, AX_X86_STATE_XSAVE, area,
                               sizeof(*area));
}

static int cpu_get(const struct cpu *cpu, const struct reg *reg, uint8_t *buf)
{
    struct ax_x86_xsave area;
    uint64_t val = 0;
    int err;

    if (reg->kind == KIND_XSAVE) {
        err = xsave_get(cpu, &area);
        if (!err)
            ax_x86_fpu_get(&area, reg->arg, buf);
        return err;
    }
    err = cpu->ops->reg_get(cpu->vcpu, reg->arg, &val);
    if (!err)
        put(buf, val, reg->size);
    return err;
}

/* ---- writing ---- */

#define RFLAGS_BIT(bit, name) | 1U << (bit)
enum {
    RFLAGS_ONE = 0x2,     /* reserved, always set */
    RFLAGS_IOPL = 0x3000, /* two bits, and no name */
    RFLAGS_KNOWN = RFLAGS_IOPL AX_X86_RFLAGS_BITS(RFLAGS_BIT),
};

enum { CR8_MAX = 15 };
#define CR0_NW (1ULL << 29)
#define CR0_CD (1ULL << 30)

/* An address that the CPU can have (SDM 1, 3.3.7.1). */
static bool is_canonical(const struct cpu *cpu, uint64_t va)
{
    const uint64_t cr4 = ax_x86_reg(cpu->ops, cpu->vcpu, AX_X86_CR4);
    const unsigned spare = cr4 & AX_X86_CR4_LA57 ? 64 - 57 : 64 - 48;

    return (uint64_t)((int64_t)(va << spare) >> spare) == va;
}

/* With reg as val: SDM 3A, 2.5 and 3C, 27.3.1 (checks on VM entry). */
static bool is_system(const struct cpu *cpu, unsigned reg, uint64_t val)
{
    struct ax_x86_paging p;
    bool pg, lma;
    uint64_t cs;

    if (ax_x86_paging_of(cpu->ops, cpu->vcpu, &p))
        return false;
    *(reg == AX_X86_CR0   ? &p.cr0
      : reg == AX_X86_CR3 ? &p.cr3
      : reg == AX_X86_CR4 ? &p.cr4
                          : &p.efer) = val;
    cs = ax_x86_reg(cpu->ops, cpu->vcpu, AX_X86_CS + AX_X86_SEG_AR);
    pg = p.cr0 & AX_X86_CR0_PG;
    lma = p.efer & AX_X86_EFER_LMA;
    if ((pg && !(p.cr0 & AX_X86_CR0_PE)) ||
        ((p.cr0 & CR0_NW) && !(p.cr0 & CR0_CD)))
        return false;
    if (lma != (pg && (p.efer & AX_X86_EFER_LME)))
        return false;
    return lma ? (p.cr4 & AX_X86_CR4_PAE) != 0 : !(cs & AX_X86_AR_LONG);
}

/* Could the CPU have val in the engine's register reg, all others being what
 * they are? What depends on the CPU's features is the engine's to refuse. */
static bool is_possible(const struct cpu *cpu, unsigned reg, uint64_t val)
{
    switch (reg) {
    case AX_X86_RIP:
        return ax_x86_mode(cpu->ops, cpu->vcpu).bits == 64
                   ? is_canonical(cpu, val)
                   : !(val >> 32);
    case AX_X86_CR0:
    case AX_X86_CR3:
    case AX_X86_CR4:
    case AX_X86_EFER:
        return is_system(cpu, reg, val);
    case AX_X86_CR8:
        return val <= CR8_MAX;
    case AX_X86_DR6:
    case AX_X86_DR7:
    case AX_X86_ES + AX_X86_SEG_BASE:
    case AX_X86_CS + AX_X86_SEG_BASE:
    case AX_X86_SS + AX_X86_SEG_BASE:
    case AX_X86_DS + AX_X86_SEG_BASE:
        return !(val >> 32);
    case AX_X86_FS + AX_X86_SEG_BASE:
    case AX_X86_GS + AX_X86_SEG_BASE:
    case AX_X86_LDTR + AX_X86_SEG_BASE:
    case AX_X86_TR + AX_X86_SEG_BASE:
    case AX_X86_GDT_BASE:
    case AX_X86_IDT_BASE:
    case AX_X86_SYSENTER_ESP:
    case AX_X86_SYSENTER_EIP:
    case AX_X86_LSTAR:
    case AX_X86_CSTAR:
    case AX_X86_KERNEL_GS_BASE:
        return is_canonical(cpu, val);
    default:
        return true;
    }
}

static int plain_set(const struct cpu *cpu, unsigned reg, uint64_t val)
{
    if (!is_possible(cpu, reg, val))
        return -EINVAL;
    return cpu->ops->reg_set(cpu->vcpu, reg, val);
}

/* Bits that do not exist stay as they must be; VM is a switch of modes. */
static int flags_set(const struct cpu *cpu, uint64_t val)
{
    const uint64_t now = ax_x86_reg(cpu->ops, cpu->vcpu, AX_X86_RFLAGS);

    if ((val ^ now) & AX_X86_RFLAGS_VM)
        return -EINVAL;
    return cpu->ops->reg_set(cpu->vcpu, AX_X86_RFLAGS,
                             (val & (uint64_t)RFLAGS_KNOWN) | RFLAGS_ONE);
}

static int selector_set(const struct cpu *cpu, unsigned seg, uint64_t val)
{
    int err;

    if (val > UINT16_MAX || !ax_x86_mode(cpu->ops, cpu->vcpu).based)
        return -EINVAL;
    err = cpu->ops->reg_set(cpu->vcpu, seg + AX_X86_SEG_SELECTOR, val);
    return err ? err
               : cpu->ops->reg_set(cpu->vcpu, seg + AX_X86_SEG_BASE, val << 4);
}

static int xsave_set(const struct cpu *cpu, unsigned reg, const uint8_t *buf)
{
    struct ax_x86_xsave area;
    int err;

    if (!cpu->ops->state_set)
        return -EINVAL;
    err = xsave_get(cpu, &area);
    if (!err)
        err = ax_x86_fpu_set(&area, reg, buf);
    return err ? err
               : cpu->ops->state_set(cpu->vcpu, AX_X86_STATE_XSAVE, &area,
                                     sizeof(area));
}

static int cpu_set(const struct cpu *cpu, const struct reg *reg,
                   const uint8_t *buf)
{
    uint8_t now[REG_BYTES];
    int err = cpu_get(cpu, reg, now);

    if (err || !memcmp(now, buf, reg->size))
        return err;
    switch (reg->kind) {
    case KIND_PLAIN:
        return plain_set(cpu, reg->arg, get(buf, reg->size));
    case KIND_FLAGS:
        return flags_set(cpu, get(buf, reg->size));
    case KIND_SELECTOR:
        return selector_set(cpu, reg->arg, get(buf, reg->size));
    case KIND_XSAVE:
        return xsave_set(cpu, reg->arg, buf);
    default:
        return -EINVAL;
    }
}

/* ---- where it stands ---- */

int ax_x86_paging_of(const struct ax_backend_ops *ops,
                     struct ax_engine_vcpu *vcpu, struct ax_x86_paging *paging)
{
    int err = ops->reg_get(vcpu, AX_X86_CR0, &paging->cr0);

    if (!err)
        err = ops->reg_get(vcpu, AX_X86_CR3, &paging->cr3);
    if (!err)
        err = ops->reg_get(vcpu, AX_X86_CR4, &paging->cr4);
    return err ? err : ops->reg_get(vcpu, AX_X86_EFER, &paging->efer);
}

static int gdb_view(const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *vcpu, struct ax_gdb_view *view)
{
    struct ax_x86_paging p;
    uint64_t rip;
    int err = ops->reg_get(vcpu, AX_X86_RIP, &rip);

    if (!err)
        err = ax_x86_paging_of(ops, vcpu, &p);
    if (err)
        return err;
    *view = (struct ax_gdb_view){
        .pc = ax_x86_linear_pc(ops, vcpu),
        .paging = {p.cr0, p.cr3, p.cr4, p.efer},
    };
    view->pc_base = view->pc - rip;
    return 0;
}

static struct ax_x86_paging paging_from(const uint64_t words[AX_CORE_PAGING])
{
    return (struct ax_x86_paging){
        .cr0 = words[0],
        .cr3 = words[1],
        .cr4 = words[2],
        .efer = words[3],
    };
}

static bool gdb_translate(const struct ax_memory *mem,
                          const uint64_t paging[AX_CORE_PAGING], uint64_t va,
                          ax_gpa *gpa, struct ax_mapping *page)
{
    const struct ax_x86_paging p = paging_from(paging);

    return ax_x86_translate(mem, &p, va, gpa, page);
}

static void gdb_describe(const struct ax_backend_ops *ops,
                         struct ax_engine_vcpu *vcpu, char *buf, size_t size)
{
    const uint64_t activity = ax_x86_reg(ops, vcpu, AX_X86_ACTIVITY);
    const struct ax_x86_mode mode = ax_x86_mode(ops, vcpu);
    const char *halted = activity == AX_X86_HALTED ? ", halted" : "";

    if (activity == AX_X86_WAITS)
        snprintf(buf, size, "waits for SIPI");
    else if (ax_x86_reg(ops, vcpu, AX_X86_CR0) & AX_X86_CR0_PE)
        snprintf(buf, size, "%s, CPL %u%s", mode.name, mode.cpl, halted);
    else
        snprintf(buf, size, "%s%s", mode.name, halted);
}

/* ---- Linux ---- */

/*
 * Where Linux has its text (Documentation/arch/x86/x86_64/mm.rst): in the GiB
 * from LINUX_MAP on, and in steps of LINUX_ALIGN above LINUX_TEXT, to which it
 * was linked. The kernel unmaps what lies below it there.
 */
#define LINUX_MAP   0xffffffff80000000ULL
#define LINUX_TEXT  0xffffffff81000000ULL
#define LINUX_END   0xffffffffc0000000ULL
#define LINUX_ALIGN AX_MIB(2)

/* Page tables for user mode have this bit of CR3, the kernel's do not. */
#define LINUX_PTI_USER 0x1000ULL

enum { LINUX_HEAD = 16 }; /* bytes of text to look at */

/*
 * It is the kernel's, executable, aligned, in memory, has something in it, and
 * there is more behind it. The latter is not so of the piece of text that is
 * also mapped for user mode (page table isolation).
 */
static bool is_linux_text(const struct ax_memory *mem,
                          const struct ax_x86_paging *p, uint64_t va)
{
    static const uint8_t nothing[LINUX_HEAD];
    struct ax_mapping page;
    const uint8_t *head;
    ax_gpa gpa, next;

    if (!ax_x86_translate(mem, p, va, &gpa, &page) || page.user ||
        !(page.prot & AX_PROT_EXEC) || gpa % LINUX_ALIGN)
        return false;
    if (!ax_x86_translate(mem, p, va + LINUX_ALIGN, &next, NULL) ||
        next != gpa + LINUX_ALIGN)
        return false;
    head = ax_memory_at(mem, gpa, LINUX_HEAD, AX_PROT_READ);
    return head && memcmp(head, nothing, LINUX_HEAD) != 0;
}

static int linux_slide(const struct ax_memory *mem,
                       const struct ax_x86_paging *p, uint64_t *slide)
{
    for (uint64_t va = LINUX_MAP; va < LINUX_END; va += LINUX_ALIGN) {
        ax_gpa gpa;

        if (!ax_x86_translate(mem, p, va, &gpa, NULL))
            continue;
        if (va < LINUX_TEXT || !is_linux_text(mem, p, va))
            return -ENOENT;
        *slide = va - LINUX_TEXT;
        return 0;
    }
    return -ENOENT;
}

static int gdb_kaslr(const struct ax_memory *mem,
                     const uint64_t paging[AX_CORE_PAGING], uint64_t *slide)
{
    struct ax_x86_paging p = paging_from(paging);
    int err;

    if (!(p.cr0 & AX_X86_CR0_PG) || !(p.efer & AX_X86_EFER_LMA))
        return -ENOENT;
    err = linux_slide(mem, &p, slide);
    if (!err || !(p.cr3 & LINUX_PTI_USER))
        return err;
    p.cr3 &= ~LINUX_PTI_USER;
    return linux_slide(mem, &p, slide);
}

/* ---- the flavours ---- */

/* What a flavour's functions are: its table, and no more. */
#define GDB_FLAVOUR(bits)                                                      \
    static_assert(REG_##bits##_COUNT == AX_ARRAY_LEN(regs_##bits), "in step"); \
    static unsigned size_##bits(unsigned reg)                                  \
    {                                                                          \
        return reg < REG_##bits##_COUNT ? regs_##bits[reg].size : 0;           \
    }                                                                          \
    static const char *name_##bits(unsigned reg)                               \
    {                                                                          \
        return reg < REG_##bits##_COUNT ? regs_##bits[reg].name : NULL;        \
    }                                                                          \
    static int get_##bits(const struct ax_backend_ops *ops,                    \
                          struct ax_engine_vcpu *vcpu, unsigned reg,           \
                          uint8_t *buf)                                        \
    {                                                                          \
        const struct cpu cpu = {ops, vcpu};                                    \
                                                                               \
        return reg < REG_##bits##_COUNT                                        \
                   ? cpu_get(&cpu, &regs_##bits[reg], buf)                     \
                   : -EINVAL;                                                  \
    }                                                                          \
    static int set_##bits(const struct ax_backend_ops *ops,                    \
                          struct ax_engine_vcpu *vcpu, unsigned reg,           \
                          const uint8_t *buf)                                  \
    {                                                                          \
        const struct cpu cpu = {ops, vcpu};                                    \
                                                                               \
        return reg < REG_##bits##_COUNT                                        \
                   ? cpu_set(&cpu, &regs_##bits[reg], buf)                     \
                   : -EINVAL;                                                  \
    }

GDB_FLAVOUR(64)
GDB_FLAVOUR(32)

/* What gdb wants to know at every step. */
static const unsigned expedited_64[] = {REG_64_rbp, REG_64_rsp, REG_64_rip,
                                        REG_64_COUNT};
static const unsigned expedited_32[] = {REG_32_ebp, REG_32_esp, REG_32_eip,
                                        REG_32_COUNT};

static const char *const topics[] = {"registers", "mem", "tlb", "lapic",
                                     "ioapic",    "irq", NULL};

#define GDB_COMMON                                                             \
    .breakpoint = {0xcc}, .breakpoint_size = 1, .view = gdb_view,              \
    .translate = gdb_translate, .describe = gdb_describe, .topics = topics,    \
    .info = ax_x86_info, .kaslr = gdb_kaslr

static const struct ax_gdb_ops gdb_64 = {
    .name = "x86-64",
    .description = GDB_XML_64,
    .reg_count = REG_64_COUNT,
    .general_count = 0 GDB_GENERAL_64(REG_ONE),
    .pc = REG_64_rip,
    .expedited = expedited_64,
    .reg_size = size_64,
    .reg_name = name_64,
    .reg_get = get_64,
    .reg_set = set_64,
    GDB_COMMON,
};

/* 32-bit registers; gdb takes the width of code from the architecture alone. */
#define GDB_SHORT_FLAVOUR(arch)                                                \
    .name = arch, .description = GDB_XML_32(arch), .reg_count = REG_32_COUNT,  \
    .general_count = 0 GDB_GENERAL_32(REG_ONE), .pc = REG_32_eip,              \
    .expedited = expedited_32, .reg_size = size_32, .reg_name = name_32,       \
    .reg_get = get_32, .reg_set = set_32, GDB_COMMON

static const struct ax_gdb_ops gdb_32 = {GDB_SHORT_FLAVOUR("i386")};
static const struct ax_gdb_ops gdb_16 = {GDB_SHORT_FLAVOUR("i8086")};

const struct ax_gdb_ops *const ax_x86_gdb[] = {&gdb_64, &gdb_32, &gdb_16, NULL};
