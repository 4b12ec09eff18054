/*
 * execute.c - the table of commands, the check of a request against it, and the
 * commands that are done at once.
 */
#include "control/execute_parts.h"

#include "control/describe.h"
#include "debug/listen.h"
#include "vmm/json.h"
#include "vmm/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ERROR_TEXT = 512, REPORT_MAX = 32768 };

/* ---- answers ---- */

static void give(struct ax_asker *asker, json_t *id, const char *key,
                 json_t *val)
{
    json_t *message = json_object();

    if (message && val && (!id || !json_object_set(message, "id", id)) &&
        !json_object_set(message, key, val))
        asker->answer(asker->ctx, message);
    json_decref(message);
    json_decref(val);
}

void ax_execute_answer(struct ax_asker *asker, json_t *id, json_t *result)
{
    if (result)
        give(asker, id, "result", result);
    else
        ax_execute_error(asker, id, AX_EXECUTE_FAILED, "%s", strerror(ENOMEM));
}

void ax_execute_state(struct ax_asker *asker, json_t *id, const char *state)
{
    ax_execute_answer(asker, id, json_pack("{s:s}", "state", state));
}

static void give_error(struct ax_asker *asker, json_t *id,
                       enum ax_execute_error code, const char *text)
{
    static const char *const codes[AX_EXECUTE_ERRORS] = {
        [AX_EXECUTE_BAD_REQUEST] = "bad-request",
        [AX_EXECUTE_TOO_LARGE] = "too-large",
        [AX_EXECUTE_UNKNOWN_COMMAND] = "unknown-command",
        [AX_EXECUTE_UNKNOWN_VM] = "unknown-vm",
        [AX_EXECUTE_REFUSED] = "refused",
        [AX_EXECUTE_BUSY] = "busy",
        [AX_EXECUTE_TIMEOUT] = "timeout",
        [AX_EXECUTE_BAD_CONFIG] = "bad-config",
        [AX_EXECUTE_UNSUPPORTED] = "unsupported",
        [AX_EXECUTE_FAILED] = "failed",
    };

    give(asker, id, "error",
         json_pack("{s:s, s:o}", "code", codes[code], "message",
                   ax_json_text(text)));
}

__attribute__((format(printf, 4, 0))) static void
give_error_args(struct ax_asker *asker, json_t *id, enum ax_execute_error code,
                const char *fmt, va_list args)
{
    char text[ERROR_TEXT];

    vsnprintf(text, sizeof(text), fmt, args);
    give_error(asker, id, code, text);
}

void ax_execute_error(struct ax_asker *asker, json_t *id,
                      enum ax_execute_error code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    give_error_args(asker, id, code, fmt, args);
    va_end(args);
}

void ax_execute_complain(struct ax_asker *asker, enum ax_execute_error code,
                         const char *text)
{
    give_error(asker, NULL, code, text);
}

void ax_execute_vm_error(struct ax_asker *asker, json_t *id, struct ax_vm *vm,
                         int err)
{
    const char *why = ax_vm_refusal(vm);

    if (err == -EPERM && *why)
        ax_execute_error(asker, id, AX_EXECUTE_REFUSED, "%s", why);
    else if (err == -EBUSY && *why)
        ax_execute_error(asker, id, AX_EXECUTE_BUSY, "%s", why);
    else if (err == -ETIMEDOUT)
        ax_execute_error(asker, id, AX_EXECUTE_TIMEOUT,
                         "a vCPU did not come out of the guest; VM is %s",
                         ax_vm_state_name(ax_vm_state(vm)));
    else if (err == -EOPNOTSUPP)
        ax_execute_error(asker, id, AX_EXECUTE_UNSUPPORTED,
                         "the engine cannot do that");
    else
        ax_execute_error(asker, id, AX_EXECUTE_FAILED, "%s (see the log)",
                         strerror(-err));
}

/* ---- commands that look ---- */

static void do_list(const struct request *r)
{
    struct ax_fleet *fleet = r->exec->env.fleet;
    const unsigned count = ax_fleet_count(fleet);
    json_t *vms = json_array();
    int err = vms ? 0 : -1;

    for (unsigned i = 0; !err && i < count; i++)
        err = json_array_append_new(vms,
                                    ax_describe_summary(ax_fleet_at(fleet, i)));
    if (err) {
        json_decref(vms);
        vms = NULL;
    }
    ax_execute_answer(r->asker, r->id, json_pack("{s:o}", "vms", vms));
}

static void do_show(const struct request *r)
{
    const struct ax_control_env *env = &r->exec->env;
    const char *gdb = env->gdb ? env->gdb_address(env->ctx, r->vm) : NULL;
    json_t *all = ax_describe_all(r->vm);

    if (all && json_object_set_new(all, "gdb",
                                   gdb ? ax_json_text(gdb) : json_null())) {
        json_decref(all);
        all = NULL;
    }
    ax_execute_answer(r->asker, r->id, all);
}

static void do_stats(const struct request *r)
{
    json_t *stats;

    if (ax_stats_json(r->vm, r->exec->env.start_ns, &stats))
        stats = NULL;
    ax_execute_answer(r->asker, r->id, stats);
}

static void do_events(const struct request *r)
{
    struct ax_asker *asker = r->asker;

    /* The answer comes first. */
    ax_execute_answer(asker, r->id, json_object());
    if (asker->subscribed)
        return;
    asker->subscribed = true;
    asker->next = r->exec->subscribers;
    r->exec->subscribers = asker;
}

/* ---- commands that are done when their function returns ---- */

static void operated(const struct request *r, int err)
{
    if (err)
        ax_execute_vm_error(r->asker, r->id, r->vm, err);
    else
        ax_execute_state(r->asker, r->id, ax_vm_state_name(ax_vm_state(r->vm)));
}

static void do_start(const struct request *r)
{
    operated(r, ax_vm_start(r->vm));
}

static void do_suspend(const struct request *r)
{
    operated(r, ax_vm_suspend(r->vm));
}

static void do_resume(const struct request *r)
{
    operated(r, ax_vm_resume(r->vm));
}

static void do_nmi(const struct request *r)
{
    int err = ax_vm_nmi(r->vm);

    if (err)
        ax_execute_vm_error(r->asker, r->id, r->vm, err);
    else
        ax_execute_answer(r->asker, r->id, json_object());
}

static void do_quit(const struct request *r)
{
    const struct ax_control_env *env = &r->exec->env;

    ax_execute_answer(r->asker, r->id, json_object());
    env->quit(env->ctx);
}

static void gdb_error(const struct request *r, int err, const char *why)
{
    static const struct {
        int err;
        enum ax_execute_error code;
    } codes[] = {
        {-EINVAL, AX_EXECUTE_BAD_REQUEST},     {-EEXIST, AX_EXECUTE_REFUSED},
        {-EPERM, AX_EXECUTE_REFUSED},          {-EBUSY, AX_EXECUTE_BUSY},
        {-EOPNOTSUPP, AX_EXECUTE_UNSUPPORTED},
    };
    enum ax_execute_error code = AX_EXECUTE_FAILED;

    for (size_t i = 0; i < AX_ARRAY_LEN(codes); i++) {
        if (codes[i].err == err)
            code = codes[i].code;
    }
    ax_execute_error(r->asker, r->id, code, "%s", why);
}

static void do_gdb(const struct request *r)
{
    const struct ax_control_env *env = &r->exec->env;
    const char *address = NULL;
    char why[ERROR_TEXT] = "";
    int err;

    if (!env->gdb) {
        ax_execute_error(r->asker, r->id, AX_EXECUTE_UNSUPPORTED,
                         "no debugger can connect to VMs of this process");
        return;
    }
    if (r->off && r->listen) {
        ax_execute_error(r->asker, r->id, AX_EXECUTE_BAD_REQUEST,
                         "gdb takes 'listen' or 'off', not both");
        return;
    }
    err = env->gdb(env->ctx, r->vm, r->listen, r->off, &address, why,
                   sizeof(why));
    if (err)
        gdb_error(r, err, why);
    else if (address)
        ax_execute_answer(r->asker, r->id,
                          json_pack("{s:o}", "address", ax_json_text(address)));
    else
        ax_execute_answer(r->asker, r->id, json_object());
}

/* ---- create ---- */

/* What the configuration's reader reports; bounded. */
struct report {
    char *text;
    size_t size;
    FILE *to;
};

static void report_add(void *ctx, enum ax_severity severity, const char *text)
{
    struct report *report = ctx;

    if (ftello(report->to) < REPORT_MAX)
        fputs(text, report->to);
}

/* Without the newline that ends it. */
static int report_end(struct report *report)
{
    if (fclose(report->to)) {
        free(report->text);
        return -ENOMEM;
    }
    if (report->size && report->text[report->size - 1] == '\n')
        report->text[report->size - 1] = '\0';
    return 0;
}

/* Is the stub there that its configuration wants? Or else it says why not. */
static bool created_gdb(const struct request *r, struct ax_vm *vm)
{
    const struct ax_control_env *env = &r->exec->env;
    const char *spec = ax_vm_config(vm)->gdb, *address;
    char why[ERROR_TEXT] = "";

    if (!spec || !env->gdb || env->gdb_address(env->ctx, vm) ||
        !env->gdb(env->ctx, vm, spec, false, &address, why, sizeof(why)))
        return true;
    ax_execute_error(r->asker, r->id, AX_EXECUTE_FAILED,
                     "%.200s: [debug] gdb: %.280s", r->file, why);
    return false;
}

static void create_vm(const struct request *r, struct ax_config *conf,
                      const char *warnings)
{
    const struct ax_control_env *env = &r->exec->env;
    enum ax_blame blame;
    struct ax_vm *vm;
    json_t *summary;
    int err;

    if (env->adopt)
        env->adopt(env->ctx, conf);
    err = ax_fleet_add(env->fleet, conf, NULL, &vm, &blame);
    if (err) {
        ax_execute_error(r->asker, r->id,
                         err == -EOPNOTSUPP       ? AX_EXECUTE_UNSUPPORTED
                         : blame == AX_BLAME_USER ? AX_EXECUTE_BAD_CONFIG
                                                  : AX_EXECUTE_FAILED,
                         "%.300s: %s (see the log)", r->file,
                         err == -EEXIST
                             ? "base.id or base.name is another VM's already"
                             : strerror(-err));
        return;
    }
    if (!created_gdb(r, vm)) {
        ax_fleet_delete(env->fleet, vm, true);
        return;
    }
    summary = ax_describe_summary(vm);
    if (summary && *warnings)
        json_object_set_new(summary, "warnings", ax_json_text(warnings));
    ax_execute_answer(r->asker, r->id, summary);
}

static void do_create(const struct request *r)
{
    struct report report = {0};
    struct ax_config_source src = {
        .file = r->file,
        .host = r->exec->env.host,
        .need_files = true,
        .report = report_add,
        .ctx = &report,
    };
    struct ax_config *conf = NULL;
    int err;

    report.to = open_memstream(&report.text, &report.size);
    err = report.to ? ax_config_load(&src, &conf) : -ENOMEM;
    if (!report.to || report_end(&report)) {
        ax_config_destroy(conf);
        ax_execute_answer(r->asker, r->id, NULL);
        return;
    }
    if (err)
        give_error(r->asker, r->id, AX_EXECUTE_BAD_CONFIG, report.text);
    else
        create_vm(r, conf, report.text);
    free(report.text);
}

/* ---- the table ---- */

enum {
    HAS_VM = 1, /* must have, as HAS_FILE */
    HAS_FILE = 2,
    MAY_FORCE = 4,
    MAY_TIMEOUT = 8,
    MAY_STATE = 16,
    MAY_LISTEN = 32,
    MAY_OFF = 64,
    HAS_DISK = 128, /* must have */
    MAY_SIZE = 256,
    MAY_CARD = 512,
    MAY_UP = 1024,
    MAY_PORT = 2048,
    MAY_TERMINAL = 4096, /* cols, rows, attach */
};

static const struct command {
    const char *name;
    unsigned members;
    void (*execute)(const struct request *r);
} commands[] = {
    {"list", 0, do_list},
    {"show", HAS_VM, do_show},
    {"stats", HAS_VM, do_stats},
    {"create", HAS_FILE, do_create},
    {"start", HAS_VM, do_start},
    {"suspend", HAS_VM, do_suspend},
    {"resume", HAS_VM, do_resume},
    {"stop", HAS_VM | MAY_FORCE | MAY_TIMEOUT, ax_execute_stop},
    {"restart", HAS_VM | MAY_FORCE | MAY_TIMEOUT, ax_execute_restart},
    {"reset", HAS_VM, ax_execute_reset},
    {"delete", HAS_VM | MAY_FORCE, ax_execute_delete},
    {"wait", HAS_VM | MAY_STATE | MAY_TIMEOUT, ax_execute_wait},
    {"events", 0, do_events},
    {"console", HAS_VM | MAY_PORT | MAY_TERMINAL, ax_execute_console},
    {"balloon", HAS_VM | MAY_SIZE, ax_execute_balloon},
    {"nmi", HAS_VM, do_nmi},
    {"gdb", HAS_VM | MAY_LISTEN | MAY_OFF, do_gdb},
    {"dump", HAS_VM | HAS_FILE, ax_execute_dump},
    {"disk", HAS_VM | HAS_DISK | MAY_SIZE | MAY_FORCE, ax_execute_disk_resize},
    {"net", HAS_VM | MAY_CARD | MAY_UP, ax_execute_net},
    {"quit", 0, do_quit},
};

/* ---- members: each says what it must be, or NULL when it is ---- */

static struct ax_vm *vm_with_id(const struct ax_fleet *fleet, json_int_t id)
{
    const unsigned count = ax_fleet_count(fleet);

    for (unsigned i = 0; i < count; i++) {
        struct ax_vm *vm = ax_fleet_at(fleet, i);

        if (ax_vm_config(vm)->id == (uint64_t)id)
            return vm;
    }
    return NULL;
}

/* Leaves r->vm NULL where there is none such. */
static const char *take_vm(struct request *r, const json_t *val)
{
    if (json_is_string(val))
        r->vm = ax_fleet_find(r->exec->env.fleet, json_string_value(val));
    else if (json_is_integer(val) && json_integer_value(val) >= 0)
        r->vm = vm_with_id(r->exec->env.fleet, json_integer_value(val));
    else
        return "a string, or an integer that is not negative";
    return NULL;
}

static const char *take_file(struct request *r, const json_t *val)
{
    r->file = json_string_value(val);
    return r->file && r->file[0] == '/' ? NULL : "an absolute path";
}

static const char *take_force(struct request *r, const json_t *val)
{
    r->force = json_is_true(val);
    return json_is_boolean(val) ? NULL : "true or false";
}

static const char *take_timeout(struct request *r, const json_t *val)
{
    const double seconds = json_is_number(val) ? json_number_value(val) : -1;

    if (!(seconds >= 0 && seconds <= 1e9))
        return "a number of seconds from 0 to 1000000000";
    r->bounded = true;
    r->timeout_ns = (uint64_t)ceil(seconds * 1e9);
    return NULL;
}

static const char *take_state(struct request *r, const json_t *val)
{
    const char *name = json_string_value(val);

    return name && !ax_vm_state_parse(name, &r->state)
               ? NULL
               : "loading, loaded, running, suspended, stopping or stopped";
}

/* The process may have another working directory than who asks. */
static const char *take_listen(struct request *r, const json_t *val)
{
    const char *spec = json_string_value(val);

    if (!spec || ax_listen_check(spec) ||
        (!strncmp(spec, "unix:", 5) && spec[5] != '/'))
        return "a string: [HOST:]PORT, or unix:PATH with an absolute path";
    r->listen = spec;
    return NULL;
}

static const char *take_off(struct request *r, const json_t *val)
{
    r->off = json_is_true(val);
    return json_is_boolean(val) ? NULL : "true or false";
}

static const char *take_disk(struct request *r, const json_t *val)
{
    r->disk = json_string_value(val);
    return r->disk ? NULL : "a string: a disk's number or its serial";
}

static const char *take_size(struct request *r, const json_t *val)
{
    if (!json_is_integer(val) || json_integer_value(val) <= 0)
        return "a number of bytes";
    r->size = (uint64_t)json_integer_value(val);
    return NULL;
}

static const char *take_card(struct request *r, const json_t *val)
{
    if (!json_is_integer(val) || json_integer_value(val) < 0 ||
        json_integer_value(val) > UINT16_MAX)
        return "a card's number, from 0 on";
    r->one_card = true;
    r->card = (unsigned)json_integer_value(val);
    return NULL;
}

static const char *take_up(struct request *r, const json_t *val)
{
    r->plugs = true;
    r->up = json_is_true(val);
    return json_is_boolean(val) ? NULL : "true or false";
}

static const char *take_port(struct request *r, const json_t *val)
{
    r->port = json_string_value(val);
    return r->port ? NULL : "a string: the name of a console";
}

static const char *take_attach(struct request *r, const json_t *val)
{
    r->aside = json_is_false(val);
    return json_is_boolean(val) ? NULL : "true or false";
}

static const char *take_number16(const json_t *val, uint16_t *out)
{
    const json_int_t number = json_integer_value(val); /* 0: it is none */

    if (number <= 0 || number > UINT16_MAX)
        return "a number from 1 to 65535";
    *out = (uint16_t)number;
    return NULL;
}

static const char *take_cols(struct request *r, const json_t *val)
{
    return take_number16(val, &r->cols);
}

static const char *take_rows(struct request *r, const json_t *val)
{
    return take_number16(val, &r->rows);
}

static const char *take_nothing(struct request *r, const json_t *val)
{
    return NULL;
}

static const struct member {
    const char *name;
    unsigned flag; /* 0: every request may have it */
    const char *(*take)(struct request *r, const json_t *val);
} members[] = {
    {"command", 0, take_nothing}, /* they were looked at before */
    {"id", 0, take_nothing},
    {"vm", HAS_VM, take_vm},
    {"file", HAS_FILE, take_file},
    {"force", MAY_FORCE, take_force},
    {"timeout", MAY_TIMEOUT, take_timeout},
    {"state", MAY_STATE, take_state},
    {"listen", MAY_LISTEN, take_listen},
    {"off", MAY_OFF, take_off},
    {"disk", HAS_DISK, take_disk},
    {"size", MAY_SIZE, take_size},
    {"card", MAY_CARD, take_card},
    {"up", MAY_UP, take_up},
    {"port", MAY_PORT, take_port},
    {"attach", MAY_TERMINAL, take_attach},
    {"cols", MAY_TERMINAL, take_cols},
    {"rows", MAY_TERMINAL, take_rows},
};

static const struct member *member_find(const char *name, unsigned allowed)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(members); i++) {
        if (!strcmp(members[i].name, name) &&
            (members[i].flag & allowed) == members[i].flag)
            return &members[i];
    }
    return NULL;
}

/* ---- requests ---- */

__attribute__((format(printf, 2, 3))) static bool bad(const struct request *r,
                                                      const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    give_error_args(r->asker, r->id, AX_EXECUTE_BAD_REQUEST, fmt, args);
    va_end(args);
    return false;
}

/* false: answered why not, as in what follows. */
static bool request_members(struct request *r, const struct command *command,
                            json_t *json)
{
    for (void *at = json_object_iter(json); at;
         at = json_object_iter_next(json, at)) {
        const char *name = json_object_iter_key(at);
        const struct member *m = member_find(name, command->members);
        const char *expected;

        if (!m)
            return bad(r, "%s takes no member '%.64s'", command->name, name);
        expected = m->take(r, json_object_iter_value(at));
        if (expected)
            return bad(r, "'%s' must be %s", name, expected);
    }
    for (size_t i = 0; i < AX_ARRAY_LEN(members); i++) {
        const unsigned must = (HAS_VM | HAS_FILE | HAS_DISK) & command->members;

        if (members[i].flag & must && !json_object_get(json, members[i].name))
            return bad(r, "%s needs the member '%s'", command->name,
                       members[i].name);
    }
    return true;
}

static void say_unknown_vm(const struct request *r, const json_t *vm)
{
    if (json_is_string(vm))
        ax_execute_error(r->asker, r->id, AX_EXECUTE_UNKNOWN_VM,
                         "no VM is called '%.300s' here",
                         json_string_value(vm));
    else
        ax_execute_error(r->asker, r->id, AX_EXECUTE_UNKNOWN_VM,
                         "no VM has the id %" JSON_INTEGER_FORMAT " here",
                         json_integer_value(vm));
}

static const struct command *request_command(const struct request *r,
                                             const char *name)
{
    for (size_t i = 0; i < AX_ARRAY_LEN(commands); i++) {
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    }
    ax_execute_error(r->asker, r->id, AX_EXECUTE_UNKNOWN_COMMAND,
                     "there is no command '%.64s'", name);
    return NULL;
}

void ax_execute(struct ax_execute *exec, struct ax_asker *asker, json_t *json)
{
    struct request r = {.exec = exec, .asker = asker, .state = AX_VM_STOPPED};
    json_t *id = json_object_get(json, "id");
    const char *name = json_string_value(json_object_get(json, "command"));
    const struct command *command;

    if (json_is_string(id) || json_is_number(id))
        r.id = id;
    if (!json_is_object(json)) {
        bad(&r, "a request is an object, as {\"command\": \"list\"}");
    } else if (id && !r.id) {
        bad(&r, "'id' must be a number or a string");
    } else if (!name) {
        bad(&r, "a request needs the member 'command', a string");
    } else if ((command = request_command(&r, name)) &&
               request_members(&r, command, json)) {
        if (command->members & HAS_VM && !r.vm)
            say_unknown_vm(&r, json_object_get(json, "vm"));
        else
            command->execute(&r);
    }
}

/* ---- the executor ---- */

int ax_execute_create(const struct ax_control_env *env, struct ax_execute **out)
{
    struct ax_execute *exec = calloc(1, sizeof(*exec));

    *out = exec;
    if (!exec)
        return -ENOMEM;
    exec->env = *env;
    exec->listener.heard = ax_execute_heard;
    exec->listener.ctx = exec;
    ax_fleet_listen(env->fleet, &exec->listener);
    return 0;
}

void ax_execute_destroy(struct ax_execute *exec)
{
    if (!exec)
        return;
    ax_fleet_unlisten(exec->env.fleet, &exec->listener);
    while (exec->pending) {
        struct pending *p = exec->pending;

        ax_execute_error(p->asker, p->id, AX_EXECUTE_FAILED,
                         "the process ends");
        ax_pending_end(p);
    }
    free(exec);
}

void ax_execute_forget(struct ax_execute *exec, struct ax_asker *asker)
{
    struct pending *p;

    if (asker->subscribed) {
        struct ax_asker **at = &exec->subscribers;

        while (*at != asker)
            at = &(*at)->next;
        *at = asker->next;
        asker->subscribed = false;
    }
    /* What one gives up may complete others. */
    while (asker->waiting) {
        for (p = exec->pending; p->asker != asker;)
            p = p->next;
        ax_pending_end(p);
    }
}
