/*
 * test_lifecycle.c - every operation in every state, on either engine, against
 * the one table (vmm/lifecycle.h): real VMs do what the table says.
 */
#include "devices/loop.h"
#include "fake/fleet.h"
#include "log.h"
#include "vcpu/vcpu.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

AX_TEST_CODE(code_spin, "jmp .");

static const struct ax_fake_step steps_spin[] = {
    {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = AX_TEST_ENTRY}};
static const struct ax_test_program spin = {steps_spin, sizeof(steps_spin),
                                            code_spin, code_spin_end};

struct world {
    const struct ax_backend_ops *ops;
    struct ax_loop *loop;
    struct ax_fleet *fleet;
    struct ax_vm *vm; /* NULL: deleted */
    struct ax_fleet_listener listener;
    struct ax_timer *bound;
    bool late;
    enum ax_vm_state wanted;
    /* In Loading, which only lasts inside a start: what to do then. */
    bool armed;
    enum ax_vm_op op;
    int result;
};

static int operate(struct world *w, enum ax_vm_op op)
{
    switch (op) {
    case AX_VM_OP_START:
        return ax_vm_start(w->vm);
    case AX_VM_OP_STOP:
        return ax_vm_stop(w->vm, AX_VM_PATIENCE);
    case AX_VM_OP_FORCE_STOP:
        return ax_vm_force_stop(w->vm);
    case AX_VM_OP_SUSPEND:
        return ax_vm_suspend(w->vm);
    case AX_VM_OP_RESUME:
        return ax_vm_resume(w->vm);
    case AX_VM_OP_RESTART:
        return ax_vm_restart(w->vm, AX_VM_PATIENCE);
    case AX_VM_OP_RESET:
        return ax_vm_reset(w->vm);
    default:
        return ax_fleet_delete(w->fleet, w->vm, op == AX_VM_OP_FORCE_DELETE);
    }
}

static void heard(void *ctx, enum ax_fleet_event_kind kind, struct ax_vm *vm)
{
    struct world *w = ctx;

    if (kind == AX_FLEET_DELETED) {
        w->vm = NULL;
        ax_loop_stop(w->loop);
    } else if (kind == AX_FLEET_STATE && w->armed &&
               ax_vm_state(vm) == AX_VM_LOADING) {
        w->armed = false;
        w->result = operate(w, w->op);
    } else if (kind == AX_FLEET_STATE && ax_vm_state(vm) == w->wanted) {
        ax_loop_stop(w->loop);
    }
}

static void late(void *ctx, uint64_t count)
{
    struct world *w = ctx;

    w->late = true;
    ax_loop_stop(w->loop);
}

static void world_init(struct world *w, const struct ax_backend_ops *ops)
{
    struct ax_fleet_env env = {.ops = ops};

    *w = (struct world){.ops = ops};
    cr_assert_eq(ax_loop_create(&w->loop), 0);
    env.loop = w->loop;
    cr_assert_eq(ax_fleet_create(&env, &w->fleet), 0);
    w->listener = (struct ax_fleet_listener){.heard = heard, .ctx = w};
    ax_fleet_listen(w->fleet, &w->listener);
    cr_assert_eq(ax_timer_create(w->loop, late, w, &w->bound), 0);
    w->vm = ax_test_fleet_add(w->fleet, ops, "subject", 4, &spin, "");
    cr_assert_not_null(w->vm);
}

static void world_fini(struct world *w)
{
    ax_fleet_unlisten(w->fleet, &w->listener);
    ax_fleet_destroy(w->fleet);
    ax_timer_destroy(w->bound);
    ax_loop_destroy(w->loop);
}

static const char *vcpu_states(const struct ax_vm *vm)
{
    static char text[64];

    text[0] = '\0';
    for (unsigned i = 0; i < ax_vm_vcpu_count(vm); i++)
        strcat(strcat(text, " "),
               ax_vcpu_state_name(ax_vcpu_state(ax_vm_vcpu(vm, i))));
    return text;
}

/* Runs the loop until the VM is in that state, or deleted. */
static void settle(struct world *w, enum ax_vm_state state)
{
    w->wanted = state;
    ax_timer_arm(w->bound, 60000000000, 0);
    while (w->vm && ax_vm_state(w->vm) != state && !w->late)
        ax_loop_run(w->loop);
    ax_timer_arm(w->bound, 0, 0);
    cr_assert_not(w->late, "%s: %s is never %s; vCPUs %s", w->ops->name,
                  ax_vm_state_name(ax_vm_state(w->vm)), ax_vm_state_name(state),
                  vcpu_states(w->vm));
}

static void bring(struct world *w, enum ax_vm_state state)
{
    if (state == AX_VM_LOADED)
        return;
    cr_assert_eq(ax_vm_start(w->vm), 0);
    if (state == AX_VM_RUNNING)
        return;
    if (state == AX_VM_SUSPENDED) {
        cr_assert_eq(ax_vm_suspend(w->vm), 0);
        return;
    }
    cr_assert_eq(ax_vm_force_stop(w->vm), 0);
    if (state == AX_VM_STOPPED)
        settle(w, AX_VM_STOPPED);
}

/* The states that an operation which goes through Stopping ends in. */
static void check_end(struct world *w, enum ax_vm_op op)
{
    if (op == AX_VM_OP_FORCE_DELETE) {
        settle(w, AX_VM_STATES);
        cr_assert_null(w->vm);
    } else if (op == AX_VM_OP_RESTART || op == AX_VM_OP_RESET) {
        settle(w, AX_VM_RUNNING);
        cr_assert_eq(ax_vm_starts(w->vm), 2);
    } else {
        settle(w, AX_VM_STOPPED);
    }
}

static void check(const struct ax_backend_ops *ops, enum ax_vm_state state,
                  enum ax_vm_op op)
{
    enum ax_vm_state next;
    const char *refusal;
    int wanted = ax_vm_transition(state, op, &next, &refusal);
    struct world w;
    int err;

    world_init(&w, ops);
    bring(&w, state);
    cr_assert_eq(ax_vm_state(w.vm), state);
    err = operate(&w, op);
    cr_assert_eq(err, wanted, "%s, %s: %d", ax_vm_state_name(state),
                 ax_vm_op_name(op), err);
    if (wanted) {
        cr_assert_str_eq(ax_vm_refusal(w.vm), refusal);
        cr_assert_eq(ax_vm_state(w.vm), state);
    } else if (state == AX_VM_STOPPED && op >= AX_VM_OP_DELETE) {
        cr_assert_null(w.vm);
    } else {
        cr_assert_eq(ax_vm_state(w.vm), next, "%s, %s: %s",
                     ax_vm_state_name(state), ax_vm_op_name(op),
                     ax_vm_state_name(ax_vm_state(w.vm)));
        if (next == AX_VM_STOPPING)
            check_end(&w, op);
    }
    world_fini(&w);
}

/* Loading lasts as long as a start: it is met from within one. */
static void check_loading(const struct ax_backend_ops *ops, enum ax_vm_op op)
{
    enum ax_vm_state next;
    const char *refusal;
    int wanted = ax_vm_transition(AX_VM_LOADING, op, &next, &refusal);
    struct world w;

    world_init(&w, ops);
    bring(&w, AX_VM_STOPPED);
    w.armed = true;
    w.op = op;
    cr_assert_eq(ax_vm_start(w.vm), 0);
    cr_assert_not(w.armed);
    cr_assert_eq(w.result, wanted, "loading, %s: %d", ax_vm_op_name(op),
                 w.result);
    if (wanted) {
        cr_assert_eq(ax_vm_state(w.vm), AX_VM_RUNNING);
    } else if (op == AX_VM_OP_FORCE_DELETE) {
        settle(&w, AX_VM_STATES);
        cr_assert_null(w.vm);
    } else {
        settle(&w, AX_VM_STOPPED);
    }
    world_fini(&w);
}

static const struct ax_backend_ops *const engines[] = {&ax_fake, &ax_kvm};
static int indices[] = {0, 1}; /* workers have other addresses */

/* Kilobytes of this process in memory (proc(5), statm). */
static long resident_kb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f, "%*d %ld", &pages), 1);
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE) / 1024;
}

#ifdef __SANITIZE_ADDRESS__ /* which keeps for a while what is freed */
enum { SLACK_KB = 256 * 1024 };
#else
enum { SLACK_KB = 512 };
#endif
enum { CYCLES = 200, WARM_UP = 20 };

static void cycle(struct world *w, unsigned n)
{
    if (n % 2) {
        cr_assert_eq(ax_vm_suspend(w->vm), 0);
        cr_assert_eq(ax_vm_resume(w->vm), 0);
        return;
    }
    cr_assert_eq(ax_vm_force_stop(w->vm), 0);
    settle(w, AX_VM_STOPPED);
    cr_assert_eq(ax_vm_start(w->vm), 0);
}

ParameterizedTestParameters(lifecycle, cycles_pile_nothing_up)
{
    return cr_make_param_array(int, indices, AX_ARRAY_LEN(indices));
}

/* 200 stops and starts, 200 suspensions, of one guest with four vCPUs. */
ParameterizedTest(const int *engine, lifecycle, cycles_pile_nothing_up,
                  .timeout = 120)
{
    const struct ax_backend_ops *ops = engines[*engine];
    unsigned descriptors = 0;
    long kb = 0;
    struct world w;

    if (ops->probe(NULL, NULL))
        cr_skip_test("this host has no %s", ops->name);
    world_init(&w, ops);
    cr_assert_eq(ax_vm_start(w.vm), 0);
    for (unsigned n = 0; n < 2 * CYCLES; n++) {
        if (n == WARM_UP) {
            cr_assert_eq(ax_vm_suspend(w.vm), 0);
            descriptors = ax_test_descriptors();
            kb = resident_kb();
            cr_assert_eq(ax_vm_resume(w.vm), 0);
        }
        cycle(&w, n);
    }
    cr_assert_eq(ax_vm_suspend(w.vm), 0);
    cr_assert_eq(ax_test_descriptors(), descriptors);
    cr_assert_leq(resident_kb(), kb + SLACK_KB, "%ld KiB, then %ld KiB", kb,
                  resident_kb());
    world_fini(&w);
}

ParameterizedTestParameters(lifecycle, every_operation_in_every_state)
{
    return cr_make_param_array(int, indices, AX_ARRAY_LEN(indices));
}

ParameterizedTest(const int *engine, lifecycle, every_operation_in_every_state,
                  .timeout = 120)
{
    const struct ax_backend_ops *ops = engines[*engine];
    unsigned descriptors = ax_test_descriptors(), threads = ax_test_threads();

    if (ops->probe(NULL, NULL))
        cr_skip_test("this host has no %s", ops->name);
    for (unsigned op = 0; op < AX_VM_OPS; op++) {
        check_loading(ops, (enum ax_vm_op)op);
        for (unsigned state = AX_VM_LOADED; state < AX_VM_STATES; state++)
            check(ops, (enum ax_vm_state)state, (enum ax_vm_op)op);
    }
    for (time_t end = time(NULL) + 60;
         ax_test_threads() != threads && time(NULL) < end;)
        sched_yield(); /* a joined one may still be on its way out */
    cr_assert_eq(ax_test_threads(), threads);
    cr_assert_eq(ax_test_descriptors(), descriptors);
    cr_assert_eq(ax_fake_alive(), 0);
}
