/*
 * core.c - an x86_64 vCPU in a core file: the registers as Linux orders them
 * for gdb, and all else as QEMU writes it, which crash(8) needs to find a
 * kernel that has moved (KASLR).
 *
 * Linux uapi asm/ptrace-abi and sys/user.h (struct user_regs_struct); QEMU's
 * note "QEMU" of type 0, version 1.
 */
#include "arch/x86_64/machine.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/regs.h"

#include <assert.h>
#include <elf.h>
#include <string.h>

/* No register of ours: 0. A system call's number means nothing here. */
enum { NONE = AX_X86_REGS };

static const unsigned gregs[] = {
    AX_X86_R15,
    AX_X86_R14,
    AX_X86_R13,
    AX_X86_R12,
    AX_X86_RBP,
    AX_X86_RBX,
    AX_X86_R11,
    AX_X86_R10,
    AX_X86_R9,
    AX_X86_R8,
    AX_X86_RAX,
    AX_X86_RCX,
    AX_X86_RDX,
    AX_X86_RSI,
    AX_X86_RDI,
    NONE,
    AX_X86_RIP,
    AX_X86_CS + AX_X86_SEG_SELECTOR,
    AX_X86_RFLAGS,
    AX_X86_RSP,
    AX_X86_SS + AX_X86_SEG_SELECTOR,
    AX_X86_FS + AX_X86_SEG_BASE,
    AX_X86_GS + AX_X86_SEG_BASE,
    AX_X86_DS + AX_X86_SEG_SELECTOR,
    AX_X86_ES + AX_X86_SEG_SELECTOR,
    AX_X86_FS + AX_X86_SEG_SELECTOR,
    AX_X86_GS + AX_X86_SEG_SELECTOR,
};

struct qemu_segment {
    uint32_t selector, limit, flags, pad;
    uint64_t base;
};

struct qemu_state {
    uint32_t version, size;
    uint64_t regs[18];
    struct qemu_segment segments[10];
    uint64_t cr[5];
};

static_assert(sizeof(struct qemu_state) == 432, "QEMU's note, version 1");
static_assert(sizeof(struct qemu_state) <= AX_CORE_STATE, "it fits");
static_assert(AX_ARRAY_LEN(gregs) == 27 && 27 <= AX_CORE_REGS, "ELF_NGREG");

static const unsigned qemu_regs[] = {
    AX_X86_RAX, AX_X86_RBX, AX_X86_RCX, AX_X86_RDX, AX_X86_RSI, AX_X86_RDI,
    AX_X86_RSP, AX_X86_RBP, AX_X86_R8,  AX_X86_R9,  AX_X86_R10, AX_X86_R11,
    AX_X86_R12, AX_X86_R13, AX_X86_R14, AX_X86_R15, AX_X86_RIP, AX_X86_RFLAGS,
};

static const unsigned qemu_segments[] = {
    AX_X86_CS, AX_X86_DS, AX_X86_ES,   AX_X86_FS,
    AX_X86_GS, AX_X86_SS, AX_X86_LDTR, AX_X86_TR,
};

enum { QEMU_GDT = AX_ARRAY_LEN(qemu_segments), QEMU_IDT };

static const unsigned qemu_crs[] = {AX_X86_CR0, NONE, AX_X86_CR2, AX_X86_CR3,
                                    AX_X86_CR4};

/* Rights in the place that they have in a descriptor's upper half. */
static uint32_t qemu_flags(uint64_t ar)
{
    return (uint32_t)(ar << 8) & 0x00f0ff00;
}

static struct qemu_state qemu_state(const uint64_t *regs)
{
    struct qemu_state q = {.version = 1, .size = sizeof(q)};

    for (size_t i = 0; i < AX_ARRAY_LEN(qemu_regs); i++)
        q.regs[i] = regs[qemu_regs[i]];
    for (size_t i = 0; i < AX_ARRAY_LEN(qemu_segments); i++) {
        const uint64_t *seg = regs + qemu_segments[i];

        q.segments[i] = (struct qemu_segment){
            .selector = (uint32_t)seg[AX_X86_SEG_SELECTOR],
            .limit = (uint32_t)seg[AX_X86_SEG_LIMIT],
            .flags = qemu_flags(seg[AX_X86_SEG_AR]),
            .base = seg[AX_X86_SEG_BASE],
        };
    }
    q.segments[QEMU_GDT].base = regs[AX_X86_GDT_BASE];
    q.segments[QEMU_GDT].limit = (uint32_t)regs[AX_X86_GDT_LIMIT];
    q.segments[QEMU_IDT].base = regs[AX_X86_IDT_BASE];
    q.segments[QEMU_IDT].limit = (uint32_t)regs[AX_X86_IDT_LIMIT];
    for (size_t i = 0; i < AX_ARRAY_LEN(qemu_crs); i++)
        q.cr[i] = regs[qemu_crs[i]];
    return q;
}

static int core_cpu(const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *vcpu, struct ax_core_cpu *cpu)
{
    uint64_t regs[AX_X86_REGS + 1] = {0};
    struct qemu_state state;
    int err = 0;

    for (unsigned reg = 0; !err && reg < AX_X86_REGS; reg++)
        err = ops->reg_get(vcpu, reg, &regs[reg]);
    if (err)
        return err;
    memset(cpu, 0, sizeof(*cpu));
    for (size_t i = 0; i < AX_ARRAY_LEN(gregs); i++)
        cpu->regs[i] = regs[gregs[i]];
    state = qemu_state(regs);
    memcpy(cpu->state, &state, sizeof(state));
    cpu->paged = regs[AX_X86_CR0] & AX_X86_CR0_PG;
    cpu->paging[0] = regs[AX_X86_CR0];
    cpu->paging[1] = regs[AX_X86_CR3];
    cpu->paging[2] = regs[AX_X86_CR4];
    cpu->paging[3] = regs[AX_X86_EFER];
    return 0;
}

static int core_walk(const struct ax_memory *mem,
                     const uint64_t paging[AX_CORE_PAGING],
                     bool (*fn)(void *ctx, const struct ax_mapping *page),
                     void *ctx)
{
    const struct ax_x86_paging p = {
        .cr0 = paging[0],
        .cr3 = paging[1],
        .cr4 = paging[2],
        .efer = paging[3],
    };

    return ax_x86_walk(mem, &p, fn, ctx);
}

const struct ax_core_ops ax_x86_core = {
    .machine = EM_X86_64,
    .reg_count = AX_ARRAY_LEN(gregs),
    .state_name = "QEMU",
    .state_size = sizeof(struct qemu_state),
    .cpu = core_cpu,
    .walk = core_walk,
};
