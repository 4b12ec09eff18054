/*
 * session_query.c - what a debugger asks beside registers and memory: threads,
 * what the stub can do, monitor commands, documents and files.
 */
#include "debug/session_parts.h"

#include "debug/annex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DESCRIPTION = 160, /* bytes about a vCPU */
    COMMAND = 2048,
};

/* ---- threads ---- */

void ax_session_do_select(struct ax_session *s, struct ax_packet_scan *in)
{
    const bool runs = ax_packet_take_char(in, 'c');
    int vcpu;

    if ((!runs && !ax_packet_take_char(in, 'g')) ||
        !ax_session_take_vcpu(s, in, &vcpu)) {
        ax_session_reply_errno(s, -ESRCH);
        return;
    }
    if (runs)
        s->run_thread = vcpu;
    else if (vcpu != ALL_THREADS)
        s->thread = (unsigned)vcpu;
    ax_session_reply_ok(s);
}

void ax_session_do_alive(struct ax_session *s, struct ax_packet_scan *in)
{
    int vcpu;

    ax_session_reply_result(
        s, ax_session_take_vcpu(s, in, &vcpu) && vcpu >= 0 ? 0 : -ESRCH);
}

void ax_session_do_current(struct ax_session *s, struct ax_packet_scan *in)
{
    ax_packet_begin(&s->out);
    ax_packet_format(&s->out, "QC%x", s->thread + 1);
    ax_session_send_out(s, false);
}

static void list_threads(struct ax_session *s)
{
    const char *before = "m";

    ax_packet_begin(&s->out);
    if (s->next_thread == ax_session_vcpus(s))
        ax_packet_text(&s->out, "l");
    for (; s->next_thread < ax_session_vcpus(s); s->next_thread++) {
        ax_packet_format(&s->out, "%s%x", before, s->next_thread + 1);
        before = ",";
    }
    ax_session_send_out(s, false);
}

void ax_session_do_first_threads(struct ax_session *s,
                                 struct ax_packet_scan *in)
{
    s->next_thread = 0;
    list_threads(s);
}

void ax_session_do_more_threads(struct ax_session *s, struct ax_packet_scan *in)
{
    list_threads(s);
}

struct describe {
    const struct ax_gdb_ops *ops;
    char text[DESCRIPTION];
};

static int describe_vcpu(void *ctx, const struct ax_backend_ops *ops,
                         struct ax_engine_vcpu *engine)
{
    struct describe *d = ctx;

    d->ops->describe(ops, engine, d->text, sizeof(d->text));
    return 0;
}

void ax_session_do_thread_info(struct ax_session *s, struct ax_packet_scan *in)
{
    struct describe d = {.ops = ax_target_ops(s->target)};
    int vcpu, err = -ESRCH;

    if (ax_session_take_vcpu(s, in, &vcpu) && vcpu >= 0)
        err = ax_target_call(s->target, (unsigned)vcpu, describe_vcpu, &d);
    if (err) {
        ax_session_reply_errno(s, err);
        return;
    }
    ax_packet_begin(&s->out);
    ax_packet_hex(&s->out, d.text, strlen(d.text));
    ax_session_send_out(s, false);
}

/* ---- queries ---- */

/* What gdb knows of: "swbreak+;hwbreak+;..." */
static bool has_feature(const struct ax_packet_scan *in, const char *name)
{
    struct ax_packet_scan rest = *in, piece;

    while (ax_packet_take_piece(&rest, ';', &piece)) {
        if (ax_packet_take(&piece, name) && piece.at == piece.end)
            return true;
    }
    return false;
}

void ax_session_do_supported(struct ax_session *s, struct ax_packet_scan *in)
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
    ax_session_send_out(s, false);
}

void ax_session_do_no_acks(struct ax_session *s, struct ax_packet_scan *in)
{
    ax_session_reply_ok(s);
    s->acks = false;
    s->reader.check = false;
}

void ax_session_do_attached(struct ax_session *s, struct ax_packet_scan *in)
{
    ax_session_reply(s, "1"); /* quitting gdb detaches */
}

void ax_session_do_symbol(struct ax_session *s, struct ax_packet_scan *in)
{
    ax_session_reply_ok(s); /* no symbol is asked for */
}

void ax_session_do_physical_query(struct ax_session *s,
                                  struct ax_packet_scan *in)
{
    ax_session_reply(s, s->modes.physical ? "1" : "0");
}

void ax_session_do_physical_set(struct ax_session *s, struct ax_packet_scan *in)
{
    uint64_t on;

    if (ax_packet_take_number(in, &on) && in->at == in->end) {
        s->modes.physical = on;
        ax_session_reply_ok(s);
    } else {
        ax_session_reply_errno(s, -EINVAL);
    }
}

/* ---- monitor commands ---- */

void ax_session_cancel_monitor(struct ax_session *s)
{
    if (s->monitoring)
        ax_monitor_cancel(s->monitor);
    s->monitoring = false;
}

void ax_session_monitor_done(void *ctx, bool ok)
{
    struct ax_session *s = ctx;

    s->monitoring = false;
    ax_session_reply_ok(s); /* what went wrong was said */
    if (!s->attached && !s->extended)
        ax_session_end(s);
}

void ax_session_do_monitor(struct ax_session *s, struct ax_packet_scan *in)
{
    char command[COMMAND];

    if (!ax_packet_take_char(in, ',') ||
        !ax_packet_take_text(in, command, sizeof(command)) ||
        in->at != in->end) {
        ax_session_reply_errno(s, -EINVAL);
        return;
    }
    if (ax_monitor_run(s->monitor, s->thread, command) == -EINPROGRESS)
        s->monitoring = true;
    else
        ax_session_reply_ok(s);
}

/* ---- documents ---- */

/* range: "OFFSET,LENGTH". text NULL: there was no memory for it. */
static void reply_slice(struct ax_session *s, struct ax_packet_scan *range,
                        const char *text, size_t size)
{
    ax_packet_begin(&s->out);
    if (!text || ax_annex_slice(text, size, range, &s->out))
        ax_packet_text(&s->out, "E00");
    ax_session_send_out(s, false);
}

static void reply_text(struct ax_session *s, struct ax_packet_scan *range,
                       const char *text)
{
    reply_slice(s, range, text, text ? strlen(text) : 0);
}

static void xfer_features(struct ax_session *s, struct ax_packet_scan *annex,
                          struct ax_packet_scan *range)
{
    if (ax_packet_take(annex, "target.xml") && annex->at == annex->end)
        reply_text(s, range, ax_target_ops(s->target)->description);
    else
        ax_session_reply(s, "E00");
}

static void xfer_threads(struct ax_session *s, struct ax_packet_scan *annex,
                         struct ax_packet_scan *range)
{
    struct describe about[AX_CPUS_MAX];
    struct ax_annex_thread threads[AX_CPUS_MAX];
    char names[AX_CPUS_MAX][16];
    char *text = NULL;
    size_t size = 0;

    for (unsigned i = 0; i < ax_session_vcpus(s); i++) {
        about[i].ops = ax_target_ops(s->target);
        about[i].text[0] = '\0';
        ax_target_call(s->target, i, describe_vcpu, &about[i]);
        snprintf(names[i], sizeof(names[i]), "vcpu%u", i);
        threads[i].id = i + 1;
        threads[i].name = names[i];
        threads[i].text = about[i].text;
    }
    ax_annex_threads(threads, ax_session_vcpus(s), &text, &size);
    reply_slice(s, range, text, size);
    free(text);
}

static void xfer_memory_map(struct ax_session *s, struct ax_packet_scan *annex,
                            struct ax_packet_scan *range)
{
    reply_text(s, range, ax_annex_memory_map());
}

static void xfer_exec_file(struct ax_session *s, struct ax_packet_scan *annex,
                           struct ax_packet_scan *range)
{
    reply_text(s, range, ax_files_exec(s->files));
}

/* OBJECT:read:ANNEX:OFFSET,LENGTH */
void ax_session_do_xfer(struct ax_session *s, struct ax_packet_scan *in)
{
    static const struct {
        const char *object;
        void (*read)(struct ax_session *s, struct ax_packet_scan *annex,
                     struct ax_packet_scan *range);
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
            ax_session_reply(s, "E00");
        return;
    }
    ax_session_reply(s, "");
}

void ax_session_do_file(struct ax_session *s, struct ax_packet_scan *in)
{
    ax_packet_begin(&s->out);
    ax_files_answer(s->files, in, &s->out);
    ax_session_send_out(s, false);
}
