/*
 * connection.h - one connection to one process: JSON lines both ways, per
 * docs/control.md. It expects nothing of the server: lines are bounded, it may
 * be silent, talk nonsense, or go away in the middle.
 */
#ifndef AX_CLIENT_CONNECTION_H
#define AX_CLIENT_CONNECTION_H

#include "base.h"

#include <jansson.h>
#include <sys/types.h>

struct connection;

/*
 * Connects and reads the greeting. signals: a signalfd that ends waits, or -1.
 * 0 or -errno: of ax_control_connect() (-EAGAIN also: the process has too many
 * connections), or as connection_receive().
 */
int connection_open(const char *path, int signals, struct connection **out);
void connection_close(struct connection *connection); /* accepts NULL */

int connection_fd(const struct connection *connection);
pid_t connection_pid(const struct connection *connection);

/* From now on waits also end when nobody reads standard output any more. */
void connection_follow(struct connection *connection);

/*
 * The next message; timeout_ms < 0: for ever. 0, -ETIMEDOUT, -EINTR (signals),
 * -EPIPE (connection_follow), -ENODATA (the server has closed, between two
 * messages), -ECONNRESET (in one), -EPROTO (no message, or another version's),
 * -EMSGSIZE (above 16 MiB), -errno of the socket.
 */
int connection_receive(struct connection *connection, int timeout_ms,
                       json_t **out);

/* Sends a request and waits for its answer; errors are those of above. */
int connection_ask(struct connection *connection, json_t *request,
                   int timeout_ms, json_t **out);

/* What came after the last message: a console's first bytes. */
const char *connection_rest(const struct connection *connection, size_t *size);

/* An error of the functions above in words. */
const char *connection_error(int err);

#endif
