/*
 * virtio_pci.c - a virtio device as a PCI function (VIRTIO 1.2, section 4.1):
 * the common configuration, which leads to the registers of virtio.c, the
 * capabilities that say where it is, and a doorbell that is a port, which costs
 * a guest less to leave for than memory that has to be emulated.
 */
#include "devices/virtio_parts.h"

#include "devices/pci.h"
#include "devices/pci_msix.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

enum {
    VENDOR = 0x1af4,
    FIRST_DEVICE = 0x1040, /* and the device type's number */
    REVISION = 1,
    SUBSYSTEM = 0x1100, /* anything but those of transitional devices */

    BAR_PAGE = 0,      /* the function's page in the bridge's window */
    BAR_PORTS = 1,     /* ... and its ports: the doorbell */
    BAR_REGISTERS = 2, /* v->page, of which only the configuration counts */

    /* In the function's page. */
    COMMON = 0,
    COMMON_END = 0x40,
    ISR = 0x100,
    NOTIFY = 0x200, /* for a driver that cannot use ports */
    TABLE = 0x800,
    TABLE_END = TABLE + AX_MSIX_VECTORS * PCI_MSIX_ENTRY_SIZE,
    PENDING = 0xc00,
    PENDING_END = PENDING + 8,
};

struct ax_virtio_pci {
    struct ax_pci_function f; /* first */
    struct ax_virtio *v;
    struct ax_msix msix;
    unsigned window; /* the capability that reaches into the BARs */
    uint32_t device_select;
    uint16_t config_vector, vectors[AX_VIRTIO_QUEUES];
};

static struct ax_virtio_pci *to_pci(struct ax_pci_function *f)
{
    return ax_container_of(f, struct ax_virtio_pci, f);
}

/* ---- interrupts and doorbells ---- */

bool ax_virtio_pci_raise(struct ax_virtio *v, int queue)
{
    struct ax_virtio_pci *p = v->pci;

    if (!ax_msix_enabled(&p->msix))
        return false;
    ax_msix_raise(&p->msix, queue < 0 ? p->config_vector : p->vectors[queue]);
    return true;
}

int ax_virtio_pci_event(struct ax_virtio *v, unsigned queue)
{
    return ax_msix_event(&v->pci->msix, v->pci->vectors[queue]);
}

struct ax_bell ax_virtio_pci_bell(const struct ax_virtio *v, int64_t value)
{
    const struct ax_device_env *env = &v->dev.env;

    return (struct ax_bell){AX_SPACE_PORT,
                            env->pci->io + (uint64_t)env->slot * AX_PCI_PORTS,
                            2, value};
}

static uint16_t existing_vector(const struct ax_virtio_pci *p, uint32_t val)
{
    return (uint16_t)(val < p->msix.count ? val : AX_MSIX_NONE);
}

/* ---- the common configuration, 4.1.4.3 ---- */

/* Of the selected queue, NULL if there is none such. */
static uint16_t *queue_vector(struct ax_virtio_pci *p)
{
    const unsigned queue = p->v->queue_select;

    return queue < p->v->queue_count ? &p->vectors[queue] : NULL;
}

static uint32_t queue_read(struct ax_virtio_pci *p, unsigned off)
{
    const struct ax_virtio *v = p->v;
    const struct ax_virtq_layout *layout = &v->layouts[v->queue_select];

    if (v->queue_select >= v->queue_count)
        return off == VIRTIO_PCI_COMMON_Q_MSIX ? AX_MSIX_NONE : 0;
    switch (off) {
    case VIRTIO_PCI_COMMON_Q_SIZE: /* the most until the driver says less */
        return layout->size ? layout->size : v->queue_size;
    case VIRTIO_PCI_COMMON_Q_MSIX:
        return *queue_vector(p);
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        return ax_virtio_register(v, VIRTIO_MMIO_QUEUE_READY);
    case VIRTIO_PCI_COMMON_Q_DESCLO:
        return (uint32_t)layout->desc;
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        return (uint32_t)(layout->desc >> 32);
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
        return (uint32_t)layout->driver;
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        return (uint32_t)(layout->driver >> 32);
    case VIRTIO_PCI_COMMON_Q_USEDLO:
        return (uint32_t)layout->device;
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        return (uint32_t)(layout->device >> 32);
    default: /* among them VIRTIO_PCI_COMMON_Q_NOFF: one doorbell for all */
        return 0;
    }
}

static uint32_t common_read(struct ax_virtio_pci *p, unsigned off)
{
    const struct ax_virtio *v = p->v;

    switch (off) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        return p->device_select;
    case VIRTIO_PCI_COMMON_DF:
        return ax_virtio_register(v, VIRTIO_MMIO_DEVICE_FEATURES);
    case VIRTIO_PCI_COMMON_GFSELECT:
        return v->driver_select;
    case VIRTIO_PCI_COMMON_GF:
        return v->driver_select > 1
                   ? 0
                   : (uint32_t)(v->chosen >> 32 * v->driver_select);
    case VIRTIO_PCI_COMMON_MSIX:
        return p->config_vector;
    case VIRTIO_PCI_COMMON_NUMQ:
        return v->queue_count;
    case VIRTIO_PCI_COMMON_STATUS:
        return ax_virtio_register(v, VIRTIO_MMIO_STATUS);
    case VIRTIO_PCI_COMMON_CFGGENERATION:
        return ax_virtio_register(v, VIRTIO_MMIO_CONFIG_GENERATION) & 0xff;
    case VIRTIO_PCI_COMMON_Q_SELECT:
        return v->queue_select;
    default:
        return queue_read(p, off);
    }
}

/* 4.1.4.3.2: a driver writes 1 and nothing else. One that has said no size
 * takes the one that it reads. */
static void queue_enable(struct ax_virtio *v)
{
    if (v->queue_select < v->queue_count && !v->layouts[v->queue_select].size)
        ax_virtio_set_register(v, VIRTIO_MMIO_QUEUE_NUM, v->queue_size);
    ax_virtio_set_register(v, VIRTIO_MMIO_QUEUE_READY, 1);
}

/* Fields of the common configuration that are registers of virtio.c's. */
static const struct {
    uint8_t field, width;
    uint16_t reg;
} same[] = {
    {VIRTIO_PCI_COMMON_GFSELECT, 4, VIRTIO_MMIO_DRIVER_FEATURES_SEL},
    {VIRTIO_PCI_COMMON_GF, 4, VIRTIO_MMIO_DRIVER_FEATURES},
    {VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_MMIO_STATUS},
    {VIRTIO_PCI_COMMON_Q_SELECT, 2, VIRTIO_MMIO_QUEUE_SEL},
    {VIRTIO_PCI_COMMON_Q_SIZE, 2, VIRTIO_MMIO_QUEUE_NUM},
    {VIRTIO_PCI_COMMON_Q_DESCLO, 4, VIRTIO_MMIO_QUEUE_DESC_LOW},
    {VIRTIO_PCI_COMMON_Q_DESCHI, 4, VIRTIO_MMIO_QUEUE_DESC_HIGH},
    {VIRTIO_PCI_COMMON_Q_AVAILLO, 4, VIRTIO_MMIO_QUEUE_AVAIL_LOW},
    {VIRTIO_PCI_COMMON_Q_AVAILHI, 4, VIRTIO_MMIO_QUEUE_AVAIL_HIGH},
    {VIRTIO_PCI_COMMON_Q_USEDLO, 4, VIRTIO_MMIO_QUEUE_USED_LOW},
    {VIRTIO_PCI_COMMON_Q_USEDHI, 4, VIRTIO_MMIO_QUEUE_USED_HIGH},
};

static void common_write(struct ax_virtio_pci *p, unsigned off, unsigned width,
                         uint32_t val)
{
    struct ax_virtio *v = p->v;
    uint16_t *vector;

    switch (off) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        p->device_select = val;
        ax_virtio_set_register(v, VIRTIO_MMIO_DEVICE_FEATURES_SEL, val);
        return;
    case VIRTIO_PCI_COMMON_MSIX:
        p->config_vector = existing_vector(p, val);
        return;
    case VIRTIO_PCI_COMMON_Q_MSIX:
        vector = queue_vector(p);
        if (vector)
            *vector = existing_vector(p, val);
        return;
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        if (val == 1)
            queue_enable(v);
        return;
    default:
        break;
    }
    for (size_t i = 0; i < AX_ARRAY_LEN(same); i++) {
        if (same[i].field == off && same[i].width == width)
            ax_virtio_set_register(v, same[i].reg, val);
    }
}

/* ---- the function's page ---- */

static uint64_t page_read(struct ax_pci_function *f, uint64_t off,
                          unsigned width)
{
    struct ax_virtio_pci *p = to_pci(f);

    if (off >= TABLE && off < TABLE_END)
        return ax_msix_read(&p->msix, off - TABLE, width);
    if (off >= PENDING && off < PENDING_END)
        return ax_msix_pending(&p->msix, off - PENDING, width);
    if (off == ISR)
        return ax_virtio_take_status(p->v);
    if (off >= COMMON_END)
        return 0;
    if (width == 8) /* a 64-bit field is two of 32 bits, 4.1.3.1 */
        return common_read(p, (unsigned)off) |
               (uint64_t)common_read(p, (unsigned)off + 4) << 32;
    return common_read(p, (unsigned)off);
}

static void page_write(struct ax_pci_function *f, uint64_t off, unsigned width,
                       uint64_t val)
{
    struct ax_virtio_pci *p = to_pci(f);

    if (off >= TABLE && off < TABLE_END) {
        ax_msix_write(&p->msix, off - TABLE, width, val);
    } else if (off == NOTIFY) {
        ax_virtio_set_register(p->v, VIRTIO_MMIO_QUEUE_NOTIFY, (uint16_t)val);
    } else if (off < COMMON_END && width == 8) {
        common_write(p, (unsigned)off, 4, (uint32_t)val);
        common_write(p, (unsigned)off + 4, 4, (uint32_t)(val >> 32));
    } else if (off < COMMON_END) {
        common_write(p, (unsigned)off, width, (uint32_t)val);
    }
}

static void port_write(struct ax_pci_function *f, uint64_t off, unsigned width,
                       uint64_t val)
{
    if (!off)
        ax_virtio_set_register(to_pci(f)->v, VIRTIO_MMIO_QUEUE_NOTIFY,
                               (uint16_t)val);
}

/* ---- configuration space ---- */

/* VIRTIO_PCI_CAP_PCI_CFG, 4.1.4.9: a look into a BAR without mapping it. */
struct window {
    unsigned bar, width;
    uint32_t off;
};

static bool window_get(const struct ax_virtio_pci *p, struct window *w)
{
    const unsigned cap = p->window;

    w->bar = ax_pci_get(&p->f, cap + offsetof(struct virtio_pci_cap, bar), 1);
    w->off =
        ax_pci_get(&p->f, cap + offsetof(struct virtio_pci_cap, offset), 4);
    w->width =
        ax_pci_get(&p->f, cap + offsetof(struct virtio_pci_cap, length), 4);
    return (w->width == 1 || w->width == 2 || w->width == 4) &&
           !(w->off % w->width) &&
           ax_range_within(w->off, w->width, 0,
                           w->bar == BAR_PORTS ? AX_PCI_PORTS : AX_PCI_PAGE);
}

static unsigned window_data(const struct ax_virtio_pci *p)
{
    return p->window +
           (unsigned)offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
}

static void config_read(struct ax_pci_function *f, unsigned off, unsigned width)
{
    struct ax_virtio_pci *p = to_pci(f);
    struct window w;
    uint64_t val = 0;

    if (!ax_range_overlaps(off, width, window_data(p), 4) || !window_get(p, &w))
        return;
    if (w.bar == BAR_PAGE)
        val = page_read(f, w.off, w.width);
    else if (w.bar == BAR_REGISTERS)
        val = ax_virtio_read(&p->v->dev, w.off, w.width);
    ax_pci_set(f, window_data(p), 4, (uint32_t)val);
}

static void config_written(struct ax_pci_function *f, unsigned off,
                           unsigned width)
{
    struct ax_virtio_pci *p = to_pci(f);
    struct window w;
    uint32_t val;

    ax_msix_config_written(&p->msix, off, width);
    if (!ax_range_overlaps(off, width, window_data(p), 4) || !window_get(p, &w))
        return;
    val = ax_pci_get(f, window_data(p), w.width);
    if (w.bar == BAR_PAGE)
        page_write(f, w.off, w.width, val);
    else if (w.bar == BAR_PORTS)
        port_write(f, w.off, w.width, val);
    else if (w.bar == BAR_REGISTERS)
        ax_virtio_write(&p->v->dev, w.off, w.width, val);
}

static const struct ax_pci_ops virtio_pci_ops = {
    .config_read = config_read,
    .config_written = config_written,
    .read = page_read,
    .write = page_write,
    .out = port_write,
};

/* ---- life ---- */

/* A structure's capability, 4.1.4; size: of it, with what belongs to it. */
static unsigned add_structure(struct ax_pci_function *f, uint8_t type,
                              uint8_t bar, uint32_t off, uint32_t len,
                              unsigned size)
{
    const unsigned at = ax_pci_add_capability(f, PCI_CAP_ID_VNDR, size);

    ax_pci_set(f, at + offsetof(struct virtio_pci_cap, cap_len), 1, size);
    ax_pci_set(f, at + offsetof(struct virtio_pci_cap, cfg_type), 1, type);
    ax_pci_set(f, at + offsetof(struct virtio_pci_cap, bar), 1, bar);
    ax_pci_set(f, at + offsetof(struct virtio_pci_cap, offset), 4, off);
    ax_pci_set(f, at + offsetof(struct virtio_pci_cap, length), 4, len);
    return at;
}

/* A driver takes the first of several that it can use. */
static void add_structures(struct ax_virtio_pci *p)
{
    const unsigned plain = sizeof(struct virtio_pci_cap);
    struct ax_pci_function *f = &p->f;

    add_structure(f, VIRTIO_PCI_CAP_COMMON_CFG, BAR_PAGE, COMMON, COMMON_END,
                  plain);
    add_structure(f, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_PORTS, 0, AX_PCI_PORTS,
                  sizeof(struct virtio_pci_notify_cap));
    add_structure(f, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_PAGE, NOTIFY, 4,
                  sizeof(struct virtio_pci_notify_cap));
    add_structure(f, VIRTIO_PCI_CAP_ISR_CFG, BAR_PAGE, ISR, 1, plain);
    if (p->v->ops->config)
        add_structure(f, VIRTIO_PCI_CAP_DEVICE_CFG, BAR_REGISTERS,
                      VIRTIO_MMIO_CONFIG, p->v->ops->config, plain);
    p->window = add_structure(f, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0,
                              sizeof(struct virtio_pci_cfg_cap));
    ax_pci_allow(f, p->window + offsetof(struct virtio_pci_cap, bar), 1, 0xff);
    ax_pci_allow(f, p->window + offsetof(struct virtio_pci_cap, offset), 4,
                 UINT32_MAX);
    ax_pci_allow(f, p->window + offsetof(struct virtio_pci_cap, length), 4,
                 UINT32_MAX);
    ax_pci_allow(f, window_data(p), 4, UINT32_MAX);
}

/* Class, subclass and interface, which no driver of ours looks at. */
static uint32_t class_of(uint32_t type)
{
    switch (type) {
    case VIRTIO_ID_NET:
        return 0x020000; /* Ethernet controller */
    case VIRTIO_ID_BLOCK:
        return 0x018000; /* mass storage */
    case VIRTIO_ID_CONSOLE:
        return 0x078000; /* simple communication */
    default:
        return 0xff0000;
    }
}

static void identify(struct ax_virtio_pci *p)
{
    const uint32_t type = p->v->ops->id;
    const struct ax_pci_identity id = {
        .vendor = VENDOR,
        .device = (uint16_t)(FIRST_DEVICE + type),
        .subsystem_vendor = VENDOR,
        .subsystem = SUBSYSTEM,
        .class_code = class_of(type),
        .revision = REVISION,
    };

    ax_pci_function_init(&p->f, &p->v->dev, &virtio_pci_ops, &id);
}

static void place(struct ax_virtio_pci *p)
{
    const struct ax_device_env *env = &p->v->dev.env;

    ax_pci_set_bar(&p->f, BAR_PAGE, AX_SPACE_MMIO,
                   env->pci->mem + (ax_gpa)env->slot * AX_PCI_PAGE,
                   AX_PCI_PAGE);
    ax_pci_set_bar(&p->f, BAR_PORTS, AX_SPACE_PORT,
                   ax_virtio_pci_bell(p->v, 0).addr, AX_PCI_PORTS);
    ax_pci_set_bar(&p->f, BAR_REGISTERS, AX_SPACE_MMIO, p->v->dev.base,
                   AX_DEVICE_PAGE);
}

static void forget_vectors(struct ax_virtio_pci *p)
{
    p->config_vector = AX_MSIX_NONE;
    for (unsigned i = 0; i < AX_VIRTIO_QUEUES; i++)
        p->vectors[i] = AX_MSIX_NONE;
    p->device_select = 0;
}

static void function_make(struct ax_virtio_pci *p)
{
    identify(p);
    place(p);
    ax_msix_init(&p->msix, &p->f, p->v->queue_count + 1, BAR_PAGE, TABLE,
                 PENDING);
    add_structures(p);
    forget_vectors(p);
}

int ax_virtio_pci_create(struct ax_virtio *v)
{
    const struct ax_device_env *env = &v->dev.env;
    struct ax_virtio_pci *p = calloc(1, sizeof(*p));
    int err;

    if (!p)
        return -ENOMEM;
    p->v = v;
    function_make(p);
    err = ax_pci_attach(env->pci, env->slot, &p->f);
    if (err)
        free(p);
    else
        v->pci = p;
    return err;
}

void ax_virtio_pci_destroy(struct ax_virtio *v)
{
    if (!v->pci)
        return;
    ax_pci_detach(v->dev.env.pci, v->dev.env.slot);
    ax_msix_fini(&v->pci->msix);
    free(v->pci);
    v->pci = NULL;
}

void ax_virtio_pci_reset(struct ax_virtio *v, bool machine)
{
    forget_vectors(v->pci);
    if (!machine)
        return;
    ax_msix_fini(&v->pci->msix);
    function_make(v->pci);
}
