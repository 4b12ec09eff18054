/*
 * demo.h - the demo guest's commands, and its prompt.
 */
#ifndef GUEST_DEMO_H
#define GUEST_DEMO_H

#include "guest.h"

void demo_cpu(const char *arg);
void demo_mem(const char *arg);
void demo_smp(const char *arg);
void demo_ticks(const char *arg);

_Noreturn void demo_prompt(void);

#endif
