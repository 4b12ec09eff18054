/*
 * client.h - what every part of axvm knows: whom to talk to, how to complain.
 */
#ifndef AX_CLIENT_CLIENT_H
#define AX_CLIENT_CLIENT_H

#include "base.h"

#include <stdio.h>
#include <sys/types.h>

/* Exit statuses, see axvm(1). */
enum {
    STATUS_DONE = 0,
    STATUS_USAGE = 2,
    STATUS_ABSENT = 4, /* no such process or VM */
    STATUS_REFUSED = 6,
    STATUS_FAILED = 8,
    STATUS_TIMEOUT = 124,
    STATUS_INTERRUPTED = 130,
};

struct client {
    const char *socket; /* --socket, or NULL */
    pid_t pid;          /* --pid, or 0 */
    const char *prefix; /* of messages; NULL: none are wanted */
    int signals;        /* a signalfd that ends every wait; -1: none */
    bool shell;         /* commands are our shell's, which stays */
    int input;          /* where a console's input is; -1: nowhere */
};

/* What went wrong: a line on standard error that says whose it is. */
__attribute__((format(printf, 2, 3))) void
client_say(const struct client *client, const char *format, ...);

/* What people at a terminal want to know: a line there. */
__attribute__((format(printf, 2, 3))) void
client_note(const struct client *client, const char *format, ...);

/*
 * Does what words ask for and says what goes wrong. A status; after a signal
 * STATUS_INTERRUPTED, the signal is still pending.
 */
int client_run(const struct client *client, unsigned count,
               const char *const *words);

/* What the commands are, or with a name what that one is: a status. */
int client_help(const struct client *client, const char *name);

/* The interactive shell, or without a terminal a script: a status. */
int client_shell(const struct client *client);

/*
 * main.c's, which may have variables: makes the terminal that is standard input
 * raw. False if it is none, or not ours now. Restored on every way out of the
 * process, fatal signals included.
 */
bool client_terminal_raw(void);
void client_terminal_restore(void); /* idempotent */

#endif
