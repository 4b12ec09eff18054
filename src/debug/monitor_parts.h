/*
 * monitor_parts.h - what monitor.c (a command's life, help, axvm's commands),
 * monitor_own.c (our own commands), monitor_info.c and monitor_device.c (some
 * of those) share. Private to them.
 */
#ifndef AX_DEBUG_MONITOR_PARTS_H
#define AX_DEBUG_MONITOR_PARTS_H

#include "control/command.h"
#include "control/execute.h"
#include "control/server.h"
#include "debug/monitor.h"

#include <stdio.h>

enum monitor_wait { WAITS_FOR_NOTHING, WAITS_FOR_ANSWERS, WAITS_FOR_RESET };

struct ax_monitor {
    struct ax_monitor_env env;
    struct ax_control_env control;
    struct ax_execute *exec;
    struct ax_asker asker;
    struct ax_wake *wake; /* it is time to ask, or an answer has come */

    unsigned vcpu; /* of the command */
    FILE *out;     /* what it says, NULL: there is no command */
    char *text;
    size_t size;
    enum monitor_wait waits;

    /* One of axvm's commands; asked, answered: its request at "at". */
    struct ax_command_call call;
    size_t at;
    bool asked, answered, failed;

    bool busy;      /* the executor is on the stack: it must stay */
    bool cancelled; /* meanwhile */
    bool gone;      /* destroyed meanwhile */
};

struct monitor_command {
    const char *name, *synopsis, *help;
    const char *more; /* lines below the help; NULL: none */
    /* words[0] is the name. As ax_monitor_run. */
    int (*run)(struct ax_monitor *m, unsigned count, const char *const *words);
};

/* ---- monitor.c ---- */

/* Says what is wrong, as a line; -EINVAL. */
int ax_monitor_fail(struct ax_monitor *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same, with how the command is used. */
int ax_monitor_misused(struct ax_monitor *m, const char *name, const char *fmt,
                       ...) __attribute__((format(printf, 3, 4)));

/* ---- monitor_own.c ---- */

/* Ours but for help, in the order of help; ends with a NULL name. */
extern const struct monitor_command ax_monitor_commands[];

struct ax_vm *ax_monitor_vm(const struct ax_monitor *m);

/* Why nothing was to be had of the vCPU; -EINVAL. */
int ax_monitor_fail_call(struct ax_monitor *m, int err);

/* Hexadecimal with 0x, otherwise decimal; false: it is none of 64 bits. */
bool ax_monitor_number(const char *text, uint64_t *out);

/* The same for a word of the command name: says why it is none. 0, -EINVAL. */
int ax_monitor_take_number(struct ax_monitor *m, const char *name,
                           const char *text, uint64_t *out);

/* ---- monitor_info.c: run of a command ---- */

int ax_monitor_info(struct ax_monitor *m, unsigned count,
                    const char *const *words);

/* ---- monitor_device.c: the same ---- */

int ax_monitor_io(struct ax_monitor *m, unsigned count,
                  const char *const *words);
int ax_monitor_mmio(struct ax_monitor *m, unsigned count,
                    const char *const *words);

#endif
