/*
 * boot_params.c - Linux's zero page: setup header, memory map, command line,
 * initrd, RSDP. A bzImage brings its header; others get one that says enough.
 */
#include "arch/x86_64/boot_params.h"
#include "arch/x86_64/blob.h"
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"

static int params_header(struct boot *b, uint8_t *p)
{
    int err;

    if (b->image.kind != AX_IMAGE_BZIMAGE) {
        put_le(p + BP_BOOT_FLAG, 0xaa55, 2);
        memcpy(p + BP_MAGIC, "HdrS", 4);
        put_le(p + BP_VERSION, 0x020f, 2);
        p[BP_LOADFLAGS] = BP_LOADED_HIGH;
        return 0;
    }
    err = ax_source_read(&b->kernel, BP_HEADER, p + BP_HEADER,
                         b->image.bz.header_end - BP_HEADER);
    return err ? ax_x86_boot_fail(b, b->conf->kernel.pos, err, "kernel %s %s",
                                  b->kernel.name, ax_source_strerror(err))
               : 0;
}

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
    int err =
        ax_x86_boot_data(b, gpa, AX_X86_BOOT_PARAMS_SIZE, "boot_params", &p);

    if (!err)
        err = params_header(b, p);
    if (err)
        return err;
    p[BP_SENTINEL] = 0xff; /* a loader that copied the whole page: not us */
    p[BP_TYPE_OF_LOADER] = BP_LOADER_UNDEFINED;
    put_le(p + BP_CMD_LINE_PTR, cmdline, 4);
    put_le(p + BP_SETUP_DATA, 0, 8);
    put_le(p + BP_ACPI_RSDP, b->rsdp, 8);
    put_le(p + BP_RAMDISK_IMAGE, b->initrd.size ? b->initrd_gpa : 0, 4);
    put_le(p + BP_RAMDISK_SIZE, b->initrd.size, 4);
    params_e820(p, &b->map);
    *out = p;
    return 0;
}
