/*
 * bus.h - routes an access to the device that claims it.
 *
 * One type for MMIO, port and system-register space. Filled by the loop thread
 * while the VM is built and frozen before the first vCPU runs, so look-ups take
 * no lock; only the device's own lock is taken around its operation.
 */
#ifndef AX_DEVICES_BUS_H
#define AX_DEVICES_BUS_H

#include "base.h"

#include <stdatomic.h>

struct ax_device;

enum { AX_BUS_DEVICES = 64 };

/* What a look-up needs of a device, side by side in few cache lines. */
struct ax_bus_range {
    uint64_t base, size;
    struct ax_device *dev;
};

struct ax_bus {
    enum ax_space space;
    unsigned count;
    struct ax_bus_range ranges[AX_BUS_DEVICES]; /* by base address */
    atomic_ullong unclaimed_reads, unclaimed_writes;
};

/* An empty bus for one space. */
void ax_bus_init(struct ax_bus *bus, enum ax_space space);

/*
 * The device must be of the bus's space. -EEXIST if its range overlaps one
 * already there, -ENOSPC if the bus is full, -EINVAL if the range wraps.
 */
int ax_bus_attach(struct ax_bus *bus, struct ax_device *dev);

/*
 * One access by a vCPU; any thread. width: 1, 2, 4 or 8 bytes. An access that
 * no device holds whole and takes at that width is unclaimed: it is counted,
 * a read gives all ones, a write is lost, and the result is false.
 */
bool ax_bus_access(struct ax_bus *bus, bool write, uint64_t addr,
                   unsigned width, uint64_t *data);

/* The device that holds addr, or NULL. */
struct ax_device *ax_bus_find(const struct ax_bus *bus, uint64_t addr);

#endif
