/*
 * fake.c - a VM of the fake engine with a stub, for gdb itself: debug exits of
 * every kind on any machine.
 *
 * fake SOCKET [crash]: halts before the first step, of two vCPUs, and runs
 * until the VM ends. Prints the size of a step; the first is at 0x1000.
 */
#include "control/server.h"
#include "debug/gdb.h"
#include "debug/target.h"
#include "devices/loop.h"
#include "fake/fleet.h"
#include "log.h"

#include <err.h>
#include <stdio.h>
#include <string.h>

#define STEP(n) (AX_TEST_ENTRY + (n) * sizeof(struct ax_fake_step))

static const struct ax_fake_step counts[] = {
    {.op = AX_FAKE_START, .target = STEP(1)},
    {.op = AX_FAKE_ADD, .target = 1, .exit.access.data = 1},
    {.op = AX_FAKE_STORE, .target = 0x8000, .exit.access.data = 1},
    {.op = AX_FAKE_LOAD, .target = 0x8008},
    {.exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {0x80, 1, 1, true, AX_SPACE_PORT}}},
    {.op = AX_FAKE_LOOP, .target = STEP(1)},
};
static const struct ax_fake_step crashes[] = {
    {.op = AX_FAKE_ADD, .target = 1, .exit.access.data = 1},
    {.exit = {.kind = AX_EXIT_FAIL_ENTRY}},
};
static const struct ax_test_program programs[] = {
    {.steps = counts, .steps_size = sizeof(counts)},
    {.steps = crashes, .steps_size = sizeof(crashes)},
};

static void need(bool good, const char *what)
{
    if (!good)
        errx(1, "%s", what);
}

static void heard(void *ctx, enum ax_fleet_event_kind kind, struct ax_vm *vm)
{
    if (kind == AX_FLEET_STATE && ax_vm_state(vm) == AX_VM_STOPPED)
        ax_loop_stop(ctx);
}

static void quit_nothing(void *ctx)
{
}

int main(int argc, char **argv)
{
    struct ax_fleet_env env = {.ops = &ax_fake};
    struct ax_control_env control = {.quit = quit_nothing};
    struct ax_gdb_env stub = {
        .control = &control, .catches = AX_CATCH_ALL, .wait = true};
    struct ax_fleet_listener listener = {.heard = heard};
    struct ax_gdb *gdb;
    char spec[128], why[400];

    need(argc > 1, "usage: fake SOCKET [crash]");
    snprintf(spec, sizeof(spec), "unix:%s", argv[1]);
    need(!ax_log_create(NULL, AX_LOG_INFO, &env.log), "log");
    need(!ax_loop_create(&env.loop), "loop");
    need(!ax_fleet_create(&env, &control.fleet), "fleet");
    control.loop = env.loop;
    control.log = env.log;
    stub.vm = ax_test_fleet_add(control.fleet, &ax_fake, "fake", 2,
                                &programs[argc > 2], "");
    need(stub.vm, "VM");
    need(!ax_gdb_create(&stub, spec, &gdb, why, sizeof(why)), why);
    printf("%zu\n", sizeof(struct ax_fake_step));
    fflush(stdout);
    listener.ctx = env.loop;
    ax_fleet_listen(control.fleet, &listener);
    need(!ax_vm_start(stub.vm), "start");
    ax_loop_run(env.loop);
    ax_fleet_unlisten(control.fleet, &listener);
    ax_gdb_destroy(gdb);
    ax_fleet_destroy(control.fleet);
    ax_loop_destroy(env.loop);
    ax_log_destroy(env.log);
    return 0;
}
