#!/bin/busybox sh
# shellcheck shell=dash
# debug-vtx.sh SECONDS CASE...: Debian's gdb on guests that run on VT-x, where
# every debug exit is the CPU's. Each CASE starts a guest of its own, halted
# before its first instruction. Runs in the lab (scripts/lab.sh) beside gdb/,
# gdb.sh and the guests; run.sh starts it. Prints "ok CASE" or "not ok CASE:
# reason" for each.
#
# shellcheck disable=SC2016  # gdb has variables, too

limit=$1 failed=0
shift
. ./gdb.sh

# guest NAME SYMBOLS [OPTION...]: starts it, and gdb, which halts it.
guest() {
    name=$1 symbols=$2
    shift 2
    rm -f gdb.sock status
    : >gdb.log
    {
        axvm-run --timeout "$limit" --gdb=unix:gdb.sock --gdb-wait \
            --console file:console "$@" "$name.toml" >/dev/null 2>log
        echo $? >status
    } &
    until [ -S gdb.sock ] || [ -e status ]; do sleep 0.1; done
    gdb_start gdb.sock "$symbols"
}

bare() { # GUEST OPTION...
    elf=$1
    shift
    guest "$elf" "$elf.elf" --set "kernel.kernel_path=\"$elf.elf\"" "$@" \
        >/dev/null
}

# goes TEXT: it is let go, and TEXT is in what gdb says about its next stop.
goes() { has "$1" "$(ask continue)"; }

# leaves STATUS: gdb does, and the guest ends with it.
leaves() {
    ask delete >/dev/null
    gdb_end
    wait
    is status "$(cat status)" "$1"
    grep '^FAIL' console
}

# As gdb has it without a word, and as it should be seen in there.
vtx_entry() {
    bare own-debug --set 'kernel.cmdline="rounds=100000"'
    start=$(value '&pvh_start')
    is pc "$(pc)" "$start"
    is "CR0's PG and PE" "$(value '$cr0 & 0x80000001')" 0x1
    is EFER "$(value '$efer')" 0x0
    ask "monitor arch i386" >/dev/null
    gdb_end
    gdb_start gdb.sock >/dev/null
    ask "monitor reset halt" >/dev/null
    ask "maintenance flush register-cache" >/dev/null
    ask "maintenance flush dcache" >/dev/null
    is "pc after a reset" "$(value '$eip')" "$start"
    has "cld" "$(ask 'x/3i $pc')"
    walk 8
    ask kill >/dev/null
    gdb_end
    wait
}

# Before paging, in 32 bits; then in 64, hit again and again.
vtx_soft() {
    bare own-debug --set 'kernel.cmdline="rounds=1 guard=1"'
    ask "break *enter_long" >/dev/null
    goes "Breakpoint 1, "
    is pc "$(pc)" "$(value '&enter_long')"
    is paging "$(value '$cr0 & 0x80000000')" 0x0
    ask "break spot" >/dev/null
    for n in 0x0 0x1 0x2; do
        goes "Breakpoint 2, "
        is pc "$(pc)" "$(value '&spot')"
        is argument "$(value '$rdi')" "$n"
    done
    has guest_main "$(ask backtrace)"
    has guest_main "$(ask finish)"
    is "what spot returns" "$(value '$rax')" 0x7
    has "spot" "$(ask 'info breakpoints')"
    leaves 33
}

# In text that is read-only to the guest, at another address than its own.
vtx_read_only() {
    bare own-debug
    ask "break ready" >/dev/null
    goes "Breakpoint 1, "
    alias=$(value '$rdi')
    ask delete >/dev/null
    ask "break *$alias" >/dev/null
    goes "Breakpoint 2, "
    is pc "$(pc)" "$alias"
    is argument "$(value '$rdi')" 0x0
    goes "Breakpoint 2, "
    is argument "$(value '$rdi')" 0x1
    is "the byte there" "$(value "*(unsigned char *)$alias")" \
        "$(value '*(unsigned char *)&spot')"
    leaves 33
}

# A thousand misses are the stub's; gdb hears of the one that counts.
vtx_condition() {
    bare own-debug --set 'kernel.cmdline="rounds=40"'
    ask "set breakpoint condition-evaluation target"
    ask "break spot if \$rdi == 15 && *(unsigned *)$(value '&watched') == 14" \
        >/dev/null
    goes "Breakpoint 1, "
    is argument "$(value '$rdi')" 0xf
    has "target evals" "$(ask 'info breakpoints')"
    has "already hit 1 time" "$(ask 'info breakpoints')"
    ask delete >/dev/null
    ask 'hbreak spot if $rdi == 100' >/dev/null
    ask 'break guest_exit' >/dev/null
    goes "guest_exit"
    has "Debug" "$(ask 'monitor info exits')"
    leaves 33
}

vtx_hard() {
    bare own-debug --set 'kernel.cmdline="rounds=1 guard=1"'
    ask "hbreak spot" >/dev/null
    ask "hbreak own_spot" >/dev/null
    for n in 0x0 0x1 0x2; do
        goes "Breakpoint 1, "
        is argument "$(value '$rdi')" "$n"
    done
    ask "delete 1" >/dev/null
    goes "Breakpoint 2, "
    goes "Breakpoint 2, "
    leaves 33
}

vtx_watch() {
    bare own-debug
    ask "watch *(unsigned *)&watched" >/dev/null
    goes "New value = 1"
    has "Old value = 1" "$(ask continue)"
    is "what it has become" "$(value '*(unsigned *)&watched')" 0x2
    ask delete >/dev/null
    ask 'watch *(unsigned *)&watched if *(unsigned *)&watched == 9' >/dev/null
    goes "New value = 9"
    ask delete >/dev/null
    ask "awatch *(unsigned *)&own_written" >/dev/null
    goes "New value = 1"
    goes "Value = 1"
    ask delete >/dev/null
    leaves 33
}

# The guest has breakpoints and steps, too: it counts them all, and gdb none.
# Three of the four debug registers are its own.
vtx_own() {
    bare own-debug --set 'kernel.cmdline="rounds=2 guard=1"'
    ask 'break spot if $rdi == 100' >/dev/null
    watched=$(value '&watched')
    ask "watch *(unsigned *)$watched if *(unsigned *)$watched == 100" >/dev/null
    ask 'break guest_exit' >/dev/null
    goes "guest_exit"
    is "its code" "$(value '$dil')" 0x10
    leaves 33
}

# gdb steps where the guest does: each gets its steps.
vtx_own_steps() {
    bare own-debug --set 'kernel.cmdline="rounds=2 guard=1"'
    ask 'break *steps_first' >/dev/null
    goes "Breakpoint 1, "
    for n in 1 2; do
        ask stepi >/dev/null
        is "behind a step, pc" "$(pc)" "$(value "(char *)&steps_first + $n")"
    done
    leaves 33
}

# Two CPUs run into one breakpoint: no call is missed.
vtx_smp() {
    bare own-debug --set base.cpu_num=2 \
        --set 'kernel.cmdline="rounds=0 cpus=2"'
    cat >count.gdb <<'END'
set $hits = 0
set $others = 0
break shared_spot
commands
silent
set $hits = $hits + 1
if $_thread == 2
set $others = $others + 1
end
continue
end
END
    ask "source count.gdb" >/dev/null
    ask 'break guest_exit' >/dev/null
    goes "guest_exit"
    is hits "$(value '$hits')" 0x20
    is "those of the second" "$(value '$others')" 0x10
    ask "monitor reset halt" >/dev/null
    ask "maintenance flush register-cache" >/dev/null
    ask delete >/dev/null
    ask 'break shared_spot if $rdi == 7' >/dev/null
    goes "Breakpoint 3, "
    goes "Breakpoint 3, "
    ask delete >/dev/null
    ask "set scheduler-locking on" >/dev/null
    ask "thread 1" >/dev/null
    before=$(pc)
    ask "thread 2" >/dev/null
    ask stepi >/dev/null
    ask stepi >/dev/null
    ask "thread 1" >/dev/null
    is "pc of the one that holds" "$(pc)" "$before"
    ask "set scheduler-locking off" >/dev/null
    leaves 33
}

# The second CPU's first instruction, where its code segment has a base.
vtx_sipi() {
    bare own-debug --set base.cpu_num=2 \
        --set 'kernel.cmdline="rounds=0 cpus=2"'
    ask "monitor pc linear" >/dev/null
    ask "maintenance flush register-cache" >/dev/null
    ask "hbreak *0x10000" >/dev/null
    goes "Breakpoint 1, "
    is thread "$(value '$_thread')" 0x2
    is pc "$(pc)" 0x10000
    is CS "$(value '$cs')" 0x1000
    ask stepi >/dev/null
    is pc "$(pc)" 0x10001
    leaves 33
}

# 16 bits: the vector that the guest sets is watched, its handler stopped at.
vtx_real() {
    guest realmode '' --set 'kernel.kernel_path="realmode.bin"' >/dev/null
    is pc "$(pc)" 0xa000
    is PE "$(value '$cr0 & 1')" 0x0
    ask "watch *(unsigned short *)0" >/dev/null
    goes "Hardware watchpoint 1"
    handler=$(value '*(unsigned short *)0')
    ask delete >/dev/null
    ask "break *$handler" >/dev/null
    goes "Breakpoint 2, "
    is pc "$(pc)" "$handler"
    ask stepi >/dev/null
    is "behind PUSH, pc" "$(pc)" "$(value "$handler + 1")"
    leaves 33
}

vtx_crash() {
    bare triplefault --gdb-on=crash
    goes "The guest has crashed"
    is "the limit of its IDT" "$(value '$idtr_limit')" 0x0
    gdb_end
    wait
    is status "$(cat status)" 6
}

# Debian's kernel, from its first instruction to its last.
vtx_linux() {
    names='start_kernel|rest_init|do_idle|kernel_power_off|__do_sys_reboot'
    names="$names|linux_banner|.*startup_64.*|x86_64_start_.*|cpu_startup_entry"
    symbols vmlinux "[A-Za-z] ($names)"
    cat >linux.toml <<END
[base]
name = "linux"
memory = "128M"

[kernel]
kernel_path = "vmlinuz-cloud"
initrd = "initrd"
cmdline = "console=ttyS0 quiet panic=-1 nokaslr ax.end=poweroff"
END
    guest linux vmlinux >/dev/null
    ask "break start_kernel" >/dev/null
    goes "start_kernel"
    is pc "$(pc)" "$(value '&start_kernel')"
    ask backtrace | grep '^#1 ' >frames
    grep -qE 'startup_64|x86_64_start' frames || echo "not called: $(cat frames)"
    has "Linux version" "$(ask 'x/s &linux_banner')"
    next=$(ask 'x/2i $pc' | sed -n '2s/^ *\(0x[0-9a-f]*\).*/\1/p')
    ask nexti >/dev/null
    is "behind nexti, pc" "$(pc)" "$next"
    ask delete >/dev/null
    ask "hbreak rest_init" >/dev/null
    goes "rest_init"
    has "start_kernel" "$(ask backtrace)"
    ask "break do_idle" >/dev/null
    goes "do_idle"
    has "do_idle" "$(ask 'info symbol $pc')"
    ask delete >/dev/null
    ask "break kernel_power_off" >/dev/null
    goes "kernel_power_off"
    has "__do_sys_reboot" "$(ask backtrace)"
    ask delete >/dev/null
    goes "exited normally"
    exec 3>&- 4<&-
    wait
    is status "$(cat status)" 0
    grep -q 'ax: end poweroff' console || echo "init did not get to its end"
}

for name; do
    : >console
    : >log
    reason=$("$(echo "$name" | tr - _)")
    if [ -z "$reason" ]; then
        echo "ok $name at=$(cut -d ' ' -f 1 /proc/uptime)"
    else
        failed=1
        echo "not ok $name: $(echo "$reason" | tr '\n' ';')"
        sed 's/\r*$//; s/^/# gdb: /' gdb.log
        sed 's/\r*$//; s/^/# console: /' console | tail -n 40
        sed 's/^/# log: /' log
    fi
done
exit $failed
