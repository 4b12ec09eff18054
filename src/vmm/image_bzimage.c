/*
 * image_bzimage.c - the setup header of a Linux bzImage. What it means for
 * memory and entry is arch/x86_64/boot_linux.c's affair.
 *
 * Linux, Documentation/arch/x86/boot.rst; offsets are those of the file.
 */
#include "vmm/image_parts.h"

#include <inttypes.h>
#include <string.h>

enum {
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4, /* units of 16 bytes */
    BOOT_FLAG = 0x1fe,
    JUMP_OFFSET = 0x201, /* header ends that far behind 0x202 */
    MAGIC = 0x202,
    VERSION = 0x206,
    LOADFLAGS = 0x211,
    INITRD_ADDR_MAX = 0x22c, /* 2.03 */
    ALIGNMENT = 0x230,       /* 2.05 */
    RELOCATABLE = 0x234,     /* 2.05 */
    XLOADFLAGS = 0x236,      /* 2.12 */
    CMDLINE_SIZE = 0x238,    /* 2.06 */
    PREF_ADDRESS = 0x258,    /* 2.10 */
    INIT_SIZE = 0x260,       /* 2.10 */
    HEADER_MAX = 0x290,      /* the boot_params page has no room for more */
    SECTOR = 512,
};

enum { LOADED_HIGH = 0x01, XLF_KERNEL_64 = 0x01, XLF_ABOVE_4G = 0x02 };

/* What holds where an older header has no such field. */
enum {
    OLD_INITRD_MAX = 0x37ffffff,
    OLD_CMDLINE_SIZE = 255,
    OLD_LOAD_ADDRESS = 0x100000,
    OLD_SETUP_SECTS = 4,
    CMDLINE_MAX = 0xffff,
};

bool ax_image_is_bzimage(const struct ax_image_probe *probe)
{
    return probe->head_len > VERSION + 2 &&
           image_le16(probe->head + BOOT_FLAG) == 0xaa55 &&
           !memcmp(probe->head + MAGIC, "HdrS", 4);
}

/*
 * The part of the file that is the protected-mode kernel. What lies behind it,
 * such as a signature, is not loaded.
 */
static int bzimage_payload(struct ax_image_probe *probe)
{
    struct ax_image *image = probe->out;
    const uint64_t size = probe->src->size;
    const unsigned sects = probe->head[SETUP_SECTS];
    uint64_t declared = (uint64_t)image_le32(probe->head + SYSSIZE) * 16;

    image->bz.payload_off =
        (uint64_t)(sects ? sects + 1 : OLD_SETUP_SECTS + 1) * SECTOR;
    if (image->bz.payload_off >= size)
        return ax_image_refuse(probe,
                               "bzImage is truncated: its setup ends at "
                               "%#" PRIx64 ", the file at %#" PRIx64,
                               image->bz.payload_off, size);
    image->bz.payload_size = size - image->bz.payload_off;
    if (image->bz.version < 0x204)
        declared &= 0xfffff; /* the upper half was another field */
    /* Rounded up to 16 by the build: the last few bytes may not be there. */
    if (declared > image->bz.payload_size + 15)
        return ax_image_refuse(probe,
                               "bzImage is truncated: its kernel ends at "
                               "%#" PRIx64 ", the file at %#" PRIx64,
                               image->bz.payload_off + declared, size);
    if (declared && declared < image->bz.payload_size)
        image->bz.payload_size = declared;
    return 0;
}

static int bzimage_check(struct ax_image_probe *probe)
{
    const struct ax_image *image = probe->out;

    if (image->bz.version < 0x200)
        return ax_image_refuse(probe, "bzImage of boot protocol %#x",
                               image->bz.version);
    if (!(probe->head[LOADFLAGS] & LOADED_HIGH))
        return ax_image_refuse(
            probe, "zImage: only kernels that load above 1 MiB are supported");
    if (probe->head_len < image->bz.header_end)
        return ax_image_refuse(probe,
                               "bzImage is truncated: its header ends at %#x, "
                               "the file at %#" PRIx64,
                               image->bz.header_end, probe->src->size);
    if (image->bz.relocatable &&
        (!image->bz.alignment ||
         (image->bz.alignment & (image->bz.alignment - 1))))
        return ax_image_refuse(probe,
                               "bzImage: kernel_alignment %#x is not a power "
                               "of two",
                               image->bz.alignment);
    return 0;
}

static uint16_t bzimage_header_end(const uint8_t *h)
{
    const unsigned end = MAGIC + h[JUMP_OFFSET];

    return (uint16_t)(end < HEADER_MAX ? end : HEADER_MAX);
}

/* A header without a field, by version or by length, has its default. */
static bool bzimage_has(const struct ax_image *image, unsigned version,
                        unsigned off, unsigned len)
{
    return image->bz.version >= version && off + len <= image->bz.header_end;
}

static void bzimage_fields(struct ax_image *image, const uint8_t *h)
{
    uint32_t cmdline = OLD_CMDLINE_SIZE;

    image->bz.initrd_max = OLD_INITRD_MAX;
    image->bz.pref_address = OLD_LOAD_ADDRESS;
    if (bzimage_has(image, 0x203, INITRD_ADDR_MAX, 4))
        image->bz.initrd_max = image_le32(h + INITRD_ADDR_MAX);
    if (bzimage_has(image, 0x205, ALIGNMENT, 5)) {
        image->bz.alignment = image_le32(h + ALIGNMENT);
        image->bz.relocatable = h[RELOCATABLE];
    }
    if (bzimage_has(image, 0x206, CMDLINE_SIZE, 4))
        cmdline = image_le32(h + CMDLINE_SIZE);
    image->bz.cmdline_size = cmdline < CMDLINE_MAX ? cmdline : CMDLINE_MAX;
    if (bzimage_has(image, 0x20a, PREF_ADDRESS, 12)) {
        image->bz.pref_address = image_le64(h + PREF_ADDRESS);
        image->bz.init_size = image_le32(h + INIT_SIZE);
    }
    if (bzimage_has(image, 0x20c, XLOADFLAGS, 2)) {
        image->bz.entry64 = image_le16(h + XLOADFLAGS) & XLF_KERNEL_64;
        image->bz.above_4g = image_le16(h + XLOADFLAGS) & XLF_ABOVE_4G;
    }
}

int ax_image_probe_bzimage(struct ax_image_probe *probe)
{
    struct ax_image *image = probe->out;
    int err;

    image->kind = AX_IMAGE_BZIMAGE;
    image->arch = "x86_64";
    if (probe->head_len < LOADFLAGS + 1)
        return ax_image_refuse(probe,
                               "bzImage is truncated: the file ends at "
                               "%#" PRIx64 ", within its header",
                               probe->src->size);
    image->bz.version = image_le16(probe->head + VERSION);
    image->bz.header_end = bzimage_header_end(probe->head);
    if (probe->head_len >= image->bz.header_end)
        bzimage_fields(image, probe->head);
    err = bzimage_check(probe);
    if (!err)
        err = bzimage_payload(probe);
    if (err)
        return err;
    if (image->bz.init_size < image->bz.payload_size)
        image->bz.init_size = image->bz.payload_size < UINT32_MAX
                                  ? (uint32_t)image->bz.payload_size
                                  : UINT32_MAX;
    err = ax_image_add(probe, image->bz.payload_off, image->bz.payload_size, 0,
                       image->bz.payload_size);
    image->high = image->bz.init_size;
    return err;
}
