/*
 * guestclock.h - guest time: the host's CLOCK_MONOTONIC without the spans in
 * which the VM was suspended.
 *
 * Never goes backwards. One thread at a time stops it and lets it go, the VM's
 * loop; any thread reads it. All zero is a clock that goes.
 */
#ifndef AX_DEVICES_GUESTCLOCK_H
#define AX_DEVICES_GUESTCLOCK_H

#include "base.h"

struct ax_clock {
    _Atomic uint64_t changes;    /* odd while the other two are written */
    _Atomic uint64_t lag_ns;     /* host minus guest, while it goes */
    _Atomic uint64_t stopped_at; /* guest time at which it stands; 0: it goes */
};

void ax_clock_stop(struct ax_clock *clock); /* idempotent, like go */
/* Returns for how many nanoseconds it stood still. */
uint64_t ax_clock_go(struct ax_clock *clock);

/* Guest nanoseconds, and ticks of hz; of the host with a NULL clock. */
uint64_t ax_clock_guest_ns(const struct ax_clock *clock);
uint64_t ax_clock_guest_ticks(const struct ax_clock *clock, uint32_t hz);

#endif
