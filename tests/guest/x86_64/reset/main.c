/*
 * main.c - asks for a reset: how=cf9 (the default) by the reset control
 * register, how=i8042 by the keyboard controller, how=acpi by the register that
 * the FADT names.
 */
#include "guest.h"
#include "tables.h"

enum { FADT_FLAGS = 112, RESET_REGISTER = 116, RESET_VALUE = 128 };
enum { RESET_SUPPORTED = 1 << 10, SPACE_PORT = 1 };

static void reset_acpi(void)
{
    const uint8_t *fadt = (const void *)acpi_find("FACP");
    uint32_t flags = 0;
    uint64_t addr;

    if (fadt)
        memcpy(&flags, fadt + FADT_FLAGS, sizeof(flags));
    if (!(flags & RESET_SUPPORTED) || fadt[RESET_REGISTER] != SPACE_PORT) {
        report(false, "the FADT names no reset port");
        return;
    }
    memcpy(&addr, fadt + RESET_REGISTER + 4, sizeof(addr));
    print("reset register at port 0x%lx\n", addr);
    out8(addr, fadt[RESET_VALUE]);
}

void guest_main(void)
{
    print("resetting\n");
    if (cmdline_is("how", "acpi")) {
        reset_acpi();
    } else if (cmdline_is("how", "i8042")) {
        out8(0x64, 0xfe);
    } else {
        out8(0xcf9, 0x02);
        out8(0xcf9, 0x06);
    }
    wait_for(false);
    report(false, "still alive");
}
