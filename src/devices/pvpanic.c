/*
 * pvpanic.c - the paravirtual panic port: a dying guest kernel tells us. A read
 * gives the events that we understand, a write reports them.
 */
#include "devices/device.h"
#include "devices/registry.h"
#include "log.h"

enum {
    PANICKED = 0x01,     /* the guest is dead */
    CRASH_LOADED = 0x02, /* it panicked and lives on in its crash kernel */
};

static uint64_t pvpanic_read(struct ax_device *dev, uint64_t off,
                             unsigned width)
{
    return PANICKED | CRASH_LOADED;
}

static void pvpanic_write(struct ax_device *dev, uint64_t off, unsigned width,
                          uint64_t val)
{
    if (val & PANICKED) {
        ax_log_guest(dev->env.log, AX_LOG_WARN, "pvpanic: the guest panicked");
        ax_power_request(&dev->env.power, AX_POWER_CRASH, 0);
    } else if (val & CRASH_LOADED) {
        ax_log_guest(dev->env.log, AX_LOG_WARN,
                     "pvpanic: the guest panicked and runs its crash kernel");
    }
}

const struct ax_device_ops ax_pvpanic = {
    .type = "pvpanic",
    .state = sizeof(struct ax_device),
    .size = 1,
    .widths = AX_WIDTH_1,
    .read = pvpanic_read,
    .write = pvpanic_write,
};
