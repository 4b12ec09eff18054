/*
 * main.c - the ACPI power button: enables it, waits for the SCI, and powers off
 * when it was pressed. deaf=yes: enables it and does nothing when it comes.
 */
#include "guest.h"
#include "irq.h"
#include "trap.h"

enum { PM1_STATUS = 0x600, PM1_ENABLE = 0x602, PWRBTN = 0x0100 };
enum { SCI = 9, VECTOR = 0x59 };

static volatile bool pressed;

static void on_sci(struct trap_frame *frame)
{
    (void)frame;
    if (in16(PM1_STATUS) & PWRBTN) {
        pressed = true;
        out16(PM1_STATUS, PWRBTN); /* drops the wire, which is level */
    }
    lapic_eoi();
}

void guest_main(void)
{
    pic_silence();
    lapic_enable();
    trap_set(VECTOR, on_sci);
    ioapic_route(SCI, IRQ_LEVEL | VECTOR, lapic_id());
    out16(PM1_ENABLE, PWRBTN);
    print("waiting for the power button\n");
    while (!pressed || cmdline_is("deaf", "yes")) {
        sti_hlt();
        cli();
    }
    print("pressed: powering off\n");
    guest_power_off();
}
