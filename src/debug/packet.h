/*
 * packet.h - packets of the GDB remote serial protocol: "$DATA#SUM" (GDB
 * manual, appendix E.1). Pure: bytes in, packets out, and back.
 */
#ifndef AX_DEBUG_PACKET_H
#define AX_DEBUG_PACKET_H

#include "base.h"

/* Of a packet's data as it is sent, in both directions: gdb takes no more. */
enum { AX_PACKET_MAX = 16384 };

/* ---- what comes in ---- */

enum ax_packet_event {
    AX_PACKET_MORE,      /* nothing complete yet */
    AX_PACKET_DATA,      /* a packet: data, len */
    AX_PACKET_ACK,       /* '+' */
    AX_PACKET_NAK,       /* '-': it wants the last one again */
    AX_PACKET_INTERRUPT, /* 0x03 outside of a packet: Ctrl-C */
    AX_PACKET_BAD,       /* a wrong sum: to be sent again */
    AX_PACKET_TOO_LONG,  /* dropped; the sum was not looked at */
};

struct ax_packet_reader {
    char data[AX_PACKET_MAX + 1]; /* unescaped, with a 0 behind */
    size_t len;
    unsigned state; /* ours, like all below */
    uint8_t sum;
    uint8_t told;
    bool check; /* the sum counts (not after QStartNoAckMode) */
    bool too_long;
};

void ax_packet_reader_init(struct ax_packet_reader *reader);

/*
 * Takes bytes up to the end of the first event, and returns how many; call it
 * until all are taken. After AX_PACKET_DATA data and len are the packet's until
 * the next call; escapes (0x7d) are resolved. Bytes outside of packets that
 * mean nothing are skipped.
 */
size_t ax_packet_read(struct ax_packet_reader *reader, const uint8_t *bytes,
                      size_t count, enum ax_packet_event *event);

/* ---- what goes out ---- */

/*
 * A packet under construction. A piece that does not fit is dropped, with all
 * that come after it, and full is set; whoever builds it asks ax_packet_room
 * before.
 */
struct ax_packet {
    char bytes[2 * AX_PACKET_MAX + 8]; /* '$', data, '#', two digits */
    size_t len;                        /* of all bytes so far */
    bool full;
};

void ax_packet_begin(struct ax_packet *packet);

/* Characters that still fit, of AX_PACKET_MAX. */
size_t ax_packet_room(const struct ax_packet *packet);

/* As it is: no '$', '#', '}' or '*' may be in it. */
void ax_packet_text(struct ax_packet *packet, const char *text);
void ax_packet_format(struct ax_packet *packet, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Two digits per byte; in memory's order. */
void ax_packet_hex(struct ax_packet *packet, const void *bytes, size_t count);

/* How many of count bytes fit, escaped, with spare characters left behind. */
size_t ax_packet_fits(const struct ax_packet *packet, const void *bytes,
                      size_t count, size_t spare);

/* Escaped; returns how many of count fitted. Fewer do not make it full. */
size_t ax_packet_binary(struct ax_packet *packet, const void *bytes,
                        size_t count);

/*
 * Adds '#' and the sum. Runs of four and more equal characters become shorter
 * (run-length encoding) where runs is set: not for what gdb takes for binary
 * data with "*" in it, escaped as it must be.
 */
void ax_packet_end(struct ax_packet *packet, bool runs);

/* ---- the pieces of a packet ---- */

/* A position in a packet's data; never goes past end. */
struct ax_packet_scan {
    const char *at, *end;
};

/* Is text (or c) next? It is taken. */
bool ax_packet_take(struct ax_packet_scan *scan, const char *text);
bool ax_packet_take_char(struct ax_packet_scan *scan, char c);

/* A number in hexadecimal digits, one at least, at most 16. False: none such,
 * nothing is taken. */
bool ax_packet_take_number(struct ax_packet_scan *scan, uint64_t *out);

/* A thread's number, as the last but not more than INT_MAX, or "-1": all. */
bool ax_packet_take_thread(struct ax_packet_scan *scan, int *out);

/* Exactly count bytes as 2 * count digits. False: others; nothing is taken. */
bool ax_packet_take_hex(struct ax_packet_scan *scan, void *bytes, size_t count);

/* All digits that come, as text with a 0 behind. False: half a byte, no text
 * (a 0 in it), or too long; nothing is taken. */
bool ax_packet_take_text(struct ax_packet_scan *scan, char *out, size_t size);

/* Splits a list: what comes before the next c, or all there is; c is taken and
 * in neither. False: nothing is left. */
bool ax_packet_take_piece(struct ax_packet_scan *scan, char c,
                          struct ax_packet_scan *piece);

/* How many of the next characters are hexadecimal digits. */
size_t ax_packet_digits(const struct ax_packet_scan *scan);

#endif
