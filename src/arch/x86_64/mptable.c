/*
 * mptable.c - Intel MultiProcessor Specification 1.4: processors, buses, one
 * I/O APIC and how interrupts reach it. The same facts as the MADT, for guests
 * that do not read ACPI; AxVisor's addresses and wiring.
 */
#include "arch/x86_64/mptable.h"
#include "arch/x86_64/blob.h"
#include "arch/x86_64/layout.h"

#include <errno.h>

enum { MP_CPU, MP_BUS, MP_IOAPIC, MP_IRQ, MP_LINT };
enum { MP_CPU_ENABLED = 1, MP_CPU_BOOT = 2, MP_IOAPIC_ENABLED = 1 };
enum { MP_INT, MP_NMI, MP_SMI, MP_EXTINT };
enum { MP_ALL_APICS = 0xff };
enum { MP_HEADER = 44, MP_CPU_BYTES = 20, MP_BYTES = 8 };
enum { MP_HEADER_LENGTH = 4, MP_HEADER_CHECKSUM = 7 };
enum { LAPIC_VERSION = 0x14, IOAPIC_VERSION = 0x11 };
enum { CPU_SIGNATURE = 0x600, CPU_FEATURES = 0x201 /* FPU, APIC */ };
enum { BUS_PCI, BUS_ISA, BUSES };
enum { ISA_IRQS = 16, PCI_SLOTS = 16, PCI_PINS = 4, PCI_FIRST_GSI = 16 };
enum { LINTS = 2 };

unsigned ax_x86_ioapic_id(const struct ax_plan *plan)
{
    for (unsigned id = 0;; id++) {
        unsigned i = 0;

        while (i < plan->cpus && plan->cpu_ids[i] != id)
            i++;
        if (i == plan->cpus)
            return id;
    }
}

static unsigned mp_entries(const struct ax_plan *plan)
{
    return plan->cpus + BUSES + 1 + ISA_IRQS + PCI_SLOTS * PCI_PINS + LINTS;
}

static size_t mp_size(const struct ax_plan *plan)
{
    return MP_HEADER + (size_t)plan->cpus * MP_CPU_BYTES +
           (size_t)(mp_entries(plan) - plan->cpus) * MP_BYTES;
}

ax_gpa ax_x86_mptable_addr(const struct ax_plan *plan)
{
    const ax_gpa room = AX_X86_MP_POINTER_ADDR - AX_X86_MP_TABLE_ADDR;

    if (mp_size(plan) <= room)
        return AX_X86_MP_TABLE_ADDR;
    /* Whole KiB, as the end of conventional memory is told in those. */
    return ax_align_down(AX_X86_MP_POINTER_ADDR - mp_size(plan), 1024);
}

static void mp_header(struct blob *b, const struct ax_plan *plan)
{
    blob_bytes(b, "PCMP", 4);
    blob_int(b, 0, 2); /* length */
    blob_int(b, 4, 1); /* revision 1.4 */
    blob_int(b, 0, 1); /* checksum */
    blob_bytes(b, "AXVM    ", 8);
    blob_bytes(b, "AXVMRUN     ", 12);
    blob_int(b, 0, 4); /* no OEM table */
    blob_int(b, 0, 2);
    blob_int(b, mp_entries(plan), 2);
    blob_int(b, AX_X86_LAPIC_ADDR, 4);
    blob_int(b, 0, 4); /* no extended entries */
}

static void mp_cpus(struct blob *b, const struct ax_plan *plan)
{
    for (unsigned i = 0; i < plan->cpus; i++) {
        blob_int(b, MP_CPU, 1);
        blob_int(b, plan->cpu_ids[i], 1);
        blob_int(b, LAPIC_VERSION, 1);
        blob_int(b, MP_CPU_ENABLED | (i ? 0 : MP_CPU_BOOT), 1);
        blob_int(b, CPU_SIGNATURE, 4);
        blob_int(b, CPU_FEATURES, 4);
        blob_int(b, 0, 8);
    }
}

static void mp_bus(struct blob *b, unsigned id, const char *type)
{
    blob_int(b, MP_BUS, 1);
    blob_int(b, id, 1);
    blob_bytes(b, type, 6);
}

/* Table 4-10: kind is MP_IRQ or MP_LINT; polarity and trigger as the bus's. */
static void mp_interrupt(struct blob *b, unsigned kind, unsigned type,
                         unsigned bus, unsigned source, unsigned apic,
                         unsigned pin)
{
    blob_int(b, kind, 1);
    blob_int(b, type, 1);
    blob_int(b, 0, 2);
    blob_int(b, bus, 1);
    blob_int(b, source, 1);
    blob_int(b, apic, 1);
    blob_int(b, pin, 1);
}

static void mp_interrupts(struct blob *b, unsigned ioapic)
{
    for (unsigned irq = 0; irq < ISA_IRQS; irq++)
        mp_interrupt(b, MP_IRQ, MP_INT, BUS_ISA, irq, ioapic, irq);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        for (unsigned pin = 0; pin < PCI_PINS; pin++)
            mp_interrupt(b, MP_IRQ, MP_INT, BUS_PCI, slot << 2 | pin, ioapic,
                         PCI_FIRST_GSI + ((slot + pin) & 3));
    }
    mp_interrupt(b, MP_LINT, MP_EXTINT, BUS_ISA, 0, MP_ALL_APICS, 0);
    mp_interrupt(b, MP_LINT, MP_NMI, BUS_ISA, 0, MP_ALL_APICS, 1);
}

/* 4.1: found by its signature in the last KiB of conventional memory. */
static void mp_pointer(uint8_t *p, ax_gpa table)
{
    memset(p, 0, AX_X86_MP_POINTER_SIZE);
    memcpy(p, "_MP_", 4);
    put_le(p + 4, table, 4);
    p[8] = 1; /* length in paragraphs */
    p[9] = 4; /* revision 1.4; features 0: a table, virtual wire mode */
    p[10] = blob_checksum(p, AX_X86_MP_POINTER_SIZE);
}

int ax_x86_mptable_build(const struct ax_plan *plan, uint8_t *buf, size_t size)
{
    const ax_gpa table = ax_x86_mptable_addr(plan);
    const size_t pointer = AX_X86_MP_POINTER_ADDR - table;
    const unsigned ioapic = ax_x86_ioapic_id(plan);
    struct blob b = {.buf = buf, .size = pointer};

    if (size != pointer + AX_X86_MP_POINTER_SIZE)
        return -ENOSPC;
    mp_header(&b, plan);
    mp_cpus(&b, plan);
    mp_bus(&b, BUS_PCI, "PCI   ");
    mp_bus(&b, BUS_ISA, "ISA   ");
    blob_int(&b, MP_IOAPIC, 1);
    blob_int(&b, ioapic, 1);
    blob_int(&b, IOAPIC_VERSION, 1);
    blob_int(&b, MP_IOAPIC_ENABLED, 1);
    blob_int(&b, AX_X86_IOAPIC_ADDR, 4);
    mp_interrupts(&b, ioapic);
    if (b.full)
        return -ENOSPC;
    put_le(buf + MP_HEADER_LENGTH, b.len, 2);
    buf[MP_HEADER_CHECKSUM] = blob_checksum(buf, b.len);
    mp_pointer(buf + pointer, table);
    return 0;
}
