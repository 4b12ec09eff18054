/*
 * main.c - port accesses of every width, single and repeated, in both
 * directions, at a device that remembers (the UART's scratch register), at the
 * debug console and where nobody answers.
 */
#include "guest.h"

enum {
    SCRATCH = COM1 + 7,
    CMOS_INDEX = 0x70,
    CMOS_DATA = 0x71,
    CMOS_RAM = 0x50,
    DEBUG_CONSOLE = 0xe9,
    NOBODY = 0xabcc,
    EDGE = 0xff,
    BUFFER = 12288, /* longer than a page: string I/O is cut there */
};

static uint8_t buffer[BUFFER] __attribute__((aligned(4096)));

#define REP(name, insn, pointer)                                               \
    static uint8_t *name(uint16_t port, void *at, uint64_t count)              \
    {                                                                          \
        __asm__ volatile("rep " insn                                           \
                         : "+" pointer(at), "+c"(count)                        \
                         : "d"(port)                                           \
                         : "memory");                                          \
        return count ? NULL : at;                                              \
    }                                                                          \
    static uint8_t *name##_down(uint16_t port, void *at, uint64_t count)       \
    {                                                                          \
        __asm__ volatile("std; rep " insn "; cld"                              \
                         : "+" pointer(at), "+c"(count)                        \
                         : "d"(port)                                           \
                         : "memory");                                          \
        return count ? NULL : at;                                              \
    }

REP(rep_in8, "insb", "D")
REP(rep_in16, "insw", "D")
REP(rep_in32, "insl", "D")
REP(rep_out8, "outsb", "S")
REP(rep_out16, "outsw", "S")
REP(rep_out32, "outsl", "S")

static bool all(const uint8_t *from, const uint8_t *to, uint8_t byte)
{
    for (; from < to; from++)
        if (*from != byte)
            return false;
    return true;
}

static void check_single(void)
{
    bool kept = true;

    for (unsigned i = 0; i < 256; i += 15) {
        out8(SCRATCH, i);
        kept &= in8(SCRATCH) == i;
    }
    report(kept, "a byte register keeps what OUT wrote");
    out8(CMOS_INDEX, CMOS_RAM);
    out8(CMOS_DATA, 0x5a);
    out8(CMOS_INDEX, CMOS_RAM + 1);
    out8(CMOS_DATA, 0xc3);
    out8(CMOS_INDEX, CMOS_RAM);
    report(in8(CMOS_DATA) == 0x5a, "index and data ports work together");
}

static void check_nobody(void)
{
    uint64_t rax = 0x1122334455667788;

    report(in8(NOBODY) == 0xff && in16(NOBODY) == 0xffff &&
               in32(NOBODY) == 0xffffffff,
           "an unclaimed port reads all ones at every width");
    report(in16(0xffff) == 0xffff && in32(0xfffe) == 0xffffffff,
           "an access past the last port reads all ones");
    out8(NOBODY, 0);
    out16(NOBODY, 0);
    out32(NOBODY, 0);
    out32(0xffff, 0);
    report(in32(NOBODY) == 0xffffffff, "writes to an unclaimed port are lost");

    __asm__ volatile("inb %w1, %%al" : "+a"(rax) : "d"(NOBODY));
    report(rax == 0x11223344556677ff, "IN AL changes AL alone");
    __asm__ volatile("inw %w1, %%ax" : "+a"(rax) : "d"(NOBODY));
    report(rax == 0x112233445566ffff, "IN AX changes AX alone");
    __asm__ volatile("inl %w1, %%eax" : "+a"(rax) : "d"(NOBODY));
    report(rax == 0xffffffff, "IN EAX clears the upper half of RAX");
    __asm__ volatile("inb $0x84, %%al" : "=a"(rax) : "0"(0ULL));
    report((rax & ~0xffULL) == 0, "IN with the port in the instruction");
}

static void check_rep_in(void)
{
    uint8_t *at;

    memset(buffer, 0, sizeof(buffer));
    out8(SCRATCH, 0xa7);
    at = rep_in8(SCRATCH, buffer + 1, 100);
    report(at == buffer + 101 && all(buffer + 1, at, 0xa7) && !buffer[0] &&
               !buffer[101],
           "REP INSB stores each byte, and no other");
    at = rep_in8_down(SCRATCH, buffer + 400, 100);
    report(at == buffer + 300 && all(at + 1, buffer + 401, 0xa7) &&
               !buffer[300] && !buffer[401],
           "REP INSB with DF set goes down");
    at = rep_in16_down(NOBODY, buffer + 600, 10);
    report(at == buffer + 580 && all(at + 2, buffer + 602, 0xff) && !at[1] &&
               !buffer[602],
           "REP INSW with DF set goes down by two");
    at = rep_in32_down(NOBODY, buffer + 680, 5);
    report(at == buffer + 660 && all(at + 4, buffer + 684, 0xff) && !at[3] &&
               !buffer[684],
           "REP INSD with DF set goes down by four");
    at = rep_in8(SCRATCH, buffer + 700, 0);
    report(at == buffer + 700 && !*at,
           "REP INSB with a count of 0 does nothing");
    at = rep_in16(NOBODY, buffer + 4096 - 101, 100);
    report(at == buffer + 4096 + 99 && all(buffer + 4096 - 101, at, 0xff) &&
               !buffer[4096 - 102] && !*at,
           "REP INSW across a page, an element on the edge");
    memset(buffer, 0, sizeof(buffer));
    at = rep_in32(NOBODY, buffer + 2, BUFFER / 4 - 1);
    report(at == buffer + BUFFER - 2 && all(buffer + 2, at, 0xff) &&
               !buffer[1] && !*at,
           "REP INSD over three pages");
}

static void check_rep_out(void)
{
    static char up[] = "[e9: forward]\n", down[] = "\n]sdrawkcab :9e[";
    uint8_t *at;

    for (unsigned i = 0; i < 256; i++)
        buffer[i] = i;
    at = rep_out8(SCRATCH, buffer, 201);
    report(at == buffer + 201 && in8(SCRATCH) == 200,
           "REP OUTSB sends each byte in order");
    at = rep_out8_down(SCRATCH, buffer + 200, 151);
    report(at == buffer + 49 && in8(SCRATCH) == 50,
           "REP OUTSB with DF set goes down");
    at = rep_out16(NOBODY, buffer + 4095, 3);
    report(at == buffer + 4101, "REP OUTSW across a page");
    at = rep_out16_down(NOBODY, buffer + 4101, 5);
    report(at == buffer + 4091, "REP OUTSW with DF set goes down by two");
    at = rep_out32_down(NOBODY, buffer + 4100, 5);
    report(at == buffer + 4080, "REP OUTSD with DF set goes down by four");
    at = rep_out32(NOBODY, buffer, 0);
    report(at == buffer, "REP OUTSD with a count of 0 does nothing");

    if (in8(DEBUG_CONSOLE) != DEBUG_CONSOLE) {
        report_skip("debug console: port 0xe9 does not answer");
        return;
    }
    rep_out8(DEBUG_CONSOLE, up, sizeof(up) - 1);
    rep_out8_down(DEBUG_CONSOLE, down + sizeof(down) - 2, sizeof(down) - 1);
}

/* A segment base moves the source: REP OUTSB takes an override, INSB none. */
static void check_segment(void)
{
    enum { MSR_FS_BASE = 0xc0000100 };
    uint64_t at = 0, count = 8;

    memset(buffer, 0x33, 8);
    wrmsr(MSR_FS_BASE, (uint64_t)buffer);
    __asm__ volatile("rep outsb %%fs:(%%rsi), (%%dx)"
                     : "+S"(at), "+c"(count)
                     : "d"(SCRATCH)
                     : "memory");
    wrmsr(MSR_FS_BASE, 0);
    report(at == 8 && in8(SCRATCH) == 0x33, "REP OUTSB with a segment base");
}

void guest_main(void)
{
    check_single();
    check_nobody();
    check_rep_in();
    check_rep_out();
    check_segment();
}
