/*
 * cli.h - the command line as plain data. Parsed by argp; main() acts on it.
 */
#ifndef AX_CLI_H
#define AX_CLI_H

#include "base.h"
#include "log.h"
#include "oneliner.h"

enum ax_mode { AX_MODE_RUN, AX_MODE_CHECK, AX_MODE_PROBE };

/* Exit statuses. Even ones are ours; odd ones are the guest's (code << 1 | 1).
 */
enum {
    AX_STATUS_OK = 0,
    AX_STATUS_USAGE = 2,
    AX_STATUS_HOST = 4,
    AX_STATUS_CRASH = 6,
    AX_STATUS_FAILURE = 8,
    AX_STATUS_TIMEOUT = 124,
};

struct ax_options {
    struct ax_oneliner line; /* a guest that no file describes */
    enum ax_mode mode;
    bool demo;
    const char **files; /* NULL-terminated, owned; the strings are argv's */
    unsigned file_count;
    const char **sets; /* --set, the same */
    unsigned set_count;
    bool dump_config, lenient, strict;
    uint64_t timeout_ns; /* 0: none */
    bool stats;
    const char *stats_file; /* JSON; NULL: text on standard error */
    bool trace;
    const char *trace_file;           /* NULL: standard error */
    const char *log_level, *log_file; /* NULL: not given */
    const char *console;
    const char *control; /* path, or "none"; NULL: the default place */
    const char *pidfile;
    const char *gdb; /* spec of debug/listen.h; NULL: not given */
    bool gdb_wait;
    unsigned gdb_on; /* AX_GDB_ON_*; 0: not given */
    bool shell, linger;
};

/*
 * Parses argv. --help, --version and mistakes end the process inside argp with
 * status 0 or AX_STATUS_USAGE. 0 or -ENOMEM.
 */
int ax_cli_parse(int argc, char **argv, struct ax_options *out);

void ax_cli_fini(struct ax_options *options);

#endif
