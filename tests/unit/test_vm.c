/* test_vm.c - life of a VM on the fake engine: ends, states, suspension. */
#include "fake/guest.h"

#include "devices/loop.h"
#include "memory/memory.h"
#include "vcpu/vcpu.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DEBUG_EXIT = 0xf4, COM1 = 0x3f8, PM1_CONTROL = 0x604, RESET = 0xcf9 };

#define OUT(p, w, v)                                                           \
    {                                                                          \
        .exit = {                                                              \
            .kind = AX_EXIT_IO_WRITE,                                          \
            .access = {.addr = p,                                              \
                       .data = v,                                              \
                       .width = w,                                             \
                       .write = true,                                          \
                       .space = AX_SPACE_PORT}                                 \
        }                                                                      \
    }
#define FOREVER                                                                \
    {.op = AX_FAKE_SPIN},                                                      \
    {                                                                          \
        .op = AX_FAKE_LOOP, .target = AX_FAKE_ENTRY                            \
    }

#define PCI "[virtio]\ntransport = \"pci\"\n"

static struct ax_fake_guest guest;

static void create(unsigned cpus, const struct ax_fake_step *steps,
                   size_t count)
{
    ax_fake_guest_create(&guest, NULL, "fake", cpus, steps, count);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_LOADED);
}

static struct ax_vm_end run(unsigned cpus, const struct ax_fake_step *steps,
                            size_t count)
{
    create(cpus, steps, count);
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert(guest.stopped);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
    return ax_vm_end(guest.vm);
}

static void fini(void)
{
    ax_fake_guest_destroy(&guest);
    ax_loop_destroy(guest.loop);
    cr_assert_eq(ax_fake_alive(), 0, "a vCPU was left behind");
}

TestSuite(vm, .fini = fini, .timeout = 30);

static void expect_end(const struct ax_fake_step *steps, size_t count,
                       enum ax_vm_cause cause, uint64_t code)
{
    struct ax_vm_end end = run(1, steps, count);

    cr_assert_eq(end.cause, cause);
    cr_assert_eq(end.code, code);
}

Test(vm, ends_with_the_guests_code)
{
    static const struct ax_fake_step steps[] = {
        OUT(COM1, 1, 'x'), OUT(DEBUG_EXIT, 1, 0x10), FOREVER};

    expect_end(steps, AX_ARRAY_LEN(steps), AX_VM_END_EXIT, 0x10);
}

Test(vm, ends_with_power_off)
{
    static const struct ax_fake_step steps[] = {OUT(PM1_CONTROL, 2, 0x2000),
                                                FOREVER};

    expect_end(steps, AX_ARRAY_LEN(steps), AX_VM_END_OFF, 0);
}

Test(vm, ends_with_reset)
{
    static const struct ax_fake_step steps[] = {OUT(RESET, 1, 0x06), FOREVER};

    expect_end(steps, AX_ARRAY_LEN(steps), AX_VM_END_RESET, 0);
}

/* The device of the first function there: an entropy source, 0x1044. */
static const struct ax_fake_step first_function[] = {
    OUT(0xcf8, 4, 0x80000800),
    {.exit = {.kind = AX_EXIT_IO_READ,
              .access = {.addr = 0xcfe, .width = 1, .space = AX_SPACE_PORT}}},
    {.echo = true,
     .exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {.addr = DEBUG_EXIT,
                         .width = 1,
                         .write = true,
                         .space = AX_SPACE_PORT}}},
    FOREVER};

Test(vm, has_a_pci_bus_on_request)
{
    strcpy(ax_fake_guest_base, PCI);
    expect_end(first_function, AX_ARRAY_LEN(first_function), AX_VM_END_EXIT,
               0x44);
}

Test(vm, has_no_pci_bus_otherwise)
{
    expect_end(first_function, AX_ARRAY_LEN(first_function), AX_VM_END_EXIT,
               0xff);
}

Test(vm, ends_with_a_triple_fault)
{
    static const struct ax_fake_step steps[] = {
        {.exit = {.kind = AX_EXIT_SYSTEM_DOWN,
                  .power = {AX_POWER_CRASH, "triple fault"}}},
        FOREVER};

    expect_end(steps, AX_ARRAY_LEN(steps), AX_VM_END_CRASH, 0);
}

Test(vm, ends_with_a_failed_entry)
{
    static const struct ax_fake_step steps[] = {
        {.exit = {.kind = AX_EXIT_FAIL_ENTRY, .fail = {.code = 7}}}, FOREVER};

    expect_end(steps, AX_ARRAY_LEN(steps), AX_VM_END_CRASH, 0);
}

Test(vm, ends_when_the_engine_fails)
{
    static const struct ax_fake_step steps[] = {
        {.op = AX_FAKE_ERROR, .target = EIO}};

    expect_end(steps, AX_ARRAY_LEN(steps), AX_VM_END_CRASH, 0);
}

Test(vm, the_first_cause_wins)
{
    static const struct ax_fake_step steps[] = {OUT(DEBUG_EXIT, 1, 1),
                                                OUT(DEBUG_EXIT, 1, 2), FOREVER};

    expect_end(steps, AX_ARRAY_LEN(steps), AX_VM_END_EXIT, 1);
}

Test(vm, calls_nobody_serves_are_answered)
{
    static const struct ax_fake_step steps[] = {
        {.exit = {.kind = AX_EXIT_HYPERCALL, .hypercall = {.nr = 99}}},
        OUT(0x80, 1, 0),
        {.exit = {.kind = AX_EXIT_CPU_UP, .cpu_up = {.target = 5}}},
        {.exit = {.kind = AX_EXIT_CPU_DOWN}},
        {.exit = {.kind = AX_EXIT_SEND_IPI}},
        {.exit = {.kind = AX_EXIT_INTERRUPT_END}},
        {.exit = {.kind = AX_EXIT_EXTERNAL_INTERRUPT}},
        {.exit = {.kind = AX_EXIT_SYSREG_READ,
                  .access = {.addr = 0x123,
                             .width = 8,
                             .space = AX_SPACE_SYSREG}}},
        OUT(DEBUG_EXIT, 1, 3),
        FOREVER};

    expect_end(steps, AX_ARRAY_LEN(steps), AX_VM_END_EXIT, 3);
    cr_assert_eq(ax_vcpu_exits(ax_vm_vcpu(guest.vm, 0), AX_EXIT_HYPERCALL), 1);
    cr_assert_eq(ax_vcpu_exits(ax_vm_vcpu(guest.vm, 0), AX_EXIT_IO_WRITE), 2);
}

Test(vm, a_stop_reaches_every_vcpu)
{
    static const struct ax_fake_step spin[] = {FOREVER};

    create(8, spin, AX_ARRAY_LEN(spin));
    cr_assert_eq(ax_vm_vcpu_count(guest.vm), 8);
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_RUNNING);
    cr_assert_eq(ax_vm_force_stop(guest.vm), 0);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPING);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
    cr_assert_eq(ax_vm_end(guest.vm).cause, AX_VM_END_STOP);
}

Test(vm, suspension_is_acknowledged_and_shown)
{
    static const struct ax_fake_step spin[] = {FOREVER};
    uint64_t exits;

    create(4, spin, AX_ARRAY_LEN(spin));
    cr_assert_eq(ax_vm_suspend(guest.vm), -EPERM);
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_start(guest.vm), -EPERM);
    for (int round = 0; round < 200; round++) {
        cr_assert_eq(ax_vm_suspend(guest.vm), 0);
        cr_assert_eq(ax_vm_state(guest.vm), AX_VM_SUSPENDED);
        for (unsigned i = 0; i < 4; i++) {
            enum ax_vcpu_state s = ax_vcpu_state(ax_vm_vcpu(guest.vm, i));

            cr_assert_eq(s, AX_VCPU_BLOCKED, "vcpu%u is %s", i,
                         ax_vcpu_state_name(s));
        }
        exits = ax_vcpu_exits(ax_vm_vcpu(guest.vm, 0), AX_EXIT_NOTHING);
        cr_assert_eq(ax_vm_suspend(guest.vm), -EPERM);
        cr_assert_eq(ax_vcpu_exits(ax_vm_vcpu(guest.vm, 0), AX_EXIT_NOTHING),
                     exits);
        cr_assert_eq(ax_vm_resume(guest.vm), 0);
        cr_assert_eq(ax_vm_resume(guest.vm), -EPERM);
    }
    cr_assert_eq(ax_vm_suspend(guest.vm), 0);
    /* AxVisor never wakes a suspended VM that is stopped. */
    cr_assert_eq(ax_vm_force_stop(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
    cr_assert_eq(ax_vm_force_stop(guest.vm), -EPERM);
}

Test(vm, a_loaded_vm_can_be_stopped)
{
    static const struct ax_fake_step spin[] = {FOREVER};

    create(2, spin, AX_ARRAY_LEN(spin));
    cr_assert_eq(ax_vm_force_stop(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
}

Test(vm, a_running_vm_can_be_destroyed)
{
    static const struct ax_fake_step spin[] = {FOREVER};

    create(4, spin, AX_ARRAY_LEN(spin));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
}

Test(vm, two_vms_share_a_loop)
{
    static const struct ax_fake_step ends[] = {OUT(DEBUG_EXIT, 1, 9), FOREVER};
    static const struct ax_fake_step spin[] = {FOREVER};
    struct ax_fake_guest other;

    create(2, spin, AX_ARRAY_LEN(spin));
    ax_fake_guest_create(&other, guest.loop, "other", 1, ends,
                         AX_ARRAY_LEN(ends));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_start(other.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert(other.stopped);
    cr_assert_not(guest.stopped);
    cr_assert_eq(ax_vm_end(other.vm).code, 9);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_RUNNING);
    ax_fake_guest_destroy(&other);
    cr_assert_eq(ax_vm_force_stop(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert(guest.stopped);
}

/* ---- more than one life ---- */

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

struct lives {
    struct ax_timer *timer;
    unsigned wanted, descriptors;
};

/* Looks at the VM until it has had its lives; then stops it. */
static void lives_look(void *ctx, uint64_t count)
{
    struct lives *l = ctx;

    if (ax_vm_starts(guest.vm) >= 2 && !l->descriptors)
        l->descriptors = open_descriptors();
    if (ax_vm_starts(guest.vm) < l->wanted)
        return;
    ax_timer_arm(l->timer, 0, 0);
    ax_vm_force_stop(guest.vm);
}

static void run_lives(const char *base, const struct ax_fake_step *steps,
                      size_t count, unsigned wanted)
{
    struct lives l = {.wanted = wanted};

    strcpy(ax_fake_guest_base, base);
    create(2, steps, count);
    cr_assert_eq(ax_timer_create(guest.loop, lives_look, &l, &l.timer), 0);
    ax_timer_arm(l.timer, 100000, 100000);
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    ax_loop_run(guest.loop);
    ax_timer_destroy(l.timer);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
    cr_assert_geq(ax_vm_starts(guest.vm), wanted);
    /* One vCPU's descriptors come and go; nothing piles up. */
    cr_assert_leq(open_descriptors(), l.descriptors + 1);
}

Test(vm, a_reset_restarts_where_the_configuration_says_so)
{
    static const struct ax_fake_step steps[] = {OUT(RESET, 1, 0x06), FOREVER};

    run_lives("on_reboot = \"restart\"", steps, AX_ARRAY_LEN(steps), 200);
}

/* The reset register is the bridge's there, and every start has a new bus. */
Test(vm, a_reset_restarts_with_a_pci_bus)
{
    static const struct ax_fake_step steps[] = {OUT(0xcf8, 4, 0x80000804),
                                                OUT(0xcfc, 2, 0x7),
                                                OUT(RESET, 1, 0x06), FOREVER};

    run_lives("on_reboot = \"restart\"\n" PCI, steps, AX_ARRAY_LEN(steps), 20);
}

Test(vm, a_power_off_restarts_where_the_configuration_says_so)
{
    static const struct ax_fake_step steps[] = {OUT(PM1_CONTROL, 2, 0x2000),
                                                FOREVER};

    run_lives("on_poweroff = \"restart\"", steps, AX_ARRAY_LEN(steps), 20);
}

Test(vm, a_crash_restarts_where_the_configuration_says_so)
{
    static const struct ax_fake_step steps[] = {
        {.exit = {.kind = AX_EXIT_FAIL_ENTRY}}, FOREVER};

    run_lives("on_crash = \"restart\"", steps, AX_ARRAY_LEN(steps), 20);
}

Test(vm, policies_are_apart)
{
    static const struct ax_fake_step steps[] = {OUT(PM1_CONTROL, 2, 0x2000),
                                                FOREVER};

    strcpy(ax_fake_guest_base, "on_reboot = \"restart\"");
    expect_end(steps, AX_ARRAY_LEN(steps), AX_VM_END_OFF, 0);
    cr_assert_eq(ax_vm_starts(guest.vm), 1);
}

static void write_image(const struct ax_fake_step *steps, size_t size)
{
    FILE *f = fopen(guest.image, "wb");

    cr_assert_eq(fwrite(steps, size, 1, f), 1);
    cr_assert_eq(fclose(f), 0);
}

Test(vm, start_after_stop_reads_the_image_again)
{
    static const struct ax_fake_step first[] = {OUT(DEBUG_EXIT, 1, 1), FOREVER};
    static const struct ax_fake_step second[] = {OUT(DEBUG_EXIT, 1, 2),
                                                 FOREVER};

    cr_assert_eq(run(1, first, AX_ARRAY_LEN(first)).code, 1);
    write_image(second, sizeof(second));
    /* AxVisor runs the stale image here. */
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_end(guest.vm).code, 2);
    cr_assert_eq(ax_vm_starts(guest.vm), 2);
}

Test(vm, the_last_end_is_remembered_in_the_next_life)
{
    static const struct ax_fake_step ends[] = {OUT(DEBUG_EXIT, 1, 1), FOREVER};
    static const struct ax_fake_step spin[] = {FOREVER};

    cr_assert_eq(run(1, ends, AX_ARRAY_LEN(ends)).code, 1);
    write_image(spin, sizeof(spin));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_end(guest.vm).cause, AX_VM_END_NONE);
    cr_assert_eq(ax_vm_last_end(guest.vm).cause, AX_VM_END_EXIT);
    cr_assert_eq(ax_vm_last_end(guest.vm).code, 1);
}

Test(vm, a_start_that_cannot_reload_leaves_it_stopped)
{
    static const struct ax_fake_step steps[] = {OUT(DEBUG_EXIT, 1, 1), FOREVER};

    run(1, steps, AX_ARRAY_LEN(steps));
    cr_assert_eq(unlink(guest.image), 0);
    cr_assert_lt(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
    cr_assert_eq(ax_vm_end(guest.vm).cause, AX_VM_END_FAIL);
}

Test(vm, restart_works_from_every_settled_state)
{
    static const struct ax_fake_step spin[] = {FOREVER};

    create(3, spin, AX_ARRAY_LEN(spin));
    cr_assert_eq(ax_vm_restart(guest.vm, AX_VM_PATIENCE),
                 0); /* Loaded: a start */
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_RUNNING);
    cr_assert_eq(ax_vm_suspend(guest.vm), 0);
    cr_assert_eq(ax_vm_restart(guest.vm, AX_VM_PATIENCE), 0); /* Suspended */
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPING);
    cr_assert_eq(ax_vm_restart(guest.vm, AX_VM_PATIENCE), -EPERM);
    /* A forced stop takes the restart back. */
    cr_assert_eq(ax_vm_stop(guest.vm, AX_VM_PATIENCE), -EPERM);
    cr_assert_eq(ax_vm_force_stop(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
    cr_assert_eq(ax_vm_starts(guest.vm), 1);
    cr_assert_eq(ax_vm_restart(guest.vm, AX_VM_PATIENCE), 0); /* Stopped */
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_RUNNING);
    cr_assert_eq(ax_vm_starts(guest.vm), 2);
}

Test(vm, a_restart_taken_back_is_forgotten)
{
    static const struct ax_fake_step spin[] = {FOREVER};
    static const struct ax_fake_step ends[] = {OUT(DEBUG_EXIT, 1, 7), FOREVER};

    create(1, spin, AX_ARRAY_LEN(spin));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_restart(guest.vm, AX_VM_PATIENCE), 0);
    ax_vm_end_for_good(guest.vm, false);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_starts(guest.vm), 1);
    /* The next life ends by itself, and that is that. */
    write_image(ends, sizeof(ends));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_end(guest.vm).code, 7);
    cr_assert_eq(ax_vm_starts(guest.vm), 2);
}

/* ---- being asked to go ---- */

Test(vm, a_guest_that_does_not_listen_is_stopped_at_once)
{
    static const struct ax_fake_step spin[] = {FOREVER};

    strcpy(ax_fake_guest_base, "stop_timeout = 1000");
    create(1, spin, AX_ARRAY_LEN(spin));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_stop(guest.vm, AX_VM_PATIENCE), 0);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPING);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_end(guest.vm).cause, AX_VM_END_STOP);
}

/* Listens to the power button, tells so by its port 0x80, and does nothing. */
static const struct ax_fake_step listens[] = {OUT(PM1_CONTROL - 2, 2, 0x0100),
                                              OUT(0x80, 1, 0), FOREVER};

static void start_listening(const char *base)
{
    strcpy(ax_fake_guest_base, base);
    create(1, listens, AX_ARRAY_LEN(listens));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    while (ax_vcpu_exits(ax_vm_vcpu(guest.vm, 0), AX_EXIT_IO_WRITE) < 2)
        sched_yield();
}

Test(vm, a_guest_that_listens_has_its_time)
{
    start_listening("stop_timeout = 0.05");
    cr_assert_eq(ax_vm_stop(guest.vm, AX_VM_PATIENCE), 0);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPING);
    cr_assert_eq(ax_vm_end(guest.vm).cause, AX_VM_END_NONE);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_end(guest.vm).cause, AX_VM_END_STOP);
}

Test(vm, a_second_request_forces)
{
    start_listening("stop_timeout = 1000");
    cr_assert_eq(ax_vm_stop(guest.vm, AX_VM_PATIENCE), 0);
    cr_assert_eq(ax_vm_stop(guest.vm, AX_VM_PATIENCE), -EPERM);
    cr_assert_eq(ax_vm_force_stop(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
}

Test(vm, a_suspended_guest_goes_on_to_be_asked)
{
    start_listening("stop_timeout = 0.05");
    cr_assert_eq(ax_vm_suspend(guest.vm), 0);
    cr_assert_eq(ax_vm_stop(guest.vm, AX_VM_PATIENCE), 0);
    cr_assert_eq(ax_vm_end(guest.vm).cause, AX_VM_END_NONE);
    cr_assert(ax_vcpu_state(ax_vm_vcpu(guest.vm, 0)) != AX_VCPU_INVALID);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
}

Test(vm, the_caller_of_stop_may_be_more_patient)
{
    start_listening("stop_timeout = 0");
    cr_assert_eq(ax_vm_stop(guest.vm, 50000000), 0);
    cr_assert_eq(ax_vm_end(guest.vm).cause, AX_VM_END_NONE);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_end(guest.vm).cause, AX_VM_END_STOP);
}

/* ---- kept as it is ---- */

static int read_pc(void *ctx, const struct ax_backend_ops *ops,
                   struct ax_engine_vcpu *engine)
{
    return ops->reg_get(engine, AX_FAKE_PC, ctx);
}

static const struct ax_fake_step crashes[] = {
    {.op = AX_FAKE_START, .target = AX_FAKE_ENTRY + sizeof(crashes[0]) * 2},
    {.exit = {.kind = AX_EXIT_FAIL_ENTRY}},
    {.op = AX_FAKE_SPIN},
    {.op = AX_FAKE_LOOP, .target = AX_FAKE_ENTRY + sizeof(crashes[0]) * 2},
};

static void crash_and_keep(void)
{
    strcpy(ax_fake_guest_base, "on_crash = \"keep\"");
    cr_assert_eq(run(3, crashes, AX_ARRAY_LEN(crashes)).cause, AX_VM_END_CRASH);
    cr_assert(ax_vm_kept(guest.vm));
}

Test(vm, a_crashed_guest_is_kept_for_inspection)
{
    uint64_t pc = 0;

    crash_and_keep();
    for (unsigned i = 0; i < 3; i++) {
        struct ax_vcpu *vcpu = ax_vm_vcpu(guest.vm, i);

        cr_assert_eq(ax_vcpu_state(vcpu), AX_VCPU_BLOCKED);
        cr_assert_eq(ax_vcpu_call(vcpu, read_pc, &pc, 10000), 0);
        if (i == 0) /* the others may not have been started yet */
            cr_assert_gt(pc, AX_FAKE_ENTRY);
    }
    cr_assert(!memcmp(ax_memory_at(ax_vm_memory(guest.vm), AX_FAKE_ENTRY,
                                   sizeof(crashes), AX_PROT_READ),
                      crashes, sizeof(crashes)));
    cr_assert_eq(ax_vm_resume(guest.vm), -EPERM);
    cr_assert_eq(ax_vm_force_stop(guest.vm), -EPERM);
}

/* Two kinds of end on different vCPUs; the first one counts. */
Test(vm, a_guest_that_ends_on_every_vcpu_is_kept_whole)
{
    static const struct ax_fake_step steps[] = {
        {.op = AX_FAKE_START, .target = AX_FAKE_ENTRY + 2 * sizeof(steps[0])},
        OUT(PM1_CONTROL, 2, 0x2000),
        OUT(RESET, 1, 0x06),
        FOREVER};
    uint64_t pc;

    strcpy(ax_fake_guest_base, "on_poweroff = \"keep\"\n"
                               "on_reboot = \"keep\"");
    run(4, steps, AX_ARRAY_LEN(steps));
    cr_assert(ax_vm_kept(guest.vm));
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(ax_vcpu_call(ax_vm_vcpu(guest.vm, i), read_pc, &pc, 10000),
                     0);
}

Test(vm, a_kept_guest_starts_anew)
{
    crash_and_keep();
    guest.stopped = false;
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_not(ax_vm_kept(guest.vm));
    ax_loop_run(guest.loop);
    cr_assert(guest.stopped);
    cr_assert(ax_vm_kept(guest.vm));
    cr_assert_eq(ax_vm_starts(guest.vm), 2);
}

Test(vm, a_stop_for_good_keeps_nothing)
{
    strcpy(ax_fake_guest_base, "on_crash = \"keep\"");
    create(3, crashes, AX_ARRAY_LEN(crashes));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    ax_vm_end_for_good(guest.vm, true);
    ax_loop_run(guest.loop);
    cr_assert_not(ax_vm_kept(guest.vm));
    cr_assert_eq(ax_fake_alive(), 0);
}

Test(vm, a_stopped_guest_has_given_its_memory_back)
{
    static const struct ax_fake_step steps[] = {OUT(DEBUG_EXIT, 1, 1), FOREVER};
    const char *bytes;

    run(1, steps, AX_ARRAY_LEN(steps));
    cr_assert_not(ax_vm_kept(guest.vm));
    bytes = ax_memory_at(ax_vm_memory(guest.vm), AX_FAKE_ENTRY, sizeof(steps),
                         AX_PROT_READ);
    for (size_t i = 0; i < sizeof(steps); i++)
        cr_assert_eq(bytes[i], 0);
}

/* ---- pins ---- */

static unsigned cancels;

static void cancel_pin(void *ctx)
{
    cancels++;
    ax_vm_unpin(ctx);
}

Test(vm, a_pinned_vm_holds_still_until_forced)
{
    static const struct ax_fake_step spin[] = {FOREVER};

    create(1, spin, AX_ARRAY_LEN(spin));
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_pin(guest.vm, cancel_pin, guest.vm), -EPERM);
    cr_assert_eq(ax_vm_suspend(guest.vm), 0);
    cr_assert_eq(ax_vm_pin(guest.vm, cancel_pin, guest.vm), 0);
    cr_assert_eq(ax_vm_pin(guest.vm, cancel_pin, guest.vm), -EBUSY);
    cr_assert_eq(ax_vm_resume(guest.vm), -EBUSY);
    cr_assert_eq(ax_vm_stop(guest.vm, AX_VM_PATIENCE), -EBUSY);
    cr_assert_eq(ax_vm_reset(guest.vm), -EBUSY);
    ax_vm_unpin(guest.vm);
    cr_assert_eq(ax_vm_resume(guest.vm), 0);
    cr_assert_eq(ax_vm_suspend(guest.vm), 0);
    cr_assert_eq(ax_vm_pin(guest.vm, cancel_pin, guest.vm), 0);
    cr_assert_eq(ax_vm_force_stop(guest.vm), 0);
    cr_assert_eq(cancels, 1);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vm_state(guest.vm), AX_VM_STOPPED);
}

Test(vm, calls_reach_running_and_held_vcpus)
{
    static const struct ax_fake_step spin[] = {FOREVER};
    struct ax_vcpu *vcpu;
    uint64_t pc = 0;

    create(2, spin, AX_ARRAY_LEN(spin));
    vcpu = ax_vm_vcpu(guest.vm, 0);
    cr_assert_eq(ax_vcpu_call(vcpu, read_pc, &pc, 10000), -ESRCH);
    cr_assert_eq(ax_vm_start(guest.vm), 0);
    cr_assert_eq(ax_vm_suspend(guest.vm), 0);
    for (int round = 0; round < 100; round++) {
        cr_assert_eq(ax_vcpu_call(vcpu, read_pc, &pc, 10000), 0);
        if (round % 2)
            cr_assert_eq(ax_vm_suspend(guest.vm), 0);
        else
            cr_assert_eq(ax_vm_resume(guest.vm), 0);
        cr_assert_eq(ax_vcpu_call(vcpu, read_pc, &pc, 10000), 0);
    }
    cr_assert_eq(ax_vm_force_stop(guest.vm), 0);
    ax_loop_run(guest.loop);
    cr_assert_eq(ax_vcpu_call(vcpu, read_pc, &pc, 10000), -ESRCH);
}

Test(vm, history_keeps_the_last_exits)
{
    static const struct ax_fake_step steps[] = {
        OUT(0x80, 1, 1), OUT(0x80, 1, 2), OUT(DEBUG_EXIT, 1, 0), FOREVER};
    const struct ax_exit *history[AX_VCPU_HISTORY];

    run(1, steps, AX_ARRAY_LEN(steps));
    cr_assert_eq(ax_vcpu_history(ax_vm_vcpu(guest.vm, 0), history), 3);
    cr_assert_eq(history[0]->access.data, 1);
    cr_assert_eq(history[2]->access.addr, DEBUG_EXIT);
}
