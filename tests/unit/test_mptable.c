/*
 * test_mptable.c - the MP table, read as a guest reads it.
 */
#include "x86_fixture.h"

#include "arch/x86_64/mptable.h"

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;

    while (len--)
        s += *p++;
    return s;
}

static void plan_init(struct ax_plan *plan, unsigned cpus)
{
    memset(plan, 0, sizeof(*plan));
    plan->cpus = cpus;
    for (unsigned i = 0; i < cpus; i++)
        plan->cpu_ids[i] = i;
}

struct found {
    unsigned cpus, boot_cpus, buses, ioapics, isa, pci, lints;
    ax_gpa table;
    unsigned ioapic_id;
};

/* Builds and walks; every entry is checked against the specification. */
static struct found walk(const struct ax_plan *plan)
{
    static const unsigned sizes[] = {20, 8, 8, 8, 8};
    const ax_gpa table = ax_x86_mptable_addr(plan);
    const size_t size = 0x9fc00 + 16 - table;
    uint8_t *buf = calloc(1, size), *p;
    struct found f = {.table = table};
    unsigned last = 0;

    cr_assert_eq(ax_x86_mptable_build(plan, buf, size), 0);
    cr_expect_eq(ax_x86_mptable_build(plan, buf, size - 1), -ENOSPC);
    p = buf + size - 16;
    cr_expect_eq(memcmp(p, "_MP_", 4), 0);
    cr_expect_eq(fx_get(p + 4, 4), table);
    cr_expect_eq(p[8], 1);
    cr_expect_eq(p[9], 4);
    cr_expect_eq(sum(p, 16), 0);
    cr_expect_eq(fx_get(p + 11, 5), 0, "a table, virtual wire");

    cr_expect_eq(memcmp(buf, "PCMP", 4), 0);
    cr_expect(fx_get(buf + 4, 2) <= size - 16);
    cr_expect_eq(sum(buf, fx_get(buf + 4, 2)), 0);
    cr_expect_eq(fx_get(buf + 36, 4), 0xfee00000);
    p = buf + 44;
    for (unsigned i = 0; i < fx_get(buf + 34, 2); i++) {
        cr_assert_leq(p[0], 4);
        cr_expect_geq(p[0], last, "entries are sorted by type");
        last = p[0];
        switch (p[0]) {
        case 0:
            cr_expect_eq(p[1], plan->cpu_ids[f.cpus]);
            cr_expect(p[3] & 1, "enabled");
            f.boot_cpus += p[3] >> 1 & 1;
            f.cpus++;
            break;
        case 1:
            cr_expect_eq(memcmp(p + 2, p[1] ? "ISA   " : "PCI   ", 6), 0);
            f.buses++;
            break;
        case 2:
            f.ioapics++;
            f.ioapic_id = p[1];
            cr_expect_eq(fx_get(p + 4, 4), 0xfec00000);
            break;
        case 3:
            cr_expect_eq(p[1], 0, "INT");
            cr_expect_eq(p[6], f.ioapic_id);
            if (p[4] == 1) {
                cr_expect_eq(p[5], p[7], "ISA IRQs are identity");
                f.isa++;
            } else {
                cr_expect_eq(p[7], 16 + (((p[5] >> 2) + (p[5] & 3)) & 3));
                f.pci++;
            }
            break;
        default:
            cr_expect_eq(p[1], p[7] ? 1 : 3, "LINT0 ExtINT, LINT1 NMI");
            cr_expect_eq(p[6], 0xff);
            f.lints++;
            break;
        }
        p += sizes[p[0]];
    }
    cr_expect_eq((size_t)(p - buf), fx_get(buf + 4, 2));
    free(buf);
    return f;
}

Test(mptable, lies_at_axvisors_address_for_few_cpus)
{
    struct ax_plan plan;
    struct found f;

    plan_init(&plan, 1);
    f = walk(&plan);
    cr_expect_eq(f.table, 0x9f800);
    cr_expect_eq(f.cpus, 1);
    cr_expect_eq(f.boot_cpus, 1);
    cr_expect_eq(f.buses, 2);
    cr_expect_eq(f.ioapics, 1);
    cr_expect_eq(f.ioapic_id, 1, "as AxVisor's");
    cr_expect_eq(f.isa, 16);
    cr_expect_eq(f.pci, 64);
    cr_expect_eq(f.lints, 2);
}

Test(mptable, grows_downwards_for_many)
{
    struct ax_plan plan;

    for (unsigned cpus = 1; cpus <= AX_CPUS_MAX; cpus++) {
        struct found f;

        plan_init(&plan, cpus);
        f = walk(&plan);
        cr_expect_eq(f.cpus, cpus);
        cr_expect_eq(f.boot_cpus, 1);
        cr_expect_leq(f.table, 0x9f800);
        cr_expect_geq(f.table, 0x9f000);
        cr_expect_eq(f.table % 16, 0);
        cr_expect_eq(f.ioapic_id, cpus);
    }
}

Test(mptable, finds_an_id_that_no_cpu_has)
{
    struct ax_plan plan;

    plan_init(&plan, 3);
    plan.cpu_ids[0] = 4;
    plan.cpu_ids[1] = 0;
    plan.cpu_ids[2] = 2;
    cr_expect_eq(ax_x86_ioapic_id(&plan), 1);
    cr_expect_eq(walk(&plan).ioapic_id, 1);
}
