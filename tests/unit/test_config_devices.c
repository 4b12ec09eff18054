/* test_config_devices.c - what of [devices] is taken, replaced or refused. */
#include "unit/config_load.h"

static struct loaded l;

static void fini(void)
{
    loaded_fini(&l);
}

TestSuite(config_devices, .fini = fini);

#define X86        KERNEL "[base]\narch = \"x86_64\"\n[devices]\n"
#define ARM        KERNEL "[base]\narch = \"aarch64\"\n[devices]\n"
#define RISCV      KERNEL "[base]\narch = \"riscv64\"\n[devices]\n"
#define EMU(row)   "emu_devices = [" row "]\n"
#define PT(row)    "passthrough_devices = [" row "]\n"
#define ADDR(row)  "passthrough_addresses = [" row "]\n"
#define PORTS(row) "passthrough_ports = [" row "]\n"

/* Accepted without a word but for the kernel's file. */
static void load_silent(const char *text)
{
    load_good(&l, text);
    cr_assert_eq(l.counts[AX_SEVERITY_WARNING], 1, "%s", l.told);
}

Test(config_devices, emulated_devices_in_both_spellings)
{
    load_silent(X86 EMU("[\"com1\", 0x3f8, 8, 4, 0x2, [1, 2]], "
                        "{name = \"x\", base_gpa = 0, length = 0, irq_id = 1, "
                        "emu_type = 0, cfg_list = []}"));
    cr_assert_eq(l.conf->emu_count, 2);
    cr_assert_str_eq(l.conf->emu[0].name, "com1");
    cr_assert_eq(l.conf->emu[0].base, 0x3f8);
    cr_assert_eq(l.conf->emu[0].length, 8);
    cr_assert_eq(l.conf->emu[0].irq, 4);
    cr_assert_eq(l.conf->emu[0].type, AX_EMU_CONSOLE);
    cr_assert_eq(l.conf->emu[0].cfg_count, 2);
    cr_assert_eq(l.conf->emu[0].cfg[1], 2);
    cr_assert_eq(l.conf->emu[1].type, AX_EMU_DUMMY);
    cr_assert_eq(l.conf->emu[1].irq, 1);
    cr_assert_eq(l.conf->emu[1].cfg_count, 0);
}

Test(config_devices, emulated_devices_that_are_none)
{
    load_bad(&l, X86 EMU("[\"x\", 0, 0, 0]"), "has no 'emu_type'");
    load_bad(&l, X86 EMU("[0, 0, 0, 0, 0]"), "'name of emulated device'");
    load_bad(&l, X86 EMU("[\"x\", 0, 0, 0, 0, 7]"), "an array of integers");
    load_bad(&l, X86 EMU("[\"x\", 0, 0, 0, 0, [\"y\"]]"), "cfg_list");
    load_bad(&l, X86 EMU("{name = \"x\"}"),
             "has no 'base_gpa', 'length', 'irq_id', 'emu_type'");
    load_bad(&l,
             X86 EMU("{name = \"x\", gpa = 3, length = 1, irq_id = 0, "
                     "emu_type = 2}"),
             "did you mean 'base_gpa'?");
}

Test(config_devices, unknown_numbers_list_the_known_ones)
{
    load_bad(&l, X86 EMU("[\"x\", 0, 0, 0, 0x99, []]"),
             "unknown emulated device type value: 153");
    cr_assert(told(&l, "0x23 X86IoApic"));
    cr_assert(told(&l, "0xe3 VirtioConsole"));
}

Test(config_devices, every_number_on_its_architecture)
{
    load_silent(X86 EMU("[\"a\", 0xfec0_0000, 0x1000, 0, 0x23, []], "
                        "[\"b\", 0x40, 0x22, 0, 0x24, []], "
                        "[\"c\", 0, 0, 0, 1, []]"));
    load_warns(&l, ARM EMU("[\"d\", 1, 1, 0, 0x21, []]"), "own GIC");
    load_warns(&l, ARM EMU("[\"r\", 1, 1, 0, 0x20, [1, 2, 0]]"), "own GIC");
    load_warns(&l, ARM EMU("[\"i\", 1, 1, 0, 0x22, [1]]"), "own GIC");
    load_warns(&l, RISCV EMU("[\"p\", 1, 1, 0, 0x30, [2]]"), "own PLIC");
    load_bad(&l, X86 EMU("[\"f\", 1, 1, 0, 3, []]"),
             "emulated device 'f' (FwCfg) is not supported on x86_64");
    load_bad(&l, X86 EMU("[\"f\", 1, 1, 0, 0x25, []]"),
             "(LoongArchPchPic) is not supported on x86_64");
    load_bad(&l, X86 EMU("[\"f\", 1, 1, 0, 0x21, []]"),
             "(GPPTDistributor) is not supported on x86_64");
    load_bad(&l, ARM EMU("[\"f\", 1, 1, 0, 0x24, []]"),
             "(X86Pit) is not supported on aarch64");
}

Test(config_devices, what_is_elsewhere_or_absent_is_told)
{
    load_warns(&l, X86 EMU("[\"ivc\", 1, 1, 0, 0xa, []]"), "not implemented");
    load_warns(&l, X86 EMU("[\"a\", 0xfed0_0000, 1, 0, 0x23, []]"),
               "stands at 0xfec00000, not at 0xfed00000");
}

Test(config_devices, virtio_rows_are_places)
{
    load_warns(&l, X86 EMU("[\"b\", 0x1000, 1, 0, 0xe1, []]"), "no image");
    cr_assert_eq(l.conf->disk_count, 0);
    load_good(&l, X86 EMU("[\"n\", 0xd0001000, 1, 6, 0xe2, []], "
                          "[\"c\", 0xd0002000, 1, 7, 0xe3, []]"));
    cr_assert_eq(l.conf->net_count, 1);
    cr_expect_eq(l.conf->nets[0].conf.mode, AX_NET_USER);
    cr_expect_eq(l.conf->nets[0].place.base, 0xd0001000);
    cr_expect_eq(l.conf->nets[0].place.irq, 6);
    cr_assert_eq(l.conf->vconsole_count, 1);
    cr_expect_str_eq(l.conf->vconsoles[0].conf.mode, "pty");
    cr_expect_eq(l.conf->vconsoles[0].place.base, 0xd0002000);
    load_good(
        &l,
        X86 EMU(
            "[\"b\", 0xd0000000, 1, 5, 0xe1, []], "
            "[\"b\", 0xd0001000, 1, 6, 0xe1, []]") "\n"
                                                   "[[disk]]\npath = "
                                                   "\"a\"\n[[disk]]\npath = "
                                                   "\"b\"\n"
                                                   "[[disk]]\npath = \"c\"\n");
    cr_assert_eq(l.conf->disk_count, 3);
    cr_expect_str_eq(l.conf->disks[1].conf.path, "dir/b");
    cr_expect_eq(l.conf->disks[1].place.base, 0xd0001000);
    cr_expect_not(l.conf->disks[2].place.given);
    /* disk_path is the disk behind those that are there. */
    load_warns(&l,
               "[devices]\nemu_devices = ["
               "[\"a\", 0xd0000000, 1, 5, 0xe1, []], "
               "[\"b\", 0xd0001000, 1, 6, 0xe1, []], "
               "[\"c\", 0xd0002000, 1, 7, 0xe1, []]]\n"
               "[[disk]]\npath = \"a\"\n" KERNEL "disk_path = \"b\"\n",
               "'c' (VirtioBlk) has no image");
    cr_assert_eq(l.conf->disk_count, 2);
    cr_expect_str_eq(l.conf->disks[1].conf.path, "dir/b");
    cr_expect_eq(l.conf->disks[1].place.base, 0xd0001000);
    load_warns(&l,
               X86 EMU("[\"c\", 0xd0002000, 1, 7, 0xe3, []], "
                       "[\"d\", 0xd0003000, 1, 8, 0xe3, []]"),
               "'d' (VirtioConsole): a further port");
    cr_assert_eq(l.conf->vconsole_count, 2);
}

Test(config_devices, discovery_is_replaced_and_told_once)
{
    load_warns(&l, ARM PT("[\"/\"], [\"/soc/uart\"], {name = \"/x\"}"),
               "emulated board instead");
    cr_assert_eq(l.conf->passthrough_count, 3);
    cr_assert_str_eq(l.conf->passthrough[2].name, "/x");
    cr_assert_eq(l.counts[AX_SEVERITY_WARNING], 2); /* and the kernel's file */
}

Test(config_devices, windows_are_told_one_by_one)
{
    load_warns(&l, X86 PT("[\"a\", 0xfec0_0000, 0xfec0_0000, 0x1000, 1]"),
               "the emulated I/O APIC answers there");
    load_warns(&l, X86 PT("[\"a\", 0xfee0_0000, 0xfee0_0000, 0x1000, 1]"),
               "the guest's local APIC answers there");
    load_warns(&l, X86 PT("[\"a\", 0xfed0_0000, 0xfed0_0000, 0x400, 1]"),
               "there is no HPET");
    load_warns(&l,
               X86 PT("[\"a\", 0xfb00_0000, 0xfb00_0000, 0x1000, 1], "
                      "[\"b\", 0xfa00_0000, 0xfa00_0000, 0x1000, 1]"),
               "passthrough device a at 0xfb000000: host devices are out of "
               "reach for a process; reads give all ones, writes are lost");
    cr_assert(told(&l, "passthrough device b at 0xfa000000"));
    cr_assert(told(&l, "VFIO"));
    cr_assert_eq(strstr(strstr(l.told, "VFIO") + 1, "VFIO"), NULL);
    /* Known places are x86_64's. */
    load_warns(&l, ARM PT("[\"a\", 0xfec0_0000, 0xfec0_0000, 0x1000, 1]"),
               "out of reach");
    load_warns(&l,
               KERNEL "memory_regions = [[0, 0x20_0000, 7, 0]]\n[devices]\n" PT(
                   "[\"a\", 0x1000, 0x1000, 0x1000]"),
               "guest memory answers there");
    cr_assert_eq(l.conf->passthrough[0].hpa, 0x1000);
    cr_assert_eq(l.conf->passthrough[0].irq, 0);
}

Test(config_devices, windows_that_are_none)
{
    load_bad(&l, X86 PT("[\"a\"]"), "passthrough device a has zero length");
    load_bad(&l, X86 PT("[\"/a\", 1]"),
             "passthrough device /a has zero length");
    load_bad(&l, X86 PT("[\"a\", 0x7fff_ffff_ffff_ffff, 0, 0x1000]"),
             "beyond 52 address bits");
    load_bad(&l, X86 PT("[]"), "has no 'name'");
    load_bad(&l, X86 PT("[\"a\", 1, 2, 3, 4, 5]"), "6 fields, not 5");
    load_bad(&l, X86 ADDR("[0x1000, 0]"), "range has zero length");
    load_bad(&l, X86 ADDR("[0x1000]"), "has no 'length'");
    load_bad(&l, X86 ADDR("[0x7fff_ffff_ffff_ffff, 0x1000]"), "overflows");
    load_warns(&l, X86 ADDR("{base_gpa = 0x8000_0000, length = 1}"),
               "passthrough address range at 0x80000000");
    cr_assert_eq(l.conf->windows[0].base, 0x80000000);
}

Test(config_devices, ports)
{
    load_warns(&l, X86 PORTS("[0x6000, 0x80]"),
               "passthrough port range at 0x6000");
    cr_assert_eq(l.conf->ports[0].length, 0x80);
    load_warns(&l, X86 PORTS("{length = 8, base = 0x3f8}"), "serial port");
    load_bad(&l, X86 PORTS("[0x60, 0]"),
             "passthrough port range has zero length");
    load_bad(&l, X86 PORTS("[0xffff, 2]"),
             "passthrough port range overflows: base=0xffff, length=0x2");
    load_good(&l, X86 PORTS("[0xffff, 1]"));
    load_bad(&l, X86 PORTS("[0x1_0000, 1]"), "out of range");
}

Test(config_devices, excluded_devices_in_both_spellings)
{
    load_warns(&l, ARM "excluded_devices = [[\"/gic-v3\"], [\"/a\", \"/b\"]]\n",
               "excluded_devices has no effect");
    cr_assert_str_eq(l.conf->excluded[0], "/gic-v3");
    cr_assert_str_eq(l.conf->excluded[2], "/b");
    cr_assert_null(l.conf->excluded[3]);
    load_warns(&l, ARM "excluded_devices = [\"/x\", \"/y\"]\n", "no effect");
    cr_assert_str_eq(l.conf->excluded[1], "/y");
    load_silent(ARM "excluded_devices = [[]]\n");
    load_silent(ARM "excluded_devices = []\n");
    load_bad(&l, ARM "excluded_devices = [[1]]\n", "found an integer");
    load_bad(&l, ARM "excluded_devices = [[\"a\"], \"b\"]\n", "found a string");
    load_bad(&l, ARM "excluded_devices = \"b\"\n", "array of arrays");
}

Test(config_devices, modes_and_their_aliases)
{
    static const struct {
        const char *word;
        enum ax_interrupt_mode mode;
    } modes[] = {
        {"no_irq", AX_IRQ_MODE_NONE},  {"no", AX_IRQ_MODE_NONE},
        {"none", AX_IRQ_MODE_NONE},    {"emu", AX_IRQ_MODE_EMU},
        {"emulated", AX_IRQ_MODE_EMU}, {"passthrough", AX_IRQ_MODE_PT},
        {"pt", AX_IRQ_MODE_PT},
    };
    char text[256];

    for (unsigned i = 0; i < AX_ARRAY_LEN(modes); i++) {
        snprintf(text, sizeof(text), X86 "interrupt_mode = \"%s\"\n",
                 modes[i].word);
        load_good(&l, text);
        cr_assert_eq(l.conf->interrupt_mode, modes[i].mode);
        cr_assert_eq(told(&l, "interrupts are emulated instead"),
                     modes[i].mode == AX_IRQ_MODE_PT);
    }
    load_good(&l, X86 "interrupt_mode = \"no\"\n");
    cr_assert(told(&l, ": note: interrupt_mode \"no_irq\""));
    load_good(&l, X86 "interrupt_mode = \"no\"\n[cpu]\nirqchip = \"none\"\n");
    cr_assert_eq(l.counts[AX_SEVERITY_NOTE], 0);
    load_silent(X86 "address_space_policy = \"virtual\"\n");
    load_warns(&l, X86 "address_space_policy = \"pt\"\n", "\"virtualized\"");
    cr_assert_eq(l.conf->address_space_policy, AX_ASPACE_PASSTHROUGH);
}

Test(config_devices, too_many_rows_are_refused)
{
    char text[16384] = X86 "passthrough_addresses = [";

    for (unsigned i = 0; i < 257; i++)
        sprintf(text + strlen(text), "[0x%x0000, 1],", i + 1);
    strcat(text, "]\n");
    load_bad(&l, text, "has 257 entries; at most 256");
}
