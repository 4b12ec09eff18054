/*
 * device.c - life of a model and the locked ways into it.
 */
#include "devices/device.h"

#include <errno.h>
#include <stdlib.h>

int ax_device_create(const struct ax_device_ops *ops, enum ax_space space,
                     uint64_t base, const struct ax_device_env *env,
                     struct ax_device **out)
{
    struct ax_device *dev = calloc(1, ops->state);
    int err = 0;

    *out = NULL;
    if (!dev)
        return -ENOMEM;
    dev->ops = ops;
    dev->env = *env;
    dev->space = space;
    dev->base = base;
    pthread_mutex_init(&dev->lock, NULL);
    if (ops->init)
        err = ops->init(dev);
    if (err) {
        ax_device_destroy(dev);
        return err;
    }
    ax_device_reset(dev);
    *out = dev;
    return 0;
}

void ax_device_destroy(struct ax_device *dev)
{
    if (!dev)
        return;
    if (dev->ops->fini)
        dev->ops->fini(dev);
    pthread_mutex_destroy(&dev->lock);
    free(dev);
}

void ax_device_reset(struct ax_device *dev)
{
    if (!dev->ops->reset)
        return;
    pthread_mutex_lock(&dev->lock);
    dev->ops->reset(dev);
    pthread_mutex_unlock(&dev->lock);
}

void ax_device_poll(struct ax_device *dev)
{
    if (!dev->ops->poll)
        return;
    pthread_mutex_lock(&dev->lock);
    dev->ops->poll(dev);
    pthread_mutex_unlock(&dev->lock);
}

void ax_device_line(struct ax_device *dev, unsigned line, bool level)
{
    if (!dev->ops->line)
        return;
    pthread_mutex_lock(&dev->lock);
    dev->ops->line(dev, line, level);
    pthread_mutex_unlock(&dev->lock);
}

void ax_device_eoi(struct ax_device *dev, unsigned vector)
{
    if (!dev->ops->eoi)
        return;
    pthread_mutex_lock(&dev->lock);
    dev->ops->eoi(dev, vector);
    pthread_mutex_unlock(&dev->lock);
}

void ax_device_hold(struct ax_device *dev, bool held)
{
    if (!dev->ops->hold)
        return;
    pthread_mutex_lock(&dev->lock);
    dev->ops->hold(dev, held);
    pthread_mutex_unlock(&dev->lock);
}

void ax_device_call(struct ax_device *dev, void (*fn)(struct ax_device *dev))
{
    pthread_mutex_lock(&dev->lock);
    fn(dev);
    pthread_mutex_unlock(&dev->lock);
}

bool ax_device_power_button(struct ax_device *dev)
{
    bool heard;

    if (!dev->ops->power_button)
        return false;
    pthread_mutex_lock(&dev->lock);
    heard = dev->ops->power_button(dev);
    pthread_mutex_unlock(&dev->lock);
    return heard;
}

int ax_device_resize(struct ax_device *dev, bool shrink, uint64_t *size)
{
    int err;

    if (!dev->ops->resize)
        return -EOPNOTSUPP;
    pthread_mutex_lock(&dev->lock);
    err = dev->ops->resize(dev, shrink, size);
    pthread_mutex_unlock(&dev->lock);
    return err;
}

bool ax_device_card(struct ax_device *dev, struct ax_card *out)
{
    if (!dev->ops->card)
        return false;
    pthread_mutex_lock(&dev->lock);
    dev->ops->card(dev, out);
    pthread_mutex_unlock(&dev->lock);
    return true;
}

bool ax_device_plug(struct ax_device *dev, bool in)
{
    if (!dev->ops->plug)
        return false;
    pthread_mutex_lock(&dev->lock);
    dev->ops->plug(dev, in);
    pthread_mutex_unlock(&dev->lock);
    return true;
}

int ax_device_aim(struct ax_device *dev, uint64_t bytes)
{
    int err;

    if (!dev->ops->aim)
        return -EOPNOTSUPP;
    pthread_mutex_lock(&dev->lock);
    err = dev->ops->aim(dev, bytes);
    pthread_mutex_unlock(&dev->lock);
    return err;
}

int ax_device_balloon(struct ax_device *dev, bool ask, struct ax_balloon *out)
{
    if (!dev->ops->balloon)
        return -EOPNOTSUPP;
    pthread_mutex_lock(&dev->lock);
    dev->ops->balloon(dev, ask, out);
    pthread_mutex_unlock(&dev->lock);
    return 0;
}
