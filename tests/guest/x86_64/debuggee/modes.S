/*
 * modes.S - a trip through the modes of the CPU, with a place to stop in each:
 * long, compatibility, 32-bit protected without paging, 16-bit protected, real
 * with CS = 0 and with another, and back. Linked below 64 KiB (debuggee.ld).
 */
#define SEL_CODE32 0x08
#define SEL_DATA   0x10
#define SEL_CODE64 0x18
#define SEL_CODE16 0x20
#define SEL_DATA16 0x28

#define CR0_PE   0x00000001
#define CR0_PG   0x80000000
#define MSR_EFER 0xc0000080
#define EFER_LME 0x00000100

#define FAR_SEGMENT 0x0800 /* where the section starts */

    .section .low, "awx"
/*
 * uint32_t mode_trip(uint32_t val): val plus one bit for each mode, interrupts
 * being off. The upper halves of registers do not survive leaving long mode.
 */
    .code64
    .global mode_trip, in_long, in_compat, in_protected, in_protected16
    .global in_real, in_far, in_protected_again, in_long_again
    .type mode_trip, @function
mode_trip:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    sgdt mode_gdtr_saved
    movq %rsp, mode_rsp
    movl %edi, %ebx
    lgdt mode_gdtr
in_long:
    addl $0x01, %ebx
    pushq $SEL_CODE32
    pushq $in_compat
    lretq

    .code32
in_compat:
    addl $0x02, %ebx
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %cr0, %eax
    andl $~CR0_PG, %eax
    movl %eax, %cr0
in_protected:
    addl $0x04, %ebx
    movl $MSR_EFER, %ecx
    rdmsr
    andl $~EFER_LME, %eax
    wrmsr
    ljmp $SEL_CODE16, $in_protected16

    .code16
in_protected16:
    addl $0x08, %ebx
    movw $SEL_DATA16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl %cr0, %eax
    andb $~CR0_PE, %al
    movl %eax, %cr0
    ljmpw $0, $in_real
in_real:
    addl $0x10, %ebx
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $mode_stack_end, %esp
    lcallw $FAR_SEGMENT, $(in_far - mode_trip)
    movl %cr0, %eax
    orb $CR0_PE, %al
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $in_protected_again
in_far:
    addl $0x20, %ebx
    lretw

    .code32
in_protected_again:
    addl $0x40, %ebx
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    ljmp $SEL_CODE64, $in_long_again

    .code64
in_long_again:
    addl $0x80, %ebx
    movq mode_rsp, %rsp
    lgdt mode_gdtr_saved
    movl %ebx, %eax
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
    .size mode_trip, . - mode_trip

/* Accessed bits are set: loading a selector then stores nothing. */
    .balign 16
mode_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00af9b000000ffff
    .quad 0x00009b000000ffff
    .quad 0x000093000000ffff
mode_gdtr:
    .word mode_gdtr - mode_gdt - 1
    .quad mode_gdt
mode_gdtr_saved:
    .word 0
    .quad 0
    .balign 8
mode_rsp:
    .quad 0
    .fill 64
mode_stack_end:

    .section .note.GNU-stack, "", @progbits
