/*
 * test_boot.c - every boot protocol: where things go, what the guest is told,
 * the first instruction's registers, and what is refused.
 */
#include "x86_fixture.h"

static struct fixture f;
static uint8_t bz[FX_BZIMAGE];
static struct fx_elf elf;

static void setup(void)
{
    fx_init(&f);
    fx_bzimage(bz);
}

static void teardown(void)
{
    fx_fini(&f);
}

TestSuite(boot, .init = setup, .fini = teardown);

#define expect_boots(image, size)                                              \
    cr_assert_eq(fx_boot(&f, image, size), 0, "%s", fx_log(&f))

#define expect_fails(image, size, err, text)                                   \
    do {                                                                       \
        cr_expect_eq(fx_boot(&f, image, size), err);                           \
        fx_expect_log(&f, text);                                               \
    } while (0)

#define expect_what(text)                                                      \
    cr_expect(strstr(f.start.what, text) != NULL, "no \"%s\" in \"%s\"", text, \
              f.start.what)

static struct ax_config_addr given(uint64_t val)
{
    return (struct ax_config_addr){true, val, {5, 2}};
}

static void expect_segment(unsigned reg, uint64_t selector, uint64_t base,
                           uint64_t limit, uint64_t rights)
{
    cr_expect_eq(fx_reg(&f, reg + AX_X86_SEG_SELECTOR), selector);
    cr_expect_eq(fx_reg(&f, reg + AX_X86_SEG_BASE), base);
    cr_expect_eq(fx_reg(&f, reg + AX_X86_SEG_LIMIT), limit);
    cr_expect_eq(fx_reg(&f, reg + AX_X86_SEG_AR), rights);
}

static void expect_real(uint64_t selector, uint64_t base, uint64_t rip)
{
    expect_segment(AX_X86_CS, selector, base, 0xffff, 0x9b);
    expect_segment(AX_X86_DS, 0, 0, 0xffff, 0x93);
    expect_segment(AX_X86_SS, 0, 0, 0xffff, 0x93);
    cr_expect_eq(fx_reg(&f, AX_X86_RIP), rip);
    cr_expect_eq(fx_reg(&f, AX_X86_RFLAGS), 2);
    cr_expect_not(fx_reg_is_set(&f, AX_X86_CR0), "as after a reset");
}

/* The descriptor table in memory says the same as the registers. */
static void expect_gdt(uint64_t code)
{
    const ax_gpa gdt = fx_reg(&f, AX_X86_GDT_BASE);
    const uint8_t *p = fx_at(&f, gdt, 32);

    cr_expect_eq(fx_reg(&f, AX_X86_GDT_LIMIT), 31);
    cr_expect_eq(fx_get(p, 8), 0);
    cr_expect_eq(fx_get(p + 0x10, 8), code);
    cr_expect_eq(fx_get(p + 0x18, 8), 0x00cf93000000ffff);
}

static void expect_protected(uint64_t rip)
{
    expect_segment(AX_X86_CS, 0x10, 0, 0xffffffff, 0xc09b);
    expect_segment(AX_X86_DS, 0x18, 0, 0xffffffff, 0xc093);
    expect_segment(AX_X86_SS, 0x18, 0, 0xffffffff, 0xc093);
    expect_gdt(0x00cf9b000000ffff);
    cr_expect_eq(fx_reg(&f, AX_X86_CR0), 0x11);
    cr_expect_not(fx_reg_is_set(&f, AX_X86_CR3));
    cr_expect_eq(fx_reg(&f, AX_X86_RIP), rip);
    cr_expect_eq(fx_reg(&f, AX_X86_RFLAGS), 2);
}

static void expect_long(uint64_t rip)
{
    const ax_gpa cr3 = fx_reg(&f, AX_X86_CR3);
    const uint8_t *pml4 = fx_at(&f, cr3, 4096), *pdpt;

    expect_segment(AX_X86_CS, 0x10, 0, 0xffffffff, 0xa09b);
    expect_segment(AX_X86_DS, 0x18, 0, 0xffffffff, 0xc093);
    expect_gdt(0x00af9b000000ffff);
    cr_expect_eq(fx_reg(&f, AX_X86_CR0), 0x80000011);
    cr_expect_eq(fx_reg(&f, AX_X86_CR4), 0x20);
    cr_expect_eq(fx_reg(&f, AX_X86_EFER), 0x500);
    cr_expect_eq(fx_reg(&f, AX_X86_RIP), rip);
    cr_expect_eq(fx_get(pml4, 8) & 0xfff, 3);
    pdpt = fx_at(&f, fx_get(pml4, 8) & ~0xfffULL, 4096);
    for (uint64_t i = 0; i < 2048; i++) {
        const uint64_t dir = fx_get(pdpt + i / 512 * 8, 8);
        const uint8_t *pd = fx_at(&f, dir & ~0xfffULL, 4096);

        cr_assert_eq(dir & 0xfff, 3);
        cr_assert_eq(fx_get(pd + i % 512 * 8, 8), i << 21 | 0x83);
    }
    cr_expect_eq(fx_get(pdpt + 32, 8), 0, "4 GiB and no more");
    cr_expect_eq(fx_get(pml4 + 8, 8), 0);
}

static const uint8_t *zero_page(ax_gpa gpa)
{
    const uint8_t *p = fx_at(&f, gpa, 4096);

    cr_expect_eq(p[0x1ef], 0xff, "sentinel");
    cr_expect_eq(p[0x210], 0xff, "type_of_loader");
    cr_expect_eq(fx_get(p + 0x1fe, 2), 0xaa55);
    cr_expect_eq(memcmp(p + 0x202, "HdrS", 4), 0);
    cr_expect_eq(fx_get(p + 0x250, 8), 0, "setup_data");
    cr_expect_eq(fx_get(p + 0xc0, 8), 0, "no addresses above 4 GiB");
    cr_expect_eq(fx_get(p + 0xc8, 4), 0);
    return p;
}

static unsigned e820_type(const uint8_t *zp, uint64_t addr)
{
    cr_assert_leq(zp[0x1e8], 128);
    return fx_map_type(zp + 0x2d0, zp[0x1e8], 20, addr);
}

static const char *cmdline_at(ax_gpa gpa)
{
    return (const char *)fx_at(&f, gpa, 1);
}

static void use_cmdline(const char *text)
{
    static char buf[70000];

    snprintf(buf, sizeof(buf), "%s", text);
    f.conf.cmdline = buf;
}

static void use_long_cmdline(size_t len)
{
    static char buf[70000];

    memset(buf, 'x', len);
    buf[len] = '\0';
    f.conf.cmdline = buf;
}

static void use_initrd(const char *text, size_t size)
{
    char *bytes = calloc(1, size);

    strcpy(bytes, text);
    f.conf.initrd.path = fx_file(&f, bytes, size);
    free(bytes);
}

/* ---- Linux ---- */

Test(boot, bzimage_enters_in_64_bit_mode)
{
    const uint8_t *zp;

    expect_boots(bz, sizeof(bz));
    expect_long(0x1000200);
    cr_expect_eq(fx_reg(&f, AX_X86_RSI), 0x7000);
    zp = zero_page(0x7000);
    cr_expect_eq(memcmp(fx_at(&f, 0x1000000, 512), bz + FX_BZ_PAYLOAD, 512), 0);
    cr_expect_eq(fx_get(zp + 0x206, 2), 0x20f);
    cr_expect_eq(fx_get(zp + 0x214, 4), 0x1000000, "code32_start");
    cr_expect_eq(fx_get(zp + 0x224, 2), 0x5678, "kept from the header");
    cr_expect_eq(fx_get(zp + 0x70, 8), 0xe0000, "acpi_rsdp_addr");
    cr_expect_eq(memcmp(fx_at(&f, 0xe0000, 8), "RSD PTR ", 8), 0);
    cr_expect_eq(memcmp(fx_at(&f, 0x9fc00, 4), "_MP_", 4), 0);
    cr_expect_eq(fx_get(zp + 0x218, 8), 0, "no initrd");
    cr_expect_str_eq(cmdline_at(fx_get(zp + 0x228, 4)),
                     "console=ttyS0 panic=-1 no_timer_check");
    expect_what("bzImage 2.15, 64-bit entry at 0x1000200");
    expect_what("default command line");
}

Test(boot, bzimage_gets_an_honest_map)
{
    const uint8_t *zp;

    f.conf.memory = AX_GIB(4);
    expect_boots(bz, sizeof(bz));
    zp = zero_page(0x7000);
    cr_expect_eq(zp[0x1e8], 4);
    cr_expect_eq(e820_type(zp, 0), 1);
    cr_expect_eq(e820_type(zp, 0x9f7ff), 1);
    cr_expect_eq(e820_type(zp, 0x9f800), 2);
    cr_expect_eq(e820_type(zp, 0xe0000), 2);
    cr_expect_eq(e820_type(zp, 0xfffff), 2);
    cr_expect_eq(e820_type(zp, 0x100000), 1);
    cr_expect_eq(e820_type(zp, 0xbfffffff), 1);
    cr_expect_eq(e820_type(zp, 0xc0000000), 0);
    cr_expect_eq(e820_type(zp, 0xfec00000), 0);
    cr_expect_eq(e820_type(zp, 0x100000000), 1);
    cr_expect_eq(e820_type(zp, 0x13fffffff), 1);
    cr_expect_eq(e820_type(zp, 0x140000000), 0);
}

Test(boot, bzimage_keeps_a_long_mp_table_out_of_ram)
{
    const uint8_t *zp;

    f.conf.cpu_num = 64;
    expect_boots(bz, sizeof(bz));
    zp = zero_page(0x7000);
    cr_expect_eq(e820_type(zp, fx_get(fx_at(&f, 0x9fc04, 4), 4)), 2);
    cr_expect_eq(e820_type(zp, fx_get(fx_at(&f, 0x9fc04, 4), 4) - 1), 1);
}

Test(boot, bzimage_without_64_bit_entry_uses_the_32_bit_one)
{
    fx_put(bz + 0x236, 0, 2);
    expect_boots(bz, sizeof(bz));
    expect_protected(0x1000000);
    cr_expect_eq(fx_reg(&f, AX_X86_RSI), 0x7000);
    cr_expect_eq(fx_reg(&f, AX_X86_RBP), 0);
    cr_expect_eq(fx_reg(&f, AX_X86_RDI), 0);
    cr_expect_eq(fx_reg(&f, AX_X86_RBX), 0);
    expect_what("32-bit entry at 0x1000000");
}

Test(boot, bzimage_places_its_initrd_high)
{
    const uint8_t *zp;

    use_initrd("cpio", 5000);
    use_cmdline("root=/dev/ram0");
    expect_boots(bz, sizeof(bz));
    zp = zero_page(0x7000);
    cr_expect_eq(fx_get(zp + 0x218, 4), AX_MIB(64) - 8192);
    cr_expect_eq(fx_get(zp + 0x21c, 4), 5000);
    cr_expect_eq(memcmp(fx_at(&f, AX_MIB(64) - 8192, 4), "cpio", 4), 0);
    cr_expect_str_eq(cmdline_at(fx_get(zp + 0x228, 4)), "root=/dev/ram0");
    expect_what(", initrd 4.9 KiB at 0x3ffe000");
    cr_expect(!strstr(f.start.what, "default"));
    /* initrd_addr_max is the last byte that it may have. */
    fx_put(bz + 0x22c, 0x2ffffff, 4);
    expect_boots(bz, sizeof(bz));
    cr_expect_eq(fx_get(zero_page(0x7000) + 0x218, 4), 0x3000000 - 8192);
}

Test(boot, bzimage_takes_the_initrd_where_it_is_told)
{
    use_initrd("cpio", 5000);
    f.conf.initrd_load = given(0x2000000);
    expect_boots(bz, sizeof(bz));
    cr_expect_eq(fx_get(zero_page(0x7000) + 0x218, 4), 0x2000000);
    f.conf.initrd_load = given(0x1000000);
    expect_fails(bz, sizeof(bz), -ENOSPC, "guest.toml:5:2: initrd at");
    fx_expect_log(&f, "overlaps kernel at 0x1000000-0x17fffff");
    f.conf.initrd_load = given(0x3fff000);
    expect_fails(bz, sizeof(bz), -ENOSPC, "initrd does not fit");
    f.conf.initrd_load = given(0x7ffff000);
    expect_fails(bz, sizeof(bz), -ENOSPC, "does not end at or below");
    f.conf.initrd_load = given(UINT64_MAX);
    expect_fails(bz, sizeof(bz), -ENOSPC, "does not end at or below");
    f.conf.initrd_load = given(0xa0000);
    expect_fails(bz, sizeof(bz), -ENOSPC, "overlaps the reserved area");
}

Test(boot, bzimage_refuses_an_initrd_that_is_too_large)
{
    f.conf.memory = AX_MIB(26);
    use_initrd("cpio", 20 << 20);
    expect_fails(bz, sizeof(bz), -ENOSPC, "initrd of 20.0 MiB does not fit");
    f.conf.initrd.path = f.log_path + 1;
    expect_fails(bz, sizeof(bz), -ENOENT, "initrd tmp/axvm-test");
}

Test(boot, bzimage_must_fit)
{
    f.conf.memory = AX_MIB(23);
    expect_fails(bz, sizeof(bz), -ENOSPC, "needs 8.0 MiB from 0x1000000 on");
    fx_expect_log(&f, "guest's 23.0 MiB");
    f.conf.memory = AX_MIB(24);
    expect_boots(bz, sizeof(bz));
    fx_put(bz + 0x260, 0xffffffff, 4);
    expect_fails(bz, sizeof(bz), -ENOSPC, "needs 4096.0 MiB");
    fx_bzimage(bz);
    fx_put(bz + 0x258, UINT64_MAX, 8);
    expect_fails(bz, sizeof(bz), -ENOSPC, "needs 8.0 MiB");
}

Test(boot, bzimage_moves_up_if_it_can)
{
    struct ax_config_region regions[] = {
        {.gpa = 0, .size = AX_MIB(2)},
        {.gpa = 0x40100000, .size = AX_MIB(32)},
    };

    f.conf.regions = regions;
    f.conf.region_count = 2;
    expect_boots(bz, sizeof(bz));
    expect_long(0x40200200);
    bz[0x234] = 0; /* not relocatable */
    expect_fails(bz, sizeof(bz), -ENOSPC, "needs 8.0 MiB from 0x1000000");
}

Test(boot, bzimage_bounds_its_command_line)
{
    use_long_cmdline(2047);
    expect_boots(bz, sizeof(bz));
    cr_expect_eq(strlen(cmdline_at(0x10000)), 2047);
    use_long_cmdline(2048);
    expect_fails(bz, sizeof(bz), -EFBIG,
                 "the command line has 2048 bytes, this kernel takes 2047");
    use_cmdline("");
    expect_boots(bz, sizeof(bz));
    cr_expect_str_eq(cmdline_at(0x10000), "", "given, and empty");
}

Test(boot, virtio_devices_on_the_command_line)
{
    f.conf.rng = true;
    use_cmdline("root=/dev/vda");
    expect_boots(bz, sizeof(bz));
    cr_expect_str_eq(cmdline_at(0x10000), "root=/dev/vda");
    f.conf.virtio_cmdline = true;
    expect_boots(bz, sizeof(bz));
    cr_expect_str_eq(cmdline_at(0x10000),
                     "root=/dev/vda virtio_mmio.device=4K@0xfe000000:5");
    use_long_cmdline(2040);
    expect_fails(bz, sizeof(bz), -EFBIG, "this kernel takes 2047");
}

Test(boot, bzimage_needs_low_memory)
{
    struct ax_config_region regions[] = {
        {.gpa = 0x1000000, .size = AX_MIB(8)},
    };

    f.conf.regions = regions;
    f.conf.region_count = 1;
    expect_fails(bz, sizeof(bz), -ENOSPC, "no room for the");
    fx_expect_log(&f, "no ACPI tables");
    fx_expect_log(&f, "no MP table");
    /* With room elsewhere, boot data goes there. */
    regions[0].size = AX_MIB(32);
    expect_boots(bz, sizeof(bz));
    expect_long(0x1000200);
    cr_expect_geq(fx_reg(&f, AX_X86_RSI), 0x1800000);
    cr_expect_eq(fx_get(zero_page(fx_reg(&f, AX_X86_RSI)) + 0x70, 8), 0);
    cr_expect_not(fx_reg_is_set(&f, AX_X86_RSP));
}

Test(boot, leaves_out_tables_without_irqchip)
{
    f.conf.irqchip = AX_IRQCHIP_NONE;
    expect_boots(bz, sizeof(bz));
    cr_expect_eq(fx_get(zero_page(0x7000) + 0x70, 8), 0);
    cr_expect_eq(fx_get(fx_at(&f, 0x9fc00, 4), 4), 0);
    cr_expect_eq(fx_get(fx_at(&f, 0xe0000, 8), 8), 0);
}

Test(boot, can_be_done_again_in_used_memory)
{
    use_initrd("cpio", 100);
    expect_boots(bz, sizeof(bz));
    memset(ax_memory_at(&f.mem, 0, AX_MIB(1), AX_PROT_WRITE), 0xcc, AX_MIB(1));
    cr_assert_eq(
        ax_arch_x86_64.boot(&f.plan, f.log, &f.mem, &f.start, NULL, NULL), 0);
    expect_long(0x1000200);
    zero_page(0x7000);
    cr_expect_str_eq(cmdline_at(0x10000),
                     "console=ttyS0 panic=-1 no_timer_check");
}

/* ---- AxVisor's direct protocol ---- */

static void use_direct(void)
{
    f.conf.axvisor = true;
    f.conf.protocol = AX_BOOT_DIRECT;
    f.conf.entry = given(0x8000);
    f.conf.kernel_load = given(0x200000);
    use_cmdline("console=ttyS0 acpi=off");
}

Test(boot, direct_uses_axvisors_addresses)
{
    const uint8_t *zp, *stub;

    use_direct();
    expect_boots(bz, sizeof(bz));
    expect_real(0, 0, 0x8000);
    cr_expect_eq(memcmp(fx_at(&f, 0x200000, 512), bz + FX_BZ_PAYLOAD, 512), 0);
    zp = zero_page(0x7000);
    cr_expect_eq(fx_get(zp + 0x214, 4), 0x200000);
    cr_expect_eq(fx_get(zp + 0x228, 4), 0x7e00);
    cr_expect_str_eq(cmdline_at(0x7e00), "console=ttyS0 acpi=off");
    cr_expect_eq(zp[0x211], 0x81);
    cr_expect_eq(fx_get(zp + 0x224, 2), 0x5678);
    cr_expect_eq(e820_type(zp, 0x6fff), 1);
    cr_expect_eq(e820_type(zp, 0x7000), 2);
    cr_expect_eq(e820_type(zp, 0x8fff), 2);
    cr_expect_eq(e820_type(zp, 0x9000), 1);
    cr_expect_eq(fx_get(fx_at(&f, 0x9fc04, 4), 4), 0x9f800);
    cr_expect_eq(memcmp(fx_at(&f, 0x9f800, 4), "PCMP", 4), 0);
    stub = fx_at(&f, 0x8000, 0x68);
    cr_expect_eq(stub[0], 0xfa, "cli");
    cr_expect_eq(fx_get(stub + 0x3c, 4), 0x200000, "the kernel");
    cr_expect_eq(fx_get(stub + 0x31, 4), 0x7000, "boot_params");
    cr_expect_eq(fx_get(stub + 0x44, 4), 0x8048, "its descriptor table");
    cr_expect_eq(fx_get(stub + 0x58, 8), 0x00cf9b000000ffff);
    expect_what("AxVisor's direct boot: stub at 0x8000");
}

Test(boot, direct_has_axvisors_limits)
{
    use_direct();
    use_long_cmdline(511);
    expect_boots(bz, sizeof(bz));
    use_long_cmdline(512);
    expect_fails(bz, sizeof(bz), -EFBIG, "has 512 bytes");
    fx_put(bz + 0x238, 100, 4);
    use_long_cmdline(101);
    expect_fails(bz, sizeof(bz), -EFBIG, "takes 100");
    f.conf.cmdline = NULL;
    expect_fails(bz, sizeof(bz), -EINVAL, "needs a cmdline");
}

Test(boot, direct_checks_where_the_kernel_goes)
{
    use_direct();
    f.conf.kernel_load = given(0x7000);
    expect_fails(bz, sizeof(bz), -ENOSPC, "AxVisor's direct boot needs free");
    f.conf.kernel_load = given(0x4000000);
    expect_fails(bz, sizeof(bz), -ENOSPC, "kernel does not fit");
    f.conf.kernel_load = given(UINT64_MAX);
    expect_fails(bz, sizeof(bz), -ENOSPC, "above 4 GiB");
    f.conf.kernel_load = given(0x200000);
    bz[0x234] = 0;
    expect_fails(bz, sizeof(bz), -ENOSPC, "must be 0x1000000");
    f.conf.kernel_load = given(0x1000000);
    expect_boots(bz, sizeof(bz));
    /* Room to unpack at the preferred address is needed as well. */
    fx_bzimage(bz);
    f.conf.kernel_load = given(0x200000);
    f.conf.memory = AX_MIB(20);
    expect_fails(bz, sizeof(bz), -ENOSPC, "kernel does not fit");
}

Test(boot, direct_needs_its_stub)
{
    use_direct();
    f.conf.entry = given(0x9000);
    expect_boots(bz, sizeof(bz));
    expect_long(0x1000200);
    fx_expect_log(&f, "entry_point 0x9000 is not AxVisor's boot stub");
    f.conf.protocol = AX_BOOT_MULTIBOOT;
    expect_fails(bz, sizeof(bz), -ENOEXEC, "use \"direct\"");
}

/* ---- PVH ---- */

Test(boot, pvh_gets_its_start_info)
{
    const uint8_t *info;
    ax_gpa at, mod;

    use_initrd("module", 64);
    fx_elf(&elf, true, 0x200000);
    fx_elf_pvh(&elf, 0x200010, 4);
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_protected(0x200010);
    at = fx_reg(&f, AX_X86_RBX);
    cr_expect_eq(at, 0x6000);
    info = fx_at(&f, at, 4096);
    cr_expect_eq(fx_get(info, 4), 0x336ec578);
    cr_expect_eq(fx_get(info + 4, 4), 1);
    cr_expect_eq(fx_get(info + 12, 4), 1);
    mod = fx_get(info + 16, 8);
    cr_expect_eq(fx_get(fx_at(&f, mod, 8), 8), AX_MIB(64) - 4096);
    cr_expect_eq(fx_get(fx_at(&f, mod + 8, 8), 8), 64);
    cr_expect_str_eq(cmdline_at(fx_get(info + 24, 8)),
                     "console=ttyS0 panic=-1 no_timer_check");
    cr_expect_eq(fx_get(info + 32, 8), 0xe0000);
    cr_expect_eq(fx_get(info + 48, 4), 3);
    cr_expect_eq(
        fx_map_type(fx_at(&f, fx_get(info + 40, 8), 72), 3, 24, 0x9f800), 2);
    cr_expect_eq(
        fx_map_type(fx_at(&f, fx_get(info + 40, 8), 72), 3, 24, 0x100000), 1);
    cr_expect_eq(memcmp(fx_at(&f, 0x200000, 256), elf.bytes + FX_ELF_CODE, 256),
                 0);
    expect_what("ELF64, PVH entry at 0x200010, initrd 64 bytes at");
}

Test(boot, pvh_comes_before_multiboot)
{
    fx_elf(&elf, false, 0x200000);
    fx_elf_pvh(&elf, 0x200010, 4);
    fx_multiboot(elf.bytes + FX_ELF_CODE + 64, 3, 0, 0, 0, 0, 0);
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_protected(0x200010);
    f.conf.protocol = AX_BOOT_MULTIBOOT;
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_protected(0x200000);
    cr_expect_eq(fx_reg(&f, AX_X86_RAX), 0x2badb002);
}

/* ---- ELF ---- */

Test(boot, elf64_enters_in_64_bit_mode)
{
    fx_elf(&elf, true, 0x200000);
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_long(0x200000);
    cr_expect_eq(fx_reg(&f, AX_X86_RSI), 0x7000);
    cr_expect_eq(fx_reg(&f, AX_X86_RDI), 0x7000);
    cr_expect_eq(fx_reg(&f, AX_X86_RSP), 0x6000);
    cr_expect_eq(fx_get(zero_page(0x7000) + 0x206, 2), 0x20f);
    expect_what("ELF64, 64-bit entry at 0x200000");
}

Test(boot, elf32_enters_in_protected_mode)
{
    fx_elf(&elf, false, 0x200000);
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_protected(0x200000);
    cr_expect_eq(fx_reg(&f, AX_X86_RSI), 0x7000);
    cr_expect_str_eq(cmdline_at(0x10000), "");
    expect_what("ELF32, 32-bit entry at 0x200000");
}

Test(boot, elf_honours_entry_mode)
{
    fx_elf(&elf, true, 0x200000);
    fx_elf_pvh(&elf, 0x200010, 4);
    f.conf.entry_mode = AX_ENTRY_LONG;
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_long(0x200000);
    f.conf.entry_mode = AX_ENTRY_PROTECTED;
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_protected(0x200000);
    f.conf.entry_mode = AX_ENTRY_REAL;
    expect_fails(elf.bytes, sizeof(elf.bytes), -ENOEXEC, "real mode");
}

Test(boot, elf_says_that_addresses_are_its_own)
{
    fx_elf(&elf, true, 0x200000);
    f.conf.axvisor = true;
    f.conf.protocol = AX_BOOT_DIRECT;
    f.conf.kernel_load = given(0x400000);
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_long(0x200000);
    fx_expect_log(&f, "names its own addresses");
}

Test(boot, boot_data_moves_out_of_the_way)
{
    static const ax_gpa places[] = {0x400,   0x1000,  0x5000, 0x6000,
                                    0x7000,  0x9000,  0xe000, 0x10000,
                                    0x9f000, 0xe0000, 0xa0000};

    for (size_t i = 0; i < AX_ARRAY_LEN(places); i++) {
        const ax_gpa at = places[i];

        fx_elf(&elf, true, at);
        expect_boots(elf.bytes, sizeof(elf.bytes));
        expect_long(at);
        cr_expect_eq(memcmp(fx_at(&f, at, 256), elf.bytes + FX_ELF_CODE, 256),
                     0, "image at %#llx", (unsigned long long)at);
        for (unsigned j = 256; j < 4096; j++)
            cr_assert_eq(*fx_at(&f, at + j, 1), 0, "bss of %#llx + %u",
                         (unsigned long long)at, j);
        zero_page(fx_reg(&f, AX_X86_RSI));
    }
}

Test(boot, refuses_what_leaves_no_room)
{
    fx_elf(&elf, true, 0x200000);
    fx_elf_phdr(&elf, PT_LOAD, 0, 0, 0, 0x200000);
    fx_elf_phdr(&elf, PT_LOAD, 0, 0x201000, 0, AX_MIB(64) - 0x201000);
    expect_fails(elf.bytes, sizeof(elf.bytes), -ENOSPC, "no room for the");
    fx_elf(&elf, true, 0x200000);
    fx_elf_phdr(&elf, PT_LOAD, 0, AX_MIB(63), 0, AX_MIB(2));
    expect_fails(elf.bytes, sizeof(elf.bytes), -ENOSPC,
                 "kernel does not fit: 2.0 MiB at 0x3f00000");
}

Test(boot, refuses_an_entry_above_4_gib)
{
    f.conf.memory = AX_GIB(4);
    fx_elf(&elf, true, 0x110000000);
    expect_fails(elf.bytes, sizeof(elf.bytes), -ENOEXEC, "above 4 GiB");
}

/* ---- multiboot ---- */

Test(boot, multiboot_gets_its_information)
{
    const uint8_t *info, *mmap;

    use_initrd("module", 64);
    use_cmdline("one two");
    fx_elf(&elf, false, 0x200000);
    fx_multiboot(elf.bytes + FX_ELF_CODE + 64, 3, 0, 0, 0, 0, 0);
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_protected(0x200000);
    cr_expect_eq(fx_reg(&f, AX_X86_RAX), 0x2badb002);
    cr_expect_eq(fx_reg(&f, AX_X86_RBX), 0x6000);
    info = fx_at(&f, 0x6000, 4096);
    cr_expect_eq(fx_get(info, 4), 0x24d);
    cr_expect_eq(fx_get(info + 4, 4), 0x9f800 / 1024);
    cr_expect_eq(fx_get(info + 8, 4), 63 * 1024);
    cr_expect_str_eq(cmdline_at(fx_get(info + 16, 4)), "one two");
    cr_expect_eq(fx_get(info + 20, 4), 1);
    mmap = fx_at(&f, fx_get(info + 24, 4), 16);
    cr_expect_eq(fx_get(mmap, 4), AX_MIB(64) - 4096);
    cr_expect_eq(fx_get(mmap + 4, 4), AX_MIB(64) - 4096 + 64);
    cr_expect_str_eq(cmdline_at(fx_get(mmap + 8, 4)), "");
    cr_expect_eq(fx_get(info + 44, 4), 3 * 24);
    mmap = fx_at(&f, fx_get(info + 48, 4), 72);
    cr_expect_eq(fx_get(mmap, 4), 20);
    cr_expect_eq(fx_map_type(mmap + 4, 3, 24, 0), 1);
    cr_expect_eq(fx_map_type(mmap + 4, 3, 24, 0x9f800), 2);
    cr_expect_str_eq(cmdline_at(fx_get(info + 64, 4)), "axvm-run");
    expect_what("multiboot entry at 0x200000");
}

Test(boot, multiboot_passes_nothing_that_is_not_there)
{
    fx_elf(&elf, true, 0x200000); /* GRUB takes ELF64 as well */
    fx_multiboot(elf.bytes + FX_ELF_CODE + 64, 7, 0, 0, 0, 0, 0);
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_protected(0x200000);
    cr_expect_eq(fx_get(fx_at(&f, 0x6000, 4), 4), 0x241);
    fx_expect_log(&f, "asks for a video mode");
    fx_multiboot(elf.bytes + FX_ELF_CODE + 64, 0x13, 0, 0, 0, 0, 0);
    expect_fails(elf.bytes, sizeof(elf.bytes), -ENOEXEC,
                 "demands features 0x10");
}

static void expect_virtio_words(const char *words)
{
    const uint8_t *info = fx_at(&f, 0x6000, 4096);

    cr_expect(fx_get(info, 4) & 4, "there is a command line");
    cr_expect_str_eq(cmdline_at(fx_get(info + 16, 4)), words);
}

Test(boot, multiboot_hears_of_virtio_devices)
{
    f.conf.rng = true;
    f.conf.virtio_cmdline = true;
    fx_elf(&elf, false, 0x200000);
    fx_multiboot(elf.bytes + FX_ELF_CODE + 64, 3, 0, 0, 0, 0, 0);
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_virtio_words(" virtio_mmio.device=4K@0xfe000000:5");
    use_cmdline("one");
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_virtio_words("one virtio_mmio.device=4K@0xfe000000:5");
}

Test(boot, multiboot_honours_addresses_of_flat_files)
{
    uint8_t img[4096] = {0};

    fx_multiboot(img + 64, 3, 0x300040, 0x300000, 0, 0x308000, 0x300080);
    expect_boots(img, sizeof(img));
    expect_protected(0x300080);
    cr_expect_eq(fx_reg(&f, AX_X86_RAX), 0x2badb002);
    cr_expect_eq(memcmp(fx_at(&f, 0x300000, 4096), img, 4096), 0);
    expect_what("flat binary, multiboot entry at 0x300080");
    /* AxVisor's direct protocol copies files raw. */
    f.conf.axvisor = true;
    f.conf.protocol = AX_BOOT_DIRECT;
    f.conf.kernel_load = given(0x200000);
    expect_boots(img, sizeof(img));
    expect_protected(0x200000);
    expect_what("flat binary at 0x200000, 32-bit entry at 0x200000");
}

Test(boot, axvisors_multiboot_needs_no_header)
{
    uint8_t img[512] = {0xf4, 0x11, 0x22};
    const uint8_t *info;

    f.conf.axvisor = true;
    f.conf.protocol = AX_BOOT_MULTIBOOT;
    f.conf.entry = given(0x8000);
    f.conf.kernel_load = given(0x200000);
    expect_boots(img, sizeof(img));
    expect_protected(0x200000);
    cr_expect_eq(fx_reg(&f, AX_X86_RAX), 0x2badb002);
    cr_expect_eq(fx_reg(&f, AX_X86_RBX), 0x6000);
    info = fx_at(&f, 0x6000, 4096);
    cr_expect_eq(fx_get(info, 4), 0x41, "as AxVisor: memory and map");
    cr_expect_eq(fx_get(info + 48, 4), 0x6040);
    cr_expect_eq(memcmp(fx_at(&f, 0x200000, 512), img, 512), 0);
    f.conf.kernel_load.given = false;
    expect_boots(img, sizeof(img));
    expect_protected(0x200000);
}

Test(boot, axvisors_multiboot_takes_an_elf_without_header)
{
    f.conf.axvisor = true;
    f.conf.protocol = AX_BOOT_MULTIBOOT;
    fx_elf(&elf, true, 0x300000);
    expect_boots(elf.bytes, sizeof(elf.bytes));
    expect_protected(0x300000);
    cr_expect_eq(fx_reg(&f, AX_X86_RAX), 0x2badb002);
}

/* ---- flat and firmware ---- */

Test(boot, flat_goes_to_1_mib)
{
    uint8_t img[600] = {0xf4};

    expect_boots(img, sizeof(img));
    expect_protected(0x100000);
    cr_expect_eq(fx_reg(&f, AX_X86_RSI), 0x7000);
    zero_page(0x7000);
    expect_what("flat binary at 0x100000, 32-bit entry at 0x100000");
}

Test(boot, flat_low_means_real_mode)
{
    uint8_t img[600] = {0xf4};

    f.conf.entry = given(0x8000);
    expect_boots(img, sizeof(img));
    expect_real(0, 0, 0x8000);
    cr_expect_eq(*fx_at(&f, 0x8000, 1), 0xf4);
    cr_expect_eq(fx_get(fx_at(&f, 0x7000, 8), 8), 0, "no boot_params");
    f.conf.entry.given = false;
    f.conf.entry_mode = AX_ENTRY_REAL;
    expect_boots(img, sizeof(img));
    expect_real(0, 0, 0x7c00);
    f.conf.kernel_load = given(0x90000);
    f.conf.entry = given(0x90020);
    expect_boots(img, sizeof(img));
    expect_real(0x9000, 0x90000, 0x20);
    expect_what("flat binary at 0x90000, real mode entry at 0x90020");
}

Test(boot, flat_boot_sector_is_one)
{
    uint8_t img[512] = {0xf4};

    expect_boots(img, sizeof(img));
    expect_protected(0x100000);
    fx_put(img + 510, 0xaa55, 2);
    expect_boots(img, sizeof(img));
    expect_real(0, 0, 0x7c00);
}

Test(boot, flat_enters_in_64_bit_mode_on_request)
{
    uint8_t img[600] = {0xf4};

    f.conf.entry_mode = AX_ENTRY_LONG;
    expect_boots(img, sizeof(img));
    expect_long(0x100000);
    cr_expect_eq(fx_reg(&f, AX_X86_RDI), 0x7000);
}

Test(boot, flat_must_fit)
{
    uint8_t img[600] = {0xf4};

    f.conf.kernel_load = given(AX_MIB(64) - 300);
    expect_fails(img, sizeof(img), -ENOSPC, "kernel does not fit");
    f.conf.kernel_load = given(UINT64_MAX - 10);
    expect_fails(img, sizeof(img), -ENOSPC, "kernel does not fit");
    f.conf.kernel_load = given(0x100000);
    f.conf.entry = given(AX_MIB(64));
    expect_fails(img, sizeof(img), -ENOSPC, "entry point 0x4000000 does not");
}

static void use_firmware(const void *bytes, size_t size, ax_gpa at)
{
    f.conf.bios.path = fx_file(&f, bytes, size);
    f.conf.bios_load = given(at);
}

Test(boot, firmware_starts_at_the_reset_vector)
{
    uint8_t rom[8192] = {0};
    const uint8_t *p;

    rom[8192 - 16] = 0xea;
    use_firmware(rom, sizeof(rom), 0xffffe000);
    f.conf.axvisor = true;
    f.conf.protocol = AX_BOOT_UEFI;
    f.conf.entry = given(0xfffffff0);
    expect_boots(NULL, 0);
    expect_real(0xf000, 0xffff0000, 0xfff0);
    p = fx_at(&f, 0xfffffff0, 1);
    cr_expect_eq(*p, 0xea);
    cr_expect_null(ax_memory_at(&f.mem, 0xfffffff0, 1, AX_PROT_WRITE));
    expect_what("firmware of 8.0 KiB at 0xffffe000, real-mode entry at "
                "0xfffffff0");
    f.conf.entry.given = false;
    expect_boots(NULL, 0);
    expect_real(0xf000, 0xffff0000, 0xfff0);
    f.conf.entry = given(0xfff00000);
    expect_fails(NULL, 0, -ENOSPC, "entry point");
}

Test(boot, firmware_below_finds_kernel_and_information)
{
    f.conf.axvisor = true;
    f.conf.protocol = AX_BOOT_MULTIBOOT;
    f.conf.entry = given(0x8000);
    f.conf.kernel_load = given(0x200000);
    f.conf.kernel.path = fx_file(&f, "kernel", 6);
    use_firmware("\xfa\xf4", 2, 0x8000);
    expect_boots(NULL, 0);
    expect_real(0, 0, 0x8000);
    cr_expect_eq(*fx_at(&f, 0x8000, 1), 0xfa);
    cr_expect_eq(memcmp(fx_at(&f, 0x200000, 6), "kernel", 6), 0);
    cr_expect_eq(fx_get(fx_at(&f, 0x6000, 4), 4), 0x41);
    expect_what("kernel file as it is at 0x200000");
    f.conf.rng = true;
    f.conf.virtio_cmdline = true;
    expect_boots(NULL, 0);
    expect_virtio_words(" virtio_mmio.device=4K@0xfe000000:5");
    f.conf.bios_load.given = false;
    expect_fails(NULL, 0, -EINVAL, "needs bios_load_addr");
    f.conf.bios_load = given(0x200000);
    f.conf.entry = given(0x200000);
    expect_fails(NULL, 0, -ENOSPC, "kernel at 0x200000-0x200005 overlaps");
}

/* ---- what is no kernel ---- */

Test(boot, explains_refusals)
{
    uint8_t img[4096] = {0};
    char dir[] = "/tmp";

    memcpy(img, "\x1f\x8b\x08", 3);
    expect_fails(img, sizeof(img), -ENOEXEC, "unpack it with gunzip first");
    memset(img, 0, sizeof(img));
    memcpy(img + 56, "ARM\x64", 4);
    expect_fails(img, sizeof(img), -ENOEXEC,
                 "is an arm64 Image for aarch64; this guest's architecture is "
                 "x86_64");
    fx_elf(&elf, true, 0x200000);
    fx_put(elf.bytes + 64 + 32, 0x10000, 8);
    fx_put(elf.bytes + 64 + 40, 0x10000, 8);
    expect_fails(elf.bytes, sizeof(elf.bytes), -ENOEXEC,
                 "ELF is truncated: program header 0 ends at 0x10400, beyond "
                 "the file's 0x800");
    cr_expect_eq(fx_boot(&f, NULL, 0), -EINVAL);
    fx_expect_log(&f, "no kernel is configured");
    f.conf.kernel = (struct ax_config_path){f.log_path + 1, {3, 15}};
    cr_expect_eq(fx_boot(&f, NULL, 0), -ENOENT);
    fx_expect_log(&f, "guest.toml:3:15: kernel tmp/axvm-test");
    f.conf.kernel.path = dir;
    cr_expect_eq(fx_boot(&f, NULL, 0), -EISDIR);
    fx_expect_log(&f, "is a directory");
    f.conf.kernel.path = fx_file(&f, "", 0);
    cr_expect_eq(fx_boot(&f, NULL, 0), -ENODATA);
    fx_expect_log(&f, "is empty");
}
