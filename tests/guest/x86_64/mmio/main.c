/*
 * main.c - memory accesses where there is no memory: every width, every
 * alignment, across pages, at the end of RAM, and at the APICs.
 */
#include "guest.h"
#include "irq.h"

#define HOLE 0xd0000000ULL

static void check_widths(void)
{
    bool ones = true;

    for (unsigned off = 0; off < 8; off++)
        ones &= read8(HOLE + off) == 0xff && read16(HOLE + off) == 0xffff &&
                read32(HOLE + off) == 0xffffffff && read64(HOLE + off) == ~0ULL;
    report(ones, "a hole reads all ones: every width, every alignment");
    ones = true;
    for (unsigned off = 4096 - 8; off < 4096; off++)
        ones &= read16(HOLE + off) == 0xffff &&
                read32(HOLE + off) == 0xffffffff && read64(HOLE + off) == ~0ULL;
    report(ones, "and across a page");
    for (unsigned off = 4096 - 8; off < 4096; off++) {
        write8(HOLE + off, 0);
        write16(HOLE + off, 0);
        write32(HOLE + off, 0);
        write64(HOLE + off, 0);
    }
    report(read64(HOLE + 4092) == ~0ULL, "writes to a hole are lost");
}

static void check_registers(void)
{
    uint64_t val = 0x1122334455667788;

    __asm__ volatile("movb (%1), %b0" : "+q"(val) : "r"(HOLE));
    report(val == 0x11223344556677ff, "MOV r8 changes the low byte alone");
    val = 0x1122334455667788;
    __asm__ volatile("movl (%1), %k0" : "+r"(val) : "r"(HOLE));
    report(val == 0xffffffff, "MOV r32 clears the upper half");
    __asm__ volatile("movzbq (%1), %0" : "=r"(val) : "r"(HOLE));
    report(val == 0xff, "MOVZX of a byte");
    __asm__ volatile("movzwl (%1), %k0" : "=r"(val) : "r"(HOLE));
    report(val == 0xffff, "MOVZX of a word");
    __asm__ volatile("movsbq (%1), %0" : "=r"(val) : "r"(HOLE));
    report(val == ~0ULL, "MOVSX of a byte");
    __asm__ volatile("movslq (%1), %0" : "=r"(val) : "r"(HOLE));
    report(val == ~0ULL, "MOVSXD of a doubleword");
}

/* Instructions that read, or read and write, as part of something else. */
static void check_operations(void)
{
    uint64_t val = 5, flags;

    __asm__ volatile("addl (%1), %k0" : "+r"(val) : "r"(HOLE) : "cc");
    report(val == 4, "ADD from a hole");
    __asm__ volatile("testl $0x80000000, (%1); pushfq; popq %0"
                     : "=r"(flags)
                     : "r"(HOLE)
                     : "cc");
    report((flags & 0xc0) == 0x80, "TEST at a hole");
    __asm__ volatile("orl $1, (%0)" : : "r"(HOLE) : "cc", "memory");
    __asm__ volatile("lock; addl $1, (%0)" : : "r"(HOLE) : "cc", "memory");
    val = 7;
    __asm__ volatile("xchgl %k0, (%1)" : "+r"(val) : "r"(HOLE) : "memory");
    report(val == 0xffffffff, "XCHG with a hole");
    __asm__ volatile("movq %1, %%rsi; movq %2, %%rdi; movl $9, %%ecx; "
                     "rep movsb; movl %%ecx, %k0"
                     : "=r"(val)
                     : "r"(HOLE), "r"(HOLE + 0x1000)
                     : "rsi", "rdi", "rcx", "memory");
    report(val == 0, "REP MOVSB from hole to hole");
}

static void check_strings(void)
{
    static uint32_t words[6];
    uint64_t from = HOLE + 4090, to = (uint64_t)(words + 1), count = 4;

    __asm__ volatile("rep movsl"
                     : "+S"(from), "+D"(to), "+c"(count)
                     :
                     : "memory");
    report(!count && to == (uint64_t)(words + 5) && !words[0] && !words[5] &&
               words[1] == ~0U && words[4] == ~0U,
           "REP MOVSD from a hole across a page");
    to = HOLE + 4088;
    count = 8;
    __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    report(!count && to == HOLE + 4120, "REP STOSD to a hole");
}

/* The last bytes of RAM and what follows them, in one access. */
static void check_end_of_ram(void)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < boot.range_count; i++)
        if (boot.ranges[i].base + boot.ranges[i].size <= HOLE &&
            boot.ranges[i].type == RANGE_RAM)
            end = boot.ranges[i].base + boot.ranges[i].size;
    for (unsigned i = 0; i < boot.range_count; i++)
        if (boot.ranges[i].base == end)
            end = 0;
    if (!end) {
        report_skip("end of RAM: something else follows it");
        return;
    }
    write32(end - 4, 0x12345678);
    report(read64(end - 4) == 0xffffffff12345678,
           "a read half in RAM, half in the hole behind it");
    write64(end - 4, 0xaaaaaaaabbbbbbbb);
    report(read32(end - 4) == 0xbbbbbbbb,
           "a write half in RAM, half in the hole behind it");
}

static void check_apics(void)
{
    report((lapic_read(LAPIC_VERSION) & 0xff) >= 0x10,
           "the local APIC answers at its address");
    lapic_write(LAPIC_TPR, 0x30);
    report(lapic_read(LAPIC_TPR) == 0x30, "and keeps a register's value");
    lapic_write(LAPIC_TPR, 0);
    report((ioapic_read(1) >> 16 & 0xff) == 23, "the I/O APIC has 24 pins");
    ioapic_write(0x11, 0x5a000000);
    report(ioapic_read(0x11) == 0x5a000000, "and keeps a register's value");
    /* Not architectural: whatever comes, the guest goes on. */
    (void)read8(IOAPIC_BASE + 0x10);
    (void)read16(IOAPIC_BASE + 0x0e);
    (void)read64(IOAPIC_BASE + 0x10);
    write8(IOAPIC_BASE + 0x20, 1);
    write64(IOAPIC_BASE + 0xff8, 1);
    (void)read32(IOAPIC_BASE + 0xffe);
    report((ioapic_read(1) & 0xff) >= 0x11, "odd accesses leave it alive");
}

void guest_main(void)
{
    check_widths();
    check_registers();
    check_operations();
    check_strings();
    check_end_of_ram();
    check_apics();
}
