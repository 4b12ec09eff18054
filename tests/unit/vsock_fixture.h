/*
 * vsock_fixture.h - what the tests of vsock share: a guest, a directory for
 * sockets, and host programs that are descriptors of the test. Everything on
 * one thread: whoever waits runs the device's loop.
 */
#ifndef AX_TESTS_VSOCK_FIXTURE_H
#define AX_TESTS_VSOCK_FIXTURE_H

#include "devices/unixsock.h"
#include "fake/vsock_guest.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GUEST_PORT = 1234, HOST_PORT = 52, RX_BUFFERS = 64, RX_SIZE = 4140 };

enum { OP_REQUEST = VIRTIO_VSOCK_OP_REQUEST, OP_RESPONSE, OP_RST, OP_SHUTDOWN };
enum { OP_RW = VIRTIO_VSOCK_OP_RW, OP_CREDIT_UPDATE, OP_CREDIT_REQUEST };

static char dir[64], path[96];
static struct vsock_guest guest;

__attribute__((unused)) static void make_dir(void)
{
    strcpy(dir, "/tmp/axvm-vsock-XXXXXX");
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/v.sock", dir);
}

__attribute__((unused)) static void remove_dir(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c) */
}

__attribute__((unused)) static void set_up(void)
{
    make_dir();
    vsock_guest_init(&guest, path, 0, RX_BUFFERS, RX_SIZE);
}

__attribute__((unused)) static void tear_down(void)
{
    vsock_guest_fini(&guest);
    remove_dir();
}

/* ---- host programs ---- */

/* One that listens for the guest at port. */
__attribute__((unused)) static int host_listen(uint32_t port)
{
    char at[128], why[AX_UNIX_WHY];
    int fd;

    snprintf(at, sizeof(at), "%s_%u", path, port);
    cr_assert_eq(ax_unix_listen(at, 2000, &fd, why), 0, "%s", why);
    return fd;
}

__attribute__((unused)) static int host_accept(int listener)
{
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    cr_assert_geq(fd, 0, "%s", strerror(errno));
    return fd;
}

__attribute__((unused)) static int host_dial(void)
{
    const int fd = ax_unix_connect(path);

    cr_assert_geq(fd, 0, "%s", strerror(-fd));
    return fd;
}

__attribute__((unused)) static void host_send(int fd, const void *bytes,
                                              size_t len)
{
    cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

__attribute__((unused)) static void host_say(int fd, const char *text)
{
    host_send(fd, text, strlen(text));
}

struct host_read {
    int fd;
    char *bytes;
    size_t len, wanted;
    int end; /* 0: it goes on, 1: it ended, or -errno */
};

__attribute__((unused)) static bool host_has_read(void *ctx)
{
    struct host_read *r = ctx;
    const ssize_t n =
        recv(r->fd, r->bytes + r->len, r->wanted - r->len, MSG_DONTWAIT);

    if (n > 0)
        r->len += (size_t)n;
    else if (!n)
        r->end = 1;
    else if (errno != EAGAIN)
        r->end = -errno;
    return r->end || r->len == r->wanted;
}

/* So many bytes have to come. */
__attribute__((unused)) static void host_read(int fd, void *bytes, size_t len)
{
    struct host_read r = {.fd = fd, .bytes = bytes, .wanted = len};

    cr_assert(ax_driver_run(&guest.d, host_has_read, &r), "%zu of %zu bytes",
              r.len, len);
    cr_assert_eq(r.len, len, "ended after %zu bytes", r.len);
}

__attribute__((unused)) static void host_reads(int fd, const char *text)
{
    char got[128] = "";

    host_read(fd, got, strlen(text));
    cr_assert_str_eq(got, text);
}

/* Its end has to come, and nothing else: 1, or -errno. */
__attribute__((unused)) static int host_reads_end(int fd)
{
    char byte;
    struct host_read r = {.fd = fd, .bytes = &byte, .wanted = 1};

    cr_assert(ax_driver_run(&guest.d, host_has_read, &r), "it goes on");
    cr_assert_eq(r.len, 0, "a byte came");
    return r.end;
}

/* ---- the guest ---- */

__attribute__((unused)) static void guest_says(uint32_t guest_port,
                                               uint32_t host_port, uint16_t op)
{
    const struct vsock_packet p = vsock_guest_packet(guest_port, host_port, op);

    cr_assert(vsock_guest_send(&guest, &p));
}

__attribute__((unused)) static void guest_sends(uint32_t guest_port,
                                                uint32_t host_port,
                                                const void *bytes, uint32_t len)
{
    struct vsock_packet p = vsock_guest_packet(guest_port, host_port, OP_RW);

    p.bytes = bytes;
    p.len = len;
    cr_assert(vsock_guest_send(&guest, &p));
}

__attribute__((unused)) static void
guest_shuts(uint32_t guest_port, uint32_t host_port, uint32_t flags)
{
    struct vsock_packet p =
        vsock_guest_packet(guest_port, host_port, OP_SHUTDOWN);

    p.flags = flags;
    cr_assert(vsock_guest_send(&guest, &p));
}

/* The next packet has to be this. */
__attribute__((unused)) static struct vsock_packet guest_gets(uint16_t op)
{
    struct vsock_packet p;

    cr_assert(vsock_guest_wait(&guest, &p), "nothing came, instead of %u", op);
    cr_assert_eq(p.op, op, "%u came instead of %u", p.op, op);
    return p;
}

__attribute__((unused)) static void guest_reads(const char *text)
{
    const struct vsock_packet p = guest_gets(OP_RW);

    cr_assert_eq(p.len, strlen(text), "%u bytes", p.len);
    cr_assert_eq(memcmp(p.bytes, text, p.len), 0);
}

__attribute__((unused)) static void guest_gets_nothing(void)
{
    struct vsock_packet p;

    ax_driver_settle(&guest.d);
    cr_assert_not(vsock_guest_take(&guest, &p), "op %u came", p.op);
}

/* ---- streams ---- */

/* From the guest to a host program: its end of it. */
__attribute__((unused)) static int open_to_host(int listener, uint32_t port)
{
    guest_says(GUEST_PORT, port, OP_REQUEST);
    guest_gets(OP_RESPONSE);
    return host_accept(listener);
}

/* From a host program to the guest: its end, and the port it has. */
__attribute__((unused)) static int open_to_guest(uint32_t *host_port)
{
    const int fd = host_dial();
    char line[32];
    struct vsock_packet p;

    host_say(fd, "CONNECT 1234\n");
    p = guest_gets(OP_REQUEST);
    cr_assert_eq(p.dst_port, GUEST_PORT);
    *host_port = p.src_port;
    guest_says(GUEST_PORT, *host_port, OP_RESPONSE);
    snprintf(line, sizeof(line), "OK %u\n", *host_port);
    host_reads(fd, line);
    return fd;
}

#endif
