/*
 * command.c - the table of commands, their help, and their names as people
 * mistype them.
 */
#include "control/command_parts.h"

#include <string.h>

enum { NAME_SIZE = 16 }; /* of a command, with its end */

const char ax_command_seconds[] = "SECONDS", ax_command_spec[] = "SPEC";

#define JSON_OPTION                                                            \
    {                                                                          \
        "json", 'j', NULL, "Print JSON, one object per line", false            \
    }
#define TIMEOUT_OPTION(help)                                                   \
    {                                                                          \
        "timeout", 't', ax_command_seconds, help, true                         \
    }

static const struct ax_command commands[] = {
    {"list",
     "list [-a] [--json]",
     "List virtual machines",
     AX_ARGS_NONE,
     {{"all", 'a', NULL, "Say also which process runs each", false},
      JSON_OPTION},
     ax_command_print_list},
    {"show",
     "show VM [--full|--config|--stats] [--json]",
     "Describe a VM",
     AX_ARGS_VM,
     {{"full", 'f', NULL, "Everything that is known", false},
      {"config", 'c', NULL, "Its configuration with all defaults, as TOML",
       false},
      {"stats", 's', NULL, "Its statistics, as the command stats", false},
      JSON_OPTION},
     ax_command_print_show},
    {"create",
     "create FILE...",
     "Create a VM of each guest file; it is not started",
     AX_ARGS_FILES,
     {{0}},
     ax_command_print_created},
    {"start",
     "start VM...",
     "Let VMs run that are loaded or stopped",
     AX_ARGS_VMS,
     {{0}},
     ax_command_print_state},
    {"suspend",
     "suspend VM...",
     "Halt the vCPUs of running VMs",
     AX_ARGS_VMS,
     {{0}},
     ax_command_print_state},
    {"resume",
     "resume VM...",
     "Let suspended VMs go on",
     AX_ARGS_VMS,
     {{0}},
     ax_command_print_state},
    {"stop",
     "stop VM... [--force] [--timeout SECONDS]",
     "Ask guests to power off, and end what does not in time",
     AX_ARGS_VMS,
     {{"force", 'f', NULL, "Do not ask", true},
      TIMEOUT_OPTION("Time for the guest instead of base.stop_timeout")},
     ax_command_print_state},
    {"restart",
     "restart VM... [--force] [--timeout SECONDS]",
     "Stop and start again",
     AX_ARGS_VMS,
     {{"force", 'f', NULL, "Do not ask the guest", true},
      TIMEOUT_OPTION("Time for the guest instead of base.stop_timeout")},
     ax_command_print_state},
    {"reset",
     "reset VM...",
     "Start again at once, like a PC's reset button",
     AX_ARGS_VMS,
     {{0}},
     ax_command_print_state},
    {"delete",
     "delete VM [--force]",
     "Remove a VM from its process",
     AX_ARGS_VM,
     {{"force", 'f', NULL, "Also one that runs", true}},
     ax_command_print_state},
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
     {{"watch", 'w', ax_command_seconds,
       "Again and again, with rates; Ctrl-C ends it", false},
      JSON_OPTION},
     ax_command_print_stats},
    {"wait",
     "wait VM [--state STATE] [--timeout SECONDS]",
     "Wait until a VM has a state",
     AX_ARGS_VM,
     {{"state", 's', "STATE",
       "loading, loaded, running, suspended, stopping or stopped (default)",
       true},
      TIMEOUT_OPTION("Give up after that long")},
     ax_command_print_state},
    {"events",
     "events [--json]",
     "Tell state changes, crashes and reboots as they happen",
     AX_ARGS_NONE,
     {JSON_OPTION},
     ax_command_print_event},
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
     {{"listen", 'l', ax_command_spec,
       "[HOST:]PORT or unix:PATH instead of a socket of its own", true},
      {"off", 'o', NULL, "No longer; a debugger is detached", true},
      {"exec", 'e', NULL, "Start gdb, connected, with VMLINUX as its program",
       false}},
     ax_command_print_gdb},
    {"dump",
     "dump VM FILE",
     "Write guest memory and registers as an ELF core",
     AX_ARGS_VM_FILE,
     {{0}},
     ax_command_print_dumped},
    {"balloon",
     "balloon VM [SIZE] [--json]",
     "Show how much memory a guest has, or say how much it shall have",
     AX_ARGS_VM_SIZE,
     {JSON_OPTION},
     ax_command_print_balloon},
    {"disk",
     "disk resize VM DISK [SIZE] [--force]",
     "Tell a guest that its disk has another size, or give it one",
     AX_ARGS_DISK,
     {{"force", 'f', NULL, "Also a smaller one: what is behind it is lost",
       true}},
     ax_command_print_size},
    {"net",
     "net VM [CARD] [up|down] [--json]",
     "Tell of network cards, or plug their cables in or out",
     AX_ARGS_NET,
     {JSON_OPTION},
     ax_command_print_net},
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

/* ---- names that are nearly right ---- */

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
