/*
 * conmux.h - several consoles on one terminal: each line of output with the
 * name of its guest, input to the one guest in front.
 *
 * Loop thread. Each console is created with the spec "fd:N" for the descriptor
 * that ax_conmux_add gives; nothing is lost, a slow terminal holds the guests
 * back.
 */
#ifndef AX_DEVICES_CONMUX_H
#define AX_DEVICES_CONMUX_H

#include "base.h"

struct ax_conmux;
struct ax_log;
struct ax_loop;

/*
 * Uses the standard descriptors, as a "stdio" console does. Ctrl-a n brings the
 * next guest to the front and says so; other keys after Ctrl-a go to escape,
 * with the tag of the guest in front (NULL if there is none). 0 or -errno.
 */
int ax_conmux_create(struct ax_loop *loop, struct ax_log *log, bool escapes,
                     void (*escape)(void *ctx, const void *tag, int key),
                     void *ctx, struct ax_conmux **out);

/* Accepts NULL. Writes what the terminal takes within a second. */
void ax_conmux_destroy(struct ax_conmux *mux);

/*
 * A descriptor for one more console, or -errno. name is copied; tag says who.
 * It is the caller's to pass on as "fd:N"; if no console takes it, remove and
 * destroy close it.
 */
int ax_conmux_add(struct ax_conmux *mux, const char *name, const void *tag);

/*
 * The guest is not in front again; what its console has written, and writes
 * until it is destroyed, is still shown, and its last line ended. No-op for an
 * unknown tag. Both accept a NULL mux.
 */
void ax_conmux_remove(struct ax_conmux *mux, const void *tag);

/*
 * The guest does not run, and is not in front until it does again. No-op for an
 * unknown tag or a NULL mux.
 */
void ax_conmux_rest(struct ax_conmux *mux, const void *tag, bool rests);

/* As ax_console_hold. */
void ax_conmux_hold(struct ax_conmux *mux, bool held);

#endif
