/*
 * fuzz_image.c - any bytes as a kernel image: probed, then loaded into 4 MiB of
 * guest memory, where it is linked and moved by an offset.
 */
#include "fuzz/input.h"
#include "memory/memory.h"
#include "vmm/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the header promises to whoever uses an image that was not refused. */
static void check(const struct ax_image *image, const struct ax_source *src)
{
    if (image->segment_count > AX_IMAGE_SEGMENTS)
        abort();
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct ax_segment *s = &image->segments[i];

        if (!ax_range_within(s->off, s->file_size, 0, src->size) ||
            s->file_size > s->mem_size || s->mem_size > UINT64_MAX - s->gpa)
            abort();
        if (image->kind != AX_IMAGE_BZIMAGE &&
            !ax_range_within(s->gpa, s->mem_size, image->low,
                             image->high - image->low))
            abort();
    }
    if (image->kind == AX_IMAGE_BZIMAGE &&
        (image->bz.header_end > 0x290 || image->bz.header_end > src->size ||
         !ax_range_within(image->bz.payload_off, image->bz.payload_size, 0,
                          src->size)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t deltas[] = {0, 0x100000, UINT64_MAX - 0x1000};
    struct ax_memory mem = {
        .count = 1,
        .regions = {{
            .size = AX_MIB(4),
            .hva = aligned_alloc(4096, AX_MIB(4)),
            .fd = -1,
        }},
    };
    struct ax_source src;
    struct ax_image image;
    char why[64];

    if (!mem.regions[0].hva)
        return 0;
    ax_source_memory("fuzz", data, size, &src);
    if (!ax_image_probe(&src, &image, why, sizeof(why))) {
        check(&image, &src);
        for (size_t i = 0; i < AX_ARRAY_LEN(deltas); i++) {
            const struct ax_segment *bad = NULL;
            int err = ax_image_load(&src, &image, &mem, deltas[i], NULL, &bad);

            if (err != (bad ? -ENOSPC : 0))
                abort();
        }
    } else if (strlen(why) >= sizeof(why)) {
        abort();
    }
    free(mem.regions[0].hva);
    return 0;
}
