/*
 * debugger.h - a debugger without gdb: speaks its protocol to a session, on a
 * VM of either engine, all on one loop.
 */
#ifndef AX_TESTS_FAKE_DEBUGGER_H
#define AX_TESTS_FAKE_DEBUGGER_H

#include "control/server.h"
#include "debug/session.h"
#include "fake/fleet.h"

enum { AX_DEBUGGER_LINE = 65536 };

struct ax_debugger {
    struct ax_loop *loop;
    struct ax_log *log;
    struct ax_fleet *fleet;
    struct ax_vm *vm;
    struct ax_target *target;
    struct ax_control_env control;
    struct ax_session *session;
    const struct ax_gdb_ops *ops;
    struct ax_timer *guard;
    bool late; /* an answer did not come */
    bool over; /* the session said so */
    bool answered;
    size_t raw_len;
    char raw[AX_DEBUGGER_LINE];   /* sent by the session, not taken yet */
    char reply[AX_DEBUGGER_LINE]; /* the last packet, runs made long again */
    size_t reply_len;
    char said[AX_DEBUGGER_LINE]; /* all text in "O" packets */
};

/* A VM with a target; nothing is started, nobody connected. */
void ax_debugger_create(struct ax_debugger *d, const struct ax_backend_ops *ops,
                        unsigned cpus, const struct ax_test_program *program,
                        const char *base);
void ax_debugger_destroy(struct ax_debugger *d);

/* A new session, which has said its first packet. */
void ax_debugger_connect(struct ax_debugger *d);
void ax_debugger_disconnect(struct ax_debugger *d);

/* Bytes as they are. */
void ax_debugger_raw(struct ax_debugger *d, const char *bytes, size_t count);

/* Sends a packet (formatted), and waits for what comes back; d->late if
 * nothing does within a minute. */
const char *ax_debugger_ask(struct ax_debugger *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Only sends; the answer is waited for later. */
void ax_debugger_send(struct ax_debugger *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
const char *ax_debugger_wait(struct ax_debugger *d);

/* Runs the loop until cond is true, a minute at most. */
bool ax_debugger_until(struct ax_debugger *d,
                       bool (*cond)(struct ax_debugger *d));

#endif
