/*
 * kvm.h - what kvm.c shares with probe.c and with src/arch/<a>/kvm*.c. Private
 * to them.
 */
#ifndef AX_BACKEND_KVM_KVM_H
#define AX_BACKEND_KVM_KVM_H

#include "backend/backend.h"
#include "memory/memory.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* The engine's side of one VM. */
struct ax_engine_vm {
    int kvm, fd; /* /dev/kvm and the VM */
    struct ax_log *log;
    enum ax_irqchip irqchip;
    struct ax_cpu_policy cpu; /* ids is a copy of ours */
    uint64_t ids[AX_CPUS_MAX];
    unsigned vcpus;
    size_t run_bytes;     /* of the kvm_run mapping */
    struct ax_memory mem; /* as mapped; the pages are not ours */
    unsigned slots;       /* memory slots in use, pages of devices among them */
    void *arch;           /* of arch/<a>/kvm*.c */
};

/*
 * An exit that consists of several accesses: REP strings, odd widths. data
 * points into the kvm_run mapping.
 */
struct ax_kvm_span {
    uint8_t *data;
    uint64_t addr;
    unsigned size, off; /* of one element, and how much of it is done */
    unsigned count;     /* elements left, 0: no span */
    bool write;
    enum ax_space space;
    uint8_t width; /* of the access under way */
};

struct ax_engine_vcpu {
    struct ax_engine_vm *vm;
    unsigned id;
    int fd, stats_fd;
    atomic_long blocking_at; /* in stats_fd; 0: not looked up, -1: not there */
    struct kvm_run *run;
    pthread_t thread;
    struct ax_kvm_span span;
    void *arch;
};

/*
 * The signal that brings a vCPU thread out of KVM_RUN. Not a real-time one:
 * those are queued, one for each kick, and lost when the queue that all of a
 * user's processes share is full (RLIMIT_SIGPENDING).
 */
#define AX_KVM_KICK SIGURG

/* ioctl that gives -errno instead of -1. */
int ax_kvm_ioctl(int fd, unsigned long request, uintptr_t arg);

/* Value of a capability, 0 if absent. Any thread. */
int ax_kvm_cap(int fd, unsigned cap);

/* KVM_IRQFD: signals of fd pulse this GSI. */
int ax_kvm_irqfd(struct ax_engine_vm *vm, unsigned gsi, int fd, bool on);

/* Starts the unrolling of an exit; *ex becomes its first access. */
void ax_kvm_span_begin(struct ax_engine_vcpu *vcpu, struct ax_exit *ex,
                       const struct ax_kvm_span *span);

/* probe.c: the words for a /dev/kvm that does not open, and its cure. */
void ax_kvm_explain(int err, char *what, size_t what_size, char *cure,
                    size_t cure_size);
int ax_kvm_probe(ax_backend_fact *fact, void *ctx);

/* arch/<a>/kvm*.c: all return 0 or -errno and log their own failures. */

/* Capabilities without which no guest of this architecture runs: 0-ended. */
struct ax_kvm_need {
    unsigned cap;
    const char *name;
};
extern const struct ax_kvm_need ax_kvm_arch_needs[];

int ax_kvm_arch_vm_init(struct ax_engine_vm *vm); /* before memory */
int ax_kvm_arch_vm_seal(struct ax_engine_vm *vm);
void ax_kvm_arch_vm_fini(struct ax_engine_vm *vm);

/* As msi_route of the contract; fails where there is no split irqchip. */
int ax_kvm_arch_msi_route(struct ax_engine_vm *vm, unsigned pin,
                          uint64_t address, uint32_t data, bool masked);
int ax_kvm_arch_msi_event(struct ax_engine_vm *vm, uint64_t address,
                          uint32_t data, int fd, bool on);

/* As the optional operations of the contract. */
int ax_kvm_arch_time_stop(struct ax_engine_vm *vm);
int ax_kvm_arch_time_go(struct ax_engine_vm *vm);
int ax_kvm_arch_vcpu_time_go(struct ax_engine_vcpu *vcpu, uint64_t stopped_ns);
int ax_kvm_arch_vcpu_nmi(struct ax_engine_vcpu *vcpu);

int ax_kvm_arch_vcpu_init(struct ax_engine_vcpu *vcpu);
void ax_kvm_arch_vcpu_fini(struct ax_engine_vcpu *vcpu);

/*
 * Registers and state, as of the contract; through caches that are flushed
 * before KVM_RUN and dropped after it. err: what it returned.
 */
int ax_kvm_arch_reg_get(struct ax_engine_vcpu *vcpu, unsigned reg,
                        uint64_t *val);
int ax_kvm_arch_reg_set(struct ax_engine_vcpu *vcpu, unsigned reg,
                        uint64_t val);
int ax_kvm_arch_state_get(struct ax_engine_vcpu *vcpu, unsigned state,
                          void *buf, size_t size);
int ax_kvm_arch_state_set(struct ax_engine_vcpu *vcpu, unsigned state,
                          const void *buf, size_t size);
int ax_kvm_arch_enter(struct ax_engine_vcpu *vcpu);
void ax_kvm_arch_leave(struct ax_engine_vcpu *vcpu, int err);

/* As of the contract. */
int ax_kvm_arch_vcpu_debug(struct ax_engine_vcpu *vcpu,
                           const struct ax_debug *debug);
int ax_kvm_arch_vcpu_debug_decline(struct ax_engine_vcpu *vcpu);

/* KVM_RUN was interrupted: *ex, which is zeroed, becomes the exit that this
 * may have been, the end of a step. */
void ax_kvm_arch_interrupted(struct ax_engine_vcpu *vcpu, struct ax_exit *ex);

/* Puts ex->answer where an exit that only this CPU has wants it. */
void ax_kvm_arch_deliver(struct ax_engine_vcpu *vcpu, const struct ax_exit *ex);

/* Translates an exit that only this CPU has; false: not one of its own. */
bool ax_kvm_arch_exit(struct ax_engine_vcpu *vcpu, struct ax_exit *ex);

#endif
