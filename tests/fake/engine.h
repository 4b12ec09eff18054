/*
 * engine.h - an engine without a CPU: replays scripted exits.
 *
 * Its machine language is struct ax_fake_step. A program is an array of steps
 * in guest memory; the instruction pointer (AX_FAKE_PC) holds the address of
 * the next one. So programs are loaded, run and isolated like real ones. A vCPU
 * whose pointer nobody has set sleeps as if it waited for its SIPI.
 */
#ifndef AX_TESTS_FAKE_ENGINE_H
#define AX_TESTS_FAKE_ENGINE_H

#include "backend/backend.h"

enum ax_fake_op {
    AX_FAKE_EXIT,  /* come out with .exit; what IO_READ is answered goes into
                      register 0 with the next entry */
    AX_FAKE_SPIN,  /* stay inside until kicked, then go on with the next step */
    AX_FAKE_SLEEP, /* the same, but blocked as in HLT */
    AX_FAKE_NMI,   /* blocked as in HLT until an NMI comes: a kick comes out,
                      and the next entry waits on */
    AX_FAKE_LOOP,  /* back to the step at .target */
    AX_FAKE_ERROR, /* vcpu_run returns .target as an error code */
    AX_FAKE_START, /* the other vCPUs begin at .target, as after a SIPI */
    AX_FAKE_ADD,   /* register .target grows by .exit.access.data */
    AX_FAKE_STORE, /* the byte at guest address .target: .exit.access.data */
    AX_FAKE_LOAD,  /* register 0: the byte at guest address .target */
    /* x86's breakpoint instruction, written over a step's first byte */
    AX_FAKE_BREAK = 0xcc,
};

struct ax_fake_step {
    enum ax_fake_op op;
    bool echo; /* the access carries the last answer instead of its data */
    uint64_t target;
    struct ax_exit exit;
};

/* Register numbers: PC is 16 like AX_X86_RIP, so that one prepare serves. */
enum { AX_FAKE_PC = 16, AX_FAKE_REGS = 96 };

extern const struct ax_backend_ops ax_fake;

/* What irq_line was told last for a line; any thread. */
bool ax_fake_line(struct ax_engine_vm *vm, unsigned line);

/*
 * How often guest time was stopped and let go, a vCPU told that it goes, and an
 * NMI sent to it; any thread. The engine refuses what the contract forbids: to
 * stop time while a vCPU is inside vcpu_run, or twice (-EBUSY); to let it go
 * when it goes (-EINVAL); to run a vCPU while it stands, or one that was not
 * told yet (-EBUSY).
 */
unsigned ax_fake_time_stops(struct ax_engine_vm *vm);
unsigned ax_fake_time_goes(struct ax_engine_vm *vm);
unsigned ax_fake_vcpu_time_goes(struct ax_engine_vm *vm, unsigned id);
unsigned ax_fake_nmis(struct ax_engine_vm *vm, unsigned id);

/* The stopped_ns that came with the last vcpu_time_go, 0 before it. */
uint64_t ax_fake_stopped_ns(struct ax_engine_vm *vm, unsigned id);

/* Breakpoint instructions that were the guest's own: its exceptions. */
unsigned ax_fake_traps(struct ax_engine_vm *vm, unsigned id);

/* How often vcpu_debug was called. */
unsigned ax_fake_debugs(struct ax_engine_vm *vm, unsigned id);

/* vCPUs that exist, over all VMs: 0 when nothing leaked. */
unsigned ax_fake_alive(void);

#endif
