/*
 * run.h - one run of the process: guests from files, the loop, the control
 * socket, signals, the end, and what it all comes to as an exit status.
 */
#ifndef AX_RUN_H
#define AX_RUN_H

#include "cli.h"

struct ax_hostconf;

/*
 * The terminal, whose settings main.c owns, since a fatal signal must be able
 * to restore them. All on the loop thread.
 */
struct ax_terminal {
    void (*take)(void);   /* raw from now on, if standard input is ours */
    void (*give)(void);   /* as it was; idempotent */
    void (*resume)(void); /* raw again, if it is taken and was changed */
    bool (*taken)(void);
};

/*
 * Runs what options name until it is over. start_ns: CLOCK_MONOTONIC of the
 * process's first moment. Returns an AX_STATUS_*, or a guest's odd one.
 */
int ax_run(const struct ax_options *options, const struct ax_hostconf *host,
           const struct ax_terminal *terminal, uint64_t start_ns);

#endif
