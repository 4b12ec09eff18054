/*
 * main.c - spins with interrupts off, for ever: only a kick gets it out.
 * where=user: in ring 3, with interrupts off as well.
 */
#include "guest.h"
#include "trap.h"

static void spin(uint64_t arg)
{
    (void)arg;
    __asm__ volatile("1: jmp 1b");
}

void guest_main(void)
{
    print("spinning\n");
    cli();
    if (cmdline_is("where", "user")) {
        page_user((uint64_t)guest_main);
        user_run(spin, 0, 0);
    } else {
        spin(0);
    }
    report(false, "it ended");
}
