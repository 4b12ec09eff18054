/*
 * share.h - a directory of the host as a file server that speaks 9P2000.L, for
 * virtio_9p.c.
 *
 * What a client does stays beneath the directory: every step is taken from a
 * descriptor by one name, never through a symbolic link (the guest resolves
 * those), and nothing but regular files and directories is ever opened. File
 * systems through which the kernel shows itself (/proc, /sys, cgroups ...) are
 * empty mount points to the client.
 *
 * Owner and rights are as the process has them, as QEMU's "passthrough": what
 * root creates here belongs to the guest's user, what anybody else creates
 * belongs to the process's, and to change an owner needs root. The guest's
 * kernel checks the rights of the guest's users.
 *
 * No thread and no lock: calls come one at a time, and may wait for the disk.
 */
#ifndef AX_DEVICES_SHARE_H
#define AX_DEVICES_SHARE_H

#include <stdbool.h>
#include <stddef.h>

struct ax_log;
struct ax_share;
struct ax_virtq_chain;

enum { AX_SHARE_MSIZE = 512 << 10 }; /* bytes of a message at most */

/* 0: the default, which follows from RLIMIT_NOFILE where it is descriptors. */
struct ax_share_limits {
    unsigned fids;       /* a client's handles; more: ENFILE */
    unsigned open;       /* of them with an open file; more: EMFILE */
    unsigned live;       /* other descriptors; beyond, paths are remembered */
    size_t parked_bytes; /* ... of so many bytes; beyond: EMFILE */
};

/*
 * Serves the directory at path. limits may be NULL. Raises the process's soft
 * limit of descriptors. 0 or -errno, of which it has logged the reason.
 */
int ax_share_create(const char *path, bool readonly,
                    const struct ax_share_limits *limits, struct ax_log *log,
                    struct ax_share **out);

void ax_share_destroy(struct ax_share *s); /* accepts NULL */

/* The client is gone: closes all that it has open. */
void ax_share_reset(struct ax_share *s);

/*
 * Answers the message that the chain's out half holds, into its in half.
 * Returns the answer's bytes; 0 if not even an error can be said.
 */
size_t ax_share_serve(struct ax_share *s, const struct ax_virtq_chain *chain);

#endif
