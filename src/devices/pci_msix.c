/*
 * pci_msix.c - tables of vectors, their masks, and who sends the messages.
 */
#include "devices/pci_msix.h"

#include "devices/device.h"
#include "devices/pci.h"
#include "log.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    ENTRY = PCI_MSIX_ENTRY_SIZE,
    CONTROL = PCI_MSIX_FLAGS + 1, /* its upper byte has the bits of the guest */
    ADDRESS_LOW = PCI_MSIX_ENTRY_LOWER_ADDR,
    ADDRESS_HIGH = PCI_MSIX_ENTRY_UPPER_ADDR,
    DATA = PCI_MSIX_ENTRY_DATA,
    VECTOR_CONTROL = PCI_MSIX_ENTRY_VECTOR_CTRL,
};

static const struct ax_device_env *env_of(const struct ax_msix *m)
{
    return &m->f->dev->env;
}

static unsigned control(const struct ax_msix *m)
{
    return ax_pci_get(m->f, m->cap + PCI_MSIX_FLAGS, 2);
}

bool ax_msix_enabled(const struct ax_msix *m)
{
    return control(m) & PCI_MSIX_FLAGS_ENABLE;
}

static bool may_send(const struct ax_msix *m, const struct ax_msix_vector *v)
{
    return (control(m) & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)) ==
               PCI_MSIX_FLAGS_ENABLE &&
           !v->masked;
}

static void disarm(const struct ax_msix *m, struct ax_msix_vector *v)
{
    if (v->armed)
        ax_fast_msi_event(&env_of(m)->fast, v->armed_address, v->armed_data,
                          v->event, false);
    v->armed = false;
}

/*
 * The event's message is as the table has it now. While the vector is masked
 * the engine does not listen, and the event itself keeps what comes: an engine
 * that begins to listen finds it.
 */
static void rearm(const struct ax_msix *m, struct ax_msix_vector *v)
{
    const struct ax_device *dev = m->f->dev;
    const bool wanted = v->event >= 0 && may_send(m, v);
    int err;

    if (v->armed && wanted && v->armed_address == v->address &&
        v->armed_data == v->data)
        return;
    disarm(m, v);
    if (!wanted)
        return;
    err =
        ax_fast_msi_event(&dev->env.fast, v->address, v->data, v->event, true);
    if (err) {
        ax_log_guest(dev->env.log, AX_LOG_WARN,
                     "%s: an interrupt has no way into the engine: %s",
                     dev->ops->type, strerror(-err));
        return;
    }
    v->armed = true;
    v->armed_address = v->address;
    v->armed_data = v->data;
}

/* After a change of the vector, or of the masks above it. */
static void vector_changed(const struct ax_msix *m, struct ax_msix_vector *v)
{
    const struct ax_apic_bus *apic = &env_of(m)->apic;

    rearm(m, v);
    if (!v->pending || !may_send(m, v))
        return;
    v->pending = false;
    apic->send(apic->ctx, v->address, v->data);
}

void ax_msix_raise(struct ax_msix *m, unsigned vector)
{
    const struct ax_apic_bus *apic = &env_of(m)->apic;
    struct ax_msix_vector *v;

    if (vector >= m->count || !ax_msix_enabled(m))
        return;
    v = &m->vectors[vector];
    if (may_send(m, v))
        apic->send(apic->ctx, v->address, v->data);
    else
        v->pending = true;
}

int ax_msix_event(struct ax_msix *m, unsigned vector)
{
    struct ax_msix_vector *v;

    if (!env_of(m)->fast.msi_event)
        return -EOPNOTSUPP;
    if (vector >= m->count)
        return -EINVAL;
    v = &m->vectors[vector];
    if (v->event < 0) {
        v->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (v->event < 0)
            return -errno;
        rearm(m, v);
    }
    if (may_send(m, v) && !v->armed)
        return -ENOSPC;
    return v->event;
}

/* ---- life ---- */

void ax_msix_init(struct ax_msix *m, struct ax_pci_function *f, unsigned count,
                  unsigned bar, uint32_t table, uint32_t pba)
{
    m->f = f;
    m->count = count;
    m->cap = ax_pci_add_capability(f, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
    ax_pci_set(f, m->cap + PCI_MSIX_FLAGS, 2, count - 1);
    ax_pci_allow(f, m->cap + PCI_MSIX_FLAGS, 2,
                 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    ax_pci_set(f, m->cap + PCI_MSIX_TABLE, 4, table | bar);
    ax_pci_set(f, m->cap + PCI_MSIX_PBA, 4, pba | bar);
    for (unsigned i = 0; i < AX_MSIX_VECTORS; i++)
        m->vectors[i] = (struct ax_msix_vector){.masked = true, .event = -1};
}

void ax_msix_reset(struct ax_msix *m)
{
    ax_pci_set(m->f, m->cap + CONTROL, 1, 0);
    for (unsigned i = 0; i < m->count; i++) {
        struct ax_msix_vector *v = &m->vectors[i];

        disarm(m, v);
        if (v->event >= 0)
            close(v->event);
        *v = (struct ax_msix_vector){.masked = true, .event = -1};
    }
}

void ax_msix_fini(struct ax_msix *m)
{
    ax_msix_reset(m);
}

/* ---- what the guest sees ---- */

void ax_msix_config_written(struct ax_msix *m, unsigned off, unsigned width)
{
    if (!ax_range_overlaps(off, width, m->cap + CONTROL, 1))
        return;
    for (unsigned i = 0; i < m->count; i++)
        vector_changed(m, &m->vectors[i]);
}

static uint32_t vector_read(const struct ax_msix_vector *v, unsigned field)
{
    switch (field) {
    case ADDRESS_LOW:
        return (uint32_t)v->address;
    case ADDRESS_HIGH:
        return (uint32_t)(v->address >> 32);
    case DATA:
        return v->data;
    default:
        return v->masked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0;
    }
}

static bool is_wrong(uint64_t off, unsigned width)
{
    return width < 4 || off % width;
}

uint64_t ax_msix_read(const struct ax_msix *m, uint64_t off, unsigned width)
{
    const unsigned field = off % ENTRY;
    const struct ax_msix_vector *v;

    if (is_wrong(off, width) || off / ENTRY >= m->count)
        return 0;
    v = &m->vectors[off / ENTRY];
    return vector_read(v, field) |
           (width == 8 ? (uint64_t)vector_read(v, field + 4) << 32 : 0);
}

static void vector_write(struct ax_msix_vector *v, unsigned field, uint32_t val)
{
    switch (field) {
    case ADDRESS_LOW: /* of a dword, which is what it writes */
        v->address = (v->address & ~0xffffffffULL) | (val & ~3U);
        break;
    case ADDRESS_HIGH:
        v->address = (uint32_t)v->address | (uint64_t)val << 32;
        break;
    case DATA:
        v->data = val;
        break;
    default:
        v->masked = val & PCI_MSIX_ENTRY_CTRL_MASKBIT;
        break;
    }
}

void ax_msix_write(struct ax_msix *m, uint64_t off, unsigned width,
                   uint64_t val)
{
    const unsigned field = off % ENTRY;
    struct ax_msix_vector *v;

    if (is_wrong(off, width) || off / ENTRY >= m->count)
        return;
    v = &m->vectors[off / ENTRY];
    vector_write(v, field, (uint32_t)val);
    if (width == 8)
        vector_write(v, field + 4, (uint32_t)(val >> 32));
    vector_changed(m, v);
}

uint64_t ax_msix_pending(const struct ax_msix *m, uint64_t off, unsigned width)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < m->count; i++)
        bits |= (uint64_t)m->vectors[i].pending << i;
    if (is_wrong(off, width) || off >= 8)
        return 0;
    bits >>= 8 * off;
    return width == 8 ? bits : (uint32_t)bits;
}
