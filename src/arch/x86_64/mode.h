/*
 * mode.h - in which of its modes an x86_64 vCPU is. Private to arch/x86_64.
 */
#ifndef AX_ARCH_X86_64_MODE_H
#define AX_ARCH_X86_64_MODE_H

#include "backend/backend.h"

#define AX_X86_RFLAGS_VM (1U << 17)

/* Access rights as in regs.h. */
enum {
    AX_X86_AR_CODE = 0x8,
    AX_X86_AR_CODE_OR_DATA = 0x10,
    AX_X86_AR_PRESENT = 0x80,
    AX_X86_AR_LONG = 0x2000,
    AX_X86_AR_DB = 0x4000,
    AX_X86_AR_UNUSABLE = 0x10000,
};

struct ax_x86_mode {
    const char *name; /* "64-bit mode" */
    unsigned bits;    /* of its code: 16, 32 or 64 */
    unsigned cpl;
    bool based; /* segments lie at selector * 16: real and virtual 8086 mode */
};

/* A register that the engine does not have: 0. On the vCPU's thread. */
uint64_t ax_x86_reg(const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *vcpu, unsigned reg);

struct ax_x86_mode ax_x86_mode(const struct ax_backend_ops *ops,
                               struct ax_engine_vcpu *vcpu);

/* Where RIP points to, before paging. */
uint64_t ax_x86_linear_pc(const struct ax_backend_ops *ops,
                          struct ax_engine_vcpu *vcpu);

#endif
