/*
 * run_parts.h - what run.c (start, signals, end), run_configs.c
 * (configurations) and run_terminal.c (the terminal and its shell) share.
 * Private to them.
 */
#ifndef AX_RUN_PARTS_H
#define AX_RUN_PARTS_H

#include "onecommand.h"
#include "run.h"
#include "vmm/fleet.h"
#include "vmm/image.h"

struct ax_conmux;
struct ax_control;
struct ax_pidfile;
struct ax_shell;
struct ax_stubs;

struct run {
    const struct ax_options *options;
    const struct ax_hostconf *host;
    const struct ax_terminal *terminal;
    uint64_t start_ns;

    unsigned conf_count;
    struct ax_config **confs; /* each until it belongs to the fleet */
    struct ax_log *log;
    FILE *trace;
    struct ax_pidfile *pidfile;
    struct ax_loop *loop;
    struct ax_watch *signals;
    int signal_fd;
    struct ax_fleet *fleet;
    struct ax_fleet_listener listener;
    struct ax_onecommand command; /* what a guest of --run starts from */
    struct ax_source demo; /* the built-in guest, for as long as it may start */
    struct ax_conmux *mux; /* several guests on the terminal */
    struct ax_stubs *stubs;
    struct ax_control *control;
    struct ax_shell *shell;
    struct ax_wake *reap; /* the shell has ended */

    bool on_terminal; /* a console is "stdio" */
    bool quitting, asked;
    int progress; /* percent last shown */
};

/* ---- run.c ---- */

/* Every guest ends for good, and then we do. */
void ax_run_quit(struct run *run, const char *why, bool force);

/* ---- run_configs.c ---- */

/* Every problem of every file in one go; an AX_STATUS_*. */
int ax_run_load_configs(struct run *run);

/* A text of a configuration anew. On failure it stays as it was. */
int ax_run_set_spec(char **spec, const char *to);

/* ---- run_terminal.c ---- */

/* Who has the terminal, by the configurations, which then say so. */
int ax_run_plan_terminal(struct run *run);

/* A guest that comes later finds the terminal taken. */
void ax_run_adopt(void *ctx, struct ax_config *conf);

/* A key behind Ctrl-a. vm NULL: no guest is in front. */
void ax_run_escape(void *ctx, struct ax_vm *vm, int key);

/* Its size has changed: consoles that show a guest there look. */
void ax_run_look_at_terminal(struct run *run);

/* Tells why not. */
int ax_run_open_shell(struct run *run);

/* It has ended: with --shell that is our end, else back to the console. */
void ax_run_close_shell(void *ctx);

#endif
