#!/usr/bin/env bash
# run.sh TAP AXVM_RUN AXVM GUESTS PROBE FAKE: Debian's gdb and guests of axvm-run.
#
# Each case starts a VM on this machine's KVM, and gdb with a list of commands;
# helpers.py has those that check something. Writes one line of TAP per case to
# TAP. GUESTS is the folder with the built guests; PROBE and FAKE are the programs
# probe.c and fake.c.
#
# In the environment: STUB=qemu makes QEMU (TCG) the VM, to compare; cases that
# need what only axvm-run has are skipped then. ONLY=REGEX picks cases by name,
# LIMIT=SECONDS bounds each gdb.
# shellcheck disable=SC2016 # gdb expands what is quoted here
set -u

tap=$1 axvm_run=$2 axvm=$3 guests=$4 probe=$5 fake=$6
stub=${STUB:-axvm}
here=$(cd "$(dirname "$0")" && pwd)
# Short: the path of a socket has 107 bytes at most.
work=$(mktemp -d "/tmp/axvm-gdb.XXXXXX")
trap 'end_all; rm -rf "$work" "$work.probe"' EXIT
cd "$work" || exit 1
out=$work/out err=$work/log

# Nothing of the user's is touched.
export XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state HOME=$work
export LC_ALL=C.UTF-8 TERM=dumb PYTHONDONTWRITEBYTECODE=1
unset DEBUGINFOD_URLS XDG_CONFIG_HOME NOTIFY_SOCKET

. "$here/../cli/lib.sh"

# until_true COMMAND...: waits for it, two minutes at most.
until_true() {
    local deadline=$((SECONDS + 120))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || complain "never true: $*" || return
        sleep 0.05
    done
}

# What a case has left: gdb first, which is a grandchild.
end_all() {
    if [ -s gdb.pid ]; then kill -KILL "$(cat gdb.pid)"; fi 2>/dev/null
    end_children
}

show() { # FILE...
    local file
    for file; do
        [ -s "$file" ] || continue
        echo "# --- $(basename "$file")"
        tail -n 60 "$file" | tr -d '\r' | sed 's/^/# /'
    done
}

case_() { # NAME COMMAND...: a case that is one shell function, in a clean folder
    local name=$1 start=$SECONDS
    shift
    rm -rf "${work:?}"/*
    mkdir -p "$XDG_RUNTIME_DIR"
    skipped=
    if "$@"; then
        result ok "$name" "$skipped"
    else
        result "not ok" "$name"
        show "$out" con log
    fi
    echo "# $((SECONDS - start)) s"
    end_all
    exec 9>&-
}

# $ONLY: names of cases, as a regular expression.
wanted() { [[ $1 =~ ${ONLY:-} ]]; }

# For a case that finds out that it cannot run.
skips() {
    skipped=$1
    echo "SKIP: $1"
}

missing=
if ! command -v gdb >/dev/null; then
    missing="needs gdb"
elif ! gdb -nx -batch -ex 'python print(1)' >/dev/null 2>&1; then
    missing="needs a gdb with Python"
elif [ "$stub" = axvm ] && [ -z "$have_kvm" ]; then
    missing="cannot open /dev/kvm"
fi
fake_case() { # with the fake engine, on any machine
    wanted "$1" || return 0
    case $missing in
    *gdb*) skip "$1" "$missing" ;;
    *) case_ "$@" ;;
    esac
}
any_case() { # with either stub
    wanted "$1" || return 0
    if [ -z "$missing" ]; then case_ "$@"; else skip "$1" "$missing"; fi
}
own_case() { # only with ours
    wanted "$1" || return 0
    if [ "$stub" = axvm ]; then any_case "$@"; else skip "$1" "not with QEMU"; fi
}

# ---- the VM ----

# launch GUEST CMDLINE [OPTION...]: its stub is at the socket g, its output is in
# con and log, what is written to descriptor 9 is its console's input.
launch() {
    local guest=$1 cmdline=$2
    shift 2
    elf=$guests/$guest.elf
    rm -f keys g con log
    mkfifo keys
    exec 9<>keys
    if [ "$stub" = axvm ]; then
        "$axvm_run" --timeout 500 --set "kernel.cmdline=\"$cmdline\"" \
            --gdb="unix:$work/g" "$@" "$guests/$guest.toml" \
            <keys >con 2>log 9>&- &
    else
        qemu-system-x86_64 -accel tcg -smp 5 -m 32M -no-reboot \
            -display none -nodefaults -serial stdio -device pvpanic \
            -device isa-debug-exit,iobase=0xf4,iosize=4 \
            -chardev "socket,id=g,path=$work/g,server=on,wait=off" \
            -gdb chardev:g "$@" -kernel "$elf" -append "$cmdline" \
            <keys >con 2>log 9>&- &
    fi
    vm=$!
    until_true listens && ! gone "$vm"
}
listens() { test -S g || grep -q "target remote" log || gone "$vm"; }

# begin GUEST CMDLINE [OPTION...]: halted before its first instruction.
begin() {
    local guest=$1 cmdline=$2 wait=--gdb-wait
    shift 2
    [ "$stub" = axvm ] || wait=-S
    launch "$guest" "$cmdline" "$wait" "$@"
}

gone() { ! kill -0 "$1"; }

# ends STATUS: waits for the VM's process.
ends() {
    local status
    until_true gone "$vm" || return
    wait "$vm"
    status=$?
    [ "$status" = "$1" ] || complain "the VM: status $status instead of $1"
}

# printed TEXT [TIMES]: waits for that in the console's lines.
printed_now() { [ "$(grep -a -c -F -e "$1" con)" -ge "${2:-1}" ]; }
printed() { until_true printed_now "$@"; }
not_printed() { ! printed_now "$1" || complain "printed: $1"; }

type_line() { echo "$1" >&9; }

# state_is STATE: what axvm says of the only VM there is.
state_now() { "$axvm" list --json | grep -q "\"state\": \"$1\""; }
state_is() { until_true state_now "$1"; }

# ---- the debugger ----

# read_commands: standard input, a command of gdb per line, to the array
# commands. @ready: to where the guest has set up everything.
read_commands() {
    local line
    commands=() checks=0
    while IFS= read -r line; do
        case $line in
        @ready)
            commands+=(-ex "hbreak ready" -ex continue -ex delete)
            continue
            ;;
        check\ * | shows\ * | hides\ * | lands\ * | stops\ * | again\ * | \
            stays\ * | until_changes\ * | steps_to\ * | stops_in_mode\ * | \
            count_marks\ * | attach_often\ *)
            checks=$((checks + 1))
            ;;
        esac
        commands+=(-ex "$line")
    done
}

# start_gdb: with the array commands, in the background; its id is in $gdb, what
# it says goes to $out.
start_gdb() {
    local options=() setting
    for setting in "debuginfod enabled off" "auto-load safe-path /" \
        "pagination off" "confirm off" "width 0" "style enabled off" \
        "remotetimeout 100" "tcp connect-timeout 100" "print thread-events off"; do
        options+=(-iex "set $setting")
    done
    : >"$out"
    timeout -k 10 "${LIMIT:-200}" sh -c 'echo $$ >gdb.pid; exec "$@"' sh \
        gdb -nx -batch "${options[@]}" -x "$here/helpers.py" \
        "${commands[@]}" ${elf:+"$elf"} >"$out" 2>&1 </dev/null 9>&- &
    gdb=$!
}

# finish_gdb: waits for it; false unless each check was made and good.
finish_gdb() {
    local status good
    wait "$gdb"
    status=$?
    rm -f gdb.pid
    case $status in
    124 | 137) complain "gdb did not end" || return ;;
    esac
    good=$(grep -c '^ok: ' "$out")
    if grep '^WRONG' "$out" || [ "$good" != "$checks" ]; then
        complain "$good of $checks checks are good"
        return 1
    fi
}

# session [ADDRESS]: gdb, connected, with the commands of standard input.
# open_session is the same in the background: end it with finish_gdb.
open_session() {
    read_commands
    commands=(-ex "target remote ${1:-$work/g}" "${commands[@]}")
    rm -f gdb.pid
    start_gdb
    until_true test -s gdb.pid
}
session() { open_session "$@" && finish_gdb; }

# Ctrl-C, for gdb itself as a terminal would do it.
interrupt() { kill -INT "$(cat gdb.pid)"; }
kill_gdb() {
    kill -KILL "$(cat gdb.pid)"
    rm gdb.pid
    wait "$gdb"
    return 0
} 2>/dev/null

# heard TEXT [TIMES]: waits until gdb has said so.
heard_now() { [ "$(grep -c -F -e "$1" "$out")" -ge "${2:-1}" ]; }
heard() { until_true heard_now "$@"; }

# What gdb says of the guest's end: QEMU closes the connection.
over='^exited'
[ "$stub" = axvm ] || over='exited|closed'

# ---- what this KVM can do ----

# kvm_can MODE WHAT [ANSWER]: probe.c's words; QEMU can do everything.
kvm_can() {
    [ "$stub" = axvm ] || return 0
    [ -s "$work.probe" ] || "$probe" >"$work.probe" || return
    grep -q -x -E "$1 $2 (${3:-debug})" "$work.probe"
}

# ---- the fake engine ----

# fakes [crash]: its stub is at the socket g, a step's size in $step.
fakes() {
    elf=
    "$fake" "$work/g" "$@" >steps 2>log &
    vm=$!
    until_true test -s steps || return
    step=$(cat steps)
}

# Debug exits of every kind, which not every KVM has.
fake_debug_exits() {
    fakes || return
    session <<END || return
check \$pc == 0x1000
shows vcpu1 :: info threads
break *(0x1000 + 2 * $step)
stops breakpoint 1 :: continue
check \$pc == 0x1000 + 2 * $step
check \$rbx == 1
check *(char *)0x8000 == 0
delete
set scheduler-locking on
stepi
check \$pc == 0x1000 + 3 * $step
check *(char *)0x8000 == 1
set scheduler-locking off
hbreak *(0x1000 + 4 * $step)
stops breakpoint 2 :: continue
check \$pc == 0x1000 + 4 * $step
delete
set var *(char *)0x8000 = 0
watch *(char *)0x8000
stops breakpoint 3 :: continue
check *(char *)0x8000 == 1
delete
awatch *(char *)0x8008
stops breakpoint 4 :: continue
check \$pc == 0x1000 + 4 * $step
delete
rwatch *(char *)0x8008
stops breakpoint 5 :: continue
delete
set breakpoint condition-evaluation target
break *(0x1000 + 2 * $step) if \$rbx == 500
stops breakpoint 6 :: continue
check \$rbx == 500
delete
shows suspended :: monitor list
kill
END
    ends 0
}

fake_crash() {
    fakes crash || return
    session <<'END' || return
stops SIGABRT :: continue
check $rbx == 1
stops exited :: continue
END
    ends 0
}

# ---- sessions ----

first_instruction() {
    begin debuggee "" || return
    session <<'END' || return
check $pc == (long)&pvh_start
check ($cr0 & 0x80000001) == 1
check readies == 0
shows ready :: info symbol ready
END
    # The end of gdb lets it go.
    ends 33 && printed " 0 failed"
}

attach_and_detach() {
    begin debuggee "do=spin" || return
    session <<'END' || return
@ready
break visit
hbreak chain_outer
break chain_inner
detach
END
    printed "order: spin" || return
    session <<'END' || return
lands spin :: frame
check spins > 0
shows No breakpoints :: info breakpoints
detach
END
    session <<'END' || return
lands spin :: frame
set var go_on = 1
detach
END
    ends 33 && printed " 0 failed"
}

attach_to_a_running_one() {
    launch debuggee "do=spin" && printed "order: spin" || return
    session <<'END' || return
lands spin :: frame
check readies == 1
set var go_on = 1
END
    ends 33 && printed " 0 failed"
}

quit_detaches() {
    begin debuggee "" || return
    session <<'END' || return
@ready
break visit
quit
END
    ends 33 && printed "1000 visits"
}

disconnect_detaches() {
    begin debuggee "" || return
    session <<'END' || return
@ready
break visit
disconnect
END
    ends 33 && printed "1000 visits"
}

kill_ends() {
    begin debuggee "do=spin" || return
    session <<'END' || return
@ready
kill
END
    until_true gone "$vm" && not_printed "order:"
}

end_is_told() {
    begin debuggee "" || return
    session <<END || return
@ready
stops $over :: continue
END
    ends 33
}

# The second one is told, and the first one's session is as it was.
second_debugger() {
    begin debuggee "do=spin" || return
    open_session <<'END'
@ready
continue
lands spin :: frame
set var go_on = 1
END
    printed "order: spin" || return
    local first=$gdb wanted=$checks pid
    pid=$(cat gdb.pid)
    out=$work/second
    refused
    local status=$?
    [ "$status" = 0 ] || show "$out"
    out=$work/out gdb=$first checks=$wanted
    [ "$status" = 0 ] && kill -INT "$pid" && finish_gdb && ends 33
}
refused() {
    read_commands <<END
target remote $work/g
check \$_inferior_thread_count == 0
END
    start_gdb
    finish_gdb || return
    grep -i -E 'already|another|debugger|busy' "$out" ||
        complain "the second debugger is not told"
}

killed_in_continue() {
    begin debuggee "" || return
    open_session <<'END'
@ready
set var visits_wanted = 100000
break visit if i == 4000000000
break chain_inner if a == 4000000000
continue
END
    printed "order: pass" && kill_gdb && ends 33 && printed "100000 visits"
}

killed_in_a_step() {
    begin debuggee "do=count" || return
    open_session <<'END'
@ready
tbreak count_for_ever
continue
break fixed_add
echo stepping\n
stepi 1000000000
END
    # Killed at any point of what comes then, it is as good.
    heard "stepping" || return
    kill_gdb && session <<'END' || return
lands count_for_ever :: frame
shows No breakpoints :: info breakpoints
set var go_on = 1
END
    ends 33 && printed " 0 failed"
}

# While it waits for a command; its child must not outlive it.
killed_while_stopped() {
    begin debuggee "do=spin" || return
    mkfifo never
    open_session <<'END'
@ready
break fixed_add
shell echo stopped >stopped
python open("never").read()
END
    until_true test -s stopped && kill_gdb && printed "order: spin" || return
    session <<'END' || return
set var go_on = 1
END
    ends 33
}

# ---- Ctrl-C ----

interrupt_spinning() {
    begin debuggee "do=spin" || return
    open_session <<'END'
@ready
continue
lands spin :: frame
check spins > 0
check ($eflags & 0x200) == 0
set var go_on = 1
END
    printed "order: spin" && interrupt && finish_gdb &&
        grep -q SIGINT "$out" && ends 33
}

interrupt_halted() {
    begin debuggee "do=sleep" || return
    open_session <<'END'
@ready
continue
lands guest_stop :: frame
check ($eflags & 0x200) == 0
stays $rip :: info registers
kill
END
    printed "order: sleep" && interrupt && finish_gdb &&
        grep -q SIGINT "$out" && until_true gone "$vm"
}

interrupt_smp() {
    begin debuggee-smp "" || return
    open_session <<'END'
@ready
continue
shows (?s)1 .*2 .*3 .*4 .*5  :: info threads
stays spins + shared + ticks[0] + ticks[1] :: dump binary memory d1 0x100000 0x300000 ; thread apply all info registers
thread 3
lands guest_stop :: frame
thread 5
lands spin :: frame
thread 4
shows rip :: info registers rip
thread 1
until_changes spins :: next
until_changes marks[1] :: next
until_changes marks[0] :: next
set var finish = 1
END
    printed "working" && interrupt && finish_gdb && grep -q SIGINT "$out" &&
        ends 33 && printed " 0 failed"
}

thread_names() {
    begin debuggee-smp "" || return
    session <<'END'
@ready
shows (?si)1 .*cpu.?0.*5 .*cpu.?4 :: info threads
kill
END
}

# Which threads there are is known before the others have started.
interrupt_waiting() {
    begin debuggee-smp "" || return
    session <<'END' || return
@ready
check $_inferior_thread_count == 5
thread 4
shows rip :: info registers rip
stays $rip :: thread 1 ; next ; thread 4
set var finish = 1
END
    ends 33
}

# ---- registers ----

registers_general() {
    begin debuggee "" || return
    session <<'END' || return
@ready
tbreak chain_inner
continue
check a == 8 && b == 3
check $rsp != 0 && $rip == $pc
set $rbx = 0x1122334455667788
set $ebx = 0x99aabbcc
check ($rbx & 0xffff) == 0xbbcc
set $r15 = -2
check $r15 == -2
set $rax = 0x8000000000000000
check (unsigned long)$rax == 0x8000000000000000
check $cs == 0x18 && $ss == 0x10
set $saved = $eflags
set $eflags = $saved | 1
check ($eflags & 1) == 1
set $eflags = $saved
set var a = 9
finish
check $rax == 93
set $rax = 83
set $r15 = 0
END
    ends 33 && printed " 0 failed"
}

registers_system() {
    begin debuggee "" || return
    session <<'END' || return
@ready
check ($cr0 & 0x80010033) == 0x80010033
check ((long)$cr3) == (long)&pml4
check ($cr4 & 0x620) == 0x620
check ($efer & 0x500) == 0x500
check (long)$k_gs_base == 0x123456789abc
check (long)$cr8 == 0
set $k_gs_base = 0x1234567890
check (long)$k_gs_base == 0x1234567890
set $gs_base = 0x7654321
check (long)$gs_base == 0x7654321
set $gs_base = 0
set $cr2 = 0x123000
check (long)$cr2 == 0x123000
shows cr0 :: info registers cr0
END
    ends 33
}

registers_all_of_the_system() {
    begin debuggee "" || return
    session <<'END' || return
@ready
shows (?s)cr0 .*cr2 .*cr3 .*cr4 .*cr8 .*efer  :: info registers
shows (?s)gdt.*idt.*ldt.*tr.*dr0 .*dr7  :: info registers
shows (?s)fs_base.*gs_base.*k_gs_base :: info registers
shows (?s)star.*lstar.*pat :: info registers
check $gdtr_base == (long)&gdt && $gdtr_limit == 0x3f
check $idtr_base == (long)&idt && $idtr_limit == 0xfff
check $tr == 0x30 && $tr_base == (long)&tss
END
    ends 33
}

registers_vector() {
    begin debuggee "" || return
    session <<'END' || return
@ready
tbreak store_xmm0
continue
set $xmm0.v4_int32[0] = 0x11223344
set $xmm0.v4_int32[1] = 0x55667788
set $xmm0.v4_int32[2] = 0x12345678
set $xmm0.v4_int32[3] = 0x7abcdef0
check $xmm0.v2_int64[0] == 0x5566778811223344
set $xmm15.v2_int64[1] = 77
check $xmm15.v2_int64[1] == 77
set $st0 = 3.25
check $st0 == 3.25
check $mxcsr == 0x1f80
check $fctrl != 0
finish
check *(long *)stored_xmm0 == 0x5566778811223344
check *(long *)&stored_xmm0[8] == 0x7abcdef012345678
END
    ends 33
}

# A value that is set in each mode arrives.
registers_in_each_mode() {
    begin debuggee "" || return
    session <<'END' || return
@ready
hbreak *in_long
stops_in_mode in_long 0 1 1 1
check $rbx == 0x5000
set $rbx = 0x6000
delete
hbreak *in_compat
stops_in_mode in_compat 0 1 1 1
check $cs == 8 && ($rbx & 0xffffffff) == 0x6001
set $rsi = 0xcafe0000
check $rsi == 0xcafe0000
delete
hbreak *in_protected
stops_in_mode in_protected 0 1 0 0
check ($rbx & 0xffffffff) == 0x6003
set $rbx = 0x7003
delete
hbreak *in_protected16
stops_in_mode in_protected16 0 1 0 0
check $cs == 0x20 && ($rbx & 0xffffffff) == 0x7007
delete
hbreak *in_real
stops_in_mode in_real 1 0 0 0
check ($rbx & 0xffffffff) == 0x700f
check $cs == 0
set $rbx = 0x500f
delete
hbreak *in_far
stops_in_mode in_far 1 0 0 0
check $cs == 0x800
check ($rbx & 0xffffffff) == 0x501f
delete
hbreak *in_protected_again
stops_in_mode in_protected_again 0 1 0 0
check $rsp != 0 && $cs == 8
delete
hbreak *in_long_again
stops_in_mode in_long_again 0 1 1 1
check ($rbx & 0xffffffff) == 0x507f
END
    ends 33 && printed " 0 failed"
}

# Stepped all the way: into each mode and out of it.
steps_through_modes() {
    begin debuggee "" || return
    session <<'END' || return
@ready
hbreak *in_long
continue
delete
steps_to 6 in_compat
steps_to 12 in_protected
steps_to 12 in_protected16
steps_to 12 in_real
steps_to 12 in_far
steps_to 12 in_protected_again
steps_to 15 in_long_again
check ($rbx & 0xffffffff) == 0x507f
tbreak chain_outer
lands chain_outer :: continue
END
    ends 33 && printed " 0 failed"
}

# ---- memory ----

memory_of_all_widths() {
    begin debuggee "" || return
    session <<'END' || return
@ready
check wide8 == 0x12 && wide16 == 0x3456
check wide32 == 0x789abcde && wide64 == 0x0123456789abcdef
check less8 == -8 && less64 == -64000000000
check numbers[7] == 21 && numbers[0] == 1
shows some words :: print words
shows last :: print *first_node.next
set var wide8 = 0x21
set var wide16 = 0x6543
set var wide32 = 0xedcba987
set var wide64 = 0xfedcba9876543210
set var words = "other words"
check wide8 == 0x21 && wide16 == 0x6543
check wide32 == 0xedcba987 && wide64 == 0xfedcba9876543210
shows other words :: x/s words
shows 21 :: x/1xb &wide8
END
    ends 33
}

# Other pages than the addresses say; nothing where nothing is mapped.
memory_by_page_tables() {
    begin debuggee "" || return
    session <<'END' || return
@ready
shows end and beginning :: x/s split + 4096 - 8
shows beginning :: x/s two_pages
set var *(char (*)[12])(split + 4096 - 6) = "hello world"
shows 'h'.*'e'.*'l'.*'l'.*'o' :: x/5c split + 4096 - 6
check two_pages[8191] == ' ' && two_pages[0] == 'w'
shows "orld" :: x/s two_pages + 1
set var *(char (*)[18])(split + 4096 - 8) = "end and beginning"
shows 'e'.*'n'.*'d' :: x/8c two_pages + 8192 - 8
shows other|some words :: x/s upper + (long)words
set var *(upper + (long)words) = 'S'
shows Some words :: x/s words
set var words[0] = 's'
END
    ends 33 && printed " 0 failed"
}
memory_not_mapped() {
    begin debuggee "" || return
    session <<'END' || return
@ready
shows Cannot access memory at address 0x80002000 :: x/4xb nowhere
shows Cannot access memory at address 0x80002000 :: x/8xb nowhere - 4
shows Cannot access memory :: print *(int *)0x123456789000
shows Cannot access memory :: print *(int *)0x8000000000000000
shows Cannot access memory :: set var *nowhere = 1
shows Cannot access memory :: set var *(long *)(nowhere - 4) = 0x4141414141414141
END
    ends 33 && printed " 0 failed"
}
memory_half_mapped() {
    begin debuggee "" || return
    session <<'END' || return
@ready
stays *(int *)(nowhere - 4) :: set var *(long *)(nowhere - 4) = 0x4141414141414141
END
    ends 33
}

memory_read_only() {
    begin debuggee "" || return
    session <<'END' || return
@ready
set $fixed = (unsigned char *)(0x80010000 + ((long)&fixed_add & 4095))
check *$fixed == *(unsigned char *)&fixed_add
set $first = *$fixed
set var *$fixed = 0x90
check *(unsigned char *)&fixed_add == 0x90
set var *$fixed = $first
END
    ends 33 && printed " 0 failed"
}

memory_physical() {
    begin debuggee "" || return
    session <<'END' || return
@ready
check *(int *)split != 0
maint packet Qqemu.PhyMemMode:1
shows Cannot access memory|0x00 :: x/1xb split
shows some words :: x/s words
set var words[0] = 'S'
maint packet Qqemu.PhyMemMode:0
check *(int *)split != 0
shows Some words :: x/s words
set var words[0] = 's'
END
    ends 33
}
memory_physical_by_monitor() {
    begin debuggee "" || return
    session <<'END' || return
@ready
monitor phys on
shows Cannot access memory :: x/1xb split
shows some words :: x/s words
monitor phys off
shows end and beginning :: x/s split + 4096 - 8
END
    ends 33
}

# Devices are not read for a look at memory.
memory_of_devices() {
    begin debuggee "" || return
    session <<'END' || return
@ready
shows Cannot access memory :: x/1xw 0xfee00030
shows Cannot access memory :: set var *(int *)0xfee00080 = 1
END
    ends 33
}

memory_in_real_mode() {
    begin debuggee "" || return
    session <<'END' || return
@ready
hbreak *in_real
continue
shows some words :: x/s words
check *(int *)&wide32 == 0x789abcde
set var wide32 = 5
delete
tbreak chain_outer
lands chain_outer :: continue
check wide32 == 5
END
    ends 33 && printed " 0 failed"
}

pattern_file() { # what fill_pattern of debuggee leaves in memory
    python3 -c '
import struct, sys
value, block = 0x9E3779B97F4A7C15, []
for _ in range(512):
    value = (value * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
    block.append(value)
for start in range(0, 131072, 512):
    words = [start or block[0]] + block[1:]
    sys.stdout.buffer.write(struct.pack("<512Q", *words))
'
}
memory_dumped() {
    begin debuggee "" || return
    pattern_file >wanted
    dd if=/dev/urandom of=random bs=1M count=1 status=none
    session <<'END' || return
@ready
dump binary memory got pattern ((char *)pattern + sizeof(pattern))
restore random binary &pattern
dump binary memory got2 pattern ((char *)pattern + sizeof(pattern))
shows matched :: compare-sections .text
END
    cmp got wanted && cmp got2 random && ends 33
}

# ---- breakpoints ----

breakpoints_software() {
    begin debuggee "" || return
    session <<'END' || return
@ready
break visit
tbreak chain_middle
lands chain_middle :: continue
lands visit :: continue
check i == 0 && last_visit == 0
lands visit :: continue
check i == 1
shows already hit 2 times :: info breakpoints
ignore 2 100
lands visit :: continue
check i == 102 && visits == 102
disable
break short_lines
break touch_watched
enable 2
delete
tbreak store_xmm0
lands store_xmm0 :: continue
check visits == 1000
END
    ends 33 && printed " 0 failed"
}

# Memory shows the guest's own bytes where a breakpoint is.
breakpoints_unseen() {
    begin debuggee "" || return
    session <<'END' || return
@ready
set $byte = *(unsigned char *)&visit
set breakpoint always-inserted on
break *visit
break *chain_inner
check *(unsigned char *)&visit == $byte
shows matched :: compare-sections .text
lands chain_inner :: continue
check *(unsigned char *)&visit == $byte
delete 3
lands visit :: continue
check *(unsigned char *)&visit == $byte
set var *(unsigned char *)&visit = $byte
check visits == 0
lands visit :: continue
check visits == 1
delete
END
    ends 33 && printed " 0 failed"
}

breakpoints_read_only() {
    begin debuggee "" || return
    session <<END || return
@ready
set \$fixed = 0x80010000 + ((long)&fixed_add & 4095)
break *\$fixed
continue
check \$pc == \$fixed
stepi
check \$pc > \$fixed && \$pc < \$fixed + 16
stops $over :: continue
END
    ends 33 && printed " 0 failed"
}

# QEMU starts with its firmware; where we start, all is in memory.
breakpoints_before_paging() {
    begin debuggee "" || return
    session <<'END' || return
break *enter_long
continue
check $pc == (long)&enter_long
check ($cr0 & 0x80000001) == 1
check readies == 0
again 1 :: stepi
check ($rax & 0xffffffff) == 0x10
delete
tbreak *guest_main
lands guest_main :: continue
check ($cr0 & 0x80000001) == 0x80000001
END
    ends 33 && printed " 0 failed"
}

breakpoints_protected() {
    begin debuggee "" || return
    session <<'END' || return
@ready
break *in_compat
break *in_protected
break *in_protected_again
stops_in_mode in_compat 0 1 1 1
stops_in_mode in_protected 0 1 0 0
stops_in_mode in_protected_again 0 1 0 0
END
    ends 33 && printed " 0 failed"
}

breakpoints_real() {
    if ! kvm_can real soft 'debug|emulation'; then
        skips "this KVM gives breakpoint instructions in real mode to the guest"
        return
    fi
    begin debuggee "" || return
    session <<'END' || return
@ready
break *in_real
break *in_far
stops_in_mode in_real 1 0 0 0
stops_in_mode in_far 1 0 0 0
END
    ends 33 && printed " 0 failed"
}

breakpoints_hardware() {
    begin debuggee "" || return
    session <<'END' || return
@ready
hbreak chain_outer
hbreak chain_middle
hbreak factorial
thbreak visit
lands chain_outer :: continue
lands chain_middle :: continue
lands chain_middle :: continue
check a == 84
lands factorial :: continue
check n == 5
lands factorial :: continue
check n == 4
delete
hbreak factorial if n == 1
lands factorial :: continue
check n == 1
shows (?s)#0.*#1.*#2.*#3.*#4.*tour :: backtrace
delete
hbreak visit if i == 500
lands visit :: continue
check i == 500 && visits == 500
stepi
lands visit :: nexti
delete
END
    ends 33 && printed " 0 failed"
}

breakpoints_too_many() {
    begin debuggee "" || return
    session <<'END' || return
@ready
hbreak chain_outer
hbreak chain_middle
hbreak chain_inner
hbreak factorial
hbreak visit
continue
delete 6
lands chain_outer :: continue
END
    grep -q -E 'Could not insert hardware breakpoint' "$out" ||
        complain "not said: Could not insert" || return
    ends 33 && printed " 0 failed"
}

# At each of its stops nobody was forgotten: see count_marks.
breakpoints_on_smp() {
    begin debuggee-smp "" || return
    session <<'END' || return
@ready
break *mark_here
count_marks 300
delete
set var finish = 1
END
    ends 33 && printed " 0 failed"
}
breakpoints_hardware_on_smp() {
    begin debuggee-smp "" || return
    session <<'END' || return
@ready
hbreak *mark_here
count_marks 300
delete
set var finish = 1
END
    ends 33 && printed " 0 failed"
}

breakpoints_of_a_thread() {
    begin debuggee-smp "" || return
    session <<'END' || return
@ready
tbreak *mark_here if cpu == 1
continue
break *mark_here thread 2
again 10 :: continue
check cpu == 1 && $_thread == 2
delete
break *mark_here thread 1
again 10 :: continue
check cpu == 0 && $_thread == 1
delete
set var finish = 1
END
    ends 33 && printed " 0 failed"
}

conditions_by_gdb() {
    begin debuggee "" || return
    session <<'END' || return
@ready
set breakpoint condition-evaluation host
break visit if i == 300
lands visit :: continue
check i == 300
delete
END
    ends 33 && printed " 0 failed"
}

# A condition that gdb evaluated would take this minutes.
conditions_by_the_stub() {
    begin debuggee "" || return
    session <<'END' || return
@ready
hides not support|[Ww]arning :: set breakpoint condition-evaluation target
set var visits_wanted = 100010
break visit if i == 100000
lands visit :: continue
shows stop only if i == 100000 \(target evals\) :: info breakpoints
check i == 100000 && visits == 100000
delete
hbreak visit if i == 100004 && last_visit > 7
lands visit :: continue
check i == 100004 && last_visit == 100003
delete
break visit if words[0] == 's' && wide64 == 0x0123456789abcdef && i == 100006
lands visit :: continue
check i == 100006
delete
END
    ends 33 && printed "100010 visits"
}
conditions_that_fail() {
    begin debuggee "" || return
    session <<'END' || return
@ready
set breakpoint condition-evaluation target
break visit if *(int *)nowhere == 1
lands visit :: continue
check i == 0
delete
break visit if 100 / (i - 5) == 77
lands visit :: continue
check i == 5
delete
END
    ends 33 && printed " 0 failed"
}
conditions_on_smp() {
    begin debuggee-smp "" || return
    session <<'END' || return
@ready
set breakpoint condition-evaluation target
break *mark_here if cpu == 1 && marks[1] == 200
lands mark :: continue
check cpu == 1 && marks[1] == 200
delete
set var finish = 1
END
    ends 33 && printed " 0 failed"
}

watchpoints_hardware() {
    if ! kvm_can long watch; then
        skips "watchpoints never fire on this KVM"
        return
    fi
    begin debuggee "" || return
    session <<'END' || return
@ready
watch watched
stops breakpoint 2 :: continue
check watched == 17
stops breakpoint 2 :: continue
check watched == 42
delete
watch visits if visits == 100
lands visit :: continue
check visits == 100
delete
rwatch last_visit
awatch visits
lands visit :: continue
delete
END
    ends 33 && printed " 0 failed"
}

# gdb steps and compares: needs nothing but steps.
watchpoints_software() {
    begin debuggee "" || return
    session <<'END' || return
@ready
tbreak touch_watched
continue
set can-use-hw-watchpoints 0
shows Watchpoint :: watch watched
lands touch_watched :: continue
check watched == 17
stops breakpoint 3 :: continue
check watched == 42
delete
END
    ends 33 && printed " 0 failed"
}

# ---- stepping ----

steps() {
    begin debuggee "" || return
    session <<'END' || return
@ready
tbreak chain_outer
continue
lands chain_middle :: step
lands chain_middle :: next
lands chain_inner :: step
shows (?s)chain_inner \(a=8, b=3\).*chain_middle.*chain_outer.*tour.*guest_main :: backtrace
stops end of a step :: next
again 1 :: next
check both == 83
lands chain_middle :: finish
check $ == 83 && $rax == 83
lands chain_outer :: finish
check $ == 84
lands chain_outer :: next
check first == 84
lands tour :: up
lands chain_outer :: down
lands tour :: finish
tbreak factorial if n == 3
lands factorial :: continue
shows (?s)n=3.*n=4.*n=5 :: backtrace
lands factorial :: finish
check $ == 6 && n == 4
lands factorial :: finish
lands tour :: finish
check $ == 120
tbreak short_lines
lands short_lines :: continue
again 6 :: next
lands short_lines :: frame
until_changes watched_sum :: until
check watched_sum == 108
lands tour :: advance touch_watched
lands touch_watched :: advance touch_watched
return
lands tour :: frame
check chain_inner(7, 7) == 77
END
    ends 35 && printed "FAIL what is watched"
}

steps_of_instructions() {
    begin debuggee "do=count" || return
    session <<'END' || return
@ready
break count_for_ever
continue
delete
until_changes $rip != (long)&count_loop :: stepi
check $rax == 0
stepi 3
check $rax == 1 && $rip == (long)&count_loop
stepi 2997
check $rax == 1000 && $rip == (long)&count_loop
nexti 3
check $rax == 1001
shows => .*inc.*rax :: x/i $pc
set var go_on = 1
lands obey :: finish
tbreak chain_outer
continue
stepi 2
stays $rsp :: nexti
END
    ends 33 && printed " 0 failed"
}

# A breakpoint in the way of steps is a stop.
steps_onto_a_breakpoint() {
    begin debuggee "" || return
    session <<'END' || return
@ready
tbreak chain_outer
continue
break chain_inner
stops breakpoint 3 :: next
lands chain_inner :: frame
lands chain_outer :: up 2
stops breakpoint 3 :: finish
delete
lands chain_outer :: up 2
lands tour :: finish
END
    ends 33 && printed " 0 failed"
}

# Interrupts come in, and no step ends in their handlers.
steps_beside_interrupts() {
    begin debuggee "" || return
    session <<'END' || return
@ready
set var with_ticks = 1
tbreak short_lines
continue
check ticks > 0
check ($eflags & 0x200) != 0
again 20 :: next
lands short_lines :: frame
again 60 :: stepi
lands short_lines :: frame
lands tour :: advance touch_watched
tbreak visit
check ticks > 0
END
    ends 33 && printed " 0 failed"
}

# One line of several thousand instructions: how often does gdb ask for more?
steps_of_a_range() {
    begin debuggee "" || return
    session <<'END' || return
@ready
tbreak long_line
continue
next
set debug remote 1
next
set debug remote 0
check sum != 7
lands long_line :: frame
END
    grep -q 'vCont;r' "$out" || complain "no vCont;r" || return
    [ "$(grep -c 'Sending packet: .vCont' "$out")" -lt 20 ] ||
        complain "too many steps" || return
    ends 33 && printed " 0 failed"
}

scheduler_locking() {
    begin debuggee-smp "" || return
    session <<'END' || return
@ready
tbreak *mark_here if cpu == 0
continue
check $_thread == 1
set scheduler-locking on
stays spins + marks[1] + rounds[1] :: next ; next ; next ; tbreak checksum ; continue ; stepi 50
lands checksum :: frame
lands work :: finish
stays spins + marks[1] :: next ; next ; next ; next
thread 5
stays marks[0] + marks[1] :: stepi ; stepi 50
thread 1
set scheduler-locking step
stays spins + marks[1] :: next ; stepi ; stepi
break *mark_here if cpu == 0
until_changes spins :: continue
delete
set scheduler-locking off
until_changes spins :: stepi
until_changes marks[1] :: next
delete
set var finish = 1
END
    ends 33 && printed " 0 failed"
}

# One CPU steps over a breakpoint that the other one comes by all the time.
steps_on_smp() {
    begin debuggee-smp "" || return
    session <<'END' || return
@ready
break *mark_here
again 20 :: continue
again 60 :: next
again 60 :: stepi
again 20 :: continue
delete
set var finish = 1
END
    ends 33 && printed " 0 failed"
}

# ---- beside the debugger ----

console_while_debugging() {
    begin debuggee "do=echo" || return
    open_session <<'END'
@ready
break echo_line if line[0] == 's'
continue
shows second :: print line
shell echo stopped >stopped
shell until test -s typed; do sleep 0.05; done
continue
shows sixth :: print line
END
    printed "order: echo" || return
    type_line first && printed "echo: first" && type_line second &&
        until_true test -s stopped && type_line third && type_line sixth &&
        not_printed "echo: second" || return
    echo typed >typed
    finish_gdb && printed "echo: third" && printed "echo: sixth" &&
        type_line end && ends 33
}

list_shows_suspended() {
    begin debuggee "do=echo" && state_is suspended || return
    open_session <<'END'
@ready
shell echo stopped >stopped
shell until test -s seen; do sleep 0.05; done
break echo_line
continue
shows one :: print line
shell echo stopped >stopped2
shell until test -s seen2; do sleep 0.05; done
END
    until_true test -s stopped && state_is suspended || return
    echo seen >seen
    printed "order: echo" && state_is running && type_line one &&
        until_true test -s stopped2 && state_is suspended || return
    echo seen >seen2
    finish_gdb && state_is running && printed "echo: one" && type_line end &&
        ends 33
}

# Somebody else suspends the VM: for gdb that is a stop.
suspended_meanwhile() {
    begin debuggee "do=spin" || return
    open_session <<'END'
@ready
stops signal|end of a step :: continue
lands spin :: frame
set var go_on = 1
END
    printed "order: spin" && state_is running &&
        "$axvm" suspend debuggee && finish_gdb && ends 33
}

# Somebody else ends it.
ended_meanwhile() {
    begin debuggee "do=spin" || return
    open_session <<'END'
@ready
stops exited :: continue
END
    printed "order: spin" && state_is running || return
    "$axvm" stop debuggee --force && until_true gone "$vm" && finish_gdb
}

# ---- the end of a guest ----

# caught WORD ORDER STATUS: it is halted before it is lost, then goes its way.
caught() {
    begin debuggee "do=$2" --gdb-on="$1" || return
    session <<'END' || return
stops signal|breakpoint :: continue
lands obey :: frame function obey
check readies == 1 && order != ORDER_PASS
shows words :: print words
check $rsp != 0
END
    ends "$3"
}
caught_in_a_function() {
    begin debuggee "do=fault" --gdb-on=crash || return
    session <<'END' || return
stops signal|breakpoint :: continue
lands guest_triple_fault :: frame
shows (?s)guest_triple_fault.*guest_main :: backtrace
check readies == 1
END
    ends 6
}
caught_without_gdb() {
    launch debuggee "do=panic" --gdb-on=crash && state_is suspended || return
    session <<'END' || return
shows (?s)obey.*guest_main :: backtrace
END
    ends 6
}
not_caught() {
    begin debuggee "do=fault" || return
    session <<'END' || return
@ready
stops exited|signal :: continue
END
    ends 6
}
entry_failure() {
    begin debuggee "" --gdb-on=crash || return
    session <<'END' || return
@ready
set $pc = 0xd0000000
stops signal|breakpoint :: continue
check $pc == 0xd0000000
check readies == 0
END
    ends 6
}

# With gdb attached it starts again, and the breakpoints are those of before.
restarted() {
    begin debuggee "do=reset" --set 'base.on_reboot="restart"' || return
    session <<'END' || return
@ready
break obey
stops breakpoint 2 :: continue
stops breakpoint 2 :: continue
check readies == 1 && order == ORDER_RESET
stops breakpoint 2 :: continue
set var order = ORDER_PASS
END
    ends 33 && printed "debuggee: hello" 3 && printed " 0 failed"
}

# ---- monitor ----

monitor_commands() {
    begin debuggee "" || return
    session <<'END' || return
@ready
shows debuggee :: monitor list
shows (?i)cr0 :: monitor info registers
shows (?i)rip :: monitor info registers
shows 80000000 :: monitor info mem
shows . :: monitor info tlb 0x80000000
hides (?i)error|unknown :: monitor info tlb 0x80000000
shows (?i)not mapped|nothing|no mapping :: monitor info tlb 0x80002000
shows (?i)apic|tpr|timer|lvt :: monitor info lapic
shows (?i)redirection|pin|ioapic|vector :: monitor info ioapic
shows . :: monitor info irq
shows (?i)IoWrite|IoRead|exits :: monitor info exits
shows . :: monitor io 0x3fd
shows (?i)no |not |none :: monitor kaslr
shows list :: monitor help
shows . :: monitor nonsense
shows readies :: info symbol &readies
END
    ends 33
}
monitor_reset() {
    begin debuggee "" || return
    session <<'END' || return
break visit
continue
check visits == 0 && readies == 1
monitor reset halt
maint flush register-cache
check $pc == (long)&pvh_start
check readies == 0
continue
lands visit :: frame
check readies == 1
delete
END
    ends 33 && printed "debuggee: hello" 2
}

# ---- where it listens ----

by_tcp() {
    launch debuggee "do=spin" --gdb=0 && printed "order: spin" || return
    address=$(grep -o -E '(127\.0\.0\.1|localhost):[0-9]+' log | head -n 1)
    [ -n "$address" ] || complain "no address in the log" || return
    session "$address" <<'END' || return
lands spin :: frame
set var go_on = 1
END
    ends 33
}
by_axvm_gdb() {
    elf=$guests/debuggee.elf
    mkfifo keys
    exec 9<>keys
    "$axvm_run" --timeout 500 --set 'kernel.cmdline="do=spin"' \
        "$guests/debuggee.toml" <keys >con 2>log 9>&- &
    vm=$!
    printed "order: spin" || return
    "$axvm" gdb debuggee >address || return
    address=$(grep -o -E '(unix:)?/[^ ]*|[a-z0-9.]+:[0-9]+' address | tail -n 1)
    [ -n "$address" ] || complain "no address" || return
    session "$address" <<'END' || return
lands spin :: frame
set var go_on = 1
END
    ends 33
}

# ---- under load ----

detach_often() {
    begin debuggee-smp "" || return
    session <<'END' || return
END
    printed "working" || return
    read_commands <<END
attach_often 100 $work/g
target remote $work/g
check wrong[0] + wrong[1] == 0
check marks[0] > 50 && marks[1] > 50
set var finish = 1
END
    start_gdb
    finish_gdb && ends 33 && printed " 0 failed"
}
detach_processes() {
    begin debuggee-smp "" || return
    session </dev/null && printed "working" || return
    for _ in 1 2 3 4 5; do
        session <<'END' || return
tbreak *mark_here
continue
again 5 :: stepi
END
    done
    session <<'END' || return
set var finish = 1
END
    ends 33 && printed " 0 failed"
}

fake_case "the fake engine: debug exits of every kind" fake_debug_exits
fake_case "the fake engine: a crash" fake_crash
own_case "the first instruction" first_instruction
any_case "attach, detach, attach again" attach_and_detach
own_case "attach to a VM that runs" attach_to_a_running_one
any_case "quit detaches" quit_detaches
own_case "disconnect detaches" disconnect_detaches
any_case "kill ends the VM" kill_ends
any_case "the guest's end is told" end_is_told
own_case "a second debugger is told so" second_debugger
own_case "gdb is killed while the guest runs" killed_in_continue
own_case "gdb is killed while it steps" killed_in_a_step
own_case "gdb is killed while the guest stands" killed_while_stopped
any_case "Ctrl-C: a CPU that spins" interrupt_spinning
any_case "Ctrl-C: a CPU that is halted" interrupt_halted
any_case "Ctrl-C: five CPUs, all stopped" interrupt_smp
any_case "threads: CPUs that were not started" interrupt_waiting
any_case "threads: their names" thread_names
any_case "registers: general" registers_general
any_case "registers: system" registers_system
own_case "registers: all of the system" registers_all_of_the_system
any_case "registers: x87 and SSE" registers_vector
any_case "registers: in each mode" registers_in_each_mode
any_case "steps through each mode" steps_through_modes
any_case "memory: all widths" memory_of_all_widths
any_case "memory: by page tables" memory_by_page_tables
any_case "memory: not mapped" memory_not_mapped
own_case "memory: half mapped" memory_half_mapped
any_case "memory: read-only for the guest" memory_read_only
any_case "memory: physical" memory_physical
own_case "memory: physical, by monitor" memory_physical_by_monitor
own_case "memory: devices" memory_of_devices
any_case "memory: in real mode" memory_in_real_mode
any_case "memory: 1 MiB, dumped and restored" memory_dumped
any_case "breakpoints: software" breakpoints_software
any_case "breakpoints: memory does not show them" breakpoints_unseen
any_case "breakpoints: in a read-only page" breakpoints_read_only
any_case "breakpoints: before paging" breakpoints_before_paging
any_case "breakpoints: in protected and compatibility mode" breakpoints_protected
any_case "breakpoints: in real mode" breakpoints_real
any_case "breakpoints: hardware" breakpoints_hardware
own_case "breakpoints: too many in hardware" breakpoints_too_many
own_case "breakpoints: two CPUs at one" breakpoints_on_smp
own_case "breakpoints: two CPUs at one in hardware" breakpoints_hardware_on_smp
any_case "breakpoints: of one CPU" breakpoints_of_a_thread
any_case "conditions: by gdb" conditions_by_gdb
own_case "conditions: a hundred thousand misses" conditions_by_the_stub
own_case "conditions: that cannot be evaluated" conditions_that_fail
own_case "conditions: two CPUs" conditions_on_smp
any_case "watchpoints: hardware" watchpoints_hardware
any_case "watchpoints: by steps" watchpoints_software
any_case "steps: step, next, finish, until, advance, call" steps
any_case "steps: stepi and nexti" steps_of_instructions
any_case "steps: onto a breakpoint" steps_onto_a_breakpoint
any_case "steps: beside interrupts" steps_beside_interrupts
own_case "steps: a range at once" steps_of_a_range
any_case "steps: one of two CPUs" steps_on_smp
any_case "steps: scheduler-locking" scheduler_locking
any_case "the console while debugging" console_while_debugging
own_case "axvm list while debugging" list_shows_suspended
own_case "axvm suspend while debugging" suspended_meanwhile
own_case "axvm stop while debugging" ended_meanwhile
own_case "caught: a triple fault, where it happens" caught_in_a_function
own_case "caught: a panic" caught crash panic 6
own_case "caught: a reset" caught reset reset 0
own_case "caught: power off" caught poweroff off 0
own_case "caught: a panic with nobody attached" caught_without_gdb
own_case "caught: an instruction that is not there" entry_failure
own_case "a guest that starts again" restarted
own_case "a triple fault that nobody catches" not_caught
own_case "monitor" monitor_commands
own_case "monitor reset halt" monitor_reset
own_case "by TCP" by_tcp
own_case "axvm gdb" by_axvm_gdb
any_case "detach a hundred times" detach_often
any_case "detach by ending gdb" detach_processes

echo "1..$count" >>"$tap"
exit $failed
