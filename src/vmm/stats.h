/*
 * stats.h - what a VM did: exits by AxVisor reason and by device, and the
 * timeline of its start. Loop thread; never disturbs a vCPU.
 */
#ifndef AX_VMM_STATS_H
#define AX_VMM_STATS_H

#include <stdint.h>
#include <stdio.h>

struct ax_vm;
struct json_t;

/* start_ns: CLOCK_MONOTONIC of the process's first moment. */
void ax_stats_print(struct ax_vm *vm, uint64_t start_ns, FILE *to);

/* The same as a JSON object, owned by the caller; 0 or -ENOMEM. */
int ax_stats_json(struct ax_vm *vm, uint64_t start_ns, struct json_t **out);

/* The same as text: one JSON object and a newline; 0 or -errno of writing. */
int ax_stats_print_json(struct ax_vm *vm, uint64_t start_ns, FILE *to);

#endif
