/*
 * console.h - a VM's console on this terminal or pipe.
 */
#ifndef AX_CLIENT_CONSOLE_H
#define AX_CLIENT_CONSOLE_H

#include "client/client.h"
#include "client/connection.h"

/*
 * Adds the size of the user's terminal, if there is one, to a request about a
 * console.
 */
void console_add_size(const struct client *client, json_t *request);

/*
 * The connection carries vm's console from now on, of this port (NULL: none
 * was named): moves bytes until the server closes or the user detaches, and
 * tells the size of the terminal as it changes. A status.
 */
int console_run(const struct client *client, struct connection *connection,
                const char *vm, const char *port);

#endif
