/* pio.S - COUNT reads of the CMOS clock's data port, between A and Z. */
#include "guest.inc"

        guest_begin
        movb    $0x0f, %al /* the shutdown byte: nothing but storage */
        outb    %al, $0x70
        say     'A'
        movl    $COUNT, %ecx
1:      inb     $0x71, %al
        decl    %ecx
        jnz     1b
        say     'Z'
        guest_end
