/*
 * breakpoints.c - see breakpoints.h.
 */
#include "debug/breakpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = -1, ROOM_FIRST = 16 };

void ax_breakpoints_init(struct ax_breakpoints *b)
{
    memset(b, 0, sizeof(*b));
    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++)
        b->points[i] = NONE;
}

static void breakpoint_free(struct ax_breakpoint *bp)
{
    free(bp->code);
    free(bp->code_sizes);
}

void ax_breakpoints_clear(struct ax_breakpoints *b)
{
    for (unsigned i = 0; i < b->count; i++)
        breakpoint_free(&b->all[i]);
    free(b->all);
    ax_breakpoints_init(b);
}

struct ax_breakpoint *ax_breakpoints_find(const struct ax_breakpoints *b,
                                          enum ax_target_type type,
                                          uint64_t addr, unsigned size)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct ax_breakpoint *bp = &b->all[i];

        if (bp->type == type && bp->addr == addr && bp->size == size)
            return bp;
    }
    return NULL;
}

/* ---- the CPU's points ---- */

static bool needs_point(const struct ax_breakpoint *bp)
{
    return bp->type != AX_BREAK_SOFT || !bp->placed;
}

/* Gives points to whoever needs one. -ENOSPC: there are more of those. */
static int assign_points(struct ax_breakpoints *b)
{
    unsigned used = 0;

    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++)
        b->points[i] = NONE;
    for (unsigned i = 0; i < b->count; i++) {
        if (!needs_point(&b->all[i]))
            continue;
        if (used == AX_DEBUG_POINTS)
            return -ENOSPC;
        b->points[used++] = (int)i;
    }
    return 0;
}

void ax_breakpoints_points(const struct ax_breakpoints *b, bool exec,
                           struct ax_debug *out)
{
    static const enum ax_debug_point_kind kinds[] = {
        [AX_BREAK_SOFT] = AX_POINT_EXEC,     [AX_BREAK_HARD] = AX_POINT_EXEC,
        [AX_WATCH_WRITE] = AX_POINT_WRITE,   [AX_WATCH_READ] = AX_POINT_ACCESS,
        [AX_WATCH_ACCESS] = AX_POINT_ACCESS,
    };

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        const struct ax_breakpoint *bp;

        if (b->points[i] == NONE)
            continue;
        bp = &b->all[b->points[i]];
        if (kinds[bp->type] == AX_POINT_EXEC && !exec)
            continue;
        out->points[i].kind = kinds[bp->type];
        out->points[i].addr = bp->addr;
        out->points[i].size = kinds[bp->type] == AX_POINT_EXEC ? 1 : bp->size;
    }
}

/* ---- the table ---- */

static int copy_conditions(struct ax_breakpoint *bp,
                           const struct ax_target_code *conditions,
                           unsigned count)
{
    size_t size = 0, at = 0;

    for (unsigned i = 0; i < count; i++) {
        if (conditions[i].size > AX_TARGET_CONDITIONS - size)
            return -ENOSPC;
        size += conditions[i].size;
    }
    if (!count)
        return 0;
    bp->code = malloc(size ? size : 1);
    bp->code_sizes = malloc(count * sizeof(*bp->code_sizes));
    if (!bp->code || !bp->code_sizes)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        memcpy(bp->code + at, conditions[i].bytes, conditions[i].size);
        bp->code_sizes[i] = conditions[i].size;
        at += conditions[i].size;
    }
    bp->code_count = count;
    return 0;
}

static int check_place(enum ax_target_type type, uint64_t addr, unsigned size)
{
    if (type == AX_WATCH_READ)
        return -EOPNOTSUPP; /* no CPU of ours traps reads alone */
    if (type == AX_BREAK_SOFT || type == AX_BREAK_HARD)
        return 0;
    /* A debug register watches 1, 2, 4 or 8 bytes, naturally aligned. */
    return !size || size > 8 || (size & (size - 1)) || addr % size ? -EINVAL
                                                                   : 0;
}

static int grow(struct ax_breakpoints *b)
{
    const unsigned room = b->room ? 2 * b->room : ROOM_FIRST;
    struct ax_breakpoint *all;

    if (b->count < b->room)
        return 0;
    if (b->count >= AX_TARGET_BREAKPOINTS)
        return -ENOSPC;
    all = realloc(b->all, room * sizeof(*all));
    if (!all)
        return -ENOMEM;
    b->all = all;
    b->room = room;
    return 0;
}

static void take_out(struct ax_breakpoints *b, struct ax_breakpoint *bp)
{
    const size_t at = (size_t)(bp - b->all);

    breakpoint_free(bp);
    memmove(bp, bp + 1, (b->count - at - 1) * sizeof(*bp));
    b->count--;
    assign_points(b);
}

int ax_breakpoints_insert(struct ax_breakpoints *b, enum ax_target_type type,
                          uint64_t addr, unsigned size, const ax_gpa *gpa,
                          const struct ax_target_code *conditions,
                          unsigned count)
{
    struct ax_breakpoint *old = ax_breakpoints_find(b, type, addr, size);
    struct ax_breakpoint bp = {
        .type = type,
        .size = size,
        .addr = addr,
        .placed = gpa != NULL,
        .gpa = gpa ? *gpa : 0,
    };
    int err = check_place(type, addr, size);

    if (!err)
        err = copy_conditions(&bp, conditions, count);
    if (!err && !old)
        err = grow(b);
    if (err) {
        breakpoint_free(&bp);
        return err;
    }
    if (old) {
        struct ax_breakpoint before = *old;

        *old = bp;
        err = assign_points(b);
        if (err) { /* it has a place no more, and there is no point left */
            *old = before;
            assign_points(b);
        }
        breakpoint_free(err ? &bp : &before);
        return err;
    }
    b->all[b->count++] = bp;
    err = assign_points(b);
    if (err)
        take_out(b, &b->all[b->count - 1]);
    return err;
}

int ax_breakpoints_remove(struct ax_breakpoints *b, enum ax_target_type type,
                          uint64_t addr, unsigned size)
{
    struct ax_breakpoint *bp = ax_breakpoints_find(b, type, addr, size);

    if (!bp)
        return -ENOENT;
    take_out(b, bp);
    return 0;
}

void ax_breakpoints_place(struct ax_breakpoints *b,
                          bool (*find)(void *ctx, uint64_t addr, ax_gpa *gpa),
                          void *ctx)
{
    bool any = false;

    for (unsigned i = 0; i < b->count; i++) {
        struct ax_breakpoint *bp = &b->all[i];

        if (bp->type != AX_BREAK_SOFT || bp->placed ||
            !find(ctx, bp->addr, &bp->gpa))
            continue;
        bp->placed = true;
        any = true;
    }
    if (any)
        assign_points(b);
}

/* ---- in memory ---- */

/* The loader's door: text that the guest cannot write is debugged as well. */
static uint8_t *place_of(const struct ax_breakpoint *bp,
                         const struct ax_memory *mem,
                         const struct ax_gdb_ops *ops)
{
    return ax_memory_at_load(mem, bp->gpa, ops->breakpoint_size);
}

void ax_breakpoint_plant(struct ax_breakpoint *bp, const struct ax_memory *mem,
                         const struct ax_gdb_ops *ops)
{
    uint8_t *at = place_of(bp, mem, ops);

    if (!at || bp->planted)
        return;
    memcpy(bp->saved, at, ops->breakpoint_size);
    memcpy(at, ops->breakpoint, ops->breakpoint_size);
    bp->planted = true;
}

void ax_breakpoint_unplant(struct ax_breakpoint *bp,
                           const struct ax_memory *mem,
                           const struct ax_gdb_ops *ops)
{
    uint8_t *at = bp->planted ? place_of(bp, mem, ops) : NULL;

    bp->planted = false;
    if (at && !memcmp(at, ops->breakpoint, ops->breakpoint_size))
        memcpy(at, bp->saved, ops->breakpoint_size);
}

/* Two virtual addresses of one place share what is planted there. */
void ax_breakpoints_plant(struct ax_breakpoints *b, const struct ax_memory *mem,
                          const struct ax_gdb_ops *ops)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct ax_breakpoint *bp = &b->all[i];

        if (bp->type == AX_BREAK_SOFT && bp->placed &&
            !ax_breakpoints_at(b, bp->gpa))
            ax_breakpoint_plant(bp, mem, ops);
    }
}

void ax_breakpoints_unplant(struct ax_breakpoints *b,
                            const struct ax_memory *mem,
                            const struct ax_gdb_ops *ops)
{
    for (unsigned i = 0; i < b->count; i++)
        ax_breakpoint_unplant(&b->all[i], mem, ops);
}

struct ax_breakpoint *ax_breakpoints_at(const struct ax_breakpoints *b,
                                        ax_gpa gpa)
{
    for (unsigned i = 0; i < b->count; i++) {
        if (b->all[i].planted && b->all[i].gpa == gpa)
            return &b->all[i];
    }
    return NULL;
}

bool ax_breakpoints_here(const struct ax_breakpoints *b, uint64_t pc)
{
    for (unsigned i = 0; i < b->count; i++) {
        if (b->all[i].type <= AX_BREAK_HARD && b->all[i].addr == pc)
            return true;
    }
    return false;
}
