/*
 * measure.h - what the benchmark programs of the library share: a clock, a
 * median, an end on what cannot be. Nothing but they may include it.
 */
#ifndef AX_BENCH_MEASURE_H
#define AX_BENCH_MEASURE_H

#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static inline int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* "NAME MEDIAN_NS"; sorts ns. */
static inline void print_median(const char *name, uint64_t *ns, unsigned count)
{
    qsort(ns, count, sizeof(*ns), by_size);
    printf("%s %lu\n", name, (unsigned long)ns[count / 2]);
}

static inline void need(bool good, const char *what)
{
    if (!good)
        errx(1, "%s", what);
}

#endif
