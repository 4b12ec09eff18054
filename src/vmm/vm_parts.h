/*
 * vm_parts.h - what vm.c (life), vm_ops.c (operations), vm_build.c
 * (construction and wiring), vm_consoles.c and vm_debug.c (for a debugger)
 * share. Private to
 * them.
 */
#ifndef AX_VMM_VM_PARTS_H
#define AX_VMM_VM_PARTS_H

#include "arch/arch.h"
#include "devices/bus.h"
#include "devices/guestclock.h"
#include "devices/pci.h"
#include "vmm/vm.h"
#include "vmm/vm_debug.h"

#include <pthread.h>
#include <stdatomic.h>

struct ax_vm {
    struct ax_vm_env env;
    const struct ax_arch *arch;
    struct ax_log *log;
    struct ax_plan plan;
    struct ax_start start;
    enum ax_vm_state state;
    struct ax_vm_times times;
    const char *refusal;       /* of the last operation; static text */
    struct ax_vm_end last_end; /* of the life before this one */
    unsigned starts;           /* how often it was started */
    bool restart;              /* when it has stopped, it starts again */
    bool final;                /* when it has stopped, no policy counts */
    bool noticed;              /* the end is known to the loop */
    bool draining;             /* the consoles write their last output */
    bool drained_all;          /* ... and none has lost any */
    bool kept;                 /* Stopped, but as it was */
    bool timed_out;            /* debug.timeout has passed */
    struct ax_timer *deadline; /* ... of debug.timeout */
    struct ax_timer *patience; /* until a guest asked to power off is forced */
    void (*pin_cancel)(void *ctx); /* NULL: not pinned */
    void *pin_ctx;
    struct ax_clock clock; /* guest time */
    bool time_stands;
    bool claimed;  /* by a debugger: others cannot make it run */
    bool stepping; /* Suspended, but vCPUs were let go quietly */
    const struct ax_vm_hooks *hooks; /* changes while no vCPU runs */
    void *hooks_ctx;

    struct ax_engine_vm *engine;
    struct ax_memory mem;
    struct ax_bus buses[AX_SPACES];
    struct ax_console *console; /* the serial line's */
    struct ax_console *ports[AX_VCONSOLE_PORTS];
    struct ax_vconsole_conf port_confs[AX_VCONSOLE_PORTS];
    unsigned port_count; /* of the virtio console */
    unsigned drains;     /* consoles that write their last output */
    void (*drained)(struct ax_vm *vm, bool all);
    unsigned device_count;
    struct ax_device *devices[AX_PLAN_DEVICES];
    struct ax_pci pci;
    struct ax_device *irqchip; /* the model, with AX_IRQCHIP_SPLIT */
    /* By device: its own thread, its page in pages; NULL: it has none. */
    struct ax_iothread *iothreads[AX_PLAN_DEVICES];
    void *device_pages[AX_PLAN_DEVICES];
    void *pages;
    size_t pages_size;
    unsigned vcpu_count;
    struct ax_vcpu *vcpus[AX_CPUS_MAX];

    struct ax_wake *answer; /* a device has what was asked of it */
    struct ax_wake *news;   /* an end was requested, or a vCPU is gone */
    atomic_uint alive;      /* vCPU threads that have not said gone */

    pthread_mutex_t lock; /* a leaf: all below */
    struct ax_vm_end end;
    char *crash; /* report of the vCPU that crashed, NULL if none did */
    pthread_cond_t all_here;
    unsigned here;
    bool cancelled;
};

/* ---- vm.c ---- */

void ax_vm_set_state(struct ax_vm *vm, enum ax_vm_state state);

/* From now on an end that was requested is part of the VM's state. */
void ax_vm_notice_end(struct ax_vm *vm);

/* Started by somebody, and not by a policy: its time begins. 0 or -errno; a
 * launch that fails has requested the VM's end. */
int ax_vm_start_from(struct ax_vm *vm, enum ax_vm_state from);

/*
 * Any thread: the VM shall end for this cause. The first cause wins. Stops
 * every vCPU, or has it hold where that is the policy; waits for none.
 */
void ax_vm_request_end(struct ax_vm *vm, enum ax_vm_cause cause, uint64_t code);

/* ---- vm_ops.c ---- */

/* Whoever has pinned it has to let it go at once. */
void ax_vm_cancel_pin(struct ax_vm *vm);

/* Asks every vCPU to hold and waits for them: 0 or -ETIMEDOUT, logged; the VM
 * then runs on. */
int ax_vm_hold_all(struct ax_vm *vm);

/* Guest time, as devices, engine and vCPUs see it; every vCPU is held. */
void ax_vm_time_stop(struct ax_vm *vm);
void ax_vm_time_go(struct ax_vm *vm);

/* ---- vm_consoles.c ---- */

/* 0 or -errno, logged. Those that are there already stay. */
int ax_vm_build_consoles(struct ax_vm *vm);
void ax_vm_destroy_consoles(struct ax_vm *vm);

/* As ax_console_drain, for all of them; what the guest has still in its queues
 * is written as well. done may destroy the VM. */
void ax_vm_drain_consoles(struct ax_vm *vm, unsigned timeout_ms,
                          void (*done)(struct ax_vm *vm, bool all));

/* ---- vm_build.c ---- */

/* Starts the devices' threads; before the vCPUs. 0 or -errno, logged. */
int ax_vm_start_devices(struct ax_vm *vm);

/* Takes all steps of a start. -errno of the first that fails, *blame for it. */
int ax_vm_build(struct ax_vm *vm, enum ax_blame *blame);

/*
 * Undoes whatever was built but the console, which keeps its peer from one
 * start to the next. Every vCPU thread must have been told to stop.
 */
void ax_vm_unbuild(struct ax_vm *vm);

#endif
