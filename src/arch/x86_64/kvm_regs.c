/*
 * kvm_regs.c - the registers and the larger state of a vCPU under KVM.
 *
 * Every ioctl costs microseconds, so each group of registers is read when it is
 * first asked for and kept until the guest runs. General registers that are set
 * reach KVM at the next entry. Of the system registers that holds only while
 * boot code makes up the first state, whose parts mean nothing to KVM alone;
 * once somebody has read a register, or the vCPU has run, a set goes to KVM at
 * once, as those of the other groups always do: what KVM refuses is -EINVAL and
 * changes nothing, so that no value a debugger sets ends the VM.
 */
#include "arch/x86_64/kvm_arch.h"

#include "log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where general registers lie in struct kvm_regs, by number. */
static const size_t regs_at[] = {
    [AX_X86_RAX] = offsetof(struct kvm_regs, rax),
    [AX_X86_RBX] = offsetof(struct kvm_regs, rbx),
    [AX_X86_RCX] = offsetof(struct kvm_regs, rcx),
    [AX_X86_RDX] = offsetof(struct kvm_regs, rdx),
    [AX_X86_RSI] = offsetof(struct kvm_regs, rsi),
    [AX_X86_RDI] = offsetof(struct kvm_regs, rdi),
    [AX_X86_RSP] = offsetof(struct kvm_regs, rsp),
    [AX_X86_RBP] = offsetof(struct kvm_regs, rbp),
    [AX_X86_R8] = offsetof(struct kvm_regs, r8),
    [AX_X86_R9] = offsetof(struct kvm_regs, r9),
    [AX_X86_R10] = offsetof(struct kvm_regs, r10),
    [AX_X86_R11] = offsetof(struct kvm_regs, r11),
    [AX_X86_R12] = offsetof(struct kvm_regs, r12),
    [AX_X86_R13] = offsetof(struct kvm_regs, r13),
    [AX_X86_R14] = offsetof(struct kvm_regs, r14),
    [AX_X86_R15] = offsetof(struct kvm_regs, r15),
    [AX_X86_RIP] = offsetof(struct kvm_regs, rip),
    [AX_X86_RFLAGS] = offsetof(struct kvm_regs, rflags),
};

static const struct {
    size_t at;
    unsigned width;
} sregs_at[] = {
#define SREG(reg, member)                                                      \
    [reg] = {offsetof(struct kvm_sregs, member),                               \
             sizeof(((struct kvm_sregs *)0)->member)}
    SREG(AX_X86_CR0, cr0),
    SREG(AX_X86_CR2, cr2),
    SREG(AX_X86_CR3, cr3),
    SREG(AX_X86_CR4, cr4),
    SREG(AX_X86_CR8, cr8),
    SREG(AX_X86_EFER, efer),
    SREG(AX_X86_APIC_BASE, apic_base),
    SREG(AX_X86_GDT_BASE, gdt.base),
    SREG(AX_X86_GDT_LIMIT, gdt.limit),
    SREG(AX_X86_IDT_BASE, idt.base),
    SREG(AX_X86_IDT_LIMIT, idt.limit),
#undef SREG
};

static const size_t segments_at[] = {
    offsetof(struct kvm_sregs, es),  offsetof(struct kvm_sregs, cs),
    offsetof(struct kvm_sregs, ss),  offsetof(struct kvm_sregs, ds),
    offsetof(struct kvm_sregs, fs),  offsetof(struct kvm_sregs, gs),
    offsetof(struct kvm_sregs, ldt), offsetof(struct kvm_sregs, tr),
};

/* Those that follow AX_X86_TSC (Intel SDM 4, table 2-2). */
static const uint32_t msrs_at[] = {
    0x10,       /* TSC */
    0x174,      /* SYSENTER_CS */
    0x175,      /* SYSENTER_ESP */
    0x176,      /* SYSENTER_EIP */
    0x1a0,      /* MISC_ENABLE */
    0x277,      /* PAT */
    0xc0000081, /* STAR */
    0xc0000082, /* LSTAR */
    0xc0000083, /* CSTAR */
    0xc0000084, /* SFMASK */
    0xc0000102, /* KERNEL_GS_BASE */
    0xc0000103, /* TSC_AUX */
};

static_assert(AX_ARRAY_LEN(msrs_at) == AX_KVM_MSRS, "one for each");

static uint64_t segment_get(const struct kvm_segment *seg, unsigned part)
{
    switch (part) {
    case AX_X86_SEG_SELECTOR:
        return seg->selector;
    case AX_X86_SEG_BASE:
        return seg->base;
    case AX_X86_SEG_LIMIT:
        return seg->limit;
    default:
        return seg->type | (unsigned)seg->s << 4 | (unsigned)seg->dpl << 5 |
               (unsigned)seg->present << 7 | (unsigned)seg->avl << 12 |
               (unsigned)seg->l << 13 | (unsigned)seg->db << 14 |
               (unsigned)seg->g << 15 | (unsigned)seg->unusable << 16;
    }
}

static void segment_set(struct kvm_segment *seg, unsigned part, uint64_t val)
{
    switch (part) {
    case AX_X86_SEG_SELECTOR:
        seg->selector = (uint16_t)val;
        break;
    case AX_X86_SEG_BASE:
        seg->base = val;
        break;
    case AX_X86_SEG_LIMIT:
        seg->limit = (uint32_t)val;
        break;
    default:
        seg->type = val & 0xf;
        seg->s = val >> 4 & 1;
        seg->dpl = val >> 5 & 3;
        seg->present = val >> 7 & 1;
        seg->avl = val >> 12 & 1;
        seg->l = val >> 13 & 1;
        seg->db = val >> 14 & 1;
        seg->g = val >> 15 & 1;
        seg->unusable = val >> 16 & 1;
        break;
    }
}

static struct kvm_segment *segment_at(struct arch_vcpu *arch, unsigned reg)
{
    return (struct kvm_segment *)(void *)((char *)&arch->sregs +
                                          segments_at[(reg - AX_X86_ES) / 4]);
}

/* ---- groups ---- */

/* KVM stops at one that it does not have: that one is remembered. */
static int msrs_fill(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;

    memset(arch->msrs, 0, sizeof(arch->msrs));
    for (;;) {
        union {
            struct kvm_msrs head;
            char room[sizeof(struct kvm_msrs) +
                      AX_KVM_MSRS * sizeof(struct kvm_msr_entry)];
        } list = {.head = {.nmsrs = 0}};
        unsigned which[AX_KVM_MSRS], asked = 0;
        int n;

        for (unsigned i = 0; i < AX_KVM_MSRS; i++) {
            if (arch->absent_msrs >> i & 1)
                continue;
            which[asked] = i;
            list.head.entries[asked++].index = msrs_at[i];
        }
        list.head.nmsrs = asked;
        n = ax_kvm_ioctl(vcpu->fd, KVM_GET_MSRS, (uintptr_t)&list);
        if (n < 0)
            return n;
        for (int i = 0; i < n; i++)
            arch->msrs[which[i]] = list.head.entries[i].data;
        if ((unsigned)n == asked)
            return 0;
        arch->absent_msrs |= 1U << which[n];
    }
}

/* What KVM's buffer has, which is larger where a guest may use AMX. */
static size_t xsave_size(struct ax_engine_vcpu *vcpu)
{
    size_t size = (size_t)ax_kvm_cap(vcpu->vm->fd, KVM_CAP_XSAVE2);

    return size > sizeof(struct kvm_xsave) ? size : sizeof(struct kvm_xsave);
}

static int xsave_fill(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;
    size_t size;

    if (!arch->xsave) {
        size = xsave_size(vcpu);
        arch->xsave = calloc(1, size);
        if (!arch->xsave)
            return -ENOMEM;
        arch->xsave_large = size > sizeof(struct kvm_xsave);
    }
    return ax_kvm_ioctl(vcpu->fd,
                        arch->xsave_large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE,
                        (uintptr_t)arch->xsave);
}

static int group_read(struct ax_engine_vcpu *vcpu, unsigned group)
{
    struct arch_vcpu *arch = vcpu->arch;

    switch (group) {
    case AX_KVM_REGS:
        return ax_kvm_ioctl(vcpu->fd, KVM_GET_REGS, (uintptr_t)&arch->regs);
    case AX_KVM_SREGS:
        return ax_kvm_ioctl(vcpu->fd, KVM_GET_SREGS, (uintptr_t)&arch->sregs);
    case AX_KVM_DEBUGREGS:
        return ax_kvm_ioctl(vcpu->fd, KVM_GET_DEBUGREGS,
                            (uintptr_t)&arch->debugregs);
    case AX_KVM_XCRS:
        return ax_kvm_ioctl(vcpu->fd, KVM_GET_XCRS, (uintptr_t)&arch->xcrs);
    case AX_KVM_MSR_GROUP:
        return msrs_fill(vcpu);
    case AX_KVM_MP_STATE:
        return ax_kvm_ioctl(vcpu->fd, KVM_GET_MP_STATE, (uintptr_t)&arch->mp);
    default:
        return xsave_fill(vcpu);
    }
}

int ax_kvm_group_fill(struct ax_engine_vcpu *vcpu, unsigned group)
{
    struct arch_vcpu *arch = vcpu->arch;
    int err;

    if (arch->valid & group)
        return 0;
    err = group_read(vcpu, group);
    if (err)
        return err;
    arch->valid |= group;
    /* While KVM steps it shows no TF at all. */
    if (group == AX_KVM_REGS && arch->debug.own_tf)
        arch->regs.rflags |= AX_KVM_TF;
    return 0;
}

int ax_kvm_groups_flush(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;
    int err = 0;

    if (arch->dirty & AX_KVM_SREGS)
        err = ax_kvm_ioctl(vcpu->fd, KVM_SET_SREGS, (uintptr_t)&arch->sregs);
    if (!err && (arch->dirty & AX_KVM_REGS))
        err = ax_kvm_ioctl(vcpu->fd, KVM_SET_REGS, (uintptr_t)&arch->regs);
    if (!err)
        arch->dirty = 0;
    else
        ax_log(vcpu->vm->log, AX_LOG_ERROR,
               "kvm: the CPU refuses the registers: %s", strerror(-err));
    return err;
}

/* From now on KVM has a say in what system registers are. */
static int regs_begin(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;
    int err = 0;

    if (!arch->begun && arch->dirty & AX_KVM_SREGS)
        err = ax_kvm_groups_flush(vcpu);
    if (!err)
        arch->begun = true;
    return err;
}

/* ---- registers ---- */

/* The group that has reg, 0: none. */
static unsigned reg_group(unsigned reg)
{
    if (reg <= AX_X86_RFLAGS)
        return AX_KVM_REGS;
    if (reg < AX_X86_REGS)
        return AX_KVM_SREGS;
    if (reg <= AX_X86_DR7)
        return AX_KVM_DEBUGREGS;
    if (reg == AX_X86_XCR0)
        return AX_KVM_XCRS;
    if (reg == AX_X86_ACTIVITY)
        return AX_KVM_MP_STATE;
    return reg < AX_X86_ALL_REGS ? AX_KVM_MSR_GROUP : 0;
}

static uint64_t *debugreg_at(struct arch_vcpu *arch, unsigned reg)
{
    __u64 *at = reg == AX_X86_DR6   ? &arch->debugregs.dr6
                : reg == AX_X86_DR7 ? &arch->debugregs.dr7
                                    : &arch->debugregs.db[reg - AX_X86_DR0];

    return (uint64_t *)(void *)at;
}

static uint64_t activity_get(const struct arch_vcpu *arch)
{
    switch (arch->mp.mp_state) {
    case KVM_MP_STATE_HALTED:
        return AX_X86_HALTED;
    case KVM_MP_STATE_UNINITIALIZED:
    case KVM_MP_STATE_INIT_RECEIVED:
    case KVM_MP_STATE_SIPI_RECEIVED:
        return AX_X86_WAITS;
    default:
        return AX_X86_ACTIVE;
    }
}

/* KVM keeps XCR0 alone; it has none where the host has no XSAVE. */
static uint64_t xcr0_get(const struct arch_vcpu *arch)
{
    return arch->xcrs.nr_xcrs ? arch->xcrs.xcrs[0].value : 0;
}

/* group is reg's, and valid. */
static uint64_t reg_read(struct arch_vcpu *arch, unsigned group, unsigned reg)
{
    uint64_t val = 0;

    switch (group) {
    case AX_KVM_REGS:
        memcpy(&val, (char *)&arch->regs + regs_at[reg], sizeof(val));
        return val;
    case AX_KVM_SREGS:
        if (reg >= AX_X86_ES)
            return segment_get(segment_at(arch, reg), (reg - AX_X86_ES) % 4);
        memcpy(&val, (char *)&arch->sregs + sregs_at[reg].at,
               sregs_at[reg].width);
        return val;
    case AX_KVM_DEBUGREGS:
        return *debugreg_at(arch, reg);
    case AX_KVM_XCRS:
        return xcr0_get(arch);
    case AX_KVM_MP_STATE:
        return activity_get(arch);
    default:
        return arch->msrs[reg - AX_X86_TSC];
    }
}

int ax_kvm_arch_reg_get(struct ax_engine_vcpu *vcpu, unsigned reg,
                        uint64_t *val)
{
    unsigned group = reg_group(reg);
    int err = group ? regs_begin(vcpu) : -EINVAL;

    *val = 0;
    if (!err)
        err = ax_kvm_group_fill(vcpu, group);
    if (!err)
        *val = reg_read(vcpu->arch, group, reg);
    return err;
}

/* What KVM makes of a value may be another one, so the group is read anew. */
static int group_written(struct ax_engine_vcpu *vcpu, unsigned group, int err)
{
    struct arch_vcpu *arch = vcpu->arch;

    arch->valid &= ~group;
    return err ? -EINVAL : 0;
}

static int sreg_set(struct ax_engine_vcpu *vcpu, unsigned reg, uint64_t val)
{
    struct arch_vcpu *arch = vcpu->arch;

    if (reg >= AX_X86_ES)
        segment_set(segment_at(arch, reg), (reg - AX_X86_ES) % 4, val);
    else
        memcpy((char *)&arch->sregs + sregs_at[reg].at, &val,
               sregs_at[reg].width);
    if (reg == AX_X86_CR8)
        vcpu->run->cr8 = val; /* at entries, where there is no local APIC */
    if (arch->begun)
        return group_written(
            vcpu, AX_KVM_SREGS,
            ax_kvm_ioctl(vcpu->fd, KVM_SET_SREGS, (uintptr_t)&arch->sregs));
    arch->dirty |= AX_KVM_SREGS;
    return 0;
}

static int debugreg_set(struct ax_engine_vcpu *vcpu, unsigned reg, uint64_t val)
{
    struct arch_vcpu *arch = vcpu->arch;

    *debugreg_at(arch, reg) = val;
    arch->debug.stale = true; /* the guest's own points have changed */
    return group_written(
        vcpu, AX_KVM_DEBUGREGS,
        ax_kvm_ioctl(vcpu->fd, KVM_SET_DEBUGREGS, (uintptr_t)&arch->debugregs));
}

static int xcr0_set(struct ax_engine_vcpu *vcpu, uint64_t val)
{
    struct arch_vcpu *arch = vcpu->arch;

    if (!arch->xcrs.nr_xcrs)
        return -EINVAL;
    arch->xcrs.xcrs[0].value = val;
    return group_written(
        vcpu, AX_KVM_XCRS,
        ax_kvm_ioctl(vcpu->fd, KVM_SET_XCRS, (uintptr_t)&arch->xcrs));
}

static int msr_set(struct ax_engine_vcpu *vcpu, unsigned reg, uint64_t val)
{
    union {
        struct kvm_msrs head;
        char room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    } list = {.head = {.nmsrs = 1}};

    list.head.entries[0].index = msrs_at[reg - AX_X86_TSC];
    list.head.entries[0].data = val;
    /* It tells how many it has taken. */
    return group_written(
        vcpu, AX_KVM_MSR_GROUP,
        ax_kvm_ioctl(vcpu->fd, KVM_SET_MSRS, (uintptr_t)&list) - 1);
}

int ax_kvm_arch_reg_set(struct ax_engine_vcpu *vcpu, unsigned reg, uint64_t val)
{
    struct arch_vcpu *arch = vcpu->arch;
    unsigned group = reg_group(reg);
    int err = group ? ax_kvm_group_fill(vcpu, group) : -EINVAL;

    if (err)
        return err;
    if (group == AX_KVM_MP_STATE)
        return -EINVAL;
    /* All registers at once are mostly those that were read before. */
    if (reg_read(arch, group, reg) == val && reg != AX_X86_TSC)
        return group == AX_KVM_MSR_GROUP &&
                       arch->absent_msrs >> (reg - AX_X86_TSC) & 1
                   ? -EINVAL
                   : 0;
    switch (group) {
    case AX_KVM_REGS:
        memcpy((char *)&arch->regs + regs_at[reg], &val, sizeof(val));
        arch->dirty |= AX_KVM_REGS;
        return 0;
    case AX_KVM_SREGS:
        return sreg_set(vcpu, reg, val);
    case AX_KVM_DEBUGREGS:
        return debugreg_set(vcpu, reg, val);
    case AX_KVM_XCRS:
        return xcr0_set(vcpu, val);
    default:
        return msr_set(vcpu, reg, val);
    }
}

/* ---- state ---- */

enum {
    XSAVE_LEGACY = 416, /* the rest of the 512 bytes is the software's */
    XSAVE_XMM = 160,
    XSAVE_MXCSR = 24,
    XSAVE_COMPONENTS = 512,
    XSAVE_YMM_HIGH = 576,
    XSAVE_X87_BIT = 1,
    XSAVE_SSE_BIT = 2,
    XSAVE_AVX_BIT = 4,
    FCW_INITIAL = 0x37f,
    MXCSR_INITIAL = 0x1f80,
};

static bool all_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

/* The components that are not in their initial state (SDM 1, 13.6). */
static uint64_t xsave_used(const struct ax_x86_xsave *x)
{
    uint64_t used = 0;
    uint16_t fcw;
    uint32_t mxcsr;

    memcpy(&fcw, x->legacy, sizeof(fcw));
    memcpy(&mxcsr, x->legacy + XSAVE_MXCSR, sizeof(mxcsr));
    if (fcw != FCW_INITIAL || !all_zero(x->legacy + 2, XSAVE_MXCSR - 2) ||
        !all_zero(x->legacy + 32, XSAVE_XMM - 32))
        used |= XSAVE_X87_BIT;
    if (mxcsr != MXCSR_INITIAL ||
        !all_zero(x->legacy + XSAVE_XMM, XSAVE_LEGACY - XSAVE_XMM))
        used |= XSAVE_SSE_BIT;
    if (!all_zero(x->ymm_high[0], sizeof(x->ymm_high)))
        used |= XSAVE_AVX_BIT;
    return used;
}

static int xsave_get(struct ax_engine_vcpu *vcpu, struct ax_x86_xsave *x)
{
    struct arch_vcpu *arch = vcpu->arch;
    int err = ax_kvm_group_fill(vcpu, AX_KVM_XSAVE);

    if (!err)
        memcpy(x, arch->xsave, sizeof(*x));
    return err;
}

/* Components beyond AVX stay as they are. */
static int xsave_set(struct ax_engine_vcpu *vcpu, const struct ax_x86_xsave *x)
{
    const uint64_t ours = XSAVE_X87_BIT | XSAVE_SSE_BIT | XSAVE_AVX_BIT;
    struct arch_vcpu *arch = vcpu->arch;
    uint8_t *to;
    uint64_t components;
    int err = ax_kvm_group_fill(vcpu, AX_KVM_XSAVE);

    if (err)
        return err;
    to = (uint8_t *)arch->xsave;
    memcpy(&components, to + XSAVE_COMPONENTS, sizeof(components));
    components = (components & ~ours) | (x->components & ours) | xsave_used(x);
    memcpy(to, x->legacy, XSAVE_LEGACY);
    memcpy(to + XSAVE_COMPONENTS, &components, sizeof(components));
    memcpy(to + XSAVE_YMM_HIGH, x->ymm_high, sizeof(x->ymm_high));
    return group_written(
        vcpu, AX_KVM_XSAVE,
        ax_kvm_ioctl(vcpu->fd, KVM_SET_XSAVE, (uintptr_t)arch->xsave));
}

static int lapic_get(struct ax_engine_vcpu *vcpu, struct ax_x86_lapic *lapic)
{
    if (vcpu->vm->irqchip == AX_IRQCHIP_NONE)
        return -EINVAL;
    return ax_kvm_ioctl(vcpu->fd, KVM_GET_LAPIC, (uintptr_t)lapic);
}

static int chip_get(struct ax_engine_vcpu *vcpu, unsigned id,
                    struct kvm_irqchip *chip)
{
    memset(chip, 0, sizeof(*chip));
    chip->chip_id = id;
    return ax_kvm_ioctl(vcpu->vm->fd, KVM_GET_IRQCHIP, (uintptr_t)chip);
}

static int irqchip_get(struct ax_engine_vcpu *vcpu, struct ax_x86_irqchip *out)
{
    struct kvm_irqchip chip;
    int err = vcpu->vm->irqchip == AX_IRQCHIP_KERNEL ? 0 : -EINVAL;

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; !err && i < AX_ARRAY_LEN(out->pic); i++) {
        err = chip_get(vcpu, i ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER,
                       &chip);
        out->pic[i].irr = chip.chip.pic.irr;
        out->pic[i].isr = chip.chip.pic.isr;
        out->pic[i].imr = chip.chip.pic.imr;
        out->pic[i].base = chip.chip.pic.irq_base;
        out->pic[i].auto_eoi = chip.chip.pic.auto_eoi;
    }
    if (!err)
        err = chip_get(vcpu, KVM_IRQCHIP_IOAPIC, &chip);
    if (err)
        return err;
    out->ioapic_id = chip.chip.ioapic.id;
    for (unsigned i = 0; i < AX_ARRAY_LEN(out->ioapic_pins); i++)
        out->ioapic_pins[i] = chip.chip.ioapic.redirtbl[i].bits;
    return 0;
}

static_assert(sizeof(struct ax_x86_lapic) == sizeof(struct kvm_lapic_state) &&
                  offsetof(struct ax_x86_xsave, ymm_high) == XSAVE_YMM_HIGH &&
                  KVM_IOAPIC_NUM_PINS == 24,
              "KVM's layouts");

int ax_kvm_arch_state_get(struct ax_engine_vcpu *vcpu, unsigned state,
                          void *buf, size_t size)
{
    if (state == AX_X86_STATE_XSAVE && size == sizeof(struct ax_x86_xsave))
        return xsave_get(vcpu, buf);
    if (state == AX_X86_STATE_LAPIC && size == sizeof(struct ax_x86_lapic))
        return lapic_get(vcpu, buf);
    if (state == AX_X86_STATE_IRQCHIP && size == sizeof(struct ax_x86_irqchip))
        return irqchip_get(vcpu, buf);
    return -EINVAL;
}

int ax_kvm_arch_state_set(struct ax_engine_vcpu *vcpu, unsigned state,
                          const void *buf, size_t size)
{
    if (state == AX_X86_STATE_XSAVE && size == sizeof(struct ax_x86_xsave))
        return xsave_set(vcpu, buf);
    return -EINVAL; /* the interrupt controllers are only shown */
}

/* ---- entry and exit ---- */

int ax_kvm_arch_enter(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;

    arch->begun = true;
    if (arch->debug.on)
        return ax_kvm_debug_enter(vcpu);
    return arch->dirty ? ax_kvm_groups_flush(vcpu) : 0;
}

void ax_kvm_arch_leave(struct ax_engine_vcpu *vcpu, int err)
{
    struct arch_vcpu *arch = vcpu->arch;

    arch->valid = 0;
    if (arch->debug.on)
        ax_kvm_debug_leave(vcpu, err);
}
