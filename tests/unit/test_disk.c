/*
 * test_disk.c - what is behind a disk: which images are taken and which are
 * not, with what words; locks; overlays; qcow2 by qemu-nbd.
 */
#include "devices/disk.h"
#include "devices/virtio_conf.h"
#include "log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 1 << 20 };

static char dir[64], path[128], log_path[128];
static struct ax_log *log_;
static struct ax_disk_conf conf;
static struct ax_disk *disk;

/* ---- the world ---- */

static void make_image(const char *name, off_t size)
{
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, size), 0);
    close(fd);
    conf.path = path;
}

static void init(void)
{
    snprintf(dir, sizeof(dir), "/tmp/axvm-test-disk-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
    cr_assert_eq(ax_log_create(log_path, AX_LOG_WARN, &log_), 0);
    make_image("disk.img", SIZE);
}

static void fini(void)
{
    char command[128];

    ax_disk_close(disk);
    ax_log_destroy(log_);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(disk, .init = init, .fini = fini, .timeout = 60);

static bool said(const char *words)
{
    char text[8192];
    FILE *f = fopen(log_path, "r");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

    if (f)
        fclose(f);
    text[n] = '\0';
    if (!strstr(text, words))
        fprintf(stderr, "the log says: %s", text);
    return strstr(text, words);
}

static void refused(int err, const char *words)
{
    struct ax_disk *none;

    cr_assert_eq(ax_disk_open(&conf, log_, &none), err);
    cr_assert_null(none);
    cr_assert(said(words), "'%s'", words);
    cr_assert(said(conf.path));
}

static void taken(void)
{
    cr_assert_eq(ax_disk_open(&conf, log_, &disk), 0);
}

/* One request until it is done. */
static int request(enum ax_disk_op op, uint64_t off, void *bytes, size_t count,
                   bool alone)
{
    struct iovec iov = {bytes, count};
    struct ax_disk_io io = {
        .op = op, .off = off, .bytes = count, .iov = &iov, .count = 1};

    if (!ax_disk_start(disk, &io, alone)) {
        ax_disk_submit(disk);
        cr_assert_eq(ax_disk_await(disk), &io);
    }
    cr_assert_null(ax_disk_await(disk));
    return io.result;
}

static void write_byte(uint64_t off, uint8_t byte)
{
    uint8_t bytes[4096];

    memset(bytes, byte, sizeof(bytes));
    cr_assert_eq(request(AX_DISK_WRITE, off, bytes, sizeof(bytes), off & 4096),
                 0);
}

/* What all bytes there are. */
static uint8_t read_byte(uint64_t off)
{
    uint8_t bytes[4096];

    cr_assert_eq(request(AX_DISK_READ, off, bytes, sizeof(bytes), off & 4096),
                 0);
    cr_assert(!memcmp(bytes, bytes + 1, sizeof(bytes) - 1));
    return bytes[0];
}

/* ---- what is taken ---- */

Test(disk, says_what_is_wrong_and_what_to_do)
{
    snprintf(path, sizeof(path), "%s/none", dir);
    refused(-ENOENT, "make one with truncate -s 10G FILE");
    snprintf(path, sizeof(path), "%s", dir);
    refused(-EISDIR, "it has to be a file or a block device");
    snprintf(path, sizeof(path), "%s/fifo", dir);
    cr_assert_eq(mkfifo(path, 0600), 0);
    refused(-ENXIO, "it has to be a file or a block device");
    make_image("empty", 511);
    refused(-EINVAL, "it is empty");
    make_image("odd", 1025);
    taken();
    cr_assert_eq(ax_disk_traits(disk).size, 1024);
    cr_assert(said("its last 1 bytes are no whole block"));
}

Test(disk, an_image_that_may_only_be_read_says_so)
{
    if (!getuid())
        cr_skip_test("root may write everything");
    cr_assert_eq(chmod(path, 0400), 0);
    refused(-EACCES, "readonly = true or overlay = true");
    conf.overlay = true;
    taken();
}

/* ---- locks ---- */

Test(disk, has_one_writer_or_many_readers)
{
    struct ax_disk *second, *third;
    struct ax_disk_conf reader = {.path = path, .readonly = true};

    taken();
    refused(-EBUSY, "use readonly = true or overlay = true for all of them");
    cr_assert_eq(ax_disk_open(&reader, log_, &second), -EBUSY);
    cr_assert(said("writes to it: stop that one"));
    ax_disk_close(disk);
    disk = NULL;
    cr_assert_eq(ax_disk_open(&reader, log_, &second), 0);
    reader.readonly = false;
    reader.overlay = true;
    cr_assert_eq(ax_disk_open(&reader, log_, &third), 0);
    refused(-EBUSY, "another disk, VM or program uses it");
    ax_disk_close(second);
    ax_disk_close(third);
    taken();
}

/* ---- formats ---- */

static void write_header(const void *bytes, size_t count)
{
    const int fd = open(path, O_WRONLY);

    cr_assert_eq(write(fd, bytes, count), (ssize_t)count);
    close(fd);
}

/* A guest can write a header, too, and name the host's files in it. */
Test(disk, never_guesses_that_an_image_is_qcow2)
{
    write_header("QFI\xfb\0\0\0\3", 8);
    refused(-EINVAL, "say format = \"qcow2\" or \"raw\"");
    conf.format = AX_DISK_RAW;
    taken();
    cr_assert_eq(ax_disk_traits(disk).size, SIZE);
}

Test(disk, an_image_is_what_its_name_or_format_says)
{
    make_image("disk.qcow2", SIZE);
    refused(-EINVAL, "this is not qcow2: say format = \"raw\"");
    make_image("disk", SIZE);
    conf.format = AX_DISK_QCOW2;
    refused(-EINVAL, "this is not qcow2");
    make_image("disk.qcow2", SIZE);
    conf.format = AX_DISK_RAW;
    taken();
}

Test(disk, a_qcow2_names_no_other_files)
{
    uint8_t header[104] = "QFI\xfb\0\0\0\3";

    make_image("disk.qcow2", SIZE);
    header[15] = 1;
    write_header(header, sizeof(header));
    refused(-EINVAL, "it has a backing file");
    header[15] = 0;
    header[79] = 4;
    write_header(header, sizeof(header));
    refused(-EINVAL, "its data is in another file");
    header[79] = 0;
    header[35] = 1;
    write_header(header, sizeof(header));
    refused(-EINVAL, "it is encrypted");
    make_image("short.qcow2", 0);
    write_header(header, 16);
    refused(-EINVAL, "no whole qcow2 header");
}

/* ---- overlays ---- */

Test(disk, an_overlay_has_each_sector_once)
{
    uint8_t bytes[16 * 512];
    struct stat before, after;

    write_header("\1", 1);
    conf.overlay = true;
    cr_assert_eq(stat(path, &before), 0);
    taken();
    memset(bytes, 7, sizeof(bytes));
    for (unsigned i = 1; i < 16; i += 2)
        cr_assert_eq(request(AX_DISK_WRITE, i * 512, bytes, 512, i & 2), 0);
    cr_assert_eq(request(AX_DISK_READ, 0, bytes, sizeof(bytes), false), 0);
    cr_assert_eq(bytes[0], 1);
    for (unsigned i = 1; i < 16; i++)
        cr_assert_eq(bytes[i * 512], i % 2 ? 7 : 0, "%u", i);
    cr_assert_eq(request(AX_DISK_FLUSH, 0, NULL, 0, false), 0);
    /* whole words of bits */
    write_byte(512 * 1024, 9);
    memset(bytes, 9, sizeof(bytes));
    for (unsigned i = 0; i < 40; i++)
        cr_assert_eq(request(AX_DISK_WRITE, 100 * 512 + i * sizeof(bytes),
                             bytes, sizeof(bytes), false),
                     0);
    cr_assert_eq(read_byte(732 * 512), 9);
    cr_assert_eq(read_byte(740 * 512), 0);
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    cr_assert_eq(before.st_blocks, after.st_blocks);
}

/* ---- qcow2 ---- */

__attribute__((format(printf, 1, 2))) static bool run(const char *format, ...)
{
    char command[512];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    return !system(command);
}

/* The one that we have. */
static pid_t child(void)
{
    char name[64];
    FILE *f;
    int pid;

    snprintf(name, sizeof(name), "/proc/self/task/%d/children", getpid());
    f = fopen(name, "r");
    cr_assert(f && fscanf(f, "%d", &pid) == 1);
    fclose(f);
    return pid;
}

static void qcow2(void)
{
    if (!run("qemu-nbd --version >/dev/null 2>&1"))
        cr_skip_test("no qemu-nbd");
    snprintf(path, sizeof(path), "%s/disk.qcow2", dir);
    cr_assert(run("qemu-img create -q -f qcow2 %s 100M", path));
}

Test(disk, qcow2_reads_and_writes)
{
    static const enum ax_disk_cache caches[] = {AX_DISK_WRITEBACK,
                                                AX_DISK_WRITETHROUGH,
                                                AX_DISK_DIRECT, AX_DISK_UNSAFE};

    qcow2();
    for (uint8_t i = 0; i < AX_ARRAY_LEN(caches); i++) {
        conf.cache = caches[i];
        taken();
        cr_assert_eq(ax_disk_traits(disk).size, 100U << 20);
        cr_assert_geq(ax_disk_fd(disk), 0);
        cr_assert_eq(read_byte(8192), i);
        write_byte(8192, (uint8_t)(i + 1));
        write_byte((100 << 20) - 4096, 5);
        write_byte(65536, 6);
        cr_assert_eq(request(AX_DISK_FLUSH, 0, NULL, 0, false), 0);
        cr_assert_eq(request(AX_DISK_ZERO, 65536, NULL, 4096, false), 0);
        cr_assert_eq(request(AX_DISK_DISCARD, 0, NULL, 4096, false), 0);
        cr_assert_eq(read_byte(65536), 0);
        cr_assert_eq(read_byte(8192), i + 1);
        cr_assert_eq(read_byte((100 << 20) - 4096), 5);
        ax_disk_close(disk);
        disk = NULL;
        cr_assert(run("qemu-img check -q %s", path));
    }
}

/* More than one NBD request takes, and more of them than a socket buffers. */
Test(disk, qcow2_takes_large_requests_at_once)
{
    enum { COUNT = 6, BYTES = 40 << 20 };
    static struct ax_disk_io ios[COUNT];
    static struct iovec iovs[COUNT];
    uint8_t *bytes[COUNT];

    qcow2();
    taken();
    for (unsigned i = 0; i < COUNT; i++) {
        bytes[i] = malloc(BYTES);
        cr_assert_not_null(bytes[i]);
        memset(bytes[i], i < 2 ? 0x31 + (int)i : 0, BYTES);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            iovs[i] = (struct iovec){bytes[i], BYTES};
            ios[i] = (struct ax_disk_io){
                .op = round ? AX_DISK_READ : AX_DISK_WRITE,
                .off = i % 2 * BYTES,
                .bytes = BYTES,
                .iov = &iovs[i],
                .count = 1,
            };
            if (!round && i >= 2)
                continue;
            cr_assert_not(ax_disk_start(disk, &ios[i], false));
        }
        while (ax_disk_await(disk))
            ;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_eq(ios[i].result, 0);
        cr_assert_eq(bytes[i][0], 0x31 + i % 2);
        cr_assert_eq(bytes[i][BYTES - 1], 0x31 + i % 2);
        free(bytes[i]);
    }
}

Test(disk, qcow2_is_locked_and_may_have_an_overlay)
{
    struct ax_disk_conf second = {.path = path, .overlay = true};
    struct ax_disk *other;

    qcow2();
    taken();
    write_byte(4096, 3);
    refused(-EBUSY, "another disk, VM or program uses it");
    cr_assert_eq(ax_disk_open(&second, log_, &other), -EBUSY);
    ax_disk_close(disk);
    conf.overlay = true;
    taken();
    cr_assert_eq(ax_disk_open(&second, log_, &other), 0);
    ax_disk_close(other);
    cr_assert_eq(read_byte(4096), 3);
    write_byte(8192, 4);
    cr_assert_eq(read_byte(8192), 4);
    ax_disk_close(disk);
    taken();
    cr_assert_eq(read_byte(8192), 0);
}

Test(disk, qcow2_without_its_server_gives_errors)
{
    uint8_t bytes[4096];
    struct pollfd poller;

    qcow2();
    taken();
    write_byte(4096, 3);
    cr_assert_eq(kill(child(), SIGKILL), 0);
    cr_assert_eq(request(AX_DISK_READ, 0, bytes, 4096, false), -EIO);
    cr_assert_eq(request(AX_DISK_WRITE, 0, bytes, 4096, true), -EIO);
    cr_assert_eq(request(AX_DISK_FLUSH, 0, NULL, 0, false), -EIO);
    cr_assert(said("the guest gets an I/O error"));
    poller = (struct pollfd){.fd = ax_disk_fd(disk), .events = POLLIN};
    cr_assert_eq(poll(&poller, 1, 0), 0, "a loop would turn for ever");
}

Test(disk, qcow2_needs_qemu_nbd)
{
    uint8_t header[104] = "QFI\xfb\0\0\0\3";

    make_image("disk.qcow2", SIZE);
    write_header(header, sizeof(header));
    setenv("PATH", dir, 1);
    refused(-ENOENT, "install qemu-utils, or convert the image to raw");
    unsetenv("PATH");
}

Test(disk, qcow2_tells_why_it_is_not_served)
{
    uint8_t header[104] = "QFI\xfb\0\0\0\7";

    qcow2();
    write_header(header, sizeof(header));
    refused(-ECONNRESET, "qemu-nbd does not serve it: ");
    cr_assert(said("version"));
}
