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

struct ax_arch;
struct ax_balloon;
struct ax_bus;
struct ax_card;
struct ax_console;
struct ax_device;
struct ax_loop;
struct ax_memory;
struct ax_source;
struct ax_vcpu;
struct ax_vm;

/* How a VM's life ended. */
enum ax_vm_cause {
    AX_VM_END_NONE,    /* it has not */
    AX_VM_END_OFF,     /* the guest powered off */
    AX_VM_END_RESET,   /* the guest asked for a reset */
    AX_VM_END_CRASH,   /* triple fault, failed entry, panic */
    AX_VM_END_EXIT,    /* the guest wrote its code to the debug-exit device */
    AX_VM_END_STOP,    /* stopped from outside */
    AX_VM_END_TIMEOUT, /* debug.timeout has passed since it was started */
    AX_VM_END_FAIL,    /* we failed */
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
    void (*escape)(void *ctx, struct ax_vm *vm, int key); /* Ctrl-a KEY */

    /* ax_vm_state is new. Stopped is told only when no restart follows. */
    void (*changed)(void *ctx, struct ax_vm *vm);
    /* A life has ended, and ax_vm_end says how. */
    void (*ended)(void *ctx, struct ax_vm *vm);
    /* What was asked of a device may be there: see ax_vm_balloon. Or NULL. */
    void (*answered)(void *ctx, struct ax_vm *vm);
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
 * The operations of vmm/lifecycle.h. Each returns 0, -EPERM where the state
 * refuses it, -EBUSY where the VM is pinned, both with ax_vm_refusal, or
 * another -errno after logging why.
 *
 * start: from Stopped everything but the console is made anew: images are read
 * again, memory is zeroed, devices and registers are as at first.
 */
int ax_vm_start(struct ax_vm *vm);

/* When suspend returns every vCPU has arrived, and guest time stands still;
 * -ETIMEDOUT if one has not within five seconds (the VM then runs on). */
int ax_vm_suspend(struct ax_vm *vm);
int ax_vm_resume(struct ax_vm *vm);

/*
 * stop: the guest is asked to power off (x86: the ACPI power button), resumed
 * for that if need be. One that does not listen, or has not done so within
 * timeout_ns (AX_VM_PATIENCE: base.stop_timeout), is forced. Both return in
 * Stopping; Stopped follows when the last vCPU is out and the console's reader
 * has had its time.
 */
#define AX_VM_PATIENCE UINT64_MAX
int ax_vm_stop(struct ax_vm *vm, uint64_t timeout_ns);
int ax_vm_force_stop(struct ax_vm *vm);

/*
 * A VM that runs goes through Stopping and Loading, without telling of Stopped,
 * to Running. So does a guest's own power-off, reset or crash where
 * on_poweroff, on_reboot or on_crash of the configuration say so.
 */
int ax_vm_restart(struct ax_vm *vm, uint64_t timeout_ns);
int ax_vm_reset(struct ax_vm *vm);

/*
 * Whatever it does now, it ends: as stop, or force_stop with force, yet where
 * those refuse because it stops already, a restart that was to follow does not.
 */
void ax_vm_end_for_good(struct ax_vm *vm, bool force);

/* May it be deleted now (with force: soon)? For the fleet, which does it. */
int ax_vm_may_delete(struct ax_vm *vm, bool force);

/* Why the last operation was refused; static text, "" if none was. */
const char *ax_vm_refusal(const struct ax_vm *vm);

/*
 * Holds memory and registers as they are, for a dump: the VM must be Suspended
 * or kept, otherwise -EPERM. Until ax_vm_unpin operations give -EBUSY, but for
 * forced ones and destruction, which call cancel first: it must not return
 * before the user is gone and has called ax_vm_unpin.
 */
int ax_vm_pin(struct ax_vm *vm, void (*cancel)(void *ctx), void *ctx);
void ax_vm_unpin(struct ax_vm *vm);

/* Stopped, yet with memory, devices and vCPUs as they were (on_* = "keep"). */
bool ax_vm_kept(const struct ax_vm *vm);

/* An NMI for every vCPU. -EPERM unless it runs, -EOPNOTSUPP, -ETIMEDOUT. */
int ax_vm_nmi(struct ax_vm *vm);

/*
 * The size of a disk, by its place among them. *size 0: the one that its image
 * has got elsewhere. -ERANGE: smaller than before, and shrink is false; -EPERM,
 * or as ax_device_resize.
 */
int ax_vm_resize_disk(struct ax_vm *vm, unsigned index, bool shrink,
                      uint64_t *size);

/* A network card, by its place among them; false: there is none (now). */
bool ax_vm_card(const struct ax_vm *vm, unsigned index, struct ax_card *out);

/* Its cable is plugged in or out. -EPERM, -ENOENT: it has no such card. */
int ax_vm_plug(struct ax_vm *vm, unsigned index, bool in);

/*
 * The guest's memory as its balloon has it; -EOPNOTSUPP: it has none; -EPERM.
 * ask: for new statistics, too: env.answered is called when out->answers is
 * more, or will not be. aim: -ERANGE: above ax_balloon's most.
 */
int ax_vm_balloon(struct ax_vm *vm, bool ask, struct ax_balloon *out);
int ax_vm_aim_balloon(struct ax_vm *vm, uint64_t bytes);

enum ax_vm_state ax_vm_state(const struct ax_vm *vm);
struct ax_vm_end ax_vm_end(struct ax_vm *vm);      /* of this life */
struct ax_vm_end ax_vm_last_end(struct ax_vm *vm); /* ... or of the last one */
struct ax_vm_times ax_vm_times(const struct ax_vm *vm);
const struct ax_config *ax_vm_config(const struct ax_vm *vm);
const char *ax_vm_what(const struct ax_vm *vm); /* what was booted, one line */
unsigned ax_vm_vcpu_count(const struct ax_vm *vm);
struct ax_vcpu *ax_vm_vcpu(const struct ax_vm *vm, unsigned id);
const struct ax_bus *ax_vm_bus(const struct ax_vm *vm, enum ax_space space);
unsigned ax_vm_starts(const struct ax_vm *vm); /* how often it was started */
uint64_t ax_vm_memory_size(const struct ax_vm *vm); /* bytes of guest RAM */

/* Of the current life; of the last one, its memory zeroed, when Stopped. */
const struct ax_memory *ax_vm_memory(const struct ax_vm *vm);

/* 0: the serial line's; from 1 on those of the virtio ports. NULL: no more. */
struct ax_console *ax_vm_console(const struct ax_vm *vm, unsigned index);

/* "serial", "hvc0" as Linux counts, or the name of a port that is none. Found
 * by that, or by any port's own; NULL: there is none. */
enum { AX_VM_CONSOLE_NAME = AX_VCONSOLE_NAME + 1 };
void ax_vm_console_name(const struct ax_vm *vm, unsigned index,
                        char name[AX_VM_CONSOLE_NAME]);
struct ax_console *ax_vm_find_console(const struct ax_vm *vm, const char *name);
unsigned ax_vm_device_count(const struct ax_vm *vm);
const struct ax_device *ax_vm_device(const struct ax_vm *vm, unsigned index);
const struct ax_arch *ax_vm_arch(const struct ax_vm *vm);
struct ax_log *ax_vm_log(const struct ax_vm *vm);
struct ax_loop *ax_vm_loop(const struct ax_vm *vm);

#endif
