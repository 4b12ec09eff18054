/*
 * main.c - the local APIC: its timer in every mode it has, interrupts to
 * itself, priorities, and x2APIC.
 */
#include "guest.h"
#include "irq.h"
#include "trap.h"

enum { VECTOR_TIMER = 0x40, VECTOR_LOW = 0x50, VECTOR_HIGH = 0x60 };
enum { COUNT = 10000, BIT_X2APIC = 1 << 21, BIT_DEADLINE = 1 << 24 };
enum { APIC_BASE_X2APIC = 1 << 10, X2APIC_ID = 0x802, X2APIC_EOI = 0x80b };
enum { X2APIC_ICR = 0x830 };

static volatile uint32_t timers, lows, highs, order, low_order, high_order;
static volatile bool x2apic;

static void acknowledge(void)
{
    if (x2apic)
        wrmsr(X2APIC_EOI, 0);
    else
        lapic_eoi();
}

static void on_timer(struct trap_frame *frame)
{
    (void)frame;
    timers++;
    acknowledge();
}

static void on_low(struct trap_frame *frame)
{
    (void)frame;
    lows++;
    low_order = ++order;
    acknowledge();
}

static void on_high(struct trap_frame *frame)
{
    (void)frame;
    highs++;
    high_order = ++order;
    acknowledge();
}

static void send_self(uint32_t vector)
{
    lapic_write(LAPIC_ICR, IRQ_SELF | IRQ_ASSERT | vector);
}

static void check_timer(void)
{
    uint32_t seen;

    timers = 0;
    lapic_timer(TIMER_ONESHOT | VECTOR_TIMER, COUNT);
    sti();
    report(wait_for(timers == 1), "timer, one shot");
    report(wait_for(lapic_read(LAPIC_TIMER_CURRENT) == 0),
           "its count stays at zero");
    lapic_timer(TIMER_PERIODIC | VECTOR_TIMER, COUNT);
    report(wait_for(timers >= 6), "timer, periodic");
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    pause();
    seen = timers;
    for (unsigned i = 0; i < 1000; i++)
        pause();
    report(seen == timers, "a count of 0 stops it");
    lapic_timer(IRQ_MASKED | TIMER_ONESHOT | VECTOR_TIMER, COUNT);
    report(wait_for(lapic_read(LAPIC_TIMER_CURRENT) == 0) && seen == timers,
           "masked, it counts and is silent");
    cli();
}

static void check_deadline(void)
{
    uint32_t seen = timers;

    if (!(cpuid(1, 0).ecx & BIT_DEADLINE)) {
        report_skip("TSC deadline: CPUID has no such timer");
        return;
    }
    lapic_write(LAPIC_LVT_TIMER, TIMER_DEADLINE | VECTOR_TIMER);
    __asm__ volatile("lfence" : : : "memory");
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1000000);
    sti();
    report(wait_for(timers == seen + 1), "timer, TSC deadline");
    report(rdmsr(MSR_TSC_DEADLINE) == 0, "the deadline is cleared");
    wrmsr(MSR_TSC_DEADLINE, 1);
    report(wait_for(timers == seen + 2), "a deadline in the past is at once");
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + (1ULL << 40));
    wrmsr(MSR_TSC_DEADLINE, 0);
    report(rdmsr(MSR_TSC_DEADLINE) == 0, "a deadline can be taken back");
    cli();
}

static void check_priorities(void)
{
    send_self(VECTOR_LOW);
    send_self(VECTOR_HIGH);
    report(!lows && !highs, "interrupts wait while the CPU masks them");
    sti();
    report(wait_for(lows == 1 && highs == 1) && high_order < low_order,
           "the higher vector comes first");
    lapic_write(LAPIC_TPR, VECTOR_LOW | 0x0f);
    send_self(VECTOR_LOW);
    send_self(VECTOR_HIGH);
    report(wait_for(highs == 2) && lows == 1, "the task priority holds back");
    lapic_write(LAPIC_TPR, 0);
    report(wait_for(lows == 2), "and lets go");
    cli();
    send_self(VECTOR_LOW);
    send_self(VECTOR_LOW);
    sti();
    report(wait_for(lows == 3), "the same vector twice is one interrupt");
    cli();
}

static void check_x2apic(void)
{
    uint32_t id = lapic_id();

    if (!(cpuid(1, 0).ecx & BIT_X2APIC)) {
        report_skip("x2APIC: CPUID has none");
        return;
    }
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
    x2apic = true;
    report(rdmsr(X2APIC_ID) == id, "x2APIC: the same id");
    wrmsr(X2APIC_ICR, (uint64_t)id << 32 | IRQ_ASSERT | VECTOR_HIGH);
    sti();
    report(wait_for(highs == 3), "x2APIC: an interrupt to itself");
    cli();
}

void guest_main(void)
{
    pic_silence();
    lapic_enable();
    trap_set(VECTOR_TIMER, on_timer);
    trap_set(VECTOR_LOW, on_low);
    trap_set(VECTOR_HIGH, on_high);
    check_timer();
    check_deadline();
    check_priorities();
    check_x2apic();
}
