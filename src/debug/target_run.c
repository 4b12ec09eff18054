/*
 * target_run.c - a target on the loop: it lets vCPUs go and waits for them.
 * Whatever one of them has noted becomes a stop that the debugger hears of, or
 * a step over a breakpoint, alone.
 */
#include "debug/target_parts.h"

#include "devices/clock.h"
#include "devices/loop.h"
#include "log.h"
#include "vcpu/vcpu.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* A debugger that steps comes back at once: guest time is not stopped and
 * started for each. */
#define LAZY_NS UINT64_C(20000000)

/* ... and a step is over sooner than a loop that sleeps would have woken. */
#define AWAKE_NS UINT64_C(50000)

/* ---- letting go ---- */

void ax_target_claim(struct ax_target *t)
{
    ax_vm_claim(t->vm, t->attached && (t->halted || t->quiet));
}

static bool find_place(void *ctx, uint64_t addr, ax_gpa *gpa)
{
    struct ax_target *t = ctx;
    struct ax_gdb_view view;

    /* As any vCPU sees it: whoever brings the mapping about. */
    for (unsigned i = 0; i < ax_target_vcpus(t); i++) {
        if (!ax_target_view(t, i, &view) &&
            t->ops->translate(ax_target_memory(t), view.paging, addr, gpa,
                              NULL) &&
            ax_memory_at_load(ax_target_memory(t), *gpa,
                              t->ops->breakpoint_size))
            return true;
    }
    return false;
}

static void target_await_step(struct ax_target *t)
{
    const uint64_t end = ax_clock_now_ns() + AWAKE_NS;

    while (!atomic_load(&t->calls) && ax_clock_now_ns() < end)
        sched_yield();
}

int ax_target_let_go(struct ax_target *t)
{
    bool run[AX_CPUS_MAX] = {false};
    unsigned count = 0, last = 0;
    int err;

    for (unsigned i = 0; i < ax_target_vcpus(t); i++) {
        run[i] = t->slots[i].action.go != AX_GO_HOLD;
        if (!run[i])
            continue;
        count++;
        last = i;
    }
    if (!count)
        return -EINVAL;
    t->solo = count == 1;
    t->quiet = t->solo && t->slots[last].action.go == AX_GO_STEP;
    if (!t->quiet)
        ax_breakpoints_plant(&t->breakpoints, ax_target_memory(t), t->ops);
    memset(t->viewed, 0, sizeof(t->viewed));
    t->running = true;
    t->halted = false;
    ax_target_claim(t);
    err = ax_vm_let_go(t->vm, run, t->quiet);
    if (!err && t->quiet && t->spins)
        target_await_step(t);
    if (!err)
        return 0;
    ax_breakpoints_unplant(&t->breakpoints, ax_target_memory(t), t->ops);
    t->running = false;
    t->halted = true;
    ax_target_claim(t);
    return err;
}

/* Lets one vCPU, which wants to, step over its breakpoint. 0, -ENOENT: none
 * does; or as ax_vm_let_go. */
static int target_step_over(struct ax_target *t)
{
    bool run[AX_CPUS_MAX] = {false};

    for (unsigned i = 0; i < ax_target_vcpus(t); i++) {
        struct slot *slot = &t->slots[i];

        if (slot->over != OVER_WANTED)
            continue;
        slot->over = OVER_STEPS;
        slot->lifted = NULL;
        t->stepper = (int)i;
        run[i] = true;
        memset(t->viewed, 0, sizeof(t->viewed));
        return ax_vm_let_go(t->vm, run, true);
    }
    return -ENOENT;
}

/*
 * gdb takes a thread past a breakpoint before it lets it go, if it knows of one
 * at its pc register. Where that is not the address, it is up to us.
 */
static bool target_is_at_far_breakpoints(struct ax_target *t)
{
    struct ax_gdb_view view;
    bool any = false;

    for (unsigned i = 0; i < ax_target_vcpus(t); i++) {
        struct slot *slot = &t->slots[i];

        if (slot->action.go == AX_GO_HOLD || !slot->stop.far ||
            ax_target_view(t, i, &view) || view.pc != slot->stop_pc ||
            !ax_breakpoints_here(&t->breakpoints, view.pc))
            continue;
        slot->over = OVER_WANTED;
        any = true;
    }
    return any;
}

/* ---- halting ---- */

static bool target_see_event(struct ax_target *t, struct ax_target_stop *stop)
{
    bool caught;

    pthread_mutex_lock(&t->lock);
    caught = t->caught;
    *stop = t->event;
    pthread_mutex_unlock(&t->lock);
    return caught;
}

/* What is to be told first; others stay for later. */
static bool target_take_stop(struct ax_target *t, struct ax_target_stop *stop)
{
    if (target_see_event(t, stop))
        return true;
    for (unsigned i = 0; i < ax_target_vcpus(t); i++) {
        if (!t->slots[i].stopped)
            continue;
        *stop = t->slots[i].stop;
        t->slots[i].stopped = false;
        return true;
    }
    if (!t->asked)
        return false;
    *stop = (struct ax_target_stop){.why = AX_WHY_ASKED, .vcpu = t->last.vcpu};
    return true;
}

bool ax_target_end_caught(struct ax_target *t)
{
    enum ax_vm_cause cause;
    uint64_t code;
    bool caught;

    pthread_mutex_lock(&t->lock);
    caught = t->caught;
    cause = t->event.cause;
    code = t->event_code;
    t->caught = false;
    pthread_mutex_unlock(&t->lock);
    if (caught)
        ax_vm_end_now(t->vm, cause, code);
    return caught;
}

void ax_target_end_over(struct ax_target *t)
{
    t->stepper = NOBODY;
    for (unsigned i = 0; i < ax_target_vcpus(t); i++) {
        t->slots[i].over = OVER_NO;
        t->slots[i].lifted = NULL;
    }
}

static void target_announce(struct ax_target *t,
                            const struct ax_target_stop *stop)
{
    static const char *const causes[] = {
        [AX_VM_END_OFF] = "power-off",
        [AX_VM_END_RESET] = "reset",
        [AX_VM_END_CRASH] = "crash",
    };

    if (t->attached)
        t->events.stopped(t->events.ctx, stop);
    else if (stop->why == AX_WHY_EVENT)
        ax_log(ax_vm_log(t->vm), AX_LOG_INFO,
               "vcpu%u: its %s is caught: it waits for a debugger", stop->vcpu,
               causes[stop->cause]);
    else
        ax_log(ax_vm_log(t->vm), AX_LOG_INFO, "it waits for a debugger");
}

/* Every vCPU holds: that is told. */
static void target_stopped(struct ax_target *t,
                           const struct ax_target_stop *stop)
{
    if (ax_vm_halt(t->vm, false))
        return; /* it has begun to end: NEWS_STATE follows */
    ax_target_end_over(t);
    t->halted = true;
    t->running = false;
    t->quiet = false;
    t->asked = false;
    t->last = *stop;
    ax_target_claim(t);
    if (stop->why != AX_WHY_STEP)
        ax_vm_stop_time(t->vm);
    else if (!t->lazy_armed)
        ax_timer_arm(t->lazy, LAZY_NS, 0);
    t->lazy_armed |= stop->why == AX_WHY_STEP;
    target_announce(t, stop);
}

void ax_target_lazy(void *ctx, uint64_t count)
{
    struct ax_target *t = ctx;

    t->lazy_armed = false;
    if (t->halted)
        ax_vm_stop_time(t->vm);
}

/* Somebody has something to tell: wait for all, and see what it is. */
static void target_settle(struct ax_target *t)
{
    struct ax_target_stop stop;

    if (t->halted)
        return;
    if (ax_vm_halt(t->vm, true)) { /* it ends already */
        ax_target_end_caught(t);
        return;
    }
    ax_breakpoints_unplant(&t->breakpoints, ax_target_memory(t), t->ops);
    if (t->stepper != NOBODY && t->slots[t->stepper].over == OVER_DONE) {
        t->slots[t->stepper].over = OVER_NO;
        t->stepper = NOBODY;
    }
    if (target_take_stop(t, &stop)) {
        target_stopped(t, &stop);
        return;
    }
    if (t->stepper != NOBODY) /* it was only interrupted */
        t->slots[t->stepper].over = OVER_WANTED;
    if (target_step_over(t))
        ax_target_let_go(t);
}

/* The VM's state is not what it was. */
static void target_look(struct ax_target *t)
{
    static const struct ax_target_stop start = {.why = AX_WHY_START};
    const bool lived = t->running || t->halted;

    switch (ax_vm_state(t->vm)) {
    case AX_VM_SUSPENDED:
        if (t->starting) {
            t->starting = false;
            target_stopped(t, &start);
        } else if (t->running && t->attached && !t->quiet) {
            t->asked = true; /* by somebody else */
            target_settle(t);
        }
        break;
    case AX_VM_RUNNING:
        if (t->halted && !t->attached) { /* somebody has let it go */
            t->halted = false;
            ax_target_end_caught(t);
        }
        break;
    case AX_VM_STOPPED:
        t->halted = false;
        t->running = false;
        ax_target_claim(t);
        if (ax_vm_kept(t->vm)) /* to be looked at: without what is ours */
            ax_breakpoints_unplant(&t->breakpoints, ax_target_memory(t),
                                   t->ops);
        if (t->attached && lived)
            t->events.ended(t->events.ctx, ax_vm_end(t->vm));
        break;
    default:
        break;
    }
}

void ax_target_tell_end(struct ax_target *t)
{
    if (ax_vm_state(t->vm) == AX_VM_STOPPED)
        target_look(t);
}

void ax_target_news(void *ctx)
{
    struct ax_target *t = ctx;
    const unsigned calls = atomic_exchange(&t->calls, 0);

    if (calls & NEWS_STARTED && t->attached)
        t->events.restarted(t->events.ctx);
    if (calls & NEWS_STATE)
        target_look(t);
    if (calls & NEWS_ASKED && t->halted && t->attached)
        t->events.stopped(t->events.ctx, &t->last);
    else if (calls & (NEWS_STOP | NEWS_OVER | NEWS_EVENT | NEWS_ASKED))
        target_settle(t);
}

/* ---- hooks ---- */

bool ax_target_starting(void *ctx)
{
    struct ax_target *t = ctx;
    const bool halt = t->wait || (t->attached && t->halted);

    memset(t->slots, 0, sizeof(t->slots));
    memset(t->viewed, 0, sizeof(t->viewed));
    for (unsigned i = 0; i < ax_target_vcpus(t); i++)
        t->slots[i].action.go = AX_GO_RUN;
    for (unsigned i = 0; i < t->breakpoints.count; i++)
        t->breakpoints.all[i].planted = false; /* the memory is new */
    pthread_mutex_lock(&t->lock);
    t->caught = false;
    pthread_mutex_unlock(&t->lock);
    t->last.vcpu = 0;
    t->stepper = NOBODY;
    t->solo = ax_target_vcpus(t) == 1;
    t->quiet = false;
    t->asked = false;
    t->wait = false;
    t->starting = halt;
    t->halted = false;
    t->running = t->attached;
    if (t->attached && !halt)
        ax_breakpoints_plant(&t->breakpoints, ax_target_memory(t), t->ops);
    ax_target_claim(t);
    ax_target_call_loop(t, NEWS_STARTED);
    return halt;
}

void ax_target_changed(void *ctx)
{
    ax_target_call_loop(ctx, NEWS_STATE);
}

/* ---- what the debugger wants ---- */

int ax_target_halt(struct ax_target *t)
{
    t->refusal = "";
    if (!t->halted && !ax_vm_has_started(t->vm))
        return ax_target_refuse(t, -EPERM, "the VM does not run");
    t->asked = !t->halted;
    ax_target_call_loop(t, NEWS_ASKED);
    return 0;
}

/* Is what vCPU id has found on its way to the last stop still so? */
static bool stop_is_valid(struct ax_target *t, unsigned id)
{
    const struct slot *slot = &t->slots[id];
    struct ax_gdb_view view;

    if (slot->stop.why == AX_WHY_WATCH)
        return true;
    return slot->stop.why == AX_WHY_BREAK && !ax_target_view(t, id, &view) &&
           view.pc == slot->stop_pc &&
           ax_breakpoints_here(&t->breakpoints, view.pc);
}

/* Does a vCPU that shall go have a stop to tell first? Others are forgotten. */
static bool target_has_stops(struct ax_target *t)
{
    bool any = false;

    for (unsigned i = 0; i < ax_target_vcpus(t); i++) {
        struct slot *slot = &t->slots[i];

        if (slot->action.go == AX_GO_HOLD || !slot->stopped)
            continue;
        slot->stopped = stop_is_valid(t, i);
        any |= slot->stopped;
    }
    return any;
}

/* They are stepped over, and then it goes as the actions say. Where it cannot
 * go, it is halted as before. */
static int target_pass_far_breakpoints(struct ax_target *t)
{
    int err;

    t->halted = false;
    t->running = true;
    t->quiet = true;
    err = target_step_over(t);
    if (!err)
        return 0;
    ax_target_end_over(t);
    t->halted = true;
    t->running = false;
    t->quiet = false;
    ax_target_claim(t);
    return err;
}

static int target_refuse_to_go(struct ax_target *t, int err)
{
    return err ? ax_target_refuse(t, err,
                                  err == -EBUSY ? "the VM is being dumped"
                                                : "the VM cannot go on")
               : 0;
}

int ax_target_resume(struct ax_target *t,
                     const struct ax_target_action *actions)
{
    t->refusal = "";
    if (!t->attached || !t->halted)
        return ax_target_refuse(t, -EBUSY, "the VM is not halted");
    if (ax_vm_kept(t->vm))
        return ax_target_refuse(t, -EPERM,
                                "the VM has ended and is kept as it was: start "
                                "makes it anew");
    if (ax_target_end_caught(t)) {
        t->halted = false;
        t->running = true;
        ax_target_claim(t);
        return 0;
    }
    for (unsigned i = 0; i < ax_target_vcpus(t); i++)
        t->slots[i].action = actions[i];
    t->leave_suspended = false;
    if (target_has_stops(t)) {
        t->halted = false;
        t->running = true;
        t->quiet = true;
        ax_target_call_loop(t, NEWS_STOP);
        return 0;
    }
    if (target_is_at_far_breakpoints(t))
        return target_refuse_to_go(t, target_pass_far_breakpoints(t));
    ax_breakpoints_place(&t->breakpoints, find_place, t);
    return target_refuse_to_go(t, ax_target_let_go(t));
}

int ax_target_reset(struct ax_target *t)
{
    int err;

    t->wait = true;
    err = ax_vm_reset(t->vm);
    if (!err)
        return 0;
    t->wait = false;
    return ax_target_refuse(t, err, ax_vm_refusal(t->vm));
}
