/*
 * main.c - CPUs for a debugger to stop, in states that differ: 0 and 1 work and
 * check what they compute, 2 sleeps with interrupts off, 3 waits for its start
 * for ever, 4 spins with interrupts off; as many of them as there are.
 *
 * The workers end when finish is set, after rounds=N on the command line (0: as
 * long as it takes), or by 'q' on the console. Should anything of theirs come
 * out wrong, the guest says FAIL and ends with status 35.
 */
#include "guest.h"
#include "irq.h"
#include "smp.h"
#include "trap.h"

/* By name, for the debugger. */
#define KEPT static __attribute__((noinline, used))

enum { WORKERS = 2, SLEEPER = 2, WAITER = 3, SPINNER = 4 };
enum { BLOCK = 64, VECTOR_TIMER = 0x40, LOOK = 32 };

/* ---- for the debugger to read and to set ---- */

volatile uint32_t finish, readies;
volatile uint32_t rounds_wanted;
volatile uint32_t marks[WORKERS], rounds[WORKERS], wrong[WORKERS];
volatile uint32_t shared, ended;
volatile uint64_t ticks[WORKERS], spins;

static uint64_t blocks[WORKERS][BLOCK];
static volatile uint64_t expected;

KEPT void ready(void)
{
    readies++;
}

/* Where both workers come by in each round; mark_here is the instruction that
 * counts it. */
KEPT void mark(unsigned cpu)
{
    __asm__ volatile(".global mark_here\n"
                     "mark_here:\n\t"
                     "incl %0"
                     : "+m"(marks[cpu]));
}

static void on_timer(struct trap_frame *frame)
{
    (void)frame;
    ticks[smp_self()]++;
    lapic_eoi();
}

/*
 * Registers have values of their own while a loop runs: 0 if they have them
 * behind it. Not RBP, by which a debugger finds the frame.
 */
KEPT uint64_t check_registers(uint64_t turns)
{
    uint64_t bad;

    __asm__ volatile("movq $0x1001, %%rax\n\t"
                     "movq $0x1002, %%rbx\n\t"
                     "movq $0x1003, %%rdx\n\t"
                     "movq $0x1004, %%rsi\n\t"
                     "movq $0x1005, %%rdi\n\t"
                     "movq $0x1007, %%r8\n\t"
                     "movq $0x1008, %%r9\n\t"
                     "movq $0x1009, %%r10\n\t"
                     "movq $0x100a, %%r11\n\t"
                     "movq $0x100b, %%r12\n\t"
                     "movq $0x100c, %%r13\n\t"
                     "movq $0x100d, %%r14\n\t"
                     "movq $0x100e, %%r15\n\t"
                     "stc\n"
                     "1: nop\n\t"
                     "decq %%rcx\n\t" /* leaves the carry flag alone */
                     "jnz 1b\n\t"
                     "sbbq $-1, %%rcx\n\t" /* 0 if it is still set */
                     "xorq $0x1001, %%rax\n\t"
                     "xorq $0x1002, %%rbx\n\t"
                     "xorq $0x1003, %%rdx\n\t"
                     "xorq $0x1004, %%rsi\n\t"
                     "xorq $0x1005, %%rdi\n\t"
                     "xorq $0x1007, %%r8\n\t"
                     "xorq $0x1008, %%r9\n\t"
                     "xorq $0x1009, %%r10\n\t"
                     "xorq $0x100a, %%r11\n\t"
                     "xorq $0x100b, %%r12\n\t"
                     "xorq $0x100c, %%r13\n\t"
                     "xorq $0x100d, %%r14\n\t"
                     "xorq $0x100e, %%r15\n\t"
                     "orq %%rbx, %%rax\n\t"
                     "orq %%rcx, %%rax\n\t"
                     "orq %%rdx, %%rax\n\t"
                     "orq %%rsi, %%rax\n\t"
                     "orq %%rdi, %%rax\n\t"
                     "orq %%r8, %%rax\n\t"
                     "orq %%r9, %%rax\n\t"
                     "orq %%r10, %%rax\n\t"
                     "orq %%r11, %%rax\n\t"
                     "orq %%r12, %%rax\n\t"
                     "orq %%r13, %%rax\n\t"
                     "orq %%r14, %%rax\n\t"
                     "orq %%r15, %%rax"
                     : "=a"(bad), "+c"(turns)
                     :
                     : "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
                       "r12", "r13", "r14", "r15", "cc", "memory");
    return bad;
}

KEPT uint64_t checksum(uint64_t *block)
{
    uint64_t sum = 0x1234567;

    for (unsigned i = 0; i < BLOCK; i++) {
        block[i] = sum;
        sum = sum * 6364136223846793005 + 1442695040888963407;
    }
    for (unsigned i = 0; i < BLOCK; i++)
        sum = (sum << 7 | sum >> 57) ^ block[i];
    return sum;
}

static bool over(unsigned cpu)
{
    if (!cpu && !(rounds[0] % LOOK) && (in8(COM1 + 5) & 1) && in8(COM1) == 'q')
        finish = 1;
    if (rounds_wanted && rounds[cpu] >= rounds_wanted)
        finish = 1;
    return finish;
}

KEPT void work(unsigned cpu)
{
    lapic_timer(TIMER_PERIODIC | VECTOR_TIMER, 300000);
    sti();
    while (!over(cpu)) {
        if (check_registers(100))
            wrong[cpu]++;
        if (checksum(blocks[cpu]) != expected)
            wrong[cpu]++;
        atomic_add(&shared, 1);
        mark(cpu);
        rounds[cpu]++;
    }
    cli();
    atomic_add(&ended, 1);
}

KEPT void spin(void)
{
    for (;;)
        spins++;
}

/* The index is not the APIC id: tables may have any order. */
static void ap_body(unsigned cpu)
{
    if (cpu == SLEEPER)
        guest_stop();
    if (cpu == SPINNER)
        spin();
    work(cpu);
}

static void start_all(void)
{
    for (unsigned cpu = 1; cpu < cpus.count; cpu++)
        if (cpu != WAITER)
            report(smp_start(cpu, ap_body), "CPU %u has started", cpu);
}

static void verdict(unsigned workers)
{
    uint32_t sum = 0;

    for (unsigned cpu = 0; cpu < workers; cpu++) {
        report(!wrong[cpu], "CPU %u: %u rounds, %u wrong", cpu, rounds[cpu],
               wrong[cpu]);
        report(marks[cpu] == rounds[cpu], "CPU %u: a mark in each", cpu);
        sum += rounds[cpu];
    }
    report(shared == sum, "no addition is lost");
}

void guest_main(void)
{
    unsigned workers;

    pic_silence();
    lapic_enable();
    trap_set(VECTOR_TIMER, on_timer);
    cpus_find(&cpus);
    workers = cpus.count < WORKERS ? cpus.count : WORKERS;
    rounds_wanted = cmdline_number("rounds", 0);
    expected = checksum(blocks[0]);
    report(!smp_self(), "CPU 0 starts");
    ready();
    start_all();
    print("working\n");
    work(0);
    report(wait_for(ended == workers), "all workers have ended");
    verdict(workers);
}
