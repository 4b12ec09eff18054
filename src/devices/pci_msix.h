/*
 * pci_msix.h - the interrupts of a PCI function: MSI-X (PCI Local Bus 3.0,
 * section 6.8.2). A message is a write to the local APICs (Intel SDM 3A,
 * 11.11).
 *
 * All with the lock of the function's device held.
 */
#ifndef AX_DEVICES_PCI_MSIX_H
#define AX_DEVICES_PCI_MSIX_H

#include "base.h"

struct ax_pci_function;

enum { AX_MSIX_VECTORS = 17, AX_MSIX_NONE = 0xffff };

struct ax_msix {
    struct ax_pci_function *f;
    unsigned cap, count;
    struct ax_msix_vector {
        uint64_t address;
        uint32_t data;
        bool masked, pending;
        int event;  /* eventfd of those who interrupt by themselves, or -1 */
        bool armed; /* the engine turns it into the message, */
        uint64_t armed_address;
        uint32_t armed_data; /* ... which is this one */
    } vectors[AX_MSIX_VECTORS];
};

/*
 * Adds the capability. The table lies at table in the BAR of this number, the
 * pending bits at pba; count is at most AX_MSIX_VECTORS.
 */
void ax_msix_init(struct ax_msix *m, struct ax_pci_function *f, unsigned count,
                  unsigned bar, uint32_t table, uint32_t pba);
void ax_msix_fini(struct ax_msix *m);

/* As after power-on: off, every vector masked, no event. */
void ax_msix_reset(struct ax_msix *m);

/* Is it on? Without it there are no interrupts. */
bool ax_msix_enabled(const struct ax_msix *m);

/* The table, from its first byte on, and the pending bits: widths 4 and 8,
 * aligned; other accesses read as zero and write nothing. */
uint64_t ax_msix_read(const struct ax_msix *m, uint64_t off, unsigned width);
void ax_msix_write(struct ax_msix *m, uint64_t off, unsigned width,
                   uint64_t val);
uint64_t ax_msix_pending(const struct ax_msix *m, uint64_t off, unsigned width);

/* The guest has written to [off, off + width) of configuration space. */
void ax_msix_config_written(struct ax_msix *m, unsigned off, unsigned width);

/* Sends the vector's message, now or when it is unmasked. Vectors that are not
 * there are none. */
void ax_msix_raise(struct ax_msix *m, unsigned vector);

/*
 * An eventfd whose signals send the vector's message, whoever signals it and
 * whatever the guest does to the vector in between. It stays this one's.
 * -EOPNOTSUPP: the engine has no such thing, -ENOSPC: it has no more of them,
 * -EINVAL: no such vector, or -errno.
 */
int ax_msix_event(struct ax_msix *m, unsigned vector);

#endif
