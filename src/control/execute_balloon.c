/*
 * execute_balloon.c - the command balloon: how much of its memory a guest has,
 * and how much it shall have.
 */
#include "control/execute_parts.h"

#include "devices/balloon.h"
#include "devices/loop.h"

#include <errno.h>
#include <stdlib.h>

enum { PATIENCE_MS = 1000 }; /* for a guest to count */

#define LEAST AX_MIB(16) /* which no Linux lives in */

/* Somebody waits for statistics. */
struct wish {
    struct ax_timer *patience;
    uint64_t answers; /* there were before */
};

/* ---- answers ---- */

/* What a guest says may be anything; JSON has signed numbers. */
static json_t *number(uint64_t val)
{
    return json_integer(val > INT64_MAX ? INT64_MAX : (json_int_t)val);
}

static json_t *describe_stats(const uint64_t stats[AX_BALLOON_STATS])
{
    static const char *const names[AX_BALLOON_STATS] = {
        [AX_BALLOON_SWAP_IN] = "swap_in",
        [AX_BALLOON_SWAP_OUT] = "swap_out",
        [AX_BALLOON_MAJOR_FAULTS] = "major_faults",
        [AX_BALLOON_MINOR_FAULTS] = "minor_faults",
        [AX_BALLOON_FREE] = "free",
        [AX_BALLOON_TOTAL] = "total",
        [AX_BALLOON_AVAILABLE] = "available",
        [AX_BALLOON_CACHES] = "caches",
        [AX_BALLOON_HUGE_PAGES] = "huge_pages",
        [AX_BALLOON_HUGE_PAGES_FAILED] = "huge_pages_failed",
    };
    json_t *all = json_object();
    int err = all ? 0 : -1;

    for (unsigned i = 0; !err && i < AX_BALLOON_STATS; i++) {
        if (stats[i] != AX_BALLOON_UNKNOWN)
            err = json_object_set_new(all, names[i], number(stats[i]));
    }
    if (!err)
        return all;
    json_decref(all);
    return NULL;
}

/* stats: they are new. */
static json_t *describe(const struct ax_balloon *b, bool stats)
{
    return json_pack("{s:o, s:o, s:o, s:b, s:o}", "memory", number(b->most),
                     "target", number(b->target), "actual", number(b->actual),
                     "driver", b->driven, "statistics",
                     stats ? describe_stats(b->stats) : json_null());
}

static void balloon_error(const struct request *r, int err)
{
    if (err == -EOPNOTSUPP)
        ax_execute_error(r->asker, r->id, AX_EXECUTE_UNSUPPORTED,
                         "VM has no balloon: add [balloon] to its file");
    else
        ax_execute_vm_error(r->asker, r->id, r->vm, err);
}

/* ---- waiting for the guest ---- */

static void wish_drop(struct pending *p)
{
    struct wish *wish = p->ctx;

    ax_timer_destroy(wish->patience);
    free(wish);
}

/* With what is known: fresh statistics, or none. */
static void wish_end(struct pending *p, const struct ax_balloon *b, bool fresh)
{
    ax_execute_answer(p->asker, p->id, describe(b, fresh));
    ax_pending_end(p);
}

static void wish_end_badly(struct pending *p, int err)
{
    const struct request r = {.asker = p->asker, .id = p->id, .vm = p->vm};

    balloon_error(&r, err);
    ax_pending_end(p);
}

static void wish_look(struct pending *p)
{
    const struct wish *wish = p->ctx;
    struct ax_balloon b;
    int err = ax_vm_balloon(p->vm, false, &b);

    if (err)
        wish_end_badly(p, err);
    else if (b.answers != wish->answers || !b.counts)
        wish_end(p, &b, b.counts);
}

static void wish_give_up(void *ctx, uint64_t count)
{
    struct pending *p = ctx;
    struct ax_balloon b;
    int err = ax_vm_balloon(p->vm, false, &b);

    if (err)
        wish_end_badly(p, err);
    else
        wish_end(p, &b, false);
}

/* before: as it was before it was asked. */
static void wait_for_statistics(const struct request *r,
                                const struct ax_balloon *before)
{
    struct pending *p = ax_pending_create(r, wish_look, 0, "");
    struct wish *wish;

    if (!p)
        return;
    wish = calloc(1, sizeof(*wish));
    if (!wish ||
        ax_timer_create(r->exec->env.loop, wish_give_up, p, &wish->patience)) {
        free(wish);
        ax_pending_begin(p, -ENOMEM);
        return;
    }
    wish->answers = before->answers;
    p->ctx = wish;
    p->drop = wish_drop;
    ax_timer_arm(wish->patience, PATIENCE_MS * UINT64_C(1000000), 0);
    ax_pending_begin(p, 0);
}

/* ---- the command ---- */

static void balloon_aim(const struct request *r, const struct ax_balloon *b)
{
    struct ax_balloon after = *b;
    int err;

    if (r->size < LEAST && r->size < b->most) {
        ax_execute_error(r->asker, r->id, AX_EXECUTE_BAD_REQUEST,
                         "%llu bytes are too few for a guest: name a size such "
                         "as 512M",
                         (unsigned long long)r->size);
        return;
    }
    err = ax_vm_aim_balloon(r->vm, r->size);
    if (!err)
        err = ax_vm_balloon(r->vm, false, &after);
    if (err == -ERANGE)
        ax_execute_error(r->asker, r->id, AX_EXECUTE_BAD_REQUEST,
                         "VM has %llu bytes of memory: it cannot get more",
                         (unsigned long long)b->most);
    else if (err)
        balloon_error(r, err);
    else
        ax_execute_answer(r->asker, r->id, describe(&after, false));
}

void ax_execute_balloon(const struct request *r)
{
    const bool runs = ax_vm_state(r->vm) == AX_VM_RUNNING;
    struct ax_balloon b;
    int err = ax_vm_balloon(r->vm, runs && !r->size, &b);

    if (err)
        balloon_error(r, err);
    else if (r->size)
        balloon_aim(r, &b);
    else if (runs && b.counts)
        wait_for_statistics(r, &b);
    else
        ax_execute_answer(r->asker, r->id, describe(&b, false));
}
