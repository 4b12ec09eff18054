/*
 * vm_debug.c - see vm_debug.h.
 */
#include "vmm/vm_debug.h"

#include "vcpu/vcpu.h"
#include "vmm/vm_parts.h"

#include <errno.h>

enum { ARRIVAL_MS = 5000 };

void ax_vm_pause_all(struct ax_vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_pause(vm->vcpus[i]);
}

/* Do its vCPUs run or hold, and is that not about to be over? */
static bool vm_lives(struct ax_vm *vm)
{
    ax_vm_notice_end(vm);
    return vm->state == AX_VM_RUNNING || vm->state == AX_VM_SUSPENDED ||
           (vm->state == AX_VM_STOPPING && !vm->noticed);
}

int ax_vm_hook(struct ax_vm *vm, const struct ax_vm_hooks *hooks, void *ctx)
{
    const bool runs = vm_lives(vm) && vm->state != AX_VM_SUSPENDED;
    int err = runs ? ax_vm_hold_all(vm) : 0;

    /* Those that are about to end do so soon, or hold for being kept. */
    for (unsigned i = 0; !err && i < vm->vcpu_count; i++) {
        if (!ax_vcpu_paused(vm->vcpus[i], ARRIVAL_MS))
            err = -ETIMEDOUT;
    }
    if (err)
        return err;
    vm->hooks = hooks;
    vm->hooks_ctx = ctx;
    for (unsigned i = 0; runs && i < vm->vcpu_count; i++)
        ax_vcpu_resume(vm->vcpus[i]);
    return 0;
}

int ax_vm_halt(struct ax_vm *vm, bool quietly)
{
    int err;

    if (!vm_lives(vm))
        return -EPERM;
    err = ax_vm_hold_all(vm);
    if (err)
        return err;
    vm->stepping = false;
    if (!quietly && vm->state == AX_VM_RUNNING)
        ax_vm_set_state(vm, AX_VM_SUSPENDED);
    return 0;
}

void ax_vm_stop_time(struct ax_vm *vm)
{
    if (vm->state == AX_VM_SUSPENDED && !vm->stepping)
        ax_vm_time_stop(vm);
}

int ax_vm_let_go(struct ax_vm *vm, const bool run[AX_CPUS_MAX], bool quietly)
{
    if (!vm_lives(vm))
        return -EPERM;
    if (vm->pin_cancel)
        return -EBUSY;
    vm->stepping = quietly;
    ax_vm_time_go(vm);
    if (!quietly && vm->state == AX_VM_SUSPENDED)
        ax_vm_set_state(vm, AX_VM_RUNNING);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (run[i])
            ax_vcpu_resume(vm->vcpus[i]);
    }
    return 0;
}

void ax_vm_end_now(struct ax_vm *vm, enum ax_vm_cause cause, uint64_t code)
{
    ax_vm_request_end(vm, cause, code);
}

void ax_vm_claim(struct ax_vm *vm, bool on)
{
    vm->claimed = on;
}

bool ax_vm_has_started(struct ax_vm *vm)
{
    return vm_lives(vm) || vm->kept;
}

const struct ax_backend_ops *ax_vm_ops(const struct ax_vm *vm)
{
    return vm->env.ops;
}
