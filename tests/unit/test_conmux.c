/* test_conmux.c - several consoles on one terminal: lines, keys, holding. */
#include "devices/conmux.h"
#include "devices/console.h"
#include "devices/loop.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ax_loop *loop;
static struct ax_conmux *mux;
static struct ax_timer *timer;
static int saved_in, saved_out, feed, drink; /* our ends of stdin and stdout */

static void stop_later(void *ctx, uint64_t count)
{
    ax_loop_stop(loop);
}

static void init(void)
{
    int in[2], out[2];

    signal(SIGPIPE, SIG_IGN); /* as in main.c */
    cr_assert_eq(ax_loop_create(&loop), 0);
    cr_assert_eq(ax_timer_create(loop, stop_later, NULL, &timer), 0);
    saved_in = dup(STDIN_FILENO);
    saved_out = dup(STDOUT_FILENO);
    cr_assert_eq(pipe(in), 0);
    cr_assert_eq(pipe(out), 0);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    close(in[0]);
    close(out[1]);
    feed = in[1];
    drink = out[0];
    fcntl(drink, F_SETFL, O_NONBLOCK);
}

static void fini(void)
{
    ax_conmux_destroy(mux);
    ax_timer_destroy(timer);
    ax_loop_destroy(loop);
    dup2(saved_in, STDIN_FILENO);
    dup2(saved_out, STDOUT_FILENO);
    close(saved_in);
    close(saved_out);
    close(feed);
    close(drink);
}

TestSuite(conmux, .init = init, .fini = fini, .timeout = 60);

struct keys {
    char keys[16];
    const void *tags[16];
    unsigned count;
};

static void on_escape(void *ctx, const void *tag, int key)
{
    struct keys *k = ctx;

    k->tags[k->count] = tag;
    k->keys[k->count++] = (char)key;
}

static struct keys *open_mux(bool escapes)
{
    static struct keys keys;

    cr_assert_eq(ax_conmux_create(loop, NULL, escapes, on_escape, &keys, &mux),
                 0);
    return &keys;
}

/* The console's end of a guest; its tag is its name. */
static int add(char *name)
{
    int fd = ax_conmux_add(mux, name, name);

    cr_assert_geq(fd, 3);
    cr_assert_eq(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Lets the loop do whatever is to be done now. */
static void turn(void)
{
    for (int i = 0; i < 5; i++) { /* what is ready is called in each */
        ax_timer_arm(timer, 1000000, 0);
        ax_loop_run(loop);
    }
}

static char shown[1 << 16];
static size_t shown_count;

/* What has come to the terminal. */
static const char *look(void)
{
    ssize_t n;

    while ((n = read(drink, shown + shown_count,
                     sizeof(shown) - 1 - shown_count)) > 0)
        shown_count += (size_t)n;
    shown[shown_count] = '\0';
    return shown;
}

/* Runs the loop until the terminal shows just that since the last time. */
static void expect(const char *text)
{
    while (strlen(look()) < strlen(text))
        turn();
    cr_assert_str_eq(shown, text);
    shown_count = 0;
}

/* What the console at fd got: as much as text has. */
static void expect_input(int fd, const char *text)
{
    char got[128] = "";
    size_t count = 0;

    while (count < strlen(text)) {
        ssize_t n = read(fd, got + count, sizeof(got) - 1 - count);

        if (n > 0)
            count += (size_t)n;
        else
            turn();
    }
    cr_assert_str_eq(got, text);
}

static void expect_no_input(int fd)
{
    char byte;

    turn();
    cr_assert_eq(read(fd, &byte, 1), -1);
    cr_assert_eq(errno, EAGAIN);
}

static char one[] = "one", two[] = "two", three[] = "three";

/* ---- output ---- */

Test(conmux, every_line_has_a_name)
{
    int a, b;

    open_mux(false);
    a = add(one);
    b = add(two);
    say(a, "first\nsecond\r\n\n\r\n");
    expect("one| first\none| second\r\none| \none| \r\n");
    say(b, "third\r\r\n");
    expect("two| third\r\n");
    close(a);
    close(b);
}

Test(conmux, a_prompt_is_shown_before_its_line_ends)
{
    int a;

    open_mux(false);
    a = add(one);
    say(a, "login: ");
    expect("one| login: ");
    say(a, "root");
    expect("root");
    say(a, "\r\n");
    expect("\r\n");
    say(a, "# ");
    expect("one| # ");
    close(a);
}

Test(conmux, another_guest_ends_an_unfinished_line)
{
    int a, b;

    open_mux(false);
    a = add(one);
    b = add(two);
    say(a, "login: ");
    expect("one| login: ");
    say(b, "hello\n");
    expect("\ntwo| hello\n");
    say(a, "root");
    expect("one| root");
    say(b, "again\n");
    expect("\ntwo| again\n");
    say(a, "\r\n");
    say(a, "in\n");
    expect("one| in\n"); /* the line of root has ended already */
    close(a);
    close(b);
}

/* Without a rest between their parts lines stay whole. */
Test(conmux, lines_are_not_cut_without_need)
{
    unsigned whole = 0;
    int a, b;

    open_mux(false);
    a = add(one);
    b = add(two);
    for (int i = 0; i < 50 && !whole; i++) {
        const char *first;

        say(a, "par");
        say(b, "par");
        turn();
        say(a, "tial\n");
        say(b, "tial\n");
        while (!(first = strstr(look(), "tial\n")) ||
               !strstr(first + 1, "tial\n"))
            turn();
        /* On a busy host the rest may have been too long: not every time. */
        whole += !strcmp(shown, "one| partial\ntwo| partial\n") ||
                 !strcmp(shown, "two| partial\none| partial\n");
        shown_count = 0;
    }
    cr_assert_gt(whole, 0);
    close(a);
    close(b);
}

Test(conmux, a_carriage_return_starts_the_line_anew)
{
    int a, b;

    open_mux(false);
    a = add(one);
    b = add(two);
    say(a, "10%\r20%\r");
    expect("one| 10%\rone| 20%");
    say(a, "30%");
    expect("\rone| 30%");
    say(a, "\r");
    say(b, "hello\n");
    expect("\ntwo| hello\n");
    say(a, "40%\r\n");
    expect("one| 40%\r\n");
    say(a, "\n\r");
    say(a, "next\n");
    expect("one| \none| next\n");
    close(a);
    close(b);
}

Test(conmux, a_line_without_an_end)
{
    static char text[10001], all[10006];
    int a;

    open_mux(false);
    a = add(one);
    memset(text, 'x', sizeof(text) - 1);
    snprintf(all, sizeof(all), "one| %s", text);
    say(a, text);
    expect(all);
    close(a);
}

enum { LINES = 60000, LINE = 16 };

/* Each line in its order, and all of them, though the terminal is slow. */
Test(conmux, a_slow_terminal_holds_guests_back)
{
    static const char form[] = "%0*u";
    unsigned sent = 0, checked = 0;
    char line[LINE + 1], want[LINE + 8];
    bool refused = false;
    int a;

    open_mux(false);
    a = add(one);
    while (checked < LINES) {
        for (; sent < LINES; sent++) {
            snprintf(line, sizeof(line), form, LINE - 1, sent);
            line[LINE - 1] = '\n';
            if (send(a, line, LINE, MSG_DONTWAIT) != LINE)
                break; /* a stream takes such small pieces whole */
        }
        refused |= sent < LINES;
        turn();
        look();
        for (;; checked++) {
            snprintf(line, sizeof(line), form, LINE - 1, checked);
            snprintf(want, sizeof(want), "one| %.*s\n", LINE - 1, line);
            if (shown_count < strlen(want))
                break;
            cr_assert_eq(memcmp(shown, want, strlen(want)), 0);
            shown_count -= strlen(want);
            memmove(shown, shown + strlen(want), shown_count);
        }
    }
    cr_assert(refused, "somebody must have waited");
    close(a);
}

Test(conmux, a_terminal_that_is_gone_holds_nobody)
{
    char text[1000];
    int a;

    open_mux(false);
    a = add(one);
    close(drink);
    memset(text, '\n', sizeof(text));
    for (int i = 0; i < 2000; i++) {
        while (write(a, text, sizeof(text)) < 0)
            turn();
    }
    close(a);
}

/* ---- input ---- */

Test(conmux, input_goes_to_the_front)
{
    struct keys *keys = open_mux(true);
    int a = add(one), b = add(two), c = add(three);

    say(feed, "to one\001\001\001n");
    expect("-- input goes to two --\n");
    expect_input(a, "to one\001");
    say(feed, "to two\001xmore");
    expect_input(b, "to twomore");
    cr_assert_eq(keys->count, 1);
    cr_assert_eq(keys->keys[0], 'x');
    cr_assert_eq(keys->tags[0], two);
    say(feed, "\001n\001n1");
    expect("-- input goes to three --\n-- input goes to one --\n");
    expect_input(a, "1");
    expect_no_input(b);
    expect_no_input(c);
    close(a);
    close(b);
    close(c);
}

Test(conmux, the_switch_ends_an_unfinished_line)
{
    int a, b;

    open_mux(true);
    a = add(one);
    b = add(two);
    say(a, "login: ");
    expect("one| login: ");
    say(feed, "\001n");
    expect("\n-- input goes to two --\n");
    say(a, "root\n");
    expect("one| root\n");
    close(a);
    close(b);
}

Test(conmux, keys_without_a_guest)
{
    struct keys *keys = open_mux(true);
    int a;

    say(feed, "lost\001x\001n");
    expect("-- input goes to nobody --\n");
    cr_assert_eq(keys->count, 1);
    cr_assert_null(keys->tags[0]);
    a = add(one);
    say(feed, "heard");
    expect_input(a, "heard");
    close(a);
}

Test(conmux, without_escapes_everything_is_input)
{
    struct keys *keys = open_mux(false);
    int a;

    say(feed, "\001n\001x"); /* and it waits for the first guest */
    turn();
    a = add(one);
    expect_input(a, "\001n\001x");
    cr_assert_eq(keys->count, 0);
    close(feed); /* the guest goes on without */
    feed = dup(drink);
    say(a, "still here\n");
    expect("one| still here\n");
    close(a);
}

Test(conmux, a_guest_that_does_not_read_stops_the_input)
{
    static char text[1 << 14];
    size_t sent = 0, got = 0;
    unsigned idle = 0;
    int a;

    open_mux(false);
    a = add(one);
    cr_assert_eq(fcntl(feed, F_SETFL, O_NONBLOCK), 0);
    while (idle < 10) { /* until nothing moves any more */
        ssize_t n;

        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char)('a' + (sent + i) % 26);
        n = write(feed, text, sizeof(text));
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        cr_assert_lt(sent, 100000000);
        turn();
    }
    while (got < sent) {
        ssize_t n = read(a, text, sizeof(text));

        for (ssize_t i = 0; i < n; i++)
            cr_assert_eq(text[i], (char)('a' + got++ % 26));
        if (n < 0)
            turn();
    }
    close(a);
}

/* ---- guests that go ---- */

Test(conmux, the_last_line_is_ended)
{
    int a, b;

    open_mux(true);
    a = add(one);
    b = add(two);
    say(a, "all\nlast words");
    close(a);
    ax_conmux_remove(mux, one);
    ax_conmux_remove(mux, one);
    ax_conmux_remove(mux, three); /* unknown */
    expect("-- input goes to two --\none| all\none| last words\n");
    say(feed, "x");
    expect_input(b, "x");
    say(b, "alive\n");
    expect("two| alive\n");
    close(b);
    turn();
    ax_conmux_remove(mux, two);
    ax_conmux_remove(NULL, two);
    ax_conmux_hold(NULL, true);
    expect("");
}

Test(conmux, a_guest_that_rests_is_not_in_front)
{
    int a, b;

    open_mux(true);
    a = add(one);
    b = add(two);
    ax_conmux_rest(mux, one, true);
    ax_conmux_rest(mux, three, true); /* unknown */
    ax_conmux_rest(NULL, one, true);
    expect("-- input goes to two --\n");
    say(a, "the end\n");
    expect("one| the end\n");
    say(feed, "x");
    expect_input(b, "x");
    ax_conmux_rest(mux, one, false);
    expect("");
    ax_conmux_rest(mux, two, true);
    expect("-- input goes to one --\n");
    say(feed, "y");
    expect_input(a, "y");
    close(a);
    close(b);
}

Test(conmux, a_guest_may_be_removed_before_its_console)
{
    struct ax_console *console;
    char spec[32];
    int b;

    open_mux(true);
    snprintf(spec, sizeof(spec), "fd:%d", ax_conmux_add(mux, one, one));
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &console), 0);
    b = add(two);
    ax_conmux_remove(mux, one);
    expect("-- input goes to two --\n");
    for (const char *c = "late\n"; *c; c++)
        ax_console_put(console, (uint8_t)*c);
    expect("one| late\n");
    ax_console_destroy(console);
    turn();
    close(b);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

Test(conmux, what_no_console_takes_is_closed)
{
    int a, b, c;

    open_mux(false);
    a = add(one);
    ax_conmux_remove(mux, one);
    cr_assert_not(is_open(a));
    b = add(two);
    fcntl(b, F_SETFD, FD_CLOEXEC); /* as a console does */
    ax_conmux_remove(mux, two);
    cr_assert(is_open(b));
    c = add(three);
    ax_conmux_destroy(mux);
    mux = NULL;
    cr_assert_not(is_open(c));
    cr_assert(is_open(b));
    close(b);
}

Test(conmux, nothing_is_lost_at_the_end)
{
    int a, b;

    open_mux(false);
    a = add(one);
    b = add(two);
    say(a, "unread\nunfinished");
    say(b, "x\n");
    close(a);
    close(b);
    ax_conmux_destroy(mux);
    mux = NULL;
    look();
    cr_assert_not_null(strstr(shown, "one| unread\n"));
    cr_assert_not_null(strstr(shown, "one| unfinished\n"));
    cr_assert_not_null(strstr(shown, "two| x\n"));
}

Test(conmux, a_stuck_terminal_does_not_hold_the_end)
{
    char text[1000];
    unsigned idle = 0;
    int a;

    open_mux(false);
    a = add(one);
    memset(text, '\n', sizeof(text));
    while (idle < 10) {
        idle = write(a, text, sizeof(text)) > 0 ? 0 : idle + 1;
        turn();
    }
    ax_conmux_destroy(mux); /* the time limit of the suite is the assertion */
    mux = NULL;
    close(a);
}

/* ---- holding ---- */

Test(conmux, a_held_terminal_is_left_alone)
{
    char text[8] = "";
    int a;

    open_mux(true);
    a = add(one);
    say(a, "login: ");
    expect("one| login: ");
    ax_conmux_hold(mux, true);
    ax_conmux_hold(mux, true);
    say(a, "held\n");
    say(feed, "mine");
    turn();
    cr_assert_str_eq(look(), "");
    cr_assert_eq(read(STDIN_FILENO, text, sizeof(text)), 4);
    cr_assert_str_eq(text, "mine");
    ax_conmux_hold(mux, false);
    expect("held\n"); /* shown before it was released */
    say(a, "user: ");
    expect("one| user: ");
    ax_conmux_hold(mux, true);
    ax_conmux_hold(mux, false);
    say(a, "root\n");
    expect("one| root\n"); /* others have used the terminal since */
    say(feed, "in");
    expect_input(a, "in");
    close(a);
}

static void on_escape_hold(void *ctx, const void *tag, int key)
{
    ax_conmux_hold(mux, true);
}

Test(conmux, an_escape_may_take_the_terminal)
{
    char text[8] = "";
    int a;

    cr_assert_eq(ax_conmux_create(loop, NULL, true, on_escape_hold, NULL, &mux),
                 0);
    a = add(one);
    say(feed, "a\001cmine");
    expect_input(a, "a");
    turn();
    cr_assert_eq(read(STDIN_FILENO, text, sizeof(text)), 4);
    cr_assert_str_eq(text, "mine");
    close(a);
}

/* ---- with consoles ---- */

static void put(struct ax_console *console, const char *text)
{
    while (*text)
        ax_console_put(console, (uint8_t)*text++);
}

Test(conmux, consoles)
{
    struct ax_console *consoles[2];
    char spec[32];

    open_mux(true);
    snprintf(spec, sizeof(spec), "fd:%d", ax_conmux_add(mux, one, one));
    cr_assert_eq(ax_console_create(loop, NULL, spec, true, &consoles[0]), 0);
    snprintf(spec, sizeof(spec), "fd:%d", ax_conmux_add(mux, two, two));
    cr_assert_eq(ax_console_create(loop, NULL, spec, true, &consoles[1]), 0);
    put(consoles[0], "hello\r\n");
    expect("one| hello\r\n");
    put(consoles[1], "hi\r\n");
    expect("two| hi\r\n");
    say(feed, "a\001n");
    expect("-- input goes to two --\n");
    say(feed, "b");
    while (!ax_console_ready(consoles[0]) || !ax_console_ready(consoles[1]))
        turn();
    cr_assert_eq(ax_console_get(consoles[0]), 'a');
    cr_assert_eq(ax_console_get(consoles[1]), 'b');
    put(consoles[0], "bye");
    ax_console_destroy(consoles[1]);
    turn();
    ax_console_destroy(consoles[0]);
    ax_conmux_destroy(mux);
    mux = NULL;
    expect("-- input goes to one --\none| bye\n");
}
