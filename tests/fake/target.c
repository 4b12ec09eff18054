/*
 * target.c - see target.h.
 */
#include "fake/target.h"

#include "fake/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { TLB_LINES = 400 };

/* ---- the CPU ---- */

static uint64_t word_of(const struct ax_engine_vcpu *engine)
{
    uint64_t word;

    memcpy(&word, engine, sizeof(word));
    return word;
}

static void fake_describe(const struct ax_backend_ops *ops,
                          struct ax_engine_vcpu *engine, char *buf, size_t size)
{
    snprintf(buf, size, "word %#" PRIx64, word_of(engine));
}

static int fake_info(const char *topic, const struct ax_backend_ops *ops,
                     struct ax_engine_vcpu *engine, const struct ax_memory *mem,
                     FILE *to)
{
    if (!strcmp(topic, "ioapic"))
        return -EOPNOTSUPP;
    if (!strcmp(topic, "irq"))
        return -EIO;
    if (!strncmp(topic, "tlb ", 4))
        fprintf(to, "walk to %s\n", topic + 4);
    if (!strcmp(topic, "regs"))
        fprintf(to, "word %#" PRIx64 "\n", word_of(engine));
    for (int i = 0; !strcmp(topic, "tlb") && i < TLB_LINES; i++)
        fprintf(to, "mapping %d\n", i);
    return 0;
}

static int fake_kaslr(const struct ax_memory *mem,
                      const uint64_t paging[AX_CORE_PAGING], uint64_t *slide)
{
    if (paging[0] == UINT64_MAX)
        return -ENOENT;
    if (paging[0] == UINT64_MAX - 1)
        return -EFAULT;
    *slide = paging[0];
    return 0;
}

static const char *const topics[] = {"regs", "tlb", "ioapic", "irq", NULL};

const struct ax_gdb_ops ax_fake_gdb = {
    .name = "fake",
    .describe = fake_describe,
    .topics = topics,
    .info = fake_info,
    .kaslr = fake_kaslr,
};

/* ---- the target ---- */

void ax_fake_target_init(struct ax_target *target, struct ax_vm *vm)
{
    *target = (struct ax_target){
        .vm = vm, .ops = &ax_fake_gdb, .halted = true, .refusal = ""};
    for (unsigned i = 0; i < AX_FAKE_TARGET_CPUS; i++)
        target->regs[i] = 0x100 + i;
    for (unsigned i = 0; i < AX_FAKE_TARGET_SIZE; i++)
        target->memory[i] = (uint8_t)i;
}

void ax_target_catch(struct ax_target *target, unsigned catches)
{
    target->catches = catches;
}

unsigned ax_target_catches(struct ax_target *target)
{
    return target->catches;
}

const char *ax_target_refusal(const struct ax_target *target)
{
    return target->refusal;
}

bool ax_target_halted(const struct ax_target *target)
{
    return target->halted;
}

struct ax_vm *ax_target_vm(const struct ax_target *target)
{
    return target->vm;
}

const struct ax_gdb_ops *ax_target_ops(const struct ax_target *target)
{
    return target->ops;
}

int ax_target_reset(struct ax_target *target)
{
    if (target->err)
        return target->err;
    target->halted = false;
    target->resets++;
    return 0;
}

static int state_of(const struct ax_target *target)
{
    return target->err ? target->err : target->halted ? 0 : -EBUSY;
}

int ax_target_call(struct ax_target *target, unsigned vcpu,
                   int (*fn)(void *ctx, const struct ax_backend_ops *ops,
                             struct ax_engine_vcpu *engine),
                   void *ctx)
{
    const int err = state_of(target);

    return err ? err
               : fn(ctx, &ax_fake,
                    (struct ax_engine_vcpu *)(void *)&target->regs[vcpu]);
}

int ax_target_view(struct ax_target *target, unsigned vcpu,
                   struct ax_gdb_view *view)
{
    memset(view, 0, sizeof(*view));
    view->pc = target->regs[vcpu];
    view->paging[0] = target->slide;
    return state_of(target);
}

size_t ax_target_read(struct ax_target *target, unsigned vcpu, bool physical,
                      uint64_t addr, void *buf, size_t len)
{
    size_t there;

    if (state_of(target) || !physical || addr < AX_FAKE_TARGET_BASE ||
        addr - AX_FAKE_TARGET_BASE >= AX_FAKE_TARGET_SIZE)
        return 0;
    there = AX_FAKE_TARGET_SIZE - (size_t)(addr - AX_FAKE_TARGET_BASE);
    there = there < len ? there : len;
    memcpy(buf, target->memory + (addr - AX_FAKE_TARGET_BASE), there);
    return there;
}

/* ---- the rest, or else the library's own would come along for it ---- */

int ax_target_create(struct ax_vm *vm, struct ax_target **out)
{
    *out = NULL;
    return -EOPNOTSUPP;
}

void ax_target_destroy(struct ax_target *target)
{
}

void ax_target_wait(struct ax_target *target)
{
}

int ax_target_attach(struct ax_target *target,
                     const struct ax_target_events *events,
                     struct ax_target_stop *stop)
{
    return -EOPNOTSUPP;
}

void ax_target_detach(struct ax_target *target)
{
}

bool ax_target_attached(const struct ax_target *target)
{
    return false;
}

void ax_target_set_ops(struct ax_target *target, const struct ax_gdb_ops *ops)
{
    target->ops = ops;
}

int ax_target_halt(struct ax_target *target)
{
    return -EOPNOTSUPP;
}

int ax_target_resume(struct ax_target *target,
                     const struct ax_target_action *actions)
{
    return -EOPNOTSUPP;
}

int ax_target_regs_get(struct ax_target *target, unsigned vcpu, unsigned from,
                       unsigned to, uint8_t *buf, bool *unknown)
{
    return -EOPNOTSUPP;
}

int ax_target_regs_set(struct ax_target *target, unsigned vcpu, unsigned from,
                       unsigned to, const uint8_t *buf)
{
    return -EOPNOTSUPP;
}

int ax_target_write(struct ax_target *target, unsigned vcpu, bool physical,
                    uint64_t addr, const void *buf, size_t len)
{
    return -EOPNOTSUPP;
}

int ax_target_insert(struct ax_target *target, unsigned vcpu,
                     enum ax_target_type type, uint64_t addr, unsigned size,
                     const struct ax_target_code *conditions, unsigned count)
{
    return -EOPNOTSUPP;
}

int ax_target_remove(struct ax_target *target, enum ax_target_type type,
                     uint64_t addr, unsigned size)
{
    return -EOPNOTSUPP;
}
