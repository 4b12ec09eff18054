/*
 * test_gdb.c - the stub's socket: one debugger at a time, and what happens to
 * the VM when it comes, goes, or does not read.
 */
#include "control/server.h"
#include "debug/gdb.h"
#include "debug/target.h"
#include "devices/loop.h"
#include "fake/fleet.h"
#include "log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_NS UINT64_C(60000000000)
#define ASK_HALT    "$?#3f"
#define GO          "$vCont;c#a8"

static const struct ax_fake_step spins[] = {
    {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = AX_TEST_ENTRY}};
static const struct ax_test_program spin = {.steps = spins,
                                            .steps_size = sizeof(spins)};

static char dir[32], path[64];
static struct ax_loop *loop;
static struct ax_log *log_;
static struct ax_fleet *fleet;
static struct ax_vm *vm;
static struct ax_gdb *gdb;
static struct ax_timer *guard;
static bool late;

static void quit_nothing(void *ctx)
{
}

static void is_late(void *ctx, uint64_t count)
{
    late = true;
    ax_loop_stop(loop);
}

static void tick(void *ctx, uint64_t count)
{
    ax_loop_stop(loop);
}

static void begin(void)
{
    struct ax_fleet_env env = {.ops = &ax_fake};
    struct ax_control_env control = {.quit = quit_nothing};
    struct ax_gdb_env stub = {.control = &control};
    char spec[80], why[400];

    strcpy(dir, "/tmp/axvm-gdb-XXXXXX");
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/g", dir);
    snprintf(spec, sizeof(spec), "unix:%s", path);
    cr_assert_not(ax_log_create("/dev/null", AX_LOG_OFF, &log_));
    cr_assert_not(ax_loop_create(&loop));
    env.loop = loop;
    env.log = log_;
    cr_assert_not(ax_fleet_create(&env, &fleet));
    vm = ax_test_fleet_add(fleet, &ax_fake, "debuggee", 2, &spin, "");
    cr_assert(vm);
    control.fleet = fleet;
    control.loop = loop;
    control.log = log_;
    stub.vm = vm;
    cr_assert_not(ax_gdb_create(&stub, spec, &gdb, why, sizeof(why)), "%s",
                  why);
    cr_assert_not(ax_timer_create(loop, is_late, NULL, &guard));
    ax_timer_arm(guard, PATIENCE_NS, 0);
    cr_assert_not(ax_vm_start(vm));
}

static void end(void)
{
    cr_assert_not(late);
    ax_gdb_destroy(gdb);
    ax_timer_destroy(guard);
    ax_fleet_destroy(fleet);
    ax_loop_destroy(loop);
    ax_log_destroy(log_);
    cr_assert_neq(access(path, F_OK), 0);
    rmdir(dir);
    cr_assert_eq(ax_fake_alive(), 0);
}

static bool has_turned(void *ctx)
{
    unsigned *rounds = ctx;

    return !(*rounds)--;
}

/* Runs the loop until cond holds. */
static void until(bool (*cond)(void *ctx), void *ctx)
{
    struct ax_timer *ticks;

    cr_assert_not(ax_timer_create(loop, tick, NULL, &ticks));
    ax_timer_arm(ticks, 1000000, 1000000);
    while (!cond(ctx) && !late)
        ax_loop_run(loop);
    ax_timer_destroy(ticks);
    cr_assert_not(late);
}

/* What waits at the loop is done. */
static void turn(void)
{
    unsigned rounds = 3;

    until(has_turned, &rounds);
}

static int dial(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    strcpy(addr.sun_path, path);
    cr_assert_not(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), "%s: %s",
                  path, strerror(errno));
    return fd;
}

struct reply {
    int fd;
    const char *wanted;
    char text[4096];
    size_t len;
    bool closed;
};

static bool has_reply(void *ctx)
{
    struct reply *r = ctx;
    const ssize_t n = recv(r->fd, r->text + r->len,
                           sizeof(r->text) - r->len - 1, MSG_DONTWAIT);

    if (n > 0)
        r->len += (size_t)n;
    r->text[r->len] = '\0';
    r->closed |= n == 0 || (n < 0 && errno != EAGAIN);
    return r->wanted ? strstr(r->text, r->wanted) != NULL : r->closed;
}

static void say(int fd, const char *bytes)
{
    cr_assert_eq(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL),
                 (ssize_t)strlen(bytes));
}

static void hears(int fd, const char *wanted)
{
    struct reply r = {.fd = fd, .wanted = wanted};

    until(has_reply, &r);
}

static bool vm_has_state(void *ctx)
{
    return ax_vm_state(vm) == *(enum ax_vm_state *)ctx;
}

static bool nobody_is_there(void *ctx)
{
    return !ax_gdb_busy(gdb);
}

static void becomes(enum ax_vm_state state)
{
    until(vm_has_state, &state);
}

Test(gdb, a_connection_alone_halts_nothing)
{
    int fd;

    begin();
    fd = dial();
    say(fd, "+");
    turn();
    cr_assert_eq(ax_vm_state(vm), AX_VM_RUNNING);
    say(fd, ASK_HALT);
    hears(fd, "$T05");
    cr_assert_eq(ax_vm_state(vm), AX_VM_SUSPENDED);
    cr_assert(ax_gdb_busy(gdb));
    close(fd);
    becomes(AX_VM_RUNNING);
    cr_assert_not(ax_gdb_busy(gdb));
    end();
}

Test(gdb, the_second_debugger_is_told)
{
    int first, second;

    begin();
    first = dial();
    say(first, ASK_HALT);
    hears(first, "$T05");
    second = dial();
    for (int i = 0; i < 3; i++) {
        say(second, "+$qSupported#37");
        hears(second, "E.another debugger is connected");
    }
    say(first, "+$qC#b4");
    hears(first, "$QC1#");
    close(first);
    close(second);
    becomes(AX_VM_RUNNING);
    end();
}

Test(gdb, many_at_once_leave_nothing_behind)
{
    int fds[40];

    begin();
    for (size_t i = 0; i < AX_ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        turn();
    }
    say(fds[0], ASK_HALT);
    hears(fds[0], "$T05");
    for (size_t i = 0; i < AX_ARRAY_LEN(fds); i++)
        close(fds[i]);
    becomes(AX_VM_RUNNING);
    end();
}

Test(gdb, one_that_dies_while_the_guest_runs)
{
    int fd;

    begin();
    for (int i = 0; i < 20; i++) {
        fd = dial();
        say(fd, ASK_HALT);
        hears(fd, "$T05");
        say(fd, "+" GO);
        if (i % 2)
            becomes(AX_VM_RUNNING);
        close(fd);
        until(nobody_is_there, NULL);
        cr_assert_eq(ax_vm_state(vm), AX_VM_RUNNING);
    }
    end();
}

/* The next one may be there before the loop has heard of the last one's end. */
Test(gdb, one_after_the_other_at_once)
{
    int fd;

    begin();
    for (int i = 0; i < 50; i++) {
        fd = dial();
        say(fd, ASK_HALT);
        hears(fd, "$T05");
        close(fd);
    }
    becomes(AX_VM_RUNNING);
    end();
}

/* More answers than a socket takes, and nobody to read them. */
Test(gdb, one_that_does_not_read_is_disconnected)
{
    ssize_t n;
    int fd;

    begin();
    fd = dial();
    say(fd, ASK_HALT);
    hears(fd, "$T05");
    say(fd, "$QStartNoAckMode#b0");
    hears(fd, "OK");
    while (ax_gdb_busy(gdb) && !late) {
        struct ax_timer *ticks;

        n = send(fd, "$m1000,1f00#eb", 14, MSG_NOSIGNAL | MSG_DONTWAIT);
        cr_assert(n == 14 || n < 0);
        cr_assert_not(ax_timer_create(loop, tick, NULL, &ticks));
        ax_timer_arm(ticks, 1, 0);
        ax_loop_run(loop);
        ax_timer_destroy(ticks);
    }
    becomes(AX_VM_RUNNING);
    close(fd);
    end();
}

Test(gdb, a_stub_that_goes_lets_the_vm_go)
{
    int fd;

    begin();
    fd = dial();
    say(fd, ASK_HALT);
    hears(fd, "$T05");
    ax_gdb_destroy(gdb);
    gdb = NULL;
    cr_assert_eq(ax_vm_state(vm), AX_VM_RUNNING);
    close(fd);
    end();
}
