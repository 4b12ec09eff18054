/*
 * mptable.h - the Intel MP table, for guests without ACPI. Pure; computed from
 * the plan alone.
 */
#ifndef AX_ARCH_X86_64_MPTABLE_H
#define AX_ARCH_X86_64_MPTABLE_H

#include "arch/arch.h"

enum { AX_X86_MP_POINTER_SIZE = 16 };

/*
 * The I/O APIC's id: the lowest that no CPU has. The MP table and the MADT must
 * name the same.
 */
unsigned ax_x86_ioapic_id(const struct ax_plan *plan);

/* Where the table goes: at AxVisor's address, or lower if it would not fit. */
ax_gpa ax_x86_mptable_addr(const struct ax_plan *plan);

/*
 * Writes the table to buf, which will lie at ax_x86_mptable_addr() and ends
 * behind the floating pointer at AX_X86_MP_POINTER_ADDR. Returns 0, or -ENOSPC
 * if size is not that.
 */
int ax_x86_mptable_build(const struct ax_plan *plan, uint8_t *buf, size_t size);

#endif
