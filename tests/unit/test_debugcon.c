/*
 * test_debugcon.c - bytes written arrive, the port says that it is there.
 */
#include "devices/registry.h"
#include "fake/console.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>

Test(debugcon, prints_what_is_written)
{
    struct recorder rec;
    struct ax_device *dev;

    recorder_init(&rec);
    rec.env.console = fake_console_create();
    dev = recorder_device(&rec, &ax_debugcon);
    for (const char *p = "hello"; *p; p++)
        recorder_write(dev, 0, 1, (uint8_t)*p);
    cr_assert_str_eq(fake_console_output(rec.env.console), "hello");
    cr_assert_eq(recorder_read(dev, 0, 1), 0xe9);
    ax_device_destroy(dev);
    fake_console_destroy(rec.env.console);
}

Test(debugcon, works_without_a_console)
{
    struct recorder rec;
    struct ax_device *dev;

    recorder_init(&rec);
    dev = recorder_device(&rec, &ax_debugcon);
    recorder_write(dev, 0, 1, 'x');
    cr_assert_eq(recorder_read(dev, 0, 1), 0xe9);
    ax_device_destroy(dev);
}
