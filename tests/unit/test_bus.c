/* test_bus.c - routing, widths, unclaimed accesses; device life. */
#include "devices/bus.h"
#include "devices/device.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

struct probe {
    struct ax_device dev;
    uint64_t off, val;
    unsigned width, resets, polls;
};

static uint64_t probe_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct probe *p = ax_container_of(dev, struct probe, dev);

    p->off = off;
    p->width = width;
    return 0x1122334455667788ULL;
}

static void probe_write(struct ax_device *dev, uint64_t off, unsigned width,
                        uint64_t val)
{
    struct probe *p = ax_container_of(dev, struct probe, dev);

    p->off = off;
    p->width = width;
    p->val = val;
}

static void probe_reset(struct ax_device *dev)
{
    ax_container_of(dev, struct probe, dev)->resets++;
}

static int probe_refuse(struct ax_device *dev)
{
    return -EBUSY;
}

static const struct ax_device_ops probe_ops = {
    .type = "probe",
    .state = sizeof(struct probe),
    .size = 8,
    .widths = AX_WIDTH_1 | AX_WIDTH_4,
    .read = probe_read,
    .write = probe_write,
    .reset = probe_reset,
};

static const struct ax_device_ops broken_ops = {
    .type = "broken",
    .state = sizeof(struct probe),
    .size = 8,
    .init = probe_refuse,
};

static struct ax_bus bus;
static struct ax_device *devices[80];

static struct ax_device *make(uint64_t base)
{
    const struct ax_device_env env = {.log = NULL};
    struct ax_device *dev;

    cr_assert_eq(ax_device_create(&probe_ops, AX_SPACE_PORT, base, &env, &dev),
                 0);
    return dev;
}

static void init(void)
{
    static const uint64_t bases[] = {0x60, 0x3f8, 0x70};

    ax_bus_init(&bus, AX_SPACE_PORT);
    for (size_t i = 0; i < AX_ARRAY_LEN(bases); i++) {
        devices[i] = make(bases[i]);
        cr_assert_eq(ax_bus_attach(&bus, devices[i]), 0);
    }
}

static void fini(void)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(devices); i++)
        ax_device_destroy(devices[i]);
}

TestSuite(bus, .init = init, .fini = fini);

Test(bus, finds_by_address)
{
    cr_assert_eq(ax_bus_find(&bus, 0x60), devices[0]);
    cr_assert_eq(ax_bus_find(&bus, 0x67), devices[0]);
    cr_assert_null(ax_bus_find(&bus, 0x68));
    cr_assert_eq(ax_bus_find(&bus, 0x77), devices[2]);
    cr_assert_eq(ax_bus_find(&bus, 0x3ff), devices[1]);
    cr_assert_null(ax_bus_find(&bus, 0));
    cr_assert_null(ax_bus_find(&bus, UINT64_MAX));
}

Test(bus, passes_offset_and_cuts_values)
{
    struct probe *p = ax_container_of(devices[1], struct probe, dev);
    uint64_t data = 0xffffffffffffff42ULL;

    cr_assert(ax_bus_access(&bus, true, 0x3fb, 1, &data));
    cr_assert_eq(p->off, 3);
    cr_assert_eq(p->val, 0x42);
    cr_assert(ax_bus_access(&bus, false, 0x3fc, 4, &data));
    cr_assert_eq(p->off, 4);
    cr_assert_eq(data, 0x55667788);
    cr_assert_eq(devices[1]->reads, 1);
    cr_assert_eq(devices[1]->writes, 1);
}

Test(bus, unclaimed_reads_float_high_and_writes_are_lost)
{
    static const struct {
        uint64_t addr;
        unsigned width;
        uint64_t ones;
    } cases[] = {
        {0x500, 1, 0xff},                /* nobody */
        {0x60, 2, 0xffff},               /* a width the model refuses */
        {0x65, 4, 0xffffffff},           /* beyond its end */
        {0x5e, 4, 0xffffffff},           /* from before its start */
        {0x60, 8, UINT64_MAX},           /* not a width of it either */
        {UINT64_MAX - 1, 4, 0xffffffff}, /* wraps */
    };
    uint64_t data;

    for (size_t i = 0; i < AX_ARRAY_LEN(cases); i++) {
        data = 0;
        cr_assert_not(
            ax_bus_access(&bus, false, cases[i].addr, cases[i].width, &data));
        cr_assert_eq(data, cases[i].ones, "case %zu", i);
        cr_assert_not(
            ax_bus_access(&bus, true, cases[i].addr, cases[i].width, &data));
    }
    cr_assert_eq(bus.unclaimed_reads, AX_ARRAY_LEN(cases));
    cr_assert_eq(bus.unclaimed_writes, AX_ARRAY_LEN(cases));
    cr_assert_eq(devices[0]->reads + devices[0]->writes, 0);
}

Test(bus, overlaps_wrong_spaces_and_wraps_are_refused)
{
    struct ax_device *dev = make(0x65);
    const struct ax_device_env env = {.log = NULL};

    cr_assert_eq(ax_bus_attach(&bus, dev), -EEXIST);
    dev->base = UINT64_MAX - 3;
    cr_assert_eq(ax_bus_attach(&bus, dev), -EINVAL);
    ax_device_destroy(dev);
    cr_assert_eq(ax_device_create(&probe_ops, AX_SPACE_MMIO, 0, &env, &dev), 0);
    cr_assert_eq(ax_bus_attach(&bus, dev), -EINVAL);
    ax_device_destroy(dev);
    cr_assert_eq(bus.count, 3);
}

Test(bus, has_room_for_a_fixed_number)
{
    int err = 0;

    for (unsigned i = 3; !err; i++) {
        devices[i] = make(0x1000 + i * 8);
        err = ax_bus_attach(&bus, devices[i]);
    }
    cr_assert_eq(err, -ENOSPC);
    cr_assert_eq(bus.count, AX_BUS_DEVICES);
}

Test(bus, a_system_register_is_one_number_of_any_width)
{
    const struct ax_device_env env = {.log = NULL};
    struct ax_device_ops ops = probe_ops;
    struct ax_bus sysregs;
    uint64_t data;

    ops.size = 1;
    ops.widths = AX_WIDTH_8;
    ax_bus_init(&sysregs, AX_SPACE_SYSREG);
    cr_assert_eq(
        ax_device_create(&ops, AX_SPACE_SYSREG, 0x1a0, &env, &devices[3]), 0);
    cr_assert_eq(ax_bus_attach(&sysregs, devices[3]), 0);
    cr_assert(ax_bus_access(&sysregs, false, 0x1a0, 8, &data));
    cr_assert_eq(data, 0x1122334455667788ULL);
    cr_assert_not(ax_bus_access(&sysregs, false, 0x1a1, 8, &data));
    ax_device_destroy(devices[3]);
    devices[3] = NULL;
}

Test(bus, a_device_starts_reset)
{
    cr_assert_eq(ax_container_of(devices[0], struct probe, dev)->resets, 1);
    ax_device_reset(devices[0]);
    cr_assert_eq(ax_container_of(devices[0], struct probe, dev)->resets, 2);
    /* Operations a model does not have are no-ops. */
    ax_device_poll(devices[0]);
    ax_device_line(devices[0], 1, true);
    ax_device_eoi(devices[0], 1);
    cr_assert_not(ax_device_power_button(devices[0]));
}

Test(bus, a_failed_init_leaves_nothing)
{
    const struct ax_device_env env = {.log = NULL};
    struct ax_device *dev;

    cr_assert_eq(ax_device_create(&broken_ops, AX_SPACE_PORT, 0, &env, &dev),
                 -EBUSY);
    cr_assert_null(dev);
    ax_device_destroy(NULL);
}
