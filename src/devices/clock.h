/*
 * clock.h - host time, and time in the units of a device that counts at its own
 * rate. What a guest takes for the time is guestclock.h's.
 *
 * Any thread. Split into seconds and the rest, so that no product overflows:
 * valid for rates below 16 GHz and spans below a century.
 */
#ifndef AX_DEVICES_CLOCK_H
#define AX_DEVICES_CLOCK_H

#include <stdint.h>
#include <time.h>

enum { AX_NSEC_PER_SEC = 1000000000 };

/* The host's clock id. Models ask here and nowhere else: tests stand in. */
struct timespec ax_clock_now(clockid_t id);

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t ax_clock_now_ns(void)
{
    struct timespec now = ax_clock_now(CLOCK_MONOTONIC);

    return (uint64_t)now.tv_sec * AX_NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* How many ticks of hz are over after ns nanoseconds, rounded down. */
static inline uint64_t ax_clock_ticks(uint64_t ns, uint32_t hz)
{
    return ns / AX_NSEC_PER_SEC * hz +
           ns % AX_NSEC_PER_SEC * hz / AX_NSEC_PER_SEC;
}

/* How long ticks of hz take in nanoseconds, rounded up. */
static inline uint64_t ax_clock_ns(uint64_t ticks, uint32_t hz)
{
    return ticks / hz * AX_NSEC_PER_SEC +
           (ticks % hz * AX_NSEC_PER_SEC + hz - 1) / hz;
}

#endif
