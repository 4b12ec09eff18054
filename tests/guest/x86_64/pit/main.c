/*
 * main.c - the 8254: counting, rates, its interrupt through the I/O APIC and
 * through the 8259, and counter 2 with its gate and output.
 */
#include "guest.h"
#include "irq.h"
#include "tables.h"
#include "trap.h"

enum { VECTOR_IOAPIC = 0x40, PIC_BASE = 0x48, RATE = 500, WANTED = 10 };

static volatile uint32_t through_ioapic, through_pic;

static void on_ioapic(struct trap_frame *frame)
{
    (void)frame;
    through_ioapic++;
    lapic_eoi();
}

static void on_pic(struct trap_frame *frame)
{
    (void)frame;
    through_pic++;
    pic_eoi(0);
}

static void check_counter(void)
{
    uint16_t first;

    pit_rate(0);
    first = pit_read();
    report(wait_for(pit_read() != first), "counter 0 counts");
}

static void check_ioapic(unsigned pin)
{
    uint32_t seen;

    trap_set(VECTOR_IOAPIC, on_ioapic);
    ioapic_route(pin, VECTOR_IOAPIC, lapic_id());
    pit_rate(PIT_HZ / RATE);
    sti();
    report(wait_for(through_ioapic >= WANTED),
           "periodic interrupts at I/O APIC pin %u", pin);
    cli();

    ioapic_route(pin, IRQ_MASKED | VECTOR_IOAPIC, lapic_id());
    sti();
    pause();
    cli();
    seen = through_ioapic;
    sti();
    for (uint16_t n = 0; n < 1000; n++)
        pause();
    cli();
    report(seen == through_ioapic, "none while the pin is masked");

    pit_count(0xffff); /* not over before the next count replaces it */
    ioapic_route(pin, VECTOR_IOAPIC, lapic_id());
    pit_count(PIT_HZ / RATE);
    seen = through_ioapic;
    sti();
    report(wait_for(through_ioapic > seen), "one shot: an interrupt");
    seen = through_ioapic;
    pit_read();
    for (uint16_t n = 0; n < 1000; n++)
        pause();
    cli();
    report(seen == through_ioapic, "one shot: only one");
    ioapic_route(pin, IRQ_MASKED, 0);
}

static void check_pic(void)
{
    if (!pic_present()) {
        report_skip("8259: there is none");
        return;
    }
    trap_set(PIC_BASE, on_pic);
    pic_start(PIC_BASE);
    lapic_write(LAPIC_LVT_LINT0, IRQ_EXTINT);
    pic_mask(0xfffe);
    pit_rate(PIT_HZ / RATE);
    sti();
    report(wait_for(through_pic >= WANTED), "periodic interrupts at the 8259");
    cli();
    pic_silence();
    lapic_write(LAPIC_LVT_LINT0, IRQ_MASKED);
}

/* The host may sleep in between: any good measurement of several will do. */
static void check_gate(void)
{
    enum { TRIES = 20 };
    uint64_t hz = 0;
    bool good = false;

    for (unsigned i = 0; i < TRIES && !good; i++) {
        hz = tsc_measure();
        good = hz > 100000000 && hz < 20000000000;
    }
    report(hz != 0, "counter 2's output rises at port 0x61");
    report(good, "the TSC runs at a plausible rate against it");
}

void guest_main(void)
{
    struct cpu_list list;

    pic_silence();
    lapic_enable();
    cpus_find(&list);
    check_counter();
    check_ioapic(list.pit_pin);
    check_pic();
    check_gate();
}
