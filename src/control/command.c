/*
 * command.c - the table, words to requests, answers to text.
 */
#include "control/command.h"

#include "debug/listen.h"
#include "vmm/config.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    WORD_MAX = 4096, /* PATH_MAX; keeps a request far below a line's limit */
    NAME_SIZE = 16,  /* of a command, with its end */
    COLUMNS = 7,
    CELL = 32,
};

/* The arguments of options that have a type. */
static const char seconds[] = "SECONDS", listen_spec[] = "SPEC";

/* ---- printers ---- */

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "-";
}

static void print_state(const json_t *result, const json_t *options, FILE *to)
{
    const char *vm = json_string_value(json_object_get(result, "vm"));

    if (vm)
        fprintf(to, "%s: ", vm);
    fprintf(to, "%s\n", member(result, "state"));
}

static void print_created(const json_t *result, const json_t *options, FILE *to)
{
    fprintf(to, "%s: %s, VM %" JSON_INTEGER_FORMAT "\n", member(result, "name"),
            member(result, "state"),
            json_integer_value(json_object_get(result, "id")));
}

static void print_dumped(const json_t *result, const json_t *options, FILE *to)
{
    const char *vm = json_string_value(json_object_get(result, "vm"));

    if (vm)
        fprintf(to, "%s: ", vm);
    fprintf(to, "%" JSON_INTEGER_FORMAT " bytes\n",
            json_integer_value(json_object_get(result, "bytes")));
}

static void print_size(const json_t *result, const json_t *options, FILE *to)
{
    const char *vm = json_string_value(json_object_get(result, "vm"));

    if (vm)
        fprintf(to, "%s: ", vm);
    fprintf(to, "%" JSON_INTEGER_FORMAT " bytes\n",
            json_integer_value(json_object_get(result, "size")));
}

static void print_card(const json_t *card, FILE *to)
{
    static const char *const counts[][4] = {
        {"  to guest  ", "rx_frames", "rx_bytes", "rx_lost"},
        {"  from guest", "tx_frames", "tx_bytes", "tx_lost"},
    };

    fprintf(to, "card %" JSON_INTEGER_FORMAT ": %s, %s, link %s%s%s\n",
            json_integer_value(json_object_get(card, "card")),
            member(card, "mode"), member(card, "mac"),
            json_is_true(json_object_get(card, "link")) ? "up" : "down",
            json_is_false(json_object_get(card, "plugged")) ? ", unplugged"
                                                            : "",
            json_is_true(json_object_get(card, "vhost"))
                ? ", counted by the kernel (vhost)"
                : "");
    for (size_t i = 0; i < AX_ARRAY_LEN(counts); i++)
        fprintf(to,
                "%s %12" JSON_INTEGER_FORMAT " frames %15" JSON_INTEGER_FORMAT
                " bytes %10" JSON_INTEGER_FORMAT " lost\n",
                counts[i][0],
                json_integer_value(json_object_get(card, counts[i][1])),
                json_integer_value(json_object_get(card, counts[i][2])),
                json_integer_value(json_object_get(card, counts[i][3])));
}

static void print_net(const json_t *result, const json_t *options, FILE *to)
{
    const json_t *cards = json_object_get(result, "cards"), *card;
    size_t at;

    if (!json_array_size(cards))
        fputs("No network cards.\n", to);
    for (at = 0; at < json_array_size(cards); at++) {
        card = json_array_get(cards, at);
        print_card(card, to);
    }
}

/* Bytes, but for what is counted. */
static void print_stat(const char *name, const json_t *val, FILE *to)
{
    static const char *const counts[] = {"major_faults", "minor_faults",
                                         "huge_pages", "huge_pages_failed"};
    bool counted = false;

    for (size_t i = 0; i < AX_ARRAY_LEN(counts); i++)
        counted |= !strcmp(name, counts[i]);
    if (counted)
        fprintf(to, "  %-18s %12" JSON_INTEGER_FORMAT "\n", name,
                json_integer_value(val));
    else
        fprintf(to, "  %-18s %12.1f MiB\n", name,
                json_number_value(val) / 1048576);
}

static double mebibytes(const json_t *result, const char *key)
{
    return json_number_value(json_object_get(result, key)) / 1048576;
}

static void print_balloon(const json_t *result, const json_t *options, FILE *to)
{
    const double target = mebibytes(result, "target");
    const double actual = mebibytes(result, "actual");
    json_t *val;
    const char *name;

    fprintf(to, "%s: %.1f MiB of %.1f MiB", member(result, "vm"), actual,
            mebibytes(result, "memory"));
    if (json_is_false(json_object_get(result, "driver")))
        fputs(", and no driver to change that", to);
    else if (target < actual || target > actual)
        fprintf(to, ", shall have %.1f MiB", target);
    fputc('\n', to);
    json_object_foreach(json_object_get(result, "statistics"), name, val)
    {
        print_stat(name, val, to);
    }
}

/* As gdb wants it. */
static void print_gdb(const json_t *result, const json_t *options, FILE *to)
{
    const char *address = json_string_value(json_object_get(result, "address"));

    if (address)
        fprintf(to, "target remote %s\n", address);
}

static const struct column {
    const char *title, *key;
} columns[COLUMNS] = {
    {"PID", "pid"},
    {"VM ID", "id"},
    {"NAME", "name"},
    {"STATUS", "state"},
    {"VCPU", "vcpu"},
    {"MEMORY", "memory"},
    {"VCPU STATE", "vcpu_state"},
};

static const char *cell(const json_t *vm, const char *key, char text[CELL])
{
    const json_t *value = json_object_get(vm, key);

    if (!json_is_integer(value))
        return member(vm, key);
    snprintf(text, CELL, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return text;
}

/* Characters, which are fewer than bytes in UTF-8. */
static int text_width(const char *text)
{
    int width = 0;

    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const char *text, int width, bool last, FILE *to)
{
    fprintf(to, "%s%*s", text, last ? 0 : width + 2 - text_width(text), "");
    if (last)
        fputc('\n', to);
}

static void print_rule(const int width[COLUMNS], int first, FILE *to)
{
    for (int i = first; i < COLUMNS; i++) {
        for (int j = 0; j < width[i]; j++)
            fputc('-', to);
        fputs(i + 1 < COLUMNS ? "  " : "\n", to);
    }
}

static void print_list(const json_t *result, const json_t *options, FILE *to)
{
    const json_t *vms = json_object_get(result, "vms"), *vm;
    const int first = json_object_get(options, "all") ? 0 : 1;
    int width[COLUMNS];
    char text[CELL];
    size_t at;

    if (!json_array_size(vms)) {
        fputs("No virtual machines found.\n", to);
        return;
    }
    for (int i = 0; i < COLUMNS; i++) {
        width[i] = text_width(columns[i].title);
        json_array_foreach(vms, at, vm)
        {
            int w = text_width(cell(vm, columns[i].key, text));

            width[i] = w > width[i] ? w : width[i];
        }
    }
    for (int i = first; i < COLUMNS; i++)
        print_cell(columns[i].title, width[i], i + 1 == COLUMNS, to);
    print_rule(width, first, to);
    json_array_foreach(vms, at, vm)
    {
        for (int i = first; i < COLUMNS; i++)
            print_cell(cell(vm, columns[i].key, text), width[i],
                       i + 1 == COLUMNS, to);
    }
}

/* Addresses and what is measured in them are read in hexadecimal. */
static bool is_hex(const char *key)
{
    static const char *const keys[] = {"base", "gpa", "size", "entry", "mask"};

    for (size_t i = 0; i < AX_ARRAY_LEN(keys); i++) {
        if (!strcmp(key, keys[i]))
            return true;
    }
    return false;
}

static void print_value(const char *key, const json_t *value, FILE *to)
{
    if (json_is_string(value))
        fputs(json_string_value(value), to);
    else if (json_is_integer(value) && is_hex(key))
        fprintf(to, "0x%" PRIx64, (uint64_t)json_integer_value(value));
    else if (json_is_true(value))
        fputs("yes", to);
    else if (json_is_false(value))
        fputs("no", to);
    else if (json_is_null(value))
        fputs("-", to);
    else
        json_dumpf(value, to, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
}

static void print_end(const json_t *end, FILE *to)
{
    const json_t *code = json_object_get(end, "code");

    fputs(member(end, "cause"), to);
    if (code) {
        fputs(", code ", to);
        print_value("code", code, to);
    }
}

/* An array of objects: a line each, with every member by its name. */
static void print_rows(const char *title, const json_t *rows, FILE *to)
{
    json_t *row, *value;
    const char *key;
    size_t at;

    if (!json_array_size(rows))
        return;
    fprintf(to, "%s\n", title);
    json_array_foreach(rows, at, row)
    {
        const char *separator = "  ";

        json_object_foreach(row, key, value)
        {
            fprintf(to, "%s%s ", separator, key);
            print_value(key, value, to);
            separator = ", ";
        }
        fputc('\n', to);
    }
}

static void print_exits(const json_t *result, FILE *to)
{
    json_t *exits = json_object_get(result, "exits"), *count;
    const json_t *rates = json_object_get(result, "exits_per_s");
    const char *name;

    fprintf(to, "exits%s\n",
            rates ? "                                 per second" : "");
    json_object_foreach(exits, name, count)
    {
        if (!json_integer_value(count))
            continue;
        fprintf(to, "  %-20s %12" JSON_INTEGER_FORMAT, name,
                json_integer_value(count));
        if (rates)
            fprintf(to, " %12.1f",
                    json_number_value(json_object_get(rates, name)));
        fputc('\n', to);
    }
}

static void print_access(const char *name, const char *space,
                         const json_t *reads, const json_t *writes, FILE *to)
{
    const json_int_t r = json_integer_value(reads);
    const json_int_t w = json_integer_value(writes);
    const int width = 20 - text_width(name) - text_width(space);

    if (r || w)
        fprintf(to,
                "  %s%s%*s %12" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT
                "\n",
                name, space, width > 0 ? width : 0, "", r, w);
}

static void print_accesses(json_t *accesses, FILE *to)
{
    json_t *space, *device;
    const char *name;
    size_t at;

    fputs("accesses                    reads       writes\n", to);
    json_object_foreach(accesses, name, space)
    {
        json_array_foreach(json_object_get(space, "devices"), at, device)
        {
            print_access(member(device, "type"), "",
                         json_object_get(device, "reads"),
                         json_object_get(device, "writes"), to);
        }
        print_access("unclaimed ", name,
                     json_object_get(space, "unclaimed_reads"),
                     json_object_get(space, "unclaimed_writes"), to);
    }
}

static void print_stats(const json_t *result, const json_t *options, FILE *to)
{
    json_t *vcpu, *ms;
    const char *step;
    size_t at;

    fprintf(to, "VM %s: %s; vCPUs", member(result, "vm"),
            member(result, "state"));
    json_array_foreach(json_object_get(result, "vcpus"), at, vcpu)
    {
        fprintf(to, " %" JSON_INTEGER_FORMAT ":%s",
                json_integer_value(json_object_get(vcpu, "id")),
                member(vcpu, "state"));
    }
    fputc('\n', to);
    print_exits(result, to);
    if (json_object_get(result, "exits_per_s"))
        return; /* one of many: what changes is enough */
    print_accesses(json_object_get(result, "accesses"), to);
    fputs("boot timeline           ms since start\n", to);
    json_object_foreach(json_object_get(result, "timeline_ms"), step, ms)
    {
        fprintf(to, "  %-20s %14.3f\n", step, json_number_value(ms));
    }
}

static void print_config(const json_t *result, FILE *to)
{
    const char *toml = member(result, "config");
    const size_t len = strlen(toml);

    fputs(toml, to);
    if (!len || toml[len - 1] != '\n')
        fputc('\n', to);
}

static void print_summary(const json_t *result, FILE *to)
{
    static const struct column rows[] = {
        {"State", "state"},
        {"vCPUs", "vcpu"},
        {"vCPU state", "vcpu_state"},
        {"Memory", "memory"},
        {"Boots", "what"},
        {"Starts", "starts"},
        {"Last end", "end"},
        {"Console", "console"},
        {"Debugger", "gdb"},
        {"Kept", "kept"},
    };
    char id[CELL];

    fprintf(to, "VM %s: %s\n", cell(result, "id", id), member(result, "name"));
    for (size_t i = 0; i < AX_ARRAY_LEN(rows); i++) {
        const json_t *value = json_object_get(result, rows[i].key);

        if (!value)
            continue;
        fprintf(to, "  %-12s ", rows[i].title);
        if (json_is_object(value))
            print_end(value, to);
        else
            print_value(rows[i].key, value, to);
        fputc('\n', to);
    }
}

/* Statistics come as an answer of their own, see requests_make. */
static void print_show(const json_t *result, const json_t *options, FILE *to)
{
    if (json_object_get(result, "exits")) {
        print_stats(result, options, to);
    } else if (json_object_get(options, "config")) {
        print_config(result, to);
    } else {
        print_summary(result, to);
        if (!json_object_get(options, "full"))
            return;
        print_rows("vCPUs", json_object_get(result, "vcpus"), to);
        print_rows("Memory regions", json_object_get(result, "memory_regions"),
                   to);
        print_rows("Devices", json_object_get(result, "devices"), to);
        print_rows("Consoles", json_object_get(result, "consoles"), to);
        fputs("Configuration\n", to);
        print_config(result, to);
    }
}

/* The answer to the request itself is no event and prints nothing. */
static void print_event(const json_t *event, const json_t *options, FILE *to)
{
    const double seconds_since =
        json_number_value(json_object_get(event, "time"));
    const time_t when =
        seconds_since > 0 && seconds_since < 1e12 ? (time_t)seconds_since : 0;
    const char *kind = json_string_value(json_object_get(event, "event"));
    char clock[CELL] = "";
    struct tm tm;

    if (!kind)
        return;
    if (localtime_r(&when, &tm))
        strftime(clock, sizeof(clock), "%H:%M:%S ", &tm);
    fprintf(to, "%s%s ", clock, member(event, "name"));
    if (!strcmp(kind, "state")) {
        fputs(member(event, "state"), to);
    } else if (!strcmp(kind, "end")) {
        fputs("ended: ", to);
        print_end(event, to);
    } else {
        fputs(kind, to);
    }
    fputc('\n', to);
}

/* ---- the table ---- */

#define JSON_OPTION                                                            \
    {                                                                          \
        "json", 'j', NULL, "Print JSON, one object per line", false            \
    }
#define TIMEOUT_OPTION(help)                                                   \
    {                                                                          \
        "timeout", 't', seconds, help, true                                    \
    }

static const struct ax_command commands[] = {
    {"list",
     "list [-a] [--json]",
     "List virtual machines",
     AX_ARGS_NONE,
     {{"all", 'a', NULL, "Say also which process runs each", false},
      JSON_OPTION},
     print_list},
    {"show",
     "show VM [--full|--config|--stats] [--json]",
     "Describe a VM",
     AX_ARGS_VM,
     {{"full", 'f', NULL, "Everything that is known", false},
      {"config", 'c', NULL, "Its configuration with all defaults, as TOML",
       false},
      {"stats", 's', NULL, "Its statistics, as the command stats", false},
      JSON_OPTION},
     print_show},
    {"create",
     "create FILE...",
     "Create a VM of each guest file; it is not started",
     AX_ARGS_FILES,
     {{0}},
     print_created},
    {"start",
     "start VM...",
     "Let VMs run that are loaded or stopped",
     AX_ARGS_VMS,
     {{0}},
     print_state},
    {"suspend",
     "suspend VM...",
     "Halt the vCPUs of running VMs",
     AX_ARGS_VMS,
     {{0}},
     print_state},
    {"resume",
     "resume VM...",
     "Let suspended VMs go on",
     AX_ARGS_VMS,
     {{0}},
     print_state},
    {"stop",
     "stop VM... [--force] [--timeout SECONDS]",
     "Ask guests to power off, and end what does not in time",
     AX_ARGS_VMS,
     {{"force", 'f', NULL, "Do not ask", true},
      TIMEOUT_OPTION("Time for the guest instead of base.stop_timeout")},
     print_state},
    {"restart",
     "restart VM... [--force] [--timeout SECONDS]",
     "Stop and start again",
     AX_ARGS_VMS,
     {{"force", 'f', NULL, "Do not ask the guest", true},
      TIMEOUT_OPTION("Time for the guest instead of base.stop_timeout")},
     print_state},
    {"reset",
     "reset VM...",
     "Start again at once, like a PC's reset button",
     AX_ARGS_VMS,
     {{0}},
     print_state},
    {"delete",
     "delete VM [--force]",
     "Remove a VM from its process",
     AX_ARGS_VM,
     {{"force", 'f', NULL, "Also one that runs", true}},
     print_state},
    {"console",
     "console VM [PORT]",
     "Attach to a console: serial (default), hvc0, or a port by its name",
     AX_ARGS_VM_PORT,
     {{0}},
     NULL},
    {"stats",
     "stats VM [--watch SECONDS] [--json]",
     "Count exits and accesses",
     AX_ARGS_VM,
     {{"watch", 'w', seconds, "Again and again, with rates; Ctrl-C ends it",
       false},
      JSON_OPTION},
     print_stats},
    {"wait",
     "wait VM [--state STATE] [--timeout SECONDS]",
     "Wait until a VM has a state",
     AX_ARGS_VM,
     {{"state", 's', "STATE",
       "loading, loaded, running, suspended, stopping or stopped (default)",
       true},
      TIMEOUT_OPTION("Give up after that long")},
     print_state},
    {"events",
     "events [--json]",
     "Tell state changes, crashes and reboots as they happen",
     AX_ARGS_NONE,
     {JSON_OPTION},
     print_event},
    {"nmi",
     "nmi VM",
     "Send every vCPU a non-maskable interrupt",
     AX_ARGS_VM,
     {{0}},
     NULL},
    {"gdb",
     "gdb VM [--listen SPEC] [--off|--exec [VMLINUX]]",
     "Let gdb connect to a VM, and print how",
     AX_ARGS_VM_EXEC,
     {{"listen", 'l', listen_spec,
       "[HOST:]PORT or unix:PATH instead of a socket of its own", true},
      {"off", 'o', NULL, "No longer; a debugger is detached", true},
      {"exec", 'e', NULL, "Start gdb, connected, with VMLINUX as its program",
       false}},
     print_gdb},
    {"dump",
     "dump VM FILE",
     "Write guest memory and registers as an ELF core",
     AX_ARGS_VM_FILE,
     {{0}},
     print_dumped},
    {"balloon",
     "balloon VM [SIZE] [--json]",
     "Show how much memory a guest has, or say how much it shall have",
     AX_ARGS_VM_SIZE,
     {JSON_OPTION},
     print_balloon},
    {"disk",
     "disk resize VM DISK [SIZE] [--force]",
     "Tell a guest that its disk has another size, or give it one",
     AX_ARGS_DISK,
     {{"force", 'f', NULL, "Also a smaller one: what is behind it is lost",
       true}},
     print_size},
    {"net",
     "net VM [CARD] [up|down] [--json]",
     "Tell of network cards, or plug their cables in or out",
     AX_ARGS_NET,
     {JSON_OPTION},
     print_net},
    {"quit", "quit", "End the process and its VMs", AX_ARGS_NONE, {{0}}, NULL},
    {0},
};

const struct ax_command *ax_commands(void)
{
    return commands;
}

const struct ax_command *ax_command_find(const char *name)
{
    for (const struct ax_command *c = commands; c->name; c++) {
        if (!strcmp(c->name, name))
            return c;
    }
    return NULL;
}

void ax_command_help(const struct ax_command *command, FILE *to)
{
    fprintf(to, "Usage: %s\n\n%s.\n", command->synopsis, command->help);
    for (const struct ax_command_option *o = command->options; o->name; o++) {
        char name[64];

        snprintf(name, sizeof(name), "-%c, --%s%s%s", o->letter, o->name,
                 o->arg ? "=" : "", o->arg ? o->arg : "");
        fprintf(to, "%s  %-24s %s\n", o == command->options ? "\n" : "", name,
                o->help);
    }
}

/* ---- words to requests ---- */

struct parse {
    const struct ax_command *command;
    const char *cwd;
    char *error; /* AX_COMMAND_ERROR bytes */
    unsigned at, count;
    const char *const *words;
    const char **args; /* what is no option */
    unsigned arg_count;
    json_t *options, *request; /* request: what all requests have */
};

__attribute__((format(printf, 2, 3))) static int
parse_fail(const struct parse *parse, const char *format, ...)
{
    char what[AX_COMMAND_ERROR];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    /* What to type matters most: a long complaint is cut short. */
    snprintf(parse->error, AX_COMMAND_ERROR, "%s: %.150s (usage: %s)",
             parse->command->name, what, parse->command->synopsis);
    return -EINVAL;
}

static unsigned least_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/*
 * How many letters to change, add, leave out or swap with the next: the optimal
 * string alignment distance. Both are below NAME_SIZE.
 */
static unsigned edit_distance(const char *word, const char *name)
{
    const size_t m = strlen(word), n = strlen(name);
    unsigned d[NAME_SIZE][NAME_SIZE];

    for (unsigned i = 0; i <= m; i++)
        d[i][0] = i;
    for (unsigned j = 0; j <= n; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= m; i++) {
        for (size_t j = 1; j <= n; j++) {
            d[i][j] = d[i - 1][j - 1] + (word[i - 1] != name[j - 1]);
            d[i][j] = least_of(d[i][j], d[i - 1][j] + 1);
            d[i][j] = least_of(d[i][j], d[i][j - 1] + 1);
            if (i > 1 && j > 1 && word[i - 1] == name[j - 2] &&
                word[i - 2] == name[j - 1])
                d[i][j] = least_of(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[m][n];
}

void ax_command_offer(struct ax_command_guess *guess, const char *name)
{
    const size_t len = strlen(guess->word);
    const unsigned least = guess->found ? guess->distance : 3;
    unsigned distance;

    if (!len || len >= NAME_SIZE || strlen(name) >= NAME_SIZE)
        return;
    distance = len >= 3 && !strncmp(guess->word, name, len)
                   ? 0
                   : edit_distance(guess->word, name);
    /* Half of a word is another word. */
    if (distance < least && distance * 2 < strlen(name)) {
        guess->distance = distance;
        guess->found = name;
    }
}

static const char *close_name(const char *word)
{
    struct ax_command_guess guess = {.word = word};

    for (const struct ax_command *c = commands; c->name; c++)
        ax_command_offer(&guess, c->name);
    return guess.found;
}

static int unknown_command(const char *word, char error[AX_COMMAND_ERROR])
{
    const char *near = close_name(word);

    if (near)
        snprintf(error, AX_COMMAND_ERROR,
                 "Unknown command '%s': did you mean '%s'?", word, near);
    else
        snprintf(error, AX_COMMAND_ERROR, "Unknown command '%.200s'", word);
    return -EINVAL;
}

/* One line, whatever the words hold. */
static void blank_controls(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

/* word is "--name", "--name=value" or "-n". */
static const struct ax_command_option *
option_find(const struct ax_command *command, const char *word)
{
    const size_t len = word[1] == '-' ? strcspn(word + 2, "=") : 0;

    for (const struct ax_command_option *o = command->options; o->name; o++) {
        if (len ? strlen(o->name) == len && !strncmp(o->name, word + 2, len)
                : o->letter == word[1] && !word[2])
            return o;
    }
    return NULL;
}

static json_t *file_value(const char *cwd, const char *file)
{
    if (file[0] == '/')
        return json_string(file);
    return json_sprintf("%s/%s", strcmp(cwd, "/") ? cwd : "", file);
}

static json_t *seconds_value(const char *text)
{
    char *end;
    double number;

    number = strtod(text, &end);
    if (end == text || *end || !isfinite(number) || number < 0 || number > 1e9)
        return NULL;
    return number == floor(number) ? json_integer((json_int_t)number)
                                   : json_real(number);
}

/* The process has a working directory of its own. */
static json_t *listen_value(const char *cwd, const char *spec)
{
    const char *path = strncmp(spec, "unix:", 5) ? NULL : spec + 5;

    if (!path || *path == '/')
        return json_string(spec);
    return json_sprintf("unix:%s/%s", strcmp(cwd, "/") ? cwd : "", path);
}

static json_t *option_value(const struct parse *parse,
                            const struct ax_command_option *option,
                            const char *text)
{
    if (!option->arg)
        return json_true();
    if (option->arg == seconds)
        return seconds_value(text);
    if (option->arg == listen_spec)
        return listen_value(parse->cwd, text);
    return json_string(text);
}

/* words[at] begins with a dash; its value may be the next word. */
static int parse_option(struct parse *parse)
{
    const char *word = parse->words[parse->at];
    const struct ax_command_option *option = option_find(parse->command, word);
    const char *value = word[1] == '-' ? strchr(word, '=') : NULL;
    json_t *json;

    if (!option)
        return parse_fail(parse, "unknown option '%s'", word);
    if (value)
        value++;
    else if (option->arg && parse->at + 1 < parse->count)
        value = parse->words[++parse->at];
    if (option->arg && !value)
        return parse_fail(parse, "--%s needs %s", option->name, option->arg);
    if (!option->arg && value)
        return parse_fail(parse, "--%s takes no value", option->name);
    if (option->arg == listen_spec && ax_listen_check(value))
        return parse_fail(parse, "--%s: '%.40s': %s", option->name, value,
                          ax_listen_check(value));
    json = option_value(parse, option, value);
    if (!json)
        return parse_fail(parse, "--%s: '%s' is not %s", option->name, value,
                          option->arg == seconds ? "a number of seconds"
                                                 : "text in UTF-8");
    if (json_object_set(parse->options, option->name, json) ||
        (option->request &&
         json_object_set(parse->request, option->name, json))) {
        json_decref(json);
        return parse_fail(parse, "%s", strerror(ENOMEM));
    }
    json_decref(json);
    return 0;
}

static int parse_words(struct parse *parse)
{
    bool only_args = false;
    int err = 0;

    for (parse->at = 1; parse->at < parse->count && !err; parse->at++) {
        const char *word = parse->words[parse->at];

        if (strlen(word) >= WORD_MAX)
            return parse_fail(parse, "'%.20s...' is too long", word);
        if (!only_args && !strcmp(word, "--"))
            only_args = true;
        else if (!only_args && word[0] == '-' && word[1])
            err = parse_option(parse);
        else
            parse->args[parse->arg_count++] = word;
    }
    return err;
}

static int check_args(const struct parse *parse)
{
    static const struct {
        unsigned least, most;
        const char *missing;
    } expected[] = {
        [AX_ARGS_NONE] = {0, 0, ""},
        [AX_ARGS_VM] = {1, 1, "name a VM"},
        [AX_ARGS_VMS] = {1, UINT32_MAX, "name a VM"},
        [AX_ARGS_FILES] = {1, UINT32_MAX, "name a file"},
        [AX_ARGS_VM_FILE] = {2, 2, "name a VM and a file"},
        [AX_ARGS_VM_EXEC] = {1, 2, "name a VM"},
        [AX_ARGS_VM_PORT] = {1, 2, "name a VM"},
        [AX_ARGS_VM_SIZE] = {1, 2, "name a VM"},
        [AX_ARGS_NET] = {1, 3, "name a VM"},
        [AX_ARGS_DISK] = {3, 4, "say resize, then name a VM and a disk"},
    };
    const enum ax_command_args args = parse->command->args;

    if (parse->arg_count < expected[args].least)
        return parse_fail(parse, "%s", expected[args].missing);
    if (parse->arg_count > expected[args].most)
        return parse_fail(parse, "'%s' is too much",
                          parse->args[expected[args].most]);
    for (unsigned i = 0; i < parse->arg_count; i++) {
        if (!*parse->args[i])
            return parse_fail(parse, "%s, not ''", expected[args].missing);
    }
    return 0;
}

/* Adds a request; vm and file may be NULL. */
static int request_add(const struct parse *parse, const char *command,
                       const char *vm, const char *file, json_t *requests)
{
    json_t *request = json_copy(parse->request);

    if (!request ||
        json_object_set_new(request, "command", json_string(command)))
        goto fail;
    if (vm && json_object_set_new(request, "vm", json_string(vm))) {
        json_decref(request);
        return parse_fail(parse, "'%s' is not text in UTF-8", vm);
    }
    if (file &&
        json_object_set_new(request, "file", file_value(parse->cwd, file))) {
        json_decref(request);
        return parse_fail(parse, "'%s' is not text in UTF-8", file);
    }
    if (!json_array_append_new(requests, request))
        return 0;
    request = NULL;
fail:
    json_decref(request);
    return parse_fail(parse, "%s", strerror(ENOMEM));
}

/* show takes its statistics from the command that has them. */
static int requests_show(const struct parse *parse, json_t *requests)
{
    const bool full = json_object_get(parse->options, "full");
    const bool config = json_object_get(parse->options, "config");
    const bool stats = json_object_get(parse->options, "stats");
    const bool json = json_object_get(parse->options, "json");
    int err = 0;

    if (full + config + stats > 1)
        return parse_fail(parse, "one of --full, --config and --stats");
    if (!stats)
        err = request_add(parse, "show", parse->args[0], NULL, requests);
    if (!err && (stats || (full && !json)))
        err = request_add(parse, "stats", parse->args[0], NULL, requests);
    return err;
}

/* The file is the caller's, who starts the program. */
static int requests_exec(const struct parse *parse, json_t *requests)
{
    const char *file = parse->arg_count > 1 ? parse->args[1] : NULL;
    const json_t *exec = json_object_get(parse->options, "exec");
    const json_t *off = json_object_get(parse->options, "off");

    if (off && (exec || json_object_get(parse->options, "listen")))
        return parse_fail(parse, "--off stands alone");
    if (file && !exec)
        return parse_fail(parse, "'%s' is for --exec", file);
    if (file && json_object_set_new(parse->options, "exec", json_string(file)))
        return parse_fail(parse, "'%s' is not text in UTF-8", file);
    return request_add(parse, parse->command->name, parse->args[0], NULL,
                       requests);
}

static int request_size(const struct parse *parse, const char *text)
{
    uint64_t size;

    if (!ax_config_parse_size(text, &size) || !size || size > INT64_MAX)
        return parse_fail(parse, "'%s' is not a size such as 20G", text);
    if (json_object_set_new(parse->request, "size",
                            json_integer((json_int_t)size)))
        return parse_fail(parse, "%s", strerror(ENOMEM));
    return 0;
}

static int requests_port(const struct parse *parse, json_t *requests)
{
    const char *port = parse->arg_count > 1 ? parse->args[1] : NULL;

    if (port && json_object_set_new(parse->request, "port", json_string(port)))
        return parse_fail(parse, "'%s' is not text in UTF-8", port);
    return request_add(parse, parse->command->name, parse->args[0], NULL,
                       requests);
}

static int requests_size(const struct parse *parse, json_t *requests)
{
    int err = parse->arg_count > 1 ? request_size(parse, parse->args[1]) : 0;

    return err ? err
               : request_add(parse, parse->command->name, parse->args[0], NULL,
                             requests);
}

/* "resize", and what it is about: a disk by its number or serial. */
static int requests_disk(const struct parse *parse, json_t *requests)
{
    const char *what = parse->args[0], *disk = parse->args[2];
    int err = 0;

    if (what && strcmp(what, "resize"))
        return parse_fail(parse, "'%s' is nothing to do with a disk", what);
    if (json_object_set_new(parse->request, "disk", json_string(disk)))
        return parse_fail(parse, "'%s' is not text in UTF-8", disk);
    if (parse->arg_count > 3)
        err = request_size(parse, parse->args[3]);
    return err ? err
               : request_add(parse, "disk", parse->args[1], NULL, requests);
}

/* Digits of a number that fits; -1: it is not that. */
static int card_number(const char *text)
{
    const size_t len = strlen(text);

    return len && len <= 4 && strspn(text, "0123456789") == len
               ? (int)strtol(text, NULL, 10)
               : -1;
}

static int requests_net(const struct parse *parse, json_t *requests)
{
    const char *last =
        parse->arg_count ? parse->args[parse->arg_count - 1] : NULL;
    const bool given = last != NULL;
    const bool up = given && !strcmp(last, "up");
    const bool down = given && !strcmp(last, "down");
    const bool plugs = parse->arg_count > 1 && (up || down);
    const char *card = parse->arg_count == 3 ? parse->args[1] : last;
    const int number = card ? card_number(card) : -1;

    if (parse->arg_count == 3 && !plugs)
        return parse_fail(parse, "'%s' is neither up nor down", last);
    if (parse->arg_count > 1 + (plugs ? 1U : 0U)) {
        if (number < 0)
            return parse_fail(parse, "'%s' is no number of a card", card);
        if (json_object_set_new(parse->request, "card", json_integer(number)))
            return parse_fail(parse, "%s", strerror(ENOMEM));
    }
    if (plugs && json_object_set_new(parse->request, "up", json_boolean(up)))
        return parse_fail(parse, "%s", strerror(ENOMEM));
    return request_add(parse, "net", parse->args[0], NULL, requests);
}

static int requests_make(const struct parse *parse, json_t *requests)
{
    const char *name = parse->command->name;
    int err = 0;

    if (!strcmp(name, "show"))
        return requests_show(parse, requests);
    switch (parse->command->args) {
    case AX_ARGS_NONE:
        return request_add(parse, name, NULL, NULL, requests);
    case AX_ARGS_VM_FILE:
        return request_add(parse, name, parse->args[0], parse->args[1],
                           requests);
    case AX_ARGS_VM_EXEC:
        return requests_exec(parse, requests);
    case AX_ARGS_VM_PORT:
        return requests_port(parse, requests);
    case AX_ARGS_VM_SIZE:
        return requests_size(parse, requests);
    case AX_ARGS_DISK:
        return requests_disk(parse, requests);
    case AX_ARGS_NET:
        return requests_net(parse, requests);
    case AX_ARGS_FILES:
        for (unsigned i = 0; i < parse->arg_count && !err; i++)
            err = request_add(parse, name, NULL, parse->args[i], requests);
        return err;
    default:
        for (unsigned i = 0; i < parse->arg_count && !err; i++)
            err = request_add(parse, name, parse->args[i], NULL, requests);
        return err;
    }
}

static int parse_call(struct parse *parse, struct ax_command_call *out)
{
    int err;

    out->command = parse->command;
    out->options = parse->options = json_object();
    out->requests = json_array();
    parse->request = json_object();
    parse->args = calloc((size_t)parse->count + 1, sizeof(*parse->args));
    if (!parse->args || !parse->options || !parse->request || !out->requests)
        err = parse_fail(parse, "%s", strerror(ENOMEM));
    else if (!(err = parse_words(parse)) && !(err = check_args(parse)))
        err = requests_make(parse, out->requests);
    free(parse->args);
    json_decref(parse->request);
    return err;
}

int ax_command_parse(unsigned count, const char *const *words, const char *cwd,
                     struct ax_command_call *out, char error[AX_COMMAND_ERROR])
{
    const char *name = count ? words[0] : "";
    struct parse parse = {
        .command = ax_command_find(name),
        .cwd = cwd,
        .error = error,
        .count = count,
        .words = words,
    };
    int err;

    memset(out, 0, sizeof(*out));
    err =
        parse.command ? parse_call(&parse, out) : unknown_command(name, error);
    if (err) {
        blank_controls(error);
        ax_command_fini(out);
    }
    return err;
}

void ax_command_fini(struct ax_command_call *call)
{
    json_decref(call->requests);
    json_decref(call->options);
    memset(call, 0, sizeof(*call));
}

void ax_command_print(const struct ax_command_call *call, const json_t *result,
                      FILE *to)
{
    if (json_object_get(call->options, "json")) {
        json_dumpf(result, to, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        fputc('\n', to);
    } else if (call->command->print) {
        call->command->print(result, call->options, to);
    }
}

/* ---- a line to words ---- */

/* Unquotes the word at *from to *to, which is never ahead; both move on. */
static int split_word(char **from, char **to)
{
    bool quoted = false;

    for (; **from && (quoted || (**from != ' ' && **from != '\t')); ++*from) {
        if (**from == '"') {
            quoted = !quoted;
            continue;
        }
        if (**from == '\\' && !*++*from)
            return -EINVAL;
        *(*to)++ = **from;
    }
    return quoted ? -EINVAL : 0;
}

int ax_command_split(char *line, const char **words, unsigned max)
{
    char *from = line, *to = line;
    unsigned count = 0;

    for (;;) {
        bool last;
        int err;

        from += strspn(from, " \t");
        if (!*from)
            return (int)count;
        if (count == max)
            return -E2BIG;
        words[count++] = to;
        err = split_word(&from, &to);
        if (err)
            return err;
        /* to may have come to where from is: look before it ends there. */
        last = !*from;
        *to++ = '\0';
        if (last)
            return (int)count;
        from++;
    }
}
