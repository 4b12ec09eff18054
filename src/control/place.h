/*
 * place.h - where control sockets are: shared by the process and its client.
 */
#ifndef AX_CONTROL_PLACE_H
#define AX_CONTROL_PLACE_H

#include <stddef.h>

/* The version of the protocol (docs/control.md) and its limits. */
enum { AX_CONTROL_VERSION = 1, AX_CONTROL_LINE_MAX = 65536 };

/*
 * The directory of this user's sockets. 0, or -ENAMETOOLONG. Makes nothing.
 * Any thread.
 */
int ax_control_dir(char *out, size_t size);

/*
 * Is that directory there, and ours alone? 0, -ENOENT, or -EPERM: somebody else
 * could put sockets there.
 */
int ax_control_check_dir(const char *dir);

/*
 * Makes that directory if need be. -EPERM: it is there, but not ours or open to
 * others; -errno of mkdir(2).
 */
int ax_control_make_dir(const char *dir);

/*
 * A connected descriptor, which does not block, or -errno; -ECONNREFUSED:
 * nobody listens (stale), -EAGAIN: too many wait already, -ENAMETOOLONG.
 */
int ax_control_connect(const char *path);

#endif
