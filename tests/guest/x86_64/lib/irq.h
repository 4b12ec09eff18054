/*
 * irq.h - interrupt controllers and timers of the PC: local APIC (xAPIC, by
 * MMIO), I/O APIC, the 8259 pair and the 8254. Addresses are the usual ones.
 */
#ifndef GUEST_IRQ_H
#define GUEST_IRQ_H

#include "cpu.h"

enum {
    LAPIC_ID = 0x20,
    LAPIC_VERSION = 0x30,
    LAPIC_TPR = 0x80,
    LAPIC_EOI = 0xb0,
    LAPIC_LDR = 0xd0,
    LAPIC_DFR = 0xe0,
    LAPIC_SVR = 0xf0,
    LAPIC_ISR = 0x100,
    LAPIC_IRR = 0x200,
    LAPIC_ICR = 0x300,
    LAPIC_ICR_HIGH = 0x310,
    LAPIC_LVT_TIMER = 0x320,
    LAPIC_LVT_LINT0 = 0x350,
    LAPIC_TIMER_INITIAL = 0x380,
    LAPIC_TIMER_CURRENT = 0x390,
    LAPIC_TIMER_DIVIDE = 0x3e0,
};

/* Interrupt command, LVT and redirection bits. */
enum {
    IRQ_FIXED = 0x000,
    IRQ_NMI = 0x400,
    IRQ_INIT = 0x500,
    IRQ_SIPI = 0x600,
    IRQ_EXTINT = 0x700,
    IRQ_LOGICAL = 0x800,
    IRQ_PENDING = 0x1000,
    IRQ_ACTIVE_LOW = 0x2000,
    IRQ_ASSERT = 0x4000,
    IRQ_REMOTE_IRR = 0x4000,
    IRQ_LEVEL = 0x8000,
    IRQ_MASKED = 0x10000,
    IRQ_SELF = 0x40000,
    IRQ_ALL = 0x80000,
    IRQ_OTHERS = 0xc0000,
    TIMER_ONESHOT = 0x00000,
    TIMER_PERIODIC = 0x20000,
    TIMER_DEADLINE = 0x40000,
};

enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, PIT_HZ = 1193182 };

#define LAPIC_BASE  0xfee00000ULL
#define IOAPIC_BASE 0xfec00000ULL

static inline uint32_t lapic_read(unsigned reg)
{
    return read32(LAPIC_BASE + reg);
}

static inline void lapic_write(unsigned reg, uint32_t val)
{
    write32(LAPIC_BASE + reg, val);
}

static inline uint8_t lapic_id(void)
{
    return lapic_read(LAPIC_ID) >> 24;
}

static inline void lapic_eoi(void)
{
    lapic_write(LAPIC_EOI, 0);
}

/* Every CPU: local APIC on, nothing masked by priority, LINT0 off. */
void lapic_enable(void);

/* command: IRQ_* and a vector; waits until the APIC took it. */
void lapic_send(uint8_t to, uint32_t command);

/* Divides the timer's clock by 16. */
void lapic_timer(uint32_t mode_and_vector, uint32_t count);

uint32_t ioapic_read(uint8_t reg);
void ioapic_write(uint8_t reg, uint32_t val);

/* Redirection entry of a pin: low word, and the local APIC it goes to. */
void ioapic_route(unsigned pin, uint32_t low, uint8_t to);
uint32_t ioapic_entry(unsigned pin);

/*
 * Both 8259s silent, which every guest on the APICs wants; pic_start numbers
 * their inputs from vector base on (a multiple of 8), all masked.
 */
void pic_silence(void);
bool pic_present(void);
void pic_start(uint8_t base);
void pic_mask(uint16_t masked);
void pic_eoi(unsigned irq);

/* Counter 0. rate: mode 2, count: mode 0 (one interrupt at the end). */
void pit_rate(uint16_t divisor);
void pit_count(uint16_t count);
uint16_t pit_read(void);

/* TSC cycles per second, measured against counter 2; 0: it does not run. */
uint64_t tsc_measure(void);

#endif
