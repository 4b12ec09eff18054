/*
 * clock.c - see clock.h.
 */
#include "fake/clock.h"

#include "devices/clock.h"

/* Time is a global of the world, and so is its fake. */
static uint64_t fake_realtime, fake_monotonic, fake_pace;

void fake_clock_set(uint64_t realtime_ns, uint64_t monotonic_ns)
{
    fake_realtime = realtime_ns;
    fake_monotonic = monotonic_ns;
    fake_pace = 0;
}

void fake_clock_advance(uint64_t ns)
{
    fake_realtime += ns;
    fake_monotonic += ns;
}

void fake_clock_pace(uint64_t ns)
{
    fake_pace = ns;
}

struct timespec ax_clock_now(clockid_t id)
{
    uint64_t ns = id == CLOCK_REALTIME ? fake_realtime : fake_monotonic;
    struct timespec now;

    if (!ns)
        clock_gettime(id, &now);
    else
        now = (struct timespec){.tv_sec = (time_t)(ns / AX_NSEC_PER_SEC),
                                .tv_nsec = (long)(ns % AX_NSEC_PER_SEC)};
    if (ns)
        fake_clock_advance(fake_pace);
    return now;
}
