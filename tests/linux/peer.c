/*
 * peer.c - the ends of the sockets in the lab: sends a stream of bytes that
 * only it can make, takes them back, and says whether they are the same.
 * Static, for guests and for the host alike.
 *
 *   peer echo unix PATH          accepts one stream and gives back what comes
 *   peer echo vsock PORT
 *   peer send vsock CID PORT BYTES
 *   peer send unix PATH PORT BYTES   PORT 0: no "CONNECT PORT" before it
 *   peer cid                         this machine's, of vsock
 */
#include <err.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHUNK = 1 << 16 };

/* Byte n of the stream; a period that no buffer size divides. */
static uint8_t byte_at(uint64_t n)
{
    return (uint8_t)(n * 2654435761U >> 7 ^ n / 251);
}

static int vsock(unsigned cid, unsigned port, int listening)
{
    struct sockaddr_vm addr = {
        .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    const int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

    if (fd < 0)
        err(1, "AF_VSOCK");
    if ((listening ? bind : connect)(fd, (void *)&addr, sizeof(addr)))
        err(1, "vsock %u:%u", cid, port);
    return fd;
}

static int local(const char *path, int listening)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
    if (listening)
        unlink(path);
    if ((listening ? bind : connect)(fd, (void *)&addr, sizeof(addr)))
        err(1, "%s", path);
    return fd;
}

static void put(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size) {
        const ssize_t n = write(fd, at, size);

        if (n <= 0)
            err(1, "write");
        at += n;
        size -= (size_t)n;
    }
}

static int echo(int listener)
{
    static char bytes[CHUNK];
    uint64_t total = 0;
    ssize_t n;
    int fd;

    if (listen(listener, 1))
        err(1, "listen");
    puts("listening");
    fflush(stdout);
    fd = accept(listener, NULL, NULL);
    if (fd < 0)
        err(1, "accept");
    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        put(fd, bytes, (size_t)n);
        total += (uint64_t)n;
    }
    if (n < 0)
        err(1, "read");
    printf("echoed %llu\n", (unsigned long long)total);
    return 0;
}

struct sender {
    int fd;
    uint64_t bytes;
};

static void *send_all(void *arg)
{
    const struct sender *s = arg;
    static uint8_t bytes[CHUNK];

    for (uint64_t done = 0; done < s->bytes;) {
        size_t n = 0;

        for (; n < CHUNK && done + n < s->bytes; n++)
            bytes[n] = byte_at(done + n);
        put(s->fd, bytes, n);
        done += n;
    }
    shutdown(s->fd, SHUT_WR);
    return NULL;
}

static int send_and_check(int fd, uint64_t count)
{
    struct sender sender = {fd, count};
    static uint8_t bytes[CHUNK];
    pthread_t thread;
    uint64_t done = 0;
    ssize_t n;

    pthread_create(&thread, NULL, send_all, &sender);
    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] != byte_at(done + (uint64_t)i))
                errx(1, "byte %llu is wrong",
                     (unsigned long long)done + (unsigned long long)i);
        }
        done += (uint64_t)n;
    }
    pthread_join(thread, NULL);
    if (n < 0 || done != count)
        err(1, "%llu bytes came back", (unsigned long long)done);
    printf("same %llu\n", (unsigned long long)done);
    return 0;
}

/* "CONNECT PORT", and its answer, a byte at a time: what follows is data. */
static void ask_for(int fd, const char *port)
{
    char text[64];
    size_t len = 0;

    snprintf(text, sizeof(text), "CONNECT %s\n", port);
    put(fd, text, strlen(text));
    while (len < sizeof(text) - 1 && read(fd, text + len, 1) == 1 &&
           text[len] != '\n')
        len++;
    if (strncmp(text, "OK ", 3) != 0)
        errx(1, "no connection to port %s", port);
}

static int show_cid(void)
{
    const int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    unsigned cid;

    if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid))
        err(1, "/dev/vsock");
    printf("%u\n", cid);
    return 0;
}

int main(int argc, char **argv)
{
    int fd;

    if (argc == 2 && !strcmp(argv[1], "cid"))
        return show_cid();

    if (argc == 4 && !strcmp(argv[1], "echo"))
        return echo(!strcmp(argv[2], "unix")
                        ? local(argv[3], 1)
                        : vsock(VMADDR_CID_ANY, (unsigned)atoi(argv[3]), 1));
    if (argc != 6 || strcmp(argv[1], "send") != 0)
        errx(2, "usage: see the source");
    if (!strcmp(argv[2], "vsock")) {
        fd = vsock((unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), 0);
    } else {
        fd = local(argv[3], 0);
        if (strcmp(argv[4], "0") != 0)
            ask_for(fd, argv[4]);
    }
    return send_and_check(fd, strtoull(argv[5], NULL, 10));
}
