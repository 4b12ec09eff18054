/*
 * reset_cf9.c - the reset control register alone, on a board without PCI.
 */
#include "devices/device.h"
#include "devices/registry.h"
#include "devices/reset_control.h"

struct reset_cf9 {
    struct ax_device dev;
    uint8_t control;
};

static uint64_t cf9_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct reset_cf9 *r = ax_container_of(dev, struct reset_cf9, dev);

    return r->control;
}

static void cf9_write(struct ax_device *dev, uint64_t off, unsigned width,
                      uint64_t val)
{
    struct reset_cf9 *r = ax_container_of(dev, struct reset_cf9, dev);

    ax_reset_control_write(&r->control, (uint8_t)val, &dev->env.power);
}

static void cf9_reset(struct ax_device *dev)
{
    struct reset_cf9 *r = ax_container_of(dev, struct reset_cf9, dev);

    r->control = 0;
}

const struct ax_device_ops ax_reset_cf9 = {
    .type = "reset_cf9",
    .state = sizeof(struct reset_cf9),
    .size = 1,
    .widths = AX_WIDTH_1,
    .read = cf9_read,
    .write = cf9_write,
    .reset = cf9_reset,
};
