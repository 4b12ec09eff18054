/*
 * test_agent.c - agent expressions: every instruction, what is wrong, and what
 * gdb makes of conditions.
 */
#include "debug/agent.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(agent, .timeout = 60);

/* ---- a guest: registers and three pieces of memory ---- */

enum { REGS = 32 };

static uint64_t regs[REGS];

enum {
    DATA_AT = 0x404000, /* the variables of the program below */
    STACK_AT = 0x7f00,
    HEAP_AT = 0x10000,
    PIECE = 256,
};

static struct piece {
    uint64_t addr;
    uint8_t bytes[PIECE];
} pieces[] = {{.addr = DATA_AT}, {.addr = STACK_AT}, {.addr = HEAP_AT}};

static uint8_t *at(uint64_t addr, size_t len)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(pieces); i++) {
        if (ax_range_within(addr, len, pieces[i].addr, PIECE))
            return pieces[i].bytes + (addr - pieces[i].addr);
    }
    return NULL;
}

static bool get_reg(void *ctx, unsigned reg, uint64_t *val)
{
    if (reg >= REGS)
        return false;
    *val = regs[reg];
    return true;
}

static bool get_memory(void *ctx, uint64_t addr, void *buf, size_t len)
{
    const uint8_t *from = at(addr, len);

    if (from)
        memcpy(buf, from, len);
    return from;
}

static const struct ax_agent_env env = {get_reg, get_memory, NULL};

static void put(uint64_t addr, unsigned width, uint64_t val)
{
    uint8_t *to = at(addr, width);

    cr_assert_not_null(to);
    for (unsigned i = 0; i < width; i++)
        to[i] = (uint8_t)(val >> 8 * i);
}

/* ---- evaluation of what is written in hexadecimal digits ---- */

static int evaluate(const char *hex, uint64_t *out)
{
    /* No byte more than need be, so that ASan sees a read past the end. */
    uint8_t *code = malloc(strlen(hex) + 1), *all;
    size_t size = 0;
    int err;

    cr_assert_not_null(code);
    for (; *hex; hex++) {
        unsigned byte;

        if (*hex == ' ')
            continue;
        cr_assert_eq(sscanf(hex++, "%2x", &byte), 1);
        code[size++] = (uint8_t)byte;
    }
    all = realloc(code, size ? size : 1);
    cr_assert_not_null(all);
    err = ax_agent_evaluate(all, size, &env, out);
    free(all);
    return err;
}

static void gives(const char *hex, uint64_t want)
{
    uint64_t got = ~want;
    const int err = evaluate(hex, &got);

    cr_assert_eq(err, 0, "%s: %s", hex, strerror(-err));
    cr_assert_eq(got, want, "%s: %#" PRIx64, hex, got);
}

static void fails(const char *hex, int want)
{
    uint64_t got = 0x1234;
    const int err = evaluate(hex, &got);

    cr_assert_eq(err, want, "%s: %d", hex, err);
    cr_assert_eq(got, 0x1234);
}

/* a b OP, in 64 bits. */
static void binary(uint64_t a, unsigned op, uint64_t b, uint64_t want)
{
    char hex[64];

    snprintf(hex, sizeof(hex), "25%016" PRIx64 "25%016" PRIx64 "%02x27", a, b,
             op);
    gives(hex, want);
}

static void unary(const char *op, uint64_t a, uint64_t want)
{
    char hex[64];

    snprintf(hex, sizeof(hex), "25%016" PRIx64 "%s27", a, op);
    gives(hex, want);
}

#define MIN     ((uint64_t)1 << 63)
#define LESS(n) ((uint64_t)0 - (n))

enum {
    ADD = 2,
    SUB,
    MUL,
    DIV_S,
    DIV_U,
    REM_S,
    REM_U,
    LSH,
    RSH_S,
    RSH_U,
    AND = 0xf,
    OR,
    XOR,
    EQUAL = 0x13,
    LESS_S,
    LESS_U,
};

/* ---- instructions ---- */

Test(agent, constants)
{
    gives("22 ff 27", 0xff);
    gives("23 fffe 27", 0xfffe);
    gives("24 fffefdfc 27", 0xfffefdfc);
    gives("25 fffefdfcfbfaf9f8 27", 0xfffefdfcfbfaf9f8);
}

Test(agent, sums_and_products)
{
    binary(7, ADD, 3, 10);
    binary(UINT64_MAX, ADD, 2, 1);
    binary(7, SUB, 3, 4);
    binary(3, SUB, 7, LESS(4));
    binary(7, MUL, 3, 21);
    binary(LESS(7), MUL, 3, LESS(21));
    binary(MIN, MUL, LESS(1), MIN);
}

Test(agent, divisions)
{
    binary(7, DIV_S, 2, 3);
    binary(LESS(7), DIV_S, 2, LESS(3));
    binary(7, DIV_S, LESS(2), LESS(3));
    binary(LESS(7), DIV_S, LESS(2), 3);
    binary(MIN, DIV_S, LESS(1), MIN);
    binary(MIN, DIV_S, 1, MIN);
    binary(MIN, DIV_S, MIN, 1);
    binary(7, DIV_S, MIN, 0);
    binary(LESS(7), DIV_U, 2, 0x7ffffffffffffffc);
    binary(7, REM_S, 2, 1);
    binary(LESS(7), REM_S, 2, LESS(1));
    binary(7, REM_S, LESS(2), 1);
    binary(MIN, REM_S, LESS(1), 0);
    binary(LESS(7), REM_U, 16, 9);
}

Test(agent, divisions_by_zero)
{
    for (unsigned op = DIV_S; op <= REM_U; op++) {
        char hex[16];

        snprintf(hex, sizeof(hex), "2205 2200 %02x", op);
        fails(hex, -EDOM);
    }
}

Test(agent, shifts)
{
    binary(3, LSH, 4, 0x30);
    binary(3, LSH, 63, MIN);
    binary(3, LSH, 64, 0);
    binary(3, LSH, UINT64_MAX, 0);
    binary(MIN | 0x30, RSH_U, 4, MIN >> 4 | 3);
    binary(MIN, RSH_U, 63, 1);
    binary(MIN, RSH_U, 64, 0);
    binary(0x30, RSH_S, 4, 3);
    binary(LESS(0x30), RSH_S, 4, LESS(3));
    binary(LESS(1), RSH_S, 0, LESS(1));
    binary(MIN, RSH_S, 63, LESS(1));
    binary(MIN, RSH_S, 64, LESS(1));
    binary(MIN >> 1, RSH_S, 1000, 0);
    binary(MIN, RSH_S, MIN, LESS(1));
}

Test(agent, bits)
{
    binary(0xc, AND, 0xa, 8);
    binary(0xc, OR, 0xa, 0xe);
    binary(0xc, XOR, 0xa, 6);
    unary("12", 0xff, LESS(0x100));
    unary("0e", 0, 1);
    unary("0e", MIN, 0);
}

Test(agent, comparisons)
{
    binary(MIN, EQUAL, MIN, 1);
    binary(MIN, EQUAL, 0, 0);
    binary(2, LESS_S, 3, 1);
    binary(3, LESS_S, 3, 0);
    binary(3, LESS_S, 2, 0);
    binary(LESS(1), LESS_S, 0, 1);
    binary(0, LESS_S, LESS(1), 0);
    binary(MIN, LESS_S, MIN - 1, 1);
    binary(2, LESS_U, 3, 1);
    binary(3, LESS_U, 3, 0);
    binary(LESS(1), LESS_U, 0, 0);
}

Test(agent, extensions)
{
    unary("1608", 0x1234567812345680, LESS(0x80));
    unary("1608", 0x123456781234567f, 0x7f);
    unary("1601", 3, LESS(1));
    unary("1620", 0x180000000, LESS(0x80000000));
    unary("163f", MIN >> 1, MIN | MIN >> 1);
    unary("1640", MIN | 5, MIN | 5);
    unary("16ff", 0x80, 0x80);
    unary("2a08", 0x1234, 0x34);
    unary("2a01", 2, 0);
    unary("2a00", 0x1234, 0);
    unary("2a3f", LESS(1), MIN - 1);
    unary("2a40", LESS(1), LESS(1));
    unary("2aff", LESS(1), LESS(1));
    fails("2205 1600 27", -EINVAL);
}

Test(agent, memory)
{
    put(HEAP_AT + 3, 8, 0x8899aabbccddeeff);
    gives("24 00010003 17 27", 0xff);
    gives("24 00010003 18 27", 0xeeff);
    gives("24 00010003 19 27", 0xccddeeff);
    gives("24 00010003 1a 27", 0x8899aabbccddeeff);
    gives("24 000100ff 17 27", 0);
    fails("24 000100ff 18 27", -EFAULT);
    fails("2200 1a 27", -EFAULT);
}

Test(agent, registers)
{
    regs[0x1f] = 0xfedcba9876543210;
    gives("26 001f 27", 0xfedcba9876543210);
    fails("26 0020 27", -EFAULT);
    fails("26 ff1f 27", -EFAULT);
}

Test(agent, the_stack)
{
    gives("2201 2202 27", 2);
    gives("2201 2202 29 27", 1);          /* pop */
    gives("2205 28 02 27", 10);           /* dup */
    gives("2209 2204 2b 03 27", LESS(5)); /* swap */
    gives("2201 2202 2203 3200 27", 3);   /* pick */
    gives("2201 2202 2203 3202 27", 1);
    gives("2201 2202 2203 3202 29 27", 3);
    gives("2201 2202 2203 33 27", 2); /* rot: 3 1 2 */
    gives("2201 2202 2203 33 29 27", 1);
    gives("2201 2202 2203 33 29 29 27", 3);
    fails("2201 2202 2203 3203 27", -EINVAL);
    fails("2201 2202 2203 32ff 27", -EINVAL);
}

Test(agent, jumps)
{
    gives("21 0006 2201 27 2202 27", 2);
    gives("2201 20 0008 2203 27 2204 27", 4);
    gives("2200 20 0008 2203 27 2204 27", 3);
    gives("25 8000000000000000 20 000f 2203 27 2204 27", 4);
    /* Backwards: 5 is counted down. */
    gives("2205 2201 03 28 20 0002 0e 27", 1);
}

/* ---- what is wrong ---- */

Test(agent, an_expression_has_an_end)
{
    fails("", -EINVAL);
    fails("2201", -EINVAL);
    fails("2201 21 0005", -EINVAL); /* just behind it */
    fails("21 ffff", -EINVAL);
    fails("27", -EINVAL); /* of what? */
}

Test(agent, operands_are_whole)
{
    static const char *const cut[] = {
        "22",         "23 01",   "24 010203", "25 01020304050607",
        "26 00",      "2201 16", "21 00",     "2201 20",
        "2201 20 00", "2201 2a", "2201 32"};

    for (size_t i = 0; i < AX_ARRAY_LEN(cut); i++)
        fails(cut[i], -EINVAL);
}

Test(agent, nothing_is_taken_from_an_empty_stack)
{
    static const uint8_t takers[] = {0x0e, 0x12, 0x16, 0x17, 0x18, 0x19,
                                     0x1a, 0x20, 0x28, 0x29, 0x2a, 0x32};
    char hex[32];

    for (size_t i = 0; i < AX_ARRAY_LEN(takers); i++) {
        snprintf(hex, sizeof(hex), "%02x 08 08 27", takers[i]);
        fails(hex, -EINVAL);
    }
    for (unsigned op = ADD; op <= LESS_U; op++) {
        if ((op > RSH_U && op < AND) || op == 0x12)
            continue;
        snprintf(hex, sizeof(hex), "2201 %02x 27", op);
        fails(hex, -EINVAL);
    }
    fails("2201 2b 27", -EINVAL);
    fails("2201 2202 33 27", -EINVAL);
}

Test(agent, the_stack_is_bounded)
{
    char hex[2 * AX_AGENT_STACK + 16] = "2207";

    for (unsigned i = 1; i < AX_AGENT_STACK; i++)
        strcat(hex, "28");
    strcat(hex, "27");
    gives(hex, 7);
    strcpy(hex + strlen(hex) - 2, "2827");
    fails(hex, -EINVAL);
    strcpy(hex + strlen(hex) - 4, "220127");
    fails(hex, -EINVAL);
    strcpy(hex + strlen(hex) - 6, "320027");
    fails(hex, -EINVAL);
    strcpy(hex + strlen(hex) - 6, "26000027");
    fails(hex, -EINVAL);
    strcpy(hex + strlen(hex) - 8, "2b27");
    gives(hex, 7);
}

Test(agent, every_evaluation_ends)
{
    uint8_t code[AX_AGENT_STEPS + 2] = {0x22, 1};
    uint64_t out;

    fails("21 0000", -ELOOP);
    fails("2201 28 20 0002 27", -ELOOP);
    memset(code + 2, 0x0e, sizeof(code) - 2);
    code[sizeof(code) - 2] = 0x27; /* is the last that is looked at */
    cr_assert_eq(ax_agent_evaluate(code, sizeof(code), &env, &out), 0);
    code[sizeof(code) - 2] = 0x0e;
    code[sizeof(code) - 1] = 0x27;
    cr_assert_eq(ax_agent_evaluate(code, sizeof(code), &env, &out), -ELOOP);
}

Test(agent, what_is_not_for_conditions)
{
    static const uint8_t foreign[] = {0x01, 0x0c, 0x0d, 0x1b, 0x1c, 0x1d, 0x1e,
                                      0x1f, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x34};
    char hex[32];

    for (size_t i = 0; i < AX_ARRAY_LEN(foreign); i++) {
        snprintf(hex, sizeof(hex), "2201 2201 %02x 0000 27", foreign[i]);
        fails(hex, -EOPNOTSUPP);
    }
    /* A condition on a trace variable: $tv == 1. */
    fails("2c 0001 2201 13 27", -EOPNOTSUPP);
    /* Only what is executed counts. */
    gives("21 0004 0c 2201 27", 1);
}

Test(agent, there_are_no_other_instructions)
{
    char hex[32];

    for (unsigned op = 0; op < 256; op++) {
        if (op && op <= 0x34 && op != 0x31)
            continue;
        snprintf(hex, sizeof(hex), "2201 2201 %02x 0000 27", op);
        fails(hex, -EINVAL);
    }
}

/* ---- what gdb 13 sent as the conditions of breakpoints in
 *
 *   struct p { int x; struct p *n; unsigned char c; short s;
 *              unsigned bf : 3, bg : 5; long long ll; unsigned long ul;
 *              int a[8]; };
 *   int i; struct p *p; unsigned u; long l; unsigned long long q;
 *   signed char sc; char *str;
 *   int f(int arg, struct p *lp) { volatile int loc; ... }
 *
 * compiled by gcc -O0 for x86-64 ---- */

enum {
    VAR_P = 0x404010,
    VAR_I = 0x404040,
    VAR_U = 0x4040a8,
    VAR_L = 0x4040b0,
    VAR_Q = 0x4040b8,
    VAR_SC = 0x4040c0,
    VAR_STR = 0x4040c8,
    RBP = STACK_AT + 128,
    ARG = RBP + 16 - 44,
    LP = RBP + 16 - 56,
    LOC = RBP + 16 - 28,
};

static void program(void)
{
    regs[6] = RBP;
    put(VAR_P, 8, HEAP_AT);
    put(LP, 8, HEAP_AT + 128);
}

Test(agent, gdb_and, .init = program)
{
    /* i == 5 && p->x > 3 */
    static const char code[] =
        "240040404019162022051320001121002924004040101a19162022032b14200024"
        "210029220121002b220027";

    put(VAR_I, 4, 0);
    gives(code, 0);
    put(VAR_I, 4, 5);
    put(HEAP_AT, 4, 3);
    gives(code, 0);
    put(HEAP_AT, 4, 4);
    gives(code, 1);
    put(HEAP_AT, 4, LESS(4));
    gives(code, 0);
    put(VAR_P, 8, 0);
    fails(code, -EFAULT);
    put(VAR_I, 4, 6);
    gives(code, 0); /* p is not looked at */
}

Test(agent, gdb_locals, .init = program)
{
    /* loc / 3 != arg % 4 */
    static const char code[] =
        "26000722100222e4160802191620220305162026000722100222d4160802191620"
        "2204071620130e27";

    regs[7] = RBP; /* this one was in a frame of rsp */
    put(LOC, 4, LESS(7));
    put(ARG, 4, LESS(6));
    gives(code, 0); /* -2, -2 */
    put(ARG, 4, 6);
    gives(code, 1);
    put(LOC, 4, 6);
    gives(code, 0);
}

Test(agent, gdb_shifts, .init = program)
{
    /* (u >> 3) << 2 == 8 && l >> 2 == -1 */
    static const char code[] =
        "24004040a81922032a200b2a2022022a20092a2022082a201320001f21003c2400"
        "4040b01a164022020a164022ff16081320003721003c220121003e220027";

    put(VAR_U, 4, 0x17);
    put(VAR_L, 8, LESS(4));
    gives(code, 1);
    put(VAR_L, 8, LESS(5));
    gives(code, 0);
    put(VAR_L, 8, LESS(1));
    put(VAR_U, 4, 0x18);
    gives(code, 0);
}

Test(agent, gdb_bit_fields, .init = program)
{
    /* lp->bf == 3 && lp->bg > 4 */
    static const char code[] =
        "26000722100222c81608021a221402172a0322032a201320001d21004326000722"
        "100222c81608021a2214021722030b2a0522042a202b1520003e21004322012100"
        "45220027";

    regs[7] = RBP;
    put(HEAP_AT + 128 + 20, 1, 3 | 5 << 3);
    gives(code, 1);
    put(HEAP_AT + 128 + 20, 1, 3 | 4 << 3);
    gives(code, 0);
    put(HEAP_AT + 128 + 20, 1, 2 | 31 << 3);
    gives(code, 0);
}

Test(agent, gdb_arrays, .init = program)
{
    /* lp->a[i] == 4 */
    static const char code[] =
        "26000622100222c81608021a2228022400404040191620220404022a4019162022"
        "041327";

    put(HEAP_AT + 128 + 40 + 4 * 7, 4, 4);
    put(VAR_I, 4, 7);
    gives(code, 1);
    put(VAR_I, 4, 6);
    gives(code, 0);
    put(VAR_I, 4, LESS(1));
    put(HEAP_AT + 128 + 36, 4, 4);
    gives(code, 1);
    put(VAR_I, 4, 1000);
    fails(code, -EFAULT);
}

Test(agent, gdb_registers)
{
    /* $rip == 0x1234 */
    regs[16] = 0x1234;
    gives("2600102a402312341327", 1);
    regs[16] = 0xffffffff00001234;
    gives("2600102a402312341327", 0);
}

Test(agent, gdb_signed_registers)
{
    /* $rax > 3 && $rdi != 0 */
    static const char code[] =
        "260000164022032b1420000f21002326000516402200130e20001e210023220121"
        "0025220027";

    regs[0] = 4;
    regs[5] = MIN;
    gives(code, 1);
    regs[0] = MIN;
    gives(code, 0);
    regs[0] = 4;
    regs[5] = 0;
    gives(code, 0);
}

Test(agent, gdb_choice, .init = program)
{
    /* arg ? u : l */
    static const char code[] =
        "26000622100222d41608021916200e20001b24004040a81921002324004040b01a"
        "164027";

    put(VAR_U, 4, 0xfffffff0);
    put(VAR_L, 8, LESS(9));
    put(ARG, 4, 1);
    gives(code, 0xfffffff0);
    put(ARG, 4, 0);
    gives(code, LESS(9));
}

Test(agent, gdb_wide_constants)
{
    /* q > 0x123456789abcdef0 */
    static const char code[] = "24004040b81a25123456789abcdef02a402b1527";

    put(VAR_Q, 8, 0x123456789abcdef0);
    gives(code, 0);
    put(VAR_Q, 8, 0x123456789abcdef1);
    gives(code, 1);
    put(VAR_Q, 8, MIN);
    gives(code, 1);
}

Test(agent, gdb_characters)
{
    /* sc < -5, str[2] == 120 */
    put(VAR_SC, 1, LESS(6));
    gives("24004040c017160822fb16081427", 1);
    put(VAR_SC, 1, 6);
    gives("24004040c017160822fb16081427", 0);
    put(VAR_STR, 8, HEAP_AT);
    put(HEAP_AT, 3, 'x' << 16);
    gives("24004040c81a2202022a4017160822781327", 1);
    put(VAR_STR, 8, HEAP_AT + 1);
    gives("24004040c81a2202022a4017160822781327", 0);
}

Test(agent, gdb_wraps_in_the_type)
{
    /* -l == 5 && u - 5 * 4 <= 7 */
    static const char code[] =
        "220024004040b01a164003164022051320001621003524004040a81922142a2003"
        "2a2022072a202b150e2000302100352201210037220027";

    put(VAR_L, 8, LESS(5));
    put(VAR_U, 4, 27);
    gives(code, 1);
    put(VAR_U, 4, 28);
    gives(code, 0);
    put(VAR_U, 4, 19); /* 2^32 - 1 */
    gives(code, 0);
}

Test(agent, gdb_or)
{
    /* u / 3 == u % 4 || l < 0 */
    static const char code[] =
        "24004040a81922032a20062a2024004040a81922042a20082a2013200031240040"
        "40b01a16402200142000312200210033220127";

    put(VAR_U, 4, 6);
    gives(code, 1); /* 2, 2 */
    put(VAR_U, 4, 7);
    gives(code, 0);
    put(VAR_L, 8, MIN);
    gives(code, 1);
}

Test(agent, gdb_comma, .init = program)
{
    /* (lp->c, lp->s) == 3 */
    static const char code[] =
        "26000622100222c81608021a2210022926000622100222c81608021a2212021816"
        "1022031327";

    put(HEAP_AT + 128 + 18, 2, 3);
    gives(code, 1);
    put(HEAP_AT + 128 + 18, 2, 4);
    gives(code, 0);
}

Test(agent, gdb_bits)
{
    /* ~i & (l ^ 3 | 8) */
    static const char code[] =
        "240040404019162012162024004040b01a16402203112208100f27";

    put(VAR_I, 4, 0xf0);
    put(VAR_L, 8, 0xf5);
    gives(code, 0xe);
    put(VAR_I, 4, LESS(1));
    gives(code, 0);
}
