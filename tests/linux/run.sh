#!/usr/bin/env bash
# run.sh [--vtx] [--life] [--tap FILE] [--axvm FILE] CASE...: Debian's kernels.
#
# Boots the lab once and runs every CASE in it (see cases.sh), with a line for
# each; the same as TAP in FILE. --vtx: on real VT-x, in Bochs, and slowly.
# --life: the cases of life.sh instead, which control one guest with axvm.

set -eu
. "$(dirname "$0")/../../scripts/lib.sh"

arch=x86_64 limit=60 tap='' script=cases.sh options=(--timeout 300)
while [ $# -gt 0 ]; do
    case $1 in
    --help) help_text && exit ;;
    --vtx)
        # In there, time passes several times as fast as here.
        arch=x86_64-vtx limit=1500 options+=(--timeout 1000)
        shift
        ;;
    --life) script=life.sh && shift ;;
    --tap) tap=$2 && shift 2 ;;
    --axvm) options+=(--axvm "$2") && shift 2 ;;
    -*) usage_error "unknown option '$1'" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || usage_error "no case given"
here=$top/tests/linux
[ -z "$tap" ] || rm -f "$tap"

work=$(mktemp -d "${TMPDIR:-/tmp}/axvm-linux.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 143' INT TERM HUP
for flavour in cloud generic; do
    case "$script $*" in *" $flavour-"*) ;; *) continue ;; esac
    kernel=$("$top/scripts/lab-kernel.sh" "$flavour") || {
        status=$?
        printf '%s\n' "$kernel"
        exit $status
    }
    options+=(--file "$kernel/vmlinuz=vmlinuz-$flavour"
        --file "$kernel/release=release-$flavour")
done
"$here/make-initrd.sh" "$work/initrd"
options+=(--file "$here/$script" --file "$work/initrd")

# gdb is linked dynamically, and does not start without Python: take along its
# libraries, and of Python as much as it looks for.
if [ $script = life.sh ]; then
    has gdb || skip "gdb, which opens the dump, is missing"
    mkdir -p "$work/gdb/lib"
    cp -L "$(command -v gdb)" "$work/gdb/gdb"
    ldd "$work/gdb/gdb" | grep -o '/[^ ]*' | while IFS= read -r library; do
        cp -L "$library" "$work/gdb/lib/"
    done
    options+=(--file "$work/gdb")
    python=$(find /usr/lib -maxdepth 1 -name 'python3.*' -print -quit)
    if [ -n "$python" ]; then
        mkdir "$work/python"
        cp -r "$python"/{*.py,encodings,collections,importlib,re} "$work/python/"
        options+=(--file "$work/python=$python")
    fi
fi

run_lab() {
    status=0
    "$top/scripts/lab.sh" "$arch" "${options[@]}" --log "$work/log" -- \
        sh $script $limit "$@" </dev/null || status=$?
}
run_lab "$@"
if [ $status = 124 ]; then
    # QEMU's machine itself stands still, about once in fifty boots under load:
    # not even axvm-run's --timeout fires in it. A guest that hangs is a
    # failure of its case, long before this.
    echo "lab: the machine stood still; starting it once more"
    run_lab "$@"
fi
[ $status != 77 ] || exit 77
if [ -n "$tap" ]; then
    {
        echo "1..$#"
        for name; do
            sed 's/\r*$//' "$work/log" 2>/dev/null |
                grep -E "^(not )?ok ${name}[: ]" ||
                echo "not ok $name: no result, the lab's status is $status"
        done
    } | sed -E 's/^((not )?ok) /\1 - /' >"$tap"
fi
exit $status
