/*
 * main.c - how much time has passed, by three clocks: ticks of the PIT at
 * 100 Hz, the ACPI PM timer and the TSC. Each byte from the console is answered
 * by one line, "ticks=N pm=N tsc=N", all counted from the guest's start; an 'x'
 * ends the guest. The host suspends it meanwhile and compares.
 */
#include "guest.h"
#include "irq.h"
#include "tables.h"
#include "trap.h"

enum { DATA, IER, LSR = 5, IER_RX = 0x01, LSR_DR = 0x01 };
enum { VECTOR_PIT = 0x40, VECTOR_UART = 0x44, UART_PIN = 4, RATE = 100 };
enum { FADT_PM_TIMER = 76 }; /* ACPI specification 6.5, table 5.9 */

static volatile uint32_t ticks;

static void on_pit(struct trap_frame *frame)
{
    (void)frame;
    ticks++;
    lapic_eoi();
}

/* It only wakes: the line falls when guest_main has read the bytes. */
static void on_uart(struct trap_frame *frame)
{
    (void)frame;
    out8(COM1 + IER, 0);
    lapic_eoi();
}

static uint16_t pm_port(void)
{
    const struct acpi_header *fadt = acpi_find("FACP");
    uint32_t port = 0;

    if (fadt)
        memcpy(&port, (const uint8_t *)fadt + FADT_PM_TIMER, sizeof(port));
    return (uint16_t)port;
}

/* Sleeps until there is a byte; ticks come meanwhile. */
static uint8_t next_byte(void)
{
    for (;;) {
        cli();
        if (in8(COM1 + LSR) & LSR_DR)
            break;
        out8(COM1 + IER, IER_RX);
        sti_hlt();
    }
    sti();
    return in8(COM1 + DATA);
}

void guest_main(void)
{
    const uint16_t pm = pm_port();
    struct cpu_list list;
    uint32_t pm_began;
    uint64_t tsc_began;

    pic_silence();
    lapic_enable();
    cpus_find(&list);
    report(pm != 0, "the FADT names a PM timer");
    trap_set(VECTOR_PIT, on_pit);
    trap_set(VECTOR_UART, on_uart);
    ioapic_route(list.pit_pin, VECTOR_PIT, lapic_id());
    ioapic_route(UART_PIN, VECTOR_UART, lapic_id());
    pit_rate(PIT_HZ / RATE);
    pm_began = in32(pm);
    tsc_began = rdtsc();
    sti();
    report(wait_for(ticks), "the PIT ticks");
    print("ready\n");
    while (next_byte() != 'x')
        print("ticks=%u pm=%u tsc=%lu\n", ticks, in32(pm) - pm_began,
              rdtsc() - tsc_began);
}
