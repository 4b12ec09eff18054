/*
 * regs.h - the x86_64 registers that engines, boot code and debuggers name.
 *
 * A segment's access rights are in the VMX format: type 3:0, S 4, DPL 6:5,
 * P 7, AVL 12, L 13, DB 14, G 15, unusable 16 (Intel SDM 3C, 25.4.1).
 */
#ifndef AX_ARCH_X86_64_REGS_H
#define AX_ARCH_X86_64_REGS_H

enum ax_x86_reg {
    AX_X86_RAX,
    AX_X86_RBX,
    AX_X86_RCX,
    AX_X86_RDX,
    AX_X86_RSI,
    AX_X86_RDI,
    AX_X86_RSP,
    AX_X86_RBP,
    AX_X86_R8,
    AX_X86_R9,
    AX_X86_R10,
    AX_X86_R11,
    AX_X86_R12,
    AX_X86_R13,
    AX_X86_R14,
    AX_X86_R15,
    AX_X86_RIP,
    AX_X86_RFLAGS,
    AX_X86_CR0,
    AX_X86_CR2,
    AX_X86_CR3,
    AX_X86_CR4,
    AX_X86_CR8,
    AX_X86_EFER,
    AX_X86_APIC_BASE,
    AX_X86_GDT_BASE,
    AX_X86_GDT_LIMIT,
    AX_X86_IDT_BASE,
    AX_X86_IDT_LIMIT,
    /* Four per segment: AX_X86_ES + AX_X86_SEG_LIMIT is ES's limit. */
    AX_X86_ES,
    AX_X86_CS = AX_X86_ES + 4,
    AX_X86_SS = AX_X86_ES + 8,
    AX_X86_DS = AX_X86_ES + 12,
    AX_X86_FS = AX_X86_ES + 16,
    AX_X86_GS = AX_X86_ES + 20,
    AX_X86_LDTR = AX_X86_ES + 24,
    AX_X86_TR = AX_X86_ES + 28,
    AX_X86_REGS = AX_X86_ES + 32,
};

enum { AX_X86_SEG_SELECTOR, AX_X86_SEG_BASE, AX_X86_SEG_LIMIT, AX_X86_SEG_AR };

/* Control register and EFER bits (Intel SDM 3A, 2.5). */
enum {
    AX_X86_CR0_PE = 0x1,
    AX_X86_CR0_ET = 0x10,
    AX_X86_CR4_PSE = 0x10,
    AX_X86_CR4_PAE = 0x20,
    AX_X86_CR4_LA57 = 0x1000,
    AX_X86_EFER_LME = 0x100,
    AX_X86_EFER_LMA = 0x400,
    AX_X86_EFER_NXE = 0x800,
};
#define AX_X86_CR0_PG 0x80000000U

#endif
