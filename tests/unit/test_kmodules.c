/* test_kmodules.c - dependencies as depmod(8) writes them; kernel releases. */
#include "kmodules.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/axvm-kmodules.XXXXXX";

static void put(const char *name, const void *bytes, size_t size)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "w");
    cr_assert(file);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static void init(void)
{
    cr_assert(mkdtemp(dir));
    put_text("modules.dep",
             "kernel/a/9pnet_virtio.ko: kernel/a/9pnet.ko kernel/b/virtio.ko\n"
             "kernel/a/9pnet.ko:\n"
             "kernel/a/9p.ko: kernel/a/9pnet.ko kernel/c/netfs.ko.xz\n"
             "kernel/b/virtio.ko:\n"
             "kernel/b/virtio_mmio.ko.zst: kernel/b/virtio-ring.ko "
             "kernel/b/virtio.ko\n");
    put_text("modules.builtin", "kernel/fs/overlayfs/overlay.ko\n");
}

static void fini(void)
{
    char command[300];

    snprintf(command, sizeof(command), "rm -r %s", dir);
    cr_expect_eq(system(command), 0);
}

TestSuite(kmodules, .init = init, .fini = fini, .timeout = 20);

static void expect(const struct ax_kmodules *m, unsigned at, const char *path)
{
    char whole[256];

    snprintf(whole, sizeof(whole), "%s/%s", dir, path);
    cr_assert_lt(at, m->count);
    cr_expect_str_eq(m->paths[at], whole);
}

Test(kmodules, come_behind_what_they_need_and_once)
{
    static const char *const names[] = {"virtio_mmio", "9pnet-virtio", "9p",
                                        "overlay", NULL};
    struct ax_kmodules m;
    const char *missing;

    cr_assert_eq(ax_kmodules_find(dir, names, &m, &missing), 0);
    cr_expect_eq(m.count, 7);
    expect(&m, 0, "kernel/b/virtio.ko");
    expect(&m, 1, "kernel/b/virtio-ring.ko");
    expect(&m, 2, "kernel/b/virtio_mmio.ko.zst");
    expect(&m, 3, "kernel/a/9pnet.ko");
    expect(&m, 4, "kernel/a/9pnet_virtio.ko");
    expect(&m, 5, "kernel/c/netfs.ko.xz");
    expect(&m, 6, "kernel/a/9p.ko");
    ax_kmodules_fini(&m);
}

Test(kmodules, that_are_nowhere_are_named)
{
    static const char *const names[] = {"9p", "nine", NULL};
    struct ax_kmodules m;
    const char *missing;

    cr_expect_eq(ax_kmodules_find(dir, names, &m, &missing), -ENOENT);
    cr_expect_str_eq(missing, "nine");
    cr_expect_eq(m.count, 0);
    cr_expect_eq(ax_kmodules_find("/nowhere", names, &m, &missing), -ENOENT);
    cr_expect_null(missing);
}

/* A setup header's magic and the offset of its text. */
static int release_of(size_t size, uint16_t offset, const char *text,
                      char *release, size_t room)
{
    static uint8_t image[0x1000];
    char path[256];

    memset(image, 0, sizeof(image));
    memcpy(image + 0x202, "HdrS", 4);
    image[0x20e] = (uint8_t)offset;
    image[0x20f] = (uint8_t)(offset >> 8);
    snprintf((char *)image + 0x400, 200, "%s", text);
    put("vmlinuz", image, size);
    snprintf(path, sizeof(path), "%s/vmlinuz", dir);
    return ax_kmodules_release(path, release, room);
}

Test(kmodules, belong_to_a_release)
{
    char release[65];

    cr_expect_eq(release_of(0x1000, 0x200, "6.1.0-18-amd64 (debian) #1",
                            release, sizeof(release)),
                 0);
    cr_expect_str_eq(release, "6.1.0-18-amd64");
    cr_expect_eq(release_of(0x1000, 0, "6.1 ", release, sizeof(release)),
                 -ENOEXEC);
    cr_expect_eq(release_of(0x100, 0x200, "6.1 ", release, sizeof(release)),
                 -ENOEXEC);
    cr_expect_eq(release_of(0x1000, 0xffff, "6.1 ", release, sizeof(release)),
                 -ENOEXEC);
    cr_expect_eq(
        release_of(0x1000, 0x200, "../../etc x", release, sizeof(release)),
        -ENOEXEC);
    cr_expect_eq(release_of(0x1000, 0x200, "6.1.0-18-amd64 ", release, 8),
                 -ENAMETOOLONG);
    cr_expect_eq(ax_kmodules_release("/nowhere", release, sizeof(release)),
                 -ENOENT);
}
