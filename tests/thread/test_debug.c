/*
 * test_debug.c - a debugger that does anything at any time to vCPUs that all
 * run the same code: breakpoints that several hit at once, conditions that are
 * false, steps with the others running, Ctrl-C, detaching in the middle. What
 * the guest has counted is right in the end, and nothing is left behind.
 *
 * test_debug [fake|kvm] [ROUNDS] [SEED]. Plain, for the thread sanitizer.
 */
#include "fake/debugger.h"

#include "devices/loop.h"
#include "vcpu/vcpu.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CPUS = 3, ROUNDS = 400, SKIPPED = 77 };
enum { GDB_RBX = 1, GDB_RCX = 2 };

#define STEP(n) (AX_TEST_ENTRY + (n) * sizeof(struct ax_fake_step))

/* Each counts in rbx, and checks that what it counted twice is the same. */
static const struct ax_fake_step steps[] = {
    {.op = AX_FAKE_START, .target = STEP(1)},
    {.op = AX_FAKE_ADD, .target = 1, .exit.access.data = 1},
    {.op = AX_FAKE_ADD, .target = 2, .exit.access.data = 1},
    {.exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {0x80, 1, 1, true, AX_SPACE_PORT}}},
    {.op = AX_FAKE_LOOP, .target = STEP(1)},
};

/* clang-format off */
AX_TEST_CODE(code, "xor %ebx, %ebx\n"
                   "xor %ecx, %ecx\n"
                   "debug_loop: inc %ebx\n"
                   "nop\n"
                   "inc %ecx\n"
                   "nop\n"
                   "jmp debug_loop");
/* clang-format on */

static const struct ax_test_program program = {steps, sizeof(steps), code,
                                               code_end};

static struct ax_debugger d;
static bool fake;

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "test_debug: %s; the last answer was '%s'\n", what,
            d.reply);
    abort();
}

static bool begins(const char *with)
{
    return !strncmp(d.reply, with, strlen(with));
}

/* Where the n-th instruction of the loop is. */
static unsigned place(unsigned n)
{
    static const unsigned at[] = {6, 8, 9, 11};

    return fake ? (unsigned)STEP(1 + n) : AX_TEST_ENTRY + at[n];
}

static uint64_t reg(unsigned number)
{
    const char *hex = ax_debugger_ask(&d, "p%x", number);
    uint64_t val = 0;

    for (int i = 7; i >= 0; i--) {
        unsigned byte = 0;

        sscanf(hex + (size_t)i * 2, "%2x", &byte);
        val = val << 8 | byte;
    }
    return val;
}

/* The stop of something that was let go; interrupted if it takes its time. */
static void await_stop(void)
{
    ax_debugger_raw(&d, "\x03", 1);
    ax_debugger_wait(&d);
    need(begins("T"), "it does not stop");
}

/*
 * A software breakpoint, or a hardware one: KVM without virtualization
 * extensions emulates real mode, where a breakpoint instruction never comes
 * out.
 */
static const char *kind(void)
{
    return fake && rand() % 2 ? "0" : "1";
}

static void hits(void)
{
    ax_debugger_ask(&d, "Z%s,%x,1", kind(), place((unsigned)rand() % 3));
    ax_debugger_ask(&d, "vCont;c");
    need(begins("T05"), "the breakpoint is not hit");
}

/* Mostly: then it is interrupted. */
static void misses(void)
{
    /* const8 0, end: never; reg 1, const8 255, bit_and, log_not, end: where the
     * lowest byte of rbx is 0 (GDB manual, appendix F). */
    ax_debugger_ask(&d, "Z%s,%x,1;X%s", kind(), place(1),
                    rand() % 2 ? "3,220027" : "8,26000122ff0f0e27");
    need(!strcmp(d.reply, "OK"), "a condition is refused");
    ax_debugger_send(&d, "vCont;c");
    for (int i = rand() % 20; i > 0; i--)
        sched_yield();
    await_stop();
}

static void steps_alone(void)
{
    for (int i = 0; i < 5; i++) {
        ax_debugger_ask(&d, "vCont;s:%d", fake ? 1 + rand() % CPUS : 1);
        need(begins("T05"), "a step does not end");
    }
}

static void steps_among_others(void)
{
    ax_debugger_ask(&d, "vCont;s:1;c");
    need(begins("T05"), "a step does not end while others run");
}

static void interrupts(void)
{
    ax_debugger_send(&d, "vCont;c");
    await_stop();
}

static void detaches(void)
{
    ax_debugger_disconnect(&d);
    need(ax_vm_state(d.vm) == AX_VM_RUNNING, "it does not go on");
    ax_debugger_connect(&d);
    need(ax_vm_state(d.vm) == AX_VM_SUSPENDED, "it is not halted");
}

static void (*const deeds[])(void) = {
    hits, misses, steps_alone, steps_among_others, interrupts, detaches,
};

/* gdb takes all breakpoints out when it hears of a stop. */
static void remove_all(void)
{
    for (unsigned i = 0; i < 3; i++) {
        ax_debugger_ask(&d, "z0,%x,1", place(i));
        ax_debugger_ask(&d, "z1,%x,1", place(i));
    }
}

/* Between two increments the counters differ by one at most. */
static void check(void)
{
    for (int cpu = 1; cpu <= (fake ? CPUS : 1); cpu++) {
        uint64_t first, second;

        ax_debugger_ask(&d, "Hg%d", cpu);
        first = reg(GDB_RBX);
        second = reg(GDB_RCX);
        need(first == second || first == second + 1,
             "an instruction was lost or done twice");
    }
    ax_debugger_ask(&d, "Hg1");
}

int main(int argc, char **argv)
{
    const int rounds = argc > 2 ? atoi(argv[2]) : ROUNDS;
    const unsigned seed =
        argc > 3 ? (unsigned)atoi(argv[3]) : (unsigned)time(NULL);

    fake = argc < 2 || strcmp(argv[1], "kvm") != 0;
    if (!fake && access("/dev/kvm", R_OK | W_OK)) {
        puts("SKIP: cannot open /dev/kvm");
        return SKIPPED;
    }
    printf("seed %u\n", seed);
    srand(seed);
    ax_debugger_create(&d, fake ? &ax_fake : &ax_kvm, CPUS, &program, "");
    need(!ax_vm_start(d.vm), "it does not start");
    ax_debugger_connect(&d);
    hits(); /* all have begun then: one that waits for its start has no steps */
    remove_all();
    for (int i = 0; i < rounds; i++) {
        deeds[(unsigned)rand() % AX_ARRAY_LEN(deeds)]();
        remove_all();
        check();
        need(!d.late, "an answer is late");
    }
    ax_debugger_destroy(&d);
    need(!fake || !ax_fake_alive(), "a vCPU is left");
    return 0;
}
