/*
 * virtqueue.c - both ring formats. A ring's own functions come in pairs, split
 * and packed; the walk of descriptors is one.
 */
#include "devices/virtqueue.h"

#include "memory/memory.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

/* Flags of a descriptor, the same in both formats. */
enum {
    DESC_NEXT = VRING_DESC_F_NEXT,
    DESC_WRITE = VRING_DESC_F_WRITE,
    DESC_INDIRECT = VRING_DESC_F_INDIRECT,
    DESC_BYTES = 16,
};

/* One descriptor of either format, as it was when it was read. */
struct desc {
    ax_gpa addr;
    uint32_t len;
    uint16_t flags;
    uint16_t rest; /* split: next; packed: id */
};

static uint16_t load16(const void *from, int order)
{
    return le16toh(__atomic_load_n((const uint16_t *)from, order));
}

static void store16(void *to, uint16_t val, int order)
{
    __atomic_store_n((uint16_t *)to, htole16(val), order);
}

/* Rings lie where their alignment lets them be read as arrays. */
static void *at16(void *ring, size_t off)
{
    return (char *)ring + off;
}

static void virtq_break(struct ax_virtq *q, const char *why)
{
    q->broken = true;
    q->why = why;
}

/* ---- set-up ---- */

void ax_virtq_init(struct ax_virtq *q, const struct ax_memory *mem)
{
    memset(q, 0, sizeof(*q));
    q->mem = mem;
}

void ax_virtq_disable(struct ax_virtq *q)
{
    ax_virtq_init(q, q->mem);
}

static void *virtq_map(const struct ax_virtq *q, ax_gpa gpa, size_t bytes,
                       size_t align, unsigned prot)
{
    return gpa % align ? NULL : ax_memory_at(q->mem, gpa, bytes, prot);
}

int ax_virtq_enable(struct ax_virtq *q, const struct ax_virtq_layout *layout)
{
    const size_t size = layout->size, events = 4;
    const unsigned both = AX_PROT_READ | AX_PROT_WRITE;

    ax_virtq_disable(q);
    if (!size || size > AX_VIRTQ_SIZE ||
        (!layout->packed && (size & (size - 1))))
        return -EINVAL;
    q->layout = *layout;
    if (layout->packed) {
        q->desc = virtq_map(q, layout->desc, DESC_BYTES * size, 16, both);
        q->driver = virtq_map(q, layout->driver, events, 4, AX_PROT_READ);
        q->device = virtq_map(q, layout->device, events, 4, both);
    } else {
        q->desc =
            virtq_map(q, layout->desc, DESC_BYTES * size, 16, AX_PROT_READ);
        q->driver = virtq_map(q, layout->driver, 6 + 2 * size, 2, AX_PROT_READ);
        q->device = virtq_map(q, layout->device, 6 + 8 * size, 4, both);
    }
    if (!q->desc || !q->driver || !q->device) {
        ax_virtq_disable(q);
        return -EINVAL;
    }
    q->avail_wrap = q->used_wrap = true;
    q->enabled = true;
    return 0;
}

/* ---- what is there ---- */

/* Split: available ring {flags, idx, ring[size], used_event}; used ring
 * {flags, idx, {id, len}[size], avail_event}. */
static uint16_t split_avail_idx(const struct ax_virtq *q)
{
    return load16(at16(q->driver, 2), __ATOMIC_ACQUIRE);
}

static void split_ask_for_event(struct ax_virtq *q)
{
    store16(at16(q->device, 4 + 8 * (size_t)q->layout.size), q->avail,
            __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool split_pending(struct ax_virtq *q)
{
    if (split_avail_idx(q) != q->avail)
        return true;
    if (!q->layout.event_idx || q->quiet)
        return false;
    split_ask_for_event(q);
    return split_avail_idx(q) != q->avail;
}

static bool packed_is_avail(const struct ax_virtq *q)
{
    const uint16_t flags = load16(
        at16(q->desc, DESC_BYTES * (size_t)q->avail + 14), __ATOMIC_ACQUIRE);
    const bool avail = flags >> VRING_PACKED_DESC_F_AVAIL & 1;
    const bool used = flags >> VRING_PACKED_DESC_F_USED & 1;

    return avail == q->avail_wrap && used != q->avail_wrap;
}

bool ax_virtq_pending(struct ax_virtq *q)
{
    if (!q->enabled || q->broken)
        return false;
    return q->layout.packed ? packed_is_avail(q) : split_pending(q);
}

/* ---- descriptors ---- */

static struct desc desc_read(const struct ax_virtq *q, const void *table,
                             size_t index)
{
    const uint8_t *from = (const uint8_t *)table + DESC_BYTES * index;
    struct desc desc;
    uint16_t words[2];

    memcpy(&desc.addr, from, 8);
    memcpy(&desc.len, from + 8, 4);
    memcpy(words, from + 12, 4);
    desc.addr = le64toh(desc.addr);
    desc.len = le32toh(desc.len);
    desc.flags = le16toh(words[q->layout.packed]);
    desc.rest = le16toh(words[!q->layout.packed]);
    return desc;
}

/* One buffer more. False: the queue is broken. */
static bool chain_add(struct ax_virtq *q, struct ax_virtq_chain *chain,
                      const struct desc *desc)
{
    const bool in = desc->flags & DESC_WRITE;
    const unsigned count = chain->out + chain->in;
    void *at;

    if (!in && chain->in) {
        virtq_break(q, "a buffer to be read follows one to be written");
        return false;
    }
    if (!desc->len)
        return true;
    if (count == AX_VIRTQ_SIZE) {
        virtq_break(q, "a request of too many buffers");
        return false;
    }
    at = ax_memory_at(q->mem, desc->addr, desc->len,
                      in ? AX_PROT_WRITE : AX_PROT_READ);
    if (!at) {
        virtq_break(q, "a buffer lies outside guest memory");
        return false;
    }
    chain->iov[count] = (struct iovec){.iov_base = at, .iov_len = desc->len};
    if (in) {
        chain->in++;
        chain->in_bytes += desc->len;
    } else {
        chain->out++;
        chain->out_bytes += desc->len;
    }
    return true;
}

/*
 * A table of descriptors elsewhere (2.7.5.3, 2.8.8): linked if the ring is
 * split, in a row if it is packed.
 */
static bool chain_add_table(struct ax_virtq *q, struct ax_virtq_chain *chain,
                            const struct desc *desc)
{
    const unsigned count = desc->len / DESC_BYTES;
    const void *table = NULL;
    unsigned at = 0;

    if (q->layout.indirect && desc->len % DESC_BYTES == 0 && count &&
        count <= AX_VIRTQ_SIZE && !(desc->flags & DESC_NEXT))
        table = ax_memory_at(q->mem, desc->addr, desc->len, AX_PROT_READ);
    if (!table) {
        virtq_break(q, "a table of descriptors that cannot be");
        return false;
    }
    for (unsigned seen = 0; seen < count; seen++) {
        const struct desc entry = desc_read(q, table, at);

        if (entry.flags & DESC_INDIRECT) {
            virtq_break(q, "a table of descriptors within one");
            return false;
        }
        if (!chain_add(q, chain, &entry))
            return false;
        if (!q->layout.packed && !(entry.flags & DESC_NEXT))
            return true;
        at = q->layout.packed ? at + 1 : entry.rest;
        if (at >= count && !q->layout.packed)
            break;
    }
    if (!q->layout.packed)
        virtq_break(q, "descriptors that do not end");
    return q->layout.packed;
}

static bool split_pop(struct ax_virtq *q, struct ax_virtq_chain *chain)
{
    const unsigned size = q->layout.size;
    unsigned at;

    if ((uint16_t)(split_avail_idx(q) - q->avail) > size) {
        virtq_break(q, "more is available than the queue has room for");
        return false;
    }
    at = load16(at16(q->driver, 4 + 2 * (size_t)(q->avail % size)),
                __ATOMIC_RELAXED);
    chain->id = (uint16_t)at;
    chain->slots = 1;
    for (unsigned seen = 0; seen < size && at < size; seen++) {
        const struct desc desc = desc_read(q, q->desc, at);
        const bool good = desc.flags & DESC_INDIRECT
                              ? chain_add_table(q, chain, &desc)
                              : chain_add(q, chain, &desc);

        if (!good)
            return false;
        if (!(desc.flags & DESC_NEXT)) {
            q->avail++;
            return true;
        }
        at = desc.rest;
    }
    virtq_break(q, at < size ? "descriptors that do not end"
                             : "a descriptor that does not exist");
    return false;
}

static void packed_advance(const struct ax_virtq *q, uint16_t *slot, bool *wrap,
                           unsigned slots)
{
    *slot = (uint16_t)(*slot + slots);
    if (*slot >= q->layout.size) {
        *slot = (uint16_t)(*slot - q->layout.size);
        *wrap = !*wrap;
    }
}

static bool packed_pop(struct ax_virtq *q, struct ax_virtq_chain *chain)
{
    const unsigned size = q->layout.size;
    unsigned at = q->avail;

    for (unsigned seen = 0; seen < size; seen++) {
        const struct desc desc = desc_read(q, q->desc, at);
        const bool good = desc.flags & DESC_INDIRECT
                              ? chain_add_table(q, chain, &desc)
                              : chain_add(q, chain, &desc);

        if (!good)
            return false;
        if (!(desc.flags & DESC_NEXT)) {
            chain->id = desc.rest; /* of the last one counts: 2.8.6 */
            chain->slots = (uint16_t)(seen + 1);
            packed_advance(q, &q->avail, &q->avail_wrap, chain->slots);
            return true;
        }
        at = at + 1 == size ? 0 : at + 1;
    }
    virtq_break(q, "descriptors that do not end");
    return false;
}

bool ax_virtq_pop(struct ax_virtq *q, struct ax_virtq_chain *chain)
{
    if (!ax_virtq_pending(q))
        return false;
    chain->out = chain->in = 0;
    chain->out_bytes = chain->in_bytes = 0;
    return q->layout.packed ? packed_pop(q, chain) : split_pop(q, chain);
}

void ax_virtq_unpop(struct ax_virtq *q, const struct ax_virtq_chain *chain)
{
    if (!q->layout.packed) {
        q->avail--;
    } else if (q->avail >= chain->slots) {
        q->avail = (uint16_t)(q->avail - chain->slots);
    } else {
        q->avail = (uint16_t)(q->avail + q->layout.size - chain->slots);
        q->avail_wrap = !q->avail_wrap;
    }
}

/* ---- what is done ---- */

static void split_put(const struct ax_virtq *q, uint16_t slot,
                      const struct ax_virtq_used *used)
{
    uint8_t *entry =
        (uint8_t *)q->device + 4 + 8 * (size_t)(slot % q->layout.size);
    const uint32_t words[2] = {htole32(used->id), htole32(used->written)};

    memcpy(entry, words, sizeof(words));
}

static void split_push(struct ax_virtq *q, const struct ax_virtq_used *used,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        split_put(q, (uint16_t)(q->used + i), &used[i]);
    q->used = (uint16_t)(q->used + count);
    store16(at16(q->device, 2), q->used, __ATOMIC_RELEASE);
}

/* Where a used descriptor stands, and the flags that make it one. */
static uint8_t *packed_put(struct ax_virtq *q, const struct ax_virtq_used *used,
                           uint16_t *flags)
{
    uint8_t *entry = (uint8_t *)q->desc + DESC_BYTES * (size_t)q->used;
    const uint32_t le_len = htole32(used->written);
    const uint16_t le_id = htole16(used->id);

    *flags = q->used_wrap ? 1U << VRING_PACKED_DESC_F_AVAIL |
                                1U << VRING_PACKED_DESC_F_USED
                          : 0;
    if (used->written)
        *flags |= DESC_WRITE;
    memcpy(entry + 8, &le_len, sizeof(le_len));
    memcpy(entry + 12, &le_id, sizeof(le_id));
    packed_advance(q, &q->used, &q->used_wrap, used->slots);
    return entry + 14;
}

/* The driver looks at them in order, so the first one's flags come last. */
static void packed_push(struct ax_virtq *q, const struct ax_virtq_used *used,
                        unsigned count)
{
    uint16_t first, flags;
    uint8_t *at = packed_put(q, used, &first);

    for (unsigned i = 1; i < count; i++) {
        uint8_t *next = packed_put(q, &used[i], &flags);

        store16(next, flags, __ATOMIC_RELAXED);
    }
    store16(at, first, __ATOMIC_RELEASE);
}

void ax_virtq_push_all(struct ax_virtq *q, const struct ax_virtq_used *used,
                       unsigned count)
{
    if (!q->enabled || q->broken || !count)
        return;
    if (q->layout.packed)
        packed_push(q, used, count);
    else
        split_push(q, used, count);
    for (unsigned i = 0; i < count; i++)
        q->since += used[i].slots;
}

void ax_virtq_push_id(struct ax_virtq *q, uint16_t id, uint16_t slots,
                      size_t written)
{
    const struct ax_virtq_used used = {
        .id = id,
        .slots = slots,
        .written = written > UINT32_MAX ? UINT32_MAX : (uint32_t)written,
    };

    ax_virtq_push_all(q, &used, 1);
}

void ax_virtq_push(struct ax_virtq *q, const struct ax_virtq_chain *chain,
                   size_t written)
{
    ax_virtq_push_id(q, chain->id, chain->slots, written);
}

/* ---- who is told ---- */

/* Has [old, now) passed event? 2.7.7.1 */
static bool passed(uint16_t event, uint16_t now, uint16_t old)
{
    return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static bool split_wants(const struct ax_virtq *q, unsigned since)
{
    uint16_t event;

    if (!q->layout.event_idx)
        return !(load16(q->driver, __ATOMIC_RELAXED) &
                 VRING_AVAIL_F_NO_INTERRUPT);
    event = load16(at16(q->driver, 4 + 2 * (size_t)q->layout.size),
                   __ATOMIC_RELAXED);
    return passed(event, q->used, (uint16_t)(q->used - since));
}

static bool packed_wants(const struct ax_virtq *q, unsigned since)
{
    const uint16_t where = load16(q->driver, __ATOMIC_RELAXED);
    const uint16_t flags = load16(at16(q->driver, 2), __ATOMIC_RELAXED);
    uint16_t event = where & 0x7fff;

    if (flags != VRING_PACKED_EVENT_FLAG_DESC || !q->layout.event_idx)
        return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
    if ((where >> VRING_PACKED_EVENT_F_WRAP_CTR & 1) != q->used_wrap)
        event = (uint16_t)(event - q->layout.size);
    return passed(event, q->used, (uint16_t)(q->used - since));
}

bool ax_virtq_wants_interrupt(struct ax_virtq *q)
{
    const unsigned since = q->since;

    q->since = 0;
    if (!since || !q->enabled || q->broken)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (since > q->layout.size)
        return true;
    return q->layout.packed ? packed_wants(q, since) : split_wants(q, since);
}

void ax_virtq_quiet(struct ax_virtq *q, bool quiet)
{
    if (!q->enabled || q->broken || q->quiet == quiet)
        return;
    q->quiet = quiet;
    if (q->layout.packed)
        store16(at16(q->device, 2),
                quiet ? VRING_PACKED_EVENT_FLAG_DISABLE
                      : VRING_PACKED_EVENT_FLAG_ENABLE,
                __ATOMIC_RELAXED);
    else if (!q->layout.event_idx)
        store16(q->device, quiet ? VRING_USED_F_NO_NOTIFY : 0,
                __ATOMIC_RELAXED);
    else if (!quiet)
        split_ask_for_event(q);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- bytes ---- */

static unsigned slice(const struct iovec *iov, unsigned count, size_t off,
                      size_t bytes, struct iovec *out)
{
    unsigned used = 0;

    for (unsigned i = 0; i < count && bytes; i++) {
        size_t len = iov[i].iov_len;

        if (off >= len) {
            off -= len;
            continue;
        }
        len = len - off < bytes ? len - off : bytes;
        out[used++] = (struct iovec){
            .iov_base = (char *)iov[i].iov_base + off,
            .iov_len = len,
        };
        bytes -= len;
        off = 0;
    }
    return used;
}

unsigned ax_virtq_slice_out(const struct ax_virtq_chain *chain, size_t off,
                            size_t count, struct iovec *out)
{
    return slice(chain->iov, chain->out, off, count, out);
}

unsigned ax_virtq_slice_in(const struct ax_virtq_chain *chain, size_t off,
                           size_t count, struct iovec *out)
{
    return slice(chain->iov + chain->out, chain->in, off, count, out);
}

size_t ax_virtq_read(const struct ax_virtq_chain *chain, size_t off, void *buf,
                     size_t count)
{
    struct iovec parts[AX_VIRTQ_SIZE];
    const unsigned used = ax_virtq_slice_out(chain, off, count, parts);
    size_t done = 0;

    for (unsigned i = 0; i < used; i++) {
        memcpy((char *)buf + done, parts[i].iov_base, parts[i].iov_len);
        done += parts[i].iov_len;
    }
    return done;
}

size_t ax_virtq_write(const struct ax_virtq_chain *chain, size_t off,
                      const void *buf, size_t count)
{
    struct iovec parts[AX_VIRTQ_SIZE];
    const unsigned used = ax_virtq_slice_in(chain, off, count, parts);
    size_t done = 0;

    for (unsigned i = 0; i < used; i++) {
        memcpy(parts[i].iov_base, (const char *)buf + done, parts[i].iov_len);
        done += parts[i].iov_len;
    }
    return done;
}
