/*
 * describe.c - a VM as JSON: one line of a list, everything, an event.
 */
#include "control/describe.h"

#include "devices/device.h"
#include "memory/memory.h"
#include "vcpu/vcpu.h"
#include "vmm/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

static const char *const cause_names[] = {
    [AX_VM_END_NONE] = "none",       [AX_VM_END_OFF] = "poweroff",
    [AX_VM_END_RESET] = "reset",     [AX_VM_END_CRASH] = "crash",
    [AX_VM_END_EXIT] = "exit",       [AX_VM_END_STOP] = "stop",
    [AX_VM_END_TIMEOUT] = "timeout", [AX_VM_END_FAIL] = "failure",
};

static const char *const space_names[AX_SPACES] = {
    [AX_SPACE_MMIO] = "mmio",
    [AX_SPACE_PORT] = "port",
    [AX_SPACE_SYSREG] = "sysreg",
};

static const char *const kind_names[] = {
    [AX_REGION_RAM] = "ram",
    [AX_REGION_ROM] = "rom",
};

static json_t *number(uint64_t val)
{
    return json_integer((json_int_t)val);
}

/* ---- the summary: AxVisor's columns ---- */

/* Whole units, rounded down, as AxVisor has them. */
static json_t *memory_text(uint64_t bytes)
{
    static const char *const units[] = {"B", "KB", "MB", "GB"};
    unsigned unit = 0;

    for (; bytes >= 1024 && unit + 1 < AX_ARRAY_LEN(units); unit++)
        bytes /= 1024;
    return json_sprintf("%" PRIu64 "%s", bytes, units[unit]);
}

/* "0,1,2" */
static json_t *vcpu_ids(unsigned count)
{
    char text[AX_CPUS_MAX * 3 + 1] = "";
    size_t len = 0;

    for (unsigned i = 0; i < count && i < AX_CPUS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u",
                                i ? "," : "", i);
    return json_string(text);
}

/* "Run:1,Blk:3" */
static json_t *vcpu_states(const struct ax_vm *vm)
{
    unsigned counts[AX_VCPU_STATES] = {0};
    char text[AX_VCPU_STATES * 16] = "";
    size_t len = 0;

    for (unsigned i = 0; i < ax_vm_vcpu_count(vm); i++)
        counts[ax_vcpu_state(ax_vm_vcpu(vm, i))]++;
    for (int s = 0; s < AX_VCPU_STATES; s++) {
        if (counts[s])
            len += (size_t)snprintf(
                text + len, sizeof(text) - len, "%s%s:%u", len ? "," : "",
                ax_vcpu_state_name((enum ax_vcpu_state)s), counts[s]);
    }
    return json_string(text);
}

json_t *ax_describe_summary(struct ax_vm *vm)
{
    const struct ax_config *conf = ax_vm_config(vm);
    const uint64_t memory = ax_vm_memory_size(vm);

    return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:b}", "id",
                     number(conf->id), "name", ax_json_text(conf->name),
                     "state", ax_vm_state_name(ax_vm_state(vm)), "vcpu",
                     vcpu_ids(conf->cpu_num), "memory", memory_text(memory),
                     "memory_bytes", number(memory), "vcpu_state",
                     vcpu_states(vm), "vcpus", number(conf->cpu_num), "kept",
                     (int)ax_vm_kept(vm));
}

/* ---- everything ---- */

static json_t *describe_vcpus(const struct ax_vm *vm)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < ax_vm_vcpu_count(vm); i++) {
        struct ax_vcpu *vcpu = ax_vm_vcpu(vm, i);
        uint64_t exits = 0;

        for (int kind = 0; kind < AX_EXIT_KINDS; kind++)
            exits += ax_vcpu_exits(vcpu, (enum ax_exit_kind)kind);
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:o}", "id", (int)i, "state",
                            ax_vcpu_state_name(ax_vcpu_state(vcpu)), "exits",
                            number(exits)));
    }
    return list;
}

static json_t *describe_regions(const struct ax_memory *mem)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < mem->count; i++) {
        const struct ax_region *r = &mem->regions[i];

        json_array_append_new(
            list, json_pack("{s:o, s:o, s:s}", "gpa", number(r->gpa), "size",
                            number(r->size), "kind", kind_names[r->kind]));
    }
    return list;
}

static json_t *describe_devices(const struct ax_vm *vm)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < ax_vm_device_count(vm); i++) {
        const struct ax_device *dev = ax_vm_device(vm, i);

        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o}", "type", dev->ops->type,
                            "space", space_names[dev->space], "base",
                            number(dev->base), "size", number(dev->ops->size)));
    }
    return list;
}

static json_t *describe_config(const struct ax_config *conf)
{
    json_t *json = NULL;
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return NULL;
    ax_config_dump(conf, to);
    if (!fclose(to))
        json = ax_json_text(text);
    free(text);
    return json;
}

/* Adds cause, and code where there is one. */
static int add_end(json_t *object, struct ax_vm_end end)
{
    int err = json_object_set_new(object, "cause",
                                  json_string(cause_names[end.cause]));

    if (!err && end.cause == AX_VM_END_EXIT)
        err = json_object_set_new(object, "code", number(end.code));
    return err;
}

static json_t *describe_end(struct ax_vm *vm)
{
    json_t *end = json_object();

    if (!end || !add_end(end, ax_vm_last_end(vm)))
        return end;
    json_decref(end);
    return NULL;
}

/* By the names that "console" takes, with their host ends. */
static json_t *describe_consoles(const struct ax_vm *vm)
{
    const struct ax_config *conf = ax_vm_config(vm);
    json_t *all = json_array();
    int err = all ? 0 : -1;

    for (unsigned i = 0; !err && ax_vm_console(vm, i); i++) {
        const char *mode = i ? conf->vconsoles[i - 1].conf.mode : conf->console;
        char name[AX_VM_CONSOLE_NAME];

        ax_vm_console_name(vm, i, name);
        err = json_array_append_new(all, json_pack("{s:o, s:o}", "name",
                                                   ax_json_text(name), "mode",
                                                   ax_json_text(mode)));
    }
    if (!err)
        return all;
    json_decref(all);
    return NULL;
}

json_t *ax_describe_all(struct ax_vm *vm)
{
    const struct ax_config *conf = ax_vm_config(vm);
    json_t *all = ax_describe_summary(vm);
    json_t *more =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "vcpus",
                  describe_vcpus(vm), "memory_regions",
                  describe_regions(ax_vm_memory(vm)), "devices",
                  describe_devices(vm), "what", ax_json_text(ax_vm_what(vm)),
                  "starts", number(ax_vm_starts(vm)), "end", describe_end(vm),
                  "console", ax_json_text(conf->console), "consoles",
                  describe_consoles(vm), "config", describe_config(conf));

    if (!all || !more || json_object_update(all, more)) {
        json_decref(all);
        all = NULL;
    }
    json_decref(more);
    return all;
}

/* ---- events ---- */

/* Seconds since 1970, to the millisecond. */
static double now(void)
{
    struct timespec t;
    long ms;

    clock_gettime(CLOCK_REALTIME, &t);
    ms = t.tv_nsec / 1000000;
    return (double)t.tv_sec + (double)ms / 1000;
}

json_t *ax_describe_event(enum ax_fleet_event_kind kind, struct ax_vm *vm)
{
    static const char *const names[] = {
        [AX_FLEET_CREATED] = "created",
        [AX_FLEET_STATE] = "state",
        [AX_FLEET_END] = "end",
        [AX_FLEET_DELETED] = "deleted",
    };
    const struct ax_config *conf = ax_vm_config(vm);
    json_t *event =
        json_pack("{s:s, s:o, s:o}", "event", names[kind], "id",
                  number(conf->id), "name", ax_json_text(conf->name));
    int err = event ? 0 : -1;

    if (!err && kind == AX_FLEET_STATE)
        err = json_object_set_new(
            event, "state", json_string(ax_vm_state_name(ax_vm_state(vm))));
    else if (!err && kind == AX_FLEET_END)
        err = add_end(event, ax_vm_end(vm));
    if (!err)
        err = json_object_set_new(event, "time", json_real(now()));
    if (!err)
        return event;
    json_decref(event);
    return NULL;
}
