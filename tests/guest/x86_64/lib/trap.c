/*
 * trap.c - the IDT, and what happens on each vector: a handler, the return to
 * trap_try, or a report and the end.
 */
#include "trap.h"

#include "guest.h"
#include "layout.h"

struct gate {
    uint16_t offset0, selector;
    uint8_t ist, attr;
    uint16_t offset1;
    uint32_t offset2, reserved;
};

struct table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, io_map;
} __attribute__((packed));

enum { GATE_INTERRUPT = 0x8e, GATE_USER = 0xee, EXCEPTIONS = 32, STUB = 16 };

extern const uint8_t trap_stubs[], trap_caught[];
extern uint64_t gdt_tss[2];
void trap_dispatch(struct trap_frame *frame);
void user_enter(void (*entry)(uint64_t arg), void *stack, uint64_t arg,
                uint64_t rflags);

/* Stack pointer of the trap_try under way, 0: none; trap.S keeps it. */
uint64_t trap_catch;

struct trap_frame trap_last;

static struct gate idt[256] __attribute__((aligned(16)));
static trap_handler *handlers[256];
static struct tss tss;
static uint8_t trap_stack[4096] __attribute__((aligned(16)));
static uint8_t user_stack[4096] __attribute__((aligned(16)));

static void gate_set(unsigned vector, uint8_t attr)
{
    uint64_t offset = (uint64_t)trap_stubs + vector * STUB;

    idt[vector] = (struct gate){
        .offset0 = offset & 0xffff,
        .selector = SEL_CODE64,
        .attr = attr,
        .offset1 = offset >> 16 & 0xffff,
        .offset2 = offset >> 32,
    };
}

void trap_load(void)
{
    struct table table = {sizeof(idt) - 1, (uint64_t)idt};

    __asm__ volatile("lidt %0" : : "m"(table));
}

void trap_init(void)
{
    uint64_t base = (uint64_t)&tss;

    for (unsigned i = 0; i < EXCEPTIONS; i++)
        gate_set(i, i == TRAP_BP ? GATE_USER : GATE_INTERRUPT);
    trap_load();
    tss.rsp[0] = (uint64_t)(trap_stack + sizeof(trap_stack));
    tss.io_map = sizeof(tss);
    gdt_tss[0] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ULL << 40 |
                 (base >> 24 & 0xff) << 56;
    gdt_tss[1] = base >> 32;
    __asm__ volatile("ltr %0" : : "r"((uint16_t)SEL_TSS));
}

void trap_set(uint8_t vector, trap_handler *handler)
{
    handlers[vector] = handler;
    gate_set(vector, vector == TRAP_BP ? GATE_USER : GATE_INTERRUPT);
}

static _Noreturn void trap_unexpected(const struct trap_frame *f)
{
    report(false, "exception %u error 0x%lx cr2 0x%lx", (unsigned)f->vector,
           f->error, read_cr2());
    print("rip %lx cs %lx flags %lx rsp %lx\n", f->rip, f->cs, f->rflags,
          f->rsp);
    print("rax %lx rbx %lx rcx %lx rdx %lx\n", f->rax, f->rbx, f->rcx, f->rdx);
    print("rsi %lx rdi %lx rbp %lx\n", f->rsi, f->rdi, f->rbp);
    report_finish();
}

void trap_dispatch(struct trap_frame *frame)
{
    if (handlers[frame->vector]) {
        handlers[frame->vector](frame);
        return;
    }
    if (!trap_catch || frame->vector >= EXCEPTIONS)
        trap_unexpected(frame);
    trap_last = *frame;
    frame->rip = (uint64_t)trap_caught;
    frame->cs = SEL_CODE64;
    frame->rflags = 2;
    frame->rsp = trap_catch;
    frame->ss = SEL_DATA;
    frame->rax = frame->vector;
}

struct user_call {
    void (*entry)(uint64_t arg);
    uint64_t arg, flags;
};

static void user_call(void *arg)
{
    const struct user_call *call = arg;

    user_enter(call->entry, user_stack + sizeof(user_stack) - 8, call->arg,
               call->flags | 2);
}

int user_run(void (*entry)(uint64_t arg), uint64_t arg, uint64_t flags)
{
    struct user_call call = {entry, arg, flags};

    return trap_try(user_call, &call);
}
