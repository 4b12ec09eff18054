/*
 * vsock_parts.h - connections, as the files of vsock share them. Private to
 * vsock*.c.
 */
#ifndef AX_DEVICES_VSOCK_PARTS_H
#define AX_DEVICES_VSOCK_PARTS_H

#include "devices/vsock.h"

#include <sys/queue.h>

enum vsock_state {
    VSOCK_FREE,
    VSOCK_GREETING,  /* a host program has still to say where it wants to */
    VSOCK_REQUESTED, /* the guest has still to accept */
    VSOCK_OPEN,
    VSOCK_GONE, /* for the guest; the host may still get bytes */
};

/* Packets that wait to be sent, in their order. */
enum vsock_flags {
    VSOCK_SEND_RST = 1 << 0, /* alone: a connection has no other then */
    VSOCK_SEND_REQUEST = 1 << 1,
    VSOCK_SEND_RESPONSE = 1 << 2,
    VSOCK_SEND_SHUTDOWN = 1 << 3,
    VSOCK_SEND_ASK = 1 << 4, /* CREDIT_REQUEST */
    VSOCK_SEND_CREDIT = 1 << 5,
};

enum {
    VSOCK_LINE = 32, /* longer than any CONNECT */
    VSOCK_BUCKETS = 256,
    VSOCK_RESETS = 64,
};

struct vsock_conn {
    struct ax_vsock *table;
    enum vsock_state state;
    int fd;
    struct ax_watch *watch;
    uint32_t guest_port, host_port;
    unsigned flags;
    bool hashed, queued;
    TAILQ_ENTRY(vsock_conn) in_queue; /* of those with something to send */
    LIST_ENTRY(vsock_conn) in_list;   /* of its bucket, or of the free */

    /* Host to guest. */
    bool readable;   /* the host has bytes or its end for us */
    bool deaf;       /* ... and need not say so again */
    bool asked;      /* for credit, since there was some */
    bool host_ended; /* it sends no more */
    unsigned burst;  /* buffers that its next bytes may fill */
    uint32_t sent;   /* these, and the guest's two, wrap */
    uint32_t guest_room, guest_took;

    /* Guest to host. */
    unsigned guest_ended; /* VIRTIO_VSOCK_SHUTDOWN_* */
    uint32_t took;        /* bytes that the host has got */
    uint32_t took_told;   /* ... as the guest knows */
    uint8_t *buf;         /* AX_VSOCK_CREDIT bytes, NULL while it is empty */
    size_t buf_start, buf_used;

    uint64_t deadline_ns; /* of REQUESTED */
    unsigned line_used;   /* of GREETING */
    char line[VSOCK_LINE];
};

LIST_HEAD(vsock_list, vsock_conn);
TAILQ_HEAD(vsock_queue, vsock_conn);

/* An answer to a packet that belongs to no connection. */
struct vsock_answer {
    uint64_t host_cid; /* whom the guest took us for */
    uint32_t guest_port, host_port;
    uint16_t type;
};

struct ax_vsock {
    struct ax_vsock_env env;
    char path[AX_VSOCK_PATH + 1];
    bool running;
    int listener;
    struct ax_watch *watch; /* of the listener */
    struct ax_wake *wake;
    struct ax_timer *timer;
    uint64_t timer_ns; /* when it fires; 0: not at all */
    uint64_t pause_ns; /* no clients are taken before; 0: they are */
    uint32_t next_port;

    /* What ax_vsock_work is about; the loop's alone. */
    void (*todo)(struct ax_vsock *table);
    struct vsock_conn *about;
    unsigned events;

    struct vsock_queue queue;
    struct vsock_list free, buckets[VSOCK_BUCKETS];
    unsigned answer_count;
    struct vsock_answer answers[VSOCK_RESETS];
    struct vsock_conn conns[AX_VSOCK_CONNECTIONS];
};

/* ---- vsock.c ---- */

/*
 * For watches and the like, without the lock: todo is done with it. A reset on
 * another thread may come in between.
 */
void vsock_notify(struct ax_vsock *table, void (*todo)(struct ax_vsock *table));

struct vsock_conn *vsock_find(struct ax_vsock *table, uint32_t guest_port,
                              uint32_t host_port);

/*
 * A connection in state with fd, which it owns from now on, on failure as well.
 * NULL: there are no more, or no memory.
 */
struct vsock_conn *vsock_conn_create(struct ax_vsock *table,
                                     enum vsock_state state, int fd);

/* The guest knows it by these ports from now on. */
void vsock_conn_name(struct vsock_conn *c, uint32_t guest_port,
                     uint32_t host_port);

/* Queues it if it has something to send, and only then. */
void vsock_conn_schedule(struct vsock_conn *c);

/* Watches its socket for what can be used now. */
void vsock_conn_rearm(struct vsock_conn *c);

/*
 * It is over for the guest, which is told so with an RST if tell. The host
 * still gets what waits for it. c may be free afterwards.
 */
void vsock_conn_end(struct vsock_conn *c, bool tell);

/* The same, where nobody is there on the host's side any more. */
void vsock_conn_abort(struct vsock_conn *c);

/* Frees what is gone and has nothing to do any more. */
void vsock_conn_reap(struct vsock_conn *c);

/* ---- vsock_host.c: the door for host programs ---- */

int vsock_host_open(struct ax_vsock *table);
void vsock_host_close(struct ax_vsock *table);

/* Takes clients if there is room for them. */
void vsock_host_rearm(struct ax_vsock *table);

/* GREETING: more of its line has come. c may be free afterwards. */
void vsock_host_greet(struct vsock_conn *c);

/* The guest has accepted what a client asked for. The same. */
void vsock_host_accepted(struct vsock_conn *c);

/* ---- vsock_stream.c: what moves ---- */

/* Bytes that the guest has room for. */
uint32_t vsock_conn_credit(const struct vsock_conn *c);

/*
 * len bytes of the guest's for the host, which fit: to the socket, the rest to
 * the buffer. c may be free afterwards.
 */
void vsock_conn_give(struct vsock_conn *c, const struct iovec *iov,
                     unsigned count, size_t len);

/* The socket takes bytes again. The same. */
void vsock_conn_flush(struct vsock_conn *c);

/* Tells the host that the guest sends no more, once it has got all. */
void vsock_conn_pass_end(struct vsock_conn *c);

#endif
