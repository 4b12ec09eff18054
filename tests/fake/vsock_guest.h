/*
 * vsock_guest.h - a guest's half of vsock, on a virtio driver of
 * virtio_driver.h: sends any packet, and takes what comes. Keeps no
 * connections: what a packet says is the test's.
 */
#ifndef AX_TESTS_FAKE_VSOCK_GUEST_H
#define AX_TESTS_FAKE_VSOCK_GUEST_H

#include "devices/vsock.h"
#include "fake/virtio_driver.h"

enum {
    VSOCK_GUEST_CID = 3,
    VSOCK_GUEST_PAYLOAD = 64 << 10, /* of a packet that it sends, at most */
    VSOCK_GUEST_TX = 32,            /* packets on their way at most */
    VSOCK_GUEST_ROOM = 256 << 10,   /* buf_alloc, unless said otherwise */
};

struct vsock_guest {
    struct ax_driver d;
    unsigned rx_size;          /* bytes of each buffer, its header included */
    ax_gpa rx[AX_VIRTQ_SIZE];  /* by id */
    ax_gpa tx_first;           /* where the buffers of packets begin */
    ax_gpa tx[VSOCK_GUEST_TX]; /* free ones */
    unsigned tx_count;
    ax_gpa tx_used[AX_VIRTQ_SIZE]; /* by id */
};

/* A packet in the host's byte order. */
struct vsock_packet {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port, len;
    uint16_t type, op;
    uint32_t flags, room, took;
    const uint8_t *bytes; /* of a taken one: until the loop runs */
};

/*
 * A device for cid VSOCK_GUEST_CID and the socket at path, its driver with
 * these features. It gives rx_count buffers of rx_size bytes. What fails ends
 * the test.
 */
void vsock_guest_init(struct vsock_guest *g, const char *path,
                      uint64_t features, unsigned rx_count, unsigned rx_size);

/* The same for a device that works on this loop, which another thread runs
 * after that. */
void vsock_guest_init_on(struct vsock_guest *g, struct ax_loop *loop,
                         const char *path, unsigned rx_count, unsigned rx_size);

/* Starts the driver anew, as after a reset. */
void vsock_guest_start(struct vsock_guest *g, uint64_t features,
                       unsigned rx_count);
void vsock_guest_fini(struct vsock_guest *g);

/* One more buffer for packets. Does not notify. */
void vsock_guest_refill(struct vsock_guest *g);

/* A packet of this connection without payload, to be changed at will. */
struct vsock_packet vsock_guest_packet(uint32_t guest_port, uint32_t host_port,
                                       uint16_t op);

/*
 * Sends it, with len bytes, or what the last argument says is there. Waits for
 * room in the queue; false: there was none within 20 seconds.
 */
bool vsock_guest_send(struct vsock_guest *g, const struct vsock_packet *p);
bool vsock_guest_send_lie(struct vsock_guest *g, const struct vsock_packet *p,
                          uint32_t there);

/* The same, if there is room now. */
bool vsock_guest_try_send(struct vsock_guest *g, const struct vsock_packet *p,
                          uint32_t there);

/* The next packet that has come; false: there is none. Its buffer goes back. */
bool vsock_guest_take(struct vsock_guest *g, struct vsock_packet *p);

/* The same, and keeps the buffer. */
bool vsock_guest_keep(struct vsock_guest *g, struct vsock_packet *p);

/* Waits for it, 20 seconds at most. */
bool vsock_guest_wait(struct vsock_guest *g, struct vsock_packet *p);

#endif
