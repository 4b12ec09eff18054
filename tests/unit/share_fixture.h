/*
 * share_fixture.h - a temporary directory, a share of it, and a client of that.
 * For Criterion tests, each of which is a process of its own.
 */
#ifndef AX_TESTS_SHARE_FIXTURE_H
#define AX_TESTS_SHARE_FIXTURE_H

#include "devices/share.h"
#include "fake/p9_client.h"
#include "log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { USER = 1234 };

static char top[] = "/tmp/axvm-share-XXXXXX"; /* the share is "in" there */
static char inside[sizeof(top) + 3];
static struct ax_log *quiet;
static struct ax_share *share;
static struct p9_client client, *const c = &client;

/* A path below top. */
static inline const char *at(const char *path)
{
    static char buf[4][512];
    static unsigned next;
    char *full = buf[next++ % 4];

    snprintf(full, sizeof(buf[0]), "%s/%s", top, path);
    return full;
}

static inline void host_write(const char *path, const char *text)
{
    FILE *f = fopen(at(path), "w");

    cr_assert(f && fputs(text, f) >= 0 && !fclose(f), "%s", path);
}

static inline void host_expect(const char *path, const char *text)
{
    char buf[256] = "";
    FILE *f = fopen(at(path), "r");

    cr_assert(f, "%s", path);
    buf[fread(buf, 1, sizeof(buf) - 1, f)] = '\0';
    fclose(f);
    cr_expect_str_eq(buf, text, "%s", path);
}

static inline mode_t host_mode(const char *path)
{
    struct stat st;

    cr_assert(!lstat(at(path), &st), "%s", path);
    return st.st_mode;
}

static inline bool host_has(const char *path)
{
    struct stat st;

    return !lstat(at(path), &st);
}

static inline void begin_share(bool readonly,
                               const struct ax_share_limits *limits)
{
    ax_share_destroy(share);
    cr_assert_eq(ax_share_create(inside, readonly, limits, quiet, &share), 0);
    client.carry = p9_carry_to_share;
    client.ctx = share;
    cr_assert_eq(p9_start(c, P9_MSIZE, USER), 0);
}

static inline void share_setup(void)
{
    cr_assert(mkdtemp(top));
    snprintf(inside, sizeof(inside), "%s/in", top);
    cr_assert(!mkdir(inside, 0755));
    cr_assert(!ax_log_create("/dev/null", AX_LOG_OFF, &quiet));
    begin_share(false, NULL);
}

static inline int remove_one(const char *path, const struct stat *st, int kind,
                             struct FTW *ftw)
{
    return remove(path);
}

static inline void share_teardown(void)
{
    ax_share_destroy(share);
    ax_log_destroy(quiet);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
