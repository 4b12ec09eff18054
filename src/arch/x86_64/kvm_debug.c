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

#include "arch/x86_64/paging.h"
#include "log.h"

#include <errno.h>
#include <string.h>

enum {
    VECTOR_BP = 3,
    BREAKPOINT = 0xcc,
    PAGE_BYTES = 4096,
    /* DR6 */
    DR6_HITS = 0xf,
    DR6_BD = 0x2000,
    DR6_BS = 0x4000,
    DR6_BT = 0x8000,
    /* DR7 */
    DR7_EXACT = 0x300,
    DR7_ONES = 0x400,
    DR7_GD = 0x2000,
    /* instructions */
    OP_PUSHF = 0x9c,
    OP_POPF = 0x9d,
    OP_IRET = 0xcf,
};

static struct ax_kvm_debug *debug_of(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;

    return &arch->debug;
}

static bool debug_steps(const struct ax_kvm_debug *d)
{
    return d->told.control & KVM_GUESTDBG_SINGLESTEP;
}

/* ---- guest code and its stack; REGS and SREGS are valid ---- */

static bool code_is_64(const struct arch_vcpu *arch)
{
    return arch->sregs.efer & AX_X86_EFER_LMA && arch->sregs.cs.l;
}

static uint64_t linear_pc(const struct arch_vcpu *arch)
{
    return code_is_64(arch) ? arch->regs.rip
                            : (uint32_t)(arch->sregs.cs.base + arch->regs.rip);
}

static uint64_t linear_stack(const struct arch_vcpu *arch, unsigned off)
{
    uint64_t sp = arch->regs.rsp + off;

    if (code_is_64(arch))
        return sp;
    sp &= arch->sregs.ss.db ? UINT32_MAX : UINT16_MAX;
    return (uint32_t)(arch->sregs.ss.base + sp);
}

static void *guest_at(struct ax_engine_vcpu *vcpu, uint64_t linear,
                      unsigned len, unsigned prot)
{
    const struct arch_vcpu *arch = vcpu->arch;
    const struct ax_x86_paging paging = {
        .cr0 = arch->sregs.cr0,
        .cr3 = arch->sregs.cr3,
        .cr4 = arch->sregs.cr4,
        .efer = arch->sregs.efer,
    };
    ax_gpa gpa;

    if (!ax_x86_translate(&vcpu->vm->mem, &paging, linear, &gpa, NULL))
        return NULL;
    return ax_memory_at(&vcpu->vm->mem, gpa, len, prot);
}

/* Reads at most len bytes; returns how many there are in a row. */
static unsigned guest_read(struct ax_engine_vcpu *vcpu, uint64_t linear,
                           void *buf, unsigned len)
{
    unsigned done = 0;

    while (done < len) {
        unsigned left = PAGE_BYTES - (unsigned)((linear + done) % PAGE_BYTES);
        unsigned n = len - done < left ? len - done : left;
        const void *from = guest_at(vcpu, linear + done, n, AX_PROT_READ);

        if (!from)
            break;
        memcpy((uint8_t *)buf + done, from, n);
        done += n;
    }
    return done;
}

/* The length of the prefixes, and the size of an operand after them. */
static unsigned insn_prefixes(const uint8_t *code, unsigned count, bool is_64,
                              unsigned *size)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                       0x66, 0x67, 0xf0, 0xf2, 0xf3};
    unsigned i;

    for (i = 0; i < count; i++) {
        if (is_64 && (code[i] & 0xf0) == 0x40) { /* REX: the last one */
            *size = code[i] & 8 ? 8 : *size;
            return i + 1;
        }
        if (!memchr(prefixes, code[i], sizeof(prefixes)))
            break;
        if (code[i] == 0x66)
            *size = *size == 2 ? 4 : 2;
    }
    return i;
}

static uint64_t stack_read(struct ax_engine_vcpu *vcpu, unsigned off,
                           unsigned size)
{
    uint64_t val = 0;

    guest_read(vcpu, linear_stack(vcpu->arch, off), &val, size);
    return val;
}

/* Notes an instruction that is about to be stepped if flags pass through it. */
static void insn_look(struct ax_engine_vcpu *vcpu)
{
    const struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_flags_insn *insn = &debug_of(vcpu)->insn;
    const bool is_64 = code_is_64(arch);
    uint8_t code[AX_EXIT_BYTES];
    unsigned count = guest_read(vcpu, linear_pc(arch), code, sizeof(code));
    unsigned size = is_64 || arch->sregs.cs.db ? 4 : 2;
    unsigned at = insn_prefixes(code, count, is_64, &size);

    *insn = (struct ax_kvm_flags_insn){.kind = AX_KVM_INSN_OTHER};
    if (at >= count)
        return;
    if (is_64 && size == 4 && code[at] != OP_IRET)
        size = 8; /* PUSHF and POPF have no smaller one but 2 */
    insn->next = arch->regs.rip + at + 1;
    switch (code[at]) {
    case OP_PUSHF:
        insn->kind = AX_KVM_INSN_STORES;
        break;
    case OP_POPF:
        insn->kind = AX_KVM_INSN_LOADS;
        insn->image = stack_read(vcpu, 0, size);
        break;
    case OP_IRET:
        insn->kind = AX_KVM_INSN_LOADS;
        insn->next = stack_read(vcpu, 0, size);
        insn->image = stack_read(vcpu, 2 * size, size);
        break;
    default:
        break;
    }
}

/*
 * The instruction was stepped. TF, which is ours, must not be in flags that it
 * has stored; flags that it has loaded tell whether the guest steps itself.
 */
static void insn_done(struct ax_engine_vcpu *vcpu)
{
    struct ax_kvm_debug *d = debug_of(vcpu);
    struct arch_vcpu *arch = vcpu->arch;
    uint8_t *image;

    if (d->insn.kind == AX_KVM_INSN_OTHER || arch->regs.rip != d->insn.next)
        return;
    if (d->insn.kind == AX_KVM_INSN_LOADS) {
        arch->regs.rflags &= ~(uint64_t)AX_KVM_TF;
        arch->regs.rflags |= d->insn.image & AX_KVM_TF;
    } else if (!d->own_tf) {
        image = guest_at(vcpu, linear_stack(arch, 1), 1, AX_PROT_WRITE);
        if (image)
            *image &= (uint8_t) ~(AX_KVM_TF >> 8);
    }
}

/* ---- points in debug registers ---- */

static bool point_valid(enum ax_debug_point_kind kind, unsigned size,
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

static bool debug_has_points(const struct ax_kvm_debug *d)
{
    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        if (d->want.points[i].kind)
            return true;
    }
    return false;
}

/*
 * The guest's own stay where they are, so that DR6 tells what it expects. They
 * are looked at when ours change: KVM does not tell when the guest sets them.
 */
static int debug_make_points(struct ax_engine_vcpu *vcpu,
                             struct kvm_guest_debug *next)
{
    const struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = debug_of(vcpu);
    int err = ax_kvm_group_fill(vcpu, AX_KVM_DEBUGREGS);
    uint64_t own = arch->debugregs.dr7, dr7;

    if (err)
        return err;
    dr7 = DR7_ONES | (own & (DR7_EXACT | DR7_GD));
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

/* What KVM is to be told of want. */
static int debug_make(struct ax_engine_vcpu *vcpu, struct kvm_guest_debug *next)
{
    struct ax_kvm_debug *d = debug_of(vcpu);

    memset(next, 0, sizeof(*next));
    for (unsigned reg = 0; reg < AX_DEBUG_POINTS; reg++)
        d->owner[reg] = AX_KVM_DR_FREE;
    if (d->want.step)
        next->control |= KVM_GUESTDBG_SINGLESTEP |
                         (d->block_irq ? KVM_GUESTDBG_BLOCKIRQ : 0U);
    if (d->want.soft)
        next->control |= KVM_GUESTDBG_USE_SW_BP;
    if (debug_has_points(d))
        next->control |= KVM_GUESTDBG_USE_HW_BP;
    if (next->control)
        next->control |= KVM_GUESTDBG_ENABLE;
    return next->control & KVM_GUESTDBG_USE_HW_BP
               ? debug_make_points(vcpu, next)
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
        debug_of(vcpu)->told = *next;
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
    if (debug_of(vcpu)->sync)
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
    struct ax_kvm_debug *d = debug_of(vcpu);
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
    struct ax_kvm_debug *d = debug_of(vcpu);
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
    int err = debug_turn(vcpu, &steps, &next);

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
        d->step_from = arch->regs.rip;
        insn_look(vcpu);
    }
    return err;
}

int ax_kvm_debug_enter(struct ax_engine_vcpu *vcpu)
{
    struct ax_kvm_debug *d = debug_of(vcpu);
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

/* The one instruction has been executed; returns what the guest is owed. */
static uint64_t step_done(struct ax_engine_vcpu *vcpu)
{
    struct ax_kvm_debug *d = debug_of(vcpu);
    uint64_t owed = d->own_tf ? DR6_BS : 0;

    if (!ax_kvm_group_fill(vcpu, AX_KVM_REGS) &&
        !ax_kvm_group_fill(vcpu, AX_KVM_SREGS))
        insn_done(vcpu);
    return owed;
}

/*
 * Of the registers that were hit: *points are ours, the rest, as far as it is
 * enabled, is the guest's.
 */
static uint64_t sort_hits(struct ax_engine_vcpu *vcpu, uint64_t hits,
                          bool emulated, unsigned *points)
{
    const struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_debug *d = debug_of(vcpu);
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

static void exit_trap(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    const struct kvm_debug_exit_arch *exit = &vcpu->run->debug.arch;
    struct ax_kvm_debug *d = debug_of(vcpu);
    const uint64_t dr6 = exit->dr6, pc = exit->pc;
    unsigned what = 0, points = 0;

    d->inject_rf = false;
    d->inject_db |= dr6 & (DR6_BD | DR6_BT);
    d->inject_db |= sort_hits(vcpu, dr6 & DR6_HITS, !exit->dr7, &points);
    if (points)
        what |= AX_DEBUG_HARD;
    if (dr6 & DR6_BS && debug_steps(d)) {
        what |= AX_DEBUG_STEP;
        d->inject_db |= step_done(vcpu);
    } else if (dr6 & DR6_BS) {
        d->inject_db |= DR6_BS;
    }
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
    struct ax_kvm_debug *d = debug_of(vcpu);

    if (!d->want.soft || !failed_on_breakpoint(vcpu->run) ||
        ax_kvm_group_fill(vcpu, AX_KVM_REGS) ||
        ax_kvm_group_fill(vcpu, AX_KVM_SREGS))
        return false;
    d->soft = AX_KVM_SOFT_FAILED;
    debug_report(ex, AX_DEBUG_SOFT, 0, linear_pc(vcpu->arch));
    return true;
}

bool ax_kvm_debug_exit(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    const struct kvm_run *run = vcpu->run;
    struct ax_kvm_debug *d = debug_of(vcpu);

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
    struct ax_kvm_debug *d = debug_of(vcpu);

    if (!d->on || !d->completing || ax_kvm_group_fill(vcpu, AX_KVM_REGS) ||
        ax_kvm_group_fill(vcpu, AX_KVM_SREGS) || arch->regs.rip == d->step_from)
        return;
    d->inject_db |= step_done(vcpu);
    debug_report(ex, AX_DEBUG_STEP, 0, linear_pc(arch));
}

/* ---- the contract ---- */

static void debug_ask_caps(struct ax_engine_vcpu *vcpu)
{
    const int needs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    struct ax_kvm_debug *d = debug_of(vcpu);

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
    struct ax_kvm_debug *d = debug_of(vcpu);

    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        if (!point_valid(debug->points[i].kind, debug->points[i].size,
                         debug->points[i].addr))
            return -EINVAL;
    }
    if (!memcmp(debug, &d->want, sizeof(*debug)))
        return 0;
    if (debug->step)
        debug_ask_caps(vcpu);
    d->want = *debug;
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
