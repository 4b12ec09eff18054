/*
 * session.c - a session's life, and the table of packets, each with the
 * function that answers it. Those are in the other parts, by what they are
 * about; see session_parts.h.
 */
#include "debug/session_parts.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

void ax_session_send_out(struct ax_session *s, bool runs)
{
    ax_packet_end(&s->out, runs);
    s->env.send(s->env.ctx, s->out.bytes, s->out.len);
}

void ax_session_reply(struct ax_session *s, const char *text)
{
    ax_packet_begin(&s->out);
    ax_packet_text(&s->out, text);
    ax_session_send_out(s, false);
}

void ax_session_reply_ok(struct ax_session *s)
{
    ax_session_reply(s, "OK");
}

void ax_session_reply_errno(struct ax_session *s, int err)
{
    ax_packet_begin(&s->out);
    ax_packet_format(&s->out, "E%02x", (unsigned)-err & 0xff);
    ax_session_send_out(s, false);
}

void ax_session_reply_error(struct ax_session *s, const char *why)
{
    ax_packet_begin(&s->out);
    ax_packet_text(&s->out, "E.");
    ax_packet_text(&s->out, why);
    ax_session_send_out(s, false);
}

void ax_session_reply_result(struct ax_session *s, int err)
{
    const char *why = ax_target_refusal(s->target);

    if (!err)
        ax_session_reply_ok(s);
    else if ((err == -EPERM || err == -EBUSY) && *why)
        ax_session_reply_error(s, why);
    else
        ax_session_reply_errno(s, err);
}

void ax_session_say(void *ctx, const char *text)
{
    struct ax_session *s = ctx;

    ax_packet_begin(&s->out);
    ax_packet_text(&s->out, "O");
    ax_packet_hex(&s->out, text, strlen(text));
    ax_session_send_out(s, true);
}

/* ---- threads: vCPU n is thread n + 1 ---- */

unsigned ax_session_vcpus(const struct ax_session *s)
{
    return ax_vm_vcpu_count(ax_target_vm(s->target));
}

bool ax_session_take_vcpu(struct ax_session *s, struct ax_packet_scan *in,
                          int *out)
{
    int thread;

    if (!ax_packet_take_thread(in, &thread))
        return false;
    *out = thread == 0 ? (int)s->thread : thread < 0 ? ALL_THREADS : thread - 1;
    return *out < (int)ax_session_vcpus(s);
}

/* ---- the table ---- */

enum { ALWAYS = 1 }; /* also where no VM is attached */

static const struct packet {
    const char *name; /* what it begins with: a letter, or a word */
    ax_session_answer *answer;
    unsigned flags;
} packets[] = {
    {"?", ax_session_do_question, 0},
    {"!", ax_session_do_extended, ALWAYS},
    {"C", ax_session_do_continue_signal, 0},
    {"D", ax_session_do_detach, ALWAYS},
    {"G", ax_session_do_regs_set, 0},
    {"H", ax_session_do_select, 0},
    {"M", ax_session_do_write, 0},
    {"P", ax_session_do_reg_set, 0},
    {"QStartNoAckMode", ax_session_do_no_acks, ALWAYS},
    {"Qqemu.PhyMemMode:", ax_session_do_physical_set, ALWAYS},
    {"S", ax_session_do_step_signal, 0},
    {"T", ax_session_do_alive, 0},
    {"X", ax_session_do_write_binary, 0},
    {"Z", ax_session_do_insert, 0},
    {"c", ax_session_do_continue, 0},
    {"g", ax_session_do_regs_get, 0},
    {"k", ax_session_do_kill, ALWAYS},
    {"m", ax_session_do_read, 0},
    {"p", ax_session_do_reg_get, 0},
    {"qAttached", ax_session_do_attached, ALWAYS},
    {"qC", ax_session_do_current, 0},
    {"qRcmd", ax_session_do_monitor, ALWAYS},
    {"qSupported", ax_session_do_supported, ALWAYS},
    {"qSymbol", ax_session_do_symbol, ALWAYS},
    {"qThreadExtraInfo,", ax_session_do_thread_info, 0},
    {"qXfer", ax_session_do_xfer, 0},
    {"qfThreadInfo", ax_session_do_first_threads, 0},
    {"qqemu.PhyMemMode", ax_session_do_physical_query, ALWAYS},
    {"qsThreadInfo", ax_session_do_more_threads, 0},
    {"s", ax_session_do_step, 0},
    {"vAttach;", ax_session_do_vattach, ALWAYS},
    {"vCont?", ax_session_do_vcont_question, ALWAYS},
    {"vCont", ax_session_do_vcont, 0},
    {"vFile:", ax_session_do_file, ALWAYS},
    {"vKill;", ax_session_do_vkill, ALWAYS},
    {"vRun;", ax_session_do_vrun, ALWAYS},
    {"x", ax_session_do_read_binary, 0},
    {"z", ax_session_do_remove, 0},
};

/* Is it that packet, and not one whose name is longer ("qC", "qCRC")? */
static bool take_name(struct ax_packet_scan *in, const char *name)
{
    const size_t len = strlen(name);
    struct ax_packet_scan rest = *in;

    if (!ax_packet_take(&rest, name) ||
        (len > 1 && isalpha((unsigned char)name[len - 1]) &&
         rest.at != rest.end && isalpha((unsigned char)*rest.at)))
        return false;
    *in = rest;
    return true;
}

static void session_answer(struct ax_session *s)
{
    struct ax_packet_scan in = {s->reader.data, s->reader.data + s->reader.len};

    for (size_t i = 0; i < AX_ARRAY_LEN(packets); i++) {
        if (!take_name(&in, packets[i].name))
            continue;
        if (s->attached || packets[i].flags & ALWAYS)
            packets[i].answer(s, &in);
        else
            ax_session_reply_error(s, "no VM is attached");
        return;
    }
    ax_session_reply(s, ""); /* not known */
}

/* ---- what comes in ---- */

void ax_session_end(struct ax_session *s)
{
    if (s->over)
        return;
    s->over = true;
    s->env.over(s->env.ctx);
}

/* The first packet shows that this is a debugger: now the VM is halted. */
static bool session_begin(struct ax_session *s)
{
    int err;

    if (s->attached || s->extended || s->reader.len == 0)
        return true;
    err = ax_session_attach(s);
    if (!err)
        return true;
    ax_session_reply_result(s, err);
    ax_session_end(s);
    return false;
}

static void session_packet(struct ax_session *s)
{
    if (s->acks)
        s->env.send(s->env.ctx, "+", 1);
    if (s->running)
        return; /* gdb waits for a stop, and for nothing else */
    ax_session_cancel_monitor(s);
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
            ax_session_interrupt(s);
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
                ax_session_reply_error(s, "the packet is too long");
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
        .say = ax_session_say,
        .done = ax_session_monitor_done,
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
