/*
 * main.c - ring 3: real work there, every way back that any KVM offers,
 * interrupts that return to it, and devices reached from it.
 */
#include "guest.h"
#include "irq.h"
#include "trap.h"

enum { VECTOR_TIMER = 0x40, IF = 0x200, ERROR_USER_READ = 4 };
#define HOLE   0xd0000000ULL
#define HASH_3 0xd949aa186c0c4928ULL /* of work(3): FNV-1a of 0, 1, 2 */
#define LOCKED 0x00400000ULL         /* a page of the kernel's */

static volatile uint32_t timers;
static volatile uint64_t result, spins;

static void on_timer(struct trap_frame *frame)
{
    if ((frame->cs & 3) == 3)
        timers++;
    lapic_eoi();
}

/* A hash of the numbers below arg; then out by #UD. */
static void work(uint64_t arg)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (uint64_t i = 0; i < arg; i++)
        hash = (hash ^ (i & 0xff)) * 0x100000001b3;
    result = hash;
    __asm__ volatile("ud2");
}

static void breakpoint(uint64_t arg)
{
    result = arg + 1;
    __asm__ volatile("int3");
}

static void privileged(uint64_t arg)
{
    (void)arg;
    __asm__ volatile("cli; ud2");
}

static void touch_kernel(uint64_t arg)
{
    result = read32(arg);
    __asm__ volatile("ud2");
}

static void read_device(uint64_t arg)
{
    result = read32(arg);
    __asm__ volatile("ud2");
}

static void write_device(uint64_t arg)
{
    result = 0;
    for (unsigned off = 0; off < 64; off += 8)
        write64(arg + 4096 - 29 + off, 0);
    for (unsigned off = 0; off < 8; off++)
        result += read8(arg + off) + (read64(arg + 4092 + off) == ~0ULL);
    __asm__ volatile("ud2");
}

static void wait_for_timers(uint64_t arg)
{
    while (timers < arg)
        spins++;
    __asm__ volatile("ud2");
}

static void check_ways(void)
{
    report(user_run(work, 3, 0) == TRAP_UD && (trap_last.cs & 3) == 3,
           "back by #UD, from ring 3");
    report(result == HASH_3, "a loop was run there");
    report(user_run(breakpoint, 41, 0) == TRAP_BP && result == 42,
           "back by #BP");
    report(user_run(privileged, 0, 0) == TRAP_GP, "CLI there is #GP");
    report(user_run(touch_kernel, LOCKED, 0) == TRAP_PF &&
               trap_last.error == (ERROR_USER_READ | 1) && read_cr2() == LOCKED,
           "the kernel's memory there is #PF");
}

static void check_work(void)
{
    uint64_t first;

    user_run(work, 50000000, 0);
    first = result;
    user_run(work, 50000000, 0);
    report(first == result, "50 million steps, twice, with one result");
}

static void check_devices(void)
{
    page_user(HOLE);
    page_user(LAPIC_BASE);
    page_user(IOAPIC_BASE);
    report(user_run(read_device, HOLE, 0) == TRAP_UD && result == 0xffffffff,
           "a hole read from ring 3");
    report(user_run(write_device, HOLE, 0) == TRAP_UD && result == 8 * 0xff + 8,
           "every alignment there, across a page");
    report(user_run(read_device, LAPIC_BASE + LAPIC_VERSION, 0) == TRAP_UD &&
               result == lapic_read(LAPIC_VERSION),
           "the local APIC read from ring 3");
    ioapic_read(1);
    report(user_run(read_device, IOAPIC_BASE + 0x10, 0) == TRAP_UD &&
               result == ioapic_read(1),
           "the I/O APIC read from ring 3");
}

static void check_interrupts(void)
{
    trap_set(VECTOR_TIMER, on_timer);
    lapic_timer(TIMER_PERIODIC | VECTOR_TIMER, 100000);
    report(user_run(wait_for_timers, 10, IF) == TRAP_UD && timers >= 10,
           "timer interrupts come and go in ring 3");
    lapic_timer(IRQ_MASKED, 0);
    report(spins > 0, "which goes on in between");
}

void guest_main(void)
{
    pic_silence();
    lapic_enable();
    page_user((uint64_t)guest_main);
    check_ways();
    check_work();
    check_devices();
    check_interrupts();
}
