/* test_log.c - lines, levels, limits. */
#include "log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/axvm-test-log-XXXXXX";
static char moved[sizeof(path) + 2]; /* where log rotation puts it */
static char content[65536];

static void make_path(void)
{
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    close(fd);
    snprintf(moved, sizeof(moved), "%s.1", path);
}

static void drop_path(void)
{
    unlink(path);
    unlink(moved);
}

static const char *read_file(const char *name)
{
    FILE *f = fopen(name, "r");
    size_t n;

    cr_assert_not_null(f);
    n = fread(content, 1, sizeof(content) - 1, f);
    content[n] = '\0';
    fclose(f);
    return content;
}

static const char *read_back(void)
{
    return read_file(path);
}

static unsigned count_of(const char *text, const char *needle)
{
    unsigned count = 0;

    for (; (text = strstr(text, needle)); text++)
        count++;
    return count;
}

TestSuite(log, .init = make_path, .fini = drop_path);

Test(log, a_line_names_level_and_vm)
{
    struct ax_log *log, *vm;

    cr_assert_eq(ax_log_create(path, AX_LOG_INFO, &log), 0);
    cr_assert_eq(ax_log_create_child(log, "linux", &vm), 0);
    ax_log(vm, AX_LOG_WARN, "uart0: %d", 42);
    ax_log(vm, AX_LOG_DEBUG, "not shown");
    ax_log_destroy(vm);
    ax_log_destroy(log);
    cr_assert_str_eq(read_back(), "warn linux: uart0: 42\n");
}

Test(log, level_words)
{
    enum ax_log_level level;

    cr_assert_eq(ax_log_parse_level("debug", &level), 0);
    cr_assert_eq(level, AX_LOG_DEBUG);
    cr_assert_eq(ax_log_parse_level("off", &level), 0);
    cr_assert_eq(level, AX_LOG_OFF);
    cr_assert_eq(ax_log_parse_level("Info", &level), -EINVAL);
    cr_assert_eq(ax_log_parse_level("", &level), -EINVAL);
}

Test(log, a_long_line_is_cut)
{
    char big[3000];
    struct ax_log *log;

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    cr_assert_eq(ax_log_create(path, AX_LOG_INFO, &log), 0);
    ax_log(log, AX_LOG_INFO, "%s", big);
    ax_log_destroy(log);
    read_back();
    cr_assert_leq(strlen(content), 1024);
    cr_assert_str_eq(content + strlen(content) - 5, "x...\n");
}

Test(log, what_the_guest_provokes_is_limited)
{
    struct ax_log *log;

    cr_assert_eq(ax_log_create(path, AX_LOG_INFO, &log), 0);
    for (int i = 0; i < 100000; i++)
        ax_log_guest(log, AX_LOG_WARN, "flood");
    ax_log(log, AX_LOG_WARN, "still there");
    ax_log_destroy(log);
    read_back();
    /* Ten a second: a slow machine may need a few of those. */
    cr_assert_lt(count_of(content, "flood"), 1000);
    cr_assert_geq(count_of(content, "flood"), 10);
    cr_assert_eq(count_of(content, "still there"), 1);
}

Test(log, a_path_that_cannot_be_opened)
{
    struct ax_log *log;

    cr_assert_eq(ax_log_create("/nonexistent/x", AX_LOG_INFO, &log), -ENOENT);
    cr_assert_null(log);
}

Test(log, a_full_disk_loses_lines_only)
{
    struct ax_log *log;

    cr_assert_eq(ax_log_create("/dev/full", AX_LOG_INFO, &log), 0);
    ax_log(log, AX_LOG_ERROR, "lost");
    ax_log_destroy(log);
}

Test(log, reopened_after_it_was_moved)
{
    struct ax_log *log, *vm;

    cr_assert_eq(ax_log_create(path, AX_LOG_INFO, &log), 0);
    cr_assert_eq(ax_log_create_child(log, "linux", &vm), 0);
    ax_log(vm, AX_LOG_INFO, "one");
    cr_assert_eq(rename(path, moved), 0);
    ax_log(vm, AX_LOG_INFO, "two");
    cr_assert_eq(ax_log_reopen(log), 0);
    ax_log(vm, AX_LOG_INFO, "three");
    ax_log(log, AX_LOG_INFO, "four");
    ax_log_destroy(vm);
    ax_log_destroy(log);
    cr_assert_str_eq(read_file(moved), "info linux: one\ninfo linux: two\n");
    cr_assert_str_eq(read_back(), "info linux: three\ninfo axvm-run: four\n");
}

/* Rotation that copies, or none at all: what was there is not lost. */
Test(log, reopened_where_it_was)
{
    struct ax_log *log;

    cr_assert_eq(ax_log_create(path, AX_LOG_INFO, &log), 0);
    ax_log(log, AX_LOG_INFO, "one");
    cr_assert_eq(ax_log_reopen(log), 0);
    ax_log(log, AX_LOG_INFO, "two");
    ax_log_destroy(log);
    cr_assert_str_eq(read_back(), "info axvm-run: one\ninfo axvm-run: two\n");
}

Test(log, a_reopening_that_fails_keeps_the_file)
{
    struct ax_log *log;

    cr_assert_eq(ax_log_create(path, AX_LOG_INFO, &log), 0);
    cr_assert_eq(rename(path, moved), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(ax_log_reopen(log), -EISDIR);
    ax_log(log, AX_LOG_INFO, "still here");
    ax_log_destroy(log);
    rmdir(path);
    cr_assert_str_eq(read_file(moved), "info axvm-run: still here\n");
}

Test(log, reopening_leaks_no_descriptor)
{
    struct ax_log *log;
    int before, after;

    cr_assert_eq(ax_log_create(path, AX_LOG_INFO, &log), 0);
    before = dup(STDERR_FILENO);
    close(before);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(ax_log_reopen(log), 0);
    after = dup(STDERR_FILENO);
    close(after);
    cr_assert_eq(after, before);
    cr_assert_eq(fcntl(before - 1, F_GETFD), FD_CLOEXEC);
    ax_log_destroy(log);
}

Test(log, nothing_to_reopen)
{
    struct ax_log *log;

    cr_assert_eq(ax_log_reopen(NULL), 0);
    cr_assert_eq(ax_log_create(NULL, AX_LOG_INFO, &log), 0);
    cr_assert_eq(ax_log_reopen(log), 0);
    cr_assert_geq(fcntl(STDERR_FILENO, F_GETFD), 0);
    ax_log_destroy(log);
    cr_assert_geq(fcntl(STDERR_FILENO, F_GETFD), 0);
}

Test(log, no_log_is_silent)
{
    ax_log(NULL, AX_LOG_ERROR, "nothing");
    ax_log_guest(NULL, AX_LOG_ERROR, "nothing");
    cr_assert_not(ax_log_enabled(NULL, AX_LOG_ERROR));
    ax_log_destroy(NULL);
}
