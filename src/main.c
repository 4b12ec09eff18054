/*
 * main.c - argv, signals, the terminal, and the life of one process: parse,
 * validate, build, run, report. The only file that may end the process, and
 * the only one with state of its own: the terminal's settings, which a fatal
 * signal must be able to restore.
 */
#include "arch/arch.h"
#include "backend/backend.h"
#include "cli.h"
#include "conf/hostconf.h"
#include "devices/clock.h"
#include "devices/console.h"
#include "devices/loop.h"
#include "vmm/config.h"
#include "vmm/demo.h"
#include "vmm/image.h"
#include "vmm/stats.h"
#include "vmm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* ---- the terminal ---- */

static struct termios terminal_saved;
static volatile sig_atomic_t terminal_is_raw;

static void terminal_restore(void)
{
    if (!terminal_is_raw)
        return;
    terminal_is_raw = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal_saved);
}

/* Input raw, output as it was: a guest may end its lines with a bare LF. */
static void terminal_make_raw(void)
{
    struct termios raw = terminal_saved;

    cfmakeraw(&raw);
    raw.c_oflag = terminal_saved.c_oflag;
    terminal_is_raw = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void terminal_fatal(int signal)
{
    terminal_restore();
    raise(signal); /* the default action again, thanks to SA_RESETHAND */
}

static void terminal_take(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS,  SIGILL, SIGFPE,
                                SIGABRT, SIGQUIT, SIGSYS};
    struct sigaction action = {.sa_handler = terminal_fatal,
                               .sa_flags = (int)SA_RESETHAND};
    pid_t front = tcgetpgrp(STDIN_FILENO); /* -1: not our controlling one */

    if ((front >= 0 && front != getpgrp()) ||
        tcgetattr(STDIN_FILENO, &terminal_saved))
        return; /* no terminal, or we are in its background */
    atexit(terminal_restore);
    for (size_t i = 0; i < AX_ARRAY_LEN(fatal); i++)
        sigaction(fatal[i], &action, NULL);
    terminal_make_raw();
}

/* ---- one run ---- */

struct run {
    const struct ax_options *options;
    struct ax_config *conf;
    struct ax_log *log;
    struct ax_loop *loop;
    struct ax_vm *vm;
    FILE *trace;
    struct ax_watch *signals;
    int signal_fd;
    struct ax_timer *deadline;
    uint64_t start_ns;
    bool timed_out, asked;
    int progress; /* percent last shown */
};

static const char demo_config[] = "[base]\n"
                                  "name = \"demo\"\n"
                                  "cpu_num = 2\n"
                                  "memory = \"64M\"\n"
                                  "[kernel]\n"
                                  "kernel_path = \"built-in\"\n";

static void print_report(void *ctx, enum ax_severity severity, const char *text)
{
    unsigned *counts = ctx;

    counts[severity]++;
    fputs(text, stderr);
    if (*text && text[strlen(text) - 1] != '\n')
        fputc('\n', stderr);
}

static void print_host_report(void *ctx, const char *text)
{
    fprintf(stderr, "%s\n", text);
}

/* The first signal asks the guest, the next one does not. */
static void run_shutdown(struct run *run, const char *why)
{
    const bool asked = run->asked;

    run->asked = true;
    if (ax_vm_state(run->vm) < AX_VM_STOPPING)
        ax_log(run->log, AX_LOG_INFO, "%s: the guest ends", why);
    if (asked)
        ax_vm_stop(run->vm);
    else
        ax_vm_shutdown(run->vm);
}

static void run_stop(struct run *run, const char *why)
{
    if (ax_vm_state(run->vm) < AX_VM_STOPPING)
        ax_log(run->log, AX_LOG_INFO, "%s: the guest ends", why);
    ax_vm_stop(run->vm); /* in Stopping: it does not restart */
}

static void run_signal(void *ctx, unsigned events)
{
    struct run *run = ctx;
    struct signalfd_siginfo info;

    if (read(run->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo != SIGCONT)
        run_shutdown(run, strsignal((int)info.ssi_signo));
    else if (terminal_is_raw)
        terminal_make_raw(); /* the shell had changed it meanwhile */
}

static void run_deadline(void *ctx, uint64_t count)
{
    struct run *run = ctx;

    run->timed_out = true;
    run_stop(run, "timeout");
}

static void run_stopped(void *ctx, struct ax_vm *vm)
{
    struct run *run = ctx;

    ax_loop_stop(run->loop);
}

static void escape_help(void)
{
    fputs("\n"
          "Ctrl-a x   end the guest\n"
          "Ctrl-a s   print statistics\n"
          "Ctrl-a h   this help\n"
          "Ctrl-a Ctrl-a   send a Ctrl-a to the guest\n",
          stderr);
}

static void run_escape(void *ctx, struct ax_vm *vm, int key)
{
    struct run *run = ctx;

    switch (key) {
    case 'x':
        fputc('\n', stderr); /* the guest's prompt stays on its own line */
        run_stop(run, "Ctrl-a x");
        break;
    case 's':
        fputc('\n', stderr);
        ax_stats_print(vm, run->start_ns, stderr);
        break;
    default:
        escape_help();
        break;
    }
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

/* ---- the steps of a run; each logs what fails and gives its exit status ----
 */

static int run_open_log(struct run *run, const struct ax_hostconf *host)
{
    const char *word =
        run->options->log_level ? run->options->log_level : host->log_level;
    const char *path =
        run->options->log_file ? run->options->log_file : host->log_file;
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

static int run_load_config(struct run *run, const struct ax_hostconf *host)
{
    const struct ax_options *options = run->options;
    unsigned counts[AX_SEVERITIES] = {0};
    struct ax_config_source src = {
        .file = options->demo ? "(demo)" : options->files[0],
        .text = options->demo ? demo_config : NULL,
        .size = options->demo ? sizeof(demo_config) - 1 : 0,
        .sets = options->sets,
        .host = host,
        .lenient = options->lenient,
        .need_files = !options->demo && !options->dump_config,
        .report = print_report,
        .ctx = counts,
    };
    const char *problem;

    if (options->console &&
        (problem = ax_console_check_spec(options->console))) {
        fprintf(stderr, "axvm-run: --console: '%s': %s\n", options->console,
                problem);
        return AX_STATUS_USAGE;
    }
    if (ax_config_load(&src, &run->conf))
        return AX_STATUS_USAGE;
    if (options->console) {
        free(run->conf->console);
        run->conf->console = strdup(options->console);
    }
    if (options->timeout_ns)
        run->conf->timeout_ns = options->timeout_ns;
    return run->conf->console ? 0 : AX_STATUS_FAILURE;
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

static int run_watch(struct run *run)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGCONT};
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
    if (!err && run->conf->timeout_ns) {
        err = ax_timer_create(run->loop, run_deadline, run, &run->deadline);
        if (!err)
            ax_timer_arm(run->deadline, run->conf->timeout_ns, 0);
    }
    return err ? AX_STATUS_FAILURE : 0;
}

static int run_create_vm(struct run *run)
{
    static const int statuses[] = {
        [AX_BLAME_US] = AX_STATUS_FAILURE,
        [AX_BLAME_USER] = AX_STATUS_USAGE,
        [AX_BLAME_HOST] = AX_STATUS_HOST,
    };
    enum ax_blame blame;
    struct ax_source demo;
    struct ax_vm_env env = {
        .conf = run->conf,
        .ops = &ax_kvm,
        .loop = run->loop,
        .log = run->log,
        .trace = run->trace,
        .progress = isatty(STDERR_FILENO) ? run_progress : NULL,
        .stopped = run_stopped,
        .escape = run_escape,
        .ctx = run,
    };

    if (run->options->demo) {
        ax_source_memory("built-in demo guest", ax_demo_image,
                         ax_demo_image_size, &demo);
        env.kernel = &demo;
    }
    return ax_vm_create(&env, &run->vm, &blame) ? statuses[blame] : 0;
}

/* Would this end have been the last one without anybody's doing? */
static bool run_ended_by_guest(const struct run *run, enum ax_vm_cause cause)
{
    switch (cause) {
    case AX_VM_END_OFF:
        return run->conf->on_poweroff == AX_ON_END_STOP;
    case AX_VM_END_RESET:
        return run->conf->on_reboot == AX_ON_END_STOP;
    case AX_VM_END_CRASH:
        return run->conf->on_crash == AX_ON_END_STOP;
    default:
        return cause == AX_VM_END_EXIT;
    }
}

static int run_status(struct run *run)
{
    struct ax_vm_end end = ax_vm_end(run->vm);

    if (run->timed_out && !run_ended_by_guest(run, end.cause))
        return AX_STATUS_TIMEOUT;
    switch (end.cause) {
    case AX_VM_END_OFF:
        ax_log(run->log, AX_LOG_INFO, "the guest powered off");
        return AX_STATUS_OK;
    case AX_VM_END_RESET:
        ax_log(run->log, AX_LOG_INFO,
               "the guest asked for a reset, which ends it");
        return AX_STATUS_OK;
    case AX_VM_END_EXIT:
        ax_log(run->log, AX_LOG_INFO,
               "the guest wrote %#" PRIx64 " to the debug-exit port", end.code);
        return (int)((end.code << 1 | 1) & 0xff);
    case AX_VM_END_CRASH:
        return AX_STATUS_CRASH;
    case AX_VM_END_STOP:
        return AX_STATUS_OK;
    default:
        return AX_STATUS_FAILURE;
    }
}

static int run_print_stats(struct run *run)
{
    const char *path = run->options->stats_file;
    FILE *to;
    int err;

    if (!run->options->stats)
        return 0;
    if (!path) {
        ax_stats_print(run->vm, run->start_ns, stderr);
        return 0;
    }
    to = fopen(path, "we");
    err = to ? ax_stats_print_json(run->vm, run->start_ns, to) : -errno;
    if (to && fclose(to) && !err)
        err = -errno;
    if (err)
        ax_log(run->log, AX_LOG_ERROR, "cannot write the statistics to %s: %s",
               path, strerror(-err));
    return err;
}

static int run_guest(struct run *run)
{
    int status = run_open_trace(run);

    if (!status && ax_loop_create(&run->loop))
        status = AX_STATUS_FAILURE;
    if (!status)
        status = run_watch(run);
    if (!status)
        status = run_create_vm(run);
    if (status)
        return status;
    if (!strcmp(run->conf->console, "stdio"))
        terminal_take();
    malloc_trim(0); /* what parsing and loading have left */
    if (ax_vm_start(run->vm))
        ax_log(run->log, AX_LOG_ERROR, "the guest could not be started");
    ax_loop_run(run->loop);
    terminal_restore();
    status = run_status(run);
    if (run_print_stats(run) && status == AX_STATUS_OK)
        status = AX_STATUS_FAILURE;
    return status;
}

static void run_fini(struct run *run)
{
    ax_vm_destroy(run->vm);
    ax_timer_destroy(run->deadline);
    ax_watch_destroy(run->signals);
    if (run->signal_fd >= 0)
        close(run->signal_fd);
    ax_loop_destroy(run->loop);
    if (run->trace && run->trace != stderr)
        fclose(run->trace);
    ax_config_destroy(run->conf);
    ax_log_destroy(run->log);
}

/* ---- commands ---- */

static int command_run(const struct ax_options *options,
                       const struct ax_hostconf *host, uint64_t start_ns)
{
    struct run run = {
        .options = options,
        .signal_fd = -1,
        .start_ns = start_ns,
        .progress = -1,
    };
    int status = run_load_config(&run, host);

    if (!status && options->dump_config)
        ax_config_dump(run.conf, stdout);
    else if (!status && !(status = run_open_log(&run, host)))
        status = run_guest(&run);
    run_fini(&run);
    return status;
}

static int command_check(const struct ax_options *options,
                         const struct ax_hostconf *host)
{
    int status = AX_STATUS_OK;

    for (unsigned i = 0; i < options->file_count; i++) {
        unsigned counts[AX_SEVERITIES] = {0};
        struct ax_config_source src = {
            .file = options->files[i],
            .sets = options->sets,
            .host = host,
            .lenient = options->lenient,
            .notes = true,
            .report = print_report,
            .ctx = counts,
        };
        struct ax_config *conf;
        bool good;

        fflush(stdout); /* the verdict on the last file, before new problems */
        good = !ax_config_load(&src, &conf);

        if (options->strict && counts[AX_SEVERITY_WARNING])
            good = false;
        if (good) {
            printf("%s: valid, VM %" PRIu64 " '%s' for %s%s\n",
                   options->files[i], conf->id, conf->name, conf->arch,
                   strcmp(conf->arch, ax_arch_host())
                       ? " (this host cannot run it)"
                       : "");
            if (options->dump_config)
                ax_config_dump(conf, stdout);
        } else {
            status = AX_STATUS_USAGE;
            printf("%s: not valid: errors %u, warnings %u\n", options->files[i],
                   counts[AX_SEVERITY_ERROR], counts[AX_SEVERITY_WARNING]);
        }
        ax_config_destroy(conf);
    }
    return status;
}

static void print_fact(void *ctx, const char *what, const char *value,
                       const char *cure)
{
    printf("%-4s %s: %s\n", cure ? "FAIL" : "ok", what, value);
    if (cure)
        printf("     -> %s\n", cure);
}

static int command_probe(void)
{
    printf("ok   architecture: %s\n", ax_arch_host());
    if (!ax_kvm.probe(print_fact, NULL)) {
        puts("This host can run guests.");
        return AX_STATUS_OK;
    }
    puts("This host cannot run guests.");
    return AX_STATUS_HOST;
}

/*
 * A standard descriptor that is closed would be given to the next file opened,
 * and the guest's console would then write into that.
 */
static void hold_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(AX_STATUS_FAILURE);
    }
}

int main(int argc, char **argv)
{
    uint64_t start_ns = ax_clock_now_ns();
    struct ax_options options;
    struct ax_hostconf host;
    int status;

    hold_standard_descriptors();
    /* Small for good: what only the start needs goes back at once. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 4096);
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error, no end */
    if (ax_cli_parse(argc, argv, &options))
        return AX_STATUS_FAILURE;
    if (ax_hostconf_load(&host, print_host_report, NULL))
        status = AX_STATUS_USAGE;
    else if (options.command == AX_COMMAND_PROBE)
        status = command_probe();
    else if (options.command == AX_COMMAND_CHECK)
        status = command_check(&options, &host);
    else
        status = command_run(&options, &host, start_ns);
    ax_hostconf_fini(&host);
    ax_cli_fini(&options);
    return status;
}
