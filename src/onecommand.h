/*
 * onecommand.h - what a guest that runs one command starts from: an initramfs
 * with our init, the kernel's modules, and the command. Main thread.
 */
#ifndef AX_ONECOMMAND_H
#define AX_ONECOMMAND_H

#include "oneliner.h"

struct ax_onecommand {
    int fd; /* the initramfs, -1: none */
    char initrd[32];
    char append[512];
};

/*
 * Makes it, and lets line refer to it: out has to live as long as line. Says on
 * standard error what is missing and how to come by it. 0 or an AX_STATUS_*.
 */
int ax_onecommand_prepare(struct ax_oneliner *line, struct ax_onecommand *out);

/* When the guest has been loaded for the last time. */
void ax_onecommand_fini(struct ax_onecommand *command);

#endif
