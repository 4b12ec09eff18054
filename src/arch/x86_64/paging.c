/*
 * paging.c - one description per paging mode, one decoder of an entry; a
 * look-up goes down one path, a walk down all.
 */
#include "arch/x86_64/paging.h"

#include "arch/x86_64/regs.h"

#include <errno.h>
#include <string.h>

enum { PAGE_SHIFT = 12, PAGE_BYTES = 1 << PAGE_SHIFT };

/*
 * Tables that a walk looks into: 128 GiB in 4 KiB pages need as many. Tables
 * that point to each other would otherwise be good for 2^45 pages.
 */
enum { WALK_TABLES = 1 << 16 };

/* Bits of an entry (SDM 3A, 4.3 to 4.5). */
#define ENTRY_PRESENT 0x1ULL
#define ENTRY_WRITE   0x2ULL
#define ENTRY_USER    0x4ULL
#define ENTRY_LARGE   0x80ULL
#define ENTRY_NX      (1ULL << 63)
#define ENTRY_ADDR    0x000ffffffffff000ULL /* of 8 bytes */

/* PAE: what the first table's entries, and all others, must not have set. */
#define PAE_FIRST_RESERVED 0xfff00000000001e6ULL
#define PAE_RESERVED       0x7ff0000000000000ULL

struct mode {
    unsigned levels; /* 0: paging is off */
    unsigned index_bits;
    unsigned entry_bytes;
    unsigned va_bits;
    uint64_t root;
    bool large; /* 4 MiB pages; the other modes always have theirs */
    bool nx;
};

/* Rights on the way down: each table can only take some away. */
struct rights {
    unsigned prot;
    bool user;
};

static const struct rights all_rights = {
    AX_PROT_READ | AX_PROT_WRITE | AX_PROT_EXEC, true};

enum entry { ENTRY_NONE, ENTRY_TABLE, ENTRY_PAGE };

static struct mode mode_of(const struct ax_x86_paging *p)
{
    const bool nx = p->efer & AX_X86_EFER_NXE;

    if (!(p->cr0 & AX_X86_CR0_PG))
        return (struct mode){.levels = 0};
    if (p->efer & AX_X86_EFER_LMA)
        return (struct mode){
            .levels = p->cr4 & AX_X86_CR4_LA57 ? 5 : 4,
            .index_bits = 9,
            .entry_bytes = 8,
            .va_bits = p->cr4 & AX_X86_CR4_LA57 ? 57 : 48,
            .root = p->cr3 & ENTRY_ADDR,
            .nx = nx,
        };
    if (p->cr4 & AX_X86_CR4_PAE)
        return (struct mode){
            .levels = 3,
            .index_bits = 9,
            .entry_bytes = 8,
            .va_bits = 32,
            .root = p->cr3 & 0xffffffe0,
            .nx = nx,
        };
    return (struct mode){
        .levels = 2,
        .index_bits = 10,
        .entry_bytes = 4,
        .va_bits = 32,
        .root = p->cr3 & 0xfffff000,
        .large = p->cr4 & AX_X86_CR4_PSE,
    };
}

/* Levels count from the tables of 4 KiB pages, which are level 0. */
static unsigned level_shift(const struct mode *m, unsigned level)
{
    return PAGE_SHIFT + level * m->index_bits;
}

static unsigned level_count(const struct mode *m, unsigned level)
{
    const unsigned bits = m->va_bits - level_shift(m, level);

    return 1U << (bits < m->index_bits ? bits : m->index_bits);
}

/* All of a table, or NULL where it is not in guest memory. */
static const void *table_at(const struct ax_memory *mem, const struct mode *m,
                            unsigned level, ax_gpa table)
{
    return ax_memory_at(mem, table,
                        (uint64_t)level_count(m, level) * m->entry_bytes,
                        AX_PROT_READ);
}

static uint64_t table_entry(const struct mode *m, const void *table,
                            unsigned index)
{
    uint64_t wide;
    uint32_t narrow;

    if (m->entry_bytes == sizeof(narrow)) {
        memcpy(&narrow, (const char *)table + index * sizeof(narrow),
               sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, (const char *)table + index * sizeof(wide), sizeof(wide));
    return wide;
}

/* Table 4-4 of SDM 3A: bits 39:32 of a 4 MiB page are bits 20:13. */
static enum entry decode_narrow(const struct mode *m, unsigned level,
                                uint64_t entry, uint64_t *addr)
{
    *addr = entry & 0xfffff000;
    if (!level)
        return ENTRY_PAGE;
    if (!m->large || !(entry & ENTRY_LARGE))
        return ENTRY_TABLE;
    *addr = (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
    return entry & 1ULL << 21 ? ENTRY_NONE : ENTRY_PAGE;
}

static enum entry decode_wide(const struct mode *m, unsigned level,
                              uint64_t entry, uint64_t *addr)
{
    const bool pae = m->va_bits == 32;
    const uint64_t in_page = (1ULL << level_shift(m, level)) - 1;
    uint64_t reserved = m->nx ? 0 : ENTRY_NX;

    *addr = entry & ENTRY_ADDR;
    if (pae && level == 2)
        return entry & PAE_FIRST_RESERVED ? ENTRY_NONE : ENTRY_TABLE;
    if (pae)
        reserved |= PAE_RESERVED;
    if (level > 2)
        reserved |= ENTRY_LARGE;
    if (entry & reserved)
        return ENTRY_NONE;
    if (level && !(entry & ENTRY_LARGE))
        return ENTRY_TABLE;
    if (level) /* bit 12 is no address but PAT; between them nothing */
        *addr &= ~(1ULL << 12);
    return *addr & in_page ? ENTRY_NONE : ENTRY_PAGE;
}

/* What an entry is; its address, and what it leaves of the rights. */
static enum entry decode(const struct mode *m, unsigned level, uint64_t entry,
                         uint64_t *addr, struct rights *rights)
{
    const bool first_of_pae = m->va_bits == 32 && level == 2;

    if (!(entry & ENTRY_PRESENT))
        return ENTRY_NONE;
    if (!first_of_pae && !(entry & ENTRY_WRITE))
        rights->prot &= ~(unsigned)AX_PROT_WRITE;
    if (!first_of_pae && !(entry & ENTRY_USER))
        rights->user = false;
    if (m->nx && entry & ENTRY_NX)
        rights->prot &= ~(unsigned)AX_PROT_EXEC;
    return m->entry_bytes == 4 ? decode_narrow(m, level, entry, addr)
                               : decode_wide(m, level, entry, addr);
}

/* The same address with all bits above the highest of the mode like that. */
static uint64_t canonical(const struct mode *m, uint64_t va)
{
    const uint64_t top = 1ULL << (m->va_bits - 1);

    return m->va_bits == 32 || !(va & top) ? va : va | ~(2 * top - 1);
}

static struct ax_mapping page_of(const struct mode *m, unsigned level,
                                 uint64_t va, uint64_t addr,
                                 struct rights rights)
{
    const uint64_t size = 1ULL << level_shift(m, level);

    return (struct ax_mapping){
        .va = canonical(m, ax_align_down(va, size)),
        .gpa = addr,
        .size = size,
        .prot = rights.prot,
        .user = rights.user,
    };
}

/* ---- one address ---- */

/* steps (may be NULL) has room for all levels; *count grows with each. */
static bool mode_translate(const struct ax_memory *mem, const struct mode *m,
                           uint64_t va, struct ax_mapping *page,
                           struct ax_x86_step *steps, unsigned *count)
{
    const uint64_t low = va & ((1ULL << m->va_bits) - 1);
    struct rights rights = all_rights;
    uint64_t addr = m->root;

    if (canonical(m, low) != va)
        return false;
    for (unsigned level = m->levels; level-- > 0;) {
        const unsigned index =
            low >> level_shift(m, level) & (level_count(m, level) - 1);
        const void *table = table_at(mem, m, level, addr);
        const uint64_t entry = table ? table_entry(m, table, index) : 0;

        if (steps)
            steps[(*count)++] = (struct ax_x86_step){
                .level = level,
                .gpa = addr + (ax_gpa)index * m->entry_bytes,
                .there = table != NULL,
                .entry = entry,
            };
        if (!table)
            return false;
        switch (decode(m, level, entry, &addr, &rights)) {
        case ENTRY_NONE:
            return false;
        case ENTRY_TABLE:
            break;
        case ENTRY_PAGE:
            *page = page_of(m, level, low, addr, rights);
            return true;
        }
    }
    return false;
}

bool ax_x86_translate(const struct ax_memory *mem,
                      const struct ax_x86_paging *paging, uint64_t va,
                      ax_gpa *gpa, struct ax_mapping *page)
{
    const struct mode m = mode_of(paging);
    struct ax_mapping own = {
        .va = ax_align_down(va, PAGE_BYTES),
        .gpa = ax_align_down(va, PAGE_BYTES),
        .size = PAGE_BYTES,
        .prot = all_rights.prot,
        .user = true,
    };

    if (m.levels && !mode_translate(mem, &m, va, &own, NULL, NULL))
        return false;
    *gpa = own.gpa + (va - own.va);
    if (page)
        *page = own;
    return true;
}

unsigned ax_x86_path(const struct ax_memory *mem,
                     const struct ax_x86_paging *paging, uint64_t va,
                     struct ax_x86_step steps[AX_X86_LEVELS])
{
    const struct mode m = mode_of(paging);
    struct ax_mapping page;
    unsigned count = 0;

    if (m.levels)
        mode_translate(mem, &m, va, &page, steps, &count);
    return count;
}

/* ---- all of them ---- */

struct walk_at {
    const void *table;
    unsigned next; /* entries seen */
    uint64_t va;   /* of the first entry */
    struct rights rights;
};

struct walk {
    const struct ax_memory *mem;
    struct mode mode;
    unsigned tables; /* looked into */
    struct walk_at at[AX_X86_LEVELS];
};

/* False: there are too many tables. One outside of memory is as an empty one.
 */
static bool walk_enter(struct walk *w, unsigned level, ax_gpa table,
                       uint64_t va, struct rights rights)
{
    w->at[level] = (struct walk_at){
        .table = table_at(w->mem, &w->mode, level, table),
        .va = va,
        .rights = rights,
    };
    if (!w->at[level].table)
        w->at[level].next = level_count(&w->mode, level);
    return ++w->tables <= WALK_TABLES;
}

/* The next entry of a table; the first table's upper half comes first. */
static unsigned walk_index(const struct walk *w, unsigned level)
{
    const unsigned next = w->at[level].next;

    return level + 1 == w->mode.levels ? next ^ level_count(&w->mode, level) / 2
                                       : next;
}

int ax_x86_walk(const struct ax_memory *mem, const struct ax_x86_paging *paging,
                bool (*fn)(void *ctx, const struct ax_mapping *page), void *ctx)
{
    struct walk w = {.mem = mem, .mode = mode_of(paging)};
    const unsigned levels = w.mode.levels;
    unsigned level = levels - 1;

    if (!levels)
        return 0;
    walk_enter(&w, level, w.mode.root, 0, all_rights);
    while (level < levels) {
        struct walk_at *at = &w.at[level];
        struct rights rights = at->rights;
        struct ax_mapping page;
        enum entry kind;
        unsigned index;
        uint64_t addr, va;

        if (at->next == level_count(&w.mode, level)) {
            level++;
            continue;
        }
        index = walk_index(&w, level);
        at->next++;
        va = at->va | (uint64_t)index << level_shift(&w.mode, level);
        kind = decode(&w.mode, level, table_entry(&w.mode, at->table, index),
                      &addr, &rights);
        if (kind == ENTRY_TABLE && !walk_enter(&w, --level, addr, va, rights))
            return -E2BIG;
        if (kind != ENTRY_PAGE)
            continue;
        page = page_of(&w.mode, level, va, addr, rights);
        if (!fn(ctx, &page))
            return -ECANCELED;
    }
    return 0;
}
