/* serial.S - COUNT bytes to COM1, which is always ready, between A and Z. */
#include "guest.inc"

        guest_begin
        say     'A'
        movl    $COUNT, %ecx
        movb    $'.', %al
1:      outb    %al, %dx
        decl    %ecx
        jnz     1b
        say     'Z'
        guest_end
