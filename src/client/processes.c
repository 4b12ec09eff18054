/*
 * processes.c - looks into the directory of sockets and asks whoever answers.
 */
#include "client/processes.h"

#include "control/place.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LIST_MS = 5000, /* listing never waits for a guest */
    SOCKET_PATH = PATH_MAX + 32,
};

struct processes {
    struct connection **at;
    unsigned count;
    int trouble; /* -errno of one that is there, but does not do */
};

static void processes_fini(struct processes *all)
{
    for (unsigned i = 0; i < all->count; i++)
        connection_close(all->at[i]);
    free(all->at);
}

static int processes_add(struct processes *all, struct connection *connection)
{
    struct connection **at =
        reallocarray(all->at, all->count + 1, sizeof(struct connection *));

    if (!at) {
        connection_close(connection);
        return -ENOMEM;
    }
    all->at = at;
    all->at[all->count++] = connection;
    return 0;
}

/* The number in "4711.sock", 0 if name is no such. */
static pid_t socket_pid(const char *name)
{
    char *end;
    long pid = strtol(name, &end, 10);

    return name[0] >= '1' && name[0] <= '9' && !strcmp(end, ".sock") &&
                   pid <= INT_MAX
               ? (pid_t)pid
               : 0;
}

/*
 * A socket of the directory. Nobody listens: its process is dead, or has only
 * begun, see bind(2) and listen(2).
 */
static int try_socket(const struct client *client, const char *dir, pid_t pid,
                      struct processes *all)
{
    struct connection *connection;
    char path[SOCKET_PATH];
    int err;

    snprintf(path, sizeof(path), "%s/%d.sock", dir, pid);
    err = connection_open(path, client->signals, &connection);
    if (!err)
        return processes_add(all, connection);
    if (err == -EINTR)
        return err;
    if (err == -ECONNREFUSED) {
        if (kill(pid, 0) && errno == ESRCH)
            unlink(path);
    } else if (err != -ENOENT) {
        client_say(client, "process %d: %s", pid, connection_error(err));
        all->trouble = err;
    }
    return 0;
}

static int try_directory(const struct client *client, const char *dir,
                         struct processes *all)
{
    struct dirent **names;
    int count, err = ax_control_check_dir(dir);

    if (err)
        return err == -ENOENT ? 0 : err;
    count = scandir(dir, &names, NULL, versionsort);
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++) {
        pid_t pid = socket_pid(names[i]->d_name);

        if (pid && !err)
            err = try_socket(client, dir, pid, all);
        free(names[i]);
    }
    free(names);
    return err;
}

/* --socket or --pid. */
static int open_named(const struct client *client, const char *dir,
                      struct processes *all)
{
    struct connection *connection;
    char path[SOCKET_PATH];
    int err;

    if (client->socket) {
        err = connection_open(client->socket, client->signals, &connection);
    } else {
        snprintf(path, sizeof(path), "%s/%d.sock", dir, client->pid);
        err = ax_control_check_dir(dir);
        if (!err)
            err = connection_open(path, client->signals, &connection);
    }
    return err ? err : processes_add(all, connection);
}

static int failure_status(int err)
{
    switch (err) {
    case -EAGAIN:
        return STATUS_REFUSED;
    case -ENODATA:
    case -ECONNRESET:
    case -EMSGSIZE:
    case -EPROTO:
    case -ETIMEDOUT:
        return STATUS_FAILED;
    default:
        return STATUS_ABSENT;
    }
}

static int open_failed(const struct client *client, const char *dir, int err)
{
    const bool nobody = err == -ENOENT || err == -ECONNREFUSED;

    if (err == -EINTR)
        return STATUS_INTERRUPTED;
    if (client->socket)
        client_say(client, "cannot connect to %s: %s", client->socket,
                   connection_error(err));
    else if (client->pid && nobody)
        client_say(client, "no axvm-run process %d is running", client->pid);
    else if (err == -EPERM)
        client_say(client, "%s: not a directory of ours alone", dir);
    else if (client->pid)
        client_say(client, "process %d: %s", client->pid,
                   connection_error(err));
    else
        client_say(client, "%s: %s", dir, strerror(-err));
    return failure_status(err);
}

/* Connects to all that could be meant: a status. */
static int processes_open(const struct client *client, struct processes *all)
{
    char dir[PATH_MAX];
    int err = ax_control_dir(dir, sizeof(dir));

    memset(all, 0, sizeof(*all));
    if (!err)
        err = client->socket || client->pid ? open_named(client, dir, all)
                                            : try_directory(client, dir, all);
    return err ? open_failed(client, dir, err) : STATUS_DONE;
}

/* vms is borrowed from *answer. */
static int ask_list(struct connection *connection, json_t **answer,
                    json_t **vms)
{
    json_t *request = json_pack("{s:s}", "command", "list");
    int err = request ? connection_ask(connection, request, LIST_MS, answer)
                      : -ENOMEM;

    json_decref(request);
    if (err)
        return err;
    *vms = json_object_get(json_object_get(*answer, "result"), "vms");
    if (json_is_array(*vms))
        return 0;
    json_decref(*answer);
    return -EPROTO;
}

/* As the server finds it: by name, or by its number. */
static bool runs_vm(json_t *vms, const char *vm)
{
    json_t *summary;
    size_t at;

    json_array_foreach(vms, at, summary)
    {
        const char *name = json_string_value(json_object_get(summary, "name"));
        char id[32];

        snprintf(id, sizeof(id), "%" JSON_INTEGER_FORMAT,
                 json_integer_value(json_object_get(summary, "id")));
        if (!strcmp(vm, id) || (name && !strcmp(vm, name)))
            return true;
    }
    return false;
}

/* Says which of them run it: "pid 12, pid 34". */
static void say_ambiguous(const struct client *client, const char *what,
                          const char *vm, struct processes *all,
                          const bool *running, unsigned count)
{
    size_t size;
    char *pids = NULL;
    FILE *text = open_memstream(&pids, &size);

    if (!text)
        return;
    for (unsigned i = 0, told = 0; i < all->count; i++) {
        if (running[i])
            fprintf(text, "%spid %d", told++ ? ", " : "",
                    connection_pid(all->at[i]));
    }
    fclose(text);
    client_say(client, "%s: %s processes run a VM '%s' (%s): choose with --pid",
               what, count == 2 ? "two" : "several", vm, pids);
    free(pids);
}

/* Which of several has the VM? */
static int choose(const struct client *client, const char *what, const char *vm,
                  struct processes *all, unsigned *chosen)
{
    bool *running = calloc(all->count, sizeof(*running));
    unsigned count = 0;
    int status = running ? STATUS_DONE : STATUS_FAILED;

    for (unsigned i = 0; i < all->count && !status; i++) {
        json_t *answer, *vms;
        int err = ask_list(all->at[i], &answer, &vms);

        if (err == -EINTR) {
            status = STATUS_INTERRUPTED;
        } else if (err) {
            client_say(client, "process %d: %s", connection_pid(all->at[i]),
                       connection_error(err));
        } else {
            running[i] = runs_vm(vms, vm);
            if (running[i]) {
                *chosen = i;
                count++;
            }
            json_decref(answer);
        }
    }
    if (!status && count != 1) {
        status = STATUS_ABSENT;
        if (count)
            say_ambiguous(client, what, vm, all, running, count);
        else
            client_say(client, "%s: no VM '%s' in any of the %u processes",
                       what, vm, all->count);
    }
    free(running);
    return status;
}

int processes_connect(const struct client *client, const char *what,
                      const char *vm, struct connection **out)
{
    struct processes all;
    unsigned chosen = 0;
    int status = processes_open(client, &all);

    *out = NULL;
    if (!status && !all.count) {
        status = failure_status(all.trouble);
        if (!all.trouble)
            client_say(client, "no axvm-run process is running");
    } else if (!status && all.count > 1 && vm) {
        status = choose(client, what, vm, &all, &chosen);
    } else if (!status && all.count > 1) {
        client_say(client, "%s: %u processes are running: choose with --pid",
                   what, all.count);
        status = STATUS_ABSENT;
    }
    if (!status) {
        *out = all.at[chosen];
        all.at[chosen] = NULL;
    }
    processes_fini(&all);
    return status;
}

static int list_one(struct connection *connection, bool with_pid, json_t *list)
{
    json_t *answer, *vms, *vm;
    size_t at;
    int err = ask_list(connection, &answer, &vms);

    if (err)
        return err;
    json_array_foreach(vms, at, vm)
    {
        if (with_pid)
            json_object_set_new(vm, "pid",
                                json_integer(connection_pid(connection)));
        json_array_append(list, vm);
    }
    json_decref(answer);
    return 0;
}

int processes_list(const struct client *client, bool with_pid, json_t **out)
{
    struct processes all;
    json_t *list = json_array();
    int status = processes_open(client, &all);

    for (unsigned i = 0; i < all.count && status != STATUS_INTERRUPTED; i++) {
        int err = list_one(all.at[i], with_pid, list);

        if (err == -EINTR) {
            status = STATUS_INTERRUPTED;
        } else if (err) {
            client_say(client, "process %d: %s", connection_pid(all.at[i]),
                       connection_error(err));
            status = STATUS_FAILED;
        }
    }
    if (!status && all.trouble)
        status = failure_status(all.trouble);
    processes_fini(&all);
    *out = json_pack("{s:o}", "vms", list);
    return status;
}
