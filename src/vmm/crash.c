/*
 * crash.c - reason, registers, instruction and the last exits, as text.
 */
#include "vmm/crash.h"

#include "arch/arch.h"
#include "vcpu/vcpu.h"

static void crash_line(void *ctx, const char *text)
{
    fprintf(ctx, "  %s\n", text);
}

/* Runs of the same exit are told once, with their number. */
static bool exit_same(const struct ax_exit *a, const struct ax_exit *b)
{
    return ax_exit_is_access(a->kind) && a->kind == b->kind &&
           a->answer == b->answer && a->access.addr == b->access.addr &&
           a->access.width == b->access.width &&
           a->access.data == b->access.data;
}

static void crash_history(const struct ax_crash *crash, FILE *to)
{
    const struct ax_exit *history[AX_VCPU_HISTORY];
    unsigned count = ax_vcpu_history(crash->vcpu, history);
    char text[160];

    if (count)
        fprintf(to, "the last %u exits, oldest first:\n", count);
    for (unsigned i = 0; i < count;) {
        unsigned run = 1;

        while (i + run < count && exit_same(history[i], history[i + run]))
            run++;
        fprintf(to, "  %s", ax_exit_format(history[i], text, sizeof(text)));
        if (run > 1)
            fprintf(to, " (%u times)", run);
        fputc('\n', to);
        i += run;
    }
}

void ax_crash_report(const struct ax_crash *crash, FILE *to)
{
    bool failed = crash->exit->kind == AX_EXIT_FAIL_ENTRY;
    char text[160];

    fprintf(to, "the guest crashed: vcpu%u: %s\n", ax_vcpu_id(crash->vcpu),
            ax_exit_format(crash->exit, text, sizeof(text)));
    if (crash->engine && crash->arch && crash->arch->dump)
        crash->arch->dump(crash->ops, crash->engine, crash->mem,
                          crash->exit->fail.bytes,
                          failed ? crash->exit->fail.count : 0, crash_line, to);
    crash_history(crash, to);
}
