/* test_cpuid.c - the CPUID policy on made-up hosts. */
#include "arch/x86_64/cpuid.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct ax_cpuid_entry *find(const struct ax_cpuid *cpuid,
                                         uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < cpuid->count; i++) {
        const struct ax_cpuid_entry *e = &cpuid->entries[i];

        if (e->leaf == leaf && (!e->indexed || e->subleaf == subleaf))
            return e;
    }
    return NULL;
}

static struct ax_cpuid host(void)
{
    return (struct ax_cpuid){
        .count = 8,
        .entries =
            {
                {.leaf = 0, .eax = 0x1f},
                {.leaf = 1, .ebx = 0x07ff0800, .ecx = ~0U, .edx = ~0U},
                {.leaf = 4, .subleaf = 3, .indexed = true, .eax = 0xffffc163},
                {.leaf = 0xb, .subleaf = 0, .indexed = true, .eax = 99},
                {.leaf = 0x1f, .subleaf = 0, .indexed = true, .eax = 99},
                {.leaf = 0x40000000, .eax = 0x40000001},
                {.leaf = 0x40000001, .eax = ~0U},
                {.leaf = 0x80000001, .ecx = ~0U},
            },
    };
}

static const struct ax_cpuid_facts facts = {.tsc_khz = 2500000,
                                            .apic_khz = 1000000,
                                            .tsc_deadline = true,
                                            .apic = true};
static const uint64_t ids[] = {0, 1, 2, 3};

Test(cpuid, nested_virtualization_and_hypercalls_are_hidden)
{
    const struct ax_cpu_policy policy = {.cpus = 1, .ids = ids};
    struct ax_cpuid c = host();

    ax_cpuid_apply(&c, &facts, &policy, 0);
    cr_assert_not(find(&c, 1, 0)->ecx & 1U << 5, "vmx");
    cr_assert_not(find(&c, 0x80000001, 0)->ecx & 1U << 2, "svm");
    cr_assert_eq(find(&c, 0x40000001, 0)->eax &
                     (1U << 7 | 1U << 9 | 1U << 11 | 1U << 13),
                 0);
    cr_assert(find(&c, 0x40000001, 0)->eax & 1U << 3, "kvm-clock stays");
    cr_assert(find(&c, 1, 0)->ecx & 1U << 31, "hypervisor");
    cr_assert(find(&c, 1, 0)->ecx & 1U << 21, "x2apic");
    cr_assert(find(&c, 1, 0)->ecx & 1U << 24, "tsc deadline");
}

Test(cpuid, expose_and_hide_win)
{
    static const char *const expose[] = {"vmx", "kvm-pv-ipi", NULL};
    static const char *const hide[] = {"x2apic", "avx", NULL};
    const struct ax_cpu_policy policy = {
        .hide = hide, .expose = expose, .cpus = 1, .ids = ids};
    struct ax_cpuid c = host();

    ax_cpuid_apply(&c, &facts, &policy, 0);
    cr_assert(find(&c, 1, 0)->ecx & 1U << 5);
    cr_assert(find(&c, 0x40000001, 0)->eax & 1U << 11);
    cr_assert_not(find(&c, 1, 0)->ecx & 1U << 21);
    cr_assert_not(find(&c, 1, 0)->ecx & 1U << 28);
}

Test(cpuid, expose_cannot_invent)
{
    static const char *const expose[] = {"vmx", NULL};
    const struct ax_cpu_policy policy = {
        .expose = expose, .cpus = 1, .ids = ids};
    struct ax_cpuid c = host();

    c.entries[1].ecx = 0;
    ax_cpuid_apply(&c, &facts, &policy, 0);
    cr_assert_not(find(&c, 1, 0)->ecx & 1U << 5);
}

Test(cpuid, topology_counts_the_cpus)
{
    const struct ax_cpu_policy policy = {.cpus = 4, .ids = ids};
    struct ax_cpuid c = host();

    ax_cpuid_apply(&c, &facts, &policy, 3);
    cr_assert_eq(find(&c, 1, 0)->ebx >> 24, 3);
    cr_assert_eq(find(&c, 1, 0)->ebx >> 16 & 0xff, 4);
    cr_assert_eq(find(&c, 1, 0)->ebx & 0xffff, 0x0800);
    cr_assert(find(&c, 1, 0)->edx & 1U << 28);
    cr_assert_eq(find(&c, 0xb, 0)->eax, 0);
    cr_assert_eq(find(&c, 0xb, 0)->ebx, 1);
    cr_assert_eq(find(&c, 0xb, 1)->eax, 2);
    cr_assert_eq(find(&c, 0xb, 1)->ebx, 4);
    cr_assert_eq(find(&c, 0xb, 1)->edx, 3);
    cr_assert_eq(find(&c, 0xb, 2)->ebx, 0);
    cr_assert_null(find(&c, 0x1f, 0));
    /* The level 3 cache is shared by all four, as are the package's cores. */
    cr_assert_eq(find(&c, 4, 3)->eax >> 14 & 0xfff, 3);
    cr_assert_eq(find(&c, 4, 3)->eax >> 26, 3);
}

Test(cpuid, sparse_ids_widen_the_id_space)
{
    static const uint64_t sparse[] = {0, 8};
    const struct ax_cpu_policy policy = {.cpus = 2, .ids = sparse};
    struct ax_cpuid c = host();

    ax_cpuid_apply(&c, &facts, &policy, 1);
    cr_assert_eq(find(&c, 1, 0)->ebx >> 24, 8);
    cr_assert_eq(find(&c, 0xb, 1)->eax, 4);
    cr_assert_eq(find(&c, 0xb, 1)->ebx, 2);
}

Test(cpuid, one_cpu_has_no_neighbours)
{
    const struct ax_cpu_policy policy = {.cpus = 1, .ids = ids};
    struct ax_cpuid c = host();

    ax_cpuid_apply(&c, &facts, &policy, 0);
    cr_assert_not(find(&c, 1, 0)->edx & 1U << 28);
    cr_assert_eq(find(&c, 0xb, 1)->ebx, 1);
}

Test(cpuid, frequencies_are_told)
{
    const struct ax_cpu_policy policy = {.cpus = 1, .ids = ids};
    struct ax_cpuid c = host();
    const struct ax_cpuid_entry *e;

    ax_cpuid_apply(&c, &facts, &policy, 0);
    cr_assert_eq(find(&c, 0x40000000, 0)->eax, 0x40000010);
    cr_assert_eq(find(&c, 0x40000010, 0)->eax, 2500000);
    cr_assert_eq(find(&c, 0x40000010, 0)->ebx, 1000000);
    e = find(&c, 0x15, 0);
    cr_assert_eq((uint64_t)e->ecx * e->ebx / e->eax, 2500000000ULL);
}

Test(cpuid, without_an_irqchip_there_is_no_deadline_timer)
{
    const struct ax_cpu_policy policy = {.cpus = 1, .ids = ids};
    const struct ax_cpuid_facts none = {.tsc_khz = 1};
    struct ax_cpuid c = host();

    ax_cpuid_apply(&c, &none, &policy, 0);
    cr_assert_not(find(&c, 1, 0)->ecx & 1U << 24);
    cr_assert_not(find(&c, 1, 0)->ecx & 1U << 21);
}

Test(cpuid, a_full_table_is_no_disaster)
{
    const struct ax_cpu_policy policy = {.cpus = 1, .ids = ids};
    static struct ax_cpuid c;

    c = host();
    while (c.count < AX_CPUID_ENTRIES)
        c.entries[c.count++] =
            (struct ax_cpuid_entry){.leaf = 0x1000 + c.count};
    ax_cpuid_apply(&c, &facts, &policy, 0);
    cr_assert_leq(c.count, AX_CPUID_ENTRIES);
}

Test(cpuid, names)
{
    cr_assert(ax_cpuid_known("avx2"));
    cr_assert_not(ax_cpuid_known("avx9"));
    cr_assert_str_eq(ax_cpuid_suggest("kvm-pv-ipii"), "kvm-pv-ipi");
    cr_assert_null(ax_cpuid_suggest("zzz"));
}
