/*
 * config_load.h - what the tests of vmm/config*.c share: load a text, keep
 * what was told.
 */
#ifndef AX_TESTS_UNIT_CONFIG_LOAD_H
#define AX_TESTS_UNIT_CONFIG_LOAD_H

#include "vmm/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The least that is a guest: everything else has a default. */
#define KERNEL "[kernel]\nkernel_path = \"vmlinuz\"\n"

struct loaded {
    struct ax_config *conf;
    struct ax_config_source src;
    const char *sets[8];
    unsigned counts[AX_SEVERITIES];
    char told[65536];
};

static inline void loaded_report(void *ctx, enum ax_severity severity,
                                 const char *text)
{
    struct loaded *l = ctx;
    size_t len = strlen(l->told);

    l->counts[severity]++;
    cr_assert_gt(strlen(text), 0);
    cr_assert_eq(text[strlen(text) - 1], '\n', "no newline: %s", text);
    snprintf(l->told + len, sizeof(l->told) - len, "%s", text);
}

static inline void loaded_fini(struct loaded *l)
{
    ax_config_destroy(l->conf);
    l->conf = NULL;
}

/* Loads as src says; text NULL: from the file. */
static inline int load_again(struct loaded *l, const char *text)
{
    int err;

    loaded_fini(l);
    memset(l->counts, 0, sizeof(l->counts));
    l->told[0] = '\0';
    if (!l->src.file)
        l->src.file = "dir/guest.toml";
    l->src.text = text;
    l->src.size = text ? strlen(text) : 0;
    l->src.sets = l->sets;
    l->src.notes = true;
    l->src.report = loaded_report;
    l->src.ctx = l;
    err = ax_config_load(&l->src, &l->conf);
    cr_assert_eq(!err, l->conf != NULL);
    cr_assert_eq(err != 0, l->counts[AX_SEVERITY_ERROR] != 0, "%d: %s", err,
                 l->told);
    return err;
}

static inline bool told(const struct loaded *l, const char *words)
{
    return strstr(l->told, words);
}

/* Accepted, whatever warnings there may be. */
static inline void load_good(struct loaded *l, const char *text)
{
    cr_assert_eq(load_again(l, text), 0, "%s", l->told);
}

/* Refused with exactly one error, and these words. */
static inline void load_bad(struct loaded *l, const char *text,
                            const char *words)
{
    cr_assert_eq(load_again(l, text), -EINVAL, "accepted: %s", text);
    cr_assert_eq(l->counts[AX_SEVERITY_ERROR], 1, "%s", l->told);
    cr_assert(told(l, words), "not '%s' but: %s", words, l->told);
}

/* Accepted, with these words among the warnings. */
static inline void load_warns(struct loaded *l, const char *text,
                              const char *words)
{
    load_good(l, text);
    cr_assert(told(l, words), "not '%s' but: %s", words, l->told);
    cr_assert_gt(l->counts[AX_SEVERITY_WARNING], 0);
}

#endif
