/*
 * trap.S - 256 entries that all end in trap_dispatch(struct trap_frame *), and
 * the two ways of going where a trap brings one back from.
 */
#include "layout.h"

    .text
    .global trap_stubs
    .balign 16
trap_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    /* 8, 10-14, 17, 21, 29 and 30 push an error code by themselves. */
    .if !((0x60227d00 >> vector) & 1)
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
    .endr
    .rept 224
    .balign 16
    pushq $0
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

trap_common:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    call trap_dispatch
    movq %rbx, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq

/*
 * int trap_try(void (*fn)(void *), void *arg)
 * Calls fn(arg). Returns -1, or the vector of the exception that ended it:
 * trap_dispatch then returns to trap_caught with the vector in RAX.
 */
    .global trap_try, trap_caught
trap_try:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushfq
    movq %rsp, trap_catch
    movq %rdi, %rax
    movq %rsi, %rdi
    call *%rax
    movl $-1, %eax
trap_caught:
    movq $0, trap_catch
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret

/* void user_enter(void (*entry)(uint64_t arg), void *stack, uint64_t arg,
 *                 uint64_t rflags): to ring 3, for good. */
    .global user_enter
user_enter:
    pushq $SEL_USER_DATA
    pushq %rsi
    pushq %rcx
    pushq $SEL_USER_CODE
    pushq %rdi
    movq %rdx, %rdi
    iretq

    .section .note.GNU-stack, "", @progbits
