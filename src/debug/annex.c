/*
 * annex.c - documents for qXfer, as XML, and the slices of any.
 */
#include "debug/annex.h"
#include "debug/packet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Bytes of the UTF-8 character at text (RFC 3629), 0 if there is none. A 0 at
 * the end stops it as any other byte that continues nothing.
 */
static size_t decode(const char *text, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t first = (uint8_t)text[0];
    const size_t len = first < 0x80         ? 1
                       : first >> 5 == 0x6  ? 2
                       : first >> 4 == 0xe  ? 3
                       : first >> 3 == 0x1e ? 4
                                            : 0;

    *code = len > 1 ? first & 0x7fu >> len : first;
    for (size_t i = 1; i < len; i++) {
        const uint8_t next = (uint8_t)text[i];

        if (next >> 6 != 2)
            return 0;
        *code = *code << 6 | (next & 0x3f);
    }
    return len && *code >= least[len] ? len : 0;
}

/* XML 1.0, production 2 ("Char"). */
static bool is_char(uint32_t code)
{
    return code == '\t' || code == '\n' || code == '\r' ||
           (code >= 0x20 && code <= 0xd7ff) ||
           (code >= 0xe000 && code <= 0xfffd) ||
           (code >= 0x10000 && code <= 0x10ffff);
}

/* As text and as a value in quotes, where a line's end would become a space. */
static void put_char(uint32_t code, const char *bytes, size_t len, FILE *to)
{
    if (code < 0x20 || (code < 0x80 && strchr("&<>\"'", (int)code)))
        fprintf(to, "&#%u;", code);
    else
        fwrite(bytes, 1, len, to);
}

/* What XML cannot have becomes U+FFFD. */
static void put_text(const char *text, FILE *to)
{
    while (*text) {
        uint32_t code;
        const size_t len = decode(text, &code);

        if (len && is_char(code))
            put_char(code, text, len, to);
        else
            fputs("\xef\xbf\xbd", to);
        text += len ? len : 1;
    }
}

static void put_thread(const struct ax_annex_thread *thread, FILE *to)
{
    fprintf(to, "<thread id=\"%x\" core=\"%u\"", thread->id, thread->id - 1);
    if (thread->name) {
        fputs(" name=\"", to);
        put_text(thread->name, to);
        fputs("\"", to);
    }
    fputs(">", to);
    if (thread->text)
        put_text(thread->text, to);
    fputs("</thread>\n", to);
}

int ax_annex_threads(const struct ax_annex_thread *threads, unsigned count,
                     char **out, size_t *size)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, size);
    bool failed;

    if (!to)
        return -ENOMEM;
    fputs("<?xml version=\"1.0\"?>\n<threads>\n", to);
    for (unsigned i = 0; i < count; i++)
        put_thread(&threads[i], to);
    fputs("</threads>\n", to);
    failed = ferror(to);
    if (fclose(to) || failed) {
        free(text);
        return -ENOMEM;
    }
    *out = text;
    return 0;
}

const char *ax_annex_memory_map(void)
{
    /* In two halves: the length of all of it has no 64 bits. */
    return "<?xml version=\"1.0\"?>\n"
           "<!DOCTYPE memory-map PUBLIC"
           " \"+//IDN gnu.org//DTD GDB Memory Map V1.0//EN\""
           " \"http://sourceware.org/gdb/gdb-memory-map.dtd\">\n"
           "<memory-map>\n"
           "<memory type=\"ram\" start=\"0x0\""
           " length=\"0x8000000000000000\"/>\n"
           "<memory type=\"ram\" start=\"0x8000000000000000\""
           " length=\"0x8000000000000000\"/>\n"
           "</memory-map>\n";
}

int ax_annex_slice(const void *text, size_t size, struct ax_packet_scan *range,
                   struct ax_packet *packet)
{
    uint64_t off, len;
    const uint8_t *from;
    size_t fits;

    if (!ax_packet_take_number(range, &off) ||
        !ax_packet_take_char(range, ',') ||
        !ax_packet_take_number(range, &len) || range->at != range->end ||
        off > size)
        return -EINVAL;
    from = (const uint8_t *)text + off;
    if (len > size - off)
        len = size - off;
    fits = ax_packet_fits(packet, from, len, 1);
    ax_packet_text(packet, fits == size - off ? "l" : "m");
    ax_packet_binary(packet, from, fits);
    return 0;
}
