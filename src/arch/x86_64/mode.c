/*
 * mode.c - the mode of an x86_64 vCPU, from its registers (Intel SDM 3A, 2.2).
 */
#include "arch/x86_64/mode.h"

#include "arch/x86_64/regs.h"

uint64_t ax_x86_reg(const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *vcpu, unsigned reg)
{
    uint64_t val = 0;

    return ops->reg_get(vcpu, reg, &val) ? 0 : val;
}

struct ax_x86_mode ax_x86_mode(const struct ax_backend_ops *ops,
                               struct ax_engine_vcpu *vcpu)
{
    const uint64_t cs = ax_x86_reg(ops, vcpu, AX_X86_CS + AX_X86_SEG_AR);
    const uint64_t ss = ax_x86_reg(ops, vcpu, AX_X86_SS + AX_X86_SEG_AR);
    const bool lma = ax_x86_reg(ops, vcpu, AX_X86_EFER) & AX_X86_EFER_LMA;
    struct ax_x86_mode mode = {
        .name = "16-bit protected mode",
        .bits = cs & AX_X86_AR_DB ? 32 : 16,
        .cpl = ss >> 5 & 3,
    };

    if (!(ax_x86_reg(ops, vcpu, AX_X86_CR0) & AX_X86_CR0_PE))
        return (struct ax_x86_mode){"real mode", 16, 0, true};
    if (ax_x86_reg(ops, vcpu, AX_X86_RFLAGS) & AX_X86_RFLAGS_VM)
        return (struct ax_x86_mode){"virtual 8086 mode", 16, 3, true};
    if (lma && (cs & AX_X86_AR_LONG))
        return (struct ax_x86_mode){"64-bit mode", 64, mode.cpl, false};
    if (lma)
        mode.name = "compatibility mode";
    else if (cs & AX_X86_AR_DB)
        mode.name = "32-bit protected mode";
    return mode;
}

uint64_t ax_x86_linear_pc(const struct ax_backend_ops *ops,
                          struct ax_engine_vcpu *vcpu)
{
    const uint64_t rip = ax_x86_reg(ops, vcpu, AX_X86_RIP);

    /* In 64-bit mode CS has no base; an engine may still report one. */
    if (ax_x86_mode(ops, vcpu).bits == 64)
        return rip;
    return (uint32_t)(ax_x86_reg(ops, vcpu, AX_X86_CS + AX_X86_SEG_BASE) + rip);
}
