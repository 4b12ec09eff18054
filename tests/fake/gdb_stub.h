/*
 * gdb_stub.h - stubs that no debugger connects to.
 *
 * A program that uses these functions gets debug/gdb.h from here instead of
 * from the product. A stub "listens" at fake:SPEC, whatever SPEC is.
 */
#ifndef FAKE_GDB_STUB_H
#define FAKE_GDB_STUB_H

#include "debug/gdb.h"

/* The next ax_gdb_create fails with err and says why, which is borrowed. */
void fake_gdb_fail(int err, const char *why);

/* Of all stubs: is a debugger connected? At first none is. */
void fake_gdb_set_busy(bool busy);

unsigned fake_gdb_alive(void);   /* stubs that there are */
unsigned fake_gdb_created(void); /* stubs that there were */

/* What the last one was created with; "" and zeros before. */
const char *fake_gdb_spec(void);
struct ax_gdb_env fake_gdb_env(void);

#endif
