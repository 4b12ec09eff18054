/*
 * test_debug.c - every engine that can debug against the words of backend.h.
 *
 * As test_engine.c: a program is given twice, as x86 code of 64-bit mode for
 * KVM and as steps for the fake engine, loaded and entered at 0x1000. What is
 * x86's own is asked of KVM alone, at the end.
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
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum {
    CODE = 0x1000,
    DATA = 0x3000,
    GDT = 0x5000,
    IDT = 0x6000,
    STACK = 0x8000,
    TABLES = 0x10000,
    HOLE = 0x20000,
    PORT = 0x5f0,
    DB_PORT = 0x90,
    BP_PORT = 0x94,
    DB_HANDLER = 0x200, /* in code that has one */
    BP_HANDLER = 0x300,
    INSNS = 12,
};

/* ---- programs ---- */

/* clang-format off */
#define PROGRAM(name, bits, text)                                              \
    extern const char name[], name##_end[];                                    \
    __asm__(".pushsection .rodata\n.code" bits "\n" #name ":\n" text           \
            "\n" #name "_end:\n.code64\n.popsection")
/* Tell of themselves: DR6 or nothing, and the flags and the pc on the stack. */
#define HANDLERS(name)                                                         \
    ".org " #name " + 0x200\n"                                                 \
    "mov %dr6, %rax\n"                                                         \
    "out %eax, $0x90\n"                                                        \
    "mov 16(%rsp), %rax\n"                                                     \
    "out %eax, $0x90\n"                                                        \
    "mov (%rsp), %rax\n"                                                       \
    "out %eax, $0x90\n"                                                        \
    "orl $0x10000, 16(%rsp)\n"                                                 \
    "iretq\n"                                                                  \
    ".org " #name " + 0x300\n"                                                 \
    "mov (%rsp), %rax\n"                                                       \
    "out %eax, $0x94\n"                                                        \
    "iretq\n"
/* clang-format on */

PROGRAM(code_walk, "64",
        "inc %rbx\n"
        "0: inc %rbx\n"
        "inc %rbx\n"
        "inc %rbx\n"
        "jmp 0b\n" HANDLERS(code_walk));
PROGRAM(code_access, "64",
        "inc %rbx\n"
        "in $0x70, %al\n"
        "out %al, $0x70\n"
        "inc %rbx\n"
        "mov 0x20010, %eax\n"
        "mov %eax, 0x20010\n"
        "inc %rbx\n"
        "jmp .\n");
PROGRAM(code_watch, "64",
        "inc %rbx\n"
        "movb $7, 0x3004\n"
        "inc %rbx\n"
        "movb 0x3004, %al\n"
        "inc %rbx\n"
        "jmp .\n");
PROGRAM(code_loud, "64",
        "0: inc %rbx\n"
        "out %al, $0x70\n"
        "jmp 0b\n");
PROGRAM(code_spin, "64", "jmp .");

#define ADD                                                                    \
    {                                                                          \
        .op = AX_FAKE_ADD, .target = 3, .exit = {.access = {.data = 1} }       \
    }
#define ACCESS(k, s, a, w)                                                     \
    {                                                                          \
        .exit =                                                                \
            {                                                                  \
                .kind = k,                                                     \
                .access = {.addr = (a),                                        \
                           .width = (w),                                       \
                           .space = (s),                                       \
                           .write = (k) == AX_EXIT_IO_WRITE ||                 \
                                    (k) == AX_EXIT_MMIO_WRITE},                \
            },                                                                 \
        .echo = (k) == AX_EXIT_IO_WRITE || (k) == AX_EXIT_MMIO_WRITE,          \
    }
#define LOOP(i)                                                                \
    {                                                                          \
        .op = AX_FAKE_LOOP, .target = CODE + (i) * sizeof(struct ax_fake_step) \
    }

static const struct ax_fake_step steps_walk[] = {ADD, ADD, ADD, ADD, LOOP(1)};
static const struct ax_fake_step steps_access[] = {
    ADD,
    ACCESS(AX_EXIT_IO_READ, AX_SPACE_PORT, 0x70, 1),
    ACCESS(AX_EXIT_IO_WRITE, AX_SPACE_PORT, 0x70, 1),
    ADD,
    ACCESS(AX_EXIT_MMIO_READ, AX_SPACE_MMIO, HOLE + 0x10, 4),
    ACCESS(AX_EXIT_MMIO_WRITE, AX_SPACE_MMIO, HOLE + 0x10, 4),
    ADD,
    {.op = AX_FAKE_SPIN},
};
static const struct ax_fake_step steps_watch[] = {
    ADD,
    {.op = AX_FAKE_STORE, .target = DATA + 4, .exit = {.access = {.data = 7}}},
    ADD,
    {.op = AX_FAKE_LOAD, .target = DATA + 4},
    ADD,
    {.op = AX_FAKE_SPIN},
};
static const struct ax_fake_step steps_loud[] = {
    ADD, ACCESS(AX_EXIT_IO_WRITE, AX_SPACE_PORT, 0x70, 1), LOOP(0)};
static const struct ax_fake_step steps_spin[] = {
    {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = CODE}};

/* at: where the instructions of code are; the fake engine's are of one size. */
struct program {
    const char *code, *code_end;
    const struct ax_fake_step *steps;
    size_t steps_size;
    unsigned at[INSNS];
};

static const struct program walk = {
    code_walk, code_walk_end, steps_walk, sizeof(steps_walk), {0, 3, 6, 9, 12},
};
static const struct program access_both = {
    code_access,
    code_access_end,
    steps_access,
    sizeof(steps_access),
    {0, 3, 5, 7, 10, 17, 24, 27},
};
static const struct program watch = {
    code_watch,          code_watch_end,         steps_watch,
    sizeof(steps_watch), {0, 3, 11, 14, 21, 24},
};
static const struct program loud = {
    code_loud, code_loud_end, steps_loud, sizeof(steps_loud), {0, 3, 5},
};
static const struct program spin = {
    code_spin, code_spin_end, steps_spin, sizeof(steps_spin), {0},
};

/* ---- a VM with one vCPU ---- */

static const struct ax_backend_ops *const engines[] = {&ax_fake, &ax_kvm};

struct machine {
    const struct ax_backend_ops *ops;
    struct ax_engine_vm *vm;
    struct ax_engine_vcpu *vcpu;
    struct ax_memory mem;
    const struct program *program;
    struct ax_exit ex;
};

static void need_debug(const struct ax_backend_ops *ops)
{
    if (ops->probe(NULL, NULL))
        cr_skip_test("the engine '%s' is not usable here", ops->name);
    if (!ops->vcpu_debug || !ops->vcpu_debug_decline)
        cr_skip_test("the engine '%s' cannot debug", ops->name);
}

static void set(struct machine *m, unsigned reg, uint64_t val)
{
    cr_assert_eq(m->ops->reg_set(m->vcpu, reg, val), 0, "register %u", reg);
}

static uint64_t get(struct machine *m, unsigned reg)
{
    uint64_t val;

    cr_assert_eq(m->ops->reg_get(m->vcpu, reg, &val), 0, "register %u", reg);
    return val;
}

static uint8_t *at(struct machine *m, uint64_t gpa, size_t size)
{
    uint8_t *p = ax_memory_at(&m->mem, gpa, size, AX_PROT_WRITE);

    cr_assert_not_null(p);
    return p;
}

static void write_words(struct machine *m, uint64_t gpa, const uint64_t *words,
                        size_t count)
{
    memcpy(at(m, gpa, count * sizeof(*words)), words, count * sizeof(*words));
}

static void set_segment(struct machine *m, unsigned seg, unsigned selector,
                        unsigned rights)
{
    set(m, seg + AX_X86_SEG_SELECTOR, selector);
    set(m, seg + AX_X86_SEG_BASE, 0);
    set(m, seg + AX_X86_SEG_LIMIT, UINT32_MAX);
    set(m, seg + AX_X86_SEG_AR, rights);
}

/* Interrupt gates for #DB and #BP. */
static void write_gates(struct machine *m)
{
    static const struct {
        unsigned vector, handler;
    } gates[] = {{1, CODE + DB_HANDLER}, {3, CODE + BP_HANDLER}};

    for (size_t i = 0; i < AX_ARRAY_LEN(gates); i++) {
        const uint64_t gate[2] = {gates[i].handler | 8ULL << 16 |
                                  0x8eULL << 40};

        write_words(m, IDT + 16 * gates[i].vector, gate, 2);
    }
}

/* 64-bit mode, the first 2 MiB mapped as they are. */
static void enter_64(struct machine *m)
{
    static const uint64_t gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
    static const uint64_t tables[] = {TABLES + 0x1003, TABLES + 0x2003, 0x83};

    write_words(m, GDT, gdt, AX_ARRAY_LEN(gdt));
    for (unsigned i = 0; i < AX_ARRAY_LEN(tables); i++)
        write_words(m, TABLES + i * 0x1000, &tables[i], 1);
    write_gates(m);
    set(m, AX_X86_CR0, AX_X86_CR0_PG | AX_X86_CR0_ET | AX_X86_CR0_PE);
    set(m, AX_X86_CR3, TABLES);
    set(m, AX_X86_CR4, AX_X86_CR4_PAE);
    set(m, AX_X86_EFER, AX_X86_EFER_LME | AX_X86_EFER_LMA);
    set(m, AX_X86_GDT_BASE, GDT);
    set(m, AX_X86_GDT_LIMIT, sizeof(gdt) - 1);
    set(m, AX_X86_IDT_BASE, IDT);
    set(m, AX_X86_IDT_LIMIT, 0xfff);
    set_segment(m, AX_X86_CS, 8, 0xa09b);
    set_segment(m, AX_X86_DS, 16, 0xc093);
    set_segment(m, AX_X86_ES, 16, 0xc093);
    set_segment(m, AX_X86_SS, 16, 0xc093);
    set(m, AX_X86_RSP, STACK);
    set(m, AX_X86_RFLAGS, 2);
    set(m, AX_X86_RIP, CODE);
}

static void enter_real(struct machine *m)
{
    set(m, AX_X86_CS, 0);
    set(m, AX_X86_CS + AX_X86_SEG_BASE, 0);
    set(m, AX_X86_RSP, STACK);
    set(m, AX_X86_RIP, CODE);
}

static void machine_load(struct machine *m, const struct program *p)
{
    const bool fake = m->ops == &ax_fake;
    const void *from = fake ? (const void *)p->steps : p->code;
    size_t size = fake ? p->steps_size : (size_t)(p->code_end - p->code);

    memcpy(at(m, CODE, size), from, size);
}

static void machine_make(struct machine *m, const struct ax_backend_ops *ops,
                         const struct program *p, enum ax_irqchip irqchip)
{
    static const uint64_t ids[] = {0};
    struct ax_engine_conf conf = {
        .vcpus = 1, .irqchip = irqchip, .cpu = {.cpus = 1, .ids = ids}};

    memset(m, 0, sizeof(*m));
    m->ops = ops;
    m->program = p;
    cr_assert_eq(ops->vm_create(&conf, &m->vm), 0);
    ax_memory_init(&m->mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&m->mem, 0, HOLE, AX_REGION_RAM), 0);
    cr_assert_eq(ops->mem_map(m->vm, &m->mem.regions[0]), 0);
    cr_assert_eq(ops->vm_seal(m->vm), 0);
    machine_load(m, p);
    cr_assert_eq(ops->vcpu_create(m->vm, 0, &m->vcpu), 0);
}

static void machine_create(struct machine *m, const struct ax_backend_ops *ops,
                           const struct program *p)
{
    machine_make(m, ops, p, AX_IRQCHIP_NONE);
    if (ops == &ax_fake)
        set(m, AX_FAKE_PC, CODE);
    else
        enter_64(m);
}

static void machine_destroy(struct machine *m)
{
    m->ops->vcpu_destroy(m->vcpu);
    m->ops->vm_destroy(m->vm);
    ax_memory_fini(&m->mem);
}

/* Where the program's instruction number i is. */
static uint64_t insn(const struct machine *m, unsigned i)
{
    return CODE + (m->ops == &ax_fake ? i * sizeof(struct ax_fake_step)
                                      : m->program->at[i]);
}

/* Register 3 of either engine counts what was executed of walk. */
static uint64_t counted(struct machine *m)
{
    return get(m, m->ops == &ax_fake ? 3 : AX_X86_RBX);
}

static void debug(struct machine *m, const struct ax_debug *how)
{
    cr_assert_eq(m->ops->vcpu_debug(m->vcpu, how), 0);
}

static void debug_step(struct machine *m)
{
    debug(m, &(struct ax_debug){.step = true});
}

static void debug_off(struct machine *m)
{
    debug(m, &(struct ax_debug){.step = false});
}

static struct ax_debug point(enum ax_debug_point_kind kind, unsigned size,
                             uint64_t addr)
{
    return (struct ax_debug){.points = {{kind, size, addr}}};
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

#define expect_debug(m, kinds, where)                                          \
    do {                                                                       \
        char text_[160];                                                       \
                                                                               \
        machine_run(m);                                                        \
        ax_exit_format(&(m)->ex, text_, sizeof(text_));                        \
        cr_assert_eq((m)->ex.kind, AX_EXIT_DEBUG, "got %s", text_);            \
        cr_assert_eq((m)->ex.debug.what, (unsigned)(kinds), "got %s", text_);  \
        cr_assert_eq((m)->ex.debug.pc, (where), "got %s, not %#lx", text_,     \
                     (unsigned long)(where));                                  \
    } while (0)

#define expect_access(m, kind_, where)                                         \
    do {                                                                       \
        char text_[160];                                                       \
                                                                               \
        machine_run(m);                                                        \
        ax_exit_format(&(m)->ex, text_, sizeof(text_));                        \
        cr_assert_eq((m)->ex.kind, kind_, "got %s", text_);                    \
        cr_assert_eq((m)->ex.access.addr, (where), "got %s", text_);           \
    } while (0)

/* ---- the cases ---- */

#define EACH_ENGINE(name)                                                      \
    ParameterizedTestParameters(debug, name)                                   \
    {                                                                          \
        static size_t which[] = {0, 1};                                        \
        return cr_make_param_array(size_t, which, 2);                          \
    }                                                                          \
    static void name##_body(const struct ax_backend_ops *ops);                 \
    ParameterizedTest(size_t *which, debug, name)                              \
    {                                                                          \
        need_debug(engines[*which]);                                           \
        name##_body(engines[*which]);                                          \
    }                                                                          \
    static void name##_body(const struct ax_backend_ops *ops)

EACH_ENGINE(a_step_is_one_instruction)
{
    struct machine m;

    machine_create(&m, ops, &walk);
    debug_step(&m);
    for (unsigned i = 1; i <= 4; i++) {
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, i));
        cr_assert_eq(counted(&m), i);
        cr_assert_eq(get(&m, AX_X86_RIP), insn(&m, i));
    }
    /* Round and round. */
    for (unsigned i = 0; i < 100; i++)
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, 1 + i % 4));
    machine_destroy(&m);
}

EACH_ENGINE(registers_set_between_steps_count)
{
    struct machine m;

    machine_create(&m, ops, &walk);
    debug_step(&m);
    expect_debug(&m, AX_DEBUG_STEP, insn(&m, 1));
    set(&m, ops == &ax_fake ? 3 : AX_X86_RBX, 1000);
    set(&m, AX_X86_RIP, insn(&m, 3));
    for (unsigned i = 0; i < 3; i++)
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, i ? i : 4));
    cr_assert_eq(counted(&m), 1002);
    machine_destroy(&m);
}

EACH_ENGINE(a_step_over_an_access_ends_behind_it)
{
    struct machine m;

    machine_create(&m, ops, &access_both);
    debug_step(&m);
    expect_debug(&m, AX_DEBUG_STEP, insn(&m, 1));
    for (unsigned i = 1; i <= 4; i += 3) {
        const bool io = i == 1;
        const uint64_t where = io ? 0x70 : HOLE + 0x10;

        expect_access(&m, io ? AX_EXIT_IO_READ : AX_EXIT_MMIO_READ, where);
        m.ex.answer = 0x5a;
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, i + 1));
        m.ex.answer = 0x5a; /* the fake engine has it from here */
        expect_access(&m, io ? AX_EXIT_IO_WRITE : AX_EXIT_MMIO_WRITE, where);
        cr_assert_eq(m.ex.access.data, 0x5a);
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, i + 2));
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, i + 3));
    }
    cr_assert_eq(counted(&m), 3);
    machine_destroy(&m);
}

EACH_ENGINE(an_execution_point_is_hit_before_its_instruction)
{
    struct machine m;
    struct ax_debug how;

    machine_create(&m, ops, &walk);
    how = point(AX_POINT_EXEC, 1, insn(&m, 2));
    how.points[3] = how.points[0];
    how.points[3].addr = insn(&m, 3);
    for (unsigned i = 0; i < 3; i++) {
        debug(&m, &how);
        expect_debug(&m, AX_DEBUG_HARD, insn(&m, 2));
        cr_assert_eq(m.ex.debug.points, 1);
        cr_assert_eq(get(&m, AX_X86_RIP), insn(&m, 2));
        cr_assert_eq(counted(&m), 2 + 3 * i);
        /* One goes on by a step without it. */
        debug_step(&m);
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, 3));
        debug(&m, &how);
        expect_debug(&m, AX_DEBUG_HARD, insn(&m, 3));
        cr_assert_eq(m.ex.debug.points, 8);
        debug_step(&m);
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, 4));
    }
    machine_destroy(&m);
}

EACH_ENGINE(every_point_can_be_used_at_once)
{
    struct machine m;
    struct ax_debug how = {.step = false};

    machine_create(&m, ops, &walk);
    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        how.points[i] = point(AX_POINT_EXEC, 1, insn(&m, 4 - i)).points[0];
    }
    for (unsigned i = 1; i <= 4; i++) {
        debug(&m, &how);
        expect_debug(&m, AX_DEBUG_HARD, insn(&m, i));
        cr_assert_eq(m.ex.debug.points, 1U << (4 - i));
        debug_step(&m);
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, i % 4 + 1));
    }
    machine_destroy(&m);
}

EACH_ENGINE(a_watchpoint_is_hit_after_the_access)
{
    struct machine m;
    struct ax_debug how;

    machine_create(&m, ops, &watch);
    how = point(AX_POINT_WRITE, 4, DATA + 4);
    how.points[1] = point(AX_POINT_EXEC, 1, insn(&m, 3)).points[0];
    debug(&m, &how);
    machine_run(&m);
    cr_assert_eq(m.ex.kind, AX_EXIT_DEBUG);
    if (m.ex.debug.points == 2) { /* it has come past the write */
        machine_destroy(&m);
        cr_skip_test("watchpoints do not fire here: a software KVM");
    }
    cr_assert_eq(m.ex.debug.what, AX_DEBUG_HARD);
    cr_assert_eq(m.ex.debug.points, 1);
    cr_assert_eq(m.ex.debug.pc, insn(&m, 2));
    cr_assert_eq(*at(&m, DATA + 4, 1), 7, "before the write");
    how = point(AX_POINT_ACCESS, 1, DATA + 4);
    debug(&m, &how);
    expect_debug(&m, AX_DEBUG_HARD, insn(&m, 4));
    cr_assert_eq(m.ex.debug.points, 1);
    machine_destroy(&m);
}

EACH_ENGINE(a_breakpoint_instruction_is_seen_before_it_is_executed)
{
    struct machine m;
    uint8_t *byte, old;

    machine_create(&m, ops, &walk);
    byte = at(&m, insn(&m, 3), 1);
    old = *byte;
    for (unsigned i = 0; i < 3; i++) {
        *byte = 0xcc;
        debug(&m, &(struct ax_debug){.soft = true});
        expect_debug(&m, AX_DEBUG_SOFT, insn(&m, 3));
        cr_assert_eq(get(&m, AX_X86_RIP), insn(&m, 3));
        cr_assert_eq(counted(&m), 3 + 3 * i);
        *byte = old;
        debug_step(&m);
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, 4));
    }
    machine_destroy(&m);
}

EACH_ENGINE(a_step_finds_a_breakpoint_instruction)
{
    struct machine m;

    machine_create(&m, ops, &walk);
    *at(&m, insn(&m, 1), 1) = 0xcc;
    debug(&m, &(struct ax_debug){.step = true, .soft = true});
    expect_debug(&m, AX_DEBUG_STEP, insn(&m, 1));
    expect_debug(&m, AX_DEBUG_SOFT, insn(&m, 1));
    machine_destroy(&m);
}

EACH_ENGINE(a_declined_breakpoint_is_the_guests)
{
    struct machine m;

    machine_create(&m, ops, &walk);
    *at(&m, insn(&m, 1), 1) = 0xcc;
    debug(&m, &(struct ax_debug){.soft = true});
    expect_debug(&m, AX_DEBUG_SOFT, insn(&m, 1));
    cr_assert_eq(ops->vcpu_debug_decline(m.vcpu), 0);
    if (ops == &ax_fake) {
        expect_debug(&m, AX_DEBUG_SOFT, insn(&m, 1)); /* it came round */
        cr_assert_eq(ax_fake_traps(m.vm, 0), 1);
    } else {
        expect_access(&m, AX_EXIT_IO_WRITE, BP_PORT);
        cr_assert_eq(m.ex.access.data, insn(&m, 1) + 1, "got %#lx",
                     m.ex.access.data);
    }
    machine_destroy(&m);
}

EACH_ENGINE(a_kick_does_not_disturb_a_step)
{
    struct machine m;

    machine_create(&m, ops, &walk);
    debug_step(&m);
    for (unsigned i = 0; i < 50; i++) {
        ops->vcpu_kick(m.vcpu);
        cr_assert_eq(ops->vcpu_run(m.vcpu, &m.ex), 0);
        cr_assert_eq(m.ex.kind, AX_EXIT_NOTHING);
        expect_debug(&m, AX_DEBUG_STEP, insn(&m, 1 + i % 4));
    }
    machine_destroy(&m);
}

struct kicker {
    struct machine *m;
    atomic_bool done;
};

static void *kicker_thread(void *arg)
{
    struct kicker *k = arg;

    while (!atomic_load(&k->done)) {
        k->m->ops->vcpu_kick(k->m->vcpu);
        sched_yield();
    }
    return NULL;
}

/* Steps over accesses use what kicks use. */
EACH_ENGINE(no_step_is_lost_to_kicks)
{
    struct machine m;
    struct kicker k = {.m = &m};
    pthread_t thread;
    unsigned at_insn = 0;

    machine_create(&m, ops, &loud);
    debug_step(&m);
    cr_assert_eq(pthread_create(&thread, NULL, kicker_thread, &k), 0);
    for (unsigned i = 0; i < 300;) {
        machine_run(&m);
        if (m.ex.kind == AX_EXIT_IO_WRITE)
            continue;
        at_insn = (at_insn + 1) % 3;
        cr_assert_eq(m.ex.kind, AX_EXIT_DEBUG);
        cr_assert_eq(m.ex.debug.pc, insn(&m, at_insn));
        i++;
    }
    atomic_store(&k.done, true);
    pthread_join(thread, NULL);
    debug_off(&m);
    for (unsigned i = 0; i < 20; i++)
        expect_access(&m, AX_EXIT_IO_WRITE, 0x70);
    machine_destroy(&m);
}

EACH_ENGINE(a_spinning_guest_under_debug_can_be_kicked)
{
    struct machine m;
    struct kicker k = {.m = &m};
    pthread_t thread;
    struct ax_debug how;

    machine_create(&m, ops, &spin);
    how = point(AX_POINT_EXEC, 1, DATA);
    how.soft = true;
    debug(&m, &how);
    cr_assert_eq(pthread_create(&thread, NULL, kicker_thread, &k), 0);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(ops->vcpu_run(m.vcpu, &m.ex), 0);
        cr_assert_eq(m.ex.kind, AX_EXIT_NOTHING);
    }
    atomic_store(&k.done, true);
    pthread_join(thread, NULL);
    machine_destroy(&m);
}

EACH_ENGINE(switched_off_it_costs_no_exits)
{
    struct machine m;
    struct ax_debug how;

    machine_create(&m, ops, &loud);
    how = point(AX_POINT_EXEC, 1, insn(&m, 0));
    how.step = how.soft = true;
    debug(&m, &how);
    machine_run(&m);
    cr_assert_eq(m.ex.kind, AX_EXIT_DEBUG);
    debug_off(&m);
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(ops->vcpu_run(m.vcpu, &m.ex), 0);
        cr_assert_eq(m.ex.kind, AX_EXIT_IO_WRITE, "got %s",
                     ax_exit_name(m.ex.kind));
    }
    machine_destroy(&m);
}

EACH_ENGINE(points_that_no_cpu_has_are_refused)
{
    static const struct {
        unsigned size;
        uint64_t addr;
    } bad[] = {{3, 0x3000}, {0, 0x3000}, {16, 0x3000},
               {2, 0x3001}, {4, 0x3002}, {8, 0x3004}};
    struct machine m;
    struct ax_debug how;

    machine_create(&m, ops, &walk);
    how = point(AX_POINT_EXEC, 1, insn(&m, 2));
    debug(&m, &how);
    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++) {
        how = point(AX_POINT_WRITE, bad[i].size, bad[i].addr);
        cr_assert_eq(ops->vcpu_debug(m.vcpu, &how), -EINVAL, "%zu", i);
    }
    expect_debug(&m, AX_DEBUG_HARD, insn(&m, 2));
    machine_destroy(&m);
}

/* ---- x86 under KVM alone ---- */

/* A program that only KVM can run. */
#define KVM_PROGRAM(n)                                                         \
    &(const struct program)                                                    \
    {                                                                          \
        .code = code_##n, .code_end = code_##n##_end                           \
    }

PROGRAM(code_real, "16",
        "nop\n"
        "pushf\n"
        "pop %ax\n"
        "mov $0x3000, %di\n"
        "stosw\n"
        "in $0x70, %al\n"
        "out %al, $0x70\n"
        "nop\n"
        "jmp .");
/* Steps itself for three instructions. */
PROGRAM(code_own_step, "64",
        "pushfq\n"               /* 0 */
        "orl $0x100, (%rsp)\n"   /* 1 */
        "popfq\n"                /* 8 */
        "nop\n"                  /* 9 */
        "pushfq\n"               /* 10 */
        "andl $~0x100, (%rsp)\n" /* 11 */
        "popfq\n"                /* 18 */
        "nop\n"                  /* 19 */
        "out %al, $0x70\n"       /* 20 */
        "jmp .\n" HANDLERS(code_own_step));
/* Has a point of its own at own, in DR0. */
PROGRAM(code_own_point, "64",
        "mov $0x1000 + 14, %eax\n" /* 0 */
        "mov %rax, %dr0\n"         /* 5 */
        "mov $2, %eax\n"           /* 8 */
        "nop\n"                    /* 13 */
        "mov %rax, %dr7\n"         /* 14 */
        "jmp 1f\n"                 /* 17 */
        "0: nop\n"                 /* 19 */
        "1: nop\n"                 /* 20 */
        "jmp 2f\n"                 /* 21 */
        "2: nop\n"                 /* 23 */
        "out %al, $0x70\n"         /* 24 */
        "jmp 3f\n"                 /* 26 */
        "3: jmp 0b\n" HANDLERS(code_own_point));

static void need_kvm(void)
{
    need_debug(&ax_kvm);
}

static void machine_create_real(struct machine *m, const struct program *p)
{
    machine_make(m, &ax_kvm, p, AX_IRQCHIP_NONE);
    enter_real(m);
}

Test(kvm, steps_in_real_mode)
{
    static const unsigned pcs[] = {1, 2, 3, 6, 7};
    struct machine m;

    need_kvm();
    machine_create_real(&m, KVM_PROGRAM(real));
    memset(at(&m, DATA, 2), 0xff, 2);
    debug_step(&m);
    for (size_t i = 0; i < AX_ARRAY_LEN(pcs); i++)
        expect_debug(&m, AX_DEBUG_STEP, CODE + pcs[i]);
    cr_assert_eq(at(&m, DATA, 2)[1] & 1, 0, "the guest sees our TF");
    expect_access(&m, AX_EXIT_IO_READ, 0x70);
    expect_debug(&m, AX_DEBUG_STEP, CODE + 9);
    expect_access(&m, AX_EXIT_IO_WRITE, 0x70);
    expect_debug(&m, AX_DEBUG_STEP, CODE + 11);
    expect_debug(&m, AX_DEBUG_STEP, CODE + 12);
    machine_destroy(&m);
}

Test(kvm, pc_is_linear)
{
    struct machine m;

    need_kvm();
    machine_create_real(&m, KVM_PROGRAM(real));
    set(&m, AX_X86_CS, CODE / 16);
    set(&m, AX_X86_CS + AX_X86_SEG_BASE, CODE);
    set(&m, AX_X86_RIP, 0);
    debug_step(&m);
    expect_debug(&m, AX_DEBUG_STEP, CODE + 1);
    cr_assert_eq(get(&m, AX_X86_RIP), 1);
    machine_destroy(&m);
}

/* The debugger comes while the answer of an access is under way, and goes. */
Test(kvm, stepping_begins_and_ends_within_an_access)
{
    struct machine m;

    need_kvm();
    machine_create(&m, &ax_kvm, &access_both);
    expect_access(&m, AX_EXIT_IO_READ, 0x70);
    m.ex.answer = 0x44;
    debug_step(&m);
    expect_debug(&m, AX_DEBUG_STEP, insn(&m, 2));
    expect_access(&m, AX_EXIT_IO_WRITE, 0x70);
    cr_assert_eq(m.ex.access.data, 0x44);
    debug_off(&m);
    expect_access(&m, AX_EXIT_MMIO_READ, HOLE + 0x10);
    cr_assert_eq(counted(&m), 2);
    machine_destroy(&m);
}

Test(kvm, only_a_breakpoint_that_was_met_is_declined)
{
    struct machine m;

    need_kvm();
    machine_create(&m, &ax_kvm, &walk);
    cr_assert_eq(ax_kvm.vcpu_debug_decline(m.vcpu), -EINVAL);
    *at(&m, insn(&m, 1), 1) = 0xcc;
    debug(&m, &(struct ax_debug){.soft = true});
    expect_debug(&m, AX_DEBUG_SOFT, insn(&m, 1));
    cr_assert_eq(ax_kvm.vcpu_debug_decline(m.vcpu), 0);
    expect_access(&m, AX_EXIT_IO_WRITE, BP_PORT);
    cr_assert_eq(ax_kvm.vcpu_debug_decline(m.vcpu), -EINVAL);
    machine_destroy(&m);
}

/* What the handler of #DB tells: DR6, the flags and the pc it was taken at. */
static void expect_own_trap(struct machine *m, uint64_t dr6, uint64_t tf,
                            uint64_t pc)
{
    expect_access(m, AX_EXIT_IO_WRITE, DB_PORT);
    cr_assert_eq(m->ex.access.data & 0xe00f, dr6, "DR6 %#lx",
                 m->ex.access.data);
    expect_access(m, AX_EXIT_IO_WRITE, DB_PORT);
    cr_assert_eq(m->ex.access.data & 0x100, tf, "flags %#lx",
                 m->ex.access.data);
    expect_access(m, AX_EXIT_IO_WRITE, DB_PORT);
    cr_assert_eq(m->ex.access.data, pc, "pc %#lx", m->ex.access.data);
}

static void expect_own_steps(struct machine *m)
{
    static const unsigned pcs[] = {10, 11, 18};

    for (size_t i = 0; i < AX_ARRAY_LEN(pcs); i++)
        expect_own_trap(m, 0x4000, 0x100, CODE + pcs[i]);
    expect_own_trap(m, 0x4000, 0, CODE + 19);
    expect_access(m, AX_EXIT_IO_WRITE, 0x70);
}

Test(kvm, a_guest_may_step_itself_beside_points)
{
    struct machine m;
    struct ax_debug how = point(AX_POINT_EXEC, 1, DATA);

    need_kvm();
    machine_create(&m, &ax_kvm, KVM_PROGRAM(own_step));
    how.soft = true;
    debug(&m, &how);
    expect_own_steps(&m);
    machine_destroy(&m);
}

/* Our steps over the instruction that sets TF; then the guest is let go. */
Test(kvm, the_guests_own_tf_outlives_our_steps)
{
    struct machine m;

    need_kvm();
    machine_create(&m, &ax_kvm, KVM_PROGRAM(own_step));
    debug_step(&m);
    expect_debug(&m, AX_DEBUG_STEP, CODE + 1);
    expect_debug(&m, AX_DEBUG_STEP, CODE + 8);
    cr_assert_not(get(&m, AX_X86_RFLAGS) & 0x100, "ours is seen");
    expect_debug(&m, AX_DEBUG_STEP, CODE + 9);
    cr_assert(get(&m, AX_X86_RFLAGS) & 0x100, "its own is hidden");
    debug_off(&m);
    cr_assert(get(&m, AX_X86_RFLAGS) & 0x100);
    expect_own_steps(&m);
    machine_destroy(&m);
}

/* One and the same trap is our step and the guest's. */
Test(kvm, the_guest_gets_the_step_that_both_have_made)
{
    struct machine m;

    need_kvm();
    machine_create(&m, &ax_kvm, KVM_PROGRAM(own_step));
    debug_step(&m);
    for (unsigned pc = 0; pc != 9; pc = (unsigned)m.ex.debug.pc - CODE)
        machine_run(&m);
    expect_debug(&m, AX_DEBUG_STEP, CODE + 10);
    debug_off(&m);
    expect_own_steps(&m);
    machine_destroy(&m);
}

Test(kvm, a_debugger_sets_and_clears_tf)
{
    struct machine m;

    need_kvm();
    machine_create(&m, &ax_kvm, &walk);
    debug_step(&m);
    expect_debug(&m, AX_DEBUG_STEP, insn(&m, 1));
    set(&m, AX_X86_RFLAGS, 0x102);
    expect_debug(&m, AX_DEBUG_STEP, insn(&m, 2));
    cr_assert(get(&m, AX_X86_RFLAGS) & 0x100);
    debug_off(&m);
    expect_own_trap(&m, 0x4000, 0x100, insn(&m, 2));
    expect_own_trap(&m, 0x4000, 0x100, insn(&m, 3));
    machine_destroy(&m);
}

/* DR0 is at the point where DR7 is set, and moved on from there. */
static void own_point_at(struct machine *m, unsigned off)
{
    set(m, AX_X86_DR0, CODE + off);
    set(m, AX_X86_DR7, 0x402);
}

Test(kvm, a_guest_keeps_its_own_point_beside_ours)
{
    struct machine m;
    struct ax_debug how;

    need_kvm();
    machine_create(&m, &ax_kvm, KVM_PROGRAM(own_point));
    set(&m, AX_X86_RIP, CODE + 19);
    own_point_at(&m, 20);
    how = point(AX_POINT_EXEC, 1, CODE + 23);
    for (unsigned i = 0; i < 3; i++) {
        debug(&m, &how);
        expect_own_trap(&m, 1, 0, CODE + 20);
        expect_debug(&m, AX_DEBUG_HARD, CODE + 23);
        cr_assert_eq(m.ex.debug.points, 1);
        debug_step(&m);
        expect_debug(&m, AX_DEBUG_STEP, CODE + 24);
        debug_off(&m);
        expect_access(&m, AX_EXIT_IO_WRITE, 0x70);
    }
    cr_assert_eq(get(&m, AX_X86_DR0), CODE + 20, "ours shows");
    cr_assert_eq(get(&m, AX_X86_DR7), 0x402);
    machine_destroy(&m);
}

/* ---- registers ---- */

static void expect_round_trip(struct machine *m, unsigned reg, uint64_t val)
{
    set(m, reg, val);
    cr_assert_eq(get(m, reg), val, "register %u: %#lx", reg, get(m, reg));
    m->ops->vcpu_kick(m->vcpu);
    cr_assert_eq(m->ops->vcpu_run(m->vcpu, &m->ex), 0);
    cr_assert_eq(m->ex.kind, AX_EXIT_NOTHING);
    cr_assert_eq(get(m, reg), val, "register %u, after a run: %#lx", reg,
                 get(m, reg));
}

Test(kvm, registers_of_every_group_keep_what_is_set)
{
    static const struct {
        unsigned reg;
        uint64_t val;
    } sets[] = {
        {AX_X86_R15, 0x1122334455667788},
        {AX_X86_CR2, 0x12345000},
        {AX_X86_CR8, 5},
        {AX_X86_FS + AX_X86_SEG_BASE, 0x7f0000001000},
        {AX_X86_GS + AX_X86_SEG_SELECTOR, 16},
        {AX_X86_DR0, 0x1234},
        {AX_X86_DR3, 0xffff800000001234},
        {AX_X86_DR6, 0xffff0ff1},
        {AX_X86_DR7, 0x701},
        {AX_X86_SYSENTER_EIP, 0xffffffff81000000},
        {AX_X86_STAR, 0x0023001000000000},
        {AX_X86_LSTAR, 0xffffffff81000010},
        {AX_X86_CSTAR, 0xffffffff81000020},
        {AX_X86_SFMASK, 0x47700},
        {AX_X86_KERNEL_GS_BASE, 0xffff888000000000},
        {AX_X86_PAT, 0x0007040600070406},
    };
    struct machine m;

    need_kvm();
    machine_create(&m, &ax_kvm, &spin);
    for (size_t i = 0; i < AX_ARRAY_LEN(sets); i++)
        expect_round_trip(&m, sets[i].reg, sets[i].val);
    for (size_t i = 0; i < AX_ARRAY_LEN(sets); i++)
        cr_assert_eq(get(&m, sets[i].reg), sets[i].val, "%zu has changed", i);
    machine_destroy(&m);
}

Test(kvm, every_register_can_be_read)
{
    struct machine m;
    uint64_t val;

    need_kvm();
    machine_create(&m, &ax_kvm, &spin);
    for (unsigned reg = 0; reg < AX_X86_ALL_REGS; reg++)
        get(&m, reg);
    cr_assert_eq(get(&m, AX_X86_ACTIVITY), AX_X86_ACTIVE);
    cr_assert_eq(ax_kvm.reg_set(m.vcpu, AX_X86_ACTIVITY, AX_X86_ACTIVE),
                 -EINVAL);
    cr_assert_eq(ax_kvm.reg_get(m.vcpu, AX_X86_ALL_REGS, &val), -EINVAL);
    cr_assert_eq(ax_kvm.reg_set(m.vcpu, AX_X86_ALL_REGS, 0), -EINVAL);
    machine_destroy(&m);
}

Test(kvm, what_the_cpu_refuses_is_told_and_kills_nobody)
{
    static const struct {
        unsigned reg;
        uint64_t val;
    } bad[] = {
        {AX_X86_CR4, UINT64_MAX},   {AX_X86_EFER, 0}, {AX_X86_CR0, 0x80000000},
        {AX_X86_DR7, 1ULL << 40},   {AX_X86_XCR0, 0}, {AX_X86_CR3, UINT64_MAX},
        {AX_X86_LSTAR, 1ULL << 63},
    };
    struct machine m;

    need_kvm();
    machine_create(&m, &ax_kvm, &walk);
    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++) {
        const uint64_t before = get(&m, bad[i].reg);

        if (bad[i].reg == AX_X86_LSTAR)
            continue; /* see below */
        cr_assert_eq(ax_kvm.reg_set(m.vcpu, bad[i].reg, bad[i].val), -EINVAL,
                     "%zu was taken", i);
        cr_assert_eq(get(&m, bad[i].reg), before, "%zu has changed", i);
    }
    cr_assert_eq(ax_kvm.reg_set(m.vcpu, AX_X86_LSTAR, 1ULL << 63), -EINVAL);
    debug_step(&m);
    expect_debug(&m, AX_DEBUG_STEP, insn(&m, 1));
    cr_assert_eq(ax_kvm.reg_set(m.vcpu, AX_X86_CR4, UINT64_MAX), -EINVAL);
    expect_debug(&m, AX_DEBUG_STEP, insn(&m, 2));
    machine_destroy(&m);
}

/* ---- state ---- */

static void xsave_get(struct machine *m, struct ax_x86_xsave *x)
{
    cr_assert_eq(m->ops->state_get(m->vcpu, AX_X86_STATE_XSAVE, x, sizeof(*x)),
                 0);
}

Test(kvm, vector_registers_keep_what_is_set)
{
    struct machine m;
    struct ax_x86_xsave x, y;

    need_kvm();
    machine_create(&m, &ax_kvm, &spin);
    xsave_get(&m, &x);
    for (unsigned i = 0; i < 16; i++) {
        memset(x.legacy + 160 + 16 * i, (int)(0x10 + i), 16);
        memset(x.ymm_high[i], (int)(0xa0 + i), 16);
    }
    memset(x.legacy + 32, 0x3c, 10); /* ST0 */
    x.legacy[0] = 0x7f;
    x.legacy[1] = 0x02; /* another FCW */
    x.components = 0;
    cr_assert_eq(ax_kvm.state_set(m.vcpu, AX_X86_STATE_XSAVE, &x, sizeof(x)),
                 0);
    for (unsigned i = 0; i < 2; i++) {
        xsave_get(&m, &y);
        cr_assert_eq(y.components & 7, 7, "%#lx", y.components);
        cr_assert_arr_eq(y.legacy + 160, x.legacy + 160, 256);
        cr_assert_arr_eq(y.ymm_high, x.ymm_high, sizeof(x.ymm_high));
        cr_assert_arr_eq(y.legacy + 32, x.legacy + 32, 10);
        cr_assert_eq(y.legacy[1], 0x02);
        ax_kvm.vcpu_kick(m.vcpu);
        cr_assert_eq(ax_kvm.vcpu_run(m.vcpu, &m.ex), 0);
    }
    memset(x.legacy + 24, 0xff, 4); /* MXCSR has bits that must be 0 */
    cr_assert_eq(ax_kvm.state_set(m.vcpu, AX_X86_STATE_XSAVE, &x, sizeof(x)),
                 -EINVAL);
    xsave_get(&m, &y);
    cr_assert_neq(y.legacy[27], 0xff);
    machine_destroy(&m);
}

Test(kvm, interrupt_controllers_are_shown_where_they_are)
{
    struct machine m;
    struct ax_x86_lapic lapic;
    struct ax_x86_irqchip chip;
    uint32_t version;

    need_kvm();
    machine_make(&m, &ax_kvm, &spin, AX_IRQCHIP_KERNEL);
    cr_assert_eq(
        ax_kvm.state_get(m.vcpu, AX_X86_STATE_LAPIC, &lapic, sizeof(lapic)), 0);
    memcpy(&version, lapic.page + 0x30, sizeof(version));
    cr_assert_eq(version & 0xf0, 0x10, "%#x", version);
    cr_assert_eq(
        ax_kvm.state_get(m.vcpu, AX_X86_STATE_IRQCHIP, &chip, sizeof(chip)), 0);
    cr_assert(chip.ioapic_pins[0] & 0x10000, "not masked after reset");
    cr_assert_eq(
        ax_kvm.state_set(m.vcpu, AX_X86_STATE_IRQCHIP, &chip, sizeof(chip)),
        -EINVAL);
    cr_assert_eq(
        ax_kvm.state_get(m.vcpu, AX_X86_STATE_IRQCHIP, &chip, sizeof(chip) - 1),
        -EINVAL);
    cr_assert_eq(ax_kvm.state_get(m.vcpu, 99, &chip, sizeof(chip)), -EINVAL);
    machine_destroy(&m);

    machine_create(&m, &ax_kvm, &spin);
    cr_assert_eq(
        ax_kvm.state_get(m.vcpu, AX_X86_STATE_LAPIC, &lapic, sizeof(lapic)),
        -EINVAL);
    cr_assert_eq(
        ax_kvm.state_get(m.vcpu, AX_X86_STATE_IRQCHIP, &chip, sizeof(chip)),
        -EINVAL);
    machine_destroy(&m);
}

/* ---- the TSC, as KVM has it for the guest ---- */

/* How far the host's went on, at least, while the guest's stood. */
static uint64_t stand_still(struct machine *m, uint64_t cycles)
{
    uint64_t began;

    cr_assert_eq(m->ops->time_stop(m->vm), 0);
    began = __builtin_ia32_rdtsc();
    while (__builtin_ia32_rdtsc() - began < cycles)
        sched_yield();
    began = __builtin_ia32_rdtsc() - began;
    cr_assert_eq(m->ops->time_go(m->vm), 0);
    return began;
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

/* A resume that a suspend follows at once: the vCPU never left its hold. */
Test(kvm, a_resume_that_a_vcpu_sleeps_through_is_not_lost)
{
    enum { CYCLES = 200000000 };
    struct machine m;
    uint64_t began, first, last, spent, stood;

    need_kvm();
    need_tsc_offset();
    machine_create(&m, &ax_kvm, &spin);
    began = __builtin_ia32_rdtsc();
    first = get(&m, AX_X86_TSC);
    if (first >= began && first <= __builtin_ia32_rdtsc()) {
        machine_destroy(&m);
        cr_skip_test("the guest sees the host's TSC here");
    }
    stood = stand_still(&m, CYCLES);
    stood += stand_still(&m, CYCLES);
    cr_assert_eq(ax_kvm.vcpu_time_go(m.vcpu, 1), 0);
    last = get(&m, AX_X86_TSC);
    spent = __builtin_ia32_rdtsc() - began;
    cr_assert_geq(last, first, "it went backwards");
    cr_assert_leq(last - first, spent - stood, "%lu of %lu, %lu stopped",
                  last - first, spent, stood);
    /* What it has is not taken from it again. */
    cr_assert_eq(ax_kvm.vcpu_time_go(m.vcpu, 1), 0);
    cr_assert_geq(get(&m, AX_X86_TSC), last);
    machine_destroy(&m);
}
