/*
 * stopwatch.c - runs a command and times what it prints.
 *
 *     stopwatch FIRST LAST COMMAND...
 *
 * Prints three numbers: microseconds from just before exec to the text FIRST on
 * the command's standard output, from there to LAST, and the memory that it
 * held at FIRST, in KiB, without mappings of 128 MiB and more (the guest's
 * RAM). LAST may be "": the command is killed at FIRST. Status 1 if a text does
 * not come within two minutes. For scripts/bench.sh.
 *
 *     stopwatch --phases COMMAND...
 *
 * Prints a line "NAME WALL CPU" for each phase of the guest's work:
 * microseconds from its line "ax: NAME begins" to its line "ax: NAME ends", and
 * those of processor time that the command's process, its guest included, took
 * between.
 */
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_MAX = 4 << 20, LIMIT_MS = 120000, GUEST_KIB = 128 << 10 };

struct output {
    int fd;
    size_t len;
    char text[OUTPUT_MAX];
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Reads on until text stands at or behind from: where it ends, 0 if never. */
static size_t await(struct output *out, size_t from, const char *text)
{
    const int64_t end = now_ns() + LIMIT_MS * INT64_C(1000000);
    const size_t length = strlen(text);

    for (;;) {
        const char *found =
            memmem(out->text + from, out->len - from, text, length);
        int64_t left = (end - now_ns()) / 1000000;
        struct pollfd ready = {.fd = out->fd, .events = POLLIN};
        ssize_t n;

        if (found)
            return (size_t)(found - out->text) + length;
        if (out->len - from >= length)
            from = out->len - length + 1; /* no need to look there again */
        if (left <= 0 || poll(&ready, 1, (int)left) <= 0)
            return 0;
        n = read(out->fd, out->text + out->len, sizeof(out->text) - out->len);
        if (n <= 0)
            return 0;
        out->len += (size_t)n;
    }
}

/* Resident KiB, but for the mappings that can only be guest RAM. */
static long resident(pid_t pid)
{
    char path[64], line[512];
    long sum = 0, size = 0, kib;
    FILE *smaps;

    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
    smaps = fopen(path, "re");
    if (!smaps)
        return -1;
    while (fgets(line, sizeof(line), smaps)) {
        if (sscanf(line, "Size: %ld kB", &kib) == 1)
            size = kib;
        else if (sscanf(line, "Rss: %ld kB", &kib) == 1 && size < GUEST_KIB)
            sum += kib;
    }
    fclose(smaps);
    return sum;
}

static pid_t start(char **argv, int *out)
{
    int ends[2];
    pid_t pid;

    if (pipe(ends))
        err(2, "pipe");
    pid = fork();
    if (pid < 0)
        err(2, "fork");
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], argv);
        err(127, "%s", argv[0]);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

static int64_t cpu_ns(clockid_t clock)
{
    struct timespec used;

    if (clock_gettime(clock, &used))
        err(2, "clock of the command");
    return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

/* Until its output ends. */
static int phases(char **argv)
{
    static struct output out;
    char name[32] = "", line[80];
    clockid_t clock;
    pid_t pid = start(argv, &out.fd);
    size_t at = 0;

    if (clock_getcpuclockid(pid, &clock))
        errx(2, "no clock of the command's");
    while ((at = await(&out, at, " begins"))) {
        int64_t wall = now_ns(), cpu = cpu_ns(clock);
        const char *from = memrchr(out.text, '\n', at);

        if (!from || sscanf(from, "\nax: %31s begins", name) != 1)
            continue;
        snprintf(line, sizeof(line), "ax: %s ends", name);
        at = await(&out, at, line);
        if (!at)
            break;
        wall = now_ns() - wall;
        cpu = cpu_ns(clock) - cpu;
        printf("%s %lld %lld\n", name, (long long)wall / 1000,
               (long long)cpu / 1000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return *name ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct output out;
    int64_t begin, first, last;
    long kib;
    size_t at;
    pid_t pid;

    if (argc > 2 && !strcmp(argv[1], "--phases"))
        return phases(argv + 2);
    if (argc < 4)
        errx(2, "usage: stopwatch FIRST LAST COMMAND...");
    begin = now_ns();
    pid = start(argv + 3, &out.fd);
    at = await(&out, 0, argv[1]);
    first = now_ns();
    kib = resident(pid);
    if (at && *argv[2])
        at = await(&out, at, argv[2]);
    last = now_ns();
    if (!at || !*argv[2])
        kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (!at) {
        fwrite(out.text, 1, out.len, stderr);
        errx(1, "%s: the text did not come", argv[3]);
    }
    printf("%lld %lld %ld\n", (long long)(first - begin) / 1000,
           (long long)(last - first) / 1000, kib);
    return 0;
}
