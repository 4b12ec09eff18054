/*
 * layout.h - selectors and addresses that assembler and C agree on.
 */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#define SEL_CODE32    0x08
#define SEL_DATA      0x10
#define SEL_CODE64    0x18
#define SEL_USER_DATA 0x23
#define SEL_USER_CODE 0x2b
#define SEL_TSS       0x30

/* boot_magic: what start.S puts there for PVH, and what multiboot 1 gives. */
#define BOOT_PVH       0x336ec578
#define BOOT_MULTIBOOT 0x2badb002

/* Where the other CPUs start, below 1 MiB and page aligned. */
#define TRAMPOLINE 0x10000

#endif
