/* test_fleet.c - names and ids, listeners, deletion, sixteen VMs at once. */
#include "devices/loop.h"
#include "fake/fleet.h"
#include "log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { DEBUG_EXIT = 0xf4 };

static const struct ax_fake_step steps_spin[] = {
    {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = AX_TEST_ENTRY}};
static const struct ax_test_program spin = {.steps = steps_spin,
                                            .steps_size = sizeof(steps_spin)};
static const struct ax_fake_step steps_crash[] = {
    {.exit = {.kind = AX_EXIT_FAIL_ENTRY}}};
static const struct ax_test_program crash = {.steps = steps_crash,
                                             .steps_size = sizeof(steps_crash)};

static struct ax_loop *loop;
static struct ax_fleet *fleet;
static struct ax_fleet_listener listener;
static char story[1024];
static unsigned stopped, deleted;

static void heard(void *ctx, enum ax_fleet_event_kind kind, struct ax_vm *vm)
{
    static const char *const words[] = {"created", "state", "end", "deleted"};
    size_t len = strlen(story);

    snprintf(story + len, sizeof(story) - len, "%s:%s%s%s ",
             ax_vm_config(vm)->name, words[kind],
             kind == AX_FLEET_STATE ? "=" : "",
             kind == AX_FLEET_STATE ? ax_vm_state_name(ax_vm_state(vm)) : "");
    stopped += kind == AX_FLEET_STATE && ax_vm_state(vm) == AX_VM_STOPPED;
    deleted += kind == AX_FLEET_DELETED;
    if ((kind == AX_FLEET_STATE && ax_vm_state(vm) == AX_VM_STOPPED) ||
        kind == AX_FLEET_DELETED)
        ax_loop_stop(loop);
}

static void init(void)
{
    struct ax_fleet_env env = {.ops = &ax_fake};

    cr_assert_eq(ax_loop_create(&loop), 0);
    env.loop = loop;
    cr_assert_eq(ax_fleet_create(&env, &fleet), 0);
    listener = (struct ax_fleet_listener){.heard = heard};
    ax_fleet_listen(fleet, &listener);
    story[0] = '\0';
    stopped = deleted = 0;
}

static void fini(void)
{
    ax_fleet_unlisten(fleet, &listener);
    ax_fleet_destroy(fleet);
    ax_loop_destroy(loop);
    cr_assert_eq(ax_fake_alive(), 0, "a vCPU was left behind");
}

TestSuite(fleet, .init = init, .fini = fini, .timeout = 60);

static struct ax_vm *add(const char *name, const char *base)
{
    return ax_test_fleet_add(fleet, &ax_fake, name, 2, &spin, base);
}

Test(fleet, names_and_ids_are_unique)
{
    struct ax_vm *one = add("one", "id = 7"), *two = add("two", "");
    struct ax_vm *three = add("three", "");

    cr_assert(one && two && three);
    cr_assert_null(add("one", ""), "the file gives that name");
    cr_assert_null(add("other", "id = 7"));
    cr_assert_eq(ax_fleet_count(fleet), 3);
    cr_assert_eq(ax_vm_config(two)->id, 0);
    cr_assert_eq(ax_vm_config(three)->id, 1, "the next that is free");
    cr_assert_eq(ax_fleet_at(fleet, 0), two, "sorted by id");
    cr_assert_eq(ax_fleet_at(fleet, 2), one);
    cr_assert_null(ax_fleet_at(fleet, 3));
}

Test(fleet, a_name_is_accepted_wherever_an_id_is)
{
    struct ax_vm *one = add("one", "id = 7"), *digits = add("8", "id = 9");
    struct ax_vm *eight = add("eight", "id = 8");

    cr_assert_eq(ax_fleet_find(fleet, "one"), one);
    cr_assert_eq(ax_fleet_find(fleet, "7"), one);
    cr_assert_eq(ax_fleet_find(fleet, "8"), digits, "its name is older");
    cr_assert_eq(ax_fleet_find(fleet, "eight"), eight);
    cr_assert_null(ax_fleet_find(fleet, "07"));
    cr_assert_null(ax_fleet_find(fleet, ""));
}

Test(fleet, listeners_hear_the_whole_story)
{
    struct ax_vm *vm = add("vm", "");

    cr_assert_eq(ax_vm_start(vm), 0);
    cr_assert_eq(ax_vm_suspend(vm), 0);
    cr_assert_eq(ax_vm_resume(vm), 0);
    cr_assert_eq(ax_vm_force_stop(vm), 0);
    ax_loop_run(loop);
    cr_assert_eq(ax_fleet_delete(fleet, vm, false), 0);
    cr_assert_str_eq(story, "vm:created vm:state=running vm:state=suspended "
                            "vm:state=running vm:state=stopping vm:end "
                            "vm:state=stopped vm:deleted ");
}

Test(fleet, a_running_vm_is_deleted_by_force_alone)
{
    struct ax_vm *vm = add("vm", "");

    cr_assert_eq(ax_vm_start(vm), 0);
    cr_assert_eq(ax_fleet_delete(fleet, vm, false), -EPERM);
    cr_assert_not_null(strstr(ax_vm_refusal(vm), "--force"));
    cr_assert_eq(ax_fleet_delete(fleet, vm, true), 0);
    while (!deleted)
        ax_loop_run(loop);
    cr_assert_eq(ax_fleet_count(fleet), 0);
    cr_assert_not_null(add("vm", ""), "its name is free again");
}

Test(fleet, a_kept_vm_is_deleted)
{
    struct ax_vm *vm = ax_test_fleet_add(fleet, &ax_fake, "vm", 2, &crash,
                                         "on_crash = \"keep\"");

    cr_assert_eq(ax_vm_start(vm), 0);
    ax_loop_run(loop);
    cr_assert(ax_vm_kept(vm));
    cr_assert_eq(ax_fleet_delete(fleet, vm, false), 0);
}

Test(fleet, a_crash_leaves_the_others_running)
{
    struct ax_vm *vms[3];

    vms[0] = add("first", "");
    vms[1] = ax_test_fleet_add(fleet, &ax_fake, "crashes", 2, &crash, "");
    vms[2] = add("last", "");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(ax_vm_start(vms[i]), 0);
    ax_loop_run(loop);
    cr_assert_eq(ax_vm_state(vms[0]), AX_VM_RUNNING);
    cr_assert_eq(ax_vm_state(vms[1]), AX_VM_STOPPED);
    cr_assert_eq(ax_vm_end(vms[1]).cause, AX_VM_END_CRASH);
    cr_assert_eq(ax_vm_state(vms[2]), AX_VM_RUNNING);
}

Test(fleet, sixteen_vms)
{
    char name[16];
    struct ax_vm *vm;

    for (unsigned i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "vm%u", i);
        vm = add(name, "");
        cr_assert_not_null(vm);
        cr_assert_eq(ax_vm_start(vm), 0);
    }
    for (unsigned i = 0; (vm = ax_fleet_at(fleet, i)); i += 2)
        cr_assert_eq(ax_vm_force_stop(vm), 0);
    while (stopped < 8)
        ax_loop_run(loop);
    for (unsigned i = 0; (vm = ax_fleet_at(fleet, i)); i++)
        cr_assert_eq(ax_vm_state(vm), i % 2 ? AX_VM_RUNNING : AX_VM_STOPPED);
}
