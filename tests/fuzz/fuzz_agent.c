/*
 * fuzz_agent.c - any bytes as an agent expression: every evaluation ends, the
 * same way each time, and asks for nothing that no instruction asks for.
 *
 * The first byte makes the guest: registers and memory are made of it and of
 * their numbers, and some of them are not there.
 */
#include "debug/agent.h"
#include "fuzz/input.h"

#include <errno.h>

struct guest {
    uint8_t seed;
    unsigned asked;
};

static bool get_reg(void *ctx, unsigned reg, uint64_t *val)
{
    struct guest *guest = ctx;

    guest->asked++;
    require(reg <= UINT16_MAX);
    if (reg >= 64)
        return false;
    *val = (reg + 1u) * 0x9e3779b97f4a7c15u * guest->seed;
    return true;
}

static bool get_memory(void *ctx, uint64_t addr, void *buf, size_t len)
{
    struct guest *guest = ctx;
    uint8_t *to = buf;

    guest->asked++;
    require(len == 1 || len == 2 || len == 4 || len == 8);
    if (addr >> 62 == 1)
        return false;
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)((addr + i) * 37 + guest->seed);
    return true;
}

static int evaluate(const uint8_t *data, size_t size, uint64_t *out)
{
    struct guest guest = {.seed = data[0]};
    const struct ax_agent_env env = {get_reg, get_memory, &guest};
    const int err = ax_agent_evaluate(data + 1, size - 1, &env, out);

    require(guest.asked <= AX_AGENT_STEPS);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t first = 0, second = 0;
    int err;

    if (!size)
        return 0;
    err = evaluate(data, size, &first);
    require(!err || err == -EINVAL || err == -EOPNOTSUPP || err == -EFAULT ||
            err == -EDOM || err == -ELOOP);
    require(evaluate(data, size, &second) == err);
    require(first == second);
    return 0;
}
