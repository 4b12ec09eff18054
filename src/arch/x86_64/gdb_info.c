/*
 * gdb_info.c - "monitor info" of an x86 vCPU: its registers, and what its page
 * tables say. Interrupts are in gdb_irq.c.
 */
#include "arch/x86_64/bits.h"
#include "arch/x86_64/gdb.h"
#include "arch/x86_64/machine.h"
#include "arch/x86_64/mode.h"
#include "arch/x86_64/regs.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { INFO_LINES = 4096, REG_BYTES = 16 };

/* ---- registers ---- */

static const struct ax_gdb_ops *names(void)
{
    return ax_x86_gdb[0];
}

static unsigned reg_named(const char *name)
{
    unsigned reg = 0;

    while (reg < names()->reg_count && strcmp(names()->reg_name(reg), name))
        reg++;
    return reg;
}

/* Those that the engine has, from first to last, some to a line. */
static void print_regs(const struct ax_x86_info *info, const char *first,
                       const char *last, unsigned per_line)
{
    const unsigned end = reg_named(last);
    unsigned column = 0;

    for (unsigned reg = reg_named(first); reg <= end; reg++) {
        uint8_t val[REG_BYTES];

        if (names()->reg_get(info->ops, info->vcpu, reg, val))
            continue;
        fprintf(info->to, "%s%-12s ", column ? "  " : "",
                names()->reg_name(reg));
        for (unsigned i = names()->reg_size(reg); i-- > 0;)
            fprintf(info->to, "%02x", val[i]);
        column = (column + 1) % per_line;
        if (!column)
            fputc('\n', info->to);
    }
    if (column)
        fputc('\n', info->to);
}

static void print_mxcsr(const struct ax_x86_info *info)
{
#define MXCSR_BIT(bit, name) {1U << (bit), #name},
    static const struct {
        uint32_t bit;
        const char *name;
    } bits[] = {AX_X86_MXCSR_BITS(MXCSR_BIT)};
    const char *separator = "";
    uint8_t buf[REG_BYTES];
    uint32_t val;

    if (names()->reg_get(info->ops, info->vcpu, reg_named("mxcsr"), buf))
        return;
    val = buf[0] | (uint32_t)buf[1] << 8;
    fprintf(info->to, "mxcsr        %08x  [", val);
    for (size_t i = 0; i < AX_ARRAY_LEN(bits); i++) {
        if (val & bits[i].bit) {
            fprintf(info->to, "%s%s", separator, bits[i].name);
            separator = " ";
        }
    }
    fprintf(info->to, "]\n");
}

/* The one that gdb is not told of (gdb_regs.h). */
static void print_tsc(const struct ax_x86_info *info)
{
    uint64_t tsc;

    if (!info->ops->reg_get(info->vcpu, AX_X86_TSC, &tsc))
        fprintf(info->to, "tsc          %016" PRIx64 "\n", tsc);
}

static void print_line(void *ctx, const char *text)
{
    fprintf(ctx, "%s\n", text);
}

int ax_x86_info_registers(const struct ax_x86_info *info)
{
    ax_x86_dump(info->ops, info->vcpu, info->mem, NULL, 0, print_line,
                info->to);
    print_regs(info, "dr0", "dr7", 3);
    print_regs(info, "xcr0", "tsc_aux", 2);
    print_regs(info, "k_gs_base", "k_gs_base", 1);
    print_tsc(info);
    print_regs(info, "fctrl", "fop", 4);
    print_regs(info, "st0", "st7", 2);
    print_mxcsr(info);
    print_regs(info, "xmm0", "xmm15", 2);
    print_regs(info, "ymm0h", "ymm15h", 2);
    return 0;
}

/* ---- mappings ---- */

static const char *size_name(uint64_t size)
{
    switch (size) {
    case AX_KIB(4):
        return "4 KiB";
    case AX_MIB(2):
        return "2 MiB";
    case AX_MIB(4):
        return "4 MiB";
    default:
        return "1 GiB";
    }
}

static void print_rights(FILE *to, const struct ax_mapping *page)
{
    fprintf(to, "r%c%c %s", page->prot & AX_PROT_WRITE ? 'w' : '-',
            page->prot & AX_PROT_EXEC ? 'x' : '-',
            page->user ? "user  " : "kernel");
}

/* Lines of mappings, each of which may grow. */
struct list {
    FILE *to;
    unsigned lines;
    struct ax_mapping range; /* size 0: none yet */
    uint64_t page;           /* size of each of its pages */
    bool straight;           /* its physical addresses are in a row too */
};

static void print_range(const struct list *list)
{
    const struct ax_mapping *r = &list->range;

    if (!r->size)
        return;
    fprintf(list->to, "%016" PRIx64 "-%016" PRIx64 "  ", r->va,
            r->va + (r->size - 1));
    print_rights(list->to, r);
    fprintf(list->to, "  %s pages", size_name(list->page));
    if (list->straight)
        fprintf(list->to, "  at %" PRIx64, r->gpa);
    fputc('\n', list->to);
}

/* Can page continue the range? A range ends where it would wrap. */
static bool continues(const struct list *list, const struct ax_mapping *page)
{
    const struct ax_mapping *r = &list->range;

    return r->size && page->va && r->va + r->size == page->va &&
           r->prot == page->prot && r->user == page->user &&
           list->page == page->size;
}

static bool list_range(void *ctx, const struct ax_mapping *page)
{
    struct list *list = ctx;
    struct ax_mapping *r = &list->range;

    if (continues(list, page)) {
        list->straight = list->straight && r->gpa + r->size == page->gpa;
        r->size += page->size;
        return true;
    }
    if (list->lines == INFO_LINES)
        return false;
    print_range(list);
    *r = *page;
    list->page = page->size;
    list->straight = true;
    list->lines++;
    return true;
}

static bool list_page(void *ctx, const struct ax_mapping *page)
{
    struct list *list = ctx;

    if (list->lines++ == INFO_LINES)
        return false;
    fprintf(list->to, "%016" PRIx64 " -> %016" PRIx64 "  ", page->va,
            page->gpa);
    print_rights(list->to, page);
    fprintf(list->to, "  %s\n", size_name(page->size));
    return true;
}

static int list_mappings(const struct ax_x86_info *info,
                         bool (*fn)(void *ctx, const struct ax_mapping *page))
{
    struct list list = {.to = info->to};
    struct ax_x86_paging p;
    int err = ax_x86_paging_of(info->ops, info->vcpu, &p);

    if (err)
        return err;
    if (!(p.cr0 & AX_X86_CR0_PG)) {
        fprintf(info->to, "paging is off: addresses are physical\n");
        return 0;
    }
    err = ax_x86_walk(info->mem, &p, fn, &list);
    print_range(&list);
    if (err == -ECANCELED)
        fprintf(info->to, "... and more: this ends after %d lines\n",
                INFO_LINES);
    else if (err)
        fprintf(info->to, "... and more page tables than can be\n");
    else if (!list.lines)
        fprintf(info->to, "nothing is mapped\n");
    return 0;
}

int ax_x86_info_mem(const struct ax_x86_info *info)
{
    return list_mappings(info, list_range);
}

int ax_x86_info_tlb(const struct ax_x86_info *info)
{
    return list_mappings(info, list_page);
}

/* ---- one address ---- */

static const struct {
    uint64_t bit;
    const char *name;
} entry_bits[] = {
    {0x1, "P"},  {0x2, "RW"}, {0x4, "US"},  {0x8, "PWT"}, {0x10, "PCD"},
    {0x20, "A"}, {0x40, "D"}, {0x80, "PS"}, {0x100, "G"},
};

static void print_step(const struct ax_x86_info *info,
                       const struct ax_x86_step *step, bool wide)
{
    static const char *const levels[AX_X86_LEVELS] = {"PTE", "PDE", "PDPTE",
                                                      "PML4E", "PML5E"};

    fprintf(info->to, "%-5s at %016" PRIx64 ":  ", levels[step->level],
            step->gpa);
    if (!step->there) {
        fprintf(info->to, "no memory\n");
        return;
    }
    fprintf(info->to, "%0*" PRIx64 " ", wide ? 16 : 8, step->entry);
    for (size_t i = 0; i < AX_ARRAY_LEN(entry_bits); i++) {
        const bool pat = entry_bits[i].bit == 0x80 && !step->level;

        if (step->entry & entry_bits[i].bit)
            fprintf(info->to, " %s", pat ? "PAT" : entry_bits[i].name);
    }
    fprintf(info->to, "%s\n", wide && step->entry >> 63 ? " XD" : "");
}

/* Why there is no translation at the last step; NULL: none was taken. */
static const char *step_verdict(const struct ax_x86_step *last)
{
    if (!last)
        return "this mode has no such address";
    if (!last->there)
        return "a table that is not in guest memory";
    return last->entry & 1 ? "reserved bits are set" : "not present";
}

int ax_x86_info_address(const struct ax_x86_info *info, uint64_t va)
{
    struct ax_x86_step steps[AX_X86_LEVELS];
    struct ax_mapping page;
    struct ax_x86_paging p;
    unsigned count;
    ax_gpa gpa;
    bool wide;
    int err = ax_x86_paging_of(info->ops, info->vcpu, &p);

    if (err)
        return err;
    if (!(p.cr0 & AX_X86_CR0_PG)) {
        fprintf(info->to, "paging is off: addresses are physical\n");
        return 0;
    }
    wide = p.efer & AX_X86_EFER_LMA || p.cr4 & AX_X86_CR4_PAE;
    count = ax_x86_path(info->mem, &p, va, steps);
    for (unsigned i = 0; i < count; i++)
        print_step(info, &steps[i], wide);
    if (!ax_x86_translate(info->mem, &p, va, &gpa, &page)) {
        fprintf(info->to, "%016" PRIx64 " is not mapped: %s\n", va,
                step_verdict(count ? &steps[count - 1] : NULL));
        return 0;
    }
    fprintf(info->to, "%016" PRIx64 " -> %016" PRIx64 "  ", va, gpa);
    print_rights(info->to, &page);
    fprintf(info->to, "  %s page\n", size_name(page.size));
    return 0;
}

/* ---- topics ---- */

static const struct {
    const char *name;
    int (*print)(const struct ax_x86_info *info);
} topics[] = {
    {"registers", ax_x86_info_registers},
    {"mem", ax_x86_info_mem},
    {"tlb", ax_x86_info_tlb},
    {"lapic", ax_x86_info_lapic},
    {"ioapic", ax_x86_info_ioapic},
    {"irq", ax_x86_info_irq},
};

/* "tlb ADDRESS" */
static bool is_address(const char *topic, uint64_t *va)
{
    const char *text = topic + strlen("tlb ");
    char *end;

    if (strncmp(topic, "tlb ", strlen("tlb ")) || !isdigit((uint8_t)*text))
        return false;
    errno = 0;
    *va = strtoull(text, &end, 0);
    return !errno && !*end;
}

int ax_x86_info(const char *topic, const struct ax_backend_ops *ops,
                struct ax_engine_vcpu *vcpu, const struct ax_memory *mem,
                FILE *to)
{
    const struct ax_x86_info info = {ops, vcpu, mem, to};
    uint64_t va;

    if (is_address(topic, &va))
        return ax_x86_info_address(&info, va);
    for (size_t i = 0; i < AX_ARRAY_LEN(topics); i++) {
        if (!strcmp(topic, topics[i].name))
            return topics[i].print(&info);
    }
    return -EINVAL;
}
