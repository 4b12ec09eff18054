#!/usr/bin/env bash
# service.sh TAP AXVM_RUN GUESTS: axvm-run as a service manager runs it.
#
# The pidfile, the notify protocol, signals, the log file. Writes one line of
# TAP per case to TAP. GUESTS is the folder with the built guests.
# shellcheck disable=SC2016 # the shells that wait expand what is quoted here
set -u

tap=$1 axvm=$2 guests=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/axvm-service.XXXXXX")
trap 'end_children; rm -rf "$work"' EXIT
cd "$work" || exit 1
out=$work/out err=$work/err
pid=
. "$here/lib.sh"

case_() { # NAME COMMAND...: a case that is one shell function, in a clean folder
    local name=$1
    shift
    rm -rf "${work:?}"/*
    if "$@"; then
        result ok "$name"
    else
        result "not ok" "$name"
        show_output
    fi
    end_children
}

# start OPTION...: the guest that waits for its power button; in $pid.
start() {
    : >"$out" # of an earlier one, which "runs" must not take for ours
    "$axvm" --timeout 100 "$@" "$guests/powerbutton.toml" \
        >"$out" 2>"$err" </dev/null &
    pid=$!
}
runs() {
    until_true eval 'grep -q waiting "$out" || ! kill -0 "$pid"' &&
        grep -q waiting "$out"
}

# ends STATUS: waits for $pid.
ends() {
    local status
    wait "$pid"
    status=$?
    [ "$status" = "$1" ] || complain "status $status instead of $1"
}
# refused TEXT OPTION...: does not start with these, status 2, and says so.
refused() {
    local text=$1 status
    shift
    timeout 60 "$axvm" --timeout 20 "$@" "$guests/spin.toml" \
        >refused.log 2>&1 </dev/null
    status=$?
    [ "$status" = 2 ] || complain "status $status instead of 2" || return
    grep -qF -e "$text" refused.log || {
        sed 's/^/# /' refused.log
        complain "not said: $text"
    }
}

# ---- the pidfile ----

pidfile_holds_our_id() {
    start --pidfile pid && runs &&
        [ "$(cat pid)" = "$pid" ] && kill -TERM "$pid" && ends 0 &&
        [ ! -e pid ]
}
pidfile_has_one_owner() {
    start --pidfile pid && runs && refused "pid" --pidfile pid &&
        [ "$(cat pid)" = "$pid" ] && kill -TERM "$pid" && ends 0 &&
        [ ! -e pid ]
}
pidfile_of_a_dead_one() {
    local dead
    start --pidfile pid && runs && dead=$pid && kill -KILL "$pid" || return
    wait "$pid" 2>/dev/null
    [ "$(cat pid)" = "$dead" ] && start --pidfile pid && runs &&
        [ "$(cat pid)" = "$pid" ] && kill -TERM "$pid" && ends 0
}
pidfile_that_cannot_be() {
    echo 'precious' >file
    refused "/nonexistent/pid" --pidfile /nonexistent/pid &&
        refused "file" --pidfile file && [ "$(cat file)" = precious ]
}
pidfile_of_a_failed_start() {
    timeout 60 "$axvm" --pidfile pid missing.toml >"$out" 2>"$err" </dev/null
    [ $? = 2 ] && [ ! -e pid ]
}

# The leader of the terminal's session dies while the terminal is still there, so
# that the one SIGHUP which comes finds it open; sometimes even still in a session.
session_ends() {
    python3 - "$axvm" <<'END'
import os, pty, signal, sys, time
for _ in range(10):
    leader, terminal = pty.fork()
    if leader == 0:
        os.execvp("sh", ["sh", "-c", "%s --demo --pidfile pid; :" % sys.argv[1]])
    seen = b""
    while b"demo>" not in seen:
        seen += os.read(terminal, 4096)
    with open("pid") as f:
        pid = int(f.read())
    os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    os.close(terminal)
    end = time.monotonic() + 30
    while os.path.exists("pid"):  # axvm-run removes it when it ends
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            sys.exit("# axvm-run lives on without its terminal")
        time.sleep(0.05)
END
}

kvm_case "the pidfile has the id and is removed" pidfile_holds_our_id
kvm_case "a second process with the pidfile is refused" pidfile_has_one_owner
kvm_case "the pidfile of a dead process is taken over" pidfile_of_a_dead_one
kvm_case "pidfiles that cannot be" pidfile_that_cannot_be
case_ "no pidfile is left by a start that failed" pidfile_of_a_failed_start

# ---- the service manager ----

# manager NAME: a manager's socket; $notify is for $NOTIFY_SOCKET. What it hears
# goes to the file heard, a line per datagram, with the sender's process id.
manager() {
    python3 -c '
import socket, struct, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.bind("\0" + name[1:] if name[0] == "@" else name)
with open("heard", "w") as heard:
    print("listening", file=heard, flush=True)
    while True:
        text, more, _, _ = s.recvmsg(4096, socket.CMSG_SPACE(12))
        sender = struct.unpack("3i", more[0][2])[0]
        print(sender, text.decode().replace("\n", " "), file=heard, flush=True)
' "$1" &
    notify=$1
    until_true grep -q listening heard
}
# heard WORD: from our process
heard() { grep -qE "^$pid (.* )?$1( |\$)" heard; }

notified() { # ready when the guest runs, stopping when asked to
    manager "$1" && NOTIFY_SOCKET=$notify start || return
    until_true heard READY=1 && runs || return
    ! heard STOPPING=1 || complain "STOPPING=1 too early" || return
    kill -TERM "$pid" && ends 0 && until_true heard STOPPING=1 &&
        [ "$(grep -c READY=1 heard)" = 1 ]
}
not_ready_without_a_guest() {
    manager "$work/manager" || return
    NOTIFY_SOCKET=$notify timeout 60 "$axvm" missing.toml \
        >"$out" 2>"$err" </dev/null
    [ $? = 2 ] || return
    NOTIFY_SOCKET=$notify timeout 60 "$axvm" --set base.memory=100000G \
        "$guests/spin.toml" >"$out" 2>"$err" </dev/null
    [ $? = 4 ] || return
    # A datagram of ours, after theirs: whatever they sent is there by now.
    python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"LAST=1", sys.argv[1])
' "$notify"
    until_true grep -q LAST=1 heard && ! grep READY=1 heard
}
no_manager_is_no_trouble() {
    NOTIFY_SOCKET=$work/nobody start && runs && kill -TERM "$pid" && ends 0
}

if command -v python3 >/dev/null; then
    kvm_case "READY=1 and STOPPING=1" notified "$work/manager"
    kvm_case "an abstract notify socket" notified "@axvm-service-$$"
    kvm_case "not ready without a guest" not_ready_without_a_guest
else
    for name in "READY=1 and STOPPING=1" "an abstract notify socket" \
        "not ready without a guest"; do
        echo "SKIP: $name: needs python3"
        result ok "$name" "needs python3"
    done
fi
kvm_case "a manager that does not listen" no_manager_is_no_trouble

# ---- signals ----

hangup_reopens_the_log() {
    start --log-file log && runs && mv log log.1 && kill -HUP "$pid" &&
        until_true test -e log && kill -TERM "$pid" && ends 0 &&
        grep -q "powered off" log && ! grep "powered off" log.1
}
# The second one would force a guest that was asked by the first one.
hangups_end_nobody() {
    local i
    start --log-file log && runs || return
    for i in 1 2 3; do
        mv log "log.$i" && kill -HUP "$pid" && until_true test -e log || return
    done
    kill -TERM "$pid" && ends 0 && grep -q "pressed: powering off" "$out"
}
# The folder is gone: the old file goes on.
hangup_that_fails() {
    mkdir logs
    start --log-file logs/log && runs && mv logs moved &&
        kill -HUP "$pid" && until_true grep -q "logs/log" moved/log "$err" &&
        kill -TERM "$pid" && ends 0 && grep -q "powered off" moved/log
}
term_is_graceful() {
    start && runs && kill -TERM "$pid" && ends 0 &&
        grep -q "pressed: powering off" "$out"
}

if command -v python3 >/dev/null; then
    kvm_case "a session that ends takes its guest along" session_ends
else
    skip "a session that ends takes its guest along" "needs python3"
fi
kvm_case "SIGHUP reopens the log" hangup_reopens_the_log
kvm_case "SIGHUP ends no guest" hangups_end_nobody
kvm_case "SIGHUP where the log cannot be reopened" hangup_that_fails
kvm_case "SIGTERM ends gracefully" term_is_graceful

echo "1..$count" >>"$tap"
exit $failed
