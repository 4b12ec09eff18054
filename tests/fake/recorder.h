/*
 * recorder.h - wires that end in a record of what was pulled.
 *
 * A recorder gives a device model its env and remembers interrupts, power
 * requests and messages to local APICs. Not for several threads at once: drive
 * the model, and run its loop, on the thread of the test.
 */
#ifndef FAKE_RECORDER_H
#define FAKE_RECORDER_H

#include "devices/device.h"

enum { RECORDER_EVENTS = 64, RECORDER_PINS = 24, RECORDER_LINE = 5 };

struct recorder {
    struct ax_device_env env; /* wires to this recorder; add what you need */

    bool level;              /* of the interrupt line now */
    unsigned rises;          /* how often it rose */
    unsigned calls;          /* how often its level was set at all */
    unsigned line;           /* that came with the last change */
    void (*rose)(void *ctx); /* may be NULL: called after each rise */
    void *rose_ctx;

    unsigned powers; /* power requests; the last one: */
    enum ax_power_event power;
    uint64_t code;

    unsigned sent; /* messages; the first RECORDER_EVENTS of them: */
    struct {
        uint64_t address;
        uint32_t data;
    } message[RECORDER_EVENTS];
    unsigned routed; /* route changes, of all pins */
    struct {
        uint64_t address;
        uint32_t data;
        bool masked, told;
    } route[RECORDER_PINS];
};

/* Forgets everything and wires env; the interrupt line is RECORDER_LINE. */
void recorder_init(struct recorder *rec);

/*
 * A device of this model at address 0 of the port space with the recorder's
 * env; NULL if it cannot be created. End it with ax_device_destroy.
 */
struct ax_device *recorder_device(struct recorder *rec,
                                  const struct ax_device_ops *ops);

/*
 * One access through the device's own ops, as the bus does it after its checks:
 * width must be one that the model takes.
 */
uint64_t recorder_read(struct ax_device *dev, uint64_t off, unsigned width);
void recorder_write(struct ax_device *dev, uint64_t off, unsigned width,
                    uint64_t val);

/*
 * Runs loop until the interrupt line has risen this often since recorder_init.
 * False if it did not within ten seconds.
 */
bool recorder_await(struct recorder *rec, unsigned rises);

#endif
