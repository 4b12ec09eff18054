/*
 * test_config_axvisor.c - AxVisor's own files and our samples load as they
 * are, and what is dumped loads again to the same.
 */
#include "unit/config_load.h"

#include <dirent.h>
#include <unistd.h>

static struct loaded l;

static void fini(void)
{
    loaded_fini(&l);
}

TestSuite(config_axvisor, .fini = fini);

static void load_file(const char *name)
{
    static char path[512];

    cr_assert_lt(
        (size_t)snprintf(path, sizeof(path), AX_SOURCE_DIR "/%s", name),
        sizeof(path));
    l.src.file = path;
    load_good(&l, NULL);
}

Test(config_axvisor, classic_nimbos)
{
    load_file("tests/data/axvisor/classic_nimbos-x86_64-qemu-smp1.toml");
    cr_assert_str_eq(l.conf->arch, "x86_64");
    cr_assert(l.conf->axvisor);
    cr_assert_eq(l.conf->protocol, AX_BOOT_MULTIBOOT);
    cr_assert_eq(l.conf->bios_load.val, 0x8000);
    cr_assert_eq(l.conf->entry.val, 0x8000);
    cr_assert_eq(l.conf->region_count, 1);
    cr_assert_eq(l.conf->regions[0].size, AX_MIB(16));
    cr_assert_eq(l.conf->passthrough_count, 3);
    cr_assert_eq(l.conf->cpu_sets[0], 1);
}

Test(config_axvisor, aarch64_linux)
{
    load_file("tests/data/axvisor/qemu_aarch64_linux-smp1.toml");
    cr_assert_str_eq(l.conf->arch, "aarch64");
    cr_assert_eq(l.conf->protocol, AX_BOOT_DIRECT);
    cr_assert_eq(l.conf->dtb_load.val, 0x80000000);
    cr_assert_eq(l.conf->regions[0].gpa, 0x80000000);
    cr_assert_eq(l.conf->regions[0].map_type, AX_MAP_IDENTICAL);
    cr_assert_eq(l.conf->interrupt_mode, AX_IRQ_MODE_PT);
    cr_assert(told(&l, "emulated board instead"));
}

Test(config_axvisor, riscv64_arceos)
{
    load_file("tests/data/axvisor/qemu_riscv64_arceos-smp1.toml");
    cr_assert_str_eq(l.conf->arch, "riscv64");
    cr_assert_str_eq(l.conf->name, "arceos-qemu");
    cr_assert_eq(l.conf->regions[0].size, AX_MIB(64));
}

Test(config_axvisor, x86_64_linux)
{
    load_file("tests/data/axvisor/qemu_x86_64_linux-smp1.toml");
    cr_assert_str_eq(l.conf->arch, "x86_64");
    cr_assert_eq(l.conf->protocol, AX_BOOT_DIRECT);
    cr_assert_eq(l.conf->kernel_load.val, 0x200000);
    cr_assert_eq(l.conf->region_count, 1); /* merged */
    cr_assert_eq(l.conf->regions[0].size, AX_MIB(128));
    cr_assert_eq(l.conf->emu_count, 3);
    cr_assert_eq(l.conf->emu[2].type, AX_EMU_X86_PIT);
    cr_assert_eq(l.conf->window_count, 6);
    cr_assert_eq(l.conf->port_count, 1);
    cr_assert_eq(strncmp(l.conf->cmdline, "console=ttyS0 ", 14), 0);
}

Test(config_axvisor, x86_64_nimbos)
{
    load_file("tests/data/axvisor/qemu_x86_64_nimbos-smp1.toml");
    cr_assert_str_eq(l.conf->arch, "x86_64");
    cr_assert_eq(l.conf->protocol, AX_BOOT_MULTIBOOT);
    cr_assert_null(l.conf->bios.path);
}

Test(config_axvisor, rk3588_linux)
{
    load_file("tests/data/axvisor/rk3588_linux-smp8.toml");
    cr_assert_str_eq(l.conf->arch, "aarch64");
    cr_assert_eq(l.conf->cpu_num, 8);
    cr_assert_eq(l.conf->cpu_ids[7], 0x700);
    cr_assert_eq(l.conf->region_count, 2);
    cr_assert_eq(l.conf->regions[0].size, 0xd5600000);
    cr_assert_eq(l.conf->passthrough_count, 6);
    cr_assert_str_eq(l.conf->passthrough[3].name, "uart8250 UART");
}

/* ---- dumps ---- */

static char *dump(void)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    cr_assert_not_null(f);
    ax_config_dump(l.conf, f);
    cr_assert_eq(fclose(f), 0);
    return text;
}

/* What is loaded now, dumped, loaded under another name, dumped again. */
static void dump_is_stable(void)
{
    char *first = dump(), *second;

    l.src.file = "elsewhere/dump.toml";
    l.sets[0] = NULL;
    load_good(&l, first);
    second = dump();
    cr_assert_str_eq(first, second);
    free(first);
    free(second);
}

static void every_file_of(const char *dir)
{
    char path[1024];
    struct dirent *entry;
    unsigned count = 0;
    DIR *d;

    snprintf(path, sizeof(path), AX_SOURCE_DIR "/%s", dir);
    d = opendir(path);
    cr_assert_not_null(d);
    while ((entry = readdir(d))) {
        size_t len = strlen(entry->d_name);

        if (len < 5 || strcmp(entry->d_name + len - 5, ".toml"))
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        load_file(path);
        dump_is_stable();
        count++;
    }
    closedir(d);
    cr_assert_gt(count, 4);
}

Test(config_axvisor, the_shared_files_dump_to_the_same)
{
    every_file_of("tests/data/axvisor");
}

Test(config_axvisor, our_samples_dump_to_the_same)
{
    every_file_of("configs");
}

static void text_is_stable(const char *text)
{
    l.src.file = "dir/guest.toml";
    load_good(&l, text);
    dump_is_stable();
}

Test(config_axvisor, odd_values_dump_to_the_same)
{
    text_is_stable(KERNEL);
    text_is_stable(KERNEL
                   "cmdline = \"\\\"\\\\\\t\\n\\u0001\\u007f\xc3\xa4\"\n");
    text_is_stable(KERNEL "cmdline = \"\"\n[base]\nname = \"a\\tb\"\n");
    text_is_stable(KERNEL "[debug]\ntimeout = 0.05\n");
    text_is_stable(KERNEL "[debug]\ntimeout = 999999999.999\n");
    text_is_stable(KERNEL "[base]\nmemory = 0x10_1000\n");
    text_is_stable(KERNEL "[base]\nmemory = \"3G\"\n");
    text_is_stable(KERNEL "[console]\nmode = \"unix:a b\"\n");
    text_is_stable(KERNEL "[console]\nmode = \"file:/a\"\n");
    text_is_stable(KERNEL "[console]\nmode = \"fd:7\"\n");
    text_is_stable(KERNEL "[debug]\ngdb = 1234\ngdb_wait = true\n");
    text_is_stable(KERNEL "[debug]\ngdb = \"*:0\"\n"
                          "gdb_on = [\"poweroff\", \"crash\"]\n");
    text_is_stable(KERNEL "[debug]\ngdb = \"unix:a b\"\n");
    text_is_stable(KERNEL "[devices]\nexcluded_devices = [[\"a\", \"b\"]]\n");
    text_is_stable(KERNEL "[devices]\n"
                          "emu_devices = [[\"\", 0, 0, 0, 0, [1, 2]]]\n");
    text_is_stable(KERNEL "[cpu]\nhide = [\"a\"]\nexpose = [\"b\", \"c\"]\n");
    text_is_stable(KERNEL "memory_regions = [[0x10_0000, 0x8_0000, 7, 0], "
                          "[0x1c_0000, 0x8_0000, 5, 2], "
                          "[0, 0x1001, 7, 0]]\n");
    text_is_stable(KERNEL "uefi_firmware_path = \"u\"\n"
                          "bios_load_addr = 0xffc0_0000\n");
    text_is_stable(KERNEL "bios_path = \"u\"\nbios_load_addr = 1\n");
    text_is_stable(KERNEL "enable_bios = false\n");
    text_is_stable(KERNEL "[[disk]]\npath = \"a b\"\noverlay = true\n"
                          "bps = \"3M\"\n[[disk]]\npath = \"/c\"\n"
                          "serial = \"s\\\"\"\niops = 7\nbps = 1000\n");
    text_is_stable(KERNEL "[[net]]\nhostfwd = []\n"
                          "[[net]]\nmode = \"tap\"\nfd = 9\nvhost = true\n"
                          "mtu = 1500\nqueues = 2\n"
                          "[[net]]\nmode = \"passt\"\npath = \"p\"\n"
                          "[[net]]\nhostfwd = [\"tcp:1-2\", \"udp::3-4\"]\n");
    text_is_stable(KERNEL "[[console]]\nname = \"n\"\n[[console]]\n"
                          "device = \"serial\"\nmode = \"file:f\"\n"
                          "[[console]]\nmode = \"stdio\"\n");
    text_is_stable(KERNEL "[[share]]\ntag = \"t\"\npath = \".\"\n"
                          "[vsock]\ncid = 9\nuds = \"u\"\n"
                          "[balloon]\nenabled = true\n"
                          "[rng]\nenabled = false\n");
    text_is_stable(KERNEL "[vsock]\ncid = 4_294_967_294\nvhost = \"on\"\n");
    text_is_stable(KERNEL "disk_path = \"d\"\n[devices]\nemu_devices = [\n"
                          "[\"b\", 0xd0000000, 0, 5, 0xe1, []],\n"
                          "[\"b\", 0xd0001000, 0, 6, 0xe1, []],\n"
                          "[\"n\", 0xd0002000, 0, 7, 0xe2, []],\n"
                          "[\"c\", 0xd0003000, 0, 0, 0xe3, []]]\n"
                          "[[disk]]\npath = \"a\"\n");
    text_is_stable(KERNEL "[memory]\nhugepages = true\nbacking = \"memfd\"\n");
    text_is_stable(KERNEL "[virtio]\ntransport = \"pci\"\n");
}

Test(config_axvisor, a_dump_says_every_key)
{
    static const char *const keys[] = {
        "id = 0\n",
        "name = \"guest\"\n",
        "arch = \"x86_64\"\n",
        "vm_type = 1\n",
        "cpu_num = 1\n",
        "phys_cpu_ids = [0x0]\n",
        "phys_cpu_sets = [0x0]\n",
        "memory = \"256M\"\n",
        "# kernel_load_addr: not given\n",
        "# entry_point: not given\n",
        "entry_mode = \"auto\"\n",
        "image_location = \"fs\"\n",
        "# cmdline: not given\n",
        "# ramdisk_path: not given\n",
        "# enable_bios: not given\n",
        "boot_protocol = \"auto\"\n",
        "# memory_regions: not given\n",
        "backing = \"anonymous\"\n",
        "hugepages = \"off\"\n",
        "irqchip = \"kernel\"\n",
        "hide = []\n",
        "interrupt_mode = \"emu\"\n",
        "address_space_policy = \"virtualized\"\n",
        "emu_devices = []\n",
        "excluded_devices = []\n",
        "mode = \"stdio\"\n",
        "escapes = true\n",
        "\n# [[disk]]: none\n",
        "\n# [[net]]: none\n",
        "\n# [[console]]: none\n",
        "\n# [[share]]: none\n",
        "# cid: not given\n",
        "enabled = false\n",
        "deflate_on_oom = true\n",
        "free_page_reporting = true\n",
        "\n[rng]\n",
        "\n[virtio]\n",
        "transport = \"mmio\"\n",
        "exit_port = true\n",
        "debug_port = true\n",
        "timeout = 0\n",
        "# gdb: not given\n",
        "gdb_wait = false\n",
        "gdb_on = []\n",
    };
    char cwd[512], expected[1024], *text;

    load_good(&l, KERNEL "[base]\narch = \"x86_64\"\n");
    text = dump();
    for (unsigned i = 0; i < AX_ARRAY_LEN(keys); i++)
        cr_assert_not_null(strstr(text, keys[i]), "%s in %s", keys[i], text);
    /* A path that is good from anywhere. */
    cr_assert_not_null(getcwd(cwd, sizeof(cwd)));
    snprintf(expected, sizeof(expected), "kernel_path = \"%s/dir/vmlinuz\"\n",
             cwd);
    cr_assert_not_null(strstr(text, expected), "%s", text);
    free(text);
}

Test(config_axvisor, an_override_is_in_the_dump)
{
    char *text;

    l.sets[0] = "base.cpu_num=3";
    l.sets[1] = "debug.gdb=*:0";
    l.sets[2] = "debug.gdb_on=['poweroff', 'crash']";
    l.sets[3] = "virtio.transport=pci";
    l.sets[4] = NULL;
    load_good(&l, KERNEL "[base]\ncpu_num = 2\n");
    text = dump();
    cr_assert_not_null(strstr(text, "transport = \"pci\"\n"));
    cr_assert_not_null(strstr(text, "gdb = \"*:0\"\n"));
    cr_assert_not_null(strstr(text, "gdb_on = [\"crash\", \"poweroff\"]\n"));
    cr_assert_not_null(strstr(text, "cpu_num = 3\n"));
    cr_assert_not_null(strstr(text, "phys_cpu_ids = [0x0, 0x1, 0x2]\n"));
    free(text);
}
