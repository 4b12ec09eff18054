/*
 * acpi_pm.c - the fixed ACPI hardware that power-off and the power button need:
 * PM1a event and control blocks and the PM timer, in one block of ports. No
 * sleep states but S5, no GPEs; the timer's carry raises no event, which a
 * 32-bit timer read by the operating system does not need. The timer counts
 * guest time: a suspended guest finds it where it left it.
 *
 * ACPI specification, 4.8.3. AxVisor's power-off, 0x2000 to port 0x604, is this
 * control register.
 */
#include "devices/device.h"
#include "devices/guestclock.h"
#include "devices/registry.h"
#include "log.h"

enum { STATUS, ENABLE = 2, CONTROL = 4, TIMER = 8, REGS = 12 };
/* The RTC's can be enabled, as Linux checks, but there is no sleep to wake. */
enum { EVENT_GLOBAL = 0x0020, EVENT_PWRBTN = 0x0100, EVENT_RTC = 0x0400 };
enum { CONTROL_SCI_EN = 0x01 }; /* in its low byte */
enum { CONTROL_TYPE = 0x1c, CONTROL_SLEEP = 0x20 /* in its high byte */ };
enum { TIMER_HZ = 3579545, TYPE_S5 = 0 };

struct acpi_pm {
    struct ax_device dev;
    uint16_t status, enable;
    uint8_t control; /* high byte: the sleep type */
};

static void pm_update(struct acpi_pm *pm)
{
    ax_irq_set(&pm->dev.env.irq, pm->status & pm->enable);
}

/* All registers side by side, as the ports lie. */
static void pm_image(const struct acpi_pm *pm, uint8_t image[REGS])
{
    uint32_t ticks =
        (uint32_t)ax_clock_guest_ticks(pm->dev.env.clock, TIMER_HZ);

    image[STATUS] = (uint8_t)pm->status;
    image[STATUS + 1] = (uint8_t)(pm->status >> 8);
    image[ENABLE] = (uint8_t)pm->enable;
    image[ENABLE + 1] = (uint8_t)(pm->enable >> 8);
    image[CONTROL] = CONTROL_SCI_EN; /* there is no legacy mode to leave */
    image[CONTROL + 1] = pm->control;
    image[CONTROL + 2] = image[CONTROL + 3] = 0;
    for (unsigned i = 0; i < 4; i++)
        image[TIMER + i] = (uint8_t)(ticks >> i * 8);
}

static uint64_t pm_read(struct ax_device *dev, uint64_t off, unsigned width)
{
    struct acpi_pm *pm = ax_container_of(dev, struct acpi_pm, dev);
    uint8_t image[REGS];
    uint64_t val = 0;

    pm_image(pm, image);
    for (unsigned i = 0; i < width; i++)
        val |= (uint64_t)image[off + i] << i * 8;
    return val;
}

static void pm_sleep(struct acpi_pm *pm)
{
    if (pm->control == TYPE_S5)
        ax_power_request(&pm->dev.env.power, AX_POWER_OFF, 0);
    else
        ax_log_guest(pm->dev.env.log, AX_LOG_WARN,
                     "acpi_pm: the guest asks for sleep type %d: there is none",
                     pm->control >> 2);
}

static void pm_write_byte(struct acpi_pm *pm, uint64_t off, uint8_t val)
{
    const unsigned shift = off % 2 * 8, bits = (unsigned)val << shift;
    const uint16_t writable =
        (EVENT_GLOBAL | EVENT_PWRBTN | EVENT_RTC) & (uint16_t)(0xff << shift);

    switch (off) {
    case STATUS:
    case STATUS + 1:
        pm->status &= (uint16_t)~bits; /* write 1 to clear */
        break;
    case ENABLE:
    case ENABLE + 1:
        pm->enable = (pm->enable & (uint16_t)~writable) | (bits & writable);
        break;
    case CONTROL + 1:
        pm->control = val & CONTROL_TYPE;
        if (val & CONTROL_SLEEP)
            pm_sleep(pm);
        break;
    default: /* read-only */
        break;
    }
}

static void pm_write(struct ax_device *dev, uint64_t off, unsigned width,
                     uint64_t val)
{
    struct acpi_pm *pm = ax_container_of(dev, struct acpi_pm, dev);

    for (unsigned i = 0; i < width; i++)
        pm_write_byte(pm, off + i, (uint8_t)(val >> i * 8));
    pm_update(pm);
}

static bool pm_power_button(struct ax_device *dev)
{
    struct acpi_pm *pm = ax_container_of(dev, struct acpi_pm, dev);

    pm->status |= EVENT_PWRBTN;
    pm_update(pm);
    return pm->enable & EVENT_PWRBTN;
}

static void pm_reset(struct ax_device *dev)
{
    struct acpi_pm *pm = ax_container_of(dev, struct acpi_pm, dev);

    pm->status = pm->enable = 0;
    pm->control = 0;
    pm_update(pm);
}

const struct ax_device_ops ax_acpi_pm = {
    .type = "acpi_pm",
    .state = sizeof(struct acpi_pm),
    .size = REGS,
    .widths = AX_WIDTH_1 | AX_WIDTH_2 | AX_WIDTH_4,
    .read = pm_read,
    .write = pm_write,
    .reset = pm_reset,
    .power_button = pm_power_button,
};
