/*
 * vm.c - builds a VM in order, owns it, tears it down in the reverse order.
 */
#include "vmm/vm.h"

#include "arch/arch.h"
#include "devices/bus.h"
#include "devices/console.h"
#include "devices/loop.h"
#include "devices/registry.h"
#include "vcpu/vcpu.h"
#include "vmm/crash.h"
#include "vmm/image.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ARRIVAL_MS = 5000, DRAIN_MS = 5000 };

struct ax_vm {
    struct ax_vm_env env;
    const struct ax_arch *arch;
    struct ax_log *log;
    struct ax_plan plan;
    struct ax_start start;
    enum ax_vm_state state;
    struct ax_vm_times times;

    struct ax_engine_vm *engine;
    struct ax_memory mem;
    struct ax_bus buses[AX_SPACES];
    struct ax_console *console;
    unsigned device_count;
    struct ax_device *devices[AX_PLAN_DEVICES];
    struct ax_device *irqchip; /* the model, with AX_IRQCHIP_SPLIT */
    unsigned vcpu_count;
    struct ax_vcpu *vcpus[AX_CPUS_MAX];

    struct ax_wake *news; /* an end was requested, or a vCPU is gone */
    atomic_uint alive;    /* vCPU threads that have not said gone */

    pthread_mutex_t lock; /* a leaf: all below */
    struct ax_vm_end end;
    char *crash; /* report of the vCPU that crashed, NULL if none did */
    pthread_cond_t all_here;
    unsigned here;
    bool cancelled;
};

static uint64_t vm_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* ---- wires: called on vCPU threads ---- */

/* The first cause wins. Stops every vCPU; waits for none. */
static void vm_request_end(struct ax_vm *vm, enum ax_vm_cause cause,
                           uint64_t code)
{
    pthread_mutex_lock(&vm->lock);
    if (vm->end.cause == AX_VM_END_NONE)
        vm->end = (struct ax_vm_end){.cause = cause, .code = code};
    vm->cancelled = true;
    pthread_cond_broadcast(&vm->all_here);
    pthread_mutex_unlock(&vm->lock);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_stop(vm->vcpus[i]);
    ax_loop_wake(vm->news);
}

static void vm_power(void *ctx, enum ax_power_event event, uint64_t code)
{
    static const enum ax_vm_cause causes[] = {
        [AX_POWER_OFF] = AX_VM_END_OFF,     [AX_POWER_RESET] = AX_VM_END_RESET,
        [AX_POWER_CRASH] = AX_VM_END_CRASH, [AX_POWER_EXIT] = AX_VM_END_EXIT,
        [AX_POWER_FAIL] = AX_VM_END_FAIL,
    };

    vm_request_end(ctx, causes[event], code);
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
    go = !vm->cancelled;
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

    size_t size;
    char *report = NULL;
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

static void vm_gone(void *ctx, struct ax_vcpu *vcpu)
{
    struct ax_vm *vm = ctx;

    /* The thread still has to return, which the loop waits for. */
    atomic_fetch_sub(&vm->alive, 1);
    ax_loop_wake(vm->news);
}

/* ---- wires: called on the loop ---- */

static void vm_console_input(void *ctx)
{
    struct ax_vm *vm = ctx;

    for (unsigned i = 0; i < vm->device_count; i++) {
        if (vm->devices[i]->env.console)
            ax_device_poll(vm->devices[i]);
    }
}

static void vm_console_escape(void *ctx, int key)
{
    struct ax_vm *vm = ctx;

    if (vm->env.escape)
        vm->env.escape(vm->env.ctx, vm, key);
}

static void vm_log_crash(struct ax_vm *vm)
{
    char *rest = NULL;

    for (char *line = vm->crash ? strtok_r(vm->crash, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest))
        ax_log(vm->log, AX_LOG_ERROR, "%s", line);
    free(vm->crash);
    vm->crash = NULL;
}

static void vm_finish(struct ax_vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_join(vm->vcpus[i]);
    if (!ax_console_drain(vm->console, DRAIN_MS))
        ax_log(vm->log, AX_LOG_WARN,
               "console: its reader is too slow, the last output is lost");
    vm_log_crash(vm);
    vm->state = AX_VM_STOPPED;
    if (vm->env.stopped)
        vm->env.stopped(vm->env.ctx, vm);
}

static void vm_news(void *ctx)
{
    struct ax_vm *vm = ctx;

    if (ax_vm_end(vm).cause != AX_VM_END_NONE &&
        (vm->state == AX_VM_RUNNING || vm->state == AX_VM_SUSPENDED))
        vm->state = AX_VM_STOPPING;
    if (vm->state == AX_VM_STOPPING && !atomic_load(&vm->alive))
        vm_finish(vm);
}

/* ---- building ---- */

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

    vm->times.engine_ready = vm_now_ns();
    return err;
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
    return err ? err : vm->env.ops->vm_seal(vm->engine);
}

static int vm_build_console(struct ax_vm *vm)
{
    struct ax_console_events events = {
        .input = vm_console_input,
        .escape = vm_console_escape,
        .ctx = vm,
    };
    int err = ax_console_create(vm->env.loop, vm->log, vm->env.conf->console,
                                vm->env.conf->escapes, &vm->console);

    if (!err)
        ax_console_listen(vm->console, &events);
    return err;
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

static int vm_build_device(struct ax_vm *vm, const struct ax_plan_device *plan)
{
    const struct ax_device_ops *ops = ax_device_find(plan->type);
    struct ax_device_env env = {
        .power = {.request = vm_power, .ctx = vm},
        .apic = {.route = vm_msi_route, .send = vm_msi_send, .ctx = vm},
        .console = vm->console,
        .mem = &vm->mem,
        .loop = vm->env.loop,
        .log = vm->log,
        .cfg = plan->cfg,
        .cfg_count = plan->cfg_count,
    };
    struct ax_device *dev;
    int err;

    if (!ops)
        return -ENOENT;
    env.peer = vm_find_device(vm, ops->extends);
    if (plan->irq != AX_IRQ_NONE && vm->plan.irqchip != AX_IRQCHIP_NONE) {
        env.irq.set = vm->plan.irqchip == AX_IRQCHIP_SPLIT ? vm_irq_to_model
                                                           : vm_irq_to_engine;
        env.irq.ctx = vm;
        env.irq.line = plan->irq;
    }
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
        .halt_ends = vm->plan.irqchip == AX_IRQCHIP_NONE,
        .prepare = vm_prepare,
        .rendezvous = vm_rendezvous,
        .crashed = vm_crashed,
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

    vm->times.loaded = vm_now_ns();
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
    {vm_boot, AX_BLAME_USER},         {vm_build_console, AX_BLAME_USER},
    {vm_build_devices, AX_BLAME_US},  {vm_build_vcpus, AX_BLAME_US},
};

int ax_vm_create(const struct ax_vm_env *env, struct ax_vm **out,
                 enum ax_blame *blame)
{
    struct ax_vm *vm = calloc(1, sizeof(*vm));
    int err;

    *out = NULL;
    *blame = AX_BLAME_US;
    if (!vm)
        return -ENOMEM;
    vm->env = *env;
    vm->state = AX_VM_LOADING;
    vm->times.created = vm_now_ns();
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->all_here, NULL);
    err = ax_log_create_child(env->log, env->conf->name, &vm->log);
    if (!err)
        err = ax_wake_create(env->loop, vm_news, vm, &vm->news);
    for (size_t i = 0; !err && i < AX_ARRAY_LEN(steps); i++) {
        *blame = steps[i].blame;
        err = steps[i].step(vm);
    }
    if (err) {
        ax_vm_destroy(vm);
        return err;
    }
    vm->state = AX_VM_LOADED;
    ax_log(vm->log, AX_LOG_INFO, "%s", vm->start.what);
    *out = vm;
    return 0;
}

void ax_vm_destroy(struct ax_vm *vm)
{
    if (!vm)
        return;
    if (vm->state == AX_VM_RUNNING || vm->state == AX_VM_SUSPENDED)
        vm_request_end(vm, AX_VM_END_STOP, 0);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        ax_vcpu_join(vm->vcpus[i]);
        ax_vcpu_destroy(vm->vcpus[i]);
    }
    /* The irqchip goes last: the others may still pull their lines. */
    while (vm->device_count > 0) {
        struct ax_device *dev = vm->devices[--vm->device_count];

        if (dev != vm->irqchip)
            ax_device_destroy(dev);
    }
    ax_device_destroy(vm->irqchip);
    ax_console_destroy(vm->console);
    if (vm->engine)
        vm->env.ops->vm_destroy(vm->engine);
    ax_memory_fini(&vm->mem);
    ax_wake_destroy(vm->news);
    free(vm->crash);
    ax_log_destroy(vm->log);
    pthread_cond_destroy(&vm->all_here);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}

/* ---- operations ---- */

static int vm_transit(struct ax_vm *vm, enum ax_vm_op op)
{
    const char *refusal;
    int err = ax_vm_transition(vm->state, op, &vm->state, &refusal);

    if (err)
        ax_log(vm->log, AX_LOG_WARN, "%s", refusal);
    return err;
}

int ax_vm_start(struct ax_vm *vm)
{
    int err = vm_transit(vm, AX_VM_OP_START);

    for (unsigned i = 0; !err && i < vm->vcpu_count; i++) {
        atomic_fetch_add(&vm->alive, 1);
        err = ax_vcpu_start(vm->vcpus[i]);
        if (err) {
            atomic_fetch_sub(&vm->alive, 1);
            ax_log(vm->log, AX_LOG_ERROR, "no thread for vcpu%u: %s", i,
                   strerror(-err));
            vm_request_end(vm, AX_VM_END_FAIL, 0);
        }
    }
    return err;
}

int ax_vm_suspend(struct ax_vm *vm)
{
    int err = vm_transit(vm, AX_VM_OP_SUSPEND);

    if (err)
        return err;
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        ax_vcpu_pause(vm->vcpus[i]);
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        if (ax_vcpu_paused(vm->vcpus[i], ARRIVAL_MS))
            continue;
        ax_log(vm->log, AX_LOG_ERROR, "vcpu%u did not stop within %d ms", i,
               ARRIVAL_MS);
        ax_vm_resume(vm);
        return -ETIMEDOUT;
    }
    return 0;
}

int ax_vm_resume(struct ax_vm *vm)
{
    int err = vm_transit(vm, AX_VM_OP_RESUME);

    for (unsigned i = 0; !err && i < vm->vcpu_count; i++)
        ax_vcpu_resume(vm->vcpus[i]);
    return err;
}

int ax_vm_stop(struct ax_vm *vm)
{
    int err = vm_transit(vm, AX_VM_OP_STOP);

    if (!err)
        vm_request_end(vm, AX_VM_END_STOP, 0);
    return err;
}

/* ---- looking at it ---- */

enum ax_vm_state ax_vm_state(const struct ax_vm *vm)
{
    return vm->state;
}

struct ax_vm_end ax_vm_end(struct ax_vm *vm)
{
    struct ax_vm_end end;

    pthread_mutex_lock(&vm->lock);
    end = vm->end;
    pthread_mutex_unlock(&vm->lock);
    return end;
}

struct ax_vm_times ax_vm_times(const struct ax_vm *vm)
{
    struct ax_vm_times times = vm->times;

    if (vm->vcpu_count) {
        times.first_run = ax_vcpu_first_run_ns(vm->vcpus[0]);
        times.first_exit = ax_vcpu_first_exit_ns(vm->vcpus[0]);
    }
    times.first_byte = ax_console_first_byte_ns(vm->console);
    return times;
}

const struct ax_config *ax_vm_config(const struct ax_vm *vm)
{
    return vm->env.conf;
}

const char *ax_vm_what(const struct ax_vm *vm)
{
    return vm->start.what;
}

unsigned ax_vm_vcpu_count(const struct ax_vm *vm)
{
    return vm->vcpu_count;
}

struct ax_vcpu *ax_vm_vcpu(const struct ax_vm *vm, unsigned id)
{
    return id < vm->vcpu_count ? vm->vcpus[id] : NULL;
}

const struct ax_bus *ax_vm_bus(const struct ax_vm *vm, enum ax_space space)
{
    return &vm->buses[space];
}

uint64_t ax_vm_memory_size(const struct ax_vm *vm)
{
    return ax_memory_size(&vm->mem);
}
