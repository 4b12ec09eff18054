/*
 * target_vcpu.c - a target on its vCPUs' threads: what the engine watches for,
 * and what becomes of an exit or an end.
 *
 * A vCPU that has something to tell notes it in its slot, asks every vCPU to
 * hold and wakes the loop, which waits for them and decides (target_run.c). A
 * breakpoint whose condition is false is stepped over, for which the others
 * have to hold, because it is taken out meanwhile; with one vCPU running that
 * needs no loop.
 */
#include "debug/target_parts.h"

#include "debug/agent.h"
#include "log.h"
#include "vcpu/vcpu.h"

#include <string.h>

/* ---- what the engine watches for ---- */

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
    if (slot->told ? ax_debug_equal(&debug, &slot->debug)
                   : !debug.step && !t->breakpoints.count)
        return;
    if (ops->vcpu_debug(engine, &debug))
        ax_log(ax_vm_log(t->vm), AX_LOG_ERROR,
               "the engine refuses a breakpoint or a step");
    slot->debug = debug;
    slot->told = true;
}

void ax_target_entering(void *ctx, struct ax_vcpu *vcpu,
                        struct ax_engine_vcpu *engine)
{
    struct ax_target *t = ctx;

    slot_apply(t, &t->slots[ax_vcpu_id(vcpu)], engine);
}

/* ---- conditions ---- */

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

static bool asker_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
    struct asker *a = ctx;
    const struct ax_gdb_view *view = asker_view(a);

    return view && ax_target_read_virtual(a->t, view, addr, buf, len) == len;
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

/* ---- stops ---- */

static void slot_stop(struct ax_target *t, struct asker *a, unsigned id,
                      const struct ax_target_stop *stop, uint64_t pc)
{
    struct slot *slot = &t->slots[id];
    const struct ax_gdb_ops *ops = t->ops;

    slot->stop = *stop;
    slot->stop.vcpu = id;
    slot->stop.far =
        stop->why == AX_WHY_BREAK && asker_view(a) && a->view.pc_base;
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
    ax_target_call_loop(t, NEWS_STOP);
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
        ax_target_call_loop(t, NEWS_OVER);
        return;
    }
    if (lifted)
        ax_breakpoint_unplant(lifted, ax_target_memory(t), t->ops);
    slot->over = OVER_STEPS;
    slot_apply(t, slot, a->engine);
}

static void slot_stepped_over(struct ax_target *t, struct asker *a, unsigned id)
{
    struct slot *slot = &t->slots[id];

    if (t->stepper == (int)id) { /* the others wait for it */
        slot->over = OVER_DONE;
        ax_vm_pause_all(t->vm);
        ax_target_call_loop(t, NEWS_OVER);
        return;
    }
    if (slot->lifted)
        ax_breakpoint_plant(slot->lifted, ax_target_memory(t), t->ops);
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
        t->ops->translate(ax_target_memory(t), view->paging, pc, &gpa, NULL))
        bp = ax_breakpoints_at(&t->breakpoints, gpa);
    if (!bp) {
        ax_vm_ops(t->vm)->vcpu_debug_decline(a->engine);
        return;
    }
    for (unsigned i = 0; !holds && i < t->breakpoints.count; i++) {
        const struct ax_breakpoint *one = &t->breakpoints.all[i];

        holds = one->type == AX_BREAK_SOFT && one->placed && one->gpa == gpa &&
                one->addr == pc && condition_holds(a, one);
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

void ax_target_exited(void *ctx, struct ax_vcpu *vcpu,
                      struct ax_engine_vcpu *engine, const struct ax_exit *ex)
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

/* ---- ends ---- */

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
    for (unsigned i = 0; i < ax_target_vcpus(t); i++) {
        if (ax_vcpu_is_self(ax_vm_vcpu(t->vm, i)))
            return i;
    }
    return 0;
}

bool ax_target_ending(void *ctx, enum ax_vm_cause cause, uint64_t code)
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
        ax_target_call_loop(t, NEWS_EVENT);
    }
    return catches;
}
