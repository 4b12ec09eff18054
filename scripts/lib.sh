# shellcheck shell=bash
# lib.sh - what the scripts share: messages and the place of the tree. Sourced,
# never run.

# shellcheck disable=SC2034  # for those who source this
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
me=$(basename "$0" .sh)

say() { printf '%s: %s\n' "$me" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

usage_error() {
    say "$* (see $me.sh --help)"
    exit 2
}

# Tells ctest (SKIP_RETURN_CODE 77) and the reader why nothing was tested.
skip() {
    printf 'SKIP: %s\n' "$*"
    exit 77
}

# The comment at the head of a script is its help text.
help_text() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

has() { command -v "$1" >/dev/null 2>&1; }

# have_packages NAME...: are all of them installed?
have_packages() {
    local name
    for name; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = \
            installed ] || return 1
    done
}

# Kernels and emulated machines outlive a run here, outside of the tree.
# shellcheck disable=SC2034
lab_cache=${XDG_CACHE_HOME:-$HOME/.cache}/axvm-lab
