#!/usr/bin/env bash
# kvm.sh [--tap FILE] BUILD_DIR CTEST_ARGUMENT...
#
# Runs tests of BUILD_DIR that need KVM in the lab, which has it also where this
# computer has none: with --host they find everything as it lies here. A line of
# TAP for each test.

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
[ $# -ge 2 ] || usage_error "no tests given"
build=$(cd "$1" && pwd)
shift

work=$(mktemp -d "${TMPDIR:-/tmp}/axvm-kvm.XXXXXX")
trap 'rm -rf "$work"' EXIT
cat >"$work/inside.sh" <<'END'
build=$1 results=$2
shift 2
[ -c /dev/kvm ] || { # or all of them would skip
    echo "not ok - the lab has no /dev/kvm"
    exit 1
}
echo 1 >/proc/sys/vm/overcommit_memory # a guest may have more than the lab
for dir in tap Testing; do # which ctest on this computer writes, too
    mkdir -p "$build/$dir"
    mount -t tmpfs "$dir" "$build/$dir"
done
status=0
ctest --test-dir "$build" --no-tests=error --output-on-failure \
    --output-junit /tmp/junit "$@" || status=$?
awk -v run=kvm -v tap="$build/tap" -v because=' # SKIP ' -f "$results" \
    /tmp/junit | sed 's/^pass /ok - /; s/^fail /not ok - /; s/^skip /ok - /'
exit $status
END
status=0
"$top/scripts/lab.sh" x86_64 --host --no-axvm --memory 2048 --timeout 900 \
    --file "$work/inside.sh" --log "$work/log" -- sh /lab/inside.sh \
    "$(printf '%q ' "$build" "$top/scripts/test-results.awk" "$@")" \
    </dev/null || status=$?
[ $status != 77 ] || exit 77
if [ -n "$tap" ]; then
    sed -n 's/\r*$//; /^\(not \)\{0,1\}ok - /p' "$work/log" >"$work/tap"
    [ $status = 0 ] || grep -q '^not ok' "$work/tap" ||
        echo "not ok - the lab's status is $status" >>"$work/tap"
    awk '{ print } END { print "1.." NR }' "$work/tap" >"$tap"
fi
exit $status
