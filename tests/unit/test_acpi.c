/*
 * test_acpi.c - the ACPI tables, walked from the RSDP as a guest walks them,
 * and read back by ACPICA's disassembler where that is installed.
 */
#include "x86_fixture.h"

#include "arch/x86_64/acpi.h"

enum { AT = 0xe0000, SIZE = 4096 };

static uint8_t buf[SIZE];

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;

    while (len--)
        s += *p++;
    return s;
}

static void build(struct ax_plan *plan, unsigned cpus, enum ax_irqchip irqchip)
{
    size_t used;

    memset(plan, 0, sizeof(*plan));
    plan->cpus = cpus;
    plan->irqchip = irqchip;
    for (unsigned i = 0; i < cpus; i++)
        plan->cpu_ids[i] = i * 2;
    used = ax_x86_acpi_build(plan, AT, buf, sizeof(buf));
    cr_assert(used > 0 && used <= sizeof(buf));
}

/* As it is with [virtio] transport = "pci". */
static void build_pci(struct ax_plan *plan)
{
    memset(plan, 0, sizeof(*plan));
    plan->cpus = 1;
    plan->irqchip = AX_IRQCHIP_KERNEL;
    plan->pci = true;
    plan->pci_mem = 0xfd000000;
    plan->pci_io = 0x1000;
    plan->device_count = 2;
    plan->devices[0] = (struct ax_plan_device){.type = "virtio_blk",
                                               .base = 0xfe000000,
                                               .irq = AX_IRQ_NONE,
                                               .slot = 1};
    plan->devices[1] = (struct ax_plan_device){
        .type = "virtio_blk", .base = 0xd0000000, .irq = 5};
    memset(buf, 0, sizeof(buf));
    cr_assert(ax_x86_acpi_build(plan, AT, buf, sizeof(buf)));
}

static const uint8_t *at(uint64_t gpa)
{
    cr_assert(gpa >= AT && gpa < AT + SIZE, "%#llx lies outside",
              (unsigned long long)gpa);
    return buf + (gpa - AT);
}

static const uint8_t *table(uint64_t gpa, const char *signature)
{
    const uint8_t *p = at(gpa);
    const size_t len = fx_get(p + 4, 4);

    cr_assert_eq(memcmp(p, signature, 4), 0, "%.4s at %#llx, not %s", p,
                 (unsigned long long)gpa, signature);
    cr_assert(len >= 36 && gpa + len <= AT + SIZE);
    cr_expect_eq(sum(p, len), 0, "checksum of %s", signature);
    return p;
}

static const uint8_t *find(const char *signature)
{
    const uint8_t *xsdt = table(fx_get(buf + 24, 8), "XSDT");

    for (size_t i = 36; i < fx_get(xsdt + 4, 4); i += 8) {
        if (!memcmp(at(fx_get(xsdt + i, 8)), signature, 4))
            return table(fx_get(xsdt + i, 8), signature);
    }
    cr_assert_fail("no %s", signature);
    return NULL;
}

Test(acpi, has_a_valid_root)
{
    struct ax_plan plan;
    const uint8_t *rsdt, *xsdt;

    build(&plan, 1, AX_IRQCHIP_KERNEL);
    cr_expect_eq(memcmp(buf, "RSD PTR ", 8), 0);
    cr_expect_eq(buf[15], 2);
    cr_expect_eq(sum(buf, 20), 0);
    cr_expect_eq(sum(buf, 36), 0);
    cr_expect_eq(fx_get(buf + 20, 4), 36);
    rsdt = table(fx_get(buf + 16, 4), "RSDT");
    xsdt = table(fx_get(buf + 24, 8), "XSDT");
    cr_expect_eq(fx_get(rsdt + 36, 4), fx_get(xsdt + 36, 8));
    cr_expect_eq(fx_get(rsdt + 40, 4), fx_get(xsdt + 44, 8));
}

Test(acpi, describes_fixed_hardware)
{
    struct ax_plan plan;
    const uint8_t *fadt, *facs;

    build(&plan, 1, AX_IRQCHIP_KERNEL);
    fadt = find("FACP");
    cr_expect_eq(fadt[8], 6);
    cr_expect_eq(fx_get(fadt + 4, 4), 276);
    cr_expect_eq(fx_get(fadt + 46, 2), 9, "SCI_INT");
    cr_expect_eq(fx_get(fadt + 48, 4), 0, "SMI_CMD");
    cr_expect_eq(fx_get(fadt + 56, 4), 0x600, "PM1a_EVT_BLK");
    cr_expect_eq(fx_get(fadt + 64, 4), 0x604, "PM1a_CNT_BLK");
    cr_expect_eq(fx_get(fadt + 76, 4), 0x608, "PM_TMR_BLK");
    cr_expect_eq(fadt[88], 4);
    cr_expect_eq(fadt[89], 2);
    cr_expect_eq(fadt[91], 4);
    cr_expect_eq(fadt[108], 0x32, "CENTURY");
    cr_expect_eq(fx_get(fadt + 109, 2), 0x5, "legacy devices, no VGA");
    cr_expect_eq(fx_get(fadt + 112, 4) & (1U << 4), 0, "fixed power button");
    cr_expect(fx_get(fadt + 112, 4) & (1U << 10), "reset register");
    cr_expect_eq(fx_get(fadt + 112, 4) & (1U << 20), 0, "not hw-reduced");
    cr_expect_eq(fadt[116], 1);
    cr_expect_eq(fx_get(fadt + 120, 8), 0xcf9);
    cr_expect_eq(fadt[128], 6);
    cr_expect_eq(fx_get(fadt + 40, 4), fx_get(fadt + 140, 8), "DSDT");
    cr_expect_eq(fx_get(fadt + 148 + 4, 8), 0x600);
    cr_expect_eq(fx_get(fadt + 172 + 4, 8), 0x604);
    cr_expect_eq(fx_get(fadt + 208 + 4, 8), 0x608);
    table(fx_get(fadt + 40, 4), "DSDT");
    facs = at(fx_get(fadt + 36, 4));
    cr_expect_eq(memcmp(facs, "FACS", 4), 0);
    cr_expect_eq(fx_get(facs + 4, 4), 64);
    cr_expect_eq((facs - buf) % 64, 0);
}

static unsigned count_madt(unsigned cpus, enum ax_irqchip irqchip)
{
    struct ax_plan plan;
    const uint8_t *madt, *p, *end;
    unsigned lapics = 0, others = 0;

    build(&plan, cpus, irqchip);
    madt = find("APIC");
    cr_expect_eq(fx_get(madt + 36, 4), 0xfee00000);
    cr_expect_eq(fx_get(madt + 40, 4), irqchip == AX_IRQCHIP_KERNEL);
    end = madt + fx_get(madt + 4, 4);
    for (p = madt + 44; p < end; p += p[1]) {
        cr_assert(p[1] >= 6 && p + p[1] <= end);
        switch (p[0]) {
        case 0:
            cr_expect_eq(p[2], lapics);
            cr_expect_eq(p[3], plan.cpu_ids[lapics]);
            cr_expect_eq(fx_get(p + 4, 4), 1);
            lapics++;
            break;
        case 1:
            cr_expect_eq(p[2], 1, "no CPU has an odd id");
            cr_expect_eq(fx_get(p + 4, 4), 0xfec00000);
            cr_expect_eq(fx_get(p + 8, 4), 0);
            others++;
            break;
        case 2:
            cr_expect_eq(p[3], 9);
            cr_expect_eq(fx_get(p + 4, 4), 9);
            cr_expect_eq(fx_get(p + 8, 2), 0xd, "level, active high");
            others++;
            break;
        default:
            cr_expect_eq(p[0], 4);
            cr_expect_eq(p[2], 0xff);
            cr_expect_eq(p[5], 1, "LINT1");
            others++;
            break;
        }
    }
    cr_expect_eq(p, end);
    cr_expect_eq(others, 3);
    return lapics;
}

Test(acpi, lists_every_cpu)
{
    cr_expect_eq(count_madt(1, AX_IRQCHIP_KERNEL), 1);
    cr_expect_eq(count_madt(64, AX_IRQCHIP_KERNEL), 64);
    cr_expect_eq(count_madt(2, AX_IRQCHIP_SPLIT), 2);
}

Test(acpi, never_writes_beyond_its_buffer)
{
    struct ax_plan plan;
    uint8_t small[2048];
    size_t used;

    build(&plan, 64, AX_IRQCHIP_KERNEL);
    used = ax_x86_acpi_build(&plan, AT, buf, sizeof(buf));
    cr_assert(used < sizeof(small));
    for (size_t size = 0; size < used; size++) {
        memset(small, 0xa5, sizeof(small));
        cr_assert_eq(ax_x86_acpi_build(&plan, AT, small, size), 0);
        cr_assert_eq(small[size], 0xa5);
    }
    cr_expect_eq(ax_x86_acpi_build(&plan, AT, small, used), used);
}

static const uint8_t *find_dsdt(void)
{
    return table(fx_get(find("FACP") + 40, 4), "DSDT");
}

/* The resources of a device: what is in the buffer of its _CRS (20.2.5.4). */
static const uint8_t *resources(const char *device, size_t *size)
{
    const uint8_t *dsdt = find_dsdt(), *end = dsdt + fx_get(dsdt + 4, 4);
    const uint8_t *p = memmem(dsdt, (size_t)(end - dsdt), device, 4);
    unsigned more;
    size_t len;

    cr_assert_not_null(p, "no %s", device);
    p = memmem(p, (size_t)(end - p), "_CRS\x11", 5);
    cr_assert_not_null(p);
    p += 5;
    more = p[0] >> 6;
    len = more ? (p[0] & 15U) | fx_get(p + 1, more) << 4 : p[0];
    end = p + len;
    p += 1 + more;
    cr_assert_eq(p[0], 0x0a, "a byte has its size");
    *size = p[1];
    p += 2;
    cr_assert_eq(p + *size, end, "%zu bytes of %zu", *size, (size_t)(end - p));
    return p;
}

/* 6.4.3.5: type, fixed at both ends, range. */
static void expect_window(const uint8_t *p, unsigned width, unsigned type,
                          uint64_t first, uint64_t last)
{
    cr_expect_eq(p[3], type);
    cr_expect_eq(p[4], 0x0c);
    cr_expect_eq(fx_get(p + 6, width), 0, "granularity");
    cr_expect_eq(fx_get(p + 6 + width, width), first);
    cr_expect_eq(fx_get(p + 6 + 2 * width, width), last);
    cr_expect_eq(fx_get(p + 6 + 3 * width, width), 0, "translation");
    cr_expect_eq(fx_get(p + 6 + 4 * width, width), last - first + 1);
}

static void expect_words(const uint8_t *p, unsigned *seen)
{
    *seen |= 1U << p[3];
    if (p[3] == 2)
        expect_window(p, 2, 2, 0, 0);
    else
        expect_window(p, 2, 1, 0x1000, 0x107f);
}

Test(acpi, has_a_pci_bus_on_request)
{
    struct ax_plan plan;
    const uint8_t *p, *end;
    unsigned words = 0, ports = 0, memory = 0;
    size_t size;

    build_pci(&plan);
    p = resources("PCI0", &size);
    for (end = p + size; p[0] != 0x79;) {
        switch (p[0]) {
        case 0x88:
            expect_words(p, &words);
            break;
        case 0x87:
            if (!memory++)
                expect_window(p, 4, 0, 0xfd000000, 0xfd01ffff);
            else
                expect_window(p, 4, 0, 0xfe000000, 0xfe01ffff);
            break;
        case 0x47:
            cr_expect_eq(p[1], 1, "16 bits are decoded");
            cr_expect_eq(fx_get(p + 2, 2), 0xcf8);
            cr_expect_eq(fx_get(p + 4, 2), 0xcf8);
            cr_expect_eq(p[7], 8);
            ports++;
            break;
        default:
            cr_assert_fail("descriptor %#x", p[0]);
        }
        p += p[0] & 0x80 ? 3 + fx_get(p + 1, 2) : 1 + (p[0] & 7U);
        cr_assert_lt(p, end);
    }
    cr_expect_eq(p + 2, end);
    cr_expect_eq(words, 1U << 1 | 1U << 2, "ports and bus numbers");
    cr_expect_eq(ports, 1);
    cr_expect_eq(memory, 2);
    /* "PNP0A03", 19.3.4 */
    p = find_dsdt();
    cr_expect(memmem(p, fx_get(p + 4, 4), "\x41\xd0\x0a\x03", 4));
    build(&plan, 1, AX_IRQCHIP_KERNEL);
    p = find_dsdt();
    cr_expect_not(memmem(p, fx_get(p + 4, 4), "PCI0", 4));
}

static unsigned count_text(const uint8_t *p, size_t size, const char *text)
{
    const uint8_t *end = p + size;
    unsigned n = 0;

    while ((p = memmem(p, (size_t)(end - p), text, strlen(text)))) {
        p++;
        n++;
    }
    return n;
}

Test(acpi, does_not_announce_what_is_on_pci)
{
    struct ax_plan plan;

    build_pci(&plan);
    cr_expect_eq(count_text(buf, sizeof(buf), "LNRO0005"), 1);
    plan.device_count = 1;
    memset(buf, 0, sizeof(buf));
    cr_assert(ax_x86_acpi_build(&plan, AT, buf, sizeof(buf)));
    cr_expect_eq(count_text(buf, sizeof(buf), "LNRO0005"), 0);
}

/* The tables as files for iasl -d; what it makes of them comes back. */
static char *disassemble(const uint8_t *bytes, size_t size, char *out,
                         size_t out_size)
{
    char dir[] = "/tmp/axvm-acpi-XXXXXX", path[64], command[256];
    FILE *f;
    size_t n;

    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/t.aml", dir);
    f = fopen(path, "wb");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, size, f), size);
    fclose(f);
    snprintf(command, sizeof(command), "iasl -d %s >%s/log 2>&1", path, dir);
    if (system(command))
        cr_log_warn("iasl failed");
    snprintf(path, sizeof(path), "%s/t.dsl", dir);
    f = fopen(path, "rb");
    cr_assert_not_null(f, "iasl wrote nothing");
    n = fread(out, 1, out_size - 1, f);
    out[n] = '\0';
    fclose(f);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
    return out;
}

static void expect_text(const char *text, const char *part)
{
    cr_expect(strstr(text, part) != NULL, "no \"%s\" in:\n%s", part, text);
}

Test(acpi, reads_back_by_acpica)
{
    static char text[65536];
    struct ax_plan plan;
    const uint8_t *fadt, *dsdt;

    if (system("command -v iasl >/dev/null 2>&1"))
        cr_skip_test("iasl (package acpica-tools) is not installed");
    build(&plan, 2, AX_IRQCHIP_KERNEL);
    fadt = find("FACP");
    dsdt = table(fx_get(fadt + 40, 4), "DSDT");
    disassemble(dsdt, fx_get(dsdt + 4, 4), text, sizeof(text));
    expect_text(text, "Name (_S5, Package (0x04)");
    expect_text(text, "Device (COM1)");
    expect_text(text, "EisaId (\"PNP0501\")");
    expect_text(text, "0x03F8,             // Range Minimum");
    expect_text(text, "{4}");
    expect_text(text, "Device (RTC)");
    expect_text(text, "EisaId (\"PNP0B00\")");
    expect_text(text, "{8}");
    expect_text(text, "\"QEMU0001\"");
    expect_text(text, "0x0505,             // Range Minimum");
    disassemble(fadt, fx_get(fadt + 4, 4), text, sizeof(text));
    cr_expect(strstr(text, "**** ") == NULL, "iasl complains:\n%s", text);
    expect_text(text, "[SystemIO]");
    expect_text(text, "Table Length : 00000114");
    dsdt = find("APIC");
    disassemble(dsdt, fx_get(dsdt + 4, 4), text, sizeof(text));
    expect_text(text, "Processor Local APIC");
    expect_text(text, "I/O APIC");
    expect_text(text, "Interrupt Source Override");
    expect_text(text, "Local APIC NMI");
    cr_expect(strstr(text, "**** ") == NULL, "iasl complains:\n%s", text);
    build_pci(&plan);
    dsdt = find_dsdt();
    disassemble(dsdt, fx_get(dsdt + 4, 4), text, sizeof(text));
    expect_text(text, "Device (PCI0)");
    expect_text(text, "EisaId (\"PNP0A03\")");
    expect_text(text, "WordBusNumber (");
    expect_text(text, "WordIO (");
    expect_text(text, "DWordMemory (");
    expect_text(text, "0xFD000000,");
}

/* One announcement each: none here where the command line has them. */
Test(acpi, leaves_virtio_to_the_command_line)
{
    struct ax_config conf = {.virtio_cmdline = true};
    struct ax_plan plan = {.cpus = 1, .irqchip = AX_IRQCHIP_KERNEL};
    size_t used;

    plan.device_count = 1;
    plan.devices[0] = (struct ax_plan_device){
        .type = "virtio_blk", .base = 0xfe000000, .irq = 5};
    used = ax_x86_acpi_build(&plan, AT, buf, sizeof(buf));
    cr_expect(memmem(buf, used, "LNRO0005", 8));
    plan.conf = &conf;
    memset(buf, 0, sizeof(buf));
    used = ax_x86_acpi_build(&plan, AT, buf, sizeof(buf));
    cr_assert(used);
    cr_expect_not(memmem(buf, used, "LNRO0005", 8));
}
