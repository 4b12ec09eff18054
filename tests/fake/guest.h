/*
 * guest.h - a whole VM on the fake engine, from a program of steps.
 *
 * Writes the steps to a flat image, makes the configuration that boots it and
 * builds the VM, so that tests of the VM go the way a user's guest goes.
 */
#ifndef AX_TESTS_FAKE_GUEST_H
#define AX_TESTS_FAKE_GUEST_H

#include "fake/engine.h"
#include "vmm/vm.h"

struct ax_loop;
struct ax_log;

enum { AX_FAKE_ENTRY = 0x1000 };

struct ax_fake_guest {
    struct ax_loop *loop; /* owned */
    struct ax_config *conf;
    struct ax_vm *vm;
    bool stopped; /* it was told of Stopped; so was the loop, to stop */
    char image[64];
};

/* More lines for the [base] table of the guests made from now on; "" at first.
 */
extern char ax_fake_guest_base[128];

/*
 * Aborts the test program where the set-up itself fails. loop NULL: makes one.
 * vCPU 0 begins at the first step; see AX_FAKE_START for the others.
 */
void ax_fake_guest_create(struct ax_fake_guest *guest, struct ax_loop *loop,
                          const char *name, unsigned cpus,
                          const struct ax_fake_step *steps, size_t count);

/* Destroys VM and configuration; not a loop that was handed in. */
void ax_fake_guest_destroy(struct ax_fake_guest *guest);

#endif
