/*
 * test_i8042.c - drivers' own probes, played against the stub.
 */
#include "devices/registry.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>

enum { OUTPUT_FULL = 0x01, INPUT_FULL = 0x02 };

static struct recorder rec;
static struct ax_device *dev, *data;

static void setup(void)
{
    recorder_init(&rec);
    dev = recorder_device(&rec, &ax_i8042);
    data = recorder_device(&rec, &ax_i8042_data);
}

static void teardown(void)
{
    ax_device_destroy(dev);
    ax_device_destroy(data);
}

TestSuite(i8042, .init = setup, .fini = teardown);

static bool output_full(void)
{
    return recorder_read(dev, 0, 1) & OUTPUT_FULL;
}

/* Linux, i8042_flush: more than 16 bytes mean that there is no controller. */
Test(i8042, stays_full_for_a_driver_that_counts)
{
    for (unsigned i = 0; i < 16; i++) {
        cr_assert(output_full());
        cr_assert_eq(recorder_read(data, 0, 1), 0xff);
    }
    cr_assert(output_full());
}

Test(i8042, runs_empty_for_one_that_does_not)
{
    unsigned reads = 0;

    while (output_full())
        cr_assert_lt(++reads, 1000);
    cr_assert_not(output_full());
}

Test(i8042, answers_a_command_at_once_with_nothing)
{
    while (output_full())
        continue;
    recorder_write(dev, 0, 1, 0xaa); /* self test: 0x55 would be a pass */
    cr_assert(output_full());
    cr_assert_eq(recorder_read(data, 0, 1), 0xff);
}

Test(i8042, never_makes_a_writer_wait)
{
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_not(recorder_read(dev, 0, 1) & INPUT_FULL);
        recorder_write(data, 0, 1, i);
        if (i % 7 == 0)
            recorder_write(dev, 0, 1, 0xd1);
    }
    cr_assert_eq(rec.powers, 0);
}

Test(i8042, pulsing_line_0_resets)
{
    recorder_write(dev, 0, 1, 0xfe);
    cr_assert_eq(rec.powers, 1);
    cr_assert_eq(rec.power, AX_POWER_RESET);
    recorder_write(dev, 0, 1, 0xf0);
    cr_assert_eq(rec.powers, 2);
    recorder_write(dev, 0, 1, 0xff); /* no line at all */
    recorder_write(dev, 0, 1, 0xfd);
    recorder_write(dev, 0, 1, 0x0e);
    recorder_write(data, 0, 1, 0xfe);
    cr_assert_eq(rec.powers, 2);
}

Test(i8042, reset_makes_it_full_again)
{
    while (output_full())
        continue;
    ax_device_reset(dev);
    cr_assert(output_full());
}
