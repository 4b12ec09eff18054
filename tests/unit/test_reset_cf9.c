/*
 * test_reset_cf9.c - the reset bit acts on its rise and on nothing else.
 */
#include "devices/registry.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>

static struct recorder rec;
static struct ax_device *dev;

static void setup(void)
{
    recorder_init(&rec);
    dev = recorder_device(&rec, &ax_reset_cf9);
}

static void teardown(void)
{
    ax_device_destroy(dev);
}

TestSuite(reset_cf9, .init = setup, .fini = teardown);

Test(reset_cf9, choosing_the_kind_does_not_reset)
{
    recorder_write(dev, 0, 1, 0x02);
    recorder_write(dev, 0, 1, 0x0a);
    cr_assert_eq(rec.powers, 0);
    cr_assert_eq(recorder_read(dev, 0, 1), 0x0a);
}

Test(reset_cf9, resets_when_the_bit_rises)
{
    recorder_write(dev, 0, 1, 0x02);
    recorder_write(dev, 0, 1, 0x06);
    cr_assert_eq(rec.powers, 1);
    cr_assert_eq(rec.power, AX_POWER_RESET);
    recorder_write(dev, 0, 1, 0x0e);
    cr_assert_eq(rec.powers, 1, "it stayed set");
    recorder_write(dev, 0, 1, 0x00);
    recorder_write(dev, 0, 1, 0x04);
    cr_assert_eq(rec.powers, 2);
}

Test(reset_cf9, keeps_its_own_bits_only)
{
    recorder_write(dev, 0, 1, 0xfb);
    cr_assert_eq(recorder_read(dev, 0, 1), 0x0a);
}

Test(reset_cf9, reset_clears_it)
{
    recorder_write(dev, 0, 1, 0x06);
    ax_device_reset(dev);
    cr_assert_eq(recorder_read(dev, 0, 1), 0);
    recorder_write(dev, 0, 1, 0x06);
    cr_assert_eq(rec.powers, 2);
}
