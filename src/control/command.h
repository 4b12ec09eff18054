/*
 * command.h - the command table: names, options and help; words to a request,
 * an answer to text. Pure, shared by the client, its shell and gdb's monitor;
 * execute.c serves the requests.
 */
#ifndef AX_CONTROL_COMMAND_H
#define AX_CONTROL_COMMAND_H

#include "base.h"

#include <jansson.h>
#include <stdio.h>

enum { AX_COMMAND_OPTIONS = 6, AX_COMMAND_ERROR = 256 };

/* What follows the name. */
enum ax_command_args {
    AX_ARGS_NONE,
    AX_ARGS_VM,      /* exactly one VM */
    AX_ARGS_VMS,     /* one or more: a request each */
    AX_ARGS_FILES,   /* one or more files: a request each */
    AX_ARGS_VM_FILE, /* a VM and a file */
    AX_ARGS_VM_EXEC, /* a VM, and with the option exec perhaps a file */
    AX_ARGS_VM_PORT, /* a VM, perhaps one of its consoles */
    AX_ARGS_VM_SIZE, /* a VM, perhaps a size */
    AX_ARGS_DISK,    /* what to do, a VM, one of its disks, perhaps a size */
    AX_ARGS_NET,     /* a VM, perhaps one of its cards, perhaps up or down */
};

/* An option of one command. */
struct ax_command_option {
    const char *name; /* "force" for --force; NULL: end of list */
    char letter;      /* 'f' for -f, 0: none */
    /* "SECONDS": a number; "SPEC": as of debug/listen.h; else text. NULL: a
     * switch. */
    const char *arg;
    const char *help;
    bool request; /* goes into the request (else it is the printer's) */
};

struct ax_command {
    const char *name, *synopsis, *help;
    enum ax_command_args args;
    struct ax_command_option options[AX_COMMAND_OPTIONS + 1];
    /*
     * Prints result; options holds the options given (name: true, number or
     * text), "exec" the file, if there is one. NULL: there is nothing to print.
     */
    void (*print)(const json_t *result, const json_t *options, FILE *to);
};

/* The table, in the order of help; ends with a NULL name. */
const struct ax_command *ax_commands(void);
const struct ax_command *ax_command_find(const char *name); /* NULL: none */

/* Help on one: its usage, what it does, its options. */
void ax_command_help(const struct ax_command *command, FILE *to);

/* Which of the names that are offered in turn was meant by word? */
struct ax_command_guess {
    const char *word;
    const char *found; /* NULL: none comes close */
    unsigned distance; /* ours */
};
void ax_command_offer(struct ax_command_guess *guess, const char *name);

/* What words ask for. */
struct ax_command_call {
    const struct ax_command *command;
    json_t *requests; /* array of requests, one per VM or file; owned */
    json_t *options;  /* object; owned */
};

/*
 * words[0] is the command's name. 0, or -EINVAL with error set: one line that
 * says what is wrong and what to type. cwd: relative files are seen from there.
 */
int ax_command_parse(unsigned count, const char *const *words, const char *cwd,
                     struct ax_command_call *out, char error[AX_COMMAND_ERROR]);
void ax_command_fini(struct ax_command_call *call);

/*
 * Prints one answer's result as the command's text, or as JSON with --json. The
 * caller may add members: "vm" says whose result it is, "pid" in a summary
 * which process's, "exits_per_s" in statistics has rates by the names of exits.
 */
void ax_command_print(const struct ax_command_call *call, const json_t *result,
                      FILE *to);

/*
 * A line of the shell into words: spaces separate, double quotes and backslash
 * quote. Returns the number of words, at most max, which point into line, or
 * -EINVAL (a quote that does not end), -E2BIG. line is overwritten.
 */
int ax_command_split(char *line, const char **words, unsigned max);

#endif
