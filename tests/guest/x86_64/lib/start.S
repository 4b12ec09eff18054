/*
 * start.S - the ways into a guest and the way to long mode.
 *
 * PVH (Xen's docs/misc/pvh.pandoc) and multiboot 1 both enter in 32-bit
 * protected mode without paging; the first hands over EBX = hvm_start_info, the
 * second EAX = magic and EBX = multiboot_info. The other CPUs enter through the
 * trampoline in real mode. Page tables are assembled rather than built: an
 * emulated ring 0 runs a few million instructions a second.
 */
#include "layout.h"

#define CR0_PE     0x00000001
#define CR0_LONG   0x80010033 /* PG, WP, NE, ET, MP, PE */
#define CR4_PAE    0x00000020
#define MSR_EFER   0xc0000080
#define EFER_LME   0x00000100

#define MB_MAGIC   0x1badb002
#define MB_FLAGS   0x00010003 /* page-aligned modules, memory, addresses */

#ifndef GUEST_NO_PVH
    /* Type 18: XEN_ELFNOTE_PHYS32_ENTRY. */
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long pvh_start
#endif

    .section .multiboot, "a"
    .balign 4
multiboot_header:
    .long MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)
    .long multiboot_header, guest_image_start, guest_data_end, guest_bss_end
    .long multiboot_start

    .section .text.start, "ax"
    .code32
    .global pvh_start, multiboot_start
pvh_start:
    movl $BOOT_PVH, %eax
multiboot_start:
    cli
    cld
    movl %eax, boot_magic
    movl %ebx, boot_info
    movl $boot_stack_end, %esp
    pushl $0 /* known flags: nothing set */
    popfl
    lgdt gdtr
    ljmp $SEL_CODE32, $1f
1:  movl $start64, %edi

/* From 32-bit protected mode to the 64-bit code at EDI; uses no stack. */
enter_long:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl $CR0_LONG, %eax
    movl %eax, %cr0
    ljmp $SEL_CODE64, $1f
    .code64
1:  xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    jmp *%rdi

start64:
    movl $boot_stack_end, %esp
    xorl %ebp, %ebp
    call guest_start
2:  cli
    hlt
    jmp 2b

ap_start64:
    movq ap_stack, %rsp
    xorl %ebp, %ebp
    call ap_main
    jmp 2b

    .code32
ap_start32:
    movl $ap_start64, %edi
    jmp enter_long

/*
 * Copied to TRAMPOLINE, a page below 1 MiB whose number is the SIPI vector.
 * Enters with CS = its segment, all else at reset.
 */
    .section .rodata.trampoline, "a"
    .code16
    .global trampoline, trampoline_end
trampoline:
    cli
    cld
    lgdtl %cs:(trampoline_gdtr - trampoline)
    movl %cr0, %eax
    orl $CR0_PE, %eax
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $ap_start32
    .balign 8
trampoline_gdtr:
    .word gdt_end - gdt - 1
    .long gdt
trampoline_end:

/* Accessed bits are set beforehand: loading a selector then stores nothing. */
    .section .data.gdt, "aw"
    .balign 16
    .global gdt_tss
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* SEL_CODE32 */
    .quad 0x00cf93000000ffff /* SEL_DATA */
    .quad 0x00af9b000000ffff /* SEL_CODE64 */
    .quad 0x00cff3000000ffff /* SEL_USER_DATA */
    .quad 0x00affb000000ffff /* SEL_USER_CODE */
gdt_tss:
    .quad 0, 0               /* SEL_TSS, by trap_init */
gdt_end:
gdtr:
    .word gdt_end - gdt - 1
    .quad gdt

/* The first 4 GiB one to one in 2 MiB pages: present, writable. */
    .section .data.tables, "aw"
    .balign 4096
    .global page_directory
pml4:
    .quad pdpt + 7
    .fill 511, 8, 0
pdpt:
    .quad page_directory + 0x0007, page_directory + 0x1007
    .quad page_directory + 0x2007, page_directory + 0x3007
    .fill 508, 8, 0
page_directory:
    .set page, 0x83
    .rept 2048
    .quad page
    .set page, page + 0x200000
    .endr

    .section .bss.stack, "aw", @nobits
    .balign 16
    .fill 8192
boot_stack_end:

    .section .note.GNU-stack, "", @progbits
