/* test_toml.c - the tree: types, order, positions, and what is refused. */
#include "conf/toml.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ax_toml *root;
static struct ax_toml_error error;

static int parse(const char *text)
{
    ax_toml_destroy(root);
    root = NULL;
    memset(&error, 0, sizeof(error));
    return ax_toml_parse(text, strlen(text), &root, &error);
}

static void fini(void)
{
    ax_toml_destroy(root);
}

TestSuite(toml, .fini = fini);

static const struct ax_toml *at(const char *table, const char *key)
{
    const struct ax_toml *t = ax_toml_get(root, table);

    cr_assert_not_null(t);
    return ax_toml_get(t, key);
}

Test(toml, every_type_has_its_value)
{
    const struct ax_toml *val;

    cr_assert_eq(parse("[t]\ns = \"a\\tb\"\ni = -0x7fff\nb = 0b1010\n"
                       "f = 1.5\nn = nan\ny = true\nd = 2026-01-02\n"
                       "o = 10:00:00\na = [1, [2]]\nl = {x = 1}\nu = 1_000\n"),
                 -EINVAL); /* TOML has no negative hexadecimal */
    cr_assert_eq(parse("[t]\ns = \"a\\tb\"\ni = -32767\nb = 0b1010\n"
                       "f = 1.5\nn = nan\ny = true\nd = 2026-01-02\n"
                       "o = 10:00:00\na = [1, [2]]\nl = {x = 1}\nu = 1_000\n"),
                 0);
    cr_assert_eq(root->type, AX_TOML_TABLE);
    cr_assert_null(root->key);
    val = at("t", "s");
    cr_assert_eq(val->type, AX_TOML_STRING);
    cr_assert_str_eq(val->string, "a\tb");
    cr_assert_eq(at("t", "i")->type, AX_TOML_INT);
    cr_assert_eq(at("t", "i")->integer, -32767);
    cr_assert_eq(at("t", "b")->integer, 10);
    cr_assert_eq(at("t", "u")->integer, 1000);
    cr_assert_eq(at("t", "f")->type, AX_TOML_FLOAT);
    cr_assert_float_eq(at("t", "f")->real, 1.5, 0);
    cr_assert(isnan(at("t", "n")->real));
    cr_assert_eq(at("t", "y")->type, AX_TOML_BOOL);
    cr_assert(at("t", "y")->boolean);
    cr_assert_eq(at("t", "d")->type, AX_TOML_DATE);
    cr_assert_eq(at("t", "o")->type, AX_TOML_DATE);
    val = at("t", "a");
    cr_assert_eq(val->type, AX_TOML_ARRAY);
    cr_assert_eq(val->count, 2);
    cr_assert_null(val->items[0].key);
    cr_assert_eq(val->items[1].items[0].integer, 2);
    cr_assert_eq(ax_toml_get(at("t", "l"), "x")->integer, 1);
}

Test(toml, tables_keep_the_order_of_the_file)
{
    static const char *const order[] = {"zoo", "apple", "milk", "bee"};

    cr_assert_eq(parse("[zoo]\n[apple]\nz = 1\na = 2\nm = 3\n"
                       "[milk]\n[bee]\n"),
                 0);
    cr_assert_eq(root->count, 4);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_str_eq(root->items[i].key, order[i]);
    cr_assert_str_eq(root->items[1].items[0].key, "z");
    cr_assert_str_eq(root->items[1].items[1].key, "a");
    cr_assert_str_eq(root->items[1].items[2].key, "m");
    /* On one line the column decides. */
    cr_assert_eq(parse("t = {z = 1, b = 2, a = 3}\n"), 0);
    cr_assert_str_eq(root->items[0].items[0].key, "z");
    cr_assert_str_eq(root->items[0].items[2].key, "a");
}

Test(toml, keys_and_values_know_where_they_stand)
{
    const struct ax_toml *val;

    cr_assert_eq(parse("# comment\n[base]\n  id = 7\nlist = [\n  [1, 2],\n]\n"
                       "\"\xc3\xa4\" = \"\xc3\xa4\"  \n[base.sub]\nx = 1"),
                 0);
    val = ax_toml_get(root, "base");
    cr_assert_eq(val->key_line, 2);
    cr_assert_eq(val->key_column, 2);
    val = at("base", "id");
    cr_assert_eq(val->key_line, 3);
    cr_assert_eq(val->key_column, 3);
    cr_assert_eq(val->line, 3);
    cr_assert_eq(val->column, 8);
    val = at("base", "list");
    cr_assert_eq(val->line, 4);
    cr_assert_eq(val->items[0].line, 5);
    cr_assert_eq(val->items[0].column, 3);
    cr_assert_eq(val->items[0].items[1].column, 7);
    cr_assert_eq(val->items[0].key_line, 0);
    /* Columns count characters, not bytes. */
    val = at("base", "\xc3\xa4");
    cr_assert_eq(val->column, 7);
}

Test(toml, dotted_keys_make_tables)
{
    cr_assert_eq(parse("base.id = 1\nbase.\"n a\" = 2\nkernel.x.y = 3\n"), 0);
    cr_assert_eq(root->count, 2);
    cr_assert_eq(at("base", "id")->integer, 1);
    cr_assert_eq(at("base", "n a")->integer, 2);
    cr_assert_eq(ax_toml_get(at("kernel", "x"), "y")->integer, 3);
}

Test(toml, get_finds_nothing_where_nothing_is)
{
    cr_assert_eq(parse("a = [1]\nb = 2\n"), 0);
    cr_assert_null(ax_toml_get(root, "c"));
    cr_assert_null(ax_toml_get(&root->items[0], "a"));
    cr_assert_null(ax_toml_get(&root->items[1], "a"));
}

Test(toml, an_empty_text_is_an_empty_table)
{
    struct ax_toml *tree;

    cr_assert_eq(parse(""), 0);
    cr_assert_eq(root->count, 0);
    cr_assert_eq(ax_toml_parse(NULL, 0, &tree, &error), 0);
    ax_toml_destroy(tree);
    cr_assert_eq(parse("# nothing\n\n"), 0);
    cr_assert_eq(root->count, 0);
}

Test(toml, the_text_need_not_end_in_nul)
{
    char text[] = {'a', '=', '1', '2'};
    char *copy = malloc(sizeof(text)); /* so that ASan sees one byte too far */

    memcpy(copy, text, sizeof(text));
    cr_assert_eq(ax_toml_parse(copy, sizeof(text), &root, &error), 0);
    free(copy);
    cr_assert_eq(root->items[0].integer, 12);
}

Test(toml, mistakes_are_located)
{
    cr_assert_eq(parse("[base]\nid = \n"), -EINVAL);
    cr_assert_null(root);
    cr_assert_eq(error.line, 2);
    cr_assert_geq(error.column, 5);
    cr_assert_gt(strlen(error.text), 0);
    cr_assert_neq(strncmp(error.text, "Error", 5), 0);
    cr_assert_eq(parse("a = \"open\n"), -EINVAL);
    cr_assert_eq(error.line, 1);
    cr_assert_eq(parse("a = 99999999999999999999\n"), -EINVAL);
    cr_assert_eq(parse("a = [1\n"), -EINVAL);
    cr_assert_eq(parse("= 1\n"), -EINVAL);
    cr_assert_eq(parse("a = 1 b = 2\n"), -EINVAL);
    cr_assert_eq(parse("a = '\x01'\n"), -EINVAL);
    cr_assert_eq(parse("a = '\xff\xfe'\n"), -EINVAL);
}

/* What toml++ asserts instead of reporting; see toml.cc. */
Test(toml, malformed_headers_are_no_reason_to_abort)
{
    static const char *const texts[] = {"[&",  "[+",      "[+\n",  "[=]",
                                        "[[=", "[[[a]]]", "[[[]]", "[\"",
                                        "[ ",  "[",       "[["};

    for (size_t i = 0; i < AX_ARRAY_LEN(texts); i++)
        cr_assert_eq(parse(texts[i]), -EINVAL, "%s", texts[i]);
}

/* Where toml++ would ask an undefined question about them; see toml.cc. */
Test(toml, other_than_ascii_stands_in_strings_and_comments)
{
    cr_assert_eq(parse("\xef\xbb\xbf# \xc3\xa4\na = '\xc3\xa4' # \xc3\xa4\n"
                       "b = \"\\\"\xc3\xa4\"\n"
                       "c = \"\"\"\xc3\xa4\\\n  x \xc3\xa4\"\"\"\n"
                       "'\xc3\xa4' = '''\xc3\xa4\\\n\xc3\xa4'''\n"),
                 0, "%s", error.text);
    cr_assert_str_eq(root->items[2].string, "\xc3\xa4x \xc3\xa4");
    cr_assert_eq(parse("\xef\xbb\xbf\"a\" = 1"), 0);
    cr_assert_eq(parse("a = '\xc3\xa4' \xc3\xa4\n"), -EINVAL);
    cr_assert_eq(error.line, 1);
    cr_assert_eq(error.column, 9);
    cr_assert_eq(parse("\n\xc3\xa4 = 1\n"), -EINVAL);
    cr_assert_eq(error.line, 2);
    cr_assert_eq(parse("a\xc2\xa0= 1\n"), -EINVAL);
    cr_assert_eq(parse("[\xd2\x80]\n"), -EINVAL);
    cr_assert_eq(parse("a = \"\"\"x\\\n\t \xc3\xa4\"\"\"\n"), -EINVAL);
    cr_assert_eq(error.line, 2);
    cr_assert_eq(error.column, 3);
    cr_assert_eq(parse("a = \"\"\"\\\xc3\xa4\"\"\"\n"), -EINVAL);
    cr_assert_eq(parse("a = \"\\\xc3\xa4\"\n"), -EINVAL);
    cr_assert_eq(parse("a = 1\"\xc3\xa4\"\n"), -EINVAL);
    cr_assert_not_null(strstr(error.text, "middle of a word"));
    cr_assert_eq(parse("a = 2026-01-02 1\"\xc3\xa4\"\n"), -EINVAL);
    cr_assert_eq(parse("a = 2026-01-02 \"\xc3\xa4\"\n"), -EINVAL);
}

Test(toml, a_name_given_twice_is_refused)
{
    cr_assert_eq(parse("a = 1\na = 2\n"), -EINVAL);
    cr_assert_eq(error.line, 2);
    cr_assert_not_null(strstr(error.text, "'a'"));
    cr_assert_eq(parse("[t]\n[u]\n[t]\n"), -EINVAL);
    cr_assert_eq(error.line, 3);
    cr_assert_eq(parse("t = {a = 1, a = 2}\n"), -EINVAL);
}

Test(toml, nul_is_refused_in_strings_and_keys)
{
    cr_assert_eq(parse("a = 1\nb = \"x\\u0000y\"\n"), -EINVAL);
    cr_assert_eq(error.line, 2);
    cr_assert_eq(error.column, 5);
    cr_assert_eq(parse("\"x\\u0000y\" = 1\n"), -EINVAL);
    cr_assert_eq(error.line, 1);
    cr_assert_eq(ax_toml_parse("a\0b = 1", 7, &root, &error), -EINVAL);
}

static char *repeat(const char *head, const char *part, size_t count,
                    const char *tail)
{
    size_t len = strlen(part);
    char *text = malloc(strlen(head) + len * count + strlen(tail) + 1),
         *end = text;

    end = stpcpy(end, head);
    for (size_t i = 0; i < count; i++)
        end = stpcpy(end, part);
    strcpy(end, tail);
    return text;
}

static int parse_repeated(const char *head, const char *part, size_t count,
                          const char *tail)
{
    char *text = repeat(head, part, count, tail);
    int err = parse(text);

    free(text);
    return err;
}

Test(toml, deep_nesting_is_refused_in_every_spelling)
{
    char *closing = repeat("", "]", 15, "");

    cr_assert_eq(parse_repeated("a=", "[", 15, closing), 0);
    free(closing);
    cr_assert_eq(parse_repeated("a=", "[", 17, "]]]]]]]]]]]]]]]]]"), -EINVAL);
    cr_assert_eq(parse_repeated("a=", "{a=", 17, "1}}}}}}}}}}}}}}}}}"),
                 -EINVAL);
    cr_assert_eq(parse_repeated("a", ".a", 15, "=1"), 0);
    cr_assert_eq(parse_repeated("a", ".a", 16, "=1"), -EINVAL);
    cr_assert_eq(parse_repeated("[a", ".a", 16, "]"), -EINVAL);
    cr_assert_eq(parse_repeated("[a", ".a", 14, "]\nb.c.d=1"), -EINVAL);
    /* Enough to exhaust the stack if it were built and freed by recursion. */
    cr_assert_eq(parse_repeated("x=1\na", ".a", 400000, "=1"), -EINVAL);
    cr_assert_eq(error.line, 2);
    cr_assert_eq(parse_repeated("[a", " . 'a.b'", 100000, "]"), -EINVAL);
    cr_assert_eq(parse_repeated("a=", "[", 400000, ""), -EINVAL);
    cr_assert_eq(parse_repeated("a=", "{a.a=", 100000, ""), -EINVAL);
}

Test(toml, dots_that_are_not_of_keys_do_not_count)
{
    cr_assert_eq(parse_repeated("a = \"", "..", 100, "\""), 0);
    cr_assert_eq(parse_repeated("a = '", ".\"", 100, "'"), 0);
    cr_assert_eq(parse_repeated("a = '''", ".\n'", 100, " '''"), 0);
    cr_assert_eq(parse_repeated("a = \"\"\"", ".\\\"\"", 100, " \"\"\""), 0);
    cr_assert_eq(parse_repeated("a = \"\"\"x\"\"\"\"\" # ", ".", 100, "\n"), 0);
    cr_assert_eq(parse_repeated("a = [", "1.5, ", 100, "]"), 0);
    cr_assert_eq(parse_repeated("# '", ".", 100, "\na = 1"), 0);
    cr_assert_eq(parse_repeated("", "", 0, "a = ''\nb = \"\"\nc = 1.5"), 0);
    /* ... and strings hide no key that follows them. */
    cr_assert_eq(parse_repeated("s = '''x'''\na", ".a", 400000, "=1"), -EINVAL);
    cr_assert_eq(parse_repeated("s = \"\\\\\"\na", ".a", 400000, "=1"),
                 -EINVAL);
}

Test(toml, long_messages_are_cut_between_characters)
{
    char *key = repeat("", "\xc3\xa4", 300, "");
    char *text = malloc(2 * strlen(key) + 32);

    sprintf(text, "\"%s\" = 1\n\"%s\" = 2\n", key, key);
    cr_assert_eq(parse(text), -EINVAL);
    cr_assert_lt(strlen(error.text), sizeof(error.text));
    cr_assert_neq((unsigned char)error.text[strlen(error.text) - 1], 0xc3);
    free(text);
    free(key);
}

Test(toml, destroy_accepts_null)
{
    ax_toml_destroy(NULL);
}
