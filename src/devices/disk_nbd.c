/*
 * disk_nbd.c - the client's side of the NBD protocol (the "fixed newstyle"
 * handshake and simple replies of its specification), on a socket that
 * somebody else has connected.
 *
 * Requests are sent as they come. Whoever sends takes replies meanwhile, so
 * that neither side waits for the other to read. A server that breaks the rules
 * or goes away is dead: everything fails from then on.
 */
#include "devices/disk_parts.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define NBD_MAGIC       UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define NBD_OPTION      UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define NBD_OPTION_SAYS UINT64_C(0x0003e889045565a9)

enum {
    FIXED_NEWSTYLE = 1,
    NO_ZEROES = 2,
    OPTION_GO = 7,
    SAYS_ACK = 1,
    SAYS_INFO = 3,
    SAYS_MAX = 4096, /* bytes of an answer to an option */
    ANSWERS_MAX = 16,
    INFO_EXPORT = 0,
    CMD_WRITE_ZEROES = 6,
    CMD_FLAG_NO_HOLE = 1 << 17,
    PIECE = 32 << 20, /* data of one request: more is refused */
};

struct disk_nbd {
    int sock;
    bool dead;
    uint64_t size;
    struct ax_disk_io *flying; /* in no order */
    struct ax_disk_io *ended;
};

/* ---- bytes ---- */

/* Waits for all of it. 0 or -errno. */
static int nbd_receive(const struct disk_nbd *nbd, struct iovec *iov,
                       unsigned count)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};

    while (message.msg_iovlen) {
        ssize_t n = recvmsg(nbd->sock, &message, MSG_WAITALL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -ECONNRESET;
        while (message.msg_iovlen && (size_t)n >= message.msg_iov->iov_len) {
            n -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + n;
            message.msg_iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static int nbd_receive_bytes(const struct disk_nbd *nbd, void *to, size_t size)
{
    return size ? nbd_receive(nbd, &(struct iovec){to, size}, 1) : 0;
}

/* ---- the handshake ---- */

struct greeting {
    uint64_t magic, option;
    uint16_t flags;
} __attribute__((packed));

struct option {
    uint32_t flags; /* the client's, only the first time */
    uint64_t magic;
    uint32_t option, size;
    uint32_t name; /* its length: the default export */
    uint16_t infos;
} __attribute__((packed));

struct answer {
    uint64_t magic;
    uint32_t option, type, size;
} __attribute__((packed));

struct export_info {
    uint16_t type;
    uint64_t size;
    uint16_t flags;
} __attribute__((packed));

static int nbd_greet(const struct disk_nbd *nbd)
{
    const struct option go = {
        .flags = htobe32(FIXED_NEWSTYLE | NO_ZEROES),
        .magic = htobe64(NBD_OPTION),
        .option = htobe32(OPTION_GO),
        .size = htobe32(6),
    };
    struct greeting greeting;
    int err = nbd_receive_bytes(nbd, &greeting, sizeof(greeting));

    if (err)
        return err;
    if (be64toh(greeting.magic) != NBD_MAGIC ||
        be64toh(greeting.option) != NBD_OPTION ||
        !(be16toh(greeting.flags) & FIXED_NEWSTYLE))
        return -EPROTO;
    if (send(nbd->sock, &go, sizeof(go), MSG_NOSIGNAL) != sizeof(go))
        return -ECONNRESET;
    return 0;
}

/* *more: there are further ones. */
static int nbd_hear(struct disk_nbd *nbd, bool *more)
{
    struct export_info info;
    struct answer answer;
    uint8_t data[SAYS_MAX];
    int err = nbd_receive_bytes(nbd, &answer, sizeof(answer));
    const uint32_t size = be32toh(answer.size);

    if (err)
        return err;
    if (be64toh(answer.magic) != NBD_OPTION_SAYS || size > sizeof(data))
        return -EPROTO;
    err = nbd_receive_bytes(nbd, data, size);
    if (err)
        return err;
    *more = be32toh(answer.type) == SAYS_INFO;
    if (!*more)
        return be32toh(answer.type) == SAYS_ACK ? 0 : -EPROTO;
    memcpy(&info, data, sizeof(info));
    if (size >= sizeof(info) && be16toh(info.type) == INFO_EXPORT)
        nbd->size = be64toh(info.size);
    return 0;
}

int ax_disk_nbd_create(int sock, struct disk_nbd **out)
{
    struct disk_nbd *nbd = calloc(1, sizeof(*nbd));
    bool more = true;
    int err;

    *out = nbd;
    if (!nbd) {
        close(sock);
        return -ENOMEM;
    }
    nbd->sock = sock;
    err = nbd_greet(nbd);
    for (unsigned i = 0; !err && more; i++)
        err = i < ANSWERS_MAX ? nbd_hear(nbd, &more) : -EPROTO;
    return err;
}

void ax_disk_nbd_destroy(struct disk_nbd *nbd)
{
    const struct nbd_request bye = {.magic = htobe32(NBD_REQUEST_MAGIC),
                                    .type = htobe32(NBD_CMD_DISC)};

    if (!nbd)
        return;
    (void)!send(nbd->sock, &bye, sizeof(bye), MSG_NOSIGNAL | MSG_DONTWAIT);
    close(nbd->sock);
    free(nbd);
}

uint64_t ax_disk_nbd_size(const struct disk_nbd *nbd)
{
    return nbd->size;
}

int ax_disk_nbd_fd(const struct disk_nbd *nbd)
{
    return nbd->sock;
}

/* ---- the end of requests ---- */

static void nbd_end(struct disk_nbd *nbd, struct ax_disk_io *io, int result)
{
    io->result = result;
    io->next = nbd->ended;
    nbd->ended = io;
}

/* The socket's end would be news for ever: something silent takes its place. */
static void nbd_die(struct disk_nbd *nbd)
{
    const int silence = eventfd(0, EFD_CLOEXEC);

    nbd->dead = true;
    if (silence < 0 || dup3(silence, nbd->sock, O_CLOEXEC) < 0)
        shutdown(nbd->sock, SHUT_RDWR);
    if (silence >= 0)
        close(silence);
    while (nbd->flying) {
        struct ax_disk_io *io = nbd->flying;

        nbd->flying = io->next;
        nbd_end(nbd, io, -EIO);
    }
}

static bool is_rw(const struct ax_disk_io *io)
{
    return io->op == AX_DISK_READ || io->op == AX_DISK_WRITE;
}

/* Of the request that io is for now. */
static uint64_t nbd_piece(const struct ax_disk_io *io)
{
    const uint64_t left = io->bytes - io->done;

    if (!is_rw(io))
        return io->op == AX_DISK_FLUSH ? 0 : io->bytes;
    return left < PIECE ? left : PIECE;
}

/* ---- out ---- */

static bool nbd_take_reply(struct disk_nbd *nbd);

/* Sends all of it; takes replies while the server takes nothing. */
static bool nbd_send(struct disk_nbd *nbd, struct iovec *iov, unsigned count)
{
    while (count && !nbd->dead) {
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
        struct pollfd poller = {nbd->sock, POLLIN | POLLOUT, 0};
        ssize_t n = sendmsg(nbd->sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (n < 0 && poll(&poller, 1, -1) > 0 && poller.revents & POLLIN)
            nbd_take_reply(nbd);
        for (; count && n >= (ssize_t)iov->iov_len; iov++, count--)
            n -= (ssize_t)iov->iov_len;
        if (count && n > 0) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return !nbd->dead;
}

static uint32_t nbd_command(const struct ax_disk_io *io)
{
    static const uint32_t commands[AX_DISK_OPS] = {
        [AX_DISK_READ] = NBD_CMD_READ,     [AX_DISK_WRITE] = NBD_CMD_WRITE,
        [AX_DISK_FLUSH] = NBD_CMD_FLUSH,   [AX_DISK_DISCARD] = NBD_CMD_TRIM,
        [AX_DISK_ZERO] = CMD_WRITE_ZEROES,
    };
    uint32_t command = commands[io->op];

    if (io->lasting)
        command |= NBD_CMD_FLAG_FUA;
    if (io->op == AX_DISK_ZERO && !io->unmap)
        command |= CMD_FLAG_NO_HOLE;
    return command;
}

static void nbd_ask(struct disk_nbd *nbd, struct ax_disk_io *io)
{
    const uint64_t bytes = nbd_piece(io);
    struct nbd_request request = {
        .magic = htobe32(NBD_REQUEST_MAGIC),
        .type = htobe32(nbd_command(io)),
        .from = htobe64(io->off + io->done),
        .len = htobe32((uint32_t)bytes),
    };
    const uint64_t handle = (uintptr_t)io;
    struct iovec iov[1 + 256] = {{&request, sizeof(request)}};
    unsigned count = 1;

    memcpy(request.handle, &handle, sizeof(handle));
    if (io->op == AX_DISK_WRITE)
        count += ax_disk_io_slice(io, bytes, iov + 1);
    io->next = nbd->flying;
    nbd->flying = io;
    if (!nbd_send(nbd, iov, count) && !nbd->dead)
        nbd_die(nbd);
}

void ax_disk_nbd_start(struct disk_nbd *nbd, struct ax_disk_io *io)
{
    if (nbd->dead)
        nbd_end(nbd, io, -EIO);
    else
        nbd_ask(nbd, io);
}

/* ---- in ---- */

/* Whose reply is it? It flies no more. NULL: nobody's. */
static struct ax_disk_io *nbd_land(struct disk_nbd *nbd,
                                   const struct nbd_reply *reply)
{
    struct ax_disk_io **at = &nbd->flying, *io;
    uint64_t handle;

    memcpy(&handle, reply->handle, sizeof(handle));
    while (*at && (uintptr_t)*at != handle)
        at = &(*at)->next;
    io = *at;
    if (io)
        *at = io->next;
    return io;
}

static int nbd_take_data(const struct disk_nbd *nbd,
                         const struct ax_disk_io *io)
{
    struct iovec iov[256];
    const unsigned count = ax_disk_io_slice(io, nbd_piece(io), iov);

    return nbd_receive(nbd, iov, count);
}

/* False: it is dead now. */
static bool nbd_take_reply(struct disk_nbd *nbd)
{
    struct nbd_reply reply;
    struct ax_disk_io *io = NULL;
    int result = nbd_receive_bytes(nbd, &reply, sizeof(reply));

    if (!result && be32toh(reply.magic) == NBD_REPLY_MAGIC)
        io = nbd_land(nbd, &reply);
    if (!io) {
        nbd_die(nbd);
        return false;
    }
    result = -(int)(be32toh(reply.error) & 0xfff);
    if (!result && io->op == AX_DISK_READ && nbd_take_data(nbd, io)) {
        nbd_end(nbd, io, -EIO);
        nbd_die(nbd);
        return false;
    }
    if (!result && is_rw(io))
        ax_disk_io_advance(io, nbd_piece(io));
    nbd_end(nbd, io, result);
    return true;
}

/* Does io go on with a further piece? */
static bool nbd_goes_on(const struct ax_disk_io *io)
{
    return !io->result && is_rw(io) && io->done < io->bytes;
}

struct ax_disk_io *ax_disk_nbd_take(struct disk_nbd *nbd, bool wait)
{
    struct ax_disk_io *io;
    struct pollfd poller = {.fd = nbd->sock, .events = POLLIN};

    for (;;) {
        while ((io = nbd->ended)) {
            nbd->ended = io->next;
            if (!nbd_goes_on(io))
                return io;
            ax_disk_nbd_start(nbd, io);
        }
        if (!nbd->flying || (!wait && poll(&poller, 1, 0) <= 0))
            return NULL;
        nbd_take_reply(nbd);
    }
}

int ax_disk_nbd_run(struct disk_nbd *nbd, struct ax_disk_io *io)
{
    io->done = 0;
    ax_disk_nbd_start(nbd, io);
    ax_disk_nbd_take(nbd, true);
    return io->result;
}
