#!/bin/sh
# run-guest.sh CONFIG STATUS [TEXT...] [-- AXVM_RUN_OPTION...]
# Runs one guest under axvm-run ($AXVM_RUN). Passes if the process ends with
# STATUS, each TEXT was printed, and the guest reports no FAIL; shows the
# console otherwise. Ends with 77 where there is no KVM to run it on.
# A TEXT of the form N*TEXT must stand in exactly N lines of the console.
# @NOW@ in an option is the time, in seconds since 1970. $INPUT is what the
# guest's console reads.
set -u

config=$1
wanted=$2
shift 2

if [ ! -c /dev/kvm ]; then
    echo "SKIP: there is no /dev/kvm"
    exit 77
elif ! { [ -c /dev/kvm ] && (: <>/dev/kvm); } 2>/dev/null; then
    echo "SKIP: this user may not open /dev/kvm"
    exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
console=$work/console

: >"$work/texts"
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    printf '%s\n' "$1" >>"$work/texts"
    shift
done
[ $# -eq 0 ] || shift

now=$(date +%s)
for option; do
    shift
    set -- "$@" "$(printf '%s' "$option" | sed "s/@NOW@/$now/g")"
done

printf '%b' "${INPUT-}" |
    "$AXVM_RUN" --timeout 60 "$@" "$config" >"$work/raw" 2>"$work/log"
status=$?
tr -d '\r' <"$work/raw" >"$console"

fail() {
    echo "FAILED: $1"
    echo "--- console, at most its last 64 KiB"
    tail -c 65536 "$console"
    echo "--- axvm-run"
    cat "$work/log"
    exit 1
}

[ "$status" -eq "$wanted" ] || fail "status $status, expected $wanted"
if grep -aq '^FAIL ' "$console"; then
    fail "the guest reports a failure"
fi
while IFS= read -r text; do
    lines=${text%%\**}
    case $lines in
    '' | *[!0-9]*)
        grep -aqF -e "$text" "$console" "$work/log" ||
            fail "'$text' is missing"
        ;;
    *)
        found=$(grep -acF -e "${text#*\*}" "$console")
        [ "$found" -eq "$lines" ] ||
            fail "'${text#*\*}' in $found lines, expected $lines"
        ;;
    esac
done <"$work/texts"
tail -n 80 "$console"
