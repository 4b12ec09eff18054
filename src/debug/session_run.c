/*
 * session_run.c - a debugger lets the VM go, and hears of its stops and of its
 * end.
 */
#include "debug/session_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { EVENT = 160 /* bytes of a line about one */ };

/* Signals by gdb's numbers (gdb/signals.def), which are not the host's. */
enum {
    SIGNAL_INT = 2,
    SIGNAL_TRAP = 5,
    SIGNAL_ABRT = 6,
    SIGNAL_TERM = 15,
    SIGNAL_STOP = 17,
};

/* ---- stops ---- */

static unsigned stop_signal(const struct ax_session *s,
                            const struct ax_target_stop *stop)
{
    switch (stop->why) {
    case AX_WHY_ASKED:
        return s->interrupted ? SIGNAL_INT
               : s->running   ? SIGNAL_STOP
                              : SIGNAL_TRAP;
    case AX_WHY_EVENT:
        return stop->cause == AX_VM_END_CRASH ? SIGNAL_ABRT : SIGNAL_TERM;
    default:
        return SIGNAL_TRAP;
    }
}

static void put_reason(struct ax_session *s, const struct ax_target_stop *stop)
{
    static const char *const watches[] = {
        [AX_WATCH_WRITE] = "watch",
        [AX_WATCH_READ] = "rwatch",
        [AX_WATCH_ACCESS] = "awatch",
    };

    if (stop->why == AX_WHY_WATCH)
        ax_packet_format(&s->out, "%s:%" PRIx64 ";", watches[stop->type],
                         stop->addr);
    else if (stop->why == AX_WHY_BREAK && s->swbreak &&
             (!stop->far || s->modes.linear_pc))
        ax_packet_text(&s->out,
                       stop->type == AX_BREAK_SOFT ? "swbreak:;" : "hwbreak:;");
}

static void put_expedited(struct ax_session *s,
                          const struct ax_target_stop *stop)
{
    const struct ax_gdb_ops *ops = ax_target_ops(s->target);

    for (unsigned i = 0; i < stop->expedited_count; i++) {
        const unsigned reg = ops->expedited[i];

        if (reg == ops->pc && s->modes.linear_pc)
            continue;
        ax_packet_format(&s->out, "%x:", reg);
        ax_packet_hex(&s->out, stop->expedited[i], ops->reg_size(reg));
        ax_packet_text(&s->out, ";");
    }
}

static void reply_stop(struct ax_session *s)
{
    const struct ax_target_stop *stop = &s->stop;

    ax_packet_begin(&s->out);
    ax_packet_format(&s->out, "T%02xthread:%x;", stop_signal(s, stop),
                     stop->vcpu + 1);
    put_reason(s, stop);
    put_expedited(s, stop);
    ax_session_send_out(s, false);
    s->running = false;
    s->interrupted = false;
}

static void say_event(struct ax_session *s, const struct ax_target_stop *stop)
{
    static const char *const events[] = {
        [AX_VM_END_OFF] = "The guest powers off",
        [AX_VM_END_RESET] = "The guest resets itself",
        [AX_VM_END_CRASH] = "The guest has crashed",
    };
    char text[EVENT];

    snprintf(text, sizeof(text),
             "%s (vCPU %u): it is halted as it is; continue lets it happen.\n",
             events[stop->cause], stop->vcpu);
    ax_session_say(s, text);
}

static void heard_stop(void *ctx, const struct ax_target_stop *stop)
{
    struct ax_session *s = ctx;

    s->stop = *stop;
    s->thread = stop->vcpu;
    if (s->running) {
        if (stop->why == AX_WHY_EVENT)
            say_event(s, stop);
        reply_stop(s);
    }
    ax_monitor_stopped(s->monitor);
}

static void session_detach(struct ax_session *s)
{
    ax_target_detach(s->target);
    s->attached = false;
    s->running = false;
}

static void heard_end(void *ctx, struct ax_vm_end end)
{
    struct ax_session *s = ctx;
    const bool waited = s->running;

    session_detach(s);
    if (waited) {
        ax_packet_begin(&s->out);
        if (end.cause == AX_VM_END_CRASH)
            ax_packet_format(&s->out, "X%02x", (unsigned)SIGNAL_ABRT);
        else
            ax_packet_format(
                &s->out, "W%02x",
                (unsigned)(end.cause == AX_VM_END_EXIT ? end.code & 0xff : 0));
        ax_session_send_out(s, false);
    }
    ax_monitor_stopped(s->monitor);
    if (!s->extended && !s->monitoring)
        ax_session_end(s);
}

static void heard_restart(void *ctx)
{
    struct ax_session *s = ctx;

    if (s->running)
        ax_session_say(s, "The guest starts again.\n");
}

int ax_session_attach(struct ax_session *s)
{
    const struct ax_target_events events = {
        .stopped = heard_stop,
        .ended = heard_end,
        .restarted = heard_restart,
        .ctx = s,
    };
    int err = ax_target_attach(s->target, &events, &s->stop);

    if (err)
        return err;
    s->attached = true;
    s->thread = s->stop.vcpu;
    s->run_thread = ALL_THREADS;
    return 0;
}

/* ---- what goes on ---- */

static void go_on(struct ax_session *s, const struct ax_target_action *actions)
{
    int err;

    s->running = true;
    s->interrupted = false;
    err = ax_target_resume(s->target, actions);
    if (!err)
        return;
    s->running = false;
    ax_session_reply_result(s, err);
}

void ax_session_do_question(struct ax_session *s, struct ax_packet_scan *in)
{
    reply_stop(s);
}

/* c:THREAD, s, r START,END...: one action of vCont. */
static bool take_action(struct ax_packet_scan *in,
                        struct ax_target_action *action)
{
    uint64_t signal;

    memset(action, 0, sizeof(*action));
    if (ax_packet_take_char(in, 'c')) {
        action->go = AX_GO_RUN;
        return true;
    }
    if (ax_packet_take_char(in, 's')) {
        action->go = AX_GO_STEP;
        return true;
    }
    if (ax_packet_take_char(in, 'C')) { /* a guest takes no signals */
        action->go = AX_GO_RUN;
        return ax_packet_take_number(in, &signal);
    }
    if (ax_packet_take_char(in, 'S')) {
        action->go = AX_GO_STEP;
        return ax_packet_take_number(in, &signal);
    }
    if (ax_packet_take_char(in, 't'))
        return true;
    action->go = AX_GO_STEP;
    return ax_packet_take_char(in, 'r') &&
           ax_packet_take_number(in, &action->start) &&
           ax_packet_take_char(in, ',') &&
           ax_packet_take_number(in, &action->end);
}

/* The first action that names a thread is its own. */
void ax_session_do_vcont(struct ax_session *s, struct ax_packet_scan *in)
{
    struct ax_target_action actions[AX_CPUS_MAX] = {{.go = AX_GO_HOLD}};
    bool given[AX_CPUS_MAX] = {false};

    while (ax_packet_take_char(in, ';')) {
        struct ax_target_action action;
        int which = ALL_THREADS;

        if (!take_action(in, &action) ||
            (ax_packet_take_char(in, ':') &&
             !ax_session_take_vcpu(s, in, &which))) {
            ax_session_reply_errno(s, -EINVAL);
            return;
        }
        for (unsigned i = 0; i < ax_session_vcpus(s); i++) {
            if (given[i] || (which != ALL_THREADS && which != (int)i))
                continue;
            given[i] = true;
            actions[i] = action;
        }
    }
    go_on(s, actions);
}

void ax_session_do_vcont_question(struct ax_session *s,
                                  struct ax_packet_scan *in)
{
    ax_session_reply(s, "vCont;c;C;s;S;t;r");
}

/* The old way: "c" and "s", with an address or not. */
static void go_old(struct ax_session *s, struct ax_packet_scan *in,
                   enum ax_target_go go)
{
    struct ax_target_action actions[AX_CPUS_MAX] = {{.go = AX_GO_HOLD}};
    uint64_t addr;
    int err = 0;

    if (ax_packet_take_number(in, &addr))
        err = ax_session_set_pc(s, addr);
    if (err) {
        ax_session_reply_errno(s, err);
        return;
    }
    for (unsigned i = 0; i < ax_session_vcpus(s); i++) {
        if (go == AX_GO_RUN &&
            (s->run_thread == ALL_THREADS || s->run_thread == (int)i))
            actions[i].go = AX_GO_RUN;
    }
    if (go == AX_GO_STEP)
        actions[s->run_thread == ALL_THREADS ? (int)s->thread : s->run_thread]
            .go = AX_GO_STEP;
    go_on(s, actions);
}

void ax_session_do_continue(struct ax_session *s, struct ax_packet_scan *in)
{
    go_old(s, in, AX_GO_RUN);
}

void ax_session_do_step(struct ax_session *s, struct ax_packet_scan *in)
{
    go_old(s, in, AX_GO_STEP);
}

/* With a signal, which a guest does not take. */
void ax_session_do_continue_signal(struct ax_session *s,
                                   struct ax_packet_scan *in)
{
    uint64_t signal;

    ax_packet_take_number(in, &signal);
    ax_packet_take_char(in, ';');
    go_old(s, in, AX_GO_RUN);
}

void ax_session_do_step_signal(struct ax_session *s, struct ax_packet_scan *in)
{
    uint64_t signal;

    ax_packet_take_number(in, &signal);
    ax_packet_take_char(in, ';');
    go_old(s, in, AX_GO_STEP);
}

void ax_session_interrupt(struct ax_session *s)
{
    ax_session_cancel_monitor(s);
    if (!s->running)
        return;
    s->interrupted = true;
    ax_target_halt(s->target);
}

/* ---- sessions ---- */

void ax_session_do_extended(struct ax_session *s, struct ax_packet_scan *in)
{
    s->extended = true;
    ax_session_reply_ok(s);
}

void ax_session_do_detach(struct ax_session *s, struct ax_packet_scan *in)
{
    session_detach(s);
    ax_session_reply_ok(s);
    if (!s->extended)
        ax_session_end(s);
}

static void kill_vm(struct ax_session *s)
{
    struct ax_vm *vm = ax_target_vm(s->target);

    ax_vm_force_stop(vm); /* first: it is not to run on meanwhile */
    session_detach(s);
    if (!s->extended)
        ax_session_end(s);
}

/* No answer. */
void ax_session_do_kill(struct ax_session *s, struct ax_packet_scan *in)
{
    kill_vm(s);
}

void ax_session_do_vkill(struct ax_session *s, struct ax_packet_scan *in)
{
    ax_session_reply_ok(s);
    kill_vm(s);
}

void ax_session_do_vattach(struct ax_session *s, struct ax_packet_scan *in)
{
    int err = s->attached ? 0 : ax_session_attach(s);

    if (err)
        ax_session_reply_result(s, err);
    else
        reply_stop(s);
}

/* "run": the VM anew, halted at its first instruction. */
void ax_session_do_vrun(struct ax_session *s, struct ax_packet_scan *in)
{
    int err = s->attached ? 0 : ax_session_attach(s);

    if (!err)
        err = ax_target_reset(s->target);
    if (err)
        ax_session_reply_result(s, err);
    else
        s->running = true;
}
