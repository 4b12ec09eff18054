/*
 * config_devices.c - what of [devices] a process can honour, and what it does
 * instead where it cannot.
 *
 * A process has no host device to give away: AxVisor's passthrough is replaced
 * by the emulated board or by nothing, and each row says which. Nothing is
 * accepted silently. Called once by config_check.c.
 */
#include "vmm/config_impl.h"

#include <string.h>

enum { TEXT_MAX = 512 };

static bool is_arch(const struct conf_load *load, const char *arch)
{
    return load->conf->arch && !strcmp(load->conf->arch, arch);
}

/* ---- emulated devices ---- */

static const char ivc_later[] =
    "inter-VM channels are not implemented in this version; the device is "
    "absent";
static const char own_gic[] =
    "passes on the host's interrupt controller; the emulated board's own GIC "
    "takes its place";
static const char own_plic[] =
    "passes on the host's interrupt controller; the emulated board's own PLIC "
    "takes its place";

/* AxVisor's numbers and names. */
static const struct emu_kind {
    uint64_t type;
    const char *name;
    const char *arch;    /* NULL: any */
    const char *instead; /* NULL: it is there */
    uint64_t base;       /* where it always stands; 0: where the row says */
} emu_kinds[] = {
    {AX_EMU_DUMMY, "Dummy", NULL, NULL, 0},
    {AX_EMU_INTERRUPT_CONTROLLER, "InterruptController", NULL, NULL, 0},
    {AX_EMU_CONSOLE, "Console", NULL, NULL, 0},
    {AX_EMU_FW_CFG, "FwCfg", "loongarch64", NULL, 0},
    {AX_EMU_IVC_CHANNEL, "IVCChannel", NULL, ivc_later, 0},
    {AX_EMU_GPPT_REDISTRIBUTOR, "GPPTRedistributor", "aarch64", own_gic, 0},
    {AX_EMU_GPPT_DISTRIBUTOR, "GPPTDistributor", "aarch64", own_gic, 0},
    {AX_EMU_GPPT_ITS, "GPPTITS", "aarch64", own_gic, 0},
    {AX_EMU_X86_IOAPIC, "X86IoApic", "x86_64", NULL, 0xfec00000},
    {AX_EMU_X86_PIT, "X86Pit", "x86_64", NULL, 0x40},
    {AX_EMU_LOONGARCH_PCH_PIC, "LoongArchPchPic", "loongarch64", NULL, 0},
    {AX_EMU_PPPT_GLOBAL, "PPPTGlobal", "riscv64", own_plic, 0},
    {AX_EMU_VIRTIO_BLK, "VirtioBlk", NULL, NULL, 0},
    {AX_EMU_VIRTIO_NET, "VirtioNet", NULL, NULL, 0},
    {AX_EMU_VIRTIO_CONSOLE, "VirtioConsole", NULL, NULL, 0},
};

static void say_unknown_type(struct conf_load *load,
                             const struct ax_config_emu *emu)
{
    char list[TEXT_MAX] = "one of";
    size_t n = strlen(list);

    for (unsigned i = 0; i < AX_ARRAY_LEN(emu_kinds) && n < sizeof(list); i++)
        n += (size_t)snprintf(
            list + n, sizeof(list) - n, "%s %#llx %s", i ? "," : "",
            (unsigned long long)emu_kinds[i].type, emu_kinds[i].name);
    ax_config_say(load, AX_SEVERITY_ERROR, emu->pos,
                  &(struct conf_hint){.expected = list},
                  "unknown emulated device type value: %llu (%#llx)",
                  (unsigned long long)emu->type, (unsigned long long)emu->type);
}

static void check_emu(struct conf_load *load, const struct ax_config_emu *emu)
{
    const struct emu_kind *kind = NULL;

    for (unsigned i = 0; i < AX_ARRAY_LEN(emu_kinds); i++) {
        if (emu_kinds[i].type == emu->type)
            kind = &emu_kinds[i];
    }
    if (!kind)
        say_unknown_type(load, emu);
    else if (kind->arch && !is_arch(load, kind->arch))
        ax_config_say(load, AX_SEVERITY_ERROR, emu->pos, NULL,
                      "emulated device '%.64s' (%s) is not supported on %s",
                      emu->name, kind->name, load->conf->arch);
    else if (kind->instead)
        ax_config_say(load, AX_SEVERITY_WARNING, emu->pos, NULL,
                      "emulated device '%.64s' (%s): %s", emu->name, kind->name,
                      kind->instead);
    else if (kind->base && emu->base != kind->base)
        ax_config_say(load, AX_SEVERITY_WARNING, emu->pos, NULL,
                      "emulated device '%.64s' (%s): stands at %#llx, not at "
                      "%#llx",
                      emu->name, kind->name, (unsigned long long)kind->base,
                      (unsigned long long)emu->base);
}

/* ---- passthrough ---- */

static const char all_ones[] = "host devices are out of reach for a process; "
                               "reads give all ones, writes are lost";
static const char alternatives[] =
    "use a device of the emulated board, or leave the row out; handing over a "
    "host device needs VFIO, which this version does not have";

/* What answers on x86_64 where a guest may expect the host's device. */
static const struct known_range {
    enum ax_space space;
    uint64_t base, length;
    const char *instead;
} known_ranges[] = {
    {AX_SPACE_MMIO, 0xfec00000, 0x1000, "the emulated I/O APIC answers there"},
    {AX_SPACE_MMIO, 0xfee00000, 0x1000, "the guest's local APIC answers there"},
    {AX_SPACE_MMIO, 0xfed00000, 0x1000,
     "there is no HPET: reads give all ones, so that guests use another timer"},
    {AX_SPACE_PORT, 0x20, 2, "the emulated PIC answers there"},
    {AX_SPACE_PORT, 0xa0, 2, "the emulated PIC answers there"},
    {AX_SPACE_PORT, 0x40, 4, "the emulated PIT answers there"},
    {AX_SPACE_PORT, 0x70, 2, "the emulated clock answers there"},
    {AX_SPACE_PORT, 0x3f8, 8, "the emulated serial port answers there"},
};

static const char *what_instead(const struct conf_load *load,
                                enum ax_space space, uint64_t base,
                                uint64_t length)
{
    const struct ax_config *conf = load->conf;

    for (unsigned i = 0; i < AX_ARRAY_LEN(known_ranges); i++) {
        const struct known_range *known = &known_ranges[i];

        if (known->space == space && is_arch(load, "x86_64") &&
            ax_range_within(base, length, known->base, known->length))
            return known->instead;
    }
    for (unsigned i = 0; space == AX_SPACE_MMIO && i < conf->region_count;
         i++) {
        if (ax_range_overlaps(base, length, conf->regions[i].gpa,
                              conf->regions[i].size))
            return "guest memory answers there";
    }
    return NULL;
}

static void say_range(struct conf_load *load, struct ax_pos at,
                      const char *what, enum ax_space space, uint64_t base,
                      uint64_t length)
{
    const char *instead = what_instead(load, space, base, length);
    struct conf_hint hint = {0};

    if (!instead && !load->told_alternatives) {
        load->told_alternatives = true;
        hint.help = alternatives;
    }
    ax_config_say(load, AX_SEVERITY_WARNING, at, &hint, "%s at %#llx: %s", what,
                  (unsigned long long)base, instead ? instead : all_ones);
}

/* "/" or "/path" and nothing else: nodes of the host's device tree. */
static bool is_discovery(const struct ax_config_passthrough *dev)
{
    return dev->name[0] == '/' && !dev->gpa && !dev->hpa && !dev->length &&
           !dev->irq;
}

static void check_device(struct conf_load *load,
                         const struct ax_config_passthrough *dev)
{
    char what[TEXT_MAX];

    snprintf(what, sizeof(what), "passthrough device %.64s", dev->name);
    if (!dev->length)
        ax_config_say(load, AX_SEVERITY_ERROR, dev->pos,
                      &(struct conf_hint){.help = "only paths of the host's "
                                                  "device tree, such as "
                                                  "[\"/\"], go without"},
                      "%s has zero length", what);
    else if (dev->length > CONF_GPA_END ||
             dev->gpa > CONF_GPA_END - dev->length)
        ax_config_say(load, AX_SEVERITY_ERROR, dev->pos, NULL,
                      "%s reaches beyond 52 address bits", what);
    else
        say_range(load, dev->pos, what, AX_SPACE_MMIO, dev->gpa, dev->length);
}

static void check_devices(struct conf_load *load)
{
    const struct ax_config *conf = load->conf;
    bool told = false;

    for (unsigned i = 0; i < conf->passthrough_count; i++) {
        const struct ax_config_passthrough *dev = &conf->passthrough[i];

        if (!is_discovery(dev)) {
            check_device(load, dev);
        } else if (!told) {
            told = true;
            ax_config_say(load, AX_SEVERITY_WARNING, dev->pos, NULL,
                          "passthrough device %.64s: the host's device tree is "
                          "out of reach for a process; the guest gets the "
                          "emulated board instead",
                          dev->name);
        }
    }
}

/* what: "passthrough port range"; end: one past the last address of space. */
static void check_ranges(struct conf_load *load, const char *what,
                         enum ax_space space, uint64_t end,
                         const struct ax_config_range *ranges, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct ax_config_range *range = &ranges[i];

        if (!range->length)
            ax_config_say(load, AX_SEVERITY_ERROR, range->pos, NULL,
                          "%s has zero length", what);
        else if (range->length > end || range->base > end - range->length)
            ax_config_say(load, AX_SEVERITY_ERROR, range->pos, NULL,
                          "%s overflows: base=%#llx, length=%#llx", what,
                          (unsigned long long)range->base,
                          (unsigned long long)range->length);
        else
            say_range(load, range->pos, what, space, range->base,
                      range->length);
    }
}

/* ---- modes ---- */

static void check_modes(struct conf_load *load)
{
    const struct ax_config *conf = load->conf;

    if (conf_has(load, KEY_INTERRUPT_MODE) &&
        conf->interrupt_mode == AX_IRQ_MODE_PT)
        ax_config_say(load, AX_SEVERITY_WARNING,
                      load->given[KEY_INTERRUPT_MODE].val, NULL,
                      "interrupt_mode \"passthrough\": host interrupts are out "
                      "of reach for a process; interrupts are emulated "
                      "instead");
    if (conf_has(load, KEY_INTERRUPT_MODE) &&
        conf->interrupt_mode == AX_IRQ_MODE_NONE &&
        conf->irqchip != AX_IRQCHIP_NONE)
        ax_config_say(load, AX_SEVERITY_NOTE,
                      load->given[KEY_INTERRUPT_MODE].val,
                      &(struct conf_hint){.help = "[cpu] irqchip = \"none\" "
                                                  "leaves them out"},
                      "interrupt_mode \"no_irq\": the emulated board has its "
                      "interrupt controllers all the same");
    if (conf_has(load, KEY_ADDRESS_SPACE_POLICY) &&
        conf->address_space_policy == AX_ASPACE_PASSTHROUGH)
        ax_config_say(load, AX_SEVERITY_WARNING,
                      load->given[KEY_ADDRESS_SPACE_POLICY].val, NULL,
                      "address_space_policy \"passthrough\": host addresses "
                      "are out of reach for a process; only guest memory and "
                      "emulated devices are there, as with \"virtualized\"");
    if (conf_has(load, KEY_EXCLUDED_DEVICES) && conf->excluded[0])
        ax_config_say(load, AX_SEVERITY_WARNING,
                      load->given[KEY_EXCLUDED_DEVICES].val, NULL,
                      "excluded_devices has no effect: no host device is "
                      "passed through");
}

void ax_config_check_devices(struct conf_load *load)
{
    const struct ax_config *conf = load->conf;

    check_modes(load);
    for (unsigned i = 0; conf_has(load, KEY_EMU_DEVICES) && i < conf->emu_count;
         i++)
        check_emu(load, &conf->emu[i]);
    if (conf_has(load, KEY_PASSTHROUGH_DEVICES))
        check_devices(load);
    if (conf_has(load, KEY_PASSTHROUGH_ADDRESSES))
        check_ranges(load, "passthrough address range", AX_SPACE_MMIO,
                     CONF_GPA_END, conf->windows, conf->window_count);
    if (conf_has(load, KEY_PASSTHROUGH_PORTS))
        check_ranges(load, "passthrough port range", AX_SPACE_PORT, 0x10000,
                     conf->ports, conf->port_count);
}
