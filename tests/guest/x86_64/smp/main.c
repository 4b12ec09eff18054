/*
 * main.c - all CPUs that the tables name come up, interrupt each other, and
 * share memory. cpus=N on the command line: how many there must be.
 */
#include "guest.h"
#include "irq.h"
#include "smp.h"
#include "trap.h"

enum { VECTOR_ORDER = 0x40, VECTOR_ALL = 0x41, VECTOR_FROM = 0x50 };
enum { ADDITIONS = 500, LEAF_TOPOLOGY = 0x0b };

/* [to][from]: interrupts that came. Written by CPU "to" alone. */
static volatile uint8_t heard[CPU_MAX][CPU_MAX];
static volatile uint32_t broadcasts, obeyed, total, starts;
static volatile uint8_t id_cpuid[CPU_MAX], id_apic[CPU_MAX], id_x2[CPU_MAX];

static void on_from(struct trap_frame *frame)
{
    heard[smp_self()][frame->vector - VECTOR_FROM]++;
    lapic_eoi();
}

static void on_broadcast(struct trap_frame *frame)
{
    (void)frame;
    atomic_add(&broadcasts, 1);
    lapic_eoi();
}

/* One interrupt to every CPU, each with a vector that names the sender. */
static void greet_all(void)
{
    unsigned self = smp_self();

    for (unsigned cpu = 0; cpu < cpus.count; cpu++)
        lapic_send(cpus.id[cpu], IRQ_ASSERT | (VECTOR_FROM + self));
}

static void on_order(struct trap_frame *frame)
{
    (void)frame;
    lapic_eoi();
    greet_all();
    atomic_add(&obeyed, 1);
}

static void ap_body(unsigned cpu)
{
    id_cpuid[cpu] = cpuid(1, 0).ebx >> 24;
    id_apic[cpu] = lapic_id();
    if (cpuid(0, 0).eax >= LEAF_TOPOLOGY)
        id_x2[cpu] = cpuid(LEAF_TOPOLOGY, 0).edx;
    for (unsigned i = 0; i < ADDITIONS; i++)
        atomic_add(&total, 1);
    atomic_add(&starts, 1);
}

static void check_tables(void)
{
    struct cpu_list madt, mp;
    bool have_madt = cpus_from_madt(&madt), have_mp = cpus_from_mp(&mp);
    bool same = madt.count == mp.count;

    report(have_madt, "there is a MADT");
    report(have_mp, "there is an MP table");
    for (unsigned i = 0; i < madt.count && same; i++)
        same = madt.id[i] == mp.id[i];
    if (have_madt && have_mp)
        report(same, "MADT and MP table name the same CPUs");
}

static void check_ids(void)
{
    bool own = true, topology = true;

    ap_body(smp_self());
    for (unsigned cpu = 0; cpu < cpus.count; cpu++) {
        own &= id_cpuid[cpu] == cpus.id[cpu] && id_apic[cpu] == cpus.id[cpu];
        topology &= id_x2[cpu] == cpus.id[cpu];
    }
    report(own, "each CPU's id in CPUID and in its APIC is the table's");
    if (cpuid(0, 0).eax >= LEAF_TOPOLOGY && cpuid(LEAF_TOPOLOGY, 0).ebx)
        report(topology, "and in the topology leaf");
    else
        report_skip("CPUID has no topology leaf");
}

static bool all_heard(void)
{
    for (unsigned to = 0; to < cpus.count; to++)
        for (unsigned from = 0; from < cpus.count; from++)
            if (heard[to][from] != 1)
                return false;
    return true;
}

static void check_interrupts(void)
{
    sti();
    for (unsigned cpu = 0; cpu < cpus.count; cpu++) {
        uint32_t before = obeyed;

        lapic_send(cpus.id[cpu], IRQ_ASSERT | VECTOR_ORDER);
        wait_for(obeyed != before);
    }
    report(obeyed == cpus.count, "each CPU obeys an interrupt");
    report(wait_for(all_heard()), "each CPU hears each CPU, once");
    lapic_send(0, IRQ_OTHERS | IRQ_ASSERT | VECTOR_ALL);
    report(wait_for(broadcasts == cpus.count - 1), "all hear a broadcast");
    broadcasts = 0;
    lapic_send(0, IRQ_ALL | IRQ_ASSERT | VECTOR_ALL);
    report(wait_for(broadcasts == cpus.count), "and one that includes oneself");
    cli();
}

static void check_restart(void)
{
    unsigned self = smp_self(), last = cpus.count - 1;

    last -= last == self;
    starts = 0;
    report(smp_start(last, ap_body) && wait_for(starts == 1),
           "INIT and SIPI start a running CPU anew");
}

void guest_main(void)
{
    unsigned wanted = cmdline_number("cpus", 1), up;

    pic_silence();
    trap_set(VECTOR_ORDER, on_order);
    trap_set(VECTOR_ALL, on_broadcast);
    check_tables();
    cpus_find(&cpus);
    for (unsigned cpu = 0; cpu < cpus.count; cpu++)
        trap_set(VECTOR_FROM + cpu, on_from);
    up = smp_start_all(ap_body);
    report(cpus.count == wanted, "%u CPUs in the tables, %u wanted", cpus.count,
           wanted);
    report(up == wanted, "%u CPUs are up", up);
    wait_for(starts == up - 1);
    check_ids();
    report(total == cpus.count * ADDITIONS, "no addition is lost");
    check_interrupts();
    if (cpus.count > 1)
        check_restart();
}
