/*
 * machine.h - the operations of ax_arch_x86_64 that have files of their own.
 * Private to arch/x86_64; contracts in arch/arch.h.
 */
#ifndef AX_ARCH_X86_64_MACHINE_H
#define AX_ARCH_X86_64_MACHINE_H

#include "arch/arch.h"

/* Firmware is configured, and the boot protocol has a use for it. */
bool ax_x86_has_firmware(const struct ax_config *conf);

int ax_x86_boot(const struct ax_plan *plan, struct ax_log *log,
                struct ax_memory *mem, struct ax_start *start,
                void (*progress)(void *ctx, const char *what, uint64_t done,
                                 uint64_t total),
                void *progress_ctx);

void ax_x86_dump(const struct ax_backend_ops *ops, struct ax_engine_vcpu *vcpu,
                 const struct ax_memory *mem, const uint8_t *bytes,
                 unsigned count, void (*line)(void *ctx, const char *text),
                 void *ctx);

extern const struct ax_core_ops ax_x86_core;

extern const struct ax_gdb_ops *const ax_x86_gdb[];

#endif
