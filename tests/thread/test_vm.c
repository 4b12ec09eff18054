/*
 * test_vm.c - VMs under the thread sanitizer: start, suspend, look, resume,
 * stop, with vCPUs that spin, sleep and do I/O. Plain, as Criterion does not
 * start there.
 */
#include "fake/guest.h"

#include "devices/loop.h"
#include "vcpu/vcpu.h"

#include <stdio.h>
#include <stdlib.h>

enum { VMS = 3, CPUS = 4, ROUNDS = 50 };

static const struct ax_fake_step spin[] = {
    {.op = AX_FAKE_SPIN},
    {.op = AX_FAKE_LOOP, .target = AX_FAKE_ENTRY},
};
static const struct ax_fake_step sleep_forever[] = {
    {.op = AX_FAKE_SLEEP},
    {.op = AX_FAKE_LOOP, .target = AX_FAKE_ENTRY},
};
static const struct ax_fake_step busy[] = {
    {.op = AX_FAKE_START, .target = AX_FAKE_ENTRY},
    {.exit = {.kind = AX_EXIT_IO_WRITE,
              .access = {.addr = 0x3f8,
                         .data = 'x',
                         .width = 1,
                         .write = true,
                         .space = AX_SPACE_PORT}}},
    {.exit = {.kind = AX_EXIT_IO_READ,
              .access = {.addr = 0x71, .width = 1, .space = AX_SPACE_PORT}}},
    {.op = AX_FAKE_LOOP, .target = AX_FAKE_ENTRY},
};

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "FAIL: %s\n", what);
    exit(1);
}

int main(void)
{
    struct ax_fake_guest guests[VMS];
    struct ax_loop *loop;

    need(!ax_loop_create(&loop), "loop");
    ax_fake_guest_create(&guests[0], loop, "spin", CPUS, spin, 2);
    ax_fake_guest_create(&guests[1], loop, "sleep", CPUS, sleep_forever, 2);
    ax_fake_guest_create(&guests[2], loop, "busy", CPUS, busy, 4);
    for (int i = 0; i < VMS; i++)
        need(!ax_vm_start(guests[i].vm), "start");
    for (int round = 0; round < ROUNDS; round++) {
        struct ax_vm *vm = guests[round % VMS].vm;

        need(!ax_vm_suspend(vm), "suspend");
        for (unsigned i = 0; i < CPUS; i++)
            need(ax_vcpu_state(ax_vm_vcpu(vm, i)) == AX_VCPU_BLOCKED,
                 "a suspended vCPU is blocked");
        need(!ax_vm_resume(vm), "resume");
    }
    for (int i = 0; i < VMS; i++) {
        need(!ax_vm_force_stop(guests[i].vm), "stop");
        ax_loop_run(loop);
    }
    for (int i = 0; i < VMS; i++)
        need(ax_vm_state(guests[i].vm) == AX_VM_STOPPED, "stopped");
    for (int i = 0; i < VMS; i++)
        ax_fake_guest_destroy(&guests[i]);
    need(ax_fake_alive() == 0, "no vCPU left");
    ax_loop_destroy(loop);
    puts("PASS");
    return 0;
}
