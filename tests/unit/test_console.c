/* test_console.c - rings, host ends, peers, back-pressure, escapes. */
#include "devices/console.h"
#include "devices/loop.h"
#include "log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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
    signal(SIGPIPE, SIG_IGN); /* as in main.c */
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

struct drained {
    bool done, all, late; /* late: after the call itself */
    bool returned;
};

static void on_drained(void *ctx, bool all)
{
    struct drained *d = ctx;

    d->done = true;
    d->all = all;
    d->late = d->returned;
    if (d->late)
        ax_loop_stop(loop);
}

/* Drains, with the loop where that is needed. */
static struct drained drain(unsigned timeout_ms)
{
    struct drained d = {0};

    ax_console_drain(console, timeout_ms, on_drained, &d);
    d.returned = true;
    if (!d.done)
        ax_loop_run(loop);
    cr_assert(d.done);
    return d;
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
    const struct ax_console_events events = {
        .input = on_input, .escape = on_escape, .ctx = &h};

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
    cr_assert_null(ax_console_check_spec("fd:3"));
    cr_assert_null(ax_console_check_spec("fd:1023"));
    cr_assert_not_null(ax_console_check_spec("fd"));
    cr_assert_not_null(ax_console_check_spec("fd:"));
    cr_assert_not_null(ax_console_check_spec("fd:2"), "a standard one");
    cr_assert_not_null(ax_console_check_spec("fd:-3"));
    cr_assert_not_null(ax_console_check_spec("fd:3x"));
    cr_assert_not_null(ax_console_check_spec("fd: 3"));
    cr_assert_not_null(ax_console_check_spec("fd:99999999999999999999"));
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
    cr_assert(drain(1000).all);
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
    cr_assert(drain(0).all);
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
    cr_assert(drain(1000).all);
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
    cr_assert_not(drain(1000).all);
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
    const struct ax_console_events events = {
        .input = on_input, .escape = on_escape, .ctx = &h};
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

/* ---- an inherited descriptor ---- */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A console on one end of a pair of sockets; the other one. */
static int open_fd(void)
{
    char spec[32];
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    snprintf(spec, sizeof(spec), "fd:%d", fds[1]);
    cr_assert_eq(ax_console_create(loop, NULL, spec, true, &console), 0);
    cr_assert(fcntl(fds[1], F_GETFD) & FD_CLOEXEC);
    cr_assert(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
    return fds[0];
}

/* Runs the loop until the input is there. */
static void await_input(struct heard *h, unsigned want)
{
    const struct ax_console_events events = {
        .input = on_input, .escape = on_escape, .ctx = h};

    h->want = want;
    ax_console_listen(console, &events);
    on_input(h);
    if (h->input_count < want)
        ax_loop_run(loop);
    cr_assert_eq(h->input_count, want);
}

Test(console, an_inherited_descriptor_works_both_ways)
{
    struct heard h = {0};
    char text[8] = "";
    int fd = open_fd();

    put("out");
    cr_assert(drain(1000).all);
    cr_assert_eq(read(fd, text, sizeof(text)), 3);
    cr_assert_str_eq(text, "out");
    cr_assert_eq(write(fd, "\001xin", 4), 4);
    await_input(&h, 4);
    cr_assert_str_eq(h.input, "\001xin", "no escapes but on a terminal");
    ax_console_destroy(console);
    console = NULL;
    cr_assert_eq(read(fd, text, sizeof(text)), 0, "it is closed");
    close(fd);
}

Test(console, an_inherited_descriptor_may_be_closed_by_the_peer)
{
    int fd = open_fd();

    close(fd);
    put("x");
    /* Whether the end of file or the failed write is seen first. */
    drain(1000);
    for (int i = 0; i < 200000; i++)
        ax_console_put(console, 'x');
    cr_assert_not(ax_console_congested(console));
    cr_assert(drain(0).all);
}

Test(console, descriptors_that_are_none_or_taken)
{
    char spec[32];
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(spec, sizeof(spec), "fd:%d", fds[i]);
        cr_assert_eq(ax_console_create(loop, NULL, spec, false, &console),
                     -EINVAL, "one direction only");
        cr_assert(is_open(fds[i]));
        close(fds[i]);
    }
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &console), -EBADF);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    snprintf(spec, sizeof(spec), "fd:%d", fds[0]);
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &console), -EBUSY);
    cr_assert_null(console);
    cr_assert(is_open(fds[0]));
    close(fds[0]);
    close(fds[1]);
}

/* ---- draining ---- */

enum { MORE_THAN_A_SOCKET = 60000, SOCKET_BYTES = 4608 };

static void fill(char byte)
{
    for (int i = 0; i < MORE_THAN_A_SOCKET; i++)
        ax_console_put(console, (uint8_t)byte);
}

/* A console whose socket takes little; the other end. */
static int open_small_fd(void)
{
    const int small = SOCKET_BYTES;
    char spec[32];
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    cr_assert_eq(
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    snprintf(spec, sizeof(spec), "fd:%d", fds[1]);
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &console), 0);
    return fds[0];
}

static void on_drink_some(void *ctx, unsigned events)
{
    size_t *count = ctx;
    char bytes[4096];
    ssize_t n = read(drink, bytes, sizeof(bytes));

    cr_assert_gt(n, 0);
    *count += (size_t)n;
}

Test(console, draining_waits_for_a_slow_reader)
{
    struct ax_watch *watch;
    struct drained d;
    size_t count = 0;

    drink = open_small_fd();
    cr_assert_eq(ax_watch_create(loop, drink, AX_LOOP_READ, on_drink_some,
                                 &count, &watch),
                 0);
    fill('x');
    d = drain(20000);
    cr_assert(d.all);
    cr_assert(d.late, "the loop goes on meanwhile");
    while (count < MORE_THAN_A_SOCKET)
        on_drink_some(&count, 0);
    cr_assert_eq(count, MORE_THAN_A_SOCKET);
    ax_watch_destroy(watch);
    close(drink);
}

Test(console, draining_has_a_bound)
{
    struct drained d;
    int fd = open_small_fd();

    fill('x');
    d = drain(0);
    cr_assert_not(d.all);
    cr_assert_not(d.late);
    d = drain(50);
    cr_assert_not(d.all);
    cr_assert(d.late);
    close(fd);
    cr_assert_not(drain(20000).all, "the reader left without it");
    cr_assert(drain(20000).all, "nobody is there to miss anything");
}

static void on_drained_destroy(void *ctx, bool all)
{
    on_drained(ctx, all);
    ax_console_destroy(console);
    console = NULL;
}

Test(console, the_console_may_end_with_its_draining)
{
    struct drained d = {0};
    int fd = open_small_fd();

    fill('x');
    ax_console_drain(console, 20, on_drained_destroy, &d);
    d.returned = true;
    ax_loop_run(loop); /* by the timer */
    cr_assert_null(console);
    close(fd);

    d = (struct drained){0};
    drink = open_small_fd();
    fill('x');
    ax_console_drain(console, 20000, on_drained_destroy, &d);
    d.returned = true;
    cr_assert_not_null(console);
    close(drink);
    ax_loop_run(loop); /* by the watch */
    cr_assert_null(console);
    cr_assert_not(d.all);

    d = (struct drained){0};
    drink = open_small_fd();
    fill('x');
    ax_console_drain(console, 1, on_drained, &d);
    ax_console_destroy(console);
    console = NULL;
    cr_assert_not(d.done, "forgotten");
    close(drink);
}

/* ---- a terminal that somebody else uses ---- */

static void on_news(void *ctx)
{
    ax_loop_stop(loop);
}

/* Lets the loop do whatever is to be done now. */
static void turn(void)
{
    struct ax_timer *timer;

    cr_assert_eq(ax_timer_create(loop, stop_later, NULL, &timer), 0);
    for (int i = 0; i < 10; i++) { /* what is ready is called in each */
        ax_timer_arm(timer, 1000000, 0);
        ax_loop_run(loop);
    }
    ax_timer_destroy(timer);
}

Test(console, a_held_console_leaves_the_terminal_alone)
{
    struct heard h = {0};
    char text[16] = "";
    struct drained d;

    open_pipes(false);
    fcntl(drink, F_SETFL, O_NONBLOCK);
    ax_console_hold(console, true);
    put("later");
    cr_assert_eq(write(feed, "typed", 5), 5);
    turn();
    cr_assert_eq(read(drink, text, sizeof(text)), -1);
    cr_assert_not(ax_console_ready(console));
    d = drain(50);
    cr_assert_not(d.all, "what it holds back was not written");
    cr_assert(d.late);
    for (int i = 0; i < 1000000 && !ax_console_congested(console); i++)
        ax_console_put(console, 'x');
    cr_assert(ax_console_congested(console), "the guest has to wait");

    ax_console_hold(console, false);
    await_input(&h, 5);
    cr_assert_str_eq(h.input, "typed");
    turn();
    cr_assert_eq(read(drink, text, 5), 5);
    cr_assert_str_eq(text, "later");
}

static void on_escape_hold(void *ctx, int key)
{
    ax_console_hold(console, true);
    ax_loop_stop(loop);
}

Test(console, an_escape_may_take_the_terminal)
{
    struct heard h = {.want = 100};
    const struct ax_console_events events = {
        .input = on_input, .escape = on_escape_hold, .ctx = &h};
    char text[16] = "";

    open_pipes(true);
    ax_console_listen(console, &events);
    cr_assert_eq(write(feed, "a\001cmine", 7), 7);
    ax_loop_run(loop);
    cr_assert_str_eq(h.input, "a");
    cr_assert_eq(read(STDIN_FILENO, text, sizeof(text)), 4);
    cr_assert_str_eq(text, "mine", "the rest is for who holds it");
}

Test(console, holding_is_for_terminals)
{
    char text[8] = "";
    int fd = open_fd();

    ax_console_hold(console, true);
    put("out");
    cr_assert(drain(0).all);
    cr_assert_eq(read(fd, text, sizeof(text)), 3);
    close(fd);
}

/* ---- peers ---- */

static int attach(const char *input)
{
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    cr_assert_eq(ax_console_attach(console, fds[1], (const uint8_t *)input,
                                   strlen(input)),
                 0);
    return fds[0];
}

/* What fd has to read at the moment, at most size - 1 bytes. */
static size_t take(int fd, char *text, size_t size)
{
    size_t got = 0;
    ssize_t n;

    while (got < size - 1 &&
           (n = recv(fd, text + got, size - 1 - got, MSG_DONTWAIT)) > 0)
        got += (size_t)n;
    text[got] = '\0';
    return got;
}

struct awaited {
    int fd;
    const char *end;
    char text[8192];
    size_t count;
};

static void on_awaited(void *ctx, unsigned events)
{
    struct awaited *a = ctx;

    if (a->count > sizeof(a->text) / 2) { /* the last bytes do */
        memmove(a->text, a->text + a->count - 16, 17);
        a->count = 16;
    }
    a->count += take(a->fd, a->text + a->count, sizeof(a->text) - a->count);
    if (strstr(a->text, a->end))
        ax_loop_stop(loop);
}

/* Runs the loop until fd has got end; what it has got. */
static struct awaited await(int fd, const char *end)
{
    struct awaited a = {.fd = fd, .end = end};
    struct ax_watch *watch;

    cr_assert_eq(
        ax_watch_create(loop, fd, AX_LOOP_READ, on_awaited, &a, &watch), 0);
    ax_loop_run(loop);
    ax_watch_destroy(watch);
    return a;
}

static void *put_thread(void *arg)
{
    const char *const *text = arg;

    put(*text);
    return NULL;
}

/* From another thread, while the loop sleeps. */
static struct awaited put_and_await(const char *text, int fd, const char *end)
{
    struct awaited a;
    pthread_t thread;

    turn(); /* nothing is left to do */
    cr_assert_eq(pthread_create(&thread, NULL, put_thread, &text), 0);
    a = await(fd, end);
    pthread_join(thread, NULL);
    return a;
}

Test(console, none_keeps_the_newest_for_a_peer)
{
    static char all[1 << 18];
    size_t got;
    int fd;

    cr_assert_eq(ax_console_create(loop, NULL, "none", false, &console), 0);
    for (int i = 0; i < 200000; i++)
        ax_console_put(console, '-');
    put("newest");
    fd = attach("");
    got = take(fd, all, sizeof(all));
    cr_assert_eq(got, 65536);
    cr_assert_str_eq(all + got - 6, "newest");
    close(fd);
}

Test(console, a_peer_hears_and_is_heard)
{
    struct heard h = {0};
    int fd;

    cr_assert_eq(ax_console_create(loop, NULL, "none", false, &console), 0);
    put("before.");
    fd = attach("");
    cr_assert_str_eq(await(fd, ".").text, "before.");
    cr_assert_str_eq(put_and_await("after.", fd, ".").text, "after.");
    cr_assert_str_eq(put_and_await("again.", fd, ".").text, "again.");
    cr_assert_eq(write(fd, "\001x", 2), 2);
    await_input(&h, 2);
    cr_assert_str_eq(h.input, "\001x", "no escapes for a peer");
    close(fd);
    turn();
    put("nobody"); /* and nothing goes wrong */
    turn();
    fd = attach("");
    cr_assert_str_eq(await(fd, "nobody").text, "before.after.again.nobody");
    close(fd);
}

Test(console, a_peer_beside_a_reader)
{
    char text[32] = "";
    int end = open_fd(), fd;

    put("first.");
    cr_assert(drain(1000).all);
    fd = attach("");
    cr_assert_str_eq(put_and_await("second.", fd, "second.").text,
                     "first.second.");
    cr_assert(drain(1000).all);
    cr_assert_eq(take(end, text, sizeof(text)), 13);
    cr_assert_str_eq(text, "first.second.", "the host end gets each once");
    close(fd);
    close(end);
}

Test(console, a_peer_goes_on_beside_a_stuck_reader)
{
    int end = open_small_fd(), fd = attach("");
    struct awaited a = {0};

    for (int i = 0; i < 20000; i++)
        ax_console_put(console, 'x');
    turn(); /* the reader's socket is full now */
    while (take(fd, a.text, sizeof(a.text)))
        ;
    cr_assert_str_eq(put_and_await("one.", fd, ".").text, "one.");
    cr_assert_str_eq(put_and_await("two.", fd, ".").text, "two.");
    close(fd);
    close(end);
}

Test(console, a_held_terminal_does_not_hold_peers)
{
    int fd;

    open_pipes(false);
    ax_console_hold(console, true);
    fd = attach("");
    cr_assert_str_eq(put_and_await("one.", fd, ".").text, "one.");
    cr_assert_str_eq(put_and_await("two.", fd, ".").text, "two.");
    close(fd);
}

/* Neither guest nor loop nor other peers notice. */
Test(console, a_peer_that_does_not_read_loses)
{
    static char all[1 << 18];
    int lazy, good;
    size_t got;

    cr_assert_eq(ax_console_create(loop, NULL, "none", false, &console), 0);
    lazy = attach("");
    good = attach("");
    for (int round = 0; round < 40; round++) {
        fill('-');
        cr_assert_not(ax_console_congested(console));
        put("!");
        await(good, "!");
    }
    cr_assert_str_eq(put_and_await("end.", good, ".").text, "end.");
    /* What its socket took, and then the newest. */
    got = take(lazy, all, sizeof(all));
    cr_assert_gt(got, 0);
    cr_assert_lt(got, sizeof(all) - 1);
    got = 0;
    do {
        turn();
        got += take(lazy, all + got, sizeof(all) - got);
    } while (!got || all[got - 1] != '.');
    cr_assert_eq(got, 65536);
    cr_assert_str_eq(all + got - 5, "!end.");
    close(good);
    close(lazy);
}

Test(console, a_peer_may_bring_more_input_than_fits)
{
    static char input[10001];
    unsigned count = 0;
    int fd;

    cr_assert_eq(ax_console_create(loop, NULL, "none", false, &console), 0);
    ax_console_listen(console, &(struct ax_console_events){.input = on_news});
    for (size_t i = 0; i < sizeof(input) - 1; i++)
        input[i] = (char)('a' + i % 26);
    fd = attach(input);
    cr_assert_eq(write(fd, "!", 1), 1);
    cr_assert(ax_console_ready(console));
    for (;;) {
        while (ax_console_ready(console) && count < sizeof(input) - 1)
            cr_assert_eq(ax_console_get(console), input[count++]);
        if (count == sizeof(input) - 1 && ax_console_ready(console))
            break;
        ax_loop_run(loop);
    }
    cr_assert_eq(ax_console_get(console), '!', "and in its order");
    close(fd);
}

Test(console, a_full_input_ring_stops_a_peer)
{
    static char input[10000];
    unsigned count = 0;
    struct timeval limit = {.tv_sec = 20};
    int fd;

    cr_assert_eq(ax_console_create(loop, NULL, "none", false, &console), 0);
    ax_console_listen(console, &(struct ax_console_events){.input = on_news});
    fd = attach("");
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    for (size_t i = 0; i < sizeof(input); i++)
        input[i] = (char)('a' + i % 26);
    cr_assert_eq(write(fd, input, sizeof(input)), (ssize_t)sizeof(input));
    while (count < sizeof(input)) {
        ax_loop_run(loop);
        turn(); /* now the ring is full, or all is there */
        while (ax_console_ready(console))
            cr_assert_eq(ax_console_get(console), input[count++]);
    }
    close(fd);
}

Test(console, peers_have_a_limit)
{
    int fds[AX_CONSOLE_PEERS], extra[2];
    char text[16];

    cr_assert_eq(ax_console_create(loop, NULL, "none", false, &console), 0);
    for (int i = 0; i < AX_CONSOLE_PEERS; i++)
        fds[i] = attach("");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, extra), 0);
    cr_assert_eq(ax_console_attach(console, extra[1], NULL, 0), -EBUSY);
    cr_assert_eq(read(extra[0], text, 1), 0, "it is closed");
    close(extra[0]);
    for (int i = 0; i < AX_CONSOLE_PEERS; i += 2)
        close(fds[i]);
    turn();
    for (int i = 0; i < AX_CONSOLE_PEERS; i += 2)
        fds[i] = attach("");
    put("all.");
    turn();
    for (int i = 0; i < AX_CONSOLE_PEERS; i++) {
        cr_assert_eq(take(fds[i], text, sizeof(text)), 4);
        cr_assert_str_eq(text, "all.");
    }
    ax_console_destroy(console);
    console = NULL;
    for (int i = 0; i < AX_CONSOLE_PEERS; i++) {
        cr_assert_eq(read(fds[i], text, 1), 0, "closed with the console");
        close(fds[i]);
    }
}

/* ---- models that can wait ---- */

enum { MUCH = 200000 };

/* What a model has to write, and does as the console lets it. */
struct writer {
    const uint8_t *bytes;
    size_t done, count;
    unsigned rooms;
};

static void on_room(void *ctx)
{
    struct writer *w = ctx;

    w->rooms++;
    w->done +=
        ax_console_write(console, w->bytes + w->done, w->count - w->done);
}

static void *read_all(void *ctx)
{
    uint8_t *bytes = ctx;

    for (size_t got = 0; got < MUCH;) {
        ssize_t n = read(drink, bytes + got, MUCH - got);

        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return NULL;
}

Test(console, takes_no_more_than_it_has_room_for_and_tells_of_more)
{
    static uint8_t sent[MUCH], got[MUCH];
    struct writer w = {.bytes = sent, .count = MUCH};
    pthread_t reader;

    for (size_t i = 0; i < MUCH; i++)
        sent[i] = (uint8_t)(i * 7 + i / 256);
    open_pipes(false);
    ax_console_listen(console, &(struct ax_console_events){
                                   .room = on_room,
                                   .ctx = &w,
                               });
    w.done = ax_console_write(console, sent, MUCH);
    cr_assert_gt(w.done, 0);
    cr_assert_lt(w.done, 65536);
    cr_assert_eq(ax_console_write(console, sent + w.done, 1), 0);
    cr_assert(ax_console_congested(console));
    pthread_create(&reader, NULL, read_all, got);
    /* Whatever the model writes while it drains is drained as well. */
    cr_assert(drain(20000).all);
    pthread_join(reader, NULL);
    cr_assert_eq(w.done, MUCH);
    cr_assert_gt(w.rooms, 1);
    cr_assert_arr_eq(got, sent, MUCH);
}

Test(console, without_a_reader_takes_all_and_keeps_the_newest)
{
    static uint8_t sent[MUCH], got[65536];
    int ends[2];
    size_t have = 0;

    for (size_t i = 0; i < MUCH; i++)
        sent[i] = (uint8_t)(i * 7 + i / 256);
    cr_assert_eq(ax_console_create(loop, NULL, "none", false, &console), 0);
    cr_assert_eq(ax_console_write(console, sent, 100), 100);
    cr_assert_eq(ax_console_write(console, sent + 100, MUCH - 100), MUCH - 100);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int));
    cr_assert_eq(ax_console_attach(console, ends[0], NULL, 0), 0);
    while (have < sizeof(got)) {
        ssize_t n = recv(ends[1], got + have, sizeof(got) - have, MSG_DONTWAIT);

        if (n <= 0)
            break;
        have += (size_t)n;
    }
    cr_assert_eq(have, sizeof(got));
    cr_assert_arr_eq(got, sent + MUCH - sizeof(got), sizeof(got));
    close(ends[1]);
}

Test(console, input_is_read_in_pieces_across_the_ring_end)
{
    uint8_t sent[3000], got[3000];

    memset(sent, 0, sizeof(sent));
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (uint8_t)(i % 251);
    open_pipes(false);
    ax_console_listen(console, &(struct ax_console_events){.input = on_news});
    cr_assert_eq(ax_console_read(console, got, 1), 0);
    for (unsigned round = 0; round < 4; round++) {
        size_t have = 0;

        cr_assert_eq(write(feed, sent, sizeof(sent)), (ssize_t)sizeof(sent));
        while (have < sizeof(sent)) {
            ax_loop_run(loop);
            have += ax_console_read(console, got + have, sizeof(got) - have);
        }
        cr_assert_arr_eq(got, sent, sizeof(sent));
    }
}

static void on_resized(void *ctx)
{
    ++*(unsigned *)ctx;
}

Test(console, has_the_size_that_it_was_told_last)
{
    unsigned news = 0;
    struct ax_console_size size;

    open_pipes(false); /* no terminal: nobody knows */
    ax_console_listen(console, &(struct ax_console_events){
                                   .resized = on_resized,
                                   .ctx = &news,
                               });
    size = ax_console_size(console);
    cr_assert(!size.cols && !size.rows);
    ax_console_look_at_terminal(console);
    cr_assert_eq(news, 0);
    size = (struct ax_console_size){.cols = 132, .rows = 50};
    ax_console_resize(console, size);
    ax_console_resize(console, size);
    cr_assert_eq(news, 1);
    size = ax_console_size(console);
    cr_assert(size.cols == 132 && size.rows == 50);
    size = ax_console_size(NULL);
    cr_assert(!size.cols && !size.rows);
}

Test(console, looks_at_its_terminal)
{
    int pty = posix_openpt(O_RDWR | O_NOCTTY);
    struct winsize winsize = {.ws_col = 99, .ws_row = 33};
    struct ax_console_size size;
    int slave;

    cr_assert_geq(pty, 0);
    cr_assert(!grantpt(pty) && !unlockpt(pty));
    slave = open(ptsname(pty), O_RDWR | O_NOCTTY);
    cr_assert_geq(slave, 0);
    ioctl(pty, TIOCSWINSZ, &winsize);
    dup2(slave, STDIN_FILENO);
    dup2(slave, STDOUT_FILENO);
    cr_assert_eq(ax_console_create(loop, NULL, "stdio", false, &console), 0);
    size = ax_console_size(console);
    cr_assert(size.cols == 99 && size.rows == 33);
    winsize.ws_row = 34;
    ioctl(pty, TIOCSWINSZ, &winsize);
    ax_console_look_at_terminal(console);
    size = ax_console_size(console);
    cr_assert(size.cols == 99 && size.rows == 34);
    close(slave);
    close(pty);
}
