/*
 * boot_data.c - what every boot protocol hands over: kernel, initrd, command
 * line, firmware tables, memory map.
 */
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/boot.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/mptable.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The console is COM1. A panic that pvpanic does not report resets at once
 * instead of hanging. The check that the timer interrupts at full rate fails
 * now and then on a busy host, and Linux then panics: our wiring is known good.
 */
const char ax_x86_linux_cmdline[] = "console=ttyS0 panic=-1 no_timer_check";

static const struct ax_pos nowhere = {0, 0};

int ax_x86_boot_claim_kernel(struct boot *b, uint64_t delta)
{
    for (unsigned i = 0; i < b->image.segment_count; i++) {
        const struct ax_segment *s = &b->image.segments[i];
        int err = ax_x86_boot_claim(b, b->conf->kernel.pos, s->gpa + delta,
                                    s->mem_size, "kernel");

        if (err)
            return err;
    }
    return 0;
}

int ax_x86_boot_load_kernel(struct boot *b, uint64_t delta)
{
    int err =
        ax_image_load(&b->kernel, &b->image, b->mem, delta, &b->watch, NULL);

    if (err)
        return ax_x86_boot_fail(b, b->conf->kernel.pos, err, "kernel %s %s",
                                b->kernel.name, ax_source_strerror(err));
    return 0;
}

/* An image may lie where our tables go, or there may be no RAM: go without. */
static int boot_acpi(struct boot *b)
{
    uint8_t *p;

    if (!ax_x86_boot_free(b, AX_X86_ACPI_ADDR, AX_X86_ACPI_SIZE)) {
        ax_log(b->log, AX_LOG_INFO,
               "no free RAM at %#x: the guest gets no ACPI tables",
               AX_X86_ACPI_ADDR);
        return 0;
    }
    p = ax_memory_at_load(b->mem, AX_X86_ACPI_ADDR, AX_X86_ACPI_SIZE);
    if (!ax_x86_acpi_build(b->plan, AX_X86_ACPI_ADDR, p, AX_X86_ACPI_SIZE))
        return ax_x86_boot_fail(b, nowhere, -ENOSPC,
                                "ACPI tables take more than %u bytes",
                                AX_X86_ACPI_SIZE);
    b->rsdp = AX_X86_ACPI_ADDR;
    return 0;
}

static int boot_mptable(struct boot *b)
{
    const ax_gpa gpa = ax_x86_mptable_addr(b->plan);
    const uint64_t len = AX_X86_MP_POINTER_ADDR + AX_X86_MP_POINTER_SIZE - gpa;

    if (!ax_x86_boot_free(b, gpa, len)) {
        ax_log(b->log, AX_LOG_INFO,
               "no free RAM at %#" PRIx64 ": the guest gets no MP table", gpa);
        return 0;
    }
    b->mp_table = gpa;
    return ax_x86_mptable_build(b->plan, ax_memory_at_load(b->mem, gpa, len),
                                len);
}

/* What no guest shall take for RAM, and we neither: see ax_x86_boot_place. */
static void boot_claim_range(struct boot *b, ax_gpa gpa, ax_gpa end,
                             const char *what)
{
    b->claims[b->claim_count++] = (struct boot_claim){
        .gpa = gpa,
        .len = end - gpa,
        .what = what,
    };
}

int ax_x86_boot_tables(struct boot *b, const struct ax_e820_range *also)
{
    struct ax_e820_range reserved[2];
    unsigned count = 0;
    ax_gpa top = AX_X86_MP_TABLE_ADDR; /* of conventional memory */
    int err = 0;

    if (b->plan->irqchip != AX_IRQCHIP_NONE) {
        err = boot_acpi(b);
        if (!err)
            err = boot_mptable(b);
    }
    if (err)
        return err;
    if (b->mp_table && b->mp_table < top)
        top = b->mp_table;
    boot_claim_range(b, top, AX_X86_HIGH_RAM_ADDR, "the reserved area");
    if (also)
        reserved[count++] = *also;
    reserved[count++] = (struct ax_e820_range){top, AX_X86_HIGH_RAM_ADDR - top};
    ax_e820_build(b->plan, reserved, count, &b->map);
    return 0;
}

int ax_x86_boot_initrd(struct boot *b, ax_gpa end)
{
    const struct ax_config *conf = b->conf;
    const struct ax_pos pos = conf->initrd.pos;
    const uint64_t len = b->initrd.size;
    char size[BOOT_SIZE_TEXT];
    int err;

    if (!len)
        return 0;
    if (!conf->initrd_load.given) {
        err =
            ax_x86_boot_place_high(b, pos, end, len, "initrd", &b->initrd_gpa);
    } else if (!ax_range_within(conf->initrd_load.val, len, 0, end)) {
        err = ax_x86_boot_fail(
            b, conf->initrd_load.pos, -ENOSPC,
            "initrd of %s at %#" PRIx64 " does not end at or below %#" PRIx64
            ", as the kernel asks",
            ax_x86_boot_size(len, size), conf->initrd_load.val, end);
    } else {
        b->initrd_gpa = conf->initrd_load.val;
        err = ax_x86_boot_claim(b, conf->initrd_load.pos, b->initrd_gpa, len,
                                "initrd");
    }
    if (err)
        return err;
    err = ax_source_copy(&b->initrd, 0, b->mem, b->initrd_gpa, len, &b->watch);
    if (err)
        return ax_x86_boot_fail(b, pos, err, "initrd %s %s", b->initrd.name,
                                ax_source_strerror(err));
    ax_x86_boot_say(b, ", initrd %s at %#" PRIx64, ax_x86_boot_size(len, size),
                    b->initrd_gpa);
    return 0;
}

/* Virtio devices as kernels without ACPI look for them, SIZE@BASE:GSI. */
static void print_virtios(FILE *to, const struct ax_plan *plan)
{
    for (unsigned i = 0; i < plan->device_count; i++) {
        const struct ax_plan_device *dev = &plan->devices[i];

        if (ax_x86_is_virtio(dev))
            fprintf(to, " virtio_mmio.device=%uK@%#" PRIx64 ":%u",
                    AX_DEVICE_PAGE >> 10, dev->base, dev->irq);
    }
}

/* What the guest's command line shall be; free() it. NULL: no memory. */
static char *boot_words(const struct boot *b, const char *text)
{
    char *words = NULL;
    size_t size;
    FILE *to;

    if (!b->conf->virtio_cmdline)
        return strdup(text);
    to = open_memstream(&words, &size);
    if (!to)
        return NULL;
    fputs(text, to);
    print_virtios(to, b->plan);
    if (fclose(to)) {
        free(words);
        return NULL;
    }
    return words;
}

static int boot_place_cmdline(struct boot *b, const char *text, uint64_t max,
                              ax_gpa *gpa)
{
    const size_t len = strlen(text);
    uint8_t *p;
    int err;

    if (len > max)
        return ax_x86_boot_fail(
            b, nowhere, -EFBIG,
            "%s: the command line has %zu bytes, this kernel takes %" PRIu64,
            b->conf->file, len, max);
    err = ax_x86_boot_data(b, gpa, len + 1, "command line", &p);
    if (!err)
        memcpy(p, text, len);
    return err;
}

int ax_x86_boot_cmdline(struct boot *b, const char *fallback, uint64_t max,
                        ax_gpa *gpa)
{
    char *words = boot_words(b, b->conf->cmdline ? b->conf->cmdline : fallback);
    int err;

    if (!words)
        return ax_x86_boot_fail(b, nowhere, -ENOMEM,
                                "no memory for the command line");
    err = boot_place_cmdline(b, words, max, gpa);
    if (!err && !b->conf->cmdline && *words)
        ax_x86_boot_say(b, ", default command line \"%s\"", words);
    free(words);
    return err;
}
