/*
 * console_model.c - the model's side of a console: any thread, and the lock for
 * a moment.
 */
#include "devices/console_parts.h"

#include "devices/clock.h"
#include "devices/loop.h"

bool ax_console_ready(const struct ax_console *console)
{
    return console && ring_used(&console->rx);
}

size_t ax_console_read(struct ax_console *console, void *bytes, size_t count)
{
    uint8_t *to = bytes;
    unsigned before;
    size_t done = 0;

    if (!ax_console_ready(console))
        return 0;
    pthread_mutex_lock(&console->lock);
    before = ring_used(&console->rx);
    while (done < count && ring_used(&console->rx)) {
        const uint8_t *from;
        size_t piece = ring_peek(&console->rx, ring_tail(&console->rx), &from);

        if (piece > count - done)
            piece = count - done;
        memcpy(to + done, from, piece);
        ring_drop(&console->rx, (unsigned)piece);
        done += piece;
    }
    /* The loop stopped reading when the ring was full. */
    if (before > IN_BYTES / 2 && before - done <= IN_BYTES / 2)
        ax_loop_wake(console->news);
    pthread_mutex_unlock(&console->lock);
    return done;
}

uint8_t ax_console_get(struct ax_console *console)
{
    uint8_t byte = 0;

    ax_console_read(console, &byte, 1);
    return byte;
}

/* Called with the lock held, before output comes. */
static void console_note_first(struct ax_console *console)
{
    if (!atomic_load_explicit(&console->first_ns, memory_order_relaxed))
        atomic_store(&console->first_ns, ax_clock_now_ns());
}

/* Room for count bytes, where nobody reads by dropping the oldest. */
static size_t console_make_room(struct ax_console *console, size_t count)
{
    unsigned used = ring_used(&console->tx);

    if (console->connected) {
        size_t room = used < OUT_HIGH ? OUT_HIGH - used : 0;

        if (count >= room)
            atomic_store(&console->congested, true);
        return count < room ? count : room;
    }
    if (count > OUT_BYTES)
        count = OUT_BYTES;
    if (count > OUT_BYTES - used)
        ring_drop(&console->tx, (unsigned)(count - (OUT_BYTES - used)));
    return count;
}

size_t ax_console_write(struct ax_console *console, const void *bytes,
                        size_t count)
{
    const uint8_t *from = bytes;
    size_t room, skipped;
    bool wake;

    if (!console || !count)
        return count;
    pthread_mutex_lock(&console->lock);
    console_note_first(console);
    room = console_make_room(console, count);
    skipped = console->connected ? 0 : count - room;
    ring_put_all(&console->tx, from + skipped, room);
    wake = room && !console->told;
    console->told |= wake;
    pthread_mutex_unlock(&console->lock);
    if (wake)
        ax_loop_wake(console->news);
    return room + skipped;
}

void ax_console_put(struct ax_console *console, uint8_t byte)
{
    unsigned used;
    bool wake;

    if (!console)
        return;
    pthread_mutex_lock(&console->lock);
    console_note_first(console);
    used = ring_used(&console->tx);
    /*
     * Full although producers pause earlier: with a reader, whose piece the
     * loop may be writing, this byte goes; without one, the oldest does.
     */
    if (used == OUT_BYTES && !console->connected) {
        ring_drop(&console->tx, 1);
        used--;
    }
    if (used < OUT_BYTES)
        ring_put(&console->tx, byte);
    if (used >= OUT_HIGH && console->connected)
        atomic_store(&console->congested, true);
    wake = !console->told;
    console->told = console->trickles = true;
    pthread_mutex_unlock(&console->lock);
    if (wake)
        ax_loop_wake(console->news);
}

bool ax_console_congested(const struct ax_console *console)
{
    return console &&
           atomic_load_explicit(&console->congested, memory_order_relaxed);
}

void ax_console_wait(struct ax_console *console, bool (*cancelled)(void *ctx),
                     void *ctx)
{
    pthread_mutex_lock(&console->lock);
    while (atomic_load(&console->congested)) {
        unsigned kicks = console->kicks;

        pthread_mutex_unlock(&console->lock);
        if (cancelled(ctx))
            return;
        pthread_mutex_lock(&console->lock);
        if (kicks == console->kicks && atomic_load(&console->congested))
            pthread_cond_wait(&console->room, &console->lock);
    }
    pthread_mutex_unlock(&console->lock);
}

void ax_console_kick(struct ax_console *console)
{
    pthread_mutex_lock(&console->lock);
    console->kicks++;
    pthread_cond_broadcast(&console->room);
    pthread_mutex_unlock(&console->lock);
}

struct ax_console_size ax_console_size(struct ax_console *console)
{
    struct ax_console_size size = {0};

    if (!console)
        return size;
    pthread_mutex_lock(&console->lock);
    size = console->size;
    pthread_mutex_unlock(&console->lock);
    return size;
}

uint64_t ax_console_first_byte_ns(const struct ax_console *console)
{
    return atomic_load(&console->first_ns);
}
