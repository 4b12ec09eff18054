/* test_packet.c - packets of gdb's protocol: in, out, and their pieces. */
#include "debug/packet.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ax_packet_reader reader;
static struct ax_packet packet;

static void init(void)
{
    ax_packet_reader_init(&reader);
    ax_packet_begin(&packet);
}

TestSuite(packet, .init = init, .timeout = 60);

static const char *const names[] = {"more", "data", "ack",     "nak",
                                    "int",  "bad",  "too long"};

/* All events of text, in chunks of step bytes: "ack data(g) int". */
static const char *events(const char *text, size_t count, size_t step)
{
    static char seen[4096];
    size_t len = 0;

    seen[0] = '\0';
    for (size_t at = 0; at < count;) {
        const size_t some = count - at < step ? count - at : step;
        enum ax_packet_event event;
        const size_t took =
            ax_packet_read(&reader, (const uint8_t *)text + at, some, &event);

        cr_assert(took && took <= some);
        cr_assert(event != AX_PACKET_MORE || took == some);
        at += took;
        if (event == AX_PACKET_MORE)
            continue;
        len += (size_t)snprintf(seen + len, sizeof(seen) - len, "%s%s",
                                len ? " " : "", names[event]);
        if (event == AX_PACKET_DATA) {
            cr_assert_eq(reader.data[reader.len], '\0');
            len += (size_t)snprintf(seen + len, sizeof(seen) - len, "(%s)",
                                    reader.data);
        }
    }
    return seen;
}

static void hear_bytes(const char *text, size_t count, const char *want)
{
    for (size_t step = 1; step <= count; step++) {
        const char *got = events(text, count, step);

        cr_assert_str_eq(got, want, "in steps of %zu: %s", step, got);
    }
}

static void hear(const char *text, const char *want)
{
    hear_bytes(text, strlen(text), want);
}

/* ---- what comes in ---- */

Test(packet, a_packet)
{
    hear("$#00", "data()");
    hear("$g#67", "data(g)");
    hear("$OK#9a", "data(OK)");
    hear("$OK#9A", "data(OK)");
    hear("+$m10,4#2E-$?#3f\x03", "ack data(m10,4) nak data(?) int");
}

Test(packet, noise_is_skipped)
{
    hear("abc#12 \n$g#67xyz+", "data(g) ack");
}

Test(packet, a_wrong_sum_is_told)
{
    hear("$g#68", "bad");
    hear("$g#77", "bad");
    hear("$g#6x$g#67", "bad data(g)");
    hear("$g#x7$g#67", "bad data(g)");
    hear("$#xx", "bad");
    hear("$#x0", "bad");
    hear("$g##67", "bad");
}

Test(packet, sums_may_count_no_more)
{
    reader.check = false;
    hear("$g#68", "data(g)");
    hear("$g#zz$k#00", "data(g) data(k)");
}

Test(packet, escapes_are_resolved)
{
    static const char text[] = "$X}\x03}\x04}]}\n#ba";
    const uint8_t want[] = {'X', '#', '$', '}', '*'};

    hear(text, "data(X#$}*)");
    cr_assert_eq(reader.len, sizeof(want));
    cr_assert_arr_eq(reader.data, want, sizeof(want));
}

Test(packet, a_star_is_data)
{
    hear("$0* #7a", "data(0* )");
}

Test(packet, data_may_be_any_bytes)
{
    static const char text[] = "$a\0\x03+-\xff#bb";

    hear_bytes(text, sizeof(text) - 1, "data(a)");
    cr_assert_eq(reader.len, 6);
    cr_assert_arr_eq(reader.data, "a\0\x03+-\xff", 7);
}

Test(packet, a_packet_that_lost_its_end_is_dropped)
{
    hear("$m12$m34$g#67", "data(g)");
    hear("$m12}$g#67", "data(g)");
    hear("$g}#e4", "data(g)"); /* the escape leads nowhere */
}

static char *filled(size_t data, size_t *count)
{
    char *text = malloc(data + 5);

    cr_assert_not_null(text);
    text[0] = '$';
    memset(text + 1, 'a', data);
    snprintf(text + 1 + data, 4, "#%02x", (unsigned)('a' * data & 0xff));
    *count = data + 4;
    return text;
}

static void try_length(size_t data, const char *want)
{
    size_t count;
    char *text = filled(data, &count);
    enum ax_packet_event event;

    cr_assert_eq(ax_packet_read(&reader, (uint8_t *)text, count, &event),
                 count);
    cr_assert_str_eq(names[event], want, "%zu", data);
    if (event == AX_PACKET_DATA)
        cr_assert_eq(reader.len, data);
    cr_assert_eq(ax_packet_read(&reader, (const uint8_t *)"$g#67", 5, &event),
                 5);
    cr_assert_eq(event, AX_PACKET_DATA);
    cr_assert_str_eq(reader.data, "g");
    free(text);
}

Test(packet, the_longest)
{
    try_length(AX_PACKET_MAX, "data");
    try_length(AX_PACKET_MAX + 1, "too long");
    try_length(10 * AX_PACKET_MAX, "too long");
}

Test(packet, a_sum_over_all_lengths)
{
    /* The sum is made in blocks: each length has its own way through them. */
    for (size_t data = 0; data < 2100; data++)
        try_length(data, "data");
}

/* ---- what goes out ---- */

static void sent(const char *want)
{
    cr_assert_eq(packet.len, strlen(want), "%.*s", (int)packet.len,
                 packet.bytes);
    cr_assert_arr_eq(packet.bytes, want, packet.len, "%.*s", (int)packet.len,
                     packet.bytes);
}

Test(packet, out)
{
    ax_packet_end(&packet, true);
    sent("$#00");
    ax_packet_begin(&packet);
    ax_packet_text(&packet, "T05");
    ax_packet_format(&packet, "thread:%x;", 26);
    ax_packet_hex(&packet, "\x00\x7f\xff\x1a", 4);
    cr_assert_eq(ax_packet_room(&packet), AX_PACKET_MAX - 21);
    ax_packet_end(&packet, false);
    sent("$T05thread:1a;007fff1a#93");
}

Test(packet, hex_of_every_byte)
{
    uint8_t bytes[256];
    char want[3];

    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    ax_packet_hex(&packet, bytes, 256);
    for (unsigned i = 0; i < 256; i++) {
        snprintf(want, sizeof(want), "%02x", i);
        cr_assert_arr_eq(packet.bytes + 1 + 2 * i, want, 2);
    }
}

Test(packet, binary_is_escaped)
{
    cr_assert_eq(ax_packet_binary(&packet, "a#$}*\0z", 7), 7);
    cr_assert_eq(packet.len, 12);
    cr_assert_arr_eq(packet.bytes, "$a}\x03}\x04}]}\n\0z", 12);
}

/* What a packet means to gdb: runs expanded, then escapes resolved. */
static size_t understand(char *out, size_t size)
{
    char expanded[2 * AX_PACKET_MAX];
    size_t len = 0, count = 0;

    cr_assert_eq(packet.bytes[0], '$');
    cr_assert_eq(packet.bytes[packet.len - 3], '#');
    for (size_t i = 1; i < packet.len - 3; i++) {
        char c = packet.bytes[i];
        unsigned repeats = 1;

        cr_assert(c != '#' && c != '$');
        if (c == '*') {
            cr_assert_gt(i, 1);
            c = packet.bytes[i - 1];
            repeats = (unsigned char)packet.bytes[++i] - 29u;
            cr_assert(packet.bytes[i] >= ' ' && packet.bytes[i] <= '~');
            cr_assert_null(strchr("#$+-", packet.bytes[i]));
        }
        cr_assert_leq(len + repeats, sizeof(expanded));
        memset(expanded + len, c, repeats);
        len += repeats;
    }
    for (size_t i = 0; i < len; i++) {
        cr_assert_lt(count, size);
        out[count++] =
            expanded[i] == '}' ? (char)(expanded[++i] ^ 0x20) : expanded[i];
    }
    return count;
}

static void check_sum(void)
{
    unsigned sum = 0;
    char want[4];

    for (size_t i = 1; i < packet.len - 3; i++)
        sum += (unsigned char)packet.bytes[i];
    snprintf(want, sizeof(want), "#%02x", sum & 0xff);
    cr_assert_arr_eq(packet.bytes + packet.len - 3, want, 3);
}

Test(packet, runs_become_short)
{
    ax_packet_text(&packet, "0000");
    ax_packet_end(&packet, true);
    sent("$0* #7a");
    ax_packet_begin(&packet);
    ax_packet_text(&packet, "xabbbcdddddefff");
    ax_packet_end(&packet, true);
    cr_assert_arr_eq(packet.bytes, "$xabbbcd*!efff#", 15);
    ax_packet_begin(&packet);
    ax_packet_text(&packet, "0000");
    ax_packet_end(&packet, false);
    sent("$0000#c0");
}

/* Runs of all lengths, at the begin, in the middle and at the end. */
Test(packet, runs_mean_the_same)
{
    char text[600], back[600];

    for (unsigned run = 0; run < 400; run++) {
        for (unsigned before = 0; before < 5; before++) {
            for (unsigned behind = 0; behind < 2; behind++) {
                const size_t len = before + run + behind;

                memset(text, 'x', sizeof(text));
                memset(text + before, 'y', run);
                text[len] = '\0';
                ax_packet_begin(&packet);
                ax_packet_text(&packet, text);
                ax_packet_end(&packet, true);
                check_sum();
                cr_assert_eq(understand(back, sizeof(back)), len);
                cr_assert_arr_eq(back, text, len);
                cr_assert(run < 4 || packet.len < len + 4);
                cr_assert(run < 200 || packet.len < 32);
            }
        }
    }
}

Test(packet, random_runs_mean_the_same)
{
    static char text[AX_PACKET_MAX + 1], back[AX_PACKET_MAX];
    unsigned random = 1;

    for (unsigned round = 0; round < 200; round++) {
        size_t len = 0;

        while (len + 120 < AX_PACKET_MAX) {
            random = random * 1103515245 + 12345;
            for (unsigned i = (random >> 16) % 6 * ((random >> 20) % 20); i--;)
                text[len++] = (char)('0' + (random >> 24) % 3);
            text[len++] = (char)('0' + (random >> 26) % 3);
        }
        text[len] = '\0';
        ax_packet_begin(&packet);
        ax_packet_text(&packet, text);
        ax_packet_end(&packet, true);
        check_sum();
        cr_assert_lt(packet.len, len);
        cr_assert_eq(understand(back, sizeof(back)), len);
        cr_assert_arr_eq(back, text, len);
    }
}

Test(packet, a_full_packet_takes_no_more)
{
    static const uint8_t zeros[AX_PACKET_MAX];

    ax_packet_hex(&packet, zeros, AX_PACKET_MAX / 2 - 1);
    cr_assert_not(packet.full);
    cr_assert_eq(ax_packet_room(&packet), 2);
    ax_packet_text(&packet, "12");
    cr_assert_not(packet.full);
    cr_assert_eq(ax_packet_room(&packet), 0);
    ax_packet_text(&packet, "");
    cr_assert_not(packet.full);
    ax_packet_text(&packet, "3");
    cr_assert(packet.full);
    cr_assert_eq(packet.len, 1 + AX_PACKET_MAX);
    ax_packet_end(&packet, false);
    cr_assert_eq(packet.len, 4 + AX_PACKET_MAX);
    check_sum();
}

Test(packet, what_does_not_fit_is_dropped_as_a_whole)
{
    static const uint8_t zeros[AX_PACKET_MAX];

    ax_packet_hex(&packet, zeros, AX_PACKET_MAX / 2 - 2);
    ax_packet_hex(&packet, zeros, 3);
    cr_assert(packet.full);
    cr_assert_eq(packet.len, 1 + AX_PACKET_MAX - 4);
    ax_packet_text(&packet, "1"); /* would fit */
    cr_assert_eq(packet.len, 1 + AX_PACKET_MAX - 4);
    cr_assert_eq(ax_packet_room(&packet), 0);
    cr_assert_eq(ax_packet_binary(&packet, "a", 1), 0);
    init();
    ax_packet_hex(&packet, zeros, SIZE_MAX / 2 + 2);
    cr_assert(packet.full);
    init();
    ax_packet_hex(&packet, zeros, AX_PACKET_MAX / 2 - 2);
    ax_packet_format(&packet, "%d", 1234);
    cr_assert_not(packet.full);
    ax_packet_format(&packet, "%d", 5);
    cr_assert(packet.full);
    cr_assert_eq(packet.len, 1 + AX_PACKET_MAX);
}

Test(packet, binary_fits_in_part)
{
    static uint8_t bytes[AX_PACKET_MAX];
    static char back[AX_PACKET_MAX];

    memset(bytes, '#', sizeof(bytes));
    cr_assert_eq(ax_packet_fits(&packet, bytes, sizeof(bytes), 0),
                 AX_PACKET_MAX / 2);
    cr_assert_eq(ax_packet_fits(&packet, bytes, sizeof(bytes), 1),
                 AX_PACKET_MAX / 2 - 1);
    cr_assert_eq(ax_packet_fits(&packet, bytes, 7, 1), 7);
    cr_assert_eq(ax_packet_fits(&packet, bytes, 7, AX_PACKET_MAX + 1), 0);
    bytes[0] = 'b';
    ax_packet_text(&packet, "m");
    cr_assert_eq(ax_packet_binary(&packet, bytes, sizeof(bytes)),
                 AX_PACKET_MAX / 2);
    cr_assert_eq(ax_packet_room(&packet), 0);
    cr_assert_not(packet.full);
    ax_packet_end(&packet, false);
    cr_assert_eq(understand(back, sizeof(back)), 1 + AX_PACKET_MAX / 2);
    cr_assert_arr_eq(back + 1, bytes, AX_PACKET_MAX / 2);
    init();
    memset(bytes, 'a', sizeof(bytes));
    cr_assert_eq(ax_packet_binary(&packet, bytes, sizeof(bytes)),
                 AX_PACKET_MAX);
}

Test(packet, what_goes_out_comes_in)
{
    uint8_t bytes[512];
    enum ax_packet_event event;

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    cr_assert_eq(ax_packet_binary(&packet, bytes, sizeof(bytes)),
                 sizeof(bytes));
    ax_packet_end(&packet, false);
    cr_assert_eq(
        ax_packet_read(&reader, (uint8_t *)packet.bytes, packet.len, &event),
        packet.len);
    cr_assert_eq(event, AX_PACKET_DATA);
    cr_assert_eq(reader.len, sizeof(bytes));
    cr_assert_arr_eq(reader.data, bytes, sizeof(bytes));
}

/* ---- pieces ---- */

static struct ax_packet_scan scan;

static void scan_text(const char *text)
{
    scan = (struct ax_packet_scan){text, text + strlen(text)};
}

/* What is left to scan. */
static void rest(const char *want)
{
    cr_assert_eq((size_t)(scan.end - scan.at), strlen(want), "%s", scan.at);
    cr_assert_arr_eq(scan.at, want, strlen(want), "%s", scan.at);
}

Test(packet, pieces_of_text)
{
    scan_text("vCont;c");
    cr_assert_not(ax_packet_take(&scan, "vCont?"));
    cr_assert_not(ax_packet_take(&scan, "vCont;c:1"));
    cr_assert(ax_packet_take(&scan, "vCont"));
    cr_assert_not(ax_packet_take_char(&scan, ':'));
    cr_assert(ax_packet_take_char(&scan, ';'));
    rest("c");
    cr_assert(ax_packet_take(&scan, ""));
    cr_assert(ax_packet_take_char(&scan, 'c'));
    cr_assert_not(ax_packet_take_char(&scan, '\0'));
    rest("");
}

Test(packet, numbers)
{
    uint64_t val = 7;

    scan_text("1aF,ffffffffffffffff,10000000000000000,x");
    cr_assert(ax_packet_take_number(&scan, &val));
    cr_assert_eq(val, 0x1af);
    cr_assert_not(ax_packet_take_number(&scan, &val));
    cr_assert(ax_packet_take_char(&scan, ','));
    cr_assert(ax_packet_take_number(&scan, &val));
    cr_assert_eq(val, UINT64_MAX);
    cr_assert(ax_packet_take_char(&scan, ','));
    cr_assert_not(ax_packet_take_number(&scan, &val));
    rest("10000000000000000,x");
    cr_assert_eq(val, UINT64_MAX);
    scan_text("");
    cr_assert_not(ax_packet_take_number(&scan, &val));
    /* The packet's end counts, not the digits behind it. */
    scan_text("123456");
    scan.end -= 3;
    cr_assert(ax_packet_take_number(&scan, &val));
    cr_assert_eq(val, 0x123);
}

Test(packet, threads)
{
    int thread = 9;

    scan_text("-1;1a;0;7fffffff;80000000;-2");
    cr_assert(ax_packet_take_thread(&scan, &thread));
    cr_assert_eq(thread, -1);
    cr_assert(ax_packet_take(&scan, ";"));
    cr_assert(ax_packet_take_thread(&scan, &thread));
    cr_assert_eq(thread, 26);
    cr_assert(ax_packet_take(&scan, ";"));
    cr_assert(ax_packet_take_thread(&scan, &thread));
    cr_assert_eq(thread, 0);
    cr_assert(ax_packet_take(&scan, ";"));
    cr_assert(ax_packet_take_thread(&scan, &thread));
    cr_assert_eq(thread, 0x7fffffff);
    cr_assert(ax_packet_take(&scan, ";"));
    cr_assert_not(ax_packet_take_thread(&scan, &thread));
    rest("80000000;-2");
    cr_assert(ax_packet_take(&scan, "80000000;"));
    cr_assert_not(ax_packet_take_thread(&scan, &thread));
    rest("-2");
}

Test(packet, hexadecimal_bytes)
{
    uint8_t bytes[4] = {0};

    scan_text("00fFA07g");
    cr_assert_eq(ax_packet_digits(&scan), 7);
    cr_assert_not(ax_packet_take_hex(&scan, bytes, 4));
    cr_assert_not(ax_packet_take_hex(&scan, bytes, 5));
    cr_assert_not(ax_packet_take_hex(&scan, bytes, SIZE_MAX));
    rest("00fFA07g");
    cr_assert(ax_packet_take_hex(&scan, bytes, 3));
    cr_assert_arr_eq(bytes, "\x00\xff\xa0", 3);
    rest("7g");
    cr_assert(ax_packet_take_hex(&scan, bytes, 0));
    cr_assert_eq(ax_packet_digits(&scan), 1);
}

Test(packet, text_as_bytes)
{
    char text[4];

    scan_text("6162,616263,61626364,6100,616,");
    cr_assert(ax_packet_take_text(&scan, text, sizeof(text)));
    cr_assert_str_eq(text, "ab");
    cr_assert(ax_packet_take(&scan, ","));
    cr_assert(ax_packet_take_text(&scan, text, sizeof(text)));
    cr_assert_str_eq(text, "abc");
    cr_assert(ax_packet_take(&scan, ","));
    cr_assert_not(ax_packet_take_text(&scan, text, sizeof(text)));
    cr_assert(ax_packet_take(&scan, "61626364,"));
    cr_assert_not(ax_packet_take_text(&scan, text, sizeof(text)));
    cr_assert(ax_packet_take(&scan, "6100,"));
    cr_assert_not(ax_packet_take_text(&scan, text, sizeof(text)));
    cr_assert(ax_packet_take(&scan, "616,"));
    cr_assert(ax_packet_take_text(&scan, text, sizeof(text)));
    cr_assert_str_eq(text, "");
}

Test(packet, lists)
{
    struct ax_packet_scan piece;

    scan_text("a;;bc");
    cr_assert(ax_packet_take_piece(&scan, ';', &piece));
    cr_assert_eq(piece.end - piece.at, 1);
    cr_assert_eq(*piece.at, 'a');
    cr_assert(ax_packet_take_piece(&scan, ';', &piece));
    cr_assert_eq(piece.end, piece.at);
    cr_assert(ax_packet_take_piece(&scan, ';', &piece));
    cr_assert_eq(piece.end - piece.at, 2);
    cr_assert_not(ax_packet_take_piece(&scan, ';', &piece));
    rest("");
}
