/*
 * breakpoints.h - the breakpoints and watchpoints of a target: where they are
 * in guest memory or among the CPU's points, and under which condition they
 * stop. For target*.c alone.
 *
 * Changed by the loop thread while every vCPU holds; looked up by vCPU threads.
 */
#ifndef AX_DEBUG_BREAKPOINTS_H
#define AX_DEBUG_BREAKPOINTS_H

#include "debug/target.h"

struct ax_breakpoint {
    enum ax_target_type type;
    unsigned size;
    uint64_t addr; /* linear */
    /*
     * SOFT: where its instruction goes. Not mapped yet: it has one of the CPU's
     * points until it is.
     */
    bool placed;
    bool planted; /* it is in memory, over saved */
    uint8_t saved[4];
    ax_gpa gpa;
    uint8_t *code; /* conditions, one behind the other; owned */
    size_t *code_sizes;
    unsigned code_count;
};

struct ax_breakpoints {
    unsigned count, room;
    struct ax_breakpoint *all;
    /* Which one a point of the CPU is for; its index in all, or none. */
    int points[AX_DEBUG_POINTS];
};

void ax_breakpoints_init(struct ax_breakpoints *b);
void ax_breakpoints_clear(struct ax_breakpoints *b); /* none is planted */

struct ax_breakpoint *ax_breakpoints_find(const struct ax_breakpoints *b,
                                          enum ax_target_type type,
                                          uint64_t addr, unsigned size);

/* As ax_target_insert. gpa NULL: nothing is mapped there (yet). */
int ax_breakpoints_insert(struct ax_breakpoints *b, enum ax_target_type type,
                          uint64_t addr, unsigned size, const ax_gpa *gpa,
                          const struct ax_target_code *conditions,
                          unsigned count);
int ax_breakpoints_remove(struct ax_breakpoints *b, enum ax_target_type type,
                          uint64_t addr, unsigned size);

/* Places those SOFT ones that are mapped by now; find as place in memory. */
void ax_breakpoints_place(struct ax_breakpoints *b,
                          bool (*find)(void *ctx, uint64_t addr, ax_gpa *gpa),
                          void *ctx);

/* Puts all SOFT ones that have a place into memory, or takes them out: what
 * the guest has written over one stays. */
void ax_breakpoints_plant(struct ax_breakpoints *b, const struct ax_memory *mem,
                          const struct ax_gdb_ops *ops);
void ax_breakpoints_unplant(struct ax_breakpoints *b,
                            const struct ax_memory *mem,
                            const struct ax_gdb_ops *ops);

/* One of them; for the only vCPU that runs. */
void ax_breakpoint_plant(struct ax_breakpoint *bp, const struct ax_memory *mem,
                         const struct ax_gdb_ops *ops);
void ax_breakpoint_unplant(struct ax_breakpoint *bp,
                           const struct ax_memory *mem,
                           const struct ax_gdb_ops *ops);

/* The planted one whose instruction is at gpa; NULL: none of ours. */
struct ax_breakpoint *ax_breakpoints_at(const struct ax_breakpoints *b,
                                        ax_gpa gpa);

/* Is there one, of any kind that stops there, for this linear address? */
bool ax_breakpoints_here(const struct ax_breakpoints *b, uint64_t pc);

/* Which points the CPU needs; *out is zeroed first. */
void ax_breakpoints_points(const struct ax_breakpoints *b, bool exec,
                           struct ax_debug *out);

#endif
