/*
 * main.c - code that changes under the CPU: patched in place, written through
 * another mapping, replaced by a string instruction, and across a page.
 */
#include "guest.h"

/* movl $N, %eax; ret */
static const uint8_t function[] = {0xb8, 0, 0, 0, 0, 0xc3};
enum { OPERAND = 1, ROUNDS = 200 };

static uint8_t code[8192] __attribute__((aligned(4096)));

static uint32_t run(const uint8_t *at)
{
    uint32_t val;

    barrier();
    __asm__ volatile("call *%1" : "=a"(val) : "r"(at) : "memory");
    return val;
}

static void patch(uint8_t *at, uint32_t val)
{
    memcpy(at + OPERAND, &val, sizeof(val));
}

static bool patched_rounds(uint8_t *run_at, uint8_t *write_at)
{
    bool fresh = true;

    memcpy(write_at, function, sizeof(function));
    for (uint32_t i = 0; i < ROUNDS; i++) {
        patch(write_at, i * 0x01010101);
        fresh &= run(run_at) == i * 0x01010101;
    }
    return fresh;
}

/* Overwrites the instruction right behind the store that does it. */
static uint32_t run_next(void)
{
    uint32_t val;

    __asm__ volatile("movb $2, 1f+1(%%rip)\n\t"
                     "jmp 1f\n"
                     "1: movl $1, %0"
                     : "=a"(val)
                     :
                     : "memory");
    return val;
}

void guest_main(void)
{
    uint8_t *edge = code + 4096 - 3;
    uint64_t alias = window_map((uint64_t)code);

    report(patched_rounds(code, code), "code patched in place");
    report(patched_rounds(edge, edge), "code patched across a page");
    report(patched_rounds(code + 64, (uint8_t *)alias + 64),
           "code patched through another mapping");
    report(run_next() == 2, "the next instruction, after a jump");
    for (unsigned i = 0; i < 32; i++)
        code[i] = 0x90;
    memcpy(code + 32, function, sizeof(function));
    patch(code + 32, 7);
    report(run(code) == 7, "a function replaced by a sledge");
}
