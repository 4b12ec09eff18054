/*
 * test_monitor.c - the monitor over a fake target, with VMs of the fake engine
 * on a real loop.
 */
#include "debug/monitor.h"

#include "arch/arch.h"
#include "control/command.h"
#include "control/server.h"
#include "devices/bus.h"
#include "devices/loop.h"
#include "fake/engine.h"
#include "fake/fleet.h"
#include "fake/target.h"
#include "vcpu/vcpu.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_S = 60, TEXT = 1 << 16, PORT = 0x1234 };

static const struct ax_fake_step steps[] = {
    {.exit = {.kind = AX_EXIT_IO_READ,
              .access = {.addr = PORT, .width = 1, .space = AX_SPACE_PORT}}},
    {.op = AX_FAKE_SPIN},
    {.op = AX_FAKE_LOOP, .target = AX_TEST_ENTRY + sizeof(steps[0])},
};
static const struct ax_test_program program = {.steps = steps,
                                               .steps_size = sizeof(steps)};

/* ---- the world ---- */

static char dir[40];
static struct ax_loop *loop;
static struct ax_timer *guard;
static struct ax_fleet *fleet;
static struct ax_vm *vm, *other;
static struct ax_target target;
static struct ax_monitor_modes modes;
static struct ax_monitor *monitor;
static char text[TEXT]; /* what was said last */
static unsigned dones, says, descriptors;
static bool ok, inside, quitted, overdue, destroys;

static void on_say(void *ctx, const char *piece)
{
    cr_assert_leq(strlen(piece), (size_t)AX_MONITOR_TEXT);
    cr_assert_lt(strlen(text) + strlen(piece), (size_t)TEXT);
    strcat(text, piece);
    says++;
}

static void on_done(void *ctx, bool good)
{
    cr_assert_not(inside, "done from within run");
    cr_assert_eq(ctx, &target);
    dones++;
    ok = good;
    ax_loop_stop(loop);
    if (!destroys)
        return;
    ax_monitor_destroy(monitor);
    monitor = NULL;
}

static void on_quit(void *ctx)
{
    quitted = true;
}

static void on_guard(void *ctx, uint64_t count)
{
    overdue = true;
    ax_loop_stop(loop);
}

static void init(void)
{
    struct ax_fleet_env env = {.ops = &ax_fake};
    struct ax_control_env control = {.quit = on_quit};
    struct ax_monitor_env menv = {.target = &target,
                                  .control = &control,
                                  .modes = &modes,
                                  .say = on_say,
                                  .done = on_done,
                                  .ctx = &target};

    descriptors = ax_test_descriptors();
    strcpy(dir, "/tmp/axvm-test-monitor-XXXXXX");
    cr_assert(mkdtemp(dir));
    cr_assert_eq(ax_loop_create(&loop), 0);
    cr_assert_eq(ax_timer_create(loop, on_guard, NULL, &guard), 0);
    ax_timer_arm(guard, PATIENCE_S * UINT64_C(1000000000), 0);
    env.loop = control.loop = loop;
    cr_assert_eq(ax_fleet_create(&env, &fleet), 0);
    control.fleet = fleet;
    vm = ax_test_fleet_add(fleet, &ax_fake, "one", 2, &program,
                           "id = 1\n[cpu]\nirqchip = \"split\"");
    other = ax_test_fleet_add(fleet, &ax_fake, "two", 1, &program, "id = 2");
    cr_assert(vm && other);
    ax_fake_target_init(&target, vm);
    modes.ops = target.ops;
    cr_assert_eq(ax_monitor_create(&menv, &monitor), 0);
}

static void fini(void)
{
    ax_monitor_destroy(monitor);
    ax_fleet_destroy(fleet);
    ax_timer_destroy(guard);
    ax_loop_destroy(loop);
    cr_assert_eq(rmdir(dir), 0);
    cr_assert_eq(ax_fake_alive(), 0, "a vCPU was left behind");
    cr_assert_eq(ax_test_descriptors(), descriptors, "a descriptor leaked");
}

TestSuite(monitor, .init = init, .fini = fini, .timeout = 110);

/* Whole lines, always. */
static void check_text(const char *command)
{
    const size_t len = strlen(text);

    cr_assert(!len || text[len - 1] == '\n', "%s: %s", command, text);
}

static int begin(const char *command)
{
    int err;

    text[0] = '\0';
    says = dones = 0;
    inside = true;
    err = ax_monitor_run(monitor, 1, command);
    inside = false;
    cr_assert_eq(dones, 0);
    return err;
}

static void await_done(void)
{
    while (!dones) {
        ax_loop_run(loop);
        cr_assert_not(overdue, "nothing comes any more");
    }
    cr_assert_eq(dones, 1);
}

/* 0 or -EINVAL, now or later. */
static int run(const char *command)
{
    int err = begin(command);

    if (err == -EINPROGRESS) {
        await_done();
        err = ok ? 0 : -EINVAL;
    }
    check_text(command);
    return err;
}

static void has(const char *part)
{
    cr_assert(strstr(text, part), "'%s' is not in: %s", part, text);
}

static void lacks(const char *part)
{
    cr_assert_not(strstr(text, part), "'%s' is in: %s", part, text);
}

static void says_so(const char *command, const char *part)
{
    cr_assert_eq(run(command), 0, "%s: %s", command, text);
    has(part);
}

static void says_only(const char *command, const char *all)
{
    cr_assert_eq(run(command), 0, "%s: %s", command, text);
    cr_assert_str_eq(text, all);
}

static void refuses(const char *command, const char *part)
{
    cr_assert_eq(run(command), -EINVAL, "%s: %s", command, text);
    has(part);
}

/* ---- lines ---- */

Test(monitor, a_line_needs_a_command)
{
    refuses("", "monitor help");
    refuses(" \t ", "monitor help");
    refuses("\n", "monitor help");
    refuses("\"\" x", "monitor help");
    refuses("phys \"on", "quote");
    refuses("phys on\\", "quote");
    says_only("phys\n", "phys is off\n");
    says_only("  \"phys\"  ", "phys is off\n");
}

Test(monitor, a_line_has_64_words)
{
    char line[2 * 65 + 8] = "list";

    for (int i = 0; i < 63; i++)
        strcat(line, " x");
    refuses(line, "too much");
    strcat(line, " x");
    refuses(line, "64 words");
}

Test(monitor, an_unknown_command_gets_the_nearest)
{
    char line[4096];

    refuses("sushpend", "no command 'sushpend', did you mean 'suspend'?");
    refuses("kaslt", "did you mean 'kaslr'?");
    refuses("hlep", "did you mean 'help'?");
    refuses("xyzzy", "no command 'xyzzy', try 'monitor help'");
    refuses("rese", "did you mean 'reset'?");
    refuses("help xyzzy", "no command 'xyzzy', try");
    refuses("%n%s", "'%n%s'");
    refuses("a\x1b[2J", "'a'");
    refuses("\xff\xfe", "no command");
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    refuses(line, "no command");
    cr_assert_lt(strlen(text), 200u);
}

/* ---- help ---- */

Test(monitor, help_has_all_commands)
{
    static const char *const own[] = {"info",       "phys",  "io",    "mmio",
                                      "reset halt", "catch", "kaslr", "pc",
                                      "arch",       "help"};
    char line[64];

    cr_assert_eq(run("help"), 0);
    for (const struct ax_command *c = ax_commands(); c->name; c++) {
        const bool there =
            strcmp(c->name, "console") && strcmp(c->name, "events");

        snprintf(line, sizeof(line), "\n  %s ", c->synopsis);
        cr_assert_eq(strstr(text, line) != NULL, there, "%s", c->name);
    }
    for (size_t i = 0; i < AX_ARRAY_LEN(own); i++) {
        snprintf(line, sizeof(line), "\n  %s ", own[i]);
        has(line);
    }
    has("directory");
    has("VM may be left out");
    says_so("help help", "\n  kaslr ");
}

Test(monitor, help_on_one_command)
{
    for (const struct ax_command *c = ax_commands(); c->name; c++) {
        char line[64];
        int err;

        snprintf(line, sizeof(line), "help %s", c->name);
        err = run(line);
        if (strcmp(c->name, "console") && strcmp(c->name, "events"))
            cr_assert_eq(err, 0);
        else
            cr_assert_eq(err, -EINVAL);
        has(err ? "run 'axvm" : c->synopsis);
    }
    says_so("help stop", "--timeout=SECONDS");
    says_so("help dump", "directory of the process");
    says_so("help reset", "'reset halt'");
    says_so("help reset halt", "Usage: reset halt\n");
    says_so("help info", "Usage: info [TOPIC");
    says_so("help phys", "4096");
    refuses("help phys io", "one command");
}

/* ---- axvm's commands ---- */

Test(monitor, a_command_of_axvm_is_done_later)
{
    cr_assert_eq(begin("list"), -EINPROGRESS);
    cr_assert_str_eq(text, "");
    await_done();
    cr_assert(ok);
    has("NAME");
    has("one");
    has("two");
    lacks("PID");
}

Test(monitor, list_all_has_the_process)
{
    char pid[16];

    snprintf(pid, sizeof(pid), "\n%d  ", getpid());
    says_so("list -a", pid);
    says_so("list --json", "\"vms\"");
    lacks("pid");
}

Test(monitor, the_vm_may_be_left_out)
{
    says_only("start", "one: running\n");
    says_only("suspend", "one: suspended\n");
    says_only("resume", "one: running\n");
    says_so("show", "VM 1: one\n");
    says_so("show --full", "Devices\n");
    says_so("stats", "VM one: running");
    says_so("show --stats --json", "\"exits\"");
    says_only("nmi", "");
    says_only("wait --state running", "one: running\n");
    says_only("reset", "one: running\n");
    says_only("stop --force", "one: stopped\n");
    cr_assert_eq(ax_vm_state(other), AX_VM_LOADED);
}

Test(monitor, the_vm_may_be_named)
{
    says_only("start two", "two: running\n");
    says_only("suspend 2", "2: suspended\n");
    cr_assert_eq(ax_vm_state(vm), AX_VM_LOADED);
    says_only("start one", "one: running\n");
    says_only("stop --force two one", "two: stopped\none: stopped\n");
    says_so("show two", "VM 2: two\n");
}

Test(monitor, errors_have_the_words_of_the_vm)
{
    refuses("resume", "resume: VM is not started yet");
    refuses("suspend three", "no VM is called 'three'");
    refuses("nmi", "nmi: ");
    says_only("start", "one: running\n");
    refuses("start two one", "start: VM is already running");
    has("two: running\n");
    refuses("delete", "--force");
    refuses("wait --state suspended --timeout 0", "VM is running");
    refuses("create /dev/null/none", "create: /dev/null/none: ");
    refuses("create none.toml", "none.toml");
}

Test(monitor, bad_words_are_refused_as_by_axvm)
{
    refuses("list one", "list: 'one' is too much (usage: list");
    refuses("show --bad", "unknown option '--bad'");
    refuses("show one two", "'two' is too much");
    refuses("stop --timeout", "--timeout needs SECONDS");
    refuses("stop --timeout x", "not a number of seconds");
    refuses("show \"\"", "name a VM");
    refuses("dump", "name a VM and a file");
    refuses("dump a b c", "'c' is too much");
    refuses("create", "name a file");
    refuses("reset \xff", "UTF-8");
}

Test(monitor, commands_that_are_nothing_for_here)
{
    refuses("console", "console: gdb cannot be a console");
    refuses("console two", "'axvm console VM'");
    refuses("events", "axvm events");
    refuses("shell", "monitor COMMAND");
    refuses("help shell", "no command");
    refuses("stats --watch 1", "--watch");
    refuses("stats one --watch 1 --json", "--watch");
    refuses("gdb --exec", "--exec");
}

Test(monitor, quit_asks_the_process)
{
    says_only("quit", "");
    cr_assert(quitted);
}

Test(monitor, dump_goes_where_the_process_is)
{
    char path[64], *before = get_current_dir_name();
    struct stat st;

    cr_assert_eq(chdir(dir), 0);
    says_only("start", "one: running\n");
    says_so("dump core", "one: ");
    has(" bytes\n");
    snprintf(path, sizeof(path), "%s/core", dir);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(ax_vm_state(vm), AX_VM_RUNNING);
    snprintf(path, sizeof(path), "dump one %s/none/core", dir);
    refuses(path, "No such file");
    cr_assert_eq(chdir(before), 0);
    free(before);
}

/* ---- commands that wait ---- */

static void on_turn(void *ctx)
{
    ax_loop_stop(loop);
}

/* So that what is due has its turn. */
static void turns(void)
{
    struct ax_wake *wake;

    cr_assert_eq(ax_wake_create(loop, on_turn, NULL, &wake), 0);
    for (int i = 0; i < 20; i++) {
        ax_loop_wake(wake);
        ax_loop_run(loop);
    }
    ax_wake_destroy(wake);
}

Test(monitor, a_command_waits)
{
    cr_assert_eq(begin("wait two --state running"), -EINPROGRESS);
    turns();
    cr_assert_eq(dones, 0);
    cr_assert_eq(ax_vm_start(other), 0);
    await_done();
    cr_assert(ok);
    cr_assert_str_eq(text, "two: running\n");
}

Test(monitor, a_command_that_waits_is_cancelled)
{
    ax_monitor_cancel(monitor);
    cr_assert_eq(begin("list"), -EINPROGRESS);
    ax_monitor_cancel(monitor); /* before it was asked */
    turns();
    cr_assert_eq(dones, 0);
    cr_assert_eq(begin("wait two --state running"), -EINPROGRESS);
    turns();
    ax_monitor_cancel(monitor);
    cr_assert_eq(ax_vm_start(other), 0);
    turns();
    cr_assert_eq(dones, 0);
    cr_assert_str_eq(text, "");
    says_only("suspend two", "two: suspended\n");
    cr_assert_eq(begin("reset halt"), -EINPROGRESS);
    ax_monitor_cancel(monitor);
    target.halted = true;
    ax_monitor_stopped(monitor);
    cr_assert_eq(dones, 0);
}

/* The wake of the first must not end the second. */
Test(monitor, a_command_after_one_that_was_cancelled)
{
    cr_assert_eq(begin("list"), -EINPROGRESS);
    ax_monitor_cancel(monitor);
    cr_assert_eq(begin("wait two --state running"), -EINPROGRESS);
    turns();
    cr_assert_eq(dones, 0);
    cr_assert_eq(ax_vm_start(other), 0);
    await_done();
    cr_assert_str_eq(text, "two: running\n");
}

Test(monitor, is_destroyed_while_a_command_waits)
{
    cr_assert_eq(begin("wait two --state running"), -EINPROGRESS);
    turns();
    ax_monitor_destroy(monitor);
    monitor = NULL;
    cr_assert_eq(ax_vm_start(other), 0);
    turns();
    cr_assert_eq(dones, 0);
}

Test(monitor, is_destroyed_when_it_is_done)
{
    destroys = true;
    says_so("list", "one");
    cr_assert_null(monitor);
}

/* ---- the VM goes, and all of the debugger with it ---- */

static void on_heard(void *ctx, enum ax_fleet_event_kind kind,
                     struct ax_vm *which)
{
    if (kind != AX_FLEET_DELETED || which != vm)
        return;
    ax_monitor_destroy(monitor);
    monitor = NULL;
    target.vm = NULL;
    ax_loop_stop(loop);
}

static void deletes(const char *command, bool listens_first)
{
    struct ax_fleet_listener listener = {.heard = on_heard};
    struct ax_control_env control = {.fleet = fleet, .loop = loop};
    struct ax_monitor_env env = {.target = &target,
                                 .control = &control,
                                 .modes = &modes,
                                 .say = on_say,
                                 .done = on_done,
                                 .ctx = &target};

    if (listens_first) {
        ax_monitor_destroy(monitor);
        ax_fleet_listen(fleet, &listener);
        cr_assert_eq(ax_monitor_create(&env, &monitor), 0);
    } else {
        ax_fleet_listen(fleet, &listener);
    }
    cr_assert_eq(begin(command), -EINPROGRESS);
    while (monitor) {
        ax_loop_run(loop);
        cr_assert_not(overdue, "nothing comes any more");
    }
    turns();
    ax_fleet_unlisten(fleet, &listener);
    cr_assert_eq(dones, 0);
    cr_assert_eq(ax_fleet_count(fleet), 1u);
}

Test(monitor, deletes_its_vm_at_once)
{
    says_only("stop --force", "one: stopped\n");
    deletes("delete", false);
}

Test(monitor, deletes_its_vm_at_once_and_hears_it_last)
{
    says_only("stop --force", "one: stopped\n");
    deletes("delete", true);
}

Test(monitor, deletes_its_vm_soon)
{
    says_only("start", "one: running\n");
    deletes("delete --force", false);
}

Test(monitor, deletes_its_vm_soon_and_hears_it_last)
{
    says_only("start", "one: running\n");
    deletes("delete --force", true);
}

/* ---- info ---- */

Test(monitor, info_lists_topics)
{
    says_only("info", "Topics: exits, vcpus, regs, tlb, ioapic, irq\n");
    refuses("info cpus", "no topic 'cpus'\nTopics: exits");
    refuses("info regs tlb irq", "'irq' is too much");
    refuses("info exits 7", "'7' is too much");
    refuses("info cpus 7", "'7' is too much");
}

Test(monitor, info_is_the_selected_vcpus)
{
    char many[32];

    says_only("info regs", "word 0x101\n");
    says_only("info vcpus", "  vCPU 0: word 0x100\n* vCPU 1: word 0x101\n");
    says_so("info tlb", "mapping 0\nmapping 1\n");
    snprintf(many, sizeof(many), "\nmapping %d\n", 399);
    has(many);
    cr_assert_gt(says, 1u);
    refuses("info ioapic", "info ioapic: this VM has nothing like it");
    refuses("info irq", "Input/output error");
}

Test(monitor, info_needs_a_halted_vm)
{
    target.halted = false;
    refuses("info regs", "VM is not halted");
    refuses("info vcpus", "VM is not halted");
    refuses("info tlb 0", "VM is not halted");
    target.err = -ESRCH;
    refuses("info vcpus", "the vCPU is gone");
    target.err = -ETIMEDOUT;
    refuses("kaslr", "did not come out of the guest");
    target.err = -EIO;
    target.refusal = "of something else, long ago";
    refuses("info regs", "Input/output error");
    lacks("long ago");
}

Test(monitor, info_tlb_walks_to_an_address)
{
    says_only("info tlb 0x7f000010", "walk to 0x7f000010\n");
    says_only("info tlb 4096", "walk to 0x1000\n");
    says_only("info tlb 0xFFFFFFFFFFFFFFFF", "walk to 0xffffffffffffffff\n");
    refuses("info tlb 0x10000000000000000", "not a number of 64 bits");
    refuses("info tlb ff0010", "'ff0010' is not a number, 0xff0010 is one");
    refuses("info tlb $pc", "'$pc' is not a number");
    refuses("info regs 0x1000", "regs takes no address");
}

Test(monitor, info_exits_counts)
{
    says_only("info exits", "vCPU 0\nvCPU 1\n");
    says_only("start", "one: running\n");
    while (!ax_vcpu_exits(ax_vm_vcpu(vm, 0), AX_EXIT_IO_READ))
        sched_yield();
    says_so("info exits", "vCPU 0\n");
    has("IoRead                          1\n");
    has("vCPU 1\n");
    lacks("MmioRead");
}

/* ---- physical memory ---- */

Test(monitor, phys_is_a_mode)
{
    says_only("phys", "phys is off\n");
    says_so("phys on", "physical from now on");
    has("maintenance flush dcache");
    cr_assert(modes.physical);
    says_only("phys", "phys is on\n");
    says_so("phys off", "guest's mode");
    cr_assert_not(modes.physical);
    refuses("phys maybe", "'maybe' is not a number");
    refuses("phys on off", "'on' is not a number");
    refuses("phys 1 2 3", "'3' is too much (usage: phys");
}

Test(monitor, phys_dumps)
{
    says_only("phys 0x1041 18",
              "0x0000000000001041  41 42 43 44 45 46 47 48  49 4a 4b 4c 4d 4e "
              "4f 50  |ABCDEFGHIJKLMNOP|\n"
              "0x0000000000001051  51 52                                       "
              "      |QR|\n");
    says_so("phys 4096", "0x0000000000001030  30 31");
    lacks("0x0000000000001040");
    has("|0123456789:;<=>?|\n");
    says_so("phys 0x107e 2", "  7e 7f ");
    has("|~.|\n");
    says_so("phys 0x1000 4096", "0x0000000000001ff0  f0");
}

Test(monitor, phys_says_where_there_is_none)
{
    says_so("phys 0x27f0 32", "0x00000000000027f0  f0");
    has("no memory at 0x2800\n");
    refuses("phys 0", "no memory at 0x0\n");
    refuses("phys 0xfffffffffffffff0 16", "no memory at 0xfffffffffffffff0\n");
    refuses("phys 0xfffffffffffffff0 17", "no address is above");
    refuses("phys 0x1000 0", "1 to 4096 bytes");
    refuses("phys 0x1000 4097", "1 to 4096 bytes");
    refuses("phys 0x1000 0xffffffffffffffff", "1 to 4096 bytes");
    refuses("phys 0x10000000000000000", "not a number of 64 bits");
    refuses("phys -1", "'-1' is not a number");
    refuses("phys 0x", "'0x' is not a number");
    refuses("phys +1", "'+1' is not a number");
    refuses("phys \"\"", "'' is not a number");
    refuses("phys 0x1000 ten", "'ten' is not a number");
    target.halted = false;
    refuses("phys 0x1000", "VM is not halted");
}

/* ---- devices ---- */

Test(monitor, io_reads_and_writes)
{
    const struct ax_bus *bus = ax_vm_bus(vm, AX_SPACE_PORT);

    /* The scratch register of the UART. */
    says_only("io 0x3ff = 0x5a", "0x3ff (uart16550) <- 0x5a\n");
    says_only("io 0x3ff", "0x3ff (uart16550) is 0x5a\n");
    says_only("io 1023=165", "0x3ff (uart16550) <- 0xa5\n");
    says_only("io 0x3ff 1 =0xc3", "0x3ff (uart16550) <- 0xc3\n");
    says_only("io 0x3ff 1= 0", "0x3ff (uart16550) <- 0x00\n");
    says_only("io 0x3ff 1", "0x3ff (uart16550) is 0x00\n");
    cr_assert_eq(bus->unclaimed_reads + bus->unclaimed_writes, 0u);
}

Test(monitor, io_is_checked)
{
    const struct ax_bus *bus = ax_vm_bus(vm, AX_SPACE_PORT);

    refuses("io", "an address is missing (usage: io PORT");
    refuses("io = 1", "'=' is not a number");
    refuses("io 0x1234", "no device of axvm-run is at 0x1234");
    refuses("io 0x3f8 4", "uart16550 at 0x3f8 is no register of 4 bytes; it "
                          "takes widths of 1\n");
    refuses("io 0x3f9 2", "0x3f9 is not aligned to 2 bytes");
    refuses("io 0x3f8 3", "a width is 1, 2 or 4");
    refuses("io 0x3f8 8", "a width is 1, 2 or 4");
    refuses("io 0x3f8 0", "a width is 1, 2 or 4");
    refuses("io 0x3f8 two", "a width is 1, 2 or 4");
    refuses("io 0x10000", "ports end at 0xffff");
    refuses("io 3f8", "'3f8' is not a number, 0x3f8 is one");
    refuses("io 0x3ff = 0x100", "0x100 has more than 1 bytes");
    refuses("io 0x3ff =", "a value is missing");
    refuses("io 0x3ff = 1 2", "'2' is too much");
    refuses("io 0x3ff 1 = 1 2", "that is too much");
    refuses("io 0x3ff 1 2", "'2' is too much");
    refuses("io 0x3ff == 2", "'2' is too much");
    refuses("io 0x3ff ==", "'=' is not a number");
    refuses("io 0x3ff = x", "'x' is not a number");
    refuses("io 0x00000000000000000000000000000000000000003ff", "too much");
    cr_assert_eq(bus->unclaimed_reads + bus->unclaimed_writes, 0u);
}

Test(monitor, mmio_reads_and_writes)
{
    /* The version register behind the I/O APIC's window. */
    says_only("mmio 0xfec00000 = 1", "0xfec00000 (ioapic) <- 0x00000001\n");
    says_so("mmio 0xfec00010", "0xfec00010 (ioapic) is 0x0017");
    refuses("mmio 0xfec00010 8", "it takes widths of ");
    refuses("mmio 0xfec00012", "not aligned to 4 bytes");
    refuses("mmio 0x1000", "no device of axvm-run is at 0x1000");
    refuses("mmio 0xfec00010 16", "a width is 1, 2, 4 or 8");
    refuses("mmio 0xfec00000 4 = 0x100000000", "more than 4 bytes");
    refuses("mmio", "usage: mmio ADDRESS");
}

/* ---- reset halt ---- */

Test(monitor, reset_halt_waits_for_the_stop)
{
    cr_assert_eq(begin("reset halt"), -EINPROGRESS);
    cr_assert_eq(target.resets, 1u);
    ax_monitor_stopped(monitor); /* it starts again */
    cr_assert_eq(dones, 0);
    target.halted = true;
    ax_monitor_stopped(monitor);
    cr_assert_eq(dones, 1);
    cr_assert(ok);
    has("first instruction");
    has("maintenance flush register-cache");
    check_text("reset halt");
    ax_monitor_stopped(monitor);
    cr_assert_eq(dones, 1);
    cr_assert_eq(ax_vm_state(vm), AX_VM_LOADED, "it was axvm's reset");
}

Test(monitor, reset_halt_fails)
{
    target.err = -EPERM;
    target.refusal = "VM is still loading, cannot reset";
    refuses("reset halt", "VM is still loading, cannot reset");
    target.err = 0;
    says_only("start", "one: running\n");
    says_only("stop --force", "one: stopped\n");
    cr_assert_eq(begin("reset halt"), -EINPROGRESS);
    ax_monitor_stopped(monitor); /* it has ended */
    cr_assert_eq(dones, 1);
    cr_assert_not(ok);
    has("did not start again");
    check_text("reset halt");
}

Test(monitor, a_stop_is_nothing_to_other_commands)
{
    ax_monitor_stopped(monitor);
    cr_assert_eq(begin("wait two --state running"), -EINPROGRESS);
    ax_monitor_stopped(monitor);
    turns();
    cr_assert_eq(dones, 0);
}

/* ---- the rest ---- */

Test(monitor, kaslr_has_a_line_to_paste)
{
    target.slide = 0x1c000000;
    says_so("kaslr", "moved by 0x1c000000");
    has("\n  add-symbol-file vmlinux -o 0x1c000000\n");
    target.slide = 0;
    says_so("kaslr", "where it was linked to");
    target.slide = UINT64_MAX;
    refuses("kaslr", "vCPU 1 maps no Linux kernel");
    target.slide = UINT64_MAX - 1;
    refuses("kaslr", "Bad address");
    refuses("kaslr now", "'now' is too much");
    target.halted = false;
    refuses("kaslr", "VM is not halted");
}

Test(monitor, pc_is_a_mode)
{
    says_only("pc", "The pc register shows the offset in its segment.\n");
    says_so("pc linear", "linear address. gdb does not know");
    cr_assert(modes.linear_pc);
    says_only("pc", "The pc register shows the linear address.\n");
    says_so("pc offset", "offset");
    cr_assert_not(modes.linear_pc);
    refuses("pc physical", "'physical' is not understood");
    refuses("pc linear offset", "'offset' is too much");
}

Test(monitor, arch_is_one_of_the_architectures)
{
    const struct ax_gdb_ops *const *all = ax_vm_arch(vm)->gdb;
    char line[64];

    cr_assert_eq(run("arch"), 0);
    for (; all && *all; all++) {
        target.ops = NULL;
        snprintf(line, sizeof(line), "arch %s", (*all)->name);
        says_so(line, "from the next connection on");
        cr_assert_eq(modes.ops, *all);
        snprintf(line, sizeof(line), "  %s (from the next", (*all)->name);
        says_so("arch", line);
        target.ops = *all;
        snprintf(line, sizeof(line), "* %s\n", (*all)->name);
        says_so("arch", line);
    }
    refuses("arch pdp11", "there is no 'pdp11'");
    refuses("arch a b", "'b' is too much");
}

Test(monitor, catch_is_a_set)
{
    says_only("catch", "The VM is halted at: none\n");
    says_only("catch crash", "The VM is halted at: crash\n");
    cr_assert_eq(target.catches, (unsigned)AX_CATCH_CRASH);
    says_only("catch poweroff,crash", "The VM is halted at: crash, poweroff\n");
    says_only("catch all", "The VM is halted at: crash, reset, poweroff\n");
    cr_assert_eq(target.catches, (unsigned)AX_CATCH_ALL);
    refuses("catch crash,reboot", "'reboot' is not understood");
    refuses("catch crash,", "'' is not understood");
    refuses("catch ,", "'' is not understood");
    refuses("catch \"\"", "'' is not understood");
    refuses("catch crash reset", "'reset' is too much");
    cr_assert_eq(target.catches, (unsigned)AX_CATCH_ALL);
    says_only("catch none", "The VM is halted at: none\n");
    cr_assert_eq(target.catches, 0u);
}

Test(monitor, may_not_be_there)
{
    ax_monitor_destroy(NULL);
}
