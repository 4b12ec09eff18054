/*
 * test_share_escape.c - a client that wants out of the directory, or the server
 * to hang, or more than it is given. "out" stands beside the share, "in".
 */
#include "devices/share_parts.h"
#include "fake/p9_client.h"
#include "unit/share_fixture.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static void escape_setup(void)
{
    share_setup();
    host_write("secret", "secret");
    cr_assert(!mkdir(at("out"), 0755));
    host_write("out/secret", "secret");
    host_write("in/file", "text");
}

TestSuite(escape, .init = escape_setup, .fini = share_teardown, .timeout = 60);

/* ---- names ---- */

static const char *const bad_names[] = {
    "", ".", "..", "/", "../secret", "a/b", "/etc/passwd", "file/", "file/..",
};

/* A walk of one name, slashes and all. */
static int walk_one(unsigned newfid, const char *name)
{
    return p9_ask(c, P9_WALK, "ddws", P9_ROOT, newfid, 1U, name);
}

Test(escape, names_are_names)
{
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    for (size_t i = 0; i < AX_ARRAY_LEN(bad_names); i++) {
        const char *name = bad_names[i];

        cr_expect_eq(walk_one(9, name), -EINVAL, "%s", name);
        cr_expect_eq(p9_create(c, P9_ROOT, name, O_RDWR, 0644), -EINVAL);
        cr_expect_eq(p9_mkdir(c, P9_ROOT, name, 0755), -EINVAL);
        cr_expect_eq(p9_unlink(c, P9_ROOT, name, 0), -EINVAL);
        cr_expect_eq(p9_rename(c, P9_ROOT, "file", P9_ROOT, name), -EINVAL);
        cr_expect_eq(p9_rename(c, P9_ROOT, name, P9_ROOT, "x"), -EINVAL);
        cr_expect_eq(p9_ask(c, P9_LINK, "dds", P9_ROOT, 1U, name), -EINVAL);
        cr_expect_eq(p9_ask(c, P9_RENAME, "dds", 1U, P9_ROOT, name), -EINVAL);
        cr_expect_eq(p9_ask(c, P9_SYMLINK, "dssd", P9_ROOT, name, "x", 0U),
                     -EINVAL);
        cr_expect_eq(p9_ask(c, P9_MKNOD, "dsdddd", P9_ROOT, name,
                            S_IFREG | 0644, 0U, 0U, 0U),
                     -EINVAL);
    }
    cr_expect(host_has("secret") && host_has("in/file"));
}

Test(escape, no_zero_in_a_name_and_no_name_too_long)
{
    static const uint8_t zero[] = {24, 0, 0, 0,   P9_WALK, 1,   0,   0,
                                   0,  0, 0, 9,   0,       0,   0,   1,
                                   0,  5, 0, 'f', 0,       'i', 'l', 'e'};
    char name[300];

    cr_expect_eq(p9_ask_raw(c, zero, sizeof(zero)), -EINVAL);
    memset(name, 'a', sizeof(name));
    name[256] = '\0';
    cr_expect_eq(walk_one(9, name), -ENAMETOOLONG);
    name[255] = '\0';
    cr_expect_eq(walk_one(9, name), -ENOENT);
    cr_expect_eq(p9_mkdir(c, P9_ROOT, name, 0755), 0);
}

Test(escape, there_is_no_way_up)
{
    cr_assert(!mkdir(at("in/d"), 0755));
    cr_expect_eq(p9_walk(c, P9_ROOT, 9, ".."), -EINVAL);
    cr_expect_eq(p9_walk(c, P9_ROOT, 9, "d/.."), -EINVAL);
    cr_expect_eq(p9_walk(c, P9_ROOT, 9, "d/../../secret"), -EINVAL);
}

/* ---- links ---- */

Test(escape, links_are_not_followed)
{
    static const char *const targets[] = {"/", "..", "../out", "/etc",
                                          "/proc/self/root"};
    char buf[64];

    for (size_t i = 0; i < AX_ARRAY_LEN(targets); i++) {
        cr_assert(!symlink(targets[i], at("in/link")));
        cr_assert_eq(p9_walk(c, P9_ROOT, 1, "link"), 0);
        cr_expect_eq(p9_take_qid(c).type, 0x02);
        cr_expect_eq(p9_open(c, 1, O_RDONLY), -ELOOP);
        cr_expect_eq(p9_open(c, 1, O_RDONLY | O_DIRECTORY), -ELOOP);
        cr_expect_eq(p9_walk(c, 1, 2, "secret"), -ENOTDIR);
        cr_expect_eq(p9_walk(c, P9_ROOT, 2, "link/secret"), -ENOENT);
        cr_expect_eq(p9_walk(c, P9_ROOT, 2, "link/passwd"), -ENOENT);
        cr_expect_eq(p9_mkdir(c, 1, "made", 0755), -ENOTDIR);
        cr_expect_eq(p9_unlink(c, 1, "secret", 0), -ENOTDIR);
        cr_expect_eq(p9_create(c, 1, "made", O_RDWR, 0644), -ENOTDIR);
        cr_assert_eq(p9_ask(c, P9_READLINK, "d", 1U), 0);
        p9_take_string(c, buf, sizeof(buf));
        cr_expect_str_eq(buf, targets[i]);
        cr_assert_eq(p9_clunk(c, 1), 0);
        cr_assert(!unlink(at("in/link")));
    }
    cr_expect(!host_has("out/made") && host_has("out/secret"));
}

Test(escape, creating_at_a_link_does_not_reach_through)
{
    cr_assert(!symlink("../out/secret", at("in/link")));
    cr_assert(!symlink("../out/new", at("in/dangling")));
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, ""), 0);
    cr_expect_eq(p9_create(c, 1, "link", O_RDWR | O_TRUNC, 0644), -ELOOP);
    cr_expect_eq(p9_create(c, 1, "dangling", O_RDWR, 0644), -ELOOP);
    cr_expect_eq(p9_mkdir(c, 1, "dangling", 0755), -EEXIST);
    host_expect("out/secret", "secret");
    cr_expect(!host_has("out/new"));
}

Test(escape, changes_at_a_link_change_the_link)
{
    struct p9_attr set = {.mode = 0, .size = 0};

    cr_assert(!symlink("../out/secret", at("in/link")));
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "link"), 0);
    cr_expect_eq(p9_setattr(c, 1, 0x1, &set), -EOPNOTSUPP);
    cr_expect_eq(p9_setattr(c, 1, 0x8, &set), -EINVAL);
    cr_expect_eq(p9_rename(c, P9_ROOT, "link", P9_ROOT, "link2"), 0);
    cr_expect_eq(p9_rename(c, P9_ROOT, "file", P9_ROOT, "link2"), 0);
    host_expect("out/secret", "secret");
    host_expect("in/link2", "text");
}

/*
 * The race: somebody puts a link where the client has walked through a
 * directory, or to a file. What was found is what is used.
 */
Test(escape, a_link_instead_of_a_directory_walked_through)
{
    char buf[16];

    cr_assert(!mkdir(at("in/d"), 0755));
    host_write("in/d/secret", "harmless");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "d"), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, "d/secret"), 0);
    cr_assert(!rename(at("in/d"), at("in/e")));
    cr_assert(!symlink("../out", at("in/d")));
    cr_assert_eq(p9_open(c, 2, O_RDONLY), 0);
    cr_expect_eq(p9_read(c, 2, 0, buf, sizeof(buf)), 8);
    cr_assert_eq(p9_walk(c, 1, 3, "secret"), 0);
    cr_assert_eq(p9_open(c, 3, O_RDONLY), 0);
    cr_expect_eq(p9_read(c, 3, 0, buf, sizeof(buf)), 8);
    cr_expect_eq(p9_mkdir(c, 1, "made", 0755), 0);
    cr_expect(host_has("in/e/made") && !host_has("out/made"));
    /* By fid: its directory is looked up again, as it is now. */
    cr_expect_eq(p9_ask(c, P9_RENAME, "dds", 2U, P9_ROOT, "got"), 0);
    host_expect("in/got", "harmless");
    cr_expect(host_has("out/secret"));
    cr_expect_eq(p9_walk(c, P9_ROOT, 4, "d/secret"), -ENOENT);
}

Test(escape, a_link_instead_of_a_directory_put_aside)
{
    static const struct ax_share_limits few = {.live = 1};
    char name[32];

    begin_share(false, &few);
    cr_assert(!mkdir(at("in/d"), 0755));
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "d"), 0);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "in/f%u", i);
        host_write(name, "");
        cr_assert_eq(p9_walk(c, P9_ROOT, 10 + i, name + 3), 0);
    }
    cr_assert(!rmdir(at("in/d")));
    cr_assert(!symlink("../out", at("in/d")));
    cr_expect_eq(p9_walk(c, 1, 2, "secret"), -ESTALE);
    cr_expect_eq(p9_mkdir(c, 1, "made", 0755), -ESTALE);
    cr_expect(!host_has("out/made"));
}

Test(escape, a_directory_moved_out_leads_nowhere_by_its_path)
{
    cr_assert(!mkdir(at("in/d"), 0755));
    host_write("in/d/file", "text");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "d/file"), 0);
    cr_assert(!rename(at("in/d"), at("inside-no-more")));
    cr_expect_eq(p9_ask(c, P9_RENAME, "dds", 1U, P9_ROOT, "got"), -ESTALE);
    cr_expect_eq(p9_ask(c, P9_REMOVE, "d", 1U), -ESTALE);
    cr_expect(host_has("inside-no-more/file"));
}

/* ---- what is not a file ---- */

Test(escape, a_fifo_does_not_hang)
{
    struct p9_attr attr;

    cr_assert(!mkfifo(at("in/pipe"), 0666));
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "pipe"), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect(S_ISFIFO(attr.mode));
    cr_expect_eq(p9_open(c, 1, O_RDONLY), -EPERM);
    cr_expect_eq(p9_open(c, 1, O_WRONLY), -EPERM);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, ""), 0);
    cr_expect_eq(p9_create(c, 2, "pipe", O_WRONLY, 0644), -EPERM);
    attr.size = 0;
    cr_expect_eq(p9_setattr(c, 1, 0x8, &attr), -EINVAL);
}

Test(escape, a_fifo_swapped_in_does_not_hang)
{
    char buf[8];

    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_assert(!unlink(at("in/file")) && !mkfifo(at("in/file"), 0666));
    cr_assert_eq(p9_open(c, 1, O_RDONLY), 0, "what was found is opened");
    cr_expect_eq(p9_read(c, 1, 0, buf, sizeof(buf)), 4);
}

Test(escape, a_socket_is_not_opened)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", at("in/sock"));
    cr_assert(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "sock"), 0);
    cr_expect_eq(p9_open(c, 1, O_RDWR), -EPERM);
    close(fd);
}

Test(escape, no_devices)
{
    struct p9_attr attr;

    cr_expect_eq(p9_ask(c, P9_MKNOD, "dsdddd", P9_ROOT, "null", S_IFCHR | 0666,
                        1U, 3U, 0U),
                 -EPERM);
    cr_expect_eq(p9_ask(c, P9_MKNOD, "dsdddd", P9_ROOT, "disk", S_IFBLK | 0666,
                        8U, 0U, 0U),
                 -EPERM);
    cr_expect_eq(p9_ask(c, P9_MKNOD, "dsdddd", P9_ROOT, "dir", S_IFDIR | 0755,
                        0U, 0U, 0U),
                 -EINVAL);
    cr_expect(!host_has("in/null") && !host_has("in/disk"));
    if (mknod(at("in/null"), S_IFCHR | 0666, makedev(1, 3)))
        cr_skip("no right to make devices");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "null"), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect_eq(attr.rdev, makedev(1, 3));
    cr_expect_eq(p9_open(c, 1, O_RDONLY), -EPERM);
    cr_expect_eq(p9_open(c, 1, O_RDWR | O_TRUNC), -EPERM);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, ""), 0);
    cr_expect_eq(p9_create(c, 2, "null", O_RDWR, 0666), -EPERM);
}

Test(escape, the_kernel_s_file_systems_are_empty)
{
    struct p9_attr attr = {0}, set = {.mode = 0};
    struct ax_share *other;

    cr_assert_eq(ax_share_create("/", true, NULL, quiet, &other), 0);
    client.ctx = other;
    cr_assert_eq(p9_start(c, P9_MSIZE, USER), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "proc"), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect(S_ISDIR(attr.mode));
    cr_expect_eq(p9_open(c, 1, O_RDONLY), -EACCES);
    cr_expect_eq(p9_walk(c, 1, 2, "self"), -ENOENT);
    cr_expect_eq(p9_walk(c, P9_ROOT, 2, "proc/kmsg"), -ENOENT);
    cr_expect_eq(p9_walk(c, P9_ROOT, 2, "proc/self/root"), -ENOENT);
    ax_share_destroy(other);
    cr_assert_eq(ax_share_create("/", false, NULL, quiet, &other), 0);
    client.ctx = other;
    cr_assert_eq(p9_start(c, P9_MSIZE, USER), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "proc"), 0);
    cr_expect_eq(p9_setattr(c, 1, 0x1, &set), -EACCES);
    cr_expect_eq(p9_mkdir(c, 1, "x", 0755), -EACCES);
    ax_share_destroy(other);
    cr_expect_eq(ax_share_create("/proc", true, NULL, quiet, &other), -EPERM);
    cr_expect_null(other);
}

/* ---- readonly ---- */

Test(escape, readonly_is_readonly)
{
    struct p9_attr set = {.size = 0};
    char buf[8];

    cr_assert(!mkdir(at("in/d"), 0755));
    begin_share(true, NULL);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, ""), 0);
    cr_expect_eq(p9_open(c, 1, O_RDWR), -EROFS);
    cr_expect_eq(p9_open(c, 1, O_WRONLY), -EROFS);
    cr_expect_eq(p9_open(c, 1, O_RDONLY | O_TRUNC), -EROFS);
    cr_expect_eq(p9_open(c, 1, 3), -EROFS, "access mode 3");
    cr_expect_eq(p9_create(c, 2, "new", O_RDONLY, 0644), -EROFS);
    cr_expect_eq(p9_create(c, 2, "file", O_RDONLY, 0644), -EROFS);
    for (unsigned valid = 1; valid < 0x200; valid <<= 1)
        cr_expect_eq(p9_setattr(c, 1, valid, &set), -EROFS);
    cr_expect_eq(p9_mkdir(c, 2, "new", 0755), -EROFS);
    cr_expect_eq(p9_unlink(c, 2, "file", 0), -EROFS);
    cr_expect_eq(p9_unlink(c, 2, "d", 0x200), -EROFS);
    cr_expect_eq(p9_rename(c, 2, "file", 2, "new"), -EROFS);
    cr_expect_eq(p9_ask(c, P9_RENAME, "dds", 1U, 2U, "new"), -EROFS);
    cr_expect_eq(p9_ask(c, P9_LINK, "dds", 2U, 1U, "new"), -EROFS);
    cr_expect_eq(p9_ask(c, P9_SYMLINK, "dssd", 2U, "new", "x", 0U), -EROFS);
    cr_expect_eq(
        p9_ask(c, P9_MKNOD, "dsdddd", 2U, "new", S_IFREG | 0644, 0U, 0U, 0U),
        -EROFS);
    cr_expect_eq(p9_open(c, 1, O_RDONLY), 0);
    cr_expect_eq(p9_write(c, 1, 0, "x", 1), -EROFS);
    cr_expect_eq(p9_read(c, 1, 0, buf, sizeof(buf)), 4);
    cr_expect_eq(p9_ask(c, P9_REMOVE, "d", 1U), -EROFS);
    cr_expect_eq(p9_clunk(c, 1), -EBADF, "let go of all the same");
    host_expect("in/file", "text");
    cr_expect(!host_has("in/new"));
}

/* ---- messages ---- */

static int raw(uint32_t size, uint8_t type, const void *body, size_t body_len)
{
    uint8_t msg[64] = {(uint8_t)size,
                       (uint8_t)(size >> 8),
                       (uint8_t)(size >> 16),
                       (uint8_t)(size >> 24),
                       type,
                       1};

    memcpy(msg + P9_FRAME, body, body_len);
    return p9_ask_raw(c, msg, P9_FRAME + body_len);
}

Test(escape, sizes_are_checked)
{
    static const uint8_t fid[4] = {0};

    cr_expect_eq(raw(11, P9_GETATTR, fid, 4), -EINVAL, "ends early");
    cr_expect_eq(raw(1000, P9_CLUNK, fid, 4), -EMSGSIZE, "says too much");
    cr_expect_eq(raw(UINT32_MAX, P9_CLUNK, fid, 4), -EMSGSIZE);
    cr_expect_eq(raw(0, P9_CLUNK, fid, 4), -EMSGSIZE);
    cr_expect_eq(raw(6, P9_CLUNK, fid, 4), -EMSGSIZE);
    cr_expect_eq(raw(7, P9_CLUNK, fid, 4), -EINVAL, "says too little");
    cr_expect_eq(raw(11, P9_CLUNK, fid, 4), 0);
}

Test(escape, a_message_that_is_no_message_has_no_answer)
{
    static const uint8_t bytes[16] = {16};
    uint8_t answer[16];

    for (size_t len = 0; len < P9_FRAME; len++)
        cr_expect_eq(p9_carry_to_share(share, bytes, len, answer, 16), 0);
    for (size_t room = 0; room < P9_DATA; room++)
        cr_expect_eq(p9_carry_to_share(share, bytes, 16, answer, room), 0);
}

Test(escape, answers_fit_their_room)
{
    struct p9_attr attr;
    char buf[4096];

    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_assert_eq(p9_open(c, 1, O_RDONLY), 0);
    for (c->room = P9_DATA; c->room < 300; c->room++) {
        cr_expect_eq(p9_getattr(c, P9_ROOT, &attr),
                     c->room < 160 ? -EMSGSIZE : 0);
        int64_t got = p9_read(c, 1, 0, buf, sizeof(buf));

        cr_expect_eq(got,
                     c->room < P9_DATA + 4 ? (int64_t)c->room - P9_DATA : 4);
    }
}

Test(escape, a_message_is_no_longer_than_agreed)
{
    static char data[16384];

    host_write("in/big", "");
    cr_assert(!truncate(at("in/big"), sizeof(data)));
    cr_assert_eq(p9_start(c, 4096, USER), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "big"), 0);
    cr_assert_eq(p9_open(c, 1, O_RDWR), 0);
    cr_expect_eq(p9_read(c, 1, 0, data, sizeof(data)), 4096 - P9_DATA);
    cr_expect_eq(p9_write(c, 1, 0, data, sizeof(data)), -EMSGSIZE);
    cr_expect_eq(p9_write(c, 1, 0, data, 4000), 4000);
}

/* count: what the message says; present: what is there. */
static int write_claim(uint32_t size, uint32_t count, size_t present)
{
    uint8_t msg[128] = {(uint8_t)size, 0, 0, 0, P9_WRITE, 1, 0, 1};

    memcpy(msg + 19, &count, 4);
    return p9_ask_raw(c, msg, 23 + present);
}

Test(escape, a_write_has_the_bytes_that_it_says)
{
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_assert_eq(p9_open(c, 1, O_RDWR), 0);
    cr_expect_eq(write_claim(33, 10, 10), 0);
    cr_expect_eq(write_claim(33, 11, 10), -EINVAL);
    cr_expect_eq(write_claim(33, UINT32_MAX, 10), -EINVAL);
    cr_expect_eq(write_claim(22, 0, 0), -EINVAL);
    cr_expect_eq(write_claim(23, 10, 10), 0, "as Linux before 4.19");
}

Test(escape, offsets_are_checked)
{
    char buf[8];

    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_assert_eq(p9_open(c, 1, O_RDWR), 0);
    cr_expect_eq(p9_read(c, 1, UINT64_MAX, buf, 8), -EINVAL);
    cr_expect_eq(p9_read(c, 1, INT64_MAX, buf, 8), -EINVAL);
    cr_expect_lt(p9_write(c, 1, UINT64_MAX, buf, 8), 0);
    cr_expect_lt(p9_write(c, 1, INT64_MAX, buf, 8), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, ""), 0);
    cr_assert_eq(p9_open(c, 2, O_RDONLY), 0);
    cr_expect_eq(p9_read(c, 2, 0, buf, 8), -EISDIR);
    cr_expect_eq(p9_ask(c, P9_READDIR, "dqd", 2U, UINT64_MAX, 4096U), -EINVAL);
}

Test(escape, a_long_message_is_refused_as_too_long)
{
    static char target[PATH_MAX + 1];

    memset(target, 'x', PATH_MAX);
    cr_expect_eq(p9_ask(c, P9_SYMLINK, "dssd", P9_ROOT, "link", target, 0U),
                 -ENAMETOOLONG);
    target[PATH_MAX - 1] = '\0';
    cr_expect_eq(p9_ask(c, P9_SYMLINK, "dssd", P9_ROOT, "link", target, 0U), 0);
    cr_expect_eq(
        p9_ask(c, P9_ATTACH, "ddssss", 5U, ~0U, target, target, target, target),
        -ENAMETOOLONG);
}

/* ---- refusals to begin ---- */

Test(escape, a_share_is_a_directory)
{
    struct ax_share *none;

    cr_expect_eq(ax_share_create(at("nowhere"), true, NULL, quiet, &none),
                 -ENOENT);
    cr_expect_eq(ax_share_create(at("secret"), true, NULL, quiet, &none),
                 -ENOTDIR);
    cr_expect_null(none);
}

/* ---- the codec ---- */

Test(escape, the_reader_s_first_error_stays)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 0, 'a'};
    struct ax_share_reader r = {.at = bytes, .left = sizeof(bytes)};
    char name[AX_SHARE_NAME];

    cr_expect_eq(ax_share_get32(&r), 0x04030201);
    ax_share_get_string(&r, name, sizeof(name));
    cr_expect_eq(r.err, -EINVAL, "five bytes of one");
    cr_expect_str_eq(name, "");
    ax_share_get_name(&r, name);
    cr_expect_eq(ax_share_get(&r, 8), 0);
    ax_share_fail(&r, -EBADF);
    cr_expect_eq(r.err, -EINVAL);
}

Test(escape, the_writer_ends_where_its_room_ends)
{
    uint8_t buf[8] = {0};
    struct ax_share_writer w = {.buf = buf, .size = 7};

    ax_share_put(&w, 0x0102, 2);
    ax_share_put_string(&w, "abc", 3);
    cr_expect(!w.full);
    cr_expect_eq(memcmp(buf, "\2\1\3\0abc", 8), 0);
    ax_share_put(&w, 1, 1);
    cr_expect(w.full);
    cr_expect_eq(w.len, 7);
    cr_expect_eq(buf[7], 0);
    ax_share_put_string(&w, "", 0);
    cr_expect_eq(w.len, 7);
}
