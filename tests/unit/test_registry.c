/*
 * test_registry.c - every model is found, and keeps the contract of device.h.
 */
#include "devices/registry.h"

#include <criterion/criterion.h>

#define MODEL(name) &ax_##name,

static const struct ax_device_ops *const models[] = {AX_DEVICE_MODELS(MODEL)};

Test(registry, finds_each_model_by_its_type)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(models); i++)
        cr_assert_eq(ax_device_find(models[i]->type), models[i]);
}

Test(registry, knows_no_other)
{
    cr_assert_null(ax_device_find(""));
    cr_assert_null(ax_device_find("uart"));
    cr_assert_null(ax_device_find("uart16550 "));
}

Test(registry, models_are_complete)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(models); i++) {
        const struct ax_device_ops *ops = models[i];

        cr_assert(ops->read && ops->write, "%s", ops->type);
        cr_assert_geq(ops->state, sizeof(struct ax_device), "%s", ops->type);
        cr_assert(ops->size && ops->widths, "%s", ops->type);
        cr_assert(!ops->extends || ax_device_find(ops->extends));
    }
}
