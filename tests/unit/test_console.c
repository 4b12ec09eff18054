/* test_console.c - rings, host ends, back-pressure, escapes. */
#include "devices/console.h"
#include "devices/loop.h"
#include "log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct ax_loop *loop;
static struct ax_console *console;
static int saved_in, saved_out, feed, drink; /* our ends of stdin and stdout */

static void init(void)
{
    cr_assert_eq(ax_loop_create(&loop), 0);
    saved_in = dup(STDIN_FILENO);
    saved_out = dup(STDOUT_FILENO);
    feed = drink = -1;
}

static void fini(void)
{
    ax_console_destroy(console);
    ax_loop_destroy(loop);
    dup2(saved_in, STDIN_FILENO);
    dup2(saved_out, STDOUT_FILENO);
}

TestSuite(console, .init = init, .fini = fini, .timeout = 30);

static void open_pipes(bool escapes)
{
    int in[2], out[2];

    cr_assert_eq(pipe(in), 0);
    cr_assert_eq(pipe(out), 0);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    close(in[0]);
    close(out[1]);
    feed = in[1];
    drink = out[0];
    cr_assert_eq(ax_console_create(loop, NULL, "stdio", escapes, &console), 0);
}

static void put(const char *text)
{
    while (*text)
        ax_console_put(console, (uint8_t)*text++);
}

struct heard {
    char keys[16], input[64];
    unsigned key_count, input_count, want;
};

static void on_input(void *ctx)
{
    struct heard *h = ctx;

    while (ax_console_ready(console) && h->input_count < sizeof(h->input) - 1)
        h->input[h->input_count++] = (char)ax_console_get(console);
    if (h->input_count + h->key_count >= h->want)
        ax_loop_stop(loop);
}

static void on_escape(void *ctx, int key)
{
    struct heard *h = ctx;

    h->keys[h->key_count++] = (char)key;
}

static struct heard hear(const char *typed, unsigned want)
{
    struct heard h = {.want = want};
    const struct ax_console_events events = {on_input, on_escape, &h};

    ax_console_listen(console, &events);
    cr_assert_eq(write(feed, typed, strlen(typed)), (ssize_t)strlen(typed));
    ax_loop_run(loop);
    return h;
}

Test(console, specs)
{
    cr_assert_null(ax_console_check_spec("stdio"));
    cr_assert_null(ax_console_check_spec("pty"));
    cr_assert_null(ax_console_check_spec("none"));
    cr_assert_null(ax_console_check_spec("unix:/tmp/x"));
    cr_assert_null(ax_console_check_spec("file:/tmp/x"));
    cr_assert_not_null(ax_console_check_spec("file:"));
    cr_assert_not_null(ax_console_check_spec("file"));
    cr_assert_not_null(ax_console_check_spec("stdio:x"));
    cr_assert_not_null(ax_console_check_spec(""));
    cr_assert_not_null(ax_console_check_spec("ttys"));
}

Test(console, a_socket_path_has_a_limit)
{
    char spec[300];

    memset(spec, 'x', sizeof(spec) - 1);
    spec[sizeof(spec) - 1] = '\0';
    memcpy(spec, "unix:/", 6);
    cr_assert_not_null(ax_console_check_spec(spec));
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &console),
                 -ENAMETOOLONG);
    cr_assert_null(console);
}

Test(console, output_is_drained_at_the_end)
{
    char text[32] = "";

    open_pipes(false);
    put("last words");
    cr_assert(ax_console_drain(console, 1000));
    cr_assert_eq(read(drink, text, sizeof(text)), 10);
    cr_assert_str_eq(text, "last words");
    cr_assert_neq(ax_console_first_byte_ns(console), 0);
}

Test(console, input_reaches_the_model)
{
    struct heard h;

    open_pipes(false);
    h = hear("hello", 5);
    cr_assert_str_eq(h.input, "hello");
    cr_assert_eq(ax_console_get(console), 0);
}

Test(console, ctrl_a_is_a_prefix)
{
    struct heard h;

    open_pipes(true);
    h = hear("a\001xb\001\001c", 5);
    cr_assert_str_eq(h.keys, "x");
    cr_assert_str_eq(h.input, "ab\001c");
}

Test(console, ctrl_a_passes_where_escapes_are_off)
{
    struct heard h;

    open_pipes(false);
    h = hear("a\001x", 3);
    cr_assert_eq(h.key_count, 0);
    cr_assert_str_eq(h.input, "a\001x");
}

Test(console, none_swallows_everything)
{
    cr_assert_eq(ax_console_create(loop, NULL, "none", false, &console), 0);
    for (int i = 0; i < 1000000; i++)
        ax_console_put(console, 'x');
    cr_assert_not(ax_console_congested(console));
    cr_assert(ax_console_drain(console, 0));
}

Test(console, a_file_gets_every_byte)
{
    char path[] = "/tmp/axvm-test-console-XXXXXX";
    char spec[64];
    struct stat st;
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    snprintf(spec, sizeof(spec), "file:%s", path);
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &console), 0);
    for (int i = 0; i < 50000; i++)
        ax_console_put(console, 'x');
    cr_assert(ax_console_drain(console, 1000));
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(st.st_size, 50000);
    close(fd);
    unlink(path);
}

Test(console, a_full_disk_is_no_hang)
{
    cr_assert_eq(
        ax_console_create(loop, NULL, "file:/dev/full", false, &console), 0);
    for (int i = 0; i < 100; i++)
        ax_console_put(console, 'x');
    cr_assert_not(ax_console_drain(console, 1000));
}

Test(console, a_file_that_cannot_be_opened)
{
    cr_assert_eq(
        ax_console_create(loop, NULL, "file:/nonexistent/x", false, &console),
        -ENOENT);
    cr_assert_null(console);
}

enum { FLOOD = 1 << 20 };

static bool never(void *ctx)
{
    return false;
}

static void *flood_thread(void *arg)
{
    for (unsigned i = 0; i < FLOOD; i++) {
        ax_console_put(console, (uint8_t)i);
        if (ax_console_congested(console))
            ax_console_wait(console, never, NULL);
    }
    return NULL;
}

struct reader {
    unsigned count;
    bool good;
};

static void on_drink(void *ctx, unsigned events)
{
    struct reader *r = ctx;
    uint8_t bytes[4096];
    ssize_t n = read(drink, bytes, sizeof(bytes));

    for (ssize_t i = 0; i < n; i++)
        r->good &= bytes[i] == (uint8_t)r->count++;
    if (r->count == FLOOD)
        ax_loop_stop(loop);
}

Test(console, a_flood_is_slowed_down_not_lost)
{
    struct reader r = {.good = true};
    struct ax_watch *watch;
    pthread_t thread;

    open_pipes(false);
    cr_assert_eq(
        ax_watch_create(loop, drink, AX_LOOP_READ, on_drink, &r, &watch), 0);
    cr_assert_eq(pthread_create(&thread, NULL, flood_thread, NULL), 0);
    ax_loop_run(loop);
    pthread_join(thread, NULL);
    cr_assert(r.good);
    ax_watch_destroy(watch);
}

struct held {
    atomic_bool cancel, out;
};

static bool is_cancelled(void *ctx)
{
    return atomic_load(&((struct held *)ctx)->cancel);
}

static void *held_thread(void *arg)
{
    struct held *h = arg;

    ax_console_wait(console, is_cancelled, h);
    atomic_store(&h->out, true);
    return NULL;
}

Test(console, a_held_producer_can_be_freed)
{
    struct held h = {false, false};
    pthread_t thread;

    open_pipes(false); /* nobody drinks */
    for (int i = 0; i < 1000000 && !ax_console_congested(console); i++)
        ax_console_put(console, 'x');
    cr_assert(ax_console_congested(console));
    cr_assert_eq(pthread_create(&thread, NULL, held_thread, &h), 0);
    cr_assert_not(atomic_load(&h.out));
    atomic_store(&h.cancel, true);
    ax_console_kick(console);
    pthread_join(thread, NULL);
    cr_assert(atomic_load(&h.out));
    /* Even producers that ignore the signal do no harm. */
    for (int i = 0; i < 1000000; i++)
        ax_console_put(console, 'x');
}

static void stop_later(void *ctx, uint64_t count);

/* As sshd gives it to a command without a terminal. */
Test(console, a_socket_that_nobody_reads_does_not_hold_the_loop)
{
    struct ax_timer *timer;
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    dup2(fds[0], STDOUT_FILENO);
    cr_assert_eq(ax_console_create(loop, NULL, "stdio", false, &console), 0);
    cr_assert_eq(ax_timer_create(loop, stop_later, NULL, &timer), 0);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 60000; i++)
            ax_console_put(console, 'x');
        ax_timer_arm(timer, 1000000, 0);
        ax_loop_run(loop);
    }
    cr_assert(ax_console_congested(console));
    ax_timer_destroy(timer);
    ax_console_destroy(console);
    console = NULL;
    cr_assert_not(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, "given back");
    close(fds[0]);
    close(fds[1]);
}

static void on_peer(void *ctx)
{
    ax_loop_stop(loop);
}

static void stop_later(void *ctx, uint64_t count)
{
    ax_loop_stop(loop);
}

Test(console, a_socket_keeps_the_newest_for_who_comes)
{
    char dir[] = "/tmp/axvm-test-console-XXXXXX";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const struct ax_console_events events = {.input = on_peer};
    static char all[1 << 18];
    char spec[128];
    struct stat st;
    size_t got = 0;
    ssize_t n;
    int fd;

    cr_assert_not_null(mkdtemp(dir));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
    snprintf(spec, sizeof(spec), "unix:%s", addr.sun_path);
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &console), 0);
    ax_console_listen(console, &events);
    cr_assert_eq(stat(addr.sun_path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    for (int i = 0; i < 200000; i++)
        ax_console_put(console, '-');
    cr_assert_not(ax_console_congested(console), "nobody to wait for");
    put("newest");

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(write(fd, "k", 1), 1);
    ax_loop_run(loop);
    cr_assert_eq(ax_console_get(console), 'k');
    /* The ring's 64 KiB, the last of which is what was put last. */
    while ((n = recv(fd, all + got, sizeof(all) - got, MSG_DONTWAIT)) > 0)
        got += (size_t)n;
    cr_assert_eq(got, 65536);
    cr_assert_eq(memcmp(all + got - 6, "newest", 6), 0);
    close(fd);
    ax_console_destroy(console);
    console = NULL;
    cr_assert_neq(stat(addr.sun_path, &st), 0, "the socket is left behind");
    rmdir(dir);
}

Test(console, a_stale_socket_is_replaced_a_live_one_is_not)
{
    char dir[] = "/tmp/axvm-test-console-XXXXXX";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct ax_console *second;
    char spec[128];
    int fd;

    cr_assert_not_null(mkdtemp(dir));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
    snprintf(spec, sizeof(spec), "unix:%s", addr.sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &console), 0);
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &second),
                 -EADDRINUSE);
    ax_console_destroy(console);
    console = NULL;
    rmdir(dir);
}

Test(console, a_pty_talks_to_who_opens_it)
{
    struct heard h = {.want = 2};
    const struct ax_console_events events = {on_input, on_escape, &h};
    char log_path[] = "/tmp/axvm-test-console-XXXXXX";
    char line[256], text[16] = "", *name;
    struct ax_timer *timer;
    struct ax_log *log;
    FILE *f;
    int fd;

    fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (fd < 0 || access("/dev/pts", X_OK))
        cr_skip_test("no pseudo terminals here");
    close(fd);
    close(mkstemp(log_path));
    cr_assert_eq(ax_log_create(log_path, AX_LOG_INFO, &log), 0);
    cr_assert_eq(ax_console_create(loop, log, "pty", false, &console), 0);
    ax_console_listen(console, &events);
    f = fopen(log_path, "r");
    cr_assert_not_null(fgets(line, sizeof(line), f));
    fclose(f);
    unlink(log_path);
    line[strcspn(line, "\n")] = '\0';
    name = strstr(line, "/dev/pts/");
    cr_assert_not_null(name, "the log must name it: %s", line);

    put("kept");
    fd = open(name, O_RDWR | O_NOCTTY);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "ok", 2), 2);
    cr_assert_eq(ax_timer_create(loop, stop_later, NULL, &timer), 0);
    ax_timer_arm(timer, 5000000000ULL, 0);
    ax_loop_run(loop);
    cr_assert_str_eq(h.input, "ok");
    cr_assert_eq(read(fd, text, sizeof(text)), 4);
    cr_assert_str_eq(text, "kept");
    ax_timer_destroy(timer);
    close(fd);
    ax_log_destroy(log);
}
