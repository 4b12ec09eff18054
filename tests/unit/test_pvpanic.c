/*
 * test_pvpanic.c - which events a guest can report, and what becomes of them.
 */
#include "devices/registry.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>

static struct recorder rec;
static struct ax_device *dev;

static void setup(void)
{
    recorder_init(&rec);
    dev = recorder_device(&rec, &ax_pvpanic);
}

static void teardown(void)
{
    ax_device_destroy(dev);
}

TestSuite(pvpanic, .init = setup, .fini = teardown);

Test(pvpanic, says_what_it_understands)
{
    cr_assert_eq(recorder_read(dev, 0, 1), 0x03);
}

Test(pvpanic, panic_is_a_crash)
{
    recorder_write(dev, 0, 1, 0x01);
    cr_assert_eq(rec.powers, 1);
    cr_assert_eq(rec.power, AX_POWER_CRASH);
    recorder_write(dev, 0, 1, 0x03);
    cr_assert_eq(rec.powers, 2);
}

Test(pvpanic, a_crash_kernel_lives_on)
{
    recorder_write(dev, 0, 1, 0x02);
    cr_assert_eq(rec.powers, 0);
}

Test(pvpanic, unknown_events_are_ignored)
{
    recorder_write(dev, 0, 1, 0xfc);
    recorder_write(dev, 0, 1, 0x00);
    cr_assert_eq(rec.powers, 0);
}
