/*
 * config_net.c - what a [[net]] means: which keys go with which mode, the
 * address of a card, the ports of the host that lead to it. Called by
 * config_rows.c and config_virtio.c.
 */
#include "conf/hostconf.h"
#include "vmm/config_impl.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

/* ---- addresses of cards ---- */

static bool parse_mac(const char *text, uint8_t mac[6])
{
    for (unsigned i = 0; i < 6; i++) {
        const char digits[] = {text[0], text[0] ? text[1] : '\0', '\0'};

        if (!isxdigit((unsigned char)text[0]) ||
            !isxdigit((unsigned char)text[1]) ||
            text[2] != (i < 5 ? ':' : '\0'))
            return false;
        mac[i] = (uint8_t)strtoul(digits, NULL, 16);
        text += 3;
    }
    return true;
}

static void say_mac(struct conf_load *load, const char *problem)
{
    ax_config_say(load, AX_SEVERITY_ERROR, load->given[KEY_NET_MAC].val,
                  &(struct conf_hint){.expected = "\"52:54:00:12:34:56\""},
                  "'mac' %s", problem);
}

static void check_mac(struct conf_load *load, const struct ax_config_net *net)
{
    const char *text = net->conf.mac, *problem = NULL;
    uint8_t mac[6], other[6];

    if (!conf_has(load, KEY_NET_MAC))
        return;
    if (!parse_mac(text, mac))
        problem = "is not an address";
    else if (mac[0] & 1)
        problem = "is an address of a group: no card has one";
    else if (!memcmp(mac, "\0\0\0\0\0", 6))
        problem = "is nobody's address";
    for (const struct ax_config_net *before = load->conf->nets;
         !problem && before < net; before++) {
        if (before->conf.mac && parse_mac(before->conf.mac, other) &&
            !memcmp(mac, other, sizeof(mac)))
            problem = "is another card's address already";
    }
    if (problem)
        say_mac(load, problem);
}

/* ---- forwarded ports ---- */

/* Digits up to 65535; *at moves behind them. 0: none, or more. */
static unsigned parse_port(const char **at)
{
    unsigned port = 0;

    if (**at < '0' || **at > '9')
        return 0;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        port = port * 10 + (unsigned)(**at - '0');
        if (port > UINT16_MAX)
            return 0;
    }
    return port;
}

/* A port of the host that leads into the guest. */
struct forward {
    bool udp;
    int family;
    uint8_t host[sizeof(struct in6_addr)];
    unsigned port;
};

/* HOST and the colon behind, which may be empty or absent; *at moves. */
static bool parse_host(const char **at, struct forward *out)
{
    const char *start = *at, *end;
    const bool six = *start == '[';
    char text[INET6_ADDRSTRLEN];
    size_t len;

    end = strchr(start, six ? ']' : ':');
    if (!end && six)
        return false;
    start += six;
    len = end ? (size_t)(end - start) : 0;
    if (len >= sizeof(text))
        return false;
    memcpy(text, start, len);
    text[len] = '\0';
    if (end)
        *at = end + six;
    if (end && *(*at)++ != ':')
        return false;
    out->family = six ? AF_INET6 : AF_INET;
    return inet_pton(out->family, len || six ? text : "127.0.0.1", out->host) ==
           1;
}

/* "tcp:[HOST:]PORT-GUESTPORT" */
static bool parse_forward(const char *text, struct forward *out)
{
    const char *at = text + 4;

    *out = (struct forward){.udp = !strncmp(text, "udp:", 4)};
    if (!out->udp && strncmp(text, "tcp:", 4) != 0)
        return false;
    if (!parse_host(&at, out))
        return false;
    out->port = parse_port(&at);
    return out->port && *at++ == '-' && parse_port(&at) && !*at;
}

static bool is_any(const struct forward *f)
{
    static const uint8_t any[sizeof(f->host)];

    return !memcmp(f->host, any, sizeof(any));
}

/* Do both want one port of the host? */
static bool clashes(const struct forward *a, const struct forward *b)
{
    return a->udp == b->udp && a->port == b->port && a->family == b->family &&
           (is_any(a) || is_any(b) ||
            !memcmp(a->host, b->host, sizeof(a->host)));
}

/* Is the port taken by one of the list before end, NULL: by any of it? */
static bool is_taken(const struct forward *f, char *const *list,
                     char *const *end)
{
    struct forward other;

    for (; list && list != end && *list; list++) {
        if (parse_forward(*list, &other) && clashes(f, &other))
            return true;
    }
    return false;
}

static void check_forward(struct conf_load *load,
                          const struct ax_config_net *net, char *const *spec)
{
    const struct ax_pos at = load->given[KEY_NET_HOSTFWD].val;
    struct forward f;
    bool taken;

    if (!parse_forward(*spec, &f)) {
        ax_config_say(load, AX_SEVERITY_ERROR, at,
                      &(struct conf_hint){
                          .expected =
                              "\"tcp:[HOST:]PORT-GUESTPORT\" or \"udp:...\", "
                              "as \"tcp:2222-22\"; HOST is an address, an IPv6 "
                              "one in brackets"},
                      "'hostfwd' cannot be \"%.64s\"", *spec);
        return;
    }
    taken = is_taken(&f, net->conf.hostfwd, spec);
    for (const struct ax_config_net *before = load->conf->nets; before < net;
         before++)
        taken |= is_taken(&f, before->conf.hostfwd, NULL);
    if (taken)
        ax_config_say(load, AX_SEVERITY_ERROR, at, NULL,
                      "'hostfwd' takes %s port %u twice", f.udp ? "UDP" : "TCP",
                      f.port);
}

/* ---- modes ---- */

/* A key that means nothing in this mode. */
static void refuse_key(struct conf_load *load, enum conf_key_id id, bool refuse,
                       const char *modes)
{
    if (refuse && conf_has(load, id))
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[id].val, NULL,
                      "'%s' goes with mode %s", ax_config_keys[id].name, modes);
}

/* axvm.conf may say what a card without a mode is. */
static void default_mode(struct conf_load *load, struct ax_net_conf *conf)
{
    const struct conf_key *key = &ax_config_keys[KEY_NET_MODE];
    const char *host = load->src->host ? load->src->host->network_mode : NULL;
    const struct conf_word *word = key->words;

    while (host && word->word && strcmp(word->word, host) != 0)
        word++;
    if (host && word->word)
        conf->mode = (enum ax_net_mode)word->val;
    else if (host && load->conf->net_count == 1) /* told once */
        ax_config_say(load, AX_SEVERITY_ERROR, (struct ax_pos){0, 0},
                      &(struct conf_hint){.expected = key->doc,
                                          .help = "see [network] mode in "
                                                  "axvm.conf"},
                      "net mode \"%.64s\", this host's default, is unknown",
                      host);
}

/* What the kernel takes for the name of an interface. */
static void check_ifname(struct conf_load *load, const char *name)
{
    if (conf_has(load, KEY_NET_IFNAME) &&
        (strlen(name) >= IFNAMSIZ || name[strcspn(name, "/: \t\n")] ||
         !ax_config_is_clean(name)))
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[KEY_NET_IFNAME].val,
                      &(struct conf_hint){
                          .expected = "at most 15 bytes, without '/', ':' and "
                                      "spaces"},
                      "'ifname' is no name of an interface");
}

static void check_tap(struct conf_load *load, const struct ax_config_net *net)
{
    const struct ax_net_conf *conf = &net->conf;
    const bool tap = conf->mode == AX_NET_TAP;

    refuse_key(load, KEY_NET_IFNAME, !tap, "\"tap\"");
    refuse_key(load, KEY_NET_FD, !tap, "\"tap\"");
    refuse_key(load, KEY_NET_VHOST, !tap, "\"tap\"");
    if (tap)
        check_ifname(load, conf->ifname);
    if (tap && conf->ifname && conf->fd)
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[KEY_NET_FD].val,
                      NULL, "give one of 'ifname' and 'fd'");
    if (!tap && conf->queues > 1)
        ax_config_say(load, AX_SEVERITY_ERROR, load->given[KEY_NET_QUEUES].val,
                      NULL,
                      "more than one pair of 'queues' goes with mode \"tap\"");
}

void ax_config_check_net(struct conf_load *load, void *row)
{
    struct ax_config_net *net = row;
    const struct ax_net_conf *conf = &net->conf;
    bool socket;

    if (!load->given[KEY_NET_MODE].given)
        default_mode(load, &net->conf);
    check_mac(load, net);
    if (load->given[KEY_NET_MODE].bad)
        return;
    socket = conf->mode == AX_NET_SOCKET || conf->mode == AX_NET_PASST;
    check_tap(load, net);
    refuse_key(load, KEY_NET_PATH, !socket, "\"socket\" and \"passt\"");
    refuse_key(load, KEY_NET_HOSTFWD, conf->mode != AX_NET_USER, "\"user\"");
    if (socket)
        ax_config_need_key(load, KEY_NET_PATH, net->pos,
                           "path = \"/run/vm.sock\": the Unix socket");
    ax_config_check_socket(load, KEY_NET_PATH, conf->path, 0);
    if (!conf_has(load, KEY_NET_HOSTFWD) || conf->mode != AX_NET_USER)
        return;
    for (char *const *spec = conf->hostfwd; *spec; spec++)
        check_forward(load, net, spec);
}

bool ax_config_add_net(struct conf_load *load, struct ax_pos pos)
{
    struct ax_config_net *net =
        ax_config_add_row(load, &ax_config_rows[ROWS_NET], pos);

    if (net)
        default_mode(load, &net->conf);
    return net;
}
