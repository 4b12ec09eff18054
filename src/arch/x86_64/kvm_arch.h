/*
 * kvm_arch.h - what the files kvm*.c of this architecture share: the engine's
 * x86 half of a VM and of a vCPU. Private to them.
 */
#ifndef AX_ARCH_X86_64_KVM_ARCH_H
#define AX_ARCH_X86_64_KVM_ARCH_H

#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"
#include "backend/kvm/kvm.h"

enum {
    AX_KVM_MSRS = AX_X86_ALL_REGS - AX_X86_TSC,
    AX_KVM_IOAPIC_PINS = 24,
    AX_KVM_MSI_EVENTS = 256,
    AX_KVM_ROUTES = AX_KVM_IOAPIC_PINS + AX_KVM_MSI_EVENTS,
};

/* Groups of registers, each of one ioctl. */
enum {
    AX_KVM_REGS = 1,
    AX_KVM_SREGS = 2,
    AX_KVM_DEBUGREGS = 4,
    AX_KVM_XCRS = 8,
    AX_KVM_MSR_GROUP = 16,
    AX_KVM_MP_STATE = 32,
    AX_KVM_XSAVE = 64,
};

/* Bits of RFLAGS. */
enum { AX_KVM_TF = 0x100, AX_KVM_RF = 0x10000 };

struct arch_vm {
    struct ax_cpuid cpuid; /* what the host supports */
    pthread_mutex_t lock;  /* routes */
    struct {
        bool used;
        uint64_t address;
        uint32_t data;
        int fd;              /* of a message's event */
    } routes[AX_KVM_ROUTES]; /* by GSI: pins of a split irqchip, then events */
    /* Of the last time_stop; the loop writes them while no vCPU runs. */
    struct kvm_clock_data clock;
    bool clock_saved;
    uint64_t tsc;      /* the host's then */
    uint64_t tsc_back; /* by how much guests' TSCs are to be behind, in all */
};

/* Whose a debug register is. */
enum { AX_KVM_DR_FREE = -2, AX_KVM_DR_GUEST = -1 }; /* else the point's index */

/* An instruction that stores or loads RFLAGS, about to be stepped. */
struct ax_kvm_flags_insn {
    enum { AX_KVM_INSN_OTHER, AX_KVM_INSN_STORES, AX_KVM_INSN_LOADS } kind;
    uint64_t next;  /* the pc if it was executed, linear */
    uint64_t image; /* LOADS: the flags */
};

/* How the last AX_DEBUG_SOFT came; NONE: the last exit was another. */
enum ax_kvm_soft {
    AX_KVM_SOFT_NONE,
    AX_KVM_SOFT_TRAP,
    AX_KVM_SOFT_FAILED, /* KVM could not emulate it */
};

struct ax_kvm_debug {
    bool on;    /* there is something to do at entries and exits */
    bool stale; /* told has to be made anew from want and the guest's own */
    struct ax_debug want;
    struct kvm_guest_debug told; /* as KVM has it */
    int owner[AX_DEBUG_POINTS];  /* of each debug register, as told */
    bool guest_exec_left;        /* KVM looks after the guest's own itself */
    bool dr_pass; /* it is stepped over an access to a debug register */
    bool asked_caps, sync, block_irq;

    bool own_tf;               /* the guest's own RFLAGS.TF, which KVM hides */
    bool access;               /* the last exit waits for its answer */
    bool completing;           /* the KVM_RUN under way only brings it */
    struct kvm_regs step_from; /* at the beginning of the step, or its end */
    bool step_ended;           /* there is none from this entry on */
    unsigned step_again;       /* times that it was found not to be made */
    struct ax_kvm_flags_insn insn;

    enum ax_kvm_soft soft;
    uint64_t inject_db; /* DR6 bits of a #DB that the guest is owed */
    bool inject_rf;     /* that one is a fault */
    bool inject_bp;
};

struct arch_vcpu {
    unsigned valid; /* groups that are as KVM has them, or newer */
    unsigned dirty; /* REGS, SREGS: set, and KVM has not been told */
    bool begun;     /* its first registers are complete */
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_debugregs debugregs;
    struct kvm_xcrs xcrs;
    struct kvm_mp_state mp;
    uint64_t msrs[AX_KVM_MSRS];
    unsigned absent_msrs;    /* a bit for each that KVM does not have */
    struct kvm_xsave *xsave; /* NULL until it is asked for */
    bool xsave_large;        /* it is what KVM_GET_XSAVE2 has */
    uint64_t tsc_back;       /* what it has of the VM's */
    struct ax_kvm_debug debug;
};

/* ---- kvm_regs.c ---- */

/* Reads a group unless it is valid. 0 or -errno. */
int ax_kvm_group_fill(struct ax_engine_vcpu *vcpu, unsigned group);

/* Tells KVM of what is dirty. 0 or -errno. */
int ax_kvm_groups_flush(struct ax_engine_vcpu *vcpu);

/* ---- kvm_debug.c; only where debug.on ---- */

/* Before KVM_RUN, in place of ax_kvm_groups_flush, and behind it. */
int ax_kvm_debug_enter(struct ax_engine_vcpu *vcpu);
void ax_kvm_debug_leave(struct ax_engine_vcpu *vcpu, int err);

/* As ax_kvm_arch_exit. */
bool ax_kvm_debug_exit(struct ax_engine_vcpu *vcpu, struct ax_exit *ex);

static inline struct ax_kvm_debug *ax_kvm_debug_of(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;

    return &arch->debug;
}

/* ---- kvm_debug_insn.c; REGS and SREGS are valid ---- */

uint64_t ax_kvm_linear_pc(const struct arch_vcpu *arch);

/* Notes an instruction that is about to be stepped if flags pass through it. */
void ax_kvm_insn_look(struct ax_engine_vcpu *vcpu);

/*
 * The instruction was stepped. TF, which is ours, must not be in flags that it
 * has stored; flags that it has loaded tell whether the guest steps itself.
 */
void ax_kvm_insn_done(struct ax_engine_vcpu *vcpu);

/* ---- kvm_debug_points.c ---- */

/* Can the CPU have it? */
bool ax_kvm_point_valid(enum ax_debug_point_kind kind, unsigned size,
                        uint64_t addr);

bool ax_kvm_has_points(const struct ax_kvm_debug *d);

/* What is wanted into free debug registers of next, and who owns which. 0 or
 * -errno. */
int ax_kvm_make_points(struct ax_engine_vcpu *vcpu,
                       struct kvm_guest_debug *next);

/*
 * Of the registers that were hit: *points are ours, the rest, as far as it is
 * enabled, is the guest's. emulated: KVM says so, and not the CPU.
 */
uint64_t ax_kvm_sort_hits(struct ax_engine_vcpu *vcpu, uint64_t hits,
                          bool emulated, unsigned *points);

/* An access to a debug register, not made yet: is it for the guest that it is
 * guarded? Otherwise it is stepped over, and the guest's own are looked at. */
bool ax_kvm_guarded(struct ax_engine_vcpu *vcpu);

#endif
