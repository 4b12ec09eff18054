#!/usr/bin/env bash
# contract.sh [--tap FILE] PROGRAM...
#
# Runs tests of engines (tests/contract/) in the lab, which has KVM also where
# this machine has none. A line of TAP for each test.

set -eu
. "$(dirname "$0")/../../scripts/lib.sh"

tap=''
while [ $# -gt 0 ]; do
    case $1 in
    --help) help_text && exit ;;
    --tap) tap=$2 && shift 2 ;;
    -*) usage_error "unknown option '$1'" ;;
    *) break ;;
    esac
done
[ $# -ge 1 ] || usage_error "no program given"

work=$(mktemp -d "${TMPDIR:-/tmp}/axvm-contract.XXXXXX")
trap 'rm -rf "$work"' EXIT
options=(--timeout 300 --memory 1024)
names=()
for program; do
    options+=(--file "$program")
    names+=("$(basename "$program")")
done
# Criterion starts the program itself once more for each test, so that the
# libraries have to lie where they lie here.
while IFS= read -r library; do
    options+=(--file "$(readlink -f "$library")=$library")
done < <(ldd "$@" | grep -o '[[:space:]]/[^ ]*' | tr -d '[:blank:]' | sort -u)

cat >"$work/contract.sh" <<'END'
mkdir -p /tmp /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev/shm
status=0
for name; do
    ./"$name" -j1 --tap=/tmp/tap >/dev/null 2>/tmp/errors || status=1
    sed -n "s/^\(ok\|not ok\) - /\1 - $name: /p" /tmp/tap
    [ -s /tmp/tap ] || echo "not ok - $name: it does not start"
    sed 's/^/# /' /tmp/errors | tail -n 40
done
exit $status
END
status=0
"$top/scripts/lab.sh" x86_64 "${options[@]}" --file "$work/contract.sh" \
    --log "$work/log" -- sh contract.sh "${names[@]}" </dev/null || status=$?
[ $status != 77 ] || exit 77
[ -z "$tap" ] || {
    sed -n 's/\r*$//; /^\(not \)\{0,1\}ok - /p' "$work/log" 2>/dev/null
    [ $status = 0 ] || echo "not ok - contract: the lab's status is $status"
} | awk '{ print } END { print "1.." NR }' >"$tap"
exit $status
