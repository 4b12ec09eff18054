/*
 * test_vsock.c - host programs come and go while the device works on its own
 * thread and a guest, on this one, answers them, and resets the device in the
 * middle of it. For TSan: the assertions are that bytes come back as they were
 * and that everybody gets an end.
 */
#include "devices/iothread.h"
#include "devices/unixsock.h"
#include "fake/vsock_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PROGRAMS = 3,
    STARTS = 15,
    PACKETS = 300, /* to the guest, between its resets */
    BYTES = 20000,
    RX_BUFFERS = 32,
    RX_SIZE = 4140,
};

#define CONNECT "CONNECT 1234\n"

struct test {
    struct vsock_guest guest;
    char dir[64], path[96];
    atomic_uint echoed; /* streams that came back whole */
    atomic_uint wrong;
};

/* ---- host programs ---- */

static bool put(int fd, const uint8_t *bytes, size_t len)
{
    while (len) {
        const ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* How much came before the end, at most len. */
static size_t get(int fd, uint8_t *bytes, size_t len)
{
    size_t done = 0;
    ssize_t n = 1;

    while (done < len && (n = recv(fd, bytes + done, len - done, 0)) > 0)
        done += (size_t)n;
    return done;
}

static size_t get_line(int fd, char *line, size_t size)
{
    size_t len = 0;

    while (len < size - 1 && recv(fd, line + len, 1, 0) == 1) {
        if (line[len++] == '\n')
            return len;
    }
    return 0;
}

static void converse(struct test *t, int fd, unsigned seed)
{
    static _Thread_local uint8_t out[BYTES], in[BYTES];
    char line[64];
    size_t n;

    for (unsigned i = 0; i < BYTES; i++)
        out[i] = (uint8_t)(i * 31 + seed);
    if (!put(fd, (const uint8_t *)CONNECT, strlen(CONNECT)) ||
        !put(fd, out, sizeof(out)) || shutdown(fd, SHUT_WR) ||
        !get_line(fd, line, sizeof(line)))
        return; /* a reset came */
    n = get(fd, in, sizeof(in));
    if (memcmp(in, out, n) != 0 || strncmp(line, "OK ", 3) != 0)
        atomic_fetch_add(&t->wrong, 1);
    if (n == sizeof(in))
        atomic_fetch_add(&t->echoed, 1);
}

static void *program(void *ctx)
{
    struct test *t = ctx;

    for (unsigned seed = 0;; seed++) {
        const int fd = ax_unix_connect(t->path);

        if (fd == -EAGAIN) {
            sched_yield();
            continue;
        }
        if (fd < 0)
            return NULL; /* the device has gone */
        fcntl(fd, F_SETFL, 0);
        converse(t, fd, seed);
        close(fd);
    }
}

/* ---- the guest ---- */

/* Gives bytes back, and accepts and ends what the host begins and ends. */
static void answer(struct vsock_guest *g, const struct vsock_packet *p)
{
    struct vsock_packet out =
        vsock_guest_packet(p->dst_port, p->src_port, VIRTIO_VSOCK_OP_RESPONSE);

    out.room = UINT32_MAX / 2; /* it takes all at once, so need not count */
    if (p->op == VIRTIO_VSOCK_OP_RW) {
        out.op = VIRTIO_VSOCK_OP_RW;
        out.len = p->len;
        out.bytes = p->bytes;
    } else if (p->op == VIRTIO_VSOCK_OP_SHUTDOWN) {
        out.op = VIRTIO_VSOCK_OP_SHUTDOWN;
        out.flags = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;
    } else if (p->op != VIRTIO_VSOCK_OP_REQUEST) {
        return;
    }
    vsock_guest_send(g, &out);
}

/* The packet's bytes are taken before its buffer goes back. */
static void live(struct test *t, unsigned packets)
{
    static uint8_t bytes[RX_SIZE];
    struct vsock_packet p;

    while (packets) {
        if (!vsock_guest_keep(&t->guest, &p)) {
            sched_yield();
            continue;
        }
        if (p.len)
            memcpy(bytes, p.bytes, p.len);
        vsock_guest_refill(&t->guest);
        ax_driver_notify(&t->guest.d, 0);
        p.bytes = bytes;
        answer(&t->guest, &p);
        packets--;
    }
}

/* ---- the test ---- */

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

int main(void)
{
    static struct test t;
    struct ax_iothread *thread;
    pthread_t programs[PROGRAMS];

    strcpy(t.dir, "/tmp/axvm-vsock-XXXXXX");
    need(mkdtemp(t.dir), "a directory");
    snprintf(t.path, sizeof(t.path), "%s/v", t.dir);
    need(!ax_iothread_create("vsock", &thread), "a thread");
    vsock_guest_init_on(&t.guest, ax_iothread_loop(thread), t.path, RX_BUFFERS,
                        RX_SIZE);
    need(!ax_iothread_start(thread), "its start");
    for (unsigned i = 0; i < PROGRAMS; i++)
        need(!pthread_create(&programs[i], NULL, program, &t), "a program");
    for (unsigned i = 0; i < STARTS; i++) {
        live(&t, PACKETS);
        ax_driver_reset(&t.guest.d);
        vsock_guest_start(&t.guest, 0, RX_BUFFERS);
    }
    live(&t, PACKETS);
    ax_iothread_stop(thread);
    vsock_guest_fini(&t.guest);
    for (unsigned i = 0; i < PROGRAMS; i++)
        pthread_join(programs[i], NULL);
    ax_iothread_destroy(thread);
    need(!rmdir(t.dir), "the socket is left");
    printf("%u streams came back\n", atomic_load(&t.echoed));
    need(atomic_load(&t.echoed) && !atomic_load(&t.wrong), "bytes are wrong");
    return 0;
}
