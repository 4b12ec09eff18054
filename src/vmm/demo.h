/*
 * demo.h - the built-in guest of --demo: a PVH ELF for x86_64, carried in the
 * binary. Only main.c uses it; a build for another host has none.
 *
 * Made from tests/guest/<arch>/demo by the build (target guest_demo_object).
 * Constant data; any thread.
 */
#ifndef AX_VMM_DEMO_H
#define AX_VMM_DEMO_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t ax_demo_image[];
extern const size_t ax_demo_image_size; /* bytes */

#endif
