/*
 * vm_ops.c - the operations on a VM. lifecycle.h says in which state each is
 * allowed; what else may be in the way, a dump or a debugger, is found here.
 */
#include "vmm/vm_parts.h"

#include "devices/clock.h"
#include "devices/device.h"
#include "devices/loop.h"
#include "vcpu/vcpu.h"

#include <errno.h>
#include <string.h>

enum { ARRIVAL_MS = 5000, NMI_MS = 1000 };

static int vm_refuse(struct ax_vm *vm, int err, const char *why)
{
    vm->refusal = why;
    ax_log(vm->log, AX_LOG_WARN, "%s", why);
    return err;
}

/* May op be done now? If so *next is where it leads. */
static int vm_may(struct ax_vm *vm, enum ax_vm_op op, enum ax_vm_state *next)
{
    const char *refusal;

    vm->refusal = "";
    ax_vm_notice_end(vm);
    if (ax_vm_transition(vm->state, op, next, &refusal))
        return vm_refuse(vm, -EPERM, refusal);
    if (op == AX_VM_OP_FORCE_STOP || op == AX_VM_OP_FORCE_DELETE)
        ax_vm_cancel_pin(vm);
    if (vm->pin_cancel)
        return vm_refuse(vm, -EBUSY,
                         "VM is being dumped, wait for it to finish");
    if (vm->claimed && (op == AX_VM_OP_RESUME || op == AX_VM_OP_STOP ||
                        op == AX_VM_OP_RESTART))
        return vm_refuse(vm, -EBUSY,
                         "VM is halted by a debugger, continue or detach there "
                         "first");
    return 0;
}

int ax_vm_start(struct ax_vm *vm)
{
    enum ax_vm_state next;
    int err = vm_may(vm, AX_VM_OP_START, &next);

    return err ? err : ax_vm_start_from(vm, vm->state);
}

/* ---- suspension ---- */

void ax_vm_time_stop(struct ax_vm *vm)
{
    if (vm->time_stands)
        return;
    vm->time_stands = true;
    ax_clock_stop(&vm->clock);
    if (vm->env.ops->time_stop)
        vm->env.ops->time_stop(vm->engine);
    for (unsigned i = 0; i < vm->device_count; i++)
        ax_device_hold(vm->devices[i], true);
}

void ax_vm_time_go(struct ax_vm *vm)
{
    uint64_t stood_ns;

    if (!vm->time_stands)
        return;
    vm->time_stands = false;
    if (vm->env.ops->time_go)
        vm->env.ops->time_go(vm->engine);
    stood_ns = ax_clock_go(&vm->clock);
    for (unsigned i = 0; i < vm->device_count; i++)
        ax_device_hold(vm->devices[i], false);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_stood(vm->vcpus[i], stood_ns);
}

static void vm_run_on(struct ax_vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_resume(vm->vcpus[i]);
}

int ax_vm_hold_all(struct ax_vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_pause(vm->vcpus[i]);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (ax_vcpu_paused(vm->vcpus[i], ARRIVAL_MS))
            continue;
        ax_log(vm->log, AX_LOG_ERROR, "vcpu%u did not stop within %d ms", i,
               ARRIVAL_MS);
        vm_run_on(vm);
        return -ETIMEDOUT;
    }
    return 0;
}

int ax_vm_suspend(struct ax_vm *vm)
{
    enum ax_vm_state next;
    int err = vm_may(vm, AX_VM_OP_SUSPEND, &next);

    if (!err)
        err = ax_vm_hold_all(vm);
    if (err)
        return err;
    ax_vm_time_stop(vm);
    ax_vm_set_state(vm, next);
    return 0;
}

int ax_vm_resume(struct ax_vm *vm)
{
    enum ax_vm_state next;
    int err = vm_may(vm, AX_VM_OP_RESUME, &next);

    if (err)
        return err;
    ax_vm_time_go(vm);
    vm_run_on(vm);
    ax_vm_set_state(vm, next);
    return 0;
}

/* ---- stops ---- */

static void vm_patience_ends(void *ctx, uint64_t count)
{
    struct ax_vm *vm = ctx;

    ax_log(vm->log, AX_LOG_WARN,
           "the guest has not powered off in time: it is stopped");
    ax_vm_request_end(vm, AX_VM_END_STOP, 0);
}

static bool vm_press_power_button(struct ax_vm *vm)
{
    bool heard = false;

    for (unsigned i = 0; i < vm->device_count; i++)
        heard |= ax_device_power_button(vm->devices[i]);
    return heard;
}

/* Asks the guest to power off; false where that is no use. */
static bool vm_ask(struct ax_vm *vm, enum ax_vm_state from, uint64_t timeout_ns)
{
    if (timeout_ns == AX_VM_PATIENCE)
        timeout_ns = vm->env.conf->stop_timeout_ns;
    if ((from != AX_VM_RUNNING && from != AX_VM_SUSPENDED) || !timeout_ns ||
        ax_timer_create(vm->env.loop, vm_patience_ends, vm, &vm->patience))
        return false;
    if (!vm_press_power_button(vm))
        return false;
    if (from == AX_VM_SUSPENDED) {
        ax_vm_time_go(vm);
        vm_run_on(vm);
    }
    ax_log(vm->log, AX_LOG_INFO, "the guest is asked to power off");
    ax_timer_arm(vm->patience, timeout_ns, 0);
    return true;
}

/* Into Stopping: asked, or at once with no timeout_ns. */
static void vm_stop_from(struct ax_vm *vm, enum ax_vm_state from,
                         uint64_t timeout_ns)
{
    const bool asked = vm_ask(vm, from, timeout_ns);

    ax_vm_set_state(vm, AX_VM_STOPPING);
    if (!asked)
        ax_vm_request_end(vm, AX_VM_END_STOP, 0);
}

int ax_vm_stop(struct ax_vm *vm, uint64_t timeout_ns)
{
    enum ax_vm_state next;
    int err = vm_may(vm, AX_VM_OP_STOP, &next);

    if (err)
        return err;
    vm->final = true;
    vm_stop_from(vm, vm->state, timeout_ns);
    return 0;
}

int ax_vm_force_stop(struct ax_vm *vm)
{
    enum ax_vm_state next;
    int err = vm_may(vm, AX_VM_OP_FORCE_STOP, &next);

    if (err)
        return err;
    vm->final = true;
    vm_stop_from(vm, vm->state, 0);
    return 0;
}

static int vm_restart(struct ax_vm *vm, enum ax_vm_op op, uint64_t timeout_ns)
{
    enum ax_vm_state next;
    int err = vm_may(vm, op, &next);

    if (err)
        return err;
    if (next == AX_VM_RUNNING)
        return ax_vm_start_from(vm, vm->state);
    vm->restart = true;
    vm_stop_from(vm, vm->state, timeout_ns);
    return 0;
}

int ax_vm_restart(struct ax_vm *vm, uint64_t timeout_ns)
{
    return vm_restart(vm, AX_VM_OP_RESTART, timeout_ns);
}

int ax_vm_reset(struct ax_vm *vm)
{
    return vm_restart(vm, AX_VM_OP_RESET, 0);
}

void ax_vm_end_for_good(struct ax_vm *vm, bool force)
{
    const char *refusal;
    enum ax_vm_state next;

    ax_vm_notice_end(vm);
    vm->final = true;
    ax_vm_cancel_pin(vm);
    if (ax_vm_transition(vm->state, force ? AX_VM_OP_FORCE_STOP : AX_VM_OP_STOP,
                         &next, &refusal))
        return;
    vm_stop_from(vm, vm->state, force ? 0 : AX_VM_PATIENCE);
}

int ax_vm_may_delete(struct ax_vm *vm, bool force)
{
    enum ax_vm_state next;

    return vm_may(vm, force ? AX_VM_OP_FORCE_DELETE : AX_VM_OP_DELETE, &next);
}

/* ---- while it stands, or runs ---- */

int ax_vm_pin(struct ax_vm *vm, void (*cancel)(void *ctx), void *ctx)
{
    vm->refusal = "";
    ax_vm_notice_end(vm);
    if (vm->state != AX_VM_SUSPENDED && !vm->kept)
        return vm_refuse(vm, -EPERM, "VM is not suspended, cannot dump");
    if (vm->pin_cancel)
        return vm_refuse(vm, -EBUSY,
                         "VM is being dumped, wait for it to finish");
    if (vm->stepping)
        return vm_refuse(vm, -EBUSY, "VM is being stepped by a debugger");
    vm->pin_cancel = cancel;
    vm->pin_ctx = ctx;
    return 0;
}

void ax_vm_unpin(struct ax_vm *vm)
{
    vm->pin_cancel = NULL;
    vm->pin_ctx = NULL;
}

void ax_vm_cancel_pin(struct ax_vm *vm)
{
    if (vm->pin_cancel)
        vm->pin_cancel(vm->pin_ctx);
}

static int vm_nmi(void *ctx, const struct ax_backend_ops *ops,
                  struct ax_engine_vcpu *engine)
{
    return ops->vcpu_nmi(engine);
}

int ax_vm_nmi(struct ax_vm *vm)
{
    int err = 0;

    vm->refusal = "";
    ax_vm_notice_end(vm);
    if (vm->state != AX_VM_RUNNING)
        return vm_refuse(vm, -EPERM, "VM is not running, cannot take an NMI");
    if (!vm->env.ops->vcpu_nmi)
        return -EOPNOTSUPP;
    for (unsigned i = 0; !err && i < vm->vcpu_count; i++) {
        err = ax_vcpu_call(vm->vcpus[i], vm_nmi, NULL, NMI_MS);
        if (err == -EAGAIN || err == -ESRCH)
            err = 0; /* it waits to be started, or is about to */
    }
    return err;
}

static struct ax_device *vm_find_device(const struct ax_vm *vm,
                                        const char *type, unsigned index)
{
    for (unsigned i = 0; i < vm->device_count; i++) {
        if (vm->devices[i] && !strcmp(vm->devices[i]->ops->type, type) &&
            !index--)
            return vm->devices[i];
    }
    return NULL;
}

static bool vm_has_guest(const struct ax_vm *vm)
{
    return vm->state == AX_VM_LOADED || vm->state == AX_VM_RUNNING ||
           vm->state == AX_VM_SUSPENDED;
}

int ax_vm_resize_disk(struct ax_vm *vm, unsigned index, bool shrink,
                      uint64_t *size)
{
    struct ax_device *disk;

    vm->refusal = "";
    ax_vm_notice_end(vm);
    disk = vm_find_device(vm, "virtio_blk", index);
    if (!disk || !vm_has_guest(vm))
        return vm_refuse(vm, -EPERM,
                         "VM is not running: give the image its size instead");
    return ax_device_resize(disk, shrink, size);
}

bool ax_vm_card(const struct ax_vm *vm, unsigned index, struct ax_card *out)
{
    struct ax_device *card = vm_find_device(vm, "virtio_net", index);

    return card && ax_device_card(card, out);
}

int ax_vm_plug(struct ax_vm *vm, unsigned index, bool in)
{
    struct ax_device *card;

    vm->refusal = "";
    ax_vm_notice_end(vm);
    if (!vm_has_guest(vm))
        return vm_refuse(vm, -EPERM, "VM is not running");
    card = vm_find_device(vm, "virtio_net", index);
    return card && ax_device_plug(card, in) ? 0 : -ENOENT;
}

static int vm_find_balloon(struct ax_vm *vm, struct ax_device **out)
{
    vm->refusal = "";
    ax_vm_notice_end(vm);
    if (!vm->env.conf->balloon.enabled)
        return -EOPNOTSUPP;
    if (!vm_has_guest(vm))
        return vm_refuse(vm, -EPERM, "VM is not running");
    *out = vm_find_device(vm, "virtio_balloon", 0);
    return *out ? 0 : -EOPNOTSUPP;
}

int ax_vm_balloon(struct ax_vm *vm, bool ask, struct ax_balloon *out)
{
    struct ax_device *dev;
    int err = vm_find_balloon(vm, &dev);

    return err ? err : ax_device_balloon(dev, ask, out);
}

int ax_vm_aim_balloon(struct ax_vm *vm, uint64_t bytes)
{
    struct ax_device *dev;
    int err = vm_find_balloon(vm, &dev);

    return err ? err : ax_device_aim(dev, bytes);
}
