/*
 * share_fids.c - the client's handles, by number: a hash table that grows with
 * them up to its limit.
 */
#include "devices/share_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { BUCKETS_MIN = 64 };

static unsigned fid_bucket(uint32_t id, unsigned count)
{
    return (id ^ id >> 15) & (count - 1);
}

struct ax_share_fid *ax_share_fid_find(const struct ax_share *s, uint32_t id)
{
    struct ax_share_fid *fid = NULL;

    if (s->bucket_count)
        fid = s->buckets[fid_bucket(id, s->bucket_count)];
    while (fid && fid->id != id)
        fid = fid->next;
    return fid;
}

static void fid_insert(struct ax_share_fid **buckets, unsigned count,
                       struct ax_share_fid *fid)
{
    struct ax_share_fid **head = &buckets[fid_bucket(fid->id, count)];

    fid->next = *head;
    *head = fid;
}

static int fids_grow(struct ax_share *s)
{
    const unsigned count = s->bucket_count ? s->bucket_count * 2 : BUCKETS_MIN;
    struct ax_share_fid **buckets =
        calloc(count, sizeof(struct ax_share_fid *));
    struct ax_share_fid *fid;

    if (!buckets)
        return -ENOMEM;
    for (unsigned i = 0; i < s->bucket_count; i++) {
        while ((fid = s->buckets[i])) {
            s->buckets[i] = fid->next;
            fid_insert(buckets, count, fid);
        }
    }
    free(s->buckets);
    s->buckets = buckets;
    s->bucket_count = count;
    return 0;
}

static int fids_make_room(struct ax_share *s, uint32_t id)
{
    if (ax_share_fid_find(s, id) || id == (uint32_t)AX_9P_NO_ID)
        return -EBADF;
    if (s->fid_count >= s->limits.fids)
        return -ENFILE;
    return s->fid_count < s->bucket_count ? 0 : fids_grow(s);
}

int ax_share_fid_add(struct ax_share *s, uint32_t id, uint32_t uid,
                     struct ax_share_node *node)
{
    int err = fids_make_room(s, id);
    struct ax_share_fid *fid = err ? NULL : calloc(1, sizeof(*fid));

    if (!fid) {
        ax_share_node_unref(s, node);
        return err ? err : -ENOMEM;
    }
    fid->id = id;
    fid->uid = uid;
    fid->node = node;
    fid->fd = -1;
    fid_insert(s->buckets, s->bucket_count, fid);
    s->fid_count++;
    return 0;
}

void ax_share_fid_drop(struct ax_share *s, struct ax_share_fid *fid)
{
    struct ax_share_fid **at =
        &s->buckets[fid_bucket(fid->id, s->bucket_count)];

    while (*at != fid)
        at = &(*at)->next;
    *at = fid->next;
    s->fid_count--;
    if (fid->fd >= 0) {
        close(fid->fd);
        s->open_count--;
    }
    ax_share_node_unref(s, fid->node);
    free(fid);
}

void ax_share_fid_drop_all(struct ax_share *s)
{
    for (unsigned i = 0; i < s->bucket_count; i++) {
        while (s->buckets[i])
            ax_share_fid_drop(s, s->buckets[i]);
    }
}

struct ax_share_fid *ax_share_get_fid(struct ax_share *s,
                                      struct ax_share_reader *r)
{
    const uint32_t id = ax_share_get32(r);
    struct ax_share_fid *fid = r->err ? NULL : ax_share_fid_find(s, id);

    if (!fid)
        ax_share_fail(r, -EBADF);
    return fid;
}

int ax_share_fid_look(struct ax_share *s, struct ax_share_fid *fid)
{
    return fid->fd >= 0 ? fid->fd : ax_share_node_fd(s, fid->node);
}

int ax_share_fid_fd(struct ax_share *s, struct ax_share_fid *fid)
{
    return fid->node->sealed ? -EACCES : ax_share_fid_look(s, fid);
}
