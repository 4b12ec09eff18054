/*
 * target.h - a target that is what a test says, in the place of the library's:
 * what the monitor asks of it (debug/target.h) and no more.
 *
 * Its vCPUs are words of an array, its memory, which is physical, is one more.
 * A program that includes this has no other target.
 */
#ifndef AX_TESTS_FAKE_TARGET_H
#define AX_TESTS_FAKE_TARGET_H

#include "debug/target.h"

enum {
    AX_FAKE_TARGET_CPUS = 4,
    AX_FAKE_TARGET_BASE = 0x1000, /* of its memory */
    AX_FAKE_TARGET_SIZE = 0x1800,
};

struct ax_target {
    struct ax_vm *vm;
    const struct ax_gdb_ops *ops;
    bool halted;
    int err; /* what functions give, with refusal; 0: they do their work */
    const char *refusal;
    unsigned catches, resets;
    uint64_t regs[AX_FAKE_TARGET_CPUS]; /* one each; what "info regs" prints */
    uint8_t memory[AX_FAKE_TARGET_SIZE];
    uint64_t slide; /* of the kernel; UINT64_MAX: there is none, UINT64_MAX - 1:
                       it cannot be read */
};

/* Halted, of vm (may be NULL where nobody asks for it). */
void ax_fake_target_init(struct ax_target *target, struct ax_vm *vm);

/*
 * A CPU with the topics "regs" (prints the word), "tlb" (prints a long text; a
 * line with an address), "ioapic" (-EOPNOTSUPP) and "irq" (-EIO).
 */
extern const struct ax_gdb_ops ax_fake_gdb;

#endif
