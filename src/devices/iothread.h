/*
 * iothread.h - a thread that runs an event loop, for a device whose work may
 * wait for the host.
 *
 * Sources are made on its loop while the thread does not run. Loop thread.
 */
#ifndef AX_DEVICES_IOTHREAD_H
#define AX_DEVICES_IOTHREAD_H

struct ax_iothread;
struct ax_loop;

/* name: the thread's, of which the kernel keeps 15 characters. Starts nothing.
 * 0 or -errno. */
int ax_iothread_create(const char *name, struct ax_iothread **out);

/* Accepts NULL. Stops it first; every source on its loop is destroyed. */
void ax_iothread_destroy(struct ax_iothread *thread);

struct ax_loop *ax_iothread_loop(struct ax_iothread *thread);

/* 0 or -errno; no-op where it runs. */
int ax_iothread_start(struct ax_iothread *thread);

/* Waits for the callback in progress, and for the thread. No-op where it does
 * not run. */
void ax_iothread_stop(struct ax_iothread *thread);

#endif
