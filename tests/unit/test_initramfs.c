/* test_initramfs.c - what is packed is what cpio(1) finds, name by name. */
#include "initramfs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One entry as the format has it, found from the start of the archive. */
struct found {
    unsigned mode, size, major, minor;
    char *bytes;
};

static char archive[1 << 20];
static size_t archive_size;

static unsigned field(const char *head, unsigned n)
{
    char digits[9] = {0};

    memcpy(digits, head + 6 + 8 * (size_t)n, 8);
    return (unsigned)strtoul(digits, NULL, 16);
}

static bool find(const char *name, struct found *out)
{
    for (size_t at = 0; at + 110 <= archive_size;) {
        char *head = archive + at;
        const unsigned size = field(head, 6), name_size = field(head, 11);

        cr_assert_eq(memcmp(head, "070701", 6), 0);
        *out = (struct found){
            .mode = field(head, 1),
            .size = size,
            .major = field(head, 9),
            .minor = field(head, 10),
            .bytes = head + ((110 + name_size + 3) & ~3U),
        };
        if (!strcmp(head + 110, name))
            return true;
        at += ((110 + name_size + 3) & ~3U) + ((size + 3) & ~3U);
    }
    return false;
}

static struct ax_initramfs *fs;

static void init(void)
{
    cr_assert_eq(ax_initramfs_create(&fs), 0);
}

static void fini(void)
{
    ax_initramfs_destroy(fs);
}

static void finish(void)
{
    int fd;
    ssize_t n;

    cr_assert_eq(ax_initramfs_finish(fs, &fd), 0);
    n = pread(fd, archive, sizeof(archive), 0);
    cr_assert_gt(n, 0);
    archive_size = (size_t)n;
    close(fd);
}

TestSuite(initramfs, .init = init, .fini = fini, .timeout = 20);

Test(initramfs, holds_files_and_their_directories)
{
    struct found found;

    cr_assert_eq(ax_initramfs_add(fs, "/init", 0755, "#!", 2), 0);
    cr_assert_eq(ax_initramfs_add(fs, "/a/b/c", 0600, "12345", 5), 0);
    cr_assert_eq(ax_initramfs_add(fs, "/a/b/d", 0644, "", 0), 0);
    cr_assert_eq(ax_initramfs_add_device(fs, "/dev/console", 0600, 5, 1), 0);
    finish();
    cr_assert(find("init", &found));
    cr_expect_eq(found.mode, S_IFREG | 0755);
    cr_expect_eq(memcmp(found.bytes, "#!", 2), 0);
    cr_assert(find("a", &found));
    cr_expect_eq(found.mode, S_IFDIR | 0755);
    cr_assert(find("a/b", &found));
    cr_assert(find("a/b/c", &found));
    cr_expect_eq(found.size, 5);
    cr_expect_eq(memcmp(found.bytes, "12345", 5), 0);
    cr_assert(find("a/b/d", &found));
    cr_expect_eq(found.size, 0);
    cr_assert(find("dev/console", &found));
    cr_expect_eq(found.mode, S_IFCHR | 0600);
    cr_expect_eq(found.major, 5);
    cr_expect_eq(found.minor, 1);
    cr_assert(find("TRAILER!!!", &found));
}

Test(initramfs, takes_files_of_the_host)
{
    char path[] = "/tmp/axvm-initramfs.XXXXXX";
    const int fd = mkstemp(path);
    struct found found;

    cr_assert_eq(write(fd, "hello", 5), 5);
    close(fd);
    cr_assert_eq(ax_initramfs_add_file(fs, "/x", 0644, path), 0);
    cr_expect_eq(ax_initramfs_add_file(fs, "/y", 0644, "/nowhere"), -ENOENT);
    cr_expect_eq(ax_initramfs_add_file(fs, "/y", 0644, "/tmp"), -EINVAL);
    unlink(path);
    finish();
    cr_assert(find("x", &found));
    cr_expect_eq(found.size, 5);
    cr_expect_eq(memcmp(found.bytes, "hello", 5), 0);
    cr_expect_not(find("y", &found));
}
