/*
 * run_configs.c - what the command line and its files say, as configurations
 * that are good together.
 */
#include "run_parts.h"

#include "conf/hostconf.h"
#include "debug/listen.h"
#include "devices/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char demo_config[] = "[base]\n"
                                  "name = \"demo\"\n"
                                  "cpu_num = 2\n"
                                  "memory = \"64M\"\n"
                                  "[kernel]\n"
                                  "kernel_path = \"built-in\"\n";

static void run_report(void *ctx, enum ax_severity severity, const char *text)
{
    fputs(text, stderr);
}

int ax_run_set_spec(char **spec, const char *to)
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
    return ax_run_set_spec(&conf->gdb, spec);
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

/* The modules of --run are chosen before its configuration is read. */
static int run_check_transport(const struct run *run,
                               const struct ax_oneliner *line)
{
    const struct ax_config *conf = run->confs[run->conf_count - 1];

    if (!line->run ||
        ax_oneliner_has_pci(line) == (conf->virtio == AX_VIRTIO_PCI))
        return 0;
    fprintf(stderr, "axvm-run: --run: it has the drivers that --virtio asks "
                    "for: use that instead of --set virtio.transport\n");
    return AX_STATUS_USAGE;
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
    return status ? status : run_check_transport(run, &line);
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

int ax_run_load_configs(struct run *run)
{
    const struct ax_options *options = run->options;
    int status = run_check_console(options);

    if (!status)
        status = run_check_gdb(options);
    run->conf_count = 0;
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
