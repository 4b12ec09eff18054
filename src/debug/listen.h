/*
 * listen.h - where a debugger connects: a listening socket from its
 * specification, and back to words. Knows nothing of what is spoken there.
 *
 *   PORT         TCP on the loopback interface (127.0.0.1); 0: a free one
 *   HOST:PORT    TCP there; HOST a name, an address, [::1], or * for all
 *   unix:PATH    a socket file of mode 0600
 */
#ifndef AX_DEBUG_LISTEN_H
#define AX_DEBUG_LISTEN_H

#include "devices/unixsock.h"

enum { AX_LISTEN_ADDRESS = 300, AX_LISTEN_WHY = AX_UNIX_WHY };

/* What is wrong with spec: static text, NULL if nothing is. Pure. */
const char *ax_listen_check(const char *spec);

/*
 * The spec of the guest that is the index-th (from 0) of one command line:
 * PORT + index; spec itself for 0 and where PORT is 0, which is another port
 * each time. -EINVAL: there is none such, or it does not fit.
 */
int ax_listen_nth(const char *spec, unsigned index, char *out, size_t size);

/*
 * *fd listens, non-blocking and close-on-exec. address: what to tell gdb
 * ("target remote ADDRESS"). 0, or -errno with why set: one line that says what
 * failed and what to do. A socket file that nobody listens on is replaced.
 * Looks up HOST, which may take a while, where it is a name.
 */
int ax_listen_open(const char *spec, int *fd, char address[AX_LISTEN_ADDRESS],
                   char why[AX_LISTEN_WHY]);

/* Closes fd; removes the socket file of address, if it is one and ours. */
void ax_listen_close(int fd, const char *address);

#endif
