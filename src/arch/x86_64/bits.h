/*
 * bits.h - names of single bits in registers, for whoever prints them: Intel
 * SDM 1, 3.4.3 (RFLAGS) and 10.2.3 (MXCSR); 3A, 2.2.1 (EFER) and 2.5 (control
 * registers); AMD APM 2, 3.1.7 (EFER from bit 12 on).
 *
 * Each list calls X(bit number, name), ascending.
 */
#ifndef AX_ARCH_X86_64_BITS_H
#define AX_ARCH_X86_64_BITS_H

#define AX_X86_RFLAGS_BITS(X)                                                  \
    X(0, CF)                                                                   \
    X(2, PF)                                                                   \
    X(4, AF)                                                                   \
    X(6, ZF)                                                                   \
    X(7, SF)                                                                   \
    X(8, TF)                                                                   \
    X(9, IF)                                                                   \
    X(10, DF)                                                                  \
    X(11, OF)                                                                  \
    X(14, NT)                                                                  \
    X(16, RF)                                                                  \
    X(17, VM)                                                                  \
    X(18, AC)                                                                  \
    X(19, VIF)                                                                 \
    X(20, VIP)                                                                 \
    X(21, ID)

#define AX_X86_CR0_BITS(X)                                                     \
    X(0, PE)                                                                   \
    X(1, MP)                                                                   \
    X(2, EM)                                                                   \
    X(3, TS)                                                                   \
    X(4, ET)                                                                   \
    X(5, NE)                                                                   \
    X(16, WP)                                                                  \
    X(18, AM)                                                                  \
    X(29, NW)                                                                  \
    X(30, CD)                                                                  \
    X(31, PG)

#define AX_X86_CR4_BITS(X)                                                     \
    X(0, VME)                                                                  \
    X(1, PVI)                                                                  \
    X(2, TSD)                                                                  \
    X(3, DE)                                                                   \
    X(4, PSE)                                                                  \
    X(5, PAE)                                                                  \
    X(6, MCE)                                                                  \
    X(7, PGE)                                                                  \
    X(8, PCE)                                                                  \
    X(9, OSFXSR)                                                               \
    X(10, OSXMMEXCPT)                                                          \
    X(11, UMIP)                                                                \
    X(12, LA57)                                                                \
    X(13, VMXE)                                                                \
    X(14, SMXE)                                                                \
    X(16, FSGSBASE)                                                            \
    X(17, PCIDE)                                                               \
    X(18, OSXSAVE)                                                             \
    X(19, KL)                                                                  \
    X(20, SMEP)                                                                \
    X(21, SMAP)                                                                \
    X(22, PKE)                                                                 \
    X(23, CET)                                                                 \
    X(24, PKS)

#define AX_X86_EFER_BITS(X)                                                    \
    X(0, SCE)                                                                  \
    X(8, LME)                                                                  \
    X(10, LMA)                                                                 \
    X(11, NXE)                                                                 \
    X(12, SVME)                                                                \
    X(13, LMSLE)                                                               \
    X(14, FFXSR)                                                               \
    X(15, TCE)

#define AX_X86_MXCSR_BITS(X)                                                   \
    X(0, IE)                                                                   \
    X(1, DE)                                                                   \
    X(2, ZE)                                                                   \
    X(3, OE)                                                                   \
    X(4, UE)                                                                   \
    X(5, PE)                                                                   \
    X(6, DAZ)                                                                  \
    X(7, IM)                                                                   \
    X(8, DM)                                                                   \
    X(9, ZM)                                                                   \
    X(10, OM)                                                                  \
    X(11, UM)                                                                  \
    X(12, PM)                                                                  \
    X(15, FZ)

#endif
