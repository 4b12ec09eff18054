/*
 * test_vhost.c - what can be said of vhost where there is none: it is refused
 * in order. With it, the lab runs it.
 */
#include "devices/vhost.h"

#include "devices/loop.h"
#include "devices/virtio.h"
#include "fake/recorder.h"

#include <criterion/criterion.h>
#include <unistd.h>

static int no_doorbell(void *ctx, const struct ax_bell *bell, int fd, bool on)
{
    return 0;
}

static int no_irq_event(void *ctx, unsigned line, int fd, bool on)
{
    return 0;
}

static int nothing_init(struct ax_device *dev)
{
    static const struct ax_virtio_ops ops = {.id = 1};

    return ax_virtio_init(ax_container_of(dev, struct ax_virtio, dev), &ops, 0,
                          1, 2);
}

static void nothing_fini(struct ax_device *dev)
{
    ax_virtio_fini(ax_container_of(dev, struct ax_virtio, dev));
}

static const struct ax_device_ops nothing = {
    .type = "nothing",
    AX_VIRTIO_DEVICE_OPS,
    .state = sizeof(struct ax_virtio),
    .init = nothing_init,
    .fini = nothing_fini,
};

static int create(bool fast, const char *path)
{
    struct recorder rec;
    struct ax_device *dev;
    struct ax_vhost *vhost;
    int err;

    recorder_init(&rec);
    cr_assert_eq(ax_loop_create(&rec.env.loop), 0);
    if (fast)
        rec.env.fast = (struct ax_fast){
            .doorbell = no_doorbell,
            .irq_event = no_irq_event,
        };
    dev = recorder_device(&rec, &nothing);
    cr_assert_not_null(dev);
    err = ax_vhost_create(ax_container_of(dev, struct ax_virtio, dev), path,
                          &vhost);
    cr_assert_eq(!vhost, err != 0);
    ax_vhost_destroy(vhost);
    ax_device_destroy(dev);
    ax_loop_destroy(rec.env.loop);
    return err;
}

Test(vhost, needs_an_engine_with_eventfds)
{
    cr_assert_eq(create(false, "/dev/null"), -EOPNOTSUPP);
}

Test(vhost, says_why_it_cannot_be_had)
{
    cr_assert_eq(create(true, "/nowhere/vhost-net"), -ENOENT);
    cr_assert_eq(create(true, "/dev/null"), -ENOTTY);
}

Test(vhost, opens_the_host_s)
{
    if (access("/dev/vhost-net", R_OK | W_OK))
        cr_skip_test("no /dev/vhost-net");
    cr_assert_eq(create(true, "/dev/vhost-net"), 0);
}
