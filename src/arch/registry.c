/*
 * registry.c - the list of architectures: one line each.
 */
#include "arch/arch.h"

#include <string.h>

static const struct ax_arch *const arches[] = {
    &ax_arch_x86_64,
};

const struct ax_arch *ax_arch_find(const char *name)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(arches); i++) {
        if (!strcmp(arches[i]->name, name))
            return arches[i];
    }
    return NULL;
}

const char *ax_arch_host(void)
{
    return AX_HOST_ARCH;
}
