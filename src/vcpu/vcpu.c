/*
 * vcpu.c - the run loop and the exit table.
 */
#include "vcpu/vcpu.h"

#include "devices/bus.h"
#include "devices/clock.h"
#include "devices/console.h"
#include "devices/device.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    REQUEST_STOP = 1,
    REQUEST_PAUSE = 2, /* hold until it is taken back */
    REQUEST_KEEP = 4,  /* hold until stopped */
    REQUEST_CALL = 8,  /* run vcpu->call */
    REQUEST_HOLD = REQUEST_PAUSE | REQUEST_KEEP,
};
enum { STACK_BYTES = 256 * 1024, AWAKE_NS = 50000 };

/* A function that another thread waits for. Under the vCPU's lock, but for fn.
 */
struct vcpu_call {
    int (*fn)(void *ctx, const struct ax_backend_ops *ops,
              struct ax_engine_vcpu *engine);
    void *ctx;
    int err;
    bool begun, done;
};

struct ax_vcpu {
    struct ax_vcpu_env env;
    unsigned id;
    pthread_t thread;
    bool started;

    atomic_uint requests; /* REQUEST_* */
    _Atomic(enum ax_vcpu_state) state;

    pthread_mutex_t lock; /* a leaf: engine, held, and the conditions */
    pthread_cond_t wake;  /* requests have changed */
    pthread_cond_t moved; /* the vCPU has arrived, or has gone */
    struct ax_engine_vcpu *engine; /* NULL before and after its life */
    bool held, ended;
    bool looping;           /* in its run loop: takes calls */
    struct vcpu_call *call; /* with REQUEST_CALL; on its caller's stack */
    uint64_t stood_ns;      /* guest time stood still so long */

    struct ax_exit exit;
    atomic_ullong exits[AX_EXIT_KINDS];
    atomic_ullong first_run_ns, first_exit_ns;
    struct ax_exit history[AX_VCPU_HISTORY];
    unsigned recorded; /* free running */
};

/* ---- the exit table ---- */

/* WAIT: nothing more to do, until told to stop. */
enum next { AX_NEXT_RUN, AX_NEXT_WAIT };
typedef enum next exit_handler(struct ax_vcpu *vcpu, struct ax_exit *ex);

static enum next exit_nothing(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    return AX_NEXT_RUN;
}

static enum next exit_access(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    uint64_t data = ex->access.data;

    ex->unclaimed =
        !ax_bus_access(vcpu->env.buses[ex->access.space], ex->access.write,
                       ex->access.addr, ex->access.width, &data);
    if (!ex->access.write)
        ex->answer = data;
    return AX_NEXT_RUN;
}

static enum next exit_sysreg(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    enum next next = exit_access(vcpu, ex);

    if (ex->unclaimed)
        ax_log_guest(vcpu->env.log, AX_LOG_DEBUG,
                     "vcpu%u: system register %#" PRIx64
                     " does not exist: the guest gets a fault",
                     vcpu->id, ex->access.addr);
    return next;
}

static enum next exit_hypercall(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    ax_log_guest(vcpu->env.log, AX_LOG_WARN,
                 "vcpu%u: hypercall %#" PRIx64 " is not known", vcpu->id,
                 ex->hypercall.nr);
    ex->answer = (uint64_t)-ENOSYS;
    return AX_NEXT_RUN;
}

static enum next exit_halt(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    if (vcpu->env.halt_ends) {
        ax_log(vcpu->env.log, AX_LOG_INFO,
               "vcpu%u halted, and without an interrupt controller nothing "
               "can wake it: power-off",
               vcpu->id);
        ax_power_request(&vcpu->env.power, AX_POWER_OFF, 0);
    }
    return AX_NEXT_WAIT;
}

static enum next vcpu_crash(struct ax_vcpu *vcpu, const struct ax_exit *ex)
{
    if (vcpu->env.crashed)
        vcpu->env.crashed(vcpu->env.ctx, vcpu, vcpu->engine, ex);
    ax_power_request(&vcpu->env.power, AX_POWER_CRASH, 0);
    return AX_NEXT_WAIT;
}

static enum next exit_system_down(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    if (ex->power.event == AX_POWER_CRASH)
        return vcpu_crash(vcpu, ex);
    ax_power_request(&vcpu->env.power, ex->power.event, 0);
    return AX_NEXT_WAIT;
}

static enum next exit_fatal(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    return vcpu_crash(vcpu, ex);
}

static enum next exit_interrupt_end(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    if (vcpu->env.irqchip)
        ax_device_eoi(vcpu->env.irqchip, (unsigned)ex->interrupt.vector);
    return AX_NEXT_RUN;
}

static enum next exit_debug(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    if (vcpu->env.debugged)
        vcpu->env.debugged(vcpu->env.ctx, vcpu, vcpu->engine, ex);
    return AX_NEXT_RUN;
}

/*
 * KVM's in-kernel interrupt controllers bring CPUs up and pass IPIs without us;
 * an engine that hands them out has a guest that expects an answer: refused.
 */
static enum next exit_unserved(struct ax_vcpu *vcpu, struct ax_exit *ex)
{
    char text[160];

    ax_log_guest(vcpu->env.log, AX_LOG_WARN, "vcpu%u: not served here: %s",
                 vcpu->id, ax_exit_format(ex, text, sizeof(text)));
    ex->answer = UINT64_MAX;
    return AX_NEXT_RUN;
}

static exit_handler *const handlers[AX_EXIT_KINDS] = {
    [AX_EXIT_NOTHING] = exit_nothing,
    [AX_EXIT_HYPERCALL] = exit_hypercall,
    [AX_EXIT_MMIO_READ] = exit_access,
    [AX_EXIT_MMIO_WRITE] = exit_access,
    [AX_EXIT_SYSREG_READ] = exit_sysreg,
    [AX_EXIT_SYSREG_WRITE] = exit_sysreg,
    [AX_EXIT_IO_READ] = exit_access,
    [AX_EXIT_IO_WRITE] = exit_access,
    [AX_EXIT_EXTERNAL_INTERRUPT] = exit_nothing,
    [AX_EXIT_NESTED_PAGE_FAULT] = exit_fatal,
    [AX_EXIT_HALT] = exit_halt,
    [AX_EXIT_CPU_UP] = exit_unserved,
    [AX_EXIT_CPU_DOWN] = exit_unserved,
    [AX_EXIT_SYSTEM_DOWN] = exit_system_down,
    [AX_EXIT_FAIL_ENTRY] = exit_fatal,
    [AX_EXIT_SEND_IPI] = exit_unserved,
    [AX_EXIT_INTERRUPT_END] = exit_interrupt_end,
    [AX_EXIT_DEBUG] = exit_debug,
};

/* ---- the run loop ---- */

static bool vcpu_cancelled(void *ctx)
{
    struct ax_vcpu *vcpu = ctx;

    return atomic_load(&vcpu->requests);
}

static void vcpu_trace(struct ax_vcpu *vcpu, const struct ax_exit *ex)
{
    char text[160];

    fprintf(vcpu->env.trace, "%" PRIu64 " %s-vcpu%u %s\n",
            ax_clock_now_ns() / 1000, vcpu->env.vm_name, vcpu->id,
            ax_exit_format(ex, text, sizeof(text)));
}

/* Only this thread writes the counter, so a plain add is enough. */
static void vcpu_count(struct ax_vcpu *vcpu, const struct ax_exit *ex)
{
    atomic_ullong *counter = &vcpu->exits[ex->kind];

    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
        memory_order_relaxed);
    if (ex->kind != AX_EXIT_NOTHING && ex->kind != AX_EXIT_DEBUG)
        vcpu->history[vcpu->recorded++ % AX_VCPU_HISTORY] = *ex;
}

/* This thread alone changes the state, in order: a refusal is a bug of ours. */
static void vcpu_move(struct ax_vcpu *vcpu, enum ax_vcpu_op op)
{
    enum ax_vcpu_state from = atomic_load(&vcpu->state), next;

    if (ax_vcpu_transition(from, op, &next))
        ax_log(vcpu->env.log, AX_LOG_ERROR, "vcpu%u: out of order in state %s",
               vcpu->id, ax_vcpu_state_name(from));
    atomic_store(&vcpu->state, next);
}

/* With the lock held, which fn runs without. */
static void vcpu_serve_call(struct ax_vcpu *vcpu)
{
    struct vcpu_call *call = vcpu->call;

    atomic_fetch_and(&vcpu->requests, ~REQUEST_CALL);
    vcpu->call = NULL;
    call->begun = true;
    pthread_mutex_unlock(&vcpu->lock);
    call->err = call->fn(call->ctx, vcpu->env.ops, vcpu->engine);
    pthread_mutex_lock(&vcpu->lock);
    call->done = true;
    pthread_cond_broadcast(&vcpu->moved);
}

/* Is there something to do but to hold? */
static bool vcpu_is_wanted(const struct ax_vcpu *vcpu)
{
    const unsigned requests = atomic_load(&vcpu->requests);

    return !(requests & REQUEST_HOLD) ||
           requests & (REQUEST_STOP | REQUEST_CALL);
}

/*
 * With the lock held, but not meanwhile. A debugger that steps comes back
 * within microseconds, in which a thread that sleeps would hardly have woken.
 */
static void vcpu_hold_awake(struct ax_vcpu *vcpu)
{
    const uint64_t end = ax_clock_now_ns() + AWAKE_NS;

    pthread_mutex_unlock(&vcpu->lock);
    while (!vcpu_is_wanted(vcpu) && ax_clock_now_ns() < end)
        sched_yield();
    pthread_mutex_lock(&vcpu->lock);
}

/* With the lock held: holds until there is something else to do. */
static void vcpu_hold(struct ax_vcpu *vcpu)
{

    if (!vcpu->held) {
        vcpu_move(vcpu, AX_VCPU_OP_BLOCK);
        vcpu->held = true;
        pthread_cond_broadcast(&vcpu->moved);
        if (vcpu->env.held && atomic_load(&vcpu->requests) & REQUEST_KEEP)
            vcpu->env.held(vcpu->env.ctx, vcpu);
    }
    if (vcpu->exit.kind == AX_EXIT_DEBUG && vcpu->env.spins)
        vcpu_hold_awake(vcpu);
    while (!vcpu_is_wanted(vcpu))
        pthread_cond_wait(&vcpu->wake, &vcpu->lock);
    if (atomic_load(&vcpu->requests) & REQUEST_CALL)
        return; /* it holds on behind that */
    vcpu->held = false;
    vcpu_move(vcpu, AX_VCPU_OP_WAKE);
}

static void vcpu_enter(struct ax_vcpu *vcpu)
{
    if (vcpu->env.entering)
        vcpu->env.entering(vcpu->env.ctx, vcpu, vcpu->engine);
}

/* Obeys the requests; false: the thread shall end. */
static bool vcpu_obey(struct ax_vcpu *vcpu)
{
    bool was_held = false;
    unsigned requests;
    uint64_t stood_ns;

    pthread_mutex_lock(&vcpu->lock);
    for (;;) {
        requests = atomic_load(&vcpu->requests);
        if (requests & REQUEST_CALL) {
            vcpu_serve_call(vcpu);
        } else if (vcpu->held ||
                   (requests & REQUEST_HOLD && !(requests & REQUEST_STOP))) {
            vcpu_hold(vcpu);
            was_held = true;
        } else {
            break;
        }
    }
    stood_ns = vcpu->stood_ns;
    vcpu->stood_ns = 0;
    pthread_mutex_unlock(&vcpu->lock);
    if (requests & REQUEST_STOP)
        return false;
    if (stood_ns && vcpu->env.ops->vcpu_time_go)
        vcpu->env.ops->vcpu_time_go(vcpu->engine, stood_ns);
    if (was_held)
        vcpu_enter(vcpu);
    return true;
}

/* Sleeps until a request comes. */
static void vcpu_wait(struct ax_vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    vcpu_move(vcpu, AX_VCPU_OP_BLOCK);
    while (!atomic_load(&vcpu->requests))
        pthread_cond_wait(&vcpu->wake, &vcpu->lock);
    vcpu_move(vcpu, AX_VCPU_OP_WAKE);
    pthread_mutex_unlock(&vcpu->lock);
}

/* Runs the guest until its next exit and serves it. */
static enum next vcpu_step(struct ax_vcpu *vcpu)
{
    struct ax_exit *ex = &vcpu->exit;
    int err = vcpu->env.ops->vcpu_run(vcpu->engine, ex);
    enum next next;

    if (err) {
        memset(ex, 0, sizeof(*ex));
        ex->kind = AX_EXIT_FAIL_ENTRY;
        ex->fail.code = (uint64_t)-err;
        ex->fail.why = "the engine failed";
    }
    next = handlers[ex->kind](vcpu, ex);
    vcpu_count(vcpu, ex);
    if (vcpu->env.trace)
        vcpu_trace(vcpu, ex);
    if (ax_console_congested(vcpu->env.console))
        ax_console_wait(vcpu->env.console, vcpu_cancelled, vcpu);
    return next;
}

/*
 * The guest has been answered, but may not know it yet: an engine takes the
 * answer with the next entry. Whoever looks at registers between the two sees
 * an instruction half done, and what he writes is written over. So it enters
 * once more, kicked, and comes out behind the instruction.
 */
static enum next vcpu_complete(struct ax_vcpu *vcpu, enum next next)
{
    while ((ax_exit_is_access(vcpu->exit.kind) ||
            vcpu->exit.kind == AX_EXIT_HYPERCALL) &&
           !(atomic_load(&vcpu->requests) & REQUEST_STOP)) {
        vcpu->env.ops->vcpu_kick(vcpu->engine);
        next = vcpu_step(vcpu);
    }
    return next;
}

static void vcpu_take_calls(struct ax_vcpu *vcpu, bool looping)
{
    pthread_mutex_lock(&vcpu->lock);
    vcpu->looping = looping;
    pthread_mutex_unlock(&vcpu->lock);
}

static void vcpu_loop(struct ax_vcpu *vcpu)
{
    enum next next = AX_NEXT_RUN;
    bool first = true;

    atomic_store(&vcpu->first_run_ns, ax_clock_now_ns());
    vcpu_move(vcpu, AX_VCPU_OP_RUN);
    vcpu_take_calls(vcpu, true);
    vcpu_enter(vcpu);
    for (;;) {
        if (atomic_load_explicit(&vcpu->requests, memory_order_acquire)) {
            next = vcpu_complete(vcpu, next);
            if (!vcpu_obey(vcpu))
                break;
        }
        if (next == AX_NEXT_WAIT) { /* still, also after a suspension */
            vcpu_wait(vcpu);
            continue;
        }
        next = vcpu_step(vcpu);
        if (first)
            atomic_store(&vcpu->first_exit_ns, ax_clock_now_ns());
        first = false;
    }
    vcpu_move(vcpu, AX_VCPU_OP_LEAVE);
}

static void vcpu_bind(const struct ax_vcpu *vcpu)
{
    cpu_set_t set;
    int err;

    if (!vcpu->env.cpu_set)
        return;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < 64; i++) {
        if (vcpu->env.cpu_set >> i & 1)
            CPU_SET(i, &set);
    }
    err = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    if (err)
        ax_log(vcpu->env.log, AX_LOG_WARN,
               "vcpu%u: cannot run on host CPUs %#" PRIx64
               " (%s): it runs on any",
               vcpu->id, vcpu->env.cpu_set, strerror(err));
}

/* Created -> Free -> Ready, on the vCPU's thread. */
static int vcpu_set_up(struct ax_vcpu *vcpu)
{
    struct ax_engine_vcpu *engine;
    int err = vcpu->env.ops->vcpu_create(vcpu->env.engine, vcpu->id, &engine);

    if (err)
        return err;
    pthread_mutex_lock(&vcpu->lock);
    vcpu->engine = engine;
    pthread_mutex_unlock(&vcpu->lock);
    vcpu_move(vcpu, AX_VCPU_OP_SETUP);
    if (vcpu->env.prepare)
        err = vcpu->env.prepare(vcpu->env.ctx, engine, vcpu->id);
    if (!err)
        vcpu_move(vcpu, AX_VCPU_OP_BIND);
    return err;
}

static void *vcpu_thread(void *arg)
{
    struct ax_vcpu *vcpu = arg;
    struct ax_engine_vcpu *engine;
    int err;

    vcpu_bind(vcpu);
    err = vcpu_set_up(vcpu);
    if (err) {
        vcpu_move(vcpu, AX_VCPU_OP_FAIL);
        ax_log(vcpu->env.log, AX_LOG_ERROR, "vcpu%u: cannot be set up: %s",
               vcpu->id, strerror(-err));
        ax_power_request(&vcpu->env.power, AX_POWER_FAIL, 0);
    }
    if ((!vcpu->env.rendezvous || vcpu->env.rendezvous(vcpu->env.ctx)) && !err)
        vcpu_loop(vcpu);

    pthread_mutex_lock(&vcpu->lock);
    engine = vcpu->engine;
    vcpu->engine = NULL; /* no kick from now on */
    vcpu->looping = false;
    vcpu->ended = true;
    if (vcpu->call) { /* it came too late */
        vcpu->call->err = -ESRCH;
        vcpu->call->done = true;
        vcpu->call = NULL;
    }
    pthread_cond_broadcast(&vcpu->moved);
    pthread_mutex_unlock(&vcpu->lock);
    vcpu->env.ops->vcpu_destroy(engine);
    if (!err)
        vcpu_move(vcpu, AX_VCPU_OP_UNBIND);
    if (vcpu->env.gone)
        vcpu->env.gone(vcpu->env.ctx, vcpu);
    return NULL;
}

/* ---- the other threads' side ---- */

int ax_vcpu_create(const struct ax_vcpu_env *env, unsigned id,
                   struct ax_vcpu **out)
{
    struct ax_vcpu *vcpu = calloc(1, sizeof(*vcpu));
    pthread_condattr_t attr;

    *out = vcpu;
    if (!vcpu)
        return -ENOMEM;
    vcpu->env = *env;
    vcpu->id = id;
    atomic_store(&vcpu->state, AX_VCPU_CREATED);
    pthread_mutex_init(&vcpu->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&vcpu->wake, &attr);
    pthread_cond_init(&vcpu->moved, &attr);
    pthread_condattr_destroy(&attr);
    return 0;
}

void ax_vcpu_destroy(struct ax_vcpu *vcpu)
{
    if (!vcpu)
        return;
    pthread_cond_destroy(&vcpu->moved);
    pthread_cond_destroy(&vcpu->wake);
    pthread_mutex_destroy(&vcpu->lock);
    free(vcpu);
}

int ax_vcpu_start(struct ax_vcpu *vcpu)
{
    sigset_t all, old;
    pthread_attr_t attr;
    char name[16];
    int err;

    /* Born with every signal blocked: they are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    err = pthread_create(&vcpu->thread, &attr, vcpu_thread, vcpu);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err)
        return -err;
    vcpu->started = true;
    /* 15 characters is the kernel's limit: the number matters most. */
    snprintf(name, sizeof(name), "%.8s-vcpu%u", vcpu->env.vm_name,
             vcpu->id % 100);
    pthread_setname_np(vcpu->thread, name);
    return 0;
}

void ax_vcpu_join(struct ax_vcpu *vcpu)
{
    if (vcpu->started)
        pthread_join(vcpu->thread, NULL);
    vcpu->started = false;
}

static void vcpu_request(struct ax_vcpu *vcpu, unsigned set, unsigned clear)
{
    pthread_mutex_lock(&vcpu->lock);
    atomic_fetch_or(&vcpu->requests, set);
    atomic_fetch_and(&vcpu->requests, ~clear);
    /* One that is outside the guest needs none: it would come out of its next
     * entry for nothing. */
    if (set && vcpu->engine && !vcpu->held && !ax_vcpu_is_self(vcpu))
        vcpu->env.ops->vcpu_kick(vcpu->engine);
    pthread_cond_broadcast(&vcpu->wake);
    pthread_mutex_unlock(&vcpu->lock);
    if (set && vcpu->env.console)
        ax_console_kick(vcpu->env.console);
}

void ax_vcpu_stop(struct ax_vcpu *vcpu)
{
    vcpu_request(vcpu, REQUEST_STOP, 0);
}

void ax_vcpu_pause(struct ax_vcpu *vcpu)
{
    /* One that was asked already holds, or was kicked for it. */
    if (!(atomic_load(&vcpu->requests) & REQUEST_PAUSE))
        vcpu_request(vcpu, REQUEST_PAUSE, 0);
}

void ax_vcpu_stood(struct ax_vcpu *vcpu, uint64_t stopped_ns)
{
    pthread_mutex_lock(&vcpu->lock);
    vcpu->stood_ns += stopped_ns;
    pthread_mutex_unlock(&vcpu->lock);
}

void ax_vcpu_resume(struct ax_vcpu *vcpu)
{
    vcpu_request(vcpu, 0, REQUEST_PAUSE);
}

void ax_vcpu_keep(struct ax_vcpu *vcpu)
{
    vcpu_request(vcpu, REQUEST_KEEP, 0);
}

static struct timespec vcpu_deadline(unsigned timeout_ms)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end); /* what pthread waits by */

    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (end.tv_nsec >= AX_NSEC_PER_SEC) {
        end.tv_nsec -= AX_NSEC_PER_SEC;
        end.tv_sec++;
    }
    return end;
}

bool ax_vcpu_paused(struct ax_vcpu *vcpu, unsigned timeout_ms)
{
    struct timespec end = vcpu_deadline(timeout_ms);
    bool arrived;
    int err = 0;

    pthread_mutex_lock(&vcpu->lock);
    while (!vcpu->held && !vcpu->ended && vcpu->started && !err)
        err = pthread_cond_timedwait(&vcpu->moved, &vcpu->lock, &end);
    arrived = vcpu->held || vcpu->ended || !vcpu->started;
    pthread_mutex_unlock(&vcpu->lock);
    return arrived;
}

/* Waits for a call; one that has begun is waited for however long it takes. */
static int vcpu_await_call(struct ax_vcpu *vcpu, struct vcpu_call *call,
                           unsigned timeout_ms)
{
    struct timespec end = vcpu_deadline(timeout_ms);
    int err = 0;

    pthread_mutex_lock(&vcpu->lock);
    while (!call->done && (call->begun || !err)) {
        if (call->begun)
            pthread_cond_wait(&vcpu->moved, &vcpu->lock);
        else
            err = pthread_cond_timedwait(&vcpu->moved, &vcpu->lock, &end);
    }
    if (!call->done) {
        atomic_fetch_and(&vcpu->requests, ~REQUEST_CALL);
        vcpu->call = NULL;
        call->err = -ETIMEDOUT;
    }
    pthread_mutex_unlock(&vcpu->lock);
    return call->err;
}

int ax_vcpu_call(struct ax_vcpu *vcpu,
                 int (*fn)(void *ctx, const struct ax_backend_ops *ops,
                           struct ax_engine_vcpu *engine),
                 void *ctx, unsigned timeout_ms)
{
    struct vcpu_call call = {.fn = fn, .ctx = ctx};

    pthread_mutex_lock(&vcpu->lock);
    if (vcpu->looping)
        vcpu->call = &call;
    else
        call.done = true;
    pthread_mutex_unlock(&vcpu->lock);
    if (call.done)
        return -ESRCH;
    vcpu_request(vcpu, REQUEST_CALL, 0);
    return vcpu_await_call(vcpu, &call, timeout_ms);
}

enum ax_vcpu_state ax_vcpu_state(struct ax_vcpu *vcpu)
{
    enum ax_vcpu_state state = atomic_load(&vcpu->state);

    if (state != AX_VCPU_RUNNING || !vcpu->env.ops->vcpu_blocked)
        return state;
    pthread_mutex_lock(&vcpu->lock);
    if (vcpu->engine && vcpu->env.ops->vcpu_blocked(vcpu->engine))
        state = AX_VCPU_BLOCKED;
    pthread_mutex_unlock(&vcpu->lock);
    return state;
}

bool ax_vcpu_is_self(const struct ax_vcpu *vcpu)
{
    return pthread_equal(vcpu->thread, pthread_self());
}

unsigned ax_vcpu_id(const struct ax_vcpu *vcpu)
{
    return vcpu->id;
}

uint64_t ax_vcpu_exits(const struct ax_vcpu *vcpu, enum ax_exit_kind kind)
{
    return atomic_load_explicit(&vcpu->exits[kind], memory_order_relaxed);
}

uint64_t ax_vcpu_first_run_ns(const struct ax_vcpu *vcpu)
{
    return atomic_load(&vcpu->first_run_ns);
}

uint64_t ax_vcpu_first_exit_ns(const struct ax_vcpu *vcpu)
{
    return atomic_load(&vcpu->first_exit_ns);
}

unsigned ax_vcpu_history(const struct ax_vcpu *vcpu,
                         const struct ax_exit *out[AX_VCPU_HISTORY])
{
    unsigned count =
        vcpu->recorded < AX_VCPU_HISTORY ? vcpu->recorded : AX_VCPU_HISTORY;

    for (unsigned i = 0; i < count; i++)
        out[i] = &vcpu->history[(vcpu->recorded - count + i) % AX_VCPU_HISTORY];
    return count;
}
