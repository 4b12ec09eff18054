/* test_stubs.c - stubs follow the fleet: opened as configurations and commands
 * say, closed with their VMs. The stubs themselves are fakes. */
#include "control/server.h"
#include "debug/stubs.h"
#include "debug/target.h"
#include "devices/loop.h"
#include "fake/fleet.h"
#include "fake/gdb_stub.h"
#include "log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct ax_fake_step spin[] = {
    {.op = AX_FAKE_SPIN},
    {.op = AX_FAKE_LOOP, .target = AX_TEST_ENTRY},
};
static const struct ax_test_program program = {.steps = spin,
                                               .steps_size = sizeof(spin)};

static char dir[64], log_path[96];
static struct ax_log *log_;
static struct ax_loop *loop;
static struct ax_fleet *fleet;
static struct ax_stubs *stubs;
static struct ax_wake *stop;
static const char *address;
static char why[256];

static void on_stop(void *ctx)
{
    ax_loop_stop(loop);
}

static void init(void)
{
    struct ax_fleet_env env = {.ops = &ax_fake};
    struct ax_control_env cenv = {0};

    strcpy(dir, "/tmp/axvm-test-stubs-XXXXXX");
    cr_assert(mkdtemp(dir));
    setenv("XDG_RUNTIME_DIR", dir, 1);
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
    cr_assert_eq(ax_log_create(log_path, AX_LOG_INFO, &log_), 0);
    cr_assert_eq(ax_loop_create(&loop), 0);
    cr_assert_eq(ax_wake_create(loop, on_stop, NULL, &stop), 0);
    env.loop = loop;
    env.log = log_;
    cr_assert_eq(ax_fleet_create(&env, &fleet), 0);
    cenv.fleet = fleet;
    cenv.loop = loop;
    cenv.start_ns = 4711;
    cr_assert_eq(ax_stubs_create(&cenv, &stubs), 0);
}

static void fini(void)
{
    char command[128];

    ax_stubs_destroy(stubs);
    ax_fleet_destroy(fleet);
    ax_wake_destroy(stop);
    ax_loop_destroy(loop);
    ax_log_destroy(log_);
    cr_assert_eq(fake_gdb_alive(), 0, "a stub was left behind");
    snprintf(command, sizeof(command), "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(stubs, .init = init, .fini = fini, .timeout = 60);

/* more: further lines, which may open tables. */
static struct ax_vm *add(const char *name, const char *more)
{
    struct ax_vm *vm =
        ax_test_fleet_add(fleet, &ax_fake, name, 1, &program, more);

    cr_assert_not_null(vm);
    return vm;
}

static int open_at(struct ax_vm *vm, const char *spec)
{
    why[0] = '\0';
    return ax_stubs_open(stubs, vm, spec, &address, why, sizeof(why));
}

static bool logged(const char *words)
{
    FILE *f = fopen(log_path, "r");
    char line[512];
    bool found = false;

    cr_assert_not_null(f);
    while (!found && fgets(line, sizeof(line), f))
        found = strstr(line, words);
    fclose(f);
    return found;
}

/* Everything that the loop has to do now. */
static void turn(void)
{
    ax_loop_wake(stop);
    ax_loop_run(loop);
}

Test(stubs, a_vm_has_none_unless_it_wants_one)
{
    struct ax_vm *vm = add("a", "");

    cr_assert_eq(fake_gdb_created(), 0);
    cr_assert_null(ax_stubs_address(stubs, vm));
    ax_stubs_close(stubs, vm);
    cr_assert_null(ax_stubs_address(stubs, vm));
}

Test(stubs, opens_what_the_configuration_says)
{
    struct ax_vm *vm = add("a", "[debug]\ngdb = 1234\ngdb_wait = true\n"
                                "gdb_on = [\"crash\", \"poweroff\"]\n");
    struct ax_gdb_env env = fake_gdb_env();

    cr_assert_str_eq(fake_gdb_spec(), "1234");
    cr_assert_str_eq(ax_stubs_address(stubs, vm), "fake:1234");
    cr_assert_eq(env.vm, vm);
    cr_assert_eq(env.catches, AX_CATCH_CRASH | AX_CATCH_OFF);
    cr_assert(env.wait);
    cr_assert_eq(env.control->fleet, fleet);
    cr_assert_eq(env.control->loop, loop);
    cr_assert_eq(env.control->start_ns, 4711);
    cr_assert(logged("gdb: target remote fake:1234"));
    cr_assert_eq(ax_vm_state(vm), AX_VM_LOADED);
}

Test(stubs, a_configuration_that_cannot_be_is_logged)
{
    struct ax_vm *vm;

    fake_gdb_fail(-EADDRINUSE, "it is taken");
    vm = add("a", "[debug]\ngdb = \"0\"\n");
    cr_assert_null(ax_stubs_address(stubs, vm));
    cr_assert(logged("gdb: it is taken (--gdb=SPEC or [debug] gdb)"));
    /* Somebody may try again. */
    cr_assert_eq(open_at(vm, "0"), 0);
    cr_assert_str_eq(address, "fake:0");
}

Test(stubs, opens_on_request)
{
    struct ax_vm *vm = add("a", ""), *other = add("b", "");
    struct ax_gdb_env env;

    cr_assert_eq(open_at(vm, "5555"), 0);
    cr_assert_str_eq(address, "fake:5555");
    env = fake_gdb_env();
    cr_assert_eq(env.vm, vm);
    cr_assert_eq(env.catches, 0);
    cr_assert_not(env.wait);
    cr_assert_null(ax_stubs_address(stubs, other));
    cr_assert(logged("gdb: target remote fake:5555"));
}

Test(stubs, there_is_one_of_a_vm)
{
    struct ax_vm *vm = add("a", "");

    cr_assert_eq(open_at(vm, "5555"), 0);
    cr_assert_eq(open_at(vm, NULL), 0);
    cr_assert_str_eq(address, "fake:5555");
    cr_assert_eq(open_at(vm, "5555"), 0);
    cr_assert_eq(open_at(vm, "fake:5555"), 0);
    cr_assert_eq(open_at(vm, "unix:fake:5555"), 0);
    cr_assert_eq(open_at(vm, "5556"), -EEXIST);
    cr_assert_null(address);
    cr_assert(strstr(why, "fake:5555"), "%s", why);
    cr_assert_eq(fake_gdb_created(), 1);
    ax_stubs_close(stubs, vm);
    cr_assert_null(ax_stubs_address(stubs, vm));
    cr_assert_eq(fake_gdb_alive(), 0);
    cr_assert_eq(open_at(vm, "5556"), 0);
    cr_assert_str_eq(address, "fake:5556");
}

Test(stubs, the_default_is_a_socket_beside_the_control_socket)
{
    struct ax_vm *vm = add("a", "id = 7");
    char spec[128], sub[96];
    struct stat st;

    cr_assert_eq(open_at(vm, NULL), 0);
    snprintf(spec, sizeof(spec), "unix:%s/axvm/%d-7.gdb", dir, (int)getpid());
    cr_assert_str_eq(fake_gdb_spec(), spec);
    snprintf(sub, sizeof(sub), "%s/axvm", dir);
    cr_assert_eq(stat(sub, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
}

Test(stubs, a_directory_of_others_is_not_used)
{
    struct ax_vm *vm = add("a", "");
    char sub[96];

    snprintf(sub, sizeof(sub), "%s/axvm", dir);
    cr_assert_eq(mkdir(sub, 0777), 0);
    cr_assert_eq(chmod(sub, 0777), 0);
    cr_assert_eq(open_at(vm, NULL), -EPERM);
    cr_assert(strstr(why, "not ours alone"), "%s", why);
    cr_assert(strstr(why, "--listen"), "%s", why);
    cr_assert_eq(fake_gdb_created(), 0);
}

Test(stubs, what_fails_says_why)
{
    struct ax_vm *vm = add("a", "");

    fake_gdb_fail(-EOPNOTSUPP, "no debugger here");
    cr_assert_eq(open_at(vm, "1"), -EOPNOTSUPP);
    cr_assert_str_eq(why, "no debugger here");
    cr_assert_null(address);
    cr_assert_null(ax_stubs_address(stubs, vm));
}

/* Its own stub may ask for it. */
Test(stubs, a_busy_one_goes_when_the_loop_comes_round)
{
    struct ax_vm *vm = add("a", "");

    cr_assert_eq(open_at(vm, "5555"), 0);
    fake_gdb_set_busy(true);
    ax_stubs_close(stubs, vm);
    ax_stubs_close(stubs, vm);
    cr_assert_eq(fake_gdb_alive(), 1);
    cr_assert_null(ax_stubs_address(stubs, vm));
    cr_assert_eq(open_at(vm, "5555"), -EBUSY);
    cr_assert(strstr(why, "try again"), "%s", why);
    turn();
    cr_assert_eq(fake_gdb_alive(), 0);
    fake_gdb_set_busy(false);
    cr_assert_eq(open_at(vm, "5555"), 0);
}

Test(stubs, a_busy_one_may_go_with_its_vm_before)
{
    struct ax_vm *vm = add("a", ""), *other = add("b", "");

    cr_assert_eq(open_at(vm, "5555"), 0);
    cr_assert_eq(open_at(other, "5556"), 0);
    fake_gdb_set_busy(true);
    ax_stubs_close(stubs, vm);
    cr_assert_eq(ax_fleet_delete(fleet, vm, true), 0);
    while (ax_fleet_count(fleet) > 1)
        turn();
    cr_assert_eq(fake_gdb_alive(), 1);
    cr_assert_str_eq(ax_stubs_address(stubs, other), "fake:5556");
}

Test(stubs, a_vm_takes_its_own_along)
{
    struct ax_vm *vm = add("a", "[debug]\ngdb = 1\n");

    add("b", "[debug]\ngdb = 2\n");
    cr_assert_eq(fake_gdb_alive(), 2);
    cr_assert_eq(ax_fleet_delete(fleet, vm, true), 0);
    while (ax_fleet_count(fleet) > 1)
        turn();
    cr_assert_eq(fake_gdb_alive(), 1);
}

Test(stubs, destroy_closes_all)
{
    add("a", "[debug]\ngdb = 1\n");
    add("b", "[debug]\ngdb = 2\n");
    ax_stubs_destroy(stubs);
    stubs = NULL;
    cr_assert_eq(fake_gdb_alive(), 0);
    add("c", "[debug]\ngdb = 3\n");
    cr_assert_eq(fake_gdb_alive(), 0);
}
