/*
 * test_engine.c - every engine against the words of backend.h.
 *
 * Each case exists once and runs on the fake engine and on KVM. A program is
 * given twice: as x86 real-mode code for KVM, as steps for the fake engine. It
 * is loaded at 0x1000 and entered there.
 */
#include "arch/x86_64/regs.h"
#include "fake/engine.h"
#include "memory/memory.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { CODE = 0x1000, PORT = 0x5f0 };

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
