/*
 * session.c - a table of packets, each with the function that answers it.
 */
#include "debug/session.h"

#include "debug/annex.h"
#include "debug/files.h"
#include "debug/monitor.h"
#include "debug/packet.h"
#include "log.h"
#include "vcpu/vcpu.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALL_THREADS = -1,
    MEMORY_MAX = AX_PACKET_MAX / 2,
    REGS_BYTES = 2048,
    REASON = 160,
    CONDITIONS = 64,
    COMMAND = 2048,
};

/* Signals by gdb's numbers (gdb/signals.def), which are not the host's. */
enum {
    SIGNAL_INT = 2,
    SIGNAL_TRAP = 5,
    SIGNAL_ABRT = 6,
    SIGNAL_SEGV = 11,
    SIGNAL_TERM = 15,
    SIGNAL_STOP = 17,
};

struct ax_session {
    struct ax_session_env env;
    struct ax_target *target;
    struct ax_monitor *monitor;
    struct ax_monitor_modes modes;
    struct ax_files *files;
    struct ax_files_text description;
    bool attached;
    bool acks;        /* until QStartNoAckMode */
    bool extended;    /* '!': the connection outlives the VM's end */
    bool swbreak;     /* gdb knows the reasons of a stop */
    bool running;     /* gdb waits for a stop */
    bool interrupted; /* ... and has pressed Ctrl-C */
    bool monitoring;  /* gdb waits for the end of a monitor command */
    bool over;
    unsigned thread;            /* selected for registers and memory: a vCPU */
    int run_thread;             /* for "c" and "s": a vCPU, or ALL_THREADS */
    unsigned next_thread;       /* of a list that gdb is reading */
    struct ax_target_stop stop; /* the last one */
    struct ax_packet_reader reader;
    struct ax_packet out; /* the last one, for it may be asked for again */
    uint8_t buf[AX_PACKET_MAX];
};

typedef struct ax_packet_scan scan;

/* ---- answers ---- */

static void send_out(struct ax_session *s, bool runs)
{
    ax_packet_end(&s->out, runs);
    s->env.send(s->env.ctx, s->out.bytes, s->out.len);
}

static void reply(struct ax_session *s, const char *text)
{
    ax_packet_begin(&s->out);
    ax_packet_text(&s->out, text);
    send_out(s, false);
}

static void reply_ok(struct ax_session *s)
{
    reply(s, "OK");
}

static void reply_errno(struct ax_session *s, int err)
{
    ax_packet_begin(&s->out);
    ax_packet_format(&s->out, "E%02x", (unsigned)-err & 0xff);
    send_out(s, false);
}

/* In words; a gdb that shows none takes it for an error all the same. */
static void reply_error(struct ax_session *s, const char *why)
{
    ax_packet_begin(&s->out);
    ax_packet_text(&s->out, "E.");
    ax_packet_text(&s->out, why);
    send_out(s, false);
}

static void reply_result(struct ax_session *s, int err)
{
    const char *why = ax_target_refusal(s->target);

    if (!err)
        reply_ok(s);
    else if ((err == -EPERM || err == -EBUSY) && *why)
        reply_error(s, why);
    else
        reply_errno(s, err);
}

/* Text for gdb's user, where gdb takes it: while it waits. */
static void say(void *ctx, const char *text)
{
    struct ax_session *s = ctx;

    ax_packet_begin(&s->out);
    ax_packet_text(&s->out, "O");
    ax_packet_hex(&s->out, text, strlen(text));
    send_out(s, true);
}

/* ---- threads: vCPU n is thread n + 1 ---- */

static unsigned vcpus(const struct ax_session *s)
{
    return ax_vm_vcpu_count(ax_target_vm(s->target));
}

/* A thread's number; 0 is any: the selected one. False: there is none such. */
static bool take_vcpu(struct ax_session *s, scan *in, int *out)
{
    int thread;

    if (!ax_packet_take_thread(in, &thread))
        return false;
    *out = thread == 0 ? (int)s->thread : thread < 0 ? ALL_THREADS : thread - 1;
    return *out < (int)vcpus(s);
}

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
    else if (stop->why == AX_WHY_BREAK && s->swbreak)
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
    send_out(s, false);
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
    char text[REASON];

    snprintf(text, sizeof(text),
             "%s (vCPU %u): it is halted as it is; continue lets it happen.\n",
             events[stop->cause], stop->vcpu);
    say(s, text);
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

static void session_end(struct ax_session *s)
{
    if (s->over)
        return;
    s->over = true;
    s->env.over(s->env.ctx);
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
        send_out(s, false);
    }
    ax_monitor_stopped(s->monitor);
    if (!s->extended && !s->monitoring)
        session_end(s);
}

static void heard_restart(void *ctx)
{
    struct ax_session *s = ctx;

    if (s->running)
        say(s, "The guest starts again.\n");
}

static int session_attach(struct ax_session *s)
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
    reply_result(s, err);
}

static void do_question(struct ax_session *s, scan *in)
{
    reply_stop(s);
}

/* c:THREAD, s, r START,END...: one action of vCont. */
static bool take_action(scan *in, struct ax_target_action *action)
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
static void do_vcont(struct ax_session *s, scan *in)
{
    struct ax_target_action actions[AX_CPUS_MAX] = {{.go = AX_GO_HOLD}};
    bool given[AX_CPUS_MAX] = {false};

    while (ax_packet_take_char(in, ';')) {
        struct ax_target_action action;
        int which = ALL_THREADS;

        if (!take_action(in, &action) ||
            (ax_packet_take_char(in, ':') && !take_vcpu(s, in, &which))) {
            reply_errno(s, -EINVAL);
            return;
        }
        for (unsigned i = 0; i < vcpus(s); i++) {
            if (given[i] || (which != ALL_THREADS && which != (int)i))
                continue;
            given[i] = true;
            actions[i] = action;
        }
    }
    go_on(s, actions);
}

static void do_vcont_question(struct ax_session *s, scan *in)
{
    reply(s, "vCont;c;C;s;S;t;r");
}

/* The old way: "c" and "s", with an address or not. */
static void go_old(struct ax_session *s, scan *in, enum ax_target_go go)
{
    struct ax_target_action actions[AX_CPUS_MAX] = {{.go = AX_GO_HOLD}};
    const struct ax_gdb_ops *ops = ax_target_ops(s->target);
    uint64_t addr;
    int err = 0;

    if (ax_packet_take_number(in, &addr))
        err = ax_target_regs_set(s->target, s->thread, ops->pc, ops->pc + 1,
                                 (const uint8_t *)&addr);
    if (err) {
        reply_errno(s, err);
        return;
    }
    for (unsigned i = 0; i < vcpus(s); i++) {
        if (go == AX_GO_RUN &&
            (s->run_thread == ALL_THREADS || s->run_thread == (int)i))
            actions[i].go = AX_GO_RUN;
    }
    if (go == AX_GO_STEP)
        actions[s->run_thread == ALL_THREADS ? (int)s->thread : s->run_thread]
            .go = AX_GO_STEP;
    go_on(s, actions);
}

static void do_continue(struct ax_session *s, scan *in)
{
    go_old(s, in, AX_GO_RUN);
}

static void do_step(struct ax_session *s, scan *in)
{
    go_old(s, in, AX_GO_STEP);
}

/* With a signal, which a guest does not take. */
static void do_continue_signal(struct ax_session *s, scan *in)
{
    uint64_t signal;

    ax_packet_take_number(in, &signal);
    ax_packet_take_char(in, ';');
    go_old(s, in, AX_GO_RUN);
}

static void do_step_signal(struct ax_session *s, scan *in)
{
    uint64_t signal;

    ax_packet_take_number(in, &signal);
    ax_packet_take_char(in, ';');
    go_old(s, in, AX_GO_STEP);
}

/* gdb does not wait for it any more; it tells so by saying something else. */
static void cancel_monitor(struct ax_session *s)
{
    if (s->monitoring)
        ax_monitor_cancel(s->monitor);
    s->monitoring = false;
}

static void interrupt(struct ax_session *s)
{
    cancel_monitor(s);
    if (!s->running)
        return;
    s->interrupted = true;
    ax_target_halt(s->target);
}

/* ---- sessions ---- */

static void do_extended(struct ax_session *s, scan *in)
{
    s->extended = true;
    reply_ok(s);
}

static void do_detach(struct ax_session *s, scan *in)
{
    session_detach(s);
    reply_ok(s);
    if (!s->extended)
        session_end(s);
}

static void kill_vm(struct ax_session *s)
{
    struct ax_vm *vm = ax_target_vm(s->target);

    session_detach(s);
    ax_vm_force_stop(vm);
    if (!s->extended)
        session_end(s);
}

/* No answer. */
static void do_kill(struct ax_session *s, scan *in)
{
    kill_vm(s);
}

static void do_vkill(struct ax_session *s, scan *in)
{
    reply_ok(s);
    kill_vm(s);
}

static void do_vattach(struct ax_session *s, scan *in)
{
    int err = s->attached ? 0 : session_attach(s);

    if (err)
        reply_result(s, err);
    else
        reply_stop(s);
}

/* "run": the VM anew, halted at its first instruction. */
static void do_vrun(struct ax_session *s, scan *in)
{
    int err = s->attached ? 0 : session_attach(s);

    if (!err)
        err = ax_target_reset(s->target);
    if (err)
        reply_result(s, err);
    else
        s->running = true;
}

/* As "run", but without an answer. */
static void do_restart(struct ax_session *s, scan *in)
{
    ax_target_reset(s->target);
}

/* ---- threads ---- */

static void do_select(struct ax_session *s, scan *in)
{
    const bool runs = ax_packet_take_char(in, 'c');
    int vcpu;

    if ((!runs && !ax_packet_take_char(in, 'g')) || !take_vcpu(s, in, &vcpu)) {
        reply_errno(s, -ESRCH);
        return;
    }
    if (runs)
        s->run_thread = vcpu;
    else if (vcpu != ALL_THREADS)
        s->thread = (unsigned)vcpu;
    reply_ok(s);
}

static void do_alive(struct ax_session *s, scan *in)
{
    int vcpu;

    reply_result(s, take_vcpu(s, in, &vcpu) && vcpu >= 0 ? 0 : -ESRCH);
}

static void do_current(struct ax_session *s, scan *in)
{
    ax_packet_begin(&s->out);
    ax_packet_format(&s->out, "QC%x", s->thread + 1);
    send_out(s, false);
}

static void list_threads(struct ax_session *s)
{
    const char *before = "m";

    ax_packet_begin(&s->out);
    if (s->next_thread == vcpus(s))
        ax_packet_text(&s->out, "l");
    for (; s->next_thread < vcpus(s); s->next_thread++) {
        ax_packet_format(&s->out, "%s%x", before, s->next_thread + 1);
        before = ",";
    }
    send_out(s, false);
}

static void do_first_threads(struct ax_session *s, scan *in)
{
    s->next_thread = 0;
    list_threads(s);
}

static void do_more_threads(struct ax_session *s, scan *in)
{
    list_threads(s);
}

struct describe {
    const struct ax_gdb_ops *ops;
    char text[REASON];
};

static int describe_vcpu(void *ctx, const struct ax_backend_ops *ops,
                         struct ax_engine_vcpu *engine)
{
    struct describe *d = ctx;

    d->ops->describe(ops, engine, d->text, sizeof(d->text));
    return 0;
}

static void do_thread_info(struct ax_session *s, scan *in)
{
    struct describe d = {.ops = ax_target_ops(s->target)};
    int vcpu, err = -ESRCH;

    if (take_vcpu(s, in, &vcpu) && vcpu >= 0)
        err = ax_target_call(s->target, (unsigned)vcpu, describe_vcpu, &d);
    if (err) {
        reply_errno(s, err);
        return;
    }
    ax_packet_begin(&s->out);
    ax_packet_hex(&s->out, d.text, strlen(d.text));
    send_out(s, false);
}

/* ---- registers ---- */

/* regs begins with register from; what "monitor pc linear" makes of the pc. */
static void show_linear_pc(struct ax_session *s, unsigned from, unsigned to,
                           uint8_t *regs)
{
    const struct ax_gdb_ops *ops = ax_target_ops(s->target);
    struct ax_gdb_view view;

    if (!s->modes.linear_pc || ops->pc < from || ops->pc >= to ||
        ax_target_view(s->target, s->thread, &view))
        return;
    for (unsigned reg = from; reg < ops->pc; reg++)
        regs += ops->reg_size(reg);
    memcpy(regs, &view.pc, ops->reg_size(ops->pc));
}

/* ... and back. */
static void hide_linear_pc(struct ax_session *s, unsigned from, unsigned to,
                           uint8_t *regs)
{
    const struct ax_gdb_ops *ops = ax_target_ops(s->target);
    const unsigned size = ops->reg_size(ops->pc);
    struct ax_gdb_view view;
    uint64_t pc = 0;

    if (!s->modes.linear_pc || ops->pc < from || ops->pc >= to ||
        ax_target_view(s->target, s->thread, &view))
        return;
    for (unsigned reg = from; reg < ops->pc; reg++)
        regs += ops->reg_size(reg);
    memcpy(&pc, regs, size);
    pc -= view.pc_base;
    memcpy(regs, &pc, size);
}

static size_t regs_bytes(const struct ax_session *s, unsigned from, unsigned to)
{
    const struct ax_gdb_ops *ops = ax_target_ops(s->target);
    size_t size = 0;

    for (unsigned reg = from; reg < to; reg++)
        size += ops->reg_size(reg);
    return size;
}

static void reply_regs(struct ax_session *s, unsigned from, unsigned to)
{
    uint8_t regs[REGS_BYTES];
    bool unknown;
    int err =
        ax_target_regs_get(s->target, s->thread, from, to, regs, &unknown);

    if (err || (unknown && to == from + 1)) {
        reply_errno(s, err ? err : -EINVAL);
        return;
    }
    show_linear_pc(s, from, to, regs);
    ax_packet_begin(&s->out);
    ax_packet_hex(&s->out, regs, regs_bytes(s, from, to));
    send_out(s, true);
}

static void take_regs(struct ax_session *s, scan *in, unsigned from,
                      unsigned to)
{
    uint8_t regs[REGS_BYTES];

    if (!ax_packet_take_hex(in, regs, regs_bytes(s, from, to)) ||
        in->at != in->end) {
        reply_errno(s, -EINVAL);
        return;
    }
    hide_linear_pc(s, from, to, regs);
    reply_result(s, ax_target_regs_set(s->target, s->thread, from, to, regs));
}

static void do_regs_get(struct ax_session *s, scan *in)
{
    reply_regs(s, 0, ax_target_ops(s->target)->general_count);
}

static void do_regs_set(struct ax_session *s, scan *in)
{
    take_regs(s, in, 0, ax_target_ops(s->target)->general_count);
}

static bool take_reg(struct ax_session *s, scan *in, unsigned *reg)
{
    uint64_t number;

    if (!ax_packet_take_number(in, &number) ||
        number >= ax_target_ops(s->target)->reg_count) {
        reply_errno(s, -EINVAL);
        return false;
    }
    *reg = (unsigned)number;
    return true;
}

static void do_reg_get(struct ax_session *s, scan *in)
{
    unsigned reg;

    if (take_reg(s, in, &reg))
        reply_regs(s, reg, reg + 1);
}

static void do_reg_set(struct ax_session *s, scan *in)
{
    unsigned reg;

    if (!take_reg(s, in, &reg))
        return;
    if (ax_packet_take_char(in, '='))
        take_regs(s, in, reg, reg + 1);
    else
        reply_errno(s, -EINVAL);
}

/* ---- memory ---- */

static bool take_range(struct ax_session *s, scan *in, uint64_t *addr,
                       uint64_t *len)
{
    if (ax_packet_take_number(in, addr) && ax_packet_take_char(in, ',') &&
        ax_packet_take_number(in, len))
        return true;
    reply_errno(s, -EINVAL);
    return false;
}

/* How many of len bytes are there and fit; 0: answered why not. */
static size_t read_memory(struct ax_session *s, uint64_t addr, uint64_t len)
{
    const size_t most = len < MEMORY_MAX ? (size_t)len : MEMORY_MAX;
    const size_t count = ax_target_read(s->target, s->thread, s->modes.physical,
                                        addr, s->buf, most);

    if (!count)
        reply_errno(s, -EFAULT);
    return count;
}

static void do_read(struct ax_session *s, scan *in)
{
    uint64_t addr, len;
    size_t count;

    if (!take_range(s, in, &addr, &len))
        return;
    if (!len) {
        reply(s, "");
        return;
    }
    count = read_memory(s, addr, len);
    if (!count)
        return;
    ax_packet_begin(&s->out);
    ax_packet_hex(&s->out, s->buf, count);
    send_out(s, true);
}

static void do_read_binary(struct ax_session *s, scan *in)
{
    uint64_t addr, len;
    size_t count = 0;

    if (!take_range(s, in, &addr, &len))
        return;
    if (len)
        count = read_memory(s, addr, len);
    if (len && !count)
        return;
    ax_packet_begin(&s->out);
    ax_packet_text(&s->out, "b");
    ax_packet_binary(&s->out, s->buf, count);
    send_out(s, false);
}

static void write_memory(struct ax_session *s, uint64_t addr, const void *bytes,
                         size_t len)
{
    reply_result(s, ax_target_write(s->target, s->thread, s->modes.physical,
                                    addr, bytes, len));
}

static void do_write(struct ax_session *s, scan *in)
{
    uint64_t addr, len;

    if (!take_range(s, in, &addr, &len))
        return;
    if (!ax_packet_take_char(in, ':') || len > sizeof(s->buf) ||
        !ax_packet_take_hex(in, s->buf, (size_t)len) || in->at != in->end)
        reply_errno(s, -EINVAL);
    else
        write_memory(s, addr, s->buf, (size_t)len);
}

static void do_write_binary(struct ax_session *s, scan *in)
{
    uint64_t addr, len;

    if (!take_range(s, in, &addr, &len))
        return;
    if (!ax_packet_take_char(in, ':') || (size_t)(in->end - in->at) != len)
        reply_errno(s, -EINVAL);
    else
        write_memory(s, addr, in->at, (size_t)len);
}

/* ---- breakpoints ---- */

/* Z's conditions into s->buf: "X len,bytes" each. -EINVAL, -ENOSPC. */
static int take_conditions(struct ax_session *s, scan *in,
                           struct ax_target_code codes[CONDITIONS],
                           unsigned *count)
{
    size_t used = 0;

    *count = 0;
    while (in->at != in->end) {
        uint64_t len;

        ax_packet_take_char(in, ';');
        if (!ax_packet_take_char(in, 'X') || !ax_packet_take_number(in, &len) ||
            !ax_packet_take_char(in, ','))
            return -EINVAL;
        if (len > sizeof(s->buf) - used || *count == CONDITIONS)
            return -ENOSPC;
        if (!ax_packet_take_hex(in, s->buf + used, (size_t)len))
            return -EINVAL;
        codes[*count].bytes = s->buf + used;
        codes[(*count)++].size = (size_t)len;
        used += (size_t)len;
    }
    return 0;
}

static bool take_place(scan *in, uint64_t *type, uint64_t *addr, uint64_t *size)
{
    return ax_packet_take_number(in, type) && ax_packet_take_char(in, ',') &&
           ax_packet_take_number(in, addr) && ax_packet_take_char(in, ',') &&
           ax_packet_take_number(in, size) && *type <= AX_WATCH_ACCESS &&
           *size <= UINT32_MAX;
}

static void reply_breakpoint(struct ax_session *s, int err)
{
    if (err == -EOPNOTSUPP)
        reply(s, ""); /* gdb then does without */
    else if (err == -ENOSPC)
        reply_error(s, "the CPU has no debug register left");
    else if (err == -EINVAL)
        reply_error(s, "a debug register watches 1, 2, 4 or 8 bytes, aligned");
    else
        reply_result(s, err);
}

static void do_insert(struct ax_session *s, scan *in)
{
    struct ax_target_code codes[CONDITIONS];
    uint64_t type, addr, size;
    unsigned count;
    int err = -EINVAL;

    if (take_place(in, &type, &addr, &size))
        err = take_conditions(s, in, codes, &count);
    if (!err)
        err = ax_target_insert(s->target, s->thread, (enum ax_target_type)type,
                               addr, (unsigned)size, codes, count);
    reply_breakpoint(s, err);
}

static void do_remove(struct ax_session *s, scan *in)
{
    uint64_t type, addr, size;
    int err = -EINVAL;

    if (take_place(in, &type, &addr, &size))
        err = ax_target_remove(s->target, (enum ax_target_type)type, addr,
                               (unsigned)size);
    reply_breakpoint(s, err == -ENOENT ? 0 : err);
}

/* ---- queries ---- */

/* What gdb knows of: "swbreak+;hwbreak+;..." */
static bool has_feature(const scan *in, const char *name)
{
    struct ax_packet_scan rest = *in, piece;

    while (ax_packet_take_piece(&rest, ';', &piece)) {
        if (ax_packet_take(&piece, name) && piece.at == piece.end)
            return true;
    }
    return false;
}

static void do_supported(struct ax_session *s, scan *in)
{
    ax_packet_take_char(in, ':');
    s->swbreak = has_feature(in, "swbreak+");
    ax_packet_begin(&s->out);
    ax_packet_format(&s->out,
                     "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;"
                     "qXfer:threads:read+;qXfer:memory-map:read+;"
                     "vContSupported+;ConditionalBreakpoints+;swbreak+;"
                     "hwbreak+;binary-upload+",
                     (unsigned)AX_PACKET_MAX);
    if (ax_files_exec(s->files))
        ax_packet_text(&s->out, ";qXfer:exec-file:read+");
    send_out(s, false);
}

static void do_no_acks(struct ax_session *s, scan *in)
{
    reply_ok(s);
    s->acks = false;
    s->reader.check = false;
}

static void do_attached(struct ax_session *s, scan *in)
{
    reply(s, "1"); /* quitting gdb detaches */
}

static void do_symbol(struct ax_session *s, scan *in)
{
    reply_ok(s); /* no symbol is asked for */
}

static void do_physical_query(struct ax_session *s, scan *in)
{
    reply(s, s->modes.physical ? "1" : "0");
}

static void do_physical_set(struct ax_session *s, scan *in)
{
    uint64_t on;

    if (ax_packet_take_number(in, &on) && in->at == in->end) {
        s->modes.physical = on;
        reply_ok(s);
    } else {
        reply_errno(s, -EINVAL);
    }
}

static void monitor_done(void *ctx, bool ok)
{
    struct ax_session *s = ctx;

    s->monitoring = false;
    reply_ok(s); /* what went wrong was said */
    if (!s->attached && !s->extended)
        session_end(s);
}

static void do_monitor(struct ax_session *s, scan *in)
{
    char command[COMMAND];

    if (!ax_packet_take_char(in, ',') ||
        !ax_packet_take_text(in, command, sizeof(command)) ||
        in->at != in->end) {
        reply_errno(s, -EINVAL);
        return;
    }
    if (ax_monitor_run(s->monitor, s->thread, command) == -EINPROGRESS)
        s->monitoring = true;
    else
        reply_ok(s);
}

/* ---- documents ---- */

/* range: "OFFSET,LENGTH". text NULL: there was no memory for it. */
static void reply_slice(struct ax_session *s, scan *range, const char *text,
                        size_t size)
{
    ax_packet_begin(&s->out);
    if (!text || ax_annex_slice(text, size, range, &s->out))
        ax_packet_text(&s->out, "E00");
    send_out(s, false);
}

static void reply_text(struct ax_session *s, scan *range, const char *text)
{
    reply_slice(s, range, text, text ? strlen(text) : 0);
}

static void xfer_features(struct ax_session *s, scan *annex, scan *range)
{
    if (ax_packet_take(annex, "target.xml") && annex->at == annex->end)
        reply_text(s, range, ax_target_ops(s->target)->description);
    else
        reply(s, "E00");
}

static void xfer_threads(struct ax_session *s, scan *annex, scan *range)
{
    struct describe about[AX_CPUS_MAX];
    struct ax_annex_thread threads[AX_CPUS_MAX];
    char names[AX_CPUS_MAX][16];
    char *text = NULL;
    size_t size = 0;

    for (unsigned i = 0; i < vcpus(s); i++) {
        about[i].ops = ax_target_ops(s->target);
        about[i].text[0] = '\0';
        ax_target_call(s->target, i, describe_vcpu, &about[i]);
        snprintf(names[i], sizeof(names[i]), "vcpu%u", i);
        threads[i].id = i + 1;
        threads[i].name = names[i];
        threads[i].text = about[i].text;
    }
    ax_annex_threads(threads, vcpus(s), &text, &size);
    reply_slice(s, range, text, size);
    free(text);
}

static void xfer_memory_map(struct ax_session *s, scan *annex, scan *range)
{
    reply_text(s, range, ax_annex_memory_map());
}

static void xfer_exec_file(struct ax_session *s, scan *annex, scan *range)
{
    reply_text(s, range, ax_files_exec(s->files));
}

/* OBJECT:read:ANNEX:OFFSET,LENGTH */
static void do_xfer(struct ax_session *s, scan *in)
{
    static const struct {
        const char *object;
        void (*read)(struct ax_session *s, scan *annex, scan *range);
    } objects[] = {
        {":features:read:", xfer_features},
        {":threads:read:", xfer_threads},
        {":memory-map:read:", xfer_memory_map},
        {":exec-file:read:", xfer_exec_file},
    };
    struct ax_packet_scan annex;

    for (size_t i = 0; i < AX_ARRAY_LEN(objects); i++) {
        if (!ax_packet_take(in, objects[i].object))
            continue;
        /* An empty annex is a piece as well. */
        annex = (struct ax_packet_scan){in->at, in->at};
        if (ax_packet_take_char(in, ':') ||
            ax_packet_take_piece(in, ':', &annex))
            objects[i].read(s, &annex, in);
        else
            reply(s, "E00");
        return;
    }
    reply(s, "");
}

static void do_file(struct ax_session *s, scan *in)
{
    ax_packet_begin(&s->out);
    ax_files_answer(s->files, in, &s->out);
    send_out(s, false);
}

/* ---- the table ---- */

enum { ALWAYS = 1 }; /* also where no VM is attached */

static const struct packet {
    const char *name; /* what it begins with: a letter, or a word */
    void (*answer)(struct ax_session *s, scan *in);
    unsigned flags;
} packets[] = {
    {"?", do_question, 0},
    {"!", do_extended, ALWAYS},
    {"C", do_continue_signal, 0},
    {"D", do_detach, ALWAYS},
    {"G", do_regs_set, 0},
    {"H", do_select, 0},
    {"M", do_write, 0},
    {"P", do_reg_set, 0},
    {"QStartNoAckMode", do_no_acks, ALWAYS},
    {"Qqemu.PhyMemMode:", do_physical_set, ALWAYS},
    {"R", do_restart, 0},
    {"S", do_step_signal, 0},
    {"T", do_alive, 0},
    {"X", do_write_binary, 0},
    {"Z", do_insert, 0},
    {"c", do_continue, 0},
    {"g", do_regs_get, 0},
    {"k", do_kill, ALWAYS},
    {"m", do_read, 0},
    {"p", do_reg_get, 0},
    {"qAttached", do_attached, ALWAYS},
    {"qC", do_current, 0},
    {"qRcmd", do_monitor, ALWAYS},
    {"qSupported", do_supported, ALWAYS},
    {"qSymbol", do_symbol, ALWAYS},
    {"qThreadExtraInfo,", do_thread_info, 0},
    {"qXfer", do_xfer, 0},
    {"qfThreadInfo", do_first_threads, 0},
    {"qqemu.PhyMemMode", do_physical_query, ALWAYS},
    {"qsThreadInfo", do_more_threads, 0},
    {"s", do_step, 0},
    {"vAttach;", do_vattach, ALWAYS},
    {"vCont?", do_vcont_question, ALWAYS},
    {"vCont", do_vcont, 0},
    {"vFile:", do_file, ALWAYS},
    {"vKill;", do_vkill, ALWAYS},
    {"vRun;", do_vrun, ALWAYS},
    {"x", do_read_binary, 0},
    {"z", do_remove, 0},
};

/* Is it that packet, and not one whose name is longer ("qC", "qCRC")? */
static bool take_name(scan *in, const char *name)
{
    const size_t len = strlen(name);
    scan rest = *in;

    if (!ax_packet_take(&rest, name) ||
        (len > 1 && isalpha((unsigned char)name[len - 1]) &&
         rest.at != rest.end && isalpha((unsigned char)*rest.at)))
        return false;
    *in = rest;
    return true;
}

static void session_answer(struct ax_session *s)
{
    scan in = {s->reader.data, s->reader.data + s->reader.len};

    for (size_t i = 0; i < AX_ARRAY_LEN(packets); i++) {
        if (!take_name(&in, packets[i].name))
            continue;
        if (s->attached || packets[i].flags & ALWAYS)
            packets[i].answer(s, &in);
        else
            reply_error(s, "no VM is attached");
        return;
    }
    reply(s, ""); /* not known */
}

/* The first packet shows that this is a debugger: now the VM is halted. */
static bool session_begin(struct ax_session *s)
{
    int err;

    if (s->attached || s->extended || s->reader.len == 0)
        return true;
    err = session_attach(s);
    if (!err)
        return true;
    reply_result(s, err);
    session_end(s);
    return false;
}

static void session_packet(struct ax_session *s)
{
    if (s->acks)
        s->env.send(s->env.ctx, "+", 1);
    if (s->running)
        return; /* gdb waits for a stop, and for nothing else */
    cancel_monitor(s);
    if (session_begin(s))
        session_answer(s);
}

void ax_session_receive(struct ax_session *s, const uint8_t *bytes,
                        size_t count)
{
    while (count && !s->over) {
        enum ax_packet_event event;
        const size_t taken = ax_packet_read(&s->reader, bytes, count, &event);

        bytes += taken;
        count -= taken;
        switch (event) {
        case AX_PACKET_DATA:
            session_packet(s);
            break;
        case AX_PACKET_INTERRUPT:
            interrupt(s);
            break;
        case AX_PACKET_NAK:
            if (s->acks && s->out.len)
                s->env.send(s->env.ctx, s->out.bytes, s->out.len);
            break;
        case AX_PACKET_BAD:
            if (s->acks)
                s->env.send(s->env.ctx, "-", 1);
            break;
        case AX_PACKET_TOO_LONG:
            if (s->acks)
                s->env.send(s->env.ctx, "+", 1);
            if (!s->running)
                reply_error(s, "the packet is too long");
            break;
        case AX_PACKET_ACK:
        case AX_PACKET_MORE:
            break;
        }
    }
}

/* ---- its life ---- */

/* What it may read: the description, and a kernel that is an ELF file. */
static int session_open_files(struct ax_session *s)
{
    const struct ax_config *conf = ax_vm_config(ax_target_vm(s->target));
    struct ax_files_env env = {
        .texts = &s->description, .count = 1, .exec = conf->kernel.path};

    s->description.name = "target.xml";
    s->description.text = s->modes.ops->description;
    return ax_files_create(&env, &s->files);
}

int ax_session_create(const struct ax_session_env *env, struct ax_session **out)
{
    struct ax_session *s = calloc(1, sizeof(*s));
    struct ax_monitor_env monitor = {
        .target = env->target,
        .control = env->control,
        .say = say,
        .done = monitor_done,
        .ctx = s,
    };
    int err;

    *out = NULL;
    if (!s)
        return -ENOMEM;
    s->env = *env;
    s->target = env->target;
    s->acks = true;
    s->run_thread = ALL_THREADS;
    s->modes.ops = *env->ops ? *env->ops : ax_target_ops(env->target);
    ax_target_set_ops(env->target, s->modes.ops);
    monitor.modes = &s->modes;
    ax_packet_reader_init(&s->reader);
    err = ax_monitor_create(&monitor, &s->monitor);
    if (!err)
        err = session_open_files(s);
    if (err) {
        ax_session_destroy(s);
        return err;
    }
    *out = s;
    return 0;
}

void ax_session_destroy(struct ax_session *s)
{
    if (!s)
        return;
    ax_monitor_destroy(s->monitor);
    if (s->attached)
        ax_target_detach(s->target);
    *s->env.ops = s->modes.ops;
    ax_files_destroy(s->files);
    free(s);
}
