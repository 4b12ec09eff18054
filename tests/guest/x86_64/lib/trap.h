/*
 * trap.h - interrupts and exceptions: one handler per vector, and code that is
 * expected to fault.
 */
#ifndef GUEST_TRAP_H
#define GUEST_TRAP_H

#include "cpu.h"

enum {
    TRAP_DE = 0,
    TRAP_DB = 1,
    TRAP_BP = 3,
    TRAP_UD = 6,
    TRAP_GP = 13,
    TRAP_PF = 14,
    TRAP_NONE = -1,
};

/* As trap.S pushes it. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

typedef void trap_handler(struct trap_frame *frame);

/* The exception that ended the last trap_try. */
extern struct trap_frame trap_last;

void trap_init(void); /* the boot CPU: IDT for exceptions, task register */
void trap_load(void); /* every CPU: the IDT register */

/* An interrupt handler; it acknowledges its controller itself. */
void trap_set(uint8_t vector, trap_handler *handler);

/* Calls fn(arg): TRAP_NONE, or the exception that ended it. Boot CPU only. */
int trap_try(void (*fn)(void *arg), void *arg);

/*
 * Runs entry(arg) in ring 3 on a stack of its own, until an exception that no
 * handler takes; returns its vector. Flags: RFLAGS in ring 3, bit 1 implied.
 */
int user_run(void (*entry)(uint64_t arg), uint64_t arg, uint64_t flags);

#endif
