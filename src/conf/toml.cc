/*
 * toml.cc - TOML text to the C tree of toml.h, by way of toml++.
 *
 * The only C++ of the project. It knows nothing of keys or their meaning, and
 * nothing of toml++ is visible outside. Called by vmm/config*.c and tests.
 */
#include "conf/toml.h"

/*
 * toml++ asserts what malformed text can violate, as "[&" does (its issue 294),
 * and with NDEBUG lets the compiler assume it. Without either, the code behind
 * the assertion reports the mistake as it should.
 */
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)

/* Not string streams, which are half a megabyte of a static binary. */
#define TOML_FLOAT_CHARCONV 1

#define TOML_EXCEPTIONS                 0
#define TOML_ENABLE_FORMATTERS          0
#define TOML_ENABLE_UNRELEASED_FEATURES 0
#define TOML_MAX_NESTED_VALUES          16

#include <toml++/toml.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#ifdef AX_STATIC
/*
 * Takes the place of libstdc++'s, which demangles the name of the exception:
 * 40 KiB of a static binary, and nothing here throws.
 */
namespace __gnu_cxx
{
void __verbose_terminate_handler()
{
    __builtin_trap();
}
} // namespace __gnu_cxx
#endif

static_assert(TOML_MAX_NESTED_VALUES == AX_TOML_DEPTH, "one limit for both");

namespace
{

/* How toml++ begins its messages: nothing that "error" has not said. */
constexpr std::string_view prefix = "Error while ";

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr const char too_deep[] = "values are nested too deeply (16 levels)";

int fail(ax_toml_error *err, unsigned line, unsigned column, const char *text,
         size_t length)
{
    err->line = line ? line : 1;
    err->column = column ? column : 1;
    if (length >= sizeof(err->text))
        length = sizeof(err->text) - 1;
    while (length && (text[length] & 0xc0) == 0x80)
        length--; /* not in the middle of a UTF-8 sequence */
    memcpy(err->text, text, length);
    err->text[length] = '\0';
    return -EINVAL;
}

int fail(ax_toml_error *err, const toml::source_region &at, const char *text)
{
    return fail(err, at.begin.line, at.begin.column, text, strlen(text));
}

/* Line and column of a byte, as toml++ counts them: columns in characters. */
int fail_at(ax_toml_error *err, std::string_view text, size_t at,
            const char *why)
{
    unsigned line = 1, column = 1;

    for (size_t i = 0; i < at; i++) {
        column += (text[i] & 0xc0) != 0x80;
        if (text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return fail(err, line, column, why, strlen(why));
}

/*
 * A look at the text before toml++ sees it, for what toml++ gets wrong:
 *
 * It bounds how deep values nest but not how many parts a dotted key has, and
 * it frees what it built by recursion: "[a.a.a.a...]" would exhaust the stack.
 *
 * It asks whether a character is white space in a function that is undefined
 * for most others from U+00A1 to U+0499. It asks outside strings, where TOML
 * has no such characters anyway, and where a backslash swallows a line end; and
 * it looks for the end of a number past quotes, so none may stand in one.
 *
 * The scan agrees with toml++ on every prefix that toml++ accepts; after its
 * first error it does not matter what is seen here.
 */
class scan
{
  public:
    explicit scan(std::string_view text_) : text{text_}
    {
    }

    int run(ax_toml_error *err);

  private:
    std::string_view text;
    size_t at = 0;
    unsigned dots = 0;
    const char *problem = nullptr; /* at the byte at */

    bool more() const
    {
        return at < text.size();
    }

    void skip_comment();
    void skip_escape(bool multi);
    void skip_string();
    void see(char c);
};

void scan::skip_comment()
{
    while (more() && text[at] != '\n')
        at++;
}

/* At a backslash; in a string of several lines it may swallow line ends. */
void scan::skip_escape(bool multi)
{
    size_t next = text.find_first_not_of(" \t\r\n", at + 1);

    if (multi && next != std::string_view::npos && (text[next] & 0x80)) {
        at = next;
        problem = "after a backslash and a line end, begin with an ASCII "
                  "character";
        return;
    }
    at += 2;
}

/*
 * One string of any of the four kinds. What is malformed ends at the end of its
 * line, where toml++ gives up as well.
 */
void scan::skip_string()
{
    const char quote = text[at];
    const bool multi =
        text.size() - at >= 3 && text[at + 1] == quote && text[at + 2] == quote;
    const size_t closing = multi ? 3 : 1;
    size_t quotes = 0;

    at += closing;
    while (more() && quotes < closing && (multi || text[at] != '\n')) {
        quotes = text[at] == quote ? quotes + 1 : 0;
        if (text[at] == '\\' && quote == '"')
            skip_escape(multi);
        else
            at++;
        if (problem)
            return;
    }
    /* Up to two quotes may stand before the closing three. */
    for (int i = 0; multi && i < 2 && more() && text[at] == quote; i++)
        at++;
}

void scan::see(char c)
{
    if (c == '.')
        dots++;
    else if (strchr("\n=,[]{}", c))
        dots = 0;
    if (dots >= AX_TOML_DEPTH)
        problem = too_deep;
    else if (c & 0x80)
        problem = "only strings and comments may contain other than ASCII "
                  "characters";
    else
        at++;
}

int scan::run(ax_toml_error *err)
{
    const size_t start = text.substr(0, 3) == byte_order_mark ? 3 : 0;

    at = start;
    while (more() && !problem) {
        if (text[at] == '#')
            skip_comment();
        else if (text[at] != '"' && text[at] != '\'')
            see(text[at]);
        else if (at == start || strchr(" \t\r\n=,[{.", text[at - 1]))
            skip_string();
        else
            problem = "a quote stands in the middle of a word";
    }
    return problem ? fail_at(err, text, at, problem) : 0;
}

/* A C string of the bytes; -EINVAL if it would end early. */
int copy_text(std::string_view from, const toml::source_region &at, char **to,
              ax_toml_error *err)
{
    if (from.find('\0') != std::string_view::npos)
        return fail(err, at, "\\u0000 is not allowed here");
    *to = static_cast<char *>(malloc(from.size() + 1));
    if (!*to)
        return -ENOMEM;
    memcpy(*to, from.data(), from.size());
    (*to)[from.size()] = '\0';
    return 0;
}

int convert(const toml::node &from, unsigned depth, ax_toml *to,
            ax_toml_error *err);

/* toml++ keeps a table sorted by key; people think in the file's order. */
int by_position(const void *a, const void *b)
{
    const ax_toml *l = static_cast<const ax_toml *>(a);
    const ax_toml *r = static_cast<const ax_toml *>(b);

    if (l->key_line != r->key_line)
        return l->key_line < r->key_line ? -1 : 1;
    return (l->key_column > r->key_column) - (l->key_column < r->key_column);
}

int allocate_items(size_t count, ax_toml *to)
{
    if (!count)
        return 0;
    to->items = static_cast<ax_toml *>(calloc(count, sizeof(ax_toml)));
    return to->items ? 0 : -ENOMEM;
}

int convert_table(const toml::table &from, unsigned depth, ax_toml *to,
                  ax_toml_error *err)
{
    int ret = allocate_items(from.size(), to);

    to->type = AX_TOML_TABLE;
    for (auto it = from.cbegin(); !ret && it != from.cend(); ++it) {
        const toml::source_region &at = it->first.source();
        ax_toml *item = &to->items[to->count++];

        item->type = AX_TOML_BOOL; /* nothing to free until converted */
        item->key_line = at.begin.line;
        item->key_column = at.begin.column;
        ret = copy_text(it->first.str(), at, &item->key, err);
        if (!ret)
            ret = convert(it->second, depth + 1, item, err);
    }
    if (!ret && to->count > 1)
        qsort(to->items, to->count, sizeof(*to->items), by_position);
    return ret;
}

int convert_array(const toml::array &from, unsigned depth, ax_toml *to,
                  ax_toml_error *err)
{
    int ret = allocate_items(from.size(), to);

    to->type = AX_TOML_ARRAY;
    for (size_t i = 0; !ret && i < from.size(); i++)
        ret = convert(from[i], depth + 1, &to->items[to->count++], err);
    return ret;
}

int convert(const toml::node &from, unsigned depth, ax_toml *to,
            ax_toml_error *err)
{
    if (depth > AX_TOML_DEPTH)
        return fail(err, from.source(), too_deep);
    to->line = from.source().begin.line;
    to->column = from.source().begin.column;
    to->type = AX_TOML_DATE;
    if (const auto *table = from.as_table())
        return convert_table(*table, depth, to, err);
    if (const auto *array = from.as_array())
        return convert_array(*array, depth, to, err);
    if (const auto *string = from.as_string()) {
        to->type = AX_TOML_STRING;
        return copy_text(string->get(), from.source(), &to->string, err);
    }
    if (const auto *integer = from.as_integer()) {
        to->type = AX_TOML_INT;
        to->integer = integer->get();
    } else if (const auto *real = from.as_floating_point()) {
        to->type = AX_TOML_FLOAT;
        to->real = real->get();
    } else if (const auto *boolean = from.as_boolean()) {
        to->type = AX_TOML_BOOL;
        to->boolean = boolean->get();
    }
    return 0;
}

void release(ax_toml *node)
{
    free(node->key);
    if (node->type == AX_TOML_STRING)
        free(node->string);
    for (size_t i = 0; i < node->count; i++)
        release(&node->items[i]);
    free(node->items);
}

} // namespace

int ax_toml_parse(const char *text, size_t size, struct ax_toml **out,
                  struct ax_toml_error *err)
{
    const std::string_view view(size ? text : "", size);
    ax_toml *root;
    int ret;

    *out = nullptr;
    ret = scan(view).run(err);
    if (ret)
        return ret;
    const toml::parse_result result = toml::parse(view, std::string_view());
    if (!result) {
        const toml::parse_error &error = result.error();
        std::string_view why = error.description();

        if (why.substr(0, prefix.size()) == prefix)
            why.remove_prefix(prefix.size());
        return fail(err, error.source().begin.line, error.source().begin.column,
                    why.data(), why.size());
    }
    root = static_cast<ax_toml *>(calloc(1, sizeof(*root)));
    if (!root)
        return -ENOMEM;
    ret = convert(result.table(), 0, root, err);
    if (ret) {
        ax_toml_destroy(root);
        return ret;
    }
    *out = root;
    return 0;
}

void ax_toml_destroy(struct ax_toml *root)
{
    if (!root)
        return;
    release(root);
    free(root);
}

const struct ax_toml *ax_toml_get(const struct ax_toml *table, const char *key)
{
    if (table->type != AX_TOML_TABLE)
        return nullptr;
    for (size_t i = 0; i < table->count; i++) {
        if (!strcmp(table->items[i].key, key))
            return &table->items[i];
    }
    return nullptr;
}
