/*
 * test_session.c - what a debugger asks and is answered, with VMs of the fake
 * engine, whose instructions are steps (fake/engine.h).
 */
#include "fake/debugger.h"

#include "arch/x86_64/regs.h"
#include "memory/memory.h"
#include "vcpu/vcpu.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STEP(n) (AX_TEST_ENTRY + (n) * sizeof(struct ax_fake_step))
#define DATA    0x8000
#define OUT(p, v)                                                              \
    {                                                                          \
        .exit = {                                                              \
            .kind = AX_EXIT_IO_WRITE,                                          \
            .access = {p, v, 1, true, AX_SPACE_PORT}                           \
        }                                                                      \
    }
#define ADD(reg, n)                                                            \
    {                                                                          \
        .op = AX_FAKE_ADD, .target = (reg), .exit.access.data = (n)            \
    }
#define STORE(at, v)                                                           \
    {                                                                          \
        .op = AX_FAKE_STORE, .target = (at), .exit.access.data = (v)           \
    }
#define LOAD(at)                                                               \
    {                                                                          \
        .op = AX_FAKE_LOAD, .target = (at)                                     \
    }
#define GOTO(n)                                                                \
    {                                                                          \
        .op = AX_FAKE_LOOP, .target = STEP(n)                                  \
    }

enum { RBX = 1 };

/* 0: counts in rbx, stores, loads, does I/O; for ever. */
static const struct ax_fake_step counts[] = {
    ADD(RBX, 1), STORE(DATA, 7), LOAD(DATA + 8), OUT(0x80, 1), GOTO(0)};
static const struct ax_fake_step spins[] = {{.op = AX_FAKE_SPIN}, GOTO(0)};
static const struct ax_fake_step sleeps[] = {{.op = AX_FAKE_SLEEP}, GOTO(0)};
/* Both vCPUs count in the same place. */
static const struct ax_fake_step both[] = {
    {.op = AX_FAKE_START, .target = STEP(1)},
    ADD(RBX, 1),
    OUT(0x80, 1),
    GOTO(1)};
static const struct ax_fake_step crashes[] = {
    ADD(RBX, 1), {.exit = {.kind = AX_EXIT_FAIL_ENTRY}}};
static const struct ax_fake_step resets[] = {ADD(RBX, 1), OUT(0xcf9, 6),
                                             GOTO(1)};
static const struct ax_fake_step exits[] = {OUT(0xf4, 7), GOTO(0)};
static const struct ax_fake_step breaks[] = {
    ADD(RBX, 1), {.op = AX_FAKE_BREAK}, ADD(RBX, 1), GOTO(0)};

#define PROGRAM(name)                                                          \
    (&(const struct ax_test_program){.steps = (name),                          \
                                     .steps_size = sizeof(name)})

static struct ax_debugger d;

static void begin(const struct ax_test_program *program, unsigned cpus)
{
    ax_debugger_create(&d, &ax_fake, cpus, program, "");
    cr_assert_not(ax_vm_start(d.vm));
    ax_debugger_connect(&d);
}

static void begin_waiting(const struct ax_test_program *program, unsigned cpus)
{
    ax_debugger_create(&d, &ax_fake, cpus, program, "");
    ax_target_wait(d.target);
    cr_assert_not(ax_vm_start(d.vm));
    ax_debugger_connect(&d);
}

static void end(void)
{
    cr_assert_not(d.late);
    ax_debugger_destroy(&d);
    cr_assert_eq(ax_fake_alive(), 0);
}

#define expect(packet, wanted)                                                 \
    do {                                                                       \
        const char *got_ = ax_debugger_ask(&d, "%s", packet);                  \
        cr_assert_str_eq(got_, wanted, "%s: %s instead of %s", packet, got_,   \
                         wanted);                                              \
    } while (0)

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

#define expect_begins(packet, wanted)                                          \
    do {                                                                       \
        const char *got_ = ax_debugger_ask(&d, "%s", packet);                  \
        cr_assert(begins(got_, wanted), "%s: %s instead of %s", packet, got_,  \
                  wanted);                                                     \
    } while (0)

static uint64_t parse_le(const char *hex)
{
    uint64_t val = 0;

    for (int i = 0; i < 8; i++) {
        unsigned byte = 0;

        sscanf(hex + (size_t)i * 2, "%2x", &byte);
        val |= (uint64_t)byte << i * 8;
    }
    return val;
}

static uint64_t reg(unsigned number)
{
    return parse_le(ax_debugger_ask(&d, "p%x", number));
}

enum { GDB_RAX = 0, GDB_RBX = 1, GDB_RIP = 16 };

static void set_reg(unsigned number, uint64_t val)
{
    char hex[17];

    for (int i = 0; i < 8; i++)
        snprintf(hex + (size_t)i * 2, 3, "%02x",
                 (unsigned)(val >> i * 8 & 0xff));
    cr_assert_str_eq(ax_debugger_ask(&d, "P%x=%s", number, hex), "OK");
}

/* ---- sessions ---- */

Test(session, halts_when_a_debugger_speaks_and_not_before)
{
    begin(PROGRAM(counts), 1);
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_SUSPENDED);
    expect_begins("?", "T05thread:1;");
    ax_debugger_send(&d, "D");
    cr_assert_str_eq(ax_debugger_wait(&d), "OK");
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_RUNNING);
    cr_assert(d.over);
    ax_debugger_disconnect(&d);
    ax_debugger_connect(&d);
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_SUSPENDED);
    ax_debugger_disconnect(&d);
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_RUNNING);
    end();
}

Test(session, a_vm_that_was_suspended_stays_so)
{
    ax_debugger_create(&d, &ax_fake, 1, PROGRAM(counts), "");
    cr_assert_not(ax_vm_start(d.vm));
    cr_assert_not(ax_vm_suspend(d.vm));
    ax_debugger_connect(&d);
    expect("D", "OK");
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_SUSPENDED);
    end();
}

Test(session, a_vm_that_does_not_run_is_refused_in_words)
{
    ax_debugger_create(&d, &ax_fake, 1, PROGRAM(counts), "");
    ax_debugger_connect(&d);
    cr_assert_str_eq(d.reply, "E.the VM has not been started");
    cr_assert(d.over);
    end();
}

Test(session, waits_before_the_first_instruction)
{
    begin_waiting(PROGRAM(counts), 2);
    expect_begins("?", "T05thread:1;");
    cr_assert_eq(reg(GDB_RIP), STEP(0));
    cr_assert_eq(reg(GDB_RBX), 0);
    end();
}

Test(session, kill_ends_the_vm)
{
    begin(PROGRAM(counts), 1);
    ax_debugger_send(&d, "vKill;1");
    cr_assert_str_eq(ax_debugger_wait(&d), "OK");
    cr_assert(d.over);
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_STOPPING);
    end();
}

Test(session, halted_by_a_debugger_it_is_nobody_elses)
{
    begin(PROGRAM(counts), 1);
    cr_assert_eq(ax_vm_resume(d.vm), -EBUSY);
    cr_assert_eq(ax_vm_stop(d.vm, 0), -EBUSY);
    cr_assert(strstr(ax_vm_refusal(d.vm), "debugger"));
    cr_assert_not(ax_vm_force_stop(d.vm));
    end();
}

Test(session, suspended_by_somebody_else_is_a_stop)
{
    begin(PROGRAM(counts), 1);
    ax_debugger_send(&d, "vCont;c");
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_RUNNING);
    cr_assert_not(ax_vm_suspend(d.vm));
    cr_assert(begins(ax_debugger_wait(&d), "T11thread:1;"));
    end();
}

/* ---- registers and memory ---- */

Test(session, registers_are_read_and_written)
{
    char all[AX_DEBUGGER_LINE];

    begin_waiting(PROGRAM(counts), 2);
    set_reg(GDB_RBX, 0x1122334455667788);
    cr_assert_eq(reg(GDB_RBX), 0x1122334455667788);
    strcpy(all, ax_debugger_ask(&d, "g"));
    cr_assert(begins(all + 16, "8877665544332211"));
    all[16] = '9';
    cr_assert_str_eq(ax_debugger_ask(&d, "G%s", all), "OK");
    cr_assert_eq(reg(GDB_RBX), 0x1122334455667798);
    expect("Hg2", "OK");
    cr_assert_eq(reg(GDB_RBX), 0);
    expect_begins("Hg3", "E");
    expect_begins("p1000", "E");
    expect_begins("P1=12", "E");
    expect_begins("P1=11223344556677889900", "E");
    end();
}

Test(session, memory_is_read_and_written)
{
    begin_waiting(PROGRAM(counts), 1);
    expect("M8000,4:01020304", "OK");
    expect("m8000,4", "01020304");
    expect("X8001,2:}\x03"
           "z",
           "OK"); /* an escaped '#' */
    expect("m8000,4", "01237a04");
    expect_begins("X8001,2:a", "E");
    expect("X8001,2:ab", "OK");
    expect("m8000,4", "01616204");
    expect("x8000,4", "b\x01"
                      "ab\x04");
    expect("mffe,0", "");
    expect_begins("m200000,4", "E"); /* behind its 2 MiB */
    expect("m1ffffe,8", "0000");     /* as far as there is any */
    expect_begins("M1ffffe,4:00000000", "E");
    expect("m1ffffe,2", "0000");
    expect_begins("mfee00000,4", "E"); /* a device */
    expect_begins("m8000", "E");
    expect_begins("M8000,4:0102", "E");
    end();
}

Test(session, physical_addresses_on_request)
{
    begin_waiting(PROGRAM(counts), 1);
    expect("qqemu.PhyMemMode", "0");
    expect("Qqemu.PhyMemMode:1", "OK");
    expect("qqemu.PhyMemMode", "1");
    expect("M8000,1:2a", "OK");
    expect("m8000,1", "2a");
    end();
}

/* A vCPU that is halted behind an access has its answer: what is set then is
 * not written over by it. */
Test(session, registers_set_behind_an_access_stay)
{
    static const struct ax_fake_step reads[] = {
        {.exit = {.kind = AX_EXIT_IO_READ,
                  .access = {.addr = 0x71,
                             .width = 1,
                             .space = AX_SPACE_PORT}}},
        GOTO(0)};
    unsigned behind = 0;

    begin(PROGRAM(reads), 1);
    for (int i = 0; i < 1000 && behind < 20; i++) {
        if (reg(GDB_RIP) == STEP(1)) {
            behind++;
            set_reg(GDB_RAX, 0x1122334455667788);
            expect_begins("vCont;s:1", "T05thread:1;");
            cr_assert_eq(reg(GDB_RAX), 0x1122334455667788);
        }
        ax_debugger_disconnect(&d);
        ax_debugger_connect(&d);
    }
    cr_assert(behind, "it was never behind the access");
    end();
}

/* ---- breakpoints ---- */

Test(session, software_breakpoints_hit_and_leave_no_trace)
{
    char before[64];

    begin_waiting(PROGRAM(counts), 1);
    snprintf(before, sizeof(before), "%s",
             ax_debugger_ask(&d, "m%zx,4", STEP(2)));
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", STEP(2)), "OK");
    for (unsigned round = 1; round < 4; round++) {
        expect_begins("vCont;c", "T05thread:1;swbreak:;");
        cr_assert_eq(reg(GDB_RIP), STEP(2));
        cr_assert_eq(reg(GDB_RBX), round);
        cr_assert_str_eq(ax_debugger_ask(&d, "m%zx,4", STEP(2)), before);
        /* As gdb does: without it, one step, and again. */
        cr_assert_str_eq(ax_debugger_ask(&d, "z0,%zx,1", STEP(2)), "OK");
        expect_begins("vCont;s:1", "T05thread:1;");
        cr_assert_eq(reg(GDB_RIP), STEP(3));
        cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", STEP(2)), "OK");
    }
    cr_assert_str_eq(ax_debugger_ask(&d, "z0,%zx,1", STEP(2)), "OK");
    expect("D", "OK");
    end();
}

Test(session, a_breakpoint_where_nothing_is_takes_a_debug_register)
{
    begin_waiting(PROGRAM(counts), 1);
    set_reg(GDB_RBX, 0);
    expect("Z0,fee00000,1", "E0e"); /* a device: nothing to write to */
    for (int i = 0; i < 4; i++)
        cr_assert_str_eq(ax_debugger_ask(&d, "Z1,%x,1", 0x9000 + i), "OK");
    expect_begins("Z1,9004,1", "E.");
    expect("z1,9000,1", "OK");
    expect("Z1,9004,1", "OK");
    end();
}

/* 32-bit paging with pages of 4 MiB, their table at 0x9000. */
static int switch_paging_on(void *ctx, const struct ax_backend_ops *ops,
                            struct ax_engine_vcpu *engine)
{
    int err = ops->reg_set(engine, AX_X86_CR3, 0x9000);

    if (!err)
        err = ops->reg_set(engine, AX_X86_CR4, AX_X86_CR4_PSE);
    return err ? err
               : ops->reg_set(engine, AX_X86_CR0,
                              AX_X86_CR0_PG | AX_X86_CR0_PE);
}

/* ... and the page is executed under another one: gdb would not know it, and
 * go on for ever. */
Test(session, a_breakpoint_is_at_one_address_of_its_page)
{
    begin_waiting(PROGRAM(counts), 1);
    expect("M9000,4:83000000", "OK"); /* 0 is there, and at 0x80000000 */
    expect("M9800,4:83000000", "OK");
    cr_assert_not(ax_target_call(d.target, 0, switch_paging_on, NULL));
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", 0x80000000 + STEP(1)),
                     "OK");
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", STEP(2)), "OK");
    expect_begins("vCont;c", "T05thread:1;swbreak:;");
    cr_assert_eq(reg(GDB_RIP), STEP(2));
    expect("m8000,1", "07"); /* what is there was executed */
    end();
}

Test(session, hardware_breakpoints_and_watchpoints)
{
    begin_waiting(PROGRAM(counts), 1);
    cr_assert_str_eq(ax_debugger_ask(&d, "Z1,%zx,1", STEP(3)), "OK");
    expect_begins("vCont;c", "T05thread:1;hwbreak:;");
    cr_assert_eq(reg(GDB_RIP), STEP(3));
    cr_assert_str_eq(ax_debugger_ask(&d, "z1,%zx,1", STEP(3)), "OK");
    expect("Z2,8000,1", "OK");
    expect_begins("vCont;c", "T05thread:1;watch:8000;");
    cr_assert_eq(reg(GDB_RIP), STEP(2));
    expect("m8000,1", "07");
    expect("z2,8000,1", "OK");
    expect("Z4,8008,8", "OK");
    expect_begins("vCont;c", "T05thread:1;awatch:8008;");
    cr_assert_eq(reg(GDB_RIP), STEP(3));
    expect("Z3,8000,1", ""); /* gdb takes an access watchpoint instead */
    expect_begins("Z2,8001,4", "E");
    expect_begins("Z2,8000,3", "E");
    end();
}

/* In all conditions below: rbx == 100, by reg 1, const8 100, equal, end (GDB
 * manual, appendix F). */
Test(session, conditions_are_evaluated_here)
{
    begin_waiting(PROGRAM(counts), 1);
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1;X7,26000122641327", STEP(1)),
                     "OK");
    expect_begins("vCont;c", "T05thread:1;swbreak:;");
    cr_assert_eq(reg(GDB_RBX), 100);
    cr_assert_str_eq(ax_debugger_ask(&d, "z0,%zx,1", STEP(1)), "OK");
    set_reg(GDB_RBX, 0);
    cr_assert_str_eq(ax_debugger_ask(&d, "Z1,%zx,1;X7,26000122641327", STEP(1)),
                     "OK");
    expect_begins("vCont;c", "T05thread:1;hwbreak:;");
    cr_assert_eq(reg(GDB_RBX), 100);
    end();
}

Test(session, an_expression_that_is_wrong_stops)
{
    begin_waiting(PROGRAM(counts), 1);
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1;X1,ff", STEP(1)), "OK");
    expect_begins("vCont;c", "T05thread:1;swbreak:;");
    expect_begins("Z0,1000,1;X3,ff", "E");
    expect_begins("Z0,1000,1;Y1,ff", "E");
    expect_begins("Z9,1000,1", "E");
    expect_begins("Z0,1000", "E");
    end();
}

/* The others hold while one steps over what does not stop. */
Test(session, conditions_with_several_vcpus)
{
    begin_waiting(PROGRAM(both), 2);
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1;X7,26000122641327", STEP(2)),
                     "OK");
    expect_begins("vCont;c", "T05thread:");
    ax_debugger_ask(&d, "Hg%c", d.reply[10]);
    cr_assert_eq(reg(GDB_RBX), 100);
    cr_assert_eq(reg(GDB_RIP), STEP(2));
    end();
}

Test(session, two_vcpus_at_one_breakpoint_are_both_told)
{
    begin(PROGRAM(both), 2);
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", STEP(1)), "OK");
    for (int cpu = 1; cpu <= 2; cpu++) {
        cr_assert(begins(ax_debugger_ask(&d, "vCont;c:%d", cpu), "T05thread:"));
        cr_assert_eq(d.reply[10], '0' + cpu);
        cr_assert(strstr(d.reply, "swbreak:;"));
        ax_debugger_ask(&d, "Hg%d", cpu);
        cr_assert_eq(reg(GDB_RIP), STEP(1));
    }
    /* One alone goes past it; the other is told again, where it is. */
    cr_assert_str_eq(ax_debugger_ask(&d, "z0,%zx,1", STEP(1)), "OK");
    expect_begins("vCont;s:1", "T05thread:1;");
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", STEP(1)), "OK");
    cr_assert(begins(ax_debugger_ask(&d, "vCont;c:2"), "T05thread:2;swbreak"));
    cr_assert_eq(reg(GDB_RIP), STEP(1));
    end();
}

Test(session, the_guests_own_breakpoints_are_its_own)
{
    begin_waiting(PROGRAM(breaks), 1);
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", STEP(2)), "OK");
    expect_begins("vCont;c", "T05thread:1;swbreak:;");
    cr_assert_eq(reg(GDB_RIP), STEP(2));
    cr_assert_eq(reg(GDB_RBX), 1);
    end();
}

static bool is_guests(uint64_t gpa, size_t size, const void *bytes)
{
    const void *at = ax_memory_at(ax_vm_memory(d.vm), gpa, size, AX_PROT_READ);

    return at && !memcmp(at, bytes, size);
}

/* Asked to power off, it runs on, and is debugged on. */
Test(session, a_guest_that_powers_off_hits_breakpoints)
{
    static const struct ax_fake_step listens[] = {
        {.exit = {.kind = AX_EXIT_IO_WRITE,
                  .access = {0x602, 0x0100, 2, true, AX_SPACE_PORT}}},
        ADD(RBX, 1),
        OUT(0x80, 1),
        GOTO(1)};

    begin_waiting(PROGRAM(listens), 1);
    for (int i = 0; i < 3; i++)
        expect_begins("vCont;s:1", "T05");
    ax_debugger_send(&d, "vCont;c");
    cr_assert_not(ax_vm_stop(d.vm, AX_VM_PATIENCE));
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_STOPPING);
    ax_debugger_raw(&d, "\x03", 1);
    cr_assert(begins(ax_debugger_wait(&d), "T02"));
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", STEP(1)), "OK");
    expect_begins("vCont;c", "T05thread:1;swbreak:;");
    ax_debugger_send(&d, "vCont;c");
    ax_debugger_disconnect(&d);
    cr_assert(is_guests(STEP(1), sizeof(listens[1]), &listens[1]));
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_STOPPING);
    end();
}

Test(session, what_is_kept_has_none_of_our_breakpoints)
{
    ax_debugger_create(&d, &ax_fake, 1, PROGRAM(crashes),
                       "on_crash = \"keep\"");
    ax_target_wait(d.target);
    cr_assert_not(ax_vm_start(d.vm));
    ax_debugger_connect(&d);
    expect("!", "OK");
    expect("Z0,8000,1", "OK");
    expect("vCont;c", "X06");
    cr_assert(ax_vm_kept(d.vm));
    cr_assert(is_guests(0x8000, 1, "\0"));
    expect_begins("vAttach;1", "T06");
    cr_assert_eq(reg(GDB_RBX), 1);
    expect_begins("vCont;c", "E.");
    end();
}

/* ---- steps ---- */

Test(session, steps_one_and_the_others_hold)
{
    uint64_t other;

    begin(PROGRAM(both), 2);
    expect("Hg2", "OK");
    other = reg(GDB_RBX);
    expect("Hg1", "OK");
    for (int i = 0; i < 20; i++)
        expect_begins("vCont;s:1", "T05thread:1;");
    expect("Hg2", "OK");
    cr_assert_eq(reg(GDB_RBX), other);
    end();
}

Test(session, steps_one_and_the_others_run)
{
    uint64_t pc;

    begin(PROGRAM(both), 2);
    expect("Hg1", "OK");
    for (int i = 0; i < 20; i++) {
        pc = reg(GDB_RIP);
        expect_begins("vCont;s:1;c", "T05thread:1;");
        expect("Hg1", "OK");
        cr_assert_neq(reg(GDB_RIP), pc);
    }
    end();
}

Test(session, steps_until_out_of_a_range)
{
    begin_waiting(PROGRAM(counts), 1);
    cr_assert(begins(ax_debugger_ask(&d, "vCont;r%zx,%zx:1", STEP(0), STEP(3)),
                     "T05thread:1;"));
    cr_assert_eq(reg(GDB_RIP), STEP(3));
    cr_assert_eq(reg(GDB_RBX), 1);
    /* A breakpoint in it counts. */
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", STEP(1)), "OK");
    cr_assert(begins(ax_debugger_ask(&d, "vCont;r%zx,%zx:1", STEP(0), STEP(5)),
                     "T05thread:1;"));
    cr_assert_eq(reg(GDB_RIP), STEP(1));
    end();
}

Test(session, the_old_packets_do_as_well)
{
    begin_waiting(PROGRAM(counts), 1);
    expect_begins("s", "T05thread:1;");
    cr_assert_eq(reg(GDB_RIP), STEP(1));
    cr_assert_str_eq(ax_debugger_ask(&d, "Z0,%zx,1", STEP(0)), "OK");
    expect_begins("c", "T05thread:1;swbreak:;");
    expect_begins("S05", "T05thread:1;");
    cr_assert(begins(ax_debugger_ask(&d, "s%zx", STEP(3)), "T05thread:1;"));
    cr_assert_eq(reg(GDB_RIP), STEP(4));
    expect_begins("C05", "T05thread:1;swbreak:;");
    end();
}

/* ---- Ctrl-C ---- */

static void interrupts(const struct ax_test_program *program, unsigned cpus)
{
    begin(program, cpus);
    for (int i = 0; i < 10; i++) {
        ax_debugger_send(&d, "vCont;c");
        cr_assert_eq(ax_vm_state(d.vm), AX_VM_RUNNING);
        ax_debugger_raw(&d, "\x03", 1);
        cr_assert(begins(ax_debugger_wait(&d), "T02thread:1;"), "%s", d.reply);
        cr_assert_eq(ax_vm_state(d.vm), AX_VM_SUSPENDED);
    }
    end();
}

Test(session, interrupts_what_runs_and_what_waits_for_a_sipi)
{
    interrupts(PROGRAM(counts), 4);
}

Test(session, interrupts_what_spins)
{
    interrupts(PROGRAM(spins), 1);
}

Test(session, interrupts_what_sleeps)
{
    interrupts(PROGRAM(sleeps), 2);
}

Test(session, interrupts_a_step_that_does_not_end)
{
    begin(PROGRAM(sleeps), 1);
    ax_debugger_send(&d, "vCont;s:1");
    ax_debugger_raw(&d, "\x03", 1);
    cr_assert(begins(ax_debugger_wait(&d), "T0"));
    end();
}

/* ---- events ---- */

Test(session, a_crash_is_caught_before_the_state_is_lost)
{
    begin_waiting(PROGRAM(crashes), 1);
    ax_target_catch(d.target, AX_CATCH_CRASH);
    expect_begins("vCont;c", "T06thread:1;");
    cr_assert(strstr(d.said, "crashed"));
    cr_assert_eq(reg(GDB_RBX), 1);
    cr_assert_eq(ax_vm_state(d.vm), AX_VM_SUSPENDED);
    expect("vCont;c", "X06");
    cr_assert(d.over);
    end();
}

Test(session, a_crash_is_caught_with_nobody_there)
{
    ax_debugger_create(&d, &ax_fake, 1, PROGRAM(crashes), "");
    ax_target_catch(d.target, AX_CATCH_CRASH);
    cr_assert_not(ax_vm_start(d.vm));
    ax_debugger_connect(&d);
    while (d.reply[0] == 'E')
        ax_debugger_connect(&d);
    ax_debugger_send(&d, "vCont;c");
    ax_debugger_raw(&d, "\x03", 1);
    ax_debugger_wait(&d);
    end();
}

Test(session, a_reset_is_caught_and_then_happens)
{
    ax_debugger_create(&d, &ax_fake, 1, PROGRAM(resets),
                       "on_reboot = \"restart\"");
    ax_target_wait(d.target);
    ax_target_catch(d.target, AX_CATCH_RESET);
    cr_assert_not(ax_vm_start(d.vm));
    ax_debugger_connect(&d);
    expect_begins("vCont;c", "T0fthread:1;");
    cr_assert(strstr(d.said, "resets"));
    expect_begins("vCont;c", "T0fthread:1;");
    cr_assert_eq(ax_vm_starts(d.vm), 2);
    end();
}

Test(session, the_exit_status_is_told)
{
    begin_waiting(PROGRAM(exits), 1);
    expect("vCont;c", "W07");
    cr_assert(d.over);
    end();
}

Test(session, run_makes_it_anew)
{
    begin(PROGRAM(counts), 2);
    expect("!", "OK");
    expect_begins("vRun;", "T05thread:1;");
    cr_assert_eq(reg(GDB_RIP), STEP(0));
    cr_assert_eq(ax_vm_starts(d.vm), 2);
    expect("D", "OK");
    cr_assert_not(d.over);
    expect_begins("g", "E.");
    expect_begins("vAttach;1", "T05");
    end();
}

/* ---- queries ---- */

Test(session, threads_are_vcpus)
{
    begin(PROGRAM(both), 3);
    expect("qfThreadInfo", "m1,2,3");
    expect("qsThreadInfo", "l");
    expect("qC", "QC1");
    expect("T3", "OK");
    expect_begins("T4", "E");
    expect_begins("qThreadExtraInfo,2", "");
    cr_assert_neq(d.reply[0], 'E');
    expect_begins("qXfer:threads:read::0,1000", "l<");
    cr_assert(strstr(d.reply, "vcpu2"));
    end();
}

Test(session, documents)
{
    begin(PROGRAM(spins), 1);
    expect_begins("qXfer:features:read:target.xml:0,100", "m<");
    expect_begins("qXfer:features:read:other.xml:0,100", "E00");
    expect_begins("qXfer:memory-map:read::0,1000", "l<");
    expect_begins("qXfer:features:read:target.xml:x,1", "E00");
    expect("qXfer:auxv:read::0,1000", "");
    expect("qAttached", "1");
    expect("qSymbol::", "OK");
    expect("vMustReplyEmpty", "");
    expect("qCRC:1000,10", ""); /* and not qC */
    expect("vCont?", "vCont;c;C;s;S;t;r");
    end();
}

Test(session, monitor_knows_axvms_commands)
{
    begin(PROGRAM(spins), 1);
    expect("qRcmd,6c697374", "OK"); /* list */
    cr_assert(strstr(d.said, "suspended"), "%s", d.said);
    expect_begins("qRcmd,6c6", "E");
    end();
}

/* ---- what is not as it should be ---- */

Test(session, acknowledges_and_repeats)
{
    begin(PROGRAM(spins), 1);
    d.raw_len = 0;
    ax_debugger_raw(&d, "$qC#b4", 6);
    cr_assert_eq(memcmp(d.raw, "+$QC1#", 6), 0);
    d.raw_len = 0;
    ax_debugger_raw(&d, "-", 1);
    cr_assert_eq(memcmp(d.raw, "$QC1#", 5), 0);
    d.raw_len = 0;
    ax_debugger_raw(&d, "$qC#00", 6);
    cr_assert_eq(d.raw_len, 1);
    cr_assert_eq(d.raw[0], '-');
    d.raw_len = 0;
    expect("QStartNoAckMode", "OK");
    d.raw_len = 0;
    ax_debugger_raw(&d, "$qC#00", 6);
    cr_assert_eq(d.raw[0], '$');
    end();
}

Test(session, garbage_is_answered_or_skipped)
{
    static const char *const wrong[] = {
        "Hx1",
        "Hg",
        "Hgzz",
        "vCont;x",
        "vCont;c:9",
        "vCont;",
        "vCont;r1",
        "vCont;r1,2:",
        "Z",
        "z0",
        "m",
        "m,",
        "M",
        "X",
        "P",
        "p",
        "G",
        "qRcmd",
        "qRcmd,",
        "qRcmd,zz",
        "vRun",
        "vFile:",
        "vFile:open:zz",
        "qXfer",
        "qXfer:",
        "T",
        "Tzz",
        "vKill",
        "vCont;C",
        "vCont;Szz",
        "qThreadExtraInfo,9",
        "mffffffffffffffff,ffffffffffffffff",
        "x0,ffffffffffffffff",
        "Z0,ffffffffffffffff,ffffffff",
    };

    begin(PROGRAM(spins), 1);
    for (size_t i = 0; i < AX_ARRAY_LEN(wrong); i++) {
        const char *got = ax_debugger_ask(&d, "%s", wrong[i]);

        cr_assert(got[0] == 'E' || got[0] == '\0' || got[0] == 'b' ||
                      !strcmp(got, "OK") || got[0] == 'F',
                  "%s: %s", wrong[i], got);
        cr_assert_eq(ax_vm_state(d.vm), AX_VM_SUSPENDED, "%s", wrong[i]);
    }
    end();
}
