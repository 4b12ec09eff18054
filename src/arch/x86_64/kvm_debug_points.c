/*
 * kvm_debug_points.c - a debugger's points in the debug registers, beside the
 * guest's own. Intel SDM 3B, 18.2. Called by kvm_debug.c.
 */
#include "arch/x86_64/kvm_arch.h"

enum {
    /* DR7 */
    DR7_EXACT = 0x300,
    DR7_ONES = 0x400,
    DR7_GD = 0x2000,
};

bool ax_kvm_point_valid(enum ax_debug_point_kind kind, unsigned size,
                        uint64_t addr)
{
    switch (kind) {
    case AX_POINT_NONE:
        return true;
    case AX_POINT_EXEC:
        return size == 1;
    case AX_POINT_WRITE:
    case AX_POINT_ACCESS:
        return (size == 1 || size == 2 || size == 4 || size == 8) &&
               !(addr % size);
    default:
        return false;
    }
}

static uint64_t dr7_of(unsigned reg, enum ax_debug_point_kind kind,
                       unsigned size)
{
    static const uint64_t types[] = {
        [AX_POINT_EXEC] = 0, [AX_POINT_WRITE] = 1, [AX_POINT_ACCESS] = 3};
    static const uint64_t lens[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};

    return 2ULL << 2 * reg | (types[kind] | lens[size] << 2) << (16 + 4 * reg);
}

static bool dr7_enables(uint64_t dr7, unsigned reg)
{
    return dr7 >> 2 * reg & 3;
}

static bool dr7_executes(uint64_t dr7, unsigned reg)
{
    return !(dr7 >> (16 + 4 * reg) & 3);
}

/* A free debug register, or one of the guest's. */
static unsigned dr_take(const int *owner)
{
    for (unsigned reg = 0; reg < AX_DEBUG_POINTS; reg++) {
        if (owner[reg] == AX_KVM_DR_FREE)
            return reg;
    }
    for (unsigned reg = 0; reg < AX_DEBUG_POINTS; reg++) {
        if (owner[reg] == AX_KVM_DR_GUEST)
            return reg;
    }
    return 0; /* not reached: there are as many as points */
}

bool ax_kvm_has_points(const struct ax_kvm_debug *d)
{
    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        if (d->want.points[i].kind)
            return true;
    }
    return false;
}

/*
 * The guest's own stay where they are, so that DR6 tells what it expects. KVM
 * does not tell when the guest sets them, but on VT-x lets us guard them. On
 * SVM it minds the guest's own guard alone: there they are looked at when ours
 * change.
 */
int ax_kvm_make_points(struct ax_engine_vcpu *vcpu,
                       struct kvm_guest_debug *next)
{
    const struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);
    int err = ax_kvm_group_fill(vcpu, AX_KVM_DEBUGREGS);
    uint64_t own = arch->debugregs.dr7, dr7;

    if (err)
        return err;
    dr7 = DR7_ONES | (own & (DR7_EXACT | DR7_GD)) |
          (d->dr_pass ? 0U : (unsigned)DR7_GD);
    for (unsigned reg = 0; reg < AX_DEBUG_POINTS; reg++)
        d->owner[reg] = dr7_enables(own, reg) &&
                                !(d->guest_exec_left && dr7_executes(own, reg))
                            ? AX_KVM_DR_GUEST
                            : AX_KVM_DR_FREE;
    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        unsigned reg;

        if (!d->want.points[i].kind)
            continue;
        reg = dr_take(d->owner);
        d->owner[reg] = (int)i;
        next->arch.debugreg[reg] = d->want.points[i].addr;
        dr7 |= dr7_of(reg, d->want.points[i].kind, d->want.points[i].size);
    }
    for (unsigned reg = 0; reg < AX_DEBUG_POINTS; reg++) {
        if (d->owner[reg] != AX_KVM_DR_GUEST)
            continue;
        next->arch.debugreg[reg] = arch->debugregs.db[reg];
        dr7 |= own & (3ULL << 2 * reg | 0xfULL << (16 + 4 * reg));
    }
    next->arch.debugreg[7] = dr7;
    return 0;
}

uint64_t ax_kvm_sort_hits(struct ax_engine_vcpu *vcpu, uint64_t hits,
                          bool emulated, unsigned *points)
{
    const struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);
    uint64_t theirs = 0;

    if (hits && ax_kvm_group_fill(vcpu, AX_KVM_DEBUGREGS))
        return 0;
    for (unsigned reg = 0; reg < AX_DEBUG_POINTS; reg++) {
        if (!(hits >> reg & 1))
            continue;
        if (d->owner[reg] >= 0) {
            *points |= 1U << d->owner[reg];
        } else if (dr7_enables(arch->debugregs.dr7, reg)) {
            bool executes = dr7_executes(arch->debugregs.dr7, reg);

            /*
             * KVM's emulator looks at the guest's own by itself, and here it
             * does not mind RF, which would hold the guest there for ever.
             */
            if (emulated && executes)
                d->guest_exec_left = d->stale = true;
            else
                theirs |= 1ULL << reg;
            d->inject_rf |= executes;
        }
    }
    return theirs;
}

bool ax_kvm_guarded(struct ax_engine_vcpu *vcpu)
{
    const struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);

    if (!ax_kvm_group_fill(vcpu, AX_KVM_DEBUGREGS) &&
        arch->debugregs.dr7 & DR7_GD)
        return true;
    d->dr_pass = d->stale = true;
    return false;
}
