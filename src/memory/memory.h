/*
 * memory.h - guest-physical memory: where it lies and the one door to it.
 *
 * The map is built by the loop thread and frozen before the first vCPU runs;
 * look-ups then take no lock and may come from any thread. Nothing else in the
 * process turns a guest address into a pointer.
 */
#ifndef AX_MEMORY_MEMORY_H
#define AX_MEMORY_MEMORY_H

#include "base.h"

enum ax_region_kind {
    AX_REGION_RAM,
    AX_REGION_ROM, /* guest writes are refused; we may write through hva */
};

enum ax_hugepages {
    AX_HUGEPAGES_OFF,         /* plain 4 KiB pages */
    AX_HUGEPAGES_TRANSPARENT, /* madvise(MADV_HUGEPAGE) */
    AX_HUGEPAGES_2M,          /* hugetlbfs pages; fails if none are free */
    AX_HUGEPAGES_1G,
};

enum ax_memory_backing {
    AX_BACKING_ANONYMOUS,
    AX_BACKING_MEMFD, /* shareable with other processes (vhost-user, IVC) */
};

enum { AX_MEMORY_REGIONS = 32 };

struct ax_region {
    ax_gpa gpa;
    uint64_t size; /* bytes, page aligned like gpa */
    void *hva;
    enum ax_region_kind kind;
    int fd; /* memfd, or -1 */
};

struct ax_memory {
    enum ax_memory_backing backing;
    enum ax_hugepages hugepages;
    unsigned count;
    struct ax_region regions[AX_MEMORY_REGIONS]; /* by gpa, disjoint */
};

/* An empty map; backing and hugepages hold for all regions added later. */
void ax_memory_init(struct ax_memory *mem, enum ax_memory_backing backing,
                    enum ax_hugepages hugepages);

/* Unmaps everything. The engine must have let go of it before. */
void ax_memory_fini(struct ax_memory *mem);

/*
 * Adds zeroed memory at gpa. -EINVAL: not page aligned, empty or wrapping;
 * -EEXIST: overlaps a region; -ENOSPC: too many; else the host's -errno.
 */
int ax_memory_add(struct ax_memory *mem, ax_gpa gpa, uint64_t size,
                  enum ax_region_kind kind);

/*
 * The only door to guest memory: a pointer to [gpa, gpa + len), or NULL unless
 * one region holds it all and allows prot (AX_PROT_*). len 0 gives NULL.
 */
void *ax_memory_at(const struct ax_memory *mem, ax_gpa gpa, uint64_t len,
                   unsigned prot);

/* As ax_memory_at for loaders: may write ROM too. Before the guest runs. */
void *ax_memory_at_load(const struct ax_memory *mem, ax_gpa gpa, uint64_t len);

/*
 * Gives all pages back to the host and keeps the map: what is read from now on
 * is zero. Best effort; nobody else may be using the memory.
 */
void ax_memory_discard(const struct ax_memory *mem);

/*
 * Gives whole pages of RAM back to the host while the guest runs: they read as
 * zero until they are written. 0; -EINVAL: not page aligned, empty, or not RAM
 * of one region; -EOPNOTSUPP: the pages are larger than 4 KiB; or -errno.
 */
int ax_memory_discard_range(const struct ax_memory *mem, ax_gpa gpa,
                            uint64_t size);

/* The address of what ax_memory_at has given; false: that is none of ours. */
bool ax_memory_gpa(const struct ax_memory *mem, const void *hva, ax_gpa *gpa);

/* Bytes of RAM in all regions. */
uint64_t ax_memory_ram(const struct ax_memory *mem);

/* Bytes of RAM and ROM in all regions. */
uint64_t ax_memory_size(const struct ax_memory *mem);

#endif
