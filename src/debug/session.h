/*
 * session.h - one debugger's connection: the GDB remote serial protocol (GDB
 * manual, appendix E) on a target. Knows no sockets: bytes in, bytes out.
 *
 * Loop thread. Nothing that comes in can do harm: what cannot be done is
 * answered with an error, what is not known with an empty packet.
 */
#ifndef AX_DEBUG_SESSION_H
#define AX_DEBUG_SESSION_H

#include "debug/target.h"

struct ax_control_env;
struct ax_session;

struct ax_session_env {
    struct ax_target *target;             /* borrowed, like all below */
    const struct ax_control_env *control; /* for monitor */
    /* From one session to the next: what "monitor arch" has chosen. NULL: the
     * first. */
    const struct ax_gdb_ops **ops;
    /* Bytes for the debugger. May not call anything of here. */
    void (*send)(void *ctx, const char *bytes, size_t count);
    /* The session is over: what was sent shall reach the debugger, and the
     * connection is to be closed. Not to be destroyed from within. */
    void (*over)(void *ctx);
    void *ctx;
};

/* env is copied. The VM is halted by the first packet, not before. */
int ax_session_create(const struct ax_session_env *env,
                      struct ax_session **out);

/* Accepts NULL. The VM goes on, without its breakpoints. */
void ax_session_destroy(struct ax_session *session);

void ax_session_receive(struct ax_session *session, const uint8_t *bytes,
                        size_t count);

#endif
