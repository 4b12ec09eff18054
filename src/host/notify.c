/*
 * notify.c - the protocol of sd_notify(3), in one datagram.
 *
 * Not libsystemd: to load it and what it needs takes half a millisecond of
 * every start, and Debian has no static one for the binary that goes into an
 * initramfs.
 */
#include "host/notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * "/path", or "@name" for the abstract name space, where the first byte is NUL
 * and the length ends the name (unix(7)). 0 or -errno.
 */
static int parse_address(const char *word, struct sockaddr_un *addr,
                         socklen_t *size)
{
    const bool abstract = *word == '@';
    const size_t len = strlen(word);

    if (!abstract && *word != '/')
        return -EAFNOSUPPORT;
    if (!word[1])
        return -EINVAL;
    if (len + !abstract > sizeof(addr->sun_path))
        return -ENAMETOOLONG;
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(addr->sun_path, word, len);
    if (abstract)
        addr->sun_path[0] = '\0';
    *size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !abstract);
    return 0;
}

int ax_notify(const char *state)
{
    /*
     * A manager that is busy must hear READY=1 all the same, so we wait; but
     * one that hangs must not take the guests' consoles along.
     */
    const struct timeval patience = {.tv_sec = 1};
    const char *word = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr;
    socklen_t size;
    int fd, err;

    if (!word || !*word)
        return 0;
    err = parse_address(word, &addr, &size);
    if (err)
        return err;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
        sendto(fd, state, strlen(state), MSG_NOSIGNAL,
               (const struct sockaddr *)&addr, size) < 0)
        err = -errno;
    close(fd);
    return err;
}
