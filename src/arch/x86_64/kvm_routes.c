/*
 * kvm_routes.c - KVM's table of interrupt routes (KVM API, 4.52): what a GSI
 * is. There is one for all of a VM, which each change writes anew.
 */
#include "arch/x86_64/kvm_arch.h"

#include <errno.h>
#include <stdlib.h>

enum {
    PICS = 2,
    PIC_PINS = 8,
    IOAPIC = 2,
    ENTRIES = AX_KVM_ROUTES + PICS * PIC_PINS,
};

static struct kvm_irq_routing_entry *route_add(struct kvm_irq_routing *table,
                                               unsigned gsi, unsigned type)
{
    struct kvm_irq_routing_entry *e = &table->entries[table->nr++];

    e->gsi = gsi;
    e->type = type;
    return e;
}

/* What KVM_CREATE_IRQCHIP has made, of which a table of ours takes the place.
 */
static void routes_add_irqchip(struct kvm_irq_routing *table)
{
    struct kvm_irq_routing_entry *e;

    for (unsigned pin = 0; pin < PICS * PIC_PINS; pin++) {
        e = route_add(table, pin, KVM_IRQ_ROUTING_IRQCHIP);
        e->u.irqchip.irqchip = pin / PIC_PINS;
        e->u.irqchip.pin = pin % PIC_PINS;
    }
    for (unsigned pin = 0; pin < AX_KVM_IOAPIC_PINS; pin++) {
        e = route_add(table, pin, KVM_IRQ_ROUTING_IRQCHIP);
        e->u.irqchip.irqchip = IOAPIC;
        e->u.irqchip.pin = pin;
    }
}

static int routes_write(struct ax_engine_vm *vm)
{
    const struct arch_vm *arch = vm->arch;
    struct kvm_irq_routing *table =
        calloc(1, sizeof(*table) + ENTRIES * sizeof(table->entries[0]));
    int err;

    if (!table)
        return -ENOMEM;
    if (vm->irqchip == AX_IRQCHIP_KERNEL)
        routes_add_irqchip(table);
    for (unsigned gsi = 0; gsi < AX_KVM_ROUTES; gsi++) {
        struct kvm_irq_routing_entry *e;

        if (!arch->routes[gsi].used)
            continue;
        e = route_add(table, gsi, KVM_IRQ_ROUTING_MSI);
        e->u.msi.address_lo = (uint32_t)arch->routes[gsi].address;
        e->u.msi.address_hi = (uint32_t)(arch->routes[gsi].address >> 32);
        e->u.msi.data = arch->routes[gsi].data;
    }
    err = ax_kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, (uintptr_t)table);
    free(table);
    return err;
}

int ax_kvm_arch_msi_route(struct ax_engine_vm *vm, unsigned pin,
                          uint64_t address, uint32_t data, bool masked)
{
    struct arch_vm *arch = vm->arch;
    int err;

    if (vm->irqchip != AX_IRQCHIP_SPLIT || pin >= AX_KVM_IOAPIC_PINS)
        return -EINVAL;
    pthread_mutex_lock(&arch->lock);
    arch->routes[pin].used = !masked;
    arch->routes[pin].address = address;
    arch->routes[pin].data = data;
    err = routes_write(vm);
    pthread_mutex_unlock(&arch->lock);
    return err;
}

/* ---- messages by eventfd ---- */

static unsigned event_find(const struct arch_vm *arch, bool used, int fd)
{
    unsigned gsi = AX_KVM_IOAPIC_PINS;

    while (gsi < AX_KVM_ROUTES && (arch->routes[gsi].used != used ||
                                   (used && arch->routes[gsi].fd != fd)))
        gsi++;
    return gsi;
}

static int event_on(struct ax_engine_vm *vm, uint64_t address, uint32_t data,
                    int fd)
{
    struct arch_vm *arch = vm->arch;
    const unsigned gsi = event_find(arch, false, fd);
    int err;

    if (gsi == AX_KVM_ROUTES)
        return -ENOSPC;
    arch->routes[gsi].used = true;
    arch->routes[gsi].address = address;
    arch->routes[gsi].data = data;
    arch->routes[gsi].fd = fd;
    err = routes_write(vm);
    if (!err)
        err = ax_kvm_irqfd(vm, gsi, fd, true);
    if (err)
        arch->routes[gsi].used = false;
    return err;
}

/* Its route goes with the next change: nothing signals it any more. */
static int event_off(struct ax_engine_vm *vm, int fd)
{
    struct arch_vm *arch = vm->arch;
    const unsigned gsi = event_find(arch, true, fd);

    if (gsi == AX_KVM_ROUTES)
        return -ENOENT;
    arch->routes[gsi].used = false;
    return ax_kvm_irqfd(vm, gsi, fd, false);
}

int ax_kvm_arch_msi_event(struct ax_engine_vm *vm, uint64_t address,
                          uint32_t data, int fd, bool on)
{
    struct arch_vm *arch = vm->arch;
    int err;

    if (vm->irqchip == AX_IRQCHIP_NONE)
        return -EINVAL;
    pthread_mutex_lock(&arch->lock);
    err = on ? event_on(vm, address, data, fd) : event_off(vm, fd);
    pthread_mutex_unlock(&arch->lock);
    return err;
}
