/*
 * clock.c - see clock.h.
 */
#include "fake/clock.h"

#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The clock of a process is a global of it, and so is its fake. */
static uint64_t fake_realtime, fake_monotonic;

void fake_clock_set(uint64_t realtime_ns, uint64_t monotonic_ns)
{
    fake_realtime = realtime_ns;
    fake_monotonic = monotonic_ns;
}

void fake_clock_advance(uint64_t ns)
{
    fake_realtime += ns;
    fake_monotonic += ns;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    uint64_t ns = id == CLOCK_REALTIME    ? fake_realtime
                  : id == CLOCK_MONOTONIC ? fake_monotonic
                                          : 0;

    if (!ns)
        return (int)syscall(SYS_clock_gettime, id, now);
    now->tv_sec = (time_t)(ns / 1000000000U);
    now->tv_nsec = (long)(ns % 1000000000U);
    return 0;
}
