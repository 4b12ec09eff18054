/*
 * test_uart16550.c - registers, interrupts, loopback, and the probes by which
 * drivers tell a 16550A from its relatives.
 */
#include "devices/registry.h"
#include "fake/console.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR, DLL = 0, DLM = 1 };
enum { LSR_DR = 0x01, LSR_IDLE = 0x60, LOOP = 0x10 };

static struct recorder rec;
static struct ax_device *dev;

static void setup(void)
{
    recorder_init(&rec);
    rec.env.console = fake_console_create();
    dev = recorder_device(&rec, &ax_uart16550);
}

static void teardown(void)
{
    ax_device_destroy(dev);
    fake_console_destroy(rec.env.console);
}

TestSuite(uart16550, .init = setup, .fini = teardown);

static uint8_t get(unsigned reg)
{
    return (uint8_t)recorder_read(dev, reg, 1);
}

static void set(unsigned reg, uint8_t val)
{
    recorder_write(dev, reg, 1, val);
}

static void type(const char *text)
{
    fake_console_type(rec.env.console, text);
    ax_device_poll(dev);
}

Test(uart16550, after_reset)
{
    static const uint8_t expected[8] = {
        [IIR] = 0x01, [LSR] = LSR_IDLE, [MSR] = 0xb0};

    for (unsigned reg = 0; reg < 8; reg++)
        cr_assert_eq(get(reg), expected[reg], "register %u", reg);
    cr_assert_eq(rec.calls, 0);
}

Test(uart16550, sends_at_once_and_is_idle)
{
    for (const char *p = "hi\n"; *p; p++) {
        cr_assert_eq(get(LSR), LSR_IDLE);
        set(DATA, (uint8_t)*p);
    }
    cr_assert_str_eq(fake_console_output(rec.env.console), "hi\n");
    cr_assert_eq(rec.calls, 0, "no interrupt is enabled");
}

Test(uart16550, receives_in_order)
{
    type("ab");
    cr_assert_eq(get(LSR), LSR_IDLE | LSR_DR);
    cr_assert_eq(get(DATA), 'a');
    cr_assert_eq(get(DATA), 'b');
    cr_assert_eq(get(LSR), LSR_IDLE);
    cr_assert_eq(get(DATA), 0);
}

Test(uart16550, clearing_the_fifo_loses_nothing_typed)
{
    type("x");
    set(FCR, 0x07);
    cr_assert_eq(get(DATA), 'x');
}

Test(uart16550, receive_interrupt_lasts_as_long_as_the_data)
{
    set(IER, 0x01);
    cr_assert_not(rec.level);
    type("ab");
    cr_assert(rec.level);
    cr_assert_eq(rec.line, RECORDER_LINE);
    cr_assert_eq(get(IIR), 0x04);
    get(DATA);
    cr_assert(rec.level);
    get(DATA);
    cr_assert_not(rec.level);
    cr_assert_eq(get(IIR), 0x01);
    cr_assert_eq(rec.rises, 1);
}

Test(uart16550, transmit_interrupt_is_acknowledged_by_iir)
{
    set(IER, 0x02);
    cr_assert(rec.level, "enabling reports that the line is idle");
    cr_assert_eq(get(IIR), 0x02);
    cr_assert_not(rec.level);
    cr_assert_eq(get(IIR), 0x01);
    set(IER, 0x02);
    cr_assert_not(rec.level, "it was enabled already");
    set(DATA, 'x');
    cr_assert(rec.level, "ran empty again");
    set(IER, 0x00);
    cr_assert_not(rec.level);
}

Test(uart16550, reception_comes_before_transmission)
{
    set(IER, 0x03);
    type("a");
    cr_assert_eq(get(IIR), 0x04);
    cr_assert_eq(get(IIR), 0x04, "did not acknowledge the other");
    get(DATA);
    cr_assert_eq(get(IIR), 0x02);
    cr_assert_eq(get(IIR), 0x01);
    cr_assert_not(rec.level);
}

Test(uart16550, divisor_latch_covers_data_and_ier)
{
    set(IER, 0x01);
    set(LCR, 0x83);
    set(DLL, 0x0c);
    set(DLM, 0x34);
    cr_assert_eq(get(DLL), 0x0c);
    cr_assert_eq(get(DLM), 0x34);
    set(LCR, 0x03);
    cr_assert_eq(get(IER), 0x01);
    cr_assert_eq(get(LCR), 0x03);
    cr_assert_str_eq(fake_console_output(rec.env.console), "");
    type("z");
    set(LCR, 0x83);
    cr_assert_eq(get(DLL), 0x0c, "reading it takes no byte");
    set(LCR, 0x03);
    cr_assert_eq(get(DATA), 'z');
}

Test(uart16550, identifies_as_a_16550a)
{
    set(FCR, 0x01);
    cr_assert_eq(get(IIR), 0xc1);
    set(FCR, 0x21); /* 64 bytes: a 16750 */
    cr_assert_eq(get(IIR), 0xc1);
    set(LCR, 0xbf); /* EFR: a 16650 reads 0 here */
    cr_assert_neq(get(IIR), 0);
    set(LCR, 0x00);
    set(FCR, 0x00);
    cr_assert_eq(get(IIR), 0x01);
    set(IER, 0xff); /* an XScale has more */
    cr_assert_eq(get(IER), 0x0f);
    set(MCR, 0xff);
    cr_assert_eq(get(MCR), 0x1f);
    set(SCR, 0xa5);
    cr_assert_eq(get(SCR), 0xa5);
}

Test(uart16550, status_registers_are_read_only)
{
    set(LSR, 0xff);
    set(MSR, 0xff);
    cr_assert_eq(get(LSR), LSR_IDLE);
    cr_assert_eq(get(MSR), 0xb0);
}

Test(uart16550, loopback_turns_the_modem_pins_round)
{
    set(MCR, LOOP | 0x0a); /* RTS and OUT2: the probe of PC drivers */
    cr_assert_eq(get(MSR) & 0xf0, 0x90);
    set(MCR, LOOP | 0x05);
    cr_assert_eq(get(MSR) & 0xf0, 0x60);
    set(MCR, 0x0f);
    cr_assert_eq(get(MSR) & 0xf0, 0xb0);
}

Test(uart16550, changed_pins_are_reported_once)
{
    set(MCR, LOOP); /* CTS, DSR and DCD fall */
    cr_assert_eq(get(MSR), 0x0b);
    cr_assert_eq(get(MSR), 0x00);
    set(MCR, LOOP | 0x04); /* RI rises: nothing to tell */
    cr_assert_eq(get(MSR), 0x40);
    set(MCR, LOOP); /* RI falls */
    cr_assert_eq(get(MSR), 0x04);
    set(MCR, LOOP | 0x0b);
    set(IER, 0x08);
    cr_assert(rec.level);
    cr_assert_eq(get(IIR), 0x00);
    cr_assert_eq(get(MSR), 0xbb);
    cr_assert_not(rec.level);
}

Test(uart16550, loopback_sends_to_itself_alone)
{
    set(FCR, 0x01);
    set(MCR, LOOP);
    type("host");
    cr_assert_eq(get(LSR), LSR_IDLE, "the console is cut off");
    set(DATA, 'q');
    cr_assert_eq(get(LSR), LSR_IDLE | LSR_DR);
    cr_assert_eq(get(DATA), 'q');
    cr_assert_eq(get(DATA), 0);
    cr_assert_str_eq(fake_console_output(rec.env.console), "");
    set(MCR, 0);
    cr_assert_eq(get(DATA), 'h');
}

/* Linux, size_fifo. */
Test(uart16550, loopback_has_sixteen_bytes)
{
    unsigned count = 0;

    set(FCR, 0x07);
    set(MCR, LOOP);
    for (unsigned i = 0; i < 256; i++)
        set(DATA, (uint8_t)i);
    while (get(LSR) & LSR_DR)
        cr_assert_eq(get(DATA), count++);
    cr_assert_eq(count, 16);
}

Test(uart16550, loopback_without_fifo_has_one)
{
    set(MCR, LOOP);
    set(DATA, 'a');
    set(DATA, 'b');
    cr_assert_eq(get(DATA), 'a');
    cr_assert_eq(get(LSR), LSR_IDLE);
}

Test(uart16550, loopback_empties_its_fifo)
{
    set(FCR, 0x01);
    set(MCR, LOOP);
    set(DATA, 'a');
    set(FCR, 0x01);
    cr_assert(get(LSR) & LSR_DR);
    set(FCR, 0x03);
    cr_assert_not(get(LSR) & LSR_DR, "cleared");
    set(DATA, 'a');
    set(FCR, 0x00);
    cr_assert_not(get(LSR) & LSR_DR, "switched off");
    set(DATA, 'a');
    set(MCR, 0);
    set(MCR, LOOP);
    cr_assert_not(get(LSR) & LSR_DR, "left");
}

Test(uart16550, loopback_interrupts)
{
    set(IER, 0x01);
    set(MCR, LOOP);
    set(DATA, 'a');
    cr_assert(rec.level);
    cr_assert_eq(get(IIR), 0x04);
    get(DATA);
    cr_assert_not(rec.level);
}

Test(uart16550, reset_lowers_the_line)
{
    set(IER, 0x03);
    set(LCR, 0x80);
    type("a");
    ax_device_reset(dev);
    cr_assert_not(rec.level);
    cr_assert_eq(get(IER), 0);
    cr_assert_eq(get(LCR), 0);
    cr_assert_eq(get(DATA), 'a', "the host's bytes are still to come");
}

Test(uart16550, works_without_a_console)
{
    struct recorder bare;
    struct ax_device *uart;

    recorder_init(&bare);
    uart = recorder_device(&bare, &ax_uart16550);
    recorder_write(uart, IER, 1, 0x0f);
    recorder_write(uart, DATA, 1, 'x');
    cr_assert_eq(recorder_read(uart, DATA, 1), 0);
    cr_assert_eq(recorder_read(uart, LSR, 1), LSR_IDLE);
    ax_device_destroy(uart);
}
