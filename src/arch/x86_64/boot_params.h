/*
 * boot_params.h - the fields of Linux's zero page that we write. Private to
 * arch/x86_64.
 *
 * Linux, Documentation/arch/x86/zero-page.rst and boot.rst.
 */
#ifndef AX_ARCH_X86_64_BOOT_PARAMS_H
#define AX_ARCH_X86_64_BOOT_PARAMS_H

enum {
    BP_ACPI_RSDP = 0x070,
    BP_EXT_RAMDISK_IMAGE = 0x0c0,
    BP_EXT_RAMDISK_SIZE = 0x0c4,
    BP_EXT_CMD_LINE_PTR = 0x0c8,
    BP_E820_ENTRIES = 0x1e8,
    BP_SENTINEL = 0x1ef,
    BP_HEADER = 0x1f1, /* the image's setup header is copied from here on */
    BP_BOOT_FLAG = 0x1fe,
    BP_MAGIC = 0x202,
    BP_VERSION = 0x206,
    BP_TYPE_OF_LOADER = 0x210,
    BP_LOADFLAGS = 0x211,
    BP_CODE32_START = 0x214,
    BP_RAMDISK_IMAGE = 0x218,
    BP_RAMDISK_SIZE = 0x21c,
    BP_HEAP_END_PTR = 0x224,
    BP_CMD_LINE_PTR = 0x228,
    BP_SETUP_DATA = 0x250,
    BP_E820_TABLE = 0x2d0,
    BP_E820_ENTRY = 20, /* bytes of one */
};

enum { BP_LOADER_UNDEFINED = 0xff, BP_LOADED_HIGH = 0x01, BP_USE_HEAP = 0x80 };

#endif
