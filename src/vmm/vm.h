/*
 * vm.h - one virtual machine: builds memory, devices, engine and vCPUs from a
 * configuration, owns them, tears them down.
 *
 * Everything here belongs to the loop thread. vCPU threads reach the VM through
 * wires only. Any number of VMs may share a process and a loop.
 */
#ifndef AX_VMM_VM_H
#define AX_VMM_VM_H

#include "backend/backend.h"
#include "vmm/config.h"
#include "vmm/lifecycle.h"

struct ax_bus;
struct ax_console;
struct ax_device;
struct ax_loop;
struct ax_source;
struct ax_vcpu;
struct ax_vm;

/* How a VM's life ended. */
enum ax_vm_cause {
    AX_VM_END_NONE,  /* it has not */
    AX_VM_END_OFF,   /* the guest powered off */
    AX_VM_END_RESET, /* the guest asked for a reset */
    AX_VM_END_CRASH, /* triple fault, failed entry, panic */
    AX_VM_END_EXIT,  /* the guest wrote its code to the debug-exit device */
    AX_VM_END_STOP,  /* ax_vm_stop */
    AX_VM_END_FAIL,  /* we failed */
};

struct ax_vm_end {
    enum ax_vm_cause cause;
    uint64_t code; /* AX_VM_END_EXIT */
};

/* CLOCK_MONOTONIC nanoseconds of the steps of a start; 0: not yet. */
struct ax_vm_times {
    uint64_t created;      /* ax_vm_create was called */
    uint64_t engine_ready; /* the engine has its VM */
    uint64_t loaded;       /* images and boot data are in memory */
    uint64_t first_run;    /* vCPU 0 is about to enter the guest */
    uint64_t first_exit;   /* ... and has left it the first time */
    uint64_t first_byte;   /* the console's first byte */
};

struct ax_vm_env {
    const struct ax_config *conf; /* borrowed, like all below */
    const struct ax_backend_ops *ops;
    const struct ax_source *kernel; /* instead of conf's file; NULL normally */
    struct ax_loop *loop;
    struct ax_log *log;
    FILE *trace; /* one line per exit, NULL: none */
    void (*progress)(void *ctx, const char *what, uint64_t done,
                     uint64_t total); /* of loading large images; may be NULL */
    void (*stopped)(void *ctx, struct ax_vm *vm);         /* reached Stopped */
    void (*escape)(void *ctx, struct ax_vm *vm, int key); /* Ctrl-a KEY */
    void *ctx;
};

/* Whose fault a failed start is. */
enum ax_blame {
    AX_BLAME_US,
    AX_BLAME_USER, /* the configuration or an image */
    AX_BLAME_HOST, /* no engine, no memory */
};

/*
 * Builds everything but the vCPU threads: Loading, then Loaded. 0, or -errno
 * after logging why, with *blame set.
 */
int ax_vm_create(const struct ax_vm_env *env, struct ax_vm **out,
                 enum ax_blame *blame);

/* Accepts NULL. Stops the VM first if need be, and waits for its vCPUs. */
void ax_vm_destroy(struct ax_vm *vm);

/*
 * Loaded or Stopped -> Running. From Stopped everything but the console is made
 * anew: images are read again, memory is zeroed, devices and registers are as
 * at first. -EPERM after logging the refusal; else -errno after logging why.
 */
int ax_vm_start(struct ax_vm *vm);

/*
 * The same from any state but Loading and Stopping; a VM that runs goes through
 * Stopping, without env.stopped. So does a guest's own power-off, reset or
 * crash where on_poweroff, on_reboot or on_crash of the configuration say so.
 */
int ax_vm_restart(struct ax_vm *vm);

/*
 * Running -> Suspended and back. suspend returns when every vCPU has arrived;
 * -ETIMEDOUT if one has not within five seconds (the VM then runs on).
 */
int ax_vm_suspend(struct ax_vm *vm);
int ax_vm_resume(struct ax_vm *vm);

/*
 * Asks a running guest to power off (x86: the ACPI power button). One that does
 * not listen, or has not done so within base.stop_timeout, is stopped. In any
 * other state as ax_vm_stop.
 */
int ax_vm_shutdown(struct ax_vm *vm);

/*
 * -> Stopping. env.stopped is called when the last vCPU is out. In Stopping it
 * is refused, yet a restart that was to follow does not.
 */
int ax_vm_stop(struct ax_vm *vm);

enum ax_vm_state ax_vm_state(const struct ax_vm *vm);
struct ax_vm_end ax_vm_end(struct ax_vm *vm);
struct ax_vm_times ax_vm_times(const struct ax_vm *vm);
const struct ax_config *ax_vm_config(const struct ax_vm *vm);
const char *ax_vm_what(const struct ax_vm *vm); /* what was booted, one line */
unsigned ax_vm_vcpu_count(const struct ax_vm *vm);
struct ax_vcpu *ax_vm_vcpu(const struct ax_vm *vm, unsigned id);
const struct ax_bus *ax_vm_bus(const struct ax_vm *vm, enum ax_space space);
unsigned ax_vm_starts(const struct ax_vm *vm); /* how often it was started */
uint64_t ax_vm_memory_size(const struct ax_vm *vm); /* bytes of guest RAM */

#endif
