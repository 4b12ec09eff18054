/*
 * image_parts.h - what image.c and its format parsers share. Private to
 * vmm/image*.c.
 *
 * A parser looks at the head of the file and reads what it needs beyond it;
 * it fills probe->out, or refuses the file with one line of reason.
 */
#ifndef AX_VMM_IMAGE_PARTS_H
#define AX_VMM_IMAGE_PARTS_H

#include "vmm/image.h"

/* A multiboot header lies within the first 8192 bytes of the file. */
enum { AX_IMAGE_HEAD = 8192 };

struct ax_image_probe {
    const struct ax_source *src;
    const uint8_t *head;
    uint64_t head_len; /* the file's size, or AX_IMAGE_HEAD */
    struct ax_image *out;
    char *why;
    size_t why_size;
};

/* Writes the reason and returns -ENOEXEC. */
int ax_image_refuse(struct ax_image_probe *probe, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Adds a segment and widens low and high. The part in the file must have been
 * checked; refuses wrapping addresses and more segments than there is room for.
 */
int ax_image_add(struct ax_image_probe *probe, uint64_t off, uint64_t file_size,
                 ax_gpa gpa, uint64_t mem_size);

/* Is addr inside a segment's memory? */
bool ax_image_holds(const struct ax_image *image, uint64_t addr);

/* Whether the head is theirs, then what it says. */
bool ax_image_is_elf(const struct ax_image_probe *probe);
int ax_image_probe_elf(struct ax_image_probe *probe);
bool ax_image_is_bzimage(const struct ax_image_probe *probe);
int ax_image_probe_bzimage(struct ax_image_probe *probe);

/* Little-endian fields at any alignment. */
static inline uint16_t image_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t image_le32(const uint8_t *p)
{
    return image_le16(p) | (uint32_t)image_le16(p + 2) << 16;
}

static inline uint64_t image_le64(const uint8_t *p)
{
    return image_le32(p) | (uint64_t)image_le32(p + 4) << 32;
}

#endif
