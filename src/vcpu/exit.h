/*
 * exit.h - why a vCPU came out of the guest, in AxVisor's words.
 *
 * Types only. One exit is one access: an engine unrolls REP strings, splits odd
 * widths, and alone knows the destination register and its sign extension.
 */
#ifndef AX_VCPU_EXIT_H
#define AX_VCPU_EXIT_H

#include "base.h"

enum ax_exit_kind {
    AX_EXIT_NOTHING, /* re-enter: a kick, a signal, a spurious wake */
    AX_EXIT_HYPERCALL,
    AX_EXIT_MMIO_READ,
    AX_EXIT_MMIO_WRITE,
    AX_EXIT_SYSREG_READ,
    AX_EXIT_SYSREG_WRITE,
    AX_EXIT_IO_READ,
    AX_EXIT_IO_WRITE,
    AX_EXIT_EXTERNAL_INTERRUPT,
    AX_EXIT_NESTED_PAGE_FAULT,
    AX_EXIT_HALT,
    AX_EXIT_CPU_UP,
    AX_EXIT_CPU_DOWN,
    AX_EXIT_SYSTEM_DOWN,
    AX_EXIT_FAIL_ENTRY, /* entry or emulation failed: the vCPU cannot go on */
    AX_EXIT_SEND_IPI,
    AX_EXIT_INTERRUPT_END, /* a level vector was EOId (current AxVisor) */
    AX_EXIT_DEBUG,         /* ours: what vcpu_debug asked for has happened */
    AX_EXIT_KINDS,
};

enum { AX_EXIT_BYTES = 15 }; /* the longest x86 instruction */

/* What a debug exit is about; several may have happened at once. */
enum {
    AX_DEBUG_STEP = 1, /* one instruction was executed */
    AX_DEBUG_SOFT = 2, /* a breakpoint instruction, not executed yet */
    AX_DEBUG_HARD = 4, /* one of struct ax_debug's points */
};

struct ax_exit {
    enum ax_exit_kind kind;
    bool unclaimed; /* set by the handler: nobody answered this access */
    /*
     * Set by the handler: what the guest reads for *_READ, what HYPERCALL and
     * CPU_UP return. Delivered by the next vcpu_run.
     */
    uint64_t answer;
    union {
        struct {
            uint64_t addr; /* gpa, port or register number */
            uint64_t data; /* writes: the value, cut to width */
            uint8_t width; /* bytes: 1, 2, 4 or 8 */
            bool write;
            enum ax_space space;
        } access; /* MMIO_*, IO_*, SYSREG_* */
        struct {
            uint64_t nr, args[6];
        } hypercall;
        struct {
            ax_gpa gpa;
            unsigned prot; /* AX_PROT_* of the access that failed */
        } fault;
        struct {
            uint64_t target, entry, arg; /* target: hardware CPU id */
        } cpu_up;
        struct {
            uint64_t target, aux, vector;
            bool all, self;
        } ipi;
        struct {
            enum ax_power_event event;
            const char *why; /* static text, NULL if the event says it all */
        } power;
        struct {
            uint64_t code;                /* the engine's reason code */
            const char *why;              /* static text: the code decoded */
            uint8_t bytes[AX_EXIT_BYTES]; /* the instruction, if known */
            uint8_t count;
        } fail;
        struct {
            uint64_t vector;
        } interrupt; /* EXTERNAL_INTERRUPT, INTERRUPT_END */
        struct {
            unsigned what;   /* AX_DEBUG_* */
            unsigned points; /* HARD: a bit per point that was hit */
            uint64_t pc;     /* linear address of the next instruction */
        } debug;
    };
};

/* AxVisor's name of a kind: "MmioRead", "SystemDown"... Never NULL. */
const char *ax_exit_name(enum ax_exit_kind kind);

/* Is the exit one access to a device or register, so that .access is valid? */
bool ax_exit_is_access(enum ax_exit_kind kind);

/* "MmioRead addr=0xfec00000 width=4 -> 0xffffffff" into buf; returns buf. */
const char *ax_exit_format(const struct ax_exit *ex, char *buf, size_t size);

#endif
