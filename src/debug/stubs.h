/*
 * stubs.h - the stubs of a process: one for each VM that its configuration
 * ([debug] gdb) or somebody (axvm gdb) wants one for.
 *
 * Loop thread. Opens by itself what the configuration of a VM that is added to
 * the fleet says, before it can be started; closes when the VM is deleted.
 */
#ifndef AX_DEBUG_STUBS_H
#define AX_DEBUG_STUBS_H

#include "base.h"

struct ax_control_env;
struct ax_stubs;
struct ax_vm;

/*
 * env is copied; its fleet and loop count. One that the configuration wants and
 * that cannot be had is logged: ax_stubs_address then tells. 0 or -errno.
 */
int ax_stubs_create(const struct ax_control_env *env, struct ax_stubs **out);

/* Accepts NULL. Before the fleet goes. */
void ax_stubs_destroy(struct ax_stubs *stubs);

/*
 * The VM's stub listens at spec, or where it already does (spec NULL: that, or
 * a socket file in the directory of control sockets). *address (valid until the
 * next call): for "target remote". 0; -errno with why set: -EEXIST: it listens
 * elsewhere; -EBUSY: one that was closed is about to go.
 */
int ax_stubs_open(struct ax_stubs *stubs, struct ax_vm *vm, const char *spec,
                  const char **address, char *why, size_t why_size);

/*
 * A debugger there is detached. Fine where there is none. May be called by that
 * debugger's own stub: a busy one goes soon, not from within.
 */
void ax_stubs_close(struct ax_stubs *stubs, struct ax_vm *vm);

/* NULL: vm has none. */
const char *ax_stubs_address(const struct ax_stubs *stubs,
                             const struct ax_vm *vm);

#endif
