/*
 * virtio_conf.h - what the virtio device types are configured with: plain data,
 * made by vmm/config*.c, handed to a model as env.conf. Types only.
 */
#ifndef AX_DEVICES_VIRTIO_CONF_H
#define AX_DEVICES_VIRTIO_CONF_H

#include "base.h"

/* What fits into the queues of a device: a net queue is a pair, and the control
 * queue makes one more; a console port is a pair, and control is another. */
enum { AX_DISK_QUEUES = 16, AX_NET_QUEUES = 7, AX_VCONSOLE_PORTS = 7 };

enum { AX_DISK_SERIAL = 20, AX_SHARE_TAG = 31, AX_VCONSOLE_NAME = 63 };

/* Who does the work of the queues: the host's kernel, if it is on. */
enum ax_vhost_use { AX_VHOST_AUTO, AX_VHOST_OFF, AX_VHOST_ON };

enum ax_disk_format { AX_DISK_AUTO, AX_DISK_RAW, AX_DISK_QCOW2 };

enum ax_disk_cache {
    AX_DISK_WRITEBACK,    /* the host's page cache; a flush is a flush */
    AX_DISK_WRITETHROUGH, /* every write is on the disk when it is done */
    AX_DISK_DIRECT,       /* O_DIRECT */
    AX_DISK_UNSAFE,       /* a flush is nothing: for throw-away guests */
};

struct ax_disk_conf {
    char *path;
    enum ax_disk_format format;
    enum ax_disk_cache cache;
    bool readonly;
    bool overlay; /* writes go nowhere that lasts: the image stays as it is */
    char *serial; /* at most AX_DISK_SERIAL bytes; NULL: none */
    unsigned queues;
    unsigned block_size;          /* 512 or 4096 */
    uint64_t iops_max, bytes_max; /* per second, 0: no limit */
};

enum ax_net_mode {
    AX_NET_USER,   /* libslirp */
    AX_NET_TAP,    /* by name, or an inherited descriptor */
    AX_NET_SOCKET, /* a Unix socket: another VM at the other end */
    AX_NET_PASST,  /* a passt that listens on a Unix socket */
    AX_NET_NONE,   /* a card without a cable */
};

struct ax_net_conf {
    enum ax_net_mode mode;
    char *mac;    /* "52:54:00:..."; NULL: made from the VM's name */
    char *ifname; /* TAP; NULL: the kernel chooses */
    char *path;   /* SOCKET, PASST */
    /*
     * USER: "tcp:HOST:PORT-GUESTPORT" or "udp:...", HOST an IPv4 address or an
     * IPv6 one in brackets; NULL-terminated, NULL: none.
     */
    char **hostfwd;
    unsigned fd; /* TAP: an open one; 0: none */
    unsigned queues;
    unsigned mtu; /* 0: the driver's own */
    bool offload; /* checksums and segmentation */
    enum ax_vhost_use vhost;
};

/* A device has an array of them, as many as it has consoles. */
struct ax_vconsole_conf {
    char *mode; /* ax_console_create's spec */
    char *name; /* of the port, for the guest's udev; NULL: none */
};

struct ax_share_conf {
    char *tag, *path;
    bool readonly;
};

struct ax_vsock_conf {
    uint64_t cid; /* 0: no device */
    char *uds;    /* path; NULL: vhost-vsock */
    enum ax_vhost_use vhost;
};

struct ax_balloon_conf {
    bool enabled, deflate_on_oom, free_page_reporting;
};

#endif
