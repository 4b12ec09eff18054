/*
 * test_stress.c - clients that do anything at any time: four of them send
 * random operations over the control socket to four VMs that spin, sleep, wait
 * for a SIPI and do I/O. Every answer comes within its bound and is one that
 * the table (vmm/lifecycle.h) allows; every change of state that the fleet
 * tells is a step of that table; what `list` says in the end is what the model
 * made of those steps has; no thread and no descriptor is left.
 *
 * test_stress [fake|kvm] [OPERATIONS] [SEED]. Plain, for the thread sanitizer.
 */
#include "control/place.h"
#include "control/server.h"
#include "devices/loop.h"
#include "fake/fleet.h"
#include "log.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { VMS = 4, CLIENTS = 4, OPERATIONS = 10000, BOUND_MS = 60000 };
enum { SKIPPED = 77 };

/* clang-format off */
AX_TEST_CODE(code_spin, "jmp .");
AX_TEST_CODE(code_halt, "cli\n1: hlt\njmp 1b");
AX_TEST_CODE(code_io, "1: mov $'x', %al\n"
                      "mov $0x3f8, %dx\n"
                      "out %al, %dx\n"
                      "in $0x71, %al\n"
                      "jmp 1b");
/* clang-format on */

static const struct ax_fake_step steps_spin[] = {
    {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = AX_TEST_ENTRY}};
static const struct ax_fake_step steps_halt[] = {
    {.op = AX_FAKE_SLEEP}, {.op = AX_FAKE_LOOP, .target = AX_TEST_ENTRY}};
static const struct ax_fake_step steps_io[] = {
    {.op = AX_FAKE_START, .target = AX_TEST_ENTRY},
    {.exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {0x3f8, 'x', 1, true, AX_SPACE_PORT}}},
    {.exit = {.kind = AX_EXIT_IO_READ,
              .access = {.addr = 0x71, .width = 1, .space = AX_SPACE_PORT}}},
    {.op = AX_FAKE_LOOP, .target = AX_TEST_ENTRY},
};

/* All but the first vCPU of each wait for a SIPI, where nobody sends one. */
static const struct {
    const char *name;
    unsigned cpus;
    struct ax_test_program program;
} guests[VMS] = {
    {"spins", 1, {steps_spin, sizeof(steps_spin), code_spin, code_spin_end}},
    {"sleeps", 2, {steps_halt, sizeof(steps_halt), code_halt, code_halt_end}},
    {"waits", 3, {steps_spin, sizeof(steps_spin), code_spin, code_spin_end}},
    {"works", 4, {steps_io, sizeof(steps_io), code_io, code_io_end}},
};

/* What clients ask for, and the operation of the table that it is. */
static const struct {
    const char *command;
    bool force;
    enum ax_vm_op op;
    const char *state; /* of the result, NULL: no matter */
} commands[] = {
    {"start", false, AX_VM_OP_START, "running"},
    {"start", false, AX_VM_OP_START, "running"},
    {"suspend", false, AX_VM_OP_SUSPEND, "suspended"},
    {"suspend", false, AX_VM_OP_SUSPEND, "suspended"},
    {"resume", false, AX_VM_OP_RESUME, "running"},
    {"resume", false, AX_VM_OP_RESUME, "running"},
    {"stop", false, AX_VM_OP_STOP, "stopped"},
    {"stop", true, AX_VM_OP_FORCE_STOP, "stopped"},
    {"restart", false, AX_VM_OP_RESTART, "running"},
    {"reset", false, AX_VM_OP_RESET, "running"},
    {"delete", false, AX_VM_OP_DELETE, "deleted"},
    {"nmi", false, AX_VM_OPS, NULL},
    {"show", false, AX_VM_OPS, NULL},
    {"stats", false, AX_VM_OPS, NULL},
    {"list", false, AX_VM_OPS, NULL},
};

struct client {
    pthread_t thread;
    unsigned long long seed;
    unsigned operations;
    const char *path;
    int fd;
    char buffer[AX_CONTROL_LINE_MAX];
    size_t used;
    unsigned done, refused, failed;
};

/* The states as events tell them: the model. Loop thread. */
struct model {
    struct ax_fleet *fleet;
    struct ax_loop *loop;
    struct ax_wake *finished;
    atomic_uint clients; /* that still work */
    struct ax_fleet_listener listener;
    enum ax_vm_state state[VMS];
    bool there[VMS];
    unsigned steps;
    const struct ax_backend_ops *ops;
};

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "FAIL: %s\n", what);
    exit(1);
}

/* ---- the model ---- */

static int guest_index(const char *name)
{
    for (int i = 0; i < VMS; i++) {
        if (!strcmp(guests[i].name, name))
            return i;
    }
    need(false, "a VM of an unknown name");
    return -1;
}

/* Is it one step of some operation, or of an end? */
static bool is_step(enum ax_vm_state from, enum ax_vm_state to)
{
    const char *refusal;
    enum ax_vm_state next;

    for (unsigned op = 0; op < AX_VM_OPS; op++) {
        if (!ax_vm_transition(from, (enum ax_vm_op)op, &next, &refusal) &&
            next == to)
            return true;
    }
    return (from == AX_VM_STOPPING && to == AX_VM_STOPPED) ||
           (from == AX_VM_STOPPING && to == AX_VM_LOADING) ||
           (from == AX_VM_STOPPED && to == AX_VM_LOADING) ||
           (from == AX_VM_LOADING && to == AX_VM_RUNNING);
}

static void model_heard(void *ctx, enum ax_fleet_event_kind kind,
                        struct ax_vm *vm)
{
    struct model *m = ctx;
    int i = guest_index(ax_vm_config(vm)->name);
    enum ax_vm_state state = ax_vm_state(vm);

    switch (kind) {
    case AX_FLEET_CREATED:
        need(!m->there[i] && state == AX_VM_LOADED, "created is loaded");
        m->there[i] = true;
        break;
    case AX_FLEET_STATE:
        need(m->there[i] && is_step(m->state[i], state), "a wrong step");
        m->steps++;
        break;
    case AX_FLEET_DELETED:
        need(m->there[i] && m->state[i] == AX_VM_STOPPED, "deleted unstopped");
        m->there[i] = false;
        break;
    default:
        break;
    }
    m->state[i] = state;
}

static void model_add(struct model *m, int i)
{
    need(ax_test_fleet_add(m->fleet, m->ops, guests[i].name, guests[i].cpus,
                           &guests[i].program, "") != NULL,
         "a VM can be made");
}

/* Deleted ones come again, so that there is something to do. */
static void model_refill(void *ctx, uint64_t count)
{
    struct model *m = ctx;

    for (int i = 0; i < VMS; i++) {
        if (!m->there[i])
            model_add(m, i);
    }
}

static void model_finished(void *ctx)
{
    struct model *m = ctx;

    if (!atomic_load(&m->clients))
        ax_loop_stop(m->loop);
}

/* ---- a client ---- */

static unsigned client_random(struct client *c, unsigned below)
{
    c->seed = c->seed * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(c->seed >> 33) % below;
}

/* One line of the server, however it is cut; NULL-terminated in buffer. */
static json_t *client_read(struct client *c)
{
    json_t *line;
    char *end;

    while (!(end = memchr(c->buffer, '\n', c->used))) {
        struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
        ssize_t n;

        need(poll(&pfd, 1, BOUND_MS) == 1, "an answer within its bound");
        n = read(c->fd, c->buffer + c->used, sizeof(c->buffer) - c->used);
        need(n > 0, "the server stays connected");
        c->used += (size_t)n;
    }
    line = json_loadb(c->buffer, (size_t)(end - c->buffer), 0, NULL);
    need(json_is_object(line), "an answer is an object");
    c->used -= (size_t)(end + 1 - c->buffer);
    memmove(c->buffer, end + 1, c->used);
    return line;
}

static json_t *client_ask(struct client *c, json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    size_t len = strlen(text);
    json_t *answer;

    text[len] = '\n';
    need(write(c->fd, text, len + 1) == (ssize_t)len + 1, "a request is sent");
    free(text);
    answer = client_read(c);
    need(json_equal(json_object_get(answer, "id"),
                    json_object_get(request, "id")),
         "an answer has its request's id");
    json_decref(request);
    return answer;
}

/* Does the table know that refusal of op, in whatever state? */
static bool is_refusal(enum ax_vm_op op, const char *text)
{
    const char *refusal;
    enum ax_vm_state next;

    for (unsigned s = 0; s < AX_VM_STATES; s++) {
        if (ax_vm_transition((enum ax_vm_state)s, op, &next, &refusal) &&
            !strcmp(refusal, text))
            return true;
    }
    return false;
}

static void client_judge(struct client *c, unsigned which, const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *text = json_string_value(json_object_get(error, "message"));
    const char *state = json_string_value(
        json_object_get(json_object_get(answer, "result"), "state"));

    c->done++;
    if (!error) {
        need(!commands[which].state || !strcmp(state, commands[which].state),
             "the state that was asked for");
        return;
    }
    need(code && text, "an error has code and message");
    if (!strcmp(code, "refused") && commands[which].op != AX_VM_OPS)
        need(is_refusal(commands[which].op, text), text);
    else /* deleted meanwhile, or its end came first */
        need(!strcmp(code, "unknown-vm") || !strcmp(code, "failed") ||
                 !strcmp(code, "refused") || !strcmp(code, "unsupported"),
             text);
    c->refused += !strcmp(code, "refused");
    c->failed += !strcmp(code, "failed");
}

static void *client_main(void *arg)
{
    struct client *c = arg;

    c->fd = ax_control_connect(c->path);
    need(c->fd >= 0, "a client connects");
    json_decref(client_read(c)); /* the greeting */
    for (unsigned n = 0; n < c->operations; n++) {
        unsigned which = client_random(c, AX_ARRAY_LEN(commands));
        json_t *request = json_pack("{s:i,s:s}", "id", (int)n, "command",
                                    commands[which].command);
        json_t *answer;

        if (strcmp(commands[which].command, "list"))
            json_object_set_new(
                request, "vm", json_string(guests[client_random(c, VMS)].name));
        if (commands[which].force)
            json_object_set_new(request, "force", json_true());
        answer = client_ask(c, request);
        client_judge(c, which, answer);
        json_decref(answer);
    }
    return NULL;
}

/* ---- all together ---- */

/* Clients are joined here, so that the loop's thread only ever loops. */
struct crowd {
    struct model *model;
    struct client clients[CLIENTS];
};

static void *crowd_main(void *arg)
{
    struct crowd *crowd = arg;

    for (int i = 0; i < CLIENTS; i++)
        need(!pthread_create(&crowd->clients[i].thread, NULL, client_main,
                             &crowd->clients[i]),
             "a client's thread");
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(crowd->clients[i].thread, NULL);
    atomic_store(&crowd->model->clients, 0);
    ax_loop_wake(crowd->model->finished);
    return NULL;
}

/* The model's states, against what a new client is told. */
static void *check_main(void *arg)
{
    struct crowd *crowd = arg;
    struct client *c = &crowd->clients[0];
    json_t *answer, *vm;
    size_t i;

    close(c->fd);
    c->used = 0;
    c->fd = ax_control_connect(c->path);
    need(c->fd >= 0, "a last client connects");
    json_decref(client_read(c));
    answer = client_ask(c, json_pack("{s:s,s:i}", "command", "list", "id", 0));
    json_array_foreach(
        json_object_get(json_object_get(answer, "result"), "vms"), i, vm)
    {
        int g = guest_index(json_string_value(json_object_get(vm, "name")));

        need(!strcmp(json_string_value(json_object_get(vm, "state")),
                     ax_vm_state_name(crowd->model->state[g])),
             "the list agrees with the model");
    }
    json_decref(answer);
    atomic_store(&crowd->model->clients, 0);
    ax_loop_wake(crowd->model->finished);
    return NULL;
}

static void run_thread(struct model *m, void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    atomic_store(&m->clients, CLIENTS);
    need(!pthread_create(&thread, NULL, fn, arg), "a thread");
    while (atomic_load(&m->clients))
        ax_loop_run(m->loop);
    pthread_join(thread, NULL);
}

static void settle(void *ctx, uint64_t count)
{
    struct model *m = ctx;

    for (int i = 0; i < VMS; i++) {
        if (m->there[i] && m->state[i] == AX_VM_STOPPING)
            return;
    }
    ax_loop_stop(m->loop);
}

static void stress(const struct ax_backend_ops *ops, unsigned operations,
                   unsigned long long seed)
{
    char folder[] = "/tmp/axvm-stress-XXXXXX", path[64];
    struct ax_fleet_env env = {.ops = ops};
    struct ax_control_env control_env = {0};
    struct ax_control *control;
    struct ax_timer *refill, *settled;
    struct model m = {.ops = ops};
    struct crowd *crowd = calloc(1, sizeof(*crowd));

    need(crowd && mkdtemp(folder), "a folder");
    snprintf(path, sizeof(path), "%s/sock", folder);
    need(!ax_loop_create(&m.loop), "loop");
    env.loop = control_env.loop = m.loop;
    need(!ax_fleet_create(&env, &m.fleet), "fleet");
    control_env.fleet = m.fleet;
    m.listener = (struct ax_fleet_listener){.heard = model_heard, .ctx = &m};
    ax_fleet_listen(m.fleet, &m.listener);
    need(!ax_control_create(&control_env, path, &control), "control socket");
    need(!ax_wake_create(m.loop, model_finished, &m, &m.finished), "wake");
    need(!ax_timer_create(m.loop, model_refill, &m, &refill), "timer");
    need(!ax_timer_create(m.loop, settle, &m, &settled), "timer");
    model_refill(&m, 1);
    ax_timer_arm(refill, 1000000, 1000000);

    crowd->model = &m;
    for (int i = 0; i < CLIENTS; i++) {
        crowd->clients[i].seed = seed + (unsigned)i * 77777;
        crowd->clients[i].operations = operations / CLIENTS;
        crowd->clients[i].path = path;
    }
    run_thread(&m, crowd_main, crowd);
    ax_timer_arm(refill, 0, 0);
    ax_timer_arm(settled, 1000000, 1000000);
    ax_loop_run(m.loop);
    ax_timer_destroy(settled);
    run_thread(&m, check_main, crowd);

    for (int i = 0; i < CLIENTS; i++) {
        const struct client *c = &crowd->clients[i];

        printf("client %d: %u done, %u refused, %u failed\n", i, c->done,
               c->refused, c->failed);
        close(c->fd);
    }
    printf("%u steps of state\n", m.steps);
    need(m.steps > operations / 10, "something happened");
    ax_control_destroy(control);
    ax_fleet_unlisten(m.fleet, &m.listener);
    ax_fleet_destroy(m.fleet);
    ax_timer_destroy(refill);
    ax_wake_destroy(m.finished);
    ax_loop_destroy(m.loop);
    need(!rmdir(folder), "the socket is removed");
    free(crowd);
}

static void *no_thread(void *arg)
{
    return arg;
}

/* The thread sanitizer keeps one of its own from the first thread on. */
static unsigned count_threads(void)
{
    pthread_t thread;

    need(!pthread_create(&thread, NULL, no_thread, NULL), "a thread");
    pthread_join(thread, NULL);
    return ax_test_threads();
}

/* A thread that was joined may still be on its way out of /proc. */
static bool threads_become(unsigned wanted)
{
    const time_t end = time(NULL) + BOUND_MS / 1000;

    while (ax_test_threads() != wanted && time(NULL) < end)
        sched_yield();
    return ax_test_threads() == wanted;
}

int main(int argc, char **argv)
{
    const struct ax_backend_ops *ops =
        argc > 1 && !strcmp(argv[1], "kvm") ? &ax_kvm : &ax_fake;
    unsigned operations =
        argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : OPERATIONS;
    unsigned long long seed =
        argc > 3 ? strtoull(argv[3], NULL, 0) : (unsigned long long)time(NULL);
    unsigned descriptors, threads;

    if (ops->probe(NULL, NULL)) {
        printf("SKIP: the engine '%s' is not usable here\n", ops->name);
        return SKIPPED;
    }
    printf("seed %llu: %u operations on %s\n", seed, operations, ops->name);
    fflush(stdout);
    threads = count_threads();
    descriptors = ax_test_descriptors();
    stress(ops, operations, seed);
    need(ax_test_descriptors() == descriptors, "no descriptor is left");
    need(threads_become(threads), "no thread is left");
    need(ax_fake_alive() == 0, "no vCPU is left");
    puts("PASS");
    return 0;
}
