#!/usr/bin/env bash
# control.sh TAP AXVM_RUN AXVM GUESTS: axvm-run controlled with axvm, on KVM.
#
# GUESTS is the folder with the built guests. Each case has a folder and a
# socket directory of its own, so that it sees no process but its own.
# shellcheck disable=SC2016 # what is quoted here is expanded later
# shellcheck disable=SC2015 # A && B || return is meant as it reads
set -u

tap=$1 run=$2 axvm=$3 guests=$4
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d /tmp/axvm-ctl.XXXXXX) # short: a socket's path is, too
out=$work/out err=$work/err
. "$here/lib.sh"

end_children() {
    local child
    for child in $(jobs -pr); do
        kill -KILL "$child"
        wait "$child"
    done
} 2>/dev/null
trap 'end_children; rm -rf "$work"' EXIT
cd "$work" || exit 1

case_() { # NAME COMMAND...: as in lib.sh, in a clean folder
    local name=$1
    shift
    rm -rf "${work:?}"/*
    mkdir -m 700 "$work/run"
    export XDG_RUNTIME_DIR=$work/run
    if "$@"; then
        result ok "$name"
    else
        result "not ok" "$name"
        show_output
        sed 's/^/# log: /' "$work"/*.log 2>/dev/null | tail -n 20
    fi
    end_children
}

# start NAME OPTION...: an axvm-run with log and output NAME.log, NAME.out, its
# id in $pid; answers when this returns.
start() {
    local name=$1
    shift
    "$run" --timeout 120 "$@" >"$name.out" 2>"$name.log" </dev/null &
    pid=$!
    until_true eval '[ -S run/axvm/$pid.sock ] || ! kill -0 $pid' &&
        [ -S "run/axvm/$pid.sock" ]
}

# ends STATUS: waits for $pid.
ends() {
    local status
    wait "$pid"
    status=$?
    [ "$status" = "$1" ] || complain "status $status instead of $1"
}

# vm NAME ID GUEST LINE...: a file for that guest, with more lines of [base].
vm() {
    local name=$1 id=$2 guest=$3
    shift 3
    {
        printf '[base]\nname = "%s"\nid = %s\n' "$name" "$id"
        printf '%s\n' "$@"
        grep -vE '^\[base\]|^name|^id' "$guests/$guest.toml"
    } >"$name.toml"
}

# is VM STATE: what the list says, which is JSON.
is() {
    run 0 "$axvm" list --json || return
    python3 -m json.tool <"$out" >/dev/null || complain "not JSON" || return
    [ "$(python3 -c 'import json, sys
for vm in json.load(sys.stdin)["vms"]:
    if vm["name"] == sys.argv[1]:
        print(vm["state"])' "$1" <"$out")" = "$2" ] ||
        complain "$1 is not $2: $(cat "$out")"
}

# ---- every state, as a table and as JSON ----

every_state() {
    run 0 "$axvm" list && said "No virtual machines found." &&
        run 0 "$axvm" list --json && [ "$(cat "$out")" = '{"vms": []}' ] &&
        vm deaf 1 powerbutton 'stop_timeout = 1000' &&
        sed -i '/^kernel_path/a cmdline = "deaf=yes"' deaf.toml &&
        start p --linger && run 0 "$axvm" list --json &&
        [ "$(cat "$out")" = '{"vms": []}' ] &&
        run 0 "$axvm" create deaf.toml && is deaf loaded &&
        run 0 "$axvm" start deaf && is deaf running &&
        run 0 "$axvm" suspend deaf && is deaf suspended &&
        run 6 "$axvm" suspend deaf && said "VM is already suspended" &&
        run 0 "$axvm" resume 1 && is deaf running &&
        deaf_guest_is_stopping && run 0 "$axvm" stop deaf --force &&
        is deaf stopped && run 6 "$axvm" stop deaf &&
        said "VM is already stopped" && run 0 "$axvm" delete deaf &&
        run 4 "$axvm" show deaf && run 0 "$axvm" quit && ends 0 &&
        run 0 "$axvm" list --json && [ "$(cat "$out")" = '{"vms": []}' ]
}
# The guest writes "waiting" when it has enabled the button to which it is deaf.
deaf_guest_is_stopping() {
    run 0 timeout 20 sh -c 'until timeout 0.5 "$0" console deaf </dev/null |
        grep -q waiting; do :; done' "$axvm" &&
        { "$axvm" stop deaf >stop.out 2>&1 & } &&
        until_true eval '"$axvm" list | grep -q stopping' && is deaf stopping &&
        run 6 "$axvm" start deaf && said "wait for it to fully stop"
}

# ---- a life ----

life() {
    start p --demo --console none --linger &&
        { "$axvm" events >happened & } && until_true test -e happened &&
        run 0 "$axvm" show demo && said "running" &&
        run 0 "$axvm" show demo --config && said "kernel_path" &&
        run 0 "$axvm" show demo --full && run 0 "$axvm" show demo --json &&
        python3 -m json.tool <"$out" >/dev/null &&
        run 0 "$axvm" stats demo && said "exits" &&
        run 0 "$axvm" restart demo && run 0 "$axvm" reset demo &&
        is demo running && run 124 "$axvm" wait demo --timeout 0.2 &&
        run 6 "$axvm" delete demo && said "--force" &&
        run 0 "$axvm" stop demo && run 0 "$axvm" wait demo --timeout 5 &&
        run 0 "$axvm" start demo && run 0 "$axvm" delete demo --force &&
        run 4 "$axvm" start demo && run 0 "$axvm" quit && ends 0 &&
        until_true grep -q deleted happened || return
    [ "$(awk '{ print $3 }' happened | tail -n 4 | tr '\n' ' ')" = \
        "stopping ended: stopped deleted " ] ||
        complain "events: $(tr '\n' ';' <happened)"
}
console_by_pipe() {
    local reader
    start p --demo --console none || return
    printf 'help\n' | timeout 20 "$axvm" console demo >c.out 2>&1 &
    reader=$!
    until_true grep -q poweroff c.out && kill "$reader" && is demo running &&
        run 0 "$axvm" stop demo
}
nmis() {
    start p --set 'kernel.cmdline="self=0"' "$guests/nmi.toml" &&
        until_true grep -q ready p.out && run 0 "$axvm" nmi nmi &&
        until_true grep -q "nmi 1" p.out && run 0 "$axvm" nmi nmi && ends 33
}
dumps() {
    start p --demo --console none && run 0 "$axvm" dump demo core &&
        [ "$(stat -c %a core)" = 600 ] && is demo running &&
        run 8 "$axvm" dump demo /nonexistent/core && is demo running &&
        run 0 gdb -nx -batch -ex 'info threads' -ex 'x/2i $pc' -c core &&
        said "LWP 2" "=>"
}

# ---- time ----

# ticks KEY: the guest's count at the last answer.
ticks() { sed -n "s/.*$1=\([0-9]*\).*/\1/p" p.out | tail -n 1; }
ask_ticks() {
    local before
    before=$(grep -c ticks= p.out)
    echo >&9
    until_true eval '[ "$(grep -c ticks= p.out)" -gt '"$before"' ]'
}
# 100 Hz, and a PM timer of 3579545 Hz and 24 bits: 4.7 s until it wraps.
time_stands_still() {
    local t0 pm0 t1 pm1 ms
    mkfifo in
    "$run" --timeout 60 "$guests/ticks.toml" <in >p.out 2>p.log &
    pid=$!
    exec 9>in
    until_true grep -q ready p.out && ask_ticks && run 0 "$axvm" suspend ticks ||
        return
    t0=$(ticks ticks) pm0=$(ticks pm)
    sleep 3
    run 0 "$axvm" resume ticks && ask_ticks || return
    t1=$(ticks ticks) pm1=$(ticks pm)
    ms=$((((pm1 - pm0) & 0xffffff) / 3580))
    echo "# 3 s suspended: $((t1 - t0)) ticks, $ms ms by the PM timer"
    [ "$ms" -lt 2000 ] || complain "time has passed" || return
    # No burst: as many ticks as the guest's own time asks for.
    [ $((t1 - t0)) -le $((ms / 10 + 5)) ] || complain "a burst" || return
    printf x >&9
    exec 9>&-
    ends 33
}

# ---- several guests ----

two_on_a_terminal() {
    vm first 1 debugexit 'cpu_num = 1' && vm second 2 triplefault &&
        vm third 3 powerbutton && start p first.toml second.toml third.toml &&
        until_true grep -q '^third| .*waiting' p.out &&
        until_true eval '"$axvm" list | grep -q "second *stopped"' &&
        is third running && run 0 "$axvm" stop third && wait "$pid"
    status=$?
    [ $((status % 2)) = 1 ] || complain "status $status is not the first one's"
}
names_are_unique() {
    vm same 1 spin && cp same.toml other.toml &&
        run 2 "$run" same.toml other.toml && said "id" &&
        sed -i 's/^id.*/id = 2/' other.toml &&
        run 2 "$run" same.toml other.toml && said "same" "name" &&
        sed -i '/^name/d; /^id/d' same.toml other.toml && mkdir d &&
        cp same.toml d/ && start p same.toml d/same.toml &&
        is same running && is same-2 running && run 0 "$axvm" stop same same-2
}
sixteen() {
    local n files=()
    for n in $(seq 16); do
        vm "g$n" "$n" spin
        files+=("g$n.toml")
    done
    start p "${files[@]}" && run 0 "$axvm" list &&
        [ "$(grep -c running "$out")" = 16 ] &&
        run 0 "$axvm" suspend g1 g7 16 && run 0 "$axvm" list &&
        [ "$(grep -c suspended "$out")" = 3 ] && kill -TERM "$pid" && ends 0
}
two_processes() {
    start a --demo --console none && local one=$pid &&
        start b --demo --console none && local two=$pid &&
        run 0 "$axvm" list -a && said "$one" "$two" &&
        run 4 "$axvm" suspend demo && said "--pid" "$one" "$two" &&
        run 0 "$axvm" --pid "$one" stop demo && wait "$one" &&
        run 0 "$axvm" suspend demo && run 0 "$axvm" stop demo && ends 0
}

# ---- policies ----

kept() {
    start p --set base.on_crash=keep "$guests/triplefault.toml" &&
        run 0 "$axvm" wait triplefault --timeout 30 && is triplefault stopped &&
        run 0 "$axvm" dump triplefault core && [ -s core ] &&
        run 0 "$axvm" show triplefault && said "crash" &&
        kill -0 "$pid" && run 0 "$axvm" delete triplefault && ends 0 &&
        start q --set base.on_crash=keep "$guests/triplefault.toml" &&
        run 0 "$axvm" wait triplefault --timeout 30 && kill -TERM "$pid" &&
        ends 6
}

# ---- bad input ----

hostile_clients() {
    start p --demo --console none && python3 - "run/axvm/$pid.sock" <<'END' &&
import json, socket, sys
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    return s, s.makefile("rb")
s, f = connect()
assert json.loads(f.readline())["axvm"] == 1
for bad in b"nonsense", b"[]", b"{}", b'{"command": 1}', b"\xff\xfe", b"[" * 5000:
    s.sendall(bad + b"\n")
    assert json.loads(f.readline())["error"]["code"] == "bad-request", bad
s.sendall(b'{"command": "suspend", "vm": "nobody", "id": 5}\n')
answer = json.loads(f.readline())
assert answer["id"] == 5 and answer["error"]["code"] == "unknown-vm"
s.sendall(b"x" * 100000)
assert json.loads(f.readline())["error"]["code"] == "too-large"
quiet, _ = connect()
quiet.setblocking(False)
try:
    for _ in range(100000):  # and never reads
        quiet.send(b'{"command": "show", "vm": "demo"}\n' * 10)
except OSError:
    pass
half, _ = connect()
half.sendall(b'{"command": "dump", "vm": "demo", ')
half.close()
END
        is demo running && run 0 "$axvm" stop demo && ends 0
}
stale_sockets() {
    start p --demo --console none && kill -KILL "$pid" &&
        ! wait "$pid" 2>/dev/null && [ -S "run/axvm/$pid.sock" ] &&
        local old=$pid && run 0 "$axvm" list && said "No virtual" &&
        [ ! -e "run/axvm/$old.sock" ] && start q --demo --console none &&
        is demo running && run 0 "$axvm" stop demo
}
socket_paths() {
    local long
    long=$PWD/$(printf 'x%.0s' $(seq 120))
    run 2 "$run" --demo --console none --control "$long" && said "107" &&
        touch file && run 2 "$run" --demo --console none --control "$PWD/file" &&
        start p --demo --console none &&
        run 2 "$run" --demo --console none --control "run/axvm/$pid.sock" &&
        said "another process" && is demo running && run 0 "$axvm" stop demo &&
        run 4 "$axvm" stop demo && said "no axvm-run process"
}

# ---- the terminal ----

# types STEP...: 'wait TEXT' or 'type TEXT' on a terminal of its own that runs
# what stands in ./session.
types() {
    timeout 90 python3 "$here/terminal.py" sh ./session -- "$@" >"$out" 2>&1
}
shell_from_the_console() {
    printf 'stty -g >before\n"%s" --demo\nstty -g >after\n' "$run" >session
    types wait 'demo>' type '\x01c' wait 'axvm>' type 'list\r' wait running \
        wait 'axvm>' type 'suspend demo\r' wait suspended wait 'axvm>' \
        type 'resume demo\r' wait 'axvm>' type 'exit\r' \
        again '\r' 'demo>' type 'help\r' wait poweroff type '\x01x' &&
        cmp before after
}
shell_alone() {
    printf 'stty -g >before\n"%s" --demo --shell\nstty -g >after\n' "$run" \
        >session
    types wait 'axvm>' type 'list\r' wait running wait 'axvm>' \
        type 'console demo\r' wait 'demo>' type 'help\r' wait poweroff \
        type '\x01d' wait 'axvm>' type 'exit\r' && cmp before after
}
next_guest() {
    vm one 1 powerbutton && vm two 2 powerbutton || return
    printf '"%s" --timeout 60 one.toml two.toml\n' "$run" >session
    types wait '| waiting' wait '| waiting' type '\x01n' \
        wait 'input goes to two' type '\x01x' type '\x01n' \
        wait 'input goes to one' type '\x01x' && grep -q '^one| ' "$out" &&
        grep -q '^two| ' "$out"
}

if ! command -v python3 >/dev/null; then
    skip "axvm-run and axvm" "needs python3"
    exit 0
fi
kvm_case "list in every state" every_state
kvm_case "a life, and its events" life
kvm_case "a console by a pipe" console_by_pipe
kvm_case "NMIs" nmis
if command -v gdb >/dev/null; then
    kvm_case "a dump opens in gdb" dumps
else
    skip "a dump opens in gdb" "needs gdb"
fi
kvm_case "guest time stands still" time_stands_still
kvm_case "several guests on one terminal" two_on_a_terminal
kvm_case "names and ids are unique" names_are_unique
kvm_case "sixteen guests in one process" sixteen
kvm_case "two processes with one name" two_processes
kvm_case "a crashed guest is kept" kept
kvm_case "hostile clients" hostile_clients
kvm_case "stale sockets" stale_sockets
kvm_case "paths of sockets" socket_paths
kvm_case "Ctrl-a c: the shell, and back" shell_from_the_console
kvm_case "--shell" shell_alone
kvm_case "Ctrl-a n: the next guest" next_guest
exit $failed
