/*
 * stubs.c - the list of stubs, kept in step with the fleet.
 */
#include "debug/stubs.h"

#include "control/place.h"
#include "control/server.h"
#include "debug/gdb.h"
#include "debug/listen.h"
#include "debug/target.h"
#include "devices/loop.h"
#include "log.h"
#include "vmm/fleet.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static_assert((int)AX_GDB_ON_CRASH == (int)AX_CATCH_CRASH &&
                  (int)AX_GDB_ON_RESET == (int)AX_CATCH_RESET &&
                  (int)AX_GDB_ON_POWEROFF == (int)AX_CATCH_OFF,
              "the configuration has the debugger's bits");

struct stub {
    struct ax_vm *vm;
    struct ax_gdb *gdb;
    char *spec;   /* as it was asked for */
    bool closing; /* goes when the loop comes round */
    struct stub *next;
};

struct ax_stubs {
    struct ax_control_env env;
    struct ax_fleet_listener listener;
    struct ax_wake *reap; /* some are closing */
    struct stub *list;
};

static struct stub *stub_find(const struct ax_stubs *stubs,
                              const struct ax_vm *vm)
{
    struct stub *stub = stubs->list;

    while (stub && stub->vm != vm)
        stub = stub->next;
    return stub;
}

static void stub_free(struct stub *stub)
{
    ax_gdb_destroy(stub->gdb);
    free(stub->spec);
    free(stub);
}

static void stub_remove(struct ax_stubs *stubs, struct stub *stub)
{
    struct stub **at = &stubs->list;

    while (*at != stub)
        at = &(*at)->next;
    *at = stub->next;
    stub_free(stub);
}

static void stubs_reap(void *ctx)
{
    struct ax_stubs *stubs = ctx;
    struct stub *next;

    for (struct stub *stub = stubs->list; stub; stub = next) {
        next = stub->next;
        if (stub->closing)
            stub_remove(stubs, stub);
    }
}

/* ---- opening ---- */

__attribute__((format(printf, 4, 5))) static int
fail(int err, char *why, size_t why_size, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, why_size, fmt, args);
    va_end(args);
    return err;
}

/* A socket file beside the control sockets, but no *.sock. */
static int default_spec(const struct ax_vm *vm, char **out, char *why,
                        size_t why_size)
{
    char dir[AX_LISTEN_ADDRESS];
    int err = ax_control_dir(dir, sizeof(dir));

    if (!err)
        err = ax_control_make_dir(dir);
    if (err)
        return fail(
            err, why, why_size, "%s: %s: say where to listen (--listen)",
            err == -ENAMETOOLONG ? "the directory of control sockets" : dir,
            err == -EPERM ? "the directory is not ours alone" : strerror(-err));
    if (asprintf(out, "unix:%s/%d-%" PRIu64 ".gdb", dir, (int)getpid(),
                 ax_vm_config(vm)->id) < 0)
        return fail(-ENOMEM, why, why_size, "%s", strerror(ENOMEM));
    return 0;
}

static int copy_spec(const struct ax_vm *vm, const char *spec, char **out,
                     char *why, size_t why_size)
{
    *out = NULL;
    if (!spec)
        return default_spec(vm, out, why, why_size);
    *out = strdup(spec);
    return *out ? 0 : fail(-ENOMEM, why, why_size, "%s", strerror(ENOMEM));
}

static int stub_create(struct ax_stubs *stubs, struct ax_vm *vm,
                       const char *spec, struct stub **out, char *why,
                       size_t why_size)
{
    const struct ax_config *conf = ax_vm_config(vm);
    const struct ax_gdb_env env = {
        .vm = vm,
        .control = &stubs->env,
        .catches = conf->gdb_on,
        .wait = conf->gdb_wait,
    };
    struct stub *stub = calloc(1, sizeof(*stub));
    int err;

    if (!stub)
        return fail(-ENOMEM, why, why_size, "%s", strerror(ENOMEM));
    stub->vm = vm;
    err = copy_spec(vm, spec, &stub->spec, why, why_size);
    if (!err)
        err = ax_gdb_create(&env, stub->spec, &stub->gdb, why, why_size);
    if (err) {
        stub_free(stub);
        return err;
    }
    stub->next = stubs->list;
    stubs->list = stub;
    ax_log(ax_vm_log(vm), AX_LOG_INFO, "gdb: target remote %s%s",
           ax_gdb_address(stub->gdb),
           conf->gdb_wait ? " (a start waits for it)" : "");
    *out = stub;
    return 0;
}

/* Does spec say where it listens already? */
static bool stub_is_at(const struct stub *stub, const char *spec)
{
    const char *address = ax_gdb_address(stub->gdb);

    return !strcmp(spec, stub->spec) || !strcmp(spec, address) ||
           (!strncmp(spec, "unix:", 5) && !strcmp(spec + 5, address));
}

int ax_stubs_open(struct ax_stubs *stubs, struct ax_vm *vm, const char *spec,
                  const char **address, char *why, size_t why_size)
{
    struct stub *stub = stub_find(stubs, vm);
    int err = 0;

    *address = NULL;
    if (stub && stub->closing)
        return fail(-EBUSY, why, why_size,
                    "the last debugger is being detached: try again");
    if (stub && spec && !stub_is_at(stub, spec))
        return fail(-EEXIST, why, why_size,
                    "it listens at %s already: close that first (--off)",
                    ax_gdb_address(stub->gdb));
    if (!stub)
        err = stub_create(stubs, vm, spec, &stub, why, why_size);
    if (stub)
        *address = ax_gdb_address(stub->gdb);
    return err;
}

void ax_stubs_close(struct ax_stubs *stubs, struct ax_vm *vm)
{
    struct stub *stub = stub_find(stubs, vm);

    if (!stub)
        return;
    if (!ax_gdb_busy(stub->gdb)) {
        stub_remove(stubs, stub);
        return;
    }
    stub->closing = true;
    ax_loop_wake(stubs->reap);
}

const char *ax_stubs_address(const struct ax_stubs *stubs,
                             const struct ax_vm *vm)
{
    const struct stub *stub = stub_find(stubs, vm);

    return stub && !stub->closing ? ax_gdb_address(stub->gdb) : NULL;
}

/* ---- the fleet ---- */

static void open_configured(struct ax_stubs *stubs, struct ax_vm *vm)
{
    const char *spec = ax_vm_config(vm)->gdb, *address;
    char why[AX_LISTEN_WHY];

    if (spec && ax_stubs_open(stubs, vm, spec, &address, why, sizeof(why)) < 0)
        ax_log(ax_vm_log(vm), AX_LOG_ERROR,
               "gdb: %s (--gdb=SPEC or [debug] gdb)", why);
}

static void stubs_heard(void *ctx, enum ax_fleet_event_kind kind,
                        struct ax_vm *vm)
{
    struct ax_stubs *stubs = ctx;
    struct stub *stub;

    if (kind == AX_FLEET_CREATED) {
        open_configured(stubs, vm);
    } else if (kind == AX_FLEET_DELETED) {
        stub = stub_find(stubs, vm);
        if (stub)
            stub_remove(stubs, stub);
    }
}

int ax_stubs_create(const struct ax_control_env *env, struct ax_stubs **out)
{
    struct ax_stubs *stubs = calloc(1, sizeof(*stubs));
    int err;

    *out = NULL;
    if (!stubs)
        return -ENOMEM;
    err = ax_wake_create(env->loop, stubs_reap, stubs, &stubs->reap);
    if (err) {
        free(stubs);
        return err;
    }
    stubs->env = *env;
    stubs->listener.heard = stubs_heard;
    stubs->listener.ctx = stubs;
    ax_fleet_listen(env->fleet, &stubs->listener);
    *out = stubs;
    return 0;
}

void ax_stubs_destroy(struct ax_stubs *stubs)
{
    if (!stubs)
        return;
    ax_fleet_unlisten(stubs->env.fleet, &stubs->listener);
    while (stubs->list)
        stub_remove(stubs, stubs->list);
    ax_wake_destroy(stubs->reap);
    free(stubs);
}
