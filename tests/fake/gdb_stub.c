/*
 * gdb_stub.c - see gdb_stub.h.
 */
#include "fake/gdb_stub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct ax_gdb {
    struct ax_vm *vm;
    char address[400];
};

static struct {
    int err;
    const char *why;
    bool busy;
    unsigned alive, created;
    char spec[300];
    struct ax_gdb_env env;
} fake;

void fake_gdb_fail(int err, const char *why)
{
    fake.err = err;
    fake.why = why;
}

void fake_gdb_set_busy(bool busy)
{
    fake.busy = busy;
}

unsigned fake_gdb_alive(void)
{
    return fake.alive;
}

unsigned fake_gdb_created(void)
{
    return fake.created;
}

const char *fake_gdb_spec(void)
{
    return fake.spec;
}

struct ax_gdb_env fake_gdb_env(void)
{
    return fake.env;
}

int ax_gdb_create(const struct ax_gdb_env *env, const char *spec,
                  struct ax_gdb **out, char *why, size_t why_size)
{
    const int err = fake.err;
    struct ax_gdb *gdb = err ? NULL : calloc(1, sizeof(*gdb));

    *out = gdb;
    fake.err = 0;
    if (!gdb) {
        snprintf(why, why_size, "%s", err ? fake.why : "no memory");
        return err ? err : -ENOMEM;
    }
    gdb->vm = env->vm;
    snprintf(gdb->address, sizeof(gdb->address), "fake:%s", spec);
    snprintf(fake.spec, sizeof(fake.spec), "%s", spec);
    fake.env = *env;
    fake.alive++;
    fake.created++;
    return 0;
}

void ax_gdb_destroy(struct ax_gdb *gdb)
{
    if (!gdb)
        return;
    fake.alive--;
    free(gdb);
}

const char *ax_gdb_address(const struct ax_gdb *gdb)
{
    return gdb->address;
}

struct ax_vm *ax_gdb_vm(const struct ax_gdb *gdb)
{
    return gdb->vm;
}

bool ax_gdb_busy(const struct ax_gdb *gdb)
{
    return fake.busy;
}
