/*
 * test_gdb_x86.c - what a debugger is told of an x86 CPU: its registers in both
 * flavours, modes, mappings, interrupts, and where Linux is.
 */
#include "arch/x86_64/gdb_fpu.h"
#include "arch/x86_64/machine.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/regs.h"
#include "debug/target.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RAM = 16 << 20, LONG_CODE = 0xa09b, CODE_32 = 0xc09b, CODE_16 = 0x9b };
enum { P = 0x1, W = 0x2, U = 0x4, LARGE = 0x80, REG_BYTES = 16 };
enum { T0 = 0x2000, T1 = 0x4000, T2 = 0x5000, T3 = 0x6000 };
#define NX (1ULL << 63)

/* ---- an engine that is an array ---- */

struct ax_engine_vcpu {
    uint64_t regs[AX_X86_ALL_REGS];
    struct ax_x86_xsave xsave;
    struct ax_x86_lapic lapic;
    struct ax_x86_irqchip irqchip;
    bool no_irqchip, no_lapic;
    unsigned sets; /* of registers and state */
};

static int fake_reg_get(struct ax_engine_vcpu *vcpu, unsigned reg,
                        uint64_t *val)
{
    if (reg >= AX_X86_ALL_REGS)
        return -EINVAL;
    *val = vcpu->regs[reg];
    return 0;
}

static int fake_reg_set(struct ax_engine_vcpu *vcpu, unsigned reg, uint64_t val)
{
    if (reg >= AX_X86_ALL_REGS)
        return -EINVAL;
    vcpu->regs[reg] = val;
    vcpu->sets++;
    return 0;
}

/* Which state, or NULL where it has none or of another size. */
static void *fake_state(struct ax_engine_vcpu *vcpu, unsigned state,
                        size_t size)
{
    if (state == AX_X86_STATE_XSAVE && size == sizeof(vcpu->xsave))
        return &vcpu->xsave;
    if (state == AX_X86_STATE_LAPIC && size == sizeof(vcpu->lapic))
        return vcpu->no_lapic ? NULL : &vcpu->lapic;
    if (state == AX_X86_STATE_IRQCHIP && size == sizeof(vcpu->irqchip))
        return vcpu->no_irqchip ? NULL : &vcpu->irqchip;
    return NULL;
}

static int fake_state_get(struct ax_engine_vcpu *vcpu, unsigned state,
                          void *buf, size_t size)
{
    const void *from = fake_state(vcpu, state, size);

    if (!from)
        return -EINVAL;
    memcpy(buf, from, size);
    return 0;
}

static int fake_state_set(struct ax_engine_vcpu *vcpu, unsigned state,
                          const void *buf, size_t size)
{
    void *to = fake_state(vcpu, state, size);

    if (!to)
        return -EINVAL;
    memcpy(to, buf, size);
    vcpu->sets++;
    return 0;
}

static const struct ax_backend_ops ops = {
    .reg_get = fake_reg_get,
    .reg_set = fake_reg_set,
    .state_get = fake_state_get,
    .state_set = fake_state_set,
};

/* An engine as small as the contract allows. */
static const struct ax_backend_ops small_ops = {
    .reg_get = fake_reg_get,
    .reg_set = fake_reg_set,
};

static struct ax_engine_vcpu cpu;
static struct ax_memory mem;
static char *text;
static size_t text_size;

static void init(void)
{
    memset(&cpu, 0, sizeof(cpu));
    ax_memory_init(&mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&mem, 0, RAM, AX_REGION_RAM), 0);
}

static void fini(void)
{
    ax_memory_fini(&mem);
    free(text);
    text = NULL;
}

TestSuite(gdb_x86, .init = init, .fini = fini, .timeout = 60);

/* ---- modes ---- */

static void real_mode(void)
{
    cpu.regs[AX_X86_CR0] = 0;
    cpu.regs[AX_X86_EFER] = 0;
    cpu.regs[AX_X86_CS + AX_X86_SEG_AR] = CODE_16;
}

static void protected_mode(uint64_t cs)
{
    real_mode();
    cpu.regs[AX_X86_CR0] = AX_X86_CR0_PE;
    cpu.regs[AX_X86_CS + AX_X86_SEG_AR] = cs;
}

static void paged_mode(uint64_t cr4)
{
    protected_mode(CODE_32);
    cpu.regs[AX_X86_CR0] |= AX_X86_CR0_PG;
    cpu.regs[AX_X86_CR3] = T0;
    cpu.regs[AX_X86_CR4] = cr4;
}

static void long_mode(void)
{
    paged_mode(AX_X86_CR4_PAE);
    cpu.regs[AX_X86_EFER] = AX_X86_EFER_LME | AX_X86_EFER_LMA | AX_X86_EFER_NXE;
    cpu.regs[AX_X86_CS + AX_X86_SEG_AR] = LONG_CODE;
}

static void put(ax_gpa table, unsigned index, uint64_t entry)
{
    uint64_t *at =
        ax_memory_at(&mem, table + 8 * (ax_gpa)index, 8, AX_PROT_WRITE);

    cr_assert_not_null(at);
    *at = entry;
}

/* ---- registers ---- */

static const struct ax_gdb_ops *flavour(unsigned i)
{
    cr_assert_eq(ax_arch_x86_64.gdb, ax_x86_gdb);
    return ax_x86_gdb[i];
}

static unsigned named(const struct ax_gdb_ops *gdb, const char *name)
{
    for (unsigned reg = 0; reg < gdb->reg_count; reg++) {
        if (!strcmp(gdb->reg_name(reg), name))
            return reg;
    }
    cr_assert_fail("%s has no %s", gdb->name, name);
    return 0;
}

static int set(const struct ax_gdb_ops *gdb, const char *name, uint64_t val)
{
    uint8_t buf[REG_BYTES] = {0};

    memcpy(buf, &val, sizeof(val));
    return gdb->reg_set(&ops, &cpu, named(gdb, name), buf);
}

static uint64_t get(const struct ax_gdb_ops *gdb, const char *name)
{
    const unsigned reg = named(gdb, name);
    uint8_t buf[REG_BYTES] = {0};
    uint64_t val;

    cr_assert_leq(gdb->reg_size(reg), 8);
    cr_assert_eq(gdb->reg_get(&ops, &cpu, reg, buf), 0);
    memcpy(&val, buf, sizeof(val));
    return val;
}

#define keeps(gdb, name, val)                                                  \
    do {                                                                       \
        cr_assert_eq(set(gdb, name, val), 0, "%s", name);                      \
        cr_assert_eq(get(gdb, name), val, "%s", name);                         \
    } while (0)

#define refuses(gdb, name, val)                                                \
    do {                                                                       \
        const uint64_t was = get(gdb, name);                                   \
                                                                               \
        cr_assert_eq(set(gdb, name, val), -EINVAL, "%s", name);                \
        cr_assert_eq(get(gdb, name), was, "%s", name);                         \
    } while (0)

/* The number in ATTRIBUTE="number" behind at. */
static unsigned attribute(const char *at, const char *name)
{
    const char *found = strstr(at, name);

    cr_assert_not_null(found);
    return (unsigned)strtoul(found + strlen(name) + 2, NULL, 10);
}

/* The description and the table are of one making; this reads both apart. */
Test(gdb_x86, description_and_numbers_agree)
{
    static const char *const names[] = {"x86-64", "i386", "i8086"};

    for (unsigned i = 0; i < AX_ARRAY_LEN(names); i++) {
        const struct ax_gdb_ops *gdb = flavour(i);
        const char *at = gdb->description, *avx = strstr(at, ".i386.avx\"");
        unsigned reg = 0, general = 0, bytes = 0;

        cr_assert_not_null(avx);
        for (; (at = strstr(at, "<reg ")); at++, reg++) {
            char name[32];

            cr_assert_eq(sscanf(at, "<reg name=\"%31[a-z0-9_]\"", name), 1);
            cr_assert_lt(reg, gdb->reg_count);
            cr_assert_str_eq(gdb->reg_name(reg), name);
            cr_assert_eq(gdb->reg_size(reg), attribute(at, "bitsize") / 8);
            cr_assert_leq(gdb->reg_size(reg), REG_BYTES);
            general += at < avx;
            bytes += at < avx ? gdb->reg_size(reg) : 0;
        }
        cr_assert_leq(bytes, AX_TARGET_REGS);
        cr_assert_eq(reg, gdb->reg_count);
        cr_assert_eq(general, gdb->general_count);
        cr_assert_eq(gdb->reg_size(reg), 0);
        cr_assert_null(gdb->reg_name(reg));
        cr_assert_eq(gdb->reg_get(&ops, &cpu, reg, NULL), -EINVAL);
        cr_assert_eq(gdb->reg_set(&ops, &cpu, reg, NULL), -EINVAL);
        cr_assert_eq(gdb->pc, named(gdb, i ? "eip" : "rip"));
        cr_assert_eq(gdb->expedited[0], named(gdb, i ? "ebp" : "rbp"));
        cr_assert_eq(gdb->expedited[1], named(gdb, i ? "esp" : "rsp"));
        cr_assert_eq(gdb->expedited[2], gdb->pc);
        cr_assert_eq(gdb->expedited[3], gdb->reg_count);
        cr_assert_eq(gdb->breakpoint_size, 1);
        cr_assert_eq(gdb->breakpoint[0], 0xcc);
        cr_assert_str_eq(gdb->name, names[i]);
    }
    cr_assert_null(flavour(AX_ARRAY_LEN(names)));
    /* By this gdb knows how wide instructions are. */
    cr_assert_not_null(
        strstr(flavour(2)->description, "<architecture>i8086</architecture>"));
}

/* A "g" packet as gdb has always had it, and what is added to that. */
Test(gdb_x86, general_registers_are_gdbs)
{
    static const char *const order_64[] = {
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8",
        "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip", "eflags",
        "cs",  "ss",  "ds",  "es",  "fs",  "gs",  "st0"};
    static const char *const order_32[] = {
        "eax",    "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip",
        "eflags", "cs",  "ss",  "ds",  "es",  "fs",  "gs",  "st0"};
    unsigned bytes[2] = {0};

    for (unsigned i = 0; i < AX_ARRAY_LEN(order_64); i++)
        cr_assert_eq(named(flavour(0), order_64[i]), i);
    for (unsigned i = 0; i < AX_ARRAY_LEN(order_32); i++)
        cr_assert_eq(named(flavour(1), order_32[i]), i);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned reg = 0; reg < flavour(i)->general_count; reg++)
            bytes[i] += flavour(i)->reg_size(reg);
        cr_assert_str_eq(flavour(i)->reg_name(flavour(i)->general_count - 1),
                         "gs_base");
    }
    cr_assert_eq(bytes[0], 17 * 8 + 7 * 4 + 80 + 8 * 4 + 256 + 4 + 16);
    cr_assert_eq(bytes[1], 16 * 4 + 80 + 8 * 4 + 128 + 4 + 8);
}

static bool is_fixed(const char *name)
{
    static const char *const fixed[] = {"ldtr", "ldtr_limit", "tr", "tr_limit",
                                        "apic_base"};

    for (size_t i = 0; i < AX_ARRAY_LEN(fixed); i++) {
        if (!strcmp(fixed[i], name))
            return true;
    }
    return false;
}

/* 4 is a value that every register can have; eflags adds what it must have. */
static void round_trip(const struct ax_gdb_ops *gdb, unsigned reg)
{
    const char *name = gdb->reg_name(reg);
    uint8_t in[REG_BYTES] = {4}, out[REG_BYTES], guard = 0xa5;
    const unsigned size = gdb->reg_size(reg);

    memset(out, guard, sizeof(out));
    if (is_fixed(name)) {
        cr_assert_eq(gdb->reg_set(&ops, &cpu, reg, in), -EINVAL, "%s", name);
        return;
    }
    for (unsigned i = 1; size > 8 && i < size; i++)
        in[i] = (uint8_t)(0x10 * i + reg);
    if (!strcmp(name, "ftag"))
        memset(in, 0xff, 2); /* all are empty, whatever they hold */
    cr_assert_eq(gdb->reg_set(&ops, &cpu, reg, in), 0, "%s", name);
    cr_assert_eq(gdb->reg_get(&ops, &cpu, reg, out), 0, "%s", name);
    if (!strcmp(name, "eflags"))
        in[0] |= 2;
    cr_assert_eq(memcmp(in, out, size), 0, "%s", name);
    for (unsigned i = size; i < REG_BYTES; i++)
        cr_assert_eq(out[i], guard, "%s is longer than told", name);
}

Test(gdb_x86, every_register_keeps_what_is_written)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct ax_gdb_ops *gdb = flavour(i);

        memset(&cpu, 0, sizeof(cpu));
        for (unsigned reg = 0; reg < gdb->reg_count; reg++)
            round_trip(gdb, reg);
        /* They are not each other: all still have what they were given. */
        cr_assert_eq(cpu.regs[AX_X86_R15], i ? 0 : 4);
        cr_assert_eq(cpu.regs[AX_X86_TSC_AUX], 4);
        cr_assert_eq(cpu.xsave.legacy[32 + 16], 4);
        cr_assert_eq(cpu.xsave.legacy[160 + 16 * 7], 4);
        cr_assert_eq(cpu.xsave.ymm_high[7][0], 4);
        cr_assert_eq(cpu.xsave.ymm_high[15][0], i ? 0 : 4);
        cr_assert_eq(cpu.xsave.components, 7);
    }
}

Test(gdb_x86, registers_have_their_width)
{
    const uint64_t wide = 0xffffffff81234567;

    long_mode();
    cpu.regs[AX_X86_RIP] = 0x1000;
    keeps(flavour(0), "rip", wide);
    keeps(flavour(0), "r15", wide);
    keeps(flavour(0), "fs_base", wide);
    keeps(flavour(0), "k_gs_base", wide);
    keeps(flavour(0), "lstar", wide);
    cr_assert_eq(cpu.regs[AX_X86_R15], wide);
    /* 32 bits of a 64-bit guest: what is not changed is not cut off. */
    cpu.regs[AX_X86_RAX] = wide;
    cr_assert_eq(get(flavour(1), "eax"), 0x81234567);
    cr_assert_eq(set(flavour(1), "eax", 0x81234567), 0);
    cr_assert_eq(cpu.regs[AX_X86_RAX], wide);
    keeps(flavour(1), "eax", 5);
    cr_assert_eq(cpu.regs[AX_X86_RAX], 5);
}

Test(gdb_x86, what_is_there_is_not_written)
{
    const struct ax_gdb_ops *gdb = flavour(0);
    uint8_t buf[REG_BYTES];

    long_mode();
    for (unsigned i = 0; i < AX_X86_ALL_REGS; i++)
        cpu.regs[i] |= 0x0123456789abcdef; /* no CPU has this */
    memset(&cpu.xsave, 0xff, sizeof(cpu.xsave));
    for (unsigned reg = 0; reg < gdb->reg_count; reg++) {
        cr_assert_eq(gdb->reg_get(&ops, &cpu, reg, buf), 0);
        cr_assert_eq(gdb->reg_set(&ops, &cpu, reg, buf), 0, "%s",
                     gdb->reg_name(reg));
    }
    cr_assert_eq(cpu.sets, 0);
}

Test(gdb_x86, impossible_values_are_refused)
{
    const struct ax_gdb_ops *gdb = flavour(0);

    long_mode();
    refuses(gdb, "rip", 0x0000800000000000);
    refuses(gdb, "gs_base", 0x0000800000000000);
    refuses(gdb, "gdtr_base", 0xffff000000000000);
    refuses(gdb, "sysenter_eip", 0x8000000000000000);
    refuses(gdb, "ss_base", 0x100000000);
    refuses(gdb, "dr7", 0x100000400);
    refuses(gdb, "cr8", 16);
    refuses(gdb, "mxcsr", 0x10000);
    refuses(gdb, "fctrl", 0x10000);
    refuses(gdb, "ftag", 0x10000);
    refuses(gdb, "fop", 0x800);
    cpu.xsave.components = AX_X86_COMPONENT_SSE;
    cpu.xsave.legacy[28] = 0xff; /* a CPU without DAZ beyond bit 7 */
    refuses(gdb, "mxcsr", 0x100);
    cpu.xsave.components = 0;
    cpu.regs[AX_X86_CR4] |= AX_X86_CR4_LA57;
    keeps(gdb, "rip", 0x0000800000000000);
    refuses(gdb, "rip", 0x0100000000000000);
    paged_mode(0);
    cpu.regs[AX_X86_RIP] = 0;
    refuses(gdb, "rip", 0x100000000);
}

/* A mode is entered by the guest: no single register does it. */
Test(gdb_x86, modes_cannot_be_switched)
{
    const struct ax_gdb_ops *gdb = flavour(0);
    const uint64_t pg_pe = AX_X86_CR0_PG | AX_X86_CR0_PE;

    long_mode();
    refuses(gdb, "cr0", AX_X86_CR0_PE);
    refuses(gdb, "cr0", AX_X86_CR0_PG);
    refuses(gdb, "cr0", pg_pe | 1U << 29);
    refuses(gdb, "cr4", 0);
    refuses(gdb, "efer", AX_X86_EFER_LMA);
    refuses(gdb, "efer", AX_X86_EFER_LME);
    refuses(gdb, "efer", 0);
    keeps(gdb, "cr0", pg_pe | 1U << 16);
    keeps(gdb, "cr3", 0x5000);
    keeps(gdb, "cr4", AX_X86_CR4_PAE | AX_X86_CR4_PSE);
    keeps(gdb, "efer", AX_X86_EFER_LMA | AX_X86_EFER_LME);
    refuses(gdb, "eflags", 0x20002); /* virtual 8086 mode */
    paged_mode(0);
    refuses(gdb, "efer", AX_X86_EFER_LME);
    keeps(gdb, "cr4", AX_X86_CR4_PAE);
    protected_mode(CODE_32);
    keeps(gdb, "efer", AX_X86_EFER_LME);
}

Test(gdb_x86, flags_keep_their_reserved_bits)
{
    long_mode();
    cr_assert_eq(set(flavour(0), "eflags", 0xfffdffff), 0);
    cr_assert_eq(cpu.regs[AX_X86_RFLAGS], 0x3d7fd7);
    cr_assert_eq(set(flavour(1), "eflags", 0), 0);
    cr_assert_eq(cpu.regs[AX_X86_RFLAGS], 2);
}

Test(gdb_x86, selectors_are_set_where_they_say_all)
{
    const struct ax_gdb_ops *gdb = flavour(0);

    real_mode();
    cpu.regs[AX_X86_CS] = 0xf000;
    cpu.regs[AX_X86_CS + AX_X86_SEG_BASE] = 0xffff0000;
    cr_assert_eq(set(gdb, "cs", 0xf000), 0); /* as it is after reset */
    cr_assert_eq(cpu.regs[AX_X86_CS + AX_X86_SEG_BASE], 0xffff0000);
    keeps(gdb, "cs", 0x1234);
    cr_assert_eq(get(gdb, "cs_base"), 0x12340);
    refuses(gdb, "ds", 0x10000);
    paged_mode(0);
    cpu.regs[AX_X86_RFLAGS] = 0x20002;
    keeps(flavour(1), "ds", 0x4321);
    cr_assert_eq(get(flavour(1), "ds_base"), 0x43210);
    long_mode();
    cpu.regs[AX_X86_RFLAGS] = 2;
    refuses(gdb, "ds", 0x10);
    refuses(gdb, "cs", 0x10);
    keeps(gdb, "ds_base", 0x1000);
}

Test(gdb_x86, an_engine_without_state_has_the_rest)
{
    const struct ax_gdb_ops *gdb = flavour(0);
    uint8_t buf[REG_BYTES] = {0};

    cr_assert_eq(gdb->reg_get(&small_ops, &cpu, named(gdb, "rax"), buf), 0);
    cr_assert_eq(gdb->reg_get(&small_ops, &cpu, named(gdb, "st0"), buf),
                 -EINVAL);
    cr_assert_eq(gdb->reg_get(&small_ops, &cpu, named(gdb, "mxcsr"), buf),
                 -EINVAL);
    cr_assert_eq(gdb->reg_set(&small_ops, &cpu, named(gdb, "xmm3"), buf),
                 -EINVAL);
}

/* ---- x87, SSE and AVX ---- */

/* A register's content for each kind of tag: valid, zero, special, empty. */
static void put_st(uint8_t *legacy, unsigned st, unsigned tag)
{
    static const uint8_t valid[10] = {[7] = 0x80, [8] = 0xff, [9] = 0x3f};
    static const uint8_t special[10] = {[7] = 0xc0, [8] = 0xff, [9] = 0x7f};
    static const uint8_t zero[10];

    memcpy(legacy + 32 + 16 * st,
           tag == 0   ? valid
           : tag == 1 ? zero
                      : special,
           10);
}

Test(gdb_x86, every_tag_word_survives)
{
    struct ax_x86_xsave area;

    for (unsigned top = 0; top < 8; top++) {
        for (uint32_t tags = 0; tags <= 0xffff; tags++) {
            uint8_t buf[4] = {(uint8_t)tags, (uint8_t)(tags >> 8)};
            uint8_t abridged = 0;

            memset(&area, 0, sizeof(area));
            area.components = AX_X86_COMPONENT_X87;
            area.legacy[3] = (uint8_t)(top << 3);
            for (unsigned i = 0; i < 8; i++) {
                const unsigned tag = tags >> 2 * i & 3;

                put_st(area.legacy, (i - top) & 7, tag);
                abridged |= (uint8_t)((tag != 3) << i);
            }
            cr_assert_eq(ax_x86_fpu_set(&area, AX_X86_FPU_TAG, buf), 0);
            cr_assert_eq(area.legacy[4], abridged);
            cr_assert_eq(ax_x86_fpu_tags(area.legacy), tags, "%x, top %u", tags,
                         top);
        }
    }
}

Test(gdb_x86, tags_follow_from_contents)
{
    static const struct {
        uint8_t st[10];
        unsigned tag;
    } cases[] = {
        {{[7] = 0x80, [8] = 1}, 0},                /* the smallest normal */
        {{[7] = 0x80}, 2},                         /* pseudo-denormal */
        {{[0] = 1}, 2},                            /* denormal */
        {{[9] = 0x80}, 1},                         /* -0 */
        {{[7] = 0x80, [8] = 0xff, [9] = 0x7f}, 2}, /* infinity */
        {{[7] = 0x40, [8] = 0xff, [9] = 0x3f}, 2}, /* unnormal */
        {{[7] = 0x80, [8] = 0xff, [9] = 0xbf}, 0}, /* -1 */
    };
    uint8_t legacy[512] = {[4] = 1};

    for (size_t i = 0; i < AX_ARRAY_LEN(cases); i++) {
        memcpy(legacy + 32, cases[i].st, 10);
        cr_assert_eq(ax_x86_fpu_tags(legacy), 0xfffc | cases[i].tag, "%zu", i);
    }
}

Test(gdb_x86, initial_state_reads_as_such)
{
    const struct ax_gdb_ops *gdb = flavour(0);
    static const uint8_t zero[REG_BYTES];
    uint8_t buf[REG_BYTES];

    memset(&cpu.xsave, 0xa5, sizeof(cpu.xsave));
    memset(cpu.xsave.legacy + 28, 0, 4); /* MXCSR_MASK */
    cpu.xsave.components = 0;
    cr_assert_eq(get(gdb, "fctrl"), 0x37f);
    cr_assert_eq(get(gdb, "fstat"), 0);
    cr_assert_eq(get(gdb, "ftag"), 0xffff);
    cr_assert_eq(get(gdb, "fioff"), 0);
    cr_assert_eq(get(gdb, "mxcsr"), 0x1f80);
    memset(buf, 0xff, sizeof(buf));
    cr_assert_eq(gdb->reg_get(&ops, &cpu, named(gdb, "xmm15"), buf), 0);
    cr_assert_eq(memcmp(buf, zero, 16), 0);
    cr_assert_eq(gdb->reg_get(&ops, &cpu, named(gdb, "ymm0h"), buf), 0);
    cr_assert_eq(memcmp(buf, zero, 16), 0);
    /* What is set is in use, and has nothing left of what was there. */
    keeps(gdb, "fstat", 0x3800);
    cr_assert_eq(cpu.xsave.components, AX_X86_COMPONENT_X87);
    cr_assert_eq(cpu.xsave.legacy[0], 0x7f);
    cr_assert_eq(cpu.xsave.legacy[32], 0);
    keeps(gdb, "mxcsr", 0x1fa0);
    cr_assert_eq(cpu.xsave.components, 3);
    cr_assert_eq(cpu.xsave.legacy[160], 0);
    memset(buf, 1, sizeof(buf));
    cr_assert_eq(gdb->reg_set(&ops, &cpu, named(gdb, "ymm1h"), buf), 0);
    cr_assert_eq(cpu.xsave.components, 7);
    cr_assert_eq(cpu.xsave.ymm_high[0][0], 0);
    cr_assert_eq(cpu.xsave.ymm_high[1][0], 1);
    cr_assert_eq(get(gdb, "mxcsr"), 0x1fa0);
}

Test(gdb_x86, the_fpu_is_where_fxsave_has_it)
{
    const struct ax_gdb_ops *gdb = flavour(0);
    uint8_t *image = cpu.xsave.legacy;

    cpu.xsave.components = AX_X86_COMPONENT_X87;
    for (unsigned i = 0; i < 32; i++)
        image[i] = (uint8_t)(0x80 + i);
    image[7] = 7;
    cr_assert_eq(get(gdb, "fctrl"), 0x8180);
    cr_assert_eq(get(gdb, "fstat"), 0x8382);
    cr_assert_eq(get(gdb, "fop"), 0x786);
    cr_assert_eq(get(gdb, "fioff"), 0x8b8a8988);
    cr_assert_eq(get(gdb, "fiseg"), 0x8f8e8d8c);
    cr_assert_eq(get(gdb, "fooff"), 0x93929190);
    cr_assert_eq(get(gdb, "foseg"), 0x97969594);
}

/* ---- where it stands ---- */

static void stands(uint64_t pc, uint64_t pc_base, const char *what)
{
    struct ax_gdb_view view;
    char buf[80];

    cr_assert_eq(flavour(0)->view(&ops, &cpu, &view), 0);
    cr_assert_eq(view.pc, pc, "%lx", (unsigned long)view.pc);
    cr_assert_eq(view.pc_base, pc_base);
    cr_assert_eq(view.paging[0], cpu.regs[AX_X86_CR0]);
    cr_assert_eq(view.paging[1], cpu.regs[AX_X86_CR3]);
    cr_assert_eq(view.paging[2], cpu.regs[AX_X86_CR4]);
    cr_assert_eq(view.paging[3], cpu.regs[AX_X86_EFER]);
    flavour(1)->describe(&ops, &cpu, buf, sizeof(buf));
    cr_assert_str_eq(buf, what);
}

Test(gdb_x86, tells_where_a_cpu_stands)
{
    uint64_t *cs = &cpu.regs[AX_X86_CS];

    real_mode();
    cpu.regs[AX_X86_RIP] = 0xfff0;
    cs[AX_X86_SEG_BASE] = 0xffff0000;
    stands(0xfffffff0, 0xffff0000, "real mode");
    cpu.regs[AX_X86_ACTIVITY] = AX_X86_WAITS;
    stands(0xfffffff0, 0xffff0000, "waits for SIPI");
    cpu.regs[AX_X86_ACTIVITY] = AX_X86_HALTED;
    stands(0xfffffff0, 0xffff0000, "real mode, halted");
    cpu.regs[AX_X86_ACTIVITY] = AX_X86_ACTIVE;
    protected_mode(CODE_32);
    cpu.regs[AX_X86_RIP] = 0x20000;
    stands(0x10000, 0xffffffffffff0000, "32-bit protected mode, CPL 0");
    cs[AX_X86_SEG_AR] = CODE_16;
    cs[AX_X86_SEG_BASE] = 0x100000;
    stands(0x120000, 0x100000, "16-bit protected mode, CPL 0");
    cpu.regs[AX_X86_RFLAGS] = 0x20002;
    stands(0x120000, 0x100000, "virtual 8086 mode, CPL 3");
    cpu.regs[AX_X86_RFLAGS] = 2;
    long_mode();
    cpu.regs[AX_X86_RIP] = 0xffffffff81000000;
    cpu.regs[AX_X86_ACTIVITY] = AX_X86_HALTED;
    stands(0xffffffff81000000, 0, "64-bit mode, CPL 0, halted");
    cs[AX_X86_SEG_AR] = CODE_32;
    cpu.regs[AX_X86_RIP] = 0x4000;
    cpu.regs[AX_X86_SS + AX_X86_SEG_AR] = 0x60;
    cpu.regs[AX_X86_ACTIVITY] = AX_X86_ACTIVE;
    stands(0x104000, 0x100000, "compatibility mode, CPL 3");
}

Test(gdb_x86, translates_by_a_view)
{
    struct ax_gdb_view view;
    struct ax_mapping page;
    ax_gpa gpa;

    long_mode();
    put(T0, 0, T1 | P | W);
    put(T1, 1, 0x40000000 | P | LARGE);
    cr_assert_eq(flavour(0)->view(&ops, &cpu, &view), 0);
    cr_assert(
        flavour(0)->translate(&mem, view.paging, 0x40001234, &gpa, &page));
    cr_assert_eq(gpa, 0x40001234);
    cr_assert_eq(page.size, 1 << 30);
    cr_assert_eq(page.prot, AX_PROT_READ | AX_PROT_EXEC);
    cr_assert_not(flavour(0)->translate(&mem, view.paging, 0x1234, &gpa, NULL));
}

/* ---- info ---- */

static int info_with(const struct ax_backend_ops *with, const char *topic)
{
    FILE *to;
    int err;

    free(text);
    text = NULL;
    to = open_memstream(&text, &text_size);
    cr_assert_not_null(to);
    err = flavour(0)->info(topic, with, &cpu, &mem, to);
    fclose(to);
    return err;
}

static const char *info(const char *topic)
{
    cr_assert_eq(info_with(&ops, topic), 0, "%s", topic);
    return text;
}

#define says(topic, words)                                                     \
    cr_assert_not_null(strstr(info(topic), words), "no \"%s\" in:\n%s", words, \
                       text)
#define is(topic, words)                                                       \
    cr_assert_str_eq(info(topic), words, "this is it:\n%s", text)

Test(gdb_x86, info_mem_merges_what_is_alike)
{
    long_mode();
    is("mem", "nothing is mapped\n");
    put(T0, 0x1ff, T1 | P | W | U);
    put(T0, 0, T1 | P | W | U);
    put(T1, 0, T2 | P | W | U);
    put(T2, 0, T3 | P | W | U);
    for (unsigned i = 0; i < 4; i++)
        put(T3, i, (0x10000 + 0x1000 * i) | P | U);
    put(T3, 4, 0x90000 | P | U);
    put(T3, 6, 0x91000 | P | W | NX);
    put(T2, 1, 0x400000 | P | W | LARGE);
    put(T2, 2, 0x600000 | P | W | LARGE);
    put(T1, 1, 0x40000000 | P | LARGE);
    put(T0, 0x1ff, 0);
    is("mem", "0000000000000000-0000000000004fff  r-x user    4 KiB pages\n"
              "0000000000006000-0000000000006fff  rw- kernel  4 KiB pages  "
              "at 91000\n"
              "0000000000200000-00000000005fffff  rwx kernel  2 MiB pages  "
              "at 400000\n"
              "0000000040000000-000000007fffffff  r-x kernel  1 GiB pages  "
              "at 40000000\n");
    says("tlb", "0000000000004000 -> 0000000000090000  r-x user    4 KiB\n"
                "0000000000006000 -> 0000000000091000  rw- kernel  4 KiB\n");
    says("tlb", "0000000000400000 -> 0000000000600000  rwx kernel  2 MiB\n");
    /* The upper half comes first, and ends where the lower half begins. */
    put(T0, 0x1ff, T0 | P | W);
    put(T0, 0x1fe, 0);
    put(T0, 0, 0);
    says("mem", "-ffffffffffffffff  rwx kernel");
}

Test(gdb_x86, info_mem_knows_other_modes)
{
    uint32_t *table = ax_memory_at(&mem, T0, 4096, AX_PROT_WRITE);

    real_mode();
    is("mem", "paging is off: addresses are physical\n");
    is("tlb", "paging is off: addresses are physical\n");
    is("tlb 0x1234", "paging is off: addresses are physical\n");
    paged_mode(AX_X86_CR4_PSE);
    table[0] = 0x800000 | P | W | LARGE;
    table[1023] = 0xc00000 | P | LARGE | U;
    is("mem", "00000000ffc00000-00000000ffffffff  r-x user    4 MiB pages  "
              "at c00000\n"
              "0000000000000000-00000000003fffff  rwx kernel  4 MiB pages  "
              "at 800000\n");
    is("tlb 0x1234", "PDE   at 0000000000002000:  00800083  P RW PS\n"
                     "0000000000001234 -> 0000000000801234  rwx kernel  "
                     "4 MiB page\n");
    says("tlb 0x100000000", "is not mapped: this mode has no such address");
}

Test(gdb_x86, info_tlb_walks_an_address)
{
    long_mode();
    put(T0, 0, T1 | P | W | U);
    put(T1, 0, T2 | P | W | U);
    put(T1, 1, RAM | P);
    put(T2, 0, T3 | P | W | U);
    put(T3, 1, 0x7000 | P | U | 0x1e0 | NX);
    put(T2, 1, 0x200000 | P | LARGE | 1 << 13);
    is("tlb 0x1abc",
       "PML4E at 0000000000002000:  0000000000004007  P RW US\n"
       "PDPTE at 0000000000004000:  0000000000005007  P RW US\n"
       "PDE   at 0000000000005000:  0000000000006007  P RW US\n"
       "PTE   at 0000000000006008:  80000000000071e5  P US A D PAT G XD\n"
       "0000000000001abc -> 0000000000007abc  r-- user    4 KiB page\n");
    says("tlb 8192", "PTE   at 0000000000006010:  0000000000000000 \n"
                     "0000000000002000 is not mapped: not present\n");
    says("tlb 0x200000", "is not mapped: reserved bits are set\n");
    says("tlb 0x40000000", "PDE   at 0000000001000000:  no memory\n");
    says("tlb 0x40000000", "is not mapped: a table that is not in guest");
    says("tlb 0x800000000000", "is not mapped: this mode has no such address");
    cr_assert_eq(info_with(&ops, "tlb nonsense"), -EINVAL);
    cr_assert_eq(info_with(&ops, "tlb 0x12g"), -EINVAL);
    cr_assert_eq(info_with(&ops, "tlb -1"), -EINVAL);
    cr_assert_eq(info_with(&ops, "tlb 0x10000000000000000"), -EINVAL);
    cr_assert_eq(info_with(&ops, "tlb "), -EINVAL);
    cr_assert_eq(info_with(&ops, "cheese"), -EINVAL);
}

Test(gdb_x86, topics_are_all_there)
{
    long_mode();
    for (const char *const *topic = flavour(0)->topics; *topic; topic++)
        cr_assert_eq(info_with(&ops, *topic), 0, "%s", *topic);
}

Test(gdb_x86, info_registers_has_all)
{
    long_mode();
    cpu.regs[AX_X86_RFLAGS] = 0x246;
    cpu.regs[AX_X86_LSTAR] = 0xffffffff81e00080;
    cpu.regs[AX_X86_DR7] = 0x400;
    cpu.regs[AX_X86_TSC] = 0x1122334455;
    cpu.xsave.components = AX_X86_COMPONENT_SSE;
    cpu.xsave.legacy[24] = 0xa0;
    cpu.xsave.legacy[25] = 0x1f;
    cpu.xsave.legacy[160] = 0x42;
    says("registers", "64-bit mode, CPL 0, paging on");
    says("registers", "[PF ZF IF]");
    says("registers", "dr7          0000000000000400");
    says("registers", "lstar        ffffffff81e00080");
    says("registers", "tsc          0000001122334455");
    says("registers", "mxcsr        00001fa0  [PE IM DM ZM OM UM PM]");
    says("registers", "fctrl        0000037f");
    says("registers", "xmm0         00000000000000000000000000000042");
    says("registers", "ymm15h       0000");
    cr_assert_eq(info_with(&small_ops, "registers"), 0);
    cr_assert_null(strstr(text, "xmm0"));
}

static void put_apic(unsigned off, uint32_t val)
{
    memcpy(cpu.lapic.page + off, &val, sizeof(val));
}

Test(gdb_x86, info_lapic_decodes)
{
    cpu.regs[AX_X86_APIC_BASE] = 0xfee00900;
    put_apic(0x20, 3U << 24);
    put_apic(0x30, 0x50014);
    put_apic(0x80, 0x20);
    put_apic(0xf0, 0x1ff);
    put_apic(0x110, 0x10001);
    put_apic(0x270, 1U << 31);
    put_apic(0x320, 0x300ec);
    put_apic(0x350, 0x8700);
    put_apic(0x360, 0x400);
    put_apic(0x380, 1000);
    put_apic(0x390, 250);
    put_apic(0x3e0, 0xb);
    put_apic(0x300, 0x8fd);
    put_apic(0x310, 2U << 24);
    is("lapic", "local APIC 3, version 14, xAPIC, boot CPU\n"
                "TPR 20  PPR 00  LDR 00000000  DFR 00000000  ESR 00\n"
                "SVR 1ff  spurious vector ff, enabled\n"
                "ISR       20 30\n"
                "IRR       ff\n"
                "TMR       none\n"
                "timer     vector ec, periodic, masked\n"
                "LINT0     vector 00, ExtINT, level, high\n"
                "LINT1     vector 00, NMI, edge, high\n"
                "error     vector 00\n"
                "counter   vector 00, fixed\n"
                "thermal   vector 00, fixed\n"
                "count     250 of 1000, divided by 1\n"
                "ICR       vector fd, fixed, to logical 2\n");
    put_apic(0x3e0, 0x3);
    put_apic(0x300, 0xc4500);
    says("lapic", "divided by 16\nICR       vector 00, INIT, to others\n");
    cpu.regs[AX_X86_APIC_BASE] |= 0x400;
    put_apic(0x300, 0xfd);
    put_apic(0x310, 0x123);
    says("lapic", "x2APIC");
    says("lapic", "to APIC 123");
    cpu.regs[AX_X86_APIC_BASE] = 0;
    says("lapic", "version 14, disabled\n");
}

Test(gdb_x86, info_ioapic_and_irq_decode)
{
    cpu.irqchip.pic[0].base = 0x20;
    cpu.irqchip.pic[0].imr = 0xfb;
    cpu.irqchip.pic[1].irr = 1;
    cpu.irqchip.pic[1].auto_eoi = true;
    for (unsigned i = 0; i < 24; i++)
        cpu.irqchip.ioapic_pins[i] = 0x10000;
    cpu.irqchip.ioapic_pins[4] = 0x0300000000000024;
    cpu.irqchip.ioapic_pins[9] = 0x010000000000e929;
    put_apic(0x210, 0x10);
    says("ioapic", "I/O APIC 0\n"
                   "pin  0   vector 00, fixed, edge, high, to APIC 00, "
                   "masked\n");
    says("ioapic", "pin  4   vector 24, fixed, edge, high, to APIC 03\n");
    says("ioapic", "pin 23   ");
    is("irq", "PIC 0     IRR 00  ISR 00  IMR fb  base 20\n"
              "PIC 1     IRR 01  ISR 00  IMR 00  base 00  auto EOI\n"
              "pin  4   vector 24, fixed, edge, high, to APIC 03\n"
              "pin  9   vector 29, lowest, level, low, to logical 01, taken\n"
              "LAPIC ISR none\n"
              "LAPIC IRR 24\n");
    cpu.no_irqchip = true;
    is("irq", "LAPIC ISR none\nLAPIC IRR 24\n");
    cr_assert_eq(info_with(&ops, "ioapic"), -EOPNOTSUPP);
    cpu.no_lapic = true;
    cr_assert_eq(info_with(&ops, "irq"), -EOPNOTSUPP);
    cr_assert_eq(info_with(&ops, "lapic"), -EOPNOTSUPP);
    cr_assert_eq(info_with(&small_ops, "lapic"), -EOPNOTSUPP);
    cr_assert_eq(text_size, 0);
}

/* ---- hostile guests ---- */

static unsigned lines(void)
{
    unsigned count = 0;

    for (const char *at = text; *at; at++)
        count += *at == '\n';
    return count;
}

Test(gdb_x86, endless_tables_end)
{
    for (unsigned i = 0; i < 512; i++)
        put(T0, i, T0 | P | W | U);
    long_mode();
    info("tlb");
    cr_assert_leq(lines(), 4097);
    cr_assert_not_null(strstr(text, "... and more: this ends after 4096"));
    info("mem");
    cr_assert_leq(lines(), 4097);
    cr_assert_not_null(strstr(text, "... and more page tables than can be"));
    /* No two pages in a row. */
    for (unsigned i = 0; i < 512; i += 2)
        put(T0, i, 0);
    info("mem");
    cr_assert_leq(lines(), 4097);
    cr_assert_not_null(strstr(text, "... and more: this ends after 4096"));
    info("tlb 0xffffffffffffffff");
    cr_assert_leq(lines(), 6);
}

Test(gdb_x86, any_state_can_be_shown)
{
    uint64_t seed = 88172645463325252ULL;

    for (unsigned round = 0; round < 50; round++) {
        uint8_t *bytes = (uint8_t *)&cpu;
        uint64_t *table = ax_memory_at(&mem, 0, 1 << 16, AX_PROT_WRITE);
        struct ax_gdb_view view;
        uint64_t slide;
        char buf[16];

        for (size_t i = 0; i < offsetof(struct ax_engine_vcpu, no_irqchip);
             i++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            bytes[i] = (uint8_t)(seed >> 56);
        }
        for (size_t i = 0; i < 2; i++)
            cpu.irqchip.pic[i].auto_eoi = round & 1;
        for (unsigned i = 0; i < 1 << 13; i++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            table[i] = (seed >> 32 & 0xffff) | P;
        }
        cpu.regs[AX_X86_CR3] &= 0xffff;
        for (const char *const *topic = flavour(0)->topics; *topic; topic++) {
            info(*topic);
            cr_assert_leq(lines(), 4097);
        }
        info("tlb 0x123456789abc");
        flavour(0)->describe(&ops, &cpu, buf, sizeof(buf));
        cr_assert_lt(strlen(buf), sizeof(buf));
        cr_assert_eq(flavour(0)->view(&ops, &cpu, &view), 0);
        flavour(0)->kaslr(&mem, view.paging, &slide);
    }
}

/* ---- Linux ---- */

/* The kernel's GiB: pages of 2 MiB from slide on, with a text in it. */
enum { KERNEL = 0x400000, KERNEL_PAGES = 3 };

static void map_linux(ax_gpa top, uint64_t slide)
{
    const unsigned index = (unsigned)((0x1000000 + slide) >> 21);

    memset(ax_memory_at(&mem, T0, 0x8000, AX_PROT_WRITE), 0, 0x8000);
    put(top, 511, T1 | P | W);
    put(T1, 510, T2 | P | W);
    for (unsigned i = 0; i < KERNEL_PAGES; i++)
        put(T2, index + i,
            (KERNEL + ((uint64_t)i << 21)) | P | LARGE | (i ? W | NX : 0));
    memset(ax_memory_at(&mem, KERNEL, 64, AX_PROT_WRITE), 0x90, 64);
}

static int kaslr(uint64_t *slide)
{
    struct ax_gdb_view view;

    cr_assert_eq(flavour(0)->view(&ops, &cpu, &view), 0);
    return flavour(1)->kaslr(&mem, view.paging, slide);
}

#define slides(val)                                                            \
    do {                                                                       \
        uint64_t got = ~0ULL;                                                  \
                                                                               \
        cr_assert_eq(kaslr(&got), 0);                                          \
        cr_assert_eq(got, val, "%lx", (unsigned long)got);                     \
    } while (0)
#define no_linux()                                                             \
    do {                                                                       \
        uint64_t got;                                                          \
                                                                               \
        cr_assert_eq(kaslr(&got), -ENOENT);                                    \
    } while (0)

Test(gdb_x86, finds_linux)
{
    long_mode();
    no_linux();
    map_linux(T0, 0);
    slides(0);
    map_linux(T0, 0x1b200000);
    slides(0x1b200000);
    map_linux(T0, 0x3e800000);
    slides(0x3e800000);
    paged_mode(AX_X86_CR4_PAE);
    no_linux();
    real_mode();
    no_linux();
}

Test(gdb_x86, finds_no_linux_that_cannot_be)
{
    const unsigned first = 0x1000000 >> 21;

    long_mode();
    map_linux(T0, 0);
    put(T2, 0, 0x200000 | P | LARGE); /* something lies below */
    no_linux();
    map_linux(T0, 0);
    put(T2, first, KERNEL | P | LARGE | NX);
    no_linux();
    map_linux(T0, 0);
    put(T2, first, (ax_gpa)RAM << 4 | P | LARGE); /* no memory */
    no_linux();
    map_linux(T0, 0);
    put(T2, first + 1, 0); /* less than a kernel */
    no_linux();
    map_linux(T0, 0);
    put(T2, first + 1, 0xa00000 | P | LARGE); /* in pieces */
    no_linux();
    map_linux(T0, 0);
    memset(ax_memory_at(&mem, KERNEL, 64, AX_PROT_WRITE), 0, 64);
    no_linux();
    map_linux(T0, 0);
    put(T0, 511, T1 | P | W | U);
    put(T1, 510, T2 | P | W | U);
    put(T2, first, KERNEL | P | LARGE | U);
    no_linux();
}

/* In user mode with page table isolation: a piece of the text is mapped. */
Test(gdb_x86, finds_linux_from_user_mode)
{
    enum { USER = T0 | 0x1000, U1 = 0x7000, U2 = 0x8000 };

    long_mode();
    map_linux(T0, 0x200000);
    put(USER, 511, U1 | P | W);
    put(U1, 510, U2 | P | W);
    put(U2, (0x1000000 >> 21) + 2, (KERNEL + 0x200000) | P | LARGE);
    memset(ax_memory_at(&mem, KERNEL + 0x200000, 64, AX_PROT_WRITE), 0x90, 64);
    cpu.regs[AX_X86_CR3] = USER;
    slides(0x200000);
    put(T0, 511, 0);
    no_linux();
}
