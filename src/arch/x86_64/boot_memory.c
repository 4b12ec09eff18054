/*
 * boot_memory.c - who gets which guest memory during a boot.
 *
 * A list of claims; everything that is loaded or written is claimed first.
 * There are at most BOOT_CLAIMS of them, so searching is bounded.
 */
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const uint64_t page_bytes = 4096;

static const struct boot_claim *boot_conflict(const struct boot *b, ax_gpa gpa,
                                              uint64_t len)
{
    for (unsigned i = 0; i < b->claim_count; i++) {
        const struct boot_claim *c = &b->claims[i];

        if (ax_range_overlaps(gpa, len, c->gpa, c->len))
            return c;
    }
    return NULL;
}

bool ax_x86_boot_free(const struct boot *b, ax_gpa gpa, uint64_t len)
{
    return ax_range_within(gpa, len, 0, AX_X86_HOLE_END) &&
           ax_memory_at(b->mem, gpa, len, AX_PROT_WRITE) &&
           !boot_conflict(b, gpa, len);
}

static int boot_claim_full(const struct boot *b, const char *what)
{
    const struct ax_pos nowhere = {0, 0};

    return b->claim_count < BOOT_CLAIMS
               ? 0
               : ax_x86_boot_fail(b, nowhere, -ENOSPC,
                                  "%s: more than %d ranges to load", what,
                                  BOOT_CLAIMS);
}

static void boot_claim_add(struct boot *b, ax_gpa gpa, uint64_t len,
                           const char *what)
{
    b->claims[b->claim_count++] = (struct boot_claim){
        .gpa = gpa,
        .len = len,
        .what = what,
    };
}

int ax_x86_boot_claim(struct boot *b, struct ax_pos pos, ax_gpa gpa,
                      uint64_t len, const char *what)
{
    const struct boot_claim *other = boot_conflict(b, gpa, len);
    char size[BOOT_SIZE_TEXT], total[BOOT_SIZE_TEXT];

    if (!ax_memory_at_load(b->mem, gpa, len))
        return ax_x86_boot_fail(
            b, pos, -ENOSPC,
            "%s does not fit: %s at %#" PRIx64
            " do not lie in the guest's %s of memory",
            what, ax_x86_boot_size(len, size), gpa,
            ax_x86_boot_size(ax_memory_size(b->mem), total));
    if (other)
        return ax_x86_boot_fail(b, pos, -ENOSPC,
                                "%s at %#" PRIx64 "-%#" PRIx64
                                " overlaps %s at %#" PRIx64 "-%#" PRIx64,
                                what, gpa, gpa + len - 1, other->what,
                                other->gpa, other->gpa + other->len - 1);
    if (boot_claim_full(b, what))
        return -ENOSPC;
    boot_claim_add(b, gpa, len, what);
    return 0;
}

/* First fit in [from, end) of one region, upwards. */
static bool boot_fit_low(const struct boot *b, ax_gpa from, ax_gpa end,
                         uint64_t len, ax_gpa *gpa)
{
    ax_gpa at = ax_align_up(from, page_bytes);

    while (at <= end && len <= end - at) {
        const struct boot_claim *c = boot_conflict(b, at, len);

        if (!c) {
            *gpa = at;
            return true;
        }
        at = ax_align_up(c->gpa + c->len, page_bytes);
    }
    return false;
}

static bool boot_fit_high(const struct boot *b, ax_gpa from, ax_gpa end,
                          uint64_t len, ax_gpa *gpa)
{
    while (end > from && len <= end - from) {
        const ax_gpa at = ax_align_down(end - len, page_bytes);
        const struct boot_claim *c;

        if (at < from)
            return false;
        c = boot_conflict(b, at, len);
        if (!c) {
            *gpa = at;
            return true;
        }
        end = c->gpa;
    }
    return false;
}

static ax_gpa region_end(const struct ax_region *r, ax_gpa limit)
{
    return r->gpa + r->size < limit ? r->gpa + r->size : limit;
}

int ax_x86_boot_place(struct boot *b, ax_gpa *gpa, uint64_t len,
                      const char *what)
{
    const struct ax_pos nowhere = {0, 0};
    bool found = ax_x86_boot_free(b, *gpa, len);

    if (boot_claim_full(b, what))
        return -ENOSPC;
    for (unsigned i = 0; !found && i < b->mem->count; i++) {
        const struct ax_region *r = &b->mem->regions[i];
        /* Page 0 stays real mode's, whatever is asked for. */
        const ax_gpa from = r->gpa < page_bytes ? page_bytes : r->gpa;

        found = r->kind == AX_REGION_RAM &&
                boot_fit_low(b, from, region_end(r, AX_X86_HOLE_END), len, gpa);
    }
    if (!found)
        return ax_x86_boot_fail(b, nowhere, -ENOSPC,
                                "no room for the %s (%" PRIu64
                                " bytes) beside the image",
                                what, len);
    boot_claim_add(b, *gpa, len, what);
    return 0;
}

int ax_x86_boot_place_high(struct boot *b, struct ax_pos pos, ax_gpa end,
                           uint64_t len, const char *what, ax_gpa *gpa)
{
    bool found = false;
    char size[BOOT_SIZE_TEXT];

    if (boot_claim_full(b, what))
        return -ENOSPC;
    for (unsigned i = b->mem->count; !found && i-- > 0;) {
        const struct ax_region *r = &b->mem->regions[i];

        found = r->kind == AX_REGION_RAM &&
                boot_fit_high(b, r->gpa, region_end(r, end), len, gpa);
    }
    if (!found)
        return ax_x86_boot_fail(b, pos, -ENOSPC,
                                "%s of %s does not fit below %#" PRIx64
                                " beside the kernel",
                                what, ax_x86_boot_size(len, size), end);
    boot_claim_add(b, *gpa, len, what);
    return 0;
}

int ax_x86_boot_data(struct boot *b, ax_gpa *gpa, uint64_t len,
                     const char *what, uint8_t **out)
{
    int err = ax_x86_boot_place(b, gpa, len, what);

    if (err)
        return err;
    *out = ax_memory_at_load(b->mem, *gpa, len);
    memset(*out, 0, len);
    return 0;
}
