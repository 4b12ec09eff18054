/*
 * main.c - power-off: how=word (the default) writes 0x2000 to port 0x604 as
 * AxVisor's guests do; how=byte its high byte alone; how=acpi what the FADT
 * and the DSDT say.
 */
#include "guest.h"
#include "tables.h"

enum { PM1A_CONTROL = 64, SLP_EN = 0x2000, SLP_TYPE_SHIFT = 10 };
enum { DSDT = 40, NAME_OP = 0x08, PACKAGE_OP = 0x12, BYTE_PREFIX = 0x0a };

/* The sleep type in Name(_S5_, Package(){type, ...}); -1: there is none. */
static int s5_type(const struct acpi_header *dsdt)
{
    const uint8_t *aml = (const uint8_t *)dsdt;

    for (uint32_t i = sizeof(*dsdt) + 1; i + 9 < dsdt->length; i++) {
        const uint8_t *p = aml + i;

        if (memcmp(p, "_S5_", 4) || p[4] != PACKAGE_OP)
            continue;
        p += 5;
        p += (*p >> 6) + 2; /* package length, count of elements */
        return *p == BYTE_PREFIX ? p[1] : *p;
    }
    return -1;
}

static void power_off_acpi(void)
{
    const struct acpi_header *fadt = acpi_find("FACP");
    const struct acpi_header *dsdt;
    uint32_t port, addr;
    int type;

    if (!fadt) {
        report(false, "there is no FADT");
        return;
    }
    memcpy(&port, (const uint8_t *)fadt + PM1A_CONTROL, sizeof(port));
    memcpy(&addr, (const uint8_t *)fadt + DSDT, sizeof(addr));
    dsdt = (const void *)(uint64_t)addr;
    type = s5_type(dsdt);
    print("PM1a control at port 0x%x, S5 is type %d\n", port, type);
    if (type < 0)
        report(false, "the DSDT has no _S5_");
    else
        out16(port, SLP_EN | (uint16_t)type << SLP_TYPE_SHIFT);
}

void guest_main(void)
{
    print("powering off\n");
    if (cmdline_is("how", "acpi"))
        power_off_acpi();
    else if (cmdline_is("how", "byte"))
        out8(0x605, 0x20);
    else
        guest_power_off();
    wait_for(false);
    report(false, "still alive");
}
