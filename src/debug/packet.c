/*
 * packet.c - packets of the GDB remote serial protocol: GDB manual, appendix
 * E.1 ("Overview"). Everything that large memory transfers go through works in
 * runs of bytes, or by table.
 */
#include "debug/packet.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ESCAPE = '}', ESCAPE_XOR = 0x20, INTERRUPT = 3, NUMBER_DIGITS = 16 };

/* Of a run: its character is there once and repeated n times, n + 29 being a
 * character. 95 is the last before '}'. */
enum { RUN_MIN = 3, RUN_MAX = 95, RUN_BASE = 29 };

/* 1 more than its value; 0: no digit. */
static const uint8_t digit_table[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
    ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
    ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
    ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

#define ROW(high)                                                              \
    high "0" high "1" high "2" high "3" high "4" high "5" high "6" high        \
         "7" high "8" high "9" high "a" high "b" high "c" high "d" high        \
         "e" high "f"

/* Two digits for each byte. */
static const char hex_table[] =
    ROW("0") ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6") ROW("7")
        ROW("8") ROW("9") ROW("a") ROW("b") ROW("c") ROW("d") ROW("e") ROW("f");

/* What cannot be sent as it is. */
static const uint8_t escape_table[256] = {
    ['#'] = 1, ['$'] = 1, ['*'] = 1, [ESCAPE] = 1};

/* Modulo 256. Eight bytes at a time, in four lanes of 16 bits, which are added
 * up before they overflow. */
static uint8_t sum_of(const void *bytes, size_t count)
{
    enum { WORD = 8, BLOCK = 128 * WORD };
    const uint64_t lanes = 0x00ff00ff00ff00ff;
    const uint8_t *from = bytes;
    uint64_t sum = 0;

    while (count >= WORD) {
        const size_t block = (count < BLOCK ? count : BLOCK) / WORD * WORD;
        uint64_t part = 0;

        for (size_t i = 0; i < block; i += WORD) {
            uint64_t word;

            memcpy(&word, from + i, WORD);
            part += (word & lanes) + (word >> 8 & lanes);
        }
        sum += part + (part >> 16) + (part >> 32) + (part >> 48);
        from += block;
        count -= block;
    }
    while (count)
        sum += from[--count];
    return (uint8_t)sum;
}

/* ---- what comes in ---- */

enum {
    OUTSIDE,
    DATA,
    ESCAPED,  /* the next one is data ^ ESCAPE_XOR */
    SUM_HIGH, /* the next one is a digit of the sum */
    SUM_LOW,
    SUM_LOST, /* the first one was no digit */
};

void ax_packet_reader_init(struct ax_packet_reader *reader)
{
    reader->len = 0;
    reader->data[0] = '\0';
    reader->state = OUTSIDE;
    reader->check = true;
}

static void begin(struct ax_packet_reader *reader)
{
    reader->state = DATA;
    reader->len = 0;
    reader->sum = 0;
    reader->too_long = false;
}

static void append(struct ax_packet_reader *reader, const void *bytes,
                   size_t count)
{
    if (reader->too_long || count > AX_PACKET_MAX - reader->len) {
        reader->too_long = true;
        return;
    }
    memcpy(reader->data + reader->len, bytes, count);
    reader->len += count;
}

static void read_escaped(struct ax_packet_reader *reader, const uint8_t *bytes,
                         size_t count)
{
    for (const uint8_t *end = bytes + count; bytes < end;) {
        const uint8_t *escape;

        if (reader->state == ESCAPED) {
            append(reader, &(uint8_t){*bytes++ ^ ESCAPE_XOR}, 1);
            reader->state = DATA;
        }
        escape = memchr(bytes, ESCAPE, (size_t)(end - bytes));
        append(reader, bytes, (size_t)((escape ? escape : end) - bytes));
        if (escape)
            reader->state = ESCAPED;
        bytes = escape ? escape + 1 : end;
    }
}

/*
 * '#' always ends a packet and '$' always begins one: what came before it has
 * lost its end. Neither is sent as data.
 */
static size_t read_data(struct ax_packet_reader *reader, const uint8_t *bytes,
                        size_t count)
{
    const uint8_t *hash = memchr(bytes, '#', count);
    const uint8_t *end = hash ? hash : bytes + count;
    const uint8_t *dollar = memrchr(bytes, '$', (size_t)(end - bytes));
    const uint8_t *from = dollar ? dollar + 1 : bytes;

    if (dollar)
        begin(reader);
    read_escaped(reader, from, (size_t)(end - from));
    if (reader->check)
        reader->sum =
            (uint8_t)(reader->sum + sum_of(from, (size_t)(end - from)));
    if (!hash)
        return count;
    reader->state = SUM_HIGH;
    return (size_t)(hash + 1 - bytes);
}

static enum ax_packet_event read_outside(struct ax_packet_reader *reader,
                                         uint8_t byte)
{
    switch (byte) {
    case '$':
        begin(reader);
        return AX_PACKET_MORE;
    case '+':
        return AX_PACKET_ACK;
    case '-':
        return AX_PACKET_NAK;
    case INTERRUPT:
        return AX_PACKET_INTERRUPT;
    default:
        return AX_PACKET_MORE;
    }
}

static void read_sum_high(struct ax_packet_reader *reader, uint8_t byte)
{
    const uint8_t digit = digit_table[byte];

    reader->told = digit ? (uint8_t)((digit - 1) << 4) : 0;
    reader->state = digit ? SUM_LOW : SUM_LOST;
}

static enum ax_packet_event read_sum_low(struct ax_packet_reader *reader,
                                         uint8_t byte)
{
    const uint8_t digit = digit_table[byte];
    const bool good = reader->state == SUM_LOW && digit &&
                      (reader->told | (digit - 1)) == reader->sum;

    reader->state = OUTSIDE;
    if (reader->too_long)
        return AX_PACKET_TOO_LONG;
    if (reader->check && !good)
        return AX_PACKET_BAD;
    reader->data[reader->len] = '\0';
    return AX_PACKET_DATA;
}

size_t ax_packet_read(struct ax_packet_reader *reader, const uint8_t *bytes,
                      size_t count, enum ax_packet_event *event)
{
    size_t at = 0;

    *event = AX_PACKET_MORE;
    while (at < count && *event == AX_PACKET_MORE) {
        switch (reader->state) {
        case OUTSIDE:
            *event = read_outside(reader, bytes[at++]);
            break;
        case DATA:
        case ESCAPED:
            at += read_data(reader, bytes + at, count - at);
            break;
        case SUM_HIGH:
            read_sum_high(reader, bytes[at++]);
            break;
        default:
            *event = read_sum_low(reader, bytes[at++]);
            break;
        }
    }
    return at;
}

/* ---- what goes out ---- */

void ax_packet_begin(struct ax_packet *packet)
{
    packet->bytes[0] = '$';
    packet->len = 1;
    packet->full = false;
}

size_t ax_packet_room(const struct ax_packet *packet)
{
    return packet->full ? 0 : AX_PACKET_MAX - (packet->len - 1);
}

/* Where the next count characters go; NULL: nowhere. */
static char *extend(struct ax_packet *packet, size_t count)
{
    char *to = packet->bytes + packet->len;

    if (packet->full || count > ax_packet_room(packet)) {
        packet->full = true;
        return NULL;
    }
    packet->len += count;
    return to;
}

void ax_packet_text(struct ax_packet *packet, const char *text)
{
    const size_t len = strlen(text);
    char *to = extend(packet, len);

    if (to)
        memcpy(to, text, len);
}

void ax_packet_format(struct ax_packet *packet, const char *fmt, ...)
{
    const size_t room = ax_packet_room(packet);
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(packet->bytes + packet->len, room + 1, fmt, args);
    va_end(args);
    extend(packet, len < 0 ? SIZE_MAX : (size_t)len);
}

void ax_packet_hex(struct ax_packet *packet, const void *bytes, size_t count)
{
    const uint8_t *from = bytes;
    char *to = extend(packet, count > AX_PACKET_MAX ? SIZE_MAX : 2 * count);

    if (!to)
        return;
    for (size_t i = 0; i < count; i++)
        memcpy(to + 2 * i, hex_table + 2 * from[i], 2);
}

size_t ax_packet_fits(const struct ax_packet *packet, const void *bytes,
                      size_t count, size_t spare)
{
    const uint8_t *from = bytes;
    const size_t all = ax_packet_room(packet);
    const size_t room = all > spare ? all - spare : 0;
    size_t len = 0, i = 0;

    if (count <= room / 2)
        return count;
    while (i < count && len + 1 + escape_table[from[i]] <= room)
        len += 1u + escape_table[from[i++]];
    return i;
}

size_t ax_packet_binary(struct ax_packet *packet, const void *bytes,
                        size_t count)
{
    const uint8_t *from = bytes;
    const size_t fits = ax_packet_fits(packet, bytes, count, 0);
    char *to = packet->bytes + packet->len;

    for (size_t i = 0; i < fits; i++) {
        if (escape_table[from[i]]) {
            *to++ = ESCAPE;
            *to++ = (char)(from[i] ^ ESCAPE_XOR);
        } else {
            *to++ = (char)from[i];
        }
    }
    packet->len = (size_t)(to - packet->bytes);
    return fits;
}

/* Clients may take these for what they mean elsewhere ("Overview"); '*' for
 * another run. */
static bool is_reserved(size_t c)
{
    return c == '#' || c == '$' || c == '*' || c == '+' || c == '-';
}

/* How many of run equal characters, four at least, three can stand for. */
static size_t run_length(size_t run)
{
    size_t repeats = run - 1 < RUN_MAX ? run - 1 : RUN_MAX;

    while (is_reserved(repeats + RUN_BASE))
        repeats--;
    return repeats + 1;
}

static size_t run_at(const char *text, size_t len)
{
    size_t run = 1;

    while (run < len && run <= RUN_MAX && text[run] == text[0])
        run++;
    return run;
}

/* Replaces runs where they stand; returns the new length. */
static size_t shorten(char *text, size_t len)
{
    size_t at = 0, from = 0, to = 0;

    while (at + RUN_MIN < len) {
        size_t run;

        /* Any four that begin at the next three places hold both of these. */
        if (text[at + RUN_MIN] != text[at + RUN_MIN - 1]) {
            at += RUN_MIN;
            continue;
        }
        run = run_at(text + at, len - at);
        if (run <= RUN_MIN) {
            at++;
            continue;
        }
        run = run_length(run);
        memmove(text + to, text + from, at + 1 - from);
        to += at + 1 - from;
        text[to++] = '*';
        text[to++] = (char)(run - 1 + RUN_BASE);
        at += run;
        from = at;
    }
    memmove(text + to, text + from, len - from);
    return to + len - from;
}

void ax_packet_end(struct ax_packet *packet, bool runs)
{
    char *data = packet->bytes + 1, *to;
    uint8_t sum;

    if (runs)
        packet->len = 1 + shorten(data, packet->len - 1);
    sum = sum_of(data, packet->len - 1);
    to = packet->bytes + packet->len;
    *to++ = '#';
    memcpy(to, hex_table + 2 * sum, 2);
    packet->len += 3;
}

/* ---- the pieces of a packet ---- */

static size_t left(const struct ax_packet_scan *scan)
{
    return (size_t)(scan->end - scan->at);
}

static uint8_t digit_at(const char *at)
{
    return digit_table[(uint8_t)*at];
}

bool ax_packet_take(struct ax_packet_scan *scan, const char *text)
{
    const size_t len = strlen(text);

    if (len > left(scan) || memcmp(scan->at, text, len) != 0)
        return false;
    scan->at += len;
    return true;
}

bool ax_packet_take_char(struct ax_packet_scan *scan, char c)
{
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

bool ax_packet_take_number(struct ax_packet_scan *scan, uint64_t *out)
{
    const size_t digits = ax_packet_digits(scan);
    uint64_t val = 0;

    if (!digits || digits > NUMBER_DIGITS)
        return false;
    for (size_t i = 0; i < digits; i++)
        val = val << 4 | (digit_at(scan->at + i) - 1u);
    scan->at += digits;
    *out = val;
    return true;
}

bool ax_packet_take_thread(struct ax_packet_scan *scan, int *out)
{
    struct ax_packet_scan ahead = *scan;
    uint64_t val;

    if (ax_packet_take(scan, "-1")) {
        *out = -1;
        return true;
    }
    if (!ax_packet_take_number(&ahead, &val) || val > INT_MAX)
        return false;
    *scan = ahead;
    *out = (int)val;
    return true;
}

bool ax_packet_take_hex(struct ax_packet_scan *scan, void *bytes, size_t count)
{
    uint8_t *to = bytes;

    if (count > left(scan) / 2)
        return false;
    for (size_t i = 0; i < count; i++) {
        const uint8_t high = digit_at(scan->at + 2 * i);
        const uint8_t low = digit_at(scan->at + 2 * i + 1);

        if (!high || !low)
            return false;
        to[i] = (uint8_t)((high - 1) << 4 | (low - 1));
    }
    scan->at += 2 * count;
    return true;
}

bool ax_packet_take_text(struct ax_packet_scan *scan, char *out, size_t size)
{
    const size_t digits = ax_packet_digits(scan), len = digits / 2;
    struct ax_packet_scan ahead = *scan;

    if (digits % 2 || len >= size || !ax_packet_take_hex(&ahead, out, len) ||
        memchr(out, '\0', len))
        return false;
    out[len] = '\0';
    *scan = ahead;
    return true;
}

bool ax_packet_take_piece(struct ax_packet_scan *scan, char c,
                          struct ax_packet_scan *piece)
{
    const char *end;

    if (scan->at == scan->end)
        return false;
    end = memchr(scan->at, c, left(scan));
    *piece = (struct ax_packet_scan){scan->at, end ? end : scan->end};
    scan->at = end ? end + 1 : scan->end;
    return true;
}

size_t ax_packet_digits(const struct ax_packet_scan *scan)
{
    const char *at = scan->at;

    while (at < scan->end && digit_at(at))
        at++;
    return (size_t)(at - scan->at);
}
