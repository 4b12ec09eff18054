/*
 * session_data.c - registers, memory and breakpoints as a debugger asks for
 * them.
 */
#include "debug/session_parts.h"

#include <errno.h>
#include <string.h>

enum {
    MEMORY_MAX = AX_PACKET_MAX / 2,
    CONDITIONS = 64,
};

/* ---- registers ---- */

/* regs begins with register from; what "monitor pc linear" makes of the pc. */
static void show_linear_pc(struct ax_session *s, unsigned from, unsigned to,
                           uint8_t *regs)
{
    const struct ax_gdb_ops *ops = ax_target_ops(s->target);
    struct ax_gdb_view view;

    if (!s->modes.linear_pc || ops->pc < from || ops->pc >= to ||
        ax_target_view(s->target, s->thread, &view))
        return;
    for (unsigned reg = from; reg < ops->pc; reg++)
        regs += ops->reg_size(reg);
    memcpy(regs, &view.pc, ops->reg_size(ops->pc));
}

/* ... and back. */
static void hide_linear_pc(struct ax_session *s, unsigned from, unsigned to,
                           uint8_t *regs)
{
    const struct ax_gdb_ops *ops = ax_target_ops(s->target);
    const unsigned size = ops->reg_size(ops->pc);
    struct ax_gdb_view view;
    uint64_t pc = 0;

    if (!s->modes.linear_pc || ops->pc < from || ops->pc >= to ||
        ax_target_view(s->target, s->thread, &view))
        return;
    for (unsigned reg = from; reg < ops->pc; reg++)
        regs += ops->reg_size(reg);
    memcpy(&pc, regs, size);
    pc -= view.pc_base;
    memcpy(regs, &pc, size);
}

int ax_session_set_pc(struct ax_session *s, uint64_t addr)
{
    const unsigned pc = ax_target_ops(s->target)->pc;
    uint8_t buf[sizeof(addr)];

    memcpy(buf, &addr, sizeof(addr));
    hide_linear_pc(s, pc, pc + 1, buf);
    return ax_target_regs_set(s->target, s->thread, pc, pc + 1, buf);
}

static size_t regs_bytes(const struct ax_session *s, unsigned from, unsigned to)
{
    const struct ax_gdb_ops *ops = ax_target_ops(s->target);
    size_t size = 0;

    for (unsigned reg = from; reg < to; reg++)
        size += ops->reg_size(reg);
    return size;
}

static void reply_regs(struct ax_session *s, unsigned from, unsigned to)
{
    uint8_t regs[AX_TARGET_REGS];
    bool unknown;
    int err =
        ax_target_regs_get(s->target, s->thread, from, to, regs, &unknown);

    if (err || (unknown && to == from + 1)) {
        ax_session_reply_errno(s, err ? err : -EINVAL);
        return;
    }
    show_linear_pc(s, from, to, regs);
    ax_packet_begin(&s->out);
    ax_packet_hex(&s->out, regs, regs_bytes(s, from, to));
    ax_session_send_out(s, true);
}

static void take_regs(struct ax_session *s, struct ax_packet_scan *in,
                      unsigned from, unsigned to)
{
    uint8_t regs[AX_TARGET_REGS];

    if (!ax_packet_take_hex(in, regs, regs_bytes(s, from, to)) ||
        in->at != in->end) {
        ax_session_reply_errno(s, -EINVAL);
        return;
    }
    hide_linear_pc(s, from, to, regs);
    ax_session_reply_result(
        s, ax_target_regs_set(s->target, s->thread, from, to, regs));
}

void ax_session_do_regs_get(struct ax_session *s, struct ax_packet_scan *in)
{
    reply_regs(s, 0, ax_target_ops(s->target)->general_count);
}

void ax_session_do_regs_set(struct ax_session *s, struct ax_packet_scan *in)
{
    take_regs(s, in, 0, ax_target_ops(s->target)->general_count);
}

static bool take_reg(struct ax_session *s, struct ax_packet_scan *in,
                     unsigned *reg)
{
    uint64_t number;

    if (!ax_packet_take_number(in, &number) ||
        number >= ax_target_ops(s->target)->reg_count) {
        ax_session_reply_errno(s, -EINVAL);
        return false;
    }
    *reg = (unsigned)number;
    return true;
}

void ax_session_do_reg_get(struct ax_session *s, struct ax_packet_scan *in)
{
    unsigned reg;

    if (take_reg(s, in, &reg))
        reply_regs(s, reg, reg + 1);
}

void ax_session_do_reg_set(struct ax_session *s, struct ax_packet_scan *in)
{
    unsigned reg;

    if (!take_reg(s, in, &reg))
        return;
    if (ax_packet_take_char(in, '='))
        take_regs(s, in, reg, reg + 1);
    else
        ax_session_reply_errno(s, -EINVAL);
}

/* ---- memory ---- */

static bool take_range(struct ax_session *s, struct ax_packet_scan *in,
                       uint64_t *addr, uint64_t *len)
{
    if (ax_packet_take_number(in, addr) && ax_packet_take_char(in, ',') &&
        ax_packet_take_number(in, len))
        return true;
    ax_session_reply_errno(s, -EINVAL);
    return false;
}

/* How many of len bytes are there and fit; 0: answered why not. */
static size_t read_memory(struct ax_session *s, uint64_t addr, uint64_t len)
{
    const size_t most = len < MEMORY_MAX ? (size_t)len : MEMORY_MAX;
    const size_t count = ax_target_read(s->target, s->thread, s->modes.physical,
                                        addr, s->buf, most);

    if (!count)
        ax_session_reply_errno(s, -EFAULT);
    return count;
}

void ax_session_do_read(struct ax_session *s, struct ax_packet_scan *in)
{
    uint64_t addr, len;
    size_t count;

    if (!take_range(s, in, &addr, &len))
        return;
    if (!len) {
        ax_session_reply(s, "");
        return;
    }
    count = read_memory(s, addr, len);
    if (!count)
        return;
    ax_packet_begin(&s->out);
    ax_packet_hex(&s->out, s->buf, count);
    ax_session_send_out(s, true);
}

void ax_session_do_read_binary(struct ax_session *s, struct ax_packet_scan *in)
{
    uint64_t addr, len;
    size_t count = 0;

    if (!take_range(s, in, &addr, &len))
        return;
    if (len)
        count = read_memory(s, addr, len);
    if (len && !count)
        return;
    ax_packet_begin(&s->out);
    ax_packet_text(&s->out, "b");
    ax_packet_binary(&s->out, s->buf, count);
    ax_session_send_out(s, false);
}

static void write_memory(struct ax_session *s, uint64_t addr, const void *bytes,
                         size_t len)
{
    ax_session_reply_result(s, ax_target_write(s->target, s->thread,
                                               s->modes.physical, addr, bytes,
                                               len));
}

void ax_session_do_write(struct ax_session *s, struct ax_packet_scan *in)
{
    uint64_t addr, len;

    if (!take_range(s, in, &addr, &len))
        return;
    if (!ax_packet_take_char(in, ':') || len > sizeof(s->buf) ||
        !ax_packet_take_hex(in, s->buf, (size_t)len) || in->at != in->end)
        ax_session_reply_errno(s, -EINVAL);
    else
        write_memory(s, addr, s->buf, (size_t)len);
}

void ax_session_do_write_binary(struct ax_session *s, struct ax_packet_scan *in)
{
    uint64_t addr, len;

    if (!take_range(s, in, &addr, &len))
        return;
    if (!ax_packet_take_char(in, ':') || (size_t)(in->end - in->at) != len)
        ax_session_reply_errno(s, -EINVAL);
    else
        write_memory(s, addr, in->at, (size_t)len);
}

/* ---- breakpoints ---- */

/* Z's conditions into s->buf: "X len,bytes" each. -EINVAL, -ENOSPC. */
static int take_conditions(struct ax_session *s, struct ax_packet_scan *in,
                           struct ax_target_code codes[CONDITIONS],
                           unsigned *count)
{
    size_t used = 0;

    *count = 0;
    while (in->at != in->end) {
        uint64_t len;

        ax_packet_take_char(in, ';');
        if (!ax_packet_take_char(in, 'X') || !ax_packet_take_number(in, &len) ||
            !ax_packet_take_char(in, ','))
            return -EINVAL;
        if (len > sizeof(s->buf) - used || *count == CONDITIONS)
            return -ENOSPC;
        if (!ax_packet_take_hex(in, s->buf + used, (size_t)len))
            return -EINVAL;
        codes[*count].bytes = s->buf + used;
        codes[(*count)++].size = (size_t)len;
        used += (size_t)len;
    }
    return 0;
}

static bool take_place(struct ax_packet_scan *in, uint64_t *type,
                       uint64_t *addr, uint64_t *size)
{
    return ax_packet_take_number(in, type) && ax_packet_take_char(in, ',') &&
           ax_packet_take_number(in, addr) && ax_packet_take_char(in, ',') &&
           ax_packet_take_number(in, size) && *type <= AX_WATCH_ACCESS &&
           *size <= UINT32_MAX;
}

static void reply_breakpoint(struct ax_session *s, int err)
{
    if (err == -EOPNOTSUPP)
        ax_session_reply(s, ""); /* gdb then does without */
    else if (err == -ENOSPC)
        ax_session_reply_error(s, "the CPU has no debug register left");
    else if (err == -EINVAL)
        ax_session_reply_error(
            s, "a debug register watches 1, 2, 4 or 8 bytes, aligned");
    else
        ax_session_reply_result(s, err);
}

void ax_session_do_insert(struct ax_session *s, struct ax_packet_scan *in)
{
    struct ax_target_code codes[CONDITIONS];
    uint64_t type, addr, size;
    unsigned count;
    int err = -EINVAL;

    if (take_place(in, &type, &addr, &size))
        err = take_conditions(s, in, codes, &count);
    if (!err)
        err = ax_target_insert(s->target, s->thread, (enum ax_target_type)type,
                               addr, (unsigned)size, codes, count);
    reply_breakpoint(s, err);
}

void ax_session_do_remove(struct ax_session *s, struct ax_packet_scan *in)
{
    uint64_t type, addr, size;
    int err = -EINVAL;

    if (take_place(in, &type, &addr, &size))
        err = ax_target_remove(s->target, (enum ax_target_type)type, addr,
                               (unsigned)size);
    reply_breakpoint(s, err == -ENOENT ? 0 : err);
}
