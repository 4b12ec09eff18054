/*
 * main.c - the memory map against what was configured: mem=SIZE on the command
 * line. Touches the first and the last bytes of each range of RAM.
 */
#include "guest.h"

enum { LOW_RESERVED_MAX = 512 << 10, PAGE = 4096 };
#define FIRST_4G (1ULL << 32)

static bool sorted(void)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < boot.range_count; i++) {
        if (boot.ranges[i].base < end || !boot.ranges[i].size)
            return false;
        end = boot.ranges[i].base + boot.ranges[i].size;
    }
    return true;
}

static bool is_ram(uint64_t gpa)
{
    for (unsigned i = 0; i < boot.range_count; i++)
        if (boot.ranges[i].type == RANGE_RAM && gpa >= boot.ranges[i].base &&
            gpa - boot.ranges[i].base < boot.ranges[i].size)
            return true;
    return false;
}

/* Does memory at gpa keep what is written? Leaves it as it was. */
static bool keeps(uint64_t gpa)
{
    uint64_t at = window_map(gpa), was = read64(at);
    bool kept;

    write64(at, ~was);
    kept = read64(at) == ~was;
    write64(at, was);
    return kept && read64(at) == was;
}

static void check_ranges(void)
{
    for (unsigned i = 0; i < boot.range_count; i++) {
        const struct guest_range *r = &boot.ranges[i];

        print("%010lx-%010lx type %u\n", r->base, r->base + r->size - 1,
              r->type);
        if (r->type == RANGE_RAM)
            report(keeps(r->base) && keeps(r->base + r->size - 8),
                   "RAM at %lx: first and last bytes", r->base);
    }
}

static void check_size(uint64_t wanted)
{
    uint64_t ram = 0, high = 0;

    for (unsigned i = 0; i < boot.range_count; i++)
        if (boot.ranges[i].type == RANGE_RAM) {
            ram += boot.ranges[i].size;
            if (boot.ranges[i].base + boot.ranges[i].size > high)
                high = boot.ranges[i].base + boot.ranges[i].size;
        }
    report(ram <= wanted && ram + LOW_RESERVED_MAX >= wanted,
           "%lu KiB of RAM of %lu configured", ram >> 10, wanted >> 10);
    if (wanted >= FIRST_4G)
        report(high > wanted, "what the hole below 4 GiB hides lies above it");
    else
        report(read64(window_map(high)) == ~0ULL, "behind it is nothing");
}

void guest_main(void)
{
    report(boot.range_count > 0, "there is a memory map");
    report(sorted(), "in order, nothing overlaps");
    report(is_ram(0x100000) && is_ram((uint64_t)guest_main),
           "the guest lies in RAM");
    report(!is_ram(0xfee00000) && !is_ram(0xfec00000) && !is_ram(0xa0000),
           "APICs and the VGA hole are not RAM");
    check_ranges();
    check_size(cmdline_number("mem", 0));
}
