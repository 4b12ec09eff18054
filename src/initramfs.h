/*
 * initramfs.h - an initramfs made in memory: what a kernel unpacks as its first
 * root file system (cpio "newc", Documentation/driver-api/early-userspace).
 *
 * Made by the main thread, before a guest starts. Paths are absolute, as the
 * guest will have them; their directories are added as they are needed.
 */
#ifndef AX_INITRAMFS_H
#define AX_INITRAMFS_H

#include "base.h"

struct ax_initramfs;

/* 0 or -errno. */
int ax_initramfs_create(struct ax_initramfs **out);

/* Accepts NULL. Whoever holds the descriptor of finish keeps it. */
void ax_initramfs_destroy(struct ax_initramfs *fs);

/* A file with these bytes. mode: permission bits. 0 or -errno. */
int ax_initramfs_add(struct ax_initramfs *fs, const char *path, unsigned mode,
                     const void *bytes, size_t size);

/* The same from a file of the host. */
int ax_initramfs_add_file(struct ax_initramfs *fs, const char *path,
                          unsigned mode, const char *from);

/* A character device. */
int ax_initramfs_add_device(struct ax_initramfs *fs, const char *path,
                            unsigned mode, unsigned major, unsigned minor);

/*
 * Ends it; nothing can be added any more. *fd: a memfd with the archive, for
 * the caller to close; as a path it is /proc/self/fd/FD.
 */
int ax_initramfs_finish(struct ax_initramfs *fs, int *fd);

/* The first process of a guest that runs one command (guest/init). */
extern const uint8_t ax_guest_init[];
extern const size_t ax_guest_init_size; /* bytes */

#endif
