/*
 * main.c - a rude guest: reads and writes every port with every width but those
 * that end the VM, and walks the physical address space; survives.
 * what=ports or what=memory: that part alone; passes=N over the ports, each
 * with other values (1).
 */
#include "guest.h"
#include "irq.h"
#include "trap.h"

/* A write here, by an access of up to 4 bytes, ends the VM or the output. */
static const struct {
    uint16_t first, last;
} fatal[] = {
    {0x64, 0x64},   /* i8042: pulse reset */
    {0x92, 0x92},   /* fast A20: reset */
    {0xe9, 0xe9},   /* debug console: would print */
    {0xf4, 0xf7},   /* debug exit */
    {COM1, COM1},   /* would print */
    {0x505, 0x505}, /* pvpanic */
    {0x600, 0x607}, /* ACPI power management */
    {0xcf9, 0xcf9}, /* reset control */
};

enum { PORTS = 0x10000, STRIDE = 2 << 20 };
#define TOP_OF_4G (1ULL << 32)

static bool harmless(uint32_t port, unsigned width)
{
    for (unsigned i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        if (port <= fatal[i].last && port + width > fatal[i].first)
            return false;
    return true;
}

static uint32_t scan_ports(uint32_t val)
{
    for (uint32_t port = 0; port < PORTS; port++) {
        bool safe = harmless(port, 4);

        (void)in8(port);
        (void)in16(port);
        (void)in32(port);
        if (safe || harmless(port, 1))
            out8(port, val);
        if (safe || harmless(port, 2))
            out16(port, val);
        if (safe)
            out32(port, val);
        val = val * 1664525 + 1013904223;
    }
    return val;
}

/* Every width, every way of lying across an edge, at the end of a page. */
static void poke(uint64_t at)
{
    for (unsigned off = 0; off < 8; off += 3) {
        (void)read8(at + off);
        write16(at + off, 0x5aa5);
        (void)read32(at + 4096 - off);
        write64(at + 4096 - off, ~0ULL);
    }
    write8(at + 1, 0);
    write32(at, 0);
}

static bool is_ram(uint64_t gpa)
{
    for (unsigned i = 0; i < boot.range_count; i++)
        if (gpa + STRIDE > boot.ranges[i].base &&
            gpa < boot.ranges[i].base + boot.ranges[i].size)
            return true;
    return false;
}

/* The local APIC is this guest's own: only the space around it. */
static void walk_memory(void)
{
    for (uint64_t at = 0; at < TOP_OF_4G; at += STRIDE)
        if (!is_ram(at) && at >> 21 != LAPIC_BASE >> 21)
            poke(window_map(at));
    for (uint64_t at = 0xfe000000; at < TOP_OF_4G - 8192; at += 16 * 4096)
        if (at >> 21 != LAPIC_BASE >> 21)
            poke(window_map(at));
    poke(IOAPIC_BASE);
    poke(0xa0000);
    for (unsigned bit = 33; bit < 39; bit++)
        if (!is_ram(1ULL << bit))
            poke(window_map(1ULL << bit));
}

void guest_main(void)
{
    bool all = !cmdline_find("what");
    uint32_t passes = cmdline_number("passes", 1), val = 1;

    pic_silence();
    if (all || cmdline_is("what", "ports")) {
        print("scanning ports\n");
        while (passes--)
            val = scan_ports(val);
        console_init();
        report(true, "alive after every port");
    }
    if (all || cmdline_is("what", "memory")) {
        print("walking memory\n");
        walk_memory();
        report(true, "alive after every hole");
    }
}
