/*
 * report.c - verdicts as lines that a test driver can read, the C side of the
 * entry, and the ways out.
 */
#include "guest.h"
#include "trap.h"

enum {
    DEBUG_EXIT = 0xf4,
    EXIT_PASS = 0x10,
    EXIT_FAIL = 0x11,
    PM1_CONTROL = 0x604,
    PM1_SLEEP_S5 = 0x2000, /* SLP_EN; S5 is sleep type 0 */
};

static unsigned passed, failed, skipped;

/* From start.S. */
void guest_start(void);
uint32_t boot_magic, boot_info;

void guest_start(void)
{
    console_init();
    trap_init();
    boot_parse(boot_magic, boot_info);
    guest_main();
    report_finish();
}

static void report_line(const char *verdict, const char *fmt, va_list args)
{
    print("%s ", verdict);
    vprint(fmt, args);
    console_put('\n');
}

void report(bool ok, const char *fmt, ...)
{
    va_list args;

    *(ok ? &passed : &failed) += 1;
    va_start(args, fmt);
    report_line(ok ? "PASS" : "FAIL", fmt, args);
    va_end(args);
}

void report_skip(const char *fmt, ...)
{
    va_list args;

    skipped++;
    va_start(args, fmt);
    report_line("SKIP", fmt, args);
    va_end(args);
}

void report_finish(void)
{
    cli();
    print("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    guest_exit(failed || !passed ? EXIT_FAIL : EXIT_PASS);
}

void guest_exit(uint8_t code)
{
    out8(DEBUG_EXIT, code);
    wait_for(false); /* it need not be at once */
    print("the debug-exit port did nothing\n");
    guest_stop();
}

void guest_power_off(void)
{
    out16(PM1_CONTROL, PM1_SLEEP_S5);
    wait_for(false);
    print("the power-off port did nothing\n");
    guest_stop();
}

/* A fault with no IDT to go to, nor one for the double fault. */
void guest_triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};

    __asm__ volatile("lidt %0; divl %1" : : "m"(none), "r"(0) : "eax", "edx");
    guest_stop();
}

void guest_stop(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}
