/*
 * unixsock.h - socket files: how to listen at one without taking it from
 * somebody, and how to connect to one. Knows nothing of what is spoken there.
 */
#ifndef AX_DEVICES_UNIXSOCK_H
#define AX_DEVICES_UNIXSOCK_H

#include "base.h"

enum { AX_UNIX_PATH = 107, AX_UNIX_WHY = 400 }; /* bytes of a path at most */

/*
 * *fd listens at path, non-blocking and close-on-exec; the file has mode 0600.
 * One that nobody listens on is replaced. 0, or -errno with why set: one line
 * that says what failed and what to do; *fd is -1 then.
 */
int ax_unix_listen(const char *path, int backlog, int *fd,
                   char why[AX_UNIX_WHY]);

/* Closes fd (which may be -1), and removes its file if it is still ours. */
void ax_unix_unlisten(int fd, const char *path);

/*
 * A connected descriptor, non-blocking and close-on-exec, or -errno:
 * -ECONNREFUSED: nobody listens, -EAGAIN: too many wait there already,
 * -ENAMETOOLONG. Waits for nothing.
 */
int ax_unix_connect(const char *path);

#endif
