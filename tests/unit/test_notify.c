/* test_notify.c - what the service manager hears, and what if it does not. */
#include "host/notify.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[] = "/tmp/axvm-test-notify-XXXXXX";
static char path[64];
static char heard[256];

static void init(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/socket", dir);
    unsetenv("NOTIFY_SOCKET");
}

static void fini(void)
{
    unlink(path);
    rmdir(dir);
}

TestSuite(notify, .init = init, .fini = fini, .timeout = 60);

/* A manager's socket. name is as in $NOTIFY_SOCKET; size: bytes of it. */
static int listen_at(const char *name, size_t size)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    memcpy(addr.sun_path, name, size);
    if (*name == '@')
        addr.sun_path[0] = '\0';
    cr_assert_eq(
        bind(fd, (struct sockaddr *)&addr,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)),
        0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static const char *hear(int fd)
{
    ssize_t n = recv(fd, heard, sizeof(heard) - 1, 0);

    cr_assert_geq(n, 0);
    heard[n] = '\0';
    return heard;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += dup2(fd, fd) == fd;
    return count;
}

Test(notify, nobody_asked)
{
    cr_assert_eq(ax_notify("READY=1"), 0);
    setenv("NOTIFY_SOCKET", "", 1);
    cr_assert_eq(ax_notify("READY=1"), 0);
}

Test(notify, one_datagram_to_a_path)
{
    int fd = listen_at(path, strlen(path) + 1);

    cr_assert_eq(ax_notify("READY=1\nSTATUS=2 guests"), 0);
    cr_assert_eq(ax_notify("STOPPING=1"), 0);
    cr_assert_str_eq(hear(fd), "READY=1\nSTATUS=2 guests");
    cr_assert_str_eq(hear(fd), "STOPPING=1");
    close(fd);
}

Test(notify, the_abstract_name_space)
{
    char name[64];
    int fd;

    snprintf(name, sizeof(name), "@axvm-test-notify-%ld", (long)getpid());
    fd = listen_at(name, strlen(name));
    cr_assert_eq(ax_notify("READY=1"), 0);
    cr_assert_str_eq(hear(fd), "READY=1");
    close(fd);
}

/* The longest one fills the address; one byte more does not fit. */
Test(notify, long_names)
{
    char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 2];
    int fd;

    memset(name, 'n', sizeof(name));
    snprintf(name, sizeof(name), "@axvm-%ld", (long)getpid());
    name[strlen(name)] = '-';
    name[sizeof(name) - 2] = '\0';
    fd = listen_at(name, strlen(name));
    cr_assert_eq(ax_notify("READY=1"), 0);
    cr_assert_str_eq(hear(fd), "READY=1");
    close(fd);

    name[sizeof(name) - 2] = 'n';
    name[sizeof(name) - 1] = '\0';
    setenv("NOTIFY_SOCKET", name, 1);
    cr_assert_eq(ax_notify("READY=1"), -ENAMETOOLONG);
    /* A path needs its NUL as well. */
    name[0] = '/';
    name[sizeof(name) - 2] = '\0';
    setenv("NOTIFY_SOCKET", name, 1);
    cr_assert_eq(ax_notify("READY=1"), -ENAMETOOLONG);
    name[sizeof(name) - 3] = '\0';
    setenv("NOTIFY_SOCKET", name, 1);
    cr_assert_eq(ax_notify("READY=1"), -ENOENT);
}

Test(notify, names_that_are_none)
{
    setenv("NOTIFY_SOCKET", "relative/socket", 1);
    cr_assert_eq(ax_notify("READY=1"), -EAFNOSUPPORT);
    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    cr_assert_eq(ax_notify("READY=1"), -EAFNOSUPPORT);
    setenv("NOTIFY_SOCKET", "@", 1);
    cr_assert_eq(ax_notify("READY=1"), -EINVAL);
}

Test(notify, a_manager_that_is_gone)
{
    int fd = listen_at(path, strlen(path) + 1);

    close(fd);
    cr_assert_eq(ax_notify("READY=1"), -ECONNREFUSED);
    unlink(path);
    cr_assert_eq(ax_notify("READY=1"), -ENOENT);
}

/* Its queue fills up, and we come back all the same. */
Test(notify, a_manager_that_hangs)
{
    int fd = listen_at(path, strlen(path) + 1), err = 0;

    for (unsigned i = 0; !err && i < 100000; i++)
        err = ax_notify("STATUS=still here");
    cr_assert_eq(err, -EAGAIN);
    close(fd);
}

Test(notify, no_descriptor_stays_open)
{
    int fd = listen_at(path, strlen(path) + 1);
    const unsigned before = open_descriptors();

    cr_assert_eq(ax_notify("READY=1"), 0);
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    cr_assert_eq(ax_notify("READY=1"), -ENOENT);
    cr_assert_eq(open_descriptors(), before);
    close(fd);
}
