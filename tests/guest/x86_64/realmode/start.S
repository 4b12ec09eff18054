/*
 * start.S - entry of a flat image in real mode, interrupt handlers, and a trip
 * to 32-bit protected mode and back. C code is compiled for 16 bits with 32-bit
 * calls, all segments being 0.
 */
#define SEL_CODE32 0x08
#define SEL_DATA32 0x10
#define SEL_CODE16 0x18
#define SEL_DATA16 0x20
#define PROBE      0x200000 /* beyond what real mode reaches */

    .code16
    .section .text.start, "ax"
    .global start
start:
    movw %cs, %cs:entry_cs
    movw %ds, %cs:entry_ds
    movw %ss, %cs:entry_ss
    xorw %ax, %ax
    movw %ax, %ss
    movl $start, %esp
    movw %ax, %ds
    movw %ax, %es
    cld
    pushfl
    popl entry_flags
    movl %cr0, %eax
    movl %eax, entry_cr0
    calll real_main
1:  cli
    hlt
    jmp 1b

    .text
    .global isr_divide, isr_timer
/* Returns behind the two bytes of DIV. */
isr_divide:
    pushw %bp
    movw %sp, %bp
    addw $2, 2(%bp)
    popw %bp
    incl divide_count
    iretw

isr_timer:
    pushw %ax
    incl timer_count
    movb $0x20, %al
    outb %al, $0x20
    popw %ax
    iretw

    .global far_target
far_target:
    movl $0xfa4, %eax
    lretw

/* uint32_t protected_trip(uint32_t): stores it there, returns what it reads. */
    .global protected_trip
protected_trip:
    pushl %ebx
    movl %eax, %ebx
    lgdtl gdtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $1f
    .code32
1:  movw $SEL_DATA32, %ax
    movw %ax, %ds
    movw %ax, %es
    movl %ebx, PROBE
    movl $PROBE, %esi
    movl $(PROBE + 4096 - 2), %edi
    movsl
    movl PROBE + 4096 - 2, %ebx
    ljmp $SEL_CODE16, $2f
    .code16
2:  movw $SEL_DATA16, %ax
    movw %ax, %ds
    movw %ax, %es
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmpw $0, $3f
3:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movl %ebx, %eax
    popl %ebx
    retl

    .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00009b000000ffff
    .quad 0x000093000000ffff
gdtr:
    .word gdtr - gdt - 1
    .long gdt
    .global entry_cs, entry_ds, entry_ss, entry_flags, entry_cr0
entry_cs:
    .word 0
entry_ds:
    .word 0
entry_ss:
    .word 0
entry_flags:
    .long 0
entry_cr0:
    .long 0
    .global divide_count, timer_count
divide_count:
    .long 0
timer_count:
    .long 0

    .section .note.GNU-stack, "", @progbits
