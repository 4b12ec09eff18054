/*
 * test_ioapic.c - registers, masks, edges, levels and what leaves as messages.
 */
#include "devices/registry.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>

enum { SELECT = 0x00, WINDOW = 0x10, EOI = 0x40 };
enum { LEVEL = 0x8000, MASKED = 0x10000, REMOTE_IRR = 0x4000, LOGICAL = 0x800 };

static struct recorder rec;
static struct ax_device *dev;

static void setup(void)
{
    recorder_init(&rec);
    dev = recorder_device(&rec, &ax_ioapic);
}

static void teardown(void)
{
    ax_device_destroy(dev);
}

TestSuite(ioapic, .init = setup, .fini = teardown);

static uint32_t get(unsigned reg)
{
    recorder_write(dev, SELECT, 4, reg);
    return (uint32_t)recorder_read(dev, WINDOW, 4);
}

static void set(unsigned reg, uint32_t val)
{
    recorder_write(dev, SELECT, 4, reg);
    recorder_write(dev, WINDOW, 4, val);
}

static void set_entry(unsigned pin, uint32_t low, uint8_t dest)
{
    set(0x11 + 2 * pin, (uint32_t)dest << 24);
    set(0x10 + 2 * pin, low);
}

Test(ioapic, identity)
{
    cr_assert_eq(get(0), 1U << 24);
    cr_assert_eq(get(1), 0x00170011);
    cr_assert_eq(get(2), 1U << 24);
    set(0, 0xffffffff);
    cr_assert_eq(get(0), 0x0f000000);
    set(1, 0);
    cr_assert_eq(get(1), 0x00170011);
}

Test(ioapic, entries_start_masked_and_silent)
{
    for (unsigned pin = 0; pin < 24; pin++) {
        cr_assert_eq(get(0x10 + 2 * pin), MASKED);
        cr_assert_eq(get(0x11 + 2 * pin), 0);
        ax_device_line(dev, pin, true);
        ax_device_line(dev, pin, false);
    }
    cr_assert_eq(rec.sent, 0);
    cr_assert_eq(rec.routed, 0);
}

Test(ioapic, registers_outside_the_map_read_zero)
{
    set(0x40, 0xffffffff); /* behind the last entry */
    cr_assert_eq(get(0x40), 0);
    set(0xff, 0xffffffff);
    cr_assert_eq(get(0xff), 0);
    cr_assert_eq(get(0x03), 0);
    recorder_write(dev, SELECT, 4, 0xffffff10);
    cr_assert_eq(recorder_read(dev, SELECT, 4), 0x10);
    for (unsigned off = 4; off < 0x1000; off += 4) {
        if (off == WINDOW)
            continue;
        recorder_write(dev, off, 4, 0xffffffff);
        cr_assert_eq(recorder_read(dev, off, 4), 0);
    }
    cr_assert_eq(recorder_read(dev, 0xffc, 4), 0);
    cr_assert_eq(rec.routed, 0);
}

Test(ioapic, reserved_and_read_only_bits)
{
    set(0x10, 0xffffffff);
    cr_assert_eq(get(0x10), 0x0001afff);
    set(0x11, 0xffffffff);
    cr_assert_eq(get(0x11), 0xff000000);
}

Test(ioapic, an_edge_is_sent_once)
{
    set_entry(3, 0x31, 2);
    ax_device_line(dev, 3, true);
    cr_assert_eq(rec.sent, 1);
    cr_assert_eq(rec.message[0].address, 0xfee02000);
    cr_assert_eq(rec.message[0].data, 0x31);
    ax_device_line(dev, 3, true);
    ax_device_line(dev, 3, false);
    cr_assert_eq(rec.sent, 1);
    ax_device_line(dev, 3, true);
    cr_assert_eq(rec.sent, 2);
    cr_assert_eq(get(0x16) & REMOTE_IRR, 0);
}

Test(ioapic, an_edge_on_a_masked_pin_is_lost)
{
    set_entry(3, MASKED | 0x31, 0);
    ax_device_line(dev, 3, true);
    set_entry(3, 0x31, 0);
    cr_assert_eq(rec.sent, 0);
    ax_device_line(dev, 3, false);
    cr_assert_eq(rec.sent, 0);
    ax_device_line(dev, 3, true);
    cr_assert_eq(rec.sent, 1);
}

Test(ioapic, a_level_waits_for_the_mask)
{
    set_entry(9, LEVEL | MASKED | 0x42, 0);
    ax_device_line(dev, 9, true);
    cr_assert_eq(rec.sent, 0);
    set_entry(9, LEVEL | 0x42, 0);
    cr_assert_eq(rec.sent, 1);
    cr_assert_eq(rec.message[0].data, 0xc042);
    cr_assert_eq(get(0x22), LEVEL | REMOTE_IRR | 0x42);
}

Test(ioapic, a_level_repeats_after_its_eoi)
{
    set_entry(9, LEVEL | 0x42, 0);
    ax_device_line(dev, 9, true);
    ax_device_line(dev, 9, false);
    ax_device_line(dev, 9, true);
    cr_assert_eq(rec.sent, 1, "the first is still in service");
    ax_device_eoi(dev, 0x41);
    cr_assert_eq(rec.sent, 1, "another vector");
    ax_device_eoi(dev, 0x42);
    cr_assert_eq(rec.sent, 2);
    ax_device_line(dev, 9, false);
    ax_device_eoi(dev, 0x42);
    cr_assert_eq(rec.sent, 2);
    cr_assert_eq(get(0x22) & REMOTE_IRR, 0);
}

Test(ioapic, an_eoi_reaches_every_pin_of_the_vector)
{
    set_entry(9, LEVEL | 0x42, 0);
    set_entry(10, LEVEL | 0x42, 0);
    ax_device_line(dev, 9, true);
    ax_device_line(dev, 10, true);
    cr_assert_eq(rec.sent, 2);
    ax_device_eoi(dev, 0x42);
    cr_assert_eq(rec.sent, 4);
    ax_device_eoi(dev, 0x1042); /* no vector */
    cr_assert_eq(rec.sent, 4);
}

Test(ioapic, masking_in_service_holds_the_next_back)
{
    set_entry(9, LEVEL | 0x42, 0);
    ax_device_line(dev, 9, true);
    set_entry(9, LEVEL | MASKED | 0x42, 0);
    ax_device_eoi(dev, 0x42);
    cr_assert_eq(rec.sent, 1);
    set_entry(9, LEVEL | 0x42, 0);
    cr_assert_eq(rec.sent, 2);
}

/* How Linux ends a level on a version 0x11: mask and edge, then level again. */
Test(ioapic, switching_to_edge_clears_remote_irr)
{
    set_entry(9, LEVEL | 0x42, 0);
    ax_device_line(dev, 9, true);
    ax_device_line(dev, 9, false);
    set(0x22, MASKED | 0x42);
    cr_assert_eq(get(0x22), MASKED | 0x42);
    set(0x22, LEVEL | 0x42);
    cr_assert_eq(get(0x22), LEVEL | 0x42);
    ax_device_line(dev, 9, true);
    cr_assert_eq(rec.sent, 2);
}

Test(ioapic, the_message_carries_the_entry)
{
    set_entry(1, LOGICAL | 0x100 | 0x50, 0xa5); /* lowest priority */
    ax_device_line(dev, 1, true);
    cr_assert_eq(rec.message[0].address, 0xfeea5000 | 0x08 | 0x04);
    cr_assert_eq(rec.message[0].data, 0x150);
    set_entry(2, 0x400, 0xff); /* NMI to all */
    ax_device_line(dev, 2, true);
    cr_assert_eq(rec.message[1].address, 0xfeeff000);
    cr_assert_eq(rec.message[1].data, 0x400);
    set_entry(3, 0x2051, 0); /* active low changes nothing */
    ax_device_line(dev, 3, true);
    cr_assert_eq(rec.message[2].data, 0x51);
}

Test(ioapic, pins_that_do_not_exist_are_ignored)
{
    ax_device_line(dev, 24, true);
    ax_device_line(dev, 31, true);
    ax_device_line(dev, ~0U, true);
    cr_assert_eq(rec.sent, 0);
}

Test(ioapic, routes_are_told_when_they_change)
{
    set(0x10, LEVEL | MASKED | 0x42);
    cr_assert_eq(rec.routed, 1);
    cr_assert(rec.route[0].masked);
    set(0x10, LEVEL | MASKED | 0x42);
    cr_assert_eq(rec.routed, 1, "nothing changed");
    set(0x11, 3U << 24);
    set(0x10, LEVEL | 0x42);
    cr_assert_eq(rec.routed, 3);
    cr_assert_eq(rec.route[0].address, 0xfee03000);
    cr_assert_eq(rec.route[0].data, 0xc042);
    cr_assert_not(rec.route[0].masked);
    ax_device_line(dev, 0, true);
    ax_device_eoi(dev, 0x42);
    cr_assert_eq(rec.routed, 3, "remote IRR is no change of a route");
}

Test(ioapic, reset_masks_and_tells)
{
    set_entry(4, 0x44, 1);
    ax_device_line(dev, 9, true);
    rec.routed = 0;
    ax_device_reset(dev);
    cr_assert_eq(rec.routed, 1);
    cr_assert(rec.route[4].masked);
    cr_assert_eq(get(0x18), MASKED);
    cr_assert_eq(get(0x19), 0);
    cr_assert_eq(get(0), 1U << 24);
    set_entry(9, LEVEL | 0x42, 0);
    cr_assert_eq(rec.sent, 1, "the line was still high");
}

Test(ioapic, works_without_wires)
{
    struct ax_device_env none = {0};
    struct ax_device *bare;

    cr_assert_eq(
        ax_device_create(&ax_ioapic, AX_SPACE_MMIO, 0xfec00000, &none, &bare),
        0);
    recorder_write(bare, SELECT, 4, 0x10);
    recorder_write(bare, WINDOW, 4, 0x31);
    ax_device_line(bare, 0, true);
    ax_device_destroy(bare);
}
