/*
 * test_device_timers.c - vCPU threads program the PIT, its speaker port and the
 * RTC through a bus while the loop thread delivers their timers, stops guest
 * time and lets it go. For TSan: the assertions are that interrupts arrive and
 * that it ends.
 */
#include "devices/bus.h"
#include "devices/guestclock.h"
#include "devices/loop.h"
#include "devices/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { PIT = 0x40, SPEAKER = 0x61, RTC = 0x70, ENOUGH = 200, VCPUS = 2 };

struct test {
    struct ax_bus bus;
    struct ax_loop *loop;
    struct ax_timer *ticker;
    struct ax_clock guest;
    struct ax_device *pit;
    atomic_uint irqs;
    atomic_bool done;
    unsigned ticks;
};

static void on_irq(void *ctx, unsigned line, bool level)
{
    struct test *t = ctx;

    atomic_fetch_add(&t->irqs, level);
}

static void out(struct test *t, uint64_t port, uint64_t val)
{
    ax_bus_access(&t->bus, true, port, 1, &val);
}

static uint64_t in(struct test *t, uint64_t port)
{
    uint64_t val;

    ax_bus_access(&t->bus, false, port, 1, &val);
    return val;
}

static void *vcpu(void *ctx)
{
    struct test *t = ctx;

    while (!atomic_load(&t->done)) {
        out(t, PIT + 3, 0x34); /* channel 0, mode 2, 2 kHz */
        out(t, PIT, 0x54);
        out(t, PIT, 0x02);
        out(t, RTC, 0x0b);
        out(t, RTC + 1, 0x42); /* periodic interrupt */
        for (unsigned i = 0; i < 200; i++) {
            out(t, SPEAKER, i & 1);
            in(t, SPEAKER);
            in(t, PIT + 2);
            out(t, RTC, 0x0c);
            in(t, RTC + 1);
        }
    }
    return NULL;
}

static void hold(struct test *t, bool held)
{
    if (held)
        ax_clock_stop(&t->guest);
    else
        ax_clock_go(&t->guest);
    ax_device_hold(t->pit, held);
}

/* Ends the test when enough has come, or after a minute. */
static void on_tick(void *ctx, uint64_t count)
{
    struct test *t = ctx;

    hold(t, true);
    hold(t, false);
    if (atomic_load(&t->irqs) >= ENOUGH || ++t->ticks == 6000)
        ax_loop_stop(t->loop);
}

static int add(struct test *t, const struct ax_device_ops *ops, uint64_t base,
               struct ax_device *peer, struct ax_device **out_dev)
{
    struct ax_device_env env = {.irq = {.set = on_irq, .ctx = t},
                                .clock = &t->guest,
                                .loop = t->loop,
                                .peer = peer};
    int err = ax_device_create(ops, AX_SPACE_PORT, base, &env, out_dev);

    return err ? err : ax_bus_attach(&t->bus, *out_dev);
}

int main(void)
{
    struct test t = {0};
    struct ax_device *speaker, *rtc;
    pthread_t threads[VCPUS];

    ax_bus_init(&t.bus, AX_SPACE_PORT);
    if (ax_loop_create(&t.loop) ||
        ax_timer_create(t.loop, on_tick, &t, &t.ticker) ||
        add(&t, &ax_pit8254, PIT, NULL, &t.pit) ||
        add(&t, &ax_pit_speaker, SPEAKER, t.pit, &speaker) ||
        add(&t, &ax_mc146818, RTC, NULL, &rtc))
        return 1;
    ax_timer_arm(t.ticker, 10000000, 10000000);
    for (unsigned i = 0; i < VCPUS; i++) {
        if (pthread_create(&threads[i], NULL, vcpu, &t))
            return 1;
    }
    ax_loop_run(t.loop);
    atomic_store(&t.done, true);
    for (unsigned i = 0; i < VCPUS; i++)
        pthread_join(threads[i], NULL);
    ax_device_destroy(rtc);
    ax_device_destroy(speaker);
    ax_device_destroy(t.pit);
    ax_timer_destroy(t.ticker);
    ax_loop_destroy(t.loop);
    printf("%u interrupts\n", atomic_load(&t.irqs));
    return atomic_load(&t.irqs) < ENOUGH;
}
