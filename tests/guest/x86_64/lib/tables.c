/*
 * tables.c - ACPI (specification 6.5, 5.2) and the MP table (MultiProcessor
 * Specification 1.4, 4), read as a kernel would.
 */
#include "tables.h"

#include "irq.h"

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
} __attribute__((packed));

struct madt_entry {
    uint8_t type, length;
    union {
        struct {
            uint8_t processor, id;
            uint32_t flags;
        } __attribute__((packed)) lapic;
        struct {
            uint8_t bus, source;
            uint32_t gsi;
        } __attribute__((packed)) override;
        struct {
            uint16_t reserved;
            uint32_t id, flags;
        } __attribute__((packed)) x2apic;
    };
} __attribute__((packed));

struct mp_pointer {
    char signature[4];
    uint32_t table;
    uint8_t length, revision, checksum, features[5];
} __attribute__((packed));

struct mp_header {
    char signature[4];
    uint16_t length;
    uint8_t revision, checksum;
    char oem[20];
    uint32_t oem_table;
    uint16_t oem_size, entries;
    uint32_t lapic, reserved;
} __attribute__((packed));

enum { MADT_ENTRIES = sizeof(struct acpi_header) + 8, USABLE = 1 };
enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_X2APIC = 9 };
enum { MP_CPU = 0, MP_IOAPIC = 2, MP_CPU_SIZE = 20, MP_ENTRY_SIZE = 8 };
enum { BIOS_START = 0xe0000, BIOS_END = 0x100000, MP_AREA = 0x9f800 };

bool table_sound(const void *table, size_t size)
{
    const uint8_t *byte = table;
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum += byte[i];
    return sum == 0;
}

static uint64_t area_find(uint64_t from, uint64_t to, const char *signature)
{
    for (; from < to; from += 16)
        if (!memcmp((const void *)from, signature, strlen(signature)))
            return from;
    return 0;
}

uint64_t acpi_rsdp(void)
{
    if (!boot.rsdp)
        boot.rsdp = area_find(BIOS_START, BIOS_END, "RSD PTR ");
    return boot.rsdp;
}

const struct acpi_header *acpi_table(unsigned number)
{
    const struct rsdp *rsdp = (const void *)acpi_rsdp();
    const struct acpi_header *root;
    unsigned width;
    uint64_t addr = 0;

    if (!rsdp)
        return NULL;
    width = rsdp->revision >= 2 && rsdp->xsdt ? 8 : 4;
    root = (const void *)(width == 8 ? rsdp->xsdt : rsdp->rsdt);
    if (number >= (root->length - sizeof(*root)) / width)
        return NULL;
    memcpy(&addr, (const uint8_t *)(root + 1) + number * width, width);
    return (const void *)addr;
}

const struct acpi_header *acpi_find(const char *signature)
{
    const struct acpi_header *table;

    for (unsigned i = 0; (table = acpi_table(i)); i++)
        if (!memcmp(table->signature, signature, 4))
            return table;
    return NULL;
}

static void cpus_add(struct cpu_list *list, uint32_t id)
{
    if (list->count < CPU_MAX)
        list->id[list->count++] = id;
}

bool cpus_from_madt(struct cpu_list *out)
{
    const struct acpi_header *madt = acpi_find("APIC");
    const struct madt_entry *e;

    *out = (struct cpu_list){0};
    for (uint32_t at = MADT_ENTRIES; madt && at + 2 < madt->length;
         at += e->length) {
        e = (const void *)((const uint8_t *)madt + at);
        if (!e->length)
            break;
        if (e->type == MADT_LAPIC && (e->lapic.flags & USABLE))
            cpus_add(out, e->lapic.id);
        if (e->type == MADT_X2APIC && (e->x2apic.flags & USABLE))
            cpus_add(out, e->x2apic.id);
        out->ioapics += e->type == MADT_IOAPIC;
        if (e->type == MADT_OVERRIDE && !e->override.source)
            out->pit_pin = e->override.gsi;
    }
    return madt != NULL;
}

static const struct mp_header *mp_find(void)
{
    uint64_t at = area_find(MP_AREA, MP_AREA + 0x800, "_MP_");

    if (!at)
        at = area_find(0xf0000, BIOS_END, "_MP_");
    return at ? (const void *)(uint64_t)((const struct mp_pointer *)at)->table
              : NULL;
}

bool cpus_from_mp(struct cpu_list *out)
{
    const struct mp_header *mp = mp_find();
    const uint8_t *e = (const void *)(mp + 1);

    *out = (struct cpu_list){0};
    for (unsigned i = 0; mp && i < mp->entries; i++) {
        if (e[0] == MP_CPU && (e[3] & USABLE))
            cpus_add(out, e[1]);
        out->ioapics += e[0] == MP_IOAPIC && (e[3] & USABLE);
        e += e[0] == MP_CPU ? MP_CPU_SIZE : MP_ENTRY_SIZE;
    }
    return mp && table_sound(mp, mp->length);
}

void cpus_find(struct cpu_list *out)
{
    if ((cpus_from_madt(out) && out->count) ||
        (cpus_from_mp(out) && out->count))
        return;
    *out = (struct cpu_list){.count = 1, .id = {lapic_id()}};
}
