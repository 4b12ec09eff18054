/*
 * device.h - the contract of an emulated device model.
 *
 * A model is one .c file that exports one const struct ax_device_ops. It sees
 * its own state and the wires in its env, never the VM, an engine or a vCPU.
 * dev->lock is held by the caller around every operation but init and fini,
 * so a model contains no lock and starts no thread.
 */
#ifndef AX_DEVICES_DEVICE_H
#define AX_DEVICES_DEVICE_H

#include "base.h"
#include "devices/wire.h"

#include <pthread.h>

struct ax_balloon;
struct ax_clock;
struct ax_console;
struct ax_card;
struct ax_device;
struct ax_log;
struct ax_loop;
struct ax_memory;
struct ax_pci;

/* Access widths that a model takes, as a set. */
enum { AX_WIDTH_1 = 1, AX_WIDTH_2 = 2, AX_WIDTH_4 = 4, AX_WIDTH_8 = 8 };

struct ax_device_ops {
    const char *type;       /* name in configuration, logs and statistics */
    const char *compatible; /* device-tree binding, NULL if it has none */
    const char *extends;    /* type that must stand in env.peer, NULL if none */
    size_t state;    /* bytes of model state; struct ax_device is first */
    uint64_t size;   /* bytes of register space, numbers for SYSREG */
    unsigned widths; /* set of AX_WIDTH_*; the bus refuses the others */
    bool threaded;   /* env.loop is its own, on a thread of its own */
    bool paged;      /* wants env.page */

    /*
     * One register access. off < size, off + width <= size, width is in
     * widths; all checked by the bus. val is already cut to width.
     */
    uint64_t (*read)(struct ax_device *dev, uint64_t off, unsigned width);
    void (*write)(struct ax_device *dev, uint64_t off, unsigned width,
                  uint64_t val);

    /* All below are optional. */
    int (*init)(struct ax_device *dev);  /* after zeroing, before reset */
    void (*fini)(struct ax_device *dev); /* accepts a failed init */
    void (*reset)(struct ax_device *dev);
    void (*poll)(struct ax_device *dev); /* the host side has news */

    /* Interrupt controllers only: an input pin changes; a vector was EOId. */
    void (*line)(struct ax_device *dev, unsigned line, bool level);
    void (*eoi)(struct ax_device *dev, unsigned vector);

    /*
     * Guest time stops (env.clock does not move) and goes on: timers that
     * follow it are disarmed, and armed again. Not for wall-clock time.
     */
    void (*hold)(struct ax_device *dev, bool held);

    /*
     * A disk: *size 0 takes over the size that its image has now, else the
     * image gets that one; *size is what it is then. shrink: also a smaller
     * one, else -ERANGE. 0 or -errno.
     */
    int (*resize)(struct ax_device *dev, bool shrink, uint64_t *size);

    /* The host asks the guest to power off. Does the guest listen? */
    bool (*power_button)(struct ax_device *dev);

    /*
     * Memory balloons: bytes that the guest shall have, -ERANGE if it cannot;
     * and how it is (devices/balloon.h). ask: for statistics as well, which
     * have come, or never will, when env.news tells.
     */
    int (*aim)(struct ax_device *dev, uint64_t bytes);
    void (*balloon)(struct ax_device *dev, bool ask, struct ax_balloon *out);

    /* Network cards only: what it is doing; its cable is plugged in or out. */
    void (*card)(struct ax_device *dev, struct ax_card *out);
    void (*plug)(struct ax_device *dev, bool in);
};

/* A network card, for who wants to look at it. */
struct ax_card {
    const char *mode; /* of its link: "user", "tap" ...; static text */
    uint8_t mac[6];
    bool plugged; /* from outside */
    bool link;    /* as the guest sees it */
    bool vhost;   /* the host's kernel moves the frames, and counts none */
    uint64_t rx_frames, rx_bytes, rx_lost; /* to the guest */
    uint64_t tx_frames, tx_bytes, tx_lost; /* from it */
};

/* What the VM hands to a model. Pointers are borrowed and outlive it. */
struct ax_device_env {
    struct ax_irq irq;
    struct ax_power power;
    struct ax_apic_bus apic;
    struct ax_news news;
    struct ax_console *console;         /* the serial line's; NULL: none */
    struct ax_console *const *consoles; /* a multiport console's */
    unsigned console_count;
    const struct ax_clock *clock; /* guest time; NULL: the host's */
    struct ax_memory *mem;
    struct ax_loop *loop;
    struct ax_log *log;
    struct ax_device *peer; /* the device that this one extends (ops->extends),
                               created before it: the PIT for its speaker port.
                               Lock order is device, then its peer. */
    const uint64_t *cfg;    /* AxVisor's cfg_list */
    unsigned cfg_count;
    const char *vm;      /* its name; NULL: none */
    unsigned index;      /* of the VM's devices of this type, from 0 */
    const void *conf;    /* what the model's header says, NULL if nothing */
    struct ax_fast fast; /* the engine's short ways */
    /*
     * AX_DEVICE_PAGE bytes that the guest reads at the device's address without
     * an exit; writes come to the device. NULL where the engine cannot.
     */
    void *page;
    struct ax_pci *pci; /* the VM's PCI bus; NULL: it has none */
    unsigned slot;      /* of this device on it; 0: it is not there */
};

enum { AX_DEVICE_PAGE = 4096 };

struct ax_device {
    const struct ax_device_ops *ops;
    struct ax_device_env env;
    enum ax_space space;
    uint64_t base;
    pthread_mutex_t lock;
    uint64_t reads, writes; /* accesses so far, under lock */
};

/*
 * Allocates the model's state, runs init, then reset. Returns 0, -ENOMEM or
 * what init returned; *out is NULL on failure. Loop thread, before attach.
 */
int ax_device_create(const struct ax_device_ops *ops, enum ax_space space,
                     uint64_t base, const struct ax_device_env *env,
                     struct ax_device **out);

/* Accepts NULL. Nothing may access the device any more. */
void ax_device_destroy(struct ax_device *dev);

/*
 * Locked calls of the optional operations; no-ops, and false, where a model has
 * none.
 */
void ax_device_reset(struct ax_device *dev);
void ax_device_poll(struct ax_device *dev);
void ax_device_line(struct ax_device *dev, unsigned line, bool level);
void ax_device_eoi(struct ax_device *dev, unsigned vector);
void ax_device_hold(struct ax_device *dev, bool held);

/* fn with the lock held: for a model's own watches, timers and wakes. */
void ax_device_call(struct ax_device *dev, void (*fn)(struct ax_device *dev));
bool ax_device_power_button(struct ax_device *dev);
int ax_device_resize(struct ax_device *dev, bool shrink,
                     uint64_t *size); /* -EOPNOTSUPP */
bool ax_device_card(struct ax_device *dev, struct ax_card *out);
bool ax_device_plug(struct ax_device *dev, bool in);

/* Both -EOPNOTSUPP where a model is no balloon. */
int ax_device_aim(struct ax_device *dev, uint64_t bytes);
int ax_device_balloon(struct ax_device *dev, bool ask, struct ax_balloon *out);

#endif
