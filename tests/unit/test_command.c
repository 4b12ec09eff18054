/* test_command.c - the command table: words to requests, answers to text. */
#include "control/command.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 16 };

/* Parses a line; the error is empty where there is none. */
struct parsed {
    char line[512], error[AX_COMMAND_ERROR];
    struct ax_command_call call;
    int err;
};

static struct parsed parse(const char *line)
{
    const char *words[WORDS];
    struct parsed p;
    int count;

    memset(&p, 0, sizeof(p));
    snprintf(p.line, sizeof(p.line), "%s", line);
    count = ax_command_split(p.line, words, WORDS);
    cr_assert_geq(count, 0, "%s", line);
    p.err =
        ax_command_parse((unsigned)count, words, "/home/me", &p.call, p.error);
    return p;
}

/* The requests of a line, in the order of their members' names. */
static void expect_requests(const char *line, const char *wanted)
{
    struct parsed p = parse(line);
    char *text;

    cr_assert_eq(p.err, 0, "%s: %s", line, p.error);
    text = json_dumps(p.call.requests, JSON_COMPACT | JSON_SORT_KEYS);
    cr_assert_str_eq(text, wanted);
    free(text);
    ax_command_fini(&p.call);
}

static void expect_error(const char *line, const char *words)
{
    struct parsed p = parse(line);

    cr_assert_eq(p.err, -EINVAL, "%s", line);
    cr_assert(strstr(p.error, words), "%s: '%s' lacks '%s'", line, p.error,
              words);
    cr_assert_null(p.call.requests);
    cr_assert_null(p.call.options);
}

/* What a line's command prints of an answer. */
static void expect_text(const char *line, const char *result,
                        const char *wanted)
{
    struct parsed p = parse(line);
    json_t *json = json_loads(result, 0, NULL);
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cr_assert_eq(p.err, 0, "%s: %s", line, p.error);
    cr_assert_not_null(json, "%s", result);
    cr_assert_not_null(to);
    ax_command_print(&p.call, json, to);
    fclose(to);
    cr_assert_str_eq(text, wanted);
    free(text);
    json_decref(json);
    ax_command_fini(&p.call);
}

/* ---- the table ---- */

Test(command, every_command_is_found_and_described)
{
    unsigned count = 0;

    for (const struct ax_command *c = ax_commands(); c->name; c++, count++) {
        size_t len = strlen(c->name);

        cr_assert_eq(ax_command_find(c->name), c);
        cr_assert(!strncmp(c->synopsis, c->name, len) &&
                      (!c->synopsis[len] || c->synopsis[len] == ' '),
                  "%s", c->name);
        cr_assert(*c->help, "%s", c->name);
        for (const struct ax_command_option *o = c->options; o->name; o++) {
            cr_assert(o->help && *o->help, "%s --%s", c->name, o->name);
            cr_assert(strstr(c->synopsis, o->name) || o->letter == 'a',
                      "%s --%s", c->name, o->name);
            for (const struct ax_command_option *p = c->options; p != o; p++)
                cr_assert(p->letter != o->letter, "%s -%c", c->name, o->letter);
        }
    }
    cr_assert_eq(count, 21);
    cr_assert_null(ax_command_find("help"));
    cr_assert_null(ax_command_find(""));
}

/* docs/control.md has a row for each command, and no others. */
Test(command, documented)
{
    FILE *f = fopen(AX_SOURCE_DIR "/docs/control.md", "r");
    char line[512];
    unsigned documented = 0, count = 0;
    bool in_table = false;

    cr_assert_not_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (!strncmp(line, "## ", 3))
            in_table = !strcmp(line, "## Commands\n");
        if (!in_table || strncmp(line, "| `", 3))
            continue;
        /* The names are the quoted words of the first column. */
        *strchr(line + 1, '|') = '\0';
        for (char *word = strtok(line, "`, |"); word;
             word = strtok(NULL, "`, |")) {
            cr_assert(ax_command_find(word), "%s", word);
            documented++;
        }
    }
    fclose(f);
    for (const struct ax_command *c = ax_commands(); c->name; c++)
        count++;
    cr_assert_eq(documented, count);
}

/* ---- requests ---- */

Test(command, requests)
{
    expect_requests("list", "[{\"command\":\"list\"}]");
    expect_requests("start a 2", "[{\"command\":\"start\",\"vm\":\"a\"},"
                                 "{\"command\":\"start\",\"vm\":\"2\"}]");
    expect_requests("quit", "[{\"command\":\"quit\"}]");
    expect_requests("wait a --state running",
                    "[{\"command\":\"wait\",\"state\":\"running\","
                    "\"vm\":\"a\"}]");
    expect_requests("show a", "[{\"command\":\"show\",\"vm\":\"a\"}]");
}

Test(command, options)
{
    static const char forced[] = "[{\"command\":\"stop\",\"force\":true,"
                                 "\"timeout\":5,\"vm\":\"a\"}]";

    expect_requests("stop a --force --timeout 5", forced);
    expect_requests("stop -f --timeout=5 a", forced);
    expect_requests("stop -t 5 a -f", forced);
    expect_requests("stop a --timeout 0.5",
                    "[{\"command\":\"stop\",\"timeout\":0.5,\"vm\":\"a\"}]");
    expect_requests("stop -- --force",
                    "[{\"command\":\"stop\",\"vm\":\"--force\"}]");
    expect_requests("stop -", "[{\"command\":\"stop\",\"vm\":\"-\"}]");
}

/* Those of the printer stay here. */
Test(command, options_of_the_printer)
{
    struct parsed p = parse("list -a --json");

    cr_assert_eq(p.err, 0);
    cr_assert(json_is_true(json_object_get(p.call.options, "all")));
    cr_assert(json_is_true(json_object_get(p.call.options, "json")));
    cr_assert_eq(json_object_size(json_array_get(p.call.requests, 0)), 1);
    ax_command_fini(&p.call);
    p = parse("stats a --watch 2.5");
    cr_assert_eq(json_real_value(json_object_get(p.call.options, "watch")),
                 2.5);
    cr_assert_eq(json_object_size(json_array_get(p.call.requests, 0)), 2);
    ax_command_fini(&p.call);
}

Test(command, files_are_absolute)
{
    expect_requests("create a.toml /b.toml",
                    "[{\"command\":\"create\",\"file\":\"/home/me/a.toml\"},"
                    "{\"command\":\"create\",\"file\":\"/b.toml\"}]");
    expect_requests("dump a core",
                    "[{\"command\":\"dump\",\"file\":\"/home/me/core\","
                    "\"vm\":\"a\"}]");
}

Test(command, show_asks_for_statistics_where_they_are)
{
    expect_requests("show a --stats", "[{\"command\":\"stats\",\"vm\":\"a\"}]");
    expect_requests("show a --full", "[{\"command\":\"show\",\"vm\":\"a\"},"
                                     "{\"command\":\"stats\",\"vm\":\"a\"}]");
    expect_requests("show a --full --json",
                    "[{\"command\":\"show\",\"vm\":\"a\"}]");
    expect_error("show a --full --stats", "one of");
}

Test(command, gdb)
{
    expect_requests("gdb a", "[{\"command\":\"gdb\",\"vm\":\"a\"}]");
    expect_requests("gdb a --listen 1234",
                    "[{\"command\":\"gdb\",\"listen\":\"1234\","
                    "\"vm\":\"a\"}]");
    expect_requests("gdb a -l unix:g --exec",
                    "[{\"command\":\"gdb\",\"listen\":\"unix:/home/me/g\","
                    "\"vm\":\"a\"}]");
    expect_requests("gdb a --listen=unix:/g --exec vmlinux",
                    "[{\"command\":\"gdb\",\"listen\":\"unix:/g\","
                    "\"vm\":\"a\"}]");
    expect_requests("gdb a --off",
                    "[{\"command\":\"gdb\",\"off\":true,\"vm\":\"a\"}]");
    expect_error("gdb", "name a VM");
    expect_error("gdb a --listen", "needs SPEC");
    expect_error("gdb a --listen ::1:1", "'::1:1': an IPv6 address stands in");
    expect_error("gdb a --listen \xff", "expected [HOST:]PORT");
    expect_error("gdb a --listen unix:/\xff", "UTF-8");
    expect_error("gdb a vmlinux", "'vmlinux' is for --exec");
    expect_error("gdb a --exec x y", "'y' is too much");
    expect_error("gdb a --exec \xff", "UTF-8");
    expect_error("gdb a --off --exec", "--off stands alone");
    expect_error("gdb a --off --listen 1", "--off stands alone");
}

Test(command, a_console_may_be_named)
{
    expect_requests("console a", "[{\"command\":\"console\",\"vm\":\"a\"}]");
    expect_requests("console a hvc0", "[{\"command\":\"console\","
                                      "\"port\":\"hvc0\",\"vm\":\"a\"}]");
    expect_error("console", "name a VM");
    expect_error("console a b c", "'c' is too much");
    expect_error("console a \xff", "UTF-8");
}

Test(command, a_balloon_may_have_a_size)
{
    expect_requests("balloon a", "[{\"command\":\"balloon\",\"vm\":\"a\"}]");
    expect_requests("balloon a 512M",
                    "[{\"command\":\"balloon\",\"size\":536870912,"
                    "\"vm\":\"a\"}]");
    expect_error("balloon", "name a VM");
    expect_error("balloon a half", "'half' is not a size");
    expect_error("balloon a 16777216T", "is not a size");
    expect_text("balloon a",
                "{\"vm\": \"a\", \"memory\": 1073741824, \"target\": "
                "536870912, \"actual\": 805306368, \"driver\": true, "
                "\"statistics\": {\"free\": 1572864, "
                "\"major_faults\": 7}}",
                "a: 768.0 MiB of 1024.0 MiB, shall have 512.0 MiB\n"
                "  free                        1.5 MiB\n"
                "  major_faults                  7\n");
    expect_text("balloon a",
                "{\"vm\": \"a\", \"memory\": 1048576, \"target\": 1048576, "
                "\"actual\": 1048576, \"driver\": false, "
                "\"statistics\": null}",
                "a: 1.0 MiB of 1.0 MiB, and no driver to change that\n");
}

Test(command, disk_has_a_size)
{
    expect_requests("disk resize a 0",
                    "[{\"command\":\"disk\",\"disk\":\"0\",\"vm\":\"a\"}]");
    expect_requests("disk resize a root 1MiB --force",
                    "[{\"command\":\"disk\",\"disk\":\"root\","
                    "\"force\":true,\"size\":1048576,\"vm\":\"a\"}]");
    expect_error("disk", "say resize");
    expect_error("disk resize a", "name a VM and a disk");
    expect_error("disk eject a 0", "'eject' is nothing to do");
    expect_error("disk resize a 0 lots", "'lots' is not a size");
    expect_error("disk resize a 0 0", "'0' is not a size");
    expect_error("disk resize a 0 16777216T", "is not a size");
    expect_error("disk resize a 0 1G 2G", "'2G' is too much");
    expect_error("disk resize a \xff", "UTF-8");
}

Test(command, net_has_cards_and_cables)
{
    expect_requests("net a", "[{\"command\":\"net\",\"vm\":\"a\"}]");
    expect_requests("net a 1",
                    "[{\"card\":1,\"command\":\"net\",\"vm\":\"a\"}]");
    expect_requests("net a down", "[{\"command\":\"net\",\"up\":false,"
                                  "\"vm\":\"a\"}]");
    expect_requests("net a 0 up", "[{\"card\":0,\"command\":\"net\","
                                  "\"up\":true,\"vm\":\"a\"}]");
    expect_requests("net up", "[{\"command\":\"net\",\"vm\":\"up\"}]");
    expect_error("net", "name a VM");
    expect_error("net a eth0", "'eth0' is no number of a card");
    expect_error("net a -1", "unknown option");
    expect_error("net a 12345", "'12345' is no number");
    expect_error("net a up 0", "'0' is neither up nor down");
    expect_error("net a 0 up 1", "'1' is too much");
}

/* Whose program it is starts it. */
Test(command, gdb_has_a_program)
{
    struct parsed p = parse("gdb a --exec");

    cr_assert(json_is_true(json_object_get(p.call.options, "exec")));
    ax_command_fini(&p.call);
    p = parse("gdb a -e vm/linux");
    cr_assert_str_eq(json_string_value(json_object_get(p.call.options, "exec")),
                     "vm/linux");
    ax_command_fini(&p.call);
}

Test(command, mistakes)
{
    expect_error("", "Unknown command ''");
    expect_error("frobnicate", "Unknown command 'frobnicate'");
    expect_error("stop", "name a VM (usage: stop VM...");
    expect_error("stop \"\"", "not ''");
    expect_error("create", "name a file");
    expect_error("dump a", "name a VM and a file");
    expect_error("delete a b", "'b' is too much");
    expect_error("list a", "'a' is too much");
    expect_error("list --force", "unknown option '--force'");
    expect_error("list -af", "unknown option '-af'");
    expect_error("list --js", "unknown option '--js'");
    expect_error("stop a --force=yes", "takes no value");
    expect_error("stop a --timeout", "needs SECONDS");
    expect_error("stop a --timeout soon", "'soon' is not a number");
    expect_error("stop a --timeout -1", "'-1' is not");
    expect_error("stop a --timeout nan", "'nan' is not");
    expect_error("stop a --timeout 1e300", "'1e300' is not");
    expect_error("start \xff", "UTF-8");
    expect_error("create \xff", "UTF-8");
    expect_error("wait a --state \xff", "UTF-8");
    expect_error("start\n", "Unknown command 'start?'");
}

Test(command, did_you_mean)
{
    expect_error("strat", "did you mean 'start'?");
    expect_error("susp", "did you mean 'suspend'?");
    expect_error("shwo", "did you mean 'show'?");
    expect_error("lst", "did you mean 'list'?");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const far[] = {"exit", "halt",
                                          "averyveryverylongword"};
        struct parsed p = parse(far[i]);

        cr_assert_null(strstr(p.error, "did you mean"), "%s", p.error);
    }
}

Test(command, a_word_that_is_too_long)
{
    char *word = malloc(70000);
    const char *words[] = {"start", word};
    char error[AX_COMMAND_ERROR];
    struct ax_command_call call;

    memset(word, 'x', 69999);
    word[69999] = '\0';
    cr_assert_eq(ax_command_parse(2, words, "/", &call, error), -EINVAL);
    cr_assert(strstr(error, "too long"));
    words[0] = word;
    cr_assert_eq(ax_command_parse(1, words, "/", &call, error), -EINVAL);
    cr_assert(strstr(error, "Unknown"));
    free(word);
}

/* ---- text ---- */

#define LINUX                                                                  \
    "{\"id\":1,\"name\":\"linux\",\"state\":\"running\",\"vcpu\":\"0,1\","     \
    "\"memory\":\"512MB\",\"vcpu_state\":\"Run:1,Blk:1\",\"vcpus\":2,"         \
    "\"pid\":12}"

Test(command, list_is_aligned)
{
    expect_text("list", "{\"vms\":[]}", "No virtual machines found.\n");
    expect_text("list --json", "{\"vms\":[]}", "{\"vms\": []}\n");
    expect_text("list", "{\"vms\":[" LINUX "]}",
                "VM ID  NAME   STATUS   VCPU  MEMORY  VCPU STATE\n"
                "-----  -----  -------  ----  ------  -----------\n"
                "1      linux  running  0,1   512MB   Run:1,Blk:1\n");
    expect_text("list -a",
                "{\"vms\":[" LINUX ",{\"id\":12345678,\"name\":\"gr\u00fcn\","
                "\"state\":\"stopped\",\"pid\":13}]}",
                "PID  VM ID     NAME   STATUS   VCPU  MEMORY  VCPU STATE\n"
                "---  --------  -----  -------  ----  ------  -----------\n"
                "12   1         linux  running  0,1   512MB   Run:1,Blk:1\n"
                "13   12345678  gr\u00fcn   stopped  -     -       -\n");
}

Test(command, states)
{
    expect_text("start a", "{\"state\":\"running\"}", "running\n");
    expect_text("start a", "{\"state\":\"running\",\"vm\":\"a\"}",
                "a: running\n");
    expect_text("create x", LINUX, "linux: running, VM 1\n");
    expect_text("dump a x", "{\"bytes\":4096,\"vm\":\"a\"}", "a: 4096 bytes\n");
    expect_text("disk resize a 0", "{\"size\":512,\"vm\":\"a\"}",
                "a: 512 bytes\n");
    expect_text("net a", "{\"cards\":[],\"vm\":\"a\"}", "No network cards.\n");
    expect_text("net a",
                "{\"cards\":[{\"card\":0,\"mode\":\"tap\",\"mac\":\"m\","
                "\"link\":false,\"plugged\":false,\"rx_frames\":7,"
                "\"tx_lost\":9}]}",
                "card 0: tap, m, link down, unplugged\n"
                "  to guest              7 frames               0 bytes"
                "          0 lost\n"
                "  from guest            0 frames               0 bytes"
                "          9 lost\n");
    expect_text("nmi a", "{}", "");
    expect_text("gdb a", "{\"address\":\"[::1]:1\",\"vm\":\"a\"}",
                "target remote [::1]:1\n");
    expect_text("gdb a --off", "{}", "");
    expect_text("quit", "{}", "");
    expect_text("start a", "{}", "-\n");
}

Test(command, show_in_parts)
{
    static const char all[] =
        "{\"id\":1,\"name\":\"a\",\"state\":\"stopped\",\"vcpu\":\"0\","
        "\"vcpus\":[{\"id\":0,\"state\":\"Inv\"}],\"memory\":\"1MB\","
        "\"memory_regions\":[{\"gpa\":4096,\"kind\":\"ram\"}],\"devices\":[],"
        "\"what\":\"ELF\",\"starts\":3,\"kept\":true,\"gdb\":null,"
        "\"end\":{\"cause\":\"exit\",\"code\":16},\"config\":\"[base]\\n\"}";
    static const char summary[] = "VM 1: a\n"
                                  "  State        stopped\n"
                                  "  vCPUs        0\n"
                                  "  Memory       1MB\n"
                                  "  Boots        ELF\n"
                                  "  Starts       3\n"
                                  "  Last end     exit, code 16\n"
                                  "  Debugger     -\n"
                                  "  Kept         yes\n";
    char full[1024];

    expect_text("show a", all, summary);
    expect_text("show a --config", all, "[base]\n");
    snprintf(full, sizeof(full), "%s%s", summary,
             "vCPUs\n"
             "  id 0, state Inv\n"
             "Memory regions\n"
             "  gpa 0x1000, kind ram\n"
             "Configuration\n"
             "[base]\n");
    expect_text("show a --full", all, full);
}

#define STATS                                                                  \
    "\"vm\":\"a\",\"state\":\"running\",\"vcpus\":[{\"id\":0,\"state\":"       \
    "\"Run\"}],\"exits\":{\"Hlt\":0,\"IoRead\":42},\"accesses\":{\"port\":{"   \
    "\"devices\":[{\"type\":\"uart\",\"reads\":1,\"writes\":2}],"              \
    "\"unclaimed_reads\":0,\"unclaimed_writes\":3}},\"timeline_ms\":{"         \
    "\"loaded\":1.5}"

Test(command, statistics)
{
    expect_text("stats a", "{" STATS "}",
                "VM a: running; vCPUs 0:Run\n"
                "exits\n"
                "  IoRead                         42\n"
                "accesses                    reads       writes\n"
                "  uart                            1            2\n"
                "  unclaimed port                  0            3\n"
                "boot timeline           ms since start\n"
                "  loaded                        1.500\n");
    expect_text("show a --stats",
                "{" STATS ",\"exits_per_s\":{\"IoRead\":10.25}}",
                "VM a: running; vCPUs 0:Run\n"
                "exits                                 per second\n"
                "  IoRead                         42         10.2\n");
}

Test(command, events)
{
    setenv("TZ", "UTC", 1);
    expect_text("events", "{}", "");
    expect_text("events",
                "{\"event\":\"state\",\"name\":\"a\",\"state\":\"running\","
                "\"time\":43201.5}",
                "12:00:01 a running\n");
    expect_text("events",
                "{\"event\":\"end\",\"name\":\"a\",\"cause\":\"exit\","
                "\"code\":3,\"time\":1e300}",
                "00:00:00 a ended: exit, code 3\n");
    expect_text("events", "{\"event\":\"deleted\",\"name\":\"a\",\"time\":0}",
                "00:00:00 a deleted\n");
    expect_text("events --json", "{\"event\":\"x\",\"time\":1763700000.123}",
                "{\"event\": \"x\", \"time\": 1763700000.123}\n");
}

/* ---- words ---- */

static void expect_words(const char *line, int count, const char *joined)
{
    const char *words[4];
    char text[128], seen[128] = "";
    int n;

    snprintf(text, sizeof(text), "%s", line);
    n = ax_command_split(text, words, AX_ARRAY_LEN(words));
    cr_assert_eq(n, count, "%s: %d", line, n);
    for (int i = 0; i < n; i++)
        snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s|",
                 words[i]);
    cr_assert_str_eq(seen, joined);
}

Test(command, split)
{
    expect_words("", 0, "");
    expect_words("  \t ", 0, "");
    expect_words("a", 1, "a|");
    expect_words(" a  b\tc ", 3, "a|b|c|");
    expect_words("\"a b\" c", 2, "a b|c|");
    expect_words("a\" \"b", 1, "a b|");
    expect_words("a\\ b \\\"", 2, "a b|\"|");
    expect_words("\"a\\\"b\"", 1, "a\"b|");
    expect_words("\"\" x", 2, "|x|");
    expect_words("a b c d", 4, "a|b|c|d|");
    expect_words("a b c d e", -E2BIG, "");
    expect_words("\"a", -EINVAL, "");
    expect_words("a\\", -EINVAL, "");
}
