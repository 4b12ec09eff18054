/*
 * target.h - a VM under a debugger: halts it, lets it go, steps it, has its
 * breakpoints, its registers and memory. Knows no protocol, and of CPUs what
 * struct ax_gdb_ops tells.
 *
 * Loop thread. All-stop: it runs, or every vCPU holds. Breakpoints are in guest
 * memory only while it runs.
 */
#ifndef AX_DEBUG_TARGET_H
#define AX_DEBUG_TARGET_H

#include "arch/arch.h"
#include "vmm/vm.h"

struct ax_target;

enum {
    AX_TARGET_EXPEDITED = 8, /* registers told with a stop */
    AX_TARGET_REG = 16,      /* bytes of the largest register */
    AX_TARGET_REGS = 2048,   /* ... of all of a "g" packet, at most */
    AX_TARGET_BREAKPOINTS = 1024,
    AX_TARGET_CONDITIONS = 65536, /* bytes of all conditions of a breakpoint */
};

/* What the VM is halted at, instead of doing it. */
enum {
    AX_CATCH_CRASH = 1, /* triple fault, failed entry, panic */
    AX_CATCH_RESET = 2,
    AX_CATCH_OFF = 4,
    AX_CATCH_ALL = 7,
};

/* The numbers of gdb's Z packets. */
enum ax_target_type {
    AX_BREAK_SOFT,
    AX_BREAK_HARD,
    AX_WATCH_WRITE,
    AX_WATCH_READ,
    AX_WATCH_ACCESS,
};

enum ax_target_why {
    AX_WHY_ASKED, /* ax_target_halt; attached; suspended by somebody else */
    AX_WHY_START, /* before its first instruction */
    AX_WHY_STEP,  /* also the end of a range */
    AX_WHY_BREAK, /* type: AX_BREAK_* */
    AX_WHY_WATCH, /* type: AX_WATCH_*, at addr */
    AX_WHY_EVENT, /* caught: cause */
};

struct ax_target_stop {
    enum ax_target_why why;
    unsigned vcpu; /* whose stop it is */
    enum ax_target_type type;
    enum ax_vm_cause cause;
    bool far; /* BREAK: the pc register is not the linear address (its CS) */
    uint64_t addr;
    /* Those of the target's gdb operations, valid where expedited_count says
     * so: it may be 0. */
    unsigned expedited_count;
    uint8_t expedited[AX_TARGET_EXPEDITED][AX_TARGET_REG];
};

/* What a vCPU does until the next stop. */
enum ax_target_go { AX_GO_HOLD, AX_GO_RUN, AX_GO_STEP };
struct ax_target_action {
    enum ax_target_go go;
    /* STEP: on and on while its pc is in [start, end); once if they are equal.
     */
    uint64_t start, end;
};

/* Called from the loop, never from within a function of here. */
struct ax_target_events {
    void (*stopped)(void *ctx, const struct ax_target_stop *stop);
    /* Its life is over, and it is Stopped. */
    void (*ended)(void *ctx, struct ax_vm_end end);
    /* It starts again: the registers are new, breakpoints stay. */
    void (*restarted)(void *ctx);
    void *ctx;
};

/*
 * vm is borrowed and outlives the target, which is the only one of it. The VM
 * need not stand still. 0 or -errno; -EOPNOTSUPP: its architecture has no
 * debugger.
 */
int ax_target_create(struct ax_vm *vm, struct ax_target **out);

/* Accepts NULL. Detaches. */
void ax_target_destroy(struct ax_target *target);

/* The VM or the loop is about to go: an end that the debugger has not been told
 * of yet is told at once, as an exception from within. */
void ax_target_tell_end(struct ax_target *target);

/* Which events halt the VM, also while nobody is attached: AX_CATCH_*. */
void ax_target_catch(struct ax_target *target, unsigned catches);
unsigned ax_target_catches(struct ax_target *target);

/* At its next start the VM halts before the first instruction. */
void ax_target_wait(struct ax_target *target);

/*
 * Halts the VM and tells events from now on; events is copied. 0 with *stop
 * set, -EBUSY: there is a debugger already; -EPERM, -ETIMEDOUT: it cannot be
 * halted now, ax_target_refusal says why.
 */
int ax_target_attach(struct ax_target *target,
                     const struct ax_target_events *events,
                     struct ax_target_stop *stop);

/* Removes all breakpoints and lets the VM go on. Fine where none is attached.
 */
void ax_target_detach(struct ax_target *target);

/* Why the last function failed: static text, "" if it knows no more. */
const char *ax_target_refusal(const struct ax_target *target);

bool ax_target_attached(const struct ax_target *target);
bool ax_target_halted(const struct ax_target *target);
struct ax_vm *ax_target_vm(const struct ax_target *target);

/* How it shows itself: one of its architecture's; the first at first. */
const struct ax_gdb_ops *ax_target_ops(const struct ax_target *target);
void ax_target_set_ops(struct ax_target *target, const struct ax_gdb_ops *ops);

/* ---- halted or not ---- */

/* The stop follows (events), at once if it is halted. 0 or as attach. */
int ax_target_halt(struct ax_target *target);

/*
 * Lets vCPU i do actions[i], for as many as the VM has; a stop follows.
 * -EBUSY: it is being dumped, or not halted; -EPERM.
 */
int ax_target_resume(struct ax_target *target,
                     const struct ax_target_action *actions);

/* Makes the VM anew (ax_vm_reset) and halts it at its first instruction, which
 * events tells as restarted and a stop with AX_WHY_START. 0, -EPERM. */
int ax_target_reset(struct ax_target *target);

/* ---- while it is halted; otherwise -EBUSY, or no bytes ---- */

/* Runs fn on vCPU's thread; as ax_vcpu_call. */
int ax_target_call(struct ax_target *target, unsigned vcpu,
                   int (*fn)(void *ctx, const struct ax_backend_ops *ops,
                             struct ax_engine_vcpu *engine),
                   void *ctx);

/* Registers from to to - 1, packed one behind the other. A register that the
 * engine does not have is 0. *unknown (may be NULL): there was one. */
int ax_target_regs_get(struct ax_target *target, unsigned vcpu, unsigned from,
                       unsigned to, uint8_t *buf, bool *unknown);
int ax_target_regs_set(struct ax_target *target, unsigned vcpu, unsigned from,
                       unsigned to, const uint8_t *buf);

/* Where vcpu stands, and its paging. */
int ax_target_view(struct ax_target *target, unsigned vcpu,
                   struct ax_gdb_view *view);

/*
 * Reads at most len bytes at addr as vcpu sees it, or physical; returns how
 * many there were in a row. Devices are not touched.
 */
size_t ax_target_read(struct ax_target *target, unsigned vcpu, bool physical,
                      uint64_t addr, void *buf, size_t len);

/* All or nothing: -EFAULT if not all of it is there. ROM is written as well. */
int ax_target_write(struct ax_target *target, unsigned vcpu, bool physical,
                    uint64_t addr, const void *buf, size_t len);

/* ---- breakpoints; while it is halted ---- */

/* A condition of agent.h. */
struct ax_target_code {
    const uint8_t *bytes;
    size_t size;
};

/*
 * The stop comes where one of conditions (count may be 0) is true or cannot be
 * evaluated. addr is as vcpu sees it. The same breakpoint again replaces the
 * conditions. -EOPNOTSUPP: this CPU has no such thing; -ENOSPC: too many, or
 * the CPU's registers are taken; -EINVAL: a size or an address it cannot have;
 * -EFAULT: nothing is there.
 */
int ax_target_insert(struct ax_target *target, unsigned vcpu,
                     enum ax_target_type type, uint64_t addr, unsigned size,
                     const struct ax_target_code *conditions, unsigned count);

/* -ENOENT: there is none such. */
int ax_target_remove(struct ax_target *target, enum ax_target_type type,
                     uint64_t addr, unsigned size);

#endif
