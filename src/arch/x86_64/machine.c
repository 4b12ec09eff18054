/*
 * machine.c - the x86_64 board: from a configuration to memory map, devices
 * and interrupts. Boot is in boot*.c, crash reports in dump.c, debugging in
 * gdb*.c.
 */
#include "arch/x86_64/machine.h"
#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/layout.h"
#include "devices/device.h"
#include "devices/pci.h"
#include "log.h"
#include "vmm/config.h"
#include "vmm/image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PLAN_TEXT = 512, APIC_ID_MAX = 254 };

/* One pass over the configuration; every problem in it is told. */
struct planner {
    const struct ax_config *conf;
    struct ax_log *log;
    struct ax_plan *plan;
    bool failed;
};

__attribute__((format(printf, 4, 5))) static void
plan_tell(struct planner *p, enum ax_log_level level, struct ax_pos pos,
          const char *fmt, ...)
{
    char text[PLAN_TEXT];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (pos.line)
        ax_log(p->log, level, "%s:%u:%u: %s", p->conf->file, pos.line,
               pos.column, text);
    else
        ax_log(p->log, level, "%s: %s", p->conf->file, text);
    if (level == AX_LOG_ERROR)
        p->failed = true;
}

/*
 * Guest-physical pages that memory must leave alone: the board's, and those
 * that an engine needs on CPUs that cannot run real mode by themselves.
 */
static const struct {
    ax_gpa gpa;
    uint64_t size;
    const char *what;
} windows[] = {
    {AX_X86_IOAPIC_ADDR, 0x1000, "I/O APIC"},
    {AX_X86_LAPIC_ADDR, 0x1000, "local APIC"},
    {AX_X86_ENGINE_ADDR, 0x4000, "engine's own pages"},
    {AX_X86_PCI_ADDR, AX_PCI_SLOTS *AX_PCI_PAGE, "PCI bus"},
};

static void plan_check_windows(struct planner *p, struct ax_pos pos, ax_gpa gpa,
                               uint64_t size, const char *what)
{
    const bool pci = p->conf->virtio == AX_VIRTIO_PCI;

    for (size_t i = 0; i < AX_ARRAY_LEN(windows); i++) {
        if (windows[i].gpa == AX_X86_PCI_ADDR && !pci)
            continue;
        if (ax_range_overlaps(gpa, size, windows[i].gpa, windows[i].size))
            plan_tell(p, AX_LOG_ERROR, pos,
                      "%s %#" PRIx64 "-%#" PRIx64 " covers the %s at %#" PRIx64,
                      what, gpa, gpa + size - 1, windows[i].what,
                      windows[i].gpa);
    }
}

/* Keeps regions ascending. The caller has checked for overlaps. */
static bool plan_add_region(struct planner *p, ax_gpa gpa, uint64_t size,
                            enum ax_region_kind kind)
{
    struct ax_plan *plan = p->plan;
    unsigned at = plan->region_count;

    if (at == AX_PLAN_REGIONS)
        return false;
    for (; at && plan->regions[at - 1].gpa > gpa; at--)
        plan->regions[at] = plan->regions[at - 1];
    plan->regions[at] = (struct ax_plan_region){
        .gpa = gpa,
        .size = size,
        .kind = kind,
    };
    plan->region_count++;
    return true;
}

static bool plan_check_region(struct planner *p,
                              const struct ax_config_region *r)
{
    if (r->size && r->size <= AX_X86_GUEST_PHYS_END &&
        r->gpa <= AX_X86_GUEST_PHYS_END - r->size &&
        !((r->gpa | r->size) % AX_KIB(4)))
        return true;
    plan_tell(p, AX_LOG_ERROR, r->pos,
              "memory region of %#" PRIx64 " bytes at %#" PRIx64
              " is not made of pages below %#llx",
              r->size, r->gpa, AX_X86_GUEST_PHYS_END);
    return false;
}

/*
 * memory_regions. config.c has merged what may overlap and rounded as AxVisor
 * does; ranges that touch become one, so that an image may cross the seam.
 */
static void plan_literal_regions(struct planner *p)
{
    const struct ax_config *conf = p->conf;
    struct ax_plan *plan = p->plan;
    unsigned last = 0;

    for (unsigned i = 0; i < conf->region_count; i++) {
        const struct ax_config_region *r = &conf->regions[i];

        if (!plan_check_region(p, r))
            continue;
        plan_check_windows(p, r->pos, r->gpa, r->size, "memory region");
        if (!plan_add_region(p, r->gpa, r->size, AX_REGION_RAM))
            plan_tell(p, AX_LOG_ERROR, r->pos, "more than %d memory regions",
                      AX_PLAN_REGIONS);
    }
    for (unsigned i = 1; i < plan->region_count; i++) {
        struct ax_plan_region *to = &plan->regions[last];
        const struct ax_plan_region *r = &plan->regions[i];
        const ax_gpa end = to->gpa + to->size;

        if (r->gpa > end)
            plan->regions[++last] = *r;
        else if (r->gpa + r->size > end)
            to->size = r->gpa + r->size - to->gpa;
    }
    plan->region_count = plan->region_count ? last + 1 : 0;
}

static uint64_t plan_page_size(const struct ax_config *conf)
{
    switch (conf->hugepages) {
    case AX_HUGEPAGES_2M:
        return AX_MIB(2);
    case AX_HUGEPAGES_1G:
        return AX_GIB(1);
    default:
        return AX_KIB(4);
    }
}

/* [base] memory: up to the device hole, the rest from 4 GiB on. */
static void plan_amount(struct planner *p)
{
    const struct ax_pos nowhere = {0, 0};
    const uint64_t size = ax_align_up(p->conf->memory, plan_page_size(p->conf));
    const uint64_t low = size < AX_X86_HOLE_ADDR ? size : AX_X86_HOLE_ADDR;

    if (!size || size > AX_X86_GUEST_PHYS_END - AX_X86_HOLE_END) {
        plan_tell(p, AX_LOG_ERROR, nowhere,
                  "memory of %#" PRIx64 " bytes is %s", size,
                  size ? "more than an address can reach" : "none");
        return;
    }
    plan_add_region(p, 0, low, AX_REGION_RAM);
    if (size > low)
        plan_add_region(p, AX_X86_HOLE_END, size - low, AX_REGION_RAM);
}

static void plan_check_hugepages(struct planner *p)
{
    const struct ax_pos nowhere = {0, 0};
    const uint64_t page = plan_page_size(p->conf);

    for (unsigned i = 0; i < p->plan->region_count; i++) {
        const struct ax_plan_region *r = &p->plan->regions[i];

        if (r->gpa % page || r->size % page)
            plan_tell(p, AX_LOG_ERROR, nowhere,
                      "memory at %#" PRIx64 " of %#" PRIx64
                      " bytes is not made of whole huge pages of %#" PRIx64,
                      r->gpa, r->size, page);
    }
}

bool ax_x86_has_firmware(const struct ax_config *conf)
{
    return conf->bios.path && conf->protocol != AX_BOOT_DIRECT;
}

/*
 * Firmware lies in RAM, or below 4 GiB in a ROM of its own. Its size is the
 * file's.
 */
static void plan_firmware(struct planner *p)
{
    const struct ax_config *conf = p->conf;
    const ax_gpa at = conf->bios_load.val;
    const struct ax_pos pos = conf->bios_load.pos;
    struct ax_source src;
    uint64_t size;
    int err;

    if (!ax_x86_has_firmware(conf) || !conf->bios_load.given)
        return; /* boot says what is missing */
    err = ax_source_open(conf->bios.path, &src);
    if (err) {
        plan_tell(p, AX_LOG_ERROR, conf->bios.pos, "firmware %s: %s",
                  conf->bios.path, ax_source_strerror(err));
        return;
    }
    size = src.size;
    ax_source_close(&src);
    for (unsigned i = 0; i < p->plan->region_count; i++) {
        const struct ax_plan_region *r = &p->plan->regions[i];

        if (ax_range_within(at, size, r->gpa, r->size))
            return;
    }
    size = ax_align_up(size, AX_KIB(4));
    if (at % AX_KIB(4) || !ax_range_within(at, size, 0, AX_X86_HOLE_END)) {
        plan_tell(p, AX_LOG_ERROR, pos,
                  "firmware of %#" PRIx64 " bytes at %#" PRIx64
                  " must lie in RAM, or page aligned below 4 GiB",
                  size, at);
        return;
    }
    for (unsigned i = 0; i < p->plan->region_count; i++) {
        const struct ax_plan_region *r = &p->plan->regions[i];

        if (ax_range_overlaps(at, size, r->gpa, r->size))
            plan_tell(p, AX_LOG_ERROR, pos,
                      "firmware %#" PRIx64 "-%#" PRIx64
                      " lies partly in the memory at %#" PRIx64,
                      at, at + size - 1, r->gpa);
    }
    plan_check_windows(p, pos, at, size, "firmware");
    if (!p->failed && !plan_add_region(p, at, size, AX_REGION_ROM))
        plan_tell(p, AX_LOG_ERROR, pos, "more than %d memory regions",
                  AX_PLAN_REGIONS);
}

/* When a device of the board is there. */
enum presence {
    ALWAYS,
    IF_DEBUG_EXIT,
    IF_DEBUG_PORT,
    IF_SPLIT,
    IF_PCI,
    UNLESS_PCI
};

/* The speaker's port reads the PIT's state, so the PIT stands before it. */
static const struct {
    const char *type;
    enum ax_space space;
    uint64_t base;
    unsigned irq;
    enum presence when;
} board[] = {
    {"uart16550", AX_SPACE_PORT, AX_X86_PORT_COM1, AX_X86_IRQ_COM1, ALWAYS},
    {"mc146818", AX_SPACE_PORT, AX_X86_PORT_RTC, AX_X86_IRQ_RTC, ALWAYS},
    {"i8042-data", AX_SPACE_PORT, AX_X86_PORT_I8042_DATA, AX_IRQ_NONE, ALWAYS},
    {"i8042", AX_SPACE_PORT, AX_X86_PORT_I8042, AX_IRQ_NONE, ALWAYS},
    {"pvpanic", AX_SPACE_PORT, AX_X86_PORT_PVPANIC, AX_IRQ_NONE, ALWAYS},
    {"acpi_pm", AX_SPACE_PORT, AX_X86_PORT_PM, AX_X86_IRQ_SCI, ALWAYS},
    {"reset_cf9", AX_SPACE_PORT, AX_X86_PORT_RESET, AX_IRQ_NONE, UNLESS_PCI},
    {"pci_host", AX_SPACE_PORT, AX_X86_PORT_PCI, AX_IRQ_NONE, IF_PCI},
    {"pci_io", AX_SPACE_PORT, AX_X86_PORT_PCI_IO, AX_IRQ_NONE, IF_PCI},
    {"pci_mem", AX_SPACE_MMIO, AX_X86_PCI_ADDR, AX_IRQ_NONE, IF_PCI},
    {"debugexit", AX_SPACE_PORT, AX_X86_PORT_DEBUGEXIT, AX_IRQ_NONE,
     IF_DEBUG_EXIT},
    {"debugcon", AX_SPACE_PORT, AX_X86_PORT_DEBUGCON, AX_IRQ_NONE,
     IF_DEBUG_PORT},
    {"ioapic", AX_SPACE_MMIO, AX_X86_IOAPIC_ADDR, AX_IRQ_NONE, IF_SPLIT},
    {"pit8254", AX_SPACE_PORT, AX_X86_PORT_PIT, AX_X86_IRQ_PIT, IF_SPLIT},
    {"pit-speaker", AX_SPACE_PORT, AX_X86_PORT_PIT_SPEAKER, AX_IRQ_NONE,
     IF_SPLIT},
};

static bool plan_present(const struct ax_config *conf, enum presence when)
{
    switch (when) {
    case IF_DEBUG_EXIT:
        return conf->debug_exit;
    case IF_DEBUG_PORT:
        return conf->debug_port;
    case IF_SPLIT:
        return conf->irqchip == AX_IRQCHIP_SPLIT;
    case IF_PCI:
        return conf->virtio == AX_VIRTIO_PCI;
    case UNLESS_PCI:
        return conf->virtio != AX_VIRTIO_PCI;
    default:
        return true;
    }
}

static void plan_devices(struct planner *p)
{
    const bool wired = p->conf->irqchip != AX_IRQCHIP_NONE;
    struct ax_plan *plan = p->plan;

    for (size_t i = 0; i < AX_ARRAY_LEN(board); i++) {
        if (!plan_present(p->conf, board[i].when))
            continue;
        plan->devices[plan->device_count++] = (struct ax_plan_device){
            .type = board[i].type,
            .space = board[i].space,
            .base = board[i].base,
            .irq = wired ? board[i].irq : AX_IRQ_NONE,
        };
    }
}

/* ---- virtio ---- */

/* Each device has a page: of virtio-mmio's, or with its PCI function's. */
enum { GSIS = 24, VIRTIO_MAX = AX_PCI_SLOTS - 1 };

/* What is configured, in the order in which the guest will find it. */
struct virtio_row {
    const char *type;
    const void *conf;
    const struct ax_config_place *place;
    struct ax_pos pos;
};

static unsigned list_virtio(const struct ax_config *conf,
                            struct virtio_row rows[VIRTIO_MAX + 1])
{
    static const struct ax_config_place anywhere;
    const struct ax_pos nowhere = {0, 0};
    unsigned n = 0;

#define ROW(...)                                                               \
    do {                                                                       \
        if (n <= VIRTIO_MAX)                                                   \
            rows[n++] = (struct virtio_row){__VA_ARGS__};                      \
    } while (0)
    for (unsigned i = 0; i < conf->disk_count; i++)
        ROW("virtio_blk", &conf->disks[i].conf, &conf->disks[i].place,
            conf->disks[i].pos);
    for (unsigned i = 0; i < conf->net_count; i++)
        ROW("virtio_net", &conf->nets[i].conf, &conf->nets[i].place,
            conf->nets[i].pos);
    if (conf->vconsole_count) /* its ports are the VM's to open */
        ROW("virtio_console", NULL, &conf->vconsoles[0].place,
            conf->vconsoles[0].pos);
    for (unsigned i = 0; i < conf->share_count; i++)
        ROW("virtio_9p", &conf->shares[i].conf, &conf->shares[i].place,
            conf->shares[i].pos);
    if (conf->vsock.cid)
        ROW("virtio_vsock", &conf->vsock, &anywhere, nowhere);
    if (conf->balloon.enabled)
        ROW("virtio_balloon", &conf->balloon, &anywhere, nowhere);
    if (conf->rng)
        ROW("virtio_rng", NULL, &anywhere, nowhere);
#undef ROW
    return n;
}

static bool is_ram(const struct ax_plan *plan, ax_gpa page)
{
    for (unsigned i = 0; i < plan->region_count; i++) {
        const struct ax_plan_region *r = &plan->regions[i];

        if (ax_range_overlaps(page, AX_DEVICE_PAGE, r->gpa, r->size))
            return true;
    }
    return false;
}

/* A given place: a page that nothing else has, where ACPI can name it. */
static bool plan_check_place(struct planner *p, const struct virtio_row *row)
{
    const ax_gpa base = row->place->base;
    const bool before = p->failed;

    p->failed = false;
    if (base % AX_DEVICE_PAGE ||
        !ax_range_within(base, AX_DEVICE_PAGE, 0, AX_X86_HOLE_END))
        plan_tell(p, AX_LOG_ERROR, row->pos,
                  "%s at %#" PRIx64 ": it needs a whole page below 4 GiB",
                  row->type, base);
    if (is_ram(p->plan, base))
        plan_tell(p, AX_LOG_ERROR, row->pos,
                  "%s at %#" PRIx64 " lies in guest memory", row->type, base);
    plan_check_windows(p, row->pos, base, AX_DEVICE_PAGE, row->type);
    for (unsigned i = 0; i < p->plan->device_count; i++) {
        if (p->plan->devices[i].space == AX_SPACE_MMIO &&
            p->plan->devices[i].base == base)
            plan_tell(p, AX_LOG_ERROR, row->pos,
                      "%s at %#" PRIx64 ": another device is there", row->type,
                      base);
    }
    if (p->failed)
        return false;
    p->failed = before;
    return true;
}

/* The board's next page, past those that rows have asked for. */
static ax_gpa next_page(const struct virtio_row *rows, unsigned count,
                        ax_gpa page)
{
    unsigned i = 0;

    while (i < count) {
        const bool taken = rows[i].place->given && rows[i].place->base == page;

        page += taken ? AX_DEVICE_PAGE : 0;
        i = taken ? 0 : i + 1;
    }
    return page;
}

/* The device's page: where it was asked for, or at the board's. */
static bool plan_page(struct planner *p, const struct virtio_row *row,
                      ax_gpa page)
{
    if (row->place->given)
        return plan_check_place(p, row);
    if (!is_ram(p->plan, page))
        return true;
    /* [rng] is there without having been asked for. */
    plan_tell(p, strcmp(row->type, "virtio_rng") ? AX_LOG_ERROR : AX_LOG_WARN,
              row->pos,
              "no room for %s at %#" PRIx64
              ": guest memory is there, and so the device is not",
              row->type, page);
    return false;
}

/* A line of its own: the wanted one if it is free, else the board's next. */
static unsigned plan_line(struct planner *p, const struct virtio_row *row,
                          bool taken[GSIS])
{
    static const unsigned lines[] = {AX_X86_IRQS_VIRTIO};
    const uint64_t wanted = row->place->irq;

    for (size_t i = 0; i < AX_ARRAY_LEN(lines); i++) {
        if (row->place->given && lines[i] == wanted && !taken[wanted]) {
            taken[wanted] = true;
            return lines[i];
        }
    }
    for (size_t i = 0; i < AX_ARRAY_LEN(lines); i++) {
        if (taken[lines[i]])
            continue;
        if (row->place->given && wanted)
            plan_tell(p, AX_LOG_WARN, row->pos,
                      "%s: interrupt %" PRIu64 " is not free on this board: "
                      "it has %u",
                      row->type, wanted, lines[i]);
        taken[lines[i]] = true;
        return lines[i];
    }
    return AX_IRQ_NONE;
}

/* A guest that is told of a place by AxVisor's rows looks for it there. */
static bool is_on_pci(const struct planner *p, const struct virtio_row *row)
{
    return p->conf->virtio == AX_VIRTIO_PCI && !row->place->given;
}

static bool plan_check_count(struct planner *p, const struct virtio_row *rows,
                             unsigned count)
{
    unsigned lines = 0;

    for (unsigned i = 0; i < count; i++) {
        lines += !is_on_pci(p, &rows[i]);
        if (lines <= AX_X86_VIRTIO_MAX && i < VIRTIO_MAX)
            continue;
        plan_tell(p, AX_LOG_ERROR, rows[i].pos,
                  "more than %u virtio devices, [rng] among them: the board "
                  "has no more %s",
                  i < VIRTIO_MAX ? AX_X86_VIRTIO_MAX : VIRTIO_MAX,
                  i < VIRTIO_MAX ? "interrupts" : "slots");
        return false;
    }
    return true;
}

static void plan_virtio(struct planner *p)
{
    struct virtio_row rows[VIRTIO_MAX + 1];
    const unsigned count = list_virtio(p->conf, rows);
    ax_gpa next = AX_X86_VIRTIO_ADDR;
    bool taken[GSIS] = {false};

    if (p->plan->irqchip == AX_IRQCHIP_NONE) {
        if (count > p->conf->rng) /* which nobody has asked for */
            plan_tell(p, AX_LOG_ERROR, rows[0].pos,
                      "%s needs interrupts, which irqchip = \"none\" leaves "
                      "out",
                      rows[0].type);
        return;
    }
    if (!plan_check_count(p, rows, count))
        return;
    for (unsigned i = 0; i < count; i++) {
        const struct virtio_row *row = &rows[i];
        const bool pci = is_on_pci(p, row);
        const ax_gpa base =
            row->place->given ? row->place->base : next_page(rows, count, next);

        if (!row->place->given)
            next = base + AX_DEVICE_PAGE;
        if (!plan_page(p, row, base))
            continue;
        p->plan->devices[p->plan->device_count++] = (struct ax_plan_device){
            .type = row->type,
            .space = AX_SPACE_MMIO,
            .base = base,
            .irq = pci ? AX_IRQ_NONE : plan_line(p, row, taken),
            .slot = pci ? i + 1 : 0,
            .conf = row->conf,
        };
    }
}

/* config.c has told what of emu_devices is there; only a port is ours to say.
 */
static void plan_console(struct planner *p)
{
    for (unsigned i = 0; i < p->conf->emu_count; i++) {
        const struct ax_config_emu *emu = &p->conf->emu[i];

        if (emu->type == AX_EMU_CONSOLE && emu->base != AX_X86_PORT_COM1)
            plan_tell(p, AX_LOG_WARN, emu->pos,
                      "emulated device \"%s\": the console is COM1 at port "
                      "%#x, not at %#" PRIx64,
                      emu->name, AX_X86_PORT_COM1, emu->base);
    }
}

static void plan_cpus(struct planner *p)
{
    const struct ax_pos nowhere = {0, 0};
    const struct ax_config *conf = p->conf;

    if (!conf->cpu_num || conf->cpu_num > AX_CPUS_MAX) {
        plan_tell(p, AX_LOG_ERROR, nowhere, "%u CPUs: 1 to %d are possible",
                  conf->cpu_num, AX_CPUS_MAX);
        return;
    }
    p->plan->cpus = conf->cpu_num;
    for (unsigned i = 0; i < conf->cpu_num; i++) {
        const uint64_t id = conf->cpu_ids[i];

        p->plan->cpu_ids[i] = id;
        if (id > APIC_ID_MAX)
            plan_tell(p, AX_LOG_ERROR, nowhere,
                      "phys_cpu_ids: %#" PRIx64
                      " is no local APIC id, which go up to %d",
                      id, APIC_ID_MAX);
    }
}

static void plan_features(struct planner *p)
{
    const struct ax_pos nowhere = {0, 0};
    char **const lists[] = {p->conf->cpu_hide, p->conf->cpu_expose};
    static const char *const keys[] = {"hide", "expose"};

    for (size_t i = 0; i < AX_ARRAY_LEN(lists); i++) {
        for (char **name = lists[i]; name && *name; name++) {
            const char *like = ax_cpuid_suggest(*name);

            if (!ax_cpuid_known(*name))
                plan_tell(p, AX_LOG_ERROR, nowhere,
                          "cpu.%s: unknown CPU feature '%s'%s%s%s", keys[i],
                          *name, like ? "; did you mean '" : "",
                          like ? like : "", like ? "'?" : "");
        }
    }
}

static int machine_plan(const struct ax_config *conf, struct ax_log *log,
                        struct ax_plan *plan)
{
    struct planner p = {.conf = conf, .log = log, .plan = plan};

    memset(plan, 0, sizeof(*plan));
    plan->conf = conf;
    plan->irqchip = conf->irqchip;
    plan->pci = conf->virtio == AX_VIRTIO_PCI;
    plan->pci_mem = AX_X86_PCI_ADDR;
    plan->pci_io = AX_X86_PORT_PCI_IO;
    plan_cpus(&p);
    plan_features(&p);
    if (conf->region_count)
        plan_literal_regions(&p);
    else
        plan_amount(&p);
    plan_firmware(&p);
    plan_check_hugepages(&p);
    plan_devices(&p);
    plan_virtio(&p);
    plan_console(&p);
    return p.failed ? -EINVAL : 0;
}

const struct ax_arch ax_arch_x86_64 = {
    .name = "x86_64",
    .plan = machine_plan,
    .boot = ax_x86_boot,
    .dump = ax_x86_dump,
    .core = &ax_x86_core,
    .gdb = ax_x86_gdb,
};
