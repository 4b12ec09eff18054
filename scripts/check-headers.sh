#!/usr/bin/env bash
# check-headers.sh: does every header of src/, fakes and fuzzers compile alone?
#
# Each is compiled twice in one file, so that its guard is tried as well, with
# every compiler that is there. Prints the compiler's words; status 1 on errors.

set -eu
. "$(dirname "$0")/lib.sh"

flags=(-std=gnu11 -D_GNU_SOURCE -fsyntax-only -Wall -Wextra -Werror -Wundef
    -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter)
compilers=()
for compiler in gcc clang; do
    ! has "$compiler" || compilers+=("$compiler")
done
[ ${#compilers[@]} -gt 0 ] || die "neither gcc nor clang is there"

status=0
cd "$top"
while IFS= read -r header; do
    for compiler in "${compilers[@]}"; do
        printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
            "$compiler" "${flags[@]}" -Isrc -Itests -I. -x c - || {
            say "$header does not compile alone with $compiler"
            status=1
        }
    done
done < <(find src tests/fake tests/fuzz -name '*.h' | sort)
exit $status
