/*
 * registry.h - the list of device models: one line each.
 *
 * The only place that names every model. Adding one: its file, a line here,
 * its unit test.
 */
#ifndef AX_DEVICES_REGISTRY_H
#define AX_DEVICES_REGISTRY_H

#include "devices/device.h"

/* clang-format off */
#define AX_DEVICE_MODELS(X)                                                    \
    X(acpi_pm)                                                                 \
    X(debugcon)                                                                \
    X(debugexit)                                                               \
    X(i8042)                                                                   \
    X(i8042_data)                                                              \
    X(ioapic)                                                                  \
    X(mc146818)                                                                \
    X(pci_host)                                                                \
    X(pci_io)                                                                  \
    X(pci_mem)                                                                 \
    X(pit8254)                                                                 \
    X(pit_speaker)                                                             \
    X(pvpanic)                                                                 \
    X(reset_cf9)                                                               \
    X(uart16550)                                                               \
    X(virtio_9p)                                                               \
    X(virtio_balloon)                                                          \
    X(virtio_blk)                                                              \
    X(virtio_console)                                                          \
    X(virtio_net)                                                              \
    X(virtio_rng)                                                              \
    X(virtio_vsock)
/* clang-format on */

#define AX_DEVICE_DECLARE(name) extern const struct ax_device_ops ax_##name;
AX_DEVICE_MODELS(AX_DEVICE_DECLARE)
#undef AX_DEVICE_DECLARE

/* The model whose type this is, NULL if there is none. Any thread. */
const struct ax_device_ops *ax_device_find(const char *type);

#endif
