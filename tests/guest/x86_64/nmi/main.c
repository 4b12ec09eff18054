/*
 * main.c - non-maskable interrupts: sleeps with interrupts off, which only an
 * NMI can end, and tells of each; the second ends the guest. With self=1 on the
 * command line it sends both itself, by its local APIC.
 */
#include "guest.h"
#include "irq.h"
#include "trap.h"

enum { VECTOR_NMI = 2, WANTED = 2 };

static uint32_t nmis;

/*
 * Ends the guest from here: between a look at the count and HLT the last NMI
 * would go unseen. Prints, which is safe because nobody else does after ready.
 */
static void on_nmi(struct trap_frame *frame)
{
    (void)frame;
    print("nmi %u\n", ++nmis);
    if (nmis == WANTED) {
        report(true, "%u NMIs came with interrupts off", nmis);
        report_finish();
    }
}

void guest_main(void)
{
    cli();
    pic_silence();
    lapic_enable();
    trap_set(VECTOR_NMI, on_nmi);
    print("ready\n");
    if (cmdline_is("self", "1")) {
        for (unsigned i = 0; i < WANTED; i++)
            lapic_send(lapic_id(), IRQ_NMI);
    }
    for (;;)
        __asm__ volatile("hlt");
}
