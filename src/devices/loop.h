/*
 * loop.h - the event loop: descriptors, timers and wake-ups on one thread.
 *
 * libev behind three kinds of source. Unless a function says otherwise it
 * belongs to the thread that runs the loop. Callbacks run on that thread, one
 * at a time, and may create and destroy sources, their own included.
 */
#ifndef AX_DEVICES_LOOP_H
#define AX_DEVICES_LOOP_H

#include "base.h"

struct ax_loop;
struct ax_watch;
struct ax_timer;
struct ax_wake;

enum { AX_LOOP_READ = 1, AX_LOOP_WRITE = 2 };

/* Returns 0 or -ENOMEM. */
int ax_loop_create(struct ax_loop **out);

/* Accepts NULL. Every source must have been destroyed. */
void ax_loop_destroy(struct ax_loop *loop);

/* Dispatches until ax_loop_stop is called from a callback. */
void ax_loop_run(struct ax_loop *loop);
void ax_loop_stop(struct ax_loop *loop);

/* Calls fn while fd is ready for any of events (AX_LOOP_*; may be 0). */
int ax_watch_create(struct ax_loop *loop, int fd, unsigned events,
                    void (*fn)(void *ctx, unsigned events), void *ctx,
                    struct ax_watch **out);
void ax_watch_set(struct ax_watch *watch, unsigned events);
void ax_watch_destroy(struct ax_watch *watch); /* accepts NULL */

/*
 * A CLOCK_MONOTONIC timer of nanosecond resolution (a timerfd, because libev
 * rounds to milliseconds). fn gets the number of periods that have passed.
 */
int ax_timer_create(struct ax_loop *loop, void (*fn)(void *ctx, uint64_t count),
                    void *ctx, struct ax_timer **out);

/*
 * Fires delay_ns from now, then every period_ns (0: once). delay_ns 0 disarms.
 * Any thread.
 */
void ax_timer_arm(struct ax_timer *timer, uint64_t delay_ns,
                  uint64_t period_ns);
void ax_timer_destroy(struct ax_timer *timer); /* accepts NULL */

/* fn runs on the loop soon after ax_loop_wake; wakes in between are merged. */
int ax_wake_create(struct ax_loop *loop, void (*fn)(void *ctx), void *ctx,
                   struct ax_wake **out);
void ax_loop_wake(struct ax_wake *wake);    /* any thread */
void ax_wake_destroy(struct ax_wake *wake); /* accepts NULL */

#endif
