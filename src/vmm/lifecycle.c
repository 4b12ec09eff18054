/*
 * lifecycle.c - the table of (state, operation).
 */
#include "vmm/lifecycle.h"

#include <errno.h>
#include <string.h>

/* A refusal where there is text, otherwise the next state. */
struct rule {
    enum ax_vm_state next;
    const char *refusal;
};

#define TO(state)                                                              \
    {                                                                          \
        state, NULL                                                            \
    }
#define NO(text)                                                               \
    {                                                                          \
        .refusal = text                                                        \
    }

static const struct rule rules[AX_VM_STATES][AX_VM_OPS] = {
    [AX_VM_LOADING] =
        {
            [AX_VM_OP_START] = NO("VM is still loading"),
            [AX_VM_OP_STOP] = TO(AX_VM_STOPPING),
            [AX_VM_OP_FORCE_STOP] = TO(AX_VM_STOPPING),
            [AX_VM_OP_SUSPEND] = NO("VM is loading, cannot suspend"),
            [AX_VM_OP_RESUME] = NO("VM is loading, cannot resume"),
            [AX_VM_OP_RESTART] = NO("VM is still loading, cannot restart"),
            [AX_VM_OP_RESET] = NO("VM is still loading, cannot reset"),
            [AX_VM_OP_DELETE] =
                NO("VM is loading, stop it first or use --force"),
            [AX_VM_OP_FORCE_DELETE] = TO(AX_VM_STOPPING),
        },
    [AX_VM_LOADED] =
        {
            [AX_VM_OP_START] = TO(AX_VM_RUNNING),
            [AX_VM_OP_STOP] = TO(AX_VM_STOPPING),
            [AX_VM_OP_FORCE_STOP] = TO(AX_VM_STOPPING),
            [AX_VM_OP_SUSPEND] = NO("VM is not running, cannot suspend"),
            [AX_VM_OP_RESUME] =
                NO("VM is not started yet, use 'vm start' instead"),
            [AX_VM_OP_RESTART] = TO(AX_VM_RUNNING),
            [AX_VM_OP_RESET] = TO(AX_VM_RUNNING),
            [AX_VM_OP_DELETE] =
                NO("VM is loaded, stop it first or use --force"),
            [AX_VM_OP_FORCE_DELETE] = TO(AX_VM_STOPPING),
        },
    [AX_VM_RUNNING] =
        {
            [AX_VM_OP_START] = NO("VM is already running"),
            [AX_VM_OP_STOP] = TO(AX_VM_STOPPING),
            [AX_VM_OP_FORCE_STOP] = TO(AX_VM_STOPPING),
            [AX_VM_OP_SUSPEND] = TO(AX_VM_SUSPENDED),
            [AX_VM_OP_RESUME] = NO("VM is already running"),
            [AX_VM_OP_RESTART] = TO(AX_VM_STOPPING),
            [AX_VM_OP_RESET] = TO(AX_VM_STOPPING),
            [AX_VM_OP_DELETE] =
                NO("VM is running, stop it first or use --force"),
            [AX_VM_OP_FORCE_DELETE] = TO(AX_VM_STOPPING),
        },
    [AX_VM_SUSPENDED] =
        {
            [AX_VM_OP_START] = NO("VM is suspended, use 'vm resume' instead"),
            [AX_VM_OP_STOP] = TO(AX_VM_STOPPING),
            [AX_VM_OP_FORCE_STOP] = TO(AX_VM_STOPPING),
            [AX_VM_OP_SUSPEND] = NO("VM is already suspended"),
            [AX_VM_OP_RESUME] = TO(AX_VM_RUNNING),
            [AX_VM_OP_RESTART] = TO(AX_VM_STOPPING),
            [AX_VM_OP_RESET] = TO(AX_VM_STOPPING),
            [AX_VM_OP_DELETE] =
                NO("VM is suspended, stop it first or use --force"),
            [AX_VM_OP_FORCE_DELETE] = TO(AX_VM_STOPPING),
        },
    [AX_VM_STOPPING] =
        {
            [AX_VM_OP_START] = NO("VM is stopping, wait for it to fully stop"),
            [AX_VM_OP_STOP] = NO("VM is already stopping"),
            [AX_VM_OP_FORCE_STOP] = TO(AX_VM_STOPPING),
            [AX_VM_OP_SUSPEND] = NO("VM is stopping, cannot suspend"),
            [AX_VM_OP_RESUME] = NO("VM is stopping, cannot resume"),
            [AX_VM_OP_RESTART] =
                NO("VM is stopping, wait for it to fully stop"),
            [AX_VM_OP_RESET] = NO("VM is stopping, wait for it to fully stop"),
            [AX_VM_OP_DELETE] = NO("VM is stopping, wait for it to fully stop"),
            [AX_VM_OP_FORCE_DELETE] = TO(AX_VM_STOPPING),
        },
    [AX_VM_STOPPED] =
        {
            [AX_VM_OP_START] = TO(AX_VM_RUNNING),
            [AX_VM_OP_STOP] = NO("VM is already stopped"),
            [AX_VM_OP_FORCE_STOP] = NO("VM is already stopped"),
            [AX_VM_OP_SUSPEND] = NO("VM is stopped, cannot suspend"),
            [AX_VM_OP_RESUME] = NO("VM is stopped, use 'vm start' instead"),
            [AX_VM_OP_RESTART] = TO(AX_VM_RUNNING),
            [AX_VM_OP_RESET] = TO(AX_VM_RUNNING),
            [AX_VM_OP_DELETE] = TO(AX_VM_STOPPED),
            [AX_VM_OP_FORCE_DELETE] = TO(AX_VM_STOPPED),
        },
};

static const char *const state_names[AX_VM_STATES] = {
    [AX_VM_LOADING] = "loading",   [AX_VM_LOADED] = "loaded",
    [AX_VM_RUNNING] = "running",   [AX_VM_SUSPENDED] = "suspended",
    [AX_VM_STOPPING] = "stopping", [AX_VM_STOPPED] = "stopped",
};

static const char *const op_names[AX_VM_OPS] = {
    [AX_VM_OP_START] = "start",
    [AX_VM_OP_STOP] = "stop",
    [AX_VM_OP_FORCE_STOP] = "stop --force",
    [AX_VM_OP_SUSPEND] = "suspend",
    [AX_VM_OP_RESUME] = "resume",
    [AX_VM_OP_RESTART] = "restart",
    [AX_VM_OP_RESET] = "reset",
    [AX_VM_OP_DELETE] = "delete",
    [AX_VM_OP_FORCE_DELETE] = "delete --force",
};

const char *ax_vm_state_name(enum ax_vm_state state)
{
    return (unsigned)state < AX_VM_STATES ? state_names[state] : "?";
}

int ax_vm_state_parse(const char *name, enum ax_vm_state *out)
{
    for (unsigned i = 0; i < AX_VM_STATES; i++) {
        if (!strcmp(name, state_names[i])) {
            *out = (enum ax_vm_state)i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *ax_vm_op_name(enum ax_vm_op op)
{
    return (unsigned)op < AX_VM_OPS ? op_names[op] : "?";
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
