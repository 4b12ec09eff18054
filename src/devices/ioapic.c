/*
 * ioapic.c - an I/O APIC of 24 pins (82093AA data sheet) for engines whose
 * local APICs want theirs outside.
 *
 * Interrupts leave as messages: Intel SDM volume 3A, 11.11. Polarity is stored
 * and ignored, as wires carry "asserted", not volts. An edge on a masked pin is
 * lost, as the data sheet has it; a level waits. Delivery is instantaneous.
 */
#include "devices/device.h"
#include "devices/registry.h"

enum { SELECT = 0x00, WINDOW = 0x10 }; /* register space */
enum { REG_ID, REG_VERSION, REG_ARBITRATION, REG_REDIRECTION = 0x10 };
enum { PINS = 24, VERSION = 0x11, ID_SHIFT = 24, ID_MASK = 0x0f, ID_RESET = 1 };

/* The low half of a redirection entry; the destination is the top byte. */
enum {
    RTE_VECTOR = 0x000ff,
    RTE_MODE = 0x00700,
    RTE_MODE_LOWEST = 0x00100,
    RTE_LOGICAL = 0x00800,
    RTE_REMOTE_IRR = 0x04000,
    RTE_LEVEL = 0x08000,
    RTE_MASKED = 0x10000,
    RTE_WRITABLE = 0x1afff, /* not delivery status, not remote IRR */
    RTE_DEST_SHIFT = 56,
};

enum {
    MSI_ADDRESS = 0xfee00000,
    MSI_DEST_SHIFT = 12,
    MSI_REDIRECTION_HINT = 0x08,
    MSI_LOGICAL = 0x04,
    MSI_ASSERT = 0x4000, /* the data's other fields lie as in the entry */
};

struct ioapic {
    struct ax_device dev;
    uint8_t select, id;
    uint32_t lines; /* the pins' levels, a bit each */
    uint64_t entry[PINS];
};

static uint64_t entry_address(uint64_t entry)
{
    return (uint64_t)MSI_ADDRESS | (entry >> RTE_DEST_SHIFT) << MSI_DEST_SHIFT |
           (entry & RTE_LOGICAL ? MSI_LOGICAL : 0) |
           ((entry & RTE_MODE) == RTE_MODE_LOWEST ? MSI_REDIRECTION_HINT : 0);
}

static uint32_t entry_data(uint64_t entry)
{
    return (entry & (RTE_VECTOR | RTE_MODE | RTE_LEVEL)) |
           (entry & RTE_LEVEL ? MSI_ASSERT : 0);
}

static void ioapic_send(const struct ioapic *io, unsigned pin)
{
    const struct ax_apic_bus *apic = &io->dev.env.apic;

    if (apic->send)
        apic->send(apic->ctx, entry_address(io->entry[pin]),
                   entry_data(io->entry[pin]));
}

/* Sends a level that stands and has not been taken by a CPU yet. */
static void ioapic_service(struct ioapic *io, unsigned pin)
{
    uint64_t *entry = &io->entry[pin];

    if (!(io->lines & 1U << pin) || !(*entry & RTE_LEVEL) ||
        (*entry & (RTE_MASKED | RTE_REMOTE_IRR)))
        return;
    *entry |= RTE_REMOTE_IRR;
    ioapic_send(io, pin);
}

static void ioapic_set_entry(struct ioapic *io, unsigned pin, uint64_t entry)
{
    const struct ax_apic_bus *apic = &io->dev.env.apic;
    uint64_t changed = (entry ^ io->entry[pin]) & ~(uint64_t)RTE_REMOTE_IRR;

    io->entry[pin] = entry;
    if (changed && apic->route)
        apic->route(apic->ctx, pin, entry_address(entry), entry_data(entry),
                    entry & RTE_MASKED);
    ioapic_service(io, pin);
}

static void ioapic_write_entry(struct ioapic *io, unsigned reg, uint32_t val)
{
    unsigned pin = (reg - REG_REDIRECTION) / 2;
    uint64_t entry = io->entry[pin];

    if (reg % 2) /* the high half holds the destination alone */
        entry = (uint32_t)entry | (uint64_t)(val >> 24) << RTE_DEST_SHIFT;
    else
        entry = (entry & ~(uint64_t)RTE_WRITABLE) | (val & RTE_WRITABLE);
    /* How software without an EOI register ends a stuck level: edge, level. */
    if (!(entry & RTE_LEVEL))
        entry &= ~(uint64_t)RTE_REMOTE_IRR;
    ioapic_set_entry(io, pin, entry);
}

static bool ioapic_is_entry(unsigned reg)
{
    return reg >= REG_REDIRECTION && reg < REG_REDIRECTION + 2 * PINS;
}

static uint64_t ioapic_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct ioapic *io = ax_container_of(dev, struct ioapic, dev);
    unsigned reg = io->select;

    if (off == SELECT)
        return reg;
    if (off != WINDOW)
        return 0;
    if (reg == REG_ID || reg == REG_ARBITRATION)
        return (uint64_t)io->id << ID_SHIFT;
    if (reg == REG_VERSION)
        return VERSION | (PINS - 1) << 16;
    if (!ioapic_is_entry(reg))
        return 0;
    return io->entry[(reg - REG_REDIRECTION) / 2] >> reg % 2 * 32;
}

static void ioapic_write(struct ax_device *dev, uint64_t off, unsigned width,
                         uint64_t val)
{
    struct ioapic *io = ax_container_of(dev, struct ioapic, dev);

    if (off == SELECT)
        io->select = (uint8_t)val;
    else if (off != WINDOW)
        return;
    else if (io->select == REG_ID)
        io->id = val >> ID_SHIFT & ID_MASK;
    else if (ioapic_is_entry(io->select))
        ioapic_write_entry(io, io->select, (uint32_t)val);
}

static void ioapic_line(struct ax_device *dev, unsigned line, bool level)
{
    struct ioapic *io = ax_container_of(dev, struct ioapic, dev);
    uint32_t bit;
    bool rises;

    if (line >= PINS)
        return;
    bit = 1U << line;
    rises = level && !(io->lines & bit);
    io->lines = level ? io->lines | bit : io->lines & ~bit;
    if (io->entry[line] & RTE_LEVEL)
        ioapic_service(io, line);
    else if (rises && !(io->entry[line] & RTE_MASKED))
        ioapic_send(io, line);
}

static void ioapic_eoi(struct ax_device *dev, unsigned vector)
{
    struct ioapic *io = ax_container_of(dev, struct ioapic, dev);

    for (unsigned pin = 0; pin < PINS; pin++) {
        if ((io->entry[pin] & RTE_VECTOR) != vector ||
            !(io->entry[pin] & RTE_REMOTE_IRR))
            continue;
        io->entry[pin] &= ~(uint64_t)RTE_REMOTE_IRR;
        ioapic_service(io, pin);
    }
}

/*
 * The engine starts without routes, so that reset has none to tell it of. The
 * levels belong to the devices that drive them and outlast a reset.
 */
static int ioapic_init(struct ax_device *dev)
{
    struct ioapic *io = ax_container_of(dev, struct ioapic, dev);

    for (unsigned pin = 0; pin < PINS; pin++)
        io->entry[pin] = RTE_MASKED;
    return 0;
}

static void ioapic_reset(struct ax_device *dev)
{
    struct ioapic *io = ax_container_of(dev, struct ioapic, dev);

    io->select = 0;
    io->id = ID_RESET;
    for (unsigned pin = 0; pin < PINS; pin++)
        ioapic_set_entry(io, pin, RTE_MASKED);
}

const struct ax_device_ops ax_ioapic = {
    .type = "ioapic",
    .state = sizeof(struct ioapic),
    .size = 0x1000,
    .widths = AX_WIDTH_4,
    .read = ioapic_read,
    .write = ioapic_write,
    .init = ioapic_init,
    .reset = ioapic_reset,
    .line = ioapic_line,
    .eoi = ioapic_eoi,
};
