/*
 * image.h - guest images: what a file is and what goes where.
 *
 * Images are untrusted: every offset, size and address in them is checked
 * against the file and against guest memory before use; loops are bounded.
 * tests/fuzz/ feeds this module directly. No global state; any one thread.
 */
#ifndef AX_VMM_IMAGE_H
#define AX_VMM_IMAGE_H

#include "base.h"

struct ax_memory;

/* Bytes to read from: a file, or memory for the demo guest and for tests. */
struct ax_source {
    const char *name; /* for messages; borrowed */
    int fd;           /* -1: data */
    const uint8_t *data;
    uint64_t size;
};

/*
 * Opens a regular file for reading. 0 or -errno: -EISDIR for a directory,
 * -ESPIPE for what is no regular file, -ENODATA for an empty one.
 */
int ax_source_open(const char *path, struct ax_source *out);
void ax_source_memory(const char *name, const void *data, size_t size,
                      struct ax_source *out);
void ax_source_close(struct ax_source *src);

/* Reads exactly len bytes at off. -ENODATA: the source is shorter. */
int ax_source_read(const struct ax_source *src, uint64_t off, void *buf,
                   uint64_t len);

/* What an error of the two above means, for a message: "is a directory"... */
const char *ax_source_strerror(int err);

/* Told while large images load: how far into the file, in steps of 1 MiB. */
struct ax_progress {
    void (*fn)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *ctx;
};

/*
 * Copies [off, off + len) of the source to guest memory. -ENOSPC: it does not
 * lie there, else as ax_source_read. watch may be NULL, and so may its fn.
 */
int ax_source_copy(const struct ax_source *src, uint64_t off,
                   struct ax_memory *mem, ax_gpa gpa, uint64_t len,
                   const struct ax_progress *watch);

enum ax_image_kind {
    AX_IMAGE_FLAT, /* nothing recognised: raw bytes */
    AX_IMAGE_BZIMAGE,
    AX_IMAGE_ELF32,
    AX_IMAGE_ELF64,
    AX_IMAGE_ARM64, /* Linux Image, Documentation/arch/arm64/booting */
    AX_IMAGE_RISCV, /* Linux Image, Documentation/arch/riscv/boot-image-header
                     */
    AX_IMAGE_GZIP,  /* recognised in order to be named; not unpacked here */
};

enum { AX_IMAGE_SEGMENTS = 64, AX_IMAGE_SETUP_MAX = 64 * 512 };

/* [off, off + file_size) of the source goes to gpa; zeroes up to mem_size. */
struct ax_segment {
    uint64_t off, file_size;
    ax_gpa gpa;
    uint64_t mem_size;
};

struct ax_image {
    enum ax_image_kind kind;
    const char *arch; /* the architecture it is for, NULL: cannot be told */
    uint64_t entry;   /* ELF: entry point as a guest-physical address */
    ax_gpa low, high; /* lowest and one past the highest address loaded; from 0
                         for what has no address of its own: all but ELF and
                         multiboot's address fields */
    unsigned segment_count;
    struct ax_segment segments[AX_IMAGE_SEGMENTS];

    bool pvh; /* ELF note XEN_ELFNOTE_PHYS32_ENTRY */
    uint64_t pvh_entry;

    bool multiboot; /* loadable by its multiboot 1 header, or ELF with one */
    uint32_t multiboot_flags;
    uint64_t multiboot_entry; /* where multiboot enters */

    struct { /* bzImage: the fields of the boot protocol that are used */
        uint16_t version;                   /* 0x020f is 2.15 */
        uint64_t payload_off, payload_size; /* protected-mode kernel */
        uint32_t cmdline_size;
        uint64_t initrd_max;
        uint64_t pref_address;
        uint32_t init_size, alignment;
        bool relocatable, entry64, above_4g;
        uint16_t header_end; /* bytes of setup header from 0x1f1 on, end */
    } bz;
};

/*
 * What is it, and is it sound? 0, or -ENOEXEC with the reason in why (one line,
 * no newline), or -errno of reading. A file that is nothing known is FLAT.
 */
int ax_image_probe(const struct ax_source *src, struct ax_image *out, char *why,
                   size_t why_size);

/*
 * Loads all segments, moved up by delta bytes. -ENOSPC: a segment lies outside
 * guest memory (*bad is it, may be NULL), else as ax_source_read. watch: as in
 * ax_source_copy.
 */
int ax_image_load(const struct ax_source *src, const struct ax_image *image,
                  struct ax_memory *mem, uint64_t delta,
                  const struct ax_progress *watch,
                  const struct ax_segment **bad);

/* "bzImage", "ELF64"... Never NULL. */
const char *ax_image_kind_name(enum ax_image_kind kind);

#endif
