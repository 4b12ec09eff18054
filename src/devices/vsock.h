/*
 * vsock.h - the streams of one guest's vsock, forwarded to Unix sockets in this
 * process (VIRTIO 1.2, 5.10). Knows packets, but no rings.
 *
 * The guest connects to the host's port P: we connect to the socket PATH_P. A
 * host program connects to PATH and sends "CONNECT P\n": we connect to the
 * guest's port P, and when the guest has accepted, answer "OK Q\n", Q being the
 * port it sees us at. From then on either is a stream.
 *
 * Everything is bounded: connections, and per connection the bytes that the
 * host has not taken, which is the credit that the guest was given. A packet
 * that cannot be sent yet is a flag of its connection.
 *
 * Used with the lock of the device, but for create, destroy and env.ready; on
 * the loop's thread, unless a function says otherwise.
 */
#ifndef AX_DEVICES_VSOCK_H
#define AX_DEVICES_VSOCK_H

#include "base.h"

#include <linux/virtio_vsock.h>
#include <sys/uio.h>

struct ax_log;
struct ax_loop;
struct ax_vsock;

enum {
    AX_VSOCK_CONNECTIONS = 1023,
    AX_VSOCK_CREDIT = 256 << 10, /* bytes that the guest may be ahead */
    AX_VSOCK_PATH = 107 - 11,    /* of PATH: a port has to fit behind */
    AX_VSOCK_BATCH = 16,         /* packets that are filled at once */
    AX_VSOCK_HOST = 2,           /* our CID */
    AX_VSOCK_HEADER = 44,        /* bytes of a packet's */
};

struct ax_vsock_env {
    struct ax_loop *loop;
    struct ax_log *log;
    uint64_t cid;         /* the guest's */
    const char *path;     /* at most AX_VSOCK_PATH bytes; copied */
    uint64_t patience_ns; /* for the guest's answer; 0: ten seconds */
    /* On the loop, without the lock: take it and call ax_vsock_work. */
    void (*ready)(void *ctx);
    void *ctx;
};

/*
 * Listens at env->path. 0 or -errno, which is logged with its cure. Takes no
 * client before ax_vsock_start.
 */
int ax_vsock_create(const struct ax_vsock_env *env, struct ax_vsock **out);

/*
 * Accepts NULL. Removes the socket. While the loop does not run. Waits a
 * second at most for host programs that are still taking bytes.
 */
void ax_vsock_destroy(struct ax_vsock *table);

/* The guest's driver is there. Any thread. */
void ax_vsock_start(struct ax_vsock *table);

/*
 * It is not any more: all streams end. What the guest had sent before is still
 * given to the host. Any thread.
 */
void ax_vsock_reset(struct ax_vsock *table);

/* The host has news. Packets may wait for the guest afterwards. */
void ax_vsock_work(struct ax_vsock *table);

/*
 * A packet from the guest with its payload, of which there are hdr->len bytes
 * in iov, or less: then the packet is a lie. False: not now, the guest has to
 * take answers first; nothing was done.
 */
bool ax_vsock_receive(struct ax_vsock *table,
                      const struct virtio_vsock_hdr *hdr,
                      const struct iovec *iov, unsigned count);

/* Buffers of the guest's for packets to it, and what came into them. */
struct ax_vsock_rx {
    unsigned count;
    size_t room[AX_VSOCK_BATCH]; /* bytes of payload that fit; not 0 */
    struct virtio_vsock_hdr hdr[AX_VSOCK_BATCH];
    unsigned iov_count;
    struct iovec iov[1024]; /* the room of all, in a row; may be changed */
};

/* How many buffers could be filled at once; 0: nothing waits. */
unsigned ax_vsock_wants(const struct ax_vsock *table);

/*
 * Fills the first buffers: their payload, and hdr. Returns how many; 0 does not
 * mean that nothing waits any more.
 */
unsigned ax_vsock_fill(struct ax_vsock *table, struct ax_vsock_rx *rx);

#endif
