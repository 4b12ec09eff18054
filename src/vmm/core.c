/*
 * core.c - a dump: registers are read at its start, all else is done on its
 * own thread, and the loop hears when that has ended.
 */
#include "vmm/core.h"

#include "arch/arch.h"
#include "devices/loop.h"
#include "log.h"
#include "vcpu/vcpu.h"
#include "vmm/elfcore.h"
#include "vmm/sparse.h"
#include "vmm/vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    STACK_BYTES = 128 * 1024,
    CALL_MS = 1000, /* the vCPUs are held already */
};

struct ax_dump {
    struct ax_vm *vm; /* NULL: not pinned any more, it may be gone */
    const struct ax_core_ops *ops;
    const struct ax_memory *mem;
    struct ax_log *log;
    void (*done)(void *ctx, int err, uint64_t bytes);
    void *ctx;
    struct ax_wake *news; /* the thread is about to end */
    pthread_t thread;
    bool running; /* the thread is to be joined */
    struct ax_cancel cancel;
    int fd;
    int err;        /* the thread's */
    uint64_t bytes; /* the thread's */
    unsigned cpu_count;
    struct ax_core_cpu cpus[AX_CPUS_MAX];
};

/* ---- the dump's thread ---- */

struct dump_walk {
    const struct ax_dump *dump;
    struct ax_elfcore_runs runs;
};

static bool dump_page(void *ctx, const struct ax_mapping *page)
{
    struct dump_walk *walk = ctx;

    return !atomic_load_explicit(&walk->dump->cancel.asked,
                                 memory_order_relaxed) &&
           !ax_elfcore_add(&walk->runs, page);
}

/* What the boot CPU's tables map; what is too much is left out, and told. */
static int dump_find_runs(const struct ax_dump *dump,
                          struct ax_elfcore_runs *runs)
{
    struct dump_walk walk = {.dump = dump, .runs.mem = dump->mem};
    unsigned seen;
    int err = 0;

    if (dump->cpu_count && dump->cpus[0].paged)
        err =
            dump->ops->walk(dump->mem, dump->cpus[0].paging, dump_page, &walk);
    seen = ax_elfcore_choose(&walk.runs);
    *runs = walk.runs;
    if (runs->err == -ENOMEM)
        return -ENOMEM;
    if (err == -ECANCELED && !runs->err)
        return -ECANCELED;
    if (err || seen > runs->count)
        ax_log(dump->log, AX_LOG_WARN,
               "dump: the guest's page tables map memory in %s%u pieces; the "
               "%u largest of them can be read by their virtual addresses",
               err ? "more than " : "", seen, runs->count);
    return 0;
}

static int dump_write_head(const struct ax_dump *dump, struct ax_sparse *to)
{
    struct ax_elfcore core = {
        .ops = dump->ops,
        .mem = dump->mem,
        .cpus = dump->cpus,
        .cpu_count = dump->cpu_count,
    };
    struct ax_elfcore_runs runs = {.mem = dump->mem};
    void *head = NULL;
    uint64_t size;
    int err = dump_find_runs(dump, &runs);

    core.runs = runs.runs;
    core.run_count = runs.count;
    if (!err)
        err = ax_elfcore_head(&core, &head, &size);
    if (!err)
        err = ax_sparse_write(to, head, size);
    free(head);
    ax_elfcore_runs_fini(&runs);
    return err;
}

/*
 * Where a memory file has no data it is not read: that would have the host
 * allocate it. Bytes from off on that are data, and their number.
 */
static int region_data(const struct ax_region *r, uint64_t off, uint64_t *data,
                       uint64_t *size)
{
    off_t at, end;

    *data = off;
    *size = r->size - off;
    if (r->fd < 0)
        return 0;
    at = lseek(r->fd, (off_t)off, SEEK_DATA);
    if (at < 0 && errno == ENXIO) {
        *data = r->size;
        *size = 0;
        return 0;
    }
    end = at < 0 ? at : lseek(r->fd, at, SEEK_HOLE);
    if (end < 0)
        return errno == EINVAL ? 0 : -errno; /* not known: all is data */
    *data = (uint64_t)at;
    *size = (uint64_t)(end - at);
    return 0;
}

static int dump_write_region(const struct ax_region *r, struct ax_sparse *to)
{
    uint64_t off = 0;
    int err = 0;

    while (!err && off < r->size) {
        uint64_t data, size;

        err = region_data(r, off, &data, &size);
        if (!err)
            err = ax_sparse_skip(to, data - off);
        if (!err && size)
            err = ax_sparse_write(to, (const char *)r->hva + data, size);
        off = data + size;
    }
    return err;
}

static int dump_write(const struct ax_dump *dump, struct ax_sparse *to)
{
    int err = ax_sparse_begin(to, dump->fd, &dump->cancel);

    if (!err)
        err = dump_write_head(dump, to);
    for (unsigned i = 0; !err && i < dump->mem->count; i++)
        err = dump_write_region(&dump->mem->regions[i], to);
    return err ? err : ax_sparse_end(to);
}

static void *dump_thread(void *arg)
{
    struct ax_dump *dump = arg;
    struct ax_sparse to;

    dump->err = dump_write(dump, &to);
    dump->bytes = to.bytes;
    ax_loop_wake(dump->news);
    return NULL;
}

/* ---- the loop's side ---- */

/* Waits for the thread; the VM is its own again. */
static void dump_end(struct ax_dump *dump)
{
    if (dump->running)
        pthread_join(dump->thread, NULL);
    dump->running = false;
    if (dump->vm)
        ax_vm_unpin(dump->vm);
    dump->vm = NULL;
}

static void dump_cancel(void *ctx)
{
    const uint64_t one = 1;
    struct ax_dump *dump = ctx;

    atomic_store(&dump->cancel.asked, true);
    /* An eventfd that was never written to takes a 1. */
    while (write(dump->cancel.fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
    dump_end(dump);
}

/* The thread wakes the loop in any case, also one that was cancelled. */
static void dump_news(void *ctx)
{
    struct ax_dump *dump = ctx;

    dump_end(dump);
    dump->done(dump->ctx, dump->err, dump->bytes);
}

struct dump_read {
    const struct ax_core_ops *ops;
    struct ax_core_cpu *cpu;
};

static int dump_read_cpu(void *ctx, const struct ax_backend_ops *ops,
                         struct ax_engine_vcpu *engine)
{
    const struct dump_read *read = ctx;

    return read->ops->cpu(ops, engine, read->cpu);
}

/* A vCPU that failed before its first instruction has no registers. */
static int dump_read_cpus(struct ax_dump *dump)
{
    int err = 0;

    dump->cpu_count = ax_vm_vcpu_count(dump->vm);
    for (unsigned i = 0; !err && i < dump->cpu_count; i++) {
        struct dump_read read = {dump->ops, &dump->cpus[i]};

        err = ax_vcpu_call(ax_vm_vcpu(dump->vm, i), dump_read_cpu, &read,
                           CALL_MS);
        if (err == -ESRCH) {
            ax_log(dump->log, AX_LOG_WARN,
                   "dump: vcpu%u never ran, its registers are not there", i);
            err = 0;
        } else if (err) {
            ax_log(dump->log, AX_LOG_ERROR,
                   "dump: cannot read the registers of vcpu%u: %s", i,
                   strerror(-err));
        }
    }
    return err;
}

static int dump_launch(struct ax_dump *dump)
{
    sigset_t all, old;
    pthread_attr_t attr;
    int err;

    /* Born with every signal blocked: they are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    err = pthread_create(&dump->thread, &attr, dump_thread, dump);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err)
        return -err;
    dump->running = true;
    pthread_setname_np(dump->thread, "dump");
    return 0;
}

static int dump_start(struct ax_dump *dump)
{
    int err =
        ax_wake_create(ax_vm_loop(dump->vm), dump_news, dump, &dump->news);

    if (err)
        return err;
    dump->cancel.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (dump->cancel.fd < 0)
        return -errno;
    err = dump_read_cpus(dump);
    return err ? err : dump_launch(dump);
}

int ax_dump_start(struct ax_vm *vm, int fd,
                  void (*done)(void *ctx, int err, uint64_t bytes), void *ctx,
                  struct ax_dump **out)
{
    struct ax_dump *dump;
    int err;

    *out = NULL;
    if (!ax_vm_arch(vm)->core)
        return -EOPNOTSUPP;
    dump = calloc(1, sizeof(*dump));
    if (!dump)
        return -ENOMEM;
    dump->ops = ax_vm_arch(vm)->core;
    dump->mem = ax_vm_memory(vm);
    dump->log = ax_vm_log(vm);
    dump->done = done;
    dump->ctx = ctx;
    dump->fd = fd;
    dump->cancel.fd = -1;
    err = ax_vm_pin(vm, dump_cancel, dump);
    if (!err) {
        dump->vm = vm;
        err = dump_start(dump);
    }
    if (err) {
        ax_dump_destroy(dump);
        return err;
    }
    *out = dump;
    return 0;
}

void ax_dump_destroy(struct ax_dump *dump)
{
    if (!dump)
        return;
    if (dump->running)
        dump_cancel(dump);
    else
        dump_end(dump);
    ax_wake_destroy(dump->news);
    if (dump->cancel.fd >= 0)
        close(dump->cancel.fd);
    free(dump);
}
