/*
 * listen.c - from [HOST:]PORT or unix:PATH to a socket that listens.
 */
#include "debug/listen.h"

#include "devices/unixsock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    HOST_MAX = 255, /* of a name in the DNS, RFC 1035 2.3.4 */
    PORT_MAX = 65535,
    PORT_DIGITS = 5,
    BACKLOG = 4, /* a second debugger is told that there is one */
};

#define UNIX_PREFIX "unix:"

struct spec {
    const char *path;        /* of a socket file; NULL: TCP */
    char host[HOST_MAX + 1]; /* without brackets; "": none was given */
    unsigned port;
};

/* Any socket address that we make. */
union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

/* ---- specifications ---- */

static bool parse_port(const char *text, unsigned *port)
{
    const size_t len = strlen(text);
    unsigned number = 0;

    if (!len || len > PORT_DIGITS || text[strspn(text, "0123456789")])
        return false;
    for (; *text; text++)
        number = number * 10 + (unsigned)(*text - '0');
    *port = number;
    return number <= PORT_MAX;
}

/* What is wrong with len bytes of a host; is_ipv6: it stood in brackets. */
static const char *parse_host(const char *text, size_t len, bool is_ipv6,
                              struct spec *out)
{
    struct in6_addr ignored;

    if (!len)
        return "HOST is missing before the colon; * stands for all addresses "
               "of this host";
    if (len > HOST_MAX)
        return "HOST is longer than 255 bytes";
    memcpy(out->host, text, len);
    out->host[len] = '\0';
    if (is_ipv6)
        return inet_pton(AF_INET6, out->host, &ignored) == 1
                   ? NULL
                   : "what stands in brackets is no IPv6 address";
    if (strchr(out->host, ':'))
        return "an IPv6 address stands in brackets: [::1]:PORT";
    for (const char *c = out->host; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("/[]", *c))
            return "HOST has a character that no name or address has";
    }
    /* Resolvers take other spellings, too, which nobody means. */
    if (!out->host[strspn(out->host, "0123456789.")] &&
        inet_pton(AF_INET, out->host, &ignored) != 1)
        return "HOST is no IPv4 address";
    return NULL;
}

static const char *parse_path(const char *path, struct spec *out)
{
    if (!*path)
        return "expected unix:PATH";
    if (strlen(path) > AX_UNIX_PATH)
        return "the socket path is longer than the system allows (107 bytes)";
    out->path = path;
    return NULL;
}

static const char *parse_tcp(const char *text, struct spec *out)
{
    const bool brackets = *text == '[';
    const char *colon = strrchr(text, ':');
    const char *host = text + brackets, *end = colon;
    const char *problem = NULL;

    if (brackets) {
        end = strchr(text, ']');
        if (!end || end[1] != ':' || end + 1 != colon)
            return "expected [ADDRESS]:PORT";
    }
    if (colon)
        problem = parse_host(host, (size_t)(end - host), brackets, out);
    if (problem)
        return problem;
    if (parse_port(colon ? colon + 1 : text, &out->port))
        return NULL;
    return colon ? "PORT must be a number from 0 to 65535"
                 : "expected [HOST:]PORT, with PORT from 0 to 65535, or "
                   "unix:PATH";
}

static const char *parse(const char *spec, struct spec *out)
{
    const size_t len = strlen(UNIX_PREFIX);

    *out = (struct spec){0};
    return strncmp(spec, UNIX_PREFIX, len) ? parse_tcp(spec, out)
                                           : parse_path(spec + len, out);
}

const char *ax_listen_check(const char *spec)
{
    struct spec ignored;

    return parse(spec, &ignored);
}

int ax_listen_nth(const char *spec, unsigned index, char *out, size_t size)
{
    struct spec parsed;
    const char *colon = strrchr(spec, ':');
    const int host = colon ? (int)(colon - spec) + 1 : 0;
    int n;

    if (parse(spec, &parsed) || (index && parsed.path))
        return -EINVAL;
    if (!index || !parsed.port)
        n = snprintf(out, size, "%s", spec);
    else if (index > PORT_MAX - parsed.port)
        return -EINVAL;
    else
        n = snprintf(out, size, "%.*s%u", host, spec, parsed.port + index);
    return n >= 0 && (size_t)n < size ? 0 : -EINVAL;
}

/* ---- what went wrong ---- */

__attribute__((format(printf, 3, 4))) static int
fail(int err, char why[AX_LISTEN_WHY], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, AX_LISTEN_WHY, fmt, args);
    va_end(args);
    return err;
}

static int fail_tcp(int err, const struct spec *spec, char why[AX_LISTEN_WHY])
{
    switch (err) {
    case -EADDRINUSE:
        return fail(err, why,
                    "port %u is in use: choose another, or 0 for one that is "
                    "free",
                    spec->port);
    case -EACCES:
        return fail(err, why,
                    "port %u needs the privilege CAP_NET_BIND_SERVICE: choose "
                    "one from 1024 on",
                    spec->port);
    case -EADDRNOTAVAIL:
        return fail(err, why,
                    "'%s' is no address of this host: leave it out for the "
                    "loopback interface, or write * for all",
                    spec->host);
    default:
        return fail(err, why, "cannot listen at port %u of '%s': %s",
                    spec->port, *spec->host ? spec->host : "127.0.0.1",
                    strerror(-err));
    }
}

/* ---- TCP ---- */

static int tcp_listen(const union address *addr, socklen_t size)
{
    const int on = 1, off = 0;
    int fd = socket(addr->any.sa_family,
                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int err;

    if (fd < 0)
        return -errno;
    /* Connections of the last run may still linger in TIME_WAIT. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (addr->any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (!bind(fd, &addr->any, size) && !listen(fd, BACKLOG))
        return fd;
    err = -errno;
    close(fd);
    return err;
}

static int tcp_listen_ipv4(struct in_addr host, unsigned port)
{
    const union address addr = {
        .in = {.sin_family = AF_INET,
               .sin_port = htons((uint16_t)port),
               .sin_addr = host},
    };

    return tcp_listen(&addr, sizeof(addr.in));
}

static int tcp_listen_ipv6(struct in6_addr host, unsigned port)
{
    const union address addr = {
        .in6 = {.sin6_family = AF_INET6,
                .sin6_port = htons((uint16_t)port),
                .sin6_addr = host},
    };

    return tcp_listen(&addr, sizeof(addr.in6));
}

/* By IPv6, which takes IPv4 as well, where the host has it. */
static int tcp_listen_all(unsigned port)
{
    const struct in_addr any = {.s_addr = htonl(INADDR_ANY)};
    int fd = tcp_listen_ipv6(in6addr_any, port);

    return fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL
               ? tcp_listen_ipv4(any, port)
               : fd;
}

#ifdef AX_STATIC
/* glibc looks up names by libraries that a static binary cannot load. */
static int tcp_listen_name(const struct spec *spec, char why[AX_LISTEN_WHY])
{
    return fail(-EOPNOTSUPP, why,
                "'%s': this static binary looks up no names: write the address",
                spec->host);
}
#else
/* At the first of its addresses where it goes. */
static int tcp_listen_name(const struct spec *spec, char why[AX_LISTEN_WHY])
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    char port[PORT_DIGITS + 1];
    union address addr;
    int err, fd = -EADDRNOTAVAIL;

    snprintf(port, sizeof(port), "%u", spec->port);
    err = getaddrinfo(spec->host, port, &hints, &list);
    if (err)
        return fail(-EHOSTUNREACH, why,
                    "unknown host '%s' (%s): write an address of this host, "
                    "or leave it out for the loopback interface",
                    spec->host, gai_strerror(err));
    for (const struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        if (at->ai_addrlen > sizeof(addr))
            continue;
        memcpy(&addr, at->ai_addr, at->ai_addrlen);
        fd = tcp_listen(&addr, at->ai_addrlen);
    }
    freeaddrinfo(list);
    return fd < 0 ? fail_tcp(fd, spec, why) : fd;
}
#endif

/* A descriptor, or -errno with why set. */
static int tcp_open_host(const struct spec *spec, char why[AX_LISTEN_WHY])
{
    struct in_addr ipv4 = {.s_addr = htonl(INADDR_LOOPBACK)};
    struct in6_addr ipv6;
    int fd;

    if (!*spec->host || inet_pton(AF_INET, spec->host, &ipv4) == 1)
        fd = tcp_listen_ipv4(ipv4, spec->port);
    else if (inet_pton(AF_INET6, spec->host, &ipv6) == 1)
        fd = tcp_listen_ipv6(ipv6, spec->port);
    else if (!strcmp(spec->host, "*"))
        fd = tcp_listen_all(spec->port);
    else
        return tcp_listen_name(spec, why);
    return fd < 0 ? fail_tcp(fd, spec, why) : fd;
}

/* As gdb takes it: "all" is where it runs itself. */
static void tcp_address(const struct spec *spec, unsigned port,
                        char address[AX_LISTEN_ADDRESS])
{
    const char *host = !*spec->host               ? "127.0.0.1"
                       : !strcmp(spec->host, "*") ? "localhost"
                                                  : spec->host;
    const bool is_ipv6 = strchr(host, ':');

    snprintf(address, AX_LISTEN_ADDRESS, "%s%s%s:%u", is_ipv6 ? "[" : "", host,
             is_ipv6 ? "]" : "", port);
}

static int tcp_open(const struct spec *spec, int *fd,
                    char address[AX_LISTEN_ADDRESS], char why[AX_LISTEN_WHY])
{
    union address own = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof(own);
    int err = tcp_open_host(spec, why);

    if (err < 0)
        return err;
    *fd = err;
    if (getsockname(*fd, &own.any, &size)) {
        err = -errno;
        close(*fd);
        *fd = -1;
        return fail_tcp(err, spec, why);
    }
    tcp_address(spec,
                ntohs(own.any.sa_family == AF_INET6 ? own.in6.sin6_port
                                                    : own.in.sin_port),
                address);
    return 0;
}

/* ---- socket files ---- */

/* For a debugger in another directory: absolute, where that can be used. */
static void unix_address(const char *path, char address[AX_LISTEN_ADDRESS])
{
    char *cwd = *path == '/' ? NULL : get_current_dir_name();
    int n = cwd ? snprintf(address, AX_LISTEN_ADDRESS, "%s/%s",
                           strcmp(cwd, "/") ? cwd : "", path)
                : -1;

    if (n < 0 || n > AX_UNIX_PATH)
        snprintf(address, AX_LISTEN_ADDRESS, "%s", path);
    free(cwd);
}

static int unix_open(const char *path, int *fd, char address[AX_LISTEN_ADDRESS],
                     char why[AX_LISTEN_WHY])
{
    int err = ax_unix_listen(path, BACKLOG, fd, why);

    if (!err)
        unix_address(path, address);
    return err;
}

/* ---- the door ---- */

int ax_listen_open(const char *spec, int *fd, char address[AX_LISTEN_ADDRESS],
                   char why[AX_LISTEN_WHY])
{
    struct spec parsed;
    const char *problem = parse(spec, &parsed);

    *fd = -1;
    address[0] = why[0] = '\0';
    if (problem)
        return fail(-EINVAL, why, "'%.64s': %s", spec, problem);
    return parsed.path ? unix_open(parsed.path, fd, address, why)
                       : tcp_open(&parsed, fd, address, why);
}

void ax_listen_close(int fd, const char *address)
{
    union address own = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof(own);

    if (fd < 0)
        return;
    if (!getsockname(fd, &own.any, &size) && own.any.sa_family == AF_UNIX)
        ax_unix_unlisten(fd, address);
    else
        close(fd);
}
