/*
 * wire.h - what a device pulls on without knowing who listens.
 *
 * A wire is a function and its context. Devices hold wires by value; the VM
 * decides where they end: a kernel irqchip, another model, a test recorder.
 */
#ifndef AX_DEVICES_WIRE_H
#define AX_DEVICES_WIRE_H

#include "base.h"

#include <errno.h>

/* An interrupt line. It remembers its level, so only edges travel. */
struct ax_irq {
    void (*set)(void *ctx, unsigned line, bool level); /* NULL: not connected */
    void *ctx;
    unsigned line; /* GSI */
    bool level;
};

/* Call with the device's lock held: it guards the remembered level. */
static inline void ax_irq_set(struct ax_irq *irq, bool level)
{
    if (irq->level == level)
        return;
    irq->level = level;
    if (irq->set)
        irq->set(irq->ctx, irq->line, level);
}

/* For edge-triggered sources that have no level of their own. */
static inline void ax_irq_pulse(struct ax_irq *irq)
{
    ax_irq_set(irq, true);
    ax_irq_set(irq, false);
}

/* The VM's power switch. It sets flags and wakes; it never waits. */
struct ax_power {
    void (*request)(void *ctx, enum ax_power_event event, uint64_t code);
    void *ctx;
};

/* code: the guest's value with AX_POWER_EXIT, otherwise 0. */
static inline void ax_power_request(const struct ax_power *power,
                                    enum ax_power_event event, uint64_t code)
{
    if (power->request)
        power->request(power->ctx, event, code);
}

/*
 * The local APICs as seen by an I/O APIC that lives in this process, or by PCI
 * functions. A message is the MSI form of an interrupt (Intel SDM 3A, 11.11).
 */
struct ax_apic_bus {
    /* Of an I/O APIC: tells the engine what pin would send, so that it can
     * report its EOI. */
    void (*route)(void *ctx, unsigned pin, uint64_t address, uint32_t data,
                  bool masked);
    void (*send)(void *ctx, uint64_t address, uint32_t data);
    void *ctx;
};

/* Something that was asked of a device has its answer now. Any thread; it sets
 * flags and wakes. */
struct ax_news {
    void (*tell)(void *ctx); /* NULL: nobody asks */
    void *ctx;
};

static inline void ax_news_tell(const struct ax_news *news)
{
    if (news->tell)
        news->tell(news->ctx);
}

/* A write of the guest's that is a signal and nothing else. */
struct ax_bell {
    enum ax_space space; /* MMIO or port */
    uint64_t addr;
    unsigned width; /* bytes, exactly */
    int64_t value;  /* this one alone; AX_BELL_ANY: each */
};

enum { AX_BELL_ANY = -1 };

/*
 * Short ways between guest and host that an engine may have: signals that pass
 * no thread of ours. fd is an eventfd, which stays the device's. 0, -EOPNOTSUPP
 * where the engine has none, or -errno. Any thread.
 */
struct ax_fast {
    /* Writes like these signal fd instead of coming to the device. */
    int (*doorbell)(void *ctx, const struct ax_bell *bell, int fd, bool on);
    /* Signalling fd pulses the line. */
    int (*irq_event)(void *ctx, unsigned line, int fd, bool on);
    bool irq_event_late; /* ... but struct ax_irq is sooner there */
    /* Signalling fd sends the message. */
    int (*msi_event)(void *ctx, uint64_t address, uint32_t data, int fd,
                     bool on);
    void *ctx;
};

static inline int ax_fast_doorbell(const struct ax_fast *fast,
                                   const struct ax_bell *bell, int fd, bool on)
{
    return fast->doorbell ? fast->doorbell(fast->ctx, bell, fd, on)
                          : -EOPNOTSUPP;
}

static inline int ax_fast_irq_event(const struct ax_fast *fast, unsigned line,
                                    int fd, bool on)
{
    return fast->irq_event ? fast->irq_event(fast->ctx, line, fd, on)
                           : -EOPNOTSUPP;
}

static inline int ax_fast_msi_event(const struct ax_fast *fast,
                                    uint64_t address, uint32_t data, int fd,
                                    bool on)
{
    return fast->msi_event ? fast->msi_event(fast->ctx, address, data, fd, on)
                           : -EOPNOTSUPP;
}

#endif
