/*
 * target_data.c - what is in a target: registers, memory, breakpoints; while it
 * is halted.
 */
#include "debug/target_parts.h"

#include "vcpu/vcpu.h"

#include <errno.h>
#include <string.h>

enum { PAGE_BYTES = 4096 };

/* ---- registers ---- */

int ax_target_call(struct ax_target *t, unsigned vcpu,
                   int (*fn)(void *ctx, const struct ax_backend_ops *ops,
                             struct ax_engine_vcpu *engine),
                   void *ctx)
{
    struct ax_vcpu *which = ax_vm_vcpu(t->vm, vcpu);

    if (!t->halted)
        return -EBUSY;
    if (!which)
        return -ESRCH;
    t->viewed[vcpu] = false; /* fn may change anything */
    return ax_vcpu_call(which, fn, ctx, CALL_MS);
}

struct regs {
    const struct ax_gdb_ops *ops;
    unsigned from, to;
    uint8_t *buf;
    const uint8_t *vals;
    bool unknown;
};

static int regs_get(void *ctx, const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *engine)
{
    struct regs *r = ctx;
    uint8_t *at = r->buf;

    for (unsigned reg = r->from; reg < r->to; reg++) {
        const unsigned size = r->ops->reg_size(reg);

        if (r->ops->reg_get(ops, engine, reg, at)) {
            memset(at, 0, size);
            r->unknown = true;
        }
        at += size;
    }
    return 0;
}

static int regs_set(void *ctx, const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *engine)
{
    struct regs *r = ctx;
    const uint8_t *at = r->vals;
    int err = 0;

    for (unsigned reg = r->from; !err && reg < r->to; reg++) {
        err = r->ops->reg_set(ops, engine, reg, at);
        at += r->ops->reg_size(reg);
    }
    return err;
}

int ax_target_regs_get(struct ax_target *t, unsigned vcpu, unsigned from,
                       unsigned to, uint8_t *buf, bool *unknown)
{
    struct regs r = {.ops = t->ops, .from = from, .to = to};
    int err = -EINVAL;

    r.buf = buf;
    if (to <= t->ops->reg_count)
        err = ax_target_call(t, vcpu, regs_get, &r);
    if (unknown)
        *unknown = r.unknown;
    return err;
}

int ax_target_regs_set(struct ax_target *t, unsigned vcpu, unsigned from,
                       unsigned to, const uint8_t *buf)
{
    struct regs r = {.ops = t->ops, .from = from, .to = to, .vals = buf};

    if (to > t->ops->reg_count)
        return -EINVAL;
    return ax_target_call(t, vcpu, regs_set, &r);
}

struct view_call {
    const struct ax_gdb_ops *ops;
    struct ax_gdb_view *view;
};

static int view_get(void *ctx, const struct ax_backend_ops *ops,
                    struct ax_engine_vcpu *engine)
{
    const struct view_call *call = ctx;

    return call->ops->view(ops, engine, call->view);
}

int ax_target_view(struct ax_target *t, unsigned vcpu, struct ax_gdb_view *view)
{
    struct view_call call = {.ops = t->ops};
    int err = 0;

    if (vcpu >= ax_target_vcpus(t))
        return -ESRCH;
    call.view = &t->views[vcpu];
    if (!t->viewed[vcpu])
        err = ax_target_call(t, vcpu, view_get, &call);
    t->viewed[vcpu] = !err;
    *view = t->views[vcpu];
    return err;
}

/* ---- memory ---- */

size_t ax_target_read_virtual(const struct ax_target *t,
                              const struct ax_gdb_view *view, uint64_t addr,
                              void *buf, size_t len)
{
    const struct ax_memory *mem = ax_target_memory(t);
    size_t done = 0;

    while (done < len) {
        const size_t room = PAGE_BYTES - (addr + done) % PAGE_BYTES;
        const size_t count = len - done < room ? len - done : room;
        const void *at;
        ax_gpa gpa;

        if (!t->ops->translate(mem, view->paging, addr + done, &gpa, NULL))
            break;
        at = ax_memory_at(mem, gpa, count, AX_PROT_READ);
        if (!at)
            break;
        memcpy((char *)buf + done, at, count);
        done += count;
    }
    return done;
}

static size_t read_physical(const struct ax_target *t, uint64_t addr, void *buf,
                            size_t len)
{
    size_t done = 0;

    while (done < len && addr + done >= addr) {
        const size_t room = PAGE_BYTES - (addr + done) % PAGE_BYTES;
        const size_t count = len - done < room ? len - done : room;
        const void *at =
            ax_memory_at(ax_target_memory(t), addr + done, count, AX_PROT_READ);

        if (!at)
            break;
        memcpy((char *)buf + done, at, count);
        done += count;
    }
    return done;
}

size_t ax_target_read(struct ax_target *t, unsigned vcpu, bool physical,
                      uint64_t addr, void *buf, size_t len)
{
    struct ax_gdb_view view;

    if (!t->halted)
        return 0;
    if (physical)
        return read_physical(t, addr, buf, len);
    return ax_target_view(t, vcpu, &view)
               ? 0
               : ax_target_read_virtual(t, &view, addr, buf, len);
}

/* The host's address of what can be written in a row at addr, at most len. */
static void *write_place(struct ax_target *t, const struct ax_gdb_view *view,
                         uint64_t addr, size_t len, size_t *count)
{
    const size_t room = PAGE_BYTES - addr % PAGE_BYTES;
    ax_gpa gpa = addr;

    *count = len < room ? len : room;
    if (view &&
        !t->ops->translate(ax_target_memory(t), view->paging, addr, &gpa, NULL))
        return NULL;
    return ax_memory_at_load(ax_target_memory(t), gpa, *count);
}

int ax_target_write(struct ax_target *t, unsigned vcpu, bool physical,
                    uint64_t addr, const void *buf, size_t len)
{
    const struct ax_gdb_view *through = NULL;
    struct ax_gdb_view view;
    size_t count;

    if (!t->halted)
        return -EBUSY;
    if (!physical) {
        if (ax_target_view(t, vcpu, &view))
            return -EFAULT;
        through = &view;
    }
    for (size_t done = 0; done < len; done += count) {
        if (!write_place(t, through, addr + done, len - done, &count))
            return -EFAULT;
    }
    for (size_t done = 0; done < len; done += count) {
        void *at = write_place(t, through, addr + done, len - done, &count);

        if (!at) /* a page table was among what was written */
            return -EFAULT;
        memcpy(at, (const char *)buf + done, count);
    }
    return 0;
}

/* ---- breakpoints ---- */

int ax_target_insert(struct ax_target *t, unsigned vcpu,
                     enum ax_target_type type, uint64_t addr, unsigned size,
                     const struct ax_target_code *conditions, unsigned count)
{
    struct ax_gdb_view view;
    bool placed = false;
    ax_gpa gpa = 0;

    if (!t->halted)
        return -EBUSY;
    if (type == AX_BREAK_SOFT) {
        int err = ax_target_view(t, vcpu, &view);

        if (err)
            return err;
        placed = t->ops->translate(ax_target_memory(t), view.paging, addr, &gpa,
                                   NULL);
        if (placed && !ax_memory_at_load(ax_target_memory(t), gpa,
                                         t->ops->breakpoint_size))
            return -EFAULT;
    }
    return ax_breakpoints_insert(&t->breakpoints, type, addr, size,
                                 placed ? &gpa : NULL, conditions, count);
}

int ax_target_remove(struct ax_target *t, enum ax_target_type type,
                     uint64_t addr, unsigned size)
{
    if (!t->halted)
        return -EBUSY;
    return ax_breakpoints_remove(&t->breakpoints, type, addr, size);
}
