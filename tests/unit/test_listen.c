/* test_listen.c - where a debugger connects: words, sockets, messages. */
#include "debug/listen.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64];
static int fd;
static char address[AX_LISTEN_ADDRESS], why[AX_LISTEN_WHY];

static const char *in_dir(const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "unix:%s/%s", dir, name);
    return path;
}

static void init(void)
{
    strcpy(dir, "/tmp/axvm-test-listen-XXXXXX");
    cr_assert(mkdtemp(dir));
    fd = -1;
}

static void fini(void)
{
    char command[128];

    ax_listen_close(fd, address);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(listen, .init = init, .fini = fini, .timeout = 60);

/* ---- words ---- */

Test(listen, what_is_right)
{
    static const char *const specs[] = {
        "1234",   "0",           "65535",       "127.0.0.1:1234", "localhost:0",
        "*:1234", "[::1]:1234",  "[::]:0",      "a-b.c_d:1",      "0.0.0.0:1",
        "unix:x", "unix:/a b:c", "unix:unix:x", "00001:1",
    };

    for (size_t i = 0; i + 1 < AX_ARRAY_LEN(specs); i++)
        cr_assert_null(ax_listen_check(specs[i]), "%s: %s", specs[i],
                       ax_listen_check(specs[i]));
}

Test(listen, what_is_wrong)
{
    static const struct {
        const char *spec, *part;
    } cases[] = {
        {"", "expected [HOST:]PORT"},
        {"x", "expected [HOST:]PORT"},
        {"65536", "expected [HOST:]PORT"},
        {"-1", "expected [HOST:]PORT"},
        {"+1", "expected [HOST:]PORT"},
        {"1 ", "expected [HOST:]PORT"},
        {"0x10", "expected [HOST:]PORT"},
        {"4294968530", "expected [HOST:]PORT"},
        {"host:", "PORT must be"},
        {"host:65536", "PORT must be"},
        {"host:http", "PORT must be"},
        {"[::1]:", "PORT must be"},
        {":1234", "HOST is missing"},
        {"1234:", "no IPv4 address"},
        {"127.0.0.256:1", "no IPv4 address"},
        {"1.2:1", "no IPv4 address"},
        {"::1:1234", "in brackets"},
        {"::1", "in brackets"},
        {"::", "in brackets"},
        {"tcp::1234", "in brackets"},
        {"[::1]", "expected [ADDRESS]:PORT"},
        {"[::1", "expected [ADDRESS]:PORT"},
        {"[::1]1234", "expected [ADDRESS]:PORT"},
        {"[::1]::1", "expected [ADDRESS]:PORT"},
        {"[1.2.3.4]:1", "no IPv6 address"},
        {"[]:1", "HOST is missing"},
        {"a b:1", "character"},
        {"a/b:1", "character"},
        {"/tmp/x:1", "character"},
        {"a\n:1", "character"},
        {"unix:", "expected unix:PATH"},
    };

    for (size_t i = 0; i < AX_ARRAY_LEN(cases); i++) {
        const char *problem = ax_listen_check(cases[i].spec);

        cr_assert_not_null(problem, "%s", cases[i].spec);
        cr_assert(strstr(problem, cases[i].part), "%s: %s", cases[i].spec,
                  problem);
        cr_assert_eq(ax_listen_open(cases[i].spec, &fd, address, why), -EINVAL);
        cr_assert_eq(fd, -1);
        cr_assert(strstr(why, cases[i].part), "%s: %s", cases[i].spec, why);
    }
}

Test(listen, hosts_and_paths_have_a_limit)
{
    char spec[400] = "";

    memset(spec, 'x', 255);
    strcpy(spec + 255, ":1");
    cr_assert_null(ax_listen_check(spec));
    strcpy(spec + 255, "x:1");
    cr_assert(strstr(ax_listen_check(spec), "255"));
    memset(spec, 'x', 112);
    memcpy(spec, "unix:", 5);
    spec[112] = '\0';
    cr_assert_null(ax_listen_check(spec));
    strcpy(spec + 112, "x");
    cr_assert(strstr(ax_listen_check(spec), "107"));
}

static void nth_is(const char *spec, unsigned index, const char *wanted)
{
    char out[64] = "?";
    int err = ax_listen_nth(spec, index, out, sizeof(out));

    cr_assert_eq(err, wanted ? 0 : -EINVAL, "%s %u: %d", spec, index, err);
    if (wanted)
        cr_assert_str_eq(out, wanted);
}

Test(listen, the_ports_of_several_guests)
{
    char out[5];

    nth_is("1234", 0, "1234");
    nth_is("1234", 2, "1236");
    nth_is("[::1]:9", 1, "[::1]:10");
    nth_is("*:65534", 1, "*:65535");
    nth_is("*:65534", 2, NULL);
    nth_is("65535", UINT32_MAX, NULL);
    nth_is("0", 3, "0");
    nth_is("host:0", 3, "host:0");
    nth_is("unix:x", 0, "unix:x");
    nth_is("unix:x", 1, NULL);
    nth_is("nonsense", 0, NULL);
    cr_assert_eq(ax_listen_nth("9999", 0, out, sizeof(out)), 0);
    cr_assert_eq(ax_listen_nth("9999", 1, out, sizeof(out)), -EINVAL);
}

/* ---- TCP ---- */

static void opens(const char *spec)
{
    int err = ax_listen_open(spec, &fd, address, why);

    cr_assert_eq(err, 0, "%s: %s", spec, why);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert_str_eq(why, "");
}

static void refuses(const char *spec, int wanted, const char *part)
{
    int other, err = ax_listen_open(spec, &other, address, why);

    cr_assert_eq(err, wanted, "%s: %d, %s", spec, err, why);
    cr_assert_eq(other, -1);
    cr_assert(strstr(why, part), "'%s' is not in: %s", part, why);
    cr_assert_null(strchr(why, '\n'));
}

/* The port behind prefix in the address. */
static unsigned port_behind(const char *prefix)
{
    const size_t len = strlen(prefix);
    long port;

    cr_assert_eq(strncmp(address, prefix, len), 0, "%s", address);
    port = strtol(address + len, NULL, 10);
    cr_assert(port > 0 && port < 65536, "%s", address);
    return (unsigned)port;
}

/* Is somebody there? Takes the connection. */
static void connects(const void *addr, socklen_t size)
{
    const struct sockaddr *to = addr;
    int s = socket(to->sa_family, SOCK_STREAM, 0), got;
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    cr_assert_geq(s, 0);
    cr_assert_eq(connect(s, to, size), 0, "%s", strerror(errno));
    cr_assert_eq(poll(&ready, 1, 30000), 1);
    got = accept(fd, NULL, NULL);
    cr_assert_geq(got, 0);
    close(got);
    close(s);
}

static struct sockaddr_in ipv4_of(uint32_t host, unsigned port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(host)};
}

static bool have_ipv6(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6,
                               .sin6_addr = in6addr_loopback};
    int s = socket(AF_INET6, SOCK_STREAM, 0);
    bool have = s >= 0 && !bind(s, (struct sockaddr *)&any, sizeof(any));

    if (s >= 0)
        close(s);
    return have;
}

Test(listen, a_port_is_on_the_loopback_interface_only)
{
    struct sockaddr_in own, to;
    socklen_t size = sizeof(own);

    opens("0");
    to = ipv4_of(INADDR_LOOPBACK, port_behind("127.0.0.1:"));
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&own, &size), 0);
    cr_assert_eq(own.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    connects(&to, sizeof(to));
}

Test(listen, hosts)
{
    struct sockaddr_in to;

    opens("127.0.0.2:0");
    to = ipv4_of(INADDR_LOOPBACK + 1, port_behind("127.0.0.2:"));
    connects(&to, sizeof(to));
    ax_listen_close(fd, address);
    opens("localhost:0");
    port_behind("localhost:");
    ax_listen_close(fd, address);
    opens("*:0");
    to = ipv4_of(INADDR_LOOPBACK, port_behind("localhost:"));
    connects(&to, sizeof(to));
}

Test(listen, ipv6)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_addr = in6addr_loopback};

    if (!have_ipv6())
        cr_skip_test("no IPv6 here");
    opens("[::1]:0");
    to.sin6_port = htons((uint16_t)port_behind("[::1]:"));
    connects(&to, sizeof(to));
    ax_listen_close(fd, address);
    opens("*:0");
    to.sin6_port = htons((uint16_t)port_behind("localhost:"));
    connects(&to, sizeof(to));
}

Test(listen, a_port_in_use)
{
    char spec[32], part[64];
    unsigned port;

    opens("0");
    port = port_behind("127.0.0.1:");
    snprintf(spec, sizeof(spec), "%u", port);
    snprintf(part, sizeof(part), "port %u is in use: choose another", port);
    refuses(spec, -EADDRINUSE, part);
    ax_listen_close(fd, address);
    /* Now it is free. */
    opens(spec);
}

/* The side that closes first keeps the port in TIME_WAIT. */
Test(listen, a_port_just_left_is_free)
{
    struct sockaddr_in to;
    char spec[32];
    unsigned port;
    int s = socket(AF_INET, SOCK_STREAM, 0), got;
    char byte;

    opens("0");
    port = port_behind("127.0.0.1:");
    to = ipv4_of(INADDR_LOOPBACK, port);
    cr_assert_eq(connect(s, (struct sockaddr *)&to, sizeof(to)), 0);
    got = accept(fd, NULL, NULL);
    cr_assert_geq(got, 0);
    close(got);
    cr_assert_eq(read(s, &byte, 1), 0);
    close(s);
    ax_listen_close(fd, address);
    snprintf(spec, sizeof(spec), "%u", port);
    opens(spec);
}

Test(listen, hosts_that_are_not_ours)
{
    /* TEST-NET-1 and invalid., which nobody has: RFC 5737, RFC 6761. */
    refuses("192.0.2.1:1234", -EADDRNOTAVAIL, "no address of this host");
    refuses("nobody.invalid:1234", -EHOSTUNREACH,
            "unknown host 'nobody.invalid'");
}

Test(listen, a_low_port_needs_a_privilege)
{
    /* Whether ports are low is a setting, and who runs this may be root. */
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    int first = 0;

    if (f) {
        if (fscanf(f, "%d", &first) != 1)
            first = 0;
        fclose(f);
    }
    if (first <= 79 || (!geteuid() && seteuid(65534)))
        cr_skip_test("every port is anybody's here");
    refuses("79", -EACCES, "port 79 needs the privilege");
    if (!getuid())
        cr_assert_eq(seteuid(0), 0);
}

/* ---- socket files ---- */

static struct sockaddr_un file_of(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    cr_assert_lt(strlen(path), sizeof(addr.sun_path));
    strcpy(addr.sun_path, path);
    return addr;
}

static unsigned entries(void)
{
    char command[128];
    unsigned count = 99;
    FILE *f;

    snprintf(command, sizeof(command), "ls -A %s | wc -l", dir);
    f = popen(command, "r");
    cr_assert(f && fscanf(f, "%u", &count) == 1);
    pclose(f);
    return count;
}

Test(listen, a_socket_file_is_its_owners)
{
    struct sockaddr_un to;
    struct stat st;

    umask(0);
    opens(in_dir("gdb"));
    cr_assert_str_eq(address, in_dir("gdb") + 5);
    cr_assert_eq(lstat(address, &st), 0);
    cr_assert(S_ISSOCK(st.st_mode));
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(entries(), 1);
    to = file_of(address);
    connects(&to, sizeof(to));
    ax_listen_close(fd, address);
    fd = -1;
    cr_assert_eq(entries(), 0);
}

Test(listen, a_relative_path_becomes_absolute)
{
    char wanted[128];

    cr_assert_eq(chdir(dir), 0);
    opens("unix:here");
    snprintf(wanted, sizeof(wanted), "%s/here", dir);
    cr_assert_str_eq(address, wanted);
    ax_listen_close(fd, address);
    fd = -1;
    cr_assert_eq(entries(), 0);
}

Test(listen, a_stale_file_is_replaced)
{
    struct sockaddr_un to = file_of(in_dir("gdb") + 5);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    cr_assert_eq(bind(s, (struct sockaddr *)&to, sizeof(to)), 0);
    cr_assert_eq(listen(s, 1), 0);
    refuses(in_dir("gdb"), -EADDRINUSE, "another process listens there");
    close(s);
    opens(in_dir("gdb"));
    connects(&to, sizeof(to));
}

Test(listen, other_files_stay)
{
    const char *path = in_dir("file") + 5;
    int file = open(path, O_WRONLY | O_CREAT, 0600);
    struct stat st;

    cr_assert_eq(write(file, "x", 1), 1);
    close(file);
    refuses(in_dir("file"), -EEXIST, "no socket");
    cr_assert_eq(lstat(in_dir("file") + 5, &st), 0);
    cr_assert_eq(st.st_size, 1);
    cr_assert_eq(symlink("file", in_dir("link") + 5), 0);
    refuses(in_dir("link"), -EEXIST, "no socket");
    refuses(in_dir("none/gdb"), -ENOENT, "No such file");
}

Test(listen, the_file_of_who_came_later_stays)
{
    char first[AX_LISTEN_ADDRESS];
    int other;

    opens(in_dir("gdb"));
    strcpy(first, address);
    cr_assert_eq(unlink(first), 0);
    cr_assert_eq(ax_listen_open(in_dir("gdb"), &other, address, why), 0);
    ax_listen_close(fd, first);
    fd = other;
    cr_assert_eq(entries(), 1);
}

/* A folder of that many bytes with its slash, and a short name in it. */
static const char *long_spec(size_t len)
{
    static char spec[256];
    size_t base;

    cr_assert_lt(strlen(in_dir("")), sizeof(spec));
    strcpy(spec, in_dir(""));
    base = strlen(spec);
    memset(spec + base, 'd', 5 + len - 1 - base);
    spec[5 + len - 1] = '\0';
    cr_assert_eq(mkdir(spec + 5, 0700), 0);
    strcpy(spec + 5 + len - 1, "/x");
    cr_assert_null(ax_listen_check(spec));
    return spec;
}

Test(listen, a_path_has_room_for_its_first_name)
{
    const size_t most = (size_t)(107 - snprintf(NULL, 0, ".%d-g", getpid()));

    refuses(long_spec(most + 1), -ENAMETOOLONG, "another directory");
    opens(long_spec(most));
}

Test(listen, close_accepts_none)
{
    ax_listen_close(-1, "");
    ax_listen_close(-1, "127.0.0.1:1");
}
