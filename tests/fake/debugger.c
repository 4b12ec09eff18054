/*
 * debugger.c - see debugger.h.
 */
#include "fake/debugger.h"

#include "devices/loop.h"
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_NS UINT64_C(60000000000)

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "test debugger: %s\n", what);
    abort();
}

/* ---- what comes back ---- */

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* One packet of d->raw into d->reply; false: there is none. */
static bool take_packet(struct ax_debugger *d)
{
    char *start = memchr(d->raw, '$', d->raw_len);
    char *end = start
                    ? memchr(start, '#', d->raw_len - (size_t)(start - d->raw))
                    : NULL;
    unsigned sum = 0;

    if (!end || end + 3 > d->raw + d->raw_len)
        return false;
    d->reply_len = 0;
    for (char *at = start + 1; at < end; at++) {
        sum += (uint8_t)*at;
        need(d->reply_len + 100 < sizeof(d->reply), "a reply is too long");
        if (*at == '}') {
            sum += (uint8_t)at[1];
            d->reply[d->reply_len++] = (char)(*++at ^ 0x20);
        } else if (*at == '*') {
            int again = *++at - 29;

            sum += (uint8_t)*at;
            for (; again > 0; again--) {
                d->reply[d->reply_len] = d->reply[d->reply_len - 1];
                d->reply_len++;
            }
        } else {
            d->reply[d->reply_len++] = *at;
        }
    }
    d->reply[d->reply_len] = '\0';
    need((sum & 0xff) == (unsigned)(hex_digit(end[1]) << 4 | hex_digit(end[2])),
         "the sum of a reply is wrong");
    d->raw_len -= (size_t)(end + 3 - d->raw);
    memmove(d->raw, end + 3, d->raw_len);
    return true;
}

/* An "O" packet; false: it is the answer. */
static bool take_text(struct ax_debugger *d)
{
    size_t len = strlen(d->said);

    if (d->reply[0] != 'O' || !strcmp(d->reply, "OK"))
        return false;
    for (size_t i = 1; i + 1 < d->reply_len && len + 1 < sizeof(d->said);
         i += 2)
        d->said[len++] =
            (char)(hex_digit(d->reply[i]) << 4 | hex_digit(d->reply[i + 1]));
    d->said[len] = '\0';
    return true;
}

static void debugger_received(void *ctx, const char *bytes, size_t count)
{
    struct ax_debugger *d = ctx;

    need(count <= sizeof(d->raw) - d->raw_len, "too much was sent");
    memcpy(d->raw + d->raw_len, bytes, count);
    d->raw_len += count;
    ax_loop_stop(d->loop);
}

static void debugger_over(void *ctx)
{
    struct ax_debugger *d = ctx;

    d->over = true;
    ax_loop_stop(d->loop);
}

static void debugger_late(void *ctx, uint64_t count)
{
    struct ax_debugger *d = ctx;

    d->late = true;
    ax_loop_stop(d->loop);
}

const char *ax_debugger_wait(struct ax_debugger *d)
{
    ax_timer_arm(d->guard, PATIENCE_NS, 0);
    for (;;) {
        if (take_packet(d)) {
            if (!take_text(d))
                break;
        } else if (d->late || d->over) {
            strcpy(d->reply, d->late ? "(late)" : "(over)");
            break;
        } else {
            ax_loop_run(d->loop);
        }
    }
    ax_timer_arm(d->guard, 0, 0);
    return d->reply;
}

static void tick(void *ctx, uint64_t count)
{
    ax_loop_stop(ctx);
}

bool ax_debugger_until(struct ax_debugger *d,
                       bool (*cond)(struct ax_debugger *d))
{
    struct ax_timer *ticks;

    need(!ax_timer_create(d->loop, tick, d->loop, &ticks), "timer");
    ax_timer_arm(ticks, 1000000, 1000000);
    ax_timer_arm(d->guard, PATIENCE_NS, 0);
    while (!cond(d) && !d->late)
        ax_loop_run(d->loop);
    ax_timer_arm(d->guard, 0, 0);
    ax_timer_destroy(ticks);
    return !d->late;
}

/* ---- what goes out ---- */

void ax_debugger_raw(struct ax_debugger *d, const char *bytes, size_t count)
{
    ax_session_receive(d->session, (const uint8_t *)bytes, count);
}

__attribute__((format(printf, 2, 0))) static void
debugger_send(struct ax_debugger *d, const char *fmt, va_list args)
{
    static char data[AX_DEBUGGER_LINE], packet[AX_DEBUGGER_LINE + 8];
    unsigned sum = 0;
    int len;

    vsnprintf(data, sizeof(data), fmt, args);
    for (const char *at = data; *at; at++)
        sum += (uint8_t)*at;
    len = snprintf(packet, sizeof(packet), "$%s#%02x", data, sum & 0xff);
    ax_debugger_raw(d, packet, (size_t)len);
}

void ax_debugger_send(struct ax_debugger *d, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    debugger_send(d, fmt, args);
    va_end(args);
}

const char *ax_debugger_ask(struct ax_debugger *d, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    debugger_send(d, fmt, args);
    va_end(args);
    return ax_debugger_wait(d);
}

/* ---- its life ---- */

static void quit_nothing(void *ctx)
{
}

void ax_debugger_create(struct ax_debugger *d, const struct ax_backend_ops *ops,
                        unsigned cpus, const struct ax_test_program *program,
                        const char *base)
{
    struct ax_fleet_env fleet = {.ops = ops};

    memset(d, 0, sizeof(*d));
    need(!ax_loop_create(&d->loop), "loop");
    need(!ax_log_create("/dev/null", AX_LOG_OFF, &d->log), "log");
    fleet.loop = d->loop;
    fleet.log = d->log;
    need(!ax_fleet_create(&fleet, &d->fleet), "fleet");
    d->vm = ax_test_fleet_add(d->fleet, ops, "debuggee", cpus, program, base);
    need(d->vm, "VM");
    need(!ax_target_create(d->vm, &d->target), "target");
    need(!ax_timer_create(d->loop, debugger_late, d, &d->guard), "timer");
    d->control.fleet = d->fleet;
    d->control.loop = d->loop;
    d->control.log = d->log;
    d->control.quit = quit_nothing;
}

void ax_debugger_destroy(struct ax_debugger *d)
{
    ax_session_destroy(d->session);
    ax_target_destroy(d->target);
    ax_timer_destroy(d->guard);
    ax_fleet_destroy(d->fleet);
    ax_loop_destroy(d->loop);
    ax_log_destroy(d->log);
}

void ax_debugger_connect(struct ax_debugger *d)
{
    struct ax_session_env env = {
        .target = d->target,
        .control = &d->control,
        .ops = &d->ops,
        .send = debugger_received,
        .over = debugger_over,
        .ctx = d,
    };

    d->over = false;
    d->raw_len = 0;
    d->said[0] = '\0';
    need(!ax_session_create(&env, &d->session), "session");
    ax_debugger_ask(d, "qSupported:swbreak+;hwbreak+");
}

void ax_debugger_disconnect(struct ax_debugger *d)
{
    ax_session_destroy(d->session);
    d->session = NULL;
}
