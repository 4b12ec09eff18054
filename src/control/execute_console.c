/*
 * execute_console.c - the command console: whoever asks gets one of a VM's, or
 * only tells it of his terminal.
 */
#include "control/execute_parts.h"

#include "devices/console.h"

#include <stdio.h>

enum { NAMES = 256 };

/* NULL: answered that there is none, and which ones are. */
static struct ax_console *find_console(const struct request *r)
{
    struct ax_console *console =
        ax_vm_find_console(r->vm, r->port ? r->port : "serial");
    char names[NAMES] = "serial", name[AX_VM_CONSOLE_NAME];
    size_t len = 6;

    if (console)
        return console;
    for (unsigned i = 1; ax_vm_console(r->vm, i) && len < sizeof(names); i++) {
        ax_vm_console_name(r->vm, i, name);
        len += (size_t)snprintf(names + len, sizeof(names) - len, ", %s", name);
    }
    ax_execute_error(r->asker, r->id, AX_EXECUTE_BAD_REQUEST,
                     "no console '%.64s': the VM has %s", r->port, names);
    return NULL;
}

void ax_execute_console(const struct request *r)
{
    const struct ax_console_size size = {.cols = r->cols, .rows = r->rows};
    struct ax_asker *asker = r->asker;
    struct ax_console *console;

    if (!asker->attach && !r->aside) {
        ax_execute_error(asker, r->id, AX_EXECUTE_UNSUPPORTED,
                         "no console can be attached here");
        return;
    }
    console = find_console(r);
    if (!console)
        return;
    if (size.cols && size.rows)
        ax_console_resize(console, size);
    ax_execute_answer(asker, r->id, json_object());
    if (r->aside)
        return;
    ax_execute_forget(r->exec, asker);
    asker->attach(asker->ctx, r->vm, console);
}
