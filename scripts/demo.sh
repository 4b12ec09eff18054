#!/usr/bin/env bash
# demo.sh [OPTION...]: builds axvm-run and starts its built-in guest here.
#
# Installs the build dependencies first, where they are missing. The options go
# to axvm-run --demo; "poweroff" at the guest's prompt or Ctrl-a x ends it.
# Where there is no KVM, an emulated machine that has it is started around it.

set -eu
. "$(dirname "$0")/lib.sh"

[ "${1:-}" != --help ] || { help_text && exit; }
"$top/scripts/setup.sh" build
log=$top/build/demo.log
mkdir -p "$top/build"
say "building (a minute at most the first time; log: build/demo.log)"
(cd "$top" && cmake --preset release &&
    cmake --build build/release --target axvm-run) >"$log" 2>&1 || {
    tail -n 40 "$log" >&2
    die "the build failed"
}
demo=("$top/build/release/axvm-run" --demo "$@")
if [ -e /dev/kvm ]; then
    exec "${demo[@]}" # which says so if it may not be used
fi
say "there is no /dev/kvm here: the guest runs in an emulated machine that has" \
    "it (scripts/lab.sh), slowly"
"$top/scripts/setup.sh" lab
exec "$top/scripts/lab.sh" x86_64 --host --no-axvm --timeout 3600 -- \
    "$(printf '%q ' "${demo[@]}")"
