/*
 * lifecycle.c - the table of (state, operation) of a vCPU.
 */
#include "vcpu/lifecycle.h"

#include <errno.h>

/* The next state; Invalid, which is 0, where the operation is out of order. */
static const enum ax_vcpu_state rules[AX_VCPU_STATES][AX_VCPU_OPS] = {
    [AX_VCPU_CREATED] = {[AX_VCPU_OP_SETUP] = AX_VCPU_FREE},
    [AX_VCPU_FREE] = {[AX_VCPU_OP_BIND] = AX_VCPU_READY},
    [AX_VCPU_READY] =
        {
            [AX_VCPU_OP_RUN] = AX_VCPU_RUNNING,
            [AX_VCPU_OP_UNBIND] = AX_VCPU_FREE,
        },
    [AX_VCPU_RUNNING] =
        {
            [AX_VCPU_OP_BLOCK] = AX_VCPU_BLOCKED,
            [AX_VCPU_OP_LEAVE] = AX_VCPU_READY,
        },
    [AX_VCPU_BLOCKED] = {[AX_VCPU_OP_WAKE] = AX_VCPU_RUNNING},
};

const char *ax_vcpu_state_name(enum ax_vcpu_state state)
{
    static const char *const names[AX_VCPU_STATES] = {
        [AX_VCPU_INVALID] = "Inv", [AX_VCPU_CREATED] = "Cre",
        [AX_VCPU_FREE] = "Free",   [AX_VCPU_READY] = "Rdy",
        [AX_VCPU_RUNNING] = "Run", [AX_VCPU_BLOCKED] = "Blk",
    };

    return (unsigned)state < AX_VCPU_STATES ? names[state] : "?";
}

int ax_vcpu_transition(enum ax_vcpu_state state, enum ax_vcpu_op op,
                       enum ax_vcpu_state *next)
{
    *next = rules[state][op];
    return *next == AX_VCPU_INVALID && op != AX_VCPU_OP_FAIL ? -EPERM : 0;
}
