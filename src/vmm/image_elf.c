/*
 * image_elf.c - ELF kernels of 32 and 64 bits: loadable segments by physical
 * address, the entry point, and the note that marks a PVH entry. No sections,
 * no relocation: a kernel runs where it was linked.
 *
 * System V ABI, chapters 4 and 5; Xen's public/elfnote.h for the note.
 */
#include "vmm/image_parts.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    ELF_PHDRS_MAX = 256,
    ELF_NOTES_MAX = 4096, /* bytes looked at; the note is among the first */
    XEN_PHYS32_ENTRY = 18,
};

struct elf_phdr {
    uint32_t type;
    uint64_t off, vaddr, paddr, file_size, mem_size, align;
};

struct elf_file {
    bool wide; /* 64 bits */
    uint64_t entry, phoff;
    unsigned phnum, phentsize;
};

/* e_machine to the architecture whose guests can run it. */
static const struct {
    unsigned machine;
    const char *arch;
} machines[] = {
    {EM_386, "x86_64"},
    {EM_X86_64, "x86_64"},
    {EM_AARCH64, "aarch64"},
    {EM_RISCV, "riscv64"},
};

bool ax_image_is_elf(const struct ax_image_probe *probe)
{
    return probe->head_len >= SELFMAG && !memcmp(probe->head, ELFMAG, SELFMAG);
}

static int elf_machine(struct ax_image_probe *probe, unsigned machine)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(machines); i++) {
        if (machines[i].machine == machine) {
            probe->out->arch = machines[i].arch;
            return 0;
        }
    }
    return ax_image_refuse(probe, "ELF for machine %u, which is not supported",
                           machine);
}

static const char *elf_type_problem(unsigned type)
{
    switch (type) {
    case ET_EXEC:
    case ET_DYN: /* position-independent kernels; run where they are linked */
        return NULL;
    case ET_REL:
        return "ELF is an object file: link it first";
    case ET_CORE:
        return "ELF is a core dump, not a kernel";
    default:
        return "ELF is not an executable";
    }
}

static int elf_header(struct ax_image_probe *probe, struct elf_file *elf)
{
    const uint8_t *h = probe->head;
    const char *problem;
    unsigned machine;

    if (probe->head_len < sizeof(Elf32_Ehdr) ||
        (h[EI_CLASS] == ELFCLASS64 && probe->head_len < sizeof(Elf64_Ehdr)))
        return ax_image_refuse(
            probe, "ELF is truncated: its header ends beyond the file");
    if (h[EI_CLASS] != ELFCLASS32 && h[EI_CLASS] != ELFCLASS64)
        return ax_image_refuse(probe, "ELF of unknown class %u", h[EI_CLASS]);
    if (h[EI_DATA] != ELFDATA2LSB)
        return ax_image_refuse(probe, "ELF is big-endian");
    problem = elf_type_problem(image_le16(h + 16));
    if (problem)
        return ax_image_refuse(probe, "%s", problem);
    machine = image_le16(h + 18);
    elf->wide = h[EI_CLASS] == ELFCLASS64;
    probe->out->kind = elf->wide ? AX_IMAGE_ELF64 : AX_IMAGE_ELF32;
    if (elf->wide) {
        elf->entry = image_le64(h + offsetof(Elf64_Ehdr, e_entry));
        elf->phoff = image_le64(h + offsetof(Elf64_Ehdr, e_phoff));
        elf->phentsize = image_le16(h + offsetof(Elf64_Ehdr, e_phentsize));
        elf->phnum = image_le16(h + offsetof(Elf64_Ehdr, e_phnum));
    } else {
        elf->entry = image_le32(h + offsetof(Elf32_Ehdr, e_entry));
        elf->phoff = image_le32(h + offsetof(Elf32_Ehdr, e_phoff));
        elf->phentsize = image_le16(h + offsetof(Elf32_Ehdr, e_phentsize));
        elf->phnum = image_le16(h + offsetof(Elf32_Ehdr, e_phnum));
    }
    if (!elf->phnum)
        return ax_image_refuse(probe, "ELF has no program headers");
    if (elf->phnum > ELF_PHDRS_MAX)
        return ax_image_refuse(probe,
                               "ELF has %u program headers, more than %d",
                               elf->phnum, ELF_PHDRS_MAX);
    if (elf->phentsize < (elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return ax_image_refuse(probe, "ELF program headers of %u bytes",
                               elf->phentsize);
    if (!ax_range_within(elf->phoff, (uint64_t)elf->phnum * elf->phentsize, 0,
                         probe->src->size))
        return ax_image_refuse(probe,
                               "ELF is truncated: program headers at %#" PRIx64
                               " lie beyond the file's %#" PRIx64,
                               elf->phoff, probe->src->size);
    return elf_machine(probe, machine);
}

static int elf_phdr_read(const struct ax_image_probe *probe,
                         const struct elf_file *elf, unsigned i,
                         struct elf_phdr *out)
{
    const uint64_t off = elf->phoff + (uint64_t)i * elf->phentsize;
    const uint64_t len = elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    uint8_t buf[sizeof(Elf64_Phdr)];
    const uint8_t *p = buf;

    if (ax_range_within(off, len, 0, probe->head_len)) {
        p = probe->head + off;
    } else {
        int err = ax_source_read(probe->src, off, buf, len);

        if (err)
            return err;
    }
    out->type = image_le32(p);
    if (elf->wide) {
        out->off = image_le64(p + offsetof(Elf64_Phdr, p_offset));
        out->vaddr = image_le64(p + offsetof(Elf64_Phdr, p_vaddr));
        out->paddr = image_le64(p + offsetof(Elf64_Phdr, p_paddr));
        out->file_size = image_le64(p + offsetof(Elf64_Phdr, p_filesz));
        out->mem_size = image_le64(p + offsetof(Elf64_Phdr, p_memsz));
        out->align = image_le64(p + offsetof(Elf64_Phdr, p_align));
    } else {
        out->off = image_le32(p + offsetof(Elf32_Phdr, p_offset));
        out->vaddr = image_le32(p + offsetof(Elf32_Phdr, p_vaddr));
        out->paddr = image_le32(p + offsetof(Elf32_Phdr, p_paddr));
        out->file_size = image_le32(p + offsetof(Elf32_Phdr, p_filesz));
        out->mem_size = image_le32(p + offsetof(Elf32_Phdr, p_memsz));
        out->align = image_le32(p + offsetof(Elf32_Phdr, p_align));
    }
    return 0;
}

/* Program headers are numbered from 0, as readelf(1) prints them. */
static int elf_check_file(struct ax_image_probe *probe, unsigned i,
                          const struct elf_phdr *ph)
{
    if (ax_range_within(ph->off, ph->file_size, 0, probe->src->size))
        return 0;
    if (ph->file_size > UINT64_MAX - ph->off)
        return ax_image_refuse(probe,
                               "ELF program header %u: offset %#" PRIx64
                               " and size %#" PRIx64 " wrap around",
                               i, ph->off, ph->file_size);
    return ax_image_refuse(probe,
                           "ELF is truncated: program header %u ends at "
                           "%#" PRIx64 ", beyond the file's %#" PRIx64,
                           i, ph->off + ph->file_size, probe->src->size);
}

static int elf_load_segment(struct ax_image_probe *probe, unsigned i,
                            const struct elf_phdr *ph)
{
    int err;

    if (!ph->mem_size && !ph->file_size)
        return 0;
    if (ph->file_size > ph->mem_size)
        return ax_image_refuse(probe,
                               "ELF program header %u has more bytes in the "
                               "file (%#" PRIx64 ") than in memory (%#" PRIx64
                               ")",
                               i, ph->file_size, ph->mem_size);
    err = elf_check_file(probe, i, ph);
    return err ? err
               : ax_image_add(probe, ph->off, ph->file_size, ph->paddr,
                              ph->mem_size);
}

/* One note: is it the PVH entry? Its descriptor is 4 or 8 bytes. */
static void elf_note(struct ax_image *image, uint32_t type, const uint8_t *name,
                     uint32_t name_size, const uint8_t *desc,
                     uint32_t desc_size)
{
    if (type != XEN_PHYS32_ENTRY || name_size != 4 || memcmp(name, "Xen", 4) ||
        (desc_size != 4 && desc_size != 8))
        return;
    image->pvh = true;
    image->pvh_entry = desc_size == 8 ? image_le64(desc) : image_le32(desc);
}

static int elf_notes(struct ax_image_probe *probe, unsigned i,
                     const struct elf_phdr *ph)
{
    const uint64_t align = ph->align == 8 ? 8 : 4;
    const uint64_t len =
        ph->file_size < ELF_NOTES_MAX ? ph->file_size : ELF_NOTES_MAX;
    uint8_t buf[ELF_NOTES_MAX];
    uint64_t at = 0;
    int err = elf_check_file(probe, i, ph);

    if (!err)
        err = ax_source_read(probe->src, ph->off, buf, len);
    while (!err && len - at >= sizeof(Elf32_Nhdr)) {
        const uint8_t *h = buf + at;
        const uint64_t name = at + sizeof(Elf32_Nhdr),
                       name_size = image_le32(h), desc_size = image_le32(h + 4),
                       desc = ax_align_up(name + name_size, align);

        if (!ax_range_within(desc, desc_size, 0, len))
            break; /* a broken note cannot be skipped: no more of them */
        elf_note(probe->out, image_le32(h + 8), buf + name, (uint32_t)name_size,
                 buf + desc, (uint32_t)desc_size);
        at = ax_align_up(desc + desc_size, align);
        if (at > len)
            break;
    }
    return err;
}

/*
 * Kernels linked high give a virtual entry point. The segment that holds it
 * tells where it lies physically.
 */
static uint64_t elf_entry_physical(const struct elf_phdr *ph, uint64_t entry)
{
    return ph->paddr + (entry - ph->vaddr);
}

int ax_image_probe_elf(struct ax_image_probe *probe)
{
    struct ax_image *image = probe->out;
    struct elf_file elf = {0};
    bool by_vaddr = false;
    int err = elf_header(probe, &elf);

    if (err)
        return err;
    image->entry = elf.entry;
    for (unsigned i = 0; i < elf.phnum; i++) {
        struct elf_phdr ph;

        err = elf_phdr_read(probe, &elf, i, &ph);
        if (!err && ph.type == PT_LOAD)
            err = elf_load_segment(probe, i, &ph);
        else if (!err && ph.type == PT_NOTE)
            err = elf_notes(probe, i, &ph);
        if (err)
            return err;
        if (ph.type == PT_LOAD && !by_vaddr &&
            ax_range_within(elf.entry, 1, ph.vaddr, ph.mem_size)) {
            image->entry = elf_entry_physical(&ph, elf.entry);
            by_vaddr = true;
        }
    }
    if (!image->segment_count)
        return ax_image_refuse(probe, "ELF has nothing to load");
    if (image->pvh && (image->pvh_entry > UINT32_MAX ||
                       !ax_image_holds(image, image->pvh_entry)))
        return ax_image_refuse(probe,
                               "PVH entry %#" PRIx64 " is outside the image",
                               image->pvh_entry);
    if (!ax_image_holds(image, image->entry) && !image->pvh)
        return ax_image_refuse(
            probe, "ELF entry point %#" PRIx64 " is outside its segments",
            image->entry);
    return 0;
}
