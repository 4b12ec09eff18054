/*
 * vm.c - life of a VM: its states, the operations that change them, its end.
 */
#include "vmm/vm_parts.h"

#include "devices/clock.h"
#include "devices/console.h"
#include "devices/device.h"
#include "devices/loop.h"
#include "vcpu/vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ARRIVAL_MS = 5000, DRAIN_MS = 5000 };

void ax_vm_request_end(struct ax_vm *vm, enum ax_vm_cause cause, uint64_t code)
{
    pthread_mutex_lock(&vm->lock);
    if (vm->end.cause == AX_VM_END_NONE)
        vm->end = (struct ax_vm_end){.cause = cause, .code = code};
    vm->cancelled = true;
    pthread_cond_broadcast(&vm->all_here);
    pthread_mutex_unlock(&vm->lock);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_stop(vm->vcpus[i]);
    ax_loop_wake(vm->news);
}

static void vm_log_crash(struct ax_vm *vm)
{
    char *rest = NULL;

    for (char *line = vm->crash ? strtok_r(vm->crash, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest))
        ax_log(vm->log, AX_LOG_ERROR, "%s", line);
    free(vm->crash);
    vm->crash = NULL;
}

/*
 * Makes everything anew but the console: images are read again, memory is
 * zeroed, devices and registers are as at the first start.
 */
static int vm_reload(struct ax_vm *vm)
{
    enum ax_blame blame;

    ax_vm_unbuild(vm);
    vm->state = AX_VM_LOADING;
    vm->end = (struct ax_vm_end){.cause = AX_VM_END_NONE};
    vm->here = 0;
    vm->cancelled = false;
    memset(&vm->start, 0, sizeof(vm->start));
    return ax_vm_build(vm, &blame);
}

/* Running; what fails here is logged and ends the VM. */
static int vm_launch(struct ax_vm *vm)
{
    int err = 0;

    vm->starts++;
    vm->state = AX_VM_RUNNING;
    for (unsigned i = 0; !err && i < vm->vcpu_count; i++) {
        atomic_fetch_add(&vm->alive, 1);
        err = ax_vcpu_start(vm->vcpus[i]);
        if (err) {
            atomic_fetch_sub(&vm->alive, 1);
            ax_log(vm->log, AX_LOG_ERROR, "no thread for vcpu%u: %s", i,
                   strerror(-err));
            ax_vm_request_end(vm, AX_VM_END_FAIL, 0);
        }
    }
    return err;
}

/* -errno only where nothing runs; a failed launch ends as any VM ends. */
static int vm_relaunch(struct ax_vm *vm)
{
    int err = vm_reload(vm);

    if (err) {
        vm->state = AX_VM_STOPPED;
        vm->end.cause = AX_VM_END_FAIL;
        return err;
    }
    vm_launch(vm);
    return 0;
}

/* Does what ended the VM, or who asked for it, want it to start again? */
static bool vm_wants_restart(const struct ax_vm *vm)
{
    const struct ax_config *conf = vm->env.conf;

    if (vm->final)
        return false;
    switch (vm->end.cause) {
    case AX_VM_END_OFF:
        return vm->restart || conf->on_poweroff == AX_ON_END_RESTART;
    case AX_VM_END_RESET:
        return vm->restart || conf->on_reboot == AX_ON_END_RESTART;
    case AX_VM_END_CRASH:
        return vm->restart || conf->on_crash == AX_ON_END_RESTART;
    default:
        return vm->restart;
    }
}

static void vm_finish(struct ax_vm *vm)
{
    bool again;

    ax_timer_destroy(vm->patience);
    vm->patience = NULL;
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_join(vm->vcpus[i]);
    if (!ax_console_drain(vm->console, DRAIN_MS))
        ax_log(vm->log, AX_LOG_WARN,
               "console: its reader is too slow, the last output is lost");
    vm_log_crash(vm);
    vm->state = AX_VM_STOPPED;
    again = vm_wants_restart(vm);
    vm->restart = false; /* also where a stop has taken it back */
    if (again) {
        ax_log(vm->log, AX_LOG_INFO, "restarting, start %u", vm->starts + 1);
        if (!vm_relaunch(vm))
            return;
    }
    if (vm->env.stopped)
        vm->env.stopped(vm->env.ctx, vm);
}

static void vm_news(void *ctx)
{
    struct ax_vm *vm = ctx;

    if (ax_vm_end(vm).cause != AX_VM_END_NONE &&
        (vm->state == AX_VM_RUNNING || vm->state == AX_VM_SUSPENDED))
        vm->state = AX_VM_STOPPING;
    if (vm->state == AX_VM_STOPPING && !atomic_load(&vm->alive))
        vm_finish(vm);
}

int ax_vm_create(const struct ax_vm_env *env, struct ax_vm **out,
                 enum ax_blame *blame)
{
    struct ax_vm *vm = calloc(1, sizeof(*vm));
    int err;

    *out = NULL;
    *blame = AX_BLAME_US;
    if (!vm)
        return -ENOMEM;
    vm->env = *env;
    vm->state = AX_VM_LOADING;
    vm->times.created = ax_clock_now_ns();
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->all_here, NULL);
    err = ax_log_create_child(env->log, env->conf->name, &vm->log);
    if (!err)
        err = ax_wake_create(env->loop, vm_news, vm, &vm->news);
    if (!err)
        err = ax_vm_build(vm, blame);
    if (err) {
        ax_vm_destroy(vm);
        return err;
    }
    vm->state = AX_VM_LOADED;
    ax_log(vm->log, AX_LOG_INFO, "%s", vm->start.what);
    *out = vm;
    return 0;
}

void ax_vm_destroy(struct ax_vm *vm)
{
    if (!vm)
        return;
    if (vm->state == AX_VM_RUNNING || vm->state == AX_VM_SUSPENDED)
        ax_vm_request_end(vm, AX_VM_END_STOP, 0);
    ax_vm_unbuild(vm);
    ax_timer_destroy(vm->patience);
    ax_console_destroy(vm->console);
    ax_wake_destroy(vm->news);
    free(vm->crash);
    ax_log_destroy(vm->log);
    pthread_cond_destroy(&vm->all_here);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

/* ---- operations ---- */

static int vm_transit(struct ax_vm *vm, enum ax_vm_op op)
{
    const char *refusal;
    int err = ax_vm_transition(vm->state, op, &vm->state, &refusal);

    if (err)
        ax_log(vm->log, AX_LOG_WARN, "%s", refusal);
    return err;
}

int ax_vm_start(struct ax_vm *vm)
{
    bool stopped = vm->state == AX_VM_STOPPED;
    int err = vm_transit(vm, AX_VM_OP_START);

    if (err)
        return err;
    vm->final = false;
    return stopped ? vm_relaunch(vm) : vm_launch(vm);
}

int ax_vm_restart(struct ax_vm *vm)
{
    const enum ax_vm_state from = vm->state;
    int err = vm_transit(vm, AX_VM_OP_RESTART);

    if (err)
        return err;
    vm->final = false;
    if (from == AX_VM_LOADED)
        return vm_launch(vm);
    if (from == AX_VM_STOPPED)
        return vm_relaunch(vm);
    vm->restart = true;
    ax_vm_request_end(vm, AX_VM_END_STOP, 0);
    return 0;
}

int ax_vm_suspend(struct ax_vm *vm)
{
    int err = vm_transit(vm, AX_VM_OP_SUSPEND);

    if (err)
        return err;
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_pause(vm->vcpus[i]);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (ax_vcpu_paused(vm->vcpus[i], ARRIVAL_MS))
            continue;
        ax_log(vm->log, AX_LOG_ERROR, "vcpu%u did not stop within %d ms", i,
               ARRIVAL_MS);
        ax_vm_resume(vm);
        return -ETIMEDOUT;
    }
    return 0;
}

int ax_vm_resume(struct ax_vm *vm)
{
    int err = vm_transit(vm, AX_VM_OP_RESUME);

    for (unsigned i = 0; !err && i < vm->vcpu_count; i++)
        ax_vcpu_resume(vm->vcpus[i]);
    return err;
}

int ax_vm_stop(struct ax_vm *vm)
{
    int err;

    vm->final = true; /* also where it is stopping in order to restart */
    err = vm_transit(vm, AX_VM_OP_STOP);
    if (!err)
        ax_vm_request_end(vm, AX_VM_END_STOP, 0);
    return err;
}

static void vm_patience_ends(void *ctx, uint64_t count)
{
    struct ax_vm *vm = ctx;

    ax_log(vm->log, AX_LOG_WARN,
           "the guest has not powered off in time: it is stopped");
    ax_vm_stop(vm);
}

static bool vm_press_power_button(struct ax_vm *vm)
{
    bool heard = false;

    for (unsigned i = 0; i < vm->device_count; i++)
        heard |= ax_device_power_button(vm->devices[i]);
    return heard;
}

int ax_vm_shutdown(struct ax_vm *vm)
{
    const uint64_t patience_ns = vm->env.conf->stop_timeout_ns;

    if (vm->state != AX_VM_RUNNING || !patience_ns ||
        !vm_press_power_button(vm))
        return ax_vm_stop(vm);
    vm->final = true;
    if (!vm->patience &&
        ax_timer_create(vm->env.loop, vm_patience_ends, vm, &vm->patience))
        return ax_vm_stop(vm);
    ax_log(vm->log, AX_LOG_INFO, "the guest is asked to power off");
    ax_timer_arm(vm->patience, patience_ns, 0);
    return 0;
}

/* ---- looking at it ---- */

enum ax_vm_state ax_vm_state(const struct ax_vm *vm)
{
    return vm->state;
}

struct ax_vm_end ax_vm_end(struct ax_vm *vm)
{
    struct ax_vm_end end;

    pthread_mutex_lock(&vm->lock);
    end = vm->end;
    pthread_mutex_unlock(&vm->lock);
    return end;
}

struct ax_vm_times ax_vm_times(const struct ax_vm *vm)
{
    struct ax_vm_times times = vm->times;

    if (vm->vcpu_count) {
        times.first_run = ax_vcpu_first_run_ns(vm->vcpus[0]);
        times.first_exit = ax_vcpu_first_exit_ns(vm->vcpus[0]);
    }
    times.first_byte = ax_console_first_byte_ns(vm->console);
    return times;
}

const struct ax_config *ax_vm_config(const struct ax_vm *vm)
{
    return vm->env.conf;
}

const char *ax_vm_what(const struct ax_vm *vm)
{
    return vm->start.what;
}

unsigned ax_vm_vcpu_count(const struct ax_vm *vm)
{
    return vm->vcpu_count;
}

struct ax_vcpu *ax_vm_vcpu(const struct ax_vm *vm, unsigned id)
{
    return id < vm->vcpu_count ? vm->vcpus[id] : NULL;
}

const struct ax_bus *ax_vm_bus(const struct ax_vm *vm, enum ax_space space)
{
    return &vm->buses[space];
}

uint64_t ax_vm_memory_size(const struct ax_vm *vm)
{
    return ax_memory_size(&vm->mem);
}

unsigned ax_vm_starts(const struct ax_vm *vm)
{
    return vm->starts;
}
