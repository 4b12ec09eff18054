/*
 * balloon.h - a guest's memory as its balloon has it. Types only.
 */
#ifndef AX_DEVICES_BALLOON_H
#define AX_DEVICES_BALLOON_H

#include "base.h"

/* What a driver counts, by the numbers of VIRTIO 1.2, 5.5.6.3. */
enum ax_balloon_stat {
    AX_BALLOON_SWAP_IN, /* bytes, as all but faults and pages */
    AX_BALLOON_SWAP_OUT,
    AX_BALLOON_MAJOR_FAULTS,
    AX_BALLOON_MINOR_FAULTS,
    AX_BALLOON_FREE,
    AX_BALLOON_TOTAL,
    AX_BALLOON_AVAILABLE,
    AX_BALLOON_CACHES,
    AX_BALLOON_HUGE_PAGES,
    AX_BALLOON_HUGE_PAGES_FAILED,
    AX_BALLOON_STATS,
};

#define AX_BALLOON_UNKNOWN UINT64_MAX

struct ax_balloon {
    uint64_t most;    /* bytes of RAM that the machine has */
    uint64_t target;  /* ... that the guest shall have */
    uint64_t actual;  /* ... that it has, as it says */
    bool driven;      /* the guest has a driver for it */
    bool counts;      /* ... which can be asked for statistics */
    uint64_t answers; /* how often statistics have come so far */
    uint64_t stats[AX_BALLOON_STATS]; /* the last ones, or AX_BALLOON_UNKNOWN */
};

#endif
