/*
 * main.c - a guest that debugs itself: breakpoint instructions, single steps
 * and debug registers, every trap counted (Intel SDM 3B, chapter 18). And what
 * a debugger outside has its own breakpoints in: spot() and watched, also by
 * several CPUs (cpus=N), also in text that the guest itself cannot write. What
 * one does must not be seen by the other.
 *
 * On KVMs that emulate ring 0 there is no INT3; QEMU's CPUs know nothing of
 * guarded debug registers (guard=1).
 */
#include "guest.h"
#include "irq.h"
#include "smp.h"
#include "trap.h"

/* Called as it is written: the debugger stops there. */
#ifdef __clang__
#define CALLED __attribute__((noinline))
#else
#define CALLED __attribute__((noipa))
#endif

enum { CALLS = 16, STEPS = 5 };
enum { FLAG_TF = 0x100, FLAG_RF = 0x10000 };
enum { DR6_BD = 0x2000, DR6_BS = 0x4000, DR6_HITS = 0xf };
enum { DR7_ONES = 0x400, DR7_GD = 0x2000 };
enum { DR7_L0 = 0x1, DR7_L1 = 0x4, DR7_L2 = 0x10 };
enum { DR7_WRITE1 = 0xd << 20, DR7_ACCESS2 = 0xfU << 24 }; /* of 4 bytes */
enum { PAGE_WRITE = 2 };

#define READ_DR(number)                                                        \
    ({                                                                         \
        uint64_t val_;                                                         \
        __asm__ volatile("movq %%db" #number ", %0" : "=r"(val_));             \
        val_;                                                                  \
    })
#define WRITE_DR(number, val)                                                  \
    __asm__ volatile("movq %0, %%db" #number                                   \
                     :                                                         \
                     : "r"((uint64_t)(val))                                    \
                     : "memory")

extern const uint8_t int3_after[], int_n_after[], steps_first[];
extern uint64_t page_directory[];

/* For the debugger, by name. ready: spot is at alias, too. */
uint32_t spot(uint32_t n);
uint32_t shared_spot(uint32_t n);
void ready(uint32_t (*alias)(uint32_t n));
volatile uint32_t watched;

static volatile uint32_t own_written, own_used;
static volatile unsigned breakpoints, misplaced, steps, hits[4], guards,
    flagged;
static volatile uint32_t ap_done;
static volatile bool all_up;

/* ---- the traps */

static void on_breakpoint(struct trap_frame *frame)
{
    breakpoints++;
    misplaced += frame->rip != (uint64_t)int3_after &&
                 frame->rip != (uint64_t)int_n_after;
    flagged += (frame->rflags & FLAG_TF) != 0;
}

static void on_debug(struct trap_frame *frame)
{
    uint64_t dr6 = READ_DR(6);

    for (unsigned i = 0; i < 4; i++)
        hits[i] += dr6 >> i & 1;
    if (dr6 & DR6_BD)
        guards++; /* and the CPU has cleared GD */
    if (dr6 & DR6_BS) {
        /* Behind each of them, and behind the POPF that ends it. */
        misplaced += frame->rip < (uint64_t)steps_first;
        steps++;
    }
    if (dr6 & 1)
        frame->rflags |= FLAG_RF; /* it is executed now */
    WRITE_DR(6, 0);
}

/* ---- a debugger's places */

CALLED uint32_t spot(uint32_t n)
{
    return n * 3 + 1;
}

CALLED uint32_t shared_spot(uint32_t n)
{
    return n * 5 + 2;
}

CALLED void ready(uint32_t (*alias)(uint32_t n))
{
    (void)alias;
    barrier();
}

static bool call_spot(uint32_t (*at)(uint32_t n))
{
    bool right = true;

    for (uint32_t i = 0; i < CALLS; i++) {
        right &= at(i) == i * 3 + 1;
        watched = i;
    }
    return right;
}

/* ---- the guest's own */

CALLED static void int3(void)
{
    __asm__ volatile(".globl int3_before\n"
                     "int3_before:\n\t"
                     "nop\n\t"
                     "int3\n\t"
                     ".globl int3_after\n"
                     "int3_after:"
                     :
                     :
                     : "memory");
}

static void own_breakpoints(void)
{
    breakpoints = 0;
    for (unsigned i = 0; i < STEPS; i++)
        int3();
    report(breakpoints == STEPS, "%u of %u INT3", breakpoints, STEPS);
    __asm__ volatile(".byte 0xcd, 3\n\t"
                     ".globl int_n_after\n"
                     "int_n_after:"
                     :
                     :
                     : "memory");
    report(breakpoints == STEPS + 1 && !misplaced, "INT 3, and all in place");
    report(!flagged, "no trap flag but the guest's own");
}

/* The trap comes behind the instruction after POPF, and once behind the one
 * that takes TF away. */
static void own_steps(void)
{
    steps = 0;
    __asm__ volatile("pushfq\n\t"
                     "orl $0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     ".globl steps_first\n"
                     "steps_first:\n\t"
                     "nop\n\t"
                     "nop\n\t"
                     "pushfq\n\t"
                     "andl $~0x100, (%%rsp)\n\t"
                     "popfq"
                     :
                     :
                     : "memory", "cc");
    report(steps == STEPS && !misplaced, "%u of %u steps", steps, STEPS);
    report(!(read_flags() & FLAG_TF), "the trap flag is gone");
}

CALLED static void own_spot(void)
{
    barrier();
}

static void own_registers(void)
{
    uint64_t dr7 = DR7_ONES | DR7_L0 | DR7_L1 | DR7_L2 | DR7_WRITE1 |
                   (uint64_t)DR7_ACCESS2;
    uint32_t val;

    for (unsigned i = 0; i < 4; i++)
        hits[i] = 0;
    WRITE_DR(0, own_spot);
    WRITE_DR(1, &own_written);
    WRITE_DR(2, &own_used);
    WRITE_DR(7, dr7);
    own_spot();
    own_spot();
    own_written = 1;
    own_used = 2;
    val = own_written + own_used;
    report(hits[0] == 2, "%u of 2 breakpoints in DR0", hits[0]);
    report(hits[1] == 1, "%u of 1 write at DR1", hits[1]);
    report(hits[2] == 2 && val == 3, "%u of 2 accesses at DR2", hits[2]);
    report(READ_DR(0) == (uint64_t)own_spot && READ_DR(7) == dr7,
           "DR0 and DR7 read as written");
    WRITE_DR(7, DR7_ONES);
    own_spot();
    report(hits[0] == 2 && READ_DR(7) == DR7_ONES, "and are off again");
}

static void own_guard(void)
{
    guards = 0;
    WRITE_DR(7, DR7_ONES | DR7_GD);
    WRITE_DR(3, 0x1234);
    report(guards == 1 && READ_DR(3) == 0x1234, "%u of 1 guarded access",
           guards);
    WRITE_DR(7, DR7_ONES);
}

/* ---- */

static void ap_body(unsigned cpu)
{
    (void)cpu;
    sti();
    while (!all_up)
        pause();
    for (uint32_t i = 0; i < CALLS; i++)
        watched = shared_spot(i);
    atomic_add(&ap_done, 1);
}

static uint32_t (*read_only_alias(void))(uint32_t n)
{
    uint64_t at = window_map((uint64_t)spot);

    page_directory[WINDOW >> 21] &= ~(uint64_t)PAGE_WRITE;
    invlpg((const void *)WINDOW);
    return (uint32_t(*)(uint32_t n))at;
}

void guest_main(void)
{
    uint32_t rounds = (uint32_t)cmdline_number("rounds", 1);
    uint32_t count = (uint32_t)cmdline_number("cpus", 1);
    uint32_t (*alias)(uint32_t n) = read_only_alias();

    trap_set(TRAP_BP, on_breakpoint);
    trap_set(TRAP_DB, on_debug);
    ready(alias);
    for (uint32_t i = 0; i < rounds; i++) {
        print("round %u\n", i);
        report(call_spot(spot), "spot");
        report(call_spot(alias), "spot, as text not to be written");
        own_breakpoints();
        own_steps();
        own_registers();
        if (cmdline_number("guard", 0))
            own_guard();
    }
    if (count > 1) {
        pic_silence();
        sti(); /* Bochs lets nobody else run while one spins without */
        report(smp_start_all(ap_body) == count, "%u CPUs", count);
        all_up = true;
        for (uint32_t i = 0; i < CALLS; i++)
            watched = shared_spot(i);
        report(wait_for(ap_done == count - 1), "all are done");
    }
}
