/*
 * acpi.c - ACPI tables of the fixed board: what Linux needs to find its CPUs,
 * COM1, the clock, power-off and reset. No PCI, no power management, no method
 * to interpret: the DSDT is data.
 *
 * ACPI specification 6.0 (the FADT's revision), chapters 5 and 20.
 */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/blob.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/mptable.h"
#include "devices/device.h"
#include "devices/pci.h"
#include "vmm/config.h"

enum { HEADER_LENGTH = 4, HEADER_CHECKSUM = 9 };
enum { RSDP_SIZE = 36, RSDP_V1_SIZE = 20, RSDP_CHECKSUM = 8 };
enum { RSDP_RSDT = 16, RSDP_XSDT = 24, RSDP_EXTENDED_CHECKSUM = 32 };
enum { FADT_FACS = 36, FADT_DSDT = 40, FADT_X_DSDT = 140 };
enum { FACS_SIZE = 64, TABLES_ALIGN = 16 };

/* Starts a table; returns its offset, for acpi_end. */
static size_t acpi_begin(struct blob *b, const char *signature, unsigned rev)
{
    size_t at;

    blob_align(b, TABLES_ALIGN);
    at = b->len;
    blob_bytes(b, signature, 4);
    blob_int(b, 0, 4); /* length */
    blob_int(b, rev, 1);
    blob_int(b, 0, 1); /* checksum */
    blob_bytes(b, "AXVM  ", 6);
    blob_bytes(b, "AXVMRUN ", 8);
    blob_int(b, 1, 4); /* OEM revision */
    blob_bytes(b, "AXVM", 4);
    blob_int(b, 1, 4); /* creator revision */
    return at;
}

static void acpi_end(struct blob *b, size_t at)
{
    uint8_t *table = b->buf + at;

    if (b->full)
        return;
    put_le(table + HEADER_LENGTH, b->len - at, 4);
    table[HEADER_CHECKSUM] = 0;
    table[HEADER_CHECKSUM] = blob_checksum(table, b->len - at);
}

/* AML, chapter 20.2: opcodes, and packages that begin with their length. */
enum {
    AML_ZERO = 0x00,
    AML_ONE = 0x01,
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_DWORD = 0x0c,
    AML_STRING = 0x0d,
    AML_SCOPE = 0x10,
    AML_BUFFER = 0x11,
    AML_PACKAGE = 0x12,
    AML_EXT = 0x5b,
    AML_DEVICE = 0x82, /* after AML_EXT */
};

/* Resource descriptors, chapter 6.4.2: small items. */
enum {
    RES_IRQ_NO_FLAGS = 0x22, /* edge, active high */
    RES_IO = 0x47,
    RES_IO_DECODE16 = 0x01,
    RES_END = 0x79,
};

/* A package length of two bytes holds for every package we have. */
static size_t aml_open(struct blob *b)
{
    blob_int(b, 0, 2);
    return b->len - 2;
}

static void aml_close(struct blob *b, size_t at)
{
    const size_t len = b->len - at;

    if (!b->full)
        put_le(b->buf + at, 0x40 | (len & 0xf) | len >> 4 << 8, 2);
}

static void aml_name(struct blob *b, const char *name)
{
    blob_int(b, AML_NAME, 1);
    blob_bytes(b, name, 4);
}

static void aml_byte(struct blob *b, uint8_t val)
{
    if (val > 1)
        blob_int(b, AML_BYTE, 1);
    blob_int(b, val, 1); /* AML_ZERO and AML_ONE are their own opcodes */
}

/* EISA id "PNP0501": three letters of five bits, four hex digits. */
static uint32_t aml_eisa_id(const char *id)
{
    uint32_t val = (uint32_t)(id[0] & 0x1f) << 26 |
                   (uint32_t)(id[1] & 0x1f) << 21 |
                   (uint32_t)(id[2] & 0x1f) << 16;

    for (unsigned i = 0; i < 4; i++) {
        const char c = id[3 + i];

        val |= (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10) << (12 - 4 * i);
    }
    return __builtin_bswap32(val);
}

/* One device of the DSDT: an id, one range of ports, perhaps one interrupt. */
struct acpi_device {
    const char *name, *hid;
    bool eisa; /* hid is an EISA id, else a string */
    uint8_t uid;
    uint16_t port;
    uint8_t ports;
    unsigned irq;
};

static const struct acpi_device devices[] = {
    {"COM1", "PNP0501", true, 1, AX_X86_PORT_COM1, 8, AX_X86_IRQ_COM1},
    {"RTC_", "PNP0B00", true, 0, AX_X86_PORT_RTC, 2, AX_X86_IRQ_RTC},
    {"PEVT", "QEMU0001", false, 0, AX_X86_PORT_PVPANIC, 1, AX_IRQ_NONE},
};

static void aml_resources(struct blob *b, const struct acpi_device *dev)
{
    const uint8_t len = dev->irq == AX_IRQ_NONE ? 10 : 13;
    size_t at;

    aml_name(b, "_CRS");
    blob_int(b, AML_BUFFER, 1);
    at = aml_open(b);
    aml_byte(b, len);
    blob_int(b, RES_IO, 1);
    blob_int(b, RES_IO_DECODE16, 1);
    blob_int(b, dev->port, 2); /* lowest and highest base */
    blob_int(b, dev->port, 2);
    blob_int(b, 1, 1); /* alignment */
    blob_int(b, dev->ports, 1);
    if (dev->irq != AX_IRQ_NONE) {
        blob_int(b, RES_IRQ_NO_FLAGS, 1);
        blob_int(b, 1U << dev->irq, 2);
    }
    blob_int(b, RES_END, 1);
    blob_int(b, 0, 1); /* "checksum not kept" */
    aml_close(b, at);
}

static void aml_device(struct blob *b, const struct acpi_device *dev)
{
    size_t at;

    blob_int(b, AML_EXT, 1);
    blob_int(b, AML_DEVICE, 1);
    at = aml_open(b);
    blob_bytes(b, dev->name, 4);
    aml_name(b, "_HID");
    if (dev->eisa) {
        blob_int(b, AML_DWORD, 1);
        blob_int(b, aml_eisa_id(dev->hid), 4);
    } else {
        blob_int(b, AML_STRING, 1);
        blob_bytes(b, dev->hid, strlen(dev->hid) + 1);
    }
    aml_name(b, "_UID");
    aml_byte(b, dev->uid);
    aml_name(b, "_STA");
    aml_byte(b, 0xf); /* present, enabled, shown, working */
    aml_resources(b, dev);
    aml_close(b, at);
}

/* Resource descriptors of large items, 6.4.3. */
enum {
    RES_MEMORY32_FIXED = 0x86,
    RES_WRITABLE = 0x01,
    RES_EXTENDED_IRQ = 0x89,
    RES_IRQ_CONSUMER = 0x01,
    RES_IRQ_EDGE = 0x02, /* active high, not shared */
};

/* What Linux's virtio_mmio driver looks for: one page and one interrupt. */
static void aml_virtio(struct blob *b, const struct ax_plan_device *dev,
                       unsigned index)
{
    static const char hex[] = "0123456789ABCDEF";
    const char name[] = {'V', 'I', hex[index >> 4 & 15], hex[index & 15]};
    size_t at, crs;

    blob_int(b, AML_EXT, 1);
    blob_int(b, AML_DEVICE, 1);
    at = aml_open(b);
    blob_bytes(b, name, 4);
    aml_name(b, "_HID");
    blob_int(b, AML_STRING, 1);
    blob_bytes(b, "LNRO0005", 9);
    aml_name(b, "_UID");
    aml_byte(b, (uint8_t)index);
    aml_name(b, "_STA");
    aml_byte(b, 0xf);
    aml_name(b, "_CRS");
    blob_int(b, AML_BUFFER, 1);
    crs = aml_open(b);
    aml_byte(b, 23);
    blob_int(b, RES_MEMORY32_FIXED, 1);
    blob_int(b, 9, 2);
    blob_int(b, RES_WRITABLE, 1);
    blob_int(b, dev->base, 4);
    blob_int(b, AX_DEVICE_PAGE, 4);
    blob_int(b, RES_EXTENDED_IRQ, 1);
    blob_int(b, 6, 2);
    blob_int(b, RES_IRQ_CONSUMER | RES_IRQ_EDGE, 1);
    blob_int(b, 1, 1); /* interrupts */
    blob_int(b, dev->irq, 4);
    blob_int(b, RES_END, 1);
    blob_int(b, 0, 1);
    aml_close(b, crs);
    aml_close(b, at);
}

static void aml_virtios(struct blob *b, const struct ax_plan *plan)
{
    unsigned index = 0;

    if (plan->conf && plan->conf->virtio_cmdline)
        return; /* one driver each */
    for (unsigned i = 0; i < plan->device_count; i++) {
        const struct ax_plan_device *dev = &plan->devices[i];

        if (ax_x86_is_virtio(dev))
            aml_virtio(b, dev, index++);
    }
}

/* Address space descriptors, 6.4.3.5. */
enum {
    RES_WORD_SPACE = 0x88,
    RES_DWORD_SPACE = 0x87,
    SPACE_MEMORY = 0,
    SPACE_IO = 1,
    SPACE_BUS = 2,
    SPACE_FIXED = 0x0c,     /* both ends; a producer decodes it */
    SPACE_READ_WRITE = 1,   /* memory */
    SPACE_ENTIRE_RANGE = 3, /* ports */
};

static void aml_space(struct blob *b, unsigned width, unsigned type,
                      unsigned flags, uint32_t first, uint32_t last)
{
    blob_int(b, width == 2 ? RES_WORD_SPACE : RES_DWORD_SPACE, 1);
    blob_int(b, 3 + 5 * width, 2);
    blob_int(b, type, 1);
    blob_int(b, SPACE_FIXED, 1);
    blob_int(b, flags, 1);
    blob_int(b, 0, width); /* granularity */
    blob_int(b, first, width);
    blob_int(b, last, width);
    blob_int(b, 0, width); /* no translation */
    blob_int(b, last - first + 1, width);
}

/*
 * The host bridge: bus 0 alone, its two ports, and the windows in which the
 * functions are: their own and those of the devices behind them.
 */
static void aml_pci(struct blob *b, const struct ax_plan *plan)
{
    const uint32_t ports = (uint32_t)plan->pci_io,
                   pages = (uint32_t)plan->pci_mem;
    size_t at, crs;

    if (!plan->pci)
        return;
    blob_int(b, AML_EXT, 1);
    blob_int(b, AML_DEVICE, 1);
    at = aml_open(b);
    blob_bytes(b, "PCI0", 4);
    aml_name(b, "_HID");
    blob_int(b, AML_DWORD, 1);
    blob_int(b, aml_eisa_id("PNP0A03"), 4);
    aml_name(b, "_UID");
    aml_byte(b, 0);
    aml_name(b, "_STA");
    aml_byte(b, 0xf);
    aml_name(b, "_CRS");
    blob_int(b, AML_BUFFER, 1);
    crs = aml_open(b);
    aml_byte(b, 16 + 8 + 16 + 2 * 26 + 2);
    aml_space(b, 2, SPACE_BUS, 0, 0, 0);
    blob_int(b, RES_IO, 1);
    blob_int(b, RES_IO_DECODE16, 1);
    blob_int(b, AX_X86_PORT_PCI, 2);
    blob_int(b, AX_X86_PORT_PCI, 2);
    blob_int(b, 1, 1);
    blob_int(b, 8, 1);
    aml_space(b, 2, SPACE_IO, SPACE_ENTIRE_RANGE, ports,
              ports + AX_PCI_SLOTS * AX_PCI_PORTS - 1);
    aml_space(b, 4, SPACE_MEMORY, SPACE_READ_WRITE, pages,
              pages + AX_PCI_SLOTS * AX_PCI_PAGE - 1);
    aml_space(b, 4, SPACE_MEMORY, SPACE_READ_WRITE, AX_X86_VIRTIO_ADDR,
              AX_X86_VIRTIO_ADDR + AX_PCI_SLOTS * AX_DEVICE_PAGE - 1);
    blob_int(b, RES_END, 1);
    blob_int(b, 0, 1);
    aml_close(b, crs);
    aml_close(b, at);
}

static size_t acpi_dsdt(struct blob *b, const struct ax_plan *plan)
{
    const size_t table = acpi_begin(b, "DSDT", 2);
    size_t at;

    aml_name(b, "_S5_"); /* PM1a sleep type 0 powers off */
    blob_int(b, AML_PACKAGE, 1);
    at = aml_open(b);
    blob_int(b, 4, 1); /* elements */
    for (unsigned i = 0; i < 4; i++)
        blob_int(b, AML_ZERO, 1);
    aml_close(b, at);

    blob_int(b, AML_SCOPE, 1);
    at = aml_open(b);
    blob_bytes(b, "_SB_", 4);
    for (size_t i = 0; i < AX_ARRAY_LEN(devices); i++)
        aml_device(b, &devices[i]);
    aml_pci(b, plan);
    aml_virtios(b, plan);
    aml_close(b, at);
    acpi_end(b, table);
    return table;
}

static size_t acpi_facs(struct blob *b)
{
    size_t at;

    blob_align(b, FACS_SIZE);
    at = b->len;
    blob_bytes(b, "FACS", 4);
    blob_int(b, FACS_SIZE, 4);
    blob_take(b, 24);  /* no wakeup, no lock, no flags */
    blob_int(b, 2, 1); /* version */
    blob_take(b, FACS_SIZE - 33);
    return at;
}

enum {
    FADT_LEGACY_DEVICES = 0x0001, /* COM1. Not set: the 8042 bit, as probing */
    FADT_NO_VGA = 0x0004,         /* one would only cost time */
    FADT_WBINVD = 0x00000001,
    FADT_PROC_C1 = 0x00000004,
    FADT_NO_SLEEP_BUTTON = 0x00000020, /* power button: fixed hardware */
    FADT_NO_FIXED_RTC = 0x00000040,
    FADT_TIMER_32 = 0x00000100,
    FADT_RESET = 0x00000400,
};

/* A generic address: space, bits, offset, access size, then the address. */
#define FADT_PORT(bits, access, port)                                          \
    {1, 1}, {1, bits}, {1, 0}, {1, access},                                    \
    {                                                                          \
        8, port                                                                \
    }
#define FADT_NO_PORT                                                           \
    {4, 0},                                                                    \
    {                                                                          \
        8, 0                                                                   \
    }

/* The FADT behind its header, 5.2.9: width in bytes, value. */
static const struct {
    uint8_t width;
    uint32_t val;
} fadt[] = {
    {4, 0},                  /* FIRMWARE_CTRL: filled in */
    {4, 0},                  /* DSDT: filled in */
    {1, 0},                  /* reserved */
    {1, 0},                  /* profile: unspecified */
    {2, AX_X86_IRQ_SCI},     /* SCI_INT */
    {4, 0},                  /* SMI_CMD: ACPI mode is always on */
    {1, 0},                  /* ACPI_ENABLE */
    {1, 0},                  /* ACPI_DISABLE */
    {1, 0},                  /* S4BIOS_REQ */
    {1, 0},                  /* PSTATE_CNT */
    {4, AX_X86_PORT_PM},     /* PM1a_EVT_BLK */
    {4, 0},                  /* PM1b_EVT_BLK */
    {4, AX_X86_PORT_PM + 4}, /* PM1a_CNT_BLK */
    {4, 0},                  /* PM1b_CNT_BLK */
    {4, 0},                  /* PM2_CNT_BLK */
    {4, AX_X86_PORT_PM + 8}, /* PM_TMR_BLK */
    {4, 0},                  /* GPE0_BLK */
    {4, 0},                  /* GPE1_BLK */
    {1, 4},                  /* PM1_EVT_LEN */
    {1, 2},                  /* PM1_CNT_LEN */
    {1, 0},                  /* PM2_CNT_LEN */
    {1, 4},                  /* PM_TMR_LEN */
    {1, 0},                  /* GPE0_BLK_LEN */
    {1, 0},                  /* GPE1_BLK_LEN */
    {1, 0},                  /* GPE1_BASE */
    {1, 0},                  /* CST_CNT */
    {2, 0xfff},              /* P_LVL2_LAT: no C2 */
    {2, 0xfff},              /* P_LVL3_LAT: no C3 */
    {2, 0},                  /* FLUSH_SIZE */
    {2, 0},                  /* FLUSH_STRIDE */
    {1, 0},                  /* DUTY_OFFSET */
    {1, 0},                  /* DUTY_WIDTH */
    {1, 0},                  /* DAY_ALRM */
    {1, 0},                  /* MON_ALRM */
    {1, 0x32},               /* CENTURY */
    {2, FADT_LEGACY_DEVICES | FADT_NO_VGA}, /* IAPC_BOOT_ARCH */
    {1, 0},                                 /* reserved */
    {4, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_FIXED_RTC |
            FADT_TIMER_32 | FADT_RESET}, /* flags */
    FADT_PORT(8, 1, AX_X86_PORT_RESET),  /* RESET_REG */
    {1, 6},                              /* RESET_VALUE: hard reset */
    {2, 0},                              /* ARM_BOOT_ARCH */
    {1, 0},                              /* minor version */
    {8, 0}, /* X_FIRMWARE_CTRL: the 32-bit one counts */
    {8, 0}, /* X_DSDT: filled in */
    FADT_PORT(32, 2, AX_X86_PORT_PM),     /* X_PM1a_EVT_BLK */
    FADT_NO_PORT,                         /* X_PM1b_EVT_BLK */
    FADT_PORT(16, 2, AX_X86_PORT_PM + 4), /* X_PM1a_CNT_BLK */
    FADT_NO_PORT,                         /* X_PM1b_CNT_BLK */
    FADT_NO_PORT,                         /* X_PM2_CNT_BLK */
    FADT_PORT(32, 3, AX_X86_PORT_PM + 8), /* X_PM_TMR_BLK */
    FADT_NO_PORT,                         /* X_GPE0_BLK */
    FADT_NO_PORT,                         /* X_GPE1_BLK */
    FADT_NO_PORT,                         /* SLEEP_CONTROL_REG */
    FADT_NO_PORT,                         /* SLEEP_STATUS_REG */
    {8, 0},                               /* hypervisor vendor identity */
};

static size_t acpi_fadt(struct blob *b, uint64_t facs, uint64_t dsdt)
{
    const size_t at = acpi_begin(b, "FACP", 6);

    for (size_t i = 0; i < AX_ARRAY_LEN(fadt); i++)
        blob_int(b, fadt[i].val, fadt[i].width);
    if (!b->full) {
        put_le(b->buf + at + FADT_FACS, facs, 4);
        put_le(b->buf + at + FADT_DSDT, dsdt, 4);
        put_le(b->buf + at + FADT_X_DSDT, dsdt, 8);
    }
    acpi_end(b, at);
    return at;
}

enum { MADT_LAPIC, MADT_IOAPIC, MADT_OVERRIDE, MADT_LAPIC_NMI = 4 };
enum { MADT_PCAT_COMPAT = 1, MADT_ENABLED = 1, MADT_ALL_CPUS = 0xff };
enum { MADT_LEVEL_HIGH = 0x0d };

static size_t acpi_madt(struct blob *b, const struct ax_plan *plan)
{
    const size_t at = acpi_begin(b, "APIC", 4);

    blob_int(b, AX_X86_LAPIC_ADDR, 4);
    /* Only the engine's own irqchip comes with a pair of 8259s. */
    blob_int(b, plan->irqchip == AX_IRQCHIP_KERNEL ? MADT_PCAT_COMPAT : 0, 4);
    for (unsigned i = 0; i < plan->cpus; i++) {
        blob_int(b, MADT_LAPIC, 1);
        blob_int(b, 8, 1);
        blob_int(b, i, 1); /* processor UID */
        blob_int(b, plan->cpu_ids[i], 1);
        blob_int(b, MADT_ENABLED, 4);
    }
    blob_int(b, MADT_IOAPIC, 1);
    blob_int(b, 12, 1);
    blob_int(b, ax_x86_ioapic_id(plan), 1);
    blob_int(b, 0, 1);
    blob_int(b, AX_X86_IOAPIC_ADDR, 4);
    blob_int(b, 0, 4); /* first GSI */

    blob_int(b, MADT_OVERRIDE, 1);
    blob_int(b, 10, 1);
    blob_int(b, 0, 1); /* ISA */
    blob_int(b, AX_X86_IRQ_SCI, 1);
    blob_int(b, AX_X86_IRQ_SCI, 4);
    blob_int(b, MADT_LEVEL_HIGH, 2);

    blob_int(b, MADT_LAPIC_NMI, 1);
    blob_int(b, 6, 1);
    blob_int(b, MADT_ALL_CPUS, 1);
    blob_int(b, 0, 2); /* polarity and trigger as the bus has them */
    blob_int(b, 1, 1); /* LINT1 */
    acpi_end(b, at);
    return at;
}

/* RSDT and XSDT list the same tables, in 32 and 64 bits. */
static size_t acpi_list(struct blob *b, const char *signature, unsigned width,
                        const uint64_t tables[2])
{
    const size_t at = acpi_begin(b, signature, 1);

    blob_int(b, tables[0], width);
    blob_int(b, tables[1], width);
    acpi_end(b, at);
    return at;
}

static void acpi_rsdp(uint8_t *p, uint64_t rsdt, uint64_t xsdt)
{
    memcpy(p, "RSD PTR ", 8);
    memcpy(p + 9, "AXVM  ", 6);
    p[15] = 2; /* revision */
    put_le(p + RSDP_RSDT, rsdt, 4);
    put_le(p + 20, RSDP_SIZE, 4);
    put_le(p + RSDP_XSDT, xsdt, 8);
    p[RSDP_CHECKSUM] = blob_checksum(p, RSDP_V1_SIZE);
    p[RSDP_EXTENDED_CHECKSUM] = blob_checksum(p, RSDP_SIZE);
}

size_t ax_x86_acpi_build(const struct ax_plan *plan, ax_gpa gpa, uint8_t *buf,
                         size_t size)
{
    struct blob b = {.buf = buf, .size = size};
    uint64_t tables[2], rsdt, xsdt, facs, dsdt;

    blob_take(&b, RSDP_SIZE);
    facs = gpa + acpi_facs(&b);
    dsdt = gpa + acpi_dsdt(&b, plan);
    tables[0] = gpa + acpi_fadt(&b, facs, dsdt);
    tables[1] = gpa + acpi_madt(&b, plan);
    rsdt = gpa + acpi_list(&b, "RSDT", 4, tables);
    xsdt = gpa + acpi_list(&b, "XSDT", 8, tables);
    if (b.full)
        return 0;
    acpi_rsdp(buf, rsdt, xsdt);
    return b.len;
}
