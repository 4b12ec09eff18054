/*
 * gdb_fpu.c - where the FXSAVE image and the AVX component have what gdb asks
 * for: Intel SDM 1, 8.1 (x87), 10.5.1 (FXSAVE) and chapter 13 (XSAVE).
 */
#include "arch/x86_64/gdb_fpu.h"

#include "base.h"

#include <errno.h>
#include <string.h>

/* Offsets in the image. */
enum {
    AT_CONTROL = 0,
    AT_STATUS = 2,
    AT_TAG = 4, /* a bit per register: it is not empty */
    AT_OPCODE = 6,
    AT_CODE = 8,
    AT_DATA = 16,
    AT_MXCSR = 24,
    AT_MXCSR_MASK = 28,
    AT_ST = 32,
    AT_XMM = 160,
    X87_HEAD = 24, /* bytes */
    X87_BYTES = 128,
    XMM_BYTES = 256,
};

enum {
    INIT_CONTROL = 0x37f,
    INIT_MXCSR = 0x1f80,
    MXCSR_MASK = 0xffbf, /* of a CPU that does not tell */
    OPCODE_MAX = 0x7ff,
};

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };
enum { ST_COUNT = 8, ST_BYTES = 10, SLOT = 16 };

static uint32_t get(const uint8_t *at, unsigned width)
{
    uint32_t val = 0;

    for (unsigned i = width; i-- > 0;)
        val = val << 8 | at[i];
    return val;
}

static void put(uint8_t *at, uint32_t val, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        at[i] = (uint8_t)(val >> 8 * i);
}

/* ---- initial states ---- */

/* MXCSR is saved and loaded with either of its users. */
enum { MXCSR_USERS = AX_X86_COMPONENT_SSE | AX_X86_COMPONENT_AVX };

/* Components that read as they are initially, written out. */
static struct ax_x86_xsave settled(const struct ax_x86_xsave *from)
{
    struct ax_x86_xsave area = *from;

    if (!(area.components & AX_X86_COMPONENT_X87)) {
        memset(area.legacy, 0, X87_HEAD);
        memset(area.legacy + AT_ST, 0, X87_BYTES);
        put(area.legacy + AT_CONTROL, INIT_CONTROL, 2);
    }
    if (!(area.components & MXCSR_USERS))
        put(area.legacy + AT_MXCSR, INIT_MXCSR, 4);
    if (!(area.components & AX_X86_COMPONENT_SSE))
        memset(area.legacy + AT_XMM, 0, XMM_BYTES);
    if (!(area.components & AX_X86_COMPONENT_AVX))
        memset(area.ymm_high, 0, sizeof(area.ymm_high));
    return area;
}

static unsigned component_of(unsigned reg)
{
    if (reg < AX_X86_FPU_XMM)
        return AX_X86_COMPONENT_X87;
    return reg >= AX_X86_FPU_YMM_HIGH && reg < AX_X86_FPU_MXCSR
               ? AX_X86_COMPONENT_AVX
               : AX_X86_COMPONENT_SSE;
}

/* ---- tags ---- */

/* What the CPU would say of a register that is not empty (SDM 1, 8.1.7). */
static unsigned tag_of(const uint8_t *st)
{
    const unsigned exponent = get(st + 8, 2) & 0x7fff;
    const uint32_t high = get(st + 4, 4), low = get(st, 4);

    if (!exponent && !high && !low)
        return TAG_ZERO;
    return exponent && exponent != 0x7fff && high >> 31 ? TAG_VALID
                                                        : TAG_SPECIAL;
}

/* Tags go by register, the image by its place in the stack. */
uint16_t ax_x86_fpu_tags(const uint8_t legacy[512])
{
    const unsigned top = get(legacy + AT_STATUS, 2) >> 11 & 7;
    uint16_t tags = 0;

    for (unsigned i = 0; i < ST_COUNT; i++) {
        const uint8_t *st = legacy + AT_ST + SLOT * ((i - top) % ST_COUNT);
        const unsigned tag =
            legacy[AT_TAG] & 1U << i ? tag_of(st) : (unsigned)TAG_EMPTY;

        tags |= (uint16_t)(tag << 2 * i);
    }
    return tags;
}

/* What kind a register is that is not empty follows from what it holds. */
static uint8_t tags_abridged(uint32_t tags)
{
    uint8_t abridged = 0;

    for (unsigned i = 0; i < ST_COUNT; i++)
        abridged |= (uint8_t)(((tags >> 2 * i & 3) != TAG_EMPTY) << i);
    return abridged;
}

/* ---- registers ---- */

/* Those of 4 bytes that the image has as they are; the others have max 0. */
static const struct {
    uint8_t at, width;
    uint32_t max;
} words[AX_X86_FPU_XMM] = {
    [AX_X86_FPU_CONTROL] = {AT_CONTROL, 2, UINT16_MAX},
    [AX_X86_FPU_STATUS] = {AT_STATUS, 2, UINT16_MAX},
    [AX_X86_FPU_CODE_HIGH] = {AT_CODE + 4, 4, UINT32_MAX},
    [AX_X86_FPU_CODE_LOW] = {AT_CODE, 4, UINT32_MAX},
    [AX_X86_FPU_DATA_HIGH] = {AT_DATA + 4, 4, UINT32_MAX},
    [AX_X86_FPU_DATA_LOW] = {AT_DATA, 4, UINT32_MAX},
    [AX_X86_FPU_OPCODE] = {AT_OPCODE, 2, OPCODE_MAX},
};

/* The bytes of a register that is but copied; NULL: it is not. */
static uint8_t *bytes_of(struct ax_x86_xsave *area, unsigned reg,
                         unsigned *count)
{
    *count = SLOT;
    if (reg < AX_X86_FPU_CONTROL) {
        *count = ST_BYTES;
        return area->legacy + AT_ST + SLOT * reg;
    }
    if (reg >= AX_X86_FPU_YMM_HIGH && reg < AX_X86_FPU_MXCSR)
        return area->ymm_high[reg - AX_X86_FPU_YMM_HIGH];
    if (reg >= AX_X86_FPU_XMM && reg < AX_X86_FPU_YMM_HIGH)
        return area->legacy + AT_XMM + SLOT * (reg - AX_X86_FPU_XMM);
    return NULL;
}

void ax_x86_fpu_get(const struct ax_x86_xsave *from, unsigned reg, uint8_t *buf)
{
    struct ax_x86_xsave area = settled(from);
    unsigned count;
    const uint8_t *bytes = bytes_of(&area, reg, &count);

    if (bytes)
        memcpy(buf, bytes, count);
    else if (reg == AX_X86_FPU_MXCSR)
        memcpy(buf, area.legacy + AT_MXCSR, 4);
    else if (reg == AX_X86_FPU_TAG)
        put(buf, ax_x86_fpu_tags(area.legacy), 4);
    else
        put(buf, get(area.legacy + words[reg].at, words[reg].width), 4);
}

static int set_mxcsr(uint8_t *legacy, uint32_t val)
{
    uint32_t mask = get(legacy + AT_MXCSR_MASK, 4);

    if (val & ~(mask ? mask : (uint32_t)MXCSR_MASK))
        return -EINVAL;
    put(legacy + AT_MXCSR, val, 4);
    return 0;
}

static int set_word(uint8_t *legacy, unsigned reg, uint32_t val)
{
    if (reg == AX_X86_FPU_MXCSR)
        return set_mxcsr(legacy, val);
    if (reg == AX_X86_FPU_TAG) {
        legacy[AT_TAG] = tags_abridged(val);
        return val > UINT16_MAX ? -EINVAL : 0;
    }
    put(legacy + words[reg].at, val, words[reg].width);
    return val > words[reg].max ? -EINVAL : 0;
}

int ax_x86_fpu_set(struct ax_x86_xsave *to, unsigned reg, const uint8_t *buf)
{
    struct ax_x86_xsave area = settled(to);
    unsigned count;
    uint8_t *bytes = bytes_of(&area, reg, &count);
    int err = 0;

    if (bytes)
        memcpy(bytes, buf, count);
    else
        err = set_word(area.legacy, reg, get(buf, 4));
    if (err)
        return err;
    area.components |= component_of(reg);
    *to = area;
    return 0;
}
