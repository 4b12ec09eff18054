/*
 * engine.c - the scripted engine.
 */
#include "fake/engine.h"

#include "arch/x86_64/regs.h"
#include "memory/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { REGIONS = 32, LINES = 64 };

struct ax_engine_vm {
    struct ax_engine_conf conf;
    struct ax_region regions[REGIONS];
    unsigned region_count;
    bool sealed;
    atomic_bool lines[LINES];
    atomic_bool stands; /* guest time */
    atomic_uint stops, goes;
    struct {
        atomic_uint time_goes, nmis, traps, debugs;
        atomic_ullong stopped_ns;
    } told[AX_CPUS_MAX]; /* outlives the vCPUs */
    atomic_ullong sipi;  /* where the other vCPUs begin; 0: not yet */
    pthread_mutex_t lock;
    struct ax_engine_vcpu *vcpus[AX_CPUS_MAX];
};

struct ax_engine_vcpu {
    struct ax_engine_vm *vm;
    unsigned id;
    uint64_t regs[AX_FAKE_REGS];
    pthread_mutex_t lock;
    pthread_cond_t kicked;
    bool kick;
    bool nmi;
    atomic_bool blocked, inside;
    atomic_bool stale; /* time has stood since it was told that it goes */
    struct ax_debug debug;
    bool step_due;   /* the instruction's exit came first */
    bool declined;   /* the breakpoint at PC is the guest's own */
    uint64_t answer; /* to the last access */
    struct ax_x86_xsave xsave;
};

static atomic_uint alive;

unsigned ax_fake_alive(void)
{
    return atomic_load(&alive);
}

bool ax_fake_line(struct ax_engine_vm *vm, unsigned line)
{
    return line < LINES && atomic_load(&vm->lines[line]);
}

unsigned ax_fake_time_stops(struct ax_engine_vm *vm)
{
    return atomic_load(&vm->stops);
}

unsigned ax_fake_time_goes(struct ax_engine_vm *vm)
{
    return atomic_load(&vm->goes);
}

unsigned ax_fake_vcpu_time_goes(struct ax_engine_vm *vm, unsigned id)
{
    return atomic_load(&vm->told[id].time_goes);
}

uint64_t ax_fake_stopped_ns(struct ax_engine_vm *vm, unsigned id)
{
    return atomic_load(&vm->told[id].stopped_ns);
}

unsigned ax_fake_nmis(struct ax_engine_vm *vm, unsigned id)
{
    return atomic_load(&vm->told[id].nmis);
}

unsigned ax_fake_traps(struct ax_engine_vm *vm, unsigned id)
{
    return atomic_load(&vm->told[id].traps);
}

unsigned ax_fake_debugs(struct ax_engine_vm *vm, unsigned id)
{
    return atomic_load(&vm->told[id].debugs);
}

static int fake_probe(ax_backend_fact *fact, void *ctx)
{
    if (fact)
        fact(ctx, "fake engine", "always there", NULL);
    return 0;
}

static int fake_vm_create(const struct ax_engine_conf *conf,
                          struct ax_engine_vm **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return -ENOMEM;
    (*out)->conf = *conf;
    pthread_mutex_init(&(*out)->lock, NULL);
    return 0;
}

static void fake_vm_destroy(struct ax_engine_vm *vm)
{
    if (vm)
        pthread_mutex_destroy(&vm->lock);
    free(vm);
}

static int fake_mem_map(struct ax_engine_vm *vm, const struct ax_region *region)
{
    if (vm->sealed || vm->region_count == REGIONS)
        return -EBUSY;
    vm->regions[vm->region_count++] = *region;
    return 0;
}

static int fake_vm_seal(struct ax_engine_vm *vm)
{
    vm->sealed = true;
    return 0;
}

static int fake_irq_line(struct ax_engine_vm *vm, unsigned line, bool level)
{
    if (line >= LINES)
        return -EINVAL;
    atomic_store(&vm->lines[line], level);
    return 0;
}

static int fake_vcpu_create(struct ax_engine_vm *vm, unsigned id,
                            struct ax_engine_vcpu **out)
{
    struct ax_engine_vcpu *vcpu;

    *out = NULL;
    if (id >= vm->conf.vcpus)
        return -EINVAL;
    vcpu = calloc(1, sizeof(*vcpu));
    if (!vcpu)
        return -ENOMEM;
    vcpu->vm = vm;
    vcpu->id = id;
    pthread_mutex_init(&vcpu->lock, NULL);
    pthread_cond_init(&vcpu->kicked, NULL);
    atomic_fetch_add(&alive, 1);
    pthread_mutex_lock(&vm->lock);
    vm->vcpus[id] = vcpu;
    pthread_mutex_unlock(&vm->lock);
    *out = vcpu;
    return 0;
}

static void fake_vcpu_destroy(struct ax_engine_vcpu *vcpu)
{
    if (!vcpu)
        return;
    pthread_mutex_lock(&vcpu->vm->lock);
    vcpu->vm->vcpus[vcpu->id] = NULL;
    pthread_mutex_unlock(&vcpu->vm->lock);
    pthread_cond_destroy(&vcpu->kicked);
    pthread_mutex_destroy(&vcpu->lock);
    free(vcpu);
    atomic_fetch_sub(&alive, 1);
}

static int fake_reg_get(struct ax_engine_vcpu *vcpu, unsigned reg,
                        uint64_t *val)
{
    *val = reg < AX_FAKE_REGS ? vcpu->regs[reg] : 0;
    return reg < AX_FAKE_REGS ? 0 : -EINVAL;
}

static int fake_reg_set(struct ax_engine_vcpu *vcpu, unsigned reg, uint64_t val)
{
    if (reg >= AX_FAKE_REGS)
        return -EINVAL;
    vcpu->regs[reg] = val;
    return 0;
}

static void *fake_at(struct ax_engine_vcpu *vcpu, uint64_t gpa, size_t size)
{
    for (unsigned i = 0; i < vcpu->vm->region_count; i++) {
        const struct ax_region *r = &vcpu->vm->regions[i];

        if (ax_range_within(gpa, size, r->gpa, r->size))
            return (char *)r->hva + (gpa - r->gpa);
    }
    return NULL;
}

/* Is it a step? A debugger can write anything there. */
static bool fake_decodes(const uint8_t *bytes)
{
    const struct ax_fake_step *step = (const void *)bytes;
    const unsigned width = step->exit.access.width;

    if ((step->op & 0xff) == AX_FAKE_BREAK)
        return true;
    if ((unsigned)step->op > AX_FAKE_LOAD ||
        bytes[offsetof(struct ax_fake_step, echo)] > 1 ||
        (unsigned)step->exit.kind >= AX_EXIT_KINDS)
        return false;
    return !ax_exit_is_access(step->exit.kind) ||
           ((width == 1 || width == 2 || width == 4 || width == 8) &&
            (unsigned)step->exit.access.space < AX_SPACES &&
            bytes[offsetof(struct ax_fake_step, exit.access.write)] <= 1);
}

static const struct ax_fake_step *fake_fetch(struct ax_engine_vcpu *vcpu)
{
    const uint64_t pc = vcpu->regs[AX_FAKE_PC];
    const void *step = fake_at(vcpu, pc, sizeof(struct ax_fake_step));

    return step && pc % _Alignof(struct ax_fake_step) == 0 && fake_decodes(step)
               ? step
               : NULL;
}

/* ---- debugging ---- */

static void fake_debug_exit(struct ax_engine_vcpu *vcpu, struct ax_exit *ex,
                            unsigned what, unsigned points)
{
    memset(ex, 0, sizeof(*ex));
    ex->kind = AX_EXIT_DEBUG;
    ex->debug.what = what;
    ex->debug.points = points;
    ex->debug.pc = vcpu->regs[AX_FAKE_PC];
}

/* Points that an access to addr hits; EXEC by the instruction there. */
static unsigned fake_hits(struct ax_engine_vcpu *vcpu, uint64_t addr,
                          enum ax_debug_point_kind kind)
{
    unsigned hits = 0;

    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        const enum ax_debug_point_kind at = vcpu->debug.points[i].kind;

        if (at != kind && !(at == AX_POINT_ACCESS && kind == AX_POINT_WRITE))
            continue;
        if (ax_range_within(addr, 1, vcpu->debug.points[i].addr,
                            vcpu->debug.points[i].size))
            hits |= 1U << i;
    }
    return hits;
}

/* Does the instruction at PC come out before it is executed? */
static bool fake_breaks(struct ax_engine_vcpu *vcpu,
                        const struct ax_fake_step *step, struct ax_exit *ex)
{
    const unsigned hits =
        fake_hits(vcpu, vcpu->regs[AX_FAKE_PC], AX_POINT_EXEC);

    if (hits) {
        fake_debug_exit(vcpu, ex, AX_DEBUG_HARD, hits);
        return true;
    }
    if ((step->op & 0xff) != AX_FAKE_BREAK || !vcpu->debug.soft ||
        vcpu->declined)
        return false;
    fake_debug_exit(vcpu, ex, AX_DEBUG_SOFT, 0);
    return true;
}

/* ... and after it. */
static bool fake_stepped(struct ax_engine_vcpu *vcpu, unsigned hits,
                         struct ax_exit *ex)
{
    const unsigned what =
        (vcpu->debug.step ? AX_DEBUG_STEP : 0U) | (hits ? AX_DEBUG_HARD : 0U);

    if (what)
        fake_debug_exit(vcpu, ex, what, hits);
    return what;
}

static int fake_vcpu_debug(struct ax_engine_vcpu *vcpu,
                           const struct ax_debug *debug)
{
    for (unsigned i = 0; i < AX_DEBUG_POINTS; i++) {
        const unsigned size = debug->points[i].size;

        if (debug->points[i].kind && (!size || size & (size - 1) || size > 8 ||
                                      debug->points[i].addr % size))
            return -EINVAL;
    }
    vcpu->debug = *debug;
    atomic_fetch_add(&vcpu->vm->told[vcpu->id].debugs, 1);
    return 0;
}

static int fake_vcpu_debug_decline(struct ax_engine_vcpu *vcpu)
{
    vcpu->declined = true;
    return 0;
}

static int fake_state_get(struct ax_engine_vcpu *vcpu, unsigned state,
                          void *buf, size_t size)
{
    if (state != AX_X86_STATE_XSAVE || size != sizeof(vcpu->xsave))
        return -EINVAL;
    memcpy(buf, &vcpu->xsave, size);
    return 0;
}

static int fake_state_set(struct ax_engine_vcpu *vcpu, unsigned state,
                          const void *buf, size_t size)
{
    if (state != AX_X86_STATE_XSAVE || size != sizeof(vcpu->xsave))
        return -EINVAL;
    memcpy(&vcpu->xsave, buf, size);
    return 0;
}

/* Is there an NMI? It is taken. */
static bool fake_take_nmi(struct ax_engine_vcpu *vcpu)
{
    bool nmi;

    pthread_mutex_lock(&vcpu->lock);
    nmi = vcpu->nmi;
    vcpu->nmi = false;
    pthread_mutex_unlock(&vcpu->lock);
    return nmi;
}

static bool fake_take_kick(struct ax_engine_vcpu *vcpu, bool wait, bool blocked)
{
    bool kick;

    pthread_mutex_lock(&vcpu->lock);
    atomic_store(&vcpu->blocked, blocked);
    while (wait && !vcpu->kick)
        pthread_cond_wait(&vcpu->kicked, &vcpu->lock);
    kick = vcpu->kick;
    vcpu->kick = false;
    atomic_store(&vcpu->blocked, false);
    pthread_mutex_unlock(&vcpu->lock);
    return kick;
}

static void fake_vcpu_kick(struct ax_engine_vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->lock);
    vcpu->kick = true;
    pthread_cond_broadcast(&vcpu->kicked);
    pthread_mutex_unlock(&vcpu->lock);
}

static void fake_start_others(struct ax_engine_vcpu *self, uint64_t entry)
{
    struct ax_engine_vm *vm = self->vm;

    atomic_store(&vm->sipi, entry);
    pthread_mutex_lock(&vm->lock);
    for (unsigned i = 0; i < AX_CPUS_MAX; i++) {
        if (vm->vcpus[i] && vm->vcpus[i] != self)
            fake_vcpu_kick(vm->vcpus[i]);
    }
    pthread_mutex_unlock(&vm->lock);
}

/* An instruction that comes out: with a single step that follows. */
static int fake_out(struct ax_engine_vcpu *vcpu)
{
    vcpu->step_due = vcpu->debug.step;
    return 0;
}

static int fake_vcpu_replay(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    if (ax_exit_is_access(ex->kind))
        vcpu->answer = ex->answer; /* a kick may come before it is asked for */
    if (ex->kind == AX_EXIT_IO_READ)
        vcpu->regs[0] = ex->answer;
    memset(ex, 0, sizeof(*ex));
    if (!vcpu->regs[AX_FAKE_PC])
        vcpu->regs[AX_FAKE_PC] = atomic_load(&vcpu->vm->sipi);
    if (!vcpu->regs[AX_FAKE_PC]) {
        fake_take_kick(vcpu, true, true);
        return 0;
    }
    if (vcpu->step_due) {
        vcpu->step_due = false;
        if (fake_stepped(vcpu, 0, ex))
            return 0;
    }
    for (;;) {
        const struct ax_fake_step *step = fake_fetch(vcpu);
        unsigned hits = 0;
        uint8_t *byte;

        if (fake_take_kick(vcpu, false, false))
            return 0;
        if (!step) { /* as a CPU that fetches from nowhere */
            ex->kind = AX_EXIT_FAIL_ENTRY;
            ex->fail.why = "nothing at the instruction pointer";
            return 0;
        }
        if (fake_breaks(vcpu, step, ex))
            return 0;
        vcpu->regs[AX_FAKE_PC] += sizeof(*step);
        switch ((enum ax_fake_op)(
            (step->op & 0xff) == AX_FAKE_BREAK ? AX_FAKE_BREAK : step->op)) {
        case AX_FAKE_EXIT:
            *ex = step->exit;
            if (step->echo)
                ex->access.data = vcpu->answer;
            return fake_out(vcpu);
        case AX_FAKE_SPIN:
        case AX_FAKE_SLEEP:
            fake_take_kick(vcpu, true, step->op == AX_FAKE_SLEEP);
            return fake_out(vcpu);
        case AX_FAKE_NMI:
            if (fake_take_nmi(vcpu))
                break;
            vcpu->regs[AX_FAKE_PC] -= sizeof(*step);
            fake_take_kick(vcpu, true, true);
            return 0;
        case AX_FAKE_LOOP:
            vcpu->regs[AX_FAKE_PC] = step->target;
            break;
        case AX_FAKE_ERROR:
            return -(int)step->target;
        case AX_FAKE_START:
            fake_start_others(vcpu, step->target);
            break;
        case AX_FAKE_ADD:
            vcpu->regs[step->target % AX_FAKE_REGS] += step->exit.access.data;
            break;
        case AX_FAKE_STORE:
            byte = fake_at(vcpu, step->target, 1);
            if (byte)
                __atomic_store_n(byte, (uint8_t)step->exit.access.data,
                                 __ATOMIC_RELAXED);
            hits = fake_hits(vcpu, step->target, AX_POINT_WRITE);
            break;
        case AX_FAKE_LOAD:
            byte = fake_at(vcpu, step->target, 1);
            vcpu->regs[0] =
                byte ? __atomic_load_n(byte, __ATOMIC_RELAXED) : 0xff;
            hits = fake_hits(vcpu, step->target, AX_POINT_ACCESS);
            break;
        case AX_FAKE_BREAK:
            vcpu->declined = false;
            atomic_fetch_add(&vcpu->vm->told[vcpu->id].traps, 1);
            break;
        }
        if (fake_stepped(vcpu, hits, ex))
            return 0;
    }
}

static int fake_vcpu_run(struct ax_engine_vcpu *vcpu, struct ax_exit *ex)
{
    int err;

    atomic_store(&vcpu->inside, true);
    err = atomic_load(&vcpu->vm->stands) || atomic_load(&vcpu->stale)
              ? -EBUSY
              : fake_vcpu_replay(vcpu, ex);
    atomic_store(&vcpu->inside, false);
    return err;
}

static bool fake_vcpu_blocked(struct ax_engine_vcpu *vcpu)
{
    return atomic_load(&vcpu->blocked);
}

static int fake_time_stop(struct ax_engine_vm *vm)
{
    int err = atomic_exchange(&vm->stands, true) ? -EBUSY : 0;

    pthread_mutex_lock(&vm->lock);
    for (unsigned i = 0; !err && i < AX_CPUS_MAX; i++) {
        if (!vm->vcpus[i])
            continue;
        atomic_store(&vm->vcpus[i]->stale, true);
        if (atomic_load(&vm->vcpus[i]->inside))
            err = -EBUSY;
    }
    pthread_mutex_unlock(&vm->lock);
    atomic_fetch_add(&vm->stops, !err);
    return err;
}

static int fake_time_go(struct ax_engine_vm *vm)
{
    if (!atomic_exchange(&vm->stands, false))
        return -EINVAL;
    atomic_fetch_add(&vm->goes, 1);
    return 0;
}

static int fake_vcpu_time_go(struct ax_engine_vcpu *vcpu, uint64_t stopped_ns)
{
    if (atomic_load(&vcpu->vm->stands))
        return -EBUSY;
    atomic_store(&vcpu->stale, false);
    atomic_store(&vcpu->vm->told[vcpu->id].stopped_ns, stopped_ns);
    atomic_fetch_add(&vcpu->vm->told[vcpu->id].time_goes, 1);
    return 0;
}

static int fake_vcpu_nmi(struct ax_engine_vcpu *vcpu)
{
    if (!vcpu->regs[AX_FAKE_PC] && !atomic_load(&vcpu->vm->sipi))
        return -EAGAIN;
    pthread_mutex_lock(&vcpu->lock);
    vcpu->nmi = true;
    pthread_mutex_unlock(&vcpu->lock);
    atomic_fetch_add(&vcpu->vm->told[vcpu->id].nmis, 1);
    return 0;
}

static int fake_msi_send(struct ax_engine_vm *vm, uint64_t address,
                         uint32_t data)
{
    return 0;
}

static int fake_msi_route(struct ax_engine_vm *vm, unsigned pin,
                          uint64_t address, uint32_t data, bool masked)
{
    return pin < LINES ? 0 : -EINVAL;
}

const struct ax_backend_ops ax_fake = {
    .name = "fake",
    .probe = fake_probe,
    .vm_create = fake_vm_create,
    .vm_destroy = fake_vm_destroy,
    .mem_map = fake_mem_map,
    .vm_seal = fake_vm_seal,
    .irq_line = fake_irq_line,
    .vcpu_create = fake_vcpu_create,
    .vcpu_destroy = fake_vcpu_destroy,
    .reg_get = fake_reg_get,
    .reg_set = fake_reg_set,
    .vcpu_run = fake_vcpu_run,
    .vcpu_kick = fake_vcpu_kick,
    .vcpu_blocked = fake_vcpu_blocked,
    .time_stop = fake_time_stop,
    .time_go = fake_time_go,
    .vcpu_time_go = fake_vcpu_time_go,
    .vcpu_nmi = fake_vcpu_nmi,
    .state_get = fake_state_get,
    .state_set = fake_state_set,
    .vcpu_debug = fake_vcpu_debug,
    .vcpu_debug_decline = fake_vcpu_debug_decline,
    .msi_send = fake_msi_send,
    .msi_route = fake_msi_route,
};
