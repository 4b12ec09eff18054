/*
 * syscalls.h - Linux system calls of x86_64 without a C library. Private to
 * init.c.
 */
#ifndef AX_GUEST_INIT_SYSCALLS_H
#define AX_GUEST_INIT_SYSCALLS_H

#include <asm/unistd.h>

static inline long sys(long nr, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

#define SYS0(nr)          sys(nr, 0, 0, 0, 0, 0)
#define SYS1(nr, a)       sys(nr, (long)(a), 0, 0, 0, 0)
#define SYS2(nr, a, b)    sys(nr, (long)(a), (long)(b), 0, 0, 0)
#define SYS3(nr, a, b, c) sys(nr, (long)(a), (long)(b), (long)(c), 0, 0)
#define SYS4(nr, a, b, c, d)                                                   \
    sys(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0)
#define SYS5(nr, a, b, c, d, e)                                                \
    sys(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

#endif
