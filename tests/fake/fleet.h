/*
 * fleet.h - fleets of small guests on either engine.
 *
 * A program is given twice: as x86 real-mode code for KVM, as steps for the
 * fake engine. It is loaded and entered at 0x1000.
 */
#ifndef AX_TESTS_FAKE_FLEET_H
#define AX_TESTS_FAKE_FLEET_H

#include "fake/engine.h"
#include "vmm/fleet.h"

enum { AX_TEST_ENTRY = 0x1000 };

struct ax_test_program {
    const struct ax_fake_step *steps;
    size_t steps_size; /* bytes */
    const char *code, *code_end;
};

/* Real-mode code, as the variable NAME and its end NAME_end. */
/* clang-format off */
#define AX_TEST_CODE(name, text)                                               \
    extern const char name[], name##_end[];                                    \
    __asm__(".pushsection .rodata\n.code16\n" #name ":\n" text                 \
            "\n" #name "_end:\n.code64\n.popsection")
/* clang-format on */

/*
 * Adds a VM of 2 MiB without a console; base: more lines of its [base] table.
 * NULL if the fleet refused it. Aborts where the set-up itself fails.
 */
struct ax_vm *ax_test_fleet_add(struct ax_fleet *fleet,
                                const struct ax_backend_ops *ops,
                                const char *name, unsigned cpus,
                                const struct ax_test_program *program,
                                const char *base);

/* Descriptors that this process has open, and its threads. */
unsigned ax_test_descriptors(void);
unsigned ax_test_threads(void);

#endif
