/* test_place.c - the directory of control sockets, and connecting to one. */
#include "control/place.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char work[] = "/tmp/axvm-place.XXXXXX";

static void work_make(void)
{
    cr_assert_not_null(mkdtemp(work));
    cr_assert_eq(chdir(work), 0);
}

/* Each test leaves at most these. */
static void work_remove(void)
{
    unlink("dir/socket");
    unlink("dir");
    rmdir("dir");
    rmdir("real");
    cr_assert_eq(rmdir(work), 0);
}

TestSuite(place, .init = work_make, .fini = work_remove);

Test(place, runtime_directory_comes_first)
{
    char dir[64], wanted[64];

    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    cr_assert_eq(ax_control_dir(dir, sizeof(dir)), 0);
    cr_assert_str_eq(dir, "/run/user/7/axvm");
    cr_assert_eq(ax_control_dir(dir, strlen("/run/user/7/axvm")),
                 -ENAMETOOLONG);
    cr_assert_eq(ax_control_dir(dir, strlen("/run/user/7/axvm") + 1), 0);

    if (geteuid())
        snprintf(wanted, sizeof(wanted), "/tmp/axvm-%u", geteuid());
    else
        snprintf(wanted, sizeof(wanted), "/run/axvm");
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    cr_assert_eq(ax_control_dir(dir, sizeof(dir)), 0);
    cr_assert_str_eq(dir, wanted);
    setenv("XDG_RUNTIME_DIR", "", 1);
    cr_assert_eq(ax_control_dir(dir, sizeof(dir)), 0);
    cr_assert_str_eq(dir, wanted);
    unsetenv("XDG_RUNTIME_DIR");
    cr_assert_eq(ax_control_dir(dir, sizeof(dir)), 0);
    cr_assert_str_eq(dir, wanted);
}

Test(place, another_user)
{
    char dir[64];

    if (geteuid())
        cr_skip("needs root");
    unsetenv("XDG_RUNTIME_DIR");
    cr_assert_eq(mkdir("dir", 0700), 0);
    cr_assert_eq(seteuid(1234), 0);
    cr_assert_eq(ax_control_dir(dir, sizeof(dir)), 0);
    cr_assert_str_eq(dir, "/tmp/axvm-1234");
    cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(ax_control_check_dir("dir"), 0);
    cr_assert_eq(chown("dir", 1234, 1234), 0);
    cr_assert_eq(ax_control_check_dir("dir"), -EPERM);
    cr_assert_eq(ax_control_make_dir("dir"), -EPERM);
}

Test(place, directory_is_made_once)
{
    struct stat st;

    cr_assert_eq(ax_control_check_dir("dir"), -ENOENT);
    cr_assert_eq(ax_control_make_dir("dir"), 0);
    cr_assert_eq(stat("dir", &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
    cr_assert_eq(ax_control_make_dir("dir"), 0);
    cr_assert_eq(ax_control_check_dir("dir"), 0);
    cr_assert_eq(ax_control_make_dir("none/dir"), -ENOENT);
}

Test(place, directory_that_is_open_to_others)
{
    cr_assert_eq(mkdir("dir", 0700), 0);
    cr_assert_eq(chmod("dir", 0701), 0);
    cr_assert_eq(ax_control_make_dir("dir"), -EPERM);
    cr_assert_eq(chmod("dir", 0720), 0);
    cr_assert_eq(ax_control_check_dir("dir"), -EPERM);
}

/* What a link points to can be changed by whoever owns the link. */
Test(place, link_is_no_directory)
{
    cr_assert_eq(mkdir("real", 0700), 0);
    cr_assert_eq(symlink("real", "dir"), 0);
    cr_assert_eq(ax_control_check_dir("dir"), -EPERM);
    cr_assert_eq(ax_control_make_dir("dir"), -EPERM);
}

static int listener_open(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(addr.sun_path, path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

Test(place, connect)
{
    char byte;
    int listener, fd, peer;

    cr_assert_eq(ax_control_make_dir("dir"), 0);
    cr_assert_eq(ax_control_connect("dir/socket"), -ENOENT);
    listener = listener_open("dir/socket");
    cr_assert_eq(ax_control_connect("dir/socket"), -ECONNREFUSED);
    cr_assert_eq(listen(listener, 1), 0);
    fd = ax_control_connect("dir/socket");
    cr_assert_geq(fd, 0);
    peer = accept(listener, NULL, NULL);
    cr_assert_geq(peer, 0);
    cr_assert_eq(recv(fd, &byte, 1, 0), -1);
    cr_assert_eq(errno, EAGAIN);
    close(peer);
    close(fd);
    close(listener);
    cr_assert_eq(ax_control_connect("dir/socket"), -ECONNREFUSED);
}

/* Nobody accepts: the caller is not made to wait for that. */
Test(place, connect_to_a_full_queue, .timeout = 60)
{
    int fds[16], count = 0, listener;

    cr_assert_eq(ax_control_make_dir("dir"), 0);
    listener = listener_open("dir/socket");
    cr_assert_eq(listen(listener, 0), 0);
    while (count < 16) {
        fds[count] = ax_control_connect("dir/socket");
        if (fds[count] < 0)
            break;
        count++;
    }
    cr_assert_lt(count, 16);
    cr_assert_eq(fds[count], -EAGAIN);
    while (count)
        close(fds[--count]);
    close(listener);
}

Test(place, connect_to_a_long_path)
{
    char path[200];

    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    cr_assert_eq(ax_control_connect(path), -ENAMETOOLONG);
    path[108] = '\0';
    cr_assert_eq(ax_control_connect(path), -ENAMETOOLONG);
    path[107] = '\0';
    cr_assert_eq(ax_control_connect(path), -ENOENT);
}
