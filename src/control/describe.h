/*
 * describe.h - VMs and what happens to them as the JSON of docs/control.md.
 *
 * Loop thread; never disturbs a vCPU. NULL: out of memory.
 */
#ifndef AX_CONTROL_DESCRIBE_H
#define AX_CONTROL_DESCRIBE_H

#include "vmm/fleet.h"

struct json_t;

struct json_t *ax_describe_summary(struct ax_vm *vm);

/* The summary and all that "show" adds to it. */
struct json_t *ax_describe_all(struct ax_vm *vm);

/* An event that happens now. */
struct json_t *ax_describe_event(enum ax_fleet_event_kind kind,
                                 struct ax_vm *vm);

#endif
