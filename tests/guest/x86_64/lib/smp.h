/*
 * smp.h - the other CPUs: bring them up with INIT and SIPI, one at a time.
 */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include "tables.h"

/* All CPUs, the boot CPU wherever the tables have it. */
extern struct cpu_list cpus;

/* Index in cpus of the CPU that asks. */
unsigned smp_self(void);

/*
 * Starts cpus.id[cpu] in body(cpu), with its local APIC enabled and interrupts
 * off; when body returns, the CPU sleeps and only answers interrupts. false: it
 * did not come up. A CPU that is up is reset first and starts anew.
 */
bool smp_start(unsigned cpu, void (*body)(unsigned cpu));

/* cpus_find, then every CPU but this one; returns how many run, with this. */
unsigned smp_start_all(void (*body)(unsigned cpu));

#endif
