/*
 * main.c - the I/O APIC: its registers, and its delivery, driven by the one
 * wire a guest can move at will: the UART's transmitter interrupt on pin 4.
 */
#include "guest.h"
#include "irq.h"
#include "trap.h"

enum { VECTOR = 0x51, VECTOR_OTHER = 0x61, PIN = 4, IER = 1, IIR = 2 };
enum { IER_TX = 0x02, REG_ID = 0, REG_VERSION = 1, TABLE = 0x10 };

enum { IIR_NONE = 0x01, KEPT = 3 };

static volatile uint32_t count, causes, others;
static volatile bool keep_wire;

/* Reading the cause drops the wire; keep_wire: only the third time. */
static void on_uart(struct trap_frame *frame)
{
    count++;
    others += frame->vector == VECTOR_OTHER;
    if (!keep_wire || count % KEPT == 0)
        causes += !(in8(COM1 + IIR) & IIR_NONE);
    lapic_eoi();
}

static void wire_up(void)
{
    out8(COM1 + IER, IER_TX);
}

static void wire_down(void)
{
    out8(COM1 + IER, 0);
}

/* How many interrupts does the wire's going up make? */
static uint32_t fire(uint32_t low, uint8_t to, uint32_t wanted)
{
    count = causes = 0;
    ioapic_route(PIN, low, to);
    wire_up();
    sti();
    wait_for(count >= wanted);
    for (unsigned i = 0; i < 500; i++)
        pause();
    cli();
    wire_down();
    ioapic_route(PIN, IRQ_MASKED, 0);
    return count;
}

static void check_registers(void)
{
    bool masked = true;

    report((ioapic_read(REG_VERSION) & 0xff) >= 0x11 &&
               (ioapic_read(REG_VERSION) >> 16 & 0xff) == 23,
           "version, and 24 pins");
    for (unsigned pin = 1; pin < 24; pin++)
        masked &= (ioapic_entry(pin) & IRQ_MASKED) != 0;
    report(masked, "every pin is masked at reset");
    ioapic_write(REG_ID, 0x05000000);
    report((ioapic_read(REG_ID) & 0x0f000000) == 0x05000000,
           "the id can be written");
    ioapic_write(TABLE + PIN * 2, 0xffffffff);
    report((ioapic_entry(PIN) & 0x5000) == 0,
           "delivery status and remote IRR cannot");
    ioapic_write(TABLE + PIN * 2, IRQ_MASKED);
    ioapic_write(0x40, 0);
    (void)ioapic_read(0xff);
    report((ioapic_read(REG_VERSION) >> 16 & 0xff) == 23,
           "registers past the table do no harm");
}

static void expect(uint32_t got, uint32_t wanted, const char *what)
{
    if (got == wanted)
        report(true, "%s", what);
    else
        report(false, "%s: %u interrupts", what, got);
}

/*
 * A level may come once too often, without a cause: some KVMs that emulate ring
 * 0 do that, and every driver of a level-triggered wire must bear it.
 */
static void check_level(uint8_t to)
{
    report(fire(IRQ_LEVEL | VECTOR, to, 1) >= 1 && causes == 1,
           "level: one interrupt with a cause");
    keep_wire = true;
    report(fire(IRQ_LEVEL | VECTOR, to, KEPT) >= KEPT && causes == 1,
           "level: again after each EOI while the wire is up");
    keep_wire = false;
}

static void check_delivery(void)
{
    uint8_t self = lapic_id();

    expect(fire(VECTOR, self, 1), 1, "edge: one interrupt");
    expect(fire(VECTOR, self, 1), 1, "edge: again, one interrupt");
    expect(fire(IRQ_MASKED | VECTOR, self, 0), 0, "masked: none");
    check_level(self);
    expect(fire(VECTOR_OTHER, self, 1), 1, "another vector");
    expect(others, 1, "and that one indeed");

    lapic_write(LAPIC_DFR, 0xffffffff);
    lapic_write(LAPIC_LDR, 0x04000000);
    expect(fire(IRQ_LOGICAL | VECTOR, 0x04, 1), 1, "logical destination");
    expect(fire(IRQ_LOGICAL | VECTOR, 0x08, 0), 0,
           "logical destination of nobody");
    expect(fire(IRQ_LOGICAL | 0x100 | VECTOR, 0xff, 1), 1, "lowest priority");
}

/* A level waits behind the mask; then it is delivered. */
static void check_unmask(void)
{
    uint8_t self = lapic_id();

    count = 0;
    ioapic_route(PIN, IRQ_LEVEL | IRQ_MASKED | VECTOR, self);
    wire_up();
    sti();
    for (unsigned i = 0; i < 500; i++)
        pause();
    report(count == 0, "level behind the mask: none");
    ioapic_route(PIN, IRQ_LEVEL | VECTOR, self);
    report(wait_for(count >= 1), "level, mask lifted: it comes");
    cli();
    wire_down();
}

void guest_main(void)
{
    pic_silence();
    lapic_enable();
    trap_set(VECTOR, on_uart);
    trap_set(VECTOR_OTHER, on_uart);
    check_registers();
    check_delivery();
    check_unmask();
}
