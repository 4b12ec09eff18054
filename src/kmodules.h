/*
 * kmodules.h - a Linux kernel's modules, as they lie on the host: which files a
 * feature needs, and in which order they are loaded.
 *
 * Reads what depmod(8) has written. Pure look-ups; main thread.
 */
#ifndef AX_KMODULES_H
#define AX_KMODULES_H

#include "base.h"

struct ax_kmodules {
    unsigned count;
    char **paths; /* files, a module behind those that it depends on */
};

/*
 * What uname -r will say in the kernel image at path ("6.1.0-18-amd64"): only a
 * bzImage knows. 0, -ENOEXEC, -ENAMETOOLONG or -errno of reading it.
 */
int ax_kmodules_release(const char *path, char *release, size_t size);

/*
 * dir: "/lib/modules/RELEASE". names: NULL-terminated, as modprobe(8) takes
 * them. What is built into the kernel needs no file. -ENOENT: one of them is
 * neither, which *missing is (of names); or there is no such directory or index
 * (*missing NULL).
 */
int ax_kmodules_find(const char *dir, const char *const *names,
                     struct ax_kmodules *out, const char **missing);

void ax_kmodules_fini(struct ax_kmodules *modules);

#endif
