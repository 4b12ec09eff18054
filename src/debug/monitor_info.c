/*
 * monitor_info.c - the command "info": the parts of a halted guest, the CPU's
 * by its gdb operations. Called by the table of monitor_own.c.
 */
#include "debug/monitor_parts.h"

#include "arch/arch.h"
#include "vcpu/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct info {
    const struct ax_gdb_ops *gdb;
    const char *topic; /* NULL: one line about the vCPU */
    const struct ax_memory *mem;
    FILE *to;
};

static int info_call(void *ctx, const struct ax_backend_ops *ops,
                     struct ax_engine_vcpu *engine)
{
    const struct info *info = ctx;
    char line[256] = "";

    if (info->topic)
        return info->gdb->info(info->topic, ops, engine, info->mem, info->to);
    info->gdb->describe(ops, engine, line, sizeof(line));
    fprintf(info->to, "%s\n", line);
    return 0;
}

static struct info info_of(const struct ax_monitor *m, const char *topic)
{
    return (struct info){
        .gdb = ax_target_ops(m->env.target),
        .topic = topic,
        .mem = ax_vm_memory(ax_monitor_vm(m)),
        .to = m->out,
    };
}

static int info_topic(struct ax_monitor *m, const char *topic)
{
    struct info info = info_of(m, topic);
    int err = ax_target_call(m->env.target, m->vcpu, info_call, &info);

    if (err == -EOPNOTSUPP)
        return ax_monitor_fail(m, "info %s: this VM has nothing like it",
                               topic);
    return err ? ax_monitor_fail_call(m, err) : 0;
}

static int info_vcpus(struct ax_monitor *m)
{
    const unsigned count = ax_vm_vcpu_count(ax_monitor_vm(m));
    struct info info = info_of(m, NULL);

    for (unsigned i = 0; i < count; i++) {
        int err;

        fprintf(m->out, "%c vCPU %u: ", i == m->vcpu ? '*' : ' ', i);
        err = ax_target_call(m->env.target, i, info_call, &info);
        if (err)
            return ax_monitor_fail_call(m, err);
    }
    return 0;
}

static int info_exits(struct ax_monitor *m)
{
    const unsigned count = ax_vm_vcpu_count(ax_monitor_vm(m));

    for (unsigned i = 0; i < count; i++) {
        const struct ax_vcpu *vcpu = ax_vm_vcpu(ax_monitor_vm(m), i);

        fprintf(m->out, "vCPU %u\n", i);
        for (unsigned kind = 0; kind < AX_EXIT_KINDS; kind++) {
            const uint64_t exits = ax_vcpu_exits(vcpu, (enum ax_exit_kind)kind);

            if (exits)
                fprintf(m->out, "  %-20s %12" PRIu64 "\n",
                        ax_exit_name((enum ax_exit_kind)kind), exits);
        }
    }
    return 0;
}

/* One address through the page tables. */
static int info_address(struct ax_monitor *m, const char *topic,
                        const char *text)
{
    char walk[sizeof("tlb 0x0123456789abcdef")];
    uint64_t va;
    int err;

    if (strcmp(topic, "tlb"))
        return ax_monitor_misused(m, "info", "%s takes no address", topic);
    err = ax_monitor_take_number(m, "info", text, &va);
    if (err)
        return err;
    snprintf(walk, sizeof(walk), "tlb 0x%" PRIx64, va);
    return info_topic(m, walk);
}

static const char *topic_find(const struct ax_gdb_ops *gdb, const char *name)
{
    for (const char *const *t = gdb->topics; *t; t++) {
        if (!strcmp(*t, name))
            return *t;
    }
    return NULL;
}

static void list_topics(struct ax_monitor *m)
{
    const struct ax_gdb_ops *gdb = ax_target_ops(m->env.target);

    fputs("Topics: exits, vcpus", m->out);
    for (const char *const *t = gdb->topics; *t; t++)
        fprintf(m->out, ", %s", *t);
    fputc('\n', m->out);
}

int ax_monitor_info(struct ax_monitor *m, unsigned count,
                    const char *const *words)
{
    const char *topic;

    if (count == 1) {
        list_topics(m);
        return 0;
    }
    if (count > 3)
        return ax_monitor_misused(m, "info", "'%.64s' is too much", words[3]);
    topic = topic_find(ax_target_ops(m->env.target), words[1]);
    if (topic)
        return count == 3 ? info_address(m, topic, words[2])
                          : info_topic(m, topic);
    if (count == 3)
        return ax_monitor_misused(m, "info", "'%.64s' is too much", words[2]);
    if (!strcmp(words[1], "exits"))
        return info_exits(m);
    if (!strcmp(words[1], "vcpus"))
        return info_vcpus(m);
    ax_monitor_fail(m, "info: there is no topic '%.64s'", words[1]);
    list_topics(m);
    return -EINVAL;
}
