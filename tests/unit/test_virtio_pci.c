/*
 * test_virtio_pci.c - a virtio device as a PCI function: its capabilities, its
 * common configuration, doorbells and messages. VIRTIO 1.2, section 4.1; PCI
 * Local Bus 3.0, section 6.8.2.
 */
#include "devices/pci.h"
#include "devices/virtio.h"
#include "fake/virtio_driver.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MEM = 0x80000000, IO = 0x2000, SLOT = 3, ID = 2 };
enum { QUEUES = 2, QUEUE_SIZE = 64, CONFIG = 16, VECTORS = QUEUES + 1 };
enum { MESSAGES = 16, ADDRESS = 0xfee00000, NONE = 0xffff };

/* ---- the device: it gives back how much it is given ---- */

static void echo_kick(struct ax_virtio *v, unsigned queue)
{
    struct ax_virtq *q = &v->queues[queue];
    static struct ax_virtq_chain chain;

    while (ax_virtq_pop(q, &chain))
        ax_virtq_push(q, &chain, ax_virtq_write(&chain, 0, "pong", 4));
    ax_virtio_done(v, q);
}

static void echo_configure(struct ax_virtio *v, unsigned off, unsigned width,
                           uint64_t val)
{
    memcpy((uint8_t *)ax_virtio_config(v) + off, &val, width);
}

static const struct ax_virtio_ops echo_ops = {
    .id = ID,
    .config = CONFIG,
    .configure = echo_configure,
    .kick = echo_kick,
};

static int echo_init(struct ax_device *dev)
{
    return ax_virtio_init(ax_container_of(dev, struct ax_virtio, dev),
                          &echo_ops, 0, QUEUES, QUEUE_SIZE);
}

static void echo_fini(struct ax_device *dev)
{
    ax_virtio_fini(ax_container_of(dev, struct ax_virtio, dev));
}

static const struct ax_device_ops echo_device = {
    .type = "virtio_echo",
    .state = sizeof(struct ax_virtio),
    .init = echo_init,
    .fini = echo_fini,
    AX_VIRTIO_DEVICE_OPS,
};

/* ---- the machine around it ---- */

static struct ax_driver d;
static struct ax_pci pci;
static struct {
    unsigned sent; /* messages */
    uint64_t address[MESSAGES];
    uint32_t data[MESSAGES];

    bool fast; /* the engine has short ways */
    struct ax_bell bell;
    int bell_fd;
    bool full;      /* it takes no more events */
    unsigned armed; /* events that are messages now, and the last one: */
    int event;
    uint32_t event_data;
} engine;

static void send(void *ctx, uint64_t address, uint32_t data)
{
    cr_assert_lt(engine.sent, MESSAGES);
    engine.address[engine.sent] = address;
    engine.data[engine.sent++] = data;
}

static int doorbell(void *ctx, const struct ax_bell *bell, int fd, bool on)
{
    engine.bell = *bell;
    engine.bell_fd = on ? fd : -1;
    return 0;
}

static int msi_event(void *ctx, uint64_t address, uint32_t data, int fd,
                     bool on)
{
    if (engine.full && on)
        return -ENOSPC;
    engine.armed += on ? 1 : -1U;
    engine.event = fd;
    if (on)
        engine.event_data = data;
    return 0;
}

static void prepare(struct ax_device_env *env, void *ctx)
{
    env->irq.set = NULL;
    env->pci = &pci;
    env->slot = SLOT;
    env->apic.send = send;
    if (engine.fast) {
        env->fast.doorbell = doorbell;
        env->fast.msi_event = msi_event;
    }
}

static void start(bool fast)
{
    memset(&engine, 0, sizeof(engine));
    engine.fast = fast;
    pci = (struct ax_pci){.mem = MEM, .io = IO};
    cr_assert_eq(ax_driver_init(&d, &echo_device, NULL, prepare, NULL), 0);
}

static void setup(void)
{
    start(false);
}

static void teardown(void)
{
    ax_driver_fini(&d);
}

TestSuite(virtio_pci, .init = setup, .fini = teardown, .timeout = 60);

static struct ax_virtio *echo(void)
{
    return ax_container_of(d.dev, struct ax_virtio, dev);
}

static uint32_t config_get(unsigned off, unsigned width)
{
    return ax_pci_config_read(&pci, SLOT << 11 | off, width);
}

static void config_set(unsigned off, unsigned width, uint32_t val)
{
    ax_pci_config_write(&pci, SLOT << 11 | off, width, val);
}

static uint64_t page_get(unsigned off, unsigned width)
{
    return pci.slots[SLOT]->ops->read(pci.slots[SLOT], off, width);
}

static void page_set(unsigned off, unsigned width, uint64_t val)
{
    pci.slots[SLOT]->ops->write(pci.slots[SLOT], off, width, val);
}

/* The n-th capability of this id and, for id 9, type; 0: there is none. */
static unsigned capability(uint8_t id, uint8_t type, unsigned n)
{
    unsigned at = config_get(PCI_CAPABILITY_LIST, 1), steps = 0;

    for (; at; at = config_get(at + 1, 1)) {
        cr_assert_lt(++steps, 48, "a list that does not end");
        if (config_get(at, 1) == id &&
            (id != PCI_CAP_ID_VNDR || config_get(at + 3, 1) == type) && !n--)
            return at;
    }
    return 0;
}

struct structure {
    unsigned bar;
    uint32_t off, len;
};

static struct structure structure(uint8_t type, unsigned n)
{
    const unsigned at = capability(PCI_CAP_ID_VNDR, type, n);

    cr_assert(at, "no structure of type %u", type);
    return (struct structure){config_get(at + 4, 1), config_get(at + 8, 4),
                              config_get(at + 12, 4)};
}

/* ---- MSI-X as a driver has it ---- */

static unsigned msix(void)
{
    return capability(PCI_CAP_ID_MSIX, 0, 0);
}

static uint32_t table(void)
{
    return config_get(msix() + PCI_MSIX_TABLE, 4) & PCI_MSIX_TABLE_OFFSET;
}

static uint64_t pending(void)
{
    return page_get(config_get(msix() + PCI_MSIX_PBA, 4) & PCI_MSIX_PBA_OFFSET,
                    8);
}

static void msix_control(uint16_t bits)
{
    config_set(msix() + PCI_MSIX_FLAGS, 2, bits);
}

static void mask(unsigned vector, bool masked)
{
    page_set(table() + 16 * vector + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, masked);
}

/* Vector n has the message 0x40 + n; queue n has the vector n + 1. */
static void use_messages(void)
{
    for (unsigned i = 0; i < VECTORS; i++) {
        page_set(table() + 16 * i, 4, ADDRESS);
        page_set(table() + 16 * i + 4, 4, 0);
        page_set(table() + 16 * i + 8, 4, 0x40 + i);
        mask(i, false);
    }
    msix_control(PCI_MSIX_FLAGS_ENABLE);
    page_set(VIRTIO_PCI_COMMON_MSIX, 2, 0);
    for (unsigned i = 0; i < QUEUES; i++) {
        page_set(VIRTIO_PCI_COMMON_Q_SELECT, 2, i);
        page_set(VIRTIO_PCI_COMMON_Q_MSIX, 2, i + 1);
        cr_assert_eq(page_get(VIRTIO_PCI_COMMON_Q_MSIX, 2), i + 1);
    }
}

static void begin(void)
{
    use_messages();
    cr_assert(ax_driver_start(&d, 0, 16));
    use_messages(); /* the driver began with a reset */
    ax_driver_settle(&d);
}

/* One request through a queue. */
static void serve(unsigned queue)
{
    const struct ax_driver_buf buf = {ax_driver_alloc(&d, 4), 4, true};

    cr_expect_eq(ax_driver_ask(&d, queue, &buf, 1), 4);
    cr_expect_eq(memcmp(ax_driver_at(&d, buf.gpa, 4), "pong", 4), 0);
    ax_driver_settle(&d);
}

/* ---- what it is and where ---- */

Test(virtio_pci, says_what_it_is)
{
    cr_expect_eq(config_get(PCI_VENDOR_ID, 2), 0x1af4);
    cr_expect_eq(config_get(PCI_DEVICE_ID, 2), 0x1040 + ID);
    cr_expect_geq(config_get(PCI_REVISION_ID, 1), 1);
    cr_expect_geq(config_get(PCI_SUBSYSTEM_ID, 2), 0x40);
    cr_expect_eq(config_get(PCI_CLASS_DEVICE, 2), 0x0180);
    cr_expect_eq(config_get(PCI_BASE_ADDRESS_0, 4), MEM + SLOT * AX_PCI_PAGE);
    cr_expect_eq(config_get(PCI_BASE_ADDRESS_1, 4),
                 (IO + SLOT * AX_PCI_PORTS) | PCI_BASE_ADDRESS_SPACE_IO);
    cr_expect_eq(config_get(PCI_BASE_ADDRESS_2, 4), d.dev->base);
}

Test(virtio_pci, every_structure_lies_in_its_bar)
{
    static const uint8_t types[] = {
        VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG,
        VIRTIO_PCI_CAP_ISR_CFG,    VIRTIO_PCI_CAP_DEVICE_CFG,
        VIRTIO_PCI_CAP_PCI_CFG,
    };

    for (size_t i = 0; i < AX_ARRAY_LEN(types); i++) {
        const struct structure s = structure(types[i], 0);
        const unsigned bar = PCI_BASE_ADDRESS_0 + 4 * s.bar;
        const uint32_t was = config_get(bar, 4);
        uint32_t size;

        config_set(bar, 4, UINT32_MAX);
        size = ~(config_get(bar, 4) & ~3U) + 1;
        config_set(bar, 4, was);
        cr_expect(ax_range_within(s.off, s.len, 0, size), "type %u", types[i]);
    }
    cr_expect_geq(structure(VIRTIO_PCI_CAP_COMMON_CFG, 0).len,
                  sizeof(struct virtio_pci_common_cfg));
    cr_expect_eq(structure(VIRTIO_PCI_CAP_DEVICE_CFG, 0).len, CONFIG);
}

/* A driver takes the first that it can use: the port. */
Test(virtio_pci, doorbells_are_a_port_and_memory)
{
    const struct structure port = structure(VIRTIO_PCI_CAP_NOTIFY_CFG, 0),
                           memory = structure(VIRTIO_PCI_CAP_NOTIFY_CFG, 1);
    const struct ax_driver_buf buf = {ax_driver_alloc(&d, 4), 4, true};
    unsigned id;
    uint32_t len;

    cr_expect_eq(port.bar, 1);
    cr_expect_eq(memory.bar, 0);
    begin();
    serve(1); /* which the driver does by the port */
    ax_driver_add(&d, 0, &buf, 1);
    page_set(memory.off, 2, 0);
    cr_expect(ax_driver_wait(&d, 0, &id, &len));
    page_set(memory.off, 2, QUEUES);
    page_set(memory.off, 2, NONE);
    ax_driver_settle(&d);
}

Test(virtio_pci, has_no_registers_of_mmio)
{
    struct ax_virtio *v = echo();

    v->dev.ops->write(d.dev, VIRTIO_MMIO_STATUS, 4, 1);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_STATUS, 1), 0);
    v->dev.ops->write(d.dev, VIRTIO_MMIO_CONFIG, 4, 0x12345678);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_CONFIG, 4), 0x12345678);
}

/* ---- the common configuration ---- */

Test(virtio_pci, its_fields_are_a_queue_s)
{
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
    for (unsigned i = 0; i < 4; i++) {
        const bool there = i < QUEUES;

        page_set(VIRTIO_PCI_COMMON_Q_SELECT, 2, i);
        cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_SIZE, 2),
                     there ? QUEUE_SIZE : 0);
        cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_MSIX, 2), NONE);
        cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
        cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_NOFF, 2), 0);
    }
    page_set(VIRTIO_PCI_COMMON_Q_SELECT, 2, NONE);
    page_set(VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
    page_set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    page_set(VIRTIO_PCI_COMMON_Q_DESCLO, 8, UINT64_MAX);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_MSIX, 2), NONE);
}

Test(virtio_pci, features_are_halves)
{
    const uint64_t offered = ax_driver_offered(&d);

    cr_expect(offered >> VIRTIO_F_VERSION_1 & 1);
    page_set(VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_DFSELECT, 4), 1);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_DF, 4), offered >> 32);
    page_set(VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
    page_set(VIRTIO_PCI_COMMON_GF, 4, 1);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_GF, 4), 1);
    page_set(VIRTIO_PCI_COMMON_GFSELECT, 4, 2);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_GF, 4), 0);
}

Test(virtio_pci, addresses_may_be_written_whole)
{
    ax_driver_reset(&d);
    cr_assert(ax_driver_negotiate(&d, 0));
    page_set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
    page_set(VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x1122334455667788);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0x1122334455667788);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0x11223344);
}

/* A driver need not say a size; one that is impossible is none. */
Test(virtio_pci, the_size_is_the_largest_by_itself)
{
    ax_driver_reset(&d);
    cr_assert(ax_driver_negotiate(&d, 0));
    page_set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
    page_set(VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x10000);
    page_set(VIRTIO_PCI_COMMON_Q_AVAILLO, 8, 0x20000);
    page_set(VIRTIO_PCI_COMMON_Q_USEDLO, 8, 0x30000);
    page_set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
    page_set(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
    cr_expect_eq(echo()->queues[0].layout.size, QUEUE_SIZE);
}

/* ---- messages ---- */

Test(virtio_pci, serves_a_driver_with_a_message_for_each_queue)
{
    begin();
    engine.sent = 0;
    serve(0);
    cr_expect_geq(engine.sent, 1);
    cr_expect_eq(engine.address[0], ADDRESS);
    cr_expect_eq(engine.data[0], 0x41);
    engine.sent = 0;
    serve(1);
    cr_expect_geq(engine.sent, 1);
    cr_expect_eq(engine.data[0], 0x42);
    engine.sent = 0;
    ax_virtio_reconfigure(echo(), 0, "x", 1);
    cr_expect_eq(engine.sent, 1);
    cr_expect_eq(engine.data[0], 0x40);
}

Test(virtio_pci, a_masked_vector_waits)
{
    begin();
    mask(1, true);
    engine.sent = 0;
    serve(0);
    cr_expect_eq(engine.sent, 0);
    cr_expect_eq(pending(), 1 << 1);
    page_set(table() + 16 + 8, 4, 0x99); /* it may change meanwhile */
    mask(1, false);
    cr_expect_eq(engine.sent, 1);
    cr_expect_eq(engine.data[0], 0x99);
    cr_expect_eq(pending(), 0);
    mask(1, true);
    mask(1, false);
    cr_expect_eq(engine.sent, 1);
}

Test(virtio_pci, the_mask_of_all_does_too)
{
    begin();
    msix_control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    engine.sent = 0;
    serve(0);
    serve(1);
    cr_expect_eq(engine.sent, 0);
    cr_expect_eq(pending(), 1 << 1 | 1 << 2);
    msix_control(PCI_MSIX_FLAGS_ENABLE);
    cr_expect_eq(engine.sent, 2);
}

Test(virtio_pci, without_messages_the_status_is_there_to_be_read)
{
    const struct structure isr = structure(VIRTIO_PCI_CAP_ISR_CFG, 0);

    cr_assert(ax_driver_start(&d, 0, 16));
    ax_driver_settle(&d);
    serve(0);
    cr_expect_eq(engine.sent, 0);
    cr_expect_eq(page_get(isr.off, 1), VIRTIO_MMIO_INT_VRING);
    cr_expect_eq(page_get(isr.off, 1), 0);
    ax_virtio_reconfigure(echo(), 0, "x", 1);
    cr_expect_eq(page_get(isr.off, 1), VIRTIO_MMIO_INT_CONFIG);
}

Test(virtio_pci, a_vector_that_is_not_there_is_none)
{
    begin();
    page_set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
    page_set(VIRTIO_PCI_COMMON_Q_MSIX, 2, VECTORS);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_MSIX, 2), NONE);
    page_set(VIRTIO_PCI_COMMON_MSIX, 2, 0x7fff);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_MSIX, 2), NONE);
    engine.sent = 0;
    serve(0);
    ax_virtio_reconfigure(echo(), 0, "x", 1);
    cr_expect_eq(engine.sent, 0);
    cr_expect_eq(pending(), 0);
}

Test(virtio_pci, the_table_is_made_of_dwords)
{
    cr_expect_eq(config_get(msix() + PCI_MSIX_FLAGS, 2), VECTORS - 1);
    page_set(table(), 8, 0x1122334455667788);
    cr_expect_eq(page_get(table(), 8), 0x1122334455667788);
    page_set(table(), 4, 0x55667787); /* of no dword */
    cr_expect_eq(page_get(table(), 4), 0x55667784);
    page_set(table() + 1, 1, 0xff);
    page_set(table() + 2, 4, 0xff);
    page_set(table() + 4, 2, 0xff);
    cr_expect_eq(page_get(table(), 8), 0x1122334455667784);
    cr_expect_eq(page_get(table() + 2, 4), 0);
    page_set(table() + 8, 8, 0x1234);
    cr_expect_eq(page_get(table() + 8, 8), 0x1234);
    for (unsigned off = 16 * VECTORS; off < 16 * 17; off += 4) {
        page_set(table() + off, 4, UINT32_MAX); /* beyond its end */
        cr_expect_eq(page_get(table() + off, 4), 0);
    }
}

/* ---- reset ---- */

Test(virtio_pci, a_driver_s_reset_leaves_the_function)
{
    begin();
    page_set(VIRTIO_PCI_COMMON_STATUS, 1, 0);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_MSIX, 2), NONE);
    page_set(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_Q_MSIX, 2), NONE);
    cr_expect(config_get(msix() + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_ENABLE);
    cr_expect_eq(page_get(table() + 8, 4), 0x40);
}

Test(virtio_pci, the_machine_s_reset_leaves_nothing)
{
    uint8_t before[AX_PCI_CONFIG];

    memcpy(before, pci.slots[SLOT]->config, sizeof(before));
    begin();
    config_set(PCI_COMMAND, 2, 0);
    config_set(PCI_INTERRUPT_LINE, 1, 11);
    config_set(PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
    ax_device_reset(d.dev);
    cr_expect_eq(memcmp(before, pci.slots[SLOT]->config, sizeof(before)), 0);
    cr_expect_eq(page_get(table() + 8, 4), 0);
    cr_expect_eq(page_get(table() + 12, 4), PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

/* ---- the window in configuration space ---- */

static void look(unsigned bar, uint32_t off, uint32_t len)
{
    const unsigned at = capability(PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG, 0);

    config_set(at + 4, 1, bar);
    config_set(at + 8, 4, off);
    config_set(at + 12, 4, len);
}

static unsigned look_data(void)
{
    return capability(PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG, 0) + 16;
}

Test(virtio_pci, a_window_reaches_into_the_bars)
{
    look(0, VIRTIO_PCI_COMMON_NUMQ, 2);
    cr_expect_eq(config_get(look_data(), 2), QUEUES);
    look(0, VIRTIO_PCI_COMMON_STATUS, 1);
    config_set(look_data(), 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_STATUS, 1),
                 VIRTIO_CONFIG_S_ACKNOWLEDGE);
    look(2, VIRTIO_MMIO_CONFIG + 4, 4);
    config_set(look_data(), 4, 0x87654321);
    cr_expect_eq(ax_driver_get(&d, VIRTIO_MMIO_CONFIG + 4, 4), 0x87654321);
    cr_expect_eq(config_get(look_data(), 4), 0x87654321);
}

Test(virtio_pci, a_window_reaches_no_further)
{
    static const struct {
        unsigned bar;
        uint32_t off, len;
    } wrong[] = {
        {0, 0, 0},           {0, 0, 3},
        {0, 0, 8},           {0, 1, 2},
        {0, 2, 4},           {0, AX_PCI_PAGE, 4},
        {0, 0xfffffffc, 4},  {1, AX_PCI_PORTS, 1},
        {2, AX_PCI_PAGE, 1}, {2, 0xffffffff, 1},
        {3, 0x10000, 1},     {0, 0, 0xffffffff},
    };

    for (size_t i = 0; i < AX_ARRAY_LEN(wrong); i++) {
        look(wrong[i].bar, wrong[i].off, wrong[i].len);
        config_set(look_data(), 4, 0x5a5a5a5a);
        config_get(look_data(), 4);
    }
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_DFSELECT, 4), 0);
    cr_expect_eq(page_get(VIRTIO_PCI_COMMON_STATUS, 1), 0);
}

/* ---- short ways ---- */

static void setup_fast(void)
{
    start(true);
}

TestSuite(virtio_pci_fast, .init = setup_fast, .fini = teardown, .timeout = 60);

Test(virtio_pci_fast, its_doorbell_is_the_port)
{
    const struct ax_driver_buf buf = {ax_driver_alloc(&d, 4), 4, true};
    unsigned id;
    uint32_t len;

    cr_assert_geq(engine.bell_fd, 0);
    cr_expect_eq(engine.bell.space, AX_SPACE_PORT);
    cr_expect_eq(engine.bell.addr, IO + SLOT * AX_PCI_PORTS);
    cr_expect_eq(engine.bell.width, 2);
    cr_expect_eq(engine.bell.value, AX_BELL_ANY);
    begin();
    engine.sent = 0;
    ax_driver_add(&d, 1, &buf, 1);
    cr_assert_eq(eventfd_write(engine.bell_fd, 1), 0);
    cr_expect(ax_driver_wait(&d, 1, &id, &len));
    ax_driver_settle(&d);
    cr_expect_geq(engine.sent, 1);
}

Test(virtio_pci_fast, a_lent_queue_interrupts_by_an_event)
{
    struct ax_virtio *v = echo();
    int fd, kick = eventfd(0, EFD_NONBLOCK);
    eventfd_t count;

    cr_expect(ax_virtio_lends(v));
    cr_expect_eq(ax_virtio_irq_event(v, 0), -EINVAL, "it has no vector");
    begin();
    fd = ax_virtio_irq_event(v, 0);
    cr_assert_geq(fd, 0);
    cr_expect_eq(ax_virtio_irq_event(v, 0), fd);
    cr_expect_eq(engine.armed, 1);
    cr_expect_eq(engine.event, fd);
    cr_expect_eq(engine.event_data, 0x41);
    cr_assert_eq(ax_virtio_lend_queue(v, 0, kick, true), 0);
    cr_expect_eq(engine.bell.value, 0);

    /* Nobody listens while it is masked, and what came then is kept. */
    mask(1, true);
    cr_expect_eq(engine.armed, 0);
    eventfd_write(fd, 1);
    page_set(table() + 16 + 8, 4, 0x77);
    cr_expect_eq(engine.armed, 0);
    mask(1, false);
    cr_expect_eq(engine.armed, 1);
    cr_expect_eq(engine.event_data, 0x77);
    cr_expect_eq(eventfd_read(fd, &count), 0);
    page_set(table() + 16 + 8, 4, 0x78); /* without a mask, too */
    cr_expect_eq(engine.armed, 1);
    cr_expect_eq(engine.event_data, 0x78);
    msix_control(0);
    cr_expect_eq(engine.armed, 0);
    msix_control(PCI_MSIX_FLAGS_ENABLE);
    cr_expect_eq(engine.armed, 1);
    cr_expect_eq(ax_virtio_lend_queue(v, 0, kick, false), 0);
    ax_device_reset(d.dev);
    cr_expect_eq(engine.armed, 0);
    close(kick);
}

Test(virtio_pci_fast, an_engine_that_is_full_is_told_of)
{
    begin();
    engine.full = true;
    cr_expect_eq(ax_virtio_irq_event(echo(), 0), -ENOSPC);
    engine.full = false;
    mask(1, true);
    mask(1, false);
    cr_expect_geq(ax_virtio_irq_event(echo(), 0), 0);
    cr_expect_eq(engine.armed, 1);
}
