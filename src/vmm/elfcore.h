/*
 * elfcore.h - what stands before the memory in an ELF core file: ELF header,
 * program headers and notes. Pure.
 *
 * The memory follows, every region whole, in the map's order, from head_size
 * on. System V gABI, chapters 4 and 5; Linux's struct elf_prstatus.
 */
#ifndef AX_VMM_ELFCORE_H
#define AX_VMM_ELFCORE_H

#include "arch/arch.h"

/*
 * Where a region stands among the addresses of a guest with paging on: at this
 * plus its own, which no x86 paging mode can map.
 */
#define AX_ELFCORE_PHYSICAL 0x1000000000000000ULL

enum {
    /* Mappings in one file; the more, the slower are its readers. */
    AX_ELFCORE_RUNS = 4096,
    /* Mappings to choose them from. */
    AX_ELFCORE_RUNS_SEEN = 1 << 16,
};

struct ax_elfcore_run {
    uint64_t va;
    uint64_t size;
    ax_gpa gpa;      /* all in one region */
    unsigned region; /* its index */
};

/* Mappings as they come from a walk: those of memory, joined. */
struct ax_elfcore_runs {
    const struct ax_memory *mem;
    struct ax_elfcore_run *runs;
    unsigned count, room;
    int err; /* -ENOMEM; -E2BIG: more than AX_ELFCORE_RUNS_SEEN */
};

struct ax_elfcore {
    const struct ax_core_ops *ops;
    const struct ax_memory *mem;
    const struct ax_core_cpu *cpus;
    unsigned cpu_count;
    const struct ax_elfcore_run *runs; /* at most AX_ELFCORE_RUNS */
    unsigned run_count;
};

/* The next page of the walk. 0, or runs->err. */
int ax_elfcore_add(struct ax_elfcore_runs *runs, const struct ax_mapping *page);

/* Keeps the AX_ELFCORE_RUNS longest, by address. How many there were. */
unsigned ax_elfcore_choose(struct ax_elfcore_runs *runs);

void ax_elfcore_runs_fini(struct ax_elfcore_runs *runs);

/* 0 or -ENOMEM. *head is the caller's to free; *size is page aligned. */
int ax_elfcore_head(const struct ax_elfcore *core, void **head, uint64_t *size);

#endif
