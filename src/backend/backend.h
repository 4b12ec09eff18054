/*
 * backend.h - the contract of an engine: what runs guest code.
 *
 * Every function returns 0 or -errno unless it says otherwise. vm_* belong to
 * the loop thread, vcpu_* to the vCPU's own thread, the exceptions are named.
 * tests/contract/ checks every engine against the words below.
 */
#ifndef AX_BACKEND_BACKEND_H
#define AX_BACKEND_BACKEND_H

#include "base.h"
#include "vcpu/exit.h"

struct ax_bell;
struct ax_log;
struct ax_region;
struct ax_engine_vm;   /* the engine's own */
struct ax_engine_vcpu; /* the engine's own */

enum ax_irqchip {
    AX_IRQCHIP_KERNEL, /* PIC, I/O APIC and PIT in the engine */
    AX_IRQCHIP_SPLIT,  /* local APICs in the engine, the I/O APIC is a model */
    AX_IRQCHIP_NONE,   /* no interrupt controller: bare test guests */
};

/* What every vCPU's feature registers are made from. */
struct ax_cpu_policy {
    const char *const *hide;   /* feature names of arch/<a>, NULL-terminated */
    const char *const *expose; /* the same; wins over our own masking */
    unsigned cpus;             /* topology: one package, this many cores */
    const uint64_t *ids;       /* hardware id (APIC id, MPIDR, hart) per vCPU */
};

struct ax_engine_conf {
    unsigned vcpus;
    enum ax_irqchip irqchip;
    struct ax_cpu_policy cpu;
    struct ax_log *log;
};

enum { AX_DEBUG_POINTS = 4 };

enum ax_debug_point_kind {
    AX_POINT_NONE,
    AX_POINT_EXEC,   /* before the instruction there, size 1 */
    AX_POINT_WRITE,  /* after the write */
    AX_POINT_ACCESS, /* after a read or a write */
};

/* What a vCPU comes out of the guest for; all zero: nothing. */
struct ax_debug {
    /* One instruction; no interrupt is taken before it if possible. */
    bool step;
    bool soft; /* breakpoint instructions, also the guest's own */
    struct {
        enum ax_debug_point_kind kind;
        unsigned size; /* bytes: 1, 2, 4 or 8, addr a multiple of it */
        uint64_t addr; /* linear */
    } points[AX_DEBUG_POINTS];
};

static inline bool ax_debug_equal(const struct ax_debug *a,
                                  const struct ax_debug *b)
{
    bool equal = a->step == b->step && a->soft == b->soft;

    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++)
        equal = equal && a->points[i].kind == b->points[i].kind &&
                a->points[i].size == b->points[i].size &&
                a->points[i].addr == b->points[i].addr;
    return equal;
}

/* One line of a probe: "kvm API version", "12", and what to do if it is bad. */
typedef void ax_backend_fact(void *ctx, const char *what, const char *value,
                             const char *cure);

struct ax_backend_ops {
    const char *name;

    /*
     * Can this host run guests? Tells every fact it looks at (fact may be
     * NULL): cure is what to do, NULL if the fact is fine. Returns 0, or the
     * first obstacle as -errno. Leaves nothing behind.
     */
    int (*probe)(ax_backend_fact *fact, void *ctx);

    int (*vm_create)(const struct ax_engine_conf *conf,
                     struct ax_engine_vm **out);
    void (*vm_destroy)(struct ax_engine_vm *vm); /* accepts NULL */

    /*
     * Makes a region visible to the guest. All regions come before vm_seal:
     * adding one after the irqchip exists costs KVM a grace period (6 ms).
     */
    int (*mem_map)(struct ax_engine_vm *vm, const struct ax_region *region);

    /* The memory map is complete: create interrupt controllers and timers. */
    int (*vm_seal)(struct ax_engine_vm *vm);

    int (*irq_line)(struct ax_engine_vm *vm, unsigned line,
                    bool level); /* any thread */

    int (*vcpu_create)(struct ax_engine_vm *vm, unsigned id,
                       struct ax_engine_vcpu **out);
    void (*vcpu_destroy)(struct ax_engine_vcpu *vcpu); /* accepts NULL */

    /* reg: a number of arch/<a>/regs.h. -EINVAL: the engine has none such. */
    int (*reg_get)(struct ax_engine_vcpu *vcpu, unsigned reg, uint64_t *val);
    int (*reg_set)(struct ax_engine_vcpu *vcpu, unsigned reg, uint64_t val);

    /*
     * Delivers ex->answer to the exit that *ex describes, runs the guest until
     * the next exit, overwrites *ex. The first call finds *ex zeroed. A kick
     * gives AX_EXIT_NOTHING, at the latest after the instruction in progress.
     */
    int (*vcpu_run)(struct ax_engine_vcpu *vcpu, struct ax_exit *ex);

    /*
     * Any thread. The vCPU comes out of vcpu_run, or does not enter it the next
     * time; a kick is never lost, however early, and kicks may merge.
     */
    void (*vcpu_kick)(struct ax_engine_vcpu *vcpu);

    /* Optional, NULL where the engine has none. */

    /*
     * The guest reads size bytes (whole pages) at gpa as hva has them at that
     * moment; its writes come out as MMIO. Before vm_seal, like mem_map.
     */
    int (*page_map)(struct ax_engine_vm *vm, ax_gpa gpa, void *hva,
                    uint64_t size);

    /*
     * Any thread. As struct ax_fast has them: writes that signal an eventfd,
     * and eventfds that pulse a line or send a message. An eventfd that has
     * been signalled before msi_event acts at once. What is still on ends with
     * the VM. -ENOSPC: more messages than the engine has.
     */
    int (*doorbell)(struct ax_engine_vm *vm, const struct ax_bell *bell, int fd,
                    bool on);
    int (*msi_event)(struct ax_engine_vm *vm, uint64_t address, uint32_t data,
                     int fd, bool on);
    int (*irq_event)(struct ax_engine_vm *vm, unsigned line, int fd, bool on);

    /* With an irqchip of the engine's own, irq_event takes a turn through a
     * thread of the host's, and irq_line none. */
    bool irq_event_late;

    /* Any thread: does the vCPU sleep inside the engine (HLT, wait for SIPI)?
     */
    bool (*vcpu_blocked)(struct ax_engine_vcpu *vcpu);

    /*
     * Guest time stands still from one to the other: clocks, counters and the
     * engine's own timers. Every vCPU is outside vcpu_run.
     */
    int (*time_stop)(struct ax_engine_vm *vm);
    int (*time_go)(struct ax_engine_vm *vm);

    /* The same for the clocks that belong to a vCPU; after time_go, before
     * vcpu_run. stopped_ns: how long time stood still. */
    int (*vcpu_time_go)(struct ax_engine_vcpu *vcpu, uint64_t stopped_ns);

    /*
     * A non-maskable interrupt for this vCPU; it wakes from HLT. -EAGAIN: the
     * vCPU waits for its start and takes none.
     */
    int (*vcpu_nmi)(struct ax_engine_vcpu *vcpu);

    /*
     * What is too large for reg_get, and interrupt controllers: state is a
     * number of arch/<a>/regs.h, which has its layout. -EINVAL: the engine has
     * none such, or size is not its size.
     */
    int (*state_get)(struct ax_engine_vcpu *vcpu, unsigned state, void *buf,
                     size_t size);
    int (*state_set)(struct ax_engine_vcpu *vcpu, unsigned state,
                     const void *buf, size_t size);

    /*
     * From the next vcpu_run on it comes out with AX_EXIT_DEBUG for what debug
     * says, and the guest's own use of breakpoint instructions, single steps
     * and debug registers goes on beside it (points that are free). -EINVAL: a
     * point the CPU cannot have; what was asked for before then holds.
     */
    int (*vcpu_debug)(struct ax_engine_vcpu *vcpu,
                      const struct ax_debug *debug);

    /*
     * The last exit was AX_EXIT_DEBUG with AX_DEBUG_SOFT, and the breakpoint
     * instruction is the guest's own: it gets its exception in the next
     * vcpu_run.
     */
    int (*vcpu_debug_decline)(struct ax_engine_vcpu *vcpu);

    /* Struct ax_apic_bus in the engine's terms; any thread. Routes are
     * AX_IRQCHIP_SPLIT's alone. */
    int (*msi_send)(struct ax_engine_vm *vm, uint64_t address, uint32_t data);
    int (*msi_route)(struct ax_engine_vm *vm, unsigned pin, uint64_t address,
                     uint32_t data, bool masked);
};

extern const struct ax_backend_ops ax_kvm;

#endif
