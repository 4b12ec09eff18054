/* test_gdb_files.c - what gdb may read through its connection, and nothing
 * else. */
#include "debug/files.h"
#include "debug/packet.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct ax_files_text texts[] = {
    {"target.xml", "<target/>"}, {"odd", "a#b$c}d*e"}, {"empty", ""}};

static char dir[] = "/tmp/axvm-files-XXXXXX";
static char *elf; /* <dir>/vmlinux */
static struct ax_files *files;
static struct ax_packet packet;
static struct ax_packet_reader reader;

enum { ELF_SIZE = 3 * AX_PACKET_MAX + 5 };

static uint8_t elf_byte(size_t at)
{
    return at < 4 ? (uint8_t) "\177ELF"[at] : (uint8_t)(at * 31 >> 3);
}

static char *path_of(const char *name)
{
    char *path;

    cr_assert_gt(asprintf(&path, "%s/%s", dir, name), 0);
    return path;
}

static void write_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "wb");

    cr_assert_not_null(f);
    for (size_t i = 0; i < size; i++)
        fputc(elf_byte(i), f);
    cr_assert_eq(fclose(f), 0);
}

static void create(const char *exec)
{
    const struct ax_files_env env = {texts, AX_ARRAY_LEN(texts), exec};

    cr_assert_eq(ax_files_create(&env, &files), 0);
}

static void init(void)
{
    char *real;

    cr_assert_not_null(mkdtemp(dir));
    real = realpath(dir, NULL);
    cr_assert_not_null(real);
    cr_assert_eq(strlen(real), strlen(dir)); /* names below are the paths */
    free(real);
    elf = path_of("vmlinux");
    write_file(elf, ELF_SIZE);
    create(elf);
}

static void fini(void)
{
    ax_files_destroy(files);
    unlink(elf);
    free(elf);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(gdb_files, .init = init, .fini = fini, .timeout = 60);

static unsigned open_descriptors(void)
{
    DIR *all = opendir("/proc/self/fd");
    unsigned count = 0;

    cr_assert_not_null(all);
    while (readdir(all))
        count++;
    closedir(all);
    return count;
}

/* ---- requests: the answer is in reader ---- */

static void ask(const char *request)
{
    struct ax_packet_scan scan = {request, request + strlen(request)};
    enum ax_packet_event event;

    ax_packet_begin(&packet);
    ax_files_answer(files, &scan, &packet);
    cr_assert_not(packet.full);
    ax_packet_end(&packet, false);
    ax_packet_reader_init(&reader);
    cr_assert_eq(
        ax_packet_read(&reader, (uint8_t *)packet.bytes, packet.len, &event),
        packet.len);
    cr_assert_eq(event, AX_PACKET_DATA);
}

static void says(const char *request, const char *want)
{
    ask(request);
    cr_assert_str_eq(reader.data, want, "%s: %s", request, reader.data);
    cr_assert_eq(reader.len, strlen(want));
}

/* "operation:HEX" and the rest. */
static void says_of(const char *operation, const char *name, const char *rest,
                    const char *want)
{
    char request[9000];
    int len = snprintf(request, sizeof(request), "%s:", operation);

    for (; *name; name++)
        len += snprintf(request + len, sizeof(request) - (size_t)len, "%02x",
                        (uint8_t)*name);
    snprintf(request + len, sizeof(request) - (size_t)len, "%s", rest);
    says(request, want);
}

static void opens(const char *name, const char *want)
{
    says_of("open", name, ",0,0", want);
}

/* Where the attachment begins; its size is told before it. */
static const uint8_t *attachment(size_t *size)
{
    char *end;

    cr_assert_eq(reader.data[0], 'F');
    *size = strtoul(reader.data + 1, &end, 16);
    cr_assert_eq(*end, ';', "%s", reader.data);
    cr_assert_eq(reader.len, (size_t)(end + 1 - reader.data) + *size);
    return (uint8_t *)end + 1;
}

static void reads(const char *request, const char *want)
{
    const uint8_t *data;
    size_t size;

    ask(request);
    data = attachment(&size);
    cr_assert_eq(size, strlen(want), "%s: %s", request, reader.data);
    cr_assert_arr_eq(data, want, size);
}

/* ---- texts ---- */

Test(gdb_files, a_text)
{
    opens("target.xml", "F0");
    reads("pread:0,100,0", "<target/>");
    reads("pread:0,3,0", "<ta");
    reads("pread:0,ffffffffffffffff,7", "/>");
    reads("pread:0,100,9", "");
    reads("pread:0,100,ffffffffffffffff", "");
    reads("pread:0,0,0", "");
    says("close:0", "F0");
}

Test(gdb_files, an_odd_and_an_empty_one)
{
    opens("odd", "F0");
    opens("empty", "F1");
    reads("pread:0,100,0", "a#b$c}d*e");
    reads("pread:1,100,0", "");
}

static uint64_t field(const uint8_t *st, unsigned off, unsigned width)
{
    uint64_t val = 0;

    for (unsigned i = 0; i < width; i++)
        val = val << 8 | st[off + i];
    return val;
}

static void check_stat(const char *request, uint64_t want_size,
                       uint64_t want_mtime)
{
    const uint8_t *st;
    size_t size;

    ask(request);
    st = attachment(&size);
    cr_assert_eq(size, 64);
    cr_assert_eq(field(st, 0, 4), 0); /* a file */
    cr_assert_eq(field(st, 8, 4), 0100444);
    cr_assert_eq(field(st, 12, 4), 1);
    cr_assert_eq(field(st, 28, 8), want_size);
    cr_assert_eq(field(st, 36, 8), 4096);
    cr_assert_eq(field(st, 44, 8), (want_size + 511) / 512);
    cr_assert_eq(field(st, 56, 4), want_mtime);
}

Test(gdb_files, stat)
{
    struct stat st;

    opens("target.xml", "F0");
    opens(elf, "F1");
    cr_assert_eq(stat(elf, &st), 0);
    check_stat("fstat:0", 9, 0);
    check_stat("fstat:1", ELF_SIZE, (uint32_t)st.st_mtime);
}

/* ---- the kernel ---- */

static void read_all_of_elf(const char *fd)
{
    size_t at = 0, size;

    do {
        const uint8_t *data;
        char request[64];

        snprintf(request, sizeof(request), "pread:%s,3fff,%zx", fd, at);
        ask(request);
        data = attachment(&size);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(data[i], elf_byte(at + i), "at %zu", at + i);
        at += size;
    } while (size);
    cr_assert_eq(at, ELF_SIZE);
}

Test(gdb_files, the_kernel)
{
    cr_assert_str_eq(ax_files_exec(files), elf);
    opens(elf, "F0");
    read_all_of_elf("0");
    says("close:0", "F0");
}

/* Whatever leads there, the name is the path from the root. */
Test(gdb_files, the_kernel_has_one_name)
{
    char *link = path_of("link"), *dotted = path_of("./vmlinux");

    ax_files_destroy(files);
    cr_assert_eq(symlink("vmlinux", link), 0);
    create(link);
    cr_assert_str_eq(ax_files_exec(files), elf);
    opens(elf, "F0");
    opens(link, "F-1,2");
    opens(dotted, "F-1,2");
    ax_files_destroy(files);
    cr_assert_eq(chdir(dir), 0);
    create("vmlinux");
    cr_assert_eq(chdir("/"), 0);
    cr_assert_str_eq(ax_files_exec(files), elf);
    opens(elf, "F0");
    opens("vmlinux", "F-1,2");
    unlink(link);
    free(link);
    free(dotted);
}

static void no_exec(const char *path)
{
    ax_files_destroy(files);
    create(path);
    cr_assert_null(ax_files_exec(files));
    opens(path ? path : elf, "F-1,2");
}

Test(gdb_files, what_is_no_elf_file_is_not_the_kernel)
{
    char *other = path_of("other"), *fifo = path_of("fifo");
    FILE *f = fopen(other, "w");

    cr_assert_not_null(f);
    fputs("\177ELG and more", f);
    cr_assert_eq(fclose(f), 0);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    no_exec(other);
    no_exec(fifo);
    write_file(other, 3);
    no_exec(other);
    write_file(other, 0);
    no_exec(other);
    no_exec(dir);
    no_exec("/nonexistent/vmlinux");
    no_exec("");
    no_exec(NULL);
    unlink(other);
    unlink(fifo);
    free(other);
    free(fifo);
}

Test(gdb_files, the_kernel_may_change_or_go)
{
    opens(elf, "F0");
    cr_assert_eq(truncate(elf, 100), 0);
    says("pread:0,10,1000", "F-1,270f"); /* it is shorter than it was */
    says("close:0", "F0");
    cr_assert_eq(truncate(elf, 0), 0);
    opens(elf, "F-1,d");
    cr_assert_eq(unlink(elf), 0);
    opens(elf, "F-1,2");
    cr_assert_eq(mkdir(elf, 0700), 0);
    opens(elf, "F-1,d");
    cr_assert_eq(rmdir(elf), 0);
    write_file(elf, ELF_SIZE);
    opens(elf, "F0");
    read_all_of_elf("0");
}

/* ---- all else ---- */

Test(gdb_files, no_other_file)
{
    const unsigned before = open_descriptors();
    char *dotted = path_of("../../etc/passwd"), *slash = path_of("vmlinux/");

    opens("/etc/passwd", "F-1,2");
    opens("etc/passwd", "F-1,2");
    opens("/proc/self/mem", "F-1,2");
    opens("", "F-1,2");
    opens("/", "F-1,2");
    opens(".", "F-1,2");
    opens(dir, "F-1,2");
    opens(dotted, "F-1,2");
    opens(slash, "F-1,2");
    opens("/target.xml", "F-1,2");
    opens("target.xm", "F-1,2");
    opens("target.xmll", "F-1,2");
    opens("just probing", "F-1,2"); /* so gdb finds out whether it may ask */
    cr_assert_eq(open_descriptors(), before);
    free(dotted);
    free(slash);
}

Test(gdb_files, a_long_name)
{
    char name[4200];

    memset(name, 'a', sizeof(name));
    name[4096] = '\0';
    opens(name, "F-1,5b");
    says_of("readlink", name, "", "F-1,5b");
    name[4095] = '\0';
    opens(name, "F-1,2");
}

Test(gdb_files, nothing_is_written)
{
    static const char *const flags[] = {
        "1", "2", "8", "200", "400", "601", "800", "ffffffffffffffff"};

    for (size_t i = 0; i < AX_ARRAY_LEN(flags); i++) {
        char rest[40];

        snprintf(rest, sizeof(rest), ",%s,1a4", flags[i]);
        says_of("open", elf, rest, "F-1,1e");
        says_of("open", "/tmp/new", rest, "F-1,1e");
    }
    opens(elf, "F0");
    says("pwrite:0,0,x", "F-1,1e");
    says_of("unlink", elf, "", "F-1,1e");
    read_all_of_elf("0");
}

Test(gdb_files, at_most_eight)
{
    const unsigned before = open_descriptors();

    for (int i = 0; i < AX_FILES_OPEN; i++) {
        char want[8];

        snprintf(want, sizeof(want), "F%x", (unsigned)i);
        opens(elf, want);
    }
    opens(elf, "F-1,18");
    opens("target.xml", "F-1,18");
    says("close:3", "F0");
    opens("target.xml", "F3");
    cr_assert_eq(open_descriptors(), before + AX_FILES_OPEN - 1);
    ax_files_reset(files);
    cr_assert_eq(open_descriptors(), before);
    says("fstat:0", "F-1,9");
    opens(elf, "F0");
    /* destroy closes it: the leak checkers would tell. */
}

Test(gdb_files, handles_that_are_none)
{
    static const char *const bad[] = {"0",  "8", "ffffffffffffffff",
                                      "-1", "",  "x"};
    char request[64];

    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++) {
        snprintf(request, sizeof(request), "close:%s", bad[i]);
        says(request, "F-1,9");
        snprintf(request, sizeof(request), "fstat:%s", bad[i]);
        says(request, "F-1,9");
        snprintf(request, sizeof(request), "pread:%s,10,0", bad[i]);
        says(request, "F-1,9");
    }
    opens("odd", "F0");
    says("close:0", "F0");
    says("close:0", "F-1,9");
}

Test(gdb_files, requests_that_are_wrong)
{
    static const char *const bad[] = {"open:",
                                      "open:6f6464",
                                      "open:6f6464,0",
                                      "open:6f646,0,0",
                                      "open:6f6464,0,0,0",
                                      "open:6f6464,0,x",
                                      "open:odd,0,0",
                                      "open:6f006464,0,0",
                                      "open:6f6464;0,0",
                                      "pread:0",
                                      "pread:0,1",
                                      "pread:0,1,",
                                      "pread:0,1,-1",
                                      "pread:0,-1,1",
                                      "pread:0,1,1,1",
                                      "close:0,",
                                      "fstat:0x",
                                      "readlink:6f6464,",
                                      "readlink:6f646",
                                      "setfs:",
                                      "setfs:x",
                                      "setfs:0,0"};

    opens("odd", "F0");
    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++)
        says(bad[i], "F-1,16");
    reads("pread:0,1,0", "a");
}

Test(gdb_files, links_and_file_systems)
{
    says_of("readlink", elf, "", "F-1,16");
    says_of("readlink", "odd", "", "F-1,16");
    says_of("readlink", "/proc/self/exe", "", "F-1,2");
    says("setfs:0", "F0");
    says("setfs:1f4", "F0");
}

Test(gdb_files, other_operations_are_unknown)
{
    says("", "");
    says("open", "");
    says("stat:6f6464", "");
    says("openat:6f6464,0,0", "");
}
