/*
 * test_acpi_pm.c - events, power-off and the timer, at every width.
 */
#include "devices/guestclock.h"
#include "devices/registry.h"
#include "fake/clock.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>

enum { STATUS, ENABLE = 2, CONTROL = 4, TIMER = 8 };
enum { GLOBAL = 0x0020, PWRBTN = 0x0100, RTC = 0x0400, SLP_EN = 0x2000 };

static struct recorder rec;
static struct ax_device *dev;

static void setup(void)
{
    fake_clock_set(1000000000, 1000000000);
    recorder_init(&rec);
    dev = recorder_device(&rec, &ax_acpi_pm);
}

static void teardown(void)
{
    ax_device_destroy(dev);
}

TestSuite(acpi_pm, .init = setup, .fini = teardown);

Test(acpi_pm, is_in_acpi_mode)
{
    cr_assert_eq(recorder_read(dev, CONTROL, 2), 0x0001);
    recorder_write(dev, CONTROL, 2, 0);
    cr_assert_eq(recorder_read(dev, CONTROL, 2), 0x0001);
    cr_assert_eq(recorder_read(dev, CONTROL, 4), 0x0001);
}

Test(acpi_pm, button_interrupts_when_enabled)
{
    cr_assert_not(ax_device_power_button(dev), "nobody listens yet");
    cr_assert_eq(recorder_read(dev, STATUS, 2), PWRBTN);
    cr_assert_not(rec.level);
    recorder_write(dev, ENABLE, 2, PWRBTN);
    cr_assert(rec.level);
    cr_assert_eq(rec.line, RECORDER_LINE);
    recorder_write(dev, STATUS, 2, PWRBTN);
    cr_assert_not(rec.level);
    cr_assert_eq(recorder_read(dev, STATUS, 2), 0);

    cr_assert(ax_device_power_button(dev));
    cr_assert(rec.level);
    ax_device_power_button(dev);
    cr_assert_eq(rec.rises, 2, "pressed twice before it was served");
}

Test(acpi_pm, status_clears_by_ones_only)
{
    ax_device_power_button(dev);
    recorder_write(dev, STATUS, 2, (uint16_t)~PWRBTN);
    cr_assert_eq(recorder_read(dev, STATUS, 2), PWRBTN);
    recorder_write(dev, STATUS + 1, 1, PWRBTN >> 8);
    cr_assert_eq(recorder_read(dev, STATUS, 2), 0);
}

Test(acpi_pm, enable_keeps_the_events_that_exist)
{
    recorder_write(dev, ENABLE, 2, 0xffff);
    cr_assert_eq(recorder_read(dev, ENABLE, 2), PWRBTN | GLOBAL | RTC);
    recorder_write(dev, ENABLE, 1, 0);
    cr_assert_eq(recorder_read(dev, ENABLE, 2), PWRBTN | RTC);
    recorder_write(dev, ENABLE + 1, 1, 0);
    cr_assert_eq(recorder_read(dev, ENABLE, 2), 0);
}

Test(acpi_pm, one_wide_access_reaches_both_registers)
{
    ax_device_power_button(dev);
    recorder_write(dev, STATUS, 4, (uint64_t)PWRBTN << 16);
    cr_assert(rec.level);
    cr_assert_eq(recorder_read(dev, STATUS, 4),
                 (uint64_t)PWRBTN << 16 | PWRBTN);
    cr_assert_eq(recorder_read(dev, STATUS + 1, 2), PWRBTN >> 8);
}

Test(acpi_pm, axvisor_power_off)
{
    recorder_write(dev, CONTROL, 2, SLP_EN);
    cr_assert_eq(rec.powers, 1);
    cr_assert_eq(rec.power, AX_POWER_OFF);
    cr_assert_eq(recorder_read(dev, CONTROL, 2), 0x0001, "SLP_EN reads 0");
}

Test(acpi_pm, power_off_by_bytes_and_double_words)
{
    recorder_write(dev, CONTROL + 1, 1, SLP_EN >> 8);
    cr_assert_eq(rec.powers, 1);
    recorder_write(dev, CONTROL, 4, SLP_EN);
    cr_assert_eq(rec.powers, 2);
    recorder_write(dev, ENABLE, 4, (uint64_t)SLP_EN << 16);
    cr_assert_eq(rec.powers, 3);
}

Test(acpi_pm, other_sleep_types_do_nothing)
{
    recorder_write(dev, CONTROL, 2, SLP_EN | 5 << 10);
    cr_assert_eq(rec.powers, 0);
    cr_assert_eq(recorder_read(dev, CONTROL, 2), 0x0001 | 5 << 10);
    recorder_write(dev, CONTROL, 2, 7 << 10);
    cr_assert_eq(rec.powers, 0, "without SLP_EN");
}

Test(acpi_pm, timer_runs_at_its_rate)
{
    uint32_t before = (uint32_t)recorder_read(dev, TIMER, 4);

    fake_clock_advance(2000000000);
    cr_assert_eq((uint32_t)recorder_read(dev, TIMER, 4) - before, 2 * 3579545);
    fake_clock_advance(1000000);
    cr_assert_eq((uint32_t)recorder_read(dev, TIMER, 4) - before,
                 2 * 3579545 + 3579);
}

Test(acpi_pm, timer_stands_still_with_guest_time)
{
    static struct ax_clock guest;
    uint32_t before;

    ax_device_destroy(dev);
    rec.env.clock = &guest;
    dev = recorder_device(&rec, &ax_acpi_pm);
    before = (uint32_t)recorder_read(dev, TIMER, 4);
    ax_clock_stop(&guest);
    ax_device_hold(dev, true);
    fake_clock_advance(5000000000);
    cr_assert_eq((uint32_t)recorder_read(dev, TIMER, 4), before);
    ax_clock_go(&guest);
    ax_device_hold(dev, false);
    cr_assert_eq((uint32_t)recorder_read(dev, TIMER, 4), before);
    fake_clock_advance(1000000000);
    cr_assert_eq((uint32_t)recorder_read(dev, TIMER, 4) - before, 3579545);
}

Test(acpi_pm, timer_wraps_and_reads_in_parts)
{
    uint32_t whole;

    fake_clock_advance(1300000000000); /* past 2^32 ticks */
    whole = (uint32_t)recorder_read(dev, TIMER, 4);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(recorder_read(dev, TIMER + i, 1), whole >> 8 * i & 0xff);
    recorder_write(dev, TIMER, 4, 0);
    cr_assert_eq(recorder_read(dev, TIMER, 4), whole, "read-only");
}

Test(acpi_pm, reset_clears_events)
{
    ax_device_power_button(dev);
    recorder_write(dev, ENABLE, 2, PWRBTN);
    ax_device_reset(dev);
    cr_assert_not(rec.level);
    cr_assert_eq(recorder_read(dev, STATUS, 4), 0);
}
