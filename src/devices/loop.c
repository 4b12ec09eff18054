/*
 * loop.c - libev behind watches, timers and wakes.
 */
#include "devices/loop.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct ax_loop {
    struct ev_loop *ev;
};

struct ax_watch {
    ev_io io;
    struct ev_loop *ev;
    unsigned events;
    void (*fn)(void *ctx, unsigned events);
    void *ctx;
};

struct ax_timer {
    ev_io io;
    struct ev_loop *ev;
    int fd;
    void (*fn)(void *ctx, uint64_t count);
    void *ctx;
};

struct ax_wake {
    ev_async async;
    struct ev_loop *ev;
    void (*fn)(void *ctx);
    void *ctx;
};

int ax_loop_create(struct ax_loop **out)
{
    struct ax_loop *loop = calloc(1, sizeof(*loop));

    *out = NULL;
    if (!loop)
        return -ENOMEM;
    loop->ev = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    if (!loop->ev) {
        free(loop);
        return -ENOMEM;
    }
    *out = loop;
    return 0;
}

void ax_loop_destroy(struct ax_loop *loop)
{
    if (!loop)
        return;
    ev_loop_destroy(loop->ev);
    free(loop);
}

void ax_loop_run(struct ax_loop *loop)
{
    ev_run(loop->ev, 0);
}

void ax_loop_stop(struct ax_loop *loop)
{
    ev_break(loop->ev, EVBREAK_ALL);
}

static int loop_to_ev(unsigned events)
{
    return (events & AX_LOOP_READ ? EV_READ : 0) |
           (events & AX_LOOP_WRITE ? EV_WRITE : 0);
}

static void watch_ready(struct ev_loop *ev, ev_io *io, int events)
{
    struct ax_watch *watch = ax_container_of(io, struct ax_watch, io);

    watch->fn(watch->ctx, (events & EV_READ ? AX_LOOP_READ : 0U) |
                              (events & EV_WRITE ? AX_LOOP_WRITE : 0U));
}

int ax_watch_create(struct ax_loop *loop, int fd, unsigned events,
                    void (*fn)(void *ctx, unsigned events), void *ctx,
                    struct ax_watch **out)
{
    struct ax_watch *watch = calloc(1, sizeof(*watch));

    *out = watch;
    if (!watch)
        return -ENOMEM;
    watch->ev = loop->ev;
    watch->fn = fn;
    watch->ctx = ctx;
    watch->events = events;
    ev_io_init(&watch->io, watch_ready, fd, loop_to_ev(events));
    if (events)
        ev_io_start(watch->ev, &watch->io);
    return 0;
}

void ax_watch_set(struct ax_watch *watch, unsigned events)
{
    int fd = watch->io.fd;

    if (watch->events == events)
        return;
    watch->events = events;
    ev_io_stop(watch->ev, &watch->io);
    ev_io_set(&watch->io, fd, loop_to_ev(events));
    if (events)
        ev_io_start(watch->ev, &watch->io);
}

void ax_watch_destroy(struct ax_watch *watch)
{
    if (!watch)
        return;
    ev_io_stop(watch->ev, &watch->io);
    free(watch);
}

static void timer_ready(struct ev_loop *ev, ev_io *io, int events)
{
    struct ax_timer *timer = ax_container_of(io, struct ax_timer, io);
    uint64_t count;

    /* Nothing to read: it was armed anew after the loop saw it expire. */
    if (read(timer->fd, &count, sizeof(count)) == sizeof(count))
        timer->fn(timer->ctx, count);
}

int ax_timer_create(struct ax_loop *loop, void (*fn)(void *ctx, uint64_t count),
                    void *ctx, struct ax_timer **out)
{
    struct ax_timer *timer = calloc(1, sizeof(*timer));
    int err;

    *out = NULL;
    if (!timer)
        return -ENOMEM;
    timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (timer->fd < 0) {
        err = -errno;
        free(timer);
        return err;
    }
    timer->ev = loop->ev;
    timer->fn = fn;
    timer->ctx = ctx;
    ev_io_init(&timer->io, timer_ready, timer->fd, EV_READ);
    ev_io_start(timer->ev, &timer->io);
    *out = timer;
    return 0;
}

static struct timespec timer_spec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000U),
                             .tv_nsec = (long)(ns % 1000000000U)};
}

void ax_timer_arm(struct ax_timer *timer, uint64_t delay_ns, uint64_t period_ns)
{
    struct itimerspec spec = {.it_value = timer_spec(delay_ns),
                              .it_interval = timer_spec(period_ns)};

    /* Fails for a bad descriptor or a malformed time only: neither can be. */
    timerfd_settime(timer->fd, 0, &spec, NULL);
}

void ax_timer_destroy(struct ax_timer *timer)
{
    if (!timer)
        return;
    ev_io_stop(timer->ev, &timer->io);
    close(timer->fd);
    free(timer);
}

static void wake_ready(struct ev_loop *ev, ev_async *async, int events)
{
    struct ax_wake *wake = ax_container_of(async, struct ax_wake, async);

    wake->fn(wake->ctx);
}

int ax_wake_create(struct ax_loop *loop, void (*fn)(void *ctx), void *ctx,
                   struct ax_wake **out)
{
    struct ax_wake *wake = calloc(1, sizeof(*wake));

    *out = wake;
    if (!wake)
        return -ENOMEM;
    wake->ev = loop->ev;
    wake->fn = fn;
    wake->ctx = ctx;
    ev_async_init(&wake->async, wake_ready);
    ev_async_start(wake->ev, &wake->async);
    return 0;
}

void ax_loop_wake(struct ax_wake *wake)
{
    ev_async_send(wake->ev, &wake->async);
}

void ax_wake_destroy(struct ax_wake *wake)
{
    if (!wake)
        return;
    ev_async_stop(wake->ev, &wake->async);
    free(wake);
}
