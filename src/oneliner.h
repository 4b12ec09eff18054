/*
 * oneliner.h - a guest that the command line alone describes, as the TOML that
 * it stands for: files have one door, and this guest goes through it as well.
 *
 * Pure; main thread.
 */
#ifndef AX_ONELINER_H
#define AX_ONELINER_H

#include "base.h"

/* The strings are argv's. NULL: not given. */
struct ax_oneliner {
    const char *kernel, *initrd, *append, *name, *cpus, *memory;
    /* "FIRST[,KEY=VALUE...]": FIRST is the row's path, mode or cid; a comma
     * that belongs to a value is written twice. NULL-terminated lists, owned.
     */
    const char **disks, **nets, **shares;
    const char *vsock;
    const char *virtio;  /* the transport of all of these */
    const char *run;     /* the command of a guest that runs one */
    const char *root;    /* its root file system; "/" if not given */
    const char *modules; /* where its kernel's modules are */
};

/* Is anything of it given? */
bool ax_oneliner_given(const struct ax_oneliner *line);

/* Do its virtio devices stand on the PCI bus? */
bool ax_oneliner_has_pci(const struct ax_oneliner *line);

/*
 * The TOML, to be freed; NULL: no memory. A key that is none, or a value that
 * cannot be, is for whoever loads it to find.
 */
char *ax_oneliner_text(const struct ax_oneliner *line);

#endif
