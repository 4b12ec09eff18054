/*
 * console.h - the host end of a serial line: two rings between models and the
 * loop.
 *
 * Models put and get bytes from vCPU threads and never see a descriptor; the
 * loop thread moves bytes between the rings and the host. Output is lossless
 * while a reader is connected: when the ring fills, ax_console_wait holds the
 * vCPUs back. Without a reader (none, or a pty or socket nobody opened) the
 * newest 64 KiB are kept for the one who comes.
 */
#ifndef AX_DEVICES_CONSOLE_H
#define AX_DEVICES_CONSOLE_H

#include "base.h"

struct ax_console;
struct ax_log;
struct ax_loop;

/* Who hears from a console; all on the loop thread, each may be NULL. */
struct ax_console_events {
    void (*input)(void *ctx);           /* bytes wait for ax_console_get */
    void (*room)(void *ctx);            /* ax_console_write takes more again */
    void (*resized)(void *ctx);         /* ax_console_size is new */
    void (*escape)(void *ctx, int key); /* Ctrl-a KEY; may hold the console */
    void *ctx;
};

/* Of a terminal, in characters; 0: unknown. */
struct ax_console_size {
    uint16_t cols, rows;
};

/*
 * spec: "stdio", "pty", "unix:PATH", "file:PATH", "none" or "fd:N", a connected
 * stream that the process has inherited, or ax_conmux_add's: open for both
 * directions and not close-on-exec. If it is that, it belongs to the console
 * from now on, also when this fails. escapes: treat Ctrl-a as the prefix of a
 * command (stdio only). Returns 0 or -errno after logging what was wrong. For
 * "pty" the path is logged at info level.
 */
int ax_console_create(struct ax_loop *loop, struct ax_log *log,
                      const char *spec, bool escapes, struct ax_console **out);

/* Accepts NULL. Call ax_console_drain first to lose nothing. */
void ax_console_destroy(struct ax_console *console);

/* Sets who hears of input and escapes. Before the loop runs. */
void ax_console_listen(struct ax_console *console,
                       const struct ax_console_events *events);

/* Is spec well-formed? The message of the first problem, or NULL if fine. */
const char *ax_console_check_spec(const char *spec);

/*
 * Loop thread. One more reader and writer besides the host end: fd (a connected
 * stream socket) belongs to the console from now on, until the peer closes it
 * or the console is destroyed. It first gets the newest output that the console
 * still has, the last 64 KiB at most, whoever else has read them. What it does
 * not read in time is lost to it, to nobody else. input: bytes that were read
 * from it already. 0, -ENOMEM, or -EBUSY above AX_CONSOLE_PEERS; fd is closed
 * then.
 */
enum { AX_CONSOLE_PEERS = 8 };
int ax_console_attach(struct ax_console *console, int fd, const uint8_t *input,
                      size_t count);

/*
 * Loop thread. While held, a "stdio" console leaves the terminal alone: it
 * reads nothing, and output waits, with back-pressure. No-op for other host
 * ends.
 */
void ax_console_hold(struct ax_console *console, bool held);

/*
 * Loop thread. Whoever looks at the console has a terminal of this size from
 * now on.
 */
void ax_console_resize(struct ax_console *console, struct ax_console_size size);

/* Loop thread, SIGWINCH: a "stdio" console looks at its terminal. No-op for
 * other host ends. */
void ax_console_look_at_terminal(struct ax_console *console);

/* Model side; any thread. get returns 0 when nothing waits. */
bool ax_console_ready(const struct ax_console *console);
uint8_t ax_console_get(struct ax_console *console);
void ax_console_put(struct ax_console *console, uint8_t byte);
struct ax_console_size ax_console_size(struct ax_console *console);

/*
 * Model side; any thread. For models that can wait: both return how many bytes
 * they have moved. When write takes less than count, events.room follows as
 * soon as it takes more.
 */
size_t ax_console_read(struct ax_console *console, void *bytes, size_t count);
size_t ax_console_write(struct ax_console *console, const void *bytes,
                        size_t count);

/* Is the output ring so full that producers must pause? One load. */
bool ax_console_congested(const struct ax_console *console);

/*
 * vCPU threads: waits until the ring has room or cancelled(ctx) is true; it is
 * asked again after every ax_console_kick. Takes no other lock.
 */
void ax_console_wait(struct ax_console *console, bool (*cancelled)(void *ctx),
                     void *ctx);
void ax_console_kick(struct ax_console *console); /* any thread */

/*
 * Loop thread, after the vCPUs have stopped: done(ctx, all) is called on the
 * loop, or before this returns, when the host end has got everything (all), or
 * has left without it, or after timeout_ms. A console without a reader is done
 * at once, with nothing lost; one that is held waits, no longer than the
 * others. done may destroy the console, and no other function here calls it. At
 * most one at a time; destroying the console forgets it.
 */
void ax_console_drain(struct ax_console *console, unsigned timeout_ms,
                      void (*done)(void *ctx, bool all), void *ctx);

/* CLOCK_MONOTONIC nanoseconds of the first byte put, 0 if none yet. */
uint64_t ax_console_first_byte_ns(const struct ax_console *console);

#endif
