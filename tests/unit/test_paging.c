/* test_paging.c - the guest's page tables: every mode, and every kind of lie.
 */
#include "arch/x86_64/paging.h"
#include "arch/x86_64/regs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { P = 0x1, W = 0x2, U = 0x4, LARGE = 0x80, RWX = 7 };
#define NX (1ULL << 63)

enum {
    RAM = 1 << 20,
    T0 = 0x1000,
    T1 = 0x2000,
    T2 = 0x3000,
    T3 = 0x4000,
    T4 = 0x5000
};

static struct ax_memory mem;
static struct ax_x86_paging paging;

static void init(void)
{
    ax_memory_init(&mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&mem, 0, RAM, AX_REGION_RAM), 0);
}

static void fini(void)
{
    ax_memory_fini(&mem);
}

TestSuite(paging, .init = init, .fini = fini, .timeout = 60);

static void put(ax_gpa table, unsigned index, uint64_t entry)
{
    uint64_t *at = ax_memory_at(&mem, table + 8 * index, 8, AX_PROT_WRITE);

    cr_assert_not_null(at);
    *at = entry;
}

static void put32(ax_gpa table, unsigned index, uint32_t entry)
{
    uint32_t *at = ax_memory_at(&mem, table + 4 * index, 4, AX_PROT_WRITE);

    cr_assert_not_null(at);
    *at = entry;
}

static void mode_32(uint64_t cr4)
{
    paging = (struct ax_x86_paging){
        .cr0 = AX_X86_CR0_PG | AX_X86_CR0_PE, .cr3 = T0, .cr4 = cr4};
}

static void mode_pae(void)
{
    mode_32(AX_X86_CR4_PAE);
    paging.efer = AX_X86_EFER_NXE;
}

static void mode_long(uint64_t cr4)
{
    mode_32(AX_X86_CR4_PAE | cr4);
    paging.efer = AX_X86_EFER_LMA | AX_X86_EFER_LME | AX_X86_EFER_NXE;
}

static void maps(uint64_t va, ax_gpa gpa, uint64_t size, unsigned prot,
                 bool user)
{
    struct ax_mapping page;
    ax_gpa got;

    cr_assert(ax_x86_translate(&mem, &paging, va, &got, &page),
              "%#lx is not mapped", (unsigned long)va);
    cr_assert_eq(got, gpa, "%#lx -> %#lx", (unsigned long)va,
                 (unsigned long)got);
    cr_assert_eq(page.size, size);
    cr_assert_eq(page.va, va & ~(size - 1));
    cr_assert_eq(page.gpa, gpa & ~(size - 1));
    cr_assert_eq(page.prot, prot);
    cr_assert_eq(page.user, user);
}

static void misses(uint64_t va)
{
    ax_gpa got;

    cr_assert_not(ax_x86_translate(&mem, &paging, va, &got, NULL),
                  "%#lx -> %#lx", (unsigned long)va, (unsigned long)got);
}

/* ---- walks ---- */

enum { SEEN_MAX = 64 };

static struct ax_mapping seen[SEEN_MAX];
static uint64_t seen_count, stop_after;

static bool see(void *ctx, const struct ax_mapping *page)
{
    if (seen_count < SEEN_MAX)
        seen[seen_count] = *page;
    return ++seen_count != stop_after;
}

static int walk(void)
{
    seen_count = 0;
    return ax_x86_walk(&mem, &paging, see, NULL);
}

/* A walk that tells exactly this one page. */
static void only(uint64_t va, ax_gpa gpa, uint64_t size)
{
    cr_assert_eq(walk(), 0);
    cr_assert_eq(seen_count, 1, "%lu pages", (unsigned long)seen_count);
    cr_assert_eq(seen[0].va, va);
    cr_assert_eq(seen[0].gpa, gpa);
    cr_assert_eq(seen[0].size, size);
}

/* ---- modes ---- */

Test(paging, off_is_identity)
{
    mode_32(0);
    paging.cr0 = AX_X86_CR0_PE;
    maps(0x12345, 0x12345, 4096, RWX, true);
    maps(~0ULL, ~0ULL, 4096, RWX, true);
    cr_assert_eq(walk(), 0);
    cr_assert_eq(seen_count, 0);
}

Test(paging, bits_32)
{
    mode_32(0);
    put32(T0, 0x300, T1 | P | W | U);
    put32(T1, 5, 0x7000 | P | W);
    put32(T1, 6, 0xfffff000 | P | U);
    maps(0xc0005123, 0x7123, 4096, RWX, false);
    maps(0xc0006fff, 0xffffffff, 4096, AX_PROT_READ | AX_PROT_EXEC, true);
    misses(0xc0007000);
    misses(0x5000);
    misses(0x1c0005123ULL); /* no such address in 32 bits */
    cr_assert_eq(walk(), 0);
    cr_assert_eq(seen_count, 2);
    cr_assert_eq(seen[1].va, 0xc0006000);
}

Test(paging, bits_32_large_pages)
{
    /* Bits 20:13 of the entry are bits 39:32 of the address. */
    const uint32_t large = 0x00800000 | 0xab << 13 | LARGE | P | W | U;

    mode_32(AX_X86_CR4_PSE);
    put32(T0, 1, large);
    maps(0x00412345, 0xab00812345, 4 << 20, RWX, true);
    only(0x00400000, 0xab00800000, 4 << 20);
    put32(T0, 1, large | 1 << 21); /* reserved */
    misses(0x00412345);
    /* Without CR4.PSE the bit means nothing. */
    mode_32(0);
    put32(T0, 1, T1 | LARGE | P);
    put32(T1, 0x12, 0x9000 | P);
    maps(0x00412345, 0x9345, 4096, AX_PROT_READ | AX_PROT_EXEC, false);
}

Test(paging, pae)
{
    mode_pae();
    paging.cr3 = T0 + 0xfe0;    /* 32 bytes, the last of a page */
    put(T0 + 0xfe0, 3, T1 | P); /* its rights are none of its bits */
    put(T1, 0, T2 | P | W | U);
    put(T2, 1, 0x7000 | P | W | U | NX);
    put(T1, 1, 0xf00200000ULL | P | LARGE | W);
    maps(0xc0001abc, 0x7abc, 4096, AX_PROT_READ | AX_PROT_WRITE, true);
    maps(0xc0212345, 0xf00212345ULL, 2 << 20, RWX, false);
    misses(0xffffffffc0001abcULL);
    cr_assert_eq(walk(), 0);
    cr_assert_eq(seen_count, 2);
    put(T0 + 0xfe0, 3, T1 | P | W); /* reserved there */
    misses(0xc0001abc);
    put(T0 + 0xfe0, 3, T1 | P | 1ULL << 52);
    misses(0xc0001abc);
    put(T0 + 0xfe0, 3, T1 | P);
    put(T1, 0, T2 | P | 1ULL << 62); /* reserved in PAE only */
    misses(0xc0001abc);
}

Test(paging, levels_4)
{
    const uint64_t va = 0xffff888000000000;

    mode_long(0);
    paging.cr3 |= 0xfff | 3ULL << 61; /* PCID and LAM are no address */
    put(T0, 0x111, T1 | P | W | U | 1ULL << 62); /* ignored here */
    put(T1, 0, T2 | P | W | U);
    put(T2, 0, T3 | P | W | U);
    put(T3, 2, 0x9000 | P | W | U | LARGE); /* at this level: PAT */
    put(T2, 1, 0x600000 | 1 << 12 | P | W | LARGE | NX);
    put(T1, 1, 0x80000000ULL | 1 << 12 | P | LARGE | U);
    maps(va + 0x2345, 0x9345, 4096, RWX, true);
    maps(va + 0x234567, 0x634567, 2 << 20, AX_PROT_READ | AX_PROT_WRITE, false);
    maps(va + 0x7f234567, 0x80000000 + 0x3f234567, 1 << 30,
         AX_PROT_READ | AX_PROT_EXEC, true);
    misses(va & 0x0000ffffffffffff); /* not canonical */
    misses(va + 0x3000);
    misses(0x2345);
    cr_assert_eq(walk(), 0);
    cr_assert_eq(seen_count, 3);
    cr_assert_eq(seen[0].va, va + 0x2000);
    cr_assert_eq(seen[2].va, va + 0x40000000);
}

Test(paging, levels_5)
{
    const uint64_t va = 0xff11000000000000;

    mode_long(AX_X86_CR4_LA57);
    put(T0, 0x111, T1 | P | W | U);
    put(T1, 0, T2 | P | W | U);
    put(T2, 0, T3 | P | W | U);
    put(T3, 0, T4 | P | W | U);
    put(T4, 0x1ff, 0x000ffffffffff000ULL | P | W | U);
    maps(va + 0x1ff123, 0x000ffffffffff123ULL, 4096, RWX, true);
    misses(va & 0x01ffffffffffffff);
    only(va + 0x1ff000, 0x000ffffffffff000ULL, 4096);
    /* The same tables are not the same with four levels. */
    mode_long(0);
    misses(va + 0x1ff123);
    put(T2, 3, 0x1400000 | P | LARGE);
    put(T0, 0x111, 0);
    put(T0, 0x0ff, T1 | P);
    mode_long(AX_X86_CR4_LA57);
    put(T2, 3, 0xc0000000ULL | P | LARGE);
    maps(0x00ff0000c0000abcULL, 0xc0000abc, 1 << 30,
         AX_PROT_READ | AX_PROT_EXEC, false);
}

Test(paging, rights_are_those_of_the_whole_path)
{
    mode_long(0);
    put(T0, 0, T1 | P | W | NX);
    put(T1, 0, T2 | P | W | U);
    put(T2, 0, T3 | P | U);
    put(T3, 0, 0x9000 | P | W | U);
    maps(0, 0x9000, 4096, AX_PROT_READ, false);
    paging.efer &= ~(uint64_t)AX_X86_EFER_NXE; /* now the bit is reserved */
    misses(0);
}

/* ---- lies ---- */

Test(paging, reserved_bits_map_nothing)
{
    static const struct {
        ax_gpa table;
        uint64_t entry;
    } bad[] = {
        {T0, T1 | P | W | U | LARGE},           /* no 512 GiB pages */
        {T1, 0x40000000 | 1 << 13 | P | LARGE}, /* not on 1 GiB */
        {T1, 0x40000000 | 1 << 29 | P | LARGE},
        {T2, 0x200000 | 1 << 13 | P | LARGE}, /* not on 2 MiB */
        {T2, 0x200000 | 1 << 20 | P | LARGE},
        {T3, 0x9000 | W | U}, /* not present */
    };

    mode_long(0);
    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++) {
        put(T0, 0, T1 | P | W | U);
        put(T1, 0, T2 | P | W | U);
        put(T2, 0, T3 | P | W | U);
        put(T3, 0, 0x9000 | P | W | U);
        maps(0x123, 0x9123, 4096, RWX, true);
        put(bad[i].table, 0, bad[i].entry);
        misses(0x123);
        cr_assert_eq(walk(), 0);
        cr_assert_eq(seen_count, 0, "entry %zu", i);
    }
}

Test(paging, tables_outside_of_memory_are_empty)
{
    mode_long(0);
    put(T0, 0, T1 | P);
    put(T1, 0, RAM | P);
    put(T1, 1, 0x000ffffffffff000ULL | P);
    misses(0);
    misses(1 << 30);
    cr_assert_eq(walk(), 0);
    cr_assert_eq(seen_count, 0);
    paging.cr3 = RAM;
    misses(0);
    cr_assert_eq(walk(), 0);
    mode_pae();
    paging.cr3 = 0xffffffe0;
    misses(0);
    cr_assert_eq(walk(), 0);
    mode_32(0);
    paging.cr3 = 0xfffff000;
    misses(0);
    cr_assert_eq(walk(), 0);
    cr_assert_eq(seen_count, 0);
}

Test(paging, tables_may_be_the_last_page)
{
    const ax_gpa last = RAM - 4096;

    mode_long(0);
    paging.cr3 = last;
    put(last, 511, T1 | P | W | U);
    put(T1, 511, last | P | W | U);
    /* Each table twice: T1 as the second and as the last, in itself a page. */
    maps(0xfffffffffffff123ULL, last + 0x123, 4096, RWX, true);
    only(0xfffffffffffff000ULL, last, 4096);
    mode_32(0);
    paging.cr3 = last;
    put32(last, 1023, last | P);
    maps(0xffffffff, last + 4095, 4096, AX_PROT_READ | AX_PROT_EXEC, false);
}

Test(paging, a_table_in_itself_ends)
{
    const uint64_t self = 0x1ed;
    const uint64_t va = 0xffff000000000000ULL | self << 39 | self << 30 |
                        self << 21 | self << 12;

    /* As Windows has it: the tables appear as pages, the first one last. */
    mode_long(0);
    put(T0, self, T0 | P | W);
    put(T0, 0, T1 | P | W | U);
    maps(va + 8, T0 + 8, 4096, RWX, false);
    cr_assert_eq(walk(), 0);
    /* T1 as the lowest page of the innermost window, and T0. */
    cr_assert_eq(seen_count, 2, "%lu pages", (unsigned long)seen_count);
    cr_assert_eq(seen[0].gpa, T1);
    cr_assert_eq(seen[1].gpa, T0);
}

Test(paging, a_table_that_is_nothing_but_itself_ends)
{
    for (unsigned i = 0; i < 512; i++)
        put(T0, i, T0 | P | W | U);
    mode_long(AX_X86_CR4_LA57);
    stop_after = 0;
    cr_assert_eq(walk(), -E2BIG); /* 2^45 pages, said to be */
    cr_assert_lt(seen_count, 1 << 26);
    mode_long(0);
    cr_assert_eq(walk(), -E2BIG);
    maps(0x123456, T0 + 0x456, 4096, RWX, true);
}

Test(paging, a_walk_stops_when_told)
{
    for (unsigned i = 0; i < 512; i++)
        put(T0, i, T0 | P);
    mode_long(0);
    stop_after = 3;
    cr_assert_eq(walk(), -ECANCELED);
    cr_assert_eq(seen_count, 3);
}

Test(paging, the_upper_half_comes_first)
{
    mode_long(0);
    put(T0, 0, T1 | P);
    put(T0, 0x1ff, T1 | P);
    put(T1, 7, 0x40000000 | P | LARGE);
    cr_assert_eq(walk(), 0);
    cr_assert_eq(seen_count, 2);
    cr_assert_eq(seen[0].va, 0xffffff81c0000000ULL);
    cr_assert_eq(seen[1].va, 0x1c0000000ULL);
}
