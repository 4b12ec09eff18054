/*
 * debugcon.c - the one-byte debug console of Bochs at port 0xe9: what is
 * written is printed. It has no input.
 */
#include "devices/console.h"
#include "devices/device.h"
#include "devices/registry.h"

/* Guests read the port's own number back to learn that it is there. */
enum { DEBUGCON_HERE = 0xe9 };

static uint64_t debugcon_read(struct ax_device *dev, uint64_t off,
                              unsigned width)
{
    return DEBUGCON_HERE;
}

static void debugcon_write(struct ax_device *dev, uint64_t off, unsigned width,
                           uint64_t val)
{
    ax_console_put(dev->env.console, (uint8_t)val);
}

const struct ax_device_ops ax_debugcon = {
    .type = "debugcon",
    .state = sizeof(struct ax_device),
    .size = 1,
    .widths = AX_WIDTH_1,
    .read = debugcon_read,
    .write = debugcon_write,
};
