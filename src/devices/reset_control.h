/*
 * reset_control.h - the reset control register of Intel's south bridges (PIIX3
 * data sheet, RC), for the two models that have port 0xcf9: reset_cf9.c, and
 * pci_host.c, whose address register lies around it.
 */
#ifndef AX_DEVICES_RESET_CONTROL_H
#define AX_DEVICES_RESET_CONTROL_H

#include "devices/wire.h"

enum {
    AX_RC_HARD = 0x02,  /* which kind: they are the same to a VM */
    AX_RC_RESET = 0x04, /* going from 0 to 1 resets */
    AX_RC_FULL = 0x08,  /* power-cycle as well */
};

static inline void ax_reset_control_write(uint8_t *control, uint8_t val,
                                          const struct ax_power *power)
{
    const bool rises = val & ~*control & AX_RC_RESET;

    *control = val & (AX_RC_HARD | AX_RC_RESET | AX_RC_FULL);
    if (rises)
        ax_power_request(power, AX_POWER_RESET, 0);
}

#endif
