/*
 * gdb.h - starts gdb, connected to a VM.
 */
#ifndef AX_CLIENT_GDB_H
#define AX_CLIENT_GDB_H

#include "client/client.h"

/*
 * gdb as AXVM_GDB or PATH have it, with program (NULL: none) and "target remote
 * ADDRESS". It takes the place of axvm, but for its shell, which waits for its
 * end. Says what is wrong, as of the command what ("gdb linux"): a status.
 */
int gdb_run(const struct client *client, const char *what, const char *program,
            const char *address);

#endif
