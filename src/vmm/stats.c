/*
 * stats.c - one collection, two ways to print it.
 */
#include "vmm/stats.h"

#include "devices/bus.h"
#include "devices/device.h"
#include "vcpu/vcpu.h"
#include "vmm/json.h"
#include "vmm/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

static const char *const space_names[AX_SPACES] = {
    [AX_SPACE_MMIO] = "mmio",
    [AX_SPACE_PORT] = "port",
    [AX_SPACE_SYSREG] = "sysreg",
};

struct step {
    const char *name; /* key in JSON */
    const char *what;
    uint64_t ns;
};

enum { STEPS = 6 };

static void stats_steps(const struct ax_vm *vm, struct step steps[STEPS])
{
    const struct ax_vm_times t = ax_vm_times(vm);

    steps[0] = (struct step){"configured", "configuration valid", t.created};
    steps[1] = (struct step){"engine", "engine ready", t.engine_ready};
    steps[2] = (struct step){"loaded", "images loaded", t.loaded};
    steps[3] = (struct step){"first_run", "first guest entry", t.first_run};
    steps[4] = (struct step){"first_exit", "first exit", t.first_exit};
    steps[5] =
        (struct step){"first_byte", "console's first byte", t.first_byte};
}

static uint64_t stats_exits(const struct ax_vm *vm, enum ax_exit_kind kind)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < ax_vm_vcpu_count(vm); i++)
        sum += ax_vcpu_exits(ax_vm_vcpu(vm, i), kind);
    return sum;
}

static void device_counts(struct ax_device *dev, uint64_t *reads,
                          uint64_t *writes)
{
    pthread_mutex_lock(&dev->lock);
    *reads = dev->reads;
    *writes = dev->writes;
    pthread_mutex_unlock(&dev->lock);
}

static void print_devices(const struct ax_bus *bus, FILE *to)
{
    for (unsigned i = 0; i < bus->count; i++) {
        struct ax_device *dev = bus->ranges[i].dev;
        uint64_t reads, writes;

        device_counts(dev, &reads, &writes);
        if (reads || writes)
            fprintf(to, "  %-20s %12" PRIu64 " %12" PRIu64 "\n", dev->ops->type,
                    reads, writes);
    }
    if (bus->unclaimed_reads || bus->unclaimed_writes)
        fprintf(to, "  unclaimed %-10s %12llu %12llu\n",
                space_names[bus->space], bus->unclaimed_reads,
                bus->unclaimed_writes);
}

void ax_stats_print(struct ax_vm *vm, uint64_t start_ns, FILE *to)
{
    struct step steps[STEPS];
    uint64_t last = start_ns;

    fprintf(to, "VM %s: %s; vCPUs", ax_vm_config(vm)->name,
            ax_vm_state_name(ax_vm_state(vm)));
    for (unsigned i = 0; i < ax_vm_vcpu_count(vm); i++)
        fprintf(to, " %u:%s", i,
                ax_vcpu_state_name(ax_vcpu_state(ax_vm_vcpu(vm, i))));
    fprintf(to, "\nexits\n");
    for (int kind = 0; kind < AX_EXIT_KINDS; kind++) {
        uint64_t count = stats_exits(vm, (enum ax_exit_kind)kind);

        if (count)
            fprintf(to, "  %-20s %12" PRIu64 "\n",
                    ax_exit_name((enum ax_exit_kind)kind), count);
    }
    fprintf(to, "accesses                    reads       writes\n");
    for (int space = 0; space < AX_SPACES; space++)
        print_devices(ax_vm_bus(vm, (enum ax_space)space), to);
    fprintf(to, "boot timeline           ms since start        step\n");
    stats_steps(vm, steps);
    for (int i = 0; i < STEPS; i++) {
        if (!steps[i].ns)
            continue;
        fprintf(to, "  %-20s %14.3f %12.3f\n", steps[i].what,
                (double)(int64_t)(steps[i].ns - start_ns) / 1e6,
                (double)(int64_t)(steps[i].ns - last) / 1e6);
        last = steps[i].ns;
    }
}

static json_t *json_devices(const struct ax_bus *bus)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < bus->count; i++) {
        struct ax_device *dev = bus->ranges[i].dev;
        uint64_t reads, writes;

        device_counts(dev, &reads, &writes);
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:I}", "type", dev->ops->type,
                            "base", (json_int_t)dev->base, "reads",
                            (json_int_t)reads, "writes", (json_int_t)writes));
    }
    return list;
}

static json_t *json_timeline(const struct ax_vm *vm, uint64_t start_ns)
{
    json_t *timeline = json_object();
    struct step steps[STEPS];

    stats_steps(vm, steps);
    for (int i = 0; i < STEPS; i++) {
        if (steps[i].ns)
            json_object_set_new(
                timeline, steps[i].name,
                json_real((double)(int64_t)(steps[i].ns - start_ns) / 1e6));
    }
    return timeline;
}

static json_t *json_vcpus(const struct ax_vm *vm)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < ax_vm_vcpu_count(vm); i++)
        json_array_append_new(
            list,
            json_pack("{s:i, s:s}", "id", (int)i, "state",
                      ax_vcpu_state_name(ax_vcpu_state(ax_vm_vcpu(vm, i)))));
    return list;
}

int ax_stats_json(struct ax_vm *vm, uint64_t start_ns, json_t **out)
{
    json_t *exits = json_object();
    json_t *accesses = json_object();

    for (int kind = 0; kind < AX_EXIT_KINDS; kind++)
        json_object_set_new(
            exits, ax_exit_name((enum ax_exit_kind)kind),
            json_integer((json_int_t)stats_exits(vm, (enum ax_exit_kind)kind)));
    for (int space = 0; space < AX_SPACES; space++) {
        const struct ax_bus *bus = ax_vm_bus(vm, (enum ax_space)space);

        json_object_set_new(
            accesses, space_names[space],
            json_pack("{s:o, s:I, s:I}", "devices", json_devices(bus),
                      "unclaimed_reads", (json_int_t)bus->unclaimed_reads,
                      "unclaimed_writes", (json_int_t)bus->unclaimed_writes));
    }
    *out = json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "vm",
                     ax_json_text(ax_vm_config(vm)->name), "state",
                     ax_vm_state_name(ax_vm_state(vm)), "booted",
                     ax_json_text(ax_vm_what(vm)), "vcpus", json_vcpus(vm),
                     "exits", exits, "accesses", accesses, "timeline_ms",
                     json_timeline(vm, start_ns));
    return *out ? 0 : -ENOMEM;
}

int ax_stats_print_json(struct ax_vm *vm, uint64_t start_ns, FILE *to)
{
    json_t *root;
    int err = ax_stats_json(vm, start_ns, &root);

    if (err)
        return err;
    errno = EIO; /* where the library does not say */
    err = json_dumpf(root, to, JSON_INDENT(2)) || fputc('\n', to) == EOF ||
                  fflush(to)
              ? -errno
              : 0;
    json_decref(root);
    return err;
}
