/*
 * bareloop.c - the least that runs a guest on KVM: what axvm-run is measured
 * against. One vCPU, RAM at 0, a flat 32-bit image at 1 MiB entered at its
 * first byte; writes COM1 to standard output byte by byte, ends at port 0xf4.
 *
 * Not a part of the product and not a test: scripts/bench.sh runs it.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOAD = 0x100000, COM1 = 0x3f8, DEBUG_EXIT = 0xf4 };

struct counts {
    unsigned long port, mmio, other;
};

static int call(int fd, unsigned long request, void *arg)
{
    int ret = ioctl(fd, request, arg);

    if (ret < 0)
        err(1, "ioctl %#lx", request);
    return ret;
}

static void load(const char *path, uint8_t *ram, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, ram + LOAD, size - LOAD) <= 0)
        err(1, "%s", path);
    close(fd);
}

/* Flat 4 GiB segments, protection on, paging off. */
static void enter_protected(int vcpu)
{
    struct kvm_segment code = {
        .limit = UINT32_MAX,
        .selector = 0x08,
        .type = 11,
        .present = 1,
        .s = 1,
        .db = 1,
        .g = 1,
    };
    struct kvm_segment data = code;
    struct kvm_regs regs = {.rip = LOAD, .rflags = 2};
    struct kvm_sregs sregs;

    data.selector = 0x10;
    data.type = 3;
    call(vcpu, KVM_GET_SREGS, &sregs);
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cr0 |= 1;
    call(vcpu, KVM_SET_SREGS, &sregs);
    call(vcpu, KVM_SET_REGS, &regs);
}

/* Returns the status that the guest asked for. */
static int run(int vcpu, struct kvm_run *run, struct counts *counts)
{
    for (;;) {
        const uint8_t *data = (const uint8_t *)run + run->io.data_offset;

        call(vcpu, KVM_RUN, NULL);
        switch (run->exit_reason) {
        case KVM_EXIT_IO:
            counts->port++;
            data = (const uint8_t *)run + run->io.data_offset;
            if (run->io.port == COM1 && write(1, data, 1) != 1)
                err(1, "standard output");
            if (run->io.port == DEBUG_EXIT)
                return *data << 1 | 1;
            break;
        case KVM_EXIT_MMIO:
            counts->mmio++;
            break;
        default:
            counts->other++;
            warnx("exit reason %u", run->exit_reason);
            return 2;
        }
    }
}

int main(int argc, char **argv)
{
    size_t size = argc > 2 ? strtoul(argv[2], NULL, 0) << 20 : 0;
    struct kvm_userspace_memory_region region = {.memory_size = size};
    struct counts counts = {0};
    struct kvm_run *state;
    int kvm, vm, vcpu, status;
    size_t state_size;
    void *ram;

    if (size <= LOAD)
        errx(2, "usage: bareloop IMAGE MIB [--count]");
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        err(1, "/dev/kvm");
    vm = call(kvm, KVM_CREATE_VM, NULL);
    ram = mmap(NULL, size, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ram == MAP_FAILED)
        err(1, "guest memory");
    load(argv[1], ram, size);
    region.userspace_addr = (uintptr_t)ram;
    call(vm, KVM_SET_USER_MEMORY_REGION, &region);
    vcpu = call(vm, KVM_CREATE_VCPU, NULL);
    state_size = (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
    state = mmap(NULL, state_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (state == MAP_FAILED)
        err(1, "kvm_run");
    enter_protected(vcpu);
    status = run(vcpu, state, &counts);
    if (argc > 3)
        fprintf(stderr, "port %lu, mmio %lu, other %lu\n", counts.port,
                counts.mmio, counts.other);
    return status;
}
