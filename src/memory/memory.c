/*
 * memory.c - the sorted region array behind ax_memory_at().
 *
 * A handful of regions: a linear look-up beats anything clever, and most hits
 * are in the first one.
 */
#include "memory/memory.h"

#include <errno.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, HUGE_BYTES = 2 << 20 };

void ax_memory_init(struct ax_memory *mem, enum ax_memory_backing backing,
                    enum ax_hugepages hugepages)
{
    memset(mem, 0, sizeof(*mem));
    mem->backing = backing;
    mem->hugepages = hugepages;
}

void ax_memory_fini(struct ax_memory *mem)
{
    for (unsigned i = 0; i < mem->count; i++) {
        munmap(mem->regions[i].hva, mem->regions[i].size);
        if (mem->regions[i].fd >= 0)
            close(mem->regions[i].fd);
    }
    mem->count = 0;
}

static int memory_discard_advice(const struct ax_memory *mem)
{
    return mem->backing == AX_BACKING_MEMFD ? MADV_REMOVE : MADV_DONTNEED;
}

void ax_memory_discard(const struct ax_memory *mem)
{
    for (unsigned i = 0; i < mem->count; i++)
        madvise(mem->regions[i].hva, mem->regions[i].size,
                memory_discard_advice(mem));
}

int ax_memory_discard_range(const struct ax_memory *mem, ax_gpa gpa,
                            uint64_t size)
{
    void *at = NULL;

    if (mem->hugepages >= AX_HUGEPAGES_2M)
        return -EOPNOTSUPP;
    if (!(gpa % PAGE_BYTES) && !(size % PAGE_BYTES))
        at = ax_memory_at(mem, gpa, size, AX_PROT_WRITE);
    if (!at)
        return -EINVAL;
    return madvise(at, size, memory_discard_advice(mem)) ? -errno : 0;
}

/* Flags that pick the page size, for mmap or memfd_create. */
static unsigned memory_huge_flags(enum ax_hugepages hugepages, unsigned on,
                                  unsigned two_mib, unsigned one_gib)
{
    if (hugepages == AX_HUGEPAGES_2M)
        return on | two_mib;
    return hugepages == AX_HUGEPAGES_1G ? on | one_gib : 0;
}

/*
 * Maps size bytes at an address that is as good as the guest's for pages of
 * 2 MiB: only then can the CPU's second-stage tables use such pages.
 */
static void *memory_map_aligned(uint64_t size, int flags, int fd)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    char *room, *aligned;

    if (at == MAP_FAILED || size < HUGE_BYTES || !((uintptr_t)at % HUGE_BYTES))
        return at;
    munmap(at, size);
    room = mmap(NULL, size + HUGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    if (room == MAP_FAILED)
        return room;
    aligned = room + (HUGE_BYTES - (uintptr_t)room % HUGE_BYTES) % HUGE_BYTES;
    if (aligned > room)
        munmap(room, (size_t)(aligned - room));
    munmap(aligned + size, (size_t)(room + HUGE_BYTES - aligned));
    at = mmap(aligned, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
    if (at == MAP_FAILED)
        munmap(aligned, size);
    return at;
}

static int memory_map(const struct ax_memory *mem, struct ax_region *region)
{
    /* ROM is small and of odd sizes: huge pages are for RAM. */
    enum ax_hugepages hugepages =
        region->kind == AX_REGION_RAM ? mem->hugepages : AX_HUGEPAGES_OFF;
    unsigned flags = 0; /* no MAP_NORESERVE: the host shall refuse too much */

    region->fd = -1;
    if (mem->backing == AX_BACKING_MEMFD) {
        region->fd = memfd_create(
            "guest-ram",
            MFD_CLOEXEC | memory_huge_flags(hugepages, MFD_HUGETLB,
                                            MFD_HUGE_2MB, MFD_HUGE_1GB));
        if (region->fd < 0)
            return -errno;
        if (ftruncate(region->fd, (off_t)region->size))
            return -errno;
        flags |= MAP_SHARED;
    } else {
        flags |= MAP_PRIVATE | MAP_ANONYMOUS |
                 memory_huge_flags(hugepages, MAP_HUGETLB, MAP_HUGE_2MB,
                                   (unsigned)MAP_HUGE_1GB);
    }
    region->hva = memory_map_aligned(region->size, (int)flags, region->fd);
    if (region->hva == MAP_FAILED) {
        region->hva = NULL;
        return -errno;
    }
    if (hugepages == AX_HUGEPAGES_TRANSPARENT)
        madvise(region->hva, region->size, MADV_HUGEPAGE); /* best effort */
    /* Guest secrets do not belong into our core dump. */
    madvise(region->hva, region->size, MADV_DONTDUMP);
    return 0;
}

int ax_memory_add(struct ax_memory *mem, ax_gpa gpa, uint64_t size,
                  enum ax_region_kind kind)
{
    struct ax_region region = {.gpa = gpa, .size = size, .kind = kind};
    unsigned at = 0;
    int err;

    if (!size || gpa % PAGE_BYTES || size % PAGE_BYTES ||
        gpa > UINT64_MAX - size)
        return -EINVAL;
    if (mem->count == AX_MEMORY_REGIONS)
        return -ENOSPC;
    for (unsigned i = 0; i < mem->count; i++) {
        const struct ax_region *r = &mem->regions[i];

        if (ax_range_overlaps(gpa, size, r->gpa, r->size))
            return -EEXIST;
        if (r->gpa < gpa)
            at = i + 1;
    }
    err = memory_map(mem, &region);
    if (err) {
        if (region.fd >= 0)
            close(region.fd);
        return err;
    }
    memmove(&mem->regions[at + 1], &mem->regions[at],
            (mem->count - at) * sizeof(mem->regions[0]));
    mem->regions[at] = region;
    mem->count++;
    return 0;
}

static const struct ax_region *memory_find(const struct ax_memory *mem,
                                           ax_gpa gpa, uint64_t len)
{
    if (!len)
        return NULL;
    for (unsigned i = 0; i < mem->count; i++) {
        const struct ax_region *r = &mem->regions[i];

        if (ax_range_within(gpa, len, r->gpa, r->size))
            return r;
    }
    return NULL;
}

void *ax_memory_at(const struct ax_memory *mem, ax_gpa gpa, uint64_t len,
                   unsigned prot)
{
    const struct ax_region *r = memory_find(mem, gpa, len);

    if (!r || (r->kind == AX_REGION_ROM && (prot & AX_PROT_WRITE)))
        return NULL;
    return (char *)r->hva + (gpa - r->gpa);
}

void *ax_memory_at_load(const struct ax_memory *mem, ax_gpa gpa, uint64_t len)
{
    const struct ax_region *r = memory_find(mem, gpa, len);

    return r ? (char *)r->hva + (gpa - r->gpa) : NULL;
}

bool ax_memory_gpa(const struct ax_memory *mem, const void *hva, ax_gpa *gpa)
{
    for (unsigned i = 0; i < mem->count; i++) {
        const struct ax_region *r = &mem->regions[i];

        if (ax_range_within((uintptr_t)hva, 1, (uintptr_t)r->hva, r->size)) {
            *gpa = r->gpa + ((uintptr_t)hva - (uintptr_t)r->hva);
            return true;
        }
    }
    return false;
}

uint64_t ax_memory_ram(const struct ax_memory *mem)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < mem->count; i++)
        sum += mem->regions[i].kind == AX_REGION_RAM ? mem->regions[i].size : 0;
    return sum;
}

uint64_t ax_memory_size(const struct ax_memory *mem)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < mem->count; i++)
        sum += mem->regions[i].size;
    return sum;
}
