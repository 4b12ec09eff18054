/*
 * disk_qcow2.c - qcow2 images.
 */
#include "devices/disk_parts.h"
#include "log.h"

#include <errno.h>

int ax_disk_nbd_create(struct ax_disk *disk)
{
    ax_log(disk->log, AX_LOG_ERROR,
           "disk %s: qcow2 is not supported: convert it with qemu-img convert "
           "-O raw",
           disk->conf->path);
    return -EOPNOTSUPP;
}

void ax_disk_nbd_destroy(struct ax_disk *disk)
{
}

int ax_disk_nbd_run(struct ax_disk *disk, struct ax_disk_io *io)
{
    return -EOPNOTSUPP;
}
