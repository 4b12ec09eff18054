/*
 * virtio_console.c - consoles and named ports of a guest (VIRTIO 1.2, 5.3).
 *
 * One port without a name is a device without multiport: its size is in the
 * configuration space then, where all drivers agree on the order of columns and
 * rows. In control messages Linux has had either; here it is the
 * specification's.
 *
 * Output is not popped before the console takes it, input not read before the
 * driver has buffers for it: each side waits for the other one. What the device
 * has to tell the driver is a set of bits per port, sent when there is a
 * buffer: nothing here grows with what a driver does.
 */
#include "devices/console.h"
#include "devices/registry.h"
#include "devices/virtio.h"
#include "devices/virtio_conf.h"

#include <endian.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>

enum {
    PORTS = AX_VCONSOLE_PORTS,
    QUEUE_SIZE = 64,
    CONTROL_IN = 2, /* queues: to the driver, from it */
    CONTROL_OUT = 3,
    TURN = 64, /* requests of a queue in one turn of the loop */
    TURN_BYTES = 65536,
    NAME_BYTES = AX_VCONSOLE_NAME,
    EMERGENCY = offsetof(struct virtio_console_config, emerg_wr),
};

/* What a port owes the driver, in the order in which it is told. */
enum owed { OWES_ADD, OWES_CONSOLE, OWES_SIZE, OWES_NAME, OWES_OPEN, OWED };

static const uint16_t owed_events[OWED] = {
    [OWES_ADD] = VIRTIO_CONSOLE_PORT_ADD,
    [OWES_CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
    [OWES_SIZE] = VIRTIO_CONSOLE_RESIZE,
    [OWES_NAME] = VIRTIO_CONSOLE_PORT_NAME,
    [OWES_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
};

struct port {
    struct ax_console *console;
    const char *name; /* NULL: none */
    struct ax_console_size size;
    bool ready;    /* the driver knows it */
    bool open;     /* somebody in the guest reads it */
    unsigned owed; /* bits of enum owed */
    /* Output that the console has taken a part of. */
    struct ax_virtq_chain chain;
    size_t taken;
    bool begun;
};

struct vconsole {
    struct ax_virtio v;
    unsigned count;
    struct port ports[PORTS];
    struct ax_virtq_chain chain;
};

/* Control messages are packed, little-endian (5.3.6.2). */
struct message {
    struct virtio_console_control control;
    uint8_t rest[NAME_BYTES]; /* a size or a name, not terminated */
};

static struct vconsole *to_vconsole(struct ax_virtio *v)
{
    return ax_container_of(v, struct vconsole, v);
}

/* Every port of a device without multiport is the one it has. */
static bool is_multiport(const struct vconsole *c)
{
    return ax_virtio_has(&c->v, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* The others are what their name says: a channel for some program. */
static bool is_console(const struct vconsole *c, const struct port *p)
{
    return p == c->ports || !p->name;
}

static unsigned queue_of(unsigned port, bool out)
{
    return (port ? 2 * port + 2 : 0) + out;
}

/* ---- input, output ---- */

static size_t fill(const struct ax_virtq_chain *chain,
                   struct ax_console *console)
{
    size_t done = 0;

    for (unsigned i = 0; i < chain->in; i++) {
        const struct iovec *part = &chain->iov[chain->out + i];
        const size_t n =
            ax_console_read(console, part->iov_base, part->iov_len);

        done += n;
        if (n < part->iov_len)
            break;
    }
    return done;
}

static void port_receive(struct vconsole *c, struct port *p, unsigned queue)
{
    struct ax_virtq *q = &c->v.queues[queue];
    unsigned served = 0;

    while (p->open && served < TURN && ax_console_ready(p->console) &&
           ax_virtq_pop(q, &c->chain)) {
        ax_virtq_push(q, &c->chain, fill(&c->chain, p->console));
        served++;
    }
    if (served)
        ax_virtio_done(&c->v, q);
    if (served == TURN)
        ax_virtio_kick_soon(&c->v, 1U << queue);
}

/* What the console takes of the request that has begun; true if that is all of
 * it, or as much as the turn has left. */
static bool port_drain(struct port *p, size_t *left)
{
    struct iovec parts[AX_VIRTQ_SIZE];
    const unsigned count =
        ax_virtq_slice_out(&p->chain, p->taken, *left, parts);

    for (unsigned i = 0; i < count; i++) {
        const size_t n =
            ax_console_write(p->console, parts[i].iov_base, parts[i].iov_len);

        p->taken += n;
        *left -= n;
        if (n < parts[i].iov_len)
            return false;
    }
    return true;
}

static bool port_begin(struct port *p, struct ax_virtq *q)
{
    if (!p->begun) {
        p->begun = ax_virtq_pop(q, &p->chain);
        p->taken = 0;
    }
    return p->begun;
}

static void port_send(struct vconsole *c, struct port *p, unsigned queue)
{
    struct ax_virtq *q = &c->v.queues[queue];
    size_t left = TURN_BYTES;
    unsigned served = 0;

    while (left && served < TURN && port_begin(p, q) && port_drain(p, &left)) {
        if (p->taken < p->chain.out_bytes)
            break; /* the turn is over */
        ax_virtq_push(q, &p->chain, 0);
        p->begun = false;
        served++;
    }
    if (served)
        ax_virtio_done(&c->v, q);
    if (!left || served == TURN)
        ax_virtio_kick_soon(&c->v, 1U << queue);
}

/* ---- control messages to the driver ---- */

static size_t put_rest(const struct port *p, enum owed what, uint8_t *rest)
{
    const uint16_t size[2] = {htole16(p->size.cols), htole16(p->size.rows)};
    size_t len = 0;

    if (what == OWES_SIZE) {
        len = sizeof(size);
        memcpy(rest, size, len);
    } else if (what == OWES_NAME) {
        len = strnlen(p->name, NAME_BYTES);
        memcpy(rest, p->name, len);
    }
    return len;
}

static size_t make_message(const struct vconsole *c, const struct port *p,
                           enum owed what, struct message *message)
{
    message->control = (struct virtio_console_control){
        .id = htole32((uint32_t)(p - c->ports)),
        .event = htole16(owed_events[what]),
        .value = htole16(1),
    };
    return sizeof(message->control) + put_rest(p, what, message->rest);
}

/* False: the driver has no buffer for it. */
static bool tell(struct vconsole *c, struct port *p, enum owed what)
{
    struct ax_virtq *q = &c->v.queues[CONTROL_IN];
    struct message message;
    size_t size;

    if (!ax_virtq_pop(q, &c->chain))
        return false;
    size = make_message(c, p, what, &message);
    ax_virtq_push(q, &c->chain, ax_virtq_write(&c->chain, 0, &message, size));
    p->owed &= ~(1U << what);
    return true;
}

static void tell_all(struct vconsole *c)
{
    bool room = true;

    for (unsigned i = 0; i < c->count; i++) {
        struct port *p = &c->ports[i];

        for (enum owed what = 0; what < OWED && room; what++) {
            if (p->owed >> what & 1)
                room = tell(c, p, what);
        }
    }
    ax_virtio_done(&c->v, &c->v.queues[CONTROL_IN]);
}

/* ---- control messages from the driver ---- */

static void driver_is_ready(struct vconsole *c, bool ready)
{
    for (unsigned i = 0; i < c->count; i++) {
        c->ports[i].ready = c->ports[i].open = false;
        c->ports[i].owed = ready ? 1U << OWES_ADD : 0;
    }
}

static void port_is_ready(struct vconsole *c, struct port *p, bool ready)
{
    p->ready = ready;
    p->owed = 0;
    if (!ready)
        return;
    p->owed = 1U << OWES_OPEN;
    if (p->name)
        p->owed |= 1U << OWES_NAME;
    if (is_console(c, p))
        p->owed |= 1U << OWES_CONSOLE;
    if (is_console(c, p) && p->size.cols)
        p->owed |= 1U << OWES_SIZE;
}

static void port_is_open(struct vconsole *c, struct port *p, bool open)
{
    p->open = open;
    if (open) /* perhaps there is something to read */
        ax_virtio_kick_soon(&c->v, 1U << queue_of((unsigned)(p - c->ports), 0));
}

static void hear(struct vconsole *c, const struct virtio_console_control *from)
{
    const uint32_t id = le32toh(from->id);
    const bool value = from->value != 0;

    if (le16toh(from->event) == VIRTIO_CONSOLE_DEVICE_READY)
        driver_is_ready(c, value);
    if (id >= c->count)
        return;
    if (le16toh(from->event) == VIRTIO_CONSOLE_PORT_READY)
        port_is_ready(c, &c->ports[id], value);
    if (le16toh(from->event) == VIRTIO_CONSOLE_PORT_OPEN)
        port_is_open(c, &c->ports[id], value);
}

static void hear_all(struct vconsole *c)
{
    struct ax_virtq *q = &c->v.queues[CONTROL_OUT];
    unsigned served = 0;

    while (served < TURN && ax_virtq_pop(q, &c->chain)) {
        struct virtio_console_control from;

        if (ax_virtq_read(&c->chain, 0, &from, sizeof(from)) == sizeof(from))
            hear(c, &from);
        ax_virtq_push(q, &c->chain, 0);
        served++;
    }
    if (served)
        ax_virtio_done(&c->v, q);
    if (served == TURN)
        ax_virtio_kick_soon(&c->v, 1U << CONTROL_OUT);
}

/* ---- what the core and the console call ---- */

static void vconsole_kick(struct ax_virtio *v, unsigned queue)
{
    struct vconsole *c = to_vconsole(v);
    const unsigned port = queue < 2 ? 0 : (queue - 2) / 2;

    if (queue == CONTROL_OUT || queue == CONTROL_IN) {
        if (queue == CONTROL_OUT)
            hear_all(c);
        tell_all(c);
    } else if (port && !is_multiport(c)) {
        return;
    } else if (queue & 1) {
        port_send(c, &c->ports[port], queue);
    } else {
        port_receive(c, &c->ports[port], queue);
    }
}

static void show_size(struct vconsole *c)
{
    const uint16_t size[2] = {htole16(c->ports[0].size.cols),
                              htole16(c->ports[0].size.rows)};

    ax_virtio_reconfigure(&c->v, 0, size, sizeof(size));
}

static void port_look_at_size(struct vconsole *c, struct port *p)
{
    const struct ax_console_size size = ax_console_size(p->console);

    if (size.cols == p->size.cols && size.rows == p->size.rows)
        return;
    p->size = size;
    if (p == c->ports)
        show_size(c);
    if (p->ready && is_console(c, p) && is_multiport(c))
        p->owed |= 1U << OWES_SIZE;
}

/* The consoles have input, or room, or another size; which, they do not say. */
static void vconsole_poll(struct ax_device *dev)
{
    struct vconsole *c = ax_container_of(dev, struct vconsole, v.dev);

    for (unsigned i = 0; i < c->count; i++)
        port_look_at_size(c, &c->ports[i]);
    ax_virtio_kick(&c->v, (1U << c->v.queue_count) - 1);
}

/* The emergency write works before there is a driver (5.3.4). */
static void vconsole_configure(struct ax_virtio *v, unsigned off,
                               unsigned width, uint64_t val)
{
    const uint8_t byte = (uint8_t)val;

    if (off == EMERGENCY)
        ax_console_write(to_vconsole(v)->ports[0].console, &byte, 1);
}

static int vconsole_start(struct ax_virtio *v)
{
    struct vconsole *c = to_vconsole(v);

    if (!is_multiport(c)) /* the driver knows its one port, and reads it */
        c->ports[0].ready = c->ports[0].open = true;
    return 0;
}

static void vconsole_stop(struct ax_virtio *v)
{
    struct vconsole *c = to_vconsole(v);

    for (unsigned i = 0; i < c->count; i++) {
        struct port *p = &c->ports[i];

        p->ready = p->open = p->begun = false;
        p->owed = 0;
    }
}

static const struct ax_virtio_ops vconsole_ops = {
    .id = VIRTIO_ID_CONSOLE,
    .config = sizeof(struct virtio_console_config),
    .configure = vconsole_configure,
    .start = vconsole_start,
    .kick = vconsole_kick,
    .stop = vconsole_stop,
};

static void vconsole_take_ports(struct vconsole *c)
{
    const struct ax_device_env *env = &c->v.dev.env;
    const struct ax_vconsole_conf *conf = env->conf;

    c->count = env->console_count < PORTS ? env->console_count : PORTS;
    for (unsigned i = 0; i < c->count; i++) {
        c->ports[i].console = env->consoles[i];
        c->ports[i].name = conf ? conf[i].name : NULL;
    }
    if (!c->count)
        c->count = 1; /* port 0 is always there; nobody reads it */
}

static int vconsole_init(struct ax_device *dev)
{
    struct vconsole *c = ax_container_of(dev, struct vconsole, v.dev);
    uint64_t features =
        1U << VIRTIO_CONSOLE_F_SIZE | 1U << VIRTIO_CONSOLE_F_EMERG_WRITE;
    unsigned queues = 2;
    struct virtio_console_config *config;
    int err;

    vconsole_take_ports(c);
    if (c->count > 1 || c->ports[0].name) {
        features |= 1U << VIRTIO_CONSOLE_F_MULTIPORT;
        queues = 2 * c->count + 2;
    }
    err = ax_virtio_init(&c->v, &vconsole_ops, features, queues, QUEUE_SIZE);
    if (err)
        return err;
    c->ports[0].size = ax_console_size(c->ports[0].console);
    config = ax_virtio_config(&c->v);
    config->cols = htole16(c->ports[0].size.cols);
    config->rows = htole16(c->ports[0].size.rows);
    config->max_nr_ports = htole32(c->count);
    return 0;
}

static void vconsole_fini(struct ax_device *dev)
{
    struct vconsole *c = ax_container_of(dev, struct vconsole, v.dev);

    ax_virtio_fini(&c->v);
}

const struct ax_device_ops ax_virtio_console = {
    .type = "virtio_console",
    .paged = true,
    .state = sizeof(struct vconsole),
    AX_VIRTIO_DEVICE_OPS,
    .init = vconsole_init,
    .fini = vconsole_fini,
    .poll = vconsole_poll,
};
