/*
 * pci.h - one PCI bus: functions with their configuration space, and the
 * windows of a host bridge through which a guest reaches them (PCI Local Bus
 * 3.0, sections 3.2.2.3.2, 6.1, 6.2 and 6.7).
 *
 * Functions stand where the board puts them. A guest can size their BARs and
 * reads back what it writes there, but nothing moves, and everything answers
 * whatever the command register says. Interrupts are MSI-X alone
 * (pci_msix.h).
 */
#ifndef AX_DEVICES_PCI_H
#define AX_DEVICES_PCI_H

#include "base.h"

struct ax_device;
struct ax_pci_function;

enum {
    AX_PCI_SLOTS = 32,   /* of a bus; the bridge has number 0 */
    AX_PCI_CONFIG = 256, /* bytes of configuration space */
    AX_PCI_PAGE = 4096,  /* of each slot in the bridge's memory window */
    AX_PCI_PORTS = 4,    /* of each slot in its port window */
};

/* All with the lock of the function's device held. */
struct ax_pci_ops {
    /* The guest is about to read, or has written, these bytes of config. May be
     * NULL. */
    void (*config_read)(struct ax_pci_function *f, unsigned off,
                        unsigned width);
    void (*config_written)(struct ax_pci_function *f, unsigned off,
                           unsigned width);

    /* Its page: off + width <= AX_PCI_PAGE, width is 1, 2, 4 or 8. */
    uint64_t (*read)(struct ax_pci_function *f, uint64_t off, unsigned width);
    void (*write)(struct ax_pci_function *f, uint64_t off, unsigned width,
                  uint64_t val);

    /* A write to its ports; they read as zero. */
    void (*out)(struct ax_pci_function *f, uint64_t off, unsigned width,
                uint64_t val);
};

struct ax_pci_function {
    struct ax_device *dev; /* whose lock guards it */
    const struct ax_pci_ops *ops;
    uint8_t config[AX_PCI_CONFIG];
    uint8_t writable[AX_PCI_CONFIG]; /* bits */
    unsigned cap_end, cap_last;      /* of the list of capabilities */
};

/* What a function says of itself: the constant half of its header. */
struct ax_pci_identity {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* class, subclass, interface: 0x020000 */
    uint8_t revision;
};

/* Filled by the loop thread while the VM is built, and frozen then. */
struct ax_pci {
    ax_gpa mem;  /* of the memory window: slot n has the page n of it */
    uint64_t io; /* of the port window: slot n has the AX_PCI_PORTS n of it */
    struct ax_pci_function *slots[AX_PCI_SLOTS];
};

/* Makes the header. ops and dev are borrowed. */
void ax_pci_function_init(struct ax_pci_function *f, struct ax_device *dev,
                          const struct ax_pci_ops *ops,
                          const struct ax_pci_identity *id);

/* A BAR of size bytes, a power of two, at addr; 32 bits wide. */
void ax_pci_set_bar(struct ax_pci_function *f, unsigned bar,
                    enum ax_space space, uint64_t addr, uint32_t size);

/*
 * Appends a capability of size bytes, its first two filled in, the others
 * zero. Returns its offset in config. There must be room.
 */
unsigned ax_pci_add_capability(struct ax_pci_function *f, uint8_t id,
                               unsigned size);

/* Little-endian fields of configuration space; off + width <= AX_PCI_CONFIG. */
uint32_t ax_pci_get(const struct ax_pci_function *f, unsigned off,
                    unsigned width);
void ax_pci_set(struct ax_pci_function *f, unsigned off, unsigned width,
                uint32_t val);
void ax_pci_allow(struct ax_pci_function *f, unsigned off, unsigned width,
                  uint32_t bits); /* which the guest may write */

/* Into a free slot from 1 on, and out of it. -EEXIST, -EINVAL. */
int ax_pci_attach(struct ax_pci *pci, unsigned slot, struct ax_pci_function *f);
void ax_pci_detach(struct ax_pci *pci, unsigned slot);

/*
 * Configuration space as a host bridge is asked for it: bus, device and
 * function of address are those of CONFIG_ADDRESS, its low eight bits are the
 * byte. off % 4 + width <= 4. What is not there reads as ones. Any thread.
 */
uint32_t ax_pci_config_read(const struct ax_pci *pci, uint32_t address,
                            unsigned width);
void ax_pci_config_write(struct ax_pci *pci, uint32_t address, unsigned width,
                         uint32_t val);

#endif
