/*
 * base.h - the handful of types that every module shares.
 *
 * Includes nothing of ours and defines no function that could fail.
 */
#ifndef AX_BASE_H
#define AX_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A guest-physical address: what the guest's page tables point to. */
typedef uint64_t ax_gpa;

/* The address spaces in which a device can be reached. */
enum ax_space {
    AX_SPACE_MMIO,
    AX_SPACE_PORT,   /* x86 I/O ports, 16 bits */
    AX_SPACE_SYSREG, /* x86 MSRs, aarch64 system registers */
    AX_SPACES,
};

/* Why a guest, or a device on its behalf, asks for the VM to end. */
enum ax_power_event {
    AX_POWER_OFF,
    AX_POWER_RESET,
    AX_POWER_CRASH, /* triple fault, panic reported by the guest */
    AX_POWER_EXIT,  /* the debug-exit device: comes with the guest's code */
    AX_POWER_FAIL,  /* not the guest: a vCPU could not be set up */
};

/* Access rights of guest memory; the values of AxVisor's MappingFlags. */
enum { AX_PROT_READ = 1, AX_PROT_WRITE = 2, AX_PROT_EXEC = 4 };

enum { AX_CPUS_MAX = 64 }; /* AxVisor's CpuMask width */

#define AX_KIB(n) ((uint64_t)(n) << 10)
#define AX_MIB(n) ((uint64_t)(n) << 20)
#define AX_GIB(n) ((uint64_t)(n) << 30)

#define AX_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define ax_container_of(ptr, type, member)                                     \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* align: a power of two. Rounding up saturates instead of wrapping to 0. */
static inline uint64_t ax_align_down(uint64_t val, uint64_t align)
{
    return val & ~(align - 1);
}

static inline uint64_t ax_align_up(uint64_t val, uint64_t align)
{
    return val > UINT64_MAX - (align - 1) ? ax_align_down(UINT64_MAX, align)
                                          : (val + align - 1) & ~(align - 1);
}

/* Does [inner, inner + inner_len) lie within [outer, outer + outer_len)? */
static inline bool ax_range_within(uint64_t inner, uint64_t inner_len,
                                   uint64_t outer, uint64_t outer_len)
{
    return inner >= outer && inner_len <= outer_len &&
           inner - outer <= outer_len - inner_len;
}

/* Do the ranges share a byte? Empty ranges share none. */
static inline bool ax_range_overlaps(uint64_t a, uint64_t a_len, uint64_t b,
                                     uint64_t b_len)
{
    return a_len && b_len && (a < b ? b - a < a_len : a - b < b_len);
}

#endif
