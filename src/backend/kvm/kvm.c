/*
 * kvm.c - the KVM engine: ioctls, exit translation, kick.
 *
 * Speaks the kernel's API (Documentation/virt/kvm/api.rst) directly. What
 * differs between CPUs is behind ax_kvm_arch_* in src/arch/<a>/kvm*.c.
 */
#include "backend/kvm/kvm.h"

#include "devices/wire.h"
#include "log.h"
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STATS_DESCRIPTORS = 256, STATS_NAME = 256 };

int ax_kvm_ioctl(int fd, unsigned long request, uintptr_t arg)
{
    int n = ioctl(fd, request, arg);

    return n < 0 ? -errno : n;
}

int ax_kvm_cap(int fd, unsigned cap)
{
    int n = ax_kvm_ioctl(fd, KVM_CHECK_EXTENSION, cap);

    return n < 0 ? 0 : n;
}

/* ---- VM ---- */

static int vm_fail(struct ax_engine_vm *vm, const char *what, int err)
{
    ax_log(vm->log, AX_LOG_ERROR, "kvm: %s: %s", what, strerror(-err));
    return err;
}

static void kvm_vm_destroy(struct ax_engine_vm *vm)
{
    if (!vm)
        return;
    ax_kvm_arch_vm_fini(vm);
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->kvm >= 0)
        close(vm->kvm);
    free(vm);
}

static int vm_open(struct ax_engine_vm *vm)
{
    char what[256], cure[512];
    int n;

    vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (vm->kvm < 0) {
        n = -errno;
        ax_kvm_explain(n, what, sizeof(what), cure, sizeof(cure));
        ax_log(vm->log, AX_LOG_ERROR, "%s: %s", what, cure);
        return n;
    }
    n = ax_kvm_ioctl(vm->kvm, KVM_GET_API_VERSION, 0);
    if (n != KVM_API_VERSION) {
        ax_log(vm->log, AX_LOG_ERROR,
               "/dev/kvm speaks API version %d, 12 is needed: this is not "
               "Linux's KVM",
               n);
        return -ENODEV;
    }
    for (const struct ax_kvm_need *need = ax_kvm_arch_needs; need->name;
         need++) {
        if (!ax_kvm_cap(vm->kvm, need->cap)) {
            ax_log(vm->log, AX_LOG_ERROR,
                   "this kernel's KVM lacks %s: use a newer kernel",
                   need->name);
            return -EOPNOTSUPP;
        }
    }
    do {
        vm->fd = ax_kvm_ioctl(vm->kvm, KVM_CREATE_VM, 0);
    } while (vm->fd == -EINTR);
    if (vm->fd < 0) {
        n = vm->fd;
        ax_kvm_explain(n, what, sizeof(what), cure, sizeof(cure));
        ax_log(vm->log, AX_LOG_ERROR, "%s: %s", what, cure);
        return n;
    }
    n = ax_kvm_ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (n < (int)sizeof(struct kvm_run))
        return vm_fail(vm, "KVM_GET_VCPU_MMAP_SIZE", n < 0 ? n : -EINVAL);
    vm->run_bytes = (size_t)n;
    return 0;
}

static int kvm_vm_create(const struct ax_engine_conf *conf,
                         struct ax_engine_vm **out)
{
    struct ax_engine_vm *vm = calloc(1, sizeof(*vm));
    int err;

    *out = NULL;
    if (!vm)
        return -ENOMEM;
    vm->kvm = vm->fd = -1;
    vm->log = conf->log;
    vm->irqchip = conf->irqchip;
    vm->vcpus = conf->vcpus;
    vm->cpu = conf->cpu;
    for (unsigned i = 0; i < conf->vcpus && i < AX_CPUS_MAX; i++)
        vm->ids[i] = conf->cpu.ids ? conf->cpu.ids[i] : i;
    vm->cpu.ids = vm->ids;
    err = vm_open(vm);
    if (!err)
        err = ax_kvm_arch_vm_init(vm);
    if (err) {
        kvm_vm_destroy(vm);
        return err;
    }
    *out = vm;
    return 0;
}

static int vm_add_slot(struct ax_engine_vm *vm, ax_gpa gpa, void *hva,
                       uint64_t size, bool readonly)
{
    struct kvm_userspace_memory_region slot = {
        .slot = vm->slots,
        .flags = readonly ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)hva,
    };
    int err =
        ax_kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&slot);

    if (!err)
        vm->slots++;
    return err;
}

static int kvm_mem_map(struct ax_engine_vm *vm, const struct ax_region *region)
{
    int err;

    if (vm->mem.count == AX_ARRAY_LEN(vm->mem.regions))
        return vm_fail(vm, "too many memory regions", -ENOSPC);
    err = vm_add_slot(vm, region->gpa, region->hva, region->size,
                      region->kind == AX_REGION_ROM);
    if (err)
        return vm_fail(vm, "memory slot refused", err);
    vm->mem.regions[vm->mem.count++] = *region;
    return 0;
}

/* A write to a read-only slot is emulated, as one to no slot at all. */
static int kvm_page_map(struct ax_engine_vm *vm, ax_gpa gpa, void *hva,
                        uint64_t size)
{
    return vm_add_slot(vm, gpa, hva, size, true);
}

static int kvm_doorbell(struct ax_engine_vm *vm, const struct ax_bell *bell,
                        int fd, bool on)
{
    const bool any = bell->value == AX_BELL_ANY;
    struct kvm_ioeventfd event = {
        .datamatch = any ? 0 : (uint64_t)bell->value,
        .addr = bell->addr,
        .len = bell->width,
        .fd = fd,
        .flags = (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN) |
                 (any ? 0 : KVM_IOEVENTFD_FLAG_DATAMATCH) |
                 (bell->space == AX_SPACE_PORT ? KVM_IOEVENTFD_FLAG_PIO : 0),
    };

    return ax_kvm_ioctl(vm->fd, KVM_IOEVENTFD, (uintptr_t)&event);
}

int ax_kvm_irqfd(struct ax_engine_vm *vm, unsigned gsi, int fd, bool on)
{
    struct kvm_irqfd irq = {
        .fd = (uint32_t)fd,
        .gsi = gsi,
        .flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
    };

    return ax_kvm_ioctl(vm->fd, KVM_IRQFD, (uintptr_t)&irq);
}

static int kvm_irq_line(struct ax_engine_vm *vm, unsigned line, bool level)
{
    struct kvm_irq_level irq = {.irq = line, .level = level};

    return ax_kvm_ioctl(vm->fd, KVM_IRQ_LINE, (uintptr_t)&irq);
}

static int kvm_msi_send(struct ax_engine_vm *vm, uint64_t address,
                        uint32_t data)
{
    struct kvm_msi msi = {
        .address_lo = (uint32_t)address,
        .address_hi = (uint32_t)(address >> 32),
        .data = data,
    };
    int n = ax_kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, (uintptr_t)&msi);

    return n < 0 ? n : 0; /* 0 and 1 tell whether the guest blocked it */
}

/* ---- vCPU ---- */

static void kick_landed(int signal)
{
    /* Only its arrival matters: it interrupts KVM_RUN. */
}

/* The thread takes the kick and leaves every other signal to the main one. */
static int vcpu_take_kicks(void)
{
    struct sigaction action = {.sa_handler = kick_landed};
    sigset_t mask;

    if (sigaction(AX_KVM_KICK, &action, NULL))
        return -errno;
    sigfillset(&mask);
    sigdelset(&mask, AX_KVM_KICK);
    return -pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void kvm_vcpu_destroy(struct ax_engine_vcpu *vcpu)
{
    if (!vcpu)
        return;
    ax_kvm_arch_vcpu_fini(vcpu);
    if (vcpu->run)
        munmap(vcpu->run, vcpu->vm->run_bytes);
    if (vcpu->stats_fd >= 0)
        close(vcpu->stats_fd);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
    free(vcpu);
}

static int vcpu_open(struct ax_engine_vcpu *vcpu)
{
    struct ax_engine_vm *vm = vcpu->vm;
    void *run;

    vcpu->fd = ax_kvm_ioctl(vm->fd, KVM_CREATE_VCPU, vm->ids[vcpu->id]);
    if (vcpu->fd < 0)
        return vm_fail(vm, "KVM_CREATE_VCPU", vcpu->fd);
    run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
               vcpu->fd, 0);
    if (run == MAP_FAILED)
        return vm_fail(vm, "cannot map kvm_run", -errno);
    vcpu->run = run;
    /* Now, because later the vCPU's own lock is held by KVM_RUN. */
    vcpu->stats_fd = ax_kvm_ioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
    return vcpu_take_kicks();
}

static int kvm_vcpu_create(struct ax_engine_vm *vm, unsigned id,
                           struct ax_engine_vcpu **out)
{
    struct ax_engine_vcpu *vcpu;
    int err;

    *out = NULL;
    if (id >= vm->vcpus)
        return -EINVAL;
    vcpu = calloc(1, sizeof(*vcpu));
    if (!vcpu)
        return -ENOMEM;
    vcpu->vm = vm;
    vcpu->id = id;
    vcpu->fd = vcpu->stats_fd = -1;
    vcpu->thread = pthread_self();
    err = vcpu_open(vcpu);
    if (!err)
        err = ax_kvm_arch_vcpu_init(vcpu);
    if (err) {
        kvm_vcpu_destroy(vcpu);
        return err;
    }
    *out = vcpu;
    return 0;
}

static void kvm_vcpu_kick(struct ax_engine_vcpu *vcpu)
{
    /*
     * The flag first: a vCPU that is between its look at the caller's flags and
     * KVM_RUN finds it and returns at once; one inside is hit by the signal.
     */
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(vcpu->thread, AX_KVM_KICK);
}

/* Where the "blocking" statistic lies in the stats file, -1 if nowhere. */
static long vcpu_find_blocking(int fd)
{
    union {
        struct kvm_stats_desc desc;
        char bytes[sizeof(struct kvm_stats_desc) + STATS_NAME];
    } d;
    struct kvm_stats_header head;

    if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
        head.name_size > STATS_NAME || head.num_desc > STATS_DESCRIPTORS)
        return -1;
    for (unsigned i = 0; i < head.num_desc; i++) {
        size_t size = sizeof(d.desc) + head.name_size;

        if (pread(fd, &d, size, (off_t)(head.desc_offset + i * size)) !=
            (ssize_t)size)
            return -1;
        d.bytes[size - 1] = '\0';
        if (!strcmp(d.bytes + sizeof(d.desc), "blocking"))
            return (long)head.data_offset + (long)d.desc.offset;
    }
    return -1;
}

static bool kvm_vcpu_blocked(struct ax_engine_vcpu *vcpu)
{
    long at = atomic_load(&vcpu->blocking_at);
    uint64_t blocking = 0;

    if (vcpu->stats_fd < 0)
        return false;
    if (!at) {
        at = vcpu_find_blocking(vcpu->stats_fd);
        atomic_store(&vcpu->blocking_at, at);
    }
    return at > 0 &&
           pread(vcpu->stats_fd, &blocking, sizeof(blocking), at) ==
               sizeof(blocking) &&
           blocking;
}

/* ---- exits ---- */

/* The widest naturally aligned access at addr within left bytes. */
static uint8_t span_width(uint64_t addr, unsigned left)
{
    uint8_t width = 8;

    while (width > left || addr % width)
        width /= 2;
    return width;
}

static void span_next(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    static const enum ax_exit_kind kinds[][2] = {
        [AX_SPACE_MMIO] = {AX_EXIT_MMIO_READ, AX_EXIT_MMIO_WRITE},
        [AX_SPACE_PORT] = {AX_EXIT_IO_READ, AX_EXIT_IO_WRITE},
    };
    struct ax_kvm_span *span = &vcpu->span;

    span->width = span_width(span->addr + span->off, span->size - span->off);
    ex->kind = kinds[span->space][span->write];
    ex->unclaimed = false;
    ex->answer = 0;
    ex->access.data = 0;
    ex->access.addr = span->addr + span->off;
    ex->access.width = span->width;
    ex->access.write = span->write;
    ex->access.space = span->space;
    if (span->write)
        memcpy(&ex->access.data, span->data + span->off, span->width);
}

void ax_kvm_span_begin(struct ax_engine_vcpu *vcpu, struct ax_exit *ex,
                       const struct ax_kvm_span *span)
{
    vcpu->span = *span;
    span_next(vcpu, ex);
}

/* Takes the answer of the access that ends; true if the span has another. */
static bool span_deliver(struct ax_engine_vcpu *vcpu, const struct ax_exit *ex)
{
    struct ax_kvm_span *span = &vcpu->span;

    if (!span->write)
        memcpy(span->data + span->off, &ex->answer, span->width);
    span->off += span->width;
    if (span->off == span->size) {
        span->off = 0;
        span->data += span->size; /* the port stands still, the data moves */
        span->count--;
    }
    return span->count;
}

/* Names of the exit reasons that end here because nothing translates them. */
static const char *const reason_names[] = {
    [KVM_EXIT_UNKNOWN] = "KVM_EXIT_UNKNOWN",
    [KVM_EXIT_EXCEPTION] = "KVM_EXIT_EXCEPTION",
    [KVM_EXIT_DEBUG] = "KVM_EXIT_DEBUG",
    [KVM_EXIT_SET_TPR] = "KVM_EXIT_SET_TPR",
    [KVM_EXIT_TPR_ACCESS] = "KVM_EXIT_TPR_ACCESS",
    [KVM_EXIT_DCR] = "KVM_EXIT_DCR",
    [KVM_EXIT_NMI] = "KVM_EXIT_NMI",
    [KVM_EXIT_OSI] = "KVM_EXIT_OSI",
    [KVM_EXIT_PAPR_HCALL] = "KVM_EXIT_PAPR_HCALL",
    [KVM_EXIT_WATCHDOG] = "KVM_EXIT_WATCHDOG",
    [KVM_EXIT_EPR] = "KVM_EXIT_EPR",
    [KVM_EXIT_HYPERV] = "KVM_EXIT_HYPERV",
    [KVM_EXIT_ARM_NISV] = "KVM_EXIT_ARM_NISV",
    [KVM_EXIT_DIRTY_RING_FULL] = "KVM_EXIT_DIRTY_RING_FULL",
    [KVM_EXIT_AP_RESET_HOLD] = "KVM_EXIT_AP_RESET_HOLD",
    [KVM_EXIT_XEN] = "KVM_EXIT_XEN",
    [KVM_EXIT_RISCV_SBI] = "KVM_EXIT_RISCV_SBI",
};

static void exit_fail(struct ax_exit *ex, uint64_t code, const char *why)
{
    memset(ex, 0, sizeof(*ex));
    ex->kind = AX_EXIT_FAIL_ENTRY;
    ex->fail.code = code;
    ex->fail.why = why;
}

static void exit_power(struct ax_exit *ex, enum ax_power_event event,
                       const char *why)
{
    ex->kind = AX_EXIT_SYSTEM_DOWN;
    ex->power.event = event;
    ex->power.why = why;
}

static void exit_internal_error(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    const struct kvm_run *run = vcpu->run;

    switch (run->internal.suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        exit_fail(ex, run->internal.suberror,
                  "KVM cannot emulate the instruction");
        if (run->emulation_failure.ndata >= 3 &&
            (run->emulation_failure.flags &
             KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
            ex->fail.count = run->emulation_failure.insn_size > AX_EXIT_BYTES
                                 ? AX_EXIT_BYTES
                                 : run->emulation_failure.insn_size;
            memcpy(ex->fail.bytes, run->emulation_failure.insn_bytes,
                   ex->fail.count);
        }
        break;
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        exit_fail(ex, run->internal.suberror,
                  "an exception arose while one was being delivered");
        break;
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        exit_fail(ex, run->internal.suberror,
                  "an unexpected exit while an event was being delivered");
        break;
    default:
        exit_fail(ex, run->internal.suberror,
                  "KVM met an exit it does not know");
        break;
    }
}

static void exit_system_event(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    switch (vcpu->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        exit_power(ex, AX_POWER_OFF, NULL);
        break;
    case KVM_SYSTEM_EVENT_RESET:
        exit_power(ex, AX_POWER_RESET, NULL);
        break;
    default:
        exit_power(ex, AX_POWER_CRASH, "reported through KVM_SYSTEM_EVENT");
        break;
    }
}

static void exit_io(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    struct kvm_run *run = vcpu->run;
    struct ax_kvm_span span = {
        .data = (uint8_t *)run + run->io.data_offset,
        .addr = run->io.port,
        .size = run->io.size,
        .count = run->io.count,
        .write = run->io.direction == KVM_EXIT_IO_OUT,
        .space = AX_SPACE_PORT,
    };

    ax_kvm_span_begin(vcpu, ex, &span);
}

static void exit_mmio(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    struct kvm_run *run = vcpu->run;
    struct ax_kvm_span span = {
        .data = run->mmio.data,
        .addr = run->mmio.phys_addr,
        .size = run->mmio.len,
        .count = 1,
        .write = run->mmio.is_write,
        .space = AX_SPACE_MMIO,
    };

    if (!span.size || span.size > sizeof(run->mmio.data))
        exit_fail(ex, run->mmio.len, "KVM reports an MMIO access of no width");
    else
        ax_kvm_span_begin(vcpu, ex, &span);
}

static void exit_translate(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    struct kvm_run *run = vcpu->run;
    unsigned reason = run->exit_reason;

    if (reason == KVM_EXIT_IO) {
        exit_io(vcpu, ex);
        return;
    }
    if (reason == KVM_EXIT_MMIO) {
        exit_mmio(vcpu, ex);
        return;
    }
    memset(ex, 0, sizeof(*ex));
    switch (reason) {
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        ex->kind = AX_EXIT_NOTHING;
        break;
    case KVM_EXIT_HLT:
        ex->kind = AX_EXIT_HALT;
        break;
    case KVM_EXIT_HYPERCALL:
        ex->kind = AX_EXIT_HYPERCALL;
        ex->hypercall.nr = run->hypercall.nr;
        for (int i = 0; i < 6; i++)
            ex->hypercall.args[i] = run->hypercall.args[i];
        break;
    case KVM_EXIT_SHUTDOWN:
        exit_power(ex, AX_POWER_CRASH, "triple fault");
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        exit_system_event(vcpu, ex);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        exit_fail(ex, run->fail_entry.hardware_entry_failure_reason,
                  "the CPU refused to enter the guest");
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        if (!ax_kvm_arch_exit(vcpu, ex))
            exit_internal_error(vcpu, ex);
        break;
    default:
        if (!ax_kvm_arch_exit(vcpu, ex))
            exit_fail(ex, reason,
                      reason < AX_ARRAY_LEN(reason_names) &&
                              reason_names[reason]
                          ? reason_names[reason]
                          : "a KVM exit reason that this version "
                            "does not know");
        break;
    }
}

static int kvm_vcpu_run(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    int err;

    if (vcpu->span.count) {
        if (span_deliver(vcpu, ex)) {
            span_next(vcpu, ex);
            return 0;
        }
    } else {
        ax_kvm_arch_deliver(vcpu, ex);
    }
    err = ax_kvm_arch_enter(vcpu);
    if (err)
        return err;
    err = ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : 0;
    ax_kvm_arch_leave(vcpu, err);
    if (err == -EINTR || err == -EAGAIN) {
        /* A kick, or an AP that got its INIT: the caller looks at its flags. */
        __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        memset(ex, 0, sizeof(*ex));
        ax_kvm_arch_interrupted(vcpu, ex);
        return 0;
    }
    if (err)
        exit_fail(ex, (uint64_t)-err, "KVM_RUN failed");
    else
        exit_translate(vcpu, ex);
    return 0;
}

const struct ax_backend_ops ax_kvm = {
    .name = "kvm",
    .probe = ax_kvm_probe,
    .vm_create = kvm_vm_create,
    .vm_destroy = kvm_vm_destroy,
    .mem_map = kvm_mem_map,
    .page_map = kvm_page_map,
    .doorbell = kvm_doorbell,
    .irq_event = ax_kvm_irqfd,
    .irq_event_late = true,
    .vm_seal = ax_kvm_arch_vm_seal,
    .irq_line = kvm_irq_line,
    .vcpu_create = kvm_vcpu_create,
    .vcpu_destroy = kvm_vcpu_destroy,
    .reg_get = ax_kvm_arch_reg_get,
    .reg_set = ax_kvm_arch_reg_set,
    .vcpu_run = kvm_vcpu_run,
    .vcpu_kick = kvm_vcpu_kick,
    .vcpu_blocked = kvm_vcpu_blocked,
    .time_stop = ax_kvm_arch_time_stop,
    .time_go = ax_kvm_arch_time_go,
    .vcpu_time_go = ax_kvm_arch_vcpu_time_go,
    .vcpu_nmi = ax_kvm_arch_vcpu_nmi,
    .state_get = ax_kvm_arch_state_get,
    .state_set = ax_kvm_arch_state_set,
    .vcpu_debug = ax_kvm_arch_vcpu_debug,
    .vcpu_debug_decline = ax_kvm_arch_vcpu_debug_decline,
    .msi_send = kvm_msi_send,
    .msi_route = ax_kvm_arch_msi_route,
    .msi_event = ax_kvm_arch_msi_event,
};
