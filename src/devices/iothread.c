/*
 * iothread.c - one thread, one loop, and a wake that ends it.
 */
#include "devices/iothread.h"

#include "base.h"
#include "devices/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct ax_iothread {
    char name[16];
    struct ax_loop *loop;
    struct ax_wake *end;
    pthread_t thread;
    bool runs;
};

static void iothread_ends(void *ctx)
{
    struct ax_iothread *thread = ctx;

    ax_loop_stop(thread->loop);
}

int ax_iothread_create(const char *name, struct ax_iothread **out)
{
    struct ax_iothread *thread = calloc(1, sizeof(*thread));
    int err;

    *out = NULL;
    if (!thread)
        return -ENOMEM;
    snprintf(thread->name, sizeof(thread->name), "%.15s", name);
    err = ax_loop_create(&thread->loop);
    if (!err)
        err = ax_wake_create(thread->loop, iothread_ends, thread, &thread->end);
    if (err) {
        ax_iothread_destroy(thread);
        return err;
    }
    *out = thread;
    return 0;
}

void ax_iothread_destroy(struct ax_iothread *thread)
{
    if (!thread)
        return;
    ax_iothread_stop(thread);
    ax_wake_destroy(thread->end);
    ax_loop_destroy(thread->loop);
    free(thread);
}

struct ax_loop *ax_iothread_loop(struct ax_iothread *thread)
{
    return thread->loop;
}

static void *iothread_main(void *arg)
{
    struct ax_iothread *thread = arg;

    ax_loop_run(thread->loop);
    return NULL;
}

int ax_iothread_start(struct ax_iothread *thread)
{
    sigset_t all, old;
    int err;

    if (thread->runs)
        return 0;
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&thread->thread, NULL, iothread_main, thread);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err)
        return -err;
    thread->runs = true;
    pthread_setname_np(thread->thread, thread->name);
    return 0;
}

void ax_iothread_stop(struct ax_iothread *thread)
{
    if (!thread->runs)
        return;
    ax_loop_wake(thread->end);
    pthread_join(thread->thread, NULL);
    thread->runs = false;
}
