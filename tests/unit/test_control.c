/*
 * test_control.c - the control server: real sockets, VMs of the fake engine,
 * dumps whose end the test decides, all on one loop.
 */
#include "control/execute.h"
#include "control/place.h"
#include "control/server.h"
#include "devices/loop.h"
#include "fake/engine.h"
#include "log.h"
#include "vcpu/vcpu.h"
#include "vmm/core.h"
#include "vmm/fleet.h"
#include "vmm/json.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ENTRY = 0x1000, COM1 = 0x3f8, PM1 = 0x600, RESET = 0xcf9 };
enum { PATIENCE_S = 60, LINE = 65536 };

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
        .op = AX_FAKE_LOOP, .target = ENTRY                                    \
    }

static const struct ax_fake_step spin[] = {FOREVER};
/* Listens to the power button, tells so by its port 0x80, and does nothing. */
static const struct ax_fake_step listens[] = {OUT(PM1 + 2, 2, 0x0100),
                                              OUT(0x80, 1, 0), FOREVER};
static const struct ax_fake_step resets[] = {OUT(RESET, 1, 0x06), FOREVER};
static const struct ax_fake_step exits[] = {OUT(0xf4, 1, 7), FOREVER};
static const struct ax_fake_step crashes[] = {
    {.exit = {.kind = AX_EXIT_FAIL_ENTRY}}, FOREVER};
static const struct ax_fake_step greets[] = {
    OUT(COM1, 1, 'h'),
    OUT(COM1, 1, 'i'),
    {.op = AX_FAKE_SPIN},
    {.op = AX_FAKE_LOOP, .target = ENTRY + 2 * sizeof(spin[0])}};

/* ---- the world ---- */

static char dir[64];
static struct ax_loop *loop;
static struct ax_fleet *fleet;
static struct ax_control *control;
static struct ax_timer *guard;
static bool overdue, quitted;
static const char *gdb_address; /* what the one stub has; NULL: there is none */
static char gdb_spec[64];       /* what was asked for; "default": nothing */
static int gdb_err;             /* the next one fails so */
static unsigned adopted, descriptors;

static const char *in_dir(const char *name)
{
    static char paths[4][256];
    static unsigned at;
    char *path = paths[at++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    FILE *f = fopen(in_dir(name), "wb");

    cr_assert(f && fwrite(bytes, 1, size, f) == size && !fclose(f));
}

/* NAME.toml and NAME.img; base: more lines for [base]. */
static void write_guest(const char *name, const char *base,
                        const struct ax_fake_step *steps, size_t size)
{
    static unsigned consoles;
    char file[64], text[768];

    snprintf(file, sizeof(file), "%s.img", name);
    write_file(file, steps, size);
    snprintf(text, sizeof(text),
             "[base]\ncpu_num = 2\nmemory = \"2M\"\narch = \"x86_64\"\n%s\n"
             "[kernel]\nkernel_path = \"%s.img\"\nkernel_load_addr = 0x1000\n"
             "entry_point = 0x1000\nentry_mode = \"real\"\n"
             "[console]\nmode = \"unix:%u.console\"\n",
             base, name, consoles++);
    snprintf(file, sizeof(file), "%s.toml", name);
    write_file(file, text, strlen(text));
}

static void report(void *ctx, enum ax_severity severity, const char *text)
{
    fputs(text, stderr);
}

/* Its id, where base has none: as many VMs as there are then. */
static struct ax_vm *add(const char *name, const char *base,
                         const struct ax_fake_step *steps, size_t size)
{
    struct ax_config_source src = {.need_files = true, .report = report};
    struct ax_config *conf;
    enum ax_blame blame;
    struct ax_vm *vm;
    char file[64], lines[128];

    snprintf(lines, sizeof(lines), "%s\n", base);
    if (!strstr(base, "id ="))
        snprintf(lines, sizeof(lines), "%s\nid = %u", base,
                 ax_fleet_count(fleet) + 1);
    write_guest(name, lines, steps, size);
    snprintf(file, sizeof(file), "%s.toml", name);
    src.file = in_dir(file);
    cr_assert_eq(ax_config_load(&src, &conf), 0);
    cr_assert_eq(ax_fleet_add(fleet, conf, NULL, &vm, &blame), 0);
    return vm;
}

static void on_quit(void *ctx)
{
    quitted = true;
}

static void on_adopt(void *ctx, struct ax_config *conf)
{
    adopted++;
}

static int on_gdb(void *ctx, struct ax_vm *vm, const char *listen, bool off,
                  const char **address, char *why, size_t why_size)
{
    snprintf(gdb_spec, sizeof(gdb_spec), "%s", listen ? listen : "default");
    snprintf(why, why_size, "because of %d", gdb_err);
    if (!gdb_err)
        *address = gdb_address = off ? NULL : "there:1";
    return gdb_err;
}

static const char *on_gdb_address(void *ctx, const struct ax_vm *vm)
{
    return gdb_address;
}

static void on_guard(void *ctx, uint64_t count)
{
    overdue = true;
    ax_loop_stop(loop);
}

static unsigned open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static struct ax_control_env control_env(void)
{
    return (struct ax_control_env){
        .fleet = fleet,
        .loop = loop,
        .quit = on_quit,
        .adopt = on_adopt,
        .gdb = on_gdb,
        .gdb_address = on_gdb_address,
    };
}

static struct ax_backend_ops engine; /* the fake one, or less than that */

static void init(void)
{
    struct ax_fleet_env env = {.ops = &engine};
    struct ax_control_env cenv;

    engine = ax_fake;
    descriptors = open_descriptors();
    strcpy(dir, "/tmp/axvm-test-control-XXXXXX");
    cr_assert(mkdtemp(dir));
    cr_assert_eq(ax_loop_create(&loop), 0);
    cr_assert_eq(ax_timer_create(loop, on_guard, NULL, &guard), 0);
    ax_timer_arm(guard, PATIENCE_S * UINT64_C(1000000000), 0);
    env.loop = loop;
    cr_assert_eq(ax_fleet_create(&env, &fleet), 0);
    cenv = control_env();
    cr_assert_eq(ax_control_create(&cenv, in_dir("socket"), &control), 0);
}

static void fini(void)
{
    char command[128];

    ax_control_destroy(control);
    ax_fleet_destroy(fleet);
    ax_timer_destroy(guard);
    ax_loop_destroy(loop);
    cr_assert_eq(access(in_dir("socket"), F_OK), -1, "the socket is left");
    snprintf(command, sizeof(command), "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(ax_fake_alive(), 0, "a vCPU was left behind");
    cr_assert_eq(open_descriptors(), descriptors, "a descriptor leaked");
}

TestSuite(control, .init = init, .fini = fini, .timeout = 110);

/* ---- peers: the clients ---- */

struct peer {
    int fd;
    struct ax_watch *watch; /* NULL: it does not read */
    char *bytes;
    size_t used;
    bool closed; /* by the server */
};

static void peer_ready(void *ctx, unsigned events)
{
    struct peer *p = ctx;
    char chunk[4096];
    ssize_t n = recv(p->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0) {
        p->bytes = realloc(p->bytes, p->used + (size_t)n + 1);
        memcpy(p->bytes + p->used, chunk, (size_t)n);
        p->used += (size_t)n;
        p->bytes[p->used] = '\0';
    } else {
        p->closed = true;
        ax_watch_destroy(p->watch);
        p->watch = NULL;
    }
    ax_loop_stop(loop);
}

static void peer_read(struct peer *p)
{
    cr_assert_eq(
        ax_watch_create(loop, p->fd, AX_LOOP_READ, peer_ready, p, &p->watch),
        0);
}

static void turn(void)
{
    ax_loop_run(loop);
    cr_assert_not(overdue, "nothing comes any more");
}

/* The next line, without its end; the caller's. */
static char *peer_line(struct peer *p)
{
    char *line, *end;

    while (!p->used || !(end = memchr(p->bytes, '\n', p->used))) {
        cr_assert_not(p->closed, "the server closed the connection");
        turn();
    }
    line = strndup(p->bytes, (size_t)(end - p->bytes));
    p->used -= (size_t)(end + 1 - p->bytes);
    memmove(p->bytes, end + 1, p->used + 1);
    return line;
}

static json_t *peer_message(struct peer *p)
{
    char *line = peer_line(p);
    json_t *message = json_loads(line, 0, NULL);

    cr_assert(json_is_object(message), "no message: %s", line);
    free(line);
    return message;
}

static struct peer peer_connect_to(const char *path)
{
    struct peer p = {.fd = ax_control_connect(path)};

    cr_assert_geq(p.fd, 0);
    return p;
}

static struct peer peer_connect(void)
{
    return peer_connect_to(in_dir("socket"));
}

static void peer_greeted(struct peer *p)
{
    json_t *greeting;

    peer_read(p);
    greeting = peer_message(p);
    cr_assert_eq(json_integer_value(json_object_get(greeting, "axvm")), 1);
    json_decref(greeting);
}

/* Must lie where it stays: the loop knows it. */
static void peer_open(struct peer *p)
{
    *p = peer_connect();
    peer_greeted(p);
}

static void peer_close(struct peer *p)
{
    ax_watch_destroy(p->watch);
    close(p->fd);
    free(p->bytes);
}

static void peer_send_bytes(struct peer *p, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size) {
        ssize_t n = send(p->fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN) {
            /* Other peers, or a timer, let the server have its turn. */
            turn();
            continue;
        }
        if (n < 0)
            return; /* closed, which is for the caller to notice */
        at += n;
        size -= (size_t)n;
    }
}

__attribute__((format(printf, 2, 0))) static void
peer_send_args(struct peer *p, const char *fmt, va_list args)
{
    char *text;
    int len = vasprintf(&text, fmt, args);

    cr_assert_gt(len, 0);
    text[len] = '\n'; /* its end is no longer needed */
    peer_send_bytes(p, text, (size_t)len + 1);
    free(text);
}

__attribute__((format(printf, 2, 3))) static void
peer_send(struct peer *p, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    peer_send_args(p, fmt, args);
    va_end(args);
}

/* The error's code, or "" and *result (the caller's). */
static void peer_answer(struct peer *p, char code[32], json_t **result,
                        char text[4096])
{
    json_t *message = peer_message(p);
    json_t *error = json_object_get(message, "error");

    code[0] = text[0] = '\0';
    *result = json_incref(json_object_get(message, "result"));
    cr_assert((error != NULL) != (*result != NULL), "neither or both");
    if (error) {
        snprintf(code, 32, "%s",
                 json_string_value(json_object_get(error, "code")));
        snprintf(text, 4096, "%s",
                 json_string_value(json_object_get(error, "message")));
        cr_assert(*text);
    }
    json_decref(message);
}

/* The result of what was asked before. */
static json_t *result(struct peer *p)
{
    char code[32], text[4096];
    json_t *res;

    peer_answer(p, code, &res, text);
    cr_assert(res, "%s: %s", code, text);
    return res;
}

static void expect_error(struct peer *p, const char *code, const char *part)
{
    char got[32], text[4096];
    json_t *res;

    peer_answer(p, got, &res, text);
    json_decref(res);
    cr_assert_str_eq(got, code, "it is '%s': %s", got, text);
    cr_assert(strstr(text, part), "'%s' is not in: %s", part, text);
}

static void expect_state(struct peer *p, const char *state)
{
    json_t *res = result(p);

    cr_assert_str_eq(json_string_value(json_object_get(res, "state")), state);
    json_decref(res);
}

static void expect_empty(struct peer *p)
{
    json_t *res = result(p);

    cr_assert_eq(json_object_size(res), 0);
    json_decref(res);
}

__attribute__((format(printf, 2, 3))) static json_t *ask(struct peer *p,
                                                         const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    peer_send_args(p, fmt, args);
    va_end(args);
    return result(p);
}

/* The command with a VM, and its error. */
static void refuses(struct peer *p, const char *command, const char *vm,
                    const char *code, const char *part)
{
    peer_send(p, "{\"command\": \"%s\", \"vm\": \"%s\"}", command, vm);
    expect_error(p, code, part);
}

/* The command with a VM, and the state it leads to. */
static void leads(struct peer *p, const char *command, const char *vm,
                  const char *state)
{
    peer_send(p, "{\"command\": \"%s\", \"vm\": \"%s\"}", command, vm);
    expect_state(p, state);
}

static void await_close(struct peer *p)
{
    while (!p->closed)
        turn();
}

/* The summary of the VM at that place; borrowed from *list. */
static const json_t *listed(struct peer *p, size_t index, json_t **list)
{
    *list = ask(p, "{\"command\": \"list\"}");
    return json_array_get(json_object_get(*list, "vms"), index);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "(none)";
}

static json_int_t int_of(const json_t *object, const char *key)
{
    const json_t *val = json_object_get(object, key);

    return json_is_integer(val) ? json_integer_value(val) : -1;
}

static void expect_listed(struct peer *p, const char *state)
{
    json_t *list;
    const json_t *vm = listed(p, 0, &list);

    cr_assert_str_eq(text_of(vm, "state"), state);
    json_decref(list);
}

static void expect_event(struct peer *p, const char *event, const char *key,
                         const char *val)
{
    json_t *message = peer_message(p);

    cr_assert_str_eq(text_of(message, "event"), event, "%s %s/%s for %s", event,
                     text_of(message, "event"), text_of(message, "state"), val);
    cr_assert_str_eq(text_of(message, key), val);
    cr_assert_eq(int_of(message, "id"), 1);
    cr_assert_str_eq(text_of(message, "name"), "one");
    cr_assert_gt(json_number_value(json_object_get(message, "time")), 1e9);
    json_decref(message);
}

/* Until vCPU 0 has come out so often. */
static void await_exits(struct ax_vm *vm, uint64_t count)
{
    while (ax_vcpu_exits(ax_vm_vcpu(vm, 0), AX_EXIT_IO_WRITE) < count)
        sched_yield();
}

/* ---- dumps, whose end the test decides; instead of the product's ---- */

struct ax_dump {
    struct ax_vm *vm;
    int fd;
    void (*done)(void *ctx, int err, uint64_t bytes);
    void *ctx;
};

static struct ax_dump *dumping;
static unsigned dumps_alive;

static void dump_end(int err)
{
    struct ax_dump *dump = dumping;

    dumping = NULL;
    ax_vm_unpin(dump->vm);
    dump->done(dump->ctx, err, err ? 0 : 5);
}

static void dump_cancel(void *ctx)
{
    dump_end(-ECANCELED);
}

int ax_dump_start(struct ax_vm *vm, int fd,
                  void (*done)(void *ctx, int err, uint64_t bytes), void *ctx,
                  struct ax_dump **out)
{
    struct ax_dump *dump = calloc(1, sizeof(*dump));
    int err = ax_vm_pin(vm, dump_cancel, dump);

    if (err) {
        free(dump);
        return err;
    }
    cr_assert_eq(write(fd, "core\n", 5), 5);
    *dump = (struct ax_dump){.vm = vm, .fd = fd, .done = done, .ctx = ctx};
    *out = dumping = dump;
    dumps_alive++;
    return 0;
}

void ax_dump_destroy(struct ax_dump *dump)
{
    if (!dump)
        return;
    if (dump == dumping) {
        dumping = NULL;
        ax_vm_unpin(dump->vm);
    }
    dumps_alive--;
    free(dump);
}

/* ---- the connection ---- */

Test(control, greets)
{
    struct peer p = peer_connect();
    json_t *greeting;

    peer_read(&p);
    greeting = peer_message(&p);
    cr_assert_eq(int_of(greeting, "axvm"), 1);
    cr_assert_eq(int_of(greeting, "pid"), getpid());
    cr_assert_str_eq(text_of(greeting, "version"), AX_VERSION);
    json_decref(greeting);
    peer_close(&p);
}

Test(control, brings_the_id_back)
{
    static const char *const ids[] = {"7",   "-3",      "\"seven\"",  "\"\"",
                                      "1.5", "1234567", "\"\\u00e4\""};
    struct peer p;

    peer_open(&p);
    for (size_t i = 0; i < AX_ARRAY_LEN(ids); i++) {
        json_t *id = json_loads(ids[i], JSON_DECODE_ANY, NULL), *message;

        peer_send(&p, "{\"id\": %s, \"command\": \"list\"}", ids[i]);
        message = peer_message(&p);
        cr_assert(json_equal(json_object_get(message, "id"), id));
        json_decref(message);
        peer_send(&p, "{\"id\": %s, \"command\": \"lust\"}", ids[i]);
        message = peer_message(&p);
        cr_assert(json_equal(json_object_get(message, "id"), id));
        cr_assert(json_object_get(message, "error"));
        json_decref(message);
        json_decref(id);
    }
    peer_close(&p);
}

Test(control, says_what_is_wrong_and_goes_on)
{
    static const struct {
        const char *line, *code, *part;
    } cases[] = {
        {"", "bad-request", ""},
        {"list", "bad-request", ""},
        {"7", "bad-request", ""},
        {"{", "bad-request", ""},
        {"{}{}", "bad-request", ""},
        {"[]", "bad-request", "object"},
        {"{}", "bad-request", "'command'"},
        {"{\"command\": 7}", "bad-request", "'command'"},
        {"{\"command\": null}", "bad-request", "'command'"},
        {"{\"command\": \"list\", \"id\": []}", "bad-request", "'id'"},
        {"{\"command\": \"list\", \"id\": null}", "bad-request", "'id'"},
        {"{\"command\": \"list\", \"command\": \"list\"}", "bad-request", ""},
        {"{\"command\": \"list\", \"vm\": 1}", "bad-request", "'vm'"},
        {"{\"command\": \"li\\u0000st\"}", "bad-request", ""},
        {"{\"command\": \"\xff\"}", "bad-request", ""},
        {"\xff\xfe\x01", "bad-request", ""},
        {"{\"command\": \"list\", \"id\": 1e999}", "bad-request", ""},
        {"{\"command\": \"list\", \"id\": 99999999999999999999}", "bad-request",
         ""},
        {"{\"command\": \"List\"}", "unknown-command", "'List'"},
        {"{\"command\": \"\"}", "unknown-command", "''"},
        {"{\"command\": \"start\"}", "bad-request", "'vm'"},
        {"{\"command\": \"start\", \"vm\": 1, \"force\": true}", "bad-request",
         "'force'"},
        {"{\"command\": \"start\", \"vm\": true}", "bad-request", "'vm'"},
        {"{\"command\": \"start\", \"vm\": -1}", "bad-request", "'vm'"},
        {"{\"command\": \"start\", \"vm\": 1.5}", "bad-request", "'vm'"},
        {"{\"command\": \"start\", \"vm\": 99}", "unknown-vm", "99"},
        {"{\"command\": \"start\", \"vm\": \"99\"}", "unknown-vm", "99"},
        {"{\"command\": \"start\", \"vm\": \"\"}", "unknown-vm", ""},
        {"{\"command\": \"start\", \"vm\": \"%n%s\"}", "unknown-vm", "%n%s"},
        {"{\"command\": \"stop\", \"vm\": 1, \"force\": 1}", "bad-request",
         "'force'"},
        {"{\"command\": \"stop\", \"vm\": 1, \"timeout\": \"1\"}",
         "bad-request", "'timeout'"},
        {"{\"command\": \"stop\", \"vm\": 1, \"timeout\": -0.1}", "bad-request",
         "'timeout'"},
        {"{\"command\": \"stop\", \"vm\": 1, \"timeout\": 1e10}", "bad-request",
         "'timeout'"},
        {"{\"command\": \"wait\", \"vm\": 1, \"state\": \"gone\"}",
         "bad-request", "'state'"},
        {"{\"command\": \"wait\", \"vm\": 1, \"state\": 1}", "bad-request",
         "'state'"},
        {"{\"command\": \"create\"}", "bad-request", "'file'"},
        {"{\"command\": \"create\", \"file\": \"x\"}", "bad-request",
         "absolute"},
        {"{\"command\": \"create\", \"file\": 1}", "bad-request", "absolute"},
        {"{\"command\": \"dump\", \"vm\": 1}", "bad-request", "'file'"},
    };
    struct peer p;
    json_t *list;

    peer_open(&p);
    for (size_t i = 0; i < AX_ARRAY_LEN(cases); i++) {
        peer_send_bytes(&p, cases[i].line, strlen(cases[i].line));
        peer_send_bytes(&p, "\n", 1);
        expect_error(&p, cases[i].code, cases[i].part);
    }
    list = ask(&p, "{\"command\": \"list\"}\r");
    cr_assert_eq(json_array_size(json_object_get(list, "vms")), 0);
    json_decref(list);
    peer_close(&p);
}

Test(control, survives_depth_and_nul)
{
    char deep[LINE - 1];
    struct peer p;

    peer_open(&p);
    memset(deep, '[', sizeof(deep));
    peer_send_bytes(&p, deep, sizeof(deep));
    peer_send_bytes(&p, "\n", 1);
    expect_error(&p, "bad-request", "");
    memset(deep, 0, sizeof(deep));
    peer_send_bytes(&p, deep, sizeof(deep));
    peer_send_bytes(&p, "\n", 1);
    expect_error(&p, "bad-request", "");
    peer_send_bytes(&p, "{\"command\": \"list\"}\0\n", 21);
    expect_error(&p, "bad-request", "");
    peer_close(&p);
}

Test(control, a_line_has_a_limit)
{
    char line[LINE + 1];
    struct peer p;

    peer_open(&p);
    memset(line, ' ', sizeof(line));
    memcpy(line, "{\"command\": \"list\"}", 19);
    line[LINE - 1] = '\n';
    peer_send_bytes(&p, line, LINE);
    json_decref(result(&p));
    line[LINE - 1] = ' ';
    peer_send_bytes(&p, line, LINE);
    expect_error(&p, "too-large", "65536");
    await_close(&p);
    cr_assert_eq(p.used, 0);
    peer_close(&p);
}

Test(control, requests_may_come_in_any_pieces)
{
    static const char text[] = "{\"command\": \"list\"}\n";
    char *many;
    size_t size;
    FILE *f = open_memstream(&many, &size);
    struct peer p;

    peer_open(&p);
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        peer_send_bytes(&p, text + i, 1);
    json_decref(result(&p));
    for (int i = 0; i < 3000; i++)
        fprintf(f, "{\"id\": %d, \"command\": \"list\"}\n", i);
    fclose(f);
    peer_send_bytes(&p, many, size);
    free(many);
    for (int i = 0; i < 3000; i++) {
        json_t *message = peer_message(&p);

        cr_assert_eq(int_of(message, "id"), i);
        cr_assert(json_object_get(message, "result"));
        json_decref(message);
    }
    peer_close(&p);
}

Test(control, who_does_not_read_is_disconnected)
{
    struct peer lazy = peer_connect(), other;
    char chunk[8192];
    bool closed = false;

    add("one", "", spin, sizeof(spin));
    peer_open(&other);
    for (int i = 0; i < 100000 && !closed; i++) {
        static const char text[] = "{\"command\": \"list\"}\n";

        while (send(lazy.fd, text, sizeof(text) - 1,
                    MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            closed = errno == EPIPE || errno == ECONNRESET;
            if (closed)
                break;
            cr_assert_eq(errno, EAGAIN);
            expect_listed(&other, "loaded");
        }
    }
    expect_listed(&other, "loaded");
    cr_assert(closed);
    /* What the kernel has taken can still be read; then it ends. */
    while (recv(lazy.fd, chunk, sizeof(chunk), MSG_DONTWAIT) > 0)
        ;
    cr_assert_neq(errno, EAGAIN);
    peer_close(&lazy);
    peer_close(&other);
}

Test(control, serves_64_clients)
{
    struct peer peers[64], more;
    json_t *message;

    for (int i = 0; i < 64; i++)
        peer_open(&peers[i]);
    more = peer_connect();
    peer_read(&more);
    message = peer_message(&more);
    cr_assert_str_eq(text_of(json_object_get(message, "error"), "code"),
                     "busy");
    json_decref(message);
    await_close(&more);
    peer_close(&more);
    peer_close(&peers[5]);
    json_decref(ask(&peers[63], "{\"command\": \"list\"}"));
    peer_open(&peers[5]);
    for (int i = 0; i < 64; i++) {
        json_decref(ask(&peers[i], "{\"command\": \"list\"}"));
        peer_close(&peers[i]);
    }
}

Test(control, waits_for_descriptors)
{
    struct rlimit old, none;
    struct peer p, late;
    char code[32], text[4096];
    json_t *res;

    peer_open(&p);
    late = peer_connect();
    peer_read(&late);
    getrlimit(RLIMIT_NOFILE, &old);
    none = old;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    /* The server could not take the second one, and serves the first. */
    for (int i = 0; i < 100; i++)
        json_decref(ask(&p, "{\"command\": \"list\"}"));
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    cr_assert_eq(late.used, 0);
    json_decref(peer_message(&late));
    peer_send(&late, "{\"command\": \"list\"}");
    peer_answer(&late, code, &res, text);
    json_decref(res);
    peer_close(&late);
    peer_close(&p);
}

/* ---- the socket ---- */

static int create_at(const char *path, struct ax_control **out)
{
    struct ax_control_env env = control_env();

    return ax_control_create(&env, path, out);
}

Test(control, the_socket_is_its_owners)
{
    struct stat st;
    mode_t old = umask(0);
    struct ax_control *second;

    cr_assert_eq(stat(in_dir("socket"), &st), 0);
    cr_assert(S_ISSOCK(st.st_mode));
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(create_at(in_dir("open"), &second), 0);
    cr_assert_eq(stat(in_dir("open"), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_str_eq(ax_control_path(second), in_dir("open"));
    ax_control_destroy(second);
    cr_assert_eq(access(in_dir("open"), F_OK), -1);
    umask(old);
}

Test(control, has_a_default_place)
{
    struct ax_control *second;
    char expected[256];
    struct stat st;
    struct peer p;

    cr_assert_eq(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
    cr_assert_eq(create_at(NULL, &second), 0);
    snprintf(expected, sizeof(expected), "%s/axvm/%d.sock", dir, getpid());
    cr_assert_str_eq(ax_control_path(second), expected);
    cr_assert_eq(stat(in_dir("axvm"), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0700);
    p = peer_connect_to(expected);
    peer_greeted(&p);
    peer_close(&p);
    ax_control_destroy(second);
    cr_assert_eq(rmdir(in_dir("axvm")), 0, "something is left there");
    cr_assert_eq(mkdir(in_dir("axvm"), 0700), 0);
    cr_assert_eq(chmod(in_dir("axvm"), 0777), 0);
    cr_assert_eq(create_at(NULL, &second), -EPERM);
}

Test(control, a_living_socket_stays)
{
    struct ax_control *second;
    struct peer p;

    cr_assert_eq(create_at(in_dir("socket"), &second), -EADDRINUSE);
    cr_assert_null(second);
    peer_open(&p);
    peer_close(&p);
}

Test(control, a_stale_socket_is_replaced)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct ax_control *second;
    struct peer p;

    strcpy(addr.sun_path, in_dir("stale"));
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
    cr_assert_eq(create_at(in_dir("stale"), &second), 0);
    p = peer_connect_to(in_dir("stale"));
    peer_greeted(&p);
    peer_close(&p);
    ax_control_destroy(second);
}

Test(control, another_file_stays)
{
    struct ax_control *second;
    struct stat st;

    write_file("file", "x", 1);
    cr_assert_eq(create_at(in_dir("file"), &second), -EEXIST);
    cr_assert_eq(stat(in_dir("file"), &st), 0);
    cr_assert_eq(st.st_size, 1);
    cr_assert_eq(create_at(in_dir("no/where"), &second), -ENOENT);
}

Test(control, removes_its_own_socket_only)
{
    struct ax_control *second;
    struct stat st;

    cr_assert_eq(create_at(in_dir("moved"), &second), 0);
    cr_assert_eq(unlink(in_dir("moved")), 0);
    write_file("moved", "x", 1);
    ax_control_destroy(second);
    cr_assert_eq(stat(in_dir("moved"), &st), 0);
}

Test(control, a_path_has_a_limit)
{
    struct ax_control_env env = control_env();
    struct ax_control *second;
    struct ax_log *log;
    char path[160], text[1024] = "";
    FILE *f;

    cr_assert_eq(ax_log_create(in_dir("log"), AX_LOG_ERROR, &log), 0);
    env.log = log;
    snprintf(path, sizeof(path), "%s/", dir);
    memset(path + strlen(path), 'x', 107 - strlen(path));
    path[107] = '\0';
    cr_assert_eq(ax_control_create(&env, path, &second), 0);
    ax_control_destroy(second);
    strcpy(path + 107, "x");
    cr_assert_eq(ax_control_create(&env, path, &second), -ENAMETOOLONG);
    ax_log_destroy(log);
    f = fopen(in_dir("log"), "r");
    cr_assert_gt(fread(text, 1, sizeof(text) - 1, f), 0);
    fclose(f);
    cr_assert(strstr(text, " 107 bytes"), "%s", text);
}

Test(control, two_servers_share_a_fleet)
{
    struct ax_control *second;
    struct peer a, b;

    add("one", "", spin, sizeof(spin));
    cr_assert_eq(create_at(in_dir("second"), &second), 0);
    peer_open(&a);
    b = peer_connect_to(in_dir("second"));
    peer_greeted(&b);
    json_decref(ask(&b, "{\"command\": \"events\"}"));
    leads(&a, "start", "one", "running");
    expect_event(&b, "state", "state", "running");
    peer_send(&b, "{\"command\": \"suspend\", \"vm\": 1}");
    expect_event(&b, "state", "state", "suspended");
    expect_state(&b, "suspended");
    expect_listed(&a, "suspended");
    peer_close(&a);
    peer_close(&b);
    ax_control_destroy(second);
}

/* ---- looking ---- */

Test(control, lists_nothing)
{
    struct peer p;
    json_t *list;

    peer_open(&p);
    list = ask(&p, "{\"command\": \"list\"}");
    cr_assert(json_is_array(json_object_get(list, "vms")));
    cr_assert_eq(json_array_size(json_object_get(list, "vms")), 0);
    json_decref(list);
    peer_close(&p);
}

Test(control, lists_as_axvisor_does)
{
    struct peer p;
    const json_t *vm;
    json_t *list;

    add("second", "id = 9\nname = \"zwei\"", spin, sizeof(spin));
    add("first", "id = 3", spin, sizeof(spin));
    peer_open(&p);
    vm = listed(&p, 0, &list);
    cr_assert_eq(json_array_size(json_object_get(list, "vms")), 2);
    cr_assert_eq(int_of(vm, "id"), 3);
    cr_assert_str_eq(text_of(vm, "name"), "first");
    cr_assert_str_eq(text_of(vm, "state"), "loaded");
    cr_assert_str_eq(text_of(vm, "vcpu"), "0,1");
    cr_assert_eq(int_of(vm, "vcpus"), 2);
    cr_assert_str_eq(text_of(vm, "memory"), "2MB");
    cr_assert_eq(int_of(vm, "memory_bytes"), 2 << 20);
    cr_assert_str_eq(text_of(vm, "vcpu_state"), "Cre:2");
    cr_assert(json_is_false(json_object_get(vm, "kept")));
    vm = json_array_get(json_object_get(list, "vms"), 1);
    cr_assert_eq(int_of(vm, "id"), 9);
    cr_assert_str_eq(text_of(vm, "name"), "zwei");
    json_decref(list);
    peer_close(&p);
}

Test(control, lists_every_state)
{
    struct ax_vm *vm = add("one", "", listens, sizeof(listens));
    struct peer p, waits;

    peer_open(&p);
    peer_open(&waits);
    expect_listed(&p, "loaded");
    leads(&p, "start", "one", "running");
    expect_listed(&p, "running");
    await_exits(vm, 2);
    leads(&p, "suspend", "one", "suspended");
    expect_listed(&p, "suspended");
    leads(&p, "resume", "one", "running");
    peer_send(&waits, "{\"command\": \"stop\", \"vm\": 1, \"timeout\": 1000}");
    while (ax_vm_state(vm) != AX_VM_STOPPING)
        expect_listed(&p, ax_vm_state_name(ax_vm_state(vm)));
    expect_listed(&p, "stopping");
    peer_send(&p, "{\"command\": \"stop\", \"vm\": 1, \"force\": true}");
    expect_state(&p, "stopped");
    expect_state(&waits, "stopped");
    expect_listed(&p, "stopped");
    peer_close(&waits);
    peer_close(&p);
}

Test(control, shows_everything)
{
    struct ax_vm *vm = add("one", "", exits, sizeof(exits));
    const json_t *list;
    struct peer p;
    json_t *show;

    peer_open(&p);
    show = ask(&p, "{\"command\": \"show\", \"vm\": \"one\"}");
    cr_assert_eq(int_of(show, "starts"), 0);
    cr_assert_str_eq(text_of(json_object_get(show, "end"), "cause"), "none");
    json_decref(show);
    leads(&p, "start", "1", "running");
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1}");
    expect_state(&p, "stopped");
    show = ask(&p, "{\"command\": \"show\", \"vm\": \"one\"}");
    cr_assert_eq(int_of(show, "id"), 1);
    cr_assert_str_eq(text_of(show, "state"), "stopped");
    cr_assert_eq(int_of(show, "memory_bytes"), 2 << 20);
    cr_assert_eq(int_of(show, "starts"), 1);
    cr_assert_str_eq(text_of(show, "what"), ax_vm_what(vm));
    cr_assert_str_eq(text_of(json_object_get(show, "end"), "cause"), "exit");
    cr_assert_eq(int_of(json_object_get(show, "end"), "code"), 7);
    cr_assert(strstr(text_of(show, "console"), "unix:/tmp/"));
    cr_assert(strstr(text_of(show, "config"), "[base]"));
    list = json_object_get(show, "vcpus");
    cr_assert_eq(json_array_size(list), 2);
    cr_assert_eq(int_of(json_array_get(list, 1), "id"), 1);
    cr_assert_geq(int_of(json_array_get(list, 0), "exits"), 1);
    cr_assert_str_eq(text_of(json_array_get(list, 0), "state"), "Free");
    list = json_object_get(show, "memory_regions");
    cr_assert_eq(int_of(json_array_get(list, 0), "gpa"), 0);
    cr_assert_eq(int_of(json_array_get(list, 0), "size"), 2 << 20);
    cr_assert_str_eq(text_of(json_array_get(list, 0), "kind"), "ram");
    list = json_object_get(show, "devices");
    cr_assert_eq(json_array_size(list), ax_vm_device_count(vm));
    cr_assert_neq(int_of(json_array_get(list, 0), "base"), -1);
    cr_assert_gt(int_of(json_array_get(list, 0), "size"), 0);
    json_decref(show);
    peer_close(&p);
}

Test(control, has_statistics)
{
    struct peer p;
    json_t *stats;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    stats = ask(&p, "{\"command\": \"stats\", \"vm\": 1}");
    cr_assert_str_eq(text_of(stats, "vm"), "one");
    cr_assert_str_eq(text_of(stats, "state"), "loaded");
    cr_assert(json_is_object(json_object_get(stats, "exits")));
    cr_assert(json_is_object(json_object_get(stats, "timeline_ms")));
    json_decref(stats);
    peer_close(&p);
}

/* No vCPU comes out of the guest for a look. */
Test(control, looking_disturbs_nobody)
{
    struct ax_vm *vm = add("one", "", listens, sizeof(listens));
    struct peer p;

    peer_open(&p);
    leads(&p, "start", "one", "running");
    await_exits(vm, 2);
    for (int i = 0; i < 20; i++) {
        json_decref(ask(&p, "{\"command\": \"list\"}"));
        json_decref(ask(&p, "{\"command\": \"show\", \"vm\": 1}"));
        json_decref(ask(&p, "{\"command\": \"stats\", \"vm\": 1}"));
    }
    cr_assert_eq(ax_vcpu_exits(ax_vm_vcpu(vm, 0), AX_EXIT_NOTHING), 0);
    peer_close(&p);
}

Test(control, a_vm_has_a_name_and_an_id)
{
    struct peer p;
    json_t *show;

    add("two", "id = 2", spin, sizeof(spin));
    add("odd", "id = 5\nname = \"2\"", spin, sizeof(spin));
    peer_open(&p);
    show = ask(&p, "{\"command\": \"show\", \"vm\": 2}");
    cr_assert_str_eq(text_of(show, "name"), "two");
    json_decref(show);
    show = ask(&p, "{\"command\": \"show\", \"vm\": \"2\"}");
    cr_assert_eq(int_of(show, "id"), 5);
    json_decref(show);
    show = ask(&p, "{\"command\": \"show\", \"vm\": \"5\"}");
    cr_assert_eq(int_of(show, "id"), 5);
    json_decref(show);
    show = ask(&p, "{\"command\": \"show\", \"vm\": \"two\"}");
    cr_assert_eq(int_of(show, "id"), 2);
    json_decref(show);
    refuses(&p, "show", "02", "unknown-vm", "'02'");
    peer_close(&p);
}

/* ---- states ---- */

Test(control, refuses_in_axvisors_words)
{
    struct peer p;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    refuses(&p, "suspend", "one", "refused", "cannot suspend");
    refuses(&p, "nmi", "one", "refused", "not running");
    refuses(&p, "delete", "nobody", "unknown-vm", "nobody");
    leads(&p, "start", "one", "running");
    refuses(&p, "start", "one", "refused", "VM is already running");
    refuses(&p, "delete", "one", "refused", "use --force");
    engine.vcpu_nmi = NULL;
    refuses(&p, "nmi", "one", "unsupported", "engine");
    leads(&p, "suspend", "one", "suspended");
    refuses(&p, "suspend", "one", "refused", "VM is already suspended");
    leads(&p, "resume", "one", "running");
    leads(&p, "stop", "one", "stopped");
    refuses(&p, "stop", "one", "refused", "VM is already stopped");
    refuses(&p, "resume", "one", "refused", "use 'vm start' instead");
    leads(&p, "delete", "one", "deleted");
    refuses(&p, "start", "one", "unknown-vm", "one");
    peer_close(&p);
}

Test(control, disks_change_their_size)
{
    struct peer p;
    json_t *result;

    write_file("disk.img", spin, sizeof(spin));
    cr_assert_eq(truncate(in_dir("disk.img"), 8192), 0);
    add("one", "id = 1\n[[disk]]\npath = \"disk.img\"\nserial = \"7\"\n", spin,
        sizeof(spin));
    peer_open(&p);
    result = ask(&p, "{\"command\": \"disk\", \"vm\": \"one\", "
                     "\"disk\": \"0\", \"size\": 16384}");
    cr_assert_eq(int_of(result, "size"), 16384);
    json_decref(result);
    cr_assert_eq(truncate(in_dir("disk.img"), 32768), 0);
    result = ask(&p, "{\"command\": \"disk\", \"vm\": \"one\", "
                     "\"disk\": \"7\"}");
    cr_assert_eq(int_of(result, "size"), 32768);
    json_decref(result);
    peer_send(&p, "{\"command\": \"disk\", \"vm\": \"one\", "
                  "\"disk\": \"7\", \"size\": 8192}");
    expect_error(&p, "refused", "use --force");
    peer_send(&p, "{\"command\": \"disk\", \"vm\": \"one\", "
                  "\"disk\": \"7\", \"size\": 8193, \"force\": true}");
    expect_error(&p, "bad-request", "whole blocks");
    peer_send(&p, "{\"command\": \"disk\", \"vm\": \"one\", "
                  "\"disk\": \"1\"}");
    expect_error(&p, "bad-request", "no disk '1': the VM has 1");
    peer_send(&p, "{\"command\": \"disk\", \"vm\": \"one\", "
                  "\"disk\": 1}");
    expect_error(&p, "bad-request", "a string");
    peer_send(&p, "{\"command\": \"disk\", \"vm\": \"one\", "
                  "\"disk\": \"7\", \"size\": 0}");
    expect_error(&p, "bad-request", "a number of bytes");
    refuses(&p, "disk", "one", "bad-request", "'disk'");
    leads(&p, "start", "one", "running");
    leads(&p, "stop", "one", "stopped");
    peer_send(&p, "{\"command\": \"disk\", \"vm\": \"one\", "
                  "\"disk\": \"7\"}");
    expect_error(&p, "refused", "not running");
    peer_close(&p);
}

Test(control, cards_are_plugged_in_and_out)
{
    struct peer p;
    json_t *result, *card;

    add("one",
        "id = 1\n[[net]]\nmode = \"none\"\n[[net]]\nmode = \"none\"\n"
        "mac = \"52:54:00:00:00:09\"\n",
        spin, sizeof(spin));
    peer_open(&p);
    result = ask(&p, "{\"command\": \"net\", \"vm\": \"one\"}");
    cr_assert_eq(json_array_size(json_object_get(result, "cards")), 2);
    json_decref(result);
    result = ask(&p, "{\"command\": \"net\", \"vm\": \"one\", "
                     "\"card\": 1, \"up\": false}");
    card = json_array_get(json_object_get(result, "cards"), 0);
    cr_assert_eq(int_of(card, "card"), 1);
    cr_assert_str_eq(json_string_value(json_object_get(card, "mode")), "none");
    cr_assert_str_eq(json_string_value(json_object_get(card, "mac")),
                     "52:54:00:00:00:09");
    cr_assert(json_is_false(json_object_get(card, "plugged")));
    json_decref(result);
    result = ask(&p, "{\"command\": \"net\", \"vm\": \"one\", "
                     "\"up\": true}");
    card = json_array_get(json_object_get(result, "cards"), 1);
    cr_assert(json_is_true(json_object_get(card, "plugged")));
    cr_assert(json_is_false(json_object_get(card, "link")));
    json_decref(result);
    peer_send(&p, "{\"command\": \"net\", \"vm\": \"one\", \"card\": 2}");
    expect_error(&p, "bad-request", "no network card 2");
    peer_send(&p, "{\"command\": \"net\", \"vm\": \"one\", \"card\": -1}");
    expect_error(&p, "bad-request", "from 0 on");
    peer_send(&p, "{\"command\": \"net\", \"vm\": \"one\", \"up\": 1}");
    expect_error(&p, "bad-request", "true or false");
    leads(&p, "start", "one", "running");
    leads(&p, "stop", "one", "stopped");
    peer_send(&p, "{\"command\": \"net\", \"vm\": \"one\", \"up\": true}");
    expect_error(&p, "refused", "not running");
    peer_close(&p);
}

Test(control, stop_asks_and_waits)
{
    struct ax_vm *vm = add("one", "", listens, sizeof(listens));
    struct peer p;

    peer_open(&p);
    leads(&p, "start", "one", "running");
    await_exits(vm, 2);
    peer_send(&p, "{\"command\": \"stop\", \"vm\": 1, \"timeout\": 0.05}");
    expect_state(&p, "stopped");
    leads(&p, "start", "one", "running");
    await_exits(vm, 2);
    peer_send(&p, "{\"command\": \"stop\", \"vm\": 1, \"timeout\": 0}");
    expect_state(&p, "stopped");
    peer_close(&p);
}

Test(control, restart_and_reset_lead_to_the_next_life)
{
    struct ax_vm *vm = add("one", "", spin, sizeof(spin));
    struct peer p;

    peer_open(&p);
    leads(&p, "restart", "one", "running");
    cr_assert_eq(ax_vm_starts(vm), 1);
    leads(&p, "restart", "one", "running");
    cr_assert_eq(ax_vm_starts(vm), 2);
    leads(&p, "reset", "one", "running");
    cr_assert_eq(ax_vm_starts(vm), 3);
    peer_send(&p, "{\"command\": \"restart\", \"vm\": 1, \"force\": true}");
    expect_state(&p, "running");
    cr_assert_eq(ax_vm_starts(vm), 4);
    leads(&p, "stop", "one", "stopped");
    leads(&p, "reset", "one", "running");
    cr_assert_eq(ax_vm_starts(vm), 5);
    peer_close(&p);
}

Test(control, a_restart_that_fails_says_so)
{
    struct peer p;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    leads(&p, "start", "one", "running");
    cr_assert_eq(unlink(in_dir("one.img")), 0);
    refuses(&p, "restart", "one", "failed", "did not start again");
    refuses(&p, "start", "one", "failed", strerror(ENOENT));
    /* What is left of it can be looked at. */
    json_decref(ask(&p, "{\"command\": \"list\"}"));
    json_decref(ask(&p, "{\"command\": \"show\", \"vm\": 1}"));
    json_decref(ask(&p, "{\"command\": \"stats\", \"vm\": 1}"));
    leads(&p, "delete", "one", "deleted");
    peer_close(&p);
}

Test(control, a_restart_can_be_taken_back)
{
    struct ax_vm *vm = add("one", "", listens, sizeof(listens));
    struct peer p, other;

    peer_open(&p);
    peer_open(&other);
    leads(&p, "start", "one", "running");
    await_exits(vm, 2);
    peer_send(&p, "{\"command\": \"restart\", \"vm\": 1, \"timeout\": 1000}");
    peer_send(&other, "{\"command\": \"wait\", \"vm\": 1, "
                      "\"state\": \"stopping\"}");
    expect_state(&other, "stopping");
    refuses(&other, "stop", "one", "refused", "already stopping");
    peer_send(&other, "{\"command\": \"stop\", \"vm\": 1, \"force\": true}");
    expect_state(&other, "stopped");
    expect_error(&p, "failed", "did not start again");
    peer_close(&p);
    peer_close(&other);
}

Test(control, a_client_that_leaves_takes_its_commands_along)
{
    struct ax_vm *vm = add("one", "", listens, sizeof(listens));
    struct peer p, other;

    peer_open(&p);
    peer_open(&other);
    leads(&p, "start", "one", "running");
    await_exits(vm, 2);
    peer_send(&p, "{\"command\": \"stop\", \"vm\": 1, \"timeout\": 1000}");
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1}");
    peer_send(&p, "{\"command\": \"events\"}");
    peer_send(&other, "{\"command\": \"wait\", \"vm\": 1, "
                      "\"state\": \"stopping\"}");
    expect_state(&other, "stopping");
    peer_close(&p);
    expect_listed(&other, "stopping");
    peer_send(&other, "{\"command\": \"stop\", \"vm\": 1, \"force\": true}");
    expect_state(&other, "stopped");
    peer_close(&other);
}

Test(control, the_end_answers_what_waits)
{
    struct ax_vm *vm = add("one", "", listens, sizeof(listens));
    struct peer p;

    peer_open(&p);
    leads(&p, "start", "one", "running");
    await_exits(vm, 2);
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1}");
    expect_listed(&p, "running");
    ax_control_destroy(control);
    control = NULL;
    expect_error(&p, "failed", "the process ends");
    await_close(&p);
    peer_close(&p);
}

Test(control, deletes_by_force)
{
    struct peer p, waits;

    add("one", "", spin, sizeof(spin));
    add("two", "", spin, sizeof(spin));
    peer_open(&p);
    peer_open(&waits);
    leads(&p, "start", "1", "running");
    peer_send(&waits, "{\"command\": \"wait\", \"vm\": 1, "
                      "\"state\": \"suspended\"}");
    peer_send(&waits, "{\"command\": \"wait\", \"vm\": 2}");
    peer_send(&waits, "{\"command\": \"start\", \"vm\": 1}");
    expect_error(&waits, "refused", "");
    peer_send(&p, "{\"command\": \"delete\", \"vm\": 1, \"force\": true}");
    expect_state(&p, "deleted");
    expect_error(&waits, "unknown-vm", "deleted");
    refuses(&p, "start", "one", "unknown-vm", "one");
    /* One that is Loaded. */
    peer_send(&p, "{\"command\": \"delete\", \"vm\": 2, \"force\": true}");
    expect_state(&p, "deleted");
    expect_state(&waits, "stopped");
    cr_assert_eq(ax_fleet_count(fleet), 0);
    peer_close(&waits);
    peer_close(&p);
}

Test(control, waits_for_a_state)
{
    struct peer p, other;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    peer_open(&other);
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1, \"state\": \"loaded\"}");
    expect_state(&p, "loaded");
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1, \"timeout\": 0}");
    expect_error(&p, "timeout", "VM is loaded");
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1, \"timeout\": 0.01}");
    expect_error(&p, "timeout", "VM is loaded");
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1, \"state\": "
                  "\"running\", \"timeout\": 1e9}");
    leads(&other, "start", "one", "running");
    expect_state(&p, "running");
    peer_close(&other);
    peer_close(&p);
}

Test(control, so_many_may_wait)
{
    struct peer p;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    for (int i = 0; i < AX_EXECUTE_WAITING; i++)
        peer_send(&p, "{\"command\": \"wait\", \"vm\": 1}");
    refuses(&p, "wait", "one", "busy", "32");
    refuses(&p, "stop", "one", "busy", "32");
    expect_listed(&p, "loaded"); /* it was not begun */
    ax_vm_stop(ax_fleet_at(fleet, 0), AX_VM_PATIENCE);
    for (int i = 0; i < AX_EXECUTE_WAITING; i++)
        expect_state(&p, "stopped");
    leads(&p, "start", "one", "running");
    leads(&p, "stop", "one", "stopped");
    peer_close(&p);
}

/* ---- events ---- */

Test(control, tells_of_a_reboot_in_order)
{
    struct peer p, other;

    peer_open(&p);
    expect_empty((peer_send(&p, "{\"command\": \"events\"}"), &p));
    expect_empty((peer_send(&p, "{\"command\": \"events\"}"), &p)); /* once */
    add("one", "on_reboot = \"restart\"", resets, sizeof(resets));
    expect_event(&p, "created", "name", "one");
    peer_open(&other);
    peer_send(&other, "{\"command\": \"start\", \"vm\": 1}");
    expect_event(&p, "state", "state", "running");
    for (int life = 0; life < 3; life++) {
        expect_event(&p, "end", "cause", "reset");
        expect_event(&p, "state", "state", "stopping");
        expect_event(&p, "state", "state", "loading");
        expect_event(&p, "state", "state", "running");
    }
    peer_close(&p);
    expect_state(&other, "running");
    peer_close(&other);
}

Test(control, tells_of_an_end_for_good)
{
    struct peer p;
    json_t *message;

    peer_open(&p);
    add("one", "", exits, sizeof(exits));
    expect_empty((peer_send(&p, "{\"command\": \"events\"}"), &p));
    ax_vm_start(ax_fleet_at(fleet, 0));
    expect_event(&p, "state", "state", "running");
    message = peer_message(&p);
    cr_assert_str_eq(text_of(message, "cause"), "exit");
    cr_assert_eq(int_of(message, "code"), 7);
    json_decref(message);
    expect_event(&p, "state", "state", "stopping");
    expect_event(&p, "state", "state", "stopped");
    peer_send(&p, "{\"command\": \"delete\", \"vm\": 1}");
    expect_event(&p, "deleted", "name", "one");
    expect_state(&p, "deleted");
    peer_close(&p);
}

/* Events nobody reads, as with answers. */
Test(control, events_have_a_bound)
{
    struct peer lazy = peer_connect(), other;
    static const char text[] = "{\"command\": \"events\"}\n";

    add("one", "", spin, sizeof(spin));
    peer_open(&other);
    peer_send_bytes(&lazy, text, sizeof(text) - 1);
    leads(&other, "start", "one", "running");
    for (int i = 0; i < 20000; i++) {
        static const char probe[] = "\n";

        ax_vm_suspend(ax_fleet_at(fleet, 0));
        ax_vm_resume(ax_fleet_at(fleet, 0));
        if (i % 1000)
            continue;
        expect_listed(&other, "running");
        if (send(lazy.fd, probe, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
            errno == EPIPE)
            break;
    }
    cr_assert_eq(errno, EPIPE);
    peer_close(&lazy);
    peer_close(&other);
}

/* ---- create ---- */

Test(control, creates)
{
    struct peer p;
    json_t *vm;

    write_guest("new", "", spin, sizeof(spin));
    peer_open(&p);
    vm = ask(&p, "{\"command\": \"create\", \"file\": \"%s\"}",
             in_dir("new.toml"));
    cr_assert_str_eq(text_of(vm, "name"), "new");
    cr_assert_str_eq(text_of(vm, "state"), "loaded");
    cr_assert_eq(adopted, 1);
    json_decref(vm);
    /* Its name is only that of the file, and so made unique. */
    write_guest("new", "", spin, sizeof(spin));
    vm = ask(&p, "{\"command\": \"create\", \"file\": \"%s\"}",
             in_dir("new.toml"));
    cr_assert_str_eq(text_of(vm, "name"), "new-2");
    json_decref(vm);
    leads(&p, "start", "new-2", "running");
    peer_close(&p);
}

Test(control, says_what_is_wrong_with_a_file)
{
    static const char bad[] = "[base]\ncpu_num = 0\nvcpus = 3\n";
    struct peer p;

    write_file("bad.toml", bad, sizeof(bad) - 1);
    peer_open(&p);
    peer_send(&p, "{\"command\": \"create\", \"file\": \"%s\"}",
              in_dir("bad.toml"));
    expect_error(&p, "bad-config", "bad.toml:2:");
    peer_send(&p, "{\"command\": \"create\", \"file\": \"%s\"}",
              in_dir("bad.toml"));
    expect_error(&p, "bad-config", "bad.toml:3:");
    peer_send(&p, "{\"command\": \"create\", \"file\": \"%s\"}",
              in_dir("none.toml"));
    expect_error(&p, "bad-config", "none.toml");
    peer_send(&p, "{\"command\": \"create\", \"file\": \"%s\"}", dir);
    expect_error(&p, "bad-config", dir);
    add("one", "name = \"one\"", spin, sizeof(spin));
    peer_send(&p, "{\"command\": \"create\", \"file\": \"%s\"}",
              in_dir("one.toml"));
    expect_error(&p, "bad-config", "base.name");
    cr_assert_eq(ax_fleet_count(fleet), 1);
    peer_close(&p);
}

/* ---- gdb ---- */

static void expect_address(struct peer *p, const char *wanted)
{
    json_t *res = result(p);

    cr_assert_str_eq(text_of(res, "address"), wanted);
    json_decref(res);
}

static void expect_shown(struct peer *p, const char *wanted)
{
    json_t *show = ask(p, "{\"command\": \"show\", \"vm\": 1}");
    const json_t *gdb = json_object_get(show, "gdb");

    if (wanted)
        cr_assert_str_eq(text_of(show, "gdb"), wanted);
    else
        cr_assert(json_is_null(gdb));
    json_decref(show);
}

Test(control, lets_a_debugger_in)
{
    struct peer p;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    expect_shown(&p, NULL);
    peer_send(&p, "{\"command\": \"gdb\", \"vm\": \"one\"}");
    expect_address(&p, "there:1");
    cr_assert_str_eq(gdb_spec, "default");
    expect_shown(&p, "there:1");
    peer_send(&p, "{\"command\": \"gdb\", \"vm\": 1, \"off\": true}");
    expect_empty(&p);
    expect_shown(&p, NULL);
    peer_send(&p, "{\"command\": \"gdb\", \"vm\": 1, \"off\": false, "
                  "\"listen\": \"unix:/x\"}");
    expect_address(&p, "there:1");
    cr_assert_str_eq(gdb_spec, "unix:/x");
    peer_close(&p);
}

Test(control, says_why_no_debugger_gets_in)
{
    static const struct {
        int err;
        const char *code;
    } cases[] = {
        {-EINVAL, "bad-request"}, {-EEXIST, "refused"},
        {-EPERM, "refused"},      {-EBUSY, "busy"},
        {-EADDRINUSE, "failed"},  {-EOPNOTSUPP, "unsupported"},
    };
    static const char *const bad[] = {"1",         "true",       "\"\"",
                                      "\"65536\"", "\"unix:x\"", "\"host:\""};
    struct peer p;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    for (size_t i = 0; i < AX_ARRAY_LEN(cases); i++) {
        char part[32];

        gdb_err = cases[i].err;
        snprintf(part, sizeof(part), "because of %d", gdb_err);
        refuses(&p, "gdb", "one", cases[i].code, part);
    }
    gdb_err = 0;
    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++) {
        peer_send(&p, "{\"command\": \"gdb\", \"vm\": 1, \"listen\": %s}",
                  bad[i]);
        expect_error(&p, "bad-request", "'listen' must be a string");
    }
    peer_send(&p, "{\"command\": \"gdb\", \"vm\": 1, \"off\": 1}");
    expect_error(&p, "bad-request", "'off'");
    peer_send(&p, "{\"command\": \"gdb\", \"vm\": 1, \"off\": true, "
                  "\"listen\": \"1\"}");
    expect_error(&p, "bad-request", "not both");
    peer_send(&p, "{\"command\": \"gdb\"}");
    expect_error(&p, "bad-request", "'vm'");
    refuses(&p, "gdb", "two", "unknown-vm", "two");
    peer_close(&p);
}

/* A VM that waits for a debugger must not start without one. */
Test(control, creates_no_vm_whose_debugger_cannot_connect)
{
    static const char more[] = "[debug]\ngdb = 7\n";
    struct peer p;
    FILE *f;

    write_guest("one", "id = 1", spin, sizeof(spin));
    f = fopen(in_dir("one.toml"), "ab");
    cr_assert(f && fputs(more, f) >= 0 && !fclose(f));
    peer_open(&p);
    gdb_err = -EADDRINUSE;
    peer_send(&p, "{\"command\": \"create\", \"file\": \"%s\"}",
              in_dir("one.toml"));
    expect_error(&p, "failed", "one.toml: [debug] gdb: because of");
    cr_assert_str_eq(gdb_spec, "7");
    while (ax_fleet_count(fleet))
        json_decref(ask(&p, "{\"command\": \"list\"}"));
    gdb_err = 0;
    json_decref(ask(&p, "{\"command\": \"create\", \"file\": \"%s\"}",
                    in_dir("one.toml")));
    expect_shown(&p, "there:1");
    peer_close(&p);
}

/* ---- console ---- */

static void await_bytes(struct peer *p, const char *bytes)
{
    while (p->used < strlen(bytes)) {
        cr_assert_not(p->closed);
        turn();
    }
    cr_assert_str_eq(p->bytes, bytes);
}

Test(control, hands_the_connection_to_a_console)
{
    struct ax_vm *vm = add("one", "", greets, sizeof(greets));
    struct peer p, other;

    peer_open(&p);
    peer_open(&other);
    leads(&p, "start", "one", "running");
    await_exits(vm, 2);
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1}");
    peer_send(&p, "{\"command\": \"events\"}\n{\"command\": \"console\", "
                  "\"vm\": 1}\n{\"command\": \"list\"}");
    expect_empty(&p);
    expect_empty(&p);
    await_bytes(&p, "hi");
    /* Neither events nor answers any more. */
    leads(&other, "suspend", "one", "suspended");
    leads(&other, "resume", "one", "running");
    leads(&other, "stop", "one", "stopped");
    cr_assert_eq(p.used, 2);
    leads(&other, "delete", "one", "deleted");
    await_close(&p);
    cr_assert_eq(p.used, 2);
    peer_close(&p);
    peer_close(&other);
}

/* Asks for answers that no socket's buffer holds, and for the console. */
static void ask_much(struct peer *p, int count)
{
    for (int i = 0; i < count; i++)
        peer_send(p, "{\"command\": \"show\", \"vm\": 1}");
    peer_send(p, "{\"command\": \"console\", \"vm\": 1}");
}

Test(control, a_console_comes_after_all_answers)
{
    struct ax_vm *vm = add("one", "", greets, sizeof(greets));
    struct peer p = peer_connect(), other;
    const int count = 200;

    peer_open(&other);
    leads(&other, "start", "one", "running");
    await_exits(vm, 2);
    peer_send(&p, "{\"command\": \"events\"}");
    ask_much(&p, count);
    for (int i = 0; i < 200; i++)
        expect_listed(&other, "running");
    leads(&other, "suspend", "one", "suspended"); /* no event is to come */
    leads(&other, "resume", "one", "running");
    peer_greeted(&p);
    expect_empty(&p);
    for (int i = 0; i < count; i++)
        json_decref(result(&p));
    expect_empty(&p);
    await_bytes(&p, "hi");
    peer_close(&p);
    peer_close(&other);
}

Test(control, a_console_may_go_before_it_comes)
{
    struct ax_vm *vm = add("one", "", greets, sizeof(greets));
    struct peer p = peer_connect(), other;

    peer_open(&other);
    leads(&other, "start", "one", "running");
    await_exits(vm, 2);
    ask_much(&p, 200);
    for (int i = 0; i < 200; i++)
        expect_listed(&other, "running");
    peer_send(&other, "{\"command\": \"delete\", \"vm\": 1, \"force\": true}");
    expect_state(&other, "deleted");
    peer_greeted(&p);
    await_close(&p);
    peer_close(&p);
    peer_close(&other);
}

/* ---- dump ---- */

static void send_dump(struct peer *p, const char *file)
{
    peer_send(p, "{\"command\": \"dump\", \"vm\": 1, \"file\": \"%s\"}", file);
}

static void await_dump(void)
{
    struct peer p;

    peer_open(&p);
    while (!dumping)
        json_decref(ask(&p, "{\"command\": \"list\"}"));
    peer_close(&p);
}

Test(control, dumps_a_running_vm)
{
    struct peer p, other;
    struct stat st;
    json_t *res;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    peer_open(&other);
    leads(&p, "start", "one", "running");
    send_dump(&p, in_dir("core"));
    await_dump();
    expect_listed(&other, "suspended");
    refuses(&other, "resume", "one", "busy", "dumped");
    send_dump(&other, in_dir("other"));
    expect_error(&other, "busy", "dumped");
    cr_assert_eq(access(in_dir("other"), F_OK), -1);
    dump_end(0);
    res = result(&p);
    cr_assert_eq(int_of(res, "bytes"), 5);
    json_decref(res);
    expect_listed(&other, "running");
    cr_assert_eq(stat(in_dir("core"), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(st.st_size, 5);
    cr_assert_eq(dumps_alive, 0);
    peer_close(&p);
    peer_close(&other);
}

Test(control, dumps_what_is_kept_and_what_is_suspended)
{
    struct peer p;

    add("one", "on_crash = \"keep\"", crashes, sizeof(crashes));
    add("two", "", spin, sizeof(spin));
    write_file("core", "a longer one that was here before", 33);
    peer_open(&p);
    leads(&p, "start", "one", "running");
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1}");
    expect_state(&p, "stopped");
    send_dump(&p, in_dir("core"));
    await_dump();
    dump_end(0);
    json_decref(result(&p));
    expect_listed(&p, "stopped");
    leads(&p, "start", "two", "running");
    leads(&p, "suspend", "two", "suspended");
    peer_send(&p, "{\"command\": \"dump\", \"vm\": 2, \"file\": \"%s\"}",
              in_dir("core"));
    await_dump();
    dump_end(0);
    json_decref(result(&p));
    refuses(&p, "suspend", "two", "refused", "already suspended");
    cr_assert_eq(dumps_alive, 0);
    peer_close(&p);
}

static void expect_file(const char *name, const char *content)
{
    char text[64] = "";
    FILE *f = fopen(in_dir(name), "r");

    cr_assert(f);
    cr_assert_geq(fread(text, 1, sizeof(text) - 1, f), 0);
    fclose(f);
    cr_assert_str_eq(text, content);
}

Test(control, a_dump_spares_what_it_should_not_touch)
{
    struct peer p;

    add("one", "", spin, sizeof(spin));
    write_file("old", "old", 3);
    cr_assert_eq(symlink(in_dir("old"), in_dir("link")), 0);
    cr_assert_eq(mkfifo(in_dir("fifo"), 0600), 0);
    peer_open(&p);
    send_dump(&p, in_dir("old")); /* Loaded: refused */
    expect_error(&p, "refused", "not suspended");
    send_dump(&p, in_dir("core"));
    expect_error(&p, "refused", "not suspended");
    cr_assert_eq(access(in_dir("core"), F_OK), -1);
    leads(&p, "start", "one", "running");
    send_dump(&p, in_dir("link"));
    expect_error(&p, "failed", strerror(ELOOP));
    send_dump(&p, in_dir("fifo"));
    expect_error(&p, "failed", "fifo");
    send_dump(&p, dir);
    expect_error(&p, "failed", dir);
    send_dump(&p, in_dir("no/where"));
    expect_error(&p, "failed", strerror(ENOENT));
    send_dump(&p, "core");
    expect_error(&p, "bad-request", "absolute");
    expect_file("old", "old");
    expect_listed(&p, "running");
    peer_close(&p);
}

Test(control, a_dump_that_fails_leaves_no_file)
{
    struct peer p;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    leads(&p, "start", "one", "running");
    send_dump(&p, in_dir("core"));
    await_dump();
    dump_end(-ENOSPC);
    expect_error(&p, "failed", strerror(ENOSPC));
    cr_assert_eq(access(in_dir("core"), F_OK), -1);
    expect_listed(&p, "running");
    write_file("old", "old", 3);
    send_dump(&p, in_dir("old"));
    await_dump();
    dump_end(-ENOSPC);
    expect_error(&p, "failed", "old");
    expect_file("old", "core\n"); /* the user's file stays his */
    peer_close(&p);
}

Test(control, a_dump_ends_with_its_client)
{
    struct peer p, other;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    peer_open(&other);
    leads(&p, "start", "one", "running");
    /* Completed by what the dump's end does. */
    send_dump(&p, in_dir("core"));
    await_dump();
    peer_send(&p, "{\"command\": \"wait\", \"vm\": 1, "
                  "\"state\": \"running\"}");
    peer_send(&other, "{\"command\": \"wait\", \"vm\": 1, "
                      "\"state\": \"running\"}");
    expect_listed(&other, "suspended");
    peer_close(&p);
    expect_state(&other, "running");
    cr_assert_null(dumping);
    cr_assert_eq(dumps_alive, 0);
    cr_assert_eq(access(in_dir("core"), F_OK), -1);
    peer_close(&other);
}

Test(control, a_dump_ends_with_its_vm)
{
    struct peer p, other;

    add("one", "", spin, sizeof(spin));
    add("two", "", spin, sizeof(spin));
    peer_open(&p);
    peer_open(&other);
    leads(&p, "start", "one", "running");
    send_dump(&p, in_dir("core"));
    await_dump();
    peer_send(&other, "{\"command\": \"stop\", \"vm\": 1, \"force\": true}");
    expect_state(&other, "stopped");
    expect_error(&p, "failed", "forced to stop");
    leads(&p, "start", "one", "running");
    send_dump(&p, in_dir("core"));
    await_dump();
    peer_send(&other, "{\"command\": \"delete\", \"vm\": 1, \"force\": true}");
    expect_state(&other, "deleted");
    expect_error(&p, "failed", "forced to stop");
    cr_assert_eq(dumps_alive, 0);
    cr_assert_eq(access(in_dir("core"), F_OK), -1);
    peer_close(&p);
    peer_close(&other);
}

Test(control, a_dump_ends_with_the_server)
{
    struct peer p;

    add("one", "", spin, sizeof(spin));
    peer_open(&p);
    leads(&p, "start", "one", "running");
    send_dump(&p, in_dir("core"));
    await_dump();
    ax_control_destroy(control);
    control = NULL;
    expect_error(&p, "failed", "the process ends");
    cr_assert_eq(dumps_alive, 0);
    cr_assert_eq(access(in_dir("core"), F_OK), -1);
    cr_assert_eq(ax_vm_state(ax_fleet_at(fleet, 0)), AX_VM_RUNNING);
    peer_close(&p);
}

/* ---- the rest ---- */

Test(control, quits_after_the_answer)
{
    struct peer p;

    peer_open(&p);
    expect_empty((peer_send(&p, "{\"command\": \"quit\"}"), &p));
    cr_assert(quitted);
    peer_close(&p);
}

struct inside {
    struct ax_asker asker;
    json_t *last;
};

static void inside_answer(void *ctx, const json_t *message)
{
    struct inside *in = ctx;

    json_decref(in->last);
    in->last = json_deep_copy(message);
}

Test(control, can_be_asked_without_a_socket)
{
    struct inside in = {.asker = {.answer = inside_answer, .ctx = &in}};
    struct ax_control_env env = control_env();
    struct ax_execute *exec;
    json_t *request;

    env.gdb = NULL;
    env.gdb_address = NULL;
    add("one", "", spin, sizeof(spin));
    cr_assert_eq(ax_execute_create(&env, &exec), 0);
    request = json_pack("{s:s, s:i}", "command", "start", "vm", 1);
    ax_execute(exec, &in.asker, request);
    cr_assert_str_eq(text_of(json_object_get(in.last, "result"), "state"),
                     "running");
    json_decref(request);
    request = json_pack("{s:s, s:i}", "command", "console", "vm", 1);
    ax_execute(exec, &in.asker, request);
    cr_assert_str_eq(text_of(json_object_get(in.last, "error"), "code"),
                     "unsupported");
    json_decref(request);
    request = json_pack("{s:s, s:i}", "command", "gdb", "vm", 1);
    ax_execute(exec, &in.asker, request);
    cr_assert_str_eq(text_of(json_object_get(in.last, "error"), "code"),
                     "unsupported");
    json_decref(request);
    request = json_pack("{s:s, s:i}", "command", "show", "vm", 1);
    ax_execute(exec, &in.asker, request);
    cr_assert(json_is_null(
        json_object_get(json_object_get(in.last, "result"), "gdb")));
    json_decref(request);
    request = json_pack("{s:s, s:i}", "command", "wait", "vm", 1);
    ax_execute(exec, &in.asker, request);
    cr_assert_eq(in.asker.waiting, 1);
    ax_execute_forget(exec, &in.asker);
    cr_assert_eq(in.asker.waiting, 0);
    json_decref(request);
    json_decref(in.last);
    ax_execute_destroy(exec);
}

Test(control, text_is_mended)
{
    static const struct {
        const char *text, *mended;
    } cases[] = {
        {"", ""},
        {"Linux", "Linux"},
        {"\xc3\xa4", "\xc3\xa4"},
        {"a\xff-\xc3", "a\xef\xbf\xbd-\xef\xbf\xbd"},
        {"\xc3\xa4\xed\xa0\x80",
         "\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };

    for (size_t i = 0; i < AX_ARRAY_LEN(cases); i++) {
        json_t *json = ax_json_text(cases[i].text);

        cr_assert_str_eq(json_string_value(json), cases[i].mended);
        json_decref(json);
    }
}
