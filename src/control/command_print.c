/*
 * command_print.c - answers to text: a printer for each command that has one.
 */
#include "control/command_parts.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { COLUMNS = 7, CELL = 32 };

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "-";
}

void ax_command_print_state(const json_t *result, const json_t *options,
                            FILE *to)
{
    const char *vm = json_string_value(json_object_get(result, "vm"));

    if (vm)
        fprintf(to, "%s: ", vm);
    fprintf(to, "%s\n", member(result, "state"));
}

void ax_command_print_created(const json_t *result, const json_t *options,
                              FILE *to)
{
    fprintf(to, "%s: %s, VM %" JSON_INTEGER_FORMAT "\n", member(result, "name"),
            member(result, "state"),
            json_integer_value(json_object_get(result, "id")));
}

void ax_command_print_dumped(const json_t *result, const json_t *options,
                             FILE *to)
{
    const char *vm = json_string_value(json_object_get(result, "vm"));

    if (vm)
        fprintf(to, "%s: ", vm);
    fprintf(to, "%" JSON_INTEGER_FORMAT " bytes\n",
            json_integer_value(json_object_get(result, "bytes")));
}

void ax_command_print_size(const json_t *result, const json_t *options,
                           FILE *to)
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

void ax_command_print_net(const json_t *result, const json_t *options, FILE *to)
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

void ax_command_print_balloon(const json_t *result, const json_t *options,
                              FILE *to)
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
void ax_command_print_gdb(const json_t *result, const json_t *options, FILE *to)
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

void ax_command_print_list(const json_t *result, const json_t *options,
                           FILE *to)
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

void ax_command_print_stats(const json_t *result, const json_t *options,
                            FILE *to)
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

/* Statistics come as an answer of their own, see ax_command_requests. */
void ax_command_print_show(const json_t *result, const json_t *options,
                           FILE *to)
{
    if (json_object_get(result, "exits")) {
        ax_command_print_stats(result, options, to);
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
void ax_command_print_event(const json_t *event, const json_t *options,
                            FILE *to)
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
