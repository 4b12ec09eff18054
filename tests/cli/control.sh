#!/usr/bin/env bash
# control.sh TAP AXVM_RUN AXVM GUESTS: the client and the process together.
#
# Guests on KVM, created, listed, suspended, restarted and ended with axvm, with
# several in a process and several processes. Writes one line of TAP per case to
# TAP. GUESTS is the folder with the built guests.
# shellcheck disable=SC2016 # the shells of script(1) expand what is quoted here
set -u

tap=$1 axvm_run=$2 axvm=$3 guests=$4
here=$(cd "$(dirname "$0")" && pwd)
# Short: the path of a socket has 107 bytes at most.
work=$(mktemp -d "/tmp/axvm-control.XXXXXX")
trap 'end_children; rm -rf "$work"' EXIT
cd "$work" || exit 1
out=$work/out err=$work/err
pid=

# Nothing of the user's is touched.
export XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state HOME=$work
export LC_ALL=C.UTF-8 TERM=vt100
unset EDITRC XDG_CONFIG_HOME NOTIFY_SOCKET
dir=$XDG_RUNTIME_DIR/axvm

. "$here/lib.sh"

case_() { # NAME COMMAND...: a case that is one shell function, in a clean folder
    local name=$1
    shift
    rm -rf "${work:?}"/*
    mkdir -p "$XDG_RUNTIME_DIR"
    if "$@"; then
        result ok "$name"
    else
        result "not ok" "$name"
        tail -n 20 ./*.out ./*.err ./*.con "$out" "$err" 2>/dev/null |
            sed 's/^/# /'
    fi
    end_children
}

missing=
if ! { [ -c /dev/kvm ] && (: <>/dev/kvm); } 2>/dev/null; then
    missing="cannot open /dev/kvm"
elif ! command -v python3 >/dev/null; then
    missing="needs python3"
fi
kvm_case() {
    if [ -z "$missing" ]; then case_ "$@"; else skip "$1" "$missing"; fi
}

# run STATUS COMMAND...: runs it; false if the status differs.
run() {
    local wanted=$1 status
    shift
    timeout 60 "$@" >"$out" 2>"$err" </dev/null
    status=$?
    [ "$status" = "$wanted" ] ||
        complain "status $status instead of $wanted: $*"
}
ax() { run 0 "$axvm" "$@"; }

said() { # TEXT...: each stands in what the last run printed
    local text
    for text; do
        grep -qF -e "$text" "$out" "$err" || complain "not said: $text" || return
    done
}

# refuses STATUS TEXT ARGUMENT...: axvm does not do that, and says so.
refuses() {
    local status=$1 text=$2
    shift 2
    run "$status" "$axvm" "$@" && said "$text"
}

# guest NAME IMAGE CMDLINE [LINE...]: NAME.toml; its console is the file
# NAME.con, the LINEs belong to its table base.
guest() {
    local name=$1 image=$2 cmdline=$3
    shift 3
    {
        printf '[base]\nname = "%s"\nmemory = "32M"\n' "$name"
        printf '%s\n' "$@"
        printf '[kernel]\nkernel_path = "%s/%s.elf"\n' "$guests" "$image"
        printf 'cmdline = "%s"\n' "$cmdline"
        printf '[console]\nmode = "file:%s/%s.con"\n' "$work" "$name"
    } >"$name.toml"
}

# begin NAME OPTION...: axvm-run, until its socket is there; its id is in $pid,
# its output in NAME.out and NAME.err.
begin() {
    local name=$1
    shift
    "$axvm_run" "$@" >"$name.out" 2>"$name.err" </dev/null &
    pid=$!
    until_true test -S "$dir/$pid.sock"
}

gone() { ! kill -0 "$1"; }

# ends STATUS [PID]: waits for it.
ends() {
    local which=${2:-$pid} status
    until_true gone "$which" || return
    wait "$which"
    status=$?
    [ "$status" = "$1" ] || complain "process: status $status instead of $1"
}

# printed NAME TEXT [TIMES]: waits for that on its console.
printed_now() { [ "$(grep -c -e "$2" "$1.con")" -ge "${3:-1}" ]; }
printed() { until_true printed_now "$@"; }

# listed [VM STATE [KEPT]]...: what the list says now, as JSON that is some.
summary() { printf '"name": "%s", "state": "%s"' "$1" "$2"; }
listed() {
    ax list --json && python3 -m json.tool <"$out" >/dev/null || return
    [ $# -gt 0 ] || [ "$(cat "$out")" = '{"vms": []}' ] || return
    while [ $# -gt 1 ]; do
        said "$(summary "$1" "$2")" || return
        shift 2
    done
}
counted() { # COUNT STATE: so many VMs are in it
    ax list --json && [ "$(grep -o "\"state\": \"$2\"" "$out" | wc -l)" = "$1" ]
}

# attach VM: types to its console from now on through descriptor 9, as $client;
# what comes from it goes to VM.seen.
attach() {
    rm -f keys
    mkfifo keys
    "$axvm" console "$1" <keys >"$1.seen" 2>"$1.seen.err" &
    client=$!
    exec 9>keys
}
detach() {
    exec 9>&-
    kill -TERM "$client"
    wait "$client" 2>/dev/null
    [ $? = 143 ] || complain "console: not ended by the signal"
}

# ---- the list ----

list_in_every_state() {
    local first
    guest vm powerbutton deaf=yes 'stop_timeout = 1000'
    guest crash triplefault "" 'on_crash = "keep"'
    guest idle powerbutton ""
    listed && ax list && said "No virtual machines found." || return
    begin run --linger && first=$pid && listed || return
    ax create vm.toml && listed vm loaded && said '"kept": false' &&
        ax start vm && printed vm waiting && listed vm running || return
    ax suspend vm && listed vm suspended && ax list && said "suspended" &&
        ax resume vm && listed vm running || return
    "$axvm" stop vm >stop.out 2>&1 &
    until_true listed vm stopping && ax stop vm --force && listed vm stopped &&
        ends 0 $! && grep -q "vm: stopped" stop.out || return
    ax create crash.toml && ax start crash && ax wait crash &&
        listed crash stopped vm stopped && said '"kept": true' &&
        ax show crash && said "Kept" "yes" "crash" || return
    begin second idle.toml && listed vm stopped crash stopped idle running &&
        ax list --all --json && python3 -m json.tool <"$out" >/dev/null &&
        said "\"pid\": $pid" "\"pid\": $first" && ax list -a &&
        said "PID" "$pid" "$first" && ax list --pid "$pid" --json &&
        ! grep -q crash "$out" || return
    ax stop idle && ends 0 && listed vm stopped && ax quit && ends 6 "$first" &&
        listed
}
kvm_case "the list in every state" list_in_every_state

# ---- the life ----

# hear: events go to the file events.log from now on, which is sure when that of
# another VM has come.
heard_of_probe() {
    "$axvm" create probe.toml && "$axvm" delete probe --force
    grep -q probe events.log
} >/dev/null
hear() {
    guest probe spin ""
    "$axvm" events >events.log 2>&1 &
    listener=$!
    until_true heard_of_probe
}
heard_now() {
    sed -nE 's/^[0-9]{2}:[0-9]{2}:[0-9]{2} vm (.*)/\1/p' events.log >got
    [ "$(wc -l <got)" -ge "$1" ]
}
heard() { # LINE...: of the VM "vm", and no others
    printf '%s\n' "$@" >wanted
    until_true heard_now $#
    diff wanted got >difference && return
    sed 's/^/# /' difference
    return 1
}
life_and_events() {
    guest vm powerbutton ""
    begin run --linger && hear || return
    ax create vm.toml && said "vm: loaded" && ax start vm &&
        said "vm: running" && printed vm waiting || return
    ax suspend vm && said "vm: suspended" && ax resume vm && ax restart vm &&
        said "vm: running" && printed vm waiting 2 && printed vm pressed || return
    ax reset vm && said "vm: running" && printed vm waiting 3 &&
        ax stop vm && said "vm: stopped" && printed vm pressed 2 || return
    ax start vm && printed vm waiting 4 && ax stop vm --force &&
        ax delete vm && said "vm: deleted" && listed || return
    ax create vm.toml && ax start vm && ax delete vm --force && listed || return
    heard created running suspended running \
        stopping "ended: poweroff" loading running \
        stopping "ended: stop" loading running \
        stopping "ended: poweroff" stopped \
        loading running stopping "ended: stop" stopped deleted \
        created running stopping "ended: stop" stopped deleted &&
        ax quit && ends 0 && ends 0 "$listener" && [ ! -e "$dir/$pid.sock" ]
}
waits() {
    guest vm powerbutton ""
    begin run vm.toml && printed vm waiting && ax wait vm --state running &&
        said "vm: running" &&
        refuses 124 "VM is running" wait vm --state suspended --timeout 0.2 ||
        return
    "$axvm" wait vm --state suspended >wait.out 2>&1 &
    local waiting=$!
    ax suspend vm && ends 0 "$waiting" && grep -q "vm: suspended" wait.out &&
        ax resume vm || return
    "$axvm" wait vm --timeout 100 >wait.out 2>&1 &
    waiting=$!
    ax stop vm && ends 0 "$waiting" && ends 0
}
graceful() {
    guest vm powerbutton deaf=yes 'stop_timeout = 1000'
    begin run vm.toml && printed vm waiting && ax stop vm --timeout 0.2 &&
        ends 0 && grep -q "not powered off in time" run.err || return
    # Suspended, it is resumed to hear of it.
    guest vm powerbutton ""
    begin run vm.toml && printed vm waiting && ax suspend vm && ax stop vm &&
        printed vm pressed && ends 0 && grep -q "powered off" run.err
}
wrong_states() {
    guest vm powerbutton ""
    begin run --linger && ax create vm.toml || return
    refuses 6 "use 'vm start' instead" resume vm &&
        refuses 6 "VM is not running, cannot suspend" suspend vm &&
        refuses 6 "VM is loaded" delete vm && refuses 6 "" nmi vm || return
    ax start vm && refuses 6 "VM is already running" start vm &&
        refuses 6 "VM is already running" resume vm &&
        refuses 6 "VM is running, stop it first" delete vm || return
    ax suspend vm && refuses 6 "VM is already suspended" suspend vm &&
        refuses 6 "use 'vm resume' instead" start vm || return
    ax stop vm --force && refuses 6 "VM is already stopped" stop vm &&
        refuses 6 "VM is stopped, cannot suspend" suspend vm &&
        refuses 6 "VM is stopped, use 'vm start' instead" resume vm || return
    refuses 4 "nothing" start nothing && refuses 4 "17" show 17 &&
        refuses 2 "none.toml" create none.toml &&
        refuses 2 "another VM's" create vm.toml && refuses 8 "/" dump vm / &&
        listed vm stopped && ax quit && ends 0
}
kvm_case "a life, and its events in order" life_and_events
kvm_case "wait" waits
kvm_case "stop asks the guest, and forces it" graceful
kvm_case "what the state refuses" wrong_states

# ---- what it tells and does ----

shows() {
    guest vm demo ""
    begin run --set base.cpu_num=2 vm.toml && printed vm 'demo>' || return
    ax show vm && said "VM 0: vm" "running" "PVH" "Starts       1" &&
        ax show 0 --full && said "gpa 0x0" "uart16550" "cpu_num = 2" &&
        ax show vm --full --json && python3 -m json.tool <"$out" >/dev/null &&
        said '"starts": 1' '"cause": "none"' && ax show vm --stats &&
        said "IoWrite" "uart16550" || return
    ax show vm --config && cp "$out" config.toml &&
        run 0 "$axvm_run" check config.toml && said "valid, VM 0 'vm'" &&
        ax stats vm && said "IoWrite" "first_byte" && ax stats vm --json &&
        python3 -m json.tool <"$out" >/dev/null || return
    timeout 60 "$axvm" stats vm --watch 0.1 2>"$err" | grep -m1 -q "per second" &&
        ax quit && ends 0
}
interrupts() {
    guest vm nmi ""
    begin run vm.toml && printed vm ready && ax nmi vm && printed vm "nmi 1" &&
        ! printed_now vm "nmi 2" && ax nmi vm && printed vm "nmi 2" && ends 33
}
dumps() {
    guest vm demo ""
    begin run --set base.cpu_num=2 vm.toml && printed vm 'demo>' || return
    ax dump vm core && said "bytes" && listed vm running &&
        [ "$(stat -c %a core)" = 600 ] && ax suspend vm && ax dump vm again &&
        listed vm suspended && ax resume vm || return
    if command -v gdb >/dev/null; then
        # Two CPUs, and the multiboot header where the image begins.
        run 0 gdb -nx -batch -ex 'info threads' -ex 'x/1xw 0x100000' \
            -ex 'info registers rip' "$guests/demo.elf" core &&
            said "LWP 2" "0x1badb002" "rip" || return
    fi
    attach vm && echo smp >&9 && printed vm "2 of 2 run" 2 && detach &&
        refuses 8 "nowhere" dump vm /nowhere/core && ax quit && ends 0
}
consoles() {
    guest vm demo ""
    begin run vm.toml && printed vm 'demo>' && attach vm || return
    echo help >&9
    printed vm "this list" && until_true grep -q "this list" vm.seen || return
    # Who comes second sees what was, and both see what follows.
    "$axvm" console vm <keys >second 2>&1 &
    local second=$!
    until_true grep -q "this list" second && echo nonsense >&9 &&
        until_true grep -q "no such command" second &&
        until_true grep -q "no such command" vm.seen && kill "$second" &&
        detach && listed vm running || return
    # Nobody was there, and the guest went on.
    attach vm && echo ticks >&9 && until_true grep -q "so far" vm.seen &&
        ax restart vm && printed vm Hello 2 && echo mem >&9 &&
        until_true grep -q "no such" vm.seen && echo poweroff >&9 &&
        ends 0 && ends 0 "$client"
    local rc=$?
    exec 9>&-
    return "$rc"
}
kvm_case "show and stats" shows
kvm_case "nmi" interrupts
kvm_case "dump of a running and of a suspended guest" dumps
kvm_case "consoles through pipes" consoles

# ---- guest time ----

uptime_ms() {
    local up
    read -r up _ </proc/uptime
    echo "${up/./}0" # it has two places
}

# ask VM: its clocks; ticks[VM] is what it says, ms[VM] its PM timer, which has 32
# bits and wraps after 20 minutes, counted on.
declare -A keys ticks ms pm_before
answered() {
    [ "$(grep -c '^ticks=' "$1.con")" -gt "$2" ] && [ -z "$(tail -c 1 "$1.con")" ]
}
ask() {
    local answers line
    answers=$(grep -c '^ticks=' "$1.con")
    printf q >&"${keys[$1]}"
    until_true answered "$1" "$answers" || return
    line=$(tail -n 1 "$1.con")
    [[ $line =~ ^ticks=([0-9]+)\ pm=([0-9]+) ]] || complain "$line" || return
    ticks[$1]=${BASH_REMATCH[1]}
    local pm=${BASH_REMATCH[2]}
    local more=$(((pm - ${pm_before[$1]:-$pm}) & 0xffffffff))
    pm_before[$1]=$pm
    # In tenths of a microsecond, lest many answers round it down.
    ms[$1]=$((${ms[$1]:-0} + more * 10000000 / 3579545))
}

# steady VM: in a second of guest time come about a hundred ticks. That a loaded
# host loses some may happen, that more come never.
steady() {
    local from from_ms passed came tries
    for tries in 1 2 3; do
        ask "$1" || return
        from=${ticks[$1]} from_ms=${ms[$1]}
        until_true second_passed "$1" "$from_ms" || return
        passed=$(((ms[$1] - from_ms) / 10000)) came=$((ticks[$1] - from))
        [ $((came * 5)) -le "$passed" ] ||
            complain "$1: $came ticks in $passed ms" || return
        [ $((came * 20)) -ge "$passed" ] && return
        echo "# $1: only $came ticks in $passed ms (try $tries)"
    done
    return 1
}
second_passed() { ask "$1" && [ $((ms[$1] - $2)) -ge 10000000 ]; }

stands_still() {
    local vm n=10 before after stood began
    local -A old old_ms
    guest ticks ticks ""
    guest split ticks ""
    printf '[cpu]\nirqchip = "split"\n' >>split.toml
    begin run ticks.toml split.toml || return
    for vm in ticks split; do
        printed "$vm" ready || return
        mkfifo "$vm.keys"
        "$axvm" console "$vm" <"$vm.keys" >/dev/null 2>&1 &
        eval "exec $n>$vm.keys"
        keys[$vm]=$n
        n=$((n + 1))
    done
    began=$(uptime_ms)
    for vm in ticks split; do
        ask "$vm" || return
        old[$vm]=${ticks[$vm]} old_ms[$vm]=${ms[$vm]}
    done
    ax suspend ticks split || return
    before=$(uptime_ms)
    sleep 3 # this time itself is tested: it must not pass for the guests
    after=$(uptime_ms)
    ax resume ticks split || return
    stood=$((after - before))
    for vm in ticks split; do
        ask "$vm" || return
        local went=$((ms[$vm] / 10000 - old_ms[$vm] / 10000))
        local came=$((ticks[$vm] - old[$vm]))
        local may=$(($(uptime_ms) - began - stood + 100))
        [ "$went" -le "$may" ] ||
            complain "$vm: $went ms of PM timer in $may ms" || return
        [ $((came * 5)) -le $((went + 100)) ] ||
            complain "$vm: $came ticks in $went ms" || return
        steady "$vm" || return
    done
    exec 10>&- 11>&-
    ax quit && ends 0
}
kvm_case "guest time stands still while suspended" stands_still

# ---- several guests ----

on_one_terminal() {
    guest a powerbutton ""
    guest b triplefault ""
    begin run --console stdio a.toml b.toml &&
        until_true grep -q "a| waiting" run.out &&
        until_true grep -q "b| crashing" run.out && ax wait b &&
        listed a running b stopped && ax stop a && ends 6 &&
        grep -q "a| pressed" run.out && grep -q "error b: .*triple fault" run.err
}
first_bad_status() {
    guest a debugexit code=5 'id = 1'
    guest b triplefault "" 'id = 2'
    guest c powerdown "" 'id = 0'
    run 11 "$axvm_run" b.toml a.toml c.toml || return
    guest a debugexit code=5 'id = 3'
    run 6 "$axvm_run" b.toml a.toml c.toml
}
same_names() {
    guest a powerdown ""
    guest b powerdown "" 'id = 7'
    sed 's/"a"/"b"/' a.toml >c.toml
    run 2 "$axvm_run" b.toml c.toml && said "c.toml" "b.toml" "'b'" "base.name" ||
        return
    guest c powerdown "" 'id = 7'
    run 2 "$axvm_run" b.toml c.toml && said "VM 7 is 'b'" "base.id" || return
    mkdir x y z
    for f in x y z; do
        printf '[kernel]\nkernel_path = "%s/powerbutton.elf"\n' "$guests" \
            >"$f/vm.toml"
    done
    begin run x/vm.toml y/vm.toml z/vm.toml &&
        listed vm running vm-2 running vm-3 running && said '"id": 2' &&
        ax quit && ends 0
}
sixteen() {
    local i files=() names=()
    for i in {1..16}; do
        guest "g$i" powerbutton ""
        files+=("g$i.toml") names+=("g$i")
    done
    guest g3 spin ""
    guest g12 spin ""
    begin run "${files[@]}" && counted 16 running || return
    for i in {1..16}; do
        case $i in
        3 | 12) printed "g$i" spinning || return ;;
        *) printed "g$i" waiting || return ;;
        esac
    done
    counted 16 running && ax suspend "${names[@]}" && counted 16 suspended &&
        ax resume "${names[@]}" && ax stop "${names[@]}" && ends 0 || return
    for i in 1 2 4 16; do
        printed_now "g$i" pressed || return
    done
}
kvm_case "two guests on one terminal, one crashes" on_one_terminal
kvm_case "the status is that of the first bad end" first_bad_status
kvm_case "names and ids that are there already" same_names
kvm_case "sixteen guests in one process" sixteen

# ---- rude clients ----

# speak SCRIPT: python3, with a connection s, its lines f, and ask(bytes).
speak() {
    timeout 60 python3 -c '
import json, socket, sys
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(sys.argv[1])
    return s
s = connect()
f = s.makefile("rb")
def heard():
    return json.loads(f.readline())
def ask(line):
    s.sendall(line + b"\n")
    return heard()
def code(line):
    return ask(line).get("error", {}).get("code")
assert heard()["axvm"] == 1
'"$1" "$dir/$pid.sock"
}
garbage() {
    guest vm spin ""
    begin run vm.toml && speak '
for bad in (b"", b"{", b"nonsense", b"\xff\xfe", b"[\"list\"]", b"null", b"0",
            b"{\"command\": 5}", b"{\"command\": \"start\"}", b"[" * 60000,
            b"{\"command\": \"list\", \"extra\": 1}", b"\0", b"\x1b[2J",
            b"{\"command\": \"list\", \"command\": \"list\"}",
            b"{\"command\": \"list\", \"id\": {}}",
            b"{\"command\": \"show\", \"vm\": -1}",
            b"{\"command\": \"stop\", \"vm\": \"vm\", \"timeout\": 1e99}",
            b"{\"command\": \"create\", \"file\": \"vm.toml\"}"):
    assert code(bad) == "bad-request", bad
assert code(b"{\"command\": \"explode\"}") == "unknown-command"
assert code(b"{\"command\": \"show\", \"vm\": \"none\"}") == "unknown-vm"
assert len(ask(b"{\"command\": \"list\"}")["result"]["vms"]) == 1
' && listed vm running && ax quit && ends 0
}
long_lines() {
    guest vm spin ""
    begin run vm.toml && speak '
import os
filler = b" " * 65000
assert "result" in ask(b"{\"command\": \"list\"" + filler + b"}")
try:
    s.sendall(b"x" * 102400)
    s.sendall(b"\n")
except (BrokenPipeError, ConnectionResetError):
    pass
assert heard()["error"]["code"] == "too-large"
try:
    assert f.readline() == b""
except ConnectionResetError:
    pass
half = connect()
half.sendall(b"{\"command\": \"li")
half.close()
' && listed vm running && ax quit && ends 0
}
never_reads() {
    guest vm spin ""
    begin run vm.toml || return
    # It asks for megabytes, and is disconnected: by then it has not read a byte.
    speak '
silent = connect()
try:
    for i in range(100000):
        silent.sendall(b"{\"command\": \"show\", \"vm\": \"vm\"}\n")
    assert False, "still connected"
except (BrokenPipeError, ConnectionResetError):
    pass
assert "result" in ask(b"{\"command\": \"list\"}")
' && grep -q "does not read" run.err && listed vm running || return
    # More than there is room for; who was there stays.
    speak '
many, lines = [], [] # one after the other: the queue of connections is short
for i in range(70):
    many.append(connect())
    lines.append(many[i].makefile("rb").readline())
assert b"\"axvm\"" in lines[0] and b"busy" in lines[69]
assert "result" in ask(b"{\"command\": \"list\"}")
' && until_true listed vm running && ax quit && ends 0
}
# Whatever they ask for, the process lives, answers all, and its VMs can end.
at_random() {
    guest button powerbutton "" 'stop_timeout = 0.2'
    guest reset reset "" 'on_reboot = "restart"'
    guest spin spin "" 'cpu_num = 2'
    guest crash triplefault "" 'on_crash = "keep"'
    begin run --linger && speak '
import os, random, threading
def client(seed, done):
    r = random.Random(seed)
    s = connect()
    f = s.makefile("rb")
    f.readline()
    for i in range(80):
        name = r.choice(("button", "reset", "spin", "crash"))
        request = r.choice((
            {"command": "create", "file": os.path.abspath(name + ".toml")},
            {"command": "dump", "file": os.path.abspath("core%d" % seed)},
            {"command": "wait", "state": "running", "timeout": 0.01},
            {"command": "stop", "force": True}, {"command": "restart"},
            {"command": "delete", "force": r.random() < 0.3},
            {"command": "start"}, {"command": "start"}, {"command": "reset"},
            {"command": "suspend"}, {"command": "resume"}, {"command": "show"},
            {"command": "stats"}, {"command": "nmi"}))
        if request["command"] != "create":
            request["vm"] = name
        s.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(f.readline())
        bad = answer.get("error", {}).get("code")
        assert bad not in ("bad-request", "unknown-command"), answer
    done.append(seed)
done = []
clients = [threading.Thread(target=client, args=(i, done)) for i in range(6)]
for c in clients:
    c.start()
for c in clients:
    c.join()
assert len(done) == 6
' || return
    ax list && ax quit && until_true gone "$pid" && wait "$pid"
    case $? in
    0 | 6 | 35) ;; # 35: the guest did not expect an NMI
    *) complain "an end of another kind" ;;
    esac
}
kvm_case "garbage" garbage
kvm_case "lines that are too long, and half ones" long_lines
# As many as it serves may come while it is busy with something else.
come_at_once() {
    guest vm spin ""
    begin run vm.toml && speak '
import os, signal
pid = int(os.path.basename(sys.argv[1]).split(".")[0])
os.kill(pid, signal.SIGSTOP)
many = [connect() for i in range(60)]
os.kill(pid, signal.SIGCONT)
for m in many:
    assert b"\"axvm\"" in m.makefile("rb").readline()
' && until_true listed vm running && ax quit && ends 0
}
kvm_case "clients that never read, and too many" never_reads
kvm_case "clients that come all at once" come_at_once
kvm_case "six clients ask for anything" at_random

# ---- sockets and processes ----

killed() {
    local dead
    guest vm powerbutton ""
    begin run vm.toml && printed vm waiting && dead=$pid &&
        kill -KILL "$pid" || return
    wait "$pid" 2>/dev/null
    [ -S "$dir/$dead.sock" ] && begin run vm.toml && listed vm running &&
        [ ! -e "$dir/$dead.sock" ] && refuses 4 "$dead" list --pid "$dead" &&
        ax stop vm && ends 0 && listed
}
places() {
    local first
    guest vm powerbutton ""
    guest other powerbutton ""
    run 2 "$axvm_run" --control "$work/$(printf 'x%.0s' {1..120})" vm.toml &&
        said "too long" && run 2 "$axvm_run" --control /nowhere/s vm.toml &&
        said "/nowhere/s" && run 2 "$axvm_run" --control vm.toml vm.toml &&
        said "vm.toml" || return
    "$axvm_run" --control socket vm.toml >run.out 2>run.err </dev/null &
    first=$!
    until_true test -S socket && ax list --socket socket && said "vm" &&
        [ "$(stat -c %a socket)" = 600 ] && listed &&
        run 2 "$axvm_run" --control socket other.toml && said "listens" || return
    ax stop vm --socket socket && ends 0 "$first" && [ ! -e socket ] || return
    rm vm.con
    "$axvm_run" --control none vm.toml >run.out 2>run.err </dev/null &
    first=$!
    printed vm waiting && listed && [ ! -e "$dir/$first.sock" ] &&
        refuses 4 "no axvm-run process" stop vm && kill -TERM "$first" &&
        ends 0 "$first"
}
two_of_a_name() {
    local first
    guest vm powerbutton ""
    begin one vm.toml && first=$pid && begin two vm.toml || return
    refuses 4 "pid $first" suspend vm && said "pid $pid" "--pid" &&
        ax suspend vm --pid "$first" && counted 1 suspended &&
        counted 1 running && refuses 4 "--pid" quit || return
    ax stop vm --pid "$pid" --force && ends 0 && listed vm suspended &&
        ax stop vm --force && ends 0 "$first"
}
# Nobody connects: that is for the tests of the debugger.
debuggers() {
    local port first
    guest vm powerbutton ""
    guest other powerbutton ""
    begin run --gdb=0 vm.toml && first=$pid && ax gdb vm || return
    port=$(sed -n 's/^target remote 127\.0\.0\.1://p' "$out")
    [ -n "$port" ] || complain "no port: $(cat "$out")" || return
    grep -q "gdb: target remote 127.0.0.1:$port" run.err &&
        ax show vm && said "Debugger     127.0.0.1:$port" &&
        refuses 6 "listens at 127.0.0.1:$port already" gdb vm --listen 1 &&
        run 2 "$axvm_run" --gdb="$port" other.toml &&
        said "port $port is in use: choose another" "--gdb" || return
    printf '[debug]\ngdb = %s\n' "$port" >>other.toml
    refuses 8 "port $port is in use" create other.toml &&
        until_true listed_alone vm && ax gdb vm --off &&
        ax create other.toml && said "other: loaded" &&
        ax gdb other && said "127.0.0.1:$port" &&
        ax show vm && said "Debugger     -" || return
    ax gdb vm && said "target remote $dir/$first-0.gdb" &&
        [ -S "$dir/$first-0.gdb" ] && listed vm running other loaded &&
        ax gdb vm --off && [ ! -e "$dir/$first-0.gdb" ] &&
        ax gdb vm --listen unix:here && [ -S here ] &&
        ax delete vm --force && until_true test ! -e here || return
    ax gdb other --off && ax gdb other && ax quit && ends 0 || return
    [ -z "$(ls "$dir")" ] || complain "left: $(ls "$dir")"
}
listed_alone() { listed "$1" running && ! grep -q other "$out"; }

kvm_case "the socket of a killed process" killed
kvm_case "sockets elsewhere, and nowhere" places
kvm_case "two processes with a VM of the same name" two_of_a_name
kvm_case "where debuggers connect" debuggers

# ---- policies and statuses ----

keeps() {
    guest vm triplefault "" 'on_crash = "keep"'
    begin run vm.toml && printed vm crashing && until_true listed vm stopped &&
        said '"kept": true' && ax dump vm core && [ -s core ] &&
        kill -0 "$pid" && kill -TERM "$pid" && ends 6 || return
    begin run vm.toml && ax wait vm && ax start vm && printed vm crashing 2 &&
        until_true listed vm stopped && said '"kept": true' || return
    ax delete vm && said "vm: deleted" && until_true gone "$pid" && listed
}
statuses() {
    guest off powerbutton "" 'id = 1'
    guest bad debugexit code=5 'id = 2'
    begin run --linger off.toml bad.toml && printed off waiting && ax wait bad &&
        ax show bad && said "exit, code 5" && ax stop off && kill -0 "$pid" &&
        ax show off && said "poweroff" && kill -TERM "$pid" && ends 11 || return
    guest spin spin ""
    begin run spin.toml && ax stop spin && ends 0 || return
    begin run --timeout 1 spin.toml && ends 124
}
again() { # a guest that ends starts again, until it is stopped
    guest vm reset "" 'on_reboot = "restart"'
    begin run vm.toml && printed vm resetting 3 && ax stop vm --force &&
        ends 0 && grep -q "restarting, start 3" run.err
}
kvm_case "a crashed guest is kept" keeps
kvm_case "exit statuses" statuses
kvm_case "a guest that restarts is stopped for good" again

# ---- the terminal ----

# kill_shell: that of the one axvm-run there is, which has reaped it then.
kill_shell() {
    local runs=("$dir"/*.sock) shell
    shell=$(ps -o pid= --ppid "$(basename "${runs[0]}" .sock)") || return
    kill -KILL $((shell)) && until_true gone $((shell))
}

# on_terminal COMMAND [KEYS TEXT]...: runs it on a terminal of its own and types
# each KEYS when TEXT has appeared; "!" kills its shell instead. False if the
# terminal has changed.
on_terminal() {
    local command=$1 script
    shift
    rm -f keys status before after
    mkfifo keys
    : >typescript
    timeout 100 script -qfec \
        "stty -g >before; $command; echo status=\$? >status; stty -g >after" \
        typescript <keys >"$out" 2>&1 &
    script=$!
    {
        while [ $# -gt 0 ]; do
            timeout 30 sh -c 'until grep -q -e "$0" typescript; do sleep 0.05; done' \
                "$2" || echo "# not seen: $2" >&3
            if [ "$1" = '!' ]; then
                kill_shell >&3
            else
                printf '%b' "$1" 2>/dev/null # unless it has ended early
            fi
            shift 2
        done
        timeout 40 tail --pid="$script" -f /dev/null
    } 3>&1 >keys
    wait "$script"
    cmp before after || { echo "# the terminal is not restored" && return 1; }
}
shell_of_a_process() {
    guest vm demo ""
    on_terminal "$axvm_run --shell vm.toml" 'list\r' 'axvm>' \
        'suspend vm\r' 'vm  *running' 'resume vm\r' 'vm: suspended' \
        'exit\r' 'vm: running' && ended_with 0
}
shell_quits() {
    guest vm demo ""
    on_terminal "$axvm_run --shell vm.toml" 'console vm\r' 'axvm>' \
        'help\r' 'demo>' '\001d' 'this list' 'quit\r' 'detached' && ended_with 0
}
shell_without_a_guest() {
    guest vm demo ""
    on_terminal "$axvm_run --shell" 'create vm.toml\r' 'axvm>' \
        'start vm\r' 'vm: loaded' 'stop vm\r' 'vm: running' \
        'delete vm\r' 'vm: stopped' '\004' 'vm: deleted' && ended_with 0
}
shell_from_a_console() {
    on_terminal "$axvm_run --demo" '\001c' 'demo> ' 'list\r' 'axvm>' \
        'exit\r' 'demo  *running' 'help\r' 'exit' '\001x' 'this list' &&
        ended_with 0
}
no_shell() {
    on_terminal "$axvm_run --demo --control none" '\001c' 'demo> ' \
        'help\r' 'there is no control socket' '\001x' 'this list' &&
        ended_with 0 &&
        run 2 "$axvm_run" --shell --console none && said "no shell"
}
shell_stops_its_guest() {
    on_terminal "$axvm_run --demo" '\001c' 'demo> ' 'stop demo\r' 'axvm>' &&
        ended_with 0
}
shell_outlives_nothing() { # the guest's time is over while the shell is there
    on_terminal "$axvm_run --demo --timeout 3" '\001c' 'demo> ' &&
        grep -q 'axvm>' typescript && ended_with 124
}
# It cannot restore the settings that it has given to the terminal.
shell_killed() {
    on_terminal "$axvm_run --demo" '\001c' 'demo> ' '!' 'axvm>' \
        'help\r' '' '\001x' 'this list' && ended_with 0
}
two_in_turn() {
    guest a demo ""
    guest b demo ""
    on_terminal "$axvm_run --console stdio a.toml b.toml" 'help\r' 'a| demo>' \
        '\001n' 'a| help .*this list' 'help\r' 'input goes to b' \
        '\001c' 'b| help .*this list' 'list\r' 'axvm>' \
        'exit\r' 'b  *running' 'cpu\r' 'exit' '\001x\001n' 'b| CPU ' \
        'mem\r' 'input goes to a' \
        '\001x' 'a| .*MiB of RAM' && ended_with 0
}

trap '' PIPE # a case that ends early leaves its keys unread
if command -v ps >/dev/null &&
    script -qfec true /dev/null >/dev/null 2>&1 </dev/null; then
    kvm_case "shell: commands, and exit ends the process" shell_of_a_process
    kvm_case "shell: a console, and quit" shell_quits
    kvm_case "shell: without a guest at first" shell_without_a_guest
    kvm_case "Ctrl-a c, and back on the console" shell_from_a_console
    kvm_case "Ctrl-a c where there is no shell" no_shell
    kvm_case "Ctrl-a c, and stop" shell_stops_its_guest
    kvm_case "Ctrl-a c, and the guest's end" shell_outlives_nothing
    kvm_case "Ctrl-a c, and the shell is killed" shell_killed
    kvm_case "Ctrl-a n, c and x with two guests" two_in_turn
else
    skip "the terminal" "needs ps(1), script(1) and pseudo terminals"
fi

echo "1..$count" >>"$tap"
exit $failed
