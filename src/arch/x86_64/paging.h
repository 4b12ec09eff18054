/*
 * paging.h - the guest's page tables, read as the CPU reads them: 32-bit, PAE,
 * 4-level and 5-level paging, with large pages. Intel SDM 3A, chapter 4.
 *
 * Pure over guest memory. The tables are the guest's word, which may change
 * while it runs: any answer is possible, none is unsafe, every call ends. The
 * CPU's physical address is taken to be as wide as the architecture has it, and
 * 1 GiB pages to exist; the CPU's own copy of PAE's first table is not seen.
 */
#ifndef AX_ARCH_X86_64_PAGING_H
#define AX_ARCH_X86_64_PAGING_H

#include "arch/arch.h"

struct ax_x86_paging {
    uint64_t cr0, cr3, cr4, efer;
};

/*
 * Virtual to guest-physical. *page (may be NULL): the page it is in, all of it,
 * writable as the tables say (CR0.WP is not looked at). False: an access would
 * fault. Without paging an address is its own.
 */
bool ax_x86_translate(const struct ax_memory *mem,
                      const struct ax_x86_paging *paging, uint64_t va,
                      ax_gpa *gpa, struct ax_mapping *page);

enum { AX_X86_LEVELS = 5 };

/* An entry on the way to an address. */
struct ax_x86_step {
    unsigned level; /* of its table: 0 has those of 4 KiB pages */
    bool there;     /* it lies in guest memory */
    ax_gpa gpa;
    uint64_t entry;
};

/*
 * The entries that ax_x86_translate looks at for va, in that order; the last is
 * where it ended. Returns how many: 0 without paging, and for an address that
 * the mode does not have.
 */
unsigned ax_x86_path(const struct ax_memory *mem,
                     const struct ax_x86_paging *paging, uint64_t va,
                     struct ax_x86_step steps[AX_X86_LEVELS]);

/* As walk of struct ax_arch; nothing is told where paging is off. */
int ax_x86_walk(const struct ax_memory *mem, const struct ax_x86_paging *paging,
                bool (*fn)(void *ctx, const struct ax_mapping *page),
                void *ctx);

#endif
