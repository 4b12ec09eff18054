/*
 * files.c - what programs ask of a file system, tried in a directory: says what
 * is not as it should be. Static, for guests and for the host alike.
 *
 *   files DIRECTORY [mmap] [share]
 *
 * mmap: shared writable mappings, too; share: of a host that lets nobody make
 * devices.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

enum { BIG = 1 << 20, MANY = 100 };

static int bad;

#define CHECK(truth)                                                           \
    do {                                                                       \
        if (!(truth)) {                                                        \
            printf("files: line %d: %s: %s\n", __LINE__, #truth,               \
                   strerror(errno));                                           \
            bad = 1;                                                           \
        }                                                                      \
    } while (0)

static void fill(unsigned char *buf, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        buf[i] = (unsigned char)((i * 2654435761U + seed) >> 13);
}

static off_t size_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) ? -1 : st.st_size;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(!close(fd));
}

/* Does the file at fd read as text? */
static int reads(int fd, const char *text)
{
    char buf[64] = "";

    return pread(fd, buf, sizeof(buf) - 1, 0) == (ssize_t)strlen(text) &&
           !strcmp(buf, text);
}

static void data(void)
{
    static unsigned char out[BIG], in[BIG];
    int fd = open("big", O_RDWR | O_CREAT | O_EXCL, 0600);

    fill(out, sizeof(out), 1);
    CHECK(write(fd, out, sizeof(out)) == BIG);
    CHECK(!fsync(fd));
    CHECK(pread(fd, in, sizeof(in), 0) == BIG && !memcmp(in, out, BIG));
    fill(out + 5000, 7777, 2);
    CHECK(pwrite(fd, out + 5000, 7777, 5000) == 7777);
    CHECK(!ftruncate(fd, BIG - 100) && size_of("big") == BIG - 100);
    CHECK(!close(fd));
    fd = open("big", O_RDONLY);
    CHECK(read(fd, in, sizeof(in)) == BIG - 100);
    CHECK(!memcmp(in, out, BIG - 100));
    CHECK(!close(fd) && !unlink("big"));
    put("log", "one ");
    fd = open("log", O_WRONLY | O_APPEND);
    CHECK(write(fd, "two", 3) == 3 && !close(fd) && size_of("log") == 7);
    CHECK(open("log", O_CREAT | O_EXCL, 0600) < 0 && errno == EEXIST);
    CHECK(!truncate("log", 3) && size_of("log") == 3 && !unlink("log"));
}

/* What editors, git and databases rely on. */
static void open_files(void)
{
    struct stat st;
    int fd;

    put("old", "old");
    put("new", "new");
    fd = open("old", O_RDWR);
    CHECK(!rename("new", "old") && reads(fd, "old") && size_of("new") < 0);
    CHECK(!close(fd));
    fd = open("old", O_RDWR);
    CHECK(reads(fd, "new") && !unlink("old"));
    CHECK(!fstat(fd, &st) && st.st_size == 3);
    CHECK(pwrite(fd, "er", 2, 3) == 2 && reads(fd, "newer"));
    CHECK(!ftruncate(fd, 2) && reads(fd, "ne"));
    CHECK(!close(fd) && size_of("old") < 0);
}

static void names(void)
{
    struct stat a, b;
    char name[64], target[64] = "";
    unsigned count = 0;
    struct dirent *entry;
    DIR *dir;

    CHECK(!mkdir("d", 0750) && !mkdir("d/e", 0755));
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "d/e/file number %u", i);
        put(name, "x");
    }
    CHECK(!rename("d/e", "moved"));
    dir = opendir("moved");
    while (dir && (entry = readdir(dir)))
        count += entry->d_name[0] == 'f';
    closedir(dir);
    CHECK(count == MANY);
    CHECK(rmdir("moved") && errno == ENOTEMPTY);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "moved/file number %u", i);
        CHECK(!unlink(name));
    }
    CHECK(!rmdir("moved") && !rmdir("d"));
    put("a", "x");
    CHECK(!link("a", "b") && !stat("a", &a) && !stat("b", &b));
    CHECK(a.st_ino == b.st_ino && b.st_nlink == 2);
    CHECK(!symlink("a", "s") && readlink("s", target, 63) == 1);
    CHECK(!strcmp(target, "a") && !stat("s", &b) && a.st_ino == b.st_ino);
    CHECK(!unlink("a") && !unlink("b") && !unlink("s"));
}

static void attributes(void)
{
    const struct timespec times[2] = {{1000, 0}, {2000, 0}};
    struct stat st;
    int fd;

    umask(0);
    fd = open("f", O_RDWR | O_CREAT, 0666);
    CHECK(!fstat(fd, &st) && (st.st_mode & 07777) == 0666);
    CHECK(!chmod("f", 0751) && !utimensat(AT_FDCWD, "f", times, 0));
    CHECK(!stat("f", &st) && (st.st_mode & 07777) == 0751);
    CHECK(st.st_atime == 1000 && st.st_mtime == 2000);
    CHECK(!flock(fd, LOCK_EX) && !flock(fd, LOCK_UN));
    CHECK(!lockf(fd, F_TLOCK, 0) && !lockf(fd, F_ULOCK, 0));
    CHECK(!close(fd) && !unlink("f"));
}

/* They are the guest kernel's own; their names are here. */
static void special(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int fd, peer, both = socket(AF_UNIX, SOCK_STREAM, 0);
    char buf[8];

    CHECK(!mkfifo("fifo", 0600));
    fd = open("fifo", O_RDWR);
    CHECK(write(fd, "pipe", 4) == 4 && read(fd, buf, 8) == 4);
    CHECK(!close(fd) && !unlink("fifo"));
    CHECK(!bind(both, (struct sockaddr *)&addr, sizeof(addr)));
    CHECK(!listen(both, 1));
    peer = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(!connect(peer, (struct sockaddr *)&addr, sizeof(addr)));
    CHECK(!close(peer) && !close(both) && !unlink("sock"));
}

static void devices(void)
{
    CHECK(mknod("device", S_IFCHR | 0600, makedev(1, 3)) && errno == EPERM);
}

static void mappings(void)
{
    unsigned char *map, buf[8192];
    int fd = open("map", O_RDWR | O_CREAT, 0600);

    CHECK(!ftruncate(fd, sizeof(buf)));
    map = mmap(NULL, sizeof(buf), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    if (map == MAP_FAILED)
        return;
    fill(map, sizeof(buf), 3);
    CHECK(!msync(map, sizeof(buf), MS_SYNC));
    CHECK(pread(fd, buf, sizeof(buf), 0) == sizeof(buf));
    CHECK(!memcmp(buf, map, sizeof(buf)));
    CHECK(!munmap(map, sizeof(buf)) && !close(fd));
    fd = open("map", O_RDONLY);
    memset(buf, 0, sizeof(buf));
    map = mmap(NULL, sizeof(buf), PROT_READ, MAP_PRIVATE, fd, 0);
    fill(buf, sizeof(buf), 3);
    CHECK(map != MAP_FAILED && !memcmp(buf, map, sizeof(buf)));
    CHECK(!close(fd) && !unlink("map"));
}

int main(int argc, char **argv)
{
    if (argc < 2)
        errx(2, "no directory given");
    if ((mkdir(argv[1], 0755) && errno != EEXIST) || chdir(argv[1]))
        err(1, "%s", argv[1]);
    data();
    open_files();
    names();
    attributes();
    special();
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "mmap"))
            mappings();
        if (!strcmp(argv[i], "share"))
            devices();
    }
    printf("files: %s\n", bad ? "bad" : "good");
    return bad;
}
