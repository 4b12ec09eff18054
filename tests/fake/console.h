/*
 * console.h - a console whose host end is the test.
 *
 * A program that uses these functions gets the model side of
 * devices/console.h (ready, get, put, read, write, size) from here instead of
 * from the product; it cannot use the rest of the real console besides.
 */
#ifndef FAKE_CONSOLE_H
#define FAKE_CONSOLE_H

#include "devices/console.h"

/* Aborts when out of memory. */
struct ax_console *fake_console_create(void);
void fake_console_destroy(struct ax_console *console);

/* Queues what the host types. The model is not told: call ax_device_poll. */
void fake_console_type(struct ax_console *console, const char *text);

/* What ax_console_write takes from now on, in bytes; no limit at first. */
void fake_console_take(struct ax_console *console, size_t count);

/* What ax_console_size says. The model is not told. */
void fake_console_resize(struct ax_console *console,
                         struct ax_console_size size);

/* Everything put since creation, NUL-terminated, at most 255 bytes of it. */
const char *fake_console_output(const struct ax_console *console);

#endif
