/*
 * help.c - the command table as text.
 */
#include "client/client.h"

#include "control/command.h"

static const char usage[] =
    "Usage: axvm [--pid PID | --socket PATH] COMMAND [ARGUMENT...]\n"
    "\n"
    "Controls the virtual machines of axvm-run processes. VM is an id or a "
    "name.\n\n";

static const char about[] =
    "\n"
    "Options\n"
    "  --pid PID          Talk to this process, where several run\n"
    "  --socket PATH      Talk to the process with this control socket\n"
    "  --help             Print this, or after a command what it does\n"
    "  --version          Print the version\n"
    "\n"
    "Exit status: 0 done; 2 usage or configuration error; 4 no such process or "
    "VM;\n6 refused; 8 failed; 124 timeout. See axvm(1).\n";

static void print_line(const char *synopsis, const char *help)
{
    printf("  %-47s %s\n", synopsis, help);
}

static void help_all(void)
{
    fputs(usage, stdout);
    for (const struct ax_command *c = ax_commands(); c->name; c++)
        print_line(c->synopsis, c->help);
    print_line("help [COMMAND]", "Print this, or what a command does");
    print_line("shell", "Read commands: from a terminal or a script");
    fputs(about, stdout);
}

int client_help(const struct client *client, const char *name)
{
    const struct ax_command *command = name ? ax_command_find(name) : NULL;

    if (name && !command) {
        client_say(client, "Unknown command '%s'", name);
        return STATUS_USAGE;
    }
    if (command)
        ax_command_help(command, stdout);
    else
        help_all();
    return STATUS_DONE;
}
