/*
 * agent.c - evaluates agent expressions: GDB manual, appendix F.2 ("Bytecode
 * Descriptions"). Conditions are evaluated as often as a breakpoint is passed,
 * so an instruction is one look-up in a table and one switch.
 */
#include "debug/agent.h"

#include <errno.h>
#include <string.h>

enum agent_op {
    OP_ADD = 0x02,
    OP_SUB,
    OP_MUL,
    OP_DIV_SIGNED,
    OP_DIV_UNSIGNED,
    OP_REM_SIGNED,
    OP_REM_UNSIGNED,
    OP_LSH,
    OP_RSH_SIGNED,
    OP_RSH_UNSIGNED,
    OP_LOG_NOT = 0x0e,
    OP_BIT_AND,
    OP_BIT_OR,
    OP_BIT_XOR,
    OP_BIT_NOT,
    OP_EQUAL,
    OP_LESS_SIGNED,
    OP_LESS_UNSIGNED,
    OP_EXT,
    OP_REF8,
    OP_REF16,
    OP_REF32,
    OP_REF64,
    OP_IF_GOTO = 0x20,
    OP_GOTO,
    OP_CONST8,
    OP_CONST16,
    OP_CONST32,
    OP_CONST64,
    OP_REG,
    OP_END,
    OP_DUP,
    OP_POP,
    OP_ZERO_EXT,
    OP_SWAP,
    OP_PICK = 0x32,
    OP_ROT,
    OPS,
};

/* What an instruction wants and leaves. */
enum agent_kind {
    WRONG,   /* there is none such */
    FOREIGN, /* float, trace, variables, printf: not in conditions */
    UNARY,
    BINARY,
    REF,
    CONST,
    OTHER,
};

struct shape {
    uint8_t kind;
    uint8_t operand; /* bytes behind it, most significant first */
    uint8_t takes, gives;
};

#define SHAPE_UNARY                                                            \
    {                                                                          \
        UNARY, 0, 1, 1                                                         \
    }
#define SHAPE_BINARY                                                           \
    {                                                                          \
        BINARY, 0, 2, 1                                                        \
    }
#define SHAPE_REF                                                              \
    {                                                                          \
        REF, 0, 1, 1                                                           \
    }

static const struct shape shapes[] = {
    [0x01] = {FOREIGN, 0, 0, 0}, /* float */
    [OP_ADD] = SHAPE_BINARY,
    [OP_SUB] = SHAPE_BINARY,
    [OP_MUL] = SHAPE_BINARY,
    [OP_DIV_SIGNED] = SHAPE_BINARY,
    [OP_DIV_UNSIGNED] = SHAPE_BINARY,
    [OP_REM_SIGNED] = SHAPE_BINARY,
    [OP_REM_UNSIGNED] = SHAPE_BINARY,
    [OP_LSH] = SHAPE_BINARY,
    [OP_RSH_SIGNED] = SHAPE_BINARY,
    [OP_RSH_UNSIGNED] = SHAPE_BINARY,
    [0x0c] = {FOREIGN, 0, 0, 0}, /* trace */
    [0x0d] = {FOREIGN, 0, 0, 0}, /* trace_quick */
    [OP_LOG_NOT] = SHAPE_UNARY,
    [OP_BIT_AND] = SHAPE_BINARY,
    [OP_BIT_OR] = SHAPE_BINARY,
    [OP_BIT_XOR] = SHAPE_BINARY,
    [OP_BIT_NOT] = SHAPE_UNARY,
    [OP_EQUAL] = SHAPE_BINARY,
    [OP_LESS_SIGNED] = SHAPE_BINARY,
    [OP_LESS_UNSIGNED] = SHAPE_BINARY,
    [OP_EXT] = {UNARY, 1, 1, 1},
    [OP_REF8] = SHAPE_REF,
    [OP_REF16] = SHAPE_REF,
    [OP_REF32] = SHAPE_REF,
    [OP_REF64] = SHAPE_REF,
    [0x1b] = {FOREIGN, 0, 0, 0}, /* ref_float */
    [0x1c] = {FOREIGN, 0, 0, 0}, /* ref_double */
    [0x1d] = {FOREIGN, 0, 0, 0}, /* ref_long_double */
    [0x1e] = {FOREIGN, 0, 0, 0}, /* l_to_d */
    [0x1f] = {FOREIGN, 0, 0, 0}, /* d_to_l */
    [OP_IF_GOTO] = {OTHER, 2, 1, 0},
    [OP_GOTO] = {OTHER, 2, 0, 0},
    [OP_CONST8] = {CONST, 1, 0, 1},
    [OP_CONST16] = {CONST, 2, 0, 1},
    [OP_CONST32] = {CONST, 4, 0, 1},
    [OP_CONST64] = {CONST, 8, 0, 1},
    [OP_REG] = {OTHER, 2, 0, 1},
    [OP_END] = {OTHER, 0, 1, 1},
    [OP_DUP] = {OTHER, 0, 1, 2},
    [OP_POP] = {OTHER, 0, 1, 0},
    [OP_ZERO_EXT] = {UNARY, 1, 1, 1},
    [OP_SWAP] = {OTHER, 0, 2, 2},
    [0x2c] = {FOREIGN, 0, 0, 0}, /* getv */
    [0x2d] = {FOREIGN, 0, 0, 0}, /* setv */
    [0x2e] = {FOREIGN, 0, 0, 0}, /* tracev */
    [0x2f] = {FOREIGN, 0, 0, 0}, /* tracenz */
    [0x30] = {FOREIGN, 0, 0, 0}, /* trace16 */
    [OP_PICK] = {OTHER, 1, 1, 2},
    [OP_ROT] = {OTHER, 0, 3, 3},
    [0x34] = {FOREIGN, 0, 0, 0}, /* printf */
};

struct machine {
    const uint8_t *code;
    size_t size, pc;
    const struct ax_agent_env *env;
    unsigned depth;
    uint64_t stack[AX_AGENT_STACK];
};

struct insn {
    uint8_t op, kind;
    uint64_t operand;
};

/* Takes the next instruction, and makes sure that the stack is made for it:
 * what executes it need not look. */
static int fetch(struct machine *m, struct insn *insn)
{
    struct shape shape;

    if (m->pc >= m->size || m->code[m->pc] >= AX_ARRAY_LEN(shapes))
        return -EINVAL;
    shape = shapes[m->code[m->pc]];
    *insn = (struct insn){m->code[m->pc++], shape.kind, 0};
    if (shape.kind == FOREIGN)
        return -EOPNOTSUPP;
    if (shape.kind == WRONG || shape.operand > m->size - m->pc ||
        shape.takes > m->depth ||
        m->depth - shape.takes + shape.gives > AX_AGENT_STACK)
        return -EINVAL;
    for (unsigned i = 0; i < shape.operand; i++)
        insn->operand = insn->operand << 8 | m->code[m->pc++];
    return 0;
}

static void push(struct machine *m, uint64_t val)
{
    m->stack[m->depth++] = val;
}

static uint64_t pop(struct machine *m)
{
    return m->stack[--m->depth];
}

static uint64_t *top(struct machine *m)
{
    return &m->stack[m->depth - 1];
}

static uint64_t negate(uint64_t val, bool when)
{
    return when ? 0 - val : val;
}

/* By magnitudes, rounding to zero as C does: there is no overflow, and the
 * lowest number divided by -1 is itself. */
static uint64_t divide_signed(uint64_t a, uint64_t b, bool remainder)
{
    const bool a_below = a >> 63, b_below = b >> 63;

    a = negate(a, a_below);
    b = negate(b, b_below);
    return remainder ? negate(a % b, a_below)
                     : negate(a / b, a_below != b_below);
}

static int divide(uint8_t op, uint64_t a, uint64_t b, uint64_t *out)
{
    if (!b)
        return -EDOM;
    switch (op) {
    case OP_DIV_SIGNED:
    case OP_REM_SIGNED:
        *out = divide_signed(a, b, op == OP_REM_SIGNED);
        return 0;
    case OP_DIV_UNSIGNED:
        *out = a / b;
        return 0;
    default:
        *out = a % b;
        return 0;
    }
}

/* Further than the width: nothing is left, or nothing but signs. */
static uint64_t shift(uint8_t op, uint64_t a, uint64_t b)
{
    const uint64_t signs = op == OP_RSH_SIGNED && a >> 63 ? UINT64_MAX : 0;

    if (b >= 64)
        return signs;
    if (op == OP_LSH)
        return a << b;
    return b ? a >> b | signs << (64 - b) : a;
}

/* With the top bit turned, signed numbers are in the order of unsigned ones. */
static bool less_signed(uint64_t a, uint64_t b)
{
    return (a ^ 1ULL << 63) < (b ^ 1ULL << 63);
}

static int binary(uint8_t op, uint64_t a, uint64_t b, uint64_t *out)
{
    switch (op) {
    case OP_ADD:
        *out = a + b;
        return 0;
    case OP_SUB:
        *out = a - b;
        return 0;
    case OP_MUL:
        *out = a * b;
        return 0;
    case OP_LSH:
    case OP_RSH_SIGNED:
    case OP_RSH_UNSIGNED:
        *out = shift(op, a, b);
        return 0;
    case OP_BIT_AND:
        *out = a & b;
        return 0;
    case OP_BIT_OR:
        *out = a | b;
        return 0;
    case OP_BIT_XOR:
        *out = a ^ b;
        return 0;
    case OP_EQUAL:
        *out = a == b;
        return 0;
    case OP_LESS_SIGNED:
        *out = less_signed(a, b);
        return 0;
    case OP_LESS_UNSIGNED:
        *out = a < b;
        return 0;
    default:
        return divide(op, a, b, out);
    }
}

static int unary(const struct insn *insn, uint64_t *val)
{
    const uint64_t bits = insn->operand;
    const uint64_t low = bits < 64 ? (1ULL << bits) - 1 : UINT64_MAX;
    const uint64_t sign = low ^ low >> 1;

    switch (insn->op) {
    case OP_LOG_NOT:
        *val = !*val;
        return 0;
    case OP_BIT_NOT:
        *val = ~*val;
        return 0;
    case OP_ZERO_EXT:
        *val &= low;
        return 0;
    default:
        if (!bits)
            return -EINVAL; /* there is no sign bit */
        *val = *val & sign ? *val | ~low : *val & low;
        return 0;
    }
}

/* Every CPU that has a debugger here has the least significant byte first. */
static int ref(const struct machine *m, uint8_t op, uint64_t *val)
{
    const size_t len = (size_t)1 << (op - OP_REF8);
    uint8_t bytes[8] = {0};

    if (!m->env->read(m->env->ctx, *val, bytes, len))
        return -EFAULT;
    *val = 0;
    for (unsigned i = sizeof(bytes); i-- > 0;)
        *val = *val << 8 | bytes[i];
    return 0;
}

static int push_reg(struct machine *m, uint64_t reg)
{
    uint64_t val;

    if (!m->env->reg(m->env->ctx, (unsigned)reg, &val))
        return -EFAULT;
    push(m, val);
    return 0;
}

static int pick(struct machine *m, uint64_t n)
{
    if (n >= m->depth)
        return -EINVAL;
    push(m, m->stack[m->depth - 1 - n]);
    return 0;
}

/* a b => b a */
static void swap(uint64_t *a)
{
    const uint64_t b = a[1];

    a[1] = a[0];
    a[0] = b;
}

/* a b c => c a b */
static void rotate(uint64_t *a)
{
    const uint64_t c = a[2];

    memmove(a + 1, a, 2 * sizeof(*a));
    a[0] = c;
}

static int other(struct machine *m, const struct insn *insn)
{
    switch (insn->op) {
    case OP_IF_GOTO:
        if (pop(m))
            m->pc = insn->operand;
        return 0;
    case OP_GOTO:
        m->pc = insn->operand;
        return 0;
    case OP_REG:
        return push_reg(m, insn->operand);
    case OP_DUP:
        push(m, *top(m));
        return 0;
    case OP_POP:
        m->depth--;
        return 0;
    case OP_SWAP:
        swap(top(m) - 1);
        return 0;
    case OP_ROT:
        rotate(top(m) - 2);
        return 0;
    default:
        return pick(m, insn->operand);
    }
}

static int execute(struct machine *m, const struct insn *insn)
{
    uint64_t b;

    switch (insn->kind) {
    case CONST:
        push(m, insn->operand);
        return 0;
    case UNARY:
        return unary(insn, top(m));
    case BINARY:
        b = pop(m);
        return binary(insn->op, *top(m), b, top(m));
    case REF:
        return ref(m, insn->op, top(m));
    default:
        return other(m, insn);
    }
}

int ax_agent_evaluate(const uint8_t *code, size_t size,
                      const struct ax_agent_env *env, uint64_t *out)
{
    struct machine m = {.code = code, .size = size, .env = env};

    for (unsigned step = 0; step < AX_AGENT_STEPS; step++) {
        struct insn insn;
        int err = fetch(&m, &insn);

        if (!err && insn.op == OP_END) {
            *out = *top(&m);
            return 0;
        }
        if (!err)
            err = execute(&m, &insn);
        if (err)
            return err;
    }
    return -ELOOP;
}
