/*
 * netlink_forward.c - ports of the host that lead to a guest in user mode: what
 * is written to what is meant.
 */
#include "devices/netlink_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_BYTES = 64 };

void ax_netlink_guest_net6(uint64_t host, struct in6_addr *out)
{
    memset(out, 0, sizeof(*out));
    out->s6_addr[0] = 0xfe; /* fec0::/64 */
    out->s6_addr[1] = 0xc0;
    for (unsigned i = 0; i < 8; i++)
        out->s6_addr[15 - i] = (uint8_t)(host >> 8 * i);
}

/* The modified EUI-64 of its card: RFC 4291, appendix A. */
static uint64_t guest_interface(const uint8_t mac[6])
{
    return (uint64_t)(mac[0] ^ 2) << 56 | (uint64_t)mac[1] << 48 |
           (uint64_t)mac[2] << 40 | UINT64_C(0xfffe) << 24 |
           (uint64_t)mac[3] << 16 | (uint64_t)mac[4] << 8 | mac[5];
}

/* Digits up to end, 1 to 65535; 0: it is no such number. */
static unsigned parse_port(const char *text, const char *end)
{
    unsigned long val = 0;

    if (end - text < 1 || end - text > 5)
        return 0;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        val = val * 10 + (unsigned long)(*text - '0');
    }
    return val <= UINT16_MAX ? (unsigned)val : 0;
}

static void set_ip4(struct sockaddr_storage *to, struct in_addr addr,
                    unsigned port)
{
    const struct sockaddr_in sin = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr = addr,
    };

    memcpy(to, &sin, sizeof(sin));
}

static void set_ip6(struct sockaddr_storage *to, const struct in6_addr *addr,
                    unsigned port)
{
    const struct sockaddr_in6 sin6 = {
        .sin6_family = AF_INET6,
        .sin6_port = htons((uint16_t)port),
        .sin6_addr = *addr,
    };

    memcpy(to, &sin6, sizeof(sin6));
}

static bool set_hosts(const char *host, const uint8_t mac[6], unsigned from,
                      unsigned to, struct ax_netlink_forward *out)
{
    const struct in_addr by_dhcp = {0}; /* whom the library has given one */
    struct in6_addr addr6, guest6;
    struct in_addr addr;
    char text[HOST_BYTES];
    const size_t len = strlen(host);

    if (inet_pton(AF_INET, len ? host : "127.0.0.1", &addr) == 1) {
        out->len = sizeof(struct sockaddr_in);
        set_ip4(&out->host, addr, from);
        set_ip4(&out->guest, by_dhcp, to);
        return true;
    }
    if (len < 2 || host[0] != '[' || host[len - 1] != ']')
        return false;
    memcpy(text, host + 1, len - 2);
    text[len - 2] = '\0';
    if (inet_pton(AF_INET6, text, &addr6) != 1)
        return false;
    ax_netlink_guest_net6(guest_interface(mac), &guest6);
    out->len = sizeof(struct sockaddr_in6);
    set_ip6(&out->host, &addr6, from);
    set_ip6(&out->guest, &guest6, to);
    return true;
}

const char *ax_netlink_parse_forward(const char *spec, const uint8_t mac[6],
                                     struct ax_netlink_forward *out)
{
    const char *host = spec + 4, *ports, *dash;
    char text[HOST_BYTES] = "";
    unsigned from, to;

    memset(out, 0, sizeof(*out));
    out->udp = !strncmp(spec, "udp:", 4);
    if (!out->udp && strncmp(spec, "tcp:", 4))
        return "it begins with tcp: or udp:, as tcp::8080-80";
    ports = strrchr(host, ':');
    if (ports && (size_t)(ports - host) >= sizeof(text))
        return "no address of the host is that long";
    if (ports)
        memcpy(text, host, (size_t)(ports - host));
    ports = ports ? ports + 1 : host;
    dash = strchr(ports, '-');
    from = dash ? parse_port(ports, dash) : 0;
    to = dash ? parse_port(dash + 1, dash + strlen(dash)) : 0;
    if (!from || !to)
        return "it ends with two ports, the host's and the guest's, as "
               "tcp::8080-80";
    if (!set_hosts(text, mac, from, to, out))
        return "the host's address is an IPv4 one, or an IPv6 one in brackets";
    return NULL;
}

static unsigned host_port(const struct ax_netlink_forward *f)
{
    struct sockaddr_in sin; /* the port is at the same place in both */

    memcpy(&sin, &f->host, sizeof(sin));
    return ntohs(sin.sin_port);
}

int ax_netlink_forward_failed(struct ax_log *log, const char *spec,
                              const struct ax_netlink_forward *f, int err)
{
    const unsigned port = host_port(f);

    if (err == -EADDRINUSE)
        ax_log(log, AX_LOG_ERROR,
               "net: hostfwd %s: port %u is in use on this host: take another "
               "one, or look who has it: ss -lnp%c 'sport = :%u'",
               spec, port, f->udp ? 'u' : 't', port);
    else if (err == -EACCES)
        ax_log(log, AX_LOG_ERROR,
               "net: hostfwd %s: ports below 1024 are root's: take another "
               "one, or as root: sysctl net.ipv4.ip_unprivileged_port_start=%u",
               spec, port);
    else
        ax_log(log, AX_LOG_ERROR, "net: hostfwd %s: %s", spec, strerror(-err));
    return err;
}
