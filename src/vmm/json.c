/*
 * json.c - text from anywhere as a JSON string.
 */
#include "vmm/json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UTF8_MAX = 4 };

/* Bytes of the character at text, 0 if none begins there. */
static size_t character(const char *text)
{
    const size_t left = strnlen(text, UTF8_MAX);

    for (size_t len = 1; len <= left; len++) {
        json_t *string = json_stringn(text, len);

        json_decref(string);
        if (string)
            return len;
    }
    return 0;
}

static json_t *mend(const char *text)
{
    json_t *string;
    char *mended = NULL;
    size_t size;
    FILE *to = open_memstream(&mended, &size);

    if (!to)
        return NULL;
    while (*text) {
        size_t len = character(text);

        if (len)
            fwrite(text, 1, len, to);
        else
            fputs("\xef\xbf\xbd", to);
        text += len ? len : 1;
    }
    string = fclose(to) ? NULL : json_string(mended);
    free(mended);
    return string;
}

json_t *ax_json_text(const char *text)
{
    json_t *string = json_string(text);

    return string ? string : mend(text);
}
