/*
 * clock.h - host time as the test wants it.
 *
 * A program that uses these functions gets clock_gettime from here, libc's
 * callers included. Until fake_clock_set it tells the true time. Timers of the
 * kernel know nothing of it.
 */
#ifndef FAKE_CLOCK_H
#define FAKE_CLOCK_H

#include <stdint.h>

/*
 * Stops CLOCK_REALTIME and CLOCK_MONOTONIC at these nanoseconds, or, with both
 * zero, gives the true time back. Not atomic: set it while one thread runs.
 */
void fake_clock_set(uint64_t realtime_ns, uint64_t monotonic_ns);

/* Moves both on; only after fake_clock_set. */
void fake_clock_advance(uint64_t ns);

#endif
