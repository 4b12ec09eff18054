/*
 * guestclock.c - guest time as a sequence lock around the host's.
 *
 * A reader that looked at the host's clock while guest time was being stopped
 * could come out behind the time at which it then stands, and the next reader
 * would see time go backwards. So a stop or go is announced before it looks at
 * the host's clock, and a reader that finds one under way, or over, begins
 * anew. That is rare: the VM's vCPUs are held at such times.
 */
#include "devices/guestclock.h"

#include "devices/clock.h"

#include <stdatomic.h>

void ax_clock_stop(struct ax_clock *clock)
{
    if (atomic_load(&clock->stopped_at))
        return;
    atomic_fetch_add(&clock->changes, 1);
    atomic_store(&clock->stopped_at,
                 ax_clock_now_ns() - atomic_load(&clock->lag_ns));
    atomic_fetch_add(&clock->changes, 1);
}

uint64_t ax_clock_go(struct ax_clock *clock)
{
    const uint64_t stopped_at = atomic_load(&clock->stopped_at);
    uint64_t before, lag;

    if (!stopped_at)
        return 0;
    atomic_fetch_add(&clock->changes, 1);
    before = atomic_load(&clock->lag_ns);
    lag = ax_clock_now_ns() - stopped_at;
    atomic_store(&clock->lag_ns, lag);
    atomic_store(&clock->stopped_at, 0);
    atomic_fetch_add(&clock->changes, 1);
    return lag - before;
}

uint64_t ax_clock_guest_ns(const struct ax_clock *clock)
{
    uint64_t changes, ns;

    if (!clock)
        return ax_clock_now_ns();
    do {
        changes = atomic_load(&clock->changes);
        ns = atomic_load(&clock->stopped_at);
        if (!ns)
            ns = ax_clock_now_ns() - atomic_load(&clock->lag_ns);
    } while (changes % 2 || changes != atomic_load(&clock->changes));
    return ns;
}

uint64_t ax_clock_guest_ticks(const struct ax_clock *clock, uint32_t hz)
{
    return ax_clock_ticks(ax_clock_guest_ns(clock), hz);
}
