/*
 * console.c - see console.h.
 */
#include "fake/console.h"

#include <stdlib.h>
#include <string.h>

struct ax_console {
    char in[256], out[256];
    unsigned in_next, out_count;
    size_t takes;
    struct ax_console_size size;
};

struct ax_console *fake_console_create(void)
{
    struct ax_console *console = calloc(1, sizeof(*console));

    if (!console)
        abort();
    console->takes = SIZE_MAX;
    return console;
}

void fake_console_destroy(struct ax_console *console)
{
    free(console);
}

void fake_console_type(struct ax_console *console, const char *text)
{
    memmove(console->in, console->in + console->in_next,
            sizeof(console->in) - console->in_next);
    console->in_next = 0;
    strncat(console->in, text, sizeof(console->in) - strlen(console->in) - 1);
}

void fake_console_take(struct ax_console *console, size_t count)
{
    console->takes = count;
}

void fake_console_resize(struct ax_console *console,
                         struct ax_console_size size)
{
    console->size = size;
}

const char *fake_console_output(const struct ax_console *console)
{
    return console->out;
}

bool ax_console_ready(const struct ax_console *console)
{
    return console && console->in[console->in_next];
}

uint8_t ax_console_get(struct ax_console *console)
{
    return ax_console_ready(console) ? (uint8_t)console->in[console->in_next++]
                                     : 0;
}

void ax_console_put(struct ax_console *console, uint8_t byte)
{
    if (console && console->out_count < sizeof(console->out) - 1)
        console->out[console->out_count++] = (char)byte;
}

size_t ax_console_read(struct ax_console *console, void *bytes, size_t count)
{
    size_t done = 0;

    for (; done < count && ax_console_ready(console); done++)
        ((uint8_t *)bytes)[done] = ax_console_get(console);
    return done;
}

size_t ax_console_write(struct ax_console *console, const void *bytes,
                        size_t count)
{
    size_t taken;

    if (!console)
        return count;
    taken = count < console->takes ? count : console->takes;
    for (size_t i = 0; i < taken; i++)
        ax_console_put(console, ((const uint8_t *)bytes)[i]);
    if (console->takes != SIZE_MAX)
        console->takes -= taken;
    return taken;
}

struct ax_console_size ax_console_size(struct ax_console *console)
{
    return console ? console->size : (struct ax_console_size){0};
}
