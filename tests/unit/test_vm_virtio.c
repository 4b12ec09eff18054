/*
 * test_vm_virtio.c - a VM's virtio console and balloon from outside: by control
 * requests and host ends, with a driver in the memory of a guest of the fake
 * engine.
 */
#include "control/execute.h"
#include "control/server.h"
#include "devices/balloon.h"
#include "devices/console.h"
#include "devices/loop.h"
#include "fake/engine.h"
#include "fake/virtio_driver.h"
#include "log.h"
#include "vmm/fleet.h"
#include "vmm/image.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_console.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENTRY = 0x1000, DRIVER_AT = 0x100000, ENDS = 3, STATS = 2 };

static const struct ax_fake_step spin[] = {
    {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = ENTRY}};

static struct ax_loop *loop;
static struct ax_log *quiet_log;
static struct ax_fleet *fleet;
static struct ax_source kernel;
static struct ax_vm *vm;
static struct ax_execute *exec;
static struct ax_driver d;
static int ends[ENDS]; /* ours, of hvc0, hvc1 and the agent's port */

/* Whoever asks. */
static struct ax_asker asker;
static json_t *answer;
static struct ax_console *attached;

static void on_answer(void *ctx, const json_t *message)
{
    json_decref(answer);
    answer = json_deep_copy(message);
}

static void on_attach(void *ctx, struct ax_vm *which,
                      struct ax_console *console)
{
    cr_assert_eq(which, vm);
    attached = console;
}

static void report(void *ctx, enum ax_severity severity, const char *text)
{
    fputs(text, stderr);
}

static void create_fleet(void)
{
    const struct ax_fleet_env env = {
        .ops = &ax_fake, .loop = loop, .log = quiet_log};
    const struct ax_control_env control = {.loop = loop, .log = quiet_log};
    struct ax_control_env with = control;

    cr_assert_eq(ax_fleet_create(&env, &fleet), 0);
    with.fleet = fleet;
    cr_assert_eq(ax_execute_create(&with, &exec), 0);
}

static void init(void)
{
    asker = (struct ax_asker){.answer = on_answer, .attach = on_attach};
    cr_assert_eq(ax_loop_create(&loop), 0);
    cr_assert_eq(ax_log_create("/dev/null", AX_LOG_OFF, &quiet_log), 0);
    ax_source_memory("steps", spin, sizeof(spin), &kernel);
    create_fleet();
    for (unsigned i = 0; i < ENDS; i++)
        ends[i] = -1;
}

static void fini(void)
{
    ax_execute_forget(exec, &asker);
    ax_execute_destroy(exec);
    ax_fleet_destroy(fleet);
    for (unsigned i = 0; i < ENDS; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
    }
    json_decref(answer);
    ax_log_destroy(quiet_log);
    ax_loop_destroy(loop);
}

TestSuite(vm_virtio, .init = init, .fini = fini, .timeout = 60);

/* more: the devices. */
static void create(const char *more)
{
    struct ax_config_source src = {
        .file = "(test)", .builtin = true, .report = report};
    struct ax_config *conf;
    enum ax_blame blame;
    char text[2048];

    snprintf(text, sizeof(text),
             "[base]\nname = \"vm\"\nmemory = \"64M\"\narch = \"x86_64\"\n"
             "stop_timeout = 0\n"
             "[kernel]\nkernel_path = \"steps\"\nkernel_load_addr = 0x1000\n"
             "entry_point = 0x1000\nentry_mode = \"real\"\n"
             "[[console]]\ndevice = \"serial\"\nmode = \"none\"\n%s",
             more);
    src.text = text;
    src.size = strlen(text);
    cr_assert_eq(ax_config_load(&src, &conf), 0);
    cr_assert_eq(ax_fleet_add(fleet, conf, &kernel, &vm, &blame), 0);
}

static const struct ax_device *find(const char *type)
{
    for (unsigned i = 0; i < ax_vm_device_count(vm); i++) {
        if (!strcmp(ax_vm_device(vm, i)->ops->type, type))
            return ax_vm_device(vm, i);
    }
    cr_assert(false, "no %s", type);
    return NULL;
}

/* A driver for this device in the guest's own memory, of which it has half. */
static void drive(const char *type)
{
    const struct ax_device *dev = find(type);

    memset(&d, 0, sizeof(d));
    memcpy(&d.dev, &dev, sizeof(dev)); /* a guest changes it */
    d.mem = *ax_vm_memory(vm);
    d.loop = loop;
    d.allocated = DRIVER_AT;
    cr_assert(ax_driver_start(&d, UINT64_MAX, 64));
}

__attribute__((format(printf, 1, 2))) static json_t *ask(const char *request,
                                                         ...)
{
    va_list args;
    json_error_t error;
    json_t *json;
    char text[512];

    va_start(args, request);
    vsnprintf(text, sizeof(text), request, args);
    va_end(args);
    for (char *c = text; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json = json_loads(text, 0, &error);
    cr_assert(json, "%s", error.text);
    json_decref(answer);
    answer = NULL;
    ax_execute(exec, &asker, json);
    json_decref(json);
    return json_object_get(answer, "result");
}

static bool is_answered(void *ctx)
{
    return answer;
}

static json_t *await(void)
{
    cr_assert(ax_driver_run(&d, is_answered, NULL));
    return json_object_get(answer, "result");
}

static void expect_error(const char *code, const char *text)
{
    const json_t *error = json_object_get(answer, "error");

    cr_assert(error);
    cr_assert_str_eq(json_string_value(json_object_get(error, "code")), code);
    cr_assert(
        strstr(json_string_value(json_object_get(error, "message")), text),
        "%s", json_string_value(json_object_get(error, "message")));
}

static bool is_stopped(void *ctx)
{
    return ax_vm_state(vm) == AX_VM_STOPPED;
}

/* ---- consoles ---- */

/* transport: a table that says which, or nothing. */
static void create_ports(const char *transport)
{
    char more[512];
    int pairs[ENDS][2];

    for (unsigned i = 0; i < ENDS; i++) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
        ends[i] = pairs[i][1];
    }
    snprintf(more, sizeof(more),
             "[[console]]\nmode = \"fd:%d\"\n[[console]]\nmode = \"fd:%d\"\n"
             "[[console]]\nmode = \"fd:%d\"\nname = \"agent\"\n%s",
             pairs[0][0], pairs[1][0], pairs[2][0], transport);
    create(more);
}

Test(vm_virtio, consoles_have_names)
{
    static const char *const names[] = {"serial", "hvc0", "hvc1", "agent"};
    char name[AX_VM_CONSOLE_NAME];
    const json_t *all;

    create_ports("");
    for (unsigned i = 0; i < AX_ARRAY_LEN(names); i++) {
        ax_vm_console_name(vm, i, name);
        cr_assert_str_eq(name, names[i]);
        cr_assert_eq(ax_vm_find_console(vm, name), ax_vm_console(vm, i));
        ask("{'command': 'console', 'vm': 'vm', 'port': '%s'}", name);
        cr_assert_eq(attached, ax_vm_console(vm, i));
    }
    ask("{'command': 'console', 'vm': 'vm'}");
    cr_assert_eq(attached, ax_vm_console(vm, 0));
    cr_assert_null(ax_vm_console(vm, 4));
    attached = NULL;
    ask("{'command': 'console', 'vm': 'vm', 'port': 'hvc2'}");
    expect_error("bad-request", "the VM has serial, hvc0, hvc1, agent");
    ask("{'command': 'console', 'vm': 'vm', 'port': 1}");
    expect_error("bad-request", "the name of a console");
    cr_assert_null(attached);
    all = json_object_get(ask("{'command': 'show', 'vm': 'vm'}"), "consoles");
    cr_assert_eq(json_array_size(all), 4);
    cr_assert_str_eq(
        json_string_value(json_object_get(json_array_get(all, 3), "name")),
        "agent");
}

Test(vm_virtio, a_console_gets_the_size_of_who_looks)
{
    struct ax_console_size size;

    create_ports("");
    ask("{'command': 'console', 'vm': 'vm', 'port': 'hvc1', 'cols': 120, "
        "'rows': 40}");
    size = ax_console_size(ax_vm_console(vm, 2));
    cr_assert(size.cols == 120 && size.rows == 40);
    cr_assert_eq(attached, ax_vm_console(vm, 2));
    attached = NULL;
    cr_assert(ask("{'command': 'console', 'vm': 'vm', 'port': 'hvc1', "
                  "'attach': false, 'cols': 80, 'rows': 24}"));
    size = ax_console_size(ax_vm_console(vm, 2));
    cr_assert(size.cols == 80 && size.rows == 24);
    ask("{'command': 'console', 'vm': 'vm', 'cols': 65536, 'rows': 24}");
    expect_error("bad-request", "from 1 to 65535");
    ask("{'command': 'console', 'vm': 'vm', 'cols': 0, 'rows': 24}");
    expect_error("bad-request", "from 1 to 65535");
    ask("{'command': 'console', 'vm': 'vm', 'attach': 0}");
    expect_error("bad-request", "true or false");
    cr_assert_null(attached);
}

struct reading {
    int fd;
    uint8_t *bytes;
    size_t got, want;
};

static bool read_on(void *ctx)
{
    struct reading *r = ctx;
    ssize_t n = recv(r->fd, r->bytes + r->got, r->want - r->got, MSG_DONTWAIT);

    r->got += n > 0 ? (size_t)n : 0;
    return r->got == r->want && ax_vm_state(vm) == AX_VM_STOPPED;
}

enum { MUCH = 1 << 20, PIECE = 16384 };

/* The reader is slow, and the guest ends with most of it in its queues. */
Test(vm_virtio, what_a_guest_has_queued_is_written_when_it_ends)
{
    static uint8_t sent[MUCH], got[MUCH];
    struct reading r = {0, got, 0, MUCH};

    for (size_t i = 0; i < MUCH; i++)
        sent[i] = (uint8_t)(i * 7 + i / 256);
    create_ports("");
    cr_assert_eq(ax_vm_start(vm), 0);
    drive("virtio_console");
    for (size_t at = 0; at < MUCH; at += PIECE) {
        const struct ax_driver_buf buf = {
            .gpa = ax_driver_put(&d, sent + at, PIECE), .len = PIECE};

        cr_assert_geq(ax_driver_add(&d, 5, &buf, 1), 0); /* hvc1's */
    }
    /* No notification: that one was still on its way. */
    cr_assert_eq(ax_vm_force_stop(vm), 0);
    r.fd = ends[1];
    cr_assert(ax_driver_run(&d, read_on, &r));
    cr_assert_arr_eq(got, sent, MUCH);
}

static void outlive_restarts(const char *transport)
{
    struct ax_console *before;
    char text[8] = "";

    create_ports(transport);
    before = ax_vm_console(vm, 1);
    for (unsigned life = 0; life < 3; life++) {
        struct ax_driver_buf buf = {.len = 3};

        cr_assert_eq(ax_vm_start(vm), 0);
        cr_assert_eq(ax_vm_console(vm, 1), before);
        drive("virtio_console");
        buf.gpa = ax_driver_put(&d, "abc", 3);
        cr_assert_eq(ax_driver_ask(&d, 1, &buf, 1), 0);
        ax_driver_settle(&d);
        cr_assert_eq(read(ends[0], text, 3), 3);
        cr_assert_str_eq(text, "abc");
        cr_assert_eq(ax_vm_force_stop(vm), 0);
        cr_assert(ax_driver_run(&d, is_stopped, NULL));
        /* Nobody is there to read it until the next life. */
        cr_assert_eq(write(ends[0], "typed", 5), 5);
        ax_driver_settle(&d);
    }
}

Test(vm_virtio, consoles_outlive_a_restart)
{
    outlive_restarts("");
    cr_expect_eq(find("virtio_console")->env.slot, 0);
}

Test(vm_virtio, so_they_do_on_pci)
{
    outlive_restarts("[virtio]\ntransport = \"pci\"\n");
    cr_expect_eq(find("virtio_console")->env.slot, 1);
}

/* ---- balloon ---- */

#define BALLOON "[balloon]\nenabled = true\n"
#define ASK     "{'command': 'balloon', 'vm': 'vm'}"

static uint64_t number(const json_t *result, const char *key)
{
    cr_assert(json_is_integer(json_object_get(result, key)), "%s", key);
    return (uint64_t)json_integer_value(json_object_get(result, key));
}

Test(vm_virtio, a_vm_may_have_no_balloon)
{
    create("[balloon]\nenabled = false\n");
    ask(ASK);
    expect_error("unsupported", "add [balloon]");
    ask("{'command': 'balloon', 'vm': 'vm', 'size': 33554432}");
    expect_error("unsupported", "add [balloon]");
}

Test(vm_virtio, a_balloon_has_a_target)
{
    json_t *result;

    create(BALLOON);
    result = ask(ASK);
    cr_assert(json_is_false(json_object_get(result, "driver")));
    cr_assert(json_is_null(json_object_get(result, "statistics")));
    cr_assert_eq(number(result, "target"), number(result, "memory"));
    result = ask("{'command': 'balloon', 'vm': 'vm', 'size': 33554432}");
    cr_assert_eq(number(result, "target"), AX_MIB(32));
    cr_assert_eq(number(result, "actual"), number(result, "memory"));
    ask("{'command': 'balloon', 'vm': 'vm', 'size': 512}");
    expect_error("bad-request", "too few");
    ask("{'command': 'balloon', 'vm': 'vm', 'size': 67108865}");
    expect_error("bad-request", "cannot get more");
    ask("{'command': 'balloon', 'vm': 'vm', 'size': 'x'}");
    expect_error("bad-request", "a number of bytes");
    cr_assert_eq(ax_vm_start(vm), 0);
    drive("virtio_balloon");
    cr_assert_eq(ax_driver_get(&d, VIRTIO_MMIO_CONFIG, 4), AX_MIB(32) / 4096);
    ax_driver_set(&d, VIRTIO_MMIO_CONFIG + 4, 4, 256);
    ask("{'command': 'suspend', 'vm': 'vm'}");
    result = ask(ASK); /* which nobody could count in */
    cr_assert_eq(number(result, "actual"), AX_MIB(63));
    cr_assert(json_is_null(json_object_get(result, "statistics")));
    ask("{'command': 'stop', 'vm': 'vm', 'force': true}");
    await();
    ask(ASK);
    expect_error("refused", "not running");
}

static void bring(ax_gpa gpa, uint64_t val)
{
    const struct virtio_balloon_stat stat = {VIRTIO_BALLOON_S_AVAIL, val};
    const struct ax_driver_buf buf = {.gpa = gpa, .len = sizeof(stat)};

    memcpy(ax_driver_at(&d, gpa, sizeof(stat)), &stat, sizeof(stat));
    cr_assert_geq(ax_driver_add(&d, STATS, &buf, 1), 0);
    ax_driver_notify(&d, STATS);
}

static bool is_held(void *ctx)
{
    struct ax_balloon b;

    cr_assert_eq(ax_vm_balloon(vm, false, &b), 0);
    return b.stats[AX_BALLOON_AVAILABLE] == 1;
}

Test(vm_virtio, statistics_are_awaited)
{
    const json_t *stats;
    ax_gpa gpa;
    unsigned id;
    uint32_t len;

    create(BALLOON);
    cr_assert_eq(ax_vm_start(vm), 0);
    drive("virtio_balloon");
    gpa = ax_driver_alloc(&d, 64);
    bring(gpa, 1); /* the one that comes before anybody asks */
    cr_assert(ax_driver_run(&d, is_held, NULL));
    for (uint64_t val = 2; val < 5; val++) {
        cr_assert_null(ask(ASK));
        cr_assert(ax_driver_wait(&d, STATS, &id, &len));
        cr_assert_null(answer);
        bring(gpa, val == 4 ? UINT64_MAX - 1 : val);
        stats = json_object_get(await(), "statistics");
        cr_assert_eq(number(stats, "available"),
                     val == 4 ? (uint64_t)INT64_MAX : val);
        cr_assert_null(json_object_get(stats, "free"));
    }
}

Test(vm_virtio, a_guest_that_does_not_count_is_not_awaited_for_long)
{
    create(BALLOON);
    cr_assert_eq(ax_vm_start(vm), 0);
    drive("virtio_balloon");
    cr_assert_null(ask(ASK));
    cr_assert(json_is_null(json_object_get(await(), "statistics")));
    /* A reset tells at once. */
    cr_assert_null(ask(ASK));
    ax_driver_reset(&d);
    cr_assert(json_is_false(json_object_get(await(), "driver")));
}

Test(vm_virtio, a_vm_that_ends_ends_the_waiting)
{
    create(BALLOON);
    cr_assert_eq(ax_vm_start(vm), 0);
    drive("virtio_balloon");
    cr_assert_null(ask(ASK));
    cr_assert_eq(ax_vm_force_stop(vm), 0);
    await();
    expect_error("refused", "not running");
    cr_assert(ax_driver_run(&d, is_stopped, NULL));
    cr_assert_eq(asker.waiting, 0);
}

Test(vm_virtio, who_asks_may_go)
{
    create(BALLOON);
    cr_assert_eq(ax_vm_start(vm), 0);
    drive("virtio_balloon");
    cr_assert_null(ask(ASK));
    cr_assert_eq(asker.waiting, 1);
    ax_execute_forget(exec, &asker);
    cr_assert_eq(asker.waiting, 0);
    cr_assert_null(ask(ASK));
    cr_assert_eq(asker.waiting, 1);
}
