/*
 * monitor_device.c - the commands "io" and "mmio": accesses to devices, as the
 * guest would make them. Called by the table of monitor_own.c.
 */
#include "debug/monitor_parts.h"

#include "devices/bus.h"
#include "devices/device.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    PIECES = 4, /* of "PORT WIDTH = VALUE" */
    PIECE = 32,
};

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

    if (!ax_monitor_number(text, &width) || !width || width > a->widest ||
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
    int err = ax_monitor_take_number(m, a->name, pieces[0], &a->addr);

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
    return ax_monitor_take_number(m, a->name, pieces[at + 1], &a->val);
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
    struct ax_device *dev =
        ax_bus_find(ax_vm_bus(ax_monitor_vm(m), a->space), a->addr);
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

int ax_monitor_io(struct ax_monitor *m, unsigned count,
                  const char *const *words)
{
    struct access a = {
        .name = "io", .space = AX_SPACE_PORT, .widest = 4, .width = 1};

    return access_device(m, &a, count, words);
}

int ax_monitor_mmio(struct ax_monitor *m, unsigned count,
                    const char *const *words)
{
    struct access a = {
        .name = "mmio", .space = AX_SPACE_MMIO, .widest = 8, .width = 4};

    return access_device(m, &a, count, words);
}
