/*
 * e820.c - the guest's memory map: the plan's regions minus what is reserved.
 */
#include "arch/x86_64/e820.h"

#include <string.h>

/* Neighbours of one type become one entry. */
static void e820_add(struct ax_e820 *map, ax_gpa addr, ax_gpa end,
                     uint32_t type)
{
    struct ax_e820_entry *last = &map->entries[map->count ? map->count - 1 : 0];

    if (addr >= end)
        return;
    if (map->count && last->type == type && last->addr + last->size == addr)
        last->size += end - addr;
    else if (map->count < AX_E820_MAX)
        map->entries[map->count++] = (struct ax_e820_entry){
            .addr = addr,
            .size = end - addr,
            .type = type,
        };
}

static ax_gpa e820_clip(ax_gpa addr, ax_gpa low, ax_gpa high)
{
    return addr < low ? low : addr > high ? high : addr;
}

void ax_e820_build(const struct ax_plan *plan,
                   const struct ax_e820_range *reserved, unsigned count,
                   struct ax_e820 *out)
{
    out->count = 0;
    for (unsigned i = 0; i < plan->region_count; i++) {
        const struct ax_plan_region *r = &plan->regions[i];
        const ax_gpa end = r->gpa + r->size;
        ax_gpa at = r->gpa;

        if (r->kind != AX_REGION_RAM) {
            e820_add(out, r->gpa, end, AX_E820_RESERVED);
            continue;
        }
        for (unsigned j = 0; j < count; j++) {
            const ax_gpa low = e820_clip(reserved[j].addr, at, end);
            const ax_gpa high =
                e820_clip(reserved[j].addr + reserved[j].size, at, end);

            e820_add(out, at, low, AX_E820_RAM);
            e820_add(out, low, high, AX_E820_RESERVED);
            at = high;
        }
        e820_add(out, at, end, AX_E820_RAM);
    }
}

uint64_t ax_e820_ram_from(const struct ax_e820 *map, ax_gpa addr)
{
    ax_gpa end = addr;

    for (unsigned i = 0; i < map->count; i++) {
        const struct ax_e820_entry *e = &map->entries[i];

        if (e->type == AX_E820_RAM && e->addr <= end && end - e->addr < e->size)
            end = e->addr + e->size;
    }
    return end - addr;
}
