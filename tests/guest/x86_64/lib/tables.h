/*
 * tables.h - what the machine says of itself: ACPI tables and the MP table.
 */
#ifndef GUEST_TABLES_H
#define GUEST_TABLES_H

#include "guest.h"

enum { CPU_MAX = 64 };

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

/* CPUs in the order of a table: local APIC ids of the usable ones. */
struct cpu_list {
    unsigned count;
    uint32_t id[CPU_MAX];
    unsigned ioapics; /* how many the table names */
    unsigned pit_pin; /* I/O APIC pin of the PIT: 0 unless overridden */
};

/* Sums to zero? */
bool table_sound(const void *table, size_t size);

/* Address of the RSDP: told by PVH or found in the BIOS area; 0: none. */
uint64_t acpi_rsdp(void);

/* By number or by signature; NULL: there is none. */
const struct acpi_header *acpi_table(unsigned number);
const struct acpi_header *acpi_find(const char *signature);

/* false: no such table. The MP table is looked for where AxVisor puts it. */
bool cpus_from_madt(struct cpu_list *out);
bool cpus_from_mp(struct cpu_list *out);

/* MADT, else MP table, else this CPU alone. */
void cpus_find(struct cpu_list *out);

#endif
