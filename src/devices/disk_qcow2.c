/*
 * disk_qcow2.c - qcow2, which QEMU's own qemu-nbd reads and writes: a child
 * process per disk that ends with us, whatever we end of.
 *
 * An image may come from anywhere. One that names other files (a backing file,
 * a data file) would have the host's files served to its guest: it is refused.
 */
#include "devices/disk_parts.h"
#include "log.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LISTEN_FD = 3, /* where a program that is given a socket has it */
    IMAGE_FD = 4,
    GOODBYE_MS = 10000,
    DATA_FILE = 4, /* incompatible features: bit 2 */
};

struct disk_server {
    pid_t pid; /* 0: none */
    int pidfd;
    int said; /* what it writes to standard error */
};

/* The header up to what matters (docs/interop/qcow2.txt of QEMU). */
struct qcow2_header {
    uint32_t magic, version;
    uint64_t backing;
    uint8_t other[16];
    uint32_t encryption;
    uint8_t more[36];
    uint64_t incompatible; /* version 3 */
} __attribute__((packed));

__attribute__((format(printf, 3, 4))) static int
qcow2_fail(const struct ax_disk *disk, int err, const char *fmt, ...)
{
    char text[384];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    ax_log(disk->log, AX_LOG_ERROR, "disk %s: %s", disk->conf->path, text);
    return err;
}

static int qcow2_check(const struct ax_disk *disk)
{
    struct qcow2_header header = {0};

    if (pread(disk->fd, &header, sizeof(header), 0) != sizeof(header))
        return qcow2_fail(disk, -EINVAL, "no whole qcow2 header");
    if (header.backing)
        return qcow2_fail(disk, -EINVAL,
                          "it has a backing file, which could be any file of "
                          "the host: make it one with qemu-img convert -O "
                          "qcow2, or use overlay = true on the base image");
    if (be32toh(header.version) >= 3 &&
        be64toh(header.incompatible) & DATA_FILE)
        return qcow2_fail(disk, -EINVAL,
                          "its data is in another file: make it one with "
                          "qemu-img convert -O qcow2");
    if (header.encryption)
        return qcow2_fail(disk, -EINVAL,
                          "it is encrypted, which is not supported");
    return 0;
}

/* ---- the socket ---- */

/*
 * A listening socket and a connection to it, made before the server is there:
 * nobody else comes first. It has a name only that long, where nobody else
 * looks. 0 or -errno.
 */
static int sockets_connect(const char *dir, int *listener, int *sock)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int err = 0;

    if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir) >=
        sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    *listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*listener < 0 || *sock < 0 ||
        bind(*listener, (struct sockaddr *)&addr, sizeof(addr)) ||
        listen(*listener, 1) ||
        connect(*sock, (struct sockaddr *)&addr, sizeof(addr)))
        err = -errno;
    unlink(addr.sun_path);
    return err;
}

static int sockets_make(int *listener, int *sock)
{
    const char *tmp = secure_getenv("TMPDIR");
    char dir[64];
    int err;

    if (!tmp || (size_t)snprintf(dir, sizeof(dir), "%s/axvm-XXXXXX", tmp) >=
                    sizeof(dir))
        snprintf(dir, sizeof(dir), "/tmp/axvm-XXXXXX");
    if (!mkdtemp(dir))
        return -errno;
    err = sockets_connect(dir, listener, sock);
    rmdir(dir);
    return err;
}

/* ---- the server ---- */

static const char *server_cache(const struct ax_disk *disk)
{
    static const char *const options[] = {
        [AX_DISK_WRITEBACK] = "--cache=writeback",
        [AX_DISK_WRITETHROUGH] = "--cache=writeback", /* requests say it */
        [AX_DISK_DIRECT] = "--cache=none",
        [AX_DISK_UNSAFE] = "--cache=unsafe",
    };

    return options[disk->conf->cache];
}

/* Its own signals and session: what ends us at a terminal leaves it be until
 * it has written everything. */
static int server_spawn(struct ax_disk *disk, posix_spawn_file_actions_t *files)
{
    /* It wants to know that the socket is meant for it. */
    static const char script[] =
        "export LISTEN_PID=$$ LISTEN_FDS=1; exec qemu-nbd \"$@\"";
    const bool read = disk->conf->readonly || disk->conf->overlay;
    char image[128];
    const char *const argv[] = {"sh",
                                "-c",
                                script,
                                "qemu-nbd",
                                "--image-opts",
                                image,
                                "--shared=1",
                                "--discard=unmap",
                                server_cache(disk),
                                read ? "--read-only" : NULL,
                                NULL};
    posix_spawnattr_t attr;
    sigset_t none, standard;
    int err;

    snprintf(image, sizeof(image),
             "driver=qcow2,file.driver=%s,file.filename=/proc/self/fd/%d",
             disk->block_device ? "host_device" : "file", IMAGE_FD);
    sigemptyset(&none);
    sigfillset(&standard);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID |
                                        POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &standard);
    err = posix_spawn(&disk->server->pid, "/bin/sh", files, &attr,
                      (char *const *)(uintptr_t)argv, environ);
    posix_spawnattr_destroy(&attr);
    if (err)
        disk->server->pid = 0;
    return -err;
}

/* What it writes is not waited for: it must not wait for us either. listener
 * and image are out of the way of the numbers that they get. */
static int server_start(struct ax_disk *disk, int listener, int image)
{
    posix_spawn_file_actions_t files;
    int said[2], err;

    if (pipe2(said, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    disk->server->said = said[0];
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR,
                                     0);
    posix_spawn_file_actions_adddup2(&files, said[1], STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, listener, LISTEN_FD);
    posix_spawn_file_actions_adddup2(&files, image, IMAGE_FD);
    err = server_spawn(disk, &files);
    posix_spawn_file_actions_destroy(&files);
    close(said[1]);
    if (!err)
        disk->server->pidfd = pidfd_open(disk->server->pid, 0);
    return err;
}

/* It ends when its client has gone; if not, by force. Returns its status. */
static int server_end(struct disk_server *server)
{
    struct pollfd poller = {.fd = server->pidfd, .events = POLLIN};
    int status = -1;

    if (!server->pid)
        return -1;
    if (server->pidfd < 0 || poll(&poller, 1, GOODBYE_MS) != 1)
        kill(server->pid, SIGKILL);
    while (waitpid(server->pid, &status, 0) < 0 && errno == EINTR)
        ;
    server->pid = 0;
    return status;
}

/* Why there is no server: by its exit status, or in its own words. */
static int server_complain(const struct ax_disk *disk, int err)
{
    const int status = server_end(disk->server);
    char said[256] = "";
    ssize_t n = read(disk->server->said, said, sizeof(said) - 1);

    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return qcow2_fail(disk, -ENOENT,
                          "qcow2 needs qemu-nbd: install qemu-utils, or "
                          "convert the image to raw");
    said[n > 0 ? n : 0] = '\0';
    said[strcspn(said, "\n")] = '\0';
    return qcow2_fail(disk, err, "qemu-nbd does not serve it: %s",
                      *said ? said : strerror(-err));
}

static int qcow2_serve(struct ax_disk *disk)
{
    int listener = -1, sock = -1, image = -1, low = -1;
    int err = sockets_make(&low, &sock);

    if (!err) {
        listener = fcntl(low, F_DUPFD_CLOEXEC, IMAGE_FD + 1);
        image = fcntl(disk->fd, F_DUPFD_CLOEXEC, IMAGE_FD + 1);
        err = listener < 0 || image < 0 ? -errno
                                        : server_start(disk, listener, image);
    }
    if (low >= 0)
        close(low);
    if (listener >= 0)
        close(listener);
    if (image >= 0)
        close(image);
    if (!err)
        return ax_disk_nbd_create(sock, &disk->nbd);
    if (sock >= 0)
        close(sock);
    return err;
}

int ax_disk_qcow2_open(struct ax_disk *disk)
{
    int err = qcow2_check(disk);

    if (err)
        return err;
    disk->server = calloc(1, sizeof(*disk->server));
    if (!disk->server)
        return -ENOMEM;
    disk->server->pidfd = disk->server->said = -1;
    err = qcow2_serve(disk);
    if (err) {
        ax_disk_nbd_destroy(disk->nbd); /* the server ends only then */
        disk->nbd = NULL;
        return server_complain(disk, err);
    }
    disk->size = ax_align_down(ax_disk_nbd_size(disk->nbd), DISK_SECTOR);
    return disk->size ? 0 : qcow2_fail(disk, -EINVAL, "it is empty");
}

void ax_disk_qcow2_close(struct ax_disk *disk)
{
    ax_disk_nbd_destroy(disk->nbd);
    disk->nbd = NULL;
    if (!disk->server)
        return;
    server_end(disk->server);
    if (disk->server->pidfd >= 0)
        close(disk->server->pidfd);
    if (disk->server->said >= 0)
        close(disk->server->said);
    free(disk->server);
    disk->server = NULL;
}
