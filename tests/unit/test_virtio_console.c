/*
 * test_virtio_console.c - ports, control messages and back-pressure, with real
 * consoles whose host ends are sockets of the test. VIRTIO 1.2, 5.3.
 */
#include "devices/console.h"
#include "devices/loop.h"
#include "devices/registry.h"
#include "devices/virtio_conf.h"
#include "fake/virtio_driver.h"
#include "log.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN, OUT, CONTROL_IN, CONTROL_OUT, IN_1, OUT_1, IN_2 };
enum { PAGE = 4096, CONFIG = VIRTIO_MMIO_CONFIG };

#define BIT(n) (1ULL << (n))
#define ALL    UINT64_MAX

static struct ax_driver d;
static unsigned count;
static struct ax_console *consoles[AX_VCONSOLE_PORTS];
static struct ax_vconsole_conf confs[AX_VCONSOLE_PORTS];
static int ends[AX_VCONSOLE_PORTS]; /* our ends of them */

static void on_news(void *ctx)
{
    if (d.dev)
        ax_device_poll(d.dev);
}

static void open_console(struct ax_loop *loop, unsigned i)
{
    const struct ax_console_events events = {
        .input = on_news, .room = on_news, .resized = on_news};
    char spec[16];
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    snprintf(spec, sizeof(spec), "fd:%d", pair[0]);
    cr_assert_eq(ax_console_create(loop, NULL, spec, false, &consoles[i]), 0);
    ax_console_listen(consoles[i], &events);
    ends[i] = pair[1];
}

static void open_consoles(struct ax_device_env *env, void *ctx)
{
    for (unsigned i = 0; i < count; i++)
        open_console(env->loop, i);
    env->consoles = consoles;
    env->console_count = count;
}

/* A device of these ports; an empty name is none. */
static void create(unsigned ports, const char *const *names)
{
    count = ports;
    for (unsigned i = 0; i < ports; i++)
        confs[i].name = names && *names[i] ? strdup(names[i]) : NULL;
    cr_assert_eq(
        ax_driver_init(&d, &ax_virtio_console, confs, open_consoles, NULL), 0);
}

static void fini(void)
{
    /* Consoles are older than the device and outlive it; the loop does both. */
    ax_device_destroy(d.dev);
    d.dev = NULL;
    for (unsigned i = 0; i < count; i++) {
        ax_console_destroy(consoles[i]);
        close(ends[i]);
        free(confs[i].name);
    }
    ax_memory_fini(&d.mem);
    ax_loop_destroy(d.loop);
    ax_log_destroy(d.log);
}

TestSuite(virtio_console, .fini = fini, .timeout = 60);

/* ---- what a driver does ---- */

static int add(unsigned queue, ax_gpa gpa, uint32_t len, bool in)
{
    const struct ax_driver_buf buf = {.gpa = gpa, .len = len, .in = in};
    int id = ax_driver_add(&d, queue, &buf, 1);

    ax_driver_notify(&d, queue);
    return id;
}

static void say(uint32_t id, uint16_t event, uint16_t value)
{
    const struct virtio_console_control message = {id, event, value};
    const struct ax_driver_buf buf = {
        .gpa = ax_driver_put(&d, &message, sizeof(message)),
        .len = sizeof(message)};

    cr_assert_geq(ax_driver_ask(&d, CONTROL_OUT, &buf, 1), 0);
}

struct heard {
    struct virtio_console_control control;
    uint8_t rest[128];
    size_t size; /* of rest */
};

/* The next control message, within a buffer that is given for it. */
static bool hear(struct heard *h)
{
    static ax_gpa gpa;
    static bool given;
    unsigned id;
    uint32_t len;

    if (!given) {
        gpa = ax_driver_alloc(&d, PAGE);
        cr_assert_geq(add(CONTROL_IN, gpa, PAGE, true), 0);
        given = true;
    }
    ax_driver_settle(&d);
    if (!ax_driver_take(&d, CONTROL_IN, &id, &len))
        return false;
    given = false;
    cr_assert_geq(len, sizeof(h->control));
    memset(h, 0, sizeof(*h));
    memcpy(h, ax_driver_at(&d, gpa, len), len);
    h->size = len - sizeof(h->control);
    return true;
}

static void expect(uint32_t id, uint16_t event, const void *rest, size_t size)
{
    struct heard h = {0};

    cr_assert(hear(&h), "no event %u of port %u", event, id);
    cr_assert_eq(h.control.id, id);
    cr_assert_eq(h.control.event, event);
    cr_assert_eq(h.control.value, 1);
    cr_assert_eq(h.size, size);
    if (size)
        cr_assert_arr_eq(h.rest, rest, size);
}

static void expect_silence(void)
{
    struct heard h;

    cr_assert_not(hear(&h), "event %u of port %u", h.control.event,
                  h.control.id);
}

/* Bytes that the host has got, as many as are wanted. */
struct reading {
    int fd;
    uint8_t *bytes;
    size_t got, want;
};

static bool read_on(void *ctx)
{
    struct reading *r = ctx;
    ssize_t n = recv(r->fd, r->bytes + r->got, r->want - r->got, MSG_DONTWAIT);

    r->got += n > 0 ? (size_t)n : 0;
    return r->got == r->want;
}

static void expect_output(unsigned port, const char *text)
{
    uint8_t bytes[256];
    struct reading r = {ends[port], bytes, 0, strlen(text)};

    cr_assert(ax_driver_run(&d, read_on, &r));
    cr_assert_arr_eq(bytes, text, r.want);
}

static void type(unsigned port, const char *text)
{
    cr_assert_eq(write(ends[port], text, strlen(text)), (ssize_t)strlen(text));
}

static void expect_input(unsigned queue, ax_gpa gpa, const char *text)
{
    unsigned id;
    uint32_t len;

    cr_assert(ax_driver_wait(&d, queue, &id, &len));
    cr_assert_eq(len, strlen(text));
    cr_assert_arr_eq(ax_driver_at(&d, gpa, len), text, len);
}

static void send_text(unsigned queue, const char *text)
{
    const struct ax_driver_buf buf = {.gpa =
                                          ax_driver_put(&d, text, strlen(text)),
                                      .len = (uint32_t)strlen(text)};

    cr_assert_eq(ax_driver_ask(&d, queue, &buf, 1), 0);
}

/* ---- one port ---- */

static const uint64_t rings[] = {
    0,
    BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC),
    BIT(VIRTIO_F_RING_PACKED),
    ALL,
};

ParameterizedTestParameters(virtio_console, bytes_go_both_ways)
{
    return cr_make_param_array(const uint64_t, rings, AX_ARRAY_LEN(rings));
}

ParameterizedTest(const uint64_t *features, virtio_console, bytes_go_both_ways)
{
    struct ax_driver_buf bufs[2];
    ax_gpa gpa;

    create(1, NULL);
    cr_assert(ax_driver_start(&d, *features, 16));
    send_text(OUT, "hello ");
    bufs[0] = (struct ax_driver_buf){ax_driver_put(&d, "wor", 3), 3, false};
    bufs[1] = (struct ax_driver_buf){ax_driver_put(&d, "ld\n", 3), 3, false};
    cr_assert_eq(ax_driver_ask(&d, OUT, bufs, 2), 0);
    expect_output(0, "hello world\n");
    gpa = ax_driver_alloc(&d, 16);
    add(IN, gpa, 16, true);
    type(0, "ls\r");
    expect_input(IN, gpa, "ls\r");
    /* What was typed before waits for a buffer, and fills two. */
    type(0, "0123456789");
    ax_driver_settle(&d);
    add(IN, gpa, 4, true);
    expect_input(IN, gpa, "0123");
    add(IN, gpa, 16, true);
    expect_input(IN, gpa, "456789");
}

Test(virtio_console, a_single_port_needs_no_multiport)
{
    create(1, NULL);
    cr_assert_eq(ax_driver_offered(&d) & 7,
                 BIT(VIRTIO_CONSOLE_F_SIZE) |
                     BIT(VIRTIO_CONSOLE_F_EMERG_WRITE));
    cr_assert_eq(ax_driver_get(&d, CONFIG + 4, 4), 1);
    cr_assert(ax_driver_start(&d, ALL, 16));
    cr_assert_eq(d.queues[CONTROL_IN].layout.size, 0);
}

Test(virtio_console, its_size_is_in_the_configuration)
{
    unsigned before;

    create(1, NULL);
    ax_console_resize(consoles[0], (struct ax_console_size){100, 40});
    cr_assert_eq(ax_driver_get(&d, CONFIG, 4), 40 << 16 | 100);
    cr_assert(ax_driver_start(&d, ALL, 16));
    before = d.interrupts;
    ax_console_resize(consoles[0], (struct ax_console_size){101, 41});
    cr_assert_eq(ax_driver_get(&d, CONFIG, 2), 101);
    cr_assert_eq(ax_driver_get(&d, CONFIG + 2, 2), 41);
    cr_assert_eq(d.interrupts, before + 1);
    cr_assert(ax_driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS, 4) &
              VIRTIO_MMIO_INT_CONFIG);
}

Test(virtio_console, the_emergency_write_needs_no_driver)
{
    create(1, NULL);
    ax_driver_set(&d, CONFIG + 8, 4, '!');
    ax_driver_set(&d, CONFIG + 8, 1, '?');
    ax_driver_set(&d, CONFIG + 4, 4, '-'); /* read-only, like all else */
    ax_driver_set(&d, CONFIG, 4, '-');
    expect_output(0, "!?");
    cr_assert_eq(ax_driver_get(&d, CONFIG + 4, 4), 1);
    cr_assert_eq(ax_driver_get(&d, CONFIG + 8, 4), 0);
}

Test(virtio_console, without_a_console_output_is_lost)
{
    create(0, NULL);
    cr_assert(ax_driver_start(&d, ALL, 16));
    send_text(OUT, "nobody hears");
    ax_driver_set(&d, CONFIG + 8, 4, '!');
}

/* ---- back-pressure ---- */

enum { MUCH = 1 << 20, PIECE = 16384 };

static void make_pattern(uint8_t *bytes)
{
    for (size_t i = 0; i < MUCH; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
}

static unsigned take_all(unsigned queue)
{
    unsigned n = 0, id;
    uint32_t len;

    while (ax_driver_take(&d, queue, &id, &len))
        n++;
    return n;
}

Test(virtio_console, a_slow_reader_holds_the_guest_back_and_loses_nothing)
{
    static uint8_t sent[MUCH], got[MUCH];
    struct reading r = {0, got, 0, MUCH};
    unsigned done;

    make_pattern(sent);
    create(1, NULL);
    cr_assert(ax_driver_start(&d, ALL, 64));
    for (size_t at = 0; at < MUCH; at += PIECE)
        cr_assert_geq(
            add(OUT, ax_driver_put(&d, sent + at, PIECE), PIECE, false), 0);
    for (unsigned i = 0; i < 10; i++)
        ax_driver_settle(&d);
    done = take_all(OUT);
    cr_assert_lt(done, MUCH / PIECE, "all is popped though nobody reads");
    r.fd = ends[0];
    cr_assert(ax_driver_run(&d, read_on, &r));
    cr_assert_arr_eq(got, sent, MUCH);
    ax_driver_settle(&d);
    cr_assert_eq(done + take_all(OUT), MUCH / PIECE);
}

Test(virtio_console, a_reset_forgets_the_rest_of_a_request)
{
    static uint8_t sent[MUCH], got[MUCH];
    struct reading r = {0, got, 0, MUCH};

    memset(sent, 'x', sizeof(sent));
    create(1, NULL);
    cr_assert(ax_driver_start(&d, ALL, 64));
    add(OUT, ax_driver_put(&d, sent, MUCH), MUCH, false);
    for (unsigned i = 0; i < 10; i++)
        ax_driver_settle(&d);
    cr_assert_eq(take_all(OUT), 0);
    cr_assert(ax_driver_start(&d, ALL, 64));
    add(OUT, ax_driver_put(&d, "end", 3), 3, false);
    r.fd = ends[0];
    do {
        r.want = r.got + 1;
        cr_assert(ax_driver_run(&d, read_on, &r));
    } while (got[r.got - 1] == 'x');
    cr_assert_lt(r.got, MUCH / 2);
    r.want = r.got + 2;
    cr_assert(ax_driver_run(&d, read_on, &r));
    cr_assert_arr_eq(got + r.got - 3, "end", 3);
}

Test(virtio_console, input_waits_for_buffers)
{
    static uint8_t sent[PIECE * 2], got[PIECE * 2];
    ax_gpa gpa;
    size_t have = 0;
    unsigned id;
    uint32_t len;

    create(1, NULL);
    cr_assert(ax_driver_start(&d, ALL, 16));
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (uint8_t)(i * 7 + i / 256);
    cr_assert_eq(write(ends[0], sent, sizeof(sent)), (ssize_t)sizeof(sent));
    ax_driver_settle(&d);
    gpa = ax_driver_alloc(&d, 1000);
    while (have < sizeof(sent)) {
        add(IN, gpa, 1000, true);
        cr_assert(ax_driver_wait(&d, IN, &id, &len));
        cr_assert(len && len <= 1000);
        memcpy(got + have, ax_driver_at(&d, gpa, len), len);
        have += len;
    }
    cr_assert_arr_eq(got, sent, sizeof(sent));
}

/* ---- many ports ---- */

static const char *const names[] = {"", "", "org.axvm.agent"};

static void start_ports(void)
{
    create(3, names);
    ax_console_resize(consoles[1], (struct ax_console_size){80, 25});
    cr_assert(ax_driver_start(&d, ALL, 16));
    say(0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (unsigned i = 0; i < 3; i++)
        expect(i, VIRTIO_CONSOLE_PORT_ADD, NULL, 0);
    expect_silence();
}

Test(virtio_console, tells_of_its_ports)
{
    const uint16_t size[] = {80, 25}, other[] = {90, 30};

    start_ports();
    say(0, VIRTIO_CONSOLE_PORT_READY, 1);
    expect(0, VIRTIO_CONSOLE_CONSOLE_PORT, NULL, 0);
    expect(0, VIRTIO_CONSOLE_PORT_OPEN, NULL, 0);
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    expect(1, VIRTIO_CONSOLE_CONSOLE_PORT, NULL, 0);
    expect(1, VIRTIO_CONSOLE_RESIZE, size, sizeof(size));
    expect(1, VIRTIO_CONSOLE_PORT_OPEN, NULL, 0);
    say(2, VIRTIO_CONSOLE_PORT_READY, 1);
    expect(2, VIRTIO_CONSOLE_PORT_NAME, names[2], strlen(names[2]));
    expect(2, VIRTIO_CONSOLE_PORT_OPEN, NULL, 0);
    expect_silence();
    ax_console_resize(consoles[1], (struct ax_console_size){90, 30});
    expect(1, VIRTIO_CONSOLE_RESIZE, other, sizeof(other));
    ax_console_resize(consoles[2], (struct ax_console_size){90, 30});
    expect_silence(); /* it is no console */
}

Test(virtio_console, ports_are_separate)
{
    ax_gpa gpa;

    start_ports();
    send_text(OUT, "zero");
    send_text(OUT_1, "one");
    expect_output(0, "zero");
    expect_output(1, "one");
    say(1, VIRTIO_CONSOLE_PORT_READY, 1);
    say(1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    gpa = ax_driver_alloc(&d, 64);
    add(IN_1, gpa, 64, true);
    add(IN, ax_driver_alloc(&d, 64), 64, true);
    type(1, "to one");
    expect_input(IN_1, gpa, "to one");
    cr_assert_eq(take_all(IN), 0);
}

Test(virtio_console, a_closed_port_gets_no_input)
{
    ax_gpa gpa;

    start_ports();
    gpa = ax_driver_alloc(&d, 64);
    add(IN_2, gpa, 64, true);
    type(2, "early");
    ax_driver_settle(&d);
    cr_assert_eq(take_all(IN_2), 0);
    say(2, VIRTIO_CONSOLE_PORT_OPEN, 1);
    expect_input(IN_2, gpa, "early");
    say(2, VIRTIO_CONSOLE_PORT_OPEN, 0);
    add(IN_2, gpa, 64, true);
    type(2, "late");
    ax_driver_settle(&d);
    cr_assert_eq(take_all(IN_2), 0);
}

Test(virtio_console, a_driver_without_multiport_has_the_first_port)
{
    ax_gpa gpa;

    create(3, names);
    cr_assert(ax_driver_start(&d, 0, 16));
    send_text(OUT, "plain");
    expect_output(0, "plain");
    gpa = ax_driver_alloc(&d, 64);
    add(IN, gpa, 64, true);
    type(0, "typed");
    expect_input(IN, gpa, "typed");
    add(OUT_1, ax_driver_put(&d, "x", 1), 1, false);
    ax_driver_settle(&d);
    cr_assert_eq(take_all(OUT_1), 0);
}

Test(virtio_console, a_reset_closes_and_forgets)
{
    start_ports();
    say(0, VIRTIO_CONSOLE_PORT_READY, 1);
    say(0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    ax_driver_reset(&d);
    ax_driver_settle(&d);
    cr_assert(ax_driver_start(&d, ALL, 16));
    type(0, "x");
    add(IN, ax_driver_alloc(&d, 64), 64, true);
    ax_driver_settle(&d);
    cr_assert_eq(take_all(IN), 0);
}

/* ---- against the rules ---- */

Test(virtio_console, a_flood_of_messages_owes_each_once)
{
    create(3, names);
    cr_assert(ax_driver_start(&d, ALL, 64));
    for (unsigned i = 0; i < 3000; i++) {
        say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
        say(2, VIRTIO_CONSOLE_PORT_READY, 1);
    }
    for (unsigned i = 0; i < 2; i++)
        expect(i, VIRTIO_CONSOLE_PORT_ADD, NULL, 0);
    expect(2, VIRTIO_CONSOLE_PORT_NAME, names[2], strlen(names[2]));
    expect(2, VIRTIO_CONSOLE_PORT_OPEN, NULL, 0);
    expect_silence();
}

Test(virtio_console, nonsense_is_no_message)
{
    uint8_t bytes[PAGE];
    struct ax_driver_buf buf = {.len = 7};

    memset(bytes, 0xff, sizeof(bytes));
    start_ports();
    say(3, VIRTIO_CONSOLE_PORT_READY, 1);
    say(UINT32_MAX, VIRTIO_CONSOLE_PORT_OPEN, 1);
    say(1, VIRTIO_CONSOLE_RESIZE, 1);
    say(1, 77, 1);
    buf.gpa = ax_driver_put(&d, bytes, sizeof(bytes));
    cr_assert_eq(ax_driver_ask(&d, CONTROL_OUT, &buf, 1), 0);
    buf.len = PAGE;
    cr_assert_eq(ax_driver_ask(&d, CONTROL_OUT, &buf, 1), 0);
    buf.in = true; /* nothing to read in it */
    cr_assert_eq(ax_driver_ask(&d, CONTROL_OUT, &buf, 1), 0);
    cr_assert_eq(ax_driver_ask(&d, OUT, &buf, 1), 0);
    expect_silence();
    cr_assert_not(ax_driver_needs_reset(&d));
}

Test(virtio_console, buffers_of_no_use_come_back)
{
    struct ax_driver_buf buf = {.len = 3, .in = true};
    unsigned id;
    uint32_t len;

    create(2, NULL);
    cr_assert(ax_driver_start(&d, ALL, 16));
    buf.gpa = ax_driver_alloc(&d, 16);
    cr_assert_geq(ax_driver_add(&d, CONTROL_IN, &buf, 1), 0);
    buf.in = false; /* nothing to write into it */
    cr_assert_geq(ax_driver_add(&d, CONTROL_IN, &buf, 1), 0);
    say(0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    cr_assert(ax_driver_take(&d, CONTROL_IN, &id, &len));
    cr_assert_eq(len, 3);
    cr_assert(ax_driver_take(&d, CONTROL_IN, &id, &len));
    cr_assert_eq(len, 0);
    cr_assert_not(ax_driver_needs_reset(&d));
}

/* Requests without a byte cost nothing but their turn. */
Test(virtio_console, empty_requests_do_not_hold_the_loop)
{
    create(1, NULL);
    cr_assert(ax_driver_start(&d, 0, 64));
    ax_driver_raw_desc(&d, OUT, 0, 0, 0, 0, 0);
    ax_driver_raw_desc(&d, IN, 0, 0, 0, VRING_DESC_F_WRITE, 0);
    type(0, "x");
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 64; i++) {
            ax_driver_raw_avail(&d, OUT, 0);
            ax_driver_raw_avail(&d, IN, 0);
        }
        ax_driver_notify(&d, OUT);
        ax_driver_notify(&d, IN);
        ax_driver_settle(&d);
    }
    cr_assert_not(ax_driver_needs_reset(&d));
}

Test(virtio_console, a_broken_queue_asks_for_a_reset)
{
    create(1, NULL);
    cr_assert(ax_driver_start(&d, 0, 16));
    ax_driver_raw_desc(&d, OUT, 0, AX_DRIVER_MEMORY, 16, 0, 0);
    ax_driver_raw_avail(&d, OUT, 0);
    ax_driver_notify(&d, OUT);
    ax_driver_settle(&d);
    cr_assert(ax_driver_needs_reset(&d));
    cr_assert(ax_driver_start(&d, 0, 16));
    send_text(OUT, "again");
    expect_output(0, "again");
}
