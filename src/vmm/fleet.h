/*
 * fleet.h - the VMs of one process: created, found, watched, deleted.
 *
 * Ids and names are unique in a fleet. Everything here belongs to the loop
 * thread.
 */
#ifndef AX_VMM_FLEET_H
#define AX_VMM_FLEET_H

#include "vmm/vm.h"

struct ax_fleet;

enum ax_fleet_event_kind {
    AX_FLEET_CREATED, /* it is Loaded */
    AX_FLEET_STATE,   /* ax_vm_state(vm) is new */
    AX_FLEET_END,     /* a life has ended: ax_vm_end(vm); its states follow */
    AX_FLEET_DELETED, /* the last that is heard of it; vm is still valid */
    AX_FLEET_ANSWER,  /* no event: a device that was asked has its answer */
};

/*
 * Who hears of everything that happens. Owned by the listener; may be added and
 * removed from within a call, its own included. A call must not delete the VM
 * that it hears of.
 */
struct ax_fleet_listener {
    void (*heard)(void *ctx, enum ax_fleet_event_kind kind, struct ax_vm *vm);
    void *ctx;
    struct ax_fleet_listener *next; /* the fleet's */
    bool listening;                 /* the fleet's */
};

/* What every VM of the fleet is given. Pointers are borrowed. */
struct ax_fleet_env {
    const struct ax_backend_ops *ops;
    struct ax_loop *loop;
    struct ax_log *log;
    FILE *trace; /* one line per exit, NULL: none */
    void (*progress)(void *ctx, const char *what, uint64_t done,
                     uint64_t total); /* of loading large images; may be NULL */
    void (*escape)(void *ctx, struct ax_vm *vm, int key); /* Ctrl-a KEY */
    void *ctx;
};

/* 0 or -ENOMEM. */
int ax_fleet_create(const struct ax_fleet_env *env, struct ax_fleet **out);

/* Accepts NULL. Stops and deletes every VM; every listener must be gone. */
void ax_fleet_destroy(struct ax_fleet *fleet);

/*
 * Builds a VM from conf, which belongs to the fleet from now on, also where
 * this fails. kernel (may be NULL) stands in for conf's file and is borrowed.
 * A name or id that the file gives and another VM has: -EEXIST, logged, and
 * *blame is AX_BLAME_USER; one that it does not give is made unique. Otherwise
 * as ax_vm_create. *out may be NULL.
 */
int ax_fleet_add(struct ax_fleet *fleet, struct ax_config *conf,
                 const struct ax_source *kernel, struct ax_vm **out,
                 enum ax_blame *blame);

/*
 * Deletes a VM as AX_VM_OP_DELETE allows, or with force as
 * AX_VM_OP_FORCE_DELETE: then soon, when it is Stopped, unless it is at once.
 * 0, -EPERM after a refusal (ax_vm_refusal), -EBUSY.
 */
int ax_fleet_delete(struct ax_fleet *fleet, struct ax_vm *vm, bool force);

unsigned ax_fleet_count(const struct ax_fleet *fleet);

/* By ascending id; NULL from index ax_fleet_count on. */
struct ax_vm *ax_fleet_at(const struct ax_fleet *fleet, unsigned index);

/* By name, or by id in decimal; a name that is all digits comes first. NULL if
 * there is none. */
struct ax_vm *ax_fleet_find(const struct ax_fleet *fleet, const char *word);

void ax_fleet_listen(struct ax_fleet *fleet,
                     struct ax_fleet_listener *listener);
void ax_fleet_unlisten(struct ax_fleet *fleet,
                       struct ax_fleet_listener *listener); /* idempotent */

#endif
