/*
 * test_share.c - every operation of the 9P server on a directory of the host,
 * as a client does it that means well. What one does that does not is in
 * test_share_escape.c.
 */
#include "fake/p9_client.h"
#include "unit/share_fixture.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

TestSuite(share, .init = share_setup, .fini = share_teardown, .timeout = 60);

/* ---- session ---- */

Test(share, agrees_on_a_version)
{
    char version[32];

    cr_assert_eq(p9_ask(c, P9_VERSION, "ds", 8192U, "9P2000.L"), 0);
    cr_expect_eq(p9_take(c, 4), 8192);
    p9_take_string(c, version, sizeof(version));
    cr_expect_str_eq(version, "9P2000.L");
    cr_assert_eq(p9_ask(c, P9_VERSION, "ds", 1U << 30, "9P2000.L"), 0);
    cr_expect_eq(p9_take(c, 4), AX_SHARE_MSIZE);
    cr_expect_eq(p9_ask(c, P9_VERSION, "ds", 100U, "9P2000.L"), -EMSGSIZE);
    cr_assert_eq(p9_ask(c, P9_VERSION, "ds", 8192U, "9P2000.u"), 0);
    p9_take(c, 4);
    p9_take_string(c, version, sizeof(version));
    cr_expect_str_eq(version, "unknown");
    cr_expect_eq(p9_walk(c, P9_ROOT, 1, ""), -EPROTO, "no session");
}

Test(share, a_new_version_ends_the_session)
{
    cr_assert_eq(p9_walk(c, P9_ROOT, 7, ""), 0);
    cr_assert_eq(p9_start(c, 8192, USER), 0);
    cr_expect_eq(p9_clunk(c, 7), -EBADF);
    cr_expect_eq(p9_clunk(c, P9_ROOT), 0);
}

Test(share, attaches_to_one_tree)
{
    struct p9_qid qid;

    cr_assert_eq(p9_ask(c, P9_ATTACH, "ddssd", 5U, ~0U, "me", "/", 0U), 0);
    qid = p9_take_qid(c);
    cr_expect_eq(qid.type, 0x80);
    cr_expect_neq(qid.version, 0);
    cr_expect_eq(p9_ask(c, P9_ATTACH, "ddssd", 6U, ~0U, "", "/etc", 0U),
                 -ENOENT);
    cr_expect_eq(p9_ask(c, P9_ATTACH, "ddssd", 5U, ~0U, "", "", 0U), -EBADF);
    cr_expect_eq(p9_ask(c, P9_AUTH, "dssd", 9U, "", "", 0U), -EOPNOTSUPP);
}

Test(share, walks)
{
    struct p9_attr attr;
    struct stat st;

    cr_assert(!mkdir(at("in/a"), 0755) && !mkdir(at("in/a/b"), 0755));
    host_write("in/a/b/file", "text");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "a/b/file"), 0);
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(p9_take_qid(c).type, i < 2 ? 0x80 : 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_assert(!stat(at("in/a/b/file"), &st));
    cr_expect_eq(attr.valid, 0x7ff);
    cr_expect_eq(attr.qid.path, st.st_ino);
    cr_expect_eq(attr.mode, st.st_mode);
    cr_expect_eq(attr.uid, st.st_uid);
    cr_expect_eq(attr.size, 4);
    cr_expect_eq(attr.nlink, 1);
    cr_expect_eq(attr.mtime, st.st_mtime);
    cr_expect_eq(attr.mtime_nsec, st.st_mtim.tv_nsec);
    /* In place, back to back, and what is in use already. */
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, "a"), 0);
    cr_expect_eq(p9_walk(c, 2, 2, "b"), 0);
    cr_expect_eq(p9_walk(c, 2, 2, "file"), 0);
    cr_expect_eq(p9_walk(c, 2, 1, ""), -EBADF);
    cr_expect_eq(p9_walk(c, 99, 3, ""), -EBADF);
    cr_expect_eq(p9_walk(c, P9_ROOT, ~0U, ""), -EBADF);
}

Test(share, walks_halfway)
{
    cr_assert(!mkdir(at("in/a"), 0755));
    cr_expect_eq(p9_walk(c, P9_ROOT, 1, "none"), -ENOENT);
    cr_expect_eq(c->answer[4], 7, "the first name: an error");
    cr_expect_eq(p9_walk(c, P9_ROOT, 1, "a/none/x"), -ENOENT);
    cr_expect_eq(c->answer[4], P9_WALK + 1, "a later one: an answer");
    cr_expect_eq(c->answer[P9_FRAME], 1);
    cr_expect_eq(c->len, P9_FRAME + 2 + 13);
    cr_expect_eq(p9_clunk(c, 1), -EBADF, "and no fid");
    cr_expect_eq(p9_ask(c, P9_WALK, "ddw", P9_ROOT, 1U, 17U), -EINVAL);
}

/* ---- files ---- */

Test(share, creates_writes_and_reads)
{
    static char big[100000], back[sizeof(big)];
    struct p9_attr attr;

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 7 + i / 256);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, ""), 0);
    cr_assert_eq(p9_create(c, 1, "file", O_RDWR, 0640), 0);
    cr_expect_eq(host_mode("in/file"), S_IFREG | 0640);
    cr_expect_eq(p9_write(c, 1, 0, big, sizeof(big)), sizeof(big));
    cr_expect_eq(p9_read(c, 1, 0, back, sizeof(back)), sizeof(back));
    cr_expect_eq(memcmp(big, back, sizeof(big)), 0);
    cr_expect_eq(p9_read(c, 1, sizeof(big) - 10, back, 4096), 10);
    cr_expect_eq(p9_read(c, 1, 1 << 20, back, 4096), 0);
    cr_expect_eq(p9_write(c, 1, 0, "", 0), 0);
    cr_expect_eq(p9_ask(c, P9_FSYNC, "dd", 1U, 0U), 0);
    cr_expect_eq(p9_ask(c, P9_FSYNC, "dd", 1U, 1U), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect_eq(attr.size, sizeof(big));
    cr_expect_eq(p9_clunk(c, 1), 0);
    cr_expect_eq(p9_clunk(c, 1), -EBADF);
}

Test(share, creation_gives_the_rights_that_were_asked_for)
{
    umask(077);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, ""), 0);
    cr_assert_eq(p9_create(c, 1, "file", O_RDWR, S_IFREG | 0666), 0);
    cr_expect_eq(host_mode("in/file"), S_IFREG | 0666);
    cr_expect_eq(p9_mkdir(c, P9_ROOT, "dir", 01777), 0);
    cr_expect_eq(p9_take_qid(c).type, 0x80);
    cr_expect_eq(host_mode("in/dir"), S_IFDIR | 01777);
    cr_expect_eq(p9_mkdir(c, P9_ROOT, "dir", 0755), -EEXIST);
    cr_expect_eq(p9_ask(c, P9_MKNOD, "dsdddd", P9_ROOT, "pipe", S_IFIFO | 0622,
                        0U, 0U, 0U),
                 0);
    cr_expect_eq(host_mode("in/pipe"), S_IFIFO | 0622);
}

Test(share, root_gives_files_to_the_users_of_the_guest)
{
    struct p9_attr attr;

    if (geteuid())
        cr_skip("not root");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, ""), 0);
    cr_assert_eq(
        p9_ask(c, P9_LCREATE, "dsddd", 1U, "file", O_RDWR, 04755U, 77U), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect_eq(attr.uid, USER);
    cr_expect_eq(attr.gid, 77);
    cr_expect_eq(attr.mode, S_IFREG | 04755, "behind the change of owner");
    cr_assert_eq(p9_ask(c, P9_SYMLINK, "dssd", P9_ROOT, "link", "x", 88U), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, "link"), 0);
    cr_assert_eq(p9_getattr(c, 2, &attr), 0);
    cr_expect_eq(attr.uid, USER);
    cr_expect_eq(attr.gid, 88);
    attr.uid = 5;
    cr_expect_eq(p9_setattr(c, 1, 0x2, &attr), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect_eq(attr.uid, 5);
    cr_expect_eq(attr.gid, 77);
}

Test(share, creating_opens_what_is_there)
{
    char buf[16];

    host_write("in/file", "text");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, ""), 0);
    cr_expect_eq(p9_create(c, 1, "file", O_RDWR | O_EXCL, 0644), -EEXIST);
    cr_assert_eq(p9_create(c, 1, "file", O_RDWR, 0600), 0);
    cr_expect_eq(host_mode("in/file") & 0777, 0644, "its rights stay");
    cr_expect_eq(p9_read(c, 1, 0, buf, sizeof(buf)), 4);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, ""), 0);
    cr_assert_eq(p9_create(c, 2, "file", O_RDWR | O_TRUNC, 0600), 0);
    cr_expect_eq(p9_read(c, 1, 0, buf, sizeof(buf)), 0);
}

Test(share, opens_as_asked)
{
    char buf[16];

    host_write("in/file", "text");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_expect_eq(p9_read(c, 1, 0, buf, 4), -EBADF, "not open");
    cr_expect_eq(p9_ask(c, P9_FSYNC, "dd", 1U, 0U), -EBADF);
    /* Linux's own flags that the server has to leave out or bear. */
    cr_assert_eq(p9_open(c, 1, 0100000 | O_DIRECT | O_NONBLOCK | O_APPEND), 0);
    cr_expect_eq(p9_read(c, 1, 0, buf, 4), 4);
    cr_expect_eq(p9_write(c, 1, 0, "x", 1), -EBADF, "read only");
    cr_expect_eq(p9_open(c, 1, O_RDONLY), -EBADF, "already");
    cr_expect_eq(p9_walk(c, 1, 1, "x"), -EBADF, "from an open one, in place");
    cr_assert_eq(p9_walk(c, 1, 2, ""), 0);
    cr_assert_eq(p9_open(c, 2, O_WRONLY | O_TRUNC | 04000000), 0);
    cr_expect_eq(p9_read(c, 2, 0, buf, 4), -EBADF);
    cr_expect_eq(p9_write(c, 2, 2, "yz", 2), 2);
    cr_expect_eq(p9_read(c, 1, 0, buf, 16), 4);
    cr_expect_eq(memcmp(buf, "\0\0yz", 4), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 3, ""), 0);
    cr_expect_eq(p9_open(c, 3, O_RDWR), -EISDIR);
}

Test(share, an_unlinked_file_lives_while_it_is_open)
{
    struct p9_attr attr = {.size = 3};
    char buf[16];

    cr_assert_eq(p9_walk(c, P9_ROOT, 1, ""), 0);
    cr_assert_eq(p9_create(c, 1, "file", O_RDWR, 0644), 0);
    cr_assert_eq(p9_write(c, 1, 0, "text", 4), 4);
    cr_assert_eq(p9_unlink(c, P9_ROOT, "file", 0), 0);
    cr_expect(!host_has("in/file"));
    cr_expect_eq(p9_read(c, 1, 0, buf, 4), 4);
    cr_expect_eq(p9_setattr(c, 1, 0x8, &attr), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect_eq(attr.size, 3);
    cr_expect_eq(attr.nlink, 0);
    cr_expect_eq(p9_ask(c, P9_REMOVE, "d", 1U), -ESTALE);
    cr_expect_eq(p9_clunk(c, 1), -EBADF, "gone all the same");
}

Test(share, renames_over_an_open_file)
{
    char buf[16];

    host_write("in/old", "old");
    host_write("in/new", "new");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "old"), 0);
    cr_assert_eq(p9_open(c, 1, O_RDONLY), 0);
    cr_assert_eq(p9_rename(c, P9_ROOT, "new", P9_ROOT, "old"), 0);
    cr_expect_eq(p9_read(c, 1, 0, buf, 16), 3);
    cr_expect_eq(memcmp(buf, "old", 3), 0);
    host_expect("in/old", "new");
    cr_expect(!host_has("in/new"));
}

/* ---- names ---- */

Test(share, renames_and_removes_by_fid)
{
    cr_assert(!mkdir(at("in/d"), 0755));
    host_write("in/file", "text");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, "d"), 0);
    cr_assert_eq(p9_ask(c, P9_RENAME, "dds", 1U, 2U, "moved"), 0);
    host_expect("in/d/moved", "text");
    cr_assert_eq(p9_ask(c, P9_RENAME, "dds", 1U, P9_ROOT, "again"), 0);
    host_expect("in/again", "text");
    cr_assert_eq(p9_ask(c, P9_REMOVE, "d", 1U), 0);
    cr_expect(!host_has("in/again"));
    cr_assert_eq(p9_ask(c, P9_REMOVE, "d", 2U), 0);
    cr_expect(!host_has("in/d"));
    cr_expect_eq(p9_ask(c, P9_REMOVE, "d", P9_ROOT), -EBUSY);
}

Test(share, unlinks)
{
    cr_assert(!mkdir(at("in/d"), 0755));
    host_write("in/d/file", "");
    cr_expect_eq(p9_unlink(c, P9_ROOT, "d", 0), -EISDIR);
    cr_expect_eq(p9_unlink(c, P9_ROOT, "d", 0x200), -ENOTEMPTY);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "d"), 0);
    cr_expect_eq(p9_unlink(c, 1, "file", 0x200), -ENOTDIR);
    cr_expect_eq(p9_unlink(c, 1, "file", 0x100), -EINVAL);
    cr_expect_eq(p9_unlink(c, 1, "file", 0), 0);
    cr_expect_eq(p9_unlink(c, P9_ROOT, "d", 0x200), 0);
    cr_expect(!host_has("in/d"));
}

Test(share, links)
{
    char target[64];
    struct p9_attr attr;

    host_write("in/file", "text");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_assert_eq(p9_ask(c, P9_LINK, "dds", P9_ROOT, 1U, "hard"), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect_eq(attr.nlink, 2);
    cr_assert_eq(
        p9_ask(c, P9_SYMLINK, "dssd", P9_ROOT, "soft", "/etc/../x y", 0U), 0);
    cr_expect_eq(p9_take_qid(c).type, 0x02);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, "soft"), 0);
    cr_assert_eq(p9_ask(c, P9_READLINK, "d", 2U), 0);
    p9_take_string(c, target, sizeof(target));
    cr_expect_str_eq(target, "/etc/../x y");
    cr_expect_eq(p9_ask(c, P9_READLINK, "d", 1U), -EINVAL);
    /* A hard link to a symbolic one is one more of it. */
    cr_assert_eq(p9_ask(c, P9_LINK, "dds", P9_ROOT, 2U, "soft2"), 0);
    cr_expect(S_ISLNK(host_mode("in/soft2")));
}

/* Reads a directory with answers of count bytes; returns how many names it has
 * seen of "n0" .. "n<names>", each once. */
static unsigned list(unsigned fid, unsigned names, unsigned count)
{
    bool seen[1000] = {false};
    unsigned found = 0, n;
    uint64_t off = 0;
    char name[300];

    for (;;) {
        cr_assert_eq(p9_ask(c, P9_READDIR, "dqd", fid, off, count), 0);
        cr_assert_leq(p9_take(c, 4), count);
        if (c->len == P9_DATA)
            return found;
        while (c->at < c->len) {
            p9_take_qid(c);
            off = p9_take(c, 8);
            p9_take(c, 1);
            p9_take_string(c, name, sizeof(name));
            if (sscanf(name, "n%u", &n) == 1) {
                cr_assert(n < names && !seen[n], "%s", name);
                seen[n] = true;
                found++;
            }
        }
    }
}

Test(share, lists_directories)
{
    char name[32];

    for (unsigned i = 0; i < 700; i++) {
        snprintf(name, sizeof(name), "in/n%u", i);
        host_write(name, "");
    }
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, ""), 0);
    cr_expect_eq(p9_ask(c, P9_READDIR, "dqd", 1U, UINT64_C(0), 4096U), -EBADF);
    cr_assert_eq(p9_open(c, 1, O_RDONLY | O_DIRECTORY), 0);
    cr_expect_eq(list(1, 700, 100), 700);
    cr_expect_eq(list(1, 700, 4096), 700, "once more, from the start");
    cr_expect_eq(list(1, 700, 1U << 30), 700);
    cr_expect_eq(p9_ask(c, P9_READDIR, "dqd", 1U, UINT64_C(0), 10U), -EINVAL,
                 "not even one fits");
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, "n0"), 0);
    cr_assert_eq(p9_open(c, 2, O_RDONLY), 0);
    cr_expect_eq(p9_ask(c, P9_READDIR, "dqd", 2U, UINT64_C(0), 4096U),
                 -ENOTDIR);
}

Test(share, a_listing_and_a_look_agree_on_the_inode)
{
    struct p9_qid listed, walked;
    char name[300] = "";

    host_write("in/file", "");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    walked = p9_take_qid(c);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, ""), 0);
    cr_assert_eq(p9_open(c, 2, O_RDONLY), 0);
    cr_assert_eq(p9_ask(c, P9_READDIR, "dqd", 2U, UINT64_C(0), 4096U), 0);
    p9_take(c, 4);
    while (strcmp(name, "file") && c->at < c->len) {
        listed = p9_take_qid(c);
        p9_take(c, 8);
        p9_take(c, 1);
        p9_take_string(c, name, sizeof(name));
    }
    cr_assert_str_eq(name, "file");
    cr_expect_eq(listed.path, walked.path);
    cr_expect_eq(listed.type, walked.type);
}

/* ---- attributes ---- */

Test(share, changes_attributes)
{
    struct p9_attr attr, set = {.mode = 0751,
                                .size = 10,
                                .atime = 1000,
                                .atime_nsec = 1,
                                .mtime = 2000,
                                .mtime_nsec = 2};

    host_write("in/file", "text");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_assert_eq(p9_setattr(c, 1, 0x1 | 0x8 | 0x1b0, &set), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect_eq(attr.mode, S_IFREG | 0751);
    cr_expect_eq(attr.size, 10);
    cr_expect_eq(attr.atime, 1000);
    cr_expect_eq(attr.mtime, 2000);
    cr_expect_eq(attr.mtime_nsec, 2);
    cr_assert_eq(p9_setattr(c, 1, 0x20, &set), 0, "modified now");
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect_eq(attr.atime, 1000);
    cr_expect_gt(attr.mtime, 1000000);
    set.size = UINT64_MAX;
    cr_expect_eq(p9_setattr(c, 1, 0x8, &set), -EINVAL);
    set.mtime_nsec = 2000000000;
    cr_expect_eq(p9_setattr(c, 1, 0x120, &set), -EINVAL);
    cr_expect_eq(p9_setattr(c, P9_ROOT, 0x8, &set), -EISDIR);
}

Test(share, changes_the_size_of_an_open_file)
{
    struct p9_attr set = {.size = 2};
    char buf[8];

    host_write("in/file", "text");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_assert_eq(p9_open(c, 1, O_RDONLY), 0);
    cr_expect_eq(p9_setattr(c, 1, 0x8, &set), 0);
    cr_expect_eq(p9_read(c, 1, 0, buf, sizeof(buf)), 2);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, "file"), 0);
    cr_assert_eq(p9_open(c, 2, O_WRONLY), 0);
    set.size = 1;
    cr_expect_eq(p9_setattr(c, 2, 0x8, &set), 0);
    cr_expect_eq(p9_read(c, 1, 0, buf, sizeof(buf)), 1);
}

Test(share, a_link_has_times_and_no_rights)
{
    struct p9_attr attr, set = {.mode = 0600, .mtime = 2000};
    struct stat st;

    host_write("in/file", "text");
    chmod(at("in/file"), 0644);
    cr_assert(!symlink("file", at("in/link")));
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "link"), 0);
    cr_expect_eq(p9_setattr(c, 1, 0x1, &set), -EOPNOTSUPP);
    cr_expect_eq(p9_setattr(c, 1, 0x120, &set), 0);
    cr_assert_eq(p9_getattr(c, 1, &attr), 0);
    cr_expect_eq(attr.mtime, 2000);
    cr_assert(!stat(at("in/link"), &st));
    cr_expect_neq(st.st_mtime, 2000, "not what it points to");
    cr_expect_eq(host_mode("in/file") & 0777, 0644);
}

Test(share, tells_of_the_file_system)
{
    cr_assert_eq(p9_ask(c, P9_STATFS, "d", P9_ROOT), 0);
    cr_expect_eq(p9_take(c, 4), 0x01021997);
    cr_expect_gt(p9_take(c, 4), 0);
    cr_expect_eq(c->len, P9_FRAME + 4 + 4 + 6 * 8 + 4);
}

Test(share, locks_are_the_guest_s_own)
{
    char client_id[32];

    host_write("in/file", "");
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "file"), 0);
    cr_expect_eq(p9_ask(c, P9_LOCK, "dbdqqds", 1U, 1U, 0U, UINT64_C(0),
                        UINT64_C(0), 5U, "host"),
                 -EBADF);
    cr_assert_eq(p9_open(c, 1, O_RDWR), 0);
    cr_assert_eq(p9_ask(c, P9_LOCK, "dbdqqds", 1U, 1U, 0U, UINT64_C(0),
                        UINT64_C(0), 5U, "host"),
                 0);
    cr_expect_eq(p9_take(c, 1), 0);
    cr_assert_eq(p9_ask(c, P9_GETLOCK, "dbqqds", 1U, 1U, UINT64_C(3),
                        UINT64_C(4), 5U, "host"),
                 0);
    cr_expect_eq(p9_take(c, 1), 2, "unlocked");
    cr_expect_eq(p9_take(c, 8), 3);
    cr_expect_eq(p9_take(c, 8), 4);
    cr_expect_eq(p9_take(c, 4), 5);
    p9_take_string(c, client_id, sizeof(client_id));
    cr_expect_str_eq(client_id, "host");
}

Test(share, what_it_does_not_do_it_says)
{
    cr_expect_eq(p9_ask(c, P9_XATTRWALK, "dds", P9_ROOT, 5U, "user.x"),
                 -EOPNOTSUPP);
    cr_expect_eq(p9_clunk(c, 5), -EBADF);
    cr_expect_eq(p9_ask(c, 32, "dsqd", P9_ROOT, "user.x", UINT64_C(1), 0U),
                 -EOPNOTSUPP);
    cr_expect_eq(p9_ask(c, 112, "db", P9_ROOT, 0U), -EOPNOTSUPP, "Topen");
    cr_expect_eq(p9_ask(c, 0, ""), -EOPNOTSUPP);
    cr_expect_eq(p9_ask(c, 255, ""), -EOPNOTSUPP);
    cr_expect_eq(p9_ask(c, P9_FLUSH, "w", 1U), 0);
}

/* ---- many files ---- */

enum { MANY = 300 };

static void make_many(void)
{
    char name[64];

    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "in/d%u", i);
        cr_assert(!mkdir(at(name), 0755));
    }
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "in/d%u/f%u", i % 10, i);
        host_write(name, name + 3);
        cr_assert_eq(p9_walk(c, P9_ROOT, 100 + i, name + 3), 0);
    }
}

/* Does fid 100 + i still read as what it was? */
static int many_check(unsigned i)
{
    char expected[64], buf[64];
    int err = p9_walk(c, 100 + i, 50, "");

    if (!err)
        err = p9_open(c, 50, O_RDONLY);
    if (!err) {
        snprintf(expected, sizeof(expected), "d%u/f%u", i % 10, i);
        memset(buf, 0, sizeof(buf));
        cr_expect_eq(p9_read(c, 50, 0, buf, sizeof(buf) - 1),
                     (int64_t)strlen(expected));
        cr_expect_str_eq(buf, expected);
    }
    p9_clunk(c, 50);
    return err;
}

static const struct ax_share_limits few = {.live = 1, .open = 3};

static unsigned descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

Test(share, holds_more_files_than_it_has_descriptors)
{
    unsigned before = descriptors();

    begin_share(false, &few);
    make_many();
    cr_expect_leq(descriptors(), before + 40);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(many_check(i), 0, "%u", i);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(p9_clunk(c, 100 + i), 0);
    cr_expect_leq(descriptors(), before);
}

Test(share, renames_reach_files_that_were_put_aside)
{
    begin_share(false, &few);
    make_many();
    cr_assert_eq(p9_rename(c, P9_ROOT, "d0", P9_ROOT, "d0x"), 0);
    cr_assert_eq(p9_mkdir(c, P9_ROOT, "sub", 0755), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 1, "sub"), 0);
    cr_assert_eq(p9_rename(c, P9_ROOT, "d1", 1, "deeper and longer"), 0);
    cr_assert_eq(p9_walk(c, P9_ROOT, 2, "d2"), 0);
    cr_assert_eq(p9_rename(c, 2, "f2", 1, "f2"), 0);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(many_check(i), 0, "%u", i);
}

Test(share, what_was_put_aside_is_the_same_or_nothing)
{
    begin_share(false, &few);
    make_many();
    /* Behind the server's back: another file of that name, a link, nothing. */
    host_write("in/new", "new");
    cr_assert(!rename(at("in/new"), at("in/d0/f0")));
    cr_assert(!unlink(at("in/d1/f1")));
    cr_assert(!rename(at("in/d2"), at("in/moved")));
    cr_assert(!symlink("moved", at("in/d2")));
    cr_expect_eq(many_check(0), -ESTALE);
    cr_expect_eq(many_check(1), -ESTALE);
    cr_expect_eq(many_check(2), -ESTALE);
    cr_expect_eq(many_check(3), 0);
}

Test(share, limits_are_refused_politely)
{
    static const struct ax_share_limits limits = {
        .fids = 50, .open = 3, .live = 1, .parked_bytes = 20};
    unsigned made = 0;
    int err;

    begin_share(false, &limits);
    host_write("in/file", "text");
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(p9_walk(c, P9_ROOT, i, "file"), 0);
        cr_assert_eq(p9_open(c, i, O_RDONLY), 0);
    }
    cr_assert_eq(p9_walk(c, P9_ROOT, 4, "file"), 0);
    cr_expect_eq(p9_open(c, 4, O_RDONLY), -EMFILE);
    cr_assert_eq(p9_walk(c, P9_ROOT, 5, ""), 0);
    cr_expect_eq(p9_create(c, 5, "other", O_RDWR, 0644), -EMFILE);
    cr_expect(!host_has("in/other"));
    cr_assert_eq(p9_clunk(c, 1), 0);
    cr_expect_eq(p9_open(c, 4, O_RDONLY), 0);
    for (unsigned i = 10; !(err = p9_walk(c, P9_ROOT, i, "file")); i++)
        made++;
    cr_expect_eq(err, -EMFILE, "paths to remember: %d after %u", err, made);
    for (unsigned i = 200; !(err = p9_walk(c, P9_ROOT, i, "")); i++)
        made++;
    cr_expect_eq(err, -ENFILE);
    cr_expect_leq(made, 50);
}
