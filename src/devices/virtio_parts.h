/*
 * virtio_parts.h - what virtio.c and its PCI transport, virtio_pci.c, share.
 * Private to them. All with the device's lock held.
 */
#ifndef AX_DEVICES_VIRTIO_PARTS_H
#define AX_DEVICES_VIRTIO_PARTS_H

#include "devices/virtio.h"

/* A register of virtio-mmio's, which exist with every transport: as it is, and
 * as the driver writes it. off: VIRTIO_MMIO_*, below VIRTIO_MMIO_CONFIG. */
uint32_t ax_virtio_register(const struct ax_virtio *v, unsigned off);
void ax_virtio_set_register(struct ax_virtio *v, unsigned off, uint32_t val);

/* The bits of InterruptStatus, which are gone then. */
uint32_t ax_virtio_take_status(struct ax_virtio *v);

/* ---- virtio_pci.c ---- */

enum { AX_VIRTIO_PCI_CONFIG = -1 }; /* in place of a queue's number */

/* Its function goes into env.slot of env.pci. Once v->page is there. */
int ax_virtio_pci_create(struct ax_virtio *v);
void ax_virtio_pci_destroy(struct ax_virtio *v);

/* The driver's reset, and the machine's, which takes MSI-X along. */
void ax_virtio_pci_reset(struct ax_virtio *v, bool machine);

/* Interrupts the driver for a queue or AX_VIRTIO_PCI_CONFIG. false: it has no
 * messages, and looks into InterruptStatus. */
bool ax_virtio_pci_raise(struct ax_virtio *v, int queue);

/* As ax_virtio_irq_event, and where its doorbell is. */
int ax_virtio_pci_event(struct ax_virtio *v, unsigned queue);
struct ax_bell ax_virtio_pci_bell(const struct ax_virtio *v, int64_t value);

#endif
