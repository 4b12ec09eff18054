/*
 * main.c - argv, the terminal, and which command it is. The only file that may
 * end the process, and the only one with state of its own: the terminal's
 * settings, which a fatal signal must be able to restore.
 */
#include "arch/arch.h"
#include "backend/backend.h"
#include "cli.h"
#include "conf/hostconf.h"
#include "devices/clock.h"
#include "run.h"
#include "vmm/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

static void terminal_resume(void)
{
    if (terminal_is_raw)
        terminal_make_raw(); /* the shell had changed it meanwhile */
}

static bool terminal_taken(void)
{
    return terminal_is_raw;
}

static const struct ax_terminal terminal = {
    .take = terminal_take,
    .give = terminal_restore,
    .resume = terminal_resume,
    .taken = terminal_taken,
};

/* ---- commands ---- */

static void print_report(void *ctx, enum ax_severity severity, const char *text)
{
    unsigned *counts = ctx;

    counts[severity]++;
    fputs(text, stderr);
}

static void print_host_report(void *ctx, const char *text)
{
    fprintf(stderr, "%s\n", text);
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

/* What was printed must have arrived, or its reader has seen enough. */
static int finish(int status)
{
    if (!fflush(stdout) || errno == EPIPE || status)
        return status;
    fprintf(stderr, "axvm-run: cannot write: %s\n", strerror(errno));
    return AX_STATUS_FAILURE;
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
    signal(SIGXFSZ, SIG_IGN); /* ... and so is a disk image that may not grow */
    if (ax_cli_parse(argc, argv, &options))
        return AX_STATUS_FAILURE;
    if (ax_hostconf_load(&host, print_host_report, NULL))
        status = AX_STATUS_USAGE;
    else if (options.mode == AX_MODE_PROBE)
        status = command_probe();
    else if (options.mode == AX_MODE_CHECK)
        status = command_check(&options, &host);
    else
        status = ax_run(&options, &host, &terminal, start_ns);
    ax_hostconf_fini(&host);
    ax_cli_fini(&options);
    return finish(status);
}
