/*
 * disk.c - in a guest: reads and writes a disk as quickly as one request at a
 * time goes.
 *
 *     disk DEVICE
 *
 * Says on standard output when a phase begins and ends, for stopwatch --phases:
 * OPERATIONS of 4 KiB at random places (the same in each run), then all of the
 * device's first MIB in pieces of 1 MiB. Past the page cache (O_DIRECT).
 */
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPERATIONS = 2000, SMALL = 4096, LARGE = 1 << 20, MIB = 96 };

static char *buffer;

static void transfer(int fd, bool write, off_t at, size_t bytes)
{
    ssize_t n =
        write ? pwrite(fd, buffer, bytes, at) : pread(fd, buffer, bytes, at);

    if (n != (ssize_t)bytes)
        err(1, "%s of %zu at %lld", write ? "write" : "read", bytes,
            (long long)at);
}

static void random_phase(int fd, const char *name, bool write)
{
    uint32_t state = 1;

    printf("ax: %s begins\n", name);
    for (int i = 0; i < OPERATIONS; i++) {
        state = state * 1664525 + 1013904223; /* Numerical Recipes' generator */
        transfer(fd, write, (off_t)(state >> 8) % (MIB << 8) * SMALL, SMALL);
    }
    printf("ax: %s ends\n", name);
}

static void sequential_phase(int fd, const char *name, bool write)
{
    printf("ax: %s begins\n", name);
    for (int i = 0; i < MIB; i++)
        transfer(fd, write, (off_t)i * LARGE, LARGE);
    printf("ax: %s ends\n", name);
}

int main(int argc, char **argv)
{
    int fd;

    if (argc != 2)
        errx(2, "usage: disk DEVICE");
    fd = open(argv[1], O_RDWR | O_DIRECT);
    if (fd < 0)
        err(1, "%s", argv[1]);
    buffer = aligned_alloc(SMALL, LARGE);
    if (!buffer)
        err(1, "memory");
    memset(buffer, 0xa5, LARGE);
    setvbuf(stdout, NULL, _IOLBF, 0);
    sequential_phase(fd, "warm", true); /* the image's pages are made */
    random_phase(fd, "read-4k", false);
    random_phase(fd, "write-4k", true);
    sequential_phase(fd, "read-1m", false);
    sequential_phase(fd, "write-1m", true);
    return 0;
}
