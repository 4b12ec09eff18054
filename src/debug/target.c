/*
 * target.c - run control of a VM under a debugger.
 *
 * A vCPU that has something to tell notes it in its slot, asks every vCPU to
 * hold and wakes the loop, which waits for them and decides: a stop that the
 * debugger hears of, or a step over a breakpoint whose condition is false, for
 * which the others have to hold because the breakpoint is taken out meanwhile.
 * With one vCPU running that step needs no loop.
 *
 * A slot belongs to its vCPU's thread while that runs, and to the loop while it
 * holds; the hold's lock orders the two.
 */
#include "debug/target.h"

#include "debug/agent.h"
#include "debug/breakpoints.h"
#include "devices/clock.h"
#include "devices/loop.h"
#include "log.h"
#include "vcpu/vcpu.h"
#include "vmm/vm_debug.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CALL_MS = 5000,
    PAGE_BYTES = 4096,
    NOBODY = -1,
};

/* A debugger that steps comes back at once: guest time is not stopped and
 * started for each. */
#define LAZY_NS UINT64_C(20000000)

/* ... and a step is over sooner than a loop that sleeps would have woken. */
#define AWAKE_NS UINT64_C(50000)

/* What the loop is woken for. */
enum {
    NEWS_STOP = 1,     /* a slot has one */
    NEWS_OVER = 2,     /* a slot wants, or has done, its step over */
    NEWS_EVENT = 4,    /* caught */
    NEWS_ASKED = 8,    /* ax_target_halt */
    NEWS_STATE = 16,   /* the VM's is new */
    NEWS_STARTED = 32, /* another life */
};

enum over {
    OVER_NO,
    OVER_WANTED, /* the loop shall see to it */
    OVER_STEPS,  /* one instruction without breakpoints */
    OVER_DONE,   /* ... is done; only where the loop waits for it */
};

struct slot {
    struct ax_target_action action;
    enum over over;
    struct ax_breakpoint *lifted; /* out of memory for the step over */
    bool stopped;                 /* stop is yet to be told */
    struct ax_target_stop stop;
    uint64_t stop_pc;
    bool told; /* the engine knows debug */
    struct ax_debug debug;
};

struct ax_target {
    struct ax_vm *vm;
    const struct ax_gdb_ops *ops;
    struct ax_wake *news;
    struct ax_timer *lazy;
    atomic_uint calls; /* NEWS_* */
    const char *refusal;
    struct ax_target_events events;

    bool attached;
    bool halted;
    bool leave_suspended; /* on detach: it was when we came */
    bool wait;            /* halt at the next start */
    bool starting;        /* ... which has come */
    bool running;         /* let go, and no stop was told since */
    bool lazy_armed;
    bool spins;  /* the host has CPUs enough to wait awake for a step */
    bool solo;   /* one vCPU runs: it may step over by itself */
    bool quiet;  /* ... one step, and the VM is Suspended meanwhile */
    bool asked;  /* ax_target_halt */
    int stepper; /* the vCPU that the loop lets step over, or NOBODY */
    struct ax_target_stop last;
    struct ax_breakpoints breakpoints;

    pthread_mutex_t lock; /* a leaf: the event and what is caught */
    unsigned catches;
    bool caught;
    struct ax_target_stop event;
    uint64_t event_code;

    bool viewed[AX_CPUS_MAX]; /* views is of this halt */
    struct ax_gdb_view views[AX_CPUS_MAX];
    struct slot slots[AX_CPUS_MAX];
};

static void target_call_loop(struct ax_target *t, unsigned what)
{
    atomic_fetch_or(&t->calls, what);
    ax_loop_wake(t->news);
}

static const struct ax_memory *target_memory(const struct ax_target *t)
{
    return ax_vm_memory(t->vm);
}

static unsigned target_vcpus(const struct ax_target *t)
{
    return ax_vm_vcpu_count(t->vm);
}

/* ---- on vCPU threads: what the engine watches for ---- */

static void slot_apply(struct ax_target *t, struct slot *slot,
                       struct ax_engine_vcpu *engine)
{
    const struct ax_backend_ops *ops = ax_vm_ops(t->vm);
    struct ax_debug debug;

    /* What the CPU would stop at first is what is stepped over. */
    ax_breakpoints_points(&t->breakpoints, slot->over != OVER_STEPS, &debug);
    debug.step = slot->over == OVER_STEPS || slot->action.go == AX_GO_STEP;
    for (unsigned i = 0; i < t->breakpoints.count; i++)
        debug.soft |= t->breakpoints.all[i].planted;
    if (slot->told ? !memcmp(&debug, &slot->debug, sizeof(debug))
                   : !debug.step && !t->breakpoints.count)
        return;
    if (ops->vcpu_debug(engine, &debug))
        ax_log(ax_vm_log(t->vm), AX_LOG_ERROR,
               "the engine refuses a breakpoint or a step");
    slot->debug = debug;
    slot->told = true;
}

static void target_entering(void *ctx, struct ax_vcpu *vcpu,
                            struct ax_engine_vcpu *engine)
{
    struct ax_target *t = ctx;

    slot_apply(t, &t->slots[ax_vcpu_id(vcpu)], engine);
}

/* ---- on vCPU threads: conditions ---- */

struct asker {
    struct ax_target *t;
    struct ax_engine_vcpu *engine;
    bool viewed;
    struct ax_gdb_view view;
};

static const struct ax_gdb_view *asker_view(struct asker *a)
{
    if (!a->viewed)
        a->viewed = !a->t->ops->view(ax_vm_ops(a->t->vm), a->engine, &a->view);
    return a->viewed ? &a->view : NULL;
}

static bool asker_reg(void *ctx, unsigned reg, uint64_t *val)
{
    struct asker *a = ctx;
    const struct ax_gdb_ops *ops = a->t->ops;
    uint8_t buf[AX_TARGET_REG] = {0};

    if (ops->reg_size(reg) - 1 >= sizeof(*val) ||
        ops->reg_get(ax_vm_ops(a->t->vm), a->engine, reg, buf))
        return false;
    memcpy(val, buf, sizeof(*val));
    return true;
}

/* Bytes at addr through paging, as far as they are memory. */
static size_t read_virtual(const struct ax_target *t,
                           const struct ax_gdb_view *view, uint64_t addr,
                           void *buf, size_t len)
{
    const struct ax_memory *mem = target_memory(t);
    size_t done = 0;

    while (done < len) {
        const size_t room = PAGE_BYTES - (addr + done) % PAGE_BYTES;
        const size_t count = len - done < room ? len - done : room;
        const void *at;
        ax_gpa gpa;

        if (!t->ops->translate(mem, view->paging, addr + done, &gpa, NULL))
            break;
        at = ax_memory_at(mem, gpa, count, AX_PROT_READ);
        if (!at)
            break;
        memcpy((char *)buf + done, at, count);
        done += count;
    }
    return done;
}

static bool asker_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
    struct asker *a = ctx;
    const struct ax_gdb_view *view = asker_view(a);

    return view && read_virtual(a->t, view, addr, buf, len) == len;
}

/* Does it stop? One that cannot be evaluated does. */
static bool condition_holds(struct asker *a, const struct ax_breakpoint *bp)
{
    const struct ax_agent_env env = {
        .reg = asker_reg, .read = asker_read, .ctx = a};
    const uint8_t *code = bp->code;
    uint64_t val;

    for (unsigned i = 0; i < bp->code_count; i++) {
        if (ax_agent_evaluate(code, bp->code_sizes[i], &env, &val) || val)
            return true;
        code += bp->code_sizes[i];
    }
    return !bp->code_count;
}

/* ---- on vCPU threads: stops ---- */

static void slot_stop(struct ax_target *t, struct asker *a, unsigned id,
                      const struct ax_target_stop *stop, uint64_t pc)
{
    struct slot *slot = &t->slots[id];
    const struct ax_gdb_ops *ops = t->ops;

    slot->stop = *stop;
    slot->stop.vcpu = id;
    slot->stop_pc = pc;
    for (unsigned i = 0;
         i < AX_TARGET_EXPEDITED && ops->expedited[i] < ops->reg_count; i++) {
        if (ops->reg_get(ax_vm_ops(t->vm), a->engine, ops->expedited[i],
                         slot->stop.expedited[i]))
            break;
        slot->stop.expedited_count++;
    }
    slot->stopped = true;
    ax_vm_pause_all(t->vm);
    target_call_loop(t, NEWS_STOP);
}

/* A breakpoint of ours that does not stop: past it, alone or with the loop's
 * help. lifted: what is to be taken out of memory for it; may be NULL. */
static void slot_step_over(struct ax_target *t, struct asker *a, unsigned id,
                           struct ax_breakpoint *lifted)
{
    struct slot *slot = &t->slots[id];

    slot->lifted = lifted;
    if (lifted && !t->solo) {
        slot->over = OVER_WANTED;
        ax_vm_pause_all(t->vm);
        target_call_loop(t, NEWS_OVER);
        return;
    }
    if (lifted)
        ax_breakpoint_unplant(lifted, target_memory(t), t->ops);
    slot->over = OVER_STEPS;
    slot_apply(t, slot, a->engine);
}

static void slot_stepped_over(struct ax_target *t, struct asker *a, unsigned id)
{
    struct slot *slot = &t->slots[id];

    if (t->stepper == (int)id) { /* the others wait for it */
        slot->over = OVER_DONE;
        ax_vm_pause_all(t->vm);
        target_call_loop(t, NEWS_OVER);
        return;
    }
    if (slot->lifted)
        ax_breakpoint_plant(slot->lifted, target_memory(t), t->ops);
    slot->lifted = NULL;
    slot->over = OVER_NO;
    slot_apply(t, slot, a->engine);
}

/*
 * The instruction that was planted is there under any address that the page
 * has; the breakpoint is at one of them, and gdb knows of no other.
 */
static void slot_hit_soft(struct ax_target *t, struct asker *a, unsigned id,
                          uint64_t pc)
{
    static const struct ax_target_stop stop = {.why = AX_WHY_BREAK,
                                               .type = AX_BREAK_SOFT};
    const struct ax_gdb_view *view = asker_view(a);
    struct ax_breakpoint *bp = NULL;
    bool holds = false;
    ax_gpa gpa;

    if (view &&
        t->ops->translate(target_memory(t), view->paging, pc, &gpa, NULL))
        bp = ax_breakpoints_at(&t->breakpoints, gpa);
    if (!bp) {
        ax_vm_ops(t->vm)->vcpu_debug_decline(a->engine);
        return;
    }
    for (unsigned i = 0; !holds && i < t->breakpoints.count; i++) {
        const struct ax_breakpoint *one = &t->breakpoints.all[i];

        holds = one->type == AX_BREAK_SOFT && one->placed &&
                one->gpa == gpa && one->addr == pc && condition_holds(a, one);
    }
    if (holds)
        slot_stop(t, a, id, &stop, pc);
    else
        slot_step_over(t, a, id, bp);
}

/* False: nothing of it stops, and it goes on from there. */
static bool slot_hit_points(struct ax_target *t, struct asker *a, unsigned id,
                            unsigned points, uint64_t pc)
{
    bool exec = false;

    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        const int index = t->breakpoints.points[i];
        const struct ax_breakpoint *bp;
        struct ax_target_stop stop = {.why = AX_WHY_BREAK};

        if (!(points & 1U << i) || index < 0)
            continue;
        bp = &t->breakpoints.all[index];
        if (bp->type <= AX_BREAK_HARD)
            exec = true;
        if (!condition_holds(a, bp))
            continue;
        stop.type = bp->type;
        stop.addr = bp->addr;
        if (bp->type > AX_BREAK_HARD)
            stop.why = AX_WHY_WATCH;
        slot_stop(t, a, id, &stop, pc);
        return true;
    }
    if (exec)
        slot_step_over(t, a, id, NULL);
    return exec;
}

static void slot_stepped(struct ax_target *t, struct asker *a, unsigned id,
                         uint64_t pc)
{
    static const struct ax_target_stop stop = {.why = AX_WHY_STEP};
    const struct slot *slot = &t->slots[id];

    if (slot->action.go != AX_GO_STEP)
        return;
    if (pc < slot->action.end && pc >= slot->action.start &&
        !ax_breakpoints_here(&t->breakpoints, pc))
        return;
    slot_stop(t, a, id, &stop, pc);
}

static void target_exited(void *ctx, struct ax_vcpu *vcpu,
                          struct ax_engine_vcpu *engine,
                          const struct ax_exit *ex)
{
    struct ax_target *t = ctx;
    struct asker a = {.t = t, .engine = engine};
    const unsigned id = ax_vcpu_id(vcpu);
    const unsigned what = ex->debug.what;
    const uint64_t pc = ex->debug.pc;

    if (what & AX_DEBUG_STEP && t->slots[id].over == OVER_STEPS)
        slot_stepped_over(t, &a, id);
    if (what & AX_DEBUG_SOFT)
        slot_hit_soft(t, &a, id, pc);
    else if (!(what & AX_DEBUG_HARD) ||
             !slot_hit_points(t, &a, id, ex->debug.points, pc))
        if (what & AX_DEBUG_STEP)
            slot_stepped(t, &a, id, pc);
}

static unsigned caught_as(enum ax_vm_cause cause)
{
    switch (cause) {
    case AX_VM_END_OFF:
        return AX_CATCH_OFF;
    case AX_VM_END_RESET:
        return AX_CATCH_RESET;
    case AX_VM_END_CRASH:
        return AX_CATCH_CRASH;
    default:
        return 0;
    }
}

/* Whose doing it is; 0 where it is the loop's. */
static unsigned target_self(const struct ax_target *t)
{
    for (unsigned i = 0; i < target_vcpus(t); i++) {
        if (ax_vcpu_is_self(ax_vm_vcpu(t->vm, i)))
            return i;
    }
    return 0;
}

static bool target_ending(void *ctx, enum ax_vm_cause cause, uint64_t code)
{
    struct ax_target *t = ctx;
    bool catches, first;

    pthread_mutex_lock(&t->lock);
    catches = t->catches & caught_as(cause);
    first = catches && !t->caught;
    if (first) {
        t->caught = true;
        t->event = (struct ax_target_stop){
            .why = AX_WHY_EVENT, .cause = cause, .vcpu = target_self(t)};
        t->event_code = code;
    }
    pthread_mutex_unlock(&t->lock);
    if (first) {
        ax_vm_pause_all(t->vm);
        target_call_loop(t, NEWS_EVENT);
    }
    return catches;
}

/* ---- on the loop: letting go ---- */

static void target_claim(struct ax_target *t)
{
    ax_vm_claim(t->vm, t->attached && (t->halted || t->quiet));
}

static bool find_place(void *ctx, uint64_t addr, ax_gpa *gpa)
{
    struct ax_target *t = ctx;
    struct ax_gdb_view view;

    /* As any vCPU sees it: whoever brings the mapping about. */
    for (unsigned i = 0; i < target_vcpus(t); i++) {
        if (!ax_target_view(t, i, &view) &&
            t->ops->translate(target_memory(t), view.paging, addr, gpa, NULL) &&
            ax_memory_at_load(target_memory(t), *gpa, t->ops->breakpoint_size))
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

/* As the actions say; quietly where it is one step of one vCPU. */
static int target_let_go(struct ax_target *t)
{
    bool run[AX_CPUS_MAX] = {false};
    unsigned count = 0, last = 0;
    int err;

    for (unsigned i = 0; i < target_vcpus(t); i++) {
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
        ax_breakpoints_plant(&t->breakpoints, target_memory(t), t->ops);
    memset(t->viewed, 0, sizeof(t->viewed));
    t->running = true;
    t->halted = false;
    target_claim(t);
    err = ax_vm_let_go(t->vm, run, t->quiet);
    if (!err && t->quiet && t->spins)
        target_await_step(t);
    if (!err)
        return 0;
    ax_breakpoints_unplant(&t->breakpoints, target_memory(t), t->ops);
    t->running = false;
    t->halted = true;
    target_claim(t);
    return err;
}

/* Lets one vCPU, which wants to, step over its breakpoint; false: none does. */
static bool target_step_over(struct ax_target *t)
{
    bool run[AX_CPUS_MAX] = {false};

    for (unsigned i = 0; i < target_vcpus(t); i++) {
        struct slot *slot = &t->slots[i];

        if (slot->over != OVER_WANTED)
            continue;
        slot->over = OVER_STEPS;
        slot->lifted = NULL;
        t->stepper = (int)i;
        run[i] = true;
        memset(t->viewed, 0, sizeof(t->viewed));
        return !ax_vm_let_go(t->vm, run, true);
    }
    return false;
}

/* ---- on the loop: halting ---- */

static bool target_take_event(struct ax_target *t, struct ax_target_stop *stop)
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
    if (target_take_event(t, stop))
        return true;
    for (unsigned i = 0; i < target_vcpus(t); i++) {
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

/* What was withheld happens; false: nothing was. */
static bool target_end_caught(struct ax_target *t)
{
    struct ax_target_stop event;
    const bool caught = target_take_event(t, &event);

    if (!caught)
        return false;
    pthread_mutex_lock(&t->lock);
    t->caught = false;
    pthread_mutex_unlock(&t->lock);
    ax_vm_end_now(t->vm, event.cause, t->event_code);
    return true;
}

static void target_end_over(struct ax_target *t)
{
    t->stepper = NOBODY;
    for (unsigned i = 0; i < target_vcpus(t); i++) {
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
    target_end_over(t);
    t->halted = true;
    t->running = false;
    t->quiet = false;
    t->asked = false;
    t->last = *stop;
    target_claim(t);
    if (stop->why != AX_WHY_STEP)
        ax_vm_stop_time(t->vm);
    else if (!t->lazy_armed)
        ax_timer_arm(t->lazy, LAZY_NS, 0);
    t->lazy_armed |= stop->why == AX_WHY_STEP;
    target_announce(t, stop);
}

static void target_lazy(void *ctx, uint64_t count)
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
        target_end_caught(t);
        return;
    }
    ax_breakpoints_unplant(&t->breakpoints, target_memory(t), t->ops);
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
    if (!target_step_over(t))
        target_let_go(t);
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
            target_end_caught(t);
        }
        break;
    case AX_VM_STOPPED:
        t->halted = false;
        t->running = false;
        target_claim(t);
        if (t->attached && lived)
            t->events.ended(t->events.ctx, ax_vm_end(t->vm));
        break;
    default:
        break;
    }
}

static void target_news(void *ctx)
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

/* ---- hooks on the loop ---- */

static bool target_starting(void *ctx)
{
    struct ax_target *t = ctx;
    const bool halt = t->wait || (t->attached && t->halted);

    memset(t->slots, 0, sizeof(t->slots));
    memset(t->viewed, 0, sizeof(t->viewed));
    for (unsigned i = 0; i < target_vcpus(t); i++)
        t->slots[i].action.go = AX_GO_RUN;
    for (unsigned i = 0; i < t->breakpoints.count; i++)
        t->breakpoints.all[i].planted = false; /* the memory is new */
    pthread_mutex_lock(&t->lock);
    t->caught = false;
    pthread_mutex_unlock(&t->lock);
    t->last.vcpu = 0;
    t->stepper = NOBODY;
    t->solo = target_vcpus(t) == 1;
    t->quiet = false;
    t->asked = false;
    t->wait = false;
    t->starting = halt;
    t->halted = false;
    t->running = t->attached;
    if (t->attached && !halt)
        ax_breakpoints_plant(&t->breakpoints, target_memory(t), t->ops);
    target_claim(t);
    target_call_loop(t, NEWS_STARTED);
    return halt;
}

static void target_changed(void *ctx)
{
    target_call_loop(ctx, NEWS_STATE);
}

static const struct ax_vm_hooks hooks = {
    .entering = target_entering,
    .exited = target_exited,
    .ending = target_ending,
    .starting = target_starting,
    .changed = target_changed,
};

/* ---- its life ---- */

/* While no vCPU runs; they go on where they did. */
static int target_hook(struct ax_target *t, const struct ax_vm_hooks *which)
{
    const bool running = ax_vm_state(t->vm) == AX_VM_RUNNING;
    bool run[AX_CPUS_MAX];
    int err = running ? ax_vm_halt(t->vm, true) : 0;

    if (err && which)
        return err;
    ax_vm_hook(t->vm, which, t);
    memset(run, true, sizeof(run));
    if (running && !err)
        ax_vm_let_go(t->vm, run, false);
    return 0;
}

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
    err = ax_wake_create(ax_vm_loop(vm), target_news, t, &t->news);
    if (!err)
        err = ax_timer_create(ax_vm_loop(vm), target_lazy, t, &t->lazy);
    if (!err)
        err = target_hook(t, &hooks);
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
    target_hook(t, NULL);
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

static int target_refuse(struct ax_target *t, int err, const char *why)
{
    t->refusal = why;
    return err;
}

int ax_target_attach(struct ax_target *t, const struct ax_target_events *events,
                     struct ax_target_stop *stop)
{
    int err = 0;

    if (t->attached)
        return target_refuse(t, -EBUSY, "a debugger is attached already");
    if (!ax_vm_has_started(t->vm))
        return target_refuse(t, -EPERM, "the VM has not been started");
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
        return target_refuse(t, err, "the VM cannot be halted now");
    t->starting = false;
    t->events = *events;
    t->attached = true;
    t->halted = true;
    t->running = false;
    t->asked = false;
    memset(t->viewed, 0, sizeof(t->viewed));
    target_claim(t);
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
        ax_breakpoints_unplant(&t->breakpoints, target_memory(t), t->ops);
        for (unsigned i = 0; i < target_vcpus(t); i++)
            ax_vcpu_call(ax_vm_vcpu(t->vm, i), clear_debug, &t->slots[i],
                         CALL_MS);
    }
    ax_breakpoints_clear(&t->breakpoints);
    target_end_over(t);
    for (unsigned i = 0; i < AX_CPUS_MAX; i++) {
        t->slots[i].stopped = false;
        t->slots[i].action = (struct ax_target_action){.go = AX_GO_RUN};
    }
    t->attached = false;
    t->asked = false;
    t->halted = false;
    if (!kept && !target_end_caught(t) && !t->leave_suspended)
        target_let_go(t);
    t->halted = false;
    t->running = false;
    t->quiet = false;
    target_claim(t);
}

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

/* ---- halted or not ---- */

int ax_target_halt(struct ax_target *t)
{
    t->refusal = "";
    if (!t->halted && !ax_vm_has_started(t->vm))
        return target_refuse(t, -EPERM, "the VM does not run");
    t->asked = !t->halted;
    target_call_loop(t, NEWS_ASKED);
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

    for (unsigned i = 0; i < target_vcpus(t); i++) {
        struct slot *slot = &t->slots[i];

        if (slot->action.go == AX_GO_HOLD || !slot->stopped)
            continue;
        slot->stopped = stop_is_valid(t, i);
        any |= slot->stopped;
    }
    return any;
}

int ax_target_resume(struct ax_target *t,
                     const struct ax_target_action *actions)
{
    t->refusal = "";
    if (!t->attached || !t->halted)
        return target_refuse(t, -EBUSY, "the VM is not halted");
    if (ax_vm_kept(t->vm))
        return target_refuse(t, -EPERM,
                             "the VM has ended and is kept as it was: start "
                             "makes it anew");
    if (target_end_caught(t)) {
        t->halted = false;
        t->running = true;
        target_claim(t);
        return 0;
    }
    for (unsigned i = 0; i < target_vcpus(t); i++)
        t->slots[i].action = actions[i];
    t->leave_suspended = false;
    if (target_has_stops(t)) {
        t->halted = false;
        t->running = true;
        t->quiet = true;
        target_call_loop(t, NEWS_STOP);
        return 0;
    }
    ax_breakpoints_place(&t->breakpoints, find_place, t);
    switch (target_let_go(t)) {
    case 0:
        return 0;
    case -EBUSY:
        return target_refuse(t, -EBUSY, "the VM is being dumped");
    default:
        return target_refuse(t, -EPERM, "the VM cannot go on");
    }
}

int ax_target_reset(struct ax_target *t)
{
    int err;

    t->wait = true;
    err = ax_vm_reset(t->vm);
    if (!err)
        return 0;
    t->wait = false;
    return target_refuse(t, err, ax_vm_refusal(t->vm));
}

/* ---- registers and memory ---- */

int ax_target_call(struct ax_target *t, unsigned vcpu,
                   int (*fn)(void *ctx, const struct ax_backend_ops *ops,
                             struct ax_engine_vcpu *engine),
                   void *ctx)
{
    struct ax_vcpu *which = ax_vm_vcpu(t->vm, vcpu);

    if (!t->halted)
        return -EBUSY;
    if (!which)
        return -ESRCH;
    t->viewed[vcpu] = false; /* fn may change anything */
    return ax_vcpu_call(which, fn, ctx, CALL_MS);
}

struct regs {
    const struct ax_gdb_ops *ops;
    unsigned from, to;
    uint8_t *buf;
    const uint8_t *vals;
    bool unknown;
};

static int regs_get(void *ctx, const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *engine)
{
    struct regs *r = ctx;
    uint8_t *at = r->buf;

    for (unsigned reg = r->from; reg < r->to; reg++) {
        const unsigned size = r->ops->reg_size(reg);

        if (r->ops->reg_get(ops, engine, reg, at)) {
            memset(at, 0, size);
            r->unknown = true;
        }
        at += size;
    }
    return 0;
}

static int regs_set(void *ctx, const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *engine)
{
    struct regs *r = ctx;
    const uint8_t *at = r->vals;
    int err = 0;

    for (unsigned reg = r->from; !err && reg < r->to; reg++) {
        err = r->ops->reg_set(ops, engine, reg, at);
        at += r->ops->reg_size(reg);
    }
    return err;
}

int ax_target_regs_get(struct ax_target *t, unsigned vcpu, unsigned from,
                       unsigned to, uint8_t *buf, bool *unknown)
{
    struct regs r = {.ops = t->ops, .from = from, .to = to, .buf = buf};
    int err = to <= t->ops->reg_count ? ax_target_call(t, vcpu, regs_get, &r)
                                      : -EINVAL;

    if (unknown)
        *unknown = r.unknown;
    return err;
}

int ax_target_regs_set(struct ax_target *t, unsigned vcpu, unsigned from,
                       unsigned to, const uint8_t *buf)
{
    struct regs r = {.ops = t->ops, .from = from, .to = to, .vals = buf};

    if (to > t->ops->reg_count)
        return -EINVAL;
    return ax_target_call(t, vcpu, regs_set, &r);
}

struct view_call {
    const struct ax_gdb_ops *ops;
    struct ax_gdb_view *view;
};

static int view_get(void *ctx, const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *engine)
{
    const struct view_call *call = ctx;

    return call->ops->view(ops, engine, call->view);
}

int ax_target_view(struct ax_target *t, unsigned vcpu, struct ax_gdb_view *view)
{
    struct view_call call = {.ops = t->ops};
    int err = 0;

    if (vcpu >= target_vcpus(t))
        return -ESRCH;
    call.view = &t->views[vcpu];
    if (!t->viewed[vcpu])
        err = ax_target_call(t, vcpu, view_get, &call);
    t->viewed[vcpu] = !err;
    *view = t->views[vcpu];
    return err;
}

static size_t read_physical(const struct ax_target *t, uint64_t addr, void *buf,
                            size_t len)
{
    size_t done = 0;

    while (done < len && addr + done >= addr) {
        const size_t room = PAGE_BYTES - (addr + done) % PAGE_BYTES;
        const size_t count = len - done < room ? len - done : room;
        const void *at =
            ax_memory_at(target_memory(t), addr + done, count, AX_PROT_READ);

        if (!at)
            break;
        memcpy((char *)buf + done, at, count);
        done += count;
    }
    return done;
}

size_t ax_target_read(struct ax_target *t, unsigned vcpu, bool physical,
                      uint64_t addr, void *buf, size_t len)
{
    struct ax_gdb_view view;

    if (!t->halted)
        return 0;
    if (physical)
        return read_physical(t, addr, buf, len);
    return ax_target_view(t, vcpu, &view)
               ? 0
               : read_virtual(t, &view, addr, buf, len);
}

/* The host's address of what can be written in a row at addr, at most len. */
static void *write_place(struct ax_target *t, const struct ax_gdb_view *view,
                         uint64_t addr, size_t len, size_t *count)
{
    const size_t room = PAGE_BYTES - addr % PAGE_BYTES;
    ax_gpa gpa = addr;

    *count = len < room ? len : room;
    if (view &&
        !t->ops->translate(target_memory(t), view->paging, addr, &gpa, NULL))
        return NULL;
    return ax_memory_at_load(target_memory(t), gpa, *count);
}

int ax_target_write(struct ax_target *t, unsigned vcpu, bool physical,
                    uint64_t addr, const void *buf, size_t len)
{
    struct ax_gdb_view view;
    const struct ax_gdb_view *through = physical ? NULL : &view;
    size_t count;

    if (!t->halted)
        return -EBUSY;
    if (!physical && ax_target_view(t, vcpu, &view))
        return -EFAULT;
    for (size_t done = 0; done < len; done += count) {
        if (!write_place(t, through, addr + done, len - done, &count))
            return -EFAULT;
    }
    for (size_t done = 0; done < len; done += count) {
        void *at = write_place(t, through, addr + done, len - done, &count);

        if (!at) /* a page table was among what was written */
            return -EFAULT;
        memcpy(at, (const char *)buf + done, count);
    }
    return 0;
}

/* ---- breakpoints ---- */

int ax_target_insert(struct ax_target *t, unsigned vcpu,
                     enum ax_target_type type, uint64_t addr, unsigned size,
                     const struct ax_target_code *conditions, unsigned count)
{
    struct ax_gdb_view view;
    bool placed = false;
    ax_gpa gpa = 0;

    if (!t->halted)
        return -EBUSY;
    if (type == AX_BREAK_SOFT) {
        int err = ax_target_view(t, vcpu, &view);

        if (err)
            return err;
        placed =
            t->ops->translate(target_memory(t), view.paging, addr, &gpa, NULL);
        if (placed &&
            !ax_memory_at_load(target_memory(t), gpa, t->ops->breakpoint_size))
            return -EFAULT;
    }
    return ax_breakpoints_insert(&t->breakpoints, type, addr, size,
                                 placed ? &gpa : NULL, conditions, count);
}

int ax_target_remove(struct ax_target *t, enum ax_target_type type,
                     uint64_t addr, unsigned size)
{
    if (!t->halted)
        return -EBUSY;
    return ax_breakpoints_remove(&t->breakpoints, type, addr, size);
}
