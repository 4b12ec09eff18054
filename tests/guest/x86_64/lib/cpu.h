/*
 * cpu.h - single instructions as functions, and memory accesses of an exact
 * width. Freestanding, x86_64, CPL 0 unless said otherwise.
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint8_t in8(uint16_t port)
{
    uint8_t val;

    __asm__ volatile("inb %1, %0" : "=a"(val) : "Nd"(port));
    return val;
}

static inline uint16_t in16(uint16_t port)
{
    uint16_t val;

    __asm__ volatile("inw %1, %0" : "=a"(val) : "Nd"(port));
    return val;
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t val;

    __asm__ volatile("inl %1, %0" : "=a"(val) : "Nd"(port));
    return val;
}

static inline void out8(uint16_t port, uint8_t val)
{
    __asm__ volatile("outb %0, %1" : : "a"(val), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t val)
{
    __asm__ volatile("outw %0, %1" : : "a"(val), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t val)
{
    __asm__ volatile("outl %0, %1" : : "a"(val), "Nd"(port));
}

#define GUEST_MMIO(bits, suffix)                                               \
    static inline uint##bits##_t read##bits(uint64_t addr)                     \
    {                                                                          \
        uint##bits##_t val;                                                    \
                                                                               \
        __asm__ volatile("mov" suffix " (%1), %0"                              \
                         : "=r"(val)                                           \
                         : "r"(addr)                                           \
                         : "memory");                                          \
        return val;                                                            \
    }                                                                          \
    static inline void write##bits(uint64_t addr, uint##bits##_t val)          \
    {                                                                          \
        __asm__ volatile("mov" suffix " %0, (%1)"                              \
                         :                                                     \
                         : "r"(val), "r"(addr)                                 \
                         : "memory");                                          \
    }

GUEST_MMIO(8, "b")
GUEST_MMIO(16, "w")
GUEST_MMIO(32, "l")
GUEST_MMIO(64, "q")

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;

    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t val)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)val), "d"((uint32_t)(val >> 32))
                     : "memory");
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline uint64_t read_cr0(void)
{
    uint64_t val;

    __asm__ volatile("movq %%cr0, %0" : "=r"(val));
    return val;
}

static inline uint64_t read_cr2(void)
{
    uint64_t val;

    __asm__ volatile("movq %%cr2, %0" : "=r"(val));
    return val;
}

static inline uint64_t read_cr4(void)
{
    uint64_t val;

    __asm__ volatile("movq %%cr4, %0" : "=r"(val));
    return val;
}

static inline uint64_t read_flags(void)
{
    uint64_t val;

    __asm__ volatile("pushfq; popq %0" : "=r"(val));
    return val;
}

static inline void invlpg(const volatile void *addr)
{
    __asm__ volatile("invlpg (%0)" : : "r"(addr) : "memory");
}

static inline void cli(void)
{
    __asm__ volatile("cli" : : : "memory");
}

static inline void sti(void)
{
    __asm__ volatile("sti" : : : "memory");
}

static inline void pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

/* Enables interrupts and sleeps; none can slip in between the two. */
static inline void sti_hlt(void)
{
    __asm__ volatile("sti; hlt" : : : "memory");
}

static inline void barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

static inline uint32_t atomic_add(volatile uint32_t *to, uint32_t val)
{
    return __atomic_add_fetch(to, val, __ATOMIC_SEQ_CST);
}

#endif
