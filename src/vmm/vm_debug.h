/*
 * vm_debug.h - what a debugger needs of a VM beyond its operations: to hear of
 * exits and ends before the VM acts on them, to let vCPUs go one by one.
 *
 * Loop thread, unless a function says otherwise. For debug/target*.c alone.
 */
#ifndef AX_VMM_VM_DEBUG_H
#define AX_VMM_VM_DEBUG_H

#include "vmm/vm.h"

/* Any may be NULL. */
struct ax_vm_hooks {
    /* vCPU's thread: it is about to enter the guest, for the first time or
     * after a hold. */
    void (*entering)(void *ctx, struct ax_vcpu *vcpu,
                     struct ax_engine_vcpu *engine);
    /* vCPU's thread: it came out with AX_EXIT_DEBUG. */
    void (*exited)(void *ctx, struct ax_vcpu *vcpu,
                   struct ax_engine_vcpu *engine, const struct ax_exit *ex);
    /*
     * Any thread: the guest's own doing is about to end the VM. True: it does
     * not, and ctx has asked every vCPU to hold (ax_vm_pause_all); the end
     * comes later, by ax_vm_end_now, or never.
     */
    bool (*ending)(void *ctx, enum ax_vm_cause cause, uint64_t code);
    /* A life begins: everything is built, no vCPU has a thread. True: they hold
     * before the first instruction, and the VM is Suspended. */
    bool (*starting)(void *ctx);
    /* The state is new. May come from within any function of the VM. */
    void (*changed)(void *ctx);
};

/*
 * hooks is borrowed; NULL: none. Running vCPUs are held meanwhile: when this
 * returns none is inside an old hook. 0; -ETIMEDOUT: one did not come, and
 * nothing has changed.
 */
int ax_vm_hook(struct ax_vm *vm, const struct ax_vm_hooks *hooks, void *ctx);

/* Any thread: asks every vCPU to hold, and waits for none. */
void ax_vm_pause_all(struct ax_vm *vm);

/*
 * Every vCPU holds, whatever they were let go for. Unless quietly, a VM that is
 * Running is Suspended then; guest time goes on until ax_vm_stop_time, because
 * it may be for microseconds. A guest that was asked to power off can be halted
 * as well, and stays in Stopping. -EPERM: no vCPU runs or holds (for long); or
 * as ax_vm_suspend.
 */
int ax_vm_halt(struct ax_vm *vm, bool quietly);

/* The VM is Suspended: guest time stands still from now on. */
void ax_vm_stop_time(struct ax_vm *vm);

/*
 * Lets vCPU i go where run[i]; all of them hold. Unless quietly, a VM that is
 * Suspended is Running then; else it is as it was, for as long as a single step
 * may take, and cannot be dumped. -EPERM as ax_vm_halt; -EBUSY: it is being
 * dumped.
 */
int ax_vm_let_go(struct ax_vm *vm, const bool run[AX_CPUS_MAX], bool quietly);

/* What ending has withheld. */
void ax_vm_end_now(struct ax_vm *vm, enum ax_vm_cause cause, uint64_t code);

/* While on, what would make the VM run is refused to all others. */
void ax_vm_claim(struct ax_vm *vm, bool on);

/* Is there anything to halt, or kept as it was? */
bool ax_vm_has_started(struct ax_vm *vm);

const struct ax_backend_ops *ax_vm_ops(const struct ax_vm *vm);

#endif
