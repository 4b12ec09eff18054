/*
 * elfcore.c - the layout of a core file.
 *
 * A reader that looks for an address takes the first segment that has it (gdb),
 * so no two say different things of one address. Without paging a region's
 * virtual address is its physical one. With paging virtual addresses are the
 * guest's own and nothing else: what it has not mapped is not there, address 0
 * above all; the regions stand aside, at AX_ELFCORE_PHYSICAL. crash(8) goes by
 * p_paddr.
 */
#include "vmm/elfcore.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 4096, NOTE_ALIGN = 4 };

static_assert(1 + AX_MEMORY_REGIONS + AX_ELFCORE_RUNS < PN_XNUM,
              "e_phnum holds the number of segments");

/* Linux's struct elf_prstatus of 64 bits, up to pr_reg and after it. */
struct prstatus {
    int32_t signo, code, err;
    int16_t cursig;
    int16_t pad;
    uint64_t sigpend, sighold;
    int32_t pid, ppid, pgrp, sid;
    uint64_t times[8];
};

static_assert(sizeof(struct prstatus) == 112, "offset of pr_reg");

struct prstatus_tail {
    int32_t fpvalid;
    int32_t pad;
};

/* ---- runs ---- */

static struct ax_elfcore_run *runs_new(struct ax_elfcore_runs *runs)
{
    struct ax_elfcore_run *more;

    if (runs->count == AX_ELFCORE_RUNS_SEEN) {
        runs->err = -E2BIG;
        return NULL;
    }
    if (runs->count == runs->room) {
        const unsigned room = runs->room ? 2 * runs->room : 64;

        more = realloc(runs->runs, room * sizeof(*more));
        if (!more) {
            runs->err = -ENOMEM;
            return NULL;
        }
        runs->runs = more;
        runs->room = room;
    }
    return &runs->runs[runs->count++];
}

/* After address 2^64 - 1 comes no other: the walk begins there anew. */
static bool runs_join(struct ax_elfcore_runs *runs,
                      const struct ax_elfcore_run *next)
{
    struct ax_elfcore_run *last =
        runs->count ? &runs->runs[runs->count - 1] : NULL;

    if (!last || !next->va || last->va + last->size != next->va ||
        last->gpa + last->size != next->gpa || last->region != next->region)
        return false;
    last->size += next->size;
    return true;
}

int ax_elfcore_add(struct ax_elfcore_runs *runs, const struct ax_mapping *page)
{
    for (unsigned i = 0; !runs->err && i < runs->mem->count; i++) {
        const struct ax_region *r = &runs->mem->regions[i];
        const uint64_t begin = page->gpa > r->gpa ? page->gpa : r->gpa;
        const uint64_t page_end = page->gpa + page->size;
        const uint64_t end = r->gpa + r->size;
        struct ax_elfcore_run run, *new;

        if (!ax_range_overlaps(page->gpa, page->size, r->gpa, r->size))
            continue;
        run = (struct ax_elfcore_run){
            .va = page->va + (begin - page->gpa),
            .size = (page_end < end ? page_end : end) - begin,
            .gpa = begin,
            .region = i,
        };
        if (runs_join(runs, &run))
            continue;
        new = runs_new(runs);
        if (new)
            *new = run;
    }
    return runs->err;
}

static int by_size(const void *a, const void *b)
{
    const struct ax_elfcore_run *x = a, *y = b;

    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->va < y->va ? -1 : x->va > y->va;
}

static int by_address(const void *a, const void *b)
{
    const struct ax_elfcore_run *x = a, *y = b;

    return x->va < y->va ? -1 : x->va > y->va;
}

unsigned ax_elfcore_choose(struct ax_elfcore_runs *runs)
{
    const unsigned count = runs->count;

    if (count > AX_ELFCORE_RUNS) {
        qsort(runs->runs, count, sizeof(*runs->runs), by_size);
        runs->count = AX_ELFCORE_RUNS;
    }
    if (runs->count)
        qsort(runs->runs, runs->count, sizeof(*runs->runs), by_address);
    return count;
}

void ax_elfcore_runs_fini(struct ax_elfcore_runs *runs)
{
    free(runs->runs);
    runs->runs = NULL;
    runs->count = runs->room = 0;
}

/* ---- notes ---- */

/* Adds up sizes where there is no buffer yet. */
struct out {
    char *data;
    uint64_t size;
};

static void out_put(struct out *out, const void *data, uint64_t size)
{
    if (out->data)
        memcpy(out->data + out->size, data, size);
    out->size += size;
}

/* The buffer is zero to begin with. */
static void out_align(struct out *out, uint64_t align)
{
    out->size = ax_align_up(out->size, align);
}

static void put_note(struct out *out, const char *name, uint32_t type,
                     uint64_t size)
{
    const Elf64_Nhdr head = {
        .n_namesz = (uint32_t)strlen(name) + 1,
        .n_descsz = (uint32_t)size,
        .n_type = type,
    };

    out_put(out, &head, sizeof(head));
    out_put(out, name, head.n_namesz);
    out_align(out, NOTE_ALIGN);
}

static void put_prstatus(struct out *out, const struct ax_elfcore *core,
                         unsigned id)
{
    const struct prstatus head = {.pid = (int32_t)id + 1};
    const struct prstatus_tail tail = {.fpvalid = 0};
    const uint64_t regs_size = core->ops->reg_count * sizeof(uint64_t);

    put_note(out, "CORE", NT_PRSTATUS, sizeof(head) + regs_size + sizeof(tail));
    out_put(out, &head, sizeof(head));
    out_put(out, core->cpus[id].regs, regs_size);
    out_put(out, &tail, sizeof(tail));
}

static void put_notes(struct out *out, const struct ax_elfcore *core)
{
    for (unsigned i = 0; i < core->cpu_count; i++)
        put_prstatus(out, core, i);
    for (unsigned i = 0; i < core->cpu_count; i++) {
        put_note(out, core->ops->state_name, 0, core->ops->state_size);
        out_put(out, core->cpus[i].state, core->ops->state_size);
        out_align(out, NOTE_ALIGN);
    }
}

/* ---- segments ---- */

static void put_load(struct out *out, uint64_t off, uint64_t va, ax_gpa gpa,
                     uint64_t size)
{
    const Elf64_Phdr ph = {
        .p_type = PT_LOAD,
        .p_flags = PF_R | PF_W | PF_X,
        .p_offset = off,
        .p_vaddr = va,
        .p_paddr = gpa,
        .p_filesz = size,
        .p_memsz = size,
        .p_align = PAGE_BYTES,
    };

    out_put(out, &ph, sizeof(ph));
}

static bool core_paged(const struct ax_elfcore *core)
{
    return core->cpu_count && core->cpus[0].paged;
}

static void put_loads(struct out *out, const struct ax_elfcore *core,
                      uint64_t head_size)
{
    const uint64_t aside = core_paged(core) ? AX_ELFCORE_PHYSICAL : 0;
    uint64_t offs[AX_MEMORY_REGIONS] = {0};
    uint64_t off = head_size;

    for (unsigned i = 0; i < core->mem->count; i++) {
        const struct ax_region *r = &core->mem->regions[i];

        put_load(out, off, aside + r->gpa, r->gpa, r->size);
        offs[i] = off;
        off += r->size;
    }
    for (unsigned i = 0; i < core->run_count; i++) {
        const struct ax_elfcore_run *run = &core->runs[i];

        put_load(out,
                 offs[run->region] +
                     (run->gpa - core->mem->regions[run->region].gpa),
                 run->va, run->gpa, run->size);
    }
}

static unsigned core_segments(const struct ax_elfcore *core)
{
    return 1 + core->mem->count + core->run_count;
}

static void put_ehdr(struct out *out, const struct ax_elfcore *core)
{
    const Elf64_Ehdr eh = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                    EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = (uint16_t)core->ops->machine,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(eh),
        .e_ehsize = sizeof(eh),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (uint16_t)core_segments(core),
    };

    out_put(out, &eh, sizeof(eh));
}

int ax_elfcore_head(const struct ax_elfcore *core, void **head, uint64_t *size)
{
    const uint64_t notes_at =
        sizeof(Elf64_Ehdr) + core_segments(core) * sizeof(Elf64_Phdr);
    struct out out = {.data = NULL};
    Elf64_Phdr note = {
        .p_type = PT_NOTE,
        .p_offset = notes_at,
        .p_align = NOTE_ALIGN,
    };

    put_notes(&out, core);
    note.p_filesz = out.size;
    *size = ax_align_up(notes_at + out.size, PAGE_BYTES);
    out = (struct out){.data = calloc(1, *size)};
    *head = out.data;
    if (!out.data)
        return -ENOMEM;
    put_ehdr(&out, core);
    out_put(&out, &note, sizeof(note));
    put_loads(&out, core, *size);
    put_notes(&out, core);
    return 0;
}
