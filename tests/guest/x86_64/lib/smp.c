/*
 * smp.c - INIT, SIPI and the C side of a CPU's entry (Intel SDM 3A, 9.4.4).
 * The waits that real hardware needs between the two are left out: what starts
 * here is always virtual, and its time is emulated.
 */
#include "smp.h"

#include "irq.h"
#include "layout.h"
#include "trap.h"

enum { STACK = 4096 };

extern const uint8_t trampoline[], trampoline_end[];
void ap_main(void);

struct cpu_list cpus;
uint64_t ap_stack;

static uint8_t stacks[CPU_MAX][STACK] __attribute__((aligned(16)));
static void (*volatile ap_body)(unsigned cpu);
static volatile unsigned ap_index;
static volatile bool ap_up;

unsigned smp_self(void)
{
    uint8_t id = lapic_id();
    unsigned cpu = 0;

    while (cpu < cpus.count && cpus.id[cpu] != id)
        cpu++;
    return cpu;
}

void ap_main(void)
{
    void (*body)(unsigned cpu) = ap_body;
    unsigned cpu = ap_index;

    trap_load();
    lapic_enable();
    ap_up = true;
    body(cpu);
    for (;;)
        sti_hlt();
}

bool smp_start(unsigned cpu, void (*body)(unsigned cpu))
{
    memcpy((void *)TRAMPOLINE, trampoline, trampoline_end - trampoline);
    ap_stack = (uint64_t)(stacks[cpu] + STACK);
    ap_body = body;
    ap_index = cpu;
    ap_up = false;
    lapic_send(cpus.id[cpu], IRQ_INIT | IRQ_ASSERT);
    lapic_send(cpus.id[cpu], IRQ_SIPI | IRQ_ASSERT | TRAMPOLINE >> 12);
    return wait_for(ap_up);
}

unsigned smp_start_all(void (*body)(unsigned cpu))
{
    unsigned up = 1;

    lapic_enable();
    cpus_find(&cpus);
    for (unsigned cpu = 0; cpu < cpus.count; cpu++)
        if (cpu != smp_self())
            up += smp_start(cpu, body);
    return up;
}
