/*
 * target.c - a target's life: it comes, a debugger attaches and detaches, it
 * goes. See target_parts.h for its parts.
 */
#include "debug/target_parts.h"

#include "devices/loop.h"
#include "log.h"
#include "vcpu/vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ax_target_call_loop(struct ax_target *t, unsigned what)
{
    atomic_fetch_or(&t->calls, what);
    ax_loop_wake(t->news);
}

int ax_target_refuse(struct ax_target *t, int err, const char *why)
{
    t->refusal = why;
    return err;
}

static const struct ax_vm_hooks hooks = {
    .entering = ax_target_entering,
    .exited = ax_target_exited,
    .ending = ax_target_ending,
    .starting = ax_target_starting,
    .changed = ax_target_changed,
};

int ax_target_create(struct ax_vm *vm, struct ax_target **out)
{
    const struct ax_arch *arch = ax_vm_arch(vm);
    struct ax_target *t;
    int err;

    *out = NULL;
    if (!arch || !arch->gdb || !ax_vm_ops(vm)->vcpu_debug)
        return -EOPNOTSUPP;
    t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->vm = vm;
    t->ops = arch->gdb[0];
    t->refusal = "";
    t->spins = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    t->stepper = NOBODY;
    for (unsigned i = 0; i < AX_CPUS_MAX; i++)
        t->slots[i].action.go = AX_GO_RUN;
    pthread_mutex_init(&t->lock, NULL);
    ax_breakpoints_init(&t->breakpoints);
    err = ax_wake_create(ax_vm_loop(vm), ax_target_news, t, &t->news);
    if (!err)
        err = ax_timer_create(ax_vm_loop(vm), ax_target_lazy, t, &t->lazy);
    if (!err)
        err = ax_vm_hook(vm, &hooks, t);
    if (err) {
        ax_target_destroy(t);
        return err;
    }
    *out = t;
    return 0;
}

void ax_target_destroy(struct ax_target *t)
{
    if (!t)
        return;
    ax_target_detach(t);
    if (ax_vm_hook(t->vm, NULL, NULL)) {
        ax_log(ax_vm_log(t->vm), AX_LOG_ERROR,
               "a vCPU does not let go of its debugger, whose memory is lost");
        return;
    }
    ax_breakpoints_clear(&t->breakpoints);
    ax_timer_destroy(t->lazy);
    ax_wake_destroy(t->news);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void ax_target_catch(struct ax_target *t, unsigned catches)
{
    pthread_mutex_lock(&t->lock);
    t->catches = catches;
    pthread_mutex_unlock(&t->lock);
}

unsigned ax_target_catches(struct ax_target *t)
{
    unsigned catches;

    pthread_mutex_lock(&t->lock);
    catches = t->catches;
    pthread_mutex_unlock(&t->lock);
    return catches;
}

void ax_target_wait(struct ax_target *t)
{
    t->wait = true;
}

/* ---- the debugger ---- */

int ax_target_attach(struct ax_target *t, const struct ax_target_events *events,
                     struct ax_target_stop *stop)
{
    int err = 0;

    if (t->attached)
        return ax_target_refuse(t, -EBUSY, "a debugger is attached already");
    if (!ax_vm_has_started(t->vm))
        return ax_target_refuse(t, -EPERM, "the VM has not been started");
    t->leave_suspended =
        ax_vm_state(t->vm) == AX_VM_SUSPENDED && !t->halted && !t->starting;
    if (ax_vm_kept(t->vm)) {
        t->last = (struct ax_target_stop){.why = AX_WHY_EVENT,
                                          .cause = ax_vm_end(t->vm).cause};
    } else if (!t->halted) {
        err = ax_vm_halt(t->vm, false);
        t->last = (struct ax_target_stop){.why = t->starting ? AX_WHY_START
                                                             : AX_WHY_ASKED};
        if (!err)
            ax_vm_stop_time(t->vm);
    }
    if (err)
        return ax_target_refuse(t, err, "the VM cannot be halted now");
    t->starting = false;
    t->events = *events;
    t->attached = true;
    t->halted = true;
    t->running = false;
    t->asked = false;
    memset(t->viewed, 0, sizeof(t->viewed));
    ax_target_claim(t);
    *stop = t->last;
    return 0;
}

static int clear_debug(void *ctx, const struct ax_backend_ops *ops,
                       struct ax_engine_vcpu *engine)
{
    struct slot *slot = ctx;
    const struct ax_debug none = {.step = false};

    if (slot->told)
        ops->vcpu_debug(engine, &none);
    slot->told = false;
    return 0;
}

void ax_target_detach(struct ax_target *t)
{
    const bool kept = ax_vm_kept(t->vm);

    if (!t->attached)
        return;
    if (!kept && !ax_vm_halt(t->vm, true)) {
        for (unsigned i = 0; i < ax_target_vcpus(t); i++)
            ax_vcpu_call(ax_vm_vcpu(t->vm, i), clear_debug, &t->slots[i],
                         CALL_MS);
    }
    /* Also where it could not be halted: it is about to end, and may be kept.
     */
    ax_breakpoints_unplant(&t->breakpoints, ax_target_memory(t), t->ops);
    ax_breakpoints_clear(&t->breakpoints);
    ax_target_end_over(t);
    for (unsigned i = 0; i < AX_CPUS_MAX; i++) {
        t->slots[i].stopped = false;
        t->slots[i].action = (struct ax_target_action){.go = AX_GO_RUN};
    }
    t->attached = false;
    t->asked = false;
    t->halted = false;
    if (!kept && !ax_target_end_caught(t) && !t->leave_suspended)
        ax_target_let_go(t);
    t->halted = false;
    t->running = false;
    t->quiet = false;
    ax_target_claim(t);
}

/* ---- looking at it ---- */

const char *ax_target_refusal(const struct ax_target *t)
{
    return t->refusal;
}

bool ax_target_attached(const struct ax_target *t)
{
    return t->attached;
}

bool ax_target_halted(const struct ax_target *t)
{
    return t->halted;
}

struct ax_vm *ax_target_vm(const struct ax_target *t)
{
    return t->vm;
}

const struct ax_gdb_ops *ax_target_ops(const struct ax_target *t)
{
    return t->ops;
}

void ax_target_set_ops(struct ax_target *t, const struct ax_gdb_ops *ops)
{
    t->ops = ops;
}
