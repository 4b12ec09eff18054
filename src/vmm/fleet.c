/*
 * fleet.c - the list of VMs, sorted by id, and who hears of them.
 */
#include "vmm/fleet.h"

#include "devices/loop.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct member {
    struct ax_fleet *fleet;
    struct ax_config *conf;
    struct ax_vm *vm;
    bool doomed; /* to be deleted when it is Stopped */
    struct member *next;
};

/* Somebody is being told; on the stack of fleet_tell, which may nest. */
struct telling {
    struct ax_fleet_listener *next;
    struct telling *outer;
};

struct ax_fleet {
    struct ax_fleet_env env;
    struct member *members; /* by id */
    struct ax_fleet_listener *listeners;
    struct telling *telling;
    struct ax_wake *reap; /* a doomed VM is Stopped */
};

/* ---- listeners ---- */

static void fleet_tell(struct ax_fleet *fleet, enum ax_fleet_event_kind kind,
                       struct ax_vm *vm)
{
    struct telling telling = {fleet->listeners, fleet->telling};
    struct ax_fleet_listener *l;

    fleet->telling = &telling;
    while ((l = telling.next)) {
        telling.next = l->next;
        l->heard(l->ctx, kind, vm);
    }
    fleet->telling = telling.outer;
}

void ax_fleet_listen(struct ax_fleet *fleet, struct ax_fleet_listener *listener)
{
    listener->next = fleet->listeners;
    listener->listening = true;
    fleet->listeners = listener;
}

void ax_fleet_unlisten(struct ax_fleet *fleet,
                       struct ax_fleet_listener *listener)
{
    struct ax_fleet_listener **at = &fleet->listeners;

    if (!listener->listening)
        return;
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    for (struct telling *t = fleet->telling; t; t = t->outer) {
        if (t->next == listener)
            t->next = listener->next;
    }
    listener->listening = false;
}

/* ---- members ---- */

static void member_destroy(struct member *m)
{
    ax_vm_destroy(m->vm);
    ax_config_destroy(m->conf);
    free(m);
}

static void fleet_delete(struct ax_fleet *fleet, struct member *m)
{
    struct member **at = &fleet->members;

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    fleet_tell(fleet, AX_FLEET_DELETED, m->vm);
    member_destroy(m);
}

static void fleet_reap(void *ctx)
{
    struct ax_fleet *fleet = ctx;
    struct member *next;

    for (struct member *m = fleet->members; m; m = next) {
        next = m->next;
        if (m->doomed && ax_vm_state(m->vm) == AX_VM_STOPPED)
            fleet_delete(fleet, m);
    }
}

static void member_changed(void *ctx, struct ax_vm *vm)
{
    struct member *m = ctx;

    /* Not at once: the VM is in the middle of telling us. */
    if (m->doomed && ax_vm_state(vm) == AX_VM_STOPPED)
        ax_loop_wake(m->fleet->reap);
    fleet_tell(m->fleet, AX_FLEET_STATE, vm);
}

static void member_ended(void *ctx, struct ax_vm *vm)
{
    struct member *m = ctx;

    fleet_tell(m->fleet, AX_FLEET_END, vm);
}

static void member_answered(void *ctx, struct ax_vm *vm)
{
    struct member *m = ctx;

    fleet_tell(m->fleet, AX_FLEET_ANSWER, vm);
}

static void member_escape(void *ctx, struct ax_vm *vm, int key)
{
    const struct member *m = ctx;

    if (m->fleet->env.escape)
        m->fleet->env.escape(m->fleet->env.ctx, vm, key);
}

static void member_progress(void *ctx, const char *what, uint64_t done,
                            uint64_t total)
{
    const struct member *m = ctx;

    m->fleet->env.progress(m->fleet->env.ctx, what, done, total);
}

static void fleet_insert(struct ax_fleet *fleet, struct member *m)
{
    struct member **at = &fleet->members;

    while (*at && (*at)->conf->id < m->conf->id)
        at = &(*at)->next;
    m->next = *at;
    *at = m;
}

/* ---- unique ids and names ---- */

static const struct ax_config *fleet_with_id(const struct ax_fleet *fleet,
                                             uint64_t id)
{
    for (const struct member *m = fleet->members; m; m = m->next) {
        if (m->conf->id == id)
            return m->conf;
    }
    return NULL;
}

static struct member *fleet_with_name(const struct ax_fleet *fleet,
                                      const char *name)
{
    for (struct member *m = fleet->members; m; m = m->next) {
        if (!strcmp(m->conf->name, name))
            return m;
    }
    return NULL;
}

static int fleet_settle_id(const struct ax_fleet *fleet, struct ax_config *conf)
{
    const struct ax_config *other;

    while (!conf->id_given && fleet_with_id(fleet, conf->id))
        conf->id++;
    other = fleet_with_id(fleet, conf->id);
    if (!other)
        return 0;
    ax_log(fleet->env.log, AX_LOG_ERROR,
           "%s: VM %" PRIu64 " is '%s' of %s already: give it another base.id",
           conf->file, conf->id, other->name, other->file);
    return -EEXIST;
}

/* "linux", then "linux-2", "linux-3"... */
static int fleet_settle_name(const struct ax_fleet *fleet,
                             struct ax_config *conf)
{
    const struct member *other = fleet_with_name(fleet, conf->name);
    char *name = NULL;

    if (!other)
        return 0;
    if (conf->name_given) {
        ax_log(fleet->env.log, AX_LOG_ERROR,
               "%s: a VM of the name '%s' is there already (of %s): give it "
               "another base.name",
               conf->file, conf->name, other->conf->file);
        return -EEXIST;
    }
    for (unsigned n = 2; !name || fleet_with_name(fleet, name); n++) {
        free(name);
        if (asprintf(&name, "%s-%u", conf->name, n) < 0)
            return -ENOMEM;
    }
    free(conf->name);
    conf->name = name;
    return 0;
}

/* ---- the fleet ---- */

int ax_fleet_create(const struct ax_fleet_env *env, struct ax_fleet **out)
{
    struct ax_fleet *fleet = calloc(1, sizeof(*fleet));
    int err;

    *out = NULL;
    if (!fleet)
        return -ENOMEM;
    fleet->env = *env;
    err = ax_wake_create(env->loop, fleet_reap, fleet, &fleet->reap);
    if (err) {
        free(fleet);
        return err;
    }
    *out = fleet;
    return 0;
}

void ax_fleet_destroy(struct ax_fleet *fleet)
{
    if (!fleet)
        return;
    while (fleet->members) {
        struct member *m = fleet->members;

        fleet->members = m->next;
        member_destroy(m);
    }
    ax_wake_destroy(fleet->reap);
    free(fleet);
}

int ax_fleet_add(struct ax_fleet *fleet, struct ax_config *conf,
                 const struct ax_source *kernel, struct ax_vm **out,
                 enum ax_blame *blame)
{
    struct member *m = calloc(1, sizeof(*m));
    struct ax_vm_env env = {
        .conf = conf,
        .ops = fleet->env.ops,
        .kernel = kernel,
        .loop = fleet->env.loop,
        .log = fleet->env.log,
        .trace = fleet->env.trace,
        .progress = fleet->env.progress ? member_progress : NULL,
        .escape = member_escape,
        .changed = member_changed,
        .ended = member_ended,
        .answered = member_answered,
        .ctx = m,
    };
    int err = m ? 0 : -ENOMEM;

    *blame = AX_BLAME_USER;
    if (!err)
        err = fleet_settle_id(fleet, conf);
    if (!err)
        err = fleet_settle_name(fleet, conf);
    if (err) {
        ax_config_destroy(conf);
        free(m);
        return err;
    }
    m->fleet = fleet;
    m->conf = conf;
    err = ax_vm_create(&env, &m->vm, blame);
    if (err) {
        member_destroy(m);
        return err;
    }
    fleet_insert(fleet, m);
    if (out)
        *out = m->vm;
    fleet_tell(fleet, AX_FLEET_CREATED, m->vm);
    return 0;
}

int ax_fleet_delete(struct ax_fleet *fleet, struct ax_vm *vm, bool force)
{
    struct member *m = fleet->members;
    int err = ax_vm_may_delete(vm, force);

    if (err)
        return err;
    while (m->vm != vm)
        m = m->next;
    if (ax_vm_state(vm) == AX_VM_STOPPED) {
        fleet_delete(fleet, m);
        return 0;
    }
    m->doomed = true;
    return ax_vm_force_stop(vm);
}

unsigned ax_fleet_count(const struct ax_fleet *fleet)
{
    unsigned count = 0;

    for (const struct member *m = fleet->members; m; m = m->next)
        count++;
    return count;
}

struct ax_vm *ax_fleet_at(const struct ax_fleet *fleet, unsigned index)
{
    const struct member *m = fleet->members;

    while (m && index--)
        m = m->next;
    return m ? m->vm : NULL;
}

struct ax_vm *ax_fleet_find(const struct ax_fleet *fleet, const char *word)
{
    const struct member *m = fleet_with_name(fleet, word);
    char id[24];

    if (m)
        return m->vm;
    for (m = fleet->members; m; m = m->next) {
        snprintf(id, sizeof(id), "%" PRIu64, m->conf->id);
        if (!strcmp(id, word))
            return m->vm;
    }
    return NULL;
}
