/*
 * kvm_debug.c - debugging a vCPU under KVM: single steps, breakpoint
 * instructions and debug registers, beside the guest's own use of them.
 *
 * KVM_SET_GUEST_DEBUG is made at an entry, and only if something differs from
 * what KVM has. While a step is under way registers travel in kvm_run, so that
 * it costs one KVM_RUN. What an exit is about may be the guest's own affair: it
 * then gets its exception at the next entry. Intel SDM 3B, chapter 18.
 */
#include "arch/x86_64/kvm_arch.h"

#include "log.h"

#include <errno.h>
#include <string.h>

enum {
    VECTOR_BP = 3,
    BREAKPOINT = 0xcc,
    STEP_AGAIN = 8,
    /* DR6 */
    DR6_HITS = 0xf,
    DR6_BD = 0x2000,
    DR6_BS = 0x4000,
    DR6_BT = 0x8000,
};

static bool debug_steps(const struct ax_kvm_debug *d)
{
    return d->told.control & KVM_GUESTDBG_SINGLESTEP;
}

/* What KVM is to be told of want. */
static int debug_make(struct ax_engine_vcpu *vcpu, struct kvm_guest_debug *next)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);

    memset(next, 0, sizeof(*next));
    for (unsigned reg = 0; reg < AX_DEBUG_POINTS; reg++)
        d->owner[reg] = AX_KVM_DR_FREE;
    if (d->want.step || d->dr_pass)
        next->control |= KVM_GUESTDBG_SINGLESTEP |
                         (d->block_irq ? KVM_GUESTDBG_BLOCKIRQ : 0U);
    if (d->want.soft)
        next->control |= KVM_GUESTDBG_USE_SW_BP;
    if (ax_kvm_has_points(d))
        next->control |= KVM_GUESTDBG_USE_HW_BP;
    if (next->control)
        next->control |= KVM_GUESTDBG_ENABLE;
    return next->control & KVM_GUESTDBG_USE_HW_BP
               ? ax_kvm_make_points(vcpu, next)
               : 0;
}

/* ---- entry ---- */

static int debug_tell(struct ax_engine_vcpu *vcpu,
                      const struct kvm_guest_debug *next, unsigned inject)
{
    struct kvm_guest_debug ask = *next;
    int err;

    ask.control |= inject;
    err = ax_kvm_ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, (uintptr_t)&ask);
    if (!err)
        ax_kvm_debug_of(vcpu)->told = *next;
    return err;
}

/* As long as KVM steps it hides TF, and forgets the guest's in the end. */
static int step_look(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;
    int err = ax_kvm_group_fill(vcpu, AX_KVM_REGS);

    if (!err)
        err = ax_kvm_group_fill(vcpu, AX_KVM_SREGS);
    if (!err)
        arch->debug.own_tf = arch->regs.rflags & AX_KVM_TF;
    return err;
}

static int step_begin(struct ax_engine_vcpu *vcpu)
{
    if (ax_kvm_debug_of(vcpu)->sync)
        vcpu->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    return step_look(vcpu); /* while KVM still shows TF */
}

static int step_end(struct ax_engine_vcpu *vcpu,
                    const struct kvm_guest_debug *next)
{
    struct arch_vcpu *arch = vcpu->arch;
    int err = ax_kvm_group_fill(vcpu, AX_KVM_REGS);

    if (!err)
        err = debug_tell(vcpu, next, 0);
    if (err)
        return err;
    if (arch->regs.rflags & AX_KVM_TF)
        arch->dirty |= AX_KVM_REGS;
    arch->debug.step_from = arch->regs;
    arch->debug.step_ended = true;
    arch->debug.own_tf = arch->debug.access = false;
    vcpu->run->kvm_valid_regs = 0;
    return 0;
}

/*
 * A step after a step. The CPU may have lost TF in between, by POPF or because
 * KVM emulated the instruction: it comes back with the registers, for nothing.
 */
static void step_again(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;

    vcpu->run->s.regs.regs = arch->regs;
    vcpu->run->s.regs.regs.rflags |= AX_KVM_TF;
    vcpu->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
    arch->dirty &= ~(unsigned)AX_KVM_REGS;
}

/* The guest's #DB: DR6 as the CPU would leave it. */
static int owe_db(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = &arch->debug;
    int err = ax_kvm_group_fill(vcpu, AX_KVM_DEBUGREGS);

    if (!err && d->inject_rf)
        err = ax_kvm_group_fill(vcpu, AX_KVM_REGS);
    if (err)
        return err;
    if (d->inject_rf) { /* the instruction will not fault again */
        arch->regs.rflags |= AX_KVM_RF;
        arch->dirty |= AX_KVM_REGS;
    }
    arch->debugregs.dr6 &= ~(uint64_t)(DR6_HITS | (d->inject_db & DR6_BD));
    arch->debugregs.dr6 |= d->inject_db;
    return ax_kvm_ioctl(vcpu->fd, KVM_SET_DEBUGREGS,
                        (uintptr_t)&arch->debugregs);
}

/*
 * Tells KVM of next, if it has to, and of the exception that the guest is owed.
 * While KVM holds another exception, that one goes first: ours is then due
 * again at the next entry, but for #BP, whose instruction will be met again.
 */
static int debug_change(struct ax_engine_vcpu *vcpu,
                        const struct kvm_guest_debug *next, unsigned inject,
                        bool always)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);
    int err = 0;

    if (inject)
        err = debug_tell(vcpu, next, inject);
    if (inject && err != -EBUSY)
        d->inject_db = 0;
    d->inject_bp = false;
    if ((inject && err == -EBUSY) ||
        (!inject && (always || memcmp(next, &d->told, sizeof(*next)))))
        err = debug_tell(vcpu, next, 0);
    return err;
}

/* Whoever was stepping, and does not any more, or the other way round. */
static int debug_turn(struct ax_engine_vcpu *vcpu, bool *steps,
                      struct kvm_guest_debug *next)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);
    const bool did = debug_steps(d);
    int err = 0;

    *next = d->told;
    if (d->stale)
        err = debug_make(vcpu, next);
    *steps = next->control & KVM_GUESTDBG_SINGLESTEP;
    if (!err && *steps && !did)
        err = step_begin(vcpu);
    else if (!err && !*steps && did)
        err = step_end(vcpu, next);
    if (!err)
        d->stale = false;
    return err;
}

static int debug_prepare(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = &arch->debug;
    const bool did = debug_steps(d);
    struct kvm_guest_debug next;
    unsigned inject = d->inject_db   ? KVM_GUESTDBG_INJECT_DB
                      : d->inject_bp ? KVM_GUESTDBG_INJECT_BP
                                     : 0U;
    bool steps, again;
    int err;

    d->step_ended = false;
    err = debug_turn(vcpu, &steps, &next);
    if (!err && d->inject_db)
        err = owe_db(vcpu);
    if (err)
        return err;
    if (steps)
        err = step_look(vcpu);
    if (err)
        return err;
    d->completing = steps && d->access;
    again = steps && did && d->sync && !inject && !d->completing;
    if (again)
        step_again(vcpu);
    else if (arch->dirty)
        err = ax_kvm_groups_flush(vcpu);
    if (!err)
        err = debug_change(vcpu, &next, inject,
                           steps && !d->sync && !d->completing);
    if (!err && steps && !d->completing) {
        d->step_from = arch->regs;
        ax_kvm_insn_look(vcpu);
    }
    return err;
}

int ax_kvm_debug_enter(struct ax_engine_vcpu *vcpu)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);
    int err;

    vcpu->run->kvm_dirty_regs = 0;
    err = debug_prepare(vcpu);
    d->soft = AX_KVM_SOFT_NONE;
    d->on = d->told.control || d->inject_db;
    if (err) {
        ax_log(vcpu->vm->log, AX_LOG_ERROR, "kvm: KVM_SET_GUEST_DEBUG: %s",
               strerror(-err));
        return err;
    }
    /* KVM's emulator leaves this one alone, the CPU never makes it 0. */
    vcpu->run->debug.arch.dr7 = 0;
    /*
     * The instruction that is stepped waits for the answer to its access. KVM
     * may end it without a word and go on with the next one.
     */
    if (d->completing)
        __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* ---- exit ---- */

static bool exit_wants_answer(unsigned reason)
{
    return reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO ||
           reason == KVM_EXIT_HYPERCALL || reason == KVM_EXIT_X86_RDMSR ||
           reason == KVM_EXIT_X86_WRMSR;
}

void ax_kvm_debug_leave(struct ax_engine_vcpu *vcpu, int err)
{
    struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = &arch->debug;

    d->access =
        !err && debug_steps(d) && exit_wants_answer(vcpu->run->exit_reason);
    if (!debug_steps(d) || !d->sync || (err && err != -EINTR))
        return;
    arch->regs = vcpu->run->s.regs.regs;
    arch->sregs = vcpu->run->s.regs.sregs;
    arch->valid = AX_KVM_REGS | AX_KVM_SREGS;
    if (d->own_tf)
        arch->regs.rflags |= AX_KVM_TF;
}

static void debug_report(struct ax_exit *ex, unsigned what, unsigned points,
                         uint64_t pc)
{
    ex->kind = what ? AX_EXIT_DEBUG : AX_EXIT_NOTHING;
    ex->debug.what = what;
    ex->debug.points = points;
    ex->debug.pc = pc;
}

/*
 * Has a step changed anything? After a VM exit on an instruction that was to be
 * stepped the CPU should know nothing of the step; but Bochs 2.7 keeps the trap
 * and springs it at the next entry, before any instruction.
 */
static bool step_changed(struct ax_engine_vcpu *vcpu)
{
    const struct arch_vcpu *arch = vcpu->arch;
    const struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);
    struct kvm_regs now;

    if (ax_kvm_group_fill(vcpu, AX_KVM_REGS))
        return true;
    now = arch->regs;
    now.rflags ^= (now.rflags ^ d->step_from.rflags) & AX_KVM_RF;
    return memcmp(&now, &d->step_from, sizeof(now)) != 0;
}

/* Of an instruction that does change nothing, a jump to itself, it is believed
 * if it comes again and again. */
static bool step_made(struct ax_engine_vcpu *vcpu)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);

    if (!step_changed(vcpu) && d->step_again++ < STEP_AGAIN)
        return false;
    d->step_again = 0;
    return true;
}

/* The one instruction has been executed; returns what the guest is owed. */
static uint64_t step_done(struct ax_engine_vcpu *vcpu)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);
    uint64_t owed = d->own_tf ? DR6_BS : 0;

    if (!ax_kvm_group_fill(vcpu, AX_KVM_REGS) &&
        !ax_kvm_group_fill(vcpu, AX_KVM_SREGS))
        ax_kvm_insn_done(vcpu);
    return owed;
}

/* Returns what debug_report is to tell of it. */
static unsigned exit_stepped(struct ax_engine_vcpu *vcpu)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);

    if (!step_made(vcpu))
        return 0;
    d->inject_db |= step_done(vcpu);
    d->stale |= d->dr_pass; /* the guest's own may be others now */
    d->dr_pass = false;
    return d->want.step ? AX_DEBUG_STEP : 0;
}

static void exit_trap(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    const struct kvm_debug_exit_arch *exit = &vcpu->run->debug.arch;
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);
    const uint64_t dr6 = exit->dr6, pc = exit->pc;
    unsigned what = 0, points = 0;

    d->inject_rf = false;
    d->inject_db |= dr6 & DR6_BT;
    if (dr6 & DR6_BD && ax_kvm_guarded(vcpu))
        d->inject_db |= DR6_BD;
    d->inject_db |= ax_kvm_sort_hits(vcpu, dr6 & DR6_HITS, !exit->dr7, &points);
    if (points)
        what |= AX_DEBUG_HARD;
    if (dr6 & DR6_BS && debug_steps(d))
        what |= exit_stepped(vcpu);
    else if (dr6 & DR6_BS && (!d->step_ended || step_changed(vcpu)))
        d->inject_db |= DR6_BS;
    debug_report(ex, what, points, pc);
}

/* Software KVMs do not trap it but fail on it. */
static bool failed_on_breakpoint(const struct kvm_run *run)
{
    return run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
           run->emulation_failure.ndata >= 3 &&
           run->emulation_failure.flags &
               KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES &&
           run->emulation_failure.insn_size &&
           run->emulation_failure.insn_bytes[0] == BREAKPOINT;
}

static bool exit_failed(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);

    if (!d->want.soft || !failed_on_breakpoint(vcpu->run) ||
        ax_kvm_group_fill(vcpu, AX_KVM_REGS) ||
        ax_kvm_group_fill(vcpu, AX_KVM_SREGS))
        return false;
    d->soft = AX_KVM_SOFT_FAILED;
    debug_report(ex, AX_DEBUG_SOFT, 0, ax_kvm_linear_pc(vcpu->arch));
    return true;
}

bool ax_kvm_debug_exit(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    const struct kvm_run *run = vcpu->run;
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);

    if (!d->on)
        return false;
    if (run->exit_reason != KVM_EXIT_DEBUG)
        return exit_failed(vcpu, ex);
    if (run->debug.arch.exception == VECTOR_BP) {
        d->soft = AX_KVM_SOFT_TRAP;
        debug_report(ex, AX_DEBUG_SOFT, 0, run->debug.arch.pc);
    } else {
        exit_trap(vcpu, ex);
    }
    return true;
}

void ax_kvm_arch_interrupted(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    const struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);

    if (!d->on || !d->completing || ax_kvm_group_fill(vcpu, AX_KVM_REGS) ||
        ax_kvm_group_fill(vcpu, AX_KVM_SREGS) ||
        arch->regs.rip == d->step_from.rip)
        return;
    d->inject_db |= step_done(vcpu);
    debug_report(ex, AX_DEBUG_STEP, 0, ax_kvm_linear_pc(arch));
}

/* ---- the contract ---- */

static void debug_ask_caps(struct ax_engine_vcpu *vcpu)
{
    const int needs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);

    if (d->asked_caps)
        return;
    d->sync = (ax_kvm_cap(vcpu->vm->fd, KVM_CAP_SYNC_REGS) & needs) == needs;
    d->block_irq = ax_kvm_cap(vcpu->vm->fd, KVM_CAP_SET_GUEST_DEBUG2) &
                   KVM_GUESTDBG_BLOCKIRQ;
    d->asked_caps = true;
}

int ax_kvm_arch_vcpu_debug(struct ax_engine_vcpu *vcpu,
                           const struct ax_debug *debug)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);

    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        if (!ax_kvm_point_valid(debug->points[i].kind, debug->points[i].size,
                                debug->points[i].addr))
            return -EINVAL;
    }
    if (ax_debug_equal(debug, &d->want))
        return 0;
    if (debug->step)
        debug_ask_caps(vcpu);
    d->want = *debug;
    d->dr_pass = false;
    d->on = d->stale = true;
    return 0;
}

int ax_kvm_arch_vcpu_debug_decline(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = &arch->debug;
    int err;

    if (d->soft == AX_KVM_SOFT_NONE)
        return -EINVAL;
    /* From the CPU KVM knows how long the instruction is that it goes past. */
    if (d->soft == AX_KVM_SOFT_FAILED) {
        err = ax_kvm_group_fill(vcpu, AX_KVM_REGS);
        if (err)
            return err;
        arch->regs.rip++;
        arch->dirty |= AX_KVM_REGS;
    }
    d->soft = AX_KVM_SOFT_NONE;
    d->inject_bp = d->on = true;
    return 0;
}
