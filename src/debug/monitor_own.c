/*
 * monitor_own.c - the table of the monitor's own commands, and those about the
 * whole VM: its memory, its kernel, how the debugger shows it, what halts it.
 */
#include "debug/monitor_parts.h"

#include "arch/arch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE = 16, /* bytes of a line of a hex dump */
    DUMP = 64, /* bytes that are dumped where nobody says how many */
    DUMP_MAX = 4096,
};

struct ax_vm *ax_monitor_vm(const struct ax_monitor *m)
{
    return ax_target_vm(m->env.target);
}

int ax_monitor_fail_call(struct ax_monitor *m, int err)
{
    switch (err) {
    case -EBUSY:
        return ax_monitor_fail(m, "VM is not halted");
    case -ESRCH:
        return ax_monitor_fail(m, "the vCPU is gone");
    case -ETIMEDOUT:
        return ax_monitor_fail(m, "the vCPU did not come out of the guest");
    default:
        return ax_monitor_fail(m, "%s", strerror(-err));
    }
}

/* ---- numbers ---- */

bool ax_monitor_number(const char *text, uint64_t *out)
{
    const bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hex ? text + 2 : text;
    const size_t len = strlen(digits);

    if (!len ||
        strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != len)
        return false;
    errno = 0;
    *out = strtoull(digits, NULL, hex ? 16 : 10);
    return !errno;
}

int ax_monitor_take_number(struct ax_monitor *m, const char *name,
                           const char *text, uint64_t *out)
{
    const size_t len = strlen(text);

    if (ax_monitor_number(text, out))
        return 0;
    if (len && len <= 16 && strspn(text, "0123456789abcdefABCDEF") == len &&
        strspn(text, "0123456789") != len)
        return ax_monitor_misused(m, name, "'%s' is not a number, 0x%s is one",
                                  text, text);
    return ax_monitor_misused(m, name, "'%.64s' is not a number of 64 bits",
                              text);
}

/* ---- physical memory ---- */

static void dump_line(FILE *to, uint64_t addr, const uint8_t *bytes,
                      size_t count)
{
    fprintf(to, "0x%016" PRIx64 " ", addr);
    for (size_t i = 0; i < LINE; i++) {
        if (i < count)
            fprintf(to, "%s%02x", i == LINE / 2 ? "  " : " ", bytes[i]);
        else
            fputs(i == LINE / 2 ? "    " : "   ", to);
    }
    fputs("  |", to);
    for (size_t i = 0; i < count; i++)
        fputc(bytes[i] >= 0x20 && bytes[i] < 0x7f ? bytes[i] : '.', to);
    fputs("|\n", to);
}

static int dump_physical(struct ax_monitor *m, uint64_t addr, uint64_t size)
{
    uint8_t bytes[DUMP_MAX];
    size_t got;

    if (!size || size > DUMP_MAX)
        return ax_monitor_misused(m, "phys", "1 to %d bytes at a time",
                                  DUMP_MAX);
    if (size - 1 > UINT64_MAX - addr)
        return ax_monitor_misused(m, "phys", "no address is above 0x%" PRIx64,
                                  UINT64_MAX);
    if (!ax_target_halted(m->env.target))
        return ax_monitor_fail(m, "VM is not halted");
    got =
        ax_target_read(m->env.target, m->vcpu, true, addr, bytes, (size_t)size);
    for (size_t at = 0; at < got; at += LINE)
        dump_line(m->out, addr + at, bytes + at,
                  got - at < LINE ? got - at : LINE);
    if (got < size)
        fprintf(m->out, "no memory at 0x%" PRIx64 "\n", addr + got);
    return got ? 0 : -EINVAL;
}

static int do_phys(struct ax_monitor *m, unsigned count,
                   const char *const *words)
{
    bool *physical = &m->env.modes->physical;
    uint64_t addr = 0, size = DUMP;
    int err;

    if (count > 3)
        return ax_monitor_misused(m, "phys", "'%.64s' is too much", words[3]);
    if (count == 2 && (!strcmp(words[1], "on") || !strcmp(words[1], "off"))) {
        *physical = !strcmp(words[1], "on");
        fprintf(m->out,
                "Addresses are %s from now on. gdb does not know: type "
                "'maintenance flush dcache'.\n",
                *physical ? "physical" : "those of the guest's mode");
        return 0;
    }
    if (count == 1) {
        fprintf(m->out, "phys is %s\n", *physical ? "on" : "off");
        return 0;
    }
    err = ax_monitor_take_number(m, "phys", words[1], &addr);
    if (!err && count == 3)
        err = ax_monitor_take_number(m, "phys", words[2], &size);
    return err ? err : dump_physical(m, addr, size);
}

/* ---- the kernel ---- */

static int do_kaslr(struct ax_monitor *m, unsigned count,
                    const char *const *words)
{
    const struct ax_gdb_ops *gdb = ax_target_ops(m->env.target);
    struct ax_gdb_view view;
    uint64_t slide = 0;
    int err;

    if (count > 1)
        return ax_monitor_misused(m, "kaslr", "'%.64s' is too much", words[1]);
    err = ax_target_view(m->env.target, m->vcpu, &view);
    if (err)
        return ax_monitor_fail_call(m, err);
    err = gdb->kaslr(ax_vm_memory(ax_monitor_vm(m)), view.paging, &slide);
    if (err == -ENOENT)
        return ax_monitor_fail(m,
                               "vCPU %u maps no Linux kernel: it is not up "
                               "yet, or a user program runs (try another "
                               "thread)",
                               m->vcpu);
    if (err)
        return ax_monitor_fail(m, "kaslr: %s", strerror(-err));
    if (slide)
        fprintf(m->out,
                "The kernel has moved by 0x%" PRIx64 ". For its symbols paste\n"
                "  add-symbol-file vmlinux -o 0x%" PRIx64 "\n",
                slide, slide);
    else
        fputs("The kernel is where it was linked to: file vmlinux\n", m->out);
    return 0;
}

/* ---- how the debugger shows it ---- */

static int do_pc(struct ax_monitor *m, unsigned count, const char *const *words)
{
    bool *linear = &m->env.modes->linear_pc;

    if (count > 2)
        return ax_monitor_misused(m, "pc", "'%.64s' is too much", words[2]);
    if (count == 2) {
        if (strcmp(words[1], "linear") && strcmp(words[1], "offset"))
            return ax_monitor_misused(m, "pc", "'%.64s' is not understood",
                                      words[1]);
        *linear = !strcmp(words[1], "linear");
    }
    fprintf(m->out, "The pc register shows %s.%s\n",
            *linear ? "the linear address" : "the offset in its segment",
            count == 2 ? " gdb does not know: type 'maintenance flush "
                         "register-cache'."
                       : "");
    return 0;
}

static void list_views(struct ax_monitor *m)
{
    const struct ax_gdb_ops *const *all = ax_vm_arch(ax_monitor_vm(m))->gdb;
    const struct ax_gdb_ops *used = ax_target_ops(m->env.target);

    for (; all && *all; all++)
        fprintf(m->out, "%c %s%s\n", *all == used ? '*' : ' ', (*all)->name,
                *all == m->env.modes->ops && *all != used
                    ? " (from the next connection on)"
                    : "");
}

static int do_arch(struct ax_monitor *m, unsigned count,
                   const char *const *words)
{
    const struct ax_gdb_ops *const *all = ax_vm_arch(ax_monitor_vm(m))->gdb;

    if (count > 2)
        return ax_monitor_misused(m, "arch", "'%.64s' is too much", words[2]);
    if (count == 1) {
        list_views(m);
        return 0;
    }
    while (all && *all && strcmp((*all)->name, words[1]))
        all++;
    if (!all || !*all) {
        ax_monitor_fail(m, "arch: there is no '%.64s', but", words[1]);
        list_views(m);
        return -EINVAL;
    }
    m->env.modes->ops = *all;
    fprintf(m->out,
            "Registers are those of %s from the next connection on: type "
            "'disconnect', 'set\narchitecture auto' and 'target remote' "
            "again.\n",
            (*all)->name);
    return 0;
}

/* ---- catch ---- */

static const struct {
    const char *name;
    unsigned bits;
} catches[] = {
    {"crash", AX_CATCH_CRASH},
    {"reset", AX_CATCH_RESET},
    {"poweroff", AX_CATCH_OFF},
    {"all", AX_CATCH_ALL},
    {"none", 0},
};

static bool add_catch(const char *name, size_t len, unsigned *bits)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(catches); i++) {
        if (strlen(catches[i].name) == len &&
            !strncmp(catches[i].name, name, len)) {
            *bits |= catches[i].bits;
            return true;
        }
    }
    return false;
}

static void print_catches(struct ax_monitor *m)
{
    const unsigned caught = ax_target_catches(m->env.target);
    const char *separator = "";

    fputs("The VM is halted at: ", m->out);
    for (size_t i = 0; i < AX_ARRAY_LEN(catches); i++) {
        if (catches[i].bits == AX_CATCH_ALL || !(caught & catches[i].bits))
            continue;
        fprintf(m->out, "%s%s", separator, catches[i].name);
        separator = ", ";
    }
    fputs(caught ? "\n" : "none\n", m->out);
}

static int do_catch(struct ax_monitor *m, unsigned count,
                    const char *const *words)
{
    unsigned bits = 0;

    if (count > 2)
        return ax_monitor_misused(m, "catch", "'%.64s' is too much", words[2]);
    if (count == 2) {
        for (const char *at = words[1];;) {
            const size_t len = strcspn(at, ",");

            if (!add_catch(at, len, &bits))
                return ax_monitor_misused(m, "catch",
                                          "'%.*s' is not understood",
                                          len < 64 ? (int)len : 64, at);
            if (!at[len])
                break;
            at += len + 1;
        }
        ax_target_catch(m->env.target, bits);
    }
    print_catches(m);
    return 0;
}

/* ---- reset halt ---- */

static int do_reset_halt(struct ax_monitor *m, unsigned count,
                         const char *const *words)
{
    int err = ax_target_reset(m->env.target);
    const char *why = ax_target_refusal(m->env.target);

    if (err)
        return ax_monitor_fail(m, "%s", *why ? why : strerror(-err));
    m->waits = WAITS_FOR_RESET;
    return -EINPROGRESS;
}

/* ---- the table ---- */

static const char info_more[] =
    "\nexits counts what each vCPU left the guest for, vcpus says what each "
    "does. The\nother topics are the CPU's, see 'info'. tlb ADDRESS is the way "
    "of one address\nthrough the page tables.\n";
static const char phys_more[] =
    "\nOn: the memory that gdb reads and writes is physical; breakpoints are "
    "where they\nwere. ADDRESS dumps BYTES (64, at most 4096) of physical "
    "memory; devices are not\ntouched.\n";
static const char io_more[] =
    "\nThis touches the device, as the guest would. WIDTH is 1, 2 or 4 bytes, "
    "otherwise\n1. Devices of the engine are not reached.\n";
static const char mmio_more[] =
    "\nThis touches the device, as the guest would. WIDTH is 1, 2, 4 or 8 "
    "bytes,\notherwise 4. Devices of the engine are not reached; memory is for "
    "phys.\n";
static const char reset_more[] =
    "\nEverything but the console is made anew, breakpoints stay. 'reset' "
    "alone lets the\nVM run.\n";
static const char catch_more[] =
    "\nThe VM halts with its state as it is instead of doing it: crash is a "
    "triple fault,\na failed entry or a panic. This holds when gdb is gone as "
    "well.\n";
static const char pc_more[] =
    "\nThey differ where the code segment has a base, as in real mode: linear "
    "makes\nbreakpoints, 'x/i $pc' and symbols work there.\n";

const struct monitor_command ax_monitor_commands[] = {
    {"info", "info [TOPIC [ADDRESS]]", "Show a part of the machine", info_more,
     ax_monitor_info},
    {"phys", "phys [on|off|ADDRESS [BYTES]]",
     "Address physical memory, or dump some", phys_more, do_phys},
    {"io", "io PORT [WIDTH] [= VALUE]", "Read or write an I/O port", io_more,
     ax_monitor_io},
    {"mmio", "mmio ADDRESS [WIDTH] [= VALUE]",
     "Read or write a device's register in memory", mmio_more, ax_monitor_mmio},
    {"reset halt", "reset halt", "Start again, halted at the first instruction",
     reset_more, do_reset_halt},
    {"catch", "catch [crash,reset,poweroff|none|all]",
     "What halts the VM instead of happening", catch_more, do_catch},
    {"kaslr", "kaslr", "How far a Linux kernel has moved", NULL, do_kaslr},
    {"pc", "pc [linear|offset]", "What the pc register shows", pc_more, do_pc},
    {"arch", "arch [NAME]", "Whose registers gdb is shown; * is in use", NULL,
     do_arch},
    {0},
};
