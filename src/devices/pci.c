/*
 * pci.c - configuration space of PCI functions and how it is reached.
 */
#include "devices/pci.h"

#include "devices/device.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

enum { CAPABILITIES = 0x40 }; /* behind the header */

/* ---- a function ---- */

uint32_t ax_pci_get(const struct ax_pci_function *f, unsigned off,
                    unsigned width)
{
    uint32_t val = 0;

    for (unsigned i = 0; i < width; i++)
        val |= (uint32_t)f->config[off + i] << 8 * i;
    return val;
}

void ax_pci_set(struct ax_pci_function *f, unsigned off, unsigned width,
                uint32_t val)
{
    for (unsigned i = 0; i < width; i++)
        f->config[off + i] = (uint8_t)(val >> 8 * i);
}

void ax_pci_allow(struct ax_pci_function *f, unsigned off, unsigned width,
                  uint32_t bits)
{
    for (unsigned i = 0; i < width; i++)
        f->writable[off + i] = (uint8_t)(bits >> 8 * i);
}

void ax_pci_function_init(struct ax_pci_function *f, struct ax_device *dev,
                          const struct ax_pci_ops *ops,
                          const struct ax_pci_identity *id)
{
    memset(f, 0, sizeof(*f));
    f->dev = dev;
    f->ops = ops;
    f->cap_end = CAPABILITIES;
    ax_pci_set(f, PCI_VENDOR_ID, 2, id->vendor);
    ax_pci_set(f, PCI_DEVICE_ID, 2, id->device);
    ax_pci_set(f, PCI_REVISION_ID, 1, id->revision);
    ax_pci_set(f, PCI_CLASS_PROG, 3, id->class_code);
    ax_pci_set(f, PCI_SUBSYSTEM_VENDOR_ID, 2, id->subsystem_vendor);
    ax_pci_set(f, PCI_SUBSYSTEM_ID, 2, id->subsystem);
    ax_pci_allow(f, PCI_COMMAND, 2,
                 PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                     PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
                     PCI_COMMAND_INTX_DISABLE);
    ax_pci_allow(f, PCI_CACHE_LINE_SIZE, 2, 0xffff); /* and the latency timer */
    ax_pci_allow(f, PCI_INTERRUPT_LINE, 1, 0xff);
}

void ax_pci_set_bar(struct ax_pci_function *f, unsigned bar,
                    enum ax_space space, uint64_t addr, uint32_t size)
{
    const unsigned off = PCI_BASE_ADDRESS_0 + 4 * bar;
    const bool port = space == AX_SPACE_PORT;

    ax_pci_set(f, off, 4, (uint32_t)addr | (port ? PCI_BASE_ADDRESS_SPACE : 0));
    ax_pci_allow(f, off, 4, ~(size - 1));
    ax_pci_set(f, PCI_COMMAND, 2,
               ax_pci_get(f, PCI_COMMAND, 2) |
                   (port ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY));
}

unsigned ax_pci_add_capability(struct ax_pci_function *f, uint8_t id,
                               unsigned size)
{
    const unsigned at = f->cap_end;

    ax_pci_set(f, at, 1, id);
    ax_pci_set(f, f->cap_last ? f->cap_last + 1 : PCI_CAPABILITY_LIST, 1, at);
    ax_pci_set(f, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
    f->cap_last = at;
    f->cap_end = (unsigned)ax_align_up(at + size, 4);
    return at;
}

/* ---- a bus ---- */

int ax_pci_attach(struct ax_pci *pci, unsigned slot, struct ax_pci_function *f)
{
    if (!slot || slot >= AX_PCI_SLOTS)
        return -EINVAL;
    if (pci->slots[slot])
        return -EEXIST;
    pci->slots[slot] = f;
    return 0;
}

void ax_pci_detach(struct ax_pci *pci, unsigned slot)
{
    pci->slots[slot] = NULL;
}

/* A bridge that needs no driver; Linux wants one to trust the bus. */
static uint32_t bridge_read(unsigned off)
{
    switch (off) {
    case PCI_VENDOR_ID: /* "QEMU PCIe Host bridge", which is any such bridge */
        return 0x1b36U | 0x0008U << 16;
    case PCI_CLASS_REVISION:
        return 0x060000U << 8;
    default:
        return 0;
    }
}

/* The function that an address means, NULL if none is there. */
static struct ax_pci_function *pci_find(const struct ax_pci *pci,
                                        uint32_t address)
{
    /* Bus 0, function 0 of each device. */
    return address & 0xff0700 ? NULL : pci->slots[address >> 11 & 31];
}

uint32_t ax_pci_config_read(const struct ax_pci *pci, uint32_t address,
                            unsigned width)
{
    struct ax_pci_function *f = pci_find(pci, address);
    const unsigned off = address & 0xff;
    uint32_t val = UINT32_MAX;

    if (f) {
        pthread_mutex_lock(&f->dev->lock);
        if (f->ops->config_read)
            f->ops->config_read(f, off, width);
        val = ax_pci_get(f, off, width);
        pthread_mutex_unlock(&f->dev->lock);
    } else if (!(address & 0xffff00)) {
        val = bridge_read(off & ~3U) >> 8 * (off & 3);
    }
    return width == 4 ? val : val & ((1U << 8 * width) - 1);
}

void ax_pci_config_write(struct ax_pci *pci, uint32_t address, unsigned width,
                         uint32_t val)
{
    struct ax_pci_function *f = pci_find(pci, address);
    const unsigned off = address & 0xff;

    if (!f)
        return;
    pthread_mutex_lock(&f->dev->lock);
    for (unsigned i = 0; i < width; i++) {
        const uint8_t bits = f->writable[off + i];
        uint8_t *byte = &f->config[off + i];

        *byte = (uint8_t)((*byte & ~bits) | (val >> 8 * i & bits));
    }
    if (f->ops->config_written)
        f->ops->config_written(f, off, width);
    pthread_mutex_unlock(&f->dev->lock);
}
