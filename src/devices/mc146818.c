/*
 * mc146818.c - the PC's real-time clock and its battery-backed RAM (data sheet
 * MC146818A; the century at 0x32 as the FADT says).
 *
 * Time is the host's, UTC, plus what the guest has set it apart. Flags are
 * computed when somebody looks, from the time that has passed since; the host
 * is woken only for an interrupt that the guest has enabled, and only until it
 * has been raised: the next one cannot come before the guest reads register C.
 * Seconds count from the start of year 0, so that every date which fits the
 * registers is a positive number.
 *
 * It goes on while the VM is suspended, as a clock on a battery does: a guest
 * that is resumed finds the time of day. So it takes no part in ops->hold, and
 * need not: of all events of that span each kind is one flag, and they are one
 * pending interrupt, after which its timer rests.
 *
 * Unlike the chip, the day of the week follows from the date, and holding the
 * clock without setting it loses no time.
 */
#include "devices/clock.h"
#include "devices/device.h"
#include "devices/loop.h"
#include "devices/registry.h"

enum { PORT_INDEX, PORT_DATA, PORTS, INDEX_MASK = 0x7f /* bit 7: NMI off */ };

enum {
    REG_SECOND = 0x00,
    REG_MINUTE = 0x02,
    REG_HOUR = 0x04,
    REG_WEEKDAY = 0x06,
    REG_DAY = 0x07,
    REG_MONTH = 0x08,
    REG_YEAR = 0x09,
    REG_A = 0x0a,
    REG_B = 0x0b,
    REG_C = 0x0c,
    REG_D = 0x0d,
    REG_CENTURY = 0x32,
    REGS = 0x80,
    ALARM = 1, /* an alarm register follows each of second, minute and hour */
};

enum {
    A_UPDATING = 0x80,
    A_DIVIDER = 0x70,
    A_DIVIDER_RUN = 0x20,
    A_DIVIDER_RESET = 0x60, /* 110 and 111 hold the clock */
    A_RATE = 0x0f,
    A_AT_RESET = 0x26, /* 32768 Hz crystal, 1024 Hz rate: what a BIOS sets */
    B_SET = 0x80,
    B_PERIODIC = 0x40, /* register C has its flags at the same places */
    B_ALARM = 0x20,
    B_UPDATE = 0x10,
    B_BINARY = 0x04,
    B_24H = 0x02,
    C_ANY = 0x80,
    C_FLAGS = B_PERIODIC | B_ALARM | B_UPDATE,
    D_VALID = 0x80,
    HOUR_PM = 0x80,
    ALARM_ANY = 0xc0,
};

enum {
    UPDATING_NS = 244000, /* A_UPDATING comes this long before the update */
    DIVIDER_LAG_NS = AX_NSEC_PER_SEC / 2, /* first update after its release */
    CRYSTAL_HZ = 32768,
    MINUTE = 60,
    HOUR = 60 * MINUTE,
    DAY = 24 * HOUR,
    EPOCH_DAYS = 719528, /* from the start of year 0 to 1970 */
    ALARM_STEPS = 512,   /* more than any alarm that can come needs */
};

struct moment {
    int64_t sec; /* since the start of year 0 */
    int64_t nsec;
};

struct rtc {
    struct ax_device dev;
    struct ax_timer *timer;
    bool armed;
    uint8_t index;
    uint8_t reg[REGS];    /* time registers: valid while the clock is held */
    struct moment apart;  /* guest time minus host time */
    struct moment judged; /* guest time up to which flags are computed */
    bool set;             /* a time register was written while held */
};

/* ---- calendar ---- */

static bool year_is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t days_before_year(int64_t year)
{
    int64_t past = year - 1; /* year 0 is a leap year itself */

    return year ? year * 365 + 1 + past / 4 - past / 100 + past / 400 : 0;
}

/* month: from 0 */
static int64_t days_before_month(int64_t year, unsigned month)
{
    static const uint16_t before[] = {0,   31,  59,  90,  120, 151,
                                      181, 212, 243, 273, 304, 334};

    return before[month] + (month > 1 && year_is_leap(year));
}

struct date {
    int64_t year;
    unsigned month, day; /* from 0 */
};

static struct date date_of(int64_t days)
{
    struct date d = {.year = days / 366, .month = 11}; /* never too late */

    while (days_before_year(d.year + 1) <= days)
        d.year++;
    days -= days_before_year(d.year);
    while (days_before_month(d.year, d.month) > days)
        d.month--;
    d.day = (unsigned)(days - days_before_month(d.year, d.month));
    return d;
}

/* ---- time and its registers ---- */

static struct moment moment_add(struct moment a, struct moment b)
{
    struct moment m = {a.sec + b.sec, a.nsec + b.nsec};

    if (m.nsec >= AX_NSEC_PER_SEC) {
        m.nsec -= AX_NSEC_PER_SEC;
        m.sec++;
    }
    return m;
}

static struct moment moment_sub(struct moment a, struct moment b)
{
    struct moment m = {a.sec - b.sec, a.nsec - b.nsec};

    if (m.nsec < 0) {
        m.nsec += AX_NSEC_PER_SEC;
        m.sec--;
    }
    return m;
}

static struct moment rtc_host_now(void)
{
    struct timespec now = ax_clock_now(CLOCK_REALTIME);

    return (struct moment){now.tv_sec + (int64_t)EPOCH_DAYS * DAY, now.tv_nsec};
}

/* A host clock that went back further than the guest's year 0 stops there. */
static struct moment rtc_now(const struct rtc *r)
{
    struct moment now = moment_add(rtc_host_now(), r->apart);

    if (now.sec < 0)
        now = (struct moment){0};
    return now;
}

/* Is the clock stopped, by the guest that sets it? */
static bool rtc_held(const struct rtc *r)
{
    return (r->reg[REG_B] & B_SET) ||
           (r->reg[REG_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static uint8_t rtc_encode(const struct rtc *r, int64_t val)
{
    val %= 100;
    return (uint8_t)(r->reg[REG_B] & B_BINARY ? val : val / 10 << 4 | val % 10);
}

/* Any byte gives a number: at most 165 in BCD, 255 in binary. */
static unsigned rtc_decode(const struct rtc *r, uint8_t val)
{
    return r->reg[REG_B] & B_BINARY ? val : (val >> 4) * 10U + (val & 15);
}

static uint8_t rtc_encode_hour(const struct rtc *r, unsigned hour)
{
    if (r->reg[REG_B] & B_24H)
        return rtc_encode(r, hour);
    return rtc_encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned rtc_decode_hour(const struct rtc *r, uint8_t val)
{
    if (r->reg[REG_B] & B_24H)
        return rtc_decode(r, val);
    return rtc_decode(r, val & ~HOUR_PM) % 12 + (val & HOUR_PM ? 12 : 0);
}

static bool rtc_is_time(unsigned index)
{
    return index == REG_SECOND || index == REG_MINUTE || index == REG_HOUR ||
           (index >= REG_WEEKDAY && index <= REG_YEAR) || index == REG_CENTURY;
}

static void rtc_to_registers(struct rtc *r, int64_t sec)
{
    struct date date = date_of(sec / DAY);

    r->reg[REG_SECOND] = rtc_encode(r, sec % MINUTE);
    r->reg[REG_MINUTE] = rtc_encode(r, sec % HOUR / MINUTE);
    r->reg[REG_HOUR] = rtc_encode_hour(r, (unsigned)(sec % DAY / HOUR));
    /* 1 is Sunday; year 0 began with a Saturday. */
    r->reg[REG_WEEKDAY] = rtc_encode(r, (sec / DAY + 6) % 7 + 1);
    r->reg[REG_DAY] = rtc_encode(r, date.day + 1);
    r->reg[REG_MONTH] = rtc_encode(r, date.month + 1);
    r->reg[REG_YEAR] = rtc_encode(r, date.year);
    r->reg[REG_CENTURY] = rtc_encode(r, date.year / 100);
}

/* Whatever the registers hold is some time: an odd month wraps, and so on. */
static int64_t rtc_from_registers(const struct rtc *r)
{
    unsigned month = rtc_decode(r, r->reg[REG_MONTH]);
    unsigned day = rtc_decode(r, r->reg[REG_DAY]);
    int64_t year = rtc_decode(r, r->reg[REG_CENTURY]) * 100 +
                   rtc_decode(r, r->reg[REG_YEAR]);
    int64_t days = days_before_year(year) +
                   days_before_month(year, (month ? month - 1 : 0) % 12) +
                   (day ? day - 1 : 0);

    return days * DAY + rtc_decode_hour(r, r->reg[REG_HOUR]) * HOUR +
           rtc_decode(r, r->reg[REG_MINUTE]) * MINUTE +
           rtc_decode(r, r->reg[REG_SECOND]);
}

static void rtc_set_time(struct rtc *r, struct moment time)
{
    r->apart = moment_sub(time, rtc_host_now());
    r->judged = time;
}

/* ---- events ---- */

/* A periodic tick takes 1 << this of the crystal's. */
static unsigned rtc_rate_shift(const struct rtc *r)
{
    unsigned rate = r->reg[REG_A] & A_RATE;

    return rate < 3 ? rate + 6 : rate - 1; /* 1 and 2 repeat 8 and 9 */
}

static bool rtc_has_rate(const struct rtc *r)
{
    return (r->reg[REG_A] & A_RATE) &&
           (r->reg[REG_A] & A_DIVIDER) == A_DIVIDER_RUN;
}

/* Periodic ticks so far this second. */
static int64_t rtc_ticks(const struct rtc *r, int64_t nsec)
{
    return (nsec * CRYSTAL_HZ / AX_NSEC_PER_SEC) >> rtc_rate_shift(r);
}

static bool alarm_field(const struct rtc *r, unsigned reg, unsigned now)
{
    uint8_t val = r->reg[reg + ALARM];

    return (val & ALARM_ANY) == ALARM_ANY ||
           (reg == REG_HOUR ? rtc_decode_hour(r, val) : rtc_decode(r, val)) ==
               now;
}

/* The first second after sec at which the alarm matches, 0 if none ever. */
static int64_t rtc_next_alarm(const struct rtc *r, int64_t sec)
{
    sec++;
    for (unsigned i = 0; i < ALARM_STEPS; i++) {
        if (!alarm_field(r, REG_HOUR, (unsigned)(sec % DAY / HOUR)))
            sec += HOUR - sec % HOUR;
        else if (!alarm_field(r, REG_MINUTE, (unsigned)(sec % HOUR / MINUTE)))
            sec += MINUTE - sec % MINUTE;
        else if (!alarm_field(r, REG_SECOND, (unsigned)(sec % MINUTE)))
            sec++;
        else
            return sec;
    }
    return 0;
}

/* Sets the flags of what has happened since the last look. */
static void rtc_judge(struct rtc *r, struct moment now)
{
    struct moment then = r->judged;
    bool new_second = now.sec > then.sec;
    int64_t alarm;

    r->judged = now;
    /* Every rate divides the second. */
    if (rtc_has_rate(r) &&
        (new_second || (now.sec == then.sec &&
                        rtc_ticks(r, now.nsec) > rtc_ticks(r, then.nsec))))
        r->reg[REG_C] |= B_PERIODIC;
    if (!new_second || rtc_held(r))
        return;
    r->reg[REG_C] |= B_UPDATE;
    alarm = rtc_next_alarm(r, then.sec);
    if (alarm && alarm <= now.sec)
        r->reg[REG_C] |= B_ALARM;
}

static int64_t min_delay(int64_t a, int64_t b)
{
    return !a || b < a ? b : a;
}

/* Nanoseconds until an enabled event that is not flagged yet; 0: none. */
static int64_t rtc_next_event(const struct rtc *r, struct moment now)
{
    unsigned wanted = r->reg[REG_B] & ~r->reg[REG_C] & C_FLAGS;
    int64_t delay = 0, alarm;

    if ((wanted & B_PERIODIC) && rtc_has_rate(r)) {
        int64_t next = (rtc_ticks(r, now.nsec) + 1) << rtc_rate_shift(r);

        delay = (int64_t)ax_clock_ns((uint64_t)next, CRYSTAL_HZ) - now.nsec;
    }
    if (rtc_held(r))
        return delay;
    if (wanted & B_UPDATE)
        delay = min_delay(delay, AX_NSEC_PER_SEC - now.nsec);
    if ((wanted & B_ALARM) && (alarm = rtc_next_alarm(r, now.sec)))
        delay =
            min_delay(delay, (alarm - now.sec) * AX_NSEC_PER_SEC - now.nsec);
    return delay;
}

static void rtc_poll(struct ax_device *dev)
{
    struct rtc *r = ax_container_of(dev, struct rtc, dev);
    struct moment now = rtc_now(r);
    int64_t delay;
    bool raised;

    rtc_judge(r, now);
    raised = r->reg[REG_B] & r->reg[REG_C] & C_FLAGS;
    ax_irq_set(&dev->env.irq, raised);
    delay = raised ? 0 : rtc_next_event(r, now);
    if (r->timer && (delay || r->armed)) {
        ax_timer_arm(r->timer, (uint64_t)delay, 0);
        r->armed = delay;
    }
}

static void rtc_timer(void *ctx, uint64_t count)
{
    ax_device_poll(ctx);
}

/* ---- registers ---- */

static uint8_t rtc_read_a(const struct rtc *r)
{
    bool updating =
        !rtc_held(r) && rtc_now(r).nsec >= AX_NSEC_PER_SEC - UPDATING_NS;

    return r->reg[REG_A] | (updating ? A_UPDATING : 0);
}

/*
 * Reading C is what acknowledges the interrupt: the line falls, even when the
 * next event is already there. Without that edge nobody would see it.
 */
static uint8_t rtc_read_c(struct rtc *r)
{
    uint8_t val;

    rtc_judge(r, rtc_now(r));
    val = r->reg[REG_C] | (r->reg[REG_B] & r->reg[REG_C] ? C_ANY : 0);
    r->reg[REG_C] = 0;
    ax_irq_set(&r->dev.env.irq, false);
    rtc_poll(&r->dev);
    return val;
}

static uint64_t rtc_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct rtc *r = ax_container_of(dev, struct rtc, dev);

    if (off == PORT_INDEX)
        return r->index;
    if (r->index == REG_A)
        return rtc_read_a(r);
    if (r->index == REG_C)
        return rtc_read_c(r);
    if (r->index == REG_D)
        return D_VALID;
    if (rtc_is_time(r->index) && !rtc_held(r))
        rtc_to_registers(r, rtc_now(r).sec);
    return r->reg[r->index];
}

/*
 * A and B hold and release the clock. Held, the time registers keep what they
 * had; released, the clock runs on from what the guest has written.
 */
static void rtc_write_control(struct rtc *r, unsigned index, uint8_t val)
{
    bool was_held = rtc_held(r);
    struct moment now = rtc_now(r);

    if (!was_held)
        rtc_to_registers(r, now.sec);
    r->reg[index] = val;
    if (was_held && !rtc_held(r) && r->set) {
        now.sec = rtc_from_registers(r);
        if (index == REG_A) /* the divider starts from half a second */
            now.nsec = DIVIDER_LAG_NS;
        rtc_set_time(r, now);
    }
    if (!was_held)
        r->set = false;
}

static void rtc_write_time(struct rtc *r, uint8_t val)
{
    struct moment now = rtc_now(r);

    if (!rtc_held(r))
        rtc_to_registers(r, now.sec);
    r->reg[r->index] = val;
    r->set = true;
    if (!rtc_held(r)) {
        now.sec = rtc_from_registers(r);
        rtc_set_time(r, now);
    }
}

static void rtc_write_data(struct rtc *r, uint8_t val)
{
    if (r->index == REG_A)
        rtc_write_control(r, REG_A, val & ~A_UPDATING);
    else if (r->index == REG_B)
        rtc_write_control(r, REG_B, val & B_SET ? val & ~B_UPDATE : val);
    else if (rtc_is_time(r->index))
        rtc_write_time(r, val);
    else if (r->index != REG_C && r->index != REG_D)
        r->reg[r->index] = val;
}

static void rtc_write(struct ax_device *dev, uint64_t off, unsigned width,
                      uint64_t val)
{
    struct rtc *r = ax_container_of(dev, struct rtc, dev);

    if (off == PORT_INDEX) {
        r->index = val & INDEX_MASK;
        return;
    }
    rtc_judge(r, rtc_now(r)); /* the past by the rules of the past */
    rtc_write_data(r, (uint8_t)val);
    rtc_poll(dev);
}

/* ---- life ---- */

static int rtc_init(struct ax_device *dev)
{
    struct rtc *r = ax_container_of(dev, struct rtc, dev);

    r->judged = rtc_now(r);
    if (!dev->env.loop)
        return 0;
    return ax_timer_create(dev->env.loop, rtc_timer, dev, &r->timer);
}

static void rtc_fini(struct ax_device *dev)
{
    ax_timer_destroy(ax_container_of(dev, struct rtc, dev)->timer);
}

/* The battery keeps time and RAM; the rest is as firmware leaves it. */
static void rtc_reset(struct ax_device *dev)
{
    struct rtc *r = ax_container_of(dev, struct rtc, dev);

    r->index = 0;
    rtc_judge(r, rtc_now(r));
    rtc_write_control(r, REG_A, A_AT_RESET);
    rtc_write_control(r, REG_B, B_24H);
    r->reg[REG_C] = 0;
    rtc_poll(dev);
}

const struct ax_device_ops ax_mc146818 = {
    .type = "mc146818",
    .compatible = "motorola,mc146818",
    .state = sizeof(struct rtc),
    .size = PORTS,
    .widths = AX_WIDTH_1,
    .read = rtc_read,
    .write = rtc_write,
    .init = rtc_init,
    .fini = rtc_fini,
    .reset = rtc_reset,
    .poll = rtc_poll,
};
