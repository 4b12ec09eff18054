/*
 * netpeer.c - what the lab's network needs and busybox has not. Static.
 *
 *   netpeer pattern BYTES         writes bytes of which no two stretches are
 *                                 the same, quickly
 *   netpeer dns NAME ADDRESS      answers at 127.0.0.1 that this is NAME's, and
 *                                 that there is no other name
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <err.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORDS = 1 << 13, DNS_PORT = 53, DNS_HEAD = 12, MESSAGE = 512 };

/* ---- pattern ---- */

static void write_all(const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size) {
        const ssize_t n = write(STDOUT_FILENO, at, size);

        if (n <= 0)
            err(1, "write");
        at += n;
        size -= (size_t)n;
    }
}

static int pattern(uint64_t bytes)
{
    static uint64_t words[WORDS];
    uint64_t next = 0;

    while (bytes) {
        const size_t size = bytes < sizeof(words) ? bytes : sizeof(words);

        for (size_t i = 0; i < WORDS; i++)
            words[i] = ++next * UINT64_C(0x9e3779b97f4a7c15);
        write_all(words, size);
        bytes -= size;
    }
    return 0;
}

/* ---- DNS (RFC 1035, 4.1) ---- */

static void put16(uint8_t *to, unsigned val)
{
    to[0] = (uint8_t)(val >> 8);
    to[1] = (uint8_t)val;
}

/* The question's name as text; its length in the message, 0: it has none. */
static size_t name_at(const uint8_t *bytes, size_t len, char text[256])
{
    size_t at = DNS_HEAD, out = 0;

    while (at < len && bytes[at] && at + 1 + bytes[at] < len &&
           out + bytes[at] + 1 < 256) {
        for (unsigned i = 1; i <= bytes[at]; i++)
            text[out++] = (char)tolower(bytes[at + i]);
        text[out++] = '.';
        at += 1U + bytes[at];
    }
    if (!out || at >= len || bytes[at])
        return 0;
    text[out - 1] = 0;
    return at + 1 - DNS_HEAD;
}

/* Behind the question, which it repeats. The answer's length, 0: none. */
static size_t answer(uint8_t *bytes, size_t len, const char *name,
                     const struct in_addr *address)
{
    static const uint8_t record[] = {0xc0, DNS_HEAD, 0, 1, 0, 1,
                                     0,    0,        0, 9, 0, 4};
    char asked[256];
    const size_t name_len = name_at(bytes, len, asked);
    size_t end = DNS_HEAD + name_len + 4;
    int known, wants_address;

    if (len < end || !name_len)
        return 0;
    known = !strcmp(asked, name);
    wants_address = known && bytes[end - 3] == 1;
    put16(bytes + 2, known ? 0x8580 : 0x8583);
    put16(bytes + 4, 1);
    put16(bytes + 6, wants_address ? 1 : 0);
    put16(bytes + 8, 0);
    put16(bytes + 10, 0);
    if (wants_address) {
        memcpy(bytes + end, record, sizeof(record));
        memcpy(bytes + end + sizeof(record), address, sizeof(*address));
        end += sizeof(record) + sizeof(*address);
    }
    return end;
}

static int dns(const char *name, const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(DNS_PORT),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    uint8_t bytes[MESSAGE + 64];
    struct in_addr address;

    if (!inet_aton(text, &address))
        errx(2, "%s is no address", text);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)))
        err(1, "port %d", DNS_PORT);
    for (;;) {
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        const ssize_t len = recvfrom(fd, bytes, MESSAGE, 0,
                                     (struct sockaddr *)&from, &from_len);
        const size_t out =
            len < DNS_HEAD ? 0 : answer(bytes, (size_t)len, name, &address);

        if (out)
            sendto(fd, bytes, out, 0, (struct sockaddr *)&from, from_len);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "pattern"))
        return pattern(strtoull(argv[2], NULL, 10));
    if (argc == 4 && !strcmp(argv[1], "dns"))
        return dns(argv[2], argv[3]);
    errx(2, "usage: see the source");
}
