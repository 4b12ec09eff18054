/*
 * pci_host.c - a PCI host bridge as three models: the two ports by which a
 * guest asks for configuration space (PCI Local Bus 3.0, 3.2.2.3.2), and the
 * windows in which functions have their pages and ports. The bus is env.pci.
 */
#include "devices/device.h"
#include "devices/pci.h"
#include "devices/registry.h"
#include "devices/reset_control.h"

/* ---- ports 0xcf8 to 0xcff ---- */

enum { HOST_ADDRESS = 0, HOST_RESET = 1, HOST_DATA = 4, HOST_SIZE = 8 };

#define ADDRESS_ENABLE (1U << 31)
#define ADDRESS_BITS   0x80fffffcU

struct pci_host {
    struct ax_device dev;
    uint32_t address;
    uint8_t reset_control; /* at 0xcf9, by bytes */
};

static struct pci_host *to_host(struct ax_device *dev)
{
    return ax_container_of(dev, struct pci_host, dev);
}

static uint32_t host_target(const struct pci_host *host, uint64_t off)
{
    return (host->address & ~ADDRESS_ENABLE) | (uint32_t)(off - HOST_DATA);
}

static uint64_t host_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct pci_host *host = to_host(dev);

    if (off == HOST_ADDRESS && width == 4)
        return host->address;
    if (off == HOST_RESET && width == 1)
        return host->reset_control;
    if (off >= HOST_DATA && host->address & ADDRESS_ENABLE)
        return ax_pci_config_read(dev->env.pci, host_target(host, off), width);
    return UINT64_MAX; /* cut to width by the bus */
}

static void host_write(struct ax_device *dev, uint64_t off, unsigned width,
                       uint64_t val)
{
    struct pci_host *host = to_host(dev);

    if (off == HOST_ADDRESS && width == 4)
        host->address = (uint32_t)val & ADDRESS_BITS;
    else if (off == HOST_RESET && width == 1)
        ax_reset_control_write(&host->reset_control, (uint8_t)val,
                               &dev->env.power);
    else if (off >= HOST_DATA && host->address & ADDRESS_ENABLE)
        ax_pci_config_write(dev->env.pci, host_target(host, off), width,
                            (uint32_t)val);
}

static void host_reset(struct ax_device *dev)
{
    to_host(dev)->address = 0;
    to_host(dev)->reset_control = 0;
}

const struct ax_device_ops ax_pci_host = {
    .type = "pci_host",
    .state = sizeof(struct pci_host),
    .size = HOST_SIZE,
    .widths = AX_WIDTH_1 | AX_WIDTH_2 | AX_WIDTH_4,
    .read = host_read,
    .write = host_write,
    .reset = host_reset,
};

/* ---- the windows ---- */

static uint64_t mem_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct ax_pci_function *f = dev->env.pci->slots[off / AX_PCI_PAGE];
    const uint64_t in_page = off % AX_PCI_PAGE;
    uint64_t val = UINT64_MAX;

    if (f && in_page + width <= AX_PCI_PAGE) {
        pthread_mutex_lock(&f->dev->lock);
        val = f->ops->read(f, in_page, width);
        pthread_mutex_unlock(&f->dev->lock);
    }
    return val;
}

static void mem_write(struct ax_device *dev, uint64_t off, unsigned width,
                      uint64_t val)
{
    struct ax_pci_function *f = dev->env.pci->slots[off / AX_PCI_PAGE];
    const uint64_t in_page = off % AX_PCI_PAGE;

    if (!f || in_page + width > AX_PCI_PAGE)
        return;
    pthread_mutex_lock(&f->dev->lock);
    f->ops->write(f, in_page, width, val);
    pthread_mutex_unlock(&f->dev->lock);
}

const struct ax_device_ops ax_pci_mem = {
    .type = "pci_mem",
    .state = sizeof(struct ax_device),
    .size = AX_PCI_SLOTS * AX_PCI_PAGE,
    .widths = AX_WIDTH_1 | AX_WIDTH_2 | AX_WIDTH_4 | AX_WIDTH_8,
    .read = mem_read,
    .write = mem_write,
};

static uint64_t io_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    return 0;
}

static void io_write(struct ax_device *dev, uint64_t off, unsigned width,
                     uint64_t val)
{
    struct ax_pci_function *f = dev->env.pci->slots[off / AX_PCI_PORTS];

    if (!f || off % AX_PCI_PORTS + width > AX_PCI_PORTS)
        return;
    pthread_mutex_lock(&f->dev->lock);
    f->ops->out(f, off % AX_PCI_PORTS, width, val);
    pthread_mutex_unlock(&f->dev->lock);
}

const struct ax_device_ops ax_pci_io = {
    .type = "pci_io",
    .state = sizeof(struct ax_device),
    .size = AX_PCI_SLOTS * AX_PCI_PORTS,
    .widths = AX_WIDTH_1 | AX_WIDTH_2 | AX_WIDTH_4,
    .read = io_read,
    .write = io_write,
};
