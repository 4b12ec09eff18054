/*
 * kvm.c - what KVM has on x86_64 only: irqchips, CPUID, guest time, and the
 * exits of this CPU. Its registers are in kvm_regs.c, routes of interrupts in
 * kvm_routes.c, debugging in kvm_debug*.c.
 */
#include "arch/x86_64/kvm_arch.h"

#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Intel without unrestricted guest borrows four pages below 4 GiB. */
#define IDENTITY_MAP_ADDR AX_X86_ENGINE_ADDR
#define TSS_ADDR          (AX_X86_ENGINE_ADDR + 0x1000U)

enum {
    MSR_IA32_MISC_ENABLE = 0x1a0,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MISC_ENABLE_FAST_STRING = 1,
    MTRR_ENABLE_WB = 1 << 11 | 6, /* all memory write-back (SDM 3A, 12.11) */
    APIC_KHZ = 1000000,           /* KVM's local APIC timer ticks at 1 GHz */
};

const struct ax_kvm_need ax_kvm_arch_needs[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT (Linux 4.13)"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_PIT2, "KVM_CAP_PIT2"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {0, NULL},
};

static int arch_fail(struct ax_engine_vm *vm, const char *what, int err)
{
    ax_log(vm->log, AX_LOG_ERROR, "kvm: %s: %s", what, strerror(-err));
    return err;
}

/* ---- VM ---- */

static int arch_read_cpuid(struct ax_engine_vm *vm, struct ax_cpuid *cpuid)
{
    struct kvm_cpuid2 *raw =
        calloc(1, sizeof(*raw) + AX_CPUID_ENTRIES * sizeof(raw->entries[0]));
    int err;

    if (!raw)
        return -ENOMEM;
    raw->nent = AX_CPUID_ENTRIES;
    err = ax_kvm_ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, (uintptr_t)raw);
    for (unsigned i = 0; !err && i < raw->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &raw->entries[i];

        cpuid->entries[cpuid->count++] = (struct ax_cpuid_entry){
            .leaf = e->function,
            .subleaf = e->index,
            .indexed = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .eax = e->eax,
            .ebx = e->ebx,
            .ecx = e->ecx,
            .edx = e->edx,
        };
    }
    free(raw);
    return err ? arch_fail(vm, "KVM_GET_SUPPORTED_CPUID", err) : 0;
}

int ax_kvm_arch_vm_init(struct ax_engine_vm *vm)
{
    struct arch_vm *arch = calloc(1, sizeof(*arch));
    uint64_t identity = IDENTITY_MAP_ADDR;
    int err;

    vm->arch = arch;
    if (!arch)
        return -ENOMEM;
    pthread_mutex_init(&arch->lock, NULL);
    err = arch_read_cpuid(vm, &arch->cpuid);
    if (err)
        return err;
    err = ax_kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, (uintptr_t)&identity);
    if (!err)
        err = ax_kvm_ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR);
    return err ? arch_fail(vm, "KVM_SET_TSS_ADDR", err) : 0;
}

void ax_kvm_arch_vm_fini(struct ax_engine_vm *vm)
{
    struct arch_vm *arch = vm->arch;

    if (!arch)
        return;
    pthread_mutex_destroy(&arch->lock);
    free(arch);
    vm->arch = NULL;
}

/* Unknown MSRs come to us, so that they are seen and counted. */
static void arch_catch_msrs(struct ax_engine_vm *vm)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                 .args = {KVM_MSR_EXIT_REASON_UNKNOWN}};

    /* Without it KVM itself injects #GP: only the count is lost. */
    ax_kvm_ioctl(vm->fd, KVM_ENABLE_CAP, (uintptr_t)&cap);
}

static int arch_kernel_irqchip(struct ax_engine_vm *vm)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    int err = ax_kvm_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0);

    if (err)
        return arch_fail(vm, "KVM_CREATE_IRQCHIP", err);
    err = ax_kvm_ioctl(vm->fd, KVM_CREATE_PIT2, (uintptr_t)&pit);
    return err ? arch_fail(vm, "KVM_CREATE_PIT2", err) : 0;
}

static int arch_split_irqchip(struct ax_engine_vm *vm)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP,
                                 .args = {AX_KVM_IOAPIC_PINS}};
    int err = ax_kvm_ioctl(vm->fd, KVM_ENABLE_CAP, (uintptr_t)&cap);

    return err ? arch_fail(vm, "KVM_CAP_SPLIT_IRQCHIP", err) : 0;
}

int ax_kvm_arch_vm_seal(struct ax_engine_vm *vm)
{
    int err = 0;

    arch_catch_msrs(vm);
    if (vm->ids[0])
        err = ax_kvm_ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, vm->ids[0]);
    if (err)
        return arch_fail(vm, "KVM_SET_BOOT_CPU_ID", err);
    if (vm->irqchip == AX_IRQCHIP_KERNEL)
        return arch_kernel_irqchip(vm);
    return vm->irqchip == AX_IRQCHIP_SPLIT ? arch_split_irqchip(vm) : 0;
}

/* ---- guest time ---- */

/*
 * Every step below is the best that the kernel has: one without it leaves that
 * clock to go on while the guest stands, which guests survive.
 */
static void time_try(struct ax_engine_vm *vm, const char *what, int err)
{
    if (err)
        ax_log(vm->log, AX_LOG_DEBUG, "kvm: %s: %s", what, strerror(-err));
}

/* Does channel 0 tick again and again? */
static bool pit_ticks(const struct ax_engine_vm *vm)
{
    struct kvm_pit_state2 pit;

    return vm->irqchip == AX_IRQCHIP_KERNEL &&
           !ax_kvm_ioctl(vm->fd, KVM_GET_PIT2, (uintptr_t)&pit) &&
           (pit.channels[0].mode == 2 || pit.channels[0].mode == 3);
}

/*
 * KVM's PIT goes on by the host's time. What must not come of that are the
 * ticks that nobody took: KVM counts them and injects them as fast as the guest
 * acknowledges. Switching this off forgets the owed ones; one tick stays
 * latched in the interrupt controller, as a late one would. That costs a grace
 * period of the host (some 80 us), so only where there can be any, and when
 * time goes on: nobody waits so closely for that.
 *
 * Not by KVM_SET_PIT2, which forgets them too but starts every counter anew
 * from its reload value: a one-shot that is over would fire once more, and the
 * output of channel 2 fall again, under a guest that measures by it.
 */
static void time_pit_go(struct ax_engine_vm *vm)
{
    struct kvm_reinject_control control = {.pit_reinject = false};
    int err;

    if (!pit_ticks(vm))
        return;
    err = ax_kvm_ioctl(vm->fd, KVM_REINJECT_CONTROL, (uintptr_t)&control);
    control.pit_reinject = true;
    if (!err)
        err = ax_kvm_ioctl(vm->fd, KVM_REINJECT_CONTROL, (uintptr_t)&control);
    time_try(vm, "KVM_REINJECT_CONTROL", err);
}

int ax_kvm_arch_time_stop(struct ax_engine_vm *vm)
{
    struct arch_vm *arch = vm->arch;
    int err = ax_kvm_ioctl(vm->fd, KVM_GET_CLOCK, (uintptr_t)&arch->clock);

    arch->tsc = __builtin_ia32_rdtsc();
    arch->clock_saved = !err;
    time_try(vm, "KVM_GET_CLOCK", err);
    return 0;
}

int ax_kvm_arch_time_go(struct ax_engine_vm *vm)
{
    struct arch_vm *arch = vm->arch;
    struct kvm_clock_data clock = {.clock = arch->clock.clock};
    uint64_t now;

    time_pit_go(vm);
    if (arch->clock_saved)
        time_try(vm, "KVM_SET_CLOCK",
                 ax_kvm_ioctl(vm->fd, KVM_SET_CLOCK, (uintptr_t)&clock));
    arch->clock_saved = false;
    now = __builtin_ia32_rdtsc();
    /* A host that slept may have begun anew, which KVM hides from guests. */
    if (now > arch->tsc)
        arch->tsc_back += now - arch->tsc;
    return 0;
}

/*
 * Turns the guest's TSC back by what the host's went on. By that and not by
 * stopped_ns: CLOCK_MONOTONIC is steered, the TSC is not, and a guest that had
 * been suspended for hours would find its TSC behind what it has read before.
 * One figure for all vCPUs keeps their offsets equal, which is how KVM knows
 * that their TSCs are in step; it is a total, because a vCPU may sleep through
 * a resume that a suspend follows. A kernel before 5.16 lets the TSC go on: to
 * write MSR_IA32_TSC instead would make KVM guess whether they still are.
 */
static int arch_turn_tsc_back(struct ax_engine_vcpu *vcpu)
{
    const struct arch_vm *vm = vcpu->vm->arch;
    struct arch_vcpu *arch = vcpu->arch;
    uint64_t offset, back = vm->tsc_back - arch->tsc_back;
    struct kvm_device_attr attr = {
        .group = KVM_VCPU_TSC_CTRL,
        .attr = KVM_VCPU_TSC_OFFSET,
        .addr = (uintptr_t)&offset,
    };
    int err = ax_kvm_ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, (uintptr_t)&attr);

    if (err)
        return err;
    offset -= back;
    err = ax_kvm_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, (uintptr_t)&attr);
    if (!err)
        arch->tsc_back += back;
    arch->valid &= ~(unsigned)AX_KVM_MSR_GROUP;
    return err;
}

int ax_kvm_arch_vcpu_time_go(struct ax_engine_vcpu *vcpu, uint64_t stopped_ns)
{
    int err;

    time_try(vcpu->vm, "KVM_VCPU_TSC_OFFSET", arch_turn_tsc_back(vcpu));
    /* Tells the guest's watchdogs; EINVAL: it does not use kvmclock. */
    err = ax_kvm_ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
    time_try(vcpu->vm, "KVM_KVMCLOCK_CTRL", err == -EINVAL ? 0 : err);
    return 0;
}

/* ---- vCPU ---- */

static int arch_set_cpuid(struct ax_engine_vcpu *vcpu)
{
    struct ax_engine_vm *vm = vcpu->vm;
    const struct arch_vm *arch = vm->arch;
    int khz = ax_kvm_ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
    struct ax_cpuid_facts facts = {
        .tsc_khz = khz > 0 ? (uint32_t)khz : 0,
        .apic_khz = APIC_KHZ,
        .apic = vm->irqchip != AX_IRQCHIP_NONE,
        .tsc_deadline = ax_kvm_cap(vm->fd, KVM_CAP_TSC_DEADLINE_TIMER),
    };
    struct ax_cpuid *cpuid = malloc(sizeof(*cpuid));
    struct kvm_cpuid2 *raw =
        calloc(1, sizeof(*raw) + AX_CPUID_ENTRIES * sizeof(raw->entries[0]));
    int err = -ENOMEM;

    if (cpuid && raw) {
        *cpuid = arch->cpuid;
        ax_cpuid_apply(cpuid, &facts, &vm->cpu, vcpu->id);
        for (unsigned i = 0; i < cpuid->count; i++) {
            const struct ax_cpuid_entry *e = &cpuid->entries[i];

            raw->entries[raw->nent++] = (struct kvm_cpuid_entry2){
                .function = e->leaf,
                .index = e->subleaf,
                .flags = e->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
                .eax = e->eax,
                .ebx = e->ebx,
                .ecx = e->ecx,
                .edx = e->edx,
            };
        }
        err = ax_kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, (uintptr_t)raw);
    }
    free(raw);
    free(cpuid);
    return err ? arch_fail(vm, "KVM_SET_CPUID2", err) : 0;
}

static int arch_set_msrs(struct ax_engine_vcpu *vcpu)
{
    static const struct kvm_msr_entry entries[] = {
        {.index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING},
        {.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE_WB},
    };
    union {
        struct kvm_msrs head;
        char room[sizeof(struct kvm_msrs) + sizeof(entries)];
    } msrs = {.head = {.nmsrs = AX_ARRAY_LEN(entries)}};
    int n;

    memcpy(msrs.head.entries, entries, sizeof(entries));
    n = ax_kvm_ioctl(vcpu->fd, KVM_SET_MSRS, (uintptr_t)&msrs);
    if (n < 0)
        return arch_fail(vcpu->vm, "KVM_SET_MSRS", n);
    return 0; /* one the host's KVM does not have is not missed */
}

int ax_kvm_arch_vcpu_init(struct ax_engine_vcpu *vcpu)
{
    const struct arch_vm *vm = vcpu->vm->arch;
    struct arch_vcpu *arch = calloc(1, sizeof(*arch));
    int err;

    vcpu->arch = arch;
    if (!arch)
        return -ENOMEM;
    arch->tsc_back = vm->tsc_back;
    err = arch_set_cpuid(vcpu);
    return err ? err : arch_set_msrs(vcpu);
}

void ax_kvm_arch_vcpu_fini(struct ax_engine_vcpu *vcpu)
{
    struct arch_vcpu *arch = vcpu->arch;

    if (!arch)
        return;
    free(arch->xsave);
    free(arch);
    vcpu->arch = NULL;
}

/*
 * A CPU that waits for its SIPI blocks NMIs (SDM 3C, VM entries, "Activity
 * State"), and KVM would spin in that wait if one were pending.
 */
int ax_kvm_arch_vcpu_nmi(struct ax_engine_vcpu *vcpu)
{
    struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_RUNNABLE};
    int err = ax_kvm_ioctl(vcpu->fd, KVM_GET_MP_STATE, (uintptr_t)&mp);

    if (!err && (mp.mp_state == KVM_MP_STATE_UNINITIALIZED ||
                 mp.mp_state == KVM_MP_STATE_INIT_RECEIVED))
        return -EAGAIN;
    return ax_kvm_ioctl(vcpu->fd, KVM_NMI, 0);
}

/* ---- exits ---- */

void ax_kvm_arch_deliver(struct ax_engine_vcpu *vcpu, const struct ax_exit *ex)
{
    struct kvm_run *run = vcpu->run;

    if (ex->kind == AX_EXIT_SYSREG_READ || ex->kind == AX_EXIT_SYSREG_WRITE) {
        run->msr.data = ex->answer;
        run->msr.error = ex->unclaimed; /* #GP, as of an MSR that is not */
    } else if (ex->kind == AX_EXIT_HYPERCALL) {
        run->hypercall.ret = ex->answer;
    }
}

bool ax_kvm_arch_exit(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    const struct kvm_run *run = vcpu->run;

    switch (run->exit_reason) {
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        ex->access.write = run->exit_reason == KVM_EXIT_X86_WRMSR;
        ex->kind =
            ex->access.write ? AX_EXIT_SYSREG_WRITE : AX_EXIT_SYSREG_READ;
        ex->access.addr = run->msr.index;
        ex->access.data = run->msr.data;
        ex->access.width = 8;
        ex->access.space = AX_SPACE_SYSREG;
        return true;
    case KVM_EXIT_IOAPIC_EOI:
        ex->kind = AX_EXIT_INTERRUPT_END;
        ex->interrupt.vector = run->eoi.vector;
        return true;
    case KVM_EXIT_X86_BUS_LOCK:
    case KVM_EXIT_NOTIFY:
        ex->kind = AX_EXIT_NOTHING;
        return true;
    case KVM_EXIT_DEBUG:
    case KVM_EXIT_INTERNAL_ERROR:
        return ax_kvm_debug_exit(vcpu, ex);
    default:
        return false;
    }
}
