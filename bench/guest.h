/*
 * guest.h - what the benchmark guests share: a multiboot 1 header with
 * addresses (so that every monitor takes the same flat file, entered at its
 * first byte at 1 MiB in 32-bit protected mode), and a word to the outside.
 */
#define COM1 0x3f8
#define DEBUG_EXIT 0xf4

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_ADDRESSES 0x10000

#ifndef COUNT
#define COUNT 100000
#endif

        .macro guest_begin
        .code32
        .globl  _start
_start: jmp     1f
        .balign 4
0:      .long   MULTIBOOT_MAGIC, MULTIBOOT_ADDRESSES
        .long   -(MULTIBOOT_MAGIC + MULTIBOOT_ADDRESSES)
        .long   0b, _start, 0, 0, _start
1:
        .endm

        .macro say byte
        movw    $COM1, %dx
        movb    $\byte, %al
        outb    %al, %dx
        .endm

        /* Not expected to come back. */
        .macro guest_end
        movw    $DEBUG_EXIT, %dx
        xorl    %eax, %eax
        outl    %eax, %dx
2:      hlt
        jmp     2b
        .endm
