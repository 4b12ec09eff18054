/*
 * execute_wait.c - the commands that are answered when something has come true,
 * and who hears of what happens. Called by execute.c.
 */
#include "control/execute_parts.h"

#include "control/describe.h"
#include "devices/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- pending commands ---- */

static void pending_bound(void *ctx, uint64_t count)
{
    struct pending *p = ctx;

    ax_execute_error(p->asker, p->id, AX_EXECUTE_TIMEOUT, "VM is %s%s",
                     ax_vm_state_name(ax_vm_state(p->vm)), p->bound_means);
    ax_pending_end(p);
}

struct pending *ax_pending_create(const struct request *r,
                                  void (*look)(struct pending *p),
                                  uint64_t bound_ns, const char *bound_means)
{
    struct pending *p;

    if (r->asker->waiting == AX_EXECUTE_WAITING) {
        ax_execute_error(r->asker, r->id, AX_EXECUTE_BUSY,
                         "%d commands of this connection wait already",
                         AX_EXECUTE_WAITING);
        return NULL;
    }
    p = calloc(1, sizeof(*p));
    if (!p || (bound_ns && ax_timer_create(r->exec->env.loop, pending_bound, p,
                                           &p->bound))) {
        free(p);
        ax_execute_answer(r->asker, r->id, NULL);
        return NULL;
    }
    if (bound_ns)
        ax_timer_arm(p->bound, bound_ns, 0);
    p->exec = r->exec;
    p->asker = r->asker;
    p->id = json_incref(r->id);
    p->vm = r->vm;
    p->look = look;
    p->bound_means = bound_means;
    p->starts = ax_vm_starts(r->vm);
    p->asker->waiting++;
    p->next = r->exec->pending;
    r->exec->pending = p;
    return p;
}

void ax_pending_begin(struct pending *p, int err)
{
    p->begun = true;
    if (!err) {
        p->look(p);
        return;
    }
    ax_execute_vm_error(p->asker, p->id, p->vm, err);
    ax_pending_end(p);
}

void ax_pending_end(struct pending *p)
{
    struct pending **at = &p->exec->pending;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    p->asker->waiting--;
    if (p->drop)
        p->drop(p);
    ax_timer_destroy(p->bound);
    json_decref(p->id);
    free(p);
}

static void pending_reached(struct pending *p, const char *state)
{
    ax_execute_state(p->asker, p->id, state);
    ax_pending_end(p);
}

/* ---- the fleet's news ---- */

void ax_execute_heard(void *ctx, enum ax_fleet_event_kind kind,
                      struct ax_vm *vm)
{
    struct ax_execute *exec = ctx;
    json_t *event = exec->subscribers && kind != AX_FLEET_ANSWER
                        ? ax_describe_event(kind, vm)
                        : NULL;
    struct pending *next;

    for (struct ax_asker *a = event ? exec->subscribers : NULL; a; a = a->next)
        a->answer(a->ctx, event);
    json_decref(event);
    for (struct pending *p = exec->pending; p; p = next) {
        next = p->next;
        if (p->vm != vm)
            continue;
        p->deleted = kind == AX_FLEET_DELETED;
        if (p->begun)
            p->look(p);
    }
}

/* ---- what is waited for ---- */

static void look_for_state(struct pending *p)
{
    if (ax_vm_state(p->vm) == p->state) {
        pending_reached(p, ax_vm_state_name(p->state));
    } else if (p->deleted) {
        ax_execute_error(p->asker, p->id, AX_EXECUTE_UNKNOWN_VM,
                         "VM was deleted");
        ax_pending_end(p);
    }
}

/* The next life. */
static void look_for_start(struct pending *p)
{
    const enum ax_vm_state state = ax_vm_state(p->vm);

    if (state == AX_VM_RUNNING && ax_vm_starts(p->vm) != p->starts) {
        pending_reached(p, ax_vm_state_name(state));
    } else if (state == AX_VM_STOPPED) {
        ax_execute_error(p->asker, p->id, AX_EXECUTE_FAILED,
                         "VM has stopped and did not start again (see the "
                         "log)");
        ax_pending_end(p);
    }
}

static void look_for_deletion(struct pending *p)
{
    if (p->deleted)
        pending_reached(p, "deleted");
}

/* ---- the commands ---- */

/* How long the guest may take, and we after that. */
static uint64_t request_bound(const struct request *r)
{
    const uint64_t guest_ns = r->force ? 0
                              : r->bounded
                                  ? r->timeout_ns
                                  : ax_vm_config(r->vm)->stop_timeout_ns;

    return guest_ns > UINT64_MAX - AX_EXECUTE_GRACE_NS
               ? UINT64_MAX
               : guest_ns + AX_EXECUTE_GRACE_NS;
}

static uint64_t request_patience(const struct request *r)
{
    return r->bounded ? r->timeout_ns : AX_VM_PATIENCE;
}

void ax_execute_stop(const struct request *r)
{
    struct pending *p = ax_pending_create(r, look_for_state, request_bound(r),
                                          ", not stopped yet");

    if (!p)
        return;
    p->state = AX_VM_STOPPED;
    ax_pending_begin(p, r->force ? ax_vm_force_stop(r->vm)
                                 : ax_vm_stop(r->vm, request_patience(r)));
}

void ax_execute_restart(const struct request *r)
{
    struct pending *p = ax_pending_create(r, look_for_start, request_bound(r),
                                          ", not running again yet");

    if (p)
        ax_pending_begin(p, r->force
                                ? ax_vm_reset(r->vm)
                                : ax_vm_restart(r->vm, request_patience(r)));
}

void ax_execute_reset(const struct request *r)
{
    struct request forced = *r;

    forced.force = true;
    ax_execute_restart(&forced);
}

void ax_execute_delete(const struct request *r)
{
    struct pending *p =
        ax_pending_create(r, look_for_deletion, AX_EXECUTE_GRACE_NS,
                          ", it is deleted when it has stopped");

    /* It may be gone at once: ax_execute_heard then tells p. */
    if (p)
        ax_pending_begin(p,
                         ax_fleet_delete(r->exec->env.fleet, r->vm, r->force));
}

void ax_execute_wait(const struct request *r)
{
    const uint64_t bound_ns =
        r->bounded && !r->timeout_ns ? 1 : r->timeout_ns; /* 0: for ever */
    struct pending *p = ax_pending_create(r, look_for_state, bound_ns, "");

    if (!p)
        return;
    p->state = r->state;
    ax_pending_begin(p, 0);
}
