/*
 * cpuid.c - the CPUID policy: Intel SDM 2A CPUID, AMD APM 3 appendix E, and
 * Documentation/virt/kvm/x86/cpuid.rst for the leaves at 0x4000_0000.
 */
#include "arch/x86_64/cpuid.h"

#include <string.h>

enum reg { EAX, EBX, ECX, EDX };

enum {
    LEAF_BASIC = 0x0,
    LEAF_FEATURES = 0x1,
    LEAF_CACHE = 0x4,
    LEAF_EXTENDED_FEATURES = 0x7,
    LEAF_TOPOLOGY = 0xb,
    LEAF_TSC = 0x15,
    LEAF_TOPOLOGY_V2 = 0x1f,
};
#define LEAF_HYPERVISOR 0x40000000U
#define LEAF_KVM        0x40000001U
#define LEAF_FREQUENCY  0x40000010U
#define LEAF_AMD        0x80000001U
#define LEAF_AMD_CACHE  0x8000001dU
#define LEAF_AMD_SIZES  0x80000008U
#define LEAF_AMD_NODE   0x8000001eU

struct feature {
    const char *name; /* as /proc/cpuinfo spells it */
    uint32_t leaf;    /* subleaf 0 */
    enum reg reg;
    unsigned bit;
};

static const struct feature features[] = {
    {"sse3", LEAF_FEATURES, ECX, 0},
    {"pclmulqdq", LEAF_FEATURES, ECX, 1},
    {"monitor", LEAF_FEATURES, ECX, 3},
    {"vmx", LEAF_FEATURES, ECX, 5},
    {"ssse3", LEAF_FEATURES, ECX, 9},
    {"fma", LEAF_FEATURES, ECX, 12},
    {"cx16", LEAF_FEATURES, ECX, 13},
    {"pcid", LEAF_FEATURES, ECX, 17},
    {"sse4_1", LEAF_FEATURES, ECX, 19},
    {"sse4_2", LEAF_FEATURES, ECX, 20},
    {"x2apic", LEAF_FEATURES, ECX, 21},
    {"movbe", LEAF_FEATURES, ECX, 22},
    {"popcnt", LEAF_FEATURES, ECX, 23},
    {"tsc_deadline_timer", LEAF_FEATURES, ECX, 24},
    {"aes", LEAF_FEATURES, ECX, 25},
    {"xsave", LEAF_FEATURES, ECX, 26},
    {"avx", LEAF_FEATURES, ECX, 28},
    {"f16c", LEAF_FEATURES, ECX, 29},
    {"rdrand", LEAF_FEATURES, ECX, 30},
    {"hypervisor", LEAF_FEATURES, ECX, 31},
    {"pse", LEAF_FEATURES, EDX, 3},
    {"tsc", LEAF_FEATURES, EDX, 4},
    {"mce", LEAF_FEATURES, EDX, 7},
    {"mtrr", LEAF_FEATURES, EDX, 12},
    {"mca", LEAF_FEATURES, EDX, 14},
    {"pat", LEAF_FEATURES, EDX, 16},
    {"clflush", LEAF_FEATURES, EDX, 19},
    {"fsgsbase", LEAF_EXTENDED_FEATURES, EBX, 0},
    {"tsc_adjust", LEAF_EXTENDED_FEATURES, EBX, 1},
    {"bmi1", LEAF_EXTENDED_FEATURES, EBX, 3},
    {"avx2", LEAF_EXTENDED_FEATURES, EBX, 5},
    {"smep", LEAF_EXTENDED_FEATURES, EBX, 7},
    {"bmi2", LEAF_EXTENDED_FEATURES, EBX, 8},
    {"erms", LEAF_EXTENDED_FEATURES, EBX, 9},
    {"invpcid", LEAF_EXTENDED_FEATURES, EBX, 10},
    {"mpx", LEAF_EXTENDED_FEATURES, EBX, 14},
    {"avx512f", LEAF_EXTENDED_FEATURES, EBX, 16},
    {"rdseed", LEAF_EXTENDED_FEATURES, EBX, 18},
    {"adx", LEAF_EXTENDED_FEATURES, EBX, 19},
    {"smap", LEAF_EXTENDED_FEATURES, EBX, 20},
    {"clflushopt", LEAF_EXTENDED_FEATURES, EBX, 23},
    {"clwb", LEAF_EXTENDED_FEATURES, EBX, 24},
    {"sha_ni", LEAF_EXTENDED_FEATURES, EBX, 29},
    {"umip", LEAF_EXTENDED_FEATURES, ECX, 2},
    {"pku", LEAF_EXTENDED_FEATURES, ECX, 3},
    {"waitpkg", LEAF_EXTENDED_FEATURES, ECX, 5},
    {"la57", LEAF_EXTENDED_FEATURES, ECX, 16},
    {"rdpid", LEAF_EXTENDED_FEATURES, ECX, 22},
    {"svm", LEAF_AMD, ECX, 2},
    {"abm", LEAF_AMD, ECX, 5},
    {"sse4a", LEAF_AMD, ECX, 6},
    {"nx", LEAF_AMD, EDX, 20},
    {"pdpe1gb", LEAF_AMD, EDX, 26},
    {"rdtscp", LEAF_AMD, EDX, 27},
    {"kvm-clock", LEAF_KVM, EAX, 3},
    {"kvm-async-pf", LEAF_KVM, EAX, 4},
    {"kvm-steal-time", LEAF_KVM, EAX, 5},
    {"kvm-pv-eoi", LEAF_KVM, EAX, 6},
    {"kvm-pv-unhalt", LEAF_KVM, EAX, 7},
    {"kvm-pv-tlb-flush", LEAF_KVM, EAX, 9},
    {"kvm-pv-ipi", LEAF_KVM, EAX, 11},
    {"kvm-pv-sched-yield", LEAF_KVM, EAX, 13},
};

/*
 * Hidden unless exposed. Nested virtualization: the guest would see what the
 * host can do. The kvm-pv ones make the guest call VMCALL, which software KVMs
 * (kvm-pvm) cannot take outside ring 3.
 */
static const char *const hidden[] = {
    "vmx",
    "svm",
    "waitpkg",
    "kvm-pv-unhalt",
    "kvm-pv-ipi",
    "kvm-pv-tlb-flush",
    "kvm-pv-sched-yield",
};

static const struct feature *feature_find(const char *name)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(features); i++) {
        if (!strcmp(features[i].name, name))
            return &features[i];
    }
    return NULL;
}

bool ax_cpuid_known(const char *name)
{
    return feature_find(name);
}

const char *ax_cpuid_suggest(const char *name)
{
    const char *best = NULL;
    size_t longest = 1; /* a single letter in common says nothing */

    for (size_t i = 0; i < AX_ARRAY_LEN(features); i++) {
        size_t n = 0;

        while (name[n] && name[n] == features[i].name[n])
            n++;
        if (n > longest) {
            longest = n;
            best = features[i].name;
        }
    }
    return best;
}

static struct ax_cpuid_entry *cpuid_find(struct ax_cpuid *cpuid, uint32_t leaf,
                                         uint32_t subleaf)
{
    for (unsigned i = 0; i < cpuid->count; i++) {
        struct ax_cpuid_entry *e = &cpuid->entries[i];

        if (e->leaf == leaf && (!e->indexed || e->subleaf == subleaf))
            return e;
    }
    return NULL;
}

/* The entry to fill; NULL only when the table is full. */
static struct ax_cpuid_entry *cpuid_make(struct ax_cpuid *cpuid, uint32_t leaf,
                                         uint32_t subleaf, bool indexed)
{
    struct ax_cpuid_entry *e = cpuid_find(cpuid, leaf, subleaf);

    if (!e && cpuid->count < AX_CPUID_ENTRIES)
        e = &cpuid->entries[cpuid->count++];
    if (e)
        *e = (struct ax_cpuid_entry){
            .leaf = leaf, .subleaf = subleaf, .indexed = indexed};
    return e;
}

static void cpuid_drop(struct ax_cpuid *cpuid, uint32_t leaf)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < cpuid->count; i++) {
        if (cpuid->entries[i].leaf != leaf)
            cpuid->entries[kept++] = cpuid->entries[i];
    }
    cpuid->count = kept;
}

static uint32_t *entry_reg(struct ax_cpuid_entry *e, enum reg reg)
{
    return reg == EAX   ? &e->eax
           : reg == EBX ? &e->ebx
           : reg == ECX ? &e->ecx
                        : &e->edx;
}

static void cpuid_set(struct ax_cpuid *cpuid, const struct feature *f, bool on)
{
    struct ax_cpuid_entry *e = cpuid_find(cpuid, f->leaf, 0);

    if (e && on)
        *entry_reg(e, f->reg) |= 1U << f->bit;
    else if (e)
        *entry_reg(e, f->reg) &= ~(1U << f->bit);
}

static bool list_has(const char *const *list, const char *name)
{
    for (; list && *list; list++) {
        if (!strcmp(*list, name))
            return true;
    }
    return false;
}

static void cpuid_mask(struct ax_cpuid *cpuid,
                       const struct ax_cpu_policy *policy)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(hidden); i++) {
        if (!list_has(policy->expose, hidden[i]))
            cpuid_set(cpuid, feature_find(hidden[i]), false);
    }
    for (const char *const *name = policy->hide; name && *name; name++) {
        const struct feature *f = feature_find(*name);

        if (f)
            cpuid_set(cpuid, f, false);
    }
}

/* Bits that number the given count of things. */
static unsigned bits_for(unsigned count)
{
    unsigned bits = 0;

    while (1U << bits < count)
        bits++;
    return bits;
}

/* The APIC id space: ids may be sparse, so the largest one counts. */
static unsigned policy_id_bits(const struct ax_cpu_policy *policy)
{
    uint64_t last = 0;

    for (unsigned i = 0; i < policy->cpus; i++)
        last = policy->ids[i] > last ? policy->ids[i] : last;
    return bits_for((unsigned)last + 1);
}

/* Leaf 0xb: one package, every vCPU a core of one thread (SDM 2A). */
static void cpuid_topology_leaf(struct ax_cpuid *cpuid, uint32_t id,
                                unsigned cpus, unsigned bits)
{
    struct ax_cpuid_entry *e = cpuid_make(cpuid, LEAF_TOPOLOGY, 0, true);

    if (e) { /* threads of a core */
        e->ebx = 1;
        e->ecx = 1U << 8;
        e->edx = id;
    }
    e = cpuid_make(cpuid, LEAF_TOPOLOGY, 1, true);
    if (e) { /* cores of the package */
        e->eax = bits;
        e->ebx = cpus;
        e->ecx = 2U << 8 | 1;
        e->edx = id;
    }
    e = cpuid_make(cpuid, LEAF_TOPOLOGY, 2, true);
    if (e) { /* the end of the list */
        e->ecx = 2;
        e->edx = id;
    }
}

static void cpuid_topology(struct ax_cpuid *cpuid,
                           const struct ax_cpu_policy *policy, unsigned index)
{
    unsigned bits = policy_id_bits(policy);
    uint32_t id = (uint32_t)policy->ids[index];
    struct ax_cpuid_entry *e = cpuid_find(cpuid, LEAF_FEATURES, 0);

    if (e) {
        e->ebx = (e->ebx & 0xffff) | id << 24 | (1U << bits & 0xff) << 16;
        e->edx = policy->cpus > 1 ? e->edx | 1U << 28 : e->edx & ~(1U << 28);
    }
    for (unsigned i = 0; i < cpuid->count; i++) {
        e = &cpuid->entries[i];
        /* Caches 1 and 2 belong to a core, larger ones to the package. */
        if ((e->leaf == LEAF_CACHE || e->leaf == LEAF_AMD_CACHE) &&
            (e->eax & 0x1f)) {
            unsigned level = e->eax >> 5 & 7;
            uint32_t sharing = level > 2 ? (1U << bits) - 1 : 0;

            e->eax = (e->eax & 0x3fff) | sharing << 14;
            if (e->leaf == LEAF_CACHE)
                e->eax |= ((1U << bits) - 1 > 63 ? 63 : (1U << bits) - 1) << 26;
        }
    }
    cpuid_drop(cpuid, LEAF_TOPOLOGY);
    cpuid_drop(cpuid, LEAF_TOPOLOGY_V2);
    cpuid_topology_leaf(cpuid, id, policy->cpus, bits);
    e = cpuid_find(cpuid, LEAF_AMD_SIZES, 0);
    if (e)
        e->ecx = (e->ecx & ~0xf0ffU) | bits << 12 | (policy->cpus - 1);
    e = cpuid_find(cpuid, LEAF_AMD_NODE, 0);
    if (e) {
        e->eax = id;
        e->ebx = id & 0xff; /* core id, one thread per core */
        e->ecx = 0;
    }
}

static void cpuid_hypervisor(struct ax_cpuid *cpuid,
                             const struct ax_cpuid_facts *facts)
{
    struct ax_cpuid_entry *e = cpuid_find(cpuid, LEAF_HYPERVISOR, 0);

    if (!e || !facts->tsc_khz)
        return;
    if (e->eax < LEAF_FREQUENCY)
        e->eax = LEAF_FREQUENCY;
    e = cpuid_make(cpuid, LEAF_FREQUENCY, 0, false);
    if (e) {
        e->eax = facts->tsc_khz;
        e->ebx = facts->apic_khz;
    }
}

/* Leaf 0x15: TSC Hz = crystal Hz (ECX) * EBX / EAX; the APIC runs at crystal.
 */
static void cpuid_frequency(struct ax_cpuid *cpuid,
                            const struct ax_cpuid_facts *facts)
{
    struct ax_cpuid_entry *basic = cpuid_find(cpuid, LEAF_BASIC, 0);
    struct ax_cpuid_entry *e;

    if (!basic || basic->eax < LEAF_TSC || !facts->tsc_khz || !facts->apic_khz)
        return;
    e = cpuid_make(cpuid, LEAF_TSC, 0, false);
    if (e) {
        e->eax = facts->apic_khz;
        e->ebx = facts->tsc_khz;
        e->ecx =
            facts->apic_khz <= UINT32_MAX / 1000 ? facts->apic_khz * 1000 : 0;
    }
}

void ax_cpuid_apply(struct ax_cpuid *cpuid, const struct ax_cpuid_facts *facts,
                    const struct ax_cpu_policy *policy, unsigned index)
{
    cpuid_set(cpuid, feature_find("hypervisor"), true);
    cpuid_set(cpuid, feature_find("x2apic"), facts->apic);
    cpuid_set(cpuid, feature_find("tsc_deadline_timer"),
              facts->apic && facts->tsc_deadline);
    cpuid_topology(cpuid, policy, index);
    cpuid_hypervisor(cpuid, facts);
    cpuid_frequency(cpuid, facts);
    cpuid_mask(cpuid, policy);
}
