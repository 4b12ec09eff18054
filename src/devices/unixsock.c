/*
 * unixsock.c - socket files, and whose they are.
 */
#include "devices/unixsock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(AX_UNIX_PATH == sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
               "the kernel's limit");

__attribute__((format(printf, 3, 4))) static int fail(int err, char *why,
                                                      const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, AX_UNIX_WHY, fmt, args);
    va_end(args);
    return err;
}

int ax_unix_connect(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const size_t len = strlen(path);
    int fd, err;

    if (len > AX_UNIX_PATH)
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, len + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
        return fd;
    err = -errno;
    close(fd);
    return err;
}

/* What connecting there gives: 0 or -errno. */
static int unix_probe(const char *path)
{
    const int fd = ax_unix_connect(path);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static int unix_fail(int err, const char *path, char *why)
{
    return fail(err, why, "cannot make the socket %s: %s", path,
                strerror(-err));
}

/* May path be taken: nothing there, or a socket nobody listens on? */
static int unix_check(const char *path, char *why)
{
    struct stat st;
    int err;

    if (lstat(path, &st))
        return errno == ENOENT ? 0 : unix_fail(-errno, path, why);
    if (!S_ISSOCK(st.st_mode))
        return fail(-EEXIST, why,
                    "%s is there and no socket: choose another path", path);
    err = unix_probe(path);
    if (err == -ECONNREFUSED || err == -ENOENT)
        return 0;
    if (err && err != -EAGAIN)
        return unix_fail(err, path, why);
    return fail(-EADDRINUSE, why,
                "%s: another process listens there: choose another path", path);
}

/*
 * The name under which the socket is made, in the same directory. It gets its
 * own when it listens: before, it would look stale.
 */
static int unix_first_name(const char *path, struct sockaddr_un *addr,
                           char *why)
{
    const char *slash = strrchr(path, '/');
    const int dir = slash ? (int)(slash - path) + 1 : 0;
    const int n = snprintf(addr->sun_path, sizeof(addr->sun_path), "%.*s.%d-s",
                           dir, path, (int)getpid());

    if (strlen(path) <= AX_UNIX_PATH && n >= 0 && n <= AX_UNIX_PATH)
        return 0;
    return fail(-ENAMETOOLONG, why,
                "%s: the path is too long: choose another directory", path);
}

static int unix_open(const char *path, struct sockaddr_un *addr, int fd,
                     int backlog)
{
    struct stat st;
    int err;

    if (!lstat(addr->sun_path, &st) && S_ISSOCK(st.st_mode))
        unlink(addr->sun_path); /* of a process that had our id */
    /* The mode of the descriptor is the one that bind gives to the file. */
    if (fchmod(fd, S_IRUSR | S_IWUSR) ||
        bind(fd, (struct sockaddr *)addr, sizeof(*addr)))
        return -errno;
    if (!listen(fd, backlog) && !rename(addr->sun_path, path))
        return 0;
    err = -errno;
    unlink(addr->sun_path);
    return err;
}

int ax_unix_listen(const char *path, int backlog, int *fd,
                   char why[AX_UNIX_WHY])
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int err = unix_first_name(path, &addr, why);

    *fd = -1;
    if (!err)
        err = unix_check(path, why);
    if (err)
        return err;
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return unix_fail(-errno, path, why);
    err = unix_open(path, &addr, *fd, backlog);
    if (!err)
        return 0;
    close(*fd);
    *fd = -1;
    return unix_fail(err, path, why);
}

/* Ours if nobody listens there now: others take only what is stale. */
void ax_unix_unlisten(int fd, const char *path)
{
    if (fd < 0)
        return;
    close(fd);
    if (unix_probe(path) == -ECONNREFUSED)
        unlink(path);
}
