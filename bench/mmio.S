/*
 * mmio.S - COUNT reads of the index register of an I/O APIC that lives in user
 * space, between A and Z.
 */
#include "guest.inc"

        guest_begin
        say     'A'
        movl    $COUNT, %ecx
        movl    $0xfec00000, %edi
1:      movl    (%edi), %eax
        decl    %ecx
        jnz     1b
        say     'Z'
        guest_end
