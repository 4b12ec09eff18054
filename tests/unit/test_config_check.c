/* test_config_check.c - keys together: CPUs, memory, boot protocols, arch. */
#include "arch/arch.h"
#include "unit/config_load.h"

#include <sched.h>
#include <unistd.h>

static struct loaded l;

static void fini(void)
{
    loaded_fini(&l);
}

TestSuite(config_check, .fini = fini);

/* ---- CPUs ---- */

Test(config_check, cpu_lists_have_an_entry_per_cpu)
{
    load_bad(&l, KERNEL "[base]\nphys_cpu_ids = [0, 1]\n",
             "phys_cpu_ids has 2 entries, but cpu_num is 1");
    cr_assert(told(&l, "help: set cpu_num = 2"));
    load_bad(&l, KERNEL "[base]\ncpu_num = 3\nphys_cpu_sets = [1]\n",
             "phys_cpu_sets has 1 entries, but cpu_num is 3");
    load_bad(&l, KERNEL "[base]\nphys_cpu_ids = []\n", "has 0 entries");
    load_bad(&l, KERNEL "[base]\ncpu_num = 3\nphys_cpu_ids = [0, 256, 0x100]\n",
             "gives vCPU 1 and vCPU 2 the same id 0x100");
    load_bad(&l, KERNEL "[base]\nphys_cpu_ids = [-1]\n", "out of range");
    load_bad(&l, KERNEL "[base]\nphys_cpu_ids = [\"0\"]\n", "without quotes");
    load_bad(&l, KERNEL "[base]\nphys_cpu_ids = 0\n", "an array of integers");
}

Test(config_check, sixty_four_cpus_and_no_more)
{
    char text[2048] = KERNEL "[base]\ncpu_num = 64\nphys_cpu_ids = [";

    for (unsigned i = 0; i < 64; i++)
        sprintf(text + strlen(text), "%u, ", 2 * i);
    strcat(text, "]\n");
    load_good(&l, text);
    cr_assert_eq(l.conf->cpu_num, 64);
    cr_assert_eq(l.conf->cpu_ids[63], 126);
    strcpy(strrchr(text, ']'), "1000]\n");
    load_bad(&l, text, "has 65 entries");
    strcpy(strrchr(text, ']'), "");
    for (unsigned i = 0; i < 300; i++)
        strcat(text, ",1");
    strcat(text, "]\n");
    load_bad(&l, text, "at most 256");
}

Test(config_check, cpu_sets_are_cut_to_this_host)
{
    cpu_set_t set;
    unsigned cpu = 0;
    char text[256];
    uint64_t none;

    cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
    while (!CPU_ISSET(cpu, &set))
        cpu++;
    if (cpu > 61 || CPU_ISSET(62, &set))
        cr_skip_test("this host's CPUs leave none to be missing");
    none = 1ULL << 62;
    snprintf(text, sizeof(text),
             KERNEL "[base]\ncpu_num = 4\n"
                    "phys_cpu_sets = [0x%llx, 0x%llx, 0x%llx, 0]\n",
             1ULL << cpu, (unsigned long long)none,
             1ULL << cpu | (unsigned long long)none);
    load_warns(&l, text, "names no CPU of this host for vCPU 1: any CPU");
    cr_assert(told(&l, "names CPUs that this host does not have for vCPU 2:"));
    cr_assert_eq(l.conf->cpu_sets[0], 1ULL << cpu);
    cr_assert_eq(l.conf->cpu_sets[1], 0);
    cr_assert_eq(l.conf->cpu_sets[2], 1ULL << cpu);
    cr_assert_eq(l.conf->cpu_sets[3], 0);
}

Test(config_check, an_unknown_vm_type_becomes_an_rtos)
{
    load_warns(&l, KERNEL "[base]\nvm_type = 3\n", "unknown vm_type 3");
    cr_assert_eq(l.conf->vm_type, 1);
    load_bad(&l, KERNEL "[base]\nvm_type = 0x1_0000_0001\n", "out of range");
}

/* ---- memory ---- */

#define REGIONS(rows) KERNEL "memory_regions = [" rows "]\n"

static void region_is(unsigned i, uint64_t gpa, uint64_t size,
                      enum ax_map_type type)
{
    cr_assert_lt(i, l.conf->region_count);
    cr_assert_eq(l.conf->regions[i].gpa, gpa, "%#llx",
                 (unsigned long long)l.conf->regions[i].gpa);
    cr_assert_eq(l.conf->regions[i].size, size, "%#llx",
                 (unsigned long long)l.conf->regions[i].size);
    cr_assert_eq(l.conf->regions[i].map_type, type);
}

Test(config_check, regions_in_both_spellings)
{
    load_good(&l, REGIONS("[0, 0x20_0000, 0x7, 0],\n"
                          "{map_type = 2, size = 0x40_0000, gpa = 0x80_0000, "
                          "flags = 0xf}"));
    cr_assert_eq(l.conf->memory, 0);
    cr_assert_eq(l.conf->region_count, 2);
    region_is(0, 0, 0x200000, AX_MAP_ALLOC);
    region_is(1, 0x800000, 0x400000, AX_MAP_RESERVED);
    cr_assert_eq(l.conf->regions[1].flags, 0xf);
    cr_assert_eq(l.conf->regions[1].pos.line, 4);
    cr_assert_eq(l.conf->regions[1].pos.column, 1);
}

Test(config_check, regions_that_are_none)
{
    load_bad(&l, REGIONS("[0, 0x20_0000, 7]"), "has no 'map_type'");
    cr_assert(told(&l, "expected: [gpa, size, flags, map_type]"));
    load_bad(&l, REGIONS("[0, 1, 7, 0, 0]"), "has 5 fields, not 4");
    load_bad(&l, REGIONS("{gpa = 0, flags = 7, map_type = 0}"), "no 'size'");
    load_bad(&l, REGIONS("{gpa=0, size=4096, flag=7, flags=7, map_type=0}"),
             "did you mean 'flags'?");
    load_bad(&l, REGIONS("7"), "must be an array or an inline table");
    load_bad(&l, REGIONS("[0, 0x20_0000, 7, 3]"), "from 0 to 2");
    load_bad(&l, REGIONS("[0, 0x20_0000, 0x40, 0]"), "from 0 to 63");
    load_bad(&l, REGIONS("[\"0\", 0x20_0000, 7, 0]"), "without quotes");
    load_bad(&l, REGIONS("[0, 0, 7, 0]"), "zero length");
    load_bad(&l, REGIONS(""), "memory_regions is empty");
    load_bad(&l, KERNEL "memory_regions = 3\n", "an array of [gpa, size,");
    load_bad(&l,
             REGIONS("[0x7fff_ffff_ffff_f000, 0x7fff_ffff_ffff_ffff, 7, "
                     "0]"),
             "beyond 52 address bits");
    load_bad(&l, REGIONS("[0xf_ffff_ffff_f000, 0x1001, 7, 0]"),
             "beyond 52 address bits");
    load_good(&l, REGIONS("[0xf_ffff_ffff_f000, 0x1000, 7, 0]"));
    region_is(0, 0xfffffffe00000, 0x200000, AX_MAP_ALLOC);
}

Test(config_check, flags_other_than_rwx_are_told)
{
    load_warns(&l, REGIONS("[0, 0x20_0000, 0x5, 0]"), "flags 0x5");
    load_warns(&l, REGIONS("[0, 0x20_0000, 0x17, 0]"), "flags 0x17");
    load_good(&l, REGIONS("[0, 0x20_0000, 0xf, 0]"));
    cr_assert_not(told(&l, "flags"));
}

Test(config_check, regions_are_rounded_to_two_mebibytes)
{
    load_good(&l, REGIONS("[0x940_0000, 0xd550_0000, 7, 1], "
                          "[0x920_0000, 0x2000, 0xf, 2]"));
    region_is(0, 0x9400000, 0xd5600000, AX_MAP_IDENTICAL);
    region_is(1, 0x9200000, 0x200000, AX_MAP_RESERVED);
    load_good(&l, REGIONS("[0x12_3456, 0x10, 7, 0]"));
    region_is(0, 0, 0x200000, AX_MAP_ALLOC);
}

Test(config_check, rounding_never_makes_an_overlap)
{
    load_good(&l, REGIONS("[0x10_0000, 0x8_0000, 7, 0], "
                          "[0x1c_0000, 0x8_0000, 7, 0], "
                          "[0, 0x1001, 7, 0]"));
    region_is(0, 0x100000, 0xc0000, AX_MAP_ALLOC);
    region_is(1, 0x1c0000, 0x240000, AX_MAP_ALLOC);
    region_is(2, 0, 0x100000, AX_MAP_ALLOC);
    /* Two regions in one page do overlap, though. */
    load_bad(&l, REGIONS("[0, 0x1001, 7, 0], [0x1800, 0x1000, 7, 0]"),
             "memory regions overlap");
}

Test(config_check, identical_over_alloc_is_one_region)
{
    load_good(&l, REGIONS("[0, 0x800_0000, 7, 1], [0, 0x10_0000, 7, 0]"));
    cr_assert_eq(l.conf->region_count, 1);
    region_is(0, 0, 0x8000000, AX_MAP_IDENTICAL);
    cr_assert_eq(l.counts[AX_SEVERITY_NOTE], 1);
    cr_assert_eq(l.counts[AX_SEVERITY_WARNING], 1); /* the kernel's file */
    cr_assert(told(&l, ": note: memory region overlaps"));
    /* Chains become one, too; the first of the file stays the first. */
    load_good(&l, REGIONS("[0x4000_0000, 0x20_0000, 7, 0], "
                          "[0x40_0000, 0x40_0000, 7, 1], "
                          "[0x20_0000, 0x40_0000, 7, 0], "
                          "[0x60_0000, 0x40_0000, 7, 0]"));
    cr_assert_eq(l.conf->region_count, 2);
    region_is(0, 0x40000000, 0x200000, AX_MAP_ALLOC);
    region_is(1, 0x200000, 0x800000, AX_MAP_IDENTICAL);
}

Test(config_check, other_overlaps_print_the_map)
{
    load_bad(&l,
             REGIONS("[0x4000_0000, 0x20_0000, 7, 0],\n"
                     "[0, 0x40_0000, 7, 0],\n"
                     "[0x20_0000, 0x4000_0000, 7, 0]"),
             "dir/guest.toml:5:1: error: memory regions overlap");
    cr_assert(told(&l, "  memory map, with ! where regions overlap:\n"
                       "  !                  0 -           0x3fffff       4M"
                       "  type 0, line 4\n"
                       "  !           0x200000 -         0x401fffff       1G"
                       "  type 0, line 5\n"
                       "  !         0x40000000 -         0x401fffff       2M"
                       "  type 0, line 3\n"),
              "%s", l.told);
    load_bad(&l, REGIONS("[0, 0x2000, 7, 1], [0x1000, 0x1000, 7, 1]"),
             "overlap");
    load_bad(&l, REGIONS("[0, 0x2000, 7, 1], [0x1000, 0x1000, 7, 2]"),
             "overlap");
    load_bad(&l,
             REGIONS("[0, 0x2000, 7, 0], [0x1000, 0x1000, 7, 0], "
                     "[0x10_0000, 0x1000, 7, 0]"),
             "            0x100000 -           0x100fff       4K");
}

Test(config_check, at_most_32_regions)
{
    char text[4096] = KERNEL "memory_regions = [";

    for (unsigned i = 0; i < 33; i++)
        sprintf(text + strlen(text), "[%#x, 0x20_0000, 7, 0],", i << 21);
    strcat(text, "]\n");
    load_bad(&l, text, "33 memory regions; at most 32");
}

Test(config_check, memory_and_regions_exclude_each_other)
{
    load_bad(&l, REGIONS("[0, 0x20_0000, 7, 0]") "[base]\nmemory = \"1G\"\n",
             "exclude each other");
}

/* ---- boot protocols ---- */

#define AXVISOR KERNEL "entry_point = 0x8000\nkernel_load_addr = 0x20_0000\n"

static void protocol_is(const char *text, enum ax_boot_protocol protocol)
{
    load_good(&l, text);
    cr_assert_eq(l.conf->protocol, protocol, "%s", text);
}

Test(config_check, the_five_boot_protocol_errors_in_order)
{
    /* 1: enable_bios = false and not direct, before anything else */
    load_bad(&l,
             AXVISOR "enable_bios = false\nboot_protocol = \"uefi\"\n"
                     "[base]\narch = \"riscv64\"\n",
             "boot protocol uefi conflicts with enable_bios = false");
    load_bad(&l, AXVISOR "boot_protocol = \"multiboot\"\n",
             "boot protocol multiboot conflicts with enable_bios = false");
    load_bad(&l, KERNEL "enable_bios = false\nboot_protocol = \"bios\"\n",
             "boot protocol multiboot conflicts with enable_bios = false");
    /* 2: enable_bios = true and direct */
    load_bad(&l,
             KERNEL "enable_bios = true\nboot_protocol = \"kernel\"\n"
                    "[base]\narch = \"riscv64\"\n",
             "boot protocol direct conflicts with enable_bios = true");
    /* 3: the architecture, before what is missing */
    load_bad(&l,
             KERNEL "enable_bios = true\nboot_protocol = \"uefi\"\n"
                    "[base]\narch = \"aarch64\"\n",
             "boot protocol uefi is not supported on architecture aarch64");
    load_bad(&l, KERNEL "enable_bios = true\n[base]\narch = \"riscv64\"\n",
             "boot protocol multiboot is not supported on architecture "
             "riscv64");
    /* 4: the firmware, before its address */
    load_bad(&l, KERNEL "boot_protocol = \"efi\"\n",
             "boot protocol uefi requires uefi_firmware_path or the "
             "compatible bios_path");
    /* 5: its address */
    load_bad(&l, KERNEL "boot_protocol = \"uefi\"\nbios_path = \"f\"\n",
             "boot protocol uefi requires a firmware load address in "
             "bios_load_addr");
    load_bad(&l, KERNEL "boot_protocol = \"axvm-bios\"\nbios_path = \"f\"\n",
             "boot protocol multiboot requires a firmware load address in "
             "bios_load_addr");
    cr_assert(told(&l, "dir/guest.toml:3:17: error"));
}

Test(config_check, effective_protocols)
{
    protocol_is(KERNEL, AX_BOOT_AUTO);
    protocol_is(KERNEL "enable_bios = false\n", AX_BOOT_AUTO);
    protocol_is(KERNEL "enable_bios = true\n", AX_BOOT_MULTIBOOT);
    protocol_is(KERNEL "boot_protocol = \"direct\"\n", AX_BOOT_DIRECT);
    protocol_is(KERNEL "boot_protocol = \"auto\"\n", AX_BOOT_AUTO);
    protocol_is(KERNEL "boot_protocol = \"multiboot\"\n", AX_BOOT_MULTIBOOT);
    protocol_is(AXVISOR, AX_BOOT_DIRECT);
    cr_assert(l.conf->axvisor);
    cr_assert_eq(l.conf->entry.val, 0x8000);
    cr_assert_eq(l.conf->kernel_load.val, 0x200000);
    cr_assert_eq(l.conf->interrupt_mode, AX_IRQ_MODE_NONE);
    protocol_is(AXVISOR "enable_bios = true\n", AX_BOOT_MULTIBOOT);
    protocol_is(AXVISOR "enable_bios = true\nboot_protocol = \"bios\"\n",
                AX_BOOT_MULTIBOOT);
}

Test(config_check, a_classic_bios_path_means_multiboot)
{
    protocol_is(AXVISOR "bios_path = \"b\"\nbios_load_addr = 0x8000\n",
                AX_BOOT_MULTIBOOT);
    cr_assert_eq(l.counts[AX_SEVERITY_NOTE], 1);
    cr_assert_eq(l.conf->bios_load.val, 0x8000);
    /* With one of the later keys there is nothing to guess. */
    protocol_is(AXVISOR "bios_path = \"b\"\nbios_load_addr = 0x8000\n"
                        "enable_bios = false\n",
                AX_BOOT_DIRECT);
    cr_assert(told(&l, "bios_path has no effect with boot protocol direct"));
}

Test(config_check, uefi_firmware_has_a_key_of_its_own)
{
    protocol_is(KERNEL "boot_protocol = \"uefi\"\nbios_path = \"b\"\n"
                       "uefi_firmware_path = \"u\"\n"
                       "bios_load_addr = 0xffc0_0000\n",
                AX_BOOT_UEFI);
    cr_assert_str_eq(l.conf->bios.path, "dir/u");
    cr_assert_eq(l.conf->bios.pos.line, 5);
    protocol_is("[kernel]\nuefi_firmware_path = \"u\"\n"
                "bios_load_addr = 0xffc0_0000\n",
                AX_BOOT_UEFI);
    cr_assert_null(l.conf->kernel.path);
    load_warns(&l, AXVISOR "uefi_firmware_path = \"u\"\n", "has no effect");
    load_bad(&l, "[kernel]\nbios_path = \"u\"\n", "needs bios_load_addr");
    load_bad(&l, KERNEL "boot_protocol = \"uefi\"\nbios_path = \"\"\n",
             "must not be empty");
}

Test(config_check, uefi_has_no_command_line_for_virtio_devices)
{
    static const char uefi[] = KERNEL "virtio_cmdline = true\n"
                                      "uefi_firmware_path = \"u\"\n"
                                      "bios_load_addr = 0xffc0_0000\n";
    static const char bios[] = KERNEL "virtio_cmdline = true\n"
                                      "bios_path = \"b\"\n"
                                      "bios_load_addr = 0x8000\n";

    load_bad(&l, uefi,
             "dir/guest.toml:3:18: error: virtio_cmdline needs a "
             "command line, and boot protocol uefi has none");
    cr_assert(told(&l, "help: leave it out: ACPI announces the devices"));
    l.sets[0] = "kernel.virtio_cmdline=false";
    load_good(&l, uefi);
    l.sets[0] = NULL;
    load_good(&l, bios);
}

Test(config_check, pci_devices_are_not_announced_on_a_command_line)
{
    static const char both[] = KERNEL "virtio_cmdline = true\n"
                                      "[virtio]\ntransport = \"pci\"\n";

    load_bad(&l, both,
             "dir/guest.toml:3:18: error: virtio_cmdline announces virtio-mmio "
             "devices, and transport is \"pci\"");
    cr_assert(told(&l, "help: leave one of them out: a guest finds PCI"));
    load_bad(&l,
             KERNEL "virtio_cmdline = true\nuefi_firmware_path = \"u\"\n"
                    "bios_load_addr = 0xffc0_0000\n"
                    "[virtio]\ntransport = \"pci\"\n",
             "transport is \"pci\"");
    l.sets[0] = "kernel.virtio_cmdline=false";
    load_good(&l, both);
    l.sets[0] = "virtio.transport=mmio";
    load_good(&l, both);
}

Test(config_check, a_bad_value_is_told_once)
{
    load_bad(&l, KERNEL "boot_protocol = \"x\"\nenable_bios = false\n",
             "cannot be \"x\"");
    load_bad(&l, KERNEL "boot_protocol = \"bios\"\nenable_bios = 0\n",
             "found an integer");
    load_bad(&l, "[kernel]\nkernel_path = 1\n", "found an integer");
    load_bad(&l, KERNEL "[base]\ncpu_num = 0\nphys_cpu_ids = [0]\n", "cpu_num");
    load_bad(&l, KERNEL "[base]\nmemory = \"x\"\n", "is not a size");
    load_bad(&l, KERNEL "[base]\narch = \"x86\"\n", "\"x86_64\"?");
    load_bad(&l, KERNEL "[console]\nmode = 1\n", "found an integer");
}

Test(config_check, what_is_missing_is_told)
{
    load_bad(&l, "", "dir/guest.toml:1:1: error: 'kernel_path' is missing");
    load_bad(&l, "[base]\n\n[kernel]\n", "dir/guest.toml:3:2: error");
}

Test(config_check, initrd_is_ramdisk_path)
{
    load_good(&l, KERNEL "ramdisk_path = \"r\"\nramdisk_load_addr = 0x100\n");
    cr_assert_str_eq(l.conf->initrd.path, "dir/r");
    cr_assert_eq(l.conf->initrd_load.val, 0x100);
    load_good(&l, KERNEL "initrd = \"r\"\n");
    cr_assert_str_eq(l.conf->initrd.path, "dir/r");
    cr_assert_eq(l.conf->initrd.pos.line, 3);
    load_bad(&l, KERNEL "initrd = \"r\"\nramdisk_path = \"r\"\n", "give one");
    load_warns(&l, KERNEL "initrd = \"r\"\n", "cannot open 'dir/r'");
}

Test(config_check, what_has_no_effect_is_told)
{
    load_warns(&l, KERNEL "disk_path = \"d\"\n", "cannot open 'dir/d'");
    load_warns(&l, KERNEL "dtb_path = \"d\"\n", "dtb_path has no effect");
    load_warns(&l, KERNEL "dtb_load_addr = 1\n", "dtb_load_addr has no effect");
    load_warns(&l,
               "[kernel]\nuefi_firmware_path = \"u\"\n"
               "bios_load_addr = 0xffc0_0000\ncmdline = \"c\"\n",
               "cmdline has no effect with boot protocol uefi");
    load_good(&l, KERNEL "dtb_path = \"d\"\n[base]\narch = \"aarch64\"\n");
    cr_assert_not(told(&l, "no effect"));
    load_good(&l, KERNEL "image_location = \"memory\"\n");
    cr_assert_eq(l.counts[AX_SEVERITY_WARNING], 1); /* the kernel's file */
    load_bad(&l, KERNEL "image_location = \"disk\"\n", "one of \"fs\", ");
}

/* ---- architecture ---- */

static void arch_is(const char *text, const char *arch)
{
    load_good(&l, text);
    cr_assert_str_eq(l.conf->arch, arch, "%s", text);
    cr_assert_gt(strlen(l.conf->arch_why), 0);
}

Test(config_check, the_file_tells_its_architecture)
{
    arch_is(KERNEL "[base]\narch = \"riscv64\"\n", "riscv64");
    cr_assert_str_eq(l.conf->arch_why, "base.arch says so");
    arch_is(KERNEL, ax_arch_host());
    arch_is(KERNEL "[devices]\nemu_devices = [[\"g\", 1, 1, 0, 0x21, []]]\n",
            "aarch64");
    arch_is(KERNEL "[devices]\nemu_devices = [[\"p\", 1, 1, 0, 0x30, [2]]]\n",
            "riscv64");
    arch_is(KERNEL "[devices]\nemu_devices = [[\"p\", 0x40, 1, 0, 0x24]]\n",
            "x86_64");
    arch_is(KERNEL "enable_bios = true\n", "x86_64");
    arch_is(REGIONS("[0x8000_0000, 0x20_0000, 7, 0], [0, 0x20_0000, 7, 0]"),
            "x86_64");
    arch_is(REGIONS("[0x8000_0000, 0x20_0000, 7, 0]") "dtb_load_addr = 1\n",
            "aarch64");
    arch_is(REGIONS("[0x8000_0000, 0x20_0000, 7, 0]") "dtb_path = \"x-riscv\"",
            "riscv64");
    arch_is(
        REGIONS("[0x8000_0000, 0x20_0000, 7, 0]") "dtb_path = \"x\"\ncmdline = "
                                                  "\"a=RISCV\"\n",
        "riscv64");
    l.src.file = "riscv/guest.toml"; /* where it lies does not count */
    arch_is(REGIONS("[0x8000_0000, 0x20_0000, 7, 0]") "dtb_path = \"x\"",
            "aarch64");
    l.src.file = "x/guest-riscv64.toml";
    arch_is(REGIONS("[0x8000_0000, 0x20_0000, 7, 0]") "dtb_path = \"x\"",
            "riscv64");
}

static void kernel_arch_is(const char *dir, size_t off, const char *magic,
                           size_t len, const char *arch)
{
    unsigned char image[0x300] = {0};
    char path[256];
    FILE *f;

    memcpy(image + off, magic, len);
    snprintf(path, sizeof(path), "%s/k", dir);
    f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(image, 1, sizeof(image), f), sizeof(image));
    fclose(f);
    snprintf(path, sizeof(path), "%s/guest.toml", dir);
    l.src.file = path;
    arch_is("[kernel]\nkernel_path = \"k\"\n[devices]\n"
            "emu_devices = [[\"any\", 1, 1, 0, 0, []]]\n",
            arch);
    l.src.file = NULL;
    snprintf(path, sizeof(path), "%s/k", dir);
    unlink(path);
}

Test(config_check, the_kernel_image_tells_best)
{
    static const char elf[] = "\x7f"
                              "ELF\2\1\1\0\0\0\0\0\0\0\0\0\2";
    char dir[] = P_tmpdir "/axvm-arch-XXXXXX", header[20];

    cr_assert_not_null(mkdtemp(dir));
    kernel_arch_is(dir, 0x202, "HdrS", 4, "x86_64");
    kernel_arch_is(dir, 56, "ARM\x64", 4, "aarch64");
    kernel_arch_is(dir, 48, "RISCV\0\0\0RSC\x05", 12, "riscv64");
    memcpy(header, elf, sizeof(elf) - 1);
    memcpy(header + 17, "\0\xb7\0", 3);
    kernel_arch_is(dir, 0, header, sizeof(header), "aarch64");
    memcpy(header + 17, "\0\xf3\0", 3);
    kernel_arch_is(dir, 0, header, sizeof(header), "riscv64");
    memcpy(header + 17, "\0\x3e\0", 3);
    kernel_arch_is(dir, 0, header, sizeof(header), "x86_64");
    memcpy(header + 17, "\0\x03\0", 3);
    kernel_arch_is(dir, 0, header, sizeof(header), "x86_64");
    memcpy(header + 17, "\0\xff\xff", 3); /* unknown: the next hint */
    kernel_arch_is(dir, 0, header, sizeof(header), ax_arch_host());
    rmdir(dir);
}
