/*
 * console.h - a VM's console on this terminal or pipe.
 */
#ifndef AX_CLIENT_CONSOLE_H
#define AX_CLIENT_CONSOLE_H

#include "client/client.h"
#include "client/connection.h"

/*
 * The connection carries vm's console from now on: moves bytes until the server
 * closes or the user detaches. A status.
 */
int console_run(const struct client *client, struct connection *connection,
                const char *vm);

#endif
