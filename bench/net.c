/*
 * net.c - TCP between a guest and its host: how fast bytes go each way, and how
 * often a small request is answered.
 *
 *     net serve PORT         on the host, for ever
 *     net ADDRESS PORT       in the guest; says on standard output when a phase
 *                            begins and ends, for stopwatch --phases
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BYTES = 64 << 20, TRIPS = 2000, MESSAGE = 64, CHUNK = 128 << 10 };

static char chunk[CHUNK];

static struct sockaddr_in place(const char *address, const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port))};

    if (address && !inet_aton(address, &at.sin_addr))
        errx(2, "%s is no address", address);
    return at;
}

static bool put(int fd, size_t bytes)
{
    while (bytes) {
        const ssize_t n = write(fd, chunk, bytes < CHUNK ? bytes : CHUNK);

        if (n <= 0)
            return false;
        bytes -= (size_t)n;
    }
    return true;
}

static bool take(int fd, size_t bytes)
{
    while (bytes) {
        const ssize_t n = read(fd, chunk, bytes < CHUNK ? bytes : CHUNK);

        if (n <= 0)
            return false;
        bytes -= (size_t)n;
    }
    return true;
}

/* ---- the host: a connection's first byte says what is wanted ---- */

static void answer(int fd)
{
    char wish;

    if (read(fd, &wish, 1) != 1)
        return;
    if (wish == 's') {
        if (take(fd, BYTES))
            put(fd, 1);
    } else if (wish == 'r') {
        put(fd, BYTES);
    } else {
        while (take(fd, MESSAGE) && put(fd, MESSAGE))
            ;
    }
}

static int serve(const char *port)
{
    const struct sockaddr_in at = place(NULL, port);
    const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    signal(SIGPIPE, SIG_IGN);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) || listen(fd, 4))
        err(1, "port %s", port);
    for (;;) {
        const int peer = accept(fd, NULL, NULL);

        if (peer < 0)
            err(1, "accept");
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        answer(peer);
        close(peer);
    }
}

/* ---- the guest ---- */

static int ask(const struct sockaddr_in *at, char wish)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    if (connect(fd, (const struct sockaddr *)at, sizeof(*at)))
        err(1, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (write(fd, &wish, 1) != 1)
        err(1, "write");
    return fd;
}

static bool trips(int fd)
{
    for (int i = 0; i < TRIPS; i++) {
        if (!put(fd, MESSAGE) || !take(fd, MESSAGE))
            return false;
    }
    return true;
}

static void phase(const struct sockaddr_in *at, const char *name, char wish)
{
    const int fd = ask(at, wish);
    bool good;

    printf("ax: %s begins\n", name);
    good = wish == 's'   ? put(fd, BYTES) && take(fd, 1)
           : wish == 'r' ? take(fd, BYTES)
                         : trips(fd);
    if (!good)
        err(1, "%s", name);
    printf("ax: %s ends\n", name);
    close(fd);
}

int main(int argc, char **argv)
{
    struct sockaddr_in at;

    if (argc != 3)
        errx(2, "usage: net serve PORT | net ADDRESS PORT");
    if (!strcmp(argv[1], "serve"))
        return serve(argv[2]);
    setlinebuf(stdout);
    at = place(argv[1], argv[2]);
    phase(&at, "warm", 't');
    phase(&at, "send", 's');
    phase(&at, "receive", 'r');
    phase(&at, "trip", 't');
    return 0;
}
