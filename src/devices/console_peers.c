/*
 * console_peers.c - who looks at a console besides its host end: clients that
 * come and go. The loop thread's alone.
 */
#include "devices/console_parts.h"

#include "devices/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE_BYTES = 4096 }; /* what a peer gets at once */

static void peer_leave(struct peer *peer)
{
    struct ax_console *console = peer->console;
    unsigned i = 0;

    while (console->peers[i] != peer)
        i++;
    console->peers[i] = console->peers[--console->peer_count];
    ax_watch_destroy(peer->watch);
    close(peer->fd);
    free(peer->early);
    free(peer);
}

/* Copies what comes next to the peer, for producers may overwrite it. */
static unsigned peer_fetch(struct peer *peer, uint8_t out[PIECE_BYTES])
{
    struct ax_console *console = peer->console;
    const uint8_t *bytes;
    unsigned count;

    pthread_mutex_lock(&console->lock);
    if (peer->next < ring_oldest(&console->tx))
        peer->next = ring_oldest(&console->tx); /* it was too slow */
    count = ring_peek(&console->tx, peer->next, &bytes);
    if (count > PIECE_BYTES)
        count = PIECE_BYTES;
    memcpy(out, bytes, count);
    pthread_mutex_unlock(&console->lock);
    return count;
}

/*
 * Sends what the peer takes now of what the loop has seen: no more than that,
 * lest a guest that never stops keeps the loop here. False when it is gone.
 */
static bool peer_send(struct peer *peer)
{
    while (!peer->stuck && peer->next < peer->console->seen) {
        uint8_t bytes[PIECE_BYTES];
        unsigned count = peer_fetch(peer, bytes);
        ssize_t n = send(peer->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        peer->stuck = n < 0;
        peer->next += n < 0 ? 0 : (uint64_t)n;
    }
    return true;
}

void ax_console_peers_send(struct ax_console *console)
{
    /* Backwards: who leaves is replaced by the last one. */
    for (unsigned i = console->peer_count; i-- > 0;) {
        if (!peer_send(console->peers[i]))
            peer_leave(console->peers[i]);
    }
}

static void peer_type_early(struct peer *peer)
{
    size_t left = peer->early_count - peer->early_at;
    unsigned room = left ? ax_console_input_room(peer->console) : 0;

    if (!room)
        return;
    if (left > room)
        left = room;
    peer->early_at += left;
    ax_console_type(peer->console, peer->early + peer->early_at - left, left);
}

/* False when the peer is gone. */
static bool peer_read(struct peer *peer)
{
    uint8_t bytes[512];
    unsigned room = ax_console_input_room(peer->console);
    ssize_t n;

    if (!room || peer->early_at < peer->early_count)
        return true;
    n = recv(peer->fd, bytes, room < sizeof(bytes) ? room : sizeof(bytes),
             MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n > 0)
        ax_console_type(peer->console, bytes, (size_t)n);
    return n > 0;
}

static void peer_ready(void *ctx, unsigned events)
{
    struct peer *peer = ctx;
    struct ax_console *console = peer->console;
    bool here = true;

    if (events & AX_LOOP_WRITE) {
        peer->stuck = false;
        console->seen = ring_head(&console->tx);
        here = peer_send(peer);
    }
    if (here && (events & AX_LOOP_READ))
        here = peer_read(peer);
    if (!here)
        peer_leave(peer);
    ax_console_settle(console);
}

static int peer_create(struct ax_console *console, int fd, const uint8_t *input,
                       size_t count)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    int err = -ENOMEM;

    if (peer && (!count || (peer->early = malloc(count))))
        err = ax_watch_create(console->loop, fd, 0, peer_ready, peer,
                              &peer->watch);
    if (err) {
        free(peer ? peer->early : NULL);
        free(peer);
        return err;
    }
    if (count)
        memcpy(peer->early, input, count);
    peer->early_count = count;
    peer->console = console;
    peer->fd = fd;
    console->peers[console->peer_count++] = peer;
    return 0;
}

int ax_console_attach(struct ax_console *console, int fd, const uint8_t *input,
                      size_t count)
{
    struct peer *peer;
    int err = -EBUSY;

    if (console->peer_count < AX_CONSOLE_PEERS)
        err = peer_create(console, fd, input, count);
    if (err) {
        close(fd);
        return err;
    }
    peer = console->peers[console->peer_count - 1];
    pthread_mutex_lock(&console->lock);
    peer->next = ring_oldest(&console->tx);
    pthread_mutex_unlock(&console->lock);
    console->seen = ring_head(&console->tx);
    peer_type_early(peer);
    if (!peer_send(peer))
        peer_leave(peer);
    ax_console_rearm(console);
    return 0;
}

void ax_console_peers_type(struct ax_console *console)
{
    for (unsigned i = 0; i < console->peer_count; i++)
        peer_type_early(console->peers[i]);
}

void ax_console_peers_leave(struct ax_console *console)
{
    /* Backwards, as above. */
    for (unsigned i = console->peer_count; i-- > 0;)
        peer_leave(console->peers[i]);
}
