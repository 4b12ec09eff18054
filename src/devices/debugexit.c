/*
 * debugexit.c - the port by which a guest ends its run with a code. What
 * becomes of the code is the VM's business; a test suite of the guest made it.
 */
#include "devices/device.h"
#include "devices/registry.h"

static uint64_t debugexit_read(struct ax_device *dev, uint64_t off,
                               unsigned width)
{
    return 0;
}

static void debugexit_write(struct ax_device *dev, uint64_t off, unsigned width,
                            uint64_t val)
{
    ax_power_request(&dev->env.power, AX_POWER_EXIT, val);
}

const struct ax_device_ops ax_debugexit = {
    .type = "debugexit",
    .state = sizeof(struct ax_device),
    .size = 4,
    .widths = AX_WIDTH_1 | AX_WIDTH_2 | AX_WIDTH_4,
    .read = debugexit_read,
    .write = debugexit_write,
};
