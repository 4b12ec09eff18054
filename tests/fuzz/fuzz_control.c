/*
 * fuzz_control.c - a client that says anything to a control server with two
 * VMs of the fake engine.
 *
 * The input is what the client sends. A "file" must begin with "@/", which
 * becomes a directory of our own, and be one of those that are there; a line
 * that names another is left out, so that no file of the host is touched. The
 * loop runs until a last request has its answer or the connection is no longer
 * ours to ask on. Whatever happens, other clients are served.
 */
#include "control/place.h"
#include "control/server.h"
#include "devices/loop.h"
#include "fake/engine.h"
#include "fuzz/input.h"
#include "vmm/fleet.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT_MAX = 1 << 18, CARRY = 32 };

static const char last[] = "\n{\"command\": \"list\", \"id\": \"the end\"}\n";
static const char mark[] = "{\"id\": \"the end\"";

static const char *const files[] = {"one.toml", "two.toml", "bad.toml",
                                    "none.toml", "core"};

/* ---- the world: once ---- */

static char dir[40];

static char *in_dir(const char *name)
{
    char *path;

    require(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

static void remove_file(const char *name)
{
    char *path = in_dir(name);

    unlink(path);
    free(path);
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char *path = in_dir(name);
    FILE *f = fopen(path, "wb");

    require(f && fwrite(bytes, 1, size, f) == size && !fclose(f));
    free(path);
}

static void write_guest(const char *name, const char *base)
{
    char file[32], text[512];

    snprintf(text, sizeof(text),
             "[base]\ncpu_num = 2\nmemory = \"2M\"\narch = \"x86_64\"\n%s\n"
             "[kernel]\nkernel_path = \"%s.img\"\nkernel_load_addr = 0x1000\n"
             "entry_point = 0x1000\nentry_mode = \"real\"\n"
             "[console]\nmode = \"none\"\n",
             base, name);
    snprintf(file, sizeof(file), "%s.toml", name);
    write_file(file, text, strlen(text));
}

static void world_end(void)
{
    static const char *const made[] = {"one.toml", "two.toml", "bad.toml",
                                       "one.img",  "two.img",  "core"};

    for (size_t i = 0; i < AX_ARRAY_LEN(made); i++)
        remove_file(made[i]);
    rmdir(dir);
}

static void world_make(void)
{
    /* One runs until it is told otherwise, the other ends at once. */
    static const struct ax_fake_step one[] = {
        {.op = AX_FAKE_SPIN}, {.op = AX_FAKE_LOOP, .target = 0x1000}};
    static const struct ax_fake_step two[] = {
        {.exit = {.kind = AX_EXIT_IO_WRITE,
                  .access = {.addr = 0xf4,
                             .width = 1,
                             .write = true,
                             .space = AX_SPACE_PORT}}},
        {.op = AX_FAKE_SPIN},
        {.op = AX_FAKE_LOOP, .target = 0x1000}};

    strcpy(dir, "/tmp/axvm-fuzz-control-XXXXXX");
    require(mkdtemp(dir));
    atexit(world_end);
    write_guest("one", "id = 1");
    write_guest("two", "");
    write_guest("bad", "cpu_num = \"many\"");
    write_file("one.img", one, sizeof(one));
    write_file("two.img", two, sizeof(two));
}

/* ---- the client ---- */

struct run {
    struct ax_loop *loop;
    struct ax_fleet *fleet;
    struct ax_watch *watch;
    struct ax_timer *deadline;
    int fd;
    char *text; /* to be sent */
    size_t size, sent;
    char tail[CARRY]; /* of what came, so that no mark is overlooked */
    bool done, closed;
};

/* Is it one of ours, and not one that the others need? */
static bool is_harmless(const json_t *request, const char *file)
{
    const char *command =
        json_string_value(json_object_get(request, "command"));

    if (strncmp(file, "@/", 2))
        return file[0] != '/';
    for (size_t i = 0; i < AX_ARRAY_LEN(files); i++) {
        if (!strcmp(file + 2, files[i]))
            return !command || strcmp(command, "dump") ||
                   !strcmp(files[i], "core");
    }
    return false;
}

/* A line without its end, as it may be sent. */
static void add_line(FILE *to, const char *line, size_t len)
{
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    const char *file = json_string_value(json_object_get(request, "file"));

    if (!file) {
        fwrite(line, 1, len, to);
    } else if (is_harmless(request, file)) {
        if (file[0] == '@')
            json_object_set_new(request, "file",
                                json_sprintf("%s%s", dir, file + 1));
        json_dumpf(request, to, 0);
    }
    json_decref(request);
}

static void prepare(struct run *run, const char *data, size_t size)
{
    FILE *to = open_memstream(&run->text, &run->size);

    require(to);
    while (size) {
        const char *end = memchr(data, '\n', size);
        const size_t len = end ? (size_t)(end - data) : size;

        add_line(to, data, len);
        if (end)
            fputc('\n', to);
        size -= len + (end != NULL);
        data += len + (end != NULL);
    }
    fputs(last, to);
    require(!fclose(to));
}

static void finish(struct run *run)
{
    run->done = true;
    ax_loop_stop(run->loop);
}

static void client_receive(struct run *run)
{
    char bytes[CARRY + 4096];
    ssize_t n;

    memcpy(bytes, run->tail, CARRY);
    n = recv(run->fd, bytes + CARRY, sizeof(bytes) - CARRY, MSG_DONTWAIT);
    if (n <= 0) {
        run->closed = true;
        finish(run);
        return;
    }
    if (memmem(bytes, CARRY + (size_t)n, mark, sizeof(mark) - 1))
        finish(run);
    memcpy(run->tail, bytes + n, CARRY);
}

static void client_ready(void *ctx, unsigned events)
{
    struct run *run = ctx;

    if (events & AX_LOOP_WRITE) {
        ssize_t n = send(run->fd, run->text + run->sent, run->size - run->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        run->sent = n < 0 ? run->size : run->sent + (size_t)n;
        if (run->sent == run->size)
            ax_watch_set(run->watch, AX_LOOP_READ);
    }
    if (events & AX_LOOP_READ)
        client_receive(run);
}

/* A console has the connection, or a line is never to end. */
static void run_deadline(void *ctx, uint64_t count)
{
    finish(ctx);
}

static void run_quit(void *ctx)
{
}

/* ---- an input ---- */

static void quiet(void *ctx, enum ax_severity severity, const char *text)
{
}

static void add_guest(struct run *run, const char *name)
{
    struct ax_config_source src = {.report = quiet};
    char *path = in_dir(name);
    struct ax_config *conf;
    enum ax_blame blame;

    src.file = path;
    require(!ax_config_load(&src, &conf));
    require(!ax_fleet_add(run->fleet, conf, NULL, NULL, &blame));
    free(path);
}

static void converse(struct run *run)
{
    require(!ax_watch_create(run->loop, run->fd, AX_LOOP_READ | AX_LOOP_WRITE,
                             client_ready, run, &run->watch));
    ax_timer_arm(run->deadline, 100000000, 0);
    while (!run->done)
        ax_loop_run(run->loop);
    ax_watch_destroy(run->watch);
    run->done = run->closed = false;
    run->sent = 0;
    memset(run->tail, 0, sizeof(run->tail));
}

/* Another client, after the first has had its say, and maybe has gone. */
static void look(struct run *run, const char *socket, bool stays)
{
    const int first = run->fd;

    if (!stays)
        close(first);
    run->fd = ax_control_connect(socket);
    require(run->fd >= 0);
    free(run->text);
    prepare(run, "", 0);
    ax_timer_arm(run->deadline, 0, 0);
    require(!ax_watch_create(run->loop, run->fd, AX_LOOP_READ | AX_LOOP_WRITE,
                             client_ready, run, &run->watch));
    while (!run->done)
        ax_loop_run(run->loop);
    require(!run->closed);
    ax_watch_destroy(run->watch);
    close(run->fd);
    if (stays)
        close(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {0};
    struct ax_fleet_env env = {.ops = &ax_fake};
    struct ax_control_env cenv = {.quit = run_quit, .ctx = &run};
    struct ax_control *control;
    char *socket;

    if (size > INPUT_MAX) /* too much to be sent before the deadline */
        return 0;
    if (!dir[0])
        world_make();
    socket = in_dir("socket");
    require(!ax_loop_create(&run.loop));
    require(!ax_timer_create(run.loop, run_deadline, &run, &run.deadline));
    env.loop = cenv.loop = run.loop;
    require(!ax_fleet_create(&env, &run.fleet));
    cenv.fleet = run.fleet;
    add_guest(&run, "one.toml");
    add_guest(&run, "two.toml");
    require(!ax_control_create(&cenv, socket, &control));
    run.fd = ax_control_connect(socket);
    require(run.fd >= 0);
    prepare(&run, (const char *)data, size);
    converse(&run);
    look(&run, socket, size & 1);
    ax_control_destroy(control);
    ax_fleet_destroy(run.fleet);
    ax_timer_destroy(run.deadline);
    ax_loop_destroy(run.loop);
    require(!ax_fake_alive());
    free(run.text);
    free(socket);
    remove_file("core");
    return 0;
}
