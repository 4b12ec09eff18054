/*
 * main.c - reports its own panic through the pvpanic port.
 */
#include "guest.h"

enum { PVPANIC = 0x505, PANICKED = 0x01 };

void guest_main(void)
{
    uint8_t events = in8(PVPANIC);

    report((events & PANICKED) && events != 0xff, "pvpanic is there: 0x%x",
           events);
    print("panicking\n");
    out8(PVPANIC, events & PANICKED);
    wait_for(false);
    report(false, "still alive");
}
