/*
 * monitor_own.c - the monitor's own commands: what is to be seen of a halted
 * guest, and how the debugger shows it. Called by monitor.c.
 */
#include "debug/monitor_parts.h"

#include "arch/arch.h"
#include "devices/bus.h"
#include "devices/device.h"
#include "vcpu/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE = 16, /* bytes of a line of a hex dump */
    DUMP = 64, /* bytes that are dumped where nobody says how many */
    DUMP_MAX = 4096,
    PIECES = 4, /* of "PORT WIDTH = VALUE" */
    PIECE = 32,
};

static struct ax_vm *vm_of(const struct ax_monitor *m)
{
    return ax_target_vm(m->env.target);
}

/* Why nothing was to be had of the vCPU. */
static int fail_call(struct ax_monitor *m, int err)
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

/* Hexadecimal with 0x, otherwise decimal. */
static bool number(const char *text, uint64_t *out)
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

/* Says why it is none. */
static int take_number(struct ax_monitor *m, const char *name, const char *text,
                       uint64_t *out)
{
    const size_t len = strlen(text);

    if (number(text, out))
        return 0;
    if (len && len <= 16 && strspn(text, "0123456789abcdefABCDEF") == len &&
        strspn(text, "0123456789") != len)
        return ax_monitor_misused(m, name, "'%s' is not a number, 0x%s is one",
                                  text, text);
    return ax_monitor_misused(m, name, "'%.64s' is not a number of 64 bits",
                              text);
}

/* ---- info ---- */

struct info {
    const struct ax_gdb_ops *gdb;
    const char *topic; /* NULL: one line about the vCPU */
    const struct ax_memory *mem;
    FILE *to;
};

static int info_call(void *ctx, const struct ax_backend_ops *ops,
                     struct ax_engine_vcpu *engine)
{
    const struct info *info = ctx;
    char line[256] = "";

    if (info->topic)
        return info->gdb->info(info->topic, ops, engine, info->mem, info->to);
    info->gdb->describe(ops, engine, line, sizeof(line));
    fprintf(info->to, "%s\n", line);
    return 0;
}

static struct info info_of(const struct ax_monitor *m, const char *topic)
{
    return (struct info){
        .gdb = ax_target_ops(m->env.target),
        .topic = topic,
        .mem = ax_vm_memory(vm_of(m)),
        .to = m->out,
    };
}

static int info_topic(struct ax_monitor *m, const char *topic)
{
    struct info info = info_of(m, topic);
    int err = ax_target_call(m->env.target, m->vcpu, info_call, &info);

    if (err == -EOPNOTSUPP)
        return ax_monitor_fail(m, "info %s: this VM has nothing like it",
                               topic);
    return err ? fail_call(m, err) : 0;
}

static int info_vcpus(struct ax_monitor *m)
{
    const unsigned count = ax_vm_vcpu_count(vm_of(m));
    struct info info = info_of(m, NULL);

    for (unsigned i = 0; i < count; i++) {
        int err;

        fprintf(m->out, "%c vCPU %u: ", i == m->vcpu ? '*' : ' ', i);
        err = ax_target_call(m->env.target, i, info_call, &info);
        if (err)
            return fail_call(m, err);
    }
    return 0;
}

static int info_exits(struct ax_monitor *m)
{
    const unsigned count = ax_vm_vcpu_count(vm_of(m));

    for (unsigned i = 0; i < count; i++) {
        const struct ax_vcpu *vcpu = ax_vm_vcpu(vm_of(m), i);

        fprintf(m->out, "vCPU %u\n", i);
        for (unsigned kind = 0; kind < AX_EXIT_KINDS; kind++) {
            const uint64_t exits = ax_vcpu_exits(vcpu, (enum ax_exit_kind)kind);

            if (exits)
                fprintf(m->out, "  %-20s %12" PRIu64 "\n",
                        ax_exit_name((enum ax_exit_kind)kind), exits);
        }
    }
    return 0;
}

/* One address through the page tables. */
static int info_address(struct ax_monitor *m, const char *topic,
                        const char *text)
{
    char walk[sizeof("tlb 0x0123456789abcdef")];
    uint64_t va;
    int err;

    if (strcmp(topic, "tlb"))
        return ax_monitor_misused(m, "info", "%s takes no address", topic);
    err = take_number(m, "info", text, &va);
    if (err)
        return err;
    snprintf(walk, sizeof(walk), "tlb 0x%" PRIx64, va);
    return info_topic(m, walk);
}

static const char *topic_find(const struct ax_gdb_ops *gdb, const char *name)
{
    for (const char *const *t = gdb->topics; *t; t++) {
        if (!strcmp(*t, name))
            return *t;
    }
    return NULL;
}

static void list_topics(struct ax_monitor *m)
{
    const struct ax_gdb_ops *gdb = ax_target_ops(m->env.target);

    fputs("Topics: exits, vcpus", m->out);
    for (const char *const *t = gdb->topics; *t; t++)
        fprintf(m->out, ", %s", *t);
    fputc('\n', m->out);
}

static int do_info(struct ax_monitor *m, unsigned count,
                   const char *const *words)
{
    const char *topic;

    if (count == 1) {
        list_topics(m);
        return 0;
    }
    if (count > 3)
        return ax_monitor_misused(m, "info", "'%.64s' is too much", words[3]);
    topic = topic_find(ax_target_ops(m->env.target), words[1]);
    if (topic)
        return count == 3 ? info_address(m, topic, words[2])
                          : info_topic(m, topic);
    if (count == 3)
        return ax_monitor_misused(m, "info", "'%.64s' is too much", words[2]);
    if (!strcmp(words[1], "exits"))
        return info_exits(m);
    if (!strcmp(words[1], "vcpus"))
        return info_vcpus(m);
    ax_monitor_fail(m, "info: there is no topic '%.64s'", words[1]);
    list_topics(m);
    return -EINVAL;
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
    uint64_t addr, size = DUMP;
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
    err = take_number(m, "phys", words[1], &addr);
    if (!err && count == 3)
        err = take_number(m, "phys", words[2], &size);
    return err ? err : dump_physical(m, addr, size);
}

/* ---- devices ---- */

struct access {
    const char *name; /* of the command */
    enum ax_space space;
    unsigned widest, width;
    bool write;
    uint64_t addr, val;
};

/* Words, and "=" as a word of its own. Returns how many; more than PIECES: too
 * many or too long. */
static unsigned split_pieces(unsigned count, const char *const *words,
                             char pieces[PIECES][PIECE])
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++) {
        for (const char *at = words[i]; *at;) {
            const size_t len = *at == '=' ? 1 : strcspn(at, "=");

            if (found == PIECES || len >= PIECE)
                return PIECES + 1;
            memcpy(pieces[found], at, len);
            pieces[found++][len] = '\0';
            at += len;
        }
    }
    return found;
}

static int take_width(struct ax_monitor *m, struct access *a, const char *text)
{
    uint64_t width;

    if (!number(text, &width) || !width || width > a->widest ||
        (width & (width - 1)))
        return ax_monitor_misused(m, a->name, "a width is 1, 2%s 4%s",
                                  a->widest == 4 ? " or" : ",",
                                  a->widest == 4 ? "" : " or 8");
    a->width = (unsigned)width;
    return 0;
}

static int take_access(struct ax_monitor *m, struct access *a, unsigned count,
                       char pieces[PIECES][PIECE])
{
    unsigned at = 1;
    int err = take_number(m, a->name, pieces[0], &a->addr);

    if (!err && at < count && strcmp(pieces[at], "="))
        err = take_width(m, a, pieces[at++]);
    if (err || at == count)
        return err;
    if (strcmp(pieces[at], "="))
        return ax_monitor_misused(m, a->name, "'%s' is too much", pieces[at]);
    if (at + 1 == count)
        return ax_monitor_misused(m, a->name, "a value is missing");
    if (at + 2 < count)
        return ax_monitor_misused(m, a->name, "'%s' is too much",
                                  pieces[at + 2]);
    a->write = true;
    return take_number(m, a->name, pieces[at + 1], &a->val);
}

static int check_access(struct ax_monitor *m, const struct access *a)
{
    const uint64_t most = a->space == AX_SPACE_PORT ? 0xffff : UINT64_MAX;

    if (a->addr > most)
        return ax_monitor_fail(m, "%s: ports end at 0xffff", a->name);
    if (a->addr & (a->width - 1))
        return ax_monitor_fail(m,
                               "%s: 0x%" PRIx64
                               " is not aligned to %u bytes, which devices "
                               "never see",
                               a->name, a->addr, a->width);
    if (a->width < 8 && a->val >> a->width * 8)
        return ax_monitor_fail(m, "%s: 0x%" PRIx64 " has more than %u bytes",
                               a->name, a->val, a->width);
    return 0;
}

static void print_widths(FILE *to, unsigned widths)
{
    const char *separator = "";

    for (unsigned width = 1; width <= 8; width *= 2) {
        if (widths & width) {
            fprintf(to, "%s%u", separator, width);
            separator = ", ";
        }
    }
    fputc('\n', to);
}

/*
 * Over a bus of our own: what a debugger asks in vain is not to be counted as
 * the guest's.
 */
static int do_access(struct ax_monitor *m, struct access *a)
{
    struct ax_device *dev = ax_bus_find(ax_vm_bus(vm_of(m), a->space), a->addr);
    struct ax_bus bus;

    if (!dev)
        return ax_monitor_fail(m,
                               "%s: no device of axvm-run is at 0x%" PRIx64
                               " (what the engine has itself is not seen here)",
                               a->name, a->addr);
    ax_bus_init(&bus, a->space);
    if (ax_bus_attach(&bus, dev) ||
        !ax_bus_access(&bus, a->write, a->addr, a->width, &a->val)) {
        fprintf(m->out,
                "%s: %s at 0x%" PRIx64 " is no register of %u bytes; it takes "
                "widths of ",
                a->name, dev->ops->type, a->addr, a->width);
        print_widths(m->out, dev->ops->widths);
        return -EINVAL;
    }
    fprintf(m->out, "0x%" PRIx64 " (%s) %s 0x%0*" PRIx64 "\n", a->addr,
            dev->ops->type, a->write ? "<-" : "is", (int)a->width * 2, a->val);
    return 0;
}

static int access_device(struct ax_monitor *m, struct access *a, unsigned count,
                         const char *const *words)
{
    char pieces[PIECES][PIECE];
    const unsigned found = split_pieces(count - 1, words + 1, pieces);
    int err;

    if (!found)
        return ax_monitor_misused(m, a->name, "an address is missing");
    if (found > PIECES)
        return ax_monitor_misused(m, a->name, "that is too much");
    err = take_access(m, a, found, pieces);
    if (!err)
        err = check_access(m, a);
    return err ? err : do_access(m, a);
}

static int do_io(struct ax_monitor *m, unsigned count, const char *const *words)
{
    struct access a = {
        .name = "io", .space = AX_SPACE_PORT, .widest = 4, .width = 1};

    return access_device(m, &a, count, words);
}

static int do_mmio(struct ax_monitor *m, unsigned count,
                   const char *const *words)
{
    struct access a = {
        .name = "mmio", .space = AX_SPACE_MMIO, .widest = 8, .width = 4};

    return access_device(m, &a, count, words);
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
        return fail_call(m, err);
    err = gdb->kaslr(ax_vm_memory(vm_of(m)), view.paging, &slide);
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
    const struct ax_gdb_ops *const *all = ax_vm_arch(vm_of(m))->gdb;

    for (; all && *all; all++)
        fprintf(m->out, "%c %s%s\n",
                *all == ax_target_ops(m->env.target) ? '*' : ' ', (*all)->name,
                *all == m->env.modes->ops ? " (from the next connection on)"
                                          : "");
}

static int do_arch(struct ax_monitor *m, unsigned count,
                   const char *const *words)
{
    const struct ax_gdb_ops *const *all = ax_vm_arch(vm_of(m))->gdb;

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
     do_info},
    {"phys", "phys [on|off|ADDRESS [BYTES]]",
     "Address physical memory, or dump some", phys_more, do_phys},
    {"io", "io PORT [WIDTH] [= VALUE]", "Read or write an I/O port", io_more,
     do_io},
    {"mmio", "mmio ADDRESS [WIDTH] [= VALUE]",
     "Read or write a device's register in memory", mmio_more, do_mmio},
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
