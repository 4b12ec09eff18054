/*
 * kvm_debug_insn.c - instructions that store or load RFLAGS, while KVM steps:
 * its TF is not the guest's business. Called by kvm_debug.c.
 */
#include "arch/x86_64/kvm_arch.h"

#include "arch/x86_64/paging.h"

#include <string.h>

enum {
    PAGE_BYTES = 4096,
    OP_PUSHF = 0x9c,
    OP_POPF = 0x9d,
    OP_IRET = 0xcf,
};

/* ---- guest code and its stack ---- */

static bool code_is_64(const struct arch_vcpu *arch)
{
    return arch->sregs.efer & AX_X86_EFER_LMA && arch->sregs.cs.l;
}

uint64_t ax_kvm_linear_pc(const struct arch_vcpu *arch)
{
    return code_is_64(arch) ? arch->regs.rip
                            : (uint32_t)(arch->sregs.cs.base + arch->regs.rip);
}

static uint64_t linear_stack(const struct arch_vcpu *arch, unsigned off)
{
    uint64_t sp = arch->regs.rsp + off;

    if (code_is_64(arch))
        return sp;
    sp &= arch->sregs.ss.db ? UINT32_MAX : UINT16_MAX;
    return (uint32_t)(arch->sregs.ss.base + sp);
}

static void *guest_at(struct ax_engine_vcpu *vcpu, uint64_t linear,
                      unsigned len, unsigned prot)
{
    const struct arch_vcpu *arch = vcpu->arch;
    const struct ax_x86_paging paging = {
        .cr0 = arch->sregs.cr0,
        .cr3 = arch->sregs.cr3,
        .cr4 = arch->sregs.cr4,
        .efer = arch->sregs.efer,
    };
    ax_gpa gpa;

    if (!ax_x86_translate(&vcpu->vm->mem, &paging, linear, &gpa, NULL))
        return NULL;
    return ax_memory_at(&vcpu->vm->mem, gpa, len, prot);
}

/* Reads at most len bytes; returns how many there are in a row. */
static unsigned guest_read(struct ax_engine_vcpu *vcpu, uint64_t linear,
                           void *buf, unsigned len)
{
    unsigned done = 0;

    while (done < len) {
        unsigned left = PAGE_BYTES - (unsigned)((linear + done) % PAGE_BYTES);
        unsigned n = len - done < left ? len - done : left;
        const void *from = guest_at(vcpu, linear + done, n, AX_PROT_READ);

        if (!from)
            break;
        memcpy((uint8_t *)buf + done, from, n);
        done += n;
    }
    return done;
}

static uint64_t stack_read(struct ax_engine_vcpu *vcpu, unsigned off,
                           unsigned size)
{
    uint64_t val = 0;

    guest_read(vcpu, linear_stack(vcpu->arch, off), &val, size);
    return val;
}

/* ---- instructions ---- */

/* The length of the prefixes, and the size of an operand after them. */
static unsigned insn_prefixes(const uint8_t *code, unsigned count, bool is_64,
                              unsigned *size)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                       0x66, 0x67, 0xf0, 0xf2, 0xf3};
    unsigned i;

    for (i = 0; i < count; i++) {
        if (is_64 && (code[i] & 0xf0) == 0x40) { /* REX: the last one */
            *size = code[i] & 8 ? 8 : *size;
            return i + 1;
        }
        if (!memchr(prefixes, code[i], sizeof(prefixes)))
            break;
        if (code[i] == 0x66)
            *size = *size == 2 ? 4 : 2;
    }
    return i;
}

void ax_kvm_insn_look(struct ax_engine_vcpu *vcpu)
{
    const struct arch_vcpu *arch = vcpu->arch;
    struct ax_kvm_flags_insn *insn = &ax_kvm_debug_of(vcpu)->insn;
    const bool is_64 = code_is_64(arch);
    uint8_t code[AX_EXIT_BYTES];
    unsigned count =
        guest_read(vcpu, ax_kvm_linear_pc(arch), code, sizeof(code));
    unsigned size = is_64 || arch->sregs.cs.db ? 4 : 2;
    unsigned at = insn_prefixes(code, count, is_64, &size);

    *insn = (struct ax_kvm_flags_insn){.kind = AX_KVM_INSN_OTHER};
    if (at >= count)
        return;
    if (is_64 && size == 4 && code[at] != OP_IRET)
        size = 8; /* PUSHF and POPF have no smaller one but 2 */
    insn->next = arch->regs.rip + at + 1;
    switch (code[at]) {
    case OP_PUSHF:
        insn->kind = AX_KVM_INSN_STORES;
        break;
    case OP_POPF:
        insn->kind = AX_KVM_INSN_LOADS;
        insn->image = stack_read(vcpu, 0, size);
        break;
    case OP_IRET:
        insn->kind = AX_KVM_INSN_LOADS;
        insn->next = stack_read(vcpu, 0, size);
        insn->image = stack_read(vcpu, 2 * size, size);
        break;
    default:
        break;
    }
}

void ax_kvm_insn_done(struct ax_engine_vcpu *vcpu)
{
    struct ax_kvm_debug *d = ax_kvm_debug_of(vcpu);
    struct arch_vcpu *arch = vcpu->arch;
    uint8_t *image;

    if (d->insn.kind == AX_KVM_INSN_OTHER || arch->regs.rip != d->insn.next)
        return;
    if (d->insn.kind == AX_KVM_INSN_LOADS) {
        arch->regs.rflags &= ~(uint64_t)AX_KVM_TF;
        arch->regs.rflags |= d->insn.image & AX_KVM_TF;
    } else if (!d->own_tf) {
        image = guest_at(vcpu, linear_stack(arch, 1), 1, AX_PROT_WRITE);
        if (image)
            *image &= (uint8_t) ~(AX_KVM_TF >> 8);
    }
}
