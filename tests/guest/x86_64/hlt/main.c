/*
 * main.c - HLT: sleep, wake by interrupt, go on behind the instruction. With
 * end=dead on the command line the CPU then sleeps for good, which only the
 * host can end.
 */
#include "guest.h"
#include "irq.h"
#include "tables.h"
#include "trap.h"

enum { VECTOR_TIMER = 0x40, VECTOR_PIT = 0x41, ROUNDS = 20 };

static volatile uint32_t timers, pits;

static void on_timer(struct trap_frame *frame)
{
    (void)frame;
    timers++;
    lapic_eoi();
}

static void on_pit(struct trap_frame *frame)
{
    (void)frame;
    pits++;
    lapic_eoi();
}

void guest_main(void)
{
    struct cpu_list list;
    unsigned woken = 0;
    uint64_t mark;

    pic_silence();
    lapic_enable();
    cpus_find(&list);
    trap_set(VECTOR_TIMER, on_timer);
    trap_set(VECTOR_PIT, on_pit);

    for (unsigned i = 0; i < ROUNDS; i++) {
        cli();
        lapic_timer(TIMER_ONESHOT | VECTOR_TIMER, 20000);
        sti_hlt();
        woken += timers == i + 1;
    }
    cli();
    report(woken == ROUNDS, "%u of %u sleeps ended by the local timer", woken,
           ROUNDS);

    /* The interrupt waits already: the CPU must not fall asleep over it. */
    lapic_timer(TIMER_ONESHOT | VECTOR_TIMER, 1);
    wait_for(lapic_read(LAPIC_IRR + VECTOR_TIMER / 32 * 16) & 1);
    sti_hlt();
    cli();
    report(timers == ROUNDS + 1, "a waiting interrupt ends the sleep at once");

    ioapic_route(list.pit_pin, VECTOR_PIT, lapic_id());
    pit_rate(PIT_HZ / 200);
    while (pits < 5)
        sti_hlt();
    cli();
    report(pits >= 5, "sleeps ended by the PIT");
    ioapic_route(list.pit_pin, IRQ_MASKED, 0);

    lapic_timer(TIMER_ONESHOT | VECTOR_TIMER, 20000);
    __asm__ volatile("movl $1, %k0; sti; hlt; movl $2, %k0; cli" : "=r"(mark));
    report(mark == 2, "execution goes on behind HLT");
    if (cmdline_is("end", "dead")) {
        print("sleeping for good\n");
        guest_stop();
    }
}
