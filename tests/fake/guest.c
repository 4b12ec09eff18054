/*
 * guest.c - from steps to a VM.
 */
#include "fake/guest.h"

#include "devices/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char ax_fake_guest_base[128];

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fake guest: %s\n", what);
    abort();
}

static void guest_report(void *ctx, enum ax_severity severity, const char *text)
{
    fputs(text, stderr);
}

static void guest_changed(void *ctx, struct ax_vm *vm)
{
    struct ax_fake_guest *guest = ctx;

    if (ax_vm_state(vm) != AX_VM_STOPPED)
        return;
    guest->stopped = true;
    ax_loop_stop(guest->loop);
}

void ax_fake_guest_create(struct ax_fake_guest *guest, struct ax_loop *loop,
                          const char *name, unsigned cpus,
                          const struct ax_fake_step *steps, size_t count)
{
    struct ax_config_source src = {.file = "fake.toml", .report = guest_report};
    struct ax_vm_env env = {
        .ops = &ax_fake, .changed = guest_changed, .ctx = guest};
    enum ax_blame blame;
    char text[512];
    FILE *f;
    int fd;

    memset(guest, 0, sizeof(*guest));
    strcpy(guest->image, "/tmp/axvm-fake-guest-XXXXXX");
    fd = mkstemp(guest->image);
    need(fd >= 0, "cannot make the image");
    f = fdopen(fd, "wb");
    need(f && fwrite(steps, sizeof(*steps), count, f) == count && !fclose(f),
         "cannot write the image");
    snprintf(text, sizeof(text),
             "[base]\nname = \"%s\"\ncpu_num = %u\nmemory = \"2M\"\n"
             "arch = \"x86_64\"\n%s\n"
             "[kernel]\nkernel_path = \"%s\"\nkernel_load_addr = 0x1000\n"
             "entry_point = 0x1000\nentry_mode = \"real\"\n"
             "[console]\nmode = \"none\"\n",
             name, cpus, ax_fake_guest_base, guest->image);
    src.text = text;
    src.size = strlen(text);
    need(!ax_config_load(&src, &guest->conf), "configuration");
    if (!loop)
        need(!ax_loop_create(&guest->loop), "loop");
    else
        guest->loop = loop;
    env.conf = guest->conf;
    env.loop = guest->loop;
    need(!ax_vm_create(&env, &guest->vm, &blame), "VM");
}

void ax_fake_guest_destroy(struct ax_fake_guest *guest)
{
    ax_vm_destroy(guest->vm);
    ax_config_destroy(guest->conf);
    unlink(guest->image);
}
