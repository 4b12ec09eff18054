/*
 * i8042.c - what a keyboard controller must do on a machine without a keyboard:
 * reset the machine, and otherwise answer every question at once, with nothing.
 *
 * Drivers that find an empty output buffer and send a command wait for its
 * answer, Linux half a second each time. Drivers that find a controller of
 * which every byte reads 0xff conclude that there is none: Linux reads 16 bytes
 * from a buffer that stays full, says "No controller found" and goes on, within
 * a millisecond. So the output buffer is full, of 0xff; but it does run empty,
 * because simpler guests empty it without counting. Each command fills it
 * anew: its answer is there at once, and 0xff is an answer to none. The input
 * buffer is always empty, as those who reset wait for that and only that.
 *
 * IBM PC AT Technical Reference, "Keyboard controller".
 */
#include "devices/device.h"
#include "devices/registry.h"

enum {
    STATUS_OUTPUT_FULL = 0x01,
    STATUS_NOT_INHIBITED = 0x10,
    COMMAND_PULSE = 0xf0, /* the low four bits name output lines: 0 pulses */
    PULSE_NOT_RESET = 0x01,
    STALE_READS = 64, /* times that the status calls the output buffer full */
};

struct i8042 {
    struct ax_device dev;
    unsigned stale;
};

static uint64_t i8042_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct i8042 *k = ax_container_of(dev, struct i8042, dev);

    if (!k->stale)
        return STATUS_NOT_INHIBITED;
    k->stale--;
    return STATUS_NOT_INHIBITED | STATUS_OUTPUT_FULL;
}

static void i8042_write(struct ax_device *dev, uint64_t off, unsigned width,
                        uint64_t val)
{
    struct i8042 *k = ax_container_of(dev, struct i8042, dev);

    k->stale = STALE_READS;
    if ((val & COMMAND_PULSE) == COMMAND_PULSE && !(val & PULSE_NOT_RESET))
        ax_power_request(&dev->env.power, AX_POWER_RESET, 0);
}

static void i8042_reset(struct ax_device *dev)
{
    struct i8042 *k = ax_container_of(dev, struct i8042, dev);

    k->stale = STALE_READS;
}

static uint64_t i8042_data_read(struct ax_device *dev, uint64_t off,
                                unsigned width)
{
    return 0xff;
}

static void i8042_data_write(struct ax_device *dev, uint64_t off,
                             unsigned width, uint64_t val)
{
}

/* Status and commands. */
const struct ax_device_ops ax_i8042 = {
    .type = "i8042",
    .state = sizeof(struct i8042),
    .size = 1,
    .widths = AX_WIDTH_1,
    .read = i8042_read,
    .write = i8042_write,
    .reset = i8042_reset,
};

/* Data: a port of its own, as the speaker's lies between the two. */
const struct ax_device_ops ax_i8042_data = {
    .type = "i8042-data",
    .state = sizeof(struct ax_device),
    .size = 1,
    .widths = AX_WIDTH_1,
    .read = i8042_data_read,
    .write = i8042_data_write,
};
