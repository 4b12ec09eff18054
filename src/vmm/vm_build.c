/*
 * vm_build.c - from a configuration to a VM that only lacks running threads,
 * and the wires between its parts. Called by vm.c alone.
 */
#include "vmm/vm_parts.h"

#include "devices/clock.h"
#include "devices/console.h"
#include "devices/iothread.h"
#include "devices/loop.h"
#include "devices/registry.h"
#include "vcpu/vcpu.h"
#include "vmm/crash.h"
#include "vmm/image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- wires: called on vCPU threads and those of devices ---- */

static void vm_power(void *ctx, enum ax_power_event event, uint64_t code)
{
    static const enum ax_vm_cause causes[] = {
        [AX_POWER_OFF] = AX_VM_END_OFF,     [AX_POWER_RESET] = AX_VM_END_RESET,
        [AX_POWER_CRASH] = AX_VM_END_CRASH, [AX_POWER_EXIT] = AX_VM_END_EXIT,
        [AX_POWER_FAIL] = AX_VM_END_FAIL,
    };

    const struct ax_vm *vm = ctx;
    const enum ax_vm_cause cause = causes[event];

    if (vm->hooks && vm->hooks->ending && cause != AX_VM_END_FAIL &&
        vm->hooks->ending(vm->hooks_ctx, cause, code))
        return;
    ax_vm_request_end(ctx, cause, code);
}

static void vm_irq_to_engine(void *ctx, unsigned line, bool level)
{
    struct ax_vm *vm = ctx;

    vm->env.ops->irq_line(vm->engine, line, level);
}

static void vm_irq_to_model(void *ctx, unsigned line, bool level)
{
    struct ax_vm *vm = ctx;

    ax_device_line(vm->irqchip, line, level);
}

static void vm_msi_route(void *ctx, unsigned pin, uint64_t address,
                         uint32_t data, bool masked)
{
    struct ax_vm *vm = ctx;

    vm->env.ops->msi_route(vm->engine, pin, address, data, masked);
}

static void vm_msi_send(void *ctx, uint64_t address, uint32_t data)
{
    struct ax_vm *vm = ctx;

    vm->env.ops->msi_send(vm->engine, address, data);
}

static int vm_doorbell(void *ctx, const struct ax_bell *bell, int fd, bool on)
{
    struct ax_vm *vm = ctx;

    return vm->env.ops->doorbell(vm->engine, bell, fd, on);
}

static int vm_msi_event(void *ctx, uint64_t address, uint32_t data, int fd,
                        bool on)
{
    struct ax_vm *vm = ctx;

    return vm->env.ops->msi_event(vm->engine, address, data, fd, on);
}

static int vm_irq_event(void *ctx, unsigned line, int fd, bool on)
{
    struct ax_vm *vm = ctx;

    return vm->env.ops->irq_event(vm->engine, line, fd, on);
}

static void vm_answer(void *ctx)
{
    struct ax_vm *vm = ctx;

    ax_loop_wake(vm->answer);
}

static int vm_prepare(void *ctx, struct ax_engine_vcpu *engine, unsigned id)
{
    struct ax_vm *vm = ctx;
    int err = 0;

    /* The others stay as the engine resets them: waiting to be started. */
    for (unsigned i = 0; !id && !err && i < vm->start.count; i++)
        err = vm->env.ops->reg_set(engine, vm->start.regs[i].reg,
                                   vm->start.regs[i].val);
    return err;
}

/* No guest instruction runs before every vCPU can take an IPI. */
static bool vm_rendezvous(void *ctx)
{
    struct ax_vm *vm = ctx;
    bool go;

    pthread_mutex_lock(&vm->lock);
    if (++vm->here == vm->vcpu_count)
        pthread_cond_broadcast(&vm->all_here);
    while (vm->here < vm->vcpu_count && !vm->cancelled)
        pthread_cond_wait(&vm->all_here, &vm->lock);
    go = vm->here == vm->vcpu_count; /* also where it has crashed since */
    pthread_mutex_unlock(&vm->lock);
    return go;
}

static void vm_crashed(void *ctx, struct ax_vcpu *vcpu,
                       struct ax_engine_vcpu *engine, const struct ax_exit *ex)
{
    struct ax_vm *vm = ctx;
    struct ax_crash crash = {
        .arch = vm->arch,
        .ops = vm->env.ops,
        .mem = &vm->mem,
        .vcpu = vcpu,
        .engine = engine,
        .exit = ex,
    };
    char *report = NULL;
    size_t size;
    FILE *to = open_memstream(&report, &size);

    if (!to)
        return;
    ax_crash_report(&crash, to);
    fclose(to);
    pthread_mutex_lock(&vm->lock);
    if (!vm->crash && report) {
        vm->crash = report; /* the first one tells the story */
        report = NULL;
    }
    pthread_mutex_unlock(&vm->lock);
    free(report);
}

static void vm_entering(void *ctx, struct ax_vcpu *vcpu,
                        struct ax_engine_vcpu *engine)
{
    const struct ax_vm *vm = ctx;

    if (vm->hooks && vm->hooks->entering)
        vm->hooks->entering(vm->hooks_ctx, vcpu, engine);
}

static void vm_debugged(void *ctx, struct ax_vcpu *vcpu,
                        struct ax_engine_vcpu *engine, const struct ax_exit *ex)
{
    const struct ax_vm *vm = ctx;

    if (vm->hooks && vm->hooks->exited)
        vm->hooks->exited(vm->hooks_ctx, vcpu, engine, ex);
}

static void vm_held(void *ctx, struct ax_vcpu *vcpu)
{
    struct ax_vm *vm = ctx;

    ax_loop_wake(vm->news);
}

static void vm_gone(void *ctx, struct ax_vcpu *vcpu)
{
    struct ax_vm *vm = ctx;

    /* The thread still has to return, which the loop waits for. */
    atomic_fetch_sub(&vm->alive, 1);
    ax_loop_wake(vm->news);
}

/* ---- the steps of a start ---- */

static int vm_find_arch(struct ax_vm *vm)
{
    const struct ax_config *conf = vm->env.conf;

    vm->arch = ax_arch_find(conf->arch);
    if (vm->arch && !strcmp(conf->arch, ax_arch_host()))
        return 0;
    ax_log(vm->log, AX_LOG_ERROR,
           "this guest is for %s (%s); this host is %s and runs guests of its "
           "own architecture only",
           conf->arch,
           conf->arch_pos.line ? "base.arch says so" : conf->arch_why,
           ax_arch_host());
    return -EOPNOTSUPP;
}

static int vm_build_engine(struct ax_vm *vm)
{
    const struct ax_config *conf = vm->env.conf;
    struct ax_engine_conf engine = {
        .vcpus = vm->plan.cpus,
        .irqchip = vm->plan.irqchip,
        .cpu =
            {
                .hide = (const char *const *)conf->cpu_hide,
                .expose = (const char *const *)conf->cpu_expose,
                .cpus = vm->plan.cpus,
                .ids = vm->plan.cpu_ids,
            },
        .log = vm->log,
    };
    int err = vm->env.ops->vm_create(&engine, &vm->engine);

    vm->times.engine_ready = ax_clock_now_ns();
    return err;
}

static bool vm_is_paged(const struct ax_plan_device *plan)
{
    const struct ax_device_ops *ops = ax_device_find(plan->type);

    return ops && ops->paged && plan->space == AX_SPACE_MMIO;
}

/*
 * Pages of devices whose registers the guest may read as memory. Without them
 * everything works, only slower, so that nothing here can fail a start.
 */
static void vm_build_pages(struct ax_vm *vm)
{
    unsigned count = 0;
    char *at;

    for (unsigned i = 0; i < vm->plan.device_count; i++)
        count += vm_is_paged(&vm->plan.devices[i]);
    if (!count || !vm->env.ops->page_map)
        return;
    at = mmap(NULL, (size_t)count * AX_DEVICE_PAGE, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return;
    vm->pages = at;
    vm->pages_size = (size_t)count * AX_DEVICE_PAGE;
    for (unsigned i = 0; i < vm->plan.device_count; i++) {
        if (!vm_is_paged(&vm->plan.devices[i]))
            continue;
        if (!vm->env.ops->page_map(vm->engine, vm->plan.devices[i].base, at,
                                   AX_DEVICE_PAGE))
            vm->device_pages[i] = at;
        at += AX_DEVICE_PAGE;
    }
}

/* Memory goes to the engine before its irqchip exists: see mem_map. */
static int vm_build_memory(struct ax_vm *vm)
{
    int err = 0;

    ax_memory_init(&vm->mem, vm->env.conf->backing, vm->env.conf->hugepages);
    for (unsigned i = 0; i < vm->plan.region_count; i++) {
        const struct ax_plan_region *r = &vm->plan.regions[i];

        err = ax_memory_add(&vm->mem, r->gpa, r->size, r->kind);
        if (err) {
            ax_log(vm->log, AX_LOG_ERROR,
                   "the host cannot give %" PRIu64
                   " MiB of memory for guest address %#" PRIx64 ": %s%s",
                   r->size >> 20, r->gpa, strerror(-err),
                   vm->env.conf->hugepages >= AX_HUGEPAGES_2M
                       ? " (are enough huge pages reserved in "
                         "/proc/sys/vm/nr_hugepages?)"
                       : "");
            return err;
        }
    }
    for (unsigned i = 0; !err && i < vm->mem.count; i++)
        err = vm->env.ops->mem_map(vm->engine, &vm->mem.regions[i]);
    if (!err)
        vm_build_pages(vm);
    return err ? err : vm->env.ops->vm_seal(vm->engine);
}

static unsigned vm_count_devices(const struct ax_vm *vm, const char *type)
{
    unsigned count = 0;

    for (unsigned i = 0; i < vm->device_count; i++)
        count += !strcmp(vm->devices[i]->ops->type, type);
    return count;
}

static struct ax_device *vm_find_device(const struct ax_vm *vm,
                                        const char *type)
{
    for (unsigned i = 0; type && i < vm->device_count; i++) {
        if (!strcmp(vm->devices[i]->ops->type, type))
            return vm->devices[i];
    }
    return NULL;
}

/* Its own thread, if the model wants one; *loop: where it works. */
static int vm_build_iothread(struct ax_vm *vm, const struct ax_device_ops *ops,
                             struct ax_loop **loop)
{
    struct ax_iothread **thread = &vm->iothreads[vm->device_count];
    const char *kind = strchr(ops->type, '_');
    char name[32];
    int err;

    *loop = vm->env.loop;
    if (!ops->threaded)
        return 0;
    snprintf(name, sizeof(name), "%.7s-%.4s%u", vm->env.conf->name,
             kind ? kind + 1 : ops->type, vm->device_count);
    err = ax_iothread_create(name, thread);
    if (!err)
        *loop = ax_iothread_loop(*thread);
    return err;
}

static int vm_build_device(struct ax_vm *vm, const struct ax_plan_device *plan)
{
    const struct ax_device_ops *ops = ax_device_find(plan->type);
    struct ax_device_env env = {
        .power = {.request = vm_power, .ctx = vm},
        .apic = {.route = vm_msi_route, .send = vm_msi_send, .ctx = vm},
        .news = {.tell = vm_answer, .ctx = vm},
        .console = vm->console,
        .clock = &vm->clock,
        .mem = &vm->mem,
        .log = vm->log,
        .cfg = plan->cfg,
        .cfg_count = plan->cfg_count,
        .vm = vm->env.conf->name,
        .index = vm_count_devices(vm, plan->type),
        .conf = plan->conf,
        .fast = {.ctx = vm},
        .page = vm->device_pages[vm->device_count],
        .pci = &vm->pci,
        .slot = plan->slot,
    };
    struct ax_device *dev;
    int err;

    if (!ops)
        return -ENOENT;
    if (vm->env.ops->doorbell)
        env.fast.doorbell = vm_doorbell;
    if (vm->env.ops->irq_event)
        env.fast.irq_event = vm_irq_event;
    if (vm->env.ops->msi_event)
        env.fast.msi_event = vm_msi_event;
    env.fast.irq_event_late =
        vm->env.ops->irq_event_late && vm->plan.irqchip == AX_IRQCHIP_KERNEL;
    env.peer = vm_find_device(vm, ops->extends);
    if (ops == &ax_virtio_console) {
        env.consoles = vm->ports;
        env.console_count = vm->port_count;
        env.conf = vm->port_confs;
    }
    if (plan->irq != AX_IRQ_NONE && vm->plan.irqchip != AX_IRQCHIP_NONE) {
        env.irq.set = vm->plan.irqchip == AX_IRQCHIP_SPLIT ? vm_irq_to_model
                                                           : vm_irq_to_engine;
        env.irq.ctx = vm;
        env.irq.line = plan->irq;
    }
    err = vm_build_iothread(vm, ops, &env.loop);
    if (!err)
        err = ax_device_create(ops, plan->space, plan->base, &env, &dev);
    if (err)
        return err;
    vm->devices[vm->device_count++] = dev;
    if (ops->line)
        vm->irqchip = dev;
    return ax_bus_attach(&vm->buses[plan->space], dev);
}

static int vm_build_devices(struct ax_vm *vm)
{
    for (int space = 0; space < AX_SPACES; space++)
        ax_bus_init(&vm->buses[space], (enum ax_space)space);
    vm->pci = (struct ax_pci){.mem = vm->plan.pci_mem, .io = vm->plan.pci_io};
    for (unsigned i = 0; i < vm->plan.device_count; i++) {
        const struct ax_plan_device *plan = &vm->plan.devices[i];
        int err = vm_build_device(vm, plan);

        if (err) {
            ax_log(vm->log, AX_LOG_ERROR, "device %s at %#" PRIx64 ": %s",
                   plan->type, plan->base, strerror(-err));
            return err;
        }
    }
    return 0;
}

static int vm_build_vcpus(struct ax_vm *vm)
{
    const struct ax_config *conf = vm->env.conf;
    struct ax_vcpu_env env = {
        .ops = vm->env.ops,
        .engine = vm->engine,
        .vm_name = conf->name,
        .console = vm->console,
        .irqchip = vm->irqchip,
        .power = {.request = vm_power, .ctx = vm},
        .log = vm->log,
        .trace = vm->env.trace,
        .spins = sysconf(_SC_NPROCESSORS_ONLN) > 1,
        .halt_ends = vm->plan.irqchip == AX_IRQCHIP_NONE,
        .prepare = vm_prepare,
        .rendezvous = vm_rendezvous,
        .crashed = vm_crashed,
        .entering = vm_entering,
        .debugged = vm_debugged,
        .held = vm_held,
        .gone = vm_gone,
        .ctx = vm,
    };

    for (int space = 0; space < AX_SPACES; space++)
        env.buses[space] = &vm->buses[space];
    for (unsigned i = 0; i < vm->plan.cpus; i++) {
        int err;

        env.cpu_set = conf->cpu_sets[i];
        err = ax_vcpu_create(&env, i, &vm->vcpus[i]);
        if (err)
            return err;
        vm->vcpu_count++;
    }
    return 0;
}

static int vm_boot(struct ax_vm *vm)
{
    int err = vm->arch->boot(&vm->plan, vm->log, &vm->mem, &vm->start,
                             vm->env.progress, vm->env.ctx);

    vm->times.loaded = ax_clock_now_ns();
    return err;
}

static int vm_plan(struct ax_vm *vm)
{
    int err = vm->arch->plan(vm->env.conf, vm->log, &vm->plan);

    vm->plan.kernel_override = vm->env.kernel;
    return err;
}

/* The steps of a start, in order, and who is to blame when one fails. */
static const struct {
    int (*step)(struct ax_vm *vm);
    enum ax_blame blame;
} steps[] = {
    {vm_find_arch, AX_BLAME_HOST},    {vm_plan, AX_BLAME_USER},
    {vm_build_engine, AX_BLAME_HOST}, {vm_build_memory, AX_BLAME_HOST},
    {vm_boot, AX_BLAME_USER},         {ax_vm_build_consoles, AX_BLAME_USER},
    {vm_build_devices, AX_BLAME_US},  {vm_build_vcpus, AX_BLAME_US},
};

int ax_vm_build(struct ax_vm *vm, enum ax_blame *blame)
{
    int err = 0;

    for (size_t i = 0; !err && i < AX_ARRAY_LEN(steps); i++) {
        *blame = steps[i].blame;
        err = steps[i].step(vm);
    }
    return err;
}

int ax_vm_start_devices(struct ax_vm *vm)
{
    int err = 0;

    for (unsigned i = 0; !err && i < vm->device_count; i++) {
        if (vm->iothreads[i])
            err = ax_iothread_start(vm->iothreads[i]);
    }
    if (err)
        ax_log(vm->log, AX_LOG_ERROR, "a thread for a device: %s",
               strerror(-err));
    return err;
}

/* The irqchip goes last: the others may still pull their lines. */
static void vm_unbuild_devices(struct ax_vm *vm)
{
    for (unsigned i = 0; i < AX_PLAN_DEVICES; i++) {
        if (vm->iothreads[i])
            ax_iothread_stop(vm->iothreads[i]);
    }
    while (vm->device_count > 0) {
        struct ax_device *dev = vm->devices[--vm->device_count];

        if (dev != vm->irqchip)
            ax_device_destroy(dev);
    }
    ax_device_destroy(vm->irqchip);
    vm->irqchip = NULL;
    for (unsigned i = 0; i < AX_PLAN_DEVICES; i++) {
        ax_iothread_destroy(vm->iothreads[i]);
        vm->iothreads[i] = NULL;
        vm->device_pages[i] = NULL;
    }
}

void ax_vm_unbuild(struct ax_vm *vm)
{
    /* A thread may still look at the others: all are joined before one goes. */
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_stop(vm->vcpus[i]);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_join(vm->vcpus[i]);
    while (vm->vcpu_count > 0)
        ax_vcpu_destroy(vm->vcpus[--vm->vcpu_count]);
    vm_unbuild_devices(vm);
    /* Statistics look at them also where no new build follows. */
    for (int space = 0; space < AX_SPACES; space++)
        ax_bus_init(&vm->buses[space], (enum ax_space)space);
    if (vm->engine)
        vm->env.ops->vm_destroy(vm->engine);
    vm->engine = NULL;
    if (vm->pages)
        munmap(vm->pages, vm->pages_size);
    vm->pages = NULL;
    ax_memory_fini(&vm->mem);
}
