/*
 * lifecycle.c - the table of (state, operation).
 */
#include "vmm/lifecycle.h"

#include <errno.h>

/* A refusal where there is text, otherwise the next state. */
struct rule {
    enum ax_vm_state next;
    const char *refusal;
};

static const struct rule rules[AX_VM_STATES][AX_VM_OPS] = {
    [AX_VM_LOADING] =
        {
            [AX_VM_OP_START] = {.refusal = "VM is still loading"},
            [AX_VM_OP_STOP] = {AX_VM_STOPPING, NULL},
            [AX_VM_OP_SUSPEND] = {.refusal = "VM is loading, cannot suspend"},
            [AX_VM_OP_RESUME] = {.refusal = "VM is loading, cannot resume"},
            [AX_VM_OP_RESTART] = {.refusal =
                                      "VM is still loading, cannot restart"},
        },
    [AX_VM_LOADED] =
        {
            [AX_VM_OP_START] = {AX_VM_RUNNING, NULL},
            [AX_VM_OP_STOP] = {AX_VM_STOPPING, NULL},
            [AX_VM_OP_SUSPEND] = {.refusal =
                                      "VM is not running, cannot suspend"},
            [AX_VM_OP_RESUME] = {.refusal = "VM is not started yet, use 'vm "
                                            "start' instead"},
            [AX_VM_OP_RESTART] = {AX_VM_RUNNING, NULL},
        },
    [AX_VM_RUNNING] =
        {
            [AX_VM_OP_START] = {.refusal = "VM is already running"},
            [AX_VM_OP_STOP] = {AX_VM_STOPPING, NULL},
            [AX_VM_OP_SUSPEND] = {AX_VM_SUSPENDED, NULL},
            [AX_VM_OP_RESUME] = {.refusal = "VM is already running"},
            [AX_VM_OP_RESTART] = {AX_VM_STOPPING, NULL},
        },
    [AX_VM_SUSPENDED] =
        {
            [AX_VM_OP_START] = {.refusal = "VM is suspended, use 'vm resume' "
                                           "instead"},
            [AX_VM_OP_STOP] = {AX_VM_STOPPING, NULL},
            [AX_VM_OP_SUSPEND] = {.refusal = "VM is already suspended"},
            [AX_VM_OP_RESUME] = {AX_VM_RUNNING, NULL},
            [AX_VM_OP_RESTART] = {AX_VM_STOPPING, NULL},
        },
    [AX_VM_STOPPING] =
        {
            [AX_VM_OP_START] = {.refusal = "VM is stopping, wait for it to "
                                           "fully stop"},
            [AX_VM_OP_STOP] = {.refusal = "VM is already stopping"},
            [AX_VM_OP_SUSPEND] = {.refusal = "VM is stopping, cannot suspend"},
            [AX_VM_OP_RESUME] = {.refusal = "VM is stopping, cannot resume"},
            [AX_VM_OP_RESTART] =
                {.refusal = "VM is stopping, wait for it to fully stop"},
        },
    [AX_VM_STOPPED] =
        {
            [AX_VM_OP_START] = {AX_VM_RUNNING, NULL},
            [AX_VM_OP_STOP] = {.refusal = "VM is already stopped"},
            [AX_VM_OP_SUSPEND] = {.refusal = "VM is stopped, cannot suspend"},
            [AX_VM_OP_RESUME] = {.refusal = "VM is stopped, use 'vm start' "
                                            "instead"},
            [AX_VM_OP_RESTART] = {AX_VM_RUNNING, NULL},
        },
};

static const char *const state_names[AX_VM_STATES] = {
    [AX_VM_LOADING] = "loading",   [AX_VM_LOADED] = "loaded",
    [AX_VM_RUNNING] = "running",   [AX_VM_SUSPENDED] = "suspended",
    [AX_VM_STOPPING] = "stopping", [AX_VM_STOPPED] = "stopped",
};

const char *ax_vm_state_name(enum ax_vm_state state)
{
    return (unsigned)state < AX_VM_STATES ? state_names[state] : "?";
}

int ax_vm_transition(enum ax_vm_state state, enum ax_vm_op op,
                     enum ax_vm_state *next, const char **refusal)
{
    const struct rule *rule = &rules[state][op];

    *refusal = rule->refusal;
    if (rule->refusal)
        return -EPERM;
    *next = rule->next;
    return 0;
}
