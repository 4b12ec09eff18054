/*
 * main.c - the CMOS clock: a plausible time that moves on, its memory, and its
 * status registers. epoch=N on the command line: UTC when the run began.
 */
#include "guest.h"

enum { INDEX = 0x70, DATA = 0x71, NMI_OFF = 0x80 };
enum { SECONDS = 0, MINUTES = 2, HOURS = 4, DAY = 7, MONTH = 8, YEAR = 9 };
enum { REG_A = 10, REG_B = 11, REG_C = 12, REG_D = 13, CENTURY = 0x32 };
enum { A_UPDATING = 0x80, B_BINARY = 0x04, B_24H = 0x02, D_VALID = 0x80 };
enum { A_32KHZ_64HZ = 0x2a, C_PERIODIC = 0x40, C_IRQ = 0x80 };
enum { HOUR_PM = 0x80, TOLERANCE = 90 };

static uint8_t cmos(uint8_t reg)
{
    out8(INDEX, reg);
    return in8(DATA);
}

static void cmos_set(uint8_t reg, uint8_t val)
{
    out8(INDEX, reg);
    out8(DATA, val);
}

static unsigned number(uint8_t reg)
{
    uint8_t val = cmos(reg);

    return cmos(REG_B) & B_BINARY ? val : (val >> 4) * 10U + (val & 15);
}

static unsigned hours(void)
{
    uint8_t raw = cmos(HOURS), val = raw & ~HOUR_PM;
    unsigned hour =
        cmos(REG_B) & B_BINARY ? val : (val >> 4) * 10U + (val & 15);

    if (cmos(REG_B) & B_24H)
        return hour;
    return hour % 12 + (raw & HOUR_PM ? 12 : 0);
}

/* Days since 1970-01-01 of a date after it, by the Gregorian calendar. */
static uint64_t days(unsigned year, unsigned month, unsigned day)
{
    static const uint16_t before[] = {0,   31,  59,  90,  120, 151,
                                      181, 212, 243, 273, 304, 334};
    unsigned past = year - 1;
    bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);

    return (year - 1970) * 365ULL + (past / 4 - past / 100 + past / 400) -
           (1969 / 4 - 1969 / 100 + 1969 / 400) + before[(month - 1) % 12] +
           (leap && month > 2) + day - 1;
}

/* UTC, or 0 for a date that is none. */
static uint64_t read_time(void)
{
    unsigned year = number(YEAR), month = number(MONTH), day = number(DAY);
    unsigned century = number(CENTURY), hour = hours();
    unsigned minute = number(MINUTES), second = number(SECONDS);

    if (!month || month > 12 || !day || day > 31 || hour > 23 || minute > 59 ||
        second > 59 || century < 20)
        return 0;
    year += century * 100;
    print("the clock says %u-%02u-%02u %02u:%02u:%02u\n", year, month, day,
          hour, minute, second);
    return days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}

static bool settled(void)
{
    return !(cmos(REG_A) & A_UPDATING);
}

/* Reading the flags clears them. */
static bool periodic_seen(void)
{
    static bool seen;

    seen |= cmos(REG_C) & C_PERIODIC;
    return seen;
}

void guest_main(void)
{
    uint64_t epoch = cmdline_number("epoch", 0), now;
    uint8_t second;

    report(cmos(REG_D) & D_VALID, "the battery is good");
    report(wait_for(settled()), "no update in progress for ever");
    second = cmos(SECONDS);
    report(wait_for(settled() && cmos(SECONDS) != second), "seconds pass");
    now = read_time();
    report(now != 0, "the date is a date");
    if (epoch)
        report(now + TOLERANCE >= epoch && now <= epoch + TOLERANCE,
               "and it is now: %ld seconds off", (int64_t)(now - epoch));
    else
        report_skip("no epoch= to compare with");
    cmos_set(0x60, 0x5a);
    cmos_set(0x61 | NMI_OFF, 0xa5);
    report(cmos(0x60 | NMI_OFF) == 0x5a && cmos(0x61) == 0xa5,
           "its memory keeps bytes, with and without the NMI bit");
    cmos_set(REG_A, A_32KHZ_64HZ);
    (void)cmos(REG_C);
    report(wait_for(periodic_seen()), "the periodic flag is raised");
    report(!(cmos(REG_C) & C_IRQ), "but no interrupt that nobody enabled");
}
