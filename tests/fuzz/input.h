/*
 * input.h - what the fuzz targets share: their entry, an input that is taken
 * piece by piece, and a check that no build leaves out.
 *
 * A corpus means what it means by these functions: the same bytes must go on
 * giving the same numbers. So no call and no operator has two of them for its
 * operands, as compilers differ in which comes first.
 */
#ifndef AX_TESTS_FUZZ_INPUT_H
#define AX_TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Each target defines it; libFuzzer, or replay.c, calls it once an input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of it. */
struct input {
    const uint8_t *data;
    size_t size;
};

/* A number of up to 8 bytes, the highest first. An input that ends within it
 * gives those that are left; one that has ended gives 0. */
static inline uint64_t input_take(struct input *in, unsigned bytes)
{
    uint64_t val = 0;

    for (; bytes && in->size; bytes--, in->size--)
        val = val << 8 | *in->data++;
    return val;
}

/* A descriptor of a ring, which may be anything. */
struct stray_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

/* With a length of so many bytes. */
static inline struct stray_desc take_desc(struct input *in, unsigned len_bytes)
{
    struct stray_desc desc;

    desc.addr = input_take(in, 4);
    desc.len = (uint32_t)input_take(in, len_bytes);
    desc.flags = (uint16_t)input_take(in, 1);
    desc.next = (uint16_t)input_take(in, 1);
    return desc;
}

/* The next count bytes, and zeroes for those that are not there. */
static inline void input_fill(struct input *in, void *to, size_t count)
{
    uint8_t *bytes = to;

    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)input_take(in, 1);
}

/* A find ends the process, in a build without assertions too. */
static inline void require(bool truth)
{
    if (!truth)
        abort();
}

#endif
