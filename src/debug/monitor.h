/*
 * monitor.h - gdb's "monitor" commands: what debuggers ask of a VM that their
 * protocol has no words for, and all commands of axvm(1).
 *
 * Loop thread.
 */
#ifndef AX_DEBUG_MONITOR_H
#define AX_DEBUG_MONITOR_H

#include "debug/target.h"

struct ax_control_env;
struct ax_monitor;

enum { AX_MONITOR_TEXT = 2048 }; /* bytes that are said at a time */

/* What the session obeys and monitor sets. */
struct ax_monitor_modes {
    bool physical;                /* addresses are physical */
    bool linear_pc;               /* the pc register shows its linear address */
    const struct ax_gdb_ops *ops; /* from the next connection on */
};

struct ax_monitor_env {
    struct ax_target *target;             /* borrowed, like all below */
    const struct ax_control_env *control; /* for axvm's commands; copied */
    struct ax_monitor_modes *modes;
    /* Text for gdb's user, at most AX_MONITOR_TEXT bytes; any number of times.
     * It may call nothing of here. */
    void (*say)(void *ctx, const char *text);
    /* The command is over: never from within ax_monitor_run. ok is false where
     * it failed, which was said. It may call everything of here. */
    void (*done)(void *ctx, bool ok);
    void *ctx;
};

/* env is copied. 0 or -errno. */
int ax_monitor_create(const struct ax_monitor_env *env,
                      struct ax_monitor **out);

/* Accepts NULL. What a command waits for is given up, done is not called. */
void ax_monitor_destroy(struct ax_monitor *monitor);

/*
 * Runs one command for vcpu. 0: it is over, what there was to say was said;
 * -EINPROGRESS: done follows (no other command before that); -EINVAL: it
 * failed, which was said. All of axvm's commands are done later, so that one
 * which ends the VM finds nobody on the stack.
 */
int ax_monitor_run(struct ax_monitor *monitor, unsigned vcpu,
                   const char *command);

/* gdb no longer waits for the command: it is given up, done is not called. Fine
 * where there is none. */
void ax_monitor_cancel(struct ax_monitor *monitor);

/* The target has stopped, starts again or has ended, which a command may wait
 * for. */
void ax_monitor_stopped(struct ax_monitor *monitor);

#endif
