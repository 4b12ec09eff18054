/*
 * gdb.c - from an address to gdb's command line, in our place or as our child.
 */
#include "client/gdb.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 5 };

/* What is tried in turn; the first knows guests of any architecture. */
static const char *const names[] = {"gdb-multiarch", "gdb"};

/* Starts words[0] with words: does not return, or -errno; *pid: the child. */
typedef int start(const struct client *client, char *const *words, pid_t *pid);

/* ---- in our place ---- */

static int start_instead(const struct client *client, char *const *words,
                         pid_t *pid)
{
    fflush(stdout);
    signal(SIGPIPE, SIG_DFL);
    execvp(words[0], words);
    signal(SIGPIPE, SIG_IGN);
    return -errno;
}

/* ---- as a child of the shell ---- */

/* Signals are as in any program; a script's lines are no input. */
static int start_child(const struct client *client, char *const *words,
                       pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, standard;
    int err;

    fflush(stdout);
    sigemptyset(&none);
    sigemptyset(&standard);
    sigaddset(&standard, SIGPIPE);
    sigaddset(&standard, SIGTSTP);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &standard);
    posix_spawn_file_actions_init(&files);
    if (client->input < 0)
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
                                         O_RDONLY, 0);
    err = posix_spawnp(pid, words[0], &files, &attr, words, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return -err;
}

/*
 * Ctrl-C and Ctrl-Z are gdb's affair: the first does not concern us, and after
 * the second it goes on, for the shell has no jobs. What would end us ends gdb,
 * and us then: it is pending when we are through.
 */
static int wait_child(pid_t pid)
{
    sigset_t set, before;
    int ends = 0, status = 0;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, &before);
    for (;;) {
        const pid_t changed = waitpid(pid, &status, WNOHANG | WUNTRACED);
        int signal;

        if (changed == pid && !WIFSTOPPED(status))
            break;
        if (changed == pid)
            kill(pid, SIGCONT);
        if (sigwait(&set, &signal) || signal == SIGCHLD || signal == SIGINT)
            continue;
        ends = signal;
        kill(pid, SIGTERM);
    }
    if (ends)
        raise(ends);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (ends)
        return STATUS_INTERRUPTED;
    return WIFEXITED(status) && !WEXITSTATUS(status) ? STATUS_DONE
                                                     : STATUS_FAILED;
}

/* ---- which one ---- */

/* words[0] is to be set: a wrapper may go by the name that it is called by, as
 * rustup's rust-gdb does. */
static int start_any(const struct client *client, start *how, char **words,
                     pid_t *pid)
{
    const char *wanted = getenv("AXVM_GDB");
    const bool is_given = wanted && *wanted;
    int err = -ENOENT;

    for (size_t i = 0; i < AX_ARRAY_LEN(names) && err == -ENOENT; i++) {
        char *name = strdup(is_given ? wanted : names[i]);

        words[0] = name;
        err = name ? how(client, words, pid) : -ENOMEM;
        free(name);
    }
    return err;
}

static void say_failed(const struct client *client, const char *what,
                       const char *address, int err)
{
    const char *wanted = getenv("AXVM_GDB");

    if (wanted && *wanted)
        client_say(client, "%s: cannot run AXVM_GDB, which is '%s': %s", what,
                   wanted, strerror(-err));
    else if (err == -ENOENT)
        client_say(client,
                   "%s: no gdb is installed: install gdb-multiarch or gdb, or "
                   "name one in AXVM_GDB; it connects by: target remote %s",
                   what, address);
    else
        client_say(client, "%s: cannot run gdb: %s", what, strerror(-err));
}

int gdb_run(const struct client *client, const char *what, const char *program,
            const char *address)
{
    char option[] = "-ex", none[] = "";
    char *words[WORDS + 1] = {NULL};
    char *command = NULL, *file = strdup(program ? program : none);
    unsigned count = 1;
    pid_t pid = 0;
    int err = -ENOMEM;

    if (file && asprintf(&command, "target remote %s", address) >= 0) {
        if (*file)
            words[count++] = file;
        words[count++] = option;
        words[count++] = command;
        err = start_any(client, client->shell ? start_child : start_instead,
                        words, &pid);
    }
    free(command);
    free(file);
    if (!err)
        return wait_child(pid);
    say_failed(client, what, address, err);
    return STATUS_FAILED;
}
