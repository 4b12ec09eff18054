/*
 * clock.h - host time as the test wants it.
 *
 * A program that uses these functions gets devices/clock.h's ax_clock_now from
 * here, so the models it drives do. Until fake_clock_set it tells the true
 * time. Timers of the loop know nothing of it.
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

/* From now until fake_clock_set, each look at the clock moves it on so far. */
void fake_clock_pace(uint64_t ns);

#endif
