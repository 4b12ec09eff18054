/* test_hostconf.c - axvm.conf: what is taken, and that nothing is swallowed. */
#include "conf/hostconf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = P_tmpdir "/axvm-hostconf-XXXXXX";
static char path[256];
static struct ax_hostconf conf;
static char told[4096];
static unsigned told_count;

static void report(void *ctx, const char *text)
{
    cr_assert_eq(ctx, &conf);
    told_count++;
    strncat(told, text, sizeof(told) - strlen(told) - 2);
    strcat(told, "\n");
}

static void init(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/axvm.conf", dir);
}

static void fini(void)
{
    ax_hostconf_fini(&conf);
    unlink(path);
    rmdir(dir);
}

TestSuite(hostconf, .init = init, .fini = fini);

static int read_bytes(const char *text, size_t size)
{
    FILE *f = fopen(path, "w");

    cr_assert_not_null(f);
    cr_assert_eq(fwrite(text, 1, size, f), size);
    cr_assert_eq(fclose(f), 0);
    told[0] = '\0';
    told_count = 0;
    return ax_hostconf_read(&conf, path, report, &conf);
}

static int read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

/* Exactly one problem, in that line, with those words. */
static void one_problem(const char *text, unsigned line, const char *words)
{
    char place[300];

    cr_assert_eq(read_text(text), -EINVAL, "accepted: %s", text);
    cr_assert_eq(told_count, 1, "told: %s", told);
    snprintf(place, sizeof(place), "%s:%u: ", path, line);
    cr_assert_eq(strncmp(told, place, strlen(place)), 0, "told: %s", told);
    cr_assert_not_null(strstr(told, words), "told: %s", told);
}

Test(hostconf, every_key_is_read)
{
    cr_assert_eq(read_text("; a comment\n# another\n\n[log]\nlevel = debug\n"
                           "file=/var/log/axvm.log\n[console]\n"
                           "mode: unix:/run/a b ; an inline comment\n"
                           "[network]\nmode = user"),
                 0, "told: %s", told);
    cr_assert_str_eq(conf.log_level, "debug");
    cr_assert_str_eq(conf.log_file, "/var/log/axvm.log");
    cr_assert_str_eq(conf.console, "unix:/run/a b");
    cr_assert_str_eq(conf.network_mode, "user");
    cr_assert_eq(told_count, 0);
}

Test(hostconf, an_empty_file_sets_nothing)
{
    cr_assert_eq(read_text(""), 0);
    cr_assert_null(conf.log_level);
    cr_assert_null(conf.console);
}

Test(hostconf, later_files_win_key_by_key)
{
    cr_assert_eq(read_text("[log]\nlevel = debug\nfile = a\n"), 0);
    cr_assert_eq(read_text("[log]\nlevel = warn\n"), 0);
    cr_assert_str_eq(conf.log_level, "warn");
    cr_assert_str_eq(conf.log_file, "a");
}

Test(hostconf, crlf_and_byte_order_mark_are_fine)
{
    cr_assert_eq(read_text("\xef\xbb\xbf[log]\r\nlevel = off\r\n"), 0,
                 "told: %s", told);
    cr_assert_str_eq(conf.log_level, "off");
}

Test(hostconf, unknown_names_are_problems)
{
    one_problem("[log]\nlevle = debug\n", 2, "'level' or 'file'");
    one_problem("\n\n[logs]\nlevel = debug\n", 3, "unknown section");
    one_problem("level = debug\n", 1, "before any section");
    one_problem("[log]extra\n[lo]\n", 2, "unknown section");
    one_problem("[console]\nlevel = debug\n", 2, "[console] has 'mode'");
}

Test(hostconf, bad_values_are_problems)
{
    one_problem("[log]\nlevel = loud\n", 2, "off, error, warn, info or debug");
    one_problem("[log]\nfile =\n", 2, "empty");
    one_problem("[log]\nlevel = warn\nlevel = info\n", 3, "in line 2");
    cr_assert_null(conf.log_file);
    cr_assert_str_eq(conf.log_level, "warn");
}

Test(hostconf, lines_that_are_no_pairs_are_problems)
{
    one_problem("[log]\nlevel\nfile = x\n", 2, "KEY = VALUE");
    one_problem("[log\nlevel = warn\n", 1, "no ']'");
    one_problem("[log]\nlevel = warn\n  more\n", 3, "indented");
    one_problem("[log]\n\tfile = x\n", 2, "indented");
    one_problem("[log]\nfile = a\x1b[31m\n", 2, "control");
    one_problem("[log]\nfile ; = a\n", 2, "KEY = VALUE");
}

Test(hostconf, long_lines_are_told_not_cut)
{
    char text[600];

    for (size_t len = 150; len < 450; len++) {
        char value[512];

        memset(value, 'x', sizeof(value));
        value[len] = '\0';
        snprintf(text, sizeof(text), "[log]\nfile = %s\nlevel = warn\n", value);
        if (len + 7 <= 199) {
            cr_assert_eq(read_text(text), 0, "%zu: %s", len, told);
            cr_assert_eq(strlen(conf.log_file), len);
        } else {
            one_problem(text, 2, "longer than 199");
            cr_assert_neq(strlen(conf.log_file), len);
        }
        cr_assert_str_eq(conf.log_level, "warn");
    }
    /* The same without a newline at the end of the file. */
    memset(text, 'x', 300);
    memcpy(text, "[log]\nfile = ", 13);
    text[13 + 199] = '\0';
    one_problem(text, 2, "longer than 199");
}

Test(hostconf, a_nul_byte_hides_nothing)
{
    static const char text[] = "[log]\nlevel = warn\0oops\nfile = x\n";

    cr_assert_eq(read_bytes(text, sizeof(text) - 1), -EINVAL);
    cr_assert_eq(told_count, 1, "told: %s", told);
    cr_assert_str_eq(conf.log_file, "x");
    cr_assert_null(conf.log_level);
}

Test(hostconf, all_problems_are_told_in_one_pass)
{
    cr_assert_eq(read_text("[log]\nlevel = loud\nfoo = 1\n[bar]\nx = 1\n"
                           "[console]\nmode\n"),
                 -EINVAL);
    cr_assert_eq(told_count, 4, "told: %s", told);
}

Test(hostconf, a_report_is_optional)
{
    cr_assert_eq(read_text("[log]\nlevel = loud\n"), -EINVAL);
    cr_assert_eq(ax_hostconf_read(&conf, path, NULL, NULL), -EINVAL);
}

Test(hostconf, what_is_no_file_is_refused)
{
    char *big = calloc(1, 70000);

    memset(big, '\n', 70000);
    cr_assert_eq(read_bytes(big, 70000), -EFBIG);
    free(big);
    unlink(path);
    cr_assert_eq(ax_hostconf_read(&conf, path, report, &conf), -ENOENT);
    cr_assert_eq(ax_hostconf_read(&conf, dir, report, &conf), -EISDIR);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(ax_hostconf_read(&conf, path, report, &conf), -EINVAL);
    cr_assert_eq(told_count, 0);
}

/* The user's own file, below a directory that a variable names. */
static int load_user(const char *sub, const char *text)
{
    char name[512], *slash;
    FILE *f;
    int err;

    snprintf(name, sizeof(name), "%s/%s/axvm.conf", dir, sub);
    for (slash = name + strlen(dir) + 1; (slash = strchr(slash, '/'));
         slash++) {
        *slash = '\0';
        mkdir(name, 0700);
        *slash = '/';
    }
    f = fopen(name, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
    ax_hostconf_fini(&conf);
    told_count = 0;
    err = ax_hostconf_load(&conf, report, &conf);
    unlink(name);
    while ((slash = strrchr(name, '/')) && slash > name + strlen(dir)) {
        *slash = '\0';
        rmdir(name);
    }
    return err;
}

Test(hostconf, load_looks_where_xdg_says)
{
    setenv("XDG_CONFIG_HOME", dir, 1);
    cr_assert_eq(load_user("axvm", "[console]\nmode = pty\n"), 0);
    cr_assert_str_eq(conf.console, "pty");
    cr_assert_eq(load_user("axvm", "[console]\nmode =\n"), -EINVAL);
    cr_assert_eq(told_count, 1);
    cr_assert_null(conf.console);
}

Test(hostconf, load_falls_back_to_home)
{
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", dir, 1);
    cr_assert_eq(load_user(".config/axvm", "[console]\nmode = pty\n"), 0);
    cr_assert_str_eq(conf.console, "pty");
    /* A relative directory is to be ignored. */
    setenv("XDG_CONFIG_HOME", "relative", 1);
    cr_assert_eq(load_user(".config/axvm", "[console]\nmode = none\n"), 0);
    cr_assert_str_eq(conf.console, "none");
}

Test(hostconf, load_needs_no_file_at_all)
{
    setenv("XDG_CONFIG_HOME", dir, 1);
    cr_assert_eq(ax_hostconf_load(&conf, report, &conf), 0);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("HOME");
    ax_hostconf_fini(&conf);
    cr_assert_eq(ax_hostconf_load(&conf, report, &conf), 0);
    cr_assert_null(conf.console);
}

Test(hostconf, load_tells_what_it_cannot_open)
{
    char name[300];

    setenv("XDG_CONFIG_HOME", dir, 1);
    snprintf(name, sizeof(name), "%s/axvm", dir);
    mkdir(name, 0700);
    snprintf(name, sizeof(name), "%s/axvm/axvm.conf", dir);
    mkdir(name, 0700);
    cr_assert_eq(ax_hostconf_load(&conf, report, &conf), -EINVAL);
    cr_assert_eq(told_count, 1);
    cr_assert_not_null(strstr(told, "Is a directory"));
    rmdir(name);
    *strrchr(name, '/') = '\0';
    rmdir(name);
}
