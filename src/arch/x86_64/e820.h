/*
 * e820.h - the memory map that a guest is told, in the terms of INT 15h E820.
 *
 * Pure; one form for Linux, PVH and multiboot, which encode it each their way.
 */
#ifndef AX_ARCH_X86_64_E820_H
#define AX_ARCH_X86_64_E820_H

#include "arch/arch.h"

enum { AX_E820_MAX = 128 }; /* room in Linux's zero page */

enum { AX_E820_RAM = 1, AX_E820_RESERVED = 2 };

struct ax_e820_entry {
    ax_gpa addr;
    uint64_t size;
    uint32_t type;
};

struct ax_e820 {
    unsigned count;
    struct ax_e820_entry entries[AX_E820_MAX]; /* ascending, disjoint */
};

struct ax_e820_range {
    ax_gpa addr;
    uint64_t size;
};

/*
 * All memory of the plan: RAM, and as reserved its ROM and those parts of RAM
 * that lie in reserved (ascending, disjoint).
 */
void ax_e820_build(const struct ax_plan *plan,
                   const struct ax_e820_range *reserved, unsigned count,
                   struct ax_e820 *out);

/* Bytes of RAM from addr on without a gap, 0 if there is none. */
uint64_t ax_e820_ram_from(const struct ax_e820 *map, ax_gpa addr);

#endif
