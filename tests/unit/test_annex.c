/* test_annex.c - the documents that gdb reads, and their slices. */
#include "debug/annex.h"
#include "debug/packet.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(annex, .timeout = 60);

static struct ax_packet packet;

static void threads(const struct ax_annex_thread *list, unsigned count,
                    const char *want)
{
    char *text = NULL;
    size_t size = 0;

    cr_assert_eq(ax_annex_threads(list, count, &text, &size), 0);
    cr_assert_eq(size, strlen(text));
    cr_assert_str_eq(text, want, "%s", text);
    free(text);
}

static void thread_text(const char *text, const char *want)
{
    const struct ax_annex_thread list[] = {{1, NULL, text}};
    char document[512];

    snprintf(document, sizeof(document),
             "<?xml version=\"1.0\"?>\n<threads>\n"
             "<thread id=\"1\" core=\"0\">%s</thread>\n</threads>\n",
             want);
    threads(list, 1, document);
}

Test(annex, the_threads)
{
    const struct ax_annex_thread list[] = {
        {1, "vcpu0", "running, CPL 3"}, {2, NULL, NULL}, {26, "vcpu25", ""}};

    threads(list, 3,
            "<?xml version=\"1.0\"?>\n<threads>\n"
            "<thread id=\"1\" core=\"0\" name=\"vcpu0\">running, CPL 3"
            "</thread>\n"
            "<thread id=\"2\" core=\"1\"></thread>\n"
            "<thread id=\"1a\" core=\"25\" name=\"vcpu25\"></thread>\n"
            "</threads>\n");
    threads(NULL, 0, "<?xml version=\"1.0\"?>\n<threads>\n</threads>\n");
}

Test(annex, markup_is_escaped)
{
    const struct ax_annex_thread list[] = {{1, "\"><a b='&amp;'\n", NULL}};

    threads(list, 1,
            "<?xml version=\"1.0\"?>\n<threads>\n<thread id=\"1\" core=\"0\""
            " name=\"&#34;&#62;&#60;a b=&#39;&#38;amp;&#39;&#10;\">"
            "</thread>\n</threads>\n");
    thread_text("]]> & <", "]]&#62; &#38; &#60;");
}

#define MENDED "\xef\xbf\xbd"

Test(annex, text_is_what_xml_can_have)
{
    thread_text("\xc3\xbc \xe2\x82\xac \xf0\x9f\x90\xa7",
                "\xc3\xbc \xe2\x82\xac \xf0\x9f\x90\xa7");
    thread_text("\x01\x1b[0m\x7f", MENDED MENDED "[0m\x7f");
    thread_text("a\xff\x80z", "a" MENDED MENDED "z");
    thread_text("cut \xe2\x82", "cut " MENDED MENDED);
    thread_text("cut \xf0", "cut " MENDED);
    /* Longer than need be, surrogates, no characters, beyond Unicode. */
    thread_text("\xc0\xaf", MENDED MENDED);
    thread_text("\xe0\x80\xaf", MENDED MENDED MENDED);
    thread_text("\xed\xa0\x80", MENDED);
    thread_text("\xef\xbf\xbf", MENDED);
    thread_text("\xf4\x90\x80\x80", MENDED);
    thread_text("\xf4\x8f\xbf\xbd", "\xf4\x8f\xbf\xbd");
    thread_text("\xf8\x88\x80\x80\x80", MENDED MENDED MENDED MENDED MENDED);
}

Test(annex, the_memory_map_leaves_nothing_out)
{
    const char *at = ax_annex_memory_map();
    unsigned long long expected = 0;

    for (unsigned i = 0; i < 2; i++) {
        unsigned long long start, length;

        at = strstr(at, "<memory ");
        cr_assert_not_null(at);
        cr_assert_eq(sscanf(at,
                            "<memory type=\"ram\" start=\"%llx\" "
                            "length=\"%llx\"/>",
                            &start, &length),
                     2);
        cr_assert_eq(start, expected);
        cr_assert_neq(length, 0);
        expected = start + length;
        at++;
    }
    cr_assert_eq(expected, 0); /* 2^64 */
    cr_assert_null(strstr(at, "<memory "));
}

/* ---- slices ---- */

static int slice_of(const void *text, size_t size, const char *range)
{
    struct ax_packet_scan scan = {range, range + strlen(range)};

    ax_packet_begin(&packet);
    return ax_annex_slice(text, size, &scan, &packet);
}

static void slice(const char *text, const char *range, const char *want)
{
    cr_assert_eq(slice_of(text, strlen(text), range), 0, "%s", range);
    cr_assert_eq(packet.len - 1, strlen(want), "%.*s", (int)packet.len,
                 packet.bytes);
    cr_assert_arr_eq(packet.bytes + 1, want, strlen(want), "%.*s",
                     (int)packet.len, packet.bytes);
}

Test(annex, slices)
{
    slice("hello", "0,5", "lhello");
    slice("hello", "0,ffb", "lhello");
    slice("hello", "0,ffffffffffffffff", "lhello");
    slice("hello", "0,4", "mhell");
    slice("hello", "4,1", "lo");
    slice("hello", "5,1", "l");
    slice("hello", "1,0", "m");
    slice("", "0,10", "l");
    slice("a#b*c", "0,4",
          "ma}\x03"
          "b}\n");
}

Test(annex, bad_slices_leave_nothing)
{
    static const char *const bad[] = {
        "6,1",  "ffffffffffffffff,1", "", "0", "0,", ",1", "0,1,", "0,1x",
        "-1,1", "11111111111111111,1"};

    for (size_t i = 0; i < AX_ARRAY_LEN(bad); i++) {
        cr_assert_eq(slice_of("hello", 5, bad[i]), -EINVAL, "%s", bad[i]);
        cr_assert_eq(packet.len, 1);
    }
}

/* As gdb reads a long document: it goes on where the data before ended. */
static void read_all(const char *text, size_t size)
{
    static struct ax_packet_reader reader;
    size_t at = 0;
    bool last = false;

    ax_packet_reader_init(&reader);
    while (!last) {
        enum ax_packet_event event;
        char range[40];

        snprintf(range, sizeof(range), "%zx,ffff", at);
        cr_assert_eq(slice_of(text, size, range), 0);
        ax_packet_end(&packet, false);
        cr_assert_eq(ax_packet_read(&reader, (uint8_t *)packet.bytes,
                                    packet.len, &event),
                     packet.len);
        cr_assert_eq(event, AX_PACKET_DATA);
        cr_assert(reader.len > 1);
        cr_assert_leq(at + reader.len - 1, size);
        cr_assert_arr_eq(reader.data + 1, text + at, reader.len - 1);
        at += reader.len - 1;
        last = reader.data[0] == 'l';
        cr_assert(last || reader.data[0] == 'm');
    }
    cr_assert_eq(at, size);
}

Test(annex, a_long_text_comes_in_slices)
{
    enum { SIZE = 5 * AX_PACKET_MAX / 2 };
    char *text = malloc(SIZE);

    cr_assert_not_null(text);
    memset(text, 'x', SIZE);
    read_all(text, SIZE);
    memset(text, '}', SIZE);
    read_all(text, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)i;
    read_all(text, SIZE);
    /* Exactly one packet, and one character more. */
    memset(text, 'x', SIZE);
    read_all(text, AX_PACKET_MAX - 1);
    cr_assert_eq(slice_of(text, AX_PACKET_MAX - 1, "0,ffff"), 0);
    cr_assert_eq(packet.bytes[1], 'l');
    cr_assert_eq(slice_of(text, AX_PACKET_MAX, "0,ffff"), 0);
    cr_assert_eq(packet.bytes[1], 'm');
    free(text);
}
