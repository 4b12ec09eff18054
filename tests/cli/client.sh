#!/usr/bin/env bash
# client.sh TAP AXVM: the client axvm, against fake_server.py.
#
# Which process is meant, errors, statuses, scripts of the shell, the terminal.
# Writes one line of TAP per case to TAP.
# shellcheck disable=SC2016 # the shells of script(1) expand what is quoted here
set -u

tap=$1 axvm=$2
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# Short: the path of a socket has 107 bytes at most.
work=$(mktemp -d "/tmp/axvm-cli.XXXXXX")
servers=()
trap 'kill "${servers[@]}" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
out=$work/out err=$work/err
. "$here/lib.sh"

if ! command -v python3 >/dev/null; then
    echo "SKIP: no python3"
    result ok "the client" "needs python3"
    exit 0
fi

# Nothing of the user's is touched.
export XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state HOME=$work
export LC_ALL=C.UTF-8 TERM=vt100 TZ=UTC
unset EDITRC
dir=$XDG_RUNTIME_DIR/axvm
mkdir -p "$XDG_RUNTIME_DIR"
mkdir -m 700 "$dir"

wait_for() { # CONDITION...: a test(1) that becomes true
    local tries
    for ((tries = 0; tries < 600; tries++)); do
        [ "$@" ] && return
        sleep 0.05
    done
    echo "# in vain: $*"
    return 1
}

serve() { # PID VM...
    python3 "$here/fake_server.py" "$dir" "$@" &
    servers+=($!)
    wait_for -S "$dir/$1.sock"
}

stop_servers() { # leaves their sockets, as a crash does
    kill "${servers[@]}" 2>/dev/null
    wait "${servers[@]}" 2>/dev/null
    servers=()
}

requested() { # PID TEXT: the process was asked so
    grep -qF -e "$2" "$dir/$1.log" && return
    echo "# not requested: $2"
    sed 's/^/# /' "$dir/$1.log"
    return 1
}

# ---- words and statuses ----

help_and_version() {
    run 0 "$axvm" --help && said "stop VM..." "--socket" "Exit status" &&
        run 0 "$axvm" help && said "shell" &&
        run 0 "$axvm" help stop && said "--timeout=SECONDS" &&
        run 0 "$axvm" stop x --help && said "--timeout=SECONDS" &&
        run 0 "$axvm" --version && said "axvm $(cat "$top/VERSION")"
}
usage_errors() {
    run 2 "$axvm" && said "no command" &&
        run 2 "$axvm" --nonsense list && said "--nonsense" &&
        run 2 "$axvm" --pid abc list && said "abc" &&
        run 2 "$axvm" list --pid 0 && said "'0'" &&
        run 2 "$axvm" strat x && said "axvm: Unknown command 'strat'" \
            "did you mean 'start'?" &&
        run 2 "$axvm" help strat && run 2 "$axvm" stop && said "name a VM" &&
        run 2 "$axvm" stop x --timeout soon && said "soon" &&
        run 2 "$axvm" show x --nonsense && said "usage: show VM"
}
nobody() {
    run 0 "$axvm" list && said "No virtual machines found." &&
        run 0 "$axvm" list --json && [ "$(cat "$out")" = '{"vms": []}' ] &&
        run 4 "$axvm" start x && said "no axvm-run process is running" &&
        run 4 "$axvm" --pid 99999999 list && said "99999999" &&
        run 4 "$axvm" --socket "$work/none" list && said "$work/none" &&
        run 4 "$axvm" --socket "$(printf 'x%.0s' {1..200})" list
}
others_directory() {
    chmod 755 "$dir"
    run 4 "$axvm" list && said "not a directory of ours"
    local rc=$?
    chmod 700 "$dir"
    return "$rc"
}

case_ "help and version" help_and_version
case_ "usage errors have status 2 and name the culprit" usage_errors
case_ "no process at all" nobody
case_ "a directory that is open to others" others_directory

# ---- one process ----

lists() {
    run 0 "$axvm" list && said "VM ID  NAME " "1      linux" "Run:1,Blk:1" &&
        run 0 "$axvm" list -a && said "PID" "1000001" &&
        run 0 "$axvm" --pid 1000001 list --json &&
        python3 -c 'import json, sys; assert len(json.load(sys.stdin)["vms"]) == 7' \
            <"$out"
}
shows() {
    run 0 "$axvm" show linux && said "VM 1: linux" "exit, code 16" &&
        run 0 "$axvm" show 1 --full && said "gpa 0x0, size 0x20000000" "id = 1" \
            "IoRead" &&
        run 0 "$axvm" show linux --config && [ "$(head -1 "$out")" = "[base]" ] &&
        run 0 "$axvm" show linux --stats && said "IoRead" "unclaimed port" &&
        run 0 "$axvm" show linux --full --json && said '"starts": 2' &&
        [ "$(wc -l <"$out")" = 1 ] &&
        run 2 "$axvm" show linux --full --config
}
changes() {
    run 0 "$axvm" suspend linux && said "linux: suspended" &&
        run 0 "$axvm" stop linux 1 --force --timeout=1.5 &&
        said "linux: stopped" "1: stopped" &&
        requested 1000001 '"force":true' && requested 1000001 '"timeout":1.5' &&
        run 0 "$axvm" restart linux && run 0 "$axvm" reset linux &&
        run 0 "$axvm" resume linux && run 0 "$axvm" start linux &&
        run 0 "$axvm" delete linux --force && said "linux: deleted" &&
        run 0 "$axvm" nmi linux --pid 1000001
}
files() {
    run 0 "$axvm" create a.toml /etc/b.toml && said "linux: loaded" &&
        requested 1000001 "\"file\":\"$work/a.toml\"" &&
        requested 1000001 '"file":"/etc/b.toml"' &&
        run 0 "$axvm" dump linux core && said "linux: 4096 bytes" &&
        requested 1000001 "\"file\":\"$work/core\""
}
refusals() {
    run 6 "$axvm" stop stopped && said "axvm: stop stopped: VM is already stopped" &&
        run 4 "$axvm" stop nothing && said "axvm: stop nothing: no VM 'nothing'" &&
        run 124 "$axvm" wait linux --timeout 0 && said "still running" &&
        run 2 "$axvm" create bad.toml && said "x.toml:2:1: error: two" &&
        run 6 "$axvm" stop stopped nothing linux && said "linux: stopped" "nothing"
}
dying_servers() {
    run 8 "$axvm" start broken && said "start broken: the process has gone away" &&
        run 8 "$axvm" start huge && said "too much" &&
        run 8 "$axvm" start babel && said "another protocol"
}
events() {
    run 0 "$axvm" events && said "04:40:00 linux running" \
        "04:40:00 linux ended: crash" "04:40:00 linux deleted" &&
        run 0 "$axvm" events --json && [ "$(wc -l <"$out")" = 3 ] &&
        said '"time": 1763700000.123'
}
interrupted() {
    "$axvm" start deaf >"$out" 2>"$err" &
    local pid=$!
    wait_for -s "$dir/1000001.log" && timeout 20 sh -c \
        'until grep -q deaf "$0"; do sleep 0.05; done' "$dir/1000001.log"
    kill -TERM "$pid"
    wait "$pid"
    [ $? = 143 ]
}
watches() {
    set -o pipefail
    timeout 60 "$axvm" stats linux --watch 0.2 | grep -m1 -q "per second"
    status=$?
    set +o pipefail
    [ "$status" = 0 ] || { echo "# status $status" && return 1; }
}
unwritable() {
    run 8 sh -c '"$0" list >/dev/full' "$axvm" && said "No space left" &&
        run 8 sh -c '"$0" --help >/dev/full' "$axvm" &&
        run 0 sh -c '{ "$0" list; echo $? >&2; } | true' "$axvm" &&
        run 0 sh -c '"$0" list >&-' "$axvm"
}
console_pipe() {
    printf 'hello bye' | timeout 60 "$axvm" console linux >"$out" 2>"$err" ||
        return 1
    [ "$(cat "$out")" = "login: HELLO BYE" ] && [ ! -s "$err" ] &&
        run 124 timeout 1 "$axvm" console linux </dev/null && said "login: "
}

# a_gdb NAME: a program that tells how it was called.
a_gdb() {
    mkdir -p bin
    printf '#!/bin/sh\necho "NAME: $#"\nprintf "<%%s>\\n" "$@"\ncat\nexit 3\n' |
        sed "s/NAME/$1/" >"bin/$1"
    chmod +x "bin/$1"
}
gdb_prints() {
    run 0 "$axvm" gdb linux && [ "$(cat "$out")" = "target remote /run/linux.gdb" ] &&
        run 0 "$axvm" gdb 1 --listen 1234 && [ "$(cat "$out")" = "target remote 1234" ] &&
        run 0 "$axvm" gdb linux -l unix:x && said "target remote unix:$work/x" &&
        run 0 "$axvm" gdb linux --off && [ ! -s "$out" ] &&
        requested 1000001 '"off":true' &&
        run 4 "$axvm" gdb nothing --exec && said "no VM 'nothing'" &&
        run 2 "$axvm" gdb linux vmlinux && said "--exec" &&
        run 2 "$axvm" gdb linux --listen 99999 && said "99999" "PORT"
}
gdb_exec() {
    local mine=$work/bin/other
    mkdir -p none && a_gdb gdb || return
    run 8 env PATH="$work/none" "$axvm" gdb linux --exec &&
        said "no gdb is installed" "AXVM_GDB" "target remote /run/linux.gdb" &&
        run 3 env PATH="$work/bin:$PATH" AXVM_GDB=gdb "$axvm" gdb linux --exec &&
        said "gdb: 2" "<-ex>" "<target remote /run/linux.gdb>" &&
        echo 'import sys; print("called", sys.orig_argv[0])' >called.py &&
        run 0 env AXVM_GDB=/usr/bin/python3 "$axvm" gdb linux --exec called.py &&
        said "called /usr/bin/python3" &&
        a_gdb gdb-multiarch &&
        run 3 env PATH="$work/bin:$PATH" "$axvm" gdb linux --exec "my vmlinux" \
            --listen 7 &&
        said "gdb-multiarch: 3" "<my vmlinux>" "<target remote 7>" &&
        run 8 env AXVM_GDB="$mine" "$axvm" gdb linux --exec &&
        said "gdb linux: cannot run AXVM_GDB, which is '$mine': No such file" &&
        touch "$mine" && run 8 env AXVM_GDB="$mine" "$axvm" gdb linux --exec &&
        said "Permission denied"
}
gdb_in_script() { # a child, which does not read the script
    a_gdb gdb
    printf 'gdb linux --exec\nlist\n' |
        AXVM_GDB=$work/bin/gdb timeout 60 "$axvm" shell >"$out" 2>"$err"
    [ $? = 8 ] && said "<target remote /run/linux.gdb>" "VM ID" &&
        ! grep -q "^list" "$out"
}

serve 1000001 linux stopped deaf broken huge babel mute
case_ "list" lists
case_ "show" shows
case_ "commands that change a VM" changes
case_ "files become absolute" files
case_ "refusals have their statuses" refusals
case_ "servers that die or talk nonsense" dying_servers
case_ "events" events
case_ "a signal ends a command that waits" interrupted
case_ "statistics again and again, until nobody reads" watches
case_ "output that cannot be written" unwritable
case_ "the console through pipes" console_pipe
case_ "gdb: where it connects" gdb_prints
case_ "gdb: started in our place" gdb_exec
case_ "gdb: a child of the shell" gdb_in_script

# ---- scripts ----

from_script() { # STATUS TEXT: of the shell
    printf '%b' "$2" | timeout 60 "$axvm" shell >"$out" 2>"$err"
    status=$?
    [ "$status" = "$1" ] && return
    echo "# status $status instead of $1"
    sed 's/^/# /' "$out" "$err" | head -40
    return 1
}
scripts() {
    from_script 0 '# a comment\n\nstart linux\n stop "linux"\n' &&
        said "linux: running" "linux: stopped" && ! grep -q "axvm>" "$out" &&
        from_script 6 'stop stopped\nlist\n' && said "VM is already stopped" "VM ID" &&
        from_script 4 'stop stopped\nstart nothing' &&
        from_script 2 'satrt linux\n' && said "Error: Unknown command 'satrt'" "start" &&
        from_script 2 'start "linux\n' && said "quote" &&
        from_script 0 'exit\nstop stopped\n' && from_script 0 '' &&
        from_script 0 'help\nhelp stop\nconsole mute\n' &&
        from_script 0 'console mute\nlist\n' && said "login:" "VM ID" && ! grep -q LIST "$out"
}
case_ "scripts of the shell" scripts

# ---- several processes ----

several() {
    run 0 "$axvm" list && said "linux" "bsd" && ! grep -q PID "$out" &&
        run 0 "$axvm" list -a && said "1000001" "1000002" &&
        run 0 "$axvm" start bsd && requested 1000002 '"command":"start"' &&
        run 4 "$axvm" start linux &&
        said "two processes run a VM 'linux' (pid 1000001, pid 1000002)" "--pid" &&
        run 0 "$axvm" start linux --pid 1000002 &&
        run 0 "$axvm" --socket="$dir/1000002.sock" start linux &&
        run 4 "$axvm" start nothing &&
        said "no VM 'nothing' in any of the 2 processes" &&
        run 4 "$axvm" quit && said "--pid" && run 4 "$axvm" create x.toml &&
        run 4 "$axvm" events
}
another_version() {
    serve 1000003 future || return
    run 8 "$axvm" --pid 1000003 list && said "another protocol" &&
        run 8 "$axvm" list && said "linux" "process 1000003"
}
stale() {
    stop_servers
    [ -S "$dir/1000001.sock" ] && run 0 "$axvm" list &&
        said "No virtual machines" && [ ! -e "$dir/1000001.sock" ]
}
silent() {
    # Neither accepts nor answers: as a process that is stopped.
    python3 -c 'import signal, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
signal.pause()' "$dir/1000004.sock" &
    servers+=($!)
    wait_for -S "$dir/1000004.sock" && run 8 "$axvm" list &&
        said "process 1000004: the process does not answer"
    local rc=$?
    stop_servers
    rm -f "$dir"/*
    return "$rc"
}
quits() {
    serve 1000005 linux || return
    run 0 "$axvm" quit && [ ! -e "$dir/1000005.sock" ]
}

serve 1000002 bsd linux
case_ "several processes" several
case_ "a process of another version" another_version
case_ "sockets of dead processes are removed" stale
case_ "a process that does not answer" silent
case_ "quit" quits

# ---- the terminal ----

# on_terminal COMMAND [KEYS TEXT]...: runs it on a terminal of its own and types
# each KEYS when TEXT has appeared. False if the terminal has changed.
on_terminal() {
    local command=$1 pid
    shift
    rm -f keys status before after
    mkfifo keys
    : >typescript
    timeout 60 script -qfec \
        "stty -g >before; $command; echo status=\$? >status; stty -g >after" \
        typescript <keys >"$out" 2>&1 &
    pid=$!
    {
        while [ $# -gt 0 ]; do
            timeout 30 sh -c 'until grep -q "$0" typescript; do sleep 0.05; done' "$2"
            printf '%b' "$1" 2>/dev/null # unless it has ended early
            shift 2
        done
        timeout 40 tail --pid="$pid" -f /dev/null
    } >keys
    wait "$pid"
    cmp before after || { echo "# the terminal is not restored" && return 1; }
}
terminal_detach() {
    on_terminal "$axvm console linux" 'x\001h' 'login:' '\001\001' 'sends one' \
        '\001d' X && ended_with 0 && grep -q "detached" typescript &&
        grep -q "$(printf '\001')" typescript
}
terminal_closed() {
    on_terminal "$axvm console linux" 'bye' 'login:' && ended_with 0 &&
        grep -q "closed" typescript
}
terminal_deaf_guest() { # what is typed goes nowhere, but Ctrl-a d works
    on_terminal "$axvm console slow-console" \
        "$(head -c 300000 /dev/zero | tr '\0' z)\\001d" 'login:' && ended_with 0
}
terminal_signal() { # SIGNAL STATUS
    on_terminal "bash -c '(until grep -q login: typescript; do sleep 0.05; done
        kill -$1 \$\$) & exec $axvm console linux'" '' 'login:' && ended_with "$2"
}
shell_keys() {
    on_terminal "$axvm shell" 'star\tli\t\r' 'axvm>' 'satrt\r' \
        'linux: running' 'garbage\003' "Unknown command 'satrt'" \
        'events\r' '\^C' '\003list\r' 'linux deleted' '\004' 'VM ID' &&
        ended_with 0 && ! grep -q "command 'garbage" typescript &&
        grep -q "did you mean 'start'" typescript
}
shell_gdb() { # it has the terminal and its signals, and the shell stays
    cat >gdb-asks <<'EOF'
#!/bin/bash
trap 'echo got INT' INT
echo asks
kill -STOP $$
read -r line || read -r line
echo "read $line"
EOF
    chmod +x gdb-asks
    AXVM_GDB=$work/gdb-asks on_terminal "$axvm shell" 'gdb linux -e\r' 'axvm>' \
        '\003' 'asks' 'hello\r' 'got INT' 'list\r' 'read hello' '\004' 'VM ID' &&
        ended_with 0
}
shell_gdb_term() { # what ends the shell ends it before
    cat >gdb-stays <<'EOF'
#!/bin/bash
trap 'echo got TERM; exit' TERM
echo stays
kill -TERM $PPID
while :; do sleep 0.1; done
EOF
    chmod +x gdb-stays
    AXVM_GDB=$work/gdb-stays on_terminal "$axvm shell" 'gdb linux -e\r' \
        'axvm>' && ended_with 0 && grep -q "got TERM" typescript
}
shell_history() {
    on_terminal "$axvm shell" 'help nmi\r' 'axvm>' 'exit\r' 'Usage: nmi' &&
        ended_with 0 && grep -q 'help.*nmi' state/axvm/history &&
        on_terminal "$axvm shell" '\020\020\r' 'axvm>' '\004' 'Usage: nmi' &&
        ended_with 0
}
shell_leash() { # its process ends, so does the shell
    on_terminal "$axvm --socket $dir/1000006.sock shell" 'quit\r' 'axvm>' &&
        ended_with 0 && grep -q "gone away" typescript
}
shell_term() {
    on_terminal "bash -c '(until grep -q axvm typescript; do sleep 0.05; done
        kill -TERM \$\$) & exec $axvm shell'" '' 'axvm>' && ended_with 0
}

trap '' PIPE # a case that ends early leaves its keys unread
if script -qfec true /dev/null >/dev/null 2>&1 </dev/null; then
    stop_servers
    serve 1000006 linux slow-console forever
    case_ "terminal restored: Ctrl-a d" terminal_detach
    case_ "terminal restored: the server closes" terminal_closed
    case_ "Ctrl-a d works though nothing is read" terminal_deaf_guest
    for sig in TERM INT HUP SEGV ABRT; do
        case_ "terminal restored: SIG$sig" terminal_signal $sig \
            $((128 + $(kill -l $sig)))
    done
    case_ "shell: editing, completion, Ctrl-C" shell_keys
    case_ "shell: history" shell_history
    case_ "shell: gdb has the terminal" shell_gdb
    case_ "shell: SIGTERM ends gdb and the shell" shell_gdb_term
    case_ "terminal restored: SIGTERM in the shell" shell_term
    case_ "shell: ends with its process" shell_leash
else
    result ok "the terminal" "needs script(1) and pseudo terminals"
fi

echo "1..$count" >>"$tap"
exit $failed
