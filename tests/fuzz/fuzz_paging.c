/*
 * fuzz_paging.c - page tables of random memory under random control registers.
 * The first words are CR0, CR3, CR4, EFER and an address; the rest is memory,
 * repeated until it is full.
 */
#include "arch/x86_64/paging.h"
#include "fuzz/input.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS = 5, RAM = 16 * 4096, PAGES_SEEN = 4096, PAGES_CHECKED = 64 };

struct seen {
    const struct ax_memory *mem;
    const struct ax_x86_paging *paging;
    unsigned count;
};

static void check_page(const struct ax_mapping *page)
{
    if (page->size < 4096 || page->size & (page->size - 1) ||
        page->va & (page->size - 1) || page->gpa & (page->size - 1) ||
        !(page->prot & AX_PROT_READ))
        abort();
}

/* A look-up must agree with the walk, at the page's last byte too. */
static bool see(void *ctx, const struct ax_mapping *page)
{
    struct seen *seen = ctx;
    struct ax_mapping same;
    ax_gpa gpa;

    check_page(page);
    if (seen->count < PAGES_CHECKED &&
        (!ax_x86_translate(seen->mem, seen->paging, page->va + (page->size - 1),
                           &gpa, &same) ||
         gpa != page->gpa + (page->size - 1) || same.va != page->va ||
         same.gpa != page->gpa || same.size != page->size ||
         same.prot != page->prot || same.user != page->user))
        abort();
    return ++seen->count < PAGES_SEEN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ax_memory mem = {
        .count = 1,
        .regions = {{
            .size = RAM,
            .hva = aligned_alloc(4096, RAM),
            .fd = -1,
        }},
    };
    struct seen seen = {.mem = &mem};
    struct ax_x86_paging paging;
    struct ax_mapping page;
    uint64_t words[WORDS];
    char *ram = mem.regions[0].hva;
    ax_gpa gpa;

    if (size > sizeof(words) && ram) {
        memcpy(words, data, sizeof(words));
        data += sizeof(words);
        size -= sizeof(words);
        for (size_t at = 0; at < RAM; at += size)
            memcpy(ram + at, data, size < RAM - at ? size : RAM - at);
        paging = (struct ax_x86_paging){words[0], words[1], words[2], words[3]};
        seen.paging = &paging;
        if (ax_x86_translate(&mem, &paging, words[4], &gpa, &page))
            check_page(&page);
        ax_x86_walk(&mem, &paging, see, &seen);
    }
    free(ram);
    return 0;
}
