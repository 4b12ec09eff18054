/*
 * config_report.c - how problems in a guest file are told: where, what, the
 * line itself with a caret, what was expected, what was probably meant.
 *
 * Everything quoted from the file passes print_clean: a file from elsewhere
 * must not send control sequences to the terminal. Called by config*.c.
 */
#include "vmm/config_impl.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { EXCERPT_WIDTH = 120, EXCERPT_BEFORE = 80, WORD_LEN_MAX = 48 };

static const char *const severity_names[] = {
    [AX_SEVERITY_WARNING] = "warning",
    [AX_SEVERITY_ERROR] = "error",
    [AX_SEVERITY_NOTE] = "note",
};

/* The character at s, or -1: none, in UTF-8's one way of writing it. */
static long decode(const char *s, size_t len)
{
    static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char c = (unsigned char)*s;
    long code = len == 1 ? c : c & (0x7f >> len);

    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return -1;
        code = code << 6 | (s[i] & 0x3f);
    }
    if (code < least[len] || code > 0x10ffff ||
        (code >= 0xd800 && code < 0xe000))
        return -1;
    return code;
}

/* Bytes of the character at s, 0 if it is none or a control character. */
static size_t char_bytes(const char *s, size_t left)
{
    unsigned char c = (unsigned char)*s;
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    long code;

    if (len > left || (c >= 0x80 && c < 0xc0) || c > 0xf7)
        return 0;
    code = decode(s, len);
    return code < 0x20 || (code >= 0x7f && code < 0xa0) ? 0 : len;
}

bool ax_config_is_clean(const char *s)
{
    for (size_t left = strlen(s), len; left; s += len, left -= len) {
        len = *s == '\t' ? 1 : char_bytes(s, left);
        if (!len)
            return false;
    }
    return true;
}

/* How far to go to the next character, however broken it may be. */
static size_t char_step(const char *s, size_t left)
{
    size_t step = 1;

    while (step < left && step < 4 && (s[step] & 0xc0) == 0x80)
        step++;
    return step;
}

static void print_char(FILE *to, const char *s, size_t left)
{
    size_t len = char_bytes(s, left);

    if (*s == '\t')
        fputc('\t', to);
    else if (len)
        fwrite(s, 1, len, to);
    else
        fputc('?', to);
}

static void print_clean(FILE *to, const char *s)
{
    for (size_t left = strlen(s), step; left; s += step, left -= step) {
        print_char(to, s, left);
        step = char_step(s, left);
    }
}

/* The bytes of a line, without its end; false: there is no such line. */
static bool find_line(const char *text, size_t size, unsigned line,
                      const char **out, size_t *len)
{
    const char *end = text + size;

    for (; line > 1; line--) {
        text = size ? memchr(text, '\n', (size_t)(end - text)) : NULL;
        if (!text)
            return false;
        text++;
    }
    *out = text;
    *len = 0;
    while (text + *len < end && text[*len] != '\n' && text[*len] != '\r')
        ++*len;
    return true;
}

/*
 * The line and a caret under its column. Long lines are cut to a window around
 * the column; tabs are repeated below themselves so that the caret fits.
 */
static void print_excerpt(FILE *to, const char *s, size_t left, unsigned line,
                          unsigned column)
{
    unsigned first = column > EXCERPT_BEFORE ? column - EXCERPT_BEFORE / 2 : 1;
    unsigned last = first + EXCERPT_WIDTH;
    char under[EXCERPT_BEFORE + 8];
    size_t n = 0, step;

    if (first > 1)
        n += (size_t)snprintf(under, sizeof(under), "   ");
    fprintf(to, "%5u | %s", line, first > 1 ? "..." : "");
    for (unsigned at = 1; left && at < last; at++, s += step, left -= step) {
        step = char_step(s, left);
        if (at < first)
            continue;
        print_char(to, s, left);
        if (at < column && n < sizeof(under) - 1)
            under[n++] = *s == '\t' ? '\t' : ' ';
    }
    under[n] = '\0';
    fprintf(to, "%s\n      | %s^\n", left ? "..." : "", under);
}

static void print_place(FILE *to, struct conf_load *load, struct ax_pos at,
                        enum ax_severity severity)
{
    bool set = at.line & CONF_SET;
    unsigned line = at.line & ~CONF_SET;

    print_clean(to, set ? "--set" : load->src->file);
    fprintf(to, ":%u:%u: %s: ", line ? line : 1, at.column ? at.column : 1,
            severity_names[severity]);
}

static void print_source(FILE *to, struct conf_load *load, struct ax_pos at)
{
    unsigned line = at.line & ~CONF_SET;
    const char *s;
    size_t len;

    if (!line)
        return;
    if (at.line & CONF_SET) {
        s = load->src->sets[line - 1];
        print_excerpt(to, s, strcspn(s, "\r\n"), line, at.column);
    } else if (find_line(load->text, load->size, line, &s, &len)) {
        print_excerpt(to, s, len, line, at.column);
    }
}

static void print_hint(FILE *to, const char *label, const char *text)
{
    if (!text || !*text)
        return;
    fprintf(to, "  %s: ", label);
    print_clean(to, text);
    fputc('\n', to);
}

static void report(struct conf_load *load, enum ax_severity severity,
                   const char *text)
{
    if (load->src->report)
        load->src->report(load->src->ctx, severity, text);
}

void ax_config_say(struct conf_load *load, enum ax_severity severity,
                   struct ax_pos at, const struct conf_hint *hint,
                   const char *fmt, ...)
{
    char *text = NULL, *all = NULL;
    size_t size;
    va_list args;
    FILE *to;

    if (severity == AX_SEVERITY_NOTE && !load->src->notes)
        return;
    load->errors += severity == AX_SEVERITY_ERROR;
    if (load->told++ >= CONF_REPORTS)
        return;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    to = open_memstream(&all, &size);
    if (!text || !to) {
        load->err = -ENOMEM;
    } else {
        print_place(to, load, at, severity);
        print_clean(to, text);
        fputc('\n', to);
        print_source(to, load, at);
        if (hint) {
            fputs(hint->block ? hint->block : "", to);
            print_hint(to, "expected", hint->expected);
            print_hint(to, "help", hint->help);
        }
    }
    if (to && !fclose(to) && text)
        report(load, severity, all);
    free(all);
    free(text);
}

void ax_config_say_file(struct conf_load *load, const char *text)
{
    char *all = NULL;
    size_t size;
    FILE *to = open_memstream(&all, &size);

    load->errors++;
    if (!to) {
        load->err = -ENOMEM;
        return;
    }
    print_clean(to, load->src->file);
    fprintf(to, ": error: %s\n", text);
    if (!fclose(to))
        report(load, AX_SEVERITY_ERROR, all);
    free(all);
}

void ax_config_say_rest(struct conf_load *load)
{
    char text[64];

    if (load->told <= CONF_REPORTS)
        return;
    snprintf(text, sizeof(text), "%u more problems are not shown",
             load->told - CONF_REPORTS);
    ax_config_say_file(load, text);
    load->errors--; /* they were counted when they were found */
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    a = a < b ? a : b;
    return a < c ? a : c;
}

/*
 * Damerau-Levenshtein distance (optimal string alignment) without case: how
 * many letters were left out, added, changed, or swapped with their neighbour.
 */
static unsigned edit_distance(const char *a, size_t a_len, const char *b,
                              size_t b_len)
{
    unsigned rows[3][WORD_LEN_MAX + 1], *past = rows[0], *last = rows[1],
                                        *row = rows[2];

    for (unsigned j = 0; j <= b_len; j++)
        past[j] = last[j] = j;
    for (unsigned i = 1; i <= a_len; i++) {
        unsigned *oldest = past;

        row[0] = i;
        for (unsigned j = 1; j <= b_len; j++) {
            int x = tolower((unsigned char)a[i - 1]);
            int y = tolower((unsigned char)b[j - 1]);

            row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x != y &&
                x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]) &&
                past[j - 2] + 1 < row[j])
                row[j] = past[j - 2] + 1;
        }
        past = last;
        last = row;
        row = oldest;
    }
    return last[b_len];
}

/* "ramdisk" or "path" for "ramdisk_path": many letters, but one thought. */
static bool is_part(const char *word, size_t len, const char *candidate,
                    size_t candidate_len)
{
    const char *tail;

    if (len < 3 || candidate_len <= len)
        return false;
    tail = candidate + candidate_len - len;
    return (candidate[len] == '_' && !strncmp(word, candidate, len)) ||
           (tail[-1] == '_' && !strcmp(word, tail));
}

bool ax_config_nearest(struct conf_nearest *nearest, const char *candidate)
{
    size_t len = strlen(nearest->word), candidate_len = strlen(candidate);
    unsigned distance, limit = (unsigned)len / 3;

    if (!len || len > WORD_LEN_MAX || candidate_len > WORD_LEN_MAX)
        return false;
    distance = edit_distance(nearest->word, len, candidate, candidate_len);
    if (is_part(nearest->word, len, candidate, candidate_len))
        distance = 1;
    if (distance > (limit ? limit : 1) || distance >= len)
        return false;
    if (nearest->best && distance >= nearest->distance)
        return false;
    nearest->best = candidate;
    nearest->distance = distance;
    return true;
}
