/*
 * gdb_irq.c - "monitor info" of interrupts: the local APIC (Intel SDM 3A,
 * chapter 11), the I/O APIC (82093AA data sheet) and the PICs (8259A), as far
 * as they are the engine's.
 */
#include "arch/x86_64/gdb.h"
#include "arch/x86_64/mode.h"
#include "arch/x86_64/regs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The engine's state; what it has none of it has nothing to tell about. */
static int state_get(const struct ax_x86_info *info, unsigned state, void *buf,
                     size_t size)
{
    int err = -EINVAL;

    if (info->ops->state_get)
        err = info->ops->state_get(info->vcpu, state, buf, size);
    return err == -EINVAL ? -EOPNOTSUPP : err;
}

/* What the entries of local and I/O APIC have in common. */
enum {
    ENTRY_VECTOR = 0xff,
    ENTRY_LOGICAL = 1 << 11,
    ENTRY_PENDING = 1 << 12,
    ENTRY_LOW = 1 << 13,
    ENTRY_REMOTE_IRR = 1 << 14,
    ENTRY_LEVEL = 1 << 15,
    ENTRY_MASKED = 1 << 16,
};

static const char *delivery(uint64_t entry)
{
    static const char *const names[] = {"fixed", "lowest", "SMI",  "mode 3",
                                        "NMI",   "INIT",   "SIPI", "ExtINT"};

    return names[entry >> 8 & 7];
}

/* ---- the local APIC ---- */

enum {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_PPR = 0xa0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ISR = 0x100,
    APIC_TMR = 0x180,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_CMCI = 0x2f0,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330,
    APIC_LVT_COUNTER = 0x340,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};

enum {
    APIC_BASE_BOOT = 1 << 8,
    APIC_BASE_X2APIC = 1 << 10,
    APIC_BASE_ENABLED = 1 << 11,
    SVR_ENABLED = 1 << 8,
    XAPIC_DEST_SHIFT = 24,
    VECTORS = 256,
};

static uint32_t apic_reg(const struct ax_x86_lapic *apic, unsigned off)
{
    uint32_t val;

    memcpy(&val, apic->page + off, sizeof(val));
    return val;
}

/* A set of vectors: 32 in each register. */
static void print_vectors(FILE *to, const char *name,
                          const struct ax_x86_lapic *apic, unsigned off)
{
    bool none = true;

    fprintf(to, "%-9s", name);
    for (unsigned vector = 0; vector < VECTORS; vector++) {
        if (apic_reg(apic, off + vector / 32 * 16) & 1U << vector % 32) {
            fprintf(to, " %02x", vector);
            none = false;
        }
    }
    fprintf(to, "%s\n", none ? " none" : "");
}

enum lvt_kind { LVT_TIMER, LVT_PIN, LVT_PLAIN, LVT_ERROR };

/* The last of them came with later APICs: at_least is the version's count. */
static const struct {
    const char *name;
    unsigned off;
    enum lvt_kind kind;
    unsigned at_least;
} lvts[] = {
    {"timer", APIC_LVT_TIMER, LVT_TIMER, 0},
    {"LINT0", APIC_LVT_LINT0, LVT_PIN, 0},
    {"LINT1", APIC_LVT_LINT1, LVT_PIN, 0},
    {"error", APIC_LVT_ERROR, LVT_ERROR, 0},
    {"counter", APIC_LVT_COUNTER, LVT_PLAIN, 4},
    {"thermal", APIC_LVT_THERMAL, LVT_PLAIN, 5},
    {"CMCI", APIC_LVT_CMCI, LVT_PLAIN, 6},
};

static void print_lvt(FILE *to, const struct ax_x86_lapic *apic, size_t i)
{
    static const char *const timers[] = {", one-shot", ", periodic",
                                         ", TSC deadline", ", mode 3"};
    const uint32_t lvt = apic_reg(apic, lvts[i].off);

    if ((apic_reg(apic, APIC_VERSION) >> 16 & 0xff) < lvts[i].at_least)
        return;
    fprintf(to, "%-9s vector %02x", lvts[i].name, lvt & ENTRY_VECTOR);
    if (lvts[i].kind == LVT_TIMER)
        fprintf(to, "%s", timers[lvt >> 17 & 3]);
    if (lvts[i].kind == LVT_PIN || lvts[i].kind == LVT_PLAIN)
        fprintf(to, ", %s", delivery(lvt));
    if (lvts[i].kind == LVT_PIN)
        fprintf(to, ", %s, %s%s", lvt & ENTRY_LEVEL ? "level" : "edge",
                lvt & ENTRY_LOW ? "low" : "high",
                lvt & ENTRY_REMOTE_IRR ? ", taken" : "");
    fprintf(to, "%s%s\n", lvt & ENTRY_PENDING ? ", pending" : "",
            lvt & ENTRY_MASKED ? ", masked" : "");
}

static void print_timer(FILE *to, const struct ax_x86_lapic *apic)
{
    const uint32_t divide = apic_reg(apic, APIC_TIMER_DIVIDE);

    /* Bits 3, 1 and 0: 2, 4 and so on, and 1 behind 128. */
    fprintf(to, "count     %" PRIu32 " of %" PRIu32 ", divided by %u\n",
            apic_reg(apic, APIC_TIMER_CURRENT),
            apic_reg(apic, APIC_TIMER_INITIAL),
            1U << (((divide >> 1 & 4) | (divide & 3)) + 1) % 8);
}

static void print_icr(FILE *to, const struct ax_x86_lapic *apic, bool x2apic)
{
    static const char *const shorthands[] = {NULL, "self", "all", "others"};
    const uint32_t icr = apic_reg(apic, APIC_ICR);
    const uint32_t high = apic_reg(apic, APIC_ICR_HIGH);
    const char *shorthand = shorthands[icr >> 18 & 3];

    fprintf(to, "ICR       vector %02x, %s, to ", icr & ENTRY_VECTOR,
            delivery(icr));
    if (shorthand)
        fprintf(to, "%s", shorthand);
    else
        fprintf(to, "%s %x", icr & ENTRY_LOGICAL ? "logical" : "APIC",
                x2apic ? high : high >> XAPIC_DEST_SHIFT);
    fprintf(to, "%s\n", icr & ENTRY_PENDING ? ", pending" : "");
}

int ax_x86_info_lapic(const struct ax_x86_info *info)
{
    const uint64_t base = ax_x86_reg(info->ops, info->vcpu, AX_X86_APIC_BASE);
    const bool x2apic = base & APIC_BASE_X2APIC;
    struct ax_x86_lapic apic;
    uint32_t svr;
    int err = state_get(info, AX_X86_STATE_LAPIC, &apic, sizeof(apic));

    if (err)
        return err;
    svr = apic_reg(&apic, APIC_SVR);
    fprintf(info->to, "local APIC %u, version %02x, %s%s\n",
            apic_reg(&apic, APIC_ID) >> XAPIC_DEST_SHIFT,
            apic_reg(&apic, APIC_VERSION) & 0xff,
            !(base & APIC_BASE_ENABLED) ? "disabled"
            : x2apic                    ? "x2APIC"
                                        : "xAPIC",
            base & APIC_BASE_BOOT ? ", boot CPU" : "");
    fprintf(info->to,
            "TPR %02x  PPR %02x  LDR %08x  DFR %08x  ESR %02x\n"
            "SVR %03x  spurious vector %02x, %s\n",
            apic_reg(&apic, APIC_TPR) & 0xff, apic_reg(&apic, APIC_PPR) & 0xff,
            apic_reg(&apic, APIC_LDR), apic_reg(&apic, APIC_DFR),
            apic_reg(&apic, APIC_ESR) & 0xff, svr, svr & ENTRY_VECTOR,
            svr & SVR_ENABLED ? "enabled" : "disabled by software");
    print_vectors(info->to, "ISR", &apic, APIC_ISR);
    print_vectors(info->to, "IRR", &apic, APIC_IRR);
    print_vectors(info->to, "TMR", &apic, APIC_TMR);
    for (size_t i = 0; i < AX_ARRAY_LEN(lvts); i++)
        print_lvt(info->to, &apic, i);
    print_timer(info->to, &apic);
    print_icr(info->to, &apic, x2apic);
    return 0;
}

/* ---- the I/O APIC and the PICs ---- */

static void print_pin(FILE *to, unsigned pin, uint64_t entry)
{
    fprintf(to, "pin %2u   vector %02x, %s, %s, %s, to %s %02x%s%s%s\n", pin,
            (unsigned)(entry & ENTRY_VECTOR), delivery(entry),
            entry & ENTRY_LEVEL ? "level" : "edge",
            entry & ENTRY_LOW ? "low" : "high",
            entry & ENTRY_LOGICAL ? "logical" : "APIC", (unsigned)(entry >> 56),
            entry & ENTRY_PENDING ? ", pending" : "",
            entry & ENTRY_REMOTE_IRR ? ", taken" : "",
            entry & ENTRY_MASKED ? ", masked" : "");
}

static void print_pins(FILE *to, const struct ax_x86_irqchip *chip,
                       uint64_t hide)
{
    for (unsigned pin = 0; pin < AX_ARRAY_LEN(chip->ioapic_pins); pin++) {
        if (!(chip->ioapic_pins[pin] & hide))
            print_pin(to, pin, chip->ioapic_pins[pin]);
    }
}

int ax_x86_info_ioapic(const struct ax_x86_info *info)
{
    struct ax_x86_irqchip chip;
    int err = state_get(info, AX_X86_STATE_IRQCHIP, &chip, sizeof(chip));

    if (err)
        return err;
    fprintf(info->to, "I/O APIC %u\n", chip.ioapic_id);
    print_pins(info->to, &chip, 0);
    return 0;
}

static void print_irqchip(FILE *to, const struct ax_x86_irqchip *chip)
{
    for (unsigned i = 0; i < AX_ARRAY_LEN(chip->pic); i++)
        fprintf(to, "PIC %u     IRR %02x  ISR %02x  IMR %02x  base %02x%s\n", i,
                chip->pic[i].irr, chip->pic[i].isr, chip->pic[i].imr,
                chip->pic[i].base, chip->pic[i].auto_eoi ? "  auto EOI" : "");
    print_pins(to, chip, ENTRY_MASKED);
}

int ax_x86_info_irq(const struct ax_x86_info *info)
{
    struct ax_x86_irqchip chip;
    struct ax_x86_lapic apic;
    int outer = state_get(info, AX_X86_STATE_IRQCHIP, &chip, sizeof(chip));
    int local = state_get(info, AX_X86_STATE_LAPIC, &apic, sizeof(apic));

    if (outer && local)
        return local;
    if (!outer)
        print_irqchip(info->to, &chip);
    if (!local) {
        print_vectors(info->to, "LAPIC ISR", &apic, APIC_ISR);
        print_vectors(info->to, "LAPIC IRR", &apic, APIC_IRR);
    }
    return 0;
}
