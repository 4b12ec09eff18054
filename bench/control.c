/*
 * control.c - how fast a guest is stopped and asked about. Prints one line per
 * figure, "NAME MEDIAN_NS": a kick of a bare loop around KVM_RUN, from request
 * to acknowledgement, as the floor; suspend and resume of axvm-run's own VM;
 * `list` over the control socket while 8 vCPUs do nothing but exit.
 *
 * Not a part of the product and not a test: scripts/bench.sh runs it.
 */
#include "backend/backend.h"
#include "control/place.h"
#include "control/server.h"
#include "devices/loop.h"
#include "vmm/fleet.h"
#include "vmm/image.h"

#include "measure.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROUNDS = 2000, FLOODERS = 8, LOAD = 0x1000, RAM_BYTES = 1 << 20 };

static const uint8_t spin[] = {0xeb, 0xfe}; /* jmp . */
/* mov dx, 0x80; out dx, al; jmp back to the out */
static const uint8_t flood[] = {0xba, 0x80, 0x00, 0xee, 0xeb, 0xfd};

/* ---- the floor ---- */

struct bare {
    int vcpu;
    struct kvm_run *run;
    sem_t out, in; /* the vCPU has come out; it may go in */
    atomic_bool stop;
};

static void on_kick(int signal)
{
}

static void *bare_main(void *arg)
{
    struct bare *bare = arg;

    while (!atomic_load(&bare->stop)) {
        ioctl(bare->vcpu, KVM_RUN, NULL);
        bare->run->immediate_exit = 0;
        sem_post(&bare->out);
        sem_wait(&bare->in);
    }
    return NULL;
}

static void bare_create(struct bare *bare, int *kvm, int *vm)
{
    struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES};
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = LOAD, .rflags = 2};
    uint8_t *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int size;

    *kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    *vm = ioctl(*kvm, KVM_CREATE_VM, 0);
    need(ram != MAP_FAILED && *kvm >= 0 && *vm >= 0, "/dev/kvm");
    memcpy(ram + LOAD, spin, sizeof(spin));
    slot.userspace_addr = (uintptr_t)ram;
    ioctl(*vm, KVM_SET_USER_MEMORY_REGION, &slot);
    bare->vcpu = ioctl(*vm, KVM_CREATE_VCPU, 0);
    size = ioctl(*kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    bare->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED,
                     bare->vcpu, 0);
    need(bare->run != MAP_FAILED, "kvm_run");
    ioctl(bare->vcpu, KVM_GET_SREGS, &sregs);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    ioctl(bare->vcpu, KVM_SET_SREGS, &sregs);
    ioctl(bare->vcpu, KVM_SET_REGS, &regs);
    sem_init(&bare->out, 0, 0);
    sem_init(&bare->in, 0, 0);
}

static void bench_bare(void)
{
    static uint64_t ns[ROUNDS];
    struct sigaction action = {.sa_handler = on_kick};
    struct bare bare = {0};
    pthread_t thread;
    int kvm, vm;

    sigaction(SIGUSR1, &action, NULL);
    bare_create(&bare, &kvm, &vm);
    need(!pthread_create(&thread, NULL, bare_main, &bare), "a thread");
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start;

        usleep(100); /* it is inside the guest by now */
        start = now_ns();
        if (i == ROUNDS - 1)
            atomic_store(&bare.stop, true);
        bare.run->immediate_exit = 1;
        pthread_kill(thread, SIGUSR1);
        sem_wait(&bare.out);
        ns[i] = now_ns() - start;
        sem_post(&bare.in);
    }
    pthread_join(thread, NULL);
    print_median("bare-kick", ns, ROUNDS);
    close(bare.vcpu);
    close(vm);
    close(kvm);
}

/* ---- ours ---- */

static void report(void *ctx, enum ax_severity severity, const char *text)
{
    fputs(text, stderr);
}

static struct ax_vm *add(struct ax_fleet *fleet, const struct ax_source *kernel)
{
    static const char text[] = "[base]\nmemory = \"2M\"\n"
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
    need(!ax_vm_start(vm), "start");
    return vm;
}

static void bench_suspend(struct ax_fleet *fleet)
{
    static uint64_t suspend[ROUNDS], resume[ROUNDS];
    struct ax_source kernel;
    struct ax_vm *vm;

    ax_source_memory("spin", spin, sizeof(spin), &kernel);
    vm = add(fleet, &kernel);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t start;

        usleep(100);
        start = now_ns();
        need(!ax_vm_suspend(vm), "suspend");
        suspend[i] = now_ns() - start;
        start = now_ns();
        need(!ax_vm_resume(vm), "resume");
        resume[i] = now_ns() - start;
    }
    print_median("suspend", suspend, ROUNDS);
    print_median("resume", resume, ROUNDS);
    ax_vm_force_stop(vm);
}

struct asker {
    const char *path;
    struct ax_wake *done;
};

/* One line; how it is cut does not matter. */
static void read_line(int fd)
{
    char bytes[65536];
    ssize_t n;

    do {
        n = read(fd, bytes, sizeof(bytes));
        need(n > 0, "an answer");
    } while (bytes[n - 1] != '\n');
}

static void *asker_main(void *arg)
{
    static const char ask[] = "{\"command\":\"list\"}\n";
    static uint64_t ns[ROUNDS];
    struct asker *asker = arg;
    int fd = ax_control_connect(asker->path);

    need(fd >= 0 && !fcntl(fd, F_SETFL, 0), "connect"); /* it shall block */
    read_line(fd);
    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        uint64_t start = now_ns();

        need(write(fd, ask, sizeof(ask) - 1) > 0, "a request");
        read_line(fd);
        ns[i] = now_ns() - start;
    }
    close(fd);
    print_median("list-in-flood", ns, ROUNDS / 4);
    printf("list-in-flood-99 %lu\n", (unsigned long)ns[ROUNDS / 4 * 99 / 100]);
    ax_loop_wake(asker->done);
    return NULL;
}

static void stop_loop(void *ctx)
{
    ax_loop_stop(ctx);
}

static void bench_list(struct ax_loop *loop, struct ax_fleet *fleet)
{
    struct ax_control_env env = {.fleet = fleet, .loop = loop};
    struct asker asker = {0};
    struct ax_control *control;
    struct ax_source kernel;
    char path[64];
    pthread_t thread;

    snprintf(path, sizeof(path), "/tmp/axvm-bench-%d.sock", (int)getpid());
    asker.path = path;
    ax_source_memory("flood", flood, sizeof(flood), &kernel);
    for (int i = 0; i < FLOODERS; i++)
        add(fleet, &kernel);
    need(!ax_control_create(&env, path, &control), "control socket");
    need(!ax_wake_create(loop, stop_loop, loop, &asker.done), "wake");
    need(!pthread_create(&thread, NULL, asker_main, &asker), "a thread");
    ax_loop_run(loop);
    pthread_join(thread, NULL);
    ax_wake_destroy(asker.done);
    ax_control_destroy(control);
}

int main(void)
{
    struct ax_fleet_env env = {.ops = &ax_kvm};
    struct ax_fleet *fleet;

    bench_bare();
    need(!ax_loop_create(&env.loop), "loop");
    need(!ax_fleet_create(&env, &fleet), "fleet");
    bench_suspend(fleet);
    bench_list(env.loop, fleet);
    ax_fleet_destroy(fleet);
    ax_loop_destroy(env.loop);
    return 0;
}
