/*
 * test_mc146818.c - calendar, formats, setting the clock, flags, interrupts.
 */
#include "devices/guestclock.h"
#include "devices/loop.h"
#include "devices/registry.h"
#include "fake/clock.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>

enum { SEC, SEC_ALARM, MIN, MIN_ALARM, HOUR, HOUR_ALARM, WEEKDAY, DAY, MONTH };
enum { YEAR = 0x09, A = 0x0a, B = 0x0b, C = 0x0c, D = 0x0d, CENTURY = 0x32 };
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, BIN = 0x04, H24 = 0x02 };
enum { UIP = 0x80, IRQF = 0x80, PF = PIE, AF = AIE, UF = UIE };

#define SECONDS(n)      ((uint64_t)(n)*1000000000U)
#define MILLISECONDS(n) ((uint64_t)(n)*1000000U)

static struct recorder rec;
static struct ax_device *dev;

static void at(uint64_t unix_seconds, uint64_t nsec)
{
    fake_clock_set(SECONDS(unix_seconds) + nsec, SECONDS(1000));
}

/* 2024-02-29 23:59:58.25, a Thursday. */
static void setup(void)
{
    at(1709251198, 250000000);
    recorder_init(&rec);
    dev = recorder_device(&rec, &ax_mc146818);
}

static void teardown(void)
{
    ax_device_destroy(dev);
}

TestSuite(mc146818, .init = setup, .fini = teardown);

static uint8_t get(unsigned reg)
{
    recorder_write(dev, 0, 1, reg);
    return (uint8_t)recorder_read(dev, 1, 1);
}

static void set(unsigned reg, uint8_t val)
{
    recorder_write(dev, 0, 1, reg);
    recorder_write(dev, 1, 1, val);
}

/* century, year, month, day, weekday, hour, minute, second */
static void assert_time(const uint8_t expected[8])
{
    static const uint8_t reg[8] = {CENTURY, YEAR, MONTH, DAY,
                                   WEEKDAY, HOUR, MIN,   SEC};

    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(get(reg[i]), expected[i], "register %#x is %#x", reg[i],
                     get(reg[i]));
}

#define ASSERT_TIME(...) assert_time((const uint8_t[8]){__VA_ARGS__})

static void set_time(uint8_t century, uint8_t year, uint8_t month, uint8_t day,
                     uint8_t hour, uint8_t min, uint8_t sec)
{
    uint8_t b = get(B);

    set(B, b | SET);
    set(CENTURY, century);
    set(YEAR, year);
    set(MONTH, month);
    set(DAY, day);
    set(HOUR, hour);
    set(MIN, min);
    set(SEC, sec);
    set(B, b);
}

Test(mc146818, after_reset)
{
    cr_assert_eq(get(A), 0x26);
    cr_assert_eq(get(B), H24);
    cr_assert_eq(get(C), 0);
    cr_assert_eq(get(D), 0x80);
    cr_assert_eq(rec.calls, 0);
}

Test(mc146818, tells_host_time_in_bcd)
{
    ASSERT_TIME(0x20, 0x24, 0x02, 0x29, 0x05, 0x23, 0x59, 0x58);
    fake_clock_advance(SECONDS(2));
    ASSERT_TIME(0x20, 0x24, 0x03, 0x01, 0x06, 0x00, 0x00, 0x00);
}

Test(mc146818, tells_host_time_in_binary)
{
    set(B, BIN | H24);
    ASSERT_TIME(20, 24, 2, 29, 5, 23, 59, 58);
}

Test(mc146818, twelve_hours)
{
    static const struct {
        uint8_t hour, bcd, bin;
    } hours[] = {{0, 0x12, 12},   {1, 0x01, 1},    {11, 0x11, 11},
                 {12, 0x92, 140}, {13, 0x81, 129}, {23, 0x91, 139}};

    for (unsigned i = 0; i < AX_ARRAY_LEN(hours); i++) {
        at(1709164800 + hours[i].hour * 3600, 1);
        set(B, 0);
        cr_assert_eq(get(HOUR), hours[i].bcd, "%u", hours[i].hour);
        set(B, BIN);
        cr_assert_eq(get(HOUR), hours[i].bin, "%u", hours[i].hour);
        set_time(20, 24, 2, 29, hours[i].bin, 0, 0);
        set(B, BIN | H24);
        cr_assert_eq(get(HOUR), hours[i].hour);
    }
}

Test(mc146818, calendar)
{
    at(0, 1);
    ASSERT_TIME(0x19, 0x70, 0x01, 0x01, 0x05, 0x00, 0x00, 0x00);
    at(951782400, 1); /* 2000 was a leap year */
    ASSERT_TIME(0x20, 0x00, 0x02, 0x29, 0x03, 0x00, 0x00, 0x00);
    at(978307199, 1);
    ASSERT_TIME(0x20, 0x00, 0x12, 0x31, 0x01, 0x23, 0x59, 0x59);
    at(4107542400, 1); /* 2100 is none */
    ASSERT_TIME(0x21, 0x00, 0x03, 0x01, 0x02, 0x00, 0x00, 0x00);
}

/* Every day of four centuries, against a count from day to day. */
Test(mc146818, every_day_follows_the_last)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30,
                                   31, 31, 30, 31, 30, 31};
    unsigned year = 1970, month = 1, day = 1, weekday = 5;

    set(B, BIN | H24);
    for (uint64_t n = 0; n < 146097; n++) {
        bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);

        at(n * 86400 + 43200, 0);
        cr_assert_eq(get(DAY), day);
        cr_assert_eq(get(MONTH), month);
        cr_assert_eq(get(YEAR), year % 100);
        cr_assert_eq(get(CENTURY), year / 100);
        cr_assert_eq(get(WEEKDAY), weekday);
        weekday = weekday % 7 + 1;
        if (++day > days[month - 1] + (month == 2 && leap ? 1U : 0U)) {
            day = 1;
            year += month == 12;
            month = month % 12 + 1;
        }
    }
}

Test(mc146818, runs_on_from_what_the_guest_sets)
{
    set_time(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
    ASSERT_TIME(0x19, 0x99, 0x12, 0x31, 0x06, 0x23, 0x59, 0x59);
    fake_clock_advance(MILLISECONDS(750));
    ASSERT_TIME(0x20, 0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00);
    ax_device_reset(dev);
    ASSERT_TIME(0x20, 0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00);
}

Test(mc146818, one_register_can_be_set_while_it_runs)
{
    set(YEAR, 0x30);
    ASSERT_TIME(0x20, 0x30, 0x03, 0x01, 0x06, 0x23, 0x59, 0x58);
    set(HOUR, 0x01);
    ASSERT_TIME(0x20, 0x30, 0x03, 0x01, 0x06, 0x01, 0x59, 0x58);
}

Test(mc146818, is_held_while_it_is_set)
{
    set(B, SET | H24);
    fake_clock_advance(SECONDS(100));
    cr_assert_eq(get(SEC), 0x58);
    set(B, H24);
    cr_assert_eq(get(SEC), 0x38, "holding it alone loses no time");
    set(B, SET | UIE | H24);
    cr_assert_eq(get(B), SET | H24, "SET clears UIE");
}

/* Linux: hold by SET, then by the divider; set; let go in the same order. */
Test(mc146818, starts_half_a_second_after_the_divider)
{
    set(B, SET | H24);
    set(A, 0x76);
    set(SEC, 0x10);
    set(B, H24);
    fake_clock_advance(SECONDS(5));
    cr_assert_eq(get(SEC), 0x10);
    set(A, 0x26);
    cr_assert_eq(get(SEC), 0x10);
    fake_clock_advance(499999999);
    cr_assert_eq(get(SEC), 0x10);
    fake_clock_advance(1);
    cr_assert_eq(get(SEC), 0x11);
}

Test(mc146818, any_bytes_are_some_time)
{
    static const uint8_t bytes[] = {0x00, 0xff, 0x7f, 0x80, 0x99, 0xaa};

    for (unsigned i = 0; i < AX_ARRAY_LEN(bytes); i++) {
        for (unsigned b = 0; b <= (BIN | H24); b += 2) {
            uint8_t v = bytes[i];

            set(B, (uint8_t)b);
            set_time(v, v, v, v, v, v, v);
            for (unsigned reg = SEC; reg <= YEAR; reg++)
                get(reg);
            set(B, BIN | H24);
            cr_assert(get(MONTH) >= 1 && get(MONTH) <= 12);
            cr_assert(get(DAY) >= 1 && get(DAY) <= 31);
            cr_assert_lt(get(HOUR), 24);
            cr_assert_lt(get(SEC), 60);
        }
    }
}

Test(mc146818, host_clock_going_back_stops_at_year_0)
{
    set_time(0x00, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
    at(1, 0);
    ASSERT_TIME(0x00, 0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00);
}

Test(mc146818, update_in_progress_precedes_the_second)
{
    at(1000, 0);
    cr_assert_eq(get(A), 0x26);
    at(1000, 999755999);
    cr_assert_eq(get(A), 0x26);
    at(1000, 999756000);
    cr_assert_eq(get(A), UIP | 0x26);
    set(B, SET | H24);
    cr_assert_eq(get(A), 0x26, "a held clock does not update");
    set(A, 0xff);
    cr_assert_eq(get(A), 0x7f);
}

Test(mc146818, memory_survives_reset)
{
    for (unsigned reg = 0x0e; reg < 0x80; reg++) {
        if (reg != CENTURY)
            set(reg, (uint8_t)(reg * 7));
    }
    ax_device_reset(dev);
    for (unsigned reg = 0x0e; reg < 0x80; reg++) {
        if (reg != CENTURY)
            cr_assert_eq(get(reg), (uint8_t)(reg * 7));
    }
}

Test(mc146818, bit_7_of_the_index_is_not_part_of_it)
{
    set(0x40, 0xa5);
    recorder_write(dev, 0, 1, 0xc0);
    cr_assert_eq(recorder_read(dev, 1, 1), 0xa5);
    cr_assert_eq(recorder_read(dev, 0, 1), 0x40);
}

Test(mc146818, c_and_d_are_read_only)
{
    set(C, 0xff);
    set(D, 0x00);
    cr_assert_eq(get(C), 0);
    cr_assert_eq(get(D), 0x80);
}

Test(mc146818, flags_come_without_being_enabled)
{
    cr_assert_eq(get(C), 0);
    fake_clock_advance(1000000);
    cr_assert_eq(get(C), PF, "1024 Hz");
    cr_assert_eq(get(C), 0, "reading cleared it");
    fake_clock_advance(MILLISECONDS(750));
    cr_assert_eq(get(C), PF | UF);
    fake_clock_advance(SECONDS(1));
    cr_assert_eq(get(C), PF | UF | AF, "midnight, as the alarm says");
    cr_assert_eq(rec.calls, 0);
}

Test(mc146818, periodic_rates)
{
    static const unsigned hz[16] = {0,   256, 128, 8192, 4096, 2048, 1024, 512,
                                    256, 128, 64,  32,   16,   8,    4,    2};

    for (unsigned rate = 1; rate < 16; rate++) {
        uint64_t period = (SECONDS(1) + hz[rate] - 1) / hz[rate];

        at(2000, 0);
        set(A, 0x20 | (uint8_t)rate);
        get(C);
        fake_clock_advance(period - 1);
        cr_assert_eq(get(C), 0, "rate %u", rate);
        fake_clock_advance(1);
        cr_assert_eq(get(C), PF, "rate %u", rate);
    }
    set(A, 0x20);
    fake_clock_advance(MILLISECONDS(400));
    cr_assert_eq(get(C), 0, "rate 0 is off");
    set(A, 0x06);
    fake_clock_advance(MILLISECONDS(10));
    cr_assert_eq(get(C), 0, "another crystal than ours");
}

Test(mc146818, update_interrupt_is_level_until_c_is_read)
{
    set(A, 0x20);
    set(B, UIE | H24);
    cr_assert_not(rec.level);
    fake_clock_advance(SECONDS(1));
    ax_device_poll(dev);
    cr_assert(rec.level);
    fake_clock_advance(SECONDS(1));
    ax_device_poll(dev);
    cr_assert_eq(rec.rises, 1);
    cr_assert_eq(get(C) & (IRQF | UF), IRQF | UF);
    cr_assert_not(rec.level);
    cr_assert_eq(get(C), 0);
    fake_clock_advance(SECONDS(1));
    ax_device_poll(dev);
    cr_assert_eq(rec.rises, 2);
}

Test(mc146818, enabling_a_raised_flag_interrupts_at_once)
{
    fake_clock_advance(SECONDS(1));
    set(B, UIE | H24);
    cr_assert(rec.level);
    set(B, H24);
    cr_assert_not(rec.level);
}

Test(mc146818, alarm_at_a_time_of_day)
{
    set(SEC_ALARM, 0x05);
    set(MIN_ALARM, 0x00);
    set(HOUR_ALARM, 0x00);
    set(B, AIE | H24);
    fake_clock_advance(SECONDS(6)); /* 00:00:04.25 */
    ax_device_poll(dev);
    cr_assert_not(rec.level);
    fake_clock_advance(MILLISECONDS(750));
    ax_device_poll(dev);
    cr_assert(rec.level);
    cr_assert_eq(get(C) & (IRQF | AF), IRQF | AF);
    fake_clock_advance(SECONDS(86399));
    ax_device_poll(dev);
    cr_assert_not(rec.level);
    fake_clock_advance(SECONDS(1));
    ax_device_poll(dev);
    cr_assert(rec.level, "daily");
}

Test(mc146818, alarm_fields_can_be_anything)
{
    set(SEC_ALARM, 0x30);
    set(MIN_ALARM, 0xff);
    set(HOUR_ALARM, 0xc0);
    set(B, AIE | H24);
    fake_clock_advance(SECONDS(31));
    ax_device_poll(dev);
    cr_assert_not(rec.level);
    fake_clock_advance(SECONDS(1));
    cr_assert(get(C) & AF);
    fake_clock_advance(SECONDS(60));
    cr_assert(get(C) & AF, "every minute");
    set(SEC_ALARM, 0xff);
    fake_clock_advance(SECONDS(1));
    cr_assert(get(C) & AF, "every second");
}

Test(mc146818, alarm_in_twelve_hours)
{
    set(B, 0);
    set(SEC_ALARM, 0x00);
    set(MIN_ALARM, 0x00);
    set(HOUR_ALARM, 0x12); /* midnight */
    get(C);
    fake_clock_advance(SECONDS(2));
    cr_assert(get(C) & AF);
    set(HOUR_ALARM, 0x92); /* noon */
    fake_clock_advance(SECONDS(12 * 3600));
    cr_assert(get(C) & AF);
}

Test(mc146818, an_alarm_that_never_comes)
{
    set(SEC_ALARM, 0x7f);
    set(MIN_ALARM, 0xff);
    set(HOUR_ALARM, 0xff);
    set(B, AIE | H24);
    fake_clock_advance(SECONDS(100000));
    ax_device_poll(dev);
    cr_assert_not(rec.level);
    cr_assert_not(get(C) & AF);
}

Test(mc146818, a_new_alarm_does_not_judge_the_past)
{
    set(SEC_ALARM, 0x7f);
    fake_clock_advance(SECONDS(10000));
    set(SEC_ALARM, 0xff);
    set(MIN_ALARM, 0xff);
    set(HOUR_ALARM, 0xff);
    cr_assert_not(get(C) & AF);
}

Test(mc146818, reset_disables_interrupts)
{
    set(B, UIE | H24 | BIN);
    fake_clock_advance(SECONDS(1));
    ax_device_poll(dev);
    cr_assert(rec.level);
    ax_device_reset(dev);
    cr_assert_not(rec.level);
    cr_assert_eq(get(B), H24);
    cr_assert_eq(get(C), 0);
}

/* An edge for each interrupt, also for one that is due while C is read. */
Test(mc146818, reading_c_lowers_the_line_even_when_the_next_tick_is_there)
{
    set(A, 0x23); /* 8192 Hz: a tick in 122070 ns */
    set(B, PIE | H24);
    fake_clock_advance(122071);
    fake_clock_pace(122071);
    for (unsigned n = 1; n <= 20; n++) {
        cr_assert(get(C) & PF);
        cr_assert_eq(rec.rises, n);
    }
}

/* A suspended VM: nobody reads C, guest time stands, this clock does not. */
Test(mc146818, a_guest_that_stands_still_gets_one_interrupt_and_the_time)
{
    static struct ax_clock guest;

    ax_device_destroy(dev);
    rec.env.clock = &guest;
    dev = recorder_device(&rec, &ax_mc146818);
    set(B, PIE | UIE | H24);
    ax_clock_stop(&guest);
    ax_device_hold(dev, true);
    for (unsigned i = 0; i < 3600; i++) {
        fake_clock_advance(SECONDS(1));
        ax_device_poll(dev);
    }
    ax_clock_go(&guest);
    ax_device_hold(dev, false);
    cr_assert_eq(rec.rises, 1);
    cr_assert(rec.level);
    cr_assert_eq(get(C) & ~AF, IRQF | PF | UF);
    cr_assert_eq(get(C), 0);
    cr_assert_eq(rec.rises, 1);
    ASSERT_TIME(0x20, 0x24, 0x03, 0x01, 6, 0x00, 0x59, 0x58);
}

/* From here on with true time, the host's timer and its loop. */

static void setup_loop(void)
{
    fake_clock_set(0, 0);
    recorder_init(&rec);
    cr_assert_eq(ax_loop_create(&rec.env.loop), 0);
    dev = recorder_device(&rec, &ax_mc146818);
}

static void teardown_loop(void)
{
    ax_device_destroy(dev);
    ax_loop_destroy(rec.env.loop);
}

TestSuite(mc146818_timer, .init = setup_loop, .fini = teardown_loop);

Test(mc146818_timer, periodic_interrupts_follow_each_other)
{
    set(B, PIE | H24);
    for (unsigned n = 1; n <= 20; n++) {
        cr_assert(recorder_await(&rec, n));
        cr_assert_eq(get(C) & (IRQF | PF), IRQF | PF);
        cr_assert_not(rec.level);
    }
}

Test(mc146818_timer, update_interrupts)
{
    set(B, UIE | H24);
    cr_assert(recorder_await(&rec, 1));
    cr_assert_eq(get(C) & (IRQF | UF), IRQF | UF);
}

Test(mc146818_timer, alarm_interrupts)
{
    set(SEC_ALARM, 0xff);
    set(MIN_ALARM, 0xff);
    set(HOUR_ALARM, 0xff);
    set(B, AIE | H24);
    cr_assert(recorder_await(&rec, 1));
    cr_assert_eq(get(C) & (IRQF | AF), IRQF | AF);
}

static void stop(void *ctx, uint64_t count)
{
    ax_loop_stop(ctx);
}

/* An unread interrupt wakes nobody: the loop ends by the test's timer. */
Test(mc146818_timer, is_quiet_until_c_is_read)
{
    struct ax_timer *end;

    set(A, 0x23); /* 8192 Hz */
    set(B, PIE | H24);
    cr_assert(recorder_await(&rec, 1));
    cr_assert_eq(ax_timer_create(rec.env.loop, stop, rec.env.loop, &end), 0);
    ax_timer_arm(end, 20000000, 0);
    ax_loop_run(rec.env.loop);
    ax_timer_destroy(end);
    cr_assert_eq(rec.rises, 1);
    cr_assert_eq(get(C) & IRQF, IRQF);
    cr_assert(recorder_await(&rec, 2));
}
