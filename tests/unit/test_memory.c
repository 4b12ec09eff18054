/* test_memory.c - the one door to guest memory. */
#include "memory/memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static struct ax_memory mem;

static void two_regions(void)
{
    ax_memory_init(&mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&mem, AX_GIB(4), AX_MIB(2), AX_REGION_RAM), 0);
    cr_assert_eq(ax_memory_add(&mem, 0, AX_MIB(1), AX_REGION_RAM), 0);
    cr_assert_eq(ax_memory_add(&mem, AX_MIB(1), 0x1000, AX_REGION_ROM), 0);
}

static void fini(void)
{
    ax_memory_fini(&mem);
}

TestSuite(memory, .init = two_regions, .fini = fini);

Test(memory, regions_are_sorted_and_zeroed)
{
    cr_assert_eq(mem.count, 3);
    cr_assert_eq(mem.regions[0].gpa, 0);
    cr_assert_eq(mem.regions[1].gpa, AX_MIB(1));
    cr_assert_eq(mem.regions[2].gpa, AX_GIB(4));
    cr_assert_eq(ax_memory_size(&mem), AX_MIB(3) + 0x1000);
    for (size_t i = 0; i < AX_MIB(1); i += 4096)
        cr_assert_eq(((char *)mem.regions[0].hva)[i], 0);
}

Test(memory, an_access_must_lie_in_one_region)
{
    char *base = mem.regions[0].hva;

    cr_assert_eq(ax_memory_at(&mem, 0x10, 16, AX_PROT_READ), base + 0x10);
    /* Up to the very last byte, as Solo5's check once did not allow. */
    cr_assert_eq(ax_memory_at(&mem, 0, AX_MIB(1), AX_PROT_WRITE), base);
    cr_assert_eq(ax_memory_at(&mem, AX_MIB(1) - 1, 1, AX_PROT_READ),
                 base + AX_MIB(1) - 1);
    cr_assert_null(ax_memory_at(&mem, AX_MIB(1) - 1, 2, AX_PROT_READ));
    cr_assert_null(ax_memory_at(&mem, AX_MIB(8), 1, AX_PROT_READ));
    cr_assert_null(ax_memory_at(&mem, 0, 0, AX_PROT_READ));
}

Test(memory, lengths_that_wrap_are_refused)
{
    cr_assert_null(ax_memory_at(&mem, 0x10, UINT64_MAX, AX_PROT_READ));
    cr_assert_null(ax_memory_at(&mem, UINT64_MAX, 2, AX_PROT_READ));
    cr_assert_null(ax_memory_at(&mem, AX_GIB(4) + 1, UINT64_MAX - AX_GIB(4),
                                AX_PROT_READ));
}

Test(memory, rom_takes_no_guest_writes)
{
    cr_assert_not_null(ax_memory_at(&mem, AX_MIB(1), 16, AX_PROT_READ));
    cr_assert_null(ax_memory_at(&mem, AX_MIB(1), 16, AX_PROT_WRITE));
    cr_assert_not_null(ax_memory_at_load(&mem, AX_MIB(1), 16));
}

Test(memory, bad_regions_are_refused)
{
    cr_assert_eq(ax_memory_add(&mem, 0x80000, 0x1000, AX_REGION_RAM), -EEXIST);
    cr_assert_eq(ax_memory_add(&mem, 0, AX_GIB(8), AX_REGION_RAM), -EEXIST);
    cr_assert_eq(ax_memory_add(&mem, AX_GIB(1), 0, AX_REGION_RAM), -EINVAL);
    cr_assert_eq(ax_memory_add(&mem, AX_GIB(1) + 1, 0x1000, AX_REGION_RAM),
                 -EINVAL);
    cr_assert_eq(ax_memory_add(&mem, AX_GIB(1), 0x1001, AX_REGION_RAM),
                 -EINVAL);
    cr_assert_eq(ax_memory_add(&mem, UINT64_MAX - 0xfff, 0x2000, AX_REGION_RAM),
                 -EINVAL);
    cr_assert_eq(mem.count, 3);
}

Test(memory, too_much_for_the_host)
{
    cr_assert_eq(ax_memory_add(&mem, AX_GIB(64), 1ULL << 50, AX_REGION_RAM),
                 -ENOMEM);
    cr_assert_eq(mem.count, 3);
}

Test(memory, too_many_regions)
{
    int err = 0;

    for (unsigned i = 0; !err && i <= AX_MEMORY_REGIONS; i++)
        err = ax_memory_add(&mem, AX_GIB(8) + i * 0x2000ULL, 0x1000,
                            AX_REGION_RAM);
    cr_assert_eq(err, -ENOSPC);
    cr_assert_eq(mem.count, AX_MEMORY_REGIONS);
}

Test(memory, memfd_memory_is_shared)
{
    struct ax_memory shared;
    char byte = 0;

    ax_memory_init(&shared, AX_BACKING_MEMFD, AX_HUGEPAGES_TRANSPARENT);
    cr_assert_eq(ax_memory_add(&shared, 0, 0x1000, AX_REGION_RAM), 0);
    cr_assert_geq(shared.regions[0].fd, 0);
    *(char *)ax_memory_at(&shared, 0x123, 1, AX_PROT_WRITE) = 'x';
    cr_assert_eq(pread(shared.regions[0].fd, &byte, 1, 0x123), 1);
    cr_assert_eq(byte, 'x');
    ax_memory_fini(&shared);
}

static void discard_some(enum ax_memory_backing backing)
{
    struct ax_memory m;
    char *at;

    ax_memory_init(&m, backing, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&m, AX_MIB(1), 0x10000, AX_REGION_RAM), 0);
    cr_assert_eq(ax_memory_add(&m, AX_MIB(2), 0x1000, AX_REGION_ROM), 0);
    at = ax_memory_at(&m, AX_MIB(1), 0x10000, AX_PROT_WRITE);
    memset(at, 'x', 0x10000);
    memset(ax_memory_at_load(&m, AX_MIB(2), 0x1000), 'x', 0x1000);
    cr_assert_eq(ax_memory_discard_range(&m, AX_MIB(1) + 0x2000, 0x3000), 0);
    for (unsigned page = 0; page < 16; page++)
        cr_assert_eq(at[page * 0x1000], page >= 2 && page < 5 ? 0 : 'x');
    cr_assert_eq(ax_memory_discard_range(&m, AX_MIB(1) + 1, 0x1000), -EINVAL);
    cr_assert_eq(ax_memory_discard_range(&m, AX_MIB(1), 0xfff), -EINVAL);
    cr_assert_eq(ax_memory_discard_range(&m, AX_MIB(1), 0), -EINVAL);
    cr_assert_eq(ax_memory_discard_range(&m, AX_MIB(1), 0x11000), -EINVAL);
    cr_assert_eq(ax_memory_discard_range(&m, AX_MIB(2), 0x1000), -EINVAL);
    cr_assert_eq(ax_memory_discard_range(&m, AX_MIB(4), 0x1000), -EINVAL);
    cr_assert_eq(ax_memory_discard_range(&m, AX_MIB(1), UINT64_MAX & ~0xfffULL),
                 -EINVAL);
    cr_assert_eq(at[0], 'x');
    m.hugepages = AX_HUGEPAGES_2M;
    cr_assert_eq(ax_memory_discard_range(&m, AX_MIB(1), 0x1000), -EOPNOTSUPP);
    ax_memory_fini(&m);
}

Test(memory, pages_go_back_to_the_host)
{
    discard_some(AX_BACKING_ANONYMOUS);
    discard_some(AX_BACKING_MEMFD);
}

Test(memory, pointers_have_addresses)
{
    const char *at = ax_memory_at(&mem, AX_MIB(1), 16, AX_PROT_READ);
    ax_gpa gpa = 0;

    cr_assert(ax_memory_gpa(&mem, at + 7, &gpa));
    cr_assert_eq(gpa, AX_MIB(1) + 7);
    cr_assert_not(ax_memory_gpa(&mem, &gpa, &gpa));
    cr_assert_not(ax_memory_gpa(&mem, NULL, &gpa));
    cr_assert_lt(ax_memory_ram(&mem), ax_memory_size(&mem));
}
