/*
 * test_debugexit.c - every width at every offset ends the run with its value.
 */
#include "devices/registry.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>

Test(debugexit, passes_the_value_on)
{
    struct recorder rec;
    struct ax_device *dev;
    unsigned n = 0;

    recorder_init(&rec);
    dev = recorder_device(&rec, &ax_debugexit);
    for (unsigned width = 1; width <= 4; width *= 2) {
        for (unsigned off = 0; off + width <= dev->ops->size; off++) {
            uint64_t val = 0x8899aabb >> (32 - 8 * width);

            recorder_write(dev, off, width, val);
            cr_assert_eq(rec.powers, ++n);
            cr_assert_eq(rec.power, AX_POWER_EXIT);
            cr_assert_eq(rec.code, val);
        }
    }
    ax_device_destroy(dev);
}

Test(debugexit, reads_zero_and_does_nothing)
{
    struct recorder rec;
    struct ax_device *dev;

    recorder_init(&rec);
    dev = recorder_device(&rec, &ax_debugexit);
    cr_assert_eq(recorder_read(dev, 0, 4), 0);
    cr_assert_eq(recorder_read(dev, 3, 1), 0);
    cr_assert_eq(rec.powers, 0);
    ax_device_destroy(dev);
}

Test(debugexit, works_without_wires)
{
    struct ax_device_env none = {0};
    struct ax_device *dev;

    cr_assert_eq(
        ax_device_create(&ax_debugexit, AX_SPACE_PORT, 0xf4, &none, &dev), 0);
    recorder_write(dev, 0, 1, 1);
    ax_device_destroy(dev);
}
