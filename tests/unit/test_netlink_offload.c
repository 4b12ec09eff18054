/*
 * test_netlink_offload.c - checksums, segments, fragments and MSS against sums
 * that are made the slow way, and headers that lie.
 */
#include "devices/netlink_parts.h"

#include <criterion/criterion.h>
#include <string.h>

enum { MOST = 66000 };

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, unsigned val)
{
    at[0] = (uint8_t)(val >> 8);
    at[1] = (uint8_t)val;
}

static unsigned sum16(const uint8_t *at, size_t len, unsigned sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? at[i] : (unsigned)at[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* What stands before an IP header: Ethernet, with this many VLAN tags. */
static size_t put_ethernet(uint8_t *at, unsigned vlans, unsigned type)
{
    memset(at, 2, 12);
    at += 12;
    for (unsigned i = 0; i < vlans; i++, at += 4) {
        put16(at, i + 1 < vlans ? 0x88a8 : 0x8100);
        put16(at + 2, i);
    }
    put16(at, type);
    return 14 + 4 * (size_t)vlans;
}

/* A segment with option words of no meaning in both headers. */
static size_t make(uint8_t *frame, bool v6, unsigned vlans, unsigned options,
                   size_t payload)
{
    const size_t ip = put_ethernet(frame, vlans, v6 ? 0x86dd : 0x0800);
    const size_t ip_len = v6 ? 40 : 20 + 4 * (size_t)options;
    const size_t tcp = ip + ip_len;
    const size_t head = tcp + 20 + 4 * (size_t)options;

    for (size_t i = ip; i < head + payload; i++)
        frame[i] = (uint8_t)(i * 11);
    frame[ip] = v6 ? 0x60 : (uint8_t)(0x45 + options);
    if (v6) {
        frame[ip + 6] = 6;
    } else {
        put16(frame + ip + 6, 0x4000);
        frame[ip + 9] = 6;
        memset(frame + ip + 20, 1, 4 * (size_t)options);
    }
    frame[tcp + 12] = (uint8_t)((5 + options) << 4);
    frame[tcp + 13] = 0x10;
    memset(frame + tcp + 20, 1, 4 * (size_t)options);
    return head + payload;
}

static void expect_complete(const uint8_t *frame, size_t len,
                            const struct ax_netlink_tcp *t)
{
    const uint8_t *ip = frame + t->ip;
    const unsigned bytes = (unsigned)(len - t->tcp);
    const unsigned pseudo =
        t->v6 ? sum16(ip + 8, 32, 6 + bytes) : sum16(ip + 12, 8, 6 + bytes);

    cr_assert_eq(sum16(frame + t->tcp, bytes, pseudo), 0xffff);
    if (t->v6) {
        cr_assert_eq(get16(ip + 4), bytes);
        return;
    }
    cr_assert_eq(get16(ip + 2), len - t->ip);
    cr_assert_eq(sum16(ip, t->tcp - t->ip, 0), 0xffff);
}

Test(netlink_offload, completes_segments_of_any_size)
{
    static uint8_t frame[MOST];

    for (unsigned kind = 0; kind < 12; kind++) {
        const bool v6 = kind & 1;
        const unsigned vlans = kind / 2 % 3, options = kind / 6 * 5;

        for (size_t payload = 0; payload < 65000; payload = payload * 3 + 1) {
            const size_t len = make(frame, v6, vlans, options, payload);
            struct ax_netlink_tcp t;

            cr_assert(ax_netlink_find_tcp(frame, len, &t));
            cr_assert_eq(t.v6, v6);
            cr_assert_eq(len - t.payload, payload);
            ax_netlink_complete(frame, len, &t);
            expect_complete(frame, len, &t);
        }
    }
}

Test(netlink_offload, segments_are_complete_and_hold_all)
{
    static uint8_t frame[MOST], out[MOST];
    static const unsigned sizes[] = {48, 999, 1000, 1448, 65000};

    for (unsigned kind = 0; kind < 2 * AX_ARRAY_LEN(sizes); kind++) {
        const unsigned size = sizes[kind / 2];
        const size_t len = make(frame, kind & 1, kind % 3, 3, 5000);
        struct ax_netlink_tcp t;
        struct iovec payload;
        size_t done = 0;
        unsigned count;

        cr_assert(ax_netlink_find_tcp(frame, len, &t));
        count = ax_netlink_segments(len, &t, size);
        cr_assert_eq(count, (5000 + size - 1) / size);
        for (unsigned n = 0; n < count; n++) {
            ax_netlink_segment(frame, len, &t, size, n, out, &payload);
            cr_assert_eq(payload.iov_base, frame + t.payload + done);
            cr_assert_leq(payload.iov_len, size);
            memcpy(out + t.payload, payload.iov_base, payload.iov_len);
            expect_complete(out, t.payload + payload.iov_len, &t);
            done += payload.iov_len;
        }
        cr_assert_eq(done, 5000);
    }
}

Test(netlink_offload, a_sum_left_undone_is_the_pseudo_header_s)
{
    static uint8_t frame[MOST];

    for (unsigned v6 = 0; v6 < 2; v6++) {
        const size_t len = make(frame, v6, 0, 2, 3001);
        struct ax_netlink_tcp t;
        struct virtio_net_hdr_v1 hdr = {
            .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
            .csum_offset = 16,
        };

        cr_assert(ax_netlink_find_tcp(frame, len, &t));
        ax_netlink_complete(frame, len, &t);
        ax_netlink_uncomplete(frame, len, &t);
        hdr.csum_start = (uint16_t)t.tcp;
        cr_assert(ax_netlink_check(&hdr, len, AX_NETLINK_CSUM));
        ax_netlink_finish(&hdr, frame, len);
        expect_complete(frame, len, &t);
    }
}

/* 0 says to UDP that there is none. */
Test(netlink_offload, a_sum_of_nothing_is_written_in_its_other_form)
{
    uint8_t frame[64] = {[20] = 0xff, [21] = 0xff};
    const struct virtio_net_hdr_v1 hdr = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = 20,
        .csum_offset = 6,
    };

    ax_netlink_finish(&hdr, frame, sizeof(frame));
    cr_assert_eq(get16(frame + 26), 0xffff);
}

/* A segment, but for one field of its headers. */
static void expect_no_tcp(unsigned vlans, size_t payload, size_t at,
                          unsigned val, const char *why)
{
    uint8_t frame[256];
    struct ax_netlink_tcp t;
    const size_t len = make(frame, false, vlans, 0, payload);

    cr_assert(ax_netlink_find_tcp(frame, len, &t), "%s", why);
    put16(frame + at, val);
    cr_assert_not(ax_netlink_find_tcp(frame, len, &t), "%s", why);
}

Test(netlink_offload, headers_that_lie_are_no_tcp)
{
    static uint8_t frame[MOST];
    struct ax_netlink_tcp t;

    for (size_t len = 0; len < 54; len++) {
        make(frame, false, 0, 0, 0);
        cr_assert_not(ax_netlink_find_tcp(frame, len, &t), "%zu", len);
        make(frame, true, 0, 0, 0);
        cr_assert_not(ax_netlink_find_tcp(frame, len, &t), "%zu", len);
    }
    expect_no_tcp(0, 100, 14, 0x4400, "a header too short");
    expect_no_tcp(0, 100, 14, 0x6500, "another version");
    expect_no_tcp(0, 100, 20, 0x2000, "a fragment");
    expect_no_tcp(0, 100, 20, 0x0001, "its rest");
    expect_no_tcp(0, 100, 22, 0x4011, "UDP");
    expect_no_tcp(0, 4, 46, 0x4010, "TCP too short");
    expect_no_tcp(0, 4, 46, 0xf010, "TCP too long");
    expect_no_tcp(2, 100, 20, 0x8100, "three VLANs");
}

/* ---- MSS ---- */

static size_t make_syn(uint8_t *frame, const uint8_t options[12])
{
    const size_t len = make(frame, false, 0, 3, 0);
    struct ax_netlink_tcp t;

    /* The IP header's options go, so that all is where one looks for it. */
    memmove(frame + 34, frame + 46, len - 46);
    frame[14] = 0x45;
    frame[47] = 0x02;
    memcpy(frame + 54, options, 12);
    cr_assert(ax_netlink_find_tcp(frame, len - 12, &t));
    ax_netlink_complete(frame, len - 12, &t);
    return len - 12;
}

Test(netlink_offload, raises_the_mss_of_a_syn)
{
    static const uint8_t options[][12] = {
        {2, 4, 0x05, 0xb4, 1, 1, 1, 1, 1, 1, 1, 1},
        {1, 1, 4, 2, 3, 3, 7, 1, 2, 4, 0x05, 0xb4},
    };
    uint8_t frame[128];
    struct ax_netlink_tcp t;

    for (size_t i = 0; i < AX_ARRAY_LEN(options); i++) {
        const size_t len = make_syn(frame, options[i]);
        const size_t at = i ? 64 : 56;

        cr_assert(ax_netlink_find_tcp(frame, len, &t));
        cr_assert(ax_netlink_raise_mss(frame, len, &t, 60000));
        cr_assert_eq(get16(frame + at), 60000);
        expect_complete(frame, len, &t);
        cr_assert_not(ax_netlink_raise_mss(frame, len, &t, 1000), "lowers it");
        frame[47] = 0x10;
        cr_assert_not(ax_netlink_raise_mss(frame, len, &t, 61000), "no SYN");
    }
}

Test(netlink_offload, options_that_lie_have_no_mss)
{
    static const uint8_t options[][12] = {
        {0, 0, 2, 4, 1, 1},
        {2, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
        {3, 0, 2, 4, 1, 1},
        {3, 1, 2, 4, 1, 1},
        {3, 200, 2, 4, 1, 1},
        {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4},
        {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2},
    };
    uint8_t frame[128];
    struct ax_netlink_tcp t;

    for (size_t i = 0; i < AX_ARRAY_LEN(options); i++) {
        const size_t len = make_syn(frame, options[i]);

        cr_assert(ax_netlink_find_tcp(frame, len, &t));
        cr_assert_not(ax_netlink_raise_mss(frame, len, &t, 60000), "%zu", i);
    }
}

/* ---- fragments ---- */

Test(netlink_offload, fragments_hold_all)
{
    static uint8_t frame[MOST], all[MOST];
    const size_t len = 14 + 20 + 5003;
    uint8_t head[14 + 60];
    struct iovec payload;
    size_t size, done = 0;
    unsigned n = 0;

    put_ethernet(frame, 0, 0x0800);
    for (size_t i = 14; i < len; i++)
        frame[i] = (uint8_t)(i * 5);
    frame[14] = 0x45;
    put16(frame + 16, 5023);
    put16(frame + 20, 0x2000 | 100); /* itself one, with more to come */
    for (; (size = ax_netlink_fragment(frame, len, 1500, n, head, &payload));
         n++) {
        const unsigned flags = get16(head + 20);

        cr_assert_eq(size, 34);
        cr_assert_leq(payload.iov_len + 20, 1500);
        cr_assert_eq(get16(head + 16), 20 + payload.iov_len);
        cr_assert_eq(sum16(head + 14, 20, 0), 0xffff);
        cr_assert_eq((flags & 0x1fff) * 8, 800 + done);
        cr_assert(flags & 0x2000);
        memcpy(all + done, payload.iov_base, payload.iov_len);
        done += payload.iov_len;
    }
    cr_assert_eq(n, 4);
    cr_assert_eq(done, 5003);
    cr_assert_arr_eq(all, frame + 34, done);
}

Test(netlink_offload, the_last_fragment_is_the_last)
{
    static uint8_t frame[MOST];
    uint8_t head[14 + 60];
    struct iovec payload;

    put_ethernet(frame, 0, 0x0800);
    frame[14] = 0x45;
    put16(frame + 16, 2000);
    cr_assert(ax_netlink_fragment(frame, 2014, 1500, 0, head, &payload));
    cr_assert_eq(get16(head + 20), 0x2000);
    cr_assert(ax_netlink_fragment(frame, 2014, 1500, 1, head, &payload));
    cr_assert_eq(get16(head + 20), 185);
    cr_assert_not(ax_netlink_fragment(frame, 2014, 1500, 2, head, &payload));
    cr_assert_not(ax_netlink_fragment(frame, 2013, 1500, 0, head, &payload),
                  "it says that it is longer");
    cr_assert_not(ax_netlink_fragment(frame, 2014, 27, 0, head, &payload));
    frame[14] = 0x41;
    cr_assert_not(ax_netlink_fragment(frame, 2014, 1500, 0, head, &payload));
}
