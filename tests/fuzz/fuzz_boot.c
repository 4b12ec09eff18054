/*
 * fuzz_boot.c - plan and boot of the x86_64 machine over any image. The first
 * eight bytes choose what a configuration would say, the rest is the kernel.
 */
#include "arch/arch.h"
#include "arch/x86_64/regs.h"
#include "fuzz/input.h"
#include "memory/memory.h"
#include "vmm/config.h"
#include "vmm/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KNOBS = 8 };

/* Bits of the first knob. */
enum {
    AXVISOR = 0x01,
    ENTRY = 0x02,
    LOAD = 0x04,
    CMDLINE = 0x08,
    INITRD = 0x10,
    INITRD_LOAD = 0x20,
};

/* An initrd is a file; this one has no name on any disk. */
static char *initrd_path(void)
{
    static char path[64];

    if (!path[0]) {
        int fd = memfd_create("initrd", MFD_CLOEXEC);

        if (fd < 0 || ftruncate(fd, 9000))
            abort();
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    return path;
}

static void configure(const uint8_t *knob, struct ax_config *conf)
{
    static char file[] = "fuzz.toml", cmdline[] = "console=ttyS0";

    *conf = (struct ax_config){
        .file = file,
        .memory = AX_MIB(4),
        .cpu_num = knob[4] % AX_CPUS_MAX + 1,
        .axvisor = knob[0] & AXVISOR,
        .protocol = knob[1] % AX_BOOT_UEFI, /* without firmware */
        .entry_mode = knob[2] % (AX_ENTRY_LONG + 1),
        .irqchip = knob[3] % (AX_IRQCHIP_NONE + 1),
        .entry = {knob[0] & ENTRY, (uint64_t)knob[5] << 12, {0, 0}},
        .kernel_load = {knob[0] & LOAD, (uint64_t)knob[6] << 12, {0, 0}},
        .initrd_load = {knob[0] & INITRD_LOAD, (uint64_t)knob[7] << 14, {0, 0}},
        .cmdline = knob[0] & CMDLINE ? cmdline : NULL,
        .initrd.path = knob[0] & INITRD ? initrd_path() : NULL,
    };
    for (unsigned i = 0; i < conf->cpu_num; i++)
        conf->cpu_ids[i] = i;
}

/* What a successful boot points the CPU at must be guest memory. */
static void check(const struct ax_start *start, const struct ax_memory *mem)
{
    if (start->count > AX_START_REGS || !start->what[0] ||
        strlen(start->what) >= sizeof(start->what))
        abort();
    for (unsigned i = 0; i < start->count; i++) {
        const uint64_t val = start->regs[i].val;
        uint64_t len = 0;

        switch (start->regs[i].reg) {
        case AX_X86_CR3:
            len = 0x6000;
            break;
        case AX_X86_RSI:
            len = 0x1000;
            break;
        case AX_X86_GDT_BASE:
            len = 32;
            break;
        default:
            break;
        }
        if (len && !ax_memory_at(mem, val, len, AX_PROT_WRITE))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ax_memory mem = {
        .count = 1,
        .regions = {{
            .size = AX_MIB(4),
            .hva = aligned_alloc(4096, AX_MIB(4)),
            .fd = -1,
        }},
    };
    struct ax_config conf;
    struct ax_start start;
    struct ax_source src;
    struct ax_plan plan;

    if (size > KNOBS && mem.regions[0].hva) {
        configure(data, &conf);
        ax_source_memory("fuzz", data + KNOBS, size - KNOBS, &src);
        if (ax_arch_x86_64.plan(&conf, NULL, &plan))
            abort();
        plan.kernel_override = &src;
        if (!ax_arch_x86_64.boot(&plan, NULL, &mem, &start, NULL, NULL))
            check(&start, &mem);
    }
    free(mem.regions[0].hva);
    return 0;
}
