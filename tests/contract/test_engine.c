/*
 * test_engine.c - every engine against the words of backend.h.
 *
 * Each case exists once and runs on the fake engine and on KVM. A program is
 * given twice: as x86 real-mode code for KVM, as steps for the fake engine. It
 * is loaded at 0x1000 and entered there.
 */
#include "arch/x86_64/regs.h"
#include "devices/wire.h"
#include "fake/engine.h"
#include "memory/memory.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { CODE = 0x1000, PORT = 0x5f0 };
enum { BELL_PORT = 0x5f4, BELL_ADDR = 0x20050 };
enum { APIC = 0xfee00000, MESSAGE = 0x40, OTHER_MESSAGE, LINE = 5 };

/* ---- programs ---- */

/* clang-format off */
#define PROGRAM(name, text)                                                    \
    extern const char name[], name##_end[];                                    \
    __asm__(".pushsection .rodata\n.code16\n" #name ":\n" text                 \
            "\n" #name "_end:\n.code64\n.popsection")
/* clang-format on */

PROGRAM(code_echo, "mov $0x5f0, %dx\n"
                   "in %dx, %al\n"
                   "out %al, %dx\n"
                   "in %dx, %ax\n"
                   "out %ax, %dx\n"
                   "in %dx, %eax\n"
                   "out %eax, %dx\n"
                   "jmp .");
PROGRAM(code_mmio, "mov $0x2000, %ax\n"
                   "mov %ax, %ds\n"
                   "movb 0x10, %al\n"
                   "movb %al, 0x10\n"
                   "movw 0x12, %ax\n"
                   "movw %ax, 0x12\n"
                   "movl 0x14, %eax\n"
                   "movl %eax, 0x14\n"
                   "jmp .");
PROGRAM(code_rep, "mov $0x5f0, %dx\n"
                  "mov $3, %cx\n"
                  "mov $0x3000, %di\n"
                  "cld\n"
                  "rep insb\n"
                  "mov $3, %cx\n"
                  "mov $0x3000, %si\n"
                  "rep outsb\n"
                  "jmp .");
PROGRAM(code_spin, "jmp .");
PROGRAM(code_halt, "cli\nhlt\njmp .");
/* A vector 2 that tells of itself; sleeps with interrupts off. */
PROGRAM(code_nmi, "xor %ax, %ax\n"
                  "mov %ax, %ds\n"
                  "mov %ax, %ss\n"
                  "mov $0x8000, %sp\n"
                  "cli\n"
                  "movl $0x1000 + nmi_taken - code_nmi, 8\n"
                  "mov $0x5f0, %dx\n"
                  "out %al, %dx\n"
                  "0: hlt\n"
                  "jmp 0b\n"
                  "nmi_taken: mov $0x4e, %al\n"
                  "out %al, %dx\n"
                  "iret");
/* The TSC, low word first, over and over. */
PROGRAM(code_tsc, "0: rdtsc\n"
                  "mov %edx, %ebx\n"
                  "mov $0x5f0, %dx\n"
                  "out %eax, %dx\n"
                  "mov %ebx, %eax\n"
                  "out %eax, %dx\n"
                  "jmp 0b");
/* kvmclock's page at 0x4000 (MSR_KVM_SYSTEM_TIME_NEW), then exits. */
PROGRAM(code_kvmclock, "mov $0x4b564d01, %ecx\n"
                       "mov $0x4001, %eax\n"
                       "xor %edx, %edx\n"
                       "wrmsr\n"
                       "mov $0x5f0, %dx\n"
                       "0: out %al, %dx\n"
                       "jmp 0b");
/* IRQ 0 at 1 kHz through the 8259 at vector 0x20; each tick tells of itself. */
PROGRAM(code_ticks, "xor %ax, %ax\n"
                    "mov %ax, %ds\n"
                    "mov %ax, %ss\n"
                    "mov $0x8000, %sp\n"
                    "movl $0x1000 + tick_taken - code_ticks, 0x80\n"
                    "mov $0x11, %al\n"
                    "out %al, $0x20\n"
                    "mov $0x20, %al\n"
                    "out %al, $0x21\n"
                    "mov $0x04, %al\n"
                    "out %al, $0x21\n"
                    "mov $0x01, %al\n"
                    "out %al, $0x21\n"
                    "mov $0xfe, %al\n"
                    "out %al, $0x21\n"
                    "mov $0x34, %al\n"
                    "out %al, $0x43\n"
                    "mov $1193 & 0xff, %al\n"
                    "out %al, $0x40\n"
                    "mov $1193 >> 8, %al\n"
                    "out %al, $0x40\n"
                    "mov $0x5f0, %dx\n"
                    "sti\n"
                    "0: hlt\n"
                    "jmp 0b\n"
                    "tick_taken: out %al, %dx\n"
                    "mov $0x20, %al\n"
                    "out %al, $0x20\n"
                    "iret");
/* What might be doorbells, then an exit, over and over. */
PROGRAM(code_bells, "mov $0x2000, %ax\n"
                    "mov %ax, %ds\n"
                    "0: mov $0x5f4, %dx\n"
                    "mov $1, %ax\n"
                    "out %ax, %dx\n"
                    "mov $2, %ax\n"
                    "out %ax, %dx\n"
                    "out %al, %dx\n"
                    "movw $1, 0x50\n"
                    "movw $2, 0x50\n"
                    "mov $0x5f0, %dx\n"
                    "out %al, %dx\n"
                    "jmp 0b");
/* DS is at the local APIC, which is enabled; each of two vectors tells of
 * itself. */
PROGRAM(code_message, "xor %ax, %ax\n"
                      "mov %ax, %es\n"
                      "mov %ax, %ss\n"
                      "mov $0x8000, %sp\n"
                      "movl $0x1000 + message - code_message, %es:0x100\n"
                      "movl $0x1000 + other_message - code_message, %es:0x104\n"
                      "movl $0x1ff, 0xf0\n"
                      "mov $0x5f0, %dx\n"
                      "out %al, %dx\n"
                      "sti\n"
                      "0: hlt\n"
                      "jmp 0b\n"
                      "message: mov $0x40, %al\n"
                      "jmp 1f\n"
                      "other_message: mov $0x41, %al\n"
                      "1: out %al, %dx\n"
                      "movl $0, 0xb0\n"
                      "iret");
/* IRQ 5 through the 8259 at vector 0x20; it tells of itself. */
PROGRAM(code_line, "xor %ax, %ax\n"
                   "mov %ax, %ds\n"
                   "mov %ax, %ss\n"
                   "mov $0x8000, %sp\n"
                   "movl $0x1000 + line_taken - code_line, 0x94\n"
                   "mov $0x11, %al\n"
                   "out %al, $0x20\n"
                   "mov $0x20, %al\n"
                   "out %al, $0x21\n"
                   "mov $0x04, %al\n"
                   "out %al, $0x21\n"
                   "mov $0x01, %al\n"
                   "out %al, $0x21\n"
                   "mov $0xdf, %al\n"
                   "out %al, $0x21\n"
                   "mov $0x5f0, %dx\n"
                   "out %al, %dx\n"
                   "sti\n"
                   "0: hlt\n"
                   "jmp 0b\n"
                   "line_taken: mov $5, %al\n"
                   "out %al, %dx\n"
                   "mov $0x20, %al\n"
                   "out %al, $0x20\n"
                   "iret");
PROGRAM(code_dead, "lidt 0x3000\n"
                   "mov %cr0, %eax\n"
                   "or $1, %al\n"
                   "mov %eax, %cr0\n"
                   "ud2");

#define IO(k, w)                                                               \
    .exit = {.kind = k,                                                        \
             .access = {.addr = PORT,                                          \
                        .width = w,                                            \
                        .space = AX_SPACE_PORT,                                \
                        .write = (k) == AX_EXIT_IO_WRITE}}
#define MEM(k, off, w)                                                         \
    .exit = {.kind = k,                                                        \
             .access = {.addr = 0x20000 + (off),                               \
                        .width = w,                                            \
                        .space = AX_SPACE_MMIO,                                \
                        .write = (k) == AX_EXIT_MMIO_WRITE}}

static const struct ax_fake_step steps_echo[] = {
    {IO(AX_EXIT_IO_READ, 1)}, {IO(AX_EXIT_IO_WRITE, 1), .echo = true},
    {IO(AX_EXIT_IO_READ, 2)}, {IO(AX_EXIT_IO_WRITE, 2), .echo = true},
    {IO(AX_EXIT_IO_READ, 4)}, {IO(AX_EXIT_IO_WRITE, 4), .echo = true},
    {.op = AX_FAKE_SPIN},
};
static const struct ax_fake_step steps_mmio[] = {
    {MEM(AX_EXIT_MMIO_READ, 0x10, 1)},
    {MEM(AX_EXIT_MMIO_WRITE, 0x10, 1), .echo = true},
    {MEM(AX_EXIT_MMIO_READ, 0x12, 2)},
    {MEM(AX_EXIT_MMIO_WRITE, 0x12, 2), .echo = true},
    {MEM(AX_EXIT_MMIO_READ, 0x14, 4)},
    {MEM(AX_EXIT_MMIO_WRITE, 0x14, 4), .echo = true},
    {.op = AX_FAKE_SPIN},
};
static const struct ax_fake_step steps_rep[] = {
    {IO(AX_EXIT_IO_READ, 1)},
    {IO(AX_EXIT_IO_READ, 1)},
    {IO(AX_EXIT_IO_READ, 1)},
    {.exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {PORT, 'a', 1, true, AX_SPACE_PORT}}},
    {.exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {PORT, 'b', 1, true, AX_SPACE_PORT}}},
    {.exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {PORT, 'c', 1, true, AX_SPACE_PORT}}},
    {.op = AX_FAKE_SPIN},
};
static const struct ax_fake_step steps_spin[] = {
    {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = CODE}};
static const struct ax_fake_step steps_halt[] = {
    {.op = AX_FAKE_SLEEP}, {.op = AX_FAKE_LOOP, .target = CODE}};
static const struct ax_fake_step steps_nmi[] = {
    {IO(AX_EXIT_IO_WRITE, 1)},
    {.op = AX_FAKE_NMI},
    {.exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {PORT, 'N', 1, true, AX_SPACE_PORT}}},
    {.op = AX_FAKE_LOOP, .target = CODE + sizeof(struct ax_fake_step)},
};
/* The fake engine has no clocks and no short ways: programs of KVM's CPU alone.
 */
static const struct ax_fake_step steps_tsc[1], steps_kvmclock[1],
    steps_ticks[1], steps_bells[1], steps_message[1], steps_line[1];
static const struct ax_fake_step steps_dead[] = {
    {.exit = {.kind = AX_EXIT_SYSTEM_DOWN,
              .power = {.event = AX_POWER_CRASH}}}};

struct program {
    const char *code, *code_end;
    const struct ax_fake_step *steps;
    size_t steps_size;
};

#define USE(n)                                                                 \
    &(const struct program)                                                    \
    {                                                                          \
        code_##n, code_##n##_end, steps_##n, sizeof(steps_##n)                 \
    }

/* ---- a VM with one vCPU ---- */

static const struct ax_backend_ops *const engines[] = {&ax_fake, &ax_kvm};

/*
 * The CPU's own address space: [0, 1 MiB) RAM but for a hole at 0x20000, and
 * read-only memory at 2 MiB.
 */
struct machine {
    const struct ax_backend_ops *ops;
    struct ax_engine_vm *vm;
    struct ax_engine_vcpu *vcpu;
    struct ax_memory mem;
    struct ax_exit ex;
};

static void need_engine(const struct ax_backend_ops *ops)
{
    if (ops->probe(NULL, NULL))
        cr_skip_test("the engine '%s' is not usable here", ops->name);
}

static void machine_load(struct machine *m, const struct program *p)
{
    const bool fake = m->ops == &ax_fake;
    const void *from = fake ? (const void *)p->steps : p->code;
    size_t size = fake ? p->steps_size : (size_t)(p->code_end - p->code);
    void *to = ax_memory_at(&m->mem, CODE, size, AX_PROT_WRITE);

    cr_assert_not_null(to);
    memcpy(to, from, size);
}

static void machine_enter(struct machine *m)
{
    cr_assert_eq(m->ops->reg_set(m->vcpu, AX_X86_RIP, CODE), 0);
    if (m->ops == &ax_fake)
        return;
    cr_assert_eq(m->ops->reg_set(m->vcpu, AX_X86_CS, 0), 0);
    cr_assert_eq(m->ops->reg_set(m->vcpu, AX_X86_CS + AX_X86_SEG_BASE, 0), 0);
}

static void machine_create(struct machine *m, const struct ax_backend_ops *ops,
                           const struct program *p, enum ax_irqchip irqchip)
{
    static const uint64_t ids[] = {0};
    struct ax_engine_conf conf = {
        .vcpus = 1, .irqchip = irqchip, .cpu = {.cpus = 1, .ids = ids}};

    memset(m, 0, sizeof(*m));
    m->ops = ops;
    cr_assert_eq(ops->vm_create(&conf, &m->vm), 0);
    ax_memory_init(&m->mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&m->mem, 0, 0x20000, AX_REGION_RAM), 0);
    cr_assert_eq(ax_memory_add(&m->mem, 0x30000, 0x10000, AX_REGION_ROM), 0);
    for (unsigned i = 0; i < m->mem.count; i++)
        cr_assert_eq(ops->mem_map(m->vm, &m->mem.regions[i]), 0);
    cr_assert_eq(ops->vm_seal(m->vm), 0);
    machine_load(m, p);
    cr_assert_eq(ops->vcpu_create(m->vm, 0, &m->vcpu), 0);
    machine_enter(m);
}

static void machine_destroy(struct machine *m)
{
    m->ops->vcpu_destroy(m->vcpu);
    m->ops->vm_destroy(m->vm);
    ax_memory_fini(&m->mem);
}

/* Runs to the next exit that is not a spurious one. */
static void machine_run(struct machine *m)
{
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(m->ops->vcpu_run(m->vcpu, &m->ex), 0);
        if (m->ex.kind != AX_EXIT_NOTHING)
            return;
    }
    cr_assert_fail("nothing but spurious exits");
}

static void expect_access(struct machine *m, enum ax_exit_kind kind,
                          uint64_t addr, unsigned width)
{
    machine_run(m);
    cr_assert_eq(m->ex.kind, kind, "got %s", ax_exit_name(m->ex.kind));
    cr_assert_eq(m->ex.access.addr, addr);
    cr_assert_eq(m->ex.access.width, width);
}

/* ---- the cases ---- */

#define EACH_ENGINE(name)                                                      \
    ParameterizedTestParameters(engine, name)                                  \
    {                                                                          \
        static size_t which[] = {0, 1};                                        \
        return cr_make_param_array(size_t, which, 2);                          \
    }                                                                          \
    static void name##_body(const struct ax_backend_ops *ops);                 \
    ParameterizedTest(size_t *which, engine, name)                             \
    {                                                                          \
        need_engine(engines[*which]);                                          \
        name##_body(engines[*which]);                                          \
    }                                                                          \
    static void name##_body(const struct ax_backend_ops *ops)

EACH_ENGINE(answers_reach_the_guest)
{
    static const struct {
        unsigned width;
        uint64_t val;
    } rounds[] = {{1, 0x5a}, {2, 0xbeef}, {4, 0xdeadbeef}};
    struct machine m;

    machine_create(&m, ops, USE(echo), AX_IRQCHIP_NONE);
    for (size_t i = 0; i < AX_ARRAY_LEN(rounds); i++) {
        expect_access(&m, AX_EXIT_IO_READ, PORT, rounds[i].width);
        cr_assert_not(m.ex.access.write);
        m.ex.answer = rounds[i].val;
        expect_access(&m, AX_EXIT_IO_WRITE, PORT, rounds[i].width);
        cr_assert(m.ex.access.write);
        cr_assert_eq(m.ex.access.data, rounds[i].val);
    }
    machine_destroy(&m);
}

EACH_ENGINE(mmio_of_every_width)
{
    static const struct {
        uint64_t off;
        unsigned width;
        uint64_t val;
    } rounds[] = {{0x10, 1, 0x81}, {0x12, 2, 0x8182}, {0x14, 4, 0x81828384}};
    struct machine m;

    machine_create(&m, ops, USE(mmio), AX_IRQCHIP_NONE);
    for (size_t i = 0; i < AX_ARRAY_LEN(rounds); i++) {
        expect_access(&m, AX_EXIT_MMIO_READ, 0x20000 + rounds[i].off,
                      rounds[i].width);
        m.ex.answer = rounds[i].val;
        expect_access(&m, AX_EXIT_MMIO_WRITE, 0x20000 + rounds[i].off,
                      rounds[i].width);
        cr_assert_eq(m.ex.access.data, rounds[i].val);
    }
    machine_destroy(&m);
}

EACH_ENGINE(a_rep_string_is_one_exit_per_element)
{
    struct machine m;

    machine_create(&m, ops, USE(rep), AX_IRQCHIP_NONE);
    for (int i = 0; i < 3; i++) {
        expect_access(&m, AX_EXIT_IO_READ, PORT, 1);
        m.ex.answer = (uint64_t)('a' + i);
    }
    for (int i = 0; i < 3; i++) {
        expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
        cr_assert_eq(m.ex.access.data, (uint64_t)('a' + i));
    }
    machine_destroy(&m);
}

EACH_ENGINE(an_early_kick_is_not_lost)
{
    struct machine m;

    machine_create(&m, ops, USE(spin), AX_IRQCHIP_NONE);
    for (int i = 0; i < 100; i++) {
        ops->vcpu_kick(m.vcpu);
        cr_assert_eq(ops->vcpu_run(m.vcpu, &m.ex), 0);
        cr_assert_eq(m.ex.kind, AX_EXIT_NOTHING);
    }
    machine_destroy(&m);
}

struct kicker {
    struct machine *m;
    atomic_bool done;
};

/* Kicks until told to stop: whatever the guest does, one of them lands. */
static void *kicker_thread(void *arg)
{
    struct kicker *k = arg;

    while (!atomic_load(&k->done)) {
        k->m->ops->vcpu_kick(k->m->vcpu);
        sched_yield();
    }
    return NULL;
}

EACH_ENGINE(a_kick_ends_a_spinning_guest)
{
    struct machine m;
    struct kicker k = {.m = &m};
    pthread_t thread;

    machine_create(&m, ops, USE(spin), AX_IRQCHIP_NONE);
    cr_assert_eq(pthread_create(&thread, NULL, kicker_thread, &k), 0);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(ops->vcpu_run(m.vcpu, &m.ex), 0);
        cr_assert_eq(m.ex.kind, AX_EXIT_NOTHING);
    }
    atomic_store(&k.done, true);
    pthread_join(thread, NULL);
    machine_destroy(&m);
}

/* Waits, bounded, until the vCPU sleeps; then kicks it. */
static void *blocked_thread(void *arg)
{
    struct kicker *k = arg;
    const time_t end = time(NULL) + 20;

    while (!k->m->ops->vcpu_blocked(k->m->vcpu) && time(NULL) < end)
        sched_yield();
    atomic_store(&k->done, k->m->ops->vcpu_blocked(k->m->vcpu));
    k->m->ops->vcpu_kick(k->m->vcpu);
    return NULL;
}

EACH_ENGINE(a_halted_guest_shows_blocked)
{
    struct machine m;
    struct kicker k = {.m = &m};
    pthread_t thread;

    machine_create(&m, ops, USE(halt), AX_IRQCHIP_KERNEL);
    cr_assert_not(ops->vcpu_blocked(m.vcpu));
    cr_assert_eq(pthread_create(&thread, NULL, blocked_thread, &k), 0);
    cr_assert_eq(ops->vcpu_run(m.vcpu, &m.ex), 0);
    pthread_join(thread, NULL);
    cr_assert(atomic_load(&k.done), "never seen blocked");
    cr_assert_eq(m.ex.kind, AX_EXIT_NOTHING);
    machine_destroy(&m);
}

/* As when another process of this user has taken all that may be queued. */
EACH_ENGINE(a_kick_needs_no_place_in_the_queue_of_signals)
{
    const struct rlimit none = {0, 0};
    struct machine m;
    struct kicker k = {.m = &m};
    pthread_t thread;

    cr_assert_eq(setrlimit(RLIMIT_SIGPENDING, &none), 0);
    machine_create(&m, ops, USE(halt), AX_IRQCHIP_KERNEL);
    cr_assert_eq(pthread_create(&thread, NULL, blocked_thread, &k), 0);
    cr_assert_eq(ops->vcpu_run(m.vcpu, &m.ex), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(m.ex.kind, AX_EXIT_NOTHING);
    machine_destroy(&m);
}

EACH_ENGINE(a_dead_guest_is_a_crash)
{
    struct machine m;

    machine_create(&m, ops, USE(dead), AX_IRQCHIP_KERNEL);
    machine_run(&m);
    cr_assert_eq(m.ex.kind, AX_EXIT_SYSTEM_DOWN, "got %s",
                 ax_exit_name(m.ex.kind));
    cr_assert_eq(m.ex.power.event, AX_POWER_CRASH);
    machine_destroy(&m);
}

EACH_ENGINE(registers_keep_what_is_set)
{
    struct machine m;
    uint64_t val;

    machine_create(&m, ops, USE(spin), AX_IRQCHIP_NONE);
    for (unsigned reg = AX_X86_RAX; reg <= AX_X86_R15; reg++)
        cr_assert_eq(ops->reg_set(m.vcpu, reg, 0x1122334455660000ULL + reg), 0);
    for (unsigned reg = AX_X86_RAX; reg <= AX_X86_R15; reg++) {
        cr_assert_eq(ops->reg_get(m.vcpu, reg, &val), 0);
        cr_assert_eq(val, 0x1122334455660000ULL + reg);
    }
    /* They survive a visit to the guest, which only jumps. */
    ops->vcpu_kick(m.vcpu);
    cr_assert_eq(ops->vcpu_run(m.vcpu, &m.ex), 0);
    cr_assert_eq(ops->reg_get(m.vcpu, AX_X86_R15, &val), 0);
    cr_assert_eq(val, 0x1122334455660000ULL + AX_X86_R15);
    cr_assert_eq(ops->reg_get(m.vcpu, 0xffff, &val), -EINVAL);
    cr_assert_eq(ops->reg_set(m.vcpu, 0xffff, 1), -EINVAL);
    machine_destroy(&m);
}

/* ---- guest time that stands still: optional ---- */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void need_time(const struct ax_backend_ops *ops)
{
    if (!ops->time_stop || !ops->time_go || !ops->vcpu_time_go)
        cr_skip_test("the engine '%s' cannot stop guest time", ops->name);
}

static void need_clocks(const struct ax_backend_ops *ops)
{
    need_time(ops);
    if (ops == &ax_fake)
        cr_skip_test("the engine '%s' has no clocks to look at", ops->name);
}

/* How long guest time stood at least, in the host's nanoseconds. */
static uint64_t stand_still(struct machine *m, uint64_t ns)
{
    uint64_t began, stood;

    cr_assert_eq(m->ops->time_stop(m->vm), 0);
    began = now_ns();
    do {
        sched_yield();
        stood = now_ns() - began;
    } while (stood < ns);
    cr_assert_eq(m->ops->time_go(m->vm), 0);
    cr_assert_eq(m->ops->vcpu_time_go(m->vcpu, stood), 0);
    return stood;
}

EACH_ENGINE(a_guest_runs_on_after_time_stood_still)
{
    struct machine m;

    need_time(ops);
    machine_create(&m, ops, USE(echo), AX_IRQCHIP_KERNEL);
    expect_access(&m, AX_EXIT_IO_READ, PORT, 1);
    stand_still(&m, 0);
    m.ex.answer = 0x77; /* of the access that was under way */
    expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
    cr_assert_eq(m.ex.access.data, 0x77);
    stand_still(&m, 0);
    expect_access(&m, AX_EXIT_IO_READ, PORT, 2);
    machine_destroy(&m);
}

EACH_ENGINE(time_stands_still_before_the_first_instruction)
{
    struct machine m;

    need_time(ops);
    machine_create(&m, ops, USE(echo), AX_IRQCHIP_NONE);
    stand_still(&m, 0);
    expect_access(&m, AX_EXIT_IO_READ, PORT, 1);
    machine_destroy(&m);
}

static uint64_t guest_tsc(struct machine *m)
{
    uint64_t tsc;

    expect_access(m, AX_EXIT_IO_WRITE, PORT, 4);
    tsc = m->ex.access.data;
    expect_access(m, AX_EXIT_IO_WRITE, PORT, 4);
    return tsc | m->ex.access.data << 32;
}

/*
 * Engines begin a guest's TSC at 0. One that shows it the host's cannot turn it
 * back, whatever it is told: so do software KVMs.
 */
static void need_own_tsc(struct machine *m)
{
    const uint64_t before = __builtin_ia32_rdtsc(), tsc = guest_tsc(m);

    if (tsc < before || tsc > __builtin_ia32_rdtsc())
        return;
    machine_destroy(m);
    cr_skip_test("the guest sees the host's TSC here");
}

/* Linux 5.16 brought KVM_VCPU_TSC_OFFSET. */
static void need_tsc_offset(void)
{
    struct utsname host;
    unsigned major, minor;

    cr_assert_eq(uname(&host), 0);
    cr_assert_eq(sscanf(host.release, "%u.%u", &major, &minor), 2);
    if (major < 5 || (major == 5 && minor < 16))
        cr_skip_test("Linux %s cannot turn back a TSC", host.release);
}

/* What the guest has counted leaves room for what the host counted meanwhile.
 */
EACH_ENGINE(the_tsc_stands_still)
{
    enum { STOPS = 3, CYCLES = 100000000 };
    struct machine m;
    uint64_t began, first, last, spent, stood = 0;

    need_clocks(ops);
    need_tsc_offset();
    machine_create(&m, ops, USE(tsc), AX_IRQCHIP_KERNEL);
    need_own_tsc(&m);
    began = __builtin_ia32_rdtsc();
    first = last = guest_tsc(&m);
    for (int i = 0; i < STOPS; i++) {
        uint64_t tsc, stop;

        cr_assert_eq(ops->time_stop(m.vm), 0);
        stop = __builtin_ia32_rdtsc();
        while (__builtin_ia32_rdtsc() - stop < CYCLES)
            sched_yield();
        stood += __builtin_ia32_rdtsc() - stop;
        cr_assert_eq(ops->time_go(m.vm), 0);
        cr_assert_eq(ops->vcpu_time_go(m.vcpu, 1), 0);
        tsc = guest_tsc(&m);
        cr_assert_gt(tsc, last, "it went backwards");
        last = tsc;
    }
    spent = __builtin_ia32_rdtsc() - began;
    cr_assert_leq(last - first, spent - stood + spent / 1000,
                  "%lu cycles of %lu, %lu of them stopped", last - first, spent,
                  stood);
    machine_destroy(&m);
}

/* Linux's Documentation/virt/kvm/x86/msr.rst: struct pvclock_vcpu_time_info. */
struct kvmclock {
    uint32_t version, pad;
    uint64_t tsc, ns;
    uint32_t mul;
    int8_t shift;
    uint8_t flags;
    uint8_t pads[2];
};

enum { KVMCLOCK_STOPPED = 2 };

EACH_ENGINE(kvmclock_stands_still)
{
    struct machine m;
    const volatile struct kvmclock *page;
    uint64_t first, began, spent, stood;

    need_clocks(ops);
    machine_create(&m, ops, USE(kvmclock), AX_IRQCHIP_KERNEL);
    page = ax_memory_at(&m.mem, 0x4000, sizeof(*page), AX_PROT_READ);
    began = now_ns();
    expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
    cr_assert(page->version, "the engine has written nothing");
    cr_assert_not(page->flags & KVMCLOCK_STOPPED);
    first = page->ns;
    stood = stand_still(&m, 100000000);
    expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
    spent = now_ns() - began;
    cr_assert_geq(page->ns, first, "it went backwards");
    cr_assert_leq(page->ns - first, spent - stood + spent / 1000,
                  "%lu ns of %lu, %lu of them stopped", page->ns - first, spent,
                  stood);
    cr_assert(page->flags & KVMCLOCK_STOPPED, "the guest was not told");
    machine_destroy(&m);
}

/*
 * Bounded from one side alone: a busy host only makes the ticks slower. Owed
 * ones would come as fast as the guest takes them.
 */
EACH_ENGINE(no_ticks_are_owed_for_the_time_that_stood_still)
{
    enum { HZ = 1000, TICKS = 200, SLACK = 50 };
    struct machine m;
    uint64_t began;

    need_clocks(ops);
    machine_create(&m, ops, USE(ticks), AX_IRQCHIP_KERNEL);
    for (int i = 0; i < 10; i++)
        expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
    stand_still(&m, 1000000000);
    began = now_ns();
    for (int i = 0; i < TICKS; i++)
        expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
    cr_assert_gt(now_ns() - began, (TICKS - SLACK) * (1000000000ULL / HZ));
    machine_destroy(&m);
}

/* ---- NMI: optional ---- */

EACH_ENGINE(an_nmi_wakes_a_halted_guest)
{
    struct machine m;
    struct kicker k = {.m = &m};
    pthread_t thread;

    if (!ops->vcpu_nmi)
        cr_skip_test("the engine '%s' has no NMI", ops->name);
    machine_create(&m, ops, USE(nmi), AX_IRQCHIP_KERNEL);
    expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
    for (int i = 0; i < 3; i++) {
        atomic_store(&k.done, false);
        cr_assert_eq(pthread_create(&thread, NULL, blocked_thread, &k), 0);
        cr_assert_eq(ops->vcpu_run(m.vcpu, &m.ex), 0);
        pthread_join(thread, NULL);
        cr_assert(atomic_load(&k.done), "never seen blocked");
        cr_assert_eq(m.ex.kind, AX_EXIT_NOTHING);
        cr_assert_eq(ops->vcpu_nmi(m.vcpu), 0);
        expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
        cr_assert_eq(m.ex.access.data, 'N');
    }
    machine_destroy(&m);
}

EACH_ENGINE(a_vcpu_number_out_of_range_is_refused)
{
    struct machine m;
    struct ax_engine_vcpu *vcpu;

    machine_create(&m, ops, USE(spin), AX_IRQCHIP_NONE);
    cr_assert_eq(ops->vcpu_create(m.vm, 1, &vcpu), -EINVAL);
    cr_assert_null(vcpu);
    machine_destroy(&m);
}

EACH_ENGINE(interrupt_lines_can_be_pulled)
{
    struct machine m;

    machine_create(&m, ops, USE(spin), AX_IRQCHIP_KERNEL);
    cr_assert_eq(ops->irq_line(m.vm, 4, true), 0);
    cr_assert_eq(ops->irq_line(m.vm, 4, false), 0);
    machine_destroy(&m);
}

/* ---- short ways: optional ---- */

static int event_create(void)
{
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    cr_assert_geq(fd, 0);
    return fd;
}

static uint64_t event_count(int fd)
{
    eventfd_t count = 0;

    return eventfd_read(fd, &count) ? 0 : count;
}

/* One of the writes of code_bells. */
enum { PORT_1 = 1, PORT_2 = 2, PORT_BYTE = 4, MMIO_1 = 8, MMIO_2 = 16 };
enum { ALL_BELLS = 31 };

static unsigned bell_of(const struct ax_exit *ex)
{
    const bool port = ex->kind == AX_EXIT_IO_WRITE;

    cr_assert_eq(ex->access.addr, port ? BELL_PORT : BELL_ADDR);
    if (ex->access.width == 1)
        return PORT_BYTE;
    cr_assert_eq(ex->access.width, 2);
    if (ex->access.data == 1)
        return port ? PORT_1 : MMIO_1;
    cr_assert_eq(ex->access.data, 2);
    return port ? PORT_2 : MMIO_2;
}

/* The writes of one round that came out. */
static unsigned ring_all(struct machine *m)
{
    unsigned seen = 0;

    for (;;) {
        machine_run(m);
        if (m->ex.kind == AX_EXIT_IO_WRITE && m->ex.access.addr == PORT)
            return seen;
        cr_assert(m->ex.kind == AX_EXIT_IO_WRITE ||
                      m->ex.kind == AX_EXIT_MMIO_WRITE,
                  "got %s", ax_exit_name(m->ex.kind));
        seen |= bell_of(&m->ex);
    }
}

EACH_ENGINE(a_doorbell_is_one_write_and_no_other)
{
    static const struct {
        struct ax_bell bell;
        unsigned rings;
    } rounds[] = {
        {{AX_SPACE_PORT, BELL_PORT, 2, 1}, PORT_1},
        {{AX_SPACE_PORT, BELL_PORT, 2, AX_BELL_ANY}, PORT_1 | PORT_2},
        {{AX_SPACE_PORT, BELL_PORT, 1, AX_BELL_ANY}, PORT_BYTE},
        {{AX_SPACE_MMIO, BELL_ADDR, 2, 2}, MMIO_2},
        {{AX_SPACE_MMIO, BELL_ADDR, 2, AX_BELL_ANY}, MMIO_1 | MMIO_2},
        {{AX_SPACE_MMIO, BELL_PORT, 2, AX_BELL_ANY}, 0},
    };
    const int fd = event_create();
    struct machine m;

    if (!ops->doorbell)
        cr_skip_test("the engine '%s' has no doorbells", ops->name);
    machine_create(&m, ops, USE(bells), AX_IRQCHIP_KERNEL);
    for (size_t i = 0; i < AX_ARRAY_LEN(rounds); i++) {
        const struct ax_bell *bell = &rounds[i].bell;
        const unsigned rings = rounds[i].rings;

        cr_assert_eq(ring_all(&m), ALL_BELLS, "%zu", i);
        cr_assert_eq(ops->doorbell(m.vm, bell, fd, true), 0, "%zu", i);
        cr_assert_eq(ring_all(&m), ALL_BELLS & ~rings, "%zu", i);
        cr_assert_eq(event_count(fd), __builtin_popcount(rings), "%zu", i);
        cr_assert_eq(ops->doorbell(m.vm, bell, fd, false), 0, "%zu", i);
    }
    cr_assert_eq(ring_all(&m), ALL_BELLS);
    cr_assert_eq(event_count(fd), 0);
    machine_destroy(&m);
    close(fd);
}

EACH_ENGINE(doorbells_of_one_place_are_told_apart)
{
    const struct ax_bell one = {AX_SPACE_PORT, BELL_PORT, 2, 1};
    const struct ax_bell two = {AX_SPACE_PORT, BELL_PORT, 2, 2};
    const int first = event_create(), second = event_create();
    struct machine m;

    if (!ops->doorbell)
        cr_skip_test("the engine '%s' has no doorbells", ops->name);
    machine_create(&m, ops, USE(bells), AX_IRQCHIP_KERNEL);
    cr_assert_eq(ops->doorbell(m.vm, &one, first, true), 0);
    cr_assert_eq(ops->doorbell(m.vm, &two, second, true), 0);
    cr_assert_eq(ring_all(&m), ALL_BELLS & ~(PORT_1 | PORT_2));
    cr_assert_eq(event_count(first), 1);
    cr_assert_eq(event_count(second), 1);
    cr_assert_eq(ops->doorbell(m.vm, &one, first, false), 0);
    cr_assert_eq(ring_all(&m), ALL_BELLS & ~PORT_2);
    cr_assert_eq(event_count(first), 0);
    cr_assert_eq(event_count(second), 1);
    machine_destroy(&m);
    close(first);
    close(second);
}

static void need_messages(const struct ax_backend_ops *ops)
{
    if (!ops->msi_event)
        cr_skip_test("the engine '%s' has no events for messages", ops->name);
}

static void expect_interrupt(struct machine *m, unsigned which)
{
    expect_access(m, AX_EXIT_IO_WRITE, PORT, 1);
    cr_assert_eq(m->ex.access.data, which);
}

/* Nothing comes: it goes to sleep, and only a kick ends that. */
static void expect_sleep(struct machine *m)
{
    struct kicker k = {.m = m};
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, blocked_thread, &k), 0);
    cr_assert_eq(m->ops->vcpu_run(m->vcpu, &m->ex), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(m->ex.kind, AX_EXIT_NOTHING, "got %s",
                 ax_exit_name(m->ex.kind));
    cr_assert(atomic_load(&k.done), "never seen blocked");
}

static void messages_arrive(const struct ax_backend_ops *ops,
                            enum ax_irqchip irqchip)
{
    const int fd = event_create();
    struct machine m;

    machine_create(&m, ops, USE(message), irqchip);
    cr_assert_eq(ops->reg_set(m.vcpu, AX_X86_DS + AX_X86_SEG_BASE, APIC), 0);
    expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
    cr_assert_eq(ops->msi_event(m.vm, APIC, MESSAGE, fd, true), 0);
    expect_sleep(&m);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(eventfd_write(fd, 1), 0);
        expect_interrupt(&m, MESSAGE);
    }
    expect_sleep(&m);
    /* What comes while nobody listens is kept for who listens next. */
    cr_assert_eq(ops->msi_event(m.vm, APIC, MESSAGE, fd, false), 0);
    cr_assert_eq(ops->msi_event(m.vm, APIC, MESSAGE, fd, false), -ENOENT);
    cr_assert_eq(eventfd_write(fd, 1), 0);
    expect_sleep(&m);
    cr_assert_eq(ops->msi_event(m.vm, APIC, OTHER_MESSAGE, fd, true), 0);
    expect_interrupt(&m, OTHER_MESSAGE);
    cr_assert_eq(eventfd_write(fd, 1), 0);
    expect_interrupt(&m, OTHER_MESSAGE);
    machine_destroy(&m);
    close(fd);
}

EACH_ENGINE(an_event_is_a_message)
{
    need_messages(ops);
    messages_arrive(ops, AX_IRQCHIP_KERNEL);
}

EACH_ENGINE(an_event_is_a_message_with_a_split_irqchip)
{
    need_messages(ops);
    messages_arrive(ops, AX_IRQCHIP_SPLIT);
}

EACH_ENGINE(messages_are_bounded_and_need_an_irqchip)
{
    enum { MOST = 512 };
    const int fd = event_create();
    struct machine m;
    int fds[MOST], err = 0;
    unsigned n = 0;

    need_messages(ops);
    machine_create(&m, ops, USE(spin), AX_IRQCHIP_NONE);
    cr_assert_eq(ops->msi_event(m.vm, APIC, MESSAGE, fd, true), -EINVAL);
    machine_destroy(&m);
    machine_create(&m, ops, USE(spin), AX_IRQCHIP_KERNEL);
    while (!err && n < MOST) {
        fds[n] = event_create();
        err = ops->msi_event(m.vm, APIC, MESSAGE, fds[n++], true);
    }
    cr_assert_eq(err, -ENOSPC, "%d after %u", err, n);
    cr_assert_eq(ops->msi_event(m.vm, APIC, MESSAGE, fds[0], false), 0);
    cr_assert_eq(ops->msi_event(m.vm, APIC, MESSAGE, fds[n - 1], true), 0);
    machine_destroy(&m);
    while (n)
        close(fds[--n]);
    close(fd);
}

/* Messages have to leave the lines as they are. */
EACH_ENGINE(an_event_is_a_line)
{
    const int line = event_create(), message = event_create();
    struct machine m;

    if (!ops->irq_event)
        cr_skip_test("the engine '%s' has no events for lines", ops->name);
    machine_create(&m, ops, USE(line), AX_IRQCHIP_KERNEL);
    expect_access(&m, AX_EXIT_IO_WRITE, PORT, 1);
    cr_assert_eq(ops->irq_event(m.vm, LINE, line, true), 0);
    for (int i = 0; i < 3; i++) {
        expect_sleep(&m);
        cr_assert_eq(eventfd_write(line, 1), 0);
        expect_interrupt(&m, LINE);
        if (ops->msi_event)
            cr_assert_eq(ops->msi_event(m.vm, APIC, MESSAGE, message, !(i & 1)),
                         0);
    }
    cr_assert_eq(ops->irq_event(m.vm, LINE, line, false), 0);
    cr_assert_eq(eventfd_write(line, 1), 0);
    expect_sleep(&m);
    machine_destroy(&m);
    close(line);
    close(message);
}

EACH_ENGINE(two_vms_do_not_see_each_other)
{
    struct machine a, b;

    machine_create(&a, ops, USE(echo), AX_IRQCHIP_NONE);
    machine_create(&b, ops, USE(echo), AX_IRQCHIP_NONE);
    expect_access(&a, AX_EXIT_IO_READ, PORT, 1);
    expect_access(&b, AX_EXIT_IO_READ, PORT, 1);
    a.ex.answer = 0x11;
    b.ex.answer = 0x22;
    expect_access(&b, AX_EXIT_IO_WRITE, PORT, 1);
    expect_access(&a, AX_EXIT_IO_WRITE, PORT, 1);
    cr_assert_eq(a.ex.access.data, 0x11);
    cr_assert_eq(b.ex.access.data, 0x22);
    machine_destroy(&a);
    expect_access(&b, AX_EXIT_IO_READ, PORT, 2);
    machine_destroy(&b);
}

EACH_ENGINE(destroying_nothing_is_fine)
{
    ops->vcpu_destroy(NULL);
    ops->vm_destroy(NULL);
}

/* ---- what tests of the VM rely on in the fake engine alone ---- */

Test(fake, counts_what_it_is_told_and_refuses_the_wrong_order)
{
    struct machine m;

    machine_create(&m, &ax_fake, USE(spin), AX_IRQCHIP_NONE);
    cr_assert_eq(ax_fake.time_go(m.vm), -EINVAL, "it goes");
    cr_assert_eq(ax_fake.time_stop(m.vm), 0);
    cr_assert_eq(ax_fake.time_stop(m.vm), -EBUSY, "it stands");
    cr_assert_eq(ax_fake.vcpu_run(m.vcpu, &m.ex), -EBUSY, "time stands");
    cr_assert_eq(ax_fake.vcpu_time_go(m.vcpu, 5), -EBUSY);
    cr_assert_eq(ax_fake.time_go(m.vm), 0);
    cr_assert_eq(ax_fake.vcpu_run(m.vcpu, &m.ex), -EBUSY, "not told");
    cr_assert_eq(ax_fake_vcpu_time_goes(m.vm, 0), 0);
    cr_assert_eq(ax_fake.vcpu_time_go(m.vcpu, 5), 0);
    ax_fake.vcpu_kick(m.vcpu);
    cr_assert_eq(ax_fake.vcpu_run(m.vcpu, &m.ex), 0);
    cr_assert_eq(ax_fake_time_stops(m.vm), 1);
    cr_assert_eq(ax_fake_time_goes(m.vm), 1);
    cr_assert_eq(ax_fake_vcpu_time_goes(m.vm, 0), 1);
    cr_assert_eq(ax_fake_stopped_ns(m.vm, 0), 5);
    cr_assert_eq(ax_fake.vcpu_nmi(m.vcpu), 0);
    cr_assert_eq(ax_fake_nmis(m.vm, 0), 1);
    machine_destroy(&m);
}
