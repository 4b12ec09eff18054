/* test_lifecycle.c - the (state, operation) tables against the spec. */
#include "vcpu/lifecycle.h"
#include "vmm/lifecycle.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* The expected result: a next state, or words of the refusal. */
static const struct {
    enum ax_vm_state state;
    enum ax_vm_op op;
    int next; /* -1: refused */
    const char *words;
} table[] = {
    {AX_VM_LOADING, AX_VM_OP_START, -1, "VM is still loading"},
    {AX_VM_LOADING, AX_VM_OP_STOP, AX_VM_STOPPING, NULL},
    {AX_VM_LOADING, AX_VM_OP_FORCE_STOP, AX_VM_STOPPING, NULL},
    {AX_VM_LOADING, AX_VM_OP_SUSPEND, -1, "VM is loading, cannot suspend"},
    {AX_VM_LOADING, AX_VM_OP_RESUME, -1, "VM is loading, cannot resume"},
    {AX_VM_LOADING, AX_VM_OP_RESTART, -1, "is still loading, cannot restart"},
    {AX_VM_LOADING, AX_VM_OP_RESET, -1, "is still loading, cannot reset"},
    {AX_VM_LOADING, AX_VM_OP_DELETE, -1, "use --force"},
    {AX_VM_LOADING, AX_VM_OP_FORCE_DELETE, AX_VM_STOPPING, NULL},
    {AX_VM_LOADED, AX_VM_OP_START, AX_VM_RUNNING, NULL},
    {AX_VM_LOADED, AX_VM_OP_STOP, AX_VM_STOPPING, NULL},
    {AX_VM_LOADED, AX_VM_OP_FORCE_STOP, AX_VM_STOPPING, NULL},
    {AX_VM_LOADED, AX_VM_OP_SUSPEND, -1, "VM is not running, cannot suspend"},
    {AX_VM_LOADED, AX_VM_OP_RESUME, -1,
     "VM is not started yet, use 'vm start' instead"},
    {AX_VM_LOADED, AX_VM_OP_RESTART, AX_VM_RUNNING, NULL},
    {AX_VM_LOADED, AX_VM_OP_RESET, AX_VM_RUNNING, NULL},
    {AX_VM_LOADED, AX_VM_OP_DELETE, -1, "use --force"},
    {AX_VM_LOADED, AX_VM_OP_FORCE_DELETE, AX_VM_STOPPING, NULL},
    {AX_VM_RUNNING, AX_VM_OP_START, -1, "VM is already running"},
    {AX_VM_RUNNING, AX_VM_OP_STOP, AX_VM_STOPPING, NULL},
    {AX_VM_RUNNING, AX_VM_OP_FORCE_STOP, AX_VM_STOPPING, NULL},
    {AX_VM_RUNNING, AX_VM_OP_SUSPEND, AX_VM_SUSPENDED, NULL},
    {AX_VM_RUNNING, AX_VM_OP_RESUME, -1, "VM is already running"},
    {AX_VM_RUNNING, AX_VM_OP_RESTART, AX_VM_STOPPING, NULL},
    {AX_VM_RUNNING, AX_VM_OP_RESET, AX_VM_STOPPING, NULL},
    {AX_VM_RUNNING, AX_VM_OP_DELETE, -1, "use --force"},
    {AX_VM_RUNNING, AX_VM_OP_FORCE_DELETE, AX_VM_STOPPING, NULL},
    {AX_VM_SUSPENDED, AX_VM_OP_START, -1,
     "VM is suspended, use 'vm resume' instead"},
    {AX_VM_SUSPENDED, AX_VM_OP_STOP, AX_VM_STOPPING, NULL},
    {AX_VM_SUSPENDED, AX_VM_OP_FORCE_STOP, AX_VM_STOPPING, NULL},
    {AX_VM_SUSPENDED, AX_VM_OP_SUSPEND, -1, "VM is already suspended"},
    {AX_VM_SUSPENDED, AX_VM_OP_RESUME, AX_VM_RUNNING, NULL},
    {AX_VM_SUSPENDED, AX_VM_OP_RESTART, AX_VM_STOPPING, NULL},
    {AX_VM_SUSPENDED, AX_VM_OP_RESET, AX_VM_STOPPING, NULL},
    {AX_VM_SUSPENDED, AX_VM_OP_DELETE, -1, "use --force"},
    {AX_VM_SUSPENDED, AX_VM_OP_FORCE_DELETE, AX_VM_STOPPING, NULL},
    {AX_VM_STOPPING, AX_VM_OP_START, -1,
     "VM is stopping, wait for it to fully stop"},
    {AX_VM_STOPPING, AX_VM_OP_STOP, -1, "VM is already stopping"},
    {AX_VM_STOPPING, AX_VM_OP_FORCE_STOP, AX_VM_STOPPING, NULL},
    {AX_VM_STOPPING, AX_VM_OP_SUSPEND, -1, "VM is stopping, cannot suspend"},
    {AX_VM_STOPPING, AX_VM_OP_RESUME, -1, "VM is stopping, cannot resume"},
    {AX_VM_STOPPING, AX_VM_OP_RESTART, -1,
     "VM is stopping, wait for it to fully stop"},
    {AX_VM_STOPPING, AX_VM_OP_RESET, -1,
     "VM is stopping, wait for it to fully stop"},
    {AX_VM_STOPPING, AX_VM_OP_DELETE, -1,
     "VM is stopping, wait for it to fully stop"},
    {AX_VM_STOPPING, AX_VM_OP_FORCE_DELETE, AX_VM_STOPPING, NULL},
    {AX_VM_STOPPED, AX_VM_OP_START, AX_VM_RUNNING, NULL},
    {AX_VM_STOPPED, AX_VM_OP_STOP, -1, "VM is already stopped"},
    {AX_VM_STOPPED, AX_VM_OP_FORCE_STOP, -1, "VM is already stopped"},
    {AX_VM_STOPPED, AX_VM_OP_SUSPEND, -1, "VM is stopped, cannot suspend"},
    {AX_VM_STOPPED, AX_VM_OP_RESUME, -1,
     "VM is stopped, use 'vm start' instead"},
    {AX_VM_STOPPED, AX_VM_OP_RESTART, AX_VM_RUNNING, NULL},
    {AX_VM_STOPPED, AX_VM_OP_RESET, AX_VM_RUNNING, NULL},
    {AX_VM_STOPPED, AX_VM_OP_DELETE, AX_VM_STOPPED, NULL},
    {AX_VM_STOPPED, AX_VM_OP_FORCE_DELETE, AX_VM_STOPPED, NULL},
};

Test(lifecycle, the_whole_table)
{
    cr_assert_eq(AX_ARRAY_LEN(table), (size_t)AX_VM_STATES * AX_VM_OPS);
    for (size_t i = 0; i < AX_ARRAY_LEN(table); i++) {
        enum ax_vm_state next = table[i].state;
        const char *words;
        int err = ax_vm_transition(table[i].state, table[i].op, &next, &words);

        if (table[i].next < 0) {
            cr_assert_eq(err, -EPERM, "row %zu", i);
            cr_assert_not_null(strstr(words, table[i].words), "row %zu: %s", i,
                               words);
            cr_assert_eq(next, table[i].state, "row %zu", i);
        } else {
            cr_assert_eq(err, 0, "row %zu", i);
            cr_assert_eq((int)next, table[i].next, "row %zu", i);
        }
    }
}

Test(lifecycle, states_have_axvisors_names)
{
    cr_assert_str_eq(ax_vm_state_name(AX_VM_LOADING), "loading");
    cr_assert_str_eq(ax_vm_state_name(AX_VM_STOPPED), "stopped");
    cr_assert_str_eq(ax_vm_state_name(AX_VM_STATES), "?");
    cr_assert_str_eq(ax_vm_op_name(AX_VM_OP_FORCE_STOP), "stop --force");
    cr_assert_str_eq(ax_vm_op_name(AX_VM_OPS), "?");
}

Test(lifecycle, names_are_states_again)
{
    enum ax_vm_state state;

    for (unsigned i = 0; i < AX_VM_STATES; i++) {
        cr_assert_eq(
            ax_vm_state_parse(ax_vm_state_name((enum ax_vm_state)i), &state),
            0);
        cr_assert_eq((unsigned)state, i);
    }
    cr_assert_eq(ax_vm_state_parse("Running", &state), -EINVAL);
}

/* ---- vCPUs ---- */

static const struct {
    enum ax_vcpu_state state;
    enum ax_vcpu_op op;
    enum ax_vcpu_state next;
} steps[] = {
    {AX_VCPU_CREATED, AX_VCPU_OP_SETUP, AX_VCPU_FREE},
    {AX_VCPU_FREE, AX_VCPU_OP_BIND, AX_VCPU_READY},
    {AX_VCPU_READY, AX_VCPU_OP_RUN, AX_VCPU_RUNNING},
    {AX_VCPU_RUNNING, AX_VCPU_OP_BLOCK, AX_VCPU_BLOCKED},
    {AX_VCPU_BLOCKED, AX_VCPU_OP_WAKE, AX_VCPU_RUNNING},
    {AX_VCPU_RUNNING, AX_VCPU_OP_LEAVE, AX_VCPU_READY},
    {AX_VCPU_READY, AX_VCPU_OP_UNBIND, AX_VCPU_FREE},
};

/* What is not a step of a vCPU's life makes it invalid, and for good. */
Test(lifecycle, the_whole_vcpu_table)
{
    for (unsigned state = 0; state < AX_VCPU_STATES; state++) {
        for (unsigned op = 0; op < AX_VCPU_OPS; op++) {
            enum ax_vcpu_state wanted = AX_VCPU_INVALID, next;
            int err;

            for (size_t i = 0; i < AX_ARRAY_LEN(steps); i++) {
                if (steps[i].state == state && steps[i].op == op)
                    wanted = steps[i].next;
            }
            err = ax_vcpu_transition((enum ax_vcpu_state)state,
                                     (enum ax_vcpu_op)op, &next);
            cr_assert_eq(next, wanted, "%u, %u", state, op);
            cr_assert_eq(!err, wanted || op == AX_VCPU_OP_FAIL, "%u, %u", state,
                         op);
        }
    }
}

Test(lifecycle, vcpus_have_axvisors_codes)
{
    static const char *const codes[] = {"Inv", "Cre", "Free",
                                        "Rdy", "Run", "Blk"};

    for (unsigned i = 0; i < AX_VCPU_STATES; i++)
        cr_assert_str_eq(ax_vcpu_state_name((enum ax_vcpu_state)i), codes[i]);
    cr_assert_str_eq(ax_vcpu_state_name(AX_VCPU_STATES), "?");
}
