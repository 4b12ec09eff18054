/*
 * console_parts.h - what console.c (the host end, what the loop does),
 * console_model.c (models) and console_peers.c (who looks on) share. Private to
 * them.
 *
 * The host end is the reader that counts: the tail of the output ring is what
 * it has got, and producers wait for it. It may be absent (none, or a pty or
 * socket that nobody opened), and the ring then keeps the newest bytes. Peers
 * look on: each has its own place in the ring, which producers know nothing of
 * and overwrite. The rings have a lock of their own, a leaf: nothing else is
 * called while it is held. hostend.c opens the descriptors.
 */
#ifndef AX_DEVICES_CONSOLE_PARTS_H
#define AX_DEVICES_CONSOLE_PARTS_H

#include "devices/console.h"
#include "devices/hostend.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    OUT_BYTES = 65536,
    OUT_HIGH = OUT_BYTES - 4096, /* producers pause: 64 vCPUs x 64 bytes left */
    OUT_LOW = OUT_BYTES / 2,     /* ... until it has drained to here */
    IN_BYTES = 4096,
};

struct ring {
    uint8_t *bytes;
    unsigned size;                   /* a power of two */
    atomic_uint_fast64_t head, tail; /* all there ever were; equal: empty */
};

/* Somebody besides the host end; the loop thread's alone. */
struct peer {
    struct ax_console *console;
    struct ax_watch *watch;
    int fd;
    bool stuck;    /* takes nothing until the loop says so */
    uint64_t next; /* its place in the output ring */
    /* Input that came with it and that the ring had no room for yet. */
    uint8_t *early;
    size_t early_at, early_count;
};

/* Who waits for the last output. */
struct drain {
    void (*done)(void *ctx, bool all); /* NULL: nobody */
    void *ctx;
    bool cut; /* the reader left before it had everything */
};

struct ax_console {
    struct ax_hostend end;
    struct ax_loop *loop;
    struct ax_log *log;
    struct ax_console_events events;

    struct ax_watch *in_watch, *out_watch, *listen_watch;
    struct ax_wake *news;     /* a model put a byte while the loop slept */
    struct ax_timer *hung_up; /* pty without a reader: look again later */
    bool escapes, escaped;    /* the last byte was the prefix */
    bool held;                /* the terminal is somebody else's for now */
    uint64_t seen;            /* the output that the loop has dealt with */
    struct peer *peers[AX_CONSOLE_PEERS];
    unsigned peer_count;
    struct ax_timer *patience; /* of drain */
    struct drain drain;

    pthread_mutex_t lock; /* everything below; first what each byte needs */
    struct ring tx;
    bool connected; /* the host end has a reader */
    bool told;      /* the loop knows, or nobody reads: no wake is needed */
    bool trickles;  /* bytes come one by one, each from a vCPU's exit */
    bool relieved;  /* no longer congested, and events.room does not know */
    struct ax_console_size size;
    atomic_bool congested;
    atomic_ullong first_ns;
    struct ring rx;
    pthread_cond_t room;
    unsigned kicks;
};

/*
 * Rings change under the console's lock alone, so plain loads and stores make
 * one; they are atomic for the looks from outside it.
 */
static inline uint64_t ring_head(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed);
}

static inline uint64_t ring_tail(const struct ring *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

static inline unsigned ring_used(const struct ring *ring)
{
    return (unsigned)(ring_head(ring) - ring_tail(ring));
}

static inline void ring_put(struct ring *ring, uint8_t byte)
{
    uint64_t head = ring_head(ring);

    ring->bytes[head & (ring->size - 1)] = byte;
    atomic_store_explicit(&ring->head, head + 1, memory_order_relaxed);
}

/* There is room for all of it. */
static inline void ring_put_all(struct ring *ring, const uint8_t *bytes,
                                size_t count)
{
    uint64_t head = ring_head(ring);
    size_t at = head & (ring->size - 1);
    size_t first = count < ring->size - at ? count : ring->size - at;

    memcpy(ring->bytes + at, bytes, first);
    memcpy(ring->bytes, bytes + first, count - first);
    atomic_store_explicit(&ring->head, head + count, memory_order_relaxed);
}

static inline void ring_drop(struct ring *ring, unsigned count)
{
    atomic_store_explicit(&ring->tail, ring_tail(ring) + count,
                          memory_order_relaxed);
}

/* The bytes from place on, up to the head, that lie in one piece. */
static inline unsigned ring_peek(const struct ring *ring, uint64_t place,
                                 const uint8_t **bytes)
{
    unsigned at = (unsigned)(place & (ring->size - 1));
    uint64_t left = ring_head(ring) - place;

    *bytes = ring->bytes + at;
    return left < ring->size - at ? (unsigned)left : ring->size - at;
}

/* The place of the oldest byte that was not overwritten, read or not. */
static inline uint64_t ring_oldest(const struct ring *ring)
{
    uint64_t head = ring_head(ring);

    return head > ring->size ? head - ring->size : 0;
}

/* ---- console.c ---- */

/* What may be watched has changed. */
void ax_console_rearm(struct ax_console *console);

/* The last act of what the loop calls: the console may be gone afterwards. */
void ax_console_settle(struct ax_console *console);

/* Bytes that the input ring takes. */
unsigned ax_console_input_room(struct ax_console *console);

/* There is room for all of it, and the model hears of it. */
void ax_console_type(struct ax_console *console, const uint8_t *bytes,
                     size_t count);

/* ---- console_peers.c ---- */

/* What they take now of what the loop has seen. */
void ax_console_peers_send(struct ax_console *console);

/* Input that came with them, as far as there is room. */
void ax_console_peers_type(struct ax_console *console);
void ax_console_peers_leave(struct ax_console *console);

#endif
