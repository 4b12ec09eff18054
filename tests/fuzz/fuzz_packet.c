/*
 * fuzz_packet.c - whatever a debugger sends is taken apart the same way in any
 * pieces; what packets ask of texts and files is answered; and any data goes
 * out so that it comes in again.
 *
 * The input is what the debugger sends; its first byte says in which steps, and
 * whether sums count.
 */
#include "debug/annex.h"
#include "debug/files.h"
#include "debug/packet.h"
#include "fuzz/input.h"

#include <string.h>

enum { EVENTS = 4096 };

static const char text[] = "<text> of a#few$odd}characters*";

/* ---- out, and in again ---- */

/* What gdb makes of runs: GDB manual, "Overview". */
static size_t expand(const char *from, size_t count, char *to, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        size_t repeats = 1;
        char c = from[i];

        if (c == '*') {
            require(i && i + 1 < count);
            c = from[i - 1];
            i++;
            require(from[i] >= ' ' && from[i] <= '~' &&
                    !strchr("#$+-", from[i]));
            repeats = (size_t)from[i] - 29;
        }
        require(repeats <= size - len);
        memset(to + len, c, repeats);
        len += repeats;
    }
    return len;
}

/* A packet of hexadecimal digits, with runs. */
static void send_hex(const void *bytes, size_t count, struct ax_packet *packet)
{
    static char digits[AX_PACKET_MAX];
    static uint8_t back[AX_PACKET_MAX / 2];
    struct ax_packet_scan scan = {digits, digits};

    ax_packet_begin(packet);
    ax_packet_hex(packet, bytes, count);
    require(packet->full == (count > AX_PACKET_MAX / 2));
    if (packet->full)
        return;
    ax_packet_end(packet, true);
    scan.end +=
        expand(packet->bytes + 1, packet->len - 4, digits, sizeof(digits));
    require(ax_packet_digits(&scan) == 2 * count);
    require(ax_packet_take_hex(&scan, back, count));
    require(!count || !memcmp(back, bytes, count));
}

static void send_binary(const void *bytes, size_t count,
                        struct ax_packet *packet,
                        struct ax_packet_reader *reader)
{
    enum ax_packet_event event;
    size_t fitted;

    ax_packet_begin(packet);
    fitted = ax_packet_binary(packet, bytes, count);
    require(fitted == count || ax_packet_room(packet) < 2);
    ax_packet_end(packet, false);
    ax_packet_reader_init(reader);
    require(ax_packet_read(reader, (const uint8_t *)packet->bytes, packet->len,
                           &event) == packet->len);
    require(event == AX_PACKET_DATA && reader->len == fitted);
    require(!fitted || !memcmp(reader->data, bytes, fitted));
}

/* ---- what a packet asks ---- */

static void check_scan(const struct ax_packet_scan *scan, const char *from,
                       const char *end)
{
    require(scan->at >= from && scan->at <= end && scan->end == end);
}

static void scan_piece(struct ax_packet_scan piece)
{
    const struct ax_packet_scan whole = piece;
    uint8_t bytes[16];
    char name[16];
    uint64_t val;
    int thread;

    if (ax_packet_take_thread(&piece, &thread))
        require(thread >= -1 && piece.at > whole.at);
    if (ax_packet_take_char(&piece, ':') && ax_packet_take_number(&piece, &val))
        check_scan(&piece, whole.at, whole.end);
    if (ax_packet_take_text(&piece, name, sizeof(name)))
        require(strlen(name) < sizeof(name));
    if (ax_packet_take_hex(&piece, bytes, sizeof(bytes)))
        require((size_t)(piece.at - whole.at) >= 2 * sizeof(bytes));
    check_scan(&piece, whole.at, whole.end);
}

static void ask(struct ax_packet_scan scan, struct ax_files *files,
                struct ax_packet *packet)
{
    const struct ax_packet_scan whole = scan;
    struct ax_packet_scan piece;

    ax_packet_begin(packet);
    if (ax_packet_take(&scan, "vFile:")) {
        ax_files_answer(files, &scan, packet);
        require(packet->len == 1 || packet->bytes[1] == 'F');
    } else if (ax_packet_take(&scan, "qXfer:features:read:target.xml:")) {
        if (!ax_annex_slice(text, strlen(text), &scan, packet))
            require(packet->bytes[1] == 'm' || packet->bytes[1] == 'l');
        else
            require(packet->len == 1);
    } else {
        while (ax_packet_take_piece(&scan, ';', &piece))
            scan_piece(piece);
        require(scan.at == scan.end);
    }
    require(!packet->full);
    check_scan(&scan, whole.at, whole.end);
}

/* ---- all that comes in ---- */

struct heard {
    unsigned count;
    struct {
        enum ax_packet_event event;
        size_t len;
        uint64_t hash;
    } events[EVENTS];
};

static uint64_t hash(const char *bytes, size_t count)
{
    uint64_t val = 14695981039346656037u;

    for (size_t i = 0; i < count; i++)
        val = (val ^ (uint8_t)bytes[i]) * 1099511628211u;
    return val;
}

static void hear(struct heard *heard, enum ax_packet_event event,
                 const struct ax_packet_reader *reader)
{
    const bool data = event == AX_PACKET_DATA;

    if (data)
        require(reader->len <= AX_PACKET_MAX && !reader->data[reader->len]);
    if (heard->count == EVENTS)
        return;
    heard->events[heard->count].event = event;
    heard->events[heard->count].len = data ? reader->len : 0;
    heard->events[heard->count].hash =
        data ? hash(reader->data, reader->len) : 0;
    heard->count++;
}

static void listen(const uint8_t *data, size_t size, size_t step, bool check,
                   struct ax_packet_reader *reader, struct heard *heard,
                   struct ax_files *files, struct ax_packet *packet)
{
    heard->count = 0;
    ax_packet_reader_init(reader);
    reader->check = check;
    while (size) {
        enum ax_packet_event event;
        const size_t some = size < step ? size : step;
        const size_t took = ax_packet_read(reader, data, some, &event);

        require(took && took <= some);
        require(event != AX_PACKET_MORE || took == some);
        data += took;
        size -= took;
        if (event != AX_PACKET_MORE)
            hear(heard, event, reader);
        if (event == AX_PACKET_DATA && files)
            ask((struct ax_packet_scan){reader->data,
                                        reader->data + reader->len},
                files, packet);
    }
}

static void same(const struct heard *a, const struct heard *b)
{
    require(a->count == b->count);
    for (unsigned i = 0; i < a->count; i++) {
        require(a->events[i].event == b->events[i].event &&
                a->events[i].len == b->events[i].len &&
                a->events[i].hash == b->events[i].hash);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ax_packet packet;
    static struct ax_packet_reader reader;
    static struct heard whole, pieces;
    static const struct ax_files_text texts[] = {{"target.xml", text},
                                                 {"empty", ""}};
    const struct ax_files_env env = {texts, AX_ARRAY_LEN(texts), NULL};
    struct ax_files *files;
    bool check;

    if (!size || ax_files_create(&env, &files))
        return 0;
    check = data[0] & 1;
    listen(data + 1, size - 1, size, check, &reader, &whole, files, &packet);
    listen(data + 1, size - 1, 1u + (data[0] >> 1), check, &reader, &pieces,
           NULL, &packet);
    same(&whole, &pieces);
    send_hex(data, size, &packet);
    send_binary(data, size, &packet, &reader);
    ax_files_destroy(files);
    return 0;
}
