/*
 * vhost.c - the ioctls of vhost, in their order.
 */
#include "devices/vhost.h"

#include "devices/loop.h"
#include "devices/virtio.h"
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum role { ROLE_NONE, ROLE_NET, ROLE_VSOCK };

struct ax_vhost {
    struct ax_virtio *v;
    int fd;
    int broken; /* eventfd: the kernel cannot read a queue */
    int kick[AX_VHOST_QUEUES];
    struct ax_watch *watch;
    uint64_t features;
    enum role running; /* what has to be undone to stop it */
    unsigned first, lent;
};

static int vhost_ioctl(const struct ax_vhost *vhost, unsigned long request,
                       const void *arg)
{
    return ioctl(vhost->fd, request, arg) < 0 ? -errno : 0;
}

/* ---- open, close ---- */

static void vhost_fail(struct ax_device *dev)
{
    ax_virtio_fail(ax_container_of(dev, struct ax_virtio, dev),
                   "the kernel (vhost) cannot make sense of a queue");
}

static void vhost_broken(void *ctx, unsigned events)
{
    struct ax_vhost *vhost = ctx;
    eventfd_t count;

    if (!eventfd_read(vhost->broken, &count))
        ax_device_call(&vhost->v->dev, vhost_fail);
}

static int vhost_open(struct ax_vhost *vhost, const char *path)
{
    int err;

    if (!ax_virtio_lends(vhost->v))
        return -EOPNOTSUPP;
    vhost->fd = open(path, O_RDWR | O_CLOEXEC);
    if (vhost->fd < 0)
        return -errno;
    err = vhost_ioctl(vhost, VHOST_SET_OWNER, NULL);
    if (!err)
        err = vhost_ioctl(vhost, VHOST_GET_FEATURES, &vhost->features);
    if (err)
        return err;
    vhost->broken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vhost->broken < 0)
        return -errno;
    return ax_watch_create(vhost->v->dev.env.loop, vhost->broken, AX_LOOP_READ,
                           vhost_broken, vhost, &vhost->watch);
}

int ax_vhost_create(struct ax_virtio *v, const char *path,
                    struct ax_vhost **out)
{
    struct ax_vhost *vhost = calloc(1, sizeof(*vhost));
    int err;

    *out = NULL;
    if (!vhost)
        return -ENOMEM;
    vhost->v = v;
    vhost->fd = vhost->broken = -1;
    for (unsigned i = 0; i < AX_VHOST_QUEUES; i++)
        vhost->kick[i] = -1;
    err = vhost_open(vhost, path);
    if (err) {
        ax_vhost_destroy(vhost);
        return err;
    }
    *out = vhost;
    return 0;
}

void ax_vhost_destroy(struct ax_vhost *vhost)
{
    if (!vhost)
        return;
    ax_vhost_stop(vhost);
    ax_watch_destroy(vhost->watch);
    if (vhost->broken >= 0)
        close(vhost->broken);
    if (vhost->fd >= 0)
        close(vhost->fd);
    free(vhost);
}

uint64_t ax_vhost_features(const struct ax_vhost *vhost)
{
    return vhost->features;
}

/* ---- start ---- */

/* RAM alone: the kernel would write into ROM as well. */
static int vhost_set_memory(const struct ax_vhost *vhost)
{
    const struct ax_memory *mem = vhost->v->dev.env.mem;
    struct vhost_memory *table;
    int err;

    table = calloc(1, sizeof(*table) + mem->count * sizeof(table->regions[0]));
    if (!table)
        return -ENOMEM;
    for (unsigned i = 0; i < mem->count; i++) {
        const struct ax_region *region = &mem->regions[i];

        if (region->kind != AX_REGION_RAM)
            continue;
        table->regions[table->nregions++] = (struct vhost_memory_region){
            .guest_phys_addr = region->gpa,
            .memory_size = region->size,
            .userspace_addr = (uintptr_t)region->hva,
        };
    }
    err = vhost_ioctl(vhost, VHOST_SET_MEM_TABLE, table);
    free(table);
    return err;
}

static int vhost_set_file(const struct ax_vhost *vhost, unsigned long request,
                          unsigned index, int fd)
{
    const struct vhost_vring_file file = {.index = index, .fd = fd};

    return vhost_ioctl(vhost, request, &file);
}

static int vhost_set_ring(const struct ax_vhost *vhost, unsigned index)
{
    const struct ax_virtq *q = &vhost->v->queues[vhost->first + index];
    const struct vhost_vring_state size = {index, q->layout.size};
    const struct vhost_vring_state base = {index, q->avail};
    const struct vhost_vring_addr addr = {
        .index = index,
        .desc_user_addr = (uintptr_t)q->desc,
        .avail_user_addr = (uintptr_t)q->driver,
        .used_user_addr = (uintptr_t)q->device,
    };
    int err = vhost_ioctl(vhost, VHOST_SET_VRING_NUM, &size);

    if (!err)
        err = vhost_ioctl(vhost, VHOST_SET_VRING_BASE, &base);
    if (!err)
        err = vhost_ioctl(vhost, VHOST_SET_VRING_ADDR, &addr);
    return err;
}

static int vhost_lend(struct ax_vhost *vhost, unsigned index)
{
    int err, call = ax_virtio_irq_event(vhost->v, vhost->first + index);

    if (call == -EINVAL)
        call = -1; /* the driver wants no interrupt of this queue */
    else if (call < 0)
        return call;
    vhost->kick[index] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vhost->kick[index] < 0)
        return -errno;
    err =
        vhost_set_file(vhost, VHOST_SET_VRING_KICK, index, vhost->kick[index]);
    if (!err)
        err = vhost_set_file(vhost, VHOST_SET_VRING_CALL, index, call);
    if (!err)
        err = vhost_set_file(vhost, VHOST_SET_VRING_ERR, index, vhost->broken);
    if (!err)
        err = ax_virtio_lend_queue(vhost->v, vhost->first + index,
                                   vhost->kick[index], true);
    if (!err)
        vhost->lent |= 1U << index;
    return err;
}

static int vhost_start_queue(struct ax_vhost *vhost, unsigned index)
{
    const struct ax_virtq *q = &vhost->v->queues[vhost->first + index];
    int err;

    if (!q->enabled || q->layout.packed)
        return -EINVAL;
    err = vhost_set_ring(vhost, index);
    return err ? err : vhost_lend(vhost, index);
}

int ax_vhost_start(struct ax_vhost *vhost, unsigned first, unsigned count,
                   uint64_t features)
{
    const uint64_t known = features & vhost->features;
    int err;

    if (count > AX_VHOST_QUEUES)
        return -EINVAL;
    vhost->first = first;
    err = vhost_ioctl(vhost, VHOST_SET_FEATURES, &known);
    if (!err)
        err = vhost_set_memory(vhost);
    for (unsigned i = 0; !err && i < count; i++)
        err = vhost_start_queue(vhost, i);
    if (err)
        ax_vhost_stop(vhost);
    return err;
}

/* ---- run, stop ---- */

/* What was made available before the kernel listened has been told to nobody:
 * the first look is ours to ask for. */
static void vhost_begin(struct ax_vhost *vhost, enum role role)
{
    vhost->running = role;
    for (unsigned i = 0; i < AX_VHOST_QUEUES; i++) {
        if (vhost->lent >> i & 1)
            eventfd_write(vhost->kick[i], 1);
    }
}

static void vhost_halt(const struct ax_vhost *vhost)
{
    const int off = 0;

    if (vhost->running == ROLE_VSOCK)
        vhost_ioctl(vhost, VHOST_VSOCK_SET_RUNNING, &off);
    for (unsigned i = 0; vhost->running == ROLE_NET && i < AX_VHOST_QUEUES; i++)
        vhost_set_file(vhost, VHOST_NET_SET_BACKEND, i, -1);
}

/* All that the kernel has taken of the queue it has used; it goes on where the
 * kernel has come to, and has to ask for notifications in its own words. */
static void vhost_take_back(const struct ax_vhost *vhost, unsigned index)
{
    struct ax_virtq *q = &vhost->v->queues[vhost->first + index];
    struct vhost_vring_state state = {.index = index};

    ax_virtio_lend_queue(vhost->v, vhost->first + index, vhost->kick[index],
                         false);
    if (ioctl(vhost->fd, VHOST_GET_VRING_BASE, &state))
        return;
    q->avail = q->used = (uint16_t)state.num;
    q->quiet = true;
    ax_virtq_quiet(q, false);
}

/* Halting waits for what the kernel is doing with guest memory. */
void ax_vhost_stop(struct ax_vhost *vhost)
{
    vhost_halt(vhost);
    vhost->running = ROLE_NONE;
    for (unsigned i = 0; i < AX_VHOST_QUEUES; i++) {
        if (vhost->lent >> i & 1)
            vhost_take_back(vhost, i);
        if (vhost->kick[i] < 0)
            continue;
        vhost_set_file(vhost, VHOST_SET_VRING_KICK, i, -1);
        vhost_set_file(vhost, VHOST_SET_VRING_CALL, i, -1);
        close(vhost->kick[i]);
        vhost->kick[i] = -1;
    }
    vhost->lent = 0;
}

int ax_vhost_net_attach(struct ax_vhost *vhost, int tap)
{
    int err = 0;

    vhost->running = ROLE_NET;
    for (unsigned i = 0; !err && i < AX_VHOST_QUEUES; i++)
        err = vhost_set_file(vhost, VHOST_NET_SET_BACKEND, i, tap);
    if (!err)
        vhost_begin(vhost, ROLE_NET);
    return err;
}

int ax_vhost_vsock_set_cid(struct ax_vhost *vhost, uint64_t cid)
{
    return vhost_ioctl(vhost, VHOST_VSOCK_SET_GUEST_CID, &cid);
}

int ax_vhost_vsock_run(struct ax_vhost *vhost)
{
    const int on = 1;
    int err = vhost_ioctl(vhost, VHOST_VSOCK_SET_RUNNING, &on);

    if (!err)
        vhost_begin(vhost, ROLE_VSOCK);
    return err;
}
