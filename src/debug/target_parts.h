/*
 * target_parts.h - what target.c (its life), target_vcpu.c (on vCPU threads),
 * target_run.c (halting and letting go) and target_data.c (registers, memory,
 * breakpoints) share. Private to them.
 *
 * A slot belongs to its vCPU's thread while that runs, and to the loop while it
 * holds; the hold's lock orders the two. The rest is the loop's, which changes
 * what vCPU threads read only while they hold; but for calls, what the lock
 * guards, and a breakpoint in memory if a single vCPU runs: that one's.
 */
#ifndef AX_DEBUG_TARGET_PARTS_H
#define AX_DEBUG_TARGET_PARTS_H

#include "debug/breakpoints.h"
#include "debug/target.h"
#include "vmm/vm_debug.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    CALL_MS = 5000, /* that a vCPU may take to do what it is asked */
    NOBODY = -1,
};

/* What the loop is woken for. */
enum {
    NEWS_STOP = 1,     /* a slot has one */
    NEWS_OVER = 2,     /* a slot wants, or has done, its step over */
    NEWS_EVENT = 4,    /* caught */
    NEWS_ASKED = 8,    /* ax_target_halt */
    NEWS_STATE = 16,   /* the VM's is new */
    NEWS_STARTED = 32, /* another life */
};

enum over {
    OVER_NO,
    OVER_WANTED, /* the loop shall see to it */
    OVER_STEPS,  /* one instruction without breakpoints */
    OVER_DONE,   /* ... is done; only where the loop waits for it */
};

struct slot {
    struct ax_target_action action;
    enum over over;
    struct ax_breakpoint *lifted; /* out of memory for the step over */
    bool stopped;                 /* stop is yet to be told */
    struct ax_target_stop stop;
    uint64_t stop_pc;
    bool told; /* the engine knows debug */
    struct ax_debug debug;
};

struct ax_target {
    struct ax_vm *vm;
    const struct ax_gdb_ops *ops;
    struct ax_wake *news;
    struct ax_timer *lazy;
    atomic_uint calls; /* NEWS_* */
    const char *refusal;
    struct ax_target_events events;

    bool attached;
    bool halted;
    bool leave_suspended; /* on detach: it was when we came */
    bool wait;            /* halt at the next start */
    bool starting;        /* ... which has come */
    bool running;         /* let go, and no stop was told since */
    bool lazy_armed;
    bool spins;  /* the host has CPUs enough to wait awake for a step */
    bool solo;   /* one vCPU runs: it may step over by itself */
    bool quiet;  /* ... one step, and the VM is Suspended meanwhile */
    bool asked;  /* ax_target_halt */
    int stepper; /* the vCPU that the loop lets step over, or NOBODY */
    struct ax_target_stop last;
    struct ax_breakpoints breakpoints;

    pthread_mutex_t lock; /* a leaf: the event and what is caught */
    unsigned catches;
    bool caught;
    struct ax_target_stop event;
    uint64_t event_code;

    bool viewed[AX_CPUS_MAX]; /* views is of this halt */
    struct ax_gdb_view views[AX_CPUS_MAX];
    struct slot slots[AX_CPUS_MAX];
};

static inline const struct ax_memory *
ax_target_memory(const struct ax_target *t)
{
    return ax_vm_memory(t->vm);
}

static inline unsigned ax_target_vcpus(const struct ax_target *t)
{
    return ax_vm_vcpu_count(t->vm);
}

/* ---- target.c ---- */

/* Any thread: what is one of NEWS_*, and ax_target_news follows. */
void ax_target_call_loop(struct ax_target *t, unsigned what);

/* Notes why a function fails; returns err. why is static text. */
int ax_target_refuse(struct ax_target *t, int err, const char *why);

/* ---- target_vcpu.c: hooks (struct ax_vm_hooks) ---- */

void ax_target_entering(void *ctx, struct ax_vcpu *vcpu,
                        struct ax_engine_vcpu *engine);
void ax_target_exited(void *ctx, struct ax_vcpu *vcpu,
                      struct ax_engine_vcpu *engine, const struct ax_exit *ex);
bool ax_target_ending(void *ctx, enum ax_vm_cause cause, uint64_t code);

/* ---- target_run.c ---- */

/* Of the wake: somebody has called the loop. */
void ax_target_news(void *ctx);

/* Of the timer: guest time stops, for no step has followed the last one. */
void ax_target_lazy(void *ctx, uint64_t count);

/* Hooks. */
bool ax_target_starting(void *ctx);
void ax_target_changed(void *ctx);

/* Whether others may make the VM run follows from attached, halted, quiet:
 * to be called after a change of those. */
void ax_target_claim(struct ax_target *t);

/* As the actions say; quietly where it is one step of one vCPU. 0, -EINVAL:
 * none is to go; or as ax_vm_let_go, and the VM is halted as before. */
int ax_target_let_go(struct ax_target *t);

/* What was withheld happens; false: nothing was. */
bool ax_target_end_caught(struct ax_target *t);

/* Nobody steps over a breakpoint any more. */
void ax_target_end_over(struct ax_target *t);

/* ---- target_data.c ---- */

/* Any thread: bytes at addr through the paging of view, as far as they are
 * memory. Returns how many there were in a row. */
size_t ax_target_read_virtual(const struct ax_target *t,
                              const struct ax_gdb_view *view, uint64_t addr,
                              void *buf, size_t len);

#endif
