/*
 * netlink_offload.c - checksums and segmentation that a card has left to its
 * host (VIRTIO 1.2, 5.1.6.2), for hosts' ends that do neither: RFC 1071, 9293,
 * 791, 8200. Frames are in memory of ours, so what was looked at stays.
 */
#include "devices/netlink_parts.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

/* Offsets into headers, and their sizes. */
enum {
    ETH_TYPE = 12,
    VLAN_BYTES = 4,
    VLANS_MAX = 2,
    IP4_TOTAL = 2,
    IP4_ID = 4,
    IP4_FRAGMENT = 6, /* flags and offset */
    IP4_PROTOCOL = 9,
    IP4_SUM = 10,
    IP4_ADDRESSES = 12,
    IP4_BYTES = 20,
    IP4_MF = 0x2000,
    IP4_OFFSET = 0x1fff,
    IP6_LENGTH = 4,
    IP6_NEXT = 6,
    IP6_ADDRESSES = 8,
    IP6_BYTES = 40,
    TCP_SEQ = 4,
    TCP_DATA = 12,
    TCP_FLAGS = 13,
    TCP_SUM = 16,
    TCP_BYTES = 20,
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_PSH = 0x08,
    TCP_CWR = 0x80,
    TCP_OPTION_END = 0,
    TCP_OPTION_NOP = 1,
    TCP_OPTION_MSS = 2,
};

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, unsigned val)
{
    at[0] = (uint8_t)(val >> 8);
    at[1] = (uint8_t)val;
}

/* ---- sums: of 16-bit words as they lie in memory, not yet folded ---- */

static uint64_t sum_add(uint64_t sum, const uint8_t *at, size_t len)
{
    uint32_t word[4];
    uint16_t last[2] = {0};

    /* A 64-bit sum of 32-bit words cannot overflow over one frame. */
    for (; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
        memcpy(word, at, sizeof(word));
        sum += (uint64_t)word[0] + word[1];
        sum += (uint64_t)word[2] + word[3];
    }
    for (; len >= 4; at += 4, len -= 4) {
        memcpy(word, at, 4);
        sum += word[0];
    }
    memcpy(last, at, len);
    return sum + last[0] + last[1];
}

static uint16_t sum_fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)(sum + (sum >> 16));
}

/* No sum at all is what 0 says to UDP; its other form says the same to all. */
static void sum_store(uint8_t *at, uint64_t sum)
{
    uint16_t val = (uint16_t)~sum_fold(sum);

    if (!val)
        val = 0xffff;
    memcpy(at, &val, sizeof(val));
}

static uint64_t sum_pseudo(const uint8_t *ip, bool v6, size_t bytes)
{
    const uint64_t rest = (uint64_t)htonl((uint32_t)bytes) + htonl(IPPROTO_TCP);

    return v6 ? sum_add(rest, ip + IP6_ADDRESSES, 32)
              : sum_add(rest, ip + IP4_ADDRESSES, 8);
}

/* ---- headers of a card ---- */

static bool check_gso(const struct virtio_net_hdr_v1 *hdr, unsigned allowed)
{
    const unsigned type = hdr->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;
    const unsigned needs = type == VIRTIO_NET_HDR_GSO_TCPV4   ? AX_NETLINK_TSO4
                           : type == VIRTIO_NET_HDR_GSO_TCPV6 ? AX_NETLINK_TSO6
                                                              : 0;

    if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE)
        return true;
    if ((hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN) && !(allowed & AX_NETLINK_ECN))
        return false;
    return (allowed & needs) && hdr->gso_size >= AX_NETLINK_GSO_SIZE_MIN &&
           (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

bool ax_netlink_check(const struct virtio_net_hdr_v1 *hdr, size_t len,
                      unsigned allowed)
{
    const size_t end = (size_t)hdr->csum_start + hdr->csum_offset + 2;

    if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
        (!(allowed & AX_NETLINK_CSUM) || end > len))
        return false;
    return check_gso(hdr, allowed);
}

void ax_netlink_finish(const struct virtio_net_hdr_v1 *hdr, uint8_t *frame,
                       size_t len)
{
    const size_t start = hdr->csum_start;

    if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        sum_store(frame + start + hdr->csum_offset,
                  sum_add(0, frame + start, len - start));
}

/* ---- TCP ---- */

static size_t skip_vlans(const uint8_t *frame, size_t len, unsigned *type)
{
    size_t at = ETH_TYPE;

    *type = get16(frame + at);
    for (unsigned i = 0; i < VLANS_MAX; i++) {
        if ((*type != ETH_P_8021Q && *type != ETH_P_8021AD) ||
            at + VLAN_BYTES + 2 > len)
            break;
        at += VLAN_BYTES;
        *type = get16(frame + at);
    }
    return at + 2;
}

/* The size of the IP header before a whole TCP segment, 0: it is none. */
static size_t ip_header(const uint8_t *ip, size_t len, unsigned type, bool *v6)
{
    size_t bytes;

    *v6 = type == ETH_P_IPV6;
    if (*v6)
        return len >= IP6_BYTES && ip[0] >> 4 == 6 &&
                       ip[IP6_NEXT] == IPPROTO_TCP
                   ? IP6_BYTES
                   : 0;
    if (type != ETH_P_IP || len < IP4_BYTES || ip[0] >> 4 != 4)
        return 0;
    bytes = (ip[0] & 15U) * 4;
    return bytes >= IP4_BYTES && bytes <= len &&
                   ip[IP4_PROTOCOL] == IPPROTO_TCP &&
                   !(get16(ip + IP4_FRAGMENT) & (IP4_MF | IP4_OFFSET))
               ? bytes
               : 0;
}

bool ax_netlink_find_tcp(const uint8_t *frame, size_t len,
                         struct ax_netlink_tcp *out)
{
    unsigned type;
    size_t bytes;

    if (len < AX_NETLINK_FRAME_MIN)
        return false;
    out->ip = skip_vlans(frame, len, &type);
    bytes = ip_header(frame + out->ip, len - out->ip, type, &out->v6);
    out->tcp = out->ip + bytes;
    if (!bytes || len - out->tcp < TCP_BYTES)
        return false;
    bytes = (frame[out->tcp + TCP_DATA] >> 4) * 4U;
    out->payload = out->tcp + bytes;
    return bytes >= TCP_BYTES && out->payload <= len &&
           len - out->ip <= UINT16_MAX;
}

/* The IP header of a frame of len bytes in all. */
static void ip_set_length(uint8_t *ip, bool v6, size_t header, size_t len)
{
    if (v6) {
        put16(ip + IP6_LENGTH, (unsigned)(len - header));
        return;
    }
    put16(ip + IP4_TOTAL, (unsigned)len);
    put16(ip + IP4_SUM, 0);
    sum_store(ip + IP4_SUM, sum_add(0, ip, header));
}

/* Of a segment whose head and payload are apart. */
static void tcp_set_sum(uint8_t *head, const struct ax_netlink_tcp *tcp,
                        const struct iovec *payload)
{
    const size_t head_len = tcp->payload - tcp->tcp;
    uint64_t sum =
        sum_pseudo(head + tcp->ip, tcp->v6, head_len + payload->iov_len);

    put16(head + tcp->tcp + TCP_SUM, 0);
    sum = sum_add(sum, head + tcp->tcp, head_len);
    sum = sum_add(sum, payload->iov_base, payload->iov_len);
    sum_store(head + tcp->tcp + TCP_SUM, sum);
}

void ax_netlink_complete(uint8_t *frame, size_t len,
                         const struct ax_netlink_tcp *tcp)
{
    const struct iovec payload = {frame + tcp->payload, len - tcp->payload};

    ip_set_length(frame + tcp->ip, tcp->v6, tcp->tcp - tcp->ip, len - tcp->ip);
    tcp_set_sum(frame, tcp, &payload);
}

void ax_netlink_uncomplete(uint8_t *head, size_t len,
                           const struct ax_netlink_tcp *tcp)
{
    const uint16_t sum =
        sum_fold(sum_pseudo(head + tcp->ip, tcp->v6, len - tcp->tcp));

    memcpy(head + tcp->tcp + TCP_SUM, &sum, sizeof(sum));
}

unsigned ax_netlink_segments(size_t len, const struct ax_netlink_tcp *tcp,
                             unsigned gso_size)
{
    const size_t bytes = len - tcp->payload;

    return bytes ? (unsigned)((bytes + gso_size - 1) / gso_size) : 1;
}

static void tcp_advance(uint8_t *tcp, uint32_t bytes, bool first, bool last)
{
    uint32_t seq;

    memcpy(&seq, tcp + TCP_SEQ, sizeof(seq));
    seq = htonl(ntohl(seq) + bytes);
    memcpy(tcp + TCP_SEQ, &seq, sizeof(seq));
    if (!first)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    if (!last)
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
}

void ax_netlink_segment(const uint8_t *frame, size_t len,
                        const struct ax_netlink_tcp *tcp, unsigned gso_size,
                        unsigned n, uint8_t *head, struct iovec *payload)
{
    const size_t done = (size_t)n * gso_size;
    const size_t left = len - tcp->payload - done;
    const size_t bytes = left < gso_size ? left : gso_size;
    uint8_t *ip = head + tcp->ip;

    memcpy(head, frame, tcp->payload);
    payload->iov_base = (void *)(uintptr_t)(frame + tcp->payload + done);
    payload->iov_len = bytes;
    if (!tcp->v6)
        put16(ip + IP4_ID, get16(ip + IP4_ID) + n);
    ip_set_length(ip, tcp->v6, tcp->tcp - tcp->ip,
                  tcp->payload - tcp->ip + bytes);
    tcp_advance(head + tcp->tcp, (uint32_t)done, !n, left <= gso_size);
    tcp_set_sum(head, tcp, payload);
}

/* The value of the MSS option, NULL: there is none. */
static uint8_t *tcp_find_mss(uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != TCP_OPTION_END) {
        size_t len = 1;

        if (*at != TCP_OPTION_NOP) {
            if (end - at < 2 || at[1] < 2 || at[1] > end - at)
                return NULL;
            len = at[1];
        }
        if (*at == TCP_OPTION_MSS && len == 4)
            return at + 2;
        at += len;
    }
    return NULL;
}

bool ax_netlink_raise_mss(uint8_t *frame, size_t len,
                          const struct ax_netlink_tcp *tcp, unsigned mss)
{
    uint8_t *option;

    if (!(frame[tcp->tcp + TCP_FLAGS] & TCP_SYN))
        return false;
    option = tcp_find_mss(frame + tcp->tcp + TCP_BYTES, frame + tcp->payload);
    if (!option || get16(option) >= mss)
        return false;
    put16(option, mss);
    ax_netlink_complete(frame, len, tcp);
    return true;
}

/* ---- IPv4 fragments ---- */

size_t ax_netlink_fragment(const uint8_t *frame, size_t len, unsigned mtu,
                           unsigned n, uint8_t head[14 + 60],
                           struct iovec *payload)
{
    const uint8_t *ip = frame + ETH_HLEN;
    size_t header, total, room, done, left;
    unsigned flags;

    if (len < ETH_HLEN + IP4_BYTES || get16(frame + ETH_TYPE) != ETH_P_IP)
        return 0;
    header = (ip[0] & 15U) * 4;
    total = get16(ip + IP4_TOTAL);
    if (header < IP4_BYTES || total < header || total > len - ETH_HLEN ||
        mtu < header + 8)
        return 0;
    room = (mtu - header) & ~(size_t)7;
    done = n * room;
    if (done >= total - header)
        return 0;
    left = total - header - done;
    flags = get16(ip + IP4_FRAGMENT) + (unsigned)(done / 8);
    payload->iov_base = (void *)(uintptr_t)(ip + header + done);
    payload->iov_len = left < room ? left : room;
    memcpy(head, frame, ETH_HLEN + header);
    put16(head + ETH_HLEN + IP4_FRAGMENT, left > room ? flags | IP4_MF : flags);
    ip_set_length(head + ETH_HLEN, false, header, header + payload->iov_len);
    return ETH_HLEN + header;
}
