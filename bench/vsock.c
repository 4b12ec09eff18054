/*
 * vsock.c - how fast bytes go through vsock: a driver of the test library on
 * this thread, the device on its own, a host program on a third. Prints one
 * line per figure, "NAME MEDIAN_NS": a MiB from the guest in packets of 64 KiB,
 * a MiB to the guest in buffers of 4 KiB (Linux) and of 64 KiB, 64 bytes there
 * and back; and as the floor the same MiB and 64 bytes through a socket alone.
 *
 * Not a part of the product and not a test.
 */
#include "devices/iothread.h"
#include "devices/unixsock.h"
#include "fake/vsock_guest.h"

#include "measure.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ROUNDS = 5,
    TOTAL = 512 << 20,
    MIBS = TOTAL >> 20,
    CHUNK = 64 << 10,
    TRIPS = 20000,
    SMALL = 64,
    GUEST_PORT = 1,
    HOST_PORT = 52,
};

struct bench {
    struct vsock_guest guest;
    char dir[64], path[96], host_path[112];
    int listener;
    uint32_t host_room, host_took, sent, got, got_told;
};

/* ---- a host program ---- */

static void sink(int fd)
{
    static char bytes[CHUNK];
    size_t left = TOTAL;

    while (left) {
        const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

        need(n > 0, "the host reads");
        left -= (size_t)n;
    }
}

static void source(int fd)
{
    static char bytes[CHUNK];

    for (size_t done = 0; done < TOTAL; done += CHUNK)
        need(send(fd, bytes, CHUNK, 0) == CHUNK, "the host sends");
}

static void bounce(int fd)
{
    char bytes[SMALL];

    for (unsigned i = 0; i < TRIPS; i++) {
        need(recv(fd, bytes, SMALL, MSG_WAITALL) == SMALL, "the host reads");
        need(send(fd, bytes, SMALL, 0) == SMALL, "the host sends");
    }
}

struct program {
    void (*main)(int fd);
    int fd;
    pthread_t thread;
};

static void *program_main(void *arg)
{
    const struct program *p = arg;

    p->main(p->fd);
    return NULL;
}

static void program_start(struct program *p, void (*fn)(int fd), int fd)
{
    p->main = fn;
    p->fd = fd;
    need(!pthread_create(&p->thread, NULL, program_main, p), "a thread");
}

/* ---- the guest ---- */

static struct vsock_packet packet(struct bench *b, uint16_t op)
{
    struct vsock_packet p = vsock_guest_packet(GUEST_PORT, HOST_PORT, op);

    p.took = b->got_told = b->got;
    return p;
}

static bool take(struct bench *b)
{
    struct vsock_packet p;

    if (!vsock_guest_take(&b->guest, &p))
        return false;
    b->host_room = p.room;
    b->host_took = p.took;
    b->got += p.len;
    if (b->got - b->got_told >= VSOCK_GUEST_ROOM / 2) {
        p = packet(b, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
        vsock_guest_try_send(&b->guest, &p, 0);
    }
    return true;
}

static bool give(struct bench *b, uint32_t len)
{
    struct vsock_packet p = packet(b, VIRTIO_VSOCK_OP_RW);

    if (b->host_room - (b->sent - b->host_took) < len)
        return false;
    p.len = len; /* of whatever is in the buffer: nobody copies it there */
    if (!vsock_guest_try_send(&b->guest, &p, len))
        return false;
    b->sent += len;
    return true;
}

static void guest_source(struct bench *b)
{
    for (size_t done = 0; done < TOTAL;) {
        if (give(b, CHUNK))
            done += CHUNK;
        else if (!take(b))
            sched_yield();
    }
}

static void guest_sink(struct bench *b)
{
    const uint32_t end = b->got + TOTAL;

    while (b->got != end) {
        if (!take(b))
            sched_yield();
    }
}

static void guest_trips(struct bench *b)
{
    for (unsigned i = 0; i < TRIPS; i++) {
        const uint32_t before = b->got;

        while (!give(b, SMALL))
            take(b);
        while (b->got == before) {
            if (!take(b))
                sched_yield();
        }
    }
}

/* ---- measuring ---- */

static uint64_t run(unsigned rx_size, void (*host)(int fd),
                    void (*guest)(struct bench *b))
{
    static struct bench b;
    struct ax_iothread *thread;
    struct program program;
    struct vsock_packet p;
    char why[AX_UNIX_WHY];
    uint64_t began;

    memset(&b, 0, sizeof(b));
    strcpy(b.dir, "/tmp/axvm-bench-XXXXXX");
    need(mkdtemp(b.dir), "a directory");
    snprintf(b.path, sizeof(b.path), "%s/v", b.dir);
    snprintf(b.host_path, sizeof(b.host_path), "%s_%d", b.path, HOST_PORT);
    need(!ax_unix_listen(b.host_path, 1, &b.listener, why), why);
    need(!ax_iothread_create("vsock", &thread), "a thread");
    vsock_guest_init_on(&b.guest, ax_iothread_loop(thread), b.path, 128,
                        rx_size);
    need(!ax_iothread_start(thread), "its start");
    p = packet(&b, VIRTIO_VSOCK_OP_REQUEST);
    vsock_guest_send(&b.guest, &p);
    while (!take(&b))
        sched_yield();
    program_start(&program, host, accept4(b.listener, NULL, NULL, 0));
    fcntl(program.fd, F_SETFL, 0);
    began = now_ns();
    guest(&b);
    pthread_join(program.thread, NULL);
    began = now_ns() - began;
    close(program.fd);
    ax_iothread_stop(thread);
    vsock_guest_fini(&b.guest);
    ax_iothread_destroy(thread);
    ax_unix_unlisten(b.listener, b.host_path);
    rmdir(b.dir);
    return began;
}

static uint64_t run_floor(void (*here)(int fd), void (*there)(int fd))
{
    struct program program;
    uint64_t began;
    int fds[2];

    need(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "a pair of sockets");
    began = now_ns();
    program_start(&program, there, fds[1]);
    here(fds[0]);
    pthread_join(program.thread, NULL);
    began = now_ns() - began;
    close(fds[0]);
    close(fds[1]);
    return began;
}

static void ask(int fd)
{
    char bytes[SMALL] = {0};

    for (unsigned i = 0; i < TRIPS; i++) {
        need(send(fd, bytes, SMALL, 0) == SMALL, "send");
        need(recv(fd, bytes, SMALL, MSG_WAITALL) == SMALL, "recv");
    }
}

int main(void)
{
    enum { HEADER = AX_VSOCK_HEADER };
    uint64_t ns[6][ROUNDS];
    static const char *const names[6] = {
        "vsock_floor_mib",       "vsock_floor_trip",       "vsock_to_host_mib",
        "vsock_to_guest_4k_mib", "vsock_to_guest_64k_mib", "vsock_trip",
    };

    for (unsigned i = 0; i < ROUNDS; i++) {
        ns[0][i] = run_floor(source, sink) / MIBS;
        ns[1][i] = run_floor(ask, bounce) / TRIPS;
        ns[2][i] = run(HEADER + 4096, sink, guest_source) / MIBS;
        ns[3][i] = run(HEADER + 4096, source, guest_sink) / MIBS;
        ns[4][i] = run(HEADER + CHUNK, source, guest_sink) / MIBS;
        ns[5][i] = run(HEADER + 4096, bounce, guest_trips) / TRIPS;
    }
    for (unsigned i = 0; i < 6; i++)
        print_median(names[i], ns[i], ROUNDS);
    return 0;
}
