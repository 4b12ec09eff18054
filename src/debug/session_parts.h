/*
 * session_parts.h - what session.c (life, the table of packets), session_run.c
 * (stops, letting go), session_data.c (registers, memory, breakpoints) and
 * session_query.c (the rest of what is asked) share. Private to them.
 */
#ifndef AX_DEBUG_SESSION_PARTS_H
#define AX_DEBUG_SESSION_PARTS_H

#include "debug/files.h"
#include "debug/monitor.h"
#include "debug/packet.h"
#include "debug/session.h"

enum { ALL_THREADS = -1 };

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

/* Answers a packet; in is what stands behind its name. */
typedef void ax_session_answer(struct ax_session *s, struct ax_packet_scan *in);

/* ---- session.c ---- */

/* s->out is complete but for its end, and goes out. runs: as ax_packet_end. */
void ax_session_send_out(struct ax_session *s, bool runs);

/* Packets of one piece; text as ax_packet_text has it. */
void ax_session_reply(struct ax_session *s, const char *text);
void ax_session_reply_ok(struct ax_session *s);
void ax_session_reply_errno(struct ax_session *s, int err);

/* In words; a gdb that shows none takes it for an error all the same. */
void ax_session_reply_error(struct ax_session *s, const char *why);

/* OK, or why the target has given err. */
void ax_session_reply_result(struct ax_session *s, int err);

/* Text for gdb's user, where gdb takes it: while it waits. ctx: the session. */
void ax_session_say(void *ctx, const char *text);

/* vCPU n is thread n + 1. */
unsigned ax_session_vcpus(const struct ax_session *s);

/* Takes a thread's number: *out is its vCPU, the selected one for 0 (any), or
 * ALL_THREADS. False: there is none such. */
bool ax_session_take_vcpu(struct ax_session *s, struct ax_packet_scan *in,
                          int *out);

/* It is over, and tells so once. */
void ax_session_end(struct ax_session *s);

/* ---- session_run.c ---- */

/* Halts the VM; s->stop is set. 0, or as ax_target_attach. */
int ax_session_attach(struct ax_session *s);

/* Ctrl-C. */
void ax_session_interrupt(struct ax_session *s);

ax_session_answer ax_session_do_question;
ax_session_answer ax_session_do_vcont;
ax_session_answer ax_session_do_vcont_question;
ax_session_answer ax_session_do_continue;
ax_session_answer ax_session_do_step;
ax_session_answer ax_session_do_continue_signal;
ax_session_answer ax_session_do_step_signal;
ax_session_answer ax_session_do_extended;
ax_session_answer ax_session_do_detach;
ax_session_answer ax_session_do_kill;
ax_session_answer ax_session_do_vkill;
ax_session_answer ax_session_do_vattach;
ax_session_answer ax_session_do_vrun;

/* ---- session_data.c ---- */

/* addr is as gdb has it. */
int ax_session_set_pc(struct ax_session *s, uint64_t addr);

ax_session_answer ax_session_do_regs_get;
ax_session_answer ax_session_do_regs_set;
ax_session_answer ax_session_do_reg_get;
ax_session_answer ax_session_do_reg_set;
ax_session_answer ax_session_do_read;
ax_session_answer ax_session_do_read_binary;
ax_session_answer ax_session_do_write;
ax_session_answer ax_session_do_write_binary;
ax_session_answer ax_session_do_insert;
ax_session_answer ax_session_do_remove;

/* ---- session_query.c ---- */

/* gdb does not wait for it any more; it tells so by saying something else. */
void ax_session_cancel_monitor(struct ax_session *s);

/* Of the monitor: its command has ended. ctx: the session. */
void ax_session_monitor_done(void *ctx, bool ok);

ax_session_answer ax_session_do_select;
ax_session_answer ax_session_do_alive;
ax_session_answer ax_session_do_current;
ax_session_answer ax_session_do_first_threads;
ax_session_answer ax_session_do_more_threads;
ax_session_answer ax_session_do_thread_info;
ax_session_answer ax_session_do_supported;
ax_session_answer ax_session_do_no_acks;
ax_session_answer ax_session_do_attached;
ax_session_answer ax_session_do_symbol;
ax_session_answer ax_session_do_physical_query;
ax_session_answer ax_session_do_physical_set;
ax_session_answer ax_session_do_monitor;
ax_session_answer ax_session_do_xfer;
ax_session_answer ax_session_do_file;

#endif
