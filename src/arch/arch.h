/*
 * arch.h - what an architecture contributes: its memory map, its board, its
 * boot protocols. Types only.
 *
 * An architecture's machine.c is pure: it computes plans and writes boot data
 * into guest memory, touches no engine, and is built and tested on every host.
 */
#ifndef AX_ARCH_ARCH_H
#define AX_ARCH_ARCH_H

#include "backend/backend.h"
#include "base.h"
#include "memory/memory.h"

#include <stdio.h>

struct ax_config;
struct ax_log;
struct ax_source;

enum {
    AX_PLAN_REGIONS = AX_MEMORY_REGIONS,
    AX_PLAN_DEVICES = 48,
    AX_START_REGS = 64,
    AX_IRQ_NONE = ~0U,
    AX_CORE_REGS = 40,   /* words */
    AX_CORE_STATE = 512, /* bytes */
    AX_CORE_PAGING = 4,  /* words */
};

/* One range of guest memory to create. Ascending, disjoint, page aligned. */
struct ax_plan_region {
    ax_gpa gpa;
    uint64_t size;
    enum ax_region_kind kind;
};

struct ax_plan_device {
    const char *type; /* a name of devices/registry.h */
    enum ax_space space;
    uint64_t base;
    unsigned irq;  /* GSI, or AX_IRQ_NONE */
    unsigned slot; /* on the PCI bus; 0: it is not there */
    const uint64_t *cfg;
    unsigned cfg_count;
    const void *conf; /* as ax_device_env's; borrowed */
};

/* The VM before it exists: everything that vm.c has to build. */
struct ax_plan {
    const struct ax_config *conf; /* borrowed */
    /*
     * The kernel instead of conf's file (the demo guest, tests), borrowed.
     * plan leaves it NULL; whoever has one sets it before boot.
     */
    const struct ax_source *kernel_override;
    unsigned region_count;
    struct ax_plan_region regions[AX_PLAN_REGIONS];
    unsigned device_count;
    struct ax_plan_device devices[AX_PLAN_DEVICES];
    unsigned cpus;
    uint64_t cpu_ids[AX_CPUS_MAX]; /* hardware ids, by vCPU */
    enum ax_irqchip irqchip;
    bool pci;       /* there is a bus, */
    ax_gpa pci_mem; /* with windows as struct ax_pci has them */
    uint64_t pci_io;
};

/* The boot CPU's registers at its first instruction; others stay at reset. */
struct ax_start {
    unsigned count;
    struct {
        unsigned reg; /* arch/<a>/regs.h */
        uint64_t val;
    } regs[AX_START_REGS];
    char what[200]; /* one line: what was detected and how it is entered */
};

/* Virtual addresses in a row that the guest maps to a row of physical ones. */
struct ax_mapping {
    uint64_t va;
    ax_gpa gpa; /* guest memory, a device or nothing at all */
    uint64_t size;
    unsigned prot; /* AX_PROT_* */
    bool user;     /* for unprivileged code too */
};

/* What a core file says of one vCPU. */
struct ax_core_cpu {
    uint64_t regs[AX_CORE_REGS];
    uint8_t state[AX_CORE_STATE];
    bool paged;                      /* its addresses are virtual */
    uint64_t paging[AX_CORE_PAGING]; /* the architecture's own, for walk */
};

/* Core files (vmm/core.h) of 64-bit words, least significant byte first. */
struct ax_core_ops {
    unsigned machine;       /* EM_* of elf.h */
    unsigned reg_count;     /* of Linux's elf_gregset_t */
    const char *state_name; /* of a second note per vCPU */
    unsigned state_size;    /* its bytes */

    /* On the vCPU's thread. 0 or -errno of reading a register. */
    int (*cpu)(const struct ax_backend_ops *ops, struct ax_engine_vcpu *vcpu,
               struct ax_core_cpu *cpu);

    /*
     * Tells every page that paging maps, upper half first, ascending in each.
     * Tables are the guest's word: whatever they say, it ends. Any thread,
     * while the guest stands still. 0, -E2BIG: there was more than a sane guest
     * has and the rest was not told, -ECANCELED: fn did not want more.
     */
    int (*walk)(const struct ax_memory *mem,
                const uint64_t paging[AX_CORE_PAGING],
                bool (*fn)(void *ctx, const struct ax_mapping *page),
                void *ctx);
};

/* How a vCPU sees memory, and where it stands. */
struct ax_gdb_view {
    uint64_t pc;                     /* linear address of its instruction */
    uint64_t pc_base;                /* pc less the register's value */
    uint64_t paging[AX_CORE_PAGING]; /* for translate, and walk of core */
};

/*
 * What a debugger is told of a CPU (debug/gdb.c). Registers have the numbers of
 * the target description: 0 to reg_count - 1, those of the "g" packet first.
 * Values are in the guest's byte order.
 */
struct ax_gdb_ops {
    const char *name;        /* "x86-64": for "monitor arch" */
    const char *description; /* target.xml, complete */
    unsigned reg_count, general_count;
    unsigned pc;               /* the register's number */
    const unsigned *expedited; /* told with every stop; reg_count ends it */
    uint8_t breakpoint[4];     /* the instruction */
    unsigned breakpoint_size;

    unsigned (*reg_size)(unsigned reg); /* bytes, 0: no such register */
    const char *(*reg_name)(unsigned reg);

    /*
     * On the vCPU's thread. buf has reg_size bytes. -EINVAL: the engine does
     * not have it, or refuses the value; else -errno of the engine.
     */
    int (*reg_get)(const struct ax_backend_ops *ops,
                   struct ax_engine_vcpu *vcpu, unsigned reg, uint8_t *buf);
    int (*reg_set)(const struct ax_backend_ops *ops,
                   struct ax_engine_vcpu *vcpu, unsigned reg,
                   const uint8_t *buf);
    int (*view)(const struct ax_backend_ops *ops, struct ax_engine_vcpu *vcpu,
                struct ax_gdb_view *view);

    /* Any thread while the guest stands; as ax_x86_translate. */
    bool (*translate)(const struct ax_memory *mem,
                      const uint64_t paging[AX_CORE_PAGING], uint64_t va,
                      ax_gpa *gpa, struct ax_mapping *page);

    /* One line: "64-bit mode, CPL 0, halted". On the vCPU's thread. */
    void (*describe)(const struct ax_backend_ops *ops,
                     struct ax_engine_vcpu *vcpu, char *buf, size_t size);

    /*
     * "monitor info TOPIC": the topics, NULL-terminated, and their text. The
     * topic "tlb" also with an address, as "tlb 0x1000". On the vCPU's thread.
     * 0, -EOPNOTSUPP: this VM has nothing like it, or -errno.
     */
    const char *const *topics;
    int (*info)(const char *topic, const struct ax_backend_ops *ops,
                struct ax_engine_vcpu *vcpu, const struct ax_memory *mem,
                FILE *to);

    /*
     * How far a Linux kernel has moved from where it was linked to (KASLR), by
     * its mappings. -ENOENT: there is none, or not yet.
     */
    int (*kaslr)(const struct ax_memory *mem,
                 const uint64_t paging[AX_CORE_PAGING], uint64_t *slide);
};

struct ax_arch {
    const char *name; /* "x86_64", "aarch64", "riscv64" */

    /*
     * conf -> plan. Pure. Problems are logged with file:line:column and give
     * -EINVAL; substitutions (see docs/guest-toml.md) are logged as warnings.
     */
    int (*plan)(const struct ax_config *conf, struct ax_log *log,
                struct ax_plan *plan);

    /*
     * Loads kernel, initrd and boot data into mem and says how the boot CPU
     * starts. Images are untrusted. -ENOEXEC: an image is not what it should
     * be, -EFBIG/-ENOSPC: it does not fit, else -errno of reading it; all are
     * logged. progress (may be NULL) is told as images load.
     */
    int (*boot)(const struct ax_plan *plan, struct ax_log *log,
                struct ax_memory *mem, struct ax_start *start,
                void (*progress)(void *ctx, const char *what, uint64_t done,
                                 uint64_t total),
                void *progress_ctx);

    /*
     * Crash report of a stopped vCPU: registers, mode and the disassembled
     * instruction, a line at a time. bytes: instruction bytes the engine gave,
     * may be 0 of them. Called on the vCPU's thread.
     */
    void (*dump)(const struct ax_backend_ops *ops, struct ax_engine_vcpu *vcpu,
                 const struct ax_memory *mem, const uint8_t *bytes,
                 unsigned count, void (*line)(void *ctx, const char *text),
                 void *ctx);

    const struct ax_core_ops *core; /* NULL: no core files */

    /* Ways to show it to a debugger, NULL-terminated, the usual one first;
     * NULL: none. */
    const struct ax_gdb_ops *const *gdb;
};

extern const struct ax_arch ax_arch_x86_64;

/* By name, NULL if this build knows none such. Any thread. */
const struct ax_arch *ax_arch_find(const char *name);

/* The architecture of the host this was built for. Never NULL. */
const char *ax_arch_host(void);

#endif
