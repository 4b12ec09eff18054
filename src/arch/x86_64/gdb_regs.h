/*
 * gdb_regs.h - the registers that gdb sees of an x86 CPU, as lists: one word in
 * each makes the description that gdb reads and the table that gdb.c goes by.
 * Private to gdb.c.
 *
 * Names, sizes and order of the features org.gnu.gdb.i386.* are gdb's (GDB
 * manual, G.5.16 "x86 Features"); org.axvm.x86.system is ours. What a "g"
 * packet has comes first: it costs the engine few calls, all in one go.
 *
 * R(name, bits, gdb's type, more attributes, kind, argument of the kind)
 */
#ifndef AX_ARCH_X86_64_GDB_REGS_H
#define AX_ARCH_X86_64_GDB_REGS_H

#include "arch/x86_64/bits.h"
#include "arch/x86_64/gdb_fpu.h"
#include "arch/x86_64/regs.h"

/*
 * Where gdb shows a register, and whether it saves and restores it around the
 * call of a function in the guest. For x86, gdb 13 heeds neither with registers
 * that it does not know: they are among the general ones, and restored. This is
 * why the time stamp counter, which would go back, is not among them.
 */
#define GDB_GENERAL ""
#define GDB_FLOAT   " group=\"float\""
#define GDB_VECTOR  " group=\"vector\""
#define GDB_SYSTEM  " group=\"system\" save-restore=\"no\""

#define GDB_SELECTOR(R, name, reg)                                             \
    R(name, 32, "int32", GDB_GENERAL, SELECTOR, reg)

#define GDB_SELECTORS(R)                                                       \
    GDB_SELECTOR(R, cs, AX_X86_CS)                                             \
    GDB_SELECTOR(R, ss, AX_X86_SS)                                             \
    GDB_SELECTOR(R, ds, AX_X86_DS)                                             \
    GDB_SELECTOR(R, es, AX_X86_ES)                                             \
    GDB_SELECTOR(R, fs, AX_X86_FS)                                             \
    GDB_SELECTOR(R, gs, AX_X86_GS)

#define GDB_ST(R, i)                                                           \
    R(st##i, 80, "i387_ext", GDB_FLOAT, XSAVE, AX_X86_FPU_ST + i)
#define GDB_FPU(R, name, part)                                                 \
    R(name, 32, "int32", GDB_FLOAT, XSAVE, AX_X86_FPU_##part)

#define GDB_X87(R)                                                             \
    GDB_ST(R, 0)                                                               \
    GDB_ST(R, 1)                                                               \
    GDB_ST(R, 2)                                                               \
    GDB_ST(R, 3)                                                               \
    GDB_ST(R, 4)                                                               \
    GDB_ST(R, 5)                                                               \
    GDB_ST(R, 6)                                                               \
    GDB_ST(R, 7)                                                               \
    GDB_FPU(R, fctrl, CONTROL)                                                 \
    GDB_FPU(R, fstat, STATUS)                                                  \
    GDB_FPU(R, ftag, TAG)                                                      \
    GDB_FPU(R, fiseg, CODE_HIGH)                                               \
    GDB_FPU(R, fioff, CODE_LOW)                                                \
    GDB_FPU(R, foseg, DATA_HIGH)                                               \
    GDB_FPU(R, fooff, DATA_LOW)                                                \
    GDB_FPU(R, fop, OPCODE)

#define GDB_LONG(R, name, type, reg)                                           \
    R(name, 64, type, GDB_GENERAL, PLAIN, AX_X86_##reg)

#define GDB_CORE_64(R)                                                         \
    GDB_LONG(R, rax, "int64", RAX)                                             \
    GDB_LONG(R, rbx, "int64", RBX)                                             \
    GDB_LONG(R, rcx, "int64", RCX)                                             \
    GDB_LONG(R, rdx, "int64", RDX)                                             \
    GDB_LONG(R, rsi, "int64", RSI)                                             \
    GDB_LONG(R, rdi, "int64", RDI)                                             \
    GDB_LONG(R, rbp, "data_ptr", RBP)                                          \
    GDB_LONG(R, rsp, "data_ptr", RSP)                                          \
    GDB_LONG(R, r8, "int64", R8)                                               \
    GDB_LONG(R, r9, "int64", R9)                                               \
    GDB_LONG(R, r10, "int64", R10)                                             \
    GDB_LONG(R, r11, "int64", R11)                                             \
    GDB_LONG(R, r12, "int64", R12)                                             \
    GDB_LONG(R, r13, "int64", R13)                                             \
    GDB_LONG(R, r14, "int64", R14)                                             \
    GDB_LONG(R, r15, "int64", R15)                                             \
    GDB_LONG(R, rip, "code_ptr", RIP)                                          \
    R(eflags, 32, "x86_eflags", GDB_GENERAL, FLAGS, AX_X86_RFLAGS)             \
    GDB_SELECTORS(R)                                                           \
    GDB_X87(R)

#define GDB_SHORT(R, name, type, reg)                                          \
    R(name, 32, type, GDB_GENERAL, PLAIN, AX_X86_##reg)

#define GDB_CORE_32(R)                                                         \
    GDB_SHORT(R, eax, "int32", RAX)                                            \
    GDB_SHORT(R, ecx, "int32", RCX)                                            \
    GDB_SHORT(R, edx, "int32", RDX)                                            \
    GDB_SHORT(R, ebx, "int32", RBX)                                            \
    GDB_SHORT(R, esp, "data_ptr", RSP)                                         \
    GDB_SHORT(R, ebp, "data_ptr", RBP)                                         \
    GDB_SHORT(R, esi, "int32", RSI)                                            \
    GDB_SHORT(R, edi, "int32", RDI)                                            \
    GDB_SHORT(R, eip, "code_ptr", RIP)                                         \
    R(eflags, 32, "x86_eflags", GDB_GENERAL, FLAGS, AX_X86_RFLAGS)             \
    GDB_SELECTORS(R)                                                           \
    GDB_X87(R)

#define GDB_XMM(R, i)                                                          \
    R(xmm##i, 128, "vec128", GDB_VECTOR, XSAVE, AX_X86_FPU_XMM + i)

#define GDB_XMM_8(R)                                                           \
    GDB_XMM(R, 0)                                                              \
    GDB_XMM(R, 1)                                                              \
    GDB_XMM(R, 2)                                                              \
    GDB_XMM(R, 3)                                                              \
    GDB_XMM(R, 4)                                                              \
    GDB_XMM(R, 5)                                                              \
    GDB_XMM(R, 6)                                                              \
    GDB_XMM(R, 7)

#define GDB_MXCSR(R)                                                           \
    R(mxcsr, 32, "x86_mxcsr", GDB_VECTOR, XSAVE, AX_X86_FPU_MXCSR)

#define GDB_SSE_64(R)                                                          \
    GDB_XMM_8(R)                                                               \
    GDB_XMM(R, 8)                                                              \
    GDB_XMM(R, 9)                                                              \
    GDB_XMM(R, 10)                                                             \
    GDB_XMM(R, 11)                                                             \
    GDB_XMM(R, 12)                                                             \
    GDB_XMM(R, 13)                                                             \
    GDB_XMM(R, 14)                                                             \
    GDB_XMM(R, 15)                                                             \
    GDB_MXCSR(R)

#define GDB_SSE_32(R)                                                          \
    GDB_XMM_8(R)                                                               \
    GDB_MXCSR(R)

#define GDB_BASE(R, name, bits, group, seg)                                    \
    R(name, bits, "int" #bits, group, PLAIN, AX_X86_##seg + AX_X86_SEG_BASE)

#define GDB_SEGMENTS(R, bits)                                                  \
    GDB_BASE(R, fs_base, bits, GDB_GENERAL, FS)                                \
    GDB_BASE(R, gs_base, bits, GDB_GENERAL, GS)

/* From here on gdb asks for one at a time. */

#define GDB_YMM(R, i)                                                          \
    R(ymm##i##h, 128, "uint128", GDB_VECTOR, XSAVE, AX_X86_FPU_YMM_HIGH + i)

#define GDB_AVX_32(R)                                                          \
    GDB_YMM(R, 0)                                                              \
    GDB_YMM(R, 1)                                                              \
    GDB_YMM(R, 2)                                                              \
    GDB_YMM(R, 3)                                                              \
    GDB_YMM(R, 4)                                                              \
    GDB_YMM(R, 5)                                                              \
    GDB_YMM(R, 6)                                                              \
    GDB_YMM(R, 7)

#define GDB_AVX_64(R)                                                          \
    GDB_AVX_32(R)                                                              \
    GDB_YMM(R, 8)                                                              \
    GDB_YMM(R, 9)                                                              \
    GDB_YMM(R, 10)                                                             \
    GDB_YMM(R, 11)                                                             \
    GDB_YMM(R, 12)                                                             \
    GDB_YMM(R, 13)                                                             \
    GDB_YMM(R, 14)                                                             \
    GDB_YMM(R, 15)

#define GDB_SYS(R, name, bits, type, kind, reg)                                \
    R(name, bits, type, GDB_SYSTEM, kind, AX_X86_##reg)
/* gdb assigns to a value of flags only what is of its size, and a number as one
 * types it has 4 bytes. These have nothing above that. */
#define GDB_BITS(R, name, type, reg) GDB_SYS(R, name, 32, type, PLAIN, reg)
#define GDB_MSR(R, name, reg)        GDB_SYS(R, name, 64, "uint64", PLAIN, reg)
#define GDB_DESCRIPTOR(R, name, bits, seg)                                     \
    GDB_SYS(R, name, 16, "uint16", FIXED, seg)                                 \
    GDB_SYS(R, name##_base, bits, "uint" #bits, PLAIN, seg + AX_X86_SEG_BASE)  \
    GDB_SYS(R, name##_limit, 32, "uint32", FIXED, seg + AX_X86_SEG_LIMIT)

#define GDB_SYSTEM_REGS(R, bits)                                               \
    GDB_MSR(R, k_gs_base, KERNEL_GS_BASE)                                      \
    GDB_BITS(R, cr0, "x86_cr0", CR0)                                           \
    GDB_SYS(R, cr2, bits, "uint" #bits, PLAIN, CR2)                            \
    GDB_SYS(R, cr3, bits, "uint" #bits, PLAIN, CR3)                            \
    GDB_BITS(R, cr4, "x86_cr4", CR4)                                           \
    GDB_SYS(R, cr8, bits, "uint" #bits, PLAIN, CR8)                            \
    GDB_BITS(R, efer, "x86_efer", EFER)                                        \
    GDB_SYS(R, gdtr_base, bits, "uint" #bits, PLAIN, GDT_BASE)                 \
    GDB_SYS(R, gdtr_limit, 16, "uint16", PLAIN, GDT_LIMIT)                     \
    GDB_SYS(R, idtr_base, bits, "uint" #bits, PLAIN, IDT_BASE)                 \
    GDB_SYS(R, idtr_limit, 16, "uint16", PLAIN, IDT_LIMIT)                     \
    GDB_DESCRIPTOR(R, ldtr, bits, LDTR)                                        \
    GDB_DESCRIPTOR(R, tr, bits, TR)                                            \
    GDB_BASE(R, cs_base, bits, GDB_SYSTEM, CS)                                 \
    GDB_BASE(R, ss_base, bits, GDB_SYSTEM, SS)                                 \
    GDB_BASE(R, ds_base, bits, GDB_SYSTEM, DS)                                 \
    GDB_BASE(R, es_base, bits, GDB_SYSTEM, ES)                                 \
    GDB_SYS(R, dr0, bits, "uint" #bits, PLAIN, DR0)                            \
    GDB_SYS(R, dr1, bits, "uint" #bits, PLAIN, DR1)                            \
    GDB_SYS(R, dr2, bits, "uint" #bits, PLAIN, DR2)                            \
    GDB_SYS(R, dr3, bits, "uint" #bits, PLAIN, DR3)                            \
    GDB_SYS(R, dr6, bits, "uint" #bits, PLAIN, DR6)                            \
    GDB_SYS(R, dr7, bits, "uint" #bits, PLAIN, DR7)                            \
    GDB_MSR(R, xcr0, XCR0)                                                     \
    GDB_SYS(R, apic_base, 64, "uint64", FIXED, APIC_BASE)                      \
    GDB_MSR(R, star, STAR)                                                     \
    GDB_MSR(R, lstar, LSTAR)                                                   \
    GDB_MSR(R, cstar, CSTAR)                                                   \
    GDB_MSR(R, sfmask, SFMASK)                                                 \
    GDB_MSR(R, sysenter_cs, SYSENTER_CS)                                       \
    GDB_MSR(R, sysenter_esp, SYSENTER_ESP)                                     \
    GDB_MSR(R, sysenter_eip, SYSENTER_EIP)                                     \
    GDB_MSR(R, pat, PAT)                                                       \
    GDB_MSR(R, misc_enable, MISC_ENABLE)                                       \
    GDB_MSR(R, tsc_aux, TSC_AUX)

#define GDB_GENERAL_64(R) GDB_CORE_64(R) GDB_SSE_64(R) GDB_SEGMENTS(R, 64)
#define GDB_GENERAL_32(R) GDB_CORE_32(R) GDB_SSE_32(R) GDB_SEGMENTS(R, 32)
#define GDB_ALL_64(R)     GDB_GENERAL_64(R) GDB_AVX_64(R) GDB_SYSTEM_REGS(R, 64)
#define GDB_ALL_32(R)     GDB_GENERAL_32(R) GDB_AVX_32(R) GDB_SYSTEM_REGS(R, 32)

/* ---- the description ---- */

#define GDB_XML_REG(name, bits, type, more, kind, arg)                         \
    "<reg name=\"" #name "\" bitsize=\"" #bits "\" type=\"" type "\"" more     \
    "/>\n"

#define GDB_XML_BIT(bit, name)                                                 \
    "<field name=\"" #name "\" start=\"" #bit "\" end=\"" #bit "\"/>\n"
#define GDB_XML_FLAGS_END "</flags>\n"
#define GDB_XML_FLAGS(id, bits)                                                \
    "<flags id=\"" id "\" size=\"4\">\n" bits(GDB_XML_BIT) GDB_XML_FLAGS_END

#define GDB_XML_VECTOR(id, type, count)                                        \
    "<vector id=\"" id "\" type=\"" type "\" count=\"" count "\"/>\n"
#define GDB_XML_VEC128                                                         \
    GDB_XML_VECTOR("v4f", "ieee_single", "4")                                  \
    GDB_XML_VECTOR("v2d", "ieee_double", "2")                                  \
    GDB_XML_VECTOR("v16i8", "int8", "16")                                      \
    GDB_XML_VECTOR("v8i16", "int16", "8")                                      \
    GDB_XML_VECTOR("v4i32", "int32", "4")                                      \
    GDB_XML_VECTOR("v2i64", "int64", "2")                                      \
    "<union id=\"vec128\">\n"                                                  \
    "<field name=\"v4_float\" type=\"v4f\"/>\n"                                \
    "<field name=\"v2_double\" type=\"v2d\"/>\n"                               \
    "<field name=\"v16_int8\" type=\"v16i8\"/>\n"                              \
    "<field name=\"v8_int16\" type=\"v8i16\"/>\n"                              \
    "<field name=\"v4_int32\" type=\"v4i32\"/>\n"                              \
    "<field name=\"v2_int64\" type=\"v2i64\"/>\n"                              \
    "<field name=\"uint128\" type=\"uint128\"/>\n"                             \
    "</union>\n"

#define GDB_XML_FEATURE(name, content)                                         \
    "<feature name=\"" name "\">\n" content "</feature>\n"

#define GDB_XML_CORE(regs)                                                     \
    GDB_XML_FEATURE("org.gnu.gdb.i386.core",                                   \
                    GDB_XML_FLAGS("x86_eflags", AX_X86_RFLAGS_BITS) regs)
#define GDB_XML_SSE(regs)                                                      \
    GDB_XML_FEATURE(                                                           \
        "org.gnu.gdb.i386.sse",                                                \
        GDB_XML_VEC128 GDB_XML_FLAGS("x86_mxcsr", AX_X86_MXCSR_BITS) regs)
#define GDB_XML_SEGMENTS(regs)                                                 \
    GDB_XML_FEATURE("org.gnu.gdb.i386.segments", regs)
#define GDB_XML_AVX(regs) GDB_XML_FEATURE("org.gnu.gdb.i386.avx", regs)
#define GDB_XML_SYSTEM(regs)                                                   \
    GDB_XML_FEATURE("org.axvm.x86.system",                                     \
                    GDB_XML_FLAGS("x86_cr0", AX_X86_CR0_BITS)                  \
                        GDB_XML_FLAGS("x86_cr4", AX_X86_CR4_BITS)              \
                            GDB_XML_FLAGS("x86_efer", AX_X86_EFER_BITS) regs)

/*
 * Whose conventions the program follows is the program's file to say: without
 * a word gdb would take it to be Linux's.
 */
#define GDB_XML_HEAD(arch)                                                     \
    "<?xml version=\"1.0\"?>\n"                                                \
    "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"                            \
    "<target version=\"1.0\">\n"                                               \
    "<architecture>" arch "</architecture>\n"                                  \
    "<osabi>none</osabi>\n"
#define GDB_XML_END "</target>\n"

#define GDB_XML_64                                                             \
    GDB_XML_HEAD("i386:x86-64")                                                \
    GDB_XML_CORE(GDB_CORE_64(GDB_XML_REG))                                     \
    GDB_XML_SSE(GDB_SSE_64(GDB_XML_REG))                                       \
    GDB_XML_SEGMENTS(GDB_SEGMENTS(GDB_XML_REG, 64))                            \
    GDB_XML_AVX(GDB_AVX_64(GDB_XML_REG))                                       \
    GDB_XML_SYSTEM(GDB_SYSTEM_REGS(GDB_XML_REG, 64))                           \
    GDB_XML_END

#define GDB_XML_32(arch)                                                       \
    GDB_XML_HEAD(arch)                                                         \
    GDB_XML_CORE(GDB_CORE_32(GDB_XML_REG))                                     \
    GDB_XML_SSE(GDB_SSE_32(GDB_XML_REG))                                       \
    GDB_XML_SEGMENTS(GDB_SEGMENTS(GDB_XML_REG, 32))                            \
    GDB_XML_AVX(GDB_AVX_32(GDB_XML_REG))                                       \
    GDB_XML_SYSTEM(GDB_SYSTEM_REGS(GDB_XML_REG, 32))                           \
    GDB_XML_END

#endif
