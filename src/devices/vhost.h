/*
 * vhost.h - queues of a virtio device whose work the host's kernel does:
 * /dev/vhost-net, /dev/vhost-vsock. The only user of linux/vhost.h.
 *
 * One struct ax_vhost is one open file of these, with the queues that it has:
 * a pair for the net. Used under the device's lock, but for create and destroy.
 */
#ifndef AX_DEVICES_VHOST_H
#define AX_DEVICES_VHOST_H

#include "base.h"

struct ax_vhost;
struct ax_virtio;

enum { AX_VHOST_QUEUES = 2 }; /* of one open file, at most */

/*
 * From the init of v's model, after ax_virtio_init, on the loop thread. 0;
 * -EOPNOTSUPP: the engine lacks doorbells or interrupts by eventfd; or -errno:
 * path cannot be opened or used. Logs nothing, *out is NULL on failure.
 */
int ax_vhost_create(struct ax_virtio *v, const char *path,
                    struct ax_vhost **out);

/* Accepts NULL. Stops it first. Before ax_virtio_fini. */
void ax_vhost_destroy(struct ax_vhost *vhost);

/* What the kernel's side can do: bits of features as of virtio. */
uint64_t ax_vhost_features(const struct ax_vhost *vhost);

/*
 * Hands over the queues [first, first + count) of v, which have been enabled,
 * as its 0, 1 ...; their rings must be split. features: as agreed with the
 * driver; those that the kernel does not know are left out. Nothing happens
 * before ax_vhost_net_attach or ax_vhost_vsock_run. 0 or -errno: all is as
 * before.
 */
int ax_vhost_start(struct ax_vhost *vhost, unsigned first, unsigned count,
                   uint64_t features);

/* Takes them back: the kernel touches no guest memory any more. No-op where it
 * was not started. */
void ax_vhost_stop(struct ax_vhost *vhost);

/* /dev/vhost-net: tap is the backend of every queue. 0 or -errno. */
int ax_vhost_net_attach(struct ax_vhost *vhost, int tap);

/* /dev/vhost-vsock. 0 or -errno: -EADDRINUSE: another guest has this CID. */
int ax_vhost_vsock_set_cid(struct ax_vhost *vhost, uint64_t cid);
int ax_vhost_vsock_run(struct ax_vhost *vhost);

#endif
