/*
 * main.c - what a multiboot 1 loader hands over: magic, memory, command line,
 * modules. This guest's image has no PVH note and is 32-bit, so that nothing
 * else can start it.
 */
#include "guest.h"
#include "layout.h"

enum { FLAG_MEMORY = 0x01, FLAG_CMDLINE = 0x04, FLAG_MODULES = 0x08 };
enum { FLAG_MMAP = 0x40 };

/* The flags and the two sizes in KiB: Multiboot Specification 0.6.96, 3.3. */
struct info {
    uint32_t flags, mem_lower, mem_upper;
};

extern const uint8_t guest_bss_end[];

static void check_memory(void)
{
    const struct info *info = (const void *)boot.info;
    uint64_t upper = 0;

    for (unsigned i = 0; i < boot.range_count; i++)
        if (boot.ranges[i].type == RANGE_RAM && boot.ranges[i].base == 0x100000)
            upper = boot.ranges[i].size;
    report(boot.flags & FLAG_MEMORY, "the size of memory is told");
    report(info->mem_lower >= 512 && info->mem_lower <= 640,
           "%u KiB of lower memory", info->mem_lower);
    report(boot.flags & FLAG_MMAP && boot.range_count, "there is a memory map");
    report(upper && info->mem_upper == upper >> 10,
           "%u KiB of upper memory, as in the map", info->mem_upper);
}

static void check_module(void)
{
    static const char wanted[] = "the first module\n";
    const struct guest_module *mod = &boot.modules[0];

    report(boot.flags & FLAG_MODULES && boot.module_count == 1,
           "there is one module");
    if (!boot.module_count)
        return;
    report(mod->base % 4096 == 0, "it begins on a page");
    report(mod->base >= (uint64_t)guest_bss_end, "it lies behind the kernel");
    report(mod->size == sizeof(wanted) - 1 &&
               !memcmp((const void *)mod->base, wanted, mod->size),
           "its bytes are the file's");
    print("module text: \"%s\"\n", mod->text);
}

void guest_main(void)
{
    report(boot.magic == BOOT_MULTIBOOT, "EAX holds the loader's magic");
    check_memory();
    report(boot.flags & FLAG_CMDLINE && cmdline_is("word", "given"),
           "the command line arrives: \"%s\"", boot.cmdline);
    check_module();
}
