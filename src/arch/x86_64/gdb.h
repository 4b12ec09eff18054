/*
 * gdb.h - what the files of the x86_64 debugger's view share. Private to
 * gdb*.c.
 */
#ifndef AX_ARCH_X86_64_GDB_H
#define AX_ARCH_X86_64_GDB_H

#include "arch/arch.h"
#include "arch/x86_64/paging.h"

/* A stopped vCPU, and where to print; on the vCPU's thread. */
struct ax_x86_info {
    const struct ax_backend_ops *ops;
    struct ax_engine_vcpu *vcpu;
    const struct ax_memory *mem;
    FILE *to;
};

/* As info of struct ax_gdb_ops. */
int ax_x86_info(const char *topic, const struct ax_backend_ops *ops,
                struct ax_engine_vcpu *vcpu, const struct ax_memory *mem,
                FILE *to);

/* Topics. 0, -EOPNOTSUPP, or -errno. */
int ax_x86_info_registers(const struct ax_x86_info *info);
int ax_x86_info_mem(const struct ax_x86_info *info);
int ax_x86_info_tlb(const struct ax_x86_info *info);
int ax_x86_info_address(const struct ax_x86_info *info, uint64_t va);
int ax_x86_info_lapic(const struct ax_x86_info *info);
int ax_x86_info_ioapic(const struct ax_x86_info *info);
int ax_x86_info_irq(const struct ax_x86_info *info);

/* The paging of a vCPU. -errno of reading a register. */
int ax_x86_paging_of(const struct ax_backend_ops *ops,
                     struct ax_engine_vcpu *vcpu, struct ax_x86_paging *paging);

#endif
