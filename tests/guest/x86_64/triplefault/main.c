/*
 * main.c - crashes that end the VM. how=fault (the default): a triple fault;
 * how=fetch: an instruction where there is no memory, which an engine can
 * neither run nor emulate.
 */
#include "guest.h"

void guest_main(void)
{
    print("crashing\n");
    if (cmdline_is("how", "fetch"))
        ((void (*)(void))0xd0000000ULL)();
    else
        guest_triple_fault();
    report(false, "still alive");
}
