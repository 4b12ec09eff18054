/*
 * main.c - size=SIZE bytes to the console as fast as it can (4 MiB), in
 * numbered lines of 64, then the end at once: nothing may be lost.
 */
#include "guest.h"

enum { LINE = 64, DIGITS = 8 };

static char line[LINE];

static void number_line(uint32_t val)
{
    for (unsigned i = 0; i < DIGITS; i++, val >>= 4)
        line[DIGITS - 1 - i] = "0123456789abcdef"[val & 15];
}

static void send_line(void)
{
    const char *at = line;
    uint64_t count = LINE;

    __asm__ volatile("rep outsb"
                     : "+S"(at), "+c"(count)
                     : "d"((uint16_t)COM1)
                     : "memory");
}

void guest_main(void)
{
    uint32_t lines = cmdline_number("size", 4 << 20) / LINE;

    for (unsigned i = 0; i < LINE - 1; i++)
        line[i] = i < DIGITS    ? '0'
                  : i == DIGITS ? ' '
                                : 'a' + (i - DIGITS) % 26;
    line[LINE - 1] = '\n';
    for (uint32_t i = 1; i <= lines; i++) {
        number_line(i);
        send_line();
    }
    guest_exit(0x10);
}
