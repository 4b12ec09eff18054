/*
 * run.c - see run.h.
 */
#include "run_parts.h"

#include "backend/backend.h"
#include "conf/hostconf.h"
#include "control/server.h"
#include "debug/stubs.h"
#include "devices/clock.h"
#include "devices/conmux.h"
#include "devices/loop.h"
#include "host/notify.h"
#include "host/pidfile.h"
#include "host/shell.h"
#include "vmm/demo.h"
#include "vmm/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* ---- the end ---- */

/* Is there anything to wait for? */
static bool run_is_over(const struct run *run)
{
    const struct ax_vm *vm;

    for (unsigned i = 0; (vm = ax_fleet_at(run->fleet, i)); i++) {
        if (ax_vm_state(vm) != AX_VM_STOPPED ||
            (ax_vm_kept(vm) && !run->quitting))
            return false;
    }
    return run->quitting || !(run->options->linger || run->options->shell);
}

void ax_run_quit(struct run *run, const char *why, bool force)
{
    struct ax_vm *vm;

    if (!run_is_over(run))
        ax_log(run->log, AX_LOG_INFO, "%s: %s", why,
               ax_fleet_count(run->fleet) == 1 ? "the guest ends"
                                               : "the guests end");
    if (!run->quitting)
        ax_notify("STOPPING=1");
    run->quitting = true;
    for (unsigned i = 0; (vm = ax_fleet_at(run->fleet, i)); i++)
        ax_vm_end_for_good(vm, force);
    if (run_is_over(run))
        ax_loop_stop(run->loop);
}

/* The first request asks the guests, the next one does not. */
static void run_ask(struct run *run, const char *why)
{
    const bool force = run->asked;

    run->asked = true;
    ax_run_quit(run, why, force);
}

static void run_asked(void *ctx)
{
    run_ask(ctx, "asked by a client");
}

static void run_heard(void *ctx, enum ax_fleet_event_kind kind,
                      struct ax_vm *vm)
{
    struct run *run = ctx;

    if (kind == AX_FLEET_DELETED)
        ax_conmux_remove(run->mux, ax_vm_config(vm));
    else if (kind == AX_FLEET_STATE) /* one that is kept has nobody, either */
        ax_conmux_rest(run->mux, ax_vm_config(vm),
                       ax_vm_state(vm) == AX_VM_STOPPED);
    if (kind == AX_FLEET_DELETED || kind == AX_FLEET_STATE) {
        if (run_is_over(run))
            ax_loop_stop(run->loop);
    }
}

/* ---- signals ---- */

static const char *run_log_path(const struct run *run)
{
    return run->options->log_file ? run->options->log_file
                                  : run->host->log_file;
}

static void run_reopen_log(struct run *run)
{
    int err = ax_log_reopen(run->log);

    if (err)
        ax_log(run->log, AX_LOG_ERROR,
               "cannot open %s anew: %s; the log goes on where it was",
               run_log_path(run), strerror(-err));
}

/*
 * Somebody's SIGHUP wants the log opened anew. The kernel's says that the
 * session is over; it comes before the terminal shows that.
 */
static bool run_is_hung_up(const struct run *run,
                           const struct signalfd_siginfo *info)
{
    return run->on_terminal && run->terminal->taken() &&
           (info->ssi_code == SI_KERNEL || tcgetpgrp(STDIN_FILENO) < 0);
}

static void run_signal(void *ctx, unsigned events)
{
    struct run *run = ctx;
    struct signalfd_siginfo info;

    if (read(run->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGCONT)
        run->terminal->resume();
    else if (info.ssi_signo == SIGWINCH)
        ax_run_look_at_terminal(run);
    else if (info.ssi_signo != SIGHUP)
        run_ask(run, strsignal((int)info.ssi_signo));
    else if (run_is_hung_up(run, &info))
        run_ask(run, "the terminal is gone");
    else
        run_reopen_log(run);
}

static void run_progress(void *ctx, const char *what, uint64_t done,
                         uint64_t total)
{
    struct run *run = ctx;
    int percent = total ? (int)(done * 100 / total) : 100;

    if (percent == run->progress)
        return;
    run->progress = percent;
    fprintf(stderr, "\rloading %s: %d%%%s", what, percent,
            done >= total ? "\n" : "");
}

/* ---- steps of a start; each logs what fails and gives its exit status ---- */

static int run_open_log(struct run *run)
{
    const char *word = run->options->log_level ? run->options->log_level
                                               : run->host->log_level;
    const char *path = run_log_path(run);
    enum ax_log_level level = AX_LOG_INFO;
    int err;

    if (word)
        ax_log_parse_level(word, &level); /* both were checked before */
    err = ax_log_create(path, level, &run->log);
    if (!err)
        return 0;
    fprintf(stderr, "axvm-run: cannot open the log file %s: %s\n",
            path ? path : "(standard error)", strerror(-err));
    return AX_STATUS_USAGE;
}

static int run_open_trace(struct run *run)
{
    const char *path = run->options->trace_file;

    if (!run->options->trace)
        return 0;
    run->trace = path ? fopen(path, "we") : stderr;
    if (run->trace)
        return 0;
    ax_log(run->log, AX_LOG_ERROR, "cannot write the trace to %s: %s", path,
           strerror(errno));
    return AX_STATUS_USAGE;
}

static int run_open_pidfile(struct run *run)
{
    const char *path = run->options->pidfile;
    int err = path ? ax_pidfile_create(path, &run->pidfile) : 0;

    if (!err)
        return 0;
    ax_log(run->log, AX_LOG_ERROR, "pidfile %s: %s", path,
           err == -EEXIST ? "another process has it" : strerror(-err));
    return AX_STATUS_USAGE;
}

static int run_watch(struct run *run)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGCONT, SIGWINCH};
    sigset_t set;
    int err;

    sigemptyset(&set);
    for (size_t i = 0; i < AX_ARRAY_LEN(caught); i++)
        sigaddset(&set, caught[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    err = run->signal_fd < 0
              ? -errno
              : ax_watch_create(run->loop, run->signal_fd, AX_LOOP_READ,
                                run_signal, run, &run->signals);
    if (!err)
        err = ax_wake_create(run->loop, ax_run_close_shell, run, &run->reap);
    return err ? AX_STATUS_FAILURE : 0;
}

static int run_create_fleet(struct run *run)
{
    struct ax_fleet_env env = {
        .ops = &ax_kvm,
        .loop = run->loop,
        .log = run->log,
        .trace = run->trace,
        .progress = isatty(STDERR_FILENO) ? run_progress : NULL,
        .escape = ax_run_escape,
        .ctx = run,
    };

    if (ax_fleet_create(&env, &run->fleet))
        return AX_STATUS_FAILURE;
    run->listener = (struct ax_fleet_listener){.heard = run_heard, .ctx = run};
    ax_fleet_listen(run->fleet, &run->listener);
    return 0;
}

/* ---- control and debuggers ---- */

static int run_gdb(void *ctx, struct ax_vm *vm, const char *listen, bool off,
                   const char **address, char *why, size_t why_size)
{
    struct run *run = ctx;

    *address = NULL;
    if (!off)
        return ax_stubs_open(run->stubs, vm, listen, address, why, why_size);
    ax_stubs_close(run->stubs, vm);
    return 0;
}

static const char *run_gdb_address(void *ctx, const struct ax_vm *vm)
{
    const struct run *run = ctx;

    return ax_stubs_address(run->stubs, vm);
}

static struct ax_control_env run_control_env(struct run *run)
{
    return (struct ax_control_env){
        .fleet = run->fleet,
        .loop = run->loop,
        .log = run->log,
        .host = run->host,
        .start_ns = run->start_ns,
        .quit = run_asked,
        .adopt = ax_run_adopt,
        .gdb = run_gdb,
        .gdb_address = run_gdb_address,
        .ctx = run,
    };
}

static int run_create_stubs(struct run *run)
{
    const struct ax_control_env env = run_control_env(run);

    return ax_stubs_create(&env, &run->stubs) ? AX_STATUS_FAILURE : 0;
}

static int run_create_vms(struct run *run)
{
    static const int statuses[] = {
        [AX_BLAME_US] = AX_STATUS_FAILURE,
        [AX_BLAME_USER] = AX_STATUS_USAGE,
        [AX_BLAME_HOST] = AX_STATUS_HOST,
    };
    enum ax_blame blame;

    ax_source_memory("built-in demo guest", ax_demo_image, ax_demo_image_size,
                     &run->demo);
    for (unsigned i = 0; i < run->conf_count; i++) {
        struct ax_config *conf = run->confs[i];
        struct ax_vm *vm;

        run->confs[i] = NULL;
        if (ax_fleet_add(run->fleet, conf,
                         run->options->demo ? &run->demo : NULL, &vm, &blame))
            return statuses[blame];
        if (conf->gdb && !ax_stubs_address(run->stubs, vm))
            return AX_STATUS_USAGE;
    }
    return 0;
}

/* Where nobody has asked for a place, one that does not work is no obstacle. */
static int run_open_control(struct run *run)
{
    const char *path = run->options->control;
    const struct ax_control_env env = run_control_env(run);

    if (path && !strcmp(path, "none"))
        return 0;
    if (!ax_control_create(&env, path, &run->control) || !path)
        return 0;
    return AX_STATUS_USAGE;
}

static int run_create(struct run *run)
{
    int status = run_open_log(run);

    if (!status)
        status = run_open_trace(run);
    if (!status)
        status = run_open_pidfile(run);
    if (!status && ax_loop_create(&run->loop))
        status = AX_STATUS_FAILURE;
    if (!status)
        status = run_watch(run);
    if (!status)
        status = run_create_fleet(run);
    if (!status)
        status = run_create_stubs(run);
    if (!status)
        status = ax_run_plan_terminal(run);
    if (!status)
        status = run_create_vms(run);
    if (!status)
        status = run_open_control(run);
    if (!status && run->options->shell && ax_run_open_shell(run))
        status = AX_STATUS_USAGE;
    return status;
}

static void run_destroy(struct run *run)
{
    ax_control_destroy(run->control); /* its clients hear of the end first */
    ax_shell_destroy(run->shell);
    ax_stubs_destroy(run->stubs);
    if (run->fleet)
        ax_fleet_unlisten(run->fleet, &run->listener);
    ax_fleet_destroy(run->fleet);
    ax_conmux_destroy(run->mux);
    ax_wake_destroy(run->reap);
    ax_watch_destroy(run->signals);
    if (run->signal_fd >= 0)
        close(run->signal_fd);
    ax_loop_destroy(run->loop);
    ax_pidfile_destroy(run->pidfile);
    if (run->trace && run->trace != stderr)
        fclose(run->trace);
    for (unsigned i = 0; i < run->conf_count; i++)
        ax_config_destroy(run->confs[i]);
    free(run->confs);
    ax_onecommand_fini(&run->command);
    ax_log_destroy(run->log);
}

/* ---- what it came to ---- */

static int vm_status(struct ax_vm *vm, bool one_command)
{
    struct ax_vm_end end = ax_vm_end(vm);
    struct ax_log *log = ax_vm_log(vm);

    switch (end.cause) {
    case AX_VM_END_OFF:
        ax_log(log, AX_LOG_INFO, "the guest powered off");
        return AX_STATUS_OK;
    case AX_VM_END_RESET:
        ax_log(log, AX_LOG_INFO, "the guest asked for a reset, which ends it");
        return AX_STATUS_OK;
    case AX_VM_END_EXIT:
        ax_log(log, AX_LOG_INFO,
               "the guest wrote %#" PRIx64 " to the debug-exit port", end.code);
        if (one_command) /* whose status the guest's init has told */
            return (int)(end.code & 0xff);
        return (int)((end.code << 1 | 1) & 0xff);
    case AX_VM_END_CRASH:
        return AX_STATUS_CRASH;
    case AX_VM_END_TIMEOUT:
        return AX_STATUS_TIMEOUT;
    case AX_VM_END_FAIL:
        return AX_STATUS_FAILURE;
    default:
        return AX_STATUS_OK;
    }
}

/* Of several guests: that of the first, by id, which did not end well. */
static int run_status(struct run *run)
{
    struct ax_vm *vm;
    int status = AX_STATUS_OK;

    for (unsigned i = 0; (vm = ax_fleet_at(run->fleet, i)); i++) {
        int one = vm_status(vm, run->options->line.run);

        status = status ? status : one;
    }
    return status;
}

static int run_print_stats(struct run *run)
{
    const char *path = run->options->stats_file;
    struct ax_vm *vm;
    FILE *to = stderr;
    int err = 0;

    if (!run->options->stats)
        return 0;
    if (path)
        to = fopen(path, "we");
    if (!to)
        err = -errno;
    for (unsigned i = 0; !err && (vm = ax_fleet_at(run->fleet, i)); i++) {
        if (path)
            err = ax_stats_print_json(vm, run->start_ns, to);
        else
            ax_stats_print(vm, run->start_ns, to);
    }
    if (path && to && fclose(to) && !err)
        err = -errno;
    if (err)
        ax_log(run->log, AX_LOG_ERROR, "cannot write the statistics to %s: %s",
               path, strerror(-err));
    return err;
}

static void run_start_vms(struct run *run)
{
    struct ax_vm *vm;

    for (unsigned i = 0; (vm = ax_fleet_at(run->fleet, i)); i++) {
        if (ax_vm_start(vm))
            ax_log(ax_vm_log(vm), AX_LOG_ERROR,
                   "the guest could not be started");
    }
}

static int run_guests(struct run *run)
{
    int status;

    if (run->on_terminal)
        run->terminal->take();
    malloc_trim(0); /* what parsing and loading have left */
    run_start_vms(run);
    ax_notify("READY=1\nSTATUS=the guests run");
    ax_loop_run(run->loop);
    run->terminal->give();
    status = run_status(run);
    if (run_print_stats(run) && status == AX_STATUS_OK)
        status = AX_STATUS_FAILURE;
    return status;
}

int ax_run(const struct ax_options *options, const struct ax_hostconf *host,
           const struct ax_terminal *terminal, uint64_t start_ns)
{
    struct run run = {
        .options = options,
        .host = host,
        .terminal = terminal,
        .start_ns = start_ns,
        .signal_fd = -1,
        .command.fd = -1,
        .progress = -1,
    };
    int status = ax_run_load_configs(&run);

    if (!status && options->dump_config) {
        for (unsigned i = 0; i < run.conf_count; i++)
            ax_config_dump(run.confs[i], stdout);
    } else if (!status) {
        status = run_create(&run);
        if (!status)
            status = run_guests(&run);
    }
    run_destroy(&run);
    return status;
}
