/*
 * agent.h - agent expressions: the bytecode in which gdb sends conditions of
 * breakpoints (GDB manual, appendix F). Pure; any bytes are safe, and every
 * evaluation ends.
 */
#ifndef AX_DEBUG_AGENT_H
#define AX_DEBUG_AGENT_H

#include "base.h"

enum {
    AX_AGENT_STACK = 64,   /* values */
    AX_AGENT_STEPS = 4096, /* instructions of one evaluation */
};

/* Where values come from; false: there is none. */
struct ax_agent_env {
    bool (*reg)(void *ctx, unsigned reg, uint64_t *val);
    bool (*read)(void *ctx, uint64_t addr, void *buf, size_t len);
    void *ctx;
};

/*
 * The value on top of the stack at "end". 0; -EINVAL: the expression is wrong;
 * -EOPNOTSUPP: it has an instruction that is not for conditions (trace*,
 * setv, printf...); -EFAULT: env had no value; -EDOM: a division by zero;
 * -ELOOP: more steps than AX_AGENT_STEPS.
 */
int ax_agent_evaluate(const uint8_t *code, size_t size,
                      const struct ax_agent_env *env, uint64_t *out);

#endif
