/*
 * execute.h - the control commands of docs/control.md: a JSON request in, its
 * answer out, now or later. Knows no socket: server.c asks for its clients, and
 * others may ask in-process.
 *
 * Loop thread.
 */
#ifndef AX_CONTROL_EXECUTE_H
#define AX_CONTROL_EXECUTE_H

#include "base.h"

struct ax_console;
struct ax_control_env;
struct ax_execute;
struct ax_vm;
struct json_t;

enum { AX_EXECUTE_WAITING = 32 }; /* commands of one asker that wait */

/* The codes of errors in answers. */
enum ax_execute_error {
    AX_EXECUTE_BAD_REQUEST,
    AX_EXECUTE_TOO_LARGE,
    AX_EXECUTE_UNKNOWN_COMMAND,
    AX_EXECUTE_UNKNOWN_VM,
    AX_EXECUTE_REFUSED,
    AX_EXECUTE_BUSY,
    AX_EXECUTE_TIMEOUT,
    AX_EXECUTE_BAD_CONFIG,
    AX_EXECUTE_UNSUPPORTED,
    AX_EXECUTE_FAILED,
    AX_EXECUTE_ERRORS,
};

/*
 * Who asks. Owned by whoever does; the first three are his to set. Neither
 * function may call anything of here.
 */
struct ax_asker {
    /* An answer, or an event; message is borrowed. */
    void (*answer)(void *ctx, const struct json_t *message);
    /* The answer to "console" is given: bytes of this console, vm's, from now
     * on. NULL: cannot. */
    void (*attach)(void *ctx, struct ax_vm *vm, struct ax_console *console);
    void *ctx;

    unsigned waiting; /* ours, like all below */
    bool subscribed;  /* to events */
    struct ax_asker *next;
};

/* env is copied. 0 or -ENOMEM. */
int ax_execute_create(const struct ax_control_env *env,
                      struct ax_execute **out);

/* Accepts NULL. Commands that wait are answered with an error. */
void ax_execute_destroy(struct ax_execute *exec);

/* Does what the request json (borrowed) asks for. Exactly one answer follows,
 * unless the asker is forgotten before. */
void ax_execute(struct ax_execute *exec, struct ax_asker *asker,
                struct json_t *json);

/* The answer to what is no request at all. */
void ax_execute_complain(struct ax_asker *asker, enum ax_execute_error code,
                         const char *text);

/* The asker is about to go: no answers, no events; what it waits for and only
 * it wants (a dump) is given up. */
void ax_execute_forget(struct ax_execute *exec, struct ax_asker *asker);

#endif
