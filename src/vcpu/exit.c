/*
 * exit.c - exits as text, for traces and crash reports.
 */
#include "vcpu/exit.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const names[AX_EXIT_KINDS] = {
    [AX_EXIT_NOTHING] = "Nothing",
    [AX_EXIT_HYPERCALL] = "Hypercall",
    [AX_EXIT_MMIO_READ] = "MmioRead",
    [AX_EXIT_MMIO_WRITE] = "MmioWrite",
    [AX_EXIT_SYSREG_READ] = "SysRegRead",
    [AX_EXIT_SYSREG_WRITE] = "SysRegWrite",
    [AX_EXIT_IO_READ] = "IoRead",
    [AX_EXIT_IO_WRITE] = "IoWrite",
    [AX_EXIT_EXTERNAL_INTERRUPT] = "ExternalInterrupt",
    [AX_EXIT_NESTED_PAGE_FAULT] = "NestedPageFault",
    [AX_EXIT_HALT] = "Halt",
    [AX_EXIT_CPU_UP] = "CpuUp",
    [AX_EXIT_CPU_DOWN] = "CpuDown",
    [AX_EXIT_SYSTEM_DOWN] = "SystemDown",
    [AX_EXIT_FAIL_ENTRY] = "FailEntry",
    [AX_EXIT_SEND_IPI] = "SendIPI",
    [AX_EXIT_INTERRUPT_END] = "InterruptEnd",
    [AX_EXIT_DEBUG] = "Debug",
};

static const char *const power_names[] = {
    [AX_POWER_OFF] = "off",     [AX_POWER_RESET] = "reset",
    [AX_POWER_CRASH] = "crash", [AX_POWER_EXIT] = "exit",
    [AX_POWER_FAIL] = "fail",
};

const char *ax_exit_name(enum ax_exit_kind kind)
{
    return (unsigned)kind < AX_EXIT_KINDS ? names[kind] : "?";
}

bool ax_exit_is_access(enum ax_exit_kind kind)
{
    return kind >= AX_EXIT_MMIO_READ && kind <= AX_EXIT_IO_WRITE;
}

static void exit_format_access(const struct ax_exit *ex, char *buf, size_t size)
{
    snprintf(buf, size, "%s %s=%#" PRIx64 " width=%u %s %#" PRIx64 "%s",
             ax_exit_name(ex->kind),
             ex->access.space == AX_SPACE_PORT     ? "port"
             : ex->access.space == AX_SPACE_SYSREG ? "reg"
                                                   : "addr",
             ex->access.addr, ex->access.width, ex->access.write ? "<-" : "->",
             ex->access.write ? ex->access.data : ex->answer,
             ex->unclaimed ? " (unclaimed)" : "");
}

const char *ax_exit_format(const struct ax_exit *ex, char *buf, size_t size)
{
    const char *name = ax_exit_name(ex->kind);

    if (ax_exit_is_access(ex->kind)) {
        exit_format_access(ex, buf, size);
        return buf;
    }
    switch (ex->kind) {
    case AX_EXIT_HYPERCALL:
        snprintf(buf, size, "%s nr=%#" PRIx64 " -> %#" PRIx64, name,
                 ex->hypercall.nr, ex->answer);
        break;
    case AX_EXIT_NESTED_PAGE_FAULT:
        snprintf(buf, size, "%s gpa=%#" PRIx64 " prot=%u", name, ex->fault.gpa,
                 ex->fault.prot);
        break;
    case AX_EXIT_CPU_UP:
        snprintf(buf, size, "%s target=%#" PRIx64 " entry=%#" PRIx64, name,
                 ex->cpu_up.target, ex->cpu_up.entry);
        break;
    case AX_EXIT_SYSTEM_DOWN:
        snprintf(buf, size, "%s %s%s%s", name,
                 (unsigned)ex->power.event < AX_ARRAY_LEN(power_names)
                     ? power_names[ex->power.event]
                     : "?",
                 ex->power.why ? ": " : "", ex->power.why ? ex->power.why : "");
        break;
    case AX_EXIT_FAIL_ENTRY:
        snprintf(buf, size, "%s code=%#" PRIx64 "%s%s", name, ex->fail.code,
                 ex->fail.why ? ": " : "", ex->fail.why ? ex->fail.why : "");
        break;
    case AX_EXIT_SEND_IPI:
        snprintf(buf, size, "%s target=%#" PRIx64 " vector=%" PRIu64, name,
                 ex->ipi.target, ex->ipi.vector);
        break;
    case AX_EXIT_EXTERNAL_INTERRUPT:
    case AX_EXIT_INTERRUPT_END:
        snprintf(buf, size, "%s vector=%" PRIu64, name, ex->interrupt.vector);
        break;
    case AX_EXIT_DEBUG:
        snprintf(buf, size, "%s%s%s%s pc=%#" PRIx64, name,
                 ex->debug.what & AX_DEBUG_STEP ? " step" : "",
                 ex->debug.what & AX_DEBUG_SOFT ? " breakpoint" : "",
                 ex->debug.what & AX_DEBUG_HARD ? " point" : "", ex->debug.pc);
        break;
    default:
        snprintf(buf, size, "%s", name);
        break;
    }
    return buf;
}
