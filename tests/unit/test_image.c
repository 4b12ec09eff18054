/*
 * test_image.c - what files are, which are refused and why, what is loaded.
 */
#include "x86_fixture.h"

#include <sys/stat.h>

static struct ax_image image;
static char why[256];

static int probe(const void *bytes, size_t size)
{
    struct ax_source src;

    ax_source_memory("test", bytes, size, &src);
    return ax_image_probe(&src, &image, why, sizeof(why));
}

#define expect_refused(bytes, size, text)                                      \
    do {                                                                       \
        cr_expect_eq(probe(bytes, size), -ENOEXEC);                            \
        cr_expect(strstr(why, text) != NULL, "no \"%s\" in \"%s\"", text,      \
                  why);                                                        \
    } while (0)

/* ---- sources ---- */

Test(source, refuses_what_is_no_file)
{
    struct ax_source src;
    char path[] = "/tmp/axvm-test-XXXXXX";
    int fd = mkstemp(path);

    cr_assert(fd >= 0);
    close(fd);
    cr_expect_eq(ax_source_open("/tmp", &src), -EISDIR);
    cr_expect_eq(ax_source_open("/dev/null", &src), -ESPIPE);
    cr_expect_eq(ax_source_open("/no/such/file", &src), -ENOENT);
    cr_expect_eq(src.fd, -1);
    cr_expect_eq(ax_source_open(path, &src), -ENODATA, "an empty file");
    cr_expect_eq(src.fd, -1);
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_expect_eq(ax_source_open(path, &src), -ESPIPE,
                 "a FIFO is refused, not waited for");
    unlink(path);
}

Test(source, reads_exactly_or_not_at_all)
{
    struct fixture f;
    struct ax_source src;
    char buf[8] = "";

    fx_init(&f);
    cr_assert_eq(ax_source_open(fx_file(&f, "0123456789", 10), &src), 0);
    cr_expect_eq(src.size, 10);
    cr_expect_eq(ax_source_read(&src, 4, buf, 6), 0);
    cr_expect_eq(memcmp(buf, "456789", 6), 0);
    cr_expect_eq(ax_source_read(&src, 4, buf, 7), -ENODATA);
    cr_expect_eq(ax_source_read(&src, 10, buf, 0), 0);
    cr_expect_eq(ax_source_read(&src, 11, buf, 0), -ENODATA);
    cr_expect_eq(ax_source_read(&src, UINT64_MAX, buf, 2), -ENODATA);
    cr_assert_eq(truncate(f.paths[0], 5), 0);
    cr_expect_eq(ax_source_read(&src, 4, buf, 6), -ENODATA, "shrunk file");
    ax_source_close(&src);
    ax_source_close(&src); /* twice is harmless */
    fx_fini(&f);
}

Test(source, says_what_an_error_means)
{
    cr_expect_str_eq(ax_source_strerror(-EISDIR), "is a directory");
    cr_expect_str_eq(ax_source_strerror(-ESPIPE), "is not a regular file");
    cr_expect_str_eq(ax_source_strerror(-ENODATA),
                     "is empty or ends too early");
    cr_expect_str_eq(ax_source_strerror(-ENOENT), strerror(ENOENT));
}

struct progress_log {
    unsigned calls;
    uint64_t last, total;
    bool rising;
};

static void progress_note(void *ctx, const char *what, uint64_t done,
                          uint64_t total)
{
    struct progress_log *log = ctx;

    log->rising = !log->calls || (log->rising && done >= log->last);
    log->calls++;
    log->last = done;
    log->total = total;
}

Test(source, reports_progress_of_large_images_only)
{
    struct progress_log log = {0};
    const struct ax_progress watch = {progress_note, &log};
    const size_t size = 20 << 20;
    uint8_t *bytes = calloc(1, size);
    struct ax_memory mem;
    struct ax_source src;

    cr_assert_not_null(bytes);
    ax_memory_init(&mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&mem, 0, AX_MIB(32), AX_REGION_RAM), 0);
    bytes[size - 1] = 0x77;
    ax_source_memory("big", bytes, size, &src);
    cr_expect_eq(ax_source_copy(&src, 0, &mem, 0, size, &watch), 0);
    cr_expect_eq(log.calls, 20);
    cr_expect(log.rising && log.last == size && log.total == size);
    cr_expect_eq(*(uint8_t *)ax_memory_at(&mem, size - 1, 1, AX_PROT_READ),
                 0x77);
    log.calls = 0;
    ax_source_memory("small", bytes, 1 << 20, &src);
    cr_expect_eq(ax_source_copy(&src, 0, &mem, 0, 1 << 20, &watch), 0);
    cr_expect_eq(log.calls, 0);
    cr_expect_eq(ax_source_copy(&src, 0, &mem, AX_MIB(32) - 1, 2, NULL),
                 -ENOSPC);
    cr_expect_eq(ax_source_copy(&src, 0, &mem, AX_MIB(99), 0, NULL), 0);
    ax_memory_fini(&mem);
    free(bytes);
}

/* ---- kinds ---- */

Test(image, knows_kinds_by_their_magic)
{
    uint8_t img[4096] = {0};

    cr_expect_eq(probe("hello", 5), 0);
    cr_expect_eq(image.kind, AX_IMAGE_FLAT);
    cr_expect_eq(image.high, 5);
    cr_expect_null(image.arch);
    memcpy(img, "\x1f\x8b\x08", 3);
    cr_expect_eq(probe(img, sizeof(img)), 0);
    cr_expect_eq(image.kind, AX_IMAGE_GZIP);
    memset(img, 0, sizeof(img));
    memcpy(img + 56, "ARM\x64", 4);
    fx_put(img + 8, 0x80000, 8);
    fx_put(img + 16, 0x10000, 8);
    cr_expect_eq(probe(img, sizeof(img)), 0);
    cr_expect_eq(image.kind, AX_IMAGE_ARM64);
    cr_expect_str_eq(image.arch, "aarch64");
    cr_expect_eq(image.low, 0x80000);
    cr_expect_eq(image.high, 0x90000);
    memset(img, 0, sizeof(img));
    memcpy(img + 48, "RISCV", 5);
    cr_expect_eq(probe(img, sizeof(img)), 0);
    cr_expect_eq(image.kind, AX_IMAGE_RISCV);
    cr_expect_str_eq(image.arch, "riscv64");
    cr_expect_str_eq(ax_image_kind_name(AX_IMAGE_BZIMAGE), "bzImage");
    cr_expect_str_eq(ax_image_kind_name(AX_IMAGE_RISCV), "RISC-V Image");
    cr_expect_str_eq(ax_image_kind_name((enum ax_image_kind)99), "?");
    expect_refused("", 0, "empty");
    memcpy(img + 48, "\0\0\0\0\0", 5);
    memcpy(img + 56, "ARM\x64", 4);
    fx_put(img + 8, UINT64_MAX - 8, 8);
    expect_refused(img, sizeof(img), "wrap around");
}

/* ---- bzImage ---- */

Test(bzimage, reads_the_fields_that_count)
{
    uint8_t img[FX_BZIMAGE];

    fx_bzimage(img);
    cr_assert_eq(probe(img, sizeof(img)), 0, "%s", why);
    cr_expect_eq(image.kind, AX_IMAGE_BZIMAGE);
    cr_expect_str_eq(image.arch, "x86_64");
    cr_expect_eq(image.bz.version, 0x20f);
    cr_expect_eq(image.bz.header_end, 0x26c);
    cr_expect_eq(image.bz.payload_off, FX_BZ_PAYLOAD);
    cr_expect_eq(image.bz.payload_size, FX_BZIMAGE - FX_BZ_PAYLOAD);
    cr_expect_eq(image.bz.cmdline_size, 2047);
    cr_expect_eq(image.bz.initrd_max, 0x7fffffff);
    cr_expect_eq(image.bz.pref_address, 0x1000000);
    cr_expect_eq(image.bz.init_size, 0x800000);
    cr_expect_eq(image.bz.alignment, 0x200000);
    cr_expect(image.bz.relocatable && image.bz.entry64 && image.bz.above_4g);
    cr_expect_eq(image.high, 0x800000);
}

Test(bzimage, gives_old_headers_their_defaults)
{
    uint8_t img[FX_BZIMAGE];

    fx_bzimage(img);
    fx_put(img + 0x206, 0x0202, 2);
    img[0x201] = 0x22; /* up to 0x224 */
    img[0x1f1] = 0;    /* means 4 */
    cr_assert_eq(probe(img, sizeof(img)), 0, "%s", why);
    cr_expect_eq(image.bz.payload_off, FX_BZ_PAYLOAD);
    cr_expect_eq(image.bz.cmdline_size, 255);
    cr_expect_eq(image.bz.initrd_max, 0x37ffffff);
    cr_expect_eq(image.bz.pref_address, 0x100000);
    cr_expect_eq(image.bz.init_size, image.bz.payload_size);
    cr_expect(!image.bz.relocatable && !image.bz.entry64);
    /* A version that promises fields which the header is too short for. */
    fx_put(img + 0x206, 0x020f, 2);
    cr_assert_eq(probe(img, sizeof(img)), 0);
    cr_expect(!image.bz.entry64);
    cr_expect_eq(image.bz.pref_address, 0x100000);
}

Test(bzimage, leaves_out_what_follows_the_kernel)
{
    uint8_t img[FX_BZIMAGE];

    fx_bzimage(img);
    fx_put(img + 0x1f4, 512 / 16, 4);
    cr_assert_eq(probe(img, sizeof(img)), 0);
    cr_expect_eq(image.bz.payload_size, 512);
    fx_put(img + 0x238, 0xffffffff, 4);
    cr_assert_eq(probe(img, sizeof(img)), 0);
    cr_expect_eq(image.bz.cmdline_size, 0xffff, "bounded");
}

Test(bzimage, refuses_broken_ones)
{
    uint8_t img[FX_BZIMAGE];

    fx_bzimage(img);
    img[0x1f1] = 200;
    expect_refused(img, sizeof(img), "setup ends at");
    fx_bzimage(img);
    fx_put(img + 0x1f4, 0xffffffff, 4);
    expect_refused(img, sizeof(img), "kernel ends at");
    fx_bzimage(img);
    expect_refused(img, sizeof(img) - 16, "kernel ends at");
    expect_refused(img, 0x220, "header ends at");
    expect_refused(img, 0x20a, "within its header");
    img[0x211] = 0;
    expect_refused(img, sizeof(img), "zImage");
    fx_bzimage(img);
    fx_put(img + 0x206, 0x0105, 2);
    expect_refused(img, sizeof(img), "boot protocol");
    fx_bzimage(img);
    fx_put(img + 0x230, 0x300000, 4);
    expect_refused(img, sizeof(img), "power of two");
    fx_put(img + 0x230, 0, 4);
    expect_refused(img, sizeof(img), "power of two");
}

/* ---- ELF ---- */

Test(elf, reads_segments_of_both_classes)
{
    struct fx_elf e;

    for (unsigned wide = 0; wide < 2; wide++) {
        fx_elf(&e, wide, 0x200000);
        fx_elf_phdr(&e, PT_LOAD, 0, 0x300000, 0, 0x5000);
        fx_elf_phdr(&e, PT_GNU_STACK, 0, 0, 0, 0);
        fx_elf_phdr(&e, PT_LOAD, 0, 0x900000, 0, 0); /* nothing in it */
        cr_assert_eq(probe(e.bytes, sizeof(e.bytes)), 0, "%s", why);
        cr_expect_eq(image.kind, wide ? AX_IMAGE_ELF64 : AX_IMAGE_ELF32);
        cr_expect_str_eq(image.arch, "x86_64");
        cr_expect_eq(image.segment_count, 2);
        cr_expect_eq(image.entry, 0x200000);
        cr_expect_eq(image.low, 0x200000);
        cr_expect_eq(image.high, 0x305000);
        cr_expect_eq(image.segments[0].file_size, 256);
        cr_expect_eq(image.segments[0].mem_size, 0x1000);
        cr_expect_not(image.pvh);
        cr_expect_not(image.multiboot);
    }
}

Test(elf, makes_a_virtual_entry_physical)
{
    struct fx_elf e;

    fx_elf(&e, true, 0x200000);
    fx_put(e.bytes + 24, 0xffffffff80200010, 8);
    fx_put(e.bytes + 64 + 16, 0xffffffff80200000, 8); /* p_vaddr */
    cr_assert_eq(probe(e.bytes, sizeof(e.bytes)), 0, "%s", why);
    cr_expect_eq(image.entry, 0x200010);
}

Test(elf, finds_the_pvh_note)
{
    struct fx_elf e;

    for (unsigned width = 4; width <= 8; width += 4) {
        fx_elf(&e, true, 0x200000);
        fx_elf_pvh(&e, 0x200040, width);
        cr_assert_eq(probe(e.bytes, sizeof(e.bytes)), 0, "%s", why);
        cr_expect(image.pvh);
        cr_expect_eq(image.pvh_entry, 0x200040);
    }
    fx_elf(&e, true, 0x200000);
    fx_elf_pvh(&e, 0x900000, 8);
    expect_refused(e.bytes, sizeof(e.bytes), "PVH entry");
    /* Other notes, and broken ones, are passed over. */
    fx_elf(&e, true, 0x200000);
    fx_elf_pvh(&e, 0x200040, 8);
    fx_put(e.bytes + 512 + 8, 17, 4);
    cr_assert_eq(probe(e.bytes, sizeof(e.bytes)), 0);
    cr_expect_not(image.pvh);
    for (unsigned at = 0; at < 8; at += 4) {
        fx_elf(&e, true, 0x200000);
        fx_elf_pvh(&e, 0x200040, 8);
        fx_put(e.bytes + 512 + at, 0xfffffffe, 4);
        cr_assert_eq(probe(e.bytes, sizeof(e.bytes)), 0);
        cr_expect_not(image.pvh);
    }
}

Test(elf, refuses_broken_ones)
{
    struct fx_elf e;

    fx_elf(&e, true, 0x200000);
    expect_refused(e.bytes, 63, "its header ends");
    expect_refused(e.bytes, 100, "program headers at");
    expect_refused(e.bytes, FX_ELF_CODE + 10, "program header 0 ends at");
    e.bytes[EI_CLASS] = 9;
    expect_refused(e.bytes, sizeof(e.bytes), "class 9");
    fx_elf(&e, true, 0x200000);
    e.bytes[EI_DATA] = ELFDATA2MSB;
    expect_refused(e.bytes, sizeof(e.bytes), "big-endian");
    fx_elf(&e, true, 0x200000);
    fx_put(e.bytes + 16, ET_REL, 2);
    expect_refused(e.bytes, sizeof(e.bytes), "object file");
    fx_put(e.bytes + 16, ET_CORE, 2);
    expect_refused(e.bytes, sizeof(e.bytes), "core dump");
    fx_put(e.bytes + 16, 0xff00, 2);
    expect_refused(e.bytes, sizeof(e.bytes), "not an executable");
    fx_elf(&e, true, 0x200000);
    fx_put(e.bytes + 18, 8, 2);
    expect_refused(e.bytes, sizeof(e.bytes), "machine 8");
    fx_elf(&e, true, 0x200000);
    fx_put(e.bytes + 56, 0, 2);
    expect_refused(e.bytes, sizeof(e.bytes), "no program headers");
    fx_put(e.bytes + 56, 0xffff, 2);
    expect_refused(e.bytes, sizeof(e.bytes), "65535 program headers");
    fx_elf(&e, true, 0x200000);
    fx_put(e.bytes + 54, 8, 2);
    expect_refused(e.bytes, sizeof(e.bytes), "of 8 bytes");
    fx_elf(&e, true, 0x200000);
    fx_put(e.bytes + 32, UINT64_MAX - 8, 8);
    expect_refused(e.bytes, sizeof(e.bytes), "program headers at");
    fx_elf(&e, true, 0x200000);
    fx_put(e.bytes + 24, 0x5000000, 8);
    expect_refused(e.bytes, sizeof(e.bytes), "entry point");
    fx_elf(&e, true, 0x200000);
    fx_put(e.bytes + 64, PT_NULL, 4);
    expect_refused(e.bytes, sizeof(e.bytes), "nothing to load");
}

Test(elf, refuses_hostile_segments)
{
    struct fx_elf e;

    fx_elf(&e, true, 0x200000);
    fx_elf_phdr(&e, PT_LOAD, 0, 0x400000, 64, 32);
    expect_refused(e.bytes, sizeof(e.bytes), "more bytes in the file");
    fx_elf(&e, true, 0x200000);
    fx_elf_phdr(&e, PT_LOAD, UINT64_MAX, 0x400000, 64, 64);
    expect_refused(e.bytes, sizeof(e.bytes), "wrap around");
    fx_elf(&e, true, 0x200000);
    fx_elf_phdr(&e, PT_LOAD, 0, UINT64_MAX - 8, 0, 64);
    expect_refused(e.bytes, sizeof(e.bytes), "wrap around");
    fx_elf(&e, true, 0x200000);
    fx_elf_phdr(&e, PT_LOAD, 0, 0x200800, 64, 64);
    expect_refused(e.bytes, sizeof(e.bytes), "overlap");
    fx_elf(&e, true, 0x200000);
    fx_elf_phdr(&e, PT_NOTE, sizeof(e.bytes), 0, 64, 0);
    expect_refused(e.bytes, sizeof(e.bytes), "truncated");
}

Test(elf, bounds_the_number_of_segments)
{
    enum { COUNT = AX_IMAGE_SEGMENTS + 1, SIZE = 64 + 56 * COUNT + 4096 };
    uint8_t *bytes = calloc(1, SIZE);
    struct fx_elf e;

    fx_elf(&e, true, 0x200000);
    memcpy(bytes, e.bytes, 64);
    fx_put(bytes + 56, COUNT, 2);
    for (unsigned i = 0; i < COUNT; i++) {
        memcpy(bytes + 64 + 56 * i, e.bytes + 64, 56);
        fx_put(bytes + 64 + 56 * i + 16, 0x200000 + 0x2000 * i, 8);
        fx_put(bytes + 64 + 56 * i + 24, 0x200000 + 0x2000 * i, 8);
    }
    expect_refused(bytes, SIZE, "more than 64 segments");
    free(bytes);
}

/* ---- multiboot ---- */

Test(multiboot, honours_addresses_of_flat_files)
{
    uint8_t img[4096] = {0};

    fx_multiboot(img + 64, 3, 0x200040, 0x200000, 0x200800, 0x204000, 0x200080);
    cr_assert_eq(probe(img, sizeof(img)), 0, "%s", why);
    cr_expect_eq(image.kind, AX_IMAGE_FLAT);
    cr_expect(image.multiboot);
    cr_expect_str_eq(image.arch, "x86_64");
    cr_expect_eq(image.multiboot_entry, 0x200080);
    cr_expect_eq(image.segments[0].off, 0);
    cr_expect_eq(image.segments[0].file_size, 0x800);
    cr_expect_eq(image.segments[0].mem_size, 0x4000);
    cr_expect_eq(image.low, 0x200000);
    /* No ends given: all of the file from there on. */
    fx_multiboot(img + 64, 3, 0x200010, 0x200000, 0, 0, 0x200080);
    cr_assert_eq(probe(img, sizeof(img)), 0, "%s", why);
    cr_expect_eq(image.segments[0].off, 48);
    cr_expect_eq(image.segments[0].file_size, 4096 - 48);
}

Test(multiboot, needs_addresses_or_an_elf)
{
    uint8_t img[4096] = {0};
    struct fx_elf e;

    fx_multiboot(img, 3, 0, 0, 0, 0, 0);
    cr_assert_eq(probe(img, sizeof(img)), 0);
    cr_expect_not(image.multiboot);
    cr_expect_eq(image.high, 4096);
    fx_elf(&e, false, 0x200000);
    fx_multiboot(e.bytes + FX_ELF_CODE, 3, 0, 0, 0, 0, 0);
    cr_assert_eq(probe(e.bytes, sizeof(e.bytes)), 0);
    cr_expect(image.multiboot);
    cr_expect_eq(image.multiboot_entry, 0x200000);
    e.bytes[FX_ELF_CODE + 8]++; /* the checksum */
    cr_assert_eq(probe(e.bytes, sizeof(e.bytes)), 0);
    cr_expect_not(image.multiboot);
}

Test(multiboot, refuses_addresses_that_make_no_sense)
{
    uint8_t img[4096] = {0};

    fx_multiboot(img + 64, 3, 0x1ff000, 0x200000, 0, 0, 0x200080);
    expect_refused(img, sizeof(img), "load address");
    fx_multiboot(img + 64, 3, 0x200080, 0x200000, 0, 0, 0x200080);
    expect_refused(img, sizeof(img), "load address");
    fx_multiboot(img + 64, 3, 0x200040, 0x200000, 0x100000, 0, 0x200080);
    expect_refused(img, sizeof(img), "load end");
    fx_multiboot(img + 64, 3, 0x200040, 0x200000, 0x300000, 0, 0x200080);
    expect_refused(img, sizeof(img), "truncated");
    fx_multiboot(img + 64, 3, 0x200040, 0x200000, 0x200800, 0x200400, 0x200080);
    expect_refused(img, sizeof(img), "bss end");
    fx_multiboot(img + 64, 3, 0x200040, 0x200000, 0x200800, 0, 0x200800);
    expect_refused(img, sizeof(img), "outside the image");
}

/* ---- loading ---- */

static void loads_into(enum ax_memory_backing backing)
{
    struct ax_source src;
    struct ax_memory mem;
    struct fx_elf e;
    uint8_t *p;

    fx_elf(&e, true, 0x200800);
    fx_elf_phdr(&e, PT_LOAD, 0, 0x300008, 16, 0x80000);
    cr_assert_eq(probe(e.bytes, sizeof(e.bytes)), 0, "%s", why);
    ax_memory_init(&mem, backing, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&mem, 0, AX_MIB(8), AX_REGION_RAM), 0);
    p = ax_memory_at(&mem, 0, AX_MIB(8), AX_PROT_WRITE);
    memset(p, 0xee, AX_MIB(8)); /* as a guest leaves it before a reset */
    ax_source_memory("test", e.bytes, sizeof(e.bytes), &src);
    cr_assert_eq(ax_image_load(&src, &image, &mem, 0, NULL, NULL), 0);
    cr_expect_eq(memcmp(p + 0x200800, e.bytes + FX_ELF_CODE, 256), 0);
    cr_expect_eq(p[0x2007ff], 0xee);
    cr_expect_eq(p[0x200900], 0, "bss is cleared");
    cr_expect_eq(p[0x2017ff], 0);
    cr_expect_eq(p[0x201800], 0xee);
    cr_expect_eq(memcmp(p + 0x300008, ELFMAG, 4), 0);
    for (size_t i = 0x300018; i < 0x380008; i++)
        cr_assert_eq(p[i], 0, "bss at %#zx", i);
    cr_expect_eq(p[0x300007], 0xee);
    cr_expect_eq(p[0x380008], 0xee);
    cr_assert_eq(ax_image_load(&src, &image, &mem, 0x100000, NULL, NULL), 0);
    cr_expect_eq(memcmp(p + 0x300800, e.bytes + FX_ELF_CODE, 256), 0);
    ax_memory_fini(&mem);
}

Test(load, copies_segments_and_clears_bss_anonymous)
{
    loads_into(AX_BACKING_ANONYMOUS);
}

Test(load, copies_segments_and_clears_bss_memfd)
{
    loads_into(AX_BACKING_MEMFD);
}

Test(load, refuses_what_does_not_fit)
{
    const struct ax_segment *bad = NULL;
    struct ax_source src;
    struct ax_memory mem;
    struct fx_elf e;

    fx_elf(&e, true, 0x200000);
    fx_elf_phdr(&e, PT_LOAD, 0, 0x7ff000, 0, 0x2000);
    cr_assert_eq(probe(e.bytes, sizeof(e.bytes)), 0);
    ax_source_memory("test", e.bytes, sizeof(e.bytes), &src);
    ax_memory_init(&mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&mem, 0, AX_MIB(8), AX_REGION_RAM), 0);
    cr_expect_eq(ax_image_load(&src, &image, &mem, 0, NULL, &bad), -ENOSPC);
    cr_expect_eq(bad, &image.segments[1]);
    cr_expect_eq(ax_image_load(&src, &image, &mem, UINT64_MAX, NULL, &bad),
                 -ENOSPC);
    ax_memory_fini(&mem);
}

Test(load, can_fill_rom)
{
    struct ax_source src;
    struct ax_memory mem;

    ax_memory_init(&mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    cr_assert_eq(ax_memory_add(&mem, 0x10000, 0x1000, AX_REGION_ROM), 0);
    ax_source_memory("rom", "bios", 4, &src);
    cr_expect_eq(ax_source_copy(&src, 0, &mem, 0x10000, 4, NULL), 0);
    cr_expect_eq(
        memcmp(ax_memory_at(&mem, 0x10000, 4, AX_PROT_READ), "bios", 4), 0);
    ax_memory_fini(&mem);
}
