/*
 * dump.c - the crash report of an x86_64 vCPU: mode, registers, and the
 * instruction at which it stands.
 *
 * Disassembly is by capstone, opened when it is first needed: a start-up pays
 * nothing for it, and without the library the report has the bytes alone.
 */
#include "arch/x86_64/bits.h"
#include "arch/x86_64/machine.h"
#include "arch/x86_64/mode.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/regs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if !defined(AX_STATIC) && defined(__has_include)
#if __has_include(<capstone/capstone.h>)
#define DUMP_CAPSTONE 1
#include <capstone/capstone.h>
#include <dlfcn.h>
#endif
#endif

enum { DUMP_LINE = 160, DUMP_BYTES = AX_EXIT_BYTES, DUMP_INSNS = 3 };

struct dump {
    const struct ax_backend_ops *ops;
    struct ax_engine_vcpu *vcpu;
    const struct ax_memory *mem;
    void (*line)(void *ctx, const char *text);
    void *ctx;
};

static uint64_t dump_reg(const struct dump *d, unsigned reg)
{
    return ax_x86_reg(d->ops, d->vcpu, reg);
}

__attribute__((format(printf, 2, 3))) static void
dump_line(const struct dump *d, const char *fmt, ...)
{
    char text[DUMP_LINE];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    d->line(d->ctx, text);
}

struct dump_bit {
    uint64_t bit;
    const char *name;
};

#define DUMP_BIT(bit, name) {1ULL << (bit), #name},

static const struct dump_bit rflags_bits[] = {
    AX_X86_RFLAGS_BITS(DUMP_BIT){0, NULL}};
static const struct dump_bit cr0_bits[] = {AX_X86_CR0_BITS(DUMP_BIT){0, NULL}};
static const struct dump_bit cr4_bits[] = {AX_X86_CR4_BITS(DUMP_BIT){0, NULL}};
static const struct dump_bit efer_bits[] = {
    AX_X86_EFER_BITS(DUMP_BIT){0, NULL}};

/* "name value [set bits]"; unknown bits show in the value. */
static void dump_flags(const struct dump *d, const char *name, unsigned reg,
                       const struct dump_bit *bits)
{
    const uint64_t val = dump_reg(d, reg);
    char text[DUMP_LINE] = "";
    size_t len = 0;

    for (; bits->name; bits++) {
        if ((val & bits->bit) && len < sizeof(text))
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
                                    len ? " " : "", bits->name);
    }
    dump_line(d, "%-6s %016" PRIx64 "  [%s]", name, val, text);
}

static const struct {
    const char *name;
    unsigned reg;
} general[] = {
    {"RAX", AX_X86_RAX}, {"RBX", AX_X86_RBX}, {"RCX", AX_X86_RCX},
    {"RDX", AX_X86_RDX}, {"RSI", AX_X86_RSI}, {"RDI", AX_X86_RDI},
    {"RBP", AX_X86_RBP}, {"RSP", AX_X86_RSP}, {"R8", AX_X86_R8},
    {"R9", AX_X86_R9},   {"R10", AX_X86_R10}, {"R11", AX_X86_R11},
    {"R12", AX_X86_R12}, {"R13", AX_X86_R13}, {"R14", AX_X86_R14},
    {"R15", AX_X86_R15},
};

static void dump_general(const struct dump *d)
{
    for (size_t i = 0; i + 3 < AX_ARRAY_LEN(general); i += 4)
        dump_line(d,
                  "%-3s %016" PRIx64 "  %-3s %016" PRIx64 "  %-3s %016" PRIx64
                  "  %-3s %016" PRIx64,
                  general[i].name, dump_reg(d, general[i].reg),
                  general[i + 1].name, dump_reg(d, general[i + 1].reg),
                  general[i + 2].name, dump_reg(d, general[i + 2].reg),
                  general[i + 3].name, dump_reg(d, general[i + 3].reg));
}

static const char *dump_segment_kind(uint64_t ar)
{
    if ((ar & AX_X86_AR_UNUSABLE) || !(ar & AX_X86_AR_PRESENT))
        return "unusable";
    if (!(ar & AX_X86_AR_CODE_OR_DATA))
        return "system";
    if (!(ar & AX_X86_AR_CODE))
        return "data";
    return ar & AX_X86_AR_LONG ? "64-bit code"
           : ar & AX_X86_AR_DB ? "32-bit code"
                               : "16-bit code";
}

static const struct {
    const char *name;
    unsigned reg;
} segments[] = {
    {"CS", AX_X86_CS},    {"DS", AX_X86_DS}, {"ES", AX_X86_ES},
    {"SS", AX_X86_SS},    {"FS", AX_X86_FS}, {"GS", AX_X86_GS},
    {"LDT", AX_X86_LDTR}, {"TR", AX_X86_TR},
};

static void dump_segments(const struct dump *d)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(segments); i++) {
        const unsigned reg = segments[i].reg;
        const uint64_t ar = dump_reg(d, reg + AX_X86_SEG_AR);

        dump_line(d,
                  "%-3s %04" PRIx64 "  base %016" PRIx64 "  limit %08" PRIx64
                  "  access %05" PRIx64 "  DPL %u, %s",
                  segments[i].name, dump_reg(d, reg + AX_X86_SEG_SELECTOR),
                  dump_reg(d, reg + AX_X86_SEG_BASE),
                  dump_reg(d, reg + AX_X86_SEG_LIMIT), ar,
                  (unsigned)(ar >> 5 & 3), dump_segment_kind(ar));
    }
    dump_line(d, "GDT       base %016" PRIx64 "  limit %08" PRIx64,
              dump_reg(d, AX_X86_GDT_BASE), dump_reg(d, AX_X86_GDT_LIMIT));
    dump_line(d, "IDT       base %016" PRIx64 "  limit %08" PRIx64,
              dump_reg(d, AX_X86_IDT_BASE), dump_reg(d, AX_X86_IDT_LIMIT));
}

/* Byte by byte, as an instruction may cross into a page that lies elsewhere. */
static unsigned dump_fetch(const struct dump *d, uint64_t linear, uint8_t *buf)
{
    const struct ax_x86_paging paging = {
        .cr0 = dump_reg(d, AX_X86_CR0),
        .cr3 = dump_reg(d, AX_X86_CR3),
        .cr4 = dump_reg(d, AX_X86_CR4),
        .efer = dump_reg(d, AX_X86_EFER),
    };
    unsigned count = 0;

    for (; count < DUMP_BYTES; count++) {
        const uint8_t *at;
        ax_gpa gpa;

        if (!ax_x86_translate(d->mem, &paging, linear + count, &gpa, NULL))
            break;
        at = ax_memory_at(d->mem, gpa, 1, AX_PROT_READ);
        if (!at)
            break;
        buf[count] = *at;
    }
    return count;
}

#ifdef DUMP_CAPSTONE
static void dump_decode(const struct dump *d, csh handle,
                        size_t (*disasm)(csh, const uint8_t *, size_t, uint64_t,
                                         size_t, cs_insn **),
                        void (*release)(cs_insn *, size_t),
                        const uint8_t *bytes, unsigned count, uint64_t rip)
{
    cs_insn *insns = NULL;
    const size_t n = disasm(handle, bytes, count, rip, DUMP_INSNS, &insns);

    for (size_t i = 0; i < n; i++)
        dump_line(d, "  %" PRIx64 ":  %s %s", insns[i].address,
                  insns[i].mnemonic, insns[i].op_str);
    if (!n)
        dump_line(d, "  (no valid instruction)");
    else
        release(insns, n);
}

static bool dump_disassemble(const struct dump *d, const uint8_t *bytes,
                             unsigned count, uint64_t rip, unsigned bits)
{
    const cs_mode mode = bits == 64   ? CS_MODE_64
                         : bits == 32 ? CS_MODE_32
                                      : CS_MODE_16;
    void *lib = dlopen("libcapstone.so.4", RTLD_NOW | RTLD_LOCAL);
    __typeof__(&cs_open) open_ = NULL;
    __typeof__(&cs_close) close_ = NULL;
    __typeof__(&cs_disasm) disasm_ = NULL;
    __typeof__(&cs_free) free_ = NULL;
    csh handle = 0;
    bool ok;

    if (!lib)
        return false;
    *(void **)&open_ = dlsym(lib, "cs_open");
    *(void **)&close_ = dlsym(lib, "cs_close");
    *(void **)&disasm_ = dlsym(lib, "cs_disasm");
    *(void **)&free_ = dlsym(lib, "cs_free");
    ok = open_ && close_ && disasm_ && free_ &&
         open_(CS_ARCH_X86, mode, &handle) == CS_ERR_OK;
    if (ok) {
        dump_decode(d, handle, disasm_, free_, bytes, count, rip);
        close_(&handle);
    }
    dlclose(lib);
    return ok;
}

static const char no_disassembler[] =
    "  (install libcapstone4 to see this disassembled)";
#else
static bool dump_disassemble(const struct dump *d, const uint8_t *bytes,
                             unsigned count, uint64_t rip, unsigned bits)
{
    return false;
}

static const char no_disassembler[] =
    "  (not disassembled: this binary was built without capstone)";
#endif

static void dump_code(const struct dump *d, const uint8_t *bytes,
                      unsigned count, unsigned bits)
{
    const uint64_t rip = dump_reg(d, AX_X86_RIP);
    char text[3 * DUMP_BYTES + 1] = "";
    uint8_t fetched[DUMP_BYTES];

    if (count > DUMP_BYTES)
        count = DUMP_BYTES;
    if (!count) {
        count = dump_fetch(d, ax_x86_linear_pc(d->ops, d->vcpu), fetched);
        bytes = fetched;
    }
    if (!count) {
        dump_line(d, "code:  RIP points to no memory");
        return;
    }
    for (unsigned i = 0; i < count; i++)
        snprintf(text + 3 * (size_t)i, 4, " %02x", bytes[i]);
    dump_line(d, "code: %s", text);
    if (!dump_disassemble(d, bytes, count, rip, bits))
        dump_line(d, "%s", no_disassembler);
}

void ax_x86_dump(const struct ax_backend_ops *ops, struct ax_engine_vcpu *vcpu,
                 const struct ax_memory *mem, const uint8_t *bytes,
                 unsigned count, void (*line)(void *ctx, const char *text),
                 void *ctx)
{
    const struct dump d = {
        .ops = ops,
        .vcpu = vcpu,
        .mem = mem,
        .line = line,
        .ctx = ctx,
    };
    const struct ax_x86_mode mode = ax_x86_mode(ops, vcpu);

    dump_line(&d, "RIP %016" PRIx64 "  %s, CPL %u, paging %s",
              dump_reg(&d, AX_X86_RIP), mode.name, mode.cpl,
              dump_reg(&d, AX_X86_CR0) & AX_X86_CR0_PG ? "on" : "off");
    dump_general(&d);
    dump_flags(&d, "RFLAGS", AX_X86_RFLAGS, rflags_bits);
    dump_segments(&d);
    dump_flags(&d, "CR0", AX_X86_CR0, cr0_bits);
    dump_flags(&d, "CR4", AX_X86_CR4, cr4_bits);
    dump_flags(&d, "EFER", AX_X86_EFER, efer_bits);
    dump_line(&d, "CR2    %016" PRIx64 "  CR3 %016" PRIx64 "  CR8 %" PRIx64,
              dump_reg(&d, AX_X86_CR2), dump_reg(&d, AX_X86_CR3),
              dump_reg(&d, AX_X86_CR8));
    dump_code(&d, bytes, count, mode.bits);
}
