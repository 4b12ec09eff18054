/*
 * main.c - the tables as a kernel meets them: checksums, what must be there,
 * and that they agree with each other. cpus=N: what the MADT must list.
 */
#include "guest.h"
#include "tables.h"

enum { RSDP_OLD = 20, RSDP_NEW = 36, PM1A_CONTROL = 64, DSDT = 40 };
enum { FADT_X_DSDT = 140, FADT_MIN = 244, SCI = 46 };

static uint32_t word(const struct acpi_header *table, unsigned off)
{
    uint32_t val;

    memcpy(&val, (const uint8_t *)table + off, sizeof(val));
    return val;
}

static bool contains(const struct acpi_header *table, const char *text)
{
    const char *at = (const char *)table;

    for (uint32_t i = 0; i + strlen(text) <= table->length; i++)
        if (!memcmp(at + i, text, strlen(text)))
            return true;
    return false;
}

static void check_root(void)
{
    const uint8_t *rsdp = (const void *)acpi_rsdp();
    uint64_t told = boot.rsdp;

    report(rsdp != NULL, "there is an RSDP");
    if (!rsdp)
        return;
    boot.rsdp = 0;
    report(acpi_rsdp() == told, "found in the BIOS area as well");
    boot.rsdp = told;
    report(table_sound(rsdp, RSDP_OLD), "its first checksum");
    report(rsdp[15] >= 2 && table_sound(rsdp, RSDP_NEW),
           "revision 2, its second checksum");
    report((told & 15) == 0, "on a multiple of 16");
}

static void check_all(void)
{
    const struct acpi_header *table;
    unsigned i;

    for (i = 0; (table = acpi_table(i)); i++) {
        char name[5] = {0};

        memcpy(name, table->signature, 4);
        report(table->length >= sizeof(*table) &&
                   table_sound(table, table->length),
               "%s at %lx: checksum over %u bytes", name, (uint64_t)table,
               table->length);
    }
    report(i >= 2, "%u tables", i);
}

static void check_fixed(void)
{
    const struct acpi_header *fadt = acpi_find("FACP"), *dsdt;

    report(fadt && fadt->length >= FADT_MIN, "there is a FADT");
    if (!fadt)
        return;
    report((word(fadt, PM1A_CONTROL) & 0xffff) == 0x604,
           "PM1a control at port 0x604");
    report((word(fadt, SCI) & 0xffff) < 24, "the SCI is an interrupt");
    dsdt = (const void *)(uint64_t)(word(fadt, DSDT) ? word(fadt, DSDT)
                                                     : word(fadt, FADT_X_DSDT));
    report(dsdt && !memcmp(dsdt->signature, "DSDT", 4) &&
               table_sound(dsdt, dsdt->length),
           "there is a DSDT, with its checksum");
    report(dsdt && contains(dsdt, "_S5_"), "it says how to power off");
    report(dsdt && contains(dsdt, "\x41\xd0\x05\x01"),
           "it has a serial port (PNP0501)");
}

static void check_list(bool there, const struct cpu_list *list, unsigned wanted,
                       const char *name)
{
    report(there && list->count == wanted, "the %s lists %u CPUs", name,
           list->count);
    report(list->ioapics == 1, "and %u I/O APIC", list->ioapics);
}

static void check_cpus(unsigned wanted)
{
    struct cpu_list list;
    bool there = cpus_from_madt(&list);

    check_list(there, &list, wanted, "MADT");
    there = cpus_from_mp(&list);
    check_list(there, &list, wanted, "MP table");
}

void guest_main(void)
{
    check_root();
    check_all();
    check_fixed();
    check_cpus(cmdline_number("cpus", 1));
}
