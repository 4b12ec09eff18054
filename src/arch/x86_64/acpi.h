/*
 * acpi.h - the machine's ACPI tables. Pure; computed from the plan alone.
 */
#ifndef AX_ARCH_X86_64_ACPI_H
#define AX_ARCH_X86_64_ACPI_H

#include "arch/arch.h"
#include "devices/device.h"

#include <string.h>

/* Is it a virtio device that a guest can be told of? */
static inline bool ax_x86_is_virtio(const struct ax_plan_device *dev)
{
    return !strncmp(dev->type, "virtio_", 7) && dev->irq != AX_IRQ_NONE &&
           dev->base <= UINT32_MAX - AX_DEVICE_PAGE;
}

/*
 * Writes RSDP, RSDT, XSDT, FADT, FACS, DSDT and MADT, in that page-sized area,
 * for loading at gpa (a multiple of 64, below 4 GiB); the RSDP comes first.
 * Returns the bytes used, 0 if size is too small.
 */
size_t ax_x86_acpi_build(const struct ax_plan *plan, ax_gpa gpa, uint8_t *buf,
                         size_t size);

#endif
