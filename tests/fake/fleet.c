/*
 * fleet.c - from a program to a VM of a fleet.
 */
#include "fake/fleet.h"

#include "vmm/image.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOURCES = 16 };

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "test fleet: %s\n", what);
    abort();
}

static void fleet_report(void *ctx, enum ax_severity severity, const char *text)
{
    fputs(text, stderr);
}

/*
 * A program as a kernel in memory, where VMs find it at every start: for as
 * long as the test runs.
 */
static const struct ax_source *find_source(const void *bytes, size_t size)
{
    static struct {
        const void *bytes;
        struct ax_source source;
    } sources[SOURCES];
    unsigned i = 0;

    while (i < SOURCES && sources[i].bytes && sources[i].bytes != bytes)
        i++;
    need(i < SOURCES, "too many programs");
    sources[i].bytes = bytes;
    ax_source_memory("test program", bytes, size, &sources[i].source);
    return &sources[i].source;
}

struct ax_vm *ax_test_fleet_add(struct ax_fleet *fleet,
                                const struct ax_backend_ops *ops,
                                const char *name, unsigned cpus,
                                const struct ax_test_program *program,
                                const char *base)
{
    struct ax_config_source src = {
        .file = "(test)", .builtin = true, .report = fleet_report};
    const struct ax_source *kernel;
    char text[512];
    struct ax_config *conf;
    struct ax_vm *vm = NULL;
    enum ax_blame blame;

    kernel = ops == &ax_fake
                 ? find_source(program->steps, program->steps_size)
                 : find_source(program->code,
                               (size_t)(program->code_end - program->code));
    snprintf(text, sizeof(text),
             "[base]\nname = \"%s\"\ncpu_num = %u\nmemory = \"2M\"\n"
             "arch = \"x86_64\"\n%s\n"
             "[kernel]\nkernel_path = \"test\"\nkernel_load_addr = 0x1000\n"
             "entry_point = 0x1000\nentry_mode = \"real\"\n"
             "[console]\nmode = \"none\"\n",
             name, cpus, base);
    src.text = text;
    src.size = strlen(text);
    need(!ax_config_load(&src, &conf), "configuration");
    if (ax_fleet_add(fleet, conf, kernel, &vm, &blame))
        vm = NULL;
    return vm;
}

static unsigned count_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    need(dir, path);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

unsigned ax_test_descriptors(void)
{
    return count_entries("/proc/self/fd") - 1; /* the folder's own */
}

unsigned ax_test_threads(void)
{
    return count_entries("/proc/self/task");
}
