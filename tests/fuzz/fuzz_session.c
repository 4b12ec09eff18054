/*
 * fuzz_session.c - a debugger that says anything, to a VM of the fake engine
 * with two vCPUs.
 *
 * A line of the input is a packet's data, which is given its sum; one that
 * begins with '!' is sent as it is. Where no answer comes, because the guest
 * goes on, Ctrl-C must bring one. Commands of monitor, which could touch files
 * of the host, are left to fuzz_monitor.
 */
#include "fake/debugger.h"

#include "fuzz/input.h"
#include "vcpu/vcpu.h"

#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 1 << 16, LINE_MAX_BYTES = 20000 };

#define STEP(n) (AX_TEST_ENTRY + (n) * sizeof(struct ax_fake_step))

static const struct ax_fake_step steps[] = {
    {.op = AX_FAKE_START, .target = STEP(1)},
    {.op = AX_FAKE_ADD, .target = 1, .exit.access.data = 1},
    {.op = AX_FAKE_STORE, .target = 0x8000, .exit.access.data = 1},
    {.exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {0x80, 1, 1, true, AX_SPACE_PORT}}},
    {.op = AX_FAKE_LOOP, .target = STEP(1)},
};
static const struct ax_test_program program = {.steps = steps,
                                               .steps_size = sizeof(steps)};

/* What was begun is ended, and what runs is interrupted: an answer comes. */
static void settle(struct ax_debugger *d)
{
    ax_debugger_raw(d, "#00#00\x03", 7);
    if (!d->over && d->raw_len == 0) {
        ax_debugger_send(d, "vMustReplyEmpty");
        ax_debugger_wait(d);
    }
    d->raw_len = 0;
    require(!d->late);
}

static void say(struct ax_debugger *d, const char *line, size_t len)
{
    char text[LINE_MAX_BYTES + 1];

    if (len > LINE_MAX_BYTES || (len >= 5 && !memcmp(line, "qRcmd", 5)))
        return;
    if (len && line[0] == '!' && len > 1) {
        ax_debugger_raw(d, line + 1, len - 1);
    } else {
        memcpy(text, line, len);
        text[len] = '\0';
        ax_debugger_send(d, "%s", text);
    }
    settle(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    struct ax_debugger *d = malloc(sizeof(*d));

    if (!d || size > INPUT_MAX) {
        free(d);
        return 0;
    }
    ax_debugger_create(d, &ax_fake, 2, &program, "on_reboot = \"restart\"");
    require(!ax_vm_start(d->vm));
    ax_debugger_connect(d);
    while (at < end && !d->over) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));

        if (!stop)
            stop = end;
        say(d, at, (size_t)(stop - at));
        at = stop < end ? stop + 1 : end;
    }
    ax_debugger_destroy(d);
    free(d);
    require(!ax_fake_alive());
    return 0;
}
