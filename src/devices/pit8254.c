/*
 * pit8254.c - the PC's interval timer (Intel 8254 data sheet) and its speaker
 * port, which gates channel 2 and shows its output.
 *
 * Nothing counts: a channel is the guest time at which it was started, from
 * which its count and its output follow. Only channel 0's next rising edge,
 * which is IRQ 0, arms a host timer. Ticks that the host is late for merge into
 * one, as they would in an interrupt controller. While guest time stands still
 * the host timer is off: what is left of the period follows when it goes on.
 *
 * Unlike the chip: a new count takes effect at once in modes 2 and 3 too, not
 * with the next period, and BCD counts as binary, after a word in the log.
 */
#include "devices/clock.h"
#include "devices/device.h"
#include "devices/guestclock.h"
#include "devices/loop.h"
#include "devices/registry.h"
#include "log.h"

#include <errno.h>

enum { CHANNELS = 3, CONTROL = 3, PORTS = 4 };
enum { PIT_HZ = 1193182, SPEAKER_CHANNEL = 2 };
enum { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

enum {
    CONTROL_BCD = 0x01,
    CONTROL_MODE_SHIFT = 1,
    CONTROL_ACCESS_SHIFT = 4,
    CONTROL_SELECT_SHIFT = 6,
    CONTROL_KEEP = 0x3f, /* what the status byte gives back */
    READ_BACK = 3,       /* as the selected channel */
    READ_BACK_NO_COUNT = 0x20,
    READ_BACK_NO_STATUS = 0x10,
    STATUS_OUT = 0x80,
    STATUS_NULL_COUNT = 0x40,
    AT_RESET = ACCESS_BOTH << CONTROL_ACCESS_SHIFT | 3 << CONTROL_MODE_SHIFT,
};

/* No guest gets to wake the host more often than this, period for period. */
enum { SHORTEST_NS = 50000 };

enum mode {
    MODE_TERMINAL,    /* low until the count is over */
    MODE_ONE_SHOT,    /* the same, from each rise of the gate */
    MODE_RATE,        /* low for the last tick of each period */
    MODE_SQUARE,      /* low for the second half of each period */
    MODE_STROBE,      /* low for the one tick after the count */
    MODE_GATE_STROBE, /* the same, from each rise of the gate */
};

struct channel {
    uint8_t control;
    enum mode mode;
    uint32_t count;     /* 1..65536, 0: none loaded since the control word */
    bool gate, running; /* running: elapsed counts from start, else it stands */
    uint64_t start, elapsed;
    uint8_t low_byte; /* of a count, while write_high */
    bool write_high, read_high;
    uint16_t latch;
    unsigned latched; /* bytes of latch that are still to be read */
    uint8_t status;
    bool status_latched;
};

struct pit {
    struct ax_device dev;
    struct ax_timer *timer;
    bool armed, held;
    uint64_t told; /* edges of channel 0's present count that were pulsed */
    struct channel channel[CHANNELS];
};

struct speaker {
    struct ax_device dev;
    uint8_t control;
};

/* ---- a channel as a function of time ---- */

static uint64_t channel_elapsed(const struct channel *c, uint64_t now)
{
    return c->running ? now - c->start : c->elapsed;
}

static bool channel_is_periodic(const struct channel *c)
{
    return c->mode == MODE_RATE || c->mode == MODE_SQUARE;
}

static bool channel_waits_for_gate(const struct channel *c)
{
    return c->mode == MODE_ONE_SHOT || c->mode == MODE_GATE_STROBE;
}

static bool channel_out(const struct channel *c, uint64_t now)
{
    uint64_t t = channel_elapsed(c, now);

    if (c->mode == MODE_TERMINAL)
        return c->count && t >= c->count;
    if (!c->count || !c->running)
        return true;
    switch (c->mode) {
    case MODE_ONE_SHOT:
        return t >= c->count;
    case MODE_RATE:
        return t % c->count != c->count - 1;
    case MODE_SQUARE:
        return t % c->count < (c->count + 1) / 2;
    default:
        return t != c->count;
    }
}

/* Mode 3 counts down by two, from an even number, in each half. */
static uint16_t channel_square(const struct channel *c, uint64_t t)
{
    uint64_t at = t % c->count, half = (c->count + 1) / 2;

    return (uint16_t)((c->count & ~1U) - 2 * (at < half ? at : at - half));
}

static uint16_t channel_value(const struct channel *c, uint64_t now)
{
    uint64_t t = channel_elapsed(c, now);

    if (!c->count)
        return 0;
    if (c->mode == MODE_SQUARE)
        return channel_square(c, t);
    return (uint16_t)(c->count - (c->mode == MODE_RATE ? t % c->count : t));
}

/* Rising edges of the output since the count was loaded. */
static uint64_t channel_edges(const struct channel *c, uint64_t now)
{
    uint64_t t = channel_elapsed(c, now);

    if (!c->count)
        return 0;
    if (channel_is_periodic(c))
        return t / c->count;
    return c->mode == MODE_TERMINAL || c->mode == MODE_ONE_SHOT ? t >= c->count
                                                                : t > c->count;
}

/* Ticks until the next rising edge, 0 if there will be none. */
static uint64_t channel_next_edge(const struct channel *c, uint64_t now)
{
    uint64_t t = channel_elapsed(c, now);

    if (!c->count || !c->running)
        return 0;
    if (channel_is_periodic(c))
        return c->count - t % c->count;
    if (c->mode == MODE_TERMINAL || c->mode == MODE_ONE_SHOT)
        return t < c->count ? c->count - t : 0;
    return t <= c->count ? c->count + 1 - t : 0;
}

/* ---- what changes a channel ---- */

static void channel_load(struct channel *c, unsigned count, uint64_t now)
{
    c->count = count ? count : 0x10000;
    c->start = now;
    c->elapsed = 0;
    c->running = c->gate && !channel_waits_for_gate(c);
}

static void channel_set_gate(struct channel *c, bool gate, uint64_t now)
{
    if (gate == c->gate)
        return;
    c->gate = gate;
    if (!gate && !channel_waits_for_gate(c)) {
        c->elapsed = channel_elapsed(c, now);
        c->running = false;
    } else if (gate && c->count) {
        if (c->mode != MODE_TERMINAL && c->mode != MODE_STROBE)
            c->elapsed = 0; /* a trigger; to those two it says go on */
        c->start = now - c->elapsed;
        c->running = true;
    }
}

static void channel_control(struct channel *c, uint8_t control)
{
    unsigned mode = control >> CONTROL_MODE_SHIFT & 7;

    *c = (struct channel){
        .control = control & CONTROL_KEEP,
        .mode = (enum mode)(mode > MODE_GATE_STROBE ? mode & 3 : mode),
        .gate = c->gate,
    };
}

static unsigned channel_access(const struct channel *c)
{
    return c->control >> CONTROL_ACCESS_SHIFT & 3;
}

static void channel_write(struct channel *c, uint8_t val, uint64_t now)
{
    unsigned access = channel_access(c);

    if (access == ACCESS_BOTH && !c->write_high) {
        c->low_byte = val;
        c->write_high = true;
        if (c->mode == MODE_TERMINAL) { /* half a count stops it */
            c->running = false;
            c->count = 0;
        }
        return;
    }
    channel_load(c,
                 access == ACCESS_LOW    ? val
                 : access == ACCESS_HIGH ? (unsigned)val << 8
                                         : (unsigned)val << 8 | c->low_byte,
                 now);
    c->write_high = false;
}

static void channel_latch_count(struct channel *c, uint64_t now)
{
    if (c->latched)
        return; /* the first one stays until it is read */
    c->latch = channel_value(c, now);
    c->latched = channel_access(c) == ACCESS_BOTH ? 2 : 1;
}

static void channel_latch_status(struct channel *c, uint64_t now)
{
    if (c->status_latched)
        return;
    c->status = c->control | (channel_out(c, now) ? STATUS_OUT : 0) |
                (c->count ? 0 : STATUS_NULL_COUNT);
    c->status_latched = true;
}

static uint8_t channel_read(struct channel *c, uint64_t now)
{
    uint16_t val = c->latched ? c->latch : channel_value(c, now);
    unsigned access = channel_access(c);
    bool high =
        access == ACCESS_HIGH || (access == ACCESS_BOTH && c->read_high);

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched)
        c->latched--;
    c->read_high = !c->read_high;
    return (uint8_t)(high ? val >> 8 : val);
}

/* ---- the chip ---- */

static uint64_t pit_now(const struct pit *pit)
{
    return ax_clock_guest_ticks(pit->dev.env.clock, PIT_HZ);
}

static void pit_tell(struct pit *pit, uint64_t now)
{
    uint64_t edges = channel_edges(&pit->channel[0], now);

    if (edges > pit->told)
        ax_irq_pulse(&pit->dev.env.irq);
    pit->told = edges;
}

static void pit_arm(struct pit *pit, uint64_t now)
{
    const struct channel *c = &pit->channel[0];
    uint64_t delay = ax_clock_ns(channel_next_edge(c, now), PIT_HZ);

    if (delay && delay < SHORTEST_NS && channel_is_periodic(c))
        delay = SHORTEST_NS;
    if (pit->held)
        delay = 0;
    if (pit->timer && (delay || pit->armed)) {
        ax_timer_arm(pit->timer, delay, 0);
        pit->armed = delay;
    }
}

static void pit_poll(struct ax_device *dev)
{
    struct pit *pit = ax_container_of(dev, struct pit, dev);
    uint64_t now = pit_now(pit);

    pit_tell(pit, now);
    pit_arm(pit, now);
}

/* Either way the edges of the time so far are told: none is owed later. */
static void pit_hold(struct ax_device *dev, bool held)
{
    struct pit *pit = ax_container_of(dev, struct pit, dev);

    pit->held = held;
    pit_poll(dev);
}

static void pit_timer(void *ctx, uint64_t count)
{
    ax_device_poll(ctx);
}

static uint64_t pit_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct pit *pit = ax_container_of(dev, struct pit, dev);

    if (off == CONTROL)
        return 0; /* write-only */
    return channel_read(&pit->channel[off], pit_now(pit));
}

static void pit_read_back(struct pit *pit, uint8_t val, uint64_t now)
{
    for (unsigned i = 0; i < CHANNELS; i++) {
        if (!(val & 2U << i))
            continue;
        if (!(val & READ_BACK_NO_COUNT))
            channel_latch_count(&pit->channel[i], now);
        if (!(val & READ_BACK_NO_STATUS))
            channel_latch_status(&pit->channel[i], now);
    }
}

static void pit_control(struct pit *pit, uint8_t val, uint64_t now)
{
    unsigned select = val >> CONTROL_SELECT_SHIFT;

    if (select == READ_BACK) {
        pit_read_back(pit, val, now);
        return;
    }
    if ((val >> CONTROL_ACCESS_SHIFT & 3) == ACCESS_LATCH) {
        channel_latch_count(&pit->channel[select], now);
        return;
    }
    if (val & CONTROL_BCD)
        ax_log_guest(pit->dev.env.log, AX_LOG_WARN,
                     "pit8254: BCD is not supported, counting in binary");
    channel_control(&pit->channel[select], val);
}

static void pit_write(struct ax_device *dev, uint64_t off, unsigned width,
                      uint64_t val)
{
    struct pit *pit = ax_container_of(dev, struct pit, dev);
    uint64_t now = pit_now(pit);

    pit_tell(pit, now); /* by the old count, before a new one */
    if (off == CONTROL)
        pit_control(pit, (uint8_t)val, now);
    else
        channel_write(&pit->channel[off], (uint8_t)val, now);
    pit->told = channel_edges(&pit->channel[0], now);
    pit_arm(pit, now);
}

static int pit_init(struct ax_device *dev)
{
    struct pit *pit = ax_container_of(dev, struct pit, dev);

    if (!dev->env.loop)
        return 0;
    return ax_timer_create(dev->env.loop, pit_timer, dev, &pit->timer);
}

static void pit_fini(struct ax_device *dev)
{
    ax_timer_destroy(ax_container_of(dev, struct pit, dev)->timer);
}

/* No channel counts until the guest programs it: an idle PIT wakes nobody. */
static void pit_reset(struct ax_device *dev)
{
    struct pit *pit = ax_container_of(dev, struct pit, dev);

    for (unsigned i = 0; i < CHANNELS; i++) {
        pit->channel[i].gate = i != SPEAKER_CHANNEL;
        channel_control(&pit->channel[i], AT_RESET);
    }
    pit->told = 0;
    pit_arm(pit, 0);
}

const struct ax_device_ops ax_pit8254 = {
    .type = "pit8254",
    .state = sizeof(struct pit),
    .size = PORTS,
    .widths = AX_WIDTH_1,
    .read = pit_read,
    .write = pit_write,
    .init = pit_init,
    .fini = pit_fini,
    .reset = pit_reset,
    .poll = pit_poll,
    .hold = pit_hold,
};

/* ---- port 0x61 (IBM PC AT Technical Reference, "System control port B") ----
 */

enum {
    SPEAKER_GATE = 0x01,
    SPEAKER_WRITABLE = 0x0f, /* speaker data, parity and channel check masks */
    SPEAKER_REFRESH = 0x10,  /* toggles with each refresh of the DRAM */
    SPEAKER_OUT = 0x20,
    REFRESH_TICKS = 18, /* 15 us */
};

static uint64_t speaker_read(struct ax_device *dev, uint64_t off,
                             unsigned width)
{
    struct speaker *s = ax_container_of(dev, struct speaker, dev);
    struct pit *pit = ax_container_of(dev->env.peer, struct pit, dev);
    uint64_t now;
    bool out;

    pthread_mutex_lock(&pit->dev.lock);
    now = pit_now(pit); /* not before the channel's start */
    out = channel_out(&pit->channel[SPEAKER_CHANNEL], now);
    pthread_mutex_unlock(&pit->dev.lock);
    return s->control | (out ? SPEAKER_OUT : 0) |
           (now / REFRESH_TICKS % 2 ? SPEAKER_REFRESH : 0);
}

static void speaker_write(struct ax_device *dev, uint64_t off, unsigned width,
                          uint64_t val)
{
    struct speaker *s = ax_container_of(dev, struct speaker, dev);
    struct pit *pit = ax_container_of(dev->env.peer, struct pit, dev);

    s->control = val & SPEAKER_WRITABLE;
    pthread_mutex_lock(&pit->dev.lock);
    channel_set_gate(&pit->channel[SPEAKER_CHANNEL], val & SPEAKER_GATE,
                     pit_now(pit));
    pthread_mutex_unlock(&pit->dev.lock);
}

static int speaker_init(struct ax_device *dev)
{
    return dev->env.peer && dev->env.peer->ops == &ax_pit8254 ? 0 : -EINVAL;
}

static void speaker_reset(struct ax_device *dev)
{
    speaker_write(dev, 0, 1, 0);
}

const struct ax_device_ops ax_pit_speaker = {
    .type = "pit-speaker",
    .extends = "pit8254",
    .state = sizeof(struct speaker),
    .size = 1,
    .widths = AX_WIDTH_1,
    .read = speaker_read,
    .write = speaker_write,
    .init = speaker_init,
    .reset = speaker_reset,
};
