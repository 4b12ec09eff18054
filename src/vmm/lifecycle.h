/*
 * lifecycle.h - the VM's states and which operation leads from one to another.
 *
 * Pure: one table that every way into the VM consults. Names, rules and
 * refusals are AxVisor's; its defects (stop that never wakes a suspended VM,
 * suspend that always times out) are not.
 */
#ifndef AX_VMM_LIFECYCLE_H
#define AX_VMM_LIFECYCLE_H

#include "base.h"

enum ax_vm_state {
    AX_VM_LOADING,
    AX_VM_LOADED,
    AX_VM_RUNNING,
    AX_VM_SUSPENDED,
    AX_VM_STOPPING, /* also while the guest powers off on request */
    AX_VM_STOPPED,
    AX_VM_STATES,
};

enum ax_vm_op {
    AX_VM_OP_START,
    AX_VM_OP_STOP, /* the guest is asked first, where it listens */
    AX_VM_OP_FORCE_STOP,
    AX_VM_OP_SUSPEND,
    AX_VM_OP_RESUME,
    AX_VM_OP_RESTART, /* stop, then start */
    AX_VM_OP_RESET,   /* forced stop, then start */
    AX_VM_OP_DELETE,
    AX_VM_OP_FORCE_DELETE, /* forced stop, then delete */
    AX_VM_OPS,
};

/* "loading", "loaded"... Never NULL. */
const char *ax_vm_state_name(enum ax_vm_state state);

/* The state of that name; -EINVAL if there is none. */
int ax_vm_state_parse(const char *name, enum ax_vm_state *out);

/* "start", "stop"... Never NULL. */
const char *ax_vm_op_name(enum ax_vm_op op);

/*
 * Where op leads from state. 0 with *next set, or -EPERM with *refusal set to
 * static text that says why not. A VM that is deleted ends in Stopped, and then
 * is no more.
 */
int ax_vm_transition(enum ax_vm_state state, enum ax_vm_op op,
                     enum ax_vm_state *next, const char **refusal);

#endif
