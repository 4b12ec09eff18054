/*
 * hostend.c - the six host ends, one function and one table row each.
 */
#include "devices/hostend.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

/*
 * Non-blocking mode belongs to the open file, which standard output shares with
 * the shell and with other programs: so ours is opened anew. A file need not
 * be; a socket (sshd's, without a terminal) cannot be, and gets the mode for as
 * long as we use it.
 */
static void open_output(struct ax_hostend *end)
{
    struct stat st;
    int fd = -1;

    if (fstat(STDOUT_FILENO, &st))
        return; /* closed: a guest without a reader */
    end->out = STDOUT_FILENO;
    if (S_ISREG(st.st_mode))
        return;
    if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
        fd = open("/proc/self/fd/1",
                  O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        end->out = fd;
        return;
    }
    end->flags = fcntl(STDOUT_FILENO, F_GETFL);
    if (end->flags >= 0)
        fcntl(STDOUT_FILENO, F_SETFL, end->flags | O_NONBLOCK);
}

static int open_stdio(struct ax_hostend *end, const char *arg)
{
    end->in = fcntl(STDIN_FILENO, F_GETFD) < 0 ? -1 : STDIN_FILENO;
    open_output(end);
    return 0;
}

static int open_pty(struct ax_hostend *end, const char *arg)
{
    struct termios raw;
    char name[128];
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    int err;

    if (fd < 0)
        return -errno;
    end->in = end->out = fd;
    if (grantpt(fd) || unlockpt(fd))
        return -errno;
    err = ptsname_r(fd, name, sizeof(name));
    if (err)
        return -err;
    end->path = strdup(name);
    if (!end->path)
        return -ENOMEM;
    if (!tcgetattr(fd, &raw)) {
        cfmakeraw(&raw);
        tcsetattr(fd, TCSANOW, &raw);
    }
    /* Opening and closing the other end once makes poll report the hang-up. */
    fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return 0;
}

/* A socket that nobody listens on is left from a dead process. */
static void remove_stale(const struct sockaddr_un *addr)
{
    struct stat st;
    int probe;

    if (lstat(addr->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return;
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return;
    if (connect(probe, (const struct sockaddr *)addr, sizeof(*addr)) &&
        errno == ECONNREFUSED)
        unlink(addr->sun_path);
    close(probe);
}

static int open_unix(struct ax_hostend *end, const char *arg)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (strlen(arg) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, arg, strlen(arg) + 1);
    end->listener =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (end->listener < 0)
        return -errno;
    remove_stale(&addr);
    if (bind(end->listener, (struct sockaddr *)&addr, sizeof(addr)))
        return -errno;
    end->path = strdup(arg);
    if (!end->path)
        return -ENOMEM;
    return chmod(arg, 0600) || listen(end->listener, 1) ? -errno : 0;
}

static int open_file(struct ax_hostend *end, const char *arg)
{
    end->out = open(arg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return end->out < 0 ? -errno : 0;
}

/* The number of an fd: spec, or -1. The standard descriptors are stdio's. */
static int parse_fd(const char *arg)
{
    char *end;
    long fd;

    if (*arg < '0' || *arg > '9')
        return -1;
    errno = 0;
    fd = strtol(arg, &end, 10);
    return *end || errno || fd <= STDERR_FILENO || fd > INT_MAX ? -1 : (int)fd;
}

/*
 * What was inherited is not close-on-exec, all else that is open in this
 * process is: so no number can name a descriptor that has its owner, be that
 * another console.
 */
static int open_fd(struct ax_hostend *end, const char *arg)
{
    int fd = parse_fd(arg);
    int own = fd < 0 ? -1 : fcntl(fd, F_GETFD);
    int mode = fd < 0 ? -1 : fcntl(fd, F_GETFL);

    if (fd < 0)
        return -EINVAL;
    if (own < 0 || mode < 0)
        return -errno;
    if (own & FD_CLOEXEC)
        return -EBUSY;
    if ((mode & O_ACCMODE) != O_RDWR)
        return -EINVAL;
    end->in = end->out = fd;
    if (fcntl(fd, F_SETFD, own | FD_CLOEXEC) ||
        fcntl(fd, F_SETFL, mode | O_NONBLOCK))
        return -errno;
    return 0;
}

static int open_none(struct ax_hostend *end, const char *arg)
{
    return 0;
}

static const struct {
    const char *word;
    enum ax_hostend_kind kind;
    bool arg; /* takes ":PATH" or ":N" */
    int (*open)(struct ax_hostend *end, const char *arg);
} ends[] = {
    {"stdio", AX_HOSTEND_STDIO, false, open_stdio},
    {"pty", AX_HOSTEND_PTY, false, open_pty},
    {"unix", AX_HOSTEND_UNIX, true, open_unix},
    {"file", AX_HOSTEND_FILE, true, open_file},
    {"fd", AX_HOSTEND_FD, true, open_fd},
    {"none", AX_HOSTEND_NONE, false, open_none},
};

/* The entry that spec names, -1 if none; *arg: what follows the colon. */
static int parse_spec(const char *spec, const char **arg)
{
    for (unsigned i = 0; i < AX_ARRAY_LEN(ends); i++) {
        size_t len = strlen(ends[i].word);

        if (strncmp(spec, ends[i].word, len))
            continue;
        *arg = spec[len] ? spec + len + 1 : NULL;
        if (ends[i].arg ? spec[len] == ':' && **arg : !spec[len])
            return (int)i;
    }
    return -1;
}

const char *ax_hostend_check(const char *spec)
{
    const char *arg;
    int i = parse_spec(spec, &arg);

    if (i < 0)
        return "expected stdio, pty, unix:PATH, file:PATH, none or fd:N";
    if (ends[i].kind == AX_HOSTEND_UNIX &&
        strlen(arg) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return "the socket path is longer than the system allows (107 bytes)";
    if (ends[i].kind == AX_HOSTEND_FD && parse_fd(arg) < 0)
        return "fd:N takes the number of an open descriptor above 2";
    return NULL;
}

int ax_hostend_open(const char *spec, struct ax_hostend *end)
{
    const char *arg;
    int i = parse_spec(spec, &arg);

    *end = (struct ax_hostend){
        .kind = AX_HOSTEND_NONE,
        .in = -1,
        .out = -1,
        .listener = -1,
        .flags = -1,
    };
    if (i < 0)
        return -EINVAL;
    end->kind = ends[i].kind;
    return ends[i].open(end, arg);
}

void ax_hostend_close(struct ax_hostend *end)
{
    if (end->out > STDERR_FILENO)
        close(end->out);
    if (end->flags >= 0)
        fcntl(STDOUT_FILENO, F_SETFL, end->flags);
    if (end->listener >= 0)
        close(end->listener);
    if (end->kind == AX_HOSTEND_UNIX && end->path)
        unlink(end->path);
    free(end->path);
    end->in = end->out = end->listener = end->flags = -1;
    end->path = NULL;
}
