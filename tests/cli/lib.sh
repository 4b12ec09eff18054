# lib.sh - what the scripts of this folder share. Sourced, with $tap, $out and
# $err set; writes one line of TAP per case to $tap.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # set and used by whoever sources this

# What script(1) runs; dash would end by a Ctrl-C that its child has taken.
export SHELL=/bin/bash
count=0 failed=0
: >"$tap"

result() { # ok|"not ok" NAME [REASON]
    count=$((count + 1))
    echo "$1 $count - $2${3:+ # SKIP $3}" | tee -a "$tap"
    [ "$1" = ok ] || failed=1
}

case_() { # NAME COMMAND...: a case that is one shell function
    local name=$1
    shift
    if "$@"; then result ok "$name"; else result "not ok" "$name"; fi
}

skip() { # NAME REASON
    echo "SKIP: $1: $2"
    result ok "$1" "$2"
}

have_kvm=
if [ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null; then have_kvm=yes; fi
kvm_case() {
    if [ $have_kvm ]; then case_ "$@"; else skip "$1" "cannot open /dev/kvm"; fi
}

complain() {
    echo "# $*"
    return 1
}

show_output() { sed 's/^/# /' "$out" "$err" 2>/dev/null | head -n 40; }

# run STATUS COMMAND...: runs it; false if the status differs.
run() {
    local wanted=$1
    shift
    timeout 60 "$@" >"$out" 2>"$err" </dev/null
    status=$?
    [ "$status" = "$wanted" ] && return
    complain "status $status instead of $wanted: $*"
    show_output
    return 1
}

said() { # TEXT...: each stands in what the last run printed
    local text
    for text; do
        grep -qF -e "$text" "$out" "$err" && continue
        complain "not said: $text"
        show_output
        return 1
    done
}

# What a case has left in the background, in particular one that failed half-way.
end_children() {
    local child
    for child in $(jobs -pr); do
        kill -KILL "$child"
        wait "$child"
    done
} 2>/dev/null

# ended_with STATUS: of what a terminal of its own, with typescript and status,
# has run.
ended_with() {
    [ "$(cat status)" = "status=$1" ] && return
    echo "# $(cat status) instead of $1"
    sed 's/^/# /' typescript | head -60
    return 1
}

# until_true COMMAND...: waits for it, half a minute at most.
until_true() {
    local deadline=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || complain "never true: $*" || return
        sleep 0.05
    done
}
