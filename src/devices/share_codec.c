/*
 * share_codec.c - the fields of a 9P message: little-endian numbers, strings
 * with their length in front. Errors stick, so that a message is read to its
 * end and judged once.
 */
#include "devices/share_parts.h"

#include <errno.h>
#include <string.h>

void ax_share_fail(struct ax_share_reader *r, int err)
{
    if (!r->err)
        r->err = err;
    r->left = 0;
}

uint64_t ax_share_get(struct ax_share_reader *r, unsigned bytes)
{
    uint64_t val = 0;

    if (bytes > r->left) {
        ax_share_fail(r, -EINVAL);
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        val |= (uint64_t)r->at[i] << 8 * i;
    r->at += bytes;
    r->left -= bytes;
    return val;
}

uint32_t ax_share_get32(struct ax_share_reader *r)
{
    return (uint32_t)ax_share_get(r, 4);
}

void ax_share_get_string(struct ax_share_reader *r, char *buf, size_t size)
{
    size_t len = (size_t)ax_share_get(r, 2);

    buf[0] = '\0';
    if (len > r->left || memchr(r->at, '\0', len)) {
        ax_share_fail(r, -EINVAL);
    } else if (len >= size) {
        ax_share_fail(r, -ENAMETOOLONG);
    } else if (len) {
        memcpy(buf, r->at, len);
        buf[len] = '\0';
        r->at += len;
        r->left -= len;
    }
}

void ax_share_get_name(struct ax_share_reader *r, char name[AX_SHARE_NAME])
{
    ax_share_get_string(r, name, AX_SHARE_NAME);
    if (!name[0] || strchr(name, '/') || !strcmp(name, ".") ||
        !strcmp(name, ".."))
        ax_share_fail(r, -EINVAL);
}

static uint8_t *writer_room(struct ax_share_writer *w, size_t bytes)
{
    uint8_t *at = w->buf + w->len;

    if (w->full || bytes > w->size - w->len) {
        w->full = true;
        return NULL;
    }
    w->len += bytes;
    return at;
}

void ax_share_put(struct ax_share_writer *w, uint64_t val, unsigned bytes)
{
    uint8_t *at = writer_room(w, bytes);

    for (unsigned i = 0; at && i < bytes; i++)
        at[i] = (uint8_t)(val >> 8 * i);
}

void ax_share_put_string(struct ax_share_writer *w, const char *s, size_t len)
{
    uint8_t *at;

    ax_share_put(w, len, 2);
    at = writer_room(w, len);
    if (at && len)
        memcpy(at, s, len);
}

void ax_share_put_qid(struct ax_share_writer *w, struct ax_share_qid qid)
{
    ax_share_put(w, qid.type, 1);
    ax_share_put(w, qid.version, 4);
    ax_share_put(w, qid.path, 8);
}
