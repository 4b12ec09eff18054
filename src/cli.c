/*
 * cli.c - the options of axvm-run, one table row each.
 */
#include "cli.h"

#include "debug/listen.h"
#include "vmm/config.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_DEMO = 0x100,
    KEY_SET,
    KEY_DUMP_CONFIG,
    KEY_LENIENT,
    KEY_STRICT,
    KEY_TIMEOUT,
    KEY_STATS,
    KEY_TRACE,
    KEY_LOG_LEVEL,
    KEY_LOG_FILE,
    KEY_CONSOLE,
    KEY_CONTROL,
    KEY_PIDFILE,
    KEY_SHELL,
    KEY_LINGER,
    KEY_GDB,
    KEY_GDB_WAIT,
    KEY_GDB_ON,
    KEY_KERNEL,
    KEY_INITRD,
    KEY_APPEND,
    KEY_DISK,
    KEY_NET,
    KEY_SHARE,
    KEY_VSOCK,
    KEY_VIRTIO,
    KEY_CPUS,
    KEY_MEMORY,
    KEY_NAME,
    KEY_RUN,
    KEY_ROOT,
    KEY_MODULES,
};

#define GDB_PORT "1234" /* QEMU's */

static const struct argp_option options_table[] = {
    {NULL, 0, NULL, 0, "What to run:", 1},
    {"demo", KEY_DEMO, NULL, 0, "Run the built-in guest, no file needed", 1},
    {"set", KEY_SET, "TABLE.KEY=VALUE", 0,
     "Override a configuration value; repeatable", 1},
    {"lenient", KEY_LENIENT, NULL, 0, "Unknown keys are only warnings", 1},
    {"strict", KEY_STRICT, NULL, 0, "With check: warnings are errors", 1},
    {"dump-config", KEY_DUMP_CONFIG, NULL, 0,
     "Print the effective configuration with its defaults as TOML", 1},
    {NULL, 0, NULL, 0, "A guest without a file:", 2},
    {"kernel", KEY_KERNEL, "FILE", 0, "Its kernel", 2},
    {"initrd", KEY_INITRD, "FILE", 0, "Its initial RAM disk", 2},
    {"append", KEY_APPEND, "TEXT", 0, "Its kernel's command line", 2},
    {"disk", KEY_DISK, "FILE[,KEY=VALUE...]", 0,
     "A disk; keys as in [[disk]], 'ro' for readonly; repeatable", 2},
    {"net", KEY_NET, "MODE[,KEY=VALUE...]", 0,
     "A network card: user, tap, socket, passt or none; keys as in [[net]]; "
     "repeatable",
     2},
    {"share", KEY_SHARE, "DIR[,KEY=VALUE...]", 0,
     "A directory of this host, by 9p; keys as in [[share]]; repeatable", 2},
    {"vsock", KEY_VSOCK, "CID[,KEY=VALUE...]", 0, "Sockets to this host", 2},
    {"virtio", KEY_VIRTIO, "TRANSPORT", 0,
     "How it reaches these devices: mmio (default) or pci", 2},
    {"cpus", KEY_CPUS, "N", 0, "Virtual CPUs, default 1", 2},
    {"memory", KEY_MEMORY, "SIZE", 0, "Memory, default 512M", 2},
    {"name", KEY_NAME, "NAME", 0, "What it is called", 2},
    {"run", KEY_RUN, "COMMAND", 0,
     "Boot the kernel with this host's files as its root, which it cannot "
     "change, run COMMAND there, and end with its status",
     2},
    {"root", KEY_ROOT, "DIR", 0, "With --run: another root", 2},
    {"modules", KEY_MODULES, "DIR", 0,
     "With --run: where the kernel's modules are, if not in /lib/modules", 2},
    {NULL, 0, NULL, 0, "How to run it:", 3},
    {"console", KEY_CONSOLE, "SPEC", 0,
     "stdio (default), pty, unix:PATH, file:PATH or none", 3},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0,
     "End the guests after that long, with status 124", 3},
    {"shell", KEY_SHELL, NULL, 0,
     "This terminal is axvm's shell, its console command leads to the guests'",
     3},
    {"linger", KEY_LINGER, NULL, 0,
     "Stay when no guest is left, for axvm create and start", 3},
    {"control", KEY_CONTROL, "PATH|none", 0,
     "Where the control socket is; default: axvm(1) finds it", 3},
    {"pidfile", KEY_PIDFILE, "FILE", 0, "Keep our process id in FILE", 3},
    {NULL, 0, NULL, 0, "For a debugger:", 4},
    {"gdb", KEY_GDB, "[HOST:]PORT|unix:PATH", OPTION_ARG_OPTIONAL,
     "Where gdb connects; default: " GDB_PORT ". Further guests have the ports "
     "that follow",
     4},
    {"gdb-wait", KEY_GDB_WAIT, NULL, 0,
     "Halt before the first instruction and wait for gdb", 4},
    {"gdb-on", KEY_GDB_ON, "EVENT[,EVENT...]", 0,
     "Halt for gdb at a crash, reset or poweroff, instead of it", 4},
    {NULL, 0, NULL, 0, "What to tell:", 5},
    {"stats", KEY_STATS, "FILE", OPTION_ARG_OPTIONAL,
     "Exit statistics and boot timeline at the end: text, or JSON to FILE", 5},
    {"trace", KEY_TRACE, "exits[:FILE]", 0, "One line per exit", 5},
    {"log-level", KEY_LOG_LEVEL, "LEVEL", 0,
     "off, error, warn, info (default) or debug", 5},
    {"log-file", KEY_LOG_FILE, "FILE", 0,
     "Append the log to FILE instead of standard error", 5},
    {NULL, 0, NULL, 0, "About:", -1},
    {0},
};

static const char usage[] = "GUEST.toml...\n"
                            "--kernel FILE\n"
                            "--demo\n"
                            "check GUEST.toml...\n"
                            "probe";

static const char text[] =
    "Runs the virtual machine that each GUEST.toml describes; its console is "
    "this terminal. 'check' validates files and runs nothing; 'probe' tells "
    "whether this host can run guests. axvm(1) controls what runs."
    "\vKeys on the console: Ctrl-a x ends the guest, Ctrl-a c is axvm's shell, "
    "Ctrl-a h lists the others.\n\n"
    "Exit status: 0 the guest powered off, asked for a reset, or was ended "
    "from outside; 2 usage or configuration error; 4 this host cannot run it; "
    "6 the guest crashed; 8 axvm-run failed; 124 timeout; (code << 1) | 1 when "
    "the guest wrote code to the debug-exit port 0xf4.\n\n"
    "See axvm-run(1) and axvm.toml(5).";

static void parse_seconds(const char *arg, uint64_t *ns,
                          struct argp_state *state)
{
    char *end;
    double seconds = strtod(arg, &end);

    if (end == arg || *end || !isfinite(seconds) || seconds <= 0 ||
        seconds > 1e9)
        argp_error(state, "--timeout: '%s' is not a number of seconds above 0",
                   arg);
    *ns = (uint64_t)(seconds * 1e9);
}

static void parse_trace(const char *arg, struct ax_options *out,
                        struct argp_state *state)
{
    if (strncmp(arg, "exits", 5) || (arg[5] && (arg[5] != ':' || !arg[6])))
        argp_error(state,
                   "--trace: '%s' is unknown; expected exits or exits:FILE",
                   arg);
    out->trace = true;
    out->trace_file = arg[5] ? arg + 6 : NULL;
}

static void parse_gdb(const char *arg, struct ax_options *out,
                      struct argp_state *state)
{
    const char *problem;

    out->gdb = arg ? arg : GDB_PORT;
    problem = ax_listen_check(out->gdb);
    if (problem)
        argp_error(state, "--gdb: '%s': %s", arg, problem);
}

static void parse_gdb_on(const char *arg, struct ax_options *out,
                         struct argp_state *state)
{
    const char *comma = arg;

    for (const char *word = arg; comma; word = comma + 1) {
        unsigned event;

        comma = strchr(word, ',');
        event = ax_config_gdb_event(word, comma ? (size_t)(comma - word)
                                                : strlen(word));
        if (!event)
            argp_error(state,
                       "--gdb-on: '%s' is unknown; expected crash, reset or "
                       "poweroff, or several with commas",
                       arg);
        out->gdb_on |= event;
    }
}

static void parse_file(const char *arg, struct ax_options *out)
{
    if (!out->file_count && out->mode == AX_MODE_RUN) {
        if (!strcmp(arg, "check")) {
            out->mode = AX_MODE_CHECK;
            return;
        }
        if (!strcmp(arg, "probe")) {
            out->mode = AX_MODE_PROBE;
            return;
        }
    }
    out->files[out->file_count++] = arg;
}

/* A guest on the line is alone there. */
static void parse_line(const struct ax_options *out, struct argp_state *state)
{
    const struct ax_oneliner *line = &out->line;

    if (out->mode != AX_MODE_RUN)
        argp_error(state, "%s takes no guest of the command line",
                   out->mode == AX_MODE_CHECK ? "check" : "probe");
    if (out->demo)
        argp_error(state, "--demo is a guest already");
    if (out->file_count)
        argp_error(state,
                   "'%s' describes a guest, and so do these options: use "
                   "--set to change what the file says",
                   out->files[0]);
    if (!line->kernel)
        argp_error(state, "a guest on the command line needs --kernel");
    if (line->run && line->initrd)
        argp_error(state, "--run makes its own initial RAM disk: --initrd is "
                          "for other guests");
    if (!line->run && (line->root || line->modules))
        argp_error(state, "--%s goes with --run",
                   line->root ? "root" : "modules");
    if (line->run && out->console)
        argp_error(state, "--run has its command on standard input and "
                          "output: --console is for other guests");
}

/* What only the whole line tells. */
static void parse_whole(const struct ax_options *out, struct argp_state *state)
{
    if (ax_oneliner_given(&out->line)) {
        parse_line(out, state);
        return;
    }

    if (out->mode == AX_MODE_PROBE) {
        if (out->file_count || out->demo)
            argp_error(state, "probe takes no guest");
    } else if (out->mode == AX_MODE_CHECK) {
        if (!out->file_count)
            argp_error(state, "check needs at least one GUEST.toml");
    } else if (out->demo && out->file_count) {
        argp_error(state, "--demo takes no GUEST.toml ('%s')", out->files[0]);
    } else if (!out->demo && !out->file_count && !out->shell && !out->linger) {
        argp_error(state, "no guest: name a GUEST.toml, or try --demo");
    } else if (out->shell && out->control && !strcmp(out->control, "none")) {
        argp_error(state, "--shell needs the control socket");
    }
}

/* The next place of a list that has room for all arguments. */
static void list_add(const char **list, const char *arg)
{
    while (*list)
        list++;
    *list = arg;
}

/* Where the only value of an option goes, NULL: it is not one of these. */
static const char **line_place(struct ax_oneliner *line, int key)
{
    switch (key) {
    case KEY_KERNEL:
        return &line->kernel;
    case KEY_INITRD:
        return &line->initrd;
    case KEY_APPEND:
        return &line->append;
    case KEY_VSOCK:
        return &line->vsock;
    case KEY_VIRTIO:
        return &line->virtio;
    case KEY_CPUS:
        return &line->cpus;
    case KEY_MEMORY:
        return &line->memory;
    case KEY_NAME:
        return &line->name;
    case KEY_RUN:
        return &line->run;
    case KEY_ROOT:
        return &line->root;
    case KEY_MODULES:
        return &line->modules;
    default:
        return NULL;
    }
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct ax_options *out = state->input;
    const char **place = line_place(&out->line, key);
    enum ax_log_level level;

    if (place) {
        *place = arg;
        return 0;
    }
    switch (key) {
    case KEY_DISK:
        list_add(out->line.disks, arg);
        break;
    case KEY_NET:
        list_add(out->line.nets, arg);
        break;
    case KEY_SHARE:
        list_add(out->line.shares, arg);
        break;
    case KEY_DEMO:
        out->demo = true;
        break;
    case KEY_SET:
        if (!strchr(arg, '='))
            argp_error(state, "--set: '%s' is not TABLE.KEY=VALUE", arg);
        out->sets[out->set_count++] = arg;
        break;
    case KEY_DUMP_CONFIG:
        out->dump_config = true;
        break;
    case KEY_LENIENT:
        out->lenient = true;
        break;
    case KEY_STRICT:
        out->strict = true;
        break;
    case KEY_TIMEOUT:
        parse_seconds(arg, &out->timeout_ns, state);
        break;
    case KEY_STATS:
        out->stats = true;
        out->stats_file = arg;
        break;
    case KEY_TRACE:
        parse_trace(arg, out, state);
        break;
    case KEY_LOG_LEVEL:
        if (ax_log_parse_level(arg, &level))
            argp_error(state,
                       "--log-level: '%s' is unknown; expected off, error, "
                       "warn, info or debug",
                       arg);
        out->log_level = arg;
        break;
    case KEY_LOG_FILE:
        out->log_file = arg;
        break;
    case KEY_CONSOLE:
        out->console = arg;
        break;
    case KEY_CONTROL:
        out->control = arg;
        break;
    case KEY_PIDFILE:
        out->pidfile = arg;
        break;
    case KEY_SHELL:
        out->shell = true;
        break;
    case KEY_LINGER:
        out->linger = true;
        break;
    case KEY_GDB:
        parse_gdb(arg, out, state);
        break;
    case KEY_GDB_WAIT:
        out->gdb_wait = true;
        break;
    case KEY_GDB_ON:
        parse_gdb_on(arg, out, state);
        break;
    case ARGP_KEY_ARG:
        parse_file(arg, out);
        break;
    case ARGP_KEY_END:
        parse_whole(out, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void print_version(FILE *to, struct argp_state *state)
{
    fputs("axvm-run " AX_VERSION "\n", to);
}

int ax_cli_parse(int argc, char **argv, struct ax_options *out)
{
    const struct argp argp = {
        .options = options_table,
        .parser = parse_option,
        .args_doc = usage,
        .doc = text,
    };

    memset(out, 0, sizeof(*out));
    out->files = calloc((size_t)argc + 1, sizeof(*out->files));
    out->sets = calloc((size_t)argc + 1, sizeof(*out->sets));
    out->line.disks = calloc((size_t)argc + 1, sizeof(char *));
    out->line.nets = calloc((size_t)argc + 1, sizeof(char *));
    out->line.shares = calloc((size_t)argc + 1, sizeof(char *));
    if (!out->files || !out->sets || !out->line.disks || !out->line.nets ||
        !out->line.shares) {
        ax_cli_fini(out);
        return -ENOMEM;
    }
    argp_err_exit_status = AX_STATUS_USAGE;
    argp_program_version_hook = print_version;
    return -argp_parse(&argp, argc, argv, 0, NULL, out);
}

void ax_cli_fini(struct ax_options *options)
{
    free(options->files);
    free(options->sets);
    free(options->line.disks);
    free(options->line.nets);
    free(options->line.shares);
    memset(&options->line, 0, sizeof(options->line));
    options->files = NULL;
    options->sets = NULL;
}
