/*
 * bus.c - a sorted array of devices, searched by halving.
 */
#include "devices/bus.h"

#include "devices/device.h"

#include <errno.h>
#include <string.h>

void ax_bus_init(struct ax_bus *bus, enum ax_space space)
{
    memset(bus, 0, sizeof(*bus));
    bus->space = space;
}

int ax_bus_attach(struct ax_bus *bus, struct ax_device *dev)
{
    unsigned at = bus->count;

    if (dev->space != bus->space || !dev->ops->size ||
        dev->base > UINT64_MAX - dev->ops->size)
        return -EINVAL;
    if (bus->count == AX_BUS_DEVICES)
        return -ENOSPC;
    for (unsigned i = bus->count; i-- > 0;) {
        const struct ax_bus_range *r = &bus->ranges[i];

        if (ax_range_overlaps(dev->base, dev->ops->size, r->base, r->size))
            return -EEXIST;
        if (r->base > dev->base)
            at = i;
    }
    memmove(&bus->ranges[at + 1], &bus->ranges[at],
            (bus->count - at) * sizeof(bus->ranges[0]));
    bus->ranges[at] = (struct ax_bus_range){
        .base = dev->base, .size = dev->ops->size, .dev = dev};
    bus->count++;
    return 0;
}

struct ax_device *ax_bus_find(const struct ax_bus *bus, uint64_t addr)
{
    unsigned low = 0, high = bus->count;

    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct ax_bus_range *r = &bus->ranges[mid];

        if (addr < r->base)
            high = mid;
        else if (addr - r->base >= r->size)
            low = mid + 1;
        else
            return r->dev;
    }
    return NULL;
}

static uint64_t bus_ones(unsigned width)
{
    return width >= 8 ? UINT64_MAX : (1ULL << width * 8) - 1;
}

static bool bus_unclaimed(struct ax_bus *bus, bool write, unsigned width,
                          uint64_t *data)
{
    atomic_fetch_add_explicit(write ? &bus->unclaimed_writes
                                    : &bus->unclaimed_reads,
                              1, memory_order_relaxed);
    if (!write)
        *data = bus_ones(width);
    return false;
}

bool ax_bus_access(struct ax_bus *bus, bool write, uint64_t addr,
                   unsigned width, uint64_t *data)
{
    struct ax_device *dev = ax_bus_find(bus, addr);
    /* System registers are numbered, not laid out: one covers one number. */
    unsigned span = bus->space == AX_SPACE_SYSREG ? 1 : width;

    if (!dev || !(dev->ops->widths & width) ||
        !ax_range_within(addr, span, dev->base, dev->ops->size))
        return bus_unclaimed(bus, write, width, data);

    pthread_mutex_lock(&dev->lock);
    if (write) {
        dev->writes++;
        dev->ops->write(dev, addr - dev->base, width, *data & bus_ones(width));
    } else {
        dev->reads++;
        *data = dev->ops->read(dev, addr - dev->base, width) & bus_ones(width);
    }
    pthread_mutex_unlock(&dev->lock);
    return true;
}
