/*
 * fuzz_monitor.c - any lines as monitor commands, on a fake target with a VM of
 * the fake engine: each is done, given up or refused, in whole lines of text.
 *
 * The input's first byte says how the target is; then come lines. Those that
 * name files or sockets are left out: they go the way of every control
 * client's, and nothing of the host is touched. A command that does not end by
 * itself is given up after some turns of the loop.
 */
#include "debug/monitor.h"

#include "control/command.h"
#include "control/server.h"
#include "devices/loop.h"
#include "fake/engine.h"
#include "fake/fleet.h"
#include "fake/target.h"
#include "fuzz/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 32, WORDS = 64, TURNS = 8, INPUT_MAX = 1 << 14 };
enum { NOT_HALTED = 1, FAILS = 2, NO_KERNEL = 4, STARTED = 8 };

struct run {
    struct ax_loop *loop;
    struct ax_fleet *fleet;
    struct ax_fleet_listener listener;
    struct ax_vm *vm;
    struct ax_wake *turn;
    struct ax_target target;
    struct ax_monitor_modes modes;
    struct ax_monitor *monitor; /* NULL: its VM was deleted */
    bool running, done;
    char last; /* of what was said */
};

/* ---- who hears of it ---- */

static void on_say(void *ctx, const char *text)
{
    struct run *run = ctx;
    const size_t len = strlen(text);

    require(len && len <= AX_MONITOR_TEXT);
    run->last = text[len - 1];
}

static void on_done(void *ctx, bool ok)
{
    struct run *run = ctx;

    require(!run->running && !run->done);
    run->done = true;
}

/* As the stub of a VM goes with it. */
static void on_heard(void *ctx, enum ax_fleet_event_kind kind, struct ax_vm *vm)
{
    struct run *run = ctx;

    if (kind != AX_FLEET_DELETED || vm != run->vm)
        return;
    ax_monitor_destroy(run->monitor);
    run->monitor = NULL;
    run->target.vm = NULL;
}

static void on_turn(void *ctx)
{
    struct run *run = ctx;

    ax_loop_stop(run->loop);
}

static void on_quit(void *ctx)
{
}

/* ---- a line ---- */

static bool names_files(const char *line)
{
    char *copy = strdup(line);
    const char *words[WORDS];
    const struct ax_command *command;
    int count;

    require(copy);
    for (char *c = copy; *c; c++)
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c;
    count = ax_command_split(copy, words, WORDS);
    command = count > 0 ? ax_command_find(words[0]) : NULL;
    free(copy);
    return command &&
           (command->args == AX_ARGS_FILES || command->args == AX_ARGS_VM_FILE);
}

static void wait_for(struct run *run)
{
    for (int i = 0; i < TURNS && run->monitor && !run->done; i++) {
        ax_loop_wake(run->turn);
        ax_loop_run(run->loop);
    }
    if (!run->monitor || run->done)
        return;
    run->target.halted = true;
    ax_monitor_stopped(run->monitor);
    if (!run->done)
        ax_monitor_cancel(run->monitor);
}

static void run_line(struct run *run, const char *line)
{
    const bool halted = run->target.halted;
    int err;

    if (names_files(line))
        return;
    run->done = false;
    run->last = '\n';
    run->running = true;
    err = ax_monitor_run(run->monitor, strlen(line) & 1, line);
    run->running = false;
    require(!err || err == -EINPROGRESS || err == -EINVAL);
    if (err == -EINPROGRESS)
        wait_for(run);
    require(run->last == '\n');
    run->target.halted = halted;
}

static void run_lines(struct run *run, char *text)
{
    char *rest = text, *line;

    for (int i = 0; i < LINES && run->monitor; i++) {
        line = strsep(&rest, "\n");
        if (!line)
            break;
        run_line(run, line);
    }
}

/* ---- an input ---- */

static void prepare(struct run *run, uint8_t how)
{
    static const struct ax_fake_step steps[] = {
        {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = AX_TEST_ENTRY}};
    static const struct ax_test_program program = {.steps = steps,
                                                   .steps_size = sizeof(steps)};
    struct ax_fleet_env env = {.ops = &ax_fake};
    struct ax_control_env control = {.quit = on_quit};
    struct ax_monitor_env menv = {.target = &run->target,
                                  .control = &control,
                                  .modes = &run->modes,
                                  .say = on_say,
                                  .done = on_done,
                                  .ctx = run};

    require(!ax_loop_create(&run->loop));
    require(!ax_wake_create(run->loop, on_turn, run, &run->turn));
    env.loop = control.loop = run->loop;
    require(!ax_fleet_create(&env, &run->fleet));
    control.fleet = run->fleet;
    run->vm = ax_test_fleet_add(run->fleet, &ax_fake, "one", 2, &program,
                                "id = 1\n[cpu]\nirqchip = \"split\"");
    require(run->vm);
    ax_fake_target_init(&run->target, run->vm);
    run->target.halted = !(how & NOT_HALTED);
    run->target.err = how & FAILS ? -EIO : 0;
    run->target.slide = how & NO_KERNEL ? UINT64_MAX : 0x1c000000;
    if (how & STARTED)
        require(!ax_vm_start(run->vm));
    require(!ax_monitor_create(&menv, &run->monitor));
    run->listener.heard = on_heard;
    run->listener.ctx = run;
    ax_fleet_listen(run->fleet, &run->listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {0};
    char *text;

    if (!size || size > INPUT_MAX)
        return 0;
    text = strndup((const char *)data + 1, size - 1);
    require(text);
    prepare(&run, data[0]);
    run_lines(&run, text);
    ax_fleet_unlisten(run.fleet, &run.listener);
    ax_monitor_destroy(run.monitor);
    ax_fleet_destroy(run.fleet);
    ax_wake_destroy(run.turn);
    ax_loop_destroy(run.loop);
    require(!ax_fake_alive());
    free(text);
    return 0;
}
