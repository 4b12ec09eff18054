/*
 * irq.c - the PC's interrupt controllers and timers, as far as guests use them.
 */
#include "irq.h"

#include "guest.h"

enum { SVR_ON = 0x100, SPURIOUS = 0xff, DIVIDE_BY_16 = 3 };
enum { IOAPIC_INDEX = 0x00, IOAPIC_DATA = 0x10, IOAPIC_TABLE = 0x10 };
enum { PIC1 = 0x20, PIC2 = 0xa0, PIC_EOI = 0x20 };
enum { PIT_DATA = 0x40, PIT_COMMAND = 0x43, PIT_GATE = 0x61 };

void lapic_enable(void)
{
    lapic_write(LAPIC_TPR, 0);
    lapic_write(LAPIC_LVT_LINT0, IRQ_MASKED);
    lapic_write(LAPIC_SVR, SVR_ON | SPURIOUS);
}

void lapic_send(uint8_t to, uint32_t command)
{
    lapic_write(LAPIC_ICR_HIGH, (uint32_t)to << 24);
    lapic_write(LAPIC_ICR, command);
    wait_for(!(lapic_read(LAPIC_ICR) & IRQ_PENDING));
}

void lapic_timer(uint32_t mode_and_vector, uint32_t count)
{
    lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_16);
    lapic_write(LAPIC_LVT_TIMER, mode_and_vector);
    lapic_write(LAPIC_TIMER_INITIAL, count);
}

uint32_t ioapic_read(uint8_t reg)
{
    write32(IOAPIC_BASE + IOAPIC_INDEX, reg);
    return read32(IOAPIC_BASE + IOAPIC_DATA);
}

void ioapic_write(uint8_t reg, uint32_t val)
{
    write32(IOAPIC_BASE + IOAPIC_INDEX, reg);
    write32(IOAPIC_BASE + IOAPIC_DATA, val);
}

void ioapic_route(unsigned pin, uint32_t low, uint8_t to)
{
    ioapic_write(IOAPIC_TABLE + pin * 2, IRQ_MASKED);
    ioapic_write(IOAPIC_TABLE + pin * 2 + 1, (uint32_t)to << 24);
    ioapic_write(IOAPIC_TABLE + pin * 2, low);
}

uint32_t ioapic_entry(unsigned pin)
{
    return ioapic_read(IOAPIC_TABLE + pin * 2);
}

void pic_silence(void)
{
    pic_mask(0xffff);
}

bool pic_present(void)
{
    uint8_t mask;

    out8(PIC1 + 1, 0xa5);
    mask = in8(PIC1 + 1);
    out8(PIC1 + 1, 0xff);
    return mask == 0xa5;
}

void pic_start(uint8_t base)
{
    out8(PIC1, 0x11);
    out8(PIC1 + 1, base);
    out8(PIC1 + 1, 0x04);
    out8(PIC1 + 1, 0x01);
    out8(PIC2, 0x11);
    out8(PIC2 + 1, base + 8);
    out8(PIC2 + 1, 0x02);
    out8(PIC2 + 1, 0x01);
    pic_silence();
}

void pic_mask(uint16_t masked)
{
    out8(PIC1 + 1, masked & 0xff);
    out8(PIC2 + 1, masked >> 8);
}

void pic_eoi(unsigned irq)
{
    if (irq >= 8)
        out8(PIC2, PIC_EOI);
    out8(PIC1, PIC_EOI);
}

static void pit_start(uint8_t command, unsigned counter, uint16_t count)
{
    out8(PIT_COMMAND, command);
    out8(PIT_DATA + counter, count & 0xff);
    out8(PIT_DATA + counter, count >> 8);
}

void pit_rate(uint16_t divisor)
{
    pit_start(0x34, 0, divisor);
}

void pit_count(uint16_t count)
{
    pit_start(0x30, 0, count);
}

uint16_t pit_read(void)
{
    uint8_t low;

    out8(PIT_COMMAND, 0x00);
    low = in8(PIT_DATA);
    return low | in8(PIT_DATA) << 8;
}

/* Port 0x61: bit 0 gates counter 2, bit 5 is its output. */
uint64_t tsc_measure(void)
{
    enum { MS = 20, COUNT = PIT_HZ * MS / 1000 };
    uint64_t began;

    out8(PIT_GATE, (in8(PIT_GATE) & ~0x02) | 0x01);
    pit_start(0xb0, 2, COUNT);
    began = rdtsc();
    if (!wait_for(in8(PIT_GATE) & 0x20))
        return 0;
    return (rdtsc() - began) * 1000 / MS;
}
