/*
 * crash.h - the report on a vCPU that cannot go on: why, where, what it did
 * last. Made on that vCPU's thread, while it still has its registers; the VM
 * logs it when the console has said its last word.
 */
#ifndef AX_VMM_CRASH_H
#define AX_VMM_CRASH_H

#include <stdio.h>

struct ax_arch;
struct ax_backend_ops;
struct ax_engine_vcpu;
struct ax_exit;
struct ax_memory;
struct ax_vcpu;

struct ax_crash {
    const struct ax_arch *arch;
    const struct ax_backend_ops *ops;
    const struct ax_memory *mem;
    const struct ax_vcpu *vcpu;
    struct ax_engine_vcpu *engine;
    const struct ax_exit *exit; /* the one that ended it */
};

/* Writes the report, line by line. */
void ax_crash_report(const struct ax_crash *crash, FILE *to);

#endif
