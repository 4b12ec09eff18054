/*
 * notify.h - telling the service manager how we are (sd_notify(3)).
 *
 * The protocol is a datagram to the socket that $NOTIFY_SOCKET names; without
 * it every function does nothing. Any thread.
 */
#ifndef AX_HOST_NOTIFY_H
#define AX_HOST_NOTIFY_H

/* state: lines such as "READY=1\nSTATUS=2 guests". 0 or -errno. */
int ax_notify(const char *state);

#endif
