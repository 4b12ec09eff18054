/*
 * gdb.h - the stub of one VM: the GDB remote serial protocol on a socket.
 *
 * Loop thread. One debugger at a time; others are told so. docs/debugging.md
 * says what it can do.
 */
#ifndef AX_DEBUG_GDB_H
#define AX_DEBUG_GDB_H

#include "base.h"

struct ax_control_env;
struct ax_gdb;
struct ax_vm;

struct ax_gdb_env {
    struct ax_vm *vm;                     /* borrowed; outlives the stub */
    const struct ax_control_env *control; /* for monitor; copied */
    unsigned catches;                     /* AX_CATCH_* of debug/target.h */
    bool wait; /* the VM halts before its first instruction */
};

/* Listens at spec (debug/listen.h). 0, or -errno with why set: one line. */
int ax_gdb_create(const struct ax_gdb_env *env, const char *spec,
                  struct ax_gdb **out, char *why, size_t why_size);

/* Accepts NULL. A debugger is told that it is over; the VM goes on. */
void ax_gdb_destroy(struct ax_gdb *gdb);

/* What to give to "target remote". */
const char *ax_gdb_address(const struct ax_gdb *gdb);

struct ax_vm *ax_gdb_vm(const struct ax_gdb *gdb);

/* Is a debugger connected? */
bool ax_gdb_busy(const struct ax_gdb *gdb);

#endif
