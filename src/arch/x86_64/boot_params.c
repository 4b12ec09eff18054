/*
 * boot_params.c - Linux's zero page without an image's setup header: memory
 * map, command line, initrd, RSDP.
 */
#include "arch/x86_64/boot_params.h"
#include "arch/x86_64/blob.h"
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"

static void params_e820(uint8_t *p, const struct ax_e820 *map)
{
    p[BP_E820_ENTRIES] = (uint8_t)map->count;
    p += BP_E820_TABLE;
    for (unsigned i = 0; i < map->count; i++, p += BP_E820_ENTRY) {
        put_le(p, map->entries[i].addr, 8);
        put_le(p + 8, map->entries[i].size, 8);
        put_le(p + 16, map->entries[i].type, 4);
    }
}

int ax_x86_boot_params(struct boot *b, ax_gpa cmdline, ax_gpa *gpa,
                       uint8_t **out)
{
    uint8_t *p;
    int err = ax_x86_boot_data(b, gpa, AX_X86_BOOT_PARAMS_SIZE, "boot_params",
                               &p);

    if (err)
        return err;
    ax_x86_boot_params_fill(b, cmdline, p);
    /* What a kernel looks at that was not started from a bzImage. */
    put_le(p + BP_BOOT_FLAG, 0xaa55, 2);
    put_le(p + BP_MAGIC, 0x53726448 /* HdrS */, 4);
    put_le(p + BP_VERSION, 0x020f, 2);
    p[BP_LOADFLAGS] = BP_LOADED_HIGH;
    return 0;
}
