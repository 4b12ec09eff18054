/*
 * run_terminal.c - who has the terminal: one guest, several behind its keys, or
 * the shell.
 */
#include "run_parts.h"

#include "control/server.h"
#include "devices/conmux.h"
#include "devices/console.h"
#include "devices/loop.h"
#include "host/shell.h"
#include "vmm/stats.h"

#include <errno.h>
#include <string.h>

/* ---- the shell ---- */

static void run_hold_consoles(struct run *run, bool held)
{
    struct ax_vm *vm;

    ax_conmux_hold(run->mux, held);
    for (unsigned i = 0; (vm = ax_fleet_at(run->fleet, i)); i++) {
        for (unsigned j = 0; ax_vm_console(vm, j); j++)
            ax_console_hold(ax_vm_console(vm, j), held);
    }
}

void ax_run_look_at_terminal(struct run *run)
{
    struct ax_vm *vm;

    for (unsigned i = 0; (vm = ax_fleet_at(run->fleet, i)); i++) {
        for (unsigned j = 0; ax_vm_console(vm, j); j++)
            ax_console_look_at_terminal(ax_vm_console(vm, j));
    }
}

static void run_shell_ended(void *ctx)
{
    struct run *run = ctx;

    ax_loop_wake(run->reap);
}

int ax_run_open_shell(struct run *run)
{
    const char *socket = run->control ? ax_control_path(run->control) : NULL;
    const bool taken = run->terminal->taken();
    int err = -ENOTCONN;

    run->terminal->give();
    if (socket)
        err = ax_shell_create(run->loop, socket, run_shell_ended, run,
                              &run->shell);
    if (!err) {
        run_hold_consoles(run, true);
        return 0;
    }
    if (taken)
        run->terminal->take();
    ax_log(run->log, AX_LOG_ERROR, "no shell: %s",
           err == -ENOTCONN ? "there is no control socket"
           : err == -ENOENT ? "the program axvm is not installed"
           : err == -ENOTTY ? "standard input is no terminal of ours"
                            : strerror(-err));
    return err;
}

void ax_run_close_shell(void *ctx)
{
    struct run *run = ctx;

    ax_shell_destroy(run->shell);
    run->shell = NULL;
    if (run->options->shell) {
        ax_run_quit(run, "the shell has ended", false);
        return;
    }
    run->terminal->take();
    run_hold_consoles(run, false);
}

/* ---- keys ---- */

static void escape_help(const struct run *run)
{
    fprintf(stderr,
            "\n"
            "Ctrl-a x   end the guest%s\n"
            "%s"
            "Ctrl-a c   axvm's shell; exit comes back here\n"
            "Ctrl-a s   print statistics\n"
            "Ctrl-a h   this help\n"
            "Ctrl-a Ctrl-a   send a Ctrl-a to the guest\n",
            run->mux ? " in front" : "",
            run->mux ? "Ctrl-a n   bring the next guest to the front\n" : "");
}

void ax_run_escape(void *ctx, struct ax_vm *vm, int key)
{
    struct run *run = ctx;

    switch (key) {
    case 'x':
        fputc('\n', stderr); /* the guest's prompt stays on its own line */
        if (vm && (ax_fleet_count(run->fleet) > 1 || run->options->linger))
            ax_vm_end_for_good(vm, true);
        else
            ax_run_quit(run, "Ctrl-a x", true);
        break;
    case 's':
        fputc('\n', stderr);
        if (vm)
            ax_stats_print(vm, run->start_ns, stderr);
        break;
    case 'c':
        fputc('\n', stderr);
        ax_run_open_shell(run);
        break;
    default:
        escape_help(run);
        break;
    }
}

/* tag: the guest's configuration, which is older than the guest. */
static void run_mux_escape(void *ctx, const void *tag, int key)
{
    struct run *run = ctx;
    unsigned i = 0;

    while (ax_fleet_at(run->fleet, i) &&
           ax_vm_config(ax_fleet_at(run->fleet, i)) != tag)
        i++;
    ax_run_escape(run, ax_fleet_at(run->fleet, i), key);
}

/* ---- guests ---- */

/* The console that is the terminal, NULL: none is. There is one at most. */
static char **terminal_spec(struct ax_config *conf)
{
    char **spec = strcmp(conf->console, "stdio") ? NULL : &conf->console;

    for (unsigned i = 0; !spec && i < conf->vconsole_count; i++) {
        if (!strcmp(conf->vconsoles[i].conf.mode, "stdio"))
            spec = &conf->vconsoles[i].conf.mode;
    }
    return spec;
}

void ax_run_adopt(void *ctx, struct ax_config *conf)
{
    char **terminal = terminal_spec(conf);

    if (terminal)
        ax_run_set_spec(terminal, "none");
}

static int run_share_terminal(struct run *run)
{
    char spec[24];
    int err;

    err = ax_conmux_create(run->loop, run->log, run->confs[0]->escapes,
                           run_mux_escape, run, &run->mux);
    for (unsigned i = 0; !err && i < run->conf_count; i++) {
        struct ax_config *conf = run->confs[i];
        char **terminal = terminal_spec(conf);
        int fd;

        if (!terminal)
            continue;
        fd = ax_conmux_add(run->mux, conf->name, conf);
        snprintf(spec, sizeof(spec), "fd:%d", fd);
        err = fd < 0 ? fd : ax_run_set_spec(terminal, spec);
    }
    return err;
}

int ax_run_plan_terminal(struct run *run)
{
    unsigned wanted = 0;

    for (unsigned i = 0; i < run->conf_count; i++) {
        if (run->options->shell)
            ax_run_adopt(run, run->confs[i]);
        wanted += terminal_spec(run->confs[i]) != NULL;
    }
    run->on_terminal = wanted;
    if (wanted < 2)
        return 0;
    return run_share_terminal(run) ? AX_STATUS_FAILURE : 0;
}
