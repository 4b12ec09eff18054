/*
 * toml.h - toml++ behind a small C tree that knows where everything stands.
 *
 * Plain data: after ax_toml_parse the tree no longer needs the text. The only
 * C++ in the project is toml.cc. No exceptions cross it. Any one thread.
 */
#ifndef AX_CONF_TOML_H
#define AX_CONF_TOML_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum ax_toml_type {
    AX_TOML_TABLE,
    AX_TOML_ARRAY,
    AX_TOML_STRING,
    AX_TOML_INT,
    AX_TOML_FLOAT,
    AX_TOML_BOOL,
    AX_TOML_DATE, /* any date or time; recognised, never wanted */
};

struct ax_toml {
    enum ax_toml_type type;
    char *key; /* NULL for the root and for array elements */
    unsigned key_line, key_column; /* from 1; 0 where there is no key */
    unsigned line, column;         /* of the value */
    union {
        char *string; /* NUL-terminated; TOML's \u0000 is refused */
        int64_t integer;
        double real;
        bool boolean;
    };
    struct ax_toml *items; /* of a table (file order) or an array */
    size_t count;
};

struct ax_toml_error {
    unsigned line, column;
    char text[256];
};

enum { AX_TOML_DEPTH = 16 }; /* deeper nesting is refused */

/* 0, -EINVAL with *err filled, or -ENOMEM. text need not be terminated. */
int ax_toml_parse(const char *text, size_t size, struct ax_toml **out,
                  struct ax_toml_error *err);

/* Accepts NULL. */
void ax_toml_destroy(struct ax_toml *root);

/* The item of that name in a table, or NULL. */
const struct ax_toml *ax_toml_get(const struct ax_toml *table, const char *key);

#ifdef __cplusplus
}
#endif

#endif
