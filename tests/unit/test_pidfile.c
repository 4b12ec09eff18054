/* test_pidfile.c - one owner at a time, whoever comes, dies or meddles. */
#include "host/pidfile.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/axvm-test-pidfile-XXXXXX";
static char path[64], other[64];
static char content[256];

static void init(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/pid", dir);
    snprintf(other, sizeof(other), "%s/other", dir);
}

static void fini(void)
{
    unlink(path);
    unlink(other);
    rmdir(dir);
}

TestSuite(pidfile, .init = init, .fini = fini, .timeout = 110);

static void put(const char *file, const char *text)
{
    FILE *f = fopen(file, "we");

    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *get(const char *file)
{
    FILE *f = fopen(file, "re");
    size_t n;

    cr_assert_not_null(f);
    n = fread(content, 1, sizeof(content) - 1, f);
    content[n] = '\0';
    fclose(f);
    return content;
}

static const char *pid_text(pid_t pid)
{
    static char text[32];

    snprintf(text, sizeof(text), "%ld\n", (long)pid);
    return text;
}

/* A process that holds the file; it has it when this returns. */
static pid_t start_owner(void)
{
    int ready[2];
    char byte = 0;
    pid_t pid;

    cr_assert_eq(pipe(ready), 0);
    pid = fork();
    if (!pid) {
        struct ax_pidfile *file;

        if (!ax_pidfile_create(path, &file))
            byte = 'y';
        if (write(ready[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(byte, 'y');
    close(ready[0]);
    return pid;
}

static void end_owner(pid_t pid)
{
    kill(pid, SIGKILL);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(pidfile, has_our_id_as_long_as_we_want)
{
    struct ax_pidfile *file;

    cr_assert_eq(ax_pidfile_create(path, &file), 0);
    cr_assert_str_eq(get(path), pid_text(getpid()));
    ax_pidfile_destroy(file);
    cr_assert_neq(access(path, F_OK), 0);
}

Test(pidfile, one_that_lives_is_respected)
{
    struct ax_pidfile *file;
    pid_t pid = start_owner();

    cr_assert_eq(ax_pidfile_create(path, &file), -EEXIST);
    cr_assert_null(file);
    cr_assert_str_eq(get(path), pid_text(pid));
    end_owner(pid);
}

Test(pidfile, one_that_died_is_taken_over)
{
    struct ax_pidfile *file;
    pid_t pid = start_owner();

    end_owner(pid);
    cr_assert_str_eq(get(path), pid_text(pid));
    cr_assert_eq(ax_pidfile_create(path, &file), 0);
    cr_assert_str_eq(get(path), pid_text(getpid()));
    ax_pidfile_destroy(file);
}

/* What counts is the lock: the number may be that of somebody else by now. */
Test(pidfile, a_number_without_a_lock_is_a_dead_ones)
{
    struct ax_pidfile *file;

    put(path, "1\n\n\n\n\n\n\n\n");
    cr_assert_eq(ax_pidfile_create(path, &file), 0);
    cr_assert_str_eq(get(path), pid_text(getpid()));
    ax_pidfile_destroy(file);
}

Test(pidfile, an_empty_one_of_a_start_that_failed)
{
    struct ax_pidfile *file;

    put(path, "");
    cr_assert_eq(ax_pidfile_create(path, &file), 0);
    ax_pidfile_destroy(file);
}

Test(pidfile, a_file_named_by_mistake_survives)
{
    struct ax_pidfile *file;
    char digits[64];

    put(path, "[base]\n");
    cr_assert_eq(ax_pidfile_create(path, &file), -EINVAL);
    cr_assert_null(file);
    cr_assert_str_eq(get(path), "[base]\n");

    memset(digits, '7', sizeof(digits) - 1);
    digits[sizeof(digits) - 1] = '\0';
    put(path, digits);
    cr_assert_eq(ax_pidfile_create(path, &file), -EINVAL);
    cr_assert_str_eq(get(path), digits);
}

Test(pidfile, places_that_will_not_do)
{
    struct ax_pidfile *file;

    cr_assert_eq(ax_pidfile_create("/nonexistent/pid", &file), -ENOENT);
    cr_assert_eq(ax_pidfile_create(dir, &file), -EISDIR);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(ax_pidfile_create(path, &file), -EINVAL);
    unlink(path);
    put(other, "");
    cr_assert_eq(symlink(other, path), 0);
    cr_assert_eq(ax_pidfile_create(path, &file), -ELOOP);
    cr_assert_null(file);
}

Test(pidfile, what_is_not_ours_any_more_stays)
{
    struct ax_pidfile *file;

    cr_assert_eq(ax_pidfile_create(path, &file), 0);
    put(other, "4711\n");
    cr_assert_eq(rename(other, path), 0);
    ax_pidfile_destroy(file);
    cr_assert_str_eq(get(path), "4711\n");
}

Test(pidfile, removed_by_others_is_no_trouble)
{
    struct ax_pidfile *file;

    cr_assert_eq(ax_pidfile_create(path, &file), 0);
    unlink(path);
    ax_pidfile_destroy(file);
    ax_pidfile_destroy(NULL);
}

Test(pidfile, an_id_is_not_inherited_by_a_program_we_start)
{
    struct ax_pidfile *file;
    bool found = false;

    cr_assert_eq(ax_pidfile_create(path, &file), 0);
    for (int fd = 3; fd < 256; fd++) {
        struct stat ours, there;

        if (fstat(fd, &ours) || stat(path, &there) ||
            ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
            continue;
        found = true;
        cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    }
    cr_assert(found);
    ax_pidfile_destroy(file);
}

enum { RACERS = 4, ROUNDS = 2000 };

/*
 * Takes and drops the file again and again. Who has it makes the file "other",
 * which nobody else may have then. Status 0: good, 1: two owners.
 */
static int race(void)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct ax_pidfile *file;
        int err = ax_pidfile_create(path, &file), fd;

        if (err == -EEXIST)
            continue;
        if (err)
            return 2;
        fd = open(other, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (fd < 0)
            return 1;
        close(fd);
        if (access(path, F_OK) || strcmp(get(path), pid_text(getpid())) != 0)
            return 3;
        unlink(other);
        ax_pidfile_destroy(file);
    }
    return 0;
}

Test(pidfile, two_owners_never)
{
    pid_t pids[RACERS];

    for (unsigned i = 0; i < RACERS; i++) {
        pids[i] = fork();
        if (!pids[i])
            _exit(race());
    }
    for (unsigned i = 0; i < RACERS; i++) {
        int status;

        cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
        cr_expect(WIFEXITED(status));
        cr_expect_eq(WEXITSTATUS(status), 0);
    }
    cr_assert_neq(access(path, F_OK), 0);
}
