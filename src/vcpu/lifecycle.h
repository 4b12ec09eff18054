/*
 * lifecycle.h - the vCPU's states and which operation leads from one to
 * another. Pure; AxVisor's states, codes and rules.
 */
#ifndef AX_VCPU_LIFECYCLE_H
#define AX_VCPU_LIFECYCLE_H

#include "base.h"

/* AxVisor's states and codes (Inv, Cre, Free, Rdy, Run, Blk). */
enum ax_vcpu_state {
    AX_VCPU_INVALID, /* an operation failed */
    AX_VCPU_CREATED,
    AX_VCPU_FREE,    /* set up, not bound to its thread */
    AX_VCPU_READY,   /* bound, outside the guest */
    AX_VCPU_RUNNING, /* in the run loop */
    AX_VCPU_BLOCKED, /* HLT, waiting for SIPI, suspended */
    AX_VCPU_STATES,
};

enum ax_vcpu_op {
    AX_VCPU_OP_SETUP,  /* the engine's vCPU exists */
    AX_VCPU_OP_BIND,   /* it has its thread and first registers */
    AX_VCPU_OP_RUN,    /* it enters its run loop */
    AX_VCPU_OP_BLOCK,  /* it waits outside the guest */
    AX_VCPU_OP_WAKE,   /* it goes on */
    AX_VCPU_OP_LEAVE,  /* it leaves its run loop */
    AX_VCPU_OP_UNBIND, /* its thread ends */
    AX_VCPU_OP_FAIL,   /* an operation failed */
    AX_VCPU_OPS,
};

const char *ax_vcpu_state_name(enum ax_vcpu_state state); /* "Run" ... */

/*
 * Where op leads from state: 0 with *next set, or -EPERM with *next Invalid:
 * what AxVisor makes of a vCPU that is used out of order.
 */
int ax_vcpu_transition(enum ax_vcpu_state state, enum ax_vcpu_op op,
                       enum ax_vcpu_state *next);

#endif
