/*
 * crash.h - the report on a vCPU that cannot go on: why, where, what it did
 * last. On that vCPU's thread.
 */
#ifndef AX_VMM_CRASH_H
#define AX_VMM_CRASH_H

struct ax_arch;
struct ax_backend_ops;
struct ax_engine_vcpu;
struct ax_exit;
struct ax_log;
struct ax_memory;
struct ax_vcpu;

struct ax_crash {
    struct ax_log *log;
    const struct ax_arch *arch;
    const struct ax_backend_ops *ops;
    const struct ax_memory *mem;
    const struct ax_vcpu *vcpu;
    struct ax_engine_vcpu *engine;
    const struct ax_exit *exit; /* the one that ended it */
};

/* Writes the report to the log at level error. */
void ax_crash_report(struct ax_crash *crash);

#endif
