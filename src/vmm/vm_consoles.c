/*
 * vm_consoles.c - the consoles of a VM: the serial line's and those of its
 * virtio ports. They are older than what is built for a start, and outlive it.
 * Loop thread.
 */
#include "vmm/vm_parts.h"

#include "devices/console.h"
#include "devices/device.h"

#include <stdio.h>
#include <string.h>

/* ---- what they tell ---- */

static void vm_serial_input(void *ctx)
{
    struct ax_vm *vm = ctx;

    for (unsigned i = 0; i < vm->device_count; i++) {
        if (vm->devices[i]->env.console)
            ax_device_poll(vm->devices[i]);
    }
}

/* What is in the memory of a VM that has stopped is nobody's any more. */
static void vm_port_news(void *ctx)
{
    struct ax_vm *vm = ctx;

    for (unsigned i = 0; vm->state != AX_VM_STOPPED && i < vm->device_count;
         i++) {
        if (vm->devices[i]->env.console_count)
            ax_device_poll(vm->devices[i]);
    }
}

static void vm_console_escape(void *ctx, int key)
{
    struct ax_vm *vm = ctx;

    if (vm->env.escape)
        vm->env.escape(vm->env.ctx, vm, key);
}

/* ---- life ---- */

/* A console that is there already keeps its host end. */
static int vm_open_console(struct ax_vm *vm, const char *spec, bool port,
                           struct ax_console **console)
{
    const struct ax_console_events events = {
        .input = port ? vm_port_news : vm_serial_input,
        .room = port ? vm_port_news : NULL,
        .resized = port ? vm_port_news : NULL,
        .escape = vm_console_escape,
        .ctx = vm,
    };
    int err = 0;

    if (!*console)
        err = ax_console_create(vm->env.loop, vm->log, spec,
                                vm->env.conf->escapes, console);
    if (!err)
        ax_console_listen(*console, &events);
    return err;
}

int ax_vm_build_consoles(struct ax_vm *vm)
{
    const struct ax_config *conf = vm->env.conf;
    int err = vm_open_console(vm, conf->console, false, &vm->console);

    /* The configuration has no more of them: see config_virtio.c. */
    vm->port_count = 0;
    for (unsigned i = 0; !err && i < conf->vconsole_count; i++) {
        const struct ax_vconsole_conf *port = &conf->vconsoles[i].conf;

        if (i == AX_VCONSOLE_PORTS)
            break;
        vm->port_confs[i] = *port;
        err = vm_open_console(vm, port->mode, true, &vm->ports[i]);
        vm->port_count += !err;
    }
    return err;
}

void ax_vm_destroy_consoles(struct ax_vm *vm)
{
    ax_console_destroy(vm->console);
    for (unsigned i = 0; i < AX_VCONSOLE_PORTS; i++)
        ax_console_destroy(vm->ports[i]);
}

/* ---- the end ---- */

static void vm_console_drained(void *ctx, bool all)
{
    struct ax_vm *vm = ctx;

    vm->drained_all &= all;
    if (!--vm->drains)
        vm->drained(vm, vm->drained_all);
}

void ax_vm_drain_consoles(struct ax_vm *vm, unsigned timeout_ms,
                          void (*done)(struct ax_vm *vm, bool all))
{
    vm->drains = vm->port_count + 1;
    vm->drained_all = true;
    vm->drained = done;
    vm_port_news(vm); /* the last output may still be in the guest's queues */
    for (unsigned i = 0; i < vm->port_count; i++)
        ax_console_drain(vm->ports[i], timeout_ms, vm_console_drained, vm);
    /* Last: the VM may be gone when it returns. */
    ax_console_drain(vm->console, timeout_ms, vm_console_drained, vm);
}

/* ---- looking at them ---- */

struct ax_console *ax_vm_console(const struct ax_vm *vm, unsigned index)
{
    if (!index)
        return vm->console;
    return index <= vm->port_count ? vm->ports[index - 1] : NULL;
}

/* The model has it so: port 0 is a console, and others without a name are. */
static bool is_hvc(const struct ax_vm *vm, unsigned port)
{
    return !port || !vm->port_confs[port].name;
}

void ax_vm_console_name(const struct ax_vm *vm, unsigned index,
                        char name[AX_VM_CONSOLE_NAME])
{
    unsigned hvc = 0;

    for (unsigned port = 0; port + 1 < index; port++)
        hvc += is_hvc(vm, port);
    if (!index)
        snprintf(name, AX_VM_CONSOLE_NAME, "serial");
    else if (is_hvc(vm, index - 1))
        snprintf(name, AX_VM_CONSOLE_NAME, "hvc%u", hvc);
    else
        snprintf(name, AX_VM_CONSOLE_NAME, "%s",
                 vm->port_confs[index - 1].name);
}

struct ax_console *ax_vm_find_console(const struct ax_vm *vm, const char *name)
{
    char own[AX_VM_CONSOLE_NAME];

    for (unsigned i = 0; i <= vm->port_count; i++) {
        ax_vm_console_name(vm, i, own);
        if (!strcmp(own, name))
            return ax_vm_console(vm, i);
    }
    for (unsigned i = 0; i < vm->port_count; i++) {
        if (vm->port_confs[i].name && !strcmp(vm->port_confs[i].name, name))
            return vm->ports[i];
    }
    return NULL;
}
