/*
 * execute_net.c - the command net: tells of a VM's network cards, and plugs
 * their cables in and out.
 */
#include "control/execute_parts.h"

#include "devices/device.h"

#include <errno.h>
#include <stdio.h>

static json_t *describe(unsigned index, const struct ax_card *card)
{
    const uint8_t *m = card->mac;
    char mac[18];

    snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1],
             m[2], m[3], m[4], m[5]);
    return json_pack(
        "{s:i, s:s, s:s, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, "
        "s:I}",
        "card", (int)index, "mode", card->mode, "mac", mac, "plugged",
        card->plugged, "link", card->link, "vhost", card->vhost, "rx_frames",
        (json_int_t)card->rx_frames, "rx_bytes", (json_int_t)card->rx_bytes,
        "rx_lost", (json_int_t)card->rx_lost, "tx_frames",
        (json_int_t)card->tx_frames, "tx_bytes", (json_int_t)card->tx_bytes,
        "tx_lost", (json_int_t)card->tx_lost);
}

/* All of them, or the one that was named. */
static json_t *describe_cards(const struct request *r)
{
    json_t *cards = json_array();
    struct ax_card card;

    for (unsigned i = 0; cards && ax_vm_card(r->vm, i, &card); i++) {
        if (r->one_card && i != r->card)
            continue;
        if (json_array_append_new(cards, describe(i, &card))) {
            json_decref(cards);
            return NULL;
        }
    }
    return json_pack("{s:o}", "cards", cards);
}

static int plug(const struct request *r)
{
    struct ax_card card;
    int err = 0;

    if (r->one_card)
        return ax_vm_plug(r->vm, r->card, r->up);
    if (!ax_vm_card(r->vm, 0, &card))
        return ax_vm_plug(r->vm, 0, r->up); /* says why not */
    for (unsigned i = 0; !err && ax_vm_card(r->vm, i, &card); i++)
        err = ax_vm_plug(r->vm, i, r->up);
    return err;
}

void ax_execute_net(const struct request *r)
{
    struct ax_card card;
    int err = 0;

    if (r->plugs)
        err = plug(r);
    else if (r->one_card && !ax_vm_card(r->vm, r->card, &card))
        err = -ENOENT;
    if (err == -ENOENT)
        ax_execute_error(r->asker, r->id, AX_EXECUTE_BAD_REQUEST,
                         "the VM has no network card %u (they count from 0)",
                         r->card);
    else if (err)
        ax_execute_vm_error(r->asker, r->id, r->vm, err);
    else
        ax_execute_answer(r->asker, r->id, describe_cards(r));
}
