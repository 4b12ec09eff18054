/*
 * main.c - ends with code=N from the command line through the debug-exit port,
 * in one access of width=N bytes (1).
 */
#include "guest.h"

enum { DEBUG_EXIT = 0xf4 };

void guest_main(void)
{
    uint64_t code = cmdline_number("code", 0);

    print("leaving with code %lu\n", code);
    switch (cmdline_number("width", 1)) {
    case 4:
        out32(DEBUG_EXIT, code);
        break;
    case 2:
        out16(DEBUG_EXIT, code);
        break;
    default:
        out8(DEBUG_EXIT, code);
    }
    wait_for(false);
    report(false, "still alive");
}
