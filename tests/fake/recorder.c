/*
 * recorder.c - see recorder.h.
 */
#include "fake/recorder.h"

#include "devices/loop.h"

#include <string.h>

static void recorder_irq(void *ctx, unsigned line, bool level)
{
    struct recorder *rec = ctx;

    rec->calls++;
    rec->line = line;
    rec->rises += level && !rec->level;
    rec->level = level;
    if (level && rec->rose)
        rec->rose(rec->rose_ctx);
}

static void recorder_power(void *ctx, enum ax_power_event event, uint64_t code)
{
    struct recorder *rec = ctx;

    rec->powers++;
    rec->power = event;
    rec->code = code;
}

static void recorder_send(void *ctx, uint64_t address, uint32_t data)
{
    struct recorder *rec = ctx;

    if (rec->sent < RECORDER_EVENTS) {
        rec->message[rec->sent].address = address;
        rec->message[rec->sent].data = data;
    }
    rec->sent++;
}

static void recorder_route(void *ctx, unsigned pin, uint64_t address,
                           uint32_t data, bool masked)
{
    struct recorder *rec = ctx;

    rec->routed++;
    if (pin >= RECORDER_PINS)
        return;
    rec->route[pin].address = address;
    rec->route[pin].data = data;
    rec->route[pin].masked = masked;
    rec->route[pin].told = true;
}

void recorder_init(struct recorder *rec)
{
    memset(rec, 0, sizeof(*rec));
    rec->env.irq =
        (struct ax_irq){.set = recorder_irq, .ctx = rec, .line = RECORDER_LINE};
    rec->env.power = (struct ax_power){.request = recorder_power, .ctx = rec};
    rec->env.apic = (struct ax_apic_bus){
        .route = recorder_route, .send = recorder_send, .ctx = rec};
}

struct ax_device *recorder_device(struct recorder *rec,
                                  const struct ax_device_ops *ops)
{
    struct ax_device *dev;

    ax_device_create(ops, AX_SPACE_PORT, 0, &rec->env, &dev);
    return dev;
}

uint64_t recorder_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    uint64_t val;

    pthread_mutex_lock(&dev->lock);
    val = dev->ops->read(dev, off, width);
    pthread_mutex_unlock(&dev->lock);
    return val;
}

void recorder_write(struct ax_device *dev, uint64_t off, unsigned width,
                    uint64_t val)
{
    pthread_mutex_lock(&dev->lock);
    dev->ops->write(dev, off, width, val);
    pthread_mutex_unlock(&dev->lock);
}

struct await {
    struct recorder *rec;
    unsigned rises;
    bool late;
};

static void await_rose(void *ctx)
{
    struct await *await = ctx;

    if (await->rec->rises >= await->rises)
        ax_loop_stop(await->rec->env.loop);
}

static void await_late(void *ctx, uint64_t count)
{
    struct await *await = ctx;

    await->late = true;
    ax_loop_stop(await->rec->env.loop);
}

bool recorder_await(struct recorder *rec, unsigned rises)
{
    struct await await = {.rec = rec, .rises = rises};
    struct ax_timer *bound;

    if (rec->rises >= rises)
        return true;
    if (ax_timer_create(rec->env.loop, await_late, &await, &bound))
        return false;
    ax_timer_arm(bound, 10000000000, 0);
    rec->rose = await_rose;
    rec->rose_ctx = &await;
    ax_loop_run(rec->env.loop);
    rec->rose = NULL;
    ax_timer_destroy(bound);
    return !await.late;
}
