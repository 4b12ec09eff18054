/* test_loop.c - descriptors, timers, wakes. Every test ends by an event. */
#include "devices/loop.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct ax_loop *loop;

static void init(void)
{
    cr_assert_eq(ax_loop_create(&loop), 0);
}

static void fini(void)
{
    ax_loop_destroy(loop);
}

TestSuite(loop, .init = init, .fini = fini, .timeout = 20);

struct seen {
    struct ax_watch *watch;
    struct ax_timer *timer;
    struct ax_wake *wake;
    unsigned events, calls;
    uint64_t count;
    int fd;
};

static void on_fd(void *ctx, unsigned events)
{
    struct seen *s = ctx;
    char byte;

    s->events |= events;
    s->calls++;
    if (events & AX_LOOP_READ && read(s->fd, &byte, 1) == 1)
        ax_loop_stop(loop);
    if (events & AX_LOOP_WRITE) {
        ax_watch_set(s->watch, 0);
        ax_loop_stop(loop);
    }
}

Test(loop, a_watch_hears_of_input_and_room)
{
    struct seen s = {0};
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    s.fd = fds[0];
    cr_assert_eq(
        ax_watch_create(loop, fds[0], AX_LOOP_READ, on_fd, &s, &s.watch), 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    ax_loop_run(loop);
    cr_assert_eq(s.events, AX_LOOP_READ);
    ax_watch_destroy(s.watch);

    cr_assert_eq(ax_watch_create(loop, fds[1], 0, on_fd, &s, &s.watch), 0);
    ax_watch_set(s.watch, AX_LOOP_WRITE);
    ax_loop_run(loop);
    cr_assert_eq(s.events, AX_LOOP_READ | AX_LOOP_WRITE);
    ax_watch_destroy(s.watch);
    close(fds[0]);
    close(fds[1]);
}

static void on_timer(void *ctx, uint64_t count)
{
    struct seen *s = ctx;

    s->count += count;
    if (++s->calls == 3)
        ax_loop_stop(loop);
}

static void on_timer_once(void *ctx, uint64_t count)
{
    struct seen *s = ctx;

    s->calls++;
    ax_timer_destroy(s->timer); /* from its own callback */
    s->timer = NULL;
    ax_loop_stop(loop);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

Test(loop, a_timer_is_never_early_and_repeats)
{
    struct seen s = {0};
    uint64_t start;

    cr_assert_eq(ax_timer_create(loop, on_timer, &s, &s.timer), 0);
    start = now_ns();
    ax_timer_arm(s.timer, 2000000, 1000000);
    ax_loop_run(loop);
    cr_assert_geq(now_ns() - start, 4000000);
    cr_assert_geq(s.count, 3);
    ax_timer_destroy(s.timer);
}

Test(loop, a_timer_can_be_disarmed_and_destroyed_in_its_callback)
{
    struct seen a = {0}, b = {0};

    cr_assert_eq(ax_timer_create(loop, on_timer, &a, &a.timer), 0);
    cr_assert_eq(ax_timer_create(loop, on_timer_once, &b, &b.timer), 0);
    ax_timer_arm(a.timer, 1000, 0);
    ax_timer_arm(a.timer, 0, 0);
    ax_timer_arm(b.timer, 5000000, 0);
    ax_loop_run(loop);
    cr_assert_eq(a.calls, 0);
    cr_assert_eq(b.calls, 1);
    cr_assert_null(b.timer);
    ax_timer_destroy(a.timer);
}

static void on_wake(void *ctx)
{
    struct seen *s = ctx;

    s->calls++;
    ax_loop_stop(loop);
}

static void *wake_thread(void *arg)
{
    struct seen *s = arg;

    for (int i = 0; i < 100; i++)
        ax_loop_wake(s->wake);
    return NULL;
}

Test(loop, wakes_from_another_thread_merge)
{
    struct seen s = {0};
    pthread_t thread;

    cr_assert_eq(ax_wake_create(loop, on_wake, &s, &s.wake), 0);
    cr_assert_eq(pthread_create(&thread, NULL, wake_thread, &s), 0);
    ax_loop_run(loop);
    pthread_join(thread, NULL);
    cr_assert_geq(s.calls, 1);
    cr_assert_leq(s.calls, 100);
    ax_wake_destroy(s.wake);
}

Test(loop, destroying_nothing_is_fine)
{
    ax_watch_destroy(NULL);
    ax_timer_destroy(NULL);
    ax_wake_destroy(NULL);
    ax_loop_destroy(NULL);
}
