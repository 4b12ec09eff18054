/*
 * x86_fixture.h - what the tests of images, plan and boot share: a filled-in
 * configuration, guest memory, a log that can be read, and tiny images made
 * field by field.
 */
#ifndef AX_TESTS_X86_FIXTURE_H
#define AX_TESTS_X86_FIXTURE_H

#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"
#include "log.h"
#include "memory/memory.h"
#include "vmm/config.h"
#include "vmm/image.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void fx_put(uint8_t *p, uint64_t val, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        p[i] = (uint8_t)(val >> i * 8);
}

static inline uint64_t fx_get(const uint8_t *p, unsigned width)
{
    uint64_t val = 0;

    for (unsigned i = 0; i < width; i++)
        val |= (uint64_t)p[i] << i * 8;
    return val;
}

/* Everything one boot needs; the test changes what it is about. */
struct fixture {
    struct ax_config conf;
    char file[16];
    struct ax_plan plan;
    struct ax_memory mem;
    struct ax_start start;
    struct ax_log *log;
    char log_path[64];
    char log_text[4096];
    char paths[4][64];
    unsigned path_count;
    struct ax_source kernel;
};

static inline void fx_init(struct fixture *f)
{
    int fd;

    memset(f, 0, sizeof(*f));
    strcpy(f->file, "guest.toml");
    f->conf.file = f->file;
    f->conf.cpu_num = 1;
    for (unsigned i = 0; i < AX_CPUS_MAX; i++)
        f->conf.cpu_ids[i] = i;
    f->conf.memory = AX_MIB(64);
    f->conf.irqchip = AX_IRQCHIP_KERNEL;
    strcpy(f->log_path, "/tmp/axvm-test-XXXXXX");
    fd = mkstemp(f->log_path);
    cr_assert(fd >= 0);
    close(fd);
    cr_assert_eq(ax_log_create(f->log_path, AX_LOG_INFO, &f->log), 0);
}

static inline void fx_fini(struct fixture *f)
{
    ax_memory_fini(&f->mem);
    ax_log_destroy(f->log);
    unlink(f->log_path);
    for (unsigned i = 0; i < f->path_count; i++)
        unlink(f->paths[i]);
}

/* All that was logged so far. */
static inline const char *fx_log(struct fixture *f)
{
    int fd = open(f->log_path, O_RDONLY);
    ssize_t n = read(fd, f->log_text, sizeof(f->log_text) - 1);

    close(fd);
    f->log_text[n > 0 ? n : 0] = '\0';
    return f->log_text;
}

#define fx_expect_log(f, text)                                                 \
    cr_expect(strstr(fx_log(f), text) != NULL, "no \"%s\" in: %s", text,       \
              (f)->log_text)

/* A file with these bytes; gone after the test. */
static inline char *fx_file(struct fixture *f, const void *bytes, size_t size)
{
    char *path = f->paths[f->path_count++];
    int fd;

    strcpy(path, "/tmp/axvm-test-XXXXXX");
    fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
    return path;
}

static inline int fx_plan(struct fixture *f)
{
    return ax_arch_x86_64.plan(&f->conf, f->log, &f->plan);
}

/* Plans, makes the memory, boots image (NULL: what the config names). */
static inline int fx_boot(struct fixture *f, const void *image, size_t size)
{
    cr_assert_eq(fx_plan(f), 0, "%s", fx_log(f));
    ax_memory_fini(&f->mem);
    ax_memory_init(&f->mem, AX_BACKING_ANONYMOUS, AX_HUGEPAGES_OFF);
    for (unsigned i = 0; i < f->plan.region_count; i++)
        cr_assert_eq(ax_memory_add(&f->mem, f->plan.regions[i].gpa,
                                   f->plan.regions[i].size,
                                   f->plan.regions[i].kind),
                     0);
    if (image) {
        ax_source_memory("kernel", image, size, &f->kernel);
        f->plan.kernel_override = &f->kernel;
    }
    return ax_arch_x86_64.boot(&f->plan, f->log, &f->mem, &f->start, NULL,
                               NULL);
}

static inline const uint8_t *fx_at(const struct fixture *f, ax_gpa gpa,
                                   uint64_t len)
{
    const uint8_t *p = ax_memory_at(&f->mem, gpa, len, AX_PROT_READ);

    cr_assert_not_null(p, "no memory at %#llx", (unsigned long long)gpa);
    return p;
}

static inline bool fx_reg_is_set(const struct fixture *f, unsigned reg)
{
    for (unsigned i = 0; i < f->start.count; i++) {
        if (f->start.regs[i].reg == reg)
            return true;
    }
    return false;
}

static inline uint64_t fx_reg(const struct fixture *f, unsigned reg)
{
    for (unsigned i = f->start.count; i-- > 0;) {
        if (f->start.regs[i].reg == reg)
            return f->start.regs[i].val;
    }
    cr_assert_fail("register %u is not set", reg);
    return 0;
}

/* What a guest is told about [addr, addr + 1): 1 RAM, 2 reserved, 0 nothing. */
static inline unsigned fx_map_type(const uint8_t *map, unsigned count,
                                   unsigned stride, uint64_t addr)
{
    for (unsigned i = 0; i < count; i++, map += stride) {
        if (addr >= fx_get(map, 8) &&
            addr - fx_get(map, 8) < fx_get(map + 8, 8))
            return (unsigned)fx_get(map + 16, 4);
    }
    return 0;
}

/* ---- images ---- */

enum { FX_BZIMAGE = 8 * 512 }; /* setup of 4 + 1 sectors, payload of 3 */
enum { FX_BZ_PAYLOAD = 5 * 512 };

/* Protocol 2.15, 64-bit entry, relocatable, 16 MiB, 2 MiB alignment. */
static inline void fx_bzimage(uint8_t img[FX_BZIMAGE])
{
    memset(img, 0, FX_BZIMAGE);
    img[0x1f1] = 4;
    fx_put(img + 0x1f4, (FX_BZIMAGE - FX_BZ_PAYLOAD) / 16, 4);
    fx_put(img + 0x1fe, 0xaa55, 2);
    fx_put(img + 0x200, 0x6aeb, 2); /* jmp: the header ends at 0x26c */
    memcpy(img + 0x202, "HdrS", 4);
    fx_put(img + 0x206, 0x020f, 2);
    img[0x211] = 0x01;
    fx_put(img + 0x224, 0x5678, 2); /* heap_end_ptr */
    fx_put(img + 0x22c, 0x7fffffff, 4);
    fx_put(img + 0x230, 0x200000, 4);
    img[0x234] = 1;
    fx_put(img + 0x236, 0x3, 2);
    fx_put(img + 0x238, 2047, 4);
    fx_put(img + 0x250, 0x1234, 8); /* setup_data: not ours to keep */
    fx_put(img + 0x258, 0x1000000, 8);
    fx_put(img + 0x260, 0x800000, 4);
    for (unsigned i = FX_BZ_PAYLOAD; i < FX_BZIMAGE; i++)
        img[i] = (uint8_t)(i * 7 + 1);
}

/* An ELF file under construction: one segment of code, more on request. */
enum { FX_ELF = 2048, FX_ELF_CODE = 1024 };

struct fx_elf {
    uint8_t bytes[FX_ELF];
    bool wide;
    unsigned phnum;
};

static inline void fx_elf_phdr(struct fx_elf *e, uint32_t type, uint64_t off,
                               uint64_t paddr, uint64_t file_size,
                               uint64_t mem_size)
{
    uint8_t *p = e->bytes + 64 + 56 * (size_t)e->phnum++;

    if (e->wide) {
        fx_put(p, type, 4);
        fx_put(p + 8, off, 8);
        fx_put(p + 16, paddr, 8);
        fx_put(p + 24, paddr, 8);
        fx_put(p + 32, file_size, 8);
        fx_put(p + 40, mem_size, 8);
        fx_put(p + 48, 4, 8);
    } else {
        fx_put(p, type, 4);
        fx_put(p + 4, off, 4);
        fx_put(p + 8, paddr, 4);
        fx_put(p + 12, paddr, 4);
        fx_put(p + 16, file_size, 4);
        fx_put(p + 20, mem_size, 4);
        fx_put(p + 28, 4, 4);
    }
    fx_put(e->bytes + (e->wide ? 56 : 44), e->phnum, 2);
}

/* Code of 256 bytes at entry, 1 MiB of memory behind it. */
static inline void fx_elf(struct fx_elf *e, bool wide, uint64_t entry)
{
    uint8_t *h = e->bytes;

    memset(e, 0, sizeof(*e));
    e->wide = wide;
    memcpy(h, ELFMAG, SELFMAG);
    h[EI_CLASS] = wide ? ELFCLASS64 : ELFCLASS32;
    h[EI_DATA] = ELFDATA2LSB;
    h[EI_VERSION] = EV_CURRENT;
    fx_put(h + 16, ET_EXEC, 2);
    fx_put(h + 18, wide ? EM_X86_64 : EM_386, 2);
    fx_put(h + 20, EV_CURRENT, 4);
    fx_put(h + 24, entry, wide ? 8 : 4);
    fx_put(h + (wide ? 32 : 28), 64, wide ? 8 : 4); /* phoff */
    fx_put(h + (wide ? 54 : 42), 56, 2);            /* phentsize */
    for (unsigned i = 0; i < 256; i++)
        h[FX_ELF_CODE + i] = (uint8_t)(i ^ 0x5a);
    fx_elf_phdr(e, PT_LOAD, FX_ELF_CODE, entry, 256, 0x1000);
}

/* The PVH note, in 4 or 8 bytes. */
static inline void fx_elf_pvh(struct fx_elf *e, uint64_t entry, unsigned width)
{
    uint8_t *n = e->bytes + 512;

    fx_put(n, 4, 4);
    fx_put(n + 4, width, 4);
    fx_put(n + 8, 18, 4);
    memcpy(n + 12, "Xen", 4);
    fx_put(n + 16, entry, width);
    fx_elf_phdr(e, PT_NOTE, 512, 0, 16 + width, 0);
}

/* A multiboot header at p; with addresses if load is not 0. */
static inline void fx_multiboot(uint8_t *p, uint32_t flags, uint32_t header,
                                uint32_t load, uint32_t load_end,
                                uint32_t bss_end, uint32_t entry)
{
    if (load)
        flags |= 0x10000;
    fx_put(p, 0x1badb002, 4);
    fx_put(p + 4, flags, 4);
    fx_put(p + 8, 0U - 0x1badb002 - flags, 4);
    if (!load)
        return;
    fx_put(p + 12, header, 4);
    fx_put(p + 16, load, 4);
    fx_put(p + 20, load_end, 4);
    fx_put(p + 24, bss_end, 4);
    fx_put(p + 28, entry, 4);
}

#endif
