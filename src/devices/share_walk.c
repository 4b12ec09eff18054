/*
 * share_walk.c - how a client gets at a file, and lets go of it.
 */
#include "devices/share_parts.h"

#include <errno.h>
#include <string.h>

/* There is one tree, whatever user it is for. */
int ax_share_attach(struct ax_share *s, struct ax_share_request *rq)
{
    const uint32_t id = ax_share_get32(&rq->in);
    char text[AX_SHARE_NAME], tree[AX_SHARE_NAME];
    uint32_t uid;
    int err;

    ax_share_get32(&rq->in); /* of authentication, which there is none of */
    ax_share_get_string(&rq->in, text, sizeof(text));
    ax_share_get_string(&rq->in, tree, sizeof(tree));
    uid = ax_share_get32(&rq->in);
    if (rq->in.err)
        return rq->in.err;
    if (tree[0] && strcmp(tree, "/"))
        return -ENOENT;
    err = ax_share_fid_add(s, id, uid, ax_share_node_ref(s->root));
    if (!err)
        ax_share_put_qid(&rq->out, s->root->qid);
    return err;
}

/* From *node to what it calls name; *node is replaced if that is there. */
static int walk_step(struct ax_share *s, struct ax_share_node **node,
                     const char *name)
{
    struct ax_share_node *next;
    int dir = (*node)->sealed ? -ENOENT : ax_share_node_fd(s, *node);
    int err;

    if (dir < 0)
        return dir;
    err = ax_share_node_open(s, dir, name, &next);
    if (err)
        return err;
    ax_share_node_unref(s, *node);
    *node = next;
    return 0;
}

/*
 * As far as it goes, from *node. Returns how many names that was; *err says why
 * it was not all of them.
 */
static unsigned walk_names(struct ax_share *s, struct ax_share_request *rq,
                           unsigned count, struct ax_share_node **node,
                           int *err)
{
    struct ax_share_qid qids[AX_9P_WALK_MAX];
    char name[AX_SHARE_NAME];
    unsigned walked = 0;

    *err = 0;
    while (walked < count && !*err) {
        ax_share_get_name(&rq->in, name);
        *err = rq->in.err ? rq->in.err : walk_step(s, node, name);
        if (!*err)
            qids[walked++] = (*node)->qid;
    }
    ax_share_put(&rq->out, walked, 2);
    for (unsigned i = 0; i < walked; i++)
        ax_share_put_qid(&rq->out, qids[i]);
    return walked;
}

/* The node is fid's, or newid's, from now on. */
static int walk_arrive(struct ax_share *s, struct ax_share_fid *fid,
                       uint32_t newid, struct ax_share_node *node)
{
    if (newid != fid->id)
        return ax_share_fid_add(s, newid, fid->uid, node);
    ax_share_node_unref(s, fid->node);
    fid->node = node;
    return 0;
}

int ax_share_walk(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);
    const uint32_t newid = ax_share_get32(&rq->in);
    const unsigned count = (unsigned)ax_share_get(&rq->in, 2);
    struct ax_share_node *node;
    int err;

    if (rq->in.err)
        return rq->in.err;
    if (count > AX_9P_WALK_MAX)
        return -EINVAL;
    if (newid == fid->id ? count && fid->fd >= 0
                         : !!ax_share_fid_find(s, newid))
        return -EBADF;
    node = ax_share_node_ref(fid->node);
    if (walk_names(s, rq, count, &node, &err) == count)
        return walk_arrive(s, fid, newid, node);
    ax_share_node_unref(s, node);
    /* Halfway is an answer, unless the message itself is wrong. */
    return rq->in.err || rq->out.len == AX_9P_HEADER + 2 ? err : 0;
}

int ax_share_clunk(struct ax_share *s, struct ax_share_request *rq)
{
    struct ax_share_fid *fid = ax_share_get_fid(s, &rq->in);

    if (!fid)
        return rq->in.err;
    ax_share_fid_drop(s, fid);
    return 0;
}
