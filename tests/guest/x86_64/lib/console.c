/*
 * console.c - COM1, polled, and a small printf. A full FIFO is sent for each
 * look at the line status: a port access is an exit.
 */
#include "guest.h"

enum { DATA, IER, FCR, LCR, MCR, LSR };
enum { LSR_THRE = 0x20, FIFO = 16 };

static unsigned room;

void console_init(void)
{
    out8(COM1 + IER, 0);
    out8(COM1 + LCR, 0x03); /* 8N1 */
    out8(COM1 + FCR, 0x07); /* FIFOs on and empty */
    out8(COM1 + MCR, 0x0b); /* DTR, RTS, OUT2 */
    room = 0;
}

static void console_byte(char c)
{
    while (!room)
        if (in8(COM1 + LSR) & LSR_THRE)
            room = FIFO;
    room--;
    out8(COM1 + DATA, (uint8_t)c);
}

void console_put(char c)
{
    if (c == '\n')
        console_byte('\r');
    console_byte(c);
}

struct spec {
    char digits[24];
    unsigned len, width;
    bool left, zero, wide;
};

static void put_padded(const struct spec *spec, const char *text, unsigned len)
{
    char fill = spec->zero ? '0' : ' ';

    for (unsigned i = len; !spec->left && i < spec->width; i++)
        console_put(fill);
    for (unsigned i = 0; i < len; i++)
        console_put(text[i]);
    for (unsigned i = len; spec->left && i < spec->width; i++)
        console_put(' ');
}

static void put_number(struct spec *spec, uint64_t val, unsigned base,
                       bool negative)
{
    char *p = spec->digits + sizeof(spec->digits);

    do {
        *--p = "0123456789abcdef"[val % base];
        val /= base;
    } while (val);
    if (negative)
        *--p = '-';
    put_padded(spec, p, spec->digits + sizeof(spec->digits) - p);
}

static const char *parse_spec(const char *fmt, struct spec *spec)
{
    *spec = (struct spec){0};
    for (; *fmt == '-' || *fmt == '0'; fmt++) {
        spec->left |= *fmt == '-';
        spec->zero |= *fmt == '0';
    }
    for (; *fmt >= '0' && *fmt <= '9'; fmt++)
        spec->width = spec->width * 10 + (*fmt - '0');
    for (; *fmt == 'l'; fmt++)
        spec->wide = true;
    return fmt;
}

void vprint(const char *fmt, va_list args)
{
    struct spec spec;
    const char *text;
    int64_t val;
    char c;

    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            console_put(*fmt);
            continue;
        }
        fmt = parse_spec(fmt + 1, &spec);
        switch (*fmt) {
        case 's':
            text = va_arg(args, const char *);
            put_padded(&spec, text, strlen(text));
            break;
        case 'c':
            c = (char)va_arg(args, int);
            put_padded(&spec, &c, 1);
            break;
        case 'd':
            val = spec.wide ? va_arg(args, int64_t) : va_arg(args, int);
            put_number(&spec, val < 0 ? -(uint64_t)val : (uint64_t)val, 10,
                       val < 0);
            break;
        case 'u':
        case 'x':
            put_number(&spec,
                       spec.wide ? va_arg(args, uint64_t)
                                 : va_arg(args, unsigned),
                       *fmt == 'x' ? 16 : 10, false);
            break;
        default:
            console_put(*fmt);
        }
    }
}

void print(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprint(fmt, args);
    va_end(args);
}
