/*
 * gdb.c - how fast a guest is debugged. Prints one line per figure, "NAME
 * MEDIAN_NS": a single step of a bare loop around KVM_RUN as the floor, one
 * through the stub; a port access of a guest with nobody attached and with a
 * debugger that has let it go; 16 MiB of memory that cannot be packed, in
 * packets of digits ("m") and of bytes ("x").
 *
 * Not a part of the product and not a test: scripts/bench.sh runs it.
 */
#include "debug/gdb.h"
#include "backend/backend.h"
#include "control/server.h"
#include "devices/loop.h"
#include "log.h"
#include "memory/memory.h"
#include "vcpu/vcpu.h"
#include "vmm/fleet.h"
#include "vmm/image.h"

#include "measure.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    STEPS = 10000,
    ROUNDS = 5,
    LOAD = 0x1000,
    RAM_BYTES = 1 << 20,
    READ_AT = 0x100000,
    READ_BYTES = 16 << 20,
    CHUNK = 8000, /* of memory, in a packet */
    ACCESS_NS = 300000000,
};

static const uint8_t spin[] = {0x40, 0xeb, 0xfd}; /* inc ax; jmp back */
/* mov dx, 0x80; out dx, al; jmp back to the out */
static const uint8_t flood[] = {0xba, 0x80, 0x00, 0xee, 0xeb, 0xfd};

/* ---- the floor ---- */

static void bench_bare(void)
{
    static uint64_t ns[ROUNDS];
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE |
                                               KVM_GUESTDBG_SINGLESTEP};
    struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES};
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = LOAD, .rflags = 2};
    uint8_t *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = ioctl(kvm, KVM_CREATE_VM, 0), vcpu;

    need(ram != MAP_FAILED && kvm >= 0 && vm >= 0, "/dev/kvm");
    memcpy(ram + LOAD, spin, sizeof(spin));
    slot.userspace_addr = (uintptr_t)ram;
    ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    ioctl(vcpu, KVM_GET_SREGS, &sregs);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    ioctl(vcpu, KVM_SET_SREGS, &sregs);
    ioctl(vcpu, KVM_SET_REGS, &regs);
    ioctl(vcpu, KVM_SET_GUEST_DEBUG, &debug);
    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint64_t start = now_ns();

        for (unsigned j = 0; j < STEPS; j++)
            need(!ioctl(vcpu, KVM_RUN, NULL), "a bare step");
        ns[i] = (now_ns() - start) / STEPS;
    }
    print_median("bare-step", ns, ROUNDS);
    close(vcpu);
    close(vm);
    close(kvm);
    munmap(ram, RAM_BYTES);
}

/* ---- the debugger ---- */

struct debugger {
    int fd;
    char in[1 << 16];
    size_t start, end;
};

static char next_char(struct debugger *d)
{
    if (d->start == d->end) {
        const ssize_t n = read(d->fd, d->in, sizeof(d->in));

        need(n > 0, "the stub has gone");
        d->start = 0;
        d->end = (size_t)n;
    }
    return d->in[d->start++];
}

/* Of the reply only the first character counts, and how long it is. */
static size_t ask(struct debugger *d, const char *data, char *first)
{
    char packet[256];
    unsigned sum = 0;
    size_t len = 0;
    int size;

    for (const char *at = data; *at; at++)
        sum += (uint8_t)*at;
    size = snprintf(packet, sizeof(packet), "$%s#%02x", data, sum & 0xff);
    need(write(d->fd, packet, (size_t)size) == size, "write");
    while (next_char(d) != '$')
        ;
    for (char c; (c = next_char(d)) != '#'; len++) {
        if (!len)
            *first = c;
    }
    next_char(d);
    next_char(d);
    return len;
}

static void ask_for(struct debugger *d, const char *data, char wanted)
{
    char first = '\0';

    ask(d, data, &first);
    need(first == wanted, data);
}

static void connect_to(struct debugger *d, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
    d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(!connect(d->fd, (struct sockaddr *)&addr, sizeof(addr)), "connect");
    d->start = d->end = 0;
    ask_for(d, "qSupported", 'P');
    ask_for(d, "QStartNoAckMode", 'O');
    ask_for(d, "?", 'T');
}

static void bench_steps(struct debugger *d)
{
    static uint64_t ns[ROUNDS];

    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint64_t start = now_ns();

        for (unsigned j = 0; j < STEPS; j++)
            ask_for(d, "vCont;s:1", 'T');
        ns[i] = (now_ns() - start) / STEPS;
    }
    print_median("stepi", ns, ROUNDS);
}

static void bench_memory(struct debugger *d, const char *name, char how)
{
    static uint64_t ns[ROUNDS];
    char data[64], first;

    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint64_t start = now_ns();

        for (uint64_t at = 0; at < READ_BYTES; at += CHUNK) {
            snprintf(data, sizeof(data), "%c%lx,%x", how,
                     (unsigned long)(READ_AT + at), (unsigned)CHUNK);
            need(ask(d, data, &first) >= CHUNK, "memory");
        }
        ns[i] = now_ns() - start;
    }
    print_median(name, ns, ROUNDS);
}

/* ---- the guest ---- */

static void report(void *ctx, enum ax_severity severity, const char *text)
{
    fputs(text, stderr);
}

static struct ax_vm *add(struct ax_fleet *fleet, const struct ax_source *kernel)
{
    static const char text[] = "[base]\nmemory = \"32M\"\n"
                               "[kernel]\nkernel_path = \"built-in\"\n"
                               "kernel_load_addr = 0x1000\n"
                               "entry_point = 0x1000\nentry_mode = \"real\"\n"
                               "[console]\nmode = \"none\"\n";
    struct ax_config_source src = {.file = "(bench)",
                                   .builtin = true,
                                   .text = text,
                                   .size = sizeof(text) - 1,
                                   .report = report};
    struct ax_config *conf;
    enum ax_blame blame;
    struct ax_vm *vm;

    need(!ax_config_load(&src, &conf), "configuration");
    need(!ax_fleet_add(fleet, conf, kernel, &vm, &blame), "a VM");
    return vm;
}

/* What no run-length encoding makes shorter. */
static void fill(struct ax_vm *vm)
{
    uint8_t *at = ax_memory_at(ax_vm_memory(vm), READ_AT, READ_BYTES + CHUNK,
                               AX_PROT_WRITE);

    need(at, "memory");
    for (size_t i = 0; i < READ_BYTES + CHUNK; i++)
        at[i] = (uint8_t)rand();
}

/* How long an access takes, by those that there are in some time. */
static uint64_t access_ns(struct ax_vm *vm)
{
    const struct ax_vcpu *vcpu = ax_vm_vcpu(vm, 0);
    const uint64_t start = now_ns();
    const uint64_t before = ax_vcpu_exits(vcpu, AX_EXIT_IO_WRITE);
    uint64_t after;

    while (now_ns() - start < ACCESS_NS)
        usleep(1000);
    after = ax_vcpu_exits(vcpu, AX_EXIT_IO_WRITE);
    return (now_ns() - start) / (after - before + 1);
}

/* One after the other, so that a noisy host is noisy for both. */
static void bench_accesses(struct debugger *d, struct ax_vm *vm,
                           const char *path)
{
    static uint64_t alone[ROUNDS], attached[ROUNDS];

    for (unsigned i = 0; i < ROUNDS; i++) {
        alone[i] = access_ns(vm);
        connect_to(d, path);
        need(write(d->fd, "$vCont;c#a8", 11) == 11, "continue");
        usleep(1000);
        attached[i] = access_ns(vm);
        close(d->fd);
        usleep(10000);
    }
    print_median("access-alone", alone, ROUNDS);
    print_median("access-attached", attached, ROUNDS);
}

struct bench {
    struct ax_vm *spins, *floods;
    char spins_path[64], floods_path[64];
    struct ax_wake *done;
};

static void *bench_main(void *arg)
{
    static struct debugger d, held;
    struct bench *b = arg;

    /* The other guest stands meanwhile: on two CPUs, it would take one. */
    connect_to(&held, b->floods_path);
    connect_to(&d, b->spins_path);
    bench_steps(&d);
    bench_memory(&d, "memory-digits", 'm');
    bench_memory(&d, "memory-bytes", 'x');
    close(d.fd);
    close(held.fd);
    bench_accesses(&d, b->floods, b->floods_path);
    ax_loop_wake(b->done);
    return NULL;
}

static void stop_loop(void *ctx)
{
    ax_loop_stop(ctx);
}

static struct ax_gdb *open_stub(const struct ax_control_env *control,
                                struct ax_vm *vm, const char *path)
{
    struct ax_gdb_env env = {.vm = vm, .control = control};
    struct ax_gdb *gdb;
    char spec[80], why[400];

    snprintf(spec, sizeof(spec), "unix:%s", path);
    need(!ax_gdb_create(&env, spec, &gdb, why, sizeof(why)), "a stub");
    return gdb;
}

static void quit_nothing(void *ctx)
{
}

int main(void)
{
    struct ax_fleet_env env = {.ops = &ax_kvm};
    struct ax_control_env control = {.quit = quit_nothing};
    struct ax_source spin_source, flood_source;
    struct ax_gdb *spin_stub, *flood_stub;
    struct bench b;
    pthread_t thread;

    bench_bare();
    need(!ax_log_create("/dev/null", AX_LOG_OFF, &env.log), "log");
    need(!ax_loop_create(&env.loop), "loop");
    need(!ax_fleet_create(&env, &control.fleet), "fleet");
    control.loop = env.loop;
    control.log = env.log;
    ax_source_memory("spin", spin, sizeof(spin), &spin_source);
    ax_source_memory("flood", flood, sizeof(flood), &flood_source);
    b.spins = add(control.fleet, &spin_source);
    b.floods = add(control.fleet, &flood_source);
    fill(b.spins);
    snprintf(b.spins_path, sizeof(b.spins_path), "/tmp/axvm-bench-%d.spin",
             (int)getpid());
    snprintf(b.floods_path, sizeof(b.floods_path), "/tmp/axvm-bench-%d.flood",
             (int)getpid());
    spin_stub = open_stub(&control, b.spins, b.spins_path);
    flood_stub = open_stub(&control, b.floods, b.floods_path);
    need(!ax_vm_start(b.spins) && !ax_vm_start(b.floods), "start");
    need(!ax_wake_create(env.loop, stop_loop, env.loop, &b.done), "wake");
    need(!pthread_create(&thread, NULL, bench_main, &b), "a thread");
    ax_loop_run(env.loop);
    pthread_join(thread, NULL);
    ax_wake_destroy(b.done);
    ax_gdb_destroy(spin_stub);
    ax_gdb_destroy(flood_stub);
    ax_fleet_destroy(control.fleet);
    ax_loop_destroy(env.loop);
    ax_log_destroy(env.log);
    return 0;
}
