/*
 * server.h - the control socket: many clients, a JSON line each way, per
 * docs/control.md.
 *
 * Loop thread. A client can disturb nobody: lines, answers and commands in
 * flight are bounded, and one that goes away takes its own along.
 */
#ifndef AX_CONTROL_SERVER_H
#define AX_CONTROL_SERVER_H

#include "base.h"

struct ax_config;
struct ax_control;
struct ax_fleet;
struct ax_hostconf;
struct ax_log;
struct ax_loop;
struct ax_vm;

struct ax_control_env {
    struct ax_fleet *fleet; /* all borrowed */
    struct ax_loop *loop;
    struct ax_log *log;
    const struct ax_hostconf *host; /* for create; may be NULL */
    uint64_t start_ns;              /* for stats, see vmm/stats.h */
    void (*quit)(void *ctx); /* soon, not from within: the answer must out */
    /* create: conf is about to become a VM (its console may be changed). */
    void (*adopt)(void *ctx, struct ax_config *conf); /* may be NULL */
    /*
     * The debugger's stub of vm: listens at listen (NULL: where it does, or
     * where it likes), and *address (valid until the next call) is for gdb; or
     * with off listens no more. 0, or -errno with why set: one line. NULL: this
     * process has no stubs; neither has it the next one then.
     */
    int (*gdb)(void *ctx, struct ax_vm *vm, const char *listen, bool off,
               const char **address, char *why, size_t why_size);
    const char *(*gdb_address)(void *ctx, const struct ax_vm *vm); /* or NULL */
    void *ctx;
};

/*
 * path NULL: the default place, <pid>.sock; trouble there is only a warning. A
 * socket there that nobody listens on is replaced; one that answers is
 * -EADDRINUSE. 0 or -errno after logging why, -ENAMETOOLONG among them.
 */
int ax_control_create(const struct ax_control_env *env, const char *path,
                      struct ax_control **out);

/* Accepts NULL. Answers that wait are sent, within 100 ms; commands that wait
 * are answered with an error. Removes the socket. */
void ax_control_destroy(struct ax_control *control);

const char *ax_control_path(const struct ax_control *control);

#endif
