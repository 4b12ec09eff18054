/*
 * files.h - gdb's Host I/O (GDB manual, appendix E.7): the files that a
 * debugger may read through its connection. Read only.
 *
 * There are a few texts, and the guest's own kernel if it is an ELF file, so
 * that gdb finds its symbols by itself (qXfer:exec-file). A debugger says
 * names, never paths: no other file of the host is ever looked at.
 */
#ifndef AX_DEBUG_FILES_H
#define AX_DEBUG_FILES_H

#include "base.h"

struct ax_files;
struct ax_packet;
struct ax_packet_scan;

enum { AX_FILES_OPEN = 8 /* at once */ };

struct ax_files_text {
    const char *name; /* "target.xml" */
    const char *text;
};

struct ax_files_env {
    const struct ax_files_text *texts; /* borrowed, with all that is in it */
    unsigned count;
    const char *exec; /* path of the guest's kernel, of any kind; NULL: none */
};

/* env is copied. A kernel that is no ELF file is none. 0 or -ENOMEM. */
int ax_files_create(const struct ax_files_env *env, struct ax_files **out);

/* Accepts NULL. */
void ax_files_destroy(struct ax_files *files);

/* The kernel's name here: its path from the root. NULL: there is none. */
const char *ax_files_exec(const struct ax_files *files);

/* Closes all: a debugger has gone. */
void ax_files_reset(struct ax_files *files);

/*
 * Answers what comes after "vFile:" in a packet that is empty, and stays so
 * for an operation that does not exist. Escaped where it must be, so no runs.
 */
void ax_files_answer(struct ax_files *files, struct ax_packet_scan *request,
                     struct ax_packet *packet);

#endif
