/*
 * processes.h - which axvm-run processes there are, and which of them is meant.
 */
#ifndef AX_CLIENT_PROCESSES_H
#define AX_CLIENT_PROCESSES_H

#include "client/client.h"
#include "client/connection.h"

/*
 * Connects to the process that runs vm (NULL: to the only one). Says what is
 * wrong, as of the command what ("stop linux"): a status.
 */
int processes_connect(const struct client *client, const char *what,
                      const char *vm, struct connection **out);

/*
 * A result as of the command list, with the VMs of all processes; each has its
 * "pid", too, if with_pid. A process that fails is told and left out: a status.
 */
int processes_list(const struct client *client, bool with_pid, json_t **out);

#endif
