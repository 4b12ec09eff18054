/* test_exit.c - exits as text. */
#include "vcpu/exit.h"

#include <criterion/criterion.h>
#include <string.h>

Test(exit, every_kind_has_axvisors_name)
{
    for (int i = 0; i < AX_EXIT_KINDS; i++)
        cr_assert_str_neq(ax_exit_name((enum ax_exit_kind)i), "?");
    cr_assert_str_eq(ax_exit_name(AX_EXIT_SEND_IPI), "SendIPI");
    cr_assert_str_eq(ax_exit_name(AX_EXIT_KINDS), "?");
}

Test(exit, accesses_show_address_width_and_value)
{
    struct ax_exit ex = {
        .kind = AX_EXIT_IO_WRITE,
        .access = {.addr = 0x3f8,
                   .data = 0x41,
                   .width = 1,
                   .write = true,
                   .space = AX_SPACE_PORT},
    };
    char text[160];

    cr_assert_str_eq(ax_exit_format(&ex, text, sizeof(text)),
                     "IoWrite port=0x3f8 width=1 <- 0x41");
    ex.kind = AX_EXIT_MMIO_READ;
    ex.access.write = false;
    ex.access.space = AX_SPACE_MMIO;
    ex.answer = 0xff;
    ex.unclaimed = true;
    cr_assert_str_eq(ax_exit_format(&ex, text, sizeof(text)),
                     "MmioRead addr=0x3f8 width=1 -> 0xff (unclaimed)");
}

Test(exit, six_kinds_are_accesses)
{
    unsigned count = 0;

    for (int i = 0; i < AX_EXIT_KINDS; i++)
        count += ax_exit_is_access((enum ax_exit_kind)i);
    cr_assert_eq(count, 6);
    cr_assert(ax_exit_is_access(AX_EXIT_SYSREG_WRITE));
    cr_assert_not(ax_exit_is_access(AX_EXIT_HYPERCALL));
}

Test(exit, every_kind_formats_into_any_buffer)
{
    char text[8];

    for (int i = 0; i < AX_EXIT_KINDS; i++) {
        struct ax_exit ex = {.kind = (enum ax_exit_kind)i};

        ax_exit_format(&ex, text, sizeof(text));
        cr_assert_lt(strlen(text), sizeof(text));
    }
}

Test(exit, reasons_are_told)
{
    struct ax_exit ex = {.kind = AX_EXIT_SYSTEM_DOWN,
                         .power = {AX_POWER_CRASH, "triple fault"}};
    char text[160];

    cr_assert_str_eq(ax_exit_format(&ex, text, sizeof(text)),
                     "SystemDown crash: triple fault");
}
