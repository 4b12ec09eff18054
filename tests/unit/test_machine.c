/*
 * test_machine.c - from a configuration to memory map, devices and CPUs; the
 * crash report.
 */
#include "x86_fixture.h"

static struct fixture f;

static void setup(void)
{
    fx_init(&f);
}

static void teardown(void)
{
    fx_fini(&f);
}

TestSuite(machine, .init = setup, .fini = teardown);

static void expect_region(unsigned i, ax_gpa gpa, uint64_t size,
                          enum ax_region_kind kind)
{
    cr_assert_lt(i, f.plan.region_count);
    cr_expect_eq(f.plan.regions[i].gpa, gpa, "%#llx",
                 (unsigned long long)f.plan.regions[i].gpa);
    cr_expect_eq(f.plan.regions[i].size, size, "%#llx",
                 (unsigned long long)f.plan.regions[i].size);
    cr_expect_eq(f.plan.regions[i].kind, kind);
}

static const struct ax_plan_device *find_device(const char *type)
{
    for (unsigned i = 0; i < f.plan.device_count; i++) {
        if (!strcmp(f.plan.devices[i].type, type))
            return &f.plan.devices[i];
    }
    return NULL;
}

static void expect_device(const char *type, enum ax_space space, uint64_t base,
                          unsigned irq)
{
    const struct ax_plan_device *dev = find_device(type);

    cr_assert_not_null(dev, "no %s", type);
    cr_expect_eq(dev->space, space, "%s", type);
    cr_expect_eq(dev->base, base, "%s", type);
    cr_expect_eq(dev->irq, irq, "%s", type);
}

/* ---- memory ---- */

Test(machine, memory_below_the_hole_is_one_region)
{
    f.conf.memory = AX_MIB(256);
    cr_assert_eq(fx_plan(&f), 0);
    cr_expect_eq(f.plan.region_count, 1);
    expect_region(0, 0, AX_MIB(256), AX_REGION_RAM);
    f.conf.memory = 0xc0000000;
    cr_assert_eq(fx_plan(&f), 0);
    cr_expect_eq(f.plan.region_count, 1);
    expect_region(0, 0, 0xc0000000, AX_REGION_RAM);
}

Test(machine, memory_beyond_the_hole_goes_above_4_gib)
{
    f.conf.memory = AX_GIB(8);
    cr_assert_eq(fx_plan(&f), 0);
    cr_expect_eq(f.plan.region_count, 2);
    expect_region(0, 0, 0xc0000000, AX_REGION_RAM);
    expect_region(1, AX_GIB(4), AX_GIB(5), AX_REGION_RAM);
}

Test(machine, memory_must_be_possible)
{
    f.conf.memory = 0;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "memory of 0 bytes is none");
    f.conf.memory = UINT64_MAX;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "more than an address can reach");
}

Test(machine, memory_fills_whole_huge_pages)
{
    f.conf.memory = AX_MIB(3);
    f.conf.hugepages = AX_HUGEPAGES_2M;
    cr_assert_eq(fx_plan(&f), 0);
    expect_region(0, 0, AX_MIB(4), AX_REGION_RAM);
    f.conf.hugepages = AX_HUGEPAGES_1G;
    cr_assert_eq(fx_plan(&f), 0);
    expect_region(0, 0, AX_GIB(1), AX_REGION_RAM);
}

static void use_regions(struct ax_config_region *regions, unsigned count)
{
    f.conf.regions = regions;
    f.conf.region_count = count;
}

Test(machine, regions_are_taken_as_they_are)
{
    struct ax_config_region regions[] = {
        {.gpa = 0x40000000, .size = AX_MIB(32)},
        {.gpa = 0, .size = AX_MIB(16)},
    };

    use_regions(regions, 2);
    cr_assert_eq(fx_plan(&f), 0);
    cr_expect_eq(f.plan.region_count, 2);
    expect_region(0, 0, AX_MIB(16), AX_REGION_RAM);
    expect_region(1, 0x40000000, AX_MIB(32), AX_REGION_RAM);
}

Test(machine, regions_that_touch_become_one)
{
    struct ax_config_region regions[] = {
        {.gpa = AX_MIB(4), .size = AX_MIB(4)},
        {.gpa = AX_MIB(16), .size = AX_MIB(2)},
        {.gpa = 0, .size = AX_MIB(4)},
        {.gpa = AX_MIB(2), .size = AX_MIB(1)},
    };

    use_regions(regions, 4);
    cr_assert_eq(fx_plan(&f), 0);
    cr_expect_eq(f.plan.region_count, 2);
    expect_region(0, 0, AX_MIB(8), AX_REGION_RAM);
    expect_region(1, AX_MIB(16), AX_MIB(2), AX_REGION_RAM);
}

Test(machine, regions_must_leave_the_apics_alone)
{
    struct ax_config_region regions[] = {
        {.gpa = 0, .size = AX_MIB(16), .pos = {7, 3}},
        {.gpa = 0xfe000000, .size = AX_MIB(32), .pos = {8, 5}},
    };

    use_regions(regions, 2);
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "guest.toml:8:5: memory region 0xfe000000-0xffffffff "
                      "covers the I/O APIC at 0xfec00000");
    fx_expect_log(&f, "covers the local APIC at 0xfee00000");
    fx_expect_log(&f, "covers the engine's own pages");
    regions[1].size = 0xc00000;
    cr_expect_eq(fx_plan(&f), 0, "up to the I/O APIC");
}

Test(machine, regions_out_of_reach_are_refused)
{
    struct ax_config_region regions[] = {
        {.gpa = 0x7ffffffff000, .size = 0x1000, .pos = {3, 1}},
        {.gpa = UINT64_MAX - 0xfff, .size = 0x1000, .pos = {4, 1}},
        {.gpa = 0, .size = 0, .pos = {5, 1}},
        {.gpa = 0x800, .size = 0x1000, .pos = {6, 1}},
    };

    for (unsigned i = 0; i < 4; i++) {
        char where[32];

        use_regions(&regions[i], 1);
        cr_expect_eq(fx_plan(&f), -EINVAL);
        snprintf(where, sizeof(where), "guest.toml:%u:1", 3 + i);
        fx_expect_log(&f, where);
    }
}

Test(machine, regions_are_bounded)
{
    struct ax_config_region regions[AX_PLAN_REGIONS + 1] = {0};

    for (unsigned i = 0; i <= AX_PLAN_REGIONS; i++) {
        regions[i].gpa = i * AX_MIB(4);
        regions[i].size = AX_MIB(2);
    }
    use_regions(regions, AX_PLAN_REGIONS);
    cr_expect_eq(fx_plan(&f), 0);
    use_regions(regions, AX_PLAN_REGIONS + 1);
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "more than 32 memory regions");
}

/* ---- firmware ---- */

static void use_firmware(size_t size, ax_gpa at)
{
    uint8_t *bytes = calloc(1, size);

    f.conf.bios.path = fx_file(&f, bytes, size);
    f.conf.bios.pos = (struct ax_pos){9, 1};
    f.conf.bios_load = (struct ax_config_addr){true, at, {10, 1}};
    f.conf.protocol = AX_BOOT_UEFI;
    free(bytes);
}

Test(machine, firmware_gets_a_rom)
{
    use_firmware(5000, 0xffffe000);
    cr_assert_eq(fx_plan(&f), 0, "%s", fx_log(&f));
    cr_expect_eq(f.plan.region_count, 2);
    expect_region(1, 0xffffe000, 0x2000, AX_REGION_ROM);
}

Test(machine, firmware_in_ram_needs_none)
{
    use_firmware(110, 0x8000);
    f.conf.protocol = AX_BOOT_MULTIBOOT;
    cr_assert_eq(fx_plan(&f), 0, "%s", fx_log(&f));
    cr_expect_eq(f.plan.region_count, 1);
}

Test(machine, firmware_without_use_is_not_looked_at)
{
    use_firmware(110, 0xffffe000);
    f.conf.protocol = AX_BOOT_DIRECT;
    cr_assert_eq(fx_plan(&f), 0, "%s", fx_log(&f));
    cr_expect_eq(f.plan.region_count, 1);
}

Test(machine, firmware_must_fit)
{
    use_firmware(8192, 0xfffff000);
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "guest.toml:10:1: firmware of 0x2000 bytes at");
    f.conf.bios_load.val = 0xf0000800;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    f.conf.bios_load.val = AX_MIB(64) - 0x1000;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "lies partly in the memory");
    f.conf.bios_load.val = 0xfec00000;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "covers the I/O APIC");
    f.conf.bios.path = f.log_path + 1;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "No such file");
}

/* ---- board ---- */

Test(machine, has_its_devices)
{
    cr_assert_eq(fx_plan(&f), 0);
    expect_device("uart16550", AX_SPACE_PORT, 0x3f8, 4);
    expect_device("mc146818", AX_SPACE_PORT, 0x70, 8);
    expect_device("i8042", AX_SPACE_PORT, 0x64, AX_IRQ_NONE);
    expect_device("i8042-data", AX_SPACE_PORT, 0x60, AX_IRQ_NONE);
    expect_device("pvpanic", AX_SPACE_PORT, 0x505, AX_IRQ_NONE);
    expect_device("acpi_pm", AX_SPACE_PORT, 0x600, 9);
    expect_device("reset_cf9", AX_SPACE_PORT, 0xcf9, AX_IRQ_NONE);
    cr_expect_null(find_device("debugexit"));
    cr_expect_null(find_device("debugcon"));
    cr_expect_null(find_device("ioapic"), "the kernel has it");
    cr_expect_null(find_device("pit8254"));
    cr_expect_eq(f.plan.irqchip, AX_IRQCHIP_KERNEL);
    cr_expect_eq(f.plan.conf, &f.conf);
    cr_expect_null(f.plan.kernel_override);
}

Test(machine, has_debug_ports_on_request)
{
    f.conf.debug_exit = f.conf.debug_port = true;
    cr_assert_eq(fx_plan(&f), 0);
    expect_device("debugexit", AX_SPACE_PORT, 0xf4, AX_IRQ_NONE);
    expect_device("debugcon", AX_SPACE_PORT, 0xe9, AX_IRQ_NONE);
}

Test(machine, models_what_a_split_irqchip_lacks)
{
    f.conf.irqchip = AX_IRQCHIP_SPLIT;
    cr_assert_eq(fx_plan(&f), 0);
    expect_device("ioapic", AX_SPACE_MMIO, 0xfec00000, AX_IRQ_NONE);
    expect_device("pit8254", AX_SPACE_PORT, 0x40, 0);
    expect_device("pit-speaker", AX_SPACE_PORT, 0x61, AX_IRQ_NONE);
}

Test(machine, wires_nothing_without_irqchip)
{
    f.conf.irqchip = AX_IRQCHIP_NONE;
    cr_assert_eq(fx_plan(&f), 0);
    expect_device("uart16550", AX_SPACE_PORT, 0x3f8, AX_IRQ_NONE);
    cr_expect_null(find_device("ioapic"));
}

/* ---- virtio ---- */

static struct ax_config_disk disks[64];

static void use_disks(unsigned count)
{
    memset(disks, 0, sizeof(disks));
    for (unsigned i = 0; i < count; i++)
        disks[i].pos = (struct ax_pos){20 + i, 1};
    f.conf.disks = disks;
    f.conf.disk_count = count;
}

static void expect_virtio(unsigned n, const char *type, uint64_t base,
                          unsigned irq, unsigned slot)
{
    const struct ax_plan_device *dev = NULL;

    for (unsigned i = 0; i < f.plan.device_count && !dev; i++) {
        dev = &f.plan.devices[i];
        if (strncmp(dev->type, "virtio", 6) || n--)
            dev = NULL;
    }
    cr_assert_not_null(dev, "no %s", type);
    cr_expect_str_eq(dev->type, type);
    cr_expect_eq(dev->space, AX_SPACE_MMIO);
    cr_expect_eq(dev->base, base, "%#llx", (unsigned long long)dev->base);
    cr_expect_eq(dev->irq, irq, "%u", dev->irq);
    cr_expect_eq(dev->slot, slot, "%u", dev->slot);
}

Test(machine, virtio_devices_have_pages_and_lines)
{
    use_disks(15);
    f.conf.rng = true;
    cr_assert_eq(fx_plan(&f), 0);
    cr_expect_not(f.plan.pci);
    cr_expect_null(find_device("pci_host"));
    expect_virtio(0, "virtio_blk", 0xfe000000, 5, 0);
    expect_virtio(1, "virtio_blk", 0xfe001000, 6, 0);
    expect_virtio(15, "virtio_rng", 0xfe00f000, 23, 0);
    use_disks(16);
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "guest.toml: more than 16 virtio devices, [rng] among "
                      "them: the board has no more interrupts");
}

Test(machine, virtio_devices_stand_where_they_are_wanted)
{
    use_disks(4);
    disks[1].place = (struct ax_config_place){true, 0xfe000000, 5};
    disks[2].place = (struct ax_config_place){true, 0xfe002000, 5};
    cr_assert_eq(fx_plan(&f), 0);
    expect_virtio(0, "virtio_blk", 0xfe001000, 5, 0);
    expect_virtio(1, "virtio_blk", 0xfe000000, 6, 0);
    fx_expect_log(&f, "guest.toml:21:1: virtio_blk: interrupt 5 is not free on "
                      "this board: it has 6");
    expect_virtio(2, "virtio_blk", 0xfe002000, 10, 0);
    expect_virtio(3, "virtio_blk", 0xfe003000, 11, 0);
    disks[2].place.base = 0xfe000000;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "guest.toml:22:1: virtio_blk at 0xfe000000: another "
                      "device is there");
}

Test(machine, pci_has_a_bus_with_slots)
{
    f.conf.virtio = AX_VIRTIO_PCI;
    use_disks(30);
    f.conf.rng = true;
    cr_assert_eq(fx_plan(&f), 0);
    cr_expect(f.plan.pci);
    cr_expect_eq(f.plan.pci_mem, 0xfd000000);
    cr_expect_eq(f.plan.pci_io, 0x1000);
    expect_device("pci_host", AX_SPACE_PORT, 0xcf8, AX_IRQ_NONE);
    expect_device("pci_io", AX_SPACE_PORT, 0x1000, AX_IRQ_NONE);
    expect_device("pci_mem", AX_SPACE_MMIO, 0xfd000000, AX_IRQ_NONE);
    cr_expect_null(find_device("reset_cf9"), "pci_host has its register");
    expect_virtio(0, "virtio_blk", 0xfe000000, AX_IRQ_NONE, 1);
    expect_virtio(1, "virtio_blk", 0xfe001000, AX_IRQ_NONE, 2);
    expect_virtio(30, "virtio_rng", 0xfe01e000, AX_IRQ_NONE, 31);
    use_disks(32);
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "guest.toml:51:1: more than 31 virtio devices, [rng] "
                      "among them: the board has no more slots");
}

Test(machine, pci_leaves_devices_where_axvisor_has_them)
{
    f.conf.virtio = AX_VIRTIO_PCI;
    use_disks(4);
    disks[1].place = (struct ax_config_place){true, 0xd0001000, 10};
    disks[2].place = (struct ax_config_place){true, 0xfe001000, 0};
    cr_assert_eq(fx_plan(&f), 0);
    expect_virtio(0, "virtio_blk", 0xfe000000, AX_IRQ_NONE, 1);
    expect_virtio(1, "virtio_blk", 0xd0001000, 10, 0);
    expect_virtio(2, "virtio_blk", 0xfe001000, 5, 0);
    expect_virtio(3, "virtio_blk", 0xfe002000, AX_IRQ_NONE, 4);
    disks[1].place.base = 0xfd01f000;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "guest.toml:21:1: virtio_blk 0xfd01f000-0xfd01ffff "
                      "covers the PCI bus at 0xfd000000");
    use_disks(18);
    for (unsigned i = 0; i < 17; i++)
        disks[i].place =
            (struct ax_config_place){true, 0xd0000000 + i * 0x1000, 0};
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "guest.toml:36:1: more than 16 virtio devices");
    disks[16].place.given = false;
    cr_expect_eq(fx_plan(&f), 0, "two are on the bus");
}

Test(machine, pci_keeps_memory_off_its_windows)
{
    struct ax_config_region regions[] = {
        {.gpa = 0, .size = AX_MIB(16)},
        {.gpa = 0xfd01f000, .size = 0x1000, .pos = {8, 5}},
    };

    use_regions(regions, 2);
    cr_expect_eq(fx_plan(&f), 0, "no bus");
    f.conf.virtio = AX_VIRTIO_PCI;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "guest.toml:8:5: memory region 0xfd01f000-0xfd01ffff "
                      "covers the PCI bus at 0xfd000000");
    regions[1].gpa = 0xfd020000;
    cr_expect_eq(fx_plan(&f), 0);
    /* A device's page needs room as well. */
    regions[1].gpa = 0xfe001000;
    use_disks(1);
    f.conf.rng = true;
    cr_expect_eq(fx_plan(&f), 0);
    fx_expect_log(&f, "no room for virtio_rng at 0xfe001000");
    use_disks(2);
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "guest.toml:21:1: no room for virtio_blk at 0xfe001000");
}

Test(machine, virtio_needs_interrupts)
{
    f.conf.irqchip = AX_IRQCHIP_NONE;
    f.conf.rng = true;
    for (unsigned i = 0; i < 2; i++) {
        f.conf.virtio = i ? AX_VIRTIO_PCI : AX_VIRTIO_MMIO;
        use_disks(0);
        cr_expect_eq(fx_plan(&f), 0);
        cr_expect_null(find_device("virtio_rng"));
        use_disks(1);
        cr_expect_eq(fx_plan(&f), -EINVAL);
        fx_expect_log(&f, "guest.toml:20:1: virtio_blk needs interrupts, which "
                          "irqchip = \"none\" leaves out");
    }
}

Test(machine, says_where_the_console_is)
{
    char name[] = "com";
    struct ax_config_emu emu = {
        .name = name,
        .base = 0x2f8,
        .type = AX_EMU_CONSOLE,
        .pos = {12, 3},
    };

    f.conf.emu = &emu;
    f.conf.emu_count = 1;
    cr_assert_eq(fx_plan(&f), 0);
    fx_expect_log(&f, "guest.toml:12:3: emulated device \"com\": the console "
                      "is COM1 at port 0x3f8, not at 0x2f8");
}

Test(machine, numbers_its_cpus)
{
    f.conf.cpu_num = 3;
    f.conf.cpu_ids[2] = 200;
    cr_assert_eq(fx_plan(&f), 0);
    cr_expect_eq(f.plan.cpus, 3);
    cr_expect_eq(f.plan.cpu_ids[1], 1);
    cr_expect_eq(f.plan.cpu_ids[2], 200);
    f.conf.cpu_ids[2] = 255;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "0xff is no local APIC id");
    f.conf.cpu_num = 0;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    f.conf.cpu_num = 65;
    cr_expect_eq(fx_plan(&f), -EINVAL);
    fx_expect_log(&f, "65 CPUs: 1 to 64 are possible");
}

Test(machine, is_registered)
{
    cr_expect_eq(ax_arch_find("x86_64"), &ax_arch_x86_64);
    cr_expect_null(ax_arch_find("vax"));
    cr_expect_not_null(ax_arch_host());
}

/* ---- crash report ---- */

struct ax_engine_vcpu {
    uint64_t regs[AX_X86_REGS];
};

static int fake_reg_get(struct ax_engine_vcpu *vcpu, unsigned reg,
                        uint64_t *val)
{
    if (reg >= AX_X86_REGS)
        return -EINVAL;
    *val = vcpu->regs[reg];
    return 0;
}

static const struct ax_backend_ops fake_ops = {.reg_get = fake_reg_get};

static char report[8192];

static void report_line(void *ctx, const char *text)
{
    strncat(report, text, sizeof(report) - strlen(report) - 1);
    strncat(report, "\n", sizeof(report) - strlen(report) - 1);
}

static void dump(struct ax_engine_vcpu *vcpu, const uint8_t *bytes,
                 unsigned count)
{
    report[0] = '\0';
    ax_arch_x86_64.dump(&fake_ops, vcpu, &f.mem, bytes, count, report_line,
                        NULL);
}

#define expect_report(text)                                                    \
    cr_expect(strstr(report, text) != NULL, "no \"%s\" in:\n%s", text, report)

/* What a boot set up is what a crash at its first instruction shows. */
static void start_vcpu(struct ax_engine_vcpu *vcpu)
{
    memset(vcpu, 0, sizeof(*vcpu));
    for (unsigned i = 0; i < f.start.count; i++)
        vcpu->regs[f.start.regs[i].reg] = f.start.regs[i].val;
}

Test(machine, reports_64_bit_mode)
{
    static const uint8_t ud2[] = {0x0f, 0x0b};
    struct ax_engine_vcpu vcpu;
    struct fx_elf e;

    fx_elf(&e, true, 0x200ffe);
    memcpy(e.bytes + FX_ELF_CODE, "\x31\xc0\x0f\x0b", 4);
    cr_assert_eq(fx_boot(&f, e.bytes, sizeof(e.bytes)), 0, "%s", fx_log(&f));
    start_vcpu(&vcpu);
    vcpu.regs[AX_X86_RFLAGS] = 0x246;
    vcpu.regs[AX_X86_CR2] = 0xdead;
    dump(&vcpu, ud2, 2);
    expect_report("RIP 0000000000200ffe  64-bit mode, CPL 0, paging on");
    expect_report("RFLAGS 0000000000000246  [PF ZF IF]");
    expect_report("CR0    0000000080000011  [PE ET PG]");
    expect_report("CR4    0000000000000020  [PAE]");
    expect_report("EFER   0000000000000500  [LME LMA]");
    expect_report("CR2    000000000000dead  CR3 0000000000009000");
    expect_report("CS  0010  base 0000000000000000  limit ffffffff");
    expect_report("DPL 0, 64-bit code");
    expect_report("LDT 0000");
    expect_report("unusable");
    expect_report("GDT       base 0000000000000500  limit 0000001f");
    expect_report("code:  0f 0b\n");
    /* Without bytes from the engine they come through the guest's tables. */
    dump(&vcpu, NULL, 0);
    expect_report("code:  31 c0 0f 0b 5e");
    if (strstr(report, "capstone"))
        cr_skip_test("no disassembler: the report says so");
    expect_report("  200ffe:  xor eax, eax\n");
    expect_report("  201000:  ud2 \n");
}

Test(machine, reports_other_modes)
{
    uint8_t flat[64] = {0xf4};
    struct ax_engine_vcpu vcpu;

    f.conf.kernel_load = (struct ax_config_addr){true, 0x7000, {0, 0}};
    cr_assert_eq(fx_boot(&f, flat, sizeof(flat)), 0, "%s", fx_log(&f));
    start_vcpu(&vcpu);
    dump(&vcpu, NULL, 0);
    expect_report("RIP 0000000000007000  real mode, CPL 0, paging off");
    expect_report("code:  f4 00");
    f.conf.kernel_load.val = 0x200000;
    cr_assert_eq(fx_boot(&f, flat, sizeof(flat)), 0, "%s", fx_log(&f));
    start_vcpu(&vcpu);
    dump(&vcpu, NULL, 0);
    expect_report("32-bit protected mode, CPL 0, paging off");
    vcpu.regs[AX_X86_CS + AX_X86_SEG_AR] &= ~0x4000ULL;
    dump(&vcpu, NULL, 0);
    expect_report("16-bit protected mode");
    vcpu.regs[AX_X86_EFER] = 0x500;
    dump(&vcpu, NULL, 0);
    expect_report("compatibility mode");
    vcpu.regs[AX_X86_RFLAGS] |= 0x20000;
    vcpu.regs[AX_X86_EFER] = 0;
    dump(&vcpu, NULL, 0);
    expect_report("virtual 8086 mode, CPL 3");
}

/* Entry i of the table at gpa, in 4 or 8 bytes. */
static void set_entry(ax_gpa table, unsigned i, uint64_t val, unsigned width)
{
    uint8_t *p = ax_memory_at(&f.mem, table + i * width, width, AX_PROT_WRITE);

    cr_assert_not_null(p);
    fx_put(p, val, width);
}

Test(machine, reads_code_through_any_paging)
{
    uint8_t flat[64] = {0xf4};
    struct ax_engine_vcpu vcpu;
    uint8_t *code;

    f.conf.kernel_load = (struct ax_config_addr){true, 0x200000, {0, 0}};
    cr_assert_eq(fx_boot(&f, flat, sizeof(flat)), 0, "%s", fx_log(&f));
    start_vcpu(&vcpu);
    code = ax_memory_at(&f.mem, 0x405000, 4, AX_PROT_WRITE);
    memcpy(code, "\x90\x90\xcc\xf4", 4);
    vcpu.regs[AX_X86_CR0] |= AX_X86_CR0_PG;
    vcpu.regs[AX_X86_CR3] = 0x300000;
    vcpu.regs[AX_X86_RIP] = 0xc0005000;

    set_entry(0x300000, 0x300, 0x301003, 4); /* 32-bit, 4 KiB page */
    set_entry(0x301000, 5, 0x405003, 4);
    dump(&vcpu, NULL, 0);
    expect_report("code:  90 90 cc f4");
    set_entry(0x300000, 0x300, 0x400083, 4); /* 32-bit, 4 MiB page */
    vcpu.regs[AX_X86_CR4] = 0x10;
    dump(&vcpu, NULL, 0);
    expect_report("code:  90 90 cc f4");
    vcpu.regs[AX_X86_CR4] = AX_X86_CR4_PAE;
    set_entry(0x300000, 3, 0x302001, 8); /* PAE, 2 MiB page */
    set_entry(0x302000, 0, 0x400083, 8);
    dump(&vcpu, NULL, 0);
    expect_report("code:  90 90 cc f4");
    set_entry(0x302000, 0, 0, 8); /* not present */
    dump(&vcpu, NULL, 0);
    expect_report("code:  RIP points to no memory");
    set_entry(0x300000, 3, 0xfffff000001, 8); /* a table that is no memory */
    dump(&vcpu, NULL, 0);
    expect_report("code:  RIP points to no memory");
}
