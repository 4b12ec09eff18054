/*
 * probe.c - what this host's KVM tells a debugger, found out on the bare API:
 * a line "MODE WHAT ANSWER" for each mode of the CPU (real, protected, long)
 * and each of step, exec (a breakpoint in the debug registers), soft (a
 * breakpoint instruction) and watch (a write that the debug registers look
 * for).
 *
 * ANSWER is "debug" for KVM_EXIT_DEBUG; "emulation" if KVM could not run the
 * instruction and stands at it; "guest" if it has become the guest's matter;
 * "nothing" if the guest ran past it. Status 77 where there is no KVM.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY = 0x10000, CODE = 0x1000, DATA = 0x2000, TABLES = 0x4000 };
enum { SECONDS = 20, NOP = 0x90, INT3 = 0xcc, HLT = 0xf4 };

enum mode { REAL, PROTECTED, LONG, MODES };
enum what { STEP, EXEC, SOFT, WATCH, WHATS };

static const char *const mode_names[] = {"real", "protected", "long"};
static const char *const what_names[] = {"step", "exec", "soft", "watch"};

/* A store to DATA. */
static const struct {
    unsigned size;
    uint8_t bytes[8];
} stores[] = {
    {3, {0xa3, 0x00, 0x20}},
    {5, {0xa3, 0x00, 0x20, 0x00, 0x00}},
    {7, {0x89, 0x04, 0x25, 0x00, 0x20, 0x00, 0x00}},
};

struct machine {
    int kvm, vm, vcpu;
    uint8_t *memory;
    struct kvm_run *run;
};

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return -1;
}

static int make(struct machine *m)
{
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY};
    long size;

    m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0UL);
    m->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->vm < 0 || m->memory == MAP_FAILED)
        return fail("a VM");
    region.userspace_addr = (uintptr_t)m->memory;
    if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return fail("its memory");
    m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0UL);
    size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0UL);
    if (m->vcpu < 0 || size < 0)
        return fail("a vCPU");
    m->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED,
                  m->vcpu, 0);
    return m->run == MAP_FAILED ? fail("its memory") : 0;
}

static void segments(struct kvm_sregs *sregs, enum mode mode)
{
    struct kvm_segment code = {.limit = 0xffffffff,
                               .selector = 0x08,
                               .type = 11,
                               .present = 1,
                               .s = 1,
                               .g = 1};
    struct kvm_segment data;

    code.l = mode == LONG;
    code.db = mode == PROTECTED;
    data = code;
    data.type = 3;
    data.selector = 0x10;
    data.l = 0;
    data.db = 1;
    sregs->cs = code;
    sregs->ds = sregs->es = sregs->ss = sregs->fs = sregs->gs = data;
    sregs->cr0 |= 1;
}

/* The first 2 MiB, one to one. */
static void paging(struct machine *m, struct kvm_sregs *sregs)
{
    static const uint64_t entries[] = {TABLES + 0x1003, TABLES + 0x2003, 0x83};

    for (unsigned i = 0; i < 3; i++)
        memcpy(m->memory + TABLES + i * 0x1000U, &entries[i], 8);
    sregs->cr3 = TABLES;
    sregs->cr4 |= 0x20;
    sregs->efer |= 0x500;
    sregs->cr0 |= 0x80000000;
}

static int enter(struct machine *m, enum mode mode)
{
    struct kvm_regs regs = {.rip = CODE, .rsp = DATA, .rflags = 2};
    struct kvm_sregs sregs;

    if (ioctl(m->vcpu, KVM_GET_SREGS, &sregs) < 0)
        return fail("registers");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (mode != REAL)
        segments(&sregs, mode);
    if (mode == LONG)
        paging(m, &sregs);
    if (ioctl(m->vcpu, KVM_SET_SREGS, &sregs) < 0 ||
        ioctl(m->vcpu, KVM_SET_REGS, &regs) < 0)
        return fail("registers");
    return 0;
}

/* A store, NOP, NOP, HLT; returns where the second instruction is. */
static uint64_t write_code(struct machine *m, enum mode mode, enum what what)
{
    unsigned size = stores[mode].size;
    uint8_t *at = m->memory + CODE;

    memcpy(at, stores[mode].bytes, size);
    at[size] = what == SOFT ? INT3 : NOP;
    at[size + 1] = NOP;
    at[size + 2] = HLT;
    return CODE + size;
}

static int ask(struct machine *m, enum what what, uint64_t second)
{
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE};

    switch (what) {
    case STEP:
        debug.control |= KVM_GUESTDBG_SINGLESTEP;
        break;
    case SOFT:
        debug.control |= KVM_GUESTDBG_USE_SW_BP;
        break;
    default: /* DR7: local, global, exact; four bytes written */
        debug.control |= KVM_GUESTDBG_USE_HW_BP;
        debug.arch.debugreg[0] = what == EXEC ? second : DATA;
        debug.arch.debugreg[7] = what == EXEC ? 0x703 : 0xd0703;
    }
    if (ioctl(m->vcpu, KVM_SET_GUEST_DEBUG, &debug) < 0)
        return fail("KVM_SET_GUEST_DEBUG");
    return 0;
}

static const char *answer(struct machine *m, uint64_t second)
{
    struct kvm_regs regs;

    if (ioctl(m->vcpu, KVM_RUN, 0UL) < 0 ||
        ioctl(m->vcpu, KVM_GET_REGS, &regs) < 0)
        return "guest";
    switch (m->run->exit_reason) {
    case KVM_EXIT_DEBUG:
        return "debug";
    case KVM_EXIT_INTERNAL_ERROR:
        return regs.rip == second ? "emulation" : "guest";
    case KVM_EXIT_HLT:
        return regs.rip > second && regs.rip <= second + 3 ? "nothing"
                                                           : "guest";
    default:
        return "guest";
    }
}

static void unmake(struct machine *m)
{
    close(m->vcpu);
    close(m->vm);
    munmap(m->memory, MEMORY);
}

static int probe(int kvm, enum mode mode, enum what what)
{
    struct machine m = {.kvm = kvm};
    uint64_t second;

    if (make(&m) || enter(&m, mode))
        return -1;
    second = write_code(&m, mode, what);
    if (ask(&m, what, second))
        return -1;
    /* A guest that has lost its way ends the process. */
    alarm(SECONDS);
    printf("%s %s %s\n", mode_names[mode], what_names[what],
           answer(&m, second));
    alarm(0);
    fflush(stdout);
    unmake(&m);
    return 0;
}

int main(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int status = 0;

    if (kvm < 0) {
        puts("SKIP: cannot open /dev/kvm");
        return 77;
    }
    for (enum mode mode = 0; mode < MODES; mode++)
        for (enum what what = 0; what < WHATS; what++)
            status |= probe(kvm, mode, what);
    close(kvm);
    return status ? EXIT_FAILURE : EXIT_SUCCESS;
}
