/*
 * vm.c - life of a VM: its states, its starts, its end.
 *
 * A life ends in steps, all on the loop: the end is noticed, the last vCPU is
 * out, the console has drained, the VM is Stopped or starts again.
 */
#include "vmm/vm_parts.h"

#include "devices/clock.h"
#include "devices/console.h"
#include "devices/loop.h"
#include "vcpu/vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DRAIN_MS = 5000 };

/* What the configuration wants after a life that ended so. */
static enum ax_on_end vm_policy(const struct ax_vm *vm, enum ax_vm_cause cause)
{
    const struct ax_config *conf = vm->env.conf;

    switch (cause) {
    case AX_VM_END_OFF:
        return conf->on_poweroff;
    case AX_VM_END_RESET:
        return conf->on_reboot;
    case AX_VM_END_CRASH:
        return conf->on_crash;
    default:
        return AX_ON_END_STOP;
    }
}

/* Did the guest do it, and not somebody outside? */
static bool vm_is_guests_doing(enum ax_vm_cause cause)
{
    return cause == AX_VM_END_OFF || cause == AX_VM_END_RESET ||
           cause == AX_VM_END_CRASH || cause == AX_VM_END_EXIT;
}

void ax_vm_request_end(struct ax_vm *vm, enum ax_vm_cause cause, uint64_t code)
{
    enum ax_vm_cause first;
    bool keep;

    pthread_mutex_lock(&vm->lock);
    if (vm->end.cause == AX_VM_END_NONE)
        vm->end = (struct ax_vm_end){.cause = cause, .code = code};
    first = vm->end.cause;
    vm->cancelled = true;
    pthread_cond_broadcast(&vm->all_here);
    pthread_mutex_unlock(&vm->lock);
    /* A guest that is kept may do more on other vCPUs: that changes nothing. */
    keep = vm_is_guests_doing(cause) && vm_policy(vm, first) == AX_ON_END_KEEP;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (keep)
            ax_vcpu_keep(vm->vcpus[i]);
        else
            ax_vcpu_stop(vm->vcpus[i]);
    }
    ax_loop_wake(vm->news);
}

static void vm_tell(struct ax_vm *vm)
{
    if (vm->hooks && vm->hooks->changed)
        vm->hooks->changed(vm->hooks_ctx);
    if (vm->env.changed)
        vm->env.changed(vm->env.ctx, vm);
}

void ax_vm_set_state(struct ax_vm *vm, enum ax_vm_state state)
{
    if (vm->state == state)
        return;
    vm->state = state;
    vm_tell(vm);
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

/* ---- starts ---- */

/*
 * Makes everything anew but the console: images are read again, memory is
 * zeroed, devices and registers are as at the first start.
 */
static int vm_reload(struct ax_vm *vm)
{
    enum ax_blame blame;

    ax_vm_unbuild(vm);
    vm->last_end = vm->end;
    vm->end = (struct ax_vm_end){.cause = AX_VM_END_NONE};
    vm->noticed = false;
    vm->kept = false;
    vm->here = 0;
    vm->cancelled = false;
    vm->stepping = false;
    vm->time_stands = false;
    memset(&vm->clock, 0, sizeof(vm->clock));
    memset(&vm->start, 0, sizeof(vm->start));
    ax_vm_set_state(vm, AX_VM_LOADING);
    return ax_vm_build(vm, &blame);
}

/* Running; what fails here is logged and ends the VM. */
static int vm_launch(struct ax_vm *vm)
{
    bool halted;
    int err = 0;

    vm->starts++;
    vm->final = false;
    vm->restart = false;
    ax_vm_set_state(vm, AX_VM_RUNNING);
    halted =
        vm->hooks && vm->hooks->starting && vm->hooks->starting(vm->hooks_ctx);
    err = ax_vm_start_devices(vm);
    if (err)
        ax_vm_request_end(vm, AX_VM_END_FAIL, 0);
    for (unsigned i = 0; !err && i < vm->vcpu_count; i++) {
        if (halted)
            ax_vcpu_pause(vm->vcpus[i]);
        atomic_fetch_add(&vm->alive, 1);
        err = ax_vcpu_start(vm->vcpus[i]);
        if (err) {
            atomic_fetch_sub(&vm->alive, 1);
            ax_log(vm->log, AX_LOG_ERROR, "no thread for vcpu%u: %s", i,
                   strerror(-err));
            ax_vm_request_end(vm, AX_VM_END_FAIL, 0);
        }
    }
    if (halted && !err)
        ax_vm_suspend(vm);
    return err;
}

/* -errno only where nothing runs; a failed launch ends as any VM ends. */
static int vm_relaunch(struct ax_vm *vm)
{
    int err = vm_reload(vm);

    if (err) {
        vm->end.cause = AX_VM_END_FAIL;
        vm->noticed = true;
        ax_vm_set_state(vm, AX_VM_STOPPED);
        return err;
    }
    if (vm->state == AX_VM_LOADING) /* nobody who heard of that stopped it */
        vm_launch(vm);
    return 0;
}

/* ---- ends ---- */

void ax_vm_notice_end(struct ax_vm *vm)
{
    if (vm->noticed || ax_vm_end(vm).cause == AX_VM_END_NONE)
        return;
    vm->noticed = true;
    if (vm->env.ended)
        vm->env.ended(vm->env.ctx, vm);
    ax_vm_set_state(vm, AX_VM_STOPPING);
}

/* Shall it stay as it is, for inspection? */
static bool vm_wants_keep(struct ax_vm *vm)
{
    return !vm->final && !vm->restart &&
           vm_policy(vm, ax_vm_end(vm).cause) == AX_ON_END_KEEP;
}

/* Does what ended the VM, or who asked for it, want it to start again? */
static bool vm_wants_restart(struct ax_vm *vm)
{
    return !vm->final && (vm->restart || vm_policy(vm, ax_vm_end(vm).cause) ==
                                             AX_ON_END_RESTART);
}

/* Is every vCPU out of the guest for good? */
static bool vm_is_out(struct ax_vm *vm)
{
    if (!atomic_load(&vm->alive))
        return true;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (!ax_vcpu_paused(vm->vcpus[i], 0))
            return false;
    }
    return true;
}

static void vm_let_go(struct ax_vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_stop(vm->vcpus[i]);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_join(vm->vcpus[i]);
}

/* Stopped, and nothing of it is left to look at. */
static void vm_finish(struct ax_vm *vm)
{
    vm_let_go(vm);
    ax_memory_discard(&vm->mem);
    if (vm->timed_out && vm_policy(vm, vm->end.cause) != AX_ON_END_STOP)
        vm->end.cause = AX_VM_END_TIMEOUT; /* it was not to stay so */
    if (vm->deadline)
        ax_timer_arm(vm->deadline, 0, 0);
    vm->kept = false;
    vm->state = AX_VM_STOPPED;
    vm_tell(vm);
}

static void vm_drained(struct ax_vm *vm, bool all)
{
    vm->draining = false;
    if (!all)
        ax_log(vm->log, AX_LOG_WARN,
               "console: its reader is too slow, the last output is lost");
    vm_log_crash(vm);
    if (vm_wants_restart(vm)) {
        vm_let_go(vm);
        ax_log(vm->log, AX_LOG_INFO, "restarting, start %u", vm->starts + 1);
        vm_relaunch(vm);
        return;
    }
    if (!vm_wants_keep(vm)) {
        vm_finish(vm);
        return;
    }
    ax_log(vm->log, AX_LOG_INFO,
           "kept as it is, for a dump; start makes it anew");
    vm->kept = true;
    ax_vm_set_state(vm, AX_VM_STOPPED);
}

static void vm_news(void *ctx)
{
    struct ax_vm *vm = ctx;

    ax_vm_notice_end(vm);
    if (vm->state != AX_VM_STOPPING || !vm->noticed || vm->draining ||
        !vm_is_out(vm))
        return;
    ax_timer_destroy(vm->patience);
    vm->patience = NULL;
    vm->draining = true;
    ax_vm_drain_consoles(vm, DRAIN_MS, vm_drained);
}

static void vm_answered(void *ctx)
{
    struct ax_vm *vm = ctx;

    if (vm->env.answered)
        vm->env.answered(vm->env.ctx, vm);
}

static void vm_deadline(void *ctx, uint64_t count)
{
    struct ax_vm *vm = ctx;

    ax_log(vm->log, AX_LOG_INFO, "timeout: the guest ends");
    vm->timed_out = true;
    vm->final = true;
    ax_vm_cancel_pin(vm);
    if (vm->kept)
        vm_finish(vm);
    else
        ax_vm_request_end(vm, AX_VM_END_TIMEOUT, 0);
}

int ax_vm_start_from(struct ax_vm *vm, enum ax_vm_state from)
{
    const uint64_t timeout_ns = vm->env.conf->timeout_ns;
    int err = 0;

    vm->timed_out = false;
    if (timeout_ns && !vm->deadline)
        err = ax_timer_create(vm->env.loop, vm_deadline, vm, &vm->deadline);
    if (err)
        return err;
    if (timeout_ns)
        ax_timer_arm(vm->deadline, timeout_ns, 0);
    return from == AX_VM_STOPPED ? vm_relaunch(vm) : vm_launch(vm);
}

/* ---- creation ---- */

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
    vm->refusal = "";
    vm->times.created = ax_clock_now_ns();
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->all_here, NULL);
    err = ax_log_create_child(env->log, env->conf->name, &vm->log);
    if (!err)
        err = ax_wake_create(env->loop, vm_news, vm, &vm->news);
    if (!err)
        err = ax_wake_create(env->loop, vm_answered, vm, &vm->answer);
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
    ax_vm_cancel_pin(vm);
    ax_vm_request_end(vm, AX_VM_END_STOP, 0);
    ax_vm_unbuild(vm);
    ax_timer_destroy(vm->patience);
    ax_timer_destroy(vm->deadline);
    ax_vm_destroy_consoles(vm);
    ax_wake_destroy(vm->answer);
    ax_wake_destroy(vm->news);
    free(vm->crash);
    ax_log_destroy(vm->log);
    pthread_cond_destroy(&vm->all_here);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

/* ---- looking at it ---- */

enum ax_vm_state ax_vm_state(const struct ax_vm *vm)
{
    return vm->state;
}

const char *ax_vm_refusal(const struct ax_vm *vm)
{
    return vm->refusal;
}

struct ax_vm_end ax_vm_end(struct ax_vm *vm)
{
    struct ax_vm_end end;

    pthread_mutex_lock(&vm->lock);
    end = vm->end;
    pthread_mutex_unlock(&vm->lock);
    return end;
}

struct ax_vm_end ax_vm_last_end(struct ax_vm *vm)
{
    struct ax_vm_end end = ax_vm_end(vm);

    return end.cause == AX_VM_END_NONE ? vm->last_end : end;
}

bool ax_vm_kept(const struct ax_vm *vm)
{
    return vm->kept;
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

const struct ax_memory *ax_vm_memory(const struct ax_vm *vm)
{
    return &vm->mem;
}

unsigned ax_vm_device_count(const struct ax_vm *vm)
{
    return vm->device_count;
}

const struct ax_device *ax_vm_device(const struct ax_vm *vm, unsigned index)
{
    return index < vm->device_count ? vm->devices[index] : NULL;
}

const struct ax_arch *ax_vm_arch(const struct ax_vm *vm)
{
    return vm->arch;
}

struct ax_log *ax_vm_log(const struct ax_vm *vm)
{
    return vm->log;
}

struct ax_loop *ax_vm_loop(const struct ax_vm *vm)
{
    return vm->env.loop;
}
