/*
 * reset_cf9.c - the reset control register of Intel's south bridges (PIIX3
 * data sheet, RC). A soft and a hard reset are the same to a VM.
 */
#include "devices/device.h"
#include "devices/registry.h"

enum {
    RC_HARD = 0x02,  /* which kind */
    RC_RESET = 0x04, /* going from 0 to 1 resets */
    RC_FULL = 0x08,  /* power-cycle as well */
};

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
    bool rises = val & ~r->control & RC_RESET;

    r->control = val & (RC_HARD | RC_RESET | RC_FULL);
    if (rises)
        ax_power_request(&dev->env.power, AX_POWER_RESET, 0);
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
