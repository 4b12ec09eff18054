/*
 * hostend.h - opens what a console talks to on the host: descriptors, nothing
 * else. Only console.c and conmux.c use it, on the loop thread.
 */
#ifndef AX_DEVICES_HOSTEND_H
#define AX_DEVICES_HOSTEND_H

#include "base.h"

enum ax_hostend_kind {
    AX_HOSTEND_STDIO,
    AX_HOSTEND_PTY,
    AX_HOSTEND_UNIX,
    AX_HOSTEND_FILE,
    AX_HOSTEND_FD,
    AX_HOSTEND_NONE,
};

/*
 * One pair of descriptors, the same one twice for a pty, a connected socket or
 * an inherited descriptor; -1: none (any more). A socket has a listener
 * besides.
 */
struct ax_hostend {
    enum ax_hostend_kind kind;
    int in, out, listener;
    int flags; /* of standard output, to be given back; -1: as they were */
    char
        *path; /* what people open: the pty or the socket; owned, may be NULL */
};

/* The first problem of a spec (see ax_console_create), or NULL if it is fine.
 */
const char *ax_hostend_check(const char *spec);

/*
 * 0 or -errno; on failure as well *end may be given to ax_hostend_close. What
 * is written to does not block, unless it is a file; standard input may, and is
 * to be read when it is ready.
 */
int ax_hostend_open(const char *spec, struct ax_hostend *end);

/*
 * Closes what is open, but for the standard descriptors, which it leaves as
 * they were; removes the socket.
 */
void ax_hostend_close(struct ax_hostend *end);

#endif
