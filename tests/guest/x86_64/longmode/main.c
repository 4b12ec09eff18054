/*
 * main.c - the CPU in long mode: control registers, CPUID's sanity, MSRs at
 * their reset values, exceptions. cpus=N: what the topology must say.
 */
#include "guest.h"
#include "irq.h"
#include "trap.h"

enum {
    MSR_EFER = 0xc0000080,
    MSR_PAT = 0x277,
    MSR_MTRR_CAP = 0xfe,
    MSR_MTRR_DEF = 0x2ff,
    MSR_TSC = 0x10,
    MSR_KERNEL_GS = 0xc0000102,
    MSR_NOBODY = 0x12345,
    EFER_LMA = 0x400,
    EFER_LME = 0x100,
    APIC_BASE_BSP = 0x100,
    APIC_BASE_ON = 0x800,
    MTRR_ON = 0x800,
};
#define PAT_RESET 0x0007040600070406ULL

/* CPUID bits. */
enum {
    ECX1_VMX = 1 << 5,
    EDX1_TSC = 1 << 4,
    EDX1_MSR = 1 << 5,
    EDX1_APIC = 1 << 9,
    EDX1_HTT = 1 << 28,
    EDX81_LONG = 1 << 29,
    ECX81_SVM = 1 << 2,
};
#define ECX1_HYPERVISOR (1U << 31)

static void check_mode(void)
{
    uint64_t cs, rsp;

    report((read_cr0() & 0x80000001) == 0x80000001, "CR0: paging, protection");
    report(read_cr4() & 0x20, "CR4: PAE");
    report((rdmsr(MSR_EFER) & (EFER_LMA | EFER_LME)) == (EFER_LMA | EFER_LME),
           "EFER: long mode enabled and active");
    __asm__ volatile("movq %%cs, %0; movq %%rsp, %1" : "=r"(cs), "=r"(rsp));
    report((cs & 3) == 0 && rsp != 0, "ring 0, with a stack");
    report((read_flags() & 0x202) == 2, "interrupts are off at the start");
}

static bool printable(const uint32_t *regs)
{
    const char *text = (const char *)regs;

    for (unsigned i = 0; i < 12; i++)
        if (text[i] && (text[i] < ' ' || text[i] > '~'))
            return false;
    return text[0] != '\0';
}

static void check_features(void)
{
    struct cpuid one = cpuid(1, 0), ext = cpuid(0x80000001, 0);
    struct cpuid top = cpuid(0, 0), hv = cpuid(0x40000000, 0);
    uint32_t vendor[4] = {top.ebx, top.edx, top.ecx, 0};
    uint32_t name[4] = {hv.ebx, hv.ecx, hv.edx, 0};
    uint32_t must = EDX1_TSC | EDX1_MSR | EDX1_APIC;

    report(top.eax >= 1 && top.eax < 0x100, "the highest leaf is 0x%x",
           top.eax);
    report(printable(vendor), "vendor \"%s\"", (const char *)vendor);
    report((one.edx & must) == must, "TSC, MSRs, APIC");
    report(ext.edx & EDX81_LONG, "long mode");
    report(one.ecx & ECX1_HYPERVISOR, "the hypervisor bit");
    report(hv.eax >= 0x40000000 && hv.eax < 0x40010000 && printable(name),
           "signed \"%s\", highest leaf 0x%x", (const char *)name, hv.eax);
    report(!(one.ecx & ECX1_VMX), "no VT-x unless exposed");
    report(!(ext.ecx & ECX81_SVM), "no SVM unless exposed");
}

static void check_topology(unsigned cpus)
{
    struct cpuid one = cpuid(1, 0), level;
    unsigned last = 0;

    report(one.ebx >> 24 == lapic_id(), "leaf 1: this CPU's APIC id");
    if (cpus > 1)
        report((one.edx & EDX1_HTT) && (one.ebx >> 16 & 0xff) >= cpus,
               "leaf 1: %u logical CPUs", one.ebx >> 16 & 0xff);
    if (cpuid(0, 0).eax < 0x0b || !cpuid(0x0b, 0).ebx) {
        report_skip("leaf 0xb: there is none");
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        level = cpuid(0x0b, i);
        if (!(level.ecx >> 8 & 0xff))
            break;
        last = level.ebx & 0xffff;
        report((level.ecx & 0xff) == i && level.edx == lapic_id(),
               "leaf 0xb level %u: its number and the APIC id", i);
    }
    report(last == cpus, "leaf 0xb: %u CPUs in the package", last);
}

static uint64_t cpuid_tsc_hz(void)
{
    struct cpuid clock;

    if (cpuid(0x40000000, 0).eax >= 0x40000010 && cpuid(0x40000010, 0).eax)
        return cpuid(0x40000010, 0).eax * 1000ULL;
    clock = cpuid(0x15, 0);
    if (cpuid(0, 0).eax >= 0x15 && clock.eax && clock.ebx && clock.ecx)
        return (uint64_t)clock.ecx * clock.ebx / clock.eax;
    clock = cpuid(0x16, 0);
    return cpuid(0, 0).eax >= 0x16 ? (clock.eax & 0xffff) * 1000000ULL : 0;
}

/*
 * Within a factor of two: it is the unit that goes wrong. The host may sleep in
 * the middle of a measurement, so one good one of several suffices.
 */
static void check_tsc(void)
{
    enum { TRIES = 20 };
    uint64_t told = cpuid_tsc_hz(), real = 0, began = rdtsc();
    bool good = false;

    report(rdtsc() > began, "the TSC runs");
    if (!told) {
        report_skip("CPUID does not tell the TSC's frequency");
        return;
    }
    for (unsigned i = 0; i < TRIES && !good; i++) {
        real = tsc_measure();
        good = told > real / 2 && told < real * 2;
    }
    report(good, "the TSC's frequency: %lu MHz told, %lu MHz measured",
           told / 1000000, real / 1000000);
}

static void read_msr(void *arg)
{
    *(uint64_t *)arg = rdmsr(MSR_NOBODY);
}

static void write_msr(void *arg)
{
    (void)arg;
    wrmsr(MSR_NOBODY, 1);
}

static void check_msrs(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE), val = 0;
    int trap;

    report((base & ~0xfffULL) == LAPIC_BASE && (base & APIC_BASE_BSP) &&
               (base & APIC_BASE_ON),
           "APIC base: its address, on, boot CPU");
    report(rdmsr(MSR_PAT) == PAT_RESET, "PAT at its reset value");
    report(rdmsr(MSR_MTRR_DEF) & MTRR_ON || !(rdmsr(MSR_MTRR_CAP) & 0xff),
           "MTRRs are on");
    wrmsr(MSR_KERNEL_GS, 0x123456789abc);
    report(rdmsr(MSR_KERNEL_GS) == 0x123456789abc,
           "KernelGSbase keeps a value");
    report(rdmsr(MSR_TSC) > 0, "the TSC as an MSR");
    trap = trap_try(read_msr, &val);
    report(trap == TRAP_GP || (trap == TRAP_NONE && !val),
           "an unknown MSR: #GP, or 0 if the host ignores it");
    trap = trap_try(write_msr, NULL);
    report(trap == TRAP_GP || trap == TRAP_NONE, "a write to it as well");
}

static void divide(void *arg)
{
    uint32_t low = 1, high = 0;

    __asm__ volatile("divl %2" : "+a"(low), "+d"(high) : "r"(0) : "cc");
    *(uint32_t *)arg = low;
}

static void touch(void *arg)
{
    (void)read8((uint64_t)arg);
}

static void undefined(void *arg)
{
    (void)arg;
    __asm__ volatile("ud2");
}

static void check_exceptions(void)
{
    uint32_t val;

    report(trap_try(divide, &val) == TRAP_DE, "#DE");
    report(trap_try(touch, (void *)(1ULL << 40)) == TRAP_PF &&
               read_cr2() == 1ULL << 40 && trap_last.error == 0,
           "#PF with address and error code");
    report(trap_try(touch, (void *)(1ULL << 62)) == TRAP_GP,
           "#GP for an address that is not canonical");
    report(trap_try(undefined, NULL) == TRAP_UD, "#UD");
}

void guest_main(void)
{
    check_mode();
    check_features();
    check_topology(cmdline_number("cpus", 1));
    check_tsc();
    check_msrs();
    check_exceptions();
}
