/*
 * execute_disk.c - the command disk, which resizes one.
 */
#include "control/execute_parts.h"

#include "vmm/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* By serial first, which may look like a number. -1: there is none. */
static int disk_find(const struct ax_config *conf, const char *name)
{
    char number[16];

    for (unsigned i = 0; i < conf->disk_count; i++) {
        const char *serial = conf->disks[i].conf.serial;

        if (serial && !strcmp(serial, name))
            return (int)i;
    }
    for (unsigned i = 0; i < conf->disk_count; i++) {
        snprintf(number, sizeof(number), "%u", i);
        if (!strcmp(number, name))
            return (int)i;
    }
    return -1;
}

static void resize_error(const struct request *r, int err)
{
    switch (err) {
    case -EOPNOTSUPP:
        ax_execute_error(r->asker, r->id, AX_EXECUTE_UNSUPPORTED,
                         "only a raw image without overlay changes its size; a "
                         "block device has its own");
        break;
    case -EROFS:
        ax_execute_error(r->asker, r->id, AX_EXECUTE_REFUSED,
                         "disk '%.40s' is readonly: change the image elsewhere "
                         "and leave SIZE out",
                         r->disk);
        break;
    case -EINVAL:
        ax_execute_error(r->asker, r->id, AX_EXECUTE_BAD_REQUEST,
                         "a disk consists of whole blocks: %llu bytes do not, "
                         "or are too many",
                         (unsigned long long)r->size);
        break;
    case -ERANGE:
        ax_execute_error(r->asker, r->id, AX_EXECUTE_REFUSED,
                         "%llu bytes are less than disk '%.40s' has, what is "
                         "behind them would be lost: use --force",
                         (unsigned long long)r->size, r->disk);
        break;
    default:
        ax_execute_vm_error(r->asker, r->id, r->vm, err);
        break;
    }
}

void ax_execute_disk_resize(const struct request *r)
{
    const struct ax_config *conf = ax_vm_config(r->vm);
    const int index = disk_find(conf, r->disk);
    uint64_t size = r->size;
    int err;

    if (index < 0) {
        ax_execute_error(r->asker, r->id, AX_EXECUTE_BAD_REQUEST,
                         "no disk '%.40s': the VM has %u, from 0 on", r->disk,
                         conf->disk_count);
        return;
    }
    err = ax_vm_resize_disk(r->vm, (unsigned)index, r->force, &size);
    if (err)
        resize_error(r, err);
    else
        ax_execute_answer(r->asker, r->id,
                          json_pack("{s:I}", "size", (json_int_t)size));
}
