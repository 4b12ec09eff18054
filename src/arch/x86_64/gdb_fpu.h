/*
 * gdb_fpu.h - x87, SSE and AVX registers as gdb has them, out of an XSAVE area
 * and into it. Pure. Private to gdb*.c.
 */
#ifndef AX_ARCH_X86_64_GDB_FPU_H
#define AX_ARCH_X86_64_GDB_FPU_H

#include "arch/x86_64/regs.h"

/* Registers; the first of several of a kind. */
enum ax_x86_fpu {
    AX_X86_FPU_ST,            /* 8 of 10 bytes, in the order of the stack */
    AX_X86_FPU_CONTROL = 8,   /* 4 bytes, like all below */
    AX_X86_FPU_STATUS,        /* its top says which register ST0 is */
    AX_X86_FPU_TAG,           /* two bits per register: the full word */
    AX_X86_FPU_CODE_HIGH,     /* of the last instruction's address */
    AX_X86_FPU_CODE_LOW,      /* the same */
    AX_X86_FPU_DATA_HIGH,     /* of its operand's */
    AX_X86_FPU_DATA_LOW,      /* the same */
    AX_X86_FPU_OPCODE,        /* 11 bits */
    AX_X86_FPU_XMM = 16,      /* 16 of 16 bytes */
    AX_X86_FPU_YMM_HIGH = 32, /* 16 of 16 bytes: the upper halves */
    AX_X86_FPU_MXCSR = 48,    /* 4 bytes */
    AX_X86_FPU_REGS,
};

/* Bits of XSTATE_BV (SDM 1, 13.4.2). */
enum {
    AX_X86_COMPONENT_X87 = 1,
    AX_X86_COMPONENT_SSE = 2,
    AX_X86_COMPONENT_AVX = 4,
};

/* A component that is in its initial state reads as that. */
void ax_x86_fpu_get(const struct ax_x86_xsave *from, unsigned reg,
                    uint8_t *buf);

/* -EINVAL: the register has no such value. */
int ax_x86_fpu_set(struct ax_x86_xsave *to, unsigned reg, const uint8_t *buf);

/* The full tag word of an FXSAVE image. */
uint16_t ax_x86_fpu_tags(const uint8_t legacy[512]);

#endif
