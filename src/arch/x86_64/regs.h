/*
 * regs.h - the x86_64 registers that engines, boot code and debuggers name.
 *
 * A segment's access rights are in the VMX format: type 3:0, S 4, DPL 6:5,
 * P 7, AVL 12, L 13, DB 14, G 15, unusable 16 (Intel SDM 3C, 25.4.1).
 */
#ifndef AX_ARCH_X86_64_REGS_H
#define AX_ARCH_X86_64_REGS_H

#include "base.h"

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
    AX_X86_REGS = AX_X86_ES + 32, /* what dumps and crash reports have */
    AX_X86_DR0 = AX_X86_REGS,
    AX_X86_DR1,
    AX_X86_DR2,
    AX_X86_DR3,
    AX_X86_DR6,
    AX_X86_DR7,
    AX_X86_XCR0,
    AX_X86_ACTIVITY, /* enum ax_x86_activity; cannot be set */
    /* MSRs; one that the engine does not have reads as 0. */
    AX_X86_TSC,
    AX_X86_SYSENTER_CS,
    AX_X86_SYSENTER_ESP,
    AX_X86_SYSENTER_EIP,
    AX_X86_MISC_ENABLE,
    AX_X86_PAT,
    AX_X86_STAR,
    AX_X86_LSTAR,
    AX_X86_CSTAR,
    AX_X86_SFMASK,
    AX_X86_KERNEL_GS_BASE,
    AX_X86_TSC_AUX,
    AX_X86_ALL_REGS,
};

enum ax_x86_activity {
    AX_X86_ACTIVE,
    AX_X86_HALTED,
    AX_X86_WAITS, /* for INIT or SIPI */
};

/* What state_get has. */
enum ax_x86_state {
    AX_X86_STATE_XSAVE,   /* struct ax_x86_xsave */
    AX_X86_STATE_LAPIC,   /* struct ax_x86_lapic */
    AX_X86_STATE_IRQCHIP, /* struct ax_x86_irqchip; AX_IRQCHIP_KERNEL only */
};

/* The area of XSAVE in its standard form, as far as AVX (SDM 1, 13.4). */
struct ax_x86_xsave {
    uint8_t legacy[512]; /* as FXSAVE in 64-bit mode */
    uint64_t components; /* XSTATE_BV: what is not in its initial state */
    uint8_t header[56];
    uint8_t ymm_high[16][16];
};

/* The local APIC's page: a register in the first 4 bytes of each 16. */
struct ax_x86_lapic {
    uint8_t page[1024];
};

struct ax_x86_irqchip {
    struct {
        uint8_t irr, isr, imr;
        uint8_t base; /* first vector */
        bool auto_eoi;
    } pic[2];
    uint32_t ioapic_id;
    uint64_t ioapic_pins[24]; /* redirection entries */
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
