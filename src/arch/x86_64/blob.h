/*
 * blob.h - tables of little-endian integers, appended to a bounded buffer.
 * Private to arch/x86_64: ACPI, MP table, boot data.
 */
#ifndef AX_ARCH_X86_64_BLOB_H
#define AX_ARCH_X86_64_BLOB_H

#include "base.h"

#include <string.h>

struct blob {
    uint8_t *buf;
    size_t size, len;
    bool full; /* something did not fit; len is then meaningless */
};

/* The low width bytes of val at p. */
static inline void put_le(uint8_t *p, uint64_t val, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        p[i] = (uint8_t)(val >> i * 8);
}

/* The next len bytes to fill, zeroed; NULL if they do not fit. */
static inline uint8_t *blob_take(struct blob *b, size_t len)
{
    uint8_t *p = b->buf + b->len;

    if (b->full || len > b->size - b->len) {
        b->full = true;
        return NULL;
    }
    memset(p, 0, len);
    b->len += len;
    return p;
}

static inline void blob_int(struct blob *b, uint64_t val, unsigned width)
{
    uint8_t *p = blob_take(b, width);

    if (p)
        put_le(p, val, width);
}

static inline void blob_bytes(struct blob *b, const void *bytes, size_t len)
{
    uint8_t *p = blob_take(b, len);

    if (p)
        memcpy(p, bytes, len);
}

static inline void blob_align(struct blob *b, size_t align)
{
    blob_take(b, (align - b->len % align) % align);
}

/* The byte that makes the sum of p[0..len) and itself 0. */
static inline uint8_t blob_checksum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    while (len--)
        sum += *p++;
    return (uint8_t)-sum;
}

#endif
