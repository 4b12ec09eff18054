/*
 * netlink.c - what all host ends have in common, the one that is none, and
 * addresses.
 */
#include "devices/netlink_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int none_open(struct ax_netlink *link)
{
    link->caps = (struct ax_netlink_caps){.mode = "none", .queues = 1};
    return 0;
}

static void none_close(struct ax_netlink *link)
{
}

static const struct ax_netlink_ops none = {
    .state = sizeof(struct ax_netlink),
    .open = none_open,
    .close = none_close,
};

static const struct ax_netlink_ops *netlink_ops(enum ax_net_mode mode)
{
    switch (mode) {
    case AX_NET_USER:
        return &ax_netlink_user_ops;
    case AX_NET_TAP:
        return &ax_netlink_tap_ops;
    case AX_NET_SOCKET:
        return &ax_netlink_socket_ops;
    case AX_NET_PASST:
        return &ax_netlink_passt_ops;
    default:
        return &none;
    }
}

int ax_netlink_create(const struct ax_netlink_env *env, struct ax_netlink **out)
{
    const struct ax_netlink_ops *ops = netlink_ops(env->conf->mode);
    struct ax_netlink *link = calloc(1, ops->state);
    int err;

    *out = NULL;
    if (!link)
        return -ENOMEM;
    link->ops = ops;
    link->env = *env;
    err = ops->open(link);
    if (err) {
        ax_netlink_destroy(link);
        return err;
    }
    *out = link;
    return 0;
}

void ax_netlink_destroy(struct ax_netlink *link)
{
    if (!link)
        return;
    link->ops->close(link);
    free(link);
}

const struct ax_netlink_caps *ax_netlink_caps(const struct ax_netlink *link)
{
    return &link->caps;
}

bool ax_netlink_is_up(const struct ax_netlink *link)
{
    return link->up;
}

void ax_netlink_set_up(struct ax_netlink *link, bool up)
{
    if (link->up == up)
        return;
    link->up = up;
    link->env.changed(link->env.ctx);
}

int ax_netlink_start(struct ax_netlink *link, unsigned pairs, unsigned gives,
                     bool lent)
{
    link->pairs = pairs;
    link->lent = lent;
    link->gives = gives & link->caps.gives;
    return link->ops->start ? link->ops->start(link) : 0;
}

int ax_netlink_send(struct ax_netlink *link, unsigned queue,
                    const struct ax_netlink_frame *frame)
{
    return link->ops->send && link->up ? link->ops->send(link, queue, frame)
                                       : 0;
}

void ax_netlink_flush(struct ax_netlink *link)
{
    if (link->ops->flush)
        link->ops->flush(link);
}

void ax_netlink_resume(struct ax_netlink *link, unsigned queue)
{
    if (link->ops->resume)
        link->ops->resume(link, queue);
}

int ax_netlink_tap(const struct ax_netlink *link, unsigned queue)
{
    return link->ops->tap ? link->ops->tap(link, queue) : -1;
}

/* ---- addresses ---- */

/* FNV-1a: spreads names that differ little. */
static uint64_t hash(const char *text)
{
    uint64_t val = 0xcbf29ce484222325;

    for (; *text; text++)
        val = (val ^ (uint8_t)*text) * 0x100000001b3;
    return val ^ val >> 32;
}

void ax_netlink_mac(const char *vm, unsigned card, uint8_t mac[6])
{
    const uint64_t val = hash(vm) + card;

    mac[0] = 0x52;
    mac[1] = 0x54;
    mac[2] = 0x00;
    mac[3] = (uint8_t)(val >> 16);
    mac[4] = (uint8_t)(val >> 8);
    mac[5] = (uint8_t)val;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;

    if (!at)
        return -1;
    return (int)(at - digits) - (at - digits > 15 ? 6 : 0);
}

int ax_netlink_parse_mac(const char *text, uint8_t mac[6])
{
    static const uint8_t zero[6];

    for (unsigned i = 0; i < 6; i++, text += 3) {
        const int high = hex_digit(text[0]);
        const int low = high < 0 ? -1 : hex_digit(text[1]);

        if (low < 0 || text[2] != (i < 5 ? ':' : '\0'))
            return -EINVAL;
        mac[i] = (uint8_t)(high << 4 | low);
    }
    return mac[0] & 1 || !memcmp(mac, zero, sizeof(zero)) ? -EINVAL : 0;
}
