/*
 * execute_dump.c - the command "dump": suspends the VM, writes the core file on
 * a thread of its own, lets the VM go on. Called by execute.c.
 */
#include "control/execute_parts.h"

#include "vmm/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file to write to, and how to leave it where that fails. */
struct dump {
    struct ax_dump *dump;
    char *path;
    int fd;
    bool made;      /* by us: a failure removes it */
    bool suspended; /* by us: the VM goes on */
};

/*
 * A dump holds all that the guest knows, so it is for its owner alone; and
 * where others may write, a link could lead it anywhere.
 */
static int dump_open(struct dump *d, const char *path)
{
    const int flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    struct stat st;

    d->fd = -1;
    d->path = strdup(path);
    if (!d->path)
        return -ENOMEM;
    d->fd = open(path, flags | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
    d->made = d->fd >= 0;
    if (d->fd < 0 && errno == EEXIST)
        d->fd = open(path, flags);
    if (d->fd < 0 || fstat(d->fd, &st))
        return -errno;
    return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

/* err: of the whole; a file that is not complete does not stay. */
static void dump_close(struct dump *d, int err)
{
    if (err && d->made)
        unlink(d->path);
    if (d->fd >= 0)
        close(d->fd);
    free(d->path);
    free(d);
}

static void dump_resume(const struct dump *d, struct ax_vm *vm)
{
    if (d->suspended && ax_vm_state(vm) == AX_VM_SUSPENDED)
        ax_vm_resume(vm);
}

static void cancel_nothing(void *ctx)
{
}

/*
 * Suspends vm where need be. Nothing happens to a file that is there already
 * before it is clear that vm can be dumped.
 */
static int dump_prepare(struct dump *d, struct ax_vm *vm)
{
    int err = 0;

    if (ax_vm_state(vm) == AX_VM_RUNNING) {
        err = ax_vm_suspend(vm);
        d->suspended = !err;
    }
    if (!err)
        err = ax_vm_pin(vm, cancel_nothing, NULL);
    if (err)
        return err;
    ax_vm_unpin(vm);
    return ftruncate(d->fd, 0) ? -errno : 0;
}

static void dump_drop(struct pending *p)
{
    struct dump *d = p->ctx;

    if (!d)
        return;
    ax_dump_destroy(d->dump);
    if (!p->deleted)
        dump_resume(d, p->vm);
    dump_close(d, -ECANCELED);
}

static void dump_cancelled(struct pending *p)
{
    ax_execute_error(p->asker, p->id, AX_EXECUTE_FAILED,
                     "VM was forced to stop meanwhile");
}

static void dump_look(struct pending *p)
{
    if (!p->deleted)
        return;
    dump_cancelled(p);
    ax_pending_end(p);
}

static void dump_done(void *ctx, int err, uint64_t bytes)
{
    struct pending *p = ctx;
    struct dump *d = p->ctx;

    p->ctx = NULL; /* nothing to give up any more */
    ax_dump_destroy(d->dump);
    if (err == -ECANCELED) {
        dump_cancelled(p);
    } else {
        dump_resume(d, p->vm);
        if (err)
            ax_execute_error(p->asker, p->id, AX_EXECUTE_FAILED, "%.300s: %s",
                             d->path, strerror(-err));
        else
            ax_execute_answer(p->asker, p->id,
                              json_pack("{s:I}", "bytes", (json_int_t)bytes));
    }
    dump_close(d, err);
    ax_pending_end(p);
}

static void dump_start(const struct request *r, struct dump *d)
{
    struct pending *p = ax_pending_create(r, dump_look, 0, "");
    int err;

    if (!p) {
        dump_close(d, -EBUSY);
        return;
    }
    p->ctx = d;
    p->drop = dump_drop;
    err = dump_prepare(d, r->vm);
    if (!err)
        err = ax_dump_start(r->vm, d->fd, dump_done, p, &d->dump);
    ax_pending_begin(p, err);
}

void ax_execute_dump(const struct request *r)
{
    struct dump *d = calloc(1, sizeof(*d));
    int err;

    if (!d) {
        ax_execute_answer(r->asker, r->id, NULL);
        return;
    }
    err = dump_open(d, r->file);
    if (!err) {
        dump_start(r, d);
        return;
    }
    ax_execute_error(r->asker, r->id, AX_EXECUTE_FAILED, "%.300s: %s", r->file,
                     err == -EINVAL ? "not a regular file" : strerror(-err));
    dump_close(d, err);
}
