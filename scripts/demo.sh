#!/usr/bin/env bash
# demo.sh [OPTION...]: builds axvm-run and starts its built-in guest here.
#
# Installs the build dependencies first, where they are missing. The options go
# to axvm-run --demo; "poweroff" at the guest's prompt or Ctrl-a x ends it.

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
exec "$top/build/release/axvm-run" --demo "$@"
