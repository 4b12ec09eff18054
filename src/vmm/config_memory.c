/*
 * config_memory.c - memory_regions: limits, merging, overlaps, rounding.
 *
 * AxVisor rounds every region to 2 MiB; what overlaps only after that is cut
 * back, what overlaps as written is refused with the whole map. Called once by
 * config_check.c.
 */
#include "vmm/config_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE  AX_KIB(4)
#define ROUND AX_MIB(2)

enum {
    MEMORY_DEFAULT_MIB = 256,
    FLAGS_RWX = AX_PROT_READ | AX_PROT_WRITE | AX_PROT_EXEC,
    FLAGS_DEVICE = 0x30, /* AxVisor's DEVICE and UNCACHED */
};

static uint64_t region_end(const struct ax_config_region *region)
{
    return region->gpa + region->size;
}

static bool overlaps(const struct ax_config_region *a,
                     const struct ax_config_region *b)
{
    return ax_range_overlaps(a->gpa, a->size, b->gpa, b->size);
}

/* Checks one region and widens it to whole pages. */
static void check_region(struct conf_load *load,
                         struct ax_config_region *region)
{
    uint64_t base = ax_align_down(region->gpa, PAGE), end;

    if (!region->size) {
        ax_config_say(load, AX_SEVERITY_ERROR, region->pos, NULL,
                      "memory region has zero length");
        return;
    }
    if (region->gpa >= CONF_GPA_END ||
        region->size > CONF_GPA_END - region->gpa) {
        ax_config_say(load, AX_SEVERITY_ERROR, region->pos,
                      &(struct conf_hint){.expected = "guest addresses below "
                                                      "0x10000000000000"},
                      "memory region reaches beyond 52 address bits");
        return;
    }
    if ((region->flags & FLAGS_RWX) != FLAGS_RWX ||
        region->flags & FLAGS_DEVICE)
        ax_config_say(load, AX_SEVERITY_WARNING, region->pos, NULL,
                      "memory region flags %#x: mapped as ordinary memory to "
                      "read, write and execute, as AxVisor does",
                      region->flags);
    end = ax_align_up(region_end(region), PAGE);
    region->gpa = base;
    region->size = end - base;
}

/* ---- merging ---- */

/*
 * Type 1 has no address of its own in AxVisor: frames are taken anywhere and
 * the guest sees them where they are. So a file may put it over a region of
 * type 0 without meaning an overlap; here both become one region.
 */
static bool may_merge(const struct ax_config_region *a,
                      const struct ax_config_region *b)
{
    return a->map_type != b->map_type && a->map_type != AX_MAP_RESERVED &&
           b->map_type != AX_MAP_RESERVED && overlaps(a, b);
}

static void merge(struct ax_config *conf, unsigned into, unsigned from)
{
    struct ax_config_region *a = &conf->regions[into];
    struct ax_config_region *b = &conf->regions[from];
    uint64_t base = a->gpa < b->gpa ? a->gpa : b->gpa;
    uint64_t end =
        region_end(a) > region_end(b) ? region_end(a) : region_end(b);

    a->gpa = base;
    a->size = end - base;
    memmove(b, b + 1, (conf->region_count - from - 1) * sizeof(*b));
    conf->region_count--;
}

static bool merge_one(struct conf_load *load)
{
    struct ax_config *conf = load->conf;

    for (unsigned i = 0; i < conf->region_count; i++) {
        for (unsigned j = i + 1; j < conf->region_count; j++) {
            if (!may_merge(&conf->regions[i], &conf->regions[j]))
                continue;
            ax_config_say(load, AX_SEVERITY_NOTE, conf->regions[j].pos, NULL,
                          "memory region overlaps an earlier one of another "
                          "map_type; they become one region");
            merge(conf, i, j);
            return true;
        }
    }
    return false;
}

/* ---- overlaps ---- */

static int by_gpa(const void *a, const void *b)
{
    const struct ax_config_region *const *l = a, *const *r = b;

    if ((*l)->gpa != (*r)->gpa)
        return (*l)->gpa < (*r)->gpa ? -1 : 1;
    return ((*l)->pos.line > (*r)->pos.line) -
           ((*l)->pos.line < (*r)->pos.line);
}

static void print_size(FILE *to, uint64_t size)
{
    static const char units[] = "KMGT";
    unsigned unit = 0;

    size >>= 10; /* whole pages, so nothing is lost */
    for (; unit < 3 && !(size & 1023); unit++)
        size >>= 10;
    fprintf(to, "%8llu%c", (unsigned long long)size, units[unit]);
}

static void print_map(FILE *to, const struct ax_config *conf)
{
    const struct ax_config_region **sorted =
        calloc(conf->region_count, sizeof(const struct ax_config_region *));

    if (!sorted)
        return;
    for (unsigned i = 0; i < conf->region_count; i++)
        sorted[i] = &conf->regions[i];
    qsort(sorted, conf->region_count, sizeof(*sorted), by_gpa);
    fprintf(to, "  memory map, with ! where regions overlap:\n");
    for (unsigned i = 0; i < conf->region_count; i++) {
        const struct ax_config_region *r = sorted[i];
        bool hit = false;

        for (unsigned j = 0; j < conf->region_count; j++)
            hit |= j != i && overlaps(r, sorted[j]);
        fprintf(to, "  %c %#18llx - %#18llx", hit ? '!' : ' ',
                (unsigned long long)r->gpa,
                (unsigned long long)(region_end(r) - 1));
        print_size(to, r->size);
        fprintf(to, "  type %u, %s %u\n", (unsigned)r->map_type,
                r->pos.line & CONF_SET ? "--set" : "line",
                r->pos.line & ~CONF_SET);
    }
    free(sorted);
}

/* The second region of the first overlapping pair, or NULL. */
static const struct ax_config_region *find_overlap(const struct ax_config *conf)
{
    for (unsigned j = 1; j < conf->region_count; j++) {
        for (unsigned i = 0; i < j; i++) {
            if (overlaps(&conf->regions[i], &conf->regions[j]))
                return &conf->regions[j];
        }
    }
    return NULL;
}

static void check_overlaps(struct conf_load *load)
{
    const struct ax_config_region *bad = find_overlap(load->conf);
    char *map = NULL;
    size_t size;
    FILE *to;

    if (!bad)
        return;
    to = open_memstream(&map, &size);
    if (to) {
        print_map(to, load->conf);
        if (fclose(to))
            map = NULL;
    }
    ax_config_say(load, AX_SEVERITY_ERROR, bad->pos,
                  &(struct conf_hint){.block = map}, "memory regions overlap");
    free(map);
}

/* ---- rounding ---- */

/* Regions are disjoint: widen each to 2 MiB, but never into a neighbour. */
static void round_regions(struct ax_config *conf)
{
    for (unsigned i = 0; i < conf->region_count; i++) {
        struct ax_config_region *r = &conf->regions[i];
        uint64_t end = ax_align_up(region_end(r), ROUND);

        for (unsigned j = 0; j < conf->region_count; j++) {
            uint64_t next = conf->regions[j].gpa;

            if (next > r->gpa && next < end)
                end = next;
        }
        r->size = end - r->gpa;
    }
    for (unsigned i = 0; i < conf->region_count; i++) {
        struct ax_config_region *r = &conf->regions[i];
        uint64_t base = ax_align_down(r->gpa, ROUND), end = region_end(r);

        for (unsigned j = 0; j < conf->region_count; j++) {
            uint64_t last = region_end(&conf->regions[j]);

            if (last <= r->gpa && last > base)
                base = last;
        }
        r->gpa = base;
        r->size = end - base;
    }
}

static void check_regions(struct conf_load *load)
{
    struct ax_config *conf = load->conf;
    unsigned errors = load->errors;

    if (!conf->region_count)
        ax_config_say(load, AX_SEVERITY_ERROR,
                      load->given[KEY_MEMORY_REGIONS].val,
                      &(struct conf_hint){.help = "leave it out for a default, "
                                                  "or use [base] memory"},
                      "memory_regions is empty");
    for (unsigned i = 0; i < conf->region_count; i++)
        check_region(load, &conf->regions[i]);
    if (load->errors != errors)
        return;
    while (merge_one(load))
        ;
    check_overlaps(load);
    if (conf->region_count > AX_MEMORY_REGIONS)
        ax_config_say(load, AX_SEVERITY_ERROR,
                      conf->regions[AX_MEMORY_REGIONS].pos, NULL,
                      "%u memory regions; at most %u are supported",
                      conf->region_count, AX_MEMORY_REGIONS);
    if (load->errors == errors)
        round_regions(conf);
}

void ax_config_check_memory(struct conf_load *load)
{
    struct ax_config *conf = load->conf;
    const struct conf_given *memory = &load->given[KEY_MEMORY];
    const struct conf_given *regions = &load->given[KEY_MEMORY_REGIONS];

    if (memory->given && regions->given)
        ax_config_say(load, AX_SEVERITY_ERROR, memory->val,
                      &(struct conf_hint){.help = "leave one of them out"},
                      "'memory' and 'memory_regions' exclude each other");
    if (conf_has(load, KEY_MEMORY) && conf->memory % PAGE)
        ax_config_say(load, AX_SEVERITY_ERROR, memory->val,
                      &(struct conf_hint){.expected = "a multiple of 4K"},
                      "'memory' is not a whole number of pages");
    if (conf_has(load, KEY_MEMORY_REGIONS))
        check_regions(load);
    if (!memory->given && !regions->given)
        conf->memory = AX_MIB(MEMORY_DEFAULT_MIB);
}
