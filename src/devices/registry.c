/*
 * registry.c - finds a model by the name that plans and logs use.
 */
#include "devices/registry.h"

#include <string.h>

#define MODEL_ENTRY(name) &ax_##name,

static const struct ax_device_ops *const models[] = {
    AX_DEVICE_MODELS(MODEL_ENTRY) /* one line per model in the header */
};

const struct ax_device_ops *ax_device_find(const char *type)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(models); i++) {
        if (!strcmp(models[i]->type, type))
            return models[i];
    }
    return NULL;
}
