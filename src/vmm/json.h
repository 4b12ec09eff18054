/*
 * json.h - text from anywhere as a JSON string. Any thread.
 */
#ifndef AX_VMM_JSON_H
#define AX_VMM_JSON_H

struct json_t;

/*
 * What in text is not UTF-8 (a path's bytes, a kernel's own name, a character
 * that was cut) becomes U+FFFD. NULL: out of memory.
 */
struct json_t *ax_json_text(const char *text);

#endif
