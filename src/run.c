/*
 * run.c - see run.h.
 */
#include "run.h"

#include "backend/backend.h"
#include "conf/hostconf.h"
#include "control/server.h"
#include "debug/listen.h"
#include "debug/stubs.h"
#include "devices/clock.h"
#include "devices/conmux.h"
#include "devices/console.h"
#include "devices/loop.h"
#include "host/notify.h"
#include "host/pidfile.h"
#include "host/shell.h"
#include "onecommand.h"
#include "vmm/demo.h"
#include "vmm/fleet.h"
#include "vmm/image.h"
#include "vmm/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

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

static const char demo_config[] = "[base]\n"
                                  "name = \"demo\"\n"
                                  "cpu_num = 2\n"
                                  "memory = \"64M\"\n"
                                  "[kernel]\n"
                                  "kernel_path = \"built-in\"\n";

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

/* Every guest ends for good, and then we do. */
static void run_quit(struct run *run, const char *why, bool force)
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
    run_quit(run, why, force);
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

/* One that shows a guest has a new size. */
static void run_look_at_terminal(struct run *run)
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

static int run_open_shell(struct run *run)
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

/* With --shell its end is ours; otherwise back to the console. */
static void run_close_shell(void *ctx)
{
    struct run *run = ctx;

    ax_shell_destroy(run->shell);
    run->shell = NULL;
    if (run->options->shell) {
        run_quit(run, "the shell has ended", false);
        return;
    }
    run->terminal->take();
    run_hold_consoles(run, false);
}

/* ---- keys and signals ---- */

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

/* vm NULL: no guest is in front. */
static void run_escape(void *ctx, struct ax_vm *vm, int key)
{
    struct run *run = ctx;

    switch (key) {
    case 'x':
        fputc('\n', stderr); /* the guest's prompt stays on its own line */
        if (vm && (ax_fleet_count(run->fleet) > 1 || run->options->linger))
            ax_vm_end_for_good(vm, true);
        else
            run_quit(run, "Ctrl-a x", true);
        break;
    case 's':
        fputc('\n', stderr);
        if (vm)
            ax_stats_print(vm, run->start_ns, stderr);
        break;
    case 'c':
        fputc('\n', stderr);
        run_open_shell(run);
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
    run_escape(run, ax_fleet_at(run->fleet, i), key);
}

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

static void run_signal(void *ctx, unsigned events)
{
    struct run *run = ctx;
    struct signalfd_siginfo info;

    if (read(run->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGCONT)
        run->terminal->resume();
    else if (info.ssi_signo == SIGWINCH)
        run_look_at_terminal(run);
    else if (info.ssi_signo != SIGHUP)
        run_ask(run, strsignal((int)info.ssi_signo));
    else if (run->on_terminal && run->terminal->taken() &&
             tcgetpgrp(STDIN_FILENO) < 0) /* hung up, or its session is over */
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

/* ---- configurations ---- */

static void run_report(void *ctx, enum ax_severity severity, const char *text)
{
    fputs(text, stderr);
}

/* On failure it stays as it was. */
static int set_spec(char **spec, const char *to)
{
    char *copy = strdup(to);

    if (!copy)
        return -ENOMEM;
    free(*spec);
    *spec = copy;
    return 0;
}

/* What the command line says of the guest that is the index-th on it. */
static int set_gdb(const struct ax_options *options, unsigned index,
                   struct ax_config *conf)
{
    char spec[AX_LISTEN_ADDRESS];

    conf->gdb_wait |= options->gdb_wait;
    if (options->gdb_on)
        conf->gdb_on = options->gdb_on;
    if (!options->gdb)
        return 0;
    if (ax_listen_nth(options->gdb, index, spec, sizeof(spec)))
        return -EINVAL; /* run_check_gdb has looked */
    return set_spec(&conf->gdb, spec);
}

/* src: file, text and builtin, where they are not what they are by default. */
static int run_load_config(struct run *run, struct ax_config_source *src)
{
    const struct ax_options *options = run->options;
    struct ax_config *conf;

    src->sets = options->sets;
    src->console = options->console;
    src->host = run->host;
    src->lenient = options->lenient;
    src->need_files = !src->builtin && !options->dump_config;
    src->report = run_report;
    if (ax_config_load(src, &conf))
        return AX_STATUS_USAGE;
    run->confs[run->conf_count++] = conf;
    if (options->timeout_ns)
        conf->timeout_ns = options->timeout_ns;
    return set_gdb(options, run->conf_count - 1, conf) ? AX_STATUS_FAILURE : 0;
}

static int run_load_file(struct run *run, const char *file)
{
    struct ax_config_source src = {.file = file};

    return run_load_config(run, &src);
}

static int run_load_demo(struct run *run)
{
    struct ax_config_source src = {
        .file = "(demo)",
        .builtin = true,
        .text = demo_config,
        .size = sizeof(demo_config) - 1,
    };

    return run_load_config(run, &src);
}

/* The guest that the command line describes. */
static int run_load_line(struct run *run)
{
    struct ax_oneliner line = run->options->line;
    struct ax_config_source src = {.file = "(command line)"};
    char *text;
    int status = 0;

    if (line.run)
        status = ax_onecommand_prepare(&line, &run->command);
    if (status)
        return status;
    text = ax_oneliner_text(&line);
    if (!text)
        return AX_STATUS_FAILURE;
    src.text = text;
    src.size = strlen(text);
    status = run_load_config(run, &src);
    free(text);
    return status;
}

static int run_check_console(const struct ax_options *options)
{
    const char *spec = options->console, *problem;

    if (!spec)
        return 0;
    problem = ax_console_check_spec(spec);
    if (!problem && options->file_count > 1 && strchr(spec, ':'))
        problem = "serves one guest, and there are several";
    if (!problem)
        return 0;
    fprintf(stderr, "axvm-run: --console: '%s': %s\n", spec, problem);
    return AX_STATUS_USAGE;
}

static int run_check_gdb(const struct ax_options *options)
{
    const unsigned last = options->file_count ? options->file_count - 1 : 0;
    char spec[AX_LISTEN_ADDRESS];

    if (!options->gdb || !ax_listen_nth(options->gdb, last, spec, sizeof(spec)))
        return 0;
    fprintf(stderr, "axvm-run: --gdb: '%s': %s\n", options->gdb,
            strncmp(options->gdb, "unix:", 5)
                ? "there are more guests than ports from there on"
                : "serves one guest, and there are several");
    return AX_STATUS_USAGE;
}

static int run_check_gdb_wait(const struct run *run)
{
    bool any = !run->options->gdb_wait || run->options->gdb;

    for (unsigned i = 0; !any && i < run->conf_count; i++)
        any = run->confs[i]->gdb;
    if (any)
        return 0;
    fprintf(stderr, "axvm-run: --gdb-wait: nobody could connect: add --gdb, or "
                    "[debug] gdb to the guest's file\n");
    return AX_STATUS_USAGE;
}

/* Every problem of every file in one go. */
static int run_load_configs(struct run *run)
{
    const struct ax_options *options = run->options;
    int status = run_check_console(options);

    if (!status)
        status = run_check_gdb(options);
    run->confs = calloc(options->file_count + 1U, sizeof(*run->confs));
    if (!run->confs)
        return AX_STATUS_FAILURE;
    if (!status && options->demo)
        status = run_load_demo(run);
    if (!status && options->line.kernel)
        status = run_load_line(run);
    for (unsigned i = 0; i < options->file_count; i++) {
        int one = run_load_file(run, options->files[i]);

        status = status ? status : one;
    }
    return status ? status : run_check_gdb_wait(run);
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
        err = ax_wake_create(run->loop, run_close_shell, run, &run->reap);
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
        .escape = run_escape,
        .ctx = run,
    };

    if (ax_fleet_create(&env, &run->fleet))
        return AX_STATUS_FAILURE;
    run->listener = (struct ax_fleet_listener){.heard = run_heard, .ctx = run};
    ax_fleet_listen(run->fleet, &run->listener);
    return 0;
}

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

/* A guest that comes later finds the terminal taken. */
static void run_adopt(void *ctx, struct ax_config *conf)
{
    char **terminal = terminal_spec(conf);

    if (terminal)
        set_spec(terminal, "none");
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
        err = fd < 0 ? fd : set_spec(terminal, spec);
    }
    return err;
}

/* Who has the terminal: the shell, one guest, or several at once. */
static int run_plan_terminal(struct run *run)
{
    unsigned wanted = 0;

    for (unsigned i = 0; i < run->conf_count; i++) {
        if (run->options->shell)
            run_adopt(run, run->confs[i]);
        wanted += terminal_spec(run->confs[i]) != NULL;
    }
    run->on_terminal = wanted;
    if (wanted < 2)
        return 0;
    return run_share_terminal(run) ? AX_STATUS_FAILURE : 0;
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
        .adopt = run_adopt,
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
        status = run_plan_terminal(run);
    if (!status)
        status = run_create_vms(run);
    if (!status)
        status = run_open_control(run);
    if (!status && run->options->shell && run_open_shell(run))
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
    int status = run_load_configs(&run);

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
