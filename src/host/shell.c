/*
 * shell.c - spawns the shell, hands it the terminal, notices its end.
 */
#include "host/shell.h"

#include "devices/loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000 };

struct ax_shell {
    void (*ended)(void *ctx);
    void *ctx;
    pid_t pid, front;        /* who had the terminal before: we */
    struct termios settings; /* those of the terminal before */
    int pidfd;
    struct ax_watch *watch;
};

/* The axvm beside this program; "axvm", for PATH, if there is none. */
static void shell_find(char path[PATH_MAX])
{
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
    char *slash;

    path[len > 0 ? len : 0] = '\0';
    slash = strrchr(path, '/');
    if (slash && (size_t)(slash - path) + sizeof("/axvm") <= PATH_MAX) {
        memcpy(slash, "/axvm", sizeof("/axvm"));
        if (!access(path, X_OK))
            return;
    }
    memcpy(path, "axvm", sizeof("axvm"));
}

static int shell_spawn(const char *socket, pid_t *pid)
{
    char path[PATH_MAX];
    char name[] = "axvm", option[] = "--socket", command[] = "shell";
    char *where = strdup(socket);
    char *argv[] = {name, option, where, command, NULL};
    posix_spawnattr_t attr;
    sigset_t none, standard;
    int err;

    if (!where)
        return -ENOMEM;
    shell_find(path);
    sigemptyset(&none);
    sigemptyset(&standard);
    sigaddset(&standard, SIGPIPE);
    sigaddset(&standard, SIGXFSZ);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
                                        POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &standard);
    err = posix_spawnp(pid, path, NULL, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    free(where);
    return -err;
}

/*
 * From the background this would stop us, if SIGTTOU were not blocked. settings
 * (may be NULL) as well: a shell that was killed has left its own.
 */
static void terminal_to(pid_t group, const struct termios *settings)
{
    sigset_t set, old;

    sigemptyset(&set);
    sigaddset(&set, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    tcsetpgrp(STDIN_FILENO, group);
    if (settings)
        tcsetattr(STDIN_FILENO, TCSANOW, settings);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void shell_ended(void *ctx, unsigned events)
{
    struct ax_shell *shell = ctx;

    waitpid(shell->pid, NULL, 0);
    shell->pid = 0;
    ax_watch_destroy(shell->watch);
    shell->watch = NULL;
    terminal_to(shell->front, &shell->settings);
    shell->ended(shell->ctx);
}

int ax_shell_create(struct ax_loop *loop, const char *socket,
                    void (*ended)(void *ctx), void *ctx, struct ax_shell **out)
{
    struct termios settings;
    struct ax_shell *shell;
    int err;

    *out = NULL;
    if (tcgetpgrp(STDIN_FILENO) != getpgrp() ||
        tcgetattr(STDIN_FILENO, &settings))
        return -ENOTTY;
    shell = calloc(1, sizeof(*shell));
    if (!shell)
        return -ENOMEM;
    shell->settings = settings;
    shell->ended = ended;
    shell->ctx = ctx;
    shell->front = getpgrp();
    shell->pidfd = -1;
    err = shell_spawn(socket, &shell->pid);
    if (!err) {
        terminal_to(shell->pid, NULL);
        kill(-shell->pid, SIGCONT); /* it may have asked too early */
        shell->pidfd = pidfd_open(shell->pid, 0);
        err = shell->pidfd < 0
                  ? -errno
                  : ax_watch_create(loop, shell->pidfd, AX_LOOP_READ,
                                    shell_ended, shell, &shell->watch);
    }
    if (err) {
        ax_shell_destroy(shell);
        return err;
    }
    *out = shell;
    return 0;
}

static void shell_kill(struct ax_shell *shell)
{
    struct pollfd pfd = {.fd = shell->pidfd, .events = POLLIN};

    kill(shell->pid, SIGHUP); /* its terminal goes */
    kill(shell->pid, SIGCONT);
    if (shell->pidfd < 0 || poll(&pfd, 1, PATIENCE_MS) != 1)
        kill(shell->pid, SIGKILL);
    waitpid(shell->pid, NULL, 0);
    terminal_to(shell->front, &shell->settings);
}

void ax_shell_destroy(struct ax_shell *shell)
{
    if (!shell)
        return;
    ax_watch_destroy(shell->watch);
    if (shell->pid > 0)
        shell_kill(shell);
    if (shell->pidfd >= 0)
        close(shell->pidfd);
    free(shell);
}
