/*
 * test_console.c - vCPU threads flood a console and read from it while the
 * loop thread serves its host end and peers that come, go, and are too slow.
 * For TSan: the assertions are that the host end gets each byte, and that it
 * ends.
 */
#include "devices/console.h"
#include "devices/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VCPUS = 2, BYTES = 200000, PEERS = 4 };

struct test {
    struct ax_loop *loop;
    struct ax_console *console;
    struct ax_timer *ticker;
    struct ax_watch *watch;
    int end;          /* our end of the host end; -1: the console has none */
    int peers[PEERS]; /* ours as well; the first never reads */
    unsigned ticks;
    unsigned long got;
    atomic_uint done;
    atomic_ulong heard;
};

static bool never(void *ctx)
{
    return false;
}

static void *vcpu(void *ctx)
{
    struct test *t = ctx;

    for (unsigned i = 0; i < BYTES; i++) {
        ax_console_put(t->console, (uint8_t)i);
        if (ax_console_congested(t->console))
            ax_console_wait(t->console, never, NULL);
        if (ax_console_ready(t->console)) {
            ax_console_get(t->console);
            atomic_fetch_add(&t->heard, 1);
        }
    }
    atomic_fetch_add(&t->done, 1);
    return NULL;
}

static void take(unsigned long *got, int fd)
{
    char bytes[8192];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        *got += (unsigned long)n;
}

static void on_end(void *ctx, unsigned events)
{
    struct test *t = ctx;

    take(&t->got, t->end);
}

static void replace_peer(struct test *t, unsigned i)
{
    int fds[2];

    if (t->peers[i] >= 0)
        close(t->peers[i]);
    t->peers[i] = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return;
    if (ax_console_attach(t->console, fds[1], (const uint8_t *)"hello", 5))
        close(fds[0]);
    else
        t->peers[i] = fds[0];
}

static void tick(void *ctx, uint64_t count)
{
    struct test *t = ctx;
    unsigned long ignored = 0;

    replace_peer(t, ++t->ticks % 8 ? 1 + t->ticks % (PEERS - 1) : 0);
    for (unsigned i = 1; i < PEERS; i++) {
        if (t->peers[i] < 0)
            continue;
        take(&ignored, t->peers[i]);
        send(t->peers[i], "typed", 5, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (atomic_load(&t->done) == VCPUS &&
        (t->end < 0 || t->got == (unsigned long)VCPUS * BYTES))
        ax_loop_stop(t->loop);
}

static int open_console(struct test *t, bool with_end)
{
    char spec[32] = "none";
    int fds[2];

    t->end = -1;
    if (with_end) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
            return 1;
        snprintf(spec, sizeof(spec), "fd:%d", fds[1]);
        t->end = fds[0];
        if (ax_watch_create(t->loop, t->end, AX_LOOP_READ, on_end, t,
                            &t->watch))
            return 1;
    }
    return ax_console_create(t->loop, NULL, spec, false, &t->console);
}

/* 0 if it went well. */
static int run(bool with_end)
{
    struct test t = {.end = -1};
    pthread_t threads[VCPUS];

    for (unsigned i = 0; i < PEERS; i++)
        t.peers[i] = -1;
    if (ax_loop_create(&t.loop) || open_console(&t, with_end) ||
        ax_timer_create(t.loop, tick, &t, &t.ticker))
        return 1;
    ax_timer_arm(t.ticker, 100000, 100000);
    for (unsigned i = 0; i < VCPUS; i++) {
        if (pthread_create(&threads[i], NULL, vcpu, &t))
            return 1;
    }
    ax_loop_run(t.loop);
    for (unsigned i = 0; i < VCPUS; i++)
        pthread_join(threads[i], NULL);
    printf("%s: %u ticks, %lu bytes out, %lu in\n", with_end ? "fd" : "none",
           t.ticks, t.got, atomic_load(&t.heard));
    ax_console_destroy(t.console);
    ax_watch_destroy(t.watch);
    ax_timer_destroy(t.ticker);
    ax_loop_destroy(t.loop);
    for (unsigned i = 0; i < PEERS; i++) {
        if (t.peers[i] >= 0)
            close(t.peers[i]);
    }
    if (t.end >= 0)
        close(t.end);
    return 0;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    return run(true) || run(false);
}
