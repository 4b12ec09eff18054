/*
 * test_pit8254.c - modes, latches and read-back against a clock that the test
 * moves; IRQ 0 with the host's timer; the speaker port.
 */
#include "devices/guestclock.h"
#include "devices/loop.h"
#include "devices/registry.h"
#include "fake/clock.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>
#include <errno.h>

enum { CONTROL = 3, HZ = 1193182 };
enum { GATE = 0x01, REFRESH = 0x10, OUT = 0x20 };
enum { BOTH = 0x30, LOW = 0x10, HIGH = 0x20 };

static struct recorder rec;
static struct ax_device *dev, *speaker;
static uint64_t ticks; /* since the test began */

static void advance(uint64_t n)
{
    ticks += n;
    fake_clock_set(1, 1000000000 + (ticks * 1000000000 + HZ - 1) / HZ);
}

static void create(void)
{
    dev = recorder_device(&rec, &ax_pit8254);
    rec.env.peer = dev;
    speaker = recorder_device(&rec, &ax_pit_speaker);
}

static void setup(void)
{
    advance(0);
    recorder_init(&rec);
    create();
}

static void teardown(void)
{
    ax_device_destroy(speaker);
    ax_device_destroy(dev);
}

TestSuite(pit8254, .init = setup, .fini = teardown);

static uint8_t get(unsigned reg)
{
    return (uint8_t)recorder_read(dev, reg, 1);
}

static void set(unsigned reg, uint8_t val)
{
    recorder_write(dev, reg, 1, val);
}

static void program(unsigned channel, unsigned mode, unsigned count)
{
    set(CONTROL, (uint8_t)(channel << 6 | BOTH | mode << 1));
    set(channel, (uint8_t)count);
    set(channel, (uint8_t)(count >> 8));
}

static unsigned latched(unsigned channel)
{
    unsigned low;

    set(CONTROL, (uint8_t)(channel << 6));
    low = get(channel);
    return low | (unsigned)get(channel) << 8;
}

static uint8_t status(unsigned channel)
{
    set(CONTROL, (uint8_t)(0xe0 | 2U << channel));
    return get(channel);
}

static bool out(unsigned channel)
{
    return status(channel) & 0x80;
}

static void gate(bool open)
{
    recorder_write(speaker, 0, 1, open ? GATE : 0);
}

/* An edge that the timer would have brought. */
static unsigned rises(void)
{
    ax_device_poll(dev);
    return rec.rises;
}

Test(pit8254, after_reset)
{
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(status(i), 0x80 | 0x40 | BOTH | 3 << 1);
        cr_assert_eq(latched(i), 0);
    }
    cr_assert_eq(get(CONTROL), 0);
    advance(100000);
    cr_assert_eq(rises(), 0);
}

Test(pit8254, mode_0_interrupts_once)
{
    program(0, 0, 1000);
    cr_assert_not(out(0));
    cr_assert_eq(latched(0), 1000);
    advance(999);
    cr_assert_eq(latched(0), 1);
    cr_assert_not(out(0));
    cr_assert_eq(rises(), 0);
    advance(1);
    cr_assert(out(0));
    cr_assert_eq(rises(), 1);
    cr_assert_eq(rec.line, RECORDER_LINE);
    cr_assert_not(rec.level, "a pulse");
    advance(1);
    cr_assert_eq(latched(0), 0xffff, "it counts on");
    advance(200000);
    cr_assert_eq(rises(), 1);
    program(0, 0, 10);
    cr_assert_not(out(0));
    advance(10);
    cr_assert_eq(rises(), 2);
}

Test(pit8254, mode_0_stops_at_half_a_count)
{
    program(0, 0, 1000);
    set(0, 5);
    advance(5000);
    cr_assert_eq(rises(), 0);
    cr_assert_not(out(0));
    set(0, 0);
    advance(5);
    cr_assert_eq(rises(), 1);
}

Test(pit8254, mode_2_is_a_rate)
{
    program(0, 2, 100);
    cr_assert(out(0));
    cr_assert_eq(latched(0), 100);
    advance(98);
    cr_assert(out(0));
    cr_assert_eq(latched(0), 2);
    advance(1);
    cr_assert_not(out(0));
    cr_assert_eq(latched(0), 1);
    cr_assert_eq(rises(), 0);
    advance(1);
    cr_assert(out(0));
    cr_assert_eq(latched(0), 100);
    cr_assert_eq(rises(), 1);
    advance(100);
    cr_assert_eq(rises(), 2);
    advance(1000);
    cr_assert_eq(rises(), 3, "what came late has merged");
}

Test(pit8254, mode_3_is_a_square)
{
    program(0, 3, 100);
    cr_assert_eq(latched(0), 100);
    advance(49);
    cr_assert(out(0));
    cr_assert_eq(latched(0), 2);
    advance(1);
    cr_assert_not(out(0));
    cr_assert_eq(latched(0), 100);
    advance(49);
    cr_assert_eq(rises(), 0);
    advance(1);
    cr_assert(out(0));
    cr_assert_eq(rises(), 1);
}

Test(pit8254, mode_3_with_an_odd_count)
{
    program(0, 3, 5);
    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(out(0), i % 5 < 3, "tick %u", i);
        cr_assert_eq(latched(0) % 2, 0);
        advance(1);
    }
    cr_assert_eq(rises(), 2);
}

Test(pit8254, mode_4_strobes_once)
{
    program(0, 4, 10);
    cr_assert(out(0));
    advance(10);
    cr_assert_not(out(0));
    cr_assert_eq(rises(), 0);
    advance(1);
    cr_assert(out(0));
    cr_assert_eq(rises(), 1);
    advance(100000);
    cr_assert_eq(rises(), 1);
}

Test(pit8254, modes_6_and_7_are_2_and_3)
{
    program(0, 6, 100);
    advance(99);
    cr_assert_not(out(0));
    program(0, 7, 100);
    advance(50);
    cr_assert_not(out(0));
    cr_assert_eq(status(0) & 0x0e, 7 << 1);
}

Test(pit8254, zero_counts_65536)
{
    program(0, 2, 0);
    cr_assert_eq(latched(0), 0);
    advance(1);
    cr_assert_eq(latched(0), 0xffff);
    advance(65534);
    cr_assert_eq(rises(), 0);
    advance(1);
    cr_assert_eq(rises(), 1);
}

Test(pit8254, counts_of_one_half)
{
    set(CONTROL, LOW | 2 << 1);
    set(0, 200);
    cr_assert_eq(get(0), 200);
    cr_assert_eq(get(0), 200);
    set(CONTROL, HIGH | 2 << 1);
    set(0, 2);
    cr_assert_eq(get(0), 2);
    advance(1);
    cr_assert_eq(get(0), 1);
    cr_assert_eq(get(0), 1);
    set(CONTROL, 0);
    advance(300);
    cr_assert_eq(get(0), 1, "latched");
    cr_assert_eq(get(0), 0, "live");
}

Test(pit8254, reads_alternate_without_a_latch)
{
    program(1, 2, 0x1234);
    cr_assert_eq(get(1), 0x34);
    cr_assert_eq(get(1), 0x12);
    cr_assert_eq(get(1), 0x34);
}

Test(pit8254, the_first_latch_stays)
{
    program(0, 2, 1000);
    advance(10);
    set(CONTROL, 0);
    advance(10);
    set(CONTROL, 0);
    cr_assert_eq(get(0), 990 & 0xff);
    cr_assert_eq(get(0), 990 >> 8);
    cr_assert_eq(latched(0), 980);
}

Test(pit8254, read_back_latches_several)
{
    program(0, 2, 1000);
    program(2, 2, 2000);
    set(CONTROL, 0xc0 | 0x0a); /* count and status of 0 and 2 */
    advance(5);
    cr_assert_eq(get(0), 0x80 | BOTH | 2 << 1, "status comes first");
    cr_assert_eq(get(0), 1000 & 0xff);
    cr_assert_eq(get(0), 1000 >> 8);
    cr_assert_eq(get(2), 0x80 | BOTH | 2 << 1);
    cr_assert_eq(get(2), 2000 & 0xff);
    cr_assert_eq(get(2), 2000 >> 8);
    set(CONTROL, 0xf0 | 0x02); /* neither */
    cr_assert_eq(get(0), 995 & 0xff);
}

Test(pit8254, status_shows_a_missing_count)
{
    set(CONTROL, BOTH | 2 << 1);
    cr_assert(status(0) & 0x40);
    set(0, 1);
    cr_assert(status(0) & 0x40, "half of it");
    set(0, 1);
    cr_assert_not(status(0) & 0x40);
}

Test(pit8254, bcd_is_told_and_ignored)
{
    set(CONTROL, BOTH | 2 << 1 | 1);
    set(0, 0x00);
    set(0, 0x10);
    cr_assert_eq(latched(0), 0x1000);
    cr_assert_eq(status(0) & 1, 1);
}

Test(pit8254, channels_1_and_2_do_not_interrupt)
{
    gate(true);
    program(1, 2, 10);
    program(2, 2, 10);
    advance(100);
    cr_assert_eq(rises(), 0);
}

Test(pit8254, reset_stops_it)
{
    program(0, 2, 100);
    ax_device_reset(dev);
    advance(1000);
    cr_assert_eq(rises(), 0);
    cr_assert(status(0) & 0x40);
}

/* ---- guest time that stands still ---- */

static struct ax_clock guest;

/* The device again, on a clock of the guest's own. */
static void follow_guest(void)
{
    ax_device_destroy(speaker);
    ax_device_destroy(dev);
    guest = (struct ax_clock){0};
    rec.env.clock = &guest;
    create();
}

static void hold(void)
{
    ax_clock_stop(&guest);
    ax_device_hold(dev, true);
}

static void go_on(void)
{
    ax_clock_go(&guest);
    ax_device_hold(dev, false);
}

Test(pit8254, counts_stand_still)
{
    follow_guest();
    gate(true);
    program(0, 2, 1000);
    program(2, 0, 1000);
    advance(300);
    hold();
    cr_assert_eq(latched(0), 700);
    advance(100000);
    cr_assert_eq(latched(0), 700);
    cr_assert_eq(latched(2), 700);
    cr_assert_not(out(2));
    go_on();
    cr_assert_eq(latched(0), 700);
    advance(699);
    cr_assert_eq(latched(2), 1);
    cr_assert_not(out(2));
    advance(2); /* ticks are cut on both sides of the stop */
    cr_assert(out(2));
}

Test(pit8254, no_tick_is_owed_for_a_stop)
{
    follow_guest();
    program(0, 2, 1000);
    advance(2500);
    hold();
    cr_assert_eq(rec.rises, 1, "what came before is told, merged");
    advance(1000000);
    cr_assert_eq(rises(), 1);
    go_on();
    cr_assert_eq(rec.rises, 1);
    advance(400);
    cr_assert_eq(rises(), 1);
    advance(101);
    cr_assert_eq(rises(), 2, "what was left of the period");
    advance(1000);
    cr_assert_eq(rises(), 3);
}

Test(pit8254, a_stop_may_be_told_twice_or_in_any_order)
{
    follow_guest();
    program(0, 2, 1000);
    ax_device_hold(dev, true);
    ax_device_hold(dev, true);
    advance(500);
    ax_clock_stop(&guest);
    advance(5000);
    ax_device_hold(dev, false);
    cr_assert_eq(rises(), 0);
    ax_clock_go(&guest);
    ax_device_hold(dev, false);
    advance(501);
    cr_assert_eq(rises(), 1);
}

/* ---- the speaker port: channel 2 has a gate ---- */

Test(pit8254, speaker_bits)
{
    cr_assert_eq(recorder_read(speaker, 0, 1) & ~REFRESH, OUT);
    recorder_write(speaker, 0, 1, 0xfe);
    cr_assert_eq(recorder_read(speaker, 0, 1) & 0xcf, 0x0e);
    ax_device_reset(speaker);
    cr_assert_eq(recorder_read(speaker, 0, 1) & 0xcf, 0);
}

Test(pit8254, refresh_toggles)
{
    uint64_t first = recorder_read(speaker, 0, 1) & REFRESH;

    advance(18);
    cr_assert_neq(recorder_read(speaker, 0, 1) & REFRESH, first);
    advance(18);
    cr_assert_eq(recorder_read(speaker, 0, 1) & REFRESH, first);
}

/* How kernels measure the TSC: mode 0, poll the output. */
Test(pit8254, output_of_channel_2_is_visible)
{
    gate(true);
    program(2, 0, 100);
    cr_assert_not(recorder_read(speaker, 0, 1) & OUT);
    advance(99);
    cr_assert_not(recorder_read(speaker, 0, 1) & OUT);
    advance(1);
    cr_assert(recorder_read(speaker, 0, 1) & OUT);
}

Test(pit8254, gate_halts_mode_0)
{
    program(2, 0, 100);
    advance(1000);
    cr_assert_eq(latched(2), 100, "closed since reset");
    gate(true);
    advance(40);
    gate(false);
    advance(1000);
    cr_assert_eq(latched(2), 60);
    gate(true);
    gate(true);
    advance(59);
    cr_assert_not(out(2));
    advance(1);
    cr_assert(out(2));
}

Test(pit8254, gate_restarts_a_rate)
{
    gate(true);
    program(2, 2, 100);
    advance(99);
    cr_assert_not(out(2));
    gate(false);
    cr_assert(out(2), "a closed gate holds it high");
    cr_assert_eq(latched(2), 1);
    gate(true);
    cr_assert_eq(latched(2), 100);
}

Test(pit8254, mode_1_waits_for_the_gate)
{
    program(2, 1, 50);
    advance(100);
    cr_assert(out(2));
    gate(true);
    cr_assert_not(out(2));
    advance(30);
    gate(false);
    cr_assert_eq(latched(2), 20, "closing does not matter");
    gate(true);
    cr_assert_eq(latched(2), 50, "opening starts again");
    advance(50);
    cr_assert(out(2));
}

Test(pit8254, mode_5_strobes_after_the_gate)
{
    program(2, 5, 50);
    advance(50);
    cr_assert(out(2));
    gate(true);
    advance(50);
    cr_assert_not(out(2));
    advance(1);
    cr_assert(out(2));
}

Test(pit8254, speaker_needs_its_pit)
{
    struct ax_device_env env = rec.env;
    struct ax_device *alone;

    env.peer = NULL;
    cr_assert_eq(
        ax_device_create(&ax_pit_speaker, AX_SPACE_PORT, 0x61, &env, &alone),
        -EINVAL);
    cr_assert_null(alone);
    env.peer = speaker;
    cr_assert_eq(
        ax_device_create(&ax_pit_speaker, AX_SPACE_PORT, 0x61, &env, &alone),
        -EINVAL);
}

/* ---- with true time, the host's timer and its loop ---- */

static void setup_loop(void)
{
    fake_clock_set(0, 0);
    recorder_init(&rec);
    cr_assert_eq(ax_loop_create(&rec.env.loop), 0);
    create();
}

static void teardown_loop(void)
{
    teardown();
    ax_loop_destroy(rec.env.loop);
}

TestSuite(pit8254_timer, .init = setup_loop, .fini = teardown_loop);

static void stop(void *ctx, uint64_t count)
{
    ax_loop_stop(ctx);
}

static void run_loop_ms(unsigned ms)
{
    struct ax_timer *end;

    cr_assert_eq(ax_timer_create(rec.env.loop, stop, rec.env.loop, &end), 0);
    ax_timer_arm(end, ms * UINT64_C(1000000), 0);
    ax_loop_run(rec.env.loop);
    ax_timer_destroy(end);
}

Test(pit8254_timer, mode_0_fires_once)
{
    program(0, 0, 1000);
    cr_assert(recorder_await(&rec, 1));
    run_loop_ms(20);
    cr_assert_eq(rec.rises, 1);
}

Test(pit8254_timer, periodic_modes_keep_firing)
{
    program(0, 2, 1193); /* 1 kHz */
    cr_assert(recorder_await(&rec, 20));
    program(0, 3, 1193);
    cr_assert(recorder_await(&rec, 40));
}

Test(pit8254_timer, shortest_period_does_not_hang_the_host)
{
    program(0, 2, 1);
    cr_assert(recorder_await(&rec, 10));
    run_loop_ms(5);
    cr_assert_lt(rec.rises, 1000);
}

Test(pit8254_timer, a_new_control_word_stops_it)
{
    program(0, 2, 1193);
    cr_assert(recorder_await(&rec, 1));
    set(CONTROL, BOTH | 2 << 1);
    rec.rises = 0;
    run_loop_ms(10);
    cr_assert_eq(rec.rises, 0);
}

Test(pit8254_timer, none_fires_while_time_stands)
{
    follow_guest();
    program(0, 2, 1193);
    cr_assert(recorder_await(&rec, 2));
    hold();
    rec.rises = 0;
    run_loop_ms(50);
    cr_assert_eq(rec.rises, 0);
    program(0, 2, 1193); /* nor one that is armed meanwhile */
    ax_device_poll(dev);
    run_loop_ms(20);
    cr_assert_eq(rec.rises, 0);
    go_on();
    cr_assert(recorder_await(&rec, 5), "they go on");
}

Test(pit8254_timer, a_one_shot_waits_for_time_to_go_on)
{
    follow_guest();
    hold();
    program(0, 0, 12000); /* 10 ms */
    run_loop_ms(100);
    cr_assert_eq(rec.rises, 0);
    go_on();
    cr_assert(recorder_await(&rec, 1));
    run_loop_ms(20);
    cr_assert_eq(rec.rises, 1);
}
