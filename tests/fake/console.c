/*
 * console.c - see console.h.
 */
#include "fake/console.h"

#include "devices/console.h"

#include <stdlib.h>
#include <string.h>

struct ax_console {
    char in[256], out[256];
    unsigned in_next, out_count;
};

struct ax_console *fake_console_create(void)
{
    struct ax_console *console = calloc(1, sizeof(*console));

    if (!console)
        abort();
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
