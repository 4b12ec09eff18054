/*
 * acpi.h - the machine's ACPI tables. Pure; computed from the plan alone.
 */
#ifndef AX_ARCH_X86_64_ACPI_H
#define AX_ARCH_X86_64_ACPI_H

#include "arch/arch.h"

/*
 * Writes RSDP, RSDT, XSDT, FADT, FACS, DSDT and MADT, in that page-sized area,
 * for loading at gpa (a multiple of 64, below 4 GiB); the RSDP comes first.
 * Returns the bytes used, 0 if size is too small.
 */
size_t ax_x86_acpi_build(const struct ax_plan *plan, ax_gpa gpa, uint8_t *buf,
                         size_t size);

#endif
