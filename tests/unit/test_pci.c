/*
 * test_pci.c - configuration space, how a host bridge leads to it, and the
 * windows. PCI Local Bus 3.0, sections 3.2.2.3.2 and 6.
 */
#include "devices/pci.h"
#include "devices/registry.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

enum { MEM = 0x80000000, IO = 0x2000, SLOT = 3, BAR_SIZE = 4096 };
enum { ADDRESS = 0, DATA = 4 };

#define ENABLE 0x80000000U

static struct recorder rec;
static struct ax_pci pci;
static struct ax_device *host, *mem, *io, *owner;
static struct ax_pci_function f;
static struct {
    unsigned reads, writes, outs, configs;
    uint64_t off, val;
} seen;

static uint64_t f_read(struct ax_pci_function *of, uint64_t off, unsigned width)
{
    seen.reads++;
    return off;
}

static void f_write(struct ax_pci_function *of, uint64_t off, unsigned width,
                    uint64_t val)
{
    seen.writes++;
    seen.off = off;
    seen.val = val;
}

static void f_out(struct ax_pci_function *of, uint64_t off, unsigned width,
                  uint64_t val)
{
    seen.outs++;
    seen.off = off;
    seen.val = val;
}

static void f_config(struct ax_pci_function *of, unsigned off, unsigned width)
{
    seen.configs++;
}

static const struct ax_pci_ops f_ops = {
    .config_written = f_config,
    .read = f_read,
    .write = f_write,
    .out = f_out,
};

static void setup(void)
{
    const struct ax_pci_identity id = {
        .vendor = 0x1234,
        .device = 0x5678,
        .subsystem_vendor = 0x9abc,
        .subsystem = 0xdef0,
        .class_code = 0x020304,
        .revision = 7,
    };

    recorder_init(&rec);
    pci = (struct ax_pci){.mem = MEM, .io = IO};
    rec.env.pci = &pci;
    host = recorder_device(&rec, &ax_pci_host);
    mem = recorder_device(&rec, &ax_pci_mem);
    io = recorder_device(&rec, &ax_pci_io);
    owner = recorder_device(&rec, &ax_reset_cf9); /* any, for its lock */
    ax_pci_function_init(&f, owner, &f_ops, &id);
    ax_pci_set_bar(&f, 0, AX_SPACE_MMIO, MEM + SLOT * AX_PCI_PAGE, BAR_SIZE);
    ax_pci_set_bar(&f, 1, AX_SPACE_PORT, IO + SLOT * AX_PCI_PORTS,
                   AX_PCI_PORTS);
    cr_assert_eq(ax_pci_attach(&pci, SLOT, &f), 0);
    memset(&seen, 0, sizeof(seen));
}

static void teardown(void)
{
    ax_device_destroy(host);
    ax_device_destroy(mem);
    ax_device_destroy(io);
    ax_device_destroy(owner);
}

TestSuite(pci, .init = setup, .fini = teardown);

static void point(unsigned bus, unsigned slot, unsigned function, unsigned off)
{
    recorder_write(host, ADDRESS, 4,
                   ENABLE | bus << 16 | slot << 11 | function << 8 |
                       (off & ~3U));
}

static uint32_t get(unsigned slot, unsigned off, unsigned width)
{
    const uint64_t ones = width == 4 ? UINT32_MAX : (1U << 8 * width) - 1;

    point(0, slot, 0, off);
    return (uint32_t)(recorder_read(host, DATA + (off & 3), width) & ones);
}

static void set(unsigned slot, unsigned off, unsigned width, uint32_t val)
{
    point(0, slot, 0, off);
    recorder_write(host, DATA + (off & 3), width, val);
}

Test(pci, a_function_says_what_it_is)
{
    cr_expect_eq(get(SLOT, PCI_VENDOR_ID, 4), 0x56781234);
    cr_expect_eq(get(SLOT, PCI_DEVICE_ID, 2), 0x5678);
    cr_expect_eq(get(SLOT, PCI_CLASS_REVISION, 4), 0x02030407);
    cr_expect_eq(get(SLOT, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
    cr_expect_eq(get(SLOT, PCI_HEADER_TYPE, 1), PCI_HEADER_TYPE_NORMAL);
    cr_expect_eq(get(SLOT, PCI_INTERRUPT_PIN, 1), 0, "it has messages alone");
    cr_expect_eq(get(SLOT, PCI_COMMAND, 2),
                 PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

Test(pci, slot_0_is_a_host_bridge)
{
    cr_expect_eq(get(0, PCI_CLASS_DEVICE, 2), 0x0600);
    cr_expect_eq(get(0, PCI_HEADER_TYPE, 1), PCI_HEADER_TYPE_NORMAL);
    cr_expect_neq(get(0, PCI_VENDOR_ID, 2), 0xffff);
    set(0, PCI_VENDOR_ID, 4, 0);
    cr_expect_neq(get(0, PCI_VENDOR_ID, 2), 0);
}

Test(pci, what_is_not_there_reads_as_ones)
{
    for (unsigned slot = 1; slot < AX_PCI_SLOTS; slot++)
        cr_expect_eq(get(slot, PCI_VENDOR_ID, 2) == 0xffff, slot != SLOT);
    for (unsigned function = 1; function < 8; function++) {
        point(0, SLOT, function, 0);
        cr_expect_eq((uint32_t)recorder_read(host, DATA, 4), UINT32_MAX);
        recorder_write(host, DATA, 4, 0);
    }
    point(1, SLOT, 0, 0);
    cr_expect_eq((uint32_t)recorder_read(host, DATA, 4), UINT32_MAX);
    point(255, 0, 0, 0);
    cr_expect_eq((uint32_t)recorder_read(host, DATA, 4), UINT32_MAX);
    cr_expect_eq(seen.configs, 0);
}

Test(pci, the_address_register_is_a_dword)
{
    recorder_write(host, ADDRESS, 4, 0xffffffff);
    cr_expect_eq(recorder_read(host, ADDRESS, 4), 0x80fffffc);
    recorder_write(host, ADDRESS, 1, 0);
    recorder_write(host, ADDRESS, 2, 0);
    recorder_write(host, ADDRESS + 2, 2, 0);
    cr_expect_eq(recorder_read(host, ADDRESS, 4), 0x80fffffc);
    point(0, SLOT, 0, 0);
    recorder_write(host, ADDRESS, 4, recorder_read(host, ADDRESS, 4) & ~ENABLE);
    cr_expect_eq((uint32_t)recorder_read(host, DATA, 4), UINT32_MAX);
    recorder_write(host, DATA, 4, 0);
    cr_expect_eq(seen.configs, 0);
    ax_device_reset(host);
    cr_expect_eq(recorder_read(host, ADDRESS, 4), 0);
}

/* Port 0xcf9 lies within the address register, by bytes. */
Test(pci, the_bridge_has_the_reset_control)
{
    point(0, SLOT, 0, 0x10);
    recorder_write(host, 1, 1, 0x02);
    cr_expect_eq(rec.powers, 0);
    cr_expect_eq(recorder_read(host, 1, 1), 0x02);
    recorder_write(host, 1, 1, 0x06);
    cr_expect_eq(rec.powers, 1);
    cr_expect_eq(rec.power, AX_POWER_RESET);
    cr_expect_eq(recorder_read(host, ADDRESS, 4), ENABLE | SLOT << 11 | 0x10);
}

Test(pci, bars_can_be_sized)
{
    const uint32_t at = MEM + SLOT * AX_PCI_PAGE;

    cr_expect_eq(get(SLOT, PCI_BASE_ADDRESS_0, 4), at);
    set(SLOT, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
    cr_expect_eq(get(SLOT, PCI_BASE_ADDRESS_0, 4), ~(BAR_SIZE - 1U));
    set(SLOT, PCI_BASE_ADDRESS_0, 4, at);
    cr_expect_eq(get(SLOT, PCI_BASE_ADDRESS_0, 4), at);
    set(SLOT, PCI_BASE_ADDRESS_1, 4, 0xffffffff);
    cr_expect_eq(get(SLOT, PCI_BASE_ADDRESS_1, 4),
                 ~(AX_PCI_PORTS - 1U) | PCI_BASE_ADDRESS_SPACE_IO);
    set(SLOT, PCI_BASE_ADDRESS_2, 4, 0xffffffff);
    cr_expect_eq(get(SLOT, PCI_BASE_ADDRESS_2, 4), 0, "there is none");
    set(SLOT, PCI_ROM_ADDRESS, 4, 0xffffffff);
    cr_expect_eq(get(SLOT, PCI_ROM_ADDRESS, 4), 0, "there is none");
}

Test(pci, most_of_a_header_cannot_be_written)
{
    uint8_t before[AX_PCI_CONFIG];

    memcpy(before, f.config, sizeof(before));
    for (unsigned off = 0; off < AX_PCI_CONFIG; off += 4)
        set(SLOT, off, 4, 0);
    cr_expect_eq(get(SLOT, PCI_VENDOR_ID, 4), 0x56781234);
    cr_expect_eq(get(SLOT, PCI_CLASS_REVISION, 4), 0x02030407);
    cr_expect_eq(get(SLOT, PCI_COMMAND, 2), 0);
    cr_expect_eq(memcmp(before + 0x2c, f.config + 0x2c, 0x34 - 0x2c), 0);
    cr_expect_eq(seen.configs, AX_PCI_CONFIG / 4);
}

Test(pci, capabilities_are_a_list)
{
    const unsigned first = ax_pci_add_capability(&f, 0x11, 6);
    const unsigned second = ax_pci_add_capability(&f, 0x09, 16);

    cr_expect_eq(get(SLOT, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST,
                 PCI_STATUS_CAP_LIST);
    cr_expect_eq(get(SLOT, PCI_CAPABILITY_LIST, 1), first);
    cr_expect_eq(first % 4, 0);
    cr_expect_eq(get(SLOT, first, 1), 0x11);
    cr_expect_eq(get(SLOT, first + 1, 1), second);
    cr_expect_geq(second, first + 6);
    cr_expect_eq(second % 4, 0);
    cr_expect_eq(get(SLOT, second, 1), 0x09);
    cr_expect_eq(get(SLOT, second + 1, 1), 0);
}

Test(pci, windows_lead_to_their_slot)
{
    cr_expect_eq(recorder_read(mem, SLOT * AX_PCI_PAGE + 0x18, 4), 0x18);
    recorder_write(mem, SLOT * AX_PCI_PAGE + 0xff8, 8, 42);
    cr_expect_eq(seen.writes, 1);
    cr_expect_eq(seen.off, 0xff8);
    cr_expect_eq(seen.val, 42);
    recorder_write(io, SLOT * AX_PCI_PORTS, 2, 43);
    cr_expect_eq(seen.outs, 1);
    cr_expect_eq(seen.off, 0);
    cr_expect_eq(seen.val, 43);
    cr_expect_eq(recorder_read(io, SLOT * AX_PCI_PORTS, 2), 0);
}

Test(pci, windows_have_nothing_beside_their_slots)
{
    for (unsigned slot = 0; slot < AX_PCI_SLOTS; slot++) {
        if (slot == SLOT)
            continue;
        cr_expect_eq((uint32_t)recorder_read(mem, slot * AX_PCI_PAGE, 4),
                     UINT32_MAX);
        recorder_write(mem, slot * AX_PCI_PAGE, 4, 1);
        recorder_write(io, slot * AX_PCI_PORTS, 4, 1);
    }
    /* Half in this slot, half in the next. */
    recorder_write(mem, (SLOT + 1) * AX_PCI_PAGE - 2, 4, 1);
    recorder_write(io, (SLOT + 1) * AX_PCI_PORTS - 1, 2, 1);
    recorder_read(mem, (SLOT + 1) * AX_PCI_PAGE - 2, 4);
    cr_expect_eq(seen.writes + seen.outs + seen.reads, 0);
}

Test(pci, a_slot_is_taken_once)
{
    struct ax_pci_function g = f;

    cr_expect_eq(ax_pci_attach(&pci, SLOT, &g), -EEXIST);
    cr_expect_eq(ax_pci_attach(&pci, 0, &g), -EINVAL);
    cr_expect_eq(ax_pci_attach(&pci, AX_PCI_SLOTS, &g), -EINVAL);
    ax_pci_detach(&pci, SLOT);
    cr_expect_eq(get(SLOT, PCI_VENDOR_ID, 2), 0xffff);
    cr_expect_eq(ax_pci_attach(&pci, SLOT, &g), 0);
}
