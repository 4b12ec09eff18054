/*
 * vcpu.h - one virtual CPU: a thread that runs guest code and serves its exits.
 *
 * The thread owns the engine's vCPU: it creates it, runs it, destroys it.
 * Others only set request bits and kick; they never touch guest state.
 */
#ifndef AX_VCPU_VCPU_H
#define AX_VCPU_VCPU_H

#include "backend/backend.h"
#include "base.h"
#include "devices/wire.h"
#include "vcpu/exit.h"
#include "vcpu/lifecycle.h"

#include <stdio.h>

struct ax_bus;
struct ax_console;
struct ax_device;
struct ax_log;
struct ax_vcpu;

enum { AX_VCPU_HISTORY = 32 }; /* exits kept for a crash report */

/* What a vCPU is given. Pointers are borrowed and outlive it. */
struct ax_vcpu_env {
    const struct ax_backend_ops *ops;
    struct ax_engine_vm *engine;
    const char *vm_name;
    struct ax_bus *buses[AX_SPACES];
    struct ax_console *console; /* for back-pressure, may be NULL */
    struct ax_device *irqchip;  /* model that hears EOIs, may be NULL */
    struct ax_power power;
    struct ax_log *log;
    FILE *trace;      /* one line per exit, NULL: none */
    uint64_t cpu_set; /* host CPUs it may run on, a bit mask; 0: any */
    bool spins;       /* the host has CPUs enough to wait awake for a while */
    bool halt_ends;   /* nothing can wake a halted vCPU: HLT is power-off */

    /* Sets the first registers; on the vCPU's thread. */
    int (*prepare)(void *ctx, struct ax_engine_vcpu *engine, unsigned id);
    /* Waits until every vCPU exists; false: the VM is being stopped. */
    bool (*rendezvous)(void *ctx);
    /* The vCPU cannot go on: report it. Called before power is requested. */
    void (*crashed)(void *ctx, struct ax_vcpu *vcpu,
                    struct ax_engine_vcpu *engine, const struct ax_exit *ex);
    /* It is about to enter the guest, for the first time or after a hold. */
    void (*entering)(void *ctx, struct ax_vcpu *vcpu,
                     struct ax_engine_vcpu *engine);
    /* It came out with AX_EXIT_DEBUG. */
    void (*debugged)(void *ctx, struct ax_vcpu *vcpu,
                     struct ax_engine_vcpu *engine, const struct ax_exit *ex);
    /* It has arrived after ax_vcpu_keep. With its lock held: only wakes. */
    void (*held)(void *ctx, struct ax_vcpu *vcpu);
    /* The thread is about to end; the last use of ctx. */
    void (*gone)(void *ctx, struct ax_vcpu *vcpu);
    void *ctx;
};

/* Allocates, starts nothing: Created. Returns 0 or -ENOMEM. */
int ax_vcpu_create(const struct ax_vcpu_env *env, unsigned id,
                   struct ax_vcpu **out);

/* Accepts NULL. The thread must have been joined, or never started. */
void ax_vcpu_destroy(struct ax_vcpu *vcpu);

/* Starts the thread "VM-vcpuN". Loop thread; 0 or -errno. */
int ax_vcpu_start(struct ax_vcpu *vcpu);

/* Waits for the thread to end; a vCPU never started is fine. */
void ax_vcpu_join(struct ax_vcpu *vcpu);

/* Any thread: the vCPU leaves the guest and its thread ends. Does not wait. */
void ax_vcpu_stop(struct ax_vcpu *vcpu);

/*
 * Any thread: the vCPU leaves the guest and holds, as it is, until it is
 * stopped. Does not wait; env.held tells.
 */
void ax_vcpu_keep(struct ax_vcpu *vcpu);

/* Any thread, its own too: the vCPU leaves the guest and holds until
 * ax_vcpu_resume. Does not wait. */
void ax_vcpu_pause(struct ax_vcpu *vcpu);

/* Loop thread. Waits at most timeout_ms for it to hold after ax_vcpu_pause;
 * true: it does, or its thread has ended. */
bool ax_vcpu_paused(struct ax_vcpu *vcpu, unsigned timeout_ms);

/* Loop thread. Guest time stood still so long: its own clocks are told before
 * it enters the guest the next time. */
void ax_vcpu_stood(struct ax_vcpu *vcpu, uint64_t stopped_ns);

/* Loop thread. It goes on. */
void ax_vcpu_resume(struct ax_vcpu *vcpu);

/*
 * Loop thread. Runs fn on the vCPU's thread, outside the guest, and waits for
 * it: registers can be read and set. 0 or what fn returned, -ESRCH if the
 * thread is not in its run loop, -ETIMEDOUT if it did not come within
 * timeout_ms; fn is then not called. A held vCPU stays held.
 */
int ax_vcpu_call(struct ax_vcpu *vcpu,
                 int (*fn)(void *ctx, const struct ax_backend_ops *ops,
                           struct ax_engine_vcpu *engine),
                 void *ctx, unsigned timeout_ms);

/* Any thread; the truth at this moment. */
enum ax_vcpu_state ax_vcpu_state(struct ax_vcpu *vcpu);

/* Is this its thread? */
bool ax_vcpu_is_self(const struct ax_vcpu *vcpu);

unsigned ax_vcpu_id(const struct ax_vcpu *vcpu);

/* Exits of one kind so far; any thread. */
uint64_t ax_vcpu_exits(const struct ax_vcpu *vcpu, enum ax_exit_kind kind);

/* CLOCK_MONOTONIC nanoseconds before the first run and after the first exit. */
uint64_t ax_vcpu_first_run_ns(const struct ax_vcpu *vcpu);
uint64_t ax_vcpu_first_exit_ns(const struct ax_vcpu *vcpu);

/*
 * The last exits, oldest first, at most AX_VCPU_HISTORY; returns how many. On
 * the vCPU's thread, or after it was joined.
 */
unsigned ax_vcpu_history(const struct ax_vcpu *vcpu,
                         const struct ax_exit *out[AX_VCPU_HISTORY]);

#endif
