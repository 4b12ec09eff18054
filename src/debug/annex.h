/*
 * annex.h - the documents that gdb reads by qXfer (GDB manual, appendices E.4
 * "General Query Packets", E.13 "Thread List Format" and E.14 "Memory Map
 * Format"), and the slices in which it reads any. Pure.
 */
#ifndef AX_DEBUG_ANNEX_H
#define AX_DEBUG_ANNEX_H

#include "base.h"

struct ax_packet;
struct ax_packet_scan;

struct ax_annex_thread {
    unsigned id;      /* from 1: of the thread that is CPU id - 1 */
    const char *name; /* any bytes; NULL: none, like text */
    const char *text; /* what "info threads" says of it */
};

/* "threads": *out is allocated, a string of *size characters. 0 or -ENOMEM. */
int ax_annex_threads(const struct ax_annex_thread *threads, unsigned count,
                     char **out, size_t *size);

/*
 * "memory-map": all addresses are memory. What there is depends on the guest's
 * page tables, and gdb asks for nothing that its map does not have.
 */
const char *ax_annex_memory_map(void);

/*
 * Answers "OFFSET,LENGTH", all that is left of range, in a packet that is
 * empty: 'l' and the text up to its end, or 'm' and as much as fits; escaped,
 * so no runs. -EINVAL: range is none, or beyond the text; nothing is added.
 */
int ax_annex_slice(const void *text, size_t size, struct ax_packet_scan *range,
                   struct ax_packet *packet);

#endif
