/*
 * execute_parts.h - what execute.c (requests, commands that are done at once),
 * execute_wait.c (commands that wait) and the execute_*.c of single commands
 * share. Private to them.
 */
#ifndef AX_CONTROL_EXECUTE_PARTS_H
#define AX_CONTROL_EXECUTE_PARTS_H

#include "control/execute.h"
#include "control/server.h"
#include "vmm/fleet.h"

#include <jansson.h>

/* For a guest that was told to go: longer than its console may take. */
#define AX_EXECUTE_GRACE_NS UINT64_C(15000000000)

struct pending;

struct ax_execute {
    struct ax_control_env env;
    struct ax_fleet_listener listener;
    struct ax_asker *subscribers;
    struct pending *pending; /* in no order */
};

/* A request whose members have been checked. */
struct request {
    struct ax_execute *exec;
    struct ax_asker *asker;
    json_t *id; /* borrowed; NULL: none */
    struct ax_vm *vm;
    bool force;
    bool bounded; /* timeout_ns was given */
    uint64_t timeout_ns;
    enum ax_vm_state state;
    const char *file, *listen;
    bool off;
    const char *disk; /* its serial or number */
    uint64_t size;    /* 0: not given */
    bool one_card, plugs, up;
    unsigned card;
    const char *port;    /* a console's name; NULL: the serial line's */
    uint16_t cols, rows; /* of the asker's terminal; 0: not given */
    bool aside;          /* only the terminal is told, nobody attaches */
};

/* A command that waits for something to come true. */
struct pending {
    struct ax_execute *exec;
    struct ax_asker *asker;
    json_t *id;
    struct ax_vm *vm;
    /* Looks whether it has; if so answers and ends it (ax_pending_end). */
    void (*look)(struct pending *p);
    void (*drop)(struct pending *p); /* gives up what is going on; or NULL */
    void *ctx;                       /* of look and drop */
    enum ax_vm_state state;
    unsigned starts;         /* before it began */
    bool begun;              /* look may be called */
    bool deleted;            /* vm is no more */
    struct ax_timer *bound;  /* NULL: for ever */
    const char *bound_means; /* static text for the error */
    struct pending *next;
};

/* ---- execute.c ---- */

/* result is stolen; NULL: there was no memory for it. */
void ax_execute_answer(struct ax_asker *asker, json_t *id, json_t *result);
void ax_execute_state(struct ax_asker *asker, json_t *id, const char *state);
void ax_execute_error(struct ax_asker *asker, json_t *id,
                      enum ax_execute_error code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Why an operation of vm gave err. */
void ax_execute_vm_error(struct ax_asker *asker, json_t *id, struct ax_vm *vm,
                         int err);

/* ---- execute_wait.c ---- */

void ax_execute_heard(void *ctx, enum ax_fleet_event_kind kind,
                      struct ax_vm *vm);

/*
 * A command that will wait, or NULL after answering why not. bound_ns 0: for
 * ever. Call ax_pending_begin when what it waits for is on its way.
 */
struct pending *ax_pending_create(const struct request *r,
                                  void (*look)(struct pending *p),
                                  uint64_t bound_ns, const char *bound_means);

/* err: of what should have brought it on its way. */
void ax_pending_begin(struct pending *p, int err);

/* After its answer, or without any. */
void ax_pending_end(struct pending *p);

void ax_execute_stop(const struct request *r);
void ax_execute_restart(const struct request *r);
void ax_execute_reset(const struct request *r);
void ax_execute_delete(const struct request *r);
void ax_execute_wait(const struct request *r);

/* ---- execute_dump.c ---- */

void ax_execute_dump(const struct request *r);

/* ---- execute_console.c ---- */

void ax_execute_console(const struct request *r);

/* ---- execute_balloon.c ---- */

void ax_execute_balloon(const struct request *r);

/* ---- execute_disk.c ---- */

void ax_execute_disk_resize(const struct request *r);

/* ---- execute_net.c ---- */

void ax_execute_net(const struct request *r);

#endif
