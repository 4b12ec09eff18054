/*
 * image.c - bytes of images: reading them, telling what they are, putting them
 * into guest memory. ELF and bzImage have files of their own; where a kernel
 * goes and how it is entered is the architecture's affair.
 */
#include "vmm/image.h"
#include "memory/memory.h"
#include "vmm/image_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t page_bytes = 4096;

#define WATCH_FROM    AX_MIB(16) /* smaller images are there before one looks */
#define WATCH_STEP    AX_MIB(1)
#define ZERO_BY_PAGES AX_KIB(64)
#define POPULATE_FROM AX_KIB(256)

int ax_source_open(const char *path, struct ax_source *out)
{
    struct stat st;
    int err = 0;

    *out = (struct ax_source){.name = path, .fd = -1};
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    out->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (out->fd < 0)
        return -errno;
    if (fstat(out->fd, &st))
        err = -errno;
    else if (S_ISDIR(st.st_mode))
        err = -EISDIR;
    else if (!S_ISREG(st.st_mode))
        err = -ESPIPE;
    else if (st.st_size <= 0)
        err = -ENODATA;
    if (err)
        ax_source_close(out);
    else
        out->size = (uint64_t)st.st_size;
    return err;
}

void ax_source_memory(const char *name, const void *data, size_t size,
                      struct ax_source *out)
{
    *out = (struct ax_source){
        .name = name,
        .fd = -1,
        .data = data,
        .size = size,
    };
}

void ax_source_close(struct ax_source *src)
{
    if (src->fd >= 0)
        close(src->fd);
    src->fd = -1;
    src->size = 0;
}

int ax_source_read(const struct ax_source *src, uint64_t off, void *buf,
                   uint64_t len)
{
    uint8_t *to = buf;

    if (!ax_range_within(off, len, 0, src->size))
        return -ENODATA;
    if (src->fd < 0) {
        if (len)
            memcpy(to, src->data + off, len);
        return 0;
    }
    while (len) {
        ssize_t n = pread(src->fd, to, len, (off_t)off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            return -ENODATA; /* shrank since it was opened */
        to += n;
        off += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

const char *ax_source_strerror(int err)
{
    switch (err) {
    case -EISDIR:
        return "is a directory";
    case -ESPIPE:
        return "is not a regular file";
    case -ENODATA:
        return "is empty or ends too early";
    default:
        return strerror(-err);
    }
}

static bool source_watched(const struct ax_source *src,
                           const struct ax_progress *watch)
{
    return watch && watch->fn && src->size > WATCH_FROM;
}

/*
 * Gets the pages of a large copy from the host at once instead of by a fault
 * each: half the time. A kernel that cannot (before 5.14) faults as ever.
 */
static void source_populate(uint8_t *to, uint64_t len)
{
    const uint64_t before = (uintptr_t)to % page_bytes;

    if (len >= POPULATE_FROM)
        madvise(to - before, before + len, MADV_POPULATE_WRITE);
}

int ax_source_copy(const struct ax_source *src, uint64_t off,
                   struct ax_memory *mem, ax_gpa gpa, uint64_t len,
                   const struct ax_progress *watch)
{
    const bool watched = source_watched(src, watch);
    uint8_t *to;

    if (!len)
        return 0;
    to = ax_memory_at_load(mem, gpa, len);
    if (!to)
        return -ENOSPC;
    for (uint64_t done = 0, step; done < len; done += step) {
        int err;

        step = watched && len - done > WATCH_STEP ? WATCH_STEP : len - done;
        source_populate(to + done, step);
        err = ax_source_read(src, off + done, to + done, step);
        if (err)
            return err;
        if (watched)
            watch->fn(watch->ctx, src->name, off + done + step, src->size);
    }
    return 0;
}

int ax_image_refuse(struct ax_image_probe *probe, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(probe->why, probe->why_size, fmt, args);
    va_end(args);
    return -ENOEXEC;
}

int ax_image_add(struct ax_image_probe *probe, uint64_t off, uint64_t file_size,
                 ax_gpa gpa, uint64_t mem_size)
{
    struct ax_image *image = probe->out;

    if (mem_size > UINT64_MAX - gpa)
        return ax_image_refuse(probe,
                               "%#" PRIx64 " bytes at %#" PRIx64
                               " wrap around the end of memory",
                               mem_size, gpa);
    if (image->segment_count == AX_IMAGE_SEGMENTS)
        return ax_image_refuse(probe, "more than %d segments",
                               AX_IMAGE_SEGMENTS);
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct ax_segment *s = &image->segments[i];

        if (ax_range_overlaps(gpa, mem_size, s->gpa, s->mem_size))
            return ax_image_refuse(
                probe, "segments at %#" PRIx64 " and %#" PRIx64 " overlap",
                s->gpa, gpa);
    }
    if (!image->segment_count || gpa < image->low)
        image->low = gpa;
    if (!image->segment_count || gpa + mem_size > image->high)
        image->high = gpa + mem_size;
    image->segments[image->segment_count++] = (struct ax_segment){
        .off = off,
        .file_size = file_size,
        .gpa = gpa,
        .mem_size = mem_size,
    };
    return 0;
}

bool ax_image_holds(const struct ax_image *image, uint64_t addr)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct ax_segment *s = &image->segments[i];

        if (ax_range_within(addr, 1, s->gpa, s->mem_size))
            return true;
    }
    return false;
}

/*
 * Multiboot 0.6.96, 3.1: three words that sum to 0, at a multiple of four. Then
 * with flag 16 five addresses, for files that are no ELF.
 */
enum {
    MULTIBOOT_MAGIC = 0x1badb002,
    MULTIBOOT_ADDRESSES = 0x10000,
    MULTIBOOT_HEADER = 12,
    MULTIBOOT_HEADER_FULL = 32,
};

static bool multiboot_find(const struct ax_image_probe *probe, uint64_t *at)
{
    for (uint64_t i = 0; i + MULTIBOOT_HEADER <= probe->head_len; i += 4) {
        const uint8_t *p = probe->head + i;

        if (image_le32(p) == MULTIBOOT_MAGIC &&
            !(uint32_t)(image_le32(p) + image_le32(p + 4) +
                        image_le32(p + 8))) {
            *at = i;
            return true;
        }
    }
    return false;
}

static int multiboot_place(struct ax_image_probe *probe, uint64_t at)
{
    const uint8_t *p = probe->head + at;
    const uint64_t header = image_le32(p + 12), load = image_le32(p + 16),
                   load_end = image_le32(p + 20), bss_end = image_le32(p + 24),
                   entry = image_le32(p + 28);
    uint64_t off, len, mem_len;

    if (load > header || header - load > at)
        return ax_image_refuse(probe,
                               "multiboot header: load address %#" PRIx64
                               " does not fit its header's %#" PRIx64,
                               load, header);
    off = at - (header - load);
    len = load_end ? load_end - load : probe->src->size - off;
    if (load_end && load_end < load)
        return ax_image_refuse(probe,
                               "multiboot header: load end %#" PRIx64
                               " before its start %#" PRIx64,
                               load_end, load);
    if (!ax_range_within(off, len, 0, probe->src->size))
        return ax_image_refuse(
            probe,
            "multiboot image is truncated: it ends at %#" PRIx64
            ", beyond the file's %#" PRIx64,
            off + len, probe->src->size);
    mem_len = bss_end ? bss_end - load : len;
    if (bss_end && (bss_end < load || mem_len < len))
        return ax_image_refuse(probe,
                               "multiboot header: bss end %#" PRIx64
                               " before the loaded part's end %#" PRIx64,
                               bss_end, load + len);
    if (!ax_range_within(entry, 1, load, mem_len))
        return ax_image_refuse(
            probe, "multiboot header: entry %#" PRIx64 " is outside the image",
            entry);
    probe->out->multiboot_entry = entry;
    return ax_image_add(probe, off, len, load, mem_len);
}

static int multiboot_probe(struct ax_image_probe *probe)
{
    struct ax_image *image = probe->out;
    uint64_t at;
    uint32_t flags;

    if (!multiboot_find(probe, &at))
        return 0;
    flags = image_le32(probe->head + at + 4);
    image->multiboot_flags = flags;
    if (image->kind == AX_IMAGE_FLAT) {
        /* Without addresses nothing says where a flat file belongs. */
        if (!(flags & MULTIBOOT_ADDRESSES) ||
            at + MULTIBOOT_HEADER_FULL > probe->head_len)
            return 0;
        image->multiboot = true;
        image->arch = "x86_64";
        return multiboot_place(probe, at);
    }
    /*
     * An ELF file is placed by its program headers. Its entry is the header's
     * own where that has one (3.1.3): a kernel may have a second one for PVH.
     */
    image->multiboot = true;
    image->multiboot_entry = image->entry;
    if (flags & MULTIBOOT_ADDRESSES &&
        at + MULTIBOOT_HEADER_FULL <= probe->head_len) {
        image->multiboot_entry = image_le32(probe->head + at + 28);
        if (!ax_image_holds(image, image->multiboot_entry))
            return ax_image_refuse(probe,
                                   "multiboot header: entry %#" PRIx64
                                   " is outside the image",
                                   image->multiboot_entry);
    }
    return 0;
}

/* Linux Image headers of both 64-bit architectures share these offsets. */
enum {
    LINUX_TEXT_OFFSET = 8,
    LINUX_IMAGE_SIZE = 16,
    LINUX_RISCV_MAGIC = 48,
    LINUX_MAGIC = 56,
    LINUX_HEADER = 64,
};

static bool linux_is(const struct ax_image_probe *probe, unsigned at,
                     const char *magic, size_t len)
{
    return probe->head_len >= LINUX_HEADER &&
           !memcmp(probe->head + at, magic, len);
}

static int linux_probe(struct ax_image_probe *probe, enum ax_image_kind kind,
                       const char *arch)
{
    const uint64_t size = probe->src->size;
    uint64_t mem_size = image_le64(probe->head + LINUX_IMAGE_SIZE);

    probe->out->kind = kind;
    probe->out->arch = arch;
    return ax_image_add(probe, 0, size,
                        image_le64(probe->head + LINUX_TEXT_OFFSET),
                        mem_size > size ? mem_size : size);
}

static int image_dispatch(struct ax_image_probe *probe)
{
    struct ax_image *image = probe->out;
    int err;

    if (ax_image_is_elf(probe)) {
        err = ax_image_probe_elf(probe);
        return err ? err : multiboot_probe(probe);
    }
    if (ax_image_is_bzimage(probe))
        return ax_image_probe_bzimage(probe);
    if (linux_is(probe, LINUX_MAGIC, "ARM\x64", 4))
        return linux_probe(probe, AX_IMAGE_ARM64, "aarch64");
    if (linux_is(probe, LINUX_RISCV_MAGIC, "RISCV", 5) ||
        linux_is(probe, LINUX_MAGIC, "RSC\x05", 4))
        return linux_probe(probe, AX_IMAGE_RISCV, "riscv64");
    if (probe->head_len >= 3 && !memcmp(probe->head, "\x1f\x8b\x08", 3)) {
        image->kind = AX_IMAGE_GZIP;
        return 0;
    }
    err = multiboot_probe(probe);
    if (err || image->multiboot)
        return err;
    return ax_image_add(probe, 0, probe->src->size, 0, probe->src->size);
}

int ax_image_probe(const struct ax_source *src, struct ax_image *out, char *why,
                   size_t why_size)
{
    uint8_t head[AX_IMAGE_HEAD];
    struct ax_image_probe probe = {
        .src = src,
        .head = head,
        .head_len = src->size < sizeof(head) ? src->size : sizeof(head),
        .out = out,
        .why = why,
        .why_size = why_size,
    };
    int err;

    memset(out, 0, sizeof(*out));
    if (why_size)
        why[0] = '\0';
    if (!src->size)
        return ax_image_refuse(&probe, "the file is empty");
    err = ax_source_read(src, 0, head, probe.head_len);
    return err ? err : image_dispatch(&probe);
}

/*
 * Zeroes without touching whole pages that the guest may never use: a kernel's
 * bss is larger than the kernel. Dropped pages read as zeroes again.
 */
static void image_zero(const struct ax_memory *mem, uint8_t *hva, uint64_t len)
{
    const uint64_t first = ax_align_up((uintptr_t)hva, page_bytes),
                   last = ax_align_down((uintptr_t)hva + len, page_bytes);
    const int advice =
        mem->backing == AX_BACKING_MEMFD ? MADV_REMOVE : MADV_DONTNEED;
    const uint64_t before = first - (uintptr_t)hva;

    if (len < ZERO_BY_PAGES || madvise(hva + before, last - first, advice)) {
        memset(hva, 0, len);
        return;
    }
    memset(hva, 0, before);
    memset(hva + (last - (uintptr_t)hva), 0, (uintptr_t)hva + len - last);
}

static int image_load_segment(const struct ax_source *src,
                              const struct ax_segment *s, struct ax_memory *mem,
                              uint64_t delta, const struct ax_progress *watch)
{
    uint8_t *hva;
    int err;

    if (delta > UINT64_MAX - s->gpa)
        return -ENOSPC;
    hva = ax_memory_at_load(mem, s->gpa + delta, s->mem_size);
    if (!hva || s->file_size > s->mem_size)
        return -ENOSPC;
    err = ax_source_copy(src, s->off, mem, s->gpa + delta, s->file_size, watch);
    if (!err && s->mem_size > s->file_size)
        image_zero(mem, hva + s->file_size, s->mem_size - s->file_size);
    return err;
}

int ax_image_load(const struct ax_source *src, const struct ax_image *image,
                  struct ax_memory *mem, uint64_t delta,
                  const struct ax_progress *watch,
                  const struct ax_segment **bad)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct ax_segment *s = &image->segments[i];
        int err = image_load_segment(src, s, mem, delta, watch);

        if (err == -ENOSPC && bad)
            *bad = s;
        if (err)
            return err;
    }
    if (source_watched(src, watch))
        watch->fn(watch->ctx, src->name, src->size, src->size);
    return 0;
}

static const char *const kind_names[] = {
    [AX_IMAGE_FLAT] = "flat binary",     [AX_IMAGE_BZIMAGE] = "bzImage",
    [AX_IMAGE_ELF32] = "ELF32",          [AX_IMAGE_ELF64] = "ELF64",
    [AX_IMAGE_ARM64] = "arm64 Image",    [AX_IMAGE_RISCV] = "RISC-V Image",
    [AX_IMAGE_GZIP] = "gzip-compressed",
};

const char *ax_image_kind_name(enum ax_image_kind kind)
{
    return (unsigned)kind < AX_ARRAY_LEN(kind_names) ? kind_names[kind] : "?";
}
